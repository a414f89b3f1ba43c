// One matrix product of any types: C = alpha * op(A) * op(B) + beta * C.
//
// Half, bf16 and int8 are converted, multiplied where sums of their kind are kept and rounded once: block by block, so
// that what is converted at a time has a limit. Half and bf16 are summed in float; int8, exactly, in double.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "server/backend/cpu/blas/batches.h"
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

// Rows by columns of a matrix as another type, without gaps.
template <typename To, typename From>
void ConvertBlock(const From* from, i64 rows, i64 columns, i64 stride, To* to) {
  for (i64 j = 0; j < columns; ++j) {
    for (i64 i = 0; i < rows; ++i) to[j * rows + i] = Convert<To>(from[j * stride + i]);
  }
}

template <typename T>
std::unique_ptr<T[]> MakeBlock(i64 elements) {
  return std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(elements));
}

// `Work`: where products are summed. `S`: of the scalars.
template <typename Work, typename A, typename C, typename S>
void ProductBy(const ProductShape& s, S alpha, const A* a, const A* b, S beta, C* c) {
  constexpr i64 kWidth = 1024;
  constexpr i64 kDepth = 512;
  const i64 rows_max = std::min(s.m, kWidth);
  const i64 columns_max = std::min(s.n, kWidth);
  const i64 depth_max = std::min(s.k, kDepth);
  // Products of int8 of a block's depth are exact in float as well.
  constexpr bool kInPieces = std::is_same_v<A, std::int8_t>;
  static_assert(kDepth * 128 * 128 <= 1 << 24);
  using Piece = std::conditional_t<kInPieces, float, Work>;
  const auto left = MakeBlock<Piece>(rows_max * depth_max);
  const auto right = MakeBlock<Piece>(depth_max * columns_max);
  const auto sums = MakeBlock<Work>(rows_max * columns_max);
  const auto piece = MakeBlock<Piece>(kInPieces ? rows_max * columns_max : 0);
  const bool plain_a = s.transa == CUBLAS_OP_N;
  const bool plain_b = s.transb == CUBLAS_OP_N;
  for (i64 column = 0; column < s.n; column += kWidth) {
    const i64 columns = std::min(kWidth, s.n - column);
    for (i64 row = 0; row < s.m; row += kWidth) {
      const i64 rows = std::min(kWidth, s.m - row);
      if (kInPieces || s.k == 0) std::fill_n(sums.get(), rows * columns, Work(0));
      for (i64 done = 0; done < s.k; done += kDepth) {
        const i64 depth = std::min(kDepth, s.k - done);
        const i64 left_rows = plain_a ? rows : depth;
        const i64 right_rows = plain_b ? depth : columns;
        ConvertBlock(a + (plain_a ? done * s.lda + row : row * s.lda + done), left_rows, plain_a ? depth : rows, s.lda,
                     left.get());
        ConvertBlock(b + (plain_b ? column * s.ldb + done : done * s.ldb + column), right_rows,
                     plain_b ? columns : depth, s.ldb, right.get());
        const auto multiply = [&](Piece keep, Piece* to) {
          Gemm(s.transa, s.transb, rows, columns, depth, Piece(1), left.get(), left_rows, right.get(), right_rows, keep,
               to, rows);
        };
        if constexpr (kInPieces) {
          multiply(0, piece.get());
          for (i64 i = 0; i < rows * columns; ++i)
            sums[static_cast<std::size_t>(i)] += piece[static_cast<std::size_t>(i)];
        } else {
          multiply(Piece(done == 0 ? 0 : 1), sums.get());
        }
      }
      for (i64 j = 0; j < columns; ++j) {
        C* const to = c + (column + j) * s.ldc + row;
        for (i64 i = 0; i < rows; ++i)
          to[i] = Blend<C, S>(alpha, sums[static_cast<std::size_t>(j * rows + i)], beta, to[i]);
      }
    }
  }
}

// A product of operands of `A`, a result of `C`, sums in `Work` and scalars of `S`, whose memory is checked here.
template <typename A, typename C, typename Work, typename S>
void MixedProduct(Context& context, ProductShape s, S alpha, S beta, In<A> a, In<A> b, Out<C> c,
                  bool only_checks = false) {
  if (s.k < 0) context.Fail(kInvalidValue, "a product of less than nothing");
  if (s.is_empty()) return;
  // Without an alpha the operands are not looked at.
  const bool reads = alpha != S(0) && s.k > 0;
  if (!reads) s.k = 0;
  C* const to = context.Matrix(c, s.m, s.n, &s.ldc);
  const A* const left = context.MatrixIf(reads, a, s.a_rows(), s.a_columns(), &s.lda);
  const A* const right = context.MatrixIf(reads, b, s.b_rows(), s.b_columns(), &s.ldb);
  constexpr bool kIsWhole = std::is_same_v<A, C> && std::is_same_v<A, S>;
  if (kIsWhole) CheckFit(context, s.m, s.n, s.k, s.lda, s.ldb, s.ldc);
  if (only_checks || context.failed()) return;
  if constexpr (kIsWhole) {
    Gemm(s.transa, s.transb, s.m, s.n, s.k, alpha, left, s.lda, right, s.ldb, beta, to, s.ldc);
  } else {
    ProductBy<Work>(s, alpha, left, right, beta, to);
  }
}

// A product in one type.
template <typename T, typename S>
void Product(Context& context, const ProductShape& s, S alpha, In<T> a, In<T> b, S beta, Out<T> c,
             bool only_checks = false) {
  MixedProduct<T, T, Sum<T>>(context, s, alpha, beta, a, b, c, only_checks);
}

}  // namespace accelmesh::cpu_blas
