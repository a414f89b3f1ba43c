// The window of addresses that device memory lies in: reserved in the application's process, so that no host mapping
// can ever equal a device address, and offered to the worker, which reserves the same (DESIGN.md 5). Behind it the host
// window: host memory that has one address on both sides.
//
// Threads: values. Ownership: a Window unmaps its range when it is destroyed.
#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "protocol/base/result.h"
#include "protocol/base/window_candidates.h"

namespace accelmesh {

// In order of preference. The last two work under AddressSanitizer and ThreadSanitizer as well (SEMANTICS.md 1).
std::span<const WindowCandidate> WindowCandidates();

class Window {
 public:
  // Reserves exactly the candidate (PROT_NONE). kFull if something is there; kSystem names `ulimit -v` if that is why.
  static Result<Window> Reserve(const WindowCandidate& candidate);
  Window() = default;
  Window(Window&& other) noexcept : base_(std::exchange(other.base_, 0)), bytes_(std::exchange(other.bytes_, 0)) {}
  Window& operator=(Window&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Window();

  std::uint64_t base() const { return base_; }
  std::uint64_t bytes() const { return bytes_; }
  bool Contains(const void* pointer) const { return reinterpret_cast<std::uintptr_t>(pointer) - base_ < bytes_; }

 private:
  Window(std::uint64_t base, std::uint64_t bytes) : base_(base), bytes_(bytes) {}
  std::uint64_t base_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace accelmesh
