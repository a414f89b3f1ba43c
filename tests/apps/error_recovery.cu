// What a program can go on from, and what it cannot: errors of calls and of launches leave everything else as it was; a
// kernel's fault ends the device for this process, whatever it does, and for no other one.
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

__global__ void Add(int* data, int value) { data[threadIdx.x] += value; }
__global__ void Fault(int* nowhere) { *nowhere = 1; }

static constexpr int kCount = 128;

static void Expect(const int* device, int value) {
  int got[kCount];
  CHECK(cudaMemcpy(got, device, sizeof(got), cudaMemcpyDeviceToHost));
  for (int i = 0; i < kCount; ++i) EXPECT(got[i] == value, "[%d] is %d, not %d", i, got[i], value);
}

// Each failure between two launches into one stream, with copies under way.
static void GoesOn() {
  int* data = nullptr;
  CHECK(cudaMalloc(&data, kCount * sizeof(int)));
  CHECK(cudaMemset(data, 0, kCount * sizeof(int)));
  int value = 0;
  const auto work = [&] {
    Add<<<1, kCount>>>(data, 1);
    CHECK(cudaGetLastError());
    ++value;
  };
  for (int round = 0; round < 3; ++round) {
    work();
    void* huge = nullptr;
    CHECK_ERROR(cudaMalloc(&huge, std::size_t{1} << 50), cudaErrorMemoryAllocation);
    CHECK_ERROR(cudaGetLastError(), cudaErrorMemoryAllocation);
    work();
    Add<<<1, 4096>>>(data, 100);
    EXPECT(cudaGetLastError() != cudaSuccess, "a block of 4096 threads was launched");
    work();
    CHECK_ERROR(cudaMemcpy(data, nullptr, 16, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
    CHECK_ERROR(cudaFree(&value), cudaErrorInvalidValue);
    CHECK_ERROR(cudaEventRecord(nullptr, nullptr), cudaErrorInvalidResourceHandle);
    cudaGetLastError();
    work();
    Expect(data, value);
    CHECK(cudaGetLastError());
  }
  CHECK(cudaDeviceReset());
  // As good as new.
  CHECK(cudaMalloc(&data, kCount * sizeof(int)));
  CHECK(cudaMemset(data, 0, kCount * sizeof(int)));
  Add<<<1, kCount>>>(data, 5);
  Expect(data, 5);
}

static void Ends() {
  int* data = nullptr;
  CHECK(cudaMalloc(&data, sizeof(int)));
  Fault<<<1, 1>>>(reinterpret_cast<int*>(8));
  CHECK_ERROR(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
  CHECK_ERROR(cudaMalloc(&data, sizeof(int)), cudaErrorIllegalAddress);
  CHECK(cudaDeviceReset());
  CHECK_ERROR(cudaGetLastError(), cudaErrorIllegalAddress);
  CHECK_ERROR(cudaMalloc(&data, sizeof(int)), cudaErrorDevicesUnavailable);
  Add<<<1, 1>>>(data, 1);
  CHECK_ERROR(cudaGetLastError(), cudaErrorDevicesUnavailable);
}

int main() {
  // In processes of their own, since one of them does not survive.
  for (void (*const part)() : {Ends, GoesOn, Ends, GoesOn}) {
    const pid_t child = fork();
    if (child == 0) {
      part();
      std::_Exit(failures == 0 ? 0 : 1);
    }
    int status = 0;
    EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, "ended with 0x%x",
           status);
  }
  std::printf("error_recovery: what a program survives\n");
  return Passed();
}
