// Agents that cheat, and what it gains them: the same market and seed with and without.
//
// Threads: runs share nothing but the workload.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/mesh_sim/market/one_epoch.h"
#include "tools/mesh_sim/market/runs.h"

namespace accelmesh::sim {

enum class Cheat : std::uint8_t {
  kHonest,
  kLie,
  kShade,
  kSnipe,
  kSpoof,
  kShill,
  kOverAdvertise,
  kExhaust,
  kHoard,
  kCollusion,
  kFalseNames,
  kShadeDeadline,  // causes of what shading gains
  kShadePatient,
  kShadeUnseen,
};
struct CheatName {
  Cheat cheat;
  std::string_view name;
  bool is_bounded;  // to 1 %; the others are published
};
inline constexpr CheatName kCheats[] = {{Cheat::kLie, "lie", true},
                                        {Cheat::kShade, "shade", true},
                                        {Cheat::kSnipe, "snipe", true},
                                        {Cheat::kSpoof, "spoof", true},
                                        {Cheat::kShill, "shill", true},
                                        {Cheat::kOverAdvertise, "over-advertise", true},
                                        {Cheat::kExhaust, "exhaust", true},
                                        {Cheat::kHoard, "hoard", true},
                                        {Cheat::kCollusion, "collusion", false},
                                        {Cheat::kFalseNames, "false names", false}};

// Parts of shading; shading where lane B is always an auction, or never; and among agents of another patience.
struct Cause {
  Cheat cheat;
  std::string_view name;
  std::uint32_t eligible_trades_min = 0;  // from which lane B is one; 0: as the market's rules have it
  double patience_runtimes = -1;          // -1: as the market's rules have it
};
inline constexpr Cause kCauses[] = {
    {Cheat::kShadeDeadline, "only jobs with deadline"},    {Cheat::kShadePatient, "only jobs without deadline"},
    {Cheat::kShadeUnseen, "unseen by the surrogate rule"}, {Cheat::kShade, "lane B always an auction", 1},
    {Cheat::kShade, "lane B never an auction", 1'000'000}, {Cheat::kShade, "all agents bid at once", 0, 0},
    {Cheat::kShade, "all agents half as patient", 0, 2.5}, {Cheat::kShade, "all agents twice as patient", 0, 10}};

// Of one seed.
struct CheatRun {
  std::vector<double> utility;  // credits by tenant
  std::uint64_t resold_within_hour = 0;
  std::uint64_t resales = 0;
  std::uint32_t longest_chain = 0;
  std::int64_t budget_error = 0;
  std::uint64_t epochs = 0;
  double one_epoch_honest = 0;  // of an honest run: OneEpochGain of whoever would shade
  std::array<double, kOrderKinds> one_epoch_change{};
};

// Jobs of a seed: 20 days of steady load on kCheatGpus.
inline constexpr Gpus kCheatGpus = {16, 16, 32};
JobWorkload CheatWorkload(const JobWorkload& workload, std::uint64_t seed);
// Who deviates in a seed; of a collusion all three.
std::vector<std::size_t> CheatersOf(const JobWorkload& workload, Cheat cheat, std::uint64_t seed);
Result<CheatRun> RunCheat(const JobWorkload& workload, Cheat cheat, const ValueRules& values, std::uint64_t seed,
                          const MarketRules& rules = {});

}  // namespace accelmesh::sim
