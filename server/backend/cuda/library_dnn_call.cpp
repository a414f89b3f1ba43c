// Words of the wire as descriptors of libcudnn.
#include "server/backend/cuda/library_dnn_call.h"

#include <algorithm>

namespace accelmesh::cuda {
namespace {

// Of one kind; a network has as many as it has shapes.
constexpr std::size_t kDescriptorsMax = 1024;

// What a descriptor of an operation or a reduction says.
struct Elementwise {
  std::int32_t operation = 0;
  std::int32_t compute_type = 0;
  std::int64_t propagates_nan = 0;
};

cudnnDataType_t TypeOf(std::int32_t type) { return static_cast<cudnnDataType_t>(type); }
cudnnNanPropagation_t NanOf(std::int64_t propagates) { return static_cast<cudnnNanPropagation_t>(propagates); }

}  // namespace

void DnnDescriptors::Clear(const DnnLibrary& library) {
  tensors.Clear(library.DestroyTensorDescriptor);
  filters.Clear(library.DestroyFilterDescriptor);
  convolutions.Clear(library.DestroyConvolutionDescriptor);
  activations.Clear(library.DestroyActivationDescriptor);
  poolings.Clear(library.DestroyPoolingDescriptor);
  operations.Clear(library.DestroyOpTensorDescriptor);
  reductions.Clear(library.DestroyReduceTensorDescriptor);
  networks.Clear(library.DestroyRNNDescriptor);     // which name dropouts
  attentions.Clear(library.DestroyAttnDescriptor);  // as well
  dropouts.Clear(library.DestroyDropoutDescriptor);
  sequences.Clear(library.DestroyRNNDataDescriptor);
  lrns.Clear(library.DestroyLRNDescriptor);
  transformers.Clear(library.DestroySpatialTransformerDescriptor);
  ctcs.Clear(library.DestroyCTCLossDescriptor);
  transforms.Clear(library.DestroyTensorTransformDescriptor);
  sequence_data.Clear(library.DestroySeqDataDescriptor);
}

void DnnDescriptors::Trim(const DnnLibrary& library) {
  const std::size_t most =
      std::max({tensors.size(), filters.size(), convolutions.size(), activations.size(), poolings.size(),
                operations.size(), reductions.size(), dropouts.size(), networks.size(), sequences.size(), lrns.size(),
                transformers.size(), ctcs.size(), transforms.size(), attentions.size(), sequence_data.size()});
  if (most >= kDescriptorsMax) Clear(library);
}

cudnnTensorDescriptor_t DnnCall::Tensor(const DnnTensor& words) {
  Require(words.rank >= 0 && words.rank <= kDnnDimensionsMax);
  return Describe(&DnnDescriptors::tensors, words, library_.CreateTensorDescriptor, library_.DestroyTensorDescriptor,
                  [&](cudnnTensorDescriptor_t made) {
                    return library_.SetTensorNdDescriptor(made, TypeOf(words.type), words.rank, words.dims.data(),
                                                          words.strides.data());
                  });
}

cudnnFilterDescriptor_t DnnCall::Filter(const DnnTensor& words) {
  Require(words.rank >= 0 && words.rank <= kDnnDimensionsMax);
  return Describe(&DnnDescriptors::filters, words, library_.CreateFilterDescriptor, library_.DestroyFilterDescriptor,
                  [&](cudnnFilterDescriptor_t made) {
                    return library_.SetFilterNdDescriptor(made, TypeOf(words.type),
                                                          static_cast<cudnnTensorFormat_t>(words.format), words.rank,
                                                          words.dims.data());
                  });
}

cudnnConvolutionDescriptor_t DnnCall::Convolution(const DnnConvolution& words) {
  Require(words.rank >= 0 && words.rank <= kDnnSpatialMax);
  return Describe(&DnnDescriptors::convolutions, words, library_.CreateConvolutionDescriptor,
                  library_.DestroyConvolutionDescriptor, [&](cudnnConvolutionDescriptor_t made) {
                    cudnnStatus_t status = library_.SetConvolutionNdDescriptor(
                        made, words.rank, words.pads.data(), words.strides.data(), words.dilations.data(),
                        static_cast<cudnnConvolutionMode_t>(words.mode), TypeOf(words.compute_type));
                    if (status == CUDNN_STATUS_SUCCESS)
                      status = library_.SetConvolutionMathType(made, static_cast<cudnnMathType_t>(words.math_type));
                    if (status == CUDNN_STATUS_SUCCESS) status = library_.SetConvolutionGroupCount(made, words.groups);
                    if (status == CUDNN_STATUS_SUCCESS)
                      status = library_.SetConvolutionReorderType(made, static_cast<cudnnReorderType_t>(words.reorder));
                    return status;
                  });
}

cudnnActivationDescriptor_t DnnCall::Activation(const DnnActivation& words) {
  return Describe(&DnnDescriptors::activations, words, library_.CreateActivationDescriptor,
                  library_.DestroyActivationDescriptor, [&](cudnnActivationDescriptor_t made) {
                    const cudnnStatus_t status =
                        library_.SetActivationDescriptor(made, static_cast<cudnnActivationMode_t>(words.mode),
                                                         NanOf(words.propagates_nan), words.coefficient);
                    if (status != CUDNN_STATUS_SUCCESS || words.mode != CUDNN_ACTIVATION_SWISH) return status;
                    return library_.SetActivationDescriptorSwishBeta(made, words.swish_beta);
                  });
}

cudnnPoolingDescriptor_t DnnCall::Pooling(const DnnPooling& words) {
  Require(words.rank >= 0 && words.rank <= kDnnSpatialMax);
  return Describe(&DnnDescriptors::poolings, words, library_.CreatePoolingDescriptor, library_.DestroyPoolingDescriptor,
                  [&](cudnnPoolingDescriptor_t made) {
                    return library_.SetPoolingNdDescriptor(made, static_cast<cudnnPoolingMode_t>(words.mode),
                                                           NanOf(words.propagates_nan), words.rank, words.window.data(),
                                                           words.pads.data(), words.strides.data());
                  });
}

cudnnOpTensorDescriptor_t DnnCall::Operation(const DnnOpTensor& words) {
  const Elementwise what{words.operation, words.compute_type, words.propagates_nan};
  return Describe(&DnnDescriptors::operations, what, library_.CreateOpTensorDescriptor,
                  library_.DestroyOpTensorDescriptor, [&](cudnnOpTensorDescriptor_t made) {
                    return library_.SetOpTensorDescriptor(made, static_cast<cudnnOpTensorOp_t>(what.operation),
                                                          TypeOf(what.compute_type), NanOf(what.propagates_nan));
                  });
}

cudnnReduceTensorDescriptor_t DnnCall::Reduction(const DnnReduceTensor& words) {
  const Elementwise what{words.operation, words.compute_type, words.propagates_nan};
  return Describe(&DnnDescriptors::reductions, what, library_.CreateReduceTensorDescriptor,
                  library_.DestroyReduceTensorDescriptor, [&](cudnnReduceTensorDescriptor_t made) {
                    return library_.SetReduceTensorDescriptor(made, static_cast<cudnnReduceTensorOp_t>(what.operation),
                                                              TypeOf(what.compute_type), NanOf(what.propagates_nan),
                                                              CUDNN_REDUCE_TENSOR_NO_INDICES, CUDNN_32BIT_INDICES);
                  });
}

const void* DnnCall::Scalar(double value, const DnnTensor& result) {
  Mix(value != 0 ? 1 : 0);
  if (scalars_used_ == scalars_.size()) {
    Require(false);
    return nullptr;
  }
  HostScalar& scalar = scalars_[scalars_used_++];
  if (result.type == CUDNN_DATA_DOUBLE) {
    scalar.in_double = value;
    return &scalar.in_double;
  }
  scalar.in_float = static_cast<float>(value);
  return &scalar.in_float;
}

void* DnnCall::Room(std::size_t bytes) {
  if (status_ != CUDNN_STATUS_SUCCESS || handle_ == nullptr || bytes == 0) return nullptr;
  void* const room = handle_->Room(bytes);
  if (room == nullptr) status_ = CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
  return room;
}

}  // namespace accelmesh::cuda
