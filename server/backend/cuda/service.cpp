#include "server/backend/cuda/service.h"

#include <memory>

namespace accelmesh::cuda {
namespace {

// Nothing tells about some of the things that a task waits for (memory that another process frees).
constexpr std::chrono::milliseconds kLookEvery{2};

}  // namespace

void Service::Start(std::function<void()> prepare) {
  {
    const MutexLock lock(mu_);
    stop_ = false;
  }
  ended_.store(false);
  thread_ = std::thread([this, prepare = std::move(prepare)] {
    prepare();
    Main();
  });
}

void Service::Stop() {
  const MutexLock lock(mu_);
  stop_ = true;
  work_.NotifyAll();
}

void Service::Post(std::function<bool()> step) {
  const MutexLock lock(mu_);
  tasks_.push_back(std::move(step));
  waiting_.store(tasks_.size(), std::memory_order_release);
  look_again_ = true;
  work_.NotifyAll();
}

void Service::Run(const std::function<void()>& work) {
  auto done = std::make_shared<bool>(false);
  MutexLock lock(mu_);
  if (stop_) {
    lock.Unlock();
    work();
    return;
  }
  tasks_.push_back([this, &work, done] {
    work();
    const MutexLock inner(mu_);
    *done = true;
    work_.NotifyAll();
    return true;
  });
  look_again_ = true;
  work_.NotifyAll();
  work_.Wait(mu_, [&] {
    mu_.AssertHeld();
    return *done || stop_;
  });
}

void Service::Kick() {
  if (waiting_.load(std::memory_order_acquire) == 0) return;
  const MutexLock lock(mu_);
  look_again_ = true;
  work_.NotifyAll();
}

void Service::RunRest() {
  MutexLock lock(mu_);
  const std::list<std::function<bool()>> rest = std::move(tasks_);
  tasks_.clear();
  lock.Unlock();
  for (const std::function<bool()>& step : rest) (void)step();
}

void Service::Main() {
  MutexLock lock(mu_);
  while (!stop_) {
    const auto awake = [this] {
      mu_.AssertHeld();
      return stop_ || look_again_;
    };
    if (tasks_.empty()) {
      work_.Wait(mu_, awake);
    } else {
      work_.WaitUntil(mu_, Clock::now() + kLookEvery, awake);
    }
    look_again_ = false;
    // Others only append, so an iterator stays good without the lock.
    for (auto task = tasks_.begin(); task != tasks_.end() && !stop_;) {
      lock.Unlock();
      const bool is_done = (*task)();
      lock.Lock();
      task = is_done ? tasks_.erase(task) : std::next(task);
    }
    waiting_.store(tasks_.size(), std::memory_order_release);
  }
  ended_.store(true, std::memory_order_release);
}

}  // namespace accelmesh::cuda
