#include "market/registry/sqlite/sqlite_store.h"

#include <pthread.h>

#include <thread>

#include "market/registry/watch_hub.h"
#include "protocol/base/log.h"
#include "protocol/base/mutex.h"

namespace accelmesh::registry {
namespace {

constexpr char kWhere[] = "registry::SqliteStore";

// What the requests of one commit changed.
struct Batch {
  std::set<std::string> keys;
  std::set<LeaseId> leases;
  std::vector<Change> changes;
  bool Changed() const { return !keys.empty() || !leases.empty(); }
  void Add(State::Applied& applied) {
    if (applied.events.empty()) return;
    for (const Event& event : applied.events) keys.insert(event.entry.key);
    changes.push_back({applied.result.revision, std::move(applied.events)});
  }
};

// Tells the client what came out, once it is on the disk; or why nothing did.
using Answer = std::function<void(const Status&)>;

struct Request {
  Instant deadline;
  std::function<Answer(State&, Batch&)> run;
  Answer refuse;
};

class SqliteStore final : public Registry {
 public:
  SqliteStore(SqliteOptions options, std::unique_ptr<Database> database, State state)
      : options_(std::move(options)),
        database_(std::move(database)),
        state_(std::move(state)),
        hub_(state_.revision(), options_.changes_max),
        writer_([this] { Run(); }) {}

  ~SqliteStore() override {
    {
      const MutexLock lock(mutex_);
      stopping_ = true;
    }
    wake_.NotifyAll();
    writer_.join();
  }
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;

  void Submit(Txn txn, Instant deadline, Done<TxnResult> done) override {
    if (Status status = CheckTxn(txn); !status.ok()) return done(std::move(status));
    Enqueue<TxnResult>(deadline, std::move(done),
                       [txn = std::move(txn)](State& state, Batch& batch) -> Result<TxnResult> {
                         ACCELMESH_ASSIGN_OR_RETURN(State::Applied applied, state.Apply(txn));
                         batch.Add(applied);
                         return std::move(applied.result);
                       });
  }
  void Snapshot(std::string prefix, Instant deadline, Done<SnapshotResult> done) override {
    if (Status status = CheckPrefix(prefix); !status.ok()) return done(std::move(status));
    Enqueue<SnapshotResult>(
        deadline, std::move(done),
        [prefix = std::move(prefix)](State& state, Batch&) -> Result<SnapshotResult> { return state.Read(prefix); });
  }
  void GrantLease(std::chrono::seconds ttl, Instant deadline, Done<LeaseResult> done) override {
    if (Status status = CheckTtl(ttl); !status.ok()) return done(std::move(status));
    Enqueue<LeaseResult>(deadline, std::move(done), [ttl](State& state, Batch& batch) -> Result<LeaseResult> {
      const LeaseResult lease = state.GrantLease(ttl, Clock::now());
      batch.leases.insert(lease.id);
      return lease;
    });
  }
  void KeepLease(LeaseId id, Instant deadline, Done<LeaseResult> done) override {
    Enqueue<LeaseResult>(deadline, std::move(done), [id](State& state, Batch&) -> Result<LeaseResult> {
      return state.KeepLease(id, Clock::now());
    });
  }
  void RevokeLease(LeaseId id, Instant deadline, Done<Revision> done) override {
    Enqueue<Revision>(deadline, std::move(done), [id](State& state, Batch& batch) -> Result<Revision> {
      ACCELMESH_ASSIGN_OR_RETURN(State::Applied applied, state.RevokeLease(id));
      batch.leases.insert(id);
      batch.Add(applied);
      return applied.result.revision;
    });
  }
  std::unique_ptr<WatchHandle> Watch(std::string prefix, Revision from, WatchSink sink) override {
    auto gate = std::make_shared<SinkGate>(std::move(sink));
    auto handle = std::make_unique<GateHandle>(gate);
    Status status = CheckPrefix(prefix);
    if (status.ok() && from < 0)
      status = {Code::kInvalidArgument, "Registry::Watch.from", "a revision is not negative"};
    if (!status.ok()) {
      gate->Call(std::move(status));
      return handle;
    }
    Request request;
    request.deadline = Instant::max();
    request.refuse = [gate](const Status& why) { gate->Call(why); };
    request.run = [this, prefix = std::move(prefix), from, gate](State&, Batch&) -> Answer {
      hub_.Add(prefix, from, gate);
      return nullptr;
    };
    const MutexLock lock(mutex_);
    queue_.push_back(std::move(request));
    wake_.NotifyOne();
    return handle;
  }

