#include "server/backend/cuda/direct.h"

#include "protocol/base/log.h"

namespace accelmesh::cuda {
namespace {

// Queued copies hold at most this part of the arena: a stream that does not come to its turn leaves room for others.
constexpr std::uint64_t kHeldDivisor = 2;
// A body smaller than this is copied: it would hold a whole unit of the arena.
constexpr std::uint64_t kHeldBytesMin = 16 * limits::kKiB;

}  // namespace

Direct::Direct(const Driver& driver, const Device& device, std::size_t devices, DirectLane& lane)
    : driver_(driver),
      device_(device),
      devices_(devices),
      lane_(lane),
      arena_first_(reinterpret_cast<std::uint64_t>(lane.bodies().data())),
      arena_bytes_(lane.bodies().size()),
      ordering_(Attribute(CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WRITES_ORDERING)) {}

Direct::~Direct() { lane_.Leave(); }

void Direct::Clear() {
  lane_.Leave();
  if (landing_.bytes != 0) Unmap();
}

int Direct::Attribute(CUdevice_attribute attribute) const {
  int value = 0;
  return driver_.DeviceGetAttribute(&value, attribute, device_.handle) == CUDA_SUCCESS ? value : 0;
}

void Direct::Join(MutableByteView pinned) {
  means_ = lane_.Join(*this);
  lane_.NotePinned(pinned);
}

Result<DirectBlock> Direct::Landing(std::uint64_t bytes) {
  constexpr const char* kWhere = "Direct::Landing";
  if (landing_.bytes != 0) return landing_;
  const bool can_flush = driver_.FlushGPUDirectRDMAWrites != nullptr &&
                         (Attribute(CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_FLUSH_WRITES_OPTIONS) &
                          CU_FLUSH_GPU_DIRECT_RDMA_WRITES_OPTION_HOST) != 0;
  if (device_.reached_by.size() < devices_) {
    return Status(Code::kUnsupported, kWhere,
                  "not every device reaches the memory of device " + std::to_string(device_.index));
  }
  const int needed =
      devices_ > 1 ? CU_GPU_DIRECT_RDMA_WRITES_ORDERING_ALL_DEVICES : CU_GPU_DIRECT_RDMA_WRITES_ORDERING_OWNER;
  if (ordering_ < needed && !can_flush) {
    return Status(Code::kUnsupported, kWhere,
                  devices_ > 1 ? "the devices cannot say when all of them see what a card has written"
                               : "the device cannot say when it sees what a card has written");
  }
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = device_.handle;
  if (Attribute(CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED) != 0)
    properties.allocFlags.gpuDirectRDMACapable = 1;
  std::size_t unit = 0;
  CUresult result = driver_.MemGetAllocationGranularity(&unit, &properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED);
  if (result == CUDA_SUCCESS) {
    landing_.bytes = AlignUp(bytes, unit);
    CUdeviceptr address = 0;
    result = driver_.MemAddressReserve(&address, landing_.bytes, 0, 0, 0);
    landing_.address = address;
    if (result != CUDA_SUCCESS) landing_.bytes = 0;
  }
  if (result == CUDA_SUCCESS) result = driver_.MemCreate(&landing_handle_, landing_.bytes, &properties, 0);
  if (result == CUDA_SUCCESS) {
    result = driver_.MemMap(landing_.address, landing_.bytes, 0, landing_handle_, 0);
    is_mapped_ = result == CUDA_SUCCESS;
  }
  if (result == CUDA_SUCCESS) {
    result = LetReach(driver_, device_, landing_.address, landing_.bytes);
  }
  if (result == CUDA_SUCCESS) return landing_;
  if (landing_.bytes != 0) Unmap();
  return Status(Code::kUnsupported, kWhere, "no memory of the device's for bodies to land in: " + driver_.Text(result));
}

void Direct::Unmap() {
  if (is_mapped_) (void)driver_.MemUnmap(landing_.address, landing_.bytes);
  if (landing_handle_ != 0) (void)driver_.MemRelease(landing_handle_);
  (void)driver_.MemAddressFree(landing_.address, landing_.bytes);
  is_mapped_ = false;
  landing_handle_ = 0;
  landing_ = {};
}

Result<int> Direct::ExportDmaBuf(const DirectBlock& block) {
  constexpr const char* kWhere = "Direct::ExportDmaBuf";
  if (driver_.MemGetHandleForAddressRange == nullptr)
    return Status(Code::kUnsupported, kWhere, "the driver is too old (before CUDA 11.7)");
  if (Attribute(CU_DEVICE_ATTRIBUTE_DMA_BUF_SUPPORTED) == 0)
    return Status(Code::kUnsupported, kWhere, "the driver exports no memory of this device");
  int fd = -1;
  const CUresult result =
      driver_.MemGetHandleForAddressRange(&fd, block.address, block.bytes, CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD, 0);
  if (result == CUDA_SUCCESS) return fd;
  return Status(Code::kUnsupported, kWhere, "the driver does not export the memory: " + driver_.Text(result));
}

CUresult Direct::Settle(const Device& device) const {
  const bool is_owner = device.index == device_.index;
  const int needed =
      is_owner ? CU_GPU_DIRECT_RDMA_WRITES_ORDERING_OWNER : CU_GPU_DIRECT_RDMA_WRITES_ORDERING_ALL_DEVICES;
  if (ordering_ >= needed) return CUDA_SUCCESS;
  if (driver_.FlushGPUDirectRDMAWrites == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  if (is_owner) {
    return driver_.FlushGPUDirectRDMAWrites(CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TARGET_CURRENT_CTX,
                                            CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_OWNER);
  }
  CUresult result = Enter(driver_, device_);
  if (result == CUDA_SUCCESS) {
    result = driver_.FlushGPUDirectRDMAWrites(CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TARGET_CURRENT_CTX,
                                              CU_FLUSH_GPU_DIRECT_RDMA_WRITES_TO_ALL_DEVICES);
  }
  const CUresult back = Enter(driver_, device);
  return result != CUDA_SUCCESS ? result : back;
}

Direct::Held Direct::Hold(std::unique_ptr<BulkBody>& body, bool is_pinned) {
  if (const std::uint64_t landed = body->device_address(); landed != 0) {
    return {landed, std::shared_ptr<BulkBody>(std::move(body))};
  }
  const std::uint64_t size = body->size();
  const auto first = reinterpret_cast<std::uint64_t>(body->bytes().data());
  const bool is_in_arena = first >= arena_first_ && first - arena_first_ < arena_bytes_;
  if (!is_pinned || !is_in_arena || size < kHeldBytesMin) return {};
  const std::uint64_t units_bytes = AlignUp(size, kBodyUnitBytes);
  if (held_bytes_->fetch_add(units_bytes) + units_bytes > arena_bytes_ / kHeldDivisor) {
    held_bytes_->fetch_sub(units_bytes);
    return {};
  }
  const auto release = [held = held_bytes_, units_bytes](const BulkBody* gone) {
    delete gone;
    held->fetch_sub(units_bytes);
  };
  return {first, BodyHold(body.release(), release)};
}

}  // namespace accelmesh::cuda
