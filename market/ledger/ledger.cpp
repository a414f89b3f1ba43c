#include "market/ledger/ledger.h"

#include <numeric>

namespace accelmesh::market::ledger {
namespace {

constexpr std::size_t kStatedAtOnce = 64;  // of 15 KiB at most

}  // namespace

Result<std::unique_ptr<Ledger>> Ledger::Open(std::unique_ptr<Store> store, const std::string& origin,
                                             security::SigningKey key) {
  ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<Log> log, Log::Open(std::move(store), origin, std::move(key)));
  return std::unique_ptr<Ledger>(new Ledger(std::move(log)));
}

Status Ledger::Begin(std::span<const StatedReputation> stated) {
  if (log_->size() >= stated.size()) return Status::Ok();
  if (log_->size() > 0) {
    ACCELMESH_ASSIGN_OR_RETURN(const Bytes last, log_->Entry(log_->size() - 1));
    ACCELMESH_ASSIGN_OR_RETURN(const Entry entry, ParseEntry(last));
    if (!std::holds_alternative<StatedReputation>(entry)) return Status::Ok();
  }
  std::vector<Bytes> entries;
  for (const StatedReputation& one : stated.subspan(log_->size())) {
    ACCELMESH_ASSIGN_OR_RETURN(Bytes entry, EntryBytes(one));
    entries.push_back(std::move(entry));
    if (entries.size() < kStatedAtOnce) continue;
    ACCELMESH_RETURN_IF_ERROR(log_->Append(entries).status());
    entries.clear();
  }
  return entries.empty() ? Status::Ok() : log_->Append(entries).status();
}

Result<std::vector<PostedOrder>> Ledger::Post(std::span<const SignedOrder> orders) {
  std::vector<Bytes> entries;
  std::vector<PostedOrder> posted;
  for (const SignedOrder& order : orders) {
    ACCELMESH_ASSIGN_OR_RETURN(Bytes entry, EntryBytes(order));
    posted.push_back({log_->size() + entries.size(), LeafHash(entry)});
    entries.push_back(std::move(entry));
  }
  if (entries.empty()) return posted;
  ACCELMESH_RETURN_IF_ERROR(log_->Append(entries).status());
  return posted;
}

Result<SealedEpoch> Ledger::Seal(std::uint64_t number, std::int64_t time_ms, std::span<const SignedOrder> fresh,
                                 std::span<const PostedOrder> standing) {
  std::vector<Bytes> entries;
  std::vector<PostedOrder> given;
  for (const SignedOrder& order : fresh) {
    ACCELMESH_ASSIGN_OR_RETURN(Bytes entry, EntryBytes(order));
    given.push_back({log_->size() + entries.size(), LeafHash(entry)});
    entries.push_back(std::move(entry));
  }
  given.insert(given.end(), standing.begin(), standing.end());
  std::vector<std::size_t> by_rank(given.size());
  std::iota(by_rank.begin(), by_rank.end(), std::size_t{0});
  std::sort(by_rank.begin(), by_rank.end(),
            [&](std::size_t one, std::size_t other) { return given[one].leaf < given[other].leaf; });
  SealedEpoch sealed;
  sealed.number = number;
  sealed.ranks.resize(given.size());
  std::vector<Hash> leaves;
  for (std::size_t rank = 0; rank < by_rank.size(); ++rank) {
    const PostedOrder& order = given[by_rank[rank]];
    if (rank > 0 && sealed.orders.back().leaf == order.leaf) {
      return Status(Code::kInvalidArgument, "Ledger::Seal",
                    "the order at entry " + std::to_string(order.index) + " is there twice; an order counts once");
    }
    sealed.orders.push_back(order);
    sealed.ranks[by_rank[rank]] = rank;
    leaves.push_back(order.leaf);
  }
  ledger::Seal seal{number, time_ms, static_cast<std::uint32_t>(leaves.size()), RootOf(leaves)};
  ACCELMESH_ASSIGN_OR_RETURN(Bytes entry, EntryBytes(seal));
  sealed.index = log_->size() + entries.size();
  entries.push_back(std::move(entry));
  // As many batches as they need; the seal comes with the last one. What is left of a crash in between are orders that
  // are posted, and in no epoch.
  std::size_t begin = 0;
  for (std::size_t bytes = 0, end = 0; end < entries.size(); ++end) {
    if (bytes + entries[end].size() > kBatchBytesMax || end - begin == kBatchEntriesMax) {
      ACCELMESH_RETURN_IF_ERROR(log_->Append(std::span(entries).subspan(begin, end - begin)).status());
      begin = end;
      bytes = 0;
    }
    bytes += entries[end].size();
  }
  ACCELMESH_ASSIGN_OR_RETURN(const Appended appended, log_->Append(std::span(entries).subspan(begin)));
  sealed.note = appended.note;
  return sealed;
}

Result<std::string> Ledger::Record(const EpochRecord& record) {
  ACCELMESH_ASSIGN_OR_RETURN(const std::vector<Bytes> entries, EpochEntries(record));
  ACCELMESH_ASSIGN_OR_RETURN(const Appended appended, log_->Append(entries));
  return appended.note;
}

Result<std::string> Ledger::AppendSettlement(Settlement settlement) {
  std::vector<Bytes> entries;
  for (const Settlement& part : SplitSettlement(std::move(settlement))) {
    ACCELMESH_ASSIGN_OR_RETURN(Bytes entry, EntryBytes(part));
    entries.push_back(std::move(entry));
  }
  if (entries.empty()) return log_->note();
  ACCELMESH_ASSIGN_OR_RETURN(const Appended appended, log_->Append(entries));
  return appended.note;
}

Result<std::string> Ledger::AppendReceipts(std::span<const CounterSignedReceipt> receipts) {
  std::vector<Bytes> entries;
  for (const CounterSignedReceipt& receipt : receipts) {
    ACCELMESH_RETURN_IF_ERROR(VerifyReceipt(receipt));
    ACCELMESH_ASSIGN_OR_RETURN(Bytes entry, EntryBytes(receipt));
    entries.push_back(std::move(entry));
  }
  if (entries.empty()) return log_->note();
  ACCELMESH_ASSIGN_OR_RETURN(const Appended appended, log_->Append(entries));
  return appended.note;
}

}  // namespace accelmesh::market::ledger
