#include "scheduler/core/measure.h"

namespace accelmesh::scheduler {
namespace {

constexpr std::array<std::string_view, kOperations> kOperationNames = {"matmul", "convolution"};
constexpr std::array<std::string_view, kNumberTypes> kNumberTypeNames = {"int8", "fp16", "bf16", "fp32", "fp64"};

template <typename T, std::size_t N>
std::optional<T> Find(const std::array<std::string_view, N>& names, std::string_view name) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == name) return static_cast<T>(i);
  }
  return std::nullopt;
}

}  // namespace

std::string_view Name(Operation operation) { return kOperationNames[static_cast<std::size_t>(operation)]; }
std::string_view Name(NumberType type) { return kNumberTypeNames[static_cast<std::size_t>(type)]; }
std::optional<Operation> FindOperation(std::string_view name) { return Find<Operation>(kOperationNames, name); }
std::optional<NumberType> FindNumberType(std::string_view name) { return Find<NumberType>(kNumberTypeNames, name); }

}  // namespace accelmesh::scheduler
