// What identities have of the market besides what they bid for: floors and recurring budgets; and what they lose of it:
// leases that nobody uses.
#include <algorithm>

#include "market/auction/floors.h"
#include "market/core/accounts.h"
#include "market/desk/desk.h"
#include "protocol/base/log.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "slot-market";
// Who has saved so many periods' portions gets no more.
constexpr std::uint32_t kPeriodsSaved = 4;
constexpr auto kBudgetEach = std::chrono::seconds(1);
// A server that tells of so many leases may have more to tell of.
constexpr std::size_t kUsesTold = 256;
constexpr std::size_t kLeasesLookedAt = 1000;
// Less than that of the time between two reports is no use of a device.
constexpr std::int64_t kUsedPpm = 10'000;

}  // namespace

void Desk::OnSetShares(Job job) {
  if (!Allowed(job, {MarketRole::kAdmin})) return;
  const auto& ask = *job.request->body.AsSetShares();
  const std::optional<IdentityRecord> known = Identify(ask.identity);
  if (!known) {
    return Fail(job, Status(Code::kNotFound, kWhere,
                            "the market does not know this identity; let it in first: slotctl keys trust"));
  }
  IdentityRecord record = *known;
  record.budget_weight = ask.budget_weight;
  record.floors.clear();
  for (const auto& floor : ask.floors) {
    if (floor->share_ppm > 0) record.floors.push_back({floor->class_name, floor->share_ppm});
  }
  Result<Decision> decision = DecideShares(book_, ask.identity, std::move(record));
  if (!decision.ok()) return Fail(job, decision.status());
  const auto answer = [this, job] { Answer(job, AccountOf(job.request->body.AsSetShares()->identity)); };
  Decided(std::move(job), std::move(*decision), answer);
}

// Once a period, whoever leads then: what is handed out is a deposit, split by weight.
void Desk::Budgets() {
  next_budget_ = now_ + kBudgetEach;
  const std::int64_t period_ms = std::chrono::duration_cast<std::chrono::milliseconds>(options_.budget_period).count();
  if (period_ms <= 0 || moment_.now_ms < 0) return;
  const auto period = static_cast<std::uint64_t>(moment_.now_ms / period_ms);
  const auto* last = book_.Find<BudgetRecord>(Family::kBudget, "period");
  if (last != nullptr && last->period >= period) return;
  std::vector<std::string> ids;
  std::vector<auction::Budget> budgets;
  for (const auto& [id, entry] : book_.All(Family::kIdentity)) {
    const auto& identity = std::get<IdentityRecord>(entry);
    if (identity.budget_weight == 0 || identity.is_banned || ids.size() >= kBudgetsMax) continue;
    const AccountRecord* account = book_.Account(id);
    budgets.push_back({ids.size(), identity.budget_weight, account != nullptr ? account->balance : 0});
    ids.push_back(id);
  }
  if (ids.empty()) return;
  const Result<std::vector<auction::Portion>> portions = auction::Grant(options_.budget, budgets, kPeriodsSaved);
  if (!portions.ok()) return log::Error(kWhere, portions.status().ToString());
  Edit edit(book_);
  edit.Open<BudgetRecord>(Family::kBudget, "period").period = period;
  for (const auction::Portion& portion : *portions) {
    if (const Status status = Deposit(edit.Account(ids[portion.party]), portion.amount); !status.ok()) {
      log::Warning(kWhere, "a budget was not handed out: " + status.text());
    }
  }
  Inside([&](Job job) { Decided(std::move(job), edit.Finish(), nullptr); });
}

// By what a server tells, not by what time it is: a lease of which nothing is heard is not called unused. What it tells
// of is little; of all the other leases that it has, as many are looked at each time as take no time to speak of.
void Desk::NoteUse(const std::string& server, Session& session, const messages::KeepServerT& keep) {
  const std::int64_t unused_ms = std::chrono::duration_cast<std::chrono::milliseconds>(options_.unused).count();
  if (unused_ms <= 0) return;
  const std::int64_t now_ms = moment_.now_ms;
  const std::int64_t since_ms = session.heard_ms == 0 ? 1 : std::max<std::int64_t>(now_ms - session.heard_ms, 1);
  session.heard_ms = now_ms;
  if (keep.uses.size() >= kUsesTold) session.busy_ms = now_ms;
  std::map<std::string_view, std::int64_t> told;
  for (const auto& use : keep.uses) told[use->lease] += use->device_time_us;
  for (const auto& [id, device_us] : told) {
    const LeaseRecord* lease = book_.Lease(std::string(id));
    if (lease == nullptr || lease->server != server || device_us * 1000 < since_ms * kUsedPpm) continue;
    used_ms_[std::string(id)] = now_ms;
    unused_.erase(std::string(id));
  }
  LookForUnused(server, session, unused_ms);
  const auto is_over = [this](const std::string& id) {
    const LeaseRecord* lease = book_.Lease(id);
    return lease == nullptr || lease->state != LeaseState::kActive;
  };
  std::erase_if(unused_, is_over);
  if (used_ms_.size() > 2 * book_.active_leases() + kUsesTold) {
    std::erase_if(used_ms_, [&](const auto& entry) { return is_over(entry.first); });
  }
}

// Goes on behind the lease that was looked at last, round and round.
void Desk::LookForUnused(const std::string& server, Session& session, std::int64_t unused_ms) {
  const std::set<std::string>& slots = book_.SlotsOfServer(server);
  auto slot = slots.lower_bound(session.looked_at.first);
  std::size_t looked = 0;
  // The first slot comes once more, for what lies before the place where it began.
  for (std::size_t i = 0; i <= slots.size() && !slots.empty(); ++i, ++slot) {
    if (slot == slots.end()) slot = slots.begin();
    const std::set<std::string>& leases = book_.LeasesOfSlot(*slot);
    const bool goes_on = i == 0 && *slot == session.looked_at.first;
    for (auto id = goes_on ? leases.upper_bound(session.looked_at.second) : leases.begin(); id != leases.end(); ++id) {
      const std::int64_t seen_ms = std::max(book_.Lease(*id)->began_ms, moment_.now_ms);
      const std::int64_t used_ms = std::max(used_ms_.try_emplace(*id, seen_ms).first->second, session.busy_ms);
      if (moment_.now_ms - used_ms >= unused_ms) {
        unused_.insert(*id);
      } else {
        unused_.erase(*id);
      }
      if (++looked < kLeasesLookedAt) continue;
      session.looked_at = {*slot, *id};
      return;
    }
  }
  session.looked_at = {};
}

}  // namespace accelmesh::market
