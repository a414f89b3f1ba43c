#include "market/slot_market/epoch_ledger.h"

#include <algorithm>
#include <set>

#include "market/client/orders.h"
#include "market/ledger/epoch_parts.h"
#include "market/ledger/folder_store.h"
#include "market/ledger/promise.h"
#include "market/ledger/remembered_nodes.h"
#include "market/ledger/witness.h"
#include "protocol/base/log.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "slot-market";
// An order that was in no epoch for so long is posted again, should it come back.
constexpr std::uint64_t kEpochsKept = 64;
constexpr std::size_t kPostedMax = 65536;
// Orders that wait for an epoch to have them: of all, and of one owner, who must not take the room of the others. Who
// brings more is taken without a promise.
constexpr std::size_t kDueMax = 65536;
constexpr std::size_t kDueOfOneMax = 1024;
// A witness that is slower than so many checkpoints cosigns the next one.
constexpr std::size_t kNotesKept = 256;
// Below a checkpoint; the one that was heard of longest ago gives way.
constexpr std::size_t kWitnessesMax = 16;
// Nobody is shown what others bid while it may still be served; but a bid that stands for long does not hide the
// ledger.
constexpr std::int64_t kHiddenMsMax = 120'000;
constexpr std::size_t kReadBytesMax = std::size_t{1} << 20;
// How long after an error of the disk it is tried again.
constexpr auto kRoom = std::chrono::milliseconds(500);

Result<ledger::SignedOrder> EntryOf(const SignedOrderBytes& bytes) {
  ledger::SignedOrder order;
  order.order.assign(bytes.order.begin(), bytes.order.end());
  if (bytes.signature.size() != order.signature.size()) {
    return Status(Code::kInternal, kWhere, "an order without a signature cannot be sealed");
  }
  std::copy(bytes.signature.begin(), bytes.signature.end(), order.signature.begin());
  return order;
}

// Verified when it came.
const messages::Order& View(const ledger::SignedOrder& order) {
  return *flatbuffers::GetRoot<messages::Order>(order.order.data());
}

std::string OwnerOf(const ledger::SignedOrder& order) {
  const flatbuffers::String* const owner = View(order).owner();
  return owner != nullptr ? owner->str() : "";
}

}  // namespace

Result<std::unique_ptr<EpochLedger>> EpochLedger::Open(const std::string& folder, const security::SigningKey& key) {
  std::unique_ptr<EpochLedger> made(new EpochLedger(folder, key));
  ACCELMESH_RETURN_IF_ERROR(made->OpenLog(false));
  made->opened_size_ = made->ledger_->log().size();
  return made;
}

Status EpochLedger::OpenLog(bool is_rewritten) {
  ledger::FolderOptions options;
  options.is_rewritten = is_rewritten;
  ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<ledger::Store> store,
                             ledger::OpenFolder(folder_, ledger::Access::kAppend, options));
  ACCELMESH_ASSIGN_OR_RETURN(security::SigningKey copy, security::SigningKey::FromSeed(key_.seed()));
  ACCELMESH_ASSIGN_OR_RETURN(ledger_, ledger::Ledger::Open(std::move(store), ledger::kMarketLog, std::move(copy)));
  log_key_ = ledger_->log().key();
  ACCELMESH_RETURN_IF_ERROR(LookBack());
  NoteAppended();
  return {};
}

Status EpochLedger::Failed(Status status) {
  // What is wrong with the caller's wishes breaks nothing.
  if (status.code() == Code::kInvalidArgument || status.code() == Code::kLimitExceeded ||
      status.code() == Code::kPermissionDenied) {
    return status;
  }
  broken_ = status;
  try_again_ = Clock::now() + kRoom;
  return status;
}

void EpochLedger::Begin(std::vector<ledger::StatedReputation> stated) {
  stated_ = std::move(stated);
  // What cannot be written now is, before what comes next.
  if (const Status status = Recover(); !status.ok()) log::Warning(kWhere, status.ToString());
}

Status EpochLedger::WriteStated() {
  if (stated_.empty()) return {};
  if (Status status = ledger_->Begin(stated_); !status.ok()) return Failed(std::move(status));
  stated_.clear();
  NoteAppended();
  return {};
}

Status EpochLedger::Recover() {
  if (broken_.ok() && ledger_ != nullptr) return WriteStated();
  if (Clock::now() < try_again_) return broken_;
  // The old one has the folder's lock.
  ledger_.reset();
  if (Status status = OpenLog(true); !status.ok()) {
    ledger_.reset();
    return Failed(std::move(status));
  }
  // Where its orders are may have changed with what was cut off.
  posted_.clear();
  HideDue();
  broken_ = {};
  return WriteStated();
}

