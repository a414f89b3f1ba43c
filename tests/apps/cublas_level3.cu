// Matrices with structure and matrices: every function of level 3 that has one, against plain loops.
#include "cublas_dense.h"

ANY(symm)
COMPLEX(hemm)
ANY(syrk)
COMPLEX(herk)
ANY(syr2k)
COMPLEX(her2k)
ANY(syrkx)
COMPLEX(herkx)
ANY(trmm)
ANY(trsm)
ANY(trsmBatched)
ANY(geam)
ANY(dgmm)

static const cublasFillMode_t kFills[] = {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER};
static const cublasOperation_t kOperations[] = {CUBLAS_OP_N, CUBLAS_OP_T, CUBLAS_OP_C};
static const cublasSideMode_t kSides[] = {CUBLAS_SIDE_LEFT, CUBLAS_SIDE_RIGHT};

template <typename T>
static Wide Operated(const Stored<T>& a, cublasOperation_t trans, int i, int j) {
  return trans == CUBLAS_OP_N ? a.At(i, j) : ConjugateIf(trans == CUBLAS_OP_C, a.At(j, i));
}

// `call` runs C = alpha * A * B + beta * C, or B * A.
template <typename T, typename Call>
static void TestSquare(Random& random, const char* what, bool is_hermitian, Call call) {
  const int m = 23, n = 14;
  for (const cublasSideMode_t side : kSides) {
    for (const cublasFillMode_t uplo : kFills) {
      for (const bool keeps : {true, false}) {
        const int order = side == CUBLAS_SIDE_LEFT ? m : n;
        const Stored<T> a = Triangle<T>(random, Form::kWhole, uplo, order, 25, 0);
        const Stored<T> b = Dense<T>(random, m, n, 24), c = Dense<T>(random, m, n, 27, 1, keeps);
        const Wide alpha = RandomNumber<T>(random), beta = keeps ? RandomNumber<T>(random) : 0;
        const T by = As<T>(alpha), keep = As<T>(beta);
        CHECK_BLAS(call(side, uplo, m, n, &by, a.get(), 25, b.get(), 24, &keep, c.get(), 27));
        c.Expect(what, [&](int i, int j) {
          Wide sum = 0;
          for (int l = 0; l < order; ++l) {
            sum += side == CUBLAS_SIDE_LEFT ? a.Mirrored(i, l, is_hermitian) * b.At(l, j)
                                            : b.At(i, l) * a.Mirrored(l, j, is_hermitian);
          }
          return alpha * sum + (keeps ? beta * c.At(i, j) : 0);
        });
      }
    }
  }
}

// What is summed: op(A) with itself transposed, with B, or both ways.
enum class Sum { kOwn, kOther, kBoth };

// One triangle of products of op(A) and what is transposed. S and R are the types of alpha and beta. More columns than
// fit into one piece of whoever computes it piece by piece.
template <typename T, typename S, typename R, typename Call>
static void TestRank(Random& random, const char* what, bool is_hermitian, Sum kind, Call call) {
  const int n = 150, k = 11;
  for (const cublasFillMode_t uplo : kFills) {
    for (const bool turns : {false, true}) {
      for (const bool keeps : {true, false}) {
        const cublasOperation_t trans = !turns ? CUBLAS_OP_N : is_hermitian ? CUBLAS_OP_C : CUBLAS_OP_T;
        const int rows = turns ? k : n, columns = turns ? n : k, stride = rows + 3;
        const Stored<T> a = Dense<T>(random, rows, columns, stride), b = Dense<T>(random, rows, columns, stride);
        Stored<T> c = Triangle<T>(random, Form::kWhole, uplo, n, n + 2, 0, 1, keeps);
        const Wide alpha = RandomNumber<S>(random), beta = keeps ? RandomNumber<R>(random) : 0;
        const S by = As<S>(alpha);
        const R keep = As<R>(beta);
        CHECK_BLAS(call(uplo, trans, n, k, &by, a.get(), stride, b.get(), stride, &keep, c.get(), n + 2));
        const auto turned = [&](Wide value) { return ConjugateIf(is_hermitian, value); };
        c.Expect(what, [&](int i, int j) {
          Wide before = keeps ? c.At(i, j) : 0;
          if (is_hermitian && i == j) before = before.real();
          Wide sum = beta * before;
          for (int l = 0; l < k; ++l) {
            const Wide ai = Operated(a, trans, i, l), aj = Operated(a, trans, j, l);
            const Wide bi = Operated(b, trans, i, l), bj = Operated(b, trans, j, l);
            sum += alpha * ai * turned(kind == Sum::kOwn ? aj : bj);
            if (kind == Sum::kBoth) sum += turned(alpha) * bi * turned(aj);
          }
          // Nobody's diagonal but a Hermitian matrix' is made real, whatever the operands.
          return is_hermitian && i == j ? Wide(sum.real()) : sum;
        });
      }
    }
  }
}

