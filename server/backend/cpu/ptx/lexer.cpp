#include "server/backend/cpu/ptx/lexer.h"

namespace accelmesh::ptx {
namespace {
// Not <cctype>: its answers depend on the locale.
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsWordStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c == '%' || c == '.';
}
bool IsWord(char c) { return IsWordStart(c) || IsDigit(c); }
bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0'; }
}  // namespace

void Lexer::SkipBlank() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (IsBlank(c)) {
      line_ += c == '\n' ? 1 : 0;
      ++at_;
    } else if (c == '/' && At(at_ + 1) == '/') {
      while (at_ < text_.size() && text_[at_] != '\n') ++at_;
    } else if (c == '/' && At(at_ + 1) == '*') {
      at_ += 2;
      while (at_ < text_.size() && !(text_[at_] == '*' && At(at_ + 1) == '/')) line_ += text_[at_++] == '\n' ? 1 : 0;
      at_ = at_ < text_.size() ? at_ + 2 : at_;
    } else {
      return;
    }
  }
}

// Letters belong to a number (0x1F, 0f3F800000, 10U) and so does a dot (".version 8.7", 1.5); a sign does in 1.0e-3.
void Lexer::TakeNumber() {
  const bool based = text_[at_] == '0' && At(at_ + 1) != '.' && !IsDigit(At(at_ + 1));
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (!(IsDigit(c) || c == '.' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) return;
    const bool exponent = !based && (c == 'e' || c == 'E') && (At(at_ + 1) == '-' || At(at_ + 1) == '+');
    at_ += exponent ? 2 : 1;
  }
}

Token Lexer::Next() {
  SkipBlank();
  Token token{Token::Kind::kEnd, {}, line_};
  if (at_ >= text_.size()) return token;
  const std::size_t start = at_;
  const char c = text_[at_];
  if (c == '"') {
    token.kind = Token::Kind::kString;
    ++at_;
    while (at_ < text_.size() && text_[at_] != '"') line_ += text_[at_++] == '\n' ? 1 : 0;
    at_ = at_ < text_.size() ? at_ + 1 : at_;
  } else if (IsDigit(c)) {
    token.kind = Token::Kind::kNumber;
    TakeNumber();
  } else if (IsWordStart(c)) {
    token.kind = Token::Kind::kWord;
    while (IsWord(At(at_)) || (At(at_) == ':' && At(at_ + 1) == ':')) at_ += text_[at_] == ':' ? 2 : 1;
  } else {
    token.kind = Token::Kind::kPunctuation;
    ++at_;
  }
  token.text = text_.substr(start, at_ - start);
  return token;
}

}  // namespace accelmesh::ptx
