// Products of a matrix and its like transposed, of which one triangle is computed.
#pragma once

#include <algorithm>
#include <memory>

#include "server/backend/cpu/blas/context.h"
#include "server/backend/cpu/blas/openblas.h"

namespace accelmesh::cpu_blas {

struct RankKShape {
  int uplo;
  int trans;
  i64 n;
  i64 k;
  i64 lda;
  i64 ldb;
  i64 ldc;
  bool is_empty() const { return n <= 0 || k < 0; }
  i64 rows() const { return trans == CUBLAS_OP_N ? n : k; }
  i64 columns() const { return trans == CUBLAS_OP_N ? k : n; }
};

template <typename T>
struct RankKOperands {
  const T* a;  // null, like b, where nothing is added
  const T* b;
  T* c;
};

// Checked, and the strides of `s` as Matrix() leaves them; look at failed().
template <typename T>
RankKOperands<T> CheckRankK(Context& context, RankKShape& s, bool reads, In<T> a, In<T> b, Out<T> c) {
  RankKOperands<T> found{};
  if (!reads) s.k = 0;
  found.a = context.MatrixIf(reads, a, s.rows(), s.columns(), &s.lda);
  found.b = context.MatrixIf(reads, b, s.rows(), s.columns(), &s.ldb);
  found.c = context.Matrix(c, s.n, s.n, &s.ldc);
  CheckFit(context, s.n, s.k, s.lda, s.ldb, s.ldc);
  return found;
}

template <typename T>
void syrk(Context& context, int uplo, int trans, i64 n, i64 k, Scalar<T> alpha, In<T> a, i64 lda, Scalar<T> beta,
          Out<T> c, i64 ldc) {
  RankKShape s{uplo, trans, n, k, lda, lda, ldc};
  if (s.is_empty()) return;
  const T scale = context.Value(alpha);
  const T keep = context.Value(beta);
  const RankKOperands<T> to = CheckRankK(context, s, scale != T(0), a, a, c);
  if (!context.failed()) Syrk(uplo, trans, n, s.k, scale, to.a, s.lda, keep, to.c, s.ldc);
}

template <typename T>
void herk(Context& context, int uplo, int trans, i64 n, i64 k, Scalar<RealOf<T>> alpha, In<T> a, i64 lda,
          Scalar<RealOf<T>> beta, Out<T> c, i64 ldc) {
  RankKShape s{uplo, trans, n, k, lda, lda, ldc};
  if (s.is_empty()) return;
  const RealOf<T> scale = context.Value(alpha);
  const RealOf<T> keep = context.Value(beta);
  const RankKOperands<T> to = CheckRankK(context, s, scale != 0, a, a, c);
  if (!context.failed()) Herk(uplo, trans, n, s.k, scale, to.a, s.lda, keep, to.c, s.ldc);
}

template <typename T>
void syr2k(Context& context, int uplo, int trans, i64 n, i64 k, Scalar<T> alpha, In<T> a, i64 lda, In<T> b, i64 ldb,
           Scalar<T> beta, Out<T> c, i64 ldc) {
  RankKShape s{uplo, trans, n, k, lda, ldb, ldc};
  if (s.is_empty()) return;
  const T scale = context.Value(alpha);
  const T keep = context.Value(beta);
  const RankKOperands<T> to = CheckRankK(context, s, scale != T(0), a, b, c);
  if (!context.failed()) Syr2k(uplo, trans, n, s.k, scale, to.a, s.lda, to.b, s.ldb, keep, to.c, s.ldc);
}

template <typename T>
void her2k(Context& context, int uplo, int trans, i64 n, i64 k, Scalar<T> alpha, In<T> a, i64 lda, In<T> b, i64 ldb,
           Scalar<RealOf<T>> beta, Out<T> c, i64 ldc) {
  RankKShape s{uplo, trans, n, k, lda, ldb, ldc};
  if (s.is_empty()) return;
  const T scale = context.Value(alpha);
  const RealOf<T> keep = context.Value(beta);
  const RankKOperands<T> to = CheckRankK(context, s, scale != T(0), a, b, c);
  if (!context.failed()) Her2k(uplo, trans, n, s.k, scale, to.a, s.lda, to.b, s.ldb, keep, to.c, s.ldc);
}

// One triangle of C = alpha * op(A) * transposed(op(B)) + beta * C, by strips of columns: what lies beside the diagonal
// in place, the blocks on it aside.
template <bool kHermitian, typename T, typename S>
void TriangleOfProduct(const RankKShape& s, T scale, const RankKOperands<T>& to, S keep) {
  constexpr i64 kStrip = 128;
  const bool plain = s.trans == CUBLAS_OP_N;
  const bool is_upper = s.uplo == CUBLAS_FILL_MODE_UPPER;
  const int turned = kHermitian ? CUBLAS_OP_C : CUBLAS_OP_T;
  const i64 depth = to.a == nullptr ? 0 : s.k;
  const auto multiply = [&](i64 row, i64 rows, i64 column, i64 columns, T beta, T* c, i64 ldc) {
    if (rows == 0) return;
    const T* const a = depth == 0 ? nullptr : to.a + (plain ? row : row * s.lda);
    const T* const b = depth == 0 ? nullptr : to.b + (plain ? column : column * s.ldb);
    Gemm(plain ? CUBLAS_OP_N : turned, plain ? turned : CUBLAS_OP_N, rows, columns, depth, scale, a, s.lda, b, s.ldb,
         beta, c, ldc);
  };
  const auto block = std::make_unique<T[]>(kStrip * kStrip);
  for (i64 first = 0; first < s.n; first += kStrip) {
    const i64 width = std::min(kStrip, s.n - first);
    const i64 row = is_upper ? 0 : first + width;
    multiply(row, is_upper ? first : s.n - row, first, width, T(keep), to.c + first * s.ldc + row, s.ldc);
    multiply(first, width, first, width, T(0), block.get(), kStrip);
    for (i64 j = 0; j < width; ++j) {
      for (i64 i = is_upper ? 0 : j; i <= (is_upper ? j : width - 1); ++i) {
        T& place = to.c[(first + j) * s.ldc + first + i];
        const T sum = block[j * kStrip + i];
        if (kHermitian && i == j) {
          // What its diagonal has that is not real is not looked at.
          place = T(keep == S(0) ? std::real(sum) : std::real(sum) + std::real(keep) * std::real(place));
        } else {
          place = keep == S(0) ? sum : sum + keep * place;
        }
      }
    }
  }
}

template <typename T>
void syrkx(Context& context, int uplo, int trans, i64 n, i64 k, Scalar<T> alpha, In<T> a, i64 lda, In<T> b, i64 ldb,
           Scalar<T> beta, Out<T> c, i64 ldc) {
  RankKShape s{uplo, trans, n, k, lda, ldb, ldc};
  if (s.is_empty()) return;
  const T scale = context.Value(alpha);
  const T keep = context.Value(beta);
  const RankKOperands<T> to = CheckRankK(context, s, scale != T(0), a, b, c);
  if (!context.failed()) TriangleOfProduct<false>(s, scale, to, keep);
}

template <typename T>
void herkx(Context& context, int uplo, int trans, i64 n, i64 k, Scalar<T> alpha, In<T> a, i64 lda, In<T> b, i64 ldb,
           Scalar<RealOf<T>> beta, Out<T> c, i64 ldc) {
  RankKShape s{uplo, trans, n, k, lda, ldb, ldc};
  if (s.is_empty()) return;
  const T scale = context.Value(alpha);
  const RealOf<T> keep = context.Value(beta);
  const RankKOperands<T> to = CheckRankK(context, s, scale != T(0), a, b, c);
  if (!context.failed()) TriangleOfProduct<true>(s, scale, to, keep);
}

}  // namespace accelmesh::cpu_blas
