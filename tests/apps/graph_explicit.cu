// Graphs made node by node: every kind, edges added and taken away, what is asked of them, clones, children, cycles,
// the objects that a graph keeps, and its picture.
#include <atomic>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"

__global__ void Scale(const float* in, float* out, float factor, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) out[i] = in[i] * factor;
}
__global__ void Append(int* log, int* position, int value) { log[atomicAdd(position, 1)] = value; }
__device__ float g_symbol[8];

constexpr int kCount = 1000;

// memset, two kernels side by side, a copy: the shape of a diamond.
static void Diamond() {
  float *in = nullptr, *left = nullptr, *right = nullptr;
  CHECK(cudaMalloc(&in, kCount * sizeof(float)));
  CHECK(cudaMalloc(&left, kCount * sizeof(float)));
  CHECK(cudaMalloc(&right, kCount * sizeof(float)));
  std::vector<float> host(kCount), got(2 * kCount);
  for (int i = 0; i < kCount; ++i) host[i] = static_cast<float>(i);
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t up, scale[2], down[2], end;
  cudaMemcpy3DParms copy{};
  copy.srcPtr = make_cudaPitchedPtr(host.data(), kCount * sizeof(float), kCount, 1);
  copy.dstPtr = make_cudaPitchedPtr(in, kCount * sizeof(float), kCount, 1);
  copy.extent = make_cudaExtent(kCount * sizeof(float), 1, 1);
  copy.kind = cudaMemcpyHostToDevice;
  CHECK(cudaGraphAddMemcpyNode(&up, graph, nullptr, 0, &copy));
  for (int side = 0; side < 2; ++side) {
    float* out = side == 0 ? left : right;
    float factor = side == 0 ? 2.0f : -3.0f;
    int count = kCount;
    void* arguments[] = {&in, &out, &factor, &count};
    cudaKernelNodeParams params{};
    params.func = reinterpret_cast<void*>(Scale);
    params.gridDim = dim3((kCount + 127) / 128);
    params.blockDim = dim3(128);
    params.kernelParams = arguments;
    CHECK(cudaGraphAddKernelNode(&scale[side], graph, &up, 1, &params));
    CHECK(cudaGraphAddMemcpyNode1D(&down[side], graph, &scale[side], 1, got.data() + side * kCount, out,
                                   kCount * sizeof(float), cudaMemcpyDeviceToHost));
    // The arguments were copied when the node was made.
    cudaKernelNodeParams read{};
    CHECK(cudaGraphKernelNodeGetParams(scale[side], &read));
    EXPECT(read.func == params.func && read.gridDim.x == params.gridDim.x && read.blockDim.x == 128 &&
               *static_cast<float**>(read.kernelParams[1]) == out &&
               *static_cast<float*>(read.kernelParams[2]) == factor,
           "other parameters than were set");
  }
  CHECK(cudaGraphAddEmptyNode(&end, graph, down, 2));
  std::size_t edges = 0, roots = 0, nodes = 0, dependents = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &nodes));
  CHECK(cudaGraphGetRootNodes(graph, nullptr, &roots));
  CHECK(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
  CHECK(cudaGraphNodeGetDependentNodes(up, nullptr, nullptr, &dependents));
  EXPECT(nodes == 6 && roots == 1 && edges == 6 && dependents == 2, "%zu nodes, %zu roots, %zu edges, %zu", nodes,
         roots, edges, dependents);
  std::vector<cudaGraphNode_t> from(8), to(8);
  edges = 8;
  CHECK(cudaGraphGetEdges(graph, from.data(), to.data(), nullptr, &edges));
  EXPECT(edges == 6 && from[6] == nullptr && to[7] == nullptr, "%zu edges", edges);
  cudaGraphNode_t root = nullptr;
  roots = 1;
  CHECK(cudaGraphGetRootNodes(graph, &root, &roots));
  EXPECT(root == up, "another root");
  cudaMemcpy3DParms read_copy{};
  CHECK(cudaGraphMemcpyNodeGetParams(up, &read_copy));
  EXPECT(read_copy.dstPtr.ptr == in && read_copy.extent.width == kCount * sizeof(float) &&
             read_copy.kind == cudaMemcpyHostToDevice,
         "other parameters than were set");
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  for (int round = 0; round < 3; ++round) {
    std::fill(got.begin(), got.end(), 0.0f);
    CHECK(cudaGraphLaunch(exec, nullptr));
    CHECK(cudaDeviceSynchronize());
    for (int i = 0; i < kCount; ++i)
      EXPECT(got[i] == 2.0f * i && got[kCount + i] == -3.0f * i, "[%d]: %g and %g", i, got[i], got[kCount + i]);
  }
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaFree(in));
}

