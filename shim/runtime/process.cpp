#include "shim/runtime/process.h"

#include <pthread.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string_view>

#include "protocol/base/log.h"
#include "shim/program_check.h"
#include "shim/runtime/registry.h"
#include "shim/runtime/runtime.h"
#include "shim/runtime/statistics.h"

namespace accelmesh {
namespace {

std::atomic<bool> g_ending{false};

// ACCELMESH_TEST_HOLD=SLOT, for tests and mesh-bench: the null backend leaves the commands of that stream slot (0: the
// legacy stream) incomplete from the start of the session to the program's end.
void HoldForTest(ClientSession& session, bool on) {
  const char* slot = std::getenv("ACCELMESH_TEST_HOLD");
  if (slot == nullptr || session.backend() != "null") return;
  const auto stream = static_cast<std::uint32_t>(std::strtoul(slot, nullptr, 10));
  const Status held = session.commands().PostSide(wire::Hold(stream, on ? 1 : 0));
  if (!held.ok()) log::Error("ACCELMESH_TEST_HOLD", held.ToString());
}

// Runs before the handlers and static destructors that the program registered earlier: they may still call CUDA. What
// kernels printed must come out while stdout is there.
void AtExit() {
  g_ending.store(true, std::memory_order_relaxed);
  ClientSession* session = Runtime::Get().SessionIfOpen();
  if (session == nullptr || session->commands().closed()) return;
  // A host function that ends the program would wait for itself.
  if (CurrentThread().in_host_function) return;
  HoldForTest(*session, false);
  for (std::uint32_t d = 0; d < session->devices().size(); ++d) session->SynchronizeDevice(d);
}

// The locks are held from one handler to another, which no analysis can follow.
void BeforeFork() ACCELMESH_THREAD_ATTRIBUTE(no_thread_safety_analysis) {
  Runtime::Get().LockForFork();
  Registry::Get().LockForFork();
}
void InParent() ACCELMESH_THREAD_ATTRIBUTE(no_thread_safety_analysis) {
  Registry::Get().UnlockAfterFork();
  Runtime::Get().UnlockAfterFork();
}
void InChild() {
  // The child of a process that has a session must not touch the parent's connection; its calls fail as CUDA's do
  // there. Any other child opens a session of its own.
  InParent();
  if (Runtime::Get().SessionIfOpen() != nullptr) Runtime::Get().BecomeForkedChild();
}

// The entry of `name` in an environment; null if it has none.
char** FindEntry(char** environment, std::string_view name) {
  for (char** entry = environment; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (text.size() > name.size() && text.substr(0, name.size()) == name && text[name.size()] == '=') return entry;
  }
  return nullptr;
}

// A program with a static runtime must not find a GPU of this machine instead. The libc takes this very array over
// later, so it cannot grow: what the program then has no use for gives its place.
void HideLocalDevices(char** environment) {
  static char hidden[] = "CUDA_VISIBLE_DEVICES=-1";
  char** entry = FindEntry(environment, "CUDA_VISIBLE_DEVICES");
  if (entry == nullptr) entry = FindEntry(environment, "ACCELMESH_SERVER");
  if (entry != nullptr) *entry = hidden;
}

// Before the constructors of every other object, the libc's included (-z initfirst): those of the program register its
// kernels. getenv() knows nothing yet.
__attribute__((constructor)) void ProcessBegins(int /*argc*/, char** /*argv*/, char** environment) {
  // A memory failure here must not end the program.
  try {
    ::pthread_atfork(&BeforeFork, &InParent, &InChild);
    if (FindEntry(environment, "ACCELMESH_STATS") != nullptr) BeginCounting();
    for (const ObjectFault& found : FaultsOfThisProgram()) {
      log::Error("accelmesh", found.fault.text);
      if (found.is_program && !found.fault.is_other_major) HideLocalDevices(environment);
      // Calls meant for another version would arrive here with another meaning.
      if (found.fault.is_other_major) Runtime::Get().Refuse(cudaErrorInsufficientDriver);
    }
  } catch (const std::bad_alloc&) {
    Runtime::Get().Refuse(cudaErrorMemoryAllocation);
  }
}

// After the program's last destructor. The worker learns that this end was meant; calls that still come are answered as
// CUDA's are when it has been unloaded.
__attribute__((destructor)) void ProcessEnds() {
  g_ending.store(true, std::memory_order_relaxed);
  try {
    ClientSession* session = Runtime::Get().SessionIfOpen();
    PrintStatistics(session);
    if (session == nullptr) return;
    Runtime::Get().Refuse(cudaErrorCudartUnloading);
    if (session->commands().closed()) return;
    const Status said = session->commands().PostSide(wire::Goodbye(0));
    if (!said.ok()) log::Debug("exit", said.ToString());
  } catch (const std::bad_alloc&) {
    // The connection's end says the same.
  }
}

}  // namespace

void BeginProcessSession(ClientSession& session) {
  HoldForTest(session, true);
  std::atexit(&AtExit);
}

bool ProcessIsEnding() { return g_ending.load(std::memory_order_relaxed); }

}  // namespace accelmesh
