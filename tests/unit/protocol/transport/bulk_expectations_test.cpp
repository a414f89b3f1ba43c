#include "protocol/transport/bulk_expectations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <numeric>
#include <thread>
#include <vector>

namespace accelmesh {
namespace {

constexpr std::uint64_t kToken = 9;

Bytes Counting(std::size_t size) {
  Bytes bytes(size);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{1});
  return bytes;
}

TEST(BulkExpectationsTest, LandsInOnePiece) {
  BulkExpectations expectations;
  Bytes destination(10, 0);
  ASSERT_TRUE(expectations.Expect(kToken, destination).ok());
  EXPECT_FALSE(expectations.Landed(kToken));
  ASSERT_TRUE(expectations.Land(kToken, 0, Counting(10)).ok());
  EXPECT_EQ(destination, Counting(10));
  EXPECT_TRUE(expectations.Landed(kToken));
  EXPECT_FALSE(expectations.Landed(kToken)) << "an expectation ends when Landed() has said so";
}

TEST(BulkExpectationsTest, LandsInPiecesOfAnyOrder) {
  BulkExpectations expectations;
  const Bytes source = Counting(10);
  Bytes destination(12, 0);  // one untouched byte at each end
  ASSERT_TRUE(expectations.Expect(kToken, MutableByteView(destination).subspan(1, 10)).ok());
  const struct {
    std::size_t offset, size;
  } pieces[] = {{7, 3}, {0, 2}, {10, 0}, {2, 5}};
  for (const auto& piece : pieces) {
    EXPECT_FALSE(expectations.Landed(kToken));
    ASSERT_TRUE(expectations.Land(kToken, piece.offset, ByteView(source).subspan(piece.offset, piece.size)).ok());
  }
  EXPECT_TRUE(expectations.Landed(kToken));
  EXPECT_EQ(Bytes(destination.begin() + 1, destination.end() - 1), source);
  EXPECT_EQ(destination.front(), 0);
  EXPECT_EQ(destination.back(), 0);
}

TEST(BulkExpectationsTest, NothingIsExpectedOfAnEmptyBody) {
  BulkExpectations expectations;
  ASSERT_TRUE(expectations.Expect(kToken, {}).ok());
  EXPECT_TRUE(expectations.Land(kToken, 0, {}).ok());
  EXPECT_TRUE(expectations.Landed(kToken));
}

TEST(BulkExpectationsTest, ATokenIsExpectedOnce) {
  BulkExpectations expectations;
  Bytes first(4, 0);
  Bytes second(4, 0);
  ASSERT_TRUE(expectations.Expect(kToken, first).ok());
  EXPECT_EQ(expectations.Expect(kToken, second).code(), Code::kInvalidArgument);
  ASSERT_TRUE(expectations.Land(kToken, 0, Counting(4)).ok());
  EXPECT_EQ(first, Counting(4));
  EXPECT_EQ(second, Bytes(4, 0));
}

TEST(BulkExpectationsTest, APieceOutsideIsABadFrameAndWritesNothing) {
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  const struct {
    std::uint64_t offset;
    std::size_t size;
  } cases[] = {
      {0, 9}, {1, 8}, {8, 1}, {9, 0}, {kMax, 1}, {kMax, 0}, {kMax - 7, 8}, {kMax - 3, 4}, {std::uint64_t{1} << 32, 1}};
  for (const auto& one : cases) {
    BulkExpectations expectations;
    Bytes memory(32, 0);
    ASSERT_TRUE(expectations.Expect(kToken, MutableByteView(memory).subspan(12, 8)).ok());
    EXPECT_EQ(expectations.Land(kToken, one.offset, Bytes(one.size, 0xee)).code(), Code::kBadFrame)
        << one.size << " at " << one.offset;
    EXPECT_EQ(memory, Bytes(32, 0));
    EXPECT_FALSE(expectations.Landed(kToken));
  }
}

TEST(BulkExpectationsTest, MoreBytesThanExpectedAreABadFrame) {
  BulkExpectations expectations;
  Bytes destination(8, 0);
  ASSERT_TRUE(expectations.Expect(kToken, destination).ok());
  ASSERT_TRUE(expectations.Land(kToken, 0, Bytes(5, 1)).ok());
  // Each fits by itself; the fourth byte would be the ninth.
  EXPECT_EQ(expectations.Land(kToken, 0, Bytes(4, 2)).code(), Code::kBadFrame);
  EXPECT_EQ(destination, (Bytes{1, 1, 1, 1, 1, 0, 0, 0}));
  EXPECT_FALSE(expectations.Landed(kToken));
  ASSERT_TRUE(expectations.Land(kToken, 5, Bytes(3, 3)).ok());
  EXPECT_TRUE(expectations.Landed(kToken));
}

TEST(BulkExpectationsTest, WhatNobodyExpectsIsDropped) {
  BulkExpectations expectations;
  Bytes destination(8, 0);
  EXPECT_TRUE(expectations.Land(kToken, 0, Bytes(8, 1)).ok());
  ASSERT_TRUE(expectations.Expect(kToken, destination).ok());
  expectations.Cancel(kToken);
  EXPECT_TRUE(expectations.Land(kToken, 0, Bytes(8, 1)).ok());
  EXPECT_EQ(destination, Bytes(8, 0));
  EXPECT_FALSE(expectations.Landed(kToken));
  expectations.Cancel(kToken);  // and again: nothing happens
  EXPECT_TRUE(expectations.Expect(kToken, destination).ok());
}

TEST(BulkExpectationsTest, AfterCancelNothingWritesAnyMore) {
  // Large enough that Cancel() meets copies in progress.
  const Bytes piece(4 << 20, 0xaa);
  Bytes destination(piece.size(), 0);
  BulkExpectations expectations;
  for (std::uint64_t token = 0; token < 40; ++token) {
    ASSERT_TRUE(expectations.Expect(token, destination).ok());
    std::atomic<bool> started{false};
    std::thread lander([&] {
      started.store(true);
      EXPECT_TRUE(expectations.Land(token, 0, piece).ok());
    });
    while (!started.load()) std::this_thread::yield();
    if (token % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(20 * token));
    expectations.Cancel(token);
    std::fill(destination.begin(), destination.end(), std::uint8_t{0x55});  // a race for the thread sanitizer, too
    lander.join();
    ASSERT_EQ(std::count(destination.begin(), destination.end(), std::uint8_t{0x55}),
              static_cast<std::ptrdiff_t>(destination.size()))
        << token;
  }
}

TEST(BulkExpectationsTest, LandedWaitsForTheLastByte) {
  const Bytes piece(1 << 20, 0xaa);
  Bytes destination(4 * piece.size(), 0);
  BulkExpectations expectations;
  for (std::uint64_t token = 0; token < 20; ++token) {
    std::fill(destination.begin(), destination.end(), std::uint8_t{0});
    ASSERT_TRUE(expectations.Expect(token, destination).ok());
    std::vector<std::thread> landers;
    for (std::uint64_t i = 0; i < 4; ++i) {
      landers.emplace_back([&, i] { EXPECT_TRUE(expectations.Land(token, i * piece.size(), piece).ok()); });
    }
    while (!expectations.Landed(token)) std::this_thread::yield();
    EXPECT_EQ(std::count(destination.begin(), destination.end(), std::uint8_t{0xaa}),
              static_cast<std::ptrdiff_t>(destination.size()));
    for (std::thread& lander : landers) lander.join();
  }
}

}  // namespace
}  // namespace accelmesh
