// Transforms of tensors and filters: padding, another format, space folded into channels. The matrix of a convolution.
#include <algorithm>
#include <limits>

#include "shim/dnn/call.h"
#include "shim/dnn/convolution_call.h"
#include "shim/dnn/layer_descriptors.h"
#include "shim/dnn/report.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

using Dims = std::array<int, CUDNN_DIM_MAX>;

constexpr std::int64_t Ceiling(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Of the result; false if there is none.
bool TransformedDims(const DnnTransform& transform, const DnnTensor& x, Dims* dims) {
  if (transform.rank != x.rank || x.rank < 2) return false;
  std::array<std::int64_t, CUDNN_DIM_MAX> sizes{};
  std::int64_t folds = 1;
  for (int d = 0; d < x.rank; ++d) {
    const std::int64_t pads = std::int64_t{transform.before[d]} + transform.after[d];
    const std::int64_t fold = d < 2 ? 1 : std::max(transform.folds[d - 2], 1);
    folds *= fold;
    if (folds > std::numeric_limits<int>::max()) return false;
    sizes[d] = transform.direction == CUDNN_TRANSFORM_FOLD ? Ceiling(std::max<std::int64_t>(x.dims[d] + pads, 0), fold)
                                                           : x.dims[d] * fold + pads;
  }
  if (transform.direction == CUDNN_TRANSFORM_FOLD) {
    sizes[1] *= folds;
  } else {
    sizes[1] = Ceiling(x.dims[1], folds) + transform.before[1] + transform.after[1];
  }
  for (int d = 0; d < x.rank; ++d) {
    if (sizes[d] < 1 || sizes[d] > std::numeric_limits<int>::max()) return false;
    (*dims)[d] = static_cast<int>(sizes[d]);
  }
  return true;
}

template <typename Words, typename Descriptor>
cudnnStatus_t TransformBy(Call& call, const cudnnTensorTransformStruct* descriptor, const void* alpha,
                          const Descriptor* from_descriptor, const void* from, const void* beta,
                          const Descriptor* to_descriptor, void* to) {
  Words words;
  call.Require(descriptor != nullptr);
  words.x = call.Operand(from_descriptor, from);
  words.y = call.Operand(to_descriptor, to);
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  words.transform = descriptor->transform;
  words.blend = call.Blend(alpha, beta, words.y.tensor);
  Dims dims{};
  call.Require(TransformedDims(words.transform, words.x.tensor, &dims) && words.y.tensor.rank == words.x.tensor.rank &&
               std::equal(dims.begin(), dims.begin() + words.y.tensor.rank, words.y.tensor.dims.begin()));
  call.SupportTensors({words.x.tensor, words.y.tensor});
  return call.Post(words);
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnCreateTensorTransformDescriptor(cudnnTensorTransformDescriptor_t* transformDesc) {
  return Create(transformDesc);
}
cudnnStatus_t cudnnDestroyTensorTransformDescriptor(cudnnTensorTransformDescriptor_t transformDesc) {
  return Destroy(transformDesc);
}
// As cuDNN's: what is null stays as it was, and nothing is asked of pads, folds and the direction.
cudnnStatus_t cudnnSetTensorTransformDescriptor(cudnnTensorTransformDescriptor_t transformDesc, const uint32_t nbDims,
                                                const cudnnTensorFormat_t destFormat, const int32_t padBeforeA[],
                                                const int32_t padAfterA[], const uint32_t foldA[],
                                                const cudnnFoldingDirection_t direction) {
  if (transformDesc == nullptr || nbDims < 2) return CUDNN_STATUS_BAD_PARAM;
  if (nbDims > CUDNN_DIM_MAX) return CUDNN_STATUS_NOT_SUPPORTED;
  if (destFormat != CUDNN_TENSOR_NCHW && destFormat != CUDNN_TENSOR_NHWC) {
    if (destFormat == CUDNN_TENSOR_NCHW_VECT_C)
      SayRefused("cudnnSetTensorTransformDescriptor", "vectors of channels are not remoted yet");
    return CUDNN_STATUS_NOT_SUPPORTED;
  }
  DnnTransform& transform = transformDesc->transform;
  transform.rank = static_cast<std::int32_t>(nbDims);
  transform.format = destFormat;
  transform.direction = static_cast<std::int32_t>(direction);
  if (padBeforeA != nullptr) std::copy_n(padBeforeA, nbDims, transform.before.begin());
  if (padAfterA != nullptr) std::copy_n(padAfterA, nbDims, transform.after.begin());
  if (foldA != nullptr) {
    constexpr std::uint32_t kLargest = std::numeric_limits<std::int32_t>::max();
    std::transform(foldA, foldA + nbDims - 2, transform.folds.begin(),
                   [kLargest](std::uint32_t fold) { return static_cast<std::int32_t>(std::min(fold, kLargest)); });
  }
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetTensorTransformDescriptor(cudnnTensorTransformDescriptor_t transformDesc,
                                                uint32_t nbDimsRequested, cudnnTensorFormat_t* destFormat,
                                                int32_t padBeforeA[], int32_t padAfterA[], uint32_t foldA[],
                                                cudnnFoldingDirection_t* direction) {
  if (!AreGiven(transformDesc, destFormat, direction) || nbDimsRequested < 3 || nbDimsRequested > CUDNN_DIM_MAX)
    return CUDNN_STATUS_BAD_PARAM;
  const DnnTransform& transform = transformDesc->transform;
  *destFormat = static_cast<cudnnTensorFormat_t>(transform.format);
  *direction = static_cast<cudnnFoldingDirection_t>(transform.direction);
  if (padBeforeA != nullptr) std::copy_n(transform.before.begin(), nbDimsRequested, padBeforeA);
  if (padAfterA != nullptr) std::copy_n(transform.after.begin(), nbDimsRequested, padAfterA);
  if (foldA != nullptr) std::copy_n(transform.folds.begin(), nbDimsRequested - 2, foldA);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnInitTransformDest(const cudnnTensorTransformDescriptor_t transformDesc,
                                     const cudnnTensorDescriptor_t srcDesc, cudnnTensorDescriptor_t destDesc,
                                     size_t* destSizeInBytes) {
  if (!AreGiven(transformDesc, srcDesc, destDesc)) return CUDNN_STATUS_BAD_PARAM;
  const DnnTransform& transform = transformDesc->transform;
  const DnnTensor& x = srcDesc->tensor;
  Dims dims{};
  if (!TransformedDims(transform, x, &dims)) return CUDNN_STATUS_BAD_PARAM;
  const cudnnStatus_t status =
      face::cudnnSetTensorNdDescriptorEx(destDesc, static_cast<cudnnTensorFormat_t>(transform.format),
                                         static_cast<cudnnDataType_t>(x.type), x.rank, dims.data());
  if (status == CUDNN_STATUS_SUCCESS && destSizeInBytes != nullptr) *destSizeInBytes = BytesOf(destDesc->tensor);
  return status;
}

cudnnStatus_t cudnnTransformTensorEx(cudnnHandle_t handle, const cudnnTensorTransformDescriptor_t transDesc,
                                     const void* alpha, const cudnnTensorDescriptor_t srcDesc, const void* srcData,
                                     const void* beta, const cudnnTensorDescriptor_t destDesc, void* destData) {
  Call call(handle, "cudnnTransformTensorEx");
  return TransformBy<DnnTransformEx>(call, transDesc, alpha, srcDesc, srcData, beta, destDesc, destData);
}
cudnnStatus_t cudnnTransformFilter(cudnnHandle_t handle, const cudnnTensorTransformDescriptor_t transDesc,
                                   const void* alpha, const cudnnFilterDescriptor_t srcDesc, const void* srcData,
                                   const void* beta, const cudnnFilterDescriptor_t destDesc, void* destData) {
  Call call(handle, "cudnnTransformFilter");
  return TransformBy<DnnTransformFilter>(call, transDesc, alpha, srcDesc, srcData, beta, destDesc, destData);
}

cudnnStatus_t cudnnIm2Col(cudnnHandle_t handle, const cudnnTensorDescriptor_t xDesc, const void* x,
                          const cudnnFilterDescriptor_t wDesc, const cudnnConvolutionDescriptor_t convDesc,
                          void* colBuffer) {
  Call call(handle, "cudnnIm2Col");
  DnnIm2Col words;
  words.x = call.Operand(xDesc, x);
  words.w = call.Tensor(wDesc);
  words.convolution = Convolution(call, convDesc);
  words.columns = AddressOf(colBuffer);
  const DnnTensor& tensor = words.x.tensor;
  call.Require(colBuffer != nullptr && words.convolution.rank == tensor.rank - 2 && words.w.rank == tensor.rank &&
               words.w.dims[1] == tensor.dims[1]);
  for (int d = 0; d < words.convolution.rank; ++d) {
    call.Require(tensor.dims[d + 2] + 2 * std::int64_t{words.convolution.pads[d]} >=
                 (words.w.dims[d + 2] - std::int64_t{1}) * words.convolution.dilations[d] + 1);
  }
  call.Support(words.w.type == tensor.type, "its tensors are of different types");
  call.Support(words.w.format == CUDNN_TENSOR_NCHW, "its filter has channels last");
  call.Support(words.convolution.groups == 1, "it has groups");
  call.SupportTensors({tensor});
  return call.Post(words);
}

// It is for filters of CUDNN_DATA_INT8x32 in CUDNN_TENSOR_NCHW_VECT_C, a format that no descriptor can be set to here.
cudnnStatus_t cudnnReorderFilterAndBias(cudnnHandle_t handle, const cudnnFilterDescriptor_t filterDesc,
                                        cudnnReorderType_t reorderType, const void* filterData,
                                        void* reorderedFilterData, int reorderBias, const void* biasData,
                                        void* reorderedBiasData) {
  Call call(handle, "cudnnReorderFilterAndBias");
  static_cast<void>(call.Tensor(filterDesc));
  call.Require(AreGiven(filterData, reorderedFilterData) &&
               (reorderType == CUDNN_DEFAULT_REORDER || reorderType == CUDNN_NO_REORDER) &&
               (reorderBias == 0 || AreGiven(biasData, reorderedBiasData)));
  call.Support(false, "it is for vectors of channels, which are not remoted yet");
  return call.status();
}

}  // namespace accelmesh::face
