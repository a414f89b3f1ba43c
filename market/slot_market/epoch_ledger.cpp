#include "market/slot_market/epoch_ledger.h"

#include <algorithm>

#include "market/ledger/folder_store.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "slot-market";
constexpr char kOrigin[] = "accelmesh-market";
// An order that was in no epoch for so long is posted again, should it come back.
constexpr std::uint64_t kEpochsKept = 64;
constexpr std::size_t kPostedMax = 65536;

Result<ledger::SignedOrder> EntryOf(const SignedOrderBytes& bytes) {
  ledger::SignedOrder order;
  order.order.assign(bytes.order.begin(), bytes.order.end());
  if (bytes.signature.size() != order.signature.size()) {
    return Status(Code::kInternal, kWhere, "an order without a signature cannot be sealed");
  }
  std::copy(bytes.signature.begin(), bytes.signature.end(), order.signature.begin());
  return order;
}

}  // namespace

Result<std::unique_ptr<EpochLedger>> EpochLedger::Open(const std::string& folder, const security::SigningKey& key) {
  ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<ledger::Store> store, ledger::OpenFolder(folder, ledger::Access::kAppend));
  ACCELMESH_ASSIGN_OR_RETURN(security::SigningKey copy, security::SigningKey::FromSeed(key.seed()));
  ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<ledger::Ledger> opened,
                             ledger::Ledger::Open(std::move(store), kOrigin, std::move(copy)));
  std::unique_ptr<EpochLedger> made(new EpochLedger(std::move(opened)));
  ACCELMESH_RETURN_IF_ERROR(made->LookBack());
  return made;
}

Status EpochLedger::LookBack() {
  const ledger::Log& log = ledger_->log();
  bool has_number = false;
  for (std::uint64_t index = log.size(); index > 0; --index) {
    ACCELMESH_ASSIGN_OR_RETURN(const Bytes bytes, log.Entry(index - 1));
    ACCELMESH_ASSIGN_OR_RETURN(const ledger::Entry entry, ledger::ParseEntry(bytes));
    if (const auto* seal = std::get_if<ledger::Seal>(&entry); seal != nullptr && !has_number) {
      // Sealed and not recorded, or the seal of the record that was found: the later one counts.
      last_number_ = std::max(last_number_, seal->number);
      has_number = true;
    }
    const auto* last = std::get_if<ledger::EpochPart>(&entry);
    if (last == nullptr) continue;
    last_number_ = std::max(last_number_, last->number);
    Bytes record;
    for (std::uint64_t part = index - last->parts; part < index; ++part) {
      ACCELMESH_ASSIGN_OR_RETURN(const Bytes part_bytes, log.Entry(part));
      ACCELMESH_ASSIGN_OR_RETURN(const ledger::Entry part_entry, ledger::ParseEntry(part_bytes));
      const auto* piece = std::get_if<ledger::EpochPart>(&part_entry);
      if (piece == nullptr) return {Code::kBadFrame, kWhere, "the ledger's last epoch is damaged; put a copy back"};
      record.insert(record.end(), piece->bytes.begin(), piece->bytes.end());
    }
    ACCELMESH_ASSIGN_OR_RETURN(const ledger::EpochRecord read, ledger::ParseEpoch(record));
    credits_ = read.credits.after;
    return {};
  }
  return {};
}

void EpochLedger::Forget(std::uint64_t number) {
  std::erase_if(posted_, [&](const auto& entry) { return entry.second.used + kEpochsKept < number; });
  if (posted_.size() > kPostedMax) posted_.clear();
}

Result<SealedOrders> EpochLedger::Seal(std::uint64_t number, std::int64_t time_ms,
                                       const std::vector<SignedOrderBytes>& orders) {
  Forget(number);
  std::vector<ledger::SignedOrder> fresh;
  std::vector<ledger::PostedOrder> standing;
  // Where each of ours is among what is given: the new ones first.
  std::vector<std::size_t> fresh_of;
  std::vector<std::size_t> standing_of;
  for (std::size_t i = 0; i < orders.size(); ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(ledger::SignedOrder order, EntryOf(orders[i]));
    ACCELMESH_ASSIGN_OR_RETURN(const Bytes entry, ledger::EntryBytes(order));
    const auto known = posted_.find(ledger::LeafHash(entry));
    if (known != posted_.end()) {
      standing.push_back(known->second.order);
      standing_of.push_back(i);
    } else {
      fresh.push_back(std::move(order));
      fresh_of.push_back(i);
    }
  }
  ACCELMESH_ASSIGN_OR_RETURN(sealed_, ledger_->Seal(number, time_ms, fresh, standing));
  is_published_ = false;
  last_number_ = number;
  for (const ledger::PostedOrder& order : sealed_.orders) posted_[order.leaf] = {order, number};
  SealedOrders sealed;
  sealed.seed = ledger::SeedOf(number, sealed_.note);
  sealed.ranks.resize(orders.size());
  for (std::size_t i = 0; i < fresh_of.size(); ++i) sealed.ranks[fresh_of[i]] = sealed_.ranks[i];
  for (std::size_t i = 0; i < standing_of.size(); ++i) {
    sealed.ranks[standing_of[i]] = sealed_.ranks[fresh_of.size() + i];
  }
  return sealed;
}

Status EpochLedger::Record(const EpochPlan& plan, const auction::EpochOutcome& outcome, std::int64_t time_ms,
                           std::int64_t credits, std::int64_t deposited) {
  ledger::EpochRecord record;
  record.seal = sealed_.index;
  record.sealed_note = sealed_.note;
  record.time_ms = time_ms;
  for (const std::string& party : plan.parties) {
    security::PublicKey key;
    ACCELMESH_RETURN_IF_ERROR(security::ParseHex(party, key.bytes));
    record.parties.push_back(key);
  }
  record.class_names = plan.classes;
  record.lease_names = plan.leases;
  for (const ledger::PostedOrder& order : sealed_.orders) record.orders.push_back(order.index);
  for (const auto& [id, source] : plan.asks) {
    if (id >= plan.signed_orders) record.idle_slots.push_back(source.slot);
  }
  record.input = plan.input;
  record.outcome = ledger::DigestsOf(outcome);
  // All that there is was deposited, so what came since the last epoch was, too.
  record.credits = {credits_, deposited - credits_, credits};
  ACCELMESH_RETURN_IF_ERROR(ledger_->Record(record).status());
  credits_ = credits;
  return {};
}

Status EpochLedger::Publish() {
  if (is_published_) return {};
  ACCELMESH_RETURN_IF_ERROR(ledger_->log().Publish());
  is_published_ = true;
  return {};
}

}  // namespace accelmesh::market
