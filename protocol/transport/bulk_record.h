// What goes over a bulk lane's stream, and its parser, apart from sockets so that a fuzzer reaches it.
//
//   stream := {record}                                            each direction its own
//   record := magic:u32 bytes:u32 token:u64 offset:u64 body [tag:16]       little-endian; the tag if it is sealed
//
// The parser keeps no body: the sink says where the bytes go, and they are received there. What a peer sends is checked
// against the limits before anything is done for it.
//
// Threads: a reader belongs to one at a time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"
#include "protocol/transport/seal.h"

namespace accelmesh {

inline constexpr std::size_t kBulkHeaderBytes = 24;

struct BulkHeader {
  std::uint64_t token = 0;
  std::uint64_t offset = 0;  // of the body in what the client expects; 0 on the way up
  std::uint32_t bytes = 0;   // at most limits::kBulkBytesMax
};
std::array<std::uint8_t, kBulkHeaderBytes> WriteBulkHeader(const BulkHeader& header);
Result<BulkHeader> ReadBulkHeader(ByteView bytes);

// Where the bytes of a stream come from.
class BulkSource {
 public:
  virtual ~BulkSource() = default;
  // Fills the front of `to`: how much, 0 if there is nothing now. kClosed at the stream's end.
  virtual Result<std::size_t> Read(MutableByteView to) = 0;
};

// Where bodies go. Enter() and Leave() stand around each receiving of a piece, which never waits.
class BulkSink {
 public:
  virtual ~BulkSink() = default;
  virtual Status Begin(const BulkHeader& header) = 0;
  // Memory for bytes from `done` on; not empty, and no more than are left.
  virtual MutableByteView Enter(std::size_t done) = 0;
  virtual void Leave() = 0;
  // The body is whole, and genuine if the stream is sealed.
  virtual Status End() = 0;
};

class BulkReader {
 public:
  // `opener`: null if the stream is not sealed.
  explicit BulkReader(std::unique_ptr<Opener> opener) : opener_(std::move(opener)) {}

  // Takes in what the source has, up to the end of `records` records; how many ended. What it says of a failure stays
  // true: the stream is of no use after it. kClosed in the midst of a record is the peer's end as well.
  Result<std::size_t> Read(BulkSource& source, BulkSink& sink, std::size_t records);
  // Bytes that are certain to come, unless the stream ends: the rest of a record that has begun; 0 between records.
  std::size_t due() const {
    if (state_ == State::kBetween) return tag_due_ && filled_ < kSealTagBytes ? kSealTagBytes - filled_ : 0;
    return header_.bytes - done_ + (opener_ != nullptr ? kSealTagBytes : 0);
  }

 private:
  enum class State : std::uint8_t { kBetween, kBody };
  Result<bool> ReadBetween(BulkSource& source, BulkSink& sink, std::size_t& ended);
  Result<bool> ReadBody(BulkSource& source, BulkSink& sink, std::size_t& ended);

  const std::unique_ptr<Opener> opener_;
  State state_ = State::kBetween;
  // A tag that is due, then a header.
  std::array<std::uint8_t, kSealTagBytes + kBulkHeaderBytes> small_{};
  std::size_t filled_ = 0;
  bool tag_due_ = false;
  BulkHeader header_;
  std::size_t done_ = 0;
};

}  // namespace accelmesh
