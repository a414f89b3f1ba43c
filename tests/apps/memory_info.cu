// cudaMemGetInfo follows allocations, and what is freed comes back.
#include <vector>

#include "check.h"

static size_t Available() {
  size_t available = 0, total = 0;
  CHECK(cudaMemGetInfo(&available, &total));
  EXPECT(available <= total && total >= (64u << 20), "%zu bytes available of %zu", available, total);
  return available;
}

int main() {
  const size_t before = Available(), large = 32u << 20;
  cudaDeviceProp properties{};
  size_t available = 0, total = 0;
  CHECK(cudaMemGetInfo(&available, &total));
  CHECK(cudaGetDeviceProperties(&properties, 0));
  EXPECT(total == properties.totalGlobalMem, "%zu bytes in all, the properties say %zu", total,
         properties.totalGlobalMem);
  void* pointer = nullptr;
  CHECK(cudaMalloc(&pointer, large));
  EXPECT(reinterpret_cast<size_t>(pointer) % 256 == 0, "%p is not aligned to 256 bytes", pointer);
  EXPECT(Available() <= before - large / 2, "32 MiB allocated, %zu bytes fewer available", before - Available());
  CHECK(cudaFree(pointer));
  EXPECT(Available() + (4u << 20) >= before, "%zu bytes did not come back", before - Available());
  // A thousand small ones, all apart, all aligned.
  std::vector<char*> small(1000);
  for (char*& one : small) CHECK(cudaMalloc(&one, 100));
  for (size_t i = 0; i < small.size(); ++i) {
    EXPECT(reinterpret_cast<size_t>(small[i]) % 256 == 0, "%p is not aligned to 256 bytes",
           static_cast<void*>(small[i]));
    for (size_t j = 0; j < i; ++j)
      EXPECT(small[i] + 100 <= small[j] || small[j] + 100 <= small[i], "allocations %zu and %zu overlap", i, j);
  }
  for (char* one : small) CHECK(cudaFree(one));
  EXPECT(Available() + (4u << 20) >= before, "%zu bytes did not come back", before - Available());
  std::printf("memory_info: 32 MiB and 1000 small allocations\n");
  return Passed();
}
