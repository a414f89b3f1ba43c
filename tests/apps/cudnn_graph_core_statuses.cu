// As cudnn_graph_statuses.cu, of the descriptors that every graph is made of: tensors, convolutions, pointwise
// operations, products, reductions, norms, and those of engines and plans. The same program passes against NVIDIA's
// library.
#include "cudnn_graph_core_attributes.h"

static cudnnStatus_t TensorStatus(cudnnDataType_t type, int64_t alignment, const Ints& dims, const Ints& strides) {
  Backend tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.Set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type)
      .Set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, alignment)
      .Set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, int64_t{7})
      .SetInts(CUDNN_ATTR_TENSOR_DIMENSIONS, dims)
      .SetInts(CUDNN_ATTR_TENSOR_STRIDES, strides);
  return cudnnBackendFinalize(tensor.get());
}

static void TestTensors() {
  const Ints dims{2, 3, 4}, strides{12, 4, 1};
  // An alignment is of whole elements.
  constexpr struct {
    cudnnDataType_t type;
    int64_t bytes;
  } kSizes[] = {{CUDNN_DATA_FLOAT, 4},    {CUDNN_DATA_DOUBLE, 8},   {CUDNN_DATA_HALF, 2},     {CUDNN_DATA_INT8, 1},
                {CUDNN_DATA_INT32, 4},    {CUDNN_DATA_UINT8, 1},    {CUDNN_DATA_BFLOAT16, 2}, {CUDNN_DATA_INT64, 8},
                {CUDNN_DATA_BOOLEAN, 1},  {CUDNN_DATA_FP8_E4M3, 1}, {CUDNN_DATA_FP8_E5M2, 1}, {CUDNN_DATA_FP8_E8M0, 1},
                {CUDNN_DATA_FP4_E2M1, 1}, {CUDNN_DATA_INT4, 1},     {CUDNN_DATA_UINT4, 1},    {CUDNN_DATA_UINT32, 4}};
  for (const auto& [type, bytes] : kSizes) {
    for (const int64_t alignment : {-16, 0, 1, 2, 3, 4, 6, 8, 12, 16, 24}) {
      const cudnnStatus_t wanted = alignment > 0 && alignment % bytes == 0 ? kWell : kBad;
      const cudnnStatus_t status = TensorStatus(type, alignment, dims, strides);
      EXPECT(status == wanted, "type %d aligned to %lld: %s, not %s", type, static_cast<long long>(alignment),
             cudnnGetErrorString(status), cudnnGetErrorString(wanted));
    }
  }
  for (const auto type : {CUDNN_DATA_INT8x4, CUDNN_DATA_UINT8x4, CUDNN_DATA_INT8x32})
    CHECK_DNN_STATUS(TensorStatus(type, 16, dims, strides), kNot);
  CHECK_DNN_STATUS(TensorStatus(CUDNN_DATA_FAST_FLOAT_FOR_FP8, 16, dims, strides), kBad);
  CHECK_DNN_STATUS(TensorStatus(CUDNN_DATA_FLOAT, 16, {2, 0, 4}, strides), kWell);
  CHECK_DNN_STATUS(TensorStatus(CUDNN_DATA_FLOAT, 16, {2, -1, 4}, strides), kBad);
  CHECK_DNN_STATUS(TensorStatus(CUDNN_DATA_FLOAT, 16, dims, {12, 0, 1}), kWell);
  CHECK_DNN_STATUS(TensorStatus(CUDNN_DATA_FLOAT, 16, dims, {12, -1, 1}), kBad);
  CHECK_DNN_STATUS(TensorStatus(CUDNN_DATA_FLOAT, 16, dims, {4, 1}), kBad);
  CHECK_DNN_STATUS(TensorStatus(CUDNN_DATA_FLOAT, 16, {2, 3}, strides), kBad);
  CHECK_DNN_STATUS(TensorStatus(CUDNN_DATA_FLOAT, 16, Ints(8, 1), Ints(8, 1)), kWell);
  for (const size_t rank : {9, 13, 99})
    CHECK_DNN_STATUS(TensorStatus(CUDNN_DATA_FLOAT, 16, Ints(rank, 1), Ints(rank, 1)), kBad);
  TestWhole("a tensor", CUDNN_BACKEND_TENSOR_DESCRIPTOR,
            {Plain(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT}, kWell),
             Plain(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, dims, kBad),
             Plain(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides, kBad),
             Plain(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, {7}, kWell),
             Plain(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, {16}, kBad)});
}

