// Convolutions: their algorithms, which the server is asked for once a problem, and their three directions.
#include <algorithm>

#include "shim/dnn/convolution_call.h"
#include "shim/gen_dnn_face.h"

namespace accelmesh::dnn {
namespace {

// Fills what cudnnGetConvolution...Algorithm_v7 answers.
template <typename Algorithm, typename Performance>
cudnnStatus_t List(Call& call, const DnnFindAlgorithms& problem, int requested, int* returned, Performance* results) {
  call.Require(AreGiven(returned, results) && requested > 0);
  std::span<const DnnAlgorithm> found;
  if (const cudnnStatus_t status = call.FindAlgorithms(problem, &found); status != CUDNN_STATUS_SUCCESS) return status;
  const std::size_t count = std::min(found.size(), static_cast<std::size_t>(requested));
  // Nobody has measured times.
  for (std::size_t i = 0; i < count; ++i) Fill<Algorithm>(found[i], -1, &results[i]);
  *returned = static_cast<int>(count);
  return CUDNN_STATUS_SUCCESS;
}

// CUDNN_STATUS_NOT_SUPPORTED if the problem has no such algorithm.
cudnnStatus_t FindOne(Call& call, const DnnFindAlgorithms& problem, std::int64_t number, const DnnAlgorithm** found) {
  std::span<const DnnAlgorithm> all;
  if (const cudnnStatus_t status = call.FindAlgorithms(problem, &all); status != CUDNN_STATUS_SUCCESS) return status;
  for (const DnnAlgorithm& algorithm : all) {
    if (algorithm.algorithm != number) continue;
    *found = &algorithm;
    return static_cast<cudnnStatus_t>(algorithm.status);
  }
  return CUDNN_STATUS_NOT_SUPPORTED;
}

cudnnStatus_t WorkspaceOf(Call& call, const DnnFindAlgorithms& problem, std::int64_t number, size_t* bytes) {
  call.Require(bytes != nullptr);
  const DnnAlgorithm* found = nullptr;
  if (const cudnnStatus_t status = FindOne(call, problem, number, &found); status != CUDNN_STATUS_SUCCESS)
    return status;
  *bytes = found->workspace_bytes;
  return CUDNN_STATUS_SUCCESS;
}

struct Way {
  std::int64_t algorithm;
  void* workspace;
  std::size_t workspace_bytes;
};

// CUDNN_STATUS_SUCCESS if the convolution can go that way.
cudnnStatus_t Check(Call& call, Direction direction, const DnnConvolutionCall& words) {
  const DnnFindAlgorithms problem{direction, words.x.tensor, words.w.tensor, words.y.tensor, words.convolution};
  const DnnAlgorithm* found = nullptr;
  if (const cudnnStatus_t status = FindOne(call, problem, words.algorithm, &found); status != CUDNN_STATUS_SUCCESS)
    return status;
  const bool is_enough =
      found->workspace_bytes == 0 || (words.workspace != 0 && words.workspace_bytes >= found->workspace_bytes);
  return is_enough ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM;
}

template <typename Words>
cudnnStatus_t Convolve(Call& call, Direction direction, const DnnOperand& x, const DnnOperand& w, const DnnOperand& y,
                       cudnnConvolutionDescriptor_t convolution, const DnnBlend& blend, const Way& way) {
  Words words;
  static_cast<DnnConvolutionCall&>(words) = {x,
                                             w,
                                             y,
                                             Convolution(call, convolution),
                                             blend,
                                             way.algorithm,
                                             reinterpret_cast<std::uintptr_t>(way.workspace),
                                             way.workspace_bytes};
  if (const cudnnStatus_t status = Check(call, direction, words); status != CUDNN_STATUS_SUCCESS) return status;
  return call.Post(words);
}

cudnnStatus_t MaxCount(cudnnHandle_t handle, const char* name, int* count) {
  Call call(handle, name);
  call.Require(count != nullptr);
  if (call.status() == CUDNN_STATUS_SUCCESS) *count = static_cast<int>(kDnnAlgorithmsMax);
  return call.status();
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnGetConvolutionForwardAlgorithmMaxCount(cudnnHandle_t handle, int* count) {
  return MaxCount(handle, "cudnnGetConvolutionForwardAlgorithmMaxCount", count);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithmMaxCount(cudnnHandle_t handle, int* count) {
  return MaxCount(handle, "cudnnGetConvolutionBackwardDataAlgorithmMaxCount", count);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithmMaxCount(cudnnHandle_t handle, int* count) {
  return MaxCount(handle, "cudnnGetConvolutionBackwardFilterAlgorithmMaxCount", count);
}

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t handle, const cudnnTensorDescriptor_t srcDesc,
                                                     const cudnnFilterDescriptor_t filterDesc,
                                                     const cudnnConvolutionDescriptor_t convDesc,
                                                     const cudnnTensorDescriptor_t destDesc,
                                                     const int requestedAlgoCount, int* returnedAlgoCount,
                                                     cudnnConvolutionFwdAlgoPerf_t* perfResults) {
  Call call(handle, "cudnnGetConvolutionForwardAlgorithm_v7");
  return List<cudnnConvolutionFwdAlgo_t>(call, Problem(call, kForward, srcDesc, filterDesc, convDesc, destDesc),
                                         requestedAlgoCount, returnedAlgoCount, perfResults);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(
    cudnnHandle_t handle, const cudnnFilterDescriptor_t filterDesc, const cudnnTensorDescriptor_t diffDesc,
    const cudnnConvolutionDescriptor_t convDesc, const cudnnTensorDescriptor_t gradDesc, const int requestedAlgoCount,
    int* returnedAlgoCount, cudnnConvolutionBwdDataAlgoPerf_t* perfResults) {
  Call call(handle, "cudnnGetConvolutionBackwardDataAlgorithm_v7");
  return List<cudnnConvolutionBwdDataAlgo_t>(call, Problem(call, kData, gradDesc, filterDesc, convDesc, diffDesc),
                                             requestedAlgoCount, returnedAlgoCount, perfResults);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t handle, const cudnnTensorDescriptor_t srcDesc,
                                                            const cudnnTensorDescriptor_t diffDesc,
                                                            const cudnnConvolutionDescriptor_t convDesc,
                                                            const cudnnFilterDescriptor_t gradDesc,
                                                            const int requestedAlgoCount, int* returnedAlgoCount,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t* perfResults) {
  Call call(handle, "cudnnGetConvolutionBackwardFilterAlgorithm_v7");
  return List<cudnnConvolutionBwdFilterAlgo_t>(call, Problem(call, kFilter, srcDesc, gradDesc, convDesc, diffDesc),
                                               requestedAlgoCount, returnedAlgoCount, perfResults);
}

cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t handle, const cudnnTensorDescriptor_t xDesc,
                                                      const cudnnFilterDescriptor_t wDesc,
                                                      const cudnnConvolutionDescriptor_t convDesc,
                                                      const cudnnTensorDescriptor_t yDesc,
                                                      cudnnConvolutionFwdAlgo_t algo, size_t* sizeInBytes) {
  Call call(handle, "cudnnGetConvolutionForwardWorkspaceSize");
  return WorkspaceOf(call, Problem(call, kForward, xDesc, wDesc, convDesc, yDesc), algo, sizeInBytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t handle, const cudnnFilterDescriptor_t wDesc,
                                                           const cudnnTensorDescriptor_t dyDesc,
                                                           const cudnnConvolutionDescriptor_t convDesc,
                                                           const cudnnTensorDescriptor_t dxDesc,
                                                           cudnnConvolutionBwdDataAlgo_t algo, size_t* sizeInBytes) {
  Call call(handle, "cudnnGetConvolutionBackwardDataWorkspaceSize");
  return WorkspaceOf(call, Problem(call, kData, dxDesc, wDesc, convDesc, dyDesc), algo, sizeInBytes);
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnnHandle_t handle, const cudnnTensorDescriptor_t xDesc,
                                                             const cudnnTensorDescriptor_t dyDesc,
                                                             const cudnnConvolutionDescriptor_t convDesc,
                                                             const cudnnFilterDescriptor_t gradDesc,
                                                             cudnnConvolutionBwdFilterAlgo_t algo,
                                                             size_t* sizeInBytes) {
  Call call(handle, "cudnnGetConvolutionBackwardFilterWorkspaceSize");
  return WorkspaceOf(call, Problem(call, kFilter, xDesc, gradDesc, convDesc, dyDesc), algo, sizeInBytes);
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void* alpha, const cudnnTensorDescriptor_t xDesc,
                                      const void* x, const cudnnFilterDescriptor_t wDesc, const void* w,
                                      const cudnnConvolutionDescriptor_t convDesc, cudnnConvolutionFwdAlgo_t algo,
                                      void* workSpace, size_t workSpaceSizeInBytes, const void* beta,
                                      const cudnnTensorDescriptor_t yDesc, void* y) {
  Call call(handle, "cudnnConvolutionForward");
  const DnnOperand result = call.Operand(yDesc, y);
  return Convolve<DnnConvolutionForward>(call, kForward, call.Operand(xDesc, x), call.Operand(wDesc, w), result,
                                         convDesc, call.Blend(alpha, beta, result.tensor),
                                         {algo, workSpace, workSpaceSizeInBytes});
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void* alpha, const cudnnFilterDescriptor_t wDesc,
                                           const void* w, const cudnnTensorDescriptor_t dyDesc, const void* dy,
                                           const cudnnConvolutionDescriptor_t convDesc,
                                           cudnnConvolutionBwdDataAlgo_t algo, void* workSpace,
                                           size_t workSpaceSizeInBytes, const void* beta,
                                           const cudnnTensorDescriptor_t dxDesc, void* dx) {
  Call call(handle, "cudnnConvolutionBackwardData");
  const DnnOperand result = call.Operand(dxDesc, dx);
  return Convolve<DnnConvolutionBackwardData>(call, kData, result, call.Operand(wDesc, w), call.Operand(dyDesc, dy),
                                              convDesc, call.Blend(alpha, beta, result.tensor),
                                              {algo, workSpace, workSpaceSizeInBytes});
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void* alpha,
                                             const cudnnTensorDescriptor_t xDesc, const void* x,
                                             const cudnnTensorDescriptor_t dyDesc, const void* dy,
                                             const cudnnConvolutionDescriptor_t convDesc,
                                             cudnnConvolutionBwdFilterAlgo_t algo, void* workSpace,
                                             size_t workSpaceSizeInBytes, const void* beta,
                                             const cudnnFilterDescriptor_t dwDesc, void* dw) {
  Call call(handle, "cudnnConvolutionBackwardFilter");
  const DnnOperand result = call.Operand(dwDesc, dw);
  return Convolve<DnnConvolutionBackwardFilter>(call, kFilter, call.Operand(xDesc, x), result, call.Operand(dyDesc, dy),
                                                convDesc, call.Blend(alpha, beta, result.tensor),
                                                {algo, workSpace, workSpaceSizeInBytes});
}

cudnnStatus_t cudnnConvolutionBiasActivationForward(
    cudnnHandle_t handle, const void* alpha1, const cudnnTensorDescriptor_t xDesc, const void* x,
    const cudnnFilterDescriptor_t wDesc, const void* w, const cudnnConvolutionDescriptor_t convDesc,
    cudnnConvolutionFwdAlgo_t algo, void* workSpace, size_t workSpaceSizeInBytes, const void* alpha2,
    const cudnnTensorDescriptor_t zDesc, const void* z, const cudnnTensorDescriptor_t biasDesc, const void* bias,
    const cudnnActivationDescriptor_t activationDesc, const cudnnTensorDescriptor_t yDesc, void* y) {
  Call call(handle, "cudnnConvolutionBiasActivationForward");
  DnnConvolutionBiasActivation words;
  words.call.x = call.Operand(xDesc, x);
  words.call.w = call.Operand(wDesc, w);
  words.call.y = call.Operand(yDesc, y);
  words.call.convolution = Convolution(call, convDesc);
  words.call.blend = call.Blend(alpha1, alpha2, words.call.y.tensor);
  words.call.algorithm = algo;
  words.call.workspace = reinterpret_cast<std::uintptr_t>(workSpace);
  words.call.workspace_bytes = workSpaceSizeInBytes;
  words.z = call.Operand(zDesc, z);
  words.bias = call.Operand(biasDesc, bias);
  call.Require(activationDesc != nullptr && SameDims(words.z.tensor, words.call.y.tensor) &&
               Spreads(words.bias.tensor, words.call.y.tensor));
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  words.activation = activationDesc->activation;
  call.Support(words.activation.mode == CUDNN_ACTIVATION_RELU || words.activation.mode == CUDNN_ACTIVATION_IDENTITY,
               "an activation that cuDNN does not fuse");
  if (const cudnnStatus_t status = Check(call, kForward, words.call); status != CUDNN_STATUS_SUCCESS) return status;
  return call.Post(words);
}

cudnnStatus_t cudnnConvolutionBackwardBias(cudnnHandle_t handle, const void* alpha,
                                           const cudnnTensorDescriptor_t dyDesc, const void* dy, const void* beta,
                                           const cudnnTensorDescriptor_t dbDesc, void* db) {
  Call call(handle, "cudnnConvolutionBackwardBias");
  DnnConvolutionBackwardBias words;
  words.dy = call.Operand(dyDesc, dy);
  words.db = call.Operand(dbDesc, db);
  words.blend = call.Blend(alpha, beta, words.db.tensor);
  call.Require(Spreads(words.db.tensor, words.dy.tensor) && words.db.tensor.dims[1] == words.dy.tensor.dims[1]);
  call.SupportTensors({words.dy.tensor, words.db.tensor});
  return call.Post(words);
}

}  // namespace accelmesh::face
