// The twin of Gavel's Philly traces: what was fitted to them, and jobs drawn from it. The numbers are marginals of
// stanford-futuredata/gavel (MIT): counts, quantiles and ratios, rounded.
#include <algorithm>
#include <cmath>

#include "tools/mesh_sim/market/jobs.h"
#include "tools/mesh_sim/workload.h"

namespace accelmesh::sim {
namespace {

struct Part {
  std::uint32_t count, gpus;
};

struct TenantFit {
  const char* name;
  std::uint32_t jobs, reference_hours, span_s, gap_median_s;
  std::array<double, 9> runtime_s;  // on a V100, at kProbabilities
  std::array<Part, 8> gangs;        // how many jobs of how many GPUs
};
constexpr std::array<double, 9> kProbabilities = {0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1};
constexpr TenantFit kTenants[] = {
    {"0e4a51",
     1181,
     92222,
     7363956,
     4,
     {3, 628, 11998, 70105, 192968, 398171, 565968, 952331, 1766590},
     {{{436, 1}, {226, 2}, {451, 4}, {68, 8}}}},
    {"103959",
     986,
     28379,
     7910536,
     1482,
     {14, 344, 3713, 25687, 47729, 99050, 138022, 254097, 1034866},
     {{{500, 1}, {40, 2}, {446, 4}}}},
    {"11cb48",
     2000,
     36013,
     8799232,
     374,
     {4, 171, 2601, 10346, 30485, 105060, 177520, 549300, 2461854},
     {{{1559, 1}, {81, 2}, {257, 4}, {23, 8}, {69, 16}, {2, 24}, {8, 32}, {1, 64}}}},
    {"23dbec", 9, 38, 188011, 7, {545, 545, 1974, 2282, 2748, 3293, 3293, 3293, 3293}, {{{2, 1}, {7, 8}}}},
    {"2869ce",
     533,
     18882,
     8141054,
     1236,
     {3, 42, 575, 3051, 28635, 49380, 66248, 134116, 483377},
     {{{65, 1}, {6, 2}, {11, 4}, {379, 8}, {2, 16}, {70, 32}}}},
    {"51b7ef",
     18,
     233,
     3022240,
     17495,
     {334, 334, 3237, 5690, 16995, 45239, 105298, 105298, 105298},
     {{{3, 1}, {2, 4}, {13, 8}}}},
    {"6214e9",
     2000,
     173534,
     4184082,
     7,
     {17, 132, 2763, 4625, 39699, 87825, 1551435, 5887569, 11337573},
     {{{1928, 1}, {27, 2}, {32, 4}, {13, 8}}}},
    {"6c71a0",
     2000,
     72907,
     2590914,
     6,
     {4, 247, 3673, 10875, 63245, 146192, 526336, 2517416, 4567756},
     {{{1798, 1}, {6, 2}, {41, 4}, {150, 8}, {4, 16}, {1, 32}}}},
    {"795a4c", 3, 5, 3362, 1681, {375, 375, 375, 2963, 14609, 14609, 14609, 14609, 14609}, {{{3, 1}}}},
    {"7f04ca",
     972,
     136415,
     10817570,
     243,
     {3, 194, 3449, 20979, 111064, 816165, 2589108, 3965092, 6302750},
     {{{394, 1}, {2, 2}, {234, 4}, {311, 8}, {24, 16}, {7, 32}}}},
    {"925e2b", 4, 169, 12313, 1752, {45, 45, 1665, 22851, 71582, 71582, 71582, 71582, 71582}, {{{1, 1}, {3, 8}}}},
    {"b436b2",
     2000,
     61985,
     2722420,
     3,
     {4, 58, 1589, 2384, 3667, 29040, 120129, 428707, 1510840},
     {{{1632, 1}, {23, 2}, {133, 4}, {172, 8}, {39, 16}, {1, 24}}}},
    {"e13805",
     607,
     25809,
     8468723,
     3826,
     {3, 131, 2030, 8746, 42345, 168018, 240298, 523979, 2212429},
     {{{233, 1}, {5, 2}, {116, 4}, {234, 8}, {6, 12}, {11, 16}, {2, 24}}}},
    {"ed69ec", 951, 30233, 6555771, 19, {18, 256, 2614, 13209, 92227, 146704, 201617, 3215571, 4684506}, {{{951, 1}}}},
    {"ee9e8c",
     2000,
     119216,
     4508448,
     342,
     {4, 181, 3324, 17534, 73440, 296305, 491831, 2217636, 3892944},
     {{{975, 1}, {47, 2}, {321, 4}, {2, 7}, {543, 8}, {106, 16}, {1, 20}, {5, 32}}}},
};

// Speed on a K80 and a P100 in thousandths of a V100's, at scale factors 1, 2, 4, 8; a row a type of job, all equally
// frequent. Zeros in both: as scale 1. A zero in one: does not run there.
struct Speeds {
  std::uint32_t k80, p100;
};
constexpr std::array<Speeds, 4> kTypes[] = {
    {{{479, 792}}},
    {{{114, 543}}},
    {{{291, 944}, {184, 445}, {354, 866}, {123, 208}}},
    {{{265, 899}, {180, 472}, {322, 845}, {124, 235}}},
    {{{254, 791}, {175, 525}, {239, 792}, {120, 285}}},
    {{{233, 832}, {174, 414}, {348, 870}, {110, 191}}},
    {{{214, 749}, {172, 548}, {219, 735}, {122, 359}}},
    {{{1509, 2315}}},
    {{{1398, 2222}}},
    {{{1357, 2278}}},
    {{{1409, 2096}}},
    {{{950, 1953}}},
    {{{100, 649}, {151, 1010}, {100, 648}, {84, 525}}},
    {{{148, 1109}, {87, 608}, {130, 762}, {70, 340}}},
    {{{86, 750}, {105, 896}, {123, 998}, {86, 662}}},
    {{{240, 1196}, {140, 610}, {196, 846}, {129, 418}}},
    {{{293, 926}, {169, 560}, {226, 785}, {167, 469}}},
    {{{139, 635}, {0, 682}, {0, 739}, {0, 965}}},
    {{{202, 794}, {310, 1168}, {332, 1328}, {542, 1610}}},
    {{{159, 628}, {217, 900}, {318, 1348}, {365, 1395}}},
    {{{141, 596}, {160, 696}, {255, 1097}, {264, 1053}}},
    {{{180, 564}, {165, 505}, {202, 619}, {170, 443}}},
    {{{494, 862}, {498, 1011}, {511, 1057}, {260, 405}}},
    {{{287, 1052}, {294, 1019}, {318, 1101}, {301, 952}}},
    {{{330, 741}, {382, 842}, {350, 796}, {217, 410}}},
    {{{203, 591}, {193, 497}, {256, 677}, {181, 402}}},
};

// Between the fitted quantiles the logarithm is linear.
double Quantile(const TenantFit& fit, double at) {
  std::size_t i = 1;
  while (i + 1 < kProbabilities.size() && kProbabilities[i] < at) ++i;
  const double part = (at - kProbabilities[i - 1]) / (kProbabilities[i] - kProbabilities[i - 1]);
  return std::exp(std::log(fit.runtime_s[i - 1]) * (1 - part) + std::log(fit.runtime_s[i]) * part);
}

Speeds SpeedsOf(std::size_t type, std::uint32_t gpus) {
  const std::size_t row = gpus == 2 ? 1 : gpus == 4 ? 2 : gpus == 8 ? 3 : 0;
  const Speeds speeds = kTypes[type][row];
  return speeds.k80 == 0 && speeds.p100 == 0 ? kTypes[type][0] : speeds;
}

void AddTenant(const TenantFit& fit, std::uint32_t tenant, std::mt19937_64& random, JobWorkload& workload) {
  const std::size_t first = workload.jobs.size();
  std::vector<std::uint32_t> gangs;
  for (const Part& part : fit.gangs) gangs.insert(gangs.end(), part.count, part.gpus);
  for (std::size_t i = gangs.size(); i > 1; --i) std::swap(gangs[i - 1], gangs[Below(random, i)]);
  double mean_log = 0;
  for (const std::uint32_t gpus : gangs) mean_log += std::log2(gpus) / static_cast<double>(gangs.size());
  // Gaps: log-normal with the fitted median, its spread from the fitted mean; then stretched to the fitted span.
  const double mean_gap = static_cast<double>(fit.span_s) / std::max(1u, fit.jobs - 1);
  const double spread = std::sqrt(2 * std::log(std::max(1.0, mean_gap / fit.gap_median_s)));
  double at = 0;
  double hours = 0;
  for (const std::uint32_t gpus : gangs) {
    JobSpec job;
    job.tenant = tenant;
    job.gpus = gpus;
    const std::size_t type = Below(random, std::size(kTypes));
    job.kind = static_cast<std::uint32_t>(type * 128 + gpus);
    // Gangs larger than the tenant's others run shorter.
    const double rank = std::pow(Uniform(random), std::max(0.3, 1 + 0.2 * (std::log2(gpus) - mean_log)));
    const double reference = Quantile(fit, rank) / 3600;
    const Speeds speeds = SpeedsOf(type, gpus);
    job.hours = {speeds.k80 == 0 ? 0 : reference * 1000 / speeds.k80,
                 speeds.p100 == 0 ? 0 : reference * 1000 / speeds.p100, reference};
    job.arrival_ms = static_cast<std::int64_t>(at * 1000);
    at += fit.gap_median_s * std::exp(spread * Normal(random));
    hours += reference * gpus;
    workload.jobs.push_back(job);
  }
  const double last = static_cast<double>(std::max<std::int64_t>(workload.jobs.back().arrival_ms, 1)) / 1000;
  for (std::size_t i = first; i < workload.jobs.size(); ++i) {
    JobSpec& job = workload.jobs[i];
    job.arrival_ms = static_cast<std::int64_t>(static_cast<double>(job.arrival_ms) * fit.span_s / last);
    for (double& one : job.hours) one *= fit.reference_hours / hours;
  }
}

}  // namespace

JobWorkload MakePhillyTwin(std::uint64_t seed) {
  JobWorkload workload{"twin", {}, {}};
  std::mt19937_64 random(seed);
  for (const TenantFit& fit : kTenants) {
    const auto tenant = static_cast<std::uint32_t>(workload.tenants.size());
    workload.tenants.emplace_back(fit.name);
    AddTenant(fit, tenant, random, workload);
  }
  SortByArrival(workload.jobs);
  return workload;
}

}  // namespace accelmesh::sim
