// Texture and surface objects as the client holds them: what they lie on and how they are sampled, in neutral words.
//
// Threads: values. Units: texels for extents, bytes for the rest. Numbers of formats, modes, flags and views are the
// CUDA driver's.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "shim/core/array.h"

namespace accelmesh {

// What an object lies on: arrays, or memory that the program has a pointer to.
struct TextureResource {
  enum class Source : std::uint8_t { kLinear, kPitched, kArray, kMipmapped };
  Source source = Source::kArray;
  std::uint32_t device = 0;
  ArrayShape shape;  // of the first level, or of the one that counts
  struct Level {
    std::uint64_t address = 0;
    std::uint64_t pitch = 0;
    std::uint64_t slice = 0;
    ArrayShape shape;
  };
  std::vector<Level> levels;
  std::optional<std::uint32_t> level;  // the array is this one of another's
};
struct TextureSampling {
  std::array<std::uint8_t, 3> address{};
  std::uint8_t filter = 0;
  std::uint8_t mipmap_filter = 0;
  std::uint32_t flags = 0;
  std::uint32_t anisotropy_max = 0;
  float mipmap_bias = 0;
  float mipmap_min = 0;
  float mipmap_max = 0;
  std::array<float, 4> border{};
};
struct TextureView {
  std::uint32_t format = 0;
  std::uint32_t first_level = 0;
  std::uint32_t last_level = 0;
  std::uint32_t first_layer = 0;
  std::uint32_t last_layer = 0;
};

struct TextureObject {
  std::uint64_t id = 0;
  bool is_surface = false;
  std::uint32_t device = 0;
  // What the program made it of, in the words of whoever made it for the program.
  std::shared_ptr<const void> origin;
};

}  // namespace accelmesh
