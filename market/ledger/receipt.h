// Receipts: what a provider and a buyer say of a lease, each with its signature. They are the only source of reputation
// (reputation.h), and what a refund for less than was advertised is computed from.
//
//   signed := "accelmesh receipt 1" LF "provider" | "buyer" LF receipt bytes       Ed25519, by either over the same
//   bytes
//
// A receipt counts only with both signatures: so neither can praise itself, and a loss that one of them does not sign
// is a dispute, which counts for nobody. Pure; the bytes may be anything. Threads: values.
#pragma once

#include <string>

#include "market/ledger/codec.h"

namespace accelmesh::market::ledger {

inline constexpr std::size_t kReceiptNameBytesMax = 64;
inline constexpr std::uint32_t kPpm = 1'000'000;
inline constexpr std::int64_t kAmountMax = 1'000'000'000'000'000'000;  // microcredits

struct Receipt {
  std::string market;  // the log's origin: a receipt counts in one market
  std::string lease;
  std::string slot_class;
  security::PublicKey provider;
  security::PublicKey buyer;
  std::int64_t begin_ms = 0;  // Unix time, of what the receipt is about
  std::int64_t end_ms = 0;
  std::int64_t price_microcredits = 0;  // of all of it
  std::int64_t bond_microcredits = 0;   // that the provider had put up
  // What the provider has done, as both say.
  std::uint32_t delivered_ppm = 0;  // of the throughput that was advertised, measured, at most 1,000,000
  std::uint32_t uptime_ppm = 0;
  bool had_notice = false;          // the lease was ended before its time, with a notice due,
  bool is_notice_honoured = false;  // which was given
  // What the buyer has done.
  std::int64_t paid_microcredits = 0;
  std::uint32_t used_ppm = 0;  // of the time, the share in which anything ran
  bool operator==(const Receipt&) const = default;
};

// What `device_us` of processor time are of so long; all of it if several processors ran at a time.
inline std::uint32_t UsedPpm(std::uint64_t device_us, std::int64_t begin_ms, std::int64_t end_ms) {
  if (end_ms <= begin_ms) return 0;
  const auto lasted_us = static_cast<std::uint64_t>(end_ms - begin_ms) * 1000;
  return device_us >= lasted_us
             ? kPpm
             : static_cast<std::uint32_t>(static_cast<double>(device_us) / static_cast<double>(lasted_us) * kPpm);
}

struct CounterSignedReceipt {
  Receipt receipt;
  security::Signature provider{};
  security::Signature buyer{};
  bool operator==(const CounterSignedReceipt&) const = default;
};

enum class ReceiptSide : std::uint8_t { kProvider, kBuyer };
// kInvalidArgument: out of bounds, or of nobody or no time.
Status CheckReceipt(const Receipt& receipt);
Bytes ReceiptBytes(const Receipt& receipt);
security::Signature SignReceipt(const Receipt& receipt, ReceiptSide side, const security::SigningKey& key);
// kPermissionDenied: it is not the signature of that side.
Status VerifySide(const Receipt& receipt, ReceiptSide side, const security::Signature& signature);
// kPermissionDenied: a signature is not of whom the receipt names, or both are of one key.
Status VerifyReceipt(const CounterSignedReceipt& receipt);

// What the buyer gets back: of the price, the part that was not delivered, or not there, beyond `tolerance_ppm`.
// Rounded down.
std::int64_t RefundOf(const Receipt& receipt, std::uint32_t tolerance_ppm);

// For entry.h.
void WriteReceipt(Writer& writer, const CounterSignedReceipt& receipt);
CounterSignedReceipt ReadReceipt(Reader& reader);

}  // namespace accelmesh::market::ledger
