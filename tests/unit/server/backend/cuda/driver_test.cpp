// Finding the driver: what is absent is named, what is sticky is known.
#include "server/backend/cuda/driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace accelmesh::cuda {
namespace {

class DriverTest : public ::testing::Test {
 protected:
  void TearDown() override { ::unsetenv("ACCELMESH_LIBCUDA"); }
};

TEST_F(DriverTest, ALibraryThatIsNotThereIsNamed) {
  ::setenv("ACCELMESH_LIBCUDA", "/nowhere/libcuda.so.1", 1);
  const Result<Driver> driver = LoadDriver();
  ASSERT_FALSE(driver.ok());
  EXPECT_EQ(driver.code(), Code::kUnsupported);
  EXPECT_THAT(driver.status().text(), ::testing::HasSubstr("/nowhere/libcuda.so.1"));
}

TEST_F(DriverTest, FunctionsThatAreNotThereAreNamed) {
  ::setenv("ACCELMESH_LIBCUDA", "libm.so.6", 1);
  const Result<Driver> driver = LoadDriver();
  ASSERT_FALSE(driver.ok());
  EXPECT_THAT(driver.status().text(),
              ::testing::AllOf(::testing::HasSubstr("cuInit, "), ::testing::HasSubstr("cuMemHostRegister_v2"),
                               ::testing::HasSubstr("cuLaunchKernelEx")));
  EXPECT_THAT(driver.status().text(), ::testing::Not(::testing::HasSubstr("cuStreamWriteValue64")))
      << "there is a way without it";
}

TEST_F(DriverTest, StickyAreTheErrorsAfterWhichTheContextIsLost) {
  for (const CUresult result : {CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_MISALIGNED_ADDRESS, CUDA_ERROR_ASSERT,
                                CUDA_ERROR_LAUNCH_FAILED, CUDA_ERROR_ILLEGAL_INSTRUCTION, CUDA_ERROR_INVALID_PC,
                                CUDA_ERROR_INVALID_ADDRESS_SPACE, CUDA_ERROR_HARDWARE_STACK_ERROR}) {
    EXPECT_TRUE(IsSticky(result)) << result;
  }
  for (const CUresult result : {CUDA_SUCCESS, CUDA_ERROR_NOT_READY, CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_OUT_OF_MEMORY,
                                CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE}) {
    EXPECT_FALSE(IsSticky(result)) << result;
  }
}

}  // namespace
}  // namespace accelmesh::cuda
