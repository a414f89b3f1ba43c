#include "market/registry/epochs.h"

#include <gtest/gtest.h>

#include <limits>

#include "market/registry/state.h"

namespace accelmesh::registry {
namespace {

SlotEpoch Seen(const State& state, const std::string& slot) {
  const auto at = state.entries().find(EpochKey(slot));
  Result<SlotEpoch> seen = ReadEpoch(at == state.entries().end() ? std::nullopt : std::optional<Entry>(at->second));
  EXPECT_TRUE(seen.ok());
  return seen.ok() ? *seen : SlotEpoch{};
}

TEST(EpochsTest, EveryGrantHasAHigherEpochAndOneOfTwoRivalsWins) {
  State state;
  std::uint64_t last = 0;
  for (int i = 0; i < 50; ++i) {
    const SlotEpoch seen = Seen(state, "gpu0");
    Txn first;
    Txn second;
    const Result<std::uint64_t> epoch = AddGrant(first, "gpu0", seen);
    ASSERT_TRUE(epoch.ok() && AddGrant(second, "gpu0", seen).ok());
    EXPECT_GT(*epoch, last);
    last = *epoch;
    EXPECT_TRUE(state.Apply(first)->result.succeeded);
    EXPECT_FALSE(state.Apply(second)->result.succeeded) << "it saw the slot before the first grant";
    EXPECT_EQ(Seen(state, "gpu0").epoch, last);
  }
  EXPECT_EQ(Seen(state, "gpu1").epoch, 0u);
}

TEST(EpochsTest, AGangIsGrantedAsAWhole) {
  State state;
  Txn taken;
  ASSERT_TRUE(AddGrant(taken, "b", Seen(state, "b")).ok());
  Txn gang;
  for (const char* slot : {"a", "b", "c"}) ASSERT_TRUE(AddGrant(gang, slot, Seen(state, slot)).ok());
  ASSERT_TRUE(state.Apply(taken)->result.succeeded);
  EXPECT_FALSE(state.Apply(gang)->result.succeeded);
  EXPECT_EQ(Seen(state, "a").epoch, 0u);
  EXPECT_EQ(Seen(state, "c").epoch, 0u);
}

TEST(EpochsTest, WhatIsNoEpochIsRefused) {
  for (const char* value : {"", "0", "-1", "x", "1x", " 1", "99999999999999999999"}) {
    EXPECT_EQ(ReadEpoch(Entry{EpochKey("a"), value, 1, 1, 1, 0}).code(), Code::kBadFrame) << value;
  }
  Txn txn;
  EXPECT_EQ(AddGrant(txn, "", {}).code(), Code::kInvalidArgument);
  EXPECT_EQ(AddGrant(txn, "a", {std::numeric_limits<std::uint64_t>::max(), 1}).code(), Code::kLimitExceeded);
  EXPECT_TRUE(txn.then.empty());
}

}  // namespace
}  // namespace accelmesh::registry
