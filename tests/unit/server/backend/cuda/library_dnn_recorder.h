// Words of cuDNN's calls as what the library is called with: its descriptors are those of NVIDIA's library of the
// toolkit, which opens without a GPU; functions are replaced by ones that write down what they are given:
//
//     T1 a tensor whose first dimension is 1, F1 a filter, @1 an address, =1 a scalar of the host's, #1 a size,
//     ~1 a double, other descriptors by a letter and what they say
//
// Threads: a test's.
#pragma once

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "server/backend/cuda/library_dnn_call.h"

namespace accelmesh::cuda {

// A getter of NVIDIA's.
template <typename Function>
Function* Nvidias(const char* name) {
  static void* const object = ::dlopen(ACCELMESH_NVIDIAS_CUDNN, RTLD_NOW | RTLD_LOCAL);
  return reinterpret_cast<Function*>(::dlsym(object, name));
}
#define NVIDIAS(name) Nvidias<decltype(::name)>(#name)

// Device memory has small addresses here, so that scalars of the host can be told from it.
inline constexpr std::uintptr_t kAddressesEnd = 1 << 16;
inline bool g_scalars_are_double = false;
inline std::vector<std::string> g_calls;

inline std::string Text(cudnnTensorDescriptor_t descriptor) {
  if (descriptor == nullptr) return "T-";
  cudnnDataType_t type{};
  int rank = 0, dims[CUDNN_DIM_MAX]{}, strides[CUDNN_DIM_MAX]{};
  EXPECT_EQ(NVIDIAS(cudnnGetTensorNdDescriptor)(descriptor, CUDNN_DIM_MAX, &type, &rank, dims, strides), 0);
  std::ostringstream text;
  text << "T" << dims[0];
  if (rank == 3)
    text << "," << dims[1] << "," << dims[2] << "/" << strides[0] << "," << strides[1] << "," << strides[2];
  if (type != CUDNN_DATA_FLOAT) text << ":" << type;
  return text.str();
}
inline std::string Text(cudnnFilterDescriptor_t descriptor) {
  cudnnDataType_t type{};
  cudnnTensorFormat_t format{};
  int rank = 0, dims[CUDNN_DIM_MAX]{};
  EXPECT_EQ(NVIDIAS(cudnnGetFilterNdDescriptor)(descriptor, CUDNN_DIM_MAX, &type, &format, &rank, dims), 0);
  std::ostringstream text;
  text << "F" << dims[0] << (format == CUDNN_TENSOR_NHWC ? "nhwc" : "");
  if (rank != 4) text << "^" << rank;
  if (type != CUDNN_DATA_FLOAT) text << ":" << type;
  return text.str();
}
inline std::string Text(cudnnConvolutionDescriptor_t descriptor) {
  int rank = 0, pads[6]{}, strides[6]{}, dilations[6]{}, groups = 0;
  cudnnConvolutionMode_t mode{};
  cudnnDataType_t type{};
  cudnnMathType_t math{};
  cudnnReorderType_t reorder{};
  EXPECT_EQ(NVIDIAS(cudnnGetConvolutionNdDescriptor)(descriptor, 6, &rank, pads, strides, dilations, &mode, &type), 0);
  EXPECT_EQ(NVIDIAS(cudnnGetConvolutionMathType)(descriptor, &math), 0);
  EXPECT_EQ(NVIDIAS(cudnnGetConvolutionGroupCount)(descriptor, &groups), 0);
  EXPECT_EQ(NVIDIAS(cudnnGetConvolutionReorderType)(descriptor, &reorder), 0);
  std::ostringstream text;
  text << "C" << rank << "(";
  for (int d = 0; d < rank; ++d) text << pads[d] << "," << strides[d] << "," << dilations[d] << ";";
  text << mode << "," << type << "," << math << "," << groups << "," << reorder << ")";
  return text.str();
}
inline std::string Text(cudnnActivationDescriptor_t descriptor) {
  if (descriptor == nullptr) return "none";
  cudnnActivationMode_t mode{};
  cudnnNanPropagation_t nan{};
  double coefficient = 0, beta = 0;
  EXPECT_EQ(NVIDIAS(cudnnGetActivationDescriptor)(descriptor, &mode, &nan, &coefficient), 0);
  std::ostringstream text;
  text << "A(" << mode << "," << nan << "," << coefficient;
  if (mode == CUDNN_ACTIVATION_SWISH) {
    EXPECT_EQ(NVIDIAS(cudnnGetActivationDescriptorSwishBeta)(descriptor, &beta), 0);
    text << "," << beta;
  }
  text << ")";
  return text.str();
}
inline std::string Text(cudnnPoolingDescriptor_t descriptor) {
  cudnnPoolingMode_t mode{};
  cudnnNanPropagation_t nan{};
  int rank = 0, window[6]{}, pads[6]{}, strides[6]{};
  EXPECT_EQ(NVIDIAS(cudnnGetPoolingNdDescriptor)(descriptor, 6, &mode, &nan, &rank, window, pads, strides), 0);
  std::ostringstream text;
  text << "P" << rank << "(" << mode << "," << nan << ";";
  for (int d = 0; d < rank; ++d) text << window[d] << "," << pads[d] << "," << strides[d] << ";";
  text << ")";
  return text.str();
}
inline std::string Text(cudnnOpTensorDescriptor_t descriptor) {
  cudnnOpTensorOp_t operation{};
  cudnnDataType_t type{};
  cudnnNanPropagation_t nan{};
  EXPECT_EQ(NVIDIAS(cudnnGetOpTensorDescriptor)(descriptor, &operation, &type, &nan), 0);
  std::ostringstream text;
  text << "O(" << operation << "," << type << "," << nan << ")";
  return text.str();
}
inline std::string Text(cudnnReduceTensorDescriptor_t descriptor) {
  cudnnReduceTensorOp_t operation{};
  cudnnDataType_t type{};
  cudnnNanPropagation_t nan{};
  cudnnReduceTensorIndices_t indices{};
  cudnnIndicesType_t indices_type{};
  EXPECT_EQ(NVIDIAS(cudnnGetReduceTensorDescriptor)(descriptor, &operation, &type, &nan, &indices, &indices_type), 0);
  std::ostringstream text;
  text << "R(" << operation << "," << type << "," << nan << "," << indices << ")";
  return text.str();
}
inline std::string Text(cudnnRNNDescriptor_t descriptor) {
  cudnnRNNAlgo_t algorithm{};
  cudnnRNNMode_t cell{};
  cudnnRNNBiasMode_t bias{};
  cudnnDirectionMode_t direction{};
  cudnnRNNInputMode_t input{};
  cudnnDataType_t type{}, precision{};
  cudnnMathType_t math{};
  int sizes[4]{};
  cudnnDropoutDescriptor_t dropout = nullptr;
  unsigned flags = 0;
  EXPECT_EQ(
      NVIDIAS(cudnnGetRNNDescriptor_v8)(descriptor, &algorithm, &cell, &bias, &direction, &input, &type, &precision,
                                        &math, &sizes[0], &sizes[1], &sizes[2], &sizes[3], &dropout, &flags),
      0);
  cudnnRNNClipMode_t clip{};
  cudnnNanPropagation_t nan{};
  double low = 0, high = 0;
  EXPECT_EQ(NVIDIAS(cudnnRNNGetClip_v8)(descriptor, &clip, &nan, &low, &high), 0);
  std::ostringstream text;
  text << "N(" << algorithm << "," << cell << "," << bias << "," << direction << "," << input << "," << type << ","
       << precision << "," << math << ";" << sizes[0] << "," << sizes[1] << "," << sizes[2] << "," << sizes[3] << ";"
       << flags;
  if (clip != CUDNN_RNN_CLIP_NONE) text << ";" << low << "," << high;
  text << ")" << (dropout == nullptr ? "-" : "");
  return text.str();
}
inline std::string Text(cudnnRNNDataDescriptor_t descriptor) {
  cudnnDataType_t type{};
  cudnnRNNDataLayout_t layout{};
  int steps = 0, batch = 0, vector = 0, lengths[8]{};
  float padding = 0;
  EXPECT_EQ(
      NVIDIAS(cudnnGetRNNDataDescriptor)(descriptor, &type, &layout, &steps, &batch, &vector, 8, lengths, &padding), 0);
  std::ostringstream text;
  text << "S(" << type << "," << layout << "," << steps << "," << vector << ";";
  for (int i = 0; i < batch; ++i) text << lengths[i] << ",";
  text << padding << ")";
  return text.str();
}
inline std::string Text(cudnnAttnDescriptor_t descriptor) {
  unsigned mode = 0;
  int numbers[12]{};
  double scale = 0;
  cudnnDataType_t type{}, precision{};
  cudnnMathType_t math{};
  cudnnDropoutDescriptor_t dropout = nullptr, result_dropout = nullptr;
  EXPECT_EQ(
      NVIDIAS(cudnnGetAttnDescriptor)(descriptor, &mode, &numbers[0], &scale, &type, &precision, &math, &dropout,
                                      &result_dropout, &numbers[1], &numbers[2], &numbers[3], &numbers[4], &numbers[5],
                                      &numbers[6], &numbers[7], &numbers[8], &numbers[9], &numbers[10], &numbers[11]),
      0);
  std::ostringstream text;
  text << "A(" << mode << "," << scale << "," << type << "," << precision << "," << math;
  for (const int number : numbers) text << "," << number;
  text << ")" << (dropout == nullptr ? "-" : "") << (result_dropout == nullptr ? "-" : "");
  return text.str();
}
inline std::string Text(cudnnSeqDataDescriptor_t descriptor) {
  cudnnDataType_t type{};
  int rank = 0, dims[4]{}, lengths[8]{};
  cudnnSeqDataAxis_t axes[4]{};
  std::size_t count = 0;
  float padding = 0;
  EXPECT_EQ(NVIDIAS(cudnnGetSeqDataDescriptor)(descriptor, &type, &rank, 4, dims, axes, &count, 8, lengths, &padding),
            0);
  std::ostringstream text;
  text << "S(" << type;
  for (int d = 0; d < 4; ++d) text << "," << dims[d] << "@" << axes[d];
  text << ";";
  for (std::size_t i = 0; i < count; ++i) text << lengths[i] << ",";
  text << padding << ")";
  return text.str();
}
inline std::string Text(cudnnLRNDescriptor_t descriptor) {
  unsigned window = 0;
  double alpha = 0, beta = 0, k = 0;
  EXPECT_EQ(NVIDIAS(cudnnGetLRNDescriptor)(descriptor, &window, &alpha, &beta, &k), 0);
  std::ostringstream text;
  text << "L(" << window << "," << alpha << "," << beta << "," << k << ")";
  return text.str();
}
inline std::string Text(cudnnCTCLossDescriptor_t descriptor) {
  cudnnDataType_t type{};
  cudnnLossNormalizationMode_t normalization{};
  cudnnCTCGradMode_t mode{};
  int longest = 0;
  EXPECT_EQ(NVIDIAS(cudnnGetCTCLossDescriptor_v9)(descriptor, &type, &normalization, &mode, &longest), 0);
  std::ostringstream text;
  text << "CTC(" << type << "," << normalization << "," << mode << "," << longest << ")";
  return text.str();
}
inline std::string Text(cudnnTensorTransformDescriptor_t descriptor) {
  cudnnTensorFormat_t format{};
  int before[CUDNN_DIM_MAX]{}, after[CUDNN_DIM_MAX]{};
  unsigned folds[CUDNN_DIM_MAX]{};
  cudnnFoldingDirection_t direction{};
  EXPECT_EQ(NVIDIAS(cudnnGetTensorTransformDescriptor)(descriptor, 4, &format, before, after, folds, &direction), 0);
  std::ostringstream text;
  text << "X(" << format << "," << direction;
  for (int d = 0; d < 4; ++d) text << ";" << before[d] << "," << after[d];
  text << ")";
  return text.str();
}
// No function says what is in one.
inline std::string Text(cudnnSpatialTransformerDescriptor_t descriptor) { return descriptor == nullptr ? "ST-" : "ST"; }
inline int g_numbers = 0;  // how many of the host's to write down
inline std::string Text(const int* numbers) {
  if (numbers == nullptr) return "-";
  if (reinterpret_cast<std::uintptr_t>(numbers) < kAddressesEnd)
    return "@" + std::to_string(reinterpret_cast<std::uintptr_t>(numbers));
  std::string text = "[";
  for (int i = 0; i < g_numbers; ++i) text += std::to_string(numbers[i]) + ",";
  return text + "]";
}
inline std::string Text(const void* pointer) {
  std::ostringstream text;
  if (reinterpret_cast<std::uintptr_t>(pointer) < kAddressesEnd) {
    text << "@" << reinterpret_cast<std::uintptr_t>(pointer);
  } else if (g_scalars_are_double) {
    text << "=" << *static_cast<const double*>(pointer);
  } else {
    text << "=" << *static_cast<const float*>(pointer);
  }
  return text.str();
}
inline std::string Text(double value) {
  std::ostringstream text;
  text << "~" << value;
  return text.str();
}
inline std::string Text(std::size_t value) { return "#" + std::to_string(value); }
template <typename T>
  requires(std::is_enum_v<T> || std::is_same_v<T, int>)
inline std::string Text(T value) {
  return std::to_string(static_cast<int>(value));
}
template <typename T>
  requires(!std::is_void_v<T>)
inline std::string Text(T* /*results*/) {
  return "out";
}

inline std::string g_dropout;  // that was set last
template <bool kRestores>
cudnnStatus_t SetDropout(cudnnDropoutDescriptor_t, cudnnHandle_t, float probability, void* states, std::size_t bytes,
                         unsigned long long seed) {
  g_dropout = std::string(kRestores ? "restore " : "set ") + Text(double{probability}) + " " + Text(states) + " " +
              Text(bytes) + " " + Text(std::size_t{seed});
  return CUDNN_STATUS_SUCCESS;
}

// In the place of a function: writes down what it is called with, and says yes.
template <typename Function>
struct Recorded;
template <typename... Parameters>
struct Recorded<cudnnStatus_t (*)(cudnnHandle_t, Parameters...)> {
  static cudnnStatus_t Call(cudnnHandle_t handle, Parameters... values) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(handle), 7u);
    std::string all;
    ((all += (all.empty() ? "" : " ") + Text(values)), ...);
    g_calls.push_back(all);
    return CUDNN_STATUS_SUCCESS;
  }
};

