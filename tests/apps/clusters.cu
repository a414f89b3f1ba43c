// Clusters of blocks, on a device that has them: as launches ask for them, as kernels are compiled for them, in graphs,
// and what the device says about them.
#include <cstring>
#include <vector>

#include "check.h"
#include "cluster_kernels.h"

static int* g_out = nullptr;
static const void* g_any = nullptr;
static const void* g_of_two = nullptr;
static const void* g_must_be_set = nullptr;
constexpr unsigned kThreads = 64;

static cudaLaunchAttribute Size(unsigned x, unsigned y = 1, unsigned z = 1) {
  cudaLaunchAttribute attribute;
  std::memset(&attribute, 0, sizeof(attribute));
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {x, y, z};
  return attribute;
}

static cudaError_t Launch(const void* kernel, dim3 grid, std::vector<cudaLaunchAttribute> attributes,
                          cudaStream_t stream = nullptr) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(kThreads);
  config.stream = stream;
  config.attrs = attributes.data();
  config.numAttrs = static_cast<unsigned>(attributes.size());
  void* arguments[] = {&g_out};
  const cudaError_t error = cudaLaunchKernelExC(&config, kernel, arguments);
  cudaGetLastError();
  return error;
}

static void Clear() {
  CHECK(cudaMemset(g_out, 0xff, 256 * sizeof(int)));
  CHECK(cudaDeviceSynchronize());  // graphs run on a stream that waits for no other
}
static std::vector<int> Words(unsigned count) {
  std::vector<int> words(count);
  CHECK(cudaMemcpy(words.data(), g_out, count * sizeof(int), cudaMemcpyDeviceToHost));
  return words;
}

// The grid's blocks lie in clusters of that size.
static void Expect(const char* what, dim3 grid, dim3 size) {
  const std::vector<int> words = Words(grid.x * grid.y);
  const int blocks = static_cast<int>(size.x * size.y * size.z);
  for (unsigned y = 0; y < grid.y; ++y) {
    for (unsigned x = 0; x < grid.x; ++x) {
      const int rank = static_cast<int>(x % size.x + size.x * (y % size.y));
      const int expected = rank | blocks << 8 | static_cast<int>(x / size.x) << 16;
      const int got = words[y * grid.x + x];
      EXPECT(got == expected, "%s: block %u, %u says %x, expected %x", what, x, y, static_cast<unsigned>(got),
             static_cast<unsigned>(expected));
    }
  }
  Clear();
}

static void TestLaunches() {
  CHECK(Launch(g_any, dim3(8), {}));
  Expect("none asked for", dim3(8), dim3(1));
  CHECK(Launch(g_any, dim3(8), {Size(1)}));
  Expect("one block", dim3(8), dim3(1));
  CHECK(Launch(g_any, dim3(8), {Size(4)}));
  Expect("four blocks", dim3(8), dim3(4));
  CHECK(Launch(g_any, dim3(4, 6), {Size(2, 3)}));
  Expect("two by three", dim3(4, 6), dim3(2, 3));
  cudaLaunchAttribute policy = Size(0);
  policy.id = cudaLaunchAttributeClusterSchedulingPolicyPreference;
  policy.val.clusterSchedulingPolicyPreference = cudaClusterSchedulingPolicySpread;
  CHECK(Launch(g_any, dim3(16), {Size(8), policy}));
  Expect("eight blocks, spread", dim3(16), dim3(8));
  cudaLaunchAttribute cooperative = Size(0);
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  CHECK(Launch(g_any, dim3(4), {Size(2), cooperative}));
  Expect("cooperative", dim3(4), dim3(2));
  CHECK_ERROR(Launch(g_any, dim3(2000000), {Size(2), cooperative}), cudaErrorCooperativeLaunchTooLarge);

  // No cluster; no part of the grid; larger than every device has them.
  CHECK_ERROR(Launch(g_any, dim3(8), {Size(0)}), cudaErrorInvalidClusterSize);
  CHECK_ERROR(Launch(g_any, dim3(8), {Size(3)}), cudaErrorInvalidClusterSize);
  CHECK_ERROR(Launch(g_any, dim3(16), {Size(16)}), cudaErrorInvalidClusterSize);
  policy.val.clusterSchedulingPolicyPreference = static_cast<cudaClusterSchedulingPolicy>(3);
  CHECK_ERROR(Launch(g_any, dim3(8), {Size(2), policy}), cudaErrorInvalidValue);
  for (const int word : Words(16)) EXPECT(word == -1, "a refused launch ran");
}

