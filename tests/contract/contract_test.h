// What the tests of the contract libcuda share: the library, found by dlsym as the cuda backend and the conformance
// tests find it, a context, kernels, and the count of rules that a test breaks on purpose.
#pragma once

#include <cuda.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include "tests/contract/control.h"

namespace accelmesh::contract {

inline constexpr std::size_t kChunk = std::size_t{2} << 20;
// A range that is free in a process, also in one under a sanitizer.
inline constexpr CUdeviceptr kHint = 0x7e8000000000;
inline constexpr std::size_t kHintBytes = std::size_t{64} << 30;

// PTX as nvcc might write it.
inline constexpr const char* kPtx = R"ptx(
.version 8.0
.target sm_80
.address_size 64
.global .align 4 .u32 counter = 41;
.extern .func (.param .b32 retval) vprintf (.param .b64 format, .param .b64 arguments);
.global .align 1 .b8 hello[7] = {104, 101, 108, 108, 111, 10, 0};

// out[i] = i + base
.visible .entry iota(.param .u64 out, .param .u32 base)
{
  .reg .b32 %r<6>;
  .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [out];
  ld.param.u32 %r1, [base];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.u32 %r4, %r2, %r3, %r4;
  mul.wide.u32 %rd2, %r4, 4;
  add.u64 %rd3, %rd1, %rd2;
  add.u32 %r5, %r4, %r1;
  st.global.u32 [%rd3], %r5;
  ret;
}

// *word = 2 * *word + 1: tells in which order launches ran.
.visible .entry shift_in(.param .u64 word, .param .u32 bit)
{
  .reg .b32 %r<4>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [word];
  ld.param.u32 %r1, [bit];
  ld.global.u32 %r2, [%rd1];
  mad.lo.u32 %r3, %r2, 2, %r1;
  st.global.u32 [%rd1], %r3;
  ret;
}

// Each block waits for all others: they have to run at a time.
.visible .entry meet(.param .u64 word)
{
  .reg .pred %p<2>;
  .reg .b32 %r<4>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [word];
  mov.u32 %r1, %nctaid.x;
  atom.global.add.u32 %r2, [%rd1], 1;
$again:
  atom.global.add.u32 %r3, [%rd1], 0;
  setp.lt.u32 %p1, %r3, %r1;
  @%p1 bra $again;
  ret;
}

.visible .entry store_nowhere()
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<2>;
  mov.u64 %rd1, 64;
  mov.u32 %r1, 1;
  st.global.u32 [%rd1], %r1;
  ret;
}

.visible .entry say()
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<4>;
  mov.u64 %rd1, hello;
  cvta.global.u64 %rd2, %rd1;
  mov.u64 %rd3, 0;
  {
  .param .b64 param0;
  st.param.b64 [param0], %rd2;
  .param .b64 param1;
  st.param.b64 [param1], %rd3;
  .param .b32 retval0;
  call.uni (retval0), vprintf, (param0, param1);
  ld.param.b32 %r1, [retval0];
  }
  ret;
}
)ptx";

inline void* Library() {
  static void* const library = [] {
    void* opened = dlopen(ACCELMESH_CONTRACT_LIBCUDA, RTLD_NOW | RTLD_LOCAL);
    if (opened == nullptr) std::fprintf(stderr, "%s\n", dlerror());
    return opened;
  }();
  return library;
}

// CU(cuMemAlloc)(...): the function of that name, as cuda.h means it.
#define CU_TEXT(name) #name
#define CU_SYMBOL(name) CU_TEXT(name)
#define CU(name) reinterpret_cast<decltype(&name)>(dlsym(Library(), CU_SYMBOL(name)))
#define OK(call) EXPECT_EQ(call, CUDA_SUCCESS)

class ContractTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(Library(), nullptr);
    OK(CU(cuInit)(0));
    CU(contract_reset)();
    OK(CU(cuCtxCreate)(&context_, nullptr, 0, 0));
    OK(CU(cuModuleLoadDataEx)(&module_, kPtx, 0, nullptr, nullptr));
  }
  void TearDown() override {
    if (context_ != nullptr) {
      OK(CU(cuModuleUnload)(module_));
      OK(CU(cuCtxDestroy)(context_));
    }
    // A test that breaks rules on purpose takes them back by Expect().
    EXPECT_EQ(CU(contract_violations)(), expected_) << CU(contract_last_violation)();
    CU(contract_reset)();
  }

  // Gives up the context as it is: after a sticky error nothing can be taken apart.
  void DropContext() {
    OK(CU(cuCtxDestroy)(context_));
    context_ = nullptr;
  }
  // What follows breaks rules, silently.
  void Quiet() { CU(contract_quiet)(1); }
  // The rule was broken once more.
  void Expect(contract_rule rule) {
    ++broken_[rule];
    ++expected_;
    EXPECT_EQ(CU(contract_violations_of)(rule), broken_[rule]) << CU(contract_last_violation)();
  }
  CUfunction Kernel(const char* name) {
    CUfunction function = nullptr;
    OK(CU(cuModuleGetFunction)(&function, module_, name));
    return function;
  }
  CUresult Launch(const char* name, CUstream stream, std::vector<void*> arguments, unsigned blocks = 1,
                  unsigned threads = 1) {
    return CU(cuLaunchKernel)(Kernel(name), blocks, 1, 1, threads, 1, 1, 0, stream, arguments.data(), nullptr);
  }
  CUdeviceptr Malloc(std::size_t bytes) {
    CUdeviceptr address = 0;
    OK(CU(cuMemAlloc)(&address, bytes));
    OK(CU(cuMemsetD8)(address, 0, bytes));
    return address;
  }
  CUstream NewStream(unsigned flags = CU_STREAM_NON_BLOCKING) {
    CUstream stream = nullptr;
    OK(CU(cuStreamCreate)(&stream, flags));
    return stream;
  }
  // A pinned word that a stream can wait for.
  std::uint64_t* Pinned(std::size_t words = 1) {
    void* made = nullptr;
    OK(CU(cuMemHostAlloc)(&made, words * sizeof(std::uint64_t), CU_MEMHOSTALLOC_PORTABLE));
    std::memset(made, 0, words * sizeof(std::uint64_t));
    return static_cast<std::uint64_t*>(made);
  }
  // Stops the stream until Open(gate).
  void Close(CUstream stream, std::uint64_t* gate) {
    OK(CU(cuStreamWaitValue64)(stream, reinterpret_cast<CUdeviceptr>(gate), 1, CU_STREAM_WAIT_VALUE_EQ));
  }
  static void Open(std::uint64_t* gate) { __atomic_store_n(gate, 1, __ATOMIC_RELEASE); }

  CUcontext context_ = nullptr;
  CUmodule module_ = nullptr;
  unsigned expected_ = 0;
  unsigned broken_[CONTRACT_RULES] = {};
};

// What a chunk of the window is: reserved address space with memory in it.
struct Mapping {
  CUdeviceptr base = 0;
  std::size_t bytes = 0;
  CUmemGenericAllocationHandle handle = 0;
};
inline CUmemAllocationProp Properties() {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = 0;
  return properties;
}
inline CUmemAccessDesc Access() {
  CUmemAccessDesc access{};
  access.location = Properties().location;
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  return access;
}

class VirtualTest : public ContractTest {
 protected:
  Mapping Map(std::size_t bytes = 2 * kChunk, bool access = true) {
    Mapping mapping;
    mapping.bytes = bytes;
    const CUmemAllocationProp properties = Properties();
    OK(CU(cuMemAddressReserve)(&mapping.base, bytes, 0, 0, 0));
    OK(CU(cuMemCreate)(&mapping.handle, bytes, &properties, 0));
    OK(CU(cuMemMap)(mapping.base, bytes, 0, mapping.handle, 0));
    const CUmemAccessDesc desc = Access();
    if (access) {
      OK(CU(cuMemSetAccess)(mapping.base, bytes, &desc, 1));
    }
    return mapping;
  }
  void Unmap(const Mapping& mapping) {
    OK(CU(cuMemUnmap)(mapping.base, mapping.bytes));
    OK(CU(cuMemRelease)(mapping.handle));
    OK(CU(cuMemAddressFree)(mapping.base, mapping.bytes));
  }
};

}  // namespace accelmesh::contract
