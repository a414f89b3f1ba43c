// Operation graphs: checked, put in order, and run.
#include "server/backend/cpu/dnn/graph.h"

#include <limits>
#include <set>

#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

// What an operation must have: its description, if it has one of its own, tensors, and numbers; and which it makes.
struct OperationRow {
  std::uint32_t type;
  int description_name;
  std::uint32_t description_type;
  std::vector<int> required;
  std::vector<int> made;
};
const std::vector<OperationRow>& Operations() {
  static const std::vector<OperationRow> rows = {
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
       CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
       {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W},
       {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y}},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
       CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
       {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W},
       {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX}},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
       CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
       {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY},
       {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW}},
      {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
       CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
       CUDNN_BACKEND_POINTWISE_DESCRIPTOR,
       {},
       {CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_ATTR_OPERATION_POINTWISE_DXDESC}},
      {CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR,
       CUDNN_ATTR_OPERATION_MATMUL_DESC,
       CUDNN_BACKEND_MATMUL_DESCRIPTOR,
       {CUDNN_ATTR_OPERATION_MATMUL_ADESC, CUDNN_ATTR_OPERATION_MATMUL_BDESC},
       {CUDNN_ATTR_OPERATION_MATMUL_CDESC}},
      {CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR,
       CUDNN_ATTR_OPERATION_REDUCTION_DESC,
       CUDNN_BACKEND_REDUCTION_DESCRIPTOR,
       {CUDNN_ATTR_OPERATION_REDUCTION_XDESC},
       {CUDNN_ATTR_OPERATION_REDUCTION_YDESC}},
      {CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR,
       0,
       0,
       {CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_ATTR_OPERATION_NORM_FWD_XDESC,
        CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC},
       {CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC,
        CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC,
        CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC}},
      {CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR,
       0,
       0,
       {CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC,
        CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC},
       {CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC,
        CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC}},
      {CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
       0,
       0,
       {CUDNN_ATTR_OPERATION_RESHAPE_XDESC},
       {CUDNN_ATTR_OPERATION_RESHAPE_YDESC}},
  };
  return rows;
}
const OperationRow* FindOperation(std::uint32_t type) {
  for (const OperationRow& row : Operations()) {
    if (row.type == type) return &row;
  }
  return nullptr;
}

bool IsMade(const OperationRow& row, const DnnPlanDescriptor& operation, int name) {
  if (std::find(row.made.begin(), row.made.end(), name) == row.made.end()) return false;
  // Statistics are read where nothing is trained.
  return (name != CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC && name != CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC) ||
         operation.Find(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE)[0] == CUDNN_NORM_FWD_TRAINING;
}

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
  switch (type) {
    case CUDNN_DATA_FLOAT:
    case CUDNN_DATA_DOUBLE:
    case CUDNN_DATA_HALF:
    case CUDNN_DATA_BFLOAT16:
    case CUDNN_DATA_INT32:
    case CUDNN_DATA_INT64: break;
    case CUDNN_DATA_BOOLEAN:
      if (tensor->is_virtual) break;
      [[fallthrough]];
    default: return "a type of tensors that the software GPU does not compute with";
  }
  if (number(CUDNN_ATTR_TENSOR_VECTOR_COUNT, 1) != 1 || number(CUDNN_ATTR_TENSOR_REORDERING_MODE, 0) != 0)
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
    if (elements > (tensor->is_virtual ? kScratchMost : kMost)) return "a tensor that is too large";
    tensor->tensor.dims[d] = static_cast<std::int32_t>(dims[d]);
    tensor->tensor.strides[d] = static_cast<std::int32_t>(strides[d]);
  }
  return nullptr;
}

// What an operation says in numbers; all else it refers to.
bool IsNumber(int name) {
  switch (name) {
    case CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA:
    case CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1:
    case CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2:
    case CUDNN_ATTR_OPERATION_NORM_FWD_MODE:
    case CUDNN_ATTR_OPERATION_NORM_FWD_PHASE:
    case CUDNN_ATTR_OPERATION_NORM_BWD_MODE:
    case CUDNN_ATTR_OPERATION_MATMUL_IRREGULARLY_STRIDED_BATCH_COUNT: return true;
    default: return false;
  }
}

