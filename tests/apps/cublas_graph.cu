// Products in graphs: captured between the program's own kernels and replayed, with scalars of the host as they were
// and scalars of the device as they are; cloned, updated, as a child, on two streams; and what a result on the host
// does to a capture. Each against the same calls made one by one.
#include <unistd.h>

#include <string>

#include "cublas_check.h"

constexpr int kSize = 48;
constexpr int kCount = kSize * kSize;

__global__ void Add(float* data, float value, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] += value;
}

static cublasHandle_t g_handle;
static cudaStream_t g_stream;

struct Matrices {
  explicit Matrices(Random& random)
      : a(RandomNumbers<float>(random, kCount)),
        b(RandomNumbers<float>(random, kCount)),
        c(RandomNumbers<float>(random, kCount)),
        d(std::vector<float>(kCount, 0.0f)) {}
  OnDevice<float> a, b, c, d;
};

static void Product(float alpha, const float* a, const float* b, float* c) {
  float zero = 0;
  CHECK_BLAS(cublasSgemm(g_handle, CUBLAS_OP_N, CUBLAS_OP_T, kSize, kSize, kSize, &alpha, a, kSize, b, kSize, &zero, c,
                         kSize));
  alpha = zero = -77;  // the values were taken by the call
}
// d = scale * (c + 1 after c = a * b^T) * b^T
static void Work(const Matrices& m, float scale) {
  Product(1, m.a.get(), m.b.get(), m.c.get());
  Add<<<(kCount + 127) / 128, 128, 0, g_stream>>>(m.c.get(), 1.0f, kCount);
  Product(scale, m.c.get(), m.b.get(), m.d.get());
}
static cudaGraph_t Captured(const Matrices& m, float scale) {
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamBeginCapture(g_stream, cudaStreamCaptureModeThreadLocal));
  Work(m, scale);
  CHECK(cudaStreamEndCapture(g_stream, &graph));
  return graph;
}
static cudaGraphExec_t Instantiate(cudaGraph_t graph) {
  cudaGraphExec_t exec = nullptr;
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  return exec;
}
static std::vector<float> Eager(const Matrices& m, float scale) {
  Work(m, scale);
  CHECK(cudaStreamSynchronize(g_stream));
  return m.d.Read();
}
// Launches it onto what a launch before has left, and onto nothing.
static void ExpectLaunched(cudaGraphExec_t exec, const Matrices& m, const std::vector<float>& wanted,
                           const char* what) {
  for (int round = 0; round < 3; ++round) {
    if (round != 1) CHECK(cudaMemsetAsync(m.d.get(), 0xff, kCount * sizeof(float), g_stream));
    CHECK(cudaGraphLaunch(exec, g_stream));
    CHECK(cudaStreamSynchronize(g_stream));
    const std::vector<float> got = m.d.Read();
    for (int i = 0; i < kCount; ++i) ExpectNear(got[i], wanted[i], 1e-5, what, i);
  }
}

static void TestReplay(const Matrices& m) {
  const std::vector<float> once = Eager(m, 1), thrice = Eager(m, 3);
  CHECK(cudaMemset(m.d.get(), 0, kCount * sizeof(float)));
  cudaGraph_t graph = Captured(m, 3);
  for (const float value : m.d.Read()) EXPECT(value == 0, "a captured product has run: %g", value);
  cudaGraphExec_t exec = Instantiate(graph);
  ExpectLaunched(exec, m, thrice, "replayed");
  // A copy of the graph, which outlives it.
  cudaGraph_t clone = nullptr;
  CHECK(cudaGraphClone(&clone, graph));
  CHECK(cudaGraphDestroy(graph));
  cudaGraphExec_t of_clone = Instantiate(clone);
  ExpectLaunched(of_clone, m, thrice, "cloned");
  CHECK(cudaGraphExecDestroy(of_clone));
  // Other values in the same places.
  cudaGraph_t other = Captured(m, 1);
  cudaGraphExecUpdateResultInfo info{};
  CHECK(cudaGraphExecUpdate(exec, other, &info));
  EXPECT(info.result == cudaGraphExecUpdateSuccess, "update: %d", info.result);
  ExpectLaunched(exec, m, once, "updated");
  // Inside another graph.
  cudaGraph_t outer = nullptr;
  cudaGraphNode_t child = nullptr;
  CHECK(cudaGraphCreate(&outer, 0));
  CHECK(cudaGraphAddChildGraphNode(&child, outer, nullptr, 0, clone));
  cudaGraphExec_t of_outer = Instantiate(outer);
  ExpectLaunched(of_outer, m, thrice, "as a child");
  CHECK(cudaGraphExecChildGraphNodeSetParams(of_outer, child, other));
  ExpectLaunched(of_outer, m, once, "as an updated child");
  for (cudaGraphExec_t done : {exec, of_outer}) CHECK(cudaGraphExecDestroy(done));
  for (cudaGraph_t done : {clone, other, outer}) CHECK(cudaGraphDestroy(done));
}

