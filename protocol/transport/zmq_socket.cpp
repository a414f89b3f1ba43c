#include "protocol/transport/zmq_socket.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "protocol/base/mutex.h"
#include "protocol/transport/copy.h"

namespace accelmesh::zmq {
namespace {

// How long a socket that is being closed tries to get its last messages out.
constexpr int kLingerMs = 1000;
constexpr int kBacklog = 128;
// Longer than any session lasts after its connection has ended.
constexpr int kReconnectNeverMs = 24 * 3600 * 1000;

Status SetInt(void* socket, int option, int value) {
  if (zmq_setsockopt(socket, option, &value, sizeof(value)) == 0) return {};
  return ZmqStatus(zmq_errno(), "zmq::Socket::Open", "option " + std::to_string(option));
}

constexpr std::size_t kPooledMax = 16;

// Buffers for large frames, used again: fresh ones cost a page fault every 4 KiB, a tenth of a copy's time.
class BodyPool {
 public:
  // For good: libzmq's threads may give a buffer back while the process ends.
  static BodyPool& Get() {
    static auto* pool = new BodyPool;
    return *pool;
  }
  // Null if there is no memory.
  void* Take() {
    {
      const MutexLock lock(mutex_);
      if (!free_.empty()) {
        void* buffer = free_.back();
        free_.pop_back();
        return buffer;
      }
    }
    return std::malloc(kMessageBytesMax);
  }
  // What libzmq calls when it has sent a message.
  static void GiveBack(void* buffer, void* /*hint*/) {
    BodyPool& pool = Get();
    {
      const MutexLock lock(pool.mutex_);
      if (pool.free_.size() < kPooledMax) {
        pool.free_.push_back(buffer);  // within its capacity
        return;
      }
    }
    std::free(buffer);
  }

 private:
  BodyPool() { free_.reserve(kPooledMax); }

  Mutex mutex_;
  std::vector<void*> free_ ACCELMESH_GUARDED_BY(mutex_);
};

// Smaller ones come from the heap's free lists anyway.
constexpr std::size_t kPooledBytesMin = 64 * limits::kKiB;

// Makes `message` one of `size` bytes; empty if there is no memory.
void* InitMessage(zmq_msg_t* message, std::size_t size) {
  if (size >= kPooledBytesMin && size <= kMessageBytesMax) {
    void* buffer = BodyPool::Get().Take();
    if (buffer != nullptr && zmq_msg_init_data(message, buffer, size, &BodyPool::GiveBack, nullptr) == 0) return buffer;
    std::free(buffer);
  } else if (zmq_msg_init_size(message, size) == 0) {
    return zmq_msg_data(message);
  }
  zmq_msg_init(message);
  return nullptr;
}

}  // namespace

Message::Message(ByteView body, const Trailer& trailer) {
  void* data = InitMessage(&message_, body.size() + sizeof(trailer));
  if (data == nullptr) return;
  auto* to = static_cast<std::uint8_t*>(data);
  CopyBody(to, body.data(), body.size());
  std::memcpy(to + body.size(), &trailer, sizeof(trailer));
}

Message::Message(ByteView body) {
  if (zmq_msg_init_size(&message_, body.size()) != 0) {
    zmq_msg_init(&message_);
    return;
  }
  if (!body.empty()) std::memcpy(zmq_msg_data(&message_), body.data(), body.size());
}

bool Message::ReadTrailer(Trailer& trailer) const {
  const ByteView all = bytes();
  if (all.size() < sizeof(trailer)) return false;
  std::memcpy(&trailer, all.data() + all.size() - sizeof(trailer), sizeof(trailer));
  return true;
}

Result<Socket> Socket::Open(void* context, int type, int messages_max) {
  Socket socket;
  socket.socket_ = context == nullptr ? nullptr : zmq_socket(context, type);
  if (socket.socket_ == nullptr) return ZmqStatus(zmq_errno(), "zmq::Socket::Open", "zmq_socket");
  const std::int64_t size_max = kMessageBytesMax;
  if (zmq_setsockopt(socket.socket_, ZMQ_MAXMSGSIZE, &size_max, sizeof(size_max)) != 0) {
    return ZmqStatus(zmq_errno(), "zmq::Socket::Open", "ZMQ_MAXMSGSIZE");
  }
  const struct {
    int option;
    int value;
  } options[] = {{ZMQ_SNDHWM, messages_max},
                 {ZMQ_RCVHWM, messages_max},
                 {ZMQ_LINGER, kLingerMs},
                 // A session does not survive its connection; a silent new one would lose messages in between.
                 {ZMQ_RECONNECT_IVL, -1},
                 {ZMQ_BACKLOG, kBacklog}};
  for (const auto& [option, value] : options) ACCELMESH_RETURN_IF_ERROR(SetInt(socket.socket_, option, value));
  std::size_t fd_bytes = sizeof(socket.event_fd_);
  if (zmq_getsockopt(socket.socket_, ZMQ_FD, &socket.event_fd_, &fd_bytes) != 0) {
    return ZmqStatus(zmq_errno(), "zmq::Socket::Open", "ZMQ_FD");
  }
  // Sends to a peer that is gone fail instead of vanishing.
  if (type == ZMQ_ROUTER) ACCELMESH_RETURN_IF_ERROR(SetInt(socket.socket_, ZMQ_ROUTER_MANDATORY, 1));
  return socket;
}

Status Socket::Connect(const Endpoint& endpoint) {
  if (endpoint.host.find(':') != std::string::npos) ACCELMESH_RETURN_IF_ERROR(SetInt(socket_, ZMQ_IPV6, 1));
  if (zmq_connect(socket_, endpoint.ToString().c_str()) == 0) return {};
  return ZmqStatus(zmq_errno(), "zmq::Socket::Connect", "connecting to " + endpoint.ToString());
}

Result<Endpoint> Socket::Bind(const Endpoint& endpoint) {
  constexpr const char* kWhere = "zmq::Socket::Bind";
  if (endpoint.host.find(':') != std::string::npos) ACCELMESH_RETURN_IF_ERROR(SetInt(socket_, ZMQ_IPV6, 1));
  std::string url = endpoint.ToString();
  // libzmq takes interfaces and addresses here, not names.
  if (endpoint.host == "localhost") url = "tcp://127.0.0.1:" + std::to_string(endpoint.port);
  if (zmq_bind(socket_, url.c_str()) != 0) {
    const int error = zmq_errno();
    if (error == EADDRINUSE) return Status(Code::kUnavailable, kWhere, url + " is taken by another program");
    return ZmqStatus(error, kWhere, "binding " + url);
  }
  char bound[512] = {};
  std::size_t size = sizeof(bound);
  if (zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, bound, &size) != 0) {
    return ZmqStatus(zmq_errno(), kWhere, "reading back the address");
  }
  return ParseEndpoint(bound);
}

