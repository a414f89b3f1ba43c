// Normalisations of cuDNN's with what follows them.
#include "tests/unit/server/backend/cuda/library_dnn_recorder.h"

namespace accelmesh::cuda {
namespace {

using ::testing::HasSubstr;

TEST_F(DnnCallTest, NormalisationsHaveTheirArgumentsInTheirPlaces) {
  if (kDnnFunction<DnnNormBackward> == 0) GTEST_SKIP() << "normalisations are not on the wire yet";
  const DnnActivation relu{CUDNN_ACTIVATION_RELU, 0, 0, 1};
  const DnnNorm batch{1, 1, 2, 0, 1, relu}, other{0, 1, 2, 1, 1, relu};
  const auto training = [](const DnnNorm& norm) {
    return DnnNormForwardTraining{Operand(1), Operand(2), Operand(3), Tensor(8), Tensor(9), 10,      11, 12, 13, 14, 15,
                                  norm,       0.1,        0.001,      {3, 4},    {16, 17},  {18, 19}};
  };
  EXPECT_EQ(Called(training(batch)),
            "1 2 =3 =4 T1 @1 T2 @2 T3 @3 T8 @10 @11 ~0.1 @12 @13 ~0.001 @14 @15 A(1,0,0) @16 #17 @18 #19");
  EXPECT_EQ(Called(training(other)),
            "1 2 1 =3 =4 T1 @1 T8 @10 @11 ~0.1 T9 @12 @13 ~0.001 @14 @15 A(1,0,0) T2 @2 T3 @3 @16 #17 @18 #19 1");
  DnnNormForwardInference inference{Operand(1), {}, Operand(3), Tensor(8), Tensor(9), 10,
                                    11,         12, 13,         other,     0.001,     {3, 4}};
  inference.norm.operations = 0;
  g_calls.clear();
  EXPECT_EQ(Run(inference), CUDNN_STATUS_SUCCESS);
  ASSERT_EQ(g_calls.size(), 1u);
  EXPECT_THAT(g_calls.front(), HasSubstr("1 0 1 =3 =4 T1 @1 T8 @10 @11 T9 @12 @13 T- @0 none T3 @3 ~0.001 1"));
  inference.norm.is_batch = 1;
  EXPECT_EQ(Run(inference), CUDNN_STATUS_BAD_PARAM) << "cuDNN has no such function";
  const auto backward = [](const DnnNorm& norm) {
    return DnnNormBackward{Operand(1), Operand(2), Operand(3), Operand(4), Operand(5), Tensor(8), Tensor(9),
                           10,         11,         12,         13,         14,         15,        norm,
                           0.001,      {3, 4},     {5, 6},     {16, 17},   {18, 19}};
  };
  EXPECT_EQ(Called(backward(batch)),
            "1 2 =3 =4 =5 =6 T1 @1 T2 @2 T3 @3 T4 @4 T5 @5 T8 @10 @11 @12 @13 ~0.001 @14 @15 A(1,0,0) @16 #17 @18 #19");
  EXPECT_EQ(Called(backward(other)),
            "1 2 1 =3 =4 =5 =6 T1 @1 T2 @2 T3 @3 T4 @4 T5 @5 T8 @10 @11 @12 @13 ~0.001 T9 @14 @15 A(1,0,0) @16 #17 @18 "
            "#19 1");
  const auto asked = [&](std::int64_t what, const DnnNorm& norm) {
    g_calls.clear();
    const DnnNormSizes words{what, norm, Tensor(1), Tensor(2), Tensor(3), Tensor(4), Tensor(5), Tensor(8), Tensor(9)};
    EXPECT_EQ(handle_->Ask(kDnnFunction<DnnNormSizes>, Arguments(words)).status, 0u);
    return g_calls.empty() ? "" : g_calls.front();
  };
  EXPECT_EQ(asked(0, batch), "1 2 T1 T3 T2 T8 A(1,0,0) out");
  EXPECT_EQ(asked(0, other), "1 2 1 T1 T3 T2 T8 A(1,0,0) T9 out 1");
  EXPECT_EQ(asked(1, batch), "1 2 T1 T2 T4 T3 T5 T8 A(1,0,0) out");
  EXPECT_EQ(asked(1, other), "1 2 1 T1 T2 T4 T3 T5 T8 A(1,0,0) T9 out 1");
  EXPECT_EQ(asked(2, batch), "1 2 A(1,0,0) T1 out");
  EXPECT_EQ(asked(2, other), "1 2 1 A(1,0,0) T1 out 1");
}

}  // namespace
}  // namespace accelmesh::cuda
