// A program that goes on until somebody ends it, for tests/faults:
//
//     endless loop|kernel|ask MEBIBYTES
//
// It allocates, prints READY, and then launches and synchronises for ever (loop), waits for a kernel that never ends
// (kernel), or waits for a line on stdin and makes one call for each (ask). An error ends it with status 3 and a line.
#include <cstring>

#include "check.h"

__global__ void AddOne(unsigned* counter) { *counter += 1; }
__global__ void SpinWhile(volatile unsigned* flag) {
  while (*flag != 0) {
  }
}

static void Stop(const char* what, cudaError_t error) {
  if (error == cudaSuccess) return;
  std::printf("ENDED %s: %s\n", what, cudaGetErrorName(error));
  std::fflush(stdout);
  std::_Exit(3);
}

int main(int argc, char** argv) {
  EXPECT(argc == 3, "usage: endless loop|kernel|ask MEBIBYTES");
  unsigned* device = nullptr;
  Stop("cudaMalloc", cudaMalloc(&device, static_cast<size_t>(std::atoi(argv[2])) << 20));
  Stop("cudaMemset", cudaMemset(device, 1, sizeof(unsigned)));
  AddOne<<<1, 1>>>(device);
  Stop("the first launch", cudaDeviceSynchronize());
  std::printf("READY\n");
  std::fflush(stdout);
  if (std::strcmp(argv[1], "kernel") == 0) {
    SpinWhile<<<1, 1>>>(device);
    Stop("the endless kernel", cudaDeviceSynchronize());
  }
  char line[80];
  while (std::strcmp(argv[1], "ask") != 0 || std::fgets(line, sizeof(line), stdin) != nullptr) {
    AddOne<<<1, 1>>>(device);
    Stop("a launch", cudaGetLastError());
    Stop("a synchronise", cudaDeviceSynchronize());
    if (std::strcmp(argv[1], "ask") == 0) {
      std::printf("DONE\n");
      std::fflush(stdout);
    }
  }
  return Passed();
}
