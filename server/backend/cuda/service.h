// A thread for what may take long or has to wait for the device: unmapping, unloading, registering host memory. Tasks
// that are ready run in the order in which they came; one that is not holds up no other.
//
// Threads: Post() and Kick() any.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <thread>

#include "protocol/base/mutex.h"

namespace accelmesh::cuda {

class Service {
 public:
  // `prepare` runs on the thread first.
  void Start(std::function<void()> prepare);
  void Stop();
  void Join() { thread_.join(); }
  // After Join(): runs what is left once, on the calling thread.
  void RunRest();
  bool ended() const { return ended_.load(std::memory_order_acquire); }

  // `step` is called until it returns true.
  void Post(std::function<bool()> step);
  // Runs `work` on the thread and waits for it; at once if the thread does not run.
  void Run(const std::function<void()>& work);
  // The device has moved on: what was not ready may be.
  void Kick();

 private:
  void Main();

  Mutex mu_;
  CondVar work_;
  std::list<std::function<bool()>> tasks_ ACCELMESH_GUARDED_BY(mu_);
  bool stop_ ACCELMESH_GUARDED_BY(mu_) = true;
  bool look_again_ ACCELMESH_GUARDED_BY(mu_) = false;
  std::atomic<std::size_t> waiting_{0};
  std::atomic<bool> ended_{true};
  std::thread thread_;
};

}  // namespace accelmesh::cuda
