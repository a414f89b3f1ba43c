// Words of cuBLASLt as its descriptors and back: the library here is the shim's descriptors, which keep what they are
// set to, and functions that look at what they are given.
#include "server/backend/cuda/library_lt.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "shim/blaslt/problem.h"
#include "shim/gen_blaslt_face.h"

namespace accelmesh::cuda {
namespace {

// What the last function was given.
struct Given {
  LtMatmul matmul;
  LtTransform transform;
  LtFindAlgorithms find;
  LtCheckAlgorithm check;
  LtTypes types;
  bool has_b_layout = false;
  int attributes = 0;  // that were set
};
Given given;

blaslt::MatmulDescriptors Descriptors(cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
                                      cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d) {
  return {operation, a, b, c, d};
}
std::uint64_t AddressOf(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }
std::array<std::uint64_t, 2> ScalarAt(const void* pointer, bool on_device) {
  std::array<std::uint64_t, 2> words{};
  if (on_device) {
    words[0] = AddressOf(pointer);
  } else {
    EXPECT_EQ(AddressOf(pointer) % 16, 0u);
    std::memcpy(words.data(), pointer, sizeof(words));
  }
  return words;
}

cublasStatus_t Matmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void* alpha, const void* a,
                      cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout, const void* beta,
                      const void* c, cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                      const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t workspace_bytes,
                      cudaStream_t stream) {
  EXPECT_EQ(AddressOf(stream), 77u);
  LtMatmul& words = given.matmul;
  const auto all = Descriptors(operation, a_layout, b_layout, c_layout, d_layout);
  EXPECT_EQ(blaslt::ReadMatmul(all, &words.operation, &words.layouts), CUBLAS_STATUS_SUCCESS);
  const std::int64_t mode = words.operation.pointer_mode;
  words.alpha = ScalarAt(alpha, mode != CUBLASLT_POINTER_MODE_HOST);
  words.beta = ScalarAt(beta, mode == CUBLASLT_POINTER_MODE_DEVICE || mode == CUBLASLT_POINTER_MODE_DEVICE_VECTOR);
  words.a = AddressOf(a);
  words.b = AddressOf(b);
  words.c = AddressOf(c);
  words.d = AddressOf(d);
  words.has_algorithm = algorithm != nullptr ? 1 : 0;
  words.algorithm = algorithm == nullptr ? LtAlgorithm{} : std::bit_cast<LtAlgorithm>(*algorithm);
  words.workspace = AddressOf(workspace);
  words.workspace_bytes = workspace_bytes;
  return CUBLAS_STATUS_ARCH_MISMATCH;
}

cublasStatus_t Transform(cublasLtHandle_t, cublasLtMatrixTransformDesc_t operation, const void* alpha, const void* a,
                         cublasLtMatrixLayout_t a_layout, const void* beta, const void* b,
                         cublasLtMatrixLayout_t b_layout, void* c, cublasLtMatrixLayout_t c_layout, cudaStream_t) {
  LtTransform& words = given.transform;
  const std::pair<cublasLtMatrixTransformDescAttributes_t, std::int64_t*> attributes[] = {
      {CUBLASLT_MATRIX_TRANSFORM_DESC_SCALE_TYPE, &words.scale_type},
      {CUBLASLT_MATRIX_TRANSFORM_DESC_POINTER_MODE, &words.pointer_mode},
      {CUBLASLT_MATRIX_TRANSFORM_DESC_TRANSA, &words.transa},
      {CUBLASLT_MATRIX_TRANSFORM_DESC_TRANSB, &words.transb}};
  for (const auto& [attribute, word] : attributes) {
    std::int32_t value = -1;
    std::size_t written = 0;
    EXPECT_EQ(face::cublasLtMatrixTransformDescGetAttribute(operation, attribute, &value, sizeof(value), &written),
              CUBLAS_STATUS_SUCCESS);
    *word = value;
  }
  const bool on_device = words.pointer_mode != CUBLASLT_POINTER_MODE_HOST;
  words.a_layout = blaslt::ReadLayout(*a_layout);
  given.has_b_layout = b_layout != nullptr;
  if (b_layout != nullptr) words.b_layout = blaslt::ReadLayout(*b_layout);
  words.c_layout = blaslt::ReadLayout(*c_layout);
  words.alpha = ScalarAt(alpha, on_device);
  words.beta = ScalarAt(beta, on_device);
  words.a = AddressOf(a);
  words.b = AddressOf(b);
  words.c = AddressOf(c);
  return CUBLAS_STATUS_SUCCESS;
}

cublasLtMatmulHeuristicResult_t Heuristic(std::uint64_t number) {
  cublasLtMatmulHeuristicResult_t result{};
  result.algo.data[0] = number;
  result.algo.data[7] = ~number;
  result.workspaceSize = 1000 + number;
  result.state = CUBLAS_STATUS_SUCCESS;
  result.wavesCount = 0.5f;
  return result;
}
cublasStatus_t GetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
                            cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                            cublasLtMatmulPreference_t preference, int wanted, cublasLtMatmulHeuristicResult_t* results,
                            int* count) {
  LtFindAlgorithms& words = given.find;
  EXPECT_EQ(blaslt::ReadMatmul(Descriptors(operation, a, b, c, d), &words.operation, &words.layouts),
            CUBLAS_STATUS_SUCCESS);
  words.preference = blaslt::WordsOf(blaslt::Load<blaslt::Preference>(*preference));
  words.algorithm = std::bit_cast<LtAlgorithm>(results[0].algo);
  words.count = wanted;
  *count = std::min(wanted, 2);
  for (int i = 0; i < *count; ++i) results[i] = Heuristic(static_cast<std::uint64_t>(i));
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t AlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
                         cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                         const cublasLtMatmulAlgo_t* algorithm, cublasLtMatmulHeuristicResult_t* result) {
  LtCheckAlgorithm& words = given.check;
  EXPECT_EQ(blaslt::ReadMatmul(Descriptors(operation, a, b, c, d), &words.operation, &words.layouts),
            CUBLAS_STATUS_SUCCESS);
  words.algorithm = std::bit_cast<LtAlgorithm>(*algorithm);
  *result = Heuristic(9);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t GetIds(cublasLtHandle_t, cublasComputeType_t compute, cudaDataType_t scale, cudaDataType_t a,
                      cudaDataType_t b, cudaDataType_t c, cudaDataType_t d, int wanted, int* ids, int* count) {
  given.types = {compute, scale, a, b, c, d};
  *count = 5;  // there are
  for (int i = 0; i < std::min(wanted, *count); ++i) ids[i] = 10 + i;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t AlgoInit(cublasLtHandle_t, cublasComputeType_t compute, cudaDataType_t scale, cudaDataType_t a,
                        cudaDataType_t b, cudaDataType_t c, cudaDataType_t d, int id, cublasLtMatmulAlgo_t* algorithm) {
  given.types = {compute, scale, a, b, c, d};
  algorithm->data[3] = static_cast<std::uint64_t>(id);
  return CUBLAS_STATUS_SUCCESS;
}
// An attribute that is as many bytes as its number says.
template <typename Attribute>
cublasStatus_t GetBytes(const cublasLtMatmulAlgo_t* algorithm, Attribute attribute, void* buffer, size_t bytes,
                        size_t* written) {
  const auto size = static_cast<std::size_t>(attribute);
  *written = size;
  if (bytes == 0) return CUBLAS_STATUS_SUCCESS;
  if (bytes < size) return CUBLAS_STATUS_INVALID_VALUE;
  std::memset(buffer, static_cast<int>(algorithm->data[0]), size);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t SetBytes(cublasLtMatmulAlgo_t* algorithm, cublasLtMatmulAlgoConfigAttributes_t attribute,
                        const void* buffer, size_t bytes) {
  std::memcpy(&algorithm->data[static_cast<std::size_t>(attribute)], buffer, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

class LtLibraryTest : public ::testing::Test {
 protected:
  LtLibraryTest() {
    given = {};
    library_.Matmul = &Matmul;
    library_.MatrixTransform = &Transform;
    library_.LayoutInit = &face::cublasLtMatrixLayoutInit_internal;
    library_.LayoutSet = &face::cublasLtMatrixLayoutSetAttribute;
    library_.MatmulDescInit = &face::cublasLtMatmulDescInit_internal;
    library_.MatmulDescSet = [](cublasLtMatmulDesc_t descriptor, cublasLtMatmulDescAttributes_t attribute,
                                const void* buffer, size_t bytes) {
      ++given.attributes;
      return face::cublasLtMatmulDescSetAttribute(descriptor, attribute, buffer, bytes);
    };
    library_.TransformDescInit = &face::cublasLtMatrixTransformDescInit_internal;
    library_.TransformDescSet = &face::cublasLtMatrixTransformDescSetAttribute;
    library_.EmulationDescInit = &face::cublasLtEmulationDescInit_internal;
    library_.EmulationDescSet = &face::cublasLtEmulationDescSetAttribute;
    library_.PreferenceInit = &face::cublasLtMatmulPreferenceInit_internal;
    library_.PreferenceSet = &face::cublasLtMatmulPreferenceSetAttribute;
    library_.GetHeuristic = &GetHeuristic;
    library_.AlgoCheck = &AlgoCheck;
    library_.GetIds = &GetIds;
    library_.AlgoInit = &AlgoInit;
    library_.AlgoGetCapability = &GetBytes<cublasLtMatmulAlgoCapAttributes_t>;
    library_.AlgoGetConfiguration = &GetBytes<cublasLtMatmulAlgoConfigAttributes_t>;
    library_.AlgoSetConfiguration = &SetBytes;
  }
  template <typename Words>
  static Bytes Arguments(const Words& words) {
    Bytes arguments(sizeof(std::uint64_t) + sizeof(Words));
    std::memcpy(arguments.data() + sizeof(std::uint64_t), &words, sizeof(Words));
    return arguments;
  }
  template <typename Words>
  cublasStatus_t Run(const Words& words) {
    return library_.Run(nullptr, kLtFunction<Words>, Arguments(words), reinterpret_cast<CUstream>(77));
  }
  template <typename Words>
  LibraryAnswer Ask(const Words& words) {
    return library_.Ask(nullptr, kLtFunction<Words>, Arguments(words));
  }
  // Every word another number, small enough for the smallest attribute.
  template <typename Words>
  static Words Numbered(std::uint64_t first) {
    std::array<std::uint64_t, kLtWords<Words>> numbers;
    for (std::uint64_t& number : numbers) number = first++;
    return std::bit_cast<Words>(numbers);
  }
  template <typename Words>
  static std::array<std::uint64_t, kLtWords<Words>> Words64(const Words& words) {
    return std::bit_cast<std::array<std::uint64_t, kLtWords<Words>>>(words);
  }

  LtLibrary library_;
};

TEST_F(LtLibraryTest, EveryWordOfAProductArrives) {
  for (std::int64_t mode = CUBLASLT_POINTER_MODE_HOST; mode <= CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_HOST;
       ++mode) {
    auto words = Numbered<LtMatmul>(3);
    words.operation.pointer_mode = mode;
    words.operation.has_emulation = 1;
    words.has_algorithm = 1;
    EXPECT_EQ(Run(words), CUBLAS_STATUS_ARCH_MISMATCH) << "the function's own status";
    if (mode != CUBLASLT_POINTER_MODE_HOST) words.alpha[1] = 0;
    if (mode == CUBLASLT_POINTER_MODE_DEVICE || mode == CUBLASLT_POINTER_MODE_DEVICE_VECTOR) words.beta[1] = 0;
    EXPECT_EQ(Words64(given.matmul), Words64(words)) << mode;
  }
}

TEST_F(LtLibraryTest, APlainProductSetsWhatIsNotPlain) {
  LtMatmul words;
  words.operation.fill_mode = CUBLAS_FILL_MODE_FULL;
  words.operation.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  Run(words);
  EXPECT_EQ(given.attributes, 0);
  EXPECT_EQ(given.matmul.has_algorithm, 0);
  words.operation.transa = CUBLAS_OP_T;
  words.operation.epilogue = CUBLASLT_EPILOGUE_BIAS;
  words.operation.bias = 64;
  Run(words);
  EXPECT_EQ(given.attributes, 3);
}

TEST_F(LtLibraryTest, ALibraryWithoutEmulationSaysSo) {
  library_.EmulationDescInit = nullptr;
  LtMatmul words;
  words.operation.has_emulation = 1;
  EXPECT_EQ(Run(words), CUBLAS_STATUS_NOT_SUPPORTED);
}

TEST_F(LtLibraryTest, EveryWordOfATransformArrives) {
  for (const std::int64_t mode : {CUBLASLT_POINTER_MODE_HOST, CUBLASLT_POINTER_MODE_DEVICE}) {
    auto words = Numbered<LtTransform>(3);
    words.pointer_mode = mode;
    EXPECT_EQ(Run(words), CUBLAS_STATUS_SUCCESS);
    if (mode == CUBLASLT_POINTER_MODE_DEVICE) words.alpha[1] = words.beta[1] = 0;
    EXPECT_EQ(Words64(given.transform), Words64(words));
    EXPECT_TRUE(given.has_b_layout);
  }
  auto words = Numbered<LtTransform>(3);
  words.b_layout = std::bit_cast<LtLayout>(std::array<std::uint64_t, kLtWords<LtLayout>>{});
  EXPECT_EQ(Run(words), CUBLAS_STATUS_SUCCESS);
  EXPECT_FALSE(given.has_b_layout);
}

TEST_F(LtLibraryTest, AlgorithmsAreFound) {
  auto words = Numbered<LtFindAlgorithms>(3);
  words.operation.has_emulation = 1;
  words.count = 3;
  const LibraryAnswer answer = Ask(words);
  EXPECT_EQ(answer.status, 0u);
  EXPECT_EQ(Words64(given.find), Words64(words));
  ASSERT_EQ(answer.results.size(), 2 * sizeof(LtHeuristic));
  LtHeuristic second;
  std::memcpy(&second, answer.results.data() + sizeof(second), sizeof(second));
  EXPECT_EQ(second.algorithm[0], 1u);
  EXPECT_EQ(second.algorithm[7], ~std::uint64_t{1});
  EXPECT_EQ(second.workspace_bytes, 1001u);
  EXPECT_EQ(second.waves, std::bit_cast<std::uint32_t>(0.5f));
  for (const std::int64_t count : {std::int64_t{0}, std::int64_t{-1}, kLtHeuristicsMax + 1}) {
    words.count = count;
    EXPECT_EQ(Ask(words).status, static_cast<std::uint32_t>(CUBLAS_STATUS_INVALID_VALUE));
  }
}

TEST_F(LtLibraryTest, TheOtherQuestionsAreAnswered) {
  const auto check = Numbered<LtCheckAlgorithm>(3);
  EXPECT_EQ(Ask(check).results.size(), sizeof(LtHeuristic));
  EXPECT_EQ(given.check.layouts.d.batch_mode, check.layouts.d.batch_mode);
  EXPECT_EQ(given.check.algorithm, check.algorithm);

  auto list = Numbered<LtListAlgorithms>(3);
  list.count = 3;
  const Bytes ids = Ask(list).results;
  ASSERT_EQ(ids.size(), 3 * sizeof(std::int32_t)) << "no more than was asked for";
  EXPECT_EQ(ids[4], 11);
  EXPECT_EQ(given.types.d, list.types.d);

  LtAlgorithm algorithm{};
  const auto init = Numbered<LtInitAlgorithm>(3);
  const Bytes made = Ask(init).results;
  ASSERT_EQ(made.size(), sizeof(algorithm));
  std::memcpy(&algorithm, made.data(), sizeof(algorithm));
  EXPECT_EQ(algorithm[3], static_cast<std::uint64_t>(init.id));

  LtGetCapability capability;
  capability.algorithm[0] = 5;
  capability.attribute = 23;
  EXPECT_EQ(Ask(capability).results, Bytes(23, 5));
  capability.attribute = 0;
  EXPECT_EQ(Ask(capability).results, Bytes());
  capability.attribute = 1 << 20;
  EXPECT_EQ(Ask(capability).status, static_cast<std::uint32_t>(CUBLAS_STATUS_NOT_SUPPORTED));
  LtGetConfiguration configuration;
  configuration.algorithm[0] = 6;
  configuration.attribute = 4;
  EXPECT_EQ(Ask(configuration).results, Bytes(4, 6));

  LtSetConfiguration set;
  set.attribute = 2;
  set.bytes = 2;
  set.value = 0x12345;
  const Bytes changed = Ask(set).results;
  ASSERT_EQ(changed.size(), sizeof(algorithm));
  std::memcpy(&algorithm, changed.data(), sizeof(algorithm));
  EXPECT_EQ(algorithm[2], 0x2345u);
  set.bytes = 9;
  EXPECT_EQ(Ask(set).status, static_cast<std::uint32_t>(CUBLAS_STATUS_INVALID_VALUE));
}

// NVIDIA's library of the toolkit opens without a GPU, and has descriptors without one.
TEST(NvidiasLtLibraryTest, TakesEveryAttributeAsItIsSet) {
  ::setenv("ACCELMESH_LIBCUBLASLT", ACCELMESH_NVIDIAS_CUBLASLT, 1);
  const auto loaded = LtLibrary::Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  LtLibrary library = **loaded;
  EXPECT_EQ(library.StatusName(CUBLAS_STATUS_ALLOC_FAILED), "CUBLAS_STATUS_ALLOC_FAILED (3)");
  // Whatever comes as far as these has set all there is to set.
  library.Matmul = [](cublasLtHandle_t, cublasLtMatmulDesc_t, const void*, const void*, cublasLtMatrixLayout_t,
                      const void*, cublasLtMatrixLayout_t, const void*, const void*, cublasLtMatrixLayout_t, void*,
                      cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t*, void*, size_t,
                      cudaStream_t) { return CUBLAS_STATUS_MAPPING_ERROR; };
  library.MatrixTransform = [](cublasLtHandle_t, cublasLtMatrixTransformDesc_t, const void*, const void*,
                               cublasLtMatrixLayout_t, const void*, const void*, cublasLtMatrixLayout_t, void*,
                               cublasLtMatrixLayout_t, cudaStream_t) { return CUBLAS_STATUS_MAPPING_ERROR; };
  library.GetHeuristic = [](cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                            cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, int,
                            cublasLtMatmulHeuristicResult_t*, int*) { return CUBLAS_STATUS_MAPPING_ERROR; };
  const auto run = [&library](const auto& words) {
    Bytes arguments(sizeof(std::uint64_t) + sizeof(words));
    std::memcpy(arguments.data() + sizeof(std::uint64_t), &words, sizeof(words));
    const std::uint32_t function = kLtFunction<std::remove_cvref_t<decltype(words)>>;
    return IsAsked(kLibraryBlasLt, function)
               ? static_cast<cublasStatus_t>(library.Ask(nullptr, function, arguments).status)
               : library.Run(nullptr, function, arguments, nullptr);
  };
  LtMatmul words;
  words.operation.compute_type = CUBLAS_COMPUTE_32F;
  words.operation.fill_mode = CUBLAS_FILL_MODE_FULL;
  words.operation.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  for (LtLayout* layout : {&words.layouts.a, &words.layouts.b, &words.layouts.c, &words.layouts.d})
    layout->rows = layout->columns = layout->leading = 64;
  // One word after the other is something else than a new descriptor has.
  constexpr std::size_t kFirst = offsetof(LtOperation, pointer_mode) / sizeof(std::uint64_t);
  constexpr std::size_t kEnd = offsetof(LtOperation, emulation_strategy) / sizeof(std::uint64_t);
  for (std::size_t word = kFirst; word < kEnd; ++word) {
    auto numbers = std::bit_cast<std::array<std::uint64_t, kLtWords<LtMatmul>>>(words);
    numbers[word] = numbers[word] == 1 ? 2 : 1;
    EXPECT_EQ(run(std::bit_cast<LtMatmul>(numbers)), CUBLAS_STATUS_MAPPING_ERROR) << "word " << word;
  }
  words.operation.has_emulation = 1;
  words.operation.special_values = 0xffff;
  words.operation.mantissa_bits_max = 40;
  words.operation.mantissa_bit_offset = 2;
  words.operation.mantissa_bits = 256;
  EXPECT_EQ(run(words), CUBLAS_STATUS_MAPPING_ERROR);
  words.layouts.a = {.order = CUBLASLT_ORDER_ROW,
                     .rows = 64,
                     .columns = 64,
                     .leading = 64,
                     .batch_count = 2,
                     .batch_stride = 4096,
                     .plane_offset = 4096,
                     .batch_mode = CUBLASLT_BATCH_MODE_POINTER_ARRAY};
  EXPECT_EQ(run(words), CUBLAS_STATUS_MAPPING_ERROR);
  LtFindAlgorithms find{.operation = words.operation, .layouts = words.layouts, .preference = {}, .count = 1};
  find.preference = {.search_mode = 1,
                     .workspace_bytes_max = 1 << 20,
                     .reduction_mask = 7,
                     .a_alignment = 16,
                     .b_alignment = 16,
                     .c_alignment = 16,
                     .d_alignment = 16,
                     .waves_max = std::bit_cast<std::uint32_t>(0.5f),
                     .implementation_mask = 0xff};
  EXPECT_EQ(run(find), CUBLAS_STATUS_MAPPING_ERROR);
  LtTransform transform;
  transform.pointer_mode = transform.transa = transform.transb = 1;
  transform.a_layout = transform.b_layout = transform.c_layout = words.layouts.b;
  EXPECT_EQ(run(transform), CUBLAS_STATUS_MAPPING_ERROR);
}

TEST_F(LtLibraryTest, AProblemIsNumbersAndHowAddressesAreAligned) {
  const std::uint32_t function = kLtFunction<LtMatmul>;
  auto words = Numbered<LtMatmul>(16);
  const auto problem = [&] { return LtProblem(function, Arguments(words)); };
  const Bytes before = problem();
  words.a += 256;
  words.operation.bias += 16;
  words.alpha[0] += 1;
  EXPECT_EQ(problem(), before);
  words.beta = {0, 0};
  EXPECT_NE(problem(), before) << "a beta of 0 may have a kernel of its own";
  words.beta = {1, 0};
  EXPECT_EQ(problem(), before);
  words.a += 1;
  EXPECT_NE(problem(), before);
  words.a -= 1;
  words.layouts.c.rows += 1;
  EXPECT_NE(problem(), before);
}

}  // namespace
}  // namespace accelmesh::cuda
