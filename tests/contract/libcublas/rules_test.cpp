// The contract libcublas enforces what it is there for: each rule fires, and who keeps them gets results.
#include <cublas_api.h>

#include <utility>

#include "tests/contract/contract_test.h"
#include "tests/contract/libcublas/control.h"

namespace accelmesh::contract {
namespace {

void* Blas() {
  static void* const library = [] {
    (void)Library();  // it stands on that one
    void* opened = dlopen(ACCELMESH_CONTRACT_LIBCUBLAS, RTLD_NOW | RTLD_LOCAL);
    if (opened == nullptr) std::fprintf(stderr, "%s\n", dlerror());
    return opened;
  }();
  return library;
}
#define BLAS(name) reinterpret_cast<decltype(&name)>(dlsym(Blas(), #name))

class ContractBlasTest : public ContractTest {
 protected:
  void SetUp() override {
    ContractTest::SetUp();
    ASSERT_NE(Blas(), nullptr);
    ASSERT_EQ(BLAS(cublasCreate_v2)(&handle_), CUBLAS_STATUS_SUCCESS);
    x_ = Malloc(4096);
    const float numbers[] = {3, -4};
    OK(CU(cuMemcpyHtoD)(x_, numbers, sizeof(numbers)));
  }
  void TearDown() override {
    CU(contract_set_executor)(0);
    if (handle_ != nullptr) {
      EXPECT_EQ(BLAS(cublasDestroy_v2)(handle_), CUBLAS_STATUS_SUCCESS);
    }
    if (x_ != 0) {
      OK(CU(cuMemFree)(x_));
    }
    ContractTest::TearDown();
  }
  const float* x() const { return reinterpret_cast<const float*>(x_); }
  cublasStatus_t Scale(float by) { return BLAS(cublasSscal_v2)(handle_, 2, &by, const_cast<float*>(x()), 1); }
  cublasStatus_t Norm(float* result) { return BLAS(cublasSnrm2_v2)(handle_, 2, x(), 1, result); }

  cublasHandle_t handle_ = nullptr;
  CUdeviceptr x_ = 0;
};

TEST_F(ContractBlasTest, WorkRunsInItsTurnInTheHandlesStream) {
  CUstream stream = NewStream();
  std::uint64_t* gate = Pinned();
  ASSERT_EQ(BLAS(cublasSetStream_v2)(handle_, stream), CUBLAS_STATUS_SUCCESS);
  Close(stream, gate);
  EXPECT_EQ(Scale(2), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(CU(cuStreamQuery)(stream), CUDA_ERROR_NOT_READY);
  Open(gate);
  float norm = 0;
  EXPECT_EQ(Norm(&norm), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(norm, 10);
  OK(CU(cuStreamDestroy)(stream));
  OK(CU(cuMemFreeHost)(gate));
}

TEST_F(ContractBlasTest, TheExecutorMayNotWait) {
  float norm = 0;
  EXPECT_EQ(Scale(1), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(Norm(&norm), CUBLAS_STATUS_SUCCESS);
  Quiet();
  CU(contract_set_executor)(1);
  EXPECT_EQ(Scale(1), CUBLAS_STATUS_SUCCESS) << "what has run before only queues";
  EXPECT_EQ(Norm(&norm), CUBLAS_STATUS_EXECUTION_FAILED);
  Expect(CONTRACT_RULE_EXECUTOR_WAITS);
  // Of all tests here, the only one that calls it.
  EXPECT_EQ(BLAS(cublasScopy_v2)(handle_, 1, x(), 1, const_cast<float*>(x()) + 1, 1), CUBLAS_STATUS_EXECUTION_FAILED);
  Expect(CONTRACT_RULE_EXECUTOR_WAITS);
  cublasHandle_t another = nullptr;
  EXPECT_EQ(BLAS(cublasCreate_v2)(&another), CUBLAS_STATUS_NOT_INITIALIZED);
  Expect(CONTRACT_RULE_EXECUTOR_WAITS);
  EXPECT_EQ(BLAS(cublasDestroy_v2)(handle_), CUBLAS_STATUS_NOT_INITIALIZED);
  Expect(CONTRACT_RULE_EXECUTOR_WAITS);
  CU(contract_set_executor)(0);
  OK(CU(cuCtxSynchronize)());
}

TEST_F(ContractBlasTest, HandlesAreOfTheirContextAndLiveOnce) {
  Quiet();
  CUcontext other = nullptr;
  OK(CU(cuCtxCreate)(&other, nullptr, 0, 0));
  EXPECT_EQ(Scale(1), CUBLAS_STATUS_NOT_INITIALIZED);
  Expect(CONTRACT_RULE_WRONG_CONTEXT);
  OK(CU(cuCtxDestroy)(other));
  const cublasHandle_t destroyed = std::exchange(handle_, nullptr);
  EXPECT_EQ(BLAS(cublasDestroy_v2)(destroyed), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(BLAS(cublasSetMathMode)(destroyed, CUBLAS_DEFAULT_MATH), CUBLAS_STATUS_NOT_INITIALIZED);
  Expect(CONTRACT_RULE_BAD_HANDLE);
}

TEST_F(ContractBlasTest, SettingsAreSeenAndAStreamTakesTheWorkspaceAway) {
  ASSERT_EQ(BLAS(cublasSetWorkspace_v2)(handle_, reinterpret_cast<void*>(x_), 512), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(BLAS(cublasSetMathMode)(handle_, CUBLAS_PEDANTIC_MATH), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(Scale(1), CUBLAS_STATUS_SUCCESS);
  const auto last = reinterpret_cast<decltype(&contract_blas_last)>(dlsym(Blas(), "contract_blas_last"));
  contract_blas_state state{};
  last(&state);
  EXPECT_EQ(state.workspace, x_);
  EXPECT_EQ(state.math_mode, CUBLAS_PEDANTIC_MATH);
  ASSERT_EQ(BLAS(cublasSetStream_v2)(handle_, nullptr), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(Scale(1), CUBLAS_STATUS_SUCCESS);
  last(&state);
  EXPECT_EQ(state.workspace, 0u);
  EXPECT_EQ(state.math_mode, CUBLAS_PEDANTIC_MATH);
  OK(CU(cuCtxSynchronize)());
}

TEST_F(ContractBlasTest, WrongArgumentsAreRefusedAndOperandsOutsideOfMemoryRuinTheContext) {
  EXPECT_EQ(BLAS(cublasSger_v2)(handle_, 2, 2, x(), x(), 1, x(), 1, const_cast<float*>(x()), 1),
            CUBLAS_STATUS_INVALID_VALUE)
      << "columns that overlap";
  const float one = 1;
  EXPECT_EQ(BLAS(cublasSscal_v2)(handle_, 2, &one, reinterpret_cast<float*>(64), 1), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(CU(cuCtxSynchronize)(), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(Scale(1), CUBLAS_STATUS_EXECUTION_FAILED);
  // Nothing of it can be taken apart.
  EXPECT_EQ(BLAS(cublasDestroy_v2)(std::exchange(handle_, nullptr)), CUBLAS_STATUS_SUCCESS);
  x_ = 0;
  DropContext();
}

}  // namespace
}  // namespace accelmesh::contract
