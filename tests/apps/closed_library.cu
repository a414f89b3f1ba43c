// A library with kernels that is opened, used and closed again, several times: its modules come and go, those of the
// program stay. argv[1] is the library; without it, it lies beside the program.
#include <dlfcn.h>

#include <string>

#include "check.h"

__device__ int own = 5;
__global__ void AddOwn(int* out) { *out += own; }

int main(int argc, char** argv) {
  const std::string self = argv[0];
  const std::string path = argc > 1 ? argv[1] : self.substr(0, self.rfind('/') + 1) + "libclosed_library.so";
  int *device = nullptr, value = 0;
  CHECK(cudaMalloc(&device, sizeof(int)));
  CHECK(cudaMemset(device, 0, sizeof(int)));
  for (int round = 0; round < 5; ++round) {
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT(library != nullptr, "dlopen: %s", dlerror());
    const auto count_up = reinterpret_cast<int (*)(int*)>(dlsym(library, "CountUp"));
    EXPECT(count_up != nullptr, "dlsym: %s", dlerror());
    // Its variable starts anew with each load.
    EXPECT(count_up(device) == 1 && count_up(device) == 2, "round %d: the library's variable kept its value", round);
    EXPECT(dlclose(library) == 0, "dlclose: %s", dlerror());
    AddOwn<<<1, 1>>>(device);
    CHECK(cudaGetLastError());
  }
  CHECK(cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDeviceToHost));
  EXPECT(value == 5 * (5 + 100 + 100), "%d, not %d", value, 5 * (5 + 100 + 100));
  CHECK(cudaFree(device));
  std::printf("closed_library: opened and closed 5 times\n");
  return Passed();
}
