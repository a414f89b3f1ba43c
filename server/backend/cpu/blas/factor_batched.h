// Many small systems of equations: LU factors, with and without pivots, what is solved and inverted with them.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "server/backend/cpu/blas/batches.h"
#include "server/backend/cpu/blas/columns.h"
#include "server/backend/cpu/blas/openblas.h"
#include "server/backend/cpu/blas/vectors.h"

namespace accelmesh::cpu_blas {

template <typename T>
void SwapRows(T* a, i64 columns, i64 stride, i64 row, i64 other) {
  if (row == other) return;
  for (i64 j = 0; j < columns; ++j) std::swap(a[j * stride + row], a[j * stride + other]);
}

// Factors `columns` of `rows`, not fewer. Pivots count from 1; without an array for them, rows stay where they are.
// Returns the first of the pivots that is 0, from 1 on, or 0.
template <typename T>
std::int32_t FactorPanel(T* a, i64 rows, i64 columns, i64 stride, std::int32_t* pivots) {
  std::int32_t singular = 0;
  for (i64 j = 0; j < columns; ++j) {
    T* const column = a + j * stride;
    i64 pivot = j;
    if (pivots != nullptr) {
      for (i64 i = j + 1; i < rows; ++i) {
        if (Size(column[i]) > Size(column[pivot])) pivot = i;
      }
      pivots[j] = static_cast<std::int32_t>(pivot + 1);
    }
    if (column[pivot] == T(0)) {
      if (singular == 0) singular = static_cast<std::int32_t>(j + 1);
    } else {
      SwapRows(a, columns, stride, j, pivot);
      for (i64 i = j + 1; i < rows; ++i) column[i] /= column[j];
    }
    for (i64 other = j + 1; other < columns; ++other) {
      T* const to = a + other * stride;
      AddScaled(rows - j - 1, -to[j], column + j + 1, to + j + 1);
    }
  }
  return singular;
}

// The factors of a square matrix in its place: panels, and what is right of them by matrix products. `pivots` may be
// the device's, in which they are only written.
template <typename T>
std::int32_t Factor(T* a, i64 n, i64 stride, std::int32_t* pivots) {
  constexpr i64 kPanel = 64;
  std::array<std::int32_t, kPanel> own;
  std::int32_t singular = 0;
  for (i64 first = 0; first < n; first += kPanel) {
    const i64 width = std::min(kPanel, n - first);
    const i64 rest = n - first - width;
    T* const corner = a + first * stride + first;
    const std::int32_t found = FactorPanel(corner, n - first, width, stride, pivots == nullptr ? nullptr : own.data());
    if (singular == 0 && found != 0) singular = static_cast<std::int32_t>(first) + found;
    T* const right = corner + width * stride;
    for (i64 j = 0; pivots != nullptr && j < width; ++j) {
      const i64 row = first + j;
      const i64 pivot = first + own[static_cast<std::size_t>(j)];
      pivots[row] = static_cast<std::int32_t>(pivot);
      SwapRows(a, first, stride, row, pivot - 1);
      SwapRows(a + (first + width) * stride, rest, stride, row, pivot - 1);
    }
    if (rest == 0) break;
    Trsm(CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, CUBLAS_DIAG_UNIT, width, rest, T(1), corner, stride,
         right, stride);
    Gemm(CUBLAS_OP_N, CUBLAS_OP_N, rest, rest, width, T(-1), corner + width, stride, right, stride, T(1), right + width,
         stride);
  }
  return singular;
}

// Exchanges rows of B as a factorisation did, or takes it back.
template <typename T>
void ApplyPivots(const std::vector<std::int32_t>& pivots, bool backwards, T* b, i64 columns, i64 stride) {
  const i64 n = static_cast<i64>(pivots.size());
  for (i64 step = 0; step < n; ++step) {
    const i64 row = backwards ? n - 1 - step : step;
    SwapRows(b, columns, stride, row, i64{pivots[static_cast<std::size_t>(row)]} - 1);
  }
}

// B = inverse(op(A)) * B with the factors of A.
template <typename T>
void SolveFactored(int trans, const T* factors, i64 n, i64 stride, const std::vector<std::int32_t>& pivots, T* b,
                   i64 columns, i64 ldb) {
  const auto solve = [&](int uplo, int diag) {
    Trsm(CUBLAS_SIDE_LEFT, uplo, trans, diag, n, columns, T(1), factors, stride, b, ldb);
  };
  if (trans == CUBLAS_OP_N) {
    ApplyPivots(pivots, false, b, columns, ldb);
    solve(CUBLAS_FILL_MODE_LOWER, CUBLAS_DIAG_UNIT);
    solve(CUBLAS_FILL_MODE_UPPER, CUBLAS_DIAG_NON_UNIT);
  } else {
    solve(CUBLAS_FILL_MODE_UPPER, CUBLAS_DIAG_NON_UNIT);
    solve(CUBLAS_FILL_MODE_LOWER, CUBLAS_DIAG_UNIT);
    ApplyPivots(pivots, true, b, columns, ldb);
  }
}

// The inverse, of factors without a pivot that is 0.
template <typename T>
void Invert(const T* factors, i64 n, i64 stride, const std::vector<std::int32_t>& pivots, T* c, i64 ldc) {
  for (i64 j = 0; j < n; ++j) {
    std::fill_n(c + j * ldc, n, T(0));
    c[j * ldc + j] = T(1);
  }
  SolveFactored(CUBLAS_OP_N, factors, n, stride, pivots, c, n, ldc);
}

// An array of `count` numbers of the device's, or null where there may be none.
inline std::int32_t* CheckNumbers(Context& context, std::uint64_t address, i64 each, i64 count) {
  return static_cast<std::int32_t*>(
      context.Check(address, context.Extent(each, count, each), sizeof(std::int32_t), alignof(std::int32_t)));
}

// The pivots of one matrix, which come from the program: none without an array.
inline std::vector<std::int32_t> CheckedPivots(Context& context, const std::int32_t* all, i64 index, i64 n) {
  if (all == nullptr || context.failed()) return {};
  std::vector<std::int32_t> pivots(all + index * n, all + (index + 1) * n);
  for (const std::int32_t pivot : pivots) {
    if (pivot < 1 || pivot > n) context.Fail(kIllegalAddress, "a pivot that is no row");
  }
  return pivots;
}

template <typename T>
void getrfBatched(Context& context, i64 n, OutArray<T> a, i64 lda, Out<std::int32_t> pivots, Out<std::int32_t> info,
                  i64 count) {
  if (n <= 0 || count <= 0) return;
  const std::vector<Out<T>> matrices = context.Addresses(a, count);
  std::int32_t* const all = pivots.address == 0 ? nullptr : CheckNumbers(context, pivots.address, n, count);
  std::int32_t* const results = CheckNumbers(context, info.address, 1, count);
  ForBatch(context, count, [&](i64 i, bool only_checks) {
    T* const matrix = context.Matrix(matrices[static_cast<std::size_t>(i)], n, n, &lda);
    if (!CheckFit(context, n, lda) || only_checks) return;
    results[i] = Factor(matrix, n, lda, all == nullptr ? nullptr : all + i * n);
  });
}

template <typename T>
void getriBatched(Context& context, i64 n, InArray<T> a, i64 lda, In<std::int32_t> pivots, OutArray<T> c, i64 ldc,
                  Out<std::int32_t> info, i64 count) {
  if (n <= 0 || count <= 0) return;
  const std::vector<In<T>> matrices = context.Addresses(a, count);
  const std::vector<Out<T>> to = context.Addresses(c, count);
  const std::int32_t* const all = pivots.address == 0 ? nullptr : CheckNumbers(context, pivots.address, n, count);
  std::int32_t* const results = CheckNumbers(context, info.address, 1, count);
  ForBatch(context, count, [&](i64 i, bool only_checks) {
    const T* const factors = context.Matrix(matrices[static_cast<std::size_t>(i)], n, n, &lda);
    T* const inverse = context.Matrix(to[static_cast<std::size_t>(i)], n, n, &ldc);
    const std::vector<std::int32_t> own = CheckedPivots(context, all, i, n);
    if (!CheckFit(context, n, lda, ldc) || only_checks) return;
    results[i] = 0;
    for (i64 j = n - 1; j >= 0; --j) {
      if (factors[j * lda + j] == T(0)) results[i] = static_cast<std::int32_t>(j + 1);
    }
    if (results[i] == 0) Invert(factors, n, lda, own, inverse, ldc);
  });
}

// The number of the program's arguments that is wrong is the client's to tell.
template <typename T>
void getrsBatched(Context& context, int trans, i64 n, i64 columns, InArray<T> a, i64 lda, In<std::int32_t> pivots,
                  OutArray<T> b, i64 ldb, i64 /*info*/, i64 count) {
  if (n <= 0 || columns <= 0 || count <= 0) return;
  const std::vector<In<T>> matrices = context.Addresses(a, count);
  const std::vector<Out<T>> to = context.Addresses(b, count);
  const std::int32_t* const all = pivots.address == 0 ? nullptr : CheckNumbers(context, pivots.address, n, count);
  ForBatch(context, count, [&](i64 i, bool only_checks) {
    const T* const factors = context.Matrix(matrices[static_cast<std::size_t>(i)], n, n, &lda);
    T* const right = context.Matrix(to[static_cast<std::size_t>(i)], n, columns, &ldb);
    const std::vector<std::int32_t> own = CheckedPivots(context, all, i, n);
    if (!CheckFit(context, n, columns, lda, ldb) || only_checks) return;
    SolveFactored(trans, factors, n, lda, own, right, columns, ldb);
  });
}

template <typename T>
void matinvBatched(Context& context, i64 n, InArray<T> a, i64 lda, OutArray<T> inverse, i64 lda_inverse,
                   Out<std::int32_t> info, i64 count) {
  if (n <= 0 || count <= 0) return;
  const std::vector<In<T>> matrices = context.Addresses(a, count);
  const std::vector<Out<T>> to = context.Addresses(inverse, count);
  std::int32_t* const results = CheckNumbers(context, info.address, 1, count);
  std::vector<T> factors;
  ForBatch(context, count, [&](i64 i, bool only_checks) {
    const T* const matrix = context.Matrix(matrices[static_cast<std::size_t>(i)], n, n, &lda);
    T* const target = context.Matrix(to[static_cast<std::size_t>(i)], n, n, &lda_inverse);
    if (!CheckFit(context, n, lda, lda_inverse) || only_checks) return;
    factors.clear();
    for (i64 j = 0; j < n; ++j) factors.insert(factors.end(), matrix + j * lda, matrix + j * lda + n);
    std::vector<std::int32_t> pivots(static_cast<std::size_t>(n));
    results[i] = Factor(factors.data(), n, n, pivots.data());
    if (results[i] == 0) Invert(factors.data(), n, n, pivots, target, lda_inverse);
  });
}

}  // namespace accelmesh::cpu_blas
