// The dimensions of a tensor in two: what is gone through outside, and what is taken together inside.
#pragma once

#include "server/backend/cpu/dnn/view.h"

namespace accelmesh::cpu_dnn {

// Those of `shape` for which `is_inside` holds, with strides of any tensor of its dimensions.
template <typename IsInside>
class Split {
 public:
  Split(const Shape& shape, IsInside is_inside) : is_inside_(is_inside), rank_(shape.rank) {
    inside_ = Take(shape, true);
    outside_ = Take(shape, false);
  }
  const Shape& inside() const { return inside_; }
  const Shape& outside() const { return outside_; }
  Indices Inside(const Indices& strides) const { return Take(strides, true); }
  Indices Outside(const Indices& strides) const { return Take(strides, false); }

 private:
  Indices Take(const Indices& values, bool inside) const {
    Indices taken{};
    int count = 0;
    for (int d = 0; d < rank_; ++d) {
      if (is_inside_(d) == inside) taken[count++] = values[d];
    }
    return taken;
  }
  // At least one dimension, so that there is something to go through.
  Shape Take(const Shape& shape, bool inside) const {
    Shape taken{0, Take(shape.dims, inside), Take(shape.strides, inside)};
    for (int d = 0; d < rank_; ++d) taken.rank += is_inside_(d) == inside ? 1 : 0;
    if (taken.rank == 0) taken = {1, {1}, {0}};
    return taken;
  }

  IsInside is_inside_;
  int rank_;
  Shape inside_;
  Shape outside_;
};

}  // namespace accelmesh::cpu_dnn
