#include "scheduler/core/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "scheduler/core/request_text.h"
#include "tests/unit/scheduler/core/slots.h"

namespace accelmesh::scheduler {
namespace {

Plan Make(const std::string& text, const std::vector<Slot>& slots, const std::vector<TaskKind>& usual = {},
          Preference preference = Preference::kFragmentation) {
  Result<FunctionalRequest> request = ParseRequest(text);
  EXPECT_TRUE(request.ok()) << request.status().ToString();
  Result<Fragmentation> workload = Fragmentation::Make(usual);
  EXPECT_TRUE(workload.ok());
  Result<Plan> plan = MakePlan(*request, slots, *workload, preference);
  EXPECT_TRUE(plan.ok()) << plan.status().ToString();
  return std::move(plan).value();
}

std::vector<std::string> Ids(const Plan& plan, const std::vector<Slot>& slots) {
  std::vector<std::string> ids;
  for (const Candidate& candidate : plan.assignments) ids.push_back(slots[candidate.slot].id);
  return ids;
}

// a and b on one server, c on another; b half let, c dearer.
std::vector<Slot> Three() {
  std::vector<Slot> slots = {testing::OneGpu("a"), testing::OneGpu("b"), testing::OneGpu("c", "server-2")};
  slots[1].share_milli_free = 500;
  slots[2].price_microcredits_per_hour = 2'000'000;
  slots[2].zone = "eu-2";
  return slots;
}

TEST(PlanTest, TakesTheSlotWhoseRestStaysUsable) {
  const std::vector<Slot> slots = Three();
  // Usual are whole devices: the half one is no use to them, so it is taken.
  EXPECT_EQ(Ids(Make("0.05 TOPS", slots, {{Demand{0, 0, 1, 1000, 0}, 1}}), slots), (std::vector<std::string>{"b"}));
  // Usual are halves: the half one stays, and of the whole ones the cheaper goes.
  EXPECT_EQ(Ids(Make("0.05 TOPS", slots, {{Demand{0, 0, 1, 500, 0}, 1}}), slots), (std::vector<std::string>{"a"}));
  // Memory is lost alike: 6 GiB of 8 make both useless for tasks of 4 GiB, so the one with less share to lose goes.
  EXPECT_EQ(Ids(Make("0.05 TOPS, 6GiB", slots, {{Demand{0, 0, 1, 100, 4096}, 1}}), slots),
            (std::vector<std::string>{"b"}));
}

TEST(PlanTest, OrTheCheapest) {
  std::vector<Slot> slots = Three();
  slots[2].price_microcredits_per_hour = 1;
  EXPECT_EQ(Ids(Make("0.05 TOPS", slots, {{Demand{0, 0, 1, 1000, 0}, 1}}, Preference::kPrice), slots),
            (std::vector<std::string>{"c"}));
}

TEST(PlanTest, GangsAreTogetherOrSpread) {
  const std::vector<Slot> slots = Three();
  EXPECT_EQ(Ids(Make("0.05 TOPS, 2 slots, topology=server", slots), slots), (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(Ids(Make("0.05 TOPS, 2 slots, topology=spread", slots), slots), (std::vector<std::string>{"b", "c"}));
  EXPECT_EQ(Ids(Make("0.05 TOPS, 3 slots", slots), slots), (std::vector<std::string>{"b", "a", "c"}));
  EXPECT_EQ(Ids(Make("0.05 TOPS, 2 slots, topology=zone", slots), slots), (std::vector<std::string>{"b", "a"}));
}

TEST(PlanTest, SaysWhyThereIsNone) {
  const std::vector<Slot> slots = Three();
  const Plan few = Make("0.05 TOPS, 4 slots", slots);
  EXPECT_TRUE(few.assignments.empty());
  EXPECT_EQ(few.others.size(), 3U);
  ASSERT_EQ(few.gaps.size(), 1U);
  EXPECT_EQ(few.gaps[0].text, "slots 3 of 4 that would do");
  EXPECT_EQ(few.gaps[0].remedy, "ask for 3 or fewer, or wait");
  const Plan apart = Make("0.05 TOPS, 3 slots, topology=server", slots);
  ASSERT_EQ(apart.gaps.size(), 1U);
  EXPECT_EQ(apart.gaps[0].dimension, Dimension::kTopology);
  EXPECT_EQ(apart.gaps[0].text, "topology 2 of 3 on one server");
  EXPECT_EQ(apart.gaps[0].remedy, "ask for topology=any, or for 2 slots");
  const Plan none = Make("9 TOPS", slots);
  EXPECT_EQ(none.gaps[0].remedy, "see what each slot lacks");
  EXPECT_EQ(none.rejections.size(), 3U);
}

// Slots that lie anywhere, and few others: the plan is the same, and so are the first of the others.
TEST(PlanTest, AShortPlanIsTheBeginningOfTheWholeOne) {
  std::mt19937 random(7);
  const auto draw = [&random](std::uint32_t below) { return static_cast<std::uint32_t>(random() % below); };
  const Result<Fragmentation> workload =
      Fragmentation::Make({{{Demand{0, 0, 1, 250, 1024}, 3}, {Demand{0, 0, 1, 1000, 4096}, 1}}});
  ASSERT_TRUE(workload.ok());
  for (int round = 0; round < 300; ++round) {
    std::vector<Slot> slots;
    for (std::uint32_t i = 0, count = draw(20); i < count; ++i) {
      slots.push_back(testing::OneGpu("gpu-" + std::to_string(i), "server-" + std::to_string(draw(3))));
      slots.back().zone = draw(2) == 0 ? "eu-1" : "eu-2";
      slots.back().share_milli_free = draw(1001);
      slots.back().memory_bytes_free = static_cast<std::uint64_t>(draw(9)) << 30;
      slots.back().price_microcredits_per_hour = 1'000'000 * (1 + draw(3));
    }
    std::vector<const Slot*> anywhere;
    for (const Slot& slot : slots) anywhere.push_back(&slot);
    static constexpr const char* kTexts[] = {"0.05 TOPS",
                                             "0.02 TOPS, 2GiB, 2 slots",
                                             "2 slots, bandwidth=1GB/s",
                                             "0.05 TOPS, 3 slots, topology=server",
                                             "0.05 TOPS, 2 slots, topology=spread",
                                             "9 TOPS"};
    const Result<FunctionalRequest> request = ParseRequest(kTexts[draw(std::size(kTexts))]);
    ASSERT_TRUE(request.ok()) << request.status().ToString();
    for (const Preference preference : {Preference::kFragmentation, Preference::kPrice}) {
      const Result<Plan> whole = MakePlan(*request, slots, *workload, preference);
      const std::size_t others_max = draw(4);
      const Result<Plan> brief = MakePlan(*request, anywhere, *workload, preference, others_max);
      ASSERT_TRUE(whole.ok() && brief.ok());
      const auto same = [](const Candidate& a, const Candidate& b) {
        return a.slot == b.slot && a.share_milli == b.share_milli && a.why == b.why && !a.why.empty() &&
               a.price_microcredits_per_hour == b.price_microcredits_per_hour;
      };
      ASSERT_TRUE(std::ranges::equal(brief->assignments, whole->assignments, same));
      ASSERT_EQ(brief->others.size(), std::min(others_max, whole->others.size()));
      for (std::size_t i = 0; i < brief->others.size(); ++i) ASSERT_TRUE(same(brief->others[i], whole->others[i]));
      ASSERT_EQ(brief->rejections.size(), whole->rejections.size());
      ASSERT_EQ(brief->gaps.size(), whole->gaps.size());
    }
  }
}

TEST(PlanTest, RefusesARequestThatDoesNotHold) {
  FunctionalRequest request;
  request.count = 0;
  const Result<Fragmentation> workload = Fragmentation::Make({});
  EXPECT_FALSE(MakePlan(request, {}, *workload, Preference::kPrice).ok());
}

}  // namespace
}  // namespace accelmesh::scheduler
