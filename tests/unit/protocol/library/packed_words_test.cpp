#include "protocol/library/packed_words.h"

#include <gtest/gtest.h>

namespace accelmesh {
namespace {

// Words of which every `every`-th is not 0.
Bytes Words(std::size_t count, std::size_t every) {
  Bytes bytes(count * 8);
  for (std::size_t i = 0; i < count; i += every) bytes[i * 8 + i % 8] = static_cast<std::uint8_t>(1 + i);
  return bytes;
}
Bytes Packed(const Bytes& words) {
  PackedWords buffer;
  const ByteView packed = PackWords(words, buffer);
  return {packed.begin(), packed.end()};
}

TEST(PackedWords, WhatIsPackedComesBack) {
  for (const std::size_t count :
       {std::size_t{32}, std::size_t{63}, std::size_t{64}, std::size_t{65}, kPackableWordsMax}) {
    for (const std::size_t every : {std::size_t{2}, std::size_t{3}, std::size_t{200}}) {
      const Bytes words = Words(count, every);
      const Bytes packed = Packed(words);
      ASSERT_TRUE(IsPacked(packed)) << count;
      EXPECT_EQ(packed.size(), 8 * (1 + (count + 63) / 64 + (count + every - 1) / every));
      const Result<Bytes> unpacked = UnpackWords(packed);
      ASSERT_TRUE(unpacked.ok()) << unpacked.status().ToString();
      EXPECT_EQ(*unpacked, words);
    }
  }
}

TEST(PackedWords, WhatIsNotWorthItStaysAsItIs) {
  for (const Bytes& words : {Words(16, 5), Words(64, 1), Words(kPackableWordsMax + 1, 9), Bytes(40 * 8 + 3), Bytes()}) {
    EXPECT_EQ(Packed(words), words);
    EXPECT_FALSE(IsPacked(words));
  }
}

TEST(PackedWords, OnlyWholeOnesAreUnpacked) {
  const Bytes packed = Packed(Words(100, 7));
  for (std::size_t bytes = 0; bytes < packed.size(); ++bytes)
    EXPECT_FALSE(UnpackWords(ByteView(packed).first(bytes)).ok()) << bytes;
  Bytes longer = packed;
  longer.resize(packed.size() + 8);
  EXPECT_FALSE(UnpackWords(longer).ok());
  // A count past the limit, with which the size would overflow; none at all; a bit past the last word.
  Bytes huge = packed;
  for (std::size_t i = 0; i < 7; ++i) huge[i] = 0xff;
  EXPECT_FALSE(UnpackWords(huge).ok());
  EXPECT_FALSE(UnpackWords(Words(40, 1)).ok());
  Bytes past = packed;
  past[0] = 99;
  past[8 + 8 + 4] |= 1 << 3;
  EXPECT_FALSE(UnpackWords(past).ok());
}

}  // namespace
}  // namespace accelmesh
