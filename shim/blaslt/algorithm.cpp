// Algorithms for products: which there are, what they can, how they are set. The server's library knows; what it said
// is remembered.
#include "shim/blaslt/algorithm.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "shim/blas/entry.h"
#include "shim/blaslt/attribute.h"
#include "shim/blaslt/descriptors.h"
#include "shim/blaslt/problem.h"
#include "shim/gen_blaslt_face.h"

namespace accelmesh::blaslt {
namespace {

// How large an attribute of an algorithm's is; 0 if there is none of that number.
std::size_t ConfigurationBytes(cublasLtMatmulAlgoConfigAttributes_t attribute) {
  switch (attribute) {
    case CUBLASLT_ALGO_CONFIG_ID:
    case CUBLASLT_ALGO_CONFIG_TILE_ID:
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
    case CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING:
    case CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION:
    case CUBLASLT_ALGO_CONFIG_STAGES_ID: return sizeof(std::uint32_t);
    case CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID:
    case CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID: return sizeof(std::uint16_t);
    default: return 0;
  }
}

LtAlgorithm WordsOf(const cublasLtMatmulAlgo_t& algorithm) { return std::bit_cast<LtAlgorithm>(algorithm); }

// As many values as an answer has.
template <typename T>
std::size_t CountOf(const Answer& answer) {
  return answer.bytes.size() / sizeof(T);
}
template <typename T>
T ValueOf(const Answer& answer, std::size_t index) {
  T value{};
  std::memcpy(static_cast<void*>(&value), answer.bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

void Give(const LtHeuristic& heuristic, cublasLtMatmulHeuristicResult_t* result) {
  result->workspaceSize = heuristic.workspace_bytes;
  result->state = static_cast<cublasStatus_t>(heuristic.status);
  result->wavesCount = std::bit_cast<float>(static_cast<std::uint32_t>(heuristic.waves));
  std::fill(std::begin(result->reserved), std::end(result->reserved), 0);
}

// Reads the problem that is asked about, with alignments in the place of addresses.
cublasStatus_t ReadAsked(const MatmulDescriptors& from, LtOperation* operation, LtLayouts* layouts) {
  cublasStatus_t status = ReadMatmul(from, operation, layouts);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  status = CheckMatmul(*operation, *layouts);
  *operation = Asked(*operation);
  return status;
}

cublasStatus_t FindAlgorithms(const Target& target, const char* name, const LtFindAlgorithms& question,
                              std::shared_ptr<const Answer>* answer) {
  bool is_new = false;
  const cublasStatus_t status = Ask(target, name, question, Heuristics(), answer, &is_new);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const std::size_t count = CountOf<LtHeuristic>(**answer);
  // What was found for a problem need not be asked about when it is used.
  for (std::size_t i = 0; is_new && i < count; ++i) {
    const auto found = ValueOf<LtHeuristic>(**answer, i);
    if (found.status != CUBLAS_STATUS_SUCCESS) continue;
    auto check = std::make_shared<Answer>();
    check->bytes.assign(AsBytes(found).begin(), AsBytes(found).end());
    Remember(target, LtCheckAlgorithm{question.operation, question.layouts, found.algorithm}, Algorithms(),
             std::move(check));
  }
  if (count != 0) return CUBLAS_STATUS_SUCCESS;
  blas::SayRefused(name, "the server's library has no algorithm for such a product");
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

// Asks about an algorithm, on the device that is current.
template <typename Words>
cublasStatus_t AskOfAlgorithm(const char* name, const Words& words, std::shared_ptr<const Answer>* answer) {
  Target target;
  const cublasStatus_t status = CurrentTarget(&target);
  return status != CUBLAS_STATUS_SUCCESS ? status : Ask(target, name, words, Algorithms(), answer);
}

}  // namespace

cublasStatus_t BestAlgorithm(const Target& target, const char* name, const LtFindAlgorithms& question,
                             LtHeuristic* best) {
  std::shared_ptr<const Answer> answer;
  const cublasStatus_t status = FindAlgorithms(target, name, question, &answer);
  if (status == CUBLAS_STATUS_SUCCESS) *best = ValueOf<LtHeuristic>(*answer, 0);
  return status == CUBLAS_STATUS_SUCCESS ? static_cast<cublasStatus_t>(best->status) : status;
}

cublasStatus_t CheckAlgorithm(const Target& target, const char* name, const LtCheckAlgorithm& question,
                              LtHeuristic* found) {
  std::shared_ptr<const Answer> answer;
  const cublasStatus_t status = Ask(target, name, question, Algorithms(), &answer);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (CountOf<LtHeuristic>(*answer) == 0) return CUBLAS_STATUS_INTERNAL_ERROR;
  *found = ValueOf<LtHeuristic>(*answer, 0);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace accelmesh::blaslt

namespace accelmesh::face {

using namespace accelmesh::blaslt;

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t operationDesc,
                                              cublasLtMatrixLayout_t Adesc, cublasLtMatrixLayout_t Bdesc,
                                              cublasLtMatrixLayout_t Cdesc, cublasLtMatrixLayout_t Ddesc,
                                              cublasLtMatmulPreference_t preference, int requestedAlgoCount,
                                              cublasLtMatmulHeuristicResult_t heuristicResultsArray[],
                                              int* returnAlgoCount) {
  Target target;
  cublasStatus_t status = FindTarget(lightHandle, &target);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (preference == nullptr || requestedAlgoCount <= 0 || heuristicResultsArray == nullptr ||
      returnAlgoCount == nullptr)
    return CUBLAS_STATUS_INVALID_VALUE;
  *returnAlgoCount = 0;
  LtFindAlgorithms question;
  status = ReadAsked({operationDesc, Adesc, Bdesc, Cdesc, Ddesc}, &question.operation, &question.layouts);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  question.preference = WordsOf(Load<Preference>(*preference));
  if (question.preference.search_mode == CUBLASLT_SEARCH_LIMITED_BY_ALGO_ID)
    question.algorithm = WordsOf(heuristicResultsArray[0].algo);
  question.count = std::min<std::int64_t>(requestedAlgoCount, kLtHeuristicsMax);
  std::shared_ptr<const Answer> answer;
  status = FindAlgorithms(target, "cublasLtMatmulAlgoGetHeuristic", question, &answer);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const std::size_t count = std::min(CountOf<LtHeuristic>(*answer), static_cast<std::size_t>(question.count));
  for (std::size_t i = 0; i < count; ++i) {
    const auto found = ValueOf<LtHeuristic>(*answer, i);
    heuristicResultsArray[i].algo = std::bit_cast<cublasLtMatmulAlgo_t>(found.algorithm);
    Give(found, &heuristicResultsArray[i]);
  }
  *returnAlgoCount = static_cast<int>(count);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetIds(cublasLtHandle_t lightHandle, cublasComputeType_t computeType,
                                        cudaDataType_t scaleType, cudaDataType_t Atype, cudaDataType_t Btype,
                                        cudaDataType_t Ctype, cudaDataType_t Dtype, int requestedAlgoCount,
                                        int algoIdsArray[], int* returnAlgoCount) {
  Target target;
  cublasStatus_t status = FindTarget(lightHandle, &target);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (requestedAlgoCount <= 0 || algoIdsArray == nullptr || returnAlgoCount == nullptr)
    return CUBLAS_STATUS_INVALID_VALUE;
  const LtListAlgorithms question{{computeType, scaleType, Atype, Btype, Ctype, Dtype},
                                  std::min<std::int64_t>(requestedAlgoCount, kLtHeuristicsMax)};
  std::shared_ptr<const Answer> answer;
  status = Ask(target, "cublasLtMatmulAlgoGetIds", question, Algorithms(), &answer);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const std::size_t count = std::min(CountOf<std::int32_t>(*answer), static_cast<std::size_t>(question.count));
  for (std::size_t i = 0; i < count; ++i) algoIdsArray[i] = ValueOf<std::int32_t>(*answer, i);
  *returnAlgoCount = static_cast<int>(count);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoInit(cublasLtHandle_t lightHandle, cublasComputeType_t computeType,
                                      cudaDataType_t scaleType, cudaDataType_t Atype, cudaDataType_t Btype,
                                      cudaDataType_t Ctype, cudaDataType_t Dtype, int algoId,
                                      cublasLtMatmulAlgo_t* algo) {
  Target target;
  cublasStatus_t status = FindTarget(lightHandle, &target);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (algo == nullptr || algoId < 0) return CUBLAS_STATUS_INVALID_VALUE;
  const LtInitAlgorithm question{{computeType, scaleType, Atype, Btype, Ctype, Dtype}, algoId};
  std::shared_ptr<const Answer> answer;
  status = Ask(target, "cublasLtMatmulAlgoInit", question, Algorithms(), &answer);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (CountOf<cublasLtMatmulAlgo_t>(*answer) == 0) return CUBLAS_STATUS_INTERNAL_ERROR;
  *algo = ValueOf<cublasLtMatmulAlgo_t>(*answer, 0);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t operationDesc,
                                       cublasLtMatrixLayout_t Adesc, cublasLtMatrixLayout_t Bdesc,
                                       cublasLtMatrixLayout_t Cdesc, cublasLtMatrixLayout_t Ddesc,
                                       const cublasLtMatmulAlgo_t* algo, cublasLtMatmulHeuristicResult_t* result) {
  Target target;
  cublasStatus_t status = FindTarget(lightHandle, &target);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (algo == nullptr || result == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  LtCheckAlgorithm question;
  status = ReadAsked({operationDesc, Adesc, Bdesc, Cdesc, Ddesc}, &question.operation, &question.layouts);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  question.algorithm = WordsOf(*algo);
  LtHeuristic found;
  status = CheckAlgorithm(target, "cublasLtMatmulAlgoCheck", question, &found);
  if (status == CUBLAS_STATUS_SUCCESS) Give(found, result);
  return status;
}

cublasStatus_t cublasLtMatmulAlgoCapGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                 cublasLtMatmulAlgoCapAttributes_t attr, void* buf, size_t sizeInBytes,
                                                 size_t* sizeWritten) {
  if (algo == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  std::shared_ptr<const Answer> answer;
  const cublasStatus_t status =
      AskOfAlgorithm("cublasLtMatmulAlgoCapGetAttribute", LtGetCapability{WordsOf(*algo), attr}, &answer);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  const Bytes& value = answer->bytes;
  const bool is_list = attr == CUBLASLT_ALGO_CAP_TILE_IDS || attr == CUBLASLT_ALGO_CAP_STAGES_IDS;
  // Of a list the program's buffer may have room for more, or take its first.
  const std::size_t bytes = is_list && sizeInBytes % sizeof(std::uint32_t) == 0 && sizeInBytes != 0
                                ? std::min(sizeInBytes, value.size())
                                : value.size();
  return GiveValue(value.data(), bytes, buf, is_list && sizeInBytes != 0 ? bytes : sizeInBytes, sizeWritten);
}

cublasStatus_t cublasLtMatmulAlgoConfigSetAttribute(cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attr, const void* buf,
                                                    size_t sizeInBytes) {
  const std::size_t bytes = ConfigurationBytes(attr);
  if (algo == nullptr || buf == nullptr || bytes == 0 || sizeInBytes != bytes || attr == CUBLASLT_ALGO_CONFIG_ID)
    return CUBLAS_STATUS_INVALID_VALUE;
  LtSetConfiguration words{WordsOf(*algo), attr, static_cast<std::int64_t>(bytes), 0};
  std::memcpy(&words.value, buf, bytes);
  std::shared_ptr<const Answer> answer;
  const cublasStatus_t status = AskOfAlgorithm("cublasLtMatmulAlgoConfigSetAttribute", words, &answer);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (CountOf<cublasLtMatmulAlgo_t>(*answer) == 0) return CUBLAS_STATUS_INTERNAL_ERROR;
  *algo = ValueOf<cublasLtMatmulAlgo_t>(*answer, 0);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t* algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attr, void* buf,
                                                    size_t sizeInBytes, size_t* sizeWritten) {
  const std::size_t bytes = ConfigurationBytes(attr);
  if (algo == nullptr || bytes == 0) return CUBLAS_STATUS_INVALID_VALUE;
  std::shared_ptr<const Answer> answer;
  const cublasStatus_t status =
      AskOfAlgorithm("cublasLtMatmulAlgoConfigGetAttribute", LtGetConfiguration{WordsOf(*algo), attr}, &answer);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  if (answer->bytes.size() < bytes) return CUBLAS_STATUS_INTERNAL_ERROR;
  return GiveValue(answer->bytes.data(), bytes, buf, sizeInBytes, sizeWritten);
}

}  // namespace accelmesh::face
