// Plans that a backend has made (PlanKeeper), remembered across sessions: each a file in a folder that the worker
// processes of a user share, so that a session reads only what it uses, and a process that dies leaves none or a whole
// one. The file is a record as in library_memory_file.h, whose key is the owner and the backend's key; its name is a
// hash of that, and whoever reads it compares the key.
//
// Each owner finds what it kept itself: holders of leases are told apart by their keys, and whoever comes without one
// is the server's user. All are bounded together, and those longest unused go: that costs their owners time, no more.
// What cannot be read or written is as good as not there; a file that is damaged is replaced when its plan is kept
// again.
//
// Threads: any.
#pragma once

#include <array>
#include <atomic>
#include <string>

#include "server/device.h"
#include "server/session/library_memory.h"

namespace accelmesh {

class PlanMemory final : public PlanKeeper {
 public:
  static constexpr std::size_t kPlansMax = 1024;
  static constexpr std::size_t kKeyBytesMax = 48 << 10;
  static constexpr std::size_t kPlanBytesMax = 256 << 10;

  // An empty folder: nothing is remembered.
  explicit PlanMemory(std::string folder, const LibraryMemory::Owner& owner = {}, std::size_t plans_max = kPlansMax)
      : owner_(owner), folder_(std::move(folder)), plans_max_(plans_max) {}

  std::optional<Bytes> Find(ByteView key) override;
  void Keep(ByteView key, ByteView plan) override;

 private:
  Bytes Owned(ByteView key) const;
  std::string PathOf(ByteView owned) const;
  void MakeRoom() const;

  const LibraryMemory::Owner owner_;
  const std::string folder_;
  const std::size_t plans_max_;
  std::atomic<std::uint64_t> kept_{0};
};

}  // namespace accelmesh
