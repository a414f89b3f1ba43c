#include "server/backend/cpu/ptx/lexer.h"

#include <cctype>

namespace accelmesh::ptx {
namespace {
bool IsWordStart(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.';
}
bool IsWord(char c) { return IsWordStart(c) || std::isdigit(static_cast<unsigned char>(c)); }
}  // namespace

std::vector<Token> Tokenize(std::string_view text) {
  std::vector<Token> tokens;
  std::uint32_t line = 1;
  std::size_t i = 0;
  const auto at = [text](std::size_t k) { return k < text.size() ? text[k] : '\0'; };
  while (i < text.size()) {
    const char c = text[i];
    if (c == '\n') {
      ++line;
      ++i;
    } else if (std::isspace(static_cast<unsigned char>(c)) || c == '\0') {
      ++i;
    } else if (c == '/' && at(i + 1) == '/') {
      while (i < text.size() && text[i] != '\n') ++i;
    } else if (c == '/' && at(i + 1) == '*') {
      i += 2;
      while (i < text.size() && !(text[i] == '*' && at(i + 1) == '/')) line += text[i++] == '\n' ? 1 : 0;
      i += 2;
    } else if (c == '"') {
      const std::size_t start = i++;
      while (i < text.size() && text[i] != '"') ++i;
      i = i < text.size() ? i + 1 : i;
      tokens.push_back({Token::Kind::kString, text.substr(start, i - start), line});
    } else if (std::isdigit(static_cast<unsigned char>(c))) {
      const std::size_t start = i;
      // A dot counts as well: ".version 8.7".
      while (i < text.size() && (std::isalnum(static_cast<unsigned char>(text[i])) || text[i] == '.')) ++i;
      tokens.push_back({Token::Kind::kNumber, text.substr(start, i - start), line});
    } else if (IsWordStart(c)) {
      const std::size_t start = i;
      while (i < text.size() && (IsWord(text[i]) || (text[i] == ':' && at(i + 1) == ':'))) i += text[i] == ':' ? 2 : 1;
      tokens.push_back({Token::Kind::kWord, text.substr(start, i - start), line});
    } else {
      tokens.push_back({Token::Kind::kPunctuation, text.substr(i, 1), line});
      ++i;
    }
  }
  tokens.push_back({Token::Kind::kEnd, {}, line});
  return tokens;
}

}  // namespace accelmesh::ptx
