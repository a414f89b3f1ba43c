#include "shim/core/stream_order.h"

#include <gtest/gtest.h>

namespace accelmesh {
namespace {

// Device 0 has slot 0 for its legacy stream, device 1 slot 1.
constexpr StreamName kLegacy{0, 0};
constexpr StreamName kBlocking{4, 0};
constexpr StreamName kOtherBlocking{5, 0};
constexpr StreamName kFree{6, kNoSlot};
constexpr StreamName kOtherFree{7, kNoSlot};
constexpr StreamName kElsewhere{8, 1};

TEST(StreamOrderTest, AStreamIsBehindItselfAndNobodyElse) {
  const StreamOrder order;
  EXPECT_TRUE(order.IsBehind(kFree, 0, {kFree, 10}));
  EXPECT_FALSE(order.IsBehind(kFree, 0, {kOtherFree, 10}));
  EXPECT_FALSE(order.IsBehind(kBlocking, 0, {kOtherBlocking, 10}));
  EXPECT_FALSE(order.IsBehind(kFree, 0, {{}, 10})) << "the work of every stream";
  EXPECT_FALSE(order.IsBehind(kBlocking, 0, {{}, 10}));
}

TEST(StreamOrderTest, TheLegacyStreamAndBlockingOnesWaitForOneAnother) {
  const StreamOrder order;
  EXPECT_TRUE(order.IsBehind(kLegacy, 0, {kBlocking, 10}));
  EXPECT_TRUE(order.IsBehind(kBlocking, 0, {kLegacy, 10}));
  EXPECT_FALSE(order.IsBehind(kLegacy, 0, {kFree, 10}));
  EXPECT_FALSE(order.IsBehind(kFree, 0, {kLegacy, 10}));
  EXPECT_FALSE(order.IsBehind(kElsewhere, 0, {kLegacy, 10})) << "of another device";
  // A command of the legacy stream stands between two blocking ones.
  EXPECT_TRUE(order.IsBehind(kOtherBlocking, 11, {kBlocking, 10}));
  EXPECT_FALSE(order.IsBehind(kOtherBlocking, 9, {kBlocking, 10}));
  EXPECT_FALSE(order.IsBehind(kElsewhere, 11, {kBlocking, 10}));
}

TEST(StreamOrderTest, AWaitBringsWhatWasRecordedAtThatTime) {
  StreamOrder order;
  order.Recorded(3, {kFree, 10}, 0);
  order.Waited(3, kOtherFree);
  EXPECT_TRUE(order.IsBehind(kOtherFree, 0, {kFree, 10}));
  EXPECT_TRUE(order.IsBehind(kOtherFree, 0, {kFree, 9}));
  EXPECT_FALSE(order.IsBehind(kOtherFree, 0, {kFree, 11}));
  order.Recorded(3, {kFree, 20}, 0);
  EXPECT_FALSE(order.IsBehind(kOtherFree, 0, {kFree, 20})) << "recorded behind the wait";
  order.Waited(4, kOtherFree);
  EXPECT_FALSE(order.IsBehind(kOtherFree, 0, {kFree, 20})) << "never recorded";
  order.Waited(3, kOtherFree);
  EXPECT_TRUE(order.IsBehind(kOtherFree, 0, {kFree, 20})) << "waited for again";
}

TEST(StreamOrderTest, AnEventIsWhatItRecordedLast) {
  StreamOrder order;
  order.Recorded(3, {kFree, 10}, 0);
  order.Recorded(3, {kBlocking, 12}, 0);
  order.Waited(3, kOtherFree);
  EXPECT_FALSE(order.IsBehind(kOtherFree, 0, {kFree, 10}));
  EXPECT_TRUE(order.IsBehind(kOtherFree, 0, {kBlocking, 12}));
}

TEST(StreamOrderTest, WaitsAddUp) {
  StreamOrder order;
  order.Recorded(1, {kFree, 10}, 0);
  order.Waited(1, kOtherFree);
  order.Recorded(2, {kOtherFree, 12}, 0);
  order.Waited(2, kBlocking);
  EXPECT_TRUE(order.IsBehind(kBlocking, 0, {kFree, 10}));
  EXPECT_TRUE(order.IsBehind(kBlocking, 0, {kOtherFree, 12}));
  EXPECT_FALSE(order.IsBehind(kBlocking, 0, {kFree, 11}));
}

TEST(StreamOrderTest, TheLegacyRuleHoldsThroughEvents) {
  StreamOrder order;
  // A record on the legacy stream is behind the blocking streams, one on a blocking stream behind the legacy one.
  order.Recorded(1, {kLegacy, 10}, 0);
  order.Waited(1, kFree);
  EXPECT_TRUE(order.IsBehind(kFree, 0, {kBlocking, 9}));
  EXPECT_FALSE(order.IsBehind(kFree, 0, {kBlocking, 11}));
  order.Recorded(2, {kBlocking, 20}, 15);
  order.Waited(2, kOtherFree);
  EXPECT_TRUE(order.IsBehind(kOtherFree, 0, {kLegacy, 15}));
  EXPECT_TRUE(order.IsBehind(kOtherFree, 0, {kOtherBlocking, 14})) << "before the legacy command before the record";
  EXPECT_FALSE(order.IsBehind(kOtherFree, 0, {kOtherBlocking, 16}));
}

TEST(StreamOrderTest, ForgettingIsNeverWrong) {
  StreamOrder order;
  for (std::uint32_t i = 0; i < 100; ++i) {
    order.Recorded(i, {{100 + i, kNoSlot}, 1000 + i}, 0);
    order.Waited(i, kFree);
  }
  EXPECT_TRUE(order.IsBehind(kFree, 0, {{199, kNoSlot}, 1099}));
  EXPECT_FALSE(order.IsBehind(kFree, 0, {{199, kNoSlot}, 1100}));
  EXPECT_FALSE(order.IsBehind(kFree, 0, {{100, kNoSlot}, 1000})) << "the oldest is forgotten";
}

}  // namespace
}  // namespace accelmesh
