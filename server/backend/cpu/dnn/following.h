// What follows a product or a convolution, as oneDNN's attributes.
#pragma once

#include "server/backend/cpu/dnn/convolution.h"
#include "server/backend/cpu/dnn/onednn.h"

namespace accelmesh::cpu_dnn {

// With scratch memory of the caller's.
inline dnnl::primitive_attr AttributesOf(const Following& following) {
  const auto algorithm = [&following] {
    switch (following.activation) {
      case Activation::kLogistic: return dnnl::algorithm::eltwise_logistic;
      case Activation::kElu: return dnnl::algorithm::eltwise_elu;
      case Activation::kGelu: return dnnl::algorithm::eltwise_gelu_erf;
      case Activation::kGeluTanh: return dnnl::algorithm::eltwise_gelu_tanh;
      case Activation::kSwish: return dnnl::algorithm::eltwise_swish;
      default: return dnnl::algorithm::eltwise_tanh;
    }
  };
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops steps;
  if (following.adds) steps.append_sum(1);
  if (following.activation != Activation::kNone) steps.append_eltwise(1, algorithm(), following.alpha, 0);
  attributes.set_post_ops(steps);
  return attributes;
}

}  // namespace accelmesh::cpu_dnn
