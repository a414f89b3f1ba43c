// Vectors, structured matrices, batches and products of small types: each against sums in double on the host.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstring>

#include "cublas_check.h"

static void TestVectors(cublasHandle_t handle, Random& random) {
  const int n = 300;
  const std::vector<float> x = RandomNumbers<float>(random, 2 * n);
  std::vector<float> y = RandomNumbers<float>(random, n);
  y[41] = 99.0f;
  y[77] = -99.0f;
  const OnDevice<float> dx(x), dy(y), result(std::vector<float>{0.0f});
  CHECK_BLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST));
  double dot = 0, sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    dot += x[2 * i] * y[i];
    sum += std::fabs(y[i]);
    squares += y[i] * y[i];
  }
  float got = -1;
  CHECK_BLAS(cublasSdot(handle, n, dx.get(), 2, dy.get(), 1, &got));
  ExpectNear(got, dot, 1e-5, "dot", 0);
  CHECK_BLAS(cublasSasum(handle, n, dy.get(), 1, &got));
  ExpectNear(got, sum, 1e-5, "asum", 0);
  CHECK_BLAS(cublasSnrm2(handle, n, dy.get(), 1, &got));
  ExpectNear(got, std::sqrt(squares), 1e-5, "nrm2", 0);
  int place = -1;
  CHECK_BLAS(cublasIsamax(handle, n, dy.get(), 1, &place));
  EXPECT(place == 42, "the largest is at %d", place);
  int64_t place_64 = -1;
  CHECK_BLAS(cublasIsamax_64(handle, n, dy.get(), 1, &place_64));
  EXPECT(place_64 == 42, "the largest is at %lld", static_cast<long long>(place_64));
  CHECK_BLAS(cublasIsamax(handle, 0, dy.get(), 1, &place));
  EXPECT(place == 0, "the largest of none is at %d", place);
  const float two = 2;
  CHECK_BLAS(cublasSaxpy(handle, n, &two, dx.get(), -2, dy.get(), 1));
  CHECK_BLAS(cublasSscal(handle, n, &two, dy.get(), 1));
  const std::vector<float> after = dy.Read();
  for (int i = 0; i < n; ++i) ExpectNear(after[i], 2 * (y[i] + 2 * x[2 * (n - 1 - i)]), 1e-6, "axpy, scal", i);
  CHECK_BLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE));
  CHECK_BLAS(cublasSnrm2(handle, n, dx.get(), 2, result.get()));
  double even = 0;
  for (int i = 0; i < n; ++i) even += x[2 * i] * x[2 * i];
  ExpectNear(result.Read()[0], std::sqrt(even), 1e-5, "nrm2 on the device", 0);
  CHECK_BLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST));
}

static void TestMatrices(cublasHandle_t handle, Random& random) {
  const int m = 37, n = 21;
  const double one = 1, two = 2, half = 0.5, zero = 0;
  std::vector<double> a = RandomNumbers<double>(random, m * m);
  for (int i = 0; i < m; ++i) a[i * m + i] = 40;
  const std::vector<double> b = RandomNumbers<double>(random, m * n), x = RandomNumbers<double>(random, m),
                            y = RandomNumbers<double>(random, n);
  const OnDevice<double> da(a), db(b), dc(b), dx(x), dy(y);
  CHECK_BLAS(cublasDgemv(handle, CUBLAS_OP_T, m, n, &two, db.get(), m, dx.get(), -1, &half, dy.get(), 1));
  const std::vector<double> product = dy.Read();
  for (int j = 0; j < n; ++j) {
    double sum = 0;
    for (int i = 0; i < m; ++i) sum += b[j * m + i] * x[m - 1 - i];
    ExpectNear(product[j], 2 * sum + 0.5 * y[j], 1e-12, "gemv", j);
  }
  // What trsm solves, trmm multiplies back.
  CHECK_BLAS(cublasDtrsm(handle, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_T, CUBLAS_DIAG_NON_UNIT, m, n,
                         &one, da.get(), m, dc.get(), m));
  const std::vector<double> solved = dc.Read();
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < m; ++i) {
      double sum = 0;
      for (int l = i; l < m; ++l) sum += a[i * m + l] * solved[j * m + l];
      ExpectNear(sum, b[j * m + i], 1e-9, "trsm", j * m + i);
    }
  }
  const OnDevice<double> back(b);
  CHECK_BLAS(cublasDtrmm(handle, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_T, CUBLAS_DIAG_NON_UNIT, m, n,
                         &one, da.get(), m, dc.get(), m, back.get(), m));
  const std::vector<double> again = back.Read();
  for (int i = 0; i < m * n; ++i) ExpectNear(again[i], b[i], 1e-9, "trmm", i);
  // The lower half of B * B^T; the upper one stays.
  const OnDevice<double> square(a);
  CHECK_BLAS(cublasDsyrk(handle, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N, m, n, &one, db.get(), m, &zero, square.get(), m));
  const std::vector<double> half_done = square.Read();
  for (int j = 0; j < m; ++j) {
    for (int i = 0; i < m; ++i) {
      double wanted = a[j * m + i];
      if (i >= j) {
        wanted = 0;
        for (int l = 0; l < n; ++l) wanted += b[l * m + i] * b[l * m + j];
      }
      ExpectNear(half_done[j * m + i], wanted, 1e-12, "syrk", j * m + i);
    }
  }
  const OnDevice<double> turned(b);
  CHECK_BLAS(
      cublasDgeam(handle, CUBLAS_OP_T, CUBLAS_OP_N, n, m, &two, db.get(), m, &zero, nullptr, n, turned.get(), n));
  const std::vector<double> transposed = turned.Read();
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < m; ++i) ExpectNear(transposed[i * n + j], 2 * b[j * m + i], 1e-12, "geam", i * n + j);
  }
}

