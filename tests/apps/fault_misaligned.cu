// A kernel that reads a word at an address that is none for words.
#include "fault.h"

__global__ void AddAt(int* words, int bytes) {
  int* at = reinterpret_cast<int*>(reinterpret_cast<char*>(words) + bytes);
  at[threadIdx.x] += 1;
}

int main() {
  int* words = nullptr;
  CHECK(cudaMalloc(&words, 64 * sizeof(int)));
  AddAt<<<1, 32>>>(words, 4);
  CHECK(cudaDeviceSynchronize());
  AddAt<<<1, 32>>>(words, 2);
  CHECK_ERROR(cudaDeviceSynchronize(), cudaErrorMisalignedAddress);
  ExpectSticky(cudaErrorMisalignedAddress, words);
  std::printf("fault_misaligned: reported at the synchronise, and sticky\n");
  return Passed();
}
