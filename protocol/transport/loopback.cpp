// Client and server of one session in one process: the plain reference of what a transport does. One mutex, queues,
// and a condition variable; nothing is fast, everything is obvious. Unit tests of the client core and of the session
// run on it, and the conformance suite holds the other transports to it.
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <unordered_map>

#include "protocol/transport/bulk_expectations.h"
#include "protocol/transport/channel.h"

namespace accelmesh {
namespace {

// What one lane of frames holds before a sender waits.
constexpr std::size_t kLaneBytesMax = 4 * limits::kMiB;
constexpr ChannelTraits kTraits{"loopback", true, limits::kBulkBytesMax, false};

struct FrameQueue {
  std::deque<Bytes> frames;
  std::size_t bytes = 0;

  bool HasRoom(std::size_t size) const { return frames.empty() || bytes + size <= kLaneBytesMax; }
  void Push(ByteView frame) {
    frames.emplace_back(frame.begin(), frame.end());
    bytes += frame.size();
  }
  Bytes Pop() {
    Bytes frame = std::move(frames.front());
    frames.pop_front();
    bytes -= frame.size();
    return frame;
  }
};

// Everything both ends share. Lives as long as the longer-lived end.
struct Link {
  std::mutex mutex;
  std::condition_variable changed;
  FrameQueue up[2];
  FrameQueue down;
  std::unordered_map<std::uint64_t, Bytes> bodies;
  std::size_t body_bytes = 0;  // of bodies sent, until their BulkBody is destroyed
  bool bulk_arrived = false;
  bool server_interrupted = false;
  bool client_changed = false;  // progress, a landed piece or an interrupt since the last Pump()
  bool closed = false;
  Status failure;  // why, if it was not a plain close
  BulkExpectations expectations;
  ProgressPage progress;
  // Counters that wait for frames which were sent before them: by stream.
  std::map<std::uint32_t, std::uint64_t> held;
  bool delivering = false;  // the client is handing a frame on

  void Close() {
    const std::lock_guard lock(mutex);
    closed = true;
    changed.notify_all();
  }
  void ClientChanged() {
    const std::lock_guard lock(mutex);
    client_changed = true;
    changed.notify_all();
  }
  Status ClosedStatus() const {
    return failure.ok() ? Status(Code::kClosed, "loopback", "the other end has closed the connection") : failure;
  }
  // Runs `done` under the lock until it says true; kClosed or kDeadlineExceeded otherwise.
  template <typename Done>
  Status WaitUntil(std::unique_lock<std::mutex>& lock, Deadline deadline, Done done) {
    if (changed.wait_until(lock, deadline.at(), [&] { return closed || done(); })) {
      return closed ? ClosedStatus() : Status();
    }
    return {Code::kDeadlineExceeded, "loopback", "no room or nothing arrived by the deadline"};
  }
};

Status CheckFrame(ByteView frame) {
  if (frame.size() <= limits::kFrameBytesMax) return {};
  return {Code::kLimitExceeded, "Send.frame", "a frame has at most 1 MiB, this one " + std::to_string(frame.size())};
}
Status CheckBulk(ByteView body) {
  if (body.size() <= limits::kBulkBytesMax) return {};
  return {Code::kLimitExceeded, "SendBulk.body", "a body has at most 1 MiB, this one " + std::to_string(body.size())};
}

class LoopbackClient final : public ClientChannel {
 public:
  explicit LoopbackClient(std::shared_ptr<Link> link) : link_(std::move(link)) {}
  ~LoopbackClient() override { link_->Close(); }

  const ChannelTraits& traits() const override { return kTraits; }

  Status Send(UpLane lane, ByteView frame, Deadline deadline) override {
    ACCELMESH_RETURN_IF_ERROR(CheckFrame(frame));
    std::unique_lock lock(link_->mutex);
    FrameQueue& queue = link_->up[static_cast<int>(lane)];
    ACCELMESH_RETURN_IF_ERROR(link_->WaitUntil(lock, deadline, [&] { return queue.HasRoom(frame.size()); }));
    queue.Push(frame);
    link_->changed.notify_all();
    return {};
  }

