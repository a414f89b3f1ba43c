#include "protocol/transport/bulk_record.h"

#include <algorithm>
#include <string>

#include "protocol/base/limits.h"

namespace accelmesh {
namespace {

constexpr std::uint32_t kMagic = 0x31424d41;  // "AMB1"
// Opened while it is in the cache.
constexpr std::size_t kSealedPieceBytes = 256 * limits::kKiB;

Status Bad(const std::string& what) { return {Code::kBadFrame, "BulkReader", what}; }

}  // namespace

std::array<std::uint8_t, kBulkHeaderBytes> WriteBulkHeader(const BulkHeader& header) {
  std::array<std::uint8_t, kBulkHeaderBytes> bytes;
  std::memcpy(bytes.data(), &kMagic, 4);
  std::memcpy(bytes.data() + 4, &header.bytes, 4);
  std::memcpy(bytes.data() + 8, &header.token, 8);
  std::memcpy(bytes.data() + 16, &header.offset, 8);
  return bytes;
}

Result<BulkHeader> ReadBulkHeader(ByteView bytes) {
  std::uint32_t magic = 0;
  BulkHeader header;
  if (bytes.size() != kBulkHeaderBytes) return Bad("a header of another size");
  std::memcpy(&magic, bytes.data(), 4);
  std::memcpy(&header.bytes, bytes.data() + 4, 4);
  std::memcpy(&header.token, bytes.data() + 8, 8);
  std::memcpy(&header.offset, bytes.data() + 16, 8);
  if (magic != kMagic) return Bad("what came on the bulk lane is no body");
  if (header.bytes > limits::kBulkBytesMax) {
    return Bad("a body of " + std::to_string(header.bytes) + " bytes; one has at most " +
               std::to_string(limits::kBulkBytesMax));
  }
  return header;
}

Result<std::size_t> BulkReader::Read(BulkSource& source, BulkSink& sink, std::size_t records) {
  std::size_t ended = 0;
  for (bool more = true; more && ended < records;) {
    Result<bool> read = state_ == State::kBody ? ReadBody(source, sink, ended) : ReadBetween(source, sink, ended);
    if (!read.ok()) {
      // What was whole before the end counts; the end is told by the next call.
      if (read.code() == Code::kClosed && ended > 0) return ended;
      return read.status();
    }
    more = *read;
  }
  return ended;
}

Result<bool> BulkReader::ReadBetween(BulkSource& source, BulkSink& sink, std::size_t& ended) {
  const std::size_t tag_bytes = tag_due_ ? kSealTagBytes : 0;
  ACCELMESH_ASSIGN_OR_RETURN(const std::size_t got, source.Read(MutableByteView(small_).subspan(
                                                        filled_, tag_bytes + kBulkHeaderBytes - filled_)));
  if (got == 0) return false;
  filled_ += got;
  if (tag_due_) {
    if (filled_ < kSealTagBytes) return true;
    SealTag tag;
    std::copy_n(small_.begin(), kSealTagBytes, tag.begin());
    ACCELMESH_RETURN_IF_ERROR(opener_->End(tag));
    ACCELMESH_RETURN_IF_ERROR(sink.End());
    ++ended;
    tag_due_ = false;
    filled_ -= kSealTagBytes;
    std::copy_n(small_.begin() + kSealTagBytes, filled_, small_.begin());
  }
  if (filled_ < kBulkHeaderBytes) return true;
  const ByteView bytes = ByteView(small_).first(kBulkHeaderBytes);
  ACCELMESH_ASSIGN_OR_RETURN(header_, ReadBulkHeader(bytes));
  if (opener_ != nullptr) ACCELMESH_RETURN_IF_ERROR(opener_->Begin(bytes));
  ACCELMESH_RETURN_IF_ERROR(sink.Begin(header_));
  filled_ = 0;
  done_ = 0;
  state_ = State::kBody;
  return true;
}

Result<bool> BulkReader::ReadBody(BulkSource& source, BulkSink& sink, std::size_t& ended) {
  while (done_ < header_.bytes) {
    MutableByteView to = sink.Enter(done_);
    to = to.first(std::min<std::size_t>(to.size(), header_.bytes - done_));
    if (opener_ != nullptr) to = to.first(std::min(to.size(), kSealedPieceBytes));
    const Result<std::size_t> got = source.Read(to);
    Status opened;
    if (got.ok() && opener_ != nullptr) opened = opener_->Add(to.first(*got));
    sink.Leave();
    if (!got.ok()) return got.status();
    ACCELMESH_RETURN_IF_ERROR(opened);
    if (*got == 0) return false;
    done_ += *got;
  }
  state_ = State::kBetween;
  if (opener_ != nullptr) {
    tag_due_ = true;
    return true;
  }
  ACCELMESH_RETURN_IF_ERROR(sink.End());
  ++ended;
  return true;
}

}  // namespace accelmesh
