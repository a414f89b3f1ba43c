#include "protocol/transport/shm_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

namespace accelmesh::shm {
namespace {

struct Header {
  std::uint32_t kind;
  std::uint32_t argument;
  std::uint64_t size;
};

Status Closed() { return {Code::kClosed, "shm", "the other end has closed the connection"}; }

// Waits for `events`; kOk also if the peer hung up (the call that follows finds out).
Status WaitFd(int fd, short events, Deadline deadline) {
  for (;;) {
    pollfd poll_fd{fd, events, 0};
    const int ready = poll(&poll_fd, 1, deadline.left_ms());
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return Status::System(errno, "shm", "poll");
    if (ready == 0) return {Code::kDeadlineExceeded, "shm", "the peer did not answer by the deadline"};
  }
}

// Takes the descriptors out of a received message: the first is kept, more than one are a violation and closed.
bool TakeDescriptor(msghdr& header, int& fd) {
  bool fine = (header.msg_flags & MSG_CTRUNC) == 0;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int received = -1;
      std::memcpy(&received, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      if (fd < 0) {
        fd = received;
      } else {
        close(received);
        fine = false;
      }
    }
  }
  return fine;
}

}  // namespace

Result<std::string> SocketPath(const Endpoint& endpoint, bool create) {
  constexpr const char* kWhere = "SocketPath";
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  std::string folder = runtime != nullptr && runtime[0] == '/'
                           ? std::string(runtime) + "/accelmesh"
                           : "/tmp/accelmesh-" + std::to_string(static_cast<unsigned long>(geteuid()));
  if (create && mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return Status::System(errno, kWhere, "making the folder " + folder);
  }
  struct stat info{};
  if (lstat(folder.c_str(), &info) != 0) {
    if (errno == ENOENT) {
      return Status(Code::kUnavailable, kWhere,
                    "no gpu-server listens on " + endpoint.ToString() + " (there is no " + folder +
                        "); start one with --listen " + endpoint.ToString() + " and the same XDG_RUNTIME_DIR");
    }
    return Status::System(errno, kWhere, "looking at " + folder);
  }
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0) {
    return Status(Code::kPermissionDenied, kWhere,
                  folder + " is not a folder of this user with mode 0700; remove it or set XDG_RUNTIME_DIR");
  }
  std::string path = folder + "/" + endpoint.path + ".sock";
  if (path.size() >= sizeof(sockaddr_un{}.sun_path)) {
    return Status(Code::kInvalidArgument, kWhere, path + " is too long for a unix socket; shorten XDG_RUNTIME_DIR");
  }
  return path;
}

Status SendMessage(int fd, const Message& message, Deadline deadline) {
  if (message.bytes.size() > kMessageBytesMax) {
    return {Code::kLimitExceeded, "shm::SendMessage", "a message of the unix socket has at most 64 KiB"};
  }
  Header head{static_cast<std::uint32_t>(message.kind), message.argument, message.size};
  iovec parts[2] = {{&head, sizeof(head)}, {const_cast<std::uint8_t*>(message.bytes.data()), message.bytes.size()}};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = parts;
  header.msg_iovlen = 2;
  if (message.fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(part), &message.fd, sizeof(int));
  }
  for (;;) {
    if (sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return {};
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return Closed();
    if (errno != EAGAIN) return Status::System(errno, "shm::SendMessage", "sendmsg");
    ACCELMESH_RETURN_IF_ERROR(WaitFd(fd, POLLOUT, deadline));
  }
}

Result<Message> ReceiveMessage(int fd, Deadline deadline) {
  std::vector<std::uint8_t> buffer(sizeof(Header) + kMessageBytesMax);
  for (;;) {
    iovec part{buffer.data(), buffer.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    const ssize_t got = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {
      ACCELMESH_RETURN_IF_ERROR(WaitFd(fd, POLLIN, deadline));
      continue;
    }
    if (got < 0 && (errno == ECONNRESET || errno == ENOTCONN)) return Closed();
    if (got < 0) return Status::System(errno, "shm::ReceiveMessage", "recvmsg");
    Message message;
    const bool fine = TakeDescriptor(header, message.fd);
    if (got == 0) {
      if (message.fd >= 0) close(message.fd);
      return Closed();
    }
    Header head{};
    if (!fine || (header.msg_flags & MSG_TRUNC) != 0 || static_cast<std::size_t>(got) < sizeof(head)) {
      if (message.fd >= 0) close(message.fd);
      return Status(Code::kBadFrame, "shm::ReceiveMessage", "a message is truncated or carries several descriptors");
    }
    std::memcpy(&head, buffer.data(), sizeof(head));
    message.kind = static_cast<MessageKind>(head.kind);
    message.argument = head.argument;
    message.size = head.size;
    message.bytes.assign(buffer.begin() + sizeof(head), buffer.begin() + got);
    return message;
  }
}

bool IsHungUp(int fd) {
  pollfd poll_fd{fd, POLLRDHUP, 0};
  return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

}  // namespace accelmesh::shm
