// Memory of objects that one thread makes and others end, kept for the next of them: an allocator that works by thread
// (malloc) takes its slow path for each.
//
// Threads: any; a lock is taken for a few instructions. All blocks of a Recycler have the size of the first; others are
// not kept. It must outlive what was allocated from it.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

#include "protocol/base/mutex.h"

namespace accelmesh {

class Recycler {
 public:
  Recycler() { spare_.reserve(kSpareMax); }
  ~Recycler() {
    for (void* block : spare_) ::operator delete(block);
  }
  Recycler(const Recycler&) = delete;
  Recycler& operator=(const Recycler&) = delete;

  void* Take(std::size_t bytes) {
    {
      const MutexLock lock(mu_);
      if (bytes_ == bytes && !spare_.empty()) {
        void* block = spare_.back();
        spare_.pop_back();
        return block;
      }
      if (bytes_ == 0) bytes_ = bytes;
    }
    return ::operator new(bytes);
  }
  void GiveBack(void* block, std::size_t bytes) {
    {
      const MutexLock lock(mu_);
      if (bytes_ == bytes && spare_.size() < kSpareMax) return spare_.push_back(block);
    }
    ::operator delete(block);
  }

 private:
  static constexpr std::size_t kSpareMax = 1024;
  Mutex mu_;
  std::size_t bytes_ ACCELMESH_GUARDED_BY(mu_) = 0;
  std::vector<void*> spare_ ACCELMESH_GUARDED_BY(mu_);
};

// The same as an allocator, for std::allocate_shared.
template <typename T>
class Recycled {
 public:
  using value_type = T;
  explicit Recycled(Recycler& recycler) : recycler_(&recycler) {}
  template <typename U>
  Recycled(const Recycled<U>& other) : recycler_(other.recycler()) {}
  static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
  T* allocate(std::size_t count) { return static_cast<T*>(recycler_->Take(count * sizeof(T))); }
  void deallocate(T* block, std::size_t count) { recycler_->GiveBack(block, count * sizeof(T)); }
  Recycler* recycler() const { return recycler_; }
  template <typename U>
  bool operator==(const Recycled<U>& other) const {
    return recycler_ == other.recycler();
  }

 private:
  Recycler* recycler_;
};

}  // namespace accelmesh
