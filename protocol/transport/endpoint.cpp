#include <sys/un.h>

#include <charconv>

#include "protocol/transport/channel.h"

namespace accelmesh {
namespace {

constexpr const char* kWhere = "ParseEndpoint";
// An ipc path must fit sockaddr_un with its terminating zero.
constexpr std::size_t kPathBytesMax = sizeof(sockaddr_un{}.sun_path) - 1;
constexpr std::size_t kShmNameBytesMax = 64;

Status Bad(std::string_view url, std::string_view what) {
  // The url may come from anywhere; only a bounded part of it is repeated.
  return {Code::kInvalidArgument, kWhere, "\"" + std::string(url.substr(0, 200)) + "\": " + std::string(what)};
}

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

// The rest of tcp:// and rdma://.
Result<Endpoint> ParseHost(std::string_view url, Endpoint::Scheme scheme, std::string_view rest) {
  std::string_view host;
  std::string_view port;
  if (!rest.empty() && rest.front() == '[') {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos || end + 1 >= rest.size() || rest[end + 1] != ':') {
      return Bad(url, "the address is not closed and followed by a port; write tcp://[::1]:7700");
    }
    host = rest.substr(1, end - 1);
    port = rest.substr(end + 2);
  } else {
    const std::size_t colon = rest.rfind(':');
    if (colon == std::string_view::npos) return Bad(url, "the port is missing; write tcp://127.0.0.1:7700");
    host = rest.substr(0, colon);
    port = rest.substr(colon + 1);
    if (host.find(':') != std::string_view::npos) {
      return Bad(url, "an IPv6 address stands in brackets; write tcp://[::1]:7700");
    }
  }
  if (host.empty()) return Bad(url, "the host is missing; write tcp://127.0.0.1:7700");
  if (host.size() > 253) return Bad(url, "the host name is longer than 253 characters");
  for (char c : host) {
    if (!IsNameCharacter(c) && c != ':') return Bad(url, "the host has a character that no host name has");
  }
  unsigned value = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), value);
  if (port.empty() || error != std::errc() || end != port.data() + port.size() || value > 65535) {
    return Bad(url, "the port is not a number from 0 to 65535; write tcp://127.0.0.1:7700");
  }
  Endpoint endpoint;
  endpoint.scheme = scheme;
  endpoint.host = host;
  endpoint.port = static_cast<std::uint16_t>(value);
  return endpoint;
}

}  // namespace

std::string Endpoint::ToString() const {
  switch (scheme) {
    case Scheme::kTcp:
    case Scheme::kRdma: {
      const bool brackets = host.find(':') != std::string::npos;
      return (scheme == Scheme::kTcp ? "tcp://" : "rdma://") + (brackets ? "[" + host + "]" : host) + ":" +
             std::to_string(port);
    }
    case Scheme::kIpc: return "ipc://" + path;
    case Scheme::kShm: return "shm://" + path;
  }
  return "";
}

Result<Endpoint> ParseEndpoint(std::string_view url) {
  const std::size_t separator = url.find("://");
  if (separator == std::string_view::npos) {
    return Bad(url, "no scheme; write tcp://127.0.0.1:7700, ipc:///run/user/1000/mesh.sock or shm://default");
  }
  const std::string_view scheme = url.substr(0, separator);
  const std::string_view rest = url.substr(separator + 3);
  if (rest.find('\0') != std::string_view::npos) return Bad(url.substr(0, separator), "the rest holds a zero byte");
  if (scheme == "tcp") return ParseHost(url, Endpoint::Scheme::kTcp, rest);
  if (scheme == "rdma") return ParseHost(url, Endpoint::Scheme::kRdma, rest);
  Endpoint endpoint;
  endpoint.path = rest;
  if (scheme == "ipc") {
    endpoint.scheme = Endpoint::Scheme::kIpc;
    if (rest.empty() || rest.front() != '/') return Bad(url, "the path is not absolute; write ipc:///tmp/mesh.sock");
    if (rest.size() > kPathBytesMax) {
      return Bad(url, "the path is longer than " + std::to_string(kPathBytesMax) + " bytes, the limit of unix sockets");
    }
    return endpoint;
  }
  if (scheme == "shm") {
    endpoint.scheme = Endpoint::Scheme::kShm;
    if (rest.empty() || rest.size() > kShmNameBytesMax || rest.front() == '.') {
      return Bad(url, "the name has 1 to 64 characters and no dot first; write shm://default");
    }
    for (char c : rest) {
      if (!IsNameCharacter(c)) return Bad(url, "a name has letters, digits, '-', '_' and '.'; write shm://default");
    }
    return endpoint;
  }
  return Bad(url, "unknown scheme \"" + std::string(scheme.substr(0, 32)) + "\"; there are tcp, rdma, ipc and shm");
}

}  // namespace accelmesh
