#include "tools/mesh_sim/market/jobs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tools/mesh_sim/market/philly.h"

namespace accelmesh::sim {
namespace {

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// The whole twin's marginals are those of the trace (15 tenants, 15,264 jobs, 4,784 gangs, 796,039 V100-hours).
TEST(TwinTest, HasTheTracesMarginals) {
  const JobWorkload twin = MakePhillyTwin(1);
  EXPECT_EQ(twin.tenants.size(), 15U);
  ASSERT_EQ(twin.jobs.size(), 15264U);
  std::map<std::uint32_t, int> sizes;
  std::vector<double> runtimes;
  std::vector<double> of_eights;
  double hours = 0;
  int recommended = 0;
  for (const JobSpec& job : twin.jobs) {
    ++sizes[job.gpus];
    hours += job.hours[2] * job.gpus;
    runtimes.push_back(job.hours[2]);
    if (job.gpus == 8) of_eights.push_back(job.hours[2]);
    if (job.hours[1] < job.hours[2] / 1.9 && job.hours[1] > 0) ++recommended;
    EXPECT_GE(job.arrival_ms, 0);
  }
  EXPECT_EQ(sizes[1], 10480);
  EXPECT_EQ(sizes[4], 2044);
  EXPECT_EQ(sizes[8], 1916);
  EXPECT_NEAR(hours, 796039, 10);
  EXPECT_NEAR(Median(runtimes), 2.45, 0.6);
  EXPECT_NEAR(std::log2(Median(of_eights) / 1.85), 0, 1.2);  // the coarsest of its fits
  // Five of 26 types are about twice as fast on a P100.
  EXPECT_NEAR(recommended / 15264.0, 5.0 / 26, 0.02);
  EXPECT_NEAR(static_cast<double>(twin.jobs.back().arrival_ms) / 86'400'000, 125.2, 0.1);
  EXPECT_TRUE(std::is_sorted(twin.jobs.begin(), twin.jobs.end(),
                             [](const JobSpec& a, const JobSpec& b) { return a.arrival_ms < b.arrival_ms; }));
  const std::vector<double> quotas = QuotasOf(twin);
  EXPECT_NEAR(quotas[6], 173534.0 / 796039, 1e-3);
}

TEST(TwinTest, OneSeedOneTwin) {
  const JobWorkload one = MakePhillyTwin(1);
  const JobWorkload same = MakePhillyTwin(1);
  const JobWorkload other = MakePhillyTwin(2);
  EXPECT_EQ(one.jobs[100].hours, same.jobs[100].hours);
  EXPECT_NE(one.jobs[100].hours, other.jobs[100].hours);
}

TEST(DrawTest, ValuesAndDeadlinesAreWhatTheModelSays) {
  const JobWorkload twin = MakePhillyTwin(1);
  std::vector<double> logs;
  std::vector<double> slacks;
  std::size_t count = 0;
  for (std::uint64_t seed = 1; seed <= 40;
       ++seed) {  // many, because half of the variance is the tenants', and 15 they are
    for (const Job& job : Draw(twin, {}, seed)) {
      logs.push_back(std::log(job.value / job.reference_hours()));
      ++count;
      if (job.deadline_ms == kNever) continue;
      slacks.push_back(static_cast<double>(job.deadline_ms - job.arrival_ms) / kHourMs / job.best_hours);
    }
  }
  double mean = 0, squares = 0;
  for (const double one : logs) mean += one / static_cast<double>(logs.size());
  for (const double one : logs) squares += (one - mean) * (one - mean) / static_cast<double>(logs.size());
  EXPECT_NEAR(mean, 0, 0.15);
  EXPECT_NEAR(std::sqrt(squares), 1, 0.1);
  EXPECT_NEAR(static_cast<double>(slacks.size()) / static_cast<double>(count), 0.3, 0.01);
  EXPECT_NEAR(Median(slacks), 3.25, 0.05);
  EXPECT_GE(*std::min_element(slacks.begin(), slacks.end()), 1.5);
}

TEST(DrawTest, SeedsMoveArrivalsByAtMostTheJitterAndSigmaScalesTheSameDraw) {
  JobWorkload workload{"w", {"t"}, {}};
  JobSpec spec;
  spec.arrival_ms = 10 * kHourMs;
  spec.hours = {0, 0, 2};
  workload.jobs = {spec};
  ValueRules twice;
  twice.sigma = 2;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const Job job = Draw(workload, {}, seed).front();
    EXPECT_GE(job.arrival_ms, 10 * kHourMs);
    EXPECT_LT(job.arrival_ms, 11 * kHourMs);
    const Job wide = Draw(workload, twice, seed).front();
    EXPECT_NEAR(std::log(wide.value / 2), 2 * std::log(job.value / 2), 1e-9);
    EXPECT_EQ(wide.deadline_ms, job.deadline_ms);
  }
  ValueRules none;
  none.deadline_part = 0;
  EXPECT_EQ(Draw(workload, none, 1).front().deadline_ms, kNever);
}

TEST(SampleTest, ArrivesAtTheLoadThatWasAskedFor) {
  const JobWorkload sample = Sample(MakePhillyTwin(1), 2000, {16, 16, 32}, 1.2, 4);
  ASSERT_EQ(sample.jobs.size(), 2000U);
  double hours = 0;
  for (const JobSpec& job : sample.jobs) {
    hours += job.hours[2] * job.gpus;
    EXPECT_LE(job.gpus, 16U);
  }
  // Reference GPUs in use if all were served: more than the 32 V100s alone, less than all 64 as V100s times the load.
  const double offered = hours / (static_cast<double>(sample.jobs.back().arrival_ms) / kHourMs);
  EXPECT_GT(offered, 32 * 1.2);
  EXPECT_LT(offered, 64 * 1.2 * 1.2);
}

TEST(OpenbTwinTest, HasFractions) {
  const JobWorkload twin = MakeOpenbTwin(1);
  std::size_t shares = 0, gangs = 0;
  for (const JobSpec& job : twin.jobs) {
    shares += job.share_milli < 1000 ? 1 : 0;
    gangs += job.gpus > 1 ? 1 : 0;
  }
  EXPECT_EQ(twin.jobs.size(), 7064U);
  EXPECT_EQ(shares, 3078U);
  EXPECT_EQ(gangs, 75U);
}

// JSON with ` for ".
std::string Json(std::string text) {
  std::replace(text.begin(), text.end(), '`', '"');
  return text;
}

std::string Rates() {
  return Json(
      "{`k80`: {`('A', 1)`: {`null`: 1.0}, `('A', 4)`: {`null`: 2.0}}, `p100`: {`('A', 1)`: {`null`: 2.0}},"
      " `v100`: {`('A', 1)`: {`null`: 4.0, `('A', 1)`: [1, 1]}, `('A', 4)`: {`null`: 10}}}");
}

TEST(PhillyTest, ReadsThroughputsAndJobs) {
  const Result<Throughputs> rates = ParseThroughputs(Rates(), "rates");
  ASSERT_TRUE(rates.ok()) << rates.status().ToString();
  EXPECT_EQ(rates->Of("A", 1), (ByClass{1, 2, 4}));
  EXPECT_EQ(rates->Of("A", 4), (ByClass{2, 0, 10}));
  EXPECT_EQ(rates->Of("A", 3), (ByClass{3, 6, 12}));  // not in the table: scale 1 times the factor
  EXPECT_EQ(rates->Of("B", 1), (ByClass{0, 0, 0}));
  JobWorkload workload;
  std::map<std::pair<std::string, std::uint32_t>, std::uint32_t> kinds;
  ASSERT_TRUE(ParsePhillyTenant("A\t14400\t0.000000\t1\nA\t36000\t60.5\t4\n", "t", *rates, kinds, workload).ok());
  ASSERT_EQ(workload.jobs.size(), 2U);
  EXPECT_EQ(workload.jobs[0].hours, (ByClass{4, 2, 1}));
  EXPECT_EQ(workload.jobs[1].hours, (ByClass{5, 0, 1}));
  EXPECT_EQ(workload.jobs[1].arrival_ms, 60500);
  EXPECT_NE(workload.jobs[0].kind, workload.jobs[1].kind);
}

TEST(PhillyTest, BadFilesAreNamed) {
  for (const char* text : {"[]", "{`k80`: {}, `p100`: {}}", "{`k80`: {`A`: {`null`: 1}}, `p100`: {}, `v100`: {}}",
                           "{`k80`: {`('A', 1)`: {`null`: -1}}, `p100`: {}, `v100`: {}}",
                           "{`k80`: {`('A', 1)`: 3}, `p100`: {}, `v100`: {}}",
                           "{`k80`: {`('A', 0)`: {`null`: 1}}, `p100`: {}, `v100`: {}}"}) {
    EXPECT_EQ(ParseThroughputs(Json(text), "rates").status().code(), Code::kInvalidArgument) << text;
  }
  const Result<Throughputs> rates = ParseThroughputs(Rates(), "rates");
  ASSERT_TRUE(rates.ok());
  for (const char* line :
       {"A\t1\t0", "A\tx\t0\t1", "A\t1\t-1\t1", "A\t1\t0\t0", "A\tinf\t0\t1", "B\t1\t0\t1", "A\t1\tnan\t1"}) {
    JobWorkload workload;
    std::map<std::pair<std::string, std::uint32_t>, std::uint32_t> kinds;
    const Status status = ParsePhillyTenant(line, "t", *rates, kinds, workload);
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << line;
    EXPECT_NE(status.text().find("t:1"), std::string::npos) << line;
  }
  EXPECT_EQ(ReadPhilly("/nonexistent").status().code(), Code::kNotFound);
}

TEST(PhillyTest, ReadsTarArchives) {
  std::string tar(512, '\0');
  const std::string name = "folder/a.tsv";
  std::copy(name.begin(), name.end(), tar.begin());
  const std::string size = "00000000005";
  std::copy(size.begin(), size.end(), tar.begin() + 124);
  tar[156] = '0';
  const std::string magic = "ustar";
  std::copy(magic.begin(), magic.end(), tar.begin() + 257);
  tar += "hello" + std::string(507, '\0') + std::string(1024, '\0');
  const auto files = FilesOfTar(tar, "tar");
  ASSERT_TRUE(files.ok()) << files.status().ToString();
  ASSERT_EQ(files->size(), 1U);
  EXPECT_EQ(files->front().first, "a.tsv");
  EXPECT_EQ(files->front().second, "hello");
  EXPECT_FALSE(FilesOfTar(tar.substr(0, 514), "tar").ok());  // cut short
  EXPECT_FALSE(FilesOfTar(std::string(1024, 'x'), "tar").ok());
}

}  // namespace
}  // namespace accelmesh::sim
