// LeaseLimits: what the market has said of leases since it signed their tokens: that they have ended, or were made
// smaller. A token lasts for minutes and its holder may come with it for the first time after that; so it is kept here
// for as long as such a token can last, whether or not anybody has come.
//
// Threads: none; the supervisor's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "protocol/security/lease_token.h"

namespace accelmesh {

class LeaseLimits {
 public:
  // More than end on one server within a token's life; past it the oldest go.
  static constexpr std::size_t kLimitsMax = 65536;

  struct Limit {
    std::uint64_t epoch = ~std::uint64_t{0};  // a later grant under the same name is another one
    std::uint32_t share_milli = 0;            // 0: it has ended
    std::uint64_t memory_bytes = 0;
    std::string why;
  };

  void Add(const std::string& lease, Limit limit) {
    const auto [at, is_new] = limits_.try_emplace(lease);
    Kept& kept = at->second;
    if (is_new || limit.epoch > kept.limit.epoch) {
      kept.limit = std::move(limit);
    } else if (limit.epoch == kept.limit.epoch) {
      if (limit.share_milli == 0 && kept.limit.share_milli != 0) kept.limit.why = std::move(limit.why);
      kept.limit.share_milli = std::min(kept.limit.share_milli, limit.share_milli);
      kept.limit.memory_bytes = std::min(kept.limit.memory_bytes, limit.memory_bytes);
    }
    // Said again before it has a date, it needs no second one: tokens that say so may come as often as anybody likes.
    if (!kept.is_undated) {
      kept.is_undated = true;
      ++kept.dates;
      undated_.push_back(lease);
    }
    while (limits_.size() > kLimitsMax && !dated_.empty()) DropFirst();
  }

  // Nothing if nothing was said of it.
  const Limit* Find(const std::string& lease, std::uint64_t epoch) const {
    const auto at = limits_.find(lease);
    return at == limits_.end() || epoch > at->second.limit.epoch ? nullptr : &at->second.limit;
  }

  std::size_t dates() const { return dated_.size() + undated_.size(); }
  // Call it now and then: what no token of before can need any more goes.
  void Forget(std::int64_t now_ms) {
    for (std::string& lease : undated_) {
      if (const auto at = limits_.find(lease); at != limits_.end()) at->second.is_undated = false;
      dated_.emplace_back(now_ms + security::kLeaseLifeMsMax, std::move(lease));
    }
    undated_.clear();
    while (!dated_.empty() && dated_.front().first < now_ms) DropFirst();
  }

 private:
  struct Kept {
    Limit limit;
    std::size_t dates = 0;  // it goes with the last of them
    bool is_undated = false;
  };
  void DropFirst() {
    const auto at = limits_.find(dated_.front().second);
    if (--at->second.dates == 0) limits_.erase(at);
    dated_.pop_front();
  }

  std::map<std::string, Kept> limits_;
  std::vector<std::string> undated_;
  std::deque<std::pair<std::int64_t, std::string>> dated_;
};

}  // namespace accelmesh
