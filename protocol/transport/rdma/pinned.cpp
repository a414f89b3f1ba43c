#include "protocol/transport/rdma/pinned.h"

#include "protocol/base/log.h"

namespace accelmesh::rdma {

void PinnedMemory::Note(MutableByteView memory) {
  const MutexLock lock(mutex_);
  allocations_[memory.data()] = {memory, nullptr, false};
}

void PinnedMemory::Forget(const std::uint8_t* first) {
  std::shared_ptr<Memory> last;  // goes after the lock
  const MutexLock lock(mutex_);
  const auto found = allocations_.find(first);
  if (found == allocations_.end()) return;
  last = std::move(found->second.registration);
  allocations_.erase(found);
}

void PinnedMemory::Clear() {
  std::map<const std::uint8_t*, Allocation> last;
  const MutexLock lock(mutex_);
  last.swap(allocations_);
}

std::shared_ptr<Memory> PinnedMemory::Find(ByteView body) {
  const MutexLock lock(mutex_);
  auto after = allocations_.upper_bound(body.data());
  if (after == allocations_.begin()) return nullptr;
  Allocation& allocation = std::prev(after)->second;
  const auto offset = static_cast<std::size_t>(body.data() - allocation.memory.data());
  if (offset >= allocation.memory.size() || body.size() > allocation.memory.size() - offset) return nullptr;
  if (allocation.registration == nullptr && !allocation.has_failed) {
    Result<std::unique_ptr<Memory>> registered = register_(allocation.memory);
    if (registered.ok()) {
      allocation.registration = *std::move(registered);
    } else {
      allocation.has_failed = true;
      log::Warning("rdma", "copies from pinned memory go the long way: " + registered.status().text());
    }
  }
  return allocation.registration;
}

}  // namespace accelmesh::rdma
