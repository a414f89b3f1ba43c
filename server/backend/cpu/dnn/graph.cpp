// Operation graphs: checked, put in order, and run.
#include "server/backend/cpu/dnn/graph.h"

#include <limits>
#include <set>

#include "server/backend/cpu/dnn/graph_fusion.h"
#include "server/backend/cpu/dnn/graph_operations.h"
#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

const char* ReadTensor(const DnnPlanDescriptor& descriptor, GraphTensor* tensor) {
  const auto number = [&descriptor](int name, i64 otherwise) {
    const auto words = descriptor.Find(name);
    return words.empty() ? otherwise : words[0];
  };
  const auto dims = descriptor.Find(CUDNN_ATTR_TENSOR_DIMENSIONS), strides = descriptor.Find(CUDNN_ATTR_TENSOR_STRIDES);
  if (dims.empty() || dims.size() > kDnnDimensionsMax || strides.size() != dims.size()) return "no tensor";
  const i64 type = number(CUDNN_ATTR_TENSOR_DATA_TYPE, -1);
  tensor->uid = number(CUDNN_ATTR_TENSOR_UNIQUE_ID, 0);
  tensor->is_virtual = number(CUDNN_ATTR_TENSOR_IS_VIRTUAL, 0) != 0;
  tensor->is_value = number(CUDNN_ATTR_TENSOR_IS_BY_VALUE, 0) != 0;
  if (type < 0 || type > std::numeric_limits<std::int32_t>::max() || BitsOfType(static_cast<int>(type)) == 0)
    return "a type of tensors that the software GPU does not compute with";
  const i64 reordering = number(CUDNN_ATTR_TENSOR_REORDERING_MODE, CUDNN_TENSOR_REORDERING_NONE);
  tensor->is_tiled = reordering == CUDNN_TENSOR_REORDERING_F8_128x4;
  if (number(CUDNN_ATTR_TENSOR_VECTOR_COUNT, 1) != 1 ||
      (reordering != CUDNN_TENSOR_REORDERING_NONE && !tensor->is_tiled) ||
      (tensor->is_tiled && (dims.size() < 2 || BitsOfType(static_cast<int>(type)) != 8)))
    return "tensors of vectors, or reordered ones, are not computed with";
  if (!descriptor.Find(CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC).empty())
    return "ragged tensors (CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC) are not computed with";
  tensor->tensor.type = static_cast<std::int32_t>(type);
  tensor->tensor.rank = static_cast<std::int32_t>(dims.size());
  constexpr i64 kMost = std::numeric_limits<std::int32_t>::max(), kScratchMost = i64{1} << 29;
  i64 elements = 1;
  for (std::size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] < 1 || strides[d] < 0 || dims[d] > kMost || strides[d] > kMost || (strides[d] == 0 && dims[d] != 1))
      return "a tensor without elements, or whose strides are below 1 or too large";
    elements *= dims[d];
    if (elements > (tensor->is_virtual || tensor->is_value ? kScratchMost : kMost)) return "a tensor that is too large";
    tensor->tensor.dims[d] = static_cast<std::int32_t>(dims[d]);
    tensor->tensor.strides[d] = static_cast<std::int32_t>(strides[d]);
  }
  return nullptr;
}

// Calls visit(attribute's name, tensor) for each tensor that an operation refers to.
template <typename Visitor>
void EachTensor(const Graph& graph, const DnnPlanDescriptor& operation, const OperationRow& row, Visitor visit) {
  for (const DnnPlanAttribute& attribute : operation.attributes) {
    const int name = static_cast<int>(attribute.name);
    if (attribute.type != kDnnElementDescriptor || name == row.description_name) continue;
    for (const i64 place : attribute.words) visit(name, graph.tensors.at(place));
  }
}

// Operations behind those whose results they read. Null, or why there is no such order.
const char* Order(Graph* graph, std::vector<i64> waiting) {
  std::set<i64> unmade;
  const auto each_tensor = [&](i64 place, bool made, auto visit) {
    const DnnPlanDescriptor& operation = graph->plan.descriptors[static_cast<std::size_t>(place)];
    const OperationRow& row = *FindOperation(operation.type);
    EachTensor(*graph, operation, row, [&](int name, const GraphTensor& tensor) {
      if (IsMade(row, operation, name) == made) visit(tensor.uid);
    });
  };
  for (const i64 place : waiting) {
    bool is_new = true;
    each_tensor(place, true, [&](i64 id) { is_new = unmade.insert(id).second && is_new; });
    if (!is_new) return "a tensor that two operations make";
  }
  while (!waiting.empty()) {
    const auto ready = std::find_if(waiting.begin(), waiting.end(), [&](i64 place) {
      bool is_ready = true;
      each_tensor(place, false, [&](i64 id) { is_ready = is_ready && !unmade.contains(id); });
      return is_ready;
    });
    if (ready == waiting.end()) return "operations that wait for each other";
    each_tensor(*ready, true, [&](i64 id) { unmade.erase(id); });
    graph->order.push_back(*ready);
    waiting.erase(ready);
  }
  return nullptr;
}

