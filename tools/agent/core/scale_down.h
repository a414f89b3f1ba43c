// What to ask for when nothing can be had: a ladder of requests, each for less than the one before, and what stands at
// its foot.
//
// What was only predicted is always asked for in smaller steps. What the user has said is kept, unless the user lets
// the agent shrink it; memory never falls below what earlier runs have used, because they would fail with less. Pure.
// Threads: functions on values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/result.h"
#include "tools/agent/core/predict.h"

namespace accelmesh::agent {

// --when-nothing.
enum class WhenNothing : std::uint8_t {
  kFail,
  kWait,     // until something is free, or the deadline has passed
  kShrink,   // ask for less than was said, then fail
  kCommand,  // start another program instead, on this machine
};
struct NothingOption {
  WhenNothing kind = WhenNothing::kFail;
  std::string command;  // of kCommand
};
// "wait", "fail", "shrink", or a command. kInvalidArgument for an empty one.
Result<NothingOption> ParseWhenNothing(std::string_view text);

enum class RungKind : std::uint8_t { kAsk, kQueue, kCommand, kFail };

struct Rung {
  RungKind kind = RungKind::kAsk;
  Prediction prediction;     // of kAsk and kQueue
  std::string command;       // of kCommand
  std::int64_t wait_us = 0;  // of kQueue: at most; 0: as long as it takes
  Step why;
};

// At least two rungs: the first asks for what was predicted, the last is none that asks.
std::vector<Rung> LadderOf(const Prediction& prediction, const NothingOption& option);

}  // namespace accelmesh::agent
