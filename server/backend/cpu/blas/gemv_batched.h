// Many products of a matrix and a vector.
#pragma once

#include "server/backend/cpu/blas/batches.h"
#include "server/backend/cpu/blas/matrix_vector.h"

namespace accelmesh::cpu_blas {

template <typename S, typename A, typename Y>
void gemvBatched(Context& context, int trans, i64 m, i64 n, Scalar<S> alpha, InArray<A> a, i64 lda, InArray<A> x,
                 i64 incx, Scalar<S> beta, OutArray<Y> y, i64 incy, i64 count) {
  if (m <= 0 || n <= 0 || count <= 0) return;
  const S scale = context.Value(alpha);
  const S keep = context.Value(beta);
  const std::vector<In<A>> matrices = context.Addresses(a, count);
  const std::vector<In<A>> vectors = context.Addresses(x, count);
  const std::vector<Out<Y>> to = context.Addresses(y, count);
  ForBatch(context, count, [&](i64 i, bool only_checks) {
    const auto index = static_cast<std::size_t>(i);
    MatrixTimesVector(context, {trans, m, n, lda, incx, incy}, scale, matrices[index], vectors[index], keep, to[index],
                      only_checks);
  });
}

template <typename S, typename A, typename Y>
void gemvStridedBatched(Context& context, int trans, i64 m, i64 n, Scalar<S> alpha, In<A> a, i64 lda, i64 stride_a,
                        In<A> x, i64 incx, i64 stride_x, Scalar<S> beta, Out<Y> y, i64 incy, i64 stride_y, i64 count) {
  if (m <= 0 || n <= 0 || count <= 0) return;
  const S scale = context.Value(alpha);
  const S keep = context.Value(beta);
  ForBatch(context, count, [&](i64 i, bool only_checks) {
    MatrixTimesVector(context, {trans, m, n, lda, incx, incy}, scale, Behind(a, i, stride_a), Behind(x, i, stride_x),
                      keep, Behind(y, i, stride_y), only_checks);
  });
}

}  // namespace accelmesh::cpu_blas
