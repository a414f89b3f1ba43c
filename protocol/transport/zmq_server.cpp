// The worker's end of a zmq session: one ROUTER per lane, whose peer is pinned by the session's secret. All sockets
// belong to the executor's thread and are served inside Receive(); other threads leave what they send in bounded
// queues and wake the executor only if it sleeps.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <optional>
#include <thread>
#include <unordered_map>

#include "protocol/base/log.h"
#include "protocol/base/mutex.h"
#include "protocol/schema/session_generated.h"
#include "protocol/transport/channel.h"
#include "protocol/transport/messages.h"
#include "protocol/transport/zmq_socket.h"

namespace accelmesh {
namespace zmq {
namespace {

constexpr ChannelTraits kTraits{"zmq", false, limits::kBulkBytesMax, false};
constexpr std::size_t kQueuedFrameBytesMax = 4 * limits::kMiB;
constexpr std::size_t kQueuedPieceBytesMax = 16 * limits::kMiB;
// How soon a lane whose peer had no room is tried again.
constexpr int kBlockedRetryMs = 1;
// Acknowledgements leave with other messages, or on their own when there are this many.
constexpr std::uint64_t kUnannouncedMax = 1024;
// How long the last words wait for lanes that the client has not attached yet.
constexpr Duration kAttachPatience = std::chrono::milliseconds(500);
constexpr int kRoutingIdBytesMax = 255;
// How long a client that was welcomed may take to attach before its worker gives up.
constexpr Duration kFirstAttachPatience = std::chrono::seconds(10);

struct RouterLane {
  Socket router;
  Bytes peer;  // its routing id, once attached
  bool attached = false;
  bool bye = false;
  bool stranger_logged = false;
};

// Messages of one lane down that wait for the executor. Guarded by ZmqServer::mutex_.
struct OutQueue {
  std::deque<Message> messages;
  std::size_t bytes = 0;
  std::size_t bytes_max = 0;
  bool HasRoom(std::size_t size) const { return messages.empty() || bytes + size <= bytes_max; }
};

// A body that stays in the message it came in.
class MessageBody final : public BulkBody {
 public:
  MessageBody(Message message, std::shared_ptr<std::atomic<std::size_t>> held)
      : message_(std::move(message)), held_(std::move(held)) {}
  ~MessageBody() override { held_->fetch_sub(message_.bytes().size(), std::memory_order_relaxed); }
  ByteView bytes() const override { return message_.body(); }

 private:
  Message message_;
  std::shared_ptr<std::atomic<std::size_t>> held_;
};

class ZmqServer final : public ServerChannel {
 public:
  explicit ZmqServer(ByteView secret) : secret_(secret.begin(), secret.end()) {
    queues_[0].bytes_max = kQueuedFrameBytesMax;
    queues_[1].bytes_max = kQueuedPieceBytesMax;
  }
  ~ZmqServer() override {
    Close();
    Leave();
  }

  Result<std::string> Bind(const WorkerEndpoints& where);

  const ChannelTraits& traits() const override { return kTraits; }
  Result<ReceivedFrame> Receive(bool accept_commands, Deadline deadline) override;
  Result<std::unique_ptr<BulkBody>> TakeBulk(std::uint64_t token) override;
  Status Send(ByteView frame, Deadline deadline) override;
  Status SendBulk(std::uint64_t token, std::uint64_t offset, ByteView body, Deadline deadline) override;

