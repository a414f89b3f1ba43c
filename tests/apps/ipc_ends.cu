// What CUDA leaves undefined of memory between processes, and AccelMesh does not: memory that is freed while another
// process has it open, processes that end without closing anything, handles that mean nothing any more.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "check.h"
#include "two_processes.h"

static constexpr int kBytes = 1 << 20;

static void ExpectAll(const void* device, unsigned char value) {
  std::vector<unsigned char> got(kBytes);
  CHECK(cudaMemcpy(got.data(), device, kBytes, cudaMemcpyDeviceToHost));
  for (int i = 0; i < kBytes; ++i) EXPECT(got[i] == value, "[%d] = %d, expected %d", i, got[i], value);
}

struct Offer {
  cudaIpcMemHandle_t memory;
  cudaIpcEventHandle_t event;
};

// Opens what it is given, says so, and ends as it is told.
static int Child(const char* how) {
  const Offer offer = Hear<Offer>();
  void* pointer = nullptr;
  if (std::strcmp(how, "stranger") == 0) {
    // Of another lease: what it was told means nothing to it.
    setenv("ACCELMESH_GROUP", "another", 1);
    cudaEvent_t event = nullptr;
    CHECK_ERROR(cudaIpcOpenMemHandle(&pointer, offer.memory, cudaIpcMemLazyEnablePeerAccess),
                cudaErrorInvalidResourceHandle);
    CHECK_ERROR(cudaIpcOpenEventHandle(&event, offer.event), cudaErrorMapBufferObjectFailed);
    return 0;
  }
  std::size_t before = 0;
  std::size_t after = 0;
  std::size_t total = 0;
  CHECK(cudaMemGetInfo(&before, &total));
  CHECK(cudaIpcOpenMemHandle(&pointer, offer.memory, cudaIpcMemLazyEnablePeerAccess));
  CHECK(cudaMemGetInfo(&after, &total));
  EXPECT(before == after, "opening took %zu bytes", before - after);
  ExpectAll(pointer, 1);
  cudaEvent_t event = nullptr;
  CHECK(cudaIpcOpenEventHandle(&event, offer.event));
  Tell('o');
  EXPECT(Hear<char>() == 'f', "not freed");
  ExpectAll(pointer, 1);
  void* again = nullptr;
  if (std::strcmp(how, "close") == 0) {
    CHECK(cudaIpcCloseMemHandle(pointer));
    CHECK_ERROR(cudaIpcOpenMemHandle(&again, offer.memory, cudaIpcMemLazyEnablePeerAccess),
                cudaErrorInvalidResourceHandle);
    CHECK_ERROR(cudaMemset(pointer, 0, 1), cudaErrorInvalidValue);
    Tell('c');
    Hear<char>();
  } else if (std::strcmp(how, "orphan") == 0) {
    // The parent is killed by its own: what we have open is still there.
    Tell('c');
    char nothing = 0;
    EXPECT(read(in, &nothing, 1) == 0, "it goes on");
    usleep(300000);
    ExpectAll(pointer, 1);
    CHECK(cudaEventSynchronize(event));
    CHECK_ERROR(cudaIpcOpenEventHandle(&event, offer.event), cudaErrorMapBufferObjectFailed);
    out = std::atoi(std::getenv("IPC_ENDS_REPORT"));
    Tell('y');
  } else {
    Tell('c');
    Hear<char>();
    kill(getpid(), SIGKILL);
  }
  return 0;
}

static Offer Make(void** memory, cudaEvent_t* event) {
  Offer offer{};
  CHECK(cudaMalloc(memory, kBytes));
  CHECK(cudaMemset(*memory, 1, kBytes));
  CHECK(cudaDeviceSynchronize());  // another process does not wait for our stream
  CHECK(cudaIpcGetMemHandle(&offer.memory, *memory));
  CHECK(cudaEventCreateWithFlags(event, cudaEventInterprocess | cudaEventDisableTiming));
  CHECK(cudaIpcGetEventHandle(&offer.event, *event));
  return offer;
}

