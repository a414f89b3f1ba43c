// What a program sets for a device as a whole: how threads wait, limits, preferences, which device is chosen. What is
// written is read back, what is no such thing is refused with the error that CUDA has for it.
#include <cuda_profiler_api.h>

#include <cctype>
#include <cstring>
#include <string>

#include "check.h"

// What is deprecated is answered, too.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static int Attribute(cudaDeviceAttr attribute) {
  int value = -1;
  CHECK(cudaDeviceGetAttribute(&value, attribute, 0));
  return value;
}

static unsigned Flags() {
  unsigned flags = ~0u;
  CHECK(cudaGetDeviceFlags(&flags));
  return flags;
}

static void TestFlags(int count) {
  EXPECT(Flags() == cudaDeviceMapHost, "flags %u at first", Flags());
  CHECK(cudaSetDeviceFlags(cudaDeviceScheduleBlockingSync));
  EXPECT(Flags() == (cudaDeviceScheduleBlockingSync | cudaDeviceMapHost), "flags %u", Flags());
  CHECK(cudaSetDeviceFlags(cudaDeviceLmemResizeToMax));
  EXPECT(Flags() == (cudaDeviceLmemResizeToMax | cudaDeviceMapHost), "flags %u", Flags());
  for (const unsigned none : {3u, 7u, 0x100u, 0x1000u}) CHECK_ERROR(cudaSetDeviceFlags(none), cudaErrorInvalidValue);
  CHECK_ERROR(cudaGetDeviceFlags(nullptr), cudaErrorInvalidValue);
  CHECK(cudaInitDevice(0, cudaDeviceScheduleSpin, cudaInitDeviceFlagsAreValid));
  EXPECT(Flags() == (cudaDeviceScheduleSpin | cudaDeviceMapHost), "flags %u", Flags());
  CHECK(cudaInitDevice(0, 0x1000, 0));  // not to be looked at
  CHECK_ERROR(cudaInitDevice(0, 3, cudaInitDeviceFlagsAreValid), cudaErrorInvalidValue);
  CHECK_ERROR(cudaInitDevice(count, 0, 0), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaInitDevice(-1, 0, 0), cudaErrorInvalidDevice);
  CHECK(cudaSetDeviceFlags(cudaDeviceScheduleAuto));
}

static void TestChoice(int count) {
  int device = -1;
  cudaDeviceProp wanted;
  std::memset(&wanted, 0, sizeof(wanted));
  CHECK(cudaChooseDevice(&device, &wanted));
  EXPECT(device == 0, "device %d for nothing in particular", device);
  wanted.major = 99;
  CHECK(cudaChooseDevice(&device, &wanted));
  EXPECT(device >= 0 && device < count, "device %d", device);
  CHECK_ERROR(cudaChooseDevice(nullptr, &wanted), cudaErrorInvalidValue);
  CHECK_ERROR(cudaChooseDevice(&device, nullptr), cudaErrorInvalidValue);
  int list[17] = {0};
  list[1] = count;
  CHECK(cudaSetValidDevices(list, 1));
  CHECK(cudaSetValidDevices(nullptr, 0));
  CHECK_ERROR(cudaSetValidDevices(nullptr, 1), cudaErrorInvalidValue);
  CHECK_ERROR(cudaSetValidDevices(list, -1), cudaErrorInvalidValue);
  CHECK_ERROR(cudaSetValidDevices(list, count + 1), cudaErrorInvalidValue);
  CHECK_ERROR(cudaSetValidDevices(list + 1, 1), cudaErrorInvalidDevice);

  char id[32];
  for (int d = 0; d < count; ++d) {
    CHECK(cudaDeviceGetPCIBusId(id, sizeof(id), d));
    CHECK(cudaDeviceGetByPCIBusId(&device, id));
    EXPECT(device == d, "%s is device %d, not %d", id, device, d);
    std::string text = id;
    for (char& c : text) c = static_cast<char>(std::toupper(c));
    CHECK(cudaDeviceGetByPCIBusId(&device, text.c_str()));
    CHECK(cudaDeviceGetByPCIBusId(&device, text.substr(0, text.size() - 2).c_str()));  // without its function
    EXPECT(device == d, "%s without its function is device %d, not %d", id, device, d);
  }
  CHECK_ERROR(cudaDeviceGetByPCIBusId(&device, "0000:fe:1d.0"), cudaErrorInvalidDevice);
  for (const char* none : {"nonsense", ""}) CHECK_ERROR(cudaDeviceGetByPCIBusId(&device, none), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceGetByPCIBusId(&device, nullptr), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceGetByPCIBusId(nullptr, id), cudaErrorInvalidValue);
}

