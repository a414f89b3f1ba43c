// What the contract libraries stand on: the contract libcuda of this process, and the software GPU's functions, of
// which ACCELMESH_SOFTWARE is the shared object.
//
// Threads: any.
#pragma once

#include <cuda.h>

#include <functional>
#include <string>

#include "protocol/base/bytes.h"
#include "server/backend/cpu/blas.h"
#include "tests/contract/control.h"

namespace accelmesh::contract {

// Null if this process has loaded no contract libcuda.
CUcontext CurrentContext();
void Break(contract_rule rule, const std::string& text);
// False if the calling thread may not wait, which breaks a rule.
bool MayWait(const char* function, const char* why);
// Whether the software GPU has the function.
bool HasFunction(std::uint32_t library, std::uint32_t function);
// Runs the function now.
cpu_blas::Outcome RunFunction(std::uint32_t library, std::uint32_t function, ByteView arguments, int device,
                              ByteView settings = {});
// Runs it in its turn in the stream; what goes wrong then ruins the context, as a kernel's fault does. `heard`, if
// there is one, is told the outcome. The first time that a context sees the function it may wait.
CUresult QueueFunction(const char* name, std::uint32_t library, std::uint32_t function, Bytes arguments,
                       CUstream stream, std::function<void(const cpu_blas::Outcome&)> heard = nullptr,
                       Bytes settings = {});
CUresult Synchronize(CUstream stream);

}  // namespace accelmesh::contract