Status Socket::KeepWhatCame() { return SetInt(socket_, ZMQ_RECONNECT_IVL, kReconnectNeverMs); }

Status Socket::AcceptOwnUserOnly() {
  const uid_t user = ::geteuid();
  if (zmq_setsockopt(socket_, ZMQ_IPC_FILTER_UID, &user, sizeof(user)) == 0) return {};
  return ZmqStatus(zmq_errno(), "zmq::Socket::AcceptOwnUserOnly", "ZMQ_IPC_FILTER_UID");
}

Io Socket::TrySend(Message& message, bool more) {
  if (zmq_msg_send(message.get(), socket_, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0) return Io::kDone;
  switch (zmq_errno()) {
    case EAGAIN:
    case EINTR: return Io::kWouldBlock;
    case EHOSTUNREACH: return Io::kNoPeer;
    default: return Io::kFailed;
  }
}

Io Socket::TryReceive(Message& message) {
  if (zmq_msg_recv(message.get(), socket_, ZMQ_DONTWAIT) >= 0) return Io::kDone;
  if (zmq_errno() == EAGAIN) maybe_readable_ = false;
  return zmq_errno() == EAGAIN || zmq_errno() == EINTR ? Io::kWouldBlock : Io::kFailed;
}

Status Monitor::Watch(const Context& context, const Socket& socket, const char* name) {
  const std::string address = std::string("inproc://") + name;
  constexpr int kEvents = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECT_RETRIED |
                          ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                          ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_CONNECTED;
  if (zmq_socket_monitor(socket.get(), address.c_str(), kEvents) != 0) {
    return ZmqStatus(zmq_errno(), "zmq::Monitor::Watch", "zmq_socket_monitor");
  }
  ACCELMESH_ASSIGN_OR_RETURN(pair_, Socket::Open(context, ZMQ_PAIR, 0));
  if (zmq_connect(pair_.get(), address.c_str()) == 0) return {};
  return ZmqStatus(zmq_errno(), "zmq::Monitor::Watch", "zmq_connect");
}

bool Monitor::Next(Event& event) {
  Message part;
  if (pair_.TryReceive(part) != Io::kDone) return false;
  std::uint16_t kind = 0;
  std::uint32_t value = 0;
  if (part.bytes().size() >= sizeof(kind) + sizeof(value)) {
    std::memcpy(&kind, part.bytes().data(), sizeof(kind));
    std::memcpy(&value, part.bytes().data() + sizeof(kind), sizeof(value));
  }
  while (part.more() && pair_.TryReceive(part) == Io::kDone) {
  }
  event.kind = kind;
  event.value = value;
  event.begins = kind == ZMQ_EVENT_ACCEPTED || kind == ZMQ_EVENT_CONNECTED;
  event.descriptor = event.begins || kind == ZMQ_EVENT_DISCONNECTED ? static_cast<int>(value) : -1;
  return true;
}

bool Monitor::NextEnd(int& descriptor) {
  for (Event event; Next(event);) {
    if (event.begins) continue;
    descriptor = event.descriptor;
    return true;
  }
  return false;
}

Status ZmqStatus(int error, const char* where, const std::string& what) {
  return {Code::kSystem, where, what + ": " + zmq_strerror(error)};
}

Status CheckAddress(const Endpoint& endpoint, bool is_secured, const char* where) {
  if (endpoint.scheme == Endpoint::Scheme::kIpc) return {};
  if (endpoint.scheme != Endpoint::Scheme::kTcp) {
    return {Code::kInvalidArgument, where, endpoint.ToString() + " is neither tcp://host:port nor ipc:///path"};
  }
  if (is_secured || endpoint.host == "127.0.0.1" || endpoint.host == "localhost" || endpoint.host == "::1") return {};
  return {
      Code::kPermissionDenied, where,
      endpoint.ToString() + ": without a market sessions are neither encrypted nor authenticated, so that only " +
          "127.0.0.1, localhost, [::1] and ipc may be listened on; serve leases (--market or --market-key), or use a "
          "tunnel (ssh -L) from other machines"};
}

Wakeup::Wakeup() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
Wakeup::~Wakeup() {
  if (fd_ >= 0) close(fd_);
}
void Wakeup::Set() {
  const std::uint64_t one = 1;
  // Full means that it is set already.
  if (write(fd_, &one, sizeof(one)) < 0) return;
}
void Wakeup::Clear() {
  std::uint64_t count = 0;
  if (read(fd_, &count, sizeof(count)) < 0) return;
}

}  // namespace accelmesh::zmq
