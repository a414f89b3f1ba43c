#include "protocol/transport/bulk_stream.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "protocol/base/limits.h"

namespace accelmesh {
namespace {

constexpr const char* kMagic = "AMBULK1\n";
constexpr std::size_t kMagicBytes = 8;
constexpr std::size_t kBufferBytes = kBulkHeaderBytes + limits::kBulkBytesMax + kSealTagBytes;
// Sealed while it is in the cache, and on its way while the next one is sealed. Each costs a system call; of larger
// ones TCP made up to twice the work when the other end was on the same machine.
constexpr std::size_t kSealedTcpPieceBytes = 48 * limits::kKiB;
constexpr std::size_t kSealedUnixPieceBytes = 256 * limits::kKiB;
// What the kernel may hold of a unix stream; its default is a fifth of a record.
constexpr int kUnixBufferBytes = 4 << 20;
constexpr int kBacklog = 16;
constexpr std::size_t kWakeBytes = 256 * limits::kKiB;
// How soon a waiting sender sees that the lane was closed.
constexpr int kSliceMs = 20;
constexpr Duration kMoment = std::chrono::milliseconds(2);

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family = AF_UNSPEC;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Result<Address> AddressOf(const Endpoint& endpoint, bool listens) {
  Address address;
  if (endpoint.scheme == Endpoint::Scheme::kIpc) {
    sockaddr_un unix_address{};
    if (endpoint.path.size() >= sizeof(unix_address.sun_path))
      return Status(Code::kInvalidArgument, "Bulk", endpoint.ToString() + " has too long a path");
    unix_address.sun_family = AF_UNIX;
    std::memcpy(unix_address.sun_path, endpoint.path.c_str(), endpoint.path.size() + 1);
    std::memcpy(&address.storage, &unix_address, sizeof(unix_address));
    address.size = sizeof(unix_address);
    address.family = AF_UNIX;
    return address;
  }
  if (endpoint.scheme != Endpoint::Scheme::kTcp)
    return Status(Code::kInvalidArgument, "Bulk", endpoint.ToString() + " is neither tcp nor ipc");
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = listens ? AI_PASSIVE | AI_NUMERICSERV : AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string host = endpoint.host == "*" ? "0.0.0.0" : endpoint.host;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &found);
  if (error != 0 || found == nullptr)
    return Status(Code::kUnavailable, "Bulk",
                  endpoint.host + " is no host that can be found: " + ::gai_strerror(error));
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.size = found->ai_addrlen;
  address.family = found->ai_family;
  ::freeaddrinfo(found);
  return address;
}

int OpenSocket(int family) { return ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

void Tune(int fd, int family) {
  const int one = 1;
  if (family == AF_UNIX) {
    (void)::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kUnixBufferBytes, sizeof(kUnixBufferBytes));
  } else {
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
  }
}

std::size_t SealedPieceBytes(int fd) {
  int family = AF_UNSPEC;
  socklen_t size = sizeof(family);
  (void)::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
  return family == AF_UNIX ? kSealedUnixPieceBytes : kSealedTcpPieceBytes;
}

Deadline AtLeastAMoment(Deadline deadline) { return Deadline(std::max(deadline.at(), Deadline::After(kMoment).at())); }

bool IsOfThisUser(int fd) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == ::geteuid();
}

}  // namespace

BulkSocket::~BulkSocket() {
  if (fd_ >= 0) ::close(fd_);
}
BulkSocket& BulkSocket::operator=(BulkSocket&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.fd_;
    other.fd_ = -1;
  }
  return *this;
}

