// The contract libcuda behaves as a driver.
#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/contract/contract_test.h"

namespace accelmesh::contract {
namespace {

// It behaves as a driver ---------------------------------------------------------------------------------------------

TEST_F(ContractTest, DevicesAreDescribed) {
  int count = 0;
  OK(CU(cuDeviceGetCount)(&count));
  EXPECT_EQ(count, 2);
  char name[64];
  OK(CU(cuDeviceGetName)(name, sizeof(name), 1));
  CUuuid first{};
  CUuuid second{};
  OK(CU(cuDeviceGetUuid)(&first, 0));
  OK(CU(cuDeviceGetUuid)(&second, 1));
  EXPECT_NE(std::memcmp(&first, &second, sizeof(first)), 0);
  int value = 0;
  for (int attribute = 1; attribute < CU_DEVICE_ATTRIBUTE_MAX; ++attribute)
    OK(CU(cuDeviceGetAttribute)(&value, static_cast<CUdevice_attribute>(attribute), 0));
  EXPECT_EQ(CU(cuDeviceGetAttribute)(&value, CU_DEVICE_ATTRIBUTE_MAX, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(CU(cuDeviceGetAttribute)(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 2), CUDA_ERROR_INVALID_DEVICE);
  OK(CU(cuDeviceGetAttribute)(&value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 1));
  EXPECT_EQ(value, 8);
  const char* text = nullptr;
  OK(CU(cuGetErrorName)(CUDA_ERROR_ILLEGAL_ADDRESS, &text));
  EXPECT_STREQ(text, "CUDA_ERROR_ILLEGAL_ADDRESS");
}

TEST_F(ContractTest, FunctionsAreFoundByName) {
  void* address = nullptr;
  CUdriverProcAddressQueryResult status{};
  OK(CU(cuGetProcAddress)("cuMemAlloc", &address, CUDA_VERSION, 0, &status));
  EXPECT_EQ(address, dlsym(Library(), "cuMemAlloc_v2"));
  EXPECT_EQ(CU(cuGetProcAddress)("cuMemDoNothing", &address, CUDA_VERSION, 0, &status), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(status, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
  EXPECT_EQ(dlsym(Library(), "cuMemAlloc"), nullptr) << "CUDA 1's function of that name is another one";
}

TEST_F(ContractTest, ContextsStack) {
  CUcontext other = nullptr;
  OK(CU(cuCtxCreate)(&other, nullptr, 0, 1));
  CUdevice device = -1;
  OK(CU(cuCtxGetDevice)(&device));
  EXPECT_EQ(device, 1);
  OK(CU(cuCtxDestroy)(other));
  OK(CU(cuCtxGetDevice)(&device));
  EXPECT_EQ(device, 0);
  CUcontext primary = nullptr;
  CUcontext again = nullptr;
  OK(CU(cuDevicePrimaryCtxRetain)(&primary, 1));
  OK(CU(cuDevicePrimaryCtxRetain)(&again, 1));
  EXPECT_EQ(primary, again);
  OK(CU(cuDevicePrimaryCtxRelease)(1));
  OK(CU(cuDevicePrimaryCtxRelease)(1));
  EXPECT_EQ(CU(cuDevicePrimaryCtxRelease)(1), CUDA_ERROR_INVALID_CONTEXT);
  std::thread([] {
    std::size_t bytes = 0;
    EXPECT_EQ(CU(cuMemGetInfo)(&bytes, &bytes), CUDA_ERROR_INVALID_CONTEXT);
  }).join();
}

TEST_F(ContractTest, AKernelRuns) {
  const CUdeviceptr out = Malloc(4096);
  CUdeviceptr argument = out;
  unsigned base = 7;
  OK(Launch("iota", nullptr, {&argument, &base}, 4, 256));
  std::vector<unsigned> got(1024);
  OK(CU(cuMemcpyDtoH)(got.data(), out, 4096));
  for (unsigned i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], i + 7);
  OK(CU(cuMemFree)(out));
}

TEST_F(ContractTest, AKernelRunsByExtraAndByLibrary) {
  const CUdeviceptr out = Malloc(64);
  CUlibrary library = nullptr;
  CUkernel kernel = nullptr;
  OK(CU(cuLibraryLoadData)(&library, kPtx, nullptr, nullptr, 0, nullptr, nullptr, 0));
  OK(CU(cuLibraryGetKernel)(&kernel, library, "iota"));
  struct {
    CUdeviceptr out;
    unsigned base;
  } arguments{out, 3};
  std::size_t bytes = sizeof(arguments);
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &arguments, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes,
                   CU_LAUNCH_PARAM_END};
  CUlaunchConfig config{};
  config.gridDimX = config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = 8;
  config.blockDimY = config.blockDimZ = 1;
  OK(CU(cuLaunchKernelEx)(&config, reinterpret_cast<CUfunction>(kernel), nullptr, extra));
  unsigned got[8];
  OK(CU(cuMemcpyDtoH)(got, out, sizeof(got)));
  EXPECT_THAT(got, ::testing::ElementsAre(3, 4, 5, 6, 7, 8, 9, 10));
  OK(CU(cuLibraryUnload)(library));
  OK(CU(cuMemFree)(out));
}

TEST_F(ContractTest, BlocksOfACooperativeLaunchRunAtATime) {
  const CUdeviceptr word = Malloc(64);
  CUdeviceptr argument = word;
  void* arguments[] = {&argument};
  OK(CU(cuLaunchCooperativeKernel)(Kernel("meet"), 20, 1, 1, 32, 1, 1, 0, nullptr, arguments));
  OK(CU(cuCtxSynchronize)());
  int blocks = 0;
  OK(CU(cuOccupancyMaxActiveBlocksPerMultiprocessor)(&blocks, Kernel("meet"), 1024, 0));
  EXPECT_EQ(blocks, 2);
  EXPECT_EQ(CU(cuLaunchCooperativeKernel)(Kernel("meet"), 17, 1, 1, 1024, 1, 1, 0, nullptr, arguments),
            CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE)
      << "8 processors run 2 each";
  OK(CU(cuMemFree)(word));
}

TEST_F(ContractTest, ModulesSayWhatTheyHold) {
  unsigned count = 0;
  OK(CU(cuModuleGetFunctionCount)(&count, module_));
  ASSERT_EQ(count, 5u);
  CUfunction functions[5];
  OK(CU(cuModuleEnumerateFunctions)(functions, count, module_));
  const char* name = nullptr;
  OK(CU(cuFuncGetName)(&name, functions[0]));
  EXPECT_STREQ(name, "iota");
  std::size_t offset = 0;
  std::size_t bytes = 0;
  OK(CU(cuFuncGetParamInfo)(functions[0], 1, &offset, &bytes));
  EXPECT_EQ(offset, 8u);
  EXPECT_EQ(bytes, 4u);
  EXPECT_EQ(CU(cuFuncGetParamInfo)(functions[0], 2, &offset, &bytes), CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr global = 0;
  OK(CU(cuModuleGetGlobal)(&global, &bytes, module_, "counter"));
  unsigned value = 0;
  OK(CU(cuMemcpyDtoH)(&value, global, sizeof(value)));
  EXPECT_EQ(value, 41u);
  EXPECT_EQ(CU(cuModuleGetGlobal)(&global, &bytes, module_, "nobody"), CUDA_ERROR_NOT_FOUND);
  CUmodule none = nullptr;
  EXPECT_EQ(CU(cuModuleLoadData)(&none, ".version 8.0 nonsense"), CUDA_ERROR_INVALID_PTX);
  char log[256] = "";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof(log))};
  EXPECT_EQ(CU(cuModuleLoadDataEx)(&none, ".version 8.0 nonsense", 2, options, values), CUDA_ERROR_INVALID_PTX);
  EXPECT_THAT(log, ::testing::HasSubstr("line 1"));
  EXPECT_EQ(CU(cuModuleLoadData)(&none, "nonsense"), CUDA_ERROR_INVALID_IMAGE);
  EXPECT_EQ(CU(cuModuleLoadData)(&none, "\177ELF and so on"), CUDA_ERROR_NO_BINARY_FOR_GPU);
}

TEST_F(ContractTest, AStreamIsInOrderAndAsynchronous) {
  const CUdeviceptr word = Malloc(64);
  CUstream stream = NewStream();
  std::uint64_t* gate = Pinned();
  Close(stream, gate);
  CUdeviceptr argument = word;
  for (unsigned bit : {1u, 0u, 1u, 1u}) OK(Launch("shift_in", stream, {&argument, &bit}));
  EXPECT_EQ(CU(cuStreamQuery)(stream), CUDA_ERROR_NOT_READY);
  Open(gate);
  OK(CU(cuStreamSynchronize)(stream));
  OK(CU(cuStreamQuery)(stream));
  unsigned value = 0;
  OK(CU(cuMemcpyDtoH)(&value, word, sizeof(value)));
  EXPECT_EQ(value, 0b1011u);
  OK(CU(cuStreamDestroy)(stream));
  OK(CU(cuMemFreeHost)(gate));
  OK(CU(cuMemFree)(word));
}

// {legacy, per-thread, blocking, non-blocking} squared: whether the second waits for the first.
TEST_F(ContractTest, TheLegacyStreamRule) {
  CUstream made_a = NewStream(CU_STREAM_DEFAULT);
  CUstream made_b = NewStream(CU_STREAM_DEFAULT);
  CUstream free_a = NewStream();
  CUstream free_b = NewStream();
  const struct {
    CUstream first;
    CUstream second;
    bool waits;
  } cases[] = {
      {CU_STREAM_LEGACY, CU_STREAM_PER_THREAD, true},
      {CU_STREAM_LEGACY, made_a, true},
      {CU_STREAM_LEGACY, free_a, false},
      {CU_STREAM_PER_THREAD, CU_STREAM_LEGACY, true},
      {CU_STREAM_PER_THREAD, made_a, false},
      {CU_STREAM_PER_THREAD, free_a, false},
      {made_a, CU_STREAM_LEGACY, true},
      {made_a, CU_STREAM_PER_THREAD, false},
      {made_a, made_b, false},
      {made_a, free_a, false},
      {free_a, CU_STREAM_LEGACY, false},
      {free_a, CU_STREAM_PER_THREAD, false},
      {free_a, made_a, false},
      {free_a, free_b, false},
  };
  for (const auto& c : cases) {
    std::uint64_t* words = Pinned(2);
    Close(c.first, words);
    OK(CU(cuStreamWriteValue64)(c.second, reinterpret_cast<CUdeviceptr>(words + 1), 1, 0));
    if (!c.waits) {
      OK(CU(cuStreamSynchronize)(c.second));
    } else {
      ::usleep(3000);
      EXPECT_EQ(__atomic_load_n(words + 1, __ATOMIC_ACQUIRE), 0u) << c.first << " then " << c.second;
      EXPECT_EQ(CU(cuStreamQuery)(c.second), CUDA_ERROR_NOT_READY);
    }
    Open(words);
    OK(CU(cuCtxSynchronize)());
    EXPECT_EQ(words[1], 1u);
    OK(CU(cuMemFreeHost)(words));
  }
  for (CUstream stream : {made_a, made_b, free_a, free_b}) OK(CU(cuStreamDestroy)(stream));
}

TEST_F(ContractTest, EventsOrderStreamsAndMeasure) {
  CUstream first = NewStream();
  CUstream second = NewStream();
  CUevent begin = nullptr;
  CUevent end = nullptr;
  OK(CU(cuEventCreate)(&begin, 0));
  OK(CU(cuEventCreate)(&end, 0));
  OK(CU(cuEventQuery)(end));
  std::uint64_t* words = Pinned(2);
  OK(CU(cuEventRecord)(begin, first));
  Close(first, words);
  OK(CU(cuEventRecord)(end, first));
  OK(CU(cuStreamWaitEvent)(second, end, 0));
  OK(CU(cuStreamWriteValue64)(second, reinterpret_cast<CUdeviceptr>(words + 1), 5, 0));
  float ms = -1;
  EXPECT_EQ(CU(cuEventElapsedTime)(&ms, begin, end), CUDA_ERROR_NOT_READY);
  OK(CU(cuEventSynchronize)(begin));
  ::usleep(5000);
  EXPECT_EQ(__atomic_load_n(words + 1, __ATOMIC_ACQUIRE), 0u);
  Open(words);
  OK(CU(cuStreamSynchronize)(second));
  EXPECT_EQ(words[1], 5u);
  OK(CU(cuEventSynchronize)(end));
  OK(CU(cuEventElapsedTime)(&ms, begin, end));
  EXPECT_GE(ms, 4.0f);
  OK(CU(cuEventDestroy)(begin));
  OK(CU(cuEventDestroy)(end));
  OK(CU(cuStreamDestroy)(first));
  OK(CU(cuStreamDestroy)(second));
  OK(CU(cuMemFreeHost)(words));
}

TEST_F(ContractTest, HostFunctionsRunInTurn) {
  CUstream stream = NewStream();
  std::uint64_t* gate = Pinned();
  std::atomic<int> ran{0};
  Close(stream, gate);
  OK(CU(cuLaunchHostFunc)(stream, [](void* count) { ++*static_cast<std::atomic<int>*>(count); }, &ran));
  EXPECT_EQ(ran, 0);
  Open(gate);
  OK(CU(cuStreamSynchronize)(stream));
  EXPECT_EQ(ran, 1);
  OK(CU(cuStreamDestroy)(stream));
  OK(CU(cuMemFreeHost)(gate));
}

TEST_F(ContractTest, WhatKernelsPrintComesOutAtASynchronise) {
  ::testing::internal::CaptureStdout();
  CUstream stream = NewStream();
  std::uint64_t* words = Pinned();
  OK(Launch("say", stream, {}));
  OK(CU(cuStreamWriteValue64)(stream, reinterpret_cast<CUdeviceptr>(words), 1, 0));
  while (__atomic_load_n(words, __ATOMIC_ACQUIRE) == 0) ::usleep(100);
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  ::testing::internal::CaptureStdout();
  OK(CU(cuStreamSynchronize)(stream));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "hello\n");
  OK(CU(cuStreamDestroy)(stream));
  OK(CU(cuMemFreeHost)(words));
}

TEST_F(ContractTest, CopiesOfBoxesAndArrays) {
  const CUdeviceptr device = Malloc(4096);
  unsigned char from[4 * 8];
  for (unsigned i = 0; i < sizeof(from); ++i) from[i] = static_cast<unsigned char>(i);
  CUDA_MEMCPY2D up{};
  up.srcMemoryType = CU_MEMORYTYPE_HOST;
  up.srcHost = from;
  up.srcPitch = 8;
  up.srcXInBytes = 2;
  up.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  up.dstDevice = device;
  up.dstPitch = 512;
  up.WidthInBytes = 4;
  up.Height = 4;
  OK(CU(cuMemcpy2D)(&up));
  unsigned char row[4];
  OK(CU(cuMemcpyDtoH)(row, device + 2 * 512, sizeof(row)));
  EXPECT_THAT(row, ::testing::ElementsAre(18, 19, 20, 21));
  CUDA_ARRAY3D_DESCRIPTOR descriptor{8, 4, 0, CU_AD_FORMAT_UNSIGNED_INT8, 1, 0};
  CUarray array = nullptr;
  OK(CU(cuArray3DCreate)(&array, &descriptor));
  up.srcXInBytes = 0;
  up.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  up.dstArray = array;
  up.WidthInBytes = 8;
  OK(CU(cuMemcpy2D)(&up));
  unsigned char back[8];
  CUDA_MEMCPY3D down{};
  down.srcMemoryType = CU_MEMORYTYPE_ARRAY;
  down.srcArray = array;
  down.srcY = 3;
  down.dstMemoryType = CU_MEMORYTYPE_HOST;
  down.dstHost = back;
  down.WidthInBytes = 8;
  down.Height = down.Depth = 1;
  OK(CU(cuMemcpy3D)(&down));
  EXPECT_EQ(std::memcmp(back, from + 24, 8), 0);
  up.WidthInBytes = 9;
  EXPECT_EQ(CU(cuMemcpy2D)(&up), CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuArrayDestroy)(array));
  EXPECT_EQ(CU(cuMemcpyDtoH)(row, device + (std::size_t{64} << 20), 4), CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuMemFree)(device));
}

