// Managed variables of modules, as the driver has them.
#include <array>

#include "tests/contract/contract_test.h"

namespace accelmesh::contract {
namespace {

constexpr const char* kManagedPtx = R"ptx(
.version 8.0
.target sm_80
.address_size 64
.global .align 4 .u32 plain = 5;
.global .attribute(.managed) .align 4 .u32 word = 41;
.global .attribute(.managed) .align 1 .b8 letters[3] = {7, 8, 9};
.global .attribute(.managed) .align 8 .u64 where = word;
.visible .entry raise()
{
  .reg .b32 %r<3>;
  ld.global.u32 %r1, [word];
  add.s32 %r2, %r1, 1;
  st.global.u32 [word], %r2;
  ret;
}
)ptx";

class VariablesTest : public ContractTest {
 protected:
  CUmodule Load() {
    CUmodule module = nullptr;
    OK(CU(cuModuleLoadData)(&module, kManagedPtx));
    return module;
  }
  static CUdeviceptr Find(CUmodule module, const char* name, std::size_t expected_bytes) {
    CUdeviceptr address = 0;
    std::size_t bytes = 0;
    OK(CU(cuModuleGetGlobal)(&address, &bytes, module, name));
    EXPECT_EQ(bytes, expected_bytes);
    return address;
  }
  static bool IsManaged(CUdeviceptr address) {
    unsigned managed = 0;
    OK(CU(cuPointerGetAttribute)(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, address));
    return managed != 0;
  }
  static void Raise(CUmodule module) {
    CUfunction raise = nullptr;
    OK(CU(cuModuleGetFunction)(&raise, module, "raise"));
    OK(CU(cuLaunchKernel)(raise, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr));
    OK(CU(cuCtxSynchronize)());
  }
};

TEST_F(VariablesTest, TheyAreManagedMemoryForBothSides) {
  const CUmodule module = Load();
  const CUdeviceptr word = Find(module, "word", 4);
  EXPECT_TRUE(IsManaged(word));
  EXPECT_TRUE(IsManaged(Find(module, "letters", 3)));
  EXPECT_FALSE(IsManaged(Find(module, "plain", 4)));
  auto* const here = reinterpret_cast<volatile unsigned*>(word);
  EXPECT_EQ(*here, 41u);
  EXPECT_EQ(*reinterpret_cast<CUdeviceptr*>(Find(module, "where", 8)), word);
  *here = 99;
  Raise(module);
  EXPECT_EQ(*here, 100u);
  OK(CU(cuMemsetD32Async)(word, 3, 1, nullptr));
  OK(CU(cuCtxSynchronize)());
  EXPECT_EQ(*here, 3u);
  EXPECT_EQ(CU(cuMemFree)(word), CUDA_ERROR_INVALID_VALUE) << "it is the module's";
  OK(CU(cuModuleUnload)(module));
  unsigned managed = 0;
  EXPECT_EQ(CU(cuPointerGetAttribute)(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, word), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(VariablesTest, EveryModuleHasItsOwnAndTheyShareAPage) {
  const CUmodule first = Load();
  const CUmodule second = Load();
  const CUdeviceptr a = Find(first, "word", 4);
  const CUdeviceptr b = Find(second, "word", 4);
  ASSERT_NE(a, b);
  EXPECT_EQ(a / 4096, b / 4096);
  Raise(second);
  EXPECT_EQ(*reinterpret_cast<unsigned*>(a), 41u);
  EXPECT_EQ(*reinterpret_cast<unsigned*>(b), 42u);
  OK(CU(cuModuleUnload)(first));
  // The page is there for the other's kernels.
  Raise(second);
  EXPECT_EQ(*reinterpret_cast<unsigned*>(b), 43u);
  const CUmodule third = Load();
  EXPECT_EQ(Find(third, "word", 4), a) << "given out again";
  EXPECT_EQ(*reinterpret_cast<unsigned*>(a), 41u) << "with the initial value";
  OK(CU(cuModuleUnload)(second));
  OK(CU(cuModuleUnload)(third));
}

TEST_F(VariablesTest, ACopyThatGoesBeyondOneIsRefused) {
  const CUmodule module = Load();
  const CUdeviceptr letters = Find(module, "letters", 3);
  std::array<char, 8> bytes{};
  EXPECT_EQ(CU(cuMemcpyDtoH)(bytes.data(), letters, 4096), CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuMemcpyDtoH)(bytes.data(), letters, 3));
  EXPECT_EQ(bytes[2], 9);
  OK(CU(cuModuleUnload)(module));
}

TEST_F(VariablesTest, ContextsHaveThoseOfALibraryInCommon) {
  CUlibrary library = nullptr;
  OK(CU(cuLibraryLoadData)(&library, kManagedPtx, nullptr, nullptr, 0, nullptr, nullptr, 0));
  CUdeviceptr word = 0;
  std::size_t bytes = 0;
  EXPECT_EQ(CU(cuLibraryGetManaged)(&word, &bytes, library, "word"), CUDA_ERROR_NOT_FOUND) << "no context has it yet";
  CUmodule here = nullptr;
  OK(CU(cuLibraryGetModule)(&here, library));
  OK(CU(cuLibraryGetManaged)(&word, &bytes, library, "word"));
  EXPECT_EQ(bytes, 4u);
  EXPECT_EQ(CU(cuLibraryGetManaged)(&word, &bytes, library, "plain"), CUDA_ERROR_NOT_FOUND);
  Raise(here);
  CUcontext other = nullptr;
  OK(CU(cuCtxCreate)(&other, nullptr, 0, 1));
  CUmodule there = nullptr;
  OK(CU(cuLibraryGetModule)(&there, library));
  EXPECT_EQ(Find(there, "word", 4), word);
  EXPECT_NE(Find(there, "plain", 4), Find(here, "plain", 4));
  Raise(there);
  EXPECT_EQ(*reinterpret_cast<unsigned*>(word), 43u);
  OK(CU(cuLibraryUnload)(library));
  OK(CU(cuCtxDestroy)(other));
}

}  // namespace
}  // namespace accelmesh::contract
