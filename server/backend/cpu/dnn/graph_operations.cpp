#include "server/backend/cpu/dnn/graph_operations.h"

namespace accelmesh::cpu_dnn {
namespace {

const std::vector<OperationRow>& Operations() {
  static const std::vector<OperationRow> all = [] {
    std::vector<OperationRow> rows;
    AddProducts(&rows);
    AddPointwise(&rows);
    AddNorms(&rows);
    AddMoves(&rows);
    AddResampling(&rows);
    AddStatistics(&rows);
    AddRandom(&rows);
    AddAttention(&rows);
    AddBlockScales(&rows);
    return rows;
  }();
  return all;
}

// By name what cuDNN has and this has not.
const char* WhyNone(std::uint32_t type) {
  switch (type) {
    case CUDNN_BACKEND_OPERATION_SIGNAL_DESCRIPTOR:
      return "signals between GPUs (OPERATION_SIGNAL): a graph runs on one software GPU";
    case CUDNN_BACKEND_OPERATION_MOE_GROUPED_MATMUL_DESCRIPTOR:
      return "products of groups of experts (OPERATION_MOE_GROUPED_MATMUL)";
    default: return "an operation that the software GPU does not have";
  }
}

// Whether the attribute's words are what the row says: numbers, or places of descriptors of the right type.
const char* CheckAttribute(const Graph& graph, const OperationRow& row, const DnnPlanAttribute& attribute) {
  const int name = static_cast<int>(attribute.name);
  const bool is_description = row.description_name == name;
  if (!is_description && !Contains(row.required, name) && !Contains(row.optional, name) && !Contains(row.made, name))
    return "an operation with an attribute that the software GPU does not know";
  if (attribute.words.empty()) return "an operation with an attribute that is empty";
  if (attribute.type != kDnnElementDescriptor) {
    if (is_description) return "an operation whose description is a number";
    return Contains(row.numbers, name) ? nullptr : "an operation with a number for a tensor";
  }
  const bool may_be_many = name == CUDNN_ATTR_OPERATION_CONCAT_INPUT_DESCS;
  if (attribute.words.size() != 1 && !may_be_many) return "an operation that refers to several descriptors";
  const std::uint32_t wanted = is_description ? row.description_type : CUDNN_BACKEND_TENSOR_DESCRIPTOR;
  for (const i64 place : attribute.words) {
    if (graph.plan.descriptors[static_cast<std::size_t>(place)].type != wanted)
      return "an operation that refers to a descriptor of another type";
  }
  return nullptr;
}

}  // namespace

const OperationRow* FindOperation(std::uint32_t type) {
  for (const OperationRow& row : Operations()) {
    if (row.type == type) return &row;
  }
  return nullptr;
}

bool IsMade(const OperationRow& row, const DnnPlanDescriptor& operation, int name) {
  if (!Contains(row.made, name)) return false;
  // Statistics are read where nothing is trained.
  return (name != CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC && name != CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC) ||
         operation.Find(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE)[0] == CUDNN_NORM_FWD_TRAINING;
}

const GraphTensor* TensorOf(const Graph& graph, const DnnPlanDescriptor& operation, int name) {
  for (const DnnPlanAttribute& attribute : operation.attributes) {
    if (static_cast<int>(attribute.name) != name || attribute.type != kDnnElementDescriptor) continue;
    const auto found = graph.tensors.find(attribute.words[0]);
    return found == graph.tensors.end() ? nullptr : &found->second;
  }
  return nullptr;
}

const char* CheckOperation(const Graph& graph, const DnnPlanDescriptor& operation) {
  const OperationRow* const row = FindOperation(operation.type);
  if (row == nullptr) return WhyNone(operation.type);
  if (row->description_name != 0 && !Has(operation, row->description_name))
    return "an operation without its description";
  for (const int name : row->required) {
    if (!Has(operation, name)) return "an operation that lacks a tensor or a mode";
  }
  if (row->needs_first && !Has(operation, row->made[0])) return "an operation without a result";
  for (const DnnPlanAttribute& attribute : operation.attributes) {
    if (const char* const why = CheckAttribute(graph, *row, attribute); why != nullptr) return why;
  }
  return row->check == nullptr ? nullptr : row->check(graph, operation);
}

}  // namespace accelmesh::cpu_dnn
