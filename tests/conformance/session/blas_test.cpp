// Functions of cuBLAS as commands of their streams: what they wait for and what waits for them, what they answer, how
// they fail. The same on every backend that has them.
#include <array>
#include <cstring>

#include "protocol/library/blas_settings.h"
#include "protocol/library/library.h"
#include "tests/conformance/session/library_streams.h"

namespace accelmesh::conformance {
namespace {

constexpr std::uint32_t kInvalidValue = 1;
constexpr std::uint32_t kIllegalAddress = 700;
constexpr std::uint64_t kOne = 0x3f800000;  // as a float

class BlasTest : public LibraryStreamsTest {
 protected:
  void SetUp() override {
    SessionTest::SetUp();
    if (HasFatalFailure()) return;
    if (ACCELMESH_HAS_BLAS == 0) GTEST_SKIP() << "built without OpenBLAS, and so without a cuBLAS to call";
    ASSERT_EQ(session().OpenLibrary(kLibraryBlas, 0, &functions_), 0u);
    settings_ = Settings({});
    MakeGate();
  }
  static std::uint32_t Number(const std::string& name) {
    for (std::uint32_t f = 0; f < LibraryFunctions(kLibraryBlas); ++f) {
      if (LibraryFunctionName(kLibraryBlas, f) == name) return f;
    }
    ADD_FAILURE() << name;
    return 0;
  }
  std::uint32_t Settings(const BlasSettings& settings) {
    std::uint32_t number = 0;
    EXPECT_EQ(session().LibrarySettings(kLibraryBlas, AsBytes(settings), &number), 0u);
    return number;
  }
  DeviceResult Post(Stream* stream, const std::string& function, std::vector<std::uint64_t> words,
                    std::uint64_t flags = 0) {
    words.insert(words.begin(), flags);
    const ByteView arguments(reinterpret_cast<const std::uint8_t*>(words.data()), words.size() * sizeof(words[0]));
    return session().PostLibrary(stream, kLibraryBlas, Number(function), settings_, arguments);
  }
  // The status, and as many bytes of results as a T has.
  template <typename T>
  std::uint32_t Query(Stream* stream, const std::string& function, std::vector<std::uint64_t> words, T* result) {
    words.insert(words.begin(), 0);
    const ByteView arguments(reinterpret_cast<const std::uint8_t*>(words.data()), words.size() * sizeof(words[0]));
    std::uint32_t status = 999;
    Bytes results;
    EXPECT_EQ(session().QueryLibrary(stream, kLibraryBlas, Number(function), settings_, arguments, &status, &results),
              0u);
    if (status != 0) return status;
    EXPECT_EQ(results.size(), sizeof(T));
    std::memcpy(result, results.data(), std::min(sizeof(T), results.size()));
    return status;
  }
  // c = a * b, of n times n.
  DeviceResult Multiply(Stream* stream, std::uint64_t n, std::uint64_t a, std::uint64_t b, std::uint64_t c,
                        std::uint64_t stride) {
    return Post(stream, "cublasSgemm_v2", {0, 0, n, n, n, kOne, 0, a, stride, b, stride, 0, 0, c, stride});
  }
  // y += x, one element.
  DeviceResult Add(Stream* stream, std::uint64_t x, std::uint64_t y) override {
    return Post(stream, "cublasSaxpy_v2", {1, kOne, 0, x, 1, y, 1});
  }

  std::shared_ptr<const Bytes> functions_;
  std::uint32_t settings_ = 0;
};

TEST_P(BlasTest, AProductStandsBetweenTheCopiesBeforeAndBehindIt) {
  for (Stream* stream : {legacy(), NewStream(wire::StreamKind::NonBlocking), NewStream(wire::StreamKind::Blocking)}) {
    const std::uint64_t a = Zeros(16);
    const std::uint64_t c = Zeros(16);
    // Again and again, so that it is known and not known to the backend.
    for (int round = 1; round <= 3; ++round) {
      const auto factor = static_cast<float>(round);
      const std::array<float, 4> numbers{factor, 2, 3, 4};
      std::array<float, 4> product{};
      ASSERT_EQ(session().CopyToDevice(stream, a, numbers.data(), sizeof(numbers), false), 0u);
      ASSERT_EQ(Multiply(stream, 2, a, a, c, 2), 0u);
      ASSERT_EQ(session().CopyToHost(stream, product.data(), c, sizeof(product), true), 0u);
      EXPECT_EQ(product[0], factor * factor + 6);
      EXPECT_EQ(product[3], 22.0f);
    }
  }
}

TEST_P(BlasTest, EventsOrderCallsOfSeveralStreams) { EventsOrderCalls(); }

TEST_P(BlasTest, ACallThatWaitsHoldsUpNoOtherStream) { AHeldCallHoldsUpNoOther(); }

TEST_P(BlasTest, TheLegacyRuleHoldsForCalls) { TheLegacyRuleHolds(); }

TEST_P(BlasTest, AParkedStreamRunsAllOfItsCalls) { AParkedStreamRunsAll(); }

TEST_P(BlasTest, ResultsOnTheHostComeWhenTheStreamDoes) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t x = Floats(stream, {3, -4});
  float norm = 0;
  std::int64_t place = 0;
  // The device's result, at first and when it is known, and one of another size behind it.
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Query(stream, "cublasSnrm2_v2", {2, x, 1, 0}, &norm), 0u);
    EXPECT_EQ(norm, 5);
    EXPECT_EQ(Query(stream, "cublasIsamax_v2_64", {2, x, 1, 0}, &place), 0u);
    EXPECT_EQ(place, 2);
  }
  Launch(stream, "wait_gate", {gate_});
  ASSERT_EQ(Post(stream, "cublasSscal_v2", {2, 0x40000000, 0, x, 1}), 0u);
  // Two programs' threads wait for the same stream.
  std::array<float, 2> after{};
  std::vector<std::thread> threads;
  for (float& result : after)
    threads.emplace_back([&, this] { (void)Query(stream, "cublasSasum_v2", {2, x, 1, 0}, &result); });
  EXPECT_FALSE(IdleWithin(*stream, kWatchMs));
  OpenGate();
  EXPECT_TRUE(session().commands().Flush().ok());
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(after[0], 14);
  EXPECT_EQ(after[1], 14);
}

