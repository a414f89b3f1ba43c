// Stream-ordered pools: attributes with their rules, pools of the program's own, reuse on a stream and across streams,
// and memory that goes back when the device is waited for.
#include <vector>

#include "check.h"

__global__ void Fill(unsigned* words, int n, unsigned seed) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) words[i] = seed + i;
}

__global__ void Count(const unsigned* words, int n, unsigned seed, unsigned* wrong) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    if (words[i] != seed + i) atomicAdd(wrong, 1u);
  }
}

static unsigned long long Number(cudaMemPool_t pool, cudaMemPoolAttr attribute) {
  unsigned long long value = ~0ull;
  CHECK(cudaMemPoolGetAttribute(pool, attribute, &value));
  return value;
}

static cudaMemPoolProps PropsOf(int device) {
  cudaMemPoolProps props{};
  props.allocType = cudaMemAllocationTypePinned;
  props.handleTypes = cudaMemHandleTypeNone;
  props.location.type = cudaMemLocationTypeDevice;
  props.location.id = device;
  return props;
}

static void Handles() {
  int supported = 0;
  CHECK(cudaDeviceGetAttribute(&supported, cudaDevAttrMemoryPoolsSupported, 0));
  EXPECT(supported == 1, "pools are supported: %d", supported);
  cudaMemPool_t standard = nullptr, current = nullptr, made = nullptr, same = nullptr;
  CHECK(cudaDeviceGetDefaultMemPool(&standard, 0));
  CHECK(cudaDeviceGetMemPool(&current, 0));
  EXPECT(standard != nullptr && standard == current, "the default pool is the current one");
  cudaMemLocation here{};
  here.type = cudaMemLocationTypeDevice;
  here.id = 0;
  CHECK(cudaMemGetDefaultMemPool(&same, &here, cudaMemAllocationTypePinned));
  EXPECT(same == standard, "the location's default pool is the device's");
  CHECK_ERROR(cudaDeviceGetDefaultMemPool(&same, 99), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaMemPoolDestroy(standard), cudaErrorInvalidValue);

  cudaMemPoolProps props = PropsOf(0);
  CHECK(cudaMemPoolCreate(&made, &props));
  CHECK(cudaDeviceSetMemPool(0, made));
  CHECK(cudaDeviceGetMemPool(&current, 0));
  EXPECT(current == made, "the pool that was set is current");
  CHECK(cudaMemGetMemPool(&same, &here, cudaMemAllocationTypePinned));
  EXPECT(same == made, "by location, too");
  CHECK(cudaMemSetMemPool(&here, cudaMemAllocationTypePinned, standard));
  CHECK(cudaDeviceGetMemPool(&current, 0));
  EXPECT(current == standard, "set back by location");
  CHECK(cudaDeviceSetMemPool(0, made));
  CHECK(cudaMemPoolDestroy(made));
  CHECK(cudaDeviceGetMemPool(&current, 0));
  EXPECT(current == standard, "destroying the current pool makes the default one current");

  props.allocType = cudaMemAllocationTypeInvalid;
  CHECK_ERROR(cudaMemPoolCreate(&made, &props), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemPoolCreate(nullptr, &props), cudaErrorInvalidValue);
  here.type = cudaMemLocationTypeInvalid;
  CHECK_ERROR(cudaMemGetMemPool(&same, &here, cudaMemAllocationTypePinned), cudaErrorInvalidValue);
  cudaGetLastError();
}

