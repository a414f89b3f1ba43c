// Pages of shares, and processes that hold them.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "server/shares/board.h"
#include "server/shares/page.h"
#include "server/shares/seat.h"

namespace accelmesh::shares {

inline std::unique_ptr<Page> Mapped(int fd) {
  Result<std::unique_ptr<Page>> page = Page::Map(::dup(fd));
  EXPECT_TRUE(page.ok()) << page.status().ToString();
  return *std::move(page);
}

// Runs in a process of its own; `body` says its exit status.
template <typename Body>
pid_t Child(Body body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(60);
    ::_exit(body());
  }
  return pid;
}

// Another process that holds the page's lock for as long as this lives.
class Holder {
 public:
  explicit Holder(Page& page) {
    int held[2];
    EXPECT_EQ(::pipe(held), 0);
    EXPECT_EQ(::pipe(until_), 0);
    pid_ = Child([&] {
      ::close(until_[1]);
      const Page::Lock lock(page, Page::kMemoryNs);
      char byte = 0;
      if (!lock.held() || ::write(held[1], "x", 1) != 1) return 1;
      return ::read(until_[0], &byte, 1) == 0 ? 0 : 1;
    });
    char byte = 0;
    ::close(held[1]);
    EXPECT_EQ(::read(held[0], &byte, 1), 1);
    ::close(held[0]);
  }
  ~Holder() {
    ::close(until_[0]);
    ::close(until_[1]);
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    EXPECT_EQ(status, 0);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

 private:
  int until_[2] = {-1, -1};
  pid_t pid_ = -1;
};

// What could not be said while somebody else held the page is said when it is locked next.
class MissedLockTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<Board>> board = Board::Create(2);
    ASSERT_TRUE(board.ok());
    board_ = *std::move(board);
    page_ = Mapped(board_->fd());
  }
  std::uint32_t Sit(const std::string& lease, std::uint64_t memory_limit = 0) {
    const Result<std::uint32_t> seat = board_->Sit(lease, 500, memory_limit);
    EXPECT_TRUE(seat.ok()) << seat.status().ToString();
    return seat.ok() ? *seat : 0;
  }
  std::unique_ptr<Seat> At(std::uint32_t seat) const { return std::make_unique<Seat>(Mapped(board_->fd()), seat); }
  const LeaseRow& lease(std::size_t row) const { return page_->layout().state.leases[row]; }
  template <typename Rows>
  static std::ptrdiff_t Used(const Rows& rows) {
    return std::count_if(rows.begin(), rows.end(), [](const auto& row) { return row.is_used != 0; });
  }
  std::ptrdiff_t leases() const { return Used(page_->layout().state.leases); }
  std::ptrdiff_t seats() const { return Used(page_->layout().state.seats); }

  std::unique_ptr<Board> board_;
  std::unique_ptr<Page> page_;
};

}  // namespace accelmesh::shares
