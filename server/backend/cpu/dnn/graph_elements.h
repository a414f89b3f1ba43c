// Elements of graphs' tensors beyond those that every function computes with (context.h): integers, booleans, floats of
// eight bits and of four, two of which share a byte.
//
// Floats are rounded to nearest, ties to even, and what is too large becomes the largest there is; so are integers of
// eight bits. Wider integers are cut off. A scale of E8M0, a power of two, is rounded up.
#pragma once

#include <vector>

#include "server/backend/cpu/dnn/context.h"

namespace accelmesh::cpu_dnn {

struct GraphTensor {
  i64 uid = 0;
  bool is_virtual = false;
  bool is_value = false;
  bool is_tiled = false;  // CUDNN_TENSOR_REORDERING_F8_128x4
  DnnTensor tensor;
};

// 0 for a type that no tensor of a graph has here.
int BitsOfType(int type);
// One that is without fractions, a boolean not.
bool IsIntegerType(int type);
inline bool IsWideFloat(int type) {
  return type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_DOUBLE || type == CUDNN_DATA_HALF ||
         type == CUDNN_DATA_BFLOAT16;
}
// As it is behind storing it: for numbers that are by value, and results that are rounded before others use them.
double RoundTo(int type, double value);
double ValueOf(int type, std::uint64_t word);

// failed() if it may not be touched, or is much larger than its memory.
void CheckElements(Context& context, const GraphTensor& tensor, std::uint64_t address);
// A copy without gaps; empty, and failed(), if it may not be read.
template <typename Real>
View<Real> LoadElements(Context& context, const GraphTensor& tensor, std::uint64_t address);
template <typename Real>
void StoreElements(Context& context, const GraphTensor& tensor, std::uint64_t address, const View<Real>& value,
                   DnnBlend blend);
// Numbers that are no operands, without a float between: in the order of their indices.
std::vector<i64> LoadIntegers(Context& context, const GraphTensor& tensor, std::uint64_t address);

}  // namespace accelmesh::cpu_dnn
