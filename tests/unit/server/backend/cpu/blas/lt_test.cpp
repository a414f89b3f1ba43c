// cuBLASLt on the software GPU, through the border of its shared object: what the programs of tests/apps do not come
// to.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "protocol/library/lt_problem.h"
#include "server/backend/cpu/blas/lt_elements.h"
#include "tests/unit/server/backend/cpu/blas/plugin.h"

namespace accelmesh::cpu_blas {
namespace {

constexpr std::uint32_t kIllegal = 700;
constexpr std::uint32_t kMisaligned = 716;
constexpr std::uint32_t kUnsupported = 801;

// All that a call may use.
class Memory {
 public:
  template <typename T>
  std::uint64_t Add(std::vector<T>& values) {
    const auto address = reinterpret_cast<std::uintptr_t>(values.data());
    ranges_.emplace_back(address, address + values.size() * sizeof(T));
    return address;
  }
  static bool Allowed(const void* memory, std::uint64_t address, std::uint64_t bytes) {
    for (const auto& [begin, end] : static_cast<const Memory*>(memory)->ranges_) {
      if (address >= begin && address < end && bytes <= end - address) return true;
    }
    return false;
  }
  template <typename Words>
  Outcome Run(const Words& words) const {
    Bytes arguments(sizeof(std::uint64_t) + sizeof(Words));
    std::memcpy(arguments.data() + sizeof(std::uint64_t), &words, sizeof(Words));
    return blas_test::Plugin::Get().Run(
        {kLibraryBlasLt, kLtFunction<Words>, arguments.data(), arguments.size(), &Allowed, this});
  }

 private:
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges_;
};

LtLayout Layout(int type, i64 rows, i64 columns) {
  return {.type = type, .rows = rows, .columns = columns, .leading = rows};
}
std::array<std::uint64_t, 2> Float(float value) { return {std::bit_cast<std::uint32_t>(value), 0}; }

// D = A * B of n by n floats.
struct Square {
  explicit Square(i64 n) : a(elements(n)), b(elements(n)), c(elements(n)), d(elements(n)) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      a[i] = static_cast<float>(i % 7) - 3;
      b[i] = static_cast<float>(i % 5) - 2;
    }
    words.operation.compute_type = CUBLAS_COMPUTE_32F;
    words.operation.scale_type = CUDA_R_32F;
    words.operation.fill_mode = CUBLAS_FILL_MODE_FULL;
    words.operation.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    words.layouts = {Layout(CUDA_R_32F, n, n), Layout(CUDA_R_32F, n, n), Layout(CUDA_R_32F, n, n),
                     Layout(CUDA_R_32F, n, n)};
    words.alpha = Float(1);
    words.a = memory.Add(a);
    words.b = memory.Add(b);
    words.c = memory.Add(c);
    words.d = memory.Add(d);
  }
  static std::size_t elements(i64 n) { return static_cast<std::size_t>(n * n); }
  Outcome Run() const { return memory.Run(words); }

  std::vector<float> a, b, c, d;
  Memory memory;
  LtMatmul words;
};

TEST(CpuBlasLt, FindsItsAlgorithmOrSaysWhyNot) {
  Square square(4);
  const auto find = [&square] {
    return square.memory.Run(LtFindAlgorithms{square.words.operation, square.words.layouts, {}, {}, 5});
  };
  Outcome outcome = find();
  ASSERT_EQ(outcome.status, 0u);
  ASSERT_EQ(outcome.result_bytes, sizeof(LtHeuristic));
  LtHeuristic found;
  std::memcpy(&found, outcome.results, sizeof(found));
  EXPECT_EQ(found.workspace_bytes, 0u);
  square.words.algorithm = found.algorithm;
  square.words.has_algorithm = 1;
  EXPECT_EQ(square.Run().device_status, 0u);
  // Set to what it does not have.
  outcome = square.memory.Run(LtSetConfiguration{found.algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, 4, 3});
  ASSERT_EQ(outcome.status, 0u);
  std::memcpy(&square.words.algorithm, outcome.results, sizeof(LtAlgorithm));
  EXPECT_EQ(
      square.memory.Run(LtCheckAlgorithm{square.words.operation, square.words.layouts, square.words.algorithm}).status,
      static_cast<std::uint32_t>(CUBLAS_STATUS_NOT_SUPPORTED));
  EXPECT_EQ(square.Run().device_status, kUnsupported);

  square.words.layouts.a.order = CUBLASLT_ORDER_COL32;
  square.words.layouts.a.leading = 128;
  outcome = find();
  EXPECT_EQ(outcome.device_status, 0u);
  EXPECT_EQ(outcome.status, static_cast<std::uint32_t>(CUBLAS_STATUS_NOT_SUPPORTED));
  EXPECT_NE(std::string(reinterpret_cast<const char*>(outcome.results), outcome.result_bytes).find("orders"),
            std::string::npos);
}

