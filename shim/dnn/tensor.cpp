// Descriptors of tensors and of filters.
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <span>

#include "shim/dnn/descriptors.h"
#include "shim/dnn/report.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

int BitsOf(int type) {
  switch (type) {
    case CUDNN_DATA_FP4_E2M1:
    case CUDNN_DATA_INT4:
    case CUDNN_DATA_UINT4: return 4;
    case CUDNN_DATA_INT8:
    case CUDNN_DATA_UINT8:
    case CUDNN_DATA_BOOLEAN:
    case CUDNN_DATA_FP8_E4M3:
    case CUDNN_DATA_FP8_E5M2:
    case CUDNN_DATA_FP8_E8M0: return 8;
    case CUDNN_DATA_HALF:
    case CUDNN_DATA_BFLOAT16: return 16;
    case CUDNN_DATA_FLOAT:
    case CUDNN_DATA_INT32:
    case CUDNN_DATA_UINT32:
    case CUDNN_DATA_INT8x4:
    case CUDNN_DATA_UINT8x4:
    case CUDNN_DATA_FAST_FLOAT_FOR_FP8: return 32;
    case CUDNN_DATA_DOUBLE:
    case CUDNN_DATA_INT64:
    case CUDNN_DATA_COMPLEX_FP32: return 64;
    case CUDNN_DATA_COMPLEX_FP64: return 128;
    case CUDNN_DATA_INT8x32: return 256;
    default: return 0;
  }
}

cudnnStatus_t CheckDims(cudnnDataType_t type, std::span<const int> dims) {
  if (!IsLegacy(type)) return CUDNN_STATUS_BAD_PARAM;
  std::int64_t elements = 1;
  bool is_too_large = false;
  for (const int size : dims) {
    if (size <= 0) return CUDNN_STATUS_BAD_PARAM;
    elements *= size;
    is_too_large = is_too_large || elements > std::numeric_limits<std::int32_t>::max();
    if (is_too_large) elements = 1;
  }
  return is_too_large ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;
}

// How many channels are an element of such a type.
int LanesOf(cudnnDataType_t type) {
  return type == CUDNN_DATA_INT8x32 ? 32 : type == CUDNN_DATA_INT8x4 || type == CUDNN_DATA_UINT8x4 ? 4 : 1;
}

cudnnStatus_t CheckFormat(const char* name, cudnnTensorFormat_t format, cudnnDataType_t type,
                          std::span<const int> dims) {
  if (format == CUDNN_TENSOR_NCHW || format == CUDNN_TENSOR_NHWC) return CUDNN_STATUS_SUCCESS;
  if (format != CUDNN_TENSOR_NCHW_VECT_C || LanesOf(type) == 1 || dims[1] % LanesOf(type) != 0)
    return CUDNN_STATUS_BAD_PARAM;
  SayRefused(name, "vectors of channels are not remoted yet");
  return CUDNN_STATUS_NOT_SUPPORTED;
}

// Without gaps; channels the innermost if the format says so.
DnnTensor Pack(cudnnDataType_t type, cudnnTensorFormat_t format, std::span<const int> dims) {
  DnnTensor tensor;
  tensor.type = type;
  tensor.format = format;
  tensor.rank = static_cast<std::int32_t>(dims.size());
  std::int32_t stride = 1;
  if (format == CUDNN_TENSOR_NHWC && dims.size() > 1) {
    tensor.strides[1] = 1;
    stride = dims[1];
  }
  for (std::size_t d = dims.size(); d-- > 0;) {
    tensor.dims[d] = dims[d];
    if (format == CUDNN_TENSOR_NHWC && d == 1) continue;
    tensor.strides[d] = stride;
    stride *= dims[d];
  }
  return tensor;
}

