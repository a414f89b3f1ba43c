#include "server/backend/cuda/memory.h"

#include <unistd.h>

#include <algorithm>

#include "protocol/base/log.h"

namespace accelmesh::cuda {
namespace {

// How long an allocation waits for work that may still touch freed memory, before it fails.
constexpr std::chrono::seconds kPatience{5};

// As a lane knows it: the place is the allocation, and what backs it the epoch.
DirectBlock BlockOf(const ChunkTable::Chunk& chunk) {
  return {chunk.address / ChunkTable::kCellBytes, chunk.id, chunk.address, chunk.bytes};
}

}  // namespace

DeviceMemory::DeviceMemory(const Driver& driver, const Device& device, std::uint64_t budget_bytes, Fail fail)
    : driver_(driver),
      device_(device),
      fail_(std::move(fail)),
      table_(device.window_base, device.window_bytes, budget_bytes) {
  properties_.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties_.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties_.location.id = device.handle;
  const auto has = [&](CUdevice_attribute attribute) {
    int value = 0;
    return driver_.DeviceGetAttribute(&value, attribute, device_.handle) == CUDA_SUCCESS && value != 0;
  };
  if (has(CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED))
    properties_.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  if (has(CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED)) properties_.allocFlags.gpuDirectRDMACapable = 1;
}

CUresult DeviceMemory::Back(const ChunkTable::Run& run, std::uint64_t* handle) {
  CUmemGenericAllocationHandle made = 0;
  CUresult result = driver_.MemCreate(&made, run.bytes, &properties_, 0);
  if (result != CUDA_SUCCESS) return result;
  result = Map(run, made);
  if (result != CUDA_SUCCESS) {
    (void)driver_.MemRelease(made);
    return result;
  }
  *handle = made;
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::Map(const ChunkTable::Run& run, CUmemGenericAllocationHandle handle) {
  CUresult result = driver_.MemMap(run.address, run.bytes, 0, handle, 0);
  if (result != CUDA_SUCCESS) return result;
  result = LetReach(driver_, device_, run.address, run.bytes);
  if (result != CUDA_SUCCESS) {
    // Nothing has used the mapping, so taking it away does not wait either.
    (void)driver_.MemUnmap(run.address, run.bytes);
  }
  return result;
}

void DeviceMemory::Unback(const ChunkTable::Chunk& chunk) {
  if (lane_ != nullptr) lane_->Forget(BlockOf(chunk));
  CUresult result = driver_.MemUnmap(chunk.address, chunk.bytes);
  if (result == CUDA_SUCCESS) result = driver_.MemRelease(chunk.handle);
  if (result != CUDA_SUCCESS) log::Warning("cuda backend", "a chunk could not be given back: " + driver_.Text(result));
}

CUresult DeviceMemory::TryBack(const ChunkTable::Run& run) {
  if (!table_.Fits(run.bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
  std::uint64_t handle = 0;
  const CUresult result = Back(run, &handle);
  if (result == CUDA_SUCCESS) table_.Backed(run.address, handle);
  return result;
}

void DeviceMemory::GiveUp(const ChunkTable::Run& run, CUresult result) {
  table_.Unbackable(run.address);
  fail_(result, std::to_string(run.bytes / limits::kMiB) + " MiB for an allocation: " + driver_.Text(result));
}

bool DeviceMemory::Allocate(std::uint64_t address, std::uint64_t bytes) {
  const MutexLock lock(mu_);
  for (const ChunkTable::Run& run : table_.Allocate(address, bytes)) {
    // What waits goes first: it was asked for first.
    const CUresult result = wanted_.empty() ? TryBack(run) : CUDA_ERROR_OUT_OF_MEMORY;
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
      wanted_.push_back(run);
    } else if (result != CUDA_SUCCESS) {
      GiveUp(run, result);
    }
  }
  return wanted_.empty();
}

void DeviceMemory::Free(std::uint64_t address, const std::function<std::vector<Point>()>& points) {
  const MutexLock lock(mu_);
  const std::vector<std::uint64_t> idle = table_.Free(address);
  if (idle.empty()) return;
  const std::vector<Point> now = points();
  for (const std::uint64_t chunk : idle) idle_since_[chunk] = now;
}

bool DeviceMemory::Relieve() {
  MutexLock lock(mu_);
  while (!wanted_.empty()) {
    const ChunkTable::Run run = wanted_.front();
    const CUresult result = TryBack(run);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
      const std::optional<ChunkTable::Chunk> gone =
          table_.TakeIdle([this](const ChunkTable::Chunk& chunk) ACCELMESH_REQUIRES(mu_) {
            const auto since = idle_since_.find(chunk.address);
            return since == idle_since_.end() || AllPassed(since->second);
          });
      if (gone.has_value()) {
        idle_since_.erase(gone->address);
        lock.Unlock();
        Unback(*gone);
        lock.Lock();
        continue;
      }
      if (!patience_ends_.has_value()) patience_ends_ = Clock::now() + kPatience;
      if (table_.any_idle() && Clock::now() < *patience_ends_) return false;
    }
    if (result != CUDA_SUCCESS) GiveUp(run, result);
    wanted_.pop_front();
    patience_ends_.reset();
  }
  return true;
}

// With a network card
// --------------------------------------------------------------------------------------------------

Status DeviceMemory::SendByLane(std::uint64_t token, std::uint64_t address, std::uint64_t bytes) {
  const Status unsupported(Code::kUnsupported, "DeviceMemory::SendByLane", "not all of it is this session's memory");
  if (lane_ == nullptr) return unsupported;
  std::vector<ChunkTable::Chunk> chunks;
  {
    const MutexLock lock(mu_);
    chunks = table_.Under(address, bytes);
  }
  std::uint64_t end = address;
  for (const ChunkTable::Chunk& chunk : chunks) {
    if (!chunk.is_backed || chunk.address > end) return unsupported;
    end = chunk.address + chunk.bytes;
  }
  if (end < address + bytes || chunks.empty()) return unsupported;
  for (std::uint64_t at = address; const ChunkTable::Chunk& chunk : chunks) {
    const std::uint64_t piece = std::min(address + bytes, chunk.address + chunk.bytes) - at;
    const Status sent = lane_->SendDevice(token, at - address, BlockOf(chunk), at, piece, Deadline::Never());
    if (!sent.ok()) {
      // A part of it has gone already; that the rest cannot is then an error.
      const bool is_first = at == address;
      return is_first || sent.code() != Code::kUnsupported ? sent : Status(Code::kInternal, "SendByLane", sent.text());
    }
    at += piece;
  }
  return Status::Ok();
}

// With other sessions
// -----------------------------------------------------------------------------------------------------

Result<SharedMemory> DeviceMemory::Export(std::uint64_t address, std::uint64_t bytes) {
  constexpr const char* kWhere = "DeviceMemory::Export";
  const MutexLock lock(mu_);
  const std::vector<ChunkTable::Chunk> chunks = table_.Under(address, bytes);
  for (const ChunkTable::Chunk& chunk : chunks) {
    if (chunk.is_hopeless) return Status(Code::kOutOfMemory, kWhere, "there was no memory for it");
    if (!chunk.is_backed) return Status(Code::kFull, kWhere, "its memory is being found");
  }
  SharedMemory memory;
  memory.lead = address - chunks.front().address;
  for (const ChunkTable::Chunk& chunk : chunks) {
    int fd = -1;
    const CUresult result =
        driver_.MemExportToShareableHandle(&fd, chunk.handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
    if (result != CUDA_SUCCESS) {
      for (const SharedPiece& piece : memory.pieces) ::close(piece.fd);
      return Status(Code::kSystem, kWhere, driver_.Text(result));
    }
    memory.pieces.push_back({chunk.id, 0, chunk.bytes, fd});
  }
  return memory;
}

CUresult DeviceMemory::Import(const SharedMemory& memory, std::uint64_t start) {
  const MutexLock lock(mu_);
  std::vector<ChunkTable::Run>& mapped = imports_[start];
  ChunkTable::Run run{start, 0};
  for (const SharedPiece& piece : memory.pieces) {
    run.bytes = piece.bytes;
    CUmemGenericAllocationHandle handle = 0;
    CUresult result =
        driver_.MemImportFromShareableHandle(&handle, reinterpret_cast<void*>(static_cast<std::intptr_t>(piece.fd)),
                                             CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    if (result != CUDA_SUCCESS) return result;
    result = Map(run, handle);
    // A mapping holds what it maps.
    (void)driver_.MemRelease(handle);
    if (result != CUDA_SUCCESS) return result;
    mapped.push_back(run);
    run.address += run.bytes;
  }
  return CUDA_SUCCESS;
}

CUresult DeviceMemory::EndImport(std::uint64_t start) {
  std::vector<ChunkTable::Run> mapped;
  {
    const MutexLock lock(mu_);
    mapped = std::move(imports_[start]);
    imports_.erase(start);
  }
  CUresult worst = CUDA_SUCCESS;
  for (const ChunkTable::Run& run : mapped) {
    if (const CUresult result = driver_.MemUnmap(run.address, run.bytes); result != CUDA_SUCCESS) worst = result;
  }
  return worst;
}

void DeviceMemory::Clear() {
  MutexLock lock(mu_);
  while (!imports_.empty()) {
    const std::uint64_t start = imports_.begin()->first;
    lock.Unlock();
    (void)EndImport(start);
    lock.Lock();
  }
  for (const ChunkTable::Chunk& chunk : table_.TakeAll()) Unback(chunk);
  idle_since_.clear();
}

}  // namespace accelmesh::cuda