Result<BulkListening> ListenForBulk(const Endpoint& endpoint) {
  constexpr const char* kWhere = "ListenForBulk";
  ACCELMESH_ASSIGN_OR_RETURN(const Address address, AddressOf(endpoint, /*listens=*/true));
  BulkListening listening;
  listening.socket = BulkSocket(OpenSocket(address.family));
  const int fd = listening.socket.fd();
  if (fd < 0) return Status::System(errno, kWhere, "socket");
  const int one = 1;
  if (address.family != AF_UNIX) (void)::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (::bind(fd, address.get(), address.size) != 0 || ::listen(fd, kBacklog) != 0) {
    if (errno == EADDRINUSE) return Status(Code::kUnavailable, kWhere, endpoint.ToString() + " is taken");
    return Status::System(errno, kWhere, "listening on " + endpoint.ToString());
  }
  listening.endpoint = endpoint;
  if (address.family == AF_UNIX) return listening;
  Address bound;
  bound.size = sizeof(bound.storage);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) != 0)
    return Status::System(errno, kWhere, "reading back the port");
  const auto* const v4 = reinterpret_cast<const sockaddr_in*>(&bound.storage);
  const auto* const v6 = reinterpret_cast<const sockaddr_in6*>(&bound.storage);
  listening.endpoint.port = ntohs(address.family == AF_INET6 ? v6->sin6_port : v4->sin_port);
  return listening;
}

BulkSocket AcceptBulk(const BulkSocket& listening, bool own_user_only) {
  BulkSocket socket(::accept4(listening.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.is_open()) return socket;
  sockaddr_storage own{};
  socklen_t size = sizeof(own);
  (void)::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&own), &size);
  if (own.ss_family == AF_UNIX && own_user_only && !IsOfThisUser(socket.fd())) return {};
  Tune(socket.fd(), own.ss_family);
  return socket;
}

Result<BulkSocket> ConnectBulk(const Endpoint& endpoint, const SealKey& mark, Deadline deadline) {
  constexpr const char* kWhere = "ConnectBulk";
  ACCELMESH_ASSIGN_OR_RETURN(const Address address, AddressOf(endpoint, /*listens=*/false));
  BulkSocket socket(OpenSocket(address.family));
  if (!socket.is_open()) return Status::System(errno, kWhere, "socket");
  Tune(socket.fd(), address.family);
  const auto unreachable = [&](int error) {
    return Status(Code::kUnavailable, kWhere,
                  "the worker's bulk lane at " + endpoint.ToString() + " cannot be reached: " + ::strerror(error));
  };
  while (::connect(socket.fd(), address.get(), address.size) != 0) {
    // A unix socket whose backlog is full says EAGAIN.
    if (errno != EINPROGRESS && errno != EAGAIN && errno != EINTR) return unreachable(errno);
    const bool in_progress = errno == EINPROGRESS;
    pollfd item{in_progress ? socket.fd() : -1, POLLOUT, 0};
    (void)::poll(&item, 1, in_progress ? deadline.left_ms() : 1);
    int error = 0;
    socklen_t size = sizeof(error);
    (void)::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return unreachable(error);
    if (in_progress && item.revents != 0) break;
    if (deadline.passed()) return unreachable(ETIMEDOUT);
  }
  std::array<std::uint8_t, kBulkGreetingBytes> greeting;
  std::memcpy(greeting.data(), kMagic, kMagicBytes);
  std::copy(mark.begin(), mark.end(), greeting.begin() + kMagicBytes);
  // A fresh connection has room for so little.
  if (::send(socket.fd(), greeting.data(), greeting.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(greeting.size()))
    return unreachable(errno);
  return socket;
}

bool GreetingFits(ByteView greeting, const SealKey& mark) {
  if (greeting.size() != kBulkGreetingBytes) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < kMagicBytes; ++i)
    difference |= static_cast<unsigned>(greeting[i] ^ static_cast<std::uint8_t>(kMagic[i]));
  for (std::size_t i = 0; i < mark.size(); ++i)
    difference |= static_cast<unsigned>(greeting[kMagicBytes + i] ^ mark[i]);
  return difference == 0;
}