static void TestWhatNodesAre(const Matrices& m) {
  cudaGraph_t graph = Captured(m, 2);
  size_t count = 0;
  CHECK(cudaGraphGetNodes(graph, nullptr, &count));
  std::vector<cudaGraphNode_t> nodes(count);
  CHECK(cudaGraphGetNodes(graph, nodes.data(), &count));
  int kernels = 0;
  for (cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type{};
    CHECK(cudaGraphNodeGetType(node, &type));
    if (type != cudaGraphNodeTypeKernel) continue;
    ++kernels;
    // Of the program's own kernels, and of a library's where that runs in this process.
    cudaKernelNodeParams params{};
    const cudaError_t told = cudaGraphKernelNodeGetParams(node, &params);
    EXPECT(told == cudaSuccess || told == cudaErrorNotSupported, "parameters: %s", cudaGetErrorName(told));
    if (told != cudaSuccess) {
      CHECK_ERROR(cudaGetLastError(), cudaErrorNotSupported);
      CHECK_ERROR(cudaGraphKernelNodeSetParams(node, &params), cudaErrorNotSupported);
      CHECK_ERROR(cudaGetLastError(), cudaErrorNotSupported);
    }
  }
  EXPECT(kernels >= 3, "%d kernels", kernels);
  char path[] = "/tmp/cublas_graph_XXXXXX";
  const int file = mkstemp(path);
  CHECK(cudaGraphDebugDotPrint(graph, path, cudaGraphDebugDotFlagsKernelNodeParams));
  std::string text(1 << 16, '\0');
  const ssize_t bytes = read(file, text.data(), text.size());
  text.resize(bytes < 0 ? 0 : bytes);
  close(file);
  unlink(path);
  EXPECT(text.find("KERNEL") != std::string::npos, "no kernel in %s", text.c_str());
  CHECK(cudaGraphDestroy(graph));
}

// Scalars and results of the device belong to the launch, not to the capture.
static void TestDeviceScalars(const Matrices& m) {
  const OnDevice<float> alpha({1.0f}), beta({0.0f}), dot({-1.0f});
  cudaGraph_t graph = nullptr;
  CHECK_BLAS(cublasSetPointerMode(g_handle, CUBLAS_POINTER_MODE_DEVICE));
  CHECK(cudaStreamBeginCapture(g_stream, cudaStreamCaptureModeThreadLocal));
  CHECK_BLAS(cublasSgemm(g_handle, CUBLAS_OP_N, CUBLAS_OP_T, kSize, kSize, kSize, alpha.get(), m.a.get(), kSize,
                         m.b.get(), kSize, beta.get(), m.d.get(), kSize));
  CHECK_BLAS(cublasSdot(g_handle, kCount, m.d.get(), 1, m.b.get(), 1, dot.get()));
  CHECK(cudaStreamEndCapture(g_stream, &graph));
  CHECK_BLAS(cublasSetPointerMode(g_handle, CUBLAS_POINTER_MODE_HOST));
  cudaGraphExec_t exec = Instantiate(graph);
  Product(1, m.a.get(), m.b.get(), m.d.get());
  float wanted = 0;
  CHECK_BLAS(cublasSdot(g_handle, kCount, m.d.get(), 1, m.b.get(), 1, &wanted));
  for (const float scale : {1.0f, 4.0f, -2.0f}) {
    CHECK(cudaMemcpy(alpha.get(), &scale, sizeof(scale), cudaMemcpyHostToDevice));
    CHECK(cudaDeviceSynchronize());
    CHECK(cudaGraphLaunch(exec, g_stream));
    CHECK(cudaStreamSynchronize(g_stream));
    ExpectNear(dot.Read()[0], scale * wanted, 1e-4, "dot on the device", 0);
  }
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

// Two streams, each with a handle; one joins the other's capture and goes back.
static void TestTwoStreams(const Matrices& m) {
  cudaStream_t side = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  cublasHandle_t of_side = nullptr;
  CHECK(cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking));
  CHECK(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
  CHECK(cudaEventCreateWithFlags(&join, cudaEventDisableTiming));
  CHECK_BLAS(cublasCreate(&of_side));
  CHECK_BLAS(cublasSetStream(of_side, side));
  const float one = 1, zero = 0;
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamBeginCapture(g_stream, cudaStreamCaptureModeThreadLocal));
  CHECK(cudaEventRecord(fork, g_stream));
  CHECK(cudaStreamWaitEvent(side, fork, 0));
  CHECK_BLAS(cublasSgemm(of_side, CUBLAS_OP_N, CUBLAS_OP_T, kSize, kSize, kSize, &one, m.a.get(), kSize, m.b.get(),
                         kSize, &zero, m.c.get(), kSize));
  Product(2, m.a.get(), m.b.get(), m.d.get());
  CHECK(cudaEventRecord(join, side));
  CHECK(cudaStreamWaitEvent(g_stream, join, 0));
  CHECK_BLAS(cublasSaxpy(g_handle, kCount, &one, m.c.get(), 1, m.d.get(), 1));
  CHECK(cudaStreamEndCapture(g_stream, &graph));
  Product(3, m.a.get(), m.b.get(), m.d.get());
  CHECK(cudaStreamSynchronize(g_stream));
  const std::vector<float> wanted = m.d.Read();
  cudaGraphExec_t exec = Instantiate(graph);
  ExpectLaunched(exec, m, wanted, "on two streams");
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
  CHECK_BLAS(cublasDestroy(of_side));
  CHECK(cudaEventDestroy(fork));
  CHECK(cudaEventDestroy(join));
  CHECK(cudaStreamDestroy(side));
}

