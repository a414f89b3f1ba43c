// Every row of tier0/texture.cpp, against the formulas of the CUDA programming guide ("Texture Fetching") and the
// tables of the PTX ISA, written down here once more.
#include <cmath>
#include <cstring>
#include <random>

#include "server/backend/cpu/tier0/texture.h"
#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

constexpr std::uint8_t kFloat = 0x20;
constexpr std::uint8_t kWrap = 0;
constexpr std::uint8_t kClamp = 1;
constexpr std::uint8_t kMirror = 2;
constexpr std::uint8_t kBorder = 3;
constexpr std::uint32_t kNormalized = 0x02;
constexpr std::uint32_t kSeamless = 0x40;
constexpr std::uint32_t kLayered = 1;
constexpr std::uint32_t kCubemap = 4;

// A texture of floats of one channel, and what its texels are.
struct Image {
  std::int64_t width = 1, height = 1, depth = 1;
  std::vector<float> texels;
  float At(std::int64_t x, std::int64_t y, std::int64_t z) const {
    return texels[static_cast<std::size_t>((z * height + y) * width + x)];
  }
};

Image Noise(std::int64_t width, std::int64_t height, std::int64_t depth) {
  std::mt19937 random(static_cast<unsigned>(width * 31 + height * 7 + depth));
  Image image{width, height, depth, {}};
  for (std::int64_t i = 0; i < width * height * depth; ++i)
    image.texels.push_back(static_cast<float>(random() % 2001) / 4 - 250);
  return image;
}

// The guide: where a repeated coordinate lies, which texels a filter takes, and what is outside.
double Unit(double x, std::uint8_t mode) {
  const double whole = std::floor(x);
  if (mode == kWrap) return x - whole;
  if (mode == kMirror) return std::fmod(whole, 2) == 0 ? x - whole : 1 - (x - whole);
  return x;
}
double Outside(const Image& image, std::int64_t x, std::int64_t y, std::int64_t z, std::uint8_t mode, double border) {
  const auto fix = [mode](std::int64_t i, std::int64_t n) {
    if (mode == kBorder) return i < 0 || i >= n ? -1 : i;
    if (mode == kWrap) return (i + n) % n;
    return std::min(std::max<std::int64_t>(i, 0), n - 1);
  };
  const std::int64_t a = fix(x, image.width);
  const std::int64_t b = image.height == 1 ? 0 : fix(y, image.height);
  const std::int64_t c = image.depth == 1 ? 0 : fix(z, image.depth);
  return a < 0 || b < 0 || c < 0 ? border : image.At(a, b, c);
}
double Reference(const Image& image, const std::array<double, 3>& at, std::uint8_t mode, bool linear, bool normalized,
                 double border = 0) {
  const std::int64_t extent[] = {image.width, image.height, image.depth};
  std::int64_t first[3] = {};
  double weight[3] = {};
  for (std::size_t d = 0; d < 3; ++d) {
    if (extent[d] == 1) continue;
    const double x = normalized ? Unit(at[d], mode) * static_cast<double>(extent[d]) : at[d];
    first[d] = static_cast<std::int64_t>(std::floor(linear ? x - 0.5 : x));
    if (linear) weight[d] = std::round((x - 0.5 - static_cast<double>(first[d])) * 256) / 256;
    if (!linear && mode == kMirror) first[d] = std::min(first[d], extent[d] - 1);
  }
  double sum = 0;
  for (std::int64_t corner = 0; corner < 8; ++corner) {
    double share = 1;
    std::int64_t texel[3];
    for (std::size_t d = 0; d < 3; ++d) {
      const std::int64_t second = corner >> d & 1;
      share *= second != 0 ? weight[d] : 1 - weight[d];
      texel[d] = first[d] + second;
    }
    if (share != 0) sum += share * Outside(image, texel[0], texel[1], texel[2], mode, border);
  }
  return sum;
}

