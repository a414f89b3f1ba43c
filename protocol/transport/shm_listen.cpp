// The supervisor's end of shm://: a unix socket that takes hellos and hands the connections on.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <list>

#include "protocol/base/log.h"
#include "protocol/transport/channel.h"
#include "protocol/transport/shm_socket.h"

namespace accelmesh {
namespace shm {
namespace {

// Connections that have not said hello yet; more are closed at once, oldest first.
constexpr std::size_t kSilentMax = 64;
constexpr Duration kHelloWait = std::chrono::seconds(5);
constexpr int kBacklog = 64;

int Socket() { return ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

// The socket lies in a folder of this user's alone; this is for a folder that somebody opened up.
bool IsOfThisUser(int connection) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  if (peer.uid == geteuid()) return true;
  log::Warning("ListenShm", "a process of user " + std::to_string(peer.uid) +
                                " was refused: shm:// serves this user only; let it use a lease over tcp");
  return false;
}

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

// Removes the socket of a server that is gone; refuses if one still listens.
Status ClearStale(const std::string& path, const Endpoint& endpoint) {
  struct stat info{};
  if (lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) return {Code::kPermissionDenied, "ListenShm", path + " exists and is no socket"};
  const int probe = Socket();
  if (probe < 0) return Status::System(errno, "ListenShm", "socket");
  const sockaddr_un address = AddressOf(path);
  const bool refused = connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 &&
                       (errno == ECONNREFUSED || errno == ENOENT);
  close(probe);
  if (!refused) {
    return {Code::kUnavailable, "ListenShm",
            endpoint.ToString() + " is taken: another gpu-server listens there; stop it or choose another name"};
  }
  unlink(path.c_str());
  return {};
}

class ShmListener final : public Listener {
 public:
  ShmListener(Endpoint endpoint, std::string path, int listen_fd, int epoll_fd)
      : endpoint_(std::move(endpoint)),
        path_(std::move(path)),
        listen_fd_(listen_fd),
        epoll_fd_(epoll_fd),
        owner_(getpid()) {}
  ~ShmListener() override {
    for (const Silent& silent : silent_) close(silent.fd);
    close(epoll_fd_);
    close(listen_fd_);
    // A forked worker that lets go of its copy must not take the supervisor's socket away.
    if (getpid() == owner_) unlink(path_.c_str());
  }

  const Endpoint& endpoint() const override { return endpoint_; }
  int poll_fd() const override { return epoll_fd_; }

  Result<Arrival> Accept() override {
    TakeConnections();
    const Instant now = Clock::now();
    for (auto at = silent_.begin(); at != silent_.end();) {
      Result<Message> hello = ReceiveMessage(at->fd, Deadline(Instant{}));
      if (hello.code() == Code::kDeadlineExceeded && now < at->until) {
        ++at;
        continue;
      }
      const int fd = at->fd;
      at = silent_.erase(at);
      epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
      if (hello.ok() && hello->fd >= 0) close(hello->fd);
      if (!hello.ok() || hello->kind != MessageKind::kHello) {
        close(fd);
        continue;
      }
      Arrival arrival;
      arrival.hello = std::move(hello->bytes);
      arrival.connection_fd = fd;
      return arrival;
    }
    return Status(Code::kFull, "ShmListener::Accept", "nobody has said hello");
  }

  Status Answer(std::uint64_t, ByteView) override {
    return {Code::kUnsupported, "ShmListener::Answer", "an shm connection is answered by OpenShmWorker or RefuseShm"};
  }

 private:
  struct Silent {
    int fd;
    Instant until;
  };

  void TakeConnections() {
    for (;;) {
      const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      if (!IsOfThisUser(fd)) {
        close(fd);
        continue;
      }
      if (silent_.size() >= kSilentMax) {
        close(silent_.front().fd);
        silent_.pop_front();
      }
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = fd;
      if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
        close(fd);
        continue;
      }
      silent_.push_back({fd, Clock::now() + kHelloWait});
    }
  }

  const Endpoint endpoint_;
  const std::string path_;
  const int listen_fd_;
  const int epoll_fd_;
  const pid_t owner_;
  std::list<Silent> silent_;
};

}  // namespace
}  // namespace shm

Result<std::unique_ptr<Listener>> ListenShm(const Endpoint& endpoint) {
  constexpr const char* kWhere = "ListenShm";
  if (endpoint.scheme != Endpoint::Scheme::kShm) {
    return Status(Code::kInvalidArgument, kWhere, endpoint.ToString() + " is not shm://name");
  }
  ACCELMESH_ASSIGN_OR_RETURN(const std::string path, shm::SocketPath(endpoint, /*create=*/true));
  ACCELMESH_RETURN_IF_ERROR(shm::ClearStale(path, endpoint));
  const int listen_fd = shm::Socket();
  if (listen_fd < 0) return Status::System(errno, kWhere, "socket");
  const sockaddr_un address = shm::AddressOf(path);
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listen_fd;
  if (epoll_fd < 0 || bind(listen_fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listen_fd, shm::kBacklog) != 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) != 0) {
    const int error = errno;
    if (epoll_fd >= 0) close(epoll_fd);
    close(listen_fd);
    return Status::System(error, kWhere, "listening on " + path);
  }
  return std::unique_ptr<Listener>(new shm::ShmListener(endpoint, path, listen_fd, epoll_fd));
}

void RefuseShm(int connection_fd, ByteView refusal) {
  shm::Message message;
  message.kind = shm::MessageKind::kRefusal;
  message.bytes.assign(refusal.begin(), refusal.end());
  // A client that does not read its refusal sees the connection end; there is nobody else to tell.
  (void)shm::SendMessage(connection_fd, message, Deadline::After(std::chrono::seconds(1)));
  close(connection_fd);
}

}  // namespace accelmesh
