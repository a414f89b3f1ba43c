// What cuDNN says of wrong arguments: makes one wrong call after the other and prints each one's status, as JSON. Not a
// test by itself: scripts/gpu-check --record has NVIDIA's library answer on a GPU, tests/gpu compares ours with that.
//
// Pointers are memory, null, or never looked at. Without a device it prints what needs none; should a library crash on
// a row, those before it have been printed.
#include <cudnn.h>

#include <cstdio>

#include "check.h"
#include "cudnn_statuses.h"
#include "cudnn_statuses_calls.h"

static void SayTensors() {
  Descriptor<cudnnTensorDescriptor_t> t(cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor);
  const auto set = [&](const char* row, cudnnTensorFormat_t format, cudnnDataType_t type, int n, int c, int h, int w) {
    Say(row, cudnnSetTensor4dDescriptor(t, format, type, n, c, h, w));
  };
  Say("CreateTensorDescriptor(null)", cudnnCreateTensorDescriptor(nullptr));
  Say("DestroyTensorDescriptor(null)", cudnnDestroyTensorDescriptor(nullptr));
  Say("SetTensor4d(null)", cudnnSetTensor4dDescriptor(nullptr, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, 1, 1, 1));
  set("SetTensor4d(n 0)", CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 0, 1, 1, 1);
  set("SetTensor4d(c -1)", CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, -1, 1, 1);
  set("SetTensor4d(w 0)", CUDNN_TENSOR_NHWC, CUDNN_DATA_FLOAT, 1, 1, 1, 0);
  set("SetTensor4d(type 99)", CUDNN_TENSOR_NCHW, Unknown<cudnnDataType_t>(), 1, 1, 1, 1);
  set("SetTensor4d(format 99)", Unknown<cudnnTensorFormat_t>(), CUDNN_DATA_FLOAT, 1, 1, 1, 1);
  set("SetTensor4d(vectors of float)", CUDNN_TENSOR_NCHW_VECT_C, CUDNN_DATA_FLOAT, 1, 4, 1, 1);
  set("SetTensor4d(vectors of int8)", CUDNN_TENSOR_NCHW_VECT_C, CUDNN_DATA_INT8x4, 1, 4, 1, 1);
  set("SetTensor4d(vectors of int8, c 3)", CUDNN_TENSOR_NCHW_VECT_C, CUDNN_DATA_INT8x4, 1, 3, 1, 1);
  set("SetTensor4d(int8x4, NCHW)", CUDNN_TENSOR_NCHW, CUDNN_DATA_INT8x4, 1, 4, 1, 1);
  set("SetTensor4d(int64)", CUDNN_TENSOR_NCHW, CUDNN_DATA_INT64, 1, 1, 1, 1);
  set("SetTensor4d(boolean)", CUDNN_TENSOR_NCHW, CUDNN_DATA_BOOLEAN, 1, 1, 1, 1);
  set("SetTensor4d(2^31 elements)", CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1 << 15, 1 << 14, 2, 2);
  const auto apart = [&](const char* row, int sn, int sc, int sh, int sw) {
    Say(row, cudnnSetTensor4dDescriptorEx(t, CUDNN_DATA_FLOAT, 2, 2, 2, 2, sn, sc, sh, sw));
  };
  apart("SetTensor4dEx(stride 0)", 8, 4, 2, 0);
  apart("SetTensor4dEx(stride -1)", 8, 4, 2, -1);
  apart("SetTensor4dEx(all strides 0)", 0, 0, 0, 0);
  apart("SetTensor4dEx(overlapping)", 1, 1, 1, 1);
  Say("SetTensor4dEx(null)", cudnnSetTensor4dDescriptorEx(nullptr, CUDNN_DATA_FLOAT, 1, 1, 1, 1, 1, 1, 1, 1));
  const int dims[9] = {2, 2, 2, 2, 2, 2, 2, 2, 2}, strides[9] = {256, 128, 64, 32, 16, 8, 4, 2, 1};
  const int holes[4] = {2, 0, 2, 2};
  const auto many = [&](const char* row, int rank, const int* sizes, const int* steps) {
    Say(row, cudnnSetTensorNdDescriptor(t, CUDNN_DATA_FLOAT, rank, sizes, steps));
  };
  many("SetTensorNd(rank 9)", 9, dims, strides);
  many("SetTensorNd(rank 8)", 8, dims, strides + 1);
  many("SetTensorNd(rank 3)", 3, dims, strides + 6);
  many("SetTensorNd(rank 2)", 2, dims, strides + 7);
  many("SetTensorNd(rank 1)", 1, dims, strides + 8);
  many("SetTensorNd(rank 0)", 0, dims, strides);
  many("SetTensorNd(rank -1)", -1, dims, strides);
  many("SetTensorNd(a dim 0)", 4, holes, strides + 5);
  Say("SetTensorNd(null)", cudnnSetTensorNdDescriptor(nullptr, CUDNN_DATA_FLOAT, 4, dims, strides));
  const auto dense = [&](const char* row, cudnnTensorFormat_t format, int rank, const int* sizes) {
    Say(row, cudnnSetTensorNdDescriptorEx(t, format, CUDNN_DATA_FLOAT, rank, sizes));
  };
  dense("SetTensorNdEx(rank 3)", CUDNN_TENSOR_NHWC, 3, dims);
  dense("SetTensorNdEx(rank 2)", CUDNN_TENSOR_NHWC, 2, dims);
  dense("SetTensorNdEx(rank 9)", CUDNN_TENSOR_NHWC, 9, dims);
  dense("SetTensorNdEx(format 99)", Unknown<cudnnTensorFormat_t>(), 4, dims);
  CHECK_STATUS(cudnnSetTensorNdDescriptor(t, CUDNN_DATA_FLOAT, 5, dims, strides + 4));
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  int rank = 0, got[9] = {}, steps[9] = {};
  size_t bytes = 0;
  Say("GetTensor4d(of rank 5)", cudnnGetTensor4dDescriptor(t, &type, got, got, got, got, got, got, got, got));
  Say("GetTensor4d(null)", cudnnGetTensor4dDescriptor(nullptr, &type, got, got, got, got, got, got, got, got));
  Say("GetTensor4d(null type)", cudnnGetTensor4dDescriptor(t, nullptr, got, got, got, got, got, got, got, got));
  Say("GetTensorNd(9 asked)", cudnnGetTensorNdDescriptor(t, 9, &type, &rank, got, steps));
  Say("GetTensorNd(8 asked)", cudnnGetTensorNdDescriptor(t, 8, &type, &rank, got, steps));
  Say("GetTensorNd(2 asked)", cudnnGetTensorNdDescriptor(t, 2, &type, &rank, got, steps));
  Say("GetTensorNd(0 asked)", cudnnGetTensorNdDescriptor(t, 0, &type, &rank, got, steps));
  Say("GetTensorNd(-1 asked)", cudnnGetTensorNdDescriptor(t, -1, &type, &rank, got, steps));
  Say("GetTensorNd(null)", cudnnGetTensorNdDescriptor(nullptr, 5, &type, &rank, got, steps));
  Say("GetTensorSizeInBytes(null)", cudnnGetTensorSizeInBytes(nullptr, &bytes));
  Descriptor<cudnnTensorDescriptor_t> fresh(cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor);
  Say("GetTensorSizeInBytes(unset)", cudnnGetTensorSizeInBytes(fresh, &bytes));
  Say("GetTensor4d(unset)", cudnnGetTensor4dDescriptor(fresh, &type, got, got, got, got, got, got, got, got));
  Say("GetTensorNd(unset)", cudnnGetTensorNdDescriptor(fresh, 4, &type, &rank, got, steps));
}

