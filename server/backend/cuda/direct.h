// The backend's half of the way between a network card and a device's memory past the processor
// (protocol/transport/direct.h): what the driver can do for it, the block in which bodies land, and bodies that the
// device's copy engine reads where they came.
//
// A card's writes need not be visible to the device when the processor sees that they are done. Where the device does
// not order them by itself the driver is asked to before work that reads them (Settle); where it can do neither there
// is no landing. Nor is there one where a device does not reach it: a client sends all bodies to the one place,
// whatever device they are for. Threads: as direct.h says; what else there is, the executor's.
#pragma once

#include <atomic>
#include <memory>

#include "protocol/transport/direct.h"
#include "server/backend/cuda/stream.h"

namespace accelmesh::cuda {

class Direct final : public DirectMemory {
 public:
  // Of this device's memory; bodies land there for all of `devices`.
  Direct(const Driver& driver, const Device& device, std::size_t devices, DirectLane& lane);
  ~Direct() override;
  Direct(const Direct&) = delete;

  // At the end, when nothing runs any more. Without it the landing stays the process's.
  void Clear();

  // Chooses how, and tells the lane of `pinned` memory. The device is current.
  void Join(MutableByteView pinned);
  Result<DirectBlock> Landing(std::uint64_t bytes) override;
  Result<int> ExportDmaBuf(const DirectBlock& block) override;

  DirectLane& lane() { return lane_; }
  // Whether the card reads the device's memory by itself.
  bool reaches_memory() const { return means_ == DirectMeans::kDmaBuf || means_ == DirectMeans::kPeerMemory; }

  // What has landed is what work of `device`'s current context reads from here on.
  CUresult Settle(const Device& device) const;

  // Where `body` lies if the device's copy engine may read it there, until the hold is gone: null, and the body is
  // left alone, if it has to be copied. `is_pinned`: the lane's bodies() are.
  struct Held {
    std::uint64_t address = 0;
    BodyHold hold;
  };
  Held Hold(std::unique_ptr<BulkBody>& body, bool is_pinned);

 private:
  int Attribute(CUdevice_attribute attribute) const;
  void Unmap();

  const Driver& driver_;
  const Device& device_;
  const std::size_t devices_;
  DirectLane& lane_;
  const std::uint64_t arena_first_;
  const std::uint64_t arena_bytes_;
  DirectMeans means_ = DirectMeans::kNone;
  int ordering_ = 0;  // CUGPUDirectRDMAWritesOrdering
  DirectBlock landing_;
  CUmemGenericAllocationHandle landing_handle_ = 0;
  bool is_mapped_ = false;
  // Of the arena, by copies that are queued. Outlives this: marks may.
  const std::shared_ptr<std::atomic<std::uint64_t>> held_bytes_ = std::make_shared<std::atomic<std::uint64_t>>(0);
};

}  // namespace accelmesh::cuda
