// Who leads: watching the leader, taking its place, reading the book, and stepping down.
#include <algorithm>

#include "market/desk/desk.h"
#include "market/desk/epoch_log.h"
#include "market/desk/reputations.h"
#include "protocol/base/log.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "slot-market";
// That a server that was lost before has to register with a new leader.
constexpr auto kComeBack = std::chrono::minutes(1);
constexpr auto kPause = std::chrono::milliseconds(200);
constexpr auto kPauseDamaged = std::chrono::seconds(10);
constexpr auto kIdentities = std::chrono::seconds(2);
// How often a full disk is tried again.
constexpr auto kRoom = std::chrono::milliseconds(500);

}  // namespace

void Desk::Later(Duration wait, std::function<void()> what) { later_.emplace(now_ + wait, std::move(what)); }

// Reads who leads.
void Desk::Look() {
  stage_ = Stage::kFollowing;
  const std::uint64_t term = ++term_;
  leader_watch_.reset();
  next_probe_ = Instant::max();
  registry_.Snapshot(kLeaderPath, VerySoon(),
                     Here<registry::SnapshotResult>([this, term](Result<registry::SnapshotResult> result) {
                       if (term != term_) return;
                       if (!result.ok()) {
                         trouble_ = result.status().text();
                         return Later(kPause, [this, term] {
                           if (term == term_) Look();
                         });
                       }
                       trouble_.clear();
                       has_leader_ = false;
                       Sign sign;
                       for (const registry::Entry& entry : result->entries) {
                         if (entry.key == kPulsePath) sign.pulse = entry.mod_revision;
                         if (entry.key != kLeaderPath) continue;
                         sign.leader = entry.mod_revision;
                         Result<LeaderRecord> leader = DecodeLeader(entry.value);
                         if (leader.ok()) leader_ = std::move(*leader);
                         has_leader_ = true;
                       }
                       if (!has_leader_ || options_.is_alone) return Elect();
                       if (IsSilent(sign)) return Elect(sign);
                       next_probe_ = now_ + options_.pulse * 3 / 2;
                       WatchLeader(result->revision + 1);
                     }));
}

void Desk::WatchLeader(registry::Revision from) {
  const std::uint64_t term = term_;
  auto sink = Here<registry::Change>([this, term](Result<registry::Change> change) {
    if (term != term_) return;
    if (change.ok()) return Watched(*change);
    // The watch has ended: look anew, a little later.
    Later(kPause, [this, term] {
      if (term == term_) Look();
    });
  });
  leader_watch_ = registry_.Watch(kLeaderPath, from, std::move(sink));
}

// Who follows lets in whom the market knows, and tells them where to go.
void Desk::ReadIdentities() {
  next_identities_ = now_ + kIdentities;
  registry_.Snapshot(std::string(Prefix(Family::kIdentity)), Soon(),
                     Here<registry::SnapshotResult>([this](Result<registry::SnapshotResult> result) {
                       if (!result.ok() || stage_ == Stage::kLeading || stage_ == Stage::kLoading) return;
                       Book book;
                       for (const registry::Entry& entry : result->entries) {
                         const std::optional<RecordKey> key = ParsePath(entry.key);
                         if (!key || key->family != Family::kIdentity) continue;
                         if (Result<Record> record = DecodeRecord(*key, entry.value); record.ok()) {
                           book.Apply(*key, std::move(*record));
                         }
                       }
                       const bool has_changed =
                           book.All(Family::kIdentity).size() != book_.All(Family::kIdentity).size();
                       book_ = std::move(book);
                       if (has_changed && world_.identities_changed) world_.identities_changed();
                     }));
}

void Desk::Elect(std::optional<Sign> deposed) {
  if (is_resigned_) return;
  stage_ = Stage::kElecting;
  const std::uint64_t term = ++term_;
  ++counts_.elections;
  // Where nobody else can be, a lease would only be lost by a disk that is slow for a while.
  if (options_.is_alone) return Candidate(registry::kNoLease, deposed);
  registry_.GrantLease(options_.leader_ttl, VerySoon(),
                       Here<registry::LeaseResult>([this, term, deposed](Result<registry::LeaseResult> result) {
                         if (term != term_) return;
                         if (result.ok()) return Candidate(result->id, deposed);
                         trouble_ = result.status().text();
                         Later(kPause, [this, term] {
                           if (term == term_) Look();
                         });
                       }));
}

