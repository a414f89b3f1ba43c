// Functions of whole tensors: sums, scales, operations, reductions.
#include "shim/dnn/call.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

// What cuDNN computes with.
bool IsComputeType(cudnnDataType_t type) {
  return type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_DOUBLE || type == CUDNN_DATA_HALF || type == CUDNN_DATA_INT32;
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnCreateOpTensorDescriptor(cudnnOpTensorDescriptor_t* opTensorDesc) { return Create(opTensorDesc); }
cudnnStatus_t cudnnDestroyOpTensorDescriptor(cudnnOpTensorDescriptor_t opTensorDesc) { return Destroy(opTensorDesc); }
cudnnStatus_t cudnnSetOpTensorDescriptor(cudnnOpTensorDescriptor_t opTensorDesc, cudnnOpTensorOp_t opTensorOp,
                                         cudnnDataType_t opTensorCompType, cudnnNanPropagation_t opTensorNanOpt) {
  if (opTensorDesc == nullptr || opTensorOp < CUDNN_OP_TENSOR_ADD || opTensorOp > CUDNN_OP_TENSOR_NOT ||
      !IsComputeType(opTensorCompType) || !IsKnown(opTensorNanOpt))
    return CUDNN_STATUS_BAD_PARAM;
  *opTensorDesc = {opTensorOp, opTensorCompType, opTensorNanOpt};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetOpTensorDescriptor(const cudnnOpTensorDescriptor_t opTensorDesc, cudnnOpTensorOp_t* opTensorOp,
                                         cudnnDataType_t* opTensorCompType, cudnnNanPropagation_t* opTensorNanOpt) {
  if (!AreGiven(opTensorDesc, opTensorOp, opTensorCompType, opTensorNanOpt)) return CUDNN_STATUS_BAD_PARAM;
  *opTensorOp = opTensorDesc->operation;
  *opTensorCompType = opTensorDesc->compute_type;
  *opTensorNanOpt = opTensorDesc->nan;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateReduceTensorDescriptor(cudnnReduceTensorDescriptor_t* reduceTensorDesc) {
  return Create(reduceTensorDesc);
}
cudnnStatus_t cudnnDestroyReduceTensorDescriptor(cudnnReduceTensorDescriptor_t reduceTensorDesc) {
  return Destroy(reduceTensorDesc);
}
cudnnStatus_t cudnnSetReduceTensorDescriptor(cudnnReduceTensorDescriptor_t reduceTensorDesc,
                                             cudnnReduceTensorOp_t reduceTensorOp, cudnnDataType_t reduceTensorCompType,
                                             cudnnNanPropagation_t reduceTensorNanOpt,
                                             cudnnReduceTensorIndices_t reduceTensorIndices,
                                             cudnnIndicesType_t reduceTensorIndicesType) {
  if (reduceTensorDesc == nullptr || reduceTensorOp < CUDNN_REDUCE_TENSOR_ADD ||
      reduceTensorOp > CUDNN_REDUCE_TENSOR_MUL_NO_ZEROS || !IsComputeType(reduceTensorCompType) ||
      !IsKnown(reduceTensorNanOpt) || reduceTensorIndices < CUDNN_REDUCE_TENSOR_NO_INDICES ||
      reduceTensorIndices > CUDNN_REDUCE_TENSOR_FLATTENED_INDICES || reduceTensorIndicesType < CUDNN_32BIT_INDICES ||
      reduceTensorIndicesType > CUDNN_8BIT_INDICES)
    return CUDNN_STATUS_BAD_PARAM;
  *reduceTensorDesc = {reduceTensorOp, reduceTensorCompType, reduceTensorNanOpt, reduceTensorIndices,
                       reduceTensorIndicesType};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetReduceTensorDescriptor(const cudnnReduceTensorDescriptor_t reduceTensorDesc,
                                             cudnnReduceTensorOp_t* reduceTensorOp,
                                             cudnnDataType_t* reduceTensorCompType,
                                             cudnnNanPropagation_t* reduceTensorNanOpt,
                                             cudnnReduceTensorIndices_t* reduceTensorIndices,
                                             cudnnIndicesType_t* reduceTensorIndicesType) {
  if (!AreGiven(reduceTensorDesc, reduceTensorOp, reduceTensorCompType, reduceTensorNanOpt, reduceTensorIndices,
                reduceTensorIndicesType))
    return CUDNN_STATUS_BAD_PARAM;
  *reduceTensorOp = reduceTensorDesc->operation;
  *reduceTensorCompType = reduceTensorDesc->compute_type;
  *reduceTensorNanOpt = reduceTensorDesc->nan;
  *reduceTensorIndices = reduceTensorDesc->indices;
  *reduceTensorIndicesType = reduceTensorDesc->indices_type;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnAddTensor(cudnnHandle_t handle, const void* alpha, const cudnnTensorDescriptor_t aDesc,
                             const void* A, const void* beta, const cudnnTensorDescriptor_t cDesc, void* C) {
  Call call(handle, "cudnnAddTensor");
  DnnAddTensor words;
  words.a = call.Operand(aDesc, A);
  words.c = call.Operand(cDesc, C);
  words.blend = call.Blend(alpha, beta, words.c.tensor);
  call.Require(Spreads(words.a.tensor, words.c.tensor));
  call.SupportTensors({words.a.tensor, words.c.tensor});
  return call.Post(words);
}

cudnnStatus_t cudnnOpTensor(cudnnHandle_t handle, const cudnnOpTensorDescriptor_t opTensorDesc, const void* alpha1,
                            const cudnnTensorDescriptor_t aDesc, const void* A, const void* alpha2,
                            const cudnnTensorDescriptor_t bDesc, const void* B, const void* beta,
                            const cudnnTensorDescriptor_t cDesc, void* C) {
  Call call(handle, "cudnnOpTensor");
  call.Require(opTensorDesc != nullptr);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  DnnOpTensor words;
  words.operation = opTensorDesc->operation;
  words.compute_type = opTensorDesc->compute_type;
  words.propagates_nan = opTensorDesc->nan;
  words.a = call.Operand(aDesc, A);
  words.c = call.Operand(cDesc, C);
  words.alpha1 = call.Scalar(alpha1, words.c.tensor);
  words.beta = call.Scalar(beta, words.c.tensor);
  const bool has_b = words.operation != CUDNN_OP_TENSOR_SQRT && words.operation != CUDNN_OP_TENSOR_NOT;
  if (has_b) {
    words.b = call.Operand(bDesc, B);
    words.alpha2 = call.Scalar(alpha2, words.c.tensor);
    call.Require(Spreads(words.b.tensor, words.c.tensor));
  }
  call.Require(Spreads(words.a.tensor, words.c.tensor));
  call.SupportTensors({words.a.tensor, has_b ? words.b.tensor : words.a.tensor, words.c.tensor});
  return call.Post(words);
}

// What is reduced needs no room but its result's.
cudnnStatus_t cudnnGetReductionWorkspaceSize(cudnnHandle_t handle, const cudnnReduceTensorDescriptor_t reduceTensorDesc,
                                             const cudnnTensorDescriptor_t aDesc, const cudnnTensorDescriptor_t cDesc,
                                             size_t* sizeInBytes) {
  Call call(handle, "cudnnGetReductionWorkspaceSize");
  call.Require(AreGiven(reduceTensorDesc, aDesc, cDesc, sizeInBytes));
  if (call.status() == CUDNN_STATUS_SUCCESS) *sizeInBytes = 0;
  return call.status();
}
cudnnStatus_t cudnnGetReductionIndicesSize(cudnnHandle_t handle, const cudnnReduceTensorDescriptor_t reduceTensorDesc,
                                           const cudnnTensorDescriptor_t aDesc, const cudnnTensorDescriptor_t cDesc,
                                           size_t* sizeInBytes) {
  Call call(handle, "cudnnGetReductionIndicesSize");
  call.Require(AreGiven(reduceTensorDesc, aDesc, cDesc, sizeInBytes));
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  call.Support(reduceTensorDesc->indices == CUDNN_REDUCE_TENSOR_NO_INDICES, "indices of extremes are not remoted yet");
  if (call.status() == CUDNN_STATUS_SUCCESS) *sizeInBytes = 0;
  return call.status();
}
cudnnStatus_t cudnnReduceTensor(cudnnHandle_t handle, const cudnnReduceTensorDescriptor_t reduceTensorDesc,
                                void* /*indices*/, size_t /*indicesSizeInBytes*/, void* /*workspace*/,
                                size_t /*workspaceSizeInBytes*/, const void* alpha, const cudnnTensorDescriptor_t aDesc,
                                const void* A, const void* beta, const cudnnTensorDescriptor_t cDesc, void* C) {
  Call call(handle, "cudnnReduceTensor");
  call.Require(reduceTensorDesc != nullptr);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  call.Support(reduceTensorDesc->indices == CUDNN_REDUCE_TENSOR_NO_INDICES, "indices of extremes are not remoted yet");
  DnnReduceTensor words;
  words.operation = reduceTensorDesc->operation;
  words.compute_type = reduceTensorDesc->compute_type;
  words.propagates_nan = reduceTensorDesc->nan;
  words.a = call.Operand(aDesc, A);
  words.c = call.Operand(cDesc, C);
  words.blend = call.Blend(alpha, beta, words.c.tensor);
  call.Require(Spreads(words.c.tensor, words.a.tensor));
  call.SupportTensors({words.a.tensor, words.c.tensor});
  return call.Post(words);
}

cudnnStatus_t cudnnScaleTensor(cudnnHandle_t handle, const cudnnTensorDescriptor_t yDesc, void* y, const void* alpha) {
  Call call(handle, "cudnnScaleTensor");
  DnnScaleTensor words;
  words.y = call.Operand(yDesc, y);
  words.alpha = call.Scalar(alpha, words.y.tensor);
  call.SupportTensors({words.y.tensor});
  return call.Post(words);
}
cudnnStatus_t cudnnSetTensor(cudnnHandle_t handle, const cudnnTensorDescriptor_t yDesc, void* y, const void* valuePtr) {
  Call call(handle, "cudnnSetTensor");
  DnnSetTensor words;
  words.y = call.Operand(yDesc, y);
  call.SupportTensors({words.y.tensor});
  call.Require(valuePtr != nullptr);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  // The value has the tensor's type, not a scalar's.
  call.Support(words.y.tensor.type == CUDNN_DATA_FLOAT || words.y.tensor.type == CUDNN_DATA_DOUBLE,
               "a value of sixteen bits is not remoted yet");
  words.value = call.Scalar(valuePtr, words.y.tensor);
  return call.Post(words);
}
cudnnStatus_t cudnnTransformTensor(cudnnHandle_t handle, const void* alpha, const cudnnTensorDescriptor_t xDesc,
                                   const void* x, const void* beta, const cudnnTensorDescriptor_t yDesc, void* y) {
  Call call(handle, "cudnnTransformTensor");
  DnnTransformTensor words;
  words.x = call.Operand(xDesc, x);
  words.y = call.Operand(yDesc, y);
  words.blend = call.Blend(alpha, beta, words.y.tensor);
  call.Require(SameDims(words.x.tensor, words.y.tensor));
  call.SupportTensors({words.x.tensor, words.y.tensor});
  return call.Post(words);
}

}  // namespace accelmesh::face
