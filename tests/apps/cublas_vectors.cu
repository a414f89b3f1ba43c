// Vectors: every function of level 1 in every type, and those whose types are arguments, against plain loops.
#include "cublas_dense.h"

// The functions of one type, under names that are the same for all.
template <typename T>
struct Own;
#define OWN(T, R, letter, small_letter, norm, dots, dotsc, reals)                                                     \
  template <>                                                                                                         \
  struct Own<T> {                                                                                                     \
    using Element = T;                                                                                                \
    using Real = R;                                                                                                   \
    cublasHandle_t h;                                                                                                 \
    cublasStatus_t Scale(int n, const T* by, T* x, int ix) { return cublas##letter##scal(h, n, by, x, ix); }          \
    cublasStatus_t ScaleReal(int n, const R* by, T* x, int ix) { return cublas##reals##scal(h, n, by, x, ix); }       \
    cublasStatus_t Add(int n, const T* by, const T* x, int ix, T* y, int iy) {                                        \
      return cublas##letter##axpy(h, n, by, x, ix, y, iy);                                                            \
    }                                                                                                                 \
    cublasStatus_t Copy(int n, const T* x, int ix, T* y, int iy) { return cublas##letter##copy(h, n, x, ix, y, iy); } \
    cublasStatus_t Swap(int n, T* x, int ix, T* y, int iy) { return cublas##letter##swap(h, n, x, ix, y, iy); }       \
    cublasStatus_t Dot(int n, const T* x, int ix, const T* y, int iy, T* r) {                                         \
      return cublas##dots(h, n, x, ix, y, iy, r);                                                                     \
    }                                                                                                                 \
    cublasStatus_t DotC(int n, const T* x, int ix, const T* y, int iy, T* r) {                                        \
      return cublas##dotsc(h, n, x, ix, y, iy, r);                                                                    \
    }                                                                                                                 \
    cublasStatus_t Norm(int n, const T* x, int ix, R* r) { return cublas##norm##nrm2(h, n, x, ix, r); }               \
    cublasStatus_t Sizes(int n, const T* x, int ix, R* r) { return cublas##norm##asum(h, n, x, ix, r); }              \
    cublasStatus_t Largest(int n, const T* x, int ix, int* r) { return cublasI##small_letter##amax(h, n, x, ix, r); } \
    cublasStatus_t Least(int n, const T* x, int ix, int* r) { return cublasI##small_letter##amin(h, n, x, ix, r); }   \
    cublasStatus_t Turn(int n, T* x, int ix, T* y, int iy, const R* c, const T* s) {                                  \
      return cublas##letter##rot(h, n, x, ix, y, iy, c, s);                                                           \
    }                                                                                                                 \
    cublasStatus_t MakeTurn(T* a, T* b, R* c, T* s) { return cublas##letter##rotg(h, a, b, c, s); }                   \
  };
OWN(float, float, S, s, S, Sdot, Sdot, S)
OWN(double, double, D, d, D, Ddot, Ddot, D)
OWN(cuComplex, float, C, c, Sc, Cdotu, Cdotc, Cs)
OWN(cuDoubleComplex, double, Z, z, Dz, Zdotu, Zdotc, Zd)

// The same of those whose types are arguments. S: of scalars.
template <typename T, typename R, typename S, cudaDataType kType, cudaDataType kReal, cudaDataType kScalar>
struct Mixed {
  using Element = T;
  using Real = R;
  cublasHandle_t h;
  cublasStatus_t Scale(int n, const T* by, T* x, int ix) {
    return cublasScalEx(h, n, by, kType, x, kType, ix, kScalar);
  }
  cublasStatus_t Add(int n, const T* by, const T* x, int ix, T* y, int iy) {
    const S scalar = As<S>(ToWide(*by));
    return cublasAxpyEx(h, n, &scalar, kScalar, x, kType, ix, y, kType, iy, kScalar);
  }
  cublasStatus_t Copy(int n, const T* x, int ix, T* y, int iy) {
    return cublasCopyEx(h, n, x, kType, ix, y, kType, iy);
  }
  cublasStatus_t Swap(int n, T* x, int ix, T* y, int iy) { return cublasSwapEx(h, n, x, kType, ix, y, kType, iy); }
  cublasStatus_t Dot(int n, const T* x, int ix, const T* y, int iy, T* r) {
    return cublasDotEx(h, n, x, kType, ix, y, kType, iy, r, kType, kScalar);
  }
  cublasStatus_t DotC(int n, const T* x, int ix, const T* y, int iy, T* r) {
    return cublasDotcEx(h, n, x, kType, ix, y, kType, iy, r, kType, kScalar);
  }
  cublasStatus_t Norm(int n, const T* x, int ix, R* r) { return cublasNrm2Ex(h, n, x, kType, ix, r, kReal, Work()); }
  cublasStatus_t Sizes(int n, const T* x, int ix, R* r) { return cublasAsumEx(h, n, x, kType, ix, r, kReal, Work()); }
  cublasStatus_t Largest(int n, const T* x, int ix, int* r) { return cublasIamaxEx(h, n, x, kType, ix, r); }
  cublasStatus_t Least(int n, const T* x, int ix, int* r) { return cublasIaminEx(h, n, x, kType, ix, r); }
  cublasStatus_t Turn(int n, T* x, int ix, T* y, int iy, const R* c, const T* s) {
    const T cosine = As<T>(ToWide(*c));
    return cublasRotEx(h, n, x, kType, ix, y, kType, iy, &cosine, s, kType, kScalar);
  }
  cublasStatus_t MakeTurn(T* a, T* b, R* c, T* s) { return cublasRotgEx(h, a, b, kType, c, s, kType, kScalar); }
  static cudaDataType Work() {
    return kScalar == CUDA_C_32F ? CUDA_R_32F : kScalar == CUDA_C_64F ? CUDA_R_64F : kScalar;
  }
};

template <typename Api>
static void TestAny(Api api, Random& random) {
  using T = typename Api::Element;
  using R = typename Api::Real;
  const int n = 43;
  const Wide by = RandomNumber<T>(random);
  const T scalar = As<T>(by);
  for (const int ix : {1, 3, -2}) {
    for (const int iy : {1, -2}) {
      const Line<T> x(random, n, ix), y(random, n, iy), z(random, n, iy), copied(random, n, ix), turned(random, n, iy);
      T dot, dot_c;
      CHECK_BLAS(api.Dot(n, x.get(), ix, y.get(), iy, &dot));
      CHECK_BLAS(api.DotC(n, x.get(), ix, y.get(), iy, &dot_c));
      Wide sum = 0, sum_c = 0;
      for (int i = 0; i < n; ++i) {
        sum += x[i] * y[i];
        sum_c += std::conj(x[i]) * y[i];
      }
      ExpectClose(dot, sum, "dot", 0);
      ExpectClose(dot_c, sum_c, "dotc", 0);
      CHECK_BLAS(api.Add(n, &scalar, x.get(), ix, y.get(), iy));
      y.Expect("axpy", [&](int i) { return y[i] + by * x[i]; });
      CHECK_BLAS(api.Copy(n, z.get(), iy, copied.get(), ix));
      copied.Expect("copy", [&](int i) { return z[i]; }, 0);
      CHECK_BLAS(api.Swap(n, copied.get(), ix, turned.get(), iy));
      copied.Expect("swap", [&](int i) { return turned[i]; }, 0);
      turned.Expect("swap", [&](int i) { return z[i]; }, 0);
      const R c = As<R>(0.75);
      const Wide s = RandomNumber<T>(random);
      const T sine = As<T>(s);
      CHECK_BLAS(api.Turn(n, copied.get(), ix, turned.get(), iy, &c, &sine));
      copied.Expect("rot", [&](int i) { return 0.75 * turned[i] + s * z[i]; });
      turned.Expect("rot", [&](int i) { return 0.75 * z[i] - std::conj(s) * turned[i]; });
    }
    const Line<T> x(random, n, ix);
    R norm, sizes;
    int largest = -7, least = -7;
    CHECK_BLAS(api.Norm(n, x.get(), ix, &norm));
    CHECK_BLAS(api.Sizes(n, x.get(), ix, &sizes));
    CHECK_BLAS(api.Largest(n, x.get(), ix, &largest));
    CHECK_BLAS(api.Least(n, x.get(), ix, &least));
    CHECK_BLAS(api.Scale(n, &scalar, x.get(), ix));
    double squares = 0, sum = 0, most = -1, fewest = 1e9;
    int first_most = 0, first_fewest = 0;
    for (int i = 0; ix > 0 && i < n; ++i) {
      const double size = std::fabs(x[i].real()) + std::fabs(x[i].imag());
      squares += std::norm(x[i]);
      sum += size;
      if (size > most) most = size, first_most = i + 1;
      if (size < fewest) fewest = size, first_fewest = i + 1;
    }
    ExpectClose(norm, std::sqrt(squares), "nrm2", ix);
    ExpectClose(sizes, sum, "asum", ix);
    EXPECT(largest == first_most, "iamax is %d, not %d", largest, first_most);
    EXPECT(least == first_fewest, "iamin is %d, not %d", least, first_fewest);
    x.Expect("scal", [&](int i) { return ix > 0 ? by * x[i] : x[i]; });
  }
  for (const bool has_a : {true, false}) {
    const Wide a = has_a ? RandomNumber<T>(random) : 0, b = RandomNumber<T>(random);
    T r = As<T>(a), z = As<T>(b), s;
    R c;
    CHECK_BLAS(api.MakeTurn(&r, &z, &c, &s));
    ExpectClose(As<T>(ToWide(c) * a + ToWide(s) * b), ToWide(r), "rotg: r", 0, 2);
    ExpectClose(As<T>(ToWide(c) * b - std::conj(ToWide(s)) * a), 0, "rotg: 0", 0, 8);
    ExpectClose(As<T>(ToWide(c) * ToWide(c) + std::norm(ToWide(s))), 1, "rotg: 1", 0, 2);
  }
}

// Scalars that are real, of complex vectors.
template <typename Api>
static void TestRealScalars(Api api, Random& random) {
  using T = typename Api::Element;
  const Line<T> x(random, 12, 2);
  const typename Api::Real by = 3;
  CHECK_BLAS(api.ScaleReal(12, &by, x.get(), 2));
  x.Expect("scal by a real number", [&](int i) { return 3.0 * x[i]; });
}

// `make` and `apply` are rotmg and rotm, in R. The one's result clears y1 when the other applies it.
template <typename R, typename Make, typename Apply>
static void TestModified(Random& random, Make make, Apply apply) {
  int flags[3] = {};
  for (int round = 0; round < 64; ++round) {
    const double scale = round % 4 == 3 ? 1.0 / (1 << 26) : 1;
    const double d1 = (random.Below(30) + 1) * 0.25 * scale, d2 = (random.Below(30) + 1) * 0.25;
    const double x1 = (random.Below(30) + 1) * 0.25, y1 = (random.Below(30) + 1) * -0.25;
    R new_d1 = As<R>(d1), new_d2 = As<R>(d2), new_x1 = As<R>(x1), y = As<R>(y1);
    R param[5];
    CHECK_BLAS(make(&new_d1, &new_d2, &new_x1, &y, param));
    const double flag = ToWide(param[0]).real();
    EXPECT(flag == -1 || flag == 0 || flag == 1, "rotmg: flag %g", flag);
    ++flags[static_cast<int>(flag) + 1];
    const Line<R> x(random, 5, 2), z(random, 5, -1);
    CHECK_BLAS(apply(5, x.get(), 2, z.get(), -1, param));
    const auto h = [&](int i) { return ToWide(param[i]).real(); };
    const double h11 = flag == 0 ? 1 : h(1), h22 = flag == 0 ? 1 : h(4), h21 = flag == 1 ? -1 : h(2),
                 h12 = flag == 1 ? 1 : h(3);
    x.Expect("rotm", [&](int i) { return h11 * x[i] + h12 * z[i]; });
    z.Expect("rotm", [&](int i) { return h21 * x[i] + h22 * z[i]; });
    const double size = std::sqrt(d1) * std::fabs(x1) + std::sqrt(d2) * std::fabs(y1);
    // What is cleared, and the length, which stays.
    ExpectClose(As<R>((h21 * x1 + h22 * y1) * std::sqrt(ToWide(new_d2).real()) / size), 0, "rotmg: 0", round, 4);
    const double before = d1 * x1 * x1 + d2 * y1 * y1;
    const double after = ToWide(new_d1).real() * ToWide(new_x1).real() * ToWide(new_x1).real();
    ExpectClose(As<R>(after / before), 1, "rotmg: length", round, 8);
  }
  EXPECT(flags[0] > 0 && flags[1] > 0 && flags[2] > 0, "rotmg: flags %d, %d, %d", flags[0], flags[1], flags[2]);
}

template <typename R, cudaDataType kType, cudaDataType kWork>
static void TestMixedModified(cublasHandle_t h, Random& random) {
  TestModified<R>(
      random,
      [=](R* d1, R* d2, R* x1, const R* y1, R* param) {
        return cublasRotmgEx(h, d1, kType, d2, kType, x1, kType, y1, kType, param, kType, kWork);
      },
      [=](int n, R* x, int ix, R* y, int iy, const R* param) {
        return cublasRotmEx(h, n, x, kType, ix, y, kType, iy, param, kType, kWork);
      });
}

// Results and scalars in the device's memory.
static void TestOnDevice(cublasHandle_t handle, Random& random) {
  CHECK_BLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE));
  const Line<double> x(random, 20, 1);
  const OnDevice<double> scalars(std::vector<double>{3, 4, 9, 9, 0.5, 1, 2, 3, 9, 9, 9, 9, 9});
  double* const at = scalars.get();
  CHECK_BLAS(cublasDrotg(handle, at, at + 1, at + 2, at + 3));
  CHECK_BLAS(cublasDscal(handle, 20, at + 4, x.get(), 1));
  CHECK_BLAS(cublasDrotmg(handle, at + 5, at + 6, at + 7, at + 4, at + 8));
  const std::vector<double> got = scalars.Read();
  ExpectClose(got[0], 5, "rotg on the device", 0);
  ExpectClose(got[1], 1 / 0.6, "rotg on the device", 1);
  ExpectClose(got[2], 0.6, "rotg on the device", 2);
  ExpectClose(got[3], 0.8, "rotg on the device", 3);
  x.Expect("scal by what is on the device", [&](int i) { return 0.5 * x[i]; });
  // d1 * x1 * x1 is the larger: only two elements count, and the others stay.
  EXPECT(got[8] == 0 && got[9] == 9 && got[12] == 9, "rotmg on the device: %g, %g, %g", got[8], got[9], got[12]);
  ExpectClose(got[10], -0.5 / 3, "rotmg on the device", 2);
  ExpectClose(got[11], 2 * 0.5 / (1 * 3), "rotmg on the device", 3);
  CHECK_BLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST));
}

static void TestRefused(cublasHandle_t handle, Random& random) {
  const Line<float> x(random, 4, 1);
  const float one = 1;
  CHECK_BLAS_STATUS(cublasScalEx(handle, 4, &one, CUDA_R_32F, x.get(), CUDA_R_8I, 1, CUDA_R_32F),
                    CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK_BLAS_STATUS(cublasCopyEx(handle, 4, x.get(), CUDA_R_32F, 1, x.get(), CUDA_R_16F, 1),
                    CUBLAS_STATUS_NOT_SUPPORTED);
}

int main() {
  cublasHandle_t handle = nullptr;
  CHECK_BLAS(cublasCreate(&handle));
  Random random(51);
  TestAny(Own<float>{handle}, random);
  TestAny(Own<double>{handle}, random);
  TestAny(Own<cuComplex>{handle}, random);
  TestAny(Own<cuDoubleComplex>{handle}, random);
  TestAny(Mixed<__half, __half, float, CUDA_R_16F, CUDA_R_16F, CUDA_R_32F>{handle}, random);
  TestAny(Mixed<__nv_bfloat16, __nv_bfloat16, float, CUDA_R_16BF, CUDA_R_16BF, CUDA_R_32F>{handle}, random);
  TestAny(Mixed<float, float, float, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F>{handle}, random);
  TestAny(Mixed<double, double, double, CUDA_R_64F, CUDA_R_64F, CUDA_R_64F>{handle}, random);
  TestAny(Mixed<cuComplex, float, cuComplex, CUDA_C_32F, CUDA_R_32F, CUDA_C_32F>{handle}, random);
  TestAny(Mixed<cuDoubleComplex, double, cuDoubleComplex, CUDA_C_64F, CUDA_R_64F, CUDA_C_64F>{handle}, random);
  TestRealScalars(Own<cuComplex>{handle}, random);
  TestRealScalars(Own<cuDoubleComplex>{handle}, random);
  TestModified<float>(
      random, [=](auto... a) { return cublasSrotmg(handle, a...); },
      [=](auto... a) { return cublasSrotm(handle, a...); });
  TestModified<double>(
      random, [=](auto... a) { return cublasDrotmg(handle, a...); },
      [=](auto... a) { return cublasDrotm(handle, a...); });
  TestMixedModified<float, CUDA_R_32F, CUDA_R_32F>(handle, random);
  TestMixedModified<double, CUDA_R_64F, CUDA_R_64F>(handle, random);
  TestOnDevice(handle, random);
  TestRefused(handle, random);
  CHECK_BLAS(cublasDestroy(handle));
  return Passed();
}