void Desk::Candidate(registry::LeaseId lease, std::optional<Sign> deposed) {
  const std::uint64_t term = term_;
  LeaderRecord record{options_.urls, options_.name, moment_.now_ms};
  lead_value_ = EncodeLeader(record);
  registry::Txn txn;
  if (deposed) {
    txn.compares.push_back(registry::Compare::Unchanged(kLeaderPath, deposed->leader));
    txn.compares.push_back(registry::Compare::Unchanged(kPulsePath, deposed->pulse));
  } else if (!options_.is_alone) {
    txn.compares.push_back(registry::Compare::Absent(kLeaderPath));
  }
  txn.then.push_back(registry::Operation::Put(kLeaderPath, lead_value_, lease));
  if (!options_.is_alone) txn.then.push_back(registry::Operation::Put(kPulsePath, options_.name, lease));
  registry_.Submit(std::move(txn), VerySoon(),
                   Here<registry::TxnResult>([this, term, lease, record](Result<registry::TxnResult> result) {
                     if (term != term_) return;
                     if (result.ok() && result->succeeded) {
                       leader_ = record;
                       return Lead(result->revision, lease);
                     }
                     // Somebody else was first, or nobody knows. If it was written after all, it goes with its lease,
                     // which is given up.
                     if (!result.ok()) trouble_ = result.status().text();
                     registry_.RevokeLease(lease, Soon(), [](Result<registry::Revision>) {});
                     Later(kPause, [this, term] {
                       if (term == term_) Look();
                     });
                   }));
}

void Desk::Lead(registry::Revision revision, registry::LeaseId lease) {
  lease_ = lease;
  lead_revision_ = revision;
  has_leader_ = true;
  next_keep_ = next_pulse_ = heard_ = now_;
  is_pulsing_ = false;
  silent_since_.reset();
  log::Info(kWhere, options_.name + " leads");
  stage_ = Stage::kLoading;
  Load();
}

// Nothing of an earlier leader's can be applied any more, for it compares the leader's key: what is read now is all.
void Desk::Load() {
  const std::uint64_t term = ++term_;
  registry_.Snapshot("/", Soon(), Here<registry::SnapshotResult>([this, term](Result<registry::SnapshotResult> result) {
                       if (term != term_) return;
                       if (result.ok()) return TakeOver(std::move(*result));
                       trouble_ = result.status().text();
                       Later(kPause, [this, term] {
                         if (term == term_) Load();
                       });
                     }));
}

void Desk::TakeOver(registry::SnapshotResult snapshot) {
  Book book;
  std::map<std::string, Session> servers;
  for (registry::Entry& entry : snapshot.entries) {
    const std::optional<RecordKey> key = ParsePath(entry.key);
    if (!key) continue;
    Result<Record> record = DecodeRecord(*key, entry.value);
    if (!record.ok()) {
      log::Error(kWhere, record.status().text());
      trouble_ = record.status().text();
      return StepDown(record.status().text(), kPauseDamaged);
    }
    book.Confirm(*key, entry.mod_revision);
    book.Apply(*key, std::move(*record));
    if (key->family == Family::kServer) {
      Session& session = servers[key->id];
      if (const auto known = servers_.find(key->id); known != servers_.end()) session.peer = known->second.peer;
      session.lease = entry.lease;
      session.seen = now_;
    }
  }
  book_ = std::move(book);
  servers_ = std::move(servers);
  reputations_->Load(book_);
  ++changes_;
  if (!book_.sums().balanced()) {
    log::Error(kWhere,
               "the accounts do not add up: what is held and owned is not what was deposited; see slotctl doctor");
  }
  const bool is_new = stage_ != Stage::kLeading;
  stage_ = Stage::kLeading;
  is_fencing_ = false;
  if (!is_full_) trouble_.clear();
  if (is_new) {
    next_price_ = now_ + options_.price_step;
    next_sweep_ = next_forget_ = next_audit_ = now_;
    next_losses_ = now_ + std::min<Duration>(options_.gone, kComeBack);
  }
  if (const auto& reports = book_.All(Family::kReport); !reports.empty()) {
    epoch_number_ = std::max(epoch_number_, std::get<ReportRecord>(reports.rbegin()->second).number);
  }
  if (is_new && options_.epoch_log != nullptr) options_.epoch_log->Begin(reputations_->Stated(book_));
  if (options_.epoch_log != nullptr) epoch_number_ = std::max(epoch_number_, options_.epoch_log->last_number());
  EndRuns();
  if (is_new) RestoreBids();
  WatchNodes(snapshot.revision + 1);
  if (world_.identities_changed) world_.identities_changed();
  // Leases whose server went while nobody led.
  std::set<std::string> lost;
  for (const auto& [end, id] : book_.ByEnd()) {
    const std::string& server = book_.Lease(id)->server;
    if (book_.Server(server) == nullptr) lost.insert(server);
  }
  for (const std::string& server : lost) LoseServer(server);
  std::deque<Job> queued = std::move(queued_);
  queued_.clear();
  for (Job& job : queued) Dispatch(std::move(job));
  Flush();
}

