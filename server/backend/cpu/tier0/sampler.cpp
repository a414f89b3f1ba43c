#include "server/backend/cpu/tier0/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace accelmesh::tier0 {
namespace {

using Address = Texture::Address;

constexpr double kFarAway = 1e9;    // past every texture, and within what a texel's number can be
constexpr double kFractions = 256;  // of a texel, and of a level
constexpr std::uint32_t kFaces = 6;
constexpr std::uint32_t kLayers = 2048;

std::uint32_t DimensionsOf(TextureShape shape) {
  switch (shape) {
    case TextureShape::k1D:
    case TextureShape::k1DLayered: return 1;
    case TextureShape::k3D: return 3;
    default: return 2;
  }
}

std::uint64_t ExtentOf(const TextureJob::Level& level, std::uint32_t dimension) {
  const std::uint64_t extents[] = {level.width, level.height, level.depth};
  return std::max<std::uint64_t>(extents[dimension], 1);
}

bool IsCube(TextureShape shape) { return shape == TextureShape::kCube || shape == TextureShape::kCubeLayered; }

// A place in texels. What repeats lies within the texture then.
double Spread(Address mode, double x, std::uint64_t extent, bool is_normalized) {
  if (x != x) return 0;
  const auto n = static_cast<double>(extent);
  if (is_normalized) {
    const double whole = std::floor(x);
    if (mode == Address::kWrap) {
      x -= whole;
    } else if (mode == Address::kMirror) {
      x = std::fmod(whole, 2) == 0 ? x - whole : 1 - (x - whole);
    }
    x *= n;
  }
  return std::clamp(x, -kFarAway, kFarAway);
}

// The number of the texel that stands at `i`; less than 0: the border.
std::int64_t Resolve(Address mode, std::int64_t i, std::int64_t n) {
  if (i >= 0 && i < n) return i;
  switch (mode) {
    case Address::kBorder: return -1;
    case Address::kWrap: return (i % n + n) % n;
    case Address::kMirror: {
      const std::int64_t m = (i % (2 * n) + 2 * n) % (2 * n);
      return m < n ? m : 2 * n - 1 - m;
    }
    case Address::kClamp: break;
  }
  return std::clamp<std::int64_t>(i, 0, n - 1);
}

// A weight between two neighbours as the hardware has it.
double Fraction(double between) { return std::floor(between * kFractions + 0.5) / kFractions; }

// A direction on a cube: the face, and where on it, from 0 to 1 each way.
struct OnFace {
  std::uint32_t face = 0;
  double s = 0, t = 0;
  double major = 1;  // the length of the direction's largest part
};
OnFace FaceOf(double x, double y, double z) {
  const double ax = std::fabs(x);
  const double ay = std::fabs(y);
  const double az = std::fabs(z);
  OnFace on;
  double s = 0;
  double t = 0;
  if (ax >= ay && ax >= az) {
    on.face = x < 0 ? 1 : 0;
    on.major = ax;
    s = x < 0 ? z : -z;
    t = -y;
  } else if (ay >= az) {
    on.face = y < 0 ? 3 : 2;
    on.major = ay;
    s = x;
    t = y < 0 ? -z : z;
  } else {
    on.face = z < 0 ? 5 : 4;
    on.major = az;
    s = z < 0 ? -x : x;
    t = -y;
  }
  on.s = (s / on.major + 1) / 2;
  on.t = (t / on.major + 1) / 2;
  return on;
}
// The other way: s and t from -1 to 1, and beyond.
std::array<double, 3> DirectionOf(std::uint32_t face, double s, double t) {
  switch (face) {
    case 0: return {1, -t, -s};
    case 1: return {-1, -t, s};
    case 2: return {s, 1, t};
    case 3: return {s, -1, -t};
    case 4: return {s, -t, 1};
    default: return {-s, -t, -1};
  }
}

// What a linear filter mixes: floats, weighted.
class Mix {
 public:
  void Add(const Color& color, float weight) {
    if (weight == 0) return;  // what is not there must not make a NaN
    for (std::size_t i = 0; i < 4; ++i) sum_[i] += weight * std::bit_cast<float>(color[i]);
  }
  Color color() const {
    Color mixed;
    for (std::size_t i = 0; i < 4; ++i) mixed[i] = std::bit_cast<std::uint32_t>(sum_[i]);
    return mixed;
  }

