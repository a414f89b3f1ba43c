// Multi-head attention of cuDNN's.
#include "tests/unit/server/backend/cuda/library_dnn_recorder.h"

#include <limits>

namespace accelmesh::cuda {
namespace {

DnnAttention Attention() {
  DnnAttention words;
  words.mode = kDnnAttentionBiases;
  words.heads = 2;
  words.scale = 0.5;
  words.type = CUDNN_DATA_HALF;
  words.precision = CUDNN_DATA_FLOAT;
  words.math_type = CUDNN_TENSOR_OP_MATH;
  words.query_size = 8;
  words.key_size = 7;
  words.value_size = 6;
  words.query_projection = 3;
  words.key_projection = 3;
  words.value_projection = 4;
  words.result_projection = 9;
  words.query_steps = 3;
  words.key_steps = 5;
  words.batch = 11;
  words.beams = 12;
  words.dropout = {0.25, 77, 88, 99};
  return words;
}
constexpr const char* kAttention = "A(2,0.5,2,0,1,2,8,7,6,3,3,4,9,3,5,11,12)-";

DnnSequenceData Data(std::int32_t steps, std::int32_t beams, std::int32_t vector, std::uint64_t address) {
  return {CUDNN_DATA_FLOAT,
          0,
          {steps, 1, beams, vector},
          {CUDNN_SEQDATA_BATCH_DIM, CUDNN_SEQDATA_TIME_DIM, CUDNN_SEQDATA_BEAM_DIM, CUDNN_SEQDATA_VECT_DIM},
          0,
          address};
}

TEST_F(DnnCallTest, AttentionsSayWhatTheWordsDo) {
  DnnCall call(library_, handle_.get(), nullptr, nullptr);
  EXPECT_EQ(Text(call.Attention(Attention())), kAttention);
  EXPECT_EQ(g_dropout, "restore ~0.25 @77 #88 #99");
  DnnAttention other = Attention();
  other.dropout = {};
  other.result_dropout = {0.5, 0, 0, 0};
  g_dropout.clear();
  EXPECT_EQ(Text(call.Attention(other)), std::string("A(2,0.5,2,0,1,2,8,7,6,3,3,4,9,3,5,11,12)-"));
  EXPECT_EQ(g_dropout, "set ~0.5 @0 #0 #0") << "a probability alone, of a question";
  other.result_dropout = {};
  EXPECT_EQ(Text(call.Attention(other)), std::string(kAttention) + "-") << "nothing is dropped";
  DnnSequenceData data = Data(3, 2, 8, 64);
  data.has_padding = 1;
  data.padding = 0.5;
  const std::array<std::int32_t, 2> lengths{3, 1};
  EXPECT_EQ(Text(call.SequenceData(data, lengths)), "S(0,3@1,1@0,2@2,8@3;3,1,0.5)");
  EXPECT_EQ(call.status(), CUDNN_STATUS_SUCCESS);
}

TEST_F(DnnCallTest, AttentionsHaveTheirArgumentsInTheirPlaces) {
  // Two of queries, one of keys, windows of two steps and of one.
  const std::vector<std::int32_t> tail{3, 2, 5, 2, 0, 1, 4, 1, 1, 2, 0, 3, 0, 0};
  const auto run = [&](const auto& words, std::span<const std::int32_t> numbers) {
    constexpr std::uint32_t kFunction = kDnnFunction<std::remove_cvref_t<decltype(words)>>;
    Bytes arguments = Arguments(words);
    const auto* const first = reinterpret_cast<const std::uint8_t*>(numbers.data());
    arguments.insert(arguments.end(), first, first + numbers.size_bytes());
    g_calls.clear();
    const cudnnStatus_t status = handle_->Run(kFunction, arguments);
    handle_->Learn(kFunction, arguments);
    EXPECT_FALSE(handle_->Knows(kFunction, arguments)) << "it may wait each time";
    return status;
  };
  const auto called = [&](const auto& words, std::span<const std::int32_t> numbers) {
    EXPECT_EQ(run(words, numbers), CUDNN_STATUS_SUCCESS);
    return g_calls.empty() ? "" : g_calls.front();
  };
  g_numbers = 3;
  const DnnSequenceData q = Data(3, 2, 8, 1), k = Data(5, 1, 7, 2), v = Data(5, 1, 6, 3), o = Data(3, 2, 9, 4);
  const std::string attention = kAttention, of_q = "S(0,3@1,1@0,2@2,8@3;3,2,0)", of_k = "S(0,5@1,1@0,1@2,7@3;5,0)",
                    of_v = "S(0,5@1,1@0,1@2,6@3;5,0)", of_o = "S(0,3@1,1@0,2@2,9@3;3,2,0)",
                    windows = "[0,1,2,] [4,5,3,]";
  const DnnAttentionForward forward{7, 2, 0, Attention(), q, k, v, o, 5, 6, 7, {8, 80}, {9, 90}, {10, 100}};
  EXPECT_EQ(called(forward, tail), attention + " 2 " + windows + " @6 @7 " + of_q + " @1 @5 " + of_k + " @2 " + of_v +
                                       " @3 " + of_o + " @4 #80 @8 #90 @9 #100 @10");
  EXPECT_EQ(
      called(DnnAttentionBackwardData{7, Attention(), q, k, v, o, 11, 12, 13, 6, 7, {8, 80}, {9, 90}, {10, 100}}, tail),
      attention + " " + windows + " @6 @7 " + of_o + " @4 " + of_q + " @11 @1 " + of_k + " @12 @2 " + of_v +
          " @13 @3 #80 @8 #90 @9 #100 @10");
  EXPECT_EQ(
      called(DnnAttentionBackwardWeights{2, 1, Attention(), q, k, v, o, {8, 80}, 14, {9, 90}, {10, 100}},
             std::span(tail).first(4)),
      attention + " 1 " + of_q + " @1 " + of_k + " @2 " + of_v + " @3 " + of_o + " @4 #80 @8 @14 #90 @9 #100 @10");

  // The library reads as many windows as the attention may have steps.
  DnnAttentionForward longer = forward;
  longer.attention.query_steps = 5;
  g_numbers = 5;
  EXPECT_NE(called(longer, tail).find(" 2 [0,1,2,0,0,] [4,5,3,0,0,] "), std::string::npos);

  // A tail that is too short for what the words say, or words that say anything.
  for (std::size_t count = 0; count < 13; ++count)
    EXPECT_EQ(run(forward, std::span(tail).first(count)), CUDNN_STATUS_BAD_PARAM) << count;
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
  for (const std::int32_t size : {0, -1, 1 << 16, kMost}) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
      DnnAttentionForward wrong = forward;
      wrong.queries.dims[axis] = size;
      EXPECT_EQ(run(wrong, tail), CUDNN_STATUS_BAD_PARAM) << "queries, " << axis << ": " << size;
      wrong = forward;
      wrong.keys.dims[axis] = axis == CUDNN_SEQDATA_TIME_DIM && size > 0 ? -size : size;
      EXPECT_EQ(run(wrong, tail), CUDNN_STATUS_BAD_PARAM) << "keys, " << axis << ": " << size;
    }
  }
  for (const std::int32_t steps : {0, -1, kMost}) {
    longer.attention.query_steps = steps;
    EXPECT_EQ(run(longer, tail), CUDNN_STATUS_BAD_PARAM) << steps;
  }
  // Values of other sequences than the keys': the library's own check of lengths.
  DnnAttentionForward other = forward;
  other.values.dims[CUDNN_SEQDATA_BATCH_DIM] = 2;
  EXPECT_EQ(run(other, tail), CUDNN_STATUS_BAD_PARAM);
  EXPECT_TRUE(g_calls.empty());
}

