// A strided convolution's gradient of the data as one that has no strides: filter and gradient are folded, so that what
// a stride leaves out are channels of their own. What the descriptors say is what cuDNN 9.19 does (compared for 1507
// convolutions).
#include <algorithm>

#include "shim/dnn/call.h"
#include "shim/dnn/convolution_call.h"
#include "shim/dnn/layer_descriptors.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

constexpr int kAligned = 8;  // channels

int Ceiling(int a, int b) { return (a + b - 1) / b; }
int Missing(int size, int multiple) { return Ceiling(size, multiple) * multiple - size; }

// Of a dimension of space.
struct Folded {
  int filter_before = 0;
  int filter_after = 0;
  int filter = 0;
  int pad = 0;
  int gradient = 0;
  int diff = 0;
};

Folded Fold(int filter, int pad, int stride, int dilation, int diff, int gradient) {
  Folded folded;
  // The filter begins at a multiple of the stride before the gradient's first element.
  folded.filter_before = Missing(pad, stride);
  folded.filter_after = Missing(folded.filter_before + filter, stride);
  folded.filter = (folded.filter_before + filter + folded.filter_after) / stride;
  folded.pad = Ceiling(pad, stride);
  const int reached = std::min(gradient, (diff - 1) * stride - pad + (filter - 1) * dilation + 1);
  folded.gradient = Ceiling(reached, stride);
  folded.diff = folded.gradient + 2 * folded.pad - (folded.filter - 1) * dilation;
  return folded;
}

constexpr int kSpaceMax = CUDNN_DIM_MAX - 2;

// Whether all that the arithmetic of Fold() multiplies is small.
bool IsSmall(const DnnConvolution& convolution) {
  constexpr int kLargest = 1 << 12;
  for (int d = 0; d < convolution.rank; ++d) {
    if (convolution.pads[d] < 0 || convolution.pads[d] > kLargest || convolution.strides[d] > kLargest ||
        convolution.dilations[d] > kLargest)
      return false;
  }
  return true;
}

