// Operation graphs of the software GPU: every pointwise mode against a formula of its own, and words that are no plan.
// Beside it: graph_norm_test.cpp (normalisations), graph_products_test.cpp (convolutions, reductions, types,
// refusals).
#include <cmath>
#include <functional>
#include <limits>

#include "tests/unit/server/backend/cpu/dnn/graph_plan.h"

namespace accelmesh {
namespace {

using dnn_test::AddressOf;
using dnn_test::Bits;
using dnn_test::PlanText;
using dnn_test::Runner;
using dnn_test::Words;

const Words kDims{2, 3, 4};
constexpr std::size_t kElements = 24;

std::vector<double> Values(double from, double step) {
  std::vector<double> values(kElements);
  for (std::size_t i = 0; i < kElements; ++i) values[i] = from + step * static_cast<double>(i * 7 % kElements);
  return values;
}

// y = mode(2 x, b) with b of one element a row, or dx from dy and x.
std::vector<double> RunMode(int mode, const std::vector<double>& x, const std::vector<double>& b, bool is_backward) {
  PlanText text;
  const std::int64_t to = text.Tensor(3, kDims), from = text.Tensor(1, kDims), other = text.Tensor(2, kDims),
                     pointwise = text.Add(CUDNN_BACKEND_POINTWISE_DESCRIPTOR,
                                          {{CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, {mode}},
                                           {CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, {1}},
                                           {CUDNN_ATTR_POINTWISE_ELU_ALPHA, CUDNN_TYPE_DOUBLE, {Bits(0.5)}},
                                           {CUDNN_ATTR_POINTWISE_SWISH_BETA, CUDNN_TYPE_DOUBLE, {Bits(1.5)}},
                                           {CUDNN_ATTR_POINTWISE_SOFTPLUS_BETA, CUDNN_TYPE_DOUBLE, {Bits(2)}}});
  const std::int64_t operation =
      text.Add(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
               {PlanText::Refer(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise),
                PlanText::Refer(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, from),
                PlanText::Refer(
                    is_backward ? CUDNN_ATTR_OPERATION_POINTWISE_DYDESC : CUDNN_ATTR_OPERATION_POINTWISE_BDESC, other),
                PlanText::Refer(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, from),
                PlanText::Refer(
                    is_backward ? CUDNN_ATTR_OPERATION_POINTWISE_DXDESC : CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to)});
  Runner device;
  double* const y = device.Put(std::vector<double>(kElements, 99));
  const cpu_blas::Outcome outcome =
      device.Execute(text.Graph({operation}),
                     {1, static_cast<std::int64_t>(AddressOf(device.Put(x))), 2,
                      static_cast<std::int64_t>(AddressOf(device.Put(b))), 3, static_cast<std::int64_t>(AddressOf(y))});
  EXPECT_EQ(outcome.device_status, 0u) << outcome.text;
  EXPECT_TRUE(device.IsWhole());
  return {y, y + kElements};
}

using Formula = std::function<double(double, double)>;
const std::vector<std::pair<int, Formula>>& Forward() {
  static const std::vector<std::pair<int, Formula>> all = {
      {CUDNN_POINTWISE_ADD, [](double x, double b) { return x + b; }},
      {CUDNN_POINTWISE_ADD_SQUARE, [](double x, double b) { return x + b * b; }},
      {CUDNN_POINTWISE_DIV, [](double x, double b) { return x / b; }},
      {CUDNN_POINTWISE_MAX, [](double x, double b) { return std::fmax(x, b); }},
      {CUDNN_POINTWISE_MIN, [](double x, double b) { return std::fmin(x, b); }},
      {CUDNN_POINTWISE_MOD, [](double x, double b) { return x - b * std::trunc(x / b); }},
      {CUDNN_POINTWISE_MUL, [](double x, double b) { return x * b; }},
      {CUDNN_POINTWISE_POW, [](double x, double b) { return std::exp(b * std::log(x)); }},
      {CUDNN_POINTWISE_SUB, [](double x, double b) { return x - b; }},
      {CUDNN_POINTWISE_ABS, [](double x, double) { return x < 0 ? -x : x; }},
      {CUDNN_POINTWISE_CEIL, [](double x, double) { return -std::floor(-x); }},
      {CUDNN_POINTWISE_COS, [](double x, double) { return std::sin(x + std::acos(0.0)); }},
      {CUDNN_POINTWISE_EXP, [](double x, double) { return std::exp2(x / std::log(2.0)); }},
      {CUDNN_POINTWISE_FLOOR, [](double x, double) { return -std::ceil(-x); }},
      {CUDNN_POINTWISE_LOG, [](double x, double) { return std::log2(x) * std::log(2.0); }},
      {CUDNN_POINTWISE_NEG, [](double x, double) { return 0 - x; }},
      {CUDNN_POINTWISE_RSQRT, [](double x, double) { return std::pow(x, -0.5); }},
      {CUDNN_POINTWISE_SIN, [](double x, double) { return std::cos(x - std::acos(0.0)); }},
      {CUDNN_POINTWISE_SQRT, [](double x, double) { return std::pow(x, 0.5); }},
      {CUDNN_POINTWISE_TAN, [](double x, double) { return std::sin(x) / std::cos(x); }},
      {CUDNN_POINTWISE_ERF, [](double x, double) { return 1 - std::erfc(x); }},
      {CUDNN_POINTWISE_IDENTITY, [](double x, double) { return x; }},
      {CUDNN_POINTWISE_RECIPROCAL, [](double x, double) { return 1 / x; }},
      {CUDNN_POINTWISE_ATAN2, [](double x, double b) { return std::atan2(x, b); }},
      {CUDNN_POINTWISE_CMP_EQ, [](double x, double b) { return x == b ? 1 : 0; }},
      {CUDNN_POINTWISE_CMP_NEQ, [](double x, double b) { return x == b ? 0 : 1; }},
      {CUDNN_POINTWISE_CMP_GT, [](double x, double b) { return b < x ? 1 : 0; }},
      {CUDNN_POINTWISE_CMP_GE, [](double x, double b) { return b <= x ? 1 : 0; }},
      {CUDNN_POINTWISE_CMP_LT, [](double x, double b) { return b > x ? 1 : 0; }},
      {CUDNN_POINTWISE_CMP_LE, [](double x, double b) { return b >= x ? 1 : 0; }},
      {CUDNN_POINTWISE_LOGICAL_AND, [](double x, double b) { return x * b != 0 ? 1 : 0; }},
      {CUDNN_POINTWISE_LOGICAL_OR, [](double x, double b) { return x * x + b * b != 0 ? 1 : 0; }},
      {CUDNN_POINTWISE_LOGICAL_NOT, [](double x, double) { return x * x > 0 ? 0 : 1; }},
      {CUDNN_POINTWISE_BINARY_SELECT, [](double x, double b) { return x * x > 0 ? x : b; }},
  };
  return all;
}
double Sigmoid(double x) { return 0.5 + std::tanh(x / 2) / 2; }
// What is also gone back through: compared with differences of these.
const std::vector<std::pair<int, Formula>>& Activations() {
  static const std::vector<std::pair<int, Formula>> all = {
      {CUDNN_POINTWISE_RELU_FWD, [](double x, double) { return std::fmax(x, 0); }},
      {CUDNN_POINTWISE_TANH_FWD, [](double x, double) { return 1 - 2 / (std::exp(2 * x) + 1); }},
      {CUDNN_POINTWISE_SIGMOID_FWD, [](double x, double) { return Sigmoid(x); }},
      {CUDNN_POINTWISE_ELU_FWD, [](double x, double) { return x < 0 ? (std::exp(x) - 1) / 2 : x; }},
      {CUDNN_POINTWISE_GELU_FWD, [](double x, double) { return x / 2 * std::erfc(-x / std::sqrt(2.0)); }},
      {CUDNN_POINTWISE_SOFTPLUS_FWD, [](double x, double) { return std::log(1 + std::exp(2 * x)) / 2; }},
      {CUDNN_POINTWISE_SWISH_FWD, [](double x, double) { return x * Sigmoid(1.5 * x); }},
      {CUDNN_POINTWISE_GELU_APPROX_TANH_FWD,
       [](double x, double) { return x * Sigmoid(2 * std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)); }},
  };
  return all;
}

TEST(CpuGraph, EveryPointwiseModeIsItsFormula) {
  for (const auto& [mode, formula] : Forward()) {
    SCOPED_TRACE(mode);
    // Above 0, with some that are equal; and 0 where that is what it is about.
    const bool has_zeros = mode >= CUDNN_POINTWISE_LOGICAL_AND;
    const std::vector<double> x = Values(has_zeros ? 0 : 0.3, 0.13),
                              b = Values(has_zeros ? 0 : 0.3, has_zeros ? 0 : 0.26);
    const std::vector<double> y = RunMode(mode, x, b, false);
    for (std::size_t i = 0; i < kElements; ++i)
      ASSERT_NEAR(y[i], formula(x[i], b[i]), 1e-9 * (1 + std::abs(y[i]))) << x[i] << ' ' << b[i];
  }
  const std::vector<double> index = RunMode(CUDNN_POINTWISE_GEN_INDEX, Values(0, 1), Values(0, 1), false);
  for (std::size_t i = 0; i < kElements; ++i) ASSERT_EQ(index[i], static_cast<double>(i / 4 % 3));
}

TEST(CpuGraph, ActivationsGoForwardAndBack) {
  for (const auto& [mode, formula] : Activations()) {
    SCOPED_TRACE(mode);
    const std::vector<double> x = Values(-1.55, 0.13), dy = Values(-1, 0.2);
    const std::vector<double> y = RunMode(mode, x, dy, false), dx = RunMode(mode + 100, x, dy, true);
    for (std::size_t i = 0; i < kElements; ++i) {
      ASSERT_NEAR(y[i], formula(x[i], 0), 1e-9);
      constexpr double kStep = 1e-6;
      const double slope = (formula(x[i] + kStep, 0) - formula(x[i] - kStep, 0)) / (2 * kStep);
      ASSERT_NEAR(dx[i], dy[i] * slope, 1e-7) << x[i];
    }
  }
}

TEST(CpuGraph, WhatIsNoPlanIsRefused) {
  PlanText text;
  const std::int64_t x = text.Tensor(1, kDims), y = text.Tensor(2, kDims),
                     operation = text.Add(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
                                          {PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x),
                                           PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y)});
  const Words plan = text.Graph({operation});
  Runner device;
  const auto from = static_cast<std::int64_t>(AddressOf(device.Put(Values(0, 1)))),
             to = static_cast<std::int64_t>(AddressOf(device.Put(Values(5, 1))));
  EXPECT_EQ(device.Execute(plan, {1, from, 2, to}).device_status, 0u);
  EXPECT_NE(device.Execute(plan, {1, from}).device_status, 0u);             // nothing for y
  EXPECT_NE(device.Execute(plan, {1, from, 2, to + 8}).device_status, 0u);  // past the end
  EXPECT_NE(device.Execute({}, {1, from, 2, to}).device_status, 0u);
  const std::int64_t pointwise =
      text.Add(CUDNN_BACKEND_POINTWISE_DESCRIPTOR, {{CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, {21}}});
  // A description that is a number is no place to look at.
  const std::int64_t astray =
      text.Add(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
               {{CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_INT64, {pointwise + (std::int64_t{1} << 40)}},
                PlanText::Refer(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x),
                PlanText::Refer(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y)});
  EXPECT_NE(device.Execute(text.Graph({astray}), {1, from, 2, to}).device_status, 0u);
  PlanText number;
  number.Tensor(1, kDims);
  const std::int64_t no_tensor =
      number.Add(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
                 {{CUDNN_ATTR_OPERATION_RESHAPE_XDESC, CUDNN_TYPE_INT64, {std::int64_t{1} << 40}},
                  PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, 0)});
  EXPECT_NE(device.Execute(number.Graph({no_tensor}), {1, from}).device_status, 0u);
  // No word may be anything that ends elsewhere than in an answer.
  for (std::size_t at = 0; at < plan.size(); ++at) {
    for (const std::int64_t other :
         {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1} << 32, std::int64_t{7} << 40, plan[at] + 1,
          plan[at] ^ std::int64_t{1} << 33, plan[at] ^ std::int64_t{12} << 16}) {
      Words broken = plan;
      broken[at] = other;
      device.Execute(broken, {1, from, 2, to});
    }
    device.Execute({plan.begin(), plan.begin() + static_cast<std::ptrdiff_t>(at)}, {1, from, 2, to});
  }
  EXPECT_TRUE(device.IsWhole());
}

}  // namespace
}  // namespace accelmesh
