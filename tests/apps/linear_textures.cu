// Textures over memory that the program has pointers to: linear, and in rows with a pitch; and what may be wrong with a
// description.
#include <cstring>
#include <vector>

#include "check.h"
#include "texture_reference.h"

__global__ void ReadLinear(cudaTextureObject_t texture, float* out, int first, int count) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) out[i] = tex1Dfetch<float>(texture, first + i);
}
__global__ void ReadBytes(cudaTextureObject_t texture, int* out, int count) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    const uchar4 texel = tex1Dfetch<uchar4>(texture, i);
    out[i] = texel.x | texel.y << 8 | texel.z << 16 | texel.w << 24;
  }
}
__global__ void ReadPairs(cudaTextureObject_t texture, int* out, int count) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    const short2 texel = tex1Dfetch<short2>(texture, i);
    out[2 * i] = texel.x;
    out[2 * i + 1] = texel.y;
  }
}
__global__ void ReadRows(cudaTextureObject_t texture, float* out, const float2* at, int count) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) out[i] = tex2D<float>(texture, at[i].x, at[i].y);
}

static cudaResourceDesc Linear(void* memory, const cudaChannelFormatDesc& format, size_t bytes) {
  cudaResourceDesc desc;
  std::memset(&desc, 0, sizeof(desc));
  desc.resType = cudaResourceTypeLinear;
  desc.res.linear.devPtr = memory;
  desc.res.linear.desc = format;
  desc.res.linear.sizeInBytes = bytes;
  return desc;
}
static cudaTextureDesc Plain() {
  cudaTextureDesc desc;
  std::memset(&desc, 0, sizeof(desc));
  for (auto& mode : desc.addressMode) mode = cudaAddressModeClamp;
  return desc;
}

static void OverLinearMemory() {
  constexpr int kCount = 1000;
  std::vector<float> in(kCount);
  for (int i = 0; i < kCount; ++i) in[i] = 0.5f * i - 7;
  float* memory = nullptr;
  float* out = nullptr;
  CHECK(cudaMalloc(&memory, kCount * sizeof(float)));
  CHECK(cudaMalloc(&out, kCount * sizeof(float)));
  CHECK(cudaMemcpy(memory, in.data(), kCount * sizeof(float), cudaMemcpyHostToDevice));
  const cudaResourceDesc resource = Linear(memory, cudaCreateChannelDesc<float>(), kCount * sizeof(float));
  const cudaTextureDesc sampling = Plain();
  cudaTextureObject_t texture = 0;
  CHECK(cudaCreateTextureObject(&texture, &resource, &sampling, nullptr));
  ReadLinear<<<1, 128>>>(texture, out, 0, kCount);
  std::vector<float> got(kCount);
  CHECK(cudaMemcpy(got.data(), out, kCount * sizeof(float), cudaMemcpyDeviceToHost));
  for (int i = 0; i < kCount; ++i) EXPECT(got[i] == in[i], "texel %d is %f, not %f", i, got[i], in[i]);
  // Outside of the texture there is nothing.
  ReadLinear<<<1, 32>>>(texture, out, kCount - 2, 8);
  CHECK(cudaMemcpy(got.data(), out, 8 * sizeof(float), cudaMemcpyDeviceToHost));
  for (int i = 0; i < 8; ++i) {
    const float expected = i < 2 ? in[kCount - 2 + i] : 0;
    EXPECT(got[i] == expected, "texel %d behind the end is %f, not %f", i, got[i], expected);
  }
  // What is written into the memory is read by the next kernel.
  const float changed = 1234.5f;
  CHECK(cudaMemcpy(memory + 10, &changed, sizeof(changed), cudaMemcpyHostToDevice));
  ReadLinear<<<1, 128>>>(texture, out, 10, 1);
  CHECK(cudaMemcpy(got.data(), out, sizeof(float), cudaMemcpyDeviceToHost));
  EXPECT(got[0] == changed, "a texel that was written anew is %f", got[0]);

  cudaResourceDesc told;
  cudaTextureDesc how;
  CHECK(cudaGetTextureObjectResourceDesc(&told, texture));
  EXPECT(told.resType == cudaResourceTypeLinear && told.res.linear.devPtr == memory &&
             told.res.linear.sizeInBytes == kCount * sizeof(float) && told.res.linear.desc.x == 32,
         "another resource than the one that was given");
  CHECK(cudaGetTextureObjectTextureDesc(&how, texture));
  EXPECT(how.addressMode[0] == cudaAddressModeClamp && how.filterMode == cudaFilterModePoint, "another sampling");
  cudaResourceViewDesc view;
  CHECK_ERROR(cudaGetTextureObjectResourceViewDesc(&view, texture), cudaErrorInvalidValue);
  CHECK(cudaDestroyTextureObject(texture));
  CHECK_ERROR(cudaDestroyTextureObject(texture), cudaErrorInvalidValue);
  CHECK_ERROR(cudaGetTextureObjectResourceDesc(&told, texture), cudaErrorInvalidValue);
  CHECK_ERROR(cudaGetTextureObjectTextureDesc(&how, texture), cudaErrorInvalidValue);
  CHECK(cudaFree(memory));
  CHECK(cudaFree(out));
}

