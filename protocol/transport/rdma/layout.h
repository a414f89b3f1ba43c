// What each end of an rdma session registers, and how the ends tell each other where it is.
//
// Every end has one block of memory, in three parts with a registration each:
//
//     outbox words  what this end says of itself; the peer may read it            (remote read)
//     inbox         the peer's words, and the rings and the arena into which
//                   the peer writes                                               (remote write)
//     staging       copies of the rings and of the arena that lie at the peer,
//                   where its pieces are written from; what was read of its words (nobody else's)
//
// The server's inbox holds the command, side and body rings, the client's the down ring; both hold an arena. A server
// may have a landing besides: an arena for bodies that go to a device, in its memory (direct.h). Nothing else of a
// process can be reached by its peer. Threads: see End.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"
#include "protocol/transport/rdma/ring.h"
#include "protocol/transport/rdma/units.h"

namespace accelmesh::rdma {

enum class Role : std::uint8_t { kClient, kServer };

inline constexpr std::size_t kRings = 3;
// Of the server's inbox; in the client's, ring 0 is the down ring and there are no others.
enum RingIndex : std::size_t { kCommandRing = 0, kSideRing = 1, kBodyRing = 2, kDownRing = 0 };

inline constexpr std::size_t kFrameRingBytes = 2 * limits::kMiB;
// Announcements under way never exceed the units of an arena.
inline constexpr std::size_t kBodyRingBytes = 16 * limits::kKiB;
inline constexpr std::size_t kArenaBytes = kUnits * kUnitBytes;
inline constexpr std::size_t kLandingBytes = kLandingUnits * kUnitBytes;
// Pieces of work under way at a time.
inline constexpr std::uint32_t kWorkMax = 256;
// Wakes that may be under way to an end.
inline constexpr std::uint32_t kReceives = 64;

// What an end says of itself, written into the peer's inbox whole, by one inline write, after everything that it
// counts. All values but the bits of `released` only grow.
struct Words {
  std::atomic<std::uint64_t> tail[kRings] = {};          // put into the peer's rings
  std::atomic<std::uint64_t> head[kRings] = {};          // taken out of the own rings
  std::atomic<std::uint64_t> released[kUnitWords] = {};  // units.h
  std::atomic<std::uint64_t> landing_released{0};        // units.h
  std::atomic<std::uint64_t> acknowledged{0};            // server: ProgressPage::acknowledged
  std::atomic<std::uint32_t> receives{0};  // posted so far: how many wakes this end has taken, plus kReceives
  std::atomic<std::uint32_t> sleeps{0};    // times that it went to sleep: the peer wakes it once for each
  std::atomic<std::uint32_t> closed{0};    // 1: it has ended the connection
  std::atomic<std::uint32_t> where{0};     // where.h
};
static_assert(sizeof(Words) == 96);
static_assert(kLandingUnits == 64);
static_assert(kBodyRingBytes >= 2 * (kUnits + kLandingUnits) * RecordBytes(24));

// Units from kUnits on are those of the landing.
constexpr bool IsLandingUnit(std::uint32_t unit) { return unit >= kUnits; }
// Where one of those lies within the landing.
constexpr std::size_t LandingOffset(std::uint32_t unit) { return (unit - kUnits) * kUnitBytes; }

// A record of kind kBody: a body (or a piece of one) lies in the arena, or in the landing, from `first_unit` on.
struct Announcement {
  std::uint64_t token = 0;
  std::uint64_t offset = 0;  // down only
  std::uint32_t first_unit = 0;
  std::uint32_t size = 0;
};
static_assert(sizeof(Announcement) == 24);
inline bool IsInArena(const Announcement& body) {
  return body.size <= limits::kBulkBytesMax && !IsLandingUnit(body.first_unit) &&
         UnitsFor(body.size) <= kUnits - body.first_unit;
}
inline bool IsInLanding(const Announcement& body) {
  return body.size <= limits::kBulkBytesMax && IsLandingUnit(body.first_unit) &&
         body.first_unit - kUnits < kLandingUnits && UnitsFor(body.size) <= kLandingUnits - (body.first_unit - kUnits);
}

// A record of kind kLanding, once at most: the server has one of kLandingBytes there.
struct LandingPlace {
  std::uint64_t address = 0;
  std::uint32_t key = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(LandingPlace) == 16);

// Where things lie within an inbox and within a staging part, by whose inbox it is.
constexpr std::size_t RingBytes(std::size_t ring) { return ring == kBodyRing ? kBodyRingBytes : kFrameRingBytes; }
constexpr std::size_t RingsOf(Role owner) { return owner == Role::kServer ? kRings : 1; }
constexpr std::size_t kWordsBytes = 4096;
constexpr std::size_t RingOffset(std::size_t ring) {
  std::size_t offset = kWordsBytes;
  for (std::size_t before = 0; before < ring; ++before) offset += RingBytes(before);
  return offset;
}
constexpr std::size_t ArenaOffset(Role owner) { return RingOffset(RingsOf(owner)); }
constexpr std::size_t InboxBytes(Role owner) { return ArenaOffset(owner) + kArenaBytes; }
// A client's staging has room behind that for what goes to the landing.
constexpr std::size_t StagingBytes(Role owner) {
  return owner == Role::kClient ? InboxBytes(Role::kServer) + kLandingBytes : InboxBytes(Role::kClient);
}

// The block of one end. Not inherited by fork.
class Block {
 public:
  static Result<std::unique_ptr<Block>> Create(Role role);
  ~Block();
  Block(const Block&) = delete;

  Role role() const { return role_; }
  Role peer() const { return role_ == Role::kClient ? Role::kServer : Role::kClient; }

  MutableByteView outbox() { return {base_, kWordsBytes}; }
  MutableByteView inbox() { return {base_ + kWordsBytes, InboxBytes(role_)}; }
  // Laid out as the peer's inbox; its words are a copy of the peer's outbox.
  MutableByteView staging() { return {base_ + kWordsBytes + InboxBytes(role_), StagingBytes(role_)}; }

  Words& mine() { return *reinterpret_cast<Words*>(base_); }
  Words& peers() { return *reinterpret_cast<Words*>(inbox().data()); }
  Words& looked() { return *reinterpret_cast<Words*>(staging().data()); }

 private:
  Block(Role role, std::uint8_t* base) : role_(role), base_(base) {}
  std::size_t bytes() const { return BytesOf(role_); }
  static constexpr std::size_t BytesOf(Role role) { return kWordsBytes + InboxBytes(role) + StagingBytes(role); }

  const Role role_;
  std::uint8_t* const base_;
};

// Private data of the connection's request and of its answer: who is speaking, and where its block is. A request has 56
// bytes of room.
struct Greeting {
  std::uint64_t magic = kMagic;
  std::uint8_t mark[16] = {};  // proves that the sender knows the session's secret, without telling it
  std::uint64_t inbox = 0;
  std::uint64_t outbox = 0;
  std::uint32_t inbox_key = 0;
  std::uint32_t outbox_key = 0;
  static constexpr std::uint64_t kMagic = 0x3230414d44524d41;  // the layout's version is part of it
};
static_assert(sizeof(Greeting) == 48);

// kPermissionDenied if the mark is not the one expected, kVersionMismatch if the other end is of another release,
// kBadFrame if it is no greeting. Takes as long for a wrong mark as for the right one.
Result<Greeting> ReadGreeting(ByteView bytes, std::span<const std::uint8_t, 16> mark);

}  // namespace accelmesh::rdma
