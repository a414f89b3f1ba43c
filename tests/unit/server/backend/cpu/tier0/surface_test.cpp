// Every row of tier0/surface.cpp: where bytes go, what happens outside, and what may race.
#include <cstring>

#include "server/backend/cpu/tier0/texture.h"
#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

constexpr std::uint32_t kLayered = 1;
constexpr std::uint64_t kHandle = 7;

class SurfaceTest : public ::testing::Test {
 protected:
  // A surface of 16-byte texels, every byte of it another.
  void Make(std::uint32_t width, std::uint32_t height, std::uint32_t depth, std::uint32_t flags = 0,
            std::uint8_t format = 0x03, std::uint8_t channels = 4) {
    machine_.Reset();
    TextureJob job;
    job.source = TextureJob::Source::kArray;
    job.is_surface = true;
    job.format = format;
    job.channels = channels;
    job.array_flags = flags;
    level_.width = width;
    level_.height = height;
    level_.depth = depth;
    level_.pitch = width * 16 + 32;
    level_.slice = level_.pitch * std::max(height, 1u);
    bytes_ = level_.slice * std::max(depth, 1u);
    level_.address = machine_.Allocate(bytes_);
    for (std::uint64_t i = 0; i < bytes_; ++i) machine_.At<std::uint8_t>(level_.address)[i] = Pattern(i);
    job.levels.push_back(level_);
    auto made = MakeTexture(job);
    ASSERT_TRUE(made.ok()) << made.status().ToString();
    table_[kHandle] = *std::move(made);
    machine_.set_textures(&table_);
  }
  static std::uint8_t Pattern(std::uint64_t i) { return static_cast<std::uint8_t>(i * 7 + i / 251); }
  // Runs the body on one thread; %r2 to %r5 are x, y, z and layer, %rd2 points to 64 bytes that it may fill.
  std::vector<std::uint8_t> Run(const std::string& body, std::int32_t x, std::int32_t y = 0, std::int32_t z = 0,
                                std::int32_t layer = 0) {
    const std::string text =
        KernelText("mov.u32 %r2, " + std::to_string(x) + "; mov.u32 %r3, " + std::to_string(y) + "; mov.u32 %r4, " +
                   std::to_string(z) + "; mov.u32 %r5, " + std::to_string(layer) + ";\n" + body);
    const Status loaded = machine_.Load(text);
    EXPECT_TRUE(loaded.ok()) << loaded.ToString();
    if (!loaded.ok()) return std::vector<std::uint8_t>(64);
    const std::uint64_t out = machine_.Allocate(64);
    fault_ = machine_.Run({1, 1, 1}, {1, 1, 1}, {kHandle, out});
    std::vector<std::uint8_t> got(64);
    std::memcpy(got.data(), machine_.At<void>(out), got.size());
    return got;
  }
  std::vector<std::uint8_t> BytesAt(std::uint64_t offset, std::size_t count) {
    const auto* from = machine_.At<std::uint8_t>(level_.address) + offset;
    return {from, from + count};
  }
  void ExpectUntouched() {
    for (std::uint64_t i = 0; i < bytes_; ++i) ASSERT_EQ(machine_.At<std::uint8_t>(level_.address)[i], Pattern(i)) << i;
  }

  Machine machine_;
  TextureTable table_;
  TextureJob::Level level_;
  std::uint64_t bytes_ = 0;
  std::optional<Fault> fault_;
};

struct Access {
  const char* vector;
  const char* registers;
  const char* type;
  const char* memory;
  std::uint32_t bytes;
};
constexpr Access kAccesses[] = {{"", "{%rs1}", "b8", "u8", 1},
                                {".v2", "{%rs1,%rs2}", "b8", "u8", 2},
                                {".v4", "{%rs1,%rs2,%rs3,%rs4}", "b8", "u8", 4},
                                {"", "{%rs1}", "b16", "u16", 2},
                                {".v4", "{%rs1,%rs2,%rs3,%rs4}", "b16", "u16", 8},
                                {"", "{%r6}", "b32", "u32", 4},
                                {".v2", "{%r6,%r7}", "b32", "u32", 8},
                                {".v4", "{%r6,%r7,%r8,%r9}", "b32", "u32", 16},
                                {"", "{%rd6}", "b64", "u64", 8},
                                {".v2", "{%rd6,%rd7}", "b64", "u64", 16}};

