// Algorithms of convolutions by the time that they take: each is run once on the program's memory, or on memory that is
// the client's for that long, while everything waits, as cuDNN says that these functions do.
#include <algorithm>
#include <chrono>
#include <vector>

#include "shim/dnn/convolution_call.h"
#include "shim/gen_dnn_face.h"
#include "shim/gen_face.h"

namespace accelmesh::dnn {
namespace {

// One and zero, as scalars of the result's type.
struct Scalars {
  explicit Scalars(bool is_double) {
    if (is_double) {
      one = &one_double;
      zero = &zero_double;
    }
  }
  float one_float = 1, zero_float = 0;
  double one_double = 1, zero_double = 0;
  const void* one = &one_float;
  const void* zero = &zero_float;
};

// Memory of the current device that ends with this.
class Memory {
 public:
  explicit Memory(std::size_t bytes) {
    if (bytes != 0 && face::cudaMalloc(&memory_, bytes) != cudaSuccess) memory_ = nullptr;
    is_there_ = bytes == 0 || memory_ != nullptr;
  }
  ~Memory() {
    if (memory_ != nullptr) (void)face::cudaFree(memory_);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* get() const { return memory_; }
  bool is_there() const { return is_there_; }

 private:
  void* memory_ = nullptr;
  bool is_there_ = false;
};

// `run(algorithm, scalars)` posts the convolution.
template <typename Algorithm, typename Performance, typename Run>
cudnnStatus_t Measure(Call& call, const DnnFindAlgorithms& problem, std::size_t workspace_bytes, int requested,
                      int* returned, Performance* results, Run run) {
  call.Require(AreGiven(returned, results) && requested > 0);
  std::span<const DnnAlgorithm> found;
  if (const cudnnStatus_t status = call.FindAlgorithms(problem, &found); status != CUDNN_STATUS_SUCCESS) return status;
  const Scalars scalars(problem.x.type == CUDNN_DATA_DOUBLE);
  std::vector<Performance> all;
  for (const DnnAlgorithm& algorithm : found) {
    if (algorithm.status != CUDNN_STATUS_SUCCESS || algorithm.workspace_bytes > workspace_bytes) continue;
    // The first run makes what is made once.
    float time = 0;
    for (int runs = 0; runs < 2; ++runs) {
      if (const cudnnStatus_t status = call.Wait(); status != CUDNN_STATUS_SUCCESS) return status;
      const auto begin = std::chrono::steady_clock::now();
      if (const cudnnStatus_t status = run(static_cast<Algorithm>(algorithm.algorithm), scalars);
          status != CUDNN_STATUS_SUCCESS)
        return status;
      if (const cudnnStatus_t status = call.Wait(); status != CUDNN_STATUS_SUCCESS) return status;
      time = std::chrono::duration<float, std::milli>(std::chrono::steady_clock::now() - begin).count();
    }
    Fill<Algorithm>(algorithm, time, &all.emplace_back());
  }
  if (all.empty()) return CUDNN_STATUS_NOT_SUPPORTED;
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.time < b.time; });
  const std::size_t count = std::min(all.size(), static_cast<std::size_t>(requested));
  std::copy_n(all.begin(), count, results);
  *returned = static_cast<int>(count);
  return CUDNN_STATUS_SUCCESS;
}

// As large as the largest workspace.
std::size_t WorkspaceBytes(Call& call, const DnnFindAlgorithms& problem) {
  std::span<const DnnAlgorithm> found;
  std::size_t bytes = 0;
  if (call.FindAlgorithms(problem, &found) != CUDNN_STATUS_SUCCESS) return 0;
  for (const DnnAlgorithm& algorithm : found) bytes = std::max<std::size_t>(bytes, algorithm.workspace_bytes);
  return bytes;
}

// Memory for all that a problem has, and what measures it there.
template <typename MeasureThere>
cudnnStatus_t OnOwnMemory(Call& call, const DnnFindAlgorithms& problem, MeasureThere measure) {
  if (call.status() != CUDNN_STATUS_SUCCESS) return call.status();
  const std::size_t bytes = WorkspaceBytes(call, problem);
  const Memory x(BytesOf(problem.x)), w(BytesOf(problem.w)), y(BytesOf(problem.y)), workspace(bytes);
  if (!x.is_there() || !w.is_there() || !y.is_there() || !workspace.is_there())
    return CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
  return measure(x.get(), w.get(), y.get(), workspace.get(), bytes);
}

}  // namespace
}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnFindConvolutionForwardAlgorithmEx(cudnnHandle_t handle, const cudnnTensorDescriptor_t xDesc,
                                                     const void* x, const cudnnFilterDescriptor_t wDesc, const void* w,
                                                     const cudnnConvolutionDescriptor_t convDesc,
                                                     const cudnnTensorDescriptor_t yDesc, void* y,
                                                     const int requestedAlgoCount, int* returnedAlgoCount,
                                                     cudnnConvolutionFwdAlgoPerf_t* perfResults, void* workSpace,
                                                     size_t workSpaceSizeInBytes) {
  Call call(handle, "cudnnFindConvolutionForwardAlgorithmEx");
  return Measure<cudnnConvolutionFwdAlgo_t>(
      call, Problem(call, kForward, xDesc, wDesc, convDesc, yDesc), workSpaceSizeInBytes, requestedAlgoCount,
      returnedAlgoCount, perfResults, [&](cudnnConvolutionFwdAlgo_t algorithm, const Scalars& scalars) {
        return face::cudnnConvolutionForward(handle, scalars.one, xDesc, x, wDesc, w, convDesc, algorithm, workSpace,
                                             workSpaceSizeInBytes, scalars.zero, yDesc, y);
      });
}
cudnnStatus_t cudnnFindConvolutionForwardAlgorithm(cudnnHandle_t handle, const cudnnTensorDescriptor_t xDesc,
                                                   const cudnnFilterDescriptor_t wDesc,
                                                   const cudnnConvolutionDescriptor_t convDesc,
                                                   const cudnnTensorDescriptor_t yDesc, const int requestedAlgoCount,
                                                   int* returnedAlgoCount, cudnnConvolutionFwdAlgoPerf_t* perfResults) {
  Call call(handle, "cudnnFindConvolutionForwardAlgorithm");
  return OnOwnMemory(call, Problem(call, kForward, xDesc, wDesc, convDesc, yDesc),
                     [&](void* x, void* w, void* y, void* workspace, std::size_t bytes) {
                       return face::cudnnFindConvolutionForwardAlgorithmEx(handle, xDesc, x, wDesc, w, convDesc, yDesc,
                                                                           y, requestedAlgoCount, returnedAlgoCount,
                                                                           perfResults, workspace, bytes);
                     });
}

