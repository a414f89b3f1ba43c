// What cuBLAS says of wrong arguments: makes one wrong call after the other and prints each one's status, as JSON. Not
// a test by itself: scripts/gpu-check --record has NVIDIA's library answer on a GPU, tests/gpu compares ours with that.
//
// Pointers are memory, null, or never looked at. Without a device it prints what needs none; should a library crash on
// a row, those before it have been printed.
#include <cublasLt.h>
#include <cublas_v2.h>

#include <cstdio>

#include "check.h"

static bool first_row = true;
static void Say(const char* row, cublasStatus_t status) {
  std::printf("%s\n  \"%s\": \"%s\"", first_row ? "" : ",", row, cublasGetStatusName(status));
  first_row = false;
  std::fflush(stdout);
}

// What needs no device: handles that are none.
static void SayHandles() {
  cublasMath_t math;
  cublasAtomicsMode_t atomics;
  cublasPointerMode_t mode;
  cudaStream_t stream;
  int number = 0;
  float one = 1;
  Say("Create(null)", cublasCreate(nullptr));
  Say("Destroy(null)", cublasDestroy(nullptr));
  Say("GetVersion(null handle)", cublasGetVersion(nullptr, &number));
  Say("GetProperty(unknown)", cublasGetProperty(static_cast<libraryPropertyType>(9), &number));
  Say("GetProperty(null)", cublasGetProperty(MAJOR_VERSION, nullptr));
  Say("SetStream(null handle)", cublasSetStream(nullptr, nullptr));
  Say("GetStream(null handle)", cublasGetStream(nullptr, &stream));
  Say("SetPointerMode(null handle)", cublasSetPointerMode(nullptr, CUBLAS_POINTER_MODE_HOST));
  Say("GetPointerMode(null handle)", cublasGetPointerMode(nullptr, &mode));
  Say("GetAtomicsMode(null handle)", cublasGetAtomicsMode(nullptr, &atomics));
  Say("SetMathMode(null handle)", cublasSetMathMode(nullptr, CUBLAS_DEFAULT_MATH));
  Say("GetMathMode(null handle)", cublasGetMathMode(nullptr, &math));
  Say("SetWorkspace(null handle)", cublasSetWorkspace(nullptr, nullptr, 0));
  Say("Sdot(null handle)", cublasSdot(nullptr, 1, &one, 1, &one, 1, &one));
  Say("Sgemm(null handle)",
      cublasSgemm(nullptr, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, &one, 1, &one, 1, &one, &one, 1));
  Say("LtCreate(null)", cublasLtCreate(nullptr));
  Say("LtDestroy(null)", cublasLtDestroy(nullptr));
  Say("LtGetProperty(unknown)", cublasLtGetProperty(static_cast<libraryPropertyType>(9), &number));
  Say("LtGetProperty(null)", cublasLtGetProperty(MAJOR_VERSION, nullptr));
  Say("LtHeuristicsCacheGetCapacity(null)", cublasLtHeuristicsCacheGetCapacity(nullptr));
}

// Products and algorithms of no handle.
static void SayAlgorithms() {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t layout;
  cublasLtMatmulPreferenceOpaque_t preference;
  cublasLtMatmulHeuristicResult_t result;
  cublasLtMatmulAlgo_t algorithm{};
  const float one = 1;
  int number = 0;
  size_t written = 0;
  cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
  cublasLtMatrixLayoutInit(&layout, CUDA_R_32F, 4, 4, 4);
  cublasLtMatmulPreferenceInit(&preference);
  const auto float_type = CUDA_R_32F;
  Say("LtMatmul(null handle)", cublasLtMatmul(nullptr, &operation, &one, &one, &layout, &one, &layout, &one, &one,
                                              &layout, nullptr, &layout, nullptr, nullptr, 0, nullptr));
  Say("LtMatmulAlgoGetHeuristic(null handle)",
      cublasLtMatmulAlgoGetHeuristic(nullptr, &operation, &layout, &layout, &layout, &layout, &preference, 1, &result,
                                     &number));
  Say("LtMatmulAlgoGetIds(null handle)",
      cublasLtMatmulAlgoGetIds(nullptr, CUBLAS_COMPUTE_32F, float_type, float_type, float_type, float_type, float_type,
                               1, &number, &number));
  Say("LtMatmulAlgoInit(null handle)", cublasLtMatmulAlgoInit(nullptr, CUBLAS_COMPUTE_32F, float_type, float_type,
                                                              float_type, float_type, float_type, 0, &algorithm));
  Say("LtMatmulAlgoCheck(null handle)",
      cublasLtMatmulAlgoCheck(nullptr, &operation, &layout, &layout, &layout, &layout, &algorithm, &result));
  Say("LtMatmulAlgoConfigSet(null algorithm)",
      cublasLtMatmulAlgoConfigSetAttribute(nullptr, CUBLASLT_ALGO_CONFIG_ID, &number, sizeof(number)));
  Say("LtMatmulAlgoConfigGet(null algorithm)",
      cublasLtMatmulAlgoConfigGetAttribute(nullptr, CUBLASLT_ALGO_CONFIG_ID, &number, sizeof(number), &written));
  Say("LtMatmulAlgoConfigSet(null buffer)",
      cublasLtMatmulAlgoConfigSetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID, nullptr, sizeof(number)));
  Say("LtMatmulAlgoConfigSet(size 2)",
      cublasLtMatmulAlgoConfigSetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID, &number, 2));
  Say("LtMatmulAlgoConfigGet(size 2)",
      cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID, &number, 2, &written));
  Say("LtMatmulAlgoCapGet(null algorithm)",
      cublasLtMatmulAlgoCapGetAttribute(nullptr, CUBLASLT_ALGO_CAP_SPLITK_SUPPORT, &number, sizeof(number), &written));
  Say("LtMatmulAlgoCapGet(null buffer)", cublasLtMatmulAlgoCapGetAttribute(&algorithm, CUBLASLT_ALGO_CAP_SPLITK_SUPPORT,
                                                                           nullptr, sizeof(number), &written));
  Say("LtMatmulAlgoCapGet(size 2)",
      cublasLtMatmulAlgoCapGetAttribute(&algorithm, CUBLASLT_ALGO_CAP_SPLITK_SUPPORT, &number, 2, &written));
}