static void TestPreferences() {
  cudaFuncCache cache = cudaFuncCachePreferEqual;
  CHECK(cudaDeviceGetCacheConfig(&cache));
  EXPECT(cache == cudaFuncCachePreferNone, "cache preference %d at first", cache);
  CHECK(cudaDeviceSetCacheConfig(cudaFuncCachePreferL1));
  CHECK_ERROR(cudaDeviceSetCacheConfig(static_cast<cudaFuncCache>(17)), cudaErrorInvalidValue);
  CHECK(cudaDeviceGetCacheConfig(&cache));
  EXPECT(cache == cudaFuncCachePreferL1, "cache preference %d", cache);
  CHECK_ERROR(cudaDeviceGetCacheConfig(nullptr), cudaErrorInvalidValue);

  // Banks have been four bytes wide since compute capability 5.0.
  cudaSharedMemConfig banks = cudaSharedMemBankSizeDefault;
  CHECK(cudaDeviceSetSharedMemConfig(cudaSharedMemBankSizeEightByte));
  CHECK(cudaDeviceGetSharedMemConfig(&banks));
  EXPECT(banks == cudaSharedMemBankSizeFourByte, "banks of kind %d", banks);
  CHECK_ERROR(cudaDeviceSetSharedMemConfig(static_cast<cudaSharedMemConfig>(17)), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceGetSharedMemConfig(nullptr), cudaErrorInvalidValue);
}

static size_t Limit(cudaLimit limit) {
  size_t value = ~size_t(0);
  CHECK(cudaDeviceGetLimit(&value, limit));
  return value;
}
static size_t Set(cudaLimit limit, size_t value) {
  CHECK(cudaDeviceSetLimit(limit, value));
  return Limit(limit);
}

static void TestLimits() {
  const struct {
    cudaLimit limit;
    size_t set;
    size_t get;
  } cases[] = {
      {cudaLimitStackSize, 2048, 2048},
      {cudaLimitStackSize, 1000, 1008},  // in steps of 16
      {cudaLimitStackSize, 100000, 100000},
      {cudaLimitPrintfFifoSize, 0, 512 << 10},  // a least size
      {cudaLimitPrintfFifoSize, 1 << 20, 1 << 20},
      {cudaLimitPrintfFifoSize, (512 << 10) + 1, (512 << 10) + 256},
      {cudaLimitMallocHeapSize, 1, 4 << 20},
      {cudaLimitMallocHeapSize, 16 << 20, 16 << 20},
      {cudaLimitDevRuntimePendingLaunchCount, 1, 32},
      {cudaLimitDevRuntimePendingLaunchCount, 4096, 4096},
      {cudaLimitMaxL2FetchGranularity, 32, 32},
      {cudaLimitMaxL2FetchGranularity, 128, 128},
  };
  for (const auto& c : cases) {
    const size_t got = Set(c.limit, c.set);
    EXPECT(got == c.get, "limit %d set to %zu is %zu, not %zu", c.limit, c.set, got, c.get);
  }
  CHECK_ERROR(cudaDeviceSetLimit(cudaLimitStackSize, 512 << 10), cudaErrorInvalidValue);
  EXPECT(Limit(cudaLimitStackSize) == 100000, "a stack of %zu after a refusal", Limit(cudaLimitStackSize));
  CHECK_ERROR(cudaDeviceSetLimit(cudaLimitMaxL2FetchGranularity, 129), cudaErrorInvalidValue);
  size_t value = 77;
  if (Attribute(cudaDevAttrMaxPersistingL2CacheSize) == 0) {
    CHECK_ERROR(cudaDeviceGetLimit(&value, cudaLimitPersistingL2CacheSize), cudaErrorUnsupportedLimit);
    CHECK_ERROR(cudaDeviceSetLimit(cudaLimitPersistingL2CacheSize, 0), cudaErrorUnsupportedLimit);
  } else {
    EXPECT(Set(cudaLimitPersistingL2CacheSize, 0) == 0, "lines persist");
    CHECK_ERROR(cudaDeviceSetLimit(cudaLimitPersistingL2CacheSize, size_t(1) << 40), cudaErrorInvalidValue);
  }
  CHECK_ERROR(cudaDeviceSetLimit(static_cast<cudaLimit>(-1), 1), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceGetLimit(&value, static_cast<cudaLimit>(-1)), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceGetLimit(nullptr, cudaLimitStackSize), cudaErrorInvalidValue);
  EXPECT(value == 77, "a value although it failed");
  CHECK(cudaDeviceReset());
  EXPECT(Limit(cudaLimitStackSize) == 1024, "a stack of %zu after a reset", Limit(cudaLimitStackSize));
  EXPECT(Flags() == cudaDeviceMapHost, "flags %u after a reset", Flags());
}

