#include "market/ledger/verify_folder.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <unordered_map>

#include "market/ledger/epoch_parts.h"
#include "market/ledger/folder_store.h"
#include "market/ledger/promise.h"
#include "market/ledger/reputation.h"
#include "market/ledger/tree.h"

namespace accelmesh::market::ledger {
namespace {

constexpr char kWhere[] = "VerifyFolder";
// Orders that are remembered, so that an epoch's need not be read again.
constexpr std::size_t kOrdersKept = 1U << 16;
constexpr std::uint64_t kProgressEach = 256;
constexpr std::size_t kClearedKept = 4096;
constexpr std::int64_t kScoreAgeMs = 2LL * 3600 * 1000;

Status Wrong(const std::string& what) { return {Code::kPermissionDenied, kWhere, what}; }

// What a store says, while it is a store: damage is a discrepancy, a refusal of the system is not.
bool IsDiscrepancy(const Status& status) {
  return status.code() == Code::kBadFrame || status.code() == Code::kPermissionDenied ||
         status.code() == Code::kInvalidArgument || status.code() == Code::kLimitExceeded;
}

class Verification {
 public:
  Verification(Store& store, const FolderCheck& check, const OrderReader& reader)
      : store_(store), check_(check), reader_(reader) {}

  Result<FolderReport> Run() {
    Status status = Verify();
    if (!status.ok() && !IsDiscrepancy(status)) return status;
    report_.discrepancy = std::move(status);
    return std::move(report_);
  }

 private:
  Status Verify();
  Status VerifyBundle(std::uint64_t index);
  Status CompareTiles(const std::vector<StoredFile>& completed);
  Status VerifyEntry(ByteView bytes);
  Status Take(const SignedOrder& order, const Hash& leaf);
  Status Take(const ledger::Seal& seal);
  Status Take(const EpochPart& part);
  Status Take(const CounterSignedReceipt& receipt);
  Status Take(const StatedReputation& stated);
  Status Take(const Settlement& settlement);
  void NoteCleared(const EpochRecord& record, const auction::EpochOutcome& outcome);
  Status VerifyScores(const EpochRecord& record);
  Status VerifyRecord(ByteView bytes);
  Status VerifySealedNote(const EpochRecord& record);
  Result<SealedOrder> OrderAt(std::uint64_t index);
  Status VerifyLastCheckpoint();
  Status VerifyHeld(const std::string& note);