cudnnStatus_t SetPacked(const char* name, DnnTensor* tensor, cudnnDataType_t type, cudnnTensorFormat_t format,
                        std::span<const int> dims) {
  if (const cudnnStatus_t status = CheckFormat(name, format, type, dims); status != CUDNN_STATUS_SUCCESS) return status;
  if (const cudnnStatus_t status = CheckDims(type, dims); status != CUDNN_STATUS_SUCCESS) return status;
  *tensor = Pack(type, format, dims);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t SetStrided(DnnTensor* tensor, cudnnDataType_t type, std::span<const int> dims,
                         std::span<const int> strides) {
  if (const cudnnStatus_t status = CheckDims(type, dims); status != CUDNN_STATUS_SUCCESS) return status;
  for (const int stride : strides) {
    if (stride == 0) return CUDNN_STATUS_BAD_PARAM;
  }
  *tensor = Pack(type, CUDNN_TENSOR_NCHW, dims);
  std::copy(strides.begin(), strides.end(), tensor->strides.begin());
  return CUDNN_STATUS_SUCCESS;
}

// A filter has at least one dimension of space.
cudnnStatus_t CheckRank(int rank, int least) {
  if (rank < least) return CUDNN_STATUS_BAD_PARAM;
  return rank > CUDNN_DIM_MAX ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;
}
constexpr int kTensorRankMin = 2;
constexpr int kFilterRankMin = 3;

void Copy(const std::array<std::int32_t, kDnnDimensionsMax>& from, int rank, int requested, int* to) {
  std::copy_n(from.begin(), std::clamp(requested, 0, rank), to);
}

}  // namespace

bool IsKnown(cudnnDataType_t type) { return BitsOf(type) != 0; }
bool IsLegacy(cudnnDataType_t type) { return type >= CUDNN_DATA_FLOAT && type <= CUDNN_DATA_BFLOAT16; }

std::size_t BytesOf(const DnnTensor& tensor) {
  if (tensor.rank == 0) return 0;
  std::size_t last = 0;
  for (int d = 0; d < tensor.rank; ++d)
    last += static_cast<std::size_t>(tensor.dims[d] - 1) *
            static_cast<std::size_t>(std::abs(std::int64_t{tensor.strides[d]}));
  return ((last + 1) * static_cast<std::size_t>(BitsOf(tensor.type)) + 7) / 8;
}

