// Each rule of the contract fires, and each injection works.
#include <gmock/gmock.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/contract/contract_test.h"

namespace accelmesh::contract {
namespace {

// Each rule fires ----------------------------------------------------------------------------------------------------

TEST_F(VirtualTest, APartOfAMappingIsNotUnmapped) {
  const Mapping mapping = Map();
  Quiet();
  EXPECT_EQ(CU(cuMemUnmap)(mapping.base, kChunk), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_PARTIAL_UNMAP);
  EXPECT_EQ(CU(cuMemUnmap)(mapping.base + kChunk, kChunk), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_PARTIAL_UNMAP);
  Unmap(mapping);
}

TEST_F(VirtualTest, MemoryInUseIsNotUnmapped) {
  const Mapping mapping = Map();
  CUstream stream = NewStream();
  std::uint64_t* gate = Pinned();
  Close(stream, gate);
  CUdeviceptr argument = mapping.base + 64;
  unsigned base = 0;
  OK(Launch("iota", stream, {&argument, &base}));
  Quiet();
  EXPECT_EQ(CU(cuMemUnmap)(mapping.base, mapping.bytes), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_UNMAP_IN_USE);
  EXPECT_EQ(CU(cuMemFreeHost)(gate), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_UNMAP_IN_USE);
  Open(gate);
  OK(CU(cuStreamSynchronize)(stream));
  EXPECT_EQ(CU(cuMemAddressFree)(mapping.base, mapping.bytes), CUDA_ERROR_INVALID_VALUE) << "something is mapped";
  Expect(CONTRACT_RULE_UNMAP_IN_USE);
  OK(CU(cuStreamDestroy)(stream));
  OK(CU(cuMemFreeHost)(gate));
  Unmap(mapping);
}

TEST_F(VirtualTest, NothingIsMappedTwiceOrOutside) {
  const Mapping mapping = Map();
  Quiet();
  EXPECT_EQ(CU(cuMemMap)(mapping.base, kChunk, 0, mapping.handle, 0), CUDA_ERROR_ALREADY_MAPPED);
  Expect(CONTRACT_RULE_DOUBLE_MAP);
  EXPECT_EQ(CU(cuMemMap)(kChunk, kChunk, 0, mapping.handle, 0), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_MAP_OUTSIDE);
  const CUmemAccessDesc access = Access();
  EXPECT_EQ(CU(cuMemSetAccess)(mapping.base, kChunk, &access, 1), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_MAP_OUTSIDE);
  Unmap(mapping);
}

TEST_F(VirtualTest, WithoutAccessNothingIsTouched) {
  const Mapping mapping = Map(kChunk, false);
  Quiet();
  EXPECT_EQ(CU(cuMemsetD8)(mapping.base, 0, 64), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_NO_ACCESS);
  Unmap(mapping);
}

TEST_F(VirtualTest, OnlyMemoryThatIsThereAndMeantForItTravels) {
  const auto export_it = [](CUmemGenericAllocationHandle handle) {
    int fd = -1;
    return CU(cuMemExportToShareableHandle)(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
  };
  const auto import_it = [](int fd) {
    CUmemGenericAllocationHandle handle = 0;
    return CU(cuMemImportFromShareableHandle)(&handle, reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)),
                                              CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  };
  CUmemAllocationProp properties = Properties();
  CUmemGenericAllocationHandle handle = 0;
  OK(CU(cuMemCreate)(&handle, kChunk, &properties, 0));
  Quiet();
  EXPECT_EQ(export_it(handle), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_BAD_ARGUMENT);
  OK(CU(cuMemRelease)(handle));
  properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  OK(CU(cuMemCreate)(&handle, kChunk, &properties, 0));
  int fd = -1;
  EXPECT_EQ(CU(cuMemExportToShareableHandle)(&fd, handle, CU_MEM_HANDLE_TYPE_FABRIC, 0), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(CU(cuMemExportToShareableHandle)(nullptr, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0),
            CUDA_ERROR_INVALID_VALUE);
  OK(CU(cuMemRelease)(handle));
  EXPECT_EQ(export_it(handle), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_BAD_HANDLE);
  EXPECT_EQ(import_it(-1), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_BAD_ARGUMENT);
  EXPECT_EQ(import_it(STDERR_FILENO), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_BAD_ARGUMENT);
}

TEST_F(VirtualTest, AMovedReservationIsNotUsed) {
  CU(contract_move_reservations)(1);
  const CUdeviceptr hint = kHint;
  CUdeviceptr got = 0;
  OK(CU(cuMemAddressReserve)(&got, kChunk, 0, hint, 0));
  EXPECT_NE(got, hint);
  CUmemGenericAllocationHandle handle = 0;
  const CUmemAllocationProp properties = Properties();
  OK(CU(cuMemCreate)(&handle, kChunk, &properties, 0));
  Quiet();
  EXPECT_EQ(CU(cuMemMap)(got, kChunk, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_RESERVATION_MOVED);
  OK(CU(cuMemRelease)(handle));
  OK(CU(cuMemAddressFree)(got, kChunk));
  CU(contract_move_reservations)(1);
  CU(contract_require_hints)(1);
  EXPECT_EQ(CU(cuMemAddressReserve)(&got, kChunk, 0, hint, 0), CUDA_ERROR_OUT_OF_MEMORY);
  Expect(CONTRACT_RULE_RESERVATION_MOVED);
}

TEST_F(ContractTest, TheExecutorDoesNotWait) {
  const CUdeviceptr device = Malloc(64);
  std::uint64_t* pinned = Pinned();
  std::uint64_t pageable = 0;
  CUstream stream = NewStream();
  Quiet();
  CU(contract_set_executor)(1);
  OK(CU(cuMemcpyHtoDAsync)(device, pinned, 8, stream));
  OK(CU(cuMemsetD8Async)(device, 0, 8, stream));
  EXPECT_EQ(CU(cuStreamSynchronize)(stream), CUDA_ERROR_NOT_PERMITTED);
  Expect(CONTRACT_RULE_EXECUTOR_WAITS);
  EXPECT_EQ(CU(cuCtxSynchronize)(), CUDA_ERROR_NOT_PERMITTED);
  Expect(CONTRACT_RULE_EXECUTOR_WAITS);
  EXPECT_EQ(CU(cuMemFree)(device), CUDA_ERROR_NOT_PERMITTED);
  Expect(CONTRACT_RULE_EXECUTOR_WAITS);
  EXPECT_EQ(CU(cuMemcpyHtoDAsync)(device, &pageable, 8, stream), CUDA_ERROR_NOT_PERMITTED);
  Expect(CONTRACT_RULE_EXECUTOR_WAITS);
  EXPECT_EQ(CU(cuMemcpyDtoHAsync)(&pageable, device, 8, stream), CUDA_ERROR_NOT_PERMITTED);
  Expect(CONTRACT_RULE_EXECUTOR_WAITS);
  // Another thread may.
  std::thread([&] {
    OK(CU(cuCtxSetCurrent)(context_));
    OK(CU(cuStreamSynchronize)(stream));
  }).join();
  CU(contract_set_executor)(0);
  OK(CU(cuStreamSynchronize)(stream));
  OK(CU(cuStreamDestroy)(stream));
  OK(CU(cuMemFreeHost)(pinned));
  OK(CU(cuMemFree)(device));
}

TEST_F(ContractTest, AFullLaunchQueueBlocks) {
  CU(contract_launch_depth)(4);
  CUstream stream = NewStream();
  std::uint64_t* gate = Pinned();
  const CUdeviceptr word = Malloc(64);
  CUdeviceptr argument = word;
  unsigned bit = 0;
  Close(stream, gate);
  for (int i = 0; i < 4; ++i) OK(Launch("shift_in", stream, {&argument, &bit}));
  Quiet();
  CU(contract_set_executor)(1);
  EXPECT_EQ(Launch("shift_in", stream, {&argument, &bit}), CUDA_ERROR_NOT_PERMITTED);
  Expect(CONTRACT_RULE_EXECUTOR_WAITS);
  CU(contract_set_executor)(0);
  std::atomic<bool> launched{false};
  std::thread waits([&] {
    OK(CU(cuCtxSetCurrent)(context_));
    OK(Launch("shift_in", stream, {&argument, &bit}));
    launched = true;
  });
  ::usleep(5000);
  EXPECT_FALSE(launched);
  Open(gate);
  waits.join();
  OK(CU(cuStreamSynchronize)(stream));
  OK(CU(cuStreamDestroy)(stream));
  OK(CU(cuMemFreeHost)(gate));
  OK(CU(cuMemFree)(word));
}

TEST_F(ContractTest, OnlyRelaxedCapture) {
  CUstream stream = NewStream();
  Quiet();
  for (CUstreamCaptureMode mode : {CU_STREAM_CAPTURE_MODE_GLOBAL, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL}) {
    EXPECT_EQ(CU(cuStreamBeginCapture)(stream, mode), CUDA_ERROR_NOT_PERMITTED);
    Expect(CONTRACT_RULE_CAPTURE_MODE);
  }
  OK(CU(cuStreamDestroy)(stream));
}

TEST_F(ContractTest, DestroyedHandlesAreSeen) {
  CUstream stream = NewStream();
  CUevent event = nullptr;
  OK(CU(cuEventCreate)(&event, 0));
  OK(CU(cuEventDestroy)(event));
  OK(CU(cuStreamDestroy)(stream));
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  OK(CU(cuModuleLoadData)(&module, kPtx));
  OK(CU(cuModuleGetFunction)(&function, module, "say"));
  OK(CU(cuModuleUnload)(module));
  Quiet();
  EXPECT_EQ(CU(cuStreamQuery)(stream), CUDA_ERROR_INVALID_HANDLE);
  Expect(CONTRACT_RULE_BAD_HANDLE);
  EXPECT_EQ(CU(cuEventQuery)(event), CUDA_ERROR_INVALID_HANDLE);
  Expect(CONTRACT_RULE_BAD_HANDLE);
  EXPECT_EQ(CU(cuLaunchKernel)(function, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr), CUDA_ERROR_INVALID_HANDLE);
  Expect(CONTRACT_RULE_BAD_HANDLE);
}

TEST_F(ContractTest, HandlesBelongToTheirContext) {
  CUcontext other = nullptr;
  OK(CU(cuCtxCreate)(&other, nullptr, 0, 1));
  CUstream theirs = NewStream();
  CUevent event = nullptr;
  OK(CU(cuEventCreate)(&event, 0));
  OK(CU(cuCtxPopCurrent)(nullptr));
  CUstream ours = NewStream();
  Quiet();
  EXPECT_EQ(Launch("say", theirs, {}), CUDA_ERROR_INVALID_HANDLE);
  Expect(CONTRACT_RULE_WRONG_CONTEXT);
  EXPECT_EQ(CU(cuEventRecord)(event, ours), CUDA_ERROR_INVALID_HANDLE);
  Expect(CONTRACT_RULE_WRONG_CONTEXT);
  OK(CU(cuStreamDestroy)(ours));
  // What is left in a context is told when it goes.
  OK(CU(cuCtxDestroy)(other));
  Expect(CONTRACT_RULE_LEAK);
  EXPECT_THAT(CU(contract_last_violation)(), ::testing::HasSubstr("1 x stream 1 x event"));
}

TEST_F(ContractTest, BadArgumentsAreTold) {
  const CUdeviceptr device = Malloc(64);
  CUdeviceptr address = 0;
  Quiet();
  EXPECT_EQ(CU(cuMemAlloc)(&address, 0), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_BAD_ARGUMENT);
  EXPECT_EQ(CU(cuMemAddressReserve)(&address, kChunk + 1, 0, 0, 0), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_BAD_ARGUMENT);
  EXPECT_EQ(CU(cuMemsetD32)(device + 2, 0, 1), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_BAD_ARGUMENT);
  EXPECT_EQ(CU(cuStreamWriteValue64)(nullptr, device + 4, 0, 0), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_BAD_ARGUMENT);
  EXPECT_EQ(Launch("say", nullptr, {}, 0), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_BAD_ARGUMENT);
  CUmemGenericAllocationHandle handle = 0;
  CUmemAllocationProp properties = Properties();
  properties.type = CU_MEM_ALLOCATION_TYPE_MANAGED;
  EXPECT_EQ(CU(cuMemCreate)(&handle, kChunk, &properties, 0), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_WRONG_SIZE);
  OK(CU(cuMemFree)(device));
}

TEST_F(ContractTest, HostFunctionsDoNotCallTheDriver) {
  CUresult result = CUDA_SUCCESS;
  Quiet();
  OK(CU(cuLaunchHostFunc)(
      nullptr, [](void* out) { *static_cast<CUresult*>(out) = CU(cuStreamQuery)(nullptr); }, &result));
  OK(CU(cuCtxSynchronize)());
  EXPECT_EQ(result, CUDA_ERROR_NOT_PERMITTED);
  Expect(CONTRACT_RULE_CALL_IN_CALLBACK);
}

// Injections ---------------------------------------------------------------------------------------------------------

TEST_F(ContractTest, TheNthCallFails) {
  CU(contract_inject_error)("cuMemAlloc", 2, CUDA_ERROR_OUT_OF_MEMORY);
  CUdeviceptr first = 0;
  CUdeviceptr second = 0;
  OK(CU(cuMemAlloc)(&first, 64));
  EXPECT_EQ(CU(cuMemAlloc)(&second, 64), CUDA_ERROR_OUT_OF_MEMORY);
  OK(CU(cuMemAlloc)(&second, 64));
  EXPECT_EQ(CU(contract_calls)("cuMemAlloc"), 3u);
  OK(CU(cuMemFree)(first));
  OK(CU(cuMemFree)(second));
}

TEST_F(ContractTest, AKernelFailsWhenToldTo) {
  CU(contract_inject_fault)("say", CUDA_ERROR_ECC_UNCORRECTABLE);
  OK(Launch("say", nullptr, {}));
  EXPECT_EQ(CU(cuCtxSynchronize)(), CUDA_ERROR_ECC_UNCORRECTABLE);
  EXPECT_EQ(CU(cuCtxSynchronize)(), CUDA_ERROR_ECC_UNCORRECTABLE);
  DropContext();
}

TEST_F(ContractTest, FunctionsAndLaunchesTakeTheirTime) {
  using Clock = std::chrono::steady_clock;
  const auto ms_since = [](Clock::time_point begin) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
  };
  EXPECT_EQ(CU(contract_configure)("delay=cuMemGetInfo:20000; ;error=cuNothing:1:1"), -1);
  std::size_t bytes = 0;
  Clock::time_point begin = Clock::now();
  OK(CU(cuMemGetInfo)(&bytes, &bytes));
  EXPECT_GE(ms_since(begin), 20);
  EXPECT_EQ(CU(contract_configure)("delay-launches=10000"), 0);
  const CUdeviceptr word = Malloc(64);
  CUdeviceptr argument = word;
  unsigned bit = 0;
  begin = Clock::now();
  for (int i = 0; i < 3; ++i) OK(Launch("shift_in", nullptr, {&argument, &bit}));
  OK(CU(cuCtxSynchronize)());
  EXPECT_GE(ms_since(begin), 30);
  OK(CU(cuMemFree)(word));
}

}  // namespace
}  // namespace accelmesh::contract
