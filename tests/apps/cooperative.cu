// Cooperative launches, whose blocks wait for one another, and the other attributes of a launch.
#include <cooperative_groups.h>

#include <cstring>
#include <vector>

#include "check.h"

// Every block adds its part, and after the grid has come together sees everybody's.
__global__ void Meet(int* sum, int* seen) {
  if (threadIdx.x == 0) atomicAdd(sum, 1);
  cooperative_groups::this_grid().sync();
  if (threadIdx.x == 0) seen[blockIdx.x] = *static_cast<volatile int*>(sum);
}
// Many rounds: a block writes its cell from its neighbours' of the round before, which only a grid that comes together
// between the rounds can do. Each round's values go to the other of two rows.
__global__ void Diffuse(int* rows, int rounds) {
  const cooperative_groups::grid_group grid = cooperative_groups::this_grid();
  const int blocks = static_cast<int>(gridDim.x);
  const int me = static_cast<int>(blockIdx.x);
  __shared__ int parts[2];
  for (int round = 0; round < rounds; ++round) {
    const volatile int* before = rows + (round % 2) * blocks;
    if (threadIdx.x < 2) parts[threadIdx.x] = before[(me + (threadIdx.x == 0 ? 1 : blocks - 1)) % blocks];
    __syncthreads();
    if (threadIdx.x == 0) rows[((round + 1) % 2) * blocks + me] = (parts[0] + 3 * parts[1]) % 1009;
    grid.sync();
  }
}
__global__ void Count(int* sum) { atomicAdd(sum, 1); }
static void NoKernel() {}

static const void* const kMeet = reinterpret_cast<const void*>(&Meet);
static const void* const kCount = reinterpret_cast<const void*>(&Count);
constexpr int kThreads = 64;

static cudaError_t LaunchWith(const cudaLaunchAttribute& attribute, const void* kernel, dim3 grid, void** arguments) {
  cudaLaunchAttribute attributes[2];
  std::memset(attributes, 0, sizeof(attributes));
  attributes[0].id = cudaLaunchAttributeIgnore;
  attributes[1] = attribute;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(kThreads);
  config.attrs = attributes;
  config.numAttrs = 2;
  const cudaError_t error = cudaLaunchKernelExC(&config, kernel, arguments);
  cudaGetLastError();
  return error;
}
static cudaLaunchAttribute Attribute(int id, int value) {
  cudaLaunchAttribute attribute;
  std::memset(&attribute, 0, sizeof(attribute));
  attribute.id = static_cast<cudaLaunchAttributeID>(id);
  attribute.val.priority = value;  // at the same place as every other number
  return attribute;
}

static void TestCooperative(int* sum, int* seen) {
  int processors = 0;
  int per_processor = 0;
  CHECK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_processor, kMeet, kThreads, 0));
  const int most = processors * per_processor;
  const int blocks = most < 64 ? most : 64;
  void* arguments[] = {&sum, &seen};
  int got[64];
  for (int how = 0; how < 2; ++how) {
    CHECK(cudaMemset(sum, 0, sizeof(int)));
    CHECK(how == 0 ? cudaLaunchCooperativeKernel(kMeet, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), arguments,
                                                 0, nullptr)
                   : LaunchWith(Attribute(cudaLaunchAttributeCooperative, 1), kMeet,
                                dim3(static_cast<unsigned>(blocks)), arguments));
    CHECK(cudaMemcpy(got, seen, sizeof(int) * static_cast<size_t>(blocks), cudaMemcpyDeviceToHost));
    for (int i = 0; i < blocks; ++i) EXPECT(got[i] == blocks, "block %d saw %d of %d", i, got[i], blocks);
  }
  const auto launch = [&arguments](const void* kernel, int grid, int threads) {
    return cudaLaunchCooperativeKernel(kernel, dim3(static_cast<unsigned>(grid)), dim3(static_cast<unsigned>(threads)),
                                       arguments, 0, nullptr);
  };
  CHECK_ERROR(launch(kMeet, most + 1, kThreads), cudaErrorCooperativeLaunchTooLarge);
  CHECK_ERROR(cudaGetLastError(), cudaErrorCooperativeLaunchTooLarge);
  CHECK_ERROR(LaunchWith(Attribute(cudaLaunchAttributeCooperative, 1), kMeet, dim3(1000000), arguments),
              cudaErrorCooperativeLaunchTooLarge);
  CHECK_ERROR(launch(kMeet, 0, kThreads), cudaErrorInvalidValue);
  CHECK_ERROR(launch(kMeet, 1, 2048), cudaErrorInvalidValue);
  CHECK_ERROR(launch(reinterpret_cast<const void*>(&NoKernel), 1, 1), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(launch(nullptr, 1, 1), cudaErrorInvalidDeviceFunction);
  // Not cooperative, so of any size.
  void* one[] = {&sum};
  CHECK(LaunchWith(Attribute(cudaLaunchAttributeCooperative, 0), kCount, dim3(static_cast<unsigned>(most) + 1), one));
  CHECK(cudaDeviceSynchronize());
}

