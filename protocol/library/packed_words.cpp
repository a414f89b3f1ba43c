#include "protocol/library/packed_words.h"

#include <algorithm>
#include <bit>

namespace accelmesh {
namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);
constexpr std::size_t kBits = 64;  // of a word of the mask
// Fewer words are copied sooner than looked at.
constexpr std::size_t kWorthWords = 32;

}  // namespace

ByteView PackWords(ByteView arguments, PackedWords& buffer) {
  const std::size_t count = arguments.size() / kWord;
  if (count < kWorthWords || count > kPackableWordsMax || arguments.size() % kWord != 0) return arguments;
  const std::size_t mask_words = (count + kBits - 1) / kBits;
  buffer[0] = kPackedWords | count;
  std::size_t used = 1 + mask_words;
  for (std::size_t part = 0; part < mask_words; ++part) {
    std::uint64_t mask = 0;
    const std::size_t here = std::min(kBits, count - part * kBits);
    for (std::size_t bit = 0; bit < here; ++bit) {
      std::uint64_t word = 0;
      std::memcpy(&word, arguments.data() + (part * kBits + bit) * kWord, kWord);
      // Without a branch: which words are 0 is nothing that a processor could foresee.
      buffer[used] = word;
      used += word != 0 ? 1 : 0;
      mask |= static_cast<std::uint64_t>(word != 0) << bit;
    }
    buffer[1 + part] = mask;
  }
  const ByteView packed(reinterpret_cast<const std::uint8_t*>(buffer.data()), used * kWord);
  return packed.size() < arguments.size() ? packed : arguments;
}

Result<Bytes> UnpackWords(ByteView packed) {
  ByteReader reader(packed, "UnpackWords");
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t head, reader.Read<std::uint64_t>());
  const std::uint64_t count = head & ~kPackedWords;
  if ((head & kPackedWords) == 0 || count > kPackableWordsMax)
    return Status(Code::kBadFrame, "UnpackWords", "not packed, or past the limit");
  Bytes words(count * kWord);
  std::uint64_t masks[(kPackableWordsMax + kBits - 1) / kBits] = {};
  const std::size_t mask_words = (count + kBits - 1) / kBits;
  for (std::size_t part = 0; part < mask_words; ++part) {
    ACCELMESH_ASSIGN_OR_RETURN(masks[part], reader.Read<std::uint64_t>());
  }
  for (std::size_t part = 0; part < mask_words; ++part) {
    for (std::uint64_t mask = masks[part]; mask != 0; mask &= mask - 1) {
      const std::size_t index = part * kBits + static_cast<std::size_t>(std::countr_zero(mask));
      if (index >= count) return Status(Code::kBadFrame, "UnpackWords", "a word past the last");
      ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t word, reader.Read<std::uint64_t>());
      std::memcpy(words.data() + index * kWord, &word, kWord);
    }
  }
  if (reader.left() != 0) return Status(Code::kBadFrame, "UnpackWords", "bytes past the last word");
  return words;
}

}  // namespace accelmesh