static void Attributes() {
  cudaMemPoolProps props = PropsOf(0);
  cudaMemPool_t pool = nullptr;
  CHECK(cudaMemPoolCreate(&pool, &props));
  const cudaMemPoolAttr flags[] = {cudaMemPoolReuseFollowEventDependencies, cudaMemPoolReuseAllowOpportunistic,
                                   cudaMemPoolReuseAllowInternalDependencies};
  for (const cudaMemPoolAttr flag : flags) {
    int value = -1;
    CHECK(cudaMemPoolGetAttribute(pool, flag, &value));
    EXPECT(value == 1, "flag %d is %d at first", flag, value);
    value = 0;
    CHECK(cudaMemPoolSetAttribute(pool, flag, &value));
    value = -1;
    CHECK(cudaMemPoolGetAttribute(pool, flag, &value));
    EXPECT(value == 0, "flag %d is %d after it was cleared", flag, value);
  }
  EXPECT(Number(pool, cudaMemPoolAttrReleaseThreshold) == 0, "the threshold is 0 at first");
  EXPECT(Number(pool, cudaMemPoolAttrReservedMemCurrent) == 0, "nothing is reserved at first");
  unsigned long long value = ~0ull;
  CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &value));
  EXPECT(Number(pool, cudaMemPoolAttrReleaseThreshold) == ~0ull, "the threshold is what was set");

  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  void* memory = nullptr;
  CHECK(cudaMallocFromPoolAsync(&memory, 3 << 20, pool, stream));
  const unsigned long long used = Number(pool, cudaMemPoolAttrUsedMemCurrent);
  EXPECT(used >= 3 << 20 && Number(pool, cudaMemPoolAttrReservedMemCurrent) >= used, "%llu bytes are used", used);
  CHECK(cudaFreeAsync(memory, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(Number(pool, cudaMemPoolAttrUsedMemCurrent) == 0, "nothing is used");
  EXPECT(Number(pool, cudaMemPoolAttrUsedMemHigh) == used, "the high mark stays");
  EXPECT(Number(pool, cudaMemPoolAttrReservedMemCurrent) >= used, "the threshold keeps what was reserved");
  value = 1;
  CHECK_ERROR(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &value), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &value), cudaErrorInvalidValue);
  value = 0;
  CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &value));
  EXPECT(Number(pool, cudaMemPoolAttrUsedMemHigh) == 0, "the high mark was reset");
  CHECK(cudaMemPoolTrimTo(pool, 0));
  EXPECT(Number(pool, cudaMemPoolAttrReservedMemCurrent) == 0, "trimmed to nothing");
  CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReservedMemHigh, &value));
  EXPECT(Number(pool, cudaMemPoolAttrReservedMemHigh) == 0, "the other high mark was reset");

  cudaMemLocation here{};
  here.type = cudaMemLocationTypeDevice;
  cudaMemAccessFlags access = cudaMemAccessFlagsProtNone;
  CHECK(cudaMemPoolGetAccess(&access, pool, &here));
  EXPECT(access == cudaMemAccessFlagsProtReadWrite, "its own device reads and writes");
  cudaMemAccessDesc desc{};
  desc.location = here;
  desc.flags = cudaMemAccessFlagsProtReadWrite;
  CHECK(cudaMemPoolSetAccess(pool, &desc, 1));
  desc.flags = cudaMemAccessFlagsProtNone;
  CHECK_ERROR(cudaMemPoolSetAccess(pool, &desc, 1), cudaErrorInvalidDevice);
  cudaGetLastError();
  CHECK(cudaMemPoolDestroy(pool));
  CHECK(cudaStreamDestroy(stream));
}

