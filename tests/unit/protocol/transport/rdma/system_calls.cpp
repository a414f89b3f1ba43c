#include "tests/unit/protocol/transport/rdma/system_calls.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace accelmesh::rdma {
namespace {

constexpr int kNotContent = 1;
constexpr int kMayNotTrace = 77;
constexpr unsigned kSeconds = 60;
// Nothing else asks for it.
constexpr long kMark = SYS_getppid;
// Only a machine whose clock cannot be read by programs asks the kernel; an emulated one is such.
constexpr long kClock = SYS_clock_gettime;
// Stops at system calls are told apart from other traps.
constexpr int kSystemCallStop = SIGTRAP | 0x80;

[[noreturn]] void BeTraced(const Marked& body) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::alarm(kSeconds);
  if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(kMayNotTrace);
  ::raise(SIGSTOP);
  ::_exit(body([] { ::syscall(kMark); }) ? 0 : kNotContent);
}

}  // namespace

Result<std::vector<std::uint64_t>> CountSystemCalls(const Marked& body) {
  constexpr const char* kWhere = "CountSystemCalls";
  const pid_t child = ::fork();
  if (child < 0) return Status::System(errno, kWhere, "fork");
  if (child == 0) BeTraced(body);
  std::vector<std::uint64_t> counts;
  bool has_begun = false;
  for (int status = 0; ::waitpid(child, &status, 0) == child;) {
    if (WIFEXITED(status)) {
      if (WEXITSTATUS(status) == kMayNotTrace)
        return Status(Code::kUnsupported, kWhere, "this process may not trace its children");
      if (WEXITSTATUS(status) != 0 || counts.empty())
        return Status(Code::kInternal, kWhere, "the child was not content");
      counts.pop_back();  // what came after the last mark
      return counts;
    }
    if (WIFSIGNALED(status))
      return Status(Code::kInternal, kWhere, "the child died of signal " + std::to_string(WTERMSIG(status)));
    int signal = WSTOPSIG(status);
    if (signal == kSystemCallStop) {
      signal = 0;
      ::__ptrace_syscall_info info{};
      if (::ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        const auto call = static_cast<long>(info.entry.nr);
        if (call == kMark) {
          counts.push_back(0);
        } else if (!counts.empty() && call != kClock) {
          ++counts.back();
        }
      }
    } else if (!has_begun && signal == SIGSTOP) {
      has_begun = true;
      signal = 0;
      if (::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0)
        return Status::System(errno, kWhere, "ptrace");
    }
    if (::ptrace(PTRACE_SYSCALL, child, nullptr, signal) != 0) return Status::System(errno, kWhere, "ptrace");
  }
  return Status::System(errno, kWhere, "waitpid");
}

}  // namespace accelmesh::rdma
