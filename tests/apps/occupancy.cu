// How much fits on a multiprocessor, asked from each side: the answers agree with one another and with the device.
#include <algorithm>
#include <cstring>

#include "check.h"

__global__ void Dynamic(int* out) {
  extern __shared__ int memory[];
  memory[threadIdx.x] = 1;
  __syncthreads();
  if (out != nullptr) out[0] = memory[0];
}
__global__ void Static(int* out) {
  __shared__ int memory[1024];
  memory[threadIdx.x] = 1;
  __syncthreads();
  if (out != nullptr) out[0] = memory[3];
}
static void NoKernel() {}

static int Attribute(cudaDeviceAttr attribute) {
  int value = -1;
  CHECK(cudaDeviceGetAttribute(&value, attribute, 0));
  return value;
}

static int Blocks(const void* kernel, int threads, size_t shared_bytes) {
  int blocks = -1;
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, shared_bytes));
  return blocks;
}

static void TestSharedMemory() {
  const auto kernel = reinterpret_cast<const void*>(&Dynamic);
  const size_t per_block = static_cast<size_t>(Attribute(cudaDevAttrMaxSharedMemoryPerBlock));
  size_t bytes = 0;
  CHECK(cudaOccupancyAvailableDynamicSMemPerBlock(&bytes, Dynamic, 1, 64));
  EXPECT(bytes == per_block, "%zu bytes for one block", bytes);
  CHECK(cudaOccupancyAvailableDynamicSMemPerBlock(&bytes, Static, 1, 64));
  EXPECT(bytes == per_block - 4096, "%zu bytes beside 4096 static ones", bytes);
  const int most = Blocks(kernel, 64, 0);
  for (int blocks = 1; blocks <= most; ++blocks) {
    CHECK(cudaOccupancyAvailableDynamicSMemPerBlock(&bytes, Dynamic, blocks, 64));
    const size_t share = static_cast<size_t>(Attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor) / blocks);
    EXPECT(bytes <= std::min(per_block, share) && bytes + 256 > std::min(per_block, share), "%zu bytes for %d blocks",
           bytes, blocks);
  }
  for (const int blocks : {0, -1, most + 1, 1000})
    CHECK_ERROR(cudaOccupancyAvailableDynamicSMemPerBlock(&bytes, Dynamic, blocks, 64), cudaErrorInvalidValue);
  for (const int threads : {0, -1, 1025})
    CHECK_ERROR(cudaOccupancyAvailableDynamicSMemPerBlock(&bytes, Dynamic, 1, threads), cudaErrorInvalidValue);
  CHECK_ERROR(cudaOccupancyAvailableDynamicSMemPerBlock(&bytes, NoKernel, 1, 64), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaOccupancyAvailableDynamicSMemPerBlock(&bytes, static_cast<const void*>(nullptr), 1, 64),
              cudaErrorInvalidDeviceFunction);
  // No more than the program has consented to.
  CHECK(cudaFuncSetAttribute(Dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, 1000));
  CHECK(cudaOccupancyAvailableDynamicSMemPerBlock(&bytes, Dynamic, 1, 64));
  EXPECT(bytes == 1000, "%zu bytes after a consent to 1000", bytes);
}

static void TestBlocks() {
  const auto kernel = reinterpret_cast<const void*>(&Static);
  EXPECT(Blocks(kernel, 1, 0) <= Attribute(cudaDevAttrMaxBlocksPerMultiprocessor), "too many blocks");
  EXPECT(Blocks(kernel, 1025, 0) == 0 && Blocks(kernel, 64, 1 << 20) == 0, "blocks that do not fit");
  EXPECT(Blocks(kernel, 1024, 0) <= Attribute(cudaDevAttrMaxThreadsPerMultiProcessor) / 1024, "too many threads");
  int blocks = 77;
  for (const int threads : {0, -1}) {
    CHECK_ERROR(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, Static, threads, 0), cudaErrorInvalidValue);
  }
  EXPECT(blocks == 77, "a number although it failed");
}

static void TestClusters() {
  const bool has_clusters = Attribute(cudaDevAttrClusterLaunch) != 0;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(64);
  config.blockDim = dim3(128);
  int clusters = 77;
  CHECK(cudaOccupancyMaxActiveClusters(&clusters, Static, &config));
  EXPECT(clusters == 0, "%d clusters without a size", clusters);
  cudaLaunchAttribute attribute;
  std::memset(&attribute, 0, sizeof(attribute));
  attribute.id = cudaLaunchAttributeClusterDimension;
  config.attrs = &attribute;
  config.numAttrs = 1;
  for (const unsigned size : {3u, 0u}) {  // no part of the grid; no cluster
    attribute.val.clusterDim = {size, 1, 1};
    CHECK_ERROR(cudaOccupancyMaxActiveClusters(&clusters, Static, &config), cudaErrorInvalidClusterSize);
  }
  CHECK_ERROR(cudaOccupancyMaxActiveClusters(nullptr, Static, &config), cudaErrorInvalidValue);
  CHECK_ERROR(cudaOccupancyMaxPotentialClusterSize(nullptr, Static, &config), cudaErrorInvalidValue);
  CHECK_ERROR(cudaOccupancyMaxPotentialClusterSize(&clusters, NoKernel, &config), cudaErrorInvalidResourceHandle);
  config.numAttrs = 0;
  if (has_clusters) return;
  CHECK(cudaOccupancyMaxPotentialClusterSize(&clusters, Static, &config));
  EXPECT(clusters == 1, "clusters of %d blocks on a device without", clusters);
  config.numAttrs = 1;
  attribute.val.clusterDim = {2, 1, 1};
  CHECK_ERROR(cudaOccupancyMaxActiveClusters(&clusters, Static, &config), cudaErrorInvalidClusterSize);
}

int main() {
  TestSharedMemory();
  TestBlocks();
  TestClusters();
  return Passed();
}
