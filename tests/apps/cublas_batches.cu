// Batches of matrices and vectors, products whose types are arguments, and groups of products, against plain loops.
#include "cublas_dense.h"

COMPLEX(gemm3m)

// Of matrices of A and vectors y of Y.
#define MIXED(letters, A, Y)                             \
  template <typename... Rest>                            \
  cublasStatus_t batched(Tag<A>, Tag<Y>, Rest... rest) { \
    return cublas##letters##gemvBatched(rest...);        \
  }                                                      \
  template <typename... Rest>                            \
  cublasStatus_t strided(Tag<A>, Tag<Y>, Rest... rest) { \
    return cublas##letters##gemvStridedBatched(rest...); \
  }
MIXED(S, float, float)
MIXED(D, double, double)
MIXED(C, cuComplex, cuComplex)
MIXED(Z, cuDoubleComplex, cuDoubleComplex)
MIXED(HSH, __half, __half)
MIXED(HSS, __half, float)
MIXED(TST, __nv_bfloat16, __nv_bfloat16)
MIXED(TSS, __nv_bfloat16, float)

template <typename A, typename Y, typename S>
static void TestVectors(cublasHandle_t h, Random& random) {
  const int m = 300, n = 7, count = 3, stride = 301;
  const Stored<A> a = Dense<A>(random, m, n * count, stride);
  for (const cublasOperation_t trans : {CUBLAS_OP_N, CUBLAS_OP_T, CUBLAS_OP_C}) {
    for (const bool is_strided : {false, true}) {
      for (const bool keeps : {true, false}) {
        const int columns = trans == CUBLAS_OP_N ? n : m, rows = trans == CUBLAS_OP_N ? m : n;
        const Line<A> x(random, columns * count, 1);
        const Line<Y> y(random, rows * count, 2, keeps);
        const Wide alpha = RandomNumber<S>(random), beta = keeps ? RandomNumber<S>(random) : 0;
        const S by = As<S>(alpha), keep = As<S>(beta);
        if (is_strided) {
          CHECK_BLAS(strided(Tag<A>(), Tag<Y>(), h, trans, m, n, &by, a.get(), stride, n * stride, x.get(), 1, columns,
                             &keep, y.get(), 2, 2 * rows, count));
        } else {
          std::vector<const A*> matrices, vectors;
          std::vector<Y*> targets;
          for (int i = 0; i < count; ++i) {
            matrices.push_back(a.get() + i * n * stride);
            vectors.push_back(x.get() + i * columns);
            targets.push_back(y.get() + 2 * i * rows);
          }
          const OnDevice<const A*> as(matrices), xs(vectors);
          const OnDevice<Y*> ys(targets);
          CHECK_BLAS(batched(Tag<A>(), Tag<Y>(), h, trans, m, n, &by, as.get(), stride, xs.get(), 1, &keep, ys.get(), 2,
                             count));
        }
        y.Expect("gemvBatched", [&](int i) {
          const int batch = i / rows, row = i % rows;
          Wide sum = 0;
          for (int l = 0; l < columns; ++l) {
            sum += (trans == CUBLAS_OP_N ? a.At(row, batch * n + l)
                                         : ConjugateIf(trans == CUBLAS_OP_C, a.At(l, batch * n + row))) *
                   x[batch * columns + l];
          }
          return alpha * sum + (keeps ? beta * y[i] : 0);
        });
      }
    }
  }
}

// Complex numbers of two bytes.
struct Small {
  signed char x, y;
};

