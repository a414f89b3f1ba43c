#include "tools/mesh_sim/market/oracle.h"

#include <Cbc_C_Interface.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "market/auction/epoch.h"
#include "tools/mesh_sim/workload.h"

namespace accelmesh::sim {
namespace {

bool Accepts(const Job& job, std::size_t c) {
  return job.hours[c] > 0 && job.hours[c] <= kAcceptedSlowness * job.best_hours;
}

// An integer program: maximise, rows at most their bound, columns from 0 to theirs.
class Program {
 public:
  int AddRow(double most) {
    most_.push_back(most);
    return static_cast<int>(most_.size()) - 1;
  }
  void AddColumn(double gain, double upper, bool is_integer, const std::vector<std::pair<int, double>>& entries) {
    starts_.push_back(static_cast<CoinBigIndex>(rows_.size()));
    for (const auto& [row, value] : entries) {
      rows_.push_back(row);
      values_.push_back(value);
    }
    gains_.push_back(gain);
    upper_.push_back(upper);
    if (is_integer) integers_.push_back(static_cast<int>(gains_.size()) - 1);
  }
  Result<Best> Solve(const char* where, double seconds_max) {
    if (gains_.empty()) return Best{0, 0, true};
    starts_.push_back(static_cast<CoinBigIndex>(rows_.size()));
    const std::vector<double> lower(gains_.size(), 0.0);
    const std::vector<double> least(most_.size(), -1e30);
    Cbc_Model* const model = Cbc_newModel();
    Cbc_loadProblem(model, static_cast<int>(gains_.size()), static_cast<int>(most_.size()), starts_.data(),
                    rows_.data(), values_.data(), lower.data(), upper_.data(), gains_.data(), least.data(),
                    most_.data());
    for (const int column : integers_) Cbc_setInteger(model, column);
    Cbc_setObjSense(model, -1);
    Cbc_setParameter(model, "log", "0");
    Cbc_setParameter(model, "seconds", std::to_string(seconds_max).c_str());
    Cbc_solve(model);
    Best best;
    best.is_proven = Cbc_isProvenOptimal(model) != 0;
    best.value = Cbc_getObjValue(model);
    best.bound = best.is_proven ? best.value : Cbc_getBestPossibleObjValue(model);
    Cbc_deleteModel(model);
    // Without a solution CBC names a number that stands for none.
    if (!(best.value < 1e30) || !(best.bound < 1e30) || best.bound < best.value - 1e-6 * std::abs(best.value)) {
      return Status(Code::kUnavailable, where, "CBC found nothing in time; take a smaller case");
    }
    return best;
  }

