// A slot as the market knows it: a share of one device, with what was measured of that device and on what terms it is
// let.
//
// Threads: a value. A snapshot of slots is what the scheduler decides on; it changes none of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/core/measure.h"

namespace accelmesh::scheduler {

// A whole device, in the units of shares.
inline constexpr std::uint32_t kWholeMilli = 1000;

struct Slot {
  std::string id;
  std::string server;  // slots of one server have the same
  std::string zone;
  std::vector<std::string> labels;
  Tags tags;                           // of the whole device
  std::uint32_t share_milli = 0;       // of the device, that this slot sells at most
  std::uint32_t share_milli_free = 0;  // not let now
  std::uint32_t share_milli_step = 1;  // what is let is a multiple of it; share_milli: only as a whole
  std::uint64_t memory_bytes = 0;      // likewise
  std::uint64_t memory_bytes_free = 0;
  std::int64_t notice_us = 0;                    // before its owner takes it back, at least
  std::int64_t price_microcredits_per_hour = 0;  // for a whole device; a share pays its part, rounded up
  std::int64_t available_us = 0;                 // from now on; 0: without end
  bool is_draining = false;                      // keeps what is let, lets nothing more
};

}  // namespace accelmesh::scheduler
