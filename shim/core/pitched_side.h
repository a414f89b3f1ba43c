// One side of a pitched copy.
#pragma once

#include <cstdint>

namespace accelmesh {

struct PitchedSide {
  std::uint64_t address = 0;  // host or device
  std::uint64_t pitch = 0;
  std::uint64_t slice = 0;
  bool is_device = false;
};

}  // namespace accelmesh