// Larger clusters in the place of several, where the device knows of that.
static void TestPreferred() {
  int major = 0;
  CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
  if (major < 10) return;
  cudaLaunchAttribute preferred = Size(0);
  preferred.id = cudaLaunchAttributePreferredClusterDimension;
  preferred.val.preferredClusterDim = {4, 1, 1};
  CHECK(Launch(g_any, dim3(16), {Size(2), preferred}));
  for (const int word : Words(16)) {
    const int blocks = word >> 8 & 0xff;
    EXPECT(blocks == 2 || blocks == 4, "a cluster of %d blocks", blocks);
  }
  Clear();
  preferred.val.preferredClusterDim = {3, 1, 1};
  CHECK_ERROR(Launch(g_any, dim3(12), {Size(2), preferred}), cudaErrorInvalidClusterSize);
  preferred.val.preferredClusterDim = {0, 0, 0};
  CHECK(Launch(g_any, dim3(16), {Size(2), preferred}));
  Expect("nothing preferred", dim3(16), dim3(2));
}

static void TestKernels() {
  cudaFuncAttributes got;
  CHECK(cudaFuncGetAttributes(&got, g_of_two));
  EXPECT(got.requiredClusterWidth == 2 && got.requiredClusterHeight == 1 && got.requiredClusterDepth == 1,
         "compiled for %d %d %d", got.requiredClusterWidth, got.requiredClusterHeight, got.requiredClusterDepth);
  CHECK_ERROR(cudaFuncSetAttribute(g_of_two, cudaFuncAttributeRequiredClusterWidth, 4), cudaErrorNotPermitted);
  cudaGetLastError();
  CHECK(Launch(g_of_two, dim3(8), {}));
  Expect("compiled for two", dim3(8), dim3(2));
  CHECK(Launch(g_of_two, dim3(8), {Size(2)}));
  Expect("compiled for two, and said again", dim3(8), dim3(2));
  CHECK_ERROR(Launch(g_of_two, dim3(8), {Size(4)}), cudaErrorInvalidClusterSize);
  CHECK_ERROR(Launch(g_of_two, dim3(7), {}), cudaErrorInvalidClusterSize);

  CHECK(cudaFuncGetAttributes(&got, g_must_be_set));
  EXPECT(got.clusterDimMustBeSet == 1 && got.requiredClusterWidth == 0, "must be set: %d, width %d",
         got.clusterDimMustBeSet, got.requiredClusterWidth);
  CHECK_ERROR(Launch(g_must_be_set, dim3(8), {}), cudaErrorInvalidClusterSize);
  CHECK(Launch(g_must_be_set, dim3(8), {Size(2)}));
  Expect("set", dim3(8), dim3(2));

  const auto require = [](int x, int y, int z) {
    CHECK(cudaFuncSetAttribute(g_any, cudaFuncAttributeRequiredClusterWidth, x));
    CHECK(cudaFuncSetAttribute(g_any, cudaFuncAttributeRequiredClusterHeight, y));
    CHECK(cudaFuncSetAttribute(g_any, cudaFuncAttributeRequiredClusterDepth, z));
  };
  require(4, 1, 1);
  CHECK(Launch(g_any, dim3(8), {}));
  Expect("four set", dim3(8), dim3(4));
  require(4, 0, 0);
  CHECK_ERROR(Launch(g_any, dim3(8), {}), cudaErrorInvalidClusterSize);
  require(0, 0, 0);
  CHECK(Launch(g_any, dim3(8), {}));
  Expect("taken back", dim3(8), dim3(1));
}

static int Clusters(const void* kernel, dim3 grid, unsigned threads, std::vector<cudaLaunchAttribute> attributes) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(threads);
  config.attrs = attributes.data();
  config.numAttrs = static_cast<unsigned>(attributes.size());
  int clusters = -1;
  CHECK(cudaOccupancyMaxActiveClusters(&clusters, kernel, &config));
  return clusters;
}