template <typename T>
static void TestTriangular(cublasHandle_t handle, Random& random) {
  const int m = 17, n = 12;
  const T one = As<T>(1), zero = As<T>(0);
  for (const cublasSideMode_t side : kSides) {
    for (const cublasFillMode_t uplo : kFills) {
      for (const cublasOperation_t trans : kOperations) {
        for (const cublasDiagType_t diag : {CUBLAS_DIAG_NON_UNIT, CUBLAS_DIAG_UNIT}) {
          const int order = side == CUBLAS_SIDE_LEFT ? m : n;
          const Stored<T> a = KindTriangle<T>(random, Form::kWhole, uplo, order, 20, 0);
          const Stored<T> b = Dense<T>(random, m, n, 19), c = Dense<T>(random, m, n, 18);
          const Wide alpha = RandomNumber<T>(random);
          const T by = As<T>(alpha), back = As<T>(Wide(1) / alpha);
          CHECK_BLAS(trmm(Tag<T>(), handle, side, uplo, trans, diag, m, n, &by, a.get(), 20, b.get(), 19, c.get(), 18));
          c.Expect("trmm", [&](int i, int j) {
            Wide sum = 0;
            for (int l = 0; l < order; ++l) {
              sum += side == CUBLAS_SIDE_LEFT ? a.Triangular(trans, diag, i, l) * b.At(l, j)
                                              : b.At(i, l) * a.Triangular(trans, diag, l, j);
            }
            return alpha * sum;
          });
          CHECK_BLAS(trsm(Tag<T>(), handle, side, uplo, trans, diag, m, n, &back, a.get(), 20, c.get(), 18));
          c.Expect("trsm", [&](int i, int j) { return b.At(i, j); }, 10);
          // In place, and back as a batch.
          CHECK_BLAS(
              trmm(Tag<T>(), handle, side, uplo, trans, diag, m, n, &one, a.get(), 20, b.get(), 19, b.get(), 19));
          const OnDevice<const T*> triangles(std::vector<const T*>(2, a.get()));
          const Stored<T> other = Dense<T>(random, m, n, 19);
          const OnDevice<T*> targets(std::vector<T*>{b.get(), other.get()});
          CHECK_BLAS(trsmBatched(Tag<T>(), handle, side, uplo, trans, diag, m, n, &one, triangles.get(), 20,
                                 targets.get(), 19, 2));
          b.Expect("trsmBatched", [&](int i, int j) { return b.At(i, j); }, 10);
          CHECK_BLAS(trmm(Tag<T>(), handle, side, uplo, trans, diag, m, n, &one, a.get(), 20, other.get(), 19,
                          other.get(), 19));
          other.Expect("trsmBatched", [&](int i, int j) { return other.At(i, j); }, 10);
          CHECK_BLAS(trsm(Tag<T>(), handle, side, uplo, trans, diag, m, n, &zero, static_cast<const T*>(nullptr), 20,
                          b.get(), 19));
          b.Expect("trsm of nothing", [](int, int) { return Wide(0); }, 0);
        }
      }
    }
  }
}