bool SameDims(const DnnTensor& a, const DnnTensor& b) { return a.rank == b.rank && a.dims == b.dims; }
bool Spreads(const DnnTensor& a, const DnnTensor& b) {
  bool fits = a.rank == b.rank;
  for (int d = 0; fits && d < a.rank; ++d) fits = a.dims[d] == 1 || a.dims[d] == b.dims[d];
  return fits;
}

}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* tensorDesc) { return Create(tensorDesc); }
cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensorDesc) { return Destroy(tensorDesc); }

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t tensorDesc, cudnnTensorFormat_t format,
                                         cudnnDataType_t dataType, int n, int c, int h, int w) {
  if (tensorDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  const std::array dims{n, c, h, w};
  return SetPacked("cudnnSetTensor4dDescriptor", &tensorDesc->tensor, dataType, format, dims);
}
cudnnStatus_t cudnnSetTensor4dDescriptorEx(cudnnTensorDescriptor_t tensorDesc, cudnnDataType_t dataType, int n, int c,
                                           int h, int w, int nStride, int cStride, int hStride, int wStride) {
  if (tensorDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  const std::array dims{n, c, h, w}, strides{nStride, cStride, hStride, wStride};
  return SetStrided(&tensorDesc->tensor, dataType, dims, strides);
}
cudnnStatus_t cudnnGetTensor4dDescriptor(const cudnnTensorDescriptor_t tensorDesc, cudnnDataType_t* dataType, int* n,
                                         int* c, int* h, int* w, int* nStride, int* cStride, int* hStride,
                                         int* wStride) {
  if (!AreGiven(tensorDesc, dataType, n, c, h, w, nStride, cStride, hStride, wStride)) return CUDNN_STATUS_BAD_PARAM;
  const DnnTensor& tensor = tensorDesc->tensor;
  *dataType = static_cast<cudnnDataType_t>(tensor.type);
  const std::array dims{n, c, h, w}, strides{nStride, cStride, hStride, wStride};
  for (std::size_t d = 0; d < dims.size(); ++d) {
    *dims[d] = tensor.dims[d];
    *strides[d] = tensor.strides[d];
  }
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t tensorDesc, cudnnDataType_t dataType, int nbDims,
                                         const int dimA[], const int strideA[]) {
  if (!AreGiven(tensorDesc, dimA, strideA)) return CUDNN_STATUS_BAD_PARAM;
  if (const cudnnStatus_t status = CheckRank(nbDims, kTensorRankMin); status != CUDNN_STATUS_SUCCESS) return status;
  const auto rank = static_cast<std::size_t>(nbDims);
  return SetStrided(&tensorDesc->tensor, dataType, {dimA, rank}, {strideA, rank});
}
cudnnStatus_t cudnnSetTensorNdDescriptorEx(cudnnTensorDescriptor_t tensorDesc, cudnnTensorFormat_t format,
                                           cudnnDataType_t dataType, int nbDims, const int dimA[]) {
  if (!AreGiven(tensorDesc, dimA)) return CUDNN_STATUS_BAD_PARAM;
  if (const cudnnStatus_t status = CheckRank(nbDims, kTensorRankMin); status != CUDNN_STATUS_SUCCESS) return status;
  return SetPacked("cudnnSetTensorNdDescriptorEx", &tensorDesc->tensor, dataType, format,
                   {dimA, static_cast<std::size_t>(nbDims)});
}
cudnnStatus_t cudnnGetTensorNdDescriptor(const cudnnTensorDescriptor_t tensorDesc, int nbDimsRequested,
                                         cudnnDataType_t* dataType, int* nbDims, int dimA[], int strideA[]) {
  if (!AreGiven(tensorDesc, dataType, nbDims, dimA, strideA)) return CUDNN_STATUS_BAD_PARAM;
  const DnnTensor& tensor = tensorDesc->tensor;
  *dataType = static_cast<cudnnDataType_t>(tensor.type);
  *nbDims = tensor.rank;
  Copy(tensor.dims, tensor.rank, nbDimsRequested, dimA);
  Copy(tensor.strides, tensor.rank, nbDimsRequested, strideA);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetTensorSizeInBytes(const cudnnTensorDescriptor_t tensorDesc, size_t* size) {
  if (!AreGiven(tensorDesc, size)) return CUDNN_STATUS_BAD_PARAM;
  *size = BytesOf(tensorDesc->tensor);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* filterDesc) { return Create(filterDesc); }
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t filterDesc) { return Destroy(filterDesc); }

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t filterDesc, cudnnDataType_t dataType,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w) {
  if (filterDesc == nullptr || dataType == CUDNN_DATA_INT32) return CUDNN_STATUS_BAD_PARAM;
  const std::array dims{k, c, h, w};
  return SetPacked("cudnnSetFilter4dDescriptor", &filterDesc->tensor, dataType, format, dims);
}
cudnnStatus_t cudnnGetFilter4dDescriptor(const cudnnFilterDescriptor_t filterDesc, cudnnDataType_t* dataType,
                                         cudnnTensorFormat_t* format, int* k, int* c, int* h, int* w) {
  if (!AreGiven(filterDesc, dataType, format, k, c, h, w)) return CUDNN_STATUS_BAD_PARAM;
  const DnnTensor& tensor = filterDesc->tensor;
  *dataType = static_cast<cudnnDataType_t>(tensor.type);
  *format = static_cast<cudnnTensorFormat_t>(tensor.format);
  const std::array dims{k, c, h, w};
  for (std::size_t d = 0; d < dims.size(); ++d) *dims[d] = tensor.dims[d];
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetFilterNdDescriptor(cudnnFilterDescriptor_t filterDesc, cudnnDataType_t dataType,
                                         cudnnTensorFormat_t format, int nbDims, const int filterDimA[]) {
  if (!AreGiven(filterDesc, filterDimA) || dataType == CUDNN_DATA_INT32) return CUDNN_STATUS_BAD_PARAM;
  if (const cudnnStatus_t status = CheckRank(nbDims, kFilterRankMin); status != CUDNN_STATUS_SUCCESS) return status;
  return SetPacked("cudnnSetFilterNdDescriptor", &filterDesc->tensor, dataType, format,
                   {filterDimA, static_cast<std::size_t>(nbDims)});
}
cudnnStatus_t cudnnGetFilterNdDescriptor(const cudnnFilterDescriptor_t filterDesc, int nbDimsRequested,
                                         cudnnDataType_t* dataType, cudnnTensorFormat_t* format, int* nbDims,
                                         int filterDimA[]) {
  if (!AreGiven(filterDesc, dataType, format, nbDims, filterDimA)) return CUDNN_STATUS_BAD_PARAM;
  if (const cudnnStatus_t status = CheckRank(nbDimsRequested, 1); status != CUDNN_STATUS_SUCCESS) return status;
  const DnnTensor& tensor = filterDesc->tensor;
  *dataType = static_cast<cudnnDataType_t>(tensor.type);
  *format = static_cast<cudnnTensorFormat_t>(tensor.format);
  *nbDims = tensor.rank;
  Copy(tensor.dims, tensor.rank, nbDimsRequested, filterDimA);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetFilterSizeInBytes(const cudnnFilterDescriptor_t filterDesc, size_t* size) {
  if (!AreGiven(filterDesc, size)) return CUDNN_STATUS_BAD_PARAM;
  *size = BytesOf(filterDesc->tensor);
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace accelmesh::face
