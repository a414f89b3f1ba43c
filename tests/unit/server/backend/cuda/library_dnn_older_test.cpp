// Layers of cuDNN's older interface.
#include "tests/unit/server/backend/cuda/library_dnn_recorder.h"

namespace accelmesh::cuda {
namespace {

using ::testing::ElementsAre;

TEST_F(DnnCallTest, OlderLayersHaveTheirArgumentsInTheirPlaces) {
  if (kDnnFunction<DnnLrnForward> == 0 || kDnnFunction<DnnSamplerForward> == 0 || kDnnFunction<DnnIm2Col> == 0)
    GTEST_SKIP() << "not all of them are on the wire yet";
  const DnnLrn lrn{5, 0.25, 0.75, 2};
  EXPECT_EQ(Called(DnnLrnForward{Operand(1), Operand(2), lrn, {3, 4}}), "L(5,0.25,0.75,2) 0 =3 T1 @1 =4 T2 @2");
  EXPECT_EQ(Called(DnnLrnBackward{Operand(1), Operand(2), Operand(3), Operand(4), lrn, {5, 6}}),
            "L(5,0.25,0.75,2) 0 =5 T1 @1 T2 @2 T3 @3 =6 T4 @4");
  EXPECT_EQ(Called(DnnDivisiveForward{Operand(1), Operand(2), 3, 4, 5, lrn, {6, 7}}),
            "L(5,0.25,0.75,2) 0 =6 T1 @1 @3 @4 @5 =7 T2 @2");
  EXPECT_EQ(Called(DnnDivisiveBackward{Operand(1), Operand(2), 3, 4, 5, 6, 7, lrn, {8, 9}}),
            "L(5,0.25,0.75,2) 0 =8 T1 @1 @3 @4 @5 @6 =9 T2 @2 @7");
  DnnSpatialTransformer transformer;
  transformer.rank = 4;
  transformer.dims = {2, 3, 4, 5};
  EXPECT_EQ(Called(DnnGridForward{transformer, 1, 2}), "ST @1 @2");
  EXPECT_EQ(Called(DnnGridBackward{transformer, 1, 2}), "ST @1 @2");
  EXPECT_EQ(Called(DnnSamplerForward{transformer, Operand(1), Operand(2), 3, {4, 5}}), "ST =4 T1 @1 @3 =5 T2 @2");
  EXPECT_EQ(Called(DnnSamplerBackward{transformer, Operand(1), Operand(2), Operand(3), 4, 5, {6, 7}, {8, 9}}),
            "ST =6 T1 @1 =7 T2 @2 =8 T3 @3 @4 =9 @5");
  transformer.rank = kDnnDimensionsMax + 1;
  EXPECT_EQ(Run(DnnGridForward{transformer, 1, 2}), CUDNN_STATUS_BAD_PARAM);
  DnnTransform transform;
  transform.rank = 4;
  transform.format = CUDNN_TENSOR_NHWC;
  transform.before = {0, 1, 2, 3};
  transform.after = {0, 4, 5, 6};
  EXPECT_EQ(Called(DnnTransformEx{Operand(1), Operand(2), transform, {3, 4}}),
            "X(1,0;0,0;1,4;2,5;3,6) =3 T1 @1 =4 T2 @2");
  EXPECT_EQ(Called(DnnTransformFilter{Operand(1), Operand(2), transform, {3, 4}}),
            "X(1,0;0,0;1,4;2,5;3,6) =3 F1 @1 =4 F2 @2");
  EXPECT_EQ(Called(DnnIm2Col{Operand(1), Tensor(2), Convolution(), 3}),
            "T1 @1 F2 " + std::string(kConvolution) + " @3");
}

TEST_F(DnnCallTest, CtcLossesHaveTheHostsNumbers) {
  if (kDnnFunction<DnnCtcLoss> == 0) GTEST_SKIP() << "CTC loss is not on the wire yet";
  DnnTensor probabilities = Tensor(7);
  probabilities.dims = {7, 2, 3, 4};
  DnnCtcLoss words;
  words.algorithm = CUDNN_CTC_LOSS_ALGO_NON_DETERMINISTIC;
  words.ctc = {CUDNN_DATA_FLOAT, CUDNN_LOSS_NORMALIZATION_SOFTMAX, 0, 5};
  words.probabilities = {probabilities, 1};
  words.gradients = Operand(2);
  words.costs = 3;
  words.workspace = {4, 5};
  const auto run = [&](const std::vector<std::int32_t>& tail) {
    Bytes arguments = Arguments(words);
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(tail.data());
    arguments.insert(arguments.end(), bytes, bytes + tail.size() * sizeof(tail[0]));
    g_calls.clear();
    return handle_->Run(kDnnFunction<DnnCtcLoss>, arguments);
  };
  g_numbers = 2;
  EXPECT_EQ(run({1, 2, 7, 6, 11, 12, 13, 0}), CUDNN_STATUS_SUCCESS);
  EXPECT_THAT(g_calls, ElementsAre("T7 @1 [11,12,] [1,2,] [7,6,] @3 T2 @2 1 CTC(0,1,0,5) @4 #5"));
  words.gradients = {};
  EXPECT_EQ(run({1, 2, 7, 6, 11, 12, 13, 0}), CUDNN_STATUS_SUCCESS);
  EXPECT_THAT(g_calls, ElementsAre("T7 @1 [11,12,] [1,2,] [7,6,] @3 T- @0 1 CTC(0,1,0,5) @4 #5"));
  // Fewer numbers than the library would read.
  for (const std::vector<std::int32_t>& tail :
       std::vector<std::vector<std::int32_t>>{{}, {1, 2, 7}, {1, 2, 7, 6, 11, 12}, {-1, 2, 7, 6, 11, 12}})
    EXPECT_EQ(run(tail), CUDNN_STATUS_BAD_PARAM);
  words.probabilities.tensor.dims[1] = -2;
  EXPECT_EQ(run({1, 2, 7, 6, 11, 12, 13, 0}), CUDNN_STATUS_BAD_PARAM);
  words.probabilities.tensor = probabilities;
  words.is_version_8 = 1;
  words.labels = 6;
  words.label_lengths = 7;
  words.input_lengths = 8;
  EXPECT_EQ(run({}), CUDNN_STATUS_SUCCESS);
  EXPECT_THAT(g_calls, ElementsAre("1 CTC(0,1,0,5) T7 @1 @6 @7 @8 @3 T- @0 #5 @4"));

  DnnCtcSizes sizes{probabilities, {}, words.ctc, 1, 0, 3};
  g_calls.clear();
  EXPECT_EQ(handle_->Ask(kDnnFunction<DnnCtcSizes>, Arguments(sizes)).status, 0u);
  EXPECT_THAT(g_calls, ElementsAre("T7 T- [1,1,] [3,3,] [7,7,] 1 CTC(0,1,0,5) out"));
  sizes.label_length_max = std::int64_t{1} << 40;
  EXPECT_EQ(handle_->Ask(kDnnFunction<DnnCtcSizes>, Arguments(sizes)).status, CUDNN_STATUS_BAD_PARAM + 0u);
  sizes.is_version_8 = 1;
  g_calls.clear();
  EXPECT_EQ(handle_->Ask(kDnnFunction<DnnCtcSizes>, Arguments(sizes)).status, 0u);
  EXPECT_THAT(g_calls, ElementsAre("1 CTC(0,1,0,5) T7 T- out"));
}

}  // namespace
}  // namespace accelmesh::cuda
