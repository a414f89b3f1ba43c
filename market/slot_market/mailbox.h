// Mailbox: what other threads want done on the daemon's own, in order, with a descriptor to wait on.
//
// Threads: Post() from any; Run() on the one that does it.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include "protocol/base/mutex.h"

namespace accelmesh::market {

class Mailbox {
 public:
  Mailbox() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Mailbox() {
    if (event_ >= 0) ::close(event_);
  }
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  int descriptor() const { return event_; }
  void Post(std::function<void()> what) {
    bool is_first = false;
    {
      const MutexLock lock(mutex_);
      is_first = posted_.empty();
      posted_.push_back(std::move(what));
    }
    if (is_first) (void)::eventfd_write(event_, 1);
  }
  // Does what has been posted until now.
  void Run() {
    eventfd_t count = 0;
    (void)::eventfd_read(event_, &count);
    std::vector<std::function<void()>> taken;
    {
      const MutexLock lock(mutex_);
      taken.swap(posted_);
    }
    for (const auto& what : taken) what();
  }

 private:
  const int event_;
  Mutex mutex_;
  std::vector<std::function<void()>> posted_ ACCELMESH_GUARDED_BY(mutex_);
};

}  // namespace accelmesh::market
