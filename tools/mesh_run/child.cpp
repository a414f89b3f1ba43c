#include "tools/mesh_run/child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

extern char** environ;

namespace accelmesh::mesh_run {
namespace {

sigset_t g_mask_before;  // set once, before threads begin
int g_signals = -1;
bool g_breaks_pipes = false;  // SIGPIPE ends programs, as it does by default

// All that can be handed on. Faults of our own (SIGSEGV) stay ours.
sigset_t Taken() {
  sigset_t taken;
  ::sigfillset(&taken);
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGTTIN, SIGTTOU, SIGPIPE})
    ::sigdelset(&taken, number);
  return taken;
}

bool ReadSignal(signalfd_siginfo& signal) {
  return ::read(g_signals, &signal, sizeof(signal)) == static_cast<ssize_t>(sizeof(signal));
}

// By kill(2) and its like: the program has not got it. What the kernel sends (the terminal, most often) goes to the
// whole process group.
bool IsForUsAlone(const signalfd_siginfo& signal) {
  return signal.ssi_code == SI_USER || signal.ssi_code == SI_QUEUE || signal.ssi_code == SI_TKILL;
}

}  // namespace

void Child::BlockSignals() {
  const sigset_t taken = Taken();
  ::pthread_sigmask(SIG_BLOCK, &taken, &g_mask_before);
  // Nobody who reads our lines must not cost the program its lease.
  struct sigaction ignore{};
  struct sigaction before{};
  ignore.sa_handler = SIG_IGN;
  g_breaks_pipes = ::sigaction(SIGPIPE, &ignore, &before) == 0 && before.sa_handler == SIG_DFL;
  g_signals = ::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
}

Result<Child> Child::Start(const std::string& path, const std::vector<std::string>& words) {
  std::vector<char*> arguments;
  std::vector<std::string> copies = words;
  for (std::string& word : copies) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t defaults;
  ::sigemptyset(&defaults);
  if (g_breaks_pipes) ::sigaddset(&defaults, SIGPIPE);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setsigmask(&attributes, &g_mask_before);
  pid_t pid = -1;
  int error = ::posix_spawn(&pid, path.c_str(), nullptr, &attributes, arguments.data(), environ);
  if (error == ENOEXEC) {
    // A script without a first line that says of what: execvp gives it to the shell, and so do we.
    arguments[0] = const_cast<char*>(path.c_str());
    arguments.insert(arguments.begin(), const_cast<char*>("sh"));
    error = ::posix_spawn(&pid, "/bin/sh", nullptr, &attributes, arguments.data(), environ);
  }
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) return Status::System(error, "Child::Start", path);
  return Child(pid);
}

int Child::Wait() {
  while (true) {
    int status = 0;
    const pid_t changed = ::waitpid(pid_, &status, WNOHANG | WUNTRACED);
    if (changed == pid_) {
      if (WIFEXITED(status)) return WEXITSTATUS(status);
      if (WIFSIGNALED(status)) return 128 + WTERMSIG(status);
      // Whoever waits for us must see us stopped. We go on when we are told to, which the program hears below.
      if (WIFSTOPPED(status)) ::kill(::getpid(), SIGSTOP);
    } else if (changed < 0 && errno != EINTR) {
      return 128;  // somebody else has waited for it: there is no status any more
    }
    pollfd wait{g_signals, POLLIN, 0};
    ::poll(&wait, 1, 1000);
    signalfd_siginfo signal{};
    while (ReadSignal(signal)) {
      const int number = static_cast<int>(signal.ssi_signo);
      if (number == SIGCHLD) continue;
      if (IsForUsAlone(signal) || number == SIGCONT) ::kill(pid_, number);
    }
  }
}

int WaitForEvent(int descriptor, int timeout_ms) {
  while (true) {
    pollfd waits[2] = {{descriptor, POLLIN, 0}, {g_signals, POLLIN, 0}};
    const int ready = ::poll(waits, 2, timeout_ms);
    if (ready == 0 || (ready < 0 && errno != EINTR)) return -1;
    signalfd_siginfo signal{};
    while (ReadSignal(signal)) {
      const int number = static_cast<int>(signal.ssi_signo);
      switch (number) {
        case SIGINT:
        case SIGTERM:
        case SIGHUP:
        case SIGQUIT: return number;
        case SIGTSTP: ::kill(::getpid(), SIGSTOP); break;
        default: break;
      }
    }
    if ((waits[0].revents & POLLIN) != 0) return 0;
  }
}

}  // namespace accelmesh::mesh_run
