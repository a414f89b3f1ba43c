// This program run once more, for something that the supervisor's process must not do itself, such as touching a
// device; what it prints on stdout is the result.
//
// Threads: one. The process ends with this object.
#pragma once

#include <string>
#include <vector>

#include "protocol/base/clock.h"
#include "protocol/base/result.h"

namespace accelmesh {

class SelfRun {
 public:
  static constexpr std::size_t kOutputBytesMax = 1024 * 1024;

  // `arguments` without the program's name. Its stderr is this process's.
  static Result<SelfRun> Start(const std::string& self, const std::vector<std::string>& arguments);
  SelfRun(SelfRun&& other) noexcept;
  SelfRun& operator=(SelfRun&&) = delete;
  ~SelfRun();

  // Waits for its end until the deadline; kDeadlineExceeded while it runs. What it printed; kInternal if it failed.
  Result<std::string> Finish(Deadline deadline);

 private:
  SelfRun(int pid, int process, int output) : pid_(pid), process_(process), output_(output) {}
  int pid_;
  int process_;  // a pidfd: the number may be another's by the time that it is ended
  int output_;
  std::string text_;
};

}  // namespace accelmesh