template <typename T>
static void TestElements(cublasHandle_t handle, Random& random) {
  const int m = 15, n = 22;
  const Wide alpha = RandomNumber<T>(random), beta = RandomNumber<T>(random);
  const T by = As<T>(alpha), other = As<T>(beta);
  for (const cublasOperation_t transa : kOperations) {
    for (const cublasOperation_t transb : kOperations) {
      const bool turns_a = transa != CUBLAS_OP_N, turns_b = transb != CUBLAS_OP_N;
      const Stored<T> a = Dense<T>(random, turns_a ? n : m, turns_a ? m : n, 25);
      const Stored<T> b = Dense<T>(random, turns_b ? n : m, turns_b ? m : n, 26);
      const Stored<T> c = Dense<T>(random, m, n, 17);
      CHECK_BLAS(geam(Tag<T>(), handle, transa, transb, m, n, &by, a.get(), 25, &other, b.get(), 26, c.get(), 17));
      c.Expect("geam",
               [&](int i, int j) { return alpha * Operated(a, transa, i, j) + beta * Operated(b, transb, i, j); });
    }
  }
  for (const cublasSideMode_t side : kSides) {
    const Stored<T> scaled = Dense<T>(random, m, n, 16);
    const Line<T> one(random, 1, 1);
    CHECK_BLAS(dgmm(Tag<T>(), handle, side, m, n, scaled.get(), 16, one.get(), 0, scaled.get(), 16));
    scaled.Expect("dgmm without a step", [&](int i, int j) { return scaled.At(i, j) * one[0]; });
    const Stored<T> a = Dense<T>(random, m, n, 16);
    const Line<T> x(random, side == CUBLAS_SIDE_LEFT ? m : n, -2);
    CHECK_BLAS(dgmm(Tag<T>(), handle, side, m, n, a.get(), 16, x.get(), x.step(), a.get(), 16));
    a.Expect("dgmm", [&](int i, int j) { return a.At(i, j) * x[side == CUBLAS_SIDE_LEFT ? i : j]; });
  }
}

template <typename T>
static void TestAny(cublasHandle_t h, Random& random) {
  using Fill = cublasFillMode_t;
  using Operation = cublasOperation_t;
  const Tag<T> t;
  TestSquare<T>(random, "symm", false, [=](auto... a) { return symm(t, h, a...); });
  const auto own = [=](Fill u, Operation o, int n, int k, const T* by, const T* a, int lda, const T*, int,
                       const T* keep, T* c, int ldc) { return syrk(t, h, u, o, n, k, by, a, lda, keep, c, ldc); };
  TestRank<T, T, T>(random, "syrk", false, Sum::kOwn, own);
  TestRank<T, T, T>(random, "syr2k", false, Sum::kBoth, [=](auto... a) { return syr2k(t, h, a...); });
  TestRank<T, T, T>(random, "syrkx", false, Sum::kOther, [=](auto... a) { return syrkx(t, h, a...); });
  TestTriangular<T>(h, random);
  TestElements<T>(h, random);
}

// R: the real numbers of which T consists.
template <typename T, typename R>
static void TestComplex(cublasHandle_t h, Random& random) {
  using Fill = cublasFillMode_t;
  using Operation = cublasOperation_t;
  const Tag<T> t;
  TestSquare<T>(random, "hemm", true, [=](auto... a) { return hemm(t, h, a...); });
  const auto own = [=](Fill u, Operation o, int n, int k, const R* by, const T* a, int lda, const T*, int,
                       const R* keep, T* c, int ldc) { return herk(t, h, u, o, n, k, by, a, lda, keep, c, ldc); };
  TestRank<T, R, R>(random, "herk", true, Sum::kOwn, own);
  TestRank<T, T, R>(random, "her2k", true, Sum::kBoth, [=](auto... a) { return her2k(t, h, a...); });
  TestRank<T, T, R>(random, "herkx", true, Sum::kOther, [=](auto... a) { return herkx(t, h, a...); });
}

int main() {
  cublasHandle_t handle = nullptr;
  CHECK_BLAS(cublasCreate(&handle));
  Random random(31);
  TestAny<float>(handle, random);
  TestAny<double>(handle, random);
  TestAny<cuComplex>(handle, random);
  TestAny<cuDoubleComplex>(handle, random);
  TestComplex<cuComplex, float>(handle, random);
  TestComplex<cuDoubleComplex, double>(handle, random);
  CHECK_BLAS(cublasDestroy(handle));
  return Passed();
}
