// Recurrent networks of cuDNN as they cross the wire (dnn_calls.h). Enumerators are those of cudnn_adv.h.
//
// A call has a tail behind its words: how long each sequence of the batch is, int32, an even number of them with the
// last one 0 if need be. tail_words says how many words of 8 bytes that is.
//
// Threads: values.
#pragma once

#include <array>
#include <cstdint>

#include "protocol/library/dnn_dropout.h"

namespace accelmesh {

// cudnnRNNDescriptor_t. A network of CUDNN_RNN_ALGO_PERSIST_DYNAMIC has been built (cudnnBuildRNNDynamic) by nobody but
// who runs it, for the batch of the call.
struct DnnRnn {
  std::int32_t algorithm = 0;
  std::int32_t cell = 0;
  std::int32_t bias = 0;
  std::int32_t direction = 0;
  std::int32_t input = 0;
  std::int32_t type = 0;
  std::int32_t math_precision = 0;
  std::int32_t math_type = 0;
  std::int32_t input_size = 0;
  std::int32_t hidden_size = 0;
  std::int32_t projection_size = 0;
  std::int32_t layers = 0;
  std::uint32_t flags = 0;
  std::int32_t clip_mode = 0;
  std::int32_t clip_nan = 0;
  std::int32_t reserved = 0;
  double clip_low = 0;
  double clip_high = 0;
  DnnDropout dropout;
};

// cudnnRNNDataDescriptor_t but for its lengths, and where it lies.
struct DnnSequences {
  std::int32_t type = 0;
  std::int32_t layout = 0;
  std::int32_t steps = 0;
  std::int32_t batch = 0;
  std::int32_t vector = 0;
  std::int32_t has_padding = 0;
  double padding = 0;  // what a result has behind the ends of its sequences, if has_padding
  std::uint64_t address = 0;
};

// Memory that the program has for a call.
struct DnnSpace {
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
};

// How much memory a network needs. Asked, and remembered for good: who answers says what the library does that will run
// it. Its dropout has a probability but no states and no seed; who needs some to describe it makes its own. The answer
// is DnnRnnBytes.
struct DnnRnnSizes {
  DnnRnn rnn;
  std::int32_t is_training = 0;
  std::int32_t type = 0;  // of the data
  std::int32_t steps = 0;
  std::int32_t batch = 0;
};
struct DnnRnnBytes {
  std::uint64_t workspace = 0;
  std::uint64_t reserve = 0;
};

// Where the weights of a layer and direction begin, in bytes from the begin of the weight space. Asked like sizes, with
// a dropout of probability 0; the shapes of matrices are the client's to say. The answer is DnnRnnPlaces.
struct DnnRnnWeights {
  DnnRnn rnn;
  std::int64_t pseudo_layer = 0;
};
inline constexpr int kDnnLinearLayersMax = 9;  // of an LSTM with a projection
inline constexpr std::uint64_t kDnnNoPlace = ~std::uint64_t{0};
struct DnnRnnPlaces {
  struct Place {
    std::uint64_t matrix = kDnnNoPlace;
    std::uint64_t bias = kDnnNoPlace;
  };
  std::uint64_t bytes = 0;  // of the whole weight space
  std::array<Place, kDnnLinearLayersMax> linear_layers{};
};

// States, hidden and cells', are tensors of layers, batch and vector without gaps; 0: there is none.
struct DnnRnnForward {
  std::uint64_t tail_words = 0;
  std::int64_t is_training = 0;
  DnnRnn rnn;
  DnnSequences x;
  DnnSequences y;
  std::uint64_t hx = 0;
  std::uint64_t hy = 0;
  std::uint64_t cx = 0;
  std::uint64_t cy = 0;
  DnnSpace weights;
  DnnSpace workspace;
  DnnSpace reserve;
};
struct DnnRnnBackwardData {
  std::uint64_t tail_words = 0;
  DnnRnn rnn;
  DnnSequences y;
  std::uint64_t dy = 0;
  DnnSequences dx;
  std::uint64_t hx = 0;
  std::uint64_t dhy = 0;
  std::uint64_t dhx = 0;
  std::uint64_t cx = 0;
  std::uint64_t dcy = 0;
  std::uint64_t dcx = 0;
  DnnSpace weights;
  DnnSpace workspace;
  DnnSpace reserve;
};
// After DnnRnnBackwardData with the same reserve.
struct DnnRnnBackwardWeights {
  std::uint64_t tail_words = 0;
  std::int64_t mode = 0;  // a cudnnWgradMode_t
  DnnRnn rnn;
  DnnSequences x;
  DnnSequences y;
  std::uint64_t hx = 0;
  DnnSpace gradients;
  DnnSpace workspace;
  DnnSpace reserve;
};

}  // namespace accelmesh
