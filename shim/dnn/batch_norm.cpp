// Batch normalisation.
#include "shim/dnn/normalization_call.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

bool IsBatchNormMode(cudnnBatchNormMode_t mode) {
  return mode >= CUDNN_BATCHNORM_PER_ACTIVATION && mode <= CUDNN_BATCHNORM_SPATIAL_PERSISTENT;
}
// The dimensions of scales, biases and moments.
DnnTensor ParametersOf(const DnnTensor& x, cudnnBatchNormMode_t mode) {
  return NormParametersOf(x, mode == CUDNN_BATCHNORM_PER_ACTIVATION);
}

// What all three directions ask of their arguments.
void Check(Call& call, cudnnBatchNormMode_t mode, const DnnTensor& x, const DnnTensor& y, const DnnTensor& parameters,
           double epsilon) {
  call.Require(IsBatchNormMode(mode) && epsilon >= CUDNN_BN_MIN_EPSILON && SameDims(x, y));
  if (call.status() != CUDNN_STATUS_SUCCESS) return;
  const DnnTensor wanted = ParametersOf(x, mode);
  call.Require(SameDims(parameters, wanted) && parameters.type == wanted.type);
  call.SupportTensors({x, y, parameters});
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnDeriveBNTensorDescriptor(cudnnTensorDescriptor_t derivedBnDesc, const cudnnTensorDescriptor_t xDesc,
                                            cudnnBatchNormMode_t mode) {
  if (!AreGiven(derivedBnDesc, xDesc) || !IsBatchNormMode(mode) || xDesc->tensor.rank == 0)
    return CUDNN_STATUS_BAD_PARAM;
  derivedBnDesc->tensor = ParametersOf(xDesc->tensor, mode);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBatchNormalizationForwardTraining(cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void* alpha,
                                                     const void* beta, const cudnnTensorDescriptor_t xDesc,
                                                     const void* x, const cudnnTensorDescriptor_t yDesc, void* y,
                                                     const cudnnTensorDescriptor_t bnScaleBiasMeanVarDesc,
                                                     const void* bnScale, const void* bnBias,
                                                     double exponentialAverageFactor, void* resultRunningMean,
                                                     void* resultRunningVariance, double epsilon, void* resultSaveMean,
                                                     void* resultSaveInvVariance) {
  Call call(handle, "cudnnBatchNormalizationForwardTraining");
  DnnBatchNormForwardTraining words;
  words.x = call.Operand(xDesc, x);
  words.y = call.Operand(yDesc, y);
  words.parameters = call.Tensor(bnScaleBiasMeanVarDesc);
  words.scale = AddressOf(bnScale);
  words.bias = AddressOf(bnBias);
  Set(NormKept{exponentialAverageFactor, resultRunningMean, resultRunningVariance, resultSaveMean,
               resultSaveInvVariance},
      &words);
  words.mode = mode;
  words.epsilon = epsilon;
  words.blend = call.Blend(alpha, beta, words.y.tensor);
  call.Require(AreTraining(words));
  Check(call, mode, words.x.tensor, words.y.tensor, words.parameters, epsilon);
  return call.Post(words);
}

cudnnStatus_t cudnnBatchNormalizationForwardInference(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void* alpha, const void* beta,
    const cudnnTensorDescriptor_t xDesc, const void* x, const cudnnTensorDescriptor_t yDesc, void* y,
    const cudnnTensorDescriptor_t bnScaleBiasMeanVarDesc, const void* bnScale, const void* bnBias,
    const void* estimatedMean, const void* estimatedVariance, double epsilon) {
  Call call(handle, "cudnnBatchNormalizationForwardInference");
  DnnBatchNormForwardInference words;
  words.x = call.Operand(xDesc, x);
  words.y = call.Operand(yDesc, y);
  words.parameters = call.Tensor(bnScaleBiasMeanVarDesc);
  words.scale = AddressOf(bnScale);
  words.bias = AddressOf(bnBias);
  words.mean = AddressOf(estimatedMean);
  words.variance = AddressOf(estimatedVariance);
  words.mode = mode;
  words.epsilon = epsilon;
  words.blend = call.Blend(alpha, beta, words.y.tensor);
  call.Require(AreInference(words));
  Check(call, mode, words.x.tensor, words.y.tensor, words.parameters, epsilon);
  return call.Post(words);
}

cudnnStatus_t cudnnBatchNormalizationBackward(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void* alphaDataDiff, const void* betaDataDiff,
    const void* alphaParamDiff, const void* betaParamDiff, const cudnnTensorDescriptor_t xDesc, const void* x,
    const cudnnTensorDescriptor_t dyDesc, const void* dy, const cudnnTensorDescriptor_t dxDesc, void* dx,
    const cudnnTensorDescriptor_t dBnScaleBiasDesc, const void* bnScale, void* dBnScaleResult, void* dBnBiasResult,
    double epsilon, const void* savedMean, const void* savedInvVariance) {
  Call call(handle, "cudnnBatchNormalizationBackward");
  DnnBatchNormBackward words;
  words.x = call.Operand(xDesc, x);
  words.dy = call.Operand(dyDesc, dy);
  words.dx = call.Operand(dxDesc, dx);
  words.parameters = call.Tensor(dBnScaleBiasDesc);
  words.scale = AddressOf(bnScale);
  Set(NormGradients{dBnScaleResult, dBnBiasResult, savedMean, savedInvVariance}, &words);
  words.mode = mode;
  words.epsilon = epsilon;
  words.data = call.Blend(alphaDataDiff, betaDataDiff, words.dx.tensor);
  words.parameter = call.Blend(alphaParamDiff, betaParamDiff, words.parameters);
  call.Require(AreBackward(words) && SameDims(words.dy.tensor, words.x.tensor));
  Check(call, mode, words.x.tensor, words.dx.tensor, words.parameters, epsilon);
  call.SupportTensors({words.dy.tensor});
  return call.Post(words);
}

}  // namespace accelmesh::face
