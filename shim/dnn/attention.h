// Descriptors of multi-head attention and of its sequences.
//
// Threads: as descriptors.h.
#pragma once

#include <cudnn.h>

#include <vector>

#include "shim/dnn/call.h"

struct cudnnAttnStruct {
  accelmesh::DnnAttention attention;  // with what the dropouts' descriptors said when it was set
  cudnnDropoutDescriptor_t dropout = nullptr;
  cudnnDropoutDescriptor_t result_dropout = nullptr;
  bool is_set = false;
};
struct cudnnSeqDataStruct {
  accelmesh::DnnSequenceData sequences;
  std::vector<std::int32_t> lengths;  // none until it is set
};

namespace accelmesh::dnn {

// Nothing for what is no attention, which `call` then says.
inline const DnnAttention& Attention(Call& call, const cudnnAttnStruct* descriptor) {
  static const DnnAttention none;
  call.Require(descriptor != nullptr && descriptor->is_set);
  return call.status() == CUDNN_STATUS_SUCCESS ? descriptor->attention : none;
}
// How long the vectors of the result are.
std::int64_t ResultSizeOf(const DnnAttention& attention);

// The answer of the server's library, asked once.
cudnnStatus_t AskBytes(Call& call, const DnnAttention& attention, bool is_training, DnnAttentionBytes* bytes);

}  // namespace accelmesh::dnn
