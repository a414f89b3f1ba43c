// The framing of device commands: how records are put into a frame and how untrusted frames are taken apart.
// The layout is stated in protocol/schema/commands.fbs; ids, traits and dispatch are generated (gen_commands.h).
//
// Threads: values. A view into a frame lives as long as the frame.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cstdint>
#include <string_view>

#include "protocol/base/bytes.h"
#include "protocol/base/limits.h"
#include "protocol/base/result.h"

namespace accelmesh {

enum class CommandMode : std::uint8_t { kPost, kCall };
enum class CommandLane : std::uint8_t { kCommand, kSide };

inline constexpr std::uint32_t kFrameMagic = 0x414d4331;  // "1CMA" as bytes
inline constexpr std::uint16_t kProtocolVersion = 1;

// The wire structs FrameHeader and RecordHeader as plain values (same layout, checked where both are seen).
struct FrameHeaderValue {
  std::uint32_t magic = kFrameMagic;
  std::uint32_t records = 0;
  std::uint64_t first_sequence = 0;
};
struct RecordHeaderValue {
  std::uint32_t bytes = 0;
  std::uint32_t body_bytes = 0;
  std::uint32_t payload_bytes = 0;
  std::uint16_t command = 0;
  std::uint16_t flags = 0;
};
static_assert(sizeof(FrameHeaderValue) == 16 && sizeof(RecordHeaderValue) == 16);

// One record of a verified frame.
struct RecordView {
  std::uint64_t sequence = 0;
  std::uint16_t command = 0;
  ByteView body;
  ByteView payload;
};

constexpr std::size_t RecordBytes(std::size_t body_bytes, std::size_t payload_bytes) {
  return AlignUp(sizeof(RecordHeaderValue) + body_bytes + payload_bytes, 8);
}

// Takes a frame apart, record by record; every length is checked against what is left. Ends with kNotFound.
class FrameReader {
 public:
  // Fails with kBadFrame if the header is not one of ours.
  static Result<FrameReader> Open(ByteView frame);
  // Records that lie in the payload of another command (GraphDefine), without a frame of their own.
  static FrameReader OfPayload(ByteView records, std::uint32_t count) { return {records, count, 0}; }
  std::uint64_t first_sequence() const { return next_sequence_; }
  std::uint32_t records_left() const { return records_left_; }
  // Whether everything has been read, to the last byte. Cheaper than Next()'s error.
  bool at_end() const { return records_left_ == 0 && rest_.empty(); }
  // kNotFound after the last record; kBadFrame if the bytes do not add up.
  Result<RecordView> Next();

 private:
  FrameReader(ByteView rest, std::uint32_t records, std::uint64_t sequence)
      : rest_(rest), records_left_(records), next_sequence_(sequence) {}
  ByteView rest_;
  std::uint32_t records_left_;
  std::uint64_t next_sequence_;
};

template <typename T>
struct CommandTraits;

Status UnknownCommand(const RecordView& record);
Status BadBody(const RecordView& record, const char* name);
Status WrongLane(const RecordView& record, const char* name);

// Verifies the body of one command and hands it to the handler.
template <typename T, typename Handler>
Status DispatchCommand(const RecordView& record, CommandLane lane, Handler& handler) {
  using Traits = CommandTraits<T>;
  if (lane != Traits::kLane) return WrongLane(record, Traits::kName);
  if constexpr (Traits::kIsTable) {
    flatbuffers::Verifier verifier(record.body.data(), record.body.size());
    if (!verifier.VerifyBuffer<T>(nullptr)) return BadBody(record, Traits::kName);
    return handler.On(*flatbuffers::GetRoot<T>(record.body.data()), record);
  } else {
    if (record.body.size() != sizeof(T)) return BadBody(record, Traits::kName);
    // Copied: the record may lie at an address that is not aligned for T.
    T value;
    std::memcpy(&value, record.body.data(), sizeof(T));
    return handler.On(value, record);
  }
}

}  // namespace accelmesh