static std::vector<Item> Convolution(const Ints& strides, const Ints& dilations, const Ints& before,
                                     const Ints& after) {
  return {Plain(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT}, kWell),
          Plain(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, {CUDNN_CROSS_CORRELATION}, kWell),
          Plain(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, {static_cast<int64_t>(strides.size())}, kBad),
          Plain(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, strides, kBad),
          Plain(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, dilations, kBad),
          Plain(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, before, kWell),
          Plain(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, after, kWell)};
}

// A convolution of these shapes, in each direction: x and w make y.
static void TestConvolved(const char* what, const Ints& x, const Ints& w, const Ints& y, const Ints& strides,
                          const Ints& dilations, const Ints& before, const Ints& after, cudnnStatus_t wanted) {
  Backend convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.Set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, static_cast<int64_t>(strides.size()))
      .SetInts(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, strides)
      .SetInts(CUDNN_ATTR_CONVOLUTION_DILATIONS, dilations);
  // Without them there are none.
  if (!before.empty()) convolution.SetInts(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, before);
  if (!after.empty()) convolution.SetInts(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, after);
  convolution.Finalize();
  const struct {
    cudnnBackendDescriptorType_t type;
    int convolution, x, w, y;
  } kDirections[] = {
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY}};
  for (const auto& direction : kDirections) {
    const std::vector<Item> items = {Shaped(direction.x, x, CUDNN_DATA_FLOAT, kBad),
                                     Shaped(direction.w, w, CUDNN_DATA_FLOAT, kBad),
                                     Shaped(direction.y, y, CUDNN_DATA_FLOAT, kBad)};
    const cudnnStatus_t status = Finalize(direction.type, items, items.size(), &convolution, direction.convolution);
    EXPECT(status == wanted, "%s, descriptor %d: %s, not %s", what, direction.type, cudnnGetErrorString(status),
           cudnnGetErrorString(wanted));
    if (wanted == kWell) TestWhole(what, direction.type, items, &convolution, direction.convolution);
    CHECK_DNN_STATUS(Finalize(direction.type, items, items.size(), nullptr, 0), kBad);  // of no convolution
  }
}

static void TestConvolutions() {
  constexpr auto kConvolution = CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR;
  const Ints ones{1, 1}, none{0, 0};
  TestWhole("a convolution", kConvolution, Convolution(ones, ones, none, none));
  const auto whole = [&](size_t at, const Ints& words) {
    TestWrong("a convolution", kConvolution, Convolution(ones, ones, none, none), at, words, kBad);
  };
  for (const int64_t space : {-1, 0, 1, 3}) whole(2, {space});
  for (const size_t at : {3, 4}) {
    for (const Ints& words : {Ints{1}, Ints{1, 0}, Ints{1, -1}, Ints{1, 1, 1}}) whole(at, words);
  }
  for (const size_t at : {5, 6}) {
    for (const Ints& words : {Ints{0}, Ints{0, -1}, Ints{0, 0, 0}}) whole(at, words);
  }
  for (const size_t space : {1, 2, 3, 6, 7, 8}) {
    const std::vector<Item> items = Convolution(Ints(space, 1), Ints(space, 1), Ints(space, 0), Ints(space, 0));
    CHECK_DNN_STATUS(Finalize(kConvolution, items, items.size(), nullptr, 0), space <= 6 ? kWell : kBad);
  }
  const Ints x{2, 3, 8, 8}, w{4, 3, 3, 3};
  const Ints two{2, 2};
  TestConvolved("without padding", x, w, {2, 4, 6, 6}, ones, ones, {}, {}, kWell);
  TestConvolved("without padding, too large", x, w, {2, 4, 8, 8}, ones, ones, {}, {}, kBad);
  TestConvolved("with padding", x, w, {2, 4, 8, 8}, ones, ones, ones, ones, kWell);
  TestConvolved("padded on one side", x, w, {2, 4, 7, 7}, ones, ones, ones, none, kWell);
  TestConvolved("in steps", x, w, {2, 4, 3, 3}, two, ones, none, none, kWell);
  TestConvolved("in steps, one too many", x, w, {2, 4, 4, 4}, two, ones, none, none, kBad);
  TestConvolved("dilated", x, w, {2, 4, 4, 4}, ones, two, none, none, kWell);
  TestConvolved("of other images", x, w, {1, 4, 6, 6}, ones, ones, none, none, kBad);
  TestConvolved("of other channels", x, w, {2, 5, 6, 6}, ones, ones, none, none, kBad);
  TestConvolved("of two groups", {2, 4, 8, 8}, {6, 2, 3, 3}, {2, 6, 6, 6}, ones, ones, none, none, kWell);
  TestConvolved("of five in two groups", {2, 4, 8, 8}, {5, 2, 3, 3}, {2, 5, 6, 6}, ones, ones, none, none, kBad);
  TestConvolved("of three channels of four", {2, 4, 8, 8}, {5, 3, 3, 3}, {2, 5, 6, 6}, ones, ones, none, none, kBad);
  TestConvolved("of a filter too large", x, {4, 3, 9, 9}, {2, 4, 1, 1}, ones, ones, none, none, kBad);
  TestConvolved("of a filter of another rank", x, {4, 3, 3, 3, 1}, {2, 4, 6, 6}, ones, ones, none, none, kBad);
  TestConvolved("of lines", {2, 3, 8}, {4, 3, 3}, {2, 4, 6}, {1}, {1}, {0}, {0}, kWell);
  TestConvolved("of lines, in a plane", {2, 3, 8}, {4, 3, 3}, {2, 4, 6}, ones, ones, none, none, kBad);
}

