// The contract libcublasLt: what the server calls of it. Descriptors are the shim's, which has some for the same
// header; products run as functions of libcublas do, and questions are the software GPU's to answer.
#include <atomic>
#include <bit>
#include <cstring>
#include <mutex>
#include <set>
#include <string>

#include "shim/blaslt/descriptors.h"
#include "shim/blaslt/problem.h"
#include "shim/blaslt/types.h"
#include "shim/gen_blaslt_face.h"
#include "tests/contract/libcublas/control.h"
#include "tests/contract/libcublas/device.h"

struct cublasLtContext {
  CUcontext context = nullptr;
};

namespace accelmesh::face {
namespace {

using namespace blaslt;

struct Handles {
  std::mutex mu;
  std::set<cublasLtHandle_t> all;
};
Handles& AllHandles() {
  static auto* const handles = new Handles;
  return *handles;
}
std::atomic<long long> g_heuristics{0};

bool IsGood(cublasLtHandle_t handle, const char* name) {
  Handles& handles = AllHandles();
  const std::lock_guard lock(handles.mu);
  if (!handles.all.contains(handle)) {
    contract::Break(CONTRACT_RULE_BAD_HANDLE, std::string(name) + ": no handle, or one that was destroyed");
    return false;
  }
  if (contract::CurrentContext() != handle->context) {
    contract::Break(CONTRACT_RULE_WRONG_CONTEXT,
                    std::string(name) + ": the handle is of another context than the current one");
    return false;
  }
  return true;
}

// A function's words behind its flags.
template <typename Words>
Bytes ArgumentsOf(const Words& words) {
  Bytes arguments(sizeof(std::uint64_t) + sizeof(Words));
  std::memcpy(arguments.data() + sizeof(std::uint64_t), &words, sizeof(Words));
  return arguments;
}

template <typename Words>
cublasStatus_t Queue(const char* name, const Words& words, CUstream stream) {
  if (!contract::HasFunction(kLibraryBlasLt, kLtFunction<Words>)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const CUresult result = contract::QueueFunction(name, kLibraryBlasLt, kLtFunction<Words>, ArgumentsOf(words), stream);
  return result == CUDA_SUCCESS ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

template <typename Words>
cublasStatus_t Ask(const char* name, const Words& words, Bytes* answer) {
  if (!contract::MayWait(name, "it may take long")) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (!contract::HasFunction(kLibraryBlasLt, kLtFunction<Words>)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const cpu_blas::Outcome outcome = contract::RunFunction(kLibraryBlasLt, kLtFunction<Words>, ArgumentsOf(words), 0);
  answer->assign(outcome.results, outcome.results + outcome.result_bytes);
  if (outcome.device_status != 0) return CUBLAS_STATUS_EXECUTION_FAILED;
  return static_cast<cublasStatus_t>(outcome.status);
}

// One of the words of a product: a value, or an address as the pointer mode says.
std::array<std::uint64_t, 2> ScalarOf(const void* pointer, std::int64_t scale_type, bool on_device) {
  std::array<std::uint64_t, 2> words{};
  if (on_device) {
    words[0] = reinterpret_cast<std::uintptr_t>(pointer);
  } else if (pointer != nullptr) {
    std::memcpy(words.data(), pointer, ScaleBytes(scale_type));
  }
  return words;
}
std::uint64_t AddressOf(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

// Copies an answer of one value.
template <typename T>
void Take(const Bytes& answer, T* value) {
  if (answer.size() >= sizeof(T)) std::memcpy(static_cast<void*>(value), answer.data(), sizeof(T));
}
cublasLtMatmulHeuristicResult_t ResultOf(const LtHeuristic& words) {
  cublasLtMatmulHeuristicResult_t result{};
  result.algo = std::bit_cast<cublasLtMatmulAlgo_t>(words.algorithm);
  result.workspaceSize = words.workspace_bytes;
  result.state = static_cast<cublasStatus_t>(words.status);
  result.wavesCount = std::bit_cast<float>(static_cast<std::uint32_t>(words.waves));
  return result;
}

cublasStatus_t ReadProblem(const MatmulDescriptors& from, LtOperation* operation, LtLayouts* layouts) {
  const cublasStatus_t status = ReadMatmul(from, operation, layouts);
  return status == CUBLAS_STATUS_SUCCESS ? CheckMatmul(*operation, *layouts) : status;
}

// An attribute as an algorithm's functions give one: all of it, or its size.
cublasStatus_t GiveAttribute(const Bytes& value, void* buffer, size_t bytes, size_t* written) {
  if (written != nullptr) *written = value.size();
  if (bytes == 0) return CUBLAS_STATUS_SUCCESS;
  if (bytes < value.size()) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(buffer, value.data(), value.size());
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  CUcontext const context = contract::CurrentContext();
  if (handle == nullptr || context == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!contract::MayWait("cublasLtCreate", "it makes memory")) return CUBLAS_STATUS_NOT_INITIALIZED;
  Handles& handles = AllHandles();
  const std::lock_guard lock(handles.mu);
  *handle = new cublasLtContext{context};
  handles.all.insert(*handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  if (!IsGood(handle, "cublasLtDestroy")) return CUBLAS_STATUS_NOT_INITIALIZED;
  Handles& handles = AllHandles();
  const std::lock_guard lock(handles.mu);
  handles.all.erase(handle);
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  if (!IsGood(handle, "cublasLtMatmul")) return CUBLAS_STATUS_NOT_INITIALIZED;
  LtMatmul words;
  const cublasStatus_t status =
      ReadProblem({operation, a_layout, b_layout, c_layout, d_layout}, &words.operation, &words.layouts);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const std::int64_t mode = words.operation.pointer_mode;
  const bool beta_on_device = mode == CUBLASLT_POINTER_MODE_DEVICE || mode == CUBLASLT_POINTER_MODE_DEVICE_VECTOR;
  words.alpha = ScalarOf(alpha, words.operation.scale_type, mode != CUBLASLT_POINTER_MODE_HOST);
  words.beta = ScalarOf(beta, words.operation.scale_type, beta_on_device);
  words.a = AddressOf(a);
  words.b = AddressOf(b);
  words.c = AddressOf(c);
  words.d = AddressOf(d);
  words.has_algorithm = algorithm != nullptr ? 1 : 0;
  if (algorithm != nullptr) words.algorithm = std::bit_cast<LtAlgorithm>(*algorithm);
  words.workspace = AddressOf(workspace);
  words.workspace_bytes = workspace_bytes;
  return Queue("cublasLtMatmul", words, stream);
}

cublasStatus_t cublasLtMatrixTransform(cublasLtHandle_t handle, cublasLtMatrixTransformDesc_t operation,
                                       const void* alpha, const void* a, cublasLtMatrixLayout_t a_layout,
                                       const void* beta, const void* b, cublasLtMatrixLayout_t b_layout, void* c,
                                       cublasLtMatrixLayout_t c_layout, cudaStream_t stream) {
  if (!IsGood(handle, "cublasLtMatrixTransform")) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (operation == nullptr || a_layout == nullptr || c_layout == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const auto state = Load<Transformation>(*operation);
  const bool on_device = state.pointer_mode != CUBLASLT_POINTER_MODE_HOST;
  LtTransform words;
  words.scale_type = state.scale_type;
  words.pointer_mode = state.pointer_mode;
  words.transa = state.transa;
  words.transb = state.transb;
  words.a_layout = ReadLayout(*a_layout);
  words.b_layout = b_layout == nullptr ? LtLayout{.batch_count = 0} : ReadLayout(*b_layout);
  words.c_layout = ReadLayout(*c_layout);
  words.alpha = ScalarOf(alpha, state.scale_type, on_device);
  words.beta = ScalarOf(beta, state.scale_type, on_device);
  words.a = AddressOf(a);
  words.b = AddressOf(b);
  words.c = AddressOf(c);
  return Queue("cublasLtMatrixTransform", words, stream);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results, int* count) {
  if (!IsGood(handle, "cublasLtMatmulAlgoGetHeuristic")) return CUBLAS_STATUS_NOT_INITIALIZED;
  g_heuristics.fetch_add(1);
  LtFindAlgorithms words;
  const cublasStatus_t status = ReadProblem({operation, a, b, c, d}, &words.operation, &words.layouts);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  words.preference = WordsOf(Load<Preference>(*preference));
  words.algorithm = std::bit_cast<LtAlgorithm>(results[0].algo);
  words.count = wanted;
  Bytes answer;
  const cublasStatus_t asked = Ask("cublasLtMatmulAlgoGetHeuristic", words, &answer);
  *count = static_cast<int>(answer.size() / sizeof(LtHeuristic));
  for (int i = 0; i < *count; ++i) {
    LtHeuristic heuristic;
    std::memcpy(&heuristic, answer.data() + static_cast<std::size_t>(i) * sizeof(heuristic), sizeof(heuristic));
    results[i] = ResultOf(heuristic);
  }
  return asked;
}

cublasStatus_t cublasLtMatmulAlgoGetIds(cublasLtHandle_t handle, cublasComputeType_t compute, cudaDataType_t scale,
                                        cudaDataType_t a, cudaDataType_t b, cudaDataType_t c, cudaDataType_t d,
                                        int wanted, int* ids, int* count) {
  if (!IsGood(handle, "cublasLtMatmulAlgoGetIds")) return CUBLAS_STATUS_NOT_INITIALIZED;
  Bytes answer;
  const cublasStatus_t asked =
      Ask("cublasLtMatmulAlgoGetIds", LtListAlgorithms{{compute, scale, a, b, c, d}, wanted}, &answer);
  *count = static_cast<int>(answer.size() / sizeof(int));
  if (*count != 0) std::memcpy(ids, answer.data(), static_cast<std::size_t>(*count) * sizeof(int));
  return asked;
}
cublasStatus_t cublasLtMatmulAlgoInit(cublasLtHandle_t handle, cublasComputeType_t compute, cudaDataType_t scale,
                                      cudaDataType_t a, cudaDataType_t b, cudaDataType_t c, cudaDataType_t d, int id,
                                      cublasLtMatmulAlgo_t* algorithm) {
  if (!IsGood(handle, "cublasLtMatmulAlgoInit")) return CUBLAS_STATUS_NOT_INITIALIZED;
  Bytes answer;
  const cublasStatus_t asked =
      Ask("cublasLtMatmulAlgoInit", LtInitAlgorithm{{compute, scale, a, b, c, d}, id}, &answer);
  Take(answer, algorithm);
  return asked;
}
cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                       cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t* algorithm,
                                       cublasLtMatmulHeuristicResult_t* result) {
  if (!IsGood(handle, "cublasLtMatmulAlgoCheck")) return CUBLAS_STATUS_NOT_INITIALIZED;
  LtCheckAlgorithm words;
  const cublasStatus_t status = ReadProblem({operation, a, b, c, d}, &words.operation, &words.layouts);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  words.algorithm = std::bit_cast<LtAlgorithm>(*algorithm);
  Bytes answer;
  const cublasStatus_t asked = Ask("cublasLtMatmulAlgoCheck", words, &answer);
  LtHeuristic heuristic;
  Take(answer, &heuristic);
  *result = ResultOf(heuristic);
  return asked;
}
cublasStatus_t cublasLtMatmulAlgoCapGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                 cublasLtMatmulAlgoCapAttributes_t attribute, void* buffer,
                                                 size_t bytes, size_t* written) {
  Bytes answer;
  const cublasStatus_t asked = Ask("cublasLtMatmulAlgoCapGetAttribute",
                                   LtGetCapability{std::bit_cast<LtAlgorithm>(*algorithm), attribute}, &answer);
  return asked == CUBLAS_STATUS_SUCCESS ? GiveAttribute(answer, buffer, bytes, written) : asked;
}
cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, void* buffer,
                                                    size_t bytes, size_t* written) {
  Bytes answer;
  const cublasStatus_t asked = Ask("cublasLtMatmulAlgoConfigGetAttribute",
                                   LtGetConfiguration{std::bit_cast<LtAlgorithm>(*algorithm), attribute}, &answer);
  return asked == CUBLAS_STATUS_SUCCESS ? GiveAttribute(answer, buffer, bytes, written) : asked;
}
cublasStatus_t cublasLtMatmulAlgoConfigSetAttribute(cublasLtMatmulAlgo_t* algorithm,
                                                    cublasLtMatmulAlgoConfigAttributes_t attribute, const void* buffer,
                                                    size_t bytes) {
  LtSetConfiguration words{std::bit_cast<LtAlgorithm>(*algorithm), attribute, static_cast<std::int64_t>(bytes), 0};
  if (bytes > sizeof(words.value)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&words.value, buffer, bytes);
  Bytes answer;
  const cublasStatus_t asked = Ask("cublasLtMatmulAlgoConfigSetAttribute", words, &answer);
  Take(answer, algorithm);
  return asked;
}

size_t cublasLtGetVersion() { return 1; }
const char* cublasLtGetStatusName(cublasStatus_t status) {
  return status == CUBLAS_STATUS_INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE" : "a status of the contract libcublasLt";
}

// What the server does not call
// ----------------------------------------------------------------------------------------

size_t cublasLtGetCudartVersion() { return 0; }
const char* cublasLtGetStatusString(cublasStatus_t) { return nullptr; }
unsigned cublasLtDisableCpuInstructionsSetMask(unsigned) { return 0; }
cublasStatus_t cublasLtGetProperty(libraryPropertyType, int*) { return CUBLAS_STATUS_NOT_SUPPORTED; }
cublasStatus_t cublasLtHeuristicsCacheGetCapacity(size_t*) { return CUBLAS_STATUS_NOT_SUPPORTED; }
cublasStatus_t cublasLtHeuristicsCacheSetCapacity(size_t) { return CUBLAS_STATUS_NOT_SUPPORTED; }
cublasStatus_t cublasLtLoggerForceDisable() { return CUBLAS_STATUS_NOT_SUPPORTED; }
cublasStatus_t cublasLtLoggerOpenFile(const char*) { return CUBLAS_STATUS_NOT_SUPPORTED; }
cublasStatus_t cublasLtLoggerSetCallback(cublasLtLoggerCallback_t) { return CUBLAS_STATUS_NOT_SUPPORTED; }
cublasStatus_t cublasLtLoggerSetFile(FILE*) { return CUBLAS_STATUS_NOT_SUPPORTED; }
cublasStatus_t cublasLtLoggerSetLevel(int) { return CUBLAS_STATUS_NOT_SUPPORTED; }
cublasStatus_t cublasLtLoggerSetMask(int) { return CUBLAS_STATUS_NOT_SUPPORTED; }

}  // namespace accelmesh::face

extern "C" __attribute__((visibility("default"))) long long contract_blas_heuristics() {
  return accelmesh::face::g_heuristics.load();
}
