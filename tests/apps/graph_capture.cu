// Graphs that streams were captured into: kernels, copies and fills, forks and joins by events, replays, replays of a
// captured graph inside another, and what a capture says of itself while it goes on.
#include <vector>

#include "check.h"

__global__ void Add(int* data, int count, int value) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) data[i] += value;
}
__global__ void Multiply(int* data, int count, int value) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) data[i] *= value;
}
__global__ void Sum(const int* a, const int* b, int* out, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) out[i] = a[i] + b[i];
}
__device__ int g_symbol[16];

constexpr int kCount = 10000;
constexpr int kBlocks = (kCount + 255) / 256;

static std::size_t NodesOf(cudaGraph_t graph) {
  std::size_t count = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &count));
  return count;
}

// Host to device, two kernels, and back, from pinned and from pageable memory: each launch copies what is there then.
static void Replay(cudaStreamCaptureMode mode, bool pinned) {
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  int* device = nullptr;
  CHECK(cudaMalloc(&device, kCount * sizeof(int)));
  std::vector<int> pageable_in(kCount), pageable_out(kCount);
  int* in = pageable_in.data();
  int* out = pageable_out.data();
  if (pinned) {
    CHECK(cudaMallocHost(&in, kCount * sizeof(int)));
    CHECK(cudaMallocHost(&out, kCount * sizeof(int)));
  }
  CHECK(cudaStreamBeginCapture(stream, mode));
  CHECK(cudaMemcpyAsync(device, in, kCount * sizeof(int), cudaMemcpyHostToDevice, stream));
  Add<<<kBlocks, 256, 0, stream>>>(device, kCount, 5);
  Multiply<<<kBlocks, 256, 0, stream>>>(device, kCount, 3);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpyAsync(out, device, kCount * sizeof(int), cudaMemcpyDeviceToHost, stream));
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph));
  EXPECT(NodesOf(graph) == 4, "%zu nodes", NodesOf(graph));
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CHECK(cudaGraphDestroy(graph));
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < kCount; ++i) in[i] = round * 7 + i;
    for (int i = 0; i < kCount; ++i) out[i] = -1;
    CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaStreamSynchronize(stream));
    for (int i = 0; i < kCount; ++i)
      EXPECT(out[i] == (round * 7 + i + 5) * 3, "round %d, [%d] is %d", round, i, out[i]);
  }
  CHECK(cudaGraphExecDestroy(exec));
  if (pinned) {
    CHECK(cudaFreeHost(in));
    CHECK(cudaFreeHost(out));
  }
  CHECK(cudaFree(device));
  CHECK(cudaStreamDestroy(stream));
}

