// A functional request: what an application needs of an accelerator, without naming one.
//
// Throughput, bandwidth, latency and memory are what each of `count` slots must give; budget and price are for all of
// them together. A field of 0 (or an empty one) asks for nothing.
// Threads: a value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/base/result.h"
#include "scheduler/core/measure.h"

namespace accelmesh::scheduler {

// A request comes from other people's programs: so much of it is read, no more.
inline constexpr std::size_t kDemandsMax = kOperations * kNumberTypes;
inline constexpr std::size_t kLabelsMax = 16;
inline constexpr std::size_t kNameBytesMax = 64;
inline constexpr std::uint32_t kSlotsAskedMax = 4096;

struct ThroughputDemand {
  Operation operation = Operation::kMatmul;
  NumberType type = NumberType::kFp32;
  double operations_per_s = 0;
  bool operator==(const ThroughputDemand&) const = default;
};

// Where the slots of a gang lie with respect to one another.
enum class Topology : std::uint8_t {
  kAny = 0,
  kServer = 1,  // all on one server
  kZone = 2,    // all in one zone, whichever
  kSpread = 3,  // each on a server of its own
};
std::string_view Name(Topology topology);

struct FunctionalRequest {
  std::vector<ThroughputDemand> throughput;  // at most one for each operation and type
  double memory_bytes_per_s = 0;
  std::uint64_t memory_bytes = 0;
  std::int64_t latency_us = 0;  // of one launch and the answer to it, at most
  std::uint32_t count = 1;
  Topology topology = Topology::kAny;
  std::string zone;
  std::vector<std::string> labels;  // a slot must carry all of them
  std::int64_t duration_us = 0;     // how long the slots are wanted; 0: until given back, a lease at a time
  std::int64_t deadline_us = 0;     // from the moment of asking until the work must be done
  std::int64_t notice_us = 0;       // before a slot is taken back, at least
  std::int64_t budget_microcredits = 0;
  std::int64_t price_microcredits_per_hour = 0;  // at most, for all slots together

  bool operator==(const FunctionalRequest&) const = default;
};

// kInvalidArgument with the field and the remedy if the request contradicts itself or is past a bound above.
Status Validate(const FunctionalRequest& request);

// Whether a zone, a label or an id is one to 64 letters, digits, '-', '_', '.', '=' or ':'.
bool IsName(std::string_view text);

}  // namespace accelmesh::scheduler
