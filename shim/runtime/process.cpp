#include "shim/runtime/process.h"

#include <pthread.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string_view>

#include "protocol/base/log.h"
#include "shim/entry.h"
#include "shim/interpose/interpose.h"
#include "shim/runtime/log_buffer.h"
#include "shim/runtime/registry.h"
#include "shim/runtime/report.h"
#include "shim/runtime/runtime.h"
#include "shim/runtime/statistics.h"

namespace accelmesh {
namespace {

std::atomic<bool> g_ending{false};

// ACCELMESH_TEST_HOLD=SLOT, for tests and mesh-bench: the null backend leaves the commands of that stream slot (0: the
// legacy stream) incomplete from the start of the session to the program's end.
void HoldForTest(ClientSession& session, bool on) {
  const char* slot = std::getenv("ACCELMESH_TEST_HOLD");
  if (slot == nullptr || session.facts().backend != "null") return;
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
  // In this order: a library that is being opened may call the runtime or end it.
  LockInterposingForFork();
  Runtime::Get().LockForFork();
  Registry::Get().LockForFork();
  LogBuffer::Get().LockForFork();
}
void InParent() ACCELMESH_THREAD_ATTRIBUTE(no_thread_safety_analysis) {
  LogBuffer::Get().UnlockAfterFork();
  Registry::Get().UnlockAfterFork();
  Runtime::Get().UnlockAfterFork();
  UnlockInterposingAfterFork();
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

// A static runtime that cannot be reached must not find a GPU of this machine instead.
// The program's own runtime, before the libc has begun: it takes this very array over later, so it cannot grow. What
// the program then has no use for gives its place.
void HideLocalDevices(char** environment) {
  static char hidden[] = "CUDA_VISIBLE_DEVICES=-1";
  char** entry = FindEntry(environment, "CUDA_VISIBLE_DEVICES");
  if (entry == nullptr) entry = FindEntry(environment, "ACCELMESH_SERVER");
  if (entry != nullptr) *entry = hidden;
}
// A library's: it reads the environment when it has opened the driver's library, so that it is early enough then.
std::atomic<bool> g_hide_devices{false};
void HideLocalDevicesNow() {
  if (g_hide_devices.exchange(false, std::memory_order_relaxed)) ::setenv("CUDA_VISIBLE_DEVICES", "-1", 1);
}

char** g_environment = nullptr;  // that of ProcessBegins, while it runs

void OnFault(bool is_program, const RuntimeFault& fault) {
  log::Error("accelmesh", fault.text);
  if (fault.is_shared) {
    // Calls meant for another version would arrive here with another meaning.
    Runtime::Get().Refuse(cudaErrorInsufficientDriver);
  } else if (is_program && g_environment != nullptr) {
    HideLocalDevices(g_environment);
  } else {
    g_hide_devices.store(true, std::memory_order_relaxed);
  }
}
int RefuseUnknown(const char* name) { return Refuse<cudaError_t>(name, "it is newer than this release of AccelMesh"); }
void OnOutOfMemory() { Runtime::Get().Refuse(cudaErrorMemoryAllocation); }

// Before the constructors of every other object, the libc's included (-z initfirst): those of the program register its
// kernels. getenv() knows nothing yet.
__attribute__((constructor)) void ProcessBegins(int /*argc*/, char** /*argv*/, char** environment) {
  // A memory failure here must not end the program.
  try {
    KeepLogLines();
    ::pthread_atfork(&BeforeFork, &InParent, &InChild);
    for (const char* asks : {"ACCELMESH_STATS", "ACCELMESH_EXPLAIN", "ACCELMESH_PROFILE"}) {
      if (FindEntry(environment, asks) != nullptr) {
        BeginCounting();
        break;
      }
    }
    g_environment = environment;
    BeginInterposing({EntryPoints(), &RefuseUnknown, &OnFault, &HideLocalDevicesNow, &OnOutOfMemory});
  } catch (const std::bad_alloc&) {
    OnOutOfMemory();
  }
  g_environment = nullptr;
}

// After the program's last destructor. The worker learns that this end was meant; calls that still come are answered as
// CUDA's are when it has been unloaded.
__attribute__((destructor)) void ProcessEnds() {
  g_ending.store(true, std::memory_order_relaxed);
  try {
    ClientSession* session = Runtime::Get().SessionIfOpen();
    PrintReports(session);
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
