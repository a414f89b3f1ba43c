// Matrix products of one type, one or many.
#pragma once

#include "server/backend/cpu/blas/product.h"

namespace accelmesh::cpu_blas {

template <typename T>
void gemm(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<T> alpha, In<T> a, i64 lda, In<T> b,
          i64 ldb, Scalar<T> beta, Out<T> c, i64 ldc) {
  const ProductShape shape{transa, transb, m, n, k, lda, ldb, ldc};
  if (shape.is_empty()) return;
  const auto scale = Convert<Sum<T>>(context.Value(alpha));
  const auto keep = Convert<Sum<T>>(context.Value(beta));
  Product(context, shape, scale, a, b, keep, c);
}
template <typename T>
void gemm3m(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<T> alpha, In<T> a, i64 lda, In<T> b,
            i64 ldb, Scalar<T> beta, Out<T> c, i64 ldc) {
  gemm(context, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

template <typename T>
void gemmBatched(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<T> alpha, InArray<T> a, i64 lda,
                 InArray<T> b, i64 ldb, Scalar<T> beta, OutArray<T> c, i64 ldc, i64 count) {
  const ProductShape shape{transa, transb, m, n, k, lda, ldb, ldc};
  if (shape.is_empty() || count <= 0) return;
  const auto scale = Convert<Sum<T>>(context.Value(alpha));
  const auto keep = Convert<Sum<T>>(context.Value(beta));
  const std::vector<In<T>> left = context.Addresses(a, count);
  const std::vector<In<T>> right = context.Addresses(b, count);
  const std::vector<Out<T>> to = context.Addresses(c, count);
  ForBatch(context, count, [&](i64 i, bool only_checks) {
    const auto index = static_cast<std::size_t>(i);
    Product(context, shape, scale, left[index], right[index], keep, to[index], only_checks);
  });
}
template <typename T>
void gemm3mBatched(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<T> alpha, InArray<T> a,
                   i64 lda, InArray<T> b, i64 ldb, Scalar<T> beta, OutArray<T> c, i64 ldc, i64 count) {
  gemmBatched(context, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, count);
}

template <typename T>
void gemmStridedBatched(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<T> alpha, In<T> a,
                        i64 lda, i64 stride_a, In<T> b, i64 ldb, i64 stride_b, Scalar<T> beta, Out<T> c, i64 ldc,
                        i64 stride_c, i64 count) {
  const ProductShape shape{transa, transb, m, n, k, lda, ldb, ldc};
  if (shape.is_empty() || count <= 0) return;
  const auto scale = Convert<Sum<T>>(context.Value(alpha));
  const auto keep = Convert<Sum<T>>(context.Value(beta));
  ForBatch(context, count, [&](i64 i, bool only_checks) {
    Product(context, shape, scale, Behind(a, i, stride_a), Behind(b, i, stride_b), keep, Behind(c, i, stride_c),
            only_checks);
  });
}
template <typename T>
void gemm3mStridedBatched(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<T> alpha, In<T> a,
                          i64 lda, i64 stride_a, In<T> b, i64 ldb, i64 stride_b, Scalar<T> beta, Out<T> c, i64 ldc,
                          i64 stride_c, i64 count) {
  gemmStridedBatched(context, transa, transb, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b, beta, c, ldc,
                     stride_c, count);
}

}  // namespace accelmesh::cpu_blas
