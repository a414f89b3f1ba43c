// What a stream's later work is known to be behind, by events and by the legacy stream: whether memory that was freed
// on one stream may be given out again on another before the first has got that far.
//
// It errs on the side of "no": a dependency that it does not see costs memory, one that it invents costs data.
// Threads: none; the owner locks, and tells of commands in the order in which it posts them. Units: sequence numbers of
// the session's command stream.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace accelmesh {

inline constexpr std::uint32_t kNoSlot = ~std::uint32_t{0};

// A stream by its slot, and the slot of the legacy stream that it waits for and that waits for it: its own for the
// legacy stream itself, kNoSlot for a non-blocking one.
struct StreamName {
  std::uint32_t slot = kNoSlot;
  std::uint32_t legacy = kNoSlot;
};

// A command's place in the order: the stream it is on, and its sequence number. With kNoSlot: every stream's work up to
// that number.
struct StreamPoint {
  StreamName stream;
  std::uint64_t sequence = 0;
};

class StreamOrder {
 public:
  // The command `point` recorded `event`. `legacy_last`: the last command before it of the stream's legacy stream.
  void Recorded(std::uint32_t event, const StreamPoint& point, std::uint64_t legacy_last);
  // The next commands of `stream` wait for what `event` recorded last.
  void Waited(std::uint32_t event, const StreamName& stream);
  // Whether what is posted to `stream` from now on runs after the command `point`.
  bool IsBehind(const StreamName& stream, std::uint64_t legacy_last, const StreamPoint& point) const;

 private:
  // The last known command of each stream that is waited for.
  using Row = std::vector<StreamPoint>;
  static void Merge(Row& row, const StreamPoint& point);

  // More than a program uses; past it the oldest is forgotten.
  static constexpr std::size_t kKnownMax = 64;

  std::unordered_map<std::uint32_t, Row> behind_;   // by slot
  std::unordered_map<std::uint32_t, Row> records_;  // by event
};

}  // namespace accelmesh
