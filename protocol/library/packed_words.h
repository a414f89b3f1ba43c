// Arguments of a library call that are mostly zeros, without them: most of what a product of cuBLASLt could be told is
// not, and on a network bytes are what a posted call costs.
//
//     packed := head mask word*         head: kPackedWords and, below it, how many words there are, at most kWordsMax;
//                                       mask: a bit for each of them, in 8-byte words; then those whose bit is set
//
// The others are 0. Flags of plain arguments (library.h) never have kPackedWords.
//
// Threads: pure functions. Errors: only of UnpackWords, whose bytes are a peer's.
#pragma once

#include <array>
#include <cstdint>

#include "protocol/base/bytes.h"
#include "protocol/library/library.h"

namespace accelmesh {

inline constexpr std::uint64_t kPackedWords = std::uint64_t{1} << 63;
inline constexpr std::size_t kPackableWordsMax = 1 + kLibraryWordsMax;
using PackedWords = std::array<std::uint64_t, 1 + (kPackableWordsMax + 63) / 64 + kPackableWordsMax>;

// The arguments packed into `buffer`, or as they are if that is not worth it.
ByteView PackWords(ByteView arguments, PackedWords& buffer);

inline bool IsPacked(ByteView arguments) {
  std::uint64_t head = 0;
  if (arguments.size() >= sizeof(head)) std::memcpy(&head, arguments.data(), sizeof(head));
  return (head & kPackedWords) != 0;
}
// The arguments that packed ones stand for. kBadFrame unless they are whole.
Result<Bytes> UnpackWords(ByteView packed);

}  // namespace accelmesh
