// PieceCutter and Arena: pieces cover a box once, in packed order; ranges never overlap and come back whole.
#include "server/backend/cuda/pieces.h"

#include <gtest/gtest.h>

#include <random>

#include "server/backend/cuda/arena.h"

namespace accelmesh::cuda {
namespace {

TEST(PieceCutter, PiecesAreInPackedOrderWithoutGapsAndSmallEnough) {
  const Box boxes[] = {{1, 1, 1}, {100, 1, 1}, {1000, 1, 3}, {10, 50, 1}, {7, 13, 11}, {64, 64, 64}, {257, 3, 5}};
  for (const Box& whole : boxes) {
    for (const std::uint64_t piece_bytes : {1u, 7u, 64u, 100u, 4096u, 1u << 20}) {
      SCOPED_TRACE(std::to_string(whole.width) + "x" + std::to_string(whole.height) + "x" +
                   std::to_string(whole.depth) + " by " + std::to_string(piece_bytes));
      PieceCutter cutter(whole, piece_bytes);
      std::uint64_t done = 0;
      while (const std::optional<Piece> piece = cutter.Next()) {
        ASSERT_EQ(piece->PackedOffset(whole), done);
        ASSERT_GT(piece->box.bytes(), 0u);
        ASSERT_LE(piece->box.bytes(), piece_bytes);
        // More than one row only if rows are whole, more than one slice only if slices are.
        if (piece->box.height > 1) {
          ASSERT_EQ(piece->box.width, whole.width);
        }
        if (piece->box.depth > 1) {
          ASSERT_EQ(piece->box.height, whole.height);
        }
        ASSERT_LE(piece->x + piece->box.width, whole.width);
        ASSERT_LE(piece->y + piece->box.height, whole.height);
        ASSERT_LE(piece->z + piece->box.depth, whole.depth);
        done += piece->box.bytes();
        ASSERT_EQ(cutter.at_end(), done == whole.bytes());
      }
      EXPECT_EQ(done, whole.bytes());
    }
  }
}

TEST(PieceCutter, WhatFitsIsOnePiece) {
  PieceCutter cutter({16, 16, 16}, 4096);
  EXPECT_EQ(cutter.Next()->box.bytes(), 4096u);
  EXPECT_FALSE(cutter.Next().has_value());
}

TEST(Arena, RangesNeverOverlapAndComeBackWhole) {
  constexpr std::uint64_t kBytes = 1 << 20;
  Arena arena(kBytes);
  std::mt19937 random(3);
  std::map<std::uint64_t, std::uint64_t> taken;
  for (int step = 0; step < 20000; ++step) {
    if (random() % 2 == 0 && !taken.empty()) {
      auto range = taken.begin();
      std::advance(range, random() % taken.size());
      arena.Give(range->first, range->second);
      taken.erase(range);
      continue;
    }
    const std::uint64_t bytes = 1 + random() % 40000;
    const std::optional<std::uint64_t> offset = arena.Take(bytes);
    if (!offset.has_value()) continue;
    ASSERT_EQ(*offset % Arena::kAlignment, 0u);
    ASSERT_LE(*offset + bytes, kBytes);
    const auto next = taken.lower_bound(*offset);
    if (next != taken.end()) {
      ASSERT_LE(*offset + bytes, next->first);
    }
    if (next != taken.begin()) {
      ASSERT_LE(std::prev(next)->first + std::prev(next)->second, *offset);
    }
    taken[*offset] = bytes;
  }
  for (const auto& [offset, bytes] : taken) arena.Give(offset, bytes);
  EXPECT_EQ(arena.Take(kBytes), 0u) << "not one range again";
  EXPECT_FALSE(arena.Take(1).has_value());
}

}  // namespace
}  // namespace accelmesh::cuda
