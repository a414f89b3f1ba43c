// A worker's process, as the supervisor starts it.
#pragma once

#include "protocol/base/result.h"
#include "server/main/options.h"

namespace accelmesh {

struct WorkerProcess {
  int pid = -1;
  int control = -1;  // tickets, their answers, what a session asks of its lease
  int notice = -1;   // it is told of its lease's end here
};

// Whoever gets it closes its descriptors and waits for it. `shares_fd`: the page of shares, which it inherits.
Result<WorkerProcess> StartWorkerProcess(const ServerOptions& options, int shares_fd);

}  // namespace accelmesh
