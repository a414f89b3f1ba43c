// Texture and surface objects as kernels find them: made once, never changed, looked up by the handle that a kernel
// has.
//
// A launch holds the table of the objects that there were when it came (GridLaunch::textures), so one that is destroyed
// stays for who may use it. Threads: constant, safe to share. Units: texels for extents, bytes for the rest.
#pragma once

#include <memory>
#include <unordered_map>

#include "server/device.h"

namespace accelmesh::tier0 {

enum class ChannelKind : std::uint8_t { kUnsigned, kSigned, kHalf, kFloat, kUnorm, kSnorm, kUnorm1010102 };

// What the bytes of a texel are.
struct TexelFormat {
  ChannelKind kind = ChannelKind::kUnsigned;
  std::uint32_t channel_bytes = 1;
  std::uint32_t channels = 1;
  std::uint32_t bytes() const { return kind == ChannelKind::kUnorm1010102 ? 4 : channel_bytes * channels; }
};

struct Texture {
  enum class Address : std::uint8_t { kWrap, kClamp, kMirror, kBorder };
  TexelFormat format;
  bool is_surface = false;
  bool is_linear_memory = false;
  // The memory is no device memory that a MemoryMap knows, but lives as long as the object.
  bool owns_memory = false;
  bool is_cubemap = false;
  bool is_layered = false;
  std::vector<TextureJob::Level> levels;  // of the view
  std::shared_ptr<const void> memory;     // what keeps owned memory

  // How it is sampled.
  Address address[3] = {};
  bool filters_linearly = false;
  bool filters_levels_linearly = false;
  bool is_normalized = false;  // coordinates
  bool gives_float = false;    // else integers as they are
  bool is_srgb = false;
  bool is_seamless = false;
  std::array<float, 4> border{};  // bits of integers, if those are what it gives
  float level_bias = 0;
  float level_min = 0;
  float level_max = 0;
};
using TextureTable = std::unordered_map<std::uint64_t, std::shared_ptr<const Texture>>;

// The part of the job's resource that its view shows, ready to be looked at. kInvalidArgument for formats and views
// that do not fit, kUnsupported for what is compressed.
Result<std::shared_ptr<Texture>> MakeTexture(const TextureJob& job);

// The channels of one texel: bits of floats or of integers extended to 32 bits, as the texture gives them; what it
// lacks is 0, and 1 for the last.
std::array<std::uint32_t, 4> DecodeTexel(const Texture& texture, const std::uint8_t* texel);
// The other way, for formatted stores: `value` holds the bits of floats or integers as the format has them. Integers
// that do not fit become the nearest that does.
void EncodeTexel(const TexelFormat& format, const std::array<std::uint32_t, 4>& value, std::uint8_t* texel);

}  // namespace accelmesh::tier0
