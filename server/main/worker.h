// The worker process: serves exactly one session with one backend, then ends. A crash of it ends that session only.
#pragma once

#include "server/main/options.h"

namespace accelmesh {

// Whether a worker could serve: opens the backend and prepares it, and says on stderr what it lacks. The exit status.
int CheckBackend(const ServerOptions& options);

// `control` is its end of the socket pair with the supervisor. Returns the exit status.
int WorkerMain(const ServerOptions& options, int control);

}  // namespace accelmesh