// C = 2 * A * B + C of `call`, with an A and a B of type A, and the triangle of A * transposed(A) of another.
template <typename A, typename C, typename Call>
static void TestProduct(Random& random, const char* what, Call call) {
  const int m = 40, n = 30, k = 20;
  std::vector<A> a(m * k), b(k * n);
  std::vector<Wide> wide_a, wide_b;
  const auto fill = [&](std::vector<A>& to, std::vector<Wide>& wide) {
    for (A& one : to) {
      const int x = static_cast<int>(random.Below(9)) - 4,
                y = kIsComplex<C> ? static_cast<int>(random.Below(9)) - 4 : 0;
      if constexpr (std::is_same<A, Small>::value) {
        one = {static_cast<signed char>(x), static_cast<signed char>(y)};
      } else if constexpr (std::is_same<A, signed char>::value) {
        one = static_cast<signed char>(x);
      } else {
        one = As<A>(Wide(x, y));
      }
      wide.push_back(Wide(x, y));
    }
  };
  fill(a, wide_a);
  fill(b, wide_b);
  const OnDevice<A> da(a), db(b);
  const Stored<C> c = Dense<C>(random, m, n, m);
  CHECK_BLAS(call(m, n, k, da.get(), db.get(), c.get()));
  c.Expect(what, [&](int i, int j) {
    Wide sum = 0;
    for (int l = 0; l < k; ++l) sum += wide_a[l * m + i] * wide_b[j * k + l];
    return 2.0 * sum + c.At(i, j);
  });
}

