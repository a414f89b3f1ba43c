// Many small QR factorisations, and the least squares that they solve.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "server/backend/cpu/blas/batches.h"
#include "server/backend/cpu/blas/columns.h"
#include "server/backend/cpu/blas/factor_batched.h"
#include "server/backend/cpu/blas/openblas.h"

namespace accelmesh::cpu_blas {

// Makes the reflection I - tau * v * conj(transposed(v)), v[0] = 1, whose adjoint turns `x` into its first element,
// which becomes real. That stands in x[0] then, and the rest of v behind it.
template <typename T>
T MakeReflection(i64 count, T* x) {
  long double squares = 0;
  for (i64 i = 1; i < count; ++i) {
    const long double real = std::real(x[i]);
    const long double imaginary = std::imag(x[i]);
    squares += real * real + imaginary * imaginary;
  }
  const T head = x[0];
  if (squares == 0 && std::imag(head) == 0) return T(0);
  const long double real = std::real(head);
  const long double imaginary = std::imag(head);
  const auto size = static_cast<RealOf<T>>(std::sqrt(real * real + imaginary * imaginary + squares));
  const RealOf<T> beta = std::real(head) < 0 ? size : -size;
  for (i64 i = 1; i < count; ++i) x[i] /= head - beta;
  x[0] = T(beta);
  return (beta - head) / beta;
}

// Applies the adjoint of a reflection to columns.
template <typename T>
void Reflect(i64 count, const T* v, T tau, T* c, i64 columns, i64 stride) {
  for (i64 j = 0; j < columns; ++j) {
    T* const to = c + j * stride;
    const T by = Conjugate(tau) * (to[0] + DotOf<true>(count - 1, v + 1, to + 1));
    to[0] -= by;
    AddScaled(count - 1, -by, v + 1, to + 1);
  }
}

// R in the upper triangle, the reflections below it.
template <typename T>
void FactorOrthogonal(i64 m, i64 n, T* a, i64 stride, T* taus) {
  for (i64 j = 0; j < std::min(m, n); ++j) {
    T* const corner = a + j * stride + j;
    taus[j] = MakeReflection(m - j, corner);
    Reflect(m - j, corner, taus[j], corner + stride, n - j - 1, stride);
  }
}

template <typename T>
void geqrfBatched(Context& context, i64 m, i64 n, OutArray<T> a, i64 lda, OutArray<T> taus, i64 /*info*/, i64 count) {
  if (m <= 0 || n <= 0 || count <= 0) return;
  const std::vector<Out<T>> matrices = context.Addresses(a, count);
  const std::vector<Out<T>> factors = context.Addresses(taus, count);
  ForBatch(context, count, [&](i64 i, bool only_checks) {
    const auto index = static_cast<std::size_t>(i);
    T* const matrix = context.Matrix(matrices[index], m, n, &lda);
    T* const own = context.Vector(factors[index], std::min(m, n), 1).first;
    if (!only_checks && !context.failed()) FactorOrthogonal(m, n, matrix, lda, own);
  });
}

// As cuBLAS has it: of as many rows as columns or more, and not transposed.
template <typename T>
void gelsBatched(Context& context, int trans, i64 m, i64 n, i64 columns, OutArray<T> a, i64 lda, OutArray<T> c, i64 ldc,
                 i64 /*info*/, Out<std::int32_t> singular, i64 count) {
  if (trans != CUBLAS_OP_N || m < n) context.Fail(kNotSupported, "a system with fewer equations than unknowns");
  if (n <= 0 || count <= 0) return;
  const std::vector<Out<T>> matrices = context.Addresses(a, count);
  const std::vector<Out<T>> to = context.Addresses(c, count);
  std::int32_t* const results = singular.address == 0 ? nullptr : CheckNumbers(context, singular.address, 1, count);
  std::vector<T> taus;
  ForBatch(context, count, [&](i64 i, bool only_checks) {
    T* const matrix = context.Matrix(matrices[static_cast<std::size_t>(i)], m, n, &lda);
    T* const right = context.Matrix(to[static_cast<std::size_t>(i)], m, columns, &ldc);
    if (!CheckFit(context, m, n, columns, lda, ldc) || only_checks) return;
    taus.resize(static_cast<std::size_t>(n));
    FactorOrthogonal(m, n, matrix, lda, taus.data());
    std::int32_t empty = 0;
    for (i64 j = 0; j < n; ++j) {
      const T* const v = matrix + j * lda + j;
      if (empty == 0 && *v == T(0)) empty = static_cast<std::int32_t>(j + 1);
      if (columns > 0) Reflect(m - j, v, taus[static_cast<std::size_t>(j)], right + j, columns, ldc);
    }
    if (results != nullptr) results[i] = empty;
    if (empty != 0 || columns <= 0) return;
    Trsm(CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N, CUBLAS_DIAG_NON_UNIT, n, columns, T(1), matrix, lda,
         right, ldc);
  });
}

}  // namespace accelmesh::cpu_blas
