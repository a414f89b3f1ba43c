// The worker's end of a zmq session: where it listens, and what it receives.
#include "protocol/transport/zmq_server.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "protocol/base/log.h"

namespace accelmesh {
namespace zmq {
namespace {

constexpr ChannelTraits kTraits{"zmq", false, limits::kBulkBytesMax, false};
constexpr std::size_t kQueuedFrameBytesMax = 4 * limits::kMiB;
constexpr std::size_t kQueuedPieceBytesMax = 16 * limits::kMiB;
// How soon a lane whose peer had no room is tried again.
constexpr int kBlockedRetryMs = 1;
constexpr int kRoutingIdBytesMax = 255;
// How long a client that was welcomed may take to attach before its worker gives up.
constexpr Duration kFirstAttachPatience = std::chrono::seconds(10);

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

}  // namespace

ZmqServer::ZmqServer(ByteView secret) : secret_(secret.begin(), secret.end()) {
  queues_[0].bytes_max = kQueuedFrameBytesMax;
  queues_[1].bytes_max = kQueuedPieceBytesMax;
}

const ChannelTraits& ZmqServer::traits() const { return kTraits; }

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

// Receiving ----------------------------------------------------------------------------------------------------------

Result<ReceivedFrame> ZmqServer::Receive(bool accept_commands, Deadline deadline) {
  if (!IsExecutor()) executor_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  bool looked = false;
  for (;;) {
    ReceivedFrame received;
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
    if (interrupted_.load(std::memory_order_relaxed)) {
      if (looked && interrupted_.exchange(false)) return received;
      // What has arrived is known by a look at the sockets only.
      looked = true;
      Sleep(accept_commands, blocked, Deadline::Poll());
      continue;
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
