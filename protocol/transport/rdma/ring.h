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
// A position that the peer writes is read while the network writes it, byte by byte on some devices, so that a reader
// may see a mixture of the old value and the new one. Positions only grow: a claim that goes back, or past what is
// possible, is not believed and the next look decides. A claim that stays impossible is a peer that lies
// (End::CheckClaims). Threads: each half belongs to one at a time.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "protocol/base/bytes.h"

namespace accelmesh::rdma {

enum class Kind : std::uint32_t { kFrame = 1, kBody = 2, kProgress = 3 };

inline constexpr std::size_t kRecordHeaderBytes = 8;
constexpr std::uint64_t RecordBytes(std::size_t size) { return kRecordHeaderBytes + AlignUp(size, 8); }

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
  bool Available() const { return head_ != tail_; }
  // Copies the next record to `to`. False if it is none: longer than `size_max` or than what is there, or of no kind.
  // Precondition: Available().
  bool Pop(std::uint8_t* to, std::size_t size_max, Kind& kind, std::size_t& size);
  std::uint64_t head() const { return head_; }
  std::uint64_t tail() const { return tail_; }

 private:
  const std::uint8_t* const data_;
  const std::size_t capacity_;
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
};

}  // namespace accelmesh::rdma
