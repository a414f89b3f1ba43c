// Which pages of host memory a kernel may touch, by their addresses: one bit a page, in leaves of 1 GiB that are made
// as they are needed.
//
// Threads: Set() under the owner's lock; Has() from any thread at any time. Units: bytes.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "protocol/base/limits.h"

namespace accelmesh::tier0 {

class HostPages {
 public:
  HostPages() = default;
  ~HostPages() {
    std::atomic<Word*>* leaves = leaves_.load(std::memory_order_relaxed);
    if (leaves == nullptr) return;
    for (std::size_t i = 0; i < kLeaves; ++i) std::free(leaves[i].load(std::memory_order_relaxed));
    std::free(leaves);
  }
  HostPages(const HostPages&) = delete;
  HostPages& operator=(const HostPages&) = delete;

  // Whole pages below 2^47. False if there is no memory for what is to be remembered.
  bool Set(std::uint64_t address, std::uint64_t bytes, bool allowed) {
    std::atomic<Word*>* leaves = leaves_.load(std::memory_order_relaxed);
    if (leaves == nullptr) {
      // calloc: pages of zeros that cost nothing until they are written.
      leaves = static_cast<std::atomic<Word*>*>(std::calloc(kLeaves, sizeof(std::atomic<Word*>)));
      if (leaves == nullptr) return false;
      leaves_.store(leaves, std::memory_order_release);
    }
    for (std::uint64_t at = address; at < address + bytes; at += limits::kPageBytes) {
      std::atomic<Word*>& leaf = leaves[at >> kLeafShift];
      Word* words = leaf.load(std::memory_order_relaxed);
      if (words == nullptr) {
        words = static_cast<Word*>(std::calloc(kLeafWords, sizeof(Word)));
        if (words == nullptr) return false;
        leaf.store(words, std::memory_order_release);
      }
      const std::uint64_t page = PageInLeaf(at);
      if (allowed) {
        words[page / 64].fetch_or(std::uint64_t{1} << (page % 64), std::memory_order_relaxed);
      } else {
        words[page / 64].fetch_and(~(std::uint64_t{1} << (page % 64)), std::memory_order_relaxed);
      }
    }
    return true;
  }

  // Whether all of [address, address + bytes) is allowed; `bytes` is at most a page. Not inline: what asks first is the
  // window, and that is in every access.
  __attribute__((noinline)) bool Has(std::uint64_t address, std::uint64_t bytes) const {
    return HasPage(address) && HasPage(address + bytes - 1);
  }

 private:
  using Word = std::atomic<std::uint64_t>;
  static constexpr unsigned kLeafShift = 30;
  static constexpr std::size_t kLeaves = std::size_t{1} << (47 - kLeafShift);
  static constexpr std::size_t kLeafWords = (std::size_t{1} << kLeafShift) / limits::kPageBytes / 64;

  static std::uint64_t PageInLeaf(std::uint64_t address) {
    return (address & ((std::uint64_t{1} << kLeafShift) - 1)) / limits::kPageBytes;
  }
  bool HasPage(std::uint64_t address) const {
    const std::atomic<Word*>* leaves = leaves_.load(std::memory_order_acquire);
    if (leaves == nullptr || address >> 47 != 0) return false;
    const Word* words = leaves[address >> kLeafShift].load(std::memory_order_acquire);
    if (words == nullptr) return false;
    const std::uint64_t page = PageInLeaf(address);
    return (words[page / 64].load(std::memory_order_relaxed) >> (page % 64) & 1) != 0;
  }

  std::atomic<std::atomic<Word*>*> leaves_{nullptr};
};

}  // namespace accelmesh::tier0