// A graph's kernels run on the device that they were captured on, which is not said of a library's functions where that
// is remote: then the launch is refused.
static void TestOtherDevice(const Matrices& m) {
  int count = 0;
  CHECK(cudaGetDeviceCount(&count));
  if (count < 2) return;
  const std::vector<float> wanted = Eager(m, 3);
  cudaGraph_t graph = Captured(m, 3);
  cudaGraphExec_t exec = Instantiate(graph);
  CHECK(cudaMemset(m.d.get(), 0, kCount * sizeof(float)));
  CHECK(cudaDeviceSynchronize());
  cudaStream_t elsewhere = nullptr;
  CHECK(cudaSetDevice(1));
  CHECK(cudaStreamCreateWithFlags(&elsewhere, cudaStreamNonBlocking));
  const cudaError_t launched = cudaGraphLaunch(exec, elsewhere);
  EXPECT(launched == cudaSuccess || launched == cudaErrorNotSupported, "a launch elsewhere: %s",
         cudaGetErrorName(launched));
  CHECK(cudaStreamSynchronize(elsewhere));
  CHECK_ERROR(cudaGetLastError(), launched);
  CHECK(cudaStreamDestroy(elsewhere));
  CHECK(cudaSetDevice(0));
  const std::vector<float> got = m.d.Read();
  for (int i = 0; i < kCount; ++i)
    ExpectNear(got[i], launched == cudaSuccess ? wanted[i] : 0, 1e-5, "on another device", i);
  CHECK(cudaGraphExecDestroy(exec));
  CHECK(cudaGraphDestroy(graph));
}

// A result on the host is waited for, which no capture allows; afterwards all is as before.
static void TestResultOnTheHost(const Matrices& m) {
  cudaGraph_t graph = nullptr;
  float dot = -1;
  CHECK(cudaStreamBeginCapture(g_stream, cudaStreamCaptureModeThreadLocal));
  Product(1, m.a.get(), m.b.get(), m.d.get());
  CHECK_BLAS_STATUS(cublasSdot(g_handle, kCount, m.a.get(), 1, m.a.get(), 1, &dot), CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK_ERROR(cudaStreamEndCapture(g_stream, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT(graph == nullptr, "a graph of a capture that failed");
  (void)cudaGetLastError();
  CHECK_BLAS(cublasSdot(g_handle, kCount, m.a.get(), 1, m.a.get(), 1, &dot));
  double sum = 0;
  for (const float value : m.a.Read()) sum += static_cast<double>(value) * value;
  ExpectNear(dot, sum, 1e-4, "dot behind a capture that failed", 0);
}

int main() {
  CHECK(cudaStreamCreateWithFlags(&g_stream, cudaStreamNonBlocking));
  CHECK_BLAS(cublasCreate(&g_handle));
  CHECK_BLAS(cublasSetStream(g_handle, g_stream));
  // A graph must not have memory of the library's own that another launch uses at the same time.
  const OnDevice<char> workspace(std::vector<char>(8 << 20));
  CHECK_BLAS(cublasSetWorkspace(g_handle, workspace.get(), 8 << 20));
  Random random(11);
  const Matrices matrices(random);
  TestReplay(matrices);
  TestWhatNodesAre(matrices);
  TestDeviceScalars(matrices);
  TestTwoStreams(matrices);
  TestOtherDevice(matrices);
  TestResultOnTheHost(matrices);
  CHECK_BLAS(cublasDestroy(g_handle));
  CHECK(cudaStreamDestroy(g_stream));
  return Passed();
}
