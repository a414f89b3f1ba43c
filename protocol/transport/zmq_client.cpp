// The client's end of a zmq session. Senders share three sockets, each under its mutex; what comes down belongs to the
// pumping thread alone, so that a waiting caller receives by itself without a thread in between.
#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>

#include "protocol/base/mutex.h"
#include "protocol/base/tsan.h"
#include "protocol/schema/session_generated.h"
#include "protocol/transport/bulk_expectations.h"
#include "protocol/transport/channel.h"
#include "protocol/transport/messages.h"
#include "protocol/transport/refusal.h"
#include "protocol/transport/zmq_socket.h"

namespace accelmesh {
namespace zmq {
namespace {

constexpr ChannelTraits kTraits{"zmq", false, limits::kBulkBytesMax, false};
// How long a sender without room keeps its lane's mutex at a time.
constexpr long kRoomSliceMs = 2;
constexpr int kMessagesPerPump = 256;

Status ClosedStatus() {
  return {Code::kClosed, "zmq", "the connection has ended: the server is gone or has closed it"};
}

struct SendingLane {
  Mutex mutex;
  Monitor monitor ACCELMESH_GUARDED_BY(mutex);
  Socket socket ACCELMESH_GUARDED_BY(mutex);
};

class ZmqClient final : public ClientChannel {
 public:
  explicit ZmqClient(std::unique_ptr<Context> context) : context_(std::move(context)) {}
  ~ZmqClient() override { Close(); }

  Status Attach(const std::array<Endpoint, kLanes>& endpoints, ByteView secret);

  const ChannelTraits& traits() const override { return kTraits; }

  Status Send(UpLane lane, ByteView frame, Deadline deadline) override {
    if (frame.size() > limits::kFrameBytesMax) {
      return {Code::kLimitExceeded, "Send.frame",
              "a frame has at most 1 MiB, this one " + std::to_string(frame.size())};
    }
    return SendOn(lane == UpLane::kSide ? kSideLane : kCommandLane, Message(frame, {}), deadline);
  }
  Status SendBulk(std::uint64_t token, ByteView body, Deadline deadline) override {
    if (body.size() > limits::kBulkBytesMax) {
      return {Code::kLimitExceeded, "SendBulk.body",
              "a body has at most 1 MiB, this one " + std::to_string(body.size())};
    }
    Message message(body, {token, 0, MessageKind::kFrame});
    TsanReleaseToPeer();
    return SendOn(kBulkUpLane, std::move(message), deadline);
  }

  Status ExpectBulk(std::uint64_t token, MutableByteView destination) override {
    return expectations_.Expect(token, destination);
  }
  bool BulkLanded(std::uint64_t token) override { return expectations_.Landed(token); }
  void CancelBulk(std::uint64_t token) override { expectations_.Cancel(token); }

  Status Pump(FrameSink& sink, Deadline deadline) override;
  const ProgressPage& progress() const override { return progress_; }

  Status ShareMemory(std::uint32_t, int, std::size_t) override {
    return {Code::kUnsupported, "ShareMemory", "zmq reaches no memory of this process; use SendBulk and ExpectBulk"};
  }
  void Interrupt() override {
    if (!interrupted_.exchange(true)) wakeup_.Set();
  }
  void Close() override;

 private:
  Status SendOn(Lane lane, Message message, Deadline deadline);
  // Take in what is there, without waiting; set `any`.
  Status TakePieces(bool& any);
  Status TakeDown(FrameSink& sink, bool& any);
  void DeliverFrame(FrameSink& sink, ByteView frame);
  // Whether something may have come; false after a while without, or at the deadline.
  bool WaitForInput(Deadline deadline);
  // Asked often, looks every kLivenessMs.
  bool ServerHasEnded();
  Status Fail(Status why) {
    Close();
    failure_ = why;
    return why;
  }
  Status BadMessage(const char* what) { return Fail({Code::kBadFrame, "zmq::Pump", what}); }

  // First, so that it goes last: its end waits for all sockets.
  const std::unique_ptr<Context> context_;
  SendingLane up_[3];  // by Lane: command, side, bulk
  BulkExpectations expectations_;
  Wakeup wakeup_;
  std::atomic<bool> interrupted_{false};
  std::atomic<bool> closed_{false};
  ProgressPage progress_;  // written by the pumping thread only