 private:
  float sum_[4] = {};
};

}  // namespace

Color Sampler::Border() const {
  Color color{0, 0, 0, texture_.gives_float ? std::bit_cast<std::uint32_t>(1.0f) : 1};
  for (std::uint32_t i = 0; i < texture_.format.channels; ++i)
    color[i] = std::bit_cast<std::uint32_t>(texture_.border[i]);
  return color;
}

Color Sampler::Fetch(const Level& level, std::uint64_t x, std::uint64_t y, std::uint64_t z) {
  const std::uint32_t bytes = texture_.format.bytes();
  const std::uint64_t address = level.address + z * level.slice + y * level.pitch + x * bytes;
  if (!texture_.owns_memory && !memory_.Allowed(address, bytes)) {
    bad_address_ = address;
    return {};
  }
  return DecodeTexel(texture_, reinterpret_cast<const std::uint8_t*>(address));
}

Color Sampler::TexelAt(const Level& level, std::uint32_t slice, const std::array<std::int64_t, 3>& at,
                       std::uint32_t dimensions) {
  std::array<std::uint64_t, 3> found{};
  for (std::uint32_t d = 0; d < dimensions; ++d) {
    const std::int64_t i = Resolve(texture_.address[d], at[d], static_cast<std::int64_t>(ExtentOf(level, d)));
    if (i < 0) return Border();
    found[d] = static_cast<std::uint64_t>(i);
  }
  return Fetch(level, found[0], found[1], dimensions == 3 ? found[2] : slice);
}

// A texel of a face, or of the one that it meets at its edge. `slice` holds the face.
Color Sampler::FaceTexel(const Level& level, std::uint32_t slice, std::int64_t x, std::int64_t y) {
  const auto n = static_cast<std::int64_t>(level.width);
  if (x >= 0 && x < n && y >= 0 && y < n)
    return Fetch(level, static_cast<std::uint64_t>(x), static_cast<std::uint64_t>(y), slice);
  const auto place = [n](std::int64_t i) { return (2 * static_cast<double>(i) + 1) / static_cast<double>(n) - 1; };
  const std::array<double, 3> direction = DirectionOf(slice % kFaces, place(x), place(y));
  const OnFace on = FaceOf(direction[0], direction[1], direction[2]);
  const auto texel = [n](double s) {
    return static_cast<std::uint64_t>(
        std::clamp<std::int64_t>(static_cast<std::int64_t>(s * static_cast<double>(n)), 0, n - 1));
  };
  return Fetch(level, texel(on.s), texel(on.t), slice - slice % kFaces + on.face);
}

Sampler::Place Sampler::PlaceOf(const TextureQuery& query) const {
  Place place;
  place.at = query.at;
  const Level& level = texture_.levels.front();
  const auto layers = static_cast<std::uint32_t>(ExtentOf(level, 2));
  switch (query.shape) {
    case TextureShape::k1DLayered:
    case TextureShape::k2DLayered: place.slice = std::min(query.layer, layers - 1); break;
    case TextureShape::kCube:
    case TextureShape::kCubeLayered: {
      const OnFace on = FaceOf(query.at[0], query.at[1], query.at[2]);
      place.at = {static_cast<float>(on.s), static_cast<float>(on.t), 0};
      const std::uint32_t cubes = std::clamp(layers / kFaces, 1u, kLayers);
      const std::uint32_t cube = query.shape == TextureShape::kCube ? 0 : std::min(query.layer, cubes - 1);
      // What is no cube has fewer faces than a direction may ask for.
      place.slice = std::min(cube * kFaces + on.face, layers - 1);
      break;
    }
    default: break;
  }
  return place;
}