static void TestManyRounds() {
  constexpr int kRounds = 50;
  int processors = 0;
  int per_processor = 0;
  CHECK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_processor, Diffuse, kThreads, 0));
  const int blocks = processors * per_processor < 24 ? processors * per_processor : 24;
  std::vector<int> row(static_cast<size_t>(blocks));
  for (int i = 0; i < blocks; ++i) row[static_cast<size_t>(i)] = i * i % 100;
  int* rows = nullptr;
  int rounds = kRounds;
  CHECK(cudaMalloc(&rows, 2 * row.size() * sizeof(int)));
  CHECK(cudaMemcpy(rows, row.data(), row.size() * sizeof(int), cudaMemcpyHostToDevice));
  void* arguments[] = {&rows, &rounds};
  CHECK(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(&Diffuse), dim3(static_cast<unsigned>(blocks)),
                                    dim3(kThreads), arguments, 0, nullptr));
  for (int round = 0; round < kRounds; ++round) {
    std::vector<int> next(row.size());
    for (size_t i = 0; i < row.size(); ++i)
      next[i] = (row[(i + 1) % row.size()] + 3 * row[(i + row.size() - 1) % row.size()]) % 1009;
    row = next;
  }
  std::vector<int> got(row.size());
  CHECK(cudaMemcpy(got.data(), rows, got.size() * sizeof(int), cudaMemcpyDeviceToHost));
  EXPECT(got == row, "blocks ran ahead of one another");
  CHECK(cudaFree(rows));
}

static void TestAttributes(int* sum) {
  void* arguments[] = {&sum};
  CHECK(cudaMemset(sum, 0, sizeof(int)));
  const int good[][2] = {{cudaLaunchAttributeIgnore, 7},
                         {cudaLaunchAttributeClusterSchedulingPolicyPreference, 1},
                         {cudaLaunchAttributeProgrammaticStreamSerialization, 1},
                         {cudaLaunchAttributePriority, 0},
                         {cudaLaunchAttributeMemSyncDomain, 1},
                         {cudaLaunchAttributePreferredSharedMemoryCarveout, 50}};
  for (const auto& pair : good) {
    const cudaError_t error = LaunchWith(Attribute(pair[0], pair[1]), kCount, dim3(2), arguments);
    EXPECT(error == cudaSuccess, "attribute %d is refused: %s", pair[0], cudaGetErrorName(error));
  }
  cudaLaunchAttribute cluster = Attribute(cudaLaunchAttributeClusterDimension, 1);
  cluster.val.clusterDim = {1, 1, 1};
  CHECK(LaunchWith(cluster, kCount, dim3(2), arguments));
  int got = 0;
  CHECK(cudaMemcpy(&got, sum, sizeof(got), cudaMemcpyDeviceToHost));
  EXPECT(got == 7 * 2 * kThreads, "%d threads ran", got);
  const int bad[][2] = {{cudaLaunchAttributeSynchronizationPolicy, 1},  // of streams
                        {cudaLaunchAttributeClusterSchedulingPolicyPreference, 3},
                        {cudaLaunchAttributeMemSyncDomain, 2},
                        {15, 0},
                        {17, 0},
                        {99, 0}};
  for (const auto& pair : bad) {
    const cudaError_t error = LaunchWith(Attribute(pair[0], pair[1]), kCount, dim3(2), arguments);
    EXPECT(error == cudaErrorInvalidValue, "attribute %d: %s", pair[0], cudaGetErrorName(error));
  }
  cluster = Attribute(cudaLaunchAttributePreferredClusterDimension, 1);
  CHECK_ERROR(LaunchWith(cluster, kCount, dim3(2), arguments), cudaErrorInvalidClusterSize);
  cluster = Attribute(cudaLaunchAttributeDeviceUpdatableKernelNode, 1);
  CHECK_ERROR(LaunchWith(cluster, kCount, dim3(2), arguments), cudaErrorNotSupported);  // for launches in graphs
  CHECK(cudaMemcpy(&got, sum, sizeof(got), cudaMemcpyDeviceToHost));
  EXPECT(got == 7 * 2 * kThreads, "a refused launch ran");
}

// An event that the launch records.
static void TestEvents(int* sum) {
  void* arguments[] = {&sum};
  cudaEvent_t event;
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  for (const int id : {cudaLaunchAttributeProgrammaticEvent, cudaLaunchAttributeLaunchCompletionEvent}) {
    cudaLaunchAttribute attribute = Attribute(id, 0);
    CHECK_ERROR(LaunchWith(attribute, kCount, dim3(2), arguments), cudaErrorInvalidResourceHandle);
    attribute.val.programmaticEvent.event = event;  // both have it at the same place
    CHECK(LaunchWith(attribute, kCount, dim3(2), arguments));
    CHECK(cudaEventSynchronize(event));
    CHECK(cudaEventQuery(event));
  }
  CHECK(cudaEventDestroy(event));
  CHECK(cudaDeviceSynchronize());
}

int main() {
  int can = 0;
  int* sum = nullptr;
  int* seen = nullptr;
  CHECK(cudaMalloc(&sum, sizeof(int)));
  CHECK(cudaMalloc(&seen, 64 * sizeof(int)));
  CHECK(cudaDeviceGetAttribute(&can, cudaDevAttrCooperativeLaunch, 0));
  if (can != 0) {
    TestCooperative(sum, seen);
    TestManyRounds();
  } else {
    std::printf("cooperative: this device has no cooperative launches\n");
  }
  TestAttributes(sum);
  TestEvents(sum);
  CHECK(cudaFree(sum));
  CHECK(cudaFree(seen));
  return Passed();
}
