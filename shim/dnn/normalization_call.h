// What cudnnBatchNormalization...Ex and cudnnNormalization... share.
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

// Descriptors of a query, any of which may be null.
struct NormTensors {
  const cudnnTensorStruct* x = nullptr;
  const cudnnTensorStruct* y = nullptr;
  const cudnnTensorStruct* z = nullptr;
  const cudnnTensorStruct* dy = nullptr;
  const cudnnTensorStruct* dx = nullptr;
  const cudnnTensorStruct* parameters = nullptr;
  const cudnnTensorStruct* moments = nullptr;
};
cudnnStatus_t AskNormSize(Call& call, NormSize what, const DnnNorm& norm, const NormTensors& tensors, size_t* bytes);

// Where a tensor may be left out that the operations do not need.
DnnOperand OptionalOperand(Call& call, bool is_needed, const cudnnTensorStruct* descriptor, const void* memory);
bool Adds(const DnnNorm& norm);
bool Activates(const DnnNorm& norm);

// Checks what the words say, and posts them. Of directions that have a workspace and a reserve, these are large enough.
cudnnStatus_t PostNorm(Call& call, const DnnNormForwardTraining& words);
cudnnStatus_t PostNorm(Call& call, const DnnNormForwardInference& words);
cudnnStatus_t PostNorm(Call& call, const DnnNormBackward& words);

}  // namespace accelmesh::dnn