// What is given but would not be looked at, or asked for but not written, is refused.
const char* CheckNormForward(const DnnPlanDescriptor& operation) {
  const auto has = [&operation](int name) { return !operation.Find(name).empty(); };
  const i64 mode = operation.Find(CUDNN_ATTR_OPERATION_NORM_FWD_MODE)[0],
            phase = operation.Find(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE)[0];
  const bool has_mean = has(CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC),
             has_inverse = has(CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC),
             makes_mean = has(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC),
             makes_variance = has(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC);
  if (mode < 0 || mode > CUDNN_RMS_NORM || mode == CUDNN_GROUP_NORM) return "a normalisation of that mode";
  if (phase != CUDNN_NORM_FWD_TRAINING && phase != CUDNN_NORM_FWD_INFERENCE) return "a normalisation of no phase";
  if (has(CUDNN_ATTR_OPERATION_NORM_FWD_PEER_STAT_DESCS)) return "a normalisation with peers' statistics";
  if (mode == CUDNN_BATCH_NORM && !(has_mean && has_inverse)) return "a batch normalisation without statistics";
  if (mode == CUDNN_RMS_NORM && has_mean) return "an RMS normalisation with a mean";
  const bool is_training = phase == CUDNN_NORM_FWD_TRAINING;
  if (!is_training && mode != CUDNN_BATCH_NORM && (has_mean || has_inverse))
    return "an inference with given statistics that is no batch normalisation";
  if (!makes_mean && !makes_variance) return nullptr;
  if (!is_training || mode == CUDNN_RMS_NORM || mode == CUDNN_LAYER_NORM)
    return "running statistics of what does not keep any";
  const bool has_old = (!makes_mean || has(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC)) &&
                       (!makes_variance || has(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC));
  return has_old && has(CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC)
             ? nullptr
             : "running statistics without a factor or the ones before";
}

bool IsReduction(const Graph& graph, const DnnPlanDescriptor& operation) {
  const auto place = static_cast<std::size_t>(operation.Find(CUDNN_ATTR_OPERATION_REDUCTION_DESC)[0]);
  const i64 reduction = graph.plan.descriptors[place].Find(CUDNN_ATTR_REDUCTION_OPERATOR)[0];
  return reduction >= CUDNN_REDUCE_TENSOR_ADD && reduction <= CUDNN_REDUCE_TENSOR_MUL_NO_ZEROS;
}

// What of an operation does not depend on others.
const char* CheckOperation(const Graph& graph, const DnnPlanDescriptor& operation) {
  const OperationRow* const row = FindOperation(operation.type);
  if (row == nullptr) return "an operation that the software GPU does not have";
  const auto lacks = [&operation](int name) { return operation.Find(name).empty(); };
  if (row->description_name != 0) {
    if (lacks(row->description_name)) return "an operation without its description";
    for (const DnnPlanAttribute& attribute : operation.attributes) {
      if (static_cast<int>(attribute.name) == row->description_name && attribute.type != kDnnElementDescriptor)
        return "an operation whose description is a number";
    }
  }
  for (const int name : row->required) {
    if (lacks(name)) return "an operation that lacks a tensor or a mode";
  }
  if (operation.type != CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR && lacks(row->made[0]))
    return "an operation without a result";
  for (const DnnPlanAttribute& attribute : operation.attributes) {
    if (attribute.type != kDnnElementDescriptor) {
      if (!IsNumber(static_cast<int>(attribute.name))) return "an operation with a number for a tensor";
      continue;
    }
    if (attribute.words.size() != 1) return "an operation that refers to several descriptors, or none";
    const bool is_description = row->description_name == static_cast<int>(attribute.name);
    const std::uint32_t wanted = is_description ? row->description_type : CUDNN_BACKEND_TENSOR_DESCRIPTOR;
    if (graph.plan.descriptors[static_cast<std::size_t>(attribute.words[0])].type != wanted)
      return "an operation that refers to a descriptor of another type";
  }
  for (const int beta : {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}) {
    if (RealOf(operation.Find(beta), 0) == 0) continue;
    const auto result = graph.tensors.find(operation.Find(row->made[0])[0]);
    if (result != graph.tensors.end() && result->second.is_virtual)
      return "a convolution that is added to a virtual tensor, which holds nothing before (its beta)";
  }
  const auto describes = [&](int name) {
    const auto place = static_cast<std::size_t>(operation.Find(row->description_name)[0]);
    return !graph.plan.descriptors[place].Find(name).empty();
  };
  switch (operation.type) {
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
      return describes(CUDNN_ATTR_POINTWISE_MODE) ? WhyNotPointwise(graph, operation)
                                                  : "a pointwise operation of no mode";
    case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR:
      return describes(CUDNN_ATTR_REDUCTION_OPERATOR) && IsReduction(graph, operation) ? nullptr : "no reduction";
    case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR: {
      const auto place = static_cast<std::size_t>(operation.Find(row->description_name)[0]);
      if (RealOf(graph.plan.descriptors[place].Find(CUDNN_ATTR_MATMUL_PADDING_VALUE), 0) != 0)
        return "a product with a padding value (CUDNN_ATTR_MATMUL_PADDING_VALUE)";
      if (const auto batches = operation.Find(CUDNN_ATTR_OPERATION_MATMUL_IRREGULARLY_STRIDED_BATCH_COUNT);
          !batches.empty() && batches[0] != 1)
        return "a product with a count of irregular batches (IRREGULARLY_STRIDED_BATCH_COUNT)";
      return lacks(CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC) &&
                     lacks(CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC) &&
                     lacks(CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC)
                 ? nullptr
                 : "a product whose sizes are overridden";
    }
    case CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR: return CheckNormForward(operation);
    case CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR: {
      const i64 mode = operation.Find(CUDNN_ATTR_OPERATION_NORM_BWD_MODE)[0];
      if (!lacks(CUDNN_ATTR_OPERATION_NORM_BWD_PEER_STAT_DESCS)) return "a normalisation with peers' statistics";
      if (mode != CUDNN_RMS_NORM && lacks(CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC))
        return "a normalisation backward without the mean";
      return mode >= 0 && mode <= CUDNN_RMS_NORM && mode != CUDNN_GROUP_NORM ? nullptr : "a normalisation of that mode";
    }
    case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR: return nullptr;
    default: {
      const auto place = static_cast<std::size_t>(operation.Find(row->description_name)[0]);
      const auto mode = graph.plan.descriptors[place].Find(CUDNN_ATTR_CONVOLUTION_CONV_MODE);
      return !mode.empty() && mode[0] == CUDNN_CROSS_CORRELATION ? nullptr
                                                                 : "a convolution whose filter is turned around";
    }
  }
}

