#include "shim/blaslt/types.h"

#include <algorithm>
#include <iterator>

namespace accelmesh::blaslt {
namespace {

struct Combination {
  std::int64_t scale;
  std::int64_t ab;
  std::int64_t cd;
};
template <std::size_t N>
bool IsAny(const Combination (&all)[N], const LtTypes& types) {
  return types.a == types.b && types.c == types.d && std::any_of(all, all + N, [&types](const Combination& one) {
           return one.scale == types.scale_type && one.ab == types.a && one.cd == types.d;
         });
}

bool IsAnyOf(std::int64_t type, std::initializer_list<std::int64_t> all) {
  return std::find(all.begin(), all.end(), type) != all.end();
}
bool IsFp8(std::int64_t type) { return IsAnyOf(type, {CUDA_R_8F_E4M3, CUDA_R_8F_E5M2}); }

bool IsNarrowMatmul(const LtTypes& types) {
  if (types.scale_type != CUDA_R_32F || !IsAnyOf(types.c, {CUDA_R_16BF, CUDA_R_16F, CUDA_R_32F})) return false;
  if (types.a == CUDA_R_4F_E2M1 || types.b == CUDA_R_4F_E2M1)
    return types.a == types.b && (types.d == types.c || (types.d == CUDA_R_4F_E2M1 && types.c != CUDA_R_32F));
  if (!IsFp8(types.a) || !IsFp8(types.b)) return false;
  if (types.a == CUDA_R_8F_E5M2 && types.b == CUDA_R_8F_E5M2) return false;
  if (types.d == types.c) return true;
  // E5M2 comes of E5M2.
  return types.c != CUDA_R_32F && (types.d == CUDA_R_8F_E4M3 || (types.d == CUDA_R_8F_E5M2 && types.a != types.b));
}

}  // namespace

std::size_t AlignmentOf(std::int64_t type) {
  switch (type) {
    case CUDA_R_8I:
    case CUDA_R_8U:
    case CUDA_R_8F_E4M3:
    case CUDA_R_8F_E5M2:
    case CUDA_R_4F_E2M1: return 1;
    case CUDA_R_16F:
    case CUDA_R_16BF:
    case CUDA_C_8I: return 2;
    case CUDA_R_32F:
    case CUDA_R_32I:
    case CUDA_C_16F:
    case CUDA_C_16BF: return 4;
    case CUDA_R_64F:
    case CUDA_C_32F: return 8;
    case CUDA_C_64F: return 16;
    default: return 0;
  }
}

std::size_t ScaleBytes(std::int64_t scale_type) {
  switch (scale_type) {
    case CUDA_R_16F:
    case CUDA_R_16BF: return 2;
    case CUDA_R_32F:
    case CUDA_R_32I: return 4;
    case CUDA_R_64F:
    case CUDA_C_32F: return 8;
    case CUDA_C_64F: return 16;
    default: return 0;
  }
}

bool IsNarrow(std::int64_t type) { return IsFp8(type) || type == CUDA_R_4F_E2M1; }

bool IsMatmul(const LtTypes& types) {
  static constexpr Combination kHalf[] = {{CUDA_R_16F, CUDA_R_16F, CUDA_R_16F}};
  static constexpr Combination kInteger[] = {{CUDA_R_32I, CUDA_R_8I, CUDA_R_32I}, {CUDA_R_32F, CUDA_R_8I, CUDA_R_8I}};
  static constexpr Combination kSingle[] = {
      {CUDA_R_32F, CUDA_R_16BF, CUDA_R_16BF}, {CUDA_R_32F, CUDA_R_16F, CUDA_R_16F},
      {CUDA_R_32F, CUDA_R_8I, CUDA_R_32F},    {CUDA_R_32F, CUDA_R_16BF, CUDA_R_32F},
      {CUDA_R_32F, CUDA_R_16F, CUDA_R_32F},   {CUDA_R_32F, CUDA_R_32F, CUDA_R_32F},
      {CUDA_C_32F, CUDA_C_8I, CUDA_C_32F},    {CUDA_C_32F, CUDA_C_32F, CUDA_C_32F},
      {CUDA_C_32F, CUDA_C_16F, CUDA_C_16F},   {CUDA_C_32F, CUDA_C_16F, CUDA_C_32F},
      {CUDA_C_32F, CUDA_C_16BF, CUDA_C_16BF}, {CUDA_C_32F, CUDA_C_16BF, CUDA_C_32F}};
  static constexpr Combination kFast[] = {{CUDA_R_32F, CUDA_R_32F, CUDA_R_32F}, {CUDA_C_32F, CUDA_C_32F, CUDA_C_32F}};
  static constexpr Combination kDouble[] = {{CUDA_R_64F, CUDA_R_64F, CUDA_R_64F}, {CUDA_C_64F, CUDA_C_64F, CUDA_C_64F}};
  switch (types.compute_type) {
    case CUBLAS_COMPUTE_16F:
    case CUBLAS_COMPUTE_16F_PEDANTIC: return IsAny(kHalf, types);
    case CUBLAS_COMPUTE_32I:
    case CUBLAS_COMPUTE_32I_PEDANTIC: return IsAny(kInteger, types);
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC: return IsAny(kSingle, types) || IsNarrowMatmul(types);
    case CUBLAS_COMPUTE_32F_FAST_16F:
    case CUBLAS_COMPUTE_32F_FAST_16BF:
    case CUBLAS_COMPUTE_32F_FAST_TF32:
    case CUBLAS_COMPUTE_32F_EMULATED_16BFX9: return IsAny(kFast, types);
    case CUBLAS_COMPUTE_64F:
    case CUBLAS_COMPUTE_64F_PEDANTIC:
    case CUBLAS_COMPUTE_64F_EMULATED_FIXEDPOINT: return IsAny(kDouble, types);
    default: return false;
  }
}

}  // namespace accelmesh::blaslt