  Status SendBulk(std::uint64_t token, ByteView body, Deadline deadline) override {
    ACCELMESH_RETURN_IF_ERROR(CheckBulk(body));
    std::unique_lock lock(link_->mutex);
    ACCELMESH_RETURN_IF_ERROR(link_->WaitUntil(
        lock, deadline, [&] { return link_->body_bytes + body.size() <= limits::kBulkInFlightBytesMax; }));
    if (!link_->bodies.try_emplace(token, body.begin(), body.end()).second) {
      return {Code::kInvalidArgument, "SendBulk.token", "token " + std::to_string(token) + " is in use"};
    }
    link_->body_bytes += body.size();
    link_->bulk_arrived = true;
    link_->changed.notify_all();
    return {};
  }

  Status ExpectBulk(std::uint64_t token, MutableByteView destination) override {
    return link_->expectations.Expect(token, destination);
  }
  bool BulkLanded(std::uint64_t token) override { return link_->expectations.Landed(token); }
  void CancelBulk(std::uint64_t token) override { link_->expectations.Cancel(token); }

  Status Pump(FrameSink& sink, Deadline deadline) override {
    std::unique_lock lock(link_->mutex);
    const Status waited =
        link_->WaitUntil(lock, deadline, [&] { return link_->client_changed || !link_->down.frames.empty(); });
    // What arrived before a close is still delivered, and only then is the close reported.
    const bool changed = link_->client_changed;
    if (!waited.ok() && !changed && link_->down.frames.empty()) return waited;
    link_->client_changed = false;
    while (!link_->down.frames.empty()) {
      link_->delivering = true;
      const Bytes frame = link_->down.Pop();
      link_->changed.notify_all();
      lock.unlock();
      sink.OnFrame(frame);
      lock.lock();
    }
    link_->delivering = false;
    for (const auto& [stream, sequence] : link_->held) StoreMax(link_->progress.completed[stream], sequence);
    link_->held.clear();
    return {};
  }

  const ProgressPage& progress() const override { return link_->progress; }

  Status ShareMemory(std::uint32_t, int, std::size_t) override {
    return {Code::kUnsupported, "ShareMemory", "loopback shares no memory regions; use SendBulk and ExpectBulk"};
  }
  void Interrupt() override { link_->ClientChanged(); }
  void Close() override { link_->Close(); }

 private:
  std::shared_ptr<Link> link_;
};

class LoopbackBody final : public BulkBody {
 public:
  LoopbackBody(std::shared_ptr<Link> link, Bytes bytes) : link_(std::move(link)), bytes_(std::move(bytes)) {}
  ~LoopbackBody() override {
    const std::lock_guard lock(link_->mutex);
    link_->body_bytes -= bytes_.size();
    link_->changed.notify_all();
  }
  ByteView bytes() const override { return bytes_; }

 private:
  std::shared_ptr<Link> link_;
  Bytes bytes_;
};

class LoopbackServer final : public ServerChannel {
 public:
  explicit LoopbackServer(std::shared_ptr<Link> link) : link_(std::move(link)) {}
  ~LoopbackServer() override { link_->Close(); }

  const ChannelTraits& traits() const override { return kTraits; }

  Result<ReceivedFrame> Receive(bool accept_commands, Deadline deadline) override {
    std::unique_lock lock(link_->mutex);
    FrameQueue& side = link_->up[static_cast<int>(UpLane::kSide)];
    FrameQueue& commands = link_->up[static_cast<int>(UpLane::kCommand)];
    const auto ready = [&] {
      return link_->server_interrupted || link_->bulk_arrived || !side.frames.empty() ||
             (accept_commands && !commands.frames.empty());
    };
    const Status waited = link_->WaitUntil(lock, deadline, ready);
    if (!waited.ok() && !ready()) return waited;
    ReceivedFrame received;
    if (side.frames.empty() && link_->bulk_arrived) {
      link_->bulk_arrived = false;
      received.kind = ReceivedFrame::Kind::kBulk;
      return received;
    }
    if (side.frames.empty() && (!accept_commands || commands.frames.empty())) {
      link_->server_interrupted = false;
      received.kind = ReceivedFrame::Kind::kInterrupted;
      return received;
    }
    received.kind = ReceivedFrame::Kind::kFrame;
    received.lane = side.frames.empty() ? UpLane::kCommand : UpLane::kSide;
    frame_ = (side.frames.empty() ? commands : side).Pop();
    received.frame = frame_;
    link_->changed.notify_all();
    return received;
  }

