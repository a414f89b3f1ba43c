#include "protocol/transport/rdma/direct.h"

#include <utility>

#include "protocol/base/log.h"

namespace accelmesh::rdma {

DirectMeans ChooseDirect(const DirectTried& tried) {
  if (tried.dma_buf.ok()) return DirectMeans::kDmaBuf;
  return tried.peer_memory.ok() ? DirectMeans::kPeerMemory : DirectMeans::kBounce;
}

std::string DirectText(DirectMeans means, const DirectTried& tried) {
  const std::string untried = "; GPUDirect has never run on hardware, ACCELMESH_GPUDIRECT=off turns it off";
  switch (means) {
    case DirectMeans::kDmaBuf: return "bodies go to the device and from it by GPUDirect (dma-buf)" + untried;
    case DirectMeans::kPeerMemory:
      return "bodies go to the device and from it by GPUDirect (peer memory): no dma-buf, " + tried.dma_buf.text() +
             untried;
    case DirectMeans::kBounce:
    case DirectMeans::kNone: break;
  }
  return "bodies go to the device and from it through pinned memory: no dma-buf, " + tried.dma_buf.text() +
         "; no peer memory, " + tried.peer_memory.text();
}

// What is registered --------------------------------------------------------------------------------------------------

std::shared_ptr<Memory> DeviceRegistrations::DropLocked(Entries::iterator entry) {
  std::shared_ptr<Memory> memory = std::move(entry->second.memory);
  uses_.erase(entry->second.use);
  entries_.erase(entry);
  return memory;
}

std::shared_ptr<Memory> DeviceRegistrations::Find(const DirectBlock& block) {
  std::shared_ptr<Memory> last;  // goes after the lock
  const MutexLock lock(mutex_);
  if (const auto known = entries_.find(block.allocation); known != entries_.end()) {
    if (known->second.epoch == block.epoch) {
      uses_.splice(uses_.begin(), uses_, known->second.use);
      return known->second.memory;
    }
    last = DropLocked(known);
  }
  Result<std::unique_ptr<Memory>> registered = register_(block);
  if (!registered.ok() && !std::exchange(has_complained_, true))
    log::Warning("rdma", "copies from the device go through pinned memory: " + registered.status().text());
  std::shared_ptr<Memory> memory;
  if (registered.ok()) memory = *std::move(registered);
  if (entries_.size() == kBlocksMax) last = DropLocked(entries_.find(uses_.back()));
  uses_.push_front(block.allocation);
  entries_[block.allocation] = {block.epoch, memory, uses_.begin()};
  return memory;
}

void DeviceRegistrations::Forget(const DirectBlock& block) {
  std::shared_ptr<Memory> last;
  const MutexLock lock(mutex_);
  const auto known = entries_.find(block.allocation);
  if (known != entries_.end() && known->second.epoch == block.epoch) last = DropLocked(known);
}

void DeviceRegistrations::Clear() {
  Entries last;
  const MutexLock lock(mutex_);
  last.swap(entries_);
  uses_.clear();
}

std::size_t DeviceRegistrations::size() const {
  const MutexLock lock(mutex_);
  return entries_.size();
}

}  // namespace accelmesh::rdma
