// ExtractPtx: containers as nvcc makes them, and hostile ones.
#include "server/module/image.h"

#include <gtest/gtest.h>
#include <lz4.h>
#include <zstd.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace accelmesh {
namespace {

constexpr std::uint64_t kLz4 = 0x2000, kZstd = 0x8000, kArch = 0x100000, kFamily = 0x200000;

template <typename T>
void Append(Bytes* out, T value) {
  const ByteView bytes = AsBytes(value);
  out->insert(out->end(), bytes.begin(), bytes.end());
}
struct Entry {
  std::uint16_t kind = 1;  // PTX; 2 is a cubin
  std::uint32_t sm = 80;
  std::string text;
  std::uint64_t flags = 0;
  std::uint32_t header_bytes = 72;
};
Bytes Packed(const Entry& entry) {
  Bytes packed(entry.text.begin(), entry.text.end());
  if ((entry.flags & kZstd) != 0) {
    packed.resize(ZSTD_compressBound(entry.text.size()));
    packed.resize(ZSTD_compress(packed.data(), packed.size(), entry.text.data(), entry.text.size(), 3));
  } else if ((entry.flags & kLz4) != 0) {
    packed.resize(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(entry.text.size()))));
    packed.resize(static_cast<std::size_t>(
        LZ4_compress_default(entry.text.data(), reinterpret_cast<char*>(packed.data()),
                             static_cast<int>(entry.text.size()), static_cast<int>(packed.size()))));
  }
  return packed;
}
Bytes Container(const std::vector<Entry>& entries) {
  Bytes body;
  for (const Entry& entry : entries) {
    const bool compressed = (entry.flags & (kZstd | kLz4)) != 0;
    Bytes payload = Packed(entry);
    const auto size = static_cast<std::uint32_t>(payload.size());
    payload.resize(AlignUp(payload.size() + 1, 8));  // padded, at least one zero
    Append<std::uint16_t>(&body, entry.kind);
    Append<std::uint16_t>(&body, 0x101);
    Append<std::uint32_t>(&body, entry.header_bytes);
    Append<std::uint64_t>(&body, payload.size());
    Append<std::uint32_t>(&body, compressed ? size : 0);
    Append<std::uint32_t>(&body, 64);
    Append<std::uint32_t>(&body, 0x00090000);
    Append<std::uint32_t>(&body, entry.sm);
    Append<std::uint64_t>(&body, 0);
    Append<std::uint64_t>(&body, entry.flags | 0x11);
    Append<std::uint64_t>(&body, 0);
    Append<std::uint64_t>(&body, compressed ? entry.text.size() : 0);
    body.resize(body.size() + entry.header_bytes - 64);
    body.insert(body.end(), payload.begin(), payload.end());
  }
  Bytes image;
  Append<std::uint32_t>(&image, 0xba55ed50);
  Append<std::uint16_t>(&image, 1);
  Append<std::uint16_t>(&image, 16);
  Append<std::uint64_t>(&image, body.size());
  image.insert(image.end(), body.begin(), body.end());
  return image;
}
std::string Text(const std::string& mark) {
  std::string text = "\n.version 9.0\n.target sm_80\n.address_size 64\n// " + mark + "\n";
  for (int i = 0; i < 200; ++i) text += ".global .u32 variable_" + std::to_string(i) + ";\n";
  return text;
}

TEST(Image, EveryWayOfPacking) {
  for (const std::uint64_t flags : {std::uint64_t{0}, kLz4, kZstd}) {
    const auto got = ExtractPtx(Container({{1, 80, Text("x"), flags, 72}}), 80);
    ASSERT_TRUE(got.ok()) << got.status().ToString();
    EXPECT_EQ(*got, Text("x")) << flags;
  }
}

TEST(Image, TheNewestThatRuns) {
  const Bytes image = Container({{2, 80, "cubin", 0, 64},
                                 {1, 75, Text("75"), kZstd, 64},
                                 {1, 86, Text("86"), kLz4, 128},
                                 {1, 90, Text("90"), 0, 72},
                                 {1, 80, Text("80a"), kArch, 72},
                                 {1, 86, Text("86f"), kFamily, 72}});
  EXPECT_EQ(*ExtractPtx(image, 75), Text("75"));
  EXPECT_EQ(*ExtractPtx(image, 80), Text("75"));
  EXPECT_EQ(*ExtractPtx(image, 89), Text("86"));
  EXPECT_EQ(*ExtractPtx(image, 120), Text("90"));
}

