// Convolutions of graphs and their gradients, reductions, types of tensors, against plain sums; and what is refused
// because it would not be done.
#include "tests/unit/server/backend/cpu/dnn/graph_plan.h"

namespace accelmesh {
namespace {

using dnn_test::Bits;
using dnn_test::Count;
using dnn_test::ExpectNear;
using dnn_test::GraphCall;
using dnn_test::PlanText;
using dnn_test::Random;
using dnn_test::Reals;
using dnn_test::ToleranceOf;
using dnn_test::Words;

struct Convolution {
  Words x, w, before, after, strides, dilations;

  Words Result() const {
    Words y{x[0], w[0]};
    for (std::size_t d = 0; d < before.size(); ++d) {
      const std::int64_t reach = (w[d + 2] - 1) * dilations[d] + 1;
      y.push_back((x[d + 2] + before[d] + after[d] - reach) / strides[d] + 1);
    }
    return y;
  }
  // Every product: visit(element of x, of w, of y).
  void Each(auto visit) const {
    const Words y = Result(), x_strides = PlanText::Strides(x);
    const std::int64_t groups = x[1] / w[1], filters = w[0] / groups;
    for (std::size_t to = 0; to < Count(y); ++to) {
      const Words at = dnn_test::IndexOf(to, y);
      for (std::size_t by = 0; by < Count(w); ++by) {
        const Words tap = dnn_test::IndexOf(by, w);
        Words from{at[0], at[1] / filters * w[1] + tap[1]};
        bool is_inside = tap[0] == at[1];
        for (std::size_t d = 0; d < before.size(); ++d) {
          from.push_back(at[d + 2] * strides[d] - before[d] + tap[d + 2] * dilations[d]);
          is_inside = is_inside && from.back() >= 0 && from.back() < x[d + 2];
        }
        if (is_inside) visit(dnn_test::Offset(from, x_strides), by, to);
      }
    }
  }
  std::int64_t Describe(GraphCall* call) const {
    return call->Add(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
                     {{CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_DOUBLE}},
                      {CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, {CUDNN_CROSS_CORRELATION}},
                      {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, before},
                      {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, after},
                      {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, strides},
                      {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, dilations}});
  }
};
const std::vector<Convolution>& Convolutions() {
  static const std::vector<Convolution> all = {
      {{2, 3, 5, 6}, {4, 3, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
      {{2, 4, 7, 6}, {6, 2, 3, 2}, {1, 0}, {2, 1}, {2, 3}, {1, 2}},
      {{1, 4, 6, 5}, {4, 1, 2, 3}, {0, 2}, {1, 0}, {1, 2}, {2, 1}},
      {{3, 2, 9}, {3, 2, 4}, {2}, {0}, {2}, {1}},
      {{2, 2, 4, 5, 3}, {3, 2, 2, 3, 2}, {1, 1, 0}, {0, 1, 1}, {1, 2, 1}, {1, 1, 2}},
  };
  return all;
}

// Which of the three is made, by their places in {x, w, y}.
constexpr int kOperations[] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                               CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                               CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR};
constexpr int kNames[][6] = {
    {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
    {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA}};

TEST(CpuGraphConvolution, EveryDirectionIsItsSums) {
  std::mt19937 random(4);
  for (const int type : {CUDNN_DATA_DOUBLE, CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16}) {
    const double tolerance = ToleranceOf(type);
    for (const Convolution& convolution : Convolutions()) {
      for (int made = 0; made < 3; ++made) {
        for (const bool is_last : {false, true}) {
          SCOPED_TRACE(testing::Message() << type << " made " << made << " last " << is_last << ' '
                                          << testing::PrintToString(convolution.x));
          const Words dims[] = {convolution.x, convolution.w, convolution.Result()};
          Reals values[3], wanted;
          for (int i = 0; i < 3; ++i) {
            values[i] = Random(random, Count(dims[i]));
            for (double& value : values[i]) value = std::round(4 * value) / 4;  // exact in every type
          }
          constexpr double kAlpha = 1.5, kBeta = 0.5;
          for (const double old : values[made]) wanted.push_back(is_last ? kBeta * old : 0);
          // The gradients are the same products, added up where the third factor is.
          convolution.Each([&](std::size_t x, std::size_t w, std::size_t y) {
            const std::size_t at[] = {x, w, y};
            const int one = (made + 1) % 3, other = (made + 2) % 3;
            wanted[at[made]] += (is_last ? kAlpha : 1) * values[one][at[one]] * values[other][at[other]];
          });
          GraphCall call;
          std::int64_t places[3];
          for (int i = 0; i < 3; ++i) places[i] = call.Put(dims[i], values[i], type, is_last);
          std::vector<PlanText::Attribute> all = {PlanText::Refer(kNames[made][3], convolution.Describe(&call))};
          for (int i = 0; i < 3; ++i) all.push_back(PlanText::Refer(kNames[made][i], places[i]));
          if (is_last) {
            all.push_back({kNames[made][4], CUDNN_TYPE_DOUBLE, {Bits(kAlpha)}});
            all.push_back({kNames[made][5], CUDNN_TYPE_DOUBLE, {Bits(kBeta)}});
          }
          call.Run({call.Add(kOperations[made], all)});
          ExpectNear(call.Get(places[made]), wanted, tolerance, "sums");
        }
      }
    }
  }
}

TEST(CpuGraphConvolution, NothingIsAddedToAVirtualResult) {
  const Convolution& convolution = Convolutions()[0];
  for (const double beta : {0.0, 0.5}) {
    GraphCall call;
    const std::int64_t x = call.Make(convolution.x), w = call.Make(convolution.w), to = call.Make(convolution.Result()),
                       between = call.Tensor(9, convolution.Result(), CUDNN_DATA_DOUBLE, false,
                                             {{CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, {1}}});
    const std::int64_t product = call.Add(kOperations[2], {PlanText::Refer(kNames[2][3], convolution.Describe(&call)),
                                                           PlanText::Refer(kNames[2][0], x),
                                                           PlanText::Refer(kNames[2][1], w),
                                                           PlanText::Refer(kNames[2][2], between),
                                                           {kNames[2][5], CUDNN_TYPE_DOUBLE, {Bits(beta)}}});
    const std::int64_t copy = call.Add(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
                                       {PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, between),
                                        PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, to)});
    EXPECT_EQ(call.IsRefused({product, copy}), beta != 0);
  }
}

// Past what floats can hold, and blended with what was there.
TEST(CpuGraphConvolution, IntegersAreExact) {
  for (const int type : {CUDNN_DATA_INT32, CUDNN_DATA_INT64}) {
    GraphCall call;
    const std::int64_t x = call.Put({1, 1, 1, 2}, {16777217, 3}, type), w = call.Put({1, 1, 1, 1}, {5}, type),
                       y = call.Put({1, 1, 1, 2}, {7, 1}, type);
    const Convolution plain{{1, 1, 1, 2}, {1, 1, 1, 1}, {0, 0}, {0, 0}, {1, 1}, {1, 1}};
    call.Run({call.Add(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                       {PlanText::Refer(kNames[2][3], plain.Describe(&call)),
                        PlanText::Refer(kNames[2][0], x),
                        PlanText::Refer(kNames[2][1], w),
                        PlanText::Refer(kNames[2][2], y),
                        {kNames[2][4], CUDNN_TYPE_DOUBLE, {Bits(2)}},
                        {kNames[2][5], CUDNN_TYPE_DOUBLE, {Bits(3)}}})});
    EXPECT_EQ(call.Get(y), (Reals{167772170 + 21, 30 + 3})) << type;
  }
}

std::int64_t Reduce(GraphCall* call, std::int64_t reduction, std::int64_t x, std::int64_t y) {
  const std::int64_t description =
      call->Add(CUDNN_BACKEND_REDUCTION_DESCRIPTOR,
                {{CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, {reduction}}});
  return call->Add(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR,
                   {PlanText::Refer(CUDNN_ATTR_OPERATION_REDUCTION_DESC, description),
                    PlanText::Refer(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x),
                    PlanText::Refer(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y)});
}
double Reduced(std::int64_t reduction, const Reals& of) {
  double sum = 0, product = 1, without_zeros = 1, absolute = 0, squares = 0, low = of[0], high = of[0], most = 0;
  for (const double value : of) {
    sum += value;
    product *= value;
    if (value != 0) without_zeros *= value;
    absolute += value < 0 ? -value : value;
    squares += value * value;
    low = std::fmin(low, value);
    high = std::fmax(high, value);
    most = std::fmax(most, std::fmax(value, -value));
  }
  switch (reduction) {
    case CUDNN_REDUCE_TENSOR_ADD: return sum;
    case CUDNN_REDUCE_TENSOR_MUL: return product;
    case CUDNN_REDUCE_TENSOR_MIN: return low;
    case CUDNN_REDUCE_TENSOR_MAX: return high;
    case CUDNN_REDUCE_TENSOR_AMAX: return most;
    case CUDNN_REDUCE_TENSOR_AVG: return sum / static_cast<double>(of.size());
    case CUDNN_REDUCE_TENSOR_NORM1: return absolute;
    case CUDNN_REDUCE_TENSOR_NORM2: return std::sqrt(squares);
    default: return without_zeros;
  }
}

TEST(CpuGraphReduction, EveryOneIsItsFormula) {
  std::mt19937 random(5);
  const Words dims{3, 4, 2, 5};
  for (const Words& to : {Words{3, 1, 2, 1}, Words{1, 1, 1, 1}, Words{1, 4, 1, 5}, Words{3, 4, 2, 5}}) {
    for (std::int64_t reduction = 0; reduction <= CUDNN_REDUCE_TENSOR_MUL_NO_ZEROS; ++reduction) {
      for (const bool is_last : {false, true}) {
        const int type = is_last ? CUDNN_DATA_FLOAT : CUDNN_DATA_DOUBLE;
        SCOPED_TRACE(testing::Message() << reduction << " to " << testing::PrintToString(to));
        Reals x = Random(random, Count(dims));
        for (std::size_t i = 0; i < x.size(); i += 7) x[i] = 0;
        if (reduction == CUDNN_REDUCE_TENSOR_MUL) x = Random(random, Count(dims), 0.5, 1.5);
        std::vector<Reals> parts(Count(to));
        for (std::size_t i = 0; i < x.size(); ++i) {
          Words index = dnn_test::IndexOf(i, dims);
          for (std::size_t d = 0; d < dims.size(); ++d) index[d] = to[d] == 1 ? 0 : index[d];
          parts[dnn_test::Offset(index, PlanText::Strides(to))].push_back(x[i]);
        }
        Reals wanted;
        for (const Reals& part : parts) wanted.push_back(Reduced(reduction, part));
        GraphCall call;
        const std::int64_t from = call.Put(dims, x, type, is_last), y = call.Make(to, type, is_last);
        call.Run({Reduce(&call, reduction, from, y)});
        ExpectNear(call.Get(y), wanted, ToleranceOf(type), "reduced");
      }
    }
  }
  GraphCall call;
  const std::int64_t from = call.Make(dims), y = call.Make({1, 1, 1, 1});
  EXPECT_TRUE(call.IsRefused({Reduce(&call, 9, from, y)}));
}

// What a type of integers makes of a number: eight bits are rounded and end at their limits, more are cut off.
double AsStored(int type, double value) {
  if (type == CUDNN_DATA_INT8) return std::fmin(std::fmax(std::nearbyint(value), -128), 127);
  return type == CUDNN_DATA_INT32 || type == CUDNN_DATA_INT64 ? std::trunc(value) : value;
}

// Of small whole numbers every sum is exact; averages and roots are what the type makes of them.
TEST(CpuGraphReduction, EveryTypeIsReducedAndHeadsShareResults) {
  std::mt19937 random(51);
  const Words dims{2, 6, 3, 4};
  for (const int type :
       {CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16, CUDNN_DATA_INT32, CUDNN_DATA_INT64, CUDNN_DATA_INT8, CUDNN_DATA_FLOAT}) {
    // The third gives each two channels a result of their own.
    for (const Words& to : {Words{2, 1, 3, 1}, Words{1, 1, 1, 1}, Words{2, 3, 1, 4}}) {
      for (std::int64_t reduction = 0; reduction <= CUDNN_REDUCE_TENSOR_MUL_NO_ZEROS; ++reduction) {
        SCOPED_TRACE(testing::Message() << type << ' ' << reduction << " to " << testing::PrintToString(to));
        Reals x(Count(dims));
        for (double& value : x) value = static_cast<double>(random() % 3) - 1;
        x[5] = x[77] = 2;
        std::vector<Reals> parts(Count(to));
        for (std::size_t i = 0; i < x.size(); ++i) {
          Words index = dnn_test::IndexOf(i, dims);
          for (std::size_t d = 0; d < dims.size(); ++d) index[d] = index[d] * to[d] / dims[d];
          parts[dnn_test::Offset(index, PlanText::Strides(to))].push_back(x[i]);
        }
        Reals wanted;
        for (const Reals& part : parts) wanted.push_back(AsStored(type, Reduced(reduction, part)));
        GraphCall call;
        const std::int64_t from = call.Put(dims, x, type, reduction % 2 == 0), y = call.Make(to, type);
        call.Run({Reduce(&call, reduction, from, y)});
        ExpectNear(call.Get(y), wanted, ToleranceOf(type), "reduced");
      }
    }
  }
}

// Matrices of sixteen bits are multiplied in float, in graphs of doubles as well; one of b's may be several of a's.
TEST(CpuGraphMatmul, HeadsShareMatricesInEveryType) {
  std::mt19937 random(52);
  constexpr std::int64_t kBatches = 2, kHeads = 6, kShared = 3, kM = 3, kN = 4, kK = 5;
  for (const int type : {CUDNN_DATA_DOUBLE, CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16, CUDNN_DATA_INT32}) {
    for (const bool has_mask : {false, true}) {
      SCOPED_TRACE(testing::Message() << type << (has_mask ? " masked" : ""));
      const Words a_dims{kBatches, kHeads, kM, kK}, b_dims{1, kShared, kK, kN}, c_dims{kBatches, kHeads, kM, kN};
      Reals a(Count(a_dims)), b(Count(b_dims)), wanted(Count(c_dims));
      for (double& value : a) value = static_cast<double>(random() % 7) - 3;
      for (double& value : b) value = static_cast<double>(random() % 7) - 3;
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        const Words at = dnn_test::IndexOf(i, c_dims);
        for (std::int64_t k = 0; k < kK; ++k)
          wanted[i] += a[dnn_test::Offset({at[0], at[1], at[2], k}, PlanText::Strides(a_dims))] *
                       b[dnn_test::Offset({0, at[1] / (kHeads / kShared), k, at[3]}, PlanText::Strides(b_dims))];
      }
      GraphCall call;
      const std::int64_t c = call.Make(c_dims, type), product = has_mask ? call.Virtual(c_dims, type) : c;
      Words operations{call.Matmul(call.Put(a_dims, a, type, true), call.Put(b_dims, b, type), product)};
      if (has_mask) {
        // One of the lengths is past what floats hold.
        const std::int64_t index = call.Virtual(c_dims, CUDNN_DATA_INT32),
                           keeps = call.Virtual(c_dims, CUDNN_DATA_BOOLEAN),
                           length = call.Put({kBatches, 1, 1, 1}, {2, 16777217}, CUDNN_DATA_INT32);
        operations.push_back(call.Pointwise(CUDNN_POINTWISE_GEN_INDEX, product, -1, index, -1,
                                            {{CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, {3}}}));
        operations.push_back(call.Pointwise(CUDNN_POINTWISE_CMP_LT, index, length, keeps));
        operations.push_back(call.Pointwise(CUDNN_POINTWISE_BINARY_SELECT, product, call.Value(-7, type), c, keeps));
        for (std::size_t i = 0; i < wanted.size(); ++i) {
          const Words at = dnn_test::IndexOf(i, c_dims);
          if (at[0] == 0 && at[3] >= 2) wanted[i] = -7;
        }
      }
      call.Run(operations);
      ExpectNear(call.Get(c), wanted, ToleranceOf(type), "product");
    }
  }
}