cudnnStatus_t cudnnFindConvolutionBackwardDataAlgorithmEx(cudnnHandle_t handle, const cudnnFilterDescriptor_t wDesc,
                                                          const void* w, const cudnnTensorDescriptor_t dyDesc,
                                                          const void* dy, const cudnnConvolutionDescriptor_t convDesc,
                                                          const cudnnTensorDescriptor_t dxDesc, void* dx,
                                                          const int requestedAlgoCount, int* returnedAlgoCount,
                                                          cudnnConvolutionBwdDataAlgoPerf_t* perfResults,
                                                          void* workSpace, size_t workSpaceSizeInBytes) {
  Call call(handle, "cudnnFindConvolutionBackwardDataAlgorithmEx");
  return Measure<cudnnConvolutionBwdDataAlgo_t>(
      call, Problem(call, kData, dxDesc, wDesc, convDesc, dyDesc), workSpaceSizeInBytes, requestedAlgoCount,
      returnedAlgoCount, perfResults, [&](cudnnConvolutionBwdDataAlgo_t algorithm, const Scalars& scalars) {
        return face::cudnnConvolutionBackwardData(handle, scalars.one, wDesc, w, dyDesc, dy, convDesc, algorithm,
                                                  workSpace, workSpaceSizeInBytes, scalars.zero, dxDesc, dx);
      });
}
cudnnStatus_t cudnnFindConvolutionBackwardDataAlgorithm(cudnnHandle_t handle, const cudnnFilterDescriptor_t wDesc,
                                                        const cudnnTensorDescriptor_t dyDesc,
                                                        const cudnnConvolutionDescriptor_t convDesc,
                                                        const cudnnTensorDescriptor_t dxDesc,
                                                        const int requestedAlgoCount, int* returnedAlgoCount,
                                                        cudnnConvolutionBwdDataAlgoPerf_t* perfResults) {
  Call call(handle, "cudnnFindConvolutionBackwardDataAlgorithm");
  return OnOwnMemory(call, Problem(call, kData, dxDesc, wDesc, convDesc, dyDesc),
                     [&](void* dx, void* w, void* dy, void* workspace, std::size_t bytes) {
                       return face::cudnnFindConvolutionBackwardDataAlgorithmEx(
                           handle, wDesc, w, dyDesc, dy, convDesc, dxDesc, dx, requestedAlgoCount, returnedAlgoCount,
                           perfResults, workspace, bytes);
                     });
}

