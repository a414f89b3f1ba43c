#include "scheduler/core/match.h"

#include <gtest/gtest.h>

#include <random>

#include "scheduler/core/request_text.h"
#include "tests/unit/scheduler/core/slots.h"

namespace accelmesh::scheduler {
namespace {

FunctionalRequest Ask(const std::string& text) {
  Result<FunctionalRequest> request = ParseRequest(text);
  EXPECT_TRUE(request.ok()) << request.status().ToString();
  return std::move(request).value();
}

Match One(const std::string& text, const Slot& slot) { return FindCandidates(Ask(text), std::vector{slot}); }

TEST(MatchTest, TheShareIsTheLargestThatAnyDemandAsksFor) {
  // 50 of at least 200 GOPS, not of the mean of 220.
  const Match one = One("0.05 TOPS fp32, 1GiB", testing::OneGpu());
  ASSERT_EQ(one.candidates.size(), 1U);
  EXPECT_EQ(one.candidates[0].share_milli, 250U);
  EXPECT_EQ(one.candidates[0].memory_bytes, 1ULL << 30);
  EXPECT_EQ(one.candidates[0].price_microcredits_per_hour, 250'000);
  EXPECT_EQ(one.candidates[0].why, "fp32 matmul 50 GOPS of at least 200 GOPS: 250 of 1000");
  // The convolution decides: 40 of 100.
  EXPECT_EQ(One("0.05 TOPS, 40GOPS convolution", testing::OneGpu()).candidates[0].share_milli, 400U);
  EXPECT_EQ(One("0.05 TOPS, 6GB/s", testing::OneGpu()).candidates[0].share_milli, 600U);
  EXPECT_EQ(One("200GOPS", testing::OneGpu()).candidates[0].share_milli, 1000U);
  EXPECT_EQ(One("1MOPS", testing::OneGpu()).candidates[0].share_milli, 1U);
  EXPECT_EQ(One("1GiB", testing::OneGpu()).candidates[0].share_milli, 1U);
  // A share is rounded up, to what the slot is let in, and so is its price.
  Slot quarters = testing::OneGpu();
  quarters.share_milli_step = 250;
  quarters.price_microcredits_per_hour = 3;
  EXPECT_EQ(One("0.051 TOPS", quarters).candidates[0].share_milli, 500U);
  EXPECT_EQ(One("0.051 TOPS", quarters).candidates[0].price_microcredits_per_hour, 2);
}

TEST(MatchTest, ARejectionNamesTheDimensionTheGapAndTheRemedy) {
  Slot third = testing::OneGpu();
  third.share_milli = third.share_milli_free = 300;
  Slot busy = testing::OneGpu();
  busy.share_milli_free = 100;
  busy.memory_bytes_free = 6ULL << 30;
  Slot draining = testing::OneGpu();
  draining.is_draining = true;
  Slot leaving = testing::OneGpu();
  leaving.available_us = 60'000'000;
  Slot unmeasured = testing::OneGpu();
  unmeasured.tags = {};
  const struct {
    const char* request;
    Slot slot;
    Dimension dimension;
    const char* text;
    const char* remedy;
  } cases[] = {
      {"8GiB", busy, Dimension::kMemory, "memory 6 GiB of 8 GiB free",
       "ask for 6 GiB or less, or wait until some of its 8 GiB come back"},
      {"9GiB", testing::OneGpu(), Dimension::kMemory, "memory 8 GiB of 9 GiB", "ask for 8 GiB or less"},
      {"0.5 TOPS", testing::OneGpu(), Dimension::kThroughput, "throughput 200 GOPS of 500 GOPS fp32 matmul",
       "ask for 3 slots of 166.7 GOPS"},
      {"1000 TOPS", testing::OneGpu(), Dimension::kThroughput, "throughput 200 GOPS of 1 POPS fp32 matmul",
       "ask for 200 GOPS or less"},
      {"1GOPS int8", testing::OneGpu(), Dimension::kThroughput, "throughput int8 matmul not measured, 1 GOPS asked",
       "ask for a type that it has measured"},
      {"100GOPS", third, Dimension::kShare, "share 300 of 500 thousandths sold",
       "ask for 60 % of the throughput, or for more slots"},
      {"100GOPS", busy, Dimension::kShare, "share 100 of 500 thousandths free",
       "wait until a share comes back, or ask for 20 % of it"},
      {"20GB/s", testing::OneGpu(), Dimension::kBandwidth, "bandwidth 10 GB/s of 20 GB/s", "ask for 10 GB/s or less"},
      {"1GB/s", unmeasured, Dimension::kBandwidth, "bandwidth not measured, 1 GB/s asked", "leave the bandwidth out"},
      {"within 499us", testing::OneGpu(), Dimension::kLatency, "latency 500 us of 499 us", "allow 500 us or more"},
      {"within 1s", unmeasured, Dimension::kLatency, "latency not measured, 1 s asked", "leave the latency out"},
      {"zone=us", testing::OneGpu(), Dimension::kZone, "zone eu-1 instead of us", "ask for no zone"},
      {"label=fast", testing::OneGpu(), Dimension::kLabel, "label fast is missing", "leave label=fast out"},
      {"notice=5m", testing::OneGpu(), Dimension::kNotice, "notice 1 m of 5 m", "ask for a notice of 1 m or less"},
      {"duration=2m", leaving, Dimension::kDuration, "duration 1 m of 2 m", "ask for 1 m or less, and again then"},
      {"1GiB", draining, Dimension::kDraining, "draining by its owner: lets nothing more",
       "wait until it is back, or take another slot"},
      {"100GOPS, max-price=0.4", testing::OneGpu(), Dimension::kPrice,
       "price 0.5 credits an hour, at most 0.4 for each slot",
       "raise max-price, ask for less throughput, or wait for a lower price"},
      {"100GOPS, duration=2h, budget=0.8", testing::OneGpu(), Dimension::kPrice,
       "price 0.5 credits an hour, at most 0.4 for each slot",
       "raise the budget or shorten the duration, ask for less throughput, or wait for a lower price"},
  };
  for (const auto& one : cases) {
    const Match match = One(one.request, one.slot);
    ASSERT_EQ(match.rejections.size(), 1U) << one.request;
    ASSERT_EQ(match.rejections[0].gaps.size(), 1U) << one.request;
    EXPECT_EQ(match.rejections[0].gaps[0].dimension, one.dimension);
    EXPECT_EQ(match.rejections[0].gaps[0].text, one.text);
    EXPECT_EQ(match.rejections[0].gaps[0].remedy, one.remedy);
    EXPECT_TRUE(match.candidates.empty());
  }
}

TEST(MatchTest, EveryGapIsNamed) {
  const Match match = One("1 TOPS, 16GiB, within 100us, zone=us", testing::OneGpu());
  ASSERT_EQ(match.rejections.size(), 1U);
  EXPECT_EQ(match.rejections[0].gaps.size(), 4U);
}

TEST(MatchTest, APriceIsForAllSlotsTogether) {
  EXPECT_EQ(PriceMaxPerSlot(Ask("1GiB")), -1);
  EXPECT_EQ(PriceMaxPerSlot(Ask("4 slots, max-price=2")), 500'000);
  EXPECT_EQ(PriceMaxPerSlot(Ask("4 slots, max-price=2, budget=1, duration=30m")), 500'000);
  EXPECT_EQ(PriceMaxPerSlot(Ask("4 slots, max-price=2, budget=0.5, duration=30m")), 250'000);
}

// Random slots, with nonsense among the measurements: what comes out as a candidate holds by the definition, and what a
// remedy says is right for the two dimensions that a program can apply by itself.
TEST(MatchTest, CandidatesGiveWhatIsAskedEvenAtTheLowerBound) {
  std::mt19937_64 random(5);
  const auto unit = [&random] { return static_cast<double>(random() % 1000 + 1) / 1000; };
  int candidates = 0;
  for (int round = 0; round < 5000; ++round) {
    Slot slot = testing::OneGpu();
    Measured& fp32 = slot.tags.Throughput(Operation::kMatmul, NumberType::kFp32);
    fp32.low = unit() * 1e12;
    fp32.mean = fp32.low * (1 + unit());
    fp32.high = fp32.mean * (1 + unit());
    if (random() % 20 == 0) fp32.low = fp32.mean * 2;  // no interval
    slot.share_milli_free = static_cast<std::uint32_t>(random() % 1001);
    slot.share_milli_step = static_cast<std::uint32_t>(random() % 300);
    slot.memory_bytes_free = random() % (8ULL << 30);
    FunctionalRequest request;
    request.throughput = {{Operation::kMatmul, NumberType::kFp32, unit() * 1e12}};
    request.memory_bytes = random() % (8ULL << 30);
    const Match match = FindCandidates(request, std::vector{slot});
    ASSERT_EQ(match.candidates.size() + match.rejections.size(), 1U);
    const bool fits_memory = request.memory_bytes <= slot.memory_bytes_free;
    if (!match.candidates.empty()) {
      ++candidates;
      const Candidate& candidate = match.candidates[0];
      ASSERT_GE(fp32.low * candidate.share_milli / 1000, request.throughput[0].operations_per_s * (1 - 1e-9));
      ASSERT_LE(candidate.share_milli, slot.share_milli_free);
      ASSERT_TRUE(slot.share_milli_step == 0 || candidate.share_milli % slot.share_milli_step == 0);
      ASSERT_TRUE(fits_memory);
      // One step less would not do.
      const std::uint32_t step = std::max(slot.share_milli_step, 1U);
      ASSERT_LT(fp32.low * (candidate.share_milli - step) / 1000, request.throughput[0].operations_per_s);
    } else {
      bool memory_named = false;
      for (const Gap& gap : match.rejections[0].gaps) memory_named |= gap.dimension == Dimension::kMemory;
      ASSERT_EQ(memory_named, !fits_memory);
      ASSERT_FALSE(match.rejections[0].gaps.empty());
    }
  }
  EXPECT_GT(candidates, 200);
}

}  // namespace
}  // namespace accelmesh::scheduler
