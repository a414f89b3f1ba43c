// Memsets.
#include "tests/contract/state.h"

namespace accelmesh::contract {
namespace {

template <typename T>
CUresult Fill(const Call& call, CUdeviceptr address, std::uint64_t pitch, T value, std::uint64_t width,
              std::uint64_t height, CUstream handle, bool blocking) {
  if (width == 0 || height == 0) return CUDA_SUCCESS;
  const auto stream = call.FindStream(handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (address % sizeof(T) != 0 || (height > 1 && pitch % sizeof(T) != 0))
    return call.Break(CONTRACT_RULE_BAD_ARGUMENT, CUDA_ERROR_INVALID_VALUE, "an address or pitch that is not aligned");
  if (height > 1 && pitch < width * sizeof(T)) return CUDA_ERROR_INVALID_VALUE;
  const Range range{address, (height - 1) * pitch + width * sizeof(T)};
  {
    const std::lock_guard lock(state().mu);
    if (const CUresult result = CheckDeviceRange(call, range); result != CUDA_SUCCESS) return result;
  }
  Work work;
  work.type = CU_GRAPH_NODE_TYPE_MEMSET;
  work.touches.push_back(range);
  work.run = [=] {
    for (std::uint64_t y = 0; y < height; ++y) std::fill_n(reinterpret_cast<T*>(address + y * pitch), width, value);
    return CUDA_SUCCESS;
  };
  const CUresult result = Submit(call, stream, std::move(work));
  return result == CUDA_SUCCESS && blocking ? Drain(stream) : result;
}

}  // namespace
}  // namespace accelmesh::contract

using namespace accelmesh::contract;

// NAME, NAMEAsync, NAME of rows, NAMEAsync of rows: for elements of 8, 16 and 32 bits.
#define CONTRACT_FILL(bits, type)                                                                                  \
  CONTRACT_API CUresult cuMemsetD##bits(CUdeviceptr to, type value, std::size_t count) {                           \
    return Enter(Function::k_cuMemsetD##bits,                                                                      \
                 [&](Call& call) -> CUresult { return Fill<type>(call, to, 0, value, count, 1, nullptr, true); }); \
  }                                                                                                                \
  CONTRACT_API CUresult cuMemsetD##bits##Async(CUdeviceptr to, type value, std::size_t count, CUstream stream) {   \
    return Enter(Function::k_cuMemsetD##bits##Async,                                                               \
                 [&](Call& call) -> CUresult { return Fill<type>(call, to, 0, value, count, 1, stream, false); }); \
  }                                                                                                                \
  CONTRACT_API CUresult cuMemsetD2D##bits(CUdeviceptr to, std::size_t pitch, type value, std::size_t width,        \
                                          std::size_t height) {                                                    \
    return Enter(Function::k_cuMemsetD2D##bits, [&](Call& call) -> CUresult {                                      \
      return Fill<type>(call, to, pitch, value, width, height, nullptr, true);                                     \
    });                                                                                                            \
  }                                                                                                                \
  CONTRACT_API CUresult cuMemsetD2D##bits##Async(CUdeviceptr to, std::size_t pitch, type value, std::size_t width, \
                                                 std::size_t height, CUstream stream) {                            \
    return Enter(Function::k_cuMemsetD2D##bits##Async, [&](Call& call) -> CUresult {                               \
      return Fill<type>(call, to, pitch, value, width, height, stream, false);                                     \
    });                                                                                                            \
  }

CONTRACT_FILL(8, unsigned char)
CONTRACT_FILL(16, unsigned short)
CONTRACT_FILL(32, unsigned int)
