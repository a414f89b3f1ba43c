// The client's end of a session: one ordered command stream that any thread appends to, and the one place that waits.
//
// Threads: everything may be called from any thread. Appending is a short critical section; only a wait for room to
// send keeps its lock, and whoever waits there receives meanwhile. A waiting thread receives for itself: the first
// waiter pumps the channel, the others sleep until it has taken something in (a thread hop costs more than a round
// trip on the same host).
// Errors: Status for the connection and our own side; what the device reports is in Reply::device_status and in
// ProgressPage::error.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <unordered_map>

#include "protocol/base/mutex.h"
#include "protocol/gen_commands.h"
#include "protocol/transport/channel.h"

namespace accelmesh {

// How many functions were answered in which way, and what crossed the wire. Plain relaxed counters.
struct StreamStatistics {
  std::atomic<std::uint64_t> posts{0};
  std::atomic<std::uint64_t> calls{0};
  std::atomic<std::uint64_t> waits{0};  // waits for progress that was not there yet
  std::atomic<std::uint64_t> frames{0};
  std::atomic<std::uint64_t> command_bytes{0};
  std::atomic<std::uint64_t> bulk_up_bytes{0};
  std::atomic<std::uint64_t> bulk_down_bytes{0};
};

struct Reply {
  std::uint32_t device_status = 0;
  std::uint16_t code = 0;  // accelmesh::Code of the server's own errors
  std::string text;
  Bytes body;  // the reply table, unverified
};

// Commands that follow one another without another thread's between them. Struct commands of the command lane.
class CommandBatch {
 public:
  template <typename T>
  void Add(const T& body, ByteView payload = {}) {
    static_assert(!CommandTraits<T>::kIsTable && CommandTraits<T>::kLane == CommandLane::kCommand);
    AddRecord(static_cast<std::uint16_t>(CommandTraits<T>::kId), AsBytes(body), payload);
  }
  std::size_t size() const { return ends_.size(); }
  void Clear() {
    bytes_.clear();
    ends_.clear();
  }

 private:
  friend class CommandStream;
  void AddRecord(std::uint16_t command, ByteView body, ByteView payload);
  Bytes bytes_;
  std::vector<std::size_t> ends_;  // of each record in bytes_
};
// Appends one record as a frame holds it.
void AppendRecord(Bytes& out, std::uint16_t command, ByteView body, ByteView payload);

class CommandStream final : private FrameSink {
 public:
  // `output` receives what kernels print; called on a waiting thread.
  CommandStream(std::unique_ptr<ClientChannel> channel, std::function<void(std::string_view)> output);
  ~CommandStream() override;
  CommandStream(const CommandStream&) = delete;
  CommandStream& operator=(const CommandStream&) = delete;

  // Appends a struct command; returns its sequence number. Blocks only while the retained log or the lane is full.
  template <typename T>
  Result<std::uint64_t> Post(const T& body, ByteView payload = {}) {
    static_assert(!CommandTraits<T>::kIsTable && CommandTraits<T>::kLane == CommandLane::kCommand);
    statistics_.posts.fetch_add(1, std::memory_order_relaxed);
    return Append(static_cast<std::uint16_t>(CommandTraits<T>::kId), AsBytes(body), payload);
  }
  // The same for a command whose body is a finished FlatBuffer.
  template <typename T>
  Result<std::uint64_t> PostTable(ByteView flatbuffer) {
    static_assert(CommandTraits<T>::kIsTable && CommandTraits<T>::kLane == CommandLane::kCommand);
    statistics_.posts.fetch_add(1, std::memory_order_relaxed);
    return Append(static_cast<std::uint16_t>(CommandTraits<T>::kId), flatbuffer, {});
  }
  // Appends a batch that is not empty; returns the sequence number of its first command, the others follow.
  Result<std::uint64_t> Post(const CommandBatch& batch);
  // Appends a call and waits for its reply.
  template <typename T>
  Result<Reply> Call(const T& body, Deadline deadline) {
    return CallBytes(static_cast<std::uint16_t>(CommandTraits<T>::kId), AsBytes(body), deadline);
  }
  // The two halves of Call(), for a command whose bodies are sent between it and the wait for its reply.
  template <typename T>
  Result<std::uint64_t> BeginCall(const T& body, ByteView payload = {}) {
    return BeginCallBytes(static_cast<std::uint16_t>(CommandTraits<T>::kId), AsBytes(body), payload);
  }
  Result<Reply> FinishCall(std::uint64_t sequence, Deadline deadline);
  // The same for a command whose body is a finished FlatBuffer.
  Result<Reply> CallTable(CommandId id, ByteView flatbuffer, Deadline deadline) {
    return CallBytes(static_cast<std::uint16_t>(id), flatbuffer, deadline);
  }
  // Sends one command on the side lane at once; nothing parked delays it.
  template <typename T>
  Status PostSide(const T& body) {
    return AppendSide(static_cast<std::uint16_t>(CommandTraits<T>::kId), AsBytes(body));
  }