TEST(CpuBlasLt, ScalesOfFloat8AreOfTheTensorOrOfItsRows) {
  std::vector<Float8E4M3> a(16), b(16), d(16);
  std::vector<Bfloat16> c(16);
  for (std::size_t i = 0; i < 16; ++i) {
    a[i] = Float8E4M3(static_cast<float>(i % 4) * 0.5f - 1);
    b[i] = Float8E4M3(static_cast<float>(i % 3));
  }
  std::vector<float> a_scales = {2, 3, 4, 5}, b_scales = {0.5f, 1, 2, 4}, d_scale = {0.25f}, amax = {-1};
  Memory memory;
  LtMatmul words;
  words.operation = {.compute_type = CUBLAS_COMPUTE_32F,
                     .scale_type = CUDA_R_32F,
                     .transa = CUBLAS_OP_T,
                     .fill_mode = CUBLAS_FILL_MODE_FULL,
                     .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
  words.layouts = {Layout(CUDA_R_8F_E4M3, 4, 4), Layout(CUDA_R_8F_E4M3, 4, 4), Layout(CUDA_R_16BF, 4, 4),
                   Layout(CUDA_R_8F_E4M3, 4, 4)};
  words.alpha = Float(1);
  words.a = memory.Add(a);
  words.b = memory.Add(b);
  words.c = memory.Add(c);
  words.d = memory.Add(d);
  words.operation.a_scale = memory.Add(a_scales);
  words.operation.b_scale = memory.Add(b_scales);
  words.operation.d_scale = memory.Add(d_scale);
  words.operation.d_amax = memory.Add(amax);
  for (const bool by_rows : {false, true}) {
    words.operation.a_scale_mode = words.operation.b_scale_mode =
        by_rows ? CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F : CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
    const Outcome outcome = memory.Run(words);
    ASSERT_EQ(outcome.device_status, 0u) << outcome.text;
    float largest = 0;
    for (std::size_t j = 0; j < 4; ++j) {
      for (std::size_t i = 0; i < 4; ++i) {
        float sum = 0;
        for (std::size_t l = 0; l < 4; ++l) sum += static_cast<float>(a[i * 4 + l]) * static_cast<float>(b[j * 4 + l]);
        sum *= by_rows ? a_scales[i] * b_scales[j] : a_scales[0] * b_scales[0];
        largest = std::max(largest, std::fabs(sum));
        EXPECT_EQ(static_cast<float>(d[j * 4 + i]), static_cast<float>(Float8E4M3(sum * 0.25f)));
      }
    }
    EXPECT_EQ(amax[0], largest);
  }
  words.operation.a_scale_mode = CUBLASLT_MATMUL_MATRIX_SCALE_VEC32_UE8M0;
  EXPECT_EQ(memory.Run(words).device_status, kUnsupported);
}

TEST(CpuBlasLt, Float8IsRoundedToTheNearestEvenAndSaturates) {
  const auto e4m3 = [](float value) { return static_cast<float>(Float8E4M3(value)); };
  const auto e5m2 = [](float value) { return static_cast<float>(Float8E5M2(value)); };
  EXPECT_EQ(e4m3(17), 16);  // between 16 and 18
  EXPECT_EQ(e4m3(19), 20);  // between 18 and 20
  EXPECT_EQ(e4m3(1e9f), 448);
  EXPECT_EQ(e4m3(-std::numeric_limits<float>::infinity()), -448);
  EXPECT_EQ(e4m3(0x1p-9f), 0x1p-9f);
  EXPECT_EQ(e4m3(0x1p-10f), 0);
  EXPECT_EQ(e4m3(0x1.8p-10f), 0x1p-9f);
  EXPECT_EQ(e4m3(15.9f), 16);
  EXPECT_EQ(e5m2(60000), 57344);
  EXPECT_EQ(e5m2(0x1p-16f), 0x1p-16f);
  EXPECT_TRUE(std::isnan(e4m3(NAN)));
  EXPECT_TRUE(std::isnan(e5m2(NAN)));
  // Each number is itself again.
  for (int i = 0; i < 256; ++i) {
    Float8E4M3 a;
    Float8E5M2 b;
    a.bits = b.bits = static_cast<std::uint8_t>(i);
    if (!std::isnan(static_cast<float>(a))) {
      EXPECT_EQ(Float8E4M3(static_cast<float>(a)).bits, i);
    }
    if (std::isfinite(static_cast<float>(b))) {
      EXPECT_EQ(Float8E5M2(static_cast<float>(b)).bits, i);
    }
  }
}

TEST(CpuBlasLt, ABatchMayBeOfPointers) {
  Square square(3);
  std::vector<float> other(9);
  std::vector<std::uint64_t> a = {square.words.a, square.words.b}, b = {square.words.b, square.words.b},
                             d = {square.words.d, square.memory.Add(other)};
  for (LtLayout* layout :
       {&square.words.layouts.a, &square.words.layouts.b, &square.words.layouts.c, &square.words.layouts.d}) {
    layout->batch_mode = CUBLASLT_BATCH_MODE_POINTER_ARRAY;
    layout->batch_count = 2;
  }
  square.words.a = square.memory.Add(a);
  square.words.b = square.memory.Add(b);
  square.words.c = square.words.d = square.memory.Add(d);
  ASSERT_EQ(square.Run().device_status, 0u);
  for (std::size_t j = 0; j < 3; ++j) {
    for (std::size_t i = 0; i < 3; ++i) {
      float first = 0, second = 0;
      for (std::size_t l = 0; l < 3; ++l) {
        first += square.a[l * 3 + i] * square.b[j * 3 + l];
        second += square.b[l * 3 + i] * square.b[j * 3 + l];
      }
      EXPECT_EQ(square.d[j * 3 + i], first);
      EXPECT_EQ(other[j * 3 + i], second);
    }
  }
  // One of them is nowhere: nothing is written.
  std::fill(other.begin(), other.end(), 5.0f);
  std::fill(square.d.begin(), square.d.end(), 5.0f);
  a[1] = 64;
  EXPECT_EQ(square.Run().device_status, kIllegal);
  EXPECT_EQ(square.d[0], 5);
  EXPECT_EQ(other[0], 5);
}

TEST(CpuBlasLt, ConjugatesInRowsAsInColumns) {
  std::vector<ComplexFloat> a = {{1, 2}, {3, -1}, {0, 4}, {2, 2}}, identity = {{1, 0}, {0, 0}, {0, 0}, {1, 0}}, d(4);
  Memory memory;
  LtMatmul words;
  words.operation = {.compute_type = CUBLAS_COMPUTE_32F,
                     .scale_type = CUDA_C_32F,
                     .transa = CUBLAS_OP_C,
                     .fill_mode = CUBLAS_FILL_MODE_FULL,
                     .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
  words.layouts = {Layout(CUDA_C_32F, 2, 2), Layout(CUDA_C_32F, 2, 2), Layout(CUDA_C_32F, 2, 2),
                   Layout(CUDA_C_32F, 2, 2)};
  words.alpha = Float(1);
  words.a = memory.Add(a);
  words.b = memory.Add(identity);
  words.c = words.d = memory.Add(d);
  ASSERT_EQ(memory.Run(words).device_status, 0u);
  EXPECT_EQ(d, (std::vector<ComplexFloat>{{1, -2}, {0, -4}, {3, 1}, {2, -2}}));
  words.layouts.a.order = CUBLASLT_ORDER_ROW;
  ASSERT_EQ(memory.Run(words).device_status, 0u);
  EXPECT_EQ(d, (std::vector<ComplexFloat>{{1, -2}, {3, 1}, {0, -4}, {2, -2}}));
}

TEST(CpuBlasLt, WithoutABetaNothingIsReadOfC) {
  Square square(4);
  square.words.c = 64;
  EXPECT_EQ(square.Run().device_status, 0u);
  square.words.beta = Float(1);
  EXPECT_EQ(square.Run().device_status, kIllegal);
}

TEST(CpuBlasLt, MoreThanABlockIsTheSame) {
  // A bias, a mask and sums of rows across blocks of rows and columns.
  constexpr i64 kM = 2100, kN = 530, kK = 3;
  std::vector<float> a(kM * kK), b(kK * kN), d(kM * kN), gradient(kM);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 5) - 2;
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % 3) - 1;
  constexpr i64 kLeading = 2176;
  std::vector<std::uint8_t> mask(kLeading / 8 * kN);
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = static_cast<std::uint8_t>(i * 37);
  Memory memory;
  LtMatmul words;
  words.operation = {.compute_type = CUBLAS_COMPUTE_32F,
                     .scale_type = CUDA_R_32F,
                     .fill_mode = CUBLAS_FILL_MODE_FULL,
                     .epilogue = CUBLASLT_EPILOGUE_DRELU_BGRAD,
                     .aux_leading = kLeading};
  words.layouts = {Layout(CUDA_R_32F, kM, kK), Layout(CUDA_R_32F, kK, kN), Layout(CUDA_R_32F, kM, kN),
                   Layout(CUDA_R_32F, kM, kN)};
  words.alpha = Float(1);
  words.a = memory.Add(a);
  words.b = memory.Add(b);
  words.c = words.d = memory.Add(d);
  words.operation.bias = memory.Add(gradient);
  words.operation.aux = memory.Add(mask);
  ASSERT_EQ(memory.Run(words).device_status, 0u);
  for (i64 i = 0; i < kM; ++i) {
    float sum = 0;
    for (i64 j = 0; j < kN; ++j) {
      float value = 0;
      for (i64 l = 0; l < kK; ++l)
        value += a[static_cast<std::size_t>(l * kM + i)] * b[static_cast<std::size_t>(j * kK + l)];
      if ((mask[static_cast<std::size_t>(j * kLeading + i) / 8] >> (i % 8) & 1) == 0) value = 0;
      ASSERT_EQ(d[static_cast<std::size_t>(j * kM + i)], value) << i << ", " << j;
      sum += value;
    }
    ASSERT_EQ(gradient[static_cast<std::size_t>(i)], sum) << i;
  }
}

