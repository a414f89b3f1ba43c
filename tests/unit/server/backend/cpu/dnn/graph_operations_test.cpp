// Operations of graphs that are refused: what there is not, and attributes that nobody would look at. What those are
// that there are is in a file for each family beside this one.
#include "tests/unit/server/backend/cpu/dnn/graph_plan.h"

namespace accelmesh {
namespace {

using dnn_test::GraphCall;
using dnn_test::PlanText;

// By their names, what cuDNN has for several GPUs and for groups of experts.
TEST(CpuGraphOperations, WhatThereIsNotIsRefused) {
  for (const int type :
       {CUDNN_BACKEND_OPERATION_SIGNAL_DESCRIPTOR, CUDNN_BACKEND_OPERATION_MOE_GROUPED_MATMUL_DESCRIPTOR}) {
    GraphCall call;
    EXPECT_TRUE(call.IsRefused({call.Add(type, {})})) << type;
  }
  GraphCall call;
  const std::int64_t x = call.Make({2, 2}), y = call.Make({2, 2});
  EXPECT_TRUE(call.IsRefused({call.Add(
      CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
      {PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x), PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y),
       PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_YDESC + 1, y)})}));
}

}  // namespace
}  // namespace accelmesh
