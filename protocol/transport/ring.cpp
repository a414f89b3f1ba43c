#include "protocol/transport/ring.h"

namespace accelmesh::shm {
namespace {

constexpr std::size_t kHeaderBytes = sizeof(std::uint64_t);

constexpr std::uint64_t RecordBytes(std::size_t size) { return kHeaderBytes + AlignUp(size, 8); }

}  // namespace

RingStatus RingProducer::TryPush(ByteView bytes) {
  const std::uint64_t need = RecordBytes(bytes.size());
  if (capacity_ - (tail_ - head_seen_) < need) {
    const std::uint64_t head = words_.head.load(std::memory_order_acquire);
    // The consumer never moves back, nor past what we have written.
    if (tail_ - head > tail_ - head_seen_) return RingStatus::kCorrupt;
    head_seen_ = head;
    if (capacity_ - (tail_ - head_seen_) < need) return RingStatus::kNothing;
  }
  const std::size_t at = tail_ & (capacity_ - 1);
  const std::uint64_t size = bytes.size();
  std::memcpy(data_ + at, &size, kHeaderBytes);  // never wraps: records begin at multiples of 8
  const std::size_t from = (at + kHeaderBytes) & (capacity_ - 1);
  const std::size_t first = bytes.size() < capacity_ - from ? bytes.size() : capacity_ - from;
  if (first != 0) std::memcpy(data_ + from, bytes.data(), first);
  if (first < bytes.size()) std::memcpy(data_, bytes.data() + first, bytes.size() - first);
  tail_ += need;
  words_.tail.store(tail_, std::memory_order_seq_cst);
  RingIfWaited(consumer_, consumer_.data_waiters);
  return RingStatus::kOk;
}

bool RingProducer::HasRoom(std::size_t size) const {
  const std::uint64_t used = tail_ - words_.head.load(std::memory_order_seq_cst);
  return used > capacity_ || capacity_ - used >= RecordBytes(size);
}

bool RingConsumer::Available() {
  if (head_ != tail_seen_) return true;
  // Before we report emptiness the producer learns of all room: it may wait for it.
  if (head_ != head_published_) PublishHead();
  tail_seen_ = words_.tail.load(std::memory_order_seq_cst);
  return head_ != tail_seen_;
}

RingStatus RingConsumer::Pop(std::uint8_t* to, std::size_t size_max, std::size_t& size) {
  const std::uint64_t used = tail_seen_ - head_;
  if (used == 0) return RingStatus::kNothing;
  if (used > capacity_ || used < kHeaderBytes || used % 8 != 0) return RingStatus::kCorrupt;
  const std::size_t at = head_ & (capacity_ - 1);
  std::uint64_t claimed = 0;
  std::memcpy(&claimed, data_ + at, kHeaderBytes);  // read once; the peer may change it meanwhile
  if (claimed > size_max || RecordBytes(claimed) > used) return RingStatus::kCorrupt;
  const std::size_t from = (at + kHeaderBytes) & (capacity_ - 1);
  const std::size_t first = claimed < capacity_ - from ? claimed : capacity_ - from;
  if (first != 0) std::memcpy(to, data_ + from, first);
  if (first < claimed) std::memcpy(to + first, data_, claimed - first);
  size = claimed;
  head_ += RecordBytes(claimed);
  // Publishing seldom keeps the producer's cache line and the fence out of the path of small records.
  if (head_ - head_published_ >= capacity_ / 4) PublishHead();
  return RingStatus::kOk;
}

void RingConsumer::PublishHead() {
  head_published_ = head_;
  words_.head.store(head_, std::memory_order_seq_cst);
  RingIfWaited(producer_, producer_.room_waiters);
}

}  // namespace accelmesh::shm
