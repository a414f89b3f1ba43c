// What the negotiation needs of the world: the market, the gpu-servers, time and chance. mesh-run has the real ones
// (tools/mesh_run/real_ports.h), tests have one that they can break.
//
// Threads: each belongs to one at a time. Units: Unix milliseconds, microcredits.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/result.h"
#include "protocol/security/curve.h"
#include "scheduler/core/request.h"
#include "scheduler/core/slot.h"

namespace accelmesh::agent {

// The same one asked again gets the same answer: what nobody knows to have happened is safe to repeat.
using OperationId = std::array<std::uint8_t, 16>;

// Whole devices of one kind, all together or none.
struct GangOfKind {
  std::string slot;  // one of that kind
  std::uint32_t count = 0;
  std::int64_t value_microcredits_per_hour = 0;  // for all of them, at most
};

// A bid into the market's auction, for a part of any device of one kind; or for one of several gangs.
struct Auction {
  std::string slot;  // one of that kind
  std::uint32_t share_milli = 0;
  std::int64_t price_microcredits_per_hour = 0;  // of a whole device, at most
  std::int64_t notice_us = 0;                    // how long it may take to begin after it was won
  std::vector<GangOfKind> bundles;               // not empty: one of these, instead of the part
};

struct Order {
  std::vector<std::string> slots;  // these, in this order; empty: whichever the market finds
  scheduler::FunctionalRequest request;
  std::int64_t price_max_microcredits_per_hour = 0;
  std::int64_t lease_us = 0;
  std::int64_t wait_us = 0;
  security::CurveKey holder_key;
  std::optional<Auction> auction;  // instead of the posted price
};

// A slot that was won, or a lease renewed.
struct Won {
  std::string lease;
  std::string slot;
  std::string server;  // hex of its identity
  std::uint32_t share_milli = 0;
  std::uint64_t memory_bytes = 0;
  std::int64_t price_microcredits_per_hour = 0;
  std::int64_t not_after_ms = 0;
  Bytes token;
  std::vector<std::string> endpoints;
  security::CurveKey server_key;
  std::string why;
};

struct Answer {
  std::vector<Won> won;  // as many as the request counts, or none
  std::string why_not;   // then: what stands in the way, and what would help
};

// What a lease's holder asks for giving it back, or a part of it.
struct Offer {
  std::string lease;
  std::uint64_t number = 0;                      // rising: the last one counts
  std::int64_t price_microcredits_per_hour = 0;  // of a whole device
  std::uint32_t share_milli = 0;                 // 0: all of it
  std::int64_t notice_us = 0;
};
// A trade that the market has made.
struct Traded {
  std::string from;   // the seller's lease; empty: it was idle
  std::string lease;  // the buyer's
  std::string seller;
  std::string buyer;
  std::string lane;
  std::uint32_t share_milli = 0;
  std::int64_t price_microcredits_per_hour = 0;  // that the seller gets, of a whole device
  std::int64_t paid_microcredits = 0;
  std::int64_t begins_ms = 0;
};

// What a whole device of a kind cost an hour from then on.
struct PriceSeen {
  std::int64_t time_ms = 0;
  std::int64_t price_microcredits_per_hour = 0;
};

// What is said of a lease that is over, in parts of a million.
struct LeaseWords {
  std::uint32_t delivered_ppm = 1'000'000;  // of what was advertised
  std::uint32_t uptime_ppm = 1'000'000;
  bool is_notice_honoured = true;  // where one was due
  std::uint32_t used_ppm = 0;      // of its time; 0: not known
  bool operator==(const LeaseWords&) const = default;
};
// Of a lease of ours that is over, and that we have not signed for, or not as its provider has.
struct OpenReceipt {
  std::string lease;
  std::int64_t begin_ms = 0;
  std::int64_t end_ms = 0;
  std::int64_t paid_microcredits = 0;
  bool had_notice = false;
  std::optional<LeaseWords> provider;  // if it has signed
};

// Some entries of the market's ledger, in their order.
struct LedgerPiece {
  std::vector<Bytes> entries;
  std::uint64_t readable = 0;  // so many of all can be read by now
};

struct Receipt {
  std::int64_t paid_microcredits = 0;
  std::int64_t returned_microcredits = 0;
};

// kUnavailable and kDeadlineExceeded: nobody knows whether it happened. Anything else is the market's answer.
class MarketPort {
 public:
  virtual ~MarketPort() = default;
  virtual Result<std::vector<scheduler::Slot>> Slots(Deadline deadline) = 0;
  virtual Result<Answer> Ask(const Order& order, const OperationId& id, Deadline deadline) = 0;
  // The lease with its new end and token.
  virtual Result<Won> Renew(const std::string& lease, std::int64_t lease_us,
                            std::int64_t price_max_microcredits_per_hour, const OperationId& id, Deadline deadline) = 0;
  // Less of it from now on, with a new token.
  virtual Result<Won> Resize(const std::string& lease, std::uint32_t share_milli, std::uint64_t memory_bytes,
                             const OperationId& id, Deadline deadline) = 0;
  virtual Result<Receipt> Release(const std::string& lease, const OperationId& id, Deadline deadline) = 0;
  // Of markets with an auction, where Ask() takes bids: posts the ask of a lease, and says what was sold or bought.
  virtual bool has_auction() const { return false; }
  // Of a slot that Slots() has listed: which kind of device it is. Slots of one kind are one kind of goods.
  virtual std::string KindOf(const std::string& slot) const { return slot; }
  // Posted prices of a kind in the past hours, the oldest first; the last one is today's. kUnsupported: it keeps none.
  virtual Result<std::vector<PriceSeen>> Prices(const std::string& kind, Deadline deadline);
  virtual Status Post(const Offer& offer, const OperationId& id, Deadline deadline);
  virtual Result<std::vector<Traded>> Trades(const std::string& lease, Deadline deadline);
  // Of markets with receipts. SignReceipt(): of one that OpenReceipts() has listed, or whose lease Release() has ended.
  virtual Result<std::vector<OpenReceipt>> OpenReceipts(Deadline deadline);
  virtual Status SignReceipt(const std::string& lease, const LeaseWords& words, Deadline deadline);
  // Of markets with a ledger: the newest checkpoint and the proof that it extends a tree of `old_size` entries, as a
  // text (market/ledger/checkpoint.h); and a witness's line below that of `size` entries. kUnsupported: it has none.
  virtual Result<std::string> Checkpoint(std::uint64_t old_size, Deadline deadline);
  virtual Status Cosign(std::uint64_t size, const std::string& line, Deadline deadline);
  // What it has promised of orders since the last call, as texts (market/ledger/promise.h); and entries of its ledger
  // from `first` on, of those that may be read.
  virtual std::vector<std::string> TakePromises();
  // Orders that were answered so far, of which it was to promise something.
  virtual std::uint64_t orders_answered() const { return 0; }
  virtual Result<LedgerPiece> ReadLedger(std::uint64_t first, Deadline deadline);
};

// What a gpu-server says of a lease that has been given back.
struct DeviceUse {
  std::uint64_t device_us = 0;              // of processor or GPU time
  std::uint32_t delivered_ppm = 1'000'000;  // of its share, while it wanted it
};

class ServerPort {
 public:
  virtual ~ServerPort() = default;
  // Shows the token to the server, which admits the lease or extends it. The group's hash lets programs in by shared
  // memory, where no key says who they are.
  virtual Status Admit(const Won& lease, const security::CurvePair& holder, const security::SecretHash& group,
                       Deadline deadline) = 0;
  virtual Result<DeviceUse> End(const Won& lease, const security::CurvePair& holder, Deadline deadline) = 0;
};

class WorldPort {
 public:
  virtual ~WorldPort() = default;
  virtual std::int64_t NowMs() = 0;
  virtual std::uint64_t Draw() = 0;  // uniform over 64 bits
  virtual Result<security::CurvePair> NewPair() = 0;
  // False if somebody wants us to end meanwhile.
  virtual bool Pause(std::int64_t ms) = 0;
};

}  // namespace accelmesh::agent
