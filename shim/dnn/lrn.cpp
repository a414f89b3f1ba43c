// Local response normalisation, and divisive normalisation, which has the same descriptor.
#include "shim/dnn/call.h"
#include "shim/dnn/layer_descriptors.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

DnnLrn Lrn(Call& call, const cudnnLRNStruct* descriptor) {
  call.Require(descriptor != nullptr);
  return descriptor == nullptr ? DnnLrn{} : descriptor->lrn;
}

void CheckDivisive(Call& call, cudnnDivNormMode_t mode, const DnnTensor& x, const DnnTensor& y, const void* temporary,
                   const void* temporary2) {
  call.Require(mode == CUDNN_DIVNORM_PRECOMPUTED_MEANS && AreGiven(temporary, temporary2) && SameDims(x, y) &&
               (x.rank == 4 || x.rank == 5));
  call.SupportTensors({x, y});
  call.Support(x.type == y.type, "its tensors are of different types");
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnCreateLRNDescriptor(cudnnLRNDescriptor_t* normDesc) { return Create(normDesc); }
cudnnStatus_t cudnnDestroyLRNDescriptor(cudnnLRNDescriptor_t lrnDesc) { return Destroy(lrnDesc); }
cudnnStatus_t cudnnSetLRNDescriptor(cudnnLRNDescriptor_t normDesc, unsigned lrnN, double lrnAlpha, double lrnBeta,
                                    double lrnK) {
  if (normDesc == nullptr || lrnN < CUDNN_LRN_MIN_N || lrnN > CUDNN_LRN_MAX_N || !(lrnBeta >= CUDNN_LRN_MIN_BETA) ||
      !(lrnK >= CUDNN_LRN_MIN_K))
    return CUDNN_STATUS_BAD_PARAM;
  normDesc->lrn = {lrnN, lrnAlpha, lrnBeta, lrnK};
  return CUDNN_STATUS_SUCCESS;
}
// As cuDNN's, which lets results be null.
cudnnStatus_t cudnnGetLRNDescriptor(cudnnLRNDescriptor_t normDesc, unsigned* lrnN, double* lrnAlpha, double* lrnBeta,
                                    double* lrnK) {
  if (normDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  const DnnLrn& lrn = normDesc->lrn;
  if (lrnN != nullptr) *lrnN = static_cast<unsigned>(lrn.window);
  if (lrnAlpha != nullptr) *lrnAlpha = lrn.alpha;
  if (lrnBeta != nullptr) *lrnBeta = lrn.beta;
  if (lrnK != nullptr) *lrnK = lrn.k;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnLRNCrossChannelForward(cudnnHandle_t handle, cudnnLRNDescriptor_t normDesc, cudnnLRNMode_t lrnMode,
                                          const void* alpha, const cudnnTensorDescriptor_t xDesc, const void* x,
                                          const void* beta, const cudnnTensorDescriptor_t yDesc, void* y) {
  Call call(handle, "cudnnLRNCrossChannelForward");
  DnnLrnForward words;
  words.x = call.Operand(xDesc, x);
  words.y = call.Operand(yDesc, y);
  words.lrn = Lrn(call, normDesc);
  words.blend = call.Blend(alpha, beta, words.y.tensor);
  call.Require(lrnMode == CUDNN_LRN_CROSS_CHANNEL_DIM1 && words.x.tensor.rank >= 3);
  call.SupportTensors({words.x.tensor, words.y.tensor});
  call.Support(words.x.tensor.type == words.y.tensor.type && SameDims(words.x.tensor, words.y.tensor),
               "its tensors are of different types or dimensions");
  return call.Post(words);
}
cudnnStatus_t cudnnLRNCrossChannelBackward(cudnnHandle_t handle, cudnnLRNDescriptor_t normDesc, cudnnLRNMode_t lrnMode,
                                           const void* alpha, const cudnnTensorDescriptor_t yDesc, const void* y,
                                           const cudnnTensorDescriptor_t dyDesc, const void* dy,
                                           const cudnnTensorDescriptor_t xDesc, const void* x, const void* beta,
                                           const cudnnTensorDescriptor_t dxDesc, void* dx) {
  Call call(handle, "cudnnLRNCrossChannelBackward");
  DnnLrnBackward words;
  words.y = call.Operand(yDesc, y);
  words.dy = call.Operand(dyDesc, dy);
  words.x = call.Operand(xDesc, x);
  words.dx = call.Operand(dxDesc, dx);
  words.lrn = Lrn(call, normDesc);
  words.blend = call.Blend(alpha, beta, words.dx.tensor);
  call.Require(lrnMode == CUDNN_LRN_CROSS_CHANNEL_DIM1 && words.x.tensor.rank >= 3);
  call.SupportTensors({words.y.tensor, words.dy.tensor, words.x.tensor, words.dx.tensor});
  for (const DnnTensor* tensor : {&words.y.tensor, &words.dy.tensor, &words.dx.tensor})
    call.Support(words.x.tensor.type == tensor->type && SameDims(words.x.tensor, *tensor),
                 "its tensors are of different types or dimensions");
  return call.Post(words);
}

cudnnStatus_t cudnnDivisiveNormalizationForward(cudnnHandle_t handle, cudnnLRNDescriptor_t normDesc,
                                                cudnnDivNormMode_t mode, const void* alpha,
                                                const cudnnTensorDescriptor_t xDesc, const void* x, const void* means,
                                                void* temp, void* temp2, const void* beta,
                                                const cudnnTensorDescriptor_t yDesc, void* y) {
  Call call(handle, "cudnnDivisiveNormalizationForward");
  DnnDivisiveForward words;
  words.x = call.Operand(xDesc, x);
  words.y = call.Operand(yDesc, y);
  words.means = AddressOf(means);
  words.temporary = AddressOf(temp);
  words.temporary2 = AddressOf(temp2);
  words.lrn = Lrn(call, normDesc);
  words.blend = call.Blend(alpha, beta, words.y.tensor);
  CheckDivisive(call, mode, words.x.tensor, words.y.tensor, temp, temp2);
  return call.Post(words);
}
cudnnStatus_t cudnnDivisiveNormalizationBackward(cudnnHandle_t handle, cudnnLRNDescriptor_t normDesc,
                                                 cudnnDivNormMode_t mode, const void* alpha,
                                                 const cudnnTensorDescriptor_t xDesc, const void* x, const void* means,
                                                 const void* dy, void* temp, void* temp2, const void* beta,
                                                 const cudnnTensorDescriptor_t dXdMeansDesc, void* dx, void* dMeans) {
  Call call(handle, "cudnnDivisiveNormalizationBackward");
  DnnDivisiveBackward words;
  words.x = call.Operand(xDesc, x);
  words.dx = call.Operand(dXdMeansDesc, dx);
  words.means = AddressOf(means);
  words.dy = AddressOf(dy);
  words.temporary = AddressOf(temp);
  words.temporary2 = AddressOf(temp2);
  words.means_gradient = AddressOf(dMeans);
  words.lrn = Lrn(call, normDesc);
  words.blend = call.Blend(alpha, beta, words.dx.tensor);
  call.Require(dy != nullptr);
  CheckDivisive(call, mode, words.x.tensor, words.dx.tensor, temp, temp2);
  return call.Post(words);
}

}  // namespace accelmesh::face
