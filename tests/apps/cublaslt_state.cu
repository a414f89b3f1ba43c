// What cuBLASLt keeps without a device: descriptors by value and by address, attributes, versions, names, the log; and
// an algorithm that is checked before it is used.
#include <cublasLt.h>

#include <cstring>
#include <string>

#include "cublas_check.h"

static void TestText() {
  EXPECT(cublasLtGetVersion() >= 130000, "version %zu", cublasLtGetVersion());
  EXPECT(cublasLtGetCudartVersion() >= 13000, "runtime %zu", cublasLtGetCudartVersion());
  int major = 0;
  CHECK_BLAS(cublasLtGetProperty(MAJOR_VERSION, &major));
  EXPECT(major >= 13, "major version %d", major);
  EXPECT(std::strcmp(cublasLtGetStatusName(CUBLAS_STATUS_INVALID_VALUE), "CUBLAS_STATUS_INVALID_VALUE") == 0, "%s",
         cublasLtGetStatusName(CUBLAS_STATUS_INVALID_VALUE));
  EXPECT(cublasLtGetStatusString(CUBLAS_STATUS_INVALID_VALUE)[0] != '\0', "a status without a text");
}

static void TestDescriptors() {
  cublasLtMatrixLayout_t layout = nullptr;
  CHECK_BLAS(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, 4, 6, 8));
  const cublasLtMatrixLayoutOpaque_t copy = *layout;
  const uint64_t rows = 5;
  CHECK_BLAS(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_ROWS, &rows, sizeof(rows)));
  cublasLtMatrixLayoutOpaque_t other = copy;
  uint64_t got = 0;
  size_t written = 0;
  CHECK_BLAS(cublasLtMatrixLayoutGetAttribute(&other, CUBLASLT_MATRIX_LAYOUT_ROWS, &got, sizeof(got), &written));
  EXPECT(got == 4 && written == sizeof(got), "the copy has %d rows", static_cast<int>(got));
  CHECK_BLAS(cublasLtMatrixLayoutGetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_ROWS, &got, sizeof(got), nullptr));
  EXPECT(got == 5, "the layout has %d rows", static_cast<int>(got));
  CHECK_BLAS(cublasLtMatrixLayoutGetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_ORDER, nullptr, 0, &written));
  EXPECT(written == sizeof(int32_t), "an order of %zu bytes", written);
  CHECK_BLAS_STATUS(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_ROWS, &rows, 4),
                    CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS(cublasLtMatrixLayoutDestroy(layout));

  cublasLtMatmulDesc_t operation = nullptr;
  CHECK_BLAS(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  uint32_t epilogue = 0;
  CHECK_BLAS(
      cublasLtMatmulDescGetAttribute(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue), &written));
  EXPECT(epilogue == CUBLASLT_EPILOGUE_DEFAULT, "epilogue %u", epilogue);
  epilogue = CUBLASLT_EPILOGUE_BIAS;
  CHECK_BLAS(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue)));
  CHECK_BLAS(cublasLtMatmulDescDestroy(operation));

  cublasLtMatrixTransformDesc_t transform = nullptr;
  CHECK_BLAS(cublasLtMatrixTransformDescCreate(&transform, CUDA_R_32F));
  int32_t mode = -1;
  CHECK_BLAS(cublasLtMatrixTransformDescGetAttribute(transform, CUBLASLT_MATRIX_TRANSFORM_DESC_POINTER_MODE, &mode,
                                                     sizeof(mode), nullptr));
  EXPECT(mode == CUBLASLT_POINTER_MODE_HOST, "pointer mode %d", mode);
  mode = CUBLASLT_POINTER_MODE_DEVICE;
  CHECK_BLAS(cublasLtMatrixTransformDescSetAttribute(transform, CUBLASLT_MATRIX_TRANSFORM_DESC_POINTER_MODE, &mode,
                                                     sizeof(mode)));
  CHECK_BLAS(cublasLtMatrixTransformDescDestroy(transform));
  cublasLtMatrixTransformDescOpaque_t transform_bytes;
  CHECK_BLAS(cublasLtMatrixTransformDescInit(&transform_bytes, CUDA_R_32F));

  cublasLtMatmulPreference_t preference = nullptr;
  CHECK_BLAS(cublasLtMatmulPreferenceCreate(&preference));
  uint64_t bytes = 1 << 20;
  CHECK_BLAS(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes,
                                                  sizeof(bytes)));
  bytes = 0;
  CHECK_BLAS(cublasLtMatmulPreferenceGetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes,
                                                  sizeof(bytes), nullptr));
  EXPECT(bytes == 1 << 20, "a workspace of %d bytes", static_cast<int>(bytes));
  CHECK_BLAS(cublasLtMatmulPreferenceDestroy(preference));

  cublasLtEmulationDesc_t emulation = nullptr;
  CHECK_BLAS(cublasLtEmulationDescCreate(&emulation));
  int32_t bits = 40;
  CHECK_BLAS(cublasLtEmulationDescSetAttribute(emulation, CUBLASLT_EMULATION_DESC_FIXEDPOINT_MAX_MANTISSA_BIT_COUNT,
                                               &bits, sizeof(bits)));
  bits = 0;
  CHECK_BLAS(cublasLtEmulationDescGetAttribute(emulation, CUBLASLT_EMULATION_DESC_FIXEDPOINT_MAX_MANTISSA_BIT_COUNT,
                                               &bits, sizeof(bits), nullptr));
  EXPECT(bits == 40, "%d bits", bits);
  CHECK_BLAS(cublasLtEmulationDescDestroy(emulation));
  cublasLtEmulationDescOpaque_t emulation_bytes;
  CHECK_BLAS(cublasLtEmulationDescInit(&emulation_bytes));
}