TEST(Image, WhatIsForOneArchitectureOrFamily) {
  const Bytes image = Container({{1, 90, Text("90a"), kArch, 72}, {1, 100, Text("100f"), kFamily, 72}});
  EXPECT_EQ(*ExtractPtx(image, 90), Text("90a"));
  EXPECT_EQ(*ExtractPtx(image, 100), Text("100f"));
  EXPECT_EQ(*ExtractPtx(image, 103), Text("100f"));
  for (const std::uint32_t capability : {80u, 89u, 120u}) {
    const auto none = ExtractPtx(image, capability);
    ASSERT_EQ(none.code(), Code::kNotFound) << capability;
    EXPECT_NE(none.status().text().find("compute_90a, PTX compute_100f"), std::string::npos) << none.status().text();
  }
}

// As nvcc -rdc=true brings it: what it linked, and what it linked it from.
TEST(Texts, OfLinkedCode) {
  Bytes image = Container({{2, 75, "linked", 0, 64}});
  const auto add = [&image](const Bytes& container) {
    image.resize(AlignUp(image.size(), 8));
    image.insert(image.end(), container.begin(), container.end());
  };
  EXPECT_EQ(ExtractTexts(image, 80).code(), Code::kNotFound);
  add(Container({{2, 75, "elf", kZstd, 64}, {1, 75, Text("one"), kZstd, 64}}));
  add(Container({{1, 121, Text("of the newest only"), 0, 64}}));
  add(Container({{1, 75, Text("old"), 0, 64}, {1, 80, Text("two"), kLz4, 72}}));
  const auto texts = ExtractTexts(image, 80);
  ASSERT_TRUE(texts.ok()) << texts.status().ToString();
  EXPECT_EQ(*texts, (std::vector<std::string>{Text("one"), Text("two")}));
  // A driver gets what was linked.
  const auto parts = ExtractParts(image, 75);
  ASSERT_TRUE(parts.ok());
  ASSERT_EQ(parts->size(), 1u);
  EXPECT_EQ((*parts)[0].bytes.substr(0, 6), "linked");
  for (std::size_t cut = 0; cut < image.size(); ++cut) (void)ExtractTexts(ByteView(image).first(cut), 80);
  EXPECT_EQ(ExtractTexts(ByteView(image).first(image.size() - 9), 80).code(), Code::kInvalidArgument);
}

TEST(Texts, OfAnyOtherImageOne) {
  EXPECT_EQ(ExtractTexts(Container({{1, 80, Text("x"), 0, 64}}), 80)->size(), 1u);
  EXPECT_EQ(ExtractTexts(AsBytes(".version 8.0\n"), 80)->at(0), ".version 8.0\n");
  EXPECT_EQ(ExtractTexts({}, 80).code(), Code::kInvalidArgument);
}

TEST(Image, SaysWhatItHoldsInstead) {
  const auto none = ExtractPtx(Container({{2, 90, "cubin", 0, 64}, {1, 100, Text(""), 0, 64}}), 80);
  ASSERT_EQ(none.code(), Code::kNotFound);
  EXPECT_NE(none.status().text().find("8.0"), std::string::npos);
  EXPECT_NE(none.status().text().find("SASS sm_90, PTX compute_100"), std::string::npos) << none.status().text();
  EXPECT_NE(none.status().text().find("--compute-capability 10.0"), std::string::npos) << none.status().text();
  EXPECT_EQ(ExtractPtx(Container({}), 80).code(), Code::kNotFound);
  // A list of very many is cut.
  EXPECT_LT(ExtractPtx(Container(std::vector<Entry>(5000, {2, 80, "", 0, 64})), 80).status().text().size(), 1000u);
}