template <typename A, typename C, typename S>
static void TestTypes(cublasHandle_t handle, Random& random, cudaDataType a_type, cudaDataType c_type,
                      cublasComputeType_t compute, bool whole, double tolerance) {
  const int m = 19, n = 23, k = 40, count = 3;
  std::vector<A> a(m * k * count), b(k * n * count);
  std::vector<double> exact_a(a.size()), exact_b(b.size());
  const auto fill = [&](std::vector<A>& to, std::vector<double>& exact) {
    for (size_t i = 0; i < to.size(); ++i) {
      const int number = static_cast<int>(random.Below(17)) - 8;
      exact[i] = whole ? number : number * 0.25;
      to[i] = static_cast<A>(static_cast<float>(exact[i]));
    }
  };
  fill(a, exact_a);
  fill(b, exact_b);
  const OnDevice<A> da(a), db(b);
  const OnDevice<C> dc(std::vector<C>(m * n * count, static_cast<C>(1.0f)));
  const S alpha = static_cast<S>(2.0f), beta = static_cast<S>(3.0f);
  CHECK_BLAS(cublasGemmStridedBatchedEx(handle, CUBLAS_OP_N, CUBLAS_OP_T, m, n, k, &alpha, da.get(), a_type, m, m * k,
                                        db.get(), a_type, n, k * n, &beta, dc.get(), c_type, m, m * n, count, compute,
                                        CUBLAS_GEMM_DEFAULT));
  const std::vector<C> got = dc.Read();
  for (int batch = 0; batch < count; ++batch) {
    for (int j = 0; j < n; ++j) {
      for (int i = 0; i < m; ++i) {
        double sum = 0;
        for (int l = 0; l < k; ++l) sum += exact_a[batch * m * k + l * m + i] * exact_b[batch * k * n + l * n + j];
        const int at = batch * m * n + j * m + i;
        ExpectNear(static_cast<double>(static_cast<float>(got[at])), 2 * sum + 3, tolerance, "GemmStridedBatchedEx",
                   at);
      }
    }
  }
}

static void TestBatch(cublasHandle_t handle, Random& random) {
  const int n = 8, count = 5;
  const std::vector<float> a = RandomNumbers<float>(random, n * n * count);
  const OnDevice<float> da(a), dc(a);
  std::vector<float*> froms(count), tos(count);
  for (int i = 0; i < count; ++i) {
    froms[i] = da.get() + i * n * n;
    tos[i] = dc.get() + (count - 1 - i) * n * n;
  }
  const OnDevice<float*> from(froms), to(tos);
  const float one = 1, zero = 0;
  CHECK_BLAS(cublasSgemmBatched(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, from.get(), n, from.get(), n, &zero,
                                to.get(), n, count));
  const std::vector<float> got = dc.Read();
  for (int batch = 0; batch < count; ++batch) {
    const float* matrix = a.data() + batch * n * n;
    for (int j = 0; j < n; ++j) {
      for (int i = 0; i < n; ++i) {
        double sum = 0;
        for (int l = 0; l < n; ++l) sum += matrix[l * n + i] * matrix[j * n + l];
        ExpectNear(got[(count - 1 - batch) * n * n + j * n + i], sum, 1e-5, "gemmBatched", batch);
      }
    }
  }
}

