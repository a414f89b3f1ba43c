// The error of a session that progress tells of: the first one, unless one that is sticky comes after one that is not.
//
// Threads: the owner's lock.
#pragma once

#include <cstdint>

namespace accelmesh {

struct FirstError {
  std::uint32_t device_status = 0;  // 0: none yet
  bool is_sticky = false;
  std::uint64_t sequence = 0;

  // Whether it is told of from now on.
  bool Note(std::uint32_t status, bool sticky, std::uint64_t at) {
    if (device_status != 0 && (!sticky || is_sticky)) return false;
    *this = {status, sticky, at};
    return true;
  }
};

}  // namespace accelmesh