static cudaGraphNode_t AddAppend(cudaGraph_t graph, int* log, int* position, int value) {
  void* arguments[] = {&log, &position, &value};
  cudaKernelNodeParams params{};
  params.func = reinterpret_cast<void*>(Append);
  params.gridDim = params.blockDim = dim3(1);
  params.kernelParams = arguments;
  cudaGraphNode_t node = nullptr;
  CHECK(cudaGraphAddKernelNode(&node, graph, nullptr, 0, &params));
  return node;
}

// Edges decide about the order: a chain against the order of making, changed and checked again.
static void Edges() {
  constexpr int kNodes = 6;
  int *log = nullptr, *position = nullptr;
  CHECK(cudaMalloc(&log, 16 * sizeof(int)));
  CHECK(cudaMalloc(&position, sizeof(int)));
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t nodes[kNodes];
  for (int i = 0; i < kNodes; ++i) nodes[i] = AddAppend(graph, log, position, i);
  cudaGraphNode_t from[kNodes - 1], to[kNodes - 1];
  for (int i = 0; i + 1 < kNodes; ++i) {
    from[i] = nodes[i + 1];
    to[i] = nodes[i];
  }
  CHECK(cudaGraphAddDependencies(graph, from, to, nullptr, kNodes - 1));
  // An edge is there once, and none goes to its own node.
  CHECK_ERROR(cudaGraphAddDependencies(graph, from, to, nullptr, 1), cudaErrorInvalidValue);
  CHECK_ERROR(cudaGraphAddDependencies(graph, nodes, nodes, nullptr, 1), cudaErrorInvalidValue);
  const auto run = [&](cudaGraph_t which, const std::vector<int>& want) {
    cudaGraphExec_t exec = nullptr;
    CHECK(cudaGraphInstantiate(&exec, which, 0));
    CHECK(cudaMemset(position, 0, sizeof(int)));
    CHECK(cudaGraphLaunch(exec, nullptr));
    CHECK(cudaDeviceSynchronize());
    std::vector<int> got(want.size());
    CHECK(cudaMemcpy(got.data(), log, want.size() * sizeof(int), cudaMemcpyDeviceToHost));
    for (std::size_t i = 0; i < want.size(); ++i)
      EXPECT(got[i] == want[i], "place %zu: %d, not %d", i, got[i], want[i]);
    CHECK(cudaGraphExecDestroy(exec));
  };
  run(graph, {5, 4, 3, 2, 1, 0});
  // A cycle is found when it is instantiated, with one of its nodes.
  CHECK(cudaGraphAddDependencies(graph, &nodes[0], &nodes[5], nullptr, 1));
  cudaGraphExec_t exec = nullptr;
  cudaGraphInstantiateParams params{};
  CHECK_ERROR(cudaGraphInstantiateWithParams(&exec, graph, &params), cudaErrorInvalidValue);
  EXPECT(params.result_out == cudaGraphInstantiateInvalidStructure && params.errNode_out != nullptr, "result %d",
         params.result_out);
  CHECK(cudaGraphRemoveDependencies(graph, &nodes[0], &nodes[5], nullptr, 1));
  CHECK_ERROR(cudaGraphRemoveDependencies(graph, &nodes[0], &nodes[5], nullptr, 1), cudaErrorInvalidValue);
  // Node 3 goes, and takes its edges along; then the two halves are joined the other way round.
  cudaGraph_t clone = nullptr;
  CHECK(cudaGraphClone(&clone, graph));
  CHECK(cudaGraphDestroyNode(nodes[3]));
  CHECK(cudaGraphAddDependencies(graph, &nodes[0], &nodes[5], nullptr, 1));
  run(graph, {2, 1, 0, 5, 4});
  // The clone has not changed, and knows whose copies its nodes are.
  run(clone, {5, 4, 3, 2, 1, 0});
  cudaGraphNode_t copy = nullptr;
  CHECK(cudaGraphNodeFindInClone(&copy, nodes[0], clone));
  EXPECT(copy != nodes[0], "a clone with the same node");
  std::size_t count = 0;
  CHECK(cudaGraphNodeGetDependencies(copy, nullptr, nullptr, &count));
  EXPECT(count == 1, "%zu dependencies", count);
  CHECK(cudaGraphDestroyNode(copy));
  CHECK_ERROR(cudaGraphNodeFindInClone(&copy, nodes[0], clone), cudaErrorInvalidValue);
  CHECK(cudaGraphDestroy(clone));
  CHECK(cudaGraphDestroy(graph));
}