TEST_F(ContractTest, AnAsynchronousCopyReadsPinnedMemoryAtItsTurn) {
  const CUdeviceptr device = Malloc(64);
  CUstream stream = NewStream();
  std::uint64_t* words = Pinned(2);
  Close(stream, words);
  OK(CU(cuMemcpyHtoDAsync)(device, words + 1, 8, stream));
  words[1] = 9;
  Open(words);
  OK(CU(cuStreamSynchronize)(stream));
  std::uint64_t got = 0;
  OK(CU(cuMemcpyDtoH)(&got, device, sizeof(got)));
  EXPECT_EQ(got, 9u);
  OK(CU(cuStreamDestroy)(stream));
  OK(CU(cuMemFreeHost)(words));
  OK(CU(cuMemFree)(device));
}

TEST_F(ContractTest, AGraphIsCapturedUpdatedAndLaunched) {
  const CUdeviceptr word = Malloc(64);
  CUstream stream = NewStream();
  CUdeviceptr argument = word;
  unsigned bit = 1;
  OK(CU(cuStreamBeginCapture)(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
  OK(Launch("shift_in", stream, {&argument, &bit}));
  bit = 0;
  OK(Launch("shift_in", stream, {&argument, &bit}));
  CUgraph graph = nullptr;
  OK(CU(cuStreamEndCapture)(stream, &graph));
  CUgraphExec exec = nullptr;
  OK(CU(cuGraphInstantiate)(&exec, graph, 0));
  OK(CU(cuGraphLaunch)(exec, stream));
  OK(CU(cuGraphLaunch)(exec, stream));
  CUgraphNode nodes[2];
  std::size_t count = 2;
  OK(CU(cuGraphGetNodes)(graph, nodes, &count));
  CUDA_KERNEL_NODE_PARAMS params{};
  OK(CU(cuGraphKernelNodeGetParams)(nodes[1], &params));
  bit = 1;
  void* changed[] = {&argument, &bit};
  params.kernelParams = changed;
  OK(CU(cuGraphExecKernelNodeSetParams)(exec, nodes[1], &params));
  OK(CU(cuGraphLaunch)(exec, stream));
  OK(CU(cuStreamSynchronize)(stream));
  unsigned value = 0;
  OK(CU(cuMemcpyDtoH)(&value, word, sizeof(value)));
  EXPECT_EQ(value, 0b101011u);
  OK(CU(cuGraphExecDestroy)(exec));
  OK(CU(cuGraphDestroy)(graph));
  OK(CU(cuStreamDestroy)(stream));
  OK(CU(cuMemFree)(word));
}

TEST_F(ContractTest, AnErrorOfAKernelSticks) {
  CUcontext other = nullptr;
  CUstream stream = NewStream();
  OK(Launch("store_nowhere", stream, {}));
  EXPECT_EQ(CU(cuStreamSynchronize)(stream), CUDA_ERROR_ILLEGAL_ADDRESS);
  std::size_t bytes = 0;
  EXPECT_EQ(CU(cuMemGetInfo)(&bytes, &bytes), CUDA_ERROR_ILLEGAL_ADDRESS);
  CUdeviceptr address = 0;
  EXPECT_EQ(CU(cuMemAlloc)(&address, 64), CUDA_ERROR_ILLEGAL_ADDRESS);
  // Another context goes on.
  OK(CU(cuCtxCreate)(&other, nullptr, 0, 1));
  OK(CU(cuMemGetInfo)(&bytes, &bytes));
  OK(CU(cuCtxDestroy)(other));
  DropContext();
}

// Virtual memory -----------------------------------------------------------------------------------------------------

TEST_F(VirtualTest, AHintIsTaken) {
  const CUdeviceptr hint = kHint;
  CUdeviceptr got = 0;
  OK(CU(cuMemAddressReserve)(&got, kHintBytes, 0, hint, 0));
  EXPECT_EQ(got, hint);
  CUdeviceptr second = 0;
  OK(CU(cuMemAddressReserve)(&second, kChunk, 0, hint, 0));
  EXPECT_NE(second, hint) << "it is taken; the hint is only one";
  OK(CU(cuMemAddressFree)(second, kChunk));
  OK(CU(cuMemAddressFree)(got, kHintBytes));
}

TEST_F(VirtualTest, TwoMappingsOfOneMemoryAreTheSame) {
  const Mapping mapping = Map();
  CUdeviceptr alias = 0;
  const CUmemAccessDesc access = Access();
  OK(CU(cuMemAddressReserve)(&alias, mapping.bytes, 0, 0, 0));
  OK(CU(cuMemMap)(alias, mapping.bytes, 0, mapping.handle, 0));
  OK(CU(cuMemSetAccess)(alias, mapping.bytes, &access, 1));
  CUdeviceptr argument = mapping.base;
  unsigned base = 100;
  OK(Launch("iota", nullptr, {&argument, &base}));
  unsigned value = 0;
  OK(CU(cuMemcpyDtoH)(&value, alias, sizeof(value)));
  EXPECT_EQ(value, 100u);
  OK(CU(cuMemUnmap)(alias, mapping.bytes));
  OK(CU(cuMemAddressFree)(alias, mapping.bytes));
  Unmap(mapping);
}

TEST_F(VirtualTest, MemoryIsCountedUntilNobodyHoldsIt) {
  std::size_t before = 0;
  std::size_t total = 0;
  std::size_t now = 0;
  OK(CU(cuMemGetInfo)(&before, &total));
  const Mapping mapping = Map();
  OK(CU(cuMemRelease)(mapping.handle));
  OK(CU(cuMemGetInfo)(&now, &total));
  EXPECT_EQ(now, before - mapping.bytes) << "the mapping holds it";
  OK(CU(cuMemUnmap)(mapping.base, mapping.bytes));
  OK(CU(cuMemGetInfo)(&now, &total));
  EXPECT_EQ(now, before);
  OK(CU(cuMemAddressFree)(mapping.base, mapping.bytes));
  CUmemGenericAllocationHandle handle = 0;
  const CUmemAllocationProp properties = Properties();
  EXPECT_EQ(CU(cuMemCreate)(&handle, total + kChunk, &properties, 0), CUDA_ERROR_OUT_OF_MEMORY);
}

TEST_F(VirtualTest, MemoryTravelsAsAFile) {
  CUmemAllocationProp properties = Properties();
  properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  CUmemGenericAllocationHandle handle = 0;
  OK(CU(cuMemCreate)(&handle, kChunk, &properties, 0));
  int fd = -1;
  OK(CU(cuMemExportToShareableHandle)(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
  std::size_t before = 0;
  std::size_t now = 0;
  std::size_t total = 0;
  OK(CU(cuMemGetInfo)(&before, &total));
  const CUmemAccessDesc access = Access();
  CUdeviceptr places[2] = {};
  for (CUdeviceptr& place : places) {
    CUmemGenericAllocationHandle imported = 0;
    OK(CU(cuMemImportFromShareableHandle)(&imported, reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)),
                                          CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    CUmemAllocationProp got{};
    OK(CU(cuMemGetAllocationPropertiesFromHandle)(&got, imported));
    EXPECT_EQ(got.location.id, properties.location.id);
    OK(CU(cuMemAddressReserve)(&place, kChunk, 0, 0, 0));
    OK(CU(cuMemMap)(place, kChunk, 0, imported, 0));
    OK(CU(cuMemRelease)(imported));
    OK(CU(cuMemSetAccess)(place, kChunk, &access, 1));
  }
  close(fd);
  OK(CU(cuMemRelease)(handle));
  OK(CU(cuMemsetD32)(places[0] + 64, 42, 4));
  std::uint32_t words[4] = {};
  OK(CU(cuMemcpyDtoH)(words, places[1] + 64, sizeof(words)));
  EXPECT_EQ(words[3], 42u);
  OK(CU(cuMemGetInfo)(&now, &total));
  EXPECT_EQ(now, before + kChunk) << "who made it pays for it, and has let it go";
  for (const CUdeviceptr place : places) {
    OK(CU(cuMemUnmap)(place, kChunk));
    OK(CU(cuMemAddressFree)(place, kChunk));
  }
  OK(CU(cuMemGetInfo)(&now, &total));
  EXPECT_EQ(now, before + kChunk);
}

TEST_F(VirtualTest, KernelsFaultOutsideOfWhatIsMapped) {
  const Mapping mapping = Map();
  OK(CU(cuMemUnmap)(mapping.base, mapping.bytes));
  CUdeviceptr argument = mapping.base;
  unsigned base = 0;
  OK(Launch("iota", nullptr, {&argument, &base}));
  EXPECT_EQ(CU(cuCtxSynchronize)(), CUDA_ERROR_ILLEGAL_ADDRESS);
  OK(CU(cuMemRelease)(mapping.handle));
  OK(CU(cuMemAddressFree)(mapping.base, mapping.bytes));
  DropContext();
}

}  // namespace
}  // namespace accelmesh::contract
