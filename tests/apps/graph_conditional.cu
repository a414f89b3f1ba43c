// Graphs that decide as they run: conditional nodes of each type, nested, captured into, updated, refused. What sets
// the conditions is PTX that the program brings along: in C++ it needs relocatable device code.
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "condition_kernels.h"

__global__ void Add(int* word, int value) { *word += value; }

static void* g_set_to;
static void* g_count_to;
static int* g_words;  // 16 of the device's
static cudaStream_t g_stream;

static std::vector<int> Words() {
  std::vector<int> words(16);
  CHECK(cudaMemcpy(words.data(), g_words, 16 * sizeof(int), cudaMemcpyDeviceToHost));
  return words;
}
// Complete when they return: what is launched next is on a stream that waits for no other.
static void Clear() {
  CHECK(cudaMemset(g_words, 0, 16 * sizeof(int)));
  CHECK(cudaDeviceSynchronize());
}
static void Put(int at, int value) {
  CHECK(cudaMemcpy(g_words + at, &value, sizeof(value), cudaMemcpyHostToDevice));
  CHECK(cudaDeviceSynchronize());
}

static cudaGraph_t NewGraph() {
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  return graph;
}
static cudaGraphConditionalHandle NewHandle(cudaGraph_t graph, unsigned value, unsigned flags) {
  cudaGraphConditionalHandle handle = 0;
  CHECK(cudaGraphConditionalHandleCreate(&handle, graph, value, flags));
  return handle;
}
static cudaGraphExec_t Instantiate(cudaGraph_t graph) {
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  return exec;
}
static void Launch(cudaGraphExec_t exec) {
  CHECK(cudaGraphLaunch(exec, g_stream));
  CHECK(cudaStreamSynchronize(g_stream));
}

static cudaGraphNode_t AddKernel(cudaGraph_t graph, std::vector<cudaGraphNode_t> after, void* function,
                                 std::vector<void*> arguments) {
  cudaKernelNodeParams params{};
  params.func = function;
  params.gridDim = params.blockDim = dim3(1);
  params.kernelParams = arguments.data();
  cudaGraphNode_t node = nullptr;
  CHECK(cudaGraphAddKernelNode(&node, graph, after.data(), after.size(), &params));
  return node;
}
// words[at] += value
static cudaGraphNode_t AddAdd(cudaGraph_t graph, std::vector<cudaGraphNode_t> after, int at, int value) {
  int* word = g_words + at;
  return AddKernel(graph, std::move(after), reinterpret_cast<void*>(Add), {&word, &value});
}
// condition = words[at]
static cudaGraphNode_t AddSet(cudaGraph_t graph, std::vector<cudaGraphNode_t> after, cudaGraphConditionalHandle handle,
                              int at) {
  int* word = g_words + at;
  return AddKernel(graph, std::move(after), g_set_to, {&handle, &word});
}
// condition = ++words[at] < limit
static cudaGraphNode_t AddCount(cudaGraph_t graph, std::vector<cudaGraphNode_t> after,
                                cudaGraphConditionalHandle handle, int at, unsigned limit) {
  int* word = g_words + at;
  return AddKernel(graph, std::move(after), g_count_to, {&handle, &word, &limit});
}
static cudaGraphNodeParams Conditional(cudaGraphConditionalHandle handle, cudaGraphConditionalNodeType type,
                                       unsigned size) {
  cudaGraphNodeParams params{};
  params.type = cudaGraphNodeTypeConditional;
  params.conditional.handle = handle;
  params.conditional.type = type;
  params.conditional.size = size;
  return params;
}
struct Node {
  cudaGraphNode_t node = nullptr;
  cudaGraph_t* bodies = nullptr;
};
static Node AddConditional(cudaGraph_t graph, std::vector<cudaGraphNode_t> after, cudaGraphConditionalHandle handle,
                           cudaGraphConditionalNodeType type, unsigned size) {
  cudaGraphNodeParams params = Conditional(handle, type, size);
  Node made;
  CHECK(cudaGraphAddNode(&made.node, graph, after.data(), nullptr, after.size(), &params));
  made.bodies = params.conditional.phGraph_out;
  EXPECT(made.bodies != nullptr && made.bodies[0] != nullptr, "no body");
  cudaGraphNodeType kind;
  CHECK(cudaGraphNodeGetType(made.node, &kind));
  EXPECT(kind == cudaGraphNodeTypeConditional, "its type is %d", kind);
  return made;
}

