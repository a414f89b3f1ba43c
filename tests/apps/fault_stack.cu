// Recursion without end: the stack of a thread has one.
#include "fault.h"

// What each call keeps must be there after the calls inside it, so that no compiler makes a loop of this.
__device__ __noinline__ int Descend(int depth, volatile int* bottom) {
  volatile int own[8];
  for (int i = 0; i < 8; ++i) own[i] = depth + i;
  if (depth == *bottom) return own[depth & 7];
  return Descend(depth + 1, bottom) + own[depth & 7];
}
__global__ void Call(int* bottom, int* out) { *out = Descend(0, bottom); }

int main() {
  int* words = nullptr;
  int host[2] = {3, 0};
  CHECK(cudaMalloc(&words, sizeof(host)));
  CHECK(cudaMemcpy(words, host, sizeof(host), cudaMemcpyHostToDevice));
  Call<<<1, 1>>>(words, words + 1);
  CHECK(cudaMemcpy(host, words, sizeof(host), cudaMemcpyDeviceToHost));
  EXPECT(host[1] == 0 + 2 + 4 + 6, "three calls inside one another returned %d", host[1]);
  host[0] = -1;  // never reached
  CHECK(cudaMemcpy(words, host, sizeof(host), cudaMemcpyHostToDevice));
  Call<<<1, 1>>>(words, words + 1);
  const cudaError_t status = cudaDeviceSynchronize();
  // Devices differ in what notices first: the check of the stack, the memory behind it, or a return address that is
  // gone.
  EXPECT(status == cudaErrorLaunchFailure || status == cudaErrorHardwareStackError ||
             status == cudaErrorIllegalAddress || status == cudaErrorInvalidPc || status == cudaErrorIllegalInstruction,
         "a stack that overflows is %s", cudaGetErrorName(status));
  ExpectSticky(status, words);
  std::printf("fault_stack: reported at the synchronise, and sticky\n");
  return Passed();
}