// Two branches that an event forks and another joins, in the order that the events say.
static void ForkAndJoin() {
  cudaStream_t main_stream, side;
  cudaEvent_t fork, join;
  CHECK(cudaStreamCreateWithFlags(&main_stream, cudaStreamNonBlocking));
  CHECK(cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking));
  CHECK(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
  CHECK(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
  int *a = nullptr, *b = nullptr, *sum = nullptr;
  CHECK(cudaMalloc(&a, kCount * sizeof(int)));
  CHECK(cudaMalloc(&b, kCount * sizeof(int)));
  CHECK(cudaMalloc(&sum, kCount * sizeof(int)));
  std::vector<int> got(kCount);
  CHECK(cudaStreamBeginCapture(main_stream, cudaStreamCaptureModeGlobal));
  CHECK(cudaMemsetAsync(a, 0, kCount * sizeof(int), main_stream));
  CHECK(cudaMemsetAsync(b, 0, kCount * sizeof(int), main_stream));
  CHECK(cudaEventRecord(fork, main_stream));
  CHECK(cudaStreamWaitEvent(side, fork, 0));
  cudaStreamCaptureStatus status;
  CHECK(cudaStreamIsCapturing(side, &status));
  EXPECT(status == cudaStreamCaptureStatusActive, "the stream has not joined: %d", status);
  Add<<<kBlocks, 256, 0, main_stream>>>(a, kCount, 1);
  Add<<<kBlocks, 256, 0, side>>>(b, kCount, 10);
  Multiply<<<kBlocks, 256, 0, side>>>(b, kCount, 10);
  CHECK(cudaEventRecord(join, side));
  CHECK(cudaStreamWaitEvent(main_stream, join, 0));
  Sum<<<kBlocks, 256, 0, main_stream>>>(a, b, sum, kCount);
  CHECK(cudaGetLastError());
  unsigned long long id = 0, side_id = 0;
  cudaGraph_t seen = nullptr;
  const cudaGraphNode_t* last = nullptr;
  std::size_t last_count = 0;
  CHECK(cudaStreamGetCaptureInfo(main_stream, &status, &id, &seen, &last, nullptr, &last_count));
  EXPECT(status == cudaStreamCaptureStatusActive && last_count == 1, "status %d, %zu dependencies", status, last_count);
  CHECK(cudaStreamGetCaptureInfo(side, &status, &side_id, nullptr, nullptr, nullptr, nullptr));
  EXPECT(id == side_id, "two captures: %llu and %llu", id, side_id);
  std::size_t dependencies = 0;
  CHECK(cudaGraphNodeGetDependencies(last[0], nullptr, nullptr, &dependencies));
  EXPECT(dependencies == 2, "the sum waits for %zu nodes", dependencies);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(main_stream, &graph));
  EXPECT(graph == seen, "another graph than was told");
  CHECK(cudaStreamIsCapturing(side, &status));
  EXPECT(status == cudaStreamCaptureStatusNone, "still capturing: %d", status);
  EXPECT(NodesOf(graph) == 6, "%zu nodes", NodesOf(graph));
  std::size_t edges = 0, roots = 0;
  CHECK(cudaGraphGetEdges(graph, nullptr, nullptr, nullptr, &edges));
  CHECK(cudaGraphGetRootNodes(graph, nullptr, &roots));
  EXPECT(edges == 6 && roots == 1, "%zu edges, %zu roots", edges, roots);
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  // On a stream that had no part in it.
  cudaStream_t other;
  CHECK(cudaStreamCreate(&other));
  for (cudaStream_t stream : {main_stream, other, cudaStream_t{nullptr}}) {
    CHECK(cudaMemset(sum, 0, kCount * sizeof(int)));
    CHECK(cudaDeviceSynchronize());
    CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaStreamSynchronize(stream));
    CHECK(cudaMemcpy(got.data(), sum, kCount * sizeof(int), cudaMemcpyDeviceToHost));
    for (int i = 0; i < kCount; ++i) EXPECT(got[i] == 101, "[%d] is %d", i, got[i]);
  }
  // A launch cannot be captured.
  CHECK(cudaStreamBeginCapture(other, cudaStreamCaptureModeRelaxed));
  CHECK_ERROR(cudaGraphLaunch(exec, other), cudaErrorStreamCaptureUnsupported);
  cudaGraph_t outer = nullptr;
  CHECK_ERROR(cudaStreamEndCapture(other, &outer), cudaErrorStreamCaptureInvalidated);
  cudaGetLastError();
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

// Copies of more dimensions than one, of symbols, and from the device to itself.
static void Copies() {
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  constexpr int kWidth = 37, kHeight = 21;
  void* pitched = nullptr;
  std::size_t pitch = 0;
  CHECK(cudaMallocPitch(&pitched, &pitch, kWidth, kHeight));
  unsigned char* flat = nullptr;
  CHECK(cudaMalloc(&flat, kWidth * kHeight));
  std::vector<unsigned char> in(50 * kHeight), out(64 * kHeight), flat_out(kWidth * kHeight);
  int symbol_in[16], symbol_out[16] = {};
  for (int i = 0; i < 16; ++i) symbol_in[i] = i * i;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  CHECK(cudaMemset2DAsync(pitched, pitch, 0, kWidth, kHeight, stream));
  CHECK(cudaMemcpy2DAsync(pitched, pitch, in.data(), 50, kWidth, kHeight, cudaMemcpyHostToDevice, stream));
  CHECK(cudaMemcpy2DAsync(flat, kWidth, pitched, pitch, kWidth, kHeight, cudaMemcpyDeviceToDevice, stream));
  CHECK(cudaMemcpy2DAsync(out.data(), 64, pitched, pitch, kWidth, kHeight, cudaMemcpyDeviceToHost, stream));
  CHECK(cudaMemcpyAsync(flat_out.data(), flat, kWidth * kHeight, cudaMemcpyDeviceToHost, stream));
  CHECK(cudaMemcpyToSymbolAsync(g_symbol, symbol_in, sizeof(symbol_in), 0, cudaMemcpyHostToDevice, stream));
  CHECK(cudaMemcpyFromSymbolAsync(symbol_out, g_symbol, sizeof(symbol_out), 0, cudaMemcpyDeviceToHost, stream));
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = static_cast<unsigned char>(i * 3 + round);
    for (int& word : symbol_in) word += round;
    CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaStreamSynchronize(stream));
    for (int y = 0; y < kHeight; ++y) {
      for (int x = 0; x < kWidth; ++x) {
        const unsigned char want = in[y * 50 + x];
        EXPECT(out[y * 64 + x] == want, "pitched (%d, %d): %d, not %d", x, y, out[y * 64 + x], want);
        EXPECT(flat_out[y * kWidth + x] == want, "flat (%d, %d): %d, not %d", x, y, flat_out[y * kWidth + x], want);
      }
    }
    for (int i = 0; i < 16; ++i) EXPECT(symbol_out[i] == symbol_in[i], "symbol [%d] is %d", i, symbol_out[i]);
  }
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

