#include "shim/blaslt/answers.h"

#include <gtest/gtest.h>

#include <array>

namespace accelmesh::blaslt {
namespace {

std::array<std::uint64_t, 3> Question(std::uint64_t number) { return {1, number, 7}; }
std::shared_ptr<const Answer> AnswerOf(std::uint8_t byte) {
  auto answer = std::make_shared<Answer>();
  answer->bytes = {byte};
  return answer;
}

TEST(Answers, AreFoundByTheirQuestions) {
  Answers answers(8);
  EXPECT_EQ(answers.Find(AsBytes(Question(1))), nullptr);
  answers.Remember(AsBytes(Question(1)), AnswerOf(11));
  answers.Remember(AsBytes(Question(2)), AnswerOf(12));
  EXPECT_EQ(answers.Find(AsBytes(Question(1)))->bytes[0], 11);
  EXPECT_EQ(answers.Find(AsBytes(Question(2)))->bytes[0], 12);
  EXPECT_EQ(answers.Find(AsBytes(Question(3))), nullptr);
}

TEST(Answers, AreNoMoreThanThereIsRoomFor) {
  Answers answers(4);
  for (std::uint64_t i = 0; i < 20; ++i) answers.Remember(AsBytes(Question(i)), AnswerOf(1));
  // The last one is never what is forgotten for it.
  EXPECT_NE(answers.Find(AsBytes(Question(19))), nullptr);
  const auto known = [&answers] {
    int found = 0;
    for (std::uint64_t i = 0; i < 20; ++i) found += answers.Find(AsBytes(Question(i))) != nullptr;
    return found;
  };
  EXPECT_EQ(known(), 4);
  answers.SetCapacity(2);
  EXPECT_EQ(answers.capacity(), 2u);
  EXPECT_EQ(known(), 2);
  answers.SetCapacity(0);
  answers.Remember(AsBytes(Question(1)), AnswerOf(1));
  EXPECT_EQ(known(), 0);
}

}  // namespace
}  // namespace accelmesh::blaslt
