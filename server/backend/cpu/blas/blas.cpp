// The shared object's end of the border (blas.h).
#include "server/backend/cpu/blas.h"

#include <cblas.h>

#include <exception>

#include "server/backend/cpu/blas/context.h"
#include "server/backend/cpu/blas/lt.h"
#include "server/backend/cpu/blas/table.h"

namespace accelmesh::cpu_blas {
namespace {

const Table& Functions() {
  static const Table table = [] {
    Table all{};
    AddVectors(all);
    AddMixedVectors(all);
    AddMatrixVector(all);
    AddMatrixVectorBatches(all);
    AddSquares(all);
    AddTriangles(all);
    AddProducts(all);
    AddMixedProducts(all);
    AddMatrices(all);
    AddRankK(all);
    AddMixedRankK(all);
    AddFactors(all);
    AddLeastSquares(all);
    return all;
  }();
  return table;
}

void Start(std::uint32_t threads) { openblas_set_num_threads(static_cast<int>(threads)); }

// Of no library: of nothing.
const Table& FunctionsOf(std::uint32_t library) {
  static const Table none{};
  return library == kLibraryBlas ? Functions() : none;
}

void ListFunctions(std::uint32_t library, std::uint8_t* bits, std::size_t bytes) {
  if (library == kLibraryBlasLt) return ListLtFunctions(bits, bytes);
  const Table& table = FunctionsOf(library);
  for (std::size_t i = 0; i < table.size() && i / 8 < bytes; ++i) {
    if (table[i] != nullptr) bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | 1u << (i % 8));
  }
}

// Of the call under way: the parameter that OpenBLAS did not take, by its place; 0 if there was none.
thread_local int t_refused_parameter = 0;

void RunFunction(const Call& call, Outcome* outcome) {
  Context context(call, outcome);
  const Table& table = FunctionsOf(call.library);
  const bool is_lt = call.library == kLibraryBlasLt;
  if (!is_lt && (call.function >= table.size() || table[call.function] == nullptr)) {
    context.Fail(kNotSupported, "no such function");
    return;
  }
  try {
    t_refused_parameter = 0;
    if (is_lt) {
      RunLtFunction(context, call, outcome);
    } else {
      table[call.function](context, context.arguments());
    }
    if (t_refused_parameter != 0)
      context.Fail(kInvalidValue, "OpenBLAS does not take parameter " + std::to_string(t_refused_parameter));
  } catch (const std::exception&) {
    context.Fail(kOutOfMemory, "no memory of the server's for what is summed");
  }
}

constexpr Interface kInterface{kAbi, &Start, &ListFunctions, &RunFunction};

}  // namespace
}  // namespace accelmesh::cpu_blas

// OpenBLAS calls this instead of its own, which prints and lets the call pass for done.
extern "C" __attribute__((visibility("default"))) int xerbla_(const char* /*function*/, const int* parameter,
                                                              int /*length*/) {
  accelmesh::cpu_blas::t_refused_parameter = *parameter;
  return 0;
}

extern "C" __attribute__((visibility("default"))) const accelmesh::cpu_blas::Interface* accelmesh_cpu_blas() {
  return &accelmesh::cpu_blas::kInterface;
}
