// Matrices and vectors: every function of level 2 in every form of storage, against plain loops.
#include "cublas_dense.h"

ANY(gemv)
ANY(gbmv)
REAL(ger)
COMPLEX(geru)
COMPLEX(gerc)
ANY(symv)
COMPLEX(hemv)
REAL(spmv)
COMPLEX(hpmv)
REAL(sbmv)
COMPLEX(hbmv)
ANY(syr)
REAL(spr)
COMPLEX(her)
COMPLEX(hpr)
ANY(syr2)
REAL(spr2)
COMPLEX(her2)
COMPLEX(hpr2)
ANY(trmv)
ANY(tpmv)
ANY(tbmv)
ANY(trsv)
ANY(tpsv)
ANY(tbsv)
ANY(tpttr)
ANY(trttp)

static const cublasFillMode_t kFills[] = {CUBLAS_FILL_MODE_LOWER, CUBLAS_FILL_MODE_UPPER};
static const cublasOperation_t kOperations[] = {CUBLAS_OP_N, CUBLAS_OP_T, CUBLAS_OP_C};
static const cublasDiagType_t kDiagonals[] = {CUBLAS_DIAG_NON_UNIT, CUBLAS_DIAG_UNIT};
constexpr int kOrder = 19;
constexpr int kStride = 23;

// y = alpha * op(A) * x + beta * y, for a matrix and a band of it, with and without a beta.
template <typename T>
static void TestGeneral(cublasHandle_t handle, Random& random) {
  const int m = 21, n = 13, below = 2, above = 4;
  for (const cublasOperation_t trans : kOperations) {
    for (const bool keeps : {true, false}) {
      for (const bool is_band : {false, true}) {
        const auto a = is_band ? Stored<T>(random, m, n, kStride * (n - 1) + above + below + 1,
                                           [=](int i, int j) {
                                             return i - j > below || j - i > above ? -1 : j * kStride + above + i - j;
                                           })
                               : Dense<T>(random, m, n, kStride);
        const int columns = trans == CUBLAS_OP_N ? n : m, rows = trans == CUBLAS_OP_N ? m : n;
        const Line<T> x(random, columns, -2), y(random, rows, 3, keeps);
        const Wide alpha = RandomNumber<T>(random), beta = keeps ? RandomNumber<T>(random) : 0;
        const T by = As<T>(alpha), keep = As<T>(beta);
        if (is_band) {
          CHECK_BLAS(gbmv(Tag<T>(), handle, trans, m, n, below, above, &by, a.get(), kStride, x.get(), x.step(), &keep,
                          y.get(), y.step()));
        } else {
          CHECK_BLAS(
              gemv(Tag<T>(), handle, trans, m, n, &by, a.get(), kStride, x.get(), x.step(), &keep, y.get(), y.step()));
        }
        y.Expect(is_band ? "gbmv" : "gemv", [&](int row) {
          Wide sum = 0;
          for (int l = 0; l < columns; ++l)
            sum += (trans == CUBLAS_OP_N ? a.At(row, l) : ConjugateIf(trans == CUBLAS_OP_C, a.At(l, row))) * x[l];
          return alpha * sum + (keeps ? beta * y[row] : 0);
        });
      }
    }
  }
}

// `call` runs the function that adds alpha * x * transposed(y), or conjugated.
template <typename T, typename Call>
static void TestOuter(Random& random, const char* what, bool conjugates, Call call) {
  const int m = 17, n = 9;
  const Stored<T> a = Dense<T>(random, m, n, kStride);
  const Line<T> x(random, m, 2), y(random, n, -1);
  const Wide alpha = RandomNumber<T>(random);
  const T by = As<T>(alpha);
  CHECK_BLAS(call(m, n, &by, x, y, a));
  a.Expect(what, [&](int i, int j) { return a.At(i, j) + alpha * x[i] * ConjugateIf(conjugates, y[j]); });
}

