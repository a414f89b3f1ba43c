// Words of calls as arguments of functions.
#include "server/backend/cuda/library_native.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace accelmesh::cuda {
namespace {

struct Words {
  explicit Words(std::vector<std::uint64_t> values, bool on_device = false) : all(std::move(values)) {
    all.insert(all.begin(), on_device ? kDevicePointers : 0);
  }
  ByteView view() const { return {reinterpret_cast<const std::uint8_t*>(all.data()), all.size() * sizeof(all[0])}; }
  std::vector<std::uint64_t> all;
};

// What a function was called with.
struct Seen {
  cublasHandle_t handle = nullptr;
  cublasOperation_t operation = CUBLAS_OP_N;
  int number = 0;
  double alpha = 0;
  bool is_aligned = false;
  const double* address = nullptr;
  int calls = 0;
};
Seen seen;
cublasStatus_t Function(cublasHandle_t handle, cublasOperation_t operation, int number, const cuDoubleComplex* alpha,
                        const double* address, int* info) {
  seen = {handle,  operation,     number, alpha->x, reinterpret_cast<std::uintptr_t>(alpha) % 16 == 0,
          address, seen.calls + 1};
  *info = 5;
  return CUBLAS_STATUS_ARCH_MISMATCH;
}
cublasStatus_t Call(NativeArguments& a) {
  using Type = cublasStatus_t(cublasOperation_t, int, const cuDoubleComplex*, const double*, int*);
  return NativeCall<Type>{reinterpret_cast<void*>(&Function), reinterpret_cast<cublasHandle_t>(64), a}(
      a.Word(0), a.Word(1), a.Scalar(0, 2, 2), a.Word(4), a.HostInfo());
}

TEST(NativeArgumentsTest, WordsBecomeWhatTheFunctionTakes) {
  seen = {};
  const Words words({CUBLAS_OP_C, static_cast<std::uint64_t>(-7), 0x3ff8000000000000, 0, 0x550000001000});
  NativeArguments arguments(words.view(), 0);
  EXPECT_EQ(Call(arguments), CUBLAS_STATUS_ARCH_MISMATCH);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(seen.handle), 64u);
  EXPECT_EQ(seen.operation, CUBLAS_OP_C);
  EXPECT_EQ(seen.number, -7);
  EXPECT_EQ(seen.alpha, 1.5);
  EXPECT_TRUE(seen.is_aligned);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(seen.address), 0x550000001000u);
}

TEST(NativeArgumentsTest, ANumberThatDoesNotFitIsNotPassed) {
  seen = {};
  for (const std::int64_t number : {std::int64_t{1} << 31, -(std::int64_t{1} << 31) - 1, std::int64_t{1} << 32}) {
    const Words words({CUBLAS_OP_N, static_cast<std::uint64_t>(number), 0, 0, 0});
    NativeArguments arguments(words.view(), 0);
    EXPECT_EQ(Call(arguments), CUBLAS_STATUS_INVALID_VALUE);
  }
  // An enumerator is one of 32 bits as well.
  const Words words({std::uint64_t{1} << 32, 1, 0, 0, 0});
  NativeArguments arguments(words.view(), 0);
  EXPECT_EQ(Call(arguments), CUBLAS_STATUS_INVALID_VALUE);
  EXPECT_EQ(seen.calls, 0);
}

TEST(NativeArgumentsTest, ScalarsOnTheDeviceAreAddresses) {
  const Words words({0x550000002000, 0, 0x550000003000}, true);
  NativeArguments arguments(words.view(), 0x1000);
  const double* scalar = arguments.Scalar(0, 0, 2);
  double* result = arguments.Result(1, 2, sizeof(double));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(scalar), 0x550000002000u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(result), 0x550000003000u);
  EXPECT_EQ(arguments.result_bytes(), 0u);
}

TEST(NativeArgumentsTest, AResultThatIsWaitedForGoesToThePlaceForIt) {
  const Words words({0});
  NativeArguments arguments(words.view(), 0x1000);
  float* result = arguments.Result(0, 0, sizeof(float));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(result), 0x1000u);
  EXPECT_EQ(arguments.result_bytes(), sizeof(float));
}

TEST(NativeArgumentsTest, ResultsOnTheHostAreInTheOrderOfTheParameters) {
  const Words words({0x3f800000, 0, 0, 0});
  NativeArguments arguments(words.view(), 0);
  // Made in another order.
  auto* third = static_cast<float*>(arguments.Result(2, 3, sizeof(float)));
  auto* second = static_cast<std::uint8_t*>(arguments.Result(1, 2, 2));
  auto* first = static_cast<float*>(arguments.InOut(0, 0, sizeof(float)));
  EXPECT_EQ(*first, 1.0f) << "as it came";
  *first = 2;
  second[0] = 7;
  second[1] = 8;
  *third = 3;
  const Bytes results = arguments.HostResults();
  ASSERT_EQ(results.size(), 10u);
  float value = 0;
  std::memcpy(&value, results.data(), sizeof(value));
  EXPECT_EQ(value, 2);
  EXPECT_EQ(results[4], 7);
  EXPECT_EQ(results[5], 8);
  std::memcpy(&value, results.data() + 6, sizeof(value));
  EXPECT_EQ(value, 3);
}

TEST(NativeArgumentsTest, NoTypeMakesAResultLargerThanItsPlace) {
  const Words words({0, 0});
  NativeArguments arguments(words.view(), 0);
  (void)arguments.Result(0, 0, 5 * sizeof(cuDoubleComplex));
  EXPECT_EQ(arguments.HostResults().size(), 64u);
}

}  // namespace
}  // namespace accelmesh::cuda