TEST_F(SurfaceTest, LoadsAndStoresOfEverySize) {
  for (const Access& a : kAccesses) {
    const std::string load = std::string("suld.b.2d") + a.vector + "." + a.type + ".trap " + a.registers +
                             ", [%rd1, {%r2,%r3}];\n st.global" + a.vector + "." + a.memory + " [%rd2], " +
                             a.registers + ";";
    Make(8, 4, 0);
    auto got = Run(load, static_cast<std::int32_t>(3 * a.bytes), 2);
    ASSERT_FALSE(fault_.has_value()) << fault_->text;
    got.resize(a.bytes);
    EXPECT_EQ(got, BytesAt(2 * level_.pitch + 3 * a.bytes, a.bytes)) << load;
    const std::string store = std::string("ld.global") + a.vector + "." + a.memory + " " + a.registers +
                              ", [%rd3];\n sust.b.2d" + a.vector + "." + a.type + ".trap [%rd1, {%r2,%r3}], " +
                              a.registers + ";";
    const Status loaded =
        machine_.Load(KernelText("mov.u32 %r2, " + std::to_string(a.bytes) + "; mov.u32 %r3, 3;\n" + store));
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
    const std::uint64_t in = machine_.Allocate(16);
    for (std::uint32_t i = 0; i < 16; ++i) machine_.At<std::uint8_t>(in)[i] = static_cast<std::uint8_t>(0xf0 + i);
    const auto before = BytesAt(3 * level_.pitch + 2 * a.bytes, 4);
    ASSERT_FALSE(machine_.Run({1, 1, 1}, {1, 1, 1}, {kHandle, 0, in}).has_value());
    std::vector<std::uint8_t> expected(machine_.At<std::uint8_t>(in), machine_.At<std::uint8_t>(in) + a.bytes);
    EXPECT_EQ(BytesAt(3 * level_.pitch + a.bytes, a.bytes), expected) << store;
    EXPECT_EQ(BytesAt(3 * level_.pitch + 2 * a.bytes, 4), before) << store;
  }
}

TEST_F(SurfaceTest, EveryGeometry) {
  const std::string kept = " st.global.u32 [%rd2], %r6;";
  const auto word = [this](std::uint64_t offset) { return BytesAt(offset, 4); };
  const auto first = [](std::vector<std::uint8_t> all) {
    all.resize(4);
    return all;
  };
  Make(8, 0, 0);
  EXPECT_EQ(first(Run("suld.b.1d.b32.trap {%r6}, [%rd1, {%r2}];" + kept, 20)), word(20));
  Make(8, 4, 3);
  EXPECT_EQ(first(Run("suld.b.3d.b32.trap {%r6}, [%rd1, {%r2,%r3,%r4,%r4}];" + kept, 8, 3, 2)),
            word(2 * level_.slice + 3 * level_.pitch + 8));
  Make(8, 0, 5, kLayered);
  EXPECT_EQ(first(Run("suld.b.a1d.b32.trap {%r6}, [%rd1, {%r5,%r2}];" + kept, 12, 0, 0, 4)),
            word(4 * level_.slice + 12));
  Make(8, 4, 5, kLayered);
  EXPECT_EQ(first(Run("suld.b.a2d.b32.trap {%r6}, [%rd1, {%r5,%r2,%r3,%r3}];" + kept, 12, 1, 0, 3)),
            word(3 * level_.slice + level_.pitch + 12));
}

TEST_F(SurfaceTest, OutsideOfTheSurface) {
  const struct {
    std::int32_t x, y;
    std::uint64_t nearest;  // offset
  } cases[] = {{-4, 1, 0}, {128, 1, 124}, {8, -1, 8}, {8, 4, 8}, {200, 50, 124}};
  for (const auto& one : cases) {
    Make(8, 4, 0);
    auto got =
        Run("mov.u32 %r6, 99; suld.b.2d.b32.zero {%r6}, [%rd1, {%r2,%r3}]; st.global.u32 [%rd2], %r6;", one.x, one.y);
    ASSERT_FALSE(fault_.has_value());
    EXPECT_EQ(got[0] | got[1] | got[2] | got[3], 0);
    got = Run("suld.b.2d.b32.clamp {%r6}, [%rd1, {%r2,%r3}]; st.global.u32 [%rd2], %r6;", one.x, one.y);
    got.resize(4);
    const auto row = static_cast<std::uint64_t>(std::clamp(one.y, 0, 3));
    EXPECT_EQ(got, BytesAt(row * level_.pitch + one.nearest, 4)) << one.x << " " << one.y;
    Run("sust.b.2d.b32.zero [%rd1, {%r2,%r3}], {%r2};", one.x, one.y);
    ASSERT_FALSE(fault_.has_value());
    ExpectUntouched();
    Run("sust.b.2d.b32.trap [%rd1, {%r2,%r3}], {%r2};", one.x, one.y);
    ASSERT_TRUE(fault_.has_value());
    EXPECT_EQ(fault_->status, kDeviceLaunchFailed);
    EXPECT_NE(fault_->text.find("kernel k"), std::string::npos) << fault_->text;
    ExpectUntouched();
    Run("sust.b.2d.b32.clamp [%rd1, {%r2,%r3}], {%r2};", one.x, one.y);
    ASSERT_FALSE(fault_.has_value());
    std::uint32_t stored = 0;
    std::memcpy(&stored, BytesAt(row * level_.pitch + one.nearest, 4).data(), 4);
    EXPECT_EQ(stored, static_cast<std::uint32_t>(one.x));
  }
}

