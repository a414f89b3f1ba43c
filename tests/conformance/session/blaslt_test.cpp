// Functions of cuBLASLt: products as commands of their streams, questions that wait for none. The same on every backend
// that has them.
#include <cstring>

#include "protocol/library/lt_problem.h"
#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

constexpr int kWatchMs = 40;
// Enumerators of cublasLt.h and its like.
constexpr std::int64_t kComputeFloat = 68;
constexpr std::int64_t kFillFull = 2;
constexpr std::int64_t kEpilogueDefault = 1;
constexpr std::int64_t kEpilogueReluBias = 6;
constexpr std::int64_t kTransposed = 1;
constexpr std::uint64_t kOne = 0x3f800000;  // as a float
constexpr std::uint32_t kIllegalAddress = 700;

class BlasLtTest : public SessionTest {
 protected:
  void SetUp() override {
    SessionTest::SetUp();
    if (HasFatalFailure()) return;
    if (ACCELMESH_HAS_BLAS == 0) GTEST_SKIP() << "built without OpenBLAS, and so without a cuBLAS to call";
    ASSERT_EQ(session().OpenLibrary(kLibraryBlasLt, 0, &functions_), 0u);
    ASSERT_EQ(session().LibrarySettings(kLibraryBlasLt, {}, &settings_), 0u);
    ASSERT_TRUE(HasBit(*functions_, kLtFunction<LtMatmul>));
    module();
  }
  template <typename Words>
  static Bytes Arguments(const Words& words) {
    Bytes arguments(sizeof(std::uint64_t) + sizeof(Words));
    std::memcpy(arguments.data() + sizeof(std::uint64_t), &words, sizeof(Words));
    return arguments;
  }
  template <typename Words>
  DeviceResult Post(Stream* stream, const Words& words) {
    return session().PostLibrary(stream, kLibraryBlasLt, kLtFunction<Words>, settings_, Arguments(words));
  }
  template <typename Words>
  std::uint32_t Ask(const Words& words, Bytes* results) {
    std::uint32_t status = 999;
    EXPECT_EQ(session().AskLibrary(kLibraryBlasLt, kLtFunction<Words>, 0, Arguments(words), &status, results), 0u);
    return status;
  }
  std::uint64_t Floats(const std::vector<float>& values) {
    const std::uint64_t address = Zeros(values.size() * sizeof(float));
    EXPECT_EQ(session().CopyToDevice(legacy(), address, values.data(), values.size() * sizeof(float), true), 0u);
    EXPECT_EQ(session().Synchronize(*legacy()), 0u);
    return address;
  }
  // Of float matrices, n times n.
  static LtMatmul Product(std::int64_t n, std::uint64_t a, std::uint64_t b, std::uint64_t d) {
    LtMatmul words;
    words.operation.compute_type = kComputeFloat;
    words.operation.fill_mode = kFillFull;
    words.operation.epilogue = kEpilogueDefault;
    for (LtLayout* layout : {&words.layouts.a, &words.layouts.b, &words.layouts.c, &words.layouts.d})
      layout->rows = layout->columns = layout->leading = n;
    words.alpha = {kOne, 0};
    words.a = a;
    words.b = b;
    words.c = d;
    words.d = d;
    return words;
  }
  static LtFindAlgorithms Question(const LtMatmul& product) {
    LtFindAlgorithms words;
    words.operation = product.operation;
    words.layouts = product.layouts;
    words.preference.reduction_mask = 0x3f;
    words.preference.a_alignment = words.preference.b_alignment = 16;
    words.preference.c_alignment = words.preference.d_alignment = 16;
    words.preference.implementation_mask = ~std::uint64_t{0};
    words.count = 2;
    return words;
  }

  std::shared_ptr<const Bytes> functions_;
  std::uint32_t settings_ = 0;
};

