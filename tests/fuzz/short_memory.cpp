#include "tests/fuzz/short_memory.h"

#include <cstdlib>
#include <new>

#include "tests/fuzz/input.h"

namespace accelmesh::fuzz {
namespace {

constexpr std::size_t kPieceBytes = 16 << 10;

bool g_is_short = false;
std::size_t g_left = 0;
std::size_t g_outrageous = 0;

// Null if there is none.
void* TakeIfThere(std::size_t bytes) {
  if (g_is_short && bytes >= kPieceBytes) {
    Require(bytes <= g_outrageous, "memory that a call may want");
    if (bytes > g_left) return nullptr;
    g_left -= bytes;
  }
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void* Take(std::size_t bytes) {
  void* const memory = TakeIfThere(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

ShortMemory::ShortMemory(std::size_t bytes, std::size_t outrageous) {
  g_left = bytes;
  g_outrageous = outrageous;
  g_is_short = true;
}
ShortMemory::~ShortMemory() { g_is_short = false; }

}  // namespace accelmesh::fuzz

void* operator new(std::size_t bytes) { return accelmesh::fuzz::Take(bytes); }
void* operator new[](std::size_t bytes) { return accelmesh::fuzz::Take(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t& /*nothrow*/) noexcept {
  return accelmesh::fuzz::TakeIfThere(bytes);
}
void* operator new[](std::size_t bytes, const std::nothrow_t& /*nothrow*/) noexcept {
  return accelmesh::fuzz::TakeIfThere(bytes);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*bytes*/) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t /*bytes*/) noexcept { std::free(memory); }
