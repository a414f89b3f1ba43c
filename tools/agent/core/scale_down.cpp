#include "tools/agent/core/scale_down.h"

#include <algorithm>
#include <cmath>

#include "scheduler/core/quantity.h"
#include "scheduler/core/request_text.h"

namespace accelmesh::agent {
namespace {

using scheduler::FunctionalRequest;

constexpr int kHalvingsMax = 4;
constexpr std::size_t kCommandBytesMax = 4096;

// Throughput and bandwidth divided by `divisor`, memory as small as may be.
FunctionalRequest Less(const Prediction& prediction, double divisor, bool may_shrink_all) {
  FunctionalRequest less = prediction.request;
  if (prediction.is_throughput_soft || may_shrink_all) {
    for (scheduler::ThroughputDemand& demand : less.throughput)
      demand.operations_per_s = std::max(scheduler::kRateLeast, std::ceil(demand.operations_per_s / divisor));
  }
  if (may_shrink_all && less.memory_bytes_per_s > 0)
    less.memory_bytes_per_s = std::max(scheduler::kRateLeast, std::ceil(less.memory_bytes_per_s / divisor));
  if (may_shrink_all && !prediction.is_memory_soft && prediction.memory_bytes_seen != 0)
    less.memory_bytes = std::min(less.memory_bytes, prediction.memory_bytes_seen);
  // What nobody has measured or said may be guessed smaller, too.
  if (prediction.is_memory_soft && prediction.memory_bytes_seen == 0)
    less.memory_bytes = std::min(less.memory_bytes, kMemoryBytesLeast);
  return less;
}

Rung Ask(const Prediction& prediction, const std::string& text) {
  Rung rung;
  rung.prediction = prediction;
  const std::string request = scheduler::ToText(prediction.request);
  rung.why = {"request", text + ": " + request, {{"request", request}}};
  return rung;
}

Rung Foot(const Prediction& prediction, const NothingOption& option) {
  Rung rung;
  switch (option.kind) {
    case WhenNothing::kWait:
      rung.kind = RungKind::kQueue;
      rung.prediction = prediction;
      // What starts later than this is not done in time, whatever it gets.
      if (prediction.request.deadline_us != 0)
        rung.wait_us = std::max<std::int64_t>(1, prediction.request.deadline_us - prediction.duration_us);
      rung.why = {"scale-down",
                  "waits in the market's queue for what was asked first" +
                      (rung.wait_us == 0
                           ? std::string(", as long as it takes")
                           : ", for " + scheduler::ReadableDuration(static_cast<double>(rung.wait_us)) + " at most"),
                  {{"when_nothing", "wait"}}};
      return rung;
    case WhenNothing::kCommand:
      rung.kind = RungKind::kCommand;
      rung.command = option.command;
      rung.why = {"scale-down", "starts instead, on this machine: " + option.command, {{"when_nothing", "command"}}};
      return rung;
    case WhenNothing::kFail:
    case WhenNothing::kShrink: break;
  }
  rung.kind = RungKind::kFail;
  rung.why = {"scale-down",
              option.kind == WhenNothing::kShrink
                  ? "gives up: nothing smaller is worth asking for"
                  : "gives up; say --when-nothing wait, shrink or a command to have it do something else",
              {{"when_nothing", option.kind == WhenNothing::kShrink ? "shrink" : "fail"}}};
  return rung;
}

}  // namespace

Result<NothingOption> ParseWhenNothing(std::string_view text) {
  NothingOption option;
  if (text == "fail") return option;
  option.kind = WhenNothing::kWait;
  if (text == "wait") return option;
  option.kind = WhenNothing::kShrink;
  if (text == "shrink") return option;
  if (text.find_first_not_of(" \t\n") == std::string_view::npos || text.size() > kCommandBytesMax) {
    return Status(Code::kInvalidArgument, "ParseWhenNothing",
                  "is none; write wait, fail, shrink, or a command for this machine's shell of up to 4096 characters");
  }
  option.kind = WhenNothing::kCommand;
  option.command = text;
  return option;
}

std::vector<Rung> LadderOf(const Prediction& prediction, const NothingOption& option) {
  std::vector<Rung> ladder = {Ask(prediction, "asks for")};
  const bool may_shrink_all = option.kind == WhenNothing::kShrink;
  for (int halving = 0; halving <= kHalvingsMax; ++halving) {
    Prediction less = prediction;
    // First only what costs nothing to leave out.
    less.request = Less(prediction, std::ldexp(1.0, halving), may_shrink_all);
    if (less.request == ladder.back().prediction.request) continue;
    ladder.push_back(Ask(less, halving == 0 ? "asks for less memory" : "asks for 1/" + std::to_string(1 << halving)));
  }
  ladder.push_back(Foot(prediction, option));
  return ladder;
}

}  // namespace accelmesh::agent
