// The arrays that a program has: its handles are their pointers, valid until they are destroyed, a level's until its
// array is.
//
// Threads: any.
#pragma once

#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "protocol/base/mutex.h"
#include "shim/core/array.h"

namespace accelmesh {

class ArrayTable {
 public:
  void Add(std::unique_ptr<Array> array);
  void Add(std::unique_ptr<MipmappedArray> array);
  // Whoever takes one ends it; null if it is none, or another thread was first.
  std::unique_ptr<Array> Take(const Array* array);
  std::unique_ptr<MipmappedArray> Take(const MipmappedArray* array);
  // All of the device.
  void TakeOf(std::uint32_t device, std::vector<std::unique_ptr<Array>>* arrays,
              std::vector<std::unique_ptr<MipmappedArray>>* mipmapped);
  // Levels that the program has got are arrays, too.
  bool Has(const Array* array) const;
  bool Has(const MipmappedArray* array) const;
  const Array* Level(const MipmappedArray* array, std::uint32_t level);

 private:
  mutable Mutex mu_;
  std::unordered_map<const Array*, std::unique_ptr<Array>> arrays_ ACCELMESH_GUARDED_BY(mu_);
  std::unordered_map<const MipmappedArray*, std::unique_ptr<MipmappedArray>> mipmapped_ ACCELMESH_GUARDED_BY(mu_);
  std::unordered_set<const Array*> levels_ ACCELMESH_GUARDED_BY(mu_);  // that the program has got
};

// Moves out of `from` what is of a device.
template <typename T, typename OfDevice>
void TakeOut(std::unordered_map<const T*, std::unique_ptr<T>>* from, std::vector<std::unique_ptr<T>>* to,
             const OfDevice& is_of_device) {
  for (auto entry = from->begin(); entry != from->end();) {
    if (!is_of_device(*entry->second)) {
      ++entry;
      continue;
    }
    to->push_back(std::move(entry->second));
    entry = from->erase(entry);
  }
}

}  // namespace accelmesh
