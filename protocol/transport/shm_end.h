// What both ends of an shm session have in common: sending frames and bodies through the shared memory, and waiting.
//
// Threads: SendFrame() and SendBody() from any thread; Closing and asking from any. Internal to the transport.
#pragma once

#include <atomic>
#include <memory>

#include "protocol/base/clock.h"
#include "protocol/base/mutex.h"
#include "protocol/transport/shm_layout.h"

namespace accelmesh::shm {

// One lane's sending half. The mutex serialises this process's threads only for the copy, never across a wait.
struct FrameLane {
  FrameLane(Memory& memory, RingIndex index, Side& consumer)
      : ring(memory.shared().rings[index], memory.RingData(index), Memory::RingBytes(index), consumer) {}
  Mutex mutex;
  RingProducer ring ACCELMESH_GUARDED_BY(mutex);
  std::uint32_t sent ACCELMESH_GUARDED_BY(mutex) = 0;
};

class End {
 public:
  // `socket` is owned. `mine` and `peer` lie in `memory`.
  End(std::shared_ptr<Memory> memory, int socket, Side& mine, Side& peer);
  ~End();
  End(const End&) = delete;

  Memory& memory() const { return *memory_; }
  const std::shared_ptr<Memory>& memory_shared() const { return memory_; }
  Shared& shared() const { return memory_->shared(); }
  Side& mine() const { return mine_; }
  Side& peer() const { return peer_; }
  int socket() const { return socket_; }

  Status SendFrame(FrameLane& lane, ByteView frame, Deadline deadline);
  // Copies `body` into `arena` and announces it on `lane`.
  Status SendBody(FrameLane& lane, SlotAllocator& slots, std::uint8_t* arena, Announcement announcement, ByteView body,
                  Deadline deadline);

  // Waits for something to arrive; see WaitFor().
  template <typename Ready>
  Waited WaitForData(Deadline deadline, Ready ready) {
    return WaitFor(mine_, mine_.data_waiters, spinner_, deadline, ready, [this] { return LooksClosed(); });
  }

  // Ends the connection with `why`; the first reason stays.
  void Close(const Status& why);
  // A closed connection's reason; kOk while it is open. Cheap.
  bool closed() const {
    return closed_.load(std::memory_order_acquire) || peer_.closed.load(std::memory_order_acquire) != 0;
  }
  // Like closed(), and asks the socket and the affinity as well: one or two system calls, for slow paths.
  bool LooksClosed();
  // kClosed, or why the connection was ended.
  Status ClosedStatus() const;

 private:
  const std::shared_ptr<Memory> memory_;
  const int socket_;
  Side& mine_;
  Side& peer_;
  Spinner spinner_;
  std::atomic<bool> closed_{false};
  mutable Mutex mutex_;
  Status why_ ACCELMESH_GUARDED_BY(mutex_);
};

}  // namespace accelmesh::shm
