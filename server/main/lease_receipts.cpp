#include "server/main/lease_receipts.h"

#include <algorithm>

namespace accelmesh {
namespace {

using market::ledger::kPpm;

constexpr std::uint32_t kUseTolerancePpm = 100'000;
constexpr std::uint32_t kLossTolerancePpm = 20'000;

}  // namespace

std::optional<market::ReceiptWords> WordsFor(const market::messages::ReceiptT& open, const LeaseFacts* use,
                                             const ServerTroubles& troubles, std::int64_t now_ms) {
  market::ReceiptWords own;
  own.is_notice_honoured = open.had_notice;
  if (use != nullptr) {
    own.used_ppm = market::ledger::UsedPpm(use->device_us, open.begin_ms, open.end_ms);
    own.delivered_ppm = std::min(use->delivered_ppm, kPpm);
  }
  if (open.buyer_signature.empty()) {
    return now_ms >= open.end_ms + kBuyersMs ? std::optional(own) : std::nullopt;
  }
  const bool is_new = troubles.started_ms > open.begin_ms;
  const bool knows_outage = is_new || troubles.died_ms >= open.begin_ms;
  const bool knows_loss = is_new || troubles.changed_ms >= open.begin_ms;
  const market::ReceiptWords said = market::WordsOf(open);
  const bool agrees = (said.uptime_ppm + kLossTolerancePpm >= kPpm || knows_outage) &&
                      (said.delivered_ppm + kLossTolerancePpm >= own.delivered_ppm || knows_loss) &&
                      (said.used_ppm <= own.used_ppm + kUseTolerancePpm || is_new) &&
                      (said.is_notice_honoured || !open.had_notice || knows_outage);
  return agrees ? said : own;
}

}  // namespace accelmesh
