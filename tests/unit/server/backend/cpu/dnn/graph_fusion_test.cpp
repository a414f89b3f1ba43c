// Convolutions and products that are computed with what follows them, against the same graph whose tensors between are
// seen, which is computed step by step.
#include <limits>

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
using dnn_test::Words;

using Attributes = std::vector<PlanText::Attribute>;

struct Chain {
  Words x{2, 4, 6, 5}, w{6, 4, 3, 3};
  bool is_last = false, has_bias = true, adds = false, adds_first = false;
  int activation = CUDNN_POINTWISE_RELU_FWD;  // -1: none
  Attributes description;
  int type = CUDNN_DATA_FLOAT;
  bool is_read_twice = false;
};

// Of the same numbers each time, with tensors between that are virtual or not.
Reals Compute(const Chain& c, bool is_virtual, double special = 0) {
  std::mt19937 random(121);
  const auto draw = [&](const Words& dims) {
    Reals values = Random(random, Count(dims));
    for (double& value : values) value = std::round(8 * value) / 8;
    return values;
  };
  const std::size_t rank = c.x.size() - 2;
  const Words ones(rank, 1), zeros(rank, 0);
  Words y_dims{c.x[0], c.w[0]}, channels(c.x.size(), 1);
  channels[1] = c.w[0];
  for (std::size_t d = 2; d < c.x.size(); ++d) y_dims.push_back(c.x[d] + 2 - c.w[d] + 1);
  GraphCall call;
  Reals x_values = draw(c.x);
  if (special != 0) x_values[7] = special;
  const std::int64_t x = call.Put(c.x, x_values, c.type, c.is_last), w = call.Put(c.w, draw(c.w), c.type, c.is_last),
                     bias = call.Put(channels, draw(channels), c.type),
                     added = call.Put(y_dims, draw(y_dims), c.type, !c.is_last),
                     y = call.Make(y_dims, c.type, c.is_last);
  // Between: floats, so that nothing is rounded where it is seen.
  const auto between = [&] {
    return is_virtual ? call.Virtual(y_dims, CUDNN_DATA_FLOAT) : call.Make(y_dims, CUDNN_DATA_FLOAT);
  };
  const std::int64_t convolution =
      call.Add(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
               {{CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, {CUDNN_CROSS_CORRELATION}},
                {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, ones},
                {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, ones},
                {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, ones},
                {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, ones}});
  struct Step {
    int mode;
    std::int64_t b;
  };
  std::vector<Step> steps;
  if (c.has_bias) steps.push_back({CUDNN_POINTWISE_ADD, bias});
  if (c.adds) steps.insert(c.adds_first ? steps.begin() : steps.end(), {CUDNN_POINTWISE_ADD, added});
  if (c.activation >= 0) steps.push_back({c.activation, -1});
  std::int64_t made = between();
  Words operations{call.Add(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                            {PlanText::Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, convolution),
                             PlanText::Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x),
                             PlanText::Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w),
                             PlanText::Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, made)})};
  const std::int64_t product = made;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::int64_t next = i + 1 == steps.size() && !c.is_read_twice ? y : between();
    operations.push_back(call.Pointwise(steps[i].mode, made, steps[i].b, next, -1,
                                        steps[i].mode == c.activation ? c.description : Attributes{}));
    made = next;
  }
  if (c.is_read_twice) operations.push_back(call.Pointwise(CUDNN_POINTWISE_MUL, made, product, y));
  call.Run(operations);
  return call.Get(y);
}

std::vector<Chain> Chains() {
  std::vector<Chain> all;
  for (const bool is_last : {false, true}) {
    for (const int type : {CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16}) {
      Chain c;
      c.is_last = is_last;
      c.type = type;
      all.push_back(c);
      c.adds = true;
      all.push_back(c);
      c.adds_first = true;
      all.push_back(c);
      c.activation = -1;
      all.push_back(c);
      c.has_bias = false;
      all.push_back(c);
    }
    for (const int activation : {CUDNN_POINTWISE_TANH_FWD, CUDNN_POINTWISE_SIGMOID_FWD, CUDNN_POINTWISE_ELU_FWD,
                                 CUDNN_POINTWISE_GELU_FWD, CUDNN_POINTWISE_GELU_APPROX_TANH_FWD,
                                 CUDNN_POINTWISE_SWISH_FWD, CUDNN_POINTWISE_SOFTPLUS_FWD, CUDNN_POINTWISE_RELU_FWD}) {
      Chain c;
      c.is_last = is_last;
      c.activation = activation;
      c.adds = activation % 2 == 0;
      c.description = {{CUDNN_ATTR_POINTWISE_ELU_ALPHA, CUDNN_TYPE_DOUBLE, {Bits(0.5)}},
                       {CUDNN_ATTR_POINTWISE_SWISH_BETA, CUDNN_TYPE_DOUBLE, {Bits(1.5)}},
                       {CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, CUDNN_TYPE_DOUBLE, {Bits(0.25)}}};
      all.push_back(c);
    }
    // What is not computed with a convolution: an upper limit, a lower one.
    for (const int name : {CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP}) {
      Chain c;
      c.is_last = is_last;
      c.description = {{name, CUDNN_TYPE_DOUBLE, {Bits(0.75)}}};
      all.push_back(c);
    }
    // Groups, one and three dimensions of space, and channels that fill no block.
    for (const auto& [x, w] : std::vector<std::pair<Words, Words>>{
             {{2, 6, 5, 4}, {4, 3, 3, 3}}, {{3, 5, 9}, {7, 5, 2}}, {{1, 3, 4, 5, 3}, {17, 3, 2, 3, 2}}}) {
      Chain c;
      c.x = x;
      c.w = w;
      c.is_last = is_last;
      c.adds = w[0] != 17;
      all.push_back(c);
    }
    Chain twice;
    twice.is_last = is_last;
    twice.is_read_twice = true;
    all.push_back(twice);
  }
  return all;
}

