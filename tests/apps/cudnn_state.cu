// What cuDNN's descriptors keep, and what they refuse: values come back as they were set, and a wrong argument is told
// by its status. Everything before the handle needs no device and has been compared with NVIDIA's library.
#include <cstring>

#include "cudnn_check.h"
#include "cudnn_state_attention.h"

static void TestVersions() {
  int value = 0;
  CHECK_DNN(cudnnGetProperty(MAJOR_VERSION, &value));
  EXPECT(value == CUDNN_MAJOR, "major version %d", value);
  CHECK_DNN(cudnnGetProperty(MINOR_VERSION, &value));
  EXPECT(value == CUDNN_MINOR, "minor version %d", value);
  CHECK_DNN(cudnnGetProperty(PATCH_LEVEL, &value));
  EXPECT(value == CUDNN_PATCHLEVEL, "patch level %d", value);
  EXPECT(cudnnGetCudartVersion() / 1000 == CUDART_VERSION / 1000, "of CUDA %zu", cudnnGetCudartVersion());
  EXPECT(cudnnGetMaxDeviceVersion() >= 900, "for devices up to %zu", cudnnGetMaxDeviceVersion());
  CHECK_DNN(cudnnGraphVersionCheck());
  CHECK_DNN(cudnnOpsVersionCheck());
  CHECK_DNN(cudnnCnnVersionCheck());
  CHECK_DNN(cudnnAdvVersionCheck());
}

static void TestTensors() {
  cudnnTensorDescriptor_t tensor = nullptr;
  CHECK_DNN(cudnnCreateTensorDescriptor(&tensor));
  const int wanted[8] = {2, 3, 4, 5, 100, 20, 5, 1};
  CHECK_DNN(cudnnSetTensor4dDescriptorEx(tensor, CUDNN_DATA_HALF, 2, 3, 4, 5, 100, 20, 5, 1));
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  int got[8] = {};
  CHECK_DNN(
      cudnnGetTensor4dDescriptor(tensor, &type, got, got + 1, got + 2, got + 3, got + 4, got + 5, got + 6, got + 7));
  EXPECT(type == CUDNN_DATA_HALF && std::memcmp(got, wanted, sizeof(got)) == 0,
         "a tensor of %d x %d x %d x %d, %d apart", got[0], got[1], got[2], got[3], got[4]);

  const int dims[5] = {2, 3, 4, 5, 6};
  int rank = 0, sizes[5] = {}, strides[5] = {};
  CHECK_DNN(cudnnSetTensorNdDescriptorEx(tensor, CUDNN_TENSOR_NHWC, CUDNN_DATA_DOUBLE, 5, dims));
  CHECK_DNN(cudnnGetTensorNdDescriptor(tensor, 5, &type, &rank, sizes, strides));
  const int apart[5] = {360, 1, 90, 18, 3};
  EXPECT(rank == 5 && type == CUDNN_DATA_DOUBLE && std::memcmp(sizes, dims, sizeof(dims)) == 0 &&
             std::memcmp(strides, apart, sizeof(apart)) == 0,
         "channels last: strides %d %d %d %d %d", strides[0], strides[1], strides[2], strides[3], strides[4]);

  CHECK_DNN_STATUS(cudnnSetTensor4dDescriptor(nullptr, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, 1, 1, 1), kBad);
  CHECK_DNN_STATUS(cudnnSetTensor4dDescriptor(tensor, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, 0, 1, 1), kBad);
  CHECK_DNN_STATUS(cudnnSetTensor4dDescriptor(tensor, CUDNN_TENSOR_NCHW, static_cast<cudnnDataType_t>(99), 1, 1, 1, 1),
                   kBad);
  CHECK_DNN_STATUS(cudnnSetTensorNdDescriptorEx(tensor, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, CUDNN_DIM_MAX + 1, dims),
                   CUDNN_STATUS_NOT_SUPPORTED);
  CHECK_DNN(cudnnDestroyTensorDescriptor(tensor));
}

