// Dropout and recurrent networks of cuDNN's.
#include "tests/unit/server/backend/cuda/library_dnn_recorder.h"

#include <limits>

namespace accelmesh::cuda {
namespace {

using ::testing::ElementsAre;

DnnRnn Lstm() {
  DnnRnn rnn;
  rnn.algorithm = CUDNN_RNN_ALGO_STANDARD;
  rnn.cell = CUDNN_LSTM;
  rnn.bias = CUDNN_RNN_SINGLE_INP_BIAS;
  rnn.direction = CUDNN_BIDIRECTIONAL;
  rnn.input = CUDNN_LINEAR_INPUT;
  rnn.type = rnn.math_precision = CUDNN_DATA_FLOAT;
  rnn.math_type = CUDNN_DEFAULT_MATH;
  rnn.input_size = 5;
  rnn.hidden_size = 6;
  rnn.projection_size = 4;
  rnn.layers = 3;
  rnn.flags = CUDNN_RNN_PADDED_IO_ENABLED;
  rnn.clip_mode = CUDNN_RNN_CLIP_MINMAX;
  rnn.clip_low = -0.5;
  rnn.clip_high = 1.5;
  rnn.dropout = {0.25, 77, 88, 99};
  return rnn;
}
constexpr const char* kLstm = "N(0,2,1,1,0,0,0,0;5,6,4,3;1;-0.5,1.5)";

TEST_F(DnnCallTest, NetworksSayWhatTheWordsDo) {
  DnnCall call(library_, handle_.get());
  EXPECT_EQ(Text(call.Network(Lstm(), 2)), kLstm);
  EXPECT_EQ(g_dropout, "restore ~0.25 @77 #88 #99");
  DnnRnn gru = Lstm();
  gru.cell = CUDNN_GRU;
  gru.projection_size = gru.hidden_size;
  gru.clip_mode = CUDNN_RNN_CLIP_NONE;
  gru.dropout = {};
  EXPECT_EQ(Text(call.Network(gru, 2)), "N(0,3,1,1,0,0,0,0;5,6,6,3;1)");
  EXPECT_EQ(g_dropout, "set ~0 @0 #0 #0") << "without states there is nothing to restore";
  const std::array<std::int32_t, 4> lengths{7, 3, 2, 0};
  const DnnSequences sequences{CUDNN_DATA_FLOAT, CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED, 7, 3, 9, 1, 0.5, 64};
  EXPECT_EQ(Text(call.Sequences(sequences, lengths)), "S(0,2,7,9;7,3,2,0.5)");
  EXPECT_EQ(call.status(), CUDNN_STATUS_SUCCESS);
  // Seeding is what initialises.
  EXPECT_EQ(call.Seed({0.5, 1024, 64, 3}), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(g_dropout, "set ~0.5 @1024 #64 #3");
  // More sequences than there are lengths.
  DnnSequences more = sequences;
  more.batch = 5;
  EXPECT_EQ(call.Sequences(more, lengths), nullptr);
  EXPECT_EQ(call.status(), CUDNN_STATUS_BAD_PARAM);
}

TEST_F(DnnCallTest, NetworksHaveTheirArgumentsInTheirPlaces) {
  if (kDnnFunction<DnnRnnForward> == 0) GTEST_SKIP() << "recurrent networks are not on the wire yet";
  const std::array<std::int32_t, 2> lengths{7, 3};
  const auto called = [&](const auto& words) {
    constexpr std::uint32_t kFunction = kDnnFunction<std::remove_cvref_t<decltype(words)>>;
    Bytes arguments = Arguments(words);
    const ByteView tail = AsBytes(lengths);
    arguments.insert(arguments.end(), tail.begin(), tail.end());
    g_calls.clear();
    EXPECT_EQ(handle_->Run(kFunction, arguments), CUDNN_STATUS_SUCCESS);
    handle_->Learn(kFunction, arguments);
    EXPECT_FALSE(handle_->Knows(kFunction, arguments)) << "it may wait each time";
    return g_calls.empty() ? "" : g_calls.front();
  };
  const DnnSequences x{CUDNN_DATA_FLOAT, 0, 7, 2, 5, 0, 0, 1}, y{CUDNN_DATA_FLOAT, 0, 7, 2, 8, 0, 0, 2};
  const std::string from = "S(0,0,7,5;7,3,0)", to = "S(0,0,7,8;7,3,0)", hidden = "T6,2,4/8,4,1",
                    cells = "T6,2,6/12,6,1", network = kLstm;
  EXPECT_EQ(
      called(DnnRnnForward{1, 1, Lstm(), x, y, 3, 4, 5, 6, {7, 70}, {8, 80}, {9, 90}}),
      network + " 1 - " + from + " @1 " + to + " @2 " + hidden + " @3 @4 " + cells + " @5 @6 #70 @7 #80 @8 #90 @9");
  EXPECT_EQ(called(DnnRnnBackwardData{1, Lstm(), y, 3, x, 4, 5, 6, 7, 8, 9, {10, 70}, {11, 80}, {12, 90}}),
            network + " - " + to + " @2 @3 " + from + " @1 " + hidden + " @4 @5 @6 " + cells +
                " @7 @8 @9 #70 @10 #80 @11 #90 @12");
  EXPECT_EQ(called(DnnRnnBackwardWeights{1, 0, Lstm(), x, y, 3, {4, 70}, {5, 80}, {6, 90}}),
            network + " 0 - " + from + " @1 " + hidden + " @3 " + to + " @2 #70 @4 #80 @5 #90 @6");
}

TEST_F(DnnCallTest, WhatNetworksNeedIsAskedOfTheLibrary) {
  if (kDnnFunction<DnnRnnSizes> == 0) GTEST_SKIP() << "recurrent networks are not on the wire yet";
  library_.GetRNNTempSpaceSizes = [](cudnnHandle_t, cudnnRNNDescriptor_t network, cudnnForwardMode_t mode,
                                     cudnnRNNDataDescriptor_t data, std::size_t* workspace, std::size_t* reserve) {
    g_calls = {Text(network) + " " + Text(mode) + " " + Text(data)};
    *workspace = 123;
    *reserve = 456;
    return CUDNN_STATUS_SUCCESS;
  };
  DnnRnnSizes sizes{Lstm(), 1, CUDNN_DATA_FLOAT, 7, 3};
  sizes.rnn.dropout = {0.25, 0, 0, 0};
  LibraryAnswer answer = handle_->Ask(kDnnFunction<DnnRnnSizes>, Arguments(sizes));
  ASSERT_EQ(answer.status, 0u);
  ASSERT_EQ(answer.results.size(), sizeof(DnnRnnBytes));
  DnnRnnBytes bytes;
  std::memcpy(&bytes, answer.results.data(), sizeof(bytes));
  EXPECT_EQ(bytes.workspace, 123u);
  EXPECT_EQ(bytes.reserve, 456u);
  EXPECT_THAT(g_calls, ElementsAre(std::string(kLstm) + " 1 S(0,0,7,5;7,7,7,0)"));
  EXPECT_EQ(g_dropout, "set ~0.25 @0 #0 #0");
  for (const std::int32_t batch : {0, -1, std::numeric_limits<std::int32_t>::max()}) {
    sizes.batch = batch;
    EXPECT_EQ(handle_->Ask(kDnnFunction<DnnRnnSizes>, Arguments(sizes)).status, CUDNN_STATUS_BAD_PARAM + 0u);
  }

  library_.GetRNNWeightSpaceSize = [](cudnnHandle_t, cudnnRNNDescriptor_t, std::size_t* all) {
    *all = 1000;
    return CUDNN_STATUS_SUCCESS;
  };
  library_.GetRNNWeightParams = [](cudnnHandle_t, cudnnRNNDescriptor_t, int layer, std::size_t all, const void* begin,
                                   int id, cudnnTensorDescriptor_t matrix_shape, void** matrix,
                                   cudnnTensorDescriptor_t bias_shape, void** bias) {
    EXPECT_EQ(layer, 4);
    EXPECT_EQ(all, 1000u);
    EXPECT_NE(matrix_shape, bias_shape);
    auto* const from = static_cast<char*>(const_cast<void*>(begin));
    *matrix = from + 16 * id;
    *bias = id == 8 ? nullptr : from + 500 + 4 * id;
    return CUDNN_STATUS_SUCCESS;
  };
  answer = handle_->Ask(kDnnFunction<DnnRnnWeights>, Arguments(DnnRnnWeights{Lstm(), 4}));
  ASSERT_EQ(answer.status, 0u);
  ASSERT_EQ(answer.results.size(), sizeof(DnnRnnPlaces));
  DnnRnnPlaces places;
  std::memcpy(static_cast<void*>(&places), answer.results.data(), sizeof(places));
  EXPECT_EQ(places.bytes, 1000u);
  EXPECT_EQ(places.linear_layers[0].matrix, 0u);
  EXPECT_EQ(places.linear_layers[3].matrix, 48u);
  EXPECT_EQ(places.linear_layers[3].bias, 512u);
  EXPECT_EQ(places.linear_layers[8].matrix, 128u) << "an LSTM with a projection has one more";
  EXPECT_EQ(places.linear_layers[8].bias, kDnnNoPlace);
  DnnRnn gru = Lstm();
  gru.cell = CUDNN_GRU;
  gru.projection_size = gru.hidden_size;
  answer = handle_->Ask(kDnnFunction<DnnRnnWeights>, Arguments(DnnRnnWeights{gru, 4}));
  ASSERT_EQ(answer.status, 0u);
  std::memcpy(static_cast<void*>(&places), answer.results.data(), sizeof(places));
  EXPECT_EQ(places.linear_layers[5].matrix, 80u);
  EXPECT_EQ(places.linear_layers[6].matrix, kDnnNoPlace);
}

TEST_F(DnnCallTest, DropoutHasItsArgumentsInTheirPlaces) {
  if (kDnnFunction<DnnDropoutForward> == 0) GTEST_SKIP() << "dropout is not on the wire yet";
  EXPECT_EQ(Called(DnnDropoutForward{Operand(1), Operand(2), {0.5, 3, 4, 5}, {6, 7}}), "out T1 @1 T2 @2 @6 #7");
  EXPECT_EQ(g_dropout, "restore ~0.5 @3 #4 #5");
  EXPECT_EQ(Called(DnnDropoutBackward{Operand(1), Operand(2), {0.5, 3, 4, 5}, {6, 7}}), "out T1 @1 T2 @2 @6 #7");
}

}  // namespace
}  // namespace accelmesh::cuda
