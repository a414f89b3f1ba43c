// What the software GPU has of cuBLASLt: which problems it solves, and its one algorithm for them.
//
// Threads: pure functions.
#pragma once

#include "protocol/library/lt_problem.h"
#include "server/backend/cpu/blas/elements.h"

namespace accelmesh::cpu_blas {

// Why a product is none of ours; null if it is one. Its words may be any.
const char* RefusalOf(const LtOperation& operation, const LtLayouts& layouts);
const char* RefusalOf(const LtTypes& types);
const char* RefusalOf(const LtTransform& words);

// From one column or row of a matrix to the next: where it has one only, which may be any apart from nothing, its
// length, which can be added to an address and which OpenBLAS can express.
i64 LeadingOf(const LtLayout& layout);

// What lies in the bytes of our algorithm. It has one way to go about it, and no other configuration.
struct CpuAlgorithm {
  static constexpr std::uint32_t kMark = 0x75706361;

  std::uint32_t mark = kMark;
  std::int32_t id = 0;
  std::uint32_t tile = 0;
  std::int32_t split_k = 1;
  std::uint32_t reduction = 0;
  std::uint32_t swizzling = 0;
  std::uint32_t custom = 0;
  std::uint32_t stages = 0;
  std::uint16_t inner_shape = 0;
  std::uint16_t cluster_shape = 0;
  bool operator==(const CpuAlgorithm&) const = default;
};
LtAlgorithm WordsOf(const CpuAlgorithm& algorithm);
// Null for what is none of ours, or set to what it does not have.
const char* RefusalOf(const LtAlgorithm& words);
CpuAlgorithm AlgorithmOf(const LtAlgorithm& words);

// Of cublasLtEpilogue_t.
struct Epilogue {
  bool has_bias = false;
  bool has_relu = false;
  bool has_gelu = false;
  bool is_gradient = false;  // of what it has, instead
  bool has_aux = false;
  bool has_row_gradient = false;  // sums of the result's rows
  bool has_a_gradient = false;    // sums over k
  bool has_b_gradient = false;
  bool has_gradient() const { return has_row_gradient || has_a_gradient || has_b_gradient; }
};
// False for what is none.
bool ReadEpilogue(i64 epilogue, Epilogue* all);

inline bool IsRowOrder(const LtLayout& layout) { return layout.order != 0; }

}  // namespace accelmesh::cpu_blas
