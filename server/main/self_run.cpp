#include "server/main/self_run.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

extern char** environ;

namespace accelmesh {
namespace {
constexpr const char* kWhere = "SelfRun";
}

Result<SelfRun> SelfRun::Start(const std::string& self, const std::vector<std::string>& arguments) {
  int output[2];
  if (::pipe2(output, O_CLOEXEC) != 0) return Status::System(errno, kWhere, "pipe");
  std::vector<std::string> words{self};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, self.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  ::close(output[1]);
  if (error != 0) {
    ::close(output[0]);
    return Status::System(error, kWhere, "cannot start " + self);
  }
  return SelfRun(pid, static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)), output[0]);
}

SelfRun::SelfRun(SelfRun&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      process_(std::exchange(other.process_, -1)),
      output_(std::exchange(other.output_, -1)),
      text_(std::move(other.text_)) {}

SelfRun::~SelfRun() {
  if (output_ >= 0) ::close(output_);
  if (pid_ > 0 && process_ >= 0 && ::syscall(SYS_pidfd_send_signal, process_, SIGKILL, nullptr, 0) == 0)
    ::waitpid(pid_, nullptr, 0);
  if (process_ >= 0) ::close(process_);
}

Result<std::string> SelfRun::Finish(Deadline deadline) {
  while (true) {
    pollfd readable{output_, POLLIN, 0};
    const int ready = ::poll(&readable, 1, deadline.left_ms());
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return Status(Code::kDeadlineExceeded, kWhere, "it still runs");
    char buffer[4096];
    const ssize_t got = ::read(output_, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text_.append(buffer, static_cast<std::size_t>(got));
    if (text_.size() > kOutputBytesMax) return Status(Code::kLimitExceeded, kWhere, "it prints without end");
  }
  // It has closed its output, and ends now; the supervisor's loop, which waits for every child, may have heard so.
  int status = 0;
  const pid_t ended = ::waitpid(std::exchange(pid_, -1), &status, 0);
  if (ended > 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
    return Status(Code::kInternal, kWhere, "it failed; the lines above say why");
  return std::exchange(text_, {});
}

}  // namespace accelmesh
