// The contract libcudnn enforces what it is there for: each rule fires, and who keeps them gets results.
#include <cudnn.h>

#include <utility>

#include "tests/contract/contract_test.h"
#include "tests/contract/libcudnn/control.h"

namespace accelmesh::contract {
namespace {

void* Dnn() {
  static void* const library = [] {
    (void)Library();  // it stands on that one
    void* opened = dlopen(ACCELMESH_CONTRACT_LIBCUDNN, RTLD_NOW | RTLD_LOCAL);
    if (opened == nullptr) std::fprintf(stderr, "%s\n", dlerror());
    return opened;
  }();
  return library;
}
#define DNN(name) reinterpret_cast<decltype(&name)>(dlsym(Dnn(), #name))

class ContractDnnTest : public ContractTest {
 protected:
  void SetUp() override {
    ContractTest::SetUp();
    ASSERT_NE(Dnn(), nullptr);
    ASSERT_EQ(DNN(cudnnCreate)(&handle_), CUDNN_STATUS_SUCCESS);
    ASSERT_EQ(DNN(cudnnCreateTensorDescriptor)(&two_), CUDNN_STATUS_SUCCESS);
    ASSERT_EQ(DNN(cudnnSetTensor4dDescriptor)(two_, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, 1, 1, 2),
              CUDNN_STATUS_SUCCESS);
    x_ = Malloc(4096);
    const float numbers[] = {3, -4};
    OK(CU(cuMemcpyHtoD)(x_, numbers, sizeof(numbers)));
  }
  void TearDown() override {
    CU(contract_set_executor)(0);
    EXPECT_EQ(DNN(cudnnDestroyTensorDescriptor)(two_), CUDNN_STATUS_SUCCESS);
    if (handle_ != nullptr) {
      EXPECT_EQ(DNN(cudnnDestroy)(handle_), CUDNN_STATUS_SUCCESS);
    }
    if (x_ != 0) {
      OK(CU(cuMemFree)(x_));
    }
    ContractTest::TearDown();
  }
  void* x() const { return reinterpret_cast<void*>(x_); }
  cudnnStatus_t Scale(float by) { return DNN(cudnnScaleTensor)(handle_, two_, x(), &by); }
  cudnnStatus_t AskForAlgorithms() {
    cudnnFilterDescriptor_t filter = nullptr;
    cudnnConvolutionDescriptor_t convolution = nullptr;
    EXPECT_EQ(DNN(cudnnCreateFilterDescriptor)(&filter), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(DNN(cudnnSetFilter4dDescriptor)(filter, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 1, 1, 1, 1),
              CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(DNN(cudnnCreateConvolutionDescriptor)(&convolution), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(
        DNN(cudnnSetConvolution2dDescriptor)(convolution, 0, 0, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
        CUDNN_STATUS_SUCCESS);
    cudnnConvolutionFwdAlgoPerf_t found[4];
    int count = 0;
    const cudnnStatus_t status =
        DNN(cudnnGetConvolutionForwardAlgorithm_v7)(handle_, two_, filter, convolution, two_, 4, &count, found);
    if (status == CUDNN_STATUS_SUCCESS) {
      EXPECT_GE(count, 2);
      EXPECT_EQ(found[1].memory, CONTRACT_DNN_WORKSPACE_BYTES + 0u);
    }
    EXPECT_EQ(DNN(cudnnDestroyConvolutionDescriptor)(convolution), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(DNN(cudnnDestroyFilterDescriptor)(filter), CUDNN_STATUS_SUCCESS);
    return status;
  }

  cudnnHandle_t handle_ = nullptr;
  cudnnTensorDescriptor_t two_ = nullptr;
  CUdeviceptr x_ = 0;
};

TEST_F(ContractDnnTest, WorkRunsInItsTurnInTheHandlesStream) {
  CUstream stream = NewStream();
  std::uint64_t* gate = Pinned();
  ASSERT_EQ(DNN(cudnnSetStream)(handle_, stream), CUDNN_STATUS_SUCCESS);
  Close(stream, gate);
  EXPECT_EQ(Scale(2), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(CU(cuStreamQuery)(stream), CUDA_ERROR_NOT_READY);
  Open(gate);
  OK(CU(cuStreamSynchronize)(stream));
  float numbers[2] = {};
  OK(CU(cuMemcpyDtoH)(numbers, x_, sizeof(numbers)));
  EXPECT_EQ(numbers[0], 6);
  EXPECT_EQ(numbers[1], -8);
  contract_dnn_state state{};
  reinterpret_cast<decltype(&contract_dnn_last)>(dlsym(Dnn(), "contract_dnn_last"))(&state);
  EXPECT_EQ(state.stream, stream);
  OK(CU(cuStreamDestroy)(stream));
  OK(CU(cuMemFreeHost)(gate));
}

TEST_F(ContractDnnTest, TheExecutorMayNotWait) {
  EXPECT_EQ(Scale(1), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(AskForAlgorithms(), CUDNN_STATUS_SUCCESS);
  Quiet();
  CU(contract_set_executor)(1);
  EXPECT_EQ(Scale(1), CUDNN_STATUS_SUCCESS) << "what has run before only queues";
  EXPECT_EQ(AskForAlgorithms(), CUDNN_STATUS_EXECUTION_FAILED);
  Expect(CONTRACT_RULE_EXECUTOR_WAITS);
  // Of all tests here, the only one that calls it.
  const float one = 1;
  EXPECT_EQ(DNN(cudnnSetTensor)(handle_, two_, x(), &one), CUDNN_STATUS_EXECUTION_FAILED);
  Expect(CONTRACT_RULE_EXECUTOR_WAITS);
  cudnnHandle_t another = nullptr;
  EXPECT_EQ(DNN(cudnnCreate)(&another), CUDNN_STATUS_NOT_INITIALIZED);
  Expect(CONTRACT_RULE_EXECUTOR_WAITS);
  EXPECT_EQ(DNN(cudnnDestroy)(handle_), CUDNN_STATUS_NOT_INITIALIZED);
  Expect(CONTRACT_RULE_EXECUTOR_WAITS);
  CU(contract_set_executor)(0);
  OK(CU(cuCtxSynchronize)());
}

TEST_F(ContractDnnTest, HandlesAreOfTheirContextAndLiveOnce) {
  Quiet();
  CUcontext other = nullptr;
  OK(CU(cuCtxCreate)(&other, nullptr, 0, 0));
  EXPECT_EQ(Scale(1), CUDNN_STATUS_BAD_PARAM);
  Expect(CONTRACT_RULE_WRONG_CONTEXT);
  OK(CU(cuCtxDestroy)(other));
  const cudnnHandle_t destroyed = std::exchange(handle_, nullptr);
  EXPECT_EQ(DNN(cudnnDestroy)(destroyed), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(DNN(cudnnSetStream)(destroyed, nullptr), CUDNN_STATUS_BAD_PARAM);
  Expect(CONTRACT_RULE_BAD_HANDLE);
}

TEST_F(ContractDnnTest, AReductionNeedsTheWorkspaceThatItSays) {
  cudnnReduceTensorDescriptor_t reduction = nullptr;
  cudnnTensorDescriptor_t one = nullptr;
  ASSERT_EQ(DNN(cudnnCreateReduceTensorDescriptor)(&reduction), CUDNN_STATUS_SUCCESS);
  ASSERT_EQ(
      DNN(cudnnSetReduceTensorDescriptor)(reduction, CUDNN_REDUCE_TENSOR_ADD, CUDNN_DATA_FLOAT, CUDNN_NOT_PROPAGATE_NAN,
                                          CUDNN_REDUCE_TENSOR_NO_INDICES, CUDNN_32BIT_INDICES),
      CUDNN_STATUS_SUCCESS);
  ASSERT_EQ(DNN(cudnnCreateTensorDescriptor)(&one), CUDNN_STATUS_SUCCESS);
  ASSERT_EQ(DNN(cudnnSetTensor4dDescriptor)(one, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, 1, 1, 1),
            CUDNN_STATUS_SUCCESS);
  size_t bytes = 0;
  ASSERT_EQ(DNN(cudnnGetReductionWorkspaceSize)(handle_, reduction, two_, one, &bytes), CUDNN_STATUS_SUCCESS);
  ASSERT_GT(bytes, 0u);
  const float alpha = 1, beta = 0;
  void* const result = reinterpret_cast<void*>(x_ + 2048);
  const auto reduce = [&](void* workspace, size_t room) {
    return DNN(cudnnReduceTensor)(handle_, reduction, nullptr, 0, workspace, room, &alpha, two_, x(), &beta, one,
                                  result);
  };
  EXPECT_EQ(reduce(nullptr, bytes), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(reduce(reinterpret_cast<void*>(x_ + 1024), bytes - 1), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(reduce(reinterpret_cast<void*>(x_ + 1024), bytes), CUDNN_STATUS_SUCCESS);
  OK(CU(cuCtxSynchronize)());
  float sum = 0;
  OK(CU(cuMemcpyDtoH)(&sum, x_ + 2048, sizeof(sum)));
  EXPECT_EQ(sum, -1);
  EXPECT_EQ(DNN(cudnnDestroyTensorDescriptor)(one), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(DNN(cudnnDestroyReduceTensorDescriptor)(reduction), CUDNN_STATUS_SUCCESS);
}

TEST_F(ContractDnnTest, OperandsOutsideOfMemoryRuinTheContext) {
  const float one = 1;
  EXPECT_EQ(DNN(cudnnScaleTensor)(handle_, two_, reinterpret_cast<void*>(64), &one), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(CU(cuCtxSynchronize)(), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(Scale(1), CUDNN_STATUS_EXECUTION_FAILED);
  // Nothing of it can be taken apart.
  EXPECT_EQ(DNN(cudnnDestroy)(std::exchange(handle_, nullptr)), CUDNN_STATUS_SUCCESS);
  x_ = 0;
  DropContext();
}

}  // namespace
}  // namespace accelmesh::contract