// Operations behind those whose results they read. Null, or why there is no such order.
const char* Order(Graph* graph, std::vector<i64> waiting) {
  const auto uid = [graph](const DnnPlanAttribute& attribute) { return graph->tensors.at(attribute.words[0]).uid; };
  std::set<i64> unmade;
  const auto each_tensor = [&](i64 place, bool made, auto visit) {
    const DnnPlanDescriptor& operation = graph->plan.descriptors[static_cast<std::size_t>(place)];
    const OperationRow& row = *FindOperation(operation.type);
    for (const DnnPlanAttribute& attribute : operation.attributes) {
      if (attribute.type != kDnnElementDescriptor || static_cast<int>(attribute.name) == row.description_name) continue;
      if (IsMade(row, operation, static_cast<int>(attribute.name)) == made) visit(uid(attribute));
    }
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

template <typename Real>
void RunOperation(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  switch (operation.type) {
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: return RunPointwise(run, operation);
    case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR: return RunMatmul(run, operation);
    case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR: return RunGraphReduction(run, operation);
    case CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR: return RunNormForward(run, operation);
    case CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR: return RunNormBackward(run, operation);
    case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR: {
      const View<Real> x = run.In(operation, CUDNN_ATTR_OPERATION_RESHAPE_XDESC),
                       y = run.Out(operation, CUDNN_ATTR_OPERATION_RESHAPE_YDESC);
      run.context().Require(Elements(x.shape) == Elements(y.shape), "a shape of another number of elements");
      if (run.context().failed()) return;
      std::vector<Real> elements;
      Walk<1>(x.shape, {x.shape.strides}, [&](const Offsets<1>& at) { elements.push_back(x.data[at[0]]); });
      std::size_t i = 0;
      Walk<1>(y.shape, {y.shape.strides}, [&](const Offsets<1>& at) { y.data[at[0]] = elements[i++]; });
      return run.Commit(operation, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y);
    }
    default: return RunGraphConvolution(run, operation);
  }
}

template <typename Real>
void RunAll(Context& context, const Graph& graph, const std::map<i64, std::uint64_t>& bindings) {
  GraphRun<Real> run(context, graph, bindings);
  for (const i64 place : graph.order) {
    RunOperation(run, run.At(place));
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
  bool has_integers = false;
  std::map<i64, DnnTensor> by_uid;
  for (std::size_t i = 0; i < graph->plan.descriptors.size(); ++i) {
    if (graph->plan.descriptors[i].type != CUDNN_BACKEND_TENSOR_DESCRIPTOR) continue;
    GraphTensor tensor;
    if (const char* const why = ReadTensor(graph->plan.descriptors[i], &tensor); why != nullptr) return why;
    const auto [known, is_new] = by_uid.try_emplace(tensor.uid, tensor.tensor);
    if (!is_new && std::memcmp(&known->second, &tensor.tensor, sizeof(DnnTensor)) != 0)
      return "two different tensors of one unique id";
    graph->is_double = graph->is_double || tensor.tensor.type == CUDNN_DATA_DOUBLE;
    has_integers = has_integers || tensor.tensor.type == CUDNN_DATA_INT32 || tensor.tensor.type == CUDNN_DATA_INT64;
    graph->tensors.emplace(static_cast<i64>(i), tensor);
  }
  for (const i64 place : operations) {
    const DnnPlanDescriptor& operation = graph->plan.descriptors[static_cast<std::size_t>(place)];
    if (const char* const why = CheckOperation(*graph, operation); why != nullptr) return why;
  }
  // Floats have no room for every integer.
  graph->is_double = graph->is_double || has_integers;
  return Order(graph, {operations.begin(), operations.end()});
}

void AddGraphs(Table& table) {
  table[kDnnFunction<DnnGraphQuery>] = &Query;
  table[kDnnFunction<DnnGraphExecute>] = &Execute;
}

}  // namespace accelmesh::cpu_dnn
