#include "server/backend/cpu/tier0/heap.h"

#include <iterator>

#include "protocol/base/bytes.h"

namespace accelmesh::tier0 {
namespace {
constexpr std::uint64_t kAlignment = 16;
}  // namespace

Heap::Heap(std::uint64_t base, std::uint64_t bytes) {
  const MutexLock lock(mu_);
  free_[base] = bytes;
}

std::uint64_t Heap::Allocate(std::uint64_t bytes) {
  // Not even the empty allocation shares its address.
  const std::uint64_t wanted = AlignUp(bytes == 0 ? 1 : bytes, kAlignment);
  if (wanted < bytes) return 0;
  const MutexLock lock(mu_);
  for (auto block = free_.begin(); block != free_.end(); ++block) {
    const auto [address, size] = *block;
    if (size < wanted) continue;
    free_.erase(block);
    if (size > wanted) free_[address + wanted] = size - wanted;
    taken_[address] = wanted;
    return address;
  }
  return 0;
}

bool Heap::Free(std::uint64_t address) {
  const MutexLock lock(mu_);
  const auto found = taken_.find(address);
  if (found == taken_.end()) return false;
  const auto block = free_.emplace(address, found->second).first;
  taken_.erase(found);
  if (const auto next = std::next(block); next != free_.end() && block->first + block->second == next->first) {
    block->second += next->second;
    free_.erase(next);
  }
  if (block != free_.begin()) {
    if (const auto before = std::prev(block); before->first + before->second == block->first) {
      before->second += block->second;
      free_.erase(block);
    }
  }
  return true;
}

}  // namespace accelmesh::tier0