// Sets an attribute to a value of its own type.
template <typename T>
static void SaySet(const char* row, cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, T value) {
  Say(row, cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof(value)));
}
template <typename T>
static void SaySet(const char* row, cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, T value) {
  Say(row, cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof(value)));
}
template <typename T>
static void SaySet(const char* row, cublasLtMatmulPreference_t preference,
                   cublasLtMatmulPreferenceAttributes_t attribute, T value) {
  Say(row, cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)));
}

static void SayLayouts() {
  cublasLtMatrixLayoutOpaque_t opaque;
  cublasLtMatrixLayout_t layout = &opaque;
  const auto type = static_cast<cudaDataType>(99);
  size_t written = 0;
  int64_t wide = 0;
  int number = 0;
  Say("LtLayoutInit(null)", cublasLtMatrixLayoutInit_internal(nullptr, sizeof(opaque), CUDA_R_32F, 4, 4, 4));
  Say("LtLayoutInit(size 8)", cublasLtMatrixLayoutInit_internal(layout, 8, CUDA_R_32F, 4, 4, 4));
  Say("LtLayoutInit(type 99)", cublasLtMatrixLayoutInit(layout, type, 4, 4, 4));
  Say("LtLayoutInit(ld < rows)", cublasLtMatrixLayoutInit(layout, CUDA_R_32F, 4, 4, 1));
  Say("LtLayoutInit(ld -1)", cublasLtMatrixLayoutInit(layout, CUDA_R_32F, 4, 4, -1));
  Say("LtLayoutInit(rows 0)", cublasLtMatrixLayoutInit(layout, CUDA_R_32F, 0, 0, 0));
  Say("LtLayoutCreate(null)", cublasLtMatrixLayoutCreate(nullptr, CUDA_R_32F, 4, 4, 4));
  Say("LtLayoutDestroy(null)", cublasLtMatrixLayoutDestroy(nullptr));
  cublasLtMatrixLayoutInit(layout, CUDA_R_32F, 4, 4, 4);
  Say("LtLayoutSet(null layout)", cublasLtMatrixLayoutSetAttribute(nullptr, CUBLASLT_MATRIX_LAYOUT_ORDER, &number, 4));
  Say("LtLayoutSet(null buffer)", cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_ORDER, nullptr, 4));
  Say("LtLayoutSet(size 2)", cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_ORDER, &number, 2));
  Say("LtLayoutSet(size 8 of 4)", cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_ORDER, &wide, 8));
  Say("LtLayoutSet(size 4 of 8)", cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_LD, &number, 4));
  SaySet("LtLayoutSet(attribute 99)", layout, static_cast<cublasLtMatrixLayoutAttribute_t>(99), int32_t{0});
  SaySet("LtLayoutSet(type 99)", layout, CUBLASLT_MATRIX_LAYOUT_TYPE, uint32_t{99});
  SaySet("LtLayoutSet(order 99)", layout, CUBLASLT_MATRIX_LAYOUT_ORDER, int32_t{99});
  SaySet("LtLayoutSet(order -1)", layout, CUBLASLT_MATRIX_LAYOUT_ORDER, int32_t{-1});
  SaySet("LtLayoutSet(ld 0)", layout, CUBLASLT_MATRIX_LAYOUT_LD, int64_t{0});
  SaySet("LtLayoutSet(batch 0)", layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, int32_t{0});
  SaySet("LtLayoutSet(batch -1)", layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, int32_t{-1});
  SaySet("LtLayoutSet(batch mode 9)", layout, CUBLASLT_MATRIX_LAYOUT_BATCH_MODE, uint32_t{9});
  const auto order = CUBLASLT_MATRIX_LAYOUT_ORDER;
  Say("LtLayoutGet(null layout)", cublasLtMatrixLayoutGetAttribute(nullptr, order, &number, 4, &written));
  Say("LtLayoutGet(null buffer)", cublasLtMatrixLayoutGetAttribute(layout, order, nullptr, 4, &written));
  Say("LtLayoutGet(size 0)", cublasLtMatrixLayoutGetAttribute(layout, order, nullptr, 0, &written));
  Say("LtLayoutGet(size 0, null written)", cublasLtMatrixLayoutGetAttribute(layout, order, nullptr, 0, nullptr));
  Say("LtLayoutGet(null written)", cublasLtMatrixLayoutGetAttribute(layout, order, &number, 4, nullptr));
  Say("LtLayoutGet(size 2)", cublasLtMatrixLayoutGetAttribute(layout, order, &number, 2, &written));
  Say("LtLayoutGet(size 8 of 4)", cublasLtMatrixLayoutGetAttribute(layout, order, &wide, 8, &written));
}