// `call` runs y = alpha * A * x + beta * y.
template <typename T, typename Call>
static void TestSquare(Random& random, const char* what, Form form, bool is_hermitian, Call call) {
  const int diagonals = 3;
  for (const cublasFillMode_t uplo : kFills) {
    for (const bool keeps : {true, false}) {
      const Stored<T> a = Triangle<T>(random, form, uplo, kOrder, kStride, diagonals);
      const Line<T> x(random, kOrder, 2), y(random, kOrder, -3, keeps);
      const Wide alpha = RandomNumber<T>(random), beta = keeps ? RandomNumber<T>(random) : 0;
      const T by = As<T>(alpha), keep = As<T>(beta);
      CHECK_BLAS(call(uplo, diagonals, &by, a, x, &keep, y));
      y.Expect(what, [&](int row) {
        Wide sum = 0;
        for (int l = 0; l < kOrder; ++l) sum += a.Mirrored(row, l, is_hermitian) * x[l];
        return alpha * sum + (keeps ? beta * y[row] : 0);
      });
    }
  }
}

// `call` runs A += alpha * x * transposed(x), with an alpha of type S, or with y, and mirrored.
template <typename T, typename S, typename Call>
static void TestRank(Random& random, const char* what, Form form, bool is_hermitian, bool has_y, Call call) {
  for (const cublasFillMode_t uplo : kFills) {
    const Stored<T> a = Triangle<T>(random, form, uplo, kOrder, kStride, 0);
    const Line<T> x(random, kOrder, -2), y(random, kOrder, 1);
    const Wide alpha = RandomNumber<S>(random);
    const S by = As<S>(alpha);
    CHECK_BLAS(call(uplo, &by, x, y, a));
    a.Expect(what, [&](int i, int j) {
      const Wide before = is_hermitian && i == j ? Wide(a.At(i, i).real()) : a.At(i, j);
      const auto turned = [&](Wide value) { return ConjugateIf(is_hermitian, value); };
      if (!has_y) return before + alpha * x[i] * turned(x[j]);
      return before + alpha * x[i] * turned(y[j]) + turned(alpha) * y[i] * turned(x[j]);
    });
  }
}

// `multiply` and `solve` run x = op(A) * x and x = inverse(op(A)) * x.
template <typename T, typename Multiply, typename Solve>
static void TestTriangular(Random& random, const char* what, Form form, Multiply multiply, Solve solve) {
  const int diagonals = 4;
  for (const cublasFillMode_t uplo : kFills) {
    for (const cublasOperation_t trans : kOperations) {
      for (const cublasDiagType_t diag : kDiagonals) {
        const Stored<T> a = KindTriangle<T>(random, form, uplo, kOrder, kStride, diagonals);
        const Line<T> x(random, kOrder, -2);
        CHECK_BLAS(multiply(uplo, trans, diag, diagonals, a, x));
        x.Expect(what, [&](int i) {
          Wide sum = 0;
          for (int l = 0; l < kOrder; ++l) sum += a.Triangular(trans, diag, i, l) * x[l];
          return sum;
        });
        CHECK_BLAS(solve(uplo, trans, diag, diagonals, a, x));
        x.Expect(what, [&](int i) { return x[i]; }, 10);
      }
    }
  }
}

template <typename T>
static void TestPacking(cublasHandle_t handle, Random& random) {
  for (const cublasFillMode_t uplo : kFills) {
    const Stored<T> whole = Triangle<T>(random, Form::kWhole, uplo, kOrder, kStride, 0);
    const Stored<T> packed = Triangle<T>(random, Form::kPacked, uplo, kOrder, 0, 0);
    const Stored<T> other = Triangle<T>(random, Form::kWhole, uplo, kOrder, kStride, 0);
    CHECK_BLAS(tpttr(Tag<T>(), handle, uplo, kOrder, packed.get(), other.get(), kStride));
    other.Expect("tpttr", [&](int i, int j) { return packed.At(i, j); }, 0);
    CHECK_BLAS(trttp(Tag<T>(), handle, uplo, kOrder, whole.get(), kStride, packed.get()));
    packed.Expect("trttp", [&](int i, int j) { return whole.At(i, j); }, 0);
  }
}