Result<std::size_t> SocketSource::Read(MutableByteView to) {
  for (;;) {
    const ssize_t got = ::recv(fd_, to.data(), to.size(), MSG_DONTWAIT);
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == 0) return Status(Code::kClosed, "SocketSource", "the other end has closed the bulk lane");
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return std::size_t{0};
    return Status(Code::kClosed, "SocketSource", std::string("the bulk lane broke: ") + ::strerror(errno));
  }
}

void SocketSource::WakeFor(std::size_t due) {
  const int at = static_cast<int>(std::clamp<std::size_t>(due, 1, kWakeBytes));
  if (at == wakes_at_) return;
  wakes_at_ = at;
  // Where it is not known, poll(2) wakes for anything.
  (void)::setsockopt(fd_, SOL_SOCKET, SO_RCVLOWAT, &at, sizeof(at));
}

// Sending ------------------------------------------------------------------------------------------------------------

Status BulkSender::Begin(Deadline deadline) {
  const MutexLock lock(mutex_);
  while (busy_ && !closed_.load(std::memory_order_relaxed)) {
    if (!free_.WaitUntil(mutex_, deadline.at()) && busy_) {
      return {Code::kDeadlineExceeded, "BulkSender", "no room by the deadline: the other end does not read"};
    }
  }
  if (closed_.load(std::memory_order_relaxed)) return Closed();
  busy_ = true;
  return {};
}

void BulkSender::End() {
  {
    const MutexLock lock(mutex_);
    busy_ = false;
  }
  free_.NotifyOne();
}

void BulkSender::Close() {
  {
    const MutexLock lock(mutex_);
    closed_.store(true);
  }
  free_.NotifyAll();
  rest_.NotifyAll();
}

BulkSender::~BulkSender() {
  Close();
  std::thread pusher;
  {
    const MutexLock lock(mutex_);
    pusher = std::move(pusher_);
  }
  if (pusher.joinable()) pusher.join();
}

