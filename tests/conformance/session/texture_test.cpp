// Texture and surface objects: their place in the order of things, and what a kernel gets that names none.
#include "tests/conformance/session/world.h"

namespace accelmesh::conformance {
namespace {

constexpr DeviceResult kInvalid = 1;
constexpr DeviceResult kIllegalAddress = 700;
constexpr std::uint32_t kTexels = 32;

constexpr std::string_view kPtx = R"ptx(
.version 8.0
.target sm_80
.address_size 64

// out[i] = the texel i
.visible .entry read_line(.param .u64 texture, .param .u64 out)
{
  .reg .b32 %r<6>;
  .reg .b64 %rd<5>;
  ld.param.u64 %rd1, [texture];
  ld.param.u64 %rd2, [out];
  mov.u32 %r1, %tid.x;
  tex.1d.v4.u32.s32 {%r2, %r3, %r4, %r5}, [%rd1, {%r1}];
  mul.wide.u32 %rd3, %r1, 4;
  add.u64 %rd4, %rd2, %rd3;
  st.global.u32 [%rd4], %r2;
  ret;
}

// each word of a line gets as much more
.visible .entry raise_line(.param .u64 surface, .param .u32 more)
{
  .reg .b32 %r<6>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [surface];
  ld.param.u32 %r1, [more];
  mov.u32 %r2, %tid.x;
  shl.b32 %r3, %r2, 2;
  suld.b.1d.b32.trap {%r4}, [%rd1, {%r3}];
  add.u32 %r5, %r4, %r1;
  sust.b.1d.b32.trap [%rd1, {%r3}], {%r5};
  ret;
}
)ptx";

class TextureTest : public SessionTest {
 protected:
  void Run(Stream* stream, const char* kernel, std::uint64_t first, std::uint64_t second) {
    if (textures_ == nullptr) textures_ = session().LoadModule(0, AsBytes(kPtx));
    ASSERT_EQ(textures_->error, 0u);
    void* arguments[] = {&first, &second};
    const LaunchGeometry geometry{{1, 1, 1}, {kTexels, 1, 1}};
    ASSERT_EQ(session().Launch(stream, textures_->kernels.at(kernel), geometry, arguments), 0u);
  }
  static ArrayShape Line() {
    ArrayShape shape;
    shape.format = ArrayFormat::kUnsigned32;
    shape.element_bytes = 4;
    shape.width = kTexels;
    shape.flags = ArrayShape::kSurface;
    return shape;
  }
  std::uint64_t Create(bool is_surface, TextureResource::Source source, const TextureResource::Level& level) {
    TextureResource resource;
    resource.source = source;
    resource.shape = level.shape;
    resource.levels.push_back(level);
    TextureSampling sampling;
    sampling.flags = 1;  // integers as they are
    std::uint64_t handle = 0;
    EXPECT_EQ(session().CreateTexture(is_surface, resource, sampling, std::nullopt, nullptr, &handle), 0u);
    return handle;
  }
  std::uint64_t OverMemory(std::uint64_t address) {
    return Create(false, TextureResource::Source::kLinear, {address, 4 * kTexels, 4 * kTexels, Line()});
  }
  std::uint64_t OverArray(bool is_surface, const Array& array) {
    return Create(is_surface, TextureResource::Source::kArray, {array.address, array.pitch, array.slice, array.shape});
  }
  static std::vector<std::uint32_t> Numbers(std::uint32_t first) {
    std::vector<std::uint32_t> numbers(kTexels);
    for (std::uint32_t i = 0; i < kTexels; ++i) numbers[i] = first + i;
    return numbers;
  }
  std::vector<std::uint32_t> ReadBack(std::uint64_t address) {
    std::vector<std::uint32_t> got(kTexels);
    EXPECT_EQ(session().CopyToHost(legacy(), got.data(), address, 4 * kTexels, true), 0u);
    return got;
  }

  std::shared_ptr<const LoadedModule> textures_;
};

TEST_P(TextureTest, DestroyedBehindItsLaunches) {
  const std::uint64_t gate = Zeros(4);
  const std::uint64_t memory = Malloc(4 * kTexels);
  const std::uint64_t out = Zeros(4 * kTexels);
  const auto in = Numbers(700);
  ASSERT_EQ(session().CopyToDevice(legacy(), memory, in.data(), 4 * kTexels, true), 0u);
  const std::uint64_t texture = OverMemory(memory);
  Stream* a = NewStream(wire::StreamKind::NonBlocking);
  Stream* b = NewStream(wire::StreamKind::NonBlocking);
  Launch(a, "wait_gate", {gate});
  // More than go to the backend at a time: some are still with the executor when the object is destroyed.
  for (std::size_t i = 0; i < 2 * limits::kStreamInFlightMax; ++i) Run(a, "read_line", texture, out);
  EXPECT_EQ(session().DestroyTexture(texture, false), 0u);
  EXPECT_EQ(session().DestroyTexture(texture, false), kInvalid);
  Launch(b, "open_gate", {gate});
  ASSERT_EQ(session().Synchronize(*a), 0u);
  EXPECT_EQ(ReadBack(out), in);
}

TEST_P(TextureTest, AnArrayKeepsWhatItHeldWhenItGetsItsFirstObject) {
  Array* array = nullptr;
  ASSERT_EQ(session().CreateArray(0, Line(), &array), 0u);
  const std::uint64_t out = Zeros(4 * kTexels);
  const auto in = Numbers(30);
  Stream* a = NewStream(wire::StreamKind::NonBlocking);
  // Not waited for: the object is made behind it all the same.
  ASSERT_EQ(session().CopyToDevice(a, array->address, in.data(), 4 * kTexels, false), 0u);
  const std::uint64_t surface = OverArray(true, *array);
  const std::uint64_t texture = OverArray(false, *array);
  ASSERT_EQ(session().Synchronize(*a), 0u);
  Run(a, "raise_line", surface, 1000);
  Run(a, "read_line", texture, out);
  ASSERT_EQ(session().Synchronize(*a), 0u);
  EXPECT_EQ(ReadBack(out), Numbers(1030));
  // Copies see what kernels have written, and kernels what copies have.
  EXPECT_EQ(ReadBack(array->address), Numbers(1030));
  const auto anew = Numbers(5);
  ASSERT_EQ(session().CopyToDevice(a, array->address, anew.data(), 4 * kTexels, false), 0u);
  Run(a, "raise_line", surface, 2);
  ASSERT_EQ(session().CopyOnDevice(a, out, array->address, 4 * kTexels), 0u);
  ASSERT_EQ(session().Synchronize(*a), 0u);
  EXPECT_EQ(ReadBack(out), Numbers(7));
  EXPECT_EQ(session().DestroyTexture(texture, false), 0u);
  EXPECT_EQ(session().DestroyTexture(surface, true), 0u);
  EXPECT_EQ(session().DestroyArray(array), 0u);
}

TEST_P(TextureTest, AHandleOfNothingIsAnIllegalAddress) {
  expect_errors_ = true;
  const std::uint64_t out = Zeros(4 * kTexels);
  Run(legacy(), "read_line", 0x123456789, out);
  EXPECT_EQ(session().Synchronize(*legacy()), 0u);
  EXPECT_EQ(session().StickyError(), kIllegalAddress);
}

INSTANTIATE_TEST_SUITE_P(All, TextureTest, ::testing::ValuesIn(AllSettings()), NameOfSetting);

}  // namespace
}  // namespace accelmesh::conformance