static void TestOccupancy() {
  int processors = 0;
  int per_processor = 0;
  CHECK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0));
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_processor, g_any, static_cast<int>(kThreads), 0));
  const int two = Clusters(g_any, dim3(64), kThreads, {Size(2)});
  const int eight = Clusters(g_any, dim3(64), kThreads, {Size(8)});
  EXPECT(two >= eight && eight > 0 && two * 2 <= processors * per_processor, "%d clusters of two, %d of eight", two,
         eight);
  EXPECT(Clusters(g_any, dim3(64), 1024, {Size(2)}) < two, "as many clusters of larger blocks");
  EXPECT(Clusters(g_of_two, dim3(64), kThreads, {}) == two, "not as many clusters of a kernel compiled for them");
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(64);
  config.blockDim = dim3(kThreads);
  int portable = 0;
  CHECK(cudaOccupancyMaxPotentialClusterSize(&portable, g_any, &config));
  EXPECT(portable == 8, "portable clusters of %d blocks", portable);
  int of_two = 0;
  CHECK(cudaOccupancyMaxPotentialClusterSize(&of_two, g_of_two, &config));
  EXPECT(of_two == 2, "clusters of %d blocks", of_two);
  // Larger ones, with consent; the server devices have them.
  int major = 0;
  CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
  const auto consent = [](const void* kernel, int value) {
    CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, value));
  };
  consent(g_any, 1);
  int most = 0;
  CHECK(cudaOccupancyMaxPotentialClusterSize(&most, g_any, &config));
  EXPECT(most >= (major == 9 || major == 10 ? 16 : portable), "with consent %d blocks, without %d", most, portable);
  if (most >= 16) {
    EXPECT(Clusters(g_any, dim3(64), kThreads, {Size(16)}) > 0, "no cluster of 16 blocks");
    CHECK(Launch(g_any, dim3(32), {Size(16)}));
    Expect("sixteen blocks", dim3(32), dim3(16));
    consent(g_must_be_set, 1);
    CHECK(Launch(g_must_be_set, dim3(32), {Size(16)}));
    Expect("sixteen blocks of another kernel", dim3(32), dim3(16));
    consent(g_must_be_set, 0);
  }
  consent(g_any, 0);
  for (const void* kernel : {g_any, g_must_be_set}) {
    CHECK(cudaOccupancyMaxPotentialClusterSize(&most, kernel, &config));
    EXPECT(most == portable, "%d blocks after the consent was taken back", most);
  }
  CHECK_ERROR(Launch(g_any, dim3(32), {Size(16)}), cudaErrorInvalidClusterSize);
}

static void TestGraphs() {
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const auto run = [stream](cudaGraph_t graph) {
    cudaGraphExec_t exec = nullptr;
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaStreamSynchronize(stream));
    CHECK(cudaGraphExecDestroy(exec));
  };
  cudaGraph_t captured = nullptr;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  CHECK(Launch(g_any, dim3(8), {Size(4)}, stream));
  CHECK(cudaStreamEndCapture(stream, &captured));
  Clear();
  run(captured);
  Expect("captured", dim3(8), dim3(4));
  cudaGraphNode_t node = nullptr;
  std::size_t one = 1;
  CHECK(cudaGraphGetNodes(captured, &node, &one));
  cudaLaunchAttributeValue value;
  CHECK(cudaGraphKernelNodeGetAttribute(node, cudaLaunchAttributeClusterDimension, &value));
  EXPECT(value.clusterDim.x == 4 && value.clusterDim.y == 1, "captured a cluster of %u", value.clusterDim.x);

  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  void* arguments[] = {&g_out};
  cudaKernelNodeParams params{};
  params.func = const_cast<void*>(g_any);
  params.gridDim = dim3(8);
  params.blockDim = dim3(kThreads);
  params.kernelParams = arguments;
  cudaGraphNode_t made = nullptr;
  CHECK(cudaGraphAddKernelNode(&made, graph, nullptr, 0, &params));
  run(graph);
  Expect("a node", dim3(8), dim3(1));
  value.clusterDim = {2, 1, 1};
  CHECK(cudaGraphKernelNodeSetAttribute(made, cudaLaunchAttributeClusterDimension, &value));
  run(graph);
  Expect("a node with clusters", dim3(8), dim3(2));
  params.gridDim = dim3(16);
  CHECK(cudaGraphKernelNodeSetParams(made, &params));
  run(graph);
  Expect("a larger grid of the node", dim3(16), dim3(2));
  CHECK(cudaGraphKernelNodeCopyAttributes(made, node));
  run(graph);
  Expect("the captured node's attributes", dim3(16), dim3(4));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaGraphDestroy(captured));
  CHECK(cudaStreamDestroy(stream));
}

int main() {
  int has_clusters = 0;
  CHECK(cudaDeviceGetAttribute(&has_clusters, cudaDevAttrClusterLaunch, 0));
  if (has_clusters == 0) {
    std::printf("no clusters here\n");
    return Passed();
  }
  cudaLibrary_t library = nullptr;
  CHECK(cudaLibraryLoadData(&library, kClusterPtx, nullptr, nullptr, 0, nullptr, nullptr, 0));
  const auto find = [library](const char* name) {
    cudaKernel_t kernel = nullptr;
    CHECK(cudaLibraryGetKernel(&kernel, library, name));
    return static_cast<const void*>(kernel);
  };
  g_any = find("any");
  g_of_two = find("of_two");
  g_must_be_set = find("must_be_set");
  CHECK(cudaMalloc(reinterpret_cast<void**>(&g_out), 256 * sizeof(int)));
  Clear();
  TestLaunches();
  TestPreferred();
  TestKernels();
  TestOccupancy();
  TestGraphs();
  CHECK(cudaFree(g_out));
  return Passed();
}
