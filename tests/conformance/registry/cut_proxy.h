// A network between processes of this machine that a test can cut: a port that passes connections on to another one,
// and knows which process each comes from.
//
// Threads: one of its own, which passes bytes; the methods from any.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

namespace accelmesh::registry {

class CutProxy {
 public:
  // Whether the network between a process (0: nobody knows whose the connection is) and this port is cut.
  using IsCut = std::function<bool(pid_t from)>;

  // Listens on a port of its own of 127.0.0.1 for connections of `processes` to `port`. Throws if it cannot.
  CutProxy(int port, std::function<std::vector<pid_t>()> processes, IsCut is_cut);
  ~CutProxy();
  CutProxy(const CutProxy&) = delete;
  CutProxy& operator=(const CutProxy&) = delete;

  int port() const { return port_; }

 private:
  struct Pipe;
  void Run();
  bool Pass(int from, int to);

  const int target_;
  const std::function<std::vector<pid_t>()> processes_;
  const IsCut is_cut_;
  int listening_ = -1;
  int port_ = 0;
  std::atomic<bool> is_over_{false};
  std::thread thread_;
};

}  // namespace accelmesh::registry
