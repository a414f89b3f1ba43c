// The program as a child, as if it were mesh-run itself: in the same process group, so that the terminal's signals and
// job control reach it; what somebody sends to mesh-run alone is passed on; when it stops, mesh-run stops, too.
//
// Threads: the one that made it, which must have blocked signals (BlockSignals()) before any other thread began.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "protocol/base/result.h"

namespace accelmesh::mesh_run {

class Child {
 public:
  // Blocks what Wait() takes in. Once, before threads begin. Programs get the mask that was before.
  static void BlockSignals();

  // kSystem if it cannot be started. The environment is the process's.
  static Result<Child> Start(const std::string& path, const std::vector<std::string>& words);

  // Until it has ended: its status, 128 + n after signal n.
  int Wait();

 private:
  explicit Child(pid_t pid) : pid_(pid) {}
  pid_t pid_;
};

// Waits until `descriptor` can be read: 0; or a signal comes that ends programs: its number; -1 if the time is up.
// Without end if `timeout_ms` is -1.
int WaitForEvent(int descriptor, int timeout_ms);

}  // namespace accelmesh::mesh_run
