// A graph as words (protocol/library/dnn_graph.h).
#include <algorithm>
#include <map>

#include "shim/dnn/descriptors.h"
#include "shim/dnn/graph.h"
#include "shim/dnn/graph_table.h"
#include "shim/dnn/report.h"

namespace accelmesh::dnn {
namespace {

constexpr const char* kFinalize = "cudnnBackendFinalize";

std::size_t BytesOfType(std::int64_t type) {
  switch (type) {
    case CUDNN_DATA_DOUBLE:
    case CUDNN_DATA_INT64: return 8;
    case CUDNN_DATA_FLOAT:
    case CUDNN_DATA_UINT32:
    case CUDNN_DATA_INT32: return 4;
    case CUDNN_DATA_HALF:
    case CUDNN_DATA_BFLOAT16: return 2;
    default: return 1;
  }
}

class Writer {
 public:
  explicit Writer(GraphState& graph) : graph_(graph) {}
  cudnnStatus_t Write() {
    graph_.plan.assign(2, 0);
    Add(graph_);
    if (status_ != CUDNN_STATUS_SUCCESS) return status_;
    if (graph_.plan.size() > kDnnPlanWordsMax) {
      SayRefused(kFinalize, "a graph of more descriptors than one message holds");
      return CUDNN_STATUS_NOT_SUPPORTED;
    }
    graph_.plan[0] = kDnnPlanVersion | static_cast<std::int64_t>(places_.size()) << 32;
    return CUDNN_STATUS_SUCCESS;
  }

 private:
  // Its place among the descriptors. They are no deeper than graph, operation, tensor.
  std::int64_t Add(const GraphState& state) {
    if (const auto known = places_.find(&state); known != places_.end()) return known->second;
    for (const AttributeRow& row : RowsOf(state.type)) {
      if (row.need == Need::kInGraph && state.Words(row.name).empty()) {
        SayRefused(kFinalize, "a graph with an attribute left to what the library chooses, which it does not tell");
        status_ = CUDNN_STATUS_NOT_SUPPORTED;
      }
    }
    std::vector<std::int64_t> words{0};
    std::int64_t attributes = 0;
    for (const GraphState::Value& value : state.values) {
      const AttributeRow* const row = FindRow(state.type, value.name);
      if (row == nullptr || row->need == Need::kLocal || row->need == Need::kAnswer) continue;
      std::vector<std::int64_t> elements = value.words;
      for (std::size_t i = 0; i < value.references.size(); ++i) elements[i] = Add(*value.references[i]);
      words.push_back(value.name | std::int64_t{value.type} << 16 | static_cast<std::int64_t>(elements.size()) << 32);
      words.insert(words.end(), elements.begin(), elements.end());
      ++attributes;
    }
    words[0] = state.type | attributes << 32;
    graph_.plan.insert(graph_.plan.end(), words.begin(), words.end());
    if (state.type == CUDNN_BACKEND_TENSOR_DESCRIPTOR) Bind(state);
    const auto place = static_cast<std::int64_t>(places_.size());
    places_.emplace(&state, place);
    return place;
  }

  void Bind(const GraphState& tensor) {
    const cudnnStatus_t bound =
        AddBinding(tensor.Number(CUDNN_ATTR_TENSOR_UNIQUE_ID), tensor.Number(CUDNN_ATTR_TENSOR_IS_VIRTUAL) != 0,
                   tensor.Number(CUDNN_ATTR_TENSOR_IS_BY_VALUE) != 0, tensor.Number(CUDNN_ATTR_TENSOR_DATA_TYPE),
                   &graph_.bindings);
    if (bound != CUDNN_STATUS_SUCCESS) status_ = bound;
  }

