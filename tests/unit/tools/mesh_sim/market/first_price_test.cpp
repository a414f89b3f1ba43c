#include "tools/mesh_sim/market/first_price.h"

#include <gtest/gtest.h>

#include "tests/unit/tools/mesh_sim/market/cases.h"

namespace accelmesh::sim {
namespace {

TEST(FirstPriceTest, TheHigherBidRunsAndTheOtherLosesWhatWasNotWritten) {
  // Ten hours worth 10, then one hour worth 5: five an hour against one.
  const std::vector<Job> jobs = {JobOf(0, 0, 10, 1, 10), JobOf(1, 4.125, 1, 1, 5)};
  World world(jobs, {0, 0, 1}, 2, {});
  FirstPrice policy(2, 60'000, 600'000);
  ASSERT_TRUE(world.Run(policy).ok());
  // Outbid at 4:08; what was done since 4:00 (the last ten minutes' mark) is lost.
  const double out = 4 + 8.0 / 60;
  EXPECT_NEAR(EndOf(world, 1), out + 1, 1e-6);
  EXPECT_NEAR(EndOf(world, 0), out + 1 + 1.0 / 60 + 6, 1e-3);
  EXPECT_TRUE(AllGivenBack(world));
}

TEST(FirstPriceTest, ALowerBidWaits) {
  const std::vector<Job> jobs = {JobOf(0, 0, 2, 1, 10), JobOf(1, 0.5, 1, 1, 1)};
  World world(jobs, {0, 0, 1}, 2, {});
  FirstPrice policy(2, 60'000, 600'000);
  ASSERT_TRUE(world.Run(policy).ok());
  EXPECT_NEAR(EndOf(world, 0), 2, 1e-6);
  EXPECT_NEAR(EndOf(world, 1), 3, 1e-6);
}

TEST(FirstPriceTest, AGangPushesOutOnlyLowerBids) {
  // Two GPUs: bids of 3 and 1 run; a gang that bids 2 a GPU cannot have both.
  const std::vector<Job> jobs = {JobOf(0, 0, 10, 1, 30), JobOf(0, 0, 10, 1, 10), JobOf(1, 1, 1, 2, 4)};
  World world(jobs, {0, 0, 2}, 2, {});
  FirstPrice policy(3, 60'000, 600'000);
  ASSERT_TRUE(world.Run(policy).ok());
  EXPECT_EQ(world.state(0).stops + world.state(1).stops, 0U);
  EXPECT_NEAR(EndOf(world, 2), 11, 1e-6);
}

}  // namespace
}  // namespace accelmesh::sim