inline DnnTensor Tensor(std::int32_t first) {
  DnnTensor tensor;
  tensor.rank = 4;
  tensor.dims = {first, 2, 3, 4};
  tensor.strides = {24, 12, 4, 1};
  return tensor;
}
inline DnnOperand Operand(std::int32_t first) { return {Tensor(first), static_cast<std::uint64_t>(first)}; }

class DnnCallTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("ACCELMESH_LIBCUDNN", ACCELMESH_NVIDIAS_CUDNN, 1);
    const auto loaded = DnnLibrary::Load();
    ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
    library_ = **loaded;
#define RECORD(name) library_.name = &Recorded<decltype(library_.name)>::Call;
    RECORD(ConvolutionForward)
    RECORD(ConvolutionBackwardData)
    RECORD(ConvolutionBackwardFilter)
    RECORD(ConvolutionBackwardBias)
    RECORD(ConvolutionBiasActivationForward)
    RECORD(GetConvolutionForwardAlgorithm_v7)
    RECORD(GetConvolutionBackwardDataAlgorithm_v7)
    RECORD(GetConvolutionBackwardFilterAlgorithm_v7)
    RECORD(ActivationForward)
    RECORD(ActivationBackward)
    RECORD(PoolingForward)
    RECORD(PoolingBackward)
    RECORD(SoftmaxForward)
    RECORD(SoftmaxBackward)
    RECORD(AddTensor)
    RECORD(OpTensor)
    RECORD(ReduceTensor)
    RECORD(ScaleTensor)
    RECORD(SetTensor)
    RECORD(TransformTensor)
    RECORD(BatchNormalizationForwardTraining)
    RECORD(BatchNormalizationForwardInference)
    RECORD(BatchNormalizationBackward)
    RECORD(LRNCrossChannelForward)
    RECORD(LRNCrossChannelBackward)
    RECORD(DivisiveNormalizationForward)
    RECORD(DivisiveNormalizationBackward)
    RECORD(SpatialTfGridGeneratorForward)
    RECORD(SpatialTfGridGeneratorBackward)
    RECORD(SpatialTfSamplerForward)
    RECORD(SpatialTfSamplerBackward)
    RECORD(CTCLoss)
    RECORD(CTCLoss_v8)
    RECORD(GetCTCLossWorkspaceSize)
    RECORD(GetCTCLossWorkspaceSize_v8)
    RECORD(BatchNormalizationForwardTrainingEx)
    RECORD(BatchNormalizationBackwardEx)
    RECORD(NormalizationForwardTraining)
    RECORD(NormalizationForwardInference)
    RECORD(NormalizationBackward)
    RECORD(GetBatchNormalizationForwardTrainingExWorkspaceSize)
    RECORD(GetBatchNormalizationBackwardExWorkspaceSize)
    RECORD(GetBatchNormalizationTrainingExReserveSpaceSize)
    RECORD(GetNormalizationForwardTrainingWorkspaceSize)
    RECORD(GetNormalizationBackwardWorkspaceSize)
    RECORD(GetNormalizationTrainingReserveSpaceSize)
    RECORD(TransformTensorEx)
    RECORD(TransformFilter)
    RECORD(Im2Col)
    RECORD(DropoutForward)
    RECORD(DropoutBackward)
    RECORD(RNNForward)
    RECORD(RNNBackwardData_v8)
    RECORD(RNNBackwardWeights_v8)
    RECORD(MultiHeadAttnForward)
    RECORD(MultiHeadAttnBackwardData)
    RECORD(MultiHeadAttnBackwardWeights)