// Memory freed on a stream is had again on it at once, and its contents are those of its new owner.
static void Reuse() {
  const int n = 1 << 18;
  cudaStream_t first, second;
  cudaEvent_t freed;
  unsigned* wrong = nullptr;
  CHECK(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
  CHECK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
  CHECK(cudaEventCreateWithFlags(&freed, cudaEventDisableTiming));
  CHECK(cudaMalloc(&wrong, sizeof(unsigned)));
  CHECK(cudaMemset(wrong, 0, sizeof(unsigned)));
  CHECK(cudaDeviceSynchronize());
  unsigned* again = nullptr;
  int reused = 0;
  for (unsigned turn = 0; turn < 20; ++turn) {
    unsigned* words = nullptr;
    CHECK(cudaMallocAsync(&words, n * sizeof(unsigned), first));
    reused += words == again;
    Fill<<<4, 128, 0, first>>>(words, n, turn);
    Count<<<4, 128, 0, first>>>(words, n, turn, wrong);
    CHECK(cudaFreeAsync(words, first));
    again = words;
  }
  EXPECT(reused == 19, "the stream's own memory came back %d times", reused);
  // Across streams by an event; and where nothing orders them, the kernels of both must not meet in one place.
  for (unsigned turn = 0; turn < 20; ++turn) {
    unsigned *here = nullptr, *there = nullptr;
    CHECK(cudaMallocAsync(&here, n * sizeof(unsigned), first));
    Fill<<<4, 128, 0, first>>>(here, n, turn * 7);
    Count<<<4, 128, 0, first>>>(here, n, turn * 7, wrong);
    CHECK(cudaFreeAsync(here, first));
    if (turn % 2 == 0) {
      CHECK(cudaEventRecord(freed, first));
      CHECK(cudaStreamWaitEvent(second, freed, 0));
    }
    CHECK(cudaMallocAsync(&there, n * sizeof(unsigned), second));
    Fill<<<4, 128, 0, second>>>(there, n, turn * 11 + 5);
    Count<<<4, 128, 0, second>>>(there, n, turn * 11 + 5, wrong);
    CHECK(cudaFreeAsync(there, second));
  }
  CHECK(cudaGetLastError());
  CHECK(cudaDeviceSynchronize());
  unsigned count = 99;
  CHECK(cudaMemcpy(&count, wrong, sizeof(count), cudaMemcpyDeviceToHost));
  EXPECT(count == 0, "%u words were written by another owner", count);
  CHECK(cudaFree(wrong));
  CHECK(cudaEventDestroy(freed));
  CHECK(cudaStreamDestroy(first));
  CHECK(cudaStreamDestroy(second));
}

// Without a threshold a synchronise gives back what is idle; memory may cross between the two ways of freeing.
static void GivesBack() {
  cudaMemPool_t pool = nullptr;
  cudaStream_t stream;
  CHECK(cudaDeviceGetDefaultMemPool(&pool, 0));
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaStreamSynchronize(stream));
  const unsigned long long before = Number(pool, cudaMemPoolAttrReservedMemCurrent);
  void *by_free = nullptr, *by_order = nullptr, *plain = nullptr;
  CHECK(cudaMallocAsync(&by_order, 8 << 20, stream));
  CHECK(cudaMallocAsync(&by_free, 8 << 20, stream));
  CHECK(cudaMalloc(&plain, 1 << 20));
  CHECK(cudaMemsetAsync(by_order, 1, 8 << 20, stream));
  CHECK(cudaMemsetAsync(by_free, 2, 8 << 20, stream));
  CHECK(cudaMemsetAsync(plain, 3, 1 << 20, stream));
  const unsigned long long used = Number(pool, cudaMemPoolAttrUsedMemCurrent);
  EXPECT(used >= 16 << 20, "%llu bytes are used", used);
  CHECK(cudaFreeAsync(by_order, stream));
  CHECK(cudaFreeAsync(plain, stream));  // of cudaMalloc
  CHECK(cudaStreamSynchronize(stream));
  CHECK(cudaFree(by_free));  // of cudaMallocAsync
  CHECK(cudaDeviceSynchronize());
  EXPECT(Number(pool, cudaMemPoolAttrUsedMemCurrent) + (8 << 20) <= used, "of %llu bytes %llu are still used", used,
         Number(pool, cudaMemPoolAttrUsedMemCurrent));
  EXPECT(Number(pool, cudaMemPoolAttrReservedMemCurrent) <= before, "what is idle was given back");
  CHECK_ERROR(cudaFreeAsync(&pool, stream), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMallocAsync(nullptr, 1, stream), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMallocAsync(&plain, size_t{1} << 60, stream), cudaErrorMemoryAllocation);
  cudaGetLastError();
  CHECK(cudaStreamDestroy(stream));
}

// A pool with a maximum says so itself; what was freed in it may be had again.
static void Bounded() {
  cudaMemPoolProps props = PropsOf(0);
  props.maxSize = 64 << 20;
  cudaMemPool_t pool = nullptr;
  cudaStream_t stream;
  void *first = nullptr, *second = nullptr;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaMemPoolCreate(&pool, &props));
  CHECK(cudaMallocFromPoolAsync(&first, 48 << 20, pool, stream));
  CHECK_ERROR(cudaMallocFromPoolAsync(&second, 48 << 20, pool, stream), cudaErrorMemoryAllocation);
  EXPECT(cudaGetLastError() == cudaErrorMemoryAllocation, "the last error says so");
  CHECK(cudaFreeAsync(first, stream));
  CHECK(cudaMallocFromPoolAsync(&second, 48 << 20, pool, stream));
  // Destroyed while memory of it is in use: that lives until it is freed.
  CHECK(cudaMemPoolDestroy(pool));
  CHECK(cudaMemsetAsync(second, 9, 48 << 20, stream));
  unsigned char last = 0;
  CHECK(cudaMemcpyAsync(&last, static_cast<char*>(second) + (48 << 20) - 1, 1, cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  EXPECT(last == 9, "the last byte is %d", last);
  CHECK(cudaFreeAsync(second, stream));
  CHECK(cudaStreamSynchronize(stream));
  CHECK(cudaStreamDestroy(stream));
}

int main() {
  Handles();
  Attributes();
  Reuse();
  GivesBack();
  Bounded();
  std::printf("memory_pools: handles, attributes, reuse, release, bounds\n");
  return Passed();
}