void EpochLedger::HideDue() {
  std::set<std::uint64_t> hidden;
  for (const Hidden& bid : hidden_) hidden.insert(bid.index);
  for (const auto& [leaf, due] : due_) {
    if (!due.is_bid || hidden.contains(due.order.index)) continue;
    hidden_.push_back({due.order.index, std::min(due.valid_until_ms, now_ms_ + kHiddenMsMax)});
  }
}

// An order that is in the log since the last epoch, or that it left out for now.
Status EpochLedger::NoteDue(std::uint64_t index) {
  ACCELMESH_ASSIGN_OR_RETURN(const Bytes bytes, ledger_->log().Entry(index));
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::Entry entry, ledger::ParseEntry(bytes));
  if (const auto* order = std::get_if<ledger::SignedOrder>(&entry)) {
    ACCELMESH_RETURN_IF_ERROR(ReadOrder(order->order, order->signature).status());
    AddDue({index, ledger::LeafHash(bytes)}, *order);
  }
  return {};
}

void EpochLedger::AddDue(const ledger::PostedOrder& order, const ledger::SignedOrder& signed_order) {
  const messages::Order& read = View(signed_order);
  const Due due{order, read.kind() == messages::OrderKind::Bid, true, read.valid_until_ms(), OwnerOf(signed_order)};
  if (!due_.emplace(order.leaf, due).second) return;
  ++due_anew_;
  ++due_of_[due.owner];
}

const ledger::PostedOrder* EpochLedger::Find(const ledger::Hash& leaf) const {
  if (const auto due = due_.find(leaf); due != due_.end()) return &due->second.order;
  const auto posted = posted_.find(leaf);
  return posted != posted_.end() ? &posted->second.order : nullptr;
}

void EpochLedger::Hide(const ledger::PostedOrder& order, const ledger::SignedOrder& signed_order, std::int64_t now_ms) {
  const messages::Order& read = View(signed_order);
  if (read.kind() != messages::OrderKind::Bid) return;
  hidden_.push_back({order.index, std::min(read.valid_until_ms(), now_ms + kHiddenMsMax)});
}

Status EpochLedger::LookBack() {
  const ledger::Log& log = ledger_->log();
  bool has_number = false;
  due_.clear();
  due_of_.clear();
  due_anew_ = 0;
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
    const Status damaged(Code::kBadFrame, kWhere, "the ledger's last epoch is damaged; put a copy back");
    ledger::EpochParts parts;
    std::optional<Bytes> record;
    if (last->parts > index) return damaged;
    for (std::uint64_t part = index - last->parts; part < index; ++part) {
      ACCELMESH_ASSIGN_OR_RETURN(const Bytes part_bytes, log.Entry(part));
      ACCELMESH_ASSIGN_OR_RETURN(const ledger::Entry part_entry, ledger::ParseEntry(part_bytes));
      const auto* piece = std::get_if<ledger::EpochPart>(&part_entry);
      if (piece == nullptr) return damaged;
      ACCELMESH_ASSIGN_OR_RETURN(record, parts.Take(*piece));
    }
    if (!record) return damaged;
    ACCELMESH_ASSIGN_OR_RETURN(const ledger::EpochRecord read, ledger::ParseEpoch(*record));
    credits_ = read.credits.after;
    for (const ledger::LeftOutOrder& order : read.left_out) {
      if (!IsFinal(order.why)) ACCELMESH_RETURN_IF_ERROR(NoteDue(read.orders[order.rank]));
    }
    for (std::uint64_t order = read.seal + 1; order < log.size(); ++order) ACCELMESH_RETURN_IF_ERROR(NoteDue(order));
    return {};
  }
  for (std::uint64_t order = 0; order < log.size(); ++order) ACCELMESH_RETURN_IF_ERROR(NoteDue(order));
  return {};
}

void EpochLedger::NoteAppended() {
  const ledger::Log& log = ledger_->log();
  notes_[log.size()] = log.note();
  while (notes_.size() > kNotesKept) notes_.erase(notes_.begin());
  is_published_ = false;
}