void Desk::WatchNodes(registry::Revision from) {
  const std::uint64_t term = term_;
  auto sink = Here<registry::Change>([this, term](Result<registry::Change> change) {
    if (term != term_ || stage_ != Stage::kLeading) return;
    if (!change.ok()) return Resync("the watch of servers ended: " + change.status().text());
    for (const registry::Event& event : change->events) {
      if (event.kind != registry::Event::Kind::kDelete) continue;
      if (const auto key = ParsePath(event.entry.key)) OnNodeGone(key->id, change->revision);
    }
    Flush();
  });
  node_watch_ = registry_.Watch(std::string(Prefix(Family::kServer)), from, std::move(sink));
}

void Desk::OnNodeGone(const std::string& server, registry::Revision revision) {
  const RecordKey key{Family::kServer, server};
  // It has registered anew since.
  if (book_.Revision(key) > revision || book_.Server(server) == nullptr) return;
  book_.Apply(key, std::monostate{});
  book_.Confirm(key, 0);
  ++changes_;
  const auto session = servers_.find(server);
  log::Warning(kWhere, "server " + server.substr(0, 16) + " does not answer any more; its leases end");
  if (session != servers_.end()) session->second.lease = registry::kNoLease;
  LoseServer(server);
}

void Desk::KeepLead() {
  // Not in whole seconds: a quarter of few is none, and the registry would be asked at every tick.
  next_keep_ = now_ + Duration(options_.leader_ttl) / 4;
  registry_.KeepLease(lease_, now_ + options_.leader_ttl,
                      Here<registry::LeaseResult>([this, lease = lease_](Result<registry::LeaseResult> result) {
                        if (lease != lease_ || result.ok()) return;
                        if (result.code() == Code::kNotFound) StepDown("its lease of the registry has expired");
                      }));
}

