// Starting, pinning and ending other processes, and taking what they print.
//
// Threads: one; Start() forks, so no thread may run in this process. Ownership: a Process ends its child when it goes.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/result.h"

namespace accelmesh::bench {

// Binds the calling process to one CPU.
Status PinTo(int cpu);
// The CPUs this process may run on.
std::vector<int> AllowedCpus();

struct ProcessSpec {
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> environment;  // added to ours
  int cpu = -1;                                                  // -1: wherever
};

class Process {
 public:
  static Result<Process> Start(const ProcessSpec& spec);
  // Runs `body` in a forked child, bound to `cpu`; the child's status is what it returns.
  static Result<Process> Fork(int cpu, const std::function<int()>& body);
  Process(Process&& other) noexcept { *this = std::move(other); }
  Process& operator=(Process&& other) noexcept;
  ~Process();

  // The next line of its output without the newline; kClosed at its end, kDeadlineExceeded.
  Result<std::string> ReadLine(Deadline deadline);
  // Takes all output and waits for the end: the exit status, or 128 + the signal. kDeadlineExceeded: it was killed.
  Result<int> Finish(Deadline deadline);
  // Asks it to end (SIGTERM), then makes it.
  void Stop();

  const std::string& output() const { return output_; }
  const std::string& errors() const { return errors_; }

 private:
  Process() = default;
  // Takes in what there is on its pipes, waiting until `deadline`; false once both are at their end.
  bool TakeIn(Deadline deadline);

  pid_t pid_ = -1;
  int out_ = -1;
  int err_ = -1;
  std::string output_;
  std::string errors_;
  std::size_t lines_read_ = 0;  // bytes of output_ that ReadLine() has handed out
};

}  // namespace accelmesh::bench
