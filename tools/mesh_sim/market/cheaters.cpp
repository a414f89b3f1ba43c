#include "tools/mesh_sim/market/cheaters.h"

#include <algorithm>
#include <cmath>

namespace accelmesh::sim {
namespace {

constexpr std::size_t kJobs = 2000;  // about 20 days
constexpr double kLoad = 1.2;
constexpr std::int64_t kSnipeMs = 1'800'000;
constexpr double kShadeTimes = 0.7;
constexpr std::uint64_t kSecondName = 1'000'000;  // a party that is no tenant
constexpr std::uint64_t kNames = 5;

class Script : public Agents {
 public:
  Script(Cheat cheat, std::vector<std::size_t> cheaters) : cheat_(cheat), cheaters_(std::move(cheaters)) {}

  double BidTimes(const World& world, JobId id) const override {
    if (!Cheats(world.job(id).tenant)) return 1;
    switch (cheat_) {
      case Cheat::kLie: return 2;
      case Cheat::kShade:
      case Cheat::kShadeUnseen:
      case Cheat::kCollusion: return kShadeTimes;
      case Cheat::kShadeDeadline: return world.job(id).deadline_ms != kNever ? kShadeTimes : 1;
      case Cheat::kShadePatient: return world.job(id).deadline_ms == kNever ? kShadeTimes : 1;
      case Cheat::kExhaust: return world.now_ms() / (24 * kHourMs) % 2 == 1 ? 10 : 1;
      default: return 1;
    }
  }

  bool IsCountedTruly(const World& world, JobId id) const override {
    return CountsTruly() && Cheats(world.job(id).tenant);
  }
  bool CountsTruly() const override { return cheat_ == Cheat::kShadeUnseen; }

  std::uint64_t NameOf(const World& world, JobId id) const override {
    const std::size_t tenant = world.job(id).tenant;
    return cheat_ == Cheat::kFalseNames && Cheats(tenant) ? kSecondName + id % kNames : tenant;
  }

  bool HoldsBack(const World& world, JobId id, bool is_falling) const override {
    return cheat_ == Cheat::kSnipe && Cheats(world.job(id).tenant) && !is_falling &&
           world.now_ms() - world.job(id).arrival_ms < kSnipeMs;
  }

  std::vector<Spoof> Spoofs(const World& world, const std::array<std::int64_t, kClasses>& prices) const override {
    std::vector<Spoof> spoofs;
    if (cheat_ != Cheat::kSpoof && cheat_ != Cheat::kShill) return spoofs;
    for (std::size_t c = 0; c < kClasses; ++c) {
      const bool is_shill = cheat_ == Cheat::kShill;
      const std::uint64_t units = is_shill ? std::min<std::uint64_t>(4000, world.held_milli(cheaters_.front(), c))
                                           : world.pool(c).capacity_milli() / 20;
      const std::int64_t price = is_shill ? prices[c] + prices[c] / 5 : prices[c] + prices[c] / 20;
      for (std::uint64_t i = 0; i + 1 <= std::max<std::uint64_t>(units / 1000, is_shill ? 0 : 1); ++i) {
        spoofs.push_back({cheaters_.front(), kSecondName, c, 1000, price});
      }
    }
    return spoofs;
  }

  bool Hoards(std::size_t tenant) const override { return cheat_ == Cheat::kHoard && Cheats(tenant); }

  // Said to be 1.3 of what it is and paid back for 0.3 of that: the same money, times reputations. A receipt an hour,
  // all bad against all good: the 5 % quantiles of Beta(1, 1 + n) and Beta(1 + n, 1).
  double IncomeTimes(std::size_t tenant, std::int64_t now_ms) const override {
    if (cheat_ != Cheat::kOverAdvertise || !Cheats(tenant)) return 1;
    const double receipts = 1 + static_cast<double>(now_ms) / kHourMs;
    return (1 - std::pow(0.95, 1 / receipts)) / std::pow(0.05, 1 / receipts);
  }

 private:
  bool Cheats(std::size_t tenant) const {
    return std::find(cheaters_.begin(), cheaters_.end(), tenant) != cheaters_.end();
  }

  const Cheat cheat_;
  const std::vector<std::size_t> cheaters_;
};

}  // namespace

JobWorkload CheatWorkload(const JobWorkload& workload, std::uint64_t seed) {
  return Sample(workload, kJobs, kCheatGpus, kLoad, seed);
}

std::vector<std::size_t> CheatersOf(const JobWorkload& workload, Cheat cheat, std::uint64_t seed) {
  std::vector<std::size_t> counts(workload.tenants.size(), 0);
  for (const JobSpec& job : workload.jobs) ++counts[job.tenant];
  std::vector<std::size_t> large;  // with enough jobs that a gain is one of its doing
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] * 33 >= workload.jobs.size()) large.push_back(i);
  }
  std::vector<std::size_t> cheaters;
  const std::size_t count = cheat == Cheat::kCollusion ? std::min<std::size_t>(3, large.size()) : 1;
  for (std::size_t i = 0; i < count && !large.empty(); ++i) cheaters.push_back(large[(seed + i) % large.size()]);
  return cheaters;
}

Result<CheatRun> RunCheat(const JobWorkload& workload, Cheat cheat, const ValueRules& values, std::uint64_t seed,
                          const MarketRules& rules) {
  const std::vector<Job> jobs = Draw(workload, values, seed);
  const std::vector<double> quotas = QuotasOf(workload);
  World world(jobs, kCheatGpus, workload.tenants.size(), {});
  const Script script(cheat, CheatersOf(workload, cheat, seed));
  MarketPolicy policy(world, quotas, rules, seed, &script);
  const std::vector<std::size_t> shaders = CheatersOf(workload, Cheat::kShade, seed);
  OneEpochGain one_epoch(shaders.empty() ? 0 : shaders.front(), kShadeTimes);
  if (cheat == Cheat::kHonest) {
    policy.set_witness([&](const auto& input, const auto& outcome) { one_epoch.See(input, outcome); });
  }
  std::vector<double> utility;
  for (std::size_t i = 0; i < workload.tenants.size(); ++i) {
    utility.push_back(-static_cast<double>(policy.accounts().tenant(i)) / 1e6);
  }
  ACCELMESH_RETURN_IF_ERROR(world.RunUntil(policy, jobs.back().arrival_ms));
  ACCELMESH_RETURN_IF_ERROR(policy.status());
  ACCELMESH_RETURN_IF_ERROR(one_epoch.status());
  for (std::size_t i = 0; i < workload.tenants.size(); ++i) {
    utility[i] += static_cast<double>(policy.accounts().tenant(i) + policy.Prepaid(world, i)) / 1e6;
  }
  for (JobId id = 0; id < jobs.size(); ++id) {
    const Phase phase = world.state(id).phase;
    if (phase == Phase::kEnded) {
      utility[jobs[id].tenant] += jobs[id].value;
    } else if (phase == Phase::kRunning || phase == Phase::kWaiting) {
      utility[jobs[id].tenant] += jobs[id].value * (1 - world.Left(id));
    }
  }
  const MarketFigures figures = policy.figures();
  ACCELMESH_RETURN_IF_ERROR(CheckFigures(figures));
  return CheatRun{std::move(utility),    figures.resold_within_hour, figures.resales,
                  figures.longest_chain, figures.budget_error,       figures.epochs,
                  one_epoch.honest(),    one_epoch.change()};
}

}  // namespace accelmesh::sim