  // The pumping thread's.
  Monitor down_monitor_;
  Monitor bulk_down_monitor_;
  Socket down_;
  Socket bulk_down_;
  // A message from the down lane that was sent after bodies which have not landed yet; nothing behind it is read.
  std::optional<Message> held_;
  std::uint64_t pieces_landed_ = 0;
  bool server_gone_ = false;
  Instant next_liveness_{};
  Status failure_;
  std::unique_ptr<std::uint64_t[]> frame_;  // for frames that libzmq left unaligned
};

Status ZmqClient::Attach(const std::array<Endpoint, kLanes>& endpoints, ByteView secret) {
  static constexpr const char* kMonitorNames[] = {"command", "side", "bulk-up"};
  for (int lane = 0; lane < kLanes; ++lane) {
    const bool bulk = lane == kBulkUpLane || lane == kBulkDownLane;
    ACCELMESH_ASSIGN_OR_RETURN(Socket socket,
                               Socket::Open(*context_, ZMQ_DEALER, bulk ? kBulkMessagesMax : kFrameMessagesMax));
    if (lane <= kBulkUpLane) {
      const MutexLock lock(up_[lane].mutex);
      ACCELMESH_RETURN_IF_ERROR(up_[lane].monitor.Watch(*context_, socket, kMonitorNames[lane]));
    }
    if (lane == kDownLane) ACCELMESH_RETURN_IF_ERROR(down_monitor_.Watch(*context_, socket, "down"));
    if (lane == kBulkDownLane) ACCELMESH_RETURN_IF_ERROR(bulk_down_monitor_.Watch(*context_, socket, "bulk-down"));
    ACCELMESH_RETURN_IF_ERROR(socket.Connect(endpoints[lane]));
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(wire::CreateAttach(builder, builder.CreateVector(secret.data(), secret.size()),
                                      static_cast<std::uint8_t>(lane)));
    Message attach({builder.GetBufferPointer(), builder.GetSize()}, {0, 0, MessageKind::kAttach});
    if (socket.TrySend(attach) != Io::kDone) return ZmqStatus(zmq_errno(), "ConnectZmq", "attaching to the worker");
    if (lane > kBulkUpLane) {
      (lane == kDownLane ? down_ : bulk_down_) = std::move(socket);
      continue;
    }
    const MutexLock lock(up_[lane].mutex);
    up_[lane].socket = std::move(socket);
  }
  return {};
}

Status ZmqClient::SendOn(Lane lane_index, Message message, Deadline deadline) {
  SendingLane& lane = up_[lane_index];
  for (;;) {
    if (closed_.load(std::memory_order_acquire)) return ClosedStatus();
    {
      const MutexLock lock(lane.mutex);
      const Io sent = lane.socket.TrySend(message);
      if (sent == Io::kDone) return {};
      if (sent != Io::kWouldBlock) return ClosedStatus();
      int descriptor = 0;
      if (lane.monitor.NextEnd(descriptor)) {
        closed_.store(true, std::memory_order_release);
        wakeup_.Set();
        return ClosedStatus();
      }
      const int left = deadline.left_ms();
      zmq_pollitem_t item{lane.socket.get(), 0, ZMQ_POLLOUT, 0};
      if (left > 0) zmq_poll(&item, 1, left < kRoomSliceMs ? left : kRoomSliceMs);
    }
    if (deadline.passed()) return {Code::kDeadlineExceeded, "zmq::Send", "no room by the deadline: the server is busy"};
  }
}

void ZmqClient::Close() {
  if (closed_.exchange(true)) return;
  // The server hears it in order on every lane; a lane without room notices when the sockets close.
  for (SendingLane& lane : up_) {
    const MutexLock lock(lane.mutex);
    if (lane.socket.get() == nullptr) continue;
    Message bye({}, {0, 0, MessageKind::kBye});
    (void)lane.socket.TrySend(bye);
  }
  wakeup_.Set();
}

Status ZmqClient::Pump(FrameSink& sink, Deadline deadline) {
  for (;;) {
    bool any = false;
    if (interrupted_.load(std::memory_order_relaxed) && interrupted_.exchange(false)) any = true;
    if (!failure_.ok()) return failure_;
    // Bodies that something waits for are taken in on the way; others when there is nothing else.
    if (down_.maybe_readable() || held_.has_value()) ACCELMESH_RETURN_IF_ERROR(TakeDown(sink, any));
    if (any) return {};
    if (bulk_down_.maybe_readable()) ACCELMESH_RETURN_IF_ERROR(TakePieces(any));
    if (any) return {};
    if (server_gone_ || closed_.load(std::memory_order_acquire)) {
      closed_.store(true, std::memory_order_release);
      return ClosedStatus();
    }
    if (WaitForInput(deadline)) continue;
    if (ServerHasEnded()) {
      // What it sent before is still taken in.
      server_gone_ = true;
      down_.NoteReadable();
      bulk_down_.NoteReadable();
      continue;
    }
    if (deadline.passed()) return {Code::kDeadlineExceeded, "zmq::Pump", "nothing arrived by the deadline"};
  }
}

bool ZmqClient::ServerHasEnded() {
  const Instant now = Clock::now();
  if (now < next_liveness_) return false;
  next_liveness_ = now + std::chrono::milliseconds(kLivenessMs);
  int descriptor = 0;
  return down_monitor_.NextEnd(descriptor) || bulk_down_monitor_.NextEnd(descriptor);
}

bool ZmqClient::WaitForInput(Deadline deadline) {
  // While a message is held back only bodies can help.
  pollfd fds[3] = {{wakeup_.fd(), POLLIN, 0},
                   {bulk_down_.event_fd(), POLLIN, 0},
                   {held_.has_value() ? -1 : down_.event_fd(), POLLIN, 0}};
  if (poll(fds, 3, std::min(deadline.left_ms(), kLivenessMs)) <= 0) return false;
  if (fds[0].revents != 0) wakeup_.Clear();
  if (fds[1].revents != 0) bulk_down_.NoteReadable();
  if (fds[2].revents != 0) down_.NoteReadable();
  return true;
}

Status ZmqClient::TakePieces(bool& any) {
  for (int count = 0; count < kMessagesPerPump; ++count) {
    Message piece;
    if (bulk_down_.TryReceive(piece) != Io::kDone) return {};
    Trailer trailer;
    if (piece.more() || !piece.ReadTrailer(trailer) || trailer.kind != MessageKind::kFrame) {
      return BadMessage("the server sent something on the bulk lane that is no body");
    }
    Status landed = expectations_.Land(trailer.first, trailer.second, piece.body());
    if (!landed.ok()) return Fail(std::move(landed));
    ++pieces_landed_;
    any = true;
  }
  return {};
}

Status ZmqClient::TakeDown(FrameSink& sink, bool& any) {
  for (int count = 0; count < kMessagesPerPump; ++count) {
    if (!held_.has_value()) {
      Message message;
      if (down_.TryReceive(message) != Io::kDone) return {};
      if (message.more()) return BadMessage("the server sent a message of several parts");
      held_ = std::move(message);
    }
    Trailer trailer;
    if (!held_->ReadTrailer(trailer)) return BadMessage("the server sent a message without a trailer");
    if (trailer.first > pieces_landed_) {
      // A server that is gone sends no more pieces; what was to follow them is lost with them.
      bool landed = false;
      ACCELMESH_RETURN_IF_ERROR(TakePieces(landed));
      any = any || landed;
      if (trailer.first > pieces_landed_) return {};
    }
    const Message message = std::move(*held_);
    held_.reset();
    StoreMax(progress_.acknowledged, trailer.second);
    switch (trailer.kind) {
      case MessageKind::kFrame: DeliverFrame(sink, message.body()); break;
      case MessageKind::kProgress:
        if (Status applied = ApplyProgress(message.body(), progress_); !applied.ok()) return Fail(std::move(applied));
        break;
      case MessageKind::kBye: server_gone_ = true; return {};
      default: return BadMessage("the server sent a message of a kind that does not go down");
    }
    any = true;
  }
  return {};
}

void ZmqClient::DeliverFrame(FrameSink& sink, ByteView frame) {
  if (reinterpret_cast<std::uintptr_t>(frame.data()) % alignof(std::uint64_t) == 0) {
    sink.OnFrame(frame);
    return;
  }
  if (!frame_) frame_.reset(new std::uint64_t[limits::kFrameBytesMax / sizeof(std::uint64_t)]);
  auto* to = reinterpret_cast<std::uint8_t*>(frame_.get());
  if (frame.size() > limits::kFrameBytesMax) return;  // ZMQ_MAXMSGSIZE keeps such away
  std::memcpy(to, frame.data(), frame.size());
  sink.OnFrame({to, frame.size()});
}

// Says hello to the supervisor and returns its answer.
Result<Bytes> Greet(const Context& context, const Endpoint& endpoint, ByteView hello, Deadline deadline) {
  constexpr const char* kWhere = "ConnectZmq";
  Monitor monitor;
  ACCELMESH_ASSIGN_OR_RETURN(Socket socket, Socket::Open(context, ZMQ_DEALER, kFrameMessagesMax));
  ACCELMESH_RETURN_IF_ERROR(monitor.Watch(context, socket, "hello"));
  ACCELMESH_RETURN_IF_ERROR(socket.Connect(endpoint));
  Message message(hello);
  if (socket.TrySend(message) != Io::kDone) return ZmqStatus(zmq_errno(), kWhere, "sending the hello");
  socket.SetLinger(0);
  for (;;) {
    Message answer;
    if (socket.TryReceive(answer) == Io::kDone) {
      const ByteView bytes = answer.bytes();
      return Bytes(bytes.begin(), bytes.end());
    }
    int descriptor = 0;
    if (monitor.NextEnd(descriptor)) {
      return Status(
          Code::kUnavailable, kWhere,
          "no gpu-server listens on " + endpoint.ToString() + "; start one with --listen " + endpoint.ToString());
    }
    if (deadline.passed()) {
      return Status(Code::kUnavailable, kWhere,
                    endpoint.ToString() + " did not answer the hello in time; is it a gpu-server?");
    }
    zmq_pollitem_t items[2] = {{socket.get(), 0, ZMQ_POLLIN, 0}, {monitor.get(), 0, ZMQ_POLLIN, 0}};
    zmq_poll(items, 2, deadline.left_ms());
  }
}

// The worker's sockets: five endpoints, one per lane, separated by commas.
Result<std::array<Endpoint, kLanes>> ParseLanes(std::string_view list) {
  std::array<Endpoint, kLanes> endpoints;
  for (int lane = 0; lane < kLanes; ++lane) {
    const std::size_t comma = list.find(',');
    if ((comma == std::string_view::npos) != (lane == kLanes - 1)) {
      return Status(Code::kBadFrame, "ConnectZmq.welcome", "the welcome does not name five sockets of the worker");
    }
    ACCELMESH_ASSIGN_OR_RETURN(endpoints[lane], ParseEndpoint(list.substr(0, comma)));
    if (endpoints[lane].scheme == Endpoint::Scheme::kShm) {
      return Status(Code::kBadFrame, "ConnectZmq.welcome", "the welcome names an shm endpoint for a zmq session");
    }
    if (comma != std::string_view::npos) list.remove_prefix(comma + 1);
  }
  return endpoints;
}

}  // namespace
}  // namespace zmq

Result<Connected> ConnectZmq(const Endpoint& endpoint, ByteView hello, Deadline deadline) {
  if (endpoint.scheme == Endpoint::Scheme::kShm) {
    return Status(Code::kInvalidArgument, "ConnectZmq.endpoint", endpoint.ToString() + " is neither tcp nor ipc");
  }
  if (hello.size() > limits::kFrameBytesMax) {
    return Status(Code::kLimitExceeded, "ConnectZmq.hello", "a hello has at most 1 MiB");
  }
  auto context = std::make_unique<zmq::Context>();
  ACCELMESH_ASSIGN_OR_RETURN(Bytes welcome, zmq::Greet(*context, endpoint, hello, deadline));
  ACCELMESH_RETURN_IF_ERROR(StatusOfWelcome(welcome));
  const auto* message = flatbuffers::GetRoot<wire::Welcome>(welcome.data());
  if (message->worker_endpoint() == nullptr || message->secret() == nullptr) {
    return Status(Code::kBadFrame, "ConnectZmq.welcome", "the welcome names no worker");
  }
  ACCELMESH_ASSIGN_OR_RETURN(const auto lanes, zmq::ParseLanes(message->worker_endpoint()->string_view()));
  auto channel = std::make_unique<zmq::ZmqClient>(std::move(context));
  ACCELMESH_RETURN_IF_ERROR(channel->Attach(lanes, {message->secret()->data(), message->secret()->size()}));
  Connected connected;
  connected.channel = std::move(channel);
  connected.welcome = std::move(welcome);
  return connected;
}

}  // namespace accelmesh
