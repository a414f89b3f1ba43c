// Which elements a dropout drops: a number of its own for each, made of the seed and of how many were drawn before.
#pragma once

#include "server/backend/cpu/dnn/context.h"

namespace accelmesh::cpu_dnn {

// What lies in the device's memory as states. Whatever a program writes there is a seed and a position.
struct DropoutStates {
  std::uint64_t seed = 0;
  std::uint64_t position = 0;
};

// Draws for that many elements, which moves the states on: the next ones get other numbers. Without states, and of
// probability 0, all are kept.
class Drawing {
 public:
  Drawing(Context& context, const DnnDropout& dropout, i64 elements);
  bool Keeps(i64 element) const;
  // Of what is kept, so that the expected value stays.
  double scale() const { return scale_; }

 private:
  double probability_ = 0;
  double scale_ = 1;
  std::uint64_t base_ = 0;
  std::uint64_t position_ = 0;
};

// What is kept is as large as this; 0 where nothing is.
double DropoutScale(double probability);

}  // namespace accelmesh::cpu_dnn
