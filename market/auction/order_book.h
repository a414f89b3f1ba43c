// Standing asks of all that could be sold: idle units, running leases and shares of them, in one book. It says which of
// them an epoch may take.
//
// * Every running lease has a standing ask: its owner's, at which it gives the lease back within its notice window;
// none as
//   long as the owner posts none, and never if the lease is firm.
// * A lease is not for sale while it is younger than its minimal runtime, and after a trade not for one notice window:
// at
//   most one preemption of a lease in each, so that no chain of trades drives one around.
// * Use it or sell it: a lease that has been used less than `use_ppm_min` for `unused_ms` is for sale at the surrogate
// price
//   at most, whatever its owner asks; the owner cannot withdraw that until the lease is used again. Idle holdings of
//   more than the market would let for are hoarding, and this takes the gain out of it.
//
// A bound for the pool of attacks: the book refuses more than kOrdersMax asks.
// Pure: times are arguments, in milliseconds of one clock that does not go back (what comes late counts as now).
// Threads: one at a time for each book.
#pragma once

#include <map>
#include <optional>
#include <unordered_map>

#include "market/auction/epoch.h"

namespace accelmesh::market::auction {

// Ids from here on are the book's own: of asks that it makes itself.
inline constexpr OrderId kForcedIds = OrderId{1} << 63;

struct BookRules {
  std::uint32_t use_ppm_min = 50'000;
  std::int64_t unused_ms = 60'000;
};

struct RunningLease {
  LeaseId id = 0;  // not 0, and below kForcedIds
  PartyId holder = 0;
  ClassId slot_class = 0;
  std::int64_t units_milli = 0;
  std::int64_t started_ms = 0;
  std::int64_t min_runtime_ms = 0;
  std::int64_t notice_ms = 0;
  bool is_firm = false;  // never for sale, not even unused
  bool operator==(const RunningLease&) const = default;
};

class OrderBook {
 public:
  explicit OrderBook(BookRules rules = {}) : rules_(rules) {}

  // kInvalidArgument: it does not hold, or is there already.
  Status AddLease(const RunningLease& lease);
  // It has ended, with its ask; kNotFound.
  Status EndLease(LeaseId lease);
  // It has been made smaller, or handed on: kRelease asks go on for what is left, if the holder is the same; others
  // end.
  Status ChangeLease(LeaseId lease, PartyId holder, std::int64_t units_milli);

  // A new ask, or another instead of the one with its id or of its lease. Its owner is who signed it. kInvalidArgument:
  // it does not hold (CheckAsk; not the lease's class, units or notice); kPermissionDenied: another's lease, or a firm
  // one; kNotFound: no such lease; kLimitExceeded.
  Status Post(Ask ask);
  // kNotFound: no such ask of that owner's.
  Status Change(OrderId ask, PartyId owner, std::int64_t price_microcredits);
  Status Withdraw(OrderId ask, PartyId owner);

  // What was seen of a lease's use since the last report. kNotFound.
  Status ReportUse(LeaseId lease, std::uint32_t used_ppm, std::int64_t now_ms);

  // Reputation of a party as of now, for the asks of an epoch; 1 for whoever is not named.
  void SetReputation(PartyId party, std::uint32_t reputation_ppm) { reputations_[party] = reputation_ppm; }

  // The asks that an epoch may take now, by id. `surrogates`: of each class; a class without one has no forced asks.
  std::vector<Ask> Eligible(std::int64_t now_ms, const std::map<ClassId, std::int64_t>& surrogates) const;
  // Takes what was sold off the book: idle asks and shares become smaller, leases too, with the notice window that
  // follows. A lease of which nothing is left stays until EndLease: its holder runs on for the notice window.
  // kInternal, and nothing changed, if a trade is not of an ask that Eligible would give.
  Status Commit(const std::vector<Trade>& trades, std::int64_t now_ms);

  struct Standing {
    Ask ask;
    bool is_forced = false;  // would be for sale for at most the surrogate price
  };
  std::optional<Standing> Find(OrderId ask) const;
  const RunningLease* Lease(LeaseId lease) const;
  std::size_t asks() const { return asks_.size(); }
  std::size_t leases() const { return leases_.size(); }

 private:
  struct LeaseState {
    RunningLease lease;
    OrderId ask = 0;  // its owner's; 0: none
    bool has_ask = false;
    std::optional<std::int64_t> unused_since_ms;
    std::int64_t last_report_ms = 0;
    std::optional<std::int64_t> quiet_until_ms;  // sold: its notice window
  };
  bool IsForced(const LeaseState& state) const;
  bool IsForSale(const LeaseState& state, std::int64_t now_ms) const;
  void Remove(OrderId ask);

  BookRules rules_;
  std::map<OrderId, Ask> asks_;
  std::map<LeaseId, LeaseState> leases_;
  std::unordered_map<PartyId, std::uint32_t> reputations_;
};

}  // namespace accelmesh::market::auction