class TextureTest : public ::testing::Test {
 protected:
  // A job of one level with the texels in device memory, rows 32 bytes further apart than they must be.
  TextureJob Job(const Image& image, std::uint32_t dimensions, std::uint32_t flags = 0) {
    TextureJob job;
    job.source = TextureJob::Source::kArray;
    job.format = kFloat;
    job.channels = 1;
    job.array_flags = flags;
    job.levels.push_back(Level(image, dimensions, flags));
    job.sampling.address = {kClamp, kClamp, kClamp};
    return job;
  }
  TextureJob::Level Level(const Image& image, std::uint32_t dimensions, std::uint32_t flags = 0) {
    TextureJob::Level level;
    level.width = static_cast<std::uint64_t>(image.width);
    level.pitch = level.width * 4 + 32;
    level.slice = level.pitch * static_cast<std::uint64_t>(image.height);
    level.address = machine_.Allocate(level.slice * static_cast<std::uint64_t>(image.depth));
    if (dimensions > 1) level.height = static_cast<std::uint32_t>(image.height);
    if (dimensions > 2 || flags != 0) level.depth = static_cast<std::uint32_t>(image.depth);
    for (std::int64_t z = 0; z < image.depth; ++z) {
      for (std::int64_t y = 0; y < image.height; ++y) {
        std::memcpy(machine_.At<void>(level.address + static_cast<std::uint64_t>(z) * level.slice +
                                      static_cast<std::uint64_t>(y) * level.pitch),
                    &image.texels[static_cast<std::size_t>((z * image.height + y) * image.width)], level.width * 4);
      }
    }
    return level;
  }
  std::uint64_t Add(const TextureJob& job) {
    auto made = MakeTexture(job);
    EXPECT_TRUE(made.ok()) << made.status().ToString();
    if (!made.ok()) return 0;
    const std::uint64_t handle = 1000 + table_.size();
    table_[handle] = *std::move(made);
    return handle;
  }
  // Runs `fetch` once a place: %f0 to %f2 (and %r4 to %r6, their bits) are the place, %r2 its layer, %f3 its level,
  // %rd1 the object; what it leaves in %f4 to %f7 is the result.
  struct At {
    float x = 0, y = 0, z = 0, level = 0;
    std::uint32_t layer = 0, unused[3] = {};
  };
  std::vector<std::array<std::uint32_t, 4>> Run(const std::string& fetch, std::uint64_t handle,
                                                const std::vector<At>& places) {
    const std::string body = "mov.u32 %r3, %ctaid.x; mad.lo.u32 %r1, %r3, 64, %r1; setp.ge.u32 %p0, %r1, " +
                             std::to_string(places.size()) +
                             "; @%p0 ret;\n"
                             "mad.wide.u32 %rd5, %r1, 32, %rd2; mad.wide.u32 %rd6, %r1, 16, %rd3;\n"
                             "ld.global.v4.f32 {%f0,%f1,%f2,%f3}, [%rd5]; ld.global.u32 %r2, [%rd5+16];\n"
                             "mov.b32 %r4, %f0; mov.b32 %r5, %f1; mov.b32 %r6, %f2;\n" +
                             fetch + "\nst.global.v4.f32 [%rd6], {%f4,%f5,%f6,%f7};";
    const Status loaded = machine_.Load(KernelText(body));
    EXPECT_TRUE(loaded.ok()) << loaded.ToString();
    if (!loaded.ok()) return {};
    const std::uint64_t in = machine_.Allocate(places.size() * sizeof(At));
    const std::uint64_t out = machine_.Allocate(places.size() * 16);
    std::memcpy(machine_.At<void>(in), places.data(), places.size() * sizeof(At));
    machine_.set_textures(&table_);
    const auto blocks = static_cast<std::uint32_t>((places.size() + 63) / 64);
    fault_ = machine_.Run({blocks, 1, 1}, {64, 1, 1}, {handle, in, out});
    std::vector<std::array<std::uint32_t, 4>> got(places.size());
    std::memcpy(got.data(), machine_.At<void>(out), places.size() * 16);
    return got;
  }
  std::vector<float> Floats(const std::string& fetch, std::uint64_t handle, const std::vector<At>& places) {
    std::vector<float> floats;
    for (const auto& color : Run(fetch, handle, places)) floats.push_back(std::bit_cast<float>(color[0]));
    EXPECT_FALSE(fault_.has_value()) << fault_->text;
    return floats;
  }
  static std::vector<At> Places(double reach, bool linear, bool normalized) {
    std::mt19937 random(77);
    std::vector<At> places;
    const auto one = [&] {
      double x = (static_cast<double>(random() % 4096) / 4096 * 2 - 0.5) * reach;
      x = std::floor(x * 64) / 64 + (linear ? 0 : 1.0 / 256);
      return static_cast<float>(normalized ? x / reach : x);
    };
    for (int i = 0; i < 1500; ++i) {
      At at{one(), 0, 0, 0, static_cast<std::uint32_t>(random() % 9), {}};
      at.y = one();
      at.z = one();
      places.push_back(at);
    }
    return places;
  }