// Into a graph that is there, behind a node of it; and dependencies that the program sets itself.
static void ToGraph() {
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  int* data = nullptr;
  CHECK(cudaMalloc(&data, kCount * sizeof(int)));
  cudaGraph_t graph = nullptr;
  CHECK(cudaGraphCreate(&graph, 0));
  cudaGraphNode_t zero = nullptr;
  cudaMemsetParams params{};
  params.dst = data;
  params.elementSize = 4;
  params.width = kCount;
  params.height = 1;
  params.value = 7;
  CHECK(cudaGraphAddMemsetNode(&zero, graph, nullptr, 0, &params));
  CHECK(cudaStreamBeginCaptureToGraph(stream, graph, &zero, nullptr, 1, cudaStreamCaptureModeGlobal));
  Add<<<kBlocks, 256, 0, stream>>>(data, kCount, 1);
  cudaStreamCaptureStatus status;
  cudaGraph_t seen = nullptr;
  const cudaGraphNode_t* last = nullptr;
  std::size_t count = 0;
  CHECK(cudaStreamGetCaptureInfo(stream, &status, nullptr, &seen, &last, nullptr, &count));
  EXPECT(seen == graph && count == 1, "another graph, or %zu dependencies", count);
  // A node of the program's own in the middle of the capture.
  cudaGraphNode_t empty = nullptr;
  CHECK(cudaGraphAddEmptyNode(&empty, graph, last, count));
  CHECK(cudaStreamUpdateCaptureDependencies(stream, &empty, nullptr, 1, cudaStreamSetCaptureDependencies));
  Multiply<<<kBlocks, 256, 0, stream>>>(data, kCount, 2);
  cudaGraph_t captured = nullptr;
  CHECK(cudaStreamEndCapture(stream, &captured));
  EXPECT(captured == graph && NodesOf(graph) == 4, "%zu nodes", NodesOf(graph));
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  std::vector<int> got(kCount);
  for (int round = 0; round < 3; ++round) {
    CHECK(cudaGraphLaunch(exec, stream));
    CHECK(cudaMemcpyAsync(got.data(), data, kCount * sizeof(int), cudaMemcpyDeviceToHost, stream));
    CHECK(cudaStreamSynchronize(stream));
    for (int i = 0; i < kCount; ++i) EXPECT(got[i] == 16, "[%d] is %d", i, got[i]);
  }
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

// More nodes than a stream has under way at a time, and launches one behind the other without a wait.
static void Large() {
  constexpr int kNodes = 700, kLaunches = 5;
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  int* word = nullptr;
  CHECK(cudaMalloc(&word, sizeof(int)));
  CHECK(cudaMemset(word, 0, sizeof(int)));
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  for (int i = 0; i < kNodes; ++i) Add<<<1, 1, 0, stream>>>(word, 1, 1);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiateWithFlags(&exec, graph, 0));
  CHECK(cudaGraphUpload(exec, stream));
  for (int i = 0; i < kLaunches; ++i) CHECK(cudaGraphLaunch(exec, stream));
  int got = 0;
  CHECK(cudaStreamSynchronize(stream));
  CHECK(cudaMemcpy(&got, word, sizeof(int), cudaMemcpyDeviceToHost));
  EXPECT(got == kNodes * kLaunches, "%d increments", got);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

int main() {
  for (const bool pinned : {false, true}) {
    Replay(cudaStreamCaptureModeGlobal, pinned);
    Replay(cudaStreamCaptureModeThreadLocal, pinned);
    Replay(cudaStreamCaptureModeRelaxed, pinned);
  }
  ForkAndJoin();
  Copies();
  ToGraph();
  Large();
  CHECK(cudaDeviceSynchronize());
  return Passed();
}
