// Streams and events as the session holds them. Their pointers are the program's handles.
//
// Threads: what is atomic changes at any time, the rest only before the program knows the handle.
#pragma once

#include <atomic>
#include <cstdint>

#include "protocol/base/limits.h"
#include "protocol/gen_commands.h"

namespace accelmesh {

struct Stream {
  static std::uint64_t TakeId() {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
  }

  const std::uint64_t id = TakeId();  // no other stream of the process has or had it
  std::uint32_t slot = 0;
  std::uint32_t device = 0;
  wire::StreamKind kind = wire::StreamKind::Legacy;
  int priority = 0;
  unsigned flags = 0;
  bool outlives_reset = false;  // no handle of the program's: the session's own, the default one of a thread
  std::atomic<std::uint64_t> last_sequence{0};
};

// So far has a stream come.
struct StreamPosition {
  std::uint32_t slot;
  std::uint64_t sequence;
};

struct Event {
  std::uint32_t id = 0;
  std::uint32_t device = 0;
  bool timing = true;
  bool outlives_reset = false;  // the session's own
  bool is_leased = false;       // other sessions of the lease may record it: the server is asked how it stands
  bool is_opened = false;       // made by another session
  wire::LeaseName name;         // if it is leased
  // What the last record put it behind, in one word, so that asking takes no lock: the stream's slot in the upper bits,
  // the sequence below. 0: never recorded.
  std::atomic<std::uint64_t> record{0};

  static constexpr unsigned kSequenceBits = 52;
  static_assert(limits::kStreamsMax <= 1u << (64 - kSequenceBits));
  static std::uint64_t SequenceOf(std::uint64_t record) { return record & ((std::uint64_t{1} << kSequenceBits) - 1); }
  static std::uint32_t SlotOf(std::uint64_t record) { return static_cast<std::uint32_t>(record >> kSequenceBits); }
  bool recorded() const { return record.load(std::memory_order_acquire) != 0; }
};

}  // namespace accelmesh
