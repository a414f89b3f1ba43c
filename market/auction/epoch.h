// One epoch of the auction: all standing asks, all sealed bids, and what was fixed before bids, in; trades, prices and
// reasons out. Anyone who has the input gets the same outcome, bit by bit, in whatever order orders are listed.
//
// In this order:
//   1. What one party asks and bids in a class is netted: it keeps its units, no money moves.
//   2. Floors: bids that call on a floor buy at the surrogate price, before others.
//   3. Lane C: gangs, and with them the bids for one lot of every class that a gang contends for (it bids the reserve
//      there or more, and so much is for sale). Greedy by (value - reserves)/sqrt(normalised units); winners pay what
//      they would have had to bid at least, and never less than the reserve; sellers who ask no more than the reserve
//      are drawn (idle units first, then by reputation x chance) and paid the reserve; what is over goes to the
//      insurance pool. (gangs.h) Such bids are not in lane B: who loses here could else buy there for less than those
//      who won paid, so that bidding less would pay. The price of that: where a gang contends, bids of one lot and asks
//      above the reserve do not meet, even if the gang wins nothing. Whoever calls ClearEpoch sees to it that a class
//      is without gangs now and then (the desk: every other epoch), or anybody could keep it so with one low bid.
//   4. Lane B, the rest: a double auction where a class has enough eligible trades (SBBA or McAfee if all orders are of
//      one size, Huang et al.'s else), or the surrogate price with random rationing. (double_auction.h)
//
// Quality: an ask counts as ask / reputation, and all of a trade's prices are the class's price x the seller's
// reputation: so a seller is paid at least its ask exactly if ask / reputation is at most the class's price, and buyers
// pay less for the less reliable. In lane C reputation counts in the draw only.
//
// Truthful (a price other than one's own value gains nothing, to the microcredit that prices are rounded to): lane B
// for an order of one size on either side, and for every order as to its price under Huang et al.'s rule; the surrogate
// price; lane C for a gang with one bundle and for a bid of one lot, given reserves. Not claimed: choosing between
// lanes (a seller may, in that whether a gang can have what it bids for depends on what is for sale), several orders of
// one party, quantities, and the number of trades from which lane B is an auction, if that is counted where bids and
// asks cross (ThickBy::kCrossing): of exactly so many traders one may leave to have the surrogate price instead.
// ThickBy::kOrders has no such edge.
//
// Pure. Threads: functions on values.
#pragma once

#include <memory>
#include <vector>

#include "market/auction/units.h"
#include "protocol/base/result.h"

