#include "shim/core/memory_pool.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "shim/core/pool_set.h"

namespace accelmesh {
namespace {

constexpr std::uint64_t kBase = 0x2000'0000'0000;
constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr StreamName kA{4, kNoSlot};
constexpr StreamName kB{5, kNoSlot};

// Streams whose progress and dependencies the test says.
class FakeOrder final : public PoolOrder {
 public:
  bool HasPassed(const StreamPoint& point) const override { return point.sequence <= passed; }
  bool IsBehind(const StreamName& stream, const StreamPoint& point) const override {
    return stream.slot == behind && point.sequence <= behind_sequence;
  }
  std::uint64_t passed = 0;
  std::uint32_t behind = kNoSlot;
  std::uint64_t behind_sequence = 0;
};

std::vector<AddressSpace::Range> Released(MemoryPool& pool, std::uint64_t keep) {
  std::vector<AddressSpace::Range> released;
  pool.Release(keep, &released);
  return released;
}

class MemoryPoolTest : public ::testing::Test {
 protected:
  void SetUp() override { pool_.AddSegment(kBase, 2 * kMiB); }
  std::uint64_t Take(std::uint64_t bytes, const StreamName& stream) { return pool_.Take(bytes, stream, order_); }
  MemoryPool pool_{0, 0};
  FakeOrder order_;
};

TEST_F(MemoryPoolTest, WhatIsFreedOnAStreamIsHadThereAtOnce) {
  const std::uint64_t block = Take(2 * kMiB, kA);
  EXPECT_EQ(block, kBase);
  EXPECT_EQ(Take(512, kA), 0u) << "nothing is left";
  ASSERT_TRUE(pool_.Free(block, {kA, 10}));
  EXPECT_EQ(Take(2 * kMiB, kB), 0u) << "the free has not passed";
  EXPECT_EQ(Take(2 * kMiB, kA), block);
  EXPECT_FALSE(pool_.Free(block + 512, {kA, 11})) << "inside of a block";
  ASSERT_TRUE(pool_.Free(block, {kA, 11}));
  EXPECT_FALSE(pool_.Free(block, {kA, 12})) << "twice";
}

TEST_F(MemoryPoolTest, ElsewhereItIsHadOnceTheFreeHasPassed) {
  const std::uint64_t block = Take(2 * kMiB, kA);
  ASSERT_TRUE(pool_.Free(block, {kA, 10}));
  order_.passed = 9;
  EXPECT_EQ(Take(2 * kMiB, kB), 0u);
  order_.passed = 10;
  EXPECT_EQ(Take(2 * kMiB, kB), block);
}

TEST_F(MemoryPoolTest, WithoutOpportunismOnlyASynchroniseTells) {
  pool_.policy().is_opportunistic = false;
  const std::uint64_t block = Take(2 * kMiB, kA);
  ASSERT_TRUE(pool_.Free(block, {kA, 10}));
  order_.passed = 10;
  EXPECT_EQ(Take(2 * kMiB, kB), 0u);
  pool_.Settle(order_);
  EXPECT_EQ(Take(2 * kMiB, kB), block);
}

TEST_F(MemoryPoolTest, ADependencyIsEnoughUnlessItIsSwitchedOff) {
  const std::uint64_t block = Take(2 * kMiB, kA);
  ASSERT_TRUE(pool_.Free(block, {kA, 10}));
  order_.behind = kB.slot;
  order_.behind_sequence = 9;
  EXPECT_EQ(Take(2 * kMiB, kB), 0u);
  order_.behind_sequence = 10;
  pool_.policy().follows_events = false;
  EXPECT_EQ(Take(2 * kMiB, kB), 0u);
  pool_.policy().follows_events = true;
  EXPECT_EQ(Take(2 * kMiB, kB), block);
}

TEST_F(MemoryPoolTest, NeighboursThatMayBeUsedTogetherAreJoined) {
  const std::uint64_t first = Take(kMiB, kA);
  const std::uint64_t second = Take(kMiB, kA);
  ASSERT_TRUE(pool_.Free(first, {kA, 10}));
  ASSERT_TRUE(pool_.Free(second, {kA, 20}));
  EXPECT_EQ(Take(2 * kMiB, kB), 0u);
  EXPECT_EQ(Take(2 * kMiB, kA), first);
  ASSERT_TRUE(pool_.Free(first, {kA, 21}));
  order_.passed = 21;
  EXPECT_EQ(Take(kMiB, kA), first);
  EXPECT_EQ(Take(kMiB, kB), second);
  ASSERT_TRUE(pool_.Free(first, {kA, 30}));
  ASSERT_TRUE(pool_.Free(second, {kB, 31}));
  EXPECT_EQ(Take(2 * kMiB, kA), 0u) << "of two streams";
  order_.passed = 30;
  EXPECT_EQ(Take(2 * kMiB, kB), first) << "one of its own and one for all";
}

TEST_F(MemoryPoolTest, WhatIsFreedLaterBesideABlockDoesNotHoldItUp) {
  const std::uint64_t first = Take(kMiB, kA);
  const std::uint64_t second = Take(kMiB, kA);
  ASSERT_TRUE(pool_.Free(first, {kA, 10}));
  ASSERT_TRUE(pool_.Free(second, {kA, 20}));
  order_.passed = 19;
  EXPECT_EQ(Take(kMiB, kB), first);
  EXPECT_EQ(Take(512, kB), 0u);
}

TEST_F(MemoryPoolTest, CountsUseAndReserveWithTheirHighs) {
  EXPECT_EQ(pool_.reserved_bytes(), 2 * kMiB);
  const std::uint64_t first = Take(1, kA);
  const std::uint64_t second = Take(513, kA);
  EXPECT_EQ(pool_.used_bytes(), 3 * 512u);
  ASSERT_TRUE(pool_.Free(second, {kA, 1}));
  EXPECT_EQ(pool_.used_bytes(), 512u);
  EXPECT_EQ(pool_.used_high(), 3 * 512u);
  pool_.ResetUsedHigh();
  EXPECT_EQ(pool_.used_high(), 512u);
  ASSERT_TRUE(pool_.Free(first, {kA, 2}));
  order_.passed = 2;
  pool_.Settle(order_);
  EXPECT_EQ(Released(pool_, 0).size(), 1u);
  EXPECT_EQ(pool_.reserved_bytes(), 0u);
  EXPECT_EQ(pool_.reserved_high(), 2 * kMiB);
  pool_.ResetReservedHigh();
  EXPECT_EQ(pool_.reserved_high(), 0u);
}

TEST_F(MemoryPoolTest, GivesBackIdleSegmentsDownToWhatIsKept) {
  for (std::uint64_t i = 1; i < 4; ++i) pool_.AddSegment(kBase + i * 2 * kMiB, 2 * kMiB);
  const std::uint64_t live = Take(512, kA);
  EXPECT_TRUE(Released(pool_, 8 * kMiB).empty());
  EXPECT_TRUE(Released(pool_, 7 * kMiB).empty()) << "a segment would leave less";
  EXPECT_EQ(Released(pool_, 5 * kMiB).size(), 1u);
  EXPECT_EQ(pool_.reserved_bytes(), 6 * kMiB);
  EXPECT_EQ(Released(pool_, 0).size(), 2u) << "one is in use";
  ASSERT_TRUE(pool_.Free(live, {kA, 5}));
  EXPECT_TRUE(Released(pool_, 0).empty()) << "its free is pending";
  order_.passed = 5;
  pool_.Settle(order_);
  EXPECT_EQ(Released(pool_, 0).size(), 1u);
}

TEST_F(MemoryPoolTest, FindsLiveBlocksOnly) {
  const std::uint64_t block = Take(1000, kA);
  EXPECT_EQ(pool_.FindLive(block + 1023).address, block);
  EXPECT_EQ(pool_.FindLive(block + 1023).bytes, 1024u);
  EXPECT_EQ(pool_.FindLive(block + 1024).bytes, 0u);
  ASSERT_TRUE(pool_.Free(block, {kA, 1}));
  EXPECT_EQ(pool_.FindLive(block).bytes, 0u);
  EXPECT_EQ(pool_.FindLive(kBase - 1).bytes, 0u);
}

TEST_F(MemoryPoolTest, TheMaximumBoundsSegments) {
  MemoryPool bounded(0, 3 * kMiB);
  EXPECT_EQ(bounded.SegmentFor(512, false), 2 * kMiB);
  EXPECT_EQ(bounded.SegmentFor(3 * kMiB, false), 0u) << "4 MiB";
  EXPECT_EQ(bounded.SegmentFor(3 * kMiB, true), 3 * kMiB);
  bounded.AddSegment(kBase, 2 * kMiB);
  EXPECT_EQ(bounded.SegmentFor(512, false), 0u);
  EXPECT_EQ(bounded.SegmentFor(512, true), 512u);
  EXPECT_EQ(bounded.SegmentFor(2 * kMiB, true), 0u);
}

// Against a plain record of who has what until when: no two live blocks overlap, and a block is never given to a stream
// that is not in order behind its last owner's free.
TEST_F(MemoryPoolTest, NeverGivesAnythingOutTooEarly) {
  struct Live {
    std::uint64_t bytes;
    StreamName stream;
  };
  std::mt19937 random(42);
  std::map<std::uint64_t, Live> live;
  std::map<std::uint64_t, StreamPoint> freed;  // by 512 bytes
  std::uint64_t sequence = 0;
  const StreamName streams[] = {kA, kB, {6, kNoSlot}};
  for (int step = 0; step < 20000; ++step) {
    const StreamName& stream = streams[random() % 3];
    if (random() % 16 == 0) {
      order_.passed += random() % (sequence - order_.passed + 1);
      if (random() % 4 == 0) pool_.Settle(order_);
    }
    if (random() % 2 == 0) {
      const std::uint64_t bytes = 512 * (1 + random() % (random() % 8 == 0 ? 2000 : 40));
      const std::uint64_t block = Take(bytes, stream);
      if (block == 0) continue;
      const auto after = live.upper_bound(block);
      ASSERT_TRUE(after == live.end() || block + bytes <= after->first);
      ASSERT_TRUE(after == live.begin() || std::prev(after)->first + std::prev(after)->second.bytes <= block);
      for (std::uint64_t unit = block; unit < block + bytes; unit += 512) {
        const auto old = freed.find(unit);
        if (old == freed.end()) continue;
        ASSERT_TRUE(old->second.stream.slot == stream.slot || old->second.sequence <= order_.passed) << "step " << step;
        freed.erase(old);
      }
      live.emplace(block, Live{bytes, stream});
    } else if (!live.empty()) {
      auto victim = live.begin();
      std::advance(victim, random() % live.size());
      const StreamPoint point{stream, ++sequence};
      ASSERT_TRUE(pool_.Free(victim->first, point));
      for (std::uint64_t at = 0; at < victim->second.bytes; at += 512) freed[victim->first + at] = point;
      live.erase(victim);
    }
  }
  for (const auto& [block, owner] : live) ASSERT_TRUE(pool_.Free(block, {owner.stream, ++sequence}));
  order_.passed = sequence;
  pool_.Settle(order_);
  EXPECT_EQ(pool_.used_bytes(), 0u);
  EXPECT_EQ(Take(2 * kMiB, kB), kBase) << "everything joins again";
}

// Sets of pools -------------------------------------------------------------------------------------------------------

TEST(PoolSetTest, DefaultsStayAndTheCurrentOneChanges) {
  PoolSet pools;
  pools.AddDevice();
  pools.AddDevice();
  MemoryPool* made = pools.Create(1, 0);
  EXPECT_EQ(pools.Current(1), pools.Default(1));
  EXPECT_FALSE(pools.SetCurrent(0, made)) << "another device's";
  ASSERT_TRUE(pools.SetCurrent(1, made));
  EXPECT_EQ(pools.Current(1), made);
  EXPECT_FALSE(pools.Destroy(pools.Default(0)));
  ASSERT_TRUE(pools.Destroy(made));
  EXPECT_FALSE(pools.IsPool(made));
  EXPECT_FALSE(pools.Destroy(made));
  EXPECT_EQ(pools.Current(1), pools.Default(1));
  EXPECT_FALSE(pools.SetCurrent(1, made));
}

TEST(PoolSetTest, ADestroyedPoolLivesUntilItsLastBlockIsFreed) {
  PoolSet pools;
  FakeOrder order;
  pools.AddDevice();
  MemoryPool* made = pools.Create(0, 0);
  pools.AddSegment(*made, kBase, 2 * kMiB);
  const std::uint64_t block = made->Take(100, kA, order);
  ASSERT_TRUE(pools.Destroy(made));
  std::vector<PoolSet::Released> released;
  pools.Tidy(order, &released);
  EXPECT_TRUE(released.empty());
  ASSERT_EQ(pools.Find(block + 50), made);
  ASSERT_TRUE(made->Free(block, {kA, 3}));
  EXPECT_FALSE(pools.Tidy(order, &released)) << "the free is pending";
  EXPECT_EQ(pools.OldestPending(0).sequence, 3u);
  order.passed = 3;
  EXPECT_TRUE(pools.Tidy(order, &released));
  ASSERT_EQ(released.size(), 1u);
  EXPECT_EQ(released[0].range.address, kBase);
  EXPECT_EQ(pools.Find(block), nullptr);
}

TEST(PoolSetTest, AResetLeavesTheDefaultPoolOnlyAndNothingInIt) {
  FakeOrder order;
  PoolSet pools;
  pools.AddDevice();
  pools.AddDevice();
  MemoryPool* made = pools.Create(0, 0);
  MemoryPool* destroyed = pools.Create(0, 0);
  MemoryPool* other = pools.Create(1, 0);
  ASSERT_TRUE(pools.SetCurrent(0, made));
  ASSERT_TRUE(pools.SetCurrent(1, other));
  std::uint64_t at = kBase;
  for (MemoryPool* pool : {pools.Default(0), made, destroyed, other}) {
    pools.AddSegment(*pool, at, 2 * kMiB);
    EXPECT_EQ(pool->Take(512, kA, order), at);
    at += 2 * kMiB;
  }
  pools.Default(0)->policy().release_threshold = kMiB;
  ASSERT_TRUE(pools.Destroy(destroyed));
  pools.Reset(0);
  EXPECT_FALSE(pools.IsPool(made));
  EXPECT_EQ(pools.Current(0), pools.Default(0));
  EXPECT_EQ(pools.Default(0)->reserved_bytes(), 0u);
  EXPECT_EQ(pools.Default(0)->policy().release_threshold, 0u);
  for (at = kBase; at < kBase + 6 * kMiB; at += 2 * kMiB) EXPECT_EQ(pools.Find(at), nullptr);
  EXPECT_EQ(pools.IdleBytes(0), 0u);
  EXPECT_EQ(pools.Current(1), other);
  EXPECT_EQ(pools.Find(kBase + 6 * kMiB), other);
}

TEST(PoolSetTest, ASynchroniseLeavesTheThresholdAndPressureNothing) {
  PoolSet pools;
  FakeOrder order;
  pools.AddDevice();
  MemoryPool& pool = *pools.Default(0);
  for (std::uint64_t i = 0; i < 3; ++i) pools.AddSegment(pool, kBase + i * 2 * kMiB, 2 * kMiB);
  EXPECT_EQ(pools.IdleBytes(0), 6 * kMiB);
  pool.policy().release_threshold = 4 * kMiB;
  std::vector<PoolSet::Released> released;
  EXPECT_TRUE(pools.Tidy(order, &released));
  EXPECT_EQ(released.size(), 1u);
  pools.ReleaseIdle(1, order, &released);
  EXPECT_EQ(released.size(), 1u) << "of another device";
  pools.ReleaseIdle(0, order, &released);
  EXPECT_EQ(released.size(), 3u);
  EXPECT_EQ(pools.IdleBytes(0), 0u);
}

}  // namespace
}  // namespace accelmesh