void Desk::StepDown(const std::string& why, Duration pause) {
  log::Write(is_resigned_ ? log::Level::kInfo : log::Level::kWarning, kWhere, options_.name + " leads no more: " + why);
  const registry::LeaseId lease = std::exchange(lease_, registry::kNoLease);
  ++term_;
  ++round_number_;
  stage_ = Stage::kFollowing;
  is_fencing_ = false;
  is_full_ = false;
  has_leader_ = false;
  node_watch_.reset();
  // Who asked is sent to the next leader, where the operation's id tells whether it has happened.
  const auto send_on = [this](const Job& job) {
    if (job.request == nullptr) return;
    messages::ReplyT reply;
    reply.code = static_cast<std::uint16_t>(Code::kUnavailable);
    reply.text = "this slot-market leads no more; ask again";
    reply.leader = kNoLeader;
    Reply(job, std::move(reply));
  };
  if (round_) {
    for (const Transaction& transaction : round_->transactions) {
      if (transaction.is_done) continue;
      for (const Job& job : transaction.jobs) send_on(job);
    }
  }
  round_.reset();
  for (const Job& job : decided_) send_on(job);
  for (const Job& job : queued_) send_on(job);
  for (const Waiting& waiting : waiting_) send_on(waiting.job);
  for (const StandingBid& bid : bids_) send_on(bid.job);
  for (const SigningReceipt& one : receipts_) send_on(one.job);
  // Of these it is durable already what they asked for, and no promise was given.
  for (const Taken& one : taken_) {
    if (one.then) one.then();
  }
  for (const auto& [job, ids] : begins_) send_on(job);
  decided_.clear();
  queued_.clear();
  waiting_.clear();
  bids_.clear();
  receipts_.clear();
  taken_.clear();
  used_ms_.clear();
  unused_.clear();
  begins_.clear();
  runs_.clear();
  servers_.clear();
  book_ = Book();
  if (lease != registry::kNoLease) registry_.RevokeLease(lease, Soon(), [](Result<registry::Revision>) {});
  const std::uint64_t term = term_;
  Later(pause, [this, term] {
    if (term == term_) Look();
  });
}

// The book has run ahead of the registry, or nobody knows: what is decided and not written is decided anew.
void Desk::Resync(const std::string& why, bool is_certain) {
  if (is_fencing_ || stage_ != Stage::kLeading) return;
  log::Info(kWhere, "reading the registry anew: " + why);
  ++counts_.resyncs;
  is_fencing_ = true;
  ++term_;
  node_watch_.reset();
  if (round_) {
    // Answers still to come find their number gone; the fence decides what became of them.
    for (Transaction& transaction : round_->transactions) {
      if (transaction.is_done) continue;
      for (Job& job : transaction.jobs) Again(std::move(job), true);
    }
    round_.reset();
  }
  ++round_number_;
  for (Job& job : decided_) Again(std::move(job), false);
  decided_.clear();
  if (is_certain) return Load();
  Fence();
}

// The disk took nothing of it: what is there is read, and nothing is written until a fence finds room again.
void Desk::Full(const std::string& why) {
  if (!is_full_) log::Error(kWhere, why);
  is_full_ = true;
  trouble_ = why;
  try_room_ = now_ + kRoom;
}

void Desk::Fence() {
  const std::uint64_t term = term_;
  registry::Txn txn;
  txn.compares.push_back(registry::Compare::Unchanged(kLeaderPath, lead_revision_));
  txn.then.push_back(registry::Operation::Put(kLeaderPath, lead_value_, lease_));
  txn.otherwise.push_back(registry::Operation::Get(kLeaderPath));
  registry_.Submit(std::move(txn), Soon(), Here<registry::TxnResult>([this, term](Result<registry::TxnResult> result) {
                     if (term != term_) return;
                     if (result.ok() && result->succeeded) {
                       if (std::exchange(is_full_, false)) log::Warning(kWhere, "there is room on the disk again");
                       lead_revision_ = result->revision;
                       return Load();
                     }
                     if (result.code() == Code::kFull) {
                       Full(result.status().text());
                       return Load();
                     }
                     if (result.ok()) {
                       // An earlier fence of ours whose answer was lost: its key has our lease.
                       const std::optional<registry::Entry>& entry = result->results.front().entry;
                       if (!entry || entry->lease != lease_ || entry->value != lead_value_)
                         return StepDown("another one leads");
                       lead_revision_ = entry->mod_revision;
                       return Fence();
                     }
                     trouble_ = result.status().text();
                     if (result.code() == Code::kNotFound) return StepDown("its lease of the registry has expired");
                     Later(kPause, [this, term] {
                       if (term == term_) Fence();
                     });
                   }));
}

void Desk::Resign(std::function<void()> done) {
  is_resigned_ = true;
  if (lease_ == registry::kNoLease) return done();
  registry_.RevokeLease(lease_, now_ + std::chrono::seconds(1),
                        Here<registry::Revision>([done = std::move(done)](Result<registry::Revision>) { done(); }));
}

}  // namespace accelmesh::market
