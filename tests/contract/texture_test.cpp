// Texture and surface objects of the contract library: what they read, and what is refused.
#include <cstring>

#include "tests/contract/contract_test.h"

namespace accelmesh::contract {
namespace {

constexpr const char* kTexturePtx = R"ptx(
.version 8.0
.target sm_80
.address_size 64

// out[i] = the texel i of a line
.visible .entry read_line(.param .u64 texture, .param .u64 out)
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<5>;
  .reg .f32 %f<5>;
  ld.param.u64 %rd1, [texture];
  ld.param.u64 %rd2, [out];
  mov.u32 %r1, %tid.x;
  tex.1d.v4.f32.s32 {%f1, %f2, %f3, %f4}, [%rd1, {%r1}];
  mul.wide.u32 %rd3, %r1, 4;
  add.u64 %rd4, %rd2, %rd3;
  st.global.f32 [%rd4], %f1;
  ret;
}

// the word i of a line becomes 3 * i
.visible .entry write_line(.param .u64 surface)
{
  .reg .b32 %r<4>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [surface];
  mov.u32 %r1, %tid.x;
  shl.b32 %r2, %r1, 2;
  mul.lo.u32 %r3, %r1, 3;
  sust.b.1d.b32.trap [%rd1, {%r2}], {%r3};
  ret;
}
)ptx";

class ContractTextureTest : public ContractTest {
 protected:
  void SetUp() override {
    ContractTest::SetUp();
    OK(CU(cuModuleLoadDataEx)(&textures_, kTexturePtx, 0, nullptr, nullptr));
    OK(CU(cuMemAlloc)(&memory_, 4096));
    OK(CU(cuMemAlloc)(&out_, 4096));
  }
  void TearDown() override {
    if (context_ != nullptr) {
      OK(CU(cuMemFree)(memory_));
      OK(CU(cuMemFree)(out_));
      OK(CU(cuModuleUnload)(textures_));
    }
    ContractTest::TearDown();
  }
  void Run(const char* kernel, std::uint64_t object) {
    CUfunction function = nullptr;
    OK(CU(cuModuleGetFunction)(&function, textures_, kernel));
    void* arguments[] = {&object, &out_};
    OK(CU(cuLaunchKernel)(function, 1, 1, 1, 16, 1, 1, 0, nullptr, arguments, nullptr));
    OK(CU(cuCtxSynchronize)());
  }
  CUDA_RESOURCE_DESC Linear() const {
    CUDA_RESOURCE_DESC desc{};
    desc.resType = CU_RESOURCE_TYPE_LINEAR;
    desc.res.linear.devPtr = memory_;
    desc.res.linear.format = CU_AD_FORMAT_FLOAT;
    desc.res.linear.numChannels = 1;
    desc.res.linear.sizeInBytes = 64;
    return desc;
  }

  CUmodule textures_ = nullptr;
  CUdeviceptr memory_ = 0;
  CUdeviceptr out_ = 0;
};

TEST_F(ContractTextureTest, ReadsLinearMemory) {
  float in[16];
  for (int i = 0; i < 16; ++i) in[i] = 1.5f * static_cast<float>(i);
  OK(CU(cuMemcpyHtoD)(memory_, in, sizeof(in)));
  const CUDA_RESOURCE_DESC resource = Linear();
  const CUDA_TEXTURE_DESC sampling{};
  CUtexObject texture = 0;
  OK(CU(cuTexObjectCreate)(&texture, &resource, &sampling, nullptr));
  Run("read_line", texture);
  float got[16];
  OK(CU(cuMemcpyDtoH)(got, out_, sizeof(got)));
  EXPECT_EQ(std::memcmp(got, in, sizeof(in)), 0);
  CUDA_RESOURCE_DESC told{};
  OK(CU(cuTexObjectGetResourceDesc)(&told, texture));
  EXPECT_EQ(told.res.linear.devPtr, memory_);
  CUDA_RESOURCE_VIEW_DESC view{};
  EXPECT_EQ(CU(cuTexObjectGetResourceViewDesc)(&view, texture), CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuTexObjectDestroy)(texture));
}

TEST_F(ContractTextureTest, WritesArraysThatCopiesRead) {
  CUDA_ARRAY3D_DESCRIPTOR descriptor{};
  descriptor.Width = 16;
  descriptor.Format = CU_AD_FORMAT_UNSIGNED_INT32;
  descriptor.NumChannels = 1;
  descriptor.Flags = CUDA_ARRAY3D_SURFACE_LDST;
  CUarray array = nullptr;
  OK(CU(cuArray3DCreate)(&array, &descriptor));
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_ARRAY;
  resource.res.array.hArray = array;
  CUsurfObject surface = 0;
  OK(CU(cuSurfObjectCreate)(&surface, &resource));
  Run("write_line", surface);
  std::uint32_t got[16];
  OK(CU(cuMemcpyAtoH)(got, array, 0, sizeof(got)));
  for (std::uint32_t i = 0; i < 16; ++i) EXPECT_EQ(got[i], 3 * i);
  OK(CU(cuSurfObjectDestroy)(surface));
  OK(CU(cuArrayDestroy)(array));
}

TEST_F(ContractTextureTest, LevelsAreArrays) {
  CUDA_ARRAY3D_DESCRIPTOR descriptor{};
  descriptor.Width = 16;
  descriptor.Height = 4;
  descriptor.Format = CU_AD_FORMAT_FLOAT;
  descriptor.NumChannels = 2;
  CUmipmappedArray whole = nullptr;
  OK(CU(cuMipmappedArrayCreate)(&whole, &descriptor, 5));
  CUarray level = nullptr;
  OK(CU(cuMipmappedArrayGetLevel)(&level, whole, 3));
  CUDA_ARRAY3D_DESCRIPTOR told{};
  OK(CU(cuArray3DGetDescriptor)(&told, level));
  EXPECT_EQ(told.Width, 2u);
  EXPECT_EQ(told.Height, 1u);
  EXPECT_EQ(CU(cuMipmappedArrayGetLevel)(&level, whole, 5), CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuMipmappedArrayDestroy)(whole));
}

TEST_F(ContractTextureTest, WhatDoesNotFitIsRefused) {
  const CUDA_TEXTURE_DESC sampling{};
  CUtexObject texture = 0;
  CUDA_RESOURCE_DESC resource = Linear();
  resource.res.linear.devPtr += 4;
  EXPECT_EQ(CU(cuTexObjectCreate)(&texture, &resource, &sampling, nullptr), CUDA_ERROR_INVALID_VALUE);
  resource = Linear();
  resource.flags = 1;
  EXPECT_EQ(CU(cuTexObjectCreate)(&texture, &resource, &sampling, nullptr), CUDA_ERROR_INVALID_VALUE);
  resource = Linear();
  CUsurfObject surface = 0;
  EXPECT_EQ(CU(cuSurfObjectCreate)(&surface, &resource), CUDA_ERROR_INVALID_VALUE);
  CUDA_RESOURCE_VIEW_DESC view{};
  EXPECT_EQ(CU(cuTexObjectCreate)(&texture, &resource, &sampling, &view), CUDA_ERROR_INVALID_VALUE);
}

}  // namespace
}  // namespace accelmesh::contract
