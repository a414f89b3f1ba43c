// The two halves of a ring that lies in the consumer's memory and is written by RDMA: what goes where, and what of the
// other side's claims is believed. Pure: no memory of a peer is read or written here.
//
// A record is
//
//     size:u32  kind:u32  bytes[size]  zero to seven bytes up to the next multiple of 8
//
// Positions count bytes since the beginning. The producer keeps a copy of the ring in its own memory (the staging
// copy), from which the records are written to the same places of the consumer's; a place may be filled again once the
// consumer has taken what was there, which also proves that it had arrived.
//
// One of few bytes announces itself, so that it needs no position written behind it (a lone record):
//
//     size:u32  kind:u8  stamp:u24  check:u64  head:u64  acknowledged:u64  bytes[size]  zeros up to a multiple of 8
//
// It lies in one piece. The stamp is of its position, and what lay there a round earlier has another; the check word is
// over everything and the position. While it does not fit, the record is not there yet, in whatever order a device
// writes its bytes. What else the sender has to say goes with it: how far it has taken the ring in the other direction,
// and what it acknowledges.
//
// A position that the peer writes is read while the network writes it, byte by byte on some devices, so that a reader
// may see a mixture of the old value and the new one. Positions only grow: a claim that goes back, or past what is
// possible, is not believed and the next look decides. One that lies between the two is: all before it is there, but it
// may end within a record, which is there once the position itself is seen. A claim that stays impossible is a peer
// that lies (End::CheckClaims). Threads: each half belongs to one at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

#include "protocol/base/bytes.h"

namespace accelmesh::rdma {

enum class Kind : std::uint32_t { kFrame = 1, kBody = 2, kProgress = 3, kLanding = 4 };

inline constexpr std::size_t kRecordHeaderBytes = 8;
constexpr std::uint64_t RecordBytes(std::size_t size) { return kRecordHeaderBytes + AlignUp(size, 8); }

inline constexpr std::size_t kLoneHeaderBytes = 32;
inline constexpr std::size_t kLoneBytesMax = 256;
constexpr std::uint64_t LoneRecordBytes(std::size_t size) { return kLoneHeaderBytes + AlignUp(size, 8); }

// What goes with a lone record.
struct Told {
  std::uint64_t head = 0;  // of ring 0 of the sender's inbox
  std::uint64_t acknowledged = 0;
};

// A piece of a ring: to be written to the same place of the peer's copy.
struct Stretch {
  std::uint64_t at = 0;
  std::uint32_t bytes = 0;
};

class RingOut {
 public:
  // `staging` has `capacity` bytes, a power of two.
  RingOut(std::uint8_t* staging, std::size_t capacity) : staging_(staging), capacity_(capacity) {}

  // The consumer says that it has taken everything up to `head`. False if that cannot be.
  bool Learn(std::uint64_t head) {
    if (head > tail_) return false;
    if (head > head_) head_ = head;
    return true;
  }
  bool HasRoom(std::size_t size) const { return capacity_ - (tail_ - head_) >= RecordBytes(size); }
  // Copies a record into the staging copy and says what is to be written: one stretch, or two if it goes round the end.
  // Precondition: HasRoom().
  std::size_t Place(Kind kind, ByteView bytes, std::span<Stretch, 2> stretches);
  // Whether there is room for a lone record: in one piece, without going round the end.
  bool HasRoomForLone(std::size_t size) const {
    const std::uint64_t need = LoneRecordBytes(size);
    return need <= kLoneBytesMax && capacity_ - std::max<std::uint64_t>(tail_ - head_, tail_ & (capacity_ - 1)) >= need;
  }
  // Precondition: HasRoomForLone().
  Stretch PlaceLone(Kind kind, ByteView bytes, const Told& told);
  std::uint64_t tail() const { return tail_; }
  std::uint64_t unread() const { return tail_ - head_; }
  const std::uint8_t* staging() const { return staging_; }

 private:
  std::uint8_t* const staging_;
  const std::size_t capacity_;
  std::uint64_t tail_ = 0;
  std::uint64_t head_ = 0;
};

class RingIn {
 public:
  RingIn(const std::uint8_t* data, std::size_t capacity) : data_(data), capacity_(capacity) {}

  // The producer says that everything up to `tail` is there. False if that cannot be.
  bool Learn(std::uint64_t tail) {
    if (tail <= tail_) return true;  // old, or a mixture
    if (tail - head_ > capacity_ || tail % 8 != 0) return false;
    tail_ = tail;
    return true;
  }
  // Whether a lone record lies behind what is known to be there; from then on it is known, and so is what came with it.
  bool Look(Told& told) {
    const std::uint64_t first = Load(tail_);
    return (first >> 40) == StampOf(tail_) && LookAtLone(first, told);
  }
  // Whether the next record is there, or what cannot be one.
  bool Available() const { return head_ != tail_ && !EndsWithin(); }
  // What is said to be there ends within a record: for a moment, or the peer lies.
  bool EndsWithin() const;
  // Copies the next record to `to`. False if it is none: longer than `size_max` or than what is there, or of no kind.
  // Precondition: Available().
  bool Pop(std::uint8_t* to, std::size_t size_max, Kind& kind, std::size_t& size);
  std::uint64_t head() const { return head_; }
  std::uint64_t tail() const { return tail_; }

 private:
  friend class RingOut;
  // In the upper 24 bits of a lone record's first word; those of other records are zero.
  static constexpr std::uint64_t StampOf(std::uint64_t position) { return 0x800000 | ((position / 8) & 0x7fffff); }
  // The network writes meanwhile.
  std::uint64_t Load(std::uint64_t position) const;
  bool LookAtLone(std::uint64_t first, Told& told);
  // Of the record at head_, by its header. Precondition: that is there.
  struct Header {
    std::size_t size = 0;
    std::uint32_t kind = 0;
    std::size_t header_bytes = 0;
    std::uint64_t need = 0;
  };
  Header ReadHeader() const;

  const std::uint8_t* const data_;
  const std::size_t capacity_;
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
};

}  // namespace accelmesh::rdma
