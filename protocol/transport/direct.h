// Bodies that a network card brings to a device's memory and takes from it, past this process's processor: what a
// backend says of its memory, and what a transport that has such a card does with it (rdma; others have none).
//
// A piece of device memory is known by its allocation and epoch and never by its address, which the next allocation may
// get again: what was registered for the one must not reach the other.
//
// Threads: as each function says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/base/bytes.h"
#include "protocol/base/clock.h"
#include "protocol/base/limits.h"
#include "protocol/base/result.h"

namespace accelmesh {

// How bodies get to a device's memory and out of it.
enum class DirectMeans : std::uint8_t {
  kNone,        // nobody has asked
  kDmaBuf,      // the card reaches the memory itself, which the driver exports
  kPeerMemory,  // the same, by a kernel module that knows the driver's addresses
  kBounce       // the card reaches this process's pinned memory, the device's copy engine the rest
};

struct DirectBlock {
  std::uint64_t allocation = 0;
  std::uint64_t epoch = 0;  // of what backs it: grows, and never comes again
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
};

// The backend's half. It outlives every use by a lane, which ends with DirectLane::Leave(), or with the process.
class DirectMemory {
 public:
  virtual ~DirectMemory() = default;
  // A block of at least `bytes` for bodies that come up, the same one whenever it is asked for. kUnsupported says why
  // there is none. Executor's thread.
  virtual Result<DirectBlock> Landing(std::uint64_t bytes) = 0;
  // A descriptor of the memory as a dma-buf that begins with it, for the caller to close. kUnsupported if the driver
  // has none to give. Any thread.
  virtual Result<int> ExportDmaBuf(const DirectBlock& block) = 0;
};

// Of where bodies lie that came to the process's memory: a smaller one takes as much.
inline constexpr std::uint64_t kBodyUnitBytes = 64 * limits::kKiB;

// The transport's half.
class DirectLane {
 public:
  virtual ~DirectLane() = default;

  // Finds out how, says it in the log, and tells the client where bodies may land. Once, on the executor's thread,
  // before there is work.
  virtual DirectMeans Join(DirectMemory& memory) = 0;
  // Nothing of the backend's memory is used any more when this returns; no thread of the backend is in a function here.
  virtual void Leave() = 0;

  // Instead of Leave(), where a thread of the backend does not come back: what it may use here stays, as the backend's
  // memory does, until the process ends.
  virtual void Abandon() = 0;

  // Where bodies lie that came to this process's memory, each in units of kBodyUnitBytes; they stay there until they
  // are destroyed. Any thread.
  virtual MutableByteView bodies() = 0;
  // `memory` of this process is pinned until Leave(): what of it is sent need not be copied. Any thread.
  virtual void NotePinned(MutableByteView memory) = 0;

  // The processor has copied so many bytes of bodies, outside of the transport. Any thread.
  virtual void NoteCopied(std::uint64_t bytes) = 0;

  // What ServerChannel::SendBulk() does, of as many bytes as there are, from `address` on, which lie in `block`. The
  // card has read them when this returns. kUnsupported, and nothing was sent: they go another way. Any thread but the
  // executor's.
  virtual Status SendDevice(std::uint64_t token, std::uint64_t offset, const DirectBlock& block, std::uint64_t address,
                            std::uint64_t bytes, Deadline deadline) = 0;
  // The block is about to lose its memory. Nothing is being sent from it. Any thread.
  virtual void Forget(const DirectBlock& block) = 0;
};

}  // namespace accelmesh
