// Pointwise operations of graphs: a function of one, two or three numbers each.
#include <cmath>
#include <limits>
#include <numbers>

#include "server/backend/cpu/dnn/graph_operations.h"

namespace accelmesh::cpu_dnn {
namespace {

template <typename Real>
struct Settings {
  Real low = 0, high = 0, slope = 0, elu = 1, softplus = 1, swish = 1;
};

template <typename Real>
Real Logistic(Real x) {
  return 1 / (1 + std::exp(-x));
}
template <typename Real>
Real NormalBelow(Real x) {
  return (1 + std::erf(x / std::numbers::sqrt2_v<Real>)) / 2;
}
// Of the approximation of GELU: what the tangent is taken of, and its slope.
template <typename Real>
Real GeluInner(Real x) {
  return std::sqrt(2 / std::numbers::pi_v<Real>) * (x + Real(0.044715) * x * x * x);
}
template <typename Real>
Real GeluInnerSlope(Real x) {
  return std::sqrt(2 / std::numbers::pi_v<Real>) * (1 + 3 * Real(0.044715) * x * x);
}

// Of x, b and t; of a way back the slope at x, which dy is multiplied by.
template <typename Real>
using Function3 = Real (*)(Real x, Real b, Real t, const Settings<Real>& s);

#define FUNCTION(mode, value)                                            \
  case CUDNN_POINTWISE_##mode:                                           \
    return [](Real x, Real b, Real t, const Settings<Real>& s) -> Real { \
      (void)x, (void)b, (void)t, (void)s;                                \
      return value;                                                      \
    };

template <typename Real>
Function3<Real> FindFunction(i64 mode) {
  switch (mode) {
    FUNCTION(ADD, x + b)
    FUNCTION(ADD_SQUARE, x + b * b)
    FUNCTION(DIV, x / b)
    FUNCTION(MAX, x > b || std::isnan(x) ? x : b)
    FUNCTION(MIN, x < b || std::isnan(x) ? x : b)
    FUNCTION(MOD, std::fmod(x, b))
    FUNCTION(MUL, x * b)
    FUNCTION(POW, std::pow(x, b))
    FUNCTION(SUB, x - b)
    FUNCTION(ABS, std::abs(x))
    FUNCTION(CEIL, std::ceil(x))
    FUNCTION(COS, std::cos(x))
    FUNCTION(EXP, std::exp(x))
    FUNCTION(FLOOR, std::floor(x))
    FUNCTION(LOG, std::log(x))
    FUNCTION(NEG, -x)
    FUNCTION(RSQRT, 1 / std::sqrt(x))
    FUNCTION(SIN, std::sin(x))
    FUNCTION(SQRT, std::sqrt(x))
    FUNCTION(TAN, std::tan(x))
    FUNCTION(ERF, std::erf(x))
    FUNCTION(IDENTITY, x)
    FUNCTION(RECIPROCAL, 1 / x)
    FUNCTION(ATAN2, std::atan2(x, b))
    FUNCTION(RELU_FWD, x > s.high ? s.high : x < s.low ? s.low + s.slope * (x - s.low) : x)
    FUNCTION(TANH_FWD, std::tanh(x))
    FUNCTION(SIGMOID_FWD, Logistic(x))
    FUNCTION(ELU_FWD, x < 0 ? s.elu * std::expm1(x) : x)
    FUNCTION(GELU_FWD, x * NormalBelow(x))
    FUNCTION(SOFTPLUS_FWD,
             (std::max(s.softplus * x, Real{0}) + std::log1p(std::exp(-std::abs(s.softplus * x)))) / s.softplus)
    FUNCTION(SWISH_FWD, x * Logistic(s.swish * x))
    FUNCTION(GELU_APPROX_TANH_FWD, x / 2 * (1 + std::tanh(GeluInner(x))))
    FUNCTION(RELU_BWD, x > s.high ? 0 : x > s.low ? 1 : s.slope)
    FUNCTION(TANH_BWD, 1 - std::tanh(x) * std::tanh(x))
    FUNCTION(SIGMOID_BWD, Logistic(x) * (1 - Logistic(x)))
    FUNCTION(ELU_BWD, x < 0 ? s.elu * std::exp(x) : 1)
    FUNCTION(GELU_BWD, NormalBelow(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi_v<Real>))
    FUNCTION(SOFTPLUS_BWD, Logistic(s.softplus * x))
    FUNCTION(SWISH_BWD, Logistic(s.swish * x) * (1 + s.swish * x * (1 - Logistic(s.swish * x))))
    FUNCTION(GELU_APPROX_TANH_BWD,
             (1 + std::tanh(GeluInner(x))) / 2 +
                 x / 2 * (1 - std::tanh(GeluInner(x)) * std::tanh(GeluInner(x))) * GeluInnerSlope(x))
    FUNCTION(CMP_EQ, x == b)
    FUNCTION(CMP_NEQ, x != b)
    FUNCTION(CMP_GT, x > b)
    FUNCTION(CMP_GE, x >= b)
    FUNCTION(CMP_LT, x < b)
    FUNCTION(CMP_LE, x <= b)
    FUNCTION(LOGICAL_AND, x != 0 && b != 0)
    FUNCTION(LOGICAL_OR, x != 0 || b != 0)
    FUNCTION(LOGICAL_NOT, x == 0)
    FUNCTION(BINARY_SELECT, t != 0 ? x : b)
    default: return nullptr;
  }
}
#undef FUNCTION

bool IsBackward(i64 mode) { return mode >= CUDNN_POINTWISE_RELU_BWD && mode <= CUDNN_POINTWISE_GELU_APPROX_TANH_BWD; }
bool TakesTwo(i64 mode) {
  switch (mode) {
    case CUDNN_POINTWISE_ADD:
    case CUDNN_POINTWISE_ADD_SQUARE:
    case CUDNN_POINTWISE_DIV:
    case CUDNN_POINTWISE_MAX:
    case CUDNN_POINTWISE_MIN:
    case CUDNN_POINTWISE_MOD:
    case CUDNN_POINTWISE_MUL:
    case CUDNN_POINTWISE_POW:
    case CUDNN_POINTWISE_SUB:
    case CUDNN_POINTWISE_ATAN2:
    case CUDNN_POINTWISE_LOGICAL_AND:
    case CUDNN_POINTWISE_LOGICAL_OR:
    case CUDNN_POINTWISE_BINARY_SELECT: return true;
    default: return mode >= CUDNN_POINTWISE_CMP_EQ && mode <= CUDNN_POINTWISE_CMP_LE;
  }
}

template <typename Real>
Settings<Real> ReadSettings(const DnnPlanDescriptor& pointwise) {
  const auto read = [&pointwise](int name, double otherwise) {
    return static_cast<Real>(RealOf(pointwise.Find(name), otherwise));
  };
  return {read(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, 0),
          read(CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, std::numeric_limits<Real>::infinity()),
          read(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, 0),
          read(CUDNN_ATTR_POINTWISE_ELU_ALPHA, 1),
          read(CUDNN_ATTR_POINTWISE_SOFTPLUS_BETA, 1),
          read(CUDNN_ATTR_POINTWISE_SWISH_BETA, 1)};
}

const char* CheckPointwise(const Graph& graph, const DnnPlanDescriptor& operation) {
  const DnnPlanDescriptor& pointwise = Refers(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
  const i64 mode = NumberOf(pointwise, CUDNN_ATTR_POINTWISE_MODE, -1);
  const auto has = [&operation](int name) { return !operation.Find(name).empty(); };
  if (mode != CUDNN_POINTWISE_GEN_INDEX && FindFunction<float>(mode) == nullptr)
    return "a pointwise mode that the software GPU does not know";
  if (!has(CUDNN_ATTR_OPERATION_POINTWISE_XDESC)) return "a pointwise operation without x";
  if (IsBackward(mode)) {
    return has(CUDNN_ATTR_OPERATION_POINTWISE_DYDESC) && has(CUDNN_ATTR_OPERATION_POINTWISE_DXDESC)
               ? nullptr
               : "a pointwise operation backward without dy or dx";
  }
  if (!has(CUDNN_ATTR_OPERATION_POINTWISE_YDESC)) return "a pointwise operation without y";
  if (TakesTwo(mode) && !has(CUDNN_ATTR_OPERATION_POINTWISE_BDESC)) return "a pointwise operation without b";
  if (mode == CUDNN_POINTWISE_BINARY_SELECT && !has(CUDNN_ATTR_OPERATION_POINTWISE_TDESC))
    return "a selection without t";
  return nullptr;
}

template <typename Real>
void RunPointwise(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  const DnnPlanDescriptor& pointwise = run.Refers(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
  const i64 mode = pointwise.Find(CUDNN_ATTR_POINTWISE_MODE)[0];
  const bool is_backward = IsBackward(mode);
  const int result = is_backward ? CUDNN_ATTR_OPERATION_POINTWISE_DXDESC : CUDNN_ATTR_OPERATION_POINTWISE_YDESC;
  const View<Real> y = run.Out(operation, result);
  if (run.context().failed()) return;
  if (mode == CUDNN_POINTWISE_GEN_INDEX) {
    const auto axis_words = pointwise.Find(CUDNN_ATTR_POINTWISE_AXIS);
    const i64 axis = axis_words.empty() ? -1 : axis_words[0];
    if (axis < 0 || axis >= y.shape.rank) return run.context().Fail(kInvalidValue, "an index of no axis");
    Indices index{};
    index[static_cast<std::size_t>(axis)] = 1;
    Walk<2>(y.shape, {y.shape.strides, index}, [&](const Offsets<2>& at) { y.data[at[0]] = static_cast<Real>(at[1]); });
    return run.Commit(operation, result, y);
  }
  // x, and what else there is; of what is not there x again, which nobody looks at.
  const View<Real> x = run.In(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC);
  const auto other = [&](int name, bool is_used) { return is_used ? run.In(operation, name) : x; };
  const View<Real> b = is_backward ? run.In(operation, CUDNN_ATTR_OPERATION_POINTWISE_DYDESC)
                                   : other(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, TakesTwo(mode));
  const View<Real> t = other(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, mode == CUDNN_POINTWISE_BINARY_SELECT);
  Indices x_strides{}, b_strides{}, t_strides{};
  run.context().Require(Broadcast(x.shape, y.shape, &x_strides) && Broadcast(b.shape, y.shape, &b_strides) &&
                            Broadcast(t.shape, y.shape, &t_strides),
                        "operands of other dimensions than the result");
  if (run.context().failed()) return;
  const Settings<Real> settings = ReadSettings<Real>(pointwise);
  const Function3<Real> function = FindFunction<Real>(mode);
  const Real alpha1 = static_cast<Real>(RealOf(operation.Find(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1), 1)),
             alpha2 = static_cast<Real>(RealOf(operation.Find(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2), 1));
  Walk<4>(y.shape, {x_strides, b_strides, t_strides, y.shape.strides}, [&](const Offsets<4>& at) {
    const Real second = alpha2 * b.data[at[1]];
    const Real value = function(alpha1 * x.data[at[0]], second, t.data[at[2]], settings);
    y.data[at[3]] = is_backward ? second * value : value;
  });
  run.Commit(operation, result, y);
}

}  // namespace

void AddPointwise(std::vector<OperationRow>* rows) {
  rows->push_back({.type = CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
                   .description_name = CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
                   .description_type = CUDNN_BACKEND_POINTWISE_DESCRIPTOR,
                   .required = {},
                   .optional = {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                                CUDNN_ATTR_OPERATION_POINTWISE_TDESC, CUDNN_ATTR_OPERATION_POINTWISE_DYDESC,
                                CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2},
                   .made = {CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_ATTR_OPERATION_POINTWISE_DXDESC},
                   .numbers = {CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2},
                   .places = {},
                   .needs_first = false,
                   .check = &CheckPointwise,
                   .run_float = &RunPointwise<float>,
                   .run_double = &RunPointwise<double>});
}

}  // namespace accelmesh::cpu_dnn
