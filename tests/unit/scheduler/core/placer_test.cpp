#include "scheduler/core/placer.h"

#include <gtest/gtest.h>

#include <limits>

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

Placer Make(const std::vector<Host>& hosts, const std::vector<TaskKind>& workload, PlacementPolicy policy) {
  Result<Placer> made = Placer::Make(hosts, workload, policy);
  EXPECT_TRUE(made.ok()) << made.status().ToString();
  return std::move(made).value();
}

TEST(PlacerTest, FragmentationKeepsWhatTheUsualTaskNeeds) {
  // Usual are tasks of 700. Best fit puts one of 300 where it leaves least on the host, and makes 700 impossible there.
  const std::vector<TaskKind> usual = {{Demand{0, 0, 1, 700, 0}, 1}};
  const std::vector<Host> hosts = {OneHost({800}), OneHost({1000})};
  const Demand small{0, 0, 1, 300, 0};
  EXPECT_EQ(Make(hosts, usual, PlacementPolicy::kBestFit).Place(small), (Placement{0, 1}));
  EXPECT_EQ(Make(hosts, usual, PlacementPolicy::kFragmentation).Place(small), (Placement{1, 1}));
  EXPECT_EQ(Make(hosts, usual, PlacementPolicy::kWorstFit).Place(small), (Placement{1, 1}));
  // The device within a host is chosen alike.
  EXPECT_EQ(Make({OneHost({800, 1000})}, usual, PlacementPolicy::kFragmentation).Place(small), (Placement{0, 2}));
  EXPECT_EQ(Make({OneHost({800, 1000})}, usual, PlacementPolicy::kBestFit).Place(small), (Placement{0, 1}));
}

TEST(PlacerTest, RandomTakesEveryHostThatFitsAndNoOther) {
  const std::vector<Host> hosts = {OneHost({1000}), OneHost({100}), OneHost({1000}), OneHost({1000})};
  std::vector<int> seen(hosts.size());
  for (std::uint64_t draw = 0; draw < 30; ++draw) {
    ++seen[Make(hosts, {}, PlacementPolicy::kRandom).Place(Demand{0, 0, 1, 500, 0}, draw)->host];
  }
  EXPECT_EQ(seen, (std::vector<int>{10, 0, 10, 10}));
}

// What a placer does, worked out anew for every host at every decision, by the definition of the measure.
std::optional<double> BestGrowth(const std::vector<Host>& hosts, const std::vector<TaskKind>& workload,
                                 const Demand& demand) {
  std::optional<double> best;
  for (const Host& host : hosts) {
    if (!FitsHost(host, demand)) continue;
    for (DeviceMask mask = 0; mask < 1U << host.device_count; ++mask) {
      if (static_cast<std::uint32_t>(__builtin_popcount(mask)) != demand.devices) continue;
      bool fits = true;
      for (std::uint32_t i = 0; i < host.device_count; ++i) {
        fits &= (mask >> i & 1) == 0 || FitsDevice(host.devices[i], demand.share_milli, demand.device_memory_mib);
      }
      if (!fits) continue;
      Host after = host;
      Take(after, demand, mask);
      const double growth = testing::ExpectedFragments(after, workload) - testing::ExpectedFragments(host, workload);
      if (!best || growth < *best) best = growth;
    }
  }
  return best;
}

