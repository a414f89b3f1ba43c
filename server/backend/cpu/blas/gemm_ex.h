// Products whose types are arguments. The client has refused what cuBLAS does not have; what comes here nevertheless is
// refused again.
#pragma once

#include "server/backend/cpu/blas/product.h"

namespace accelmesh::cpu_blas {

// One product with operands of `A`, a result of `C`, sums in `Work` and scalars of `S`.
template <typename A, typename C, typename Work, typename S>
void MixedProduct(Context& context, const ProductShape& s, S alpha, S beta, std::uint64_t a, std::uint64_t b,
                  std::uint64_t c) {
  if (s.is_empty()) return;
  const bool reads = alpha != S(0) && s.k > 0;
  C* const to = context.Matrix(Out<C>{c}, s.m, s.n, s.ldc);
  const A* const left = reads ? context.Matrix(In<A>{a}, s.a_rows(), s.a_columns(), s.lda) : nullptr;
  const A* const right = reads ? context.Matrix(In<A>{b}, s.b_rows(), s.b_columns(), s.ldb) : nullptr;
  if (context.failed()) return;
  ProductShape shape = s;
  if (!reads) shape.k = 0;
  if constexpr (std::is_same_v<A, C> && std::is_same_v<A, S>) {
    Gemm(shape.transa, shape.transb, shape.m, shape.n, shape.k, alpha, left, shape.lda, right, shape.ldb, beta, to,
         shape.ldc);
  } else if (reads) {
    ProductBy<Work>(shape, alpha, left, right, beta, to);
  } else {
    for (i64 j = 0; j < s.n; ++j) {
      for (i64 i = 0; i < s.m; ++i) to[j * s.ldc + i] = Blend<C, S>(S(0), S(0), beta, to[j * s.ldc + i]);
    }
  }
}

struct MixedTypes {
  int a;
  int b;
  int c;
  int compute;
};

// Calls run.operator()<A, C, Work, S, Stored>() for the types: scalars are computed with as S, and are Stored as they
// lie in memory.
template <typename Run>
void ForTypes(Context& context, const MixedTypes& types, Run run) {
  const auto is = [&types](int ab, int c) { return types.a == ab && types.b == ab && types.c == c; };
  if (types.compute == CUBLAS_COMPUTE_16F || types.compute == CUBLAS_COMPUTE_16F_PEDANTIC) {
    if (is(CUDA_R_16F, CUDA_R_16F)) return run.template operator()<Half, Half, float, float, Half>();
  } else if (types.compute == CUBLAS_COMPUTE_32I || types.compute == CUBLAS_COMPUTE_32I_PEDANTIC) {
    if (is(CUDA_R_8I, CUDA_R_32I))
      return run.template operator()<std::int8_t, std::int32_t, double, std::int32_t, std::int32_t>();
  } else if (is(CUDA_R_64F, CUDA_R_64F)) {
    return run.template operator()<double, double, double, double, double>();
  } else if (is(CUDA_C_64F, CUDA_C_64F)) {
    return run.template operator()<ComplexDouble, ComplexDouble, ComplexDouble, ComplexDouble, ComplexDouble>();
  } else {
    if (is(CUDA_R_32F, CUDA_R_32F)) return run.template operator()<float, float, float, float, float>();
    if (is(CUDA_C_32F, CUDA_C_32F))
      return run.template operator()<ComplexFloat, ComplexFloat, ComplexFloat, ComplexFloat, ComplexFloat>();
    if (is(CUDA_R_16F, CUDA_R_16F)) return run.template operator()<Half, Half, float, float, float>();
    if (is(CUDA_R_16F, CUDA_R_32F)) return run.template operator()<Half, float, float, float, float>();
    if (is(CUDA_R_16BF, CUDA_R_16BF)) return run.template operator()<Bfloat16, Bfloat16, float, float, float>();
    if (is(CUDA_R_16BF, CUDA_R_32F)) return run.template operator()<Bfloat16, float, float, float, float>();
    if (is(CUDA_R_8I, CUDA_R_32F)) return run.template operator()<std::int8_t, float, double, float, float>();
  }
  context.Fail(kNotSupported, "that combination of types is not written yet");
}

inline void GemmEx(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<void> alpha, In<void> a,
                   int a_type, i64 lda, In<void> b, int b_type, i64 ldb, Scalar<void> beta, Out<void> c, int c_type,
                   i64 ldc, int compute, int /*algorithm*/) {
  const ProductShape shape{transa, transb, m, n, k, lda, ldb, ldc};
  if (!CheckProduct<void>(context, shape)) return;
  ForTypes(context, {a_type, b_type, c_type, compute},
           [&]<typename A, typename C, typename Work, typename S, typename Stored>() {
             const S scale = Convert<S>(context.ValueAs<Stored>(alpha));
             const S keep = Convert<S>(context.ValueAs<Stored>(beta));
             MixedProduct<A, C, Work>(context, shape, scale, keep, a.address, b.address, c.address);
           });
}

inline void GemmStridedBatchedEx(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<void> alpha,
                                 In<void> a, int a_type, i64 lda, i64 stride_a, In<void> b, int b_type, i64 ldb,
                                 i64 stride_b, Scalar<void> beta, Out<void> c, int c_type, i64 ldc, i64 stride_c,
                                 i64 count, int compute, int /*algorithm*/) {
  const ProductShape shape{transa, transb, m, n, k, lda, ldb, ldc};
  if (!CheckProduct<void>(context, shape)) return;
  ForTypes(context, {a_type, b_type, c_type, compute},
           [&]<typename A, typename C, typename Work, typename S, typename Stored>() {
             const S scale = Convert<S>(context.ValueAs<Stored>(alpha));
             const S keep = Convert<S>(context.ValueAs<Stored>(beta));
             for (i64 i = 0; i < count && !context.failed(); ++i) {
               MixedProduct<A, C, Work>(context, shape, scale, keep, Behind(In<A>{a.address}, i, stride_a).address,
                                        Behind(In<A>{b.address}, i, stride_b).address,
                                        Behind(Out<C>{c.address}, i, stride_c).address);
             }
           });
}

inline void GemmBatchedEx(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<void> alpha,
                          InArray<void> a, int a_type, i64 lda, InArray<void> b, int b_type, i64 ldb, Scalar<void> beta,
                          OutArray<void> c, int c_type, i64 ldc, i64 count, int compute, int /*algorithm*/) {
  const ProductShape shape{transa, transb, m, n, k, lda, ldb, ldc};
  if (!CheckProduct<void>(context, shape) || shape.is_empty() || count <= 0) return;
  const std::vector<In<void>> left = context.Addresses(a, count);
  const std::vector<In<void>> right = context.Addresses(b, count);
  const std::vector<Out<void>> to = context.Addresses(c, count);
  if (context.failed()) return;
  ForTypes(context, {a_type, b_type, c_type, compute},
           [&]<typename A, typename C, typename Work, typename S, typename Stored>() {
             const S scale = Convert<S>(context.ValueAs<Stored>(alpha));
             const S keep = Convert<S>(context.ValueAs<Stored>(beta));
             for (std::size_t i = 0; i < to.size() && !context.failed(); ++i)
               MixedProduct<A, C, Work>(context, shape, scale, keep, left[i].address, right[i].address, to[i].address);
           });
}

}  // namespace accelmesh::cpu_blas
