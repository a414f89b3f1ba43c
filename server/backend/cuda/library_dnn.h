// libcudnn as the cuda backend uses it: found at run time; words of the wire (protocol/library/dnn_calls.h) become its
// descriptors (library_dnn_call.h). We link nothing of NVIDIA, so a server without it starts, and says what is missing
// when a client asks.
//
// Threads: a DnnLibrary is constant once it is loaded; a DnnHandle is used by one thread at a time, in the context that
// it was made in.
#pragma once

#include <cuda.h>
#include <cudnn.h>

#include <memory>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "protocol/base/result.h"
#include "server/backend/cuda/driver.h"
#include "server/device.h"

// X(member): the symbol is cudnn and the member. The backend cannot do without these.
#define ACCELMESH_CUDA_DNN_FUNCTIONS(X)       \
  /* Handles and descriptors. */              \
  X(Create)                                   \
  X(Destroy)                                  \
  X(SetStream)                                \
  X(GetVersion)                               \
  X(GetErrorString)                           \
  X(CreateTensorDescriptor)                   \
  X(DestroyTensorDescriptor)                  \
  X(SetTensorNdDescriptor)                    \
  X(CreateFilterDescriptor)                   \
  X(DestroyFilterDescriptor)                  \
  X(SetFilterNdDescriptor)                    \
  X(CreateConvolutionDescriptor)              \
  X(DestroyConvolutionDescriptor)             \
  X(SetConvolutionNdDescriptor)               \
  X(SetConvolutionMathType)                   \
  X(SetConvolutionGroupCount)                 \
  X(SetConvolutionReorderType)                \
  X(CreateActivationDescriptor)               \
  X(DestroyActivationDescriptor)              \
  X(SetActivationDescriptor)                  \
  X(SetActivationDescriptorSwishBeta)         \
  X(CreatePoolingDescriptor)                  \
  X(DestroyPoolingDescriptor)                 \
  X(SetPoolingNdDescriptor)                   \
  X(CreateOpTensorDescriptor)                 \
  X(DestroyOpTensorDescriptor)                \
  X(SetOpTensorDescriptor)                    \
  X(CreateReduceTensorDescriptor)             \
  X(DestroyReduceTensorDescriptor)            \
  X(SetReduceTensorDescriptor)                \
  /* What runs in a stream, and questions. */ \
  X(GetConvolutionForwardAlgorithm_v7)        \
  X(GetConvolutionBackwardDataAlgorithm_v7)   \
  X(GetConvolutionBackwardFilterAlgorithm_v7) \
  X(ConvolutionForward)                       \
  X(ConvolutionBackwardData)                  \
  X(ConvolutionBackwardFilter)                \
  X(ConvolutionBackwardBias)                  \
  X(ConvolutionBiasActivationForward)         \
  X(ActivationForward)                        \
  X(ActivationBackward)                       \
  X(PoolingForward)                           \
  X(PoolingBackward)                          \
  X(SoftmaxForward)                           \
  X(SoftmaxBackward)                          \
  X(AddTensor)                                \
  X(OpTensor)                                 \
  X(GetReductionWorkspaceSize)                \
  X(ReduceTensor)                             \
  X(ScaleTensor)                              \
  X(SetTensor)                                \
  X(TransformTensor)                          \
  X(BatchNormalizationForwardTraining)        \
  X(BatchNormalizationForwardInference)       \
  X(BatchNormalizationBackward)

