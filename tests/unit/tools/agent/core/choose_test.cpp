#include "tools/agent/core/choose.h"

#include <algorithm>

#include "tests/unit/tools/agent/core/requests.h"

namespace accelmesh::agent {
namespace {

using scheduler::NumberType;
using scheduler::Operation;
using scheduler::Slot;
using testing::Asked;

Prediction Wanted(const std::string& text) { return *Predict(Asked(text), {}, Policy::kCost); }

// Cheap and slow, dear and fast, near.
std::vector<Slot> Three() {
  Slot cheap = scheduler::testing::OneGpu("cheap", "a");
  cheap.price_microcredits_per_hour = 500'000;
  Slot fast = scheduler::testing::OneGpu("fast", "b");
  fast.tags.Throughput(Operation::kMatmul, NumberType::kFp32) = {2.2e12, 2e12, 2.4e12};
  fast.price_microcredits_per_hour = 20'000'000;
  Slot near = scheduler::testing::OneGpu("near", "c");
  near.tags.round_trip_us = {10, 5, 20};
  return {cheap, fast, near};
}

std::string First(Policy policy, const std::set<std::string>& excluded = {}) {
  const auto slots = Three();
  const auto choice = ChooseSlots(Wanted("0.1 TOPS, 1GiB"), slots, policy, excluded);
  EXPECT_TRUE(choice.ok());
  return choice->tries.empty() ? "" : slots[choice->tries.front().slots.front().slot].id;
}

TEST(ChooseTest, APolicyDecidesWhatIsTriedFirst) {
  EXPECT_EQ(First(Policy::kCost), "cheap");
  EXPECT_EQ(First(Policy::kDeadline), "cheap");
  EXPECT_EQ(First(Policy::kThroughput), "fast");
  EXPECT_EQ(First(Policy::kLatency), "near");
  EXPECT_EQ(First(Policy::kCost, {"cheap"}), "near");
  EXPECT_EQ(First(Policy::kCost, {"cheap", "near", "fast"}), "");
}

// What must hold of any choice, checked one by one and not by the code under test.
void Check(const Choice& choice, const Prediction& prediction, const std::vector<Slot>& slots,
           const std::set<std::string>& excluded) {
  const auto& request = prediction.request;
  EXPECT_LE(choice.tries.size(), kTriesMax);
  ASSERT_EQ(choice.verdicts.size(), slots.size());
  for (const Try& one : choice.tries) {
    ASSERT_EQ(one.slots.size(), request.count);
    std::set<std::size_t> distinct;
    std::int64_t price = 0;
    for (const auto& candidate : one.slots) {
      const Slot& slot = slots[candidate.slot];
      EXPECT_TRUE(distinct.insert(candidate.slot).second);
      EXPECT_FALSE(excluded.contains(slot.id));
      EXPECT_FALSE(slot.is_draining);
      EXPECT_LE(candidate.share_milli, slot.share_milli_free);
      EXPECT_LE(request.memory_bytes, slot.memory_bytes_free);
      for (const auto& demand : request.throughput) {
        EXPECT_GE(slot.tags.Throughput(demand.operation, demand.type).low * candidate.share_milli / 1000 * (1 + 1e-9),
                  demand.operations_per_s);
      }
      price += candidate.price_microcredits_per_hour;
      EXPECT_NE(choice.verdicts[candidate.slot].rank, 0U);
    }
    EXPECT_EQ(one.price_microcredits_per_hour, price);
    EXPECT_LE(choice.posted_microcredits_per_hour, std::max<std::int64_t>(1, price));
  }
  for (const Verdict& verdict : choice.verdicts) {
    EXPECT_FALSE(verdict.text.empty());
    EXPECT_LE(verdict.rank, choice.tries.size());
    if (verdict.rank != 0) {
      EXPECT_TRUE(verdict.gaps.empty());
    }
    for (const auto& gap : verdict.gaps) EXPECT_FALSE(gap.remedy.empty());
  }
}

TEST(ChooseTest, EveryTryGivesWhatWasAskedAndEverySlotHasItsVerdict) {
  std::mt19937_64 random(5);
  std::size_t tried = 0, gangs = 0;
  for (int i = 0; i < 4000; ++i) {
    const auto policy = static_cast<Policy>(random() % 4);
    const auto slots = testing::SomeSlots(random);
    std::set<std::string> excluded;
    for (const Slot& slot : slots) {
      if (random() % 6 == 0) excluded.insert(slot.id);
    }
    const auto prediction = Predict(testing::SomeRequest(random), testing::SomeProfile(random), policy);
    ASSERT_TRUE(prediction.ok());
    auto choice = ChooseSlots(*prediction, slots, policy, excluded);
    ASSERT_TRUE(choice.ok()) << choice.status().ToString();
    Check(*choice, *prediction, slots, excluded);
    tried += choice->tries.size();
    gangs += prediction->request.count > 1 && !choice->tries.empty() ? 1 : 0;
    // Nothing stands before what it is worse than.
    for (std::size_t j = 1; prediction->request.count == 1 && j < choice->tries.size(); ++j) {
      if (policy == Policy::kCost || policy == Policy::kDeadline) {
        EXPECT_LE(choice->tries[j - 1].price_microcredits_per_hour, choice->tries[j].price_microcredits_per_hour);
      }
    }
    EXPECT_EQ(Explain(*choice, slots).size(), slots.size() + choice->gaps.size());
    const std::size_t before = choice->tries.size();
    Bid bid;
    bid.price_max_microcredits_per_hour = static_cast<std::int64_t>(random() % 3'000'000);
    std::size_t affordable = 0;
    for (const Try& one : choice->tries)
      affordable += one.price_microcredits_per_hour <= bid.price_max_microcredits_per_hour ? 1 : 0;
    KeepWithin(*choice, bid);
    EXPECT_EQ(choice->tries.size(), affordable);
    EXPECT_LE(choice->tries.size(), before);
    Check(*choice, *prediction, slots, excluded);
  }
  EXPECT_GT(tried, 1000U);
  EXPECT_GT(gangs, 50U);
}

TEST(ChooseTest, WhatIsDearerThanTheBidSaysSo) {
  const auto slots = Three();
  auto choice = *ChooseSlots(Wanted("0.1 TOPS, 1GiB"), slots, Policy::kThroughput, {});
  Bid bid;
  bid.price_max_microcredits_per_hour = 900'000;
  KeepWithin(choice, bid);
  ASSERT_EQ(choice.tries.size(), 2U);
  EXPECT_EQ(choice.verdicts[1].rank, 0U);
  ASSERT_EQ(choice.verdicts[1].gaps.size(), 1U);
  EXPECT_EQ(choice.verdicts[1].gaps[0].dimension, scheduler::Dimension::kPrice);
  EXPECT_NE(choice.verdicts[1].text.find("price above the bid of 0.9 credits an hour"), std::string::npos);
  EXPECT_EQ(choice.verdicts[0].rank, 1U);
}

TEST(ChooseTest, AGangIsWholeOrSaysWhyNot) {
  const auto slots = Three();
  const auto gang = *ChooseSlots(Wanted("0.1 TOPS, 1GiB, 2 slots"), slots, Policy::kCost, {});
  ASSERT_FALSE(gang.tries.empty());
  EXPECT_EQ(gang.tries[0].slots.size(), 2U);
  const auto none = *ChooseSlots(Wanted("0.1 TOPS, 1GiB, 4 slots"), slots, Policy::kCost, {});
  EXPECT_TRUE(none.tries.empty());
  ASSERT_FALSE(none.gaps.empty());
  EXPECT_EQ(none.gaps[0].dimension, scheduler::Dimension::kCount);
}

}  // namespace
}  // namespace accelmesh::agent