// Children are copies; what was taken for one may go. The general form of adding a node.
static void Children() {
  int *log = nullptr, *position = nullptr;
  CHECK(cudaMalloc(&log, 16 * sizeof(int)));
  CHECK(cudaMalloc(&position, sizeof(int)));
  cudaGraph_t inner = nullptr, graph = nullptr;
  CHECK(cudaGraphCreate(&inner, 0));
  CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t one = AddAppend(inner, log, position, 1);
  cudaGraphNode_t two = AddAppend(inner, log, position, 2);
  CHECK(cudaGraphAddDependencies(inner, &one, &two, nullptr, 1));
  cudaGraphNodeParams fill{};
  fill.type = cudaGraphNodeTypeMemset;
  fill.memset.dst = position;
  fill.memset.elementSize = 4;
  fill.memset.width = 1;
  fill.memset.height = 1;
  cudaGraphNode_t zero, first, second;
  CHECK(cudaGraphAddNode(&zero, graph, nullptr, nullptr, 0, &fill));
  CHECK(cudaGraphAddChildGraphNode(&first, graph, &zero, 1, inner));
  cudaGraphNodeParams child{};
  child.type = cudaGraphNodeTypeGraph;
  child.graph.graph = inner;
  CHECK(cudaGraphAddNode(&second, graph, &first, nullptr, 1, &child));
  CHECK(cudaGraphDestroy(inner));
  cudaGraph_t seen = nullptr;
  CHECK(cudaGraphChildGraphNodeGetGraph(second, &seen));
  std::size_t count = 0;
  CHECK(cudaGraphGetNodes(seen, nullptr, &count));
  EXPECT(count == 2 && seen != inner, "%zu nodes", count);
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CHECK(cudaGraphLaunch(exec, nullptr));
  int got[4] = {};
  CHECK(cudaMemcpy(got, log, sizeof(got), cudaMemcpyDeviceToHost));
  EXPECT(got[0] == 1 && got[1] == 2 && got[2] == 1 && got[3] == 2, "%d %d %d %d", got[0], got[1], got[2], got[3]);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

static void Symbols() {
  float in[8], out[8] = {};
  for (int i = 0; i < 8; ++i) in[i] = 1.5f * i;
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t up, down;
  CHECK(cudaGraphAddMemcpyNodeToSymbol(&up, graph, nullptr, 0, g_symbol, in, 4 * sizeof(float), 4 * sizeof(float),
                                       cudaMemcpyHostToDevice));
  CHECK(cudaGraphAddMemcpyNodeFromSymbol(&down, graph, &up, 1, out, g_symbol, 4 * sizeof(float), 4 * sizeof(float),
                                         cudaMemcpyDeviceToHost));
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CHECK(cudaGraphLaunch(exec, nullptr));
  CHECK(cudaDeviceSynchronize());
  for (int i = 0; i < 4; ++i) EXPECT(out[i] == in[i], "[%d] is %g", i, out[i]);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

static void CUDART_CB Gone(void* data) { ++*static_cast<std::atomic<int>*>(data); }
static void Wait(const std::atomic<int>& word, int want) {
  for (long spin = 0; word.load() != want; ++spin) EXPECT(spin < 2000000000L, "still %d, not %d", word.load(), want);
}

// An object lives as long as a graph or an executable refers to it.
static void Objects() {
  std::atomic<int> gone{0};
  cudaUserObject_t object = nullptr;
  CHECK_ERROR(cudaUserObjectCreate(&object, &gone, Gone, 1, 0), cudaErrorInvalidValue);
  CHECK(cudaUserObjectCreate(&object, &gone, Gone, 1, cudaUserObjectNoDestructorSync));
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t node;
  CHECK(cudaGraphAddEmptyNode(&node, graph, nullptr, 0));
  CHECK(cudaGraphRetainUserObject(graph, object, 1, cudaGraphUserObjectMove));
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaGraphLaunch(exec, nullptr));
  CHECK(cudaDeviceSynchronize());
  EXPECT(gone == 0, "gone while an executable refers to it");
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaDeviceSynchronize());
  Wait(gone, 1);
  CHECK(cudaUserObjectCreate(&object, &gone, Gone, 2, cudaUserObjectNoDestructorSync));
  CHECK(cudaUserObjectRetain(object, 1));
  CHECK(cudaUserObjectRelease(object, 2));
  EXPECT(gone == 1, "gone too early");
  CHECK(cudaUserObjectRelease(object, 1));
  Wait(gone, 2);
}

