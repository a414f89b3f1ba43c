// Memory that a graph allocates: its address stays, who may free it, what a device has of it, and launches that find it
// still there.
#include <vector>

#include "check.h"

__global__ void Fill(int* data, int count, int value) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) data[i] = value + i;
}
__global__ void Copy(const int* from, int* to, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) to[i] = from[i];
}

constexpr int kCount = 3 << 20 >> 2;  // 3 MiB
constexpr int kBlocks = (kCount + 255) / 256;

static unsigned long long Attribute(cudaGraphMemAttributeType which) {
  unsigned long long value = 0;
  CHECK(cudaDeviceGetGraphMemAttribute(0, which, &value));
  return value;
}
static void Expect(const int* device, int value) {
  std::vector<int> got(kCount);
  CHECK(cudaMemcpy(got.data(), device, kCount * sizeof(int), cudaMemcpyDeviceToHost));
  for (int i = 0; i < kCount; ++i) EXPECT(got[i] == value + i, "[%d] is %d, not %d", i, got[i], value + i);
}

// Allocated, used and freed by each launch of a captured graph.
static void Captured() {
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  int* out = nullptr;
  CHECK(cudaMalloc(&out, kCount * sizeof(int)));
  int *first = nullptr, *second = nullptr;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CHECK(cudaMallocAsync(&first, kCount * sizeof(int), stream));
  CHECK(cudaMallocAsync(&second, kCount * sizeof(int), stream));
  EXPECT(first != nullptr && second != nullptr && first != second, "addresses %p and %p", first, second);
  Fill<<<kBlocks, 256, 0, stream>>>(first, kCount, 9);
  Copy<<<kBlocks, 256, 0, stream>>>(first, second, kCount);
  CHECK(cudaFreeAsync(first, stream));
  Copy<<<kBlocks, 256, 0, stream>>>(second, out, kCount);
  CHECK(cudaFreeAsync(second, stream));
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph));
  std::vector<cudaGraphNode_t> nodes(8);
  std::size_t count = 8;
  CHECK(cudaGraphGetNodes(graph, nodes.data(), &count));
  EXPECT(count == 7, "%zu nodes", count);
  cudaGraphNodeType kind;
  CHECK(cudaGraphNodeGetType(nodes[0], &kind));
  EXPECT(kind == cudaGraphNodeTypeMemAlloc, "kind %d", kind);
  cudaMemAllocNodeParams params{};
  CHECK(cudaGraphMemAllocNodeGetParams(nodes[0], &params));
  EXPECT(params.dptr == first && params.bytesize >= kCount * sizeof(int), "%p, %zu bytes", params.dptr,
         params.bytesize);
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  for (int round = 0; round < 5; ++round) {
    CHECK(cudaMemset(out, 0, kCount * sizeof(int)));
    CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaStreamSynchronize(stream));
    Expect(out, 9);
  }
  EXPECT(Attribute(cudaGraphMemAttrUsedMemHigh) >= kCount * sizeof(int), "%llu used at most",
         Attribute(cudaGraphMemAttrUsedMemHigh));
  EXPECT(Attribute(cudaGraphMemAttrReservedMemCurrent) >= kCount * sizeof(int), "%llu reserved",
         Attribute(cudaGraphMemAttrReservedMemCurrent));
  // Neither a clone nor a second executable.
  cudaGraph_t clone = nullptr;
  EXPECT(cudaGraphClone(&clone, graph) != cudaSuccess, "a graph with memory was cloned");
  cudaGraphExec_t second_exec = nullptr;
  EXPECT(cudaGraphInstantiate(&second_exec, graph, 0) != cudaSuccess, "a second executable");
  EXPECT(cudaGraphDestroyNode(nodes[0]) != cudaSuccess, "a node was taken from it");
  cudaGetLastError();
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CHECK(cudaGraphLaunch(exec, stream));
  CHECK(cudaStreamSynchronize(stream));
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaDeviceGraphMemTrim(0));
  EXPECT(Attribute(cudaGraphMemAttrReservedMemCurrent) == 0, "%llu reserved behind a trim",
         Attribute(cudaGraphMemAttrReservedMemCurrent));
  unsigned long long zero = 0;
  CHECK(cudaDeviceSetGraphMemAttribute(0, cudaGraphMemAttrUsedMemHigh, &zero));
  EXPECT(Attribute(cudaGraphMemAttrUsedMemHigh) == 0, "a watermark was not reset");
  CHECK_ERROR(cudaDeviceSetGraphMemAttribute(0, cudaGraphMemAttrUsedMemCurrent, &zero), cudaErrorInvalidValue);
  CHECK(cudaFree(out));
  CHECK(cudaStreamDestroy(stream));
}

