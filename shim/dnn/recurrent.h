// Descriptors of dropout and of recurrent networks.
//
// Threads: as descriptors.h.
#pragma once

#include <cudnn.h>

#include <vector>

#include "shim/dnn/call.h"

struct cudnnDropoutStruct {
  accelmesh::DnnDropout dropout;
  bool is_set = false;
};
struct cudnnRNNStruct {
  accelmesh::DnnRnn rnn;  // with what the dropout's descriptor said when it was set
  cudnnDropoutDescriptor_t dropout = nullptr;
  bool is_set = false;
};
struct cudnnRNNDataStruct {
  accelmesh::DnnSequences sequences;
  std::vector<std::int32_t> lengths;
};

namespace accelmesh::dnn {

inline std::uint64_t AddressOf(const void* memory) { return reinterpret_cast<std::uintptr_t>(memory); }

// Sizes of 0 for what is no network, which `call` then says.
inline const DnnRnn& Network(Call& call, const cudnnRNNStruct* descriptor) {
  static const DnnRnn none;
  call.Require(descriptor != nullptr && descriptor->is_set);
  if (call.status() != CUDNN_STATUS_SUCCESS) return none;
  call.Require(descriptor->rnn.input != CUDNN_SKIP_INPUT || descriptor->rnn.input_size == descriptor->rnn.hidden_size);
  return descriptor->rnn;
}
inline int DirectionsOf(const DnnRnn& rnn) { return rnn.direction == CUDNN_BIDIRECTIONAL ? 2 : 1; }

// The answers of the server's library about a network, each asked once.
cudnnStatus_t AskPlaces(Call& call, const DnnRnn& rnn, std::int64_t pseudo_layer, DnnRnnPlaces* places);
cudnnStatus_t AskBytes(Call& call, const DnnRnn& rnn, const DnnSequences& data, bool is_training, DnnRnnBytes* bytes);

}  // namespace accelmesh::dnn
