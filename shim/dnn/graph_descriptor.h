// What a cudnnBackendDescriptor_t points to.
#pragma once

#include <memory>

#include "shim/dnn/graph.h"

namespace accelmesh::dnn {

struct GraphDescriptor {
  std::shared_ptr<GraphState> state;
};
inline std::shared_ptr<GraphState>& StateOf(cudnnBackendDescriptor_t descriptor) {
  return static_cast<GraphDescriptor*>(descriptor)->state;
}

}  // namespace accelmesh::dnn
