// Grants: a functional request, a book and the time in; leases out, or why there are none.
//
// A lease's id follows from the tenant and its operation id, so that the same request asked again finds what it got the
// first time, and can never get it twice. Pure. Threads: functions on values.
#pragma once

#include "market/core/book.h"
#include "market/core/market_clock.h"
#include "scheduler/core/plan.h"

namespace accelmesh::market {

// Active leases of one tenant at a time.
inline constexpr std::size_t kLeasesPerTenantMax = 4096;

struct GrantRequest {
  std::string tenant;
  std::string operation;  // hexadecimal
  scheduler::FunctionalRequest request;
  std::string request_text;
  std::vector<std::string> slots;  // only these, in this order of preference; none: all
  std::int64_t price_max = 0;      // for all slots together, an hour; 0: as the request says
  std::int64_t lease_ms = 0;       // at most kLeaseLifeMsMax; 0: that
  std::string holder_key;
  std::string next_key;
};

struct SlotRejection {
  std::string slot;
  std::vector<scheduler::Gap> gaps;
};

struct Chosen {
  std::string slot;
  scheduler::Candidate candidate;
};
// What would be granted now, without taking it.
struct Choice {
  std::vector<Chosen> chosen;  // `count` of them, or none
  std::vector<Chosen> others;  // would do as well; at most kOthersMax
  std::vector<SlotRejection> rejections;
  std::vector<scheduler::Gap> gaps;
};
inline constexpr std::size_t kOthersMax = 64;
inline constexpr std::size_t kRejectionsMax = 128;

struct GrantOutcome {
  Decision decision;
  std::vector<std::string> leases;  // granted; none: why not
  std::vector<SlotRejection> rejections;
  std::vector<scheduler::Gap> gaps;
  bool is_repeated = false;  // granted before; nothing is written
};

// `draw` decides where among many slots it begins to look. kInvalidArgument if the request does not hold.
Result<Choice> Choose(const Book& book, const GrantRequest& request, const scheduler::Fragmentation& workload,
                      std::uint64_t draw, std::size_t others_max = kOthersMax);

// kPermissionDenied: the tenant may not; kLimitExceeded: its credits or its number of leases do not suffice.
Result<GrantOutcome> DecideGrant(const Book& book, const GrantRequest& request,
                                 const scheduler::Fragmentation& workload, const Moment& moment, std::uint64_t draw);

std::string LeaseIdOf(const std::string& tenant, const std::string& operation, std::size_t index);

}  // namespace accelmesh::market