  void PublishCompleted(std::uint32_t stream, std::uint64_t sequence) override {
    if (stream >= limits::kStreamsMax) return;
    StoreMax(completed_[stream], sequence);
    dirty_[stream / 64].fetch_or(std::uint64_t{1} << (stream % 64), std::memory_order_acq_rel);
    ProgressChanged();
  }
  void PublishAcknowledged(std::uint64_t sequence) override {
    StoreMax(acknowledged_, sequence);
    // The executor's own leave with whatever goes down next, at the latest before it sleeps.
    if (!IsExecutor()) ProgressChanged();
  }
  void PublishError(std::uint32_t device_status, bool sticky, std::uint64_t sequence) override {
    {
      const MutexLock lock(mutex_);
      if (error_ != 0 && (!sticky || error_is_sticky_)) return;
      error_ = device_status;
      error_is_sticky_ = sticky;
      error_sequence_ = sequence;
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
    room_.NotifyAll();
    wakeup_.Set();
  }

 private:
  enum Queue { kFrames = 0, kPieces = 1 };

  bool IsExecutor() const { return executor_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }
  void Wake() {
    if (sleeping_.load(std::memory_order_seq_cst)) wakeup_.Set();
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

  Status Enqueue(Queue queue, Message message, Deadline deadline);
  // The executor's: what was queued goes out as far as there is room; true if something is left.
  bool Flush();
  bool FlushQueue(Queue queue, RouterLane& lane) ACCELMESH_REQUIRES(mutex_);
  void QueueProgress(bool will_sleep);
  Message EncodeProgress();
  void AwaitDownLanes();
  // Says goodbye and lets go of the sockets.
  void Leave();

  // The next message of `lane` from the pinned peer; nothing if there is none.
  Result<std::optional<Message>> TakeFrom(Lane lane);
  void Admit(Lane lane, const Message& id, const Message& message, bool single);
  Result<std::optional<ReceivedFrame>> TakeFrame(Lane lane);
  Result<bool> TakeBody();
  // The session holds as many bodies as it may: the bulk lane is left unread.
  bool BodiesFull() const {
    return held_bytes_->load(std::memory_order_relaxed) >= limits::kBulkInFlightBytesMax ||
           arrived_.size() >= limits::kParkedCommandsMax;
  }
  bool ClientGone(bool accept_commands);
  void Sleep(bool accept_commands, bool blocked, Deadline deadline);

  const Bytes secret_;
  Context context_;
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
  std::atomic<std::uint64_t> acknowledged_{0};
  std::atomic<std::uint64_t> announced_{0};  // of it, what has gone down
  std::atomic<std::uint64_t> dirty_[limits::kStreamsMax / 64] = {};
  std::atomic<std::uint64_t> completed_[limits::kStreamsMax] = {};
  std::atomic<std::uint64_t> pieces_sent_{0};

  Mutex mutex_;
  CondVar room_;
  OutQueue queues_[2] ACCELMESH_GUARDED_BY(mutex_);
  std::uint32_t error_ ACCELMESH_GUARDED_BY(mutex_) = 0;
  bool error_is_sticky_ ACCELMESH_GUARDED_BY(mutex_) = false;
  std::uint64_t error_sequence_ ACCELMESH_GUARDED_BY(mutex_) = 0;

  // The executor's.
  Message frame_;                             // what the last Receive() returned
  std::unique_ptr<std::uint64_t[]> aligned_;  // or here, if libzmq left it unaligned
  std::unordered_map<std::uint64_t, Message> arrived_;
  std::shared_ptr<std::atomic<std::size_t>> held_bytes_ = std::make_shared<std::atomic<std::size_t>>(0);
  int client_descriptor_ = -1;  // of the command lane's connection
  const Instant opened_at_ = Clock::now();
  bool end_seen_ = false;  // by the monitor
  bool disconnected_ = false;
  Instant next_liveness_{};
  bool left_ = false;
  Status failure_;
};

Result<std::string> ZmqServer::Bind(const WorkerEndpoints& where) {
  static std::atomic<unsigned> next_name{0};
  scheme_ = where.scheme;
  Endpoint first;
  first.scheme = where.scheme;
  first.host = where.host;
  ACCELMESH_RETURN_IF_ERROR(CheckLocal(first, "OpenZmqWorker"));
  std::string list;
  unsigned port = where.port_first;
  const std::string stem = where.folder + "/worker-" + std::to_string(getpid()) + "-" + std::to_string(next_name++);
  for (int lane = 0; lane < kLanes; ++lane) {
    const bool bulk = lane == kBulkUpLane || lane == kBulkDownLane;
    ACCELMESH_ASSIGN_OR_RETURN(lanes_[lane].router,
                               Socket::Open(context_, ZMQ_ROUTER, bulk ? kBulkMessagesMax : kFrameMessagesMax));
    if (lane == kCommandLane) ACCELMESH_RETURN_IF_ERROR(monitor_.Watch(context_, lanes_[lane].router, "command"));
    Result<Endpoint> bound =
        Status(Code::kUnavailable, "OpenZmqWorker",
               "every port of the worker range " + std::to_string(where.port_first) + "-" +
                   std::to_string(where.port_last) + " is taken; a session needs five, widen --worker-ports");
    if (where.scheme == Endpoint::Scheme::kIpc) {
      first.path = stem + "." + std::to_string(lane);
      ACCELMESH_RETURN_IF_ERROR(ParseEndpoint(first.ToString()).status());
      bound = lanes_[lane].router.Bind(first);
      if (bound.ok()) socket_paths_.push_back(first.path);
    } else if (where.port_first == 0) {
      first.port = 0;
      bound = lanes_[lane].router.Bind(first);
    } else {
      for (; !bound.ok() && port <= where.port_last; ++port) {
        first.port = static_cast<std::uint16_t>(port);
        Result<Endpoint> tried = lanes_[lane].router.Bind(first);
        if (!tried.ok() && tried.code() != Code::kUnavailable) return tried.status();
        if (tried.ok()) bound = std::move(tried);
      }
    }
    if (!bound.ok()) return bound.status();
    list += (lane == 0 ? "" : ",") + bound->ToString();
  }
  return list;
}

// Sending
// --------------------------------------------------------------------------------------------------------------

Status ZmqServer::Send(ByteView frame, Deadline deadline) {
  if (frame.size() > limits::kFrameBytesMax) {
    return {Code::kLimitExceeded, "Send.frame", "a frame has at most 1 MiB, this one " + std::to_string(frame.size())};
  }
  const std::uint64_t acknowledged = acknowledged_.load(std::memory_order_acquire);
  Message message(frame, {pieces_sent_.load(std::memory_order_acquire), acknowledged, MessageKind::kFrame});
  // Noted first: on the executor's thread queueing also sends, and asks what is left to announce.
  StoreMax(announced_, acknowledged);
  Status queued = Enqueue(kFrames, std::move(message), deadline);
  if (!queued.ok()) announced_.store(0, std::memory_order_relaxed);  // announced once more, then
  return queued;
}

Status ZmqServer::SendBulk(std::uint64_t token, std::uint64_t offset, ByteView body, Deadline deadline) {
  if (body.size() > limits::kBulkBytesMax) {
    return {Code::kLimitExceeded, "SendBulk.body", "a body has at most 1 MiB, this one " + std::to_string(body.size())};
  }
  return Enqueue(kPieces, Message(body, {token, offset, MessageKind::kFrame}), deadline);
}

Status ZmqServer::Enqueue(Queue index, Message message, Deadline deadline) {
  const std::size_t size = message.bytes().size();
  {
    MutexLock lock(mutex_);
    OutQueue& queue = queues_[index];
    while (!closed_.load(std::memory_order_relaxed) && !queue.HasRoom(size)) {
      if (deadline.passed()) {
        return {Code::kDeadlineExceeded, "zmq::Send", "no room by the deadline: the client does not read"};
      }
      if (IsExecutor()) {
        // Nobody else would make room.
        lock.Unlock();
        if (Flush()) usleep(100);
        lock.Lock();
      } else {
        (void)room_.WaitUntil(mutex_, deadline.at());
      }
    }
    if (closed_.load(std::memory_order_relaxed)) return {Code::kClosed, "zmq", "the connection has ended"};
    queue.messages.push_back(std::move(message));
    queue.bytes += size;
    // Counted before anything that is published or sent from now on looks at it.
    if (index == kPieces) pieces_sent_.fetch_add(1, std::memory_order_acq_rel);
  }
  queued_.store(true, std::memory_order_seq_cst);
  if (IsExecutor()) {
    Flush();
  } else {
    Wake();
  }
  return {};
}

bool ZmqServer::Flush() {
  if (!queued_.load(std::memory_order_relaxed)) return false;
  queued_.store(false, std::memory_order_seq_cst);
  const MutexLock lock(mutex_);
  // Pieces first: frames and progress wait for them on the other side.
  const bool pieces_left = FlushQueue(kPieces, lanes_[kBulkDownLane]);
  const bool frames_left = FlushQueue(kFrames, lanes_[kDownLane]);
  if (pieces_left || frames_left) queued_.store(true, std::memory_order_relaxed);
  return pieces_left || frames_left;
}

bool ZmqServer::FlushQueue(Queue index, RouterLane& lane) {
  OutQueue& queue = queues_[index];
  if (queue.messages.empty()) return false;
  if (!lane.attached) return true;
  bool moved = false;
  while (!queue.messages.empty()) {
    Message id(lane.peer);
    const Io io = lane.router.TrySend(id, /*more=*/true);
    if (io == Io::kNoPeer) disconnected_ = true;
    if (io != Io::kDone) break;
    queue.bytes -= queue.messages.front().bytes().size();
    // The routing id was taken, so the rest of the message is.
    (void)lane.router.TrySend(queue.messages.front());
    queue.messages.pop_front();
    moved = true;
  }
  if (moved) room_.NotifyAll();
  return !queue.messages.empty();
}

void ZmqServer::QueueProgress(bool will_sleep) {
  const std::uint64_t unannounced =
      acknowledged_.load(std::memory_order_relaxed) - announced_.load(std::memory_order_relaxed);
  const bool acknowledge = unannounced >= (will_sleep ? 1 : kUnannouncedMax);
  if (!acknowledge && !progress_dirty_.load(std::memory_order_relaxed)) return;
  {
    const MutexLock lock(mutex_);
    // While the client does not read, changes gather here instead of in messages.
    if (queues_[kFrames].messages.size() > 1) return;
  }
  progress_dirty_.store(false, std::memory_order_seq_cst);
  Message message = EncodeProgress();
  const MutexLock lock(mutex_);
  queues_[kFrames].bytes += message.bytes().size();
  queues_[kFrames].messages.push_back(std::move(message));
  queued_.store(true, std::memory_order_relaxed);
}

Message ZmqServer::EncodeProgress() {
  std::vector<wire::StreamProgress> streams;
  for (std::uint32_t word = 0; word < limits::kStreamsMax / 64; ++word) {
    if (dirty_[word].load(std::memory_order_relaxed) == 0) continue;
    for (std::uint64_t left = dirty_[word].exchange(0, std::memory_order_acq_rel); left != 0; left &= left - 1) {
      const std::uint32_t stream = word * 64 + static_cast<std::uint32_t>(__builtin_ctzll(left));
      streams.emplace_back(stream, completed_[stream].load(std::memory_order_acquire));
    }
  }
  const std::uint64_t acknowledged = acknowledged_.load(std::memory_order_acquire);
  std::uint32_t error = 0;
  bool sticky = false;
  std::uint64_t error_sequence = 0;
  {
    const MutexLock lock(mutex_);
    error = error_;
    sticky = error_is_sticky_;
    error_sequence = error_sequence_;
  }
  // Read last: it counts at least the bodies sent before any of the values above.
  const std::uint64_t pieces = pieces_sent_.load(std::memory_order_acquire);
  flatbuffers::FlatBufferBuilder builder;
  const auto list = streams.empty() ? 0 : builder.CreateVectorOfStructs(streams);
  builder.Finish(wire::CreateProgress(builder, acknowledged, error, sticky, error_sequence, pieces, list));
  StoreMax(announced_, acknowledged);
  return Message({builder.GetBufferPointer(), builder.GetSize()}, {pieces, acknowledged, MessageKind::kProgress});
}

void ZmqServer::AwaitDownLanes() {
  // Each lane is a connection of its own: a client that has sent commands may still be on its way to attach these.
  const Deadline deadline = Deadline::After(kAttachPatience);
  const auto missing = [this] { return !lanes_[kDownLane].attached || !lanes_[kBulkDownLane].attached; };
  while (lanes_[kCommandLane].attached && !disconnected_ && failure_.ok() && missing() && !deadline.passed()) {
    for (Lane lane : {kDownLane, kBulkDownLane}) {
      if (!lanes_[lane].attached && !TakeFrom(lane).ok()) return;
    }
    if (missing()) usleep(100);
  }
}

void ZmqServer::Leave() {
  if (left_) return;
  left_ = true;
  AwaitDownLanes();
  QueueProgress(/*will_sleep=*/true);
  Flush();
  RouterLane& down = lanes_[kDownLane];
  if (down.attached && !disconnected_) {
    Message id(down.peer);
    Message bye({}, {pieces_sent_.load(), 0, MessageKind::kBye});
    if (down.router.TrySend(id, /*more=*/true) == Io::kDone) (void)down.router.TrySend(bye);
  }
  // The sockets close with this object (libzmq lingers for what is under way); their names go now.
  for (const std::string& path : socket_paths_) unlink(path.c_str());
}

// Receiving
// ------------------------------------------------------------------------------------------------------------

Result<ReceivedFrame> ZmqServer::Receive(bool accept_commands, Deadline deadline) {
  if (!IsExecutor()) executor_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  for (;;) {
    ReceivedFrame received;
    if (interrupted_.load(std::memory_order_relaxed) && interrupted_.exchange(false)) return received;
    if (!failure_.ok()) return failure_;
    QueueProgress(/*will_sleep=*/false);
    bool blocked = Flush();
    if (lanes_[kSideLane].router.maybe_readable()) {
      ACCELMESH_ASSIGN_OR_RETURN(std::optional<ReceivedFrame> side, TakeFrame(kSideLane));
      if (side.has_value()) return *side;
    }
    ACCELMESH_ASSIGN_OR_RETURN(const bool body, TakeBody());
    if (body) {
      received.kind = ReceivedFrame::Kind::kBulk;
      return received;
    }
    if (accept_commands && lanes_[kCommandLane].router.maybe_readable()) {
      ACCELMESH_ASSIGN_OR_RETURN(std::optional<ReceivedFrame> command, TakeFrame(kCommandLane));
      if (command.has_value()) return *command;
    }
    // These lanes bring nothing but the attachment.
    for (Lane lane : {kDownLane, kBulkDownLane}) {
      if (lanes_[lane].attached || !lanes_[lane].router.maybe_readable()) continue;
      ACCELMESH_RETURN_IF_ERROR(TakeFrom(lane).status());
      if (lanes_[lane].attached) queued_.store(true, std::memory_order_relaxed);
    }
    if (closed_.load() || ClientGone(accept_commands)) {
      Close();
      Leave();
      return ClosedStatus();
    }
    if (deadline.passed()) return Status(Code::kDeadlineExceeded, "zmq::Receive", "nothing arrived by the deadline");
    QueueProgress(/*will_sleep=*/true);
    blocked = Flush();
    Sleep(accept_commands, blocked, deadline);
  }
}

bool ZmqServer::ClientGone(bool accept_commands) {
  if (lanes_[kSideLane].bye && (lanes_[kCommandLane].bye || !accept_commands)) return true;
  if (!lanes_[kCommandLane].attached && Clock::now() - opened_at_ > kFirstAttachPatience) {
    failure_ = {Code::kClosed, "zmq::Receive", "the client was welcomed and never attached"};
    return true;
  }
  // Seen in the round before: since then every lane was found empty.
  if (disconnected_) return true;
  const Instant now = Clock::now();
  if (now < next_liveness_) return false;
  next_liveness_ = now + std::chrono::milliseconds(kLivenessMs);
  int descriptor = -1;
  while (monitor_.NextEnd(descriptor)) {
    if (descriptor >= 0 && descriptor == client_descriptor_) end_seen_ = true;
  }
  if (end_seen_) {
    disconnected_ = true;
    // What it sent before is still taken in: every lane once more, without sleeping.
    wakeup_.Set();
    for (RouterLane& lane : lanes_) lane.router.NoteReadable();
  }
  return false;
}

void ZmqServer::Sleep(bool accept_commands, bool blocked, Deadline deadline) {
  pollfd fds[1 + kLanes];
  fds[0] = {wakeup_.fd(), POLLIN, 0};
  const bool full = BodiesFull();
  bool readable = false;
  for (int lane = 0; lane < kLanes; ++lane) {
    const bool unread =
        (lane == kCommandLane && !accept_commands) || (lane == kBulkUpLane && full) || lane >= kDownLane;
    const bool skip = unread && lanes_[lane].attached;
    fds[1 + lane] = {skip ? -1 : lanes_[lane].router.event_fd(), POLLIN, 0};
    readable = readable || (!skip && lanes_[lane].router.maybe_readable());
  }
  int timeout = std::min(deadline.left_ms(), kLivenessMs);
  if ((blocked && lanes_[kDownLane].attached) || full) timeout = std::min(timeout, kBlockedRetryMs);
  sleeping_.store(true, std::memory_order_seq_cst);
  const bool awake =
      readable || interrupted_.load() || closed_.load() || ((progress_dirty_.load() || queued_.load()) && !blocked);
  const int ready = poll(fds, 1 + kLanes, awake ? 0 : timeout);
  sleeping_.store(false, std::memory_order_relaxed);
  if (ready <= 0) return;
  if (fds[0].revents != 0) wakeup_.Clear();
  for (int lane = 0; lane < kLanes; ++lane) {
    if (fds[1 + lane].revents != 0) lanes_[lane].router.NoteReadable();
  }
}

Result<std::optional<Message>> ZmqServer::TakeFrom(Lane index) {
  RouterLane& lane = lanes_[index];
  for (;;) {
    Message id;
    Message message;
    if (lane.router.TryReceive(id) != Io::kDone) return std::optional<Message>();
    bool single = id.more() && lane.router.TryReceive(message) == Io::kDone && !message.more();
    for (Message rest; !single;) {
      // More parts than ours ever have: skipped to the end of the message.
      if (lane.router.TryReceive(rest) != Io::kDone || !rest.more()) break;
    }
    const ByteView from = id.bytes();
    if (!lane.attached || from.size() != lane.peer.size() ||
        std::memcmp(from.data(), lane.peer.data(), from.size()) != 0) {
      Admit(index, id, message, single);
      continue;
    }
    if (!single) return Bad("the client sent a message of several parts");
    return std::optional<Message>(std::move(message));
  }
}

void ZmqServer::Admit(Lane index, const Message& id, const Message& message, bool single) {
  RouterLane& lane = lanes_[index];
  Trailer trailer;
  const bool welcome = !lane.attached && single && message.ReadTrailer(trailer) &&
                       trailer.kind == MessageKind::kAttach && id.bytes().size() <= kRoutingIdBytesMax &&
                       AttachFits(message.body(), static_cast<std::uint8_t>(index), secret_);
  if (!welcome) {
    if (!lane.stranger_logged) {
      log::Warning("zmq::Receive", "a message from a peer that did not attach with the session's secret was dropped");
    }
    lane.stranger_logged = true;
    return;
  }
  if (index == kCommandLane) {
    client_descriptor_ = zmq_msg_get(const_cast<Message&>(message).get(), ZMQ_SRCFD);
    // An end counts unless a connection with the same number has begun since: the client may be gone before its message
    // is read, and earlier connections may have had its number.
    for (Monitor::Event event; monitor_.Next(event);) {
      if (event.descriptor == client_descriptor_) end_seen_ = !event.begins;
    }
  }
  lane.peer.assign(id.bytes().begin(), id.bytes().end());
  lane.attached = true;
}

Result<std::optional<ReceivedFrame>> ZmqServer::TakeFrame(Lane lane) {
  ACCELMESH_ASSIGN_OR_RETURN(std::optional<Message> message, TakeFrom(lane));
  if (!message.has_value()) return std::optional<ReceivedFrame>();
  Trailer trailer;
  if (!message->ReadTrailer(trailer)) return Bad("the client sent a message without a trailer");
  if (trailer.kind == MessageKind::kBye) {
    lanes_[lane].bye = true;
    return std::optional<ReceivedFrame>();
  }
  if (trailer.kind != MessageKind::kFrame) return Bad("the client sent a message of a kind that does not go up");
  frame_ = std::move(*message);
  ReceivedFrame received;
  received.kind = ReceivedFrame::Kind::kFrame;
  received.lane = lane == kSideLane ? UpLane::kSide : UpLane::kCommand;
  received.frame = frame_.body();
  if (reinterpret_cast<std::uintptr_t>(received.frame.data()) % alignof(std::uint64_t) != 0) {
    if (!aligned_) aligned_.reset(new std::uint64_t[limits::kFrameBytesMax / sizeof(std::uint64_t)]);
    auto* to = reinterpret_cast<std::uint8_t*>(aligned_.get());
    std::memcpy(to, received.frame.data(), received.frame.size());
    received.frame = {to, received.frame.size()};
  }
  return std::optional<ReceivedFrame>(received);
}

Result<bool> ZmqServer::TakeBody() {
  if (!lanes_[kBulkUpLane].router.maybe_readable() || BodiesFull()) return false;
  ACCELMESH_ASSIGN_OR_RETURN(std::optional<Message> message, TakeFrom(kBulkUpLane));
  if (!message.has_value()) return false;
  Trailer trailer;
  if (!message->ReadTrailer(trailer)) return Bad("the client sent a body without a trailer");
  if (trailer.kind == MessageKind::kBye) return false;
  if (trailer.kind != MessageKind::kFrame) return Bad("the client sent something on the bulk lane that is no body");
  const std::size_t size = message->bytes().size();
  if (!arrived_.try_emplace(trailer.first, std::move(*message)).second) return Bad("the client sent a token twice");
  held_bytes_->fetch_add(size, std::memory_order_relaxed);
  return true;
}

Result<std::unique_ptr<BulkBody>> ZmqServer::TakeBulk(std::uint64_t token) {
  const auto found = arrived_.find(token);
  if (found == arrived_.end()) return Status(Code::kNotFound, "TakeBulk.token", "the body has not arrived");
  auto body = std::make_unique<MessageBody>(std::move(found->second), held_bytes_);
  arrived_.erase(found);
  return std::unique_ptr<BulkBody>(std::move(body));
}

}  // namespace
}  // namespace zmq

Result<OpenedZmq> OpenZmqWorker(const WorkerEndpoints& where, ByteView secret) {
  if (secret.size() < 16) {
    return Status(Code::kInvalidArgument, "OpenZmqWorker.secret", "a session's secret has at least 16 bytes");
  }
  auto channel = std::make_unique<zmq::ZmqServer>(secret);
  ACCELMESH_ASSIGN_OR_RETURN(std::string endpoint, channel->Bind(where));
  OpenedZmq opened;
  opened.channel = std::move(channel);
  opened.endpoint = std::move(endpoint);
  return opened;
}

}  // namespace accelmesh