static void TestFilters() {
  cudnnFilterDescriptor_t filter = nullptr;
  CHECK_DNN(cudnnCreateFilterDescriptor(&filter));
  cudnnDataType_t type = CUDNN_DATA_DOUBLE;
  cudnnTensorFormat_t format = CUDNN_TENSOR_NHWC;
  CHECK_DNN(cudnnSetFilter4dDescriptor(filter, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 7, 3, 5, 4));
  int k = 0, c = 0, h = 0, w = 0;
  CHECK_DNN(cudnnGetFilter4dDescriptor(filter, &type, &format, &k, &c, &h, &w));
  EXPECT(type == CUDNN_DATA_FLOAT && format == CUDNN_TENSOR_NCHW && k == 7 && c == 3 && h == 5 && w == 4,
         "a filter of %d x %d x %d x %d", k, c, h, w);
  size_t bytes = 0;
  CHECK_DNN(cudnnGetFilterSizeInBytes(filter, &bytes));
  EXPECT(bytes == 7 * 3 * 5 * 4 * sizeof(float), "a filter of %zu bytes", bytes);

  const int dims[5] = {4, 3, 2, 5, 6};
  int rank = 0, sizes[5] = {};
  CHECK_DNN(cudnnSetFilterNdDescriptor(filter, CUDNN_DATA_HALF, CUDNN_TENSOR_NHWC, 5, dims));
  CHECK_DNN(cudnnGetFilterNdDescriptor(filter, 5, &type, &format, &rank, sizes));
  EXPECT(type == CUDNN_DATA_HALF && format == CUDNN_TENSOR_NHWC && rank == 5 &&
             std::memcmp(sizes, dims, sizeof(dims)) == 0,
         "a filter of %d dimensions", rank);
  CHECK_DNN_STATUS(cudnnSetFilter4dDescriptor(filter, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 7, -3, 5, 4), kBad);
  CHECK_DNN(cudnnDestroyFilterDescriptor(filter));
}

