// Schedule: a market of several replicas on a simulated store, its tenants, servers and an admin, under faults that one
// seed decides: replicas crash and pause, the network between any two is cut, loses and repeats messages, the store
// crashes and pauses, clocks jump. The same seed gives the same history.
//
// What is checked: at every revision of the registry what the Observer checks; at every server that the leases it
// accepts keep within their slots; at the end, when all faults have ended, that the market serves again, and that what
// tenants were told is so: no acknowledged grant, renewal, release or deposit is lost or counted twice.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace accelmesh::market {

struct ScheduleOptions {
  std::uint64_t seed = 1;
  // Mistakes that a market could make, to see that the check notices.
  enum class Mistake : std::uint8_t {
    kNone,
    kNoCompares,       // the registry takes every transaction: two leaders overwrite each other
    kAnswersTooEarly,  // the store acknowledges before its disk has it
  };
  Mistake mistake = Mistake::kNone;
};

struct ScheduleResult {
  std::vector<std::string> faults;
  std::uint64_t grants = 0;  // acknowledged
  std::uint64_t operations = 0;
  std::uint64_t trades = 0;    // leases that were bought, of those that were seen
  std::uint64_t receipts = 0;  // that both sides have signed, of leases that were seen
  std::uint64_t refunds = 0;
  std::uint64_t gone = 0;  // servers that did not come back, and whose bonds were due
  std::uint64_t elections = 0;
  std::uint64_t resyncs = 0;
  std::uint64_t revisions = 0;
  std::string history;  // a digest of all answers: the same seed, the same digest
};

ScheduleResult RunSchedule(const ScheduleOptions& options);

}  // namespace accelmesh::market