Color Sampler::Linear(const TextureQuery& query, const Place& place, const Level& level) {
  const std::uint32_t dimensions = DimensionsOf(query.shape);
  std::array<std::int64_t, 3> first{};
  std::array<double, 3> weight{};
  for (std::uint32_t d = 0; d < dimensions; ++d) {
    const std::uint64_t extent = ExtentOf(level, d);
    const double moved = place.at[d] + query.offset[d] / (texture_.is_normalized ? static_cast<double>(extent) : 1.0);
    const double x = Spread(texture_.address[d], moved, extent, texture_.is_normalized) - 0.5;
    first[d] = static_cast<std::int64_t>(std::floor(x));
    weight[d] = Fraction(x - std::floor(x));
  }
  const bool is_seamless = IsCube(query.shape) && texture_.is_seamless && texture_.is_cubemap;
  const auto n = static_cast<std::int64_t>(level.width);
  Mix mix;
  for (std::uint32_t corner = 0; corner < 1u << dimensions; ++corner) {
    double share = 1;
    std::array<std::int64_t, 3> at = first;
    for (std::uint32_t d = 0; d < dimensions; ++d) {
      const bool is_second = (corner >> d & 1) != 0;
      share *= is_second ? weight[d] : 1 - weight[d];
      at[d] += is_second ? 1 : 0;
    }
    const auto part = static_cast<float>(share);
    if (part == 0) continue;
    const auto is_outside = [n](std::int64_t i) { return i < 0 || i >= n; };
    if (!is_seamless) {
      mix.Add(TexelAt(level, place.slice, at, dimensions), part);
    } else if (is_outside(at[0]) && is_outside(at[1])) {
      // Only three faces meet at a corner of the cube: the fourth texel is what they have in common.
      const std::int64_t x = std::clamp<std::int64_t>(at[0], 0, n - 1);
      const std::int64_t y = std::clamp<std::int64_t>(at[1], 0, n - 1);
      for (const auto& [i, j] : {std::pair{x, y}, {at[0], y}, {x, at[1]}})
        mix.Add(FaceTexel(level, place.slice, i, j), part / 3);
    } else {
      mix.Add(FaceTexel(level, place.slice, at[0], at[1]), part);
    }
  }
  return mix.color();
}

Color Sampler::SampleLevel(const TextureQuery& query, const Place& place, const Level& level) {
  const std::uint32_t dimensions = DimensionsOf(query.shape);
  if (texture_.filters_linearly && !query.has_integers) return Linear(query, place, level);
  std::array<std::int64_t, 3> at{};
  for (std::uint32_t d = 0; d < dimensions; ++d) {
    const std::uint64_t extent = ExtentOf(level, d);
    const auto last = static_cast<std::int64_t>(extent) - 1;
    const Address mode = texture_.address[d];
    const bool repeats = mode == Address::kWrap || mode == Address::kMirror;
    if (query.has_integers) {
      at[d] = std::int64_t{query.texel[d]} + query.offset[d];
      if (repeats) at[d] = std::clamp<std::int64_t>(at[d], 0, last);
      continue;
    }
    const double moved = place.at[d] + query.offset[d] / (texture_.is_normalized ? static_cast<double>(extent) : 1.0);
    at[d] = static_cast<std::int64_t>(std::floor(Spread(mode, moved, extent, texture_.is_normalized)));
    // The far end of a mirrored texture belongs to its last texel.
    if (repeats) at[d] = std::min(at[d], last);
    if (IsCube(query.shape) && texture_.is_seamless) at[d] = std::clamp<std::int64_t>(at[d], 0, last);
  }
  if (texture_.is_linear_memory && (at[0] < 0 || at[0] >= static_cast<std::int64_t>(level.width))) {
    Color nothing = Border();
    std::fill_n(nothing.begin(), texture_.format.channels, 0);
    return nothing;
  }
  return TexelAt(level, place.slice, at, dimensions);
}

