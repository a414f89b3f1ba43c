// Where bodies may land, and what queued copies hold of the arena, on a driver of the test's own.
#include "server/backend/cuda/direct.h"

#include <gmock/gmock.h>

#include <map>

namespace accelmesh::cuda {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kLanding = 4 * limits::kMiB;
constexpr std::uint64_t kArena = 8 * limits::kMiB;
constexpr int kOwner = CU_GPU_DIRECT_RDMA_WRITES_ORDERING_OWNER;
constexpr int kAllDevices = CU_GPU_DIRECT_RDMA_WRITES_ORDERING_ALL_DEVICES;
constexpr int kFlushes = CU_FLUSH_GPU_DIRECT_RDMA_WRITES_OPTION_HOST;

std::map<CUdevice_attribute, int> attributes;
std::size_t reaching = 0;  // devices that were let to the landing

// What Landing() asks for; the memory is nowhere.
Driver OwnDriver() {
  Driver driver;
  driver.DeviceGetAttribute = [](int* value, CUdevice_attribute attribute, CUdevice) {
    *value = attributes[attribute];
    return CUDA_SUCCESS;
  };
  driver.MemGetAllocationGranularity = [](std::size_t* bytes, const CUmemAllocationProp*,
                                          CUmemAllocationGranularity_flags) {
    *bytes = 2 * limits::kMiB;
    return CUDA_SUCCESS;
  };
  driver.MemAddressReserve = [](CUdeviceptr* address, std::size_t, std::size_t, CUdeviceptr, unsigned long long) {
    *address = 0x6000'0000'0000;
    return CUDA_SUCCESS;
  };
  driver.MemAddressFree = [](CUdeviceptr, std::size_t) { return CUDA_SUCCESS; };
  driver.MemCreate = [](CUmemGenericAllocationHandle* handle, std::size_t, const CUmemAllocationProp*,
                        unsigned long long) {
    *handle = 1;
    return CUDA_SUCCESS;
  };
  driver.MemRelease = [](CUmemGenericAllocationHandle) { return CUDA_SUCCESS; };
  driver.MemMap = [](CUdeviceptr, std::size_t, std::size_t, CUmemGenericAllocationHandle, unsigned long long) {
    return CUDA_SUCCESS;
  };
  driver.MemUnmap = [](CUdeviceptr, std::size_t) { return CUDA_SUCCESS; };
  driver.MemSetAccess = [](CUdeviceptr, std::size_t, const CUmemAccessDesc*, std::size_t count) {
    reaching = count;
    return CUDA_SUCCESS;
  };
  driver.FlushGPUDirectRDMAWrites = [](CUflushGPUDirectRDMAWritesTarget, CUflushGPUDirectRDMAWritesScope) {
    return CUDA_SUCCESS;
  };
  return driver;
}

class OwnLane final : public DirectLane {
 public:
  DirectMeans Join(DirectMemory&) override { return DirectMeans::kBounce; }
  void Leave() override {}
  void Abandon() override {}
  MutableByteView bodies() override { return arena_; }
  void NotePinned(MutableByteView) override {}
  void NoteCopied(std::uint64_t) override {}
  Status SendDevice(std::uint64_t, std::uint64_t, const DirectBlock&, std::uint64_t, std::uint64_t, Deadline) override {
    return {Code::kUnsupported, "OwnLane", "no"};
  }
  void Forget(const DirectBlock&) override {}

 private:
  Bytes arena_ = Bytes(kArena);
};

class ArenaBody final : public BulkBody {
 public:
  explicit ArenaBody(ByteView bytes) : bytes_(bytes) {}
  ByteView bytes() const override { return bytes_; }

 private:
  const ByteView bytes_;
};

class CudaDirectTest : public ::testing::Test {
 protected:
  CudaDirectTest() {
    attributes.clear();
    reaching = 0;
  }
  // Of `devices`, of which so many reach the memory of the first.
  Status Lands(std::size_t devices, std::size_t reached_by) {
    Device device;
    for (std::size_t i = 0; i < reached_by; ++i) device.reached_by.push_back(static_cast<CUdevice>(i));
    Direct direct(driver_, device, devices, lane_);
    const Result<DirectBlock> landing = direct.Landing(kLanding);
    direct.Clear();
    return landing.status();
  }
  static void Order(int order) { attributes[CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING] = order; }
  static void Flush(int options) { attributes[CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS] = options; }

  Driver driver_ = OwnDriver();
  OwnLane lane_;
};

TEST_F(CudaDirectTest, BodiesLandWhereEveryDeviceReachesThem) {
  Flush(kFlushes);
  EXPECT_TRUE(Lands(1, 1).ok());
  EXPECT_TRUE(Lands(3, 3).ok());
  EXPECT_EQ(reaching, 3u);
  const Status refused = Lands(3, 2);
  EXPECT_EQ(refused.code(), Code::kUnsupported);
  EXPECT_THAT(refused.text(), HasSubstr("not every device reaches the memory of device 0"));
}

TEST_F(CudaDirectTest, BodiesLandWhereEveryDeviceSeesThem) {
  EXPECT_EQ(Lands(1, 1).code(), Code::kUnsupported);
  Order(kOwner);
  EXPECT_TRUE(Lands(1, 1).ok());
  const Status refused = Lands(2, 2);
  EXPECT_EQ(refused.code(), Code::kUnsupported);
  EXPECT_THAT(refused.text(), HasSubstr("the devices cannot say when all of them see"));
  Order(kAllDevices);
  EXPECT_TRUE(Lands(2, 2).ok());
  Order(kOwner);
  Flush(kFlushes);
  EXPECT_TRUE(Lands(2, 2).ok());
  driver_.FlushGPUDirectRDMAWrites = nullptr;
  EXPECT_EQ(Lands(2, 2).code(), Code::kUnsupported);
}

TEST_F(CudaDirectTest, QueuedCopiesHoldHalfOfTheArenaHoweverSmallTheyAre) {
  for (const std::uint64_t size : {16 * limits::kKiB, kBodyUnitBytes, kBodyUnitBytes + 1, limits::kMiB}) {
    const Device device;
    Direct direct(driver_, device, 1, lane_);
    const std::uint64_t most = kArena / 2 / AlignUp(size, kBodyUnitBytes);
    std::vector<BodyHold> holds;
    const auto hold = [&] {
      std::unique_ptr<BulkBody> body(new ArenaBody(ByteView(lane_.bodies()).first(size)));
      Direct::Held held = direct.Hold(body, /*is_pinned=*/true);
      EXPECT_EQ(body == nullptr, held.hold != nullptr) << "what is not held is left alone";
      if (held.hold == nullptr) return false;
      holds.push_back(std::move(held.hold));
      return true;
    };
    while (holds.size() <= most && hold()) continue;
    EXPECT_EQ(holds.size(), most) << size;
    holds.pop_back();
    EXPECT_TRUE(hold()) << size;
    EXPECT_FALSE(hold()) << size;
  }
}

}  // namespace
}  // namespace accelmesh::cuda
