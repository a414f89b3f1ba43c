// One product of a matrix and a vector: y = alpha * op(A) * x + beta * y.
#pragma once

#include <algorithm>
#include <array>

#include "server/backend/cpu/blas/columns.h"
#include "server/backend/cpu/blas/openblas.h"

namespace accelmesh::cpu_blas {

// y += scale * op(A) * x, for vectors without gaps.
template <typename T>
void AddProduct(const GeneralMatrix<const T>& a, int trans, T scale, const T* x, T* y) {
  for (i64 j = 0; j < a.columns; ++j) {
    const Column<const T> column = a.ColumnAt(j);
    if (trans == CUBLAS_OP_N) {
      AddScaled(column.count, scale * x[j], column.at, y + column.first);
    } else {
      y[j] += scale * DotOf(trans == CUBLAS_OP_C, column.count, column.at, x + column.first);
    }
  }
}

struct MatrixVectorShape {
  int trans;
  i64 m;
  i64 n;
  i64 lda;
  i64 incx;
  i64 incy;
};

// Sums of numbers of sixteen bits are kept in float and rounded once.
template <typename A, typename Y>
void SmallMatrixTimesVector(const MatrixVectorShape& s, float alpha, const A* a, const Strided<const A>& x, float beta,
                            const Strided<Y>& y) {
  const auto put = [&](i64 i, float sum) {
    y[i] = Convert<Y>(beta == 0 ? alpha * sum : alpha * sum + beta * Convert<float>(y[i]));
  };
  if (s.trans != CUBLAS_OP_N) {
    const i64 rows = a == nullptr ? 0 : s.m;
    for (i64 j = 0; j < s.n; ++j) {
      float sum = 0;
      for (i64 i = 0; i < rows; ++i) sum += Convert<float>(a[j * s.lda + i]) * Convert<float>(x[i]);
      put(j, sum);
    }
    return;
  }
  const i64 columns = a == nullptr ? 0 : s.n;
  std::array<float, 256> sums;
  for (i64 first = 0; first < s.m; first += static_cast<i64>(sums.size())) {
    const i64 count = std::min<i64>(s.m - first, static_cast<i64>(sums.size()));
    sums.fill(0);
    for (i64 j = 0; j < columns; ++j) {
      const float by = Convert<float>(x[j]);
      const A* const column = a + j * s.lda + first;
      for (i64 i = 0; i < count; ++i) sums[static_cast<std::size_t>(i)] += by * Convert<float>(column[i]);
    }
    for (i64 i = 0; i < count; ++i) put(first + i, sums[static_cast<std::size_t>(i)]);
  }
}

template <typename A, typename Y, typename S>
void MatrixTimesVector(Context& context, MatrixVectorShape s, S alpha, In<A> a, In<A> x, S beta, Out<Y> y,
                       bool only_checks = false) {
  if (s.m <= 0 || s.n <= 0) return;
  const i64 columns = s.trans == CUBLAS_OP_N ? s.n : s.m;
  const i64 rows = s.trans == CUBLAS_OP_N ? s.m : s.n;
  // Without an alpha the operands are not looked at.
  const bool reads = alpha != S(0);
  const A* const matrix = context.MatrixIf(reads, a, s.m, s.n, &s.lda);
  const Strided<const A> vector = context.Vector(x, reads ? columns : 0, s.incx);
  const Strided<Y> place = context.Vector(y, rows, s.incy);
  if (only_checks || context.failed()) return;
  if constexpr (kIsSmall<A>) {
    SmallMatrixTimesVector(s, alpha, matrix, vector, beta, place);
  } else {
    const std::vector<A> from = Gathered(context, x, reads ? columns : 0, s.incx);
    Target<A> to(context, y, rows, s.incy, beta);
    if (context.failed()) return;
    if (reads && Fit(s.m, s.n, s.lda)) {
      Gemv(s.trans, s.m, s.n, alpha, matrix, s.lda, from.data(), 1, A(1), to.data(), 1);
    } else if (reads) {
      AddProduct({matrix, s.lda, s.m, s.n, s.m, s.n}, s.trans, alpha, from.data(), to.data());
    }
    to.Write();
  }
}

}  // namespace accelmesh::cpu_blas
