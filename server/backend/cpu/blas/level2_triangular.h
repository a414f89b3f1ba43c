// Triangular matrices and vectors: products and solutions; and triangles from packed to whole and back.
#pragma once

#include "server/backend/cpu/blas/columns.h"

namespace accelmesh::cpu_blas {

struct TriangleUse {
  int trans;
  int diag;
  bool has_unit_diagonal() const { return diag == CUBLAS_DIAG_UNIT; }
  bool is_transposed() const { return trans != CUBLAS_OP_N; }
  bool conjugates() const { return trans == CUBLAS_OP_C; }
};

// x = op(A) * x, without gaps. Columns go in the order in which what they need is still as it was.
template <typename T>
void Multiply(const Triangle<const T>& a, const TriangleUse& use, T* x) {
  const bool forwards = a.is_upper() != use.is_transposed();
  for (i64 step = 0; step < a.order(); ++step) {
    const i64 j = forwards ? step : a.order() - 1 - step;
    const auto column = a.ColumnAt(j);
    const T here = x[j];
    if (!use.has_unit_diagonal()) x[j] = ConjugateIf(use.conjugates(), *column.diagonal) * here;
    if (use.is_transposed()) {
      x[j] += DotOf(use.conjugates(), column.count, column.at, x + column.first);
    } else {
      AddScaled(column.count, here, column.at, x + column.first);
    }
  }
}

// x = inverse(op(A)) * x, without gaps.
template <typename T>
void Solve(const Triangle<const T>& a, const TriangleUse& use, T* x) {
  const bool forwards = a.is_upper() == use.is_transposed();
  for (i64 step = 0; step < a.order(); ++step) {
    const i64 j = forwards ? step : a.order() - 1 - step;
    const auto column = a.ColumnAt(j);
    if (use.is_transposed()) x[j] -= DotOf(use.conjugates(), column.count, column.at, x + column.first);
    if (!use.has_unit_diagonal()) x[j] /= ConjugateIf(use.conjugates(), *column.diagonal);
    if (!use.is_transposed()) AddScaled(column.count, -x[j], column.at, x + column.first);
  }
}

template <typename T, typename GetTriangle, typename Run>
void WithTriangle(Context& context, i64 n, Out<T> x, i64 incx, GetTriangle triangle, Run run) {
  if (n <= 0) return;
  const Triangle<const T> a = triangle();
  Target<T> target(context, x, n, incx, T(1));
  if (context.failed()) return;
  run(a, target.data());
  target.Write();
}

template <typename T>
void trmv(Context& context, int uplo, int trans, int diag, i64 n, In<T> a, i64 lda, Out<T> x, i64 incx) {
  WithTriangle(
      context, n, x, incx, [&] { return WholeTriangle(context, uplo, n, a, lda); },
      [&](const Triangle<const T>& triangle, T* to) { Multiply(triangle, {trans, diag}, to); });
}
template <typename T>
void tpmv(Context& context, int uplo, int trans, int diag, i64 n, In<T> a, Out<T> x, i64 incx) {
  WithTriangle(
      context, n, x, incx, [&] { return PackedTriangle(context, uplo, n, a); },
      [&](const Triangle<const T>& triangle, T* to) { Multiply(triangle, {trans, diag}, to); });
}
template <typename T>
void tbmv(Context& context, int uplo, int trans, int diag, i64 n, i64 k, In<T> a, i64 lda, Out<T> x, i64 incx) {
  WithTriangle(
      context, n, x, incx, [&] { return BandTriangle(context, uplo, n, k, a, lda); },
      [&](const Triangle<const T>& triangle, T* to) { Multiply(triangle, {trans, diag}, to); });
}
template <typename T>
void trsv(Context& context, int uplo, int trans, int diag, i64 n, In<T> a, i64 lda, Out<T> x, i64 incx) {
  WithTriangle(
      context, n, x, incx, [&] { return WholeTriangle(context, uplo, n, a, lda); },
      [&](const Triangle<const T>& triangle, T* to) { Solve(triangle, {trans, diag}, to); });
}
template <typename T>
void tpsv(Context& context, int uplo, int trans, int diag, i64 n, In<T> a, Out<T> x, i64 incx) {
  WithTriangle(
      context, n, x, incx, [&] { return PackedTriangle(context, uplo, n, a); },
      [&](const Triangle<const T>& triangle, T* to) { Solve(triangle, {trans, diag}, to); });
}
template <typename T>
void tbsv(Context& context, int uplo, int trans, int diag, i64 n, i64 k, In<T> a, i64 lda, Out<T> x, i64 incx) {
  WithTriangle(
      context, n, x, incx, [&] { return BandTriangle(context, uplo, n, k, a, lda); },
      [&](const Triangle<const T>& triangle, T* to) { Solve(triangle, {trans, diag}, to); });
}

template <typename T>
void CopyTriangle(Context& context, const Triangle<const T>& from, const Triangle<T>& to) {
  if (context.failed()) return;
  for (i64 j = 0; j < from.order(); ++j) {
    const auto source = from.ColumnAt(j);
    const auto target = to.ColumnAt(j);
    std::copy_n(source.at, source.count, target.at);
    *target.diagonal = *source.diagonal;
  }
}
template <typename T>
void trttp(Context& context, int uplo, i64 n, In<T> a, i64 lda, Out<T> packed) {
  if (n > 0) CopyTriangle(context, WholeTriangle(context, uplo, n, a, lda), PackedTriangle(context, uplo, n, packed));
}
template <typename T>
void tpttr(Context& context, int uplo, i64 n, In<T> packed, Out<T> a, i64 lda) {
  if (n > 0) CopyTriangle(context, PackedTriangle(context, uplo, n, packed), WholeTriangle(context, uplo, n, a, lda));
}

}  // namespace accelmesh::cpu_blas
