// Vectors: sums are kept in double, or in complex numbers of it, and rounded once.
#pragma once

#include <cmath>
#include <utility>

#include "server/backend/cpu/blas/context.h"

namespace accelmesh::cpu_blas {

template <typename T>
using Wide = std::conditional_t<kIsComplex<T>, ComplexDouble, double>;

template <typename S, typename T>
void scal(Context& context, i64 n, Scalar<S> alpha, Out<T> x, i64 incx) {
  if (n <= 0 || incx <= 0) return;
  const S scale = context.Value(alpha);
  const Strided<T> vector = context.Vector(x, n, incx);
  if (context.failed()) return;
  for (i64 i = 0; i < n; ++i) vector[i] *= scale;
}

template <typename T>
void axpy(Context& context, i64 n, Scalar<T> alpha, In<T> x, i64 incx, Out<T> y, i64 incy) {
  if (n <= 0) return;
  const T scale = context.Value(alpha);
  const Strided<const T> from = context.Vector(x, n, incx);
  const Strided<T> to = context.Vector(y, n, incy);
  if (context.failed() || scale == T(0)) return;
  for (i64 i = 0; i < n; ++i) to[i] += scale * from[i];
}

template <typename T>
void copy(Context& context, i64 n, In<T> x, i64 incx, Out<T> y, i64 incy) {
  if (n <= 0) return;
  const Strided<const T> from = context.Vector(x, n, incx);
  const Strided<T> to = context.Vector(y, n, incy);
  if (context.failed()) return;
  for (i64 i = 0; i < n; ++i) to[i] = from[i];
}

template <typename T>
void swap(Context& context, i64 n, Out<T> x, i64 incx, Out<T> y, i64 incy) {
  if (n <= 0) return;
  const Strided<T> a = context.Vector(x, n, incx);
  const Strided<T> b = context.Vector(y, n, incy);
  if (context.failed()) return;
  for (i64 i = 0; i < n; ++i) std::swap(a[i], b[i]);
}

template <bool kConjugates, typename T>
void Dot(Context& context, i64 n, In<T> x, i64 incx, In<T> y, i64 incy, Result<T> result) {
  const Strided<const T> a = context.Vector(x, n, incx);
  const Strided<const T> b = context.Vector(y, n, incy);
  if (context.failed()) return;
  Wide<T> sum = 0;
  for (i64 i = 0; i < n; ++i) sum += static_cast<Wide<T>>(ConjugateIf(kConjugates, a[i])) * static_cast<Wide<T>>(b[i]);
  context.Give(result, static_cast<T>(sum));
}
template <typename T>
void dot(Context& context, i64 n, In<T> x, i64 incx, In<T> y, i64 incy, Result<T> result) {
  Dot<false>(context, n, x, incx, y, incy, result);
}
template <typename T>
void dotu(Context& context, i64 n, In<T> x, i64 incx, In<T> y, i64 incy, Result<T> result) {
  Dot<false>(context, n, x, incx, y, incy, result);
}
template <typename T>
void dotc(Context& context, i64 n, In<T> x, i64 incx, In<T> y, i64 incy, Result<T> result) {
  Dot<true>(context, n, x, incx, y, incy, result);
}

template <typename T>
void nrm2(Context& context, i64 n, In<T> x, i64 incx, Result<RealOf<T>> result) {
  const i64 count = incx > 0 ? n : 0;
  const Strided<const T> vector = context.Vector(x, count, incx);
  if (context.failed()) return;
  // Long doubles have the range in which no square is lost.
  long double sum = 0;
  for (i64 i = 0; i < count; ++i) {
    const long double real = std::real(vector[i]);
    const long double imaginary = std::imag(vector[i]);
    sum += real * real + imaginary * imaginary;
  }
  context.Give(result, static_cast<RealOf<T>>(std::sqrt(sum)));
}

template <typename T>
double Size(const T& value) {
  return std::fabs(static_cast<double>(std::real(value))) + std::fabs(static_cast<double>(std::imag(value)));
}

template <typename T>
void asum(Context& context, i64 n, In<T> x, i64 incx, Result<RealOf<T>> result) {
  const i64 count = incx > 0 ? n : 0;
  const Strided<const T> vector = context.Vector(x, count, incx);
  if (context.failed()) return;
  double sum = 0;
  for (i64 i = 0; i < count; ++i) sum += Size(vector[i]);
  context.Give(result, static_cast<RealOf<T>>(sum));
}

// The place of the first of the largest or smallest, from 1 on; 0 if there is none.
template <bool kLargest, typename T, typename I>
void Extreme(Context& context, i64 n, In<T> x, i64 incx, Result<I> result) {
  const i64 count = incx > 0 ? n : 0;
  const Strided<const T> vector = context.Vector(x, count, incx);
  if (context.failed()) return;
  i64 best = 0;
  for (i64 i = 1; i < count; ++i) {
    const double here = Size(vector[i]);
    const double there = Size(vector[best]);
    if (kLargest ? here > there : here < there) best = i;
  }
  context.Give(result, static_cast<I>(count > 0 ? best + 1 : 0));
}
template <typename T, typename I>
void iamax(Context& context, i64 n, In<T> x, i64 incx, Result<I> result) {
  Extreme<true>(context, n, x, incx, result);
}
template <typename T, typename I>
void iamin(Context& context, i64 n, In<T> x, i64 incx, Result<I> result) {
  Extreme<false>(context, n, x, incx, result);
}

}  // namespace accelmesh::cpu_blas