  GraphState& graph_;
  std::map<const GraphState*, std::int64_t> places_;
  cudnnStatus_t status_ = CUDNN_STATUS_SUCCESS;
};

// A plan that was text: the server is asked whether it can still be run.
cudnnStatus_t ReadOldPlan(const std::vector<std::int64_t>& text, GraphState& state, std::int64_t* workspace) {
  if (const cudnnStatus_t status = ReadPlanText(text, &state); status != CUDNN_STATUS_SUCCESS) return status;
  constexpr int kPlanHandle = 400, kGraphHandle = 800;
  GraphState graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.values = {{kGraphHandle, CUDNN_TYPE_HANDLE, {state.Number(kPlanHandle)}, {}}};
  graph.plan = state.plan;
  graph.plan[1] = 0;  // every engine of a graph is asked about at once
  DnnGraphAnswer said;
  if (const cudnnStatus_t status = AskGraph(graph, &said); status != CUDNN_STATUS_SUCCESS) return status;
  *workspace = static_cast<std::int64_t>(said.workspace_bytes);
  return state.plan[1] >= 0 && state.plan[1] < said.engines ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

}  // namespace

cudnnStatus_t WritePlan(GraphState& graph) { return Writer(graph).Write(); }

cudnnStatus_t AddBinding(std::int64_t uid, bool is_virtual, bool is_value, std::int64_t data_type,
                         std::vector<GraphState::Binding>* bindings) {
  if (is_virtual) return CUDNN_STATUS_SUCCESS;
  const std::size_t bytes = is_value ? BytesOfType(data_type) : 0;
  const auto known = std::find_if(bindings->begin(), bindings->end(),
                                  [uid](const GraphState::Binding& binding) { return binding.uid == uid; });
  if (known != bindings->end()) return known->value_bytes == bytes ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
  bindings->push_back({uid, bytes});
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t FinalizeState(GraphState& state) {
  const auto answer = [&state](int name, int type, std::vector<std::int64_t> words,
                               std::vector<GraphState::Reference> references = {}) {
    state.values.push_back({name, type, std::move(words), std::move(references)});
  };
  switch (state.type) {
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR: {
      const cudnnStatus_t status = CheckShapes(state);
      for (const int name : {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS}) {
        const std::size_t sides = state.Words(CUDNN_ATTR_CONVOLUTION_DILATIONS).size();
        if (state.Words(name).empty()) answer(name, CUDNN_TYPE_INT64, std::vector<std::int64_t>(sides));
      }
      return status;
    }
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR: {
      for (const auto& operation : state.Find(CUDNN_ATTR_OPERATIONGRAPH_OPS)->references) {
        if (!IsOperation(operation->type)) return CUDNN_STATUS_BAD_PARAM;
      }
      return WritePlan(state);
    }
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR: {
      const GraphState::Reference graph = state.Refers(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
      DnnGraphAnswer said;
      if (const cudnnStatus_t status = AskGraph(*graph, &said); status != CUDNN_STATUS_SUCCESS) return status;
      std::vector<GraphState::Reference> configurations;
      for (std::int64_t index = 0; index < said.engines; ++index) {
        auto engine = std::make_shared<GraphState>(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
        engine->values = {{CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, {0}, {graph}},
                          {CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, {index}, {}}};
        auto configuration = std::make_shared<GraphState>(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
        configuration->values = {{CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, {0}, {engine}}};
        for (const auto& made : {engine, configuration}) {
          if (const cudnnStatus_t status = FinalizeState(*made); status != CUDNN_STATUS_SUCCESS) return status;
          made->is_final = true;
        }
        configurations.push_back(std::move(configuration));
      }
      std::vector<std::int64_t> places(configurations.size());
      answer(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, std::move(places),
             std::move(configurations));
      return CUDNN_STATUS_SUCCESS;
    }
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR: {
      DnnGraphAnswer said;
      const GraphState::Reference graph = state.Refers(CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
      if (const cudnnStatus_t status = AskGraph(*graph, &said); status != CUDNN_STATUS_SUCCESS) return status;
      const std::int64_t index = state.Number(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
      if (index < 0 || index >= said.engines) return CUDNN_STATUS_BAD_PARAM;
      const auto bits = [](std::uint64_t mask) {
        std::vector<std::int64_t> set;
        for (int bit = 0; bit < 64; ++bit) {
          if ((mask >> bit & 1) != 0) set.push_back(bit);
        }
        return set;
      };
      answer(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, bits(said.numerical_notes));
      answer(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, bits(said.behavior_notes));
      answer(CUDNN_ATTR_ENGINE_KNOB_INFO, CUDNN_TYPE_BACKEND_DESCRIPTOR, {});
      answer(CUDNN_ATTR_ENGINE_LAYOUT_INFO, CUDNN_TYPE_BACKEND_DESCRIPTOR, {});
      return CUDNN_STATUS_SUCCESS;
    }
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR: {
      const GraphState::Value* const knobs = state.Find(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES);
      // An engine says that it has none.
      if (knobs != nullptr && !knobs->references.empty()) return CUDNN_STATUS_BAD_PARAM;
      DnnGraphAnswer said;
      const GraphState::Reference engine = state.Refers(CUDNN_ATTR_ENGINECFG_ENGINE);
      const GraphState::Reference graph = engine->Refers(CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
      if (const cudnnStatus_t status = AskGraph(*graph, &said); status != CUDNN_STATUS_SUCCESS) return status;
      answer(CUDNN_ATTR_ENGINECFG_INTERMEDIATE_INFO, CUDNN_TYPE_BACKEND_DESCRIPTOR, {});
      answer(CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE, CUDNN_TYPE_INT64, {static_cast<std::int64_t>(said.workspace_bytes)});
      answer(CUDNN_ATTR_ENGINECFG_SHARED_MEMORY_USED, CUDNN_TYPE_INT64, {0});
      return CUDNN_STATUS_SUCCESS;
    }
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR: {
      std::int64_t workspace = 0;
      if (const GraphState::Value* const text = state.Find(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION)) {
        if (const cudnnStatus_t status = ReadOldPlan(text->words, state, &workspace); status != CUDNN_STATUS_SUCCESS)
          return status;
      } else {
        const GraphState::Reference configuration = state.Refers(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
        if (configuration == nullptr) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
        const GraphState::Reference engine = configuration->Refers(CUDNN_ATTR_ENGINECFG_ENGINE);
        const GraphState::Reference graph = engine->Refers(CUDNN_ATTR_ENGINE_OPERATION_GRAPH);
        state.plan = graph->plan;
        state.plan[1] = engine->Number(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
        state.bindings = graph->bindings;
        workspace = configuration->Number(CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE);
        answer(CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, PlanAsText(state.plan));
      }
      answer(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, {workspace});
      answer(CUDNN_ATTR_EXECUTION_PLAN_COMPUTED_INTERMEDIATE_UIDS, CUDNN_TYPE_INT64, {});
      return CUDNN_STATUS_SUCCESS;
    }
    case CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR:
      return state.Find(CUDNN_ATTR_DEVICEPROP_DEVICE_ID) != nullptr ||
                     state.Find(CUDNN_ATTR_DEVICEPROP_HANDLE) != nullptr
                 ? CUDNN_STATUS_SUCCESS
                 : CUDNN_STATUS_NOT_INITIALIZED;
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
      return state.Words(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS).size() ==
                     state.Words(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS).size()
                 ? CUDNN_STATUS_SUCCESS
                 : CUDNN_STATUS_BAD_PARAM;
    default: return CheckShapes(state);
  }
}

}  // namespace accelmesh::dnn
