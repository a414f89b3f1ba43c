// How long an end spins before it sleeps. One round is as long as on shm (doorbell.h). A sleep costs the peer a wake
// and this end the time to come round, which together can be longer than a round; then two ends that have once gone to
// sleep do so in every call that follows, each while the other wakes. So whoever was woken soon after it went to sleep
// spins longer the next time, and less again once what it waits for comes within the first round. Pure.
#pragma once

#include <algorithm>

#include "protocol/base/clock.h"

namespace accelmesh::rdma {

class Spins {
 public:
  static constexpr int kRoundsMax = 5;
  // What comes later than this is not worth spinning for.
  static constexpr Duration kSoon = std::chrono::microseconds(250);

  int rounds() const { return rounds_; }
  // It came while spinning, in this round, the first one being 0.
  void CameIn(int round) {
    if (round == 0) rounds_ = std::max(1, rounds_ - 1);
  }
  // It came so long after the spinning had ended.
  void CameAfter(Duration asleep) { rounds_ = asleep <= kSoon ? std::min(2 * rounds_, kRoundsMax) : 1; }

 private:
  int rounds_ = 1;
};

}  // namespace accelmesh::rdma
