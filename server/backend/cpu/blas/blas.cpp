// The shared object's end of the border (blas.h).
#include "server/backend/cpu/blas.h"

#include <cblas.h>

#include <exception>

#include "server/backend/cpu/blas/context.h"
#include "server/backend/cpu/blas/table.h"

namespace accelmesh::cpu_blas {
namespace {

const Table& Functions() {
  static const Table table = [] {
    Table all{};
    AddProducts(all);
    AddMixedProducts(all);
    AddVectors(all);
    AddMatrices(all);
    return all;
  }();
  return table;
}

void Start(std::uint32_t threads) { openblas_set_num_threads(static_cast<int>(threads)); }

void ListFunctions(std::uint8_t* bits, std::size_t bytes) {
  const Table& table = Functions();
  for (std::size_t i = 0; i < table.size() && i / 8 < bytes; ++i) {
    if (table[i] != nullptr) bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | 1u << (i % 8));
  }
}

void RunFunction(const Call& call, Outcome* outcome) {
  Context context(call, outcome);
  const Table& table = Functions();
  if (call.function >= table.size() || table[call.function] == nullptr) {
    context.Fail(kNotSupported, "no such function");
    return;
  }
  try {
    table[call.function](context, context.arguments());
  } catch (const std::exception&) {
    context.Fail(kOutOfMemory, "no memory of the server's for what is summed");
  }
}

constexpr Interface kInterface{kAbi, &Start, &ListFunctions, &RunFunction};

}  // namespace
}  // namespace accelmesh::cpu_blas

extern "C" __attribute__((visibility("default"))) const accelmesh::cpu_blas::Interface* accelmesh_cpu_blas() {
  return &accelmesh::cpu_blas::kInterface;
}