void EpochLedger::Forget(std::uint64_t number, std::int64_t now_ms) {
  std::erase_if(hidden_, [&](const Hidden& bid) { return bid.until_ms <= now_ms; });
  std::erase_if(posted_, [&](const auto& entry) { return entry.second.used + kEpochsKept < number; });
  if (posted_.size() > kPostedMax) posted_.clear();
}

Result<SealedOrders> EpochLedger::Seal(std::uint64_t number, std::int64_t time_ms,
                                       const std::vector<SignedOrderBytes>& orders,
                                       const std::vector<LeftOutBid>& left_out) {
  now_ms_ = time_ms;
  ACCELMESH_RETURN_IF_ERROR(Recover());
  Forget(number, time_ms);
  std::vector<ledger::SignedOrder> fresh;
  std::vector<ledger::PostedOrder> standing;
  // Where each of ours is among what is given: the new ones first.
  std::vector<std::size_t> fresh_of;
  std::vector<std::size_t> standing_of;
  std::set<ledger::Hash> given;
  for (std::size_t i = 0; i < orders.size(); ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(ledger::SignedOrder order, EntryOf(orders[i]));
    ACCELMESH_ASSIGN_OR_RETURN(const Bytes entry, ledger::EntryBytes(order));
    const ledger::Hash leaf = ledger::LeafHash(entry);
    given.insert(leaf);
    if (const ledger::PostedOrder* known = Find(leaf)) {
      standing.push_back(*known);
      standing_of.push_back(i);
    } else {
      fresh.push_back(std::move(order));
      fresh_of.push_back(i);
    }
  }
  // Behind these, what is due and does not take part.
  std::map<ledger::Hash, ledger::LeftOut> why;
  for (const LeftOutBid& bid : left_out) {
    ACCELMESH_ASSIGN_OR_RETURN(const ledger::SignedOrder order, EntryOf(bid.order));
    ACCELMESH_ASSIGN_OR_RETURN(const Bytes entry, ledger::EntryBytes(order));
    why[ledger::LeafHash(entry)] = bid.why;
  }
  std::vector<ledger::LeftOut> whys;
  for (const auto& [leaf, due] : due_) {
    if (given.contains(leaf)) continue;
    const auto told = why.find(leaf);
    whys.push_back(due.valid_until_ms <= time_ms ? ledger::LeftOut::kExpired
                   : told != why.end()           ? told->second
                   : due.is_bid                  ? ledger::LeftOut::kOver
                                                 : ledger::LeftOut::kNotOffered);
    standing.push_back(due.order);
  }
  Result<ledger::SealedEpoch> written = ledger_->Seal(number, time_ms, fresh, standing);
  if (!written.ok()) return Failed(written.status());
  sealed_ = std::move(*written);
  NoteAppended();
  last_number_ = number;
  SealedOrders sealed;
  sealed.seed = ledger::SeedOf(number, sealed_.note);
  sealed.count = sealed_.orders.size();
  sealed.ranks.resize(orders.size());
  for (std::size_t i = 0; i < fresh_of.size(); ++i) {
    sealed.ranks[fresh_of[i]] = sealed_.ranks[i];
    const ledger::PostedOrder& order = sealed_.orders[sealed_.ranks[i]];
    AddDue(order, fresh[i]);
    Hide(order, fresh[i], time_ms);
  }
  for (std::size_t i = 0; i < standing_of.size(); ++i) {
    sealed.ranks[standing_of[i]] = sealed_.ranks[fresh_of.size() + i];
  }
  for (const std::size_t rank : sealed.ranks) posted_[sealed_.orders[rank].leaf] = {sealed_.orders[rank], number};
  left_out_.clear();
  for (std::size_t i = 0; i < whys.size(); ++i) {
    const std::size_t rank = sealed_.ranks[fresh_of.size() + standing_of.size() + i];
    left_out_.push_back({static_cast<std::uint32_t>(rank), whys[i]});
  }
  std::sort(left_out_.begin(), left_out_.end(), [](const auto& a, const auto& b) { return a.rank < b.rank; });
  return sealed;
}

