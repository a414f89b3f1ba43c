#include "tools/agent/receipts.h"

#include <algorithm>

#include "market/ledger/receipt.h"
#include "scheduler/core/quantity.h"
#include "tools/agent/calls.h"

namespace accelmesh::agent {
namespace {

std::string Percent(std::uint32_t ppm) { return std::to_string((ppm + 5'000) / 10'000) + " %"; }

}  // namespace

Result<std::vector<OpenReceipt>> MarketPort::OpenReceipts(Deadline /*deadline*/) {
  return Status(Code::kUnsupported, "MarketPort", "this market has no receipts");
}
Status MarketPort::SignReceipt(const std::string& /*lease*/, const LeaseWords& /*words*/, Deadline /*deadline*/) {
  return {Code::kUnsupported, "MarketPort", "this market has no receipts"};
}

LeaseWords Receipts::WordsFor(const OpenReceipt& open, const LeaseWords& own) {
  LeaseWords words = own;
  words.is_notice_honoured = open.had_notice && own.is_notice_honoured;
  if (!open.provider) return words;
  const LeaseWords& theirs = *open.provider;
  // Whoever admits that it gave less is believed; that it gave more than was seen is not.
  const bool is_more = theirs.delivered_ppm > own.delivered_ppm || theirs.uptime_ppm > own.uptime_ppm ||
                       (open.had_notice && theirs.is_notice_honoured && !own.is_notice_honoured);
  // How busy the device was its server knows best, and gains nothing by a lie.
  return is_more ? words : theirs;
}

// A part of the time that the receipt says, as its server counts it, too: so both say the same.
LeaseWords Receipts::OwnWords(const OpenReceipt& open, const Known& known) {
  LeaseWords words = known.words;
  if (!known.use) return words;
  words.used_ppm = market::ledger::UsedPpm(known.use->device_us, open.begin_ms, open.end_ms);
  words.delivered_ppm = std::min(words.delivered_ppm, known.use->delivered_ppm);
  return words;
}

void Receipts::Sign(std::int64_t patience_ms) {
  const Result<std::vector<OpenReceipt>> open = market_.OpenReceipts(In(patience_ms));
  // A market that does not answer, or has none, is no trouble of the program's.
  if (!open.ok()) return;
  for (const OpenReceipt& receipt : *open) {
    const auto known = words_.find(receipt.lease);
    const LeaseWords words = WordsFor(receipt, known != words_.end() ? OwnWords(receipt, known->second) : LeaseWords{});
    if (const auto before = signed_.find(receipt.lease); before != signed_.end() && before->second == words) continue;
    const Status status = market_.SignReceipt(receipt.lease, words, In(patience_ms));
    if (!status.ok()) {
      sink_({"receipt", "lease " + receipt.lease + ": not signed for: " + status.text(), {}, false});
      continue;
    }
    signed_[receipt.lease] = words;
    const bool is_complaint = words.delivered_ppm < 1'000'000 || words.uptime_ppm < 1'000'000;
    sink_({"receipt",
           "lease " + receipt.lease + ": signed for: " + scheduler::CreditsText(receipt.paid_microcredits) +
               " credits paid, " + Percent(words.delivered_ppm) + " delivered, up " + Percent(words.uptime_ppm) +
               " of the time, used " + Percent(words.used_ppm) +
               (is_complaint ? "; a complaint: refunded if its provider signs the same" : ""),
           {{"lease", receipt.lease},
            {"paid", scheduler::CreditsText(receipt.paid_microcredits)},
            {"delivered_ppm", std::to_string(words.delivered_ppm)},
            {"uptime_ppm", std::to_string(words.uptime_ppm)},
            {"used_ppm", std::to_string(words.used_ppm)}},
           false});
  }
}

}  // namespace accelmesh::agent
