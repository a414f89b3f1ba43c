// The sockets of a bulk lane: one stream connection a session, TCP or unix, over which each end sends records
// (bulk_record.h). A client shows the session's mark when it connects; the worker closes whoever shows another.
//
//   connection := "AMBULK1\n" mark:32 bytes stream        (client's side; the worker's is a stream alone)
//
// Threads: BulkSender from any; the rest belongs to one. Sockets never wait; who waits does so with poll(2).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "protocol/base/clock.h"
#include "protocol/base/mutex.h"
#include "protocol/transport/bulk_record.h"
#include "protocol/transport/channel.h"

namespace accelmesh {

// A descriptor that closes itself.
class BulkSocket {
 public:
  BulkSocket() = default;
  explicit BulkSocket(int fd) : fd_(fd) {}
  ~BulkSocket();
  BulkSocket(BulkSocket&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  BulkSocket& operator=(BulkSocket&& other) noexcept;
  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// A listening socket at `endpoint` (tcp port 0: any free one). kUnavailable if it is taken.
struct BulkListening {
  BulkSocket socket;
  Endpoint endpoint;  // with the port
};
Result<BulkListening> ListenForBulk(const Endpoint& endpoint);
// The next connection, ready for use; a socket that is not open if there is none. `own_user_only`: one of another user
// on a unix socket is closed.
BulkSocket AcceptBulk(const BulkSocket& listening, bool own_user_only);

// Connects and shows `mark`.
Result<BulkSocket> ConnectBulk(const Endpoint& endpoint, const SealKey& mark, Deadline deadline);
inline constexpr std::size_t kBulkGreetingBytes = 8 + sizeof(SealKey);
// Whether a connection's first bytes show `mark`; takes as long for a wrong one as for the right one.
bool GreetingFits(ByteView greeting, const SealKey& mark);

// What has come on a socket.
class SocketSource final : public BulkSource {
 public:
  explicit SocketSource(int fd) : fd_(fd) {}
  Result<std::size_t> Read(MutableByteView to) override;
  // Before a wait: poll(2) need not wake for less than a good part of `due` bytes that are certain to come. A wake-up
  // for each segment would cost more than the copying.
  void WakeFor(std::size_t due);

 private:
  const int fd_;
  int wakes_at_ = 1;
};

// Sends records, each as a whole, one after the other.
class BulkSender {
 public:
  // `sealer`: null if the stream is not sealed. The socket outlives it.
  BulkSender(int fd, std::unique_ptr<Sealer> sealer) : fd_(fd), sealer_(std::move(sealer)) {}
  ~BulkSender();

  // Waits for room until `deadline`: kDeadlineExceeded with nothing sent. A record that has begun to go is taken whole;
  // what did not fit goes when there is room, by a thread that starts when it first has something to do. kClosed once
  // the peer is gone or Close() was called.
  Status Send(const BulkHeader& header, ByteView body, Deadline deadline);
  // Sends what was left, as far as there is room. Any thread; never waits.
  void Flush();
  bool has_rest() const { return has_rest_.load(std::memory_order_acquire); }
  // Records taken so far, each counted before the next one begins to go.
  std::uint64_t records() const { return records_.load(std::memory_order_acquire); }
  void Close();

 private:
  // Makes the calling thread the one that sends.
  Status Begin(Deadline deadline);
  void End();
  Status SendPlain(const BulkHeader& header, ByteView body, Deadline deadline);
  Status SendSealed(const BulkHeader& header, ByteView body, Deadline deadline);
  // Of bytes [sent_, ready_) of the buffer as much as fits; kFull if some are left.
  Status PushBuffer();
  // Waits until the socket takes something.
  Status WaitForRoom(Deadline deadline);
  // What is in the buffer goes later.
  void KeepRest();
  void PushRests();
  Status Closed() const { return {Code::kClosed, "BulkSender", "the connection of the bulk lane has ended"}; }

  const int fd_;
  const std::unique_ptr<Sealer> sealer_;
  std::atomic<bool> closed_{false};
  std::atomic<bool> has_rest_{false};
  std::atomic<std::uint64_t> records_{0};

  Mutex mutex_;
  CondVar free_;
  CondVar rest_;
  bool busy_ ACCELMESH_GUARDED_BY(mutex_) = false;
  std::thread pusher_ ACCELMESH_GUARDED_BY(mutex_);
  // The sending thread's.
  std::unique_ptr<std::uint8_t[]> buffer_;  // a sealed record, or what is left of one
  std::size_t sent_ = 0;
  std::size_t ready_ = 0;
};

}  // namespace accelmesh