static void SayFilters() {
  Descriptor<cudnnFilterDescriptor_t> f(cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor);
  const auto set = [&](const char* row, cudnnTensorFormat_t format, cudnnDataType_t type, int k, int c, int h, int w) {
    Say(row, cudnnSetFilter4dDescriptor(f, type, format, k, c, h, w));
  };
  Say("CreateFilterDescriptor(null)", cudnnCreateFilterDescriptor(nullptr));
  Say("DestroyFilterDescriptor(null)", cudnnDestroyFilterDescriptor(nullptr));
  Say("SetFilter4d(null)", cudnnSetFilter4dDescriptor(nullptr, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 1, 1, 1, 1));
  set("SetFilter4d(k 0)", CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 0, 1, 1, 1);
  set("SetFilter4d(h -1)", CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, 1, -1, 1);
  set("SetFilter4d(type 99)", CUDNN_TENSOR_NCHW, Unknown<cudnnDataType_t>(), 1, 1, 1, 1);
  set("SetFilter4d(format 99)", Unknown<cudnnTensorFormat_t>(), CUDNN_DATA_FLOAT, 1, 1, 1, 1);
  set("SetFilter4d(vectors of int8)", CUDNN_TENSOR_NCHW_VECT_C, CUDNN_DATA_INT8x4, 4, 4, 1, 1);
  set("SetFilter4d(vectors of float)", CUDNN_TENSOR_NCHW_VECT_C, CUDNN_DATA_FLOAT, 4, 4, 1, 1);
  const int dims[9] = {2, 2, 2, 2, 2, 2, 2, 2, 2};
  const auto many = [&](const char* row, int rank, const int* sizes) {
    Say(row, cudnnSetFilterNdDescriptor(f, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, rank, sizes));
  };
  many("SetFilterNd(rank 9)", 9, dims);
  many("SetFilterNd(rank 8)", 8, dims);
  many("SetFilterNd(rank 3)", 3, dims);
  many("SetFilterNd(rank 2)", 2, dims);
  many("SetFilterNd(rank 0)", 0, dims);
  CHECK_STATUS(cudnnSetFilterNdDescriptor(f, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 5, dims));
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  cudnnTensorFormat_t format = CUDNN_TENSOR_NCHW;
  int rank = 0, got[9] = {};
  size_t bytes = 0;
  Say("GetFilter4d(of rank 5)", cudnnGetFilter4dDescriptor(f, &type, &format, got, got, got, got));
  Say("GetFilter4d(null)", cudnnGetFilter4dDescriptor(nullptr, &type, &format, got, got, got, got));
  Say("GetFilterNd(9 asked)", cudnnGetFilterNdDescriptor(f, 9, &type, &format, &rank, got));
  Say("GetFilterNd(8 asked)", cudnnGetFilterNdDescriptor(f, 8, &type, &format, &rank, got));
  Say("GetFilterNd(2 asked)", cudnnGetFilterNdDescriptor(f, 2, &type, &format, &rank, got));
  Say("GetFilterNd(-1 asked)", cudnnGetFilterNdDescriptor(f, -1, &type, &format, &rank, got));
  Say("GetFilterSizeInBytes(null)", cudnnGetFilterSizeInBytes(nullptr, &bytes));
  Descriptor<cudnnFilterDescriptor_t> fresh(cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor);
  Say("GetFilterSizeInBytes(unset)", cudnnGetFilterSizeInBytes(fresh, &bytes));
}

