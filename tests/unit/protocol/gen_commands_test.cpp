// Every command of protocol/schema/commands.fbs, there and back: framed, read, dispatched; and refused when it is cut
// short, too long, or on the wrong lane.
#include "protocol/gen_commands.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>

namespace accelmesh {
namespace {

// What a dispatch handed over. Tables are read again from the record, structs are compared as bytes.
struct Handler {
  template <typename T>
  Status On(const T& value, const RecordView& record) {
    name = CommandTraits<T>::kName;
    payload = Bytes(record.payload.begin(), record.payload.end());
    if constexpr (!CommandTraits<T>::kIsTable) {
      const ByteView bytes = AsBytes(value);
      body = Bytes(bytes.begin(), bytes.end());
    }
    return Status::Ok();
  }
  std::string name;
  Bytes body;
  Bytes payload;
};

template <typename T>
Bytes MakeBody() {
  if constexpr (CommandTraits<T>::kIsTable) {
    // A table in which every field has its default is a table of any type.
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(flatbuffers::Offset<T>(builder.EndTable(builder.StartTable())));
    return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
  } else {
    Bytes body(sizeof(T));
    for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<std::uint8_t>(i * 37 + 11);
    return body;
  }
}

Bytes MakeFrame(std::uint16_t command, ByteView body, ByteView payload) {
  FrameHeaderValue header;
  header.records = 1;
  header.first_sequence = 5;
  RecordHeaderValue record;
  record.bytes = static_cast<std::uint32_t>(RecordBytes(body.size(), payload.size()));
  record.body_bytes = static_cast<std::uint32_t>(body.size());
  record.payload_bytes = static_cast<std::uint32_t>(payload.size());
  record.command = command;
  Bytes frame;
  for (const ByteView part : {AsBytes(header), AsBytes(record), body, payload}) {
    frame.insert(frame.end(), part.begin(), part.end());
  }
  frame.resize(sizeof(header) + record.bytes);
  return frame;
}

Status Dispatch(const Bytes& frame, CommandLane lane, Handler& handler) {
  ACCELMESH_ASSIGN_OR_RETURN(FrameReader reader, FrameReader::Open(frame));
  ACCELMESH_ASSIGN_OR_RETURN(const RecordView record, reader.Next());
  EXPECT_EQ(record.sequence, 5U);
  return GenDispatch(record, lane, handler);
}

template <typename T>
class EveryCommand : public testing::Test {
 protected:
  using Traits = CommandTraits<T>;
  static constexpr std::uint16_t kId = static_cast<std::uint16_t>(Traits::kId);
  static constexpr CommandLane kOtherLane =
      Traits::kLane == CommandLane::kSide ? CommandLane::kCommand : CommandLane::kSide;
};

struct NameOfCommand {
  template <typename T>
  static std::string GetName(int /*index*/) {
    return CommandTraits<T>::kName;
  }
};
TYPED_TEST_SUITE(EveryCommand, GenCommandList<testing::Types>, NameOfCommand);

TYPED_TEST(EveryCommand, ComesThrough) {
  const Bytes body = MakeBody<TypeParam>();
  const Bytes payload{1, 2, 3, 4, 5};
  Handler handler;
  const Status status = Dispatch(MakeFrame(TestFixture::kId, body, payload), TestFixture::Traits::kLane, handler);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(handler.name, TestFixture::Traits::kName);
  EXPECT_EQ(handler.payload, payload);
  if (!TestFixture::Traits::kIsTable) {
    EXPECT_EQ(handler.body, body);
  }
  EXPECT_EQ(GenCommandName(TestFixture::kId), TestFixture::Traits::kName);
  EXPECT_LT(TestFixture::kId, kGenCommandIdEnd);
}

TYPED_TEST(EveryCommand, IsRefusedOnTheOtherLane) {
  Handler handler;
  const Status status =
      Dispatch(MakeFrame(TestFixture::kId, MakeBody<TypeParam>(), {}), TestFixture::kOtherLane, handler);
  EXPECT_EQ(status.code(), Code::kBadFrame);
  EXPECT_EQ(status.where(), std::string("GenDispatch.") + TestFixture::Traits::kName);
  EXPECT_EQ(handler.name, "");
}

TYPED_TEST(EveryCommand, IsRefusedIfItsBodyIsCutShortOrTooLong) {
  const Bytes whole = MakeBody<TypeParam>();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Handler handler;
    const Bytes frame = MakeFrame(TestFixture::kId, ByteView(whole).first(size), {});
    EXPECT_EQ(Dispatch(frame, TestFixture::Traits::kLane, handler).code(), Code::kBadFrame) << size;
    EXPECT_EQ(handler.name, "") << size;
  }
  if (!TestFixture::Traits::kIsTable) {  // a table may carry fields that a newer peer added
    Bytes longer = whole;
    longer.push_back(0);
    Handler handler;
    EXPECT_EQ(Dispatch(MakeFrame(TestFixture::kId, longer, {}), TestFixture::Traits::kLane, handler).code(),
              Code::kBadFrame);
  }
}

TYPED_TEST(EveryCommand, IsRefusedAtEveryTruncatedPrefixOfItsFrame) {
  const Bytes frame = MakeFrame(TestFixture::kId, MakeBody<TypeParam>(), Bytes{9, 9, 9});
  for (std::size_t size = 0; size < frame.size(); ++size) {
    Handler handler;
    const Bytes prefix(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(Dispatch(prefix, TestFixture::Traits::kLane, handler).code(), Code::kBadFrame) << size;
    EXPECT_EQ(handler.name, "") << size;
  }
}

TEST(GenDispatchTest, AnIdThatNoCommandHasIsRefused) {
  const auto count = []<typename... T>(std::type_identity<std::tuple<T...>>) {
    return std::set<std::uint16_t>{static_cast<std::uint16_t>(CommandTraits<T>::kId)...};
  };
  const std::set<std::uint16_t> known = count(std::type_identity<GenCommandList<std::tuple>>());
  EXPECT_EQ(known.size(), std::tuple_size_v<GenCommandList<std::tuple>>) << "two commands have one id";
  for (std::uint32_t id = 0; id <= 0xffff; ++id) {
    if (known.contains(static_cast<std::uint16_t>(id))) continue;
    RecordView record;
    record.command = static_cast<std::uint16_t>(id);
    Handler handler;
    ASSERT_EQ(GenDispatch(record, CommandLane::kCommand, handler).code(), Code::kBadFrame) << id;
    ASSERT_EQ(GenCommandName(record.command), "unknown");
    ASSERT_EQ(handler.name, "");
  }
}

}  // namespace
}  // namespace accelmesh
