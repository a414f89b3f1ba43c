// What calls ask for, against the plain formula, for every product of matrices that cuBLAS has.
#include "protocol/library/operations.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "protocol/library/dnn_calls.h"
#include "protocol/library/library.h"
#include "protocol/library/lt_problem.h"

namespace accelmesh {
namespace {

std::uint32_t FunctionNamed(std::uint32_t library, const std::string& name) {
  for (std::uint32_t f = 0; f <= LibraryFunctions(library); ++f) {
    if (LibraryFunctionName(library, f) == name) return f;
  }
  ADD_FAILURE() << name;
  return 0;
}

Bytes Words(const std::vector<std::int64_t>& words) {
  Bytes bytes(8 * (1 + words.size()));
  if (!words.empty()) std::memcpy(bytes.data() + 8, words.data(), 8 * words.size());
  return bytes;
}
template <typename T>
Bytes Call(const T& call) {
  Bytes bytes(8 + sizeof(call));
  std::memcpy(bytes.data() + 8, &call, sizeof(call));
  return bytes;
}

TEST(OperationsTest, AProductCountsTwoForEachMultiplyAdd) {
  const std::int64_t m = 3, n = 5, k = 7;
  const struct {
    const char* name;
    std::vector<std::int64_t> words;
    WorkType type;
    double operations;
  } cases[] = {
      // transa transb m n k alpha alpha A lda B ldb beta beta C ldc
      {"cublasSgemm_v2", {0, 0, m, n, k, 9, 9, 1, m, 1, k, 9, 9, 1, m}, WorkType::kFp32, 210},
      {"cublasDgemm_v2", {1, 0, m, n, k, 9, 9, 1, m, 1, k, 9, 9, 1, m}, WorkType::kFp64, 210},
      {"cublasHgemm", {0, 0, m, n, k, 9, 9, 1, m, 1, k, 9, 9, 1, m}, WorkType::kFp16, 210},
      {"cublasZgemm_v2", {0, 0, m, n, k, 9, 9, 1, m, 1, k, 9, 9, 1, m}, WorkType::kFp64, 840},
      {"cublasSgemmBatched", {0, 0, m, n, k, 9, 9, 1, m, 1, k, 9, 9, 1, m, 11}, WorkType::kFp32, 2310},
      {"cublasSgemmStridedBatched",
       {0, 0, m, n, k, 9, 9, 1, m, 15, 1, k, 35, 9, 9, 1, m, 15, 11},
       WorkType::kFp32,
       2310},
      // ... A Atype lda B Btype ldb beta beta C Ctype ldc
      {"cublasSgemmEx", {0, 0, m, n, k, 9, 9, 1, 2, m, 1, 2, k, 9, 9, 1, 2, m}, WorkType::kFp16, 210},
      {"cublasGemmEx", {0, 0, m, n, k, 9, 9, 1, 14, m, 1, 14, k, 9, 9, 1, 0, m, 68, -1}, WorkType::kBf16, 210},
      {"cublasGemmBatchedEx",
       {0, 0, m, n, k, 9, 9, 1, 3, m, 1, 3, k, 9, 9, 1, 10, m, 11, 72, -1},
       WorkType::kInt8,
       2310},
      {"cublasGemmStridedBatchedEx",
       {0, 0, m, n, k, 9, 9, 1, 0, m, 1, 1, 0, k, 1, 9, 9, 1, 0, m, 1, 11, 68, -1},
       WorkType::kFp32,
       2310},
  };
  for (const auto& one : cases) {
    const std::uint32_t function = FunctionNamed(kLibraryBlas, one.name);
    const Bytes arguments = Words(one.words);
    ASSERT_TRUE(HasLibraryShape(kLibraryBlas, function, arguments)) << one.name;
    const Work work = WorkOf(kLibraryBlas, function, arguments);
    EXPECT_EQ(work.kind, WorkKind::kMatmul) << one.name;
    EXPECT_EQ(work.type, one.type) << one.name;
    EXPECT_EQ(work.operations, one.operations) << one.name;
  }
}

TEST(OperationsTest, WhatIsNoProductCountsNothing) {
  for (const char* name : {"cublasSaxpy_v2", "cublasSgemv_v2", "cublasSgeam", "cublasStrsm_v2"}) {
    const Bytes arguments = Words(std::vector<std::int64_t>(40, 7));
    EXPECT_EQ(WorkOf(kLibraryBlas, FunctionNamed(kLibraryBlas, name), arguments).operations, 0) << name;
  }
  EXPECT_EQ(WorkOf(77, 1, Words({1, 2})).operations, 0);
}

TEST(OperationsTest, AnyBytesCountWhatIsNotNegative) {
  // Every function of every library with arguments of every length: nothing is read past its end (asan), and negative
  // sizes count nothing.
  for (const std::uint32_t library : {kLibraryBlas, kLibraryBlasLt, kLibraryDnn}) {
    for (std::uint32_t function = 0; function <= LibraryFunctions(library); ++function) {
      for (const std::int64_t value : {std::int64_t{-1}, std::int64_t{2}}) {
        for (std::size_t words = 0; words < kLibraryWordsMax; words += 5) {
          EXPECT_GE(WorkOf(library, function, Words(std::vector<std::int64_t>(words, value))).operations, 0);
        }
      }
    }
  }
}

TEST(OperationsTest, AProductOfCublasLt) {
  LtMatmul call;
  call.layouts.a.type = 2;
  call.layouts.a.rows = 7;  // transposed: the depth
  call.layouts.a.columns = 3;
  call.operation.transa = 1;
  call.layouts.d.rows = 3;
  call.layouts.d.columns = 5;
  call.layouts.d.batch_count = 2;
  const Work work = WorkOf(kLibraryBlasLt, FunctionNamed(kLibraryBlasLt, "cublasLtMatmul"), Call(call));
  EXPECT_EQ(work.type, WorkType::kFp16);
  EXPECT_EQ(work.operations, 2.0 * 3 * 5 * 7 * 2);
}

TEST(OperationsTest, AConvolutionIsASumOverTheFilterForEachOutput) {
  DnnConvolutionCall call;
  const auto tensor = [](std::array<std::int32_t, 4> dims) {
    DnnTensor made;
    made.rank = 4;
    std::copy(dims.begin(), dims.end(), made.dims.begin());
    return made;
  };
  // 2 images, 6 channels in 2 groups, 4 filters of 3 x 3, output 8 x 8.
  call.x.tensor = tensor({2, 6, 10, 10});
  call.w.tensor = tensor({4, 3, 3, 3});
  call.y.tensor = tensor({2, 4, 8, 8});
  double plain = 0;
  for (int image = 0; image < 2; ++image)
    for (int filter = 0; filter < 4; ++filter)
      for (int pixel = 0; pixel < 64; ++pixel)
        for (int tap = 0; tap < 3 * 3 * 3; ++tap) plain += 2;
  for (const char* name :
       {"cudnnConvolutionForward", "cudnnConvolutionBackwardData", "cudnnConvolutionBackwardFilter"}) {
    const Work work = WorkOf(kLibraryDnn, FunctionNamed(kLibraryDnn, name), Call(call));
    EXPECT_EQ(work.kind, WorkKind::kConvolution);
    EXPECT_EQ(work.operations, plain) << name;
  }
}

}  // namespace
}  // namespace accelmesh