static void SayConvolutions() {
  Descriptor<cudnnConvolutionDescriptor_t> c(cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor);
  const auto set = [&](const char* row, int pad, int stride, int dilation, cudnnConvolutionMode_t mode,
                       cudnnDataType_t type) {
    Say(row, cudnnSetConvolution2dDescriptor(c, pad, 0, stride, 1, dilation, 1, mode, type));
  };
  Say("CreateConvolutionDescriptor(null)", cudnnCreateConvolutionDescriptor(nullptr));
  Say("DestroyConvolutionDescriptor(null)", cudnnDestroyConvolutionDescriptor(nullptr));
  Say("SetConvolution2d(null)",
      cudnnSetConvolution2dDescriptor(nullptr, 0, 0, 1, 1, 1, 1, CUDNN_CONVOLUTION, CUDNN_DATA_FLOAT));
  set("SetConvolution2d(pad -1)", -1, 1, 1, CUDNN_CONVOLUTION, CUDNN_DATA_FLOAT);
  set("SetConvolution2d(stride 0)", 0, 0, 1, CUDNN_CONVOLUTION, CUDNN_DATA_FLOAT);
  set("SetConvolution2d(stride -1)", 0, -1, 1, CUDNN_CONVOLUTION, CUDNN_DATA_FLOAT);
  set("SetConvolution2d(dilation 0)", 0, 1, 0, CUDNN_CONVOLUTION, CUDNN_DATA_FLOAT);
  set("SetConvolution2d(mode 99)", 0, 1, 1, Unknown<cudnnConvolutionMode_t>(), CUDNN_DATA_FLOAT);
  set("SetConvolution2d(type 99)", 0, 1, 1, CUDNN_CONVOLUTION, Unknown<cudnnDataType_t>());
  set("SetConvolution2d(type int64)", 0, 1, 1, CUDNN_CONVOLUTION, CUDNN_DATA_INT64);
  set("SetConvolution2d(type int8x4)", 0, 1, 1, CUDNN_CONVOLUTION, CUDNN_DATA_INT8x4);
  const int zeros[8] = {}, ones[8] = {1, 1, 1, 1, 1, 1, 1, 1}, negative[3] = {0, -1, 0};
  const auto many = [&](const char* row, int rank, const int* pads, const int* strides, const int* dilations) {
    Say(row, cudnnSetConvolutionNdDescriptor(c, rank, pads, strides, dilations, CUDNN_CONVOLUTION, CUDNN_DATA_FLOAT));
  };
  many("SetConvolutionNd(rank 0)", 0, zeros, ones, ones);
  many("SetConvolutionNd(rank 1)", 1, zeros, ones, ones);
  many("SetConvolutionNd(rank 6)", 6, zeros, ones, ones);
  many("SetConvolutionNd(rank 7)", 7, zeros, ones, ones);
  many("SetConvolutionNd(pad -1)", 3, negative, ones, ones);
  many("SetConvolutionNd(stride 0)", 3, zeros, zeros, ones);
  many("SetConvolutionNd(dilation 0)", 3, zeros, ones, zeros);
  CHECK_STATUS(cudnnSetConvolution2dDescriptor(c, 0, 0, 1, 1, 1, 1, CUDNN_CONVOLUTION, CUDNN_DATA_FLOAT));
  Say("SetConvolutionGroupCount(0)", cudnnSetConvolutionGroupCount(c, 0));
  Say("SetConvolutionGroupCount(-1)", cudnnSetConvolutionGroupCount(c, -1));
  Say("SetConvolutionGroupCount(null)", cudnnSetConvolutionGroupCount(nullptr, 1));
  Say("SetConvolutionMathType(99)", cudnnSetConvolutionMathType(c, Unknown<cudnnMathType_t>()));
  Say("SetConvolutionMathType(null)", cudnnSetConvolutionMathType(nullptr, CUDNN_DEFAULT_MATH));
  Say("SetConvolutionReorderType(99)", cudnnSetConvolutionReorderType(c, Unknown<cudnnReorderType_t>()));
  Say("SetConvolutionReorderType(null)", cudnnSetConvolutionReorderType(nullptr, CUDNN_NO_REORDER));
  int got[8] = {};
  cudnnConvolutionMode_t mode = CUDNN_CONVOLUTION;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
  Say("GetConvolution2d(null)", cudnnGetConvolution2dDescriptor(nullptr, got, got, got, got, got, got, &mode, &type));
  Say("GetConvolutionNd(7 asked)", cudnnGetConvolutionNdDescriptor(c, 7, got, got, got, got, &mode, &type));
  Say("GetConvolutionNd(-1 asked)", cudnnGetConvolutionNdDescriptor(c, -1, got, got, got, got, &mode, &type));
  Say("GetConvolutionNd(1 asked)", cudnnGetConvolutionNdDescriptor(c, 1, got, got, got, got, &mode, &type));
  Say("GetConvolutionGroupCount(null)", cudnnGetConvolutionGroupCount(nullptr, got));
  Say("GetConvolutionMathType(null)", cudnnGetConvolutionMathType(nullptr, &math));
  // What a convolution makes of a tensor.
  Descriptor<cudnnTensorDescriptor_t> x(cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor);
  Descriptor<cudnnFilterDescriptor_t> w(cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor);
  const auto output = [&](const char* row, int channels, int size, int filter_channels, int filter, int groups) {
    CHECK_STATUS(cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 2, channels, size, size));
    CHECK_STATUS(
        cudnnSetFilter4dDescriptor(w, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 6, filter_channels, filter, filter));
    CHECK_STATUS(cudnnSetConvolutionGroupCount(c, groups));
    Say(row, cudnnGetConvolution2dForwardOutputDim(c, x, w, got, got + 1, got + 2, got + 3));
  };
  output("GetConvolution2dForwardOutputDim(other channels)", 4, 8, 3, 3, 1);
  output("GetConvolution2dForwardOutputDim(filter too large)", 3, 2, 3, 3, 1);
  output("GetConvolution2dForwardOutputDim(groups that do not divide)", 4, 8, 1, 3, 3);
  output("GetConvolution2dForwardOutputDim(4 groups of 6)", 4, 8, 1, 3, 4);
  CHECK_STATUS(cudnnSetConvolutionGroupCount(c, 1));
  output("GetConvolution2dForwardOutputDim(fits)", 3, 8, 3, 3, 1);
  Say("GetConvolution2dForwardOutputDim(null)",
      cudnnGetConvolution2dForwardOutputDim(nullptr, x, w, got, got, got, got));
  Say("GetConvolution2dForwardOutputDim(null x)",
      cudnnGetConvolution2dForwardOutputDim(c, nullptr, w, got, got, got, got));
  Say("GetConvolutionNdForwardOutputDim(rank 3)", cudnnGetConvolutionNdForwardOutputDim(c, x, w, 3, got));
  Say("GetConvolutionNdForwardOutputDim(rank 5)", cudnnGetConvolutionNdForwardOutputDim(c, x, w, 5, got));
  Say("GetConvolutionNdForwardOutputDim(null)", cudnnGetConvolutionNdForwardOutputDim(nullptr, x, w, 4, got));
}