static void TestTextureWidth(int count) {
  const size_t reach = static_cast<size_t>(Attribute(cudaDevAttrMaxTexture1DLinearWidth));
  size_t width = 77;
  const struct {
    cudaChannelFormatDesc format;
    size_t times;
  } good[] = {{{32, 32, 32, 32, cudaChannelFormatKindFloat}, 1},
              {{32, 32, 0, 0, cudaChannelFormatKindSigned}, 2},
              {{16, 16, 0, 0, cudaChannelFormatKindUnsigned}, 4},
              {{8, 0, 0, 0, cudaChannelFormatKindSigned}, 4}};
  for (const auto& g : good) {
    CHECK(cudaDeviceGetTexture1DLinearMaxWidth(&width, &g.format, 0));
    EXPECT(width == reach * g.times, "%zu elements of %d bits, expected %zu", width, g.format.x, reach * g.times);
  }
  const cudaChannelFormatDesc bad[] = {{8, 8, 8, 0, cudaChannelFormatKindUnsigned},
                                       {0, 0, 0, 0, cudaChannelFormatKindUnsigned},
                                       {9, 0, 0, 0, cudaChannelFormatKindUnsigned},
                                       {16, 8, 0, 0, cudaChannelFormatKindUnsigned},
                                       {8, 0, 0, 0, cudaChannelFormatKindFloat}};
  for (const auto& b : bad)
    CHECK_ERROR(cudaDeviceGetTexture1DLinearMaxWidth(&width, &b, 0), cudaErrorInvalidChannelDescriptor);
  CHECK_ERROR(cudaDeviceGetTexture1DLinearMaxWidth(&width, &good[0].format, count), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaDeviceGetTexture1DLinearMaxWidth(nullptr, &good[0].format, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceGetTexture1DLinearMaxWidth(&width, nullptr, 0), cudaErrorInvalidValue);
}

static void OverBudget(cudaAsyncNotificationInfo_t*, void*, cudaAsyncCallbackHandle_t) {}

static void TestTheRest(int count) {
  CHECK(cudaProfilerStop());
  CHECK(cudaProfilerStart());
  CHECK(cudaProfilerStop());
  CHECK(cudaCtxResetPersistingL2Cache());

  const bool flushes =
      (Attribute(cudaDevAttrGPUDirectRDMAFlushWritesOptions) & cudaFlushGPUDirectRDMAWritesOptionHost) != 0;
  const auto target = cudaFlushGPUDirectRDMAWritesTargetCurrentDevice;
  CHECK_ERROR(cudaDeviceFlushGPUDirectRDMAWrites(target, cudaFlushGPUDirectRDMAWritesToOwner),
              flushes ? cudaSuccess : cudaErrorNotSupported);
  CHECK_ERROR(cudaDeviceFlushGPUDirectRDMAWrites(target, static_cast<cudaFlushGPUDirectRDMAWritesScope>(5)),
              cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceFlushGPUDirectRDMAWrites(static_cast<cudaFlushGPUDirectRDMAWritesTarget>(5),
                                                 cudaFlushGPUDirectRDMAWritesToOwner),
              cudaErrorInvalidValue);

  cudaAsyncCallbackHandle_t one = nullptr;
  cudaAsyncCallbackHandle_t other = nullptr;
  CHECK(cudaDeviceRegisterAsyncNotification(0, OverBudget, nullptr, &one));
  CHECK(cudaDeviceRegisterAsyncNotification(0, OverBudget, nullptr, &other));
  EXPECT(one != nullptr && one != other, "two registrations with one handle");
  CHECK_ERROR(cudaDeviceRegisterAsyncNotification(count, OverBudget, nullptr, &other), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaDeviceRegisterAsyncNotification(0, nullptr, nullptr, &other), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceUnregisterAsyncNotification(count, one), cudaErrorInvalidDevice);
  CHECK(cudaDeviceUnregisterAsyncNotification(0, one));
  CHECK(cudaDeviceUnregisterAsyncNotification(0, other));
  CHECK_ERROR(cudaDeviceUnregisterAsyncNotification(0, nullptr), cudaErrorInvalidValue);
}

int main() {
  int count = 0;
  CHECK(cudaGetDeviceCount(&count));
  TestFlags(count);
  TestChoice(count);
  TestPreferences();
  TestLimits();
  TestTextureWidth(count);
  TestTheRest(count);
  return Passed();
}
