#include "tools/mesh_bench/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace accelmesh::bench {
namespace {

constexpr std::chrono::seconds kEndPatience{5};

void CloseFd(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

// Appends what is readable; false at the end.
bool Drain(int& fd, std::string& to) {
  char piece[4096];
  const ssize_t got = ::read(fd, piece, sizeof(piece));
  if (got > 0) {
    to.append(piece, static_cast<std::size_t>(got));
    return true;
  }
  if (got < 0 && errno == EINTR) return true;
  CloseFd(fd);
  return false;
}

}  // namespace

Status PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (::sched_setaffinity(0, sizeof(set), &set) != 0) return Status::System(errno, "PinTo", "sched_setaffinity");
  return Status::Ok();
}

std::vector<int> AllowedCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

Result<Process> Process::Fork(int cpu, const std::function<int()>& body) {
  int out[2];
  int err[2];
  if (::pipe2(out, O_CLOEXEC) != 0) return Status::System(errno, "Process", "pipe");
  if (::pipe2(err, O_CLOEXEC) != 0) {
    const int error = errno;
    ::close(out[0]);
    ::close(out[1]);
    return Status::System(error, "Process", "pipe");
  }
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(out[1], STDOUT_FILENO);
    ::dup2(err[1], STDERR_FILENO);
    if (cpu >= 0 && !PinTo(cpu).ok()) ::_exit(1);
    const int status = body();
    std::fflush(nullptr);
    ::_exit(status);
  }
  const int error = errno;
  ::close(out[1]);
  ::close(err[1]);
  if (pid < 0) {
    ::close(out[0]);
    ::close(err[0]);
    return Status::System(error, "Process", "fork");
  }
  Process process;
  process.pid_ = pid;
  process.out_ = out[0];
  process.err_ = err[0];
  return process;
}

Result<Process> Process::Start(const ProcessSpec& spec) {
  return Fork(spec.cpu, [&spec] {
    for (const auto& [name, value] : spec.environment) ::setenv(name.c_str(), value.c_str(), 1);
    std::vector<char*> words;
    for (const std::string& word : spec.argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    ::execvp(words[0], words.data());
    std::perror(words[0]);
    return 127;
  });
}

Process& Process::operator=(Process&& other) noexcept {
  if (this == &other) return *this;
  Stop();
  pid_ = std::exchange(other.pid_, -1);
  out_ = std::exchange(other.out_, -1);
  err_ = std::exchange(other.err_, -1);
  output_ = std::move(other.output_);
  errors_ = std::move(other.errors_);
  lines_read_ = other.lines_read_;
  return *this;
}

Process::~Process() { Stop(); }

bool Process::TakeIn(Deadline deadline) {
  if (out_ < 0 && err_ < 0) return false;
  pollfd fds[2] = {{out_, POLLIN, 0}, {err_, POLLIN, 0}};
  ::poll(fds, 2, deadline.left_ms());
  if (out_ >= 0 && fds[0].revents != 0) Drain(out_, output_);
  if (err_ >= 0 && fds[1].revents != 0) Drain(err_, errors_);
  return true;
}

Result<std::string> Process::ReadLine(Deadline deadline) {
  while (true) {
    const std::size_t end = output_.find('\n', lines_read_);
    if (end != std::string::npos) {
      std::string line = output_.substr(lines_read_, end - lines_read_);
      lines_read_ = end + 1;
      return line;
    }
    if (deadline.passed()) return Status(Code::kDeadlineExceeded, "Process::ReadLine", "nothing was printed in time");
    if (out_ < 0 || !TakeIn(deadline)) return Status(Code::kClosed, "Process::ReadLine", "it ended: " + errors_);
  }
}

Result<int> Process::Finish(Deadline deadline) {
  while (TakeIn(deadline)) {
    if (!deadline.passed()) continue;
    Stop();
    return Status(Code::kDeadlineExceeded, "Process::Finish", "it ran too long and was killed");
  }
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void Process::Stop() {
  if (pid_ > 0) {
    ::kill(pid_, SIGTERM);
    const Deadline deadline = Deadline::After(kEndPatience);
    while (::waitpid(pid_, nullptr, WNOHANG) == 0) {
      if (deadline.passed()) ::kill(pid_, SIGKILL);
      ::poll(nullptr, 0, 5);
    }
    pid_ = -1;
  }
  CloseFd(out_);
  CloseFd(err_);
}

}  // namespace accelmesh::bench
