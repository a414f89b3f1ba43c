#include "server/backend/cpu/blas/lt.h"

#include <bit>
#include <cstring>
#include <string_view>

#include "server/backend/cpu/blas/lt_elements.h"
#include "server/backend/cpu/blas/lt_problem.h"

namespace accelmesh::cpu_blas {
namespace {

// cublasStatus_t.
constexpr std::uint32_t kStatusInvalidValue = CUBLAS_STATUS_INVALID_VALUE;
constexpr std::uint32_t kStatusNotSupported = CUBLAS_STATUS_NOT_SUPPORTED;

// What is asked goes back by an Outcome alone.
void Give(Outcome* outcome, const void* value, std::size_t bytes) {
  std::memcpy(outcome->results + outcome->result_bytes, value, bytes);
  outcome->result_bytes += bytes;
}
template <typename T>
void Give(Outcome* outcome, const T& value) {
  static_assert(sizeof(T) <= kResultBytesMax);
  Give(outcome, &value, sizeof(T));
}
void Refuse(Outcome* outcome, std::uint32_t status, std::string_view why) {
  outcome->status = status;
  Give(outcome, why.data(), std::min(why.size(), kResultBytesMax));
}
// Nothing in our algorithm needs memory or fills a device by halves.
LtHeuristic HeuristicOf(const LtAlgorithm& algorithm) {
  return {.algorithm = algorithm, .workspace_bytes = 0, .status = 0, .waves = std::bit_cast<std::uint32_t>(1.0f)};
}

void Answer(Outcome* outcome, const LtFindAlgorithms& words) {
  const char* why = RefusalOf(words.operation, words.layouts);
  if (why == nullptr && words.preference.search_mode == CUBLASLT_SEARCH_LIMITED_BY_ALGO_ID)
    why = RefusalOf(words.algorithm);
  if (why != nullptr) return Refuse(outcome, kStatusNotSupported, why);
  Give(outcome, HeuristicOf(WordsOf(CpuAlgorithm{})));
}
void Answer(Outcome* outcome, const LtListAlgorithms& words) {
  if (const char* why = RefusalOf(words.types); why != nullptr) return Refuse(outcome, kStatusNotSupported, why);
  Give(outcome, std::int32_t{0});
}
void Answer(Outcome* outcome, const LtInitAlgorithm& words) {
  if (words.id != 0) return Refuse(outcome, kStatusInvalidValue, "the cpu backend has one algorithm, number 0");
  if (const char* why = RefusalOf(words.types); why != nullptr) return Refuse(outcome, kStatusNotSupported, why);
  Give(outcome, WordsOf(CpuAlgorithm{}));
}
void Answer(Outcome* outcome, const LtCheckAlgorithm& words) {
  const char* why = RefusalOf(words.algorithm);
  if (why == nullptr) why = RefusalOf(words.operation, words.layouts);
  if (why != nullptr) return Refuse(outcome, kStatusNotSupported, why);
  Give(outcome, HeuristicOf(words.algorithm));
}

void Answer(Outcome* outcome, const LtGetCapability& words) {
  if (AlgorithmOf(words.algorithm).mark != CpuAlgorithm::kMark)
    return Refuse(outcome, kStatusInvalidValue, "an algorithm of another library's");
  constexpr std::uint32_t kPointerModes = CUBLASLT_POINTER_MODE_MASK_HOST | CUBLASLT_POINTER_MODE_MASK_DEVICE |
                                          CUBLASLT_POINTER_MODE_MASK_DEVICE_VECTOR |
                                          CUBLASLT_POINTER_MODE_MASK_ALPHA_DEVICE_VECTOR_BETA_ZERO |
                                          CUBLASLT_POINTER_MODE_MASK_ALPHA_DEVICE_VECTOR_BETA_HOST;
  constexpr std::uint32_t kEpilogues = CUBLASLT_EPILOGUE_DEFAULT | CUBLASLT_EPILOGUE_RELU_AUX_BIAS |
                                       CUBLASLT_EPILOGUE_GELU_AUX_BIAS | CUBLASLT_EPILOGUE_DRELU_BGRAD |
                                       CUBLASLT_EPILOGUE_DGELU_BGRAD | CUBLASLT_EPILOGUE_BGRADA |
                                       CUBLASLT_EPILOGUE_BGRADB;
  switch (words.attribute) {
    case CUBLASLT_ALGO_CAP_STRIDED_BATCH_SUPPORT:
    case CUBLASLT_ALGO_CAP_POINTER_ARRAY_BATCH_SUPPORT:
    case CUBLASLT_ALGO_CAP_OUT_OF_PLACE_RESULT_SUPPORT: return Give(outcome, std::int32_t{1});
    case CUBLASLT_ALGO_CAP_SPLITK_SUPPORT:
    case CUBLASLT_ALGO_CAP_UPLO_SUPPORT:
    case CUBLASLT_ALGO_CAP_CUSTOM_OPTION_MAX:
    case CUBLASLT_ALGO_CAP_CUSTOM_MEMORY_ORDER:
    case CUBLASLT_ALGO_CAP_LD_NEGATIVE:
    case CUBLASLT_ALGO_CAP_FLOATING_POINT_EMULATION_SUPPORT: return Give(outcome, std::int32_t{0});
    case CUBLASLT_ALGO_CAP_REDUCTION_SCHEME_MASK:
    case CUBLASLT_ALGO_CAP_CTA_SWIZZLING_SUPPORT: return Give(outcome, std::uint32_t{0});
    // Of both lists: undefined, and nothing else.
    case CUBLASLT_ALGO_CAP_TILE_IDS:
    case CUBLASLT_ALGO_CAP_STAGES_IDS: return Give(outcome, std::uint32_t{0});
    case CUBLASLT_ALGO_CAP_POINTER_MODE_MASK: return Give(outcome, kPointerModes);
    case CUBLASLT_ALGO_CAP_EPILOGUE_MASK: return Give(outcome, kEpilogues);
    // None of the ways of a GPU's.
    case CUBLASLT_ALGO_CAP_NUMERICAL_IMPL_FLAGS: return Give(outcome, std::uint64_t{1});
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_ALGO_CAP_MIN_ALIGNMENT_D_BYTES: return Give(outcome, std::uint32_t{1});
    default: return Refuse(outcome, kStatusInvalidValue, "an unknown attribute");
  }
}

// Where an attribute lies in our algorithm.
struct Place {
  void* at = nullptr;
  std::size_t bytes = 0;
};
Place PlaceOf(CpuAlgorithm* algorithm, i64 attribute) {
  const auto place = [](auto* member) { return Place{member, sizeof(*member)}; };
  switch (attribute) {
    case CUBLASLT_ALGO_CONFIG_ID: return place(&algorithm->id);
    case CUBLASLT_ALGO_CONFIG_TILE_ID: return place(&algorithm->tile);
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM: return place(&algorithm->split_k);
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME: return place(&algorithm->reduction);
    case CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING: return place(&algorithm->swizzling);
    case CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION: return place(&algorithm->custom);
    case CUBLASLT_ALGO_CONFIG_STAGES_ID: return place(&algorithm->stages);
    case CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID: return place(&algorithm->inner_shape);
    case CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID: return place(&algorithm->cluster_shape);
    default: return {};
  }
}

// Any value is taken, as the real library does; whether there is such a configuration is asked by a check.
void Answer(Outcome* outcome, const LtSetConfiguration& words) {
  CpuAlgorithm algorithm = AlgorithmOf(words.algorithm);
  const Place place = PlaceOf(&algorithm, words.attribute);
  if (algorithm.mark != CpuAlgorithm::kMark || place.at == nullptr || words.attribute == CUBLASLT_ALGO_CONFIG_ID ||
      words.bytes != static_cast<i64>(place.bytes))
    return Refuse(outcome, kStatusInvalidValue, "no attribute of an algorithm of the cpu backend's");
  std::memcpy(place.at, &words.value, place.bytes);
  Give(outcome, WordsOf(algorithm));
}
void Answer(Outcome* outcome, const LtGetConfiguration& words) {
  CpuAlgorithm algorithm = AlgorithmOf(words.algorithm);
  const Place place = PlaceOf(&algorithm, words.attribute);
  if (algorithm.mark != CpuAlgorithm::kMark || place.at == nullptr)
    return Refuse(outcome, kStatusInvalidValue, "no attribute of an algorithm of the cpu backend's");
  Give(outcome, place.at, place.bytes);
}

}  // namespace

void ListLtFunctions(std::uint8_t* bits, std::size_t bytes) {
#define ACCELMESH_BLASLT_FUNCTION(function, name, Words) \
  if (function / 8 < bytes) bits[function / 8] = static_cast<std::uint8_t>(bits[function / 8] | 1u << (function % 8));
#include "protocol/gen_blaslt_functions.inc"
#undef ACCELMESH_BLASLT_FUNCTION
}

void RunLtFunction(Context& context, const Call& call, Outcome* outcome) {
  const ByteView arguments(call.arguments, call.argument_bytes);
  const auto run = [&]<typename Words>(const Words& words) {
    if constexpr (requires { LtRun(context, words); }) {
      LtRun(context, words);
    } else {
      Answer(outcome, words);
    }
  };
  switch (call.function) {
#define ACCELMESH_BLASLT_FUNCTION(function, name, Words) \
  case function: return run(ReadLt<Words>(arguments));
#include "protocol/gen_blaslt_functions.inc"
#undef ACCELMESH_BLASLT_FUNCTION
    default: context.Fail(kNotSupported, "no such function");
  }
}

}  // namespace accelmesh::cpu_blas
