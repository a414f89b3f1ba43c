// NVIDIA's libraries on the software GPU: opens the shared objects that have their functions, and runs them.
//
// Threads: Open() and Identity() from the executor; Run() from any pool thread, after Open() has succeeded.
#pragma once

#include <string>

#include "protocol/base/result.h"
#include "server/backend/cpu/blas.h"
#include "server/backend/cpu/tier0/tier0.h"
#include "server/device.h"

namespace accelmesh {

class CpuLibrary {
 public:
  // The functions that there are, a bit each. kUnsupported says why there are none.
  Result<Bytes> Open(std::uint32_t library, std::uint32_t threads);
  // Of answers of a library that is open (Backend::LibraryIdentity()).
  std::string Identity(std::uint32_t library, std::uint32_t threads) const;
  cpu_blas::Outcome Run(const LibraryJob& job, const tier0::MemoryMap& memory) const;

 private:
  const cpu_blas::Interface* blas_ = nullptr;  // of cuBLAS and cuBLASLt
  const cpu_blas::Interface* dnn_ = nullptr;   // of cuDNN
};

}  // namespace accelmesh
