#include "protocol/transport/rdma/ring.h"

#include <algorithm>

#include "protocol/transport/copy.h"

namespace accelmesh::rdma {

std::size_t RingOut::Place(Kind kind, ByteView bytes, std::span<Stretch, 2> stretches) {
  const std::size_t at = tail_ & (capacity_ - 1);
  const std::uint32_t header[2] = {static_cast<std::uint32_t>(bytes.size()), static_cast<std::uint32_t>(kind)};
  std::memcpy(staging_ + at, header, kRecordHeaderBytes);  // never goes round the end: records begin at multiples of 8
  const std::size_t from = (at + kRecordHeaderBytes) & (capacity_ - 1);
  const std::size_t first = std::min(bytes.size(), capacity_ - from);
  CopyBody(staging_ + from, bytes.data(), first);
  CopyBody(staging_, bytes.data() + first, bytes.size() - first);
  const std::uint64_t need = RecordBytes(bytes.size());
  tail_ += need;
  const std::uint64_t until_end = std::min<std::uint64_t>(need, capacity_ - at);
  stretches[0] = {at, static_cast<std::uint32_t>(until_end)};
  if (until_end == need) return 1;
  stretches[1] = {0, static_cast<std::uint32_t>(need - until_end)};
  return 2;
}

bool RingIn::Pop(std::uint8_t* to, std::size_t size_max, Kind& kind, std::size_t& size) {
  const std::uint64_t there = tail_ - head_;
  if (there < kRecordHeaderBytes) return false;
  const std::size_t at = head_ & (capacity_ - 1);
  std::uint32_t header[2];
  std::memcpy(header, data_ + at, kRecordHeaderBytes);  // read once; the peer may change it meanwhile
  const std::size_t claimed = header[0];
  if (claimed > size_max || RecordBytes(claimed) > there) return false;
  if (header[1] < static_cast<std::uint32_t>(Kind::kFrame) || header[1] > static_cast<std::uint32_t>(Kind::kProgress))
    return false;
  const std::size_t from = (at + kRecordHeaderBytes) & (capacity_ - 1);
  const std::size_t first = std::min(claimed, capacity_ - from);
  if (first != 0) std::memcpy(to, data_ + from, first);
  if (first < claimed) std::memcpy(to + first, data_, claimed - first);
  kind = static_cast<Kind>(header[1]);
  size = claimed;
  head_ += RecordBytes(claimed);
  return true;
}

}  // namespace accelmesh::rdma
