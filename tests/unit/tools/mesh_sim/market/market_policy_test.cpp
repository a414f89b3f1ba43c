#include "tools/mesh_sim/market/market_policy.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/mesh_sim/market/cases.h"
#include "tools/mesh_sim/market/cheaters.h"
#include "tools/mesh_sim/market/measures.h"
#include "tools/mesh_sim/market/runs.h"

namespace accelmesh::sim {
namespace {

using market::auction::EpochInput;
using market::auction::EpochOutcome;

// Agents bid at once all that an hour is worth: how the market works, and not who waits, is what these tests are about.
MarketRules AtOnce() {
  MarketRules rules;
  rules.patience_runtimes = 0;
  return rules;
}

TEST(MarketPolicyTest, ALowBidWaitsAndTheHigherOneRuns) {
  const std::vector<Job> jobs = {JobOf(0, 0, 2, 1, 20), JobOf(1, 0.5, 1, 1, 1)};
  World world(jobs, {0, 0, 1}, 2, {});
  MarketPolicy policy(world, {0.5, 0.5}, AtOnce(), 1);
  ASSERT_TRUE(world.Run(policy).ok());
  EXPECT_NEAR(EndOf(world, 0), 2, 1e-6);  // lane A, at once
  EXPECT_GE(EndOf(world, 1), 3);
  EXPECT_LT(EndOf(world, 1), 3.5);
  EXPECT_EQ(policy.figures().resales, 0U);
  EXPECT_EQ(policy.accounts().error(), 0);
  EXPECT_TRUE(AllGivenBack(world));
}

TEST(MarketPolicyTest, AHolderThatIsOutbidIsPaidAtLeastItsAsk) {
  // A hundred hours worth 100; then an hour worth 50: the price climbs until the holder's ask is met.
  const std::vector<Job> jobs = {JobOf(0, 0, 100, 1, 100), JobOf(1, 10, 1, 1, 50)};
  World world(jobs, {0, 0, 1}, 2, {});
  MarketPolicy policy(world, {0.5, 0.5}, AtOnce(), 1);
  std::int64_t ask = 0;
  std::int64_t price = 0;
  std::uint32_t sales = 0;
  policy.set_witness([&](const EpochInput& input, const EpochOutcome& outcome) {
    for (const auto& trade : outcome.trades) {
      for (const auto& one : input.asks) {
        if (one.id != trade.ask || one.kind != market::auction::AskKind::kRelease) continue;
        ++sales;
        ask = one.price_microcredits;
        price = trade.price_seller_microcredits;
      }
    }
  });
  ASSERT_TRUE(world.Run(policy).ok());
  const MarketFigures figures = policy.figures();
  EXPECT_EQ(sales, 1U);
  EXPECT_EQ(figures.resales, 1U);
  EXPECT_GE(ask, 1'000'000);  // at least its value an hour
  EXPECT_GE(price, ask);
  EXPECT_EQ(world.state(0).stops, 1U);
  EXPECT_LT(EndOf(world, 1), 13);
  EXPECT_NEAR(EndOf(world, 0) - EndOf(world, 1), 100 - (EndOf(world, 1) - 1) + 1.0 / 60, 0.1);
  EXPECT_EQ(figures.budget_error, 0);
  EXPECT_EQ(figures.outcome_errors, 0U);
}

TEST(MarketPolicyTest, ALeaseIsNotSoldInItsFirstMinutes) {
  const std::vector<Job> jobs = {JobOf(0, 0, 100, 1, 2), JobOf(1, 0.02, 1, 1, 50)};
  World world(jobs, {0, 0, 1}, 2, {});
  MarketPolicy policy(world, {0.5, 0.5}, AtOnce(), 1);
  std::int64_t sold_ms = -1;
  policy.set_witness([&](const EpochInput& input, const EpochOutcome&) {
    for (const auto& ask : input.asks) {
      if (ask.kind == market::auction::AskKind::kRelease && sold_ms < 0) sold_ms = world.now_ms();
    }
  });
  ASSERT_TRUE(world.Run(policy).ok());
  EXPECT_GE(sold_ms, 600'000);
}

TEST(MarketPolicyTest, AGangWinsWhatItNeedsTogether) {
  const std::vector<Job> jobs = {JobOf(0, 0, 50, 1, 10), JobOf(0, 0, 50, 1, 10), JobOf(1, 5, 2, 2, 400)};
  World world(jobs, {0, 0, 2}, 2, {});
  MarketPolicy policy(world, {0.5, 0.5}, AtOnce(), 1);
  ASSERT_TRUE(world.Run(policy).ok());
  EXPECT_EQ(policy.figures().gangs, 1U);
  EXPECT_EQ(policy.figures().resales, 2U);
  EXPECT_LT(EndOf(world, 2), 10);
  EXPECT_TRUE(AllGivenBack(world));
}

TEST(MarketPolicyTest, WhoHasNoMoneyLeftCannotBid) {
  // Tenant 1's part is nothing, so it has no credits at all and is paid no income: its job never runs while tenant 0
  // pays, but the price falls to the floor, and no lower.
  const std::vector<Job> jobs = {JobOf(0, 0, 5, 1, 100), JobOf(1, 0, 1, 1, 1000, 20)};
  World world(jobs, {0, 0, 1}, 2, {});
  MarketPolicy policy(world, {1, 0}, AtOnce(), 1);
  ASSERT_TRUE(world.Run(policy).ok());
  EXPECT_NEAR(EndOf(world, 0), 5, 1e-6);
  EXPECT_EQ(world.state(1).phase, Phase::kWithdrawn);
  EXPECT_GT(policy.figures().cut_bids, 0U);
  EXPECT_EQ(policy.accounts().tenant(1), 0);
  EXPECT_EQ(policy.accounts().error(), 0);
}

TEST(MarketPolicyTest, WhatIsWorthLessThanTheFloorIsGivenUpWhenNothingElseIsLeft) {
  // 0.005 credits an hour, below the floor of 0.01; the others run first, the second of them at prices that must fall.
  const std::vector<Job> jobs = {JobOf(0, 0, 10, 1, 0.05), JobOf(1, 1, 20, 1, 200), JobOf(1, 2, 5, 1, 5)};
  World world(jobs, {0, 0, 1}, 2, {});
  MarketPolicy policy(world, {0.5, 0.5}, AtOnce(), 1);
  const Status status = world.Run(policy);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_GT(EndOf(world, 2), 26);
  EXPECT_EQ(world.state(0).phase, Phase::kUnserved);
  const double over = static_cast<double>(world.state(0).over_ms) / kHourMs;
  EXPECT_GE(over, EndOf(world, 2) + 2);
  EXPECT_LT(over, EndOf(world, 2) + 4);
  EXPECT_EQ(policy.figures().below_floor, 1U);
  EXPECT_LT(policy.figures().cleared, 10U);  // an epoch in which nobody bids what is asked takes no time
  EXPECT_GT(policy.figures().epochs, 1000U);
  EXPECT_EQ(policy.figures().cannot_pay + policy.figures().forgotten, 0U);
  EXPECT_TRUE(CheckFigures(policy.figures()).ok());
  EXPECT_TRUE(AllGivenBack(world));
}

TEST(MarketPolicyTest, AGangThatCannotBePaidKeepsNoMoneyFromTheNext) {
  // Tenant 1 has 0.0144 credits: enough for an hour of one device at the floor, not for one of two.
  const std::vector<Job> jobs = {JobOf(0, 0, 5, 2, 1000), JobOf(1, 1, 1, 2, 100), JobOf(1, 1, 0.5, 1, 0.5)};
  World world(jobs, {0, 0, 2}, 2, {});
  MarketPolicy policy(world, {1 - 1e-5, 1e-5}, AtOnce(), 1);
  ASSERT_TRUE(world.Run(policy).ok());
  EXPECT_GT(EndOf(world, 2), 5);
  EXPECT_EQ(world.state(1).phase, Phase::kUnserved);
  EXPECT_EQ(policy.figures().cannot_pay, 1U);
  EXPECT_EQ(policy.figures().below_floor + policy.figures().forgotten, 0U);
  EXPECT_EQ(policy.accounts().error(), 0);
}

// An hour of the long job is worth more than one of the others, which have deadlines; but it loses nothing by leaving
// it to them.
TEST(MarketPolicyTest, WhoCanWaitLeavesDearHoursToOthers) {
  std::vector<Job> jobs = {JobOf(0, 0, 20, 1, 200)};
  for (int i = 0; i < 12; ++i) jobs.push_back(JobOf(1, 2 + 4 * i, 1, 1, 8, 5 + 4 * i));
  const auto run = [&](const MarketRules& rules, double& paid) {
    World world(jobs, {0, 0, 1}, 2, {});
    MarketPolicy policy(world, {0.5, 0.5}, rules, 1);
    EXPECT_TRUE(world.Run(policy).ok());
    EXPECT_EQ(policy.accounts().error(), 0);
    EXPECT_EQ(world.state(0).phase, Phase::kEnded);
    EXPECT_LT(EndOf(world, 0), 100 + 20) << "after five times its runtime it bids what it is worth";
    paid = -static_cast<double>(policy.accounts().tenant(0)) / 1e6;
    int in_time = 0;
    for (JobId id = 1; id < jobs.size(); ++id) in_time += world.state(id).phase == Phase::kEnded ? 1 : 0;
    return in_time;
  };
  double paid_at_once = 0;
  double paid = 0;
  EXPECT_EQ(run(AtOnce(), paid_at_once), 7) << "those that come after it has ended";
  EXPECT_EQ(run({}, paid), 12);
  EXPECT_LT(paid, paid_at_once);
}

TEST(MarketPolicyTest, ARunThatMakesOrLosesMoneyIsNoResult) {
  EXPECT_TRUE(CheckFigures({}).ok());
  MarketFigures figures;
  figures.budget_error = 1;
  EXPECT_EQ(CheckFigures(figures).code(), Code::kInternal);
  figures = {};
  figures.outcome_errors = 1;
  EXPECT_EQ(CheckFigures(figures).code(), Code::kInternal);
  figures = {};
  figures.forgotten = 1;
  EXPECT_EQ(CheckFigures(figures).code(), Code::kInternal);
}

TEST(MarketPolicyTest, PricesInTimeAreMeansOfSixHours) {
  // Nobody else: the price stays at the floor through the ten hours between the arrivals.
  const std::vector<Job> jobs = {JobOf(0, 0, 4, 1, 20), JobOf(0, 10, 1, 1, 20)};
  World world(jobs, {0, 0, 1}, 1, {});
  MarketPolicy policy(world, {1}, AtOnce(), 1);
  ASSERT_TRUE(world.Run(policy).ok());
  const std::vector<ByClass> track = policy.figures().price_track;
  ASSERT_EQ(track.size(), 2U);
  EXPECT_NEAR(track[0][2], 0.01, 1e-12);
  EXPECT_NEAR(track[1][2], 0.01, 1e-12);
  // And rises when two bid for one device.
  const std::vector<Job> more = {JobOf(0, 0, 40, 1, 40), JobOf(0, 0, 40, 1, 40), JobOf(0, 0, 40, 1, 40),
                                 JobOf(0, 20, 1, 1, 20)};
  World busy(more, {0, 0, 1}, 1, {});
  MarketPolicy other(busy, {1}, AtOnce(), 1);
  ASSERT_TRUE(busy.Run(other).ok());
  ASSERT_EQ(other.figures().price_track.size(), 4U);
  EXPECT_GT(other.figures().price_track[1][2], 0.02);
}

TEST(MarketPolicyTest, UnusedTimeIsPaidBack) {
  // A quarter of an hour at the floor of 0.01 credits an hour: 0.0025 credits go to the operator, which pays them out.
  const std::vector<Job> jobs = {JobOf(0, 0, 0.25, 1, 1)};
  World world(jobs, {0, 0, 1}, 1, {});
  MarketPolicy policy(world, {1}, AtOnce(), 1);
  const std::int64_t before = policy.accounts().tenant(0);
  ASSERT_TRUE(world.Run(policy).ok());
  EXPECT_EQ(policy.accounts().operator_balance() + policy.accounts().pool(), 2500);
  EXPECT_EQ(before - policy.accounts().tenant(0), 2500);
}

Measures RunSample(std::uint64_t seed, MarketFigures& figures) {
  const JobWorkload workload = Sample(MakePhillyTwin(1), 400, {8, 8, 16}, 1.3, 3);
  const std::vector<Job> jobs = Draw(workload, {}, seed);
  World world(jobs, {8, 8, 16}, workload.tenants.size(), {});
  MarketPolicy policy(world, QuotasOf(workload), {}, seed);
  EXPECT_TRUE(world.Run(policy).ok());
  EXPECT_TRUE(AllGivenBack(world));
  for (std::size_t i = 0; i < workload.tenants.size(); ++i) EXPECT_GE(policy.accounts().tenant(i), 0);
  figures = policy.figures();
  return Measure(world, &figures);
}

TEST(MarketPolicyTest, TheSameSeedHasTheSameHistoryAndMoneyIsConserved) {
  MarketFigures one, two, other;
  EXPECT_EQ(JsonOf(RunSample(7, one)), JsonOf(RunSample(7, two)));
  EXPECT_NE(JsonOf(RunSample(8, other)), JsonOf(RunSample(7, two)));
  for (const MarketFigures* figures : {&one, &other}) {
    EXPECT_EQ(figures->budget_error, 0);
    EXPECT_EQ(figures->outcome_errors, 0U);
    EXPECT_GT(figures->resales, 0U);
    EXPECT_GT(figures->gangs, 0U);
    EXPECT_GT(figures->lane_a, 0U);
    EXPECT_GT(figures->lane_b, 0U);
  }
}

TEST(CheatersTest, ScriptsChangeTheMarketAndKeepMoneyTogether) {
  JobWorkload workload = Sample(MakePhillyTwin(1), 300, kCheatGpus, 3, 3);
  const Result<CheatRun> honest = RunCheat(workload, Cheat::kHonest, {}, 5);
  ASSERT_TRUE(honest.ok());
  EXPECT_EQ(RunCheat(workload, Cheat::kHonest, {}, 5)->utility, honest->utility);
  for (const CheatName& cheat : kCheats) {
    const Result<CheatRun> run = RunCheat(workload, cheat.cheat, {}, 5);
    ASSERT_TRUE(run.ok()) << cheat.name;
    EXPECT_EQ(run->budget_error, 0) << cheat.name;
    // The script does something; names matter only where a tenant would have traded with itself.
    if (cheat.cheat == Cheat::kFalseNames) continue;
    EXPECT_NE(run->utility, honest->utility) << cheat.name;
  }
  EXPECT_EQ(CheatersOf(workload, Cheat::kCollusion, 1).size(), 3U);
  EXPECT_NE(CheatersOf(workload, Cheat::kLie, 1), CheatersOf(workload, Cheat::kLie, 2));
}

}  // namespace
}  // namespace accelmesh::sim