static void Integers() {
  constexpr int kCount = 64;
  std::vector<unsigned> in(kCount);
  for (int i = 0; i < kCount; ++i) in[i] = 0x01020380u * (i + 1) + 0x7f;
  int* memory = nullptr;
  int* out = nullptr;
  CHECK(cudaMalloc(&memory, kCount * 4));
  CHECK(cudaMalloc(&out, 2 * kCount * sizeof(int)));
  CHECK(cudaMemcpy(memory, in.data(), kCount * 4, cudaMemcpyHostToDevice));
  std::vector<int> got(2 * kCount);
  const cudaTextureDesc sampling = Plain();
  cudaTextureObject_t bytes = 0;
  cudaTextureObject_t pairs = 0;
  cudaResourceDesc resource = Linear(memory, cudaCreateChannelDesc<uchar4>(), kCount * 4);
  CHECK(cudaCreateTextureObject(&bytes, &resource, &sampling, nullptr));
  resource = Linear(memory, cudaCreateChannelDesc<short2>(), kCount * 4);
  CHECK(cudaCreateTextureObject(&pairs, &resource, &sampling, nullptr));
  EXPECT(bytes != pairs, "two objects with one handle");
  ReadBytes<<<1, 32>>>(bytes, out, kCount);
  CHECK(cudaMemcpy(got.data(), out, kCount * sizeof(int), cudaMemcpyDeviceToHost));
  for (int i = 0; i < kCount; ++i)
    EXPECT(static_cast<unsigned>(got[i]) == in[i], "bytes of texel %d: %x, not %x", i, got[i], in[i]);
  ReadPairs<<<1, 32>>>(pairs, out, kCount);
  CHECK(cudaMemcpy(got.data(), out, 2 * kCount * sizeof(int), cudaMemcpyDeviceToHost));
  for (int i = 0; i < kCount; ++i) {
    EXPECT(got[2 * i] == static_cast<short>(in[i]) && got[2 * i + 1] == static_cast<short>(in[i] >> 16),
           "texel %d: %d %d", i, got[2 * i], got[2 * i + 1]);
  }
  CHECK(cudaDestroyTextureObject(bytes));
  CHECK(cudaDestroyTextureObject(pairs));
  CHECK(cudaFree(memory));
  CHECK(cudaFree(out));
}

static cudaResourceDesc Rows(void* memory, size_t width, size_t height, size_t pitch) {
  cudaResourceDesc desc;
  std::memset(&desc, 0, sizeof(desc));
  desc.resType = cudaResourceTypePitch2D;
  desc.res.pitch2D = {memory, cudaCreateChannelDesc<float>(), width, height, pitch};
  return desc;
}

