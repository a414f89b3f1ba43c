// Formats of texels, and what a view makes of a resource; halves are checked against the compiler's.
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <random>

#include "server/backend/cpu/tier0/texture.h"

namespace accelmesh::tier0 {
namespace {

constexpr std::uint32_t kAsInteger = 0x01;

Texture Of(ChannelKind kind, std::uint32_t channel_bytes, std::uint32_t channels, bool gives_float) {
  Texture texture;
  texture.format = {kind, channel_bytes, channels};
  texture.gives_float = gives_float;
  return texture;
}

TEST(TexelFormats, HalvesAreWhatTheCompilerSays) {
  const Texture texture = Of(ChannelKind::kHalf, 2, 1, true);
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto raw = static_cast<std::uint16_t>(bits);
    _Float16 half;
    std::memcpy(&half, &raw, 2);
    const auto expected = static_cast<float>(half);
    const float got = std::bit_cast<float>(DecodeTexel(texture, reinterpret_cast<const std::uint8_t*>(&raw))[0]);
    if (expected != expected) {
      ASSERT_TRUE(got != got) << bits;
      continue;
    }
    ASSERT_EQ(got, expected) << bits;
    std::uint16_t again = 0;
    EncodeTexel(texture.format, {std::bit_cast<std::uint32_t>(got)}, reinterpret_cast<std::uint8_t*>(&again));
    ASSERT_EQ(again, raw);
  }
  std::mt19937 random(9);
  for (int i = 0; i < 200000; ++i) {
    const float value = std::bit_cast<float>(0x33000000u + static_cast<std::uint32_t>(random() % 0x15000000u));
    const auto half = static_cast<_Float16>(value);
    std::uint16_t expected = 0;
    std::memcpy(&expected, &half, 2);
    std::uint16_t got = 0;
    EncodeTexel(texture.format, {std::bit_cast<std::uint32_t>(value)}, reinterpret_cast<std::uint8_t*>(&got));
    ASSERT_EQ(got, expected) << value;
  }
}

TEST(TexelFormats, IntegersAndNormalizedNumbers) {
  const std::uint8_t bytes[] = {0x00, 0x7f, 0x80, 0xff};
  const auto decode = [&bytes](ChannelKind kind, std::uint32_t size, std::uint32_t count, bool gives_float) {
    return DecodeTexel(Of(kind, size, count, gives_float), bytes);
  };
  EXPECT_EQ(decode(ChannelKind::kUnsigned, 1, 4, false), (std::array<std::uint32_t, 4>{0, 0x7f, 0x80, 0xff}));
  EXPECT_EQ(decode(ChannelKind::kSigned, 1, 4, false), (std::array<std::uint32_t, 4>{0, 0x7f, 0xffffff80, 0xffffffff}));
  EXPECT_EQ(decode(ChannelKind::kUnsigned, 2, 2, false), (std::array<std::uint32_t, 4>{0x7f00, 0xff80, 0, 1}));
  EXPECT_EQ(decode(ChannelKind::kSigned, 2, 2, false), (std::array<std::uint32_t, 4>{0x7f00, 0xffffff80, 0, 1}));
  EXPECT_EQ(decode(ChannelKind::kUnsigned, 4, 1, false), (std::array<std::uint32_t, 4>{0xff807f00, 0, 0, 1}));
  const auto near = [](const std::array<std::uint32_t, 4>& got, std::array<float, 4> expected) {
    for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(std::bit_cast<float>(got[i]), expected[i], 1e-6) << i;
  };
  near(decode(ChannelKind::kUnsigned, 1, 4, true), {0, 127 / 255.0f, 128 / 255.0f, 1});
  near(decode(ChannelKind::kSigned, 1, 4, true), {0, 1, -1, -1 / 127.0f});
  near(decode(ChannelKind::kUnorm, 2, 2, true), {0x7f00 / 65535.0f, 0xff80 / 65535.0f, 0, 1});
  near(decode(ChannelKind::kSnorm, 2, 2, true), {0x7f00 / 32767.0f, -128 / 32767.0f, 0, 1});
  // 10 bits each from below: 0x300, 0x01f, 0x3f8 and 3.
  near(decode(ChannelKind::kUnorm1010102, 1, 4, true), {0x300 / 1023.0f, 0x01f / 1023.0f, 0x3f8 / 1023.0f, 1});
}

TEST(TexelFormats, StoresSaturate) {
  const auto encode = [](ChannelKind kind, std::uint32_t size, std::uint32_t value) {
    std::uint32_t raw = 0;
    EncodeTexel({kind, size, 1}, {value}, reinterpret_cast<std::uint8_t*>(&raw));
    return raw;
  };
  const auto bits = [](float v) { return std::bit_cast<std::uint32_t>(v); };
  EXPECT_EQ(encode(ChannelKind::kUnsigned, 1, 300), 255u);
  EXPECT_EQ(encode(ChannelKind::kSigned, 1, static_cast<std::uint32_t>(-200)), 0x80u);
  EXPECT_EQ(encode(ChannelKind::kSigned, 2, 40000), 0x7fffu);
  EXPECT_EQ(encode(ChannelKind::kUnorm, 1, bits(0.5f)), 128u);
  EXPECT_EQ(encode(ChannelKind::kUnorm, 1, bits(7.0f)), 255u);
  EXPECT_EQ(encode(ChannelKind::kSnorm, 1, bits(-3.0f)), 0x81u);
  EXPECT_EQ(encode(ChannelKind::kFloat, 4, bits(1.25f)), bits(1.25f));
}

TEST(TexelFormats, ViewsMustFit) {
  TextureJob job;
  job.format = 0x03;
  job.channels = 1;
  job.levels.resize(1);
  job.levels[0].width = 8;
  job.view = TextureJob::View{0, 0, 0, 0, 0x16};  // one float
  const auto floats = MakeTexture(job);
  ASSERT_TRUE(floats.ok());
  EXPECT_EQ((*floats)->format.kind, ChannelKind::kFloat);
  job.view->format = 0x14;  // two halves
  EXPECT_TRUE(MakeTexture(job).ok());
  job.view->format = 0x15;  // four
  EXPECT_EQ(MakeTexture(job).code(), Code::kInvalidArgument);
  job.view->format = 0x19;
  EXPECT_EQ(MakeTexture(job).code(), Code::kUnsupported);
  job.view = TextureJob::View{0, 1, 0, 0, 0};
  EXPECT_EQ(MakeTexture(job).code(), Code::kInvalidArgument);
  job.view.reset();
  job.sampling.flags = kAsInteger;
  job.sampling.filter = 1;
  EXPECT_FALSE((*MakeTexture(job))->filters_linearly);
}

}  // namespace
}  // namespace accelmesh::tier0
