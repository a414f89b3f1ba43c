// What cudnnBatchNormalization..., its ...Ex and cudnnNormalization... share.
//
// Threads: as call.h.
#pragma once

#include "shim/dnn/call.h"
#include "shim/dnn/layer_descriptors.h"

namespace accelmesh::dnn {

enum class NormSize : std::int64_t { kForward = 0, kBackward = 1, kReserve = 2 };

// The dimensions of scales, biases and moments.
DnnTensor NormParametersOf(const DnnTensor& x, bool per_activation);

// Of a batch normalisation, whose moments lie as its scale does, and of a normalisation.
DnnNorm BatchNorm(Call& call, cudnnBatchNormMode_t mode, cudnnBatchNormOps_t operations,
                  const cudnnActivationStruct* activation);
DnnNorm Norm(Call& call, cudnnNormMode_t mode, cudnnNormOps_t operations, cudnnNormAlgo_t algorithm,
             const cudnnActivationStruct* activation, int groups);

// Descriptors of a query. What the operations do not need may be null.
struct NormTensors {
  const cudnnTensorStruct* x = nullptr;
  const cudnnTensorStruct* y = nullptr;
  const cudnnTensorStruct* z = nullptr;
  const cudnnTensorStruct* dy = nullptr;
  const cudnnTensorStruct* dx = nullptr;
  const cudnnTensorStruct* parameters = nullptr;
  const cudnnTensorStruct* moments = nullptr;
};
cudnnStatus_t AskNormSize(Call& call, NormSize what, const DnnNorm& norm, NormTensors tensors, size_t* bytes);

// Arguments as programs give them. Of a z, dz or y that the operations do not need nothing is looked at.
struct NormOperand {
  const cudnnTensorStruct* descriptor = nullptr;
  const void* memory = nullptr;
};
struct NormScalars {
  const void* alpha = nullptr;
  const void* beta = nullptr;
};
struct NormParameters {
  const cudnnTensorStruct* descriptor = nullptr;
  const cudnnTensorStruct* moments = nullptr;  // as these lie
  const void* scale = nullptr;
  const void* bias = nullptr;
};
struct NormKept {
  double average_factor = 0;
  const void* running_mean = nullptr;
  const void* running_variance = nullptr;
  const void* saved_mean = nullptr;
  const void* saved_inverse_deviation = nullptr;
};
struct NormGradients {
  const void* scale = nullptr;
  const void* bias = nullptr;
  const void* saved_mean = nullptr;
  const void* saved_inverse_deviation = nullptr;
};
struct NormSpace {
  const void* memory = nullptr;
  size_t bytes = 0;
};
struct NormTraining {
  NormOperand x, z, y;
  NormParameters parameters{};
  NormKept kept{};
  double epsilon = 0;
  NormScalars blend{};
  NormSpace workspace{}, reserve{};
};
struct NormBackward {
  NormOperand x, y, dy, dz, dx;
  NormParameters parameters{};
  NormGradients gradients{};
  double epsilon = 0;
  NormScalars data{}, parameter{};
  NormSpace workspace{}, reserve{};
};

// Of any of the words that say it.
template <typename Words>
void Set(const NormKept& kept, Words* words) {
  words->average_factor = kept.average_factor;
  words->running_mean = AddressOf(kept.running_mean);
  words->running_variance = AddressOf(kept.running_variance);
  words->saved_mean = AddressOf(kept.saved_mean);
  words->saved_inverse_deviation = AddressOf(kept.saved_inverse_deviation);
}
template <typename Words>
void Set(const NormGradients& gradients, Words* words) {
  words->scale_gradient = AddressOf(gradients.scale);
  words->bias_gradient = AddressOf(gradients.bias);
  words->saved_mean = AddressOf(gradients.saved_mean);
  words->saved_inverse_deviation = AddressOf(gradients.saved_inverse_deviation);
}
// What a direction cannot do without; of a pair both or neither.
template <typename Words>
bool AreTraining(const Words& words) {
  return words.scale != 0 && words.bias != 0 && (words.running_mean == 0) == (words.running_variance == 0) &&
         (words.saved_mean == 0) == (words.saved_inverse_deviation == 0);
}
template <typename Words>
bool AreInference(const Words& words) {
  return words.scale != 0 && words.bias != 0 && words.mean != 0 && words.variance != 0;
}
template <typename Words>
bool AreBackward(const Words& words) {
  return words.scale != 0 && words.scale_gradient != 0 && words.bias_gradient != 0 &&
         (words.saved_mean == 0) == (words.saved_inverse_deviation == 0);
}

// Checks what was given, and posts it. Of directions that have a workspace and a reserve, these are large enough.
cudnnStatus_t PostNorm(Call& call, const DnnNorm& norm, const NormTraining& given);
cudnnStatus_t PostNorm(Call& call, const DnnNorm& norm, const NormBackward& given);
bool Adds(const DnnNorm& norm);
cudnnStatus_t PostNorm(Call& call, const DnnNormForwardInference& words);
// Where a tensor may be left out that the operations do not need.
DnnOperand OptionalOperand(Call& call, bool is_needed, const NormOperand& operand);

}  // namespace accelmesh::dnn
