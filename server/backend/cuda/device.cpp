// CudaBackend: its beginning and its end. Memory and modules: device_memory.cpp; memory of several sessions:
// shared_memory.cpp; commands of streams: commands.cpp; libraries: library_commands.cpp.
#include "server/backend/cuda/device.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "protocol/base/log.h"
#include "protocol/base/window_candidates.h"
#include "server/backend/cuda/library.h"

namespace accelmesh {

using cuda::ChunkTable;
using cuda::Device;
using cuda::DeviceMemory;
using cuda::Driver;
using cuda::Mover;
using cuda::Progress;

namespace {

constexpr std::uint64_t kWordsBytes = Progress::kWords * sizeof(std::uint64_t);
constexpr std::uint64_t kStagingBytes = 16 * limits::kMiB;
constexpr std::uint64_t kMoverBytes = Mover::kBuffers * Mover::kBufferBytes;
constexpr std::uint64_t kFetchedBytes = limits::kStreamsMax * sizeof(std::uint32_t);
constexpr std::uint64_t kResultsBytes = limits::kStreamsMax * cuda::Library::kResultBytes;
constexpr std::uint64_t kPinnedBytes = kWordsBytes + kStagingBytes + 2 * kMoverBytes + kResultsBytes + kFetchedBytes;
// What the driver keeps for code, printf, stacks of kernels and its own needs: not sold.
constexpr std::uint64_t kHeldBackBytes = 512 * limits::kMiB;
constexpr std::uint64_t kHeldBackDivisor = 16;  // of a device so small that this is a large part of it
// Allocations share cells at their ends with cells that are not quite full.
constexpr std::uint64_t kSlackBytes = 4 * ChunkTable::kCellBytes;
constexpr std::chrono::seconds kEndPatience{2};
constexpr std::chrono::milliseconds kIdlePatience{100};
constexpr std::chrono::milliseconds kLookEvery{1};

std::atomic<std::uint64_t> next_device_id{1};

// Answers of ours in place of the driver's: a client on another machine sees none of these (SEMANTICS.md 1).
bool IsAlwaysZero(int attribute) {
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_HOST_NATIVE_ATOMIC_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_ONLY_PARTIAL_HOST_NATIVE_ATOMIC_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS:
    case CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES:
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS:
    case CU_DEVICE_ATTRIBUTE_DIRECT_MANAGED_MEM_ACCESS_FROM_HOST:
    case CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM: return true;
    default: return false;
  }
}

Status DriverError(const Driver& driver, CUresult result, const char* where) {
  const Code code = result == CUDA_ERROR_OUT_OF_MEMORY ? Code::kOutOfMemory : Code::kUnsupported;
  return {code, std::string("CudaBackend.") + where, driver.Text(result)};
}

// What lies in a range of addresses of this process, for a message about it.
std::string MappingsIn(std::uint64_t base, std::uint64_t bytes) {
  std::ifstream maps("/proc/self/maps");
  std::string found;
  for (std::string line; std::getline(maps, line);) {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &begin, &end) == 2 && begin < base + bytes && base < end)
      found += (found.empty() ? ": " : "; ") + line;
  }
  return found.empty() ? ", where nothing lies" : found;
}

}  // namespace

