// fork() and the end of a process. The child of a process that has used the device gets cudaErrorInitializationError
// and leaves the parent's work alone; one of a process that has not uses the device itself. At exit nothing needs to be
// synchronised, and destructors may still call CUDA, which does the work or says that it is going.
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

__global__ void Store(int* out, int value) { *out = value; }
__global__ void Say(int value) { printf("a kernel nobody waited for said %d\n", value); }

// Made before the first CUDA call, so destroyed after everything that such a call registered for the end.
struct AtTheEnd {
  int* memory = nullptr;
  cudaStream_t stream = nullptr;
  ~AtTheEnd() {
    if (memory == nullptr) return;
    for (const cudaError_t status : {cudaStreamSynchronize(stream), cudaStreamDestroy(stream), cudaFree(memory)}) {
      if (status == cudaSuccess || status == cudaErrorCudartUnloading) continue;
      std::printf("a destructor could not give back what it has: %s\n", cudaGetErrorName(status));
      std::fflush(stdout);
      _exit(1);
    }
  }
};
static AtTheEnd at_the_end;

static void UseDevice(int value) {
  int *device = nullptr, got = 0;
  CHECK(cudaMalloc(&device, sizeof(int)));
  Store<<<1, 1>>>(device, value);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(&got, device, sizeof(got), cudaMemcpyDeviceToHost));
  EXPECT(got == value, "stored %d, read %d", value, got);
  CHECK(cudaFree(device));
}

static void Await(pid_t child, const char* what) {
  int status = 0;
  EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s ended with 0x%x",
         what, status);
}

int main() {
  pid_t child = fork();
  if (child == 0) {
    UseDevice(7);
    std::_Exit(0);
  }
  Await(child, "the child of a process without a device");
  UseDevice(8);
  CHECK(cudaMalloc(&at_the_end.memory, 1 << 20));
  CHECK(cudaStreamCreate(&at_the_end.stream));
  child = fork();
  if (child == 0) {
    void* pointer = nullptr;
    int count = 0;
    CHECK_ERROR(cudaMalloc(&pointer, 64), cudaErrorInitializationError);
    CHECK_ERROR(cudaGetLastError(), cudaErrorInitializationError);
    CHECK_ERROR(cudaGetLastError(), cudaSuccess);
    CHECK(cudaGetDeviceCount(&count));
    CHECK_ERROR(cudaDeviceSynchronize(), cudaErrorInitializationError);
    Store<<<1, 1>>>(at_the_end.memory, 1);
    CHECK_ERROR(cudaGetLastError(), cudaErrorInitializationError);
    at_the_end.memory = nullptr;
    std::exit(0);  // with all handlers: none of them may touch the parent's session
  }
  Await(child, "the child of a process with a device");
  UseDevice(9);
  Store<<<1, 1, 0, at_the_end.stream>>>(at_the_end.memory, 3);
  std::printf("fork_and_exit: three processes\n");
  const int passed = Passed();
  std::fflush(stdout);
  Say<<<1, 1>>>(11);
  return passed;
}