TEST_F(DnnCallTest, WhatAttentionsNeedIsAskedOfTheLibrary) {
  library_.GetMultiHeadAttnBuffers = [](cudnnHandle_t, cudnnAttnDescriptor_t attention, std::size_t* weights,
                                        std::size_t* workspace, std::size_t* reserve) {
    g_calls.push_back(Text(attention) + (reserve == nullptr ? " inference" : " training"));
    *weights = 1000;
    *workspace = 200;
    if (reserve != nullptr) *reserve = 30;
    return CUDNN_STATUS_SUCCESS;
  };
  for (const bool is_training : {false, true}) {
    g_calls.clear();
    const LibraryAnswer answer =
        handle_->Ask(kDnnFunction<DnnAttentionSizes>, Arguments(DnnAttentionSizes{Attention(), is_training ? 1 : 0}));
    ASSERT_EQ(answer.status, 0u);
    ASSERT_EQ(answer.results.size(), sizeof(DnnAttentionBytes));
    DnnAttentionBytes bytes;
    std::memcpy(static_cast<void*>(&bytes), answer.results.data(), sizeof(bytes));
    EXPECT_EQ(bytes.weights, 1000u);
    EXPECT_EQ(bytes.workspace, 200u);
    EXPECT_EQ(bytes.reserve, is_training ? 30u : 0u);
    ASSERT_EQ(g_calls.size(), 1u);
    EXPECT_EQ(g_calls[0], std::string(kAttention) + (is_training ? " training" : " inference"));
  }

  library_.GetMultiHeadAttnWeights = [](cudnnHandle_t, cudnnAttnDescriptor_t, cudnnMultiHeadAttnWeightKind_t kind,
                                        std::size_t bytes, const void* base, cudnnTensorDescriptor_t shape,
                                        void** begin) {
    EXPECT_EQ(bytes, 1000u);
    const int dims[3] = {2, 3, 8}, strides[3] = {3, 1, 6};
    const bool is_there = kind != CUDNN_MH_ATTN_K_WEIGHTS;
    *begin = is_there ? static_cast<char*>(const_cast<void*>(base)) + 16 * kind : nullptr;
    return is_there ? NVIDIAS(cudnnSetTensorNdDescriptor)(shape, CUDNN_DATA_HALF, 3, dims, strides)
                    : CUDNN_STATUS_SUCCESS;
  };
  const auto ask = [&](std::int64_t kind) {
    const LibraryAnswer answer =
        handle_->Ask(kDnnFunction<DnnAttentionWeights>, Arguments(DnnAttentionWeights{Attention(), kind}));
    EXPECT_EQ(answer.status, 0u);
    EXPECT_EQ(answer.results.size(), sizeof(DnnAttentionPlace));
    DnnAttentionPlace place;
    if (answer.results.size() == sizeof(place))
      std::memcpy(static_cast<void*>(&place), answer.results.data(), sizeof(place));
    return place;
  };
  const DnnAttentionPlace place = ask(CUDNN_MH_ATTN_V_WEIGHTS);
  EXPECT_EQ(place.offset, 32u);
  EXPECT_EQ(place.dims, (std::array<std::int32_t, 3>{2, 3, 8}));
  EXPECT_EQ(place.strides, (std::array<std::int32_t, 3>{3, 1, 6}));
  EXPECT_EQ(ask(CUDNN_MH_ATTN_K_WEIGHTS).offset, kDnnNoPlace);
  DnnAttention wrong = Attention();
  wrong.heads = 0;
  EXPECT_EQ(handle_->Ask(kDnnFunction<DnnAttentionSizes>, Arguments(DnnAttentionSizes{wrong, 0})).status,
            CUDNN_STATUS_BAD_PARAM + 0u);
}

}  // namespace
}  // namespace accelmesh::cuda
