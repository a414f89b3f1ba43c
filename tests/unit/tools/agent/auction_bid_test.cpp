// What is bid for what nothing was to be had for: a part of the kind that suits, or a gang of any kind that has enough.
#include "tools/agent/auction_bid.h"

#include <gmock/gmock.h>

#include "tests/unit/tools/agent/core/requests.h"

namespace accelmesh::agent {
namespace {

using testing::Asked;
using ::testing::HasSubstr;

// Two of kind "a", three of kind "b"; all let.
std::vector<scheduler::Slot> FiveSlots() {
  std::vector<scheduler::Slot> slots;
  for (const char* name : {"a/0", "a/1", "b/0", "b/1", "b/2"}) {
    slots.push_back(scheduler::testing::OneGpu(name, std::string(name).substr(0, 1)));
    slots.back().share_milli_free = 0;
    slots.back().memory_bytes_free = 0;
    if (*name == 'b') slots.back().price_microcredits_per_hour = 3'000'000;
  }
  return slots;
}

Result<AuctionBid> BidFor(const std::string& text, const std::vector<scheduler::Slot>& slots,
                          const std::set<std::string>& excluded = {}) {
  const auto kind = [](const std::string& slot) { return slot.substr(0, 1); };
  return MakeAuctionBid(Predict(Asked(text), {}, Policy::kCost).value(), slots, kind, Policy::kCost, excluded);
}

TEST(AuctionBidTest, APartIsBidForAtWhatIsAllowedOrTwiceWhatIsPosted) {
  const Auction allowed = BidFor("0.05 TOPS, 1GiB, max-price=3", FiveSlots())->auction;
  EXPECT_TRUE(allowed.bundles.empty());
  EXPECT_EQ(allowed.share_milli, 250U);
  EXPECT_EQ(allowed.price_microcredits_per_hour, 12'000'000) << "of a whole device";
  EXPECT_EQ(BidFor("0.05 TOPS, 1GiB", FiveSlots())->auction.price_microcredits_per_hour, 2'000'000);
}

TEST(AuctionBidTest, AGangIsOfAnyOneKindThatHasEnough) {
  const AuctionBid two = BidFor("0.05 TOPS, 1GiB, slots=2", FiveSlots()).value();
  ASSERT_EQ(two.auction.bundles.size(), 2U) << "one or the other";
  EXPECT_EQ(two.auction.bundles[0].slot, "a/0");
  EXPECT_EQ(two.auction.bundles[0].count, 2U);
  EXPECT_EQ(two.auction.bundles[0].value_microcredits_per_hour, 4'000'000) << "twice what two of them cost";
  EXPECT_EQ(two.auction.bundles[1].slot, "b/0");
  EXPECT_EQ(two.auction.bundles[1].value_microcredits_per_hour, 12'000'000);
  EXPECT_THAT(two.why.text, HasSubstr("2 like a/0 for 4 credits an hour, or 2 like b/0 for 12"));
  const Auction three = BidFor("0.05 TOPS, 1GiB, slots=3, max-price=5", FiveSlots())->auction;
  ASSERT_EQ(three.bundles.size(), 1U);
  EXPECT_EQ(three.bundles[0].slot, "b/0");
  EXPECT_EQ(three.bundles[0].value_microcredits_per_hour, 5'000'000) << "for all together";
  EXPECT_EQ(BidFor("0.05 TOPS, slots=3", FiveSlots(), {"b/1"}).code(), Code::kNotFound) << "one has failed before";
}

TEST(AuctionBidTest, WhatCannotBeBidForSaysWhy) {
  std::vector<scheduler::Slot> slots = FiveSlots();
  EXPECT_THAT(BidFor("0.05 TOPS, slots=4", slots).status().text(), HasSubstr("of no kind are there 4 whole devices"));
  EXPECT_EQ(BidFor("0.05 TOPS, slots=2, topology=server", slots).code(), Code::kUnsupported);
  EXPECT_THAT(BidFor("0.05 TOPS, slots=2, topology=server", slots).status().text(), HasSubstr("leave --topology out"));
  EXPECT_EQ(BidFor("0.05 TOPS, slots=41", slots).code(), Code::kUnsupported);
  EXPECT_EQ(BidFor("9 TOPS", slots).code(), Code::kNotFound);
  // A server that lets a part of its device has no whole one.
  slots[0].share_milli = 300;
  const Auction left = BidFor("0.05 TOPS, 1GiB, slots=2", slots)->auction;
  ASSERT_EQ(left.bundles.size(), 1U);
  EXPECT_EQ(left.bundles[0].slot, "b/0");
}

}  // namespace
}  // namespace accelmesh::agent
