// Copying large bodies.
//
// glibc's memcpy uses `rep movsb` from 4 KiB (2 KiB without AVX) up to the size of the second-level cache where the
// processor claims that it is fast. On AMD Zen 3 and 4 it is not if source and destination differ in alignment: 2.7
// GB/s were measured instead of 14 for bodies of 64 to 256 KiB. Pieces below that size take the vector loop. Threads:
// pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace accelmesh {

inline void CopyBody(std::uint8_t* to, const std::uint8_t* from, std::size_t size) {
  std::size_t piece = 2048 - 64;
  asm("" : "+r"(piece));  // a size the compiler knows would make it emit `rep movsq` itself
  while (size > piece) {
    std::memcpy(to, from, piece);
    to += piece;
    from += piece;
    size -= piece;
  }
  if (size != 0) std::memcpy(to, from, size);
}

}  // namespace accelmesh