  Machine machine_;
  TextureTable table_;
  std::optional<Fault> fault_;
};

const std::string kTo = "{%f4,%f5,%f6,%f7}, ";
const std::string kFetch[] = {"tex.1d.v4.f32.f32 " + kTo + "[%rd1, {%f0}];",
                              "tex.2d.v4.f32.f32 " + kTo + "[%rd1, {%f0,%f1}];",
                              "tex.3d.v4.f32.f32 " + kTo + "[%rd1, {%f0,%f1,%f2,%f2}];"};

TEST_F(TextureTest, EveryModeFilterAndDimension) {
  const Image images[] = {Noise(64, 1, 1), Noise(32, 64, 1), Noise(16, 8, 32)};
  for (std::uint32_t dimensions = 1; dimensions <= 3; ++dimensions) {
    const Image& image = images[dimensions - 1];
    for (const std::uint8_t mode : {kWrap, kClamp, kMirror, kBorder}) {
      for (const bool linear : {false, true}) {
        for (const bool normalized : {false, true}) {
          machine_.Reset();
          table_.clear();
          TextureJob job = Job(image, dimensions);
          job.sampling.address = {mode, mode, mode};
          job.sampling.filter = linear ? 1 : 0;
          job.sampling.flags = normalized ? kNormalized : 0;
          job.sampling.border = {12.5f, 1, 2, 3};
          const std::uint64_t handle = Add(job);
          const std::vector<At> places = Places(64, linear, normalized);
          const std::vector<float> got = Floats(kFetch[dimensions - 1], handle, places);
          // Modes that repeat need coordinates that are normalized; without, they are as clamping.
          const bool repeats = mode == kWrap || mode == kMirror;
          const std::uint8_t effective = repeats && !normalized ? kClamp : mode;
          for (std::size_t i = 0; i < got.size(); ++i) {
            const double expected =
                Reference(image, {places[i].x, places[i].y, places[i].z}, effective, linear, normalized, 12.5);
            ASSERT_NEAR(got[i], expected, 1e-3)
                << dimensions << "D, mode " << int{mode} << ", linear " << linear << ", normalized " << normalized
                << ", at " << places[i].x << " " << places[i].y << " " << places[i].z;
          }
        }
      }
    }
  }
}

TEST_F(TextureTest, ChannelsThatAreNotThere) {
  const Image image = Noise(4, 1, 1);
  const auto got = Run(kFetch[0], Add(Job(image, 1)), {{1.5f}});
  EXPECT_EQ(std::bit_cast<float>(got[0][0]), image.texels[1]);
  EXPECT_EQ(got[0][1], 0u);
  EXPECT_EQ(got[0][2], 0u);
  EXPECT_EQ(std::bit_cast<float>(got[0][3]), 1.0f);
}

