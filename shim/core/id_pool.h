// Numbers that are given out again: the lowest that nobody ever had, or the last that came back.
//
// Threads: under its owner's lock.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace accelmesh {

class IdPool {
 public:
  explicit IdPool(std::uint32_t ids_max) : ids_max_(ids_max) {}
  // Nothing if all of them are out.
  std::optional<std::uint32_t> Take() {
    if (free_.empty()) return next_ < ids_max_ ? std::optional(next_++) : std::nullopt;
    const std::uint32_t id = free_.back();
    free_.pop_back();
    return id;
  }
  void GiveBack(std::uint32_t id) { free_.push_back(id); }

 private:
  const std::uint32_t ids_max_;
  std::uint32_t next_ = 0;
  std::vector<std::uint32_t> free_;
};

}  // namespace accelmesh
