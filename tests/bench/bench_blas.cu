// The program of mesh-bench's rows on cuBLAS, as bench_client is of the others:
//
//     bench_blas MODE COUNT ROUNDS
//
//   sgemm_posts    small products by cublasSgemm, in bursts as bench_client's posts            ns: CPU time of the
//   process matmul_posts   the same by cublasLtMatmul, with a bias                                     (the same) sgemm
//   COUNT products of 2048 by 2048 numbers, then a wait                         ns: wall time of the round
#include <cublasLt.h>
#include <cublas_v2.h>

#include <cstring>
#include <string>

#include "tests/apps/cublas_check.h"
#include "tests/bench/bench.h"

namespace {

constexpr int kSmall = 64;
constexpr int kLarge = 2048;

float* Numbers(int count) {
  float* memory = nullptr;
  CHECK(cudaMalloc(reinterpret_cast<void**>(&memory), count * sizeof(float)));
  CHECK(cudaMemset(memory, 0, count * sizeof(float)));
  return memory;
}

void SgemmPosts(Bench& bench) {
  cublasHandle_t blas = nullptr;
  CHECK_BLAS(cublasCreate(&blas));
  const float one = 1, zero = 0;
  float *const a = Numbers(kSmall * kSmall), *const b = Numbers(kSmall * kSmall), *const c = Numbers(kSmall * kSmall);
  PostBursts(bench, [&] {
    CHECK_BLAS(cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, kSmall, kSmall, kSmall, &one, a, kSmall, b, kSmall, &zero, c,
                           kSmall));
  });
}

void MatmulPosts(Bench& bench) {
  cublasLtHandle_t lt = nullptr;
  CHECK_BLAS(cublasLtCreate(&lt));
  const float one = 1, zero = 0;
  float *const a = Numbers(kSmall * kSmall), *const b = Numbers(kSmall * kSmall), *const c = Numbers(kSmall * kSmall);
  const float* const bias = Numbers(kSmall);
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t layout = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  CHECK_BLAS(cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
  CHECK_BLAS(cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue)));
  CHECK_BLAS(cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias)));
  CHECK_BLAS(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, kSmall, kSmall, kSmall));
  CHECK_BLAS(cublasLtMatmulPreferenceCreate(&preference));
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  CHECK_BLAS(cublasLtMatmulAlgoGetHeuristic(lt, product, layout, layout, layout, layout, preference, 1, &best, &found));
  EXPECT(found == 1, "no algorithm was found");
  PostBursts(bench, [&] {
    CHECK_BLAS(cublasLtMatmul(lt, product, &one, a, layout, b, layout, &zero, c, layout, c, layout, &best.algo, nullptr,
                              0, nullptr));
  });
}

void Sgemm(Bench& bench) {
  cublasHandle_t blas = nullptr;
  CHECK_BLAS(cublasCreate(&blas));
  const float one = 1, zero = 0;
  const std::vector<float> ones(kLarge * kLarge, 1.0f);
  const OnDevice<float> a(ones), b(ones), c(ones);
  bench.Rounds([&] {
    const std::int64_t begin = NowNs(CLOCK_MONOTONIC);
    for (long i = 0; i < bench.count; ++i) {
      CHECK_BLAS(cublasSgemm(blas, CUBLAS_OP_N, CUBLAS_OP_N, kLarge, kLarge, kLarge, &one, a.get(), kLarge, b.get(),
                             kLarge, &zero, c.get(), kLarge));
    }
    CHECK(cudaDeviceSynchronize());
    return NowNs(CLOCK_MONOTONIC) - begin;
  });
  const float wanted = bench.count == 0 ? 1 : kLarge;
  const float got = c.Read()[kLarge + 1];
  EXPECT(got == wanted, "an element is %g, not %g", got, wanted);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc == 4 ? argv[1] : "";
  Bench bench;
  if (argc == 4) {
    bench.count = std::atol(argv[2]);
    bench.rounds = std::atoi(argv[3]);
  }
  const std::pair<const char*, void (*)(Bench&)> modes[] = {
      {"sgemm_posts", SgemmPosts}, {"matmul_posts", MatmulPosts}, {"sgemm", Sgemm}};
  for (const auto& [name, run] : modes) {
    if (mode != name) continue;
    std::printf("{\"mode\": \"%s\", \"count\": %ld, \"rounds\": %d", name, bench.count, bench.rounds);
    run(bench);
    PrintArray("ns", bench.ns);
    std::printf("}\n");
    return 0;
  }
  std::fprintf(stderr, "usage: bench_blas MODE COUNT ROUNDS\n");
  return 2;
}
