// Money after an epoch, in double entry: every entry takes from one account what it gives to another, so the sum over
// all accounts is zero, whatever happens. What came in from outside stands there as negative.
//
// A deal is a trade for a time. The buyer's money for all of it goes into escrow first; as time passes, what is due
// goes to the seller (and the pool), and what was not delivered back to the buyer. What is due up to a moment is
// rounded up from the beginning, not step by step: however often a deal is settled, the same is paid in the end, to the
// microcredit.
//
// Bonds: a seller's, from which who was promised more than was delivered is paid a penalty; a bidder's, which goes to
// the pool if it bids and does not take.
//
// Pure. Threads: one at a time for each Accounts; functions on values.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "market/auction/epoch.h"

namespace accelmesh::market::auction {

enum class AccountKind : std::uint8_t { kBalance = 0, kEscrow = 1, kBond = 2, kPool = 3, kOutside = 4 };
struct Account {
  AccountKind kind = AccountKind::kBalance;
  PartyId party = 0;  // 0 of the pool and of outside
  auto operator<=>(const Account&) const = default;
};

enum class EntryWhy : std::uint8_t {
  kDeposit = 0,   // from outside
  kWithdraw = 1,  // to outside
  kHold = 2,      // balance to escrow
  kPay = 3,       // escrow to the seller's balance
  kSurplus = 4,   // escrow to the pool
  kRefund = 5,    // escrow back: not delivered, or not used
  kBond = 6,      // balance to bond
  kUnbond = 7,    // bond to balance
  kPenalty = 8,   // bond to whom it was promised, or the pool
  kGrant = 9,     // pool or balance to balance: recurring budgets
};
struct Entry {
  std::uint64_t epoch = 0;
  EntryWhy why = EntryWhy::kDeposit;
  Account from;
  Account to;
  std::int64_t amount_microcredits = 0;  // more than 0
  OrderId ask = 0;
  OrderId bid = 0;
  bool operator==(const Entry&) const = default;
};

// No account holds more, so that no sum overflows.
inline constexpr std::int64_t kAccountMicrocreditsMax = 4'000'000'000'000'000'000;

class Accounts {
 public:
  // All or nothing. kLimitExceeded if an account would have less than nothing (outside may), or more than it can count;
  // kInvalidArgument for an entry that cannot be (no amount, from and to one account, not as its `why` says).
  Status Post(std::span<const Entry> entries);
  std::int64_t Of(const Account& account) const;
  const std::map<Account, std::int64_t>& all() const { return amounts_; }
  // kInternal unless all accounts together have nothing and none but outside has less than nothing.
  Status CheckConserved() const;

 private:
  std::map<Account, std::int64_t> amounts_;
};

// What of a trade is due in an hour, and how far it is settled.
struct Deal {
  OrderId ask = 0;
  OrderId bid = 0;
  PartyId seller = 0;
  PartyId buyer = 0;
  bool is_surcharge = false;  // of a gang: all of it is the pool's, and there is no seller
  std::int64_t pays_nanocredits = 0;
  std::int64_t gets_nanocredits = 0;  // at most that
  std::int64_t length_ms = 0;
  std::int64_t settled_ms = 0;  // so far
  std::int64_t held_microcredits = 0;
  std::int64_t paid_microcredits = 0;  // to the seller and the pool
  std::int64_t refunded_microcredits = 0;
};
inline constexpr std::int64_t kDealMsMax = 366LL * 24 * 3600 * 1000;

// One deal of each trade that moves money, and of each gang's surcharge. kInvalidArgument unless 0 < length <=
// kDealMsMax.
Result<std::vector<Deal>> DealsOf(const EpochOutcome& outcome, std::int64_t length_ms);

// What a rate comes to in a time, rounded up (down); never more than kAccountMicrocreditsMax.
std::int64_t DueUp(std::int64_t nanocredits_an_hour, std::int64_t ms);
std::int64_t DueDown(std::int64_t nanocredits_an_hour, std::int64_t ms);

// The entries that put all of the deal's money into escrow.
std::vector<Entry> Hold(Deal& deal, std::uint64_t epoch);
// Settles up to `until_ms` after its beginning (not past its length); `delivered_ppm` is what was delivered of what was
// sold since the last time: the rest of the money goes back.
std::vector<Entry> Settle(Deal& deal, std::int64_t until_ms, std::uint32_t delivered_ppm, std::uint64_t epoch);
// Ends it at what is settled: the rest of the escrow goes back.
std::vector<Entry> End(Deal& deal, std::uint64_t epoch);
// What the seller owes the buyer from its bond for what it did not deliver: `penalty_ppm` of what was refunded for
// that, at most the bond.
std::vector<Entry> Penalty(const Deal& deal, std::int64_t undelivered_microcredits, std::uint32_t penalty_ppm,
                           std::int64_t bond_microcredits, std::uint64_t epoch);

}  // namespace accelmesh::market::auction
