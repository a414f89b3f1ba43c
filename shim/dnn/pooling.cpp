// Pooling: descriptors, sizes, both directions.
#include <algorithm>
#include <span>

#include "shim/dnn/call.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

constexpr int kSpaceMax = CUDNN_DIM_MAX - 2;

cudnnStatus_t Set(cudnnPoolingDescriptor_t descriptor, cudnnPoolingMode_t mode, cudnnNanPropagation_t nan,
                  std::span<const int> window, std::span<const int> pads, std::span<const int> strides) {
  if (!IsKnown(nan) || mode < CUDNN_POOLING_MAX || mode > CUDNN_POOLING_MAX_DETERMINISTIC)
    return CUDNN_STATUS_BAD_PARAM;
  for (std::size_t d = 0; d < window.size(); ++d) {
    if (window[d] <= 0 || strides[d] <= 0) return CUDNN_STATUS_BAD_PARAM;
  }
  DnnPooling pooling;
  pooling.rank = static_cast<std::int32_t>(window.size());
  pooling.mode = mode;
  pooling.propagates_nan = nan;
  std::copy(window.begin(), window.end(), pooling.window.begin());
  std::copy(pads.begin(), pads.end(), pooling.pads.begin());
  std::copy(strides.begin(), strides.end(), pooling.strides.begin());
  descriptor->pooling = pooling;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t OutputDims(const DnnPooling& pooling, const DnnTensor& x, std::span<int> dims) {
  if (x.rank != pooling.rank + 2 || dims.size() != static_cast<std::size_t>(x.rank)) return CUDNN_STATUS_BAD_PARAM;
  std::array<std::int64_t, CUDNN_DIM_MAX> found{x.dims[0], x.dims[1]};
  for (int d = 0; d < pooling.rank; ++d) {
    const std::int64_t room = std::int64_t{x.dims[d + 2]} + 2 * std::int64_t{pooling.pads[d]} - pooling.window[d];
    if (room < 0) return CUDNN_STATUS_BAD_PARAM;
    found[d + 2] = room / pooling.strides[d] + 1;
  }
  for (std::size_t d = 0; d < dims.size(); ++d) dims[d] = static_cast<int>(found[d]);
  return CUDNN_STATUS_SUCCESS;
}

DnnPooling Pooling(Call& call, const cudnnPoolingStruct* descriptor, const DnnTensor& x, const DnnTensor& y) {
  call.Require(descriptor != nullptr && descriptor->pooling.rank != 0 && descriptor->pooling.rank == x.rank - 2 &&
               x.rank == y.rank && x.dims[0] == y.dims[0] && x.dims[1] == y.dims[1]);
  return call.status() == CUDNN_STATUS_SUCCESS ? descriptor->pooling : DnnPooling{};
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnCreatePoolingDescriptor(cudnnPoolingDescriptor_t* poolingDesc) { return Create(poolingDesc); }
cudnnStatus_t cudnnDestroyPoolingDescriptor(cudnnPoolingDescriptor_t poolingDesc) { return Destroy(poolingDesc); }

cudnnStatus_t cudnnSetPooling2dDescriptor(cudnnPoolingDescriptor_t poolingDesc, cudnnPoolingMode_t mode,
                                          cudnnNanPropagation_t maxpoolingNanOpt, int windowHeight, int windowWidth,
                                          int verticalPadding, int horizontalPadding, int verticalStride,
                                          int horizontalStride) {
  if (poolingDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  const std::array window{windowHeight, windowWidth}, pads{verticalPadding, horizontalPadding},
      strides{verticalStride, horizontalStride};
  return Set(poolingDesc, mode, maxpoolingNanOpt, window, pads, strides);
}
cudnnStatus_t cudnnGetPooling2dDescriptor(const cudnnPoolingDescriptor_t poolingDesc, cudnnPoolingMode_t* mode,
                                          cudnnNanPropagation_t* maxpoolingNanOpt, int* windowHeight, int* windowWidth,
                                          int* verticalPadding, int* horizontalPadding, int* verticalStride,
                                          int* horizontalStride) {
  if (!AreGiven(poolingDesc, mode, maxpoolingNanOpt, windowHeight, windowWidth, verticalPadding, horizontalPadding,
                verticalStride, horizontalStride))
    return CUDNN_STATUS_BAD_PARAM;
  const DnnPooling& pooling = poolingDesc->pooling;
  if (pooling.rank != 2) return CUDNN_STATUS_BAD_PARAM;
  *mode = static_cast<cudnnPoolingMode_t>(pooling.mode);
  *maxpoolingNanOpt = static_cast<cudnnNanPropagation_t>(pooling.propagates_nan);
  *windowHeight = pooling.window[0];
  *windowWidth = pooling.window[1];
  *verticalPadding = pooling.pads[0];
  *horizontalPadding = pooling.pads[1];
  *verticalStride = pooling.strides[0];
  *horizontalStride = pooling.strides[1];
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetPoolingNdDescriptor(cudnnPoolingDescriptor_t poolingDesc, const cudnnPoolingMode_t mode,
                                          const cudnnNanPropagation_t maxpoolingNanOpt, int nbDims,
                                          const int windowDimA[], const int paddingA[], const int strideA[]) {
  if (!AreGiven(poolingDesc, windowDimA, paddingA, strideA) || nbDims <= 0) return CUDNN_STATUS_BAD_PARAM;
  if (nbDims > kSpaceMax) return CUDNN_STATUS_NOT_SUPPORTED;
  const auto rank = static_cast<std::size_t>(nbDims);
  return Set(poolingDesc, mode, maxpoolingNanOpt, {windowDimA, rank}, {paddingA, rank}, {strideA, rank});
}
cudnnStatus_t cudnnGetPoolingNdDescriptor(const cudnnPoolingDescriptor_t poolingDesc, int nbDimsRequested,
                                          cudnnPoolingMode_t* mode, cudnnNanPropagation_t* maxpoolingNanOpt,
                                          int* nbDims, int windowDimA[], int paddingA[], int strideA[]) {
  if (!AreGiven(poolingDesc, mode, maxpoolingNanOpt, nbDims, windowDimA, paddingA, strideA))
    return CUDNN_STATUS_BAD_PARAM;
  if (nbDimsRequested > kSpaceMax) return CUDNN_STATUS_NOT_SUPPORTED;
  const DnnPooling& pooling = poolingDesc->pooling;
  const int count = std::clamp(nbDimsRequested, 0, pooling.rank);
  *mode = static_cast<cudnnPoolingMode_t>(pooling.mode);
  *maxpoolingNanOpt = static_cast<cudnnNanPropagation_t>(pooling.propagates_nan);
  *nbDims = pooling.rank;
  std::copy_n(pooling.window.begin(), count, windowDimA);
  std::copy_n(pooling.pads.begin(), count, paddingA);
  std::copy_n(pooling.strides.begin(), count, strideA);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetPooling2dForwardOutputDim(const cudnnPoolingDescriptor_t poolingDesc,
                                                const cudnnTensorDescriptor_t inputTensorDesc, int* n, int* c, int* h,
                                                int* w) {
  if (!AreGiven(poolingDesc, inputTensorDesc, n, c, h, w)) return CUDNN_STATUS_BAD_PARAM;
  std::array<int, 4> dims{};
  if (const cudnnStatus_t status = OutputDims(poolingDesc->pooling, inputTensorDesc->tensor, dims);
      status != CUDNN_STATUS_SUCCESS)
    return status;
  *n = dims[0];
  *c = dims[1];
  *h = dims[2];
  *w = dims[3];
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetPoolingNdForwardOutputDim(const cudnnPoolingDescriptor_t poolingDesc,
                                                const cudnnTensorDescriptor_t inputTensorDesc, int nbDims,
                                                int outputTensorDimA[]) {
  if (!AreGiven(poolingDesc, inputTensorDesc, outputTensorDimA) || nbDims <= 0) return CUDNN_STATUS_BAD_PARAM;
  return OutputDims(poolingDesc->pooling, inputTensorDesc->tensor,
                    {outputTensorDimA, static_cast<std::size_t>(nbDims)});
}

cudnnStatus_t cudnnPoolingForward(cudnnHandle_t handle, const cudnnPoolingDescriptor_t poolingDesc, const void* alpha,
                                  const cudnnTensorDescriptor_t xDesc, const void* x, const void* beta,
                                  const cudnnTensorDescriptor_t yDesc, void* y) {
  Call call(handle, "cudnnPoolingForward");
  DnnPoolingForward words;
  words.x = call.Operand(xDesc, x);
  words.y = call.Operand(yDesc, y);
  words.pooling = Pooling(call, poolingDesc, words.x.tensor, words.y.tensor);
  words.blend = call.Blend(alpha, beta, words.y.tensor);
  call.SupportTensors({words.x.tensor, words.y.tensor});
  return call.Post(words);
}
cudnnStatus_t cudnnPoolingBackward(cudnnHandle_t handle, const cudnnPoolingDescriptor_t poolingDesc, const void* alpha,
                                   const cudnnTensorDescriptor_t yDesc, const void* y,
                                   const cudnnTensorDescriptor_t dyDesc, const void* dy,
                                   const cudnnTensorDescriptor_t xDesc, const void* x, const void* beta,
                                   const cudnnTensorDescriptor_t dxDesc, void* dx) {
  Call call(handle, "cudnnPoolingBackward");
  DnnPoolingBackward words;
  words.y = call.Operand(yDesc, y);
  words.dy = call.Operand(dyDesc, dy);
  words.x = call.Operand(xDesc, x);
  words.dx = call.Operand(dxDesc, dx);
  words.pooling = Pooling(call, poolingDesc, words.x.tensor, words.y.tensor);
  words.blend = call.Blend(alpha, beta, words.dx.tensor);
  call.Require(SameDims(words.x.tensor, words.dx.tensor) && SameDims(words.y.tensor, words.dy.tensor));
  call.SupportTensors({words.y.tensor, words.dy.tensor, words.x.tensor, words.dx.tensor});
  return call.Post(words);
}

}  // namespace accelmesh::face
