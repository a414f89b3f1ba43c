// Descriptors of cuDNN's graph API. What one says is a state: the program's while it sets it, and for good once it is
// finalised, when others refer to it.
//
// Threads: as the program uses them (descriptors.h); a finalised state from any thread.
#pragma once

#include <cudnn.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "protocol/library/dnn_graph.h"

namespace accelmesh::dnn {

struct GraphState {
  using Reference = std::shared_ptr<GraphState>;
  struct Value {
    int name = 0;
    int type = 0;
    std::vector<std::int64_t> words;  // as they cross the wire; a pointer its bits, a descriptor 0
    std::vector<Reference> references;
  };
  // What a variant pack must have for a graph.
  struct Binding {
    std::int64_t uid = 0;
    std::size_t value_bytes = 0;  // of a tensor by value; 0: of an address
  };

  explicit GraphState(int of) : type(of) {}
  const Value* Find(int name) const {
    for (const Value& value : values) {
      if (value.name == name) return &value;
    }
    return nullptr;
  }
  // Of an attribute that was not set: none.
  const std::vector<std::int64_t>& Words(int name) const {
    static const std::vector<std::int64_t> none;
    const Value* const value = Find(name);
    return value == nullptr ? none : value->words;
  }
  std::int64_t Number(int name, std::int64_t otherwise = 0) const {
    const Value* const value = Find(name);
    return value == nullptr || value->words.empty() ? otherwise : value->words[0];
  }
  // The state that an attribute refers to; null if it was not set.
  Reference Refers(int name) const {
    const Value* const value = Find(name);
    return value == nullptr || value->references.empty() ? nullptr : value->references[0];
  }

  int type;
  bool is_final = false;
  std::vector<Value> values;
  // Of a finalised graph or execution plan.
  std::vector<std::int64_t> plan;
  std::vector<Binding> bindings;
};

// One pass over what a graph refers to; CUDNN_STATUS_BAD_PARAM or NOT_SUPPORTED if it is none.
cudnnStatus_t WritePlan(GraphState& graph);
// Sets the attributes that are made by finalising.
cudnnStatus_t FinalizeState(GraphState& state);
// What a server says of a graph: asked once a graph. One without a handle is the current device's.
cudnnStatus_t AskGraph(const GraphState& graph, DnnGraphAnswer* answer);
// What is wrong with a description or an operation, all of whose required attributes are set.
cudnnStatus_t CheckShapes(const GraphState& state);
// What a variant pack must have for a tensor, beside what is there already; one that is there otherwise is
// CUDNN_STATUS_BAD_PARAM.
cudnnStatus_t AddBinding(std::int64_t uid, bool is_virtual, bool is_value, std::int64_t data_type,
                         std::vector<GraphState::Binding>* bindings);
// An execution plan as text, a word a character, and back: its plan and bindings.
std::vector<std::int64_t> PlanAsText(const std::vector<std::int64_t>& plan);
cudnnStatus_t ReadPlanText(const std::vector<std::int64_t>& characters, GraphState* state);

}  // namespace accelmesh::dnn
