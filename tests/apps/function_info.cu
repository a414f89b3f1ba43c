// What a program learns of its kernels, by symbol and by handle, and what it can set for them.
#include <cstring>

#include "check.h"

// What is deprecated is answered, too.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

struct Big {
  char c;
  double d;
  int a[5];
};
extern "C" __global__ void four_parameters(int* out, char c, Big big, short s) {
  if (out != nullptr) out[0] = c + s + big.a[0];
}
__global__ void None() {}
__global__ void Dynamic(int* out) {
  extern __shared__ int memory[];
  memory[threadIdx.x] = 1;
  if (out != nullptr) out[0] = memory[0];
}
static void NoKernel() {}

static const void* Pointer(void (*function)()) { return reinterpret_cast<const void*>(function); }
static const void* const kFour = reinterpret_cast<const void*>(&four_parameters);

static void TestNames() {
  const char* name = nullptr;
  CHECK(cudaFuncGetName(&name, kFour));
  EXPECT(std::strcmp(name, "four_parameters") == 0, "the name is %s", name);
  CHECK(cudaFuncGetName(&name, Pointer(None)));
  EXPECT(std::strcmp(name, "_Z4Nonev") == 0, "the name is %s", name);
  CHECK_ERROR(cudaFuncGetName(nullptr, kFour), cudaErrorInvalidValue);
  CHECK_ERROR(cudaFuncGetName(&name, nullptr), cudaErrorInvalidDeviceFunction);
  CHECK_ERROR(cudaFuncGetName(&name, Pointer(NoKernel)), cudaErrorInvalidResourceHandle);
}

static void TestParameters() {
  const size_t expected[][2] = {{0, 8}, {8, 1}, {16, sizeof(Big)}, {16 + sizeof(Big), 2}};
  cudaKernel_t kernel = nullptr;
  CHECK(cudaGetKernel(&kernel, kFour));
  for (size_t i = 0; i < 4; ++i) {
    for (const void* function : {kFour, static_cast<const void*>(kernel)}) {
      size_t offset = 77;
      size_t bytes = 77;
      CHECK(cudaFuncGetParamInfo(function, i, &offset, &bytes));
      EXPECT(offset == expected[i][0] && bytes == expected[i][1], "parameter %zu: %zu bytes at %zu", i, bytes, offset);
    }
  }
  size_t offset = 0;
  size_t bytes = 0;
  CHECK_ERROR(cudaFuncGetParamInfo(kFour, 4, &offset, &bytes), cudaErrorInvalidValue);
  CHECK_ERROR(cudaFuncGetParamInfo(Pointer(None), 0, &offset, &bytes), cudaErrorInvalidValue);
  CHECK_ERROR(cudaFuncGetParamInfo(kFour, 0, nullptr, &bytes), cudaErrorInvalidValue);
  CHECK(cudaFuncGetParamInfo(kFour, 0, &offset, nullptr));
  CHECK_ERROR(cudaFuncGetParamInfo(Pointer(NoKernel), 0, &offset, &bytes), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaFuncGetParamInfo(nullptr, 0, &offset, &bytes), cudaErrorInvalidDeviceFunction);
}

static void TestHandles() {
  cudaFunction_t function = nullptr;
  cudaKernel_t kernel = nullptr;
  CHECK(cudaGetKernel(&kernel, Pointer(None)));
  CHECK(cudaGetFuncBySymbol(&function, Pointer(None)));
  CHECK(cudaLaunchKernel(function, dim3(1), dim3(1), nullptr, 0, nullptr));
  CHECK(cudaDeviceSynchronize());
  CHECK_ERROR(cudaGetFuncBySymbol(&function, Pointer(NoKernel)), cudaErrorInvalidDeviceFunction);
  CHECK_ERROR(cudaGetFuncBySymbol(&function, nullptr), cudaErrorInvalidDeviceFunction);
  CHECK_ERROR(cudaGetFuncBySymbol(&function, kernel), cudaErrorInvalidDeviceFunction);
  cudaFuncAttributes attributes;
  CHECK_ERROR(cudaFuncGetAttributes(&attributes, static_cast<const void*>(nullptr)), cudaErrorInvalidDeviceFunction);
  CHECK_ERROR(cudaFuncGetAttributes(&attributes, Pointer(NoKernel)), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaFuncGetAttributes(nullptr, Pointer(None)), cudaErrorInvalidValue);
}