static void Picture(const char* path) {
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t a, b;
  CHECK(cudaGraphAddEmptyNode(&a, graph, nullptr, 0));
  CHECK(cudaGraphAddEmptyNode(&b, graph, &a, 1));
  CHECK(cudaGraphDebugDotPrint(graph, path, cudaGraphDebugDotFlagsVerbose));
  CHECK(cudaGraphDestroy(graph));
  std::FILE* file = std::fopen(path, "r");
  EXPECT(file != nullptr, "no file");
  char text[16384] = {};
  const std::size_t bytes = std::fread(text, 1, sizeof(text) - 1, file);
  std::fclose(file);
  std::remove(path);
  EXPECT(bytes > 20 && std::strstr(text, "digraph") != nullptr && std::strstr(text, "->") != nullptr, "it says: %s",
         text);
}

static void Faults() {
  cudaGraph_t graph = nullptr, other = nullptr;
  CHECK_ERROR(cudaGraphCreate(nullptr, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaGraphCreate(&graph, 1), cudaErrorInvalidValue);
  CHECK(cudaGraphCreate(&graph, 0));
  CHECK(cudaGraphCreate(&other, 0));
  cudaGraphNode_t a, b;
  CHECK(cudaGraphAddEmptyNode(&a, graph, nullptr, 0));
  // A dependency of another graph, and one named twice.
  CHECK_ERROR(cudaGraphAddEmptyNode(&b, other, &a, 1), cudaErrorInvalidValue);
  const cudaGraphNode_t twice[2] = {a, a};
  CHECK_ERROR(cudaGraphAddEmptyNode(&b, graph, twice, 2), cudaErrorInvalidValue);
  cudaKernelNodeParams params{};
  int stack = 0;
  params.func = &stack;
  params.gridDim = params.blockDim = dim3(1);
  CHECK_ERROR(cudaGraphAddKernelNode(&b, graph, nullptr, 0, &params), cudaErrorInvalidResourceHandle);
  cudaHostNodeParams host{};
  CHECK_ERROR(cudaGraphAddHostNode(&b, graph, nullptr, 0, &host), cudaErrorInvalidValue);
  cudaGraphExec_t exec = nullptr;
  CHECK_ERROR(cudaGraphInstantiate(&exec, graph, 1u << 20), cudaErrorInvalidValue);
  CHECK_ERROR(cudaGraphLaunch(nullptr, nullptr), cudaErrorInvalidValue);
  // An empty graph can be launched.
  CHECK(cudaGraphInstantiate(&exec, other, 0));
  CHECK(cudaGraphLaunch(exec, nullptr));
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaGraphDestroy(other));
}

int main(int, char** arguments) {
  Diamond();
  Edges();
  Children();
  Symbols();
  Objects();
  Picture((std::string(arguments[0]) + ".dot").c_str());
  Faults();
  CHECK(cudaDeviceSynchronize());
  return Passed();
}
