#include "shim/core/array.h"

#include <algorithm>
#include <bit>

#include "protocol/base/limits.h"

namespace accelmesh {
namespace {

// What textures ask of a row's start.
constexpr std::uint64_t kPitchAlignment = 32;

// The attributes that bound an array: width, height and depth, for what is read and for what is written, too. 0: no
// bound.
struct Bounds {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::uint32_t depth = 0;
};

bool IsWithin(const ArrayShape& shape, const Bounds& bounds, const DeviceLimit& limit) {
  const auto fits = [&limit](std::uint64_t extent, std::uint32_t attribute) {
    const std::uint64_t most = attribute == 0 ? 0 : limit(attribute);
    return most == 0 || extent <= most;
  };
  return fits(shape.width, bounds.width) && fits(shape.height, bounds.height) && fits(shape.depth, bounds.depth);
}

struct Kind {
  Bounds texture;
  Bounds mipmap;  // where it differs from the texture's
  Bounds surface;
};
constexpr Kind kOne{{21}, {77}, {55}};
constexpr Kind kTwo{{22, 23}, {73, 74}, {56, 57}};
constexpr Kind kThree{{24, 25, 26}, {}, {58, 59, 60}};
constexpr Bounds kThreeOtherwise{47, 48, 49};
constexpr Bounds kGather{45, 46};
constexpr Kind kOneLayered{{42, 0, 43}, {}, {61, 0, 62}};
constexpr Kind kTwoLayered{{27, 28, 29}, {}, {63, 64, 65}};
constexpr Kind kCubemap{{52, 52}, {}, {66, 66}};
constexpr Kind kCubemapLayered{{53, 53, 54}, {}, {67, 67, 68}};

const Kind& KindOf(const ArrayShape& shape) {
  if (shape.has(ArrayShape::kCubemap)) return shape.has(ArrayShape::kLayered) ? kCubemapLayered : kCubemap;
  if (shape.has(ArrayShape::kLayered)) return shape.height == 0 ? kOneLayered : kTwoLayered;
  if (shape.depth != 0) return kThree;
  return shape.height == 0 ? kOne : kTwo;
}

// The rules that need no device.
bool IsConsistent(const ArrayShape& shape) {
  if (shape.width == 0) return false;
  if (shape.has(ArrayShape::kGather) && (shape.height == 0 || shape.depth != 0)) return false;
  const bool is_layered = shape.has(ArrayShape::kLayered);
  if (shape.has(ArrayShape::kCubemap)) {
    if (shape.width != shape.height) return false;
    return is_layered ? shape.depth != 0 && shape.depth % 6 == 0 : shape.depth == 6;
  }
  if (is_layered) return shape.depth != 0;
  return shape.height != 0 || shape.depth == 0;
}

}  // namespace

bool ShapeIsValid(const ArrayShape& shape, bool is_mipmapped, const DeviceLimit& limit) {
  if (!IsConsistent(shape)) return false;
  const Kind& kind = KindOf(shape);
  if (shape.has(ArrayShape::kSurface) && !IsWithin(shape, kind.surface, limit)) return false;
  if (shape.has(ArrayShape::kGather) && !IsWithin(shape, kGather, limit)) return false;
  if (&kind == &kThree && IsWithin(shape, kThreeOtherwise, limit)) return true;
  const bool has_own = is_mipmapped && kind.mipmap.width != 0;
  return IsWithin(shape, has_own ? kind.mipmap : kind.texture, limit);
}

std::uint32_t LevelsMax(const ArrayShape& shape) {
  std::uint64_t longest = std::max(shape.width, shape.height);
  if (!shape.has(ArrayShape::kLayered) && !shape.has(ArrayShape::kCubemap)) longest = std::max(longest, shape.depth);
  return static_cast<std::uint32_t>(std::bit_width(longest));
}

ArrayShape LevelOf(const ArrayShape& shape, std::uint32_t level) {
  const auto halved = [level](std::uint64_t extent) {
    return extent == 0 ? 0 : std::max<std::uint64_t>(extent >> level, 1);
  };
  ArrayShape of = shape;
  of.width = halved(shape.width);
  of.height = halved(shape.height);
  if (!shape.has(ArrayShape::kLayered) && !shape.has(ArrayShape::kCubemap)) of.depth = halved(shape.depth);
  return of;
}

bool LayOut(Array* array) {
  const ArrayShape& shape = array->shape;
  std::uint64_t row = 0;
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(shape.width, std::uint64_t{shape.element_bytes}, &row) ||
      row > limits::kAllocationBytesMax)
    return false;
  array->pitch = (row + kPitchAlignment - 1) / kPitchAlignment * kPitchAlignment;
  return !__builtin_mul_overflow(array->pitch, shape.rows(), &array->slice) &&
         !__builtin_mul_overflow(array->slice, shape.slices(), &bytes) && bytes <= limits::kAllocationBytesMax;
}

}  // namespace accelmesh
