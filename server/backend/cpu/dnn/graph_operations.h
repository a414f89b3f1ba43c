// Which operations of graphs there are: what each has, what it makes, how it is checked and run. A family's file adds
// its rows, so that an operation is known in one place.
//
// Threads: constants, made once.
#pragma once

#include <vector>

#include "server/backend/cpu/dnn/graph.h"

namespace accelmesh::cpu_dnn {

using Names = std::vector<int>;  // of attributes

struct OperationRow {
  std::uint32_t type = 0;
  // Its description, if it has one of its own.
  int description_name = 0;
  std::uint32_t description_type = 0;
  Names required;  // without these it is none: tensors, and numbers
  Names optional;
  Names made;               // the tensors that it writes
  Names numbers;            // which of the above are numbers or may be
  Names places;             // which are tensors of integers that say where, or how many, and are not computed with
  bool needs_first = true;  // of what it makes
  // Null, or why it cannot be run: what depends on no memory.
  const char* (*check)(const Graph& graph, const DnnPlanDescriptor& operation) = nullptr;
  void (*run_float)(GraphRun<float>& run, const DnnPlanDescriptor& operation) = nullptr;
  void (*run_double)(GraphRun<double>& run, const DnnPlanDescriptor& operation) = nullptr;
};

// Null if there is none.
const OperationRow* FindOperation(std::uint32_t type);
// Null, or why the operation is none that is computed; its tensors have been read.
const char* CheckOperation(const Graph& graph, const DnnPlanDescriptor& operation);
bool IsMade(const OperationRow& row, const DnnPlanDescriptor& operation, int name);
inline bool Contains(const Names& names, int name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

inline bool Has(const DnnPlanDescriptor& operation, int name) { return !operation.Find(name).empty(); }
inline i64 NumberOf(const DnnPlanDescriptor& operation, int name, i64 otherwise) {
  const auto words = operation.Find(name);
  return words.empty() ? otherwise : words[0];
}
// The descriptor that an attribute refers to, which the operation has.
inline const DnnPlanDescriptor& Refers(const Graph& graph, const DnnPlanDescriptor& operation, int name) {
  return graph.plan.descriptors[static_cast<std::size_t>(operation.Find(name)[0])];
}
// Null if the operation has no such tensor.
const GraphTensor* TensorOf(const Graph& graph, const DnnPlanDescriptor& operation, int name);

// A convolution forward, or a product, and what follows it, written to y; the caller commits it. Of products y is
// without gaps, and a dimension in front of the matrices' is as long in a and b, or 1.
struct Following;
void ConvolveForward(GraphRun<float>& run, const DnnPlanDescriptor& operation, const View<float>& y,
                     const Following& following);
void MultiplyMatrices(GraphRun<float>& run, const DnnPlanDescriptor& operation, const View<float>& y,
                      const Following& following);

void AddProducts(std::vector<OperationRow>* rows);
void AddPointwise(std::vector<OperationRow>* rows);
void AddNorms(std::vector<OperationRow>* rows);
void AddMoves(std::vector<OperationRow>* rows);
void AddResampling(std::vector<OperationRow>* rows);
void AddStatistics(std::vector<OperationRow>* rows);
void AddRandom(std::vector<OperationRow>* rows);
void AddAttention(std::vector<OperationRow>* rows);
void AddBlockScales(std::vector<OperationRow>* rows);

}  // namespace accelmesh::cpu_dnn
