#include "protocol/base/bytes.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace accelmesh {
namespace {

TEST(AsBytesTest, TextHasNoTerminatingZero) {
  EXPECT_EQ(AsBytes("abc").size(), 3U);
  EXPECT_EQ(AsText(AsBytes("abc")), "abc");
  EXPECT_EQ(AsBytes(std::string_view()).size(), 0U);
}

TEST(AsBytesTest, ValuesAreTheirMemory) {
  const std::uint32_t value = 0x04030201;
  const ByteView bytes = AsBytes(value);
  ASSERT_EQ(bytes.size(), 4U);
  EXPECT_EQ(bytes[0], 1);  // little-endian, as everything on the wire
  EXPECT_EQ(bytes[3], 4);
}

TEST(AlignUpTest, RoundsToTheNextMultiple) {
  EXPECT_EQ(AlignUp(0, 8), 0U);
  EXPECT_EQ(AlignUp(1, 8), 8U);
  EXPECT_EQ(AlignUp(8, 8), 8U);
  EXPECT_EQ(AlignUp(9, 8), 16U);
  EXPECT_EQ(AlignUp(513, 512), 1024U);
}

TEST(ByteReaderTest, ReadsInOrder) {
  const Bytes bytes{1, 2, 0, 9, 8, 7, 0xff};
  ByteReader reader(bytes, "Test.bytes");
  EXPECT_EQ(*reader.Read<std::uint8_t>(), 1);
  EXPECT_EQ(*reader.Read<std::uint16_t>(), 2);
  EXPECT_EQ(reader.left(), 4U);
  const Result<ByteView> taken = reader.Take(3);
  ASSERT_TRUE(taken.ok());
  EXPECT_EQ(taken->data(), bytes.data() + 3);
  EXPECT_EQ(taken->size(), 3U);
  EXPECT_EQ(reader.rest().size(), 1U);
  EXPECT_EQ(reader.rest()[0], 0xff);
}

TEST(ByteReaderTest, EveryPrefixThatIsTooShortIsRefusedAndTakesNothing) {
  const Bytes whole(16, 5);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    ByteReader reader(ByteView(whole).first(size), "Test.bytes");
    using Sixteen = std::array<std::uint64_t, 2>;
    const Result<Sixteen> value = reader.Read<Sixteen>();
    EXPECT_EQ(value.code(), Code::kBadFrame);
    EXPECT_EQ(value.status().ToString(),
              "bad_frame in Test.bytes: needs 16 bytes, " + std::to_string(size) + " are left");
    EXPECT_EQ(reader.Take(size + 1).code(), Code::kBadFrame);
    EXPECT_EQ(reader.left(), size);
    EXPECT_TRUE(reader.Take(size).ok());
    EXPECT_EQ(reader.left(), 0U);
  }
}

TEST(ByteReaderTest, NoSizeOverflows) {
  const Bytes bytes(8, 0);
  ByteReader reader(bytes, "Test.bytes");
  EXPECT_EQ(reader.Take(std::numeric_limits<std::size_t>::max()).code(), Code::kBadFrame);
  EXPECT_TRUE(reader.Take(8).ok());
  EXPECT_TRUE(reader.Take(0).ok());
  EXPECT_EQ(reader.Read<std::uint8_t>().code(), Code::kBadFrame);
}

}  // namespace
}  // namespace accelmesh
