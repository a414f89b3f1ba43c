#include "server/backend/cpu/ptx/lexer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace accelmesh::ptx {
namespace {

std::vector<Token> All(std::string_view text) {
  Lexer lexer(text);
  std::vector<Token> tokens;
  while (true) {
    tokens.push_back(lexer.Next());
    if (tokens.back().kind == Token::Kind::kEnd) return tokens;
  }
}
std::vector<std::string> Texts(std::string_view text) {
  std::vector<std::string> texts;
  for (const Token& token : All(text)) texts.emplace_back(token.text);
  texts.pop_back();
  return texts;
}
using Words = std::vector<std::string>;

TEST(Lexer, WordsNumbersAndPunctuation) {
  EXPECT_EQ(Texts("@!%p1 ld.global.v2.f32 {%f1,_}, [%rd1+-4];"),
            (Words{"@", "!", "%p1", "ld.global.v2.f32", "{", "%f1", ",", "_", "}", ",", "[", "%rd1", "+", "-", "4", "]",
                   ";"}));
  EXPECT_EQ(Texts("st.shared::cta.b32 $L__BB0_1:"), (Words{"st.shared::cta.b32", "$L__BB0_1", ":"}));
  EXPECT_EQ(Texts("0f3F800000 0x1fU 8.7 1.5e-3 2E+4 017 0x1e-5"),
            (Words{"0f3F800000", "0x1fU", "8.7", "1.5e-3", "2E+4", "017", "0x1e", "-", "5"}));
  const auto tokens = All("a 1 \"s\" ;");
  EXPECT_EQ(tokens[0].kind, Token::Kind::kWord);
  EXPECT_EQ(tokens[1].kind, Token::Kind::kNumber);
  EXPECT_EQ(tokens[2].kind, Token::Kind::kString);
  EXPECT_EQ(tokens[3].kind, Token::Kind::kPunctuation);
}

TEST(Lexer, CountsLinesThroughCommentsAndStrings) {
  const auto tokens = All("a\n// b\n/* c\n * d */ e \"f\ng\"\nh");
  ASSERT_EQ(tokens.size(), 5u);
  EXPECT_EQ(tokens[0].line, 1u);
  EXPECT_EQ(tokens[1].text, "e");
  EXPECT_EQ(tokens[1].line, 4u);
  EXPECT_EQ(tokens[2].text, "\"f\ng\"");
  EXPECT_EQ(tokens[3].text, "h");
  EXPECT_EQ(tokens[3].line, 6u);
}

TEST(Lexer, EndsWhereverTheTextIsCut) {
  const std::string text = "/* a */ \"b\" // c\n0x1f %r1::x 1e-";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    // A copy of exactly that size, so that a look past the end is found by a sanitizer.
    const std::vector<char> exact(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(cut));
    EXPECT_LE(All({exact.data(), exact.size()}).size(), 12u);
  }
  EXPECT_EQ(Texts("/* never ends"), Words{});
  EXPECT_EQ(Texts("\"never ends"), Words{"\"never ends"});
  EXPECT_EQ(Texts(std::string_view("a\0b", 3)), (Words{"a", "b"}));
}

TEST(Lexer, ACopyReadsOnFromWhereTheOriginalStood) {
  Lexer lexer("a b c");
  lexer.Next();
  Lexer copy = lexer;
  EXPECT_EQ(lexer.Next().text, "b");
  EXPECT_EQ(lexer.Next().text, "c");
  EXPECT_EQ(copy.Next().text, "b");
}

}  // namespace
}  // namespace accelmesh::ptx
