// Multi-head attention of cuDNN as it crosses the wire (dnn_calls.h). Enumerators are those of cudnn_adv.h.
//
// A call has a tail behind its words: how long each sequence of the queries is (by batch and, within, by beam), each of
// the keys, and, but for DnnAttentionBackwardWeights, the windows of the query steps as runs (dnn_windows.h); int32, an
// even number of them with the last one 0 if need be. tail_words says how many words of 8 bytes that is.
//
// Threads: values.
#pragma once

#include <array>
#include <cstdint>

#include "protocol/library/dnn_dropout.h"
#include "protocol/library/dnn_recurrent.h"

namespace accelmesh {

// Of DnnAttention::mode; the others are 0. They are macros of the header's.
inline constexpr std::uint32_t kDnnAttentionOneToOne = 1;  // each beam has keys of its own
inline constexpr std::uint32_t kDnnAttentionBiases = 2;

// cudnnAttnDescriptor_t.
struct DnnAttention {
  std::uint32_t mode = 0;
  std::int32_t heads = 0;
  double scale = 0;
  std::int32_t type = 0;
  std::int32_t precision = 0;
  std::int32_t math_type = 0;
  std::int32_t query_size = 0;
  std::int32_t key_size = 0;
  std::int32_t value_size = 0;
  // Of a head; 0: there is no such projection.
  std::int32_t query_projection = 0;
  std::int32_t key_projection = 0;
  std::int32_t value_projection = 0;
  std::int32_t result_projection = 0;  // of all heads together
  // The most that a call has.
  std::int32_t query_steps = 0;
  std::int32_t key_steps = 0;
  std::int32_t batch = 0;
  std::int32_t beams = 0;
  DnnDropout dropout;         // of the weights of keys
  DnnDropout result_dropout;  // before residuals are added
};

// cudnnSeqDataDescriptor_t but for its lengths, and where it lies. Dimensions are those of a cudnnSeqDataAxis_t each;
// `axes` has the outermost first.
struct DnnSequenceData {
  std::int32_t type = 0;
  std::int32_t has_padding = 0;
  std::array<std::int32_t, 4> dims{};
  std::array<std::int32_t, 4> axes{};
  double padding = 0;  // what a result has behind the ends of its sequences, if has_padding
  std::uint64_t address = 0;
};

// How much memory an attention needs. Asked like DnnRnnSizes, with dropouts of a probability alone. The answer is
// DnnAttentionBytes.
struct DnnAttentionSizes {
  DnnAttention attention;
  std::int64_t is_training = 0;
};
struct DnnAttentionBytes {
  std::uint64_t weights = 0;
  std::uint64_t workspace = 0;
  std::uint64_t reserve = 0;
};

// Where weights of a kind begin, in bytes from the begin of all, and how they lie. Asked, with dropouts of probability
// 0. The answer is DnnAttentionPlace.
struct DnnAttentionWeights {
  DnnAttention attention;
  std::int64_t kind = 0;  // a cudnnMultiHeadAttnWeightKind_t
};
struct DnnAttentionPlace {
  std::uint64_t offset = kDnnNoPlace;  // then there are none
  std::array<std::int32_t, 3> dims{};
  std::array<std::int32_t, 3> strides{};
};

// The lengths that are addresses are those of the tail, in the device's memory, where the library reads them.
struct DnnAttentionForward {
  std::uint64_t tail_words = 0;
  std::int64_t step = -1;  // the only one to be computed; -1: all
  std::int64_t is_training = 0;
  DnnAttention attention;
  DnnSequenceData queries;
  DnnSequenceData keys;
  DnnSequenceData values;
  DnnSequenceData result;
  std::uint64_t residuals = 0;  // as the queries lie; 0: none
  std::uint64_t query_lengths = 0;
  std::uint64_t key_lengths = 0;
  DnnSpace weights;
  DnnSpace workspace;
  DnnSpace reserve;
};
struct DnnAttentionBackwardData {
  std::uint64_t tail_words = 0;
  DnnAttention attention;
  DnnSequenceData queries;
  DnnSequenceData keys;
  DnnSequenceData values;
  DnnSequenceData dresult;
  std::uint64_t dqueries = 0;
  std::uint64_t dkeys = 0;
  std::uint64_t dvalues = 0;
  std::uint64_t query_lengths = 0;
  std::uint64_t key_lengths = 0;
  DnnSpace weights;
  DnnSpace workspace;
  DnnSpace reserve;
};
// After DnnAttentionBackwardData with the same reserve.
struct DnnAttentionBackwardWeights {
  std::uint64_t tail_words = 0;
  std::int64_t mode = 0;  // a cudnnWgradMode_t
  DnnAttention attention;
  DnnSequenceData queries;
  DnnSequenceData keys;
  DnnSequenceData values;
  DnnSequenceData dresult;
  DnnSpace weights;
  std::uint64_t gradients = 0;  // as large as the weights
  DnnSpace workspace;
  DnnSpace reserve;
};

}  // namespace accelmesh
