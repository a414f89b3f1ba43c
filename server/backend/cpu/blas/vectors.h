// What functions of level 1 do, whether their types are their own or arguments: numbers of sixteen bits are computed
// with as float; sums are kept in double, or in complex numbers of it, and rounded once.
#pragma once

#include <cmath>
#include <utility>

#include "server/backend/cpu/blas/context.h"

namespace accelmesh::cpu_blas {

template <typename S, typename T>
void ScaleVector(Context& context, i64 n, S scale, Out<T> x, i64 incx) {
  if (n <= 0 || incx <= 0) return;
  const Strided<T> vector = context.Vector(x, n, incx);
  if (context.failed()) return;
  for (i64 i = 0; i < n; ++i) vector[i] = Convert<T>(scale * Convert<Sum<T>>(vector[i]));
}

template <typename T>
void AddVector(Context& context, i64 n, Sum<T> scale, In<T> x, i64 incx, Out<T> y, i64 incy) {
  if (n <= 0 || scale == Sum<T>(0)) return;
  const Strided<const T> from = context.Vector(x, n, incx);
  const Strided<T> to = context.Vector(y, n, incy);
  if (context.failed()) return;
  for (i64 i = 0; i < n; ++i) to[i] = Convert<T>(scale * Convert<Sum<T>>(from[i]) + Convert<Sum<T>>(to[i]));
}

template <typename T>
void CopyVector(Context& context, i64 n, In<T> x, i64 incx, Out<T> y, i64 incy) {
  if (n <= 0) return;
  const Strided<const T> from = context.Vector(x, n, incx);
  const Strided<T> to = context.Vector(y, n, incy);
  if (context.failed()) return;
  for (i64 i = 0; i < n; ++i) to[i] = from[i];
}

template <typename T>
void SwapVectors(Context& context, i64 n, Out<T> x, i64 incx, Out<T> y, i64 incy) {
  if (n <= 0) return;
  const Strided<T> a = context.Vector(x, n, incx);
  const Strided<T> b = context.Vector(y, n, incy);
  if (context.failed()) return;
  for (i64 i = 0; i < n; ++i) std::swap(a[i], b[i]);
}

template <bool kConjugates, typename T>
void DotProduct(Context& context, i64 n, In<T> x, i64 incx, In<T> y, i64 incy, Result<T> result) {
  const Strided<const T> a = context.Vector(x, n, incx);
  const Strided<const T> b = context.Vector(y, n, incy);
  if (context.failed()) return;
  Wide<T> sum = 0;
  for (i64 i = 0; i < n; ++i) sum += ConjugateIf(kConjugates, Convert<Wide<T>>(a[i])) * Convert<Wide<T>>(b[i]);
  context.Give(result, Convert<T>(sum));
}

template <typename T>
void Norm(Context& context, i64 n, In<T> x, i64 incx, Result<RealOf<T>> result) {
  const i64 count = incx > 0 ? n : 0;
  const Strided<const T> vector = context.Vector(x, count, incx);
  if (context.failed()) return;
  // Long doubles have the range in which no square is lost.
  long double sum = 0;
  for (i64 i = 0; i < count; ++i) {
    const Wide<T> value = Convert<Wide<T>>(vector[i]);
    const long double real = std::real(value);
    const long double imaginary = std::imag(value);
    sum += real * real + imaginary * imaginary;
  }
  context.Give(result, Convert<RealOf<T>>(static_cast<double>(std::sqrt(sum))));
}

// Of a complex number, the cheap one: of its parts.
template <typename T>
RealOf<Sum<T>> Size(const T& value) {
  const Sum<T> number = Convert<Sum<T>>(value);
  return std::fabs(std::real(number)) + std::fabs(std::imag(number));
}

template <typename T>
void SumOfSizes(Context& context, i64 n, In<T> x, i64 incx, Result<RealOf<T>> result) {
  const i64 count = incx > 0 ? n : 0;
  const Strided<const T> vector = context.Vector(x, count, incx);
  if (context.failed()) return;
  double sum = 0;
  for (i64 i = 0; i < count; ++i) {
    const Wide<T> value = Convert<Wide<T>>(vector[i]);
    sum += std::fabs(std::real(value)) + std::fabs(std::imag(value));
  }
  context.Give(result, Convert<RealOf<T>>(sum));
}

// The place of the first of the largest or smallest, from 1 on; 0 if there is none.
template <bool kLargest, typename T, typename I>
void Extreme(Context& context, i64 n, In<T> x, i64 incx, Result<I> result) {
  const i64 count = incx > 0 ? n : 0;
  const Strided<const T> vector = context.Vector(x, count, incx);
  if (context.failed()) return;
  i64 best = 0;
  auto there = count > 0 ? Size(vector[0]) : 0;
  for (i64 i = 1; i < count; ++i) {
    const auto here = Size(vector[i]);
    if (kLargest ? here > there : here < there) {
      best = i;
      there = here;
    }
  }
  context.Give(result, static_cast<I>(count > 0 ? best + 1 : 0));
}

}  // namespace accelmesh::cpu_blas
