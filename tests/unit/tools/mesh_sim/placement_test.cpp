#include "tools/mesh_sim/placement.h"

#include <gtest/gtest.h>

namespace accelmesh::sim {
namespace {

using scheduler::PlacementPolicy;

double Allocated(const Workload& workload, PlacementPolicy policy) {
  std::vector<double> allocated;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const Result<PlacementRun> run = RunPlacement(workload, policy, 1.3, seed);
    EXPECT_TRUE(run.ok()) << run.status().ToString();
    allocated.push_back(run->allocated);
  }
  return MeanOf(allocated).mean;
}

// The order that the trace shows as well, on a tenth of its twin.
TEST(PlacementTest, FragmentationAwareAllocatesMostOnTheTwin) {
  const Workload twin = MakeTwin(1, 100);
  const double fragmentation = Allocated(twin, PlacementPolicy::kFragmentation);
  const double best_fit = Allocated(twin, PlacementPolicy::kBestFit);
  EXPECT_GT(fragmentation, 0.93);
  EXPECT_GT(fragmentation, best_fit);
  EXPECT_GT(best_fit, Allocated(twin, PlacementPolicy::kWorstFit));
  EXPECT_GT(fragmentation, Allocated(twin, PlacementPolicy::kRandom));
}

TEST(PlacementTest, TheSameSeedDecidesAlike) {
  const Workload twin = MakeTwin(1, 50);
  const Result<PlacementRun> one = RunPlacement(twin, PlacementPolicy::kFragmentation, 1.1, 4);
  const Result<PlacementRun> two = RunPlacement(twin, PlacementPolicy::kFragmentation, 1.1, 4);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->placed, two->placed);
  EXPECT_EQ(one->allocated, two->allocated);
  EXPECT_NE(RunPlacement(twin, PlacementPolicy::kFragmentation, 1.1, 5)->decisions, one->decisions);
}

TEST(PlacementTest, AllThatIsAskedIsGivenWhileThereIsRoom) {
  Workload workload;
  workload.hosts.resize(10);
  for (scheduler::Host& host : workload.hosts) {
    host.processor_milli = host.memory_mib = 1000;
    host.device_count = 1;
    host.devices[0] = {1000, 0};
  }
  workload.tasks = {scheduler::Demand{0, 0, 1, 250, 0}};
  const Result<PlacementRun> half = RunPlacement(workload, PlacementPolicy::kBestFit, 0.5, 1);
  EXPECT_EQ(half->allocated, 0.5);
  EXPECT_EQ(half->placed, 20U);
  EXPECT_EQ(half->decisions, 20U);
  const Result<PlacementRun> twice = RunPlacement(workload, PlacementPolicy::kBestFit, 2, 1);
  EXPECT_EQ(twice->allocated, 1);
  EXPECT_EQ(twice->placed, 40U);
  EXPECT_EQ(twice->decisions, 80U);
  workload.tasks = {scheduler::Demand{}};
  EXPECT_FALSE(RunPlacement(workload, PlacementPolicy::kBestFit, 1, 1).ok());
}

TEST(MeanTest, WithItsInterval) {
  EXPECT_EQ(MeanOf({5}).half_width, 0);
  const Mean mean = MeanOf({1, 2, 3, 4, 5});
  EXPECT_DOUBLE_EQ(mean.mean, 3);
  EXPECT_NEAR(mean.half_width, 2.776 * 1.5811388 / 2.2360680, 1e-5);
}

}  // namespace
}  // namespace accelmesh::sim
