// Which chunks of physical memory back a device's part of the window, as bookkeeping only: no driver is known here.
//
// The part is cut into cells. Clients pick addresses anywhere in it; a cell that an allocation touches is backed by a
// chunk: a run of cells mapped as one, because a driver maps and unmaps a handle as a whole (SEMANTICS.md 1). The cells
// that a new allocation needs and that are not backed yet become one chunk for each unbroken run of them: a large
// request gets one handle of its size, small ones share a cell. A chunk outlives its allocations, so that the next one
// there costs nothing; it is taken away only if its memory is needed elsewhere.
// Threads: none; the owner locks. Units: bytes. Addresses are device addresses.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "protocol/base/limits.h"

namespace accelmesh::cuda {

class ChunkTable {
 public:
  static constexpr std::uint64_t kCellBytes = 32 * limits::kMiB;

  // `base` and `bytes` are whole cells; at most `budget_bytes` are backed at a time.
  ChunkTable(std::uint64_t base, std::uint64_t bytes, std::uint64_t budget_bytes)
      : base_(base), bytes_(bytes), budget_bytes_(budget_bytes) {}

  struct Chunk {
    std::uint64_t address = 0;
    std::uint64_t bytes = 0;
    std::uint64_t handle = 0;  // the driver's
    std::uint64_t id = 0;      // of what backs it, in this process; never that of another
    std::uint32_t live = 0;    // allocations that touch it
    bool is_backed = false;
    bool is_hopeless = false;  // there was no memory for it
  };
  struct Run {
    std::uint64_t address = 0;
    std::uint64_t bytes = 0;
  };

  // Notes an allocation inside of the part. What it returns has to be backed: Backed() or Unbackable()
  // follows for each.
  std::vector<Run> Allocate(std::uint64_t address, std::uint64_t bytes);
  void Backed(std::uint64_t address, std::uint64_t handle);
  // There is no memory for the chunk: it goes with its last allocation, or is tried again for the next one.
  void Unbackable(std::uint64_t address);
  // Ends the allocation that starts at `address`, if there is one. The chunks that have none left, by address.
  std::vector<std::uint64_t> Free(std::uint64_t address);

  // Those that the allocation of `bytes` at `address` lies in, by address.
  std::vector<Chunk> Under(std::uint64_t address, std::uint64_t bytes);

  // Whether `bytes` more stay inside the budget.
  bool Fits(std::uint64_t bytes) const { return backed_bytes_ + bytes <= budget_bytes_; }
  // Takes the chunk that has been without an allocation for longest, among those that `may_go` lets go.
  std::optional<Chunk> TakeIdle(const std::function<bool(const Chunk&)>& may_go);
  bool any_idle() const { return !idle_.empty(); }
  // All chunks, at the end.
  std::vector<Chunk> TakeAll();

  std::uint64_t backed_bytes() const { return backed_bytes_; }

 private:
  void Erase(std::map<std::uint64_t, Chunk>::iterator chunk);
  // The chunk that holds `address`, or the first behind it.
  std::map<std::uint64_t, Chunk>::iterator AtOrBehind(std::uint64_t address);

  std::uint64_t base_;
  std::uint64_t bytes_;
  std::uint64_t budget_bytes_;
  std::uint64_t backed_bytes_ = 0;
  std::map<std::uint64_t, Chunk> chunks_;                         // by address; they never overlap
  std::unordered_map<std::uint64_t, std::uint64_t> allocations_;  // address -> bytes
  std::list<std::uint64_t> idle_;                                 // chunks without an allocation, longest first
};

}  // namespace accelmesh::cuda
