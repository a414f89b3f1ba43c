// The client's end of a zmq session. Senders share two sockets, each under its mutex, and the bulk lane's stream; what
// comes down belongs to the pumping thread alone, so that a waiting caller receives by itself without a thread in
// between, and bodies where they go.
#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>

#include "protocol/base/mutex.h"
#include "protocol/base/tsan.h"
#include "protocol/schema/session_generated.h"
#include "protocol/transport/bulk_expectations.h"
#include "protocol/transport/bulk_stream.h"
#include "protocol/transport/channel.h"
#include "protocol/transport/curve_socket.h"
#include "protocol/transport/messages.h"
#include "protocol/transport/refusal.h"
#include "protocol/transport/zmq_hello.h"
#include "protocol/transport/zmq_socket.h"

namespace accelmesh {
namespace zmq {
namespace {

constexpr ChannelTraits kTraits{"zmq", false, limits::kBulkBytesMax, false};
// How long a sender without room keeps its lane's mutex at a time.
constexpr long kRoomSliceMs = 2;
constexpr int kMessagesPerPump = 256;
// How long a session goes on after its bulk lane alone has ended.
constexpr Duration kBulkEndPatience = std::chrono::seconds(2);
// What a server that has ended said last is on its way, by another connection than the one that was seen to end.
constexpr Duration kLastWords = std::chrono::milliseconds(300);
constexpr std::size_t kScratchBytes = 64 * limits::kKiB;

Status ClosedStatus() {
  return {Code::kClosed, "zmq", "the connection has ended: the server is gone or has closed it"};
}

// Where bodies from the server go, and what nobody expects any more.
class LandingSink final : public BulkSink {
 public:
  explicit LandingSink(BulkExpectations& expectations) : expectations_(expectations) {}

  Status Begin(const BulkHeader& header) override {
    header_ = header;
    ACCELMESH_ASSIGN_OR_RETURN(is_expected_, expectations_.Begin(header.token, header.offset, header.bytes));
    return {};
  }
  MutableByteView Enter(std::size_t done) override {
    std::uint8_t* const to = is_expected_ ? expectations_.Enter(header_.token, header_.offset + done) : nullptr;
    is_inside_ = to != nullptr;
    if (is_inside_) return {to, header_.bytes - done};
    if (scratch_ == nullptr) scratch_.reset(new std::uint8_t[kScratchBytes]);
    return {scratch_.get(), kScratchBytes};
  }
  void Leave() override {
    if (is_inside_) expectations_.Leave(header_.token);
  }
  Status End() override {
    if (is_expected_) expectations_.End(header_.token, header_.bytes);
    return {};
  }

 private:
  BulkExpectations& expectations_;
  BulkHeader header_;
  bool is_expected_ = false;
  bool is_inside_ = false;
  std::unique_ptr<std::uint8_t[]> scratch_;
};

struct SendingLane {
  Mutex mutex;
  Monitor monitor ACCELMESH_GUARDED_BY(mutex);
  Socket socket ACCELMESH_GUARDED_BY(mutex);
};

class ZmqClient final : public ClientChannel {
 public:
  explicit ZmqClient(std::unique_ptr<Context> context) : context_(std::move(context)) {}
  ~ZmqClient() override { Close(); }

  // `keys`: the worker's and ours; null without CURVE.
  Status Attach(const std::array<Endpoint, kLanes>& endpoints, ByteView secret, const security::CurveCredentials* keys);
  // After Attach(): the stream that bodies go by, sealed if the session is CURVE.
  Status AttachBulk(const Endpoint& endpoint, ByteView secret, bool is_sealed, Deadline deadline);

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
    if (closed_.load(std::memory_order_acquire)) return ClosedStatus();
    TsanReleaseToPeer();
    Status sent = sender_->Send({token, 0, static_cast<std::uint32_t>(body.size())}, body, deadline);
    if (sent.code() != Code::kClosed) return sent;
    if (!closed_.load(std::memory_order_acquire)) peer_ended_.store(true, std::memory_order_relaxed);
    closed_.store(true, std::memory_order_release);
    wakeup_.Set();
    return ClosedStatus();
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
  // A sender has noticed the end: whether the down lane has ended too, behind all that came on it.
  Result<bool> AwaitLastWords(Deadline deadline);
  Status Fail(Status why) {
    Close();
    failure_ = why;
    return why;
  }
  Status BadMessage(const char* what) { return Fail({Code::kBadFrame, "zmq::Pump", what}); }

