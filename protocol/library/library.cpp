#include "protocol/library/library.h"

#include <cstdint>
#include <iterator>

namespace accelmesh {
namespace {

struct Shape {
  std::uint32_t function;
  const char* name;
  std::uint32_t words;
};

// In the order of their numbers, which may have gaps: a function that a newer library has lost keeps its own.
#define ACCELMESH_BLAS_FUNCTION(function, name, words) {function, name, words},
constexpr Shape kBlas[] = {
#include "protocol/gen_blas_functions.inc"
};
#undef ACCELMESH_BLAS_FUNCTION

const Shape* Find(std::uint32_t library, std::uint32_t function) {
  if (library != kLibraryBlas) return nullptr;
  // Mostly there are none.
  if (function >= 1 && function <= std::size(kBlas) && kBlas[function - 1].function == function)
    return &kBlas[function - 1];
  for (const Shape& shape : kBlas) {
    if (shape.function == function) return &shape;
  }
  return nullptr;
}

}  // namespace

bool HasLibraryShape(std::uint32_t library, std::uint32_t function, ByteView arguments) {
  const Shape* const shape = Find(library, function);
  return shape != nullptr && arguments.size() == (1 + shape->words) * sizeof(std::uint64_t);
}

std::uint32_t LibraryFunctions(std::uint32_t library) {
  return library == kLibraryBlas ? kBlas[std::size(kBlas) - 1].function + 1 : 0;
}

const char* LibraryFunctionName(std::uint32_t library, std::uint32_t function) {
  const Shape* const shape = Find(library, function);
  return shape == nullptr ? "unknown" : shape->name;
}

}  // namespace accelmesh
