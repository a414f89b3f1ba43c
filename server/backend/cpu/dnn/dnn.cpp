// The shared object's end of the border (dnn.h).
#include "server/backend/cpu/dnn.h"

#include <exception>
#include <new>

#include "server/backend/cpu/dnn/context.h"
#include "server/backend/cpu/dnn/onednn.h"
#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

const Table& Functions() {
  static const Table table = [] {
    Table all{};
    AddConvolutions(all);
    AddActivations(all);
    AddElementWise(all);
    AddReductions(all);
    AddPooling(all);
    AddSoftmax(all);
    AddBatchNorm(all);
    AddDropout(all);
    AddRecurrent(all);
    AddLrn(all);
    AddSpatial(all);
    AddCtc(all);
    AddNormalization(all);
    AddTensorTransform(all);
    AddGraphs(all);
    AddAttention(all);
    return all;
  }();
  return table;
}

void ListFunctions(std::uint32_t library, std::uint8_t* bits, std::size_t bytes) {
  if (library != kLibraryDnn) return;
  const Table& table = Functions();
  for (std::size_t i = 0; i < table.size() && i / 8 < bytes; ++i) {
    if (table[i] != nullptr) bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | 1u << (i % 8));
  }
}

void RunFunction(const cpu_blas::Call& call, cpu_blas::Outcome* outcome) {
  Context context(call, outcome);
  const Table& table = Functions();
  if (call.library != kLibraryDnn || call.function >= table.size() || table[call.function] == nullptr) {
    context.Fail(kNotSupported, "no such function");
    return;
  }
  try {
    BeginThread();
    table[call.function](context);
  } catch (const std::bad_alloc&) {
    context.Fail(kOutOfMemory, "no memory of the server's for what is computed");
  } catch (const std::exception& error) {
    context.Fail(kNotSupported, error.what());
  }
}

constexpr cpu_blas::Interface kInterface{cpu_blas::kAbi, &SetThreads, &ListFunctions, &RunFunction};

}  // namespace
}  // namespace accelmesh::cpu_dnn

extern "C" __attribute__((visibility("default"))) const accelmesh::cpu_blas::Interface* accelmesh_cpu_dnn() {
  return &accelmesh::cpu_dnn::kInterface;
}
