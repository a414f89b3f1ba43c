// Matrix times vector, and what is added to a matrix, for matrices without structure.
#pragma once

#include "server/backend/cpu/blas/matrix_vector.h"

namespace accelmesh::cpu_blas {

template <typename T>
void gemv(Context& context, int trans, i64 m, i64 n, Scalar<T> alpha, In<T> a, i64 lda, In<T> x, i64 incx,
          Scalar<T> beta, Out<T> y, i64 incy) {
  if (m <= 0 || n <= 0) return;
  const T scale = context.Value(alpha);
  MatrixTimesVector(context, {trans, m, n, lda, incx, incy}, scale, a, x, context.Value(beta), y);
}

// A matrix of `below` and `above` diagonals beside the main one, each a row in memory.
template <typename T>
void gbmv(Context& context, int trans, i64 m, i64 n, i64 below, i64 above, Scalar<T> alpha, In<T> a, i64 lda, In<T> x,
          i64 incx, Scalar<T> beta, Out<T> y, i64 incy) {
  if (m <= 0 || n <= 0) return;
  const T scale = context.Value(alpha);
  const T keep = context.Value(beta);
  const bool reads = scale != T(0);
  const std::vector<T> from = Gathered(context, x, !reads ? 0 : trans == CUBLAS_OP_N ? n : m, incx);
  Target<T> to(context, y, trans == CUBLAS_OP_N ? m : n, incy, keep);
  if (below < 0 || above < 0 || lda < 0 || lda - above <= below) context.Fail(kInvalidValue, "columns that overlap");
  if (context.failed()) return;
  // Columns that the band reaches, and how far it does in the last of them.
  const i64 columns = n - 1 - above > m - 1 ? m + above : n;
  const i64 last_row = above + std::min(below, m - columns);
  GeneralMatrix<const T> band{nullptr, lda - 1, m, columns, below, above};
  if (reads) {
    const std::uint64_t extent = context.Extent(last_row + 1, columns, lda);
    const void* const at = context.Check(a.address, extent, sizeof(T), alignof(T));
    if (at != nullptr) band.at = static_cast<const T*>(at) + above;
  }
  if (context.failed()) return;
  if (reads) AddProduct(band, trans, scale, from.data(), to.data());
  to.Write();
}

// A += alpha * x * transposed(y).
template <bool kConjugates, typename T>
void AddOuterProduct(Context& context, i64 m, i64 n, Scalar<T> alpha, In<T> x, i64 incx, In<T> y, i64 incy, Out<T> a,
                     i64 lda) {
  if (m <= 0 || n <= 0) return;
  const T scale = context.Value(alpha);
  if (scale == T(0)) return;
  T* const to = context.Matrix(a, m, n, &lda);
  const std::vector<T> left = Gathered(context, x, m, incx);
  const std::vector<T> right = Gathered(context, y, n, incy);
  if (context.failed()) return;
  for (i64 j = 0; j < n; ++j) {
    const T by = scale * ConjugateIf(kConjugates, right[static_cast<std::size_t>(j)]);
    AddScaled(m, by, left.data(), to + j * lda);
  }
}
template <typename T>
void ger(Context& context, i64 m, i64 n, Scalar<T> alpha, In<T> x, i64 incx, In<T> y, i64 incy, Out<T> a, i64 lda) {
  AddOuterProduct<false>(context, m, n, alpha, x, incx, y, incy, a, lda);
}
template <typename T>
void geru(Context& context, i64 m, i64 n, Scalar<T> alpha, In<T> x, i64 incx, In<T> y, i64 incy, Out<T> a, i64 lda) {
  AddOuterProduct<false>(context, m, n, alpha, x, incx, y, incy, a, lda);
}
template <typename T>
void gerc(Context& context, i64 m, i64 n, Scalar<T> alpha, In<T> x, i64 incx, In<T> y, i64 incy, Out<T> a, i64 lda) {
  AddOuterProduct<true>(context, m, n, alpha, x, incx, y, incy, a, lda);
}

}  // namespace accelmesh::cpu_blas
