// Spatial transformers.
#include <algorithm>

#include "shim/dnn/call.h"
#include "shim/dnn/layer_descriptors.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

constexpr int kImageRank = 4;

DnnSpatialTransformer Transformer(Call& call, const cudnnSpatialTransformerStruct* descriptor) {
  call.Require(descriptor != nullptr && descriptor->transformer.rank != 0);
  if (call.status() != CUDNN_STATUS_SUCCESS) return {};
  const DnnSpatialTransformer& transformer = descriptor->transformer;
  call.Support(transformer.rank == kImageRank, "only images are transformed");
  for (int d = 0; d < transformer.rank; ++d) call.Require(transformer.dims[d] > 0);
  return transformer;
}

// The tensor that a transformer makes, and the one that it is made of.
void Check(Call& call, const DnnSpatialTransformer& transformer, const DnnTensor& x, const DnnTensor& y) {
  call.SupportTensors({x, y});
  call.Require(x.rank == kImageRank && y.rank == kImageRank && x.dims[0] == y.dims[0] && x.dims[1] == y.dims[1] &&
               std::equal(y.dims.begin(), y.dims.begin() + kImageRank, transformer.dims.begin()));
  call.Support(x.type == transformer.type && y.type == transformer.type, "its tensors are of different types");
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnCreateSpatialTransformerDescriptor(cudnnSpatialTransformerDescriptor_t* stDesc) {
  return Create(stDesc);
}
cudnnStatus_t cudnnDestroySpatialTransformerDescriptor(cudnnSpatialTransformerDescriptor_t stDesc) {
  return Destroy(stDesc);
}
// Any rank and any size, as cuDNN's: calls refuse what they do not transform.
cudnnStatus_t cudnnSetSpatialTransformerNdDescriptor(cudnnSpatialTransformerDescriptor_t stDesc,
                                                     cudnnSamplerType_t samplerType, cudnnDataType_t dataType,
                                                     const int nbDims, const int dimA[]) {
  if (!AreGiven(stDesc, dimA) || samplerType != CUDNN_SAMPLER_BILINEAR || !IsKnown(dataType) || nbDims < 0)
    return CUDNN_STATUS_BAD_PARAM;
  if (dataType != CUDNN_DATA_FLOAT && dataType != CUDNN_DATA_DOUBLE && dataType != CUDNN_DATA_HALF)
    return CUDNN_STATUS_NOT_SUPPORTED;
  DnnSpatialTransformer transformer;
  transformer.sampler = samplerType;
  transformer.type = dataType;
  transformer.rank = std::min(nbDims, CUDNN_DIM_MAX);
  std::copy_n(dimA, transformer.rank, transformer.dims.begin());
  stDesc->transformer = transformer;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSpatialTfGridGeneratorForward(cudnnHandle_t handle, const cudnnSpatialTransformerDescriptor_t stDesc,
                                                 const void* theta, void* grid) {
  Call call(handle, "cudnnSpatialTfGridGeneratorForward");
  call.Require(AreGiven(theta, grid));
  const DnnGridForward words{Transformer(call, stDesc), AddressOf(theta), AddressOf(grid)};
  return call.Post(words);
}
cudnnStatus_t cudnnSpatialTfGridGeneratorBackward(cudnnHandle_t handle,
                                                  const cudnnSpatialTransformerDescriptor_t stDesc, const void* dgrid,
                                                  void* dtheta) {
  Call call(handle, "cudnnSpatialTfGridGeneratorBackward");
  call.Require(AreGiven(dgrid, dtheta));
  const DnnGridBackward words{Transformer(call, stDesc), AddressOf(dgrid), AddressOf(dtheta)};
  return call.Post(words);
}

cudnnStatus_t cudnnSpatialTfSamplerForward(cudnnHandle_t handle, cudnnSpatialTransformerDescriptor_t stDesc,
                                           const void* alpha, const cudnnTensorDescriptor_t xDesc, const void* x,
                                           const void* grid, const void* beta, cudnnTensorDescriptor_t yDesc, void* y) {
  Call call(handle, "cudnnSpatialTfSamplerForward");
  DnnSamplerForward words;
  words.transformer = Transformer(call, stDesc);
  words.x = call.Operand(xDesc, x);
  words.y = call.Operand(yDesc, y);
  words.grid = AddressOf(grid);
  words.blend = call.Blend(alpha, beta, words.y.tensor);
  call.Require(grid != nullptr);
  Check(call, words.transformer, words.x.tensor, words.y.tensor);
  return call.Post(words);
}
cudnnStatus_t cudnnSpatialTfSamplerBackward(cudnnHandle_t handle, cudnnSpatialTransformerDescriptor_t stDesc,
                                            const void* alpha, const cudnnTensorDescriptor_t xDesc, const void* x,
                                            const void* beta, const cudnnTensorDescriptor_t dxDesc, void* dx,
                                            const void* alphaDgrid, const cudnnTensorDescriptor_t dyDesc,
                                            const void* dy, const void* grid, const void* betaDgrid, void* dgrid) {
  Call call(handle, "cudnnSpatialTfSamplerBackward");
  DnnSamplerBackward words;
  words.transformer = Transformer(call, stDesc);
  words.x = call.Operand(xDesc, x);
  words.dx = call.Operand(dxDesc, dx);
  words.dy = call.Operand(dyDesc, dy);
  words.grid = AddressOf(grid);
  words.grid_gradient = AddressOf(dgrid);
  words.data = call.Blend(alpha, beta, words.dx.tensor);
  words.of_grid = call.Blend(alphaDgrid, betaDgrid, words.dx.tensor);
  call.Require(AreGiven(grid, dgrid) && SameDims(words.x.tensor, words.dx.tensor));
  Check(call, words.transformer, words.x.tensor, words.dy.tensor);
  call.Support(words.dx.tensor.type == words.x.tensor.type, "its tensors are of different types");
  call.SupportTensors({words.dx.tensor});
  return call.Post(words);
}

}  // namespace accelmesh::face
