#include "tools/mesh_sim/market/world.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/mesh_sim/market/cases.h"
#include "tools/mesh_sim/market/measures.h"
#include "tools/mesh_sim/market/queues.h"

namespace accelmesh::sim {
namespace {

// Does what it is told at certain times.
class Scripted : public Policy {
 public:
  using Step = std::pair<double, std::function<void(World&)>>;
  explicit Scripted(std::vector<Step> steps) : steps_(std::move(steps)) {}
  void Arrived(World&, JobId) override {}
  void Left(World&, JobId) override {}
  void Decide(World& world) override {
    while (next_ < steps_.size() && At(next_) <= world.now_ms()) steps_[next_++].second(world);
  }
  std::int64_t WakeAt(const World&) const override { return next_ < steps_.size() ? At(next_) : kNever; }

 private:
  std::int64_t At(std::size_t i) const { return static_cast<std::int64_t>(steps_[i].first * kHourMs); }
  std::vector<Step> steps_;
  std::size_t next_ = 0;
};

TEST(WorldTest, AStoppedJobKeepsItsProgressAndPaysForItsRestart) {
  const std::vector<Job> jobs = {JobOf(0, 0, 10)};
  World world(jobs, {0, 0, 1}, 1, {});
  Scripted policy({{0, [](World& w) { EXPECT_TRUE(w.Start(0, 2)); }},
                   {4,
                    [](World& w) {
                      EXPECT_NEAR(w.Left(0), 0.6, 1e-9);
                      w.Stop(0);
                    }},
                   {6, [](World& w) { EXPECT_TRUE(w.Start(0, 2)); }}});
  ASSERT_TRUE(world.Run(policy).ok());
  // Four hours, two of pause, a minute of restart, six hours.
  EXPECT_NEAR(EndOf(world, 0), 12 + 1.0 / 60, 1e-6);
  const Measures measures = Measure(world, nullptr);
  EXPECT_NEAR(measures.wait_mean, 2, 1e-6);
  EXPECT_EQ(measures.stops_per_job, 1);
  EXPECT_TRUE(AllGivenBack(world));
}

TEST(WorldTest, WithoutNoticeProgressIsLostButNeverMoreThanTheRunMade) {
  const std::vector<Job> jobs = {JobOf(0, 0, 10)};
  World world(jobs, {0, 0, 1}, 1, {});
  Scripted policy({{0, [](World& w) { w.Start(0, 2); }},
                   {4,
                    [](World& w) {
                      w.Stop(0, kHourMs);
                      EXPECT_NEAR(w.Left(0), 0.7, 1e-9);
                      w.Start(0, 2);
                    }},
                   {4.5, [](World& w) {
                      w.Stop(0, 5 * kHourMs);
                      EXPECT_NEAR(w.Left(0), 0.7, 1e-9);
                      w.Start(0, 2);
                    }}});
  ASSERT_TRUE(world.Run(policy).ok());
}

TEST(WorldTest, AJobThatCannotEndInTimeIsWithdrawnThenAndNotBefore) {
  // Two hours of work, three of time: at hour 1 it can still start, a moment later it cannot.
  const std::vector<Job> jobs = {JobOf(0, 0, 2, 1, 5, 3), JobOf(0, 0, 2, 1, 5, 3)};
  World world(jobs, {0, 0, 2}, 1, {});
  Scripted policy({{1, [](World& w) { EXPECT_TRUE(w.HoursOn(0, 2) > 0 && w.Start(0, 2)); }}});
  ASSERT_TRUE(world.Run(policy).ok());
  EXPECT_NEAR(EndOf(world, 0), 3, 1e-6);
  EXPECT_EQ(world.state(1).phase, Phase::kWithdrawn);
  EXPECT_EQ(world.state(1).over_ms, kHourMs + 1);
  const Measures measures = Measure(world, nullptr);
  EXPECT_DOUBLE_EQ(measures.welfare, 0.5);
  EXPECT_DOUBLE_EQ(measures.slo, 0.5);
  EXPECT_NEAR(measures.wait_mean, 1, 1e-6);
}

TEST(WorldTest, AJobThatRunsTooSlowlyIsWithdrawnWhenNoMoveCouldSaveIt) {
  Job job = JobOf(0, 0, 1, 1, 1, 3);
  job.hours[0] = 8;  // on a class eight times slower; accepted by nobody, but a policy may put it there
  const std::vector<Job> jobs = {job};
  World world(jobs, {1, 0, 1}, 1, {});
  Scripted policy({{0, [](World& w) { EXPECT_TRUE(w.Start(0, 0)); }}});
  ASSERT_TRUE(world.Run(policy).ok());
  EXPECT_EQ(world.state(0).phase, Phase::kWithdrawn);
  // now + (1 - now / 8) + a minute = 3: at (2 - 1/60) x 8 / 7.
  EXPECT_NEAR(static_cast<double>(world.state(0).over_ms) / kHourMs, (2 - 1.0 / 60) * 8 / 7, 1e-4);
  EXPECT_TRUE(AllGivenBack(world));
}

TEST(WorldTest, SlowClassesAreNotAccepted) {
  Job job = JobOf(0, 0, 1);
  job.hours[0] = 4.01;
  job.hours[1] = 4;
  const std::vector<Job> jobs = {job};
  const World world(jobs, {1, 1, 1}, 1, {});
  EXPECT_EQ(world.HoursOn(0, 0), 0);
  EXPECT_EQ(world.HoursOn(0, 1), 4);
  WorldRules all;
  all.ignores_slowness = true;
  EXPECT_EQ(World(jobs, {1, 1, 1}, 1, all).HoursOn(0, 0), 4.01);
}

TEST(WorldTest, APolicyThatForgetsJobsIsFound) {
  const std::vector<Job> jobs = {JobOf(0, 0, 1)};
  World world(jobs, {0, 0, 1}, 1, {});
  Scripted policy({});
  const Status status = world.Run(policy);
  EXPECT_EQ(status.code(), Code::kInternal);
  EXPECT_NE(status.text().find("1 jobs wait"), std::string::npos);
}

TEST(WorldTest, WhatNothingWillStartIsGivenUpAtRestAndNoSooner) {
  // At rest from hour 1, but the last arrives at hour 4 and runs until 6; the job with deadline goes at its own time.
  class Resting : public Scripted {
   public:
    using Scripted::Scripted;
    bool IsAtRest(const World& world) const override { return world.now_ms() >= kHourMs; }
  };
  const std::vector<Job> jobs = {JobOf(0, 0, 2, 1, 1), JobOf(0, 0, 2, 1, 4, 12), JobOf(1, 4, 2, 1, 5)};
  World world(jobs, {0, 0, 1}, 2, {});
  Resting policy({{1, [](World&) {}}, {4, [](World& w) { EXPECT_TRUE(w.Start(2, 2)); }}});
  ASSERT_TRUE(world.Run(policy).ok());
  EXPECT_EQ(world.state(0).phase, Phase::kUnserved);
  EXPECT_EQ(world.state(0).over_ms, 6 * kHourMs);
  EXPECT_EQ(world.state(1).phase, Phase::kWithdrawn);
  EXPECT_EQ(world.state(1).over_ms, 10 * kHourMs + 1);
  const Measures measures = Measure(world, nullptr);
  EXPECT_NEAR(measures.wait_mean, (6.0 + 10.0) / 3, 1e-6);
  EXPECT_EQ(measures.wait_ended, 0);
  EXPECT_DOUBLE_EQ(measures.unserved, 1.0 / 3);
  EXPECT_DOUBLE_EQ(measures.withdrawn, 1.0 / 3);
  EXPECT_DOUBLE_EQ(measures.unserved_value, 0.1);
  EXPECT_DOUBLE_EQ(measures.welfare, 0.5);
}

TEST(WorldTest, UtilisationIsOfTheTimeBetweenArrivals) {
  // One of two devices is let for four of the ten hours between the arrivals.
  const std::vector<Job> jobs = {JobOf(0, 0, 4), JobOf(0, 10, 1)};
  World world(jobs, {0, 0, 2}, 1, {});
  QueuePolicy policy(QueueRule::kFifo, {1}, {0, 0, 2});
  ASSERT_TRUE(world.Run(policy).ok());
  EXPECT_NEAR(Measure(world, nullptr).utilisation, 0.2, 1e-9);
}

TEST(PoolTest, SharesGoWhereTheLeastRoomIsEnough) {
  Pool pool(2);
  const auto first = pool.Take(1, 600);
  ASSERT_TRUE(first);
  EXPECT_EQ(pool.Take(1, 400), first);  // fills the first device
  EXPECT_TRUE(pool.Fits(1, 1000));
  const auto second = pool.Take(1, 700);
  ASSERT_TRUE(second);
  EXPECT_NE(second, first);
  pool.Give(1, 400, *first);
  // 700 milli are free, but no device has them in one piece.
  EXPECT_EQ(pool.free_milli(), 700U);
  EXPECT_FALSE(pool.Fits(1, 500));
  EXPECT_FALSE(pool.Take(1, 500));
  pool.Give(1, 600, *first);
  pool.Give(1, 700, *second);
  EXPECT_TRUE(pool.Fits(2, 1000));
  EXPECT_EQ(pool.free_milli(), pool.capacity_milli());
}

}  // namespace
}  // namespace accelmesh::sim
