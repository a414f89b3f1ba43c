// The product that every program has, on a stream of its own behind a kernel and before one: transposes, leading
// dimensions, scalars on the host and on the device, and what wrong arguments are told.
#include "cublas_check.h"

__global__ void Double(float* data, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] *= 2.0f;
}

template <typename T>
double At(const std::vector<T>& a, int lda, bool transposed, int i, int j) {
  return static_cast<double>(transposed ? a[i * lda + j] : a[j * lda + i]);
}

static cublasStatus_t Gemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                           const float* alpha, const float* a, int lda, const float* b, int ldb, const float* beta,
                           float* c, int ldc) {
  return cublasSgemm(h, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
static cublasStatus_t Gemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                           const double* alpha, const double* a, int lda, const double* b, int ldb, const double* beta,
                           double* c, int ldc) {
  return cublasDgemm(h, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

template <typename T>
static void TestProduct(cublasHandle_t handle, Random& random, bool on_device) {
  const int m = 1 + random.Below(70), n = 1 + random.Below(70), k = 1 + random.Below(70);
  const bool ta = random.Below(2) != 0, tb = random.Below(2) != 0;
  const int lda = (ta ? k : m) + random.Below(5), ldb = (tb ? n : k) + random.Below(5), ldc = m + random.Below(5);
  const std::vector<T> a = RandomNumbers<T>(random, lda * (ta ? m : k)),
                       b = RandomNumbers<T>(random, ldb * (tb ? k : n)), c = RandomNumbers<T>(random, ldc * n);
  const T alpha = static_cast<T>(random.Below(3)) - 1, beta = static_cast<T>(random.Below(3)) * static_cast<T>(0.5);
  const OnDevice<T> da(a), db(b), dc(c), dalpha({alpha}), dbeta({beta});
  CHECK_BLAS(cublasSetPointerMode(handle, on_device ? CUBLAS_POINTER_MODE_DEVICE : CUBLAS_POINTER_MODE_HOST));
  CHECK_BLAS(Gemm(handle, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k,
                  on_device ? dalpha.get() : &alpha, da.get(), lda, db.get(), ldb, on_device ? dbeta.get() : &beta,
                  dc.get(), ldc));
  cudaStream_t stream = nullptr;
  CHECK_BLAS(cublasGetStream(handle, &stream));
  CHECK(cudaStreamSynchronize(stream));
  const std::vector<T> got = dc.Read();
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < ldc; ++i) {
      double wanted = static_cast<double>(c[j * ldc + i]);
      if (i < m) {
        double sum = 0;
        for (int l = 0; l < k; ++l) sum += At(a, lda, ta, i, l) * At(b, ldb, tb, l, j);
        wanted = static_cast<double>(alpha) * sum + static_cast<double>(beta) * wanted;
      }
      ExpectNear(static_cast<double>(got[j * ldc + i]), wanted, 1e-5, "gemm", j * ldc + i);
    }
  }
}

static void TestOrder(cublasHandle_t handle, cudaStream_t stream) {
  const int n = 128;
  std::vector<float> identity(n * n, 0.0f), ones(n * n, 1.0f);
  for (int i = 0; i < n; ++i) identity[i * n + i] = 1.0f;
  const OnDevice<float> a(identity), b(ones), c(ones);
  const float one = 1, zero = 0;
  CHECK_BLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST));
  // Each doubles: by a kernel, by a product; and the host does not wait in between.
  for (int i = 0; i < 5; ++i) {
    Double<<<(n * n + 255) / 256, 256, 0, stream>>>(b.get(), n * n);
    float two = 2;
    CHECK_BLAS(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &two, a.get(), n, b.get(), n, &zero, c.get(), n));
    two = 77;  // the value was taken by the call
    CHECK_BLAS(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, a.get(), n, c.get(), n, &zero, b.get(), n));
  }
  CHECK(cudaStreamSynchronize(stream));
  for (const float value : b.Read()) EXPECT(value == 1024.0f, "after ten doublings it is %g", value);
}

static void TestErrors(cublasHandle_t handle) {
  const float one = 1;
  const OnDevice<float> a(std::vector<float>(64, 1.0f));
  const auto gemm = [&](cublasHandle_t h, int ta, int m, int k, int lda, int ldb, int ldc, const float* alpha) {
    return cublasSgemm(h, static_cast<cublasOperation_t>(ta), CUBLAS_OP_N, m, 4, k, alpha, a.get(), lda, a.get(), ldb,
                       &one, a.get(), ldc);
  };
  CHECK_BLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST));
  CHECK_BLAS_STATUS(gemm(nullptr, 0, 4, 4, 4, 4, 4, &one), CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK_BLAS_STATUS(gemm(handle, 9, 4, 4, 4, 4, 4, &one), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS_STATUS(gemm(handle, 0, -1, 4, 4, 4, 4, &one), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS_STATUS(gemm(handle, 0, 4, 4, 3, 4, 4, &one), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS_STATUS(gemm(handle, 1, 4, 8, 7, 8, 4, &one), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS_STATUS(gemm(handle, 0, 4, 4, 4, 3, 4, &one), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS_STATUS(gemm(handle, 0, 4, 4, 4, 4, 3, &one), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS_STATUS(gemm(handle, 0, 4, 4, 4, 4, 4, nullptr), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS_STATUS(cublasCreate(nullptr), CUBLAS_STATUS_INVALID_VALUE);
  // Nothing to do.
  CHECK_BLAS(gemm(handle, 0, 0, 4, 4, 4, 4, &one));
}

int main() {
  cublasHandle_t handle = nullptr;
  CHECK_BLAS(cublasCreate(&handle));
  int version = 0;
  CHECK_BLAS(cublasGetVersion(handle, &version));
  EXPECT(version / 10000 == 13, "version %d", version);
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  Random random(5);
  for (int round = 0; round < 24; ++round) {
    CHECK_BLAS(cublasSetStream(handle, round % 3 == 0 ? nullptr : stream));
    TestProduct<float>(handle, random, round % 2 != 0);
    TestProduct<double>(handle, random, round % 2 != 0);
  }
  CHECK_BLAS(cublasSetStream(handle, stream));
  TestOrder(handle, stream);
  TestErrors(handle);
  CHECK_BLAS(cublasDestroy(handle));
  CHECK_BLAS_STATUS(cublasDestroy(nullptr), CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK(cudaStreamDestroy(stream));
  return Passed();
}
