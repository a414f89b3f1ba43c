// ChunkTable: which cells an allocation needs backed, when chunks are idle, what goes first.
#include "server/backend/cuda/cells.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace accelmesh::cuda {
namespace {

constexpr std::uint64_t kCell = ChunkTable::kCellBytes;
constexpr std::uint64_t kBase = 0x2000'0020'0000;  // windows are aligned to less than a cell

class CellsTest : public ::testing::Test {
 protected:
  // Allocates, backs what it takes, and returns the runs as cells from the base.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> Allocate(std::uint64_t offset, std::uint64_t bytes) {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> cells;
    for (const ChunkTable::Run& run : table_.Allocate(kBase + offset, bytes)) {
      EXPECT_EQ((run.address - kBase) % kCell, 0u);
      EXPECT_EQ(run.bytes % kCell, 0u);
      cells.emplace_back((run.address - kBase) / kCell, run.bytes / kCell);
      table_.Backed(run.address, run.address);
    }
    return cells;
  }
  std::uint64_t IdleChunks(std::uint64_t offset) { return table_.Free(kBase + offset).size(); }
  using Cells = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

  ChunkTable table_{kBase, 64 * kCell, 16 * kCell};
  static constexpr auto kAny = [](const ChunkTable::Chunk&) { return true; };
};

TEST_F(CellsTest, SmallAllocationsShareACellAndALargeOneIsOneChunk) {
  EXPECT_EQ(Allocate(0, 512), (Cells{{0, 1}}));
  EXPECT_EQ(Allocate(512, kCell - 512), Cells{});
  EXPECT_EQ(Allocate(kCell, 5 * kCell), (Cells{{1, 5}}));
  EXPECT_EQ(table_.backed_bytes(), 6 * kCell);
}

TEST_F(CellsTest, AnAllocationThatCrossesBackedCellsAddsTheOnesBetween) {
  Allocate(2 * kCell, 512);
  Allocate(5 * kCell, 512);
  EXPECT_EQ(Allocate(kCell + 100, 6 * kCell), (Cells{{1, 1}, {3, 2}, {6, 2}}));
}

TEST_F(CellsTest, TheChunksUnderAnAllocationAreThoseThatItTouches) {
  Allocate(kCell, 512);
  Allocate(2 * kCell, 3 * kCell);
  const auto under = [this](std::uint64_t offset, std::uint64_t bytes) {
    Cells cells;
    for (const ChunkTable::Chunk& chunk : table_.Under(kBase + offset, bytes)) {
      EXPECT_NE(chunk.id, 0u);
      cells.emplace_back((chunk.address - kBase) / kCell, chunk.bytes / kCell);
    }
    return cells;
  };
  EXPECT_EQ(under(kCell + 100, kCell - 100), (Cells{{1, 1}}));
  EXPECT_EQ(under(kCell + 100, kCell - 99), (Cells{{1, 1}, {2, 3}}));
  EXPECT_EQ(under(3 * kCell, 512), (Cells{{2, 3}}));
  EXPECT_NE(table_.Under(kBase + kCell, 1).at(0).id, table_.Under(kBase + 2 * kCell, 1).at(0).id);
}

TEST_F(CellsTest, AChunkIsIdleWithItsLastAllocationAndUsedAgainForNothing) {
  Allocate(0, 512);
  Allocate(512, 2 * kCell);
  EXPECT_EQ(IdleChunks(0), 0u);
  EXPECT_FALSE(table_.any_idle());
  EXPECT_EQ(IdleChunks(512), 2u);
  EXPECT_TRUE(table_.any_idle());
  EXPECT_EQ(Allocate(100, 512), Cells{}) << "still backed";
  const auto gone = table_.TakeIdle(kAny);
  ASSERT_TRUE(gone.has_value());
  EXPECT_EQ(gone->address, kBase + kCell) << "the other one is in use again";
  EXPECT_FALSE(table_.TakeIdle(kAny).has_value());
  EXPECT_EQ(Allocate(kCell, 512), (Cells{{1, 1}})) << "what was taken is not there any more";
}

