#include "scheduler/core/fragmentation.h"

#include <gtest/gtest.h>

#include "tests/unit/scheduler/core/clusters.h"

namespace accelmesh::scheduler {
namespace {

Host OneHost(std::vector<std::uint32_t> shares) {
  Host host;
  host.processor_milli = 8000;
  host.memory_mib = 8192;
  host.device_count = static_cast<std::uint32_t>(shares.size());
  for (std::size_t i = 0; i < shares.size(); ++i) host.devices[i] = {shares[i], 1024};
  return host;
}

double Of(const Host& host, const std::vector<TaskKind>& workload) {
  const Result<Fragmentation> made = Fragmentation::Make(workload);
  EXPECT_TRUE(made.ok()) << made.status().ToString();
  return static_cast<double>(made->Of(host)) / static_cast<double>(Fragmentation::kWeightSum);
}

TEST(FragmentationTest, WhatTheUsualTaskCannotUseIsAFragment) {
  const Demand half{1000, 1024, 1, 500, 0};
  const Demand whole{1000, 1024, 1, 1000, 0};
  EXPECT_NEAR(Of(OneHost({400, 1000}), {{half, 1}}), 400, 1e-3);
  // Nothing whole is free: all of it is lost to a task that needs a whole device.
  EXPECT_NEAR(Of(OneHost({400, 900}), {{whole, 1}}), 1300, 1e-3);
  EXPECT_NEAR(Of(OneHost({400, 900}), {{whole, 1}, {half, 3}}), 0.25 * 1300 + 0.75 * 400, 1e-3);
  // A host without the processor for it has devices that nobody can use.
  Host starved = OneHost({1000, 1000});
  starved.processor_milli = 999;
  EXPECT_NEAR(Of(starved, {{half, 1}}), 2000, 1e-3);
  // Two devices are needed at once.
  Demand pair = whole;
  pair.devices = 2;
  EXPECT_NEAR(Of(OneHost({1000, 900}), {{pair, 1}}), 1900, 1e-3);
  EXPECT_NEAR(Of(OneHost({1000, 1000, 900}), {{pair, 1}}), 900, 1e-3);
  // The memory of a device counts like its share.
  Demand large = half;
  large.device_memory_mib = 2048;
  EXPECT_NEAR(Of(OneHost({1000}), {{large, 1}}), 1000, 1e-3);
  Demand elsewhere = half;
  elsewhere.host_classes = 2;
  EXPECT_NEAR(Of(OneHost({1000}), {{elsewhere, 1}}), 1000, 1e-3);
}

TEST(FragmentationTest, TasksWithoutDevicesFragmentNothing) {
  EXPECT_EQ(Of(OneHost({300}), {{Demand{99999, 1, 0, 0, 0}, 5}}), 0);
  EXPECT_EQ(Of(OneHost({300}), {}), 0);
}

TEST(FragmentationTest, RareKindsAreLeftOut) {
  std::vector<TaskKind> workload(1, {Demand{0, 0, 1, 1000, 0}, 1});
  for (std::uint32_t i = 0; i < Fragmentation::kKindsMax; ++i) workload.push_back({Demand{i, 0, 1, 100, 0}, 1000});
  EXPECT_NEAR(Of(OneHost({100}), workload), 0, 1e-9);
}

TEST(FragmentationTest, AgreesWithItsDefinitionOnRandomHosts) {
  testing::Random random(7);
  for (int round = 0; round < 300; ++round) {
    const std::vector<TaskKind> workload = testing::RandomWorkload(random, 1 + testing::Below(random, 60));
    Host host = testing::RandomHost(random);
    for (std::uint32_t i = 0; i < host.device_count; ++i) host.devices[i].share_milli = testing::Below(random, 1001);
    // Each weight is rounded to a millionth, 16 whole devices are at stake.
    EXPECT_NEAR(Of(host, workload), testing::ExpectedFragments(host, workload), 60 * 16'000 * 1e-6) << round;
  }
}

TEST(FragmentationTest, RefusesWhatNoHostCouldRun) {
  const Result<Fragmentation> many = Fragmentation::Make(std::vector<TaskKind>{{Demand{0, 0, 17, 1000, 0}, 1}});
  ASSERT_FALSE(many.ok());
  EXPECT_EQ(many.status().text(), "17 of one host, which has at most 16; ask for several times fewer");
  const Result<Fragmentation> more = Fragmentation::Make(std::vector<TaskKind>{{Demand{0, 0, 1, 1001, 0}, 1}});
  ASSERT_FALSE(more.ok());
  EXPECT_EQ(more.status().where(), "Demand.share_milli");
  EXPECT_FALSE(ValidateDemand(Demand{0, 0, 1, 0, 0}).ok());
}

}  // namespace
}  // namespace accelmesh::scheduler