static void SayPoolings() {
  Descriptor<cudnnPoolingDescriptor_t> p(cudnnCreatePoolingDescriptor, cudnnDestroyPoolingDescriptor);
  const auto set = [&](const char* row, cudnnPoolingMode_t mode, cudnnNanPropagation_t nan, int window, int pad,
                       int stride) {
    Say(row, cudnnSetPooling2dDescriptor(p, mode, nan, window, 2, pad, 0, stride, 1));
  };
  const auto nan = CUDNN_PROPAGATE_NAN;
  Say("CreatePoolingDescriptor(null)", cudnnCreatePoolingDescriptor(nullptr));
  Say("DestroyPoolingDescriptor(null)", cudnnDestroyPoolingDescriptor(nullptr));
  Say("SetPooling2d(null)", cudnnSetPooling2dDescriptor(nullptr, CUDNN_POOLING_MAX, nan, 2, 2, 0, 0, 1, 1));
  set("SetPooling2d(mode 99)", Unknown<cudnnPoolingMode_t>(), nan, 2, 0, 1);
  set("SetPooling2d(nan 99)", CUDNN_POOLING_MAX, Unknown<cudnnNanPropagation_t>(), 2, 0, 1);
  set("SetPooling2d(window 0)", CUDNN_POOLING_MAX, nan, 0, 0, 1);
  set("SetPooling2d(window -1)", CUDNN_POOLING_MAX, nan, -1, 0, 1);
  set("SetPooling2d(stride 0)", CUDNN_POOLING_MAX, nan, 2, 0, 0);
  set("SetPooling2d(pad -1)", CUDNN_POOLING_MAX, nan, 2, -1, 1);
  set("SetPooling2d(pad of the window)", CUDNN_POOLING_MAX, nan, 2, 2, 1);
  const int ones[8] = {1, 1, 1, 1, 1, 1, 1, 1}, zeros[8] = {};
  const auto many = [&](const char* row, int rank, const int* window, const int* pad, const int* stride) {
    Say(row, cudnnSetPoolingNdDescriptor(p, CUDNN_POOLING_MAX, nan, rank, window, pad, stride));
  };
  many("SetPoolingNd(rank 0)", 0, ones, zeros, ones);
  many("SetPoolingNd(rank 1)", 1, ones, zeros, ones);
  many("SetPoolingNd(rank 7)", 7, ones, zeros, ones);
  many("SetPoolingNd(stride 0)", 3, ones, zeros, zeros);
  CHECK_STATUS(cudnnSetPooling2dDescriptor(p, CUDNN_POOLING_MAX, nan, 3, 3, 0, 0, 1, 1));
  cudnnPoolingMode_t mode = CUDNN_POOLING_MAX;
  cudnnNanPropagation_t got_nan = nan;
  int got[8] = {};
  Say("GetPooling2d(null)", cudnnGetPooling2dDescriptor(nullptr, &mode, &got_nan, got, got, got, got, got, got));
  Say("GetPoolingNd(7 asked)", cudnnGetPoolingNdDescriptor(p, 7, &mode, &got_nan, got, got, got, got));
  Say("GetPoolingNd(-1 asked)", cudnnGetPoolingNdDescriptor(p, -1, &mode, &got_nan, got, got, got, got));
  Descriptor<cudnnTensorDescriptor_t> x(cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor);
  CHECK_STATUS(cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 2, 2, 2, 2));
  Say("GetPooling2dForwardOutputDim(window too large)",
      cudnnGetPooling2dForwardOutputDim(p, x, got, got + 1, got + 2, got + 3));
  Say("GetPooling2dForwardOutputDim(null)", cudnnGetPooling2dForwardOutputDim(nullptr, x, got, got, got, got));
  Say("GetPooling2dForwardOutputDim(null x)", cudnnGetPooling2dForwardOutputDim(p, nullptr, got, got, got, got));
  Say("GetPoolingNdForwardOutputDim(rank 3)", cudnnGetPoolingNdForwardOutputDim(p, x, 3, got));
}