  // First, so that it goes last: its end waits for all sockets.
  const std::unique_ptr<Context> context_;
  SendingLane up_[2];  // by Lane: command, side
  BulkExpectations expectations_;
  BulkSocket bulk_;
  std::unique_ptr<BulkSender> sender_;
  Wakeup wakeup_;
  std::atomic<bool> interrupted_{false};
  std::atomic<bool> closed_{false};
  std::atomic<bool> peer_ended_{false};
  ProgressPage progress_;  // written by the pumping thread only

  // The pumping thread's.
  Monitor down_monitor_;
  Socket down_;
  std::unique_ptr<SocketSource> source_;
  std::unique_ptr<BulkReader> reader_;
  LandingSink sink_{expectations_};
  bool bulk_maybe_readable_ = true;
  std::optional<Instant> bulk_ended_at_;
  // A message from the down lane that was sent after bodies which have not landed yet; nothing behind it is read.
  std::optional<Message> held_;
  std::uint64_t pieces_landed_ = 0;
  bool server_gone_ = false;
  Instant next_liveness_{};
  std::optional<Instant> last_words_until_;
  Status failure_;
  std::unique_ptr<std::uint64_t[]> frame_;  // for frames that libzmq left unaligned
};

Status ZmqClient::Attach(const std::array<Endpoint, kLanes>& endpoints, ByteView secret,
                         const security::CurveCredentials* keys) {
  static constexpr const char* kMonitorNames[] = {"command", "side"};
  for (int lane = 0; lane < kLanes; ++lane) {
    ACCELMESH_ASSIGN_OR_RETURN(Socket socket, Socket::Open(*context_, ZMQ_DEALER, kFrameMessagesMax));
    if (keys != nullptr) ACCELMESH_RETURN_IF_ERROR(SecureClient(socket.get(), *keys));
    if (lane != kDownLane) {
      const MutexLock lock(up_[lane].mutex);
      ACCELMESH_RETURN_IF_ERROR(up_[lane].monitor.Watch(*context_, socket, kMonitorNames[lane]));
    }
    if (lane == kDownLane) {
      ACCELMESH_RETURN_IF_ERROR(down_monitor_.Watch(*context_, socket, "down"));
      ACCELMESH_RETURN_IF_ERROR(socket.KeepWhatCame());
    }
    ACCELMESH_RETURN_IF_ERROR(socket.Connect(endpoints[lane]));
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(wire::CreateAttach(builder, builder.CreateVector(secret.data(), secret.size()),
                                      static_cast<std::uint8_t>(lane)));
    Message attach({builder.GetBufferPointer(), builder.GetSize()}, {0, 0, MessageKind::kAttach});
    // A connection that has failed already takes nothing.
    if (socket.TrySend(attach) != Io::kDone) {
      return {Code::kUnavailable, "ConnectZmq",
              "the worker at " + endpoints[lane].ToString() + " cannot be reached; the server's log says why"};
    }
    if (lane == kDownLane) {
      down_ = std::move(socket);
      continue;
    }
    const MutexLock lock(up_[lane].mutex);
    up_[lane].socket = std::move(socket);
  }
  return {};
}

Status ZmqClient::AttachBulk(const Endpoint& endpoint, ByteView secret, bool is_sealed, Deadline deadline) {
  ACCELMESH_ASSIGN_OR_RETURN(const SealKeys keys, KeysOfSecret(secret));
  std::unique_ptr<Sealer> sealer;
  std::unique_ptr<Opener> opener;
  if (is_sealed) {
    ACCELMESH_ASSIGN_OR_RETURN(sealer, Sealer::Make(keys.up));
    ACCELMESH_ASSIGN_OR_RETURN(opener, Opener::Make(keys.down));
  }
  ACCELMESH_ASSIGN_OR_RETURN(bulk_, ConnectBulk(endpoint, keys.mark, deadline));
  sender_ = std::make_unique<BulkSender>(bulk_.fd(), std::move(sealer));
  source_ = std::make_unique<SocketSource>(bulk_.fd());
  reader_ = std::make_unique<BulkReader>(std::move(opener));
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
        peer_ended_.store(true, std::memory_order_relaxed);
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
  if (sender_ != nullptr) sender_->Close();
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
    if (sender_->has_rest()) sender_->Flush();
    // Bodies that something waits for are taken in on the way; others when there is nothing else.
    if (down_.maybe_readable() || held_.has_value()) ACCELMESH_RETURN_IF_ERROR(TakeDown(sink, any));
    if (any) return {};
    if (bulk_maybe_readable_) ACCELMESH_RETURN_IF_ERROR(TakePieces(any));
    if (any) return {};
    if (peer_ended_.load(std::memory_order_relaxed) && !server_gone_) {
      ACCELMESH_ASSIGN_OR_RETURN(const bool is_over, AwaitLastWords(deadline));
      if (!is_over) continue;
      server_gone_ = true;
      down_.NoteReadable();
      bulk_maybe_readable_ = true;
      continue;
    }
    if (server_gone_ || closed_.load(std::memory_order_acquire)) {
      closed_.store(true, std::memory_order_release);
      return ClosedStatus();
    }
    if (WaitForInput(deadline)) continue;
    if (ServerHasEnded()) {
      // What it sent before is still taken in.
      server_gone_ = true;
      down_.NoteReadable();
      bulk_maybe_readable_ = true;
      continue;
    }
    if (deadline.passed()) return {Code::kDeadlineExceeded, "zmq::Pump", "nothing arrived by the deadline"};
  }
}

Result<bool> ZmqClient::AwaitLastWords(Deadline deadline) {
  const Instant now = Clock::now();
  if (!last_words_until_.has_value()) last_words_until_ = now + kLastWords;
  int descriptor = 0;
  if (down_monitor_.NextEnd(descriptor) || now >= *last_words_until_) return true;
  if (!WaitForInput(deadline) && deadline.passed())
    return Status(Code::kDeadlineExceeded, "zmq::Pump", "nothing arrived by the deadline");
  return false;
}

bool ZmqClient::ServerHasEnded() {
  const Instant now = Clock::now();
  if (now < next_liveness_) return false;
  next_liveness_ = now + std::chrono::milliseconds(kLivenessMs);
  int descriptor = 0;
  if (bulk_ended_at_.has_value() && now - *bulk_ended_at_ > kBulkEndPatience) return true;
  return down_monitor_.NextEnd(descriptor);
}

bool ZmqClient::WaitForInput(Deadline deadline) {
  // While a message is held back only bodies can help.
  pollfd fds[3] = {{wakeup_.fd(), POLLIN, 0},
                   {bulk_ended_at_.has_value() ? -1 : bulk_.fd(), POLLIN, 0},
                   {held_.has_value() ? -1 : down_.event_fd(), POLLIN, 0}};
  if (poll(fds, 3, std::min(deadline.left_ms(), kLivenessMs)) <= 0) return false;
  if (fds[0].revents != 0) wakeup_.Clear();
  if (fds[1].revents != 0) bulk_maybe_readable_ = true;
  if (fds[2].revents != 0) down_.NoteReadable();
  return true;
}

Status ZmqClient::TakePieces(bool& any) {
  if (bulk_ended_at_.has_value()) return {};
  const Result<std::size_t> landed = reader_->Read(*source_, sink_, kMessagesPerPump);
  if (landed.code() == Code::kClosed) {
    // Whether the session has ended with it, the other lanes tell.
    bulk_ended_at_ = Clock::now();
    bulk_maybe_readable_ = false;
    return {};
  }
  if (!landed.ok()) return Fail(landed.status());
  bulk_maybe_readable_ = *landed == kMessagesPerPump;
  if (!bulk_maybe_readable_) source_->WakeFor(reader_->due());
  pieces_landed_ += *landed;
  any = any || *landed != 0;
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
    progress_.messages.fetch_add(1, std::memory_order_relaxed);
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

// Where the worker says that it listens; at every address of its host means at that which the hello went to.
Result<Endpoint> ParseWorkers(std::string_view url, const Endpoint& supervisor) {
  ACCELMESH_ASSIGN_OR_RETURN(Endpoint endpoint, ParseEndpoint(url));
  if (endpoint.scheme == Endpoint::Scheme::kShm)
    return Status(Code::kBadFrame, "ConnectZmq.welcome", "the welcome names an shm endpoint for a zmq session");
  if (endpoint.host == "0.0.0.0" || endpoint.host == "::") endpoint.host = supervisor.host;
  return endpoint;
}

// The worker's sockets: an endpoint for each lane, separated by commas.
Result<std::array<Endpoint, kLanes>> ParseLanes(std::string_view list, const Endpoint& supervisor) {
  std::array<Endpoint, kLanes> endpoints;
  for (int lane = 0; lane < kLanes; ++lane) {
    const std::size_t comma = list.find(',');
    if ((comma == std::string_view::npos) != (lane == kLanes - 1)) {
      return Status(Code::kBadFrame, "ConnectZmq.welcome", "the welcome does not name three sockets of the worker");
    }
    ACCELMESH_ASSIGN_OR_RETURN(endpoints[lane], ParseWorkers(list.substr(0, comma), supervisor));
    if (comma != std::string_view::npos) list.remove_prefix(comma + 1);
  }
  return endpoints;
}

}  // namespace
}  // namespace zmq

Result<Connected> ConnectZmq(const Endpoint& endpoint, ByteView hello, Deadline deadline,
                             const security::CurveCredentials* credentials) {
  if (endpoint.scheme == Endpoint::Scheme::kShm) {
    return Status(Code::kInvalidArgument, "ConnectZmq.endpoint", endpoint.ToString() + " is neither tcp nor ipc");
  }
  if (hello.size() > limits::kFrameBytesMax) {
    return Status(Code::kLimitExceeded, "ConnectZmq.hello", "a hello has at most 1 MiB");
  }
  auto context = std::make_unique<zmq::Context>();
  ACCELMESH_ASSIGN_OR_RETURN(Bytes welcome, zmq::Greet(*context, endpoint, hello, deadline, credentials));
  ACCELMESH_RETURN_IF_ERROR(StatusOfWelcome(welcome));
  const auto* message = flatbuffers::GetRoot<wire::Welcome>(welcome.data());
  if (message->worker_endpoint() == nullptr || message->secret() == nullptr || message->bulk_endpoint() == nullptr) {
    return Status(Code::kBadFrame, "ConnectZmq.welcome", "the welcome names no worker");
  }
  ACCELMESH_ASSIGN_OR_RETURN(const auto lanes, zmq::ParseLanes(message->worker_endpoint()->string_view(), endpoint));
  ACCELMESH_ASSIGN_OR_RETURN(const Endpoint bulk, zmq::ParseWorkers(message->bulk_endpoint()->string_view(), endpoint));
  security::CurveCredentials keys;
  if (credentials != nullptr) {
    const auto* const key = message->worker_key();
    if (key == nullptr || key->size() != keys.server_key.bytes.size()) {
      return Status(Code::kBadFrame, "ConnectZmq.welcome", "the welcome has no key of the worker");
    }
    std::copy(key->begin(), key->end(), keys.server_key.bytes.begin());
    keys.own = credentials->own;
  }
  auto channel = std::make_unique<zmq::ZmqClient>(std::move(context));
  const ByteView secret{message->secret()->data(), message->secret()->size()};
  ACCELMESH_RETURN_IF_ERROR(channel->Attach(lanes, secret, credentials != nullptr ? &keys : nullptr));
  ACCELMESH_RETURN_IF_ERROR(channel->AttachBulk(bulk, secret, credentials != nullptr, deadline));
  Connected connected;
  connected.channel = std::move(channel);
  connected.welcome = std::move(welcome);
  return connected;
}

}  // namespace accelmesh
