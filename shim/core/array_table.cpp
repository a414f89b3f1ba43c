#include "shim/core/array_table.h"

namespace accelmesh {

void ArrayTable::Add(std::unique_ptr<Array> array) {
  const MutexLock lock(mu_);
  const Array* const key = array.get();
  arrays_.emplace(key, std::move(array));
}

void ArrayTable::Add(std::unique_ptr<MipmappedArray> array) {
  const MutexLock lock(mu_);
  const MipmappedArray* const key = array.get();
  mipmapped_.emplace(key, std::move(array));
}

std::unique_ptr<Array> ArrayTable::Take(const Array* array) {
  const MutexLock lock(mu_);
  const auto found = arrays_.find(array);
  if (found == arrays_.end()) return nullptr;
  std::unique_ptr<Array> taken = std::move(found->second);
  arrays_.erase(found);
  return taken;
}

std::unique_ptr<MipmappedArray> ArrayTable::Take(const MipmappedArray* array) {
  const MutexLock lock(mu_);
  const auto found = mipmapped_.find(array);
  if (found == mipmapped_.end()) return nullptr;
  std::unique_ptr<MipmappedArray> taken = std::move(found->second);
  for (const auto& level : taken->levels) levels_.erase(level.get());
  mipmapped_.erase(found);
  return taken;
}

void ArrayTable::TakeOf(std::uint32_t device, std::vector<std::unique_ptr<Array>>* arrays,
                        std::vector<std::unique_ptr<MipmappedArray>>* mipmapped) {
  const MutexLock lock(mu_);
  TakeOut(&arrays_, arrays, [device](const Array& array) { return array.device == device; });
  TakeOut(&mipmapped_, mipmapped,
          [device](const MipmappedArray& array) { return array.levels.front()->device == device; });
  std::erase_if(levels_, [device](const Array* level) { return level->device == device; });
}

bool ArrayTable::Has(const Array* array) const {
  const MutexLock lock(mu_);
  return arrays_.contains(array) || levels_.contains(array);
}

bool ArrayTable::Has(const MipmappedArray* array) const {
  const MutexLock lock(mu_);
  return mipmapped_.contains(array);
}

const Array* ArrayTable::Level(const MipmappedArray* array, std::uint32_t level) {
  const MutexLock lock(mu_);
  const auto found = mipmapped_.find(array);
  if (found == mipmapped_.end() || level >= found->second->levels.size()) return nullptr;
  const Array* const one = found->second->levels[level].get();
  levels_.insert(one);
  return one;
}

}  // namespace accelmesh
