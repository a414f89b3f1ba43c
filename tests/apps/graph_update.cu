// Executable graphs that change: single nodes, whole graphs, nodes left out, and the updates that CUDA refuses with the
// reason and the node that it names.
#include <vector>

#include "check.h"

__global__ void Set(int* data, int value) { data[threadIdx.x] = value; }
__global__ void Add(int* data, int value) { data[threadIdx.x] += value; }

constexpr int kCount = 32;

static int* g_data;
static cudaStream_t g_stream;

static void Expect(int want) {
  std::vector<int> got(kCount);
  CHECK(cudaMemcpyAsync(got.data(), g_data, kCount * sizeof(int), cudaMemcpyDeviceToHost, g_stream));
  CHECK(cudaStreamSynchronize(g_stream));
  for (int i = 0; i < kCount; ++i) EXPECT(got[i] == want, "[%d] is %d, not %d", i, got[i], want);
}
static void LaunchAndExpect(cudaGraphExec_t exec, int want) {
  CHECK(cudaGraphLaunch(exec, g_stream));
  Expect(want);
}

static cudaKernelNodeParams Kernel(void* function, int** data, int* value) {
  static void* arguments[16][2];
  static int next = 0;
  void** mine = arguments[next++ % 16];
  mine[0] = data;
  mine[1] = value;
  cudaKernelNodeParams params{};
  params.func = function;
  params.gridDim = dim3(1);
  params.blockDim = dim3(kCount);
  params.kernelParams = mine;
  return params;
}

