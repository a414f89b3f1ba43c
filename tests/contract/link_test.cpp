// The contract libcuda's linker.
#include <string>

#include "tests/contract/contract_test.h"

namespace accelmesh::contract {
namespace {

constexpr const char* kHead = ".version 8.0\n.target sm_80\n.address_size 64\n";
const std::string kCaller = std::string(kHead) +
                            ".extern .func (.param .b32 r) twice(.param .b32 x);\n"
                            ".visible .entry store_twice(.param .u64 out, .param .u32 x) {\n"
                            "  .reg .b32 %r<3>;\n  .reg .b64 %rd<2>;\n"
                            "  ld.param.u64 %rd1, [out];\n  ld.param.u32 %r1, [x];\n"
                            "  { .param .b32 a; .param .b32 b; st.param.b32 [a], %r1;\n"
                            "    call.uni (b), twice, (a); ld.param.b32 %r2, [b]; }\n"
                            "  st.global.u32 [%rd1], %r2;\n  ret;\n}\n";
const std::string kCallee = std::string(kHead) +
                            ".visible .func (.param .b32 r) twice(.param .b32 x) {\n"
                            "  .reg .b32 %r<2>;\n  ld.param.b32 %r1, [x];\n  add.u32 %r1, %r1, %r1;\n"
                            "  st.param.b32 [r], %r1;\n  ret;\n}\n";

class LinkTest : public ContractTest {
 protected:
  static CUresult Add(CUlinkState link, const std::string& text) {
    return CU(cuLinkAddData)(link, CU_JIT_INPUT_PTX, const_cast<char*>(text.c_str()), text.size() + 1, nullptr, 0,
                             nullptr, nullptr);
  }
};

TEST_F(LinkTest, TextsBecomeOneImage) {
  CUlinkState link = nullptr;
  OK(CU(cuLinkCreate)(0, nullptr, nullptr, &link));
  OK(Add(link, kCaller));
  OK(Add(link, kCallee));
  void* image = nullptr;
  std::size_t bytes = 0;
  OK(CU(cuLinkComplete)(link, &image, &bytes));
  EXPECT_GT(bytes, kCaller.size());
  CUmodule linked = nullptr;
  OK(CU(cuModuleLoadData)(&linked, image));
  OK(CU(cuLinkDestroy)(link));
  CUfunction function = nullptr;
  OK(CU(cuModuleGetFunction)(&function, linked, "store_twice"));
  CUdeviceptr out = Malloc(4);
  unsigned value = 21;
  void* arguments[] = {&out, &value};
  OK(CU(cuLaunchKernel)(function, 1, 1, 1, 1, 1, 1, 0, nullptr, arguments, nullptr));
  OK(CU(cuMemcpyDtoH)(&value, out, 4));
  EXPECT_EQ(value, 42u);
  OK(CU(cuMemFree)(out));
  OK(CU(cuModuleUnload)(linked));
  Quiet();
  EXPECT_EQ(CU(cuLinkDestroy)(link), CUDA_ERROR_INVALID_HANDLE);
  Expect(CONTRACT_RULE_BAD_HANDLE);
}

TEST_F(LinkTest, ErrorsAreSaid) {
  char log[256] = {};
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof(log))};
  CUlinkState link = nullptr;
  OK(CU(cuLinkCreate)(2, options, values, &link));
  EXPECT_EQ(Add(link, std::string(kHead) + ".visible .entry ("), CUDA_ERROR_INVALID_PTX);
  EXPECT_NE(std::string(log).find("line 4"), std::string::npos) << log;
  EXPECT_EQ(Add(link, ".version 9.9\n.target sm_80\n"), CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
  Quiet();
  EXPECT_EQ(CU(cuLinkAddData)(link, CU_JIT_INPUT_PTX, const_cast<char*>(kCallee.c_str()), kCallee.size(), nullptr, 0,
                              nullptr, nullptr),
            CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_BAD_ARGUMENT);
  CU(contract_quiet)(0);
  OK(CU(cuLinkDestroy)(link));
}

// The interpreter has it; a driver has not.
TEST_F(LinkTest, ConditionsNeedADefinition) {
  const std::string text = std::string(kHead) +
                           ".extern .func cudaGraphSetConditional(.param .b64 handle, .param .b32 value);\n"
                           ".visible .entry set(.param .u64 handle) {\n"
                           "  .reg .b64 %rd<2>;\n  ld.param.u64 %rd1, [handle];\n"
                           "  { .param .b64 a; .param .b32 b; st.param.b64 [a], %rd1; st.param.b32 [b], 1;\n"
                           "    call.uni cudaGraphSetConditional, (a, b); }\n  ret;\n}\n";
  CUmodule loaded = nullptr;
  EXPECT_EQ(CU(cuModuleLoadData)(&loaded, text.c_str()), CUDA_ERROR_INVALID_PTX);
}

}  // namespace
}  // namespace accelmesh::contract
