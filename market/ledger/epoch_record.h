// EpochRecord: all that an epoch's outcome follows from, in one canonical encoding, so that anybody can clear the epoch
// again and compare.
//
// The auction counts in numbers (market/auction/units.h). The tables here say what they stand for:
//   PartyId   place in `parties`, the sorted keys of all owners
//   ClassId   place in `class_names`, sorted
//   LeaseId   place in `lease_names`, sorted, + 1; 0: none
//   OrderId   an order's rank among the leaf hashes of the epoch's signed orders, sorted; behind these, idle supply
//   and unused leases that nobody signed, by their slot's or lease's name
// So all numbers follow from what was sealed, and nobody can choose a lucky one once the seed is known.
//
// Pure; the bytes may be anything. Threads: values.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "market/auction/epoch.h"
#include "market/ledger/entry.h"
#include "market/ledger/note.h"

namespace accelmesh::market::ledger {

// All credits of the market, microcredits: of every account, what is held in escrow, the pool, bonds.
struct Credits {
  std::int64_t before = 0;     // when the last recorded epoch was settled
  std::int64_t deposited = 0;  // by admins since then, less what was withdrawn; the only source of credits
  std::int64_t after = 0;
  bool operator==(const Credits&) const = default;
};

// What of an outcome differs is told by which of these does.
struct OutcomeDigests {
  Hash trades{};
  Hash gangs{};
  Hash classes{};
  Hash unserved{};
  Hash unserved_gangs{};
  Hash sums{};
  bool operator==(const OutcomeDigests&) const = default;
};
OutcomeDigests DigestsOf(const auction::EpochOutcome& outcome);
// Of two outcomes, what differs ("trades"); empty: nothing.
std::string DifferenceOf(const OutcomeDigests& one, const OutcomeDigests& other);

// Why an order that was sealed was not cleared. The last ones may be had again and again: such an order stays due.
enum class LeftOut : std::uint8_t {
  kExpired,     // the time that it names had passed
  kOver,        // a bid: its owner waits no more, or was served before
  kNotOffered,  // an ask or a withdrawal: it stands no more, or nobody bid for what it offers
  kClass,       // nobody offers what it is for
  kMemory,      // no device has so much memory for such a share
  kBudget,
  kAccount,    // too little in it, for this bid and the owner's others
  kGoods,      // bids for other goods had the turn
  kGangsTurn,  // of every other epoch
  kPartsTurn,
};
inline constexpr LeftOut kLeftOutLast = LeftOut::kPartsTurn;
std::string_view Name(LeftOut why);  // for people
// The order is settled with it: later epochs need not have it.
inline bool IsFinal(LeftOut why) { return why <= LeftOut::kNotOffered; }

struct LeftOutOrder {
  std::uint32_t rank = 0;
  LeftOut why = LeftOut::kExpired;
  bool operator==(const LeftOutOrder&) const = default;
};

struct EpochRecord {
  std::uint64_t seal = 0;   // index of the seal in the log
  std::string sealed_note;  // the checkpoint with it, and what witnesses had signed below
  std::int64_t time_ms = 0;
  std::vector<security::PublicKey> parties;
  std::vector<std::string> class_names;
  std::vector<std::string> lease_names;
  std::vector<std::uint64_t> orders;    // by rank: index of the signed order in the log
  std::vector<std::string> idle_slots;  // by OrderId behind these
  auction::EpochInput input;            // sorted by id
  OutcomeDigests outcome;
  Credits credits;
  // Who delivers what is asked for, sorted; the score of each when bids were sealed (reputation.h); and for each ask,
  // in the input's order, its place here. Records of before there were receipts have none.
  std::vector<security::PublicKey> deliverers;
  std::vector<std::uint32_t> scores;
  std::vector<std::uint32_t> ask_deliverers;
  // Every order that was taken before the seal and is due (promise.h) is among `orders`, here by rank if it was not
  // cleared. Records of before there were promises do not say so.
  bool has_all_due = false;
  // Cleared when gangs came before bids (until 28 November 2026): of gangs it cannot be cleared again.
  bool has_gangs_first = false;
  std::vector<LeftOutOrder> left_out;
};

// The auction's seed: known to nobody before the orders are sealed and the checkpoint is signed, and, if witnesses have
// cosigned it, not to the market alone before that.
std::uint64_t SeedOf(std::uint64_t epoch, std::string_view sealed_note);

// Gives an input's orders the numbers that a record must have, and sorts them. kInvalidArgument if one has none.
Status Renumber(auction::EpochInput& input, const std::map<auction::OrderId, auction::OrderId>& numbers);

// kInvalidArgument if it is not canonical: tables or orders that are not sorted, numbers that are in no table.
Result<Bytes> EpochBytes(const EpochRecord& record);
Result<EpochRecord> ParseEpoch(ByteView bytes);

// Its entries. kLimitExceeded if there would be more parts than there may be.
Result<std::vector<Bytes>> EpochEntries(const EpochRecord& record);

// Sorted, each once: how names become numbers.
template <typename Name>
class Table {
 public:
  explicit Table(std::vector<Name> names) : names_(std::move(names)) {
    std::sort(names_.begin(), names_.end(), Less);
    names_.erase(std::unique(names_.begin(), names_.end()), names_.end());
  }
  // Precondition: it is there.
  std::size_t IndexOf(const Name& name) const {
    return static_cast<std::size_t>(std::lower_bound(names_.begin(), names_.end(), name, Less) - names_.begin());
  }
  const std::vector<Name>& names() const { return names_; }

  static bool Less(const Name& one, const Name& other) {
    if constexpr (requires { one.bytes; }) {
      return one.bytes < other.bytes;
    } else {
      return one < other;
    }
  }

 private:
  std::vector<Name> names_;
};
using PartyTable = Table<security::PublicKey>;
using NameTable = Table<std::string>;

}  // namespace accelmesh::market::ledger