static void SayOthers() {
  const auto nan = CUDNN_PROPAGATE_NAN;
  Descriptor<cudnnActivationDescriptor_t> a(cudnnCreateActivationDescriptor, cudnnDestroyActivationDescriptor);
  Say("CreateActivationDescriptor(null)", cudnnCreateActivationDescriptor(nullptr));
  Say("SetActivation(null)", cudnnSetActivationDescriptor(nullptr, CUDNN_ACTIVATION_RELU, nan, 0));
  Say("SetActivation(mode 99)", cudnnSetActivationDescriptor(a, Unknown<cudnnActivationMode_t>(), nan, 0));
  Say("SetActivation(nan 99)",
      cudnnSetActivationDescriptor(a, CUDNN_ACTIVATION_RELU, Unknown<cudnnNanPropagation_t>(), 0));
  Say("SetActivation(ceiling -1)", cudnnSetActivationDescriptor(a, CUDNN_ACTIVATION_CLIPPED_RELU, nan, -1));
  Say("SetActivationSwishBeta(null)", cudnnSetActivationDescriptorSwishBeta(nullptr, 1));
  Descriptor<cudnnLRNDescriptor_t> l(cudnnCreateLRNDescriptor, cudnnDestroyLRNDescriptor);
  Say("SetLRN(n 0)", cudnnSetLRNDescriptor(l, 0, 1e-4, 0.75, 2));
  Say("SetLRN(n 17)", cudnnSetLRNDescriptor(l, 17, 1e-4, 0.75, 2));
  Say("SetLRN(beta 0)", cudnnSetLRNDescriptor(l, 5, 1e-4, 0, 2));
  Say("SetLRN(k 0)", cudnnSetLRNDescriptor(l, 5, 1e-4, 0.75, 0));
  Say("SetLRN(alpha -1)", cudnnSetLRNDescriptor(l, 5, -1, 0.75, 2));
  Descriptor<cudnnOpTensorDescriptor_t> o(cudnnCreateOpTensorDescriptor, cudnnDestroyOpTensorDescriptor);
  Say("SetOpTensor(null)", cudnnSetOpTensorDescriptor(nullptr, CUDNN_OP_TENSOR_ADD, CUDNN_DATA_FLOAT, nan));
  Say("SetOpTensor(op 99)", cudnnSetOpTensorDescriptor(o, Unknown<cudnnOpTensorOp_t>(), CUDNN_DATA_FLOAT, nan));
  Say("SetOpTensor(type 99)", cudnnSetOpTensorDescriptor(o, CUDNN_OP_TENSOR_ADD, Unknown<cudnnDataType_t>(), nan));
  Say("SetOpTensor(type half)", cudnnSetOpTensorDescriptor(o, CUDNN_OP_TENSOR_ADD, CUDNN_DATA_HALF, nan));
  Say("SetOpTensor(nan 99)",
      cudnnSetOpTensorDescriptor(o, CUDNN_OP_TENSOR_ADD, CUDNN_DATA_FLOAT, Unknown<cudnnNanPropagation_t>()));
  Descriptor<cudnnReduceTensorDescriptor_t> r(cudnnCreateReduceTensorDescriptor, cudnnDestroyReduceTensorDescriptor);
  const auto reduce = [&](const char* row, cudnnReduceTensorOp_t op, cudnnDataType_t type, cudnnReduceTensorIndices_t i,
                          cudnnIndicesType_t it) { Say(row, cudnnSetReduceTensorDescriptor(r, op, type, nan, i, it)); };
  const auto none = CUDNN_REDUCE_TENSOR_NO_INDICES;
  const auto add = CUDNN_REDUCE_TENSOR_ADD;
  reduce("SetReduceTensor(op 99)", Unknown<cudnnReduceTensorOp_t>(), CUDNN_DATA_FLOAT, none, CUDNN_32BIT_INDICES);
  reduce("SetReduceTensor(type 99)", add, Unknown<cudnnDataType_t>(), none, CUDNN_32BIT_INDICES);
  reduce("SetReduceTensor(indices 99)", add, CUDNN_DATA_FLOAT, Unknown<cudnnReduceTensorIndices_t>(),
         CUDNN_32BIT_INDICES);
  reduce("SetReduceTensor(indices of 64 bits)", CUDNN_REDUCE_TENSOR_MAX, CUDNN_DATA_FLOAT,
         CUDNN_REDUCE_TENSOR_FLATTENED_INDICES, CUDNN_64BIT_INDICES);
  reduce("SetReduceTensor(indices of a sum)", add, CUDNN_DATA_FLOAT, CUDNN_REDUCE_TENSOR_FLATTENED_INDICES,
         CUDNN_32BIT_INDICES);
  reduce("SetReduceTensor(type half)", add, CUDNN_DATA_HALF, none, CUDNN_32BIT_INDICES);
  Descriptor<cudnnSpatialTransformerDescriptor_t> s(cudnnCreateSpatialTransformerDescriptor,
                                                    cudnnDestroySpatialTransformerDescriptor);
  const int dims[5] = {2, 2, 2, 2, 2}, holes[4] = {2, 2, 0, 2};
  const auto spatial = [&](const char* row, cudnnSamplerType_t sampler, cudnnDataType_t type, int rank,
                           const int* sizes) {
    Say(row, cudnnSetSpatialTransformerNdDescriptor(s, sampler, type, rank, sizes));
  };
  spatial("SetSpatialTransformer(sampler 99)", Unknown<cudnnSamplerType_t>(), CUDNN_DATA_FLOAT, 4, dims);
  spatial("SetSpatialTransformer(type 99)", CUDNN_SAMPLER_BILINEAR, Unknown<cudnnDataType_t>(), 4, dims);
  spatial("SetSpatialTransformer(rank 5)", CUDNN_SAMPLER_BILINEAR, CUDNN_DATA_FLOAT, 5, dims);
  spatial("SetSpatialTransformer(rank 3)", CUDNN_SAMPLER_BILINEAR, CUDNN_DATA_FLOAT, 3, dims);
  spatial("SetSpatialTransformer(rank 1)", CUDNN_SAMPLER_BILINEAR, CUDNN_DATA_FLOAT, 1, dims);
  spatial("SetSpatialTransformer(null dims)", CUDNN_SAMPLER_BILINEAR, CUDNN_DATA_FLOAT, 4, nullptr);
  spatial("SetSpatialTransformer(a dim 0)", CUDNN_SAMPLER_BILINEAR, CUDNN_DATA_FLOAT, 4, holes);
  Descriptor<cudnnDropoutDescriptor_t> d(cudnnCreateDropoutDescriptor, cudnnDestroyDropoutDescriptor);
  size_t bytes = 0;
  Descriptor<cudnnTensorDescriptor_t> t(cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor);
  Say("CreateDropoutDescriptor(null)", cudnnCreateDropoutDescriptor(nullptr));
  Say("DropoutGetStatesSize(null handle)", cudnnDropoutGetStatesSize(nullptr, &bytes));
  Say("DropoutGetReserveSpaceSize(null)", cudnnDropoutGetReserveSpaceSize(nullptr, &bytes));
  Say("DropoutGetReserveSpaceSize(unset)", cudnnDropoutGetReserveSpaceSize(t, &bytes));
  Say("DeriveBNTensor(null)", cudnnDeriveBNTensorDescriptor(nullptr, t, CUDNN_BATCHNORM_SPATIAL));
  Say("DeriveBNTensor(of an unset one)", cudnnDeriveBNTensorDescriptor(t, t, CUDNN_BATCHNORM_SPATIAL));
  Descriptor<cudnnTensorDescriptor_t> x(cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor);
  CHECK_STATUS(cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 2, 2, 2, 2));
  Say("DeriveBNTensor(mode 99)", cudnnDeriveBNTensorDescriptor(t, x, Unknown<cudnnBatchNormMode_t>()));
  Say("DeriveNormTensor(mode 99)", cudnnDeriveNormTensorDescriptor(t, t, x, Unknown<cudnnNormMode_t>(), 1));
  Say("DeriveNormTensor(2 groups)", cudnnDeriveNormTensorDescriptor(t, t, x, CUDNN_NORM_PER_CHANNEL, 2));
  Descriptor<cudnnCTCLossDescriptor_t> c(cudnnCreateCTCLossDescriptor, cudnnDestroyCTCLossDescriptor);
  Say("SetCTCLoss(null)", cudnnSetCTCLossDescriptor(nullptr, CUDNN_DATA_FLOAT));
  Say("SetCTCLoss(double)", cudnnSetCTCLossDescriptor(c, CUDNN_DATA_DOUBLE));
  Say("SetCTCLoss(type 99)", cudnnSetCTCLossDescriptor(c, Unknown<cudnnDataType_t>()));
  Say("SetCTCLossEx(normalisation 99)",
      cudnnSetCTCLossDescriptorEx(c, CUDNN_DATA_FLOAT, Unknown<cudnnLossNormalizationMode_t>(), nan));
  Say("SetCTCLoss_v8(256 labels)",
      cudnnSetCTCLossDescriptor_v8(c, CUDNN_DATA_FLOAT, CUDNN_LOSS_NORMALIZATION_NONE, nan, 256));
  Say("SetCTCLoss_v8(-1 labels)",
      cudnnSetCTCLossDescriptor_v8(c, CUDNN_DATA_FLOAT, CUDNN_LOSS_NORMALIZATION_NONE, nan, -1));
  Say("SetCTCLoss_v9(mode 99)", cudnnSetCTCLossDescriptor_v9(c, CUDNN_DATA_FLOAT, CUDNN_LOSS_NORMALIZATION_NONE,
                                                             Unknown<cudnnCTCGradMode_t>(), 10));
}

