// Where a pointer of the program lies, and how far a pitched box reaches from it: what copies and fills check before
// they send anything.
//
// Threads: functions on values; any thread.
#pragma once

#include <cstdint>

#include "shim/core/session.h"

namespace accelmesh {

inline std::uint64_t Address(const void* pointer) { return reinterpret_cast<std::uint64_t>(pointer); }

// Whether [pointer, pointer + bytes) is live device memory.
inline bool IsDeviceMemory(ClientSession& session, const void* pointer, std::uint64_t bytes) {
  AddressSpace::Range range;
  std::uint32_t device = 0;
  if (!session.FindDeviceRange(Address(pointer), &range, &device)) return false;
  return bytes <= range.bytes - (Address(pointer) - range.address);
}
// Whether it is an address that only a device may use, allocated or not.
inline bool IsDevicePointer(ClientSession& session, const void* pointer) {
  return session.IsDeviceAddress(pointer) || IsDeviceMemory(session, pointer, 1);
}

// Bytes from the first to the last byte of a box of `depth` slices of `height` rows of `width` bytes, none of them
// zero; false if no address space holds it.
inline bool BoxExtent(std::uint64_t pitch, std::uint64_t slice, std::uint64_t width, std::uint64_t height,
                      std::uint64_t depth, std::uint64_t* extent) {
  std::uint64_t rows = 0;
  std::uint64_t slices = 0;
  return !__builtin_mul_overflow(pitch, height - 1, &rows) && !__builtin_mul_overflow(slice, depth - 1, &slices) &&
         !__builtin_add_overflow(rows, slices, extent) && !__builtin_add_overflow(*extent, width, extent);
}

}  // namespace accelmesh