TEST(CpuGraphTypes, EveryTypeIsReadAndWrittenAndScaledByAValue) {
  const Words dims{2, 3, 2, 4};
  for (const int type : {CUDNN_DATA_DOUBLE, CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16, CUDNN_DATA_INT32,
                         CUDNN_DATA_INT64, CUDNN_DATA_INT8}) {
    for (const int made : {CUDNN_DATA_DOUBLE, CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16, CUDNN_DATA_INT32,
                           CUDNN_DATA_INT64, CUDNN_DATA_INT8}) {
      SCOPED_TRACE(testing::Message() << type << " to " << made);
      // Exact in every type: 8 bits.
      Reals x, wanted;
      for (std::size_t i = 0; i < Count(dims); ++i) x.push_back(static_cast<double>(i) - 20);
      for (const double value : x) wanted.push_back(-3 * value);
      GraphCall call;
      const std::int64_t from = call.Put(dims, x, type, true), by = call.Value(-3, type), y = call.Make(dims, made),
                         pointwise =
                             call.Add(CUDNN_BACKEND_POINTWISE_DESCRIPTOR,
                                      {{CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, {CUDNN_POINTWISE_MUL}}});
      call.Run({call.Add(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
                         {PlanText::Refer(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise),
                          PlanText::Refer(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, from),
                          PlanText::Refer(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, by),
                          PlanText::Refer(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y)})});
      EXPECT_EQ(call.Get(y), wanted);
    }
  }
}