  Store& store_;
  const FolderCheck& check_;
  const OrderReader& reader_;
  FolderReport report_;
  std::unique_ptr<Tree> tree_;  // of the folder: proofs come from its tiles
  MemoryStore none_;
  std::string note_;            // the last checkpoint
  std::unique_ptr<Tree> anew_;  // made from the entries alone
  std::uint64_t index_ = 0;     // of the entry that is looked at
  std::unordered_map<std::uint64_t, SealedOrder> orders_;
  std::deque<std::uint64_t> orders_kept_;
  std::map<std::uint64_t, ledger::Seal> open_seals_;  // by index; cleared with their epochs
  DueOrders due_;
  // What was cleared and not settled so far, by epoch and bid.
  std::map<std::uint64_t, std::map<std::uint32_t, ClearedBid>> cleared_;
  std::uint64_t settled_ = 0;  // the last epoch of which something was
  ReputationBook reputations_{ReputationRules{.is_capped = false}};
  std::set<std::string> stated_;  // whose reputations
  std::uint64_t seal_number_ = 0;
  EpochParts epoch_;
  std::uint64_t epoch_begin_ = 0;  // index of its first part
};

Status Verification::Verify() {
  report_.place = "journal";
  ACCELMESH_ASSIGN_OR_RETURN(const Store::Content content, store_.Load());
  report_.place = "tile";
  ACCELMESH_ASSIGN_OR_RETURN(Tree tree, Tree::Load(store_, content, nullptr));
  tree_ = std::make_unique<Tree>(std::move(tree));
  ACCELMESH_ASSIGN_OR_RETURN(Tree anew, Tree::Load(none_, {}, nullptr));
  anew_ = std::make_unique<Tree>(std::move(anew));
  for (std::uint64_t bundle = 0; bundle < content.base / kTileWidth; ++bundle) {
    ACCELMESH_RETURN_IF_ERROR(VerifyBundle(bundle));
  }
  for (const Bytes& entry : content.entries) {
    // The journal counts; tiles of it may be written already, or not, or torn.
    anew_->Add(entry, nullptr);
    ACCELMESH_RETURN_IF_ERROR(VerifyEntry(entry));
  }
  if (epoch_.is_open()) {
    report_.place = "entry " + std::to_string(epoch_begin_);
    return Wrong("epoch " + std::to_string(epoch_.number()) + " has " + std::to_string(epoch_.taken()) + " of " +
                 std::to_string(epoch_.parts()) + " parts");
  }
  if (check_.progress) check_.progress(index_, tree_->size());
  note_ = check_.extension ? check_.extension->note : content.note;
  ACCELMESH_RETURN_IF_ERROR(VerifyLastCheckpoint());
  for (const std::string& note : check_.held) ACCELMESH_RETURN_IF_ERROR(VerifyHeld(note));
  report_.place.clear();
  return Status::Ok();
}

Status Verification::VerifyBundle(std::uint64_t index) {
  const TileName name{.is_entries = true, .index = index};
  report_.place = PathOf(name);
  const Result<Bytes> bytes = store_.Read(name);
  if (bytes.code() == Code::kNotFound) return Wrong("it is not there");
  if (!bytes.ok()) return bytes.status();
  ACCELMESH_ASSIGN_OR_RETURN(const std::vector<ByteView> entries, ParseBundle(*bytes, kTileWidth));
  std::vector<StoredFile> completed;
  for (const ByteView entry : entries) anew_->Add(entry, &completed);
  ACCELMESH_RETURN_IF_ERROR(CompareTiles(completed));
  for (const ByteView entry : entries) ACCELMESH_RETURN_IF_ERROR(VerifyEntry(entry));
  return Status::Ok();
}

Status Verification::CompareTiles(const std::vector<StoredFile>& completed) {
  for (const StoredFile& file : completed) {
    ACCELMESH_ASSIGN_OR_RETURN(const TileName name, ParseTilePath(file.path));
    report_.place = file.path;
    const Result<Bytes> stored = store_.Read(name);
    if (stored.code() == Code::kNotFound) return Wrong("it is not there");
    if (!stored.ok()) return stored.status();
    if (*stored != file.bytes) return Wrong("its hashes are not those of the entries");
  }
  return Status::Ok();
}

Status Verification::VerifyEntry(ByteView bytes) {
  report_.place = "entry " + std::to_string(index_);
  ACCELMESH_ASSIGN_OR_RETURN(const Entry entry, ParseEntry(bytes));
  if (epoch_.is_open() && !std::holds_alternative<EpochPart>(entry)) {
    return Wrong("it stands between the parts of epoch " + std::to_string(epoch_.number()));
  }
  if (const auto* order = std::get_if<SignedOrder>(&entry)) {
    ACCELMESH_RETURN_IF_ERROR(Take(*order, LeafHash(bytes)));
  } else if (const auto* seal = std::get_if<ledger::Seal>(&entry)) {
    ACCELMESH_RETURN_IF_ERROR(Take(*seal));
  } else if (const auto* part = std::get_if<EpochPart>(&entry)) {
    ACCELMESH_RETURN_IF_ERROR(Take(*part));
  } else if (const auto* receipt = std::get_if<CounterSignedReceipt>(&entry)) {
    ACCELMESH_RETURN_IF_ERROR(Take(*receipt));
  } else if (const auto* settlement = std::get_if<Settlement>(&entry)) {
    ACCELMESH_RETURN_IF_ERROR(Take(*settlement));
  } else {
    ACCELMESH_RETURN_IF_ERROR(Take(std::get<StatedReputation>(entry)));
  }
  ++index_;
  if (check_.progress && index_ % kProgressEach == 0) check_.progress(index_, tree_->size());
  return Status::Ok();
}

Status Verification::Take(const SignedOrder& order, const Hash& leaf) {
  ACCELMESH_ASSIGN_OR_RETURN(OrderTerms terms, reader_.Read(order));
  orders_[index_] = {leaf, std::move(terms)};
  due_.Taken(index_);
  orders_kept_.push_back(index_);
  if (orders_kept_.size() > kOrdersKept) {
    orders_.erase(orders_kept_.front());
    orders_kept_.pop_front();
  }
  ++report_.facts.orders;
  return Status::Ok();
}

Status Verification::Take(const ledger::Seal& seal) {
  if (report_.facts.seals > 0 && seal.number <= seal_number_) {
    return Wrong("the seal of epoch " + std::to_string(seal.number) + " comes after that of " +
                 std::to_string(seal_number_));
  }
  seal_number_ = seal.number;
  open_seals_[index_] = seal;
  ++report_.facts.seals;
  return Status::Ok();
}

Status Verification::Take(const EpochPart& part) {
  if (!epoch_.is_open()) epoch_begin_ = index_;
  ACCELMESH_ASSIGN_OR_RETURN(const std::optional<Bytes> record, epoch_.Take(part));
  return record ? VerifyRecord(*record) : Status::Ok();
}

Status Verification::Take(const StatedReputation& stated) {
  if (index_ != report_.facts.stated) return Wrong("a stated reputation that does not come before everything else");
  const std::string name = security::HexOf(stated.key.bytes);
  if (!stated_.insert(name).second) return Wrong("the reputation of " + name + " is stated twice");
  reputations_.SetState(stated.key, stated.state);
  ++report_.facts.stated;
  return Status::Ok();
}

Status Verification::Take(const CounterSignedReceipt& receipt) {
  if (receipt.receipt.market != check_.market) return Wrong("a receipt of another market");
  ++report_.facts.receipts;
  ACCELMESH_RETURN_IF_ERROR(VerifyReceipt(receipt));
  return reputations_.Add(receipt.receipt);
}

// Trades of a party with itself move nothing.
void Verification::NoteCleared(const EpochRecord& record, const auction::EpochOutcome& outcome) {
  std::map<std::uint32_t, ClearedBid> bids;
  for (std::size_t place = 0; place < outcome.trades.size(); ++place) {
    const auction::Trade& trade = outcome.trades[place];
    if (trade.lane == auction::Lane::kNetted) continue;
    ClearedBid& bid = bids[static_cast<std::uint32_t>(trade.bid)];
    bid.buyer = record.parties[trade.buyer];
    bid.trades[static_cast<std::uint32_t>(place)] = trade;
  }
  for (const auction::GangAward& award : outcome.gangs) {
    const auto bid = bids.find(static_cast<std::uint32_t>(award.gang));
    if (bid != bids.end()) bid->second.surcharge_nanocredits = award.surcharge_nanocredits;
  }
  if (!bids.empty()) cleared_[record.input.number] = std::move(bids);
  // One that was not settled for so long will not be.
  while (cleared_.size() > kClearedKept) cleared_.erase(cleared_.begin());
}

Status Verification::Take(const Settlement& settlement) {
  const std::string name = "epoch " + std::to_string(settlement.number) + ": ";
  const auto cleared = cleared_.find(settlement.number);
  for (const SettledBid& bid : settlement.bids) {
    const std::string of = name + "the settlement of bid " + std::to_string(bid.bid) + ": ";
    const auto found = cleared != cleared_.end() ? cleared->second.find(bid.bid) : decltype(cleared->second.end())();
    if (cleared == cleared_.end() || found == cleared->second.end()) {
      return Wrong(of + "it was not cleared, or was settled before");
    }
    const Status status = CheckSettled(bid, found->second);
    if (!status.ok()) return Wrong(of + status.text());
    report_.facts.trades_settled += bid.trades.size();
    cleared->second.erase(found);
  }
  if (std::exchange(settled_, settlement.number) != settlement.number) ++report_.facts.settlements;
  return Status::Ok();
}

// Nobody counts for more than what both sides have signed gives. Less may be right: good counts as far as money can
// have flowed, which only the market's accounts tell.
Status Verification::VerifyScores(const EpochRecord& record) {
  for (std::size_t i = 0; i < record.deliverers.size(); ++i) {
    std::uint32_t most = 0;
    // Scores are fixed for an hour, and what is bad decays, too.
    for (const std::int64_t ms : {record.time_ms, record.time_ms - kScoreAgeMs}) {
      most = std::max(most, reputations_.ScorePpm(record.deliverers[i], ReputationRole::kProvider, ms));
    }
    if (record.scores[i] <= most) continue;
    return Wrong("epoch " + std::to_string(record.input.number) + ": " + security::HexOf(record.deliverers[i].bytes) +
                 " counts for " + std::to_string(record.scores[i]) + " millionths, and its receipts give " +
                 std::to_string(most));
  }
  return Status::Ok();
}

Status Verification::VerifyRecord(ByteView bytes) {
  ACCELMESH_ASSIGN_OR_RETURN(const EpochRecord record, ParseEpoch(bytes));
  const std::string name = "epoch " + std::to_string(record.input.number) + ": ";
  if (record.input.number != epoch_.number()) return Wrong(name + "its entries say that it is another");
  const auto seal = open_seals_.find(record.seal);
  if (seal == open_seals_.end()) {
    return Wrong(name + "there is no seal at entry " + std::to_string(record.seal) + " that is not used");
  }
  ACCELMESH_RETURN_IF_ERROR(VerifySealedNote(record));
  if (record.time_ms != seal->second.time_ms) return Wrong(name + "it is of another time than its seal");
  std::vector<SealedOrder> orders;
  for (const std::uint64_t index : record.orders) {
    if (index >= record.seal) return Wrong(name + "entry " + std::to_string(index) + " came after its seal");
    Result<SealedOrder> order = OrderAt(index);
    if (!order.ok()) return Wrong(name + "entry " + std::to_string(index) + ": " + order.status().text());
    orders.push_back(std::move(*order));
  }
  ACCELMESH_ASSIGN_OR_RETURN(const EpochFacts facts, VerifyEpoch(record, seal->second, orders, check_.market));
  ACCELMESH_RETURN_IF_ERROR(due_.Recorded(record));
  NoteCleared(record, facts.outcome);
  ACCELMESH_RETURN_IF_ERROR(VerifyScores(record));
  if (report_.facts.epochs > 0 && record.credits.before != report_.facts.credits) {
    return Wrong(name + "the market had " + std::to_string(report_.facts.credits) +
                 " microcredits after the epoch before, and " + std::to_string(record.credits.before) + " before it");
  }
  // An epoch that nothing was recorded of has no outcome; later ones do not come before.
  open_seals_.erase(open_seals_.begin(), std::next(seal));
  if (report_.facts.epochs++ == 0) report_.facts.epoch_first = facts.number;
  report_.facts.epoch_last = facts.number;
  report_.facts.trades += facts.trades;
  report_.facts.credits = record.credits.after;
  return Status::Ok();
}

Status Verification::VerifySealedNote(const EpochRecord& record) {
  const std::string name = "epoch " + std::to_string(record.input.number) + ": ";
  const Result<VerifiedCheckpoint> sealed = VerifyCheckpoint(record.sealed_note, check_.log, check_.witnesses);
  if (!sealed.ok()) return Wrong(name + "its sealed checkpoint: " + sealed.status().text());
  const TreeHead& head = sealed->checkpoint.head;
  if (head.size <= record.seal || head.size > epoch_begin_) {
    return Wrong(name + "its checkpoint of " + std::to_string(head.size) + " entries is not between its seal and it");
  }
  ACCELMESH_ASSIGN_OR_RETURN(const Hash root, RootAt(*tree_, head.size));
  if (root != head.root) {
    return Wrong(name + "its sealed checkpoint of " + std::to_string(head.size) + " entries is of another history");
  }
  return Status::Ok();
}

Result<SealedOrder> Verification::OrderAt(std::uint64_t index) {
  if (const auto known = orders_.find(index); known != orders_.end()) return known->second;
  ACCELMESH_ASSIGN_OR_RETURN(const Bytes bytes, tree_->Entry(index));
  ACCELMESH_ASSIGN_OR_RETURN(const Entry entry, ParseEntry(bytes));
  const auto* order = std::get_if<SignedOrder>(&entry);
  if (order == nullptr) return Wrong("it is no order");
  ACCELMESH_ASSIGN_OR_RETURN(OrderTerms terms, reader_.Read(*order));
  return SealedOrder{LeafHash(bytes), std::move(terms)};
}

Status Verification::VerifyLastCheckpoint() {
  report_.place = "checkpoint";
  ACCELMESH_ASSIGN_OR_RETURN(report_.facts.head.root, anew_->Root());
  report_.facts.head.size = anew_->size();
  if (note_.empty() && anew_->size() == 0) return Status::Ok();
  ACCELMESH_ASSIGN_OR_RETURN(const VerifiedCheckpoint last, VerifyCheckpoint(note_, check_.log, check_.witnesses));
  if (check_.extension) {
    if (!VerifyConsistency(report_.facts.head, last.checkpoint.head, check_.extension->proof).ok()) {
      return Wrong("the log of " + std::to_string(last.checkpoint.head.size) +
                   " entries that was signed is not shown to extend these " + std::to_string(anew_->size()));
    }
  } else if (last.checkpoint.head != report_.facts.head) {
    return Wrong("the root of its " + std::to_string(anew_->size()) + " entries is not the one that was signed");
  }
  report_.facts.cosigners = last.cosigners;
  if (last.cosigners.size() < check_.witnesses_min) {
    return Wrong(std::to_string(last.cosigners.size()) + " of the witnesses have cosigned it, and " +
                 std::to_string(check_.witnesses_min) + " are asked for");
  }
  return Status::Ok();
}

Status Verification::VerifyHeld(const std::string& note) {
  report_.place = "held checkpoint";
  ACCELMESH_ASSIGN_OR_RETURN(const VerifiedCheckpoint held, VerifyCheckpoint(note, check_.log, {}));
  const TreeHead& head = held.checkpoint.head;
  const std::string name = "of " + std::to_string(head.size) + " entries: ";
  if (head.size > tree_->size()) {
    return Wrong(name + "the folder has only " + std::to_string(tree_->size()) + "; get the newest copy");
  }
  ACCELMESH_ASSIGN_OR_RETURN(const Hash root, RootAt(*tree_, head.size));
  if (root == head.root) return Status::Ok();
  Result<ForkEvidence> fork = FindFork(note, note_, *tree_, check_.log);
  if (fork.ok()) report_.fork = std::move(*fork);
  return Wrong(name + "the log has signed two histories");
}

}  // namespace

Result<FolderReport> VerifyStore(Store& store, const FolderCheck& check, const OrderReader& reader) {
  return Verification(store, check, reader).Run();
}

Result<FolderReport> VerifyFolder(const std::string& path, const FolderCheck& check, const OrderReader& reader) {
  ACCELMESH_ASSIGN_OR_RETURN(const std::unique_ptr<Store> store, OpenFolder(path, Access::kRead));
  // What was published last, for those who read files, is an older checkpoint of the same history. It is read first:
  // somebody may go on appending.
  FolderCheck with_published = check;
  if (const Result<Bytes> published = ReadFileBytes(path + "/checkpoint", kNoteBytesMax); published.ok()) {
    with_published.held.insert(with_published.held.begin(), std::string(AsText(*published)));
  }
  return VerifyStore(*store, with_published, reader);
}

}  // namespace accelmesh::market::ledger