 private:
  template <typename T, typename Apply>
  void Enqueue(Instant deadline, Done<T> done, Apply apply) {
    auto shared = std::make_shared<Done<T>>(std::move(done));
    Request request;
    request.deadline = deadline;
    request.refuse = [shared](const Status& status) { (*shared)(status); };
    request.run = [shared, apply = std::move(apply)](State& state, Batch& batch) -> Answer {
      return [shared, result = apply(state, batch)](const Status& status) {
        if (status.ok()) {
          (*shared)(result);
        } else {
          (*shared)(status);
        }
      };
    };
    {
      const MutexLock lock(mutex_);
      if (queue_.size() < options_.queue_max) {
        queue_.push_back(std::move(request));
        if (queue_.size() == 1) wake_.NotifyOne();
        return;
      }
    }
    (*shared)(Status(Code::kFull, kWhere,
                     std::to_string(options_.queue_max) + " requests wait for the disk already; try again later"));
  }

  std::vector<Request> Take() {
    const std::optional<Instant> expiry = broken_.ok() ? state_.NextExpiry() : std::nullopt;
    const MutexLock lock(mutex_);
    const auto woken = [this] {
      mutex_.AssertHeld();
      return stopping_ || !queue_.empty();
    };
    if (expiry) {
      wake_.WaitUntil(mutex_, *expiry, woken);
    } else {
      wake_.Wait(mutex_, woken);
    }
    std::vector<Request> taken;
    while (!queue_.empty() && (stopping_ || taken.size() < options_.batch_max)) {
      taken.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    return taken;
  }
  bool Stopping() {
    const MutexLock lock(mutex_);
    return stopping_;
  }

  void Run() {
    ::pthread_setname_np(::pthread_self(), "registry");
    while (!Stopping()) RunBatch(Take());
    const Status closed(Code::kClosed, kWhere, "the registry was closed before the request was looked at");
    for (const Request& request : Take()) request.refuse(closed);
    hub_.End(closed);
  }

  void RunBatch(const std::vector<Request>& requests) {
    Batch batch;
    std::vector<Answer> answers;
    const Instant now = Clock::now();
    if (broken_.ok()) {
      for (const LeaseId id : state_.ExpiredLeases(now)) {
        batch.leases.insert(id);
        if (Result<State::Applied> applied = state_.RevokeLease(id); applied.ok()) batch.Add(*applied);
      }
    }
    for (const Request& request : requests) {
      if (!broken_.ok()) {
        request.refuse(broken_);
      } else if (request.deadline <= now) {
        request.refuse(Status(Code::kDeadlineExceeded, kWhere, "the disk was too slow; nothing was applied"));
      } else if (Answer answer = request.run(state_, batch)) {
        answers.push_back(std::move(answer));
      }
    }
    const Status status = batch.Changed() ? Commit(batch) : Status();
    if (status.ok()) {
      for (Change& change : batch.changes) hub_.Publish(change.revision, std::move(change.events));
    }
    for (const Answer& answer : answers) answer(status);
    if (broken_.ok()) database_->ShortenLog();
  }

  Status Commit(const Batch& batch) {
    const Database::Written written = database_->Write(state_, batch.keys, batch.leases);
    if (written.outcome == Database::Outcome::kWritten) {
      said_full_ = false;
      return {};
    }
    if (!said_full_) log::Error(written.status.where(), written.status.text());
    said_full_ = written.status.code() == Code::kFull;
    if (written.outcome == Database::Outcome::kNothing) {
      // What is on the disk is what holds; the state in memory has run ahead of it.
      Result<State> state = database_->Load(Clock::now());
      if (state.ok()) {
        state_ = std::move(*state);
        return written.status;
      }
      log::Error(state.status().where(), state.status().text());
    }
    broken_ = Status(Code::kUnavailable, kWhere,
                     "the registry's disk failed (" + written.status.text() +
                         "); whether the last transactions were applied is unknown until slot-market is started anew");
    hub_.End(broken_);
    return broken_;
  }

  const SqliteOptions options_;
  Mutex mutex_;
  CondVar wake_;
  std::deque<Request> queue_ ACCELMESH_GUARDED_BY(mutex_);
  bool stopping_ ACCELMESH_GUARDED_BY(mutex_) = false;
  // The writer's own.
  std::unique_ptr<Database> database_;
  State state_;
  WatchHub hub_;
  Status broken_;
  bool said_full_ = false;
  std::thread writer_;  // last: it uses all of the above
};

}  // namespace

Result<std::unique_ptr<Registry>> OpenSqliteStore(SqliteOptions options) {
  ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(options.file));
  ACCELMESH_ASSIGN_OR_RETURN(State state, database->Load(Clock::now()));
  return std::unique_ptr<Registry>(
      std::make_unique<SqliteStore>(std::move(options), std::move(database), std::move(state)));
}

}  // namespace accelmesh::registry
