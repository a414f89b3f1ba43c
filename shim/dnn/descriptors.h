// Descriptors: the program's, made and destroyed without anybody's help; calls carry what they say.
//
// Threads: as the program uses them, which CUDA asks not to set one while another uses it.
#pragma once

#include <cudnn.h>

#include "protocol/library/dnn_calls.h"

struct cudnnTensorStruct {
  accelmesh::DnnTensor tensor;
};
// Its strides are those that its format gives it.
struct cudnnFilterStruct {
  accelmesh::DnnTensor tensor;
};
struct cudnnConvolutionStruct {
  accelmesh::DnnConvolution convolution;
};
struct cudnnActivationStruct {
  accelmesh::DnnActivation activation;
};
struct cudnnPoolingStruct {
  accelmesh::DnnPooling pooling;
};
struct cudnnOpTensorStruct {
  cudnnOpTensorOp_t operation = CUDNN_OP_TENSOR_ADD;
  cudnnDataType_t compute_type = CUDNN_DATA_FLOAT;
  cudnnNanPropagation_t nan = CUDNN_NOT_PROPAGATE_NAN;
};
struct cudnnReduceTensorStruct {
  cudnnReduceTensorOp_t operation = CUDNN_REDUCE_TENSOR_ADD;
  cudnnDataType_t compute_type = CUDNN_DATA_FLOAT;
  cudnnNanPropagation_t nan = CUDNN_NOT_PROPAGATE_NAN;
  cudnnReduceTensorIndices_t indices = CUDNN_REDUCE_TENSOR_NO_INDICES;
  cudnnIndicesType_t indices_type = CUDNN_32BIT_INDICES;
};

namespace accelmesh::dnn {

template <typename Descriptor>
cudnnStatus_t Create(Descriptor** descriptor) {
  if (descriptor == nullptr) return CUDNN_STATUS_BAD_PARAM;
  *descriptor = new Descriptor;
  return CUDNN_STATUS_SUCCESS;
}
template <typename Descriptor>
cudnnStatus_t Destroy(Descriptor* descriptor) {
  delete descriptor;
  return CUDNN_STATUS_SUCCESS;
}

// Whether none of the pointers is null.
template <typename... Pointers>
bool AreGiven(Pointers... pointers) {
  return ((pointers != nullptr) && ...);
}
bool IsKnown(cudnnDataType_t type);
// Whether the descriptors from before graphs take it.
bool IsLegacy(cudnnDataType_t type);
inline bool IsKnown(cudnnNanPropagation_t nan) { return nan == CUDNN_NOT_PROPAGATE_NAN || nan == CUDNN_PROPAGATE_NAN; }
// From the first element to the last.
std::size_t BytesOf(const DnnTensor& tensor);
bool SameDims(const DnnTensor& a, const DnnTensor& b);
// Whether `a` is as large as `b`, or 1, in each dimension.
bool Spreads(const DnnTensor& a, const DnnTensor& b);

}  // namespace accelmesh::dnn