TEST_F(CellsTest, TheLongestIdleChunkGoesFirstUnlessItMayNot) {
  for (std::uint64_t cell : {0, 1, 2}) Allocate(cell * kCell, 512);
  for (std::uint64_t cell : {1, 0, 2}) EXPECT_EQ(IdleChunks(cell * kCell), 1u);
  const auto not_the_oldest = [](const ChunkTable::Chunk& chunk) { return chunk.address != kBase + kCell; };
  EXPECT_EQ(table_.TakeIdle(not_the_oldest)->address, kBase);
  EXPECT_EQ(table_.TakeIdle(kAny)->address, kBase + kCell);
  EXPECT_EQ(table_.TakeIdle(kAny)->address, kBase + 2 * kCell);
  EXPECT_EQ(table_.backed_bytes(), 0u);
}

TEST_F(CellsTest, TheBudgetCountsWhatIsBacked) {
  Allocate(0, 15 * kCell);
  EXPECT_TRUE(table_.Fits(kCell));
  EXPECT_FALSE(table_.Fits(kCell + 1));
  IdleChunks(0);
  EXPECT_FALSE(table_.Fits(2 * kCell)) << "idle chunks are still memory";
  (void)table_.TakeIdle(kAny);
  EXPECT_TRUE(table_.Fits(16 * kCell));
}

TEST_F(CellsTest, WhatCouldNotBeBackedIsTriedAgainAndForgottenWithItsLastAllocation) {
  ASSERT_EQ(table_.Allocate(kBase, 512).size(), 1u);
  table_.Unbackable(kBase);
  ASSERT_EQ(table_.Allocate(kBase + 512, 512).size(), 1u) << "there may be memory now";
  table_.Unbackable(kBase);
  EXPECT_TRUE(table_.Free(kBase).empty());
  EXPECT_TRUE(table_.Free(kBase + 512).empty());
  EXPECT_FALSE(table_.any_idle());
  EXPECT_EQ(Allocate(0, 512), (Cells{{0, 1}}));
}

TEST_F(CellsTest, AnAllocationFreedBeforeItsChunkIsBackedLeavesItIdle) {
  ASSERT_EQ(table_.Allocate(kBase, 512).size(), 1u);
  EXPECT_EQ(table_.Free(kBase).size(), 1u);
  EXPECT_FALSE(table_.any_idle());
  table_.Backed(kBase, 7);
  EXPECT_EQ(table_.TakeIdle(kAny)->handle, 7u);
}

// Against a model: a set of backed cells, and how many allocations lie on each.
TEST_F(CellsTest, RandomHistoriesKeepEveryLiveCellBackedOnce) {
  std::mt19937 random(7);
  std::map<std::uint64_t, std::uint64_t> live;
  std::set<std::uint64_t> backed;
  for (int step = 0; step < 20000; ++step) {
    if (random() % 5 < 2 || live.size() > 40) {
      if (live.empty()) continue;
      auto victim = live.begin();
      std::advance(victim, random() % live.size());
      table_.Free(victim->first);
      live.erase(victim);
    } else if (random() % 10 == 0) {
      if (const auto gone = table_.TakeIdle(kAny); gone.has_value()) {
        for (std::uint64_t at = gone->address; at < gone->address + gone->bytes; at += kCell) {
          ASSERT_EQ(backed.erase(at), 1u);
          for (const auto& [address, bytes] : live) ASSERT_FALSE(address < at + kCell && at < address + bytes);
        }
      }
    } else {
      const std::uint64_t bytes = 1 + random() % (random() % 8 == 0 ? 4 * kCell : 4096);
      const std::uint64_t address = kBase + random() % (64 * kCell - bytes);
      const auto next = live.lower_bound(address);
      if (next != live.end() && next->first < address + bytes) continue;
      if (next != live.begin() && std::prev(next)->first + std::prev(next)->second > address) continue;
      live[address] = bytes;
      for (const ChunkTable::Run& run : table_.Allocate(address, bytes)) {
        table_.Backed(run.address, 1);
        for (std::uint64_t at = run.address; at < run.address + run.bytes; at += kCell)
          ASSERT_TRUE(backed.insert(at).second) << "backed twice";
      }
      for (std::uint64_t at = kBase + (address - kBase) / kCell * kCell; at < address + bytes; at += kCell)
        ASSERT_TRUE(backed.contains(at));
    }
    ASSERT_EQ(table_.backed_bytes(), backed.size() * kCell);
  }
}

}  // namespace
}  // namespace accelmesh::cuda
