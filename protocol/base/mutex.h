// A mutex, its lock and its condition variable as clang's thread-safety analysis understands them: std::mutex carries
// no annotations in libstdc++. What a mutex guards is declared beside it (ACCELMESH_GUARDED_BY), and clang refuses an
// access without it; the fuzz preset and scripts/check_tidy.sh compile with -Wthread-safety as an error. g++ ignores it
// all.
//
// Threads: that is the point. No lock is held across a wait for a peer; CondVar::Wait gives the mutex back meanwhile.
#pragma once

#include <condition_variable>
#include <mutex>

#include "protocol/base/clock.h"

#if defined(__clang__)
#define ACCELMESH_THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define ACCELMESH_THREAD_ATTRIBUTE(x)
#endif
#define ACCELMESH_GUARDED_BY(mutex) ACCELMESH_THREAD_ATTRIBUTE(guarded_by(mutex))
#define ACCELMESH_REQUIRES(...) ACCELMESH_THREAD_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define ACCELMESH_EXCLUDES(...) ACCELMESH_THREAD_ATTRIBUTE(locks_excluded(__VA_ARGS__))

namespace accelmesh {

class ACCELMESH_THREAD_ATTRIBUTE(capability("mutex")) Mutex {
 public:
  void lock() ACCELMESH_THREAD_ATTRIBUTE(acquire_capability()) { mutex_.lock(); }
  void unlock() ACCELMESH_THREAD_ATTRIBUTE(release_capability()) { mutex_.unlock(); }
  // Tells the analysis that the calling code holds it where it cannot see so: in a predicate that runs under the lock.
  void AssertHeld() const ACCELMESH_THREAD_ATTRIBUTE(assert_capability(this)) {}

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class ACCELMESH_THREAD_ATTRIBUTE(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACCELMESH_THREAD_ATTRIBUTE(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() ACCELMESH_THREAD_ATTRIBUTE(release_capability()) {
    if (held_) mutex_.unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  // Gives the mutex back before the end of the scope, and takes it again.
  void Unlock() ACCELMESH_THREAD_ATTRIBUTE(release_capability()) {
    mutex_.unlock();
    held_ = false;
  }
  void Lock() ACCELMESH_THREAD_ATTRIBUTE(acquire_capability()) {
    mutex_.lock();
    held_ = true;
  }
  bool held() const { return held_; }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

class CondVar {
 public:
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }
  // The mutex is held before and after, and free while it waits.
  void Wait(Mutex& mutex) ACCELMESH_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // False if `deadline` passed first.
  bool WaitUntil(Mutex& mutex, Instant deadline) ACCELMESH_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool notified = condition_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return notified;
  }
  template <typename Done>
  void Wait(Mutex& mutex, Done done) ACCELMESH_REQUIRES(mutex) {
    while (!done()) Wait(mutex);
  }
  // Whether `done` holds.
  template <typename Done>
  bool WaitUntil(Mutex& mutex, Instant deadline, Done done) ACCELMESH_REQUIRES(mutex) {
    while (!done()) {
      if (!WaitUntil(mutex, deadline)) return done();
    }
    return true;
  }

 private:
  std::condition_variable condition_;
};

}  // namespace accelmesh
