// Rounds: what was decided, written down in as few transactions as can be.
#include <algorithm>

#include "market/desk/desk.h"
#include "protocol/base/log.h"

namespace accelmesh::market {
namespace {

// The registry takes 128 operations and 128 compares a transaction; the leader's key is one compare.
constexpr std::size_t kKeysMax = 120;
constexpr std::size_t kBytesMax = 700 * 1024;
constexpr int kTriesMax = 8;
// Less than the patience of a client (market_client.cpp).
constexpr auto kSilentFor = std::chrono::milliseconds(2500);

std::size_t SizeOf(const Write& write) {
  // Encoded only once, when the transaction is sent: a bound is enough.
  if (const auto* slot = std::get_if<SlotRecord>(&write.record)) return 4096 + 64 * slot->slot.labels.size();
  if (const auto* lease = std::get_if<LeaseRecord>(&write.record))
    return 1024 + lease->request.size() + lease->why.size() + lease->ask.order.size();
  if (const auto* report = std::get_if<ReportRecord>(&write.record))
    return 1024 + 512 * report->classes.size() + 1024 * report->trades.size();
  return std::holds_alternative<PriceRecord>(write.record) ? 8192 : 1024;
}

}  // namespace

void Desk::Decided(Job job, Decision decision, std::function<void()> answer) {
  if (is_full_ && !decision.writes.empty()) {
    // What time brings, it brings again.
    if (job.request == nullptr) return;
    return Fail(job, Status(Code::kFull, "slot-market", "the market could not write it down: " + trouble_));
  }
  book_.Apply(decision);
  if (!decision.writes.empty()) ++changes_;
  job.decision = std::move(decision);
  job.answer = std::move(answer);
  job.queued = now_;
  decided_.push_back(std::move(job));
}

Desk::Told Desk::ToldOf(const Decision& decision, const std::string& id) const {
  const auto after = [&](const std::string& lease) -> std::shared_ptr<const LeaseRecord> {
    for (const Write& write : decision.writes) {
      if (write.key.family != Family::kLease || write.key.id != lease) continue;
      const auto* written = std::get_if<LeaseRecord>(&write.record);
      return written != nullptr ? std::make_shared<const LeaseRecord>(*written) : nullptr;
    }
    const LeaseRecord* found = book_.Lease(lease);
    return found != nullptr ? std::make_shared<const LeaseRecord>(*found) : nullptr;
  };
  Told told{id, after(id), nullptr};
  if (told.lease != nullptr && !told.lease->bought.from.empty()) told.seller = after(told.lease->bought.from);
  return told;
}

std::vector<Desk::Told> Desk::ToldOf(const Decision& decision, const std::vector<std::string>& ids) const {
  std::vector<Told> all;
  for (const std::string& id : ids) all.push_back(ToldOf(decision, id));
  return all;
}

// The transactions of this round that have to be the job's: those that write what it touches, or read what it writes.
// Nothing if there are several. Where order is kept, none has to.
std::optional<std::set<std::size_t>> Desk::BoundTo(const Job& job, const WrittenBy& written, const ReadBy& read) const {
  std::set<std::size_t> bound;
  if (options_.keeps_order) return bound;
  for (const Write& write : job.decision.writes) {
    const std::string path = PathOf(write.key);
    if (const auto at = written.find(path); at != written.end()) bound.insert(at->second);
    if (const auto at = read.find(path); at != read.end()) bound.insert(at->second.begin(), at->second.end());
  }
  for (const RecordKey& key : job.decision.reads) {
    if (const auto at = written.find(PathOf(key)); at != written.end()) bound.insert(at->second);
  }
  if (bound.size() > 1) return std::nullopt;
  return bound;
}

// Puts a job into the transaction of this round that it belongs to; what it writes is the transaction's then. False if
// it has to wait for the next.
bool Desk::Assign(Job& job, Round& round, WrittenBy& written, ReadBy& read) {
  const std::optional<std::set<std::size_t>> bound = BoundTo(job, written, read);
  if (!bound) return false;
  std::size_t bytes = 0;
  for (const Write& write : job.decision.writes) bytes += SizeOf(write);
  const std::size_t keys = job.decision.writes.size() + job.decision.reads.size();
  const auto has_room = [&](const Transaction& transaction) {
    return transaction.writes.size() + transaction.reads.size() + keys <= kKeysMax &&
           transaction.bytes + bytes <= kBytesMax;
  };
  std::size_t index = bound->empty() ? round.transactions.size() : *bound->begin();
  if (bound->empty() && !round.transactions.empty() && has_room(round.transactions.back())) --index;
  if (index == round.transactions.size()) {
    if (index >= options_.transactions_max) return false;
    round.transactions.emplace_back();
  } else if (!has_room(round.transactions[index])) {
    return false;
  }
  Transaction& transaction = round.transactions[index];
  transaction.bytes += bytes;
  for (Write& write : job.decision.writes) {
    if (!options_.keeps_order) written[PathOf(write.key)] = index;
    transaction.writes[write.key] = std::move(write.record);
  }
  for (const RecordKey& key : job.decision.reads) {
    transaction.reads.insert(key);
    if (!options_.keeps_order) read[PathOf(key)].insert(index);
  }
  transaction.jobs.push_back(std::move(job));
  return true;
}

void Desk::Flush() {
  if (stage_ != Stage::kLeading || is_fencing_ || round_ || decided_.empty()) return;
  round_.emplace(Round());
  round_->begun = now_;
  WrittenBy written;
  ReadBy read;
  // What has to wait holds back whatever touches the same.
  std::unordered_set<std::string> blocked;
  std::deque<Job> next;
  for (Job& job : decided_) {
    bool is_blocked = false;
    for (const Write& write : job.decision.writes)
      is_blocked |= !blocked.empty() && blocked.contains(PathOf(write.key));
    for (const RecordKey& key : job.decision.reads) is_blocked |= !blocked.empty() && blocked.contains(PathOf(key));
    if (!is_blocked && Assign(job, *round_, written, read)) continue;
    for (const Write& write : job.decision.writes) blocked.insert(PathOf(write.key));
    for (const RecordKey& key : job.decision.reads) blocked.insert(PathOf(key));
    next.push_back(std::move(job));
  }
  decided_ = std::move(next);
  ++round_number_;
  ++counts_.rounds;
  round_->open = round_->transactions.size();
  // All of them made before the first is sent: the store writes what lies there when it looks, with one sync.
  std::vector<registry::Txn> made;
  for (std::size_t i = 0; i < round_->transactions.size(); ++i) made.push_back(Make(i));
  for (std::size_t i = 0; i < made.size(); ++i) Submit(i, std::move(made[i]));
}

registry::Compare Desk::AsItWas(const RecordKey& key) const {
  std::string path = PathOf(key);
  const auto value = round_->values.find(path);
  if (value == round_->values.end()) return registry::Compare::Unchanged(std::move(path), book_.Revision(key));
  if (!value->second) return registry::Compare::Absent(std::move(path));
  return registry::Compare::Value(std::move(path), *value->second);
}

registry::Txn Desk::Make(std::size_t index) {
  const Transaction& transaction = round_->transactions[index];
  registry::Txn txn;
  txn.compares.push_back(registry::Compare::Unchanged(kLeaderPath, lead_revision_));
  for (const auto& [key, record] : transaction.writes) txn.compares.push_back(AsItWas(key));
  for (const RecordKey& key : transaction.reads) {
    if (!transaction.writes.contains(key)) txn.compares.push_back(AsItWas(key));
  }
  for (const auto& [key, record] : transaction.writes) {
    const std::string path = PathOf(key);
    if (std::holds_alternative<std::monostate>(record)) {
      txn.then.push_back(registry::Operation::Delete(path));
      if (options_.keeps_order) round_->values[path] = std::nullopt;
      continue;
    }
    registry::LeaseId lease = registry::kNoLease;
    if (key.family == Family::kServer) lease = servers_[key.id].lease;
    std::string bytes = EncodeRecord(record);
    if (options_.keeps_order) round_->values[path] = bytes;
    txn.then.push_back(registry::Operation::Put(path, std::move(bytes), lease));
  }
  return txn;
}

void Desk::Submit(std::size_t index, registry::Txn txn) {
  ++counts_.transactions;
  registry_.Submit(std::move(txn), Soon(),
                   Here<registry::TxnResult>([this, round = round_number_, index](Result<registry::TxnResult> result) {
                     OnTransaction(round, index, std::move(result));
                   }));
}

void Desk::OnTransaction(std::uint64_t number, std::size_t index, Result<registry::TxnResult> result) {
  if (!round_ || number != round_number_) return;
  Transaction& transaction = round_->transactions[index];
  if (transaction.is_done) return;
  transaction.is_done = true;
  --round_->open;
  const bool has_failed = !result.ok() || !result->succeeded;
  if (!has_failed) {
    trouble_.clear();
    for (const auto& [key, record] : transaction.writes) {
      book_.Confirm(key, std::holds_alternative<std::monostate>(record) ? 0 : result->revision);
    }
    for (const Job& job : transaction.jobs) {
      if (job.answer) job.answer();
    }
  } else {
    round_->has_failed = true;
    if (!result.ok()) {
      if (trouble_.empty() && result.code() != Code::kFull)
        log::Warning("slot-market", "a transaction failed: " + result.status().text());
      trouble_ = result.status().text();
    }
    if (result.code() == Code::kFull) Full(trouble_);
    // Nothing of it happened and trying again is not for us to do: the disk is full, or a bound is exceeded.
    const bool is_final = !result.ok() && (result.code() == Code::kFull || result.code() == Code::kLimitExceeded ||
                                           result.code() == Code::kInvalidArgument);
    round_->is_certain &= is_final;
    for (Job& job : transaction.jobs) {
      if (is_final) {
        Fail(job,
             Status(result.code(), "slot-market", "the market could not write it down: " + result.status().text()));
      } else {
        Again(std::move(job), true);
      }
    }
  }
  if (round_->open != 0) return;
  const bool round_failed = round_->has_failed;
  const bool is_certain = round_->is_certain;
  round_.reset();
  if (round_failed) {
    Resync("a transaction failed", is_certain);
  } else {
    Flush();
  }
}

// Decided anew once the book has been read anew.
void Desk::Again(Job job, bool counts) {
  if (counts) ++job.tries;
  job.decision = {};
  job.answer = nullptr;
  // From the beginning: what was prepared for it, a lease of the registry, may be gone.
  job.again = nullptr;
  // What time brought, it brings again.
  if (job.request == nullptr) return;
  if (job.tries > kTriesMax || job.until <= now_) {
    return Fail(
        job, Status(Code::kUnavailable, "slot-market",
                    "the market's registry does not answer (" + (trouble_.empty() ? "others write to it" : trouble_) +
                        "); whether it happened is unknown: ask again with the same operation id"));
  }
  Queue(std::move(job));
}

void Desk::Queue(Job job) {
  job.queued = now_;
  queued_.push_back(std::move(job));
}

// While the registry is silent, those who ask hear so before their patience ends. What they asked for goes on.
void Desk::AnswerLate() {
  // Where another may lead, they are not kept from looking for it.
  const Duration silent_for = IsMute() ? kMuteFor : Duration(kSilentFor);
  const auto is_late = [&](const Job& job) { return job.queued + silent_for <= now_; };
  const auto tell = [this](Job& job) {
    if (job.request == nullptr) return;
    messages::ReplyT reply;
    reply.code = static_cast<std::uint16_t>(Code::kUnavailable);
    reply.text = "the market's registry does not answer" + (trouble_.empty() ? "" : " (" + trouble_ + ")") +
                 "; whether a change happened is unknown: ask again with the same operation id";
    reply.leader = kNoLeader;
    Reply(job, std::move(reply));
    job.peer.clear();
  };
  while (!queued_.empty() && is_late(queued_.front())) {
    tell(queued_.front());
    queued_.pop_front();
  }
  if (!round_) return;
  for (Transaction& transaction : round_->transactions) {
    for (Job& job : transaction.jobs) {
      if (!transaction.is_done && !job.peer.empty() && is_late(job)) tell(job);
    }
  }
  for (Job& job : decided_) {
    if (!is_late(job)) break;
    if (!job.peer.empty()) tell(job);
  }
}

}  // namespace accelmesh::market
