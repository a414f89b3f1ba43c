// What the client core returns to the faces.
#pragma once

#include <cstdint>

namespace accelmesh {

// A CUresult number; the runtime's cudaError_t uses the same numbers for everything that the core returns.
using DeviceResult = std::uint32_t;

}  // namespace accelmesh
