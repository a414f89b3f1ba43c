#include "protocol/library/operations.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "protocol/library/dnn_calls.h"
#include "protocol/library/library.h"
#include "protocol/library/lt_problem.h"

namespace accelmesh {
namespace {

// What a product of one pair of numbers costs, and in which type.
struct Element {
  WorkType type = WorkType::kFp32;
  double operations = 2;
};

// By the numbers of cudaDataType.
std::optional<Element> ElementOf(std::int64_t type) {
  switch (type) {
    case 0: return Element{WorkType::kFp32, 2};   // CUDA_R_32F
    case 1: return Element{WorkType::kFp64, 2};   // CUDA_R_64F
    case 2: return Element{WorkType::kFp16, 2};   // CUDA_R_16F
    case 3: return Element{WorkType::kInt8, 2};   // CUDA_R_8I
    case 4: return Element{WorkType::kFp32, 8};   // CUDA_C_32F
    case 5: return Element{WorkType::kFp64, 8};   // CUDA_C_64F
    case 6: return Element{WorkType::kFp16, 8};   // CUDA_C_16F
    case 7: return Element{WorkType::kInt8, 8};   // CUDA_C_8I
    case 8: return Element{WorkType::kInt8, 2};   // CUDA_R_8U
    case 14: return Element{WorkType::kBf16, 2};  // CUDA_R_16BF
    case 15: return Element{WorkType::kBf16, 8};  // CUDA_C_16BF
    case 28:                                      // CUDA_R_8F_E4M3
    case 29: return Element{WorkType::kFp16, 2};  // CUDA_R_8F_E5M2
    default: return std::nullopt;
  }
}

// By the numbers of cudnnDataType_t.
std::optional<WorkType> DnnTypeOf(std::int32_t type) {
  switch (type) {
    case 0: return WorkType::kFp32;
    case 1: return WorkType::kFp64;
    case 2: return WorkType::kFp16;
    case 3:
    case 6: return WorkType::kInt8;
    case 9: return WorkType::kBf16;
    default: return std::nullopt;
  }
}

double Positive(std::int64_t value) { return value > 0 ? static_cast<double>(value) : 0; }

// cublas<letter>gemm...: the words are transa, transb, m, n, k, alpha, and then what the variant has; a variant of many
// products has their count as its last word, or before the two that say how to compute.
Work BlasWork(std::string_view name, const LibraryArguments& words, std::size_t count) {
  constexpr std::string_view kPrefix = "cublas";
  if (name.substr(0, kPrefix.size()) != kPrefix || count < 13) return {};
  name.remove_prefix(kPrefix.size());
  const bool is_general = name.substr(0, 4) == "Gemm";
  if (!is_general && (name.size() < 5 || name.substr(1, 4) != "gemm")) return {};
  const std::string_view rest = name.substr(is_general ? 4 : 5);
  // Of sizes that differ: their arrays are somewhere else.
  if (rest.substr(0, 7) == "Grouped") return {};
  std::optional<Element> element;
  if (rest.size() >= 2 && rest.substr(rest.size() - 2) == "Ex") {
    // alpha fills two words, then comes A and its type.
    element = ElementOf(words.Word(5 + 2 + 1));
  } else {
    switch (name[0]) {
      case 'S': element = Element{WorkType::kFp32, 2}; break;
      case 'D': element = Element{WorkType::kFp64, 2}; break;
      case 'H': element = Element{WorkType::kFp16, 2}; break;
      case 'C': element = Element{WorkType::kFp32, 8}; break;
      case 'Z': element = Element{WorkType::kFp64, 8}; break;
      default: break;
    }
  }
  if (!element) return {};
  double products = 1;
  if (rest.find("Batched") != std::string_view::npos) {
    products = Positive(words.Word(rest.find("Ex") != std::string_view::npos ? count - 3 : count - 1));
  }
  return {WorkKind::kMatmul, element->type,
          element->operations * Positive(words.Word(2)) * Positive(words.Word(3)) * Positive(words.Word(4)) * products};
}

template <typename T>
std::optional<T> Read(ByteView arguments) {
  T value{};
  if (arguments.size() < 8 + sizeof(value)) return std::nullopt;
  std::memcpy(&value, arguments.data() + 8, sizeof(value));
  return value;
}

Work LtWork(ByteView arguments) {
  const auto call = Read<LtMatmul>(arguments);
  if (!call) return {};
  const auto element = ElementOf(call->layouts.a.type);
  if (!element) return {};
  const std::int64_t depth = call->operation.transa == 0 ? call->layouts.a.columns : call->layouts.a.rows;
  return {WorkKind::kMatmul, element->type,
          element->operations * Positive(call->layouts.d.rows) * Positive(call->layouts.d.columns) * Positive(depth) *
              std::max(1.0, Positive(call->layouts.d.batch_count))};
}

double Elements(const DnnTensor& tensor) {
  double elements = tensor.rank > 0 ? 1 : 0;
  for (std::int32_t i = 0; i < std::min(tensor.rank, kDnnDimensionsMax); ++i) elements *= Positive(tensor.dims[i]);
  return elements;
}

// Each element of the output is a sum over the filter of one output channel; the gradients cost the same.
Work DnnWork(ByteView arguments) {
  const auto call = Read<DnnConvolutionCall>(arguments);
  if (!call || call->w.tensor.rank <= 0) return {};
  const auto type = DnnTypeOf(call->x.tensor.type);
  const double channels = Positive(call->w.tensor.dims[0]);
  if (!type || channels == 0) return {};
  return {WorkKind::kConvolution, *type, 2 * Elements(call->y.tensor) * Elements(call->w.tensor) / channels};
}

}  // namespace

Work WorkOf(std::uint32_t library, std::uint32_t function, ByteView arguments) {
  const char* const known = LibraryFunctionName(library, function);
  if (known == nullptr || arguments.size() < 16) return {};
  const std::string_view name = known;
  switch (library) {
    case kLibraryBlas: return BlasWork(name, LibraryArguments(arguments), arguments.size() / 8 - 1);
    case kLibraryBlasLt: return name == "cublasLtMatmul" ? LtWork(arguments) : Work{};
    case kLibraryDnn:
      return name == "cudnnConvolutionForward" || name == "cudnnConvolutionBiasActivationForward" ||
                     name == "cudnnConvolutionBackwardData" || name == "cudnnConvolutionBackwardFilter"
                 ? DnnWork(arguments)
                 : Work{};
    default: return {};
  }
}

}  // namespace accelmesh