TEST(CpuBlasLt, HostileWordsHarmNobody) {
  // Each word of a call is set to what no client of ours sends; a crash would end the test.
  constexpr std::uint64_t kBad[] = {
      0, 1, 3, 64, 255, 1u << 20, 0x7fffffff, 0x80000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff};
  for (const i64 epilogue : {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_RELU_AUX_BIAS, CUBLASLT_EPILOGUE_DGELU_BGRAD,
                             CUBLASLT_EPILOGUE_BGRADB}) {
    Square square(8);
    std::vector<float> bias(8), aux(8 * 128);
    square.words.operation.epilogue = epilogue;
    square.words.operation.bias = square.memory.Add(bias);
    square.words.operation.aux = square.memory.Add(aux);
    square.words.operation.aux_leading = 128;
    square.words.beta = Float(1);
    ASSERT_EQ(square.Run().device_status, 0u) << epilogue;
    const LtMatmul good = square.words;
    for (std::size_t word = 0; word < kLtWords<LtMatmul>; ++word) {
      for (const std::uint64_t bad : kBad) {
        square.words = good;
        std::memcpy(reinterpret_cast<char*>(&square.words) + word * sizeof(bad), &bad, sizeof(bad));
        const Outcome outcome = square.Run();
        EXPECT_TRUE(outcome.device_status == 0 || outcome.device_status == kIllegal ||
                    outcome.device_status == kMisaligned || outcome.device_status == kUnsupported)
            << "word " << word << " is " << bad << ": " << outcome.device_status << ", " << outcome.text;
      }
    }
  }
}

TEST(CpuBlasLt, AnOperandThatIsNoMemoryIsRefused) {
  for (std::uint64_t LtMatmul::* const operand : {&LtMatmul::a, &LtMatmul::b, &LtMatmul::c, &LtMatmul::d}) {
    Square square(8);
    square.words.beta = Float(1);
    square.words.*operand += 4;  // its end is not there
    EXPECT_EQ(square.Run().device_status, kIllegal);
    square.words.*operand -= 2;
    EXPECT_NE(square.Run().device_status, 0u);
  }
}

}  // namespace
}  // namespace accelmesh::cpu_blas
