// What client and worker of an shm session share: one sealed memfd, made by the worker, mapped by both.
//
//     Shared | command ring | side ring | down ring | up announcements | down announcements | up arena | down arena
//
// The client maps all of it writable, the progress page too: progress that was held back for a body (rule of landing)
// is let through by whoever lands the body, which is the client. It can only deceive itself by writing there.
// Threads: see the parts.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "protocol/base/result.h"
#include "protocol/transport/channel.h"
#include "protocol/transport/doorbell.h"
#include "protocol/transport/ring.h"
#include "protocol/transport/slots.h"

namespace accelmesh::shm {

inline constexpr std::uint64_t kMagic = 0x31304d4853454d41;  // "AMESHM01": the layout's version is part of it

enum RingIndex { kCommandRing = 0, kSideRing = 1, kDownRing = 2, kUpBulkRing = 3, kDownBulkRing = 4, kRings = 5 };

inline constexpr std::size_t kFrameRingBytes = 2 * limits::kMiB;
// Announcements in flight never exceed the units of an arena: every one names a run of its own.
inline constexpr std::size_t kBulkRingBytes = 64 * limits::kKiB;
static_assert(kFrameRingBytes >= limits::kFrameBytesMax + 8);

// A record of an announcement ring: a body (or piece) lies in the arena from `first_unit` on.
struct Announcement {
  std::uint64_t token = 0;
  std::uint64_t offset = 0;  // down only
  std::uint32_t first_unit = 0;
  std::uint32_t size = 0;
};
static_assert(kBulkRingBytes >= kUnits * (8 + sizeof(Announcement)));

struct Shared {
  std::uint64_t magic = kMagic;
  Side client;
  Side server;
  RingWords rings[kRings];
  // Grows with whatever the server publishes, so that a waiting client looks at one word.
  alignas(64) std::atomic<std::uint64_t> progress_version{0};
  // Pieces of bulk that the client has landed (or dropped, if nobody expects them any more).
  alignas(64) std::atomic<std::uint64_t> pieces_landed{0};
  std::atomic<std::uint64_t> frames_taken{0};  // of the down lane, handed on by the client
  alignas(64) ProgressPage progress;
  // Values of completed[] that wait for pieces to land and frames to be taken; `held_streams` has a bit for each that
  // was written.
  alignas(64) std::atomic<std::uint64_t> held_streams[limits::kStreamsMax / 64];
  std::atomic<std::uint64_t> held_completed[limits::kStreamsMax];
  alignas(64) ReleasedFlags up_released;
  alignas(64) ReleasedFlags down_released;
};

inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::size_t kSharedBytes = AlignUp(sizeof(Shared), kPageBytes);
inline constexpr std::size_t kArenaBytes = kUnits * kUnitBytes;
inline constexpr std::size_t kMemoryBytes = kSharedBytes + 3 * kFrameRingBytes + 2 * kBulkRingBytes + 2 * kArenaBytes;

// The mapping of one side. Kept alive by channels and by bodies that are read in place.
class Memory {
 public:
  // The worker's: makes, seals and maps a memfd; `fd()` is to be passed to the client.
  static Result<std::shared_ptr<Memory>> Create();
  // The client's: takes over `fd`, maps it after its seals and size have been checked. Not inherited by fork.
  static Result<std::shared_ptr<Memory>> Attach(int fd);
  ~Memory();
  Memory(const Memory&) = delete;

  int fd() const { return fd_; }
  Shared& shared() const { return *reinterpret_cast<Shared*>(base_); }
  std::uint8_t* RingData(RingIndex index) const;
  static std::size_t RingBytes(RingIndex index) { return index >= kUpBulkRing ? kBulkRingBytes : kFrameRingBytes; }
  std::uint8_t* up_arena() const { return base_ + kMemoryBytes - 2 * kArenaBytes; }
  std::uint8_t* down_arena() const { return base_ + kMemoryBytes - kArenaBytes; }

 private:
  Memory(int fd, std::uint8_t* base) : fd_(fd), base_(base) {}

  int fd_;
  std::uint8_t* base_;
};

// Whether an announcement names a run inside the arena.
inline bool IsInArena(const Announcement& body) {
  return body.size <= limits::kBulkBytesMax && body.first_unit < kUnits &&
         UnitsFor(body.size) <= kUnits - body.first_unit;
}

}  // namespace accelmesh::shm
