#include "protocol/transport/rdma/heart.h"

#include <gtest/gtest.h>

namespace accelmesh::rdma {
namespace {

TEST(RdmaHeart, APeerThatDoesNotAnswerIsDeadWithinASecond) {
  const Instant start{};
  Heart heart;
  heart.Heard(start);
  EXPECT_FALSE(heart.IsDue(start));
  EXPECT_FALSE(heart.IsDead(start + std::chrono::hours(1))) << "nobody has asked";
  const Instant due = start + Heart::kBeat;
  EXPECT_TRUE(heart.IsDue(due));
  heart.Asked(due);
  EXPECT_FALSE(heart.IsDue(due + Heart::kBeat)) << "one question at a time";
  heart.Asked(due + Heart::kPatience / 2);  // another does not put it off
  EXPECT_FALSE(heart.IsDead(due + Heart::kPatience - Duration(1)));
  EXPECT_TRUE(heart.IsDead(due + Heart::kPatience));
  EXPECT_LT(due + Heart::kPatience - start, std::chrono::seconds(1));
  heart.Heard(due + Heart::kPatience);
  EXPECT_FALSE(heart.IsDead(due + 2 * Heart::kPatience));
}

}  // namespace
}  // namespace accelmesh::rdma