TEST_F(TextureTest, IntegerCoordinatesNameTexels) {
  const Image image = Noise(20, 10, 1);
  TextureJob job = Job(image, 2);
  job.sampling.filter = 1;
  const std::uint64_t handle = Add(job);
  std::vector<At> places;
  for (int x = -3; x < 24; ++x) {
    for (int y = -2; y < 13; ++y) places.push_back({std::bit_cast<float>(x), std::bit_cast<float>(y), 0, 0, 0, {}});
  }
  const std::vector<float> got = Floats("tex.2d.v4.f32.s32 " + kTo + "[%rd1, {%r4,%r5}];", handle, places);
  for (std::size_t i = 0; i < got.size(); ++i) {
    const int x = std::clamp(std::bit_cast<int>(places[i].x), 0, 19);
    const int y = std::clamp(std::bit_cast<int>(places[i].y), 0, 9);
    ASSERT_EQ(got[i], image.At(x, y, 0)) << x << " " << y;
  }
}

TEST_F(TextureTest, LinearMemoryEndsWithNothing) {
  const Image image = Noise(10, 1, 1);
  TextureJob job = Job(image, 1);
  job.source = TextureJob::Source::kLinear;
  job.sampling.border = {9, 9, 9, 9};
  std::vector<At> places;
  for (int x = -2; x < 13; ++x) places.push_back({std::bit_cast<float>(x), 0, 0, 0, 0, {}});
  const std::vector<float> got = Floats("tex.1d.v4.f32.s32 " + kTo + "[%rd1, {%r4}];", Add(job), places);
  for (int x = -2; x < 13; ++x)
    EXPECT_EQ(got[static_cast<std::size_t>(x + 2)], x < 0 || x > 9 ? 0 : image.At(x, 0, 0)) << x;
}

TEST_F(TextureTest, LayersAreClamped) {
  const Image lines = Noise(16, 1, 5);
  const Image planes = Noise(16, 8, 5);
  const std::uint64_t one = Add(Job(lines, 1, kLayered));
  const std::uint64_t two = Add(Job(planes, 2, kLayered));
  const std::vector<At> places = Places(16, false, false);
  const std::vector<float> a = Floats("tex.a1d.v4.f32.f32 " + kTo + "[%rd1, {%r2,%f0}];", one, places);
  const std::vector<float> b = Floats("tex.a2d.v4.f32.f32 " + kTo + "[%rd1, {%r2,%f0,%f1,%f1}];", two, places);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto fix = [](float x, std::int64_t n) {
      return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::floor(x)), 0, n - 1);
    };
    const std::int64_t layer = std::min(places[i].layer, 4u);
    EXPECT_EQ(a[i], lines.At(fix(places[i].x, 16), 0, layer));
    EXPECT_EQ(b[i], planes.At(fix(places[i].x, 16), fix(places[i].y, 8), layer));
  }
}

TEST_F(TextureTest, ViewsOfLayersBeginAtTheirFirst) {
  const Image planes = Noise(16, 8, 5);
  TextureJob job = Job(planes, 2, kLayered);
  job.view = TextureJob::View{0, 0, 1, 3, 0};
  std::vector<At> places;
  for (std::uint32_t layer = 0; layer < 6; ++layer) places.push_back({4.5f, 2.5f, 0, 0, layer, {}});
  const std::vector<float> got = Floats("tex.a2d.v4.f32.f32 " + kTo + "[%rd1, {%r2,%f0,%f1,%f1}];", Add(job), places);
  for (std::int64_t layer = 0; layer < 6; ++layer)
    EXPECT_EQ(got[static_cast<std::size_t>(layer)], planes.At(4, 2, 1 + std::min<std::int64_t>(layer, 2))) << layer;
}

TEST_F(TextureTest, JustBelowZeroIsTheLastTexel) {
  const Image line = Noise(16, 1, 1);
  TextureJob job = Job(line, 1);
  job.sampling.address = {kWrap, kWrap, kWrap};
  job.sampling.flags = kNormalized;
  EXPECT_EQ(Floats(kFetch[0], Add(job), {{-1e-30f}})[0], line.texels[15]);
}

