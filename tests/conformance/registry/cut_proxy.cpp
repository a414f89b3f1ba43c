#include "tests/conformance/registry/cut_proxy.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <vector>

namespace accelmesh::registry {
namespace {

constexpr int kLookMs = 20;  // how soon a cut is felt

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) throw std::runtime_error("too long for a socket: " + path);
  path.copy(address.sun_path, path.size());
  return address;
}

}  // namespace

struct CutProxy::Pipe {
  int client;
  int server;
  pid_t from;
};

CutProxy::CutProxy(const std::string& path, std::string target, IsCut is_cut)
    : target_(std::move(target)), is_cut_(std::move(is_cut)) {
  const sockaddr_un address = AddressOf(path);
  listening_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listening_ < 0 || ::bind(listening_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listening_, 64) != 0) {
    throw std::runtime_error("no socket for a proxy at " + path);
  }
  thread_ = std::thread([this] { Run(); });
}

CutProxy::~CutProxy() {
  is_over_ = true;
  thread_.join();
  ::close(listening_);
}

// False once the connection has ended.
bool CutProxy::Pass(int from, int to) {
  char bytes[65536];
  const ssize_t got = ::recv(from, bytes, sizeof(bytes), MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  for (ssize_t put = 0; put < got;) {
    const ssize_t now = ::send(to, bytes + put, static_cast<std::size_t>(got - put), MSG_NOSIGNAL);
    if (now <= 0) return false;
    put += now;
  }
  return got > 0;
}

void CutProxy::Run() {
  std::vector<Pipe> pipes;
  const auto end = [](const Pipe& pipe) {
    ::close(pipe.client);
    ::close(pipe.server);
  };
  while (!is_over_) {
    std::vector<pollfd> items{{listening_, POLLIN, 0}};
    for (const Pipe& pipe : pipes) {
      items.push_back({pipe.client, POLLIN, 0});
      items.push_back({pipe.server, POLLIN, 0});
    }
    ::poll(items.data(), items.size(), kLookMs);
    for (std::size_t i = pipes.size(); i-- > 0;) {
      const Pipe& pipe = pipes[i];
      const bool is_open = !is_cut_(pipe.from) && (items[1 + 2 * i].revents == 0 || Pass(pipe.client, pipe.server)) &&
                           (items[2 + 2 * i].revents == 0 || Pass(pipe.server, pipe.client));
      if (is_open) continue;
      end(pipe);
      pipes.erase(pipes.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (items[0].revents == 0) continue;
    Pipe pipe{::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC), -1, 0};
    if (pipe.client < 0) continue;
    ucred peer{};
    socklen_t size = sizeof(peer);
    const bool is_known = ::getsockopt(pipe.client, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    pipe.from = peer.pid;
    pipe.server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un target = AddressOf(target_);
    if (!is_known || is_cut_(pipe.from) ||
        ::connect(pipe.server, reinterpret_cast<const sockaddr*>(&target), sizeof(target)) != 0) {
      end(pipe);
      continue;
    }
    pipes.push_back(pipe);
  }
  for (const Pipe& pipe : pipes) end(pipe);
}

}  // namespace accelmesh::registry
