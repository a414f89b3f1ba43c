// Matrices with structure, and matrix times vector: OpenBLAS's, on checked operands.
#pragma once

#include <algorithm>

#include "server/backend/cpu/blas/context.h"
#include "server/backend/cpu/blas/openblas.h"

namespace accelmesh::cpu_blas {

template <typename... N>
bool CheckFit(Context& context, N... numbers) {
  if (!Fit(numbers...)) context.Fail(kNotSupported, "dimensions of more than 31 bits are not written yet");
  return !context.failed();
}

template <typename T>
void gemv(Context& context, int trans, i64 m, i64 n, Scalar<T> alpha, In<T> a, i64 lda, In<T> x, i64 incx,
          Scalar<T> beta, Out<T> y, i64 incy) {
  if (m <= 0 || n <= 0) return;
  const T scale = context.Value(alpha);
  const T keep = context.Value(beta);
  const T* const matrix = context.Matrix(a, m, n, lda);
  const i64 columns = trans == CUBLAS_OP_N ? n : m;
  const i64 rows = trans == CUBLAS_OP_N ? m : n;
  const Strided<const T> from = context.Vector(x, columns, incx);
  const Strided<T> to = context.Vector(y, rows, incy);
  if (!CheckFit(context, m, n, lda, incx, incy)) return;
  // OpenBLAS takes the first address in memory, whichever way the vector goes.
  const T* const first_x = incx < 0 ? &from[columns - 1] : from.first;
  T* const first_y = incy < 0 ? &to[rows - 1] : to.first;
  Gemv(trans, m, n, scale, matrix, lda, first_x, incx, keep, first_y, incy);
}

// C = alpha * A * B + beta * C, or B * A, with a square A of which one triangle counts; `multiply` is OpenBLAS's.
template <typename T, typename Multiply>
void TimesSquare(Context& context, int side, i64 m, i64 n, Scalar<T> alpha, In<T> a, i64 lda, In<T> b, i64 ldb,
                 Scalar<T> beta, Out<T> c, i64 ldc, Multiply multiply) {
  if (m <= 0 || n <= 0) return;
  const T scale = context.Value(alpha);
  const T keep = context.Value(beta);
  const i64 order = side == CUBLAS_SIDE_LEFT ? m : n;
  const T* const left = context.Matrix(a, order, order, lda);
  const T* const right = context.Matrix(b, m, n, ldb);
  T* const to = context.Matrix(c, m, n, ldc);
  if (CheckFit(context, m, n, lda, ldb, ldc)) multiply(scale, left, right, keep, to);
}

template <typename T>
void symm(Context& context, int side, int uplo, i64 m, i64 n, Scalar<T> alpha, In<T> a, i64 lda, In<T> b, i64 ldb,
          Scalar<T> beta, Out<T> c, i64 ldc) {
  TimesSquare(context, side, m, n, alpha, a, lda, b, ldb, beta, c, ldc,
              [&](T scale, const T* left, const T* right, T keep, T* to) {
                Symm(side, uplo, m, n, scale, left, lda, right, ldb, keep, to, ldc);
              });
}

template <typename T>
void hemm(Context& context, int side, int uplo, i64 m, i64 n, Scalar<T> alpha, In<T> a, i64 lda, In<T> b, i64 ldb,
          Scalar<T> beta, Out<T> c, i64 ldc) {
  TimesSquare(context, side, m, n, alpha, a, lda, b, ldb, beta, c, ldc,
              [&](T scale, const T* left, const T* right, T keep, T* to) {
                Hemm(side, uplo, m, n, scale, left, lda, right, ldb, keep, to, ldc);
              });
}

template <typename T>
void syrk(Context& context, int uplo, int trans, i64 n, i64 k, Scalar<T> alpha, In<T> a, i64 lda, Scalar<T> beta,
          Out<T> c, i64 ldc) {
  if (n <= 0 || k < 0) return;
  const bool plain = trans == CUBLAS_OP_N;
  const T scale = context.Value(alpha);
  const T keep = context.Value(beta);
  const T* const from = context.Matrix(a, plain ? n : k, plain ? k : n, lda);
  T* const to = context.Matrix(c, n, n, ldc);
  if (CheckFit(context, n, k, lda, ldc)) Syrk(uplo, trans, n, k, scale, from, lda, keep, to, ldc);
}

template <typename T>
void herk(Context& context, int uplo, int trans, i64 n, i64 k, Scalar<RealOf<T>> alpha, In<T> a, i64 lda,
          Scalar<RealOf<T>> beta, Out<T> c, i64 ldc) {
  if (n <= 0 || k < 0) return;
  const bool plain = trans == CUBLAS_OP_N;
  const RealOf<T> scale = context.Value(alpha);
  const RealOf<T> keep = context.Value(beta);
  const T* const from = context.Matrix(a, plain ? n : k, plain ? k : n, lda);
  T* const to = context.Matrix(c, n, n, ldc);
  if (CheckFit(context, n, k, lda, ldc)) Herk(uplo, trans, n, k, scale, from, lda, keep, to, ldc);
}

template <typename T>
void syr2k(Context& context, int uplo, int trans, i64 n, i64 k, Scalar<T> alpha, In<T> a, i64 lda, In<T> b, i64 ldb,
           Scalar<T> beta, Out<T> c, i64 ldc) {
  if (n <= 0 || k < 0) return;
  const bool plain = trans == CUBLAS_OP_N;
  const T scale = context.Value(alpha);
  const T keep = context.Value(beta);
  const T* const left = context.Matrix(a, plain ? n : k, plain ? k : n, lda);
  const T* const right = context.Matrix(b, plain ? n : k, plain ? k : n, ldb);
  T* const to = context.Matrix(c, n, n, ldc);
  if (CheckFit(context, n, k, lda, ldb, ldc)) Syr2k(uplo, trans, n, k, scale, left, lda, right, ldb, keep, to, ldc);
}

// cuBLAS's has a place of its own for the result, which may be that of B.
template <typename T>
void trmm(Context& context, int side, int uplo, int trans, int diag, i64 m, i64 n, Scalar<T> alpha, In<T> a, i64 lda,
          In<T> b, i64 ldb, Out<T> c, i64 ldc) {
  if (m <= 0 || n <= 0) return;
  const T scale = context.Value(alpha);
  const i64 order = side == CUBLAS_SIDE_LEFT ? m : n;
  const T* const triangle = context.Matrix(a, order, order, lda);
  const T* const from = context.Matrix(b, m, n, ldb);
  T* const to = context.Matrix(c, m, n, ldc);
  if (!CheckFit(context, m, n, lda, ldb, ldc)) return;
  if (from != to) {
    for (i64 j = 0; j < n; ++j) std::copy_n(from + j * ldb, m, to + j * ldc);
  }
  Trmm(side, uplo, trans, diag, m, n, scale, triangle, lda, to, ldc);
}

template <typename T>
void trsm(Context& context, int side, int uplo, int trans, int diag, i64 m, i64 n, Scalar<T> alpha, In<T> a, i64 lda,
          Out<T> b, i64 ldb) {
  if (m <= 0 || n <= 0) return;
  const T scale = context.Value(alpha);
  const i64 order = side == CUBLAS_SIDE_LEFT ? m : n;
  const T* const triangle = context.Matrix(a, order, order, lda);
  T* const to = context.Matrix(b, m, n, ldb);
  if (CheckFit(context, m, n, lda, ldb)) Trsm(side, uplo, trans, diag, m, n, scale, triangle, lda, to, ldb);
}

// C = alpha * op(A) + beta * op(B); C may be A or B where that is not transposed.
template <typename T>
void geam(Context& context, int transa, int transb, i64 m, i64 n, Scalar<T> alpha, In<T> a, i64 lda, Scalar<T> beta,
          In<T> b, i64 ldb, Out<T> c, i64 ldc) {
  if (m <= 0 || n <= 0) return;
  const T left_scale = context.Value(alpha);
  const T right_scale = context.Value(beta);
  const bool plain_a = transa == CUBLAS_OP_N;
  const bool plain_b = transb == CUBLAS_OP_N;
  const T* const left = left_scale != T(0) ? context.Matrix(a, plain_a ? m : n, plain_a ? n : m, lda) : nullptr;
  const T* const right = right_scale != T(0) ? context.Matrix(b, plain_b ? m : n, plain_b ? n : m, ldb) : nullptr;
  T* const to = context.Matrix(c, m, n, ldc);
  if (context.failed()) return;
  for (i64 j = 0; j < n; ++j) {
    for (i64 i = 0; i < m; ++i) {
      T sum(0);
      if (left != nullptr)
        sum += left_scale * (plain_a ? left[j * lda + i] : ConjugateIf(transa == CUBLAS_OP_C, left[i * lda + j]));
      if (right != nullptr)
        sum += right_scale * (plain_b ? right[j * ldb + i] : ConjugateIf(transb == CUBLAS_OP_C, right[i * ldb + j]));
      to[j * ldc + i] = sum;
    }
  }
}

// C = A * diag(x) or diag(x) * A.
template <typename T>
void dgmm(Context& context, int side, i64 m, i64 n, In<T> a, i64 lda, In<T> x, i64 incx, Out<T> c, i64 ldc) {
  if (m <= 0 || n <= 0) return;
  const bool is_left = side == CUBLAS_SIDE_LEFT;
  const T* const from = context.Matrix(a, m, n, lda);
  const Strided<const T> diagonal = context.Vector(x, is_left ? m : n, incx);
  T* const to = context.Matrix(c, m, n, ldc);
  if (context.failed()) return;
  for (i64 j = 0; j < n; ++j) {
    for (i64 i = 0; i < m; ++i) to[j * ldc + i] = from[j * lda + i] * diagonal[is_left ? i : j];
  }
}

}  // namespace accelmesh::cpu_blas