template <typename T>
static void TestAny(cublasHandle_t h, Random& random) {
  using L = Line<T>;
  using M = Stored<T>;
  const Tag<T> t;
  TestGeneral<T>(h, random);
  TestSquare<T>(random, "symv", Form::kWhole, false,
                [=](cublasFillMode_t u, int, const T* by, const M& a, const L& x, const T* keep, const L& y) {
                  return symv(t, h, u, kOrder, by, a.get(), kStride, x.get(), x.step(), keep, y.get(), y.step());
                });
  TestRank<T, T>(random, "syr", Form::kWhole, false, false,
                 [=](cublasFillMode_t u, const T* by, const L& x, const L&, const M& a) {
                   return syr(t, h, u, kOrder, by, x.get(), x.step(), a.get(), kStride);
                 });
  TestRank<T, T>(random, "syr2", Form::kWhole, false, true,
                 [=](cublasFillMode_t u, const T* by, const L& x, const L& y, const M& a) {
                   return syr2(t, h, u, kOrder, by, x.get(), x.step(), y.get(), y.step(), a.get(), kStride);
                 });
  TestTriangular<T>(
      random, "trmv, trsv", Form::kWhole,
      [=](cublasFillMode_t u, cublasOperation_t o, cublasDiagType_t d, int, const M& a, const L& x) {
        return trmv(t, h, u, o, d, kOrder, a.get(), kStride, x.get(), x.step());
      },
      [=](cublasFillMode_t u, cublasOperation_t o, cublasDiagType_t d, int, const M& a, const L& x) {
        return trsv(t, h, u, o, d, kOrder, a.get(), kStride, x.get(), x.step());
      });
  TestTriangular<T>(
      random, "tpmv, tpsv", Form::kPacked,
      [=](cublasFillMode_t u, cublasOperation_t o, cublasDiagType_t d, int, const M& a, const L& x) {
        return tpmv(t, h, u, o, d, kOrder, a.get(), x.get(), x.step());
      },
      [=](cublasFillMode_t u, cublasOperation_t o, cublasDiagType_t d, int, const M& a, const L& x) {
        return tpsv(t, h, u, o, d, kOrder, a.get(), x.get(), x.step());
      });
  TestTriangular<T>(
      random, "tbmv, tbsv", Form::kBand,
      [=](cublasFillMode_t u, cublasOperation_t o, cublasDiagType_t d, int k, const M& a, const L& x) {
        return tbmv(t, h, u, o, d, kOrder, k, a.get(), kStride, x.get(), x.step());
      },
      [=](cublasFillMode_t u, cublasOperation_t o, cublasDiagType_t d, int k, const M& a, const L& x) {
        return tbsv(t, h, u, o, d, kOrder, k, a.get(), kStride, x.get(), x.step());
      });
  TestPacking<T>(h, random);
}

template <typename T>
static void TestReal(cublasHandle_t h, Random& random) {
  using L = Line<T>;
  using M = Stored<T>;
  const Tag<T> t;
  TestOuter<T>(random, "ger", false, [=](int m, int n, const T* by, const L& x, const L& y, const M& a) {
    return ger(t, h, m, n, by, x.get(), x.step(), y.get(), y.step(), a.get(), kStride);
  });
  TestSquare<T>(random, "spmv", Form::kPacked, false,
                [=](cublasFillMode_t u, int, const T* by, const M& a, const L& x, const T* keep, const L& y) {
                  return spmv(t, h, u, kOrder, by, a.get(), x.get(), x.step(), keep, y.get(), y.step());
                });
  TestSquare<T>(random, "sbmv", Form::kBand, false,
                [=](cublasFillMode_t u, int k, const T* by, const M& a, const L& x, const T* keep, const L& y) {
                  return sbmv(t, h, u, kOrder, k, by, a.get(), kStride, x.get(), x.step(), keep, y.get(), y.step());
                });
  TestRank<T, T>(random, "spr", Form::kPacked, false, false,
                 [=](cublasFillMode_t u, const T* by, const L& x, const L&, const M& a) {
                   return spr(t, h, u, kOrder, by, x.get(), x.step(), a.get());
                 });
  TestRank<T, T>(random, "spr2", Form::kPacked, false, true,
                 [=](cublasFillMode_t u, const T* by, const L& x, const L& y, const M& a) {
                   return spr2(t, h, u, kOrder, by, x.get(), x.step(), y.get(), y.step(), a.get());
                 });
}

