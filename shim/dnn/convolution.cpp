// Descriptors of convolutions, and the size of what one makes.
#include <algorithm>
#include <span>

#include "shim/dnn/descriptors.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

constexpr int kSpaceMax = CUDNN_DIM_MAX - 2;

cudnnStatus_t Set(cudnnConvolutionDescriptor_t descriptor, std::span<const int> pads, std::span<const int> strides,
                  std::span<const int> dilations, cudnnConvolutionMode_t mode, cudnnDataType_t compute_type) {
  const bool computes = compute_type == CUDNN_DATA_FLOAT || compute_type == CUDNN_DATA_DOUBLE ||
                        compute_type == CUDNN_DATA_HALF || compute_type == CUDNN_DATA_INT32;
  if (!computes || (mode != CUDNN_CONVOLUTION && mode != CUDNN_CROSS_CORRELATION)) return CUDNN_STATUS_BAD_PARAM;
  for (std::size_t d = 0; d < pads.size(); ++d) {
    if (pads[d] < 0 || strides[d] <= 0 || dilations[d] <= 0) return CUDNN_STATUS_BAD_PARAM;
  }
  DnnConvolution& convolution = descriptor->convolution;
  convolution.rank = static_cast<std::int32_t>(pads.size());
  convolution.mode = mode;
  convolution.compute_type = compute_type;
  // What a descriptor does not use is nothing: it is part of what algorithms are remembered by.
  convolution.pads = convolution.strides = convolution.dilations = {};
  std::copy(pads.begin(), pads.end(), convolution.pads.begin());
  std::copy(strides.begin(), strides.end(), convolution.strides.begin());
  std::copy(dilations.begin(), dilations.end(), convolution.dilations.begin());
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t OutputDims(const DnnConvolution& c, const DnnTensor& x, const DnnTensor& w,
                         std::array<int, CUDNN_DIM_MAX>* dims) {
  if (x.rank != c.rank + 2 || w.rank != x.rank || std::int64_t{w.dims[1]} * c.groups != x.dims[1])
    return CUDNN_STATUS_BAD_PARAM;
  (*dims)[0] = x.dims[0];
  (*dims)[1] = w.dims[0];
  for (int d = 0; d < c.rank; ++d) {
    const std::int64_t room = std::int64_t{x.dims[d + 2]} + 2 * std::int64_t{c.pads[d]} -
                              (std::int64_t{w.dims[d + 2]} - 1) * c.dilations[d] - 1;
    if (room < 0) return CUDNN_STATUS_BAD_PARAM;
    (*dims)[d + 2] = static_cast<int>(room / c.strides[d] + 1);
  }
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* convDesc) { return Create(convDesc); }
cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t convDesc) { return Destroy(convDesc); }

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t convDesc, int pad_h, int pad_w, int u, int v,
                                              int dilation_h, int dilation_w, cudnnConvolutionMode_t mode,
                                              cudnnDataType_t computeType) {
  if (convDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  const std::array pads{pad_h, pad_w}, strides{u, v}, dilations{dilation_h, dilation_w};
  return Set(convDesc, pads, strides, dilations, mode, computeType);
}
cudnnStatus_t cudnnGetConvolution2dDescriptor(const cudnnConvolutionDescriptor_t convDesc, int* pad_h, int* pad_w,
                                              int* u, int* v, int* dilation_h, int* dilation_w,
                                              cudnnConvolutionMode_t* mode, cudnnDataType_t* computeType) {
  if (!AreGiven(convDesc, pad_h, pad_w, u, v, dilation_h, dilation_w, mode, computeType)) return CUDNN_STATUS_BAD_PARAM;
  const DnnConvolution& convolution = convDesc->convolution;
  if (convolution.rank != 2) return CUDNN_STATUS_BAD_PARAM;
  *pad_h = convolution.pads[0];
  *pad_w = convolution.pads[1];
  *u = convolution.strides[0];
  *v = convolution.strides[1];
  *dilation_h = convolution.dilations[0];
  *dilation_w = convolution.dilations[1];
  *mode = static_cast<cudnnConvolutionMode_t>(convolution.mode);
  *computeType = static_cast<cudnnDataType_t>(convolution.compute_type);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionNdDescriptor(cudnnConvolutionDescriptor_t convDesc, int arrayLength, const int padA[],
                                              const int filterStrideA[], const int dilationA[],
                                              cudnnConvolutionMode_t mode, cudnnDataType_t computeType) {
  if (!AreGiven(convDesc, padA, filterStrideA, dilationA) || arrayLength < 0) return CUDNN_STATUS_BAD_PARAM;
  if (arrayLength > kSpaceMax) return CUDNN_STATUS_NOT_SUPPORTED;
  const auto rank = static_cast<std::size_t>(arrayLength);
  return Set(convDesc, {padA, rank}, {filterStrideA, rank}, {dilationA, rank}, mode, computeType);
}
cudnnStatus_t cudnnGetConvolutionNdDescriptor(const cudnnConvolutionDescriptor_t convDesc, int arrayLengthRequested,
                                              int* arrayLength, int padA[], int strideA[], int dilationA[],
                                              cudnnConvolutionMode_t* mode, cudnnDataType_t* computeType) {
  if (!AreGiven(convDesc, arrayLength, padA, strideA, dilationA, mode, computeType) || arrayLengthRequested < 0)
    return CUDNN_STATUS_BAD_PARAM;
  if (arrayLengthRequested > kSpaceMax) return CUDNN_STATUS_NOT_SUPPORTED;
  const DnnConvolution& convolution = convDesc->convolution;
  const int count = std::min(arrayLengthRequested, convolution.rank);
  std::copy_n(convolution.pads.begin(), count, padA);
  std::copy_n(convolution.strides.begin(), count, strideA);
  std::copy_n(convolution.dilations.begin(), count, dilationA);
  *arrayLength = convolution.rank;
  *mode = static_cast<cudnnConvolutionMode_t>(convolution.mode);
  *computeType = static_cast<cudnnDataType_t>(convolution.compute_type);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t convDesc, cudnnMathType_t mathType) {
  if (convDesc == nullptr || mathType < CUDNN_DEFAULT_MATH || mathType > CUDNN_FMA_MATH) return CUDNN_STATUS_BAD_PARAM;
  convDesc->convolution.math_type = mathType;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionMathType(cudnnConvolutionDescriptor_t convDesc, cudnnMathType_t* mathType) {
  if (!AreGiven(convDesc, mathType)) return CUDNN_STATUS_BAD_PARAM;
  *mathType = static_cast<cudnnMathType_t>(convDesc->convolution.math_type);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t convDesc, int groupCount) {
  if (convDesc == nullptr || groupCount < 1) return CUDNN_STATUS_BAD_PARAM;
  convDesc->convolution.groups = groupCount;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionGroupCount(cudnnConvolutionDescriptor_t convDesc, int* groupCount) {
  if (!AreGiven(convDesc, groupCount)) return CUDNN_STATUS_BAD_PARAM;
  *groupCount = convDesc->convolution.groups;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetConvolutionReorderType(cudnnConvolutionDescriptor_t convDesc, cudnnReorderType_t reorderType) {
  if (convDesc == nullptr || (reorderType != CUDNN_DEFAULT_REORDER && reorderType != CUDNN_NO_REORDER))
    return CUDNN_STATUS_BAD_PARAM;
  convDesc->convolution.reorder = reorderType;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionReorderType(cudnnConvolutionDescriptor_t convDesc, cudnnReorderType_t* reorderType) {
  if (!AreGiven(convDesc, reorderType)) return CUDNN_STATUS_BAD_PARAM;
  *reorderType = static_cast<cudnnReorderType_t>(convDesc->convolution.reorder);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetConvolution2dForwardOutputDim(const cudnnConvolutionDescriptor_t convDesc,
                                                    const cudnnTensorDescriptor_t inputTensorDesc,
                                                    const cudnnFilterDescriptor_t filterDesc, int* n, int* c, int* h,
                                                    int* w) {
  if (!AreGiven(convDesc, inputTensorDesc, filterDesc, n, c, h, w) || convDesc->convolution.rank != 2)
    return CUDNN_STATUS_BAD_PARAM;
  std::array<int, CUDNN_DIM_MAX> dims{};
  if (const cudnnStatus_t status =
          OutputDims(convDesc->convolution, inputTensorDesc->tensor, filterDesc->tensor, &dims);
      status != CUDNN_STATUS_SUCCESS)
    return status;
  *n = dims[0];
  *c = dims[1];
  *h = dims[2];
  *w = dims[3];
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionNdForwardOutputDim(const cudnnConvolutionDescriptor_t convDesc,
                                                    const cudnnTensorDescriptor_t inputTensorDesc,
                                                    const cudnnFilterDescriptor_t filterDesc, int nbDims,
                                                    int tensorOuputDimA[]) {
  if (!AreGiven(convDesc, inputTensorDesc, filterDesc, tensorOuputDimA)) return CUDNN_STATUS_BAD_PARAM;
  if (nbDims < 0 || nbDims > inputTensorDesc->tensor.rank) return CUDNN_STATUS_BAD_PARAM;
  std::array<int, CUDNN_DIM_MAX> dims{};
  if (const cudnnStatus_t status =
          OutputDims(convDesc->convolution, inputTensorDesc->tensor, filterDesc->tensor, &dims);
      status != CUDNN_STATUS_SUCCESS)
    return status;
  std::copy_n(dims.begin(), nbDims, tensorOuputDimA);
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace accelmesh::face