static void TestAttributes(int count) {
  const auto set = [](int attribute, int value) {
    return cudaFuncSetAttribute(Pointer(None), static_cast<cudaFuncAttribute>(attribute), value);
  };
  for (const int none : {0, 7, 10, 16}) CHECK_ERROR(set(none, 1), cudaErrorInvalidValue);  // read-only, or nothing
  CHECK_ERROR(set(cudaFuncAttributeMaxDynamicSharedMemorySize, -1), cudaErrorInvalidValue);
  CHECK_ERROR(set(cudaFuncAttributeMaxDynamicSharedMemorySize, 1 << 20), cudaErrorInvalidValue);
  CHECK_ERROR(set(cudaFuncAttributePreferredSharedMemoryCarveout, 101), cudaErrorInvalidValue);
  CHECK_ERROR(set(cudaFuncAttributePreferredSharedMemoryCarveout, -2), cudaErrorInvalidValue);
  CHECK_ERROR(set(cudaFuncAttributeRequiredClusterWidth, -1), cudaErrorInvalidValue);
  CHECK_ERROR(set(cudaFuncAttributeClusterSchedulingPolicyPreference, 3), cudaErrorInvalidValue);
  CHECK(set(cudaFuncAttributePreferredSharedMemoryCarveout, 50));
  CHECK(set(cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
  CHECK(set(cudaFuncAttributeClusterSchedulingPolicyPreference, cudaClusterSchedulingPolicySpread));
  CHECK(set(cudaFuncAttributeMaxDynamicSharedMemorySize, 1000));
  CHECK(set(cudaFuncAttributeRequiredClusterHeight, 3));
  cudaFuncAttributes got;
  CHECK(cudaFuncGetAttributes(&got, Pointer(None)));
  EXPECT(got.preferredShmemCarveout == 50 && got.nonPortableClusterSizeAllowed == 1 &&
             got.clusterSchedulingPolicyPreference == cudaClusterSchedulingPolicySpread &&
             got.maxDynamicSharedSizeBytes == 1000 && got.requiredClusterHeight == 3 && got.requiredClusterWidth == 0,
         "attributes that nobody set");
  CHECK(set(cudaFuncAttributeRequiredClusterHeight, 0));

  CHECK_ERROR(cudaFuncSetSharedMemConfig(None, static_cast<cudaSharedMemConfig>(17)), cudaErrorInvalidValue);
  CHECK(cudaFuncSetSharedMemConfig(None, cudaSharedMemBankSizeEightByte));
  CHECK_ERROR(cudaFuncSetSharedMemConfig(NoKernel, cudaSharedMemBankSizeEightByte), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaFuncSetCacheConfig(None, static_cast<cudaFuncCache>(17)), cudaErrorInvalidValue);

  cudaKernel_t kernel = nullptr;
  CHECK(cudaGetKernel(&kernel, reinterpret_cast<const void*>(&Dynamic)));
  const auto dynamic = cudaFuncAttributeMaxDynamicSharedMemorySize;
  CHECK(cudaKernelSetAttributeForDevice(kernel, dynamic, 3000, 0));
  CHECK(cudaFuncGetAttributes(&got, Dynamic));
  EXPECT(got.maxDynamicSharedSizeBytes == 3000, "%d bytes", got.maxDynamicSharedSizeBytes);
  CHECK_ERROR(cudaKernelSetAttributeForDevice(kernel, dynamic, 1 << 20, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaKernelSetAttributeForDevice(kernel, dynamic, 3000, count), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaKernelSetAttributeForDevice(nullptr, dynamic, 3000, 0), cudaErrorInvalidResourceHandle);
}

int main() {
  int count = 0;
  CHECK(cudaGetDeviceCount(&count));
  TestNames();
  TestParameters();
  TestHandles();
  TestAttributes(count);
  return Passed();
}
