// The condition of a conditional node: a word of device memory that kernels set and the session reads when a launch has
// come to the node. The program's handle is the word's address.
//
// Threads: none; a condition is not changed once it is made.
#pragma once

#include <cstdint>

namespace accelmesh {

struct GraphCondition {
  std::uint64_t handle = 0;
  std::uint32_t device = 0;
  std::uint32_t initial = 0;
  bool assigns_initial = false;  // at the beginning of each launch
  std::uint64_t life = 0;        // of the device, from one reset to the next
};

}  // namespace accelmesh
