// What is undefined with NVIDIA's runtime, which crashes here or poisons the context, and an error with AccelMesh:
// handles and kernels that are gone, sets and copies that wrap around the end of the address space.
#include <dlfcn.h>

#include <string>
#include <vector>

#include "check.h"

static void StreamsAndEvents() {
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaStreamDestroy(stream));
  CHECK_ERROR(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaStreamDestroy(stream), cudaErrorInvalidResourceHandle);
  cudaEvent_t event = nullptr;
  CHECK(cudaEventCreate(&event));
  CHECK(cudaEventDestroy(event));
  CHECK_ERROR(cudaEventRecord(event), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaEventDestroy(event), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidResourceHandle);
}

// The kernel of a library that has been closed.
static void Kernels(const std::string& folder) {
  void* library = dlopen((folder + "libclosed_library.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  EXPECT(library != nullptr, "dlopen: %s", dlerror());
  const auto function = reinterpret_cast<const void* (*)()>(dlsym(library, "Function"));
  EXPECT(function != nullptr, "dlsym: %s", dlerror());
  const void* kernel = function();
  cudaFuncAttributes attributes{};
  CHECK(cudaFuncGetAttributes(&attributes, kernel));
  EXPECT(dlclose(library) == 0, "dlclose: %s", dlerror());
  CHECK_ERROR(cudaFuncGetAttributes(&attributes, kernel), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidResourceHandle);
}

static void Sizes() {
  constexpr size_t kHuge = ~size_t{0} - 100;
  char* device = nullptr;
  std::vector<char> host(4096);
  CHECK(cudaMalloc(&device, 4096));
  CHECK_ERROR(cudaMemset(device, 0, kHuge), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemset2D(device, size_t{1} << 62, 0, 16, 5), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemset3D(make_cudaPitchedPtr(device, 64, 64, size_t{1} << 60), 0, make_cudaExtent(16, 2, 3)),
              cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpy2D(device, size_t{1} << 40, host.data(), 64, 64, 1, cudaMemcpyHostToDevice),
              cudaErrorInvalidPitchValue);
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaFree(device));
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidPitchValue);
}

int main(int, char** argv) {
  const std::string self = argv[0];
  StreamsAndEvents();
  Kernels(self.substr(0, self.rfind('/') + 1));
  Sizes();
  std::printf("undefined_uses: streams, events, a kernel, sizes\n");
  return Passed();
}
