// Formats of texels, and texture objects out of what a client says of them.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "server/backend/cpu/tier0/texture.h"

namespace accelmesh::tier0 {
namespace {

// CU_TRSF_*, CUDA_ARRAY3D_*.
constexpr std::uint32_t kReadAsInteger = 0x01;
constexpr std::uint32_t kNormalizedCoordinates = 0x02;
constexpr std::uint32_t kSrgb = 0x10;
constexpr std::uint32_t kSeamlessCubemap = 0x40;
constexpr std::uint32_t kLayered = 1;
constexpr std::uint32_t kCubemap = 4;

bool ReadFormat(std::uint32_t number, std::uint32_t channels, TexelFormat* format) {
  format->channels = channels;
  switch (number) {
    case 0x01: *format = {ChannelKind::kUnsigned, 1, channels}; return true;
    case 0x02: *format = {ChannelKind::kUnsigned, 2, channels}; return true;
    case 0x03: *format = {ChannelKind::kUnsigned, 4, channels}; return true;
    case 0x08: *format = {ChannelKind::kSigned, 1, channels}; return true;
    case 0x09: *format = {ChannelKind::kSigned, 2, channels}; return true;
    case 0x0a: *format = {ChannelKind::kSigned, 4, channels}; return true;
    case 0x10: *format = {ChannelKind::kHalf, 2, channels}; return true;
    case 0x20: *format = {ChannelKind::kFloat, 4, channels}; return true;
    case 0x50: *format = {ChannelKind::kUnorm1010102, 1, 4}; return channels == 4;
    default: break;
  }
  // Rows of one, two and four channels: 8 and 16 bits unsigned, then the same signed.
  if (number < 0xc0 || number > 0xcb) return false;
  const std::uint32_t row = number - 0xc0;
  constexpr std::uint32_t kChannels[] = {1, 2, 4};
  *format = {row < 6 ? ChannelKind::kUnorm : ChannelKind::kSnorm, row / 3 % 2 == 0 ? 1u : 2u, channels};
  return channels == kChannels[row % 3];
}

// CUresourceViewFormat: rows of one, two and four channels, a row for each of these.
bool ReadViewFormat(std::uint32_t number, TexelFormat* format) {
  constexpr std::uint32_t kFormats[] = {0x01, 0x08, 0x02, 0x09, 0x03, 0x0a, 0x10, 0x20};
  constexpr std::uint32_t kChannels[] = {1, 2, 4};
  if (number == 0 || number > 3 * std::size(kFormats)) return false;
  return ReadFormat(kFormats[(number - 1) / 3], kChannels[(number - 1) % 3], format);
}

float HalfToFloat(std::uint32_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t exponent = half >> 10 & 0x1f;
  const std::uint32_t fraction = half & 0x3ff;
  if (exponent == 0) {
    const float value = std::ldexp(static_cast<float>(fraction), -24);
    return sign != 0 ? -value : value;
  }
  const std::uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

// To nearest, ties to even.
std::uint16_t FloatToHalf(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u;
  const float magnitude = std::fabs(value);
  if (value != value) return 0x7fff;
  if (magnitude >= 65520.0f) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (magnitude < 6.103515625e-05f) {
    const float scaled = std::ldexp(magnitude, 24);
    return static_cast<std::uint16_t>(sign | static_cast<std::uint32_t>(std::nearbyint(scaled)));
  }
  const std::uint32_t rebased = (bits & 0x7fffffffu) - (112u << 23);
  const std::uint32_t rounded = rebased + 0xfffu + (rebased >> 13 & 1);
  return static_cast<std::uint16_t>(sign | rounded >> 13);
}

// A kernel's other threads may write what one reads; that is the program's business, not a sanitizer's.
__attribute__((no_sanitize("thread"))) std::uint32_t LoadChannel(const std::uint8_t* from, std::uint32_t bytes) {
  if (bytes == 1) return *from;
  if (bytes == 2) return *reinterpret_cast<const std::uint16_t*>(from);
  return *reinterpret_cast<const std::uint32_t*>(from);
}
__attribute__((no_sanitize("thread"))) void StoreChannel(std::uint8_t* to, std::uint32_t value, std::uint32_t bytes) {
  if (bytes == 1) *to = static_cast<std::uint8_t>(value);
  if (bytes == 2) *reinterpret_cast<std::uint16_t*>(to) = static_cast<std::uint16_t>(value);
  if (bytes == 4) *reinterpret_cast<std::uint32_t*>(to) = value;
}

std::int32_t SignExtend(std::uint32_t raw, std::uint32_t bits) {
  return static_cast<std::int32_t>(raw << (32 - bits)) >> (32 - bits);
}

float ToUnorm(std::uint32_t raw, std::uint32_t bits) {
  return static_cast<float>(raw) / static_cast<float>((1u << bits) - 1);
}
float ToSnorm(std::uint32_t raw, std::uint32_t bits) {
  return std::max(static_cast<float>(SignExtend(raw, bits)) / static_cast<float>((1u << (bits - 1)) - 1), -1.0f);
}
float SrgbToLinear(float c) { return c <= 0.04045f ? c / 12.92f : std::pow((c + 0.055f) / 1.055f, 2.4f); }

// Whether the format is read as numbers between 0 and 1, or -1 and 1.
bool Promotes(const TexelFormat& format) {
  return (format.kind == ChannelKind::kUnsigned || format.kind == ChannelKind::kSigned) && format.channel_bytes < 4;
}

std::uint32_t DecodeChannel(const Texture& texture, std::uint32_t raw, std::uint32_t bits, bool is_color) {
  const bool gives_float = texture.gives_float;
  switch (texture.format.kind) {
    case ChannelKind::kUnsigned:
      if (!gives_float) return raw;
      [[fallthrough]];
    case ChannelKind::kUnorm1010102:
    case ChannelKind::kUnorm: {
      const float value = ToUnorm(raw, bits);
      return std::bit_cast<std::uint32_t>(texture.is_srgb && is_color && bits == 8 ? SrgbToLinear(value) : value);
    }
    case ChannelKind::kSigned:
      if (!gives_float) return static_cast<std::uint32_t>(SignExtend(raw, bits));
      [[fallthrough]];
    case ChannelKind::kSnorm: return std::bit_cast<std::uint32_t>(ToSnorm(raw, bits));
    case ChannelKind::kHalf: return std::bit_cast<std::uint32_t>(HalfToFloat(raw));
    case ChannelKind::kFloat: return raw;
  }
  return 0;
}

std::uint32_t EncodeChannel(ChannelKind kind, std::uint32_t value, std::uint32_t bits) {
  const auto scaled = [value](float lowest, float most) {
    const float v = std::bit_cast<float>(value);
    return static_cast<std::int32_t>(std::nearbyint((v != v ? 0.0f : std::clamp(v, lowest, 1.0f)) * most));
  };
  switch (kind) {
    case ChannelKind::kUnsigned: return bits == 32 ? value : std::min(value, (1u << bits) - 1);
    case ChannelKind::kSigned: {
      if (bits == 32) return value;
      const std::int32_t most = (1 << (bits - 1)) - 1;
      return static_cast<std::uint32_t>(std::clamp(static_cast<std::int32_t>(value), -most - 1, most));
    }
    case ChannelKind::kHalf: return FloatToHalf(std::bit_cast<float>(value));
    case ChannelKind::kFloat: return value;
    case ChannelKind::kUnorm1010102:
    case ChannelKind::kUnorm: return static_cast<std::uint32_t>(scaled(0, static_cast<float>((1u << bits) - 1)));
    case ChannelKind::kSnorm: return static_cast<std::uint32_t>(scaled(-1, static_cast<float>((1u << (bits - 1)) - 1)));
  }
  return 0;
}

// Narrows what there is to what the view shows.
Status ApplyView(const TextureJob::View& view, Texture* texture) {
  constexpr const char* kWhere = "MakeTexture.view";
  if (view.format != 0) {
    TexelFormat format;
    if (!ReadViewFormat(view.format, &format))
      return {Code::kUnsupported, kWhere, "this release has no textures of block-compressed formats"};
    if (format.bytes() != texture->format.bytes())
      return {Code::kInvalidArgument, kWhere, "its format is of another size than the array's"};
    texture->format = format;
  }
  if (view.first_level > view.last_level || view.last_level >= texture->levels.size())
    return {Code::kInvalidArgument, kWhere, "no such levels"};
  auto& levels = texture->levels;
  levels.erase(levels.begin() + view.last_level + 1, levels.end());
  levels.erase(levels.begin(), levels.begin() + view.first_level);
  if (!texture->is_layered || (view.first_layer == 0 && view.last_layer == 0)) return Status::Ok();
  for (TextureJob::Level& level : levels) {
    if (view.first_layer > view.last_layer || view.last_layer >= level.depth)
      return {Code::kInvalidArgument, kWhere, "no such layers"};
    level.address += view.first_layer * level.slice;
    level.depth = view.last_layer - view.first_layer + 1;
  }
  return Status::Ok();
}

}  // namespace

Result<std::shared_ptr<Texture>> MakeTexture(const TextureJob& job) {
  auto made = std::make_shared<Texture>();
  Texture& texture = *made;
  if (job.levels.empty() || !ReadFormat(job.format, job.channels, &texture.format))
    return Status(Code::kInvalidArgument, "MakeTexture.format", "no such format");
  texture.is_surface = job.is_surface;
  texture.is_linear_memory = job.source == TextureJob::Source::kLinear;
  texture.is_layered = (job.array_flags & kLayered) != 0;
  texture.is_cubemap = (job.array_flags & kCubemap) != 0;
  texture.levels = job.levels;
  if (job.view.has_value()) ACCELMESH_RETURN_IF_ERROR(ApplyView(*job.view, &texture));
  const TextureJob::Sampling& sampling = job.sampling;
  texture.is_normalized = (sampling.flags & kNormalizedCoordinates) != 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto mode = static_cast<Texture::Address>(sampling.address[i] & 3);
    const bool repeats = mode == Texture::Address::kWrap || mode == Texture::Address::kMirror;
    texture.address[i] = repeats && !texture.is_normalized ? Texture::Address::kClamp : mode;
  }
  const bool is_integer = texture.format.kind == ChannelKind::kUnsigned || texture.format.kind == ChannelKind::kSigned;
  texture.gives_float = !is_integer || (Promotes(texture.format) && (sampling.flags & kReadAsInteger) == 0);
  texture.filters_linearly = sampling.filter == 1 && texture.gives_float && !texture.is_linear_memory;
  texture.filters_levels_linearly = sampling.mipmap_filter == 1 && texture.gives_float;
  texture.is_srgb = (sampling.flags & kSrgb) != 0;
  texture.is_seamless = (sampling.flags & kSeamlessCubemap) != 0;
  texture.border = sampling.border;
  texture.level_bias = sampling.mipmap_bias;
  texture.level_min = sampling.mipmap_min;
  texture.level_max = sampling.mipmap_max;
  return made;
}

std::array<std::uint32_t, 4> DecodeTexel(const Texture& texture, const std::uint8_t* texel) {
  const TexelFormat& format = texture.format;
  const std::uint32_t one = texture.gives_float ? std::bit_cast<std::uint32_t>(1.0f) : 1;
  std::array<std::uint32_t, 4> color{0, 0, 0, one};
  if (format.kind == ChannelKind::kUnorm1010102) {
    const std::uint32_t raw = LoadChannel(texel, 4);
    for (std::uint32_t i = 0; i < 3; ++i) color[i] = DecodeChannel(texture, raw >> (10 * i) & 0x3ff, 10, true);
    color[3] = DecodeChannel(texture, raw >> 30, 2, false);
    return color;
  }
  for (std::uint32_t i = 0; i < format.channels; ++i) {
    color[i] = DecodeChannel(texture, LoadChannel(texel + i * format.channel_bytes, format.channel_bytes),
                             8 * format.channel_bytes, i < 3);
  }
  return color;
}

void EncodeTexel(const TexelFormat& format, const std::array<std::uint32_t, 4>& value, std::uint8_t* texel) {
  if (format.kind == ChannelKind::kUnorm1010102) {
    std::uint32_t raw = EncodeChannel(format.kind, value[3], 2) << 30;
    for (std::uint32_t i = 0; i < 3; ++i) raw |= EncodeChannel(format.kind, value[i], 10) << (10 * i);
    StoreChannel(texel, raw, 4);
    return;
  }
  for (std::uint32_t i = 0; i < format.channels; ++i) {
    StoreChannel(texel + i * format.channel_bytes, EncodeChannel(format.kind, value[i], 8 * format.channel_bytes),
                 format.channel_bytes);
  }
}

}  // namespace accelmesh::tier0