// Every pattern of eight bits is read, and what lies between two is rounded; with gaps, which stay as they are.
TEST(CpuGraphTypes, SmallFloatsAndBooleansAreTheirPatterns) {
  for (const int type : {CUDNN_DATA_FP8_E4M3, CUDNN_DATA_FP8_E5M2, CUDNN_DATA_UINT8, CUDNN_DATA_BOOLEAN}) {
    SCOPED_TRACE(type);
    const bool is_e4m3 = type == CUDNN_DATA_FP8_E4M3, is_float = is_e4m3 || type == CUDNN_DATA_FP8_E5M2;
    std::vector<std::uint8_t> patterns;
    for (int bits = 0; bits < 256; ++bits) {
      const int magnitude = bits & 0x7f;
      if (!is_float || magnitude <= (is_e4m3 ? 0x7e : 0x7b)) patterns.push_back(static_cast<std::uint8_t>(bits));
    }
    const auto count = static_cast<std::int64_t>(patterns.size());
    Reals wanted;
    for (const std::uint8_t bits : patterns)
      wanted.push_back(type == CUDNN_DATA_BOOLEAN ? static_cast<double>(bits != 0) : dnn_test::Decode(type, bits));
    GraphCall call;
    std::int64_t from = 0;
    call.PutBytes(patterns, {count, 1}, type, &from);
    const std::int64_t as_float = call.Make({count, 1}, CUDNN_DATA_FLOAT);
    // Half a step further, and back.
    Reals between(wanted), stored;
    for (double& value : between) value *= 1.03125;
    for (const double value : between) {
      if (is_float) {
        stored.push_back(dnn_test::Decode(type, dnn_test::Encode(type, value)));
      } else {
        stored.push_back(type == CUDNN_DATA_UINT8 ? std::fmin(std::nearbyint(value), 255)
                                                  : static_cast<double>(value != 0));
      }
    }
    const std::int64_t given = call.Put({count, 1}, between, CUDNN_DATA_FLOAT),
                       to = call.PutAt({count, 1}, {3, 1}, Reals(patterns.size(), 1), type);
    call.Run({call.Pointwise(CUDNN_POINTWISE_IDENTITY, from, -1, as_float),
              call.Pointwise(CUDNN_POINTWISE_IDENTITY, given, -1, to)});
    EXPECT_EQ(call.Get(as_float), wanted);
    EXPECT_EQ(call.Get(to), stored);
  }
}