static void Nodes() {
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  int one = 1, two = 2, ten = 10;
  cudaGraphNode_t set, add, fill;
  cudaMemsetParams zero{};
  zero.dst = g_data;
  zero.elementSize = 4;
  zero.width = kCount;
  zero.height = 1;
  CHECK(cudaGraphAddMemsetNode(&fill, graph, nullptr, 0, &zero));
  cudaKernelNodeParams set_params = Kernel(reinterpret_cast<void*>(Set), &g_data, &one);
  CHECK(cudaGraphAddKernelNode(&set, graph, &fill, 1, &set_params));
  cudaKernelNodeParams add_params = Kernel(reinterpret_cast<void*>(Add), &g_data, &two);
  CHECK(cudaGraphAddKernelNode(&add, graph, &set, 1, &add_params));
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  LaunchAndExpect(exec, 3);
  // Arguments, then the function.
  add_params = Kernel(reinterpret_cast<void*>(Add), &g_data, &ten);
  CHECK(cudaGraphExecKernelNodeSetParams(exec, add, &add_params));
  LaunchAndExpect(exec, 11);
  add_params = Kernel(reinterpret_cast<void*>(Set), &g_data, &ten);
  CHECK(cudaGraphExecKernelNodeSetParams(exec, add, &add_params));
  LaunchAndExpect(exec, 10);
  // The graph it was made from is as it was.
  cudaGraphExec_t second = nullptr;
  CHECK(cudaGraphInstantiate(&second, graph, 0));
  LaunchAndExpect(second, 3);
  CHECK(cudaGraphExecDestroy(second));
  // Many changes between launches.
  for (int i = 0; i < 50; ++i) {
    int value = i;
    add_params = Kernel(reinterpret_cast<void*>(Add), &g_data, &value);
    CHECK(cudaGraphExecKernelNodeSetParams(exec, add, &add_params));
    zero.value = 7u * i;
    CHECK(cudaGraphExecMemsetNodeSetParams(exec, fill, &zero));
    LaunchAndExpect(exec, 1 + i);
  }
  // Without the first kernel, and with it again.
  unsigned enabled = 9;
  CHECK(cudaGraphNodeGetEnabled(exec, set, &enabled));
  EXPECT(enabled == 1, "enabled is %u", enabled);
  CHECK(cudaGraphNodeSetEnabled(exec, set, 0));
  CHECK(cudaGraphNodeGetEnabled(exec, set, &enabled));
  EXPECT(enabled == 0, "enabled is %u", enabled);
  LaunchAndExpect(exec, 7 * 49 + 49);
  CHECK(cudaGraphNodeSetEnabled(exec, set, 1));
  LaunchAndExpect(exec, 50);
  // Nodes that it does not have, or of another kind.
  set_params = Kernel(reinterpret_cast<void*>(Set), &g_data, &one);
  cudaGraphNode_t later;
  CHECK(cudaGraphAddKernelNode(&later, graph, &add, 1, &set_params));
  CHECK_ERROR(cudaGraphExecKernelNodeSetParams(exec, later, &set_params), cudaErrorInvalidValue);
  CHECK_ERROR(cudaGraphExecMemsetNodeSetParams(exec, add, &zero), cudaErrorInvalidValue);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

static void Copies() {
  std::vector<int> in(2 * kCount), out(2 * kCount);
  for (int i = 0; i < 2 * kCount; ++i) in[i] = i;
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t up, down;
  CHECK(cudaGraphAddMemcpyNode1D(&up, graph, nullptr, 0, g_data, in.data(), kCount * sizeof(int),
                                 cudaMemcpyHostToDevice));
  CHECK(
      cudaGraphAddMemcpyNode1D(&down, graph, &up, 1, out.data(), g_data, kCount * sizeof(int), cudaMemcpyDeviceToHost));
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CHECK(cudaGraphLaunch(exec, g_stream));
  CHECK(cudaStreamSynchronize(g_stream));
  for (int i = 0; i < kCount; ++i) EXPECT(out[i] == i, "[%d] is %d", i, out[i]);
  CHECK(cudaGraphExecMemcpyNodeSetParams1D(exec, up, g_data, in.data() + kCount, kCount * sizeof(int),
                                           cudaMemcpyHostToDevice));
  CHECK(cudaGraphExecMemcpyNodeSetParams1D(exec, down, out.data() + kCount, g_data, kCount * sizeof(int) / 2,
                                           cudaMemcpyDeviceToHost));
  CHECK(cudaGraphLaunch(exec, g_stream));
  CHECK(cudaStreamSynchronize(g_stream));
  for (int i = 0; i < kCount; ++i) {
    const int want = i < kCount / 2 ? kCount + i : 0;
    EXPECT(out[kCount + i] == want, "[%d] is %d, not %d", kCount + i, out[kCount + i], want);
  }
  // The kinds of memory stay what they were.
  CHECK_ERROR(
      cudaGraphExecMemcpyNodeSetParams1D(exec, up, out.data(), g_data, kCount * sizeof(int), cudaMemcpyDeviceToHost),
      cudaErrorInvalidValue);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

// What a loop does that captures anew each time: instantiate once, then update.
static void Whole() {
  cudaGraphExec_t exec = nullptr;
  for (int round = 0; round < 20; ++round) {
    CHECK(cudaStreamBeginCapture(g_stream, cudaStreamCaptureModeThreadLocal));
    Set<<<1, kCount, 0, g_stream>>>(g_data, round);
    for (int i = 0; i < 5; ++i) Add<<<1, kCount, 0, g_stream>>>(g_data, round * i);
    cudaGraph_t graph = nullptr;
    CHECK(cudaStreamEndCapture(g_stream, &graph));
    cudaGraphExecUpdateResultInfo info{};
    if (exec == nullptr) {
      CHECK(cudaGraphInstantiate(&exec, graph, 0));
    } else {
      CHECK(cudaGraphExecUpdate(exec, graph, &info));
      EXPECT(info.result == cudaGraphExecUpdateSuccess, "result %d", info.result);
    }
    CHECK(cudaGraphDestroy(graph));
    LaunchAndExpect(exec, round * 11);
  }
  CHECK(cudaGraphExecDestroy(exec));
}

// a -> b, and what does not fit it.
static void Refused() {
  int one = 1;
  cudaKernelNodeParams params = Kernel(reinterpret_cast<void*>(Set), &g_data, &one);
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t a, b;
  CHECK(cudaGraphAddKernelNode(&a, graph, nullptr, 0, &params));
  CHECK(cudaGraphAddKernelNode(&b, graph, &a, 1, &params));
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  cudaGraphExecUpdateResultInfo info{};
  // One node more.
  cudaGraph_t other = nullptr;
  CHECK(cudaGraphClone(&other, graph));
  cudaGraphNode_t extra;
  CHECK(cudaGraphAddEmptyNode(&extra, other, nullptr, 0));
  CHECK_ERROR(cudaGraphExecUpdate(exec, other, &info), cudaErrorGraphExecUpdateFailure);
  EXPECT(info.result == cudaGraphExecUpdateErrorTopologyChanged && info.errorNode == nullptr, "result %d", info.result);
  CHECK(cudaGraphDestroy(other));
  // The same nodes without the edge.
  CHECK(cudaGraphCreate(&other, 0));
  cudaGraphNode_t c, d;
  CHECK(cudaGraphAddKernelNode(&c, other, nullptr, 0, &params));
  CHECK(cudaGraphAddKernelNode(&d, other, nullptr, 0, &params));
  CHECK_ERROR(cudaGraphExecUpdate(exec, other, &info), cudaErrorGraphExecUpdateFailure);
  EXPECT(info.result == cudaGraphExecUpdateErrorTopologyChanged, "result %d", info.result);
  CHECK(cudaGraphDestroy(other));
  // Another kind of node.
  CHECK(cudaGraphCreate(&other, 0));
  CHECK(cudaGraphAddKernelNode(&c, other, nullptr, 0, &params));
  cudaMemsetParams zero{};
  zero.dst = g_data;
  zero.elementSize = 4;
  zero.width = kCount;
  zero.height = 1;
  CHECK(cudaGraphAddMemsetNode(&d, other, &c, 1, &zero));
  CHECK_ERROR(cudaGraphExecUpdate(exec, other, &info), cudaErrorGraphExecUpdateFailure);
  EXPECT(info.result == cudaGraphExecUpdateErrorNodeTypeChanged && info.errorNode == d, "result %d", info.result);
  CHECK(cudaGraphDestroy(other));
  // None of it has changed anything.
  LaunchAndExpect(exec, 1);
  CHECK(cudaGetLastError() == cudaErrorGraphExecUpdateFailure ? cudaSuccess : cudaErrorUnknown);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

// Nodes inside of a child graph.
static void Children() {
  int one = 1, five = 5;
  cudaGraph_t child = nullptr, graph = nullptr;
  CHECK(cudaGraphCreate(&child, 0));
  CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t set, node, add;
  cudaKernelNodeParams params = Kernel(reinterpret_cast<void*>(Set), &g_data, &one);
  CHECK(cudaGraphAddKernelNode(&set, child, nullptr, 0, &params));
  CHECK(cudaGraphAddChildGraphNode(&node, graph, nullptr, 0, child));
  cudaKernelNodeParams add_params = Kernel(reinterpret_cast<void*>(Add), &g_data, &one);
  CHECK(cudaGraphAddKernelNode(&add, graph, &node, 1, &add_params));
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  LaunchAndExpect(exec, 2);
  cudaKernelNodeParams changed = Kernel(reinterpret_cast<void*>(Set), &g_data, &five);
  CHECK(cudaGraphKernelNodeSetParams(set, &changed));
  LaunchAndExpect(exec, 2);
  CHECK(cudaGraphExecChildGraphNodeSetParams(exec, node, child));
  LaunchAndExpect(exec, 6);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaGraphDestroy(child));
}

int main() {
  CHECK(cudaStreamCreate(&g_stream));
  CHECK(cudaMalloc(&g_data, kCount * sizeof(int)));
  Nodes();
  Copies();
  Whole();
  Refused();
  Children();
  CHECK(cudaDeviceSynchronize());
  return Passed();
}
