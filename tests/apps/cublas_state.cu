// What a handle is set to and says of itself, the library's names, versions and log, and copies of vectors and matrices
// with strides: synchronous, asynchronous, and with numbers of 64 bits.
#include <cstring>
#include <string>

#include "cublas_check.h"

static void TestHandle(cublasHandle_t handle) {
  cublasAtomicsMode_t atomics = CUBLAS_ATOMICS_ALLOWED;
  CHECK_BLAS(cublasGetAtomicsMode(handle, &atomics));
  EXPECT(atomics == CUBLAS_ATOMICS_NOT_ALLOWED, "the atomics mode is %d at first", static_cast<int>(atomics));
  CHECK_BLAS(cublasSetAtomicsMode(handle, CUBLAS_ATOMICS_ALLOWED));
  CHECK_BLAS(cublasGetAtomicsMode(handle, &atomics));
  EXPECT(atomics == CUBLAS_ATOMICS_ALLOWED, "the atomics mode is %d", static_cast<int>(atomics));
  CHECK_BLAS_STATUS(cublasGetAtomicsMode(handle, nullptr), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS_STATUS(cublasGetAtomicsMode(nullptr, &atomics), CUBLAS_STATUS_NOT_INITIALIZED);

  int count = -1;
  CHECK_BLAS(cublasGetSmCountTarget(handle, &count));
  EXPECT(count == 0, "the target is %d multiprocessors at first", count);
  CHECK_BLAS(cublasSetSmCountTarget(handle, 1));
  CHECK_BLAS(cublasGetSmCountTarget(handle, &count));
  EXPECT(count == 1, "the target is %d multiprocessors", count);
  CHECK_BLAS_STATUS(cublasSetSmCountTarget(handle, -1), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS_STATUS(cublasSetSmCountTarget(handle, 1 << 20), CUBLAS_STATUS_INVALID_VALUE);

  cublasEmulationStrategy_t strategy = CUBLAS_EMULATION_STRATEGY_EAGER;
  CHECK_BLAS(cublasGetEmulationStrategy(handle, &strategy));
  EXPECT(strategy == CUBLAS_EMULATION_STRATEGY_DEFAULT, "the strategy is %d at first", static_cast<int>(strategy));
  CHECK_BLAS(cublasSetEmulationStrategy(handle, CUBLAS_EMULATION_STRATEGY_PERFORMANT));
  CHECK_BLAS(cublasGetEmulationStrategy(handle, &strategy));
  EXPECT(strategy == CUBLAS_EMULATION_STRATEGY_PERFORMANT, "the strategy is %d", static_cast<int>(strategy));
  cudaEmulationSpecialValuesSupport special = CUDA_EMULATION_SPECIAL_VALUES_SUPPORT_DEFAULT;
  CHECK_BLAS(cublasSetEmulationSpecialValuesSupport(handle, CUDA_EMULATION_SPECIAL_VALUES_SUPPORT_NAN));
  CHECK_BLAS(cublasGetEmulationSpecialValuesSupport(handle, &special));
  EXPECT(special == CUDA_EMULATION_SPECIAL_VALUES_SUPPORT_NAN, "special values: %d", static_cast<int>(special));
  cudaEmulationMantissaControl control = CUDA_EMULATION_MANTISSA_CONTROL_DYNAMIC;
  CHECK_BLAS(cublasSetFixedPointEmulationMantissaControl(handle, CUDA_EMULATION_MANTISSA_CONTROL_FIXED));
  CHECK_BLAS(cublasGetFixedPointEmulationMantissaControl(handle, &control));
  EXPECT(control == CUDA_EMULATION_MANTISSA_CONTROL_FIXED, "mantissas: %d", static_cast<int>(control));
  CHECK_BLAS(cublasSetFixedPointEmulationMaxMantissaBitCount(handle, 40));
  CHECK_BLAS(cublasGetFixedPointEmulationMaxMantissaBitCount(handle, &count));
  EXPECT(count == 40, "%d bits of a mantissa", count);
  CHECK_BLAS(cublasSetFixedPointEmulationMantissaBitOffset(handle, 3));
  CHECK_BLAS(cublasGetFixedPointEmulationMantissaBitOffset(handle, &count));
  EXPECT(count == 3, "an offset of %d bits", count);
  int* counter = &count;
  CHECK_BLAS(cublasSetFixedPointEmulationMantissaBitCountPointer(handle, nullptr));
  CHECK_BLAS(cublasGetFixedPointEmulationMantissaBitCountPointer(handle, &counter));
  EXPECT(counter == nullptr, "somebody is told of bits");

  // And it computes as before, whatever it is set to.
  const OnDevice<float> x({3.0f, 4.0f});
  float norm = 0;
  CHECK_BLAS(cublasSnrm2(handle, 2, x.get(), 1, &norm));
  ExpectNear(norm, 5, 1e-6, "nrm2", 0);
}

static void TestNames() {
  int major = 0, minor = -1, patch = -1;
  CHECK_BLAS(cublasGetProperty(MAJOR_VERSION, &major));
  CHECK_BLAS(cublasGetProperty(MINOR_VERSION, &minor));
  CHECK_BLAS(cublasGetProperty(PATCH_LEVEL, &patch));
  EXPECT(major == 13 && minor >= 0 && patch >= 0, "version %d.%d.%d", major, minor, patch);
  CHECK_BLAS_STATUS(cublasGetProperty(MAJOR_VERSION, nullptr), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT(cublasGetCudartVersion() / 1000 == 13, "for runtime %zu", cublasGetCudartVersion());
  EXPECT(std::strcmp(cublasGetStatusString(CUBLAS_STATUS_SUCCESS), "success") == 0, "a success is called %s",
         cublasGetStatusString(CUBLAS_STATUS_SUCCESS));
  for (int status = 1; status < 20; ++status) {
    EXPECT(cublasGetStatusString(static_cast<cublasStatus_t>(status)) != nullptr, "status %d has no text", status);
    EXPECT(cublasGetStatusName(static_cast<cublasStatus_t>(status)) != nullptr, "status %d has no name", status);
  }
  cublasXerbla("SGEMM ", 3);  // says so somewhere, and goes on
}

static std::string* g_log;
static void Log(const char* text) { *g_log += text; }

static void TestLog(cublasHandle_t handle) {
  std::string log;
  g_log = &log;
  cublasLogCallback callback = nullptr;
  CHECK_BLAS(cublasSetLoggerCallback(Log));
  CHECK_BLAS(cublasGetLoggerCallback(&callback));
  EXPECT(callback == Log, "another callback");
  CHECK_BLAS(cublasLoggerConfigure(1, 0, 0, nullptr));
  const OnDevice<float> x({3.0f, 4.0f});
  float sum = 0;
  CHECK_BLAS(cublasSasum(handle, 2, x.get(), 1, &sum));
  EXPECT(log.find("cublasSasum") != std::string::npos, "the log has no call of the function: %s", log.c_str());
  CHECK_BLAS(cublasLoggerConfigure(0, 0, 0, nullptr));
  CHECK_BLAS(cublasSetLoggerCallback(nullptr));
  log.clear();
  CHECK_BLAS(cublasSasum(handle, 2, x.get(), 1, &sum));
  EXPECT(log.empty(), "it still logs: %s", log.c_str());
}

// What a copy there and one back have brought: `set` elements of a, `get` elements apart.
static void ExpectCopied(const std::vector<float>& a, const std::vector<float>& back, int rows, int columns, int set,
                         int get, const char* what) {
  for (int j = 0; j < columns; ++j) {
    for (int i = 0; i < get && j * get + i < static_cast<int>(back.size()); ++i) {
      const float wanted = i < rows ? a[j * set + i] : -1.0f;
      EXPECT(back[j * get + i] == wanted, "%s: element %d, %d is %g, not %g", what, i, j, back[j * get + i], wanted);
    }
  }
}

static void TestCopies(Random& random) {
  const int rows = 7, columns = 5, set = 9, on_device = 8, get = 10, n = 20, step = 3;
  const std::vector<float> a = RandomNumbers<float>(random, 90);
  const OnDevice<float> device(std::vector<float>(90, 0.0f));
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreate(&stream));
  const size_t bytes = sizeof(float);
  const auto back = [&] { return std::vector<float>(90, -1.0f); };
  std::vector<float> got = back();
  CHECK_BLAS(cublasSetMatrix_64(rows, columns, bytes, a.data(), set, device.get(), on_device));
  CHECK_BLAS(cublasGetMatrix_64(rows, columns, bytes, device.get(), on_device, got.data(), get));
  ExpectCopied(a, got, rows, columns, set, get, "cublasGetMatrix_64");
  got = back();
  CHECK_BLAS(cublasSetVector_64(n, bytes, a.data(), step, device.get(), 2));
  CHECK_BLAS(cublasGetVector_64(n, bytes, device.get(), 2, got.data(), 4));
  ExpectCopied(a, got, 1, n, step, 4, "cublasGetVector_64");
  got = back();
  CHECK(cudaMemset(device.get(), 0, 90 * bytes));
  CHECK(cudaDeviceSynchronize());
  CHECK_BLAS(cublasSetMatrixAsync(rows, columns, bytes, a.data(), set, device.get(), on_device, stream));
  CHECK_BLAS(cublasGetMatrixAsync(rows, columns, bytes, device.get(), on_device, got.data(), get, stream));
  CHECK(cudaStreamSynchronize(stream));
  ExpectCopied(a, got, rows, columns, set, get, "cublasGetMatrixAsync");
  got = back();
  CHECK_BLAS(cublasSetMatrixAsync_64(rows, columns, bytes, a.data() + 1, set, device.get(), rows, stream));
  CHECK_BLAS(cublasGetMatrixAsync_64(rows, columns, bytes, device.get(), rows, got.data(), get, stream));
  CHECK(cudaStreamSynchronize(stream));
  ExpectCopied({a.begin() + 1, a.end()}, got, rows, columns, set, get, "cublasGetMatrixAsync_64");
  got = back();
  CHECK_BLAS(cublasSetVectorAsync(n, bytes, a.data(), step, device.get(), 1, stream));
  CHECK_BLAS(cublasGetVectorAsync(n, bytes, device.get(), 1, got.data(), 2, stream));
  CHECK(cudaStreamSynchronize(stream));
  ExpectCopied(a, got, 1, n, step, 2, "cublasGetVectorAsync");
  got = back();
  CHECK_BLAS(cublasSetVectorAsync_64(n, bytes, a.data() + 2, step, device.get(), 4, stream));
  CHECK_BLAS(cublasGetVectorAsync_64(n, bytes, device.get(), 4, got.data(), 1, stream));
  CHECK(cudaStreamSynchronize(stream));
  ExpectCopied({a.begin() + 2, a.end()}, got, 1, n, step, 1, "cublasGetVectorAsync_64");
  CHECK_BLAS_STATUS(cublasSetVectorAsync(n, 0, a.data(), 1, device.get(), 1, stream), CUBLAS_STATUS_INVALID_VALUE);
  CHECK(cudaStreamDestroy(stream));
}

int main() {
  cublasHandle_t handle = nullptr;
  CHECK_BLAS(cublasCreate(&handle));
  Random random(17);
  TestHandle(handle);
  TestNames();
  TestLog(handle);
  TestCopies(random);
  CHECK_BLAS(cublasDestroy(handle));
  return Passed();
}
