// Sim::Client: a client's end of the simulated network: sends again until there is an answer or the deadline passes.
//
// Threads: the simulation's. Ownership: shared by its face and by messages that are under way.
#pragma once

#include "market/registry/sim/sim.h"

namespace accelmesh::registry {

class Sim::Client : public std::enable_shared_from_this<Sim::Client> {
 public:
  // What the user holds; its end closes the client.
  class Face;

  Client(Sim& sim, std::size_t number) : sim_(sim), number_(number) {}
  void OnAnswer(std::uint64_t sequence, const Value& value);
  void BreakStreams();
  void Close();
  std::unique_ptr<WatchHandle> Watch(std::string prefix, Revision from, WatchSink sink);

  // `apply(State&, Instant clock, std::vector<Change>&)` gives the Result<T> that the service answers.
  template <typename T, typename Apply>
  void Start(bool reads_only, Instant deadline, Done<T> done, Apply apply) {
    auto shared = std::make_shared<Done<T>>(std::move(done));
    Pending pending;
    pending.complete = [shared](const Value& value) { (*shared)(*static_cast<Result<T>*>(value.get())); };
    pending.fail = [shared](Status status) { (*shared)(std::move(status)); };
    pending.request.client = number_;
    pending.request.sequence = ++sequence_;
    pending.request.reads_only = reads_only;
    pending.request.action = [apply = std::move(apply)](State& state, Instant clock) -> Reply {
      Reply reply;
      reply.value = std::make_shared<Result<T>>(apply(state, clock, reply.changes));
      return reply;
    };
    pending_.emplace(sequence_, std::move(pending));
    Send(sequence_);
    if (deadline != Instant::max()) {
      sim_.At(deadline, [self = weak_from_this(), sequence = sequence_] {
        if (const auto client = self.lock()) client->OnDeadline(sequence);
      });
    }
  }

 private:
  struct Pending {
    Request request;
    std::function<void(const Value&)> complete;
    std::function<void(Status)> fail;
  };
  void Send(std::uint64_t sequence);
  void OnDeadline(std::uint64_t sequence);

  Sim& sim_;
  const std::size_t number_;
  std::uint64_t sequence_ = 0;
  std::map<std::uint64_t, Pending> pending_;
  std::vector<std::weak_ptr<SinkGate>> streams_;
};

class Sim::Client::Face final : public Registry {
 public:
  explicit Face(std::shared_ptr<Client> client) : client_(std::move(client)) {}
  ~Face() override { client_->Close(); }
  Face(const Face&) = delete;
  Face& operator=(const Face&) = delete;
  void Submit(Txn txn, Instant deadline, Done<TxnResult> done) override;
  void Snapshot(std::string prefix, Instant deadline, Done<SnapshotResult> done) override;
  void GrantLease(std::chrono::seconds ttl, Instant deadline, Done<LeaseResult> done) override;
  void KeepLease(LeaseId id, Instant deadline, Done<LeaseResult> done) override;
  void RevokeLease(LeaseId id, Instant deadline, Done<Revision> done) override;
  std::unique_ptr<WatchHandle> Watch(std::string prefix, Revision from, WatchSink sink) override {
    return client_->Watch(std::move(prefix), from, std::move(sink));
  }

 private:
  std::shared_ptr<Client> client_;
};

}  // namespace accelmesh::registry
