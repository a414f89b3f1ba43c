// cudaDeviceReset: all that the program made on the device is gone, whatever it was, and the device is as at the first
// call: memory, variables, settings. Handles from before are refused, other devices and other threads go on.
#include <atomic>
#include <thread>
#include <vector>

#include "check.h"

constexpr int kInitial = 5;
constexpr size_t kBytes = 1 << 20;

__device__ int variable = kInitial;
__constant__ int constant = 7;

__global__ void Set(int* out, int value) {
  *out = value;
  variable = value;
}
__global__ void Read(int* out) { *out = variable + constant; }
__global__ void Shared(int* out) {
  extern __shared__ int words[];
  words[threadIdx.x] = 1;
  if (threadIdx.x == 0) *out = words[0];
}

static size_t FreeBytes() {
  size_t free_bytes = 0;
  size_t total = 0;
  CHECK(cudaMemGetInfo(&free_bytes, &total));
  return free_bytes;
}

// What the manual leaves open is which of these a call returns for something that a reset has ended.
static void ExpectGone(cudaError_t error, const char* what) {
  EXPECT(
      error == cudaErrorInvalidResourceHandle || error == cudaErrorContextIsDestroyed || error == cudaErrorInvalidValue,
      "%s: %s", what, cudaGetErrorName(error));
  cudaGetLastError();
}

// As good as new: nothing of it can have been touched before.
static void ExpectFresh() {
  int* out = nullptr;
  CHECK(cudaMalloc(&out, sizeof(int)));
  Read<<<1, 1>>>(out);
  CHECK(cudaGetLastError());
  int got = 0;
  CHECK(cudaMemcpy(&got, out, sizeof(got), cudaMemcpyDeviceToHost));
  EXPECT(got == kInitial + 7, "variables add up to %d after a reset", got);
  CHECK(cudaFree(out));
}

