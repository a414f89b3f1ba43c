// What the market writes into its log.
//
//   entry      := "AML1" kind(8 bits) body                                        (codec.h)
//   order      := what somebody signed: order bytes, signature, counter-signature (of a deal, by the other party)
//   seal       := the orders of an epoch, before it is cleared: their number and the root of the tree of their entries
//   epoch part := a piece of an epoch's record (epoch_record.h), which may be larger than an entry
//   receipt    := what a provider and a buyer say of a lease (receipt.h)
//   settlement := what trades of an epoch did to accounts (settlement.h)
//   stated     := what receipts of before the ledger had come to; only at its beginning (stated_reputation.h)
//
// The order's bytes are the market's messages (market/client/orders.h) and opaque here.
// Pure; the bytes may be anything. Threads: values.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "market/ledger/receipt.h"
#include "market/ledger/settlement.h"
#include "market/ledger/stated_reputation.h"

namespace accelmesh::market::ledger {

inline constexpr std::size_t kSignedOrderBytesMax = 16384;
inline constexpr std::size_t kPartBytesMax = 60000;
inline constexpr std::uint32_t kPartsMax = 4096;
inline constexpr std::size_t kOrdersSealedMax = 1U << 21;

struct SignedOrder {
  Bytes order;
  security::Signature signature{};
  std::optional<security::Signature> counter_signature;
  bool operator==(const SignedOrder&) const = default;
};

struct Seal {
  std::uint64_t number = 0;  // of the epoch
  std::int64_t time_ms = 0;  // Unix time
  std::uint32_t orders = 0;
  Hash orders_root{};
  bool operator==(const Seal&) const = default;
};

struct EpochPart {
  std::uint64_t number = 0;
  std::uint32_t part = 0;
  std::uint32_t parts = 0;
  Bytes bytes;
  bool operator==(const EpochPart&) const = default;
};

using Entry = std::variant<SignedOrder, Seal, EpochPart, CounterSignedReceipt, StatedReputation, Settlement>;
// kInvalidArgument if a part of it is larger than it may be.
Result<Bytes> EntryBytes(const Entry& entry);
Result<Entry> ParseEntry(ByteView bytes);

// The root of an epoch's orders: of the tree of their entries' leaf hashes, sorted. So it does not tell in which order
// they came, and an order's rank follows from nothing that the market could choose once the root is known.
Hash OrdersRoot(std::vector<Hash> leaves);

}  // namespace accelmesh::market::ledger
