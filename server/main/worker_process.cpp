#include "server/main/worker_process.h"

#include <spawn.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

#include "protocol/base/log.h"

extern char** environ;

namespace accelmesh {

Result<WorkerProcess> StartWorkerProcess(const ServerOptions& options, int shares_fd) {
  constexpr const char* kWhere = "Supervisor";
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return Status::System(errno, kWhere, "socketpair");
  int notices[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, notices) != 0) {
    const int failed = errno;
    for (const int fd : pair) ::close(fd);
    return Status::System(failed, kWhere, "socketpair");
  }
  const std::string control = std::to_string(pair[1]);
  const std::string notice = std::to_string(notices[1]);
  const std::string threads = std::to_string(options.device.cpu_threads);
  const std::string devices = std::to_string(options.device.cpu_devices);
  const std::string memory = std::to_string(options.device.memory_bytes);
  const std::string capability = std::to_string(options.device.compute_capability);
  std::vector<std::string> words{options.self,    "--worker-control-fd", control,    "--backend",
                                 options.backend, "--cpu-threads",       threads,    "--memory",
                                 memory,          "--worker-capability", capability, "--devices",
                                 devices};
  const std::string shares = std::to_string(shares_fd);
  words.insert(words.end(), {"--jit", options.jit, "--worker-notice-fd", notice, "--worker-shares-fd", shares});
  if (!options.device.cpu_jit_cache.empty()) words.insert(words.end(), {"--jit-cache", options.device.cpu_jit_cache});
  if (log::Enabled(log::Level::kInfo)) words.emplace_back("--verbose");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  // The child inherits its ends, and no other that another thread starts just now.
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int fd : {pair[1], notices[1], shares_fd}) posix_spawn_file_actions_adddup2(&actions, fd, fd);
  WorkerProcess worker;
  const int error = ::posix_spawn(&worker.pid, options.self.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  for (const int fd : {pair[1], notices[1]}) ::close(fd);
  if (error != 0) {
    for (const int fd : {pair[0], notices[0]}) ::close(fd);
    return Status::System(error, kWhere, "cannot start a worker");
  }
  worker.control = pair[0];
  worker.notice = notices[0];
  return worker;
}

}  // namespace accelmesh
