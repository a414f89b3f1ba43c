// Graphs in which the program has its turn: host functions between copies and kernels, captured and made by hand,
// copies of what a host function wrote, events that a graph records and waits for.
#include <atomic>
#include <vector>

#include "check.h"

__global__ void Add(int* data, int value) { data[threadIdx.x] += value; }

constexpr int kCount = 64;

struct Step {
  const int* out;
  int* in;
  std::atomic<int> runs{0};
};
// Reads what the device has sent and writes what it is to get.
static void CUDART_CB Turn(void* data) {
  Step& step = *static_cast<Step*>(data);
  for (int i = 0; i < kCount; ++i) step.in[i] = step.out[i] * 2;
  ++step.runs;
}
static void CUDART_CB Count(void* data) { ++*static_cast<std::atomic<int>*>(data); }
static void CUDART_CB Note(void* data) { *static_cast<cudaError_t*>(data) = cudaDeviceSynchronize(); }

// device -> host, a host function, host -> device, a kernel, and back, through pinned memory: the bytes are those that
// the function wrote. (Of pageable memory a graph on a real device may still read what the launch before it left.)
static void RoundTrip(bool launch_twice) {
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  int* data = nullptr;
  CHECK(cudaMalloc(&data, kCount * sizeof(int)));
  int* pinned = nullptr;
  CHECK(cudaMallocHost(&pinned, 4 * kCount * sizeof(int)));
  int *start = pinned, *out = pinned + kCount, *in = pinned + 2 * kCount, *end = pinned + 3 * kCount;
  Step step;
  step.out = out;
  step.in = in;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CHECK(cudaMemcpyAsync(data, start, kCount * sizeof(int), cudaMemcpyHostToDevice, stream));
  Add<<<1, kCount, 0, stream>>>(data, 1);
  CHECK(cudaMemcpyAsync(out, data, kCount * sizeof(int), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaLaunchHostFunc(stream, Turn, &step));
  CHECK(cudaMemcpyAsync(data, in, kCount * sizeof(int), cudaMemcpyHostToDevice, stream));
  Add<<<1, kCount, 0, stream>>>(data, 100);
  CHECK(cudaMemcpyAsync(end, data, kCount * sizeof(int), cudaMemcpyDeviceToHost, stream));
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CHECK(cudaGraphDestroy(graph));
  for (int round = 0; round < 30; ++round) {
    for (int i = 0; i < kCount; ++i) start[i] = round * 1000 + i;
    const int launches = launch_twice ? 2 : 1;
    for (int i = 0; i < launches; ++i) CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaStreamSynchronize(stream));
    for (int i = 0; i < kCount; ++i) {
      const int want = (round * 1000 + i + 1) * 2 + 100;
      EXPECT(end[i] == want, "round %d, [%d] is %d, not %d", round, i, end[i], want);
    }
  }
  EXPECT(step.runs == (launch_twice ? 60 : 30), "%d runs", step.runs.load());
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaFree(data));
  CHECK(cudaFreeHost(pinned));
  CHECK(cudaStreamDestroy(stream));
}

// Copies within the program's own memory, in order with the rest.
static void HostToHost() {
  int* pinned = nullptr;
  CHECK(cudaMallocHost(&pinned, 3 * kCount * sizeof(int)));
  int* data = nullptr;
  CHECK(cudaMalloc(&data, kCount * sizeof(int)));
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t first, second, third;
  CHECK(cudaGraphAddMemcpyNode1D(&first, graph, nullptr, 0, pinned + kCount, pinned, kCount * sizeof(int),
                                 cudaMemcpyHostToHost));
  CHECK(cudaGraphAddMemcpyNode1D(&second, graph, &first, 1, data, pinned + kCount, kCount * sizeof(int),
                                 cudaMemcpyHostToDevice));
  CHECK(cudaGraphAddMemcpyNode1D(&third, graph, &second, 1, pinned + 2 * kCount, data, kCount * sizeof(int),
                                 cudaMemcpyDeviceToHost));
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  for (int round = 1; round < 4; ++round) {
    for (int i = 0; i < kCount; ++i) pinned[i] = i * round;
    CHECK(cudaGraphLaunch(exec, nullptr));
    CHECK(cudaDeviceSynchronize());
    for (int i = 0; i < kCount; ++i)
      EXPECT(pinned[2 * kCount + i] == i * round, "[%d] is %d", i, pinned[2 * kCount + i]);
  }
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaFreeHost(pinned));
}

