// When a peer counts as gone. A connection that nobody uses tells nothing, and a device that retries for ever
// (Soft-RoCE does so at a retry count of 7) never says that its peer has vanished. So whoever waits asks: every kBeat
// it reads a few bytes of the peer's memory, which the peer's device answers without its program; if that takes longer
// than kPatience, the peer is gone. Together they are below a second. Pure: time is an argument.
#pragma once

#include <optional>

#include "protocol/base/clock.h"

namespace accelmesh::rdma {

class Heart {
 public:
  static constexpr Duration kBeat = std::chrono::milliseconds(150);
  static constexpr Duration kPatience = std::chrono::milliseconds(750);

  // Whether to ask: nothing is under way, and the last answer is old.
  bool IsDue(Instant now) const { return !asked_at_.has_value() && now - heard_at_ >= kBeat; }
  bool IsAsking() const { return asked_at_.has_value(); }
  void Asked(Instant now) {
    if (!asked_at_.has_value()) asked_at_ = now;
  }
  void Heard(Instant now) {
    asked_at_.reset();
    heard_at_ = now;
  }
  bool IsDead(Instant now) const { return asked_at_.has_value() && now - *asked_at_ >= kPatience; }

 private:
  std::optional<Instant> asked_at_;
  Instant heard_at_{};
};

}  // namespace accelmesh::rdma
