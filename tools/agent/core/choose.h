// Which slots to try, in which order, and of every slot why.
//
// Pure: the same prediction, snapshot, policy and bid give the same choice. Threads: functions on values.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "protocol/base/result.h"
#include "scheduler/core/match.h"
#include "tools/agent/core/price.h"

namespace accelmesh::agent {

inline constexpr std::size_t kTriesMax = 8;

// One slot, or as many as a gang has.
struct Try {
  std::vector<scheduler::Candidate> slots;
  std::int64_t price_microcredits_per_hour = 0;  // of all
  std::string why;                               // what made it stand where it stands
};

struct Verdict {
  std::size_t slot = 0;  // index into the snapshot
  std::size_t rank = 0;  // 1: is tried first; 0: not tried
  std::string text;
  std::vector<scheduler::Gap> gaps;  // of what would not do
};

struct Choice {
  std::vector<Try> tries;            // the best first, at most kTriesMax
  std::vector<Verdict> verdicts;     // one for each slot of the snapshot, in its order
  std::vector<scheduler::Gap> gaps;  // why there is no gang though single slots would do
  // The least that any try would cost, whatever the bid; 0 if nothing would do.
  std::int64_t posted_microcredits_per_hour = 0;
};

// What would do, without a bid: for PriceBid(). `excluded` are ids of slots that have failed us already.
Result<Choice> ChooseSlots(const Prediction& prediction, std::span<const scheduler::Slot> slots, Policy policy,
                           const std::set<std::string>& excluded);

// Takes out what is dearer than the bid, with the gap.
void KeepWithin(Choice& choice, const Bid& bid);

// "gpu-a: first, fp32 matmul ...": one line for each slot.
Explanation Explain(const Choice& choice, std::span<const scheduler::Slot> slots);

}  // namespace accelmesh::agent