TEST(PlacerTest, PlacesWhereFragmentationGrowsLeastWhateverHappenedBefore) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    testing::Random random(seed);
    const std::vector<TaskKind> workload = testing::RandomWorkload(random, 20);
    std::vector<Host> hosts;
    for (int i = 0; i < 12; ++i) hosts.push_back(i % 3 == 1 ? hosts.back() : testing::RandomHost(random));
    Placer placer = Make(hosts, workload, PlacementPolicy::kFragmentation);
    std::vector<std::pair<Demand, Placement>> running;
    for (int step = 0; step < 150; ++step) {
      if (!running.empty() && testing::Below(random, 3) == 0) {
        const std::size_t which = testing::Below(random, static_cast<std::uint32_t>(running.size()));
        ASSERT_TRUE(placer.Release(running[which].first, running[which].second).ok());
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(which));
        continue;
      }
      // Few shapes, so that remembered scores are used; devices > 1 are placed greedily, which is not always the best.
      Demand demand = workload[testing::Below(random, static_cast<std::uint32_t>(workload.size()))].demand;
      demand.devices = std::min(demand.devices, 1U);
      const std::vector<Host> before = placer.hosts();
      const std::optional<double> best = BestGrowth(before, workload, demand);
      const std::optional<Placement> placement = placer.Place(demand);
      ASSERT_EQ(placement.has_value(), best.has_value()) << "seed " << seed << " step " << step;
      if (!placement) continue;
      running.emplace_back(demand, *placement);
      const Host& host = before[placement->host];
      ASSERT_TRUE(FitsHost(host, demand));
      for (std::uint32_t i = 0; i < 32; ++i) {
        if ((placement->devices >> i & 1) == 0) continue;
        ASSERT_LT(i, host.device_count);
        ASSERT_TRUE(FitsDevice(host.devices[i], demand.share_milli, demand.device_memory_mib));
      }
      ASSERT_EQ(static_cast<std::uint32_t>(__builtin_popcount(placement->devices)), demand.devices);
      const double growth = testing::ExpectedFragments(placer.hosts()[placement->host], workload) -
                            testing::ExpectedFragments(host, workload);
      // Weights are rounded to millionths.
      ASSERT_NEAR(growth, *best, 1.0) << "seed " << seed << " step " << step;
    }
    for (const auto& [demand, placement] : running) ASSERT_TRUE(placer.Release(demand, placement).ok());
    EXPECT_EQ(placer.hosts(), hosts);
  }
}

TEST(PlacerTest, BestFitLeavesLeastAndWorstFitMost) {
  testing::Random random(3);
  for (const PlacementPolicy policy : {PlacementPolicy::kBestFit, PlacementPolicy::kWorstFit}) {
    std::vector<Host> hosts;
    for (int i = 0; i < 20; ++i) hosts.push_back(testing::RandomHost(random));
    Placer placer = Make(hosts, {}, policy);
    for (int step = 0; step < 200; ++step) {
      const Demand demand = testing::RandomDemand(random);
      std::optional<std::int64_t> expected;
      for (const Host& host : placer.hosts()) {
        std::uint32_t fitting = 0;
        std::int64_t left = -std::int64_t{demand.devices} * demand.share_milli;
        for (std::uint32_t i = 0; i < host.device_count; ++i) {
          left += host.devices[i].share_milli;
          fitting += FitsDevice(host.devices[i], demand.share_milli, demand.device_memory_mib) ? 1 : 0;
        }
        if (!FitsHost(host, demand) || fitting < demand.devices) continue;
        const bool better = !expected || (policy == PlacementPolicy::kBestFit ? left < *expected : left > *expected);
        if (better) expected = left;
      }
      const std::optional<Placement> placement = placer.Place(demand);
      ASSERT_EQ(placement.has_value(), expected.has_value());
      if (!placement) continue;
      std::int64_t left = 0;
      for (const DeviceFree& device : placer.hosts()[placement->host].devices) left += device.share_milli;
      ASSERT_EQ(left, *expected) << step;
    }
  }
}

TEST(PlacerTest, ShapesThatAreRememberedAreBounded) {
  Placer placer = Make({OneHost({1000, 1000})}, {}, PlacementPolicy::kBestFit);
  for (std::uint32_t i = 0; i < 2 * Placer::kShapesMax; ++i) {
    const Demand demand{i, 0, 1, 500, 0};
    const std::optional<Placement> placement = placer.Place(demand);
    ASSERT_TRUE(placement.has_value());
    ASSERT_TRUE(placer.Release(demand, *placement).ok());
  }
  EXPECT_EQ(placer.shapes(), Placer::kShapesMax);
}