DnnTransform Transform(int rank, cudnnTensorFormat_t format, cudnnFoldingDirection_t direction,
                       const DnnConvolution* folds) {
  DnnTransform transform;
  transform.rank = rank;
  transform.format = format;
  transform.direction = direction;
  if (folds != nullptr) std::copy_n(folds->strides.begin(), folds->rank, transform.folds.begin());
  return transform;
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnGetFoldedConvBackwardDataDescriptors(
    const cudnnHandle_t, const cudnnFilterDescriptor_t filterDesc, const cudnnTensorDescriptor_t diffDesc,
    const cudnnConvolutionDescriptor_t convDesc, const cudnnTensorDescriptor_t gradDesc,
    const cudnnTensorFormat_t transformFormat, cudnnFilterDescriptor_t foldedFilterDesc,
    cudnnTensorDescriptor_t paddedDiffDesc, cudnnConvolutionDescriptor_t foldedConvDesc,
    cudnnTensorDescriptor_t foldedGradDesc, cudnnTensorTransformDescriptor_t filterFoldTransDesc,
    cudnnTensorTransformDescriptor_t diffPadTransDesc, cudnnTensorTransformDescriptor_t gradFoldTransDesc,
    cudnnTensorTransformDescriptor_t gradUnfoldTransDesc) {
  if (!AreGiven(filterDesc, diffDesc, convDesc, gradDesc, foldedFilterDesc, paddedDiffDesc, foldedConvDesc,
                foldedGradDesc, filterFoldTransDesc, diffPadTransDesc, gradFoldTransDesc, gradUnfoldTransDesc))
    return CUDNN_STATUS_BAD_PARAM;
  const DnnTensor filter = filterDesc->tensor, diff = diffDesc->tensor, gradient = gradDesc->tensor;
  DnnConvolution convolution = convDesc->convolution;
  const int rank = gradient.rank;
  if (rank < 3 || filter.rank != rank || diff.rank != rank || convolution.rank != rank - 2)
    return CUDNN_STATUS_BAD_PARAM;
  if ((transformFormat != CUDNN_TENSOR_NCHW && transformFormat != CUDNN_TENSOR_NHWC) || !IsSmall(convolution))
    return CUDNN_STATUS_NOT_SUPPORTED;
  int folds = 1;
  for (int d = 0; d < convolution.rank; ++d) {
    folds *= convolution.strides[d];
    if (folds > 1 << 15) return CUDNN_STATUS_NOT_SUPPORTED;
  }
  const int multiple = std::max(1, kAligned / folds);
  const int more_channels = Missing(gradient.dims[1], multiple), more_images = Missing(filter.dims[0], kAligned);
  // Channels between those of groups would go to another group.
  if (convolution.groups != 1 && (more_channels != 0 || more_images != 0)) return CUDNN_STATUS_NOT_SUPPORTED;

  DnnTransform of_filter = Transform(rank, transformFormat, CUDNN_TRANSFORM_FOLD, &convolution);
  DnnTransform of_diff = Transform(rank, transformFormat, CUDNN_TRANSFORM_FOLD, nullptr);
  DnnTransform fold = Transform(rank, transformFormat, CUDNN_TRANSFORM_FOLD, &convolution);
  DnnTransform unfold = Transform(rank, transformFormat, CUDNN_TRANSFORM_UNFOLD, &convolution);
  std::array<int, CUDNN_DIM_MAX> filter_dims{filter.dims[0] + more_images, (filter.dims[1] + more_channels) * folds},
      diff_dims{diff.dims[0], diff.dims[1] + more_images},
      gradient_dims{gradient.dims[0], (gradient.dims[1] + more_channels) * folds};
  std::array<int, kSpaceMax> pads{}, strides{}, dilations{};
  of_filter.after[0] = more_images;
  of_filter.after[1] = more_channels;
  of_diff.after[1] = more_images;
  fold.after[1] = more_channels;
  unfold.after[1] = -more_channels;
  for (int d = 0; d < convolution.rank; ++d) {
    const int stride = convolution.strides[d];
    const Folded folded = Fold(filter.dims[d + 2], convolution.pads[d], stride, convolution.dilations[d],
                               diff.dims[d + 2], gradient.dims[d + 2]);
    of_filter.before[d + 2] = folded.filter_before;
    of_filter.after[d + 2] = folded.filter_after;
    of_diff.after[d + 2] = folded.diff - diff.dims[d + 2];
    fold.after[d + 2] = std::min(0, folded.gradient * stride - gradient.dims[d + 2]);
    unfold.after[d + 2] = gradient.dims[d + 2] - folded.gradient * stride;
    filter_dims[d + 2] = folded.filter;
    diff_dims[d + 2] = folded.diff;
    gradient_dims[d + 2] = folded.gradient;
    pads[d] = folded.pad;
    strides[d] = 1;
    dilations[d] = convolution.dilations[d];
  }
  const auto type_of = [](const DnnTensor& tensor) { return static_cast<cudnnDataType_t>(tensor.type); };
  for (const cudnnStatus_t status :
       {face::cudnnSetFilterNdDescriptor(foldedFilterDesc, type_of(filter), transformFormat, rank, filter_dims.data()),
        face::cudnnSetTensorNdDescriptorEx(paddedDiffDesc, transformFormat, type_of(diff), rank, diff_dims.data()),
        face::cudnnSetTensorNdDescriptorEx(foldedGradDesc, transformFormat, type_of(gradient), rank,
                                           gradient_dims.data())}) {
    if (status != CUDNN_STATUS_SUCCESS) return status;
  }
  std::copy(pads.begin(), pads.end(), convolution.pads.begin());
  std::copy(strides.begin(), strides.end(), convolution.strides.begin());
  std::copy(dilations.begin(), dilations.end(), convolution.dilations.begin());
  foldedConvDesc->convolution = convolution;
  filterFoldTransDesc->transform = of_filter;
  diffPadTransDesc->transform = of_diff;
  gradFoldTransDesc->transform = fold;
  gradUnfoldTransDesc->transform = unfold;
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace accelmesh::face
