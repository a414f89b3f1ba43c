// The page of shared memory in which the leases of a server have their shares: made by the supervisor, mapped by every
// worker. Its lock is one that outlives its holder (PTHREAD_MUTEX_ROBUST): who finds that it died mends the state.
//
// All workers can write all of it: it keeps the programs of tenants, which reach the device's memory only, apart, and
// does not defend against a worker that has been taken over.
//
// Threads: any, of any process. Ownership: a mapping is this object's; the page lasts as long as somebody maps it.
#pragma once

#include <pthread.h>

#include <atomic>
#include <memory>

#include "protocol/base/result.h"
#include "server/shares/turns.h"

namespace accelmesh::shares {

struct PageLayout {
  std::uint32_t magic = 0;
  std::atomic<std::uint32_t> leases{0};  // with sessions: alone, nobody asks for turns
  pthread_mutex_t mutex;
  std::array<std::atomic<std::uint32_t>, kSeatsMax> calls{};  // by seat: changes when its threads are called
  State state;
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

class Page {
 public:
  // A fresh one for a device of so many threads.
  static Result<std::unique_ptr<Page>> Create(std::uint32_t threads);
  // Takes the descriptor.
  static Result<std::unique_ptr<Page>> Map(int fd);
  ~Page();
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;

  int fd() const { return fd_; }
  PageLayout& layout() { return *layout_; }

  // The state, locked for as long as this lives. It may not be: a process that is stopped inside keeps the lock, and
  // nobody waits for it for longer than `patience_ns`; then held() is false. Whoever asks for turns goes on without
  // them.
  static constexpr std::int64_t kTurnsNs = 50'000'000;
  static constexpr std::int64_t kMemoryNs = 5'000'000'000;
  class Lock {
   public:
    Lock(Page& page, std::int64_t patience_ns);
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    bool held() const { return held_; }
    Turns turns() { return Turns(page_.layout_->state); }

   private:
    Page& page_;
    bool held_ = false;
  };

  // Calls the threads that wait for the seat's turn. No lock is needed.
  void Call(std::uint32_t seat);
  // Waits for a call since `seen` was the count of calls, or for a while.
  void AwaitCall(std::uint32_t seat, std::uint32_t seen);

 private:
  Page(int fd, PageLayout* layout) : fd_(fd), layout_(layout) {}
  int fd_;
  PageLayout* layout_;
};

// Nanoseconds of the clock that turns are counted by: the same in all processes.
std::int64_t NowNs();

}  // namespace accelmesh::shares
