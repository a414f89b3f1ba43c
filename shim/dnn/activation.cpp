// Activations and softmax.
#include "shim/dnn/call.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

DnnActivation Activation(Call& call, const cudnnActivationStruct* descriptor) {
  call.Require(descriptor != nullptr);
  if (call.status() != CUDNN_STATUS_SUCCESS) return {};
  // It is there for what is fused with convolutions.
  call.Require(descriptor->activation.mode != CUDNN_ACTIVATION_IDENTITY);
  return descriptor->activation;
}

bool IsKnown(cudnnSoftmaxAlgorithm_t algorithm, cudnnSoftmaxMode_t mode) {
  return algorithm >= CUDNN_SOFTMAX_FAST && algorithm <= CUDNN_SOFTMAX_LOG && mode >= CUDNN_SOFTMAX_MODE_INSTANCE &&
         mode <= CUDNN_SOFTMAX_MODE_CHANNEL;
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnCreateActivationDescriptor(cudnnActivationDescriptor_t* activationDesc) {
  return Create(activationDesc);
}
cudnnStatus_t cudnnDestroyActivationDescriptor(cudnnActivationDescriptor_t activationDesc) {
  return Destroy(activationDesc);
}
cudnnStatus_t cudnnSetActivationDescriptor(cudnnActivationDescriptor_t activationDesc, cudnnActivationMode_t mode,
                                           cudnnNanPropagation_t reluNanOpt, double coef) {
  if (activationDesc == nullptr || !IsKnown(reluNanOpt) || mode < CUDNN_ACTIVATION_SIGMOID ||
      mode > CUDNN_ACTIVATION_SWISH)
    return CUDNN_STATUS_BAD_PARAM;
  activationDesc->activation.mode = mode;
  activationDesc->activation.propagates_nan = reluNanOpt;
  activationDesc->activation.coefficient = coef;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetActivationDescriptor(const cudnnActivationDescriptor_t activationDesc,
                                           cudnnActivationMode_t* mode, cudnnNanPropagation_t* reluNanOpt,
                                           double* coef) {
  if (!AreGiven(activationDesc, mode, reluNanOpt, coef)) return CUDNN_STATUS_BAD_PARAM;
  *mode = static_cast<cudnnActivationMode_t>(activationDesc->activation.mode);
  *reluNanOpt = static_cast<cudnnNanPropagation_t>(activationDesc->activation.propagates_nan);
  *coef = activationDesc->activation.coefficient;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetActivationDescriptorSwishBeta(cudnnActivationDescriptor_t activationDesc, double swish_beta) {
  if (activationDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  activationDesc->activation.swish_beta = swish_beta;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetActivationDescriptorSwishBeta(cudnnActivationDescriptor_t activationDesc, double* swish_beta) {
  if (!AreGiven(activationDesc, swish_beta)) return CUDNN_STATUS_BAD_PARAM;
  *swish_beta = activationDesc->activation.swish_beta;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnActivationForward(cudnnHandle_t handle, cudnnActivationDescriptor_t activationDesc,
                                     const void* alpha, const cudnnTensorDescriptor_t xDesc, const void* x,
                                     const void* beta, const cudnnTensorDescriptor_t yDesc, void* y) {
  Call call(handle, "cudnnActivationForward");
  DnnActivationForward words;
  words.x = call.Operand(xDesc, x);
  words.y = call.Operand(yDesc, y);
  words.activation = Activation(call, activationDesc);
  words.blend = call.Blend(alpha, beta, words.y.tensor);
  call.Require(SameDims(words.x.tensor, words.y.tensor));
  call.SupportTensors({words.x.tensor, words.y.tensor});
  return call.Post(words);
}
cudnnStatus_t cudnnActivationBackward(cudnnHandle_t handle, cudnnActivationDescriptor_t activationDesc,
                                      const void* alpha, const cudnnTensorDescriptor_t yDesc, const void* y,
                                      const cudnnTensorDescriptor_t dyDesc, const void* dy,
                                      const cudnnTensorDescriptor_t xDesc, const void* x, const void* beta,
                                      const cudnnTensorDescriptor_t dxDesc, void* dx) {
  Call call(handle, "cudnnActivationBackward");
  DnnActivationBackward words;
  words.y = call.Operand(yDesc, y);
  words.dy = call.Operand(dyDesc, dy);
  words.x = call.Operand(xDesc, x);
  words.dx = call.Operand(dxDesc, dx);
  words.activation = Activation(call, activationDesc);
  words.blend = call.Blend(alpha, beta, words.dx.tensor);
  call.Require(SameDims(words.x.tensor, words.y.tensor) && SameDims(words.x.tensor, words.dy.tensor) &&
               SameDims(words.x.tensor, words.dx.tensor));
  call.SupportTensors({words.y.tensor, words.dy.tensor, words.x.tensor, words.dx.tensor});
  return call.Post(words);
}

cudnnStatus_t cudnnSoftmaxForward(cudnnHandle_t handle, cudnnSoftmaxAlgorithm_t algo, cudnnSoftmaxMode_t mode,
                                  const void* alpha, const cudnnTensorDescriptor_t xDesc, const void* x,
                                  const void* beta, const cudnnTensorDescriptor_t yDesc, void* y) {
  Call call(handle, "cudnnSoftmaxForward");
  DnnSoftmaxForward words;
  words.x = call.Operand(xDesc, x);
  words.y = call.Operand(yDesc, y);
  words.algorithm = algo;
  words.mode = mode;
  words.blend = call.Blend(alpha, beta, words.y.tensor);
  call.Require(IsKnown(algo, mode) && SameDims(words.x.tensor, words.y.tensor));
  call.SupportTensors({words.x.tensor, words.y.tensor});
  return call.Post(words);
}
cudnnStatus_t cudnnSoftmaxBackward(cudnnHandle_t handle, cudnnSoftmaxAlgorithm_t algo, cudnnSoftmaxMode_t mode,
                                   const void* alpha, const cudnnTensorDescriptor_t yDesc, const void* y,
                                   const cudnnTensorDescriptor_t dyDesc, const void* dy, const void* beta,
                                   const cudnnTensorDescriptor_t dxDesc, void* dx) {
  Call call(handle, "cudnnSoftmaxBackward");
  DnnSoftmaxBackward words;
  words.y = call.Operand(yDesc, y);
  words.dy = call.Operand(dyDesc, dy);
  words.dx = call.Operand(dxDesc, dx);
  words.algorithm = algo;
  words.mode = mode;
  words.blend = call.Blend(alpha, beta, words.dx.tensor);
  call.Require(IsKnown(algo, mode) && SameDims(words.y.tensor, words.dy.tensor) &&
               SameDims(words.y.tensor, words.dx.tensor));
  call.SupportTensors({words.y.tensor, words.dy.tensor, words.dx.tensor});
  return call.Post(words);
}

}  // namespace accelmesh::face
