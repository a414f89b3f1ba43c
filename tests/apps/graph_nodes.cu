// Nodes that are changed after they were made, in a graph and in its executable: by the call of their kind and by the
// one for all kinds; what is read back; and attributes of kernels.
#include <vector>

#include "check.h"

__global__ void Add(int* data, int value) { data[threadIdx.x] += value; }
__device__ int g_symbol[8];

constexpr int kCount = 8;
constexpr std::size_t kBytes = kCount * sizeof(int);

static int* g_data;
static int* g_more;
static cudaStream_t g_stream;

static cudaGraphExec_t Instantiate(cudaGraph_t graph) {
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  return exec;
}
static void Launch(cudaGraphExec_t exec) {
  CHECK(cudaGraphLaunch(exec, g_stream));
  CHECK(cudaStreamSynchronize(g_stream));
}
// A graph's nodes as they are now, launched once.
static void Run(cudaGraph_t graph) {
  cudaGraphExec_t exec = Instantiate(graph);
  Launch(exec);
  CHECK(cudaGraphExecDestroy(exec));
}
static void Expect(const int* device, int first, int step) {
  int got[kCount];
  CHECK(cudaMemcpy(got, device, kBytes, cudaMemcpyDeviceToHost));
  for (int i = 0; i < kCount; ++i)
    EXPECT(got[i] == first + i * step, "[%d] is %d, not %d", i, got[i], first + i * step);
}
static cudaMemsetParams Fill(int* to, unsigned value) {
  cudaMemsetParams params{};
  params.dst = to;
  params.value = value;
  params.elementSize = 4;
  params.width = kCount;
  params.height = 1;
  return params;
}
static cudaMemcpy3DParms Linear(void* to, void* from, cudaMemcpyKind kind) {
  cudaMemcpy3DParms params{};
  params.dstPtr = make_cudaPitchedPtr(to, kBytes, kBytes, 1);
  params.srcPtr = make_cudaPitchedPtr(from, kBytes, kBytes, 1);
  params.extent = make_cudaExtent(kBytes, 1, 1);
  params.kind = kind;
  return params;
}