static void TestAlgorithm(cublasLtHandle_t handle) {
  size_t capacity = 0, other = 0;
  CHECK_BLAS(cublasLtHeuristicsCacheGetCapacity(&capacity));
  CHECK_BLAS(cublasLtHeuristicsCacheSetCapacity(capacity + 1));
  CHECK_BLAS(cublasLtHeuristicsCacheGetCapacity(&other));
  EXPECT(other == capacity + 1, "a capacity of %zu, not %zu", other, capacity + 1);
  cublasLtMatmulDescOpaque_t operation;
  CHECK_BLAS(cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  cublasLtMatrixLayoutOpaque_t layout;
  CHECK_BLAS(cublasLtMatrixLayoutInit(&layout, CUDA_R_32F, 32, 32, 32));
  cublasLtMatmulPreferenceOpaque_t preference;
  CHECK_BLAS(cublasLtMatmulPreferenceInit(&preference));
  cublasLtMatmulHeuristicResult_t found, checked;
  int count = 0;
  const auto find = [&](int wanted) {
    return cublasLtMatmulAlgoGetHeuristic(handle, &operation, &layout, &layout, &layout, &layout, &preference, wanted,
                                          &found, &count);
  };
  CHECK_BLAS_STATUS(find(0), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS(find(1));
  EXPECT(count == 1, "%d algorithms", count);
  const cublasLtMatmulAlgo_t first = found.algo;
  CHECK_BLAS(find(1));
  EXPECT(std::memcmp(&first, &found.algo, sizeof(first)) == 0, "another algorithm for the same problem");
  CHECK_BLAS(cublasLtMatmulAlgoCheck(handle, &operation, &layout, &layout, &layout, &layout, &found.algo, &checked));
  EXPECT(checked.workspaceSize == found.workspaceSize, "%zu bytes of workspace, and %zu", checked.workspaceSize,
         found.workspaceSize);
  CHECK_BLAS_STATUS(cublasLtMatmulAlgoCheck(handle, &operation, &layout, &layout, &layout, &layout, nullptr, &checked),
                    CUBLAS_STATUS_INVALID_VALUE);
}

static std::string logged;
static void Log(int /*level*/, const char* function, const char* /*message*/) {
  logged += std::string(function) + "\n";
}

static void TestLog(cublasLtHandle_t handle) {
  CHECK_BLAS(cublasLtLoggerSetCallback(&Log));
  std::FILE* const file = std::tmpfile();
  CHECK_BLAS(cublasLtLoggerSetFile(file));
  CHECK_BLAS(cublasLtLoggerSetLevel(5));
  int count = 0;
  int ids[1];
  CHECK_BLAS(cublasLtMatmulAlgoGetIds(handle, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F,
                                      CUDA_R_32F, 1, ids, &count));
  CHECK_BLAS(cublasLtLoggerSetMask(0));
  EXPECT(logged.find("cublasLtMatmulAlgoGetIds") != std::string::npos, "the log has: %s", logged.c_str());
  EXPECT(std::ftell(file) > 0, "nothing is in the file");
  CHECK_BLAS_STATUS(cublasLtLoggerSetLevel(-1), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS(cublasLtLoggerOpenFile("/dev/null"));
  CHECK_BLAS(cublasLtLoggerForceDisable());
  logged.clear();
  CHECK_BLAS(cublasLtLoggerSetLevel(5));
  CHECK_BLAS(cublasLtMatmulAlgoGetIds(handle, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F,
                                      CUDA_R_32F, 1, ids, &count));
  EXPECT(logged.empty(), "a disabled log has: %s", logged.c_str());
  std::fclose(file);
}

int main() {
  TestText();
  TestDescriptors();
  cublasLtHandle_t handle = nullptr;
  CHECK_BLAS_STATUS(cublasLtCreate(nullptr), CUBLAS_STATUS_INVALID_VALUE);
  CHECK_BLAS(cublasLtCreate(&handle));
  TestAlgorithm(handle);
  TestLog(handle);
  CHECK_BLAS(cublasLtDestroy(handle));
  return Passed();
}
