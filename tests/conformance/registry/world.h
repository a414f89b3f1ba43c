// A store under test with a way to wait for it: by real time, or by running the simulation.
#pragma once

#include <filesystem>
#include <mutex>

#include "market/registry/registry.h"

namespace accelmesh::registry {

class World {
 public:
  virtual ~World() = default;
  virtual Registry& registry() = 0;
  // Another client of the same store where it has clients, else the same.
  virtual Registry& other() { return registry(); }
  virtual Instant now() { return Clock::now(); }
  // Waits until `done`; false after `limit`.
  virtual bool Until(const std::function<bool()>& done, Duration limit);
  // Changes up to the current revision are not kept for watches any more.
  virtual void ForgetHistory() = 0;

  // begin(Done<T>) starts a request; its answer.
  template <typename T, typename Begin>
  Result<T> Await(Begin begin) {
    struct Box {
      std::mutex mutex;
      std::optional<Result<T>> result;
    };
    const auto box = std::make_shared<Box>();
    begin([box](Result<T> result) {
      const std::lock_guard lock(box->mutex);
      box->result = std::move(result);
    });
    const bool came = Until(
        [&] {
          const std::lock_guard lock(box->mutex);
          return box->result.has_value();
        },
        std::chrono::seconds(30));
    if (!came) return Status(Code::kInternal, "World::Await", "no answer in 30 s");
    return *box->result;
  }
  Result<TxnResult> Submit(Txn txn) {
    return Await<TxnResult>([&](Done<TxnResult> done) { registry().Submit(std::move(txn), Soon(), std::move(done)); });
  }
  Result<SnapshotResult> Snapshot(std::string prefix) {
    return Await<SnapshotResult>(
        [&](Done<SnapshotResult> done) { registry().Snapshot(std::move(prefix), Soon(), std::move(done)); });
  }
  Result<LeaseResult> GrantLease(std::chrono::seconds ttl) {
    return Await<LeaseResult>([&](Done<LeaseResult> done) { registry().GrantLease(ttl, Soon(), std::move(done)); });
  }
  Result<LeaseResult> KeepLease(LeaseId id) {
    return Await<LeaseResult>([&](Done<LeaseResult> done) { registry().KeepLease(id, Soon(), std::move(done)); });
  }
  Result<Revision> RevokeLease(LeaseId id) {
    return Await<Revision>([&](Done<Revision> done) { registry().RevokeLease(id, Soon(), std::move(done)); });
  }
  void Sleep(Duration wait) {
    const Instant end = now() + wait;
    (void)Until([&] { return now() >= end; }, wait + std::chrono::seconds(1));
  }
  Instant Soon() { return now() + std::chrono::seconds(20); }
};

struct WorldKind {
  const char* name;
  std::unique_ptr<World> (*make)();
};
// Every store that was built.
const std::vector<WorldKind>& AllWorlds();
std::unique_ptr<World> MakeSimWorld();
std::unique_ptr<World> MakeSqliteWorld();
std::unique_ptr<World> MakeEtcdWorldOfOne();
std::unique_ptr<World> MakeEtcdWorldOfThree();
std::unique_ptr<World> MakeEtcdWorldWithRoles();

// A folder on the disk of the build, gone at the end.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::string Path(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace accelmesh::registry