TEST_P(BlasTest, WhatNeverSeesTheDeviceIsAnswered) {
  struct {
    float a = 0, b = 0, c = 0, s = 0;
  } rotation;
  float three = 3;
  float four = 4;
  std::uint32_t a = 0;
  std::uint32_t b = 0;
  std::memcpy(&a, &three, sizeof(a));
  std::memcpy(&b, &four, sizeof(b));
  EXPECT_EQ(Query(legacy(), "cublasSrotg_v2", {a, 0, b, 0, 0, 0}, &rotation), 0u);
  EXPECT_FLOAT_EQ(rotation.a, 5);
  EXPECT_FLOAT_EQ(rotation.c, 0.6f);
  EXPECT_FLOAT_EQ(rotation.s, 0.8f);
}

TEST_P(BlasTest, ScalarsAndResultsMayLieOnTheDevice) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t x = Floats(stream, {3, 4, 7, 0});
  const std::uint64_t factor = x + 2 * sizeof(float);
  const std::uint64_t result = x + 3 * sizeof(float);
  // Device and host scalars by turns.
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(Post(stream, "cublasSscal_v2", {1, factor, 0, x, 1}, kDevicePointers), 0u);
    ASSERT_EQ(Post(stream, "cublasSscal_v2", {1, 0x40000000, 0, x, 1}), 0u);
  }
  EXPECT_EQ(ReadFloat(x), 3 * 7 * 2 * 7 * 2);
  ASSERT_EQ(Post(stream, "cublasSasum_v2", {1, factor, 1, result}, kDevicePointers), 0u);
  EXPECT_EQ(ReadFloat(result), 7);
}

TEST_P(BlasTest, AWorkspaceOfTheProgramsChangesNoResult) {
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t a = Floats(stream, {1, 2, 3, 4});
  const std::uint64_t c = Zeros(16);
  BlasSettings settings;
  settings.workspace = Malloc(1 << 20);
  settings.workspace_bytes = 1 << 20;
  settings.math_mode = 2;  // CUBLAS_PEDANTIC_MATH
  const std::uint32_t plain = settings_;
  const std::uint32_t own = Settings(settings);
  for (const std::uint32_t number : {own, plain, own}) {
    settings_ = number;
    ASSERT_EQ(Multiply(stream, 2, a, a, c, 2), 0u);
    EXPECT_EQ(ReadFloat(c), 7);
  }
}

TEST_P(BlasTest, ACallOfWrongArgumentsFailsAlone) {
  expect_errors_ = true;
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t a = Floats(stream, {1, 2, 3, 4});
  const std::uint64_t c = Zeros(16);
  ASSERT_EQ(Multiply(stream, 2, a, a, c, 1), 0u) << "told later";
  ASSERT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(session().TakeAsyncError(), kInvalidValue);
  EXPECT_EQ(session().TakeAsyncError(), 0u);
  ASSERT_EQ(Multiply(stream, 2, a, a, c, 2), 0u);
  EXPECT_EQ(ReadFloat(c), 7);
}

TEST_P(BlasTest, AnOperandOutsideOfMemoryEndsTheContext) {
  expect_errors_ = true;
  Stream* stream = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t a = Floats(stream, {1, 2, 3, 4});
  ASSERT_EQ(Multiply(stream, 2, a, 64, a, 2), 0u);
  EXPECT_EQ(session().Synchronize(*stream), 0u);
  EXPECT_EQ(session().StickyError(), kIllegalAddress);
}

TEST_P(BlasTest, HandlesServeOneStreamAfterTheOther) { HandlesServeStreamsInTurn(); }

INSTANTIATE_TEST_SUITE_P(Transports, BlasTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
