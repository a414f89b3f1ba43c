// Session: arrays. Their storage is device memory like any other; who knows of one is the client alone.
#include "protocol/base/bytes.h"
#include "shim/core/session_inl.h"

namespace accelmesh {

DeviceResult ClientSession::CreateArray(std::uint32_t device, const ArrayShape& shape, Array** array) {
  auto made = std::make_unique<Array>();
  made->shape = shape;
  made->device = device;
  if (!LayOut(made.get())) return kInvalidValue;
  if (const DeviceResult result = Malloc(device, made->bytes(), &made->address); result != 0) return result;
  *array = made.get();
  arrays_.Add(std::move(made));
  return 0;
}

DeviceResult ClientSession::DestroyArray(const Array* array) {
  const std::unique_ptr<Array> ended = arrays_.Take(array);
  return ended == nullptr ? kInvalidValue : Free(ended->address);  // null: another thread was first, or it is a level
}

DeviceResult ClientSession::CreateMipmappedArray(std::uint32_t device, const ArrayShape& shape, std::uint32_t levels,
                                                 MipmappedArray** array) {
  auto made = std::make_unique<MipmappedArray>();
  std::uint64_t bytes = 0;
  for (std::uint32_t level = 0; level < levels; ++level) {
    auto& one = made->levels.emplace_back(std::make_unique<Array>());
    one->shape = LevelOf(shape, level);
    one->device = device;
    one->whole = made.get();
    one->address = bytes;
    if (!LayOut(one.get())) return kInvalidValue;
    bytes += AlignUp(one->bytes(), AddressSpace::kAlignment);
  }
  if (bytes > limits::kAllocationBytesMax) return kOutOfMemory;
  if (const DeviceResult result = Malloc(device, bytes, &made->address); result != 0) return result;
  for (const auto& level : made->levels) level->address += made->address;
  *array = made.get();
  arrays_.Add(std::move(made));
  return 0;
}

DeviceResult ClientSession::DestroyMipmappedArray(const MipmappedArray* array) {
  const std::unique_ptr<MipmappedArray> ended = arrays_.Take(array);
  return ended == nullptr ? kInvalidValue : Free(ended->address);
}

}  // namespace accelmesh