// Nodes made by hand: many functions, one behind the other and side by side; CUDA is not to be called from them.
static void ByHand() {
  constexpr int kHosts = 40;
  std::atomic<int> count{0};
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaHostNodeParams params{Count, &count};
  cudaGraphNode_t root;
  CHECK(cudaGraphAddHostNode(&root, graph, nullptr, 0, &params));
  std::vector<cudaGraphNode_t> nodes(kHosts);
  for (cudaGraphNode_t& node : nodes) CHECK(cudaGraphAddHostNode(&node, graph, &root, 1, &params));
  cudaError_t noted = cudaSuccess;
  cudaHostNodeParams note{Note, &noted};
  cudaGraphNode_t last;
  CHECK(cudaGraphAddHostNode(&last, graph, nodes.data(), nodes.size(), &note));
  cudaHostNodeParams read{};
  CHECK(cudaGraphHostNodeGetParams(last, &read));
  EXPECT(read.fn == Note && read.userData == &noted, "other parameters than were set");
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  for (int i = 0; i < 5; ++i) CHECK(cudaGraphLaunch(exec, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(count == 5 * (kHosts + 1), "%d calls", count.load());
  EXPECT(noted == cudaErrorNotPermitted, "a host function's CUDA call returned %s", cudaGetErrorName(noted));
  // Another function from the next launch on.
  std::atomic<int> other{0};
  cudaHostNodeParams update{Count, &other};
  CHECK(cudaGraphExecHostNodeSetParams(exec, last, &update));
  CHECK(cudaGraphLaunch(exec, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(other == 1, "the other function ran %d times", other.load());
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaStreamDestroy(stream));
}

// A graph that waits for an event and records another, between two streams.
static void Events() {
  cudaStream_t stream, other;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  cudaEvent_t before, after;
  CHECK(cudaEventCreate(&before));
  CHECK(cudaEventCreate(&after));
  int* data = nullptr;
  CHECK(cudaMalloc(&data, kCount * sizeof(int)));
  std::vector<int> got(kCount);
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CHECK(cudaStreamWaitEvent(stream, before, cudaEventWaitExternal));
  Add<<<1, kCount, 0, stream>>>(data, 1);
  CHECK(cudaEventRecordWithFlags(after, stream, cudaEventRecordExternal));
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph));
  std::size_t count = 3;
  cudaGraphNode_t nodes[3];
  CHECK(cudaGraphGetNodes(graph, nodes, &count));
  const cudaGraphNodeType kinds[3] = {cudaGraphNodeTypeWaitEvent, cudaGraphNodeTypeKernel,
                                      cudaGraphNodeTypeEventRecord};
  for (int i = 0; i < 3; ++i) {
    cudaGraphNodeType kind;
    CHECK(cudaGraphNodeGetType(nodes[i], &kind));
    EXPECT(kind == kinds[i], "node %d is of kind %d", i, kind);
  }
  cudaEvent_t read = nullptr;
  CHECK(cudaGraphEventRecordNodeGetEvent(nodes[2], &read));
  EXPECT(read == after, "another event");
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  for (int round = 0; round < 20; ++round) {
    CHECK(cudaMemsetAsync(data, 0, kCount * sizeof(int), other));
    Add<<<1, kCount, 0, other>>>(data, round * 10);
    CHECK(cudaEventRecord(before, other));
    CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaStreamWaitEvent(other, after, 0));
    CHECK(cudaMemcpyAsync(got.data(), data, kCount * sizeof(int), cudaMemcpyDeviceToHost, other));
    CHECK(cudaStreamSynchronize(other));
    CHECK(cudaEventQuery(after));
    for (int i = 0; i < kCount; ++i) EXPECT(got[i] == round * 10 + 1, "round %d, [%d] is %d", round, i, got[i]);
  }
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaFree(data));
}

int main() {
  RoundTrip(false);
  RoundTrip(true);
  HostToHost();
  ByHand();
  Events();
  CHECK(cudaDeviceSynchronize());
  return Passed();
}
