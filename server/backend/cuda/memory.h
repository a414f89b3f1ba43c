// The memory of one device: chunks of it mapped into its part of the window where allocations are.
//
// An allocation whose cells are backed costs no driver call. One that needs a new chunk makes it at once: creating and
// mapping do not wait for the device. If there is no memory for it, the service thread first takes chunks away that
// have no allocation and that no running work may still touch; meanwhile the backend stops its streams, because what
// comes next may use the allocation. Other sessions map whole chunks, and this one those of others, which cost it no
// memory. Threads: the executor's, but Relieve() and EndImport(), which are the service thread's.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "protocol/base/mutex.h"
#include "protocol/transport/direct.h"
#include "server/backend/cuda/cells.h"
#include "server/backend/cuda/stream.h"

namespace accelmesh::cuda {

class DeviceMemory {
 public:
  // There was no memory for an allocation.
  using Fail = std::function<void(CUresult, const std::string&)>;

  // At most `budget_bytes` are backed at a time.
  DeviceMemory(const Driver& driver, const Device& device, std::uint64_t budget_bytes, Fail fail);

  // False: Relieve() has to be called until it returns true.
  bool Allocate(std::uint64_t address, std::uint64_t bytes);
  // `points`: where the work stands that may touch it.
  void Free(std::uint64_t address, const std::function<std::vector<Point>()>& points);
  bool Relieve();

  // What another session maps to reach the allocation: Backend::ExportMemory().
  Result<SharedMemory> Export(std::uint64_t address, std::uint64_t bytes);
  // Maps another's at `start`. Also of what failed EndImport() takes away what it mapped.
  CUresult Import(const SharedMemory& memory, std::uint64_t start);
  CUresult EndImport(std::uint64_t start);
  // Unmaps everything; the device is idle.
  void Clear();

  // Before there is memory.
  void UseLane(DirectLane* lane) { lane_ = lane; }
  // Sends a range that its network card reads by itself. kUnsupported, and nothing was sent: it cannot, of all of it.
  // Any thread; the range stays allocated.
  Status SendByLane(std::uint64_t token, std::uint64_t address, std::uint64_t bytes);

 private:
  CUresult Back(const ChunkTable::Run& run, std::uint64_t* handle);
  // At a place that holds nothing, for all devices that reach it.
  CUresult Map(const ChunkTable::Run& run, CUmemGenericAllocationHandle handle);
  void Unback(const ChunkTable::Chunk& chunk);
  // Whether it was there, or is now. Never waits.
  CUresult TryBack(const ChunkTable::Run& run) ACCELMESH_REQUIRES(mu_);
  void GiveUp(const ChunkTable::Run& run, CUresult result) ACCELMESH_REQUIRES(mu_);

  const Driver& driver_;
  const Device& device_;
  Fail fail_;
  DirectLane* lane_ = nullptr;
  CUmemAllocationProp properties_{};
  Mutex mu_;
  ChunkTable table_ ACCELMESH_GUARDED_BY(mu_);
  std::unordered_map<std::uint64_t, std::vector<Point>> idle_since_ ACCELMESH_GUARDED_BY(mu_);  // by chunk
  std::deque<ChunkTable::Run> wanted_ ACCELMESH_GUARDED_BY(mu_);
  std::unordered_map<std::uint64_t, std::vector<ChunkTable::Run>> imports_ ACCELMESH_GUARDED_BY(mu_);  // by start
  std::optional<Instant> patience_ends_ ACCELMESH_GUARDED_BY(mu_);
};

}  // namespace accelmesh::cuda