static void SayOperations() {
  cublasLtMatmulDescOpaque_t opaque;
  cublasLtMatmulDesc_t operation = &opaque;
  const auto compute = static_cast<cublasComputeType_t>(99);
  const auto type = static_cast<cudaDataType_t>(99);
  Say("LtOperationInit(size 8)", cublasLtMatmulDescInit_internal(operation, 8, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  Say("LtOperationInit(compute 99)", cublasLtMatmulDescInit(operation, compute, CUDA_R_32F));
  Say("LtOperationInit(scale 99)", cublasLtMatmulDescInit(operation, CUBLAS_COMPUTE_32F, type));
  Say("LtOperationInit(double of float)", cublasLtMatmulDescInit(operation, CUBLAS_COMPUTE_32F, CUDA_R_64F));
  Say("LtOperationCreate(null)", cublasLtMatmulDescCreate(nullptr, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  Say("LtOperationDestroy(null)", cublasLtMatmulDescDestroy(nullptr));
  cublasLtMatmulDescInit(operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
  SaySet("LtOperationSet(attribute 9)", operation, static_cast<cublasLtMatmulDescAttributes_t>(9), int32_t{0});
  SaySet("LtOperationSet(attribute 99)", operation, static_cast<cublasLtMatmulDescAttributes_t>(99), int32_t{0});
  SaySet("LtOperationSet(compute 99)", operation, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, int32_t{99});
  SaySet("LtOperationSet(scale 99)", operation, CUBLASLT_MATMUL_DESC_SCALE_TYPE, int32_t{99});
  SaySet("LtOperationSet(pointer mode 9)", operation, CUBLASLT_MATMUL_DESC_POINTER_MODE, int32_t{9});
  SaySet("LtOperationSet(transa 9)", operation, CUBLASLT_MATMUL_DESC_TRANSA, int32_t{9});
  SaySet("LtOperationSet(transc T)", operation, CUBLASLT_MATMUL_DESC_TRANSC, int32_t{CUBLAS_OP_T});
  SaySet("LtOperationSet(fill 9)", operation, CUBLASLT_MATMUL_DESC_FILL_MODE, int32_t{9});
  SaySet("LtOperationSet(fill lower)", operation, CUBLASLT_MATMUL_DESC_FILL_MODE, int32_t{CUBLAS_FILL_MODE_LOWER});
  SaySet("LtOperationSet(epilogue 3)", operation, CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{3});
  SaySet("LtOperationSet(epilogue 0)", operation, CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{0});
  SaySet("LtOperationSet(aux ld 3)", operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, int64_t{3});
  SaySet("LtOperationSet(processors -1)", operation, CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, int32_t{-1});
  SaySet("LtOperationSet(bias type 99)", operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32_t{99});
  SaySet("LtOperationSet(scale mode 99)", operation, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, int32_t{99});
  SaySet("LtOperationSet(fast 2)", operation, CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{2});
  SaySet("LtOperationSet(fast of 4 bytes)", operation, CUBLASLT_MATMUL_DESC_FAST_ACCUM, int32_t{1});
}

static void SayPreferences() {
  cublasLtMatmulPreferenceOpaque_t opaque;
  cublasLtMatmulPreference_t preference = &opaque;
  Say("LtPreferenceInit(size 8)", cublasLtMatmulPreferenceInit_internal(preference, 8));
  Say("LtPreferenceCreate(null)", cublasLtMatmulPreferenceCreate(nullptr));
  Say("LtPreferenceDestroy(null)", cublasLtMatmulPreferenceDestroy(nullptr));
  cublasLtMatmulPreferenceInit(preference);
  SaySet("LtPreferenceSet(attribute 99)", preference, static_cast<cublasLtMatmulPreferenceAttributes_t>(99), 0);
  SaySet("LtPreferenceSet(search 99)", preference, CUBLASLT_MATMUL_PREF_SEARCH_MODE, uint32_t{99});
  SaySet("LtPreferenceSet(alignment 0)", preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, uint32_t{0});
  SaySet("LtPreferenceSet(alignment 3)", preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, uint32_t{3});
  SaySet("LtPreferenceSet(waves -1)", preference, CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT, -1.0f);
  SaySet("LtPreferenceSet(reduction ~0)", preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, ~uint32_t{0});
  cublasLtMatrixTransformDescOpaque_t transform;
  const int32_t nine = 9;
  Say("LtTransformInit(size 8)", cublasLtMatrixTransformDescInit_internal(&transform, 8, CUDA_R_32F));
  Say("LtTransformInit(scale 99)", cublasLtMatrixTransformDescInit(&transform, static_cast<cudaDataType>(99)));
  cublasLtMatrixTransformDescInit(&transform, CUDA_R_32F);
  Say("LtTransformSet(transa 9)",
      cublasLtMatrixTransformDescSetAttribute(&transform, CUBLASLT_MATRIX_TRANSFORM_DESC_TRANSA, &nine, sizeof(nine)));
  Say("LtTransformSet(pointer mode 9)",
      cublasLtMatrixTransformDescSetAttribute(&transform, CUBLASLT_MATRIX_TRANSFORM_DESC_POINTER_MODE, &nine,
                                              sizeof(nine)));
}

static void SayState(cublasHandle_t h, float* device) {
  Say("GetVersion(null)", cublasGetVersion(h, nullptr));
  Say("GetStream(null)", cublasGetStream(h, nullptr));
  Say("SetPointerMode(2)", cublasSetPointerMode(h, static_cast<cublasPointerMode_t>(2)));
  Say("GetPointerMode(null)", cublasGetPointerMode(h, nullptr));
  Say("SetAtomicsMode(2)", cublasSetAtomicsMode(h, static_cast<cublasAtomicsMode_t>(2)));
  Say("GetAtomicsMode(null)", cublasGetAtomicsMode(h, nullptr));
  Say("SetMathMode(99)", cublasSetMathMode(h, static_cast<cublasMath_t>(99)));
  Say("GetMathMode(null)", cublasGetMathMode(h, nullptr));
  Say("SetSmCountTarget(-1)", cublasSetSmCountTarget(h, -1));
  Say("SetSmCountTarget(1000000)", cublasSetSmCountTarget(h, 1000000));
  Say("GetSmCountTarget(null)", cublasGetSmCountTarget(h, nullptr));
  Say("SetWorkspace(unaligned)", cublasSetWorkspace(h, reinterpret_cast<char*>(device) + 4, 256));
  Say("SetWorkspace(null, 256)", cublasSetWorkspace(h, nullptr, 256));
}

// What is wrong with them is found before they are made, so any memory is a device's.
static void SayCopies() {
  float host[8] = {};
  float device[8] = {};
  Say("SetVector(n -1)", cublasSetVector(-1, 4, host, 1, device, 1));
  Say("SetVector(n 0, null)", cublasSetVector(0, 4, nullptr, 1, nullptr, 1));
  Say("SetVector(elemSize 0)", cublasSetVector(1, 0, host, 1, device, 1));
  Say("SetVector(incx 0)", cublasSetVector(1, 4, host, 0, device, 1));
  Say("SetVector(incy -1)", cublasSetVector(1, 4, host, 1, device, -1));
  Say("GetVector(incx 0)", cublasGetVector(1, 4, device, 0, host, 1));
  Say("SetMatrix(rows -1)", cublasSetMatrix(-1, 2, 4, host, 2, device, 2));
  Say("SetMatrix(lda < rows)", cublasSetMatrix(4, 2, 4, host, 2, device, 4));
  Say("SetMatrix(ldb < rows)", cublasSetMatrix(4, 2, 4, host, 4, device, 2));
  Say("SetMatrix(elemSize 0)", cublasSetMatrix(2, 2, 0, host, 2, device, 2));
  Say("GetMatrix(lda < rows)", cublasGetMatrix(4, 2, 4, device, 2, host, 4));
}

static void SayVectors(cublasHandle_t h, float* x) {
  const float one = 1;
  float result = 0;
  int place = 0;
  Say("Sdot(null result)", cublasSdot(h, 1, x, 1, x, 1, nullptr));
  Say("Sdot(n -1)", cublasSdot(h, -1, x, 1, x, 1, &result));
  Say("Sdot(n 0, null)", cublasSdot(h, 0, nullptr, 1, nullptr, 1, &result));
  Say("Snrm2(incx 0)", cublasSnrm2(h, 2, x, 0, &result));
  Say("Snrm2(null result)", cublasSnrm2(h, 2, x, 1, nullptr));
  Say("Sasum(n -1)", cublasSasum(h, -1, x, 1, &result));
  Say("Isamax(null result)", cublasIsamax(h, 2, x, 1, nullptr));
  Say("Isamax(n -1)", cublasIsamax(h, -1, x, 1, &place));
  Say("Isamax(incx 0)", cublasIsamax(h, 2, x, 0, &place));
  Say("Saxpy(null alpha)", cublasSaxpy(h, 1, nullptr, x, 1, x, 1));
  Say("Saxpy(n -1)", cublasSaxpy(h, -1, &one, x, 1, x, 1));
  Say("Sscal(null alpha)", cublasSscal(h, 1, nullptr, x, 1));
  Say("Sscal(n -1)", cublasSscal(h, -1, &one, x, 1));
  Say("Sscal(incx -1)", cublasSscal(h, 2, &one, x, -1));
  Say("Srotg(null a)", cublasSrotg(h, nullptr, &result, &result, &result));
  Say("Srot(null c)", cublasSrot(h, 1, x, 1, x, 1, nullptr, &one));
  Say("Srotm(null param)", cublasSrotm(h, 1, x, 1, x, 1, nullptr));
  Say("Nrm2Ex(half into int)", cublasNrm2Ex(h, 1, x, CUDA_R_16F, 1, &result, CUDA_R_32I, CUDA_R_32F));
  Say("DotEx(float and double)",
      cublasDotEx(h, 1, x, CUDA_R_32F, 1, x, CUDA_R_64F, 1, &result, CUDA_R_32F, CUDA_R_32F));
  Say("ScalEx(int8)", cublasScalEx(h, 1, &one, CUDA_R_32F, x, CUDA_R_8I, 1, CUDA_R_32F));
  Say("AxpyEx(null alpha)", cublasAxpyEx(h, 1, nullptr, CUDA_R_32F, x, CUDA_R_32F, 1, x, CUDA_R_32F, 1, CUDA_R_32F));
}

static void SayLevel2(cublasHandle_t h, float* a) {
  const float one = 1;
  const auto op = static_cast<cublasOperation_t>(9);
  const auto fill = static_cast<cublasFillMode_t>(9);
  const auto diag = static_cast<cublasDiagType_t>(9);
  const cublasOperation_t n = CUBLAS_OP_N;
  const cublasFillMode_t lower = CUBLAS_FILL_MODE_LOWER;
  Say("Sgemv(trans 9)", cublasSgemv(h, op, 2, 2, &one, a, 2, a, 1, &one, a, 1));
  Say("Sgemv(m -1)", cublasSgemv(h, n, -1, 2, &one, a, 2, a, 1, &one, a, 1));
  Say("Sgemv(lda < m)", cublasSgemv(h, n, 2, 2, &one, a, 1, a, 1, &one, a, 1));
  Say("Sgemv(lda 0, m 0)", cublasSgemv(h, n, 0, 2, &one, a, 0, a, 1, &one, a, 1));
  Say("Sgemv(incx 0)", cublasSgemv(h, n, 2, 2, &one, a, 2, a, 0, &one, a, 1));
  Say("Sgemv(incy 0)", cublasSgemv(h, n, 2, 2, &one, a, 2, a, 1, &one, a, 0));
  Say("Sgemv(null alpha)", cublasSgemv(h, n, 2, 2, nullptr, a, 2, a, 1, &one, a, 1));
  Say("Sgemv(m 0, null)", cublasSgemv(h, n, 0, 2, &one, nullptr, 1, nullptr, 1, &one, nullptr, 1));
  Say("Sgbmv(kl -1)", cublasSgbmv(h, n, 2, 2, -1, 0, &one, a, 2, a, 1, &one, a, 1));
  Say("Sgbmv(lda < kl + ku + 1)", cublasSgbmv(h, n, 2, 2, 1, 1, &one, a, 2, a, 1, &one, a, 1));
  Say("Ssymv(uplo 9)", cublasSsymv(h, fill, 2, &one, a, 2, a, 1, &one, a, 1));
  Say("Ssymv(uplo full)", cublasSsymv(h, CUBLAS_FILL_MODE_FULL, 2, &one, a, 2, a, 1, &one, a, 1));
  Say("Ssbmv(lda < k + 1)", cublasSsbmv(h, lower, 2, 1, &one, a, 1, a, 1, &one, a, 1));
  Say("Strsv(diag 9)", cublasStrsv(h, lower, n, diag, 2, a, 2, a, 1));
  Say("Strmv(incx 0)", cublasStrmv(h, lower, n, CUBLAS_DIAG_UNIT, 2, a, 2, a, 0));
  Say("Stbsv(k -1)", cublasStbsv(h, lower, n, CUBLAS_DIAG_UNIT, 2, -1, a, 2, a, 1));
  Say("Sger(lda < m)", cublasSger(h, 2, 2, &one, a, 1, a, 1, a, 1));
  Say("Ssyr(n -1)", cublasSsyr(h, lower, -1, &one, a, 1, a, 1));
  Say("Sspr2(incy 0)", cublasSspr2(h, lower, 2, &one, a, 1, a, 0, a));
}

static void SayLevel3(cublasHandle_t h, float* a) {
  const float one = 1;
  const cuComplex unit = {1, 0};
  auto* const z = reinterpret_cast<cuComplex*>(a);
  const auto op = static_cast<cublasOperation_t>(9);
  const cublasOperation_t n = CUBLAS_OP_N;
  const cublasFillMode_t lower = CUBLAS_FILL_MODE_LOWER;
  const auto gemm = [&](int rows, int columns, int inner, int lda, int ldb, int ldc) {
    return cublasSgemm(h, n, n, rows, columns, inner, &one, a, lda, a, ldb, &one, a, ldc);
  };
  Say("Sgemm(transa 9)", cublasSgemm(h, op, n, 2, 2, 2, &one, a, 2, a, 2, &one, a, 2));
  Say("Sgemm(transb 9)", cublasSgemm(h, n, op, 2, 2, 2, &one, a, 2, a, 2, &one, a, 2));
  Say("Sgemm(m -1)", gemm(-1, 2, 2, 2, 2, 2));
  Say("Sgemm(n -1)", gemm(2, -1, 2, 2, 2, 2));
  Say("Sgemm(k -1)", gemm(2, 2, -1, 2, 2, 2));
  Say("Sgemm(lda < m)", gemm(2, 2, 2, 1, 2, 2));
  Say("Sgemm(ldb < k)", gemm(2, 2, 2, 2, 1, 2));
  Say("Sgemm(ldc < m)", gemm(2, 2, 2, 2, 2, 1));
  Say("Sgemm(m 0, lda 0)", gemm(0, 2, 2, 0, 2, 1));
  Say("Sgemm(m 0, lda 1)", gemm(0, 2, 2, 1, 2, 1));
  Say("Sgemm(null alpha)", cublasSgemm(h, n, n, 2, 2, 2, nullptr, a, 2, a, 2, &one, a, 2));
  Say("Sgemm(null beta)", cublasSgemm(h, n, n, 2, 2, 2, &one, a, 2, a, 2, nullptr, a, 2));
  Say("Sgemm(m 0, null)", cublasSgemm(h, n, n, 0, 2, 2, &one, nullptr, 1, nullptr, 2, &one, nullptr, 1));
  Say("Sgemm(m 0, null alpha)", cublasSgemm(h, n, n, 0, 2, 2, nullptr, a, 1, a, 2, &one, a, 1));
  Say("SgemmStridedBatched(batch -1)",
      cublasSgemmStridedBatched(h, n, n, 2, 2, 2, &one, a, 2, 4, a, 2, 4, &one, a, 2, 4, -1));
  Say("SgemmStridedBatched(batch 0)",
      cublasSgemmStridedBatched(h, n, n, 2, 2, 2, &one, a, 2, 4, a, 2, 4, &one, a, 2, 4, 0));
  Say("SgemmBatched(batch -1)",
      cublasSgemmBatched(h, n, n, 2, 2, 2, &one, nullptr, 2, nullptr, 2, &one, nullptr, 2, -1));
  Say("GemmEx(float and double)", cublasGemmEx(h, n, n, 2, 2, 2, &one, a, CUDA_R_32F, 2, a, CUDA_R_64F, 2, &one, a,
                                               CUDA_R_32F, 2, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  Say("GemmEx(int8 into half)", cublasGemmEx(h, n, n, 4, 4, 4, &one, a, CUDA_R_8I, 4, a, CUDA_R_8I, 4, &one, a,
                                             CUDA_R_16F, 4, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  Say("GemmEx(double of compute float)", cublasGemmEx(h, n, n, 2, 2, 2, &one, a, CUDA_R_64F, 2, a, CUDA_R_64F, 2, &one,
                                                      a, CUDA_R_64F, 2, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  Say("GemmEx(compute 0)", cublasGemmEx(h, n, n, 2, 2, 2, &one, a, CUDA_R_32F, 2, a, CUDA_R_32F, 2, &one, a, CUDA_R_32F,
                                        2, static_cast<cublasComputeType_t>(0), CUBLAS_GEMM_DEFAULT));
  Say("GemmEx(type 99)",
      cublasGemmEx(h, n, n, 2, 2, 2, &one, a, static_cast<cudaDataType>(99), 2, a, static_cast<cudaDataType>(99), 2,
                   &one, a, static_cast<cudaDataType>(99), 2, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  Say("Ssyrk(trans 9)", cublasSsyrk(h, lower, op, 2, 2, &one, a, 2, &one, a, 2));
  Say("Ssyrk(lda < n)", cublasSsyrk(h, lower, n, 2, 2, &one, a, 1, &one, a, 2));
  Say("Csyrk(trans C)", cublasCsyrk(h, lower, CUBLAS_OP_C, 2, 2, &unit, z, 2, &unit, z, 2));
  Say("Cherk(trans T)", cublasCherk(h, lower, CUBLAS_OP_T, 2, 2, &one, z, 2, &one, z, 2));
  Say("Ssymm(side 9)", cublasSsymm(h, static_cast<cublasSideMode_t>(9), lower, 2, 2, &one, a, 2, a, 2, &one, a, 2));
  Say("Ssymm(ldb < m)", cublasSsymm(h, CUBLAS_SIDE_LEFT, lower, 2, 2, &one, a, 2, a, 1, &one, a, 2));
  Say("Strsm(lda < m)", cublasStrsm(h, CUBLAS_SIDE_LEFT, lower, n, CUBLAS_DIAG_UNIT, 2, 2, &one, a, 1, a, 2));
  Say("Strmm(n -1)", cublasStrmm(h, CUBLAS_SIDE_LEFT, lower, n, CUBLAS_DIAG_UNIT, 2, -1, &one, a, 2, a, 2, a, 2));
  Say("Sgeam(ldc < m)", cublasSgeam(h, n, n, 2, 2, &one, a, 2, &one, a, 2, a, 1));
  Say("Sdgmm(lda < m)", cublasSdgmm(h, CUBLAS_SIDE_LEFT, 2, 2, a, 1, a, 1, a, 2));
  Say("Sdgmm(incx 0)", cublasSdgmm(h, CUBLAS_SIDE_LEFT, 2, 2, a, 2, a, 0, a, 2));
}

static void SayBatches(cublasHandle_t h) {
  int info = 0;
  const cublasOperation_t n = CUBLAS_OP_N;
  Say("SgetrfBatched(n -1)", cublasSgetrfBatched(h, -1, nullptr, 1, nullptr, nullptr, 1));
  Say("SgetrfBatched(batch -1)", cublasSgetrfBatched(h, 1, nullptr, 1, nullptr, nullptr, -1));
  Say("SgetrsBatched(null info)", cublasSgetrsBatched(h, n, 1, 1, nullptr, 1, nullptr, nullptr, 1, nullptr, 0));
  Say("SgetrsBatched(lda < n)", cublasSgetrsBatched(h, n, 2, 1, nullptr, 1, nullptr, nullptr, 2, &info, 1));
  Say("SgetriBatched(n -1)", cublasSgetriBatched(h, -1, nullptr, 1, nullptr, nullptr, 1, nullptr, 1));
  Say("SmatinvBatched(n 33)", cublasSmatinvBatched(h, 33, nullptr, 33, nullptr, 33, nullptr, 1));
  Say("SgeqrfBatched(null info)", cublasSgeqrfBatched(h, 1, 1, nullptr, 1, nullptr, nullptr, 0));
  Say("SgeqrfBatched(m -1)", cublasSgeqrfBatched(h, -1, 1, nullptr, 1, nullptr, &info, 1));
  Say("SgelsBatched(trans T)", cublasSgelsBatched(h, CUBLAS_OP_T, 2, 1, 1, nullptr, 2, nullptr, 2, &info, nullptr, 0));
  Say("StrsmBatched(batch -1)", cublasStrsmBatched(h, CUBLAS_SIDE_LEFT, CUBLAS_FILL_MODE_LOWER, n, CUBLAS_DIAG_UNIT, 1,
                                                   1, nullptr, nullptr, 1, nullptr, 1, -1));
}

// Products of cuBLASLt: one that would run, but for what the row names.
struct Product {
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t a, b, c, d;
  const void* alpha = nullptr;
  const void* beta = nullptr;
  float *pa, *pb, *pc, *pd;
  void* workspace = nullptr;
  size_t workspace_bytes = 0;
  explicit Product(float* memory, const float* one)
      : alpha(one), beta(one), pa(memory), pb(memory), pc(memory), pd(memory + 64) {
    cublasLtMatmulDescInit(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    for (auto* layout : {&a, &b, &c, &d}) cublasLtMatrixLayoutInit(layout, CUDA_R_32F, 4, 4, 4);
  }
  template <typename T>
  void Set(cublasLtMatmulDescAttributes_t attribute, T value) {
    cublasLtMatmulDescSetAttribute(&operation, attribute, &value, sizeof(value));
  }
  template <typename T>
  static void Set(cublasLtMatrixLayoutOpaque_t* layout, cublasLtMatrixLayoutAttribute_t attribute, T value) {
    cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof(value));
  }
};
template <typename Change>
static void SayProduct(const char* row, cublasLtHandle_t handle, float* memory, Change change) {
  const float one = 1;
  Product p(memory, &one);
  change(p);
  Say(row, cublasLtMatmul(handle, &p.operation, p.alpha, p.pa, &p.a, p.pb, &p.b, p.beta, p.pc, &p.c, p.pd, &p.d,
                          nullptr, p.workspace, p.workspace_bytes, nullptr));
}
template <typename Change>
static void SayHeuristic(const char* row, cublasLtHandle_t handle, float* memory, int count, Change change) {
  Product p(memory, nullptr);
  cublasLtMatmulPreferenceOpaque_t preference;
  cublasLtMatmulPreferenceInit(&preference);
  change(p);
  cublasLtMatmulHeuristicResult_t results[2];
  int found = 0;
  Say(row, cublasLtMatmulAlgoGetHeuristic(handle, &p.operation, &p.a, &p.b, &p.c, &p.d, &preference, count, results,
                                          &found));
}

static void SayProducts(float* memory) {
  cublasLtHandle_t handle = nullptr;
  if (cublasLtCreate(&handle) != CUBLAS_STATUS_SUCCESS) return;
  const auto rows = CUBLASLT_MATRIX_LAYOUT_ROWS;
  const auto columns = CUBLASLT_MATRIX_LAYOUT_COLS;
  const auto batch = CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT;
  const auto order = CUBLASLT_MATRIX_LAYOUT_ORDER;
  const auto say = [=](const char* row, auto change) { SayProduct(row, handle, memory, change); };
  say("LtMatmul(null alpha)", [](Product& p) { p.alpha = nullptr; });
  say("LtMatmul(null beta)", [](Product& p) { p.beta = nullptr; });
  say("LtMatmul(B of other rows)", [=](Product& p) { Product::Set(&p.b, rows, uint64_t{3}); });
  say("LtMatmul(D of other columns)", [=](Product& p) { Product::Set(&p.d, columns, uint64_t{3}); });
  say("LtMatmul(C of other rows)", [=](Product& p) { Product::Set(&p.c, rows, uint64_t{3}); });
  say("LtMatmul(A ld 1)", [](Product& p) { Product::Set(&p.a, CUBLASLT_MATRIX_LAYOUT_LD, int64_t{1}); });
  say("LtMatmul(A of 2 batches)", [=](Product& p) { Product::Set(&p.a, batch, int32_t{2}); });
  say("LtMatmul(A order 99)", [=](Product& p) { Product::Set(&p.a, order, int32_t{99}); });
  say("LtMatmul(A type 99)", [](Product& p) { Product::Set(&p.a, CUBLASLT_MATRIX_LAYOUT_TYPE, uint32_t{99}); });
  say("LtMatmul(A of double)",
      [](Product& p) { Product::Set(&p.a, CUBLASLT_MATRIX_LAYOUT_TYPE, uint32_t{CUDA_R_64F}); });
  say("LtMatmul(transa 9)", [](Product& p) { p.Set(CUBLASLT_MATMUL_DESC_TRANSA, int32_t{9}); });
  say("LtMatmul(transc T)", [](Product& p) { p.Set(CUBLASLT_MATMUL_DESC_TRANSC, int32_t{CUBLAS_OP_T}); });
  say("LtMatmul(pointer mode 9)", [](Product& p) { p.Set(CUBLASLT_MATMUL_DESC_POINTER_MODE, int32_t{9}); });
  say("LtMatmul(epilogue 3)", [](Product& p) { p.Set(CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{3}); });
  const auto find = [=](const char* row, int count, auto change) { SayHeuristic(row, handle, memory, count, change); };
  find("LtMatmulAlgoGetHeuristic(count 0)", 0, [](Product&) {});
  find("LtMatmulAlgoGetHeuristic(count -1)", -1, [](Product&) {});
  find("LtMatmulAlgoGetHeuristic(B of other rows)", 1, [=](Product& p) { Product::Set(&p.b, rows, uint64_t{3}); });
  find("LtMatmulAlgoGetHeuristic(A of double)", 1,
       [](Product& p) { Product::Set(&p.a, CUBLASLT_MATRIX_LAYOUT_TYPE, uint32_t{CUDA_R_64F}); });
  find("LtMatmulAlgoGetHeuristic(epilogue 3)", 1,
       [](Product& p) { p.Set(CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{3}); });
  cublasLtMatmulAlgo_t algorithm{};
  int id = 0;
  int count = 0;
  const auto single = CUDA_R_32F;
  Say("LtMatmulAlgoGetIds(count 0)",
      cublasLtMatmulAlgoGetIds(handle, CUBLAS_COMPUTE_32F, single, single, single, single, single, 0, &id, &count));
  Say("LtMatmulAlgoGetIds(null ids)",
      cublasLtMatmulAlgoGetIds(handle, CUBLAS_COMPUTE_32F, single, single, single, single, single, 1, nullptr, &count));
  Say("LtMatmulAlgoInit(id 9999)",
      cublasLtMatmulAlgoInit(handle, CUBLAS_COMPUTE_32F, single, single, single, single, single, 9999, &algorithm));
  Say("LtMatmulAlgoInit(null)",
      cublasLtMatmulAlgoInit(handle, CUBLAS_COMPUTE_32F, single, single, single, single, single, 0, nullptr));
  // Those that the library could run in spite of what is wrong come last: if it has, nothing behind them means
  // anything.
  bool is_over = false;
  const auto last = [&](const char* row, auto change) {
    if (is_over) return;
    SayProduct(row, handle, memory, change);
    is_over = cudaDeviceSynchronize() != cudaSuccess;
  };
  last("LtMatmul(null A)", [](Product& p) { p.pa = nullptr; });
  last("LtMatmul(null D)", [](Product& p) { p.pd = nullptr; });
  last("LtMatmul(null C)", [](Product& p) { p.pc = nullptr; });
  last("LtMatmul(bias of no address)",
       [](Product& p) { p.Set(CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{CUBLASLT_EPILOGUE_BIAS}); });
  last("LtMatmul(aux of no address)",
       [](Product& p) { p.Set(CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{CUBLASLT_EPILOGUE_GELU_AUX}); });
  last("LtMatmul(workspace of no address)", [](Product& p) { p.workspace_bytes = 4096; });
  last("LtMatmul(A unaligned)", [](Product& p) { p.pa = reinterpret_cast<float*>(reinterpret_cast<char*>(p.pa) + 1); });
  cublasLtDestroy(handle);
}

int main() {
  std::printf("{");
  SayHandles();
  SayCopies();
  SayAlgorithms();
  SayLayouts();
  SayOperations();
  SayPreferences();
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("\n}\n");
    return 0;
  }
  float* device = nullptr;
  cublasHandle_t handle = nullptr;
  CHECK(cudaMalloc(&device, 4096));
  CHECK(cudaMemset(device, 0, 4096));
  if (const cublasStatus_t status = cublasCreate(&handle); status != CUBLAS_STATUS_SUCCESS)
    Fail(__FILE__, __LINE__, "cublasCreate: %s", cublasGetStatusName(status));
  SayState(handle, device);
  cublasSetWorkspace(handle, nullptr, 0);
  SayVectors(handle, device);
  SayLevel2(handle, device);
  SayLevel3(handle, device);
  SayBatches(handle);
  SayProducts(device);
  std::printf("\n}\n");
  cublasDestroy(handle);
  cudaFree(device);
  return 0;
}