// X(member, group): without one of a group, functions of the wire that belong to it are refused, which is said.
#define ACCELMESH_CUDA_DNN_GROUPED_FUNCTIONS(X)                  \
  X(CreateDropoutDescriptor, kDropout)                           \
  X(DestroyDropoutDescriptor, kDropout)                          \
  X(SetDropoutDescriptor, kDropout)                              \
  X(RestoreDropoutDescriptor, kDropout)                          \
  X(DropoutGetStatesSize, kDropout)                              \
  X(DropoutForward, kDropout)                                    \
  X(DropoutBackward, kDropout)                                   \
  X(CreateRNNDescriptor, kRecurrent)                             \
  X(DestroyRNNDescriptor, kRecurrent)                            \
  X(SetRNNDescriptor_v8, kRecurrent)                             \
  X(RNNSetClip_v8, kRecurrent)                                   \
  X(BuildRNNDynamic, kRecurrent)                                 \
  X(CreateRNNDataDescriptor, kRecurrent)                         \
  X(DestroyRNNDataDescriptor, kRecurrent)                        \
  X(SetRNNDataDescriptor, kRecurrent)                            \
  X(GetRNNTempSpaceSizes, kRecurrent)                            \
  X(GetRNNWeightSpaceSize, kRecurrent)                           \
  X(GetRNNWeightParams, kRecurrent)                              \
  X(RNNForward, kRecurrent)                                      \
  X(RNNBackwardData_v8, kRecurrent)                              \
  X(RNNBackwardWeights_v8, kRecurrent)                           \
  X(CreateLRNDescriptor, kLrn)                                   \
  X(DestroyLRNDescriptor, kLrn)                                  \
  X(SetLRNDescriptor, kLrn)                                      \
  X(LRNCrossChannelForward, kLrn)                                \
  X(LRNCrossChannelBackward, kLrn)                               \
  X(DivisiveNormalizationForward, kLrn)                          \
  X(DivisiveNormalizationBackward, kLrn)                         \
  X(CreateSpatialTransformerDescriptor, kSpatial)                \
  X(DestroySpatialTransformerDescriptor, kSpatial)               \
  X(SetSpatialTransformerNdDescriptor, kSpatial)                 \
  X(SpatialTfGridGeneratorForward, kSpatial)                     \
  X(SpatialTfGridGeneratorBackward, kSpatial)                    \
  X(SpatialTfSamplerForward, kSpatial)                           \
  X(SpatialTfSamplerBackward, kSpatial)                          \
  X(CreateCTCLossDescriptor, kCtc)                               \
  X(DestroyCTCLossDescriptor, kCtc)                              \
  X(SetCTCLossDescriptor_v9, kCtc)                               \
  X(GetCTCLossWorkspaceSize, kCtc)                               \
  X(GetCTCLossWorkspaceSize_v8, kCtc)                            \
  X(CTCLoss, kCtc)                                               \
  X(CTCLoss_v8, kCtc)                                            \
  X(GetBatchNormalizationForwardTrainingExWorkspaceSize, kNorms) \
  X(GetBatchNormalizationBackwardExWorkspaceSize, kNorms)        \
  X(GetBatchNormalizationTrainingExReserveSpaceSize, kNorms)     \
  X(BatchNormalizationForwardTrainingEx, kNorms)                 \
  X(BatchNormalizationBackwardEx, kNorms)                        \
  X(GetNormalizationForwardTrainingWorkspaceSize, kNorms)        \
  X(GetNormalizationBackwardWorkspaceSize, kNorms)               \
  X(GetNormalizationTrainingReserveSpaceSize, kNorms)            \
  X(NormalizationForwardTraining, kNorms)                        \
  X(NormalizationForwardInference, kNorms)                       \
  X(NormalizationBackward, kNorms)                               \
  X(CreateTensorTransformDescriptor, kTransforms)                \
  X(DestroyTensorTransformDescriptor, kTransforms)               \
  X(SetTensorTransformDescriptor, kTransforms)                   \
  X(TransformTensorEx, kTransforms)                              \
  X(TransformFilter, kTransforms)                                \
  X(Im2Col, kTransforms)                                         \
  X(GetTensorNdDescriptor, kAttention)                           \
  X(CreateSeqDataDescriptor, kAttention)                         \
  X(DestroySeqDataDescriptor, kAttention)                        \
  X(SetSeqDataDescriptor, kAttention)                            \
  X(CreateAttnDescriptor, kAttention)                            \
  X(DestroyAttnDescriptor, kAttention)                           \
  X(SetAttnDescriptor, kAttention)                               \
  X(GetMultiHeadAttnBuffers, kAttention)                         \
  X(GetMultiHeadAttnWeights, kAttention)                         \
  X(MultiHeadAttnForward, kAttention)                            \
  X(MultiHeadAttnBackwardData, kAttention)                       \
  X(MultiHeadAttnBackwardWeights, kAttention)                    \
  X(BackendCreateDescriptor, kGraphs)                            \
  X(BackendDestroyDescriptor, kGraphs)                           \
  X(BackendSetAttribute, kGraphs)                                \
  X(BackendGetAttribute, kGraphs)                                \
  X(BackendFinalize, kGraphs)                                    \
  X(BackendExecute, kGraphs)

