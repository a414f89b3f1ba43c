#include "server/session/range_table.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>
#include <vector>

namespace accelmesh {
namespace {

constexpr std::uint64_t kBase = 0x1000;
constexpr std::uint64_t kWindow = 0x1000;
constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

TEST(RangeTableTest, TakesRangesOfTheWindowOnly) {
  RangeTable table(kBase, kWindow, 2 * kWindow);
  const struct {
    std::uint64_t address, bytes;
  } outside[] = {{kBase - 1, 1},           {kBase - 1, 2}, {0, 1},    {kBase + kWindow, 1}, {kBase + kWindow - 1, 2},
                 {kBase, kWindow + 1},     {kBase, kMax},  {kMax, 1}, {kBase + 1, kMax},    {kBase, 0},
                 {kBase + 1, kMax - kBase}};
  for (const auto& range : outside) {
    EXPECT_EQ(table.Add(range.address, range.bytes).code(), Code::kInvalidArgument)
        << range.address << " " << range.bytes;
  }
  EXPECT_EQ(table.allocated_bytes(), 0U);
  EXPECT_TRUE(table.Add(kBase, kWindow).ok());
  EXPECT_EQ(table.allocated_bytes(), kWindow);
}

TEST(RangeTableTest, RangesDoNotOverlap) {
  RangeTable table(kBase, kWindow, kWindow);
  ASSERT_TRUE(table.Add(kBase + 100, 50).ok());
  const struct {
    std::uint64_t offset, bytes;
  } overlapping[] = {{100, 50}, {100, 1}, {149, 1}, {149, 100}, {99, 2}, {50, 51}, {50, 300}, {120, 5}};
  for (const auto& range : overlapping) {
    const Status status = table.Add(kBase + range.offset, range.bytes);
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << range.offset << " " << range.bytes;
    EXPECT_EQ(status.text(), "overlaps");
  }
  EXPECT_EQ(table.allocated_bytes(), 50U);
  EXPECT_TRUE(table.Add(kBase + 150, 50).ok()) << "neighbours are fine";
  EXPECT_TRUE(table.Add(kBase + 50, 50).ok());
}

TEST(RangeTableTest, TheQuotaIsExact) {
  RangeTable table(kBase, kWindow, 100);
  ASSERT_TRUE(table.Add(kBase, 60).ok());
  const Status past = table.Add(kBase + 60, 41);
  EXPECT_EQ(past.code(), Code::kOutOfMemory);
  EXPECT_EQ(past.text(), "41 bytes asked, 40 of 100 free");
  ASSERT_TRUE(table.Add(kBase + 60, 40).ok());
  EXPECT_EQ(table.Add(kBase + 200, 1).code(), Code::kOutOfMemory);
  ASSERT_TRUE(table.Remove(kBase).ok());
  EXPECT_EQ(table.allocated_bytes(), 40U);
  EXPECT_TRUE(table.Add(kBase + 200, 60).ok());
}

// What a lease has, counted by others as well.
class Shared final : public MemoryQuota {
 public:
  bool Take(std::uint64_t bytes) override {
    if (bytes > left) return false;
    left -= bytes;
    return true;
  }
  void Give(std::uint64_t bytes) override { left += bytes; }
  std::uint64_t limit() const override { return 100; }
  std::uint64_t left = 100;
};

TEST(RangeTableTest, TablesOfALeaseShareItsQuota) {
  Shared lease;
  RangeTable first(kBase, kWindow, 80, &lease);
  RangeTable second(kBase, kWindow, 80, &lease);
  ASSERT_TRUE(first.Add(kBase, 70).ok());
  EXPECT_EQ(second.Add(kBase, 31).code(), Code::kOutOfMemory);
  EXPECT_EQ(second.allocated_bytes(), 0U) << "nothing was taken";
  EXPECT_EQ(lease.left, 30U);
  EXPECT_EQ(first.Add(kBase + 70, 11).code(), Code::kOutOfMemory) << "its own";
  EXPECT_EQ(lease.left, 30U);
  ASSERT_TRUE(second.Charge(30).ok());
  EXPECT_EQ(second.Charge(1).code(), Code::kOutOfMemory);
  EXPECT_EQ(first.Add(kBase + 10, 5).code(), Code::kInvalidArgument) << "overlaps, and takes nothing";
  ASSERT_TRUE(first.Remove(kBase).ok());
  EXPECT_EQ(lease.left, 70U);
  second.Discharge(30);
  EXPECT_EQ(lease.left, 100U);
}

TEST(RangeTableTest, OnlyTheStartOfARangeIsRemoved) {
  RangeTable table(kBase, kWindow, kWindow);
  ASSERT_TRUE(table.Add(kBase + 100, 50).ok());
  for (const std::uint64_t address : {kBase + 99, kBase + 101, kBase + 149, kBase + 150, std::uint64_t{0}, kMax}) {
    EXPECT_EQ(table.Remove(address).code(), Code::kInvalidArgument) << address;
  }
  EXPECT_TRUE(table.Remove(kBase + 100).ok());
  EXPECT_EQ(table.Remove(kBase + 100).code(), Code::kInvalidArgument) << "twice";
  EXPECT_EQ(table.allocated_bytes(), 0U);
}

TEST(RangeTableTest, CoversWhatLiesInsideOneRange) {
  RangeTable table(kBase, kWindow, kWindow);
  ASSERT_TRUE(table.Add(kBase + 100, 50).ok());
  ASSERT_TRUE(table.Add(kBase + 150, 50).ok());
  const auto covers = [&](std::uint64_t offset, std::uint64_t bytes) { return table.Covers(kBase + offset, bytes); };
  EXPECT_TRUE(covers(100, 50));
  EXPECT_TRUE(covers(149, 1));
  EXPECT_TRUE(covers(120, 0));
  EXPECT_FALSE(covers(99, 1));
  EXPECT_FALSE(covers(99, 2));
  EXPECT_FALSE(covers(100, 51)) << "two ranges side by side are two allocations";
  EXPECT_FALSE(covers(149, 2));
  EXPECT_FALSE(covers(200, 1));
  EXPECT_FALSE(covers(100, kMax)) << "no overflow";
  EXPECT_FALSE(covers(101, kMax));
  EXPECT_FALSE(table.Covers(0, 1));
  EXPECT_FALSE(table.Covers(kMax, 1));
  ASSERT_TRUE(table.Remove(kBase + 100).ok());
  EXPECT_FALSE(covers(100, 1));
  EXPECT_TRUE(covers(150, 50));
}

TEST(RangeTableTest, AgreesWithAMapOfBytes) {
  std::mt19937 random(5);
  constexpr std::uint64_t kSmall = 64;
  constexpr std::uint64_t kQuota = 40;
  for (int round = 0; round < 300; ++round) {
    RangeTable table(kBase, kSmall, kQuota);
    std::vector<std::uint64_t> owner(kSmall, 0);  // of each byte: the start of its range, 0 if free
    std::uint64_t used = 0;
    for (int step = 0; step < 200; ++step) {
      const std::uint64_t offset = random() % (kSmall + 4);
      const std::uint64_t bytes = random() % 20;
      if (random() % 2 == 0) {
        const bool inside = bytes != 0 && offset + bytes <= kSmall;
        bool is_free = inside;
        for (std::uint64_t i = offset; inside && i < offset + bytes; ++i) is_free = is_free && owner[i] == 0;
        const Status status = table.Add(kBase + offset, bytes);
        ASSERT_EQ(status.ok(), is_free && used + bytes <= kQuota) << status.ToString();
        if (!status.ok()) {
          ASSERT_EQ(status.code(), inside && used + bytes > kQuota ? Code::kOutOfMemory : Code::kInvalidArgument);
          continue;
        }
        for (std::uint64_t i = offset; i < offset + bytes; ++i) owner[i] = kBase + offset;
        used += bytes;
      } else {
        const bool starts = offset < kSmall && owner[offset] == kBase + offset;
        ASSERT_EQ(table.Remove(kBase + offset).ok(), starts);
        for (std::uint64_t& byte : owner) {
          if (starts && byte == kBase + offset) {
            byte = 0;
            --used;
          }
        }
      }
      ASSERT_EQ(table.allocated_bytes(), used);
      const std::uint64_t at = random() % kSmall;
      const std::uint64_t length = 1 + random() % 8;
      bool covered = at + length <= kSmall && owner[at] != 0;
      for (std::uint64_t i = at; covered && i < at + length; ++i) covered = owner[i] == owner[at];
      ASSERT_EQ(table.Covers(kBase + at, length), covered);
    }
  }
}

}  // namespace
}  // namespace accelmesh