// The ISA's table of faces.
std::array<double, 3> OnFace(const std::array<double, 3>& d) {
  const double x = d[0];
  const double y = d[1];
  const double z = d[2];
  if (std::fabs(x) > std::fabs(y) && std::fabs(x) > std::fabs(z)) {
    return x > 0 ? std::array{0.0, (-z / x + 1) / 2, (-y / x + 1) / 2}
                 : std::array{1.0, (z / -x + 1) / 2, (-y / -x + 1) / 2};
  }
  if (std::fabs(y) > std::fabs(z)) {
    return y > 0 ? std::array{2.0, (x / y + 1) / 2, (z / y + 1) / 2}
                 : std::array{3.0, (x / -y + 1) / 2, (-z / -y + 1) / 2};
  }
  return z > 0 ? std::array{4.0, (x / z + 1) / 2, (-y / z + 1) / 2}
               : std::array{5.0, (-x / -z + 1) / 2, (-y / -z + 1) / 2};
}

TEST_F(TextureTest, FacesOfCubes) {
  const Image cubes = Noise(8, 8, 12);
  TextureJob job = Job(cubes, 2, kCubemap | kLayered);
  job.sampling.flags = kNormalized;
  const std::uint64_t many = Add(job);
  job.array_flags = kCubemap;
  job.levels[0].depth = 6;
  const std::uint64_t one = Add(job);
  std::mt19937 random(5);
  std::vector<At> places;
  for (int i = 0; i < 2000; ++i) {
    const auto part = [&] { return static_cast<float>(random() % 20011) / 10000 - 1; };
    At at{part(), 0, 0, 0, static_cast<std::uint32_t>(random() % 4), {}};
    at.y = part();
    at.z = part();
    places.push_back(at);
  }
  const std::vector<float> a = Floats("tex.cube.v4.f32.f32 " + kTo + "[%rd1, {%f0,%f1,%f2,%f2}];", one, places);
  const std::vector<float> b = Floats("tex.acube.v4.f32.f32 " + kTo + "[%rd1, {%r2,%f0,%f1,%f2}];", many, places);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto on = OnFace({places[i].x, places[i].y, places[i].z});
    const auto face = static_cast<std::int64_t>(on[0]);
    // Where two texels meet either may be taken.
    const double s = on[1] * 8;
    const double t = on[2] * 8;
    if (std::fabs(s - std::round(s)) < 1e-4 || std::fabs(t - std::round(t)) < 1e-4) continue;
    const auto x = static_cast<std::int64_t>(s);
    const auto y = static_cast<std::int64_t>(t);
    ASSERT_EQ(a[i], cubes.At(x, y, face)) << places[i].x << " " << places[i].y << " " << places[i].z;
    ASSERT_EQ(b[i], cubes.At(x, y, face + 6 * std::min(places[i].layer, 1u)));
  }
}

TEST_F(TextureTest, SeamlessCubesHaveNoSeams) {
  // A face each of one value: across an edge the filter goes from one to the other, and at a corner three meet.
  Image image{4, 4, 6, {}};
  for (int face = 0; face < 6; ++face) image.texels.insert(image.texels.end(), 16, static_cast<float>(1 << face));
  TextureJob job = Job(image, 2, kCubemap);
  job.sampling.flags = kNormalized | kSeamless;
  job.sampling.filter = 1;
  const std::vector<float> got =
      Floats("tex.cube.v4.f32.f32 " + kTo + "[%rd1, {%f0,%f1,%f2,%f2}];", Add(job),
             {{1, 0, 0}, {1, 0.99999f, 0}, {0.99999f, 1, 0}, {-1, 0, -0.99999f}, {1, 0.99999f, 0.99999f}});
  EXPECT_FLOAT_EQ(got[0], 1);
  EXPECT_NEAR(got[1], (1 + 4) / 2.0, 0.02);
  EXPECT_NEAR(got[2], (1 + 4) / 2.0, 0.02);
  EXPECT_NEAR(got[3], (2 + 32) / 2.0, 0.2);
  EXPECT_NEAR(got[4], (1 + 4 + 16) / 3.0, 0.1);
}

