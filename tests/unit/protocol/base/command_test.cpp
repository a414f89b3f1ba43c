#include "protocol/base/command.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace accelmesh {
namespace {

struct Record {
  std::uint16_t command;
  Bytes body;
  Bytes payload;
};

void Append(Bytes& frame, const Record& record) {
  RecordHeaderValue header;
  header.bytes = static_cast<std::uint32_t>(RecordBytes(record.body.size(), record.payload.size()));
  header.body_bytes = static_cast<std::uint32_t>(record.body.size());
  header.payload_bytes = static_cast<std::uint32_t>(record.payload.size());
  header.command = record.command;
  const std::size_t begin = frame.size();
  const ByteView bytes = AsBytes(header);
  frame.insert(frame.end(), bytes.begin(), bytes.end());
  frame.insert(frame.end(), record.body.begin(), record.body.end());
  frame.insert(frame.end(), record.payload.begin(), record.payload.end());
  frame.resize(begin + header.bytes);
}

Bytes MakeFrame(const std::vector<Record>& records, std::uint64_t first_sequence) {
  FrameHeaderValue header;
  header.records = static_cast<std::uint32_t>(records.size());
  header.first_sequence = first_sequence;
  const ByteView bytes = AsBytes(header);
  Bytes frame(bytes.begin(), bytes.end());
  for (const Record& record : records) Append(frame, record);
  return frame;
}

std::vector<Record> ThreeRecords() {
  return {{7, Bytes{1, 2, 3}, {}}, {8, {}, Bytes{4, 5, 6, 7, 8, 9, 10, 11}}, {9, Bytes(24, 12), Bytes(5, 13)}};
}

// Reads all of a frame; the status that ended it. Every view must lie in the frame, in order and without overlap.
Status ReadAll(ByteView frame, std::vector<RecordView>* records = nullptr) {
  Result<FrameReader> reader = FrameReader::Open(frame);
  if (!reader.ok()) return reader.status();
  const std::uint8_t* at = frame.data() + sizeof(FrameHeaderValue);
  const std::uint8_t* const end = frame.data() + frame.size();
  for (;;) {
    Result<RecordView> record = reader->Next();
    if (!record.ok()) {
      EXPECT_EQ(reader->Next().code(), record.code()) << "asked again, it said something else";
      return record.status();
    }
    EXPECT_LE(at + sizeof(RecordHeaderValue), record->body.data());
    EXPECT_EQ(record->payload.data(), record->body.data() + record->body.size());
    at = record->payload.data() + record->payload.size();
    EXPECT_LE(at, end);
    if (records != nullptr) records->push_back(*record);
  }
}

TEST(FrameReaderTest, RoundTrip) {
  const Bytes frame = MakeFrame(ThreeRecords(), 41);
  EXPECT_EQ(frame.size() % 8, 0U);
  const Result<FrameReader> reader = FrameReader::Open(frame);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader->first_sequence(), 41U);
  EXPECT_EQ(reader->records_left(), 3U);
  std::vector<RecordView> records;
  EXPECT_EQ(ReadAll(frame, &records).code(), Code::kNotFound);
  ASSERT_EQ(records.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    const Record expected = ThreeRecords()[i];
    EXPECT_EQ(records[i].sequence, 41 + i);
    EXPECT_EQ(records[i].command, expected.command);
    EXPECT_EQ(Bytes(records[i].body.begin(), records[i].body.end()), expected.body);
    EXPECT_EQ(Bytes(records[i].payload.begin(), records[i].payload.end()), expected.payload);
  }
}

TEST(FrameReaderTest, AFrameWithoutRecordsIsAFrame) { EXPECT_EQ(ReadAll(MakeFrame({}, 1)).code(), Code::kNotFound); }

TEST(FrameReaderTest, EveryTruncatedPrefixIsRefused) {
  const Bytes frame = MakeFrame(ThreeRecords(), 1);
  for (std::size_t size = 0; size < frame.size(); ++size) {
    // A copy of that size, so that a sanitizer sees a read past its end.
    const Bytes prefix(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size));
    std::vector<RecordView> records;
    EXPECT_EQ(ReadAll(prefix, &records).code(), Code::kBadFrame) << size;
    EXPECT_LT(records.size(), 3U) << size;
  }
}

TEST(FrameReaderTest, BytesAfterTheLastRecordAreRefused) {
  Bytes frame = MakeFrame(ThreeRecords(), 1);
  for (int more = 1; more <= 32; ++more) {
    frame.push_back(0);
    EXPECT_EQ(ReadAll(frame).code(), Code::kBadFrame) << more;
  }
}