namespace accelmesh::cuda {

class DnnCall;
class GraphPlan;
class GraphPlans;
struct DnnDescriptors;

enum class DnnGroup : std::uint8_t {
  kAll,
  kDropout,
  kRecurrent,
  kLrn,
  kSpatial,
  kCtc,
  kNorms,
  kTransforms,
  kAttention,
  kGraphs
};

// A function of the wire: null members for what it is not, or if this backend does not have it.
struct DnnFunction {
  cudnnStatus_t (*run)(DnnCall& call, ByteView arguments) = nullptr;
  cudnnStatus_t (*ask)(DnnCall& call, ByteView arguments, Bytes* answer) = nullptr;
  DnnGroup group = DnnGroup::kAll;
  bool may_wait = false;  // each time: it launches more than a stream may hold
};

class DnnLibrary {
 public:
  // Opens $ACCELMESH_LIBCUDNN, else libcudnn.so.9; never closed. kUnsupported names what is missing.
  static Result<std::unique_ptr<const DnnLibrary>> Load();

  // A bit for each function that there is, by its number.
  Bytes Bits() const;
  // Null if there is none.
  const DnnFunction* Find(std::uint32_t function) const;
  std::string StatusName(cudnnStatus_t status) const;

#define ACCELMESH_CUDA_MEMBER(member) decltype(&::cudnn##member) member = nullptr;
  ACCELMESH_CUDA_DNN_FUNCTIONS(ACCELMESH_CUDA_MEMBER)
#undef ACCELMESH_CUDA_MEMBER
#define ACCELMESH_CUDA_MEMBER(member, group) decltype(&::cudnn##member) member = nullptr;
  ACCELMESH_CUDA_DNN_GROUPED_FUNCTIONS(ACCELMESH_CUDA_MEMBER)
#undef ACCELMESH_CUDA_MEMBER

 private:
  std::set<DnnGroup> lacking_;  // of the library's file
};

// A handle, the descriptors of its calls, and memory for those that need some of their own.
class DnnHandle {
 public:
  using Settings = std::shared_ptr<const Bytes>;

  // `plans` are its device's; without some, graphs are refused.
  DnnHandle(const Driver& driver, const DnnLibrary& library, cudnnHandle_t handle, GraphPlans* plans = nullptr);
  ~DnnHandle();

  // The stream that its calls go to from now on.
  cudnnStatus_t Use(CUstream stream) { return library_.SetStream(handle_, stream); }
  cudnnStatus_t Run(std::uint32_t function, ByteView arguments, const Settings& settings = nullptr);
  // What there is to say of the last one beside its status; empty if nothing.
  const std::string& why() const { return why_; }
  // A function that IsAsked().
  LibraryAnswer Ask(std::uint32_t function, ByteView arguments);
  void Destroy();

  // Whether such a call has run before, so that what it makes the first time is there, and waits for nothing else. What
  // of it another thread could use is this thread's then, until it has run.
  bool Knows(std::uint32_t function, ByteView arguments, const Settings& settings = nullptr);
  // That the last one has, if it has.
  void Learn(std::uint32_t function, ByteView arguments, const Settings& settings = nullptr);

 private:
  friend class DnnCall;
  // Memory that is the call's until the stream has come to its end; null if there is none.
  void* Room(std::size_t bytes);
  // Tells calls apart that may need other kernels: of addresses only how they are aligned, of scalars only whether they
  // are 0.
  std::uint64_t ProblemOf(std::uint32_t function, ByteView arguments, const Settings& settings) const;

  const Driver& driver_;
  const DnnLibrary& library_;
  cudnnHandle_t handle_;
  GraphPlans* plans_;
  std::shared_ptr<GraphPlan> taken_;
  std::string why_;
  std::unique_ptr<DnnDescriptors> descriptors_;
  std::vector<CUdeviceptr> rooms_;  // the last is in use; freeing one of the others would wait for the device
  std::size_t room_bytes_ = 0;
  std::unordered_set<std::uint64_t> known_;
  bool last_succeeded_ = false;
};

}  // namespace accelmesh::cuda
