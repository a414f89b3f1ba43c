// Watches of a store of our own: who wants which changes, and the last changes for those who ask for earlier ones.
//
// Threads: Add, Publish, Close belong to the store's thread; a handle may be destroyed by any.
#pragma once

#include <deque>
#include <mutex>

#include "market/registry/registry.h"

namespace accelmesh::registry {

// Between a sink and whoever calls it: none is called once its handle is gone. The lock is recursive because a sink may
// destroy its own handle.
class SinkGate {
 public:
  explicit SinkGate(WatchSink sink) : sink_(std::move(sink)) {}
  // False once the watch has ended.
  bool Call(Result<Change> change) {
    const std::lock_guard lock(mutex_);
    if (!open_) return false;
    if (!change.ok()) open_ = false;
    sink_(std::move(change));
    return open_;
  }
  void Close() {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }
  bool open() {
    const std::lock_guard lock(mutex_);
    return open_;
  }

 private:
  std::recursive_mutex mutex_;
  bool open_ = true;
  WatchSink sink_;
};

class GateHandle final : public WatchHandle {
 public:
  explicit GateHandle(std::shared_ptr<SinkGate> gate) : gate_(std::move(gate)) {}
  ~GateHandle() override { gate_->Close(); }
  GateHandle(const GateHandle&) = delete;
  GateHandle& operator=(const GateHandle&) = delete;

 private:
  std::shared_ptr<SinkGate> gate_;
};

class WatchHub {
 public:
  // `revision`: of the state that it begins with; older changes are not known. It keeps the last changes, of
  // `events_max` events together: a change may have a hundred.
  WatchHub(Revision revision, std::size_t events_max) : last_(revision), compacted_(revision), max_(events_max) {}

  void Add(std::string prefix, Revision from, std::shared_ptr<SinkGate> gate);
  void Publish(Revision revision, std::vector<Event> events);
  // Ends all watches with `status`.
  void End(const Status& status);

 private:
  struct Watcher {
    std::string prefix;
    Revision from;
    std::shared_ptr<SinkGate> gate;
  };
  static bool Deliver(const Watcher& watcher, const Change& change);

  Revision last_;
  Revision compacted_;  // changes up to and with this one are not kept
  std::size_t max_;
  std::size_t kept_ = 0;  // events
  std::deque<Change> history_;
  std::vector<Watcher> watchers_;
};

}  // namespace accelmesh::registry
