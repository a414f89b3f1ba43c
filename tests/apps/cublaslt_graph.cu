// cublasLtMatmul in graphs: captured with an epilogue between kernels of the program's own, replayed, and updated to
// other scalars and other memory; a heuristic that is asked for meanwhile does not disturb the capture.
#include <cublasLt.h>

#include "cublas_check.h"

constexpr int kSize = 32;
constexpr int kCount = kSize * kSize;

__global__ void Add(float* data, float value, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] += value;
}

static cublasLtHandle_t g_handle;
static cudaStream_t g_stream;

struct Problem {
  Problem() {
    CHECK_BLAS(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    CHECK_BLAS(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, kSize, kSize, kSize));
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_RELU;
    CHECK_BLAS(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue)));
  }
  ~Problem() {
    CHECK_BLAS(cublasLtMatrixLayoutDestroy(layout));
    CHECK_BLAS(cublasLtMatmulDescDestroy(operation));
  }
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t layout = nullptr;
};

static cublasLtMatmulAlgo_t Algorithm(const Problem& problem) {
  cublasLtMatmulPreference_t preference = nullptr;
  CHECK_BLAS(cublasLtMatmulPreferenceCreate(&preference));
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  CHECK_BLAS(cublasLtMatmulAlgoGetHeuristic(g_handle, problem.operation, problem.layout, problem.layout, problem.layout,
                                            problem.layout, preference, 1, &found, &count));
  EXPECT(count == 1 && found.state == CUBLAS_STATUS_SUCCESS, "%d algorithms", count);
  CHECK_BLAS(cublasLtMatmulPreferenceDestroy(preference));
  return found.algo;
}

// c = max(0, alpha * (a + 1) * b), and a is as before.
static cudaGraph_t Captured(const Problem& problem, float alpha, float* a, const float* b, float* c) {
  cudaGraph_t graph = nullptr;
  float zero = 0;
  CHECK(cudaStreamBeginCapture(g_stream, cudaStreamCaptureModeThreadLocal));
  Add<<<(kCount + 127) / 128, 128, 0, g_stream>>>(a, 1.0f, kCount);
  const cublasLtMatmulAlgo_t algorithm = Algorithm(problem);
  CHECK_BLAS(cublasLtMatmul(g_handle, problem.operation, &alpha, a, problem.layout, b, problem.layout, &zero, c,
                            problem.layout, c, problem.layout, &algorithm, nullptr, 0, g_stream));
  alpha = zero = -77;  // the values were taken by the call
  Add<<<(kCount + 127) / 128, 128, 0, g_stream>>>(a, -1.0f, kCount);
  CHECK(cudaStreamEndCapture(g_stream, &graph));
  return graph;
}

static void ExpectLaunched(cudaGraphExec_t exec, const std::vector<float>& a, const std::vector<float>& b,
                           const OnDevice<float>& c, float alpha, const char* what) {
  for (int round = 0; round < 2; ++round) {
    CHECK(cudaMemsetAsync(c.get(), 0xff, kCount * sizeof(float), g_stream));
    CHECK(cudaGraphLaunch(exec, g_stream));
    CHECK(cudaStreamSynchronize(g_stream));
    const std::vector<float> got = c.Read();
    for (int j = 0; j < kSize; ++j) {
      for (int i = 0; i < kSize; ++i) {
        double sum = 0;
        for (int k = 0; k < kSize; ++k) sum += (a[k * kSize + i] + 1.0) * b[j * kSize + k];
        ExpectNear(got[j * kSize + i], std::fmax(0.0, alpha * sum), 1e-5, what, j * kSize + i);
      }
    }
  }
}

int main() {
  CHECK(cudaStreamCreateWithFlags(&g_stream, cudaStreamNonBlocking));
  CHECK_BLAS(cublasLtCreate(&g_handle));
  Random random(23);
  const std::vector<float> a = RandomNumbers<float>(random, kCount), b = RandomNumbers<float>(random, kCount),
                           other = RandomNumbers<float>(random, kCount);
  const OnDevice<float> da(a), db(b), dother(other), dc(std::vector<float>(kCount, -1.0f));
  {
    const Problem problem;
    cudaGraph_t graph = Captured(problem, 1, da.get(), db.get(), dc.get());
    for (const float value : dc.Read()) EXPECT(value == -1.0f, "a captured product has run: %g", value);
    cudaGraphExec_t exec = nullptr;
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    ExpectLaunched(exec, a, b, dc, 1, "replayed");
    cudaGraph_t update = Captured(problem, 2, da.get(), dother.get(), dc.get());
    cudaGraphExecUpdateResultInfo info{};
    CHECK(cudaGraphExecUpdate(exec, update, &info));
    ExpectLaunched(exec, a, other, dc, 2, "updated");
    CHECK(cudaGraphExecDestroy(exec));
    CHECK(cudaGraphDestroy(update));
    CHECK(cudaGraphDestroy(graph));
  }
  CHECK_BLAS(cublasLtDestroy(g_handle));
  CHECK(cudaStreamDestroy(g_stream));
  return Passed();
}
