#include "protocol/transport/rdma/ring.h"

#include <algorithm>
#include <atomic>

#include "protocol/transport/copy.h"

namespace accelmesh::rdma {
namespace {

// Of a record that was not written whole, or lies elsewhere, it is another one, but for one in 2^64. A peer may make it
// what it likes: it may write what it likes.
constexpr std::uint64_t Checked(std::uint64_t check, std::uint64_t word) {
  const std::uint64_t mixed = (check ^ word) * 0x9e3779b97f4a7c15;
  return mixed ^ (mixed >> 32);
}

}  // namespace

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

Stretch RingOut::PlaceLone(Kind kind, ByteView bytes, const Told& told) {
  const std::size_t at = tail_ & (capacity_ - 1);
  const std::uint64_t need = LoneRecordBytes(bytes.size());
  std::uint64_t words[kLoneBytesMax / 8] = {};
  words[0] = bytes.size() | std::uint64_t{static_cast<std::uint32_t>(kind)} << 32 | RingIn::StampOf(tail_) << 40;
  words[2] = told.head;
  words[3] = told.acknowledged;
  if (!bytes.empty()) std::memcpy(&words[kLoneHeaderBytes / 8], bytes.data(), bytes.size());
  std::uint64_t check = Checked(tail_, words[0]);
  for (std::size_t i = 2; i < need / 8; ++i) check = Checked(check, words[i]);
  words[1] = check;
  std::memcpy(staging_ + at, words, need);
  tail_ += need;
  return {at, static_cast<std::uint32_t>(need)};
}

std::uint64_t RingIn::Load(std::uint64_t position) const {
  auto* const at = const_cast<std::uint8_t*>(data_ + (position & (capacity_ - 1)));
  return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(at)).load(std::memory_order_acquire);
}

bool RingIn::LookAtLone(std::uint64_t first, Told& told) {
  const std::uint64_t need = LoneRecordBytes(static_cast<std::uint32_t>(first));
  const std::uint64_t free = capacity_ - std::max<std::uint64_t>(tail_ - head_, tail_ & (capacity_ - 1));
  if (need > std::min<std::uint64_t>(free, kLoneBytesMax)) return false;
  std::uint64_t check = Checked(tail_, first);
  for (std::uint64_t at = 16; at < need; at += 8) {
    const std::uint64_t word = Load(tail_ + at);
    check = Checked(check, word);
    if (at == 16) told.head = word;
    if (at == 24) told.acknowledged = word;
  }
  if (Load(tail_ + 8) != check) return false;
  tail_ += need;
  return true;
}

RingIn::Header RingIn::ReadHeader() const {
  std::uint32_t words[2];
  std::memcpy(words, data_ + (head_ & (capacity_ - 1)), kRecordHeaderBytes);  // read once; the peer may change it
  Header header{words[0], words[1] & 0xff, (words[1] >> 8) != 0 ? kLoneHeaderBytes : kRecordHeaderBytes, 0};
  header.need = header.header_bytes + AlignUp(header.size, 8);
  return header;
}

bool RingIn::EndsWithin() const {
  const std::uint64_t there = tail_ - head_;
  if (there < kRecordHeaderBytes) return false;
  const std::uint64_t need = ReadHeader().need;
  return need > there && need <= capacity_;
}

bool RingIn::Pop(std::uint8_t* to, std::size_t size_max, Kind& kind, std::size_t& size) {
  const std::uint64_t there = tail_ - head_;
  if (there < kRecordHeaderBytes) return false;
  const Header header = ReadHeader();
  if (header.size > size_max || header.need > there) return false;
  if (header.kind < static_cast<std::uint32_t>(Kind::kFrame) ||
      header.kind > static_cast<std::uint32_t>(Kind::kLanding))
    return false;
  const std::size_t from = (head_ + header.header_bytes) & (capacity_ - 1);
  const std::size_t first = std::min(header.size, capacity_ - from);
  if (first != 0) std::memcpy(to, data_ + from, first);
  if (first < header.size) std::memcpy(to + first, data_, header.size - first);
  kind = static_cast<Kind>(header.kind);
  size = header.size;
  head_ += header.need;
  return true;
}

}  // namespace accelmesh::rdma
