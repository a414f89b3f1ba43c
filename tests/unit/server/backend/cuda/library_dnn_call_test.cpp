// Convolutions, layers and whole tensors of cuDNN's, and what holds for all calls.
#include "tests/unit/server/backend/cuda/library_dnn_recorder.h"

namespace accelmesh::cuda {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename Words>
Words ConvolutionWords() {
  Words words;
  static_cast<DnnConvolutionCall&>(words) = {Operand(1), Operand(2), Operand(3), Convolution(), {0.5, 0.25}, 6, 8, 9};
  return words;
}

TEST_F(DnnCallTest, ConvolutionsHaveTheirArgumentsInTheirPlaces) {
  const std::string convolution = kConvolution;
  EXPECT_EQ(Called(ConvolutionWords<DnnConvolutionForward>()),
            "=0.5 T1 @1 F2 @2 " + convolution + " 6 @8 #9 =0.25 T3 @3");
  EXPECT_EQ(Called(ConvolutionWords<DnnConvolutionBackwardData>()),
            "=0.5 F2 @2 T3 @3 " + convolution + " 6 @8 #9 =0.25 T1 @1");
  EXPECT_EQ(Called(ConvolutionWords<DnnConvolutionBackwardFilter>()),
            "=0.5 T1 @1 T3 @3 " + convolution + " 6 @8 #9 =0.25 F2 @2");
  EXPECT_EQ(Called(DnnConvolutionBackwardBias{Operand(1), Operand(2), {3, 4}}), "=3 T1 @1 =4 T2 @2");
  const DnnConvolutionBiasActivation fused{
      ConvolutionWords<DnnConvolutionForward>(), Operand(4), Operand(5), {CUDNN_ACTIVATION_RELU, 1, 2.5, 1}};
  EXPECT_EQ(Called(fused), "=0.5 T1 @1 F2 @2 " + convolution + " 6 @8 #9 =0.25 T4 @4 T5 @5 A(1,1,2.5) T3 @3");
}

TEST_F(DnnCallTest, QuestionsAreOfTheirDirection) {
  const auto asked = [&](std::int64_t direction) {
    g_calls.clear();
    const DnnFindAlgorithms words{direction, Tensor(1), Tensor(2), Tensor(3), Convolution()};
    // Nothing was found.
    EXPECT_EQ(handle_->Ask(kDnnFunction<DnnFindAlgorithms>, Arguments(words)).status, CUDNN_STATUS_NOT_SUPPORTED + 0u);
    return g_calls.empty() ? "" : g_calls.front();
  };
  const std::string convolution = kConvolution;
  EXPECT_EQ(asked(0), "T1 F2 " + convolution + " T3 40 out out");
  EXPECT_EQ(asked(1), "F2 T3 " + convolution + " T1 40 out out");
  EXPECT_EQ(asked(2), "T1 T3 " + convolution + " F2 40 out out");
}

TEST_F(DnnCallTest, OfAnAlgorithmsEntriesTheDescriptorsMathIsTold) {
  library_.GetConvolutionForwardAlgorithm_v7 = [](cudnnHandle_t, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t,
                                                  cudnnConvolutionDescriptor_t, cudnnTensorDescriptor_t, int,
                                                  int* count, cudnnConvolutionFwdAlgoPerf_t* found) {
    const auto entry = [&](int algorithm, cudnnStatus_t status, std::size_t bytes, cudnnMathType_t math) {
      cudnnConvolutionFwdAlgoPerf_t& one = found[(*count)++];
      one.algo = static_cast<cudnnConvolutionFwdAlgo_t>(algorithm);
      one.status = status;
      one.memory = bytes;
      one.mathType = math;
      one.determinism = CUDNN_DETERMINISTIC;
    };
    *count = 0;
    entry(5, CUDNN_STATUS_NOT_SUPPORTED, 1, CUDNN_DEFAULT_MATH);
    entry(1, CUDNN_STATUS_SUCCESS, 100, CUDNN_TENSOR_OP_MATH);
    entry(0, CUDNN_STATUS_SUCCESS, 0, CUDNN_DEFAULT_MATH);
    entry(1, CUDNN_STATUS_SUCCESS, 50, CUDNN_DEFAULT_MATH);
    entry(0, CUDNN_STATUS_SUCCESS, 70, CUDNN_TENSOR_OP_MATH);
    return CUDNN_STATUS_SUCCESS;
  };
  DnnConvolution convolution = Convolution();
  convolution.math_type = CUDNN_DEFAULT_MATH;
  const DnnFindAlgorithms words{0, Tensor(1), Tensor(2), Tensor(3), convolution};
  const LibraryAnswer answer = handle_->Ask(kDnnFunction<DnnFindAlgorithms>, Arguments(words));
  ASSERT_EQ(answer.status, 0u);
  ASSERT_EQ(answer.results.size(), 2 * sizeof(DnnAlgorithm));
  std::array<DnnAlgorithm, 2> found;
  std::memcpy(found.data(), answer.results.data(), sizeof(found));
  EXPECT_EQ(found[0].algorithm, 1);
  EXPECT_EQ(found[0].workspace_bytes, 50u);
  EXPECT_EQ(found[0].math_type, CUDNN_DEFAULT_MATH);
  EXPECT_EQ(found[0].determinism, CUDNN_DETERMINISTIC);
  EXPECT_EQ(found[1].algorithm, 0);
  EXPECT_EQ(found[1].workspace_bytes, 0u);
}

TEST_F(DnnCallTest, LayersHaveTheirArgumentsInTheirPlaces) {
  const DnnActivation activation{CUDNN_ACTIVATION_SWISH, 0, 0, 1.5};
  EXPECT_EQ(Called(DnnActivationForward{Operand(1), Operand(2), activation, {3, 4}}), "A(6,0,0,1.5) =3 T1 @1 =4 T2 @2");
  EXPECT_EQ(Called(DnnActivationBackward{Operand(1), Operand(2), Operand(3), Operand(4), activation, {5, 6}}),
            "A(6,0,0,1.5) =5 T1 @1 T2 @2 T3 @3 =6 T4 @4");
  DnnPooling pooling{2, CUDNN_POOLING_MAX_DETERMINISTIC, 1, 0, {}, {}, {}};
  pooling.window = {2, 3};
  pooling.pads = {0, 1};
  pooling.strides = {4, 5};
  EXPECT_EQ(Called(DnnPoolingForward{Operand(1), Operand(2), pooling, {3, 4}}),
            "P2(3,1;2,0,4;3,1,5;) =3 T1 @1 =4 T2 @2");
  EXPECT_EQ(Called(DnnPoolingBackward{Operand(1), Operand(2), Operand(3), Operand(4), pooling, {5, 6}}),
            "P2(3,1;2,0,4;3,1,5;) =5 T1 @1 T2 @2 T3 @3 =6 T4 @4");
  EXPECT_EQ(Called(DnnSoftmaxForward{Operand(1), Operand(2), 2, 1, {3, 4}}), "2 1 =3 T1 @1 =4 T2 @2");
  EXPECT_EQ(Called(DnnSoftmaxBackward{Operand(1), Operand(2), Operand(3), 2, 1, {4, 5}}),
            "2 1 =4 T1 @1 T2 @2 =5 T3 @3");
}

TEST_F(DnnCallTest, BatchNormalisationsHaveTheirArgumentsInTheirPlaces) {
  EXPECT_EQ(Called(DnnBatchNormForwardTraining{
                Operand(1), Operand(2), Tensor(9), 10, 11, 12, 13, 14, 15, 1, 0.1, 0.001, {3, 4}}),
            "1 =3 =4 T1 @1 T2 @2 T9 @10 @11 ~0.1 @12 @13 ~0.001 @14 @15");
  EXPECT_EQ(Called(DnnBatchNormForwardInference{Operand(1), Operand(2), Tensor(9), 10, 11, 12, 13, 1, 0.001, {3, 4}}),
            "1 =3 =4 T1 @1 T2 @2 T9 @10 @11 @12 @13 ~0.001");
  EXPECT_EQ(Called(DnnBatchNormBackward{
                Operand(1), Operand(2), Operand(3), Tensor(9), 10, 11, 12, 13, 14, 1, 0.001, {4, 5}, {6, 7}}),
            "1 =4 =5 =6 =7 T1 @1 T2 @2 T3 @3 T9 @10 @11 @12 ~0.001 @13 @14");
}

TEST_F(DnnCallTest, WholeTensorsHaveTheirArgumentsInTheirPlaces) {
  EXPECT_EQ(Called(DnnAddTensor{Operand(1), Operand(2), {3, 4}}), "=3 T1 @1 =4 T2 @2");
  EXPECT_EQ(Called(DnnOpTensor{Operand(1), Operand(2), Operand(3), CUDNN_OP_TENSOR_MAX, 0, 1, 4, 5, 6}),
            "O(3,0,1) =4 T1 @1 =5 T2 @2 =6 T3 @3");
  EXPECT_EQ(Called(DnnOpTensor{Operand(1), {}, Operand(3), CUDNN_OP_TENSOR_SQRT, 0, 0, 4, 0, 6}),
            "O(4,0,0) =4 T1 @1 =0 T1 @1 =6 T3 @3");
  EXPECT_EQ(Called(DnnReduceTensor{Operand(1), Operand(2), CUDNN_REDUCE_TENSOR_AVG, 0, 1, {3, 4}}),
            "R(5,0,1,0) @0 #0 @4096 #640 =3 T1 @1 =4 T2 @2");
  EXPECT_EQ(Called(DnnScaleTensor{Operand(1), 2}), "T1 @1 =2");
  EXPECT_EQ(Called(DnnSetTensor{Operand(1), 2}), "T1 @1 =2");
  EXPECT_EQ(Called(DnnTransformTensor{Operand(1), Operand(2), {3, 4}}), "=3 T1 @1 =4 T2 @2");
}

TEST_F(DnnCallTest, DescriptorsSayWhatTheWordsDo) {
  DnnScaleTensor words{Operand(5), 0.1};
  words.y.tensor.type = CUDNN_DATA_DOUBLE;
  words.y.tensor.rank = 3;
  words.y.tensor.strides = {1, 5, 10};
  g_scalars_are_double = true;
  EXPECT_EQ(Called(words), "T5,2,3/1,5,10:1 @5 =0.1");
  g_scalars_are_double = false;
  words.y.tensor.type = CUDNN_DATA_HALF;
  EXPECT_EQ(Called(words), "T5,2,3/1,5,10:2 @5 =0.1");
  auto convolution = ConvolutionWords<DnnConvolutionForward>();
  convolution.w.tensor.type = CUDNN_DATA_BFLOAT16;
  convolution.w.tensor.format = CUDNN_TENSOR_NHWC;
  convolution.w.tensor.rank = 5;
  convolution.w.tensor.dims = {2, 3, 4, 5, 6};
  EXPECT_THAT(Called(convolution), HasSubstr(" F2nhwc^5:9 "));
}

TEST_F(DnnCallTest, ADescriptorIsMadeOnce) {
  static int made = 0;
  static decltype(library_.CreateTensorDescriptor) create = nullptr;
  create = library_.CreateTensorDescriptor;
  made = 0;
  library_.CreateTensorDescriptor = [](cudnnTensorDescriptor_t* descriptor) {
    ++made;
    return create(descriptor);
  };
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Called(DnnAddTensor{Operand(1), Operand(2), {}}), "=1 T1 @1 =0 T2 @2");
  EXPECT_EQ(made, 2);
  // A client that says ever new ones does not fill the memory.
  static int destroyed = 0;
  static decltype(library_.DestroyTensorDescriptor) destroy = nullptr;
  destroy = library_.DestroyTensorDescriptor;
  destroyed = 0;
  library_.DestroyTensorDescriptor = [](cudnnTensorDescriptor_t descriptor) {
    ++destroyed;
    return destroy(descriptor);
  };
  for (int i = 1; i <= 3000; ++i) ASSERT_EQ(Run(DnnScaleTensor{{Tensor(i), 1}, 2}), CUDNN_STATUS_SUCCESS);
  EXPECT_GT(destroyed, 1000);
  EXPECT_LT(made - destroyed, 1100);
  handle_->Destroy();
  EXPECT_EQ(destroyed, made);
}

