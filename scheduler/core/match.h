// Which slots could serve a request, with how much of each; and for every other one what stands in the way, by how
// much, and what would make it fit.
//
// Pure. The share of a slot is the largest that any demand asks for: asked / lower bound of what was measured, so that
// a tenant gets what it asked for even where the slot is at the poor end of its measurement. A latency is held against
// the upper bounds. A slot that has not measured something cannot promise it. Threads: functions on values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "scheduler/core/request.h"
#include "scheduler/core/slot.h"

namespace accelmesh::scheduler {

enum class Dimension : std::uint8_t {
  kThroughput,
  kBandwidth,
  kMemory,
  kLatency,
  kShare,  // the device could, but not enough of it is free or sold
  kZone,
  kLabel,
  kNotice,
  kDuration,
  kPrice,
  kDraining,
  kCount,     // of all slots together
  kTopology,  // likewise
};
std::string_view Name(Dimension dimension);

struct Gap {
  Dimension dimension = Dimension::kShare;
  std::string text;    // "memory 6 GiB of 8 GiB": what there is, of what was asked
  std::string remedy;  // what would make it fit
};

struct Candidate {
  std::size_t slot = 0;  // index into the snapshot
  std::uint32_t share_milli = 0;
  std::uint64_t memory_bytes = 0;
  std::int64_t price_microcredits_per_hour = 0;
  std::string why;  // which demand decided the share: "fp32 matmul 0.05 TOPS of at least 0.2 TOPS: 250 of 1000"
};

struct Rejection {
  std::size_t slot = 0;
  std::vector<Gap> gaps;  // every one, not the first only: a request is changed once
};

struct Match {
  std::vector<Candidate> candidates;  // in the order of the snapshot
  std::vector<Rejection> rejections;
};

// Precondition: Validate(request).ok(). Every slot is in one of the two lists.
Match FindCandidates(const FunctionalRequest& request, std::span<const Slot> slots);
// The same of slots that lie anywhere, `Candidate.why` left out: putting it into words is most of the work, and of many
// candidates few are taken.
Match FindCandidates(const FunctionalRequest& request, std::span<const Slot* const> slots);
// `Candidate.why` of a slot that is a candidate.
std::string WhyOf(const FunctionalRequest& request, const Slot& slot);

// What one slot's price may be at most, an hour, so that all of them keep within price and budget; -1 without bound.
std::int64_t PriceMaxPerSlot(const FunctionalRequest& request);

}  // namespace accelmesh::scheduler