Result<std::vector<std::string>> EpochLedger::Take(const std::vector<SignedOrderBytes>& orders, std::int64_t now_ms) {
  now_ms_ = now_ms;
  ACCELMESH_RETURN_IF_ERROR(Recover());
  if (due_.size() + orders.size() > kDueMax) {
    return Status(Code::kFull, kWhere, "too many orders wait for an epoch that has them; ask again later");
  }
  std::vector<ledger::SignedOrder> fresh;
  std::vector<ledger::Promise> promises(orders.size());
  std::set<ledger::Hash> fresh_leaves;
  std::map<std::string, std::size_t> fresh_of;  // how many, by owner
  std::vector<ledger::Hash> leaves;
  for (std::size_t i = 0; i < orders.size(); ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(ledger::SignedOrder order, EntryOf(orders[i]));
    ACCELMESH_ASSIGN_OR_RETURN(promises[i].entry, ledger::EntryBytes(order));
    leaves.push_back(ledger::LeafHash(promises[i].entry));
    if (Find(leaves[i]) != nullptr || fresh_leaves.contains(leaves[i])) continue;
    const std::string owner = OwnerOf(order);
    const auto due = due_of_.find(owner);
    std::size_t& beside = fresh_of[owner];
    if ((due != due_of_.end() ? due->second : 0) + beside >= kDueOfOneMax) continue;
    ++beside;
    fresh_leaves.insert(leaves[i]);
    fresh.push_back(std::move(order));
  }
  const Result<std::vector<ledger::PostedOrder>> posted = ledger_->Post(fresh);
  if (!posted.ok()) return Failed(posted.status());
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    AddDue((*posted)[i], fresh[i]);
    Hide((*posted)[i], fresh[i], now_ms);
  }
  if (!fresh.empty()) NoteAppended();
  const ledger::Log& log = ledger_->log();
  const ledger::RememberedNodes nodes(log.nodes());
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < orders.size(); ++i) {
    const ledger::PostedOrder* const order = Find(leaves[i]);
    if (order == nullptr) {
      texts.emplace_back();
      continue;
    }
    ledger::Inclusion& inclusion = promises[i].inclusion;
    inclusion.index = order->index;
    inclusion.note = log.note();
    ACCELMESH_ASSIGN_OR_RETURN(inclusion.proof, ledger::ProveInclusion(nodes, inclusion.index, log.size()));
    texts.push_back(ledger::PromiseText(promises[i]));
  }
  return texts;
}

Result<std::vector<SignedOrderBytes>> EpochLedger::DueBids() {
  if (ledger_ == nullptr) return broken_;
  std::vector<SignedOrderBytes> bids;
  for (const auto& [leaf, due] : due_) {
    if (!due.is_bid) continue;
    ACCELMESH_ASSIGN_OR_RETURN(const Bytes bytes, ledger_->log().Entry(due.order.index));
    ACCELMESH_ASSIGN_OR_RETURN(const ledger::Entry entry, ledger::ParseEntry(bytes));
    const auto* order = std::get_if<ledger::SignedOrder>(&entry);
    if (order == nullptr) continue;
    bids.push_back({std::string(order->order.begin(), order->order.end()),
                    std::string(order->signature.begin(), order->signature.end())});
  }
  return bids;
}

// Its orders are due no more, but for those that it left out for now.
void EpochLedger::SettleDue() {
  std::set<std::size_t> again;
  for (const ledger::LeftOutOrder& order : left_out_) {
    if (!IsFinal(order.why)) again.insert(order.rank);
  }
  for (std::size_t rank = 0; rank < sealed_.orders.size(); ++rank) {
    const auto due = due_.find(sealed_.orders[rank].leaf);
    if (due == due_.end()) continue;
    if (due->second.is_new) --due_anew_;
    due->second.is_new = false;
    if (again.contains(rank)) continue;
    if (const auto owner = due_of_.find(due->second.owner); --owner->second == 0) due_of_.erase(owner);
    due_.erase(due);
  }
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
    if (id >= plan.signed_orders) record.idle_slots.push_back(source.name());
  }
  for (const std::string& deliverer : plan.deliverers) {
    security::PublicKey key;
    ACCELMESH_RETURN_IF_ERROR(security::ParseHex(deliverer, key.bytes));
    record.deliverers.push_back(key);
  }
  record.scores = plan.scores;
  for (const auction::Ask& ask : plan.input.asks) {
    record.ask_deliverers.push_back(static_cast<std::uint32_t>(plan.deliverer.at(ask.id)));
  }
  record.input = plan.input;
  record.outcome = ledger::DigestsOf(outcome);
  record.has_all_due = true;
  record.left_out = left_out_;
  // All that there is was deposited, so what came since the last epoch was, too.
  record.credits = {credits_, deposited - credits_, credits};
  ACCELMESH_RETURN_IF_ERROR(Recover());
  if (const Result<std::string> written = ledger_->Record(record); !written.ok()) return Failed(written.status());
  NoteAppended();
  credits_ = credits;
  SettleDue();
  return {};
}

