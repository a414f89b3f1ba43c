// What the supervisor could not say while somebody else held the page of shares is said when it locks it next.
#include "server/shares/board.h"

#include "protocol/base/clock.h"
#include "tests/unit/server/shares/held_page.h"

namespace accelmesh::shares {
namespace {

using BoardTest = MissedLockTest;

TEST_F(BoardTest, RowsAndSeatsComeBack) {
  const std::uint32_t ended_with_it = Sit("session/1");
  const std::uint32_t ended_before = Sit("a");
  const std::uint32_t risen = Sit("b");
  board_->Rise(risen, false);
  board_->End("a");
  {
    const Holder holder(*page_);
    board_->Rise(ended_with_it, true);
    board_->Rise(ended_before, false);
    board_->End("b");
    EXPECT_EQ(board_->Sit("c", 500, 0).code(), Code::kUnavailable);
  }
  EXPECT_EQ(leases(), 3);
  EXPECT_EQ(seats(), 2);
  Sit("c");
  EXPECT_EQ(leases(), 1);
  EXPECT_EQ(seats(), 1);
  EXPECT_EQ(board_->UsesOf({"a"}).front().sessions, 1U) << "and what they used is known";
  EXPECT_EQ(board_->UsesOf({"b"}).front().sessions, 1U);
  EXPECT_EQ(board_->Uses().count("session/1"), 0U);
}

TEST_F(BoardTest, TheMemoryOfASessionIsItsLeasesAgain) {
  const std::uint32_t seat = Sit("a", 1000);
  ASSERT_TRUE(At(seat)->Take(900));
  {
    const Holder holder(*page_);
    board_->Rise(seat, false);
  }
  EXPECT_TRUE(At(Sit("a", 1000))->Take(1000));
}

TEST_F(BoardTest, ALeaseHasItsOtherShareLater) {
  const std::uint32_t seat = Sit("a", 1000);
  {
    const Holder holder(*page_);
    board_->Resize("a", 100, 2000);
    board_->Resize("a", 200, 3000);
  }
  EXPECT_EQ(lease(0).share_milli, 500U);
  (void)board_->Uses();
  EXPECT_EQ(lease(0).share_milli, 200U);
  EXPECT_EQ(At(seat)->limit(), 3000U);
}

// Half a second once, not for each of them.
TEST_F(BoardTest, WhatManyLeasesUsedIsAskedWithOneWait) {
  Sit("a");
  const Holder holder(*page_);
  const Instant begin = Clock::now();
  EXPECT_EQ(board_->UsesOf(std::vector<std::string>(80, "a")).size(), 80U);
  for (int i = 0; i < 80; ++i) (void)board_->UsesOf({"a"}).front();
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(20)) << "each by itself: 80 s";
}

}  // namespace
}  // namespace accelmesh::shares