 private:
  std::vector<double> most_, gains_, upper_, values_;
  std::vector<CoinBigIndex> starts_;
  std::vector<int> rows_, integers_;
};

}  // namespace

Result<double> BestValue(const std::vector<Job>& jobs, const Gpus& gpus, double seconds_max) {
  double without = 0;
  std::vector<const Job*> with;
  std::vector<std::int64_t> cuts;
  for (const Job& job : jobs) {
    if (job.deadline_ms == kNever) {
      without += job.value;
      continue;
    }
    with.push_back(&job);
    cuts.push_back(job.arrival_ms);
    cuts.push_back(job.deadline_ms);
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  Program program;
  std::vector<std::array<int, kClasses>> rooms;  // GPU-hours of a class in an interval
  for (std::size_t k = 0; k + 1 < cuts.size(); ++k) {
    const double hours = static_cast<double>(cuts[k + 1] - cuts[k]) / kHourMs;
    std::array<int, kClasses> room{};
    for (std::size_t c = 0; c < kClasses; ++c) room[c] = program.AddRow(gpus[c] * hours);
    rooms.push_back(room);
  }
  for (const Job* job : with) {
    // Ends only if its work is done: 1 x ends - sum of (hours run / hours it takes) <= 0.
    const int done = program.AddRow(0);
    program.AddColumn(job->value, 1, true, {{done, 1}});
    const double units = static_cast<double>(job->units_milli()) / 1000;
    for (std::size_t k = 0; k + 1 < cuts.size(); ++k) {
      if (cuts[k] < job->arrival_ms || cuts[k + 1] > job->deadline_ms) continue;
      const double hours = static_cast<double>(cuts[k + 1] - cuts[k]) / kHourMs;
      const int time = program.AddRow(hours);  // it is in one place at a time
      for (std::size_t c = 0; c < kClasses; ++c) {
        if (!Accepts(*job, c) || job->gpus > gpus[c]) continue;
        program.AddColumn(0, hours, false, {{rooms[k][c], units}, {done, -1 / job->hours[c]}, {time, 1}});
      }
    }
  }
  ACCELMESH_ASSIGN_OR_RETURN(const Best best, program.Solve("BestValue", seconds_max));
  if (!best.is_proven) {
    return Status(Code::kUnavailable, "BestValue", "CBC did not prove the best in time; take a smaller case");
  }
  return without + best.value;
}

Result<Best> BestHolders(const std::vector<Claimant>& claimants, const Gpus& gpus, double seconds_max) {
  Program program;
  std::array<int, kClasses> rooms{};
  for (std::size_t c = 0; c < kClasses; ++c) rooms[c] = program.AddRow(gpus[c]);
  for (const Claimant& claimant : claimants) {
    const int once = program.AddRow(1);
    for (std::size_t c = 0; c < kClasses; ++c) {
      if (claimant.value_rate[c] <= 0) continue;
      program.AddColumn(claimant.value_rate[c], 1, true,
                        {{rooms[c], static_cast<double>(claimant.units_milli) / 1000}, {once, 1}});
    }
  }
  return program.Solve("BestHolders", seconds_max);
}

namespace {

constexpr std::int64_t kFloor = 10'000;
constexpr double kSecondsMax = 20;

struct Party {
  Job job;
  std::size_t slot_class = kClasses;  // of a holder; kClasses: it bids
};

double RateOn(const Job& job, std::size_t c) { return Accepts(job, c) ? job.value / job.hours[c] : 0; }

// One case: its devices, and who may have some.
struct Scene {
  Gpus gpus{};
  bool has_gangs = true;
  std::size_t bidders = 0;
};

// Half of the devices let to jobs of the workload, and those who want some, one tenant each.
std::vector<Party> DrawParties(const std::vector<Job>& jobs, const Scene& scene, std::mt19937_64& random) {
  std::vector<Party> parties;
  const auto draw = [&] {
    while (true) {
      const Job& job = jobs[Below(random, jobs.size())];
      if (job.gpus <= (scene.has_gangs ? 8U : 1U)) return job;
    }
  };
  std::array<std::uint32_t, kClasses> let{};
  for (std::uint32_t tries = 0; tries < 20 * scene.gpus[0]; ++tries) {
    const Job job = draw();
    const std::size_t c = Below(random, kClasses);
    if (!Accepts(job, c) || let[c] + job.gpus > scene.gpus[c] / 2) continue;
    let[c] += job.gpus;
    parties.push_back({job, c});
  }
  for (std::size_t i = 0; i < scene.bidders; ++i) parties.push_back({draw(), kClasses});
  return parties;
}

// The class that leaves it the largest surplus at these prices; kClasses: none that it can pay.
std::size_t ChoiceOf(const Job& job, const std::array<double, kClasses>& prices) {
  std::size_t best = kClasses;
  double most = 0;
  const double gpus = static_cast<double>(job.units_milli()) / 1000;
  for (std::size_t c = 0; c < kClasses; ++c) {
    const double rate = RateOn(job, c);
    if (rate <= 0 || rate < prices[c] * gpus) continue;
    const double surplus = job.value - prices[c] * gpus * job.hours[c];
    if (best == kClasses || surplus > most) {
      best = c;
      most = surplus;
    }
  }
  return best;
}

// Where the market's surrogate rule comes to rest with these holders and bidders.
std::array<std::int64_t, kClasses> PricesOf(const std::vector<Party>& parties, const Gpus& gpus) {
  std::array<double, kClasses> prices;
  prices.fill(kFloor * 1e-6);
  for (int step = 0; step < 500; ++step) {
    ByClass demand{};
    for (const auto& [job, slot_class] : parties) {
      if (slot_class == kClasses) {
        if (const std::size_t c = ChoiceOf(job, prices); c != kClasses) demand[c] += job.gpus;
      } else if (RateOn(job, slot_class) >= prices[slot_class] * job.gpus) {
        demand[slot_class] += job.gpus;
      }
    }
    for (std::size_t c = 0; c < kClasses; ++c) {
      prices[c] = std::max(kFloor * 1e-6, prices[c] * std::clamp(1 + 0.125 * (demand[c] / gpus[c] - 1), 0.875, 1.125));
    }
  }
  std::array<std::int64_t, kClasses> fixed{};
  for (std::size_t c = 0; c < kClasses; ++c) fixed[c] = static_cast<std::int64_t>(prices[c] * 1e6);
  return fixed;
}

market::auction::EpochInput InputOf(const std::vector<Party>& parties, const Gpus& gpus,
                                    const std::array<std::int64_t, kClasses>& prices, std::uint64_t seed) {
  namespace auction = market::auction;
  auction::EpochInput input;
  input.seed = seed;
  constexpr std::array<std::int64_t, kClasses> kWeights = {250, 800, 1000};
  std::array<std::uint32_t, kClasses> free = gpus;
  std::uint64_t id = 0;
  for (std::size_t i = 0; i < parties.size(); ++i) {
    const auto& [job, slot_class] = parties[i];
    ++id;
    const auto units = static_cast<std::int64_t>(job.units_milli());
    const double devices = static_cast<double>(units) / 1000;
    if (slot_class != kClasses) {
      free[slot_class] -= job.gpus;
      auction::Ask ask;
      ask.id = id;
      ask.owner = id;
      ask.slot_class = static_cast<std::uint32_t>(slot_class);
      ask.kind = auction::AskKind::kRelease;
      ask.is_divisible = false;
      ask.units_milli = units;
      ask.price_microcredits = static_cast<std::int64_t>(RateOn(job, slot_class) / devices * 1e6);
      ask.lease = id;
      input.asks.push_back(ask);
      continue;
    }
    if (job.gpus == 1) {
      std::array<double, kClasses> asked{};
      for (std::size_t c = 0; c < kClasses; ++c) asked[c] = static_cast<double>(prices[c]) / 1e6;
      const std::size_t best = ChoiceOf(job, asked);
      if (best == kClasses) continue;
      auction::Bid bid;
      bid.id = id;
      bid.owner = id;
      bid.slot_class = static_cast<std::uint32_t>(best);
      bid.is_divisible = false;
      bid.units_milli = units;
      bid.price_microcredits = static_cast<std::int64_t>(RateOn(job, best) * 1e6);
      input.bids.push_back(bid);
      continue;
    }
    auction::GangBid gang;
    gang.id = id;
    gang.owner = id;
    for (std::size_t c = 0; c < kClasses; ++c) {
      if (RateOn(job, c) <= 0) continue;
      gang.bundles.push_back(
          {{{static_cast<std::uint32_t>(c), units}}, static_cast<std::int64_t>(RateOn(job, c) * 1e6)});
    }
    input.gangs.push_back(gang);
  }
  for (std::size_t c = 0; c < kClasses; ++c) {
    auction::ClassInput of_class;
    of_class.id = static_cast<std::uint32_t>(c);
    of_class.reserve_microcredits = of_class.surrogate_microcredits = prices[c];
    of_class.weight_milli = kWeights[c];
    of_class.lot_milli = auction::kUnitMilli;
    input.classes.push_back(of_class);
    for (std::uint32_t i = 0; i < free[c]; ++i) {
      auction::Ask ask;
      ask.id = ++id;
      ask.owner = 1'000'000;
      ask.slot_class = static_cast<std::uint32_t>(c);
      ask.units_milli = auction::kUnitMilli;
      ask.price_microcredits = kFloor;
      input.asks.push_back(ask);
    }
  }
  return input;
}

}  // namespace

Result<EpochCase> RunEpochCase(const JobWorkload& workload, const ValueRules& rules, std::uint64_t seed,
                               const EpochSize& size) {
  std::mt19937_64 random(seed);
  const std::vector<Job> jobs = Draw(workload, rules, seed);
  EpochCase result;
  result.bidders = (20 + Below(random, 181)) * size.times;
  Scene scene{kCaseGpus, size.has_gangs, result.bidders};
  for (std::uint32_t& gpus : scene.gpus) gpus *= size.times;
  // Prices were fixed beforehand, with other jobs of the same kind.
  const std::array<std::int64_t, kClasses> prices = PricesOf(DrawParties(jobs, scene, random), scene.gpus);
  const std::vector<Party> parties = DrawParties(jobs, scene, random);
  const market::auction::EpochInput input = InputOf(parties, scene.gpus, prices, seed + 1);
  ACCELMESH_ASSIGN_OR_RETURN(const market::auction::EpochOutcome outcome, market::auction::ClearEpoch(input));
  // What lane B finds eligible where no gang asks for the class: with gangs lane C has the bids.
  market::auction::EpochInput alone = input;
  alone.gangs.clear();
  ACCELMESH_ASSIGN_OR_RETURN(const market::auction::EpochOutcome without, market::auction::ClearEpoch(alone));
  for (const auto& of_class : without.classes) {
    bool has_bids = false;
    for (const market::auction::Bid& bid : input.bids) has_bids |= bid.slot_class == of_class.id;
    if (!has_bids) continue;
    ++result.classes_bid;
    if (of_class.eligible_trades >= input.rules.eligible_trades_min) ++result.thick_classes;
  }
  std::vector<std::size_t> holds;  // class by party
  for (const Party& party : parties) holds.push_back(party.slot_class);
  for (const market::auction::Trade& trade : outcome.trades) {
    if (trade.ask <= parties.size()) holds[trade.ask - 1] = kClasses;
  }
  for (const market::auction::Trade& trade : outcome.trades) holds[trade.bid - 1] = trade.slot_class;
  std::vector<Claimant> claimants;
  for (std::size_t i = 0; i < parties.size(); ++i) {
    const auto& [job, slot_class] = parties[i];
    Claimant claimant;
    claimant.units_milli = static_cast<std::int64_t>(job.units_milli());
    for (std::size_t c = 0; c < kClasses; ++c) {
      if (slot_class == kClasses || slot_class == c) claimant.value_rate[c] = RateOn(job, c);
    }
    claimants.push_back(claimant);
    if (holds[i] != kClasses) result.value += RateOn(job, holds[i]);
  }
  ACCELMESH_ASSIGN_OR_RETURN(result.best, BestHolders(claimants, scene.gpus, kSecondsMax));
  return result;
}

}  // namespace accelmesh::sim