TEST(Image, PlainText) {
  EXPECT_EQ(*ExtractPtx(AsBytes(std::string_view("// x\n.version 8.0\n\0\0", 20)), 80), "// x\n.version 8.0\n");
  EXPECT_EQ(ExtractPtx(AsBytes(std::string_view("\x7f"
                                                "ELF")),
                       80)
                .code(),
            Code::kInvalidArgument);
  EXPECT_EQ(ExtractPtx({}, 80).code(), Code::kInvalidArgument);
}

TEST(Image, SizesThatCannotBe) {
  for (const std::uint64_t flags : {kLz4, kZstd}) {
    const Bytes good = Container({{1, 80, Text("x"), flags, 64}});
    const std::size_t entry = 16;
    const auto with = [&](std::size_t offset, auto value) {
      Bytes image = good;
      std::memcpy(image.data() + entry + offset, &value, sizeof(value));
      return ExtractPtx(image, 80);
    };
    EXPECT_FALSE(with(4, std::uint32_t{0}).ok());  // header size
    EXPECT_FALSE(with(4, std::uint32_t{63}).ok());
    EXPECT_FALSE(with(4, ~std::uint32_t{0}).ok());
    EXPECT_FALSE(with(8, ~std::uint64_t{0}).ok());   // payload size
    EXPECT_FALSE(with(16, ~std::uint32_t{0}).ok());  // compressed size
    EXPECT_FALSE(with(16, std::uint32_t{5}).ok());
    EXPECT_FALSE(with(56, std::uint64_t{0}).ok());  // uncompressed size
    EXPECT_FALSE(with(56, std::uint64_t{1} << 40).ok());
    EXPECT_FALSE(with(56, std::uint64_t{200} << 20).ok());  // not from so few bytes
    EXPECT_FALSE(with(56, std::uint64_t{10}).ok());
    EXPECT_FALSE(with(40, std::uint64_t{0}).ok());  // compressed by nothing we know
  }
  Bytes image = Container({{1, 80, Text("x"), 0, 64}});
  const std::uint64_t longer = image.size();
  std::memcpy(image.data() + 8, &longer, 8);
  EXPECT_EQ(ExtractPtx(image, 80).code(), Code::kInvalidArgument);
}

TEST(Image, EveryPrefixAndManyMutations) {
  const Bytes good =
      Container({{2, 80, "cubin", 0, 64}, {1, 75, Text("75"), kZstd, 64}, {1, 80, Text("80"), kLz4, 72}});
  for (std::size_t cut = 0; cut < good.size(); ++cut) {
    const Bytes exact(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(cut));
    EXPECT_FALSE(ExtractPtx(exact, 80).ok()) << cut;
  }
  std::mt19937 random(3);
  for (int i = 0; i < 3000; ++i) {
    Bytes image = good;
    for (int k = 0; k < 3; ++k) image[random() % image.size()] = static_cast<std::uint8_t>(random());
    (void)ExtractPtx(image, 80);
  }
}

// What a driver would choose from: the newest PTX, and machine code of the same major version that is not newer.
TEST(ExtractParts, ChoosesWhatADeviceCouldRun) {
  const std::string padded(
      "\x7f"
      "ELF\0machine\0code",
      17);
  const Bytes image = Container({{1, 70, "ptx 70"},
                                 {1, 80, "ptx 80", kZstd},
                                 {1, 90, "ptx 90"},
                                 {1, 86, "ptx 86a", kArch},
                                 {2, 75, "elf 75"},
                                 {2, 80, padded, kLz4},
                                 {2, 86, "elf 86"},
                                 {2, 89, "elf 89"}});
  const auto parts = ExtractParts(image, 86);
  ASSERT_TRUE(parts.ok());
  std::vector<std::string> chosen;
  for (const ImagePart& part : *parts) chosen.push_back((part.is_ptx ? "P:" : "E:") + part.bytes);
  EXPECT_EQ(chosen.size(), 3u);
  EXPECT_EQ(chosen[0], "E:" + padded) << "whole, with its zeros";
  EXPECT_EQ(chosen[1].substr(0, 8), "E:elf 86");
  EXPECT_EQ(chosen[2], "P:ptx 86a") << "which a driver runs on nothing else";
  EXPECT_TRUE(ExtractParts(Container({{1, 90, "ptx 90"}}), 80)->empty());
}

}  // namespace
}  // namespace accelmesh