TEST(CpuGraphFusion, ComputesWhatStepsCompute) {
  for (const Chain& c : Chains()) {
    SCOPED_TRACE(testing::Message() << testing::PrintToString(c.x) << ' ' << testing::PrintToString(c.w) << " last "
                                    << c.is_last << " bias " << c.has_bias << " adds " << c.adds << c.adds_first
                                    << " then " << c.activation << " type " << c.type);
    const double near = c.type == CUDNN_DATA_FLOAT ? 2e-5 : dnn_test::ToleranceOf(c.type);
    ExpectNear(Compute(c, true), Compute(c, false), near, "fused");
  }
}

// Products: of batches, of matrices that every batch shares, of heads that share one (which oneDNN does not take).
Reals Multiply(const Words& a, const Words& b, bool has_bias, bool adds, int activation, int type, bool is_virtual) {
  std::mt19937 random(122);
  const auto draw = [&](const Words& dims) {
    Reals values = Random(random, Count(dims));
    for (double& value : values) value = std::round(8 * value) / 8;
    return values;
  };
  Words c(a), columns(a.size(), 1);
  c.back() = columns.back() = b.back();
  for (std::size_t d = 0; d + 2 < a.size(); ++d) c[d] = std::max(a[d], b[d]);
  GraphCall call;
  const auto between = [&] { return is_virtual ? call.Virtual(c, CUDNN_DATA_FLOAT) : call.Make(c, CUDNN_DATA_FLOAT); };
  const std::int64_t y = call.Make(c, type, true), bias = call.Put(columns, draw(columns), type),
                     added = call.Put(c, draw(c), type);
  std::int64_t made = between();
  Words operations{call.Matmul(call.Put(a, draw(a), type, true), call.Put(b, draw(b), type), made)};
  const auto step = [&](int mode, std::int64_t other, bool is_last) {
    const std::int64_t next = is_last ? y : between();
    operations.push_back(call.Pointwise(mode, made, other, next));
    made = next;
  };
  if (adds) step(CUDNN_POINTWISE_ADD, added, false);
  if (has_bias) step(CUDNN_POINTWISE_ADD, bias, false);
  step(activation, -1, true);
  call.Run(operations);
  return call.Get(y);
}

TEST(CpuGraphFusion, ProductsComputeWhatStepsCompute) {
  const std::vector<std::pair<Words, Words>> shapes = {{{1, 5, 7}, {1, 7, 6}},       {{2, 3, 4, 5}, {2, 3, 5, 6}},
                                                       {{2, 3, 4, 5}, {1, 3, 5, 6}}, {{1, 4, 3}, {3, 3, 2}},
                                                       {{2, 4, 4, 5}, {2, 2, 5, 6}}, {{4, 3}, {3, 5}}};
  for (const auto& [a, b] : shapes) {
    for (const bool has_bias : {false, true}) {
      for (const bool adds : {false, true}) {
        for (const int activation : {CUDNN_POINTWISE_RELU_FWD, CUDNN_POINTWISE_GELU_FWD, CUDNN_POINTWISE_SWISH_FWD,
                                     CUDNN_POINTWISE_IDENTITY}) {
          for (const int type : {CUDNN_DATA_FLOAT, CUDNN_DATA_HALF}) {
            SCOPED_TRACE(testing::Message()
                         << testing::PrintToString(a) << ' ' << testing::PrintToString(b) << " bias " << has_bias
                         << " adds " << adds << " then " << activation << " type " << type);
            const double near = type == CUDNN_DATA_FLOAT ? 2e-5 : dnn_test::ToleranceOf(type);
            ExpectNear(Multiply(a, b, has_bias, adds, activation, type, true),
                       Multiply(a, b, has_bias, adds, activation, type, false), near, "fused");
          }
        }
      }
    }
  }
}

TEST(CpuGraphFusion, KeepsWhatIsNoNumberAndWhatHasNoEnd) {
  for (const int activation : {CUDNN_POINTWISE_RELU_FWD, CUDNN_POINTWISE_TANH_FWD, CUDNN_POINTWISE_SWISH_FWD}) {
    for (const double special : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      Chain c;
      c.activation = activation;
      const Reals fused = Compute(c, true, special), apart = Compute(c, false, special);
      ASSERT_EQ(fused.size(), apart.size());
      for (std::size_t i = 0; i < fused.size(); ++i) {
        EXPECT_EQ(std::isnan(fused[i]), std::isnan(apart[i]))
            << activation << ' ' << i << ' ' << fused[i] << ' ' << apart[i];
        EXPECT_EQ(std::isinf(fused[i]), std::isinf(apart[i]))
            << activation << ' ' << i << ' ' << fused[i] << ' ' << apart[i];
      }
    }
  }
}

}  // namespace
}  // namespace accelmesh
