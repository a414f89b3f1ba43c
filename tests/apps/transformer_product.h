// The linear layers of transformer.cu: matrix products of cublasLt, with what belongs to them (biases, GELU, sums of
// gradients) as epilogues. A Product is described once and run every step.
//
// Matrices of this program lie by rows, cuBLAS's by columns: to it, the activations x of a layer (tokens by width) are
// (width, tokens), and weights w (out by in) are (in, out). So y = x w^T is y = op(w) x there, with w transposed.
#pragma once

#include <cublasLt.h>

#include "cublas_check.h"

class Lt {
 public:
  static constexpr size_t kWorkspaceBytes = 4 << 20;

  Lt() {
    CHECK_BLAS(cublasLtCreate(&handle_));
    CHECK(cudaMalloc(&workspace_, kWorkspaceBytes));
  }
  ~Lt() {
    CHECK(cudaFree(workspace_));
    CHECK_BLAS(cublasLtDestroy(handle_));
  }
  Lt(const Lt&) = delete;
  Lt& operator=(const Lt&) = delete;
  cublasLtHandle_t handle() const { return handle_; }
  void* workspace() const { return workspace_; }

 private:
  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
};

// What is done to a product before it is stored, with the vector and the matrix that this reads or writes.
struct Epilogue {
  cublasLtEpilogue_t kind = CUBLASLT_EPILOGUE_DEFAULT;
  const float* bias = nullptr;  // or the gradient of one
  const float* aux = nullptr;   // what went into GELU
};

struct Operand {
  const float* data = nullptr;
  bool transposed = false;
};

// d = op(a) op(b), or that plus c: (m, n) of (m, k) and (k, n), packed.
class Product {
 public:
  Product(const Lt& lt, int m, int n, int k, Operand a, Operand b, const float* c, float* d, Epilogue epilogue)
      : lt_(lt), a_(a.data), b_(b.data), c_(c != nullptr ? c : d), d_(d), beta_(c != nullptr ? 1.0f : 0.0f) {
    CHECK_BLAS(cublasLtMatmulDescCreate(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    Set(CUBLASLT_MATMUL_DESC_TRANSA, a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    Set(CUBLASLT_MATMUL_DESC_TRANSB, b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    Set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue.kind);
    if (epilogue.bias != nullptr) Set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, epilogue.bias);
    if (epilogue.aux != nullptr) {
      Set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, epilogue.aux);
      Set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, static_cast<int64_t>(m));
    }
    a_layout_ = Layout(a.transposed ? k : m, a.transposed ? m : k);
    b_layout_ = Layout(b.transposed ? n : k, b.transposed ? k : n);
    d_layout_ = Layout(m, n);
    Choose();
  }
  ~Product() {
    CHECK_BLAS(cublasLtMatrixLayoutDestroy(d_layout_));
    CHECK_BLAS(cublasLtMatrixLayoutDestroy(b_layout_));
    CHECK_BLAS(cublasLtMatrixLayoutDestroy(a_layout_));
    CHECK_BLAS(cublasLtMatmulDescDestroy(operation_));
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  void Run(cudaStream_t stream) const {
    const float one = 1;
    CHECK_BLAS(cublasLtMatmul(lt_.handle(), operation_, &one, a_, a_layout_, b_, b_layout_, &beta_, c_, d_layout_, d_,
                              d_layout_, &algorithm_, lt_.workspace(), Lt::kWorkspaceBytes, stream));
  }

 private:
  template <typename T>
  void Set(cublasLtMatmulDescAttributes_t attribute, T value) {
    CHECK_BLAS(cublasLtMatmulDescSetAttribute(operation_, attribute, &value, sizeof(value)));
  }
  static cublasLtMatrixLayout_t Layout(int rows, int columns) {
    cublasLtMatrixLayout_t layout = nullptr;
    CHECK_BLAS(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, rows, columns, rows));
    return layout;
  }
  void Choose() {
    cublasLtMatmulPreference_t preference = nullptr;
    CHECK_BLAS(cublasLtMatmulPreferenceCreate(&preference));
    const size_t bytes = Lt::kWorkspaceBytes;
    CHECK_BLAS(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes,
                                                    sizeof(bytes)));
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    CHECK_BLAS(cublasLtMatmulAlgoGetHeuristic(lt_.handle(), operation_, a_layout_, b_layout_, d_layout_, d_layout_,
                                              preference, 1, &best, &found));
    EXPECT(found == 1, "cublasLt has no algorithm for a product");
    algorithm_ = best.algo;
    CHECK_BLAS(cublasLtMatmulPreferenceDestroy(preference));
  }

  const Lt& lt_;
  const float* a_;
  const float* b_;
  const float* c_;
  float* d_;
  float beta_;
  cublasLtMatmulDesc_t operation_ = nullptr;
  cublasLtMatrixLayout_t a_layout_ = nullptr, b_layout_ = nullptr, d_layout_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_{};
};

// y = x w^T, plus `residual` if there is one.
inline Product Forward(const Lt& lt, int tokens, int in, int out, const float* x, const float* w, const float* residual,
                       float* y, Epilogue epilogue) {
  return Product(lt, out, tokens, in, {w, true}, {x, false}, residual, y, epilogue);
}
// dx = dy w
inline Product InputGradient(const Lt& lt, int tokens, int in, int out, const float* dy, const float* w, float* dx,
                             Epilogue epilogue) {
  return Product(lt, in, tokens, out, {w, false}, {dy, false}, nullptr, dx, epilogue);
}
// dw = dy^T x; an epilogue may sum dy, which is the gradient of the bias.
inline Product WeightGradient(const Lt& lt, int tokens, int in, int out, const float* x, const float* dy, float* dw,
                              Epilogue epilogue) {
  return Product(lt, in, out, tokens, {x, false}, {dy, true}, nullptr, dw, epilogue);
}
