#include "market/core/losses.h"

#include <algorithm>

#include "market/core/accounts.h"
#include "market/core/receipts.h"

namespace accelmesh::market {
namespace {

__extension__ using Wide = __int128;

void Open(Edit& edit, const std::string& server, const Moment& moment) {
  auto& loss = edit.Open<LossRecord>(Family::kLoss, server);
  if (loss.since_ms == 0) loss.since_ms = moment.now_ms;
}

// The last of them first, in proportion to what is left of both: so the parts add up to the bond, whenever they are
// paid.
void PayClaims(Edit& edit, AccountRecord& owner, LossRecord& loss, std::size_t most) {
  Wide claimed = 0;
  for (const LossRecord::Claim& claim : loss.claims) claimed += claim.amount;
  for (std::size_t i = 0; i < most && !loss.claims.empty(); ++i) {
    const LossRecord::Claim claim = loss.claims.back();
    loss.claims.pop_back();
    const auto part = static_cast<std::int64_t>(claimed <= owner.bond ? Wide{claim.amount}
                                                                      : Wide{owner.bond} * claim.amount / claimed);
    claimed -= claim.amount;
    owner.bond -= part;
    edit.Account(claim.tenant).balance += part;
  }
}

}  // namespace

void ClaimBond(Edit& edit, const LeaseRecord& lease, const Moment& moment) {
  Open(edit, lease.server, moment);
  const std::int64_t amount =
      std::min(lease.paid - std::min(lease.paid, lease.refunded), CostOf(lease.price_per_hour, kBondedMs));
  if (amount <= 0 || lease.tenant == lease.server) return;
  auto& claims = edit.Open<LossRecord>(Family::kLoss, lease.server).claims;
  const auto known = std::find_if(claims.begin(), claims.end(),
                                  [&](const LossRecord::Claim& claim) { return claim.tenant == lease.tenant; });
  if (known != claims.end()) {
    known->amount += std::min(amount, kCreditsMax - known->amount);
  } else if (claims.size() < kClaimsMax) {
    claims.push_back({lease.tenant, amount});
  }
}

void ForgetLoss(const Book& book, Edit& edit, const std::string& server) {
  if (book.Find<LossRecord>(Family::kLoss, server) != nullptr) edit.Delete(Family::kLoss, server);
}

Decision DecideLosses(const Book& book, std::int64_t gone_ms, const Moment& moment, std::size_t most) {
  Edit edit(book);
  for (const auto& [id, entry] : book.All(Family::kSlot)) {
    const std::string& server = std::get<SlotRecord>(entry).slot.server;
    if (book.Server(server) != nullptr || book.Find<LossRecord>(Family::kLoss, server) != nullptr) continue;
    if (edit.keys() + 2 > most) return edit.Finish();
    Open(edit, server, moment);
    edit.Require(Family::kServer, server);
  }
  if (gone_ms <= 0) return edit.Finish();
  for (const auto& [server, entry] : book.All(Family::kLoss)) {
    const auto& known = std::get<LossRecord>(entry);
    if (book.Server(server) != nullptr || known.since_ms + gone_ms > moment.sweep_ms) continue;
    if (edit.keys() + 4 > most) break;
    edit.Require(Family::kServer, server);
    if (!known.claims.empty()) {
      const std::size_t payees = most - edit.keys() - 2;
      PayClaims(edit, edit.Account(server), edit.Open<LossRecord>(Family::kLoss, server), payees);
      continue;
    }
    std::size_t left = 0;
    for (const std::string& slot : book.SlotsOfServer(server)) {
      const bool goes = book.LeasesOfSlot(slot).empty() && edit.keys() + 2 < most;
      if (goes) edit.Delete(Family::kSlot, slot);
      left += goes ? 0 : 1;
    }
    if (left > 0) continue;
    if (const AccountRecord* account = book.Account(server); account != nullptr && account->bond > 0) {
      SetBond(edit.Account(server), 0);
    }
    edit.Delete(Family::kLoss, server);
  }
  return edit.Finish();
}

}  // namespace accelmesh::market