  Result<std::unique_ptr<BulkBody>> TakeBulk(std::uint64_t token) override {
    const std::lock_guard lock(link_->mutex);
    const auto found = link_->bodies.find(token);
    if (found == link_->bodies.end()) return Status(Code::kNotFound, "TakeBulk.token", "the body has not arrived");
    Bytes bytes = std::move(found->second);
    link_->bodies.erase(found);
    return std::unique_ptr<BulkBody>(new LoopbackBody(link_, std::move(bytes)));
  }

  Status Send(ByteView frame, Deadline deadline) override {
    ACCELMESH_RETURN_IF_ERROR(CheckFrame(frame));
    std::unique_lock lock(link_->mutex);
    ACCELMESH_RETURN_IF_ERROR(link_->WaitUntil(lock, deadline, [&] { return link_->down.HasRoom(frame.size()); }));
    link_->down.Push(frame);
    link_->changed.notify_all();
    return {};
  }

  Status SendBulk(std::uint64_t token, std::uint64_t offset, ByteView body, Deadline) override {
    ACCELMESH_RETURN_IF_ERROR(CheckBulk(body));
    {
      const std::lock_guard lock(link_->mutex);
      if (link_->closed) return link_->ClosedStatus();
    }
    // The destination lies in this process: landing is the copy, and the rule of landing holds by itself.
    Status landed = link_->expectations.Land(token, offset, body);
    {
      const std::lock_guard lock(link_->mutex);
      if (!landed.ok() && !link_->closed) {
        link_->failure = landed;
        link_->closed = true;
      }
      link_->client_changed = link_->client_changed || landed.ok();
      link_->changed.notify_all();
    }
    return landed;
  }

  void PublishCompleted(std::uint32_t stream, std::uint64_t sequence) override {
    if (stream >= limits::kStreamsMax) return;
    const std::lock_guard lock(link_->mutex);
    if (link_->down.frames.empty() && !link_->delivering) {
      StoreMax(link_->progress.completed[stream], sequence);
    } else {
      std::uint64_t& held = link_->held[stream];
      held = std::max(held, sequence);
    }
    link_->client_changed = true;
    link_->changed.notify_all();
  }
  void PublishAcknowledged(std::uint64_t sequence) override {
    StoreMax(link_->progress.acknowledged, sequence);
    link_->ClientChanged();
  }
  void PublishError(std::uint32_t device_status, bool sticky, std::uint64_t sequence) override {
    {
      const std::lock_guard lock(link_->mutex);
      ProgressPage& page = link_->progress;
      const bool first = page.error.load(std::memory_order_relaxed) == 0;
      if (!first && (!sticky || page.error_is_sticky.load(std::memory_order_relaxed) != 0)) return;
      page.error_sequence.store(sequence, std::memory_order_relaxed);
      page.error_is_sticky.store(sticky ? 1 : 0, std::memory_order_relaxed);
      page.error.store(device_status, std::memory_order_release);
    }
    link_->ClientChanged();
  }

  Result<MutableByteView> SharedRegion(std::uint32_t) override {
    return Status(Code::kNotFound, "SharedRegion", "loopback shares no memory regions");
  }
  void ReleaseRegion(std::uint32_t) override {}
  void Interrupt() override {
    const std::lock_guard lock(link_->mutex);
    link_->server_interrupted = true;
    link_->changed.notify_all();
  }
  void Close() override { link_->Close(); }

 private:
  std::shared_ptr<Link> link_;
  Bytes frame_;  // what the last Receive() returned; the executor's thread only
};

}  // namespace

LoopbackPair MakeLoopback() {
  auto link = std::make_shared<Link>();
  LoopbackPair pair;
  pair.client = std::make_unique<LoopbackClient>(link);
  pair.server = std::make_unique<LoopbackServer>(std::move(link));
  return pair;
}

}  // namespace accelmesh
