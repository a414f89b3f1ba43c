// Convolutions by libcudnn, and their algorithms.
#include <algorithm>

#include "server/backend/cuda/library_dnn_call.h"

namespace accelmesh::cuda {
namespace {

enum Direction : std::int64_t { kForward = 0, kData = 1, kFilter = 2 };

// cuDNN's own list: for each algorithm at most one entry a math type.
constexpr int kFoundMax = 4 * static_cast<int>(kDnnAlgorithmsMax);

cudnnStatus_t Forward(DnnCall& call, const DnnConvolutionForward& words) {
  const DnnTensor& y = words.y.tensor;
  return call.Do(call.library().ConvolutionForward, call.Scalar(words.blend.alpha, y), call.Tensor(words.x.tensor),
                 call.Address(words.x.address), call.Filter(words.w.tensor), call.Address(words.w.address),
                 call.Convolution(words.convolution), call.Number(words.algorithm), call.Address(words.workspace),
                 call.Number(static_cast<std::int64_t>(words.workspace_bytes)), call.Scalar(words.blend.beta, y),
                 call.Tensor(y), call.Address(words.y.address));
}
cudnnStatus_t BackwardData(DnnCall& call, const DnnConvolutionBackwardData& words) {
  const DnnTensor& dx = words.x.tensor;
  return call.Do(call.library().ConvolutionBackwardData, call.Scalar(words.blend.alpha, dx),
                 call.Filter(words.w.tensor), call.Address(words.w.address), call.Tensor(words.y.tensor),
                 call.Address(words.y.address), call.Convolution(words.convolution), call.Number(words.algorithm),
                 call.Address(words.workspace), call.Number(static_cast<std::int64_t>(words.workspace_bytes)),
                 call.Scalar(words.blend.beta, dx), call.Tensor(dx), call.Address(words.x.address));
}
cudnnStatus_t BackwardFilter(DnnCall& call, const DnnConvolutionBackwardFilter& words) {
  const DnnTensor& dw = words.w.tensor;
  return call.Do(call.library().ConvolutionBackwardFilter, call.Scalar(words.blend.alpha, dw),
                 call.Tensor(words.x.tensor), call.Address(words.x.address), call.Tensor(words.y.tensor),
                 call.Address(words.y.address), call.Convolution(words.convolution), call.Number(words.algorithm),
                 call.Address(words.workspace), call.Number(static_cast<std::int64_t>(words.workspace_bytes)),
                 call.Scalar(words.blend.beta, dw), call.Filter(dw), call.Address(words.w.address));
}
cudnnStatus_t BackwardBias(DnnCall& call, const DnnConvolutionBackwardBias& words) {
  const DnnTensor& db = words.db.tensor;
  return call.Do(call.library().ConvolutionBackwardBias, call.Scalar(words.blend.alpha, db),
                 call.Tensor(words.dy.tensor), call.Address(words.dy.address), call.Scalar(words.blend.beta, db),
                 call.Tensor(db), call.Address(words.db.address));
}
cudnnStatus_t BiasActivation(DnnCall& call, const DnnConvolutionBiasActivation& all) {
  const DnnConvolutionCall& words = all.call;
  const DnnTensor& y = words.y.tensor;
  return call.Do(call.library().ConvolutionBiasActivationForward, call.Scalar(words.blend.alpha, y),
                 call.Tensor(words.x.tensor), call.Address(words.x.address), call.Filter(words.w.tensor),
                 call.Address(words.w.address), call.Convolution(words.convolution), call.Number(words.algorithm),
                 call.Address(words.workspace), call.Number(static_cast<std::int64_t>(words.workspace_bytes)),
                 call.Scalar(words.blend.beta, y), call.Tensor(all.z.tensor), call.Address(all.z.address),
                 call.Tensor(all.bias.tensor), call.Address(all.bias.address), call.Activation(all.activation),
                 call.Tensor(y), call.Address(words.y.address));
}

// Those that work, the best first; of two entries for one algorithm, which differ in the math, the descriptor's.
template <typename Performance, typename Find>
cudnnStatus_t List(const DnnFindAlgorithms& words, Bytes* answer, Find find) {
  std::array<Performance, kFoundMax> found{};
  int count = 0;
  const cudnnStatus_t status = find(&count, found.data());
  if (status != CUDNN_STATUS_SUCCESS) return status;
  std::vector<DnnAlgorithm> all;
  for (int i = 0; i < std::min(count, kFoundMax); ++i) {
    const Performance& one = found[static_cast<std::size_t>(i)];
    if (one.status != CUDNN_STATUS_SUCCESS) continue;
    const DnnAlgorithm algorithm{one.algo, one.status, one.determinism, one.mathType, one.memory};
    const auto same =
        std::find_if(all.begin(), all.end(), [&](const DnnAlgorithm& a) { return a.algorithm == algorithm.algorithm; });
    if (same == all.end()) {
      all.push_back(algorithm);
    } else if (same->math_type != words.convolution.math_type && algorithm.math_type == words.convolution.math_type) {
      *same = algorithm;
    }
  }
  all.resize(std::min(all.size(), kDnnAlgorithmsMax));
  if (all.empty()) return CUDNN_STATUS_NOT_SUPPORTED;
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(all.data());
  answer->assign(bytes, bytes + all.size() * sizeof(DnnAlgorithm));
  return status;
}

cudnnStatus_t FindAlgorithms(DnnCall& call, const DnnFindAlgorithms& words, Bytes* answer) {
  const DnnLibrary& library = call.library();
  cudnnTensorDescriptor_t const x = call.Tensor(words.x), y = call.Tensor(words.y);
  cudnnFilterDescriptor_t const w = call.Filter(words.w);
  cudnnConvolutionDescriptor_t const convolution = call.Convolution(words.convolution);
  switch (words.direction) {
    case kForward:
      return List<cudnnConvolutionFwdAlgoPerf_t>(words, answer, [&](int* count, cudnnConvolutionFwdAlgoPerf_t* found) {
        return call.Do(library.GetConvolutionForwardAlgorithm_v7, x, w, convolution, y, kFoundMax, count, found);
      });
    case kData:
      return List<cudnnConvolutionBwdDataAlgoPerf_t>(words, answer,
                                                     [&](int* count, cudnnConvolutionBwdDataAlgoPerf_t* found) {
                                                       return call.Do(library.GetConvolutionBackwardDataAlgorithm_v7, w,
                                                                      y, convolution, x, kFoundMax, count, found);
                                                     });
    case kFilter:
      return List<cudnnConvolutionBwdFilterAlgoPerf_t>(
          words, answer, [&](int* count, cudnnConvolutionBwdFilterAlgoPerf_t* found) {
            return call.Do(library.GetConvolutionBackwardFilterAlgorithm_v7, x, y, convolution, w, kFoundMax, count,
                           found);
          });
    default: return CUDNN_STATUS_BAD_PARAM;
  }
}

}  // namespace

void AddConvolutions(DnnTable& table) {
  AddRun<DnnConvolutionForward, &Forward>(table);
  AddRun<DnnConvolutionBackwardData, &BackwardData>(table);
  AddRun<DnnConvolutionBackwardFilter, &BackwardFilter>(table);
  AddRun<DnnConvolutionBackwardBias, &BackwardBias>(table);
  AddRun<DnnConvolutionBiasActivation, &BiasActivation>(table);
  AddAsk<DnnFindAlgorithms, &FindAlgorithms>(table);
}

}  // namespace accelmesh::cuda
