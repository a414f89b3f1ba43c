// Words of graphs as descriptors of NVIDIA's cuDNN, which opens without a GPU and takes each but that of the graph,
// whose handle would be a device's.
#include "server/backend/cuda/library_dnn_graph.h"
#include "tests/unit/protocol/library/plan_words.h"
#include "tests/unit/server/backend/cuda/library_dnn_recorder.h"

namespace accelmesh::cuda {
namespace {

using Attributes = std::vector<PlanWords::Attribute>;

class GraphPlanTest : public DnnCallTest {
 protected:
  // Why there is no plan.
  std::string Refusal(const Bytes& plan) {
    std::vector<std::int64_t> words(plan.size() / sizeof(std::int64_t));
    std::memcpy(words.data(), plan.data(), plan.size());
    GraphRefusal refusal;
    GraphNote note;
    EXPECT_EQ(GraphPlan::Make(library_, nullptr, words, &note, &refusal), nullptr);
    EXPECT_TRUE(note.engine == -1 && note.text.empty()) << "nothing of it is remembered";
    EXPECT_NE(refusal.status, CUDNN_STATUS_SUCCESS);
    return refusal.why;
  }
  static std::int64_t BitsOf(double value) { return std::bit_cast<std::int64_t>(value); }
  // Of four dimensions.
  static std::int64_t Image(PlanWords* plan, std::int64_t uid, const PlanWords::Words& dims) {
    PlanWords::Words strides{dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1};
    return plan->Add(CUDNN_BACKEND_TENSOR_DESCRIPTOR,
                     {{CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT}},
                      {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, dims},
                      {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides},
                      {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, {16}},
                      {CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, {0}},
                      {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, {uid}}});
  }
};

// The library has taken every descriptor before it.
constexpr const char* kOnlyTheGraph = "a descriptor of type 15: ";

TEST_F(GraphPlanTest, EveryTypeOfElementsIsWhatTheLibraryReads) {
  PlanWords pointwise;  // booleans, floats, enumerators
  const std::int64_t x = pointwise.Row(1, 4), value = pointwise.Value(2), between = pointwise.Virtual(3, 4);
  const std::int64_t multiply = pointwise.Pointwise(CUDNN_POINTWISE_MUL, x, value, between);
  EXPECT_THAT(Refusal(pointwise.Graph(
                  {multiply, pointwise.Pointwise(CUDNN_POINTWISE_RELU_FWD, between, -1, pointwise.Row(4, 4))})),
              ::testing::StartsWith(kOnlyTheGraph));

  PlanWords convolution;  // several numbers, doubles
  const std::int64_t image = Image(&convolution, 1, {1, 2, 4, 4}), filter = Image(&convolution, 2, {3, 2, 3, 3}),
                     result = Image(&convolution, 3, {1, 3, 4, 4});
  const std::int64_t description = convolution.Add(
      CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
      Attributes{{CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT}},
                 {CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, {CUDNN_CROSS_CORRELATION}},
                 {CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, {2}},
                 {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, {1, 1}},
                 {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, {1, 1}},
                 {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, {1, 1}},
                 {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, {1, 1}}});
  const std::int64_t operation =
      convolution.Add(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                      Attributes{PlanWords::Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, description),
                                 PlanWords::Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, image),
                                 PlanWords::Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, filter),
                                 PlanWords::Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, result),
                                 {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_DOUBLE, {BitsOf(1)}},
                                 {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, {BitsOf(0)}}});
  EXPECT_THAT(Refusal(convolution.Graph({operation})), ::testing::StartsWith(kOnlyTheGraph));

  PlanWords pooling;  // fractions
  const std::int64_t window = pooling.Add(
      CUDNN_BACKEND_RESAMPLE_DESCRIPTOR,
      Attributes{{CUDNN_ATTR_RESAMPLE_MODE, CUDNN_TYPE_RESAMPLE_MODE, {CUDNN_RESAMPLE_AVGPOOL_INCLUDE_PADDING}},
                 {CUDNN_ATTR_RESAMPLE_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT}},
                 {CUDNN_ATTR_RESAMPLE_NAN_PROPAGATION, 10, {0}},
                 {CUDNN_ATTR_RESAMPLE_PADDING_MODE, CUDNN_TYPE_PADDING_MODE, {CUDNN_ZERO_PAD}},
                 {CUDNN_ATTR_RESAMPLE_SPATIAL_DIMS, CUDNN_TYPE_INT64, {2}},
                 {CUDNN_ATTR_RESAMPLE_WINDOW_DIMS, CUDNN_TYPE_FRACTION, {2, 1, 2, 1}},
                 {CUDNN_ATTR_RESAMPLE_STRIDES, CUDNN_TYPE_FRACTION, {2, 1, 2, 1}},
                 {CUDNN_ATTR_RESAMPLE_PRE_PADDINGS, CUDNN_TYPE_FRACTION, {0, 1, 0, 1}},
                 {CUDNN_ATTR_RESAMPLE_POST_PADDINGS, CUDNN_TYPE_FRACTION, {0, 1, 0, 1}}});
  const std::int64_t pool = pooling.Add(
      CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR,
      Attributes{PlanWords::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC, window),
                 PlanWords::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC, Image(&pooling, 1, {1, 2, 4, 4})),
                 PlanWords::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC, Image(&pooling, 2, {1, 2, 2, 2})),
                 {CUDNN_ATTR_OPERATION_RESAMPLE_FWD_ALPHA, CUDNN_TYPE_DOUBLE, {BitsOf(1)}},
                 {CUDNN_ATTR_OPERATION_RESAMPLE_FWD_BETA, CUDNN_TYPE_DOUBLE, {BitsOf(0)}}});
  EXPECT_THAT(Refusal(pooling.Graph({pool})), ::testing::StartsWith(kOnlyTheGraph));
}

TEST_F(GraphPlanTest, TheLibrarysRefusalNamesWhatItRefuses) {
  PlanWords unknown;
  const std::int64_t x = unknown.Row(1, 4, {{9999, CUDNN_TYPE_INT64, {1}}});
  EXPECT_THAT(Refusal(unknown.Graph({unknown.Pointwise(CUDNN_POINTWISE_RELU_FWD, x, -1, unknown.Row(2, 4))})),
              ::testing::StartsWith("attribute 9999 of a descriptor of type 17: CUDNN_STATUS_"));
  PlanWords empty;
  const std::int64_t nothing = empty.Add(CUDNN_BACKEND_TENSOR_DESCRIPTOR, {});
  EXPECT_THAT(Refusal(empty.Graph({nothing})), ::testing::StartsWith("a descriptor of type 17: CUDNN_STATUS_"));
  PlanWords odd;
  odd.Add(CUDNN_BACKEND_RESAMPLE_DESCRIPTOR, {{CUDNN_ATTR_RESAMPLE_STRIDES, CUDNN_TYPE_FRACTION, {2, 1, 2}}});
  EXPECT_THAT(Refusal(odd.Graph({0})), ::testing::HasSubstr("is not a client's to say"));
}

}  // namespace
}  // namespace accelmesh::cuda