TEST_F(DnnCallTest, WhatWouldBeReadPastAnEndIsNotPassed) {
  for (const std::int32_t rank : {-1, kDnnDimensionsMax + 1}) {
    DnnScaleTensor words{Operand(1), 2};
    words.y.tensor.rank = rank;
    EXPECT_EQ(Run(words), CUDNN_STATUS_BAD_PARAM);
    auto filter = ConvolutionWords<DnnConvolutionForward>();
    filter.w.tensor.rank = rank;
    EXPECT_EQ(Run(filter), CUDNN_STATUS_BAD_PARAM);
  }
  for (const std::int32_t rank : {-1, kDnnSpatialMax + 1}) {
    auto convolution = ConvolutionWords<DnnConvolutionForward>();
    convolution.convolution.rank = rank;
    EXPECT_EQ(Run(convolution), CUDNN_STATUS_BAD_PARAM);
    DnnPoolingForward pooling{Operand(1), Operand(2), {}, {}};
    pooling.pooling.rank = rank;
    EXPECT_EQ(Run(pooling), CUDNN_STATUS_BAD_PARAM);
  }
  // Numbers that the parameter's type has not.
  auto algorithm = ConvolutionWords<DnnConvolutionForward>();
  algorithm.algorithm = std::int64_t{1} << 32;
  EXPECT_EQ(Run(algorithm), CUDNN_STATUS_BAD_PARAM);
  algorithm.algorithm = 1;
  algorithm.workspace_bytes = ~std::uint64_t{0};
  EXPECT_EQ(Run(algorithm), CUDNN_STATUS_BAD_PARAM);
  // A value of the tensor's type that is none of ours.
  DnnSetTensor half{Operand(1), 2};
  half.y.tensor.type = CUDNN_DATA_HALF;
  EXPECT_EQ(Run(half), CUDNN_STATUS_BAD_PARAM);
  // What no library has as a tensor.
  DnnScaleTensor empty{Operand(1), 2};
  empty.y.tensor.dims[2] = 0;
  EXPECT_EQ(Run(empty), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(handle_->Run(9999, {}), CUDNN_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(handle_->Run(kDnnFunction<DnnFindAlgorithms>, {}), CUDNN_STATUS_NOT_SUPPORTED) << "nothing for a stream";
  EXPECT_THAT(g_calls, ElementsAre());
}

TEST(DnnLibraryTest, NvidiasHasWhatIsCalledByName) {
  ::setenv("ACCELMESH_LIBCUDNN", ACCELMESH_NVIDIAS_CUDNN, 1);
  const auto library = DnnLibrary::Load();
  ASSERT_TRUE(library.ok()) << library.status().ToString();
  EXPECT_GE((*library)->GetVersion(), 90000u);
  EXPECT_EQ((*library)->StatusName(CUDNN_STATUS_BAD_PARAM), "CUDNN_STATUS_BAD_PARAM (2000)");
  ::setenv("ACCELMESH_LIBCUDNN", "libm.so.6", 1);
  EXPECT_THAT(DnnLibrary::Load().status().text(), HasSubstr("libm.so.6 lacks cudnnCreate"));
}

}  // namespace
}  // namespace accelmesh::cuda