static void TestPointwise() {
  constexpr int kTensors[] = {CUDNN_ATTR_OPERATION_POINTWISE_XDESC,  CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                              CUDNN_ATTR_OPERATION_POINTWISE_YDESC,  CUDNN_ATTR_OPERATION_POINTWISE_DXDESC,
                              CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, CUDNN_ATTR_OPERATION_POINTWISE_TDESC};
  // Which of them a mode needs.
  const auto needs = [&](int mode, const char* needed) {
    Backend pointwise(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    pointwise.Set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode).Finalize();
    std::vector<Item> items;
    for (size_t i = 0; i < 6; ++i)
      items.push_back(
          Shaped(kTensors[i], {2, 3, 4}, CUDNN_DATA_FLOAT, strchr(needed, "xbyXYt"[i]) != nullptr ? kBad : kWell));
    TestWhole(needed, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, items, &pointwise,
              CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    // None of them is well, but for those that choose.
    CHECK_DNN_STATUS(Finalize(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, {}, 0, &pointwise,
                              CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR),
                     mode == CUDNN_POINTWISE_BINARY_SELECT ? kBad : kWell);
  };
  for (const int mode : {0, 1, 2, 3, 5, 6, 7, 8, 9, 23, 300, 301, 302, 303, 304, 305, 400, 401}) needs(mode, "xby");
  for (const int mode :
       {4, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 100, 101, 102, 103, 104, 105, 106, 107, 402})
    needs(mode, "xy");
  for (int mode = CUDNN_POINTWISE_RELU_BWD; mode <= CUDNN_POINTWISE_GELU_APPROX_TANH_BWD; ++mode) needs(mode, "XY");
  needs(CUDNN_POINTWISE_BINARY_SELECT, "xbyt");
  const auto binary = [&](const Ints& b, const Ints& y) {
    const std::vector<Item> items = {Shaped(kTensors[0], {2, 3, 4}, CUDNN_DATA_FLOAT, kBad),
                                     Shaped(kTensors[1], b, CUDNN_DATA_FLOAT, kBad),
                                     Shaped(kTensors[2], y, CUDNN_DATA_FLOAT, kBad)};
    return Finalize(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, items, items.size(), nullptr, 0);
  };
  CHECK_DNN_STATUS(binary({1, 3, 1}, {2, 3, 4}), kWell);
  CHECK_DNN_STATUS(binary({5, 5, 5}, {2, 3, 5}), kWell);  // shapes are looked at later
  CHECK_DNN_STATUS(binary({3, 4}, {2, 3, 4}), kBad);
  CHECK_DNN_STATUS(binary({2, 3, 4}, {2, 3, 4, 1}), kBad);
}

static void TestProducts() {
  Backend matmul(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  matmul.Finalize();
  const auto product = [&](const Ints& a, const Ints& b, const Ints& c) {
    const std::vector<Item> items = {Shaped(CUDNN_ATTR_OPERATION_MATMUL_ADESC, a, CUDNN_DATA_FLOAT, kNot),
                                     Shaped(CUDNN_ATTR_OPERATION_MATMUL_BDESC, b, CUDNN_DATA_FLOAT, kNot),
                                     Shaped(CUDNN_ATTR_OPERATION_MATMUL_CDESC, c, CUDNN_DATA_FLOAT, kNot)};
    const cudnnStatus_t status = Finalize(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, items, items.size(), &matmul,
                                          CUDNN_ATTR_OPERATION_MATMUL_DESC);
    if (status == kWell)
      TestWhole("a product", CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, items, &matmul,
                CUDNN_ATTR_OPERATION_MATMUL_DESC);
    return status;
  };
  CHECK_DNN_STATUS(product({2, 3, 4}, {2, 4, 5}, {2, 3, 5}), kWell);
  CHECK_DNN_STATUS(product({3, 4}, {4, 5}, {3, 5}), kWell);
  CHECK_DNN_STATUS(product({1, 3, 4}, {2, 4, 5}, {2, 3, 5}), kWell);
  CHECK_DNN_STATUS(product({4, 3, 4}, {2, 4, 5}, {4, 3, 5}), kWell);
  CHECK_DNN_STATUS(product({2, 4, 3, 4}, {2, 2, 4, 5}, {2, 4, 3, 5}), kWell);
  CHECK_DNN_STATUS(product({2, 4, 3, 4}, {2, 3, 4, 5}, {2, 4, 3, 5}), kBad);
  CHECK_DNN_STATUS(product({2, 3, 4}, {2, 5, 5}, {2, 3, 5}), kBad);
  CHECK_DNN_STATUS(product({2, 3, 4}, {2, 4, 5}, {2, 3, 6}), kBad);
  CHECK_DNN_STATUS(product({2, 3, 4}, {2, 4, 5}, {2, 4, 5}), kBad);
  CHECK_DNN_STATUS(product({2, 3, 4}, {3, 4, 5}, {2, 3, 5}), kBad);
  CHECK_DNN_STATUS(product({2, 3, 4}, {2, 4, 5}, {1, 3, 5}), kBad);
  CHECK_DNN_STATUS(product({1, 3, 4}, {1, 4, 5}, {2, 3, 5}), kBad);
  CHECK_DNN_STATUS(product({3}, {3}, {3}), kBad);
  CHECK_DNN_STATUS(product({3, 4}, {2, 4, 5}, {2, 3, 5}), kNot);
  CHECK_DNN_STATUS(product({2, 3, 4}, {1, 2, 4, 5}, {2, 3, 5}), kNot);
}

static void TestReductions() {
  constexpr auto kReduction = CUDNN_BACKEND_REDUCTION_DESCRIPTOR;
  TestWhole("a sum", kReduction,
            {Plain(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, {CUDNN_REDUCE_TENSOR_ADD}, kWell),
             Plain(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT}, kWell)});
  const auto reduced = [&](const Ints& y) {
    const std::vector<Item> items = {Shaped(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, {2, 6, 4}, CUDNN_DATA_FLOAT, kBad),
                                     Shaped(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y, CUDNN_DATA_FLOAT, kBad)};
    const cudnnStatus_t status =
        Finalize(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, items, items.size(), nullptr, 0);
    if (status == kWell) TestWhole("a reduction", CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, items);
    return status;
  };
  for (const Ints& y : {Ints{2, 1, 4}, Ints{2, 6, 4}, Ints{1, 1, 1}, Ints{2, 3, 4}, Ints{1, 2, 1}})
    CHECK_DNN_STATUS(reduced(y), kWell);
  for (const Ints& y : {Ints{2, 6}, Ints{2, 6, 1, 1}, Ints{2, 4, 4}, Ints{2, 6, 8}, Ints{2, 12, 4}, Ints{1}})
    CHECK_DNN_STATUS(reduced(y), kBad);
  const auto reshaped = [&](const Ints& x, const Ints& y) {
    const std::vector<Item> items = {Shaped(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x, CUDNN_DATA_FLOAT, kBad),
                                     Shaped(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y, CUDNN_DATA_FLOAT, kBad)};
    const cudnnStatus_t status = Finalize(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR, items, items.size(), nullptr, 0);
    if (status == kWell) TestWhole("a reshape", CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR, items);
    return status;
  };
  CHECK_DNN_STATUS(reshaped({2, 3}, {6}), kWell);
  CHECK_DNN_STATUS(reshaped({2, 3}, {3, 2}), kWell);
  CHECK_DNN_STATUS(reshaped({2, 3, 4}, {2, 13}), kBad);
}

static void TestNorms() {
  constexpr auto kForward = CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR,
                 kBackward = CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR;
  const Ints x{2, 8, 4, 4}, image{2, 1, 1, 1}, scale{1, 8, 4, 4};
  std::vector<Item> forward = {
      Plain(CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_TYPE_NORM_MODE, {CUDNN_LAYER_NORM}, kWell),
      Plain(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_TYPE_NORM_FWD_PHASE, {CUDNN_NORM_FWD_TRAINING}, kWell),
      Shaped(CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, x, CUDNN_DATA_FLOAT, kMismatch),
      Shaped(CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, x, CUDNN_DATA_FLOAT, kMismatch),
      Shaped(CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, image, CUDNN_DATA_FLOAT, kWell),
      Shaped(CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, image, CUDNN_DATA_FLOAT, kMismatch),
      Shaped(CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, scale, CUDNN_DATA_FLOAT, kBad),
      Shaped(CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, scale, CUDNN_DATA_FLOAT, kWell),
      Shaped(CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, {1, 1, 1, 1}, CUDNN_DATA_FLOAT, kBad)};
  forward.back().is_value = true;
  TestWhole("a norm", kForward, forward);
  TestWrong("a norm of another shape", kForward, forward, 3, {2, 8, 4, 5}, kMismatch);
  TestWrong("a norm of other means", kForward, forward, 4, {3, 1, 1, 1}, kMismatch);
  TestWrong("a norm of other scales", kForward, forward, 6, {1, 7, 4, 4}, kMismatch);
  forward.back().is_value = false;
  CHECK_DNN_STATUS(Finalize(kForward, forward, forward.size(), nullptr, 0), kBad);
  forward.back().is_value = true;
  forward[1].words = {CUDNN_NORM_FWD_INFERENCE};
  forward.back().without = kWell;
  TestWhole("a norm that infers", kForward, forward);
  CHECK_DNN_STATUS(Finalize(kForward, {}, 0, nullptr, 0), kBad);

  std::vector<Item> backward = {
      Plain(CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_TYPE_NORM_MODE, {CUDNN_LAYER_NORM}, kWell),
      Shaped(CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, x, CUDNN_DATA_FLOAT, kMismatch),
      Shaped(CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, x, CUDNN_DATA_FLOAT, kMismatch),
      Shaped(CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, x, CUDNN_DATA_FLOAT, kMismatch),
      Shaped(CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, image, CUDNN_DATA_FLOAT, kBad),
      Shaped(CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC, image, CUDNN_DATA_FLOAT, kMismatch),
      Shaped(CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, scale, CUDNN_DATA_FLOAT, kBad),
      Shaped(CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, scale, CUDNN_DATA_FLOAT, kBad),
      Shaped(CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC, scale, CUDNN_DATA_FLOAT, kWell)};
  for (const auto mode : {CUDNN_LAYER_NORM, CUDNN_INSTANCE_NORM, CUDNN_BATCH_NORM, CUDNN_GROUP_NORM}) {
    backward[0].words = {mode};
    TestWhole("a norm back", kBackward, backward);
  }
  TestWrong("a norm back to another shape", kBackward, backward, 3, {2, 8, 4, 5}, kMismatch);
  TestWrong("a norm back of other scales", kBackward, backward, 7, {1, 7, 4, 4}, kMismatch);
  // That of squares has no means.
  backward[0].words = {CUDNN_RMS_NORM};
  CHECK_DNN_STATUS(Finalize(kBackward, backward, backward.size(), nullptr, 0), kBad);
  CHECK_DNN_STATUS(Finalize(kBackward, backward, 4, nullptr, 0), kWell);
}

static void TestOthers() {
  const auto nothing = [](cudnnBackendDescriptorType_t type) {
    Backend empty(type);
    return cudnnBackendFinalize(empty.get());
  };
  for (const auto type :
       {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_BACKEND_MATMUL_DESCRIPTOR,
        CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR,
        CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, CUDNN_BACKEND_RESAMPLE_DESCRIPTOR})
    CHECK_DNN_STATUS(nothing(type), kWell);
  for (const auto type : {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR,
                          CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR,
                          CUDNN_BACKEND_REDUCTION_DESCRIPTOR, CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR,
                          CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR})
    CHECK_DNN_STATUS(nothing(type), kBad);
  CHECK_DNN_STATUS(nothing(CUDNN_BACKEND_ENGINE_DESCRIPTOR), CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  CHECK_DNN_STATUS(nothing(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR), kOpen);
  CHECK_DNN_STATUS(nothing(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR), CUDNN_STATUS_NOT_INITIALIZED);
  // Types that there are not, and one that the header has.
  for (const int type : {-1, static_cast<int>(CUDNN_BACKEND_INTERMEDIATE_INFO_DESCRIPTOR), 44, 9999}) {
    cudnnBackendDescriptor_t made = nullptr;
    CHECK_DNN_STATUS(cudnnBackendCreateDescriptor(static_cast<cudnnBackendDescriptorType_t>(type), &made),
                     CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
  }
  // What refers to nothing: as one that was not set, or an error.
  const auto refer = [](cudnnBackendDescriptorType_t type, cudnnBackendAttributeName_t name) {
    Backend of(type);
    const cudnnBackendDescriptor_t none = nullptr;
    return cudnnBackendSetAttribute(of.get(), name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &none);
  };
  CHECK_DNN_STATUS(refer(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_XDESC), kWell);
  CHECK_DNN_STATUS(refer(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, CUDNN_ATTR_OPERATION_MATMUL_ADESC), kWell);
  CHECK_DNN_STATUS(refer(CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_NORM_FWD_XDESC), kWell);
  CHECK_DNN_STATUS(refer(CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC), kWell);
  CHECK_DNN_STATUS(
      refer(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X), kBad);
  CHECK_DNN_STATUS(refer(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH), kBad);
  CHECK_DNN_STATUS(refer(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_OPS),
                   CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  // Without memory one is told how many there are.
  const Described tensor({2, 3, 4}, CUDNN_DATA_FLOAT);
  int64_t count = 0;
  for (const int64_t asked : {0, 1, 3, 9}) {
    CHECK_DNN(cudnnBackendGetAttribute(tensor.get().get(), CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, asked,
                                       &count, nullptr));
    EXPECT(count == 3, "%lld of 3 dimensions", static_cast<long long>(count));
  }
  const int pack_words = 2;
  const int64_t ids[2] = {1, 2};
  void* const memory[2] = {};
  for (int of_ids = 0; of_ids <= pack_words; ++of_ids) {
    for (int of_pointers = 0; of_pointers <= pack_words; ++of_pointers) {
      Backend pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
      if (of_ids != 0)
        CHECK_DNN(
            cudnnBackendSetAttribute(pack.get(), CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, of_ids, ids));
      if (of_pointers != 0)
        CHECK_DNN(cudnnBackendSetAttribute(pack.get(), CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
                                           of_pointers, memory));
      CHECK_DNN_STATUS(cudnnBackendFinalize(pack.get()), of_ids == of_pointers ? kWell : kBad);
    }
  }
}

int main() {
  for (const Attribute& attribute : kAttributes) {
    TestTypes(attribute.descriptor, attribute.name, attribute.types, attribute.otherwise, attribute.unasked);
    TestCounts(attribute);
  }
  TestTensors();
  TestConvolutions();
  TestPointwise();
  TestProducts();
  TestReductions();
  TestNorms();
  TestOthers();
  return Passed();
}
