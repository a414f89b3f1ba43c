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
};
std::string_view Name(LeaseState state);

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
};

struct AccountRecord {
  std::int64_t balance = 0;
  std::int64_t held = 0;                // in escrow for leases
  std::int64_t deposited = 0;           // by admins, over its life; the only source of credits
  std::vector<std::string> operations;  // the last deposits' ids
};

struct IdentityRecord {
  std::string name;
  MarketRole role = MarketRole::kTenant;
  bool is_banned = false;
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

// Where a record lies in the registry.
enum class Family : std::uint8_t { kSlot, kServer, kLease, kAccount, kIdentity, kPrice, kEpoch };
inline constexpr std::size_t kFamilies = 7;
std::string_view Prefix(Family family);
struct RecordKey {
  Family family = Family::kSlot;
  std::string id;
  auto operator<=>(const RecordKey&) const = default;
};
inline std::string PathOf(const RecordKey& key) { return std::string(Prefix(key.family)) + key.id; }

// Nothing: deleted.
using Record = std::variant<std::monostate, SlotRecord, ServerRecord, LeaseRecord, AccountRecord, IdentityRecord,
                            PriceRecord, EpochRecord>;

}  // namespace accelmesh::market