template <typename A, typename C>
static void TestTypes(cublasHandle_t h, Random& random, cudaDataType a_type, cudaDataType c_type) {
  const float two = 2, one = 1;
  TestProduct<A, C>(random, "SgemmEx", [=](int m, int n, int k, const A* a, const A* b, C* c) {
    return cublasSgemmEx(h, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &two, a, a_type, m, b, a_type, k, &one, c, c_type, m);
  });
}
template <typename A>
static void TestComplexTypes(cublasHandle_t h, Random& random, cudaDataType type) {
  const cuComplex two = {2, 0}, one = {1, 0};
  TestProduct<A, cuComplex>(random, "CgemmEx", [=](int m, int n, int k, const A* a, const A* b, cuComplex* c) {
    return cublasCgemmEx(h, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &two, a, type, m, b, type, k, &one, c, CUDA_C_32F, m);
  });
  TestProduct<A, cuComplex>(random, "Cgemm3mEx", [=](int m, int n, int k, const A* a, const A* b, cuComplex* c) {
    return cublasCgemm3mEx(h, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &two, a, type, m, b, type, k, &one, c, CUDA_C_32F, m);
  });
  TestProduct<A, cuComplex>(random, "GemmEx", [=](int m, int n, int k, const A* a, const A* b, cuComplex* c) {
    return cublasGemmEx(h, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &two, a, type, m, b, type, k, &one, c, CUDA_C_32F, m,
                        CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
  });
}

// One triangle of 2 * A * transposed(A) + 3 * C, conjugated or not, with more columns than one piece has.
template <typename Call>
static void TestRank(Random& random, const char* what, bool is_hermitian, cublasOperation_t trans, Call call) {
  const int n = 21, k = 300;
  std::vector<Small> a(n * k);
  for (Small& one : a) one = {static_cast<signed char>(random.Below(9)), static_cast<signed char>(random.Below(9))};
  for (Small& one : a) one.x -= 4, one.y -= 4;
  const OnDevice<Small> da(a);
  const int stride = trans == CUBLAS_OP_N ? n : k;
  const auto at = [&](int i, int l) {
    const Small value = trans == CUBLAS_OP_N ? a[l * n + i] : a[i * k + l];
    return ConjugateIf(trans == CUBLAS_OP_C, Wide(value.x, value.y));
  };
  const Stored<cuComplex> c = Triangle<cuComplex>(random, Form::kWhole, CUBLAS_FILL_MODE_UPPER, n, 22, 0);
  CHECK_BLAS(call(trans, n, k, da.get(), stride, c.get(), 22));
  c.Expect(what, [&](int i, int j) {
    Wide sum = 0;
    for (int l = 0; l < k; ++l) sum += at(i, l) * ConjugateIf(is_hermitian, at(j, l));
    return 2.0 * sum + 3.0 * (is_hermitian && i == j ? Wide(c.At(i, j).real()) : c.At(i, j));
  });
}

static void TestRanks(cublasHandle_t h, Random& random) {
  const cuComplex two = {2, 0}, three = {3, 0};
  const float real_two = 2, real_three = 3;
  for (const bool is_3m : {false, true}) {
    const auto symmetric = [=](auto... a) { return is_3m ? cublasCsyrk3mEx(a...) : cublasCsyrkEx(a...); };
    const auto hermitian = [=](auto... a) { return is_3m ? cublasCherk3mEx(a...) : cublasCherkEx(a...); };
    for (const cublasOperation_t trans : {CUBLAS_OP_N, CUBLAS_OP_T}) {
      TestRank(random, "syrkEx", false, trans,
               [=](cublasOperation_t o, int n, int k, const Small* a, int lda, cuComplex* c, int ldc) {
                 return symmetric(h, CUBLAS_FILL_MODE_UPPER, o, n, k, &two, a, CUDA_C_8I, lda, &three, c, CUDA_C_32F,
                                  ldc);
               });
    }
    for (const cublasOperation_t trans : {CUBLAS_OP_N, CUBLAS_OP_C}) {
      TestRank(random, "herkEx", true, trans,
               [=](cublasOperation_t o, int n, int k, const Small* a, int lda, cuComplex* c, int ldc) {
                 return hermitian(h, CUBLAS_FILL_MODE_UPPER, o, n, k, &real_two, a, CUDA_C_8I, lda, &real_three, c,
                                  CUDA_C_32F, ldc);
               });
    }
  }
}

template <typename T>
static void Test3m(cublasHandle_t h, Random& random) {
  const T two = As<T>(2), one = As<T>(1);
  TestProduct<T, T>(random, "gemm3m", [=](int m, int n, int k, const T* a, const T* b, T* c) {
    return gemm3m(Tag<T>(), h, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &two, a, m, b, k, &one, c, m);
  });
}

// Three groups: of two products, of none, of three. `call` gets the arrays.
template <typename T, typename S, typename I, typename Call>
static void TestGroups(Random& random, const char* what, Call call) {
  const I m[] = {5, 1, 17}, n[] = {9, 1, 4}, k[] = {3, 1, 0}, sizes[] = {2, 0, 3};
  const cublasOperation_t transa[] = {CUBLAS_OP_N, CUBLAS_OP_N, CUBLAS_OP_N},
                          transb[] = {CUBLAS_OP_T, CUBLAS_OP_N, CUBLAS_OP_N};
  const I lda[] = {6, 1, 17}, ldb[] = {10, 1, 1}, ldc[] = {5, 1, 19};
  const S alpha[] = {As<S>(2), As<S>(1), As<S>(3)}, beta[] = {As<S>(0.5), As<S>(1), As<S>(2)};
  std::vector<Stored<T>> a, b, c;
  std::vector<const T*> as, bs;
  std::vector<T*> cs;
  for (int group = 0; group < 3; ++group) {
    for (I i = 0; i < sizes[group]; ++i) {
      const bool turns = transb[group] != CUBLAS_OP_N;
      a.push_back(Dense<T>(random, m[group], k[group] + 1, lda[group]));
      b.push_back(Dense<T>(random, turns ? n[group] : k[group] + 1, turns ? k[group] + 1 : n[group], ldb[group]));
      c.push_back(Dense<T>(random, m[group], n[group], ldc[group]));
      as.push_back(a.back().get());
      bs.push_back(b.back().get());
      cs.push_back(c.back().get());
    }
  }
  const OnDevice<const T*> da(as), db(bs);
  const OnDevice<T*> dc(cs);
  CHECK_BLAS(call(transa, transb, m, n, k, alpha, da.get(), lda, db.get(), ldb, beta, dc.get(), ldc, I(3), sizes));
  int index = 0;
  for (int group = 0; group < 3; ++group) {
    for (I i = 0; i < sizes[group]; ++i, ++index) {
      c[index].Expect(what, [&](int row, int column) {
        Wide sum = 0;
        for (int l = 0; l < k[group]; ++l) sum += a[index].At(row, l) * b[index].At(column, l);
        return ToWide(alpha[group]) * sum + ToWide(beta[group]) * c[index].At(row, column);
      });
    }
  }
  const I wrong[] = {6, 1, 16};
  CHECK_BLAS_STATUS(
      call(transa, transb, m, n, k, alpha, da.get(), wrong, db.get(), ldb, beta, dc.get(), ldc, I(3), sizes),
      CUBLAS_STATUS_INVALID_VALUE);
}

template <typename T, typename S, typename I, typename Function>
static void TestMixedGroups(cublasHandle_t h, Random& random, cudaDataType type, cublasComputeType_t compute,
                            Function function) {
  using Operations = const cublasOperation_t*;
  TestGroups<T, S, I>(random, "GemmGroupedBatchedEx",
                      [=](Operations transa, Operations transb, const I* m, const I* n, const I* k, const S* alpha,
                          const T* const* a, const I* lda, const T* const* b, const I* ldb, const S* beta, T* const* c,
                          const I* ldc, I count, const I* sizes) {
                        return function(h, transa, transb, m, n, k, alpha, reinterpret_cast<const void* const*>(a),
                                        type, lda, reinterpret_cast<const void* const*>(b), type, ldb, beta,
                                        reinterpret_cast<void* const*>(c), type, ldc, count, sizes, compute);
                      });
}

int main() {
  cublasHandle_t handle = nullptr;
  CHECK_BLAS(cublasCreate(&handle));
  Random random(61);
  TestVectors<float, float, float>(handle, random);
  TestVectors<double, double, double>(handle, random);
  TestVectors<cuComplex, cuComplex, cuComplex>(handle, random);
  TestVectors<cuDoubleComplex, cuDoubleComplex, cuDoubleComplex>(handle, random);
  TestVectors<__half, __half, float>(handle, random);
  TestVectors<__half, float, float>(handle, random);
  TestVectors<__nv_bfloat16, __nv_bfloat16, float>(handle, random);
  TestVectors<__nv_bfloat16, float, float>(handle, random);
  TestTypes<float, float>(handle, random, CUDA_R_32F, CUDA_R_32F);
  TestTypes<__half, __half>(handle, random, CUDA_R_16F, CUDA_R_16F);
  TestTypes<__half, float>(handle, random, CUDA_R_16F, CUDA_R_32F);
  TestTypes<__nv_bfloat16, __nv_bfloat16>(handle, random, CUDA_R_16BF, CUDA_R_16BF);
  TestTypes<__nv_bfloat16, float>(handle, random, CUDA_R_16BF, CUDA_R_32F);
  TestTypes<signed char, float>(handle, random, CUDA_R_8I, CUDA_R_32F);
  TestComplexTypes<cuComplex>(handle, random, CUDA_C_32F);
  TestComplexTypes<Small>(handle, random, CUDA_C_8I);
  Test3m<cuComplex>(handle, random);
  Test3m<cuDoubleComplex>(handle, random);
  TestRanks(handle, random);
  TestGroups<float, float, int>(random, "SgemmGroupedBatched",
                                [=](auto... a) { return cublasSgemmGroupedBatched(handle, a...); });
  TestGroups<double, double, int>(random, "DgemmGroupedBatched",
                                  [=](auto... a) { return cublasDgemmGroupedBatched(handle, a...); });
  TestGroups<float, float, int64_t>(random, "SgemmGroupedBatched_64",
                                    [=](auto... a) { return cublasSgemmGroupedBatched_64(handle, a...); });
  TestGroups<double, double, int64_t>(random, "DgemmGroupedBatched_64",
                                      [=](auto... a) { return cublasDgemmGroupedBatched_64(handle, a...); });
  const auto mixed = [](auto... a) { return cublasGemmGroupedBatchedEx(a...); };
  const auto mixed_64 = [](auto... a) { return cublasGemmGroupedBatchedEx_64(a...); };
  TestMixedGroups<__half, float, int>(handle, random, CUDA_R_16F, CUBLAS_COMPUTE_32F, mixed);
  TestMixedGroups<__nv_bfloat16, float, int64_t>(handle, random, CUDA_R_16BF, CUBLAS_COMPUTE_32F, mixed_64);
  TestMixedGroups<double, double, int>(handle, random, CUDA_R_64F, CUBLAS_COMPUTE_64F, mixed);
  TestMixedGroups<float, float, int>(handle, random, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32, mixed);
  CHECK_BLAS(cublasDestroy(handle));
  return Passed();
}