static void SayRnns() {
  Descriptor<cudnnRNNDescriptor_t> r(cudnnCreateRNNDescriptor, cudnnDestroyRNNDescriptor);
  struct Rnn {
    cudnnRNNAlgo_t algorithm = CUDNN_RNN_ALGO_STANDARD;
    cudnnRNNMode_t cell = CUDNN_LSTM;
    cudnnRNNBiasMode_t bias = CUDNN_RNN_DOUBLE_BIAS;
    cudnnDirectionMode_t direction = CUDNN_UNIDIRECTIONAL;
    cudnnRNNInputMode_t input = CUDNN_LINEAR_INPUT;
    cudnnDataType_t data = CUDNN_DATA_FLOAT, math = CUDNN_DATA_FLOAT;
    cudnnMathType_t type = CUDNN_DEFAULT_MATH;
    int input_size = 4, hidden = 4, projection = 4, layers = 2;
    unsigned flags = 0;
  };
  const auto set = [&](const char* row, auto change) {
    Rnn n;
    change(n);
    Say(row, cudnnSetRNNDescriptor_v8(r, n.algorithm, n.cell, n.bias, n.direction, n.input, n.data, n.math, n.type,
                                      n.input_size, n.hidden, n.projection, n.layers, nullptr, n.flags));
  };
  Say("CreateRNNDescriptor(null)", cudnnCreateRNNDescriptor(nullptr));
  set("SetRNN_v8(fits)", [](Rnn&) {});
  set("SetRNN_v8(algorithm 99)", [](Rnn& n) { n.algorithm = Unknown<cudnnRNNAlgo_t>(); });
  set("SetRNN_v8(cell 99)", [](Rnn& n) { n.cell = Unknown<cudnnRNNMode_t>(); });
  set("SetRNN_v8(bias 99)", [](Rnn& n) { n.bias = Unknown<cudnnRNNBiasMode_t>(); });
  set("SetRNN_v8(direction 99)", [](Rnn& n) { n.direction = Unknown<cudnnDirectionMode_t>(); });
  set("SetRNN_v8(input 99)", [](Rnn& n) { n.input = Unknown<cudnnRNNInputMode_t>(); });
  set("SetRNN_v8(data 99)", [](Rnn& n) { n.data = Unknown<cudnnDataType_t>(); });
  set("SetRNN_v8(data int8)", [](Rnn& n) { n.data = CUDNN_DATA_INT8; });
  set("SetRNN_v8(double computed in float)", [](Rnn& n) { n.data = CUDNN_DATA_DOUBLE; });
  set("SetRNN_v8(math 99)", [](Rnn& n) { n.type = Unknown<cudnnMathType_t>(); });
  set("SetRNN_v8(input 0)", [](Rnn& n) { n.input_size = 0; });
  set("SetRNN_v8(hidden 0)", [](Rnn& n) { n.hidden = 0; });
  set("SetRNN_v8(hidden -1)", [](Rnn& n) { n.hidden = -1; });
  set("SetRNN_v8(projection 0)", [](Rnn& n) { n.projection = 0; });
  set("SetRNN_v8(projection above hidden)", [](Rnn& n) { n.projection = 5; });
  set("SetRNN_v8(projection of a GRU)", [](Rnn& n) { n.cell = CUDNN_GRU, n.projection = 2; });
  set("SetRNN_v8(layers 0)", [](Rnn& n) { n.layers = 0; });
  set("SetRNN_v8(flags 99)", [](Rnn& n) { n.flags = 99; });
  set("SetRNN_v8(no input of another size)", [](Rnn& n) { n.input = CUDNN_SKIP_INPUT, n.input_size = 3; });
  set("SetRNN_v8(persistent, projection)",
      [](Rnn& n) { n.algorithm = CUDNN_RNN_ALGO_PERSIST_STATIC, n.projection = 2; });
  Descriptor<cudnnRNNDataDescriptor_t> d(cudnnCreateRNNDataDescriptor, cudnnDestroyRNNDataDescriptor);
  const int lengths[3] = {3, 2, 1}, rising[3] = {1, 2, 3}, long_one[3] = {4, 2, 1}, empty[3] = {3, 0, 1};
  float fill = 0;
  const auto data = [&](const char* row, cudnnDataType_t type, cudnnRNNDataLayout_t layout, int steps, int batch,
                        int size, const int* all) {
    Say(row, cudnnSetRNNDataDescriptor(d, type, layout, steps, batch, size, all, &fill));
  };
  const auto packed = CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED;
  const auto unpacked = CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED;
  data("SetRNNData(type 99)", Unknown<cudnnDataType_t>(), unpacked, 3, 3, 4, lengths);
  data("SetRNNData(layout 99)", CUDNN_DATA_FLOAT, Unknown<cudnnRNNDataLayout_t>(), 3, 3, 4, lengths);
  data("SetRNNData(0 steps)", CUDNN_DATA_FLOAT, unpacked, 0, 3, 4, lengths);
  data("SetRNNData(batch 0)", CUDNN_DATA_FLOAT, unpacked, 3, 0, 4, lengths);
  data("SetRNNData(size 0)", CUDNN_DATA_FLOAT, unpacked, 3, 3, 0, lengths);
  data("SetRNNData(null lengths)", CUDNN_DATA_FLOAT, unpacked, 3, 3, 4, nullptr);
  data("SetRNNData(too long)", CUDNN_DATA_FLOAT, unpacked, 3, 3, 4, long_one);
  data("SetRNNData(a length 0)", CUDNN_DATA_FLOAT, unpacked, 3, 3, 4, empty);
  data("SetRNNData(packed, rising)", CUDNN_DATA_FLOAT, packed, 3, 3, 4, rising);
}

