// Clusters of blocks on the contract libcuda, with a device that has them and with one that has not.
#include "tests/apps/cluster_kernels.h"
#include "tests/contract/contract_test.h"

namespace accelmesh::contract {
namespace {

class ClusterTest : public ContractTest {
 protected:
  void SetUp() override {
    ContractTest::SetUp();
    Become(90);
    OK(CU(cuModuleLoadDataEx)(&clusters_, kClusterPtx, 0, nullptr, nullptr));
  }
  void TearDown() override {
    OK(CU(cuModuleUnload)(clusters_));
    Become(80);
    ContractTest::TearDown();
  }
  static void Become(unsigned capability) {
    EXPECT_EQ(CU(contract_configure)(("capability=" + std::to_string(capability)).c_str()), 0);
  }
  CUfunction Find(const char* name) {
    CUfunction function = nullptr;
    OK(CU(cuModuleGetFunction)(&function, clusters_, name));
    return function;
  }
  // A cluster of `x` blocks in a row; 0: none asked for.
  CUlaunchConfig Config(unsigned blocks, unsigned x) {
    attribute_ = {};
    attribute_.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute_.value.clusterDim = {x, 1, 1};
    CUlaunchConfig config{};
    config.gridDimX = blocks;
    config.gridDimY = config.gridDimZ = config.blockDimY = config.blockDimZ = 1;
    config.blockDimX = 32;
    config.attrs = &attribute_;
    config.numAttrs = x == 0 ? 0 : 1;
    return config;
  }
  CUresult Try(CUfunction function, unsigned blocks, unsigned x) {
    const CUdeviceptr out = Malloc(256);
    CUdeviceptr argument = out;
    void* arguments[] = {&argument};
    const CUlaunchConfig config = Config(blocks, x);
    const CUresult result = CU(cuLaunchKernelEx)(&config, function, arguments, nullptr);
    OK(CU(cuMemcpyDtoH)(words_, out, sizeof(words_)));
    OK(CU(cuMemFree)(out));
    return result;
  }

  CUmodule clusters_ = nullptr;
  CUlaunchAttribute attribute_{};
  unsigned words_[16] = {};
};

TEST_F(ClusterTest, BlocksKnowTheirs) {
  OK(Try(Find("any"), 8, 4));
  EXPECT_EQ(words_[6], 2u | 4u << 8 | 1u << 16);
  OK(Try(Find("any"), 8, 0));
  EXPECT_EQ(words_[6], 0u | 1u << 8 | 6u << 16);
  OK(Try(Find("of_two"), 8, 0));
  EXPECT_EQ(words_[5], 1u | 2u << 8 | 2u << 16);
}

TEST_F(ClusterTest, SizesAreJudged) {
  const CUfunction any = Find("any");
  EXPECT_EQ(Try(any, 8, 3), CUDA_ERROR_INVALID_CLUSTER_SIZE) << "no part of the grid";
  EXPECT_EQ(Try(any, 16, 16), CUDA_ERROR_INVALID_CLUSTER_SIZE) << "not allowed";
  OK(CU(cuFuncSetAttribute)(any, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1));
  OK(Try(any, 16, 16));
  EXPECT_EQ(Try(any, 32, 32), CUDA_ERROR_INVALID_CLUSTER_SIZE) << "no device has it";
  EXPECT_EQ(Try(Find("of_two"), 8, 4), CUDA_ERROR_INVALID_CLUSTER_SIZE) << "compiled for another";
  EXPECT_EQ(Try(Find("must_be_set"), 8, 0), CUDA_ERROR_INVALID_CLUSTER_SIZE);
  OK(Try(Find("must_be_set"), 8, 2));
  Become(80);
  EXPECT_EQ(Try(any, 8, 2), CUDA_ERROR_INVALID_CLUSTER_SIZE) << "the device has none";
  OK(Try(any, 8, 1));
}

TEST_F(ClusterTest, KernelsAreAskedAndSet) {
  int value = 0;
  OK(CU(cuFuncGetAttribute)(&value, CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH, Find("of_two")));
  EXPECT_EQ(value, 2);
  OK(CU(cuFuncGetAttribute)(&value, CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET, Find("must_be_set")));
  EXPECT_EQ(value, 1);
  EXPECT_EQ(CU(cuFuncSetAttribute)(Find("of_two"), CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH, 4),
            CUDA_ERROR_NOT_PERMITTED);
  for (const CUfunction_attribute attribute :
       {CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH, CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT,
        CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH})
    OK(CU(cuFuncSetAttribute)(Find("any"), attribute, attribute == CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH ? 4 : 1));
  OK(Try(Find("any"), 8, 0));
  EXPECT_EQ(words_[6], 2u | 4u << 8 | 1u << 16);
}

TEST_F(ClusterTest, Occupancy) {
  int count = 0;
  const CUfunction any = Find("any");
  CUlaunchConfig config = Config(64, 2);
  OK(CU(cuOccupancyMaxActiveClusters)(&count, any, &config));
  EXPECT_EQ(count, 32 * 8 / 2);
  OK(CU(cuOccupancyMaxPotentialClusterSize)(&count, any, &config));
  EXPECT_EQ(count, 8);
  OK(CU(cuFuncSetAttribute)(any, CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1));
  OK(CU(cuOccupancyMaxPotentialClusterSize)(&count, any, &config));
  EXPECT_EQ(count, 16);
  OK(CU(cuOccupancyMaxPotentialClusterSize)(&count, Find("of_two"), &config));
  EXPECT_EQ(count, 2);
  config = Config(64, 0);
  EXPECT_EQ(CU(cuOccupancyMaxActiveClusters)(&count, any, &config), CUDA_ERROR_INVALID_CLUSTER_SIZE);
}

}  // namespace
}  // namespace accelmesh::contract
