// Functions on vectors of one type.
#pragma once

#include "server/backend/cpu/blas/rotations.h"
#include "server/backend/cpu/blas/vectors.h"

namespace accelmesh::cpu_blas {

template <typename S, typename T>
void scal(Context& context, i64 n, Scalar<S> alpha, Out<T> x, i64 incx) {
  if (n > 0 && incx > 0) ScaleVector(context, n, context.Value(alpha), x, incx);
}
template <typename T>
void axpy(Context& context, i64 n, Scalar<T> alpha, In<T> x, i64 incx, Out<T> y, i64 incy) {
  if (n > 0) AddVector(context, n, context.Value(alpha), x, incx, y, incy);
}
template <typename T>
void copy(Context& context, i64 n, In<T> x, i64 incx, Out<T> y, i64 incy) {
  CopyVector(context, n, x, incx, y, incy);
}
template <typename T>
void swap(Context& context, i64 n, Out<T> x, i64 incx, Out<T> y, i64 incy) {
  SwapVectors(context, n, x, incx, y, incy);
}

template <typename T>
void dot(Context& context, i64 n, In<T> x, i64 incx, In<T> y, i64 incy, Result<T> result) {
  DotProduct<false>(context, n, x, incx, y, incy, result);
}
template <typename T>
void dotu(Context& context, i64 n, In<T> x, i64 incx, In<T> y, i64 incy, Result<T> result) {
  DotProduct<false>(context, n, x, incx, y, incy, result);
}
template <typename T>
void dotc(Context& context, i64 n, In<T> x, i64 incx, In<T> y, i64 incy, Result<T> result) {
  DotProduct<true>(context, n, x, incx, y, incy, result);
}

template <typename T>
void nrm2(Context& context, i64 n, In<T> x, i64 incx, Result<RealOf<T>> result) {
  Norm(context, n, x, incx, result);
}
template <typename T>
void asum(Context& context, i64 n, In<T> x, i64 incx, Result<RealOf<T>> result) {
  SumOfSizes(context, n, x, incx, result);
}
template <typename T, typename I>
void iamax(Context& context, i64 n, In<T> x, i64 incx, Result<I> result) {
  Extreme<true>(context, n, x, incx, result);
}
template <typename T, typename I>
void iamin(Context& context, i64 n, In<T> x, i64 incx, Result<I> result) {
  Extreme<false>(context, n, x, incx, result);
}

template <typename T, typename S>
void rot(Context& context, i64 n, Out<T> x, i64 incx, Out<T> y, i64 incy, Scalar<RealOf<T>> c, Scalar<S> s) {
  if (n <= 0) return;
  const RealOf<T> cosine = context.Value(c);
  Rotate(context, n, x, incx, y, incy, cosine, context.Value(s));
}
template <typename T>
void rotg(Context& context, InOut<T> a, InOut<T> b, Result<RealOf<T>> c, Result<T> s) {
  T first = context.Value(a);
  T second = context.Value(b);
  context.CheckResult(c);
  context.CheckResult(s);
  if (context.failed()) return;
  RealOf<T> cosine(0);
  T sine(0);
  MakeRotation(first, second, cosine, sine);
  context.Give(a, first);
  context.Give(b, second);
  context.Give(c, cosine);
  context.Give(s, sine);
}
template <typename T>
void rotm(Context& context, i64 n, Out<T> x, i64 incx, Out<T> y, i64 incy, Scalar<T> param) {
  if (n > 0) RotateModified(context, n, x, incx, y, incy, context.template Values<T, 5>(param.word));
}
template <typename T>
void rotmg(Context& context, InOut<T> d1, InOut<T> d2, InOut<T> x1, Scalar<T> y1, Result<T> param) {
  T new_d1 = context.Value(d1);
  T new_d2 = context.Value(d2);
  T new_x1 = context.Value(x1);
  const T y = context.Value(y1);
  ModifiedRotation<T> rotation = context.template Before<T, 5>(param.word);
  if (context.failed()) return;
  MakeModifiedRotation(new_d1, new_d2, new_x1, y, rotation);
  context.Give(d1, new_d1);
  context.Give(d2, new_d2);
  context.Give(x1, new_x1);
  context.GiveAll(param.word, rotation);
}

}  // namespace accelmesh::cpu_blas
