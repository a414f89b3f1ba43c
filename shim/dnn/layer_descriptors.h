// Descriptors of the layers of dnn_layers.h, as descriptors.h has those of the others.
//
// Threads: as descriptors.h.
#pragma once

#include <cudnn.h>

#include "protocol/library/dnn_calls.h"
#include "shim/dnn/descriptors.h"

struct cudnnLRNStruct {
  accelmesh::DnnLrn lrn;
};
struct cudnnSpatialTransformerStruct {
  accelmesh::DnnSpatialTransformer transformer;
};
struct cudnnCTCLossStruct {
  accelmesh::DnnCtc ctc;
};
struct cudnnTensorTransformStruct {
  accelmesh::DnnTransform transform;
};

namespace accelmesh::dnn {

inline std::uint64_t AddressOf(const void* memory) { return reinterpret_cast<std::uintptr_t>(memory); }

}  // namespace accelmesh::dnn
