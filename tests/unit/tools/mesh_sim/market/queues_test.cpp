#include "tools/mesh_sim/market/queues.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/mesh_sim/market/cases.h"

namespace accelmesh::sim {
namespace {

std::vector<double> Ends(const std::vector<Job>& jobs, QueueRule rule, const std::vector<double>& quotas,
                         const Gpus& gpus, std::uint32_t* stops = nullptr) {
  World world(jobs, gpus, quotas.size(), {});
  QueuePolicy policy(rule, quotas, gpus);
  const Status status = world.Run(policy);
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_TRUE(AllGivenBack(world));
  std::vector<double> ends;
  for (JobId id = 0; id < jobs.size(); ++id) {
    ends.push_back(std::round(EndOf(world, id) * 1000) / 1000);
    if (stops != nullptr) *stops += world.state(id).stops;
  }
  return ends;
}

using Hours = std::vector<double>;

// Tenant 0 sends three jobs of an hour, then tenant 1 sends one; two devices.
const std::vector<Job> kRush = {JobOf(0, 0, 1), JobOf(0, 0, 1), JobOf(0, 0, 1), JobOf(1, 0.5, 1)};

TEST(QueuesTest, StaticTenantsHaveTheirOwnDevicesOnly) {
  EXPECT_EQ(Ends(kRush, QueueRule::kStatic, {0.5, 0.5}, {0, 0, 2}), (Hours{1, 2, 3, 1.5}));
}

TEST(QueuesTest, LendingGivesIdleDevicesAndThenTheLeastServedTenantIsNext) {
  // At hour 1 two devices come free; tenant 1 holds nothing and goes first, tenant 0's third job has the other.
  EXPECT_EQ(Ends(kRush, QueueRule::kLending, {0.5, 0.5}, {0, 0, 2}), (Hours{1, 1, 2, 2}));
  // With one device the order shows: tenant 1 passes tenant 0's third and second.
  const std::vector<Job> one = {JobOf(0, 0, 1), JobOf(0, 0, 1), JobOf(1, 0.5, 1)};
  EXPECT_EQ(Ends(one, QueueRule::kFifo, {0.5, 0.5}, {0, 0, 1}), (Hours{1, 2, 3}));
  const std::vector<Job> two = {JobOf(0, 0, 2), JobOf(0, 0, 1), JobOf(0, 0, 1), JobOf(1, 0.5, 1)};
  // At hour 1 tenant 0 still holds a device, so tenant 1 goes before its third job; FIFO has it the other way round.
  EXPECT_EQ(Ends(two, QueueRule::kLending, {0.5, 0.5}, {0, 0, 2}), (Hours{2, 1, 3, 2}));
  EXPECT_EQ(Ends(two, QueueRule::kFifo, {0.5, 0.5}, {0, 0, 2}), (Hours{2, 1, 2, 3}));
}

TEST(QueuesTest, ReclaimTakesBackFromTheNewestOfWhoHasTooMuch) {
  std::uint32_t stops = 0;
  const Hours ends = Ends(kRush, QueueRule::kLendingReclaim, {0.5, 0.5}, {0, 0, 2}, &stops);
  EXPECT_EQ(stops, 1U);
  EXPECT_EQ(ends[3], 1.5);  // at once
  EXPECT_EQ(ends[0], 1);    // the older of two that began together goes on
  EXPECT_NEAR(ends[1], 1.5 + 1.0 / 60, 0.002);
  // A tenant is not pushed below its own quota.
  stops = 0;
  EXPECT_EQ(Ends(kRush, QueueRule::kLendingReclaim, {1, 0.001}, {0, 0, 2}, &stops)[3], 2);
  EXPECT_EQ(stops, 0U);
}

TEST(QueuesTest, QuotasWeighInLending) {
  // Tenant 1 may have three times as much: holding one device each, it is next.
  const std::vector<Job> jobs = {JobOf(0, 0, 2), JobOf(1, 0, 2), JobOf(0, 0, 1), JobOf(0, 0.1, 1), JobOf(1, 0.2, 1)};
  EXPECT_EQ(Ends(jobs, QueueRule::kLending, {0.25, 0.75}, {0, 0, 3}), (Hours{2, 2, 1, 3, 2}));
}

TEST(QueuesTest, DrfCountsTheGreatestShareOfAClass) {
  // Tenant 0 holds 1 of 2 of class 1, tenant 1 holds 1 of 4 of the last: half against a quarter, so tenant 1 is next,
  // although tenant 0 asked first.
  Job slow = JobOf(0, 0, 10);
  slow.hours = {0, 10, 0};
  const std::vector<Job> jobs = {slow, JobOf(1, 0, 10), JobOf(1, 0, 1, 3), JobOf(0, 0.1, 5, 3), JobOf(1, 0.2, 5, 3)};
  World world(jobs, {0, 2, 4}, 2, {});
  QueuePolicy policy(QueueRule::kDrf, {0.5, 0.5}, {0, 2, 4});
  ASSERT_TRUE(world.Run(policy).ok());
  EXPECT_NEAR(EndOf(world, 4), 6, 1e-6);
  EXPECT_NEAR(EndOf(world, 3), 11, 1e-6);
}

TEST(QueuesTest, AGangWaitsForItsDevicesAndOthersPass) {
  const std::vector<Job> jobs = {JobOf(0, 0, 4), JobOf(0, 0, 2, 2), JobOf(0, 0, 1)};
  EXPECT_EQ(Ends(jobs, QueueRule::kFifo, {1}, {0, 0, 2}), (Hours{4, 6, 1}));
}

TEST(QueuesTest, JobsTakeTheFreeClassWhereTheyEndFirst) {
  Job job = JobOf(0, 0, 2);
  job.hours[1] = 1;
  job.best_hours = 1;
  EXPECT_EQ(Ends({job, job, job}, QueueRule::kFifo, {1}, {0, 1, 1}), (Hours{1, 2, 2}));
}

TEST(QueuesTest, AStaticGangThatIsTooLargeRunsOnWhatItsTenantHas) {
  // Four GPUs for an hour on the two that the tenant has: two hours.
  EXPECT_EQ(Ends({JobOf(0, 0, 1, 4), JobOf(1, 0, 1)}, QueueRule::kStatic, {0.5, 0.5}, {0, 0, 4}), (Hours{2, 1}));
}

TEST(QueuesTest, PartitionsAddUpAndLeaveNobodyWithout) {
  const Gpus gpus = {125, 125, 250};
  const std::vector<double> quotas = {0.6, 0.3, 0.0999, 0.0001};
  const std::vector<Gpus> own = Partition(quotas, gpus);
  for (std::size_t c = 0; c < kClasses; ++c) {
    std::uint32_t sum = 0;
    for (const Gpus& mine : own) sum += mine[c];
    EXPECT_EQ(sum, gpus[c]);
  }
  EXPECT_EQ(own[0][0], 75U);
  EXPECT_GE(own[3][2], 1U);
}

}  // namespace
}  // namespace accelmesh::sim