#define ACCELMESH_CUDA_CALL(function, ...)                                                              \
  do {                                                                                                  \
    if (const CUresult cuda_result = parts_->driver.function(__VA_ARGS__); cuda_result != CUDA_SUCCESS) \
      return DriverError(parts_->driver, cuda_result, #function);                                       \
  } while (false)

// Beginning ----------------------------------------------------------------------------------------------------------

Status CudaBackend::Prepare() {
  if (is_prepared_) return prepared_;
  is_prepared_ = true;
  prepared_ = MakeParts();
  if (prepared_.ok() && !options_.window_is_reserved) HoldCandidates();
  return prepared_;
}

// Every candidate for the window, until a client has chosen. A driver does not give out later what was mapped when it
// began, even if it is free by then (seen with 580 on an H200), so nothing else holds the addresses for it before.
void CudaBackend::HoldCandidates() {
  for (const WindowCandidate& candidate : kWindowCandidates) {
    CUdeviceptr got = 0;
    if (parts_->driver.MemAddressReserve(&got, candidate.bytes, 0, candidate.base, 0) != CUDA_SUCCESS) continue;
    if (got == candidate.base) {
      held_.push_back({candidate.base, candidate.bytes});
    } else {
      (void)parts_->driver.MemAddressFree(got, candidate.bytes);
    }
  }
}

void CudaBackend::LetGo(const Held& held) { (void)parts_->driver.MemAddressFree(held.base, held.bytes); }

Status CudaBackend::MakeParts() {
  ACCELMESH_ASSIGN_OR_RETURN(const Driver driver, cuda::LoadDriver());
  parts_ = std::make_unique<Parts>(driver);
  ACCELMESH_CUDA_CALL(Init, 0);
  int count = 0;
  ACCELMESH_CUDA_CALL(DeviceGetCount, &count);
  if (count == 0) return {Code::kUnsupported, "CudaBackend.DeviceGetCount", "the driver shows no device"};
  for (int i = 0; i < std::min<int>(count, limits::kDevicesMax); ++i) {
    CUdevice handle = 0;
    ACCELMESH_CUDA_CALL(DeviceGet, &handle, i);
    ACCELMESH_RETURN_IF_ERROR(MakeDevice(handle));
  }
  // Mapped memory is reached by those it is mapped for, by copies as well; whether a program may is the client's to
  // say.
  for (const std::unique_ptr<Device>& device : parts_->devices) {
    for (const std::unique_ptr<Device>& other : parts_->devices) {
      int can = other == device ? 1 : 0;
      if (can == 0) (void)parts_->driver.DeviceCanAccessPeer(&can, other->handle, device->handle);
      if (can == 0) continue;
      device->reached_by.push_back(other->handle);
      if (other != device) other->reaches.push_back(DescribePeer(*other, *device));
    }
  }
  return MakePinned();
}

PeerDescription CudaBackend::DescribePeer(const Device& device, const Device& peer) const {
  const auto attribute = [&](CUdevice_P2PAttribute id) {
    int value = 0;
    return parts_->driver.DeviceGetP2PAttribute(&value, id, device.handle, peer.handle) == CUDA_SUCCESS ? value : 0;
  };
  PeerDescription description;
  description.device = peer.index;
  description.native_atomics = attribute(CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED) != 0;
  description.array_access = attribute(CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED) != 0;
  description.partial_atomics = attribute(CU_DEVICE_P2P_ATTRIBUTE_ONLY_PARTIAL_NATIVE_ATOMIC_SUPPORTED) != 0;
  description.performance_rank = static_cast<std::uint32_t>(attribute(CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK));
  return description;
}

Status CudaBackend::MakeDevice(CUdevice handle) {
  const auto attribute = [&](CUdevice_attribute id) {
    int value = 0;
    return parts_->driver.DeviceGetAttribute(&value, id, handle) == CUDA_SUCCESS ? value : 0;
  };
  if (attribute(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED) == 0 ||
      attribute(CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING) == 0) {
    return {Code::kUnsupported, "CudaBackend.MakeDevice",
            "device " + std::to_string(handle) + " has no virtual memory management"};
  }
  auto device = std::make_unique<Device>();
  device->id = next_device_id.fetch_add(1);
  device->index = static_cast<std::uint32_t>(parts_->devices.size());
  device->handle = handle;
  device->max_pitch = static_cast<std::uint64_t>(attribute(CU_DEVICE_ATTRIBUTE_MAX_PITCH));
  device->has_writes =
      parts_->driver.StreamWriteValue64 != nullptr && attribute(CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS) != 0;
  ACCELMESH_CUDA_CALL(DevicePrimaryCtxRetain, &device->context, handle);
  Device& made = *device;
  parts_->devices.push_back(std::move(device));
  if (const CUresult entered = cuda::Enter(parts_->driver, made); entered != CUDA_SUCCESS)
    return DriverError(parts_->driver, entered, "CtxSetCurrent");
  ACCELMESH_CUDA_CALL(CtxGetStreamPriorityRange, &made.priority_lowest, &made.priority_highest);
  ACCELMESH_CUDA_CALL(StreamCreateWithPriority, &made.idle, CU_STREAM_NON_BLOCKING, made.priority_lowest);
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = handle;
  std::size_t granularity = 0;
  ACCELMESH_CUDA_CALL(MemGetAllocationGranularity, &granularity, &properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED);
  if (granularity == 0 || ChunkTable::kCellBytes % granularity != 0) {
    return {Code::kUnsupported, "CudaBackend.MakeDevice",
            "the driver maps memory in units of " + std::to_string(granularity) + " bytes"};
  }
  return Status::Ok();
}

Status CudaBackend::MakePinned() {
  Parts& parts = *parts_;
  if (const CUresult entered = cuda::Enter(parts.driver, *parts.devices.front()); entered != CUDA_SUCCESS)
    return DriverError(parts.driver, entered, "CtxSetCurrent");
  void* pinned = nullptr;
  ACCELMESH_CUDA_CALL(MemHostAlloc, &pinned, kPinnedBytes, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP);
  parts.pinned = static_cast<std::uint8_t*>(pinned);
  std::memset(parts.pinned, 0, kWordsBytes);
  for (const std::unique_ptr<Device>& device : parts.devices) {
    if (const CUresult entered = cuda::Enter(parts.driver, *device); entered != CUDA_SUCCESS)
      return DriverError(parts.driver, entered, "CtxSetCurrent");
    ACCELMESH_CUDA_CALL(MemHostGetDevicePointer, &device->words, pinned, 0);
    // All that is there to sell: the context and what is pinned have taken theirs.
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    ACCELMESH_CUDA_CALL(MemGetInfo, &free_bytes, &total_bytes);
    const std::uint64_t held_back = std::min<std::uint64_t>(kHeldBackBytes, total_bytes / kHeldBackDivisor);
    device->free_bytes = free_bytes > held_back ? free_bytes - held_back : 0;
  }
  return Status::Ok();
}

Result<std::vector<DeviceDescription>> CudaBackend::Open(std::uint64_t window_base, std::uint64_t window_bytes,
                                                         CompletionSink* sink) {
  if (const Status prepared = Prepare(); !prepared.ok()) return prepared;
  Parts& parts = *parts_;
  const std::uint64_t part = window_bytes / parts.devices.size() / ChunkTable::kCellBytes * ChunkTable::kCellBytes;
  if (part == 0) return Status(Code::kInvalidArgument, "CudaBackend::Open", "the window is too small");
  const auto is_offered = [&](const Held& held) { return held.base == window_base && held.bytes == window_bytes; };
  const bool is_held = std::any_of(held_.begin(), held_.end(), is_offered);
  // Nobody else may have the range while the driver takes it.
  std::erase_if(held_, [&](const Held& held) {
    const bool overlaps = held.base < window_base + window_bytes && window_base < held.base + held.bytes;
    if (overlaps && !is_offered(held)) LetGo(held);
    return overlaps;
  });
  if (options_.window_is_reserved) ::munmap(reinterpret_cast<void*>(window_base), window_bytes);
  CUdeviceptr got = window_base;
  const CUresult reserved =
      is_held ? CUDA_SUCCESS : parts.driver.MemAddressReserve(&got, window_bytes, 0, window_base, 0);
  if (reserved != CUDA_SUCCESS) {
    return Status(Code::kFull, "CudaBackend::Open",
                  "the driver cannot reserve the window: " + parts.driver.Text(reserved));
  }
  if (got != window_base) {
    const std::string taken = MappingsIn(window_base, window_bytes);
    (void)parts.driver.MemAddressFree(got, window_bytes);
    char there[32];
    std::snprintf(there, sizeof(there), "0x%llx", static_cast<unsigned long long>(got));
    return Status(Code::kFull, "CudaBackend::Open",
                  std::string("the driver gives ") + there + " in place of the window's addresses" + taken);
  }
  parts.window_base = window_base;
  parts.window_bytes = window_bytes;
  parts.sink = sink;
  is_open_ = true;
  std::vector<DeviceDescription> descriptions;
  for (const std::unique_ptr<Device>& device : parts.devices) {
    device->window_base = window_base + device->index * part;
    device->window_bytes = part;
    ACCELMESH_ASSIGN_OR_RETURN(DeviceDescription description, Describe(*device));
    const auto fail = [sink](CUresult result, const std::string& text) {
      sink->Failed(0, 0, static_cast<DeviceStatus>(result), false, text);
    };
    parts.memory.push_back(
        std::make_unique<DeviceMemory>(parts.driver, *device, description.memory_bytes + kSlackBytes, fail));
    descriptions.push_back(std::move(description));
  }
  if (!options_.window_is_reserved) ACCELMESH_RETURN_IF_ERROR(parts.output.Capture());
  if (lane_ != nullptr) JoinLane();
  StartThreads();
  if (lane_ != nullptr) {
    parts.service.Post([&parts] {
      (void)parts.regions.Pin(parts.direct->lane().bodies());
      return true;
    });
  }
  // The driver may take its time to give them up.
  parts.service.Post([&parts, others = std::exchange(held_, {})] {
    for (const Held& held : others) (void)parts.driver.MemAddressFree(held.base, held.bytes);
    return true;
  });
  return descriptions;
}

Result<DeviceDescription> CudaBackend::Describe(const Device& device) const {
  DeviceDescription description;
  std::array<char, 256> text{};
  ACCELMESH_CUDA_CALL(DeviceGetName, text.data(), static_cast<int>(text.size()), device.handle);
  description.name = text.data();
  CUuuid uuid{};
  ACCELMESH_CUDA_CALL(DeviceGetUuid, &uuid, device.handle);
  std::memcpy(description.uuid.data(), uuid.bytes, description.uuid.size());
  ACCELMESH_CUDA_CALL(DeviceGetPCIBusId, text.data(), static_cast<int>(text.size()), device.handle);
  description.pci_bus_id = text.data();
  description.peers = device.reaches;
  description.window_base = device.window_base;
  description.window_bytes = device.window_bytes;
  description.import_unit_bytes = ChunkTable::kCellBytes;
  description.memory_bytes = std::min(device.free_bytes, device.window_bytes);
  if (options_.memory_bytes != 0)
    description.memory_bytes = std::min(description.memory_bytes, options_.memory_bytes / parts_->devices.size());
  for (int id = 1; id < CU_DEVICE_ATTRIBUTE_MAX; ++id) {
    int value = 0;
    if (parts_->driver.DeviceGetAttribute(&value, static_cast<CUdevice_attribute>(id), device.handle) != CUDA_SUCCESS)
      continue;
    description.attributes.emplace_back(static_cast<std::uint32_t>(id), IsAlwaysZero(id) ? 0 : value);
  }
  return description;
}

void CudaBackend::JoinLane() {
  Parts& parts = *parts_;
  (void)cuda::Enter(parts.driver, *parts.devices.front());
  parts.direct = std::make_unique<cuda::Direct>(parts.driver, *parts.devices.front(), parts.devices.size(), *lane_);
  parts.direct->Join({parts.pinned + kWordsBytes, kStagingBytes + 2 * kMoverBytes});
  if (!parts.direct->reaches_memory()) return;
  for (const std::unique_ptr<DeviceMemory>& memory : parts.memory) memory->UseLane(lane_);
}

void CudaBackend::StartThreads() {
  Parts& parts = *parts_;
  const std::uint8_t* staging = parts.pinned + kWordsBytes;
  std::uint8_t* buffers = parts.pinned + kWordsBytes + kStagingBytes;
  parts.progress =
      std::make_unique<Progress>(parts.driver, reinterpret_cast<std::uint64_t*>(parts.pinned), kStagingBytes);
  parts.up =
      std::make_unique<Mover>(Mover::Direction::kUp, parts.driver, *parts.progress, parts.regions, buffers, staging);
  parts.down = std::make_unique<Mover>(Mover::Direction::kDown, parts.driver, *parts.progress, parts.regions,
                                       buffers + kMoverBytes, staging);
  parts.host_stops = std::make_unique<cuda::HostStops>(*parts.progress);
  parts.library =
      std::make_shared<cuda::Library>(parts.driver, *parts.progress, buffers + std::ptrdiff_t{2} * kMoverBytes);
  Progress::Hooks hooks;
  hooks.send = [&parts](StreamPtr stream, const cuda::Parcel& parcel) { parts.down->Send(std::move(stream), parcel); };
  hooks.begin = [&parts](StreamPtr stream, std::unique_ptr<cuda::Stop> stop) {
    if (stop->library != nullptr) return parts.library->Begin(std::move(stream), std::move(stop));
    if (stop->copy == nullptr) return parts.host_stops->Begin(std::move(stream), std::move(stop));
    Mover& mover = stop->copy->dst.kind == CopySide::Kind::kDevice ? *parts.up : *parts.down;
    mover.Begin(std::move(stream), std::move(stop));
  };
  hooks.moved = [&parts] { parts.service.Kick(); };
  parts.down->UseDirect([&parts](std::uint64_t token, std::uint64_t address, std::uint64_t bytes) {
    for (std::size_t i = 0; i < parts.devices.size(); ++i) {
      const Device& device = *parts.devices[i];
      if (address - device.window_base < device.window_bytes) return parts.memory[i]->SendByLane(token, address, bytes);
    }
    return Status(Code::kUnsupported, "cuda backend", "not memory of a device");
  });
  parts.up->Start(parts.sink);
  parts.down->Start(parts.sink);
  std::vector<Device*> devices;
  for (const std::unique_ptr<Device>& device : parts.devices) devices.push_back(device.get());
  parts.library->Start(parts.sink, std::move(devices), plan_keeper_);
  parts.service.Start([&parts] { (void)cuda::Enter(parts.driver, *parts.devices.front()); });
  parts.progress->Start(parts.sink, std::move(hooks), &parts.output);
}

std::uint32_t* CudaBackend::FetchedWord(std::uint32_t stream) const {
  return reinterpret_cast<std::uint32_t*>(parts_->pinned + kPinnedBytes - kFetchedBytes) + stream;
}

// End ----------------------------------------------------------------------------------------------------------------

void CudaBackend::Close() {
  for (const Held& held : held_) LetGo(held);
  held_.clear();
  if (parts_ == nullptr) return;
  Parts& parts = *parts_;
  bool is_idle = true;
  if (parts.progress != nullptr) {
    InputDrained();
    const Deadline idle_by = Deadline::After(kIdlePatience);
    while (!parts.progress->idle() && !idle_by.passed()) std::this_thread::sleep_for(kLookEvery);
    is_idle = parts.progress->idle();
    parts.progress->Stop();
    parts.up->Stop();
    parts.down->Stop();
    parts.service.Stop();
    parts.library->Stop();
    const auto ended = [&parts] {
      return parts.progress->ended() && parts.up->ended() && parts.down->ended() && parts.service.ended() &&
             parts.library->ended();
    };
    const Deadline ended_by = Deadline::After(kEndPatience);
    while (!ended() && !ended_by.passed()) std::this_thread::sleep_for(kLookEvery);
    if (!ended()) {
      // This process ends now, and the driver ends what still runs; until then the stuck thread needs its memory.
      log::Warning("cuda backend", "a call of the driver does not return; it ends with this process");
      if (parts.direct != nullptr) parts.direct->lane().Abandon();
      (void)parts_.release();
      return;
    }
    parts.progress->Join();
    parts.up->Join();
    parts.down->Join();
    parts.service.Join();
    parts.library->Join();
  }
  if (is_idle) {
    TearDown();
  } else {
    log::Info("cuda backend", "work still runs; it ends with this process");
  }
  streams_.assign(streams_.size(), nullptr);
  parts_.reset();
}

void CudaBackend::TearDown() {
  Parts& parts = *parts_;
  const Driver& driver = parts.driver;
  // Errors say nothing new here: a context that is lost goes with its last reference.
  if (parts.progress != nullptr) {
    parts.service.RunRest();
    const std::vector<StreamPtr> streams = parts.progress->TakeStreams();
    parts.library->Close(streams);
    for (const StreamPtr& stream : streams) {
      if (stream->kind == cuda::kLegacy || cuda::Enter(driver, *stream->device) != CUDA_SUCCESS) continue;
      (void)driver.StreamDestroy(stream->handle);
    }
  }
  for (const auto& [id, event] : events_) {
    if (event.handle != nullptr && cuda::Enter(driver, *event.device) == CUDA_SUCCESS)
      (void)driver.EventDestroy(event.handle);
  }
  events_.clear();
  {
    const MutexLock lock(parts.modules_mu);
    for (const auto& [id, module] : parts.modules) {
      if (cuda::Enter(driver, *module->device) == CUDA_SUCCESS) (void)driver.ModuleUnload(module->handle);
    }
    parts.modules.clear();
  }
  DestroyTextures();
  parts.regions.UnpinAll();
  if (parts.direct != nullptr) parts.direct->Clear();
  for (const std::uint64_t address : parts.mapped_host)
    (void)driver.MemHostUnregister(reinterpret_cast<void*>(address));
  parts.mapped_host.clear();
  for (const std::unique_ptr<DeviceMemory>& memory : parts.memory) memory->Clear();
  if (is_open_) (void)driver.MemAddressFree(parts.window_base, parts.window_bytes);
  for (const std::unique_ptr<Device>& device : parts.devices) {
    if (cuda::Enter(driver, *device) == CUDA_SUCCESS && device->idle != nullptr)
      (void)driver.StreamDestroy(device->idle);
  }
  if (parts.pinned != nullptr && cuda::Enter(driver, *parts.devices.front()) == CUDA_SUCCESS)
    (void)driver.MemFreeHost(parts.pinned);
  for (const std::unique_ptr<Device>& device : parts.devices) (void)driver.DevicePrimaryCtxRelease(device->handle);
}

}  // namespace accelmesh

extern "C" __attribute__((visibility("default"))) accelmesh::Backend* accelmesh_create_backend(
    std::uint32_t abi, const accelmesh::BackendOptions& options) {
  return abi == accelmesh::kBackendAbi ? new accelmesh::CudaBackend(options) : nullptr;
}
