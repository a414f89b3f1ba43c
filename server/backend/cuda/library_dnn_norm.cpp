// Normalisations with what follows them by libcudnn: cudnnBatchNormalization...Ex and cudnnNormalization..., which
// differ in the order of their arguments and in groups.
#include "server/backend/cuda/library_dnn_call.h"

namespace accelmesh::cuda {
namespace {

// Without an activation the library looks at none.
cudnnActivationDescriptor_t ActivationOf(DnnCall& call, const DnnNorm& norm) {
  return norm.operations == 0 ? nullptr : call.Activation(norm.activation);
}

cudnnStatus_t AskForwardSize(DnnCall& call, const DnnNormSizes& w, std::size_t* bytes) {
  const DnnNorm& norm = w.norm;
  if (norm.is_batch != 0)
    return call.Do(call.library().GetBatchNormalizationForwardTrainingExWorkspaceSize, call.Number(norm.mode),
                   call.Number(norm.operations), call.Tensor(w.x), call.Optional(w.z), call.Tensor(w.y),
                   call.Tensor(w.parameters), ActivationOf(call, norm), bytes);
  return call.Do(call.library().GetNormalizationForwardTrainingWorkspaceSize, call.Number(norm.mode),
                 call.Number(norm.operations), call.Number(norm.algorithm), call.Tensor(w.x), call.Optional(w.z),
                 call.Tensor(w.y), call.Tensor(w.parameters), ActivationOf(call, norm), call.Tensor(w.moments), bytes,
                 call.Number(norm.groups));
}
cudnnStatus_t AskBackwardSize(DnnCall& call, const DnnNormSizes& w, std::size_t* bytes) {
  const DnnNorm& norm = w.norm;
  if (norm.is_batch != 0)
    return call.Do(call.library().GetBatchNormalizationBackwardExWorkspaceSize, call.Number(norm.mode),
                   call.Number(norm.operations), call.Tensor(w.x), call.Optional(w.y), call.Tensor(w.dy),
                   call.Optional(w.z), call.Tensor(w.dx), call.Tensor(w.parameters), ActivationOf(call, norm), bytes);
  return call.Do(call.library().GetNormalizationBackwardWorkspaceSize, call.Number(norm.mode),
                 call.Number(norm.operations), call.Number(norm.algorithm), call.Tensor(w.x), call.Optional(w.y),
                 call.Tensor(w.dy), call.Optional(w.z), call.Tensor(w.dx), call.Tensor(w.parameters),
                 ActivationOf(call, norm), call.Tensor(w.moments), bytes, call.Number(norm.groups));
}
cudnnStatus_t AskReserveSize(DnnCall& call, const DnnNormSizes& w, std::size_t* bytes) {
  const DnnNorm& norm = w.norm;
  if (norm.is_batch != 0)
    return call.Do(call.library().GetBatchNormalizationTrainingExReserveSpaceSize, call.Number(norm.mode),
                   call.Number(norm.operations), ActivationOf(call, norm), call.Tensor(w.x), bytes);
  return call.Do(call.library().GetNormalizationTrainingReserveSpaceSize, call.Number(norm.mode),
                 call.Number(norm.operations), call.Number(norm.algorithm), ActivationOf(call, norm), call.Tensor(w.x),
                 bytes, call.Number(norm.groups));
}
cudnnStatus_t Sizes(DnnCall& call, const DnnNormSizes& words, Bytes* answer) {
  std::size_t bytes = 0;
  cudnnStatus_t status = CUDNN_STATUS_BAD_PARAM;
  switch (words.what) {
    case 0: status = AskForwardSize(call, words, &bytes); break;
    case 1: status = AskBackwardSize(call, words, &bytes); break;
    case 2: status = AskReserveSize(call, words, &bytes); break;
    default: break;
  }
  if (status == CUDNN_STATUS_SUCCESS) GiveAnswer(DnnSize{bytes}, answer);
  return status;
}

cudnnStatus_t ForwardTraining(DnnCall& call, const DnnNormForwardTraining& w) {
  const DnnNorm& norm = w.norm;
  const DnnTensor& y = w.y.tensor;
  if (norm.is_batch != 0)
    return call.Do(call.library().BatchNormalizationForwardTrainingEx, call.Number(norm.mode),
                   call.Number(norm.operations), call.Scalar(w.blend.alpha, y), call.Scalar(w.blend.beta, y),
                   call.Tensor(w.x.tensor), call.Address(w.x.address), call.Optional(w.z.tensor),
                   call.Address(w.z.address), call.Tensor(y), call.Address(w.y.address), call.Tensor(w.parameters),
                   call.Address(w.scale), call.Address(w.bias), w.average_factor, call.Address(w.running_mean),
                   call.Address(w.running_variance), w.epsilon, call.Address(w.saved_mean),
                   call.Address(w.saved_inverse_deviation), ActivationOf(call, norm), call.Address(w.workspace.address),
                   call.Size(w.workspace), call.Address(w.reserve.address), call.Size(w.reserve));
  return call.Do(call.library().NormalizationForwardTraining, call.Number(norm.mode), call.Number(norm.operations),
                 call.Number(norm.algorithm), call.Scalar(w.blend.alpha, y), call.Scalar(w.blend.beta, y),
                 call.Tensor(w.x.tensor), call.Address(w.x.address), call.Tensor(w.parameters), call.Address(w.scale),
                 call.Address(w.bias), w.average_factor, call.Tensor(w.moments), call.Address(w.running_mean),
                 call.Address(w.running_variance), w.epsilon, call.Address(w.saved_mean),
                 call.Address(w.saved_inverse_deviation), ActivationOf(call, norm), call.Optional(w.z.tensor),
                 call.Address(w.z.address), call.Tensor(y), call.Address(w.y.address),
                 call.Address(w.workspace.address), call.Size(w.workspace), call.Address(w.reserve.address),
                 call.Size(w.reserve), call.Number(norm.groups));
}
cudnnStatus_t ForwardInference(DnnCall& call, const DnnNormForwardInference& w) {
  const DnnNorm& norm = w.norm;
  const DnnTensor& y = w.y.tensor;
  call.Require(norm.is_batch == 0);
  return call.Do(call.library().NormalizationForwardInference, call.Number(norm.mode), call.Number(norm.operations),
                 call.Number(norm.algorithm), call.Scalar(w.blend.alpha, y), call.Scalar(w.blend.beta, y),
                 call.Tensor(w.x.tensor), call.Address(w.x.address), call.Tensor(w.parameters), call.Address(w.scale),
                 call.Address(w.bias), call.Tensor(w.moments), call.Address(w.mean), call.Address(w.variance),
                 call.Optional(w.z.tensor), call.Address(w.z.address), ActivationOf(call, norm), call.Tensor(y),
                 call.Address(w.y.address), w.epsilon, call.Number(norm.groups));
}
cudnnStatus_t Backward(DnnCall& call, const DnnNormBackward& w) {
  const DnnNorm& norm = w.norm;
  const DnnTensor& dx = w.dx.tensor;
  if (norm.is_batch != 0)
    return call.Do(call.library().BatchNormalizationBackwardEx, call.Number(norm.mode), call.Number(norm.operations),
                   call.Scalar(w.data.alpha, dx), call.Scalar(w.data.beta, dx),
                   call.Scalar(w.parameter.alpha, w.parameters), call.Scalar(w.parameter.beta, w.parameters),
                   call.Tensor(w.x.tensor), call.Address(w.x.address), call.Optional(w.y.tensor),
                   call.Address(w.y.address), call.Tensor(w.dy.tensor), call.Address(w.dy.address),
                   call.Optional(w.dz.tensor), call.Address(w.dz.address), call.Tensor(dx), call.Address(w.dx.address),
                   call.Tensor(w.parameters), call.Address(w.scale), call.Address(w.bias),
                   call.Address(w.scale_gradient), call.Address(w.bias_gradient), w.epsilon, call.Address(w.saved_mean),
                   call.Address(w.saved_inverse_deviation), ActivationOf(call, norm), call.Address(w.workspace.address),
                   call.Size(w.workspace), call.Address(w.reserve.address), call.Size(w.reserve));
  return call.Do(call.library().NormalizationBackward, call.Number(norm.mode), call.Number(norm.operations),
                 call.Number(norm.algorithm), call.Scalar(w.data.alpha, dx), call.Scalar(w.data.beta, dx),
                 call.Scalar(w.parameter.alpha, w.parameters), call.Scalar(w.parameter.beta, w.parameters),
                 call.Tensor(w.x.tensor), call.Address(w.x.address), call.Optional(w.y.tensor),
                 call.Address(w.y.address), call.Tensor(w.dy.tensor), call.Address(w.dy.address),
                 call.Optional(w.dz.tensor), call.Address(w.dz.address), call.Tensor(dx), call.Address(w.dx.address),
                 call.Tensor(w.parameters), call.Address(w.scale), call.Address(w.bias), call.Address(w.scale_gradient),
                 call.Address(w.bias_gradient), w.epsilon, call.Tensor(w.moments), call.Address(w.saved_mean),
                 call.Address(w.saved_inverse_deviation), ActivationOf(call, norm), call.Address(w.workspace.address),
                 call.Size(w.workspace), call.Address(w.reserve.address), call.Size(w.reserve),
                 call.Number(norm.groups));
}

}  // namespace

void AddNorms(DnnTable& table) {
  AddAsk<DnnNormSizes, &Sizes>(table, DnnGroup::kNorms);
  AddRun<DnnNormForwardTraining, &ForwardTraining>(table, DnnGroup::kNorms);
  AddRun<DnnNormForwardInference, &ForwardInference>(table, DnnGroup::kNorms);
  AddRun<DnnNormBackward, &Backward>(table, DnnGroup::kNorms);
}

}  // namespace accelmesh::cuda
