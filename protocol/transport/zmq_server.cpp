// The worker's end of a zmq session: where it listens, and what it receives.
#include "protocol/transport/zmq_server.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "protocol/base/log.h"
#include "protocol/transport/curve_socket.h"

namespace accelmesh {
namespace zmq {
namespace {

constexpr ChannelTraits kTraits{"zmq", false, limits::kBulkBytesMax, false};
constexpr std::size_t kQueuedFrameBytesMax = 4 * limits::kMiB;
// How soon a lane whose peer had no room is tried again.
constexpr std::chrono::milliseconds kBlockedRetry{1};
constexpr std::chrono::milliseconds kLiveness{kLivenessMs};
constexpr int kRoutingIdBytesMax = 255;
// How long a client that was welcomed may take to attach before its worker gives up.
constexpr Duration kFirstAttachPatience = std::chrono::seconds(10);
// How long a session goes on after its bulk lane alone has ended.
constexpr Duration kBulkEndPatience = std::chrono::seconds(2);

timespec TimespecOf(Duration time) {
  const auto ns = std::chrono::nanoseconds(time).count();
  return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

}  // namespace

ZmqServer::ZmqServer(ByteView secret) : secret_(secret.begin(), secret.end()) {
  queue_.bytes_max = kQueuedFrameBytesMax;
}

const ChannelTraits& ZmqServer::traits() const { return kTraits; }

Result<std::string> ZmqServer::Bind(const WorkerEndpoints& where) {
  static std::atomic<unsigned> next_name{0};
  scheme_ = where.scheme;
  Endpoint first;
  first.scheme = where.scheme;
  first.host = where.host;
  ACCELMESH_RETURN_IF_ERROR(CheckAddress(first, where.client_key.has_value(), "OpenZmqWorker"));
  if (where.client_key.has_value()) ACCELMESH_RETURN_IF_ERROR(Secure(*where.client_key));
  std::string list;
  unsigned port = where.port_first;
  const std::string stem = where.folder + "/worker-" + std::to_string(getpid()) + "-" + std::to_string(next_name++);
  // The stream of the bulk lane comes last.
  for (int lane = 0; lane <= kLanes; ++lane) {
    const bool is_bulk = lane == kLanes;
    if (!is_bulk) {
      Socket& router = lanes_[lane].router;
      ACCELMESH_ASSIGN_OR_RETURN(router, Socket::Open(context_, ZMQ_ROUTER, kFrameMessagesMax));
      ACCELMESH_RETURN_IF_ERROR(Prepare(router, where));
      if (lane == kCommandLane) ACCELMESH_RETURN_IF_ERROR(monitor_.Watch(context_, router, "command"));
    }
    const auto try_to_bind = [&](const Endpoint& endpoint) -> Result<Endpoint> {
      if (!is_bulk) return lanes_[lane].router.Bind(endpoint);
      ACCELMESH_RETURN_IF_ERROR(BindBulk(endpoint, where.client_key.has_value()));
      return bulk_->endpoint();
    };
    Result<Endpoint> bound =
        Status(Code::kUnavailable, "OpenZmqWorker",
               "every port of the worker range " + std::to_string(where.port_first) + "-" +
                   std::to_string(where.port_last) + " is taken; a session needs four, widen --worker-ports");
    if (where.scheme == Endpoint::Scheme::kIpc) {
      first.path = stem + "." + std::to_string(lane);
      ACCELMESH_RETURN_IF_ERROR(ParseEndpoint(first.ToString()).status());
      bound = try_to_bind(first);
      if (bound.ok() && !is_bulk) socket_paths_.push_back(first.path);
    } else if (where.port_first == 0) {
      first.port = 0;
      bound = try_to_bind(first);
    } else {
      for (; !bound.ok() && port <= where.port_last; ++port) {
        first.port = static_cast<std::uint16_t>(port);
        Result<Endpoint> tried = try_to_bind(first);
        if (!tried.ok() && tried.code() != Code::kUnavailable) return tried.status();
        if (tried.ok()) bound = std::move(tried);
      }
    }
    if (!bound.ok()) return bound.status();
    if (!is_bulk) list += (lane == 0 ? "" : ",") + bound->ToString();
  }
  return list;
}

Status ZmqServer::BindBulk(const Endpoint& endpoint, bool is_secured) {
  ACCELMESH_ASSIGN_OR_RETURN(BulkListening listening, ListenForBulk(endpoint));
  ACCELMESH_ASSIGN_OR_RETURN(bulk_, BulkServer::Open(std::move(listening), secret_, is_secured, [this] { Wake(); }));
  return {};
}

Status ZmqServer::Secure(const security::CurveKey& client) {
  constexpr std::size_t kZ85Bytes = 41;
  char key[kZ85Bytes];
  char secret[kZ85Bytes];
  if (zmq_curve_keypair(key, secret) != 0) return ZmqStatus(zmq_errno(), "OpenZmqWorker", "making the worker's key");
  zmq_z85_decode(worker_.key.bytes.data(), key);
  zmq_z85_decode(worker_.secret.bytes.data(), secret);
  explicit_bzero(secret, sizeof(secret));
  const auto lookup = [client](const security::CurveKey& who, std::string_view) -> Result<std::string> {
    if (who == client) return security::HexOf(who.bytes);
    return Status(Code::kPermissionDenied, "worker", "this worker serves another client; say hello to its gpu-server");
  };
  ACCELMESH_ASSIGN_OR_RETURN(zap_, ZapHandler::Start(context_.get(), lookup));
  return {};
}

Status ZmqServer::Prepare(Socket& socket, const WorkerEndpoints& where) {
  if (where.client_key.has_value()) return SecureServer(socket.get(), worker_.secret, "worker");
  return where.scheme == Endpoint::Scheme::kIpc ? socket.AcceptOwnUserOnly() : Status();
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
    if (bulk_->TakeNote()) {
      if (Status bad = bulk_->failure(); !bad.ok()) {
        failure_ = std::move(bad);
        Close();
        return failure_;
      }
      received.kind = ReceivedFrame::Kind::kBulk;
      return received;
    }
    if (accept_commands && lanes_[kCommandLane].router.maybe_readable()) {
      ACCELMESH_ASSIGN_OR_RETURN(std::optional<ReceivedFrame> command, TakeFrame(kCommandLane));
      if (command.has_value()) return *command;
    }
    // This lane brings nothing but the attachment.
    if (RouterLane& down = lanes_[kDownLane]; !down.attached && down.router.maybe_readable()) {
      ACCELMESH_RETURN_IF_ERROR(TakeFrom(kDownLane).status());
      if (down.attached) queued_.store(true, std::memory_order_relaxed);
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
  if (bulk_->HasEndedBefore(now - kBulkEndPatience)) {
    failure_ = {Code::kClosed, "zmq::Receive", "the client's bulk lane has ended"};
    return true;
  }
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
  bool readable = false;
  for (int lane = 0; lane < kLanes; ++lane) {
    const bool unread = (lane == kCommandLane && !accept_commands) || lane == kDownLane;
    const bool skip = unread && lanes_[lane].attached;
    fds[1 + lane] = {skip ? -1 : lanes_[lane].router.event_fd(), POLLIN, 0};
    readable = readable || (!skip && lanes_[lane].router.maybe_readable());
  }
  Duration timeout = std::min<Duration>(deadline.left(), kLiveness);
  if (blocked && lanes_[kDownLane].attached) timeout = std::min<Duration>(timeout, kBlockedRetry);
  const bool looks_again = looks_again_.load(std::memory_order_relaxed);
  if (looks_again && !blocked) timeout = std::clamp<Duration>(look_at_ - Clock::now(), Duration::zero(), timeout);
  sleeping_.store(true, std::memory_order_seq_cst);
  const bool has_progress = progress_dirty_.load() || (passing_.load() && !looks_again);
  const bool awake = readable || interrupted_.load() || closed_.load() || bulk_->has_note() ||
                     ((has_progress || queued_.load()) && !blocked);
  const timespec wait = awake ? timespec{} : TimespecOf(timeout);
  const int ready = ppoll(fds, 1 + kLanes, &wait, nullptr);
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
  if (received.frame.size() > limits::kFrameBytesMax) return Bad("the client sent a frame that is too large");
  if (reinterpret_cast<std::uintptr_t>(received.frame.data()) % alignof(std::uint64_t) != 0) {
    if (!aligned_) aligned_.reset(new std::uint64_t[limits::kFrameBytesMax / sizeof(std::uint64_t)]);
    auto* to = reinterpret_cast<std::uint8_t*>(aligned_.get());
    std::memcpy(to, received.frame.data(), received.frame.size());
    received.frame = {to, received.frame.size()};
  }
  return std::optional<ReceivedFrame>(received);
}

Result<std::unique_ptr<BulkBody>> ZmqServer::TakeBulk(std::uint64_t token) { return bulk_->Take(token); }

}  // namespace zmq

Result<OpenedZmq> OpenZmqWorker(const WorkerEndpoints& where, ByteView secret) {
  if (secret.size() < 16) {
    return Status(Code::kInvalidArgument, "OpenZmqWorker.secret", "a session's secret has at least 16 bytes");
  }
  auto channel = std::make_unique<zmq::ZmqServer>(secret);
  ACCELMESH_ASSIGN_OR_RETURN(std::string endpoint, channel->Bind(where));
  OpenedZmq opened;
  opened.bulk_endpoint = channel->bulk_endpoint();
  opened.worker_key = channel->worker_key();
  opened.channel = std::move(channel);
  opened.endpoint = std::move(endpoint);
  return opened;
}

}  // namespace accelmesh
