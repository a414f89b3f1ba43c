// What the runtime knows of a kernel: its attributes, its occupancy, and consent to more shared memory than usual.
#include "check.h"

__global__ void __launch_bounds__(128) Bounded(int* out) {
  __shared__ int values[128];
  values[threadIdx.x] = threadIdx.x * 2;
  __syncthreads();
  out[threadIdx.x] = values[127 - threadIdx.x];
}

__global__ void Dynamic(int* out, int last) {
  extern __shared__ int dynamic[];
  if (threadIdx.x == 0) dynamic[last] = 5;
  __syncthreads();
  if (threadIdx.x == 31) *out = dynamic[last];
}

int main() {
  int* device = nullptr;
  int values[256] = {};
  CHECK(cudaMalloc(&device, sizeof(values)));

  cudaFuncAttributes attributes{};
  CHECK(cudaFuncGetAttributes(&attributes, Bounded));
  EXPECT(attributes.sharedSizeBytes == 512, "static shared memory of %zu bytes", attributes.sharedSizeBytes);
  EXPECT(attributes.maxThreadsPerBlock == 128, "at most %d threads, not 128", attributes.maxThreadsPerBlock);
  EXPECT(attributes.localSizeBytes == 0, "local memory of %zu bytes", attributes.localSizeBytes);
  EXPECT(attributes.numRegs > 0 && attributes.numRegs <= 255, "%d registers", attributes.numRegs);
  EXPECT(attributes.ptxVersion >= 50 && attributes.binaryVersion >= 50, "versions %d and %d", attributes.ptxVersion,
         attributes.binaryVersion);
  Bounded<<<1, 128>>>(device);
  CHECK(cudaGetLastError());
  Bounded<<<1, 256>>>(device);  // CUDA promises only that this fails
  EXPECT(cudaGetLastError() != cudaSuccess, "256 threads ran of a kernel bounded to 128");
  CHECK(cudaMemcpy(values, device, sizeof(values), cudaMemcpyDeviceToHost));
  for (int i = 0; i < 128; ++i) EXPECT(values[i] == (127 - i) * 2, "value %d is %d", i, values[i]);

  // Shared memory: the usual limit, and more with the kernel's consent where the device has it.
  int usual = 0, most = 0;
  CHECK(cudaDeviceGetAttribute(&usual, cudaDevAttrMaxSharedMemoryPerBlock, 0));
  CHECK(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  CHECK(cudaFuncGetAttributes(&attributes, Dynamic));
  EXPECT(attributes.maxDynamicSharedSizeBytes == usual, "dynamic shared memory up to %d bytes, not %d",
         attributes.maxDynamicSharedSizeBytes, usual);
  if (most > usual) {
    Dynamic<<<1, 32, most>>>(device, most / 4 - 1);
    CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidValue);
    CHECK(cudaFuncSetAttribute(Dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, most));
    CHECK(cudaFuncGetAttributes(&attributes, Dynamic));
    EXPECT(attributes.maxDynamicSharedSizeBytes == most, "consent to %d bytes reads %d", most,
           attributes.maxDynamicSharedSizeBytes);
  }
  Dynamic<<<1, 32, most>>>(device, most / 4 - 1);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(values, device, sizeof(int), cudaMemcpyDeviceToHost));
  EXPECT(values[0] == 5, "the last word of shared memory read %d", values[0]);

  // Occupancy: within the device's limits, and fewer blocks as they take more shared memory.
  int threads_each = 0, shared_each = 0, few = 0, many = 0, flagged = 0;
  CHECK(cudaDeviceGetAttribute(&threads_each, cudaDevAttrMaxThreadsPerMultiProcessor, 0));
  CHECK(cudaDeviceGetAttribute(&shared_each, cudaDevAttrMaxSharedMemoryPerMultiprocessor, 0));
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&many, Bounded, 128, 0));
  EXPECT(many >= 1 && many * 128 <= threads_each, "%d blocks of 128 threads on a multiprocessor of %d", many,
         threads_each);
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&flagged, Bounded, 128, 0, cudaOccupancyDefault));
  EXPECT(flagged == many, "with flags %d blocks, without %d", flagged, many);
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&few, Dynamic, 32, usual / 2));
  EXPECT(few >= 1 && few <= 2 * shared_each / usual, "%d blocks of %d bytes in %d", few, usual / 2, shared_each);
  int grid = 0, block = 0;
  CHECK(cudaOccupancyMaxPotentialBlockSize(&grid, &block, Bounded, 0, 0));
  EXPECT(grid >= 1 && block >= 32 && block <= 128, "the best launch is %d blocks of %d threads", grid, block);

  // How a kernel would like its cache is a hint: it computes the same with each.
  for (const cudaFuncCache config :
       {cudaFuncCachePreferShared, cudaFuncCachePreferL1, cudaFuncCachePreferEqual, cudaFuncCachePreferNone}) {
    CHECK(cudaFuncSetCacheConfig(Bounded, config));
    CHECK(cudaMemset(device, 0xff, sizeof(values)));
    Bounded<<<1, 128>>>(device);
    CHECK(cudaGetLastError());
    CHECK(cudaMemcpy(values, device, sizeof(values), cudaMemcpyDeviceToHost));
    EXPECT(values[0] == 254 && values[127] == 0, "with cache %d: %d and %d", config, values[0], values[127]);
  }

  // What is no kernel.
  CHECK_ERROR(cudaFuncGetAttributes(&attributes, static_cast<const void*>(values)), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaGetLastError(), cudaErrorInvalidResourceHandle);
  EXPECT(cudaFuncSetCacheConfig(static_cast<const void*>(values), cudaFuncCachePreferL1) != cudaSuccess,
         "an array has a cache");
  EXPECT(cudaGetLastError() != cudaSuccess, "the mistake is not remembered");
  CHECK_ERROR(cudaGetLastError(), cudaSuccess);
  CHECK(cudaFree(device));
  std::printf("kernel_attributes: bounds, shared memory, occupancy\n");
  return Passed();
}