static void Fills() {
  cudaGraph_t graph = nullptr;
  cudaGraphNode_t node;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaMemsetParams params = Fill(g_data, 5);
  CHECK(cudaGraphAddMemsetNode(&node, graph, nullptr, 0, &params));
  cudaMemsetParams read{};
  CHECK(cudaGraphMemsetNodeGetParams(node, &read));
  EXPECT(read.dst == g_data && read.value == 5 && read.elementSize == 4 && read.width == kCount && read.height == 1,
         "%p, value %u, %zu elements of %u", read.dst, read.value, read.width, read.elementSize);
  cudaGraphExec_t exec = Instantiate(graph);
  params.value = 6;
  CHECK(cudaGraphMemsetNodeSetParams(node, &params));
  Launch(exec);
  Expect(g_data, 5, 0);
  Run(graph);
  Expect(g_data, 6, 0);
  cudaGraphNodeParams general{};
  general.type = cudaGraphNodeTypeMemset;
  general.memset.dst = g_data;
  general.memset.value = 7;
  general.memset.elementSize = 4;
  general.memset.width = kCount;
  general.memset.height = 1;
  CHECK(cudaGraphNodeSetParams(node, &general));
  Run(graph);
  Expect(g_data, 7, 0);
  general.memset.value = 8;
  CHECK(cudaGraphExecNodeSetParams(exec, node, &general));
  Launch(exec);
  Expect(g_data, 8, 0);
  general.memset.value = 0x5678;
  general.memset.elementSize = 2;
  general.memset.width = 2 * kCount;
  CHECK(cudaGraphNodeSetParams(node, &general));
  Run(graph);
  Expect(g_data, 0x56785678, 0);
  general.type = cudaGraphNodeTypeEmpty;
  CHECK_ERROR(cudaGraphNodeSetParams(node, &general), cudaErrorInvalidValue);
  params.elementSize = 3;
  CHECK_ERROR(cudaGraphMemsetNodeSetParams(node, &params), cudaErrorInvalidValue);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

static void Copies() {
  int in[kCount], other[kCount], out[kCount] = {};
  for (int i = 0; i < kCount; ++i) {
    in[i] = 100 + i;
    other[i] = 200 + 2 * i;
  }
  cudaGraph_t graph = nullptr;
  cudaGraphNode_t node;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaMemcpy3DParms params = Linear(g_data, in, cudaMemcpyHostToDevice);
  CHECK(cudaGraphAddMemcpyNode(&node, graph, nullptr, 0, &params));
  cudaGraphExec_t exec = Instantiate(graph);
  params = Linear(g_data, other, cudaMemcpyHostToDevice);
  CHECK(cudaGraphMemcpyNodeSetParams(node, &params));
  Run(graph);
  Expect(g_data, 200, 2);
  Launch(exec);
  Expect(g_data, 100, 1);
  CHECK(cudaGraphMemcpyNodeSetParams1D(node, g_more, other, kBytes, cudaMemcpyHostToDevice));
  cudaMemcpy3DParms read{};
  CHECK(cudaGraphMemcpyNodeGetParams(node, &read));
  EXPECT(read.dstPtr.ptr == g_more && read.srcPtr.ptr == other && read.extent.width == kBytes, "%p from %p",
         read.dstPtr.ptr, read.srcPtr.ptr);
  Run(graph);
  Expect(g_more, 200, 2);
  CHECK(cudaGraphExecMemcpyNodeSetParams(exec, node, &params));
  Launch(exec);
  Expect(g_data, 200, 2);
  CHECK(cudaGraphExecDestroy(exec));
  // Variables of a module.
  CHECK(cudaGraphMemcpyNodeSetParamsToSymbol(node, g_symbol, in, kBytes, 0, cudaMemcpyHostToDevice));
  Run(graph);
  CHECK(cudaMemcpyFromSymbol(out, g_symbol, kBytes));
  for (int i = 0; i < kCount; ++i) EXPECT(out[i] == in[i], "[%d] is %d", i, out[i]);
  exec = Instantiate(graph);
  CHECK(cudaGraphExecMemcpyNodeSetParamsToSymbol(exec, node, g_symbol, other, kBytes, 0, cudaMemcpyHostToDevice));
  Launch(exec);
  CHECK(cudaMemcpyFromSymbol(out, g_symbol, kBytes));
  for (int i = 0; i < kCount; ++i) EXPECT(out[i] == other[i], "[%d] is %d", i, out[i]);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK_ERROR(cudaGraphMemcpyNodeSetParamsToSymbol(node, g_symbol, in, kBytes, 4, cudaMemcpyHostToDevice),
              cudaErrorInvalidValue);
  CHECK(cudaGraphMemcpyNodeSetParamsFromSymbol(node, out, g_symbol, kBytes / 2, 0, cudaMemcpyDeviceToHost));
  for (int& word : out) word = 0;
  Run(graph);
  EXPECT(out[0] == other[0] && out[kCount / 2] == 0, "%d and %d", out[0], out[kCount / 2]);
  exec = Instantiate(graph);
  CHECK(cudaGraphExecMemcpyNodeSetParamsFromSymbol(exec, node, out, g_symbol, kBytes / 2, kBytes / 2,
                                                   cudaMemcpyDeviceToHost));
  Launch(exec);
  EXPECT(out[0] == other[kCount / 2], "%d", out[0]);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

static void Kernels() {
  cudaGraph_t graph = nullptr;
  cudaGraphNode_t zero, node, other;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaMemsetParams fill = Fill(g_data, 0);
  CHECK(cudaGraphAddMemsetNode(&zero, graph, nullptr, 0, &fill));
  int value = 1;
  void* arguments[] = {&g_data, &value};
  cudaKernelNodeParams params{};
  params.func = reinterpret_cast<void*>(Add);
  params.gridDim = dim3(1);
  params.blockDim = dim3(kCount);
  params.kernelParams = arguments;
  CHECK(cudaGraphAddKernelNode(&node, graph, &zero, 1, &params));
  CHECK(cudaGraphAddKernelNode(&other, graph, &node, 1, &params));
  cudaGraphNodeParams general{};
  general.type = cudaGraphNodeTypeKernel;
  general.kernel.func = params.func;
  general.kernel.gridDim = params.gridDim;
  general.kernel.blockDim = params.blockDim;
  general.kernel.kernelParams = arguments;
  value = 10;
  CHECK(cudaGraphNodeSetParams(node, &general));
  cudaGraphExec_t exec = Instantiate(graph);
  Launch(exec);
  Expect(g_data, 11, 0);
  value = 20;
  CHECK(cudaGraphExecNodeSetParams(exec, node, &general));
  Launch(exec);
  Expect(g_data, 21, 0);
  // Attributes stay with a node.
  cudaKernelNodeAttrValue attribute{};
  CHECK(cudaGraphKernelNodeGetAttribute(node, cudaLaunchAttributeCooperative, &attribute));
  EXPECT(attribute.cooperative == 0, "cooperative is %d", attribute.cooperative);
  attribute.cooperative = 1;
  CHECK(cudaGraphKernelNodeSetAttribute(node, cudaLaunchAttributeCooperative, &attribute));
  CHECK(cudaGraphKernelNodeSetParams(node, &params));
  CHECK(cudaGraphKernelNodeCopyAttributes(other, node));
  attribute = {};
  CHECK(cudaGraphKernelNodeGetAttribute(other, cudaLaunchAttributeCooperative, &attribute));
  EXPECT(attribute.cooperative == 1, "cooperative is %d", attribute.cooperative);
  Run(graph);
  Expect(g_data, 21, 0);
  // What an executable cannot become.
  cudaGraphExecUpdateResultInfo info{};
  CHECK_ERROR(cudaGraphExecUpdate(exec, graph, &info), cudaErrorGraphExecUpdateFailure);
  EXPECT(info.result != cudaGraphExecUpdateSuccess && info.errorNode != nullptr, "result %d", info.result);
  // More threads than a block has.
  params.blockDim = dim3(4096);
  EXPECT(cudaGraphKernelNodeSetParams(node, &params) != cudaSuccess, "a block of 4096 threads");
  cudaGetLastError();
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

static void CUDART_CB Increment(void* data) { ++*static_cast<int*>(data); }

static void HostAndEvents() {
  cudaEvent_t first, second;
  CHECK(cudaEventCreate(&first));
  CHECK(cudaEventCreate(&second));
  CHECK(cudaEventRecord(first, g_stream));
  CHECK(cudaEventRecord(second, g_stream));
  CHECK(cudaStreamSynchronize(g_stream));
  cudaGraph_t graph = nullptr;
  cudaGraphNode_t wait, host, record;
  CHECK(cudaGraphCreate(&graph, 0));
  int one = 0, two = 0, three = 0;
  cudaHostNodeParams params{Increment, &one};
  CHECK(cudaGraphAddEventWaitNode(&wait, graph, nullptr, 0, first));
  CHECK(cudaGraphAddHostNode(&host, graph, &wait, 1, &params));
  CHECK(cudaGraphAddEventRecordNode(&record, graph, &host, 1, first));
  cudaGraphExec_t exec = Instantiate(graph);
  params.userData = &two;
  CHECK(cudaGraphHostNodeSetParams(host, &params));
  Run(graph);
  EXPECT(one == 0 && two == 1, "%d and %d", one, two);
  CHECK(cudaGraphEventWaitNodeSetEvent(wait, second));
  CHECK(cudaGraphEventRecordNodeSetEvent(record, second));
  cudaEvent_t read = nullptr;
  CHECK(cudaGraphEventWaitNodeGetEvent(wait, &read));
  EXPECT(read == second, "another event to wait for");
  CHECK(cudaGraphEventRecordNodeGetEvent(record, &read));
  EXPECT(read == second, "another event to record");
  Run(graph);
  float milliseconds = -1.0f;
  CHECK(cudaEventElapsedTime(&milliseconds, first, second));
  EXPECT(milliseconds >= 0.0f, "%g ms", milliseconds);
  cudaGraphNodeParams general{};
  general.type = cudaGraphNodeTypeHost;
  general.host.fn = Increment;
  general.host.userData = &three;
  CHECK(cudaGraphExecNodeSetParams(exec, host, &general));
  CHECK(cudaGraphExecEventWaitNodeSetEvent(exec, wait, second));
  CHECK(cudaGraphExecEventRecordNodeSetEvent(exec, record, second));
  Launch(exec);
  EXPECT(one == 0 && three == 1, "%d and %d", one, three);
  CHECK(cudaEventElapsedTime(&milliseconds, first, second));
  CHECK_ERROR(cudaGraphAddEventRecordNode(&record, graph, nullptr, 0, nullptr), cudaErrorInvalidValue);
  CHECK_ERROR(cudaGraphExecEventRecordNodeSetEvent(exec, host, second), cudaErrorInvalidValue);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaEventDestroy(first));
  CHECK(cudaEventDestroy(second));
}

static void Objects() {
  int gone = 0;
  cudaUserObject_t object = nullptr;
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  CHECK(cudaUserObjectCreate(&object, &gone, Increment, 1, cudaUserObjectNoDestructorSync));
  CHECK(cudaGraphRetainUserObject(graph, object, 2, 0));
  CHECK(cudaGraphReleaseUserObject(graph, object, 1));
  CHECK(cudaUserObjectRelease(object, 1));
  EXPECT(gone == 0, "gone while the graph refers to it");
  CHECK(cudaGraphDestroy(graph));
  for (long spin = 0; *static_cast<volatile int*>(&gone) == 0; ++spin) EXPECT(spin < 2000000000L, "it stays");
}

int main() {
  CHECK(cudaStreamCreate(&g_stream));
  CHECK(cudaMalloc(&g_data, kBytes));
  CHECK(cudaMalloc(&g_more, kBytes));
  Fills();
  Copies();
  Kernels();
  HostAndEvents();
  Objects();
  CHECK(cudaDeviceSynchronize());
  return Passed();
}