static void TestCopies(Random& random) {
  const std::vector<float> a = RandomNumbers<float>(random, 60);
  const OnDevice<float> device(std::vector<float>(60, 0.0f));
  std::vector<float> back(60, -1.0f);
  CHECK_BLAS(cublasSetMatrix(7, 5, sizeof(float), a.data(), 9, device.get(), 8));
  CHECK_BLAS(cublasGetMatrix(7, 5, sizeof(float), device.get(), 8, back.data(), 10));
  for (int j = 0; j < 5; ++j) {
    for (int i = 0; i < 7; ++i) EXPECT(back[j * 10 + i] == a[j * 9 + i], "element %d, %d of a matrix", i, j);
  }
  CHECK_BLAS(cublasSetVector(20, sizeof(float), a.data(), 3, device.get(), 1));
  CHECK_BLAS(cublasGetVector(20, sizeof(float), device.get(), 1, back.data(), 2));
  for (int i = 0; i < 20; ++i) EXPECT(back[2 * i] == a[3 * i], "element %d of a vector", i);
  CHECK_BLAS_STATUS(cublasSetVector(20, 0, a.data(), 1, device.get(), 1), CUBLAS_STATUS_INVALID_VALUE);
}

static void TestState(cublasHandle_t handle) {
  cublasMath_t math = CUBLAS_PEDANTIC_MATH;
  CHECK_BLAS(cublasGetMathMode(handle, &math));
  EXPECT(math == CUBLAS_DEFAULT_MATH, "the math mode is %d at first", static_cast<int>(math));
  CHECK_BLAS(cublasSetMathMode(handle, CUBLAS_TF32_TENSOR_OP_MATH));
  CHECK_BLAS(cublasGetMathMode(handle, &math));
  EXPECT(math == CUBLAS_TF32_TENSOR_OP_MATH, "the math mode is %d", static_cast<int>(math));
  CHECK_BLAS_STATUS(cublasSetMathMode(handle, static_cast<cublasMath_t>(99)), CUBLAS_STATUS_INVALID_VALUE);
  cublasPointerMode_t mode = CUBLAS_POINTER_MODE_DEVICE;
  CHECK_BLAS(cublasGetPointerMode(handle, &mode));
  EXPECT(mode == CUBLAS_POINTER_MODE_HOST, "the pointer mode is %d", static_cast<int>(mode));
  EXPECT(std::strcmp(cublasGetStatusName(CUBLAS_STATUS_INVALID_VALUE), "CUBLAS_STATUS_INVALID_VALUE") == 0,
         "a status' name");
}

// An operand outside of memory is found by the call that waits, and for ever; so this comes last.
static void TestOperandOutside(cublasHandle_t handle) {
  float* device = nullptr;
  CHECK(cudaMalloc(&device, 64 * sizeof(float)));
  const float one = 1;
  CHECK_BLAS(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 8, 8, 8, &one, device, 8, device, 8, &one,
                         reinterpret_cast<float*>(0x1000), 8));
  CHECK_ERROR(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  CHECK_ERROR(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
}

int main() {
  cublasHandle_t handle = nullptr;
  CHECK_BLAS(cublasCreate(&handle));
  Random random(11);
  TestVectors(handle, random);
  TestMatrices(handle, random);
  TestTypes<__half, __half, float>(handle, random, CUDA_R_16F, CUDA_R_16F, CUBLAS_COMPUTE_32F, false, 1e-3);
  TestTypes<__half, __half, __half>(handle, random, CUDA_R_16F, CUDA_R_16F, CUBLAS_COMPUTE_16F, false, 4e-3);
  TestTypes<__half, float, float>(handle, random, CUDA_R_16F, CUDA_R_32F, CUBLAS_COMPUTE_32F, false, 1e-5);
  TestTypes<__nv_bfloat16, __nv_bfloat16, float>(handle, random, CUDA_R_16BF, CUDA_R_16BF, CUBLAS_COMPUTE_32F, false,
                                                 8e-3);
  TestTypes<signed char, int, int>(handle, random, CUDA_R_8I, CUDA_R_32I, CUBLAS_COMPUTE_32I, true, 0);
  TestTypes<float, float, float>(handle, random, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F, false, 1e-5);
  TestBatch(handle, random);
  TestCopies(random);
  TestState(handle);
  TestOperandOutside(handle);
  return Passed();
}
