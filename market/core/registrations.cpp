#include "market/core/registrations.h"

#include <algorithm>

#include "market/core/accounts.h"
#include "market/core/losses.h"
#include "market/core/receipts.h"

namespace accelmesh::market {
namespace {

constexpr std::int64_t kFirstPrice = 1'000'000;  // a credit an hour, where no owner asks for anything

struct Sums {
  std::uint64_t share_milli = 0;
  std::uint64_t memory_bytes = 0;
};
Sums LetOf(const Book& book, const std::string& slot) {
  Sums sums;
  for (const std::string& id : book.LeasesOfSlot(slot)) {
    sums.share_milli += book.Lease(id)->share_milli;
    sums.memory_bytes += book.Lease(id)->memory_bytes;
  }
  return sums;
}

}  // namespace

Result<Decision> DecideRegistration(const Book& book, const std::string& server, ServerRecord record,
                                    std::vector<SlotRecord> slots, std::int64_t bond_max) {
  Edit edit(book);
  std::set<std::string> named;
  std::size_t left = 0;  // slots that it no longer names, and that are let
  std::int64_t price = 0;
  for (SlotRecord& slot : slots) {
    const std::string id = slot.slot.id;
    if (!named.insert(id).second) {
      return Status(Code::kInvalidArgument, "market::Register.slots", "slot " + id + " is there twice; name it once");
    }
    const SlotRecord* known = book.Slot(id);
    if (known != nullptr && known->slot.server != server) {
      return Status(Code::kPermissionDenied, "market::Register.slots",
                    "slot " + id + " is another server's (" + known->server_name + "); give this server another name");
    }
    const Sums let = LetOf(book, id);
    if (let.share_milli > slot.slot.share_milli || let.memory_bytes > slot.slot.memory_bytes) {
      return Status(Code::kInvalidArgument, "market::Register.slots",
                    "slot " + id + " has " + std::to_string(let.share_milli) + " thousandths and " +
                        std::to_string(let.memory_bytes) +
                        " bytes let, more than it would have; drain it (slotctl drain) and wait for its leases to end");
    }
    slot.slot.server = server;
    // What an admin drained stays so until he lets it again.
    if (known != nullptr) slot.is_draining = known->is_draining;
    slot.is_withdrawn = false;
    const std::string class_name = slot.class_name();
    if (book.Price(class_name) == nullptr) {
      auto& first = edit.Open<PriceRecord>(Family::kPrice, class_name);
      if (first.price_per_hour == 0) first.price_per_hour = slot.reserve_price > 0 ? slot.reserve_price : kFirstPrice;
    }
    const scheduler::Slot* view = book.View(id);
    price += std::min(kPriceMax, std::max(slot.reserve_price, view != nullptr ? view->price_microcredits_per_hour : 0));
    edit.Put(Family::kSlot, id, std::move(slot));
  }
  for (const std::string& id : book.SlotsOfServer(server)) {
    if (named.contains(id)) continue;
    if (book.LeasesOfSlot(id).empty()) {
      edit.Delete(Family::kSlot, id);
    } else {
      edit.Slot(id).is_withdrawn = true;
      ++left;
    }
  }
  if (const AccountRecord* account = book.Account(server); account != nullptr) {
    const std::int64_t hour = CostOf(price, kBondedMs);
    const std::int64_t wanted = bond_max > 0 ? std::min(hour, bond_max) : hour;
    // What was put up for what is let already stays until the last slot goes.
    const bool has_none = named.empty() && left == 0;
    if (has_none ? account->bond > 0 : wanted > account->bond && account->balance > 0) {
      SetBond(edit.Account(server), wanted);
    }
  }
  ForgetLoss(book, edit, server);
  edit.Put(Family::kServer, server, std::move(record));
  return edit.Finish();
}

Result<Decision> DecideDrain(const Book& book, const std::string& server, bool admin,
                             const std::vector<std::string>& slots, bool drain) {
  Edit edit(book);
  for (const std::string& id : slots) {
    const SlotRecord* slot = book.Slot(id);
    if (slot == nullptr) {
      return Status(Code::kNotFound, "market::Drain", "no slot is named " + id + "; see slotctl slots");
    }
    if (!admin && slot->slot.server != server) {
      return Status(Code::kPermissionDenied, "market::Drain",
                    "slot " + id + " is another server's; its owner or an admin drains it");
    }
    if (slot->is_draining != drain) edit.Slot(id).is_draining = drain;
  }
  return edit.Finish();
}

Result<Decision> DecideDeposit(const Book& book, const std::string& identity, const std::string& operation,
                               std::int64_t amount) {
  Edit edit(book);
  AccountRecord& account = edit.Account(identity);
  if (std::find(account.operations.begin(), account.operations.end(), operation) != account.operations.end()) {
    return Decision{};
  }
  if (book.sums().deposited > kCreditsMax - std::max<std::int64_t>(amount, 0)) {
    return Status(Code::kLimitExceeded, "market::Deposit", "the market would hold more credits than it can count");
  }
  ACCELMESH_RETURN_IF_ERROR(Deposit(account, amount));
  account.operations.push_back(operation);
  if (account.operations.size() > kDepositsRemembered) account.operations.erase(account.operations.begin());
  return edit.Finish();
}

Decision DecideWelcome(const Book& book, const std::string& identity, std::int64_t amount) {
  if (amount <= 0 || book.Account(identity) != nullptr) return {};
  Edit edit(book);
  if (!Deposit(edit.Account(identity), amount).ok()) return {};
  return edit.Finish();
}

Decision DecideTrust(const Book& book, const std::string& identity, IdentityRecord record) {
  Edit edit(book);
  edit.Put(Family::kIdentity, identity, std::move(record));
  return edit.Finish();
}

Result<Decision> DecideShares(const Book& book, const std::string& identity, IdentityRecord named) {
  std::map<std::string, std::uint64_t> sums;
  for (const FloorShare& floor : named.floors) sums[floor.class_name] += floor.share_ppm;
  if (sums.size() != named.floors.size()) {
    return Status(Code::kInvalidArgument, "market::SetShares.floors", "a class is there twice; name it once");
  }
  std::size_t budgets = named.budget_weight > 0 ? 1 : 0;
  for (const auto& [id, entry] : book.All(Family::kIdentity)) {
    if (id == identity) continue;
    const auto& other = std::get<IdentityRecord>(entry);
    budgets += other.budget_weight > 0 ? 1 : 0;
    for (const FloorShare& floor : other.floors) {
      if (const auto sum = sums.find(floor.class_name); sum != sums.end()) sum->second += floor.share_ppm;
    }
  }
  for (const auto& [name, sum] : sums) {
    if (sum <= 1'000'000) continue;
    return Status(Code::kLimitExceeded, "market::SetShares.floors",
                  "all floors of " + name + " would come to " + std::to_string(sum / 10'000) +
                      " % of its devices; lower another one first");
  }
  if (budgets > kBudgetsMax) {
    return Status(Code::kLimitExceeded, "market::SetShares.budget_weight",
                  "at most " + std::to_string(kBudgetsMax) + " identities have a part of the budgets");
  }
  Edit edit(book);
  edit.Put(Family::kIdentity, identity, std::move(named));
  return edit.Finish();
}

Decision DecidePrices(const Book& book, const PriceRules& rules, std::int64_t step_ms, const Moment& moment) {
  Edit edit(book);
  for (const auto& [name, use] : book.UseByClass()) {
    const double utilisation = use.sold_milli == 0 ? 0.0
                                                   : static_cast<double>(std::min(use.let_milli, use.sold_milli)) /
                                                         static_cast<double>(use.sold_milli);
    Step(edit.Open<PriceRecord>(Family::kPrice, name), utilisation, use.reserve_lowest, moment.now_ms, step_ms, rules);
  }
  return edit.Finish();
}

Decision DecideForgetting(const Book& book, const Moment& moment, std::size_t most) {
  Edit edit(book);
  // A slot may come with its owner's account and loss.
  const auto is_full = [&] { return edit.keys() + 3 > most; };
  std::size_t left = book.Ended().size();
  for (const auto& [ended_ms, id] : book.Ended()) {
    if (is_full() || (ended_ms + kEndedKeptMs > moment.now_ms && left <= kEndedKeptMax)) break;
    edit.Delete(Family::kLease, id);
    --left;
  }
  std::map<std::string, std::size_t> deleted;
  for (const auto& [id, entry] : book.All(Family::kSlot)) {
    if (is_full()) break;
    const auto& slot = std::get<SlotRecord>(entry);
    if (!slot.is_withdrawn || !book.LeasesOfSlot(id).empty()) continue;
    // The bond may be owed to somebody, and the slots go with it.
    const auto* loss = book.Find<LossRecord>(Family::kLoss, slot.slot.server);
    if (loss != nullptr && !loss->claims.empty()) continue;
    edit.Delete(Family::kSlot, id);
    const AccountRecord* account = book.Account(slot.slot.server);
    const bool is_last = ++deleted[slot.slot.server] == book.SlotsOfServer(slot.slot.server).size();
    if (account != nullptr && account->bond > 0 && is_last) {
      SetBond(edit.Account(slot.slot.server), 0);
    }
    if (is_last) ForgetLoss(book, edit, slot.slot.server);
  }
  // Prices of classes that no slot is of, once there are many: their names are what providers make up.
  if (const auto& prices = book.All(Family::kPrice); prices.size() > kClassesKept) {
    std::set<std::string> classes;
    for (const auto& [id, entry] : book.All(Family::kSlot)) classes.insert(std::get<SlotRecord>(entry).class_name());
    std::size_t over = prices.size() - kClassesKept;
    for (const auto& [name, entry] : prices) {
      if (is_full() || over == 0) break;
      if (classes.contains(name)) continue;
      edit.Delete(Family::kPrice, name);
      --over;
    }
  }
  return edit.Finish();
}

}  // namespace accelmesh::market