// Writes each wrong value into the u32 (or u16) at `offset`; every such frame must be refused.
template <typename T>
void CorruptField(std::size_t offset, const char* field) {
  const Bytes good = MakeFrame(ThreeRecords(), 1);
  T right;
  std::memcpy(&right, good.data() + offset, sizeof(T));
  std::vector<std::uint64_t> values{0,       1,        7,          8,          15,         16,         17,
                                    24,      0xff,     0x7fff,     0x8000,     0xffff,     0x10000,    0x40000,
                                    0x40001, 0x100000, 0x7fffffff, 0x80000000, 0xfffffff0, 0xfffffff8, 0xffffffff};
  for (int by = 1; by <= 64; ++by) {
    values.push_back(static_cast<std::uint64_t>(right) + by);
    values.push_back(static_cast<std::uint64_t>(right) - by);
  }
  for (const std::uint64_t value : values) {
    const T wrong = static_cast<T>(value);
    if (wrong == right) continue;
    Bytes frame = good;
    std::memcpy(frame.data() + offset, &wrong, sizeof(T));
    EXPECT_EQ(ReadAll(frame).code(), Code::kBadFrame) << field << " at " << offset << " is " << wrong;
  }
}

TEST(FrameReaderTest, EveryCorruptedLengthIsRefused) {
  CorruptField<std::uint32_t>(offsetof(FrameHeaderValue, magic), "magic");
  CorruptField<std::uint32_t>(offsetof(FrameHeaderValue, records), "records");
  std::size_t at = sizeof(FrameHeaderValue);
  for (const Record& record : ThreeRecords()) {
    CorruptField<std::uint32_t>(at + offsetof(RecordHeaderValue, bytes), "bytes");
    CorruptField<std::uint16_t>(at + offsetof(RecordHeaderValue, flags), "flags");
    at += RecordBytes(record.body.size(), record.payload.size());
  }
}

TEST(FrameReaderTest, BodyAndPayloadMustFillTheRecord) {
  // One whose sum still rounds up to the record's size is another record, not a bad one: these all change the size.
  std::size_t at = sizeof(FrameHeaderValue);
  for (const Record& record : ThreeRecords()) {
    const std::size_t size = RecordBytes(record.body.size(), record.payload.size());
    for (const std::size_t field :
         {offsetof(RecordHeaderValue, body_bytes), offsetof(RecordHeaderValue, payload_bytes)}) {
      const bool is_body = field == offsetof(RecordHeaderValue, body_bytes);
      for (const std::uint32_t value : {0u, 1u, 5u, 8u, 24u, 32u, 4096u, 0x40000u, 0x7fffffffu, 0xffffffe8u,
                                        0xfffffff0u, 0xfffffff8u, 0xffffffffu}) {
        Bytes frame = MakeFrame(ThreeRecords(), 1);
        std::memcpy(frame.data() + at + field, &value, sizeof(value));
        const std::uint64_t sum =
            sizeof(RecordHeaderValue) + std::uint64_t{value} + (is_body ? record.payload : record.body).size();
        const bool fits = AlignUp(sum, 8) == size;
        EXPECT_EQ(ReadAll(frame).code(), fits ? Code::kNotFound : Code::kBadFrame)
            << (is_body ? "body" : "payload") << " of the record at " << at << " is " << value;
      }
    }
    at += size;
  }
}

TEST(FrameReaderTest, LimitsHold) {
  // One record at the limit is read, one past it is not, though the frame holds it.
  const std::size_t at_limit = limits::kRecordBytesMax - sizeof(RecordHeaderValue);
  EXPECT_EQ(ReadAll(MakeFrame({{1, Bytes(at_limit, 1), {}}}, 1)).code(), Code::kNotFound);
  EXPECT_EQ(ReadAll(MakeFrame({{1, Bytes(at_limit + 1, 1), {}}}, 1)).code(), Code::kBadFrame);
  Bytes frame = MakeFrame({}, 1);
  frame.resize(limits::kFrameBytesMax + 1);
  EXPECT_EQ(FrameReader::Open(frame).code(), Code::kBadFrame);
  frame.resize(limits::kFrameBytesMax);
  EXPECT_TRUE(FrameReader::Open(frame).ok());
}

TEST(FrameReaderTest, ScribbledFramesNeverLeadOutside) {
  std::mt19937 random(20260101);
  const Bytes good = MakeFrame(ThreeRecords(), 1);
  for (int round = 0; round < 100'000; ++round) {
    Bytes frame = good;
    for (int change = random() % 4; change >= 0; --change) {
      frame[random() % frame.size()] = static_cast<std::uint8_t>(random() % 3 == 0 ? 0xff : random());
    }
    const Code end = ReadAll(frame).code();  // checks the views
    ASSERT_TRUE(end == Code::kNotFound || end == Code::kBadFrame) << CodeName(end);
  }
}

TEST(CommandErrorsTest, NameTheCommand) {
  RecordView record;
  record.command = 777;
  const Bytes body(5, 0);
  record.body = body;
  EXPECT_EQ(UnknownCommand(record).ToString(), "bad_frame in GenDispatch.command: no command has id 777");
  EXPECT_EQ(BadBody(record, "Copy").ToString(), "bad_frame in GenDispatch.Copy: a body of 5 bytes does not verify");
  EXPECT_EQ(WrongLane(record, "Copy").ToString(), "bad_frame in GenDispatch.Copy: came on the wrong lane");
}

}  // namespace
}  // namespace accelmesh