// Frees what a child has open, and gets none of it again before the child has closed it or ended.
static void Free(const char* program, const char* how, bool by_killing) {
  const pid_t child = Start(program, "child", how, &out, &in);
  void* memory = nullptr;
  cudaEvent_t event = nullptr;
  const Offer offer = Make(&memory, &event);
  std::size_t free_before = 0;
  std::size_t free_after = 0;
  std::size_t total = 0;
  CHECK(cudaMemGetInfo(&free_before, &total));
  Tell(offer);
  EXPECT(Hear<char>() == 'o', "not open");
  CHECK(cudaFree(memory));
  CHECK_ERROR(cudaFree(memory), cudaErrorInvalidValue);
  void* other = nullptr;
  CHECK(cudaMalloc(&other, kBytes));
  EXPECT(other != memory, "memory that is open elsewhere was given out");
  CHECK(cudaMemset(other, 2, kBytes));
  CHECK(cudaDeviceSynchronize());
  Tell('f');
  EXPECT(Hear<char>() == 'c', "the child ended");
  Tell('e');
  int status = 0;
  EXPECT(waitpid(child, &status, 0) == child, "waitpid");
  EXPECT(by_killing ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0, "it ended with 0x%x",
         status);
  CHECK(cudaFree(other));
  // A worker is cleared up behind soon after its program has ended.
  for (int i = 0; i < 500 && free_after <= free_before; ++i) {
    CHECK(cudaMalloc(&other, 512));
    cudaIpcMemHandle_t handle;
    CHECK(cudaIpcGetMemHandle(&handle, other));
    CHECK(cudaFree(other));
    CHECK(cudaMemGetInfo(&free_after, &total));
    if (free_after <= free_before) usleep(10000);
  }
  EXPECT(free_after > free_before, "what was open has not come back");
  CHECK(cudaEventDestroy(event));
}

int main(int argc, char** argv) {
  if (argc == 5) {
    Answer(argv);
    if (std::strcmp(argv[1], "child") == 0) return Child(argv[2]);
    // In between: exports to a child of its own and is killed.
    const int down = out;
    setenv("IPC_ENDS_REPORT", argv[4], 1);
    Start(argv[0], "child", "orphan", &out, &in);
    void* memory = nullptr;
    cudaEvent_t event = nullptr;
    Tell(Make(&memory, &event));
    Hear<char>();
    Tell('f');
    Hear<char>();
    out = down;
    Tell('k');
    pause();
  }
  Free(argv[0], "close", false);
  Free(argv[0], "killed", true);

  const pid_t stranger = Start(argv[0], "child", "stranger", &out, &in);
  void* memory = nullptr;
  cudaEvent_t event = nullptr;
  Tell(Make(&memory, &event));
  int status = 0;
  EXPECT(waitpid(stranger, &status, 0) == stranger && WIFEXITED(status) && WEXITSTATUS(status) == 0,
         "the stranger ended with 0x%x", status);

  cudaIpcMemHandle_t garbage{};
  void* pointer = nullptr;
  CHECK_ERROR(cudaIpcOpenMemHandle(&pointer, garbage, cudaIpcMemLazyEnablePeerAccess), cudaErrorInvalidValue);
  CHECK(cudaMalloc(&pointer, 4096));
  CHECK_ERROR(cudaIpcGetMemHandle(&garbage, static_cast<char*>(pointer) + 1024), cudaErrorInvalidValue);
  CHECK(cudaFree(pointer));
  CHECK_ERROR(cudaIpcGetMemHandle(&garbage, pointer), cudaErrorInvalidValue);

  int to = -1;
  const pid_t between = Start(argv[0], "between", "", &to, &in);
  EXPECT(Hear<char>() == 'k', "not ready");
  EXPECT(kill(between, SIGKILL) == 0, "kill");
  EXPECT(waitpid(between, &status, 0) == between && WIFSIGNALED(status), "it ended with 0x%x", status);
  EXPECT(Hear<char>() == 'y', "the orphan failed");
  return Passed();
}