TEST_F(SurfaceTest, MisalignedUnknownAndWrongObjectsAreFaults) {
  Make(8, 4, 0);
  Run("suld.b.2d.b32.trap {%r6}, [%rd1, {%r2,%r3}];", 6, 1);
  ASSERT_TRUE(fault_.has_value());
  EXPECT_EQ(fault_->status, kDeviceMisaligned);
  Run("mov.u64 %rd1, 3; suld.b.2d.b32.trap {%r6}, [%rd1, {%r2,%r3}];", 4, 1);
  ASSERT_TRUE(fault_.has_value());
  EXPECT_EQ(fault_->status, kDeviceIllegalAddress);
  auto texture = std::make_shared<Texture>(*table_[kHandle]);
  texture->is_surface = false;
  table_[kHandle] = texture;
  Run("sust.b.2d.b32.trap [%rd1, {%r2,%r3}], {%r2};", 4, 1);
  ASSERT_TRUE(fault_.has_value());
  EXPECT_EQ(fault_->status, kDeviceIllegalAddress);
  ExpectUntouched();
}

TEST_F(SurfaceTest, Reductions) {
  const struct {
    const char* operation;
    const char* type;
    std::uint32_t old, with, expected;
  } cases[] = {{"add", "u32", 0xfffffffe, 5, 3},          {"min", "u32", 7, 0xffffffff, 7},
               {"max", "u32", 7, 0xffffffff, 0xffffffff}, {"min", "s32", 7, 0xffffffff, 0xffffffff},
               {"max", "s32", 7, 0xffffffff, 7},          {"and", "b32", 0xff0f, 0x0ff0, 0x0f00},
               {"or", "b32", 0xff0f, 0x0ff0, 0xffff}};
  for (const auto& one : cases) {
    Make(8, 4, 0);
    *machine_.At<std::uint32_t>(level_.address + level_.pitch + 8) = one.old;
    Run("mov.u32 %r6, " + std::to_string(one.with) + "; sured.b." + one.operation + ".2d." + one.type +
            ".trap [%rd1, {%r2,%r3}], %r6;",
        8, 1);
    ASSERT_FALSE(fault_.has_value()) << fault_->text;
    EXPECT_EQ(*machine_.At<std::uint32_t>(level_.address + level_.pitch + 8), one.expected)
        << one.operation << " " << one.type;
  }
  // All lanes of a block on one word.
  Make(8, 4, 0);
  *machine_.At<std::uint64_t>(level_.address) = 0;
  ASSERT_TRUE(
      machine_.Load(KernelText("mov.u32 %r2, 0; cvt.u64.u32 %rd6, %r1; sured.b.add.1d.u64.zero [%rd1, {%r2}], %rd6;"))
          .ok());
  ASSERT_FALSE(machine_.Run({1, 1, 1}, {128, 1, 1}, {kHandle}).has_value());
  EXPECT_EQ(*machine_.At<std::uint64_t>(level_.address), 127u * 128 / 2);
}

TEST_F(SurfaceTest, FormattedStoresCountTexels) {
  Make(8, 4, 0, 0, 0x01, 4);  // bytes
  Run("mov.u32 %r6, 1; mov.u32 %r7, 300; mov.u32 %r8, 3; mov.u32 %r9, 255;\n"
      "sust.p.2d.v4.b32.trap [%rd1, {%r2,%r3}], {%r6,%r7,%r8,%r9};",
      5, 2);
  ASSERT_FALSE(fault_.has_value()) << fault_->text;
  EXPECT_EQ(BytesAt(2 * level_.pitch + 5 * 4, 4), (std::vector<std::uint8_t>{1, 255, 3, 255}));
  Make(8, 4, 0, 0, 0x10, 1);  // halves
  Run("mov.f32 %f1, 0f40200000; sust.p.2d.f32.trap [%rd1, {%r2,%r3}], {%f1};", 3, 1);
  ASSERT_FALSE(fault_.has_value()) << fault_->text;
  EXPECT_EQ(BytesAt(level_.pitch + 6, 2), (std::vector<std::uint8_t>{0x00, 0x41}));
}

TEST_F(SurfaceTest, WhatIsNotThereIsRefusedByName) {
  for (const char* body :
       {"suld.p.2d.b32.trap {%r6}, [%rd1, {%r2,%r3}];", "suld.b.cube.b32.trap {%r6}, [%rd1, {%r2,%r3,%r4,%r4}];",
        "sured.b.add.2d.f32.trap [%rd1, {%r2,%r3}], %f1;",
        "suld.b.2d.v4.b64.trap {%rd5,%rd6,%rd7,%rd8}, [%rd1, {%r2,%r3}];"}) {
    EXPECT_EQ(machine_.Load(KernelText(body)).code(), Code::kUnsupported) << body;
  }
}

}  // namespace
}  // namespace accelmesh::tier0
