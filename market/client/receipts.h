// Receipts of leases, as the market shows them (messages::ReceiptT) and as they are signed (market/ledger/receipt.h).
//
// What a lease's provider and buyer do when it is over: each takes the receipt as the market shows it, says in it what
// it knows (delivered, uptime, notice, used), signs, and sends that. The buyer is usually first, because it may be gone
// soon; a provider that agrees signs the same words, one that does not its own. Threads: functions on values.
#pragma once

#include "market/client/messages.h"
#include "market/ledger/receipt.h"

namespace accelmesh::market {

// kBadFrame if it could not be signed: a key or a time that is none.
Result<ledger::Receipt> ToReceipt(const messages::ReceiptT& shown);

// What one side says. What is said by the other is in the receipt as it is shown, if that has signed.
struct ReceiptWords {
  std::uint32_t delivered_ppm = ledger::kPpm;
  std::uint32_t uptime_ppm = ledger::kPpm;
  bool is_notice_honoured = false;  // counts only if a notice was due
  std::uint32_t used_ppm = 0;
  bool operator==(const ReceiptWords&) const = default;
};
ReceiptWords WordsOf(const messages::ReceiptT& shown);

// `key`: of the provider or the buyer that it names; kPermissionDenied if of neither.
Result<messages::SignReceiptT> SignReceipt(const messages::ReceiptT& shown, const ReceiptWords& words,
                                           const security::SigningKey& key);

}  // namespace accelmesh::market
