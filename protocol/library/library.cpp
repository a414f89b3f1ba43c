#include "protocol/library/library.h"

#include <cstdint>
#include <iterator>
#include <span>

#include "protocol/library/dnn_calls.h"
#include "protocol/library/lt_problem.h"

namespace accelmesh {
namespace {

struct Shape {
  std::uint32_t function;
  const char* name;
  std::uint32_t words;
  bool has_tail = false;  // of as many words as its first says
};

// In the order of their numbers, which may have gaps: a function that a newer library has lost keeps its own.
#define ACCELMESH_BLAS_FUNCTION(function, name, words) {function, name, words},
constexpr Shape kBlas[] = {
#include "protocol/gen_blas_functions.inc"
};
#undef ACCELMESH_BLAS_FUNCTION
#define ACCELMESH_BLASLT_FUNCTION(function, name, Words) {function, name, kLtWords<Words>},
constexpr Shape kBlasLt[] = {
#include "protocol/gen_blaslt_functions.inc"
};
#undef ACCELMESH_BLASLT_FUNCTION
#define ACCELMESH_DNN_FUNCTION(function, name, Words) {function, name, kDnnWords<Words>, kDnnHasTail<Words>},
constexpr Shape kDnn[] = {
#include "protocol/gen_dnn_functions.inc"
};
#undef ACCELMESH_DNN_FUNCTION

std::span<const Shape> FunctionsOf(std::uint32_t library) {
  switch (library) {
    case kLibraryBlas: return kBlas;
    case kLibraryBlasLt: return kBlasLt;
    case kLibraryDnn: return kDnn;
    default: return {};
  }
}

const Shape* Find(std::uint32_t library, std::uint32_t function) {
  const std::span<const Shape> all = FunctionsOf(library);
  // Mostly there are none.
  if (function >= 1 && function <= all.size() && all[function - 1].function == function) return &all[function - 1];
  for (const Shape& shape : all) {
    if (shape.function == function) return &shape;
  }
  return nullptr;
}

}  // namespace

bool IsAsked(std::uint32_t library, std::uint32_t function) {
  switch (library) {
    case kLibraryBlasLt: return function != kLtFunction<LtMatmul> && function != kLtFunction<LtTransform>;
    case kLibraryDnn:
      return function == kDnnFunction<DnnFindAlgorithms> || function == kDnnFunction<DnnDropoutSizes> ||
             function == kDnnFunction<DnnRnnSizes> || function == kDnnFunction<DnnRnnWeights> ||
             function == kDnnFunction<DnnCtcSizes> || function == kDnnFunction<DnnNormSizes> ||
             function == kDnnFunction<DnnGraphQuery> || function == kDnnFunction<DnnAttentionSizes> ||
             function == kDnnFunction<DnnAttentionWeights>;
    default: return false;
  }
}

bool IsLasting(std::uint32_t library, std::uint32_t status) {
  constexpr std::uint32_t kBlasNotSupported = 15;  // CUBLAS_STATUS_NOT_SUPPORTED
  // CUDNN_STATUS_NOT_SUPPORTED and, up to _LAYOUT, what of it is about the problem alone.
  constexpr std::uint32_t kDnnNotSupported = 3000;
  constexpr std::uint32_t kDnnNotSupportedLayout = 3004;
  if (status == 0) return true;
  if (library != kLibraryDnn) return status == kBlasNotSupported;
  return status >= kDnnNotSupported && status <= kDnnNotSupportedLayout;
}

bool HasLibraryShape(std::uint32_t library, std::uint32_t function, ByteView arguments) {
  const Shape* const shape = Find(library, function);
  if (shape == nullptr) return false;
  const std::size_t words = (1 + shape->words) * sizeof(std::uint64_t);
  if (!shape->has_tail) return arguments.size() == words;
  if (arguments.size() < words) return false;
  const auto tail = static_cast<std::uint64_t>(LibraryArguments(arguments).Word(0));
  return tail <= kDnnTailWordsMax && arguments.size() == words + tail * sizeof(std::uint64_t);
}

std::uint32_t LibraryFunctions(std::uint32_t library) {
  const std::span<const Shape> all = FunctionsOf(library);
  return all.empty() ? 0 : all.back().function + 1;
}

const char* LibraryFunctionName(std::uint32_t library, std::uint32_t function) {
  const Shape* const shape = Find(library, function);
  return shape == nullptr ? "unknown" : shape->name;
}

}  // namespace accelmesh
