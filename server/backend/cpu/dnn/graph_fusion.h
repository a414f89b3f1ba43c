// Convolutions and products whose result is moved, added to and activated before anybody else sees it: computed by one
// primitive, and ReLU in its place.
//
// The result differs by the rounding of floats only: sums are taken in another order.
#pragma once

#include <map>
#include <set>

#include "server/backend/cpu/dnn/convolution.h"
#include "server/backend/cpu/dnn/graph_operations.h"

namespace accelmesh::cpu_dnn {

// A convolution forward, or a product, and what follows it; 0 and more are places of operations and tensors, -1: there
// is none.
struct Chain {
  i64 first = -1;
  i64 bias = -1;   // the tensor: one number a channel, or a column
  i64 added = -1;  // the tensor: as large as the result
  Following following;
  bool is_relu = false;  // at last; below 0 with this slope
  float slope = 0;
};
struct Fusion {
  std::map<i64, Chain> chains;  // by the last operation, in whose place they run
  std::set<i64> covered;        // the operations before it
};
// Of a graph of floats whose operations are in order.
Fusion FindFusion(const Graph& graph);
// Runs a chain; `last` makes its result.
void RunChain(GraphRun<float>& run, const Chain& chain, const DnnPlanDescriptor& last);

}  // namespace accelmesh::cpu_dnn
