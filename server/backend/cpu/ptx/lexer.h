// Cuts PTX text into tokens. Tokens are views into the text.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace accelmesh::ptx {

struct Token {
  enum class Kind : std::uint8_t { kWord, kNumber, kString, kPunctuation, kEnd };
  Kind kind = Kind::kEnd;
  std::string_view text;
  std::uint32_t line = 0;
};

// Words hold letters, digits, '_', '$', '%', '.' ("ld.global.f32", "%tid.x", ".reg"); comments are skipped. Ends with
// kEnd.
std::vector<Token> Tokenize(std::string_view text);

}  // namespace accelmesh::ptx