static void SayBackend() {
  cudnnBackendDescriptor_t made = nullptr;
  Say("BackendCreate(type 9999)", cudnnBackendCreateDescriptor(static_cast<cudnnBackendDescriptorType_t>(9999), &made));
  Say("BackendDestroy(null)", cudnnBackendDestroyDescriptor(nullptr));
  Say("BackendFinalize(null)", cudnnBackendFinalize(nullptr));
  Backend tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  const int64_t dims[3] = {2, 3, 4}, strides[3] = {12, 4, 1}, holes[3] = {2, 0, 4}, id = 7, alignment = 16;
  const int64_t three = 3;
  const cudnnDataType_t type = CUDNN_DATA_FLOAT;
  const auto set = [&](const char* row, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t kind,
                       int64_t count, const void* values) {
    Say(row, cudnnBackendSetAttribute(tensor.get(), name, kind, count, values));
  };
  Say("BackendFinalize(tensor of nothing)", cudnnBackendFinalize(tensor.get()));
  set("BackendSet(another's attribute)", CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &type);
  set("BackendSet(attribute 99999)", static_cast<cudnnBackendAttributeName_t>(99999), CUDNN_TYPE_INT64, 1, dims);
  set("BackendSet(dims as doubles)", CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_DOUBLE, 3, dims);
  set("BackendSet(dims, count 0)", CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 0, dims);
  set("BackendSet(dims, count -1)", CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, -1, dims);
  set("BackendSet(dims, count 99)", CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 99, dims);
  set("BackendSet(dims, null)", CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 3, nullptr);
  set("BackendSet(a dim 0)", CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 3, holes);
  set("BackendSet(type, count 2)", CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 2, &type);
  const cudnnDataType_t unknown = Unknown<cudnnDataType_t>();
  set("BackendSet(type 99)", CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &unknown);
  set("BackendSet(alignment 3)", CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &three);
  Say("BackendSet(null)", cudnnBackendSetAttribute(nullptr, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 3, dims));
  int64_t count = 0, got[3] = {};
  Say("BackendGet(not finalised)",
      cudnnBackendGetAttribute(tensor.get(), CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 3, &count, got));
  set("BackendSet(type)", CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  set("BackendSet(dims)", CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 3, dims);
  Say("BackendFinalize(tensor without strides)", cudnnBackendFinalize(tensor.get()));
  set("BackendSet(strides)", CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 3, strides);
  set("BackendSet(id)", CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
  Say("BackendFinalize(tensor without alignment)", cudnnBackendFinalize(tensor.get()));
  set("BackendSet(alignment)", CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
  Say("BackendFinalize(tensor)", cudnnBackendFinalize(tensor.get()));
  Say("BackendFinalize(tensor, again)", cudnnBackendFinalize(tensor.get()));
  set("BackendSet(finalised)", CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
  const auto get = [&](const char* row, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t kind,
                       int64_t asked, int64_t* written, void* values) {
    Say(row, cudnnBackendGetAttribute(tensor.get(), name, kind, asked, written, values));
  };
  get("BackendGet(another's attribute)", CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &count, got);
  get("BackendGet(of another type)", CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_DOUBLE, 3, &count, got);
  get("BackendGet(null values)", CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 3, &count, nullptr);
  get("BackendGet(null count)", CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 3, nullptr, got);
  get("BackendGet(fewer than there are)", CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 1, &count, got);
  get("BackendGet(count -1)", CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, -1, &count, got);
  for (const auto& [row, kind] :
       {Kind{"BackendFinalize(convolution of nothing)", CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR},
        Kind{"BackendFinalize(pointwise of nothing)", CUDNN_BACKEND_POINTWISE_DESCRIPTOR},
        Kind{"BackendFinalize(matmul of nothing)", CUDNN_BACKEND_MATMUL_DESCRIPTOR},
        Kind{"BackendFinalize(reduction of nothing)", CUDNN_BACKEND_REDUCTION_DESCRIPTOR},
        Kind{"BackendFinalize(resample of nothing)", CUDNN_BACKEND_RESAMPLE_DESCRIPTOR},
        Kind{"BackendFinalize(rng of nothing)", CUDNN_BACKEND_RNG_DESCRIPTOR},
        Kind{"BackendFinalize(graph of nothing)", CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR},
        Kind{"BackendFinalize(engine of nothing)", CUDNN_BACKEND_ENGINE_DESCRIPTOR},
        Kind{"BackendFinalize(heuristic of nothing)", CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR},
        Kind{"BackendFinalize(plan of nothing)", CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR},
        Kind{"BackendFinalize(variant pack of nothing)", CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR},
        Kind{"BackendFinalize(operation of nothing)", CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR}}) {
    Backend of_nothing(kind);
    Say(row, of_nothing.get() != nullptr ? cudnnBackendFinalize(of_nothing.get()) : of_nothing.status());
  }
}

int main() {
  std::printf("{");
  SayTensors();
  SayFilters();
  SayConvolutions();
  SayPoolings();
  SayOthers();
  SayRnns();
  SayBackend();
  SayNullHandles();
  int devices = 0;
  if (cudaGetDeviceCount(&devices) == cudaSuccess && devices != 0) SayCalls();
  std::printf("\n}\n");
  return 0;
}
