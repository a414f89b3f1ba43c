// Dispatcher: the one thread on which a store's answers run; gRPC's threads hand them over.
//
// Threads: Post is safe from any. Destroying it runs what was posted, and waits for it.
#pragma once

#include <functional>
#include <map>
#include <thread>

#include "protocol/base/mutex.h"

namespace accelmesh::registry {

class Dispatcher {
 public:
  Dispatcher() : thread_([this] { Run(); }) {}
  ~Dispatcher() {
    {
      const MutexLock lock(mutex_);
      stopping_ = true;
    }
    wake_.NotifyAll();
    thread_.join();
  }
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  void Post(std::function<void()> work) { PostAt(Instant::min(), std::move(work)); }
  // At the end, what is not due yet runs at once.
  void PostAt(Instant when, std::function<void()> work) {
    const MutexLock lock(mutex_);
    queue_.emplace(when, std::move(work));
    wake_.NotifyOne();
  }

 private:
  void Run() {
    MutexLock lock(mutex_);
    for (;;) {
      if (queue_.empty()) {
        if (stopping_) return;
        wake_.Wait(mutex_);
        continue;
      }
      const auto first = queue_.begin();
      if (!stopping_ && first->first != Instant::min() && first->first > Clock::now()) {
        wake_.WaitUntil(mutex_, first->first);
        continue;
      }
      const std::function<void()> work = std::move(first->second);
      queue_.erase(first);
      lock.Unlock();
      work();
      lock.Lock();
    }
  }

  Mutex mutex_;
  CondVar wake_;
  std::multimap<Instant, std::function<void()>> queue_ ACCELMESH_GUARDED_BY(mutex_);  // equal keys keep their order
  bool stopping_ ACCELMESH_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace accelmesh::registry
