// What one tenant would have gained by bidding less in one epoch, all else as it was: the epoch is cleared again.
//
// Threads: one.
#pragma once

#include <array>
#include <cstdint>

#include "market/auction/epoch.h"
#include "protocol/base/result.h"

namespace accelmesh::sim {

// The kinds of orders that are shaded, each alone: single devices where lane B was an auction, single devices at the
// surrogate price, gangs, single devices in lane C beside gangs.
inline constexpr std::size_t kOrderKinds = 4;

// (bid - price) of what `owner` wins, (price - ask) of what it sells, credits an hour; what it nets has its bid less
// its ask. `truth` holds what it is worth to the owner, `outcome` may be of other orders.
double SurplusOf(const market::auction::EpochInput& truth, const market::auction::EpochOutcome& outcome,
                 std::uint64_t owner);

class OneEpochGain {
 public:
  OneEpochGain(std::uint64_t owner, double times) : owner_(owner), times_(times) {}
  // To be called with each epoch that was cleared, all bids in it truthful.
  void See(const market::auction::EpochInput& input, const market::auction::EpochOutcome& outcome);

  double honest() const { return honest_; }  // sum over epochs
  const std::array<double, kOrderKinds>& change() const { return change_; }
  const Status& status() const { return status_; }

 private:
  const std::uint64_t owner_;
  const double times_;
  double honest_ = 0;
  std::array<double, kOrderKinds> change_{};
  Status status_;
};

}  // namespace accelmesh::sim
