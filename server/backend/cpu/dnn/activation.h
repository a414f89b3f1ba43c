// Activation functions: what they make of a number, and their slope where they made y of x.
#pragma once

#include <cmath>

#include "server/backend/cpu/dnn/context.h"

namespace accelmesh::cpu_dnn {

template <typename Real>
struct Sigmoid {
  Real Value(Real x) const { return 1 / (1 + std::exp(-x)); }
  Real Slope(Real /*x*/, Real y) const { return y * (1 - y); }
};
template <typename Real>
struct Relu {
  bool propagates_nan;
  Real Value(Real x) const { return x > 0 || (propagates_nan && std::isnan(x)) ? x : Real{0}; }
  Real Slope(Real x, Real /*y*/) const { return x > 0 ? Real{1} : Real{0}; }
};
template <typename Real>
struct Tanh {
  Real Value(Real x) const { return std::tanh(x); }
  Real Slope(Real /*x*/, Real y) const { return 1 - y * y; }
};
template <typename Real>
struct ClippedRelu {
  bool propagates_nan;
  Real ceiling;
  Real Value(Real x) const {
    if (std::isnan(x)) return propagates_nan ? x : Real{0};
    return x > 0 ? std::min(x, ceiling) : Real{0};
  }
  Real Slope(Real x, Real /*y*/) const { return x > 0 && x <= ceiling ? Real{1} : Real{0}; }
};
template <typename Real>
struct Elu {
  Real alpha;
  Real Value(Real x) const { return x < 0 ? alpha * std::expm1(x) : x; }
  Real Slope(Real x, Real y) const { return x < 0 ? y + alpha : Real{1}; }
};
template <typename Real>
struct Identity {
  Real Value(Real x) const { return x; }
  Real Slope(Real /*x*/, Real /*y*/) const { return 1; }
};
template <typename Real>
struct Swish {
  Real beta;
  Real Value(Real x) const { return x * Sigmoid<Real>{}.Value(beta * x); }
  Real Slope(Real x, Real /*y*/) const {
    const Real sigmoid = Sigmoid<Real>{}.Value(beta * x);
    return sigmoid + beta * x * sigmoid * (1 - sigmoid);
  }
};

// Calls `use` with the function that the words name.
template <typename Real, typename Use>
void WithActivation(Context& context, const DnnActivation& activation, Use use) {
  const bool propagates_nan = activation.propagates_nan == CUDNN_PROPAGATE_NAN;
  const Real coefficient = static_cast<Real>(activation.coefficient);
  switch (activation.mode) {
    case CUDNN_ACTIVATION_SIGMOID: return use(Sigmoid<Real>{});
    case CUDNN_ACTIVATION_RELU: return use(Relu<Real>{propagates_nan});
    case CUDNN_ACTIVATION_TANH: return use(Tanh<Real>{});
    case CUDNN_ACTIVATION_CLIPPED_RELU: return use(ClippedRelu<Real>{propagates_nan, coefficient});
    case CUDNN_ACTIVATION_ELU: return use(Elu<Real>{coefficient});
    case CUDNN_ACTIVATION_IDENTITY: return use(Identity<Real>{});
    case CUDNN_ACTIVATION_SWISH: return use(Swish<Real>{static_cast<Real>(activation.swish_beta)});
    default: context.Fail(kInvalidValue, "no activation function");
  }
}

}  // namespace accelmesh::cpu_dnn
