#include "market/registry/sim/sim_client.h"

#include <algorithm>

namespace accelmesh::registry {
namespace {

bool ReadsOnly(const Txn& txn) {
  const auto reads = [](const Operation& operation) { return operation.kind == Operation::Kind::kGet; };
  return std::ranges::all_of(txn.then, reads) && std::ranges::all_of(txn.otherwise, reads);
}

void Note(const State::Applied& applied, std::vector<Change>& changes) {
  if (!applied.events.empty()) changes.push_back({applied.result.revision, applied.events});
}

}  // namespace

void Sim::Client::Send(std::uint64_t sequence) {
  const auto pending = pending_.find(sequence);
  if (pending == pending_.end()) return;
  pending->second.request.floor = pending_.begin()->first;
  sim_.Send(number_, [&sim = sim_, request = pending->second.request] { sim.Arrive(request); });
  sim_.At(sim_.now() + sim_.options_.retry, [self = weak_from_this(), sequence] {
    if (const auto client = self.lock()) client->Send(sequence);
  });
}

void Sim::Client::OnAnswer(std::uint64_t sequence, const Value& value) {
  const auto pending = pending_.find(sequence);
  if (pending == pending_.end()) return;
  const auto complete = std::move(pending->second.complete);
  pending_.erase(pending);
  complete(value);
}

void Sim::Client::OnDeadline(std::uint64_t sequence) {
  const auto pending = pending_.find(sequence);
  if (pending == pending_.end()) return;
  const auto fail = std::move(pending->second.fail);
  pending_.erase(pending);
  fail(Status(Code::kDeadlineExceeded, "registry::Sim", "no answer came; whether it was applied is unknown"));
}

void Sim::Client::BreakStreams() {
  const std::vector<std::weak_ptr<SinkGate>> streams = std::move(streams_);
  streams_.clear();
  for (const auto& stream : streams) {
    if (const auto gate = stream.lock()) {
      gate->Call(Status(Code::kUnavailable, "registry::Sim", "the connection broke"));
    }
  }
}

void Sim::Client::Close() {
  const Status closed(Code::kClosed, "registry::Sim", "the registry was closed; whether it was applied is unknown");
  while (!pending_.empty()) {
    const auto fail = std::move(pending_.begin()->second.fail);
    pending_.erase(pending_.begin());
    fail(closed);
  }
}

std::unique_ptr<WatchHandle> Sim::Client::Watch(std::string prefix, Revision from, WatchSink sink) {
  auto gate = std::make_shared<SinkGate>(std::move(sink));
  auto handle = std::make_unique<GateHandle>(gate);
  Status status = CheckPrefix(prefix);
  if (status.ok() && from < 0) status = {Code::kInvalidArgument, "Registry::Watch.from", "a revision is not negative"};
  if (!status.ok()) {
    gate->Call(std::move(status));
    return handle;
  }
  std::erase_if(streams_, [](const std::weak_ptr<SinkGate>& stream) { return stream.expired(); });
  streams_.push_back(gate);
  sim_.At(sim_.now() + sim_.Latency(), [self = weak_from_this(), prefix = std::move(prefix), from, gate] {
    if (const auto client = self.lock()) client->sim_.Watch(client->number_, prefix, from, gate);
  });
  return handle;
}

void Sim::Client::Face::Submit(Txn txn, Instant deadline, Done<TxnResult> done) {
  if (Status status = CheckTxn(txn); !status.ok()) return done(std::move(status));
  const bool reads_only = ReadsOnly(txn);
  client_->Start<TxnResult>(
      reads_only, deadline, std::move(done),
      [txn = std::move(txn)](State& state, Instant, std::vector<Change>& changes) -> Result<TxnResult> {
        ACCELMESH_ASSIGN_OR_RETURN(State::Applied applied, state.Apply(txn));
        Note(applied, changes);
        return std::move(applied.result);
      });
}

void Sim::Client::Face::Snapshot(std::string prefix, Instant deadline, Done<SnapshotResult> done) {
  if (Status status = CheckPrefix(prefix); !status.ok()) return done(std::move(status));
  client_->Start<SnapshotResult>(
      true, deadline, std::move(done),
      [prefix = std::move(prefix)](State& state, Instant, std::vector<Change>&) -> Result<SnapshotResult> {
        return state.Read(prefix);
      });
}

void Sim::Client::Face::GrantLease(std::chrono::seconds ttl, Instant deadline, Done<LeaseResult> done) {
  if (Status status = CheckTtl(ttl); !status.ok()) return done(std::move(status));
  client_->Start<LeaseResult>(false, deadline, std::move(done),
                              [ttl](State& state, Instant clock, std::vector<Change>&) -> Result<LeaseResult> {
                                return state.GrantLease(ttl, clock);
                              });
}

void Sim::Client::Face::KeepLease(LeaseId id, Instant deadline, Done<LeaseResult> done) {
  client_->Start<LeaseResult>(false, deadline, std::move(done),
                              [id](State& state, Instant clock, std::vector<Change>&) -> Result<LeaseResult> {
                                return state.KeepLease(id, clock);
                              });
}

void Sim::Client::Face::RevokeLease(LeaseId id, Instant deadline, Done<Revision> done) {
  client_->Start<Revision>(false, deadline, std::move(done),
                           [id](State& state, Instant, std::vector<Change>& changes) -> Result<Revision> {
                             ACCELMESH_ASSIGN_OR_RETURN(const State::Applied applied, state.RevokeLease(id));
                             Note(applied, changes);
                             return applied.result.revision;
                           });
}

}  // namespace accelmesh::registry
