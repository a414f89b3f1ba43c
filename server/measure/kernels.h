// What is measured where a library is missing, as kernels in PTX: plain loops, one thread an element of the result.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace accelmesh::measure {

inline constexpr std::uint32_t kKernelBlock = 16;  // threads of a block in both dimensions

// An empty kernel, without arguments.
std::string_view EmptyKernel();
// C = A * B of n x n, row by row: (A, B, C, n). Empty text for a type that has none ("bf16").
std::string MatmulKernel(std::string_view type);
// y = x * w without padding: (x, w, y, channels, size), x of channels x (size + 2)^2, w of kernels x channels x
// 3 x 3, y of kernels x size x size; a grid's third dimension is kernels. Empty text for other types than floats of 32
// and 64 bits.
std::string ConvolutionKernel(std::string_view type);

}  // namespace accelmesh::measure
