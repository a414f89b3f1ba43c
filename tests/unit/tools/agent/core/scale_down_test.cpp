#include "tools/agent/core/scale_down.h"

#include "tests/unit/tools/agent/core/requests.h"

namespace accelmesh::agent {
namespace {

using testing::Asked;

NothingOption Option(const std::string& text) { return *ParseWhenNothing(text); }

TEST(ScaleDownTest, EachRungAsksForLessThanTheOneBefore) {
  std::mt19937_64 random(9);
  for (int i = 0; i < 3000; ++i) {
    const auto asked = testing::SomeRequest(random);
    const auto prediction = *Predict(asked, testing::SomeProfile(random), Policy::kCost);
    const auto kind = Option(std::array{"fail", "wait", "shrink", "echo no"}[random() % 4]);
    const auto ladder = LadderOf(prediction, kind);
    ASSERT_GE(ladder.size(), 2U);
    EXPECT_EQ(ladder.front().prediction.request, prediction.request);
    for (std::size_t j = 0; j + 1 < ladder.size(); ++j) {
      EXPECT_EQ(ladder[j].kind, RungKind::kAsk);
      const auto& request = ladder[j].prediction.request;
      EXPECT_TRUE(Validate(request).ok());
      EXPECT_FALSE(ladder[j].why.text.empty());
      if (kind.kind != WhenNothing::kShrink) {
        // What was said stays.
        if (!asked.throughput.empty()) {
          EXPECT_EQ(request.throughput, asked.throughput);
        }
        if (asked.memory_bytes != 0) {
          EXPECT_EQ(request.memory_bytes, asked.memory_bytes);
        }
        EXPECT_EQ(request.memory_bytes_per_s, asked.memory_bytes_per_s);
      }
      // It would fail with less.
      if (prediction.memory_bytes_seen != 0) {
        EXPECT_GE(request.memory_bytes, std::min(prediction.memory_bytes_seen, prediction.request.memory_bytes));
      }
      // Nobody shrinks the rest.
      EXPECT_EQ(request.latency_us, asked.latency_us);
      EXPECT_EQ(request.count, asked.count);
      EXPECT_EQ(request.price_microcredits_per_hour, asked.price_microcredits_per_hour);
      if (j == 0) continue;
      const auto& before = ladder[j - 1].prediction.request;
      EXPECT_NE(request, before);
      EXPECT_LE(request.memory_bytes, before.memory_bytes);
      EXPECT_LE(request.memory_bytes_per_s, before.memory_bytes_per_s);
      ASSERT_EQ(request.throughput.size(), before.throughput.size());
      for (std::size_t k = 0; k < request.throughput.size(); ++k)
        EXPECT_LE(request.throughput[k].operations_per_s, before.throughput[k].operations_per_s);
    }
  }
}

TEST(ScaleDownTest, TheFootIsWhatTheUserSays) {
  const auto prediction = *Predict(Asked("0.1 TOPS, 1GiB"), {}, Policy::kCost);
  EXPECT_EQ(LadderOf(prediction, Option("fail")).size(), 2U);
  EXPECT_EQ(LadderOf(prediction, Option("fail")).back().kind, RungKind::kFail);
  const Rung queue = LadderOf(prediction, Option("wait")).back();
  EXPECT_EQ(queue.kind, RungKind::kQueue);
  EXPECT_EQ(queue.prediction.request, prediction.request);
  EXPECT_EQ(queue.wait_us, 0);
  const Rung command = LadderOf(prediction, Option("python train.py --cpu")).back();
  EXPECT_EQ(command.kind, RungKind::kCommand);
  EXPECT_EQ(command.command, "python train.py --cpu");
  // 1, 1/2, 1/4, 1/8, 1/16 and the end.
  const auto shrunk = LadderOf(prediction, Option("shrink"));
  ASSERT_EQ(shrunk.size(), 6U);
  EXPECT_EQ(shrunk[4].prediction.request.throughput[0].operations_per_s, 0.1e12 / 16);
  // What must be done by then does not wait beyond.
  const auto pressed = *Predict(Asked("0.1 TOPS, duration=1m, deadline=3m"), {}, Policy::kCost);
  EXPECT_EQ(LadderOf(pressed, Option("wait")).back().wait_us, 120'000'000);
}

TEST(ScaleDownTest, AnEmptyCommandIsNone) {
  for (const std::string& text : {std::string(), std::string("  "), std::string(5000, 'x')}) {
    EXPECT_FALSE(ParseWhenNothing(text).ok());
  }
}

}  // namespace
}  // namespace accelmesh::agent