TEST_F(TextureTest, GathersFourTexels) {
  const Image image = Noise(16, 8, 1);
  const std::uint64_t handle = Add(Job(image, 2));
  const std::vector<At> places = Places(16, false, false);
  const auto got = Run("tld4.r.2d.v4.f32.f32 " + kTo + "[%rd1, {%f0,%f1}];", handle, places);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto x = static_cast<std::int64_t>(std::floor(places[i].x - 0.5f));
    const auto y = static_cast<std::int64_t>(std::floor(places[i].y - 0.5f));
    const auto texel = [&](std::int64_t dx, std::int64_t dy) {
      return image.At(std::clamp<std::int64_t>(x + dx, 0, 15), std::clamp<std::int64_t>(y + dy, 0, 7), 0);
    };
    const float expected[] = {texel(0, 1), texel(1, 1), texel(1, 0), texel(0, 0)};
    for (std::size_t k = 0; k < 4; ++k) ASSERT_EQ(std::bit_cast<float>(got[i][k]), expected[k]) << i << " " << k;
  }
  const auto alpha = Run("tld4.a.2d.v4.f32.f32 " + kTo + "[%rd1, {%f0,%f1}];", handle, {{1, 1}});
  EXPECT_EQ(std::bit_cast<float>(alpha[0][2]), 1.0f);
}

TEST_F(TextureTest, LevelsByNumberByGradientAndBetween) {
  TextureJob job = Job(Noise(16, 16, 1), 2);
  job.source = TextureJob::Source::kMipmapped;
  job.levels.clear();
  for (int level = 0; level < 5; ++level) {
    Image image{16 >> level, 16 >> level, 1, {}};
    image.texels.assign(static_cast<std::size_t>(image.width * image.height), static_cast<float>(10 * level + 1));
    job.levels.push_back(Level(image, 2));
  }
  job.sampling.flags = kNormalized;
  job.sampling.mipmap_max = 100;
  const std::uint64_t nearest = Add(job);
  job.sampling.mipmap_filter = 1;
  const std::uint64_t between = Add(job);
  job.sampling.mipmap_bias = 1.5f;
  job.sampling.mipmap_min = 0.5f;
  job.sampling.mipmap_max = 3.25f;
  const std::uint64_t bounded = Add(job);
  job.view = TextureJob::View{1, 3, 0, 0, 0};
  const std::uint64_t part = Add(job);
  std::vector<At> places;
  for (int i = -16; i < 100; ++i) places.push_back({0.3f, 0.6f, 0, static_cast<float>(i) / 16 + 1.0f / 64, 0, {}});
  const std::string by_level = "tex.level.2d.v4.f32.f32 " + kTo + "[%rd1, {%f0,%f1}], %f3;";
  const auto bound = [](double v, double low, double high) { return std::min(std::max(v, low), high); };
  const auto a = Floats(by_level, nearest, places);
  const auto b = Floats(by_level, between, places);
  const auto c = Floats(by_level, bounded, places);
  const auto d = Floats(by_level, part, places);
  // One texel to the side and a quarter of one down: 2^level texels of the largest level.
  const auto e = Floats(
      "ex2.approx.f32 %f3, %f3; mul.f32 %f3, %f3, 0f3D800000; mul.f32 %f2, %f3, 0f3E800000;\n"
      "mov.f32 %f5, 0f00000000; tex.grad.2d.v4.f32.f32 {%f4,%f6,%f7,%f5}, [%rd1, {%f0,%f1}], "
      "{%f3,%f5}, {%f5,%f2};",
      nearest, places);
  const auto f = Floats("tex.base.2d.v4.f32.f32 " + kTo + "[%rd1, {%f0,%f1}];", nearest, places);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const double level = places[i].level;
    const double rounded = std::floor(bound(level, 0, 4) + 0.5);
    EXPECT_FLOAT_EQ(a[i], static_cast<float>(10 * rounded + 1)) << level;
    EXPECT_NEAR(b[i], 10 * bound(level, 0, 4) + 1, 1e-3) << level;
    EXPECT_NEAR(c[i], 10 * bound(level + 1.5, 0.5, 3.25) + 1, 1e-3) << level;
    EXPECT_NEAR(d[i], 10 * (1 + bound(bound(level + 1.5, 0.5, 3.25), 0, 2)) + 1, 1e-3) << level;
    EXPECT_FLOAT_EQ(e[i], static_cast<float>(10 * rounded + 1)) << level;
    EXPECT_FLOAT_EQ(f[i], 1) << level;
  }
}

