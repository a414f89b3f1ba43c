// Devices of one class: which are free, and which shares of them.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace accelmesh::sim {

class Pool {
 public:
  explicit Pool(std::uint32_t devices) : capacity_milli_(std::uint64_t{devices} * 1000), free_milli_(capacity_milli_) {
    if (devices > 0) by_free_[1000].resize(devices);
    for (std::uint32_t i = 0; i < devices; ++i) by_free_[1000][i] = devices - 1 - i;
  }

  std::uint64_t capacity_milli() const { return capacity_milli_; }
  std::uint64_t free_milli() const { return free_milli_; }
  std::uint32_t whole_free() const;

  // Calls `each` with the free share of every device that has one, and how many devices have just that.
  template <typename Each>
  void ForEachFree(const Each& each) const {
    for (const auto& [share, devices] : by_free_) {
      if (share > 0) each(share, devices.size());
    }
  }
  bool Fits(std::uint32_t devices, std::uint32_t share_milli) const;
  // The device that a share was taken of (0 for whole ones, which need no name); nothing taken if it does not fit.
  // A share goes to the device with the least room that is enough.
  std::optional<std::uint32_t> Take(std::uint32_t devices, std::uint32_t share_milli);
  void Give(std::uint32_t devices, std::uint32_t share_milli, std::uint32_t device);

 private:
  std::uint64_t capacity_milli_;
  std::uint64_t free_milli_;
  std::map<std::uint32_t, std::vector<std::uint32_t>> by_free_;  // free share to devices; the last is taken first
  std::vector<std::uint32_t> let_;                               // their numbers, in order of letting
};

}  // namespace accelmesh::sim