  // Flushes, then waits until `done()` holds. `done` is called often and must be cheap and thread-safe.
  template <typename Predicate>
  Status WaitUntil(Predicate done, Deadline deadline) {
    if (done()) return Status::Ok();
    statistics_.waits.fetch_add(1, std::memory_order_relaxed);
    if (!channel_->traits().flush_each_append) ACCELMESH_RETURN_IF_ERROR(Flush());
    while (!done()) ACCELMESH_RETURN_IF_ERROR(TakeInSomething(deadline, done));
    return Status::Ok();
  }
  Status Flush();
  // Hands a body to the server; waits for room as long as the server lives.
  Status SendBulk(std::uint64_t token, ByteView body);
  // Of a body that only a copy to a device will name.
  Status SendBulkToDevice(std::uint64_t token, ByteView body);
  // Takes in what has already arrived, without waiting.
  void Poll();

  const ProgressPage& progress() const { return channel_->progress(); }
  ClientChannel& channel() { return *channel_; }
  std::uint64_t NextToken() { return TakeTokens(1); }
  // `count` consecutive tokens; returns the first.
  std::uint64_t TakeTokens(std::uint32_t count) { return next_token_.fetch_add(count, std::memory_order_relaxed); }
  StreamStatistics& statistics() { return statistics_; }
  bool closed() const { return closed_.load(std::memory_order_acquire); }
  // While above zero, somebody has to receive even if no thread waits: the flusher does.
  void AddPendingEffects(int delta) {
    pending_effects_.fetch_add(delta, std::memory_order_seq_cst);
    if (delta > 0 && HasFlusher()) WakeFlusher();
  }

  // The session cannot go on: later posts and waits fail at once. Whoever finds that out says it here.
  void End() { closed_.store(true, std::memory_order_release); }
  // Stops the flusher and closes the channel without a goodbye: the child of fork() and process exit.
  void Abandon();
  // Orderly end.
  void Close();

 private:
  struct WaitingCall;
  class PumpWaiter {
   public:
    explicit PumpWaiter(CommandStream& stream) : stream_(stream) {
      stream_.pump_waiters_.fetch_add(1, std::memory_order_seq_cst);
    }
    ~PumpWaiter() { stream_.pump_waiters_.fetch_sub(1, std::memory_order_seq_cst); }
    PumpWaiter(const PumpWaiter&) = delete;