cudnnStatus_t cudnnFindConvolutionBackwardFilterAlgorithmEx(cudnnHandle_t handle, const cudnnTensorDescriptor_t xDesc,
                                                            const void* x, const cudnnTensorDescriptor_t dyDesc,
                                                            const void* y, const cudnnConvolutionDescriptor_t convDesc,
                                                            const cudnnFilterDescriptor_t dwDesc, void* dw,
                                                            const int requestedAlgoCount, int* returnedAlgoCount,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t* perfResults,
                                                            void* workSpace, size_t workSpaceSizeInBytes) {
  Call call(handle, "cudnnFindConvolutionBackwardFilterAlgorithmEx");
  return Measure<cudnnConvolutionBwdFilterAlgo_t>(
      call, Problem(call, kFilter, xDesc, dwDesc, convDesc, dyDesc), workSpaceSizeInBytes, requestedAlgoCount,
      returnedAlgoCount, perfResults, [&](cudnnConvolutionBwdFilterAlgo_t algorithm, const Scalars& scalars) {
        return face::cudnnConvolutionBackwardFilter(handle, scalars.one, xDesc, x, dyDesc, y, convDesc, algorithm,
                                                    workSpace, workSpaceSizeInBytes, scalars.zero, dwDesc, dw);
      });
}
cudnnStatus_t cudnnFindConvolutionBackwardFilterAlgorithm(cudnnHandle_t handle, const cudnnTensorDescriptor_t xDesc,
                                                          const cudnnTensorDescriptor_t dyDesc,
                                                          const cudnnConvolutionDescriptor_t convDesc,
                                                          const cudnnFilterDescriptor_t dwDesc,
                                                          const int requestedAlgoCount, int* returnedAlgoCount,
                                                          cudnnConvolutionBwdFilterAlgoPerf_t* perfResults) {
  Call call(handle, "cudnnFindConvolutionBackwardFilterAlgorithm");
  return OnOwnMemory(call, Problem(call, kFilter, xDesc, dwDesc, convDesc, dyDesc),
                     [&](void* x, void* dw, void* dy, void* workspace, std::size_t bytes) {
                       return face::cudnnFindConvolutionBackwardFilterAlgorithmEx(
                           handle, xDesc, x, dyDesc, dy, convDesc, dwDesc, dw, requestedAlgoCount, returnedAlgoCount,
                           perfResults, workspace, bytes);
                     });
}

}  // namespace accelmesh::face
