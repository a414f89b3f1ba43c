#include "tests/conformance/registry/cut_proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace accelmesh::registry {
namespace {

constexpr int kLookMs = 20;  // how soon a cut is felt

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

// The kernel's number of the socket at the other end of a connection from `port` of this machine; 0 if it is not there.
std::uint64_t InodeOf(int port) {
  std::ifstream table("/proc/net/tcp");
  std::string line;
  std::getline(table, line);
  while (std::getline(table, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout;
    std::uint64_t inode = 0;
    fields >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
    const std::size_t colon = local.find(':');
    if (colon != std::string::npos && std::stoi(local.substr(colon + 1), nullptr, 16) == port) return inode;
  }
  return 0;
}

bool Has(pid_t process, std::uint64_t inode) {
  const std::string name = "socket:[" + std::to_string(inode) + "]";
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/fd", error)) {
    if (std::filesystem::read_symlink(entry.path(), error) == name) return true;
  }
  return false;
}

}  // namespace

struct CutProxy::Pipe {
  int client;
  int server;
  pid_t from;
};

CutProxy::CutProxy(int port, std::function<std::vector<pid_t>()> processes, IsCut is_cut)
    : target_(port), processes_(std::move(processes)), is_cut_(std::move(is_cut)) {
  listening_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (listening_ < 0 || ::bind(listening_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listening_, 64) != 0 || ::getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no port for a proxy");
  }
  port_ = ntohs(address.sin_port);
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
    sockaddr_in peer{};
    socklen_t size = sizeof(peer);
    Pipe pipe{::accept4(listening_, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC), -1, 0};
    if (pipe.client < 0) continue;
    const std::uint64_t inode = InodeOf(ntohs(peer.sin_port));
    for (const pid_t process : processes_()) {
      if (inode != 0 && Has(process, inode)) pipe.from = process;
    }
    pipe.server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in target = Loopback(target_);
    if (is_cut_(pipe.from) || ::connect(pipe.server, reinterpret_cast<const sockaddr*>(&target), sizeof(target)) != 0) {
      end(pipe);
      continue;
    }
    pipes.push_back(pipe);
  }
  for (const Pipe& pipe : pipes) end(pipe);
}

}  // namespace accelmesh::registry