static void TestIf() {
  cudaGraph_t graph = NewGraph();
  const cudaGraphConditionalHandle handle = NewHandle(graph, 0, 0);
  const cudaGraphNode_t set = AddSet(graph, {}, handle, 0);
  const Node node = AddConditional(graph, {set}, handle, cudaGraphCondTypeIf, 2);
  AddAdd(node.bodies[0], {}, 1, 1);
  AddAdd(node.bodies[1], {}, 2, 1);
  AddAdd(graph, {node.node}, 3, 1);
  cudaGraphExec_t exec = Instantiate(graph);
  Clear();
  for (int round = 0; round < 10; ++round) {
    Put(0, round % 3 == 0 ? 7 : 0);
    Launch(exec);
  }
  std::vector<int> words = Words();
  EXPECT(words[1] == 4 && words[2] == 6 && words[3] == 10, "%d %d %d", words[1], words[2], words[3]);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));

  // No else body; the default value holds at each launch, whatever the launch before has left.
  for (const unsigned initial : {0u, 1u}) {
    graph = NewGraph();
    const cudaGraphConditionalHandle other = NewHandle(graph, initial, cudaGraphCondAssignDefault);
    const Node one = AddConditional(graph, {}, other, cudaGraphCondTypeIf, 1);
    AddAdd(one.bodies[0], {}, 4, 1);
    AddSet(graph, {one.node}, other, 5);
    exec = Instantiate(graph);
    CHECK(cudaGraphUpload(exec, g_stream));
    Clear();
    Put(5, initial == 0 ? 1 : 0);
    for (int round = 0; round < 5; ++round) CHECK(cudaGraphLaunch(exec, g_stream));
    CHECK(cudaStreamSynchronize(g_stream));
    words = Words();
    EXPECT(words[4] == (initial == 0 ? 0 : 5), "%u: %d", initial, words[4]);
    CHECK(cudaGraphExecDestroy(exec));
    CHECK(cudaGraphDestroy(graph));
  }
}

