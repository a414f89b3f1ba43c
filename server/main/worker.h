// The worker process: serves exactly one session with one backend, then ends. A crash of it ends that session only.
#pragma once

#include <memory>

#include "server/main/options.h"

namespace accelmesh {

// A fresh backend of that kind, with options of its own.
Result<std::unique_ptr<Backend>> LoadBackend(const ServerOptions& options, const BackendOptions& device);

// Whether a worker could serve: opens the backend and prepares it, and says on stderr what it lacks. The exit status.
int CheckBackend(const ServerOptions& options);

// `control` is its end of the socket pair with the supervisor, `notice` that of the one by which it hears of its
// lease's end. Returns the exit status.
int WorkerMain(const ServerOptions& options, int control, int notice);

}  // namespace accelmesh