TEST(PlacerTest, NothingIsGivenBackTwice) {
  Placer placer = Make({OneHost({1000})}, {}, PlacementPolicy::kBestFit);
  const Demand demand{1000, 1024, 1, 500, 512};
  const Placement placement = *placer.Place(demand);
  EXPECT_FALSE(placer.Release(demand, {7, 1}).ok());
  EXPECT_FALSE(placer.Release(demand, {0, 2}).ok());
  EXPECT_FALSE(placer.Release(demand, {0, 3}).ok());
  EXPECT_FALSE(placer.Release(demand, {0, 0}).ok());
  EXPECT_TRUE(placer.Release(demand, placement).ok());
  const Status again = placer.Release(demand, placement);
  EXPECT_EQ(again.code(), Code::kInvalidArgument);
  EXPECT_EQ(again.text(), "gives back what was not taken; release a placement once");
  EXPECT_EQ(placer.hosts()[0], OneHost({1000}));
}

TEST(PlacerTest, WhyNotNamesTheDimensionAndTheGap) {
  const Placer placer = Make({OneHost({600}), OneHost({300, 400})}, {}, PlacementPolicy::kBestFit);
  EXPECT_EQ(
      placer.WhyNot(Demand{0, 0, 1, 700, 0}).text,
      "devices 0 of 1 on one host with 700 thousandths free each (the most free on one: 600): ask for fewer devices "
      "or a smaller share, or wait");
  EXPECT_EQ(placer.WhyNot(Demand{0, 9000, 1, 100, 0}).text, "memory 8192 of 9000 MiB: ask for less");
  EXPECT_EQ(placer.WhyNot(Demand{9000, 0, 1, 100, 0}).text, "processor 8000 of 9000 thousandths: ask for less");
  EXPECT_EQ(placer.WhyNot(Demand{0, 0, 1, 100, 0, 2}).text, "no host of the kinds asked for: allow more kinds");
  std::vector<Host> hosts = {OneHost({1000}), OneHost({100})};
  hosts[0].processor_milli = 10;
  const NoPlacement spread = Make(hosts, {}, PlacementPolicy::kBestFit).WhyNot(Demand{1000, 0, 1, 500, 0});
  EXPECT_EQ(spread.without_devices, 1U);
  EXPECT_EQ(spread.without_processor, 1U);
  EXPECT_NE(spread.text.find("no host has all of it at once (1 of 2 lack devices, 1 processor"), std::string::npos)
      << spread.text;
}

TEST(PlacerTest, RefusesImpossibleHosts) {
  Host host = OneHost({1001});
  EXPECT_FALSE(Placer::Make({host}, {}, PlacementPolicy::kBestFit).ok());
  host = OneHost({1000});
  host.device_count = kDevicesPerHostMax + 1;
  EXPECT_FALSE(Placer::Make({host}, {}, PlacementPolicy::kBestFit).ok());
  host = OneHost({1000});
  host.host_class = kHostClassesMax;
  EXPECT_FALSE(Placer::Make({host}, {}, PlacementPolicy::kBestFit).ok());
  EXPECT_TRUE(Placer::Make({}, {}, PlacementPolicy::kFragmentation).ok());
  EXPECT_FALSE(Make({}, {}, PlacementPolicy::kFragmentation).Place(Demand{0, 0, 1, 1, 0}).has_value());
}

TEST(PlacerTest, PoliciesHaveNames) {
  for (const PlacementPolicy policy : {PlacementPolicy::kFragmentation, PlacementPolicy::kBestFit,
                                       PlacementPolicy::kWorstFit, PlacementPolicy::kRandom}) {
    EXPECT_EQ(FindPolicy(Name(policy)), policy);
  }
  EXPECT_FALSE(FindPolicy("best").has_value());
}

}  // namespace
}  // namespace accelmesh::scheduler
