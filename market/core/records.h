// What the market writes down, as values: one record for each key of the registry.
//
// Units: microcredits, prices an hour; Unix time in milliseconds. An identity is its Ed25519 key in hexadecimal; other
// keys are their 32 bytes. Threads: values.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "scheduler/core/slot.h"

namespace accelmesh::market {

inline constexpr std::int64_t kLeaseLifeMsMax = 15 * 60 * 1000;

enum class MarketRole : std::uint8_t { kTenant = 0, kProvider = 1, kAdmin = 2, kWitness = 3 };
std::string_view Name(MarketRole role);

// A slot on the terms of its owner. What is free and the price now follow from leases and prices (Book).
struct SlotRecord {
  scheduler::Slot slot;
  std::string server_name;
  std::uint32_t device = 0;
  std::string device_name;
  std::string backend;
  std::vector<std::string> via;  // how each throughput was measured: 5 types of matmul, then of convolution
  std::int64_t reserve_price = 0;
  bool is_draining = false;   // keeps what is let, lets nothing more
  bool is_withdrawn = false;  // its server no longer has it: goes when its leases have ended
  std::string class_name() const { return backend + "/" + device_name; }
};

// There as long as the server keeps its lease of the registry alive.
struct ServerRecord {
  std::string name;
  std::vector<std::string> endpoints;
  std::string curve_key;
  std::int64_t registered_ms = 0;
};

enum class LeaseState : std::uint8_t {
  kActive = 0,
  kReleased = 1,
  kExpired = 2,
  kRevoked = 3,
  kServerLost = 4,
  kTransferred = 5,
  kPending = 6,  // bought, and begins when its seller's ends: not let yet
};
std::string_view Name(LeaseState state);

// The price at which a lease's holder gives it back before its time, or a part of it.
struct StandingAsk {
  bool is_posted = false;
  std::uint64_t number = 0;         // of the order that it stands in; those with a lower one do not count any more
  std::int64_t price_per_hour = 0;  // of a whole device
  std::uint32_t share_milli = 0;    // at most what the lease has; then with all of its memory
  std::uint64_t memory_bytes = 0;
  std::int64_t notice_ms = 0;  // how long its holder goes on after all of it was sold
  std::int64_t until_ms = 0;   // it stands
  std::string order;           // as its owner signed it
  std::string signature;
};
// How a lease came from another one, whose holder sold it.
struct Bought {
  std::string from;
  std::uint32_t rest_share_milli = 0;  // what the seller kept
  std::uint64_t rest_memory_bytes = 0;
  // While it is pending, of what it holds: for the insurance pool, and what the seller has put in.
  std::int64_t pool = 0;
  std::int64_t seller_part = 0;
};

// What one side says of a lease that is over, in its receipt; nothing said: no signature.
struct Said {
  std::uint32_t delivered_ppm = 0;
  std::uint32_t uptime_ppm = 0;
  bool is_notice_honoured = false;
  std::uint32_t used_ppm = 0;
  std::string signature;
  bool operator==(const Said&) const = default;
  bool is_same(const Said& other) const {
    return delivered_ppm == other.delivered_ppm && uptime_ppm == other.uptime_ppm &&
           is_notice_honoured == other.is_notice_honoured && used_ppm == other.used_ppm;
  }
};

struct LeaseRecord {
  std::string slot;
  std::string server;
  std::string tenant;
  std::uint64_t epoch = 0;
  std::uint32_t share_milli = 0;
  std::uint64_t memory_bytes = 0;
  std::int64_t price_per_hour = 0;  // of what is let
  std::int64_t not_before_ms = 0;
  std::int64_t not_after_ms = 0;
  std::int64_t paid_until_ms = 0;  // up to here the provider has been paid; `held` is for the time from here to the end
  std::int64_t held = 0;
  std::int64_t paid = 0;
  std::int64_t returned = 0;
  LeaseState state = LeaseState::kActive;
  std::int64_t ended_ms = 0;
  std::string holder_key;
  std::string next_key;
  std::string request;
  std::string why;
  std::string last_operation;  // id of the last one that changed it: asked again, it changes nothing
  StandingAsk ask;
  Bought bought;          // `from` is empty if it was granted
  std::string successor;  // the pending lease that begins when this one ends
  std::int64_t began_ms = 0;
  std::int64_t sold_ms = 0;  // when its holder sold a part of it last
  // Of its receipt, since it is over (receipts.h).
  std::int64_t bond = 0;    // that its server's owner had then
  bool had_notice = false;  // it was sold whole, and ended when that was over
  Said provider_says;
  Said buyer_says;
  std::int64_t refunded = 0;  // by its server's owner, for what was not delivered
};

struct AccountRecord {
  std::int64_t balance = 0;
  std::int64_t held = 0;                // in escrow for leases
  std::int64_t deposited = 0;           // by admins, over its life; the only source of credits
  std::vector<std::string> operations;  // the last deposits' ids
  std::int64_t bond = 0;                // of a server's owner: what it did not deliver is paid from it
};

struct FloorShare {
  std::string class_name;
  std::uint32_t share_ppm = 0;  // of the class's devices
  bool operator==(const FloorShare&) const = default;
};

struct IdentityRecord {
  std::string name;
  MarketRole role = MarketRole::kTenant;
  bool is_banned = false;
  std::uint32_t budget_weight = 0;      // of what is handed out each period
  std::vector<FloorShare> floors = {};  // what it may always have, at the posted price
};

struct PricePoint {
  std::int64_t time_ms = 0;
  std::int64_t price_per_hour = 0;
  std::uint32_t utilisation_milli = 0;
  std::uint32_t forecast_milli = 0;
};

// The price of a class and what its forecast remembers (price.h).
struct PriceRecord {
  std::int64_t price_per_hour = 0;
  double level = 0;
  double trend = 0;
  std::vector<double> season;
  std::uint64_t steps = 0;
  std::vector<PricePoint> history;
};

struct EpochRecord {
  std::uint64_t epoch = 0;
};

// What an epoch of the auction came to: one for each epoch that had bids. Prices are an hour of a whole device.
struct TradeRecord {
  std::string class_name;
  std::string slot;
  std::string from;   // the seller's lease; empty: idle supply
  std::string lease;  // the buyer's
  std::string seller;
  std::string buyer;
  std::string lane;
  std::uint32_t share_milli = 0;
  std::int64_t price_buyer = 0;
  std::int64_t price_seller = 0;
  std::int64_t paid = 0;  // by the buyer, for all of its time
  std::int64_t begins_ms = 0;
};
struct ClassReport {
  std::string class_name;
  std::string lane;
  std::string why;
  std::int64_t reserve = 0;
  std::int64_t price = 0;
  std::uint32_t bids = 0;
  std::uint32_t asks = 0;
  std::uint32_t trades = 0;
};
struct ReportRecord {
  std::uint64_t number = 0;
  std::int64_t time_ms = 0;
  std::uint32_t unserved = 0;
  std::vector<ClassReport> classes;
  std::vector<TradeRecord> trades;
};

// What receipts have come to for an identity (market/ledger/reputation.h).
struct ReputationRecord {
  struct Weight {  // 128 bits, as of an hour
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    std::int64_t hour = 0;
    bool operator==(const Weight&) const = default;
  };
  struct Track {
    std::uint8_t role = 0;
    std::uint8_t event = 0;
    Weight good;
    Weight bad;
    bool operator==(const Track&) const = default;
  };
  struct Payer {
    std::string key;  // 32 bytes
    Weight paid;
    bool operator==(const Payer&) const = default;
  };
  std::vector<Track> tracks;
  std::vector<Payer> payers;
  std::uint32_t score_ppm = 0;  // as a provider, as of `scored_ms`; asks of its slots count by it
  std::int64_t scored_ms = 0;
  bool operator==(const ReputationRecord&) const = default;
};

// A server that the market lost sight of (losses.h).
struct LossRecord {
  struct Claim {
    std::string tenant;
    std::int64_t amount = 0;
    bool operator==(const Claim&) const = default;
  };
  std::int64_t since_ms = 0;
  std::vector<Claim> claims;  // on its owner's bond, unless it comes back
};

// The last period of which budgets were handed out.
struct BudgetRecord {
  std::uint64_t period = 0;
};

// Where a record lies in the registry.
enum class Family : std::uint8_t {
  kSlot,
  kServer,
  kLease,
  kAccount,
  kIdentity,
  kPrice,
  kEpoch,
  kReport,
  kReputation,
  kBudget,
  kLoss
};
inline constexpr std::size_t kFamilies = 11;
std::string_view Prefix(Family family);
struct RecordKey {
  Family family = Family::kSlot;
  std::string id;
  auto operator<=>(const RecordKey&) const = default;
};
inline std::string PathOf(const RecordKey& key) { return std::string(Prefix(key.family)) + key.id; }

// Nothing: deleted.
using Record = std::variant<std::monostate, SlotRecord, ServerRecord, LeaseRecord, AccountRecord, IdentityRecord,
                            PriceRecord, EpochRecord, ReportRecord, ReputationRecord, BudgetRecord, LossRecord>;

}  // namespace accelmesh::market
