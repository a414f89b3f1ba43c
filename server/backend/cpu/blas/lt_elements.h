// Elements of cuBLASLt's matrices, whose types are arguments: columns of them as numbers to compute with, and back.
//
// Threads: pure functions.
#pragma once

#include <cstdint>

#include "server/backend/cpu/blas/elements.h"
#include "server/backend/cpu/blas/enumerators.h"

namespace accelmesh::cpu_blas {

#include "protocol/gen_blaslt_enumerators.inc"

// Of eight bits: `kMantissa` of them the fraction's, seven without the sign. To it: rounded to nearest, ties to even,
// and what is too large becomes the largest number there is.
template <int kMantissa, int kBias, int kLargest>
struct Float8 {
  std::uint8_t bits = 0;

  Float8() = default;
  explicit Float8(float value);
  explicit operator float() const;
};
using Float8E4M3 = Float8<3, 7, 0x7e>;
using Float8E5M2 = Float8<2, 15, 0x7b>;
extern template struct Float8<3, 7, 0x7e>;
extern template struct Float8<2, 15, 0x7b>;

// 0 for a type that is not written.
std::size_t ElementBytes(i64 type);
// What an element is aligned to.
std::size_t ElementAlignment(i64 type);
bool IsComplexType(i64 type);
bool IsFloat8(i64 type);

// `count` elements of that type, `step` apart, as S: float, double or a complex one of them.
template <typename S>
void LoadElements(i64 type, const void* from, i64 step, i64 count, S* to);
template <typename S>
void StoreElements(i64 type, const S* from, void* to, i64 step, i64 count);

}  // namespace accelmesh::cpu_blas
