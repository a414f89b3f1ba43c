// How a coordinate becomes a color: which texels, by the addressing modes, and how they are mixed, by the rules of the
// CUDA programming guide ("Texture Fetching"): fractions of 8 bits, so that a weight of 1 is exact. Private to this
// folder.
#pragma once

#include "server/backend/cpu/tier0/texture.h"
#include "server/backend/cpu/tier0/tier0.h"

namespace accelmesh::tier0 {

// What an instruction takes the texture for.
enum class TextureShape : std::uint8_t { k1D, k2D, k3D, k1DLayered, k2DLayered, kCube, kCubeLayered };

struct TextureQuery {
  TextureShape shape = TextureShape::k1D;
  bool has_integers = false;  // texels are named, not places
  std::array<float, 3> at{};  // places
  std::array<std::int32_t, 3> texel{};
  std::array<std::int32_t, 3> offset{};  // in texels
  std::uint32_t layer = 0;
  float level = 0;
};

using Color = std::array<std::uint32_t, 4>;

class Sampler {
 public:
  Sampler(const Texture& texture, const MemoryMap& memory) : texture_(texture), memory_(memory) {}

  Color Sample(const TextureQuery& query);
  // The four texels that a linear filter would mix, one channel of each, counter-clockwise from the lower left.
  Color Gather(const TextureQuery& query, std::uint32_t channel);
  // The level that goes with how fast the place moves from pixel to pixel.
  float LevelOf(const TextureQuery& query, const std::array<float, 3>& dx, const std::array<float, 3>& dy) const;

  // An address that the device has no memory at; 0 if there was none.
  std::uint64_t bad_address() const { return bad_address_; }

 private:
  using Level = TextureJob::Level;
  struct Place {
    std::array<float, 3> at{};
    std::uint32_t slice = 0;  // layer, face, or both
  };
  Place PlaceOf(const TextureQuery& query) const;
  Color SampleLevel(const TextureQuery& query, const Place& place, const Level& level);
  Color Linear(const TextureQuery& query, const Place& place, const Level& level);
  Color FaceTexel(const Level& level, std::uint32_t slice, std::int64_t x, std::int64_t y);
  Color TexelAt(const Level& level, std::uint32_t slice, const std::array<std::int64_t, 3>& at,
                std::uint32_t dimensions);
  Color Fetch(const Level& level, std::uint64_t x, std::uint64_t y, std::uint64_t z);
  Color Border() const;

  const Texture& texture_;
  const MemoryMap& memory_;
  std::uint64_t bad_address_ = 0;
};

}  // namespace accelmesh::tier0
