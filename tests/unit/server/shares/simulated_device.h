// A device of some threads in virtual time, whose sessions compute in slices as the workers of a gpu-server do: the
// decisions under test say who goes, everything else is here.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "server/shares/turns.h"

namespace accelmesh::shares {

// One thread of a session: how long its next slice is, and how long it does something else behind it.
struct Worker {
  std::uint32_t seat = 0;
  std::uint32_t width = 1;
  std::function<std::int64_t()> slice_ns;
  std::function<std::int64_t()> pause_ns = [] { return 0; };
  // Its process is stopped from then on: it answers no call and leaves no turn.
  std::int64_t stopped_from_ns = INT64_MAX;

  enum class Is { kAway, kWaiting, kRunning } is = Is::kAway;
  std::int64_t until_ns = 0;
  std::uint32_t turn = 0;
  std::int64_t used_ns = 0;
};

class SimulatedDevice {
 public:
  explicit SimulatedDevice(std::uint32_t threads) : state_(std::make_unique<State>()), turns_(*state_) {
    state_->threads = threads;
  }

  State& state() { return *state_; }
  Turns& turns() { return turns_; }
  Worker& Add(Worker worker) {
    workers_.push_back(std::make_unique<Worker>(std::move(worker)));
    return *workers_.back();
  }
  std::int64_t now_ns() const { return now_ns_; }

  // Until `end_ns`: what happens next, happens.
  void Run(std::int64_t end_ns) {
    if (now_ns_ == 0) {
      for (const auto& worker : workers_) Ask(*worker);
    }
    while (now_ns_ < end_ns) {
      std::int64_t next = now_ns_ + kLookNs;  // a thread that waits looks every so often
      for (const auto& worker : workers_) {
        if (!IsStopped(*worker) && worker->is != Worker::Is::kWaiting && worker->until_ns > now_ns_)
          next = std::min(next, worker->until_ns);
      }
      Account(next - now_ns_);
      now_ns_ = next;
      for (const auto& worker : workers_) {
        if (IsStopped(*worker) || worker->is == Worker::Is::kWaiting || worker->until_ns > now_ns_) continue;
        if (worker->is == Worker::Is::kRunning) {
          turns_.Leave(worker->seat, worker->turn, now_ns_);
          turns_.Charge(worker->seat, worker->used_ns * worker->width - charged_[worker.get()]);
          charged_[worker.get()] = worker->used_ns * worker->width;
          worker->is = Worker::Is::kAway;
          worker->until_ns = now_ns_ + worker->pause_ns();
          if (worker->until_ns > now_ns_) continue;
        }
        if (worker->is == Worker::Is::kAway) Ask(*worker);
      }
      // Whoever enters calls the next, and so on while there is room.
      for (bool has_changed = true; has_changed;) {
        has_changed = false;
        for (const auto& worker : workers_) {
          if (worker->is != Worker::Is::kWaiting || IsStopped(*worker)) continue;
          Retry(*worker);
          has_changed = has_changed || worker->is == Worker::Is::kRunning;
        }
        (void)turns_.Next(now_ns_);
      }
    }
  }
  // Thread-time in which nobody ran though somebody waited.
  std::int64_t wasted_ns() const { return wasted_ns_; }

 private:
  static constexpr std::int64_t kLookNs = 1'000'000;
  bool IsStopped(const Worker& worker) const { return now_ns_ >= worker.stopped_from_ns; }

  void Ask(Worker& worker) {
    worker.is = Worker::Is::kWaiting;
    Take(worker, turns_.Enter(worker.seat, worker.width, now_ns_, false));
  }
  void Retry(Worker& worker) { Take(worker, turns_.Enter(worker.seat, worker.width, now_ns_, true)); }
  void Take(Worker& worker, std::optional<std::uint32_t> turn) {
    if (!turn.has_value()) return;
    worker.turn = *turn;
    worker.is = Worker::Is::kRunning;
    worker.until_ns = now_ns_ + worker.slice_ns();
  }
  void Account(std::int64_t ns) {
    std::uint32_t running = 0;
    bool waits = false;
    for (const auto& worker : workers_) {
      if (IsStopped(*worker)) continue;
      if (worker->is == Worker::Is::kRunning) {
        running += worker->width;
        worker->used_ns += ns;
      }
      waits = waits || worker->is == Worker::Is::kWaiting;
    }
    if (waits && running < state_->threads) wasted_ns_ += ns * (state_->threads - running);
  }

  std::unique_ptr<State> state_;
  Turns turns_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::map<Worker*, std::int64_t> charged_;
  std::int64_t now_ns_ = 0;
  std::int64_t wasted_ns_ = 0;
};

}  // namespace accelmesh::shares
