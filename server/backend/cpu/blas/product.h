// Matrix products of every type: C = alpha * op(A) * op(B) + beta * C, one or many.
//
// Half, bf16 and int8 are converted, multiplied where sums of their kind are kept (float; for int8, double, in which
// such sums are exact) and rounded once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "server/backend/cpu/blas/context.h"
#include "server/backend/cpu/blas/openblas.h"

namespace accelmesh::cpu_blas {

struct ProductShape {
  int transa;
  int transb;
  i64 m;
  i64 n;
  i64 k;
  i64 lda;
  i64 ldb;
  i64 ldc;
  i64 a_rows() const { return transa == CUBLAS_OP_N ? m : k; }
  i64 a_columns() const { return transa == CUBLAS_OP_N ? k : m; }
  i64 b_rows() const { return transb == CUBLAS_OP_N ? k : n; }
  i64 b_columns() const { return transb == CUBLAS_OP_N ? n : k; }
  bool is_empty() const { return m <= 0 || n <= 0; }
};

template <typename T>
bool CheckProduct(Context& context, const ProductShape& s) {
  if (!Fit(s.m, s.n, s.k, s.lda, s.ldb, s.ldc) || s.k < 0)
    context.Fail(kNotSupported, "dimensions of more than 31 bits are not written yet");
  return !context.failed();
}

// The columns of a matrix without gaps, as another type.
template <typename To, typename From>
std::vector<To> Converted(const From* from, i64 rows, i64 columns, i64 stride) {
  std::vector<To> all(static_cast<std::size_t>(rows * columns));
  for (i64 j = 0; j < columns; ++j) {
    for (i64 i = 0; i < rows; ++i) all[static_cast<std::size_t>(j * rows + i)] = Convert<To>(from[j * stride + i]);
  }
  return all;
}

// What is stored of `alpha * sum + beta * before`; whole numbers wrap around.
template <typename C, typename S, typename Work>
C Blend(S alpha, Work sum, S beta, C before) {
  if constexpr (std::is_same_v<S, std::int32_t>) {
    std::uint32_t all = static_cast<std::uint32_t>(alpha) * static_cast<std::uint32_t>(static_cast<std::int64_t>(sum));
    if (beta != 0) all += static_cast<std::uint32_t>(beta) * static_cast<std::uint32_t>(Convert<S>(before));
    return Convert<C>(static_cast<std::int32_t>(all));
  } else {
    const S scaled = static_cast<S>(alpha * Convert<S>(sum));
    return beta == S(0) ? Convert<C>(scaled) : Convert<C>(scaled + beta * Convert<S>(before));
  }
}

// `Work`: where products are summed. `S`: of the scalars.
template <typename Work, typename A, typename C, typename S>
void ProductBy(const ProductShape& s, S alpha, const A* a, const A* b, S beta, C* c) {
  const std::vector<Work> wide_a = Converted<Work>(a, s.a_rows(), s.a_columns(), s.lda);
  const std::vector<Work> wide_b = Converted<Work>(b, s.b_rows(), s.b_columns(), s.ldb);
  std::vector<Work> sums(static_cast<std::size_t>(s.m * s.n));
  if (s.k > 0) {
    Gemm(s.transa, s.transb, s.m, s.n, s.k, Work(1), wide_a.data(), std::max<i64>(1, s.a_rows()), wide_b.data(),
         std::max<i64>(1, s.b_rows()), Work(0), sums.data(), s.m);
  }
  for (i64 j = 0; j < s.n; ++j) {
    for (i64 i = 0; i < s.m; ++i) {
      C& place = c[j * s.ldc + i];
      place = Blend<C, S>(alpha, sums[static_cast<std::size_t>(j * s.m + i)], beta, place);
    }
  }
}

// One product of operands whose memory is checked here.
template <typename T, typename S>
void Product(Context& context, const ProductShape& s, S alpha, In<T> a, In<T> b, S beta, Out<T> c) {
  if (s.is_empty()) return;
  T* const to = context.Matrix(c, s.m, s.n, s.ldc);
  // Without an alpha the operands are not looked at.
  const bool reads = alpha != S(0) && s.k > 0;
  const T* const left = reads ? context.Matrix(a, s.a_rows(), s.a_columns(), s.lda) : nullptr;
  const T* const right = reads ? context.Matrix(b, s.b_rows(), s.b_columns(), s.ldb) : nullptr;
  if (context.failed()) return;
  ProductShape shape = s;
  if (!reads) shape.k = 0;
  if constexpr (kIsSmall<T>) {
    ProductBy<float>(shape, alpha, left, right, beta, to);
  } else {
    Gemm(shape.transa, shape.transb, shape.m, shape.n, shape.k, alpha, left, shape.lda, right, shape.ldb, beta, to,
         shape.ldc);
  }
}

template <typename T>
void gemm(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<T> alpha, In<T> a, i64 lda, In<T> b,
          i64 ldb, Scalar<T> beta, Out<T> c, i64 ldc) {
  const ProductShape shape{transa, transb, m, n, k, lda, ldb, ldc};
  const auto scale = Convert<Sum<T>>(context.Value(alpha));
  const auto keep = Convert<Sum<T>>(context.Value(beta));
  if (CheckProduct<T>(context, shape)) Product(context, shape, scale, a, b, keep, c);
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
  const auto scale = Convert<Sum<T>>(context.Value(alpha));
  const auto keep = Convert<Sum<T>>(context.Value(beta));
  if (shape.is_empty() || count <= 0) return;
  const std::vector<In<T>> left = context.Addresses(a, count);
  const std::vector<In<T>> right = context.Addresses(b, count);
  const std::vector<Out<T>> to = context.Addresses(c, count);
  if (!CheckProduct<T>(context, shape)) return;
  for (std::size_t i = 0; i < to.size() && !context.failed(); ++i)
    Product(context, shape, scale, left[i], right[i], keep, to[i]);
}
template <typename T>
void gemm3mBatched(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<T> alpha, InArray<T> a,
                   i64 lda, InArray<T> b, i64 ldb, Scalar<T> beta, OutArray<T> c, i64 ldc, i64 count) {
  gemmBatched(context, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, count);
}

// `index` strides of `stride` elements behind an operand.
template <typename T>
In<T> Behind(In<T> operand, i64 index, i64 stride) {
  return {operand.address +
          static_cast<std::uint64_t>(index) * static_cast<std::uint64_t>(stride) * std::uint64_t{sizeof(T)}};
}
template <typename T>
Out<T> Behind(Out<T> operand, i64 index, i64 stride) {
  return {Behind(In<T>(operand), index, stride).address};
}

template <typename T>
void gemmStridedBatched(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<T> alpha, In<T> a,
                        i64 lda, i64 stride_a, In<T> b, i64 ldb, i64 stride_b, Scalar<T> beta, Out<T> c, i64 ldc,
                        i64 stride_c, i64 count) {
  const ProductShape shape{transa, transb, m, n, k, lda, ldb, ldc};
  const auto scale = Convert<Sum<T>>(context.Value(alpha));
  const auto keep = Convert<Sum<T>>(context.Value(beta));
  if (!CheckProduct<T>(context, shape)) return;
  for (i64 i = 0; i < count && !context.failed(); ++i) {
    Product(context, shape, scale, Behind(a, i, stride_a), Behind(b, i, stride_b), keep, Behind(c, i, stride_c));
  }
}
template <typename T>
void gemm3mStridedBatched(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<T> alpha, In<T> a,
                          i64 lda, i64 stride_a, In<T> b, i64 ldb, i64 stride_b, Scalar<T> beta, Out<T> c, i64 ldc,
                          i64 stride_c, i64 count) {
  gemmStridedBatched(context, transa, transb, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b, beta, c, ldc,
                     stride_c, count);
}

}  // namespace accelmesh::cpu_blas
