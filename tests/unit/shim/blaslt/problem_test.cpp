#include "shim/blaslt/problem.h"

#include <gtest/gtest.h>

#include "shim/blaslt/types.h"

namespace accelmesh::blaslt {
namespace {

// D (8 by 16) = A (8 by 4) * B (4 by 16).
struct Problem {
  LtOperation operation{.compute_type = CUBLAS_COMPUTE_32F,
                        .scale_type = CUDA_R_32F,
                        .fill_mode = CUBLAS_FILL_MODE_FULL,
                        .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
  LtLayouts layouts{{.rows = 8, .columns = 4, .leading = 8},
                    {.rows = 4, .columns = 16, .leading = 4},
                    {.rows = 8, .columns = 16, .leading = 8},
                    {.rows = 8, .columns = 16, .leading = 8}};
  cublasStatus_t Check() const { return CheckMatmul(operation, layouts); }
};

// The status of the problem with one change.
template <typename Change>
cublasStatus_t With(Change change) {
  Problem problem;
  change(problem);
  return problem.Check();
}

TEST(Problem, OneThatFitsIsTaken) {
  EXPECT_EQ(Problem{}.Check(), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(With([](Problem& p) {
              p.operation.transa = CUBLAS_OP_T;
              std::swap(p.layouts.a.rows, p.layouts.a.columns);
            }),
            CUBLAS_STATUS_SUCCESS);
  // In rows the leading dimension is of columns.
  EXPECT_EQ(With([](Problem& p) {
              p.layouts.a.order = CUBLASLT_ORDER_ROW;
              p.layouts.a.leading = 4;
            }),
            CUBLAS_STATUS_SUCCESS);
}

TEST(Problem, WhatCannotBeIsInvalid) {
  const auto is_invalid = [](auto change) { return With(change) == CUBLAS_STATUS_INVALID_VALUE; };
  EXPECT_TRUE(is_invalid([](Problem& p) { p.layouts.b.rows = 5; }));
  EXPECT_TRUE(is_invalid([](Problem& p) { p.layouts.c.columns = 15; }));
  EXPECT_TRUE(is_invalid([](Problem& p) { p.layouts.d.leading = 7; }));
  EXPECT_TRUE(is_invalid([](Problem& p) { p.layouts.b.order = CUBLASLT_ORDER_ROW; }));  // of 16 columns
  EXPECT_TRUE(is_invalid([](Problem& p) { p.layouts.a.order = 5; }));
  EXPECT_TRUE(is_invalid([](Problem& p) { p.layouts.a.type = 99; }));
  EXPECT_TRUE(is_invalid([](Problem& p) { p.layouts.a.rows = -8; }));
  EXPECT_TRUE(is_invalid([](Problem& p) { p.layouts.a.batch_count = 2; }));
  EXPECT_TRUE(is_invalid([](Problem& p) { p.layouts.a.batch_count = 0; }));
  EXPECT_TRUE(is_invalid([](Problem& p) { p.operation.transb = 3; }));
  EXPECT_TRUE(is_invalid([](Problem& p) { p.operation.pointer_mode = 5; }));
  EXPECT_TRUE(is_invalid([](Problem& p) { p.operation.epilogue = 3; }));
  EXPECT_TRUE(is_invalid([](Problem& p) { p.operation.a_scale = 256; }));  // of floats
  EXPECT_TRUE(is_invalid([](Problem& p) { p.operation.b_scale_mode = 6; }));
}

TEST(Problem, ABatchOfResultsHasAPlaceForEach) {
  Problem problem;
  for (LtLayout* layout : {&problem.layouts.a, &problem.layouts.b, &problem.layouts.c, &problem.layouts.d})
    layout->batch_count = 3;
  EXPECT_EQ(problem.Check(), CUBLAS_STATUS_INVALID_VALUE);
  problem.layouts.d.batch_stride = 128;
  EXPECT_EQ(problem.Check(), CUBLAS_STATUS_SUCCESS);
}

TEST(Problem, AnAuxiliaryMatrixIsInStep) {
  Problem problem;
  problem.operation.epilogue = CUBLASLT_EPILOGUE_RELU_AUX;
  problem.operation.aux_leading = 8;
  EXPECT_EQ(problem.Check(), CUBLAS_STATUS_INVALID_VALUE);
  problem.operation.aux_leading = 128;
  EXPECT_EQ(problem.Check(), CUBLAS_STATUS_SUCCESS);
  problem.operation.epilogue = CUBLASLT_EPILOGUE_DGELU_BGRAD;
  problem.operation.aux_leading = 8;
  EXPECT_EQ(problem.Check(), CUBLAS_STATUS_SUCCESS);
  problem.operation.aux_batch_stride = 4;
  EXPECT_EQ(problem.Check(), CUBLAS_STATUS_INVALID_VALUE);
}

TEST(Problem, WhatTheLibraryLacksIsNotSupported) {
  EXPECT_EQ(With([](Problem& p) { p.layouts.a.type = CUDA_R_16F; }), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(With([](Problem& p) { p.operation.transc = CUBLAS_OP_T; }), CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(With([](Problem& p) { p.operation.fill_mode = CUBLAS_FILL_MODE_LOWER; }), CUBLAS_STATUS_NOT_SUPPORTED);
}

TEST(Problem, TypesAreTheDocumentations) {
  const auto is = [](std::int64_t compute, std::int64_t scale, std::int64_t a, std::int64_t b, std::int64_t c,
                     std::int64_t d) { return IsMatmul({compute, scale, a, b, c, d}); };
  EXPECT_TRUE(is(CUBLAS_COMPUTE_16F, CUDA_R_16F, CUDA_R_16F, CUDA_R_16F, CUDA_R_16F, CUDA_R_16F));
  EXPECT_FALSE(is(CUBLAS_COMPUTE_16F, CUDA_R_32F, CUDA_R_16F, CUDA_R_16F, CUDA_R_16F, CUDA_R_16F));
  EXPECT_TRUE(is(CUBLAS_COMPUTE_32I, CUDA_R_32F, CUDA_R_8I, CUDA_R_8I, CUDA_R_8I, CUDA_R_8I));
  EXPECT_FALSE(is(CUBLAS_COMPUTE_32I, CUDA_R_32I, CUDA_R_8I, CUDA_R_8I, CUDA_R_8I, CUDA_R_8I));
  EXPECT_FALSE(is(CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F, CUDA_R_16F, CUDA_R_16F, CUDA_R_32F, CUDA_R_32F));
  EXPECT_TRUE(is(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_8F_E5M2, CUDA_R_8F_E4M3, CUDA_R_16BF, CUDA_R_8F_E5M2));
  EXPECT_FALSE(is(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_8F_E4M3, CUDA_R_8F_E4M3, CUDA_R_16BF, CUDA_R_8F_E5M2));
  EXPECT_FALSE(is(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_8F_E5M2, CUDA_R_8F_E5M2, CUDA_R_16BF, CUDA_R_16BF));
}

TEST(Problem, IsAskedAboutByAlignments) {
  LtOperation operation;
  operation.bias = 0x7f0000001234;
  const LtOperation asked = Asked(operation);
  EXPECT_EQ(asked.bias, kLtAlignedAddress | 0x34);
  EXPECT_EQ(asked.aux, 0u);
  EXPECT_EQ(AddressAlignment(0x1234), 4);
  EXPECT_EQ(AddressAlignment(0), 256);
  EXPECT_EQ(AddressAlignment(0x10000), 256);
}

}  // namespace
}  // namespace accelmesh::blaslt