namespace accelmesh::market::auction {

// kIdle: nobody uses it. kRelease: a running lease, given back or sold as a whole. kShare: a part of a running lease.
enum class AskKind : std::uint8_t { kIdle = 0, kRelease = 1, kShare = 2 };

struct Ask {
  OrderId id = 0;
  PartyId owner = 0;
  ClassId slot_class = 0;
  AskKind kind = AskKind::kIdle;
  bool is_divisible = true;                  // else all of it or nothing: to one bid, or in lane C
  std::uint32_t reputation_ppm = kWholePpm;  // frozen before bids; 0: sells nothing
  std::int64_t units_milli = 0;
  std::int64_t price_microcredits = 0;  // the least its owner takes for a unit-hour
  LeaseId lease = 0;                    // of kRelease and kShare; at most one ask of a lease is in an epoch
  std::int64_t notice_ms = 0;           // until the units are the buyer's
};

struct Bid {
  OrderId id = 0;  // not an id of a gang either
  PartyId owner = 0;
  ClassId slot_class = 0;
  bool is_divisible = true;  // else all of it from one ask, or nothing
  bool uses_floor = false;   // buys at the surrogate price within its owner's floor, and nowhere else
  std::int64_t units_milli = 0;
  std::int64_t price_microcredits = 0;   // the most it pays for a unit-hour
  std::int64_t budget_microcredits = 0;  // the most it pays an hour, all in all; 0: no such bound
  std::int64_t notice_ms_max = 0;        // how long it can wait for its units
};

struct Part {
  ClassId slot_class = 0;
  std::int64_t units_milli = 0;
};
struct Bundle {
  std::vector<Part> parts;              // each class once
  std::int64_t value_microcredits = 0;  // of all parts together, an hour
};
// One of its bundles, whole, or nothing.
struct GangBid {
  OrderId id = 0;
  PartyId owner = 0;
  std::int64_t notice_ms_max = 0;
  std::vector<Bundle> bundles;
};

// What a party may still take of a class on its floor: its share of the capacity less what it has (floors.h).
struct Floor {
  PartyId party = 0;
  std::int64_t units_milli = 0;
};

// All of it is fixed before bids.
struct ClassInput {
  ClassId id = 0;
  std::int64_t reserve_microcredits = 0;    // lane C's: the last price of lane B, or the surrogate
  std::int64_t surrogate_microcredits = 0;  // where lane B is too thin for an auction, and for floors
  std::int64_t weight_milli = kUnitMilli;   // normalised units in one of this class's, for comparing gangs
  std::int64_t lot_milli = 1;               // orders are cut down to multiples of it
  std::int64_t notice_ms = 0;               // every ask of the class is served within it; every bid can wait so long
  std::vector<Floor> floors;
};

enum class DoubleAuction : std::uint8_t { kSbba = 0, kMcAfee = 1 };
// What is counted to see whether a class is thick. kCrossing: trades where sorted bids and asks cross. kOrders: the
// smaller number of bids and asks, whatever their prices.
enum class ThickBy : std::uint8_t { kCrossing = 0, kOrders = 1 };

struct Rules {
  DoubleAuction auction = DoubleAuction::kSbba;
  ThickBy thick_by = ThickBy::kCrossing;
  std::uint32_t eligible_trades_min = 10;
};

struct EpochInput {
  std::uint64_t number = 0;
  std::uint64_t seed = 0;  // from the beacon, after bids are sealed
  Rules rules;
  std::vector<ClassInput> classes;
  std::vector<Ask> asks;  // clearing is fastest if asks, bids and gangs each come sorted by id
  std::vector<Bid> bids;
  std::vector<GangBid> gangs;
};

enum class Lane : std::uint8_t { kNetted = 0, kFloor = 1, kGang = 2, kAuction = 3, kPosted = 4 };  // kGang: lane C

// Prices are for a unit-hour; amounts an hour are price x units_milli nanocredits. What the buyer pays over what the
// seller gets goes to the pool. Netted: both prices are 0.
struct Trade {
  OrderId ask = 0;
  OrderId bid = 0;  // or gang
  PartyId seller = 0;
  PartyId buyer = 0;
  ClassId slot_class = 0;
  Lane lane = Lane::kAuction;
  std::int64_t units_milli = 0;
  std::int64_t price_buyer_microcredits = 0;
  std::int64_t price_seller_microcredits = 0;
  bool operator==(const Trade&) const = default;
};

// A gang that has its bundle. Its trades are at reserves (a bid's in lane C: the seller's price is); what it pays
// beyond them is in `surcharge_nanocredits`.
struct GangAward {
  OrderId gang = 0;
  PartyId owner = 0;
  std::uint32_t bundle = 0;
  std::int64_t critical_microcredits = 0;  // the least value with which this bundle would have won; 0: any
  std::int64_t pays_nanocredits = 0;       // an hour, all in all: max(critical value, reserves)
  std::int64_t surcharge_nanocredits = 0;  // of that, to the pool
  bool operator==(const GangAward&) const = default;
};

enum class UnservedWhy : std::uint8_t {
  kPrice = 0,     // too low
  kRationed = 1,  // high enough; the draw fell on others, or there was no supply
  kMargin = 2,    // the trade that a double auction gives up so that its price is nobody's own
  kBudget = 3,
  kNotice = 4,   // cannot wait as long as the class may let it
  kNoClass = 5,  // nobody offers that class
  kLot = 6,      // not a whole lot
  kNoFloor = 7,  // its owner's floor is used up
  kSize = 8,     // all or nothing, and there was no ask left that has its size
};

struct UnservedBid {
  OrderId bid = 0;
  std::int64_t units_milli = 0;  // not served
  UnservedWhy why = UnservedWhy::kPrice;
  // A price with which such an order would have been in the draw, or would have won where nothing is drawn; -1: none.
  // In an auction of one size it is exact: above it the bid wins; in lane C with it. Elsewhere Why() is (why.h).
  std::int64_t price_to_win_microcredits = -1;
  bool operator==(const UnservedBid&) const = default;
};
struct UnservedGang {
  OrderId gang = 0;
  UnservedWhy why = UnservedWhy::kPrice;
  std::uint32_t bundle = 0;  // the one that came nearest
  // With this for that bundle, all else as it is, the gang would have won, and with less not; -1: with no value. Exact
  // but where no gang has bid the reserve of a class: one that does makes bids of one lot contend with it.
  std::int64_t value_to_win_microcredits = -1;
  bool operator==(const UnservedGang&) const = default;
};

enum class LaneB : std::uint8_t {
  kNone = 0,    // no bids or no asks
  kSbba = 1,    // auction, one price
  kMcAfee = 2,  // auction; one price, or two
  kHuang = 3,   // auction of orders of several sizes, two prices
  kPosted = 4,  // fewer eligible trades than the rules ask for: the surrogate price
};

struct ClassOutcome {
  ClassId id = 0;
  LaneB lane_b = LaneB::kNone;
  std::uint32_t eligible_trades = 0;     // as Rules::thick_by counts
  std::uint32_t trades_given_up = 0;     // by the double auction, of those that cross
  std::int64_t price_microcredits = -1;  // lane B's, what buyers pay a seller of full reputation; -1: nothing traded
  std::int64_t price_seller_microcredits = -1;
  std::int64_t units_netted_milli = 0;
  std::int64_t units_floor_milli = 0;
  std::int64_t units_gang_milli = 0;
  std::int64_t units_lane_b_milli = 0;
  std::int64_t units_unsold_milli = 0;    // of asks
  std::int64_t units_unserved_milli = 0;  // of bids, not of gangs
  bool operator==(const ClassOutcome&) const = default;
};

// Nanocredits an hour. paid == received + pool, always; pool is never negative.
struct Sums {
  Wide paid = 0;
  Wide received = 0;
  Wide pool = 0;
  bool operator==(const Sums&) const = default;
};

struct EpochOutcome {
  std::vector<Trade> trades;                 // by lane, class, bid, ask
  std::vector<GangAward> gangs;              // by id
  std::vector<ClassOutcome> classes;         // by id
  std::vector<UnservedBid> unserved;         // by id; one that got a part of its units is here with the rest
  std::vector<UnservedGang> unserved_gangs;  // by id
  Sums sums;
  bool operator==(const EpochOutcome&) const = default;
};

// Whether an order may be in an epoch at all; ask it before taking one, because ClearEpoch refuses the whole epoch for
// one that may not. kInvalidArgument or kLimitExceeded, naming the field.
Status CheckAsk(const Ask& ask);
Status CheckBid(const Bid& bid);
Status CheckGang(const GangBid& gang);
Status CheckClass(const ClassInput& slot_class);

// kInvalidArgument: an order that does not hold, ids that are there twice, two asks of one lease; kLimitExceeded: too
// many of something.
Result<EpochOutcome> ClearEpoch(const EpochInput& input);

struct State;
// The same, for who clears one epoch after the other: it keeps its memory, which for large epochs takes as long to get
// as to clear. Nothing of one epoch is in the next. Threads: one at a time.
class Clearing {
 public:
  Clearing();
  ~Clearing();
  Clearing(const Clearing&) = delete;
  Clearing& operator=(const Clearing&) = delete;
  Result<EpochOutcome> Clear(const EpochInput& input);

 private:
  std::unique_ptr<State> state_;
};

// Adds an outcome up anew and compares it with the input: that every trade is of orders that are there and within their
// units, prices, budgets and floors, that lumps are whole, that nobody trades with itself but in lane C, that money is
// balanced. For tests, for whoever re-executes an epoch, and before an outcome is written down.
Status CheckOutcome(const EpochInput& input, const EpochOutcome& outcome);

}  // namespace accelmesh::market::auction
