// A network between processes of this machine that a test can cut: a unix socket that passes connections on to another
// one, and knows which process each comes from. (Over TCP it would have to look that up in /proc, where a connection is
// sometimes not found while others come and go; what is not found cannot be cut.)
//
// Threads: one of its own, which passes bytes; the methods from any.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>

namespace accelmesh::registry {

class CutProxy {
 public:
  // Whether the network between a process and this socket is cut.
  using IsCut = std::function<bool(pid_t from)>;

  // Listens at `path` for connections to the socket at `target`. Throws if it cannot.
  CutProxy(const std::string& path, std::string target, IsCut is_cut);
  ~CutProxy();
  CutProxy(const CutProxy&) = delete;
  CutProxy& operator=(const CutProxy&) = delete;

 private:
  struct Pipe;
  void Run();
  bool Pass(int from, int to);

  const std::string target_;
  const IsCut is_cut_;
  int listening_ = -1;
  std::atomic<bool> is_over_{false};
  std::thread thread_;
};

}  // namespace accelmesh::registry
