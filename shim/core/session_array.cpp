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
  const MutexLock lock(array_mu_);
  arrays_.emplace(made.get(), std::move(made));
  return 0;
}

DeviceResult ClientSession::DestroyArray(const Array* array) {
  std::uint64_t address = 0;
  {
    const MutexLock lock(array_mu_);
    const auto found = arrays_.find(array);
    if (found == arrays_.end()) return kInvalidValue;  // another thread was first, or it is a level
    address = found->second->address;
    arrays_.erase(found);
  }
  return Free(address);
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
  const MutexLock lock(array_mu_);
  mipmapped_arrays_.emplace(made.get(), std::move(made));
  return 0;
}

DeviceResult ClientSession::DestroyMipmappedArray(const MipmappedArray* array) {
  std::uint64_t address = 0;
  {
    const MutexLock lock(array_mu_);
    const auto found = mipmapped_arrays_.find(array);
    if (found == mipmapped_arrays_.end()) return kInvalidValue;
    address = found->second->address;
    for (const auto& level : found->second->levels) levels_.erase(level.get());
    mipmapped_arrays_.erase(found);
  }
  return Free(address);
}

const Array* ClientSession::LevelOfArray(const MipmappedArray* array, std::uint32_t level) {
  const MutexLock lock(array_mu_);
  const auto found = mipmapped_arrays_.find(array);
  if (found == mipmapped_arrays_.end() || level >= found->second->levels.size()) return nullptr;
  const Array* one = found->second->levels[level].get();
  levels_.insert(one);
  return one;
}

bool ClientSession::IsArray(const Array* array) {
  const MutexLock lock(array_mu_);
  return arrays_.contains(array) || levels_.contains(array);
}

bool ClientSession::IsMipmappedArray(const MipmappedArray* array) {
  const MutexLock lock(array_mu_);
  return mipmapped_arrays_.contains(array);
}

}  // namespace accelmesh