TEST(CpuGraphTypes, RaggedTensorsAreRefused) {
  GraphCall call;
  const std::int64_t to = call.Make({3, 2}), offsets = call.Make({2, 1}, CUDNN_DATA_INT32),
                     ragged = call.Tensor(9, {2, 3}, CUDNN_DATA_DOUBLE, false,
                                          {PlanText::Refer(CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, offsets)});
  EXPECT_TRUE(call.IsRefused({call.Add(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
                                       {PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, ragged),
                                        PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, to)})}));
}

TEST(CpuGraphMatmul, WhatItWouldNotHonourIsRefused) {
  using Attributes = std::vector<PlanText::Attribute>;
  const auto is_refused = [](const Attributes& describing, const Attributes& operating, int a_type) {
    GraphCall call;
    const std::int64_t a = call.Make({1, 2, 3}), b = call.Make({1, 3, 4}), c = call.Make({1, 2, 4}),
                       matmul = call.Add(CUDNN_BACKEND_MATMUL_DESCRIPTOR, describing);
    Attributes all = {PlanText::Refer(CUDNN_ATTR_OPERATION_MATMUL_DESC, matmul),
                      {CUDNN_ATTR_OPERATION_MATMUL_ADESC, a_type, {a}},
                      PlanText::Refer(CUDNN_ATTR_OPERATION_MATMUL_BDESC, b),
                      PlanText::Refer(CUDNN_ATTR_OPERATION_MATMUL_CDESC, c)};
    all.insert(all.end(), operating.begin(), operating.end());
    return call.IsRefused({call.Add(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, all)});
  };
  const auto padding = [](double value) {
    return Attributes{{CUDNN_ATTR_MATMUL_PADDING_VALUE, CUDNN_TYPE_DOUBLE, {Bits(value)}}};
  };
  const auto batches = [](std::int64_t count) {
    constexpr int kIrregularBatches = 1524;  // deprecated: its name warns
    return Attributes{{kIrregularBatches, CUDNN_TYPE_INT64, {count}}};
  };
  constexpr int kDescriptor = CUDNN_TYPE_BACKEND_DESCRIPTOR;
  EXPECT_FALSE(is_refused({}, {}, kDescriptor));
  EXPECT_FALSE(is_refused(padding(0), batches(1), kDescriptor));
  EXPECT_TRUE(is_refused(padding(1), {}, kDescriptor));
  EXPECT_TRUE(is_refused({}, batches(2), kDescriptor));
  EXPECT_TRUE(is_refused({}, {}, CUDNN_TYPE_INT64));  // a number is no tensor
}

}  // namespace
}  // namespace accelmesh
