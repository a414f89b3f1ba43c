// Managed variables that a driver has placed: their memory is the server's, at an address of the driver's choice. The
// program gets pages of its own there, so that one address means the variable on both sides.
//
// A page may hold several variables, also of different modules, and goes with the last of them. Threads: any; calls
// nobody while it locks. Ownership: unmaps its pages when it is destroyed. Units: bytes.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>

#include "protocol/base/mutex.h"
#include "protocol/base/result.h"

namespace accelmesh {

class ForeignMemory {
 public:
  ForeignMemory() = default;
  ~ForeignMemory();
  ForeignMemory(const ForeignMemory&) = delete;
  ForeignMemory& operator=(const ForeignMemory&) = delete;

  // Memory of zeros at exactly [address, address + bytes). kFull: something else of this process is there.
  // kInvalidArgument: no address of a variable, or one that is known. `is_here`: the server is in this process, and so
  // is the memory.
  Status Add(std::uint64_t address, std::uint64_t bytes, bool is_here);
  // What Add() made, by its address.
  void Remove(std::uint64_t address);

  // Costs next to nothing while there is none, or for an address that is far away.
  bool Contains(std::uint64_t address) const;

 private:
  // A range of whole pages.
  struct Span {
    std::uint64_t first = 0;
    std::uint64_t end = 0;
  };
  struct Range {
    std::uint64_t bytes = 0;
    bool is_mapped = false;
  };
  static Span PagesOf(std::uint64_t address, std::uint64_t bytes);
  // Without those that other ranges have as well, which can only be the first and the last.
  Span OwnPagesOf(std::uint64_t address, std::uint64_t bytes) const ACCELMESH_REQUIRES(mu_);
  void NoteBounds() ACCELMESH_REQUIRES(mu_);

  mutable Mutex mu_;
  std::map<std::uint64_t, Range> ranges_ ACCELMESH_GUARDED_BY(mu_);  // by address
  // Around all of them; changed under the lock, read without.
  std::atomic<std::uint64_t> lowest_{0};
  std::atomic<std::uint64_t> end_{0};
};

}  // namespace accelmesh
