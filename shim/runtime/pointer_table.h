// A map from addresses to objects whose lookups take no lock: what a launch looks its kernel up in.
//
// Threads: Find() from any thread at any time; Set() and Erase() under the owner's lock. A slot's key is written once;
// an erased key stays with a null value until the table grows. Tables that were outgrown are kept for readers that may
// still be in them; they add up to less than the table in use.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace accelmesh {

template <typename T>
class PointerTable {
 public:
  // Null if nobody set `key`, or it was erased.
  T* Find(const void* key) const {
    const Table* table = current_.load(std::memory_order_acquire);
    if (table == nullptr || key == nullptr) return nullptr;
    for (std::size_t i = Hash(key);; ++i) {
      const Slot& slot = table->slots[i & table->mask];
      const void* found = slot.key.load(std::memory_order_acquire);
      if (found == key) return slot.value.load(std::memory_order_acquire);
      if (found == nullptr) return nullptr;
    }
  }

  // `key` must not be null. Replaces what was there.
  void Set(const void* key, T* value) {
    if (tables_.empty() || (used_ + 1) * 2 > tables_.back()->mask + 1) Grow();
    if (Put(*tables_.back(), key, value)) ++used_;
  }
  void Erase(const void* key) {
    if (Find(key) != nullptr) Put(*tables_.back(), key, nullptr);
  }

 private:
  struct Slot {
    std::atomic<const void*> key{nullptr};
    std::atomic<T*> value{nullptr};
  };
  struct Table {
    explicit Table(std::size_t size) : mask(size - 1), slots(new Slot[size]) {}
    std::size_t mask;
    std::unique_ptr<Slot[]> slots;
  };

  static std::size_t Hash(const void* key) {
    // Fibonacci hashing: addresses differ in their middle bits.
    return static_cast<std::size_t>((reinterpret_cast<std::uintptr_t>(key) * 0x9e3779b97f4a7c15u) >> 32);
  }
  // True if the key is new to the table.
  static bool Put(Table& table, const void* key, T* value) {
    for (std::size_t i = Hash(key);; ++i) {
      Slot& slot = table.slots[i & table.mask];
      const void* found = slot.key.load(std::memory_order_relaxed);
      if (found != nullptr && found != key) continue;
      // The value first: a reader that sees the key must see it.
      slot.value.store(value, std::memory_order_release);
      if (found == nullptr) slot.key.store(key, std::memory_order_release);
      return found == nullptr;
    }
  }
  void Grow() {
    std::size_t live = 0;
    if (!tables_.empty()) {
      for (std::size_t i = 0; i <= tables_.back()->mask; ++i) {
        if (tables_.back()->slots[i].value.load(std::memory_order_relaxed) != nullptr) ++live;
      }
    }
    std::size_t size = 64;
    while (size < (live + 1) * 4) size *= 2;
    auto grown = std::make_unique<Table>(size);
    if (!tables_.empty()) {
      for (std::size_t i = 0; i <= tables_.back()->mask; ++i) {
        const Slot& slot = tables_.back()->slots[i];
        T* value = slot.value.load(std::memory_order_relaxed);
        if (value != nullptr) Put(*grown, slot.key.load(std::memory_order_relaxed), value);
      }
    }
    used_ = live;
    current_.store(grown.get(), std::memory_order_release);
    tables_.push_back(std::move(grown));
  }

  std::atomic<const Table*> current_{nullptr};
  std::vector<std::unique_ptr<Table>> tables_;  // the last is the current one
  std::size_t used_ = 0;                        // keys in the current table, erased ones too
};

}  // namespace accelmesh
