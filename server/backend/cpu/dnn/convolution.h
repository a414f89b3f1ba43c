// A convolution whose words have been checked, as both ways to compute one see it.
#pragma once

#include "server/backend/cpu/dnn/view.h"

namespace accelmesh::cpu_dnn {

enum class Direction { kForward = 0, kData = 1, kFilter = 2 };

// What there is of the words, in 64 bits: space has `rank` dimensions.
struct Geometry {
  int rank = 0;
  i64 groups = 1;
  Indices pads{};
  Indices strides{};
  Indices dilations{};
};

// What follows a convolution forward, or a product, and is computed with it: activation(x w + bias + what y was
// before). Not ReLU: that of oneDNN makes 0 of what is no number.
enum class Activation { kNone = 0, kTanh, kLogistic, kElu, kGelu, kGeluTanh, kSwish };
struct Following {
  const float* bias = nullptr;  // of y's channels, or columns, without gaps
  bool adds = false;
  Activation activation = Activation::kNone;
  float alpha = 0;  // of the activation
};

// Of tensors x, w, y of the types and dimensions that belong together, computes one from the other two: packed or not,
// with strides above 0. The filter is not turned around: a cross-correlation.
void ConvolveByOneDnn(Direction direction, const Geometry& geometry, const View<float>& x, const View<float>& w,
                      const View<float>& y, const Following& following = {});
// Why that would not work; null if it would.
const char* WhyNotByOneDnn(const Geometry& geometry);

// The same, plainly: for double, which oneDNN does not compute with.
void ConvolvePlainly(Direction direction, const Geometry& geometry, const View<double>& x, const View<double>& w,
                     const View<double>& y);

}  // namespace accelmesh::cpu_dnn
