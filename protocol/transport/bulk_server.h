// The worker's end of a bulk lane: takes the connection that shows the session's mark, receives bodies into buffers
// that are handed on as they are, and sends pieces.
//
// A thread of its own receives (and opens, if the lane is sealed), so that the executor does not: it is told that a
// body has come. Memory is bounded: with limits::kBulkInFlightBytesMax held, or as many bodies as commands may be
// parked, the stream is left unread until some are gone.
//
// Threads: Send() and Close() from any; Take() and what tells of arrivals from one. The bodies outlive it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "protocol/base/mutex.h"
#include "protocol/transport/bulk_stream.h"
#include "protocol/transport/zmq_socket.h"

namespace accelmesh {

class BulkServer {
 public:
  // `wake` is called on its thread whenever there is something new to look at.
  static Result<std::unique_ptr<BulkServer>> Open(BulkListening listening, ByteView secret, bool is_sealed,
                                                  std::function<void()> wake);
  ~BulkServer();
  BulkServer(const BulkServer&) = delete;
  BulkServer& operator=(const BulkServer&) = delete;

  const Endpoint& endpoint() const { return endpoint_; }

  bool has_note() const { return has_note_.load(std::memory_order_acquire); }
  // Whether bodies have come since it was last asked.
  bool TakeNote() { return has_note() && has_note_.exchange(false, std::memory_order_acq_rel); }
  // kNotFound while it has not arrived.
  Result<std::unique_ptr<BulkBody>> Take(std::uint64_t token);
  // What came that must not; kOk while nothing did. Set before `wake` is called.
  Status failure() const;
  // Since when the client's end is gone, if it is.
  bool HasEndedBefore(Instant time) const;

  // Waits for the client to connect, and for room, until `deadline`.
  Status Send(std::uint64_t token, std::uint64_t offset, ByteView body, Deadline deadline);
  // Pieces sent so far, each counted before the next one begins to go.
  std::uint64_t pieces_sent() const;
  void Close();

 private:
  // What bodies and the lane share.
  struct Shared;
  class Body;
  class Sink;
  struct Stranger {
    BulkSocket socket;
    std::array<std::uint8_t, kBulkGreetingBytes> greeting;
    std::size_t filled = 0;
  };

  BulkServer(BulkListening listening, const SealKeys& keys, bool is_sealed, std::function<void()> wake);
  void Run();
  // Until the client is there; false if the lane was closed before.
  bool AwaitClient();
  void Receive();
  // Takes in what has come; false if the stream has ended.
  bool TakeRecords(BulkReader& reader, SocketSource& source, BulkSink& sink);
  void Fail(Status why);
  bool IsFull();

  const Endpoint endpoint_;
  const SealKeys keys_;
  const bool is_sealed_;
  const std::function<void()> wake_;
  const std::shared_ptr<Shared> shared_;
  BulkSocket listening_;  // the thread's
  BulkSocket stream_;     // set before sender_
  std::atomic<bool> closed_{false};
  std::atomic<bool> has_note_{false};
  std::atomic<BulkSender*> sender_{nullptr};

  mutable Mutex mutex_;
  CondVar connected_;
  std::unique_ptr<BulkSender> owned_sender_ ACCELMESH_GUARDED_BY(mutex_);
  std::unordered_map<std::uint64_t, std::unique_ptr<BulkBody>> arrived_ ACCELMESH_GUARDED_BY(mutex_);
  Status failure_ ACCELMESH_GUARDED_BY(mutex_);
  Instant ended_at_ ACCELMESH_GUARDED_BY(mutex_) = Instant::max();
  std::thread thread_;
};

}  // namespace accelmesh
