// Normalisation of a batch with what may follow it, under its two names.
#include "shim/dnn/normalization_call.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnDeriveNormTensorDescriptor(cudnnTensorDescriptor_t derivedNormScaleBiasDesc,
                                              cudnnTensorDescriptor_t derivedNormMeanVarDesc,
                                              const cudnnTensorDescriptor_t xDesc, cudnnNormMode_t mode, int groupCnt) {
  if (!AreGiven(derivedNormScaleBiasDesc, derivedNormMeanVarDesc, xDesc) || xDesc->tensor.rank == 0 ||
      (mode != CUDNN_NORM_PER_ACTIVATION && mode != CUDNN_NORM_PER_CHANNEL))
    return CUDNN_STATUS_BAD_PARAM;
  if (groupCnt != 1) return CUDNN_STATUS_NOT_SUPPORTED;
  derivedNormScaleBiasDesc->tensor = NormParametersOf(xDesc->tensor, mode == CUDNN_NORM_PER_ACTIVATION);
  derivedNormMeanVarDesc->tensor = derivedNormScaleBiasDesc->tensor;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, cudnnBatchNormOps_t bnOps, const cudnnTensorDescriptor_t xDesc,
    const cudnnTensorDescriptor_t zDesc, const cudnnTensorDescriptor_t yDesc,
    const cudnnTensorDescriptor_t bnScaleBiasMeanVarDesc, const cudnnActivationDescriptor_t activationDesc,
    size_t* sizeInBytes) {
  Call call(handle, "cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize");
  const DnnNorm norm = BatchNorm(call, mode, bnOps, activationDesc);
  return AskNormSize(
      call, NormSize::kForward, norm,
      {.x = xDesc, .y = yDesc, .z = zDesc, .parameters = bnScaleBiasMeanVarDesc, .moments = bnScaleBiasMeanVarDesc},
      sizeInBytes);
}
cudnnStatus_t cudnnGetBatchNormalizationBackwardExWorkspaceSize(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, cudnnBatchNormOps_t bnOps, const cudnnTensorDescriptor_t xDesc,
    const cudnnTensorDescriptor_t yDesc, const cudnnTensorDescriptor_t dyDesc, const cudnnTensorDescriptor_t dzDesc,
    const cudnnTensorDescriptor_t dxDesc, const cudnnTensorDescriptor_t dBnScaleBiasDesc,
    const cudnnActivationDescriptor_t activationDesc, size_t* sizeInBytes) {
  Call call(handle, "cudnnGetBatchNormalizationBackwardExWorkspaceSize");
  const DnnNorm norm = BatchNorm(call, mode, bnOps, activationDesc);
  return AskNormSize(call, NormSize::kBackward, norm,
                     {.x = xDesc,
                      .y = yDesc,
                      .z = dzDesc,
                      .dy = dyDesc,
                      .dx = dxDesc,
                      .parameters = dBnScaleBiasDesc,
                      .moments = dBnScaleBiasDesc},
                     sizeInBytes);
}
cudnnStatus_t cudnnGetBatchNormalizationTrainingExReserveSpaceSize(cudnnHandle_t handle, cudnnBatchNormMode_t mode,
                                                                   cudnnBatchNormOps_t bnOps,
                                                                   const cudnnActivationDescriptor_t activationDesc,
                                                                   const cudnnTensorDescriptor_t xDesc,
                                                                   size_t* sizeInBytes) {
  Call call(handle, "cudnnGetBatchNormalizationTrainingExReserveSpaceSize");
  const DnnNorm norm = BatchNorm(call, mode, bnOps, activationDesc);
  return AskNormSize(call, NormSize::kReserve, norm, {.x = xDesc}, sizeInBytes);
}
cudnnStatus_t cudnnGetNormalizationForwardTrainingWorkspaceSize(
    cudnnHandle_t handle, cudnnNormMode_t mode, cudnnNormOps_t normOps, cudnnNormAlgo_t algo,
    const cudnnTensorDescriptor_t xDesc, const cudnnTensorDescriptor_t zDesc, const cudnnTensorDescriptor_t yDesc,
    const cudnnTensorDescriptor_t normScaleBiasDesc, const cudnnActivationDescriptor_t activationDesc,
    const cudnnTensorDescriptor_t normMeanVarDesc, size_t* sizeInBytes, int groupCnt) {
  Call call(handle, "cudnnGetNormalizationForwardTrainingWorkspaceSize");
  const DnnNorm norm = Norm(call, mode, normOps, algo, activationDesc, groupCnt);
  return AskNormSize(call, NormSize::kForward, norm,
                     {.x = xDesc, .y = yDesc, .z = zDesc, .parameters = normScaleBiasDesc, .moments = normMeanVarDesc},
                     sizeInBytes);
}
cudnnStatus_t cudnnGetNormalizationBackwardWorkspaceSize(
    cudnnHandle_t handle, cudnnNormMode_t mode, cudnnNormOps_t normOps, cudnnNormAlgo_t algo,
    const cudnnTensorDescriptor_t xDesc, const cudnnTensorDescriptor_t yDesc, const cudnnTensorDescriptor_t dyDesc,
    const cudnnTensorDescriptor_t dzDesc, const cudnnTensorDescriptor_t dxDesc,
    const cudnnTensorDescriptor_t dNormScaleBiasDesc, const cudnnActivationDescriptor_t activationDesc,
    const cudnnTensorDescriptor_t normMeanVarDesc, size_t* sizeInBytes, int groupCnt) {
  Call call(handle, "cudnnGetNormalizationBackwardWorkspaceSize");
  const DnnNorm norm = Norm(call, mode, normOps, algo, activationDesc, groupCnt);
  return AskNormSize(call, NormSize::kBackward, norm,
                     {.x = xDesc,
                      .y = yDesc,
                      .z = dzDesc,
                      .dy = dyDesc,
                      .dx = dxDesc,
                      .parameters = dNormScaleBiasDesc,
                      .moments = normMeanVarDesc},
                     sizeInBytes);
}
cudnnStatus_t cudnnGetNormalizationTrainingReserveSpaceSize(cudnnHandle_t handle, cudnnNormMode_t mode,
                                                            cudnnNormOps_t normOps, cudnnNormAlgo_t algo,
                                                            const cudnnActivationDescriptor_t activationDesc,
                                                            const cudnnTensorDescriptor_t xDesc, size_t* sizeInBytes,
                                                            int groupCnt) {
  Call call(handle, "cudnnGetNormalizationTrainingReserveSpaceSize");
  const DnnNorm norm = Norm(call, mode, normOps, algo, activationDesc, groupCnt);
  return AskNormSize(call, NormSize::kReserve, norm, {.x = xDesc}, sizeInBytes);
}