// R: the real numbers of which T consists.
template <typename T, typename R>
static void TestComplex(cublasHandle_t h, Random& random) {
  using L = Line<T>;
  using M = Stored<T>;
  const Tag<T> t;
  TestOuter<T>(random, "geru", false, [=](int m, int n, const T* by, const L& x, const L& y, const M& a) {
    return geru(t, h, m, n, by, x.get(), x.step(), y.get(), y.step(), a.get(), kStride);
  });
  TestOuter<T>(random, "gerc", true, [=](int m, int n, const T* by, const L& x, const L& y, const M& a) {
    return gerc(t, h, m, n, by, x.get(), x.step(), y.get(), y.step(), a.get(), kStride);
  });
  TestSquare<T>(random, "hemv", Form::kWhole, true,
                [=](cublasFillMode_t u, int, const T* by, const M& a, const L& x, const T* keep, const L& y) {
                  return hemv(t, h, u, kOrder, by, a.get(), kStride, x.get(), x.step(), keep, y.get(), y.step());
                });
  TestSquare<T>(random, "hpmv", Form::kPacked, true,
                [=](cublasFillMode_t u, int, const T* by, const M& a, const L& x, const T* keep, const L& y) {
                  return hpmv(t, h, u, kOrder, by, a.get(), x.get(), x.step(), keep, y.get(), y.step());
                });
  TestSquare<T>(random, "hbmv", Form::kBand, true,
                [=](cublasFillMode_t u, int k, const T* by, const M& a, const L& x, const T* keep, const L& y) {
                  return hbmv(t, h, u, kOrder, k, by, a.get(), kStride, x.get(), x.step(), keep, y.get(), y.step());
                });
  TestRank<T, R>(random, "her", Form::kWhole, true, false,
                 [=](cublasFillMode_t u, const R* by, const L& x, const L&, const M& a) {
                   return her(t, h, u, kOrder, by, x.get(), x.step(), a.get(), kStride);
                 });
  TestRank<T, R>(random, "hpr", Form::kPacked, true, false,
                 [=](cublasFillMode_t u, const R* by, const L& x, const L&, const M& a) {
                   return hpr(t, h, u, kOrder, by, x.get(), x.step(), a.get());
                 });
  TestRank<T, T>(random, "her2", Form::kWhole, true, true,
                 [=](cublasFillMode_t u, const T* by, const L& x, const L& y, const M& a) {
                   return her2(t, h, u, kOrder, by, x.get(), x.step(), y.get(), y.step(), a.get(), kStride);
                 });
  TestRank<T, T>(random, "hpr2", Form::kPacked, true, true,
                 [=](cublasFillMode_t u, const T* by, const L& x, const L& y, const M& a) {
                   return hpr2(t, h, u, kOrder, by, x.get(), x.step(), y.get(), y.step(), a.get());
                 });
}

int main() {
  cublasHandle_t handle = nullptr;
  CHECK_BLAS(cublasCreate(&handle));
  Random random(21);
  TestAny<float>(handle, random);
  TestAny<double>(handle, random);
  TestAny<cuComplex>(handle, random);
  TestAny<cuDoubleComplex>(handle, random);
  TestReal<float>(handle, random);
  TestReal<double>(handle, random);
  TestComplex<cuComplex, float>(handle, random);
  TestComplex<cuDoubleComplex, double>(handle, random);
  CHECK_BLAS(cublasDestroy(handle));
  return Passed();
}
