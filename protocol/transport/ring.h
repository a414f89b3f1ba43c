// A lock-free byte ring for one producer and one consumer in two processes that do not trust each other.
//
// Layout in shared memory: RingWords, and `capacity` data bytes (a power of two). head and tail count bytes since the
// beginning and never wrap around in practice (2^64). A record is
//
//     size:u64  bytes[size]  zero to seven bytes up to the next multiple of 8
//
// Each end keeps its own counter privately and only publishes it; the other's counter is a claim that is checked
// before use. So a peer that scribbles can spoil its own data, and end the connection, but can never lead an access
// outside of the ring or of the private buffer a record is copied into.
// Threads: one at a time per end (channels put a process-local mutex around a producer).
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "protocol/base/bytes.h"
#include "protocol/transport/doorbell.h"

namespace accelmesh::shm {

struct RingWords {
  alignas(64) std::atomic<std::uint64_t> tail{0};  // written by the producer
  alignas(64) std::atomic<std::uint64_t> head{0};  // written by the consumer
};

enum class RingStatus { kOk, kNothing, kCorrupt };  // kNothing: no room to push, or nothing to pop

class RingProducer {
 public:
  RingProducer(RingWords& words, std::uint8_t* data, std::size_t capacity, Side& consumer)
      : words_(words), data_(data), capacity_(capacity), consumer_(consumer) {}
  RingProducer(const RingProducer&) = delete;

  // Appends a record and wakes the consumer if it sleeps. Precondition: `bytes` fits an empty ring.
  RingStatus TryPush(ByteView bytes);
  // Whether TryPush() of that many bytes would find room (or corruption).
  bool HasRoom(std::size_t size) const;

 private:
  RingWords& words_;
  std::uint8_t* const data_;
  const std::size_t capacity_;
  Side& consumer_;
  std::uint64_t tail_ = 0;
  std::uint64_t head_seen_ = 0;  // the last head the consumer published, as far as we looked
};

class RingConsumer {
 public:
  RingConsumer(RingWords& words, const std::uint8_t* data, std::size_t capacity, Side& producer)
      : words_(words), data_(data), capacity_(capacity), producer_(producer) {}
  RingConsumer(const RingConsumer&) = delete;

  // Whether there is a record (or corruption) to Pop(). Looks at shared memory only when the known ones are used up.
  bool Available();
  // Looks at shared memory in any case; records pushed before are counted by Known() afterwards.
  void Refresh() { tail_seen_ = words_.tail.load(std::memory_order_acquire); }
  bool Known() const { return head_ != tail_seen_; }
  // Copies the next record to `to` and sets `size`. A record longer than `size_max` is corruption. Looks only at
  // records that Available() or Refresh() found.
  RingStatus Pop(std::uint8_t* to, std::size_t size_max, std::size_t& size);

 private:
  void PublishHead();

  RingWords& words_;
  const std::uint8_t* const data_;
  const std::size_t capacity_;
  Side& producer_;
  std::uint64_t head_ = 0;
  std::uint64_t head_published_ = 0;
  std::uint64_t tail_seen_ = 0;
};

}  // namespace accelmesh::shm
