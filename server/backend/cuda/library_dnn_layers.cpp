// The layers between convolutions by libcudnn: activations, pooling, softmax, batch normalisation.
#include "server/backend/cuda/library_dnn_call.h"

namespace accelmesh::cuda {
namespace {

cudnnStatus_t ActivationForward(DnnCall& call, const DnnActivationForward& words) {
  const DnnTensor& y = words.y.tensor;
  return call.Do(call.library().ActivationForward, call.Activation(words.activation), call.Scalar(words.blend.alpha, y),
                 call.Tensor(words.x.tensor), call.Address(words.x.address), call.Scalar(words.blend.beta, y),
                 call.Tensor(y), call.Address(words.y.address));
}
cudnnStatus_t ActivationBackward(DnnCall& call, const DnnActivationBackward& words) {
  const DnnTensor& dx = words.dx.tensor;
  return call.Do(call.library().ActivationBackward, call.Activation(words.activation),
                 call.Scalar(words.blend.alpha, dx), call.Tensor(words.y.tensor), call.Address(words.y.address),
                 call.Tensor(words.dy.tensor), call.Address(words.dy.address), call.Tensor(words.x.tensor),
                 call.Address(words.x.address), call.Scalar(words.blend.beta, dx), call.Tensor(dx),
                 call.Address(words.dx.address));
}

cudnnStatus_t PoolingForward(DnnCall& call, const DnnPoolingForward& words) {
  const DnnTensor& y = words.y.tensor;
  return call.Do(call.library().PoolingForward, call.Pooling(words.pooling), call.Scalar(words.blend.alpha, y),
                 call.Tensor(words.x.tensor), call.Address(words.x.address), call.Scalar(words.blend.beta, y),
                 call.Tensor(y), call.Address(words.y.address));
}
cudnnStatus_t PoolingBackward(DnnCall& call, const DnnPoolingBackward& words) {
  const DnnTensor& dx = words.dx.tensor;
  return call.Do(call.library().PoolingBackward, call.Pooling(words.pooling), call.Scalar(words.blend.alpha, dx),
                 call.Tensor(words.y.tensor), call.Address(words.y.address), call.Tensor(words.dy.tensor),
                 call.Address(words.dy.address), call.Tensor(words.x.tensor), call.Address(words.x.address),
                 call.Scalar(words.blend.beta, dx), call.Tensor(dx), call.Address(words.dx.address));
}

cudnnStatus_t SoftmaxForward(DnnCall& call, const DnnSoftmaxForward& words) {
  const DnnTensor& y = words.y.tensor;
  return call.Do(call.library().SoftmaxForward, call.Number(words.algorithm), call.Number(words.mode),
                 call.Scalar(words.blend.alpha, y), call.Tensor(words.x.tensor), call.Address(words.x.address),
                 call.Scalar(words.blend.beta, y), call.Tensor(y), call.Address(words.y.address));
}
cudnnStatus_t SoftmaxBackward(DnnCall& call, const DnnSoftmaxBackward& words) {
  const DnnTensor& dx = words.dx.tensor;
  return call.Do(call.library().SoftmaxBackward, call.Number(words.algorithm), call.Number(words.mode),
                 call.Scalar(words.blend.alpha, dx), call.Tensor(words.y.tensor), call.Address(words.y.address),
                 call.Tensor(words.dy.tensor), call.Address(words.dy.address), call.Scalar(words.blend.beta, dx),
                 call.Tensor(dx), call.Address(words.dx.address));
}

cudnnStatus_t BatchNormForwardTraining(DnnCall& call, const DnnBatchNormForwardTraining& words) {
  const DnnTensor& y = words.y.tensor;
  return call.Do(call.library().BatchNormalizationForwardTraining, call.Number(words.mode),
                 call.Scalar(words.blend.alpha, y), call.Scalar(words.blend.beta, y), call.Tensor(words.x.tensor),
                 call.Address(words.x.address), call.Tensor(y), call.Address(words.y.address),
                 call.Tensor(words.parameters), call.Address(words.scale), call.Address(words.bias),
                 words.average_factor, call.Address(words.running_mean), call.Address(words.running_variance),
                 words.epsilon, call.Address(words.saved_mean), call.Address(words.saved_inverse_deviation));
}
cudnnStatus_t BatchNormForwardInference(DnnCall& call, const DnnBatchNormForwardInference& words) {
  const DnnTensor& y = words.y.tensor;
  return call.Do(call.library().BatchNormalizationForwardInference, call.Number(words.mode),
                 call.Scalar(words.blend.alpha, y), call.Scalar(words.blend.beta, y), call.Tensor(words.x.tensor),
                 call.Address(words.x.address), call.Tensor(y), call.Address(words.y.address),
                 call.Tensor(words.parameters), call.Address(words.scale), call.Address(words.bias),
                 call.Address(words.mean), call.Address(words.variance), words.epsilon);
}
cudnnStatus_t BatchNormBackward(DnnCall& call, const DnnBatchNormBackward& words) {
  const DnnTensor& dx = words.dx.tensor;
  const DnnTensor& parameters = words.parameters;
  return call.Do(call.library().BatchNormalizationBackward, call.Number(words.mode), call.Scalar(words.data.alpha, dx),
                 call.Scalar(words.data.beta, dx), call.Scalar(words.parameter.alpha, parameters),
                 call.Scalar(words.parameter.beta, parameters), call.Tensor(words.x.tensor),
                 call.Address(words.x.address), call.Tensor(words.dy.tensor), call.Address(words.dy.address),
                 call.Tensor(dx), call.Address(words.dx.address), call.Tensor(parameters), call.Address(words.scale),
                 call.Address(words.scale_gradient), call.Address(words.bias_gradient), words.epsilon,
                 call.Address(words.saved_mean), call.Address(words.saved_inverse_deviation));
}

}  // namespace

void AddLayers(DnnTable& table) {
  AddRun<DnnActivationForward, &ActivationForward>(table);
  AddRun<DnnActivationBackward, &ActivationBackward>(table);
  AddRun<DnnPoolingForward, &PoolingForward>(table);
  AddRun<DnnPoolingBackward, &PoolingBackward>(table);
  AddRun<DnnSoftmaxForward, &SoftmaxForward>(table);
  AddRun<DnnSoftmaxBackward, &SoftmaxBackward>(table);
  AddRun<DnnBatchNormForwardTraining, &BatchNormForwardTraining>(table);
  AddRun<DnnBatchNormForwardInference, &BatchNormForwardInference>(table);
  AddRun<DnnBatchNormBackward, &BatchNormBackward>(table);
}

}  // namespace accelmesh::cuda
