// Symmetric and Hermitian matrices and vectors: whole, packed and as bands, of which one triangle is stored.
#pragma once

#include "server/backend/cpu/blas/columns.h"

namespace accelmesh::cpu_blas {

// y += scale * A * x, for vectors without gaps.
template <bool kHermitian, typename T>
void AddSquareProduct(const Triangle<const T>& a, T scale, const T* x, T* y) {
  for (i64 j = 0; j < a.order(); ++j) {
    const auto column = a.ColumnAt(j);
    const T diagonal = kHermitian ? T(std::real(*column.diagonal)) : *column.diagonal;
    // What is stored of the column is, mirrored, of the row as well.
    AddScaled(column.count, scale * x[j], column.at, y + column.first);
    y[j] += scale * (diagonal * x[j] + DotOf<kHermitian>(column.count, column.at, x + column.first));
  }
}

// y = alpha * A * x + beta * y; `triangle` gives A, checked.
template <bool kHermitian, typename T, typename GetTriangle>
void SquareTimesVector(Context& context, i64 n, Scalar<T> alpha, In<T> x, i64 incx, Scalar<T> beta, Out<T> y, i64 incy,
                       GetTriangle triangle) {
  if (n <= 0) return;
  const T scale = context.Value(alpha);
  Target<T> to(context, y, n, incy, context.Value(beta));
  if (scale != T(0)) {
    const Triangle<const T> a = triangle();
    const std::vector<T> from = Gathered(context, x, n, incx);
    if (!context.failed()) AddSquareProduct<kHermitian>(a, scale, from.data(), to.data());
  }
  if (!context.failed()) to.Write();
}

template <typename T>
void symv(Context& context, int uplo, i64 n, Scalar<T> alpha, In<T> a, i64 lda, In<T> x, i64 incx, Scalar<T> beta,
          Out<T> y, i64 incy) {
  SquareTimesVector<false>(context, n, alpha, x, incx, beta, y, incy,
                           [&] { return WholeTriangle(context, uplo, n, a, lda); });
}
template <typename T>
void hemv(Context& context, int uplo, i64 n, Scalar<T> alpha, In<T> a, i64 lda, In<T> x, i64 incx, Scalar<T> beta,
          Out<T> y, i64 incy) {
  SquareTimesVector<true>(context, n, alpha, x, incx, beta, y, incy,
                          [&] { return WholeTriangle(context, uplo, n, a, lda); });
}
template <typename T>
void spmv(Context& context, int uplo, i64 n, Scalar<T> alpha, In<T> a, In<T> x, i64 incx, Scalar<T> beta, Out<T> y,
          i64 incy) {
  SquareTimesVector<false>(context, n, alpha, x, incx, beta, y, incy,
                           [&] { return PackedTriangle(context, uplo, n, a); });
}
template <typename T>
void hpmv(Context& context, int uplo, i64 n, Scalar<T> alpha, In<T> a, In<T> x, i64 incx, Scalar<T> beta, Out<T> y,
          i64 incy) {
  SquareTimesVector<true>(context, n, alpha, x, incx, beta, y, incy,
                          [&] { return PackedTriangle(context, uplo, n, a); });
}
template <typename T>
void sbmv(Context& context, int uplo, i64 n, i64 k, Scalar<T> alpha, In<T> a, i64 lda, In<T> x, i64 incx,
          Scalar<T> beta, Out<T> y, i64 incy) {
  SquareTimesVector<false>(context, n, alpha, x, incx, beta, y, incy,
                           [&] { return BandTriangle(context, uplo, n, k, a, lda); });
}
template <typename T>
void hbmv(Context& context, int uplo, i64 n, i64 k, Scalar<T> alpha, In<T> a, i64 lda, In<T> x, i64 incx,
          Scalar<T> beta, Out<T> y, i64 incy) {
  SquareTimesVector<true>(context, n, alpha, x, incx, beta, y, incy,
                          [&] { return BandTriangle(context, uplo, n, k, a, lda); });
}

// A += alpha * x * transposed(x). A Hermitian matrix' diagonal comes out real.
template <bool kHermitian, typename T, typename S, typename GetTriangle>
void AddSquare(Context& context, i64 n, Scalar<S> alpha, In<T> x, i64 incx, GetTriangle triangle) {
  if (n <= 0) return;
  const S scale = context.Value(alpha);
  if (scale == S(0)) return;
  const Triangle<T> a = triangle();
  const std::vector<T> from = Gathered(context, x, n, incx);
  if (context.failed()) return;
  for (i64 j = 0; j < n; ++j) {
    const T here = from[static_cast<std::size_t>(j)];
    const auto column = a.ColumnAt(j);
    const T by = scale * ConjugateIf(kHermitian, here);
    AddScaled(column.count, by, from.data() + column.first, column.at);
    *column.diagonal += by * here;
    if (kHermitian) *column.diagonal = T(std::real(*column.diagonal));
  }
}

template <typename T>
void syr(Context& context, int uplo, i64 n, Scalar<T> alpha, In<T> x, i64 incx, Out<T> a, i64 lda) {
  AddSquare<false>(context, n, alpha, x, incx, [&] { return WholeTriangle(context, uplo, n, a, lda); });
}
template <typename T>
void her(Context& context, int uplo, i64 n, Scalar<RealOf<T>> alpha, In<T> x, i64 incx, Out<T> a, i64 lda) {
  AddSquare<true>(context, n, alpha, x, incx, [&] { return WholeTriangle(context, uplo, n, a, lda); });
}
template <typename T>
void spr(Context& context, int uplo, i64 n, Scalar<T> alpha, In<T> x, i64 incx, Out<T> a) {
  AddSquare<false>(context, n, alpha, x, incx, [&] { return PackedTriangle(context, uplo, n, a); });
}
template <typename T>
void hpr(Context& context, int uplo, i64 n, Scalar<RealOf<T>> alpha, In<T> x, i64 incx, Out<T> a) {
  AddSquare<true>(context, n, alpha, x, incx, [&] { return PackedTriangle(context, uplo, n, a); });
}

// A += alpha * x * transposed(y), and the same mirrored.
template <bool kHermitian, typename T, typename GetTriangle>
void AddBoth(Context& context, i64 n, Scalar<T> alpha, In<T> x, i64 incx, In<T> y, i64 incy, GetTriangle triangle) {
  if (n <= 0) return;
  const T scale = context.Value(alpha);
  if (scale == T(0)) return;
  const Triangle<T> a = triangle();
  const std::vector<T> left = Gathered(context, x, n, incx);
  const std::vector<T> right = Gathered(context, y, n, incy);
  if (context.failed()) return;
  for (i64 j = 0; j < n; ++j) {
    const auto index = static_cast<std::size_t>(j);
    const auto column = a.ColumnAt(j);
    const T by_right = scale * ConjugateIf(kHermitian, right[index]);
    const T by_left = ConjugateIf(kHermitian, scale * left[index]);
    AddScaled(column.count, by_right, left.data() + column.first, column.at);
    AddScaled(column.count, by_left, right.data() + column.first, column.at);
    *column.diagonal += by_right * left[index] + by_left * right[index];
    if (kHermitian) *column.diagonal = T(std::real(*column.diagonal));
  }
}

template <typename T>
void syr2(Context& context, int uplo, i64 n, Scalar<T> alpha, In<T> x, i64 incx, In<T> y, i64 incy, Out<T> a, i64 lda) {
  AddBoth<false>(context, n, alpha, x, incx, y, incy, [&] { return WholeTriangle(context, uplo, n, a, lda); });
}
template <typename T>
void her2(Context& context, int uplo, i64 n, Scalar<T> alpha, In<T> x, i64 incx, In<T> y, i64 incy, Out<T> a, i64 lda) {
  AddBoth<true>(context, n, alpha, x, incx, y, incy, [&] { return WholeTriangle(context, uplo, n, a, lda); });
}
template <typename T>
void spr2(Context& context, int uplo, i64 n, Scalar<T> alpha, In<T> x, i64 incx, In<T> y, i64 incy, Out<T> a) {
  AddBoth<false>(context, n, alpha, x, incx, y, incy, [&] { return PackedTriangle(context, uplo, n, a); });
}
template <typename T>
void hpr2(Context& context, int uplo, i64 n, Scalar<T> alpha, In<T> x, i64 incx, In<T> y, i64 incy, Out<T> a) {
  AddBoth<true>(context, n, alpha, x, incx, y, incy, [&] { return PackedTriangle(context, uplo, n, a); });
}

}  // namespace accelmesh::cpu_blas