cudnnStatus_t cudnnBatchNormalizationForwardTrainingEx(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, cudnnBatchNormOps_t bnOps, const void* alpha, const void* beta,
    const cudnnTensorDescriptor_t xDesc, const void* xData, const cudnnTensorDescriptor_t zDesc, const void* zData,
    const cudnnTensorDescriptor_t yDesc, void* yData, const cudnnTensorDescriptor_t bnScaleBiasMeanVarDesc,
    const void* bnScale, const void* bnBias, double exponentialAverageFactor, void* resultRunningMean,
    void* resultRunningVariance, double epsilon, void* resultSaveMean, void* resultSaveInvVariance,
    cudnnActivationDescriptor_t activationDesc, void* workspace, size_t workSpaceSizeInBytes, void* reserveSpace,
    size_t reserveSpaceSizeInBytes) {
  Call call(handle, "cudnnBatchNormalizationForwardTrainingEx");
  NormTraining given{{xDesc, xData}, {zDesc, zData}, {yDesc, yData}};
  given.parameters = {bnScaleBiasMeanVarDesc, bnScaleBiasMeanVarDesc, bnScale, bnBias};
  given.kept = {exponentialAverageFactor, resultRunningMean, resultRunningVariance, resultSaveMean,
                resultSaveInvVariance};
  given.epsilon = epsilon;
  given.blend = {alpha, beta};
  given.workspace = {workspace, workSpaceSizeInBytes};
  given.reserve = {reserveSpace, reserveSpaceSizeInBytes};
  return PostNorm(call, BatchNorm(call, mode, bnOps, activationDesc), given);
}
cudnnStatus_t cudnnBatchNormalizationBackwardEx(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, cudnnBatchNormOps_t bnOps, const void* alphaDataDiff,
    const void* betaDataDiff, const void* alphaParamDiff, const void* betaParamDiff,
    const cudnnTensorDescriptor_t xDesc, const void* xData, const cudnnTensorDescriptor_t yDesc, const void* yData,
    const cudnnTensorDescriptor_t dyDesc, const void* dyData, const cudnnTensorDescriptor_t dzDesc, void* dzData,
    const cudnnTensorDescriptor_t dxDesc, void* dxData, const cudnnTensorDescriptor_t dBnScaleBiasDesc,
    const void* bnScaleData, const void* bnBiasData, void* dBnScaleData, void* dBnBiasData, double epsilon,
    const void* savedMean, const void* savedInvVariance, cudnnActivationDescriptor_t activationDesc, void* workSpace,
    size_t workSpaceSizeInBytes, void* reserveSpace, size_t reserveSpaceSizeInBytes) {
  Call call(handle, "cudnnBatchNormalizationBackwardEx");
  NormBackward given{{xDesc, xData}, {yDesc, yData}, {dyDesc, dyData}, {dzDesc, dzData}, {dxDesc, dxData}};
  given.parameters = {dBnScaleBiasDesc, dBnScaleBiasDesc, bnScaleData, bnBiasData};
  given.gradients = {dBnScaleData, dBnBiasData, savedMean, savedInvVariance};
  given.epsilon = epsilon;
  given.data = {alphaDataDiff, betaDataDiff};
  given.parameter = {alphaParamDiff, betaParamDiff};
  given.workspace = {workSpace, workSpaceSizeInBytes};
  given.reserve = {reserveSpace, reserveSpaceSizeInBytes};
  return PostNorm(call, BatchNorm(call, mode, bnOps, activationDesc), given);
}
cudnnStatus_t cudnnNormalizationForwardTraining(
    cudnnHandle_t handle, cudnnNormMode_t mode, cudnnNormOps_t normOps, cudnnNormAlgo_t algo, const void* alpha,
    const void* beta, const cudnnTensorDescriptor_t xDesc, const void* xData,
    const cudnnTensorDescriptor_t normScaleBiasDesc, const void* normScale, const void* normBias,
    double exponentialAverageFactor, const cudnnTensorDescriptor_t normMeanVarDesc, void* resultRunningMean,
    void* resultRunningVariance, double epsilon, void* resultSaveMean, void* resultSaveInvVariance,
    cudnnActivationDescriptor_t activationDesc, const cudnnTensorDescriptor_t zDesc, const void* zData,
    const cudnnTensorDescriptor_t yDesc, void* yData, void* workspace, size_t workSpaceSizeInBytes, void* reserveSpace,
    size_t reserveSpaceSizeInBytes, int groupCnt) {
  Call call(handle, "cudnnNormalizationForwardTraining");
  NormTraining given{{xDesc, xData}, {zDesc, zData}, {yDesc, yData}};
  given.parameters = {normScaleBiasDesc, normMeanVarDesc, normScale, normBias};
  given.kept = {exponentialAverageFactor, resultRunningMean, resultRunningVariance, resultSaveMean,
                resultSaveInvVariance};
  given.epsilon = epsilon;
  given.blend = {alpha, beta};
  given.workspace = {workspace, workSpaceSizeInBytes};
  given.reserve = {reserveSpace, reserveSpaceSizeInBytes};
  return PostNorm(call, Norm(call, mode, normOps, algo, activationDesc, groupCnt), given);
}
cudnnStatus_t cudnnNormalizationForwardInference(
    cudnnHandle_t handle, cudnnNormMode_t mode, cudnnNormOps_t normOps, cudnnNormAlgo_t algo, const void* alpha,
    const void* beta, const cudnnTensorDescriptor_t xDesc, const void* x,
    const cudnnTensorDescriptor_t normScaleBiasDesc, const void* normScale, const void* normBias,
    const cudnnTensorDescriptor_t normMeanVarDesc, const void* estimatedMean, const void* estimatedVariance,
    const cudnnTensorDescriptor_t zDesc, const void* z, cudnnActivationDescriptor_t activationDesc,
    const cudnnTensorDescriptor_t yDesc, void* y, double epsilon, int groupCnt) {
  Call call(handle, "cudnnNormalizationForwardInference");
  DnnNormForwardInference words;
  words.norm = Norm(call, mode, normOps, algo, activationDesc, groupCnt);
  words.x = call.Operand(xDesc, x);
  words.z = OptionalOperand(call, Adds(words.norm), {zDesc, z});
  words.y = call.Operand(yDesc, y);
  words.parameters = call.Tensor(normScaleBiasDesc);
  words.moments = call.Tensor(normMeanVarDesc);
  words.scale = AddressOf(normScale);
  words.bias = AddressOf(normBias);
  words.mean = AddressOf(estimatedMean);
  words.variance = AddressOf(estimatedVariance);
  words.epsilon = epsilon;
  words.blend = call.Blend(alpha, beta, words.y.tensor);
  return PostNorm(call, words);
}
cudnnStatus_t cudnnNormalizationBackward(
    cudnnHandle_t handle, cudnnNormMode_t mode, cudnnNormOps_t normOps, cudnnNormAlgo_t algo, const void* alphaDataDiff,
    const void* betaDataDiff, const void* alphaParamDiff, const void* betaParamDiff,
    const cudnnTensorDescriptor_t xDesc, const void* xData, const cudnnTensorDescriptor_t yDesc, const void* yData,
    const cudnnTensorDescriptor_t dyDesc, const void* dyData, const cudnnTensorDescriptor_t dzDesc, void* dzData,
    const cudnnTensorDescriptor_t dxDesc, void* dxData, const cudnnTensorDescriptor_t dNormScaleBiasDesc,
    const void* normScaleData, const void* normBiasData, void* dNormScaleData, void* dNormBiasData, double epsilon,
    const cudnnTensorDescriptor_t normMeanVarDesc, const void* savedMean, const void* savedInvVariance,
    cudnnActivationDescriptor_t activationDesc, void* workSpace, size_t workSpaceSizeInBytes, void* reserveSpace,
    size_t reserveSpaceSizeInBytes, int groupCnt) {
  Call call(handle, "cudnnNormalizationBackward");
  NormBackward given{{xDesc, xData}, {yDesc, yData}, {dyDesc, dyData}, {dzDesc, dzData}, {dxDesc, dxData}};
  given.parameters = {dNormScaleBiasDesc, normMeanVarDesc, normScaleData, normBiasData};
  given.gradients = {dNormScaleData, dNormBiasData, savedMean, savedInvVariance};
  given.epsilon = epsilon;
  given.data = {alphaDataDiff, betaDataDiff};
  given.parameter = {alphaParamDiff, betaParamDiff};
  given.workspace = {workSpace, workSpaceSizeInBytes};
  given.reserve = {reserveSpace, reserveSpaceSizeInBytes};
  return PostNorm(call, Norm(call, mode, normOps, algo, activationDesc, groupCnt), given);
}

}  // namespace accelmesh::face
