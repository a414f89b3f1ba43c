#include "tools/mesh_sim/market/pool.h"

#include <algorithm>

namespace accelmesh::sim {

std::uint32_t Pool::whole_free() const {
  const auto whole = by_free_.find(1000);
  return whole == by_free_.end() ? 0 : static_cast<std::uint32_t>(whole->second.size());
}

bool Pool::Fits(std::uint32_t devices, std::uint32_t share_milli) const {
  if (share_milli >= 1000) return whole_free() >= devices;
  return by_free_.lower_bound(share_milli) != by_free_.end();
}

std::optional<std::uint32_t> Pool::Take(std::uint32_t devices, std::uint32_t share_milli) {
  if (!Fits(devices, share_milli)) return std::nullopt;
  free_milli_ -= std::uint64_t{devices} * share_milli;
  const auto from = by_free_.lower_bound(share_milli >= 1000 ? 1000 : share_milli);
  if (share_milli >= 1000) {
    let_.insert(let_.end(), from->second.end() - devices, from->second.end());
    from->second.resize(from->second.size() - devices);
    if (from->second.empty()) by_free_.erase(from);
    return 0;
  }
  const std::uint32_t device = from->second.back();
  const std::uint32_t rest = from->first - share_milli;
  from->second.pop_back();
  if (from->second.empty()) by_free_.erase(from);
  by_free_[rest].push_back(device);
  return device;
}

void Pool::Give(std::uint32_t devices, std::uint32_t share_milli, std::uint32_t device) {
  free_milli_ += std::uint64_t{devices} * share_milli;
  if (share_milli >= 1000) {
    // Whole devices of a class are alike: any that are let come back.
    std::vector<std::uint32_t>& whole = by_free_[1000];
    whole.insert(whole.end(), let_.end() - devices, let_.end());
    let_.resize(let_.size() - devices);
    return;
  }
  for (auto at = by_free_.begin(); at != by_free_.end(); ++at) {
    const auto place = std::find(at->second.begin(), at->second.end(), device);
    if (place == at->second.end()) continue;
    const std::uint32_t free = at->first + share_milli;
    at->second.erase(place);
    if (at->second.empty()) by_free_.erase(at);
    by_free_[free].push_back(device);
    return;
  }
}

}  // namespace accelmesh::sim
