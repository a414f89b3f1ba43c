// What the contract libcuda does for network cards, as a driver that has GPUDirect does.
#include <sys/mman.h>
#include <unistd.h>

#include "tests/contract/contract_test.h"

namespace accelmesh::contract {
namespace {

class NetworkTest : public VirtualTest {
 protected:
  static int Attribute(CUdevice_attribute attribute) {
    int value = -1;
    OK(CU(cuDeviceGetAttribute)(&value, attribute, 0));
    return value;
  }
  static CUresult Export(int* fd, CUdeviceptr address, std::size_t bytes) {
    return CU(cuMemGetHandleForAddressRange)(fd, address, bytes, CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD, 0);
  }
  static CUresult Flush() {
    return CU(cuFlushGPUDirectRDMAWrites)(CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TARGET_CURRENT_CTX,
                                          CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_OWNER);
  }
};

TEST_F(NetworkTest, MemoryIsExportedOnceATestSaysSoAndKeepsWhatItShows) {
  Mapping mapping = Map();
  int fd = -1;
  EXPECT_EQ(Attribute(CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED), 0);
  EXPECT_EQ(Attribute(CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS), 0);
  EXPECT_EQ(Export(&fd, mapping.base, mapping.bytes), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(Flush(), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(CU(contract_configure)("dma-buf"), 0);
  EXPECT_EQ(Attribute(CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED), 1);
  EXPECT_EQ(Attribute(CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS), 1);
  OK(Flush());
  OK(Export(&fd, mapping.base, mapping.bytes));
  EXPECT_EQ(Export(&fd, mapping.base + 4096, 4096), CUDA_ERROR_NOT_SUPPORTED) << "here a file begins at its start";
  Quiet();
  EXPECT_EQ(Export(&fd, mapping.base, 100), CUDA_ERROR_INVALID_VALUE);
  Expect(CONTRACT_RULE_BAD_ARGUMENT);

  void* const mapped = ::mmap(nullptr, mapping.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  auto* const card = static_cast<std::uint8_t*>(mapped);
  card[mapping.bytes - 1] = 42;
  std::uint8_t seen = 0;
  OK(CU(cuMemcpyDtoH)(&seen, mapping.base + mapping.bytes - 1, 1));
  EXPECT_EQ(seen, 42);
  OK(CU(cuMemsetD8)(mapping.base, 7, 1));
  EXPECT_EQ(card[0], 7);
  // Taken away and given anew, at the same address: the card still writes what was exported.
  OK(CU(cuMemUnmap)(mapping.base, mapping.bytes));
  OK(CU(cuMemRelease)(mapping.handle));
  const CUmemAllocationProp properties = Properties();
  const CUmemAccessDesc access = Access();
  OK(CU(cuMemCreate)(&mapping.handle, mapping.bytes, &properties, 0));
  OK(CU(cuMemMap)(mapping.base, mapping.bytes, 0, mapping.handle, 0));
  OK(CU(cuMemSetAccess)(mapping.base, mapping.bytes, &access, 1));
  card[0] = 99;
  OK(CU(cuMemcpyDtoH)(&seen, mapping.base, 1));
  EXPECT_EQ(seen, 0);
  ::munmap(mapped, mapping.bytes);
  ::close(fd);
  Unmap(mapping);
}

}  // namespace
}  // namespace accelmesh::contract
