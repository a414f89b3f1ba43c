// Cuts PTX text into tokens, one at a time. Tokens are views into the text.
#pragma once

#include <cstdint>
#include <string_view>

namespace accelmesh::ptx {

struct Token {
  enum class Kind : std::uint8_t { kWord, kNumber, kString, kPunctuation, kEnd };
  Kind kind = Kind::kEnd;
  std::string_view text;
  std::uint32_t line = 0;
};

// Words hold letters, digits, '_', '$', '%', '.' and "::" ("ld.global.f32", "%tid.x", ".reg"); comments are skipped.
// A Lexer is a position: a copy of it reads on from where the original stood.
class Lexer {
 public:
  explicit Lexer(std::string_view text, std::size_t offset = 0, std::uint32_t line = 1)
      : text_(text), at_(offset), line_(line) {}
  // kEnd at the end, again and again.
  Token Next();
  // Where a token of this text begins.
  std::size_t OffsetOf(const Token& token) const { return static_cast<std::size_t>(token.text.data() - text_.data()); }

 private:
  char At(std::size_t i) const { return i < text_.size() ? text_[i] : '\0'; }
  void SkipBlank();
  void TakeNumber();

  std::string_view text_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1;
};

}  // namespace accelmesh::ptx
