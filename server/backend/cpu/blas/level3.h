// Matrices with structure times matrices, and what is done to whole matrices element by element: on checked operands.
#pragma once

#include <algorithm>

#include "server/backend/cpu/blas/batches.h"
#include "server/backend/cpu/blas/context.h"
#include "server/backend/cpu/blas/openblas.h"

namespace accelmesh::cpu_blas {

// C = alpha * A * B + beta * C, or B * A, with a square A of which one triangle counts; `multiply` is OpenBLAS's.
template <typename T, typename Multiply>
void TimesSquare(Context& context, int side, i64 m, i64 n, Scalar<T> alpha, In<T> a, i64 lda, In<T> b, i64 ldb,
                 Scalar<T> beta, Out<T> c, i64 ldc, Multiply multiply) {
  if (m <= 0 || n <= 0) return;
  const T scale = context.Value(alpha);
  const T keep = context.Value(beta);
  const i64 order = side == CUBLAS_SIDE_LEFT ? m : n;
  const bool reads = scale != T(0);
  const T* const left = context.MatrixIf(reads, a, order, order, &lda);
  const T* const right = context.MatrixIf(reads, b, m, n, &ldb);
  T* const to = context.Matrix(c, m, n, &ldc);
  if (CheckFit(context, m, n, lda, ldb, ldc)) multiply(scale, left, lda, right, ldb, keep, to, ldc);
}

template <typename T>
void symm(Context& context, int side, int uplo, i64 m, i64 n, Scalar<T> alpha, In<T> a, i64 lda, In<T> b, i64 ldb,
          Scalar<T> beta, Out<T> c, i64 ldc) {
  TimesSquare(
      context, side, m, n, alpha, a, lda, b, ldb, beta, c, ldc,
      [&](T scale, const T* left, i64 left_stride, const T* right, i64 right_stride, T keep, T* to, i64 stride) {
        Symm(side, uplo, m, n, scale, left, left_stride, right, right_stride, keep, to, stride);
      });
}

template <typename T>
void hemm(Context& context, int side, int uplo, i64 m, i64 n, Scalar<T> alpha, In<T> a, i64 lda, In<T> b, i64 ldb,
          Scalar<T> beta, Out<T> c, i64 ldc) {
  TimesSquare(
      context, side, m, n, alpha, a, lda, b, ldb, beta, c, ldc,
      [&](T scale, const T* left, i64 left_stride, const T* right, i64 right_stride, T keep, T* to, i64 stride) {
        Hemm(side, uplo, m, n, scale, left, left_stride, right, right_stride, keep, to, stride);
      });
}

template <typename T>
void FillZero(i64 m, i64 n, T* c, i64 ldc) {
  for (i64 j = 0; j < n; ++j) std::fill_n(c + j * ldc, m, T(0));
}

// cuBLAS's has a place of its own for the result, which may be that of B.
template <typename T>
void trmm(Context& context, int side, int uplo, int trans, int diag, i64 m, i64 n, Scalar<T> alpha, In<T> a, i64 lda,
          In<T> b, i64 ldb, Out<T> c, i64 ldc) {
  if (m <= 0 || n <= 0) return;
  const T scale = context.Value(alpha);
  const i64 order = side == CUBLAS_SIDE_LEFT ? m : n;
  const bool reads = scale != T(0);
  const T* const triangle = context.MatrixIf(reads, a, order, order, &lda);
  const T* const from = context.MatrixIf(reads, b, m, n, &ldb);
  T* const to = context.Matrix(c, m, n, &ldc);
  if (!CheckFit(context, m, n, lda, ldb, ldc)) return;
  if (!reads) return FillZero(m, n, to, ldc);
  if (from != to) {
    for (i64 j = 0; j < n; ++j) std::copy_n(from + j * ldb, m, to + j * ldc);
  }
  Trmm(side, uplo, trans, diag, m, n, scale, triangle, lda, to, ldc);
}

struct SolveShape {
  int side;
  int uplo;
  int trans;
  int diag;
  i64 m;
  i64 n;
  i64 lda;
  i64 ldb;
};

template <typename T>
void SolveMatrix(Context& context, SolveShape s, T scale, In<T> a, Out<T> b, bool only_checks = false) {
  if (s.m <= 0 || s.n <= 0) return;
  const i64 order = s.side == CUBLAS_SIDE_LEFT ? s.m : s.n;
  const bool reads = scale != T(0);
  const T* const triangle = context.MatrixIf(reads, a, order, order, &s.lda);
  T* const to = context.Matrix(b, s.m, s.n, &s.ldb);
  if (!CheckFit(context, s.m, s.n, s.lda, s.ldb) || only_checks) return;
  if (!reads) return FillZero(s.m, s.n, to, s.ldb);
  Trsm(s.side, s.uplo, s.trans, s.diag, s.m, s.n, scale, triangle, s.lda, to, s.ldb);
}

template <typename T>
void trsm(Context& context, int side, int uplo, int trans, int diag, i64 m, i64 n, Scalar<T> alpha, In<T> a, i64 lda,
          Out<T> b, i64 ldb) {
  if (m <= 0 || n <= 0) return;
  SolveMatrix(context, {side, uplo, trans, diag, m, n, lda, ldb}, context.Value(alpha), a, b);
}
template <typename T>
void trsmBatched(Context& context, int side, int uplo, int trans, int diag, i64 m, i64 n, Scalar<T> alpha, InArray<T> a,
                 i64 lda, OutArray<T> b, i64 ldb, i64 count) {
  if (m <= 0 || n <= 0 || count <= 0) return;
  const T scale = context.Value(alpha);
  const std::vector<In<T>> triangles = context.Addresses(a, count);
  const std::vector<Out<T>> to = context.Addresses(b, count);
  ForBatch(context, count, [&](i64 i, bool only_checks) {
    const auto index = static_cast<std::size_t>(i);
    SolveMatrix(context, {side, uplo, trans, diag, m, n, lda, ldb}, scale, triangles[index], to[index], only_checks);
  });
}

// C = alpha * op(A) + beta * op(B); C may be A or B where that is not transposed. By squares, whose rows and columns
// both stay in the cache.
template <typename T>
void geam(Context& context, int transa, int transb, i64 m, i64 n, Scalar<T> alpha, In<T> a, i64 lda, Scalar<T> beta,
          In<T> b, i64 ldb, Out<T> c, i64 ldc) {
  if (m <= 0 || n <= 0) return;
  constexpr i64 kSquare = 32;
  const T left_scale = context.Value(alpha);
  const T right_scale = context.Value(beta);
  const bool plain_a = transa == CUBLAS_OP_N;
  const bool plain_b = transb == CUBLAS_OP_N;
  const T* const left = context.MatrixIf(left_scale != T(0), a, plain_a ? m : n, plain_a ? n : m, &lda);
  const T* const right = context.MatrixIf(right_scale != T(0), b, plain_b ? m : n, plain_b ? n : m, &ldb);
  T* const to = context.Matrix(c, m, n, &ldc);
  if (context.failed()) return;
  const auto sum_at = [&](i64 i, i64 j) {
    T sum(0);
    if (left != nullptr)
      sum += left_scale * (plain_a ? left[j * lda + i] : ConjugateIf(transa == CUBLAS_OP_C, left[i * lda + j]));
    if (right != nullptr)
      sum += right_scale * (plain_b ? right[j * ldb + i] : ConjugateIf(transb == CUBLAS_OP_C, right[i * ldb + j]));
    return sum;
  };
  for (i64 column = 0; column < n; column += kSquare) {
    for (i64 row = 0; row < m; row += kSquare) {
      for (i64 j = column; j < std::min(n, column + kSquare); ++j) {
        for (i64 i = row; i < std::min(m, row + kSquare); ++i) to[j * ldc + i] = sum_at(i, j);
      }
    }
  }
}

// C = A * diag(x) or diag(x) * A; C may be A.
template <typename T>
void dgmm(Context& context, int side, i64 m, i64 n, In<T> a, i64 lda, In<T> x, i64 incx, Out<T> c, i64 ldc) {
  if (m <= 0 || n <= 0) return;
  const bool is_left = side == CUBLAS_SIDE_LEFT;
  const T* const from = context.Matrix(a, m, n, &lda);
  const Strided<const T> diagonal = context.Vector(x, is_left ? m : n, incx);
  T* const to = context.Matrix(c, m, n, &ldc);
  if (context.failed()) return;
  for (i64 j = 0; j < n; ++j) {
    for (i64 i = 0; i < m; ++i) to[j * ldc + i] = from[j * lda + i] * diagonal[is_left ? i : j];
  }
}

}  // namespace accelmesh::cpu_blas
