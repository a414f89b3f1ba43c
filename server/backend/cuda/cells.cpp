#include "server/backend/cuda/cells.h"

#include <algorithm>
#include <atomic>
#include <iterator>

namespace accelmesh::cuda {
namespace {

std::atomic<std::uint64_t> next_id{1};

}  // namespace

std::map<std::uint64_t, ChunkTable::Chunk>::iterator ChunkTable::AtOrBehind(std::uint64_t address) {
  const auto behind = chunks_.upper_bound(address);
  if (behind == chunks_.begin()) return behind;
  const auto before = std::prev(behind);
  return address - before->first < before->second.bytes ? before : behind;
}

std::vector<ChunkTable::Run> ChunkTable::Allocate(std::uint64_t address, std::uint64_t bytes) {
  allocations_[address] = bytes;
  const std::uint64_t first = base_ + (address - base_) / kCellBytes * kCellBytes;
  const std::uint64_t last = base_ + (address + bytes - 1 - base_) / kCellBytes * kCellBytes;
  const std::uint64_t end = std::min(last + kCellBytes, base_ + bytes_);
  std::vector<Run> runs;
  for (std::uint64_t at = first; at < end;) {
    const auto chunk = AtOrBehind(at);
    if (chunk != chunks_.end() && chunk->first <= at) {
      if (chunk->second.live++ == 0) idle_.remove(chunk->first);
      if (chunk->second.is_hopeless) {
        chunk->second.is_hopeless = false;  // another try, for there may be memory now
        runs.push_back({chunk->first, chunk->second.bytes});
      }
      at = chunk->first + chunk->second.bytes;
      continue;
    }
    const std::uint64_t stop = chunk == chunks_.end() ? end : std::min(end, chunk->first);
    runs.push_back({at, stop - at});
    Chunk made;
    made.address = at;
    made.bytes = stop - at;
    made.live = 1;
    chunks_.emplace_hint(chunk, at, made);
    at = stop;
  }
  return runs;
}

void ChunkTable::Backed(std::uint64_t address, std::uint64_t handle) {
  const auto chunk = chunks_.find(address);
  chunk->second.handle = handle;
  chunk->second.id = next_id.fetch_add(1, std::memory_order_relaxed);
  chunk->second.is_backed = true;
  backed_bytes_ += chunk->second.bytes;
  if (chunk->second.live == 0) idle_.push_back(address);
}

void ChunkTable::Unbackable(std::uint64_t address) {
  const auto chunk = chunks_.find(address);
  chunk->second.is_hopeless = true;
  if (chunk->second.live == 0) Erase(chunk);
}

std::vector<std::uint64_t> ChunkTable::Free(std::uint64_t address) {
  std::vector<std::uint64_t> idle;
  const auto allocation = allocations_.find(address);
  if (allocation == allocations_.end()) return idle;
  const std::uint64_t end = address + allocation->second;
  allocations_.erase(allocation);
  for (auto chunk = AtOrBehind(address); chunk != chunks_.end() && chunk->first < end;) {
    const auto next = std::next(chunk);
    if (--chunk->second.live == 0) {
      if (chunk->second.is_hopeless) {
        Erase(chunk);
      } else {
        // One that is being backed joins the idle ones when it is.
        idle.push_back(chunk->first);
        if (chunk->second.is_backed) idle_.push_back(chunk->first);
      }
    }
    chunk = next;
  }
  return idle;
}

std::vector<ChunkTable::Chunk> ChunkTable::Under(std::uint64_t address, std::uint64_t bytes) {
  std::vector<Chunk> under;
  for (auto chunk = AtOrBehind(address); chunk != chunks_.end() && chunk->first < address + bytes; ++chunk)
    under.push_back(chunk->second);
  return under;
}

void ChunkTable::Erase(std::map<std::uint64_t, Chunk>::iterator chunk) {
  if (chunk->second.is_backed) backed_bytes_ -= chunk->second.bytes;
  chunks_.erase(chunk);
}

std::optional<ChunkTable::Chunk> ChunkTable::TakeIdle(const std::function<bool(const Chunk&)>& may_go) {
  for (auto address = idle_.begin(); address != idle_.end(); ++address) {
    const auto chunk = chunks_.find(*address);
    if (!may_go(chunk->second)) continue;
    const Chunk taken = chunk->second;
    idle_.erase(address);
    Erase(chunk);
    return taken;
  }
  return std::nullopt;
}

std::vector<ChunkTable::Chunk> ChunkTable::TakeAll() {
  std::vector<Chunk> all;
  for (const auto& [address, chunk] : chunks_) {
    if (chunk.is_backed) all.push_back(chunk);
  }
  chunks_.clear();
  idle_.clear();
  allocations_.clear();
  backed_bytes_ = 0;
  return all;
}

}  // namespace accelmesh::cuda