static void TestMemory() {
  const size_t before = FreeBytes();
  void* plain = nullptr;
  void* pitched = nullptr;
  void* ordered = nullptr;
  void* managed = nullptr;
  void* pinned = nullptr;
  size_t pitch = 0;
  CHECK(cudaMalloc(&plain, kBytes));
  CHECK(cudaMallocPitch(&pitched, &pitch, 100, 100));
  CHECK(cudaMallocAsync(&ordered, kBytes, nullptr));
  CHECK(cudaMallocManaged(&managed, kBytes));
  CHECK(cudaMallocHost(&pinned, kBytes));
  static int own[4096];
  own[17] = 17;
  CHECK(cudaHostRegister(own, sizeof(own), cudaHostRegisterDefault));
  cudaArray_t array = nullptr;
  const cudaChannelFormatDesc format = cudaCreateChannelDesc<float>();
  CHECK(cudaMallocArray(&array, &format, 64, 64));
  cudaMemPool_t pool = nullptr;
  cudaMemPoolProps props{};
  props.allocType = cudaMemAllocationTypePinned;
  props.location = {cudaMemLocationTypeDevice, 0};
  CHECK(cudaMemPoolCreate(&pool, &props));
  CHECK(cudaDeviceSetMemPool(0, pool));
  void* of_pool = nullptr;
  CHECK(cudaMallocFromPoolAsync(&of_pool, kBytes, pool, nullptr));
  CHECK(cudaMemset(plain, 1, kBytes));
  EXPECT(FreeBytes() < before, "nothing was allocated");

  CHECK(cudaDeviceReset());
  EXPECT(FreeBytes() == before, "%zu bytes are free after a reset, %zu were before", FreeBytes(), before);
  int word = 0;
  for (void* gone : {plain, pitched, ordered, of_pool}) {
    CHECK_ERROR(cudaMemcpy(&word, gone, sizeof(word), cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
    CHECK_ERROR(cudaFree(gone), cudaErrorInvalidValue);
  }
  CHECK_ERROR(cudaFree(managed), cudaErrorInvalidValue);
  CHECK_ERROR(cudaFreeHost(pinned), cudaErrorInvalidValue);
  CHECK_ERROR(cudaHostUnregister(own), cudaErrorHostMemoryNotRegistered);
  EXPECT(own[17] == 17, "the program's memory is not what it was");
  CHECK(cudaHostRegister(own, sizeof(own), cudaHostRegisterDefault));
  CHECK(cudaHostUnregister(own));
  cudaPointerAttributes attributes;
  CHECK(cudaPointerGetAttributes(&attributes, plain));
  EXPECT(attributes.type == cudaMemoryTypeUnregistered, "type %d after a reset", attributes.type);
  ExpectGone(cudaFreeArray(array), "an array");
  ExpectGone(cudaMemPoolTrimTo(pool, 0), "a pool");
  cudaMemPool_t current = nullptr;
  cudaMemPool_t usual = nullptr;
  CHECK(cudaDeviceGetMemPool(&current, 0));
  CHECK(cudaDeviceGetDefaultMemPool(&usual, 0));
  EXPECT(current == usual, "another pool than the default one is current");
  cudaGetLastError();
  ExpectFresh();
}

static void TestHandles() {
  int* out = nullptr;
  CHECK(cudaMalloc(&out, sizeof(int)));
  cudaStream_t stream;
  cudaEvent_t event;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK(cudaEventCreate(&event));
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  Set<<<1, 1, 0, stream>>>(out, 9);
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CHECK(cudaGraphLaunch(exec, stream));
  CHECK(cudaEventRecord(event, stream));
  // Another one captures while the device is reset; while it does, no thread may allocate.
  cudaStream_t capturing;
  CHECK(cudaStreamCreate(&capturing));
  CHECK(cudaStreamBeginCapture(capturing, cudaStreamCaptureModeGlobal));
  CHECK(cudaDeviceReset());

  ExpectGone(cudaStreamQuery(stream), "cudaStreamQuery");
  Set<<<1, 1, 0, stream>>>(out, 1);
  ExpectGone(cudaGetLastError(), "a launch");
  ExpectGone(cudaStreamDestroy(stream), "cudaStreamDestroy");
  ExpectGone(cudaEventRecord(event, nullptr), "cudaEventRecord");
  ExpectGone(cudaEventSynchronize(event), "cudaEventSynchronize");
  ExpectGone(cudaEventDestroy(event), "cudaEventDestroy");
  ExpectGone(cudaGraphLaunch(exec, nullptr), "cudaGraphLaunch");
  ExpectGone(cudaGraphExecDestroy(exec), "cudaGraphExecDestroy");
  ExpectGone(cudaGraphInstantiate(&exec, graph, 0), "cudaGraphInstantiate of what was captured before");
  CHECK(cudaGraphDestroy(graph));
  cudaGraph_t never = nullptr;
  ExpectGone(cudaStreamEndCapture(capturing, &never), "cudaStreamEndCapture");
  ExpectFresh();
}

static void TestState() {
  int* out = nullptr;
  CHECK(cudaMalloc(&out, sizeof(int)));
  const int changed = 70;
  CHECK(cudaMemcpyToSymbol(constant, &changed, sizeof(changed)));
  Set<<<1, 1>>>(out, 1234);
  constexpr int kShared = 16 * 1024;
  CHECK(cudaFuncSetAttribute(Shared, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
  Shared<<<1, 1, kShared>>>(out);
  CHECK(cudaGetLastError());
  size_t stack = 0;
  size_t again = 0;
  CHECK(cudaDeviceGetLimit(&stack, cudaLimitStackSize));
  CHECK(cudaDeviceSetLimit(cudaLimitStackSize, 4 * stack));
  CHECK(cudaDeviceReset());
  ExpectFresh();
  CHECK(cudaDeviceGetLimit(&again, cudaLimitStackSize));
  EXPECT(again == stack, "a stack of %zu bytes, not of %zu", again, stack);
  cudaFuncAttributes attributes;
  CHECK(cudaFuncGetAttributes(&attributes, Shared));
  EXPECT(attributes.maxDynamicSharedSizeBytes > kShared, "%d bytes of shared memory after a reset",
         attributes.maxDynamicSharedSizeBytes);
  // The default streams are always there.
  CHECK(cudaMalloc(&out, sizeof(int)));
  Set<<<1, 1, 0, cudaStreamPerThread>>>(out, 2);
  CHECK(cudaStreamSynchronize(cudaStreamPerThread));
  CHECK(cudaDeviceReset());
  CHECK(cudaMalloc(&out, sizeof(int)));
  Set<<<1, 1, 0, cudaStreamPerThread>>>(out, 2);
  CHECK(cudaStreamSynchronize(cudaStreamPerThread));
  CHECK(cudaDeviceReset());
}

// More of everything than there may be at a time.
static void TestAgainAndAgain() {
  const size_t before = FreeBytes();
  for (int round = 0; round < 60; ++round) {
    int* out = nullptr;
    CHECK(cudaMalloc(&out, kBytes));
    for (int i = 0; i < 100; ++i) {
      cudaStream_t stream;
      cudaEvent_t event;
      CHECK(cudaStreamCreate(&stream));
      CHECK(cudaEventCreate(&event));
      if (i % 10 != 0) continue;
      Set<<<1, 1, 0, stream>>>(out, round);
      CHECK(cudaEventRecord(event, stream));
    }
    void* pinned = nullptr;
    CHECK(cudaMallocHost(&pinned, 4096));
    CHECK(cudaMemcpyAsync(pinned, out, sizeof(int), cudaMemcpyDeviceToHost, nullptr));
    CHECK(cudaDeviceReset());
    EXPECT(FreeBytes() == before, "round %d: %zu bytes are free, not %zu", round, FreeBytes(), before);
  }
  ExpectFresh();
}

// Calls of another thread may fail while the device is reset, no more than that.
static void TestThreads() {
  std::atomic<bool> is_over{false};
  std::thread other([&] {
    while (!is_over.load()) {
      void* memory = nullptr;
      if (cudaMalloc(&memory, 4096) != cudaSuccess) continue;
      FreeBytes();
      cudaFree(memory);
    }
  });
  for (int round = 0; round < 20; ++round) CHECK(cudaDeviceReset());
  is_over.store(true);
  other.join();
  CHECK(cudaDeviceReset());
  cudaGetLastError();
  ExpectFresh();
}

// The other device's objects stay, and its threads go on.
static void TestOthers() {
  CHECK(cudaSetDevice(1));
  int* kept = nullptr;
  cudaStream_t stream;
  cudaEvent_t event;
  void* pinned = nullptr;
  CHECK(cudaMalloc(&kept, sizeof(int)));
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaEventCreate(&event));
  CHECK(cudaMallocHost(&pinned, sizeof(int)));
  Set<<<1, 1, 0, stream>>>(kept, 77);
  const size_t before = FreeBytes();
  std::atomic<bool> is_over{false};
  std::thread other([&] {
    CHECK(cudaSetDevice(1));
    for (int value = 0; !is_over.load(); ++value) {
      int got = -1;
      Set<<<1, 1, 0, stream>>>(kept, value);
      CHECK(cudaEventRecord(event, stream));
      CHECK(cudaMemcpyAsync(pinned, kept, sizeof(int), cudaMemcpyDeviceToHost, stream));
      CHECK(cudaStreamSynchronize(stream));
      got = *static_cast<volatile int*>(pinned);
      EXPECT(got == value, "%d on the other device, not %d", got, value);
    }
  });
  CHECK(cudaSetDevice(0));
  for (int round = 0; round < 10; ++round) {
    void* memory = nullptr;
    cudaStream_t gone;
    CHECK(cudaMalloc(&memory, kBytes));
    CHECK(cudaStreamCreate(&gone));
    CHECK(cudaMemsetAsync(memory, round, kBytes, gone));
    CHECK(cudaDeviceReset());
    ExpectFresh();
  }
  is_over.store(true);
  other.join();
  CHECK(cudaSetDevice(1));
  EXPECT(FreeBytes() == before, "%zu bytes are free on the other device, not %zu", FreeBytes(), before);
  int got = 0;
  CHECK(cudaMemcpyFromSymbol(&got, variable, sizeof(got)));
  EXPECT(got != kInitial, "the other device's variable is as at first");
  CHECK(cudaDeviceReset());
  CHECK(cudaSetDevice(0));
}

int main() {
  int devices = 0;
  CHECK(cudaGetDeviceCount(&devices));
  TestMemory();
  TestHandles();
  TestState();
  TestAgainAndAgain();
  TestThreads();
  if (devices > 1) TestOthers();
  std::printf("device_reset: nothing is left, on %d device(s)\n", devices);
  return Passed();
}
