// The page between processes: calls wake, a lock outlives its holder, and seats of killed workers come back.
#include "server/shares/page.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ctime>
#include <thread>

#include "protocol/base/clock.h"
#include "server/shares/board.h"
#include "server/shares/seat.h"
#include "tests/unit/server/shares/held_page.h"

namespace accelmesh::shares {
namespace {

TEST(PageTest, ALockOutlivesItsHolder) {
  Result<std::unique_ptr<Page>> page = Page::Create(2);
  ASSERT_TRUE(page.ok());
  {
    Page::Lock lock(**page, Page::kTurnsNs);
    ASSERT_TRUE(lock.held());
    (void)lock.turns().AddSeat(lock.turns().AddLease(500, 0));
  }
  const pid_t pid = Child([&] {
    const auto lock = new Page::Lock(**page, Page::kTurnsNs);
    (*page)->layout().state.busy = 99;  // half of something
    return lock->held() ? 0 : 1;        // ends with the lock
  });
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  Page::Lock lock(**page, Page::kTurnsNs);
  EXPECT_TRUE(lock.held());
  EXPECT_EQ((*page)->layout().state.busy, 0U) << "mended";
}

TEST(PageTest, NobodyWaitsLongForALockThatAStoppedProcessHolds) {
  Result<std::unique_ptr<Page>> page = Page::Create(2);
  ASSERT_TRUE(page.ok());
  const Holder holder(**page);
  const Instant begin = Clock::now();
  const Page::Lock lock(**page, Page::kTurnsNs);
  EXPECT_FALSE(lock.held());
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(2));
}

TEST(PageTest, WhatIsNoPageIsRefused) {
  const int fd = ::memfd_create("test", MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(Page::Map(fd).code(), Code::kBadFrame);
}

TEST(PageTest, ATurnPassesFromOneProcessToAnother) {
  Result<std::unique_ptr<Board>> board = Board::Create(1);
  ASSERT_TRUE(board.ok());
  const Result<std::uint32_t> first = (*board)->Sit("a", 500, 0);
  const Result<std::uint32_t> second = (*board)->Sit("b", 500, 0);
  ASSERT_TRUE(first.ok() && second.ok());
  Seat seat(Mapped((*board)->fd()), *first);
  const std::uint32_t turn = seat.Enter(1);
  int entered[2];
  ASSERT_EQ(::pipe(entered), 0);
  const pid_t pid = Child([&] {
    Seat other(Mapped((*board)->fd()), *second);
    const std::uint32_t got = other.Enter(1);
    (void)!::write(entered[1], "x", 1);
    other.Leave(got);
    return 0;
  });
  // It waits; a turn of ours that lasts is overdue after 20 ms, and then it does not.
  seat.Leave(turn);
  char byte = 0;
  EXPECT_EQ(::read(entered[0], &byte, 1), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
  ::close(entered[0]);
  ::close(entered[1]);
}

TEST(PageTest, TheTurnOfAKilledWorkerIsFreeAtOnce) {
  Result<std::unique_ptr<Board>> board = Board::Create(1);
  ASSERT_TRUE(board.ok());
  const Result<std::uint32_t> first = (*board)->Sit("a", 500, 1000);
  const Result<std::uint32_t> second = (*board)->Sit("b", 500, 0);
  ASSERT_TRUE(first.ok() && second.ok());
  const pid_t pid = Child([&] {
    Seat other(Mapped((*board)->fd()), *first);
    (void)other.Enter(1);
    if (!other.Take(900)) return 1;
    ::raise(SIGKILL);
    return 0;
  });
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFSIGNALED(status));
  (*board)->Rise(*first, false);
  Seat seat(Mapped((*board)->fd()), *second);
  seat.Leave(seat.Enter(1));
  const Result<std::uint32_t> again = (*board)->Sit("a", 500, 1000);
  ASSERT_TRUE(again.ok());
  Seat heir(Mapped((*board)->fd()), *again);
  EXPECT_TRUE(heir.Take(1000));
  EXPECT_FALSE(heir.Take(1));
  EXPECT_EQ(heir.limit(), 1000U);
}

TEST(PageTest, StopEndsWaiting) {
  Result<std::unique_ptr<Board>> board = Board::Create(1);
  ASSERT_TRUE(board.ok());
  Seat first(Mapped((*board)->fd()), *(*board)->Sit("a", 500, 0));
  Seat second(Mapped((*board)->fd()), *(*board)->Sit("b", 500, 0));
  const std::uint32_t turn = first.Enter(1);
  std::thread waits([&] { second.Leave(second.Enter(1)); });
  second.Stop();
  waits.join();
  first.Leave(turn);
}

// Of processor time; less than the 50 ms that a session alone keeps to itself.
void Compute(std::chrono::milliseconds time) {
  const auto used_ms = [] { return std::clock() * 1000 / CLOCKS_PER_SEC; };
  for (const auto until = used_ms() + time.count(); used_ms() < until;) {
  }
}

TEST(PageTest, WhatALeaseUsedIsKnownAfterItsEnd) {
  Result<std::unique_ptr<Board>> board = Board::Create(1);
  ASSERT_TRUE(board.ok());
  const std::uint32_t seat = *(*board)->Sit("a", 500, 0);
  {
    Seat worker(Mapped((*board)->fd()), seat);
    worker.Leave(worker.Enter(1));
    Compute(std::chrono::milliseconds(30));
  }
  (*board)->End("a");
  (*board)->Rise(seat, false);
  const Board::Use use = (*board)->UsesOf({"a"}).front();
  EXPECT_GE(use.device_ns, 25'000'000U) << "its last session has said it at its end";
  EXPECT_EQ(use.sessions, 1U);
  EXPECT_EQ((*board)->Uses().at("a").device_ns, use.device_ns);
  // Its name may come again, with a later grant.
  const std::uint32_t again = *(*board)->Sit("a", 500, 0);
  EXPECT_EQ((*board)->UsesOf({"a"}).front().sessions, 2U);
  (*board)->End("a");
  (*board)->Rise(again, false);
  EXPECT_EQ((*board)->UsesOf({"a"}).front().sessions, 2U);
  EXPECT_GE((*board)->UsesOf({"a"}).front().device_ns, use.device_ns);
  // A session that had no lease is nobody's.
  (*board)->Rise(*(*board)->Sit("session/1", 500, 0), true);
  EXPECT_EQ((*board)->Uses().count("session/1"), 0U);
  for (std::size_t i = 0; i < Board::kPastMax; ++i) {
    const std::string name = "b" + std::to_string(i);
    (*board)->Rise(*(*board)->Sit(name, 500, 0), false);
    (*board)->End(name);
  }
  EXPECT_EQ((*board)->Uses().count("a"), 0U);
  EXPECT_EQ((*board)->Uses().size(), Board::kPastMax);
}

// It counts as who has ended last.
TEST(PageTest, ALeaseThatEndsAgainIsKnownAsLongAsIfItHadNotBefore) {
  Result<std::unique_ptr<Board>> board = Board::Create(1);
  ASSERT_TRUE(board.ok());
  const auto comes_and_ends = [&](const std::string& name) {
    (*board)->Rise(*(*board)->Sit(name, 500, 0), false);
    (*board)->End(name);
  };
  comes_and_ends("a");
  comes_and_ends("other");
  comes_and_ends("a");
  for (std::size_t i = 1; i < Board::kPastMax; ++i) comes_and_ends("b" + std::to_string(i));
  EXPECT_EQ((*board)->Uses().count("other"), 0U);
  EXPECT_EQ((*board)->UsesOf({"a"}).front().sessions, 2U);
  comes_and_ends("last");
  EXPECT_EQ((*board)->Uses().count("a"), 0U);
}

TEST(PageTest, TheRowOfALeaseIsFreeWithItsLastSessionOnceItHasEnded) {
  Result<std::unique_ptr<Board>> board = Board::Create(1);
  ASSERT_TRUE(board.ok());
  const std::uint32_t seat = *(*board)->Sit("a", 500, 0);
  (*board)->Rise(seat, false);
  ASSERT_EQ((*board)->Uses().count("a"), 1U) << "another program of it may come";
  const std::uint32_t again = *(*board)->Sit("a", 500, 0);
  EXPECT_EQ((*board)->Uses().at("a").sessions, 2U);
  (*board)->End("a");
  const std::unique_ptr<Page> page = Mapped((*board)->fd());
  EXPECT_EQ(page->layout().state.leases[0].is_used, 1U);
  (*board)->Rise(again, false);
  EXPECT_EQ(page->layout().state.leases[0].is_used, 0U);
}

}  // namespace
}  // namespace accelmesh::shares