TEST_P(BlasLtTest, AProductWithItsEpilogueStandsInItsStream) {
  for (Stream* stream : {legacy(), NewStream(wire::StreamKind::NonBlocking)}) {
    const std::uint64_t a = Floats({1, -2, 3, -4});
    const std::uint64_t d = Floats({0, 0, 0, 0});
    const std::uint64_t bias = Floats({1, 0});
    LtMatmul words = Product(2, a, a, d);
    words.operation.epilogue = kEpilogueReluBias;
    words.operation.bias = bias;
    // Again and again, so that it is known and not known to the backend.
    for (int round = 0; round < 3; ++round) {
      const float first = static_cast<float>(round) - 1;
      float product[4] = {-1, -1, -1, -1};
      ASSERT_EQ(session().CopyToDevice(stream, bias, &first, sizeof(first), false), 0u);
      ASSERT_EQ(Post(stream, words), 0u);
      ASSERT_EQ(session().CopyToHost(stream, product, d, sizeof(product), true), 0u);
      // Columns of A * A: (1 - 6, -2 + 8), (3 - 12, -6 + 16).
      EXPECT_EQ(product[0], 0);
      EXPECT_EQ(product[1], 6);
      EXPECT_EQ(product[2], 0);
      EXPECT_EQ(product[3], 10);
    }
  }
}

TEST_P(BlasLtTest, AQuestionWaitsForNoStream) {
  const std::uint64_t gate = Zeros(4);
  Stream* opener = NewStream(wire::StreamKind::NonBlocking);
  const std::uint64_t a = Floats({1, 2, 3, 4});
  const std::uint64_t d = Floats({0, 0, 0, 0});
  const LtMatmul words = Product(2, a, a, d);
  Launch(legacy(), "wait_gate", {gate});
  ASSERT_EQ(Post(legacy(), words), 0u);
  Bytes first;
  Bytes second;
  EXPECT_EQ(Ask(Question(words), &first), 0u);
  EXPECT_EQ(Ask(Question(words), &second), 0u);
  EXPECT_FALSE(first.empty());
  EXPECT_EQ(first.size() % sizeof(LtHeuristic), 0u);
  EXPECT_EQ(first, second);
  EXPECT_FALSE(IdleWithin(*legacy(), kWatchMs));
  Launch(opener, "open_gate", {gate});
  float product[4] = {};
  ASSERT_EQ(session().CopyToHost(legacy(), product, d, sizeof(product), true), 0u);
  EXPECT_EQ(product[0], 7);
  // With the algorithm that was found.
  LtHeuristic best;
  std::memcpy(&best, first.data(), sizeof(best));
  LtMatmul with = words;
  with.has_algorithm = 1;
  with.algorithm = best.algorithm;
  with.alpha = {0x40000000, 0};
  ASSERT_EQ(Post(legacy(), with), 0u);
  ASSERT_EQ(session().CopyToHost(legacy(), product, d, sizeof(product), true), 0u);
  EXPECT_EQ(product[0], 14);
}

TEST_P(BlasLtTest, ATransformTurnsAMatrix) {
  ASSERT_TRUE(HasBit(*functions_, kLtFunction<LtTransform>));
  const std::uint64_t a = Floats({1, 2, 3, 4, 5, 6});
  const std::uint64_t c = Floats({0, 0, 0, 0, 0, 0});
  LtTransform words;
  words.transa = kTransposed;
  words.a_layout.rows = words.a_layout.leading = 2;
  words.a_layout.columns = 3;
  words.b_layout.batch_count = 0;
  words.c_layout.rows = words.c_layout.leading = 3;
  words.c_layout.columns = 2;
  words.alpha = {kOne, 0};
  words.a = a;
  words.c = c;
  ASSERT_EQ(Post(legacy(), words), 0u);
  float turned[6] = {};
  ASSERT_EQ(session().CopyToHost(legacy(), turned, c, sizeof(turned), true), 0u);
  EXPECT_EQ(turned[1], 3);
  EXPECT_EQ(turned[3], 2);
}

TEST_P(BlasLtTest, AnOperandOutsideOfMemoryEndsTheContext) {
  expect_errors_ = true;
  const std::uint64_t a = Floats({1, 2, 3, 4});
  ASSERT_EQ(Post(legacy(), Product(2, a, 64, a)), 0u);
  EXPECT_EQ(session().Synchronize(*legacy()), 0u);
  EXPECT_EQ(session().StickyError(), kIllegalAddress);
}

INSTANTIATE_TEST_SUITE_P(Transports, BlasLtTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