   private:
    CommandStream& stream_;
  };
  // `urgent`: somebody waits for the answer, so it leaves at once with all that was gathered before.
  Result<std::uint64_t> Append(std::uint16_t command, ByteView body, ByteView payload, bool urgent = false);
  // Puts one record into the frame under construction, and sends that if it is time. `gathers`: it has begun a frame
  // that stays.
  Status AppendLocked(std::uint16_t command, ByteView body, ByteView payload, bool at_once, bool* gathers)
      ACCELMESH_REQUIRES(append_mu_);
  Status LeaveToFlusher();
  Status AppendSide(std::uint16_t command, ByteView body);
  Result<std::uint64_t> BeginCallBytes(std::uint16_t command, ByteView body, ByteView payload = {});
  Result<Reply> CallBytes(std::uint16_t command, ByteView body, Deadline deadline);
  Status FlushLocked() ACCELMESH_REQUIRES(append_mu_);
  // Receives, or waits for the thread that does; for a slice of time at most. `done` is what the caller waits for.
  template <typename Predicate>
  Status TakeInSomething(Deadline deadline, const Predicate& done) {
    if (!pumping_.exchange(true, std::memory_order_acquire)) return PumpOnce(deadline);
    const PumpWaiter waiter(*this);
    const std::uint64_t round = pump_round_.load(std::memory_order_seq_cst);
    // Once more, now that whoever receives knows of us: from here on the end of a round is told.
    return done() ? Status::Ok() : WaitForPump(round, deadline);
  }
  // `send`, again and again until there is room. A server that is busy may keep a sender waiting for as long as its
  // kernels run; what ends the wait is its end. Meanwhile somebody must receive: it may be waiting for room to us.
  template <typename Send>
  Status SendReceiving(Send send) {
    Status sent = send(Deadline::Poll());
    while (sent.code() == Code::kDeadlineExceeded && !closed()) {
      Poll();
      sent = send(Deadline::After(std::chrono::milliseconds(1)));
    }
    return sent;
  }
  Status NoteBulk(std::size_t bytes, Status sent);
  Status PumpOnce(Deadline deadline);
  Status WaitForPump(std::uint64_t round, Deadline deadline) ACCELMESH_EXCLUDES(pump_mu_);
  void OnFrame(ByteView frame) override;
  // Takes a reply, or a part of one. False if the server answers more than it may.
  bool TakeReply(const wire::Down& down, bool is_last);
  void EndForBadServer(const char* what);
  // The flusher starts with the first thing that it has to do: over shared memory mostly never. False if the system
  // gives no thread: then what is gathered leaves at once, and effects land when somebody waits.
  bool HasFlusher() { return has_flusher_.load(std::memory_order_acquire) || StartFlusher(); }
  bool StartFlusher() ACCELMESH_EXCLUDES(flusher_mu_);
  void WakeFlusher() ACCELMESH_EXCLUDES(flusher_mu_);
  void FlusherMain();
  void ReleaseAcknowledged() ACCELMESH_REQUIRES(append_mu_);
  void EndPump() ACCELMESH_EXCLUDES(pump_mu_);

  std::unique_ptr<ClientChannel> channel_;
  std::function<void(std::string_view)> output_;
  StreamStatistics statistics_;
  std::atomic<bool> closed_{false};
  std::atomic<std::uint64_t> next_token_{1};
  std::atomic<int> pending_effects_{0};

  Mutex append_mu_;
  // The frame under construction, header first; empty if nothing is gathered.
  Bytes batch_ ACCELMESH_GUARDED_BY(append_mu_);
  std::uint32_t batch_records_ ACCELMESH_GUARDED_BY(append_mu_) = 0;
  std::uint64_t next_sequence_ ACCELMESH_GUARDED_BY(append_mu_) = 1;
  // Sent and not acknowledged: last sequence of the frame, frame.
  std::deque<std::pair<std::uint64_t, Bytes>> retained_ ACCELMESH_GUARDED_BY(append_mu_);
  std::size_t retained_bytes_ ACCELMESH_GUARDED_BY(append_mu_) = 0;

  Mutex side_mu_;
  std::uint64_t next_side_sequence_ ACCELMESH_GUARDED_BY(side_mu_) = 1;

  // One thread receives at a time, the one that set `pumping_`. It rings only if it finds waiters behind it: the
  // pattern on both sides is write, then read, in sequentially consistent order.
  std::atomic<bool> pumping_{false};
  std::atomic<std::uint32_t> pump_waiters_{0};
  // The pumping thread's: when it looks at the clock again. So a reply that comes soon costs no look.
  Instant slice_end_ = Clock::now();
  Mutex pump_mu_;
  CondVar pump_cv_;
  std::atomic<std::uint64_t> pump_round_{0};  // grows under pump_mu_

  Mutex reply_mu_;
  WaitingCall* waiting_calls_ ACCELMESH_GUARDED_BY(reply_mu_) = nullptr;
  // Arrived before their callers waited.
  struct EarlyReply {
    Reply reply;
    bool is_whole = false;
  };
  std::unordered_map<std::uint64_t, EarlyReply> early_replies_ ACCELMESH_GUARDED_BY(reply_mu_);
  std::size_t early_reply_bytes_ ACCELMESH_GUARDED_BY(reply_mu_) = 0;

  Mutex flusher_mu_;
  CondVar flusher_cv_;
  std::atomic<bool> has_flusher_{false};
  std::atomic<bool> flusher_asleep_{false};
  bool stop_flusher_ ACCELMESH_GUARDED_BY(flusher_mu_) = false;
  bool flusher_failed_ ACCELMESH_GUARDED_BY(flusher_mu_) = false;
  std::thread flusher_;
};

}  // namespace accelmesh
