// Products whose types are arguments. The client has refused what cuBLAS does not have; what comes here nevertheless is
// refused again.
#pragma once

#include "server/backend/cpu/blas/product.h"

namespace accelmesh::cpu_blas {

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
    if (is(CUDA_C_8I, CUDA_C_32F))
      return run.template operator()<ComplexInt8, ComplexFloat, ComplexFloat, ComplexFloat, ComplexFloat>();
  }
  context.Fail(kNotSupported, "that combination of types is not written yet");
}

inline void GemmEx(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<void> alpha, In<void> a,
                   int a_type, i64 lda, In<void> b, int b_type, i64 ldb, Scalar<void> beta, Out<void> c, int c_type,
                   i64 ldc, int compute, int /*algorithm*/) {
  const ProductShape shape{transa, transb, m, n, k, lda, ldb, ldc};
  if (shape.is_empty()) return;
  ForTypes(context, {a_type, b_type, c_type, compute},
           [&]<typename A, typename C, typename Work, typename S, typename Stored>() {
             const S scale = Convert<S>(context.ValueAs<Stored>(alpha));
             const S keep = Convert<S>(context.ValueAs<Stored>(beta));
             MixedProduct<A, C, Work>(context, shape, scale, keep, In<A>{a.address}, In<A>{b.address},
                                      Out<C>{c.address});
           });
}

inline void GemmStridedBatchedEx(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<void> alpha,
                                 In<void> a, int a_type, i64 lda, i64 stride_a, In<void> b, int b_type, i64 ldb,
                                 i64 stride_b, Scalar<void> beta, Out<void> c, int c_type, i64 ldc, i64 stride_c,
                                 i64 count, int compute, int /*algorithm*/) {
  const ProductShape shape{transa, transb, m, n, k, lda, ldb, ldc};
  if (shape.is_empty() || count <= 0) return;
  ForTypes(context, {a_type, b_type, c_type, compute},
           [&]<typename A, typename C, typename Work, typename S, typename Stored>() {
             const S scale = Convert<S>(context.ValueAs<Stored>(alpha));
             const S keep = Convert<S>(context.ValueAs<Stored>(beta));
             ForBatch(context, count, [&](i64 i, bool only_checks) {
               MixedProduct<A, C, Work>(context, shape, scale, keep, Behind(In<A>{a.address}, i, stride_a),
                                        Behind(In<A>{b.address}, i, stride_b), Behind(Out<C>{c.address}, i, stride_c),
                                        only_checks);
             });
           });
}

inline void GemmBatchedEx(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<void> alpha,
                          InArray<void> a, int a_type, i64 lda, InArray<void> b, int b_type, i64 ldb, Scalar<void> beta,
                          OutArray<void> c, int c_type, i64 ldc, i64 count, int compute, int /*algorithm*/) {
  const ProductShape shape{transa, transb, m, n, k, lda, ldb, ldc};
  if (shape.is_empty() || count <= 0) return;
  const std::vector<In<void>> left = context.Addresses(a, count);
  const std::vector<In<void>> right = context.Addresses(b, count);
  const std::vector<Out<void>> to = context.Addresses(c, count);
  if (context.failed()) return;
  ForTypes(context, {a_type, b_type, c_type, compute},
           [&]<typename A, typename C, typename Work, typename S, typename Stored>() {
             const S scale = Convert<S>(context.ValueAs<Stored>(alpha));
             const S keep = Convert<S>(context.ValueAs<Stored>(beta));
             ForBatch(context, count, [&](i64 i, bool only_checks) {
               const auto index = static_cast<std::size_t>(i);
               MixedProduct<A, C, Work>(context, shape, scale, keep, In<A>{left[index].address},
                                        In<A>{right[index].address}, Out<C>{to[index].address}, only_checks);
             });
           });
}

// Of float or of complex numbers of it, which the scalars are as well.
template <typename T>
void gemmEx(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<T> alpha, In<void> a, int a_type,
            i64 lda, In<void> b, int b_type, i64 ldb, Scalar<T> beta, Out<void> c, int c_type, i64 ldc) {
  const ProductShape shape{transa, transb, m, n, k, lda, ldb, ldc};
  if (shape.is_empty()) return;
  const T scale = context.Value(alpha);
  const T keep = context.Value(beta);
  ForTypes(context, {a_type, b_type, c_type, CUBLAS_COMPUTE_32F},
           [&]<typename A, typename C, typename Work, typename S, typename Stored>() {
             if constexpr (std::is_same_v<S, T>) {
               MixedProduct<A, C, Work>(context, shape, scale, keep, In<A>{a.address}, In<A>{b.address},
                                        Out<C>{c.address});
             } else {
               context.Fail(kNotSupported, "that combination of types is none of this function's");
             }
           });
}
template <typename T>
void gemm3mEx(Context& context, int transa, int transb, i64 m, i64 n, i64 k, Scalar<T> alpha, In<void> a, int a_type,
              i64 lda, In<void> b, int b_type, i64 ldb, Scalar<T> beta, Out<void> c, int c_type, i64 ldc) {
  gemmEx(context, transa, transb, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc);
}

}  // namespace accelmesh::cpu_blas
