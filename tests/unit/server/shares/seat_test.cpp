// What a session could not say while somebody else held the page of shares is said when it locks it next.
#include "server/shares/seat.h"

#include <atomic>
#include <thread>

#include "tests/unit/server/shares/held_page.h"

namespace accelmesh::shares {
namespace {

using SeatTest = MissedLockTest;

TEST_F(SeatTest, ATurnIsLeftWithTheNextOne) {
  const std::unique_ptr<Seat> seat = At(Sit("a"));
  Sit("b");  // nobody alone asks for turns
  const std::uint32_t first = seat->Enter(1);
  const std::uint32_t second = seat->Enter(1);
  {
    const Holder holder(*page_);
    seat->Leave(first);
  }
  EXPECT_EQ(lease(0).running, 2U);
  seat->Leave(second);
  EXPECT_EQ(lease(0).running, 0U);
  EXPECT_EQ(page_->layout().state.busy, 0U);
}

TEST_F(SeatTest, ATurnIsLeftBeforeAnotherBegins) {
  const std::unique_ptr<Seat> seat = At(Sit("a"));
  Sit("b");
  const std::uint32_t first = seat->Enter(1);
  {
    const Holder holder(*page_);
    seat->Leave(first);
  }
  const std::uint32_t second = seat->Enter(1);
  EXPECT_EQ(second, first) << "its place is free";
  EXPECT_EQ(lease(0).running, 1U);
  seat->Leave(second);
  EXPECT_EQ(lease(0).running, 0U);
}

TEST_F(SeatTest, ATurnIsLeftWhenItsSessionSaysWhatItUsed) {
  std::unique_ptr<Seat> seat = At(Sit("a"));
  Sit("b");
  const std::uint32_t turn = seat->Enter(1);
  {
    const Holder holder(*page_);
    seat->Leave(turn);
  }
  seat.reset();
  EXPECT_EQ(lease(0).running, 0U);
}

TEST_F(SeatTest, MemoryThatIsFreeMayBeTakenAgain) {
  const std::unique_ptr<Seat> seat = At(Sit("a", 1000));
  ASSERT_TRUE(seat->Take(900));
  {
    const Holder holder(*page_);
    seat->Give(900);
  }
  EXPECT_TRUE(seat->Take(1000));
  EXPECT_EQ(lease(0).memory_used, 1000U);
}

// Its thread goes on without a turn, and is owed none.
TEST_F(SeatTest, WhoWaitedIsOwedNothingFromThenOn) {
  const std::unique_ptr<Seat> first = At(Sit("a"));
  std::unique_ptr<Seat> second = At(Sit("b"));
  const std::uint32_t turn = first->Enter(2);
  {
    // It never lasts too long.
    const Page::Lock lock(*page_, Page::kMemoryNs);
    ASSERT_TRUE(lock.held());
    page_->layout().state.seats[0].turns[turn].begin_ns += std::int64_t{1} << 60;
  }
  std::uint32_t got = 0;
  std::thread waits([&] { got = second->Enter(1); });
  const std::atomic_ref<std::uint32_t> waiting(page_->layout().state.seats[1].waiting);
  while (waiting == 0) std::this_thread::yield();
  {
    const Holder holder(*page_);
    waits.join();
  }
  EXPECT_EQ(got, kNobody);
  second.reset();
  EXPECT_EQ(page_->layout().state.seats[1].waiting, 0U);
  EXPECT_EQ(lease(1).wanting, 0U);
  first->Leave(turn);
}

}  // namespace
}  // namespace accelmesh::shares
