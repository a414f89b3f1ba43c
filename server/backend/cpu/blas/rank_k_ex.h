// Rank-k updates whose types are arguments: complex numbers, from complex ones of eight bits as well.
#pragma once

#include <algorithm>
#include <vector>

#include "server/backend/cpu/blas/columns.h"
#include "server/backend/cpu/blas/openblas.h"

namespace accelmesh::cpu_blas {

// `update` adds one product to C: of so many columns or rows k, with that alpha and beta.
template <typename S, typename Update>
void RankKEx(Context& context, int trans, i64 n, i64 k, Scalar<S> alpha, In<void> a, int a_type, i64 lda,
             Scalar<S> beta, Out<void> c, int c_type, i64 ldc, Update update) {
  if (n <= 0 || k < 0) return;
  const S scale = context.Value(alpha);
  const S keep = context.Value(beta);
  const bool plain = trans == CUBLAS_OP_N;
  const i64 rows = plain ? n : k;
  const i64 columns = plain ? k : n;
  if (c_type != CUDA_C_32F || (a_type != CUDA_C_32F && a_type != CUDA_C_8I))
    return context.Fail(kNotSupported, "that combination of types is none of this function's");
  ComplexFloat* const to = context.Matrix(Out<ComplexFloat>{c.address}, n, n, &ldc);
  if (scale == S(0) || k == 0) {
    if (CheckFit(context, n, k, ldc)) update(0, scale, nullptr, std::max<i64>(1, rows), keep, to, ldc);
    return;
  }
  if (a_type == CUDA_C_32F) {
    const ComplexFloat* const from = context.Matrix(In<ComplexFloat>{a.address}, rows, columns, &lda);
    if (CheckFit(context, n, k, lda, ldc)) update(k, scale, from, lda, keep, to, ldc);
    return;
  }
  const ComplexInt8* const from = context.Matrix(In<ComplexInt8>{a.address}, rows, columns, &lda);
  if (!CheckFit(context, n, ldc)) return;
  constexpr i64 kPanel = 128;
  std::vector<ComplexFloat> panel;
  for (i64 first = 0; first < k; first += kPanel) {
    const i64 depth = std::min(kPanel, k - first);
    const i64 panel_rows = plain ? n : depth;
    panel.clear();
    for (i64 j = 0; j < (plain ? depth : n); ++j) {
      const ComplexInt8* const column = from + (plain ? (first + j) * lda : j * lda + first);
      for (i64 i = 0; i < panel_rows; ++i) panel.push_back(Convert<ComplexFloat>(column[i]));
    }
    update(depth, scale, panel.data(), panel_rows, first == 0 ? keep : S(1), to, ldc);
  }
}

inline void syrkEx(Context& context, int uplo, int trans, i64 n, i64 k, Scalar<ComplexFloat> alpha, In<void> a,
                   int a_type, i64 lda, Scalar<ComplexFloat> beta, Out<void> c, int c_type, i64 ldc) {
  RankKEx(
      context, trans, n, k, alpha, a, a_type, lda, beta, c, c_type, ldc,
      [&](i64 depth, ComplexFloat scale, const ComplexFloat* from, i64 from_stride, ComplexFloat keep, ComplexFloat* to,
          i64 stride) { Syrk(uplo, trans, n, depth, scale, from, from_stride, keep, to, stride); });
}
inline void syrk3mEx(Context& context, int uplo, int trans, i64 n, i64 k, Scalar<ComplexFloat> alpha, In<void> a,
                     int a_type, i64 lda, Scalar<ComplexFloat> beta, Out<void> c, int c_type, i64 ldc) {
  syrkEx(context, uplo, trans, n, k, alpha, a, a_type, lda, beta, c, c_type, ldc);
}
inline void herkEx(Context& context, int uplo, int trans, i64 n, i64 k, Scalar<float> alpha, In<void> a, int a_type,
                   i64 lda, Scalar<float> beta, Out<void> c, int c_type, i64 ldc) {
  RankKEx(context, trans, n, k, alpha, a, a_type, lda, beta, c, c_type, ldc,
          [&](i64 depth, float scale, const ComplexFloat* from, i64 from_stride, float keep, ComplexFloat* to,
              i64 stride) { Herk(uplo, trans, n, depth, scale, from, from_stride, keep, to, stride); });
}
inline void herk3mEx(Context& context, int uplo, int trans, i64 n, i64 k, Scalar<float> alpha, In<void> a, int a_type,
                     i64 lda, Scalar<float> beta, Out<void> c, int c_type, i64 ldc) {
  herkEx(context, uplo, trans, n, k, alpha, a, a_type, lda, beta, c, c_type, ldc);
}

}  // namespace accelmesh::cpu_blas