#undef RECORD
    // These would ask the handle's device.
    library_.SetDropoutDescriptor = &SetDropout<false>;
    library_.RestoreDropoutDescriptor = &SetDropout<true>;
    library_.Destroy = [](cudnnHandle_t) { return CUDNN_STATUS_SUCCESS; };
    library_.GetReductionWorkspaceSize = [](cudnnHandle_t, cudnnReduceTensorDescriptor_t, cudnnTensorDescriptor_t,
                                            cudnnTensorDescriptor_t, std::size_t* bytes) {
      *bytes = 640;
      return CUDNN_STATUS_SUCCESS;
    };
    driver_.MemAlloc = [](CUdeviceptr* address, std::size_t bytes) {
      EXPECT_EQ(bytes, 1u << 20);
      *address = 4096;
      return CUDA_SUCCESS;
    };
    driver_.MemFree = [](CUdeviceptr) { return CUDA_SUCCESS; };
    handle_ = std::make_unique<DnnHandle>(driver_, library_, reinterpret_cast<cudnnHandle_t>(7));
    g_calls.clear();
    g_scalars_are_double = false;
  }
  void TearDown() override { handle_->Destroy(); }
  template <typename Words>
  static Bytes Arguments(const Words& words) {
    Bytes arguments(sizeof(std::uint64_t) + sizeof(words));
    std::memcpy(arguments.data() + sizeof(std::uint64_t), static_cast<const void*>(&words), sizeof(words));
    return arguments;
  }
  template <typename Words>
  cudnnStatus_t Run(const Words& words) {
    return handle_->Run(kDnnFunction<Words>, Arguments(words));
  }
  // What the library was called with.
  template <typename Words>
  std::string Called(const Words& words) {
    g_calls.clear();
    EXPECT_EQ(Run(words), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(g_calls.size(), 1u);
    return g_calls.empty() ? "" : g_calls.front();
  }

  Driver driver_;
  DnnLibrary library_;
  std::unique_ptr<DnnHandle> handle_;
};

inline constexpr const char* kConvolution = "C2(1,2,3;4,5,6;1,0,2,2,1)";
inline DnnConvolution Convolution() {
  DnnConvolution convolution{2, 1, 0, 2, 2, 1, {}, {}, {}};
  convolution.pads = {1, 4};
  convolution.strides = {2, 5};
  convolution.dilations = {3, 6};
  return convolution;
}

}  // namespace accelmesh::cuda