static cudaGraph_t AllocAndFill(int** address, int value) {
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaMemAllocNodeParams params{};
  params.poolProps.allocType = cudaMemAllocationTypePinned;
  params.poolProps.location.type = cudaMemLocationTypeDevice;
  params.poolProps.location.id = 0;
  params.bytesize = kCount * sizeof(int);
  cudaGraphNode_t alloc, fill;
  CHECK(cudaGraphAddMemAllocNode(&alloc, graph, nullptr, 0, &params));
  *address = static_cast<int*>(params.dptr);
  int count = kCount;
  void* arguments[] = {address, &count, &value};
  cudaKernelNodeParams kernel{};
  kernel.func = reinterpret_cast<void*>(Fill);
  kernel.gridDim = dim3(kBlocks);
  kernel.blockDim = dim3(256);
  kernel.kernelParams = arguments;
  CHECK(cudaGraphAddKernelNode(&fill, graph, &alloc, 1, &kernel));
  return graph;
}

// Left to the program, which uses and frees it; a launch before that is an error.
static void Left() {
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  int* data = nullptr;
  cudaGraph_t graph = AllocAndFill(&data, 30);
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CHECK(cudaGraphLaunch(exec, stream));
  CHECK(cudaStreamSynchronize(stream));
  Expect(data, 30);
  EXPECT(Attribute(cudaGraphMemAttrUsedMemCurrent) >= kCount * sizeof(int), "%llu used",
         Attribute(cudaGraphMemAttrUsedMemCurrent));
  CHECK_ERROR(cudaGraphLaunch(exec, stream), cudaErrorInvalidValue);
  CHECK(cudaFreeAsync(data, stream));
  CHECK(cudaGraphLaunch(exec, stream));
  CHECK(cudaStreamSynchronize(stream));
  Expect(data, 30);
  CHECK(cudaFree(data));
  CHECK(cudaGraphLaunch(exec, stream));
  // It outlives its graph.
  CHECK(cudaStreamSynchronize(stream));
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  Expect(data, 30);
  CHECK(cudaFree(data));
  CHECK(cudaGetLastError() == cudaErrorInvalidValue ? cudaSuccess : cudaErrorUnknown);
  CHECK(cudaStreamDestroy(stream));
}

// Freed by another graph, or by the launch that comes next.
static void FreedElsewhere() {
  int* data = nullptr;
  cudaGraph_t graph = AllocAndFill(&data, 60);
  cudaGraph_t other = nullptr;
  CHECK(cudaGraphCreate(&other, 0));
  cudaGraphNode_t free_node, again;
  CHECK(cudaGraphAddMemFreeNode(&free_node, other, nullptr, 0, data));
  CHECK_ERROR(cudaGraphAddMemFreeNode(&again, other, nullptr, 0, data), cudaErrorInvalidValue);
  int local = 0;
  CHECK_ERROR(cudaGraphAddMemFreeNode(&again, other, nullptr, 0, &local), cudaErrorInvalidValue);
  void* read = nullptr;
  CHECK(cudaGraphMemFreeNodeGetParams(free_node, &read));
  EXPECT(read == data, "another address");
  cudaGraphExec_t exec = nullptr, free_exec = nullptr, owner = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CHECK(cudaGraphInstantiate(&free_exec, other, 0));
  for (int round = 0; round < 3; ++round) {
    CHECK(cudaGraphLaunch(exec, nullptr));
    CHECK(cudaDeviceSynchronize());
    Expect(data, 60);
    CHECK(cudaGraphLaunch(free_exec, nullptr));
  }
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphExecDestroy(free_exec));
  CHECK(cudaGraphDestroy(other));
  CHECK(cudaGraphInstantiate(&owner, graph, cudaGraphInstantiateFlagAutoFreeOnLaunch));
  unsigned long long flags = 0;
  CHECK(cudaGraphExecGetFlags(owner, &flags));
  EXPECT(flags == cudaGraphInstantiateFlagAutoFreeOnLaunch, "flags %llu", flags);
  for (int round = 0; round < 3; ++round) CHECK(cudaGraphLaunch(owner, nullptr));
  CHECK(cudaDeviceSynchronize());
  Expect(data, 60);
  CHECK(cudaFree(data));
  CHECK(cudaGraphExecDestroy(owner));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaGetLastError() == cudaErrorInvalidValue ? cudaSuccess : cudaErrorUnknown);
}

int main() {
  Captured();
  Left();
  FreedElsewhere();
  CHECK(cudaDeviceSynchronize());
  return Passed();
}