static void TestConvolutions() {
  cudnnConvolutionDescriptor_t convolution = nullptr;
  CHECK_DNN(cudnnCreateConvolutionDescriptor(&convolution));
  CHECK_DNN(cudnnSetConvolution2dDescriptor(convolution, 1, 2, 3, 4, 5, 6, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  int v[6] = {};
  cudnnConvolutionMode_t mode = CUDNN_CONVOLUTION;
  cudnnDataType_t type = CUDNN_DATA_HALF;
  CHECK_DNN(cudnnGetConvolution2dDescriptor(convolution, v, v + 1, v + 2, v + 3, v + 4, v + 5, &mode, &type));
  for (int i = 0; i < 6; ++i) EXPECT(v[i] == i + 1, "number %d of a convolution is %d", i, v[i]);
  EXPECT(mode == CUDNN_CROSS_CORRELATION && type == CUDNN_DATA_FLOAT, "mode %d, type %d", mode, type);

  const int pads[3] = {0, 1, 2}, strides[3] = {1, 2, 1}, dilations[3] = {2, 1, 1};
  int rank = 0, got_pads[3] = {}, got_strides[3] = {}, got_dilations[3] = {};
  CHECK_DNN(
      cudnnSetConvolutionNdDescriptor(convolution, 3, pads, strides, dilations, CUDNN_CONVOLUTION, CUDNN_DATA_DOUBLE));
  CHECK_DNN(cudnnGetConvolutionNdDescriptor(convolution, 3, &rank, got_pads, got_strides, got_dilations, &mode, &type));
  EXPECT(rank == 3 && mode == CUDNN_CONVOLUTION && type == CUDNN_DATA_DOUBLE &&
             std::memcmp(pads, got_pads, sizeof(pads)) == 0 &&
             std::memcmp(strides, got_strides, sizeof(strides)) == 0 &&
             std::memcmp(dilations, got_dilations, sizeof(dilations)) == 0,
         "a convolution of %d dimensions", rank);

  int groups = 0;
  CHECK_DNN(cudnnGetConvolutionGroupCount(convolution, &groups));
  EXPECT(groups == 1, "%d groups at first", groups);
  CHECK_DNN(cudnnSetConvolutionGroupCount(convolution, 4));
  CHECK_DNN(cudnnGetConvolutionGroupCount(convolution, &groups));
  EXPECT(groups == 4, "%d groups", groups);
  cudnnMathType_t math = CUDNN_FMA_MATH;
  CHECK_DNN(cudnnGetConvolutionMathType(convolution, &math));
  EXPECT(math == CUDNN_DEFAULT_MATH, "math %d at first", math);
  CHECK_DNN(cudnnSetConvolutionMathType(convolution, CUDNN_TENSOR_OP_MATH));
  CHECK_DNN(cudnnGetConvolutionMathType(convolution, &math));
  EXPECT(math == CUDNN_TENSOR_OP_MATH, "math %d", math);
  cudnnReorderType_t reorder = CUDNN_NO_REORDER;
  CHECK_DNN(cudnnGetConvolutionReorderType(convolution, &reorder));
  EXPECT(reorder == CUDNN_DEFAULT_REORDER, "order %d at first", reorder);
  CHECK_DNN(cudnnSetConvolutionReorderType(convolution, CUDNN_NO_REORDER));
  CHECK_DNN(cudnnGetConvolutionReorderType(convolution, &reorder));
  EXPECT(reorder == CUDNN_NO_REORDER, "order %d", reorder);
  CHECK_DNN_STATUS(
      cudnnSetConvolution2dDescriptor(convolution, -1, 0, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT), kBad);
  CHECK_DNN_STATUS(
      cudnnSetConvolution2dDescriptor(convolution, 0, 0, 0, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT), kBad);
  CHECK_DNN(cudnnDestroyConvolutionDescriptor(convolution));
}

static void TestPoolings() {
  cudnnPoolingDescriptor_t pooling = nullptr;
  CHECK_DNN(cudnnCreatePoolingDescriptor(&pooling));
  CHECK_DNN(cudnnSetPooling2dDescriptor(pooling, CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING, CUDNN_PROPAGATE_NAN, 3, 2,
                                        1, 0, 2, 1));
  cudnnPoolingMode_t mode = CUDNN_POOLING_MAX;
  cudnnNanPropagation_t nan = CUDNN_NOT_PROPAGATE_NAN;
  int v[6] = {};
  CHECK_DNN(cudnnGetPooling2dDescriptor(pooling, &mode, &nan, v, v + 1, v + 2, v + 3, v + 4, v + 5));
  const int wanted[6] = {3, 2, 1, 0, 2, 1};
  EXPECT(mode == CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING && nan == CUDNN_PROPAGATE_NAN &&
             std::memcmp(v, wanted, sizeof(v)) == 0,
         "a window of %d x %d", v[0], v[1]);

  const int window[3] = {2, 3, 2}, pads[3] = {0, 1, 0}, strides[3] = {2, 1, 2};
  CHECK_DNN(cudnnSetPoolingNdDescriptor(pooling, CUDNN_POOLING_MAX, CUDNN_NOT_PROPAGATE_NAN, 3, window, pads, strides));
  int rank = 0, got_window[3] = {}, got_pads[3] = {}, got_strides[3] = {};
  CHECK_DNN(cudnnGetPoolingNdDescriptor(pooling, 3, &mode, &nan, &rank, got_window, got_pads, got_strides));
  EXPECT(rank == 3 && mode == CUDNN_POOLING_MAX && std::memcmp(window, got_window, sizeof(window)) == 0 &&
             std::memcmp(pads, got_pads, sizeof(pads)) == 0 && std::memcmp(strides, got_strides, sizeof(strides)) == 0,
         "a window of %d dimensions", rank);
  cudnnTensorDescriptor_t tensor = nullptr;
  CHECK_DNN(cudnnCreateTensorDescriptor(&tensor));
  const int dims[5] = {2, 3, 8, 7, 9};
  CHECK_DNN(cudnnSetTensorNdDescriptorEx(tensor, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 5, dims));
  int out[5] = {};
  CHECK_DNN(cudnnGetPoolingNdForwardOutputDim(pooling, tensor, 5, out));
  const int pooled[5] = {2, 3, 4, 7, 4};
  EXPECT(std::memcmp(out, pooled, sizeof(out)) == 0, "pooled to %d x %d x %d", out[2], out[3], out[4]);
  CHECK_DNN_STATUS(cudnnSetPooling2dDescriptor(pooling, CUDNN_POOLING_MAX, CUDNN_PROPAGATE_NAN, 0, 2, 0, 0, 1, 1),
                   kBad);
  CHECK_DNN(cudnnDestroyTensorDescriptor(tensor));
  CHECK_DNN(cudnnDestroyPoolingDescriptor(pooling));
}

static void TestOperations() {
  cudnnActivationDescriptor_t activation = nullptr;
  CHECK_DNN(cudnnCreateActivationDescriptor(&activation));
  CHECK_DNN(cudnnSetActivationDescriptor(activation, CUDNN_ACTIVATION_ELU, CUDNN_PROPAGATE_NAN, 0.75));
  cudnnActivationMode_t mode = CUDNN_ACTIVATION_RELU;
  cudnnNanPropagation_t nan = CUDNN_NOT_PROPAGATE_NAN;
  double coefficient = 0, beta = 0;
  CHECK_DNN(cudnnGetActivationDescriptor(activation, &mode, &nan, &coefficient));
  EXPECT(mode == CUDNN_ACTIVATION_ELU && nan == CUDNN_PROPAGATE_NAN && coefficient == 0.75, "activation %d by %g", mode,
         coefficient);
  CHECK_DNN(cudnnSetActivationDescriptor(activation, CUDNN_ACTIVATION_SWISH, CUDNN_NOT_PROPAGATE_NAN, 0));
  CHECK_DNN(cudnnSetActivationDescriptorSwishBeta(activation, 1.5));
  CHECK_DNN(cudnnGetActivationDescriptorSwishBeta(activation, &beta));
  EXPECT(beta == 1.5, "a beta of %g", beta);
  CHECK_DNN(cudnnDestroyActivationDescriptor(activation));

  cudnnOpTensorDescriptor_t operation = nullptr;
  CHECK_DNN(cudnnCreateOpTensorDescriptor(&operation));
  CHECK_DNN(cudnnSetOpTensorDescriptor(operation, CUDNN_OP_TENSOR_MAX, CUDNN_DATA_DOUBLE, CUDNN_PROPAGATE_NAN));
  cudnnOpTensorOp_t what = CUDNN_OP_TENSOR_ADD;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  CHECK_DNN(cudnnGetOpTensorDescriptor(operation, &what, &type, &nan));
  EXPECT(what == CUDNN_OP_TENSOR_MAX && type == CUDNN_DATA_DOUBLE && nan == CUDNN_PROPAGATE_NAN, "operation %d", what);
  CHECK_DNN(cudnnDestroyOpTensorDescriptor(operation));

  cudnnReduceTensorDescriptor_t reduction = nullptr;
  CHECK_DNN(cudnnCreateReduceTensorDescriptor(&reduction));
  CHECK_DNN(cudnnSetReduceTensorDescriptor(reduction, CUDNN_REDUCE_TENSOR_AMAX, CUDNN_DATA_FLOAT,
                                           CUDNN_NOT_PROPAGATE_NAN, CUDNN_REDUCE_TENSOR_FLATTENED_INDICES,
                                           CUDNN_32BIT_INDICES));
  cudnnReduceTensorOp_t how = CUDNN_REDUCE_TENSOR_ADD;
  cudnnReduceTensorIndices_t indices = CUDNN_REDUCE_TENSOR_NO_INDICES;
  cudnnIndicesType_t width = CUDNN_64BIT_INDICES;
  CHECK_DNN(cudnnGetReduceTensorDescriptor(reduction, &how, &type, &nan, &indices, &width));
  EXPECT(how == CUDNN_REDUCE_TENSOR_AMAX && type == CUDNN_DATA_FLOAT && nan == CUDNN_NOT_PROPAGATE_NAN &&
             indices == CUDNN_REDUCE_TENSOR_FLATTENED_INDICES && width == CUDNN_32BIT_INDICES,
         "reduction %d", how);
  CHECK_DNN(cudnnDestroyReduceTensorDescriptor(reduction));
}

static void TestLosses() {
  cudnnCTCLossDescriptor_t loss = nullptr;
  CHECK_DNN(cudnnCreateCTCLossDescriptor(&loss));
  cudnnDataType_t type = CUDNN_DATA_HALF;
  cudnnLossNormalizationMode_t norm = CUDNN_LOSS_NORMALIZATION_SOFTMAX;
  cudnnNanPropagation_t nan = CUDNN_PROPAGATE_NAN;
  CHECK_DNN(cudnnSetCTCLossDescriptor(loss, CUDNN_DATA_FLOAT));
  CHECK_DNN(cudnnGetCTCLossDescriptor(loss, &type));
  EXPECT(type == CUDNN_DATA_FLOAT, "a loss of type %d", type);
  CHECK_DNN(cudnnSetCTCLossDescriptorEx(loss, CUDNN_DATA_FLOAT, CUDNN_LOSS_NORMALIZATION_SOFTMAX, CUDNN_PROPAGATE_NAN));
  norm = CUDNN_LOSS_NORMALIZATION_NONE;
  nan = CUDNN_NOT_PROPAGATE_NAN;
  CHECK_DNN(cudnnGetCTCLossDescriptorEx(loss, &type, &norm, &nan));
  EXPECT(norm == CUDNN_LOSS_NORMALIZATION_SOFTMAX && nan == CUDNN_PROPAGATE_NAN, "normalisation %d", norm);
  CHECK_DNN(
      cudnnSetCTCLossDescriptor_v8(loss, CUDNN_DATA_FLOAT, CUDNN_LOSS_NORMALIZATION_SOFTMAX, CUDNN_PROPAGATE_NAN, 17));
  cudnnCTCGradMode_t gradient = CUDNN_CTC_ZERO_OOB_GRADIENTS;
  int length = 0;
  CHECK_DNN(cudnnSetCTCLossDescriptor_v9(loss, CUDNN_DATA_FLOAT, CUDNN_LOSS_NORMALIZATION_SOFTMAX,
                                         CUDNN_CTC_SKIP_OOB_GRADIENTS, 23));
  CHECK_DNN(cudnnGetCTCLossDescriptor_v9(loss, &type, &norm, &gradient, &length));
  EXPECT(norm == CUDNN_LOSS_NORMALIZATION_SOFTMAX && gradient == CUDNN_CTC_SKIP_OOB_GRADIENTS && length == 23,
         "labels of at most %d, gradient %d", length, gradient);
  CHECK_DNN(cudnnDestroyCTCLossDescriptor(loss));
}

static void TestSequences() {
  cudnnRNNDataDescriptor_t data = nullptr;
  CHECK_DNN(cudnnCreateRNNDataDescriptor(&data));
  const int lengths[3] = {5, 3, 1};
  float fill = 1.5f, got_fill = 0;
  CHECK_DNN(cudnnSetRNNDataDescriptor(data, CUDNN_DATA_FLOAT, CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED, 6, 3, 4,
                                      lengths, &fill));
  cudnnDataType_t type = CUDNN_DATA_DOUBLE;
  cudnnRNNDataLayout_t layout = CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED;
  int longest = 0, batch = 0, width = 0, got[3] = {};
  CHECK_DNN(cudnnGetRNNDataDescriptor(data, &type, &layout, &longest, &batch, &width, 3, got, &got_fill));
  EXPECT(type == CUDNN_DATA_FLOAT && layout == CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED && longest == 6 &&
             batch == 3 && width == 4 && std::memcmp(got, lengths, sizeof(got)) == 0 && got_fill == 1.5f,
         "%d sequences of at most %d, filled with %g", batch, longest, static_cast<double>(got_fill));
  CHECK_DNN(cudnnDestroyRNNDataDescriptor(data));

  cudnnRNNDescriptor_t network = nullptr;
  cudnnDropoutDescriptor_t dropout = nullptr;
  CHECK_DNN(cudnnCreateRNNDescriptor(&network));
  CHECK_DNN(cudnnCreateDropoutDescriptor(&dropout));
  CHECK_DNN(cudnnSetRNNDescriptor_v8(network, CUDNN_RNN_ALGO_STANDARD, CUDNN_LSTM, CUDNN_RNN_DOUBLE_BIAS,
                                     CUDNN_UNIDIRECTIONAL, CUDNN_LINEAR_INPUT, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT,
                                     CUDNN_DEFAULT_MATH, 4, 5, 5, 1, dropout, 0));
  cudnnRNNClipMode_t clips = CUDNN_RNN_CLIP_NONE;
  cudnnNanPropagation_t nan = CUDNN_NOT_PROPAGATE_NAN;
  double low = 0, high = 0;
  CHECK_DNN(cudnnRNNSetClip_v8(network, CUDNN_RNN_CLIP_MINMAX, CUDNN_PROPAGATE_NAN, -0.5, 2));
  CHECK_DNN(cudnnRNNGetClip_v8(network, &clips, &nan, &low, &high));
  EXPECT(clips == CUDNN_RNN_CLIP_MINMAX && nan == CUDNN_PROPAGATE_NAN && low == -0.5 && high == 2,
         "clipped to %g and %g", low, high);
  CHECK_DNN_STATUS(cudnnRNNSetClip_v8(network, CUDNN_RNN_CLIP_MINMAX, CUDNN_PROPAGATE_NAN, 2, -0.5), kBad);
  CHECK_DNN(cudnnDestroyDropoutDescriptor(dropout));
  CHECK_DNN(cudnnDestroyRNNDescriptor(network));
}

static void TestTransforms() {
  cudnnTensorTransformDescriptor_t transform = nullptr;
  CHECK_DNN(cudnnCreateTensorTransformDescriptor(&transform));
  const int32_t before[4] = {0, 1, 2, 3}, after[4] = {3, 2, 1, 0};
  const uint32_t fold[2] = {2, 1};
  CHECK_DNN(
      cudnnSetTensorTransformDescriptor(transform, 4, CUDNN_TENSOR_NHWC, before, after, fold, CUDNN_TRANSFORM_FOLD));
  cudnnTensorFormat_t format = CUDNN_TENSOR_NCHW;
  cudnnFoldingDirection_t direction = CUDNN_TRANSFORM_UNFOLD;
  int32_t got_before[4] = {}, got_after[4] = {};
  uint32_t got_fold[2] = {};
  CHECK_DNN(cudnnGetTensorTransformDescriptor(transform, 4, &format, got_before, got_after, got_fold, &direction));
  EXPECT(format == CUDNN_TENSOR_NHWC && direction == CUDNN_TRANSFORM_FOLD &&
             std::memcmp(before, got_before, sizeof(before)) == 0 &&
             std::memcmp(after, got_after, sizeof(after)) == 0 && std::memcmp(fold, got_fold, sizeof(fold)) == 0,
         "a transform to format %d", format);
  CHECK_DNN(cudnnDestroyTensorTransformDescriptor(transform));
}

static void Listen(cudnnSeverity_t, void*, const cudnnDebug_t*, const char*) {}

static void TestCallback() {
  int data = 0;
  CHECK_DNN(cudnnSetCallback(CUDNN_SEV_ERROR_EN, &data, Listen));
  unsigned mask = 0;
  void* got = nullptr;
  cudnnCallback_t function = nullptr;
  CHECK_DNN(cudnnGetCallback(&mask, &got, &function));
  EXPECT(mask == CUDNN_SEV_ERROR_EN && got == &data && function == Listen, "a callback for %u", mask);
  CHECK_DNN(cudnnSetCallback(0, nullptr, nullptr));
}

template <typename Performance>
static void ExpectFound(const char* what, int count, int most, const Performance* found, size_t workspace_bytes) {
  EXPECT(count > 0 && count <= most, "%s: %d of at most %d algorithms", what, count, most);
  EXPECT(found[0].status == CUDNN_STATUS_SUCCESS && found[0].time >= 0 && found[0].memory <= workspace_bytes,
         "%s: the best algorithm has status %d and wants %zu bytes", what, found[0].status, found[0].memory);
}

static void TestQuestions(cudnnHandle_t handle) {
  Random random(5);
  Tensor<float> x(Packed({2, 3, 9, 8}), random), y(Packed({2, 4, 7, 6}), random);
  Tensor<float> w(Packed({4, 3, 3, 3}), random);
  cudnnFilterDescriptor_t filter = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;
  CHECK_DNN(cudnnCreateFilterDescriptor(&filter));
  CHECK_DNN(cudnnSetFilter4dDescriptor(filter, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 4, 3, 3, 3));
  CHECK_DNN(cudnnCreateConvolutionDescriptor(&convolution));
  CHECK_DNN(cudnnSetConvolution2dDescriptor(convolution, 0, 0, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  constexpr size_t kWorkspaceBytes = size_t{8} << 20;
  void* workspace = nullptr;
  CHECK(cudaMalloc(&workspace, kWorkspaceBytes));

  int forward = 0, data = 0, weights = 0, count = 0;
  CHECK_DNN(cudnnGetConvolutionForwardAlgorithmMaxCount(handle, &forward));
  CHECK_DNN(cudnnGetConvolutionBackwardDataAlgorithmMaxCount(handle, &data));
  CHECK_DNN(cudnnGetConvolutionBackwardFilterAlgorithmMaxCount(handle, &weights));
  EXPECT(forward >= CUDNN_CONVOLUTION_FWD_ALGO_COUNT && data >= CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT &&
             weights >= CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT,
         "%d, %d and %d algorithms at most", forward, data, weights);

  std::vector<cudnnConvolutionBwdDataAlgoPerf_t> to_data(data);
  CHECK_DNN(cudnnFindConvolutionBackwardDataAlgorithmEx(handle, filter, w.memory(), y.descriptor(), y.memory(),
                                                        convolution, x.descriptor(), x.memory(), data, &count,
                                                        to_data.data(), workspace, kWorkspaceBytes));
  ExpectFound("to the data", count, data, to_data.data(), kWorkspaceBytes);
  size_t bytes = 0;
  CHECK_DNN(cudnnGetConvolutionBackwardDataWorkspaceSize(handle, filter, y.descriptor(), convolution, x.descriptor(),
                                                         to_data[0].algo, &bytes));
  EXPECT(bytes <= kWorkspaceBytes, "to the data: a workspace of %zu bytes", bytes);

  std::vector<cudnnConvolutionBwdFilterAlgoPerf_t> to_filter(weights);
  CHECK_DNN(cudnnFindConvolutionBackwardFilterAlgorithmEx(handle, x.descriptor(), x.memory(), y.descriptor(),
                                                          y.memory(), convolution, filter, w.memory(), weights, &count,
                                                          to_filter.data(), workspace, kWorkspaceBytes));
  ExpectFound("to the filter", count, weights, to_filter.data(), kWorkspaceBytes);
  CHECK_DNN(cudnnGetConvolutionBackwardFilterWorkspaceSize(handle, x.descriptor(), y.descriptor(), convolution, filter,
                                                           to_filter[0].algo, &bytes));
  EXPECT(bytes <= kWorkspaceBytes, "to the filter: a workspace of %zu bytes", bytes);

  // No indices are asked for, so there are none.
  cudnnReduceTensorDescriptor_t reduction = nullptr;
  CHECK_DNN(cudnnCreateReduceTensorDescriptor(&reduction));
  CHECK_DNN(cudnnSetReduceTensorDescriptor(reduction, CUDNN_REDUCE_TENSOR_ADD, CUDNN_DATA_FLOAT,
                                           CUDNN_NOT_PROPAGATE_NAN, CUDNN_REDUCE_TENSOR_NO_INDICES,
                                           CUDNN_32BIT_INDICES));
  Tensor<float> sums(Packed({2, 1, 1, 1}));
  CHECK_DNN(cudnnGetReductionIndicesSize(handle, reduction, x.descriptor(), sums.descriptor(), &bytes));
  EXPECT(bytes == 0, "indices of %zu bytes", bytes);
  CHECK_DNN_STATUS(cudnnGetReductionIndicesSize(handle, reduction, x.descriptor(), sums.descriptor(), nullptr), kBad);
  CHECK_DNN(cudnnDestroyReduceTensorDescriptor(reduction));
  CHECK(cudaFree(workspace));
  CHECK_DNN(cudnnDestroyConvolutionDescriptor(convolution));
  CHECK_DNN(cudnnDestroyFilterDescriptor(filter));
}

int main() {
  TestVersions();
  TestTensors();
  TestFilters();
  TestConvolutions();
  TestPoolings();
  TestOperations();
  TestLosses();
  TestSequences();
  TestSequenceData();
  TestAttentions();
  TestTransforms();
  TestCallback();
  cudnnHandle_t handle = nullptr;
  CHECK_DNN(cudnnCreate(&handle));
  TestQuestions(handle);
  CHECK_DNN(cudnnDestroy(handle));
  return Passed();
}
