// What the next run of a command will need: what its user says, completed by what its earlier runs did.
//
// What the user says always holds, and contradictions in it are refused. What is only predicted is soft: the agent may
// ask for less of it when it gets nothing (scale_down.h).
// Pure. Threads: functions on values.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "protocol/base/result.h"
#include "scheduler/core/request.h"
#include "tools/agent/core/explain.h"
#include "tools/agent/core/profile.h"

namespace accelmesh::agent {

// What counts when not everything can be had.
enum class Policy : std::uint8_t {
  kLatency,     // the slot that answers soonest
  kThroughput,  // the fastest slot
  kCost,        // the cheapest
  kDeadline,    // the cheapest that is done in time; dearer as the time gets short
};
std::string_view Name(Policy policy);
std::optional<Policy> FindPolicy(std::string_view name);

// A program that nobody has seen run gets so much memory: enough for a context and small data.
inline constexpr std::uint64_t kMemoryBytesUnknown = 256ULL << 20;
inline constexpr std::uint64_t kMemoryBytesLeast = 64ULL << 20;

struct Prediction {
  scheduler::FunctionalRequest request;  // passes Validate()
  std::int64_t duration_us = 0;          // how long the run is expected to take; 0: nobody knows
  std::uint64_t memory_bytes_seen = 0;   // of earlier runs, with some room; less would not do. 0: none seen
  bool is_throughput_soft = false;
  bool is_memory_soft = false;
  bool is_duration_soft = false;
  Explanation steps;  // one for each field that was looked at
};

// kInvalidArgument if what is asked contradicts itself.
Result<Prediction> Predict(const scheduler::FunctionalRequest& asked, const Profile& profile, Policy policy);

// Whether a new prediction differs so much from what a lease was won for that it is worth another one: some need has
// grown by a quarter, or all have shrunk by a fifth.
enum class Move : std::uint8_t { kKeep, kGrow, kShrink };
std::string_view Name(Move move);
struct Rebid {
  Move move = Move::kKeep;
  Step why;
};
Rebid LookAgain(const Prediction& held, const Prediction& now);

}  // namespace accelmesh::agent