static void OverRows() {
  reference::Image image{37, 19, 1, std::vector<float>(37 * 19)};
  for (size_t i = 0; i < image.texels.size(); ++i) image.texels[i] = static_cast<float>(i % 101) - 20;
  float* memory = nullptr;
  size_t pitch = 0;
  CHECK(cudaMallocPitch(&memory, &pitch, image.width * sizeof(float), image.height));
  CHECK(cudaMemcpy2D(memory, pitch, image.texels.data(), image.width * sizeof(float), image.width * sizeof(float),
                     image.height, cudaMemcpyHostToDevice));
  std::vector<float2> places;
  for (float y = -1.75f; y < 21; y += 0.625f) {
    for (float x = -2.25f; x < 40; x += 0.8125f) places.push_back({x, y});
  }
  const int count = static_cast<int>(places.size());
  float2* at = nullptr;
  float* out = nullptr;
  CHECK(cudaMalloc(&at, count * sizeof(float2)));
  CHECK(cudaMalloc(&out, count * sizeof(float)));
  CHECK(cudaMemcpy(at, places.data(), count * sizeof(float2), cudaMemcpyHostToDevice));
  const cudaResourceDesc resource = Rows(memory, image.width, image.height, pitch);
  std::vector<float> got(count);
  for (const cudaTextureAddressMode mode : {cudaAddressModeClamp, cudaAddressModeBorder}) {
    for (const bool linear : {false, true}) {
      cudaTextureDesc sampling = Plain();
      for (auto& one : sampling.addressMode) one = mode;
      sampling.filterMode = linear ? cudaFilterModeLinear : cudaFilterModePoint;
      cudaTextureObject_t texture = 0;
      CHECK(cudaCreateTextureObject(&texture, &resource, &sampling, nullptr));
      ReadRows<<<1, 256>>>(texture, out, at, count);
      CHECK(cudaMemcpy(got.data(), out, count * sizeof(float), cudaMemcpyDeviceToHost));
      const reference::Sampling how{mode, linear, false, 0};
      for (int i = 0; i < count; ++i) {
        const double expected = reference::Fetch(image, how, 2, places[i].x, places[i].y);
        EXPECT(std::fabs(got[i] - expected) <= 1e-4, "mode %d, linear %d, at %f %f: %f, not %f", mode, linear,
               places[i].x, places[i].y, got[i], expected);
      }
      CHECK(cudaDestroyTextureObject(texture));
    }
  }
  CHECK(cudaFree(memory));
  CHECK(cudaFree(at));
  CHECK(cudaFree(out));
}

static void Mistakes() {
  float* memory = nullptr;
  CHECK(cudaMalloc(&memory, 1 << 20));
  const cudaResourceDesc good = Linear(memory, cudaCreateChannelDesc<float>(), 4096);
  const cudaTextureDesc plain = Plain();
  cudaTextureObject_t texture = 0;
  CHECK_ERROR(cudaCreateTextureObject(nullptr, &good, &plain, nullptr), cudaErrorInvalidValue);
  CHECK_ERROR(cudaCreateTextureObject(&texture, nullptr, &plain, nullptr), cudaErrorInvalidValue);
  CHECK_ERROR(cudaCreateTextureObject(&texture, &good, nullptr, nullptr), cudaErrorInvalidValue);
  cudaResourceDesc bad = Linear(reinterpret_cast<char*>(memory) + 4, cudaCreateChannelDesc<float>(), 4096);
  CHECK_ERROR(cudaCreateTextureObject(&texture, &bad, &plain, nullptr), cudaErrorInvalidValue);
  bad = Linear(memory, cudaCreateChannelDesc(32, 32, 32, 0, cudaChannelFormatKindFloat), 4096);
  CHECK_ERROR(cudaCreateTextureObject(&texture, &bad, &plain, nullptr), cudaErrorInvalidChannelDescriptor);
  bad = Linear(memory, cudaCreateChannelDesc<float>(), 0);
  CHECK_ERROR(cudaCreateTextureObject(&texture, &bad, &plain, nullptr), cudaErrorInvalidValue);
  bad = Linear(nullptr, cudaCreateChannelDesc<float>(), 4096);
  CHECK_ERROR(cudaCreateTextureObject(&texture, &bad, &plain, nullptr), cudaErrorInvalidValue);
  bad = Rows(memory, 32, 8, 100);
  CHECK_ERROR(cudaCreateTextureObject(&texture, &bad, &plain, nullptr), cudaErrorInvalidValue);
  bad = Rows(memory, 0, 8, 512);
  CHECK_ERROR(cudaCreateTextureObject(&texture, &bad, &plain, nullptr), cudaErrorInvalidValue);
  cudaResourceViewDesc view;
  std::memset(&view, 0, sizeof(view));
  CHECK_ERROR(cudaCreateTextureObject(&texture, &good, &plain, &view), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDestroyTextureObject(0x123456), cudaErrorInvalidValue);
  cudaSurfaceObject_t surface = 0;
  CHECK_ERROR(cudaCreateSurfaceObject(&surface, &good), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDestroySurfaceObject(0x123456), cudaErrorInvalidValue);
  (void)cudaGetLastError();
  CHECK(cudaFree(memory));
}

int main() {
  OverLinearMemory();
  Integers();
  OverRows();
  Mistakes();
  return Passed();
}
