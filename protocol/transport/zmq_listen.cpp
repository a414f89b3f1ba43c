// The supervisor's end of tcp:// and ipc://: one ROUTER that takes hellos and sends welcomes.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <deque>

#include "protocol/transport/channel.h"
#include "protocol/transport/curve_socket.h"
#include "protocol/transport/zap.h"
#include "protocol/transport/zmq_socket.h"

namespace accelmesh {
namespace zmq {
namespace {

// Clients that wait for their answer; the oldest is forgotten beyond.
constexpr std::size_t kUnansweredMax = 1024;

class ZmqListener final : public Listener {
 public:
  ZmqListener(std::unique_ptr<Context> context, std::unique_ptr<ZapHandler> zap, Socket router, Endpoint endpoint,
              int epoll_fd)
      : context_(std::move(context)),
        zap_(std::move(zap)),
        router_(std::move(router)),
        endpoint_(std::move(endpoint)),
        epoll_fd_(epoll_fd) {}
  ~ZmqListener() override {
    if (epoll_fd_ >= 0) close(epoll_fd_);
  }

  Status Watch() {
    int zmq_fd = -1;
    std::size_t size = sizeof(zmq_fd);
    if (zmq_getsockopt(router_.get(), ZMQ_FD, &zmq_fd, &size) != 0) {
      return ZmqStatus(zmq_errno(), "ListenZmq", "ZMQ_FD");
    }
    epoll_event event{};
    event.events = EPOLLIN;
    for (int fd : {zmq_fd, again_.fd()}) {
      if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) return Status::System(errno, "ListenZmq", "epoll_ctl");
    }
    return {};
  }

  const Endpoint& endpoint() const override { return endpoint_; }
  int poll_fd() const override { return epoll_fd_; }

  Result<Arrival> Accept() override {
    again_.Clear();
    for (;;) {
      Message id;
      if (router_.TryReceive(id) != Io::kDone) return Status(Code::kFull, "ZmqListener::Accept", "nobody said hello");
      Message hello;
      bool malformed = !id.more() || router_.TryReceive(hello) != Io::kDone;
      for (Message rest; !malformed && (hello.more() || rest.more());) {
        malformed = router_.TryReceive(rest) != Io::kDone || !rest.more();
      }
      if (malformed || hello.bytes().size() > limits::kFrameBytesMax) continue;
      if (unanswered_.size() >= kUnansweredMax) unanswered_.pop_front();
      Arrival arrival;
      if (zap_ != nullptr) {
        const std::optional<std::string> key = UserIdOf(hello.get());
        if (!key.has_value() || !security::ParseHex(*key, arrival.client_key.emplace().bytes).ok()) continue;
      }
      arrival.peer = next_peer_++;
      arrival.hello.assign(hello.bytes().begin(), hello.bytes().end());
      unanswered_.push_back({arrival.peer, std::move(id)});
      RingAgain();
      return arrival;
    }
  }

  Status Answer(std::uint64_t peer, ByteView welcome) override {
    for (auto at = unanswered_.begin(); at != unanswered_.end(); ++at) {
      if (at->peer != peer) continue;
      Message id = std::move(at->id);
      unanswered_.erase(at);
      Message answer(welcome);
      const bool sent = router_.TrySend(id, /*more=*/true) == Io::kDone && router_.TrySend(answer) == Io::kDone;
      RingAgain();
      if (!sent) return {Code::kClosed, "ZmqListener::Answer", "the client did not wait for its answer"};
      return {};
    }
    return {Code::kNotFound, "ZmqListener::Answer.peer", "nobody waits for this answer"};
  }

 private:
  struct Unanswered {
    std::uint64_t peer;
    Message id;
  };

  // libzmq's descriptor tells of changes only, and any call on the socket may swallow one: what is left is told again.
  void RingAgain() {
    int events = 0;
    std::size_t size = sizeof(events);
    if (zmq_getsockopt(router_.get(), ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN) != 0) again_.Set();
  }

  const std::unique_ptr<Context> context_;
  const std::unique_ptr<ZapHandler> zap_;  // CURVE
  Socket router_;
  const Endpoint endpoint_;
  const int epoll_fd_;
  Wakeup again_;
  std::uint64_t next_peer_ = 1;
  std::deque<Unanswered> unanswered_;
};

// libzmq would take the place of a server that still listens on an ipc path.
Status RefuseLiveIpc(const Endpoint& endpoint) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Status::System(errno, "ListenZmq", "socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, endpoint.path.c_str(), endpoint.path.size() + 1);
  const bool live = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  if (!live) return {};
  return {Code::kUnavailable, "ListenZmq",
          endpoint.ToString() + " is taken: another server listens there; stop it or choose another path"};
}

}  // namespace
}  // namespace zmq

namespace {
// A ban counts for new connections at the latest after so long.
constexpr Duration kRememberFor = std::chrono::seconds(1);
}  // namespace

Result<std::unique_ptr<Listener>> ListenZmq(const Endpoint& endpoint, const ListenSecurity* security) {
  ACCELMESH_RETURN_IF_ERROR(zmq::CheckAddress(endpoint, security != nullptr, "ListenZmq"));
  if (endpoint.scheme == Endpoint::Scheme::kIpc) ACCELMESH_RETURN_IF_ERROR(zmq::RefuseLiveIpc(endpoint));
  auto context = std::make_unique<zmq::Context>();
  std::unique_ptr<zmq::ZapHandler> zap;
  if (security != nullptr) {
    // A connection is known by its key: the User-Id of its messages.
    const auto lookup = [may_connect = security->may_connect](const security::CurveKey& key,
                                                              std::string_view) -> Result<std::string> {
      if (may_connect) ACCELMESH_RETURN_IF_ERROR(may_connect(key));
      return security::HexOf(key.bytes);
    };
    ACCELMESH_ASSIGN_OR_RETURN(zap, zmq::ZapHandler::Start(context->get(), lookup, kRememberFor));
  }
  ACCELMESH_ASSIGN_OR_RETURN(zmq::Socket router, zmq::Socket::Open(*context, ZMQ_ROUTER, zmq::kFrameMessagesMax));
  if (security != nullptr) {
    ACCELMESH_RETURN_IF_ERROR(zmq::SecureServer(router.get(), security->secret, "hello"));
  } else if (endpoint.scheme == Endpoint::Scheme::kIpc) {
    ACCELMESH_RETURN_IF_ERROR(router.AcceptOwnUserOnly());
  }
  ACCELMESH_ASSIGN_OR_RETURN(Endpoint bound, router.Bind(endpoint));
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return Status::System(errno, "ListenZmq", "epoll_create1");
  auto listener = std::make_unique<zmq::ZmqListener>(std::move(context), std::move(zap), std::move(router),
                                                     std::move(bound), epoll_fd);
  ACCELMESH_RETURN_IF_ERROR(listener->Watch());
  return std::unique_ptr<Listener>(std::move(listener));
}

}  // namespace accelmesh
