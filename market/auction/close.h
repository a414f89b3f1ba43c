// When an epoch closes: its period, give or take a fifth, as the beacon says. Nobody who does not know the beacon's
// next value can bid in the last moment on purpose; whoever knows it afterwards can check that the market closed on
// time.
//
// Pure. Threads: functions on values.
#pragma once

#include <algorithm>

#include "market/auction/units.h"

namespace accelmesh::market::auction {

inline constexpr std::int64_t kJitterPpm = 200'000;
inline constexpr std::int64_t kPeriodMsMax = 24LL * 3600 * 1000;

// How long the epoch is open: from 0.8 to 1.2 of `period_ms`, both included. `beacon` is the latest that may become
// known before 0.8 of it have passed.
constexpr std::int64_t OpenMs(std::uint64_t beacon, std::uint64_t epoch, std::int64_t period_ms) {
  const std::int64_t period = std::clamp<std::int64_t>(period_ms, 0, kPeriodMsMax);
  const std::int64_t jitter = period * kJitterPpm / kWholePpm;
  const auto span = static_cast<std::uint64_t>(2 * jitter + 1);
  // The high bits times the span: even to one part in 2^32 of it.
  const std::uint64_t place = (Draw(beacon, Purpose::kClose, epoch) >> 32) * span >> 32;
  return period - jitter + static_cast<std::int64_t>(place);
}

}  // namespace accelmesh::market::auction
