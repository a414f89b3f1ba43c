#include "tools/agent/core/predict.h"

#include "tests/unit/tools/agent/core/requests.h"

namespace accelmesh::agent {
namespace {

using testing::Asked;
using testing::OneRun;

constexpr Policy kPolicies[] = {Policy::kLatency, Policy::kThroughput, Policy::kCost, Policy::kDeadline};

Prediction Predicted(const std::string& text, const Profile& profile, Policy policy = Policy::kCost) {
  auto prediction = Predict(Asked(text), profile, policy);
  EXPECT_TRUE(prediction.ok()) << prediction.status().ToString();
  return std::move(prediction).value();
}

TEST(PredictTest, WhatIsSaidAlwaysHolds) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 3000; ++i) {
    const auto asked = testing::SomeRequest(random);
    const Policy policy = kPolicies[random() % 4];
    const auto prediction = Predict(asked, testing::SomeProfile(random), policy);
    ASSERT_TRUE(prediction.ok()) << prediction.status().ToString() << scheduler::ToText(asked);
    scheduler::FunctionalRequest said = prediction->request;
    if (asked.throughput.empty()) said.throughput.clear();
    if (asked.memory_bytes == 0) said.memory_bytes = 0;
    if (asked.duration_us == 0) said.duration_us = 0;
    EXPECT_EQ(said, asked);
    EXPECT_EQ(prediction->is_throughput_soft, asked.throughput.empty());
    EXPECT_EQ(prediction->is_memory_soft, asked.memory_bytes == 0);
    EXPECT_GE(prediction->request.memory_bytes,
              std::min(prediction->memory_bytes_seen, prediction->request.memory_bytes));
    EXPECT_TRUE(Validate(prediction->request).ok());
    // What the market reads is what the agent means.
    const auto read = scheduler::ParseRequest(scheduler::ToText(prediction->request));
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(*read, prediction->request);
  }
}

TEST(PredictTest, ACommandThatNobodyKnowsGetsLittle) {
  const Prediction prediction = Predicted("", {});
  EXPECT_TRUE(prediction.request.throughput.empty());
  EXPECT_EQ(prediction.request.memory_bytes, kMemoryBytesUnknown);
  EXPECT_EQ(prediction.duration_us, 0);
  ASSERT_EQ(prediction.steps.size(), 2U);
  EXPECT_EQ(prediction.steps[0].facts[1].second, "default");
}

TEST(PredictTest, AKnownOneGetsWhatItHad) {
  Profile profile;
  AddRun(profile, OneRun(10'000, 2'000, 500, 1024));
  AddRun(profile, OneRun(10'000, 2'000, 500, 2048));
  AddRun(profile, OneRun(10'000, 2'000, 500, 512));
  const Prediction prediction = Predicted("", profile);
  ASSERT_EQ(prediction.request.throughput.size(), 1U);
  EXPECT_EQ(prediction.request.throughput[0].operations_per_s, 50e9);  // 500 gigaoperations in 10 s
  EXPECT_EQ(prediction.request.memory_bytes, 2304ULL << 20);           // an eighth more than the most
  EXPECT_EQ(prediction.duration_us, 12'500'000);
  // A program that its host holds up is not made faster by a faster device.
  EXPECT_EQ(Predicted("", profile, Policy::kThroughput).request.throughput[0].operations_per_s, 50e9);
  Profile bound;
  AddRun(bound, OneRun(10'000, 9'000, 500, 1024));
  EXPECT_EQ(Predicted("", bound, Policy::kThroughput).request.throughput[0].operations_per_s, 100e9);
  EXPECT_EQ(Predicted("", bound, Policy::kThroughput).duration_us, 6'875'000);  // (1 + 9 / 2) s and a quarter
}

TEST(PredictTest, ADeadlineSaysHowFast) {
  Profile profile;
  AddRun(profile, OneRun(100'000, 90'000, 900, 100));
  // 80 % of 60 s less 10 s of the host's leave 38 s for what took 90.
  const double rate = Predicted("deadline=60s", profile, Policy::kDeadline).request.throughput[0].operations_per_s;
  EXPECT_EQ(rate, 21.4e9) << "9e9 * 90 / 38, rounded up to three digits";
  // Ten times as long as it takes: a quarter of the speed will do.
  EXPECT_EQ(Predicted("deadline=1000s", profile, Policy::kDeadline).request.throughput[0].operations_per_s, 9e9 / 4);
  // Never to be done: said, not hidden.
  const Prediction never = Predicted("deadline=5s", profile, Policy::kDeadline);
  EXPECT_NE(never.steps[0].text.find("not to be done in time"), std::string::npos);
  // A shorter deadline never asks for less.
  double before = 0;
  for (int seconds = 2000; seconds > 1; seconds = seconds * 9 / 10) {
    const double now = Predicted("deadline=" + std::to_string(seconds) + "s", profile, Policy::kDeadline)
                           .request.throughput[0]
                           .operations_per_s;
    if (seconds * 0.8 > 10 + 90.0 / 64) {
      EXPECT_GE(now, before) << seconds;
    }
    before = now;
  }
}

TEST(PredictTest, ABudgetGetsTheDurationThatItNeeds) {
  EXPECT_FALSE(Predict(
                   [] {
                     scheduler::FunctionalRequest request;
                     request.budget_microcredits = 5;
                     return request;
                   }(),
                   {}, Policy::kCost)
                   .ok());
  Profile profile;
  AddRun(profile, OneRun(1000, 10, 1, 1));
  scheduler::FunctionalRequest asked;
  asked.budget_microcredits = 5;
  const auto prediction = Predict(asked, profile, Policy::kCost);
  ASSERT_TRUE(prediction.ok());
  EXPECT_EQ(prediction->request.duration_us, 1'250'000);
}

TEST(PredictTest, ItLooksAgainWhenTheProfileHasMoved) {
  const Prediction held = Predicted("50GOPS, 1GiB", {});
  const auto move = [&held](const std::string& now) { return LookAgain(held, Predicted(now, {})).move; };
  EXPECT_EQ(move("50GOPS, 1GiB"), Move::kKeep);
  EXPECT_EQ(move("60GOPS, 1.125GiB"), Move::kKeep);
  EXPECT_EQ(move("63GOPS, 1GiB"), Move::kGrow);
  EXPECT_EQ(move("50GOPS, 1.25GiB"), Move::kGrow);
  EXPECT_EQ(move("20GOPS, 0.5GiB"), Move::kShrink);
  EXPECT_EQ(move("45GOPS, 960MiB"), Move::kKeep);
  EXPECT_EQ(move("20GOPS, 1GiB"), Move::kKeep);  // the memory is still needed
  EXPECT_EQ(move("20GOPS, 2GiB"), Move::kGrow);
  EXPECT_EQ(move("50GOPS, 10GOPS convolution, 1GiB"), Move::kGrow);
  EXPECT_EQ(move("0.5GiB"), Move::kShrink);
  EXPECT_NE(LookAgain(held, Predicted("63GOPS, 1GiB", {})).why.text.find("50 GOPS -> 63 GOPS"), std::string::npos);
}

TEST(PredictTest, PoliciesHaveNames) {
  for (const Policy policy : kPolicies) EXPECT_EQ(FindPolicy(Name(policy)), policy);
  EXPECT_EQ(FindPolicy("speed"), std::nullopt);
}

}  // namespace
}  // namespace accelmesh::agent