Color Sampler::Sample(const TextureQuery& query) {
  const Place place = PlaceOf(query);
  const auto last = static_cast<float>(texture_.levels.size() - 1);
  if (last == 0) return SampleLevel(query, place, texture_.levels.front());
  float level = query.level + texture_.level_bias;
  if (level != level) level = 0;
  level = std::min(std::max(level, texture_.level_min), texture_.level_max);
  level = std::clamp(level, 0.0f, last);
  if (!texture_.filters_levels_linearly)
    return SampleLevel(query, place, texture_.levels[static_cast<std::size_t>(std::floor(level + 0.5f))]);
  const auto first = static_cast<std::size_t>(level);
  const auto weight = static_cast<float>(Fraction(level - std::floor(level)));
  Mix mix;
  mix.Add(SampleLevel(query, place, texture_.levels[first]), 1 - weight);
  if (weight != 0) mix.Add(SampleLevel(query, place, texture_.levels[first + 1]), weight);
  return mix.color();
}

Color Sampler::Gather(const TextureQuery& query, std::uint32_t channel) {
  const Place place = PlaceOf(query);
  const Level& level = texture_.levels.front();
  std::int64_t first[2];
  for (std::uint32_t d = 0; d < 2; ++d) {
    const std::uint64_t extent = ExtentOf(level, d);
    const double moved = place.at[d] + query.offset[d] / (texture_.is_normalized ? static_cast<double>(extent) : 1.0);
    first[d] =
        static_cast<std::int64_t>(std::floor(Spread(texture_.address[d], moved, extent, texture_.is_normalized) - 0.5));
  }
  constexpr std::int64_t kCorners[4][2] = {{0, 1}, {1, 1}, {1, 0}, {0, 0}};
  Color gathered{};
  for (std::size_t i = 0; i < 4; ++i) {
    const std::array<std::int64_t, 3> at{first[0] + kCorners[i][0], first[1] + kCorners[i][1], 0};
    gathered[i] = TexelAt(level, place.slice, at, 2)[channel];
  }
  return gathered;
}

float Sampler::LevelOf(const TextureQuery& query, const std::array<float, 3>& dx,
                       const std::array<float, 3>& dy) const {
  const Level& level = texture_.levels.front();
  double fastest = 0;
  for (const std::array<float, 3>* by : {&dx, &dy}) {
    std::array<double, 3> moved{(*by)[0], (*by)[1], (*by)[2]};
    if (IsCube(query.shape)) {
      // How the place on the face moves: a quotient's derivative.
      const OnFace on = FaceOf(query.at[0], query.at[1], query.at[2]);
      const std::array<double, 3> along = {moved[0], moved[1], moved[2]};
      const std::array<double, 3> s = DirectionOf(on.face, 1, 0);
      const std::array<double, 3> t = DirectionOf(on.face, 0, 1);
      const std::array<double, 3> m = DirectionOf(on.face, 0, 0);
      double ds = 0;
      double dt = 0;
      double dm = 0;
      for (std::size_t i = 0; i < 3; ++i) {
        ds += along[i] * (s[i] - m[i]);
        dt += along[i] * (t[i] - m[i]);
        dm += along[i] * m[i];
      }
      moved = {(ds - (2 * on.s - 1) * dm) / (2 * on.major), (dt - (2 * on.t - 1) * dm) / (2 * on.major), 0};
    }
    double length = 0;
    for (std::uint32_t d = 0; d < DimensionsOf(query.shape); ++d) {
      const double texels = moved[d] * (texture_.is_normalized ? static_cast<double>(ExtentOf(level, d)) : 1.0);
      length += texels * texels;
    }
    fastest = std::max(fastest, length);
  }
  return static_cast<float>(0.5 * std::log2(fastest));
}

}  // namespace accelmesh::tier0
