#include "protocol/transport/slots.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

namespace accelmesh::shm {
namespace {

class SlotsTest : public testing::Test {
 protected:
  // What the receiver does when it has read a run.
  void Release(std::uint32_t first) { released_->unit[first].store(1); }

  const std::unique_ptr<ReleasedFlags> released_ = std::make_unique<ReleasedFlags>();
  SlotAllocator slots_{*released_};
};

TEST(UnitsForTest, RoundsUpAndNeverIsNothing) {
  EXPECT_EQ(UnitsFor(0), 1U);
  EXPECT_EQ(UnitsFor(1), 1U);
  EXPECT_EQ(UnitsFor(kUnitBytes), 1U);
  EXPECT_EQ(UnitsFor(kUnitBytes + 1), 2U);
  EXPECT_EQ(UnitsFor(limits::kBulkBytesMax), limits::kBulkBytesMax / kUnitBytes);
}

TEST_F(SlotsTest, FillsFromTheFrontUntilNothingIsLeft) {
  for (std::uint32_t unit = 0; unit + 16 <= kUnits; unit += 16) EXPECT_EQ(slots_.Allocate(16), unit);
  EXPECT_EQ(slots_.Allocate(16), std::nullopt);
  EXPECT_EQ(slots_.Allocate(1), std::nullopt);
}

TEST_F(SlotsTest, WhatCannotFitIsRefused) {
  EXPECT_EQ(slots_.Allocate(kUnits + 1), std::nullopt);
  EXPECT_EQ(slots_.Allocate(kUnits), 0U);
  EXPECT_EQ(slots_.Allocate(1), std::nullopt);
}

TEST_F(SlotsTest, AReleasedRunIsGivenOutAgainAndNotBefore) {
  EXPECT_EQ(slots_.Allocate(4), 0U);
  EXPECT_EQ(slots_.Allocate(kUnits - 4), 4U);
  EXPECT_EQ(slots_.Allocate(4), std::nullopt);
  Release(0);
  EXPECT_EQ(slots_.Allocate(3), 0U);
  EXPECT_EQ(slots_.Allocate(1), 3U);
  EXPECT_EQ(slots_.Allocate(1), std::nullopt) << "its flag counts once";
}

TEST_F(SlotsTest, ReleasedNeighboursMakeOneRun) {
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(slots_.Allocate(2).has_value());
  ASSERT_TRUE(slots_.Allocate(kUnits - 8).has_value());
  Release(2);
  Release(4);
  EXPECT_EQ(slots_.Allocate(5), std::nullopt);
  EXPECT_EQ(slots_.Allocate(4), 2U);
}

TEST_F(SlotsTest, FreeTakesBackWhatWasNotAnnounced) {
  EXPECT_EQ(slots_.Allocate(kUnits), 0U);
  slots_.Free(0);
  EXPECT_EQ(slots_.Allocate(kUnits), 0U);
}

TEST_F(SlotsTest, FlagsOfUnitsThatBeginNoRunMeanNothing) {
  EXPECT_EQ(slots_.Allocate(4), 0U);
  EXPECT_EQ(slots_.Allocate(kUnits - 4), 4U);
  for (std::uint32_t unit : {1U, 2U, 3U, 5U, kUnits - 1}) Release(unit);
  EXPECT_EQ(slots_.Allocate(1), std::nullopt);
}

TEST_F(SlotsTest, AFlagSetBeforeTheRunWasGivenOutIsForgotten) {
  // Left over, or scribbled: the next owner's bytes must not be taken for read.
  Release(0);
  EXPECT_EQ(slots_.Allocate(1), 0U);
  EXPECT_EQ(slots_.Allocate(kUnits), std::nullopt);
  EXPECT_EQ(slots_.Allocate(1), 1U);
}

TEST_F(SlotsTest, RunsNeverOverlapWhateverThePeerScribbles) {
  std::mt19937 random(11);
  std::map<std::uint32_t, std::uint32_t> runs;  // as the sender knows them: first unit -> units
  std::vector<char> is_flagged(kUnits, 0);      // flags the peer has set since the run was given out
  for (int round = 0; round < 300'000; ++round) {
    if (random() % 3 == 0) {
      const std::uint32_t unit = random() % kUnits;
      Release(unit);
      is_flagged[unit] = 1;
      continue;
    }
    const std::uint32_t units = 1 + random() % 16;
    const std::optional<std::uint32_t> first = slots_.Allocate(units);
    if (!first.has_value()) continue;
    ASSERT_LE(*first + units, kUnits);
    // Only runs whose first unit the peer has flagged may make way.
    for (auto it = runs.begin(); it != runs.end();) {
      const bool overlaps = it->first < *first + units && *first < it->first + it->second;
      if (!overlaps) {
        ++it;
        continue;
      }
      ASSERT_TRUE(is_flagged[it->first]) << "round " << round << ": run " << it->first << " was still in use";
      it = runs.erase(it);
    }
    runs[*first] = units;
    is_flagged[*first] = 0;
  }
}

}  // namespace
}  // namespace accelmesh::shm