Status EpochLedger::Settle(ledger::Settlement settlement) {
  ACCELMESH_RETURN_IF_ERROR(Recover());
  if (const Result<std::string> written = ledger_->AppendSettlement(std::move(settlement)); !written.ok()) {
    return Failed(written.status());
  }
  NoteAppended();
  return {};
}

Status EpochLedger::AppendReceipts(const std::vector<ledger::CounterSignedReceipt>& receipts) {
  ACCELMESH_RETURN_IF_ERROR(Recover());
  if (const Result<std::string> written = ledger_->AppendReceipts(receipts); !written.ok()) {
    return Failed(written.status());
  }
  NoteAppended();
  return {};
}

Result<std::string> EpochLedger::Extension(std::uint64_t old_size) const {
  if (ledger_ == nullptr) return broken_;
  const ledger::Log& log = ledger_->log();
  ACCELMESH_ASSIGN_OR_RETURN(const ledger::Extension extension, log.ProveExtension(std::min(old_size, log.size())));
  return ExtensionText(extension);
}

Status EpochLedger::Cosign(const security::PublicKey& witness, std::uint64_t size, const std::string& line) {
  if (ledger_ == nullptr) return broken_;
  const ledger::NamedKey key{ledger::WitnessNameOf(witness), witness};
  const auto known = notes_.find(size);
  if (known == notes_.end()) {
    return {Code::kNotFound, kWhere,
            "the checkpoint of " + std::to_string(size) + " entries is none of the last; cosign the newest"};
  }
  // Without what others have cosigned: there each has its own.
  ACCELMESH_ASSIGN_OR_RETURN(const std::string note, ledger::WithSignature(known->second, line));
  const Result<ledger::VerifiedCheckpoint> verified = VerifyCheckpoint(note, ledger_->log().key(), {&key, 1});
  if (!verified.ok() || verified->cosigners.empty()) {
    return {Code::kPermissionDenied, kWhere,
            "the line is not of " + key.name + " below the checkpoint of " + std::to_string(size) + " entries"};
  }
  if (const auto before = cosigned_.find(key.name); before != cosigned_.end() && before->second.size > size) return {};
  if (!cosigned_.contains(key.name) && cosigned_.size() >= kWitnessesMax) {
    const auto oldest = std::min_element(cosigned_.begin(), cosigned_.end(),
                                         [](const auto& a, const auto& b) { return a.second.size < b.second.size; });
    if (oldest->second.size >= size) {
      return {Code::kFull, kWhere, std::to_string(kWitnessesMax) + " witnesses have cosigned it; that is enough"};
    }
    cosigned_.erase(oldest);
  }
  cosigned_[key.name] = {size, note};
  is_published_ = false;
  if (size != ledger_->log().size()) return {};
  return ledger_->log().AddCosignature(key, line);
}

std::uint64_t EpochLedger::Readable(std::int64_t now_ms) {
  if (opened_ms_ < 0) opened_ms_ = now_ms;
  std::erase_if(hidden_, [&](const Hidden& bid) { return bid.until_ms <= now_ms; });
  std::uint64_t readable = ledger_->log().size();
  for (const Hidden& bid : hidden_) readable = std::min(readable, bid.index);
  // Its bids may be brought again.
  const bool is_old = opened_size_ == 0 || now_ms >= opened_ms_ + kHiddenMsMax;
  return is_old ? readable : 0;
}

Result<ReadableEntries> EpochLedger::Read(std::uint64_t first, std::int64_t now_ms) {
  if (ledger_ == nullptr) return broken_;
  ReadableEntries read;
  read.readable = Readable(now_ms);
  if (first >= read.readable) return read;
  ACCELMESH_ASSIGN_OR_RETURN(read.entries, ledger_->log().Entries(first, kReadBytesMax));
  if (read.entries.size() > read.readable - first) read.entries.resize(read.readable - first);
  return read;
}

Status EpochLedger::Publish() {
  if (is_published_ || ledger_ == nullptr || !broken_.ok()) return {};
  std::vector<ledger::StoredFile> cosigned;
  for (const auto& [name, note] : cosigned_) {
    cosigned.push_back({"cosigned/" + name, Bytes(note.note.begin(), note.note.end())});
  }
  ACCELMESH_RETURN_IF_ERROR(ledger_->log().Publish(cosigned));
  is_published_ = true;
  return {};
}

}  // namespace accelmesh::market
