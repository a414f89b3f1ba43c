// Runs a program on the reference and on tiers, and makes a program that differs small.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tests/differential/device.h"
#include "tests/differential/program.h"
#include "tests/differential/reference.h"

namespace accelmesh::differential {

struct Difference {
  Tier tier = Tier::k0;
  std::string text;  // which thread's register, or which memory, and both values; or why it did not run
};
struct Comparison {
  std::optional<Difference> difference;
  bool too_large = false;  // for the compiler
};
Comparison Compare(const Program& program, const std::vector<Tier>& tiers, Device& device,
                   const ReferenceOptions& options = {});

// The first difference of two memories of the program, in words.
std::string Describe(const Program& program, const Bytes& expected, const Bytes& got);

// Leaves out of `program` whatever it can, while `differs` holds of what is left.
Program Shrink(Program program, const std::function<bool(const Program&)>& differs);

}  // namespace accelmesh::differential
