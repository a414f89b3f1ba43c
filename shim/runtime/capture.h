// Calls that must not be made while streams capture: the generated entry points ask for those that
// protocol/api/cudart.py names, and pay one look at a counter while nothing captures.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "shim/core/capture_count.h"

namespace accelmesh {

enum class CaptureRule : std::uint8_t {
  kUnsafe,        // part of no stream's order, or waits: refused while the capture's mode or the thread's says so
  kLegacyStream,  // besides that it works on the legacy stream, which a capturing blocking stream would have to wait
                  // for
  kDevice,        // besides that it waits for the device, and so for streams that capture
};

// cudaSuccess, or why the call is not made; then that is the thread's last error.
cudaError_t RefuseForCapture(CaptureRule rule);
inline cudaError_t CheckForCapture(CaptureRule rule) {
  return CapturingStreams() == 0 ? cudaSuccess : RefuseForCapture(rule);
}

}  // namespace accelmesh
