// Tensors as who computes sees them: elements of one type at strides, and how one goes through them.
//
// Threads: values.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "protocol/library/dnn_calls.h"
#include "server/backend/cpu/blas/small_floats.h"
#include "server/backend/cpu/dnn/enumerators.h"

namespace accelmesh::cpu_dnn {

using i64 = std::int64_t;
using cpu_blas::Bfloat16;
using cpu_blas::Half;
using Indices = std::array<i64, kDnnDimensionsMax>;

struct Shape {
  int rank = 0;
  Indices dims{};
  Indices strides{};  // elements
};

template <typename Real>
struct View {
  Real* data = nullptr;
  Shape shape;
};

// A tensor in the device's memory.
struct Stored {
  void* memory = nullptr;
  int type = 0;
  bool is_flipped = false;  // strides below 0
  Shape shape;
};

template <typename Real>
inline constexpr int kStoredAs = std::is_same_v<Real, double> ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;

inline float ToReal(Half value) { return static_cast<float>(value); }
inline float ToReal(Bfloat16 value) { return static_cast<float>(value); }
inline float ToReal(float value) { return value; }
inline double ToReal(double value) { return value; }
template <typename T, typename Real>
T FromReal(Real value) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, Bfloat16>) {
    return T(static_cast<float>(value));
  } else {
    return static_cast<T>(value);
  }
}

// Calls `visit` with the memory as its type; Context::Find() lets no other type pass.
template <typename Visitor>
void Visit(const Stored& stored, Visitor visit) {
  switch (stored.type) {
    case CUDNN_DATA_FLOAT: visit(static_cast<float*>(stored.memory)); break;
    case CUDNN_DATA_DOUBLE: visit(static_cast<double*>(stored.memory)); break;
    case CUDNN_DATA_HALF: visit(static_cast<Half*>(stored.memory)); break;
    default: visit(static_cast<Bfloat16*>(stored.memory)); break;
  }
}

i64 Elements(const Shape& shape);
// The same dimensions without gaps, in the order of the strides.
Shape Packed(const Shape& shape);
bool SameDims(const Shape& a, const Shape& b);
// Strides that stay where `a` has one element and `shape` has more; false if it has neither as many nor one.
bool Broadcast(const Shape& a, const Shape& shape, Indices* strides);

template <std::size_t N>
using Offsets = std::array<i64, N>;

// Calls visit(offsets) for each index, the last dimension fastest.
template <std::size_t N, typename Visitor>
void Walk(const Shape& shape, const std::array<Indices, N>& strides, Visitor visit) {
  if (shape.rank == 0) return;
  const int last = shape.rank - 1;
  Indices index{};
  Offsets<N> row{};
  while (true) {
    Offsets<N> at = row;
    for (i64 i = 0; i < shape.dims[last]; ++i) {
      visit(at);
      for (std::size_t k = 0; k < N; ++k) at[k] += strides[k][last];
    }
    int d = last - 1;
    for (; d >= 0; --d) {
      for (std::size_t k = 0; k < N; ++k) row[k] += strides[k][d];
      if (++index[d] < shape.dims[d]) break;
      index[d] = 0;
      for (std::size_t k = 0; k < N; ++k) row[k] -= strides[k][d] * shape.dims[d];
    }
    if (d < 0) return;
  }
}

}  // namespace accelmesh::cpu_dnn
