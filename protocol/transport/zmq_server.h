// The worker's end of a zmq session: one ROUTER per lane, whose peer is pinned by the session's secret. All sockets
// belong to the executor's thread and are served inside Receive() (zmq_server.cpp); other threads leave what they send
// in a bounded queue (zmq_server_send.cpp) and wake the executor only if it sleeps. Bodies go by a stream of their own
// (bulk_server.h): whoever sends one writes it there by itself.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "protocol/base/mutex.h"
#include "protocol/transport/bulk_server.h"
#include "protocol/transport/channel.h"
#include "protocol/transport/first_error.h"
#include "protocol/transport/messages.h"
#include "protocol/transport/zap.h"
#include "protocol/transport/zmq_socket.h"

namespace accelmesh::zmq {

struct RouterLane {
  Socket router;
  Bytes peer;  // its routing id, once attached
  bool attached = false;
  bool bye = false;
  bool stranger_logged = false;
};

// Messages down that wait for the executor. Guarded by ZmqServer::mutex_.
struct OutQueue {
  std::deque<Message> messages;
  std::size_t bytes = 0;
  std::size_t bytes_max = 0;
  bool HasRoom(std::size_t size) const { return messages.empty() || bytes + size <= bytes_max; }
};

class ZmqServer final : public ServerChannel {
 public:
  explicit ZmqServer(ByteView secret);
  ~ZmqServer() override {
    Close();
    Leave();
  }

  Result<std::string> Bind(const WorkerEndpoints& where);
  std::string bulk_endpoint() const { return bulk_->endpoint().ToString(); }
  const security::CurveKey& worker_key() const { return worker_.key; }

  const ChannelTraits& traits() const override;
  Result<ReceivedFrame> Receive(bool accept_commands, Deadline deadline) override;
  Result<std::unique_ptr<BulkBody>> TakeBulk(std::uint64_t token) override;
  Status Send(ByteView frame, Deadline deadline) override;
  Status SendBulk(std::uint64_t token, std::uint64_t offset, ByteView body, Deadline deadline) override;

  void PublishCompleted(std::uint32_t stream, std::uint64_t sequence) override {
    if (stream >= limits::kStreamsMax) return;
    NoteCompleted(stream, sequence);
    ProgressChanged();
  }
  void PublishPassing(std::uint32_t stream, std::uint64_t sequence) override {
    // Nodes of a graph say the same one after the other.
    if (stream >= limits::kStreamsMax || completed_[stream].load(std::memory_order_relaxed) >= sequence) return;
    NoteCompleted(stream, sequence);
    passing_.store(true, std::memory_order_seq_cst);
    // The executor looks by itself, soon; if it has not been told to, it looks now.
    if (!looks_again_.load(std::memory_order_seq_cst)) Wake();
  }
  void PublishAcknowledged(std::uint64_t sequence) override {
    StoreMax(acknowledged_, sequence);
    // The executor's own leave with whatever goes down next, at the latest before it sleeps.
    if (!IsExecutor()) ProgressChanged();
  }
  void PublishError(std::uint32_t device_status, bool sticky, std::uint64_t sequence) override {
    {
      const MutexLock lock(mutex_);
      if (!error_.Note(device_status, sticky, sequence)) return;
    }
    ProgressChanged();
  }

  Result<MutableByteView> SharedRegion(std::uint32_t) override {
    return Status(Code::kNotFound, "SharedRegion", "zmq shares no memory");
  }
  void ReleaseRegion(std::uint32_t) override {}
  void Interrupt() override {
    if (!interrupted_.exchange(true)) Wake();
  }
  void Close() override {
    {
      const MutexLock lock(mutex_);
      closed_.store(true);
    }
    if (bulk_ != nullptr) bulk_->Close();
    room_.NotifyAll();
    wakeup_.Set();
  }

 private:
  bool IsExecutor() const { return executor_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }
  void Wake() {
    if (sleeping_.load(std::memory_order_seq_cst)) wakeup_.Set();
  }
  void NoteCompleted(std::uint32_t stream, std::uint64_t sequence) {
    StoreMax(completed_[stream], sequence);
    dirty_[stream / 64].fetch_or(std::uint64_t{1} << (stream % 64), std::memory_order_acq_rel);
  }
  void ProgressChanged() {
    progress_dirty_.store(true, std::memory_order_seq_cst);
    Wake();
  }
  Status ClosedStatus() const {
    return failure_.ok() ? Status(Code::kClosed, "zmq", "the connection has ended: the client is gone or closed it")
                         : failure_;
  }
  Status Bad(const char* what) {
    failure_ = {Code::kBadFrame, "zmq::Receive", what};
    Close();
    return failure_;
  }

  Status Enqueue(Message message, Deadline deadline);
  // The executor's: what was queued goes out as far as there is room; true if something is left.
  bool Flush();
  void QueueProgress(bool will_sleep);
  // Whether what PublishPassing() was told has waited long enough.
  bool PassingIsDue();
  Message EncodeProgress();
  void AwaitDownLane();
  // Says goodbye and lets go of the sockets.
  void Leave();

  // The next message of `lane` from the pinned peer; nothing if there is none.
  Result<std::optional<Message>> TakeFrom(Lane lane);
  void Admit(Lane lane, const Message& id, const Message& message, bool single);
  Result<std::optional<ReceivedFrame>> TakeFrame(Lane lane);
  // CURVE: makes the worker's keys and lets nobody but `client` connect.
  Status Secure(const security::CurveKey& client);
  Status Prepare(Socket& socket, const WorkerEndpoints& where);
  Status BindBulk(const Endpoint& endpoint, bool is_secured);
  bool ClientGone(bool accept_commands);
  void Sleep(bool accept_commands, bool blocked, Deadline deadline);

  const Bytes secret_;
  Context context_;
  security::CurvePair worker_;
  std::unique_ptr<ZapHandler> zap_;  // CURVE
  Monitor monitor_;
  RouterLane lanes_[kLanes];
  Wakeup wakeup_;
  Endpoint::Scheme scheme_ = Endpoint::Scheme::kTcp;
  std::vector<std::string> socket_paths_;

  std::atomic<std::thread::id> executor_{};
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> interrupted_{false};
  std::atomic<bool> closed_{false};
  std::atomic<bool> queued_{false};
  std::atomic<bool> progress_dirty_{false};
  std::atomic<bool> passing_{false};      // something is to be told, not at once
  std::atomic<bool> looks_again_{false};  // the executor will look at that, at look_at_
  std::atomic<std::uint64_t> acknowledged_{0};
  std::atomic<std::uint64_t> announced_{0};  // of it, what has gone down
  std::atomic<std::uint64_t> dirty_[limits::kStreamsMax / 64] = {};
  std::atomic<std::uint64_t> completed_[limits::kStreamsMax] = {};

  Mutex mutex_;
  CondVar room_;
  OutQueue queue_ ACCELMESH_GUARDED_BY(mutex_);
  FirstError error_ ACCELMESH_GUARDED_BY(mutex_);

  // The executor's.
  Message frame_;                             // what the last Receive() returned
  std::unique_ptr<std::uint64_t[]> aligned_;  // or here, if libzmq left it unaligned
  int client_descriptor_ = -1;                // of the command lane's connection
  const Instant opened_at_ = Clock::now();
  Instant look_at_{};
  bool end_seen_ = false;  // by the monitor
  bool disconnected_ = false;
  Instant next_liveness_{};
  bool left_ = false;
  Status failure_;
  // Last, so that it goes first: its thread wakes the executor.
  std::unique_ptr<BulkServer> bulk_;
};

}  // namespace accelmesh::zmq