TEST_F(TextureTest, OffsetsAreTexels) {
  const Image image = Noise(16, 8, 1);
  const std::uint64_t handle = Add(Job(image, 2));
  const auto got = Floats("mov.u32 %r7, 3; mov.u32 %r8, -2; tex.2d.v4.f32.f32 " + kTo + "[%rd1, {%f0,%f1}], {%r7,%r8};",
                          handle, {{4.5f, 5.5f}, {15.5f, 0.5f}});
  EXPECT_EQ(got[0], image.At(7, 3, 0));
  EXPECT_EQ(got[1], image.At(15, 0, 0));
}

TEST_F(TextureTest, ResidencyIsAlwaysTrue) {
  const std::uint64_t handle = Add(Job(Noise(4, 4, 1), 2));
  const auto got =
      Run("setp.ne.u32 %p1, %r1, %r1; tex.2d.v4.f32.f32 {%f4,%f5,%f6,%f7}|%p1, [%rd1, {%f0,%f1}];\n"
          "selp.f32 %f4, 0f3F800000, 0f00000000, %p1;",
          handle, {{1, 1}});
  EXPECT_EQ(std::bit_cast<float>(got[0][0]), 1.0f);
}

TEST_F(TextureTest, Questions) {
  Image image = Noise(12, 6, 10);
  TextureJob job = Job(image, 2, kLayered);
  job.sampling.flags = kNormalized;
  const std::uint64_t handle = Add(job);
  const std::pair<const char*, std::uint32_t> cases[] = {{"txq.width.b32", 12},
                                                         {"txq.height.b32", 6},
                                                         {"txq.depth.b32", 0},
                                                         {"txq.array_size.b32", 10},
                                                         {"suq.width.b32", 12},
                                                         {"suq.height.b32", 6},
                                                         {"txq.num_samples.b32", 1},
                                                         {"txq.num_mipmap_levels.b32", 1},
                                                         {"txq.normalized_coords.b32", 1}};
  for (const auto& [name, expected] : cases) {
    const auto got = Run(std::string(name) + " %r7, [%rd1]; mov.b32 %f4, %r7;", handle, {{}});
    EXPECT_EQ(got[0][0], expected) << name;
  }
}

TEST_F(TextureTest, UnknownHandlesAndLostMemoryAreFaults) {
  Run(kFetch[1], 4711, {{1, 1}});
  ASSERT_TRUE(fault_.has_value());
  EXPECT_EQ(fault_->status, kDeviceIllegalAddress);
  EXPECT_NE(fault_->text.find("kernel k"), std::string::npos) << fault_->text;
  EXPECT_NE(fault_->text.find("0x1267"), std::string::npos) << fault_->text;
  TextureJob job = Job(Noise(4, 4, 1), 2);
  job.levels[0].address = machine_.forbidden();
  Run(kFetch[1], Add(job), {{1, 1}});
  ASSERT_TRUE(fault_.has_value());
  EXPECT_EQ(fault_->status, kDeviceIllegalAddress);
}

TEST_F(TextureTest, WhatIsNotThereIsRefusedByName) {
  for (const std::string& body : std::initializer_list<std::string>{
           "tex.2d.v4.f32.f32 " + kTo + "[%rd1, {%f0,%f1}], %f2;", "tex.2d.v2.f16x2.f32 {%f4,%f5}, [%rd1, {%f0,%f1}];",
           "tex.2dms.v4.f32.s32 " + kTo + "[%rd1, {%r1,%r1,%r1,%r1}];", "tex.2d.v4.f32.f32 " + kTo + "[%rd1, {%f0}];",
           "txq.channel_order.b32 %r7, [%rd1];"}) {
    const Status loaded = machine_.Load(KernelText(body));
    EXPECT_EQ(loaded.code(), Code::kUnsupported) << body;
  }
}

}  // namespace
}  // namespace accelmesh::tier0
