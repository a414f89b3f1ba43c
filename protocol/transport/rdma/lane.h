// The server's end of the way between the network card and a device's memory: direct.h says which means there are.
// Threads: as DirectLane says.
#pragma once

#include <atomic>
#include <memory>

#include "protocol/transport/direct.h"
#include "protocol/transport/rdma/direct.h"
#include "protocol/transport/rdma/end.h"
#include "protocol/transport/rdma/pinned.h"

namespace accelmesh::rdma {

static_assert(kBodyUnitBytes == kUnitBytes);

class ServerLane final : public DirectLane, public std::enable_shared_from_this<ServerLane> {
 public:
  explicit ServerLane(std::shared_ptr<End> end);

  DirectMeans Join(DirectMemory& memory) override;
  void Leave() override;
  void Abandon() override;
  MutableByteView bodies() override { return end_->arena(); }
  void NotePinned(MutableByteView memory) override { pinned_.Note(memory); }
  void NoteCopied(std::uint64_t bytes) override { end_->NoteCopied(bytes); }
  Status SendDevice(std::uint64_t token, std::uint64_t offset, const DirectBlock& block, std::uint64_t address,
                    std::uint64_t bytes, Deadline deadline) override;
  void Forget(const DirectBlock& block) override { blocks_.Forget(block); }

  // The registration of pinned memory that all of `body` lies in; null if it has none.
  std::shared_ptr<Memory> FindPinned(ByteView body) { return pinned_.Find(body); }
  // Where the landing's units lie for the device; 0 if there is none. Executor's thread.
  std::uint64_t landing() const { return landing_ != nullptr ? landing_address_ : 0; }

 private:
  Result<std::unique_ptr<Memory>> Register(const DirectBlock& block, Access access);

  const std::shared_ptr<End> end_;  // goes after what is registered with it
  PinnedMemory pinned_{[this](MutableByteView memory) { return end_->RegisterOwn(memory); }};
  DirectMemory* memory_ = nullptr;
  std::atomic<DirectMeans> means_{DirectMeans::kNone};
  std::unique_ptr<Memory> landing_;
  std::uint64_t landing_address_ = 0;
  DeviceRegistrations blocks_{[this](const DirectBlock& block) { return Register(block, Access::kNone); }};
};

}  // namespace accelmesh::rdma