void BulkSender::KeepRest() {
  const MutexLock lock(mutex_);
  has_rest_.store(true, std::memory_order_release);
  if (!pusher_.joinable() && !closed_.load(std::memory_order_relaxed)) {
    // It may be a program's process: its signals are not for this thread.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      pusher_ = std::thread([this] { PushRests(); });
    } catch (const std::system_error&) {
      // Then the next sender or receiver takes it along.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  rest_.NotifyOne();
}

void BulkSender::PushRests() {
  MutexLock lock(mutex_);
  while (!closed_.load(std::memory_order_relaxed)) {
    if (!has_rest_.load(std::memory_order_relaxed)) {
      rest_.Wait(mutex_);
      continue;
    }
    lock.Unlock();
    pollfd item{fd_, POLLOUT, 0};
    (void)::poll(&item, 1, kSliceMs);
    if (item.revents != 0) Flush();
    lock.Lock();
  }
}

Status BulkSender::WaitForRoom(Deadline deadline) {
  for (;;) {
    if (closed_.load(std::memory_order_relaxed)) return Closed();
    pollfd item{fd_, POLLOUT, 0};
    const int ready = ::poll(&item, 1, std::min(deadline.left_ms(), kSliceMs));
    if (ready > 0) return {};
    if (deadline.passed()) {
      return {Code::kDeadlineExceeded, "BulkSender", "no room by the deadline: the other end does not read"};
    }
  }
}

Status BulkSender::PushBuffer() {
  while (sent_ < ready_) {
    const ssize_t put = ::send(fd_, buffer_.get() + sent_, ready_ - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put >= 0) {
      sent_ += static_cast<std::size_t>(put);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {Code::kFull, "BulkSender", "no room"};
    closed_.store(true);
    return Closed();
  }
  return {};
}

Status BulkSender::Send(const BulkHeader& header, ByteView body, Deadline deadline) {
  if (body.size() > limits::kBulkBytesMax || body.size() != header.bytes)
    return {Code::kInvalidArgument, "BulkSender", "a body of another size than its header's"};
  ACCELMESH_RETURN_IF_ERROR(Begin(deadline));
  Status status;
  // What was left goes first; then something of this one must fit, or nothing of it goes.
  while (status.ok() && sent_ < ready_) {
    status = PushBuffer();
    if (status.code() == Code::kFull) status = WaitForRoom(deadline);
  }
  if (status.ok()) {
    has_rest_.store(false, std::memory_order_release);
    status = WaitForRoom(deadline);
  }
  if (status.ok()) status = sealer_ != nullptr ? SendSealed(header, body, deadline) : SendPlain(header, body, deadline);
  if (status.ok()) records_.fetch_add(1, std::memory_order_acq_rel);
  End();
  return status;
}

Status BulkSender::SendPlain(const BulkHeader& header, ByteView body, Deadline deadline) {
  std::array<std::uint8_t, kBulkHeaderBytes> head = WriteBulkHeader(header);
  std::size_t sent = 0;
  const std::size_t size = head.size() + body.size();
  while (sent < size) {
    iovec parts[2] = {{head.data() + std::min(sent, head.size()), head.size() - std::min(sent, head.size())},
                      {const_cast<std::uint8_t*>(body.data()) + (sent > head.size() ? sent - head.size() : 0),
                       sent > head.size() ? size - sent : body.size()}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    const ssize_t put = ::sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (put >= 0) {
      sent += static_cast<std::size_t>(put);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      closed_.store(true);
      return Closed();
    }
    // A peer that reads makes room in a moment, and what went is not copied.
    const Status room = WaitForRoom(AtLeastAMoment(deadline));
    if (room.ok()) continue;
    if (room.code() != Code::kDeadlineExceeded) return room;
    // It has begun (there was room): the rest is kept.
    if (buffer_ == nullptr) buffer_.reset(new std::uint8_t[kBufferBytes]);
    ready_ = 0;
    for (const iovec& part : parts) {
      std::memcpy(buffer_.get() + ready_, part.iov_base, part.iov_len);
      ready_ += part.iov_len;
    }
    sent_ = 0;
    KeepRest();
    return {};
  }
  return {};
}

Status BulkSender::SendSealed(const BulkHeader& header, ByteView body, Deadline deadline) {
  if (buffer_ == nullptr) buffer_.reset(new std::uint8_t[kBufferBytes]);
  const std::size_t piece_bytes = SealedPieceBytes(fd_);
  const auto head = WriteBulkHeader(header);
  std::copy(head.begin(), head.end(), buffer_.get());
  sent_ = 0;
  ready_ = head.size();
  Status status = sealer_->Begin(head);
  for (std::size_t done = 0; status.ok() && (done < body.size() || done == 0);) {
    const ByteView piece = body.subspan(done, std::min(body.size() - done, piece_bytes));
    status = sealer_->Add(piece, buffer_.get() + ready_);
    if (!status.ok()) break;
    ready_ += piece.size();
    done += piece.size();
    if (done == body.size()) {
      SealTag tag;
      status = sealer_->End(tag);
      if (!status.ok()) break;
      std::copy(tag.begin(), tag.end(), buffer_.get() + ready_);
      ready_ += tag.size();
    }
    if (const Status pushed = PushBuffer(); pushed.code() == Code::kClosed) return pushed;
    if (body.empty()) break;
  }
  if (!status.ok()) {
    // Half a record is of no use to anybody.
    closed_.store(true);
    return status;
  }
  while (sent_ < ready_) {
    Status room = WaitForRoom(AtLeastAMoment(deadline));
    if (room.code() == Code::kDeadlineExceeded) {
      KeepRest();
      return {};
    }
    if (room.ok()) room = PushBuffer();
    if (room.code() == Code::kClosed) return room;
  }
  return {};
}

void BulkSender::Flush() {
  if (!has_rest() || closed_.load(std::memory_order_relaxed)) return;
  {
    const MutexLock lock(mutex_);
    if (busy_) return;  // it goes first there
    busy_ = true;
  }
  if (PushBuffer().ok()) has_rest_.store(false, std::memory_order_release);
  End();
}

}  // namespace accelmesh
