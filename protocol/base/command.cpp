#include "protocol/base/command.h"

namespace accelmesh {

Result<FrameReader> FrameReader::Open(ByteView frame) {
  if (frame.size() > limits::kFrameBytesMax) {
    return Status(Code::kBadFrame, "FrameReader::Open.frame", std::to_string(frame.size()) + " bytes, past the limit");
  }
  ByteReader reader(frame, "FrameReader::Open.header");
  ACCELMESH_ASSIGN_OR_RETURN(const FrameHeaderValue header, reader.Read<FrameHeaderValue>());
  if (header.magic != kFrameMagic) return Status(Code::kBadFrame, "FrameReader::Open.magic", "not a command frame");
  return FrameReader(reader.rest(), header.records, header.first_sequence);
}

Result<RecordView> FrameReader::Next() {
  constexpr const char* kWhere = "FrameReader::Next.record";
  if (records_left_ == 0) {
    if (!rest_.empty()) return Status(Code::kBadFrame, kWhere, std::to_string(rest_.size()) + " bytes too many");
    return Status(Code::kNotFound, kWhere, "no more records");
  }
  ByteReader reader(rest_, kWhere);
  ACCELMESH_ASSIGN_OR_RETURN(const RecordHeaderValue header, reader.Read<RecordHeaderValue>());
  if (header.bytes > limits::kRecordBytesMax || header.body_bytes > header.bytes ||
      header.payload_bytes > header.bytes || header.flags != 0 ||
      RecordBytes(header.body_bytes, header.payload_bytes) != header.bytes || header.bytes > rest_.size()) {
    return Status(Code::kBadFrame, kWhere,
                  "record of " + std::to_string(header.bytes) + " bytes with body " +
                      std::to_string(header.body_bytes) + " and payload " + std::to_string(header.payload_bytes) +
                      ", " + std::to_string(rest_.size()) + " are left");
  }
  RecordView record;
  record.sequence = next_sequence_++;
  record.command = header.command;
  record.body = rest_.subspan(sizeof(RecordHeaderValue), header.body_bytes);
  record.payload = rest_.subspan(sizeof(RecordHeaderValue) + header.body_bytes, header.payload_bytes);
  rest_ = rest_.subspan(header.bytes);
  --records_left_;
  return record;
}

Status UnknownCommand(const RecordView& record) {
  return {Code::kBadFrame, "GenDispatch.command", "no command has id " + std::to_string(record.command)};
}
Status BadBody(const RecordView& record, const char* name) {
  return {Code::kBadFrame, std::string("GenDispatch.") + name,
          "a body of " + std::to_string(record.body.size()) + " bytes does not verify"};
}
Status WrongLane(const RecordView& /*record*/, const char* name) {
  return {Code::kBadFrame, std::string("GenDispatch.") + name, "came on the wrong lane"};
}

}  // namespace accelmesh
