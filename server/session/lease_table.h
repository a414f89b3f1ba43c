// What a session of a lease lets the others know: the head of the file that its device memory lies in. The session's
// own worker exports, the workers of the lease that open something map this, and the supervisor maps it to clear up
// behind a worker that has ended. Clients reach none of it.
//
// Threads and processes: every field that changes while others look is atomic; a generation is written last and
// identifies what the fields around it mean. Units: bytes; offsets from the start of the file.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "protocol/base/limits.h"

namespace accelmesh {

struct LeaseTable {
  // The window's first byte lies here in the file.
  static constexpr std::uint64_t kBytes = 2 * limits::kMiB;

  // A member's bit in `holders`.
  static constexpr std::size_t kHolderWords = limits::kSessionsMax / 64;

  struct Memory {
    std::atomic<std::uint64_t> generation;  // 0: nothing may open it
    std::atomic<std::uint64_t> offset;      // of its span in this file
    std::atomic<std::uint64_t> span;
    std::atomic<std::uint64_t> lead;  // of the allocation in that
    std::atomic<std::uint64_t> bytes;
    std::atomic<std::uint32_t> device;
    std::atomic<std::uint32_t> pieces;  // of other files, that the supervisor has; 0: it lies in this one
    std::array<std::atomic<std::uint64_t>, kHolderWords> holders;  // members that have it open

    bool is_held() const {
      for (const auto& word : holders) {
        if (word.load(std::memory_order_seq_cst) != 0) return true;
      }
      return false;
    }
    void Hold(std::uint32_t member) { holders[member / 64].fetch_or(Bit(member), std::memory_order_seq_cst); }
    void LetGo(std::uint32_t member) { holders[member / 64].fetch_and(~Bit(member), std::memory_order_seq_cst); }

   private:
    static std::uint64_t Bit(std::uint32_t member) { return std::uint64_t{1} << (member % 64); }
  };

  // Records of an event are numbered from 1; it stands for the last one, wherever in the lease that was.
  struct Event {
    std::atomic<std::uint64_t> generation;  // 0: there is none
    std::atomic<std::uint64_t> recorded;
    std::atomic<std::uint64_t> completed;
    std::atomic<std::uint32_t> recorder;  // the member of the last record, and 1

    void Complete(std::uint64_t ticket) {
      std::uint64_t last = completed.load(std::memory_order_relaxed);
      while (last < ticket && !completed.compare_exchange_weak(last, ticket, std::memory_order_release)) {
      }
    }
  };

  std::atomic<std::uint32_t> is_ended;  // the session
  std::array<Memory, 4096> memory;
  std::array<Event, 4096> events;
};

static_assert(sizeof(LeaseTable) <= LeaseTable::kBytes);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace accelmesh
