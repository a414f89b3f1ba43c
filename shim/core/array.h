// CUDA arrays as the client holds them: what a program asked for, in neutral words, and where its elements lie.
//
// An array is device memory with a pitch of its own that no pointer of the program names; copies address its elements.
// Threads: values, constant once made. Units: elements for extents, bytes for the rest. Numbers of formats, flags and
// device attributes are the CUDA driver's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace accelmesh {

enum class ArrayFormat : std::uint8_t {
  kUnsigned8 = 0x01,
  kUnsigned16 = 0x02,
  kUnsigned32 = 0x03,
  kSigned8 = 0x08,
  kSigned16 = 0x09,
  kSigned32 = 0x0a,
  kHalf = 0x10,
  kFloat = 0x20,
  kUnorm1010102 = 0x50,
  kUnorm8x1 = 0xc0,  // the others of this row follow: x2, x4; 16 bits; signed
};

struct ArrayShape {
  static constexpr std::uint32_t kLayered = 1;
  static constexpr std::uint32_t kSurface = 2;
  static constexpr std::uint32_t kCubemap = 4;
  static constexpr std::uint32_t kGather = 8;

  ArrayFormat format = ArrayFormat::kUnsigned8;
  std::uint32_t channels = 1;
  std::uint32_t element_bytes = 1;
  // As the program gave them: 0 where a dimension is absent. The depth of a layered array counts its layers.
  std::uint64_t width = 0;
  std::uint64_t height = 0;
  std::uint64_t depth = 0;
  std::uint32_t flags = 0;

  bool has(std::uint32_t flag) const { return (flags & flag) != 0; }
  std::uint64_t rows() const { return height == 0 ? 1 : height; }
  std::uint64_t slices() const { return depth == 0 ? 1 : depth; }
};

// The value of a device attribute; 0: the device does not say.
using DeviceLimit = std::function<std::uint64_t(std::uint32_t attribute)>;

// Whether the extents go with one another, with the flags, and with the device.
bool ShapeIsValid(const ArrayShape& shape, bool is_mipmapped, const DeviceLimit& limit);
// How many mipmap levels there can be.
std::uint32_t LevelsMax(const ArrayShape& shape);
// The shape of a mipmap level: layers stay, extents halve.
ArrayShape LevelOf(const ArrayShape& shape, std::uint32_t level);

struct MipmappedArray;

struct Array {
  ArrayShape shape;
  std::uint32_t device = 0;
  std::uint64_t address = 0;
  std::uint64_t pitch = 0;
  std::uint64_t slice = 0;
  const MipmappedArray* whole = nullptr;  // whose level it is; null if it stands alone

  std::uint64_t bytes() const { return slice * shape.slices(); }
};

struct MipmappedArray {
  std::uint64_t address = 0;
  std::vector<std::unique_ptr<Array>> levels;
};

// Sets pitch and slice. False if no address space holds the array.
bool LayOut(Array* array);

}  // namespace accelmesh