static void TestWhile() {
  constexpr unsigned kRounds = 1000;
  cudaGraph_t graph = NewGraph();
  const cudaGraphConditionalHandle handle = NewHandle(graph, 1, cudaGraphCondAssignDefault);
  const Node node = AddConditional(graph, {}, handle, cudaGraphCondTypeWhile, 1);
  cudaGraph_t body = node.bodies[0];
  // words[2] += 1, words[3] = words[2], words[4] = -1, a child graph, and the condition.
  const cudaGraphNode_t add = AddAdd(body, {}, 2, 1);
  cudaGraphNode_t copy = nullptr;
  CHECK(
      cudaGraphAddMemcpyNode1D(&copy, body, &add, 1, g_words + 3, g_words + 2, sizeof(int), cudaMemcpyDeviceToDevice));
  cudaGraphNode_t fill = nullptr;
  cudaMemsetParams params{};
  params.dst = g_words + 4;
  params.value = 0xff;
  params.elementSize = 1;
  params.width = sizeof(int);
  params.height = 1;
  CHECK(cudaGraphAddMemsetNode(&fill, body, &copy, 1, &params));
  cudaGraph_t inner = NewGraph();
  AddAdd(inner, {}, 5, 2);
  cudaGraphNode_t child = nullptr;
  CHECK(cudaGraphAddChildGraphNode(&child, body, &fill, 1, inner));
  CHECK(cudaGraphDestroy(inner));
  cudaGraphNode_t nothing = nullptr;
  CHECK(cudaGraphAddEmptyNode(&nothing, body, &child, 1));
  AddCount(body, {nothing}, handle, 0, kRounds);
  AddAdd(graph, {node.node}, 6, 1);
  cudaGraphExec_t exec = Instantiate(graph);
  for (int round = 0; round < 2; ++round) {
    Clear();
    Launch(exec);
    const std::vector<int> words = Words();
    EXPECT(words[0] == kRounds && words[2] == kRounds && words[3] == kRounds && words[4] == -1 &&
               words[5] == 2 * kRounds && words[6] == 1,
           "%d %d %d %d %d %d", words[0], words[2], words[3], words[4], words[5], words[6]);
  }
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

static void TestSwitch() {
  cudaGraph_t graph = NewGraph();
  const cudaGraphConditionalHandle handle = NewHandle(graph, 0, 0);
  const cudaGraphNode_t set = AddSet(graph, {}, handle, 0);
  const Node node = AddConditional(graph, {set}, handle, cudaGraphCondTypeSwitch, 5);
  for (int i = 0; i < 5; ++i) {
    if (i != 3) AddAdd(node.bodies[i], {}, 1 + i, i + 1);
  }
  cudaGraphExec_t exec = Instantiate(graph);
  Clear();
  for (const int value : {0, 1, 2, 3, 4, 5, 1000, -1, 4}) {
    Put(0, value);
    Launch(exec);
  }
  const std::vector<int> words = Words();
  EXPECT(words[1] == 1 && words[2] == 2 && words[3] == 3 && words[4] == 0 && words[5] == 10, "%d %d %d %d %d", words[1],
         words[2], words[3], words[4], words[5]);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

// A loop in a loop, and a choice in that; the inner handles belong to the bodies that they are used in.
static void TestNested() {
  cudaGraph_t graph = NewGraph();
  const cudaGraphConditionalHandle outer = NewHandle(graph, 1, cudaGraphCondAssignDefault);
  const cudaGraphConditionalHandle inner = NewHandle(graph, 0, 0);
  const Node loop = AddConditional(graph, {}, outer, cudaGraphCondTypeWhile, 1);
  cudaGraph_t body = loop.bodies[0];
  cudaGraphNode_t clear = nullptr;
  cudaMemsetParams params{};
  params.dst = g_words + 1;
  params.elementSize = 4;
  params.width = params.height = 1;
  CHECK(cudaGraphAddMemsetNode(&clear, body, nullptr, 0, &params));
  const cudaGraphNode_t first = AddCount(body, {clear}, inner, 1, 100);
  const Node inner_loop = AddConditional(body, {first}, inner, cudaGraphCondTypeWhile, 1);
  const cudaGraphNode_t counted = AddCount(inner_loop.bodies[0], {}, inner, 1, 8);
  const cudaGraphConditionalHandle choice = NewHandle(inner_loop.bodies[0], 0, 0);
  const cudaGraphNode_t chosen = AddSet(inner_loop.bodies[0], {counted}, choice, 0);
  const Node branch = AddConditional(inner_loop.bodies[0], {chosen}, choice, cudaGraphCondTypeSwitch, 3);
  for (int i = 0; i < 3; ++i) AddAdd(branch.bodies[i], {}, 4 + i, 1);
  AddCount(body, {inner_loop.node}, outer, 0, 5);
  cudaGraphExec_t exec = Instantiate(graph);
  Clear();
  Launch(exec);
  const std::vector<int> words = Words();
  // Five rounds of seven each; the choice follows the outer count, which has no body from three on.
  EXPECT(words[0] == 5 && words[1] == 8 && words[4] == 7 && words[5] == 7 && words[6] == 7, "%d %d %d %d %d", words[0],
         words[1], words[4], words[5], words[6]);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

static void TestCapture() {
  cudaGraph_t graph = NewGraph();
  const cudaGraphConditionalHandle handle = NewHandle(graph, 1, cudaGraphCondAssignDefault);
  const Node node = AddConditional(graph, {}, handle, cudaGraphCondTypeWhile, 1);
  cudaStream_t stream = nullptr;
  int* pinned = nullptr;
  CHECK(cudaMallocHost(reinterpret_cast<void**>(&pinned), 2 * sizeof(int)));
  pinned[0] = pinned[1] = 0;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK(cudaStreamBeginCaptureToGraph(stream, node.bodies[0], nullptr, nullptr, 0, cudaStreamCaptureModeThreadLocal));
  Add<<<1, 1, 0, stream>>>(g_words + 1, 3);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpyAsync(pinned, g_words + 1, sizeof(int), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaMemcpyAsync(g_words + 2, pinned + 1, sizeof(int), cudaMemcpyHostToDevice, stream));
  int* count = g_words;
  unsigned limit = 20;
  void* arguments[] = {const_cast<cudaGraphConditionalHandle*>(&handle), &count, &limit};
  CHECK(cudaLaunchKernel(g_count_to, dim3(1), dim3(1), arguments, 0, stream));
  cudaGraph_t captured = nullptr;
  CHECK(cudaStreamEndCapture(stream, &captured));
  EXPECT(captured == node.bodies[0], "another graph");
  std::size_t nodes = 0;
  CHECK(cudaGraphGetNodes(captured, nullptr, &nodes));
  EXPECT(nodes == 4, "%zu nodes", nodes);
  cudaGraphExec_t exec = Instantiate(graph);
  Clear();
  pinned[1] = 55;
  Launch(exec);
  const std::vector<int> words = Words();
  EXPECT(words[0] == 20 && words[1] == 60 && words[2] == 55 && pinned[0] == 60, "%d %d %d %d", words[0], words[1],
         words[2], pinned[0]);
  CHECK(cudaGraphExecDestroy(exec));

  // What a body does not take ends the capture.
  CHECK(cudaStreamBeginCaptureToGraph(stream, node.bodies[0], nullptr, nullptr, 0, cudaStreamCaptureModeThreadLocal));
  CHECK_ERROR(cudaLaunchHostFunc(stream, [](void*) {}, nullptr), cudaErrorStreamCaptureUnsupported);
  CHECK_ERROR(cudaStreamEndCapture(stream, &captured), cudaErrorStreamCaptureInvalidated);
  cudaGetLastError();
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFreeHost(pinned));
}

static void TestUpdate() {
  const auto make = [](unsigned initial, cudaGraphConditionalNodeType type, int value, cudaGraphNode_t* add) {
    cudaGraph_t graph = NewGraph();
    const cudaGraphConditionalHandle handle = NewHandle(graph, initial, cudaGraphCondAssignDefault);
    const Node node = AddConditional(graph, {}, handle, type, 1);
    const cudaGraphNode_t made = AddAdd(node.bodies[0], {}, 1, value);
    AddSet(node.bodies[0], {made}, handle, 0);
    if (add != nullptr) *add = made;
    return graph;
  };
  cudaGraphNode_t add = nullptr;
  cudaGraph_t graph = make(1, cudaGraphCondTypeIf, 1, &add);
  cudaGraphExec_t exec = Instantiate(graph);
  Clear();
  Launch(exec);
  EXPECT(Words()[1] == 1, "%d", Words()[1]);

  // A node in a body, by itself.
  int* word = g_words + 1;
  int value = 10;
  void* arguments[] = {&word, &value};
  cudaKernelNodeParams params{};
  params.func = reinterpret_cast<void*>(Add);
  params.gridDim = params.blockDim = dim3(1);
  params.kernelParams = arguments;
  CHECK(cudaGraphExecKernelNodeSetParams(exec, add, &params));
  Launch(exec);
  EXPECT(Words()[1] == 11, "%d", Words()[1]);
  CHECK(cudaGraphNodeSetEnabled(exec, add, 0));
  Launch(exec);
  EXPECT(Words()[1] == 11, "%d", Words()[1]);
  CHECK(cudaGraphNodeSetEnabled(exec, add, 1));

  // All of it, with the other graph's default value.
  cudaGraph_t off = make(0, cudaGraphCondTypeIf, 100, nullptr);
  cudaGraphExecUpdateResultInfo info;
  CHECK(cudaGraphExecUpdate(exec, off, &info));
  Launch(exec);
  EXPECT(Words()[1] == 11, "%d", Words()[1]);
  cudaGraph_t on = make(1, cudaGraphCondTypeIf, 100, nullptr);
  CHECK(cudaGraphExecUpdate(exec, on, &info));
  Launch(exec);
  EXPECT(Words()[1] == 111, "%d", Words()[1]);

  cudaGraph_t other = make(1, cudaGraphCondTypeWhile, 1, nullptr);
  CHECK_ERROR(cudaGraphExecUpdate(exec, other, &info), cudaErrorGraphExecUpdateFailure);
  EXPECT(info.result == cudaGraphExecUpdateErrorParametersChanged, "%d", info.result);
  cudaGetLastError();
  CHECK(cudaGraphExecDestroy(exec));
  for (cudaGraph_t gone : {graph, off, on, other}) CHECK(cudaGraphDestroy(gone));
}

static void TestErrors() {
  cudaGraph_t graph = NewGraph();
  cudaGraphConditionalHandle handle = 0;
  CHECK_ERROR(cudaGraphConditionalHandleCreate(nullptr, graph, 0, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaGraphConditionalHandleCreate(&handle, nullptr, 0, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaGraphConditionalHandleCreate(&handle, graph, 0, 2), cudaErrorInvalidValue);
  handle = NewHandle(graph, 0, cudaGraphCondAssignDefault);

  // A handle without a node.
  cudaGraphExec_t exec = nullptr;
  cudaGraphInstantiateParams how{};
  CHECK_ERROR(cudaGraphInstantiateWithParams(&exec, graph, &how), cudaErrorInvalidValue);
  EXPECT(how.result_out == cudaGraphInstantiateConditionalHandleUnused, "%d", how.result_out);

  cudaGraphNode_t node = nullptr;
  const auto add = [&](cudaGraph_t to, cudaGraphConditionalHandle with, int type, unsigned size) {
    cudaGraphNodeParams params = Conditional(with, static_cast<cudaGraphConditionalNodeType>(type), size);
    return cudaGraphAddNode(&node, to, nullptr, nullptr, 0, &params);
  };
  CHECK_ERROR(add(graph, handle, cudaGraphCondTypeIf, 0), cudaErrorInvalidValue);
  CHECK_ERROR(add(graph, handle, cudaGraphCondTypeIf, 3), cudaErrorInvalidValue);
  CHECK_ERROR(add(graph, handle, cudaGraphCondTypeWhile, 2), cudaErrorInvalidValue);
  CHECK_ERROR(add(graph, handle, cudaGraphCondTypeSwitch, 0), cudaErrorInvalidValue);
  CHECK_ERROR(add(graph, handle + 4000, cudaGraphCondTypeIf, 1), cudaErrorInvalidValue);
  cudaGraph_t other = NewGraph();
  CHECK_ERROR(add(other, handle, cudaGraphCondTypeIf, 1), cudaErrorInvalidValue);

  const Node made = AddConditional(graph, {}, handle, cudaGraphCondTypeIf, 1);
  CHECK_ERROR(add(graph, handle, cudaGraphCondTypeIf, 1), cudaErrorInvalidValue);  // it has its node
  AddAdd(made.bodies[0], {}, 1, 1);

  // What a body does not take.
  cudaHostNodeParams host{[](void*) {}, nullptr};
  CHECK_ERROR(cudaGraphAddHostNode(&node, made.bodies[0], nullptr, 0, &host), cudaErrorNotSupported);
  cudaEvent_t event = nullptr;
  CHECK(cudaEventCreate(&event));
  CHECK_ERROR(cudaGraphAddEventRecordNode(&node, made.bodies[0], nullptr, 0, event), cudaErrorNotSupported);
  CHECK_ERROR(cudaGraphAddEventWaitNode(&node, made.bodies[0], nullptr, 0, event), cudaErrorNotSupported);
  CHECK(cudaEventDestroy(event));
  cudaMemAllocNodeParams memory{};
  memory.poolProps.allocType = cudaMemAllocationTypePinned;
  memory.poolProps.location.type = cudaMemLocationTypeDevice;
  memory.bytesize = 1024;
  CHECK_ERROR(cudaGraphAddMemAllocNode(&node, made.bodies[0], nullptr, 0, &memory), cudaErrorNotSupported);
  CHECK(cudaGraphAddHostNode(&node, other, nullptr, 0, &host));
  CHECK_ERROR(cudaGraphAddChildGraphNode(&node, made.bodies[0], nullptr, 0, other), cudaErrorNotSupported);

  // What the graph must not be used for.
  cudaGraph_t clone = nullptr;
  CHECK_ERROR(cudaGraphClone(&clone, graph), cudaErrorNotSupported);
  CHECK_ERROR(cudaGraphAddChildGraphNode(&node, other, nullptr, 0, graph), cudaErrorNotSupported);
  CHECK_ERROR(cudaGraphDestroy(made.bodies[0]), cudaErrorInvalidValue);
  CHECK_ERROR(cudaGraphInstantiate(&exec, made.bodies[0], 0), cudaErrorInvalidValue);
  exec = Instantiate(graph);
  cudaGraphExec_t second = nullptr;
  CHECK_ERROR(cudaGraphInstantiate(&second, graph, 0), cudaErrorInvalidValue);
  CHECK(cudaGraphExecDestroy(exec));
  exec = Instantiate(graph);
  CHECK(cudaGraphExecDestroy(exec));

  // Memory that only the program reaches cannot be copied any number of times.
  static int pageable = 0;
  CHECK(cudaGraphAddMemcpyNode1D(&node, made.bodies[0], nullptr, 0, &pageable, g_words, sizeof(int),
                                 cudaMemcpyDeviceToHost));
  CHECK_ERROR(cudaGraphInstantiate(&exec, graph, 0), cudaErrorNotSupported);
  cudaGetLastError();

  const std::string path = "/tmp/graph_conditional_" + std::to_string(reinterpret_cast<std::uintptr_t>(graph)) + ".dot";
  CHECK(cudaGraphDebugDotPrint(graph, path.c_str(), cudaGraphDebugDotFlagsVerbose));
  std::FILE* file = std::fopen(path.c_str(), "r");
  std::vector<char> text(1 << 16);
  EXPECT(file != nullptr && std::fread(text.data(), 1, text.size() - 1, file) > 0, "no text");
  std::fclose(file);
  std::remove(path.c_str());
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaGraphDestroy(other));
}

// A loop that goes on until another stream says so; and one that never ends, beside which others work. The end of the
// program is its end.
static void TestEndless() {
  cudaStream_t other = nullptr;
  CHECK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  Clear();
  Put(0, 1);
  cudaGraph_t graph = NewGraph();
  const cudaGraphConditionalHandle handle = NewHandle(graph, 1, cudaGraphCondAssignDefault);
  const Node node = AddConditional(graph, {}, handle, cudaGraphCondTypeWhile, 1);
  AddSet(node.bodies[0], {AddAdd(node.bodies[0], {}, 1, 1)}, handle, 0);
  cudaGraphExec_t exec = Instantiate(graph);
  CHECK(cudaGraphLaunch(exec, g_stream));
  Add<<<1, 1, 0, g_stream>>>(g_words + 2, 1);
  // Launches under way go on without their graph.
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  for (int i = 0; i < 50; ++i) {
    Add<<<1, 1, 0, other>>>(g_words + 3, 1);
    CHECK(cudaStreamSynchronize(other));
  }
  CHECK_ERROR(cudaStreamQuery(g_stream), cudaErrorNotReady);
  CHECK(cudaMemsetAsync(g_words, 0, sizeof(int), other));
  CHECK(cudaStreamSynchronize(g_stream));
  const std::vector<int> words = Words();
  EXPECT(words[1] > 0 && words[2] == 1 && words[3] == 50, "%d %d %d", words[1], words[2], words[3]);

  graph = NewGraph();
  const cudaGraphConditionalHandle never = NewHandle(graph, 1, cudaGraphCondAssignDefault);
  AddConditional(graph, {}, never, cudaGraphCondTypeWhile, 1);
  exec = Instantiate(graph);
  CHECK(cudaGraphLaunch(exec, g_stream));
  for (int i = 0; i < 50; ++i) {
    Add<<<1, 1, 0, other>>>(g_words + 4, 1);
    CHECK(cudaStreamSynchronize(other));
  }
  CHECK_ERROR(cudaStreamQuery(g_stream), cudaErrorNotReady);
}

int main() {
  cudaGraph_t graph = NewGraph();
  cudaGraphConditionalHandle handle = 0;
  if (cudaGraphConditionalHandleCreate(&handle, graph, 0, 0) == cudaErrorNotSupported) {
    EXPECT(cudaGetLastError() == cudaErrorNotSupported, "no last error");
    std::printf("no conditional nodes here\n");
    return Passed();
  }
  CHECK(cudaGraphDestroy(graph));
  cudaLibrary_t library = nullptr;
  cudaKernel_t kernel = nullptr;
  CHECK(cudaLibraryLoadData(&library, kConditionPtx, nullptr, nullptr, 0, nullptr, nullptr, 0));
  CHECK(cudaLibraryGetKernel(&kernel, library, "set_to"));
  g_set_to = kernel;
  CHECK(cudaLibraryGetKernel(&kernel, library, "count_to"));
  g_count_to = kernel;
  CHECK(cudaMalloc(reinterpret_cast<void**>(&g_words), 16 * sizeof(int)));
  CHECK(cudaStreamCreateWithFlags(&g_stream, cudaStreamNonBlocking));
  TestIf();
  TestWhile();
  TestSwitch();
  TestNested();
  TestCapture();
  TestUpdate();
  TestErrors();
  TestEndless();
  const int status = Passed();
  std::fflush(nullptr);
  _exit(status);  // an ordinary end waits for the device
}