// Floats have no room for every integer: for what is computed with, of 32 bits and more. Indices that a graph makes
// and does not store are no longer than a tensor's side.
bool NeedsDouble(const Graph& graph, const DnnPlanDescriptor& operation) {
  constexpr i64 kExactInFloat = i64{1} << 24;
  const OperationRow& row = *FindOperation(operation.type);
  bool needs = false;
  EachTensor(graph, operation, row, [&](int name, const GraphTensor& tensor) {
    const int type = tensor.tensor.type;
    if (type == CUDNN_DATA_DOUBLE) needs = true;
    if (!IsIntegerType(type) || BitsOfType(type) < 32 || Contains(row.places, name)) return;
    const auto sides = tensor.tensor.dims.begin();
    needs = needs || !tensor.is_virtual || *std::max_element(sides, sides + tensor.tensor.rank) > kExactInFloat;
  });
  return needs;
}

template <typename Real>
void RunAll(Context& context, const Graph& graph, const std::map<i64, std::uint64_t>& bindings) {
  GraphRun<Real> run(context, graph, bindings);
  const Fusion fusion = std::is_same_v<Real, float> ? FindFusion(graph) : Fusion{};
  for (const i64 place : graph.order) {
    const DnnPlanDescriptor& operation = run.At(place);
    const OperationRow& row = *FindOperation(operation.type);
    if constexpr (std::is_same_v<Real, double>) {
      row.run_double(run, operation);
    } else {
      if (fusion.covered.contains(place)) continue;
      const auto chain = fusion.chains.find(place);
      if (chain != fusion.chains.end()) {
        RunChain(run, chain->second, operation);
      } else {
        row.run_float(run, operation);
      }
    }
    if (context.failed()) return;
  }
}

std::vector<i64> AsWords(const std::vector<std::int32_t>& tail) {
  std::vector<i64> words(tail.size() / 2);
  if (!words.empty()) std::memcpy(words.data(), tail.data(), words.size() * sizeof(i64));
  return words;
}

void Query(Context& context) {
  std::vector<std::int32_t> tail;
  context.Arguments<DnnGraphQuery>(&tail);
  const std::vector<i64> words = AsWords(tail);
  Graph graph;
  if (const char* const why = ReadGraph(words, &graph); why != nullptr)
    return context.Refuse(CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN, why);
  const DnnGraphAnswer answer{1, 0, 0, 0};
  context.Answer(AsBytes(answer));
}

void Execute(Context& context) {
  std::vector<std::int32_t> tail;
  context.Arguments<DnnGraphExecute>(&tail);
  const std::vector<i64> plan = context.Settings(), pairs = AsWords(tail);
  Graph graph;
  if (const char* const why = ReadGraph(plan, &graph); why != nullptr) return context.Fail(kInvalidValue, why);
  std::map<i64, std::uint64_t> bindings;
  for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) bindings[pairs[i]] = static_cast<std::uint64_t>(pairs[i + 1]);
  for (const auto& [place, tensor] : graph.tensors) {
    context.Require(tensor.is_virtual || bindings.contains(tensor.uid), "a tensor that the call does not name");
  }
  // Before any runs: a result is made as large as it says, and then written.
  for (const auto& [place, tensor] : graph.tensors) {
    if (context.failed()) return;
    if (!tensor.is_virtual && !tensor.is_value) CheckElements(context, tensor, bindings.at(tensor.uid));
  }
  if (context.failed()) return;
  if (graph.is_double) {
    RunAll<double>(context, graph, bindings);
  } else {
    RunAll<float>(context, graph, bindings);
  }
}

}  // namespace

const char* ReadGraph(std::span<const i64> words, Graph* graph) {
  Result<DnnPlan> plan = ReadDnnPlan(words);
  if (!plan.ok()) return "words that are no plan";
  graph->plan = *std::move(plan);
  const DnnPlanDescriptor& last = graph->plan.descriptors.back();
  const auto operations = last.Find(CUDNN_ATTR_OPERATIONGRAPH_OPS);
  if (last.type != CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR || operations.empty()) return "no graph";
  if (graph->plan.engine != 0) return "an engine that there is none of";
  for (const DnnPlanAttribute& attribute : last.attributes) {
    if (attribute.type != kDnnElementDescriptor) return "a graph with numbers for operations";
  }
  i64 scratch = 0;
  std::map<i64, DnnTensor> by_uid;
  for (std::size_t i = 0; i < graph->plan.descriptors.size(); ++i) {
    if (graph->plan.descriptors[i].type != CUDNN_BACKEND_TENSOR_DESCRIPTOR) continue;
    GraphTensor tensor;
    if (const char* const why = ReadTensor(graph->plan.descriptors[i], &tensor); why != nullptr) return why;
    const auto [known, is_new] = by_uid.try_emplace(tensor.uid, tensor.tensor);
    if (!is_new && std::memcmp(&known->second, &tensor.tensor, sizeof(DnnTensor)) != 0)
      return "two different tensors of one unique id";
    constexpr i64 kScratchMost = i64{1} << 30;
    if (tensor.is_virtual || tensor.is_value) scratch += Elements(GraphRun<float>::ShapeOf(tensor.tensor));
    if (scratch > kScratchMost) return "virtual tensors that are too large";
    graph->tensors.emplace(static_cast<i64>(i), tensor);
  }
  for (const i64 place : operations) {
    const DnnPlanDescriptor& operation = graph->plan.descriptors[static_cast<std::size_t>(place)];
    if (const char* const why = CheckOperation(*graph, operation); why != nullptr) return why;
    graph->is_double = graph->is_double || NeedsDouble(*graph, operation);
  }
  return Order(graph, {operations.begin(), operations.end()});
}

void AddGraphs(Table& table) {
  table[kDnnFunction<DnnGraphQuery>] = &Query;
  table[kDnnFunction<DnnGraphExecute>] = &Execute;
}

}  // namespace accelmesh::cpu_dnn
