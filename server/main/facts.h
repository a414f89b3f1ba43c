// What a supervisor says of itself, for the market and for metrics. Nothing of it is secret.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace accelmesh {

struct LeaseFacts {
  std::uint64_t device_us = 0;  // used so far
  std::uint64_t memory_bytes_high = 0;
  std::uint32_t sessions = 0;               // so far
  std::uint32_t delivered_ppm = 1'000'000;  // of its share, while it wanted it
};

struct ServerFacts {
  std::uint32_t sessions = 0;  // now
  std::uint32_t warm_workers = 0;
  std::uint64_t sessions_total = 0;
  std::uint64_t refused_total = 0;
  std::uint64_t died_total = 0;              // workers, of a signal that nobody sent
  std::uint64_t device_us = 0;               // of all that are known
  std::map<std::string, LeaseFacts> leases;  // by id; also of those that have ended lately
};

}  // namespace accelmesh
