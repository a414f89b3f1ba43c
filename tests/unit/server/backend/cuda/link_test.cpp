// AddConditions: our definition of cudaGraphSetConditional comes to the texts that call it, and NVIDIA's goes.
#include "server/backend/cuda/link.h"

#include <gtest/gtest.h>

namespace accelmesh::cuda {
namespace {

constexpr const char* kHead = ".version 8.0\n.target sm_75\n.address_size 64\n";
// As nvcc writes it.
const std::string kCalls = std::string(kHead) +
                           ".extern .func cudaGraphSetConditional\n(\n.param .b64 a,\n.param .b32 b\n)\n;\n"
                           ".visible .entry set() {\n{\ncall.uni\ncudaGraphSetConditional,\n(a, b);\n}\nret;\n}\n";
const std::string kDefines = std::string(kHead) +
                             ".visible .entry other() { ret; }\n"
                             ".visible .func cudaGraphSetConditional(.param .b64 a, .param .b32 b)\n{\nret;\n}\n";
const std::string kNeither = std::string(kHead) + ".visible .func helper() { ret; }\n";

TEST(Conditions, AreOfTextsThatCall) {
  EXPECT_TRUE(CallConditions({kNeither, kCalls}));
  EXPECT_FALSE(CallConditions({kNeither}));
  EXPECT_FALSE(CallConditions({kDefines})) << "it has its own";
  EXPECT_FALSE(CallConditions({}));
}

TEST(Conditions, OursTakesThePlaceOfNvidias) {
  std::vector<std::string> texts{kDefines, kCalls, kNeither};
  AddConditions(&texts);
  ASSERT_EQ(texts.size(), 3u);
  EXPECT_EQ(texts[0], kCalls);
  EXPECT_EQ(texts[1], kNeither);
  EXPECT_NE(texts[2].find(".visible .func cudaGraphSetConditional"), std::string::npos);
}

TEST(Conditions, TextsThatDoNotCallStayAsTheyAre) {
  for (const std::string& text : {kNeither, kDefines}) {
    std::vector<std::string> texts{text};
    AddConditions(&texts);
    EXPECT_EQ(texts, std::vector<std::string>{text});
  }
}

}  // namespace
}  // namespace accelmesh::cuda
