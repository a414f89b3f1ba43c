#include "tools/mesh_sim/market/compare.h"

#include <gtest/gtest.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tools/mesh_sim/market/bars.h"

namespace accelmesh::sim {
namespace {

namespace fs = std::filesystem;

class CompareTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("accelmesh-compare-" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    workload_ = Sample(MakePhillyTwin(1), 150, {16, 16, 32}, 1.2, 3);
    plan_.policies = {"static", "lending", "market"};
    plan_.loads = {64, 96};
    plan_.variants = {{"main", {}}};
    plan_.seeds = 6;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string At(const char* name) const { return (folder_ / name).string(); }
  // All but the time that runs took.
  static std::map<std::string, std::string> Without(const Results& results) {
    std::map<std::string, std::string> texts;
    for (auto [key, measures] : results) {
      measures.seconds = measures.cpu_seconds = 0;
      texts[key.policy + std::to_string(key.gpus) + "-" + std::to_string(key.seed)] = JsonOf(measures);
    }
    return texts;
  }

  fs::path folder_;
  JobWorkload workload_;
  Plan plan_;
};

TEST_F(CompareTest, ThreadsDoNotChangeResults) {
  plan_.seeds = 2;
  const Result<Results> one = RunPlan(plan_, workload_, At("one"), nullptr);
  plan_.threads = 3;
  const Result<Results> three = RunPlan(plan_, workload_, At("three"), nullptr);
  ASSERT_TRUE(one.ok() && three.ok());
  EXPECT_EQ(one->size(), 12U);
  EXPECT_EQ(Without(*one), Without(*three));
}

TEST_F(CompareTest, ARunThatIsKilledGoesOn) {
  const Result<Results> whole = RunPlan(plan_, workload_, At("whole"), nullptr);
  ASSERT_TRUE(whole.ok());
  const pid_t child = ::fork();
  if (child == 0) {
    plan_.threads = 1;
    const Result<Results> results = RunPlan(plan_, workload_, At("killed"), nullptr);
    ::_exit(results.ok() ? 0 : 1);
  }
  ASSERT_GT(child, 0);
  const auto count = [&] {
    std::size_t files = 0;
    std::error_code error;
    for (const auto& file : fs::directory_iterator(folder_ / "killed" / "runs", error)) {
      files += file.path().extension() == ".json" ? 1 : 0;
    }
    return files;
  };
  for (int i = 0; i < 10000 && count() < 5; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  const std::size_t before = count();
  ASSERT_GE(before, 5U);
  // And one file as a crash of the machine may leave it.
  const fs::path torn = folder_ / "killed" / "runs" / "main-64-market-1.json";
  std::ofstream(torn) << "{\"utilisation\": 0.";
  std::size_t ran = 0;
  const Result<Results> resumed =
      RunPlan(plan_, workload_, At("killed"), [&](std::size_t, std::size_t, const std::string& last) {
        if (last.find(".json") != std::string::npos) ++ran;
      });
  ASSERT_TRUE(resumed.ok()) << resumed.status().ToString();
  EXPECT_EQ(Without(*resumed), Without(*whole));
  EXPECT_GE(ran, 36 - before);
  EXPECT_LE(ran, 36 - before + 1);
}

TEST_F(CompareTest, AFolderOfAnotherWorkloadIsNotAddedTo) {
  plan_.seeds = 1;
  ASSERT_TRUE(RunPlan(plan_, workload_, At("mine"), nullptr).ok());
  JobWorkload other = workload_;
  other.jobs.pop_back();
  const Result<Results> refused = RunPlan(plan_, other, At("mine"), nullptr);
  EXPECT_EQ(refused.status().code(), Code::kInvalidArgument);
  EXPECT_NE(refused.status().text().find("another folder"), std::string::npos);
  plan_.loads = {8};
  EXPECT_EQ(RunPlan(plan_, other, At("few"), nullptr).status().code(), Code::kInvalidArgument);
  plan_.policies = {"best"};
  EXPECT_EQ(RunPlan(plan_, workload_, At("mine"), nullptr).status().code(), Code::kInvalidArgument);
}

TEST_F(CompareTest, ReportsAndFiguresSayWhatTheFilesSay) {
  plan_.seeds = 2;
  Results results;
  for (const std::string& policy : plan_.policies) {
    for (const std::uint32_t gpus : plan_.loads) {
      for (std::uint64_t seed = 1; seed <= 2; ++seed) {
        Measures measures;
        measures.wait_mean = policy == "market" ? 2 : 5 + static_cast<double>(seed);
        measures.welfare = gpus == 64 ? (policy == "market" ? 0.9 : 0.8) : 0.9;
        measures.tenant_completion = {policy == "static" ? 4.0 : 2.0, 0};
        results.emplace(ResultKey{"main", gpus, policy, seed}, measures);
      }
    }
  }
  const std::string report = ReportOf(plan_, workload_, results);
  EXPECT_NE(report.find("| lending | 6.50 ± 6.35 |"), std::string::npos) << report;
  EXPECT_NE(
      report.find("| main | 64 | -4.50 ± 6.35 | 10.000 ± 0.000 | 0.0 ± 0.0 | wait no different, welfare higher |"),
      std::string::npos)
      << report;
  EXPECT_NE(report.find(" 0.50 ± 0.00 | 0.50 ± 0.00 |\n"), std::string::npos) << report;  // finish-time ratio
  // Wins and losses come first, and are said where the interval leaves no doubt only.
  EXPECT_NE(report.find("**64 GPUs: beats quota + lending in welfare, not in mean wait.**"), std::string::npos);
  EXPECT_NE(report.find("* against lending: **better** welfare +10.00 ± 0.00 points; **worse** in nothing; nothing to "
                        "see in: mean wait,"),
            std::string::npos)
      << report;
  EXPECT_NE(report.find("**96 GPUs: does NOT beat quota + lending.**"), std::string::npos);
  EXPECT_LT(report.find("wins and loses"), report.find("| policy |"));
  EXPECT_NE(report.find("greatest of 0 epochs in 4 market runs, 0 microcredits"), std::string::npos);
  const std::string csv = CsvOf(results);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 13);
  const auto figures = FiguresOf(plan_, workload_, results);
  EXPECT_EQ(figures.front().first, "measures");
  EXPECT_NE(figures.front().second.find("64 GPUs"), std::string::npos);
  EXPECT_EQ(figures.size(), 1U);  // no prices in these results
  for (auto& [key, measures] : results) {
    if (key.policy != "market") continue;
    measures.market["price_mean_0"] = measures.market["price_mean_2"] = 1;
    measures.price_track = {{0.1, 0.2, 0.3}, {1, 2, 2.9}};
  }
  const auto with_prices = FiguresOf(plan_, workload_, results);
  ASSERT_EQ(with_prices.size(), 2U);
  EXPECT_EQ(with_prices.back().first, "prices");
  EXPECT_NE(with_prices.back().second.find("K80"), std::string::npos);
}

TEST(BarsTest, BarsStandWhereTheAxisSays) {
  BarChart chart;
  chart.groups = {"g"};
  chart.names = {"a", "b"};
  chart.bars = {{{5, 1}, {10, 0}}};
  FitAxis(chart);
  EXPECT_EQ(chart.y_max, 10);
  const std::string svg = SvgOf(chart);
  // The area is 355 high from 40: half of it for 5, all of it for 10.
  EXPECT_NE(svg.find("y=\"217.50\" width=\"230.58\" height=\"177.50\""), std::string::npos) << svg;
  EXPECT_NE(svg.find("y=\"40.00\" width=\"230.58\" height=\"355.00\""), std::string::npos) << svg;
  chart.is_logarithmic = true;
  chart.bars = {{{0, 0}, {30, 0}}};
  FitAxis(chart);
  EXPECT_EQ(chart.y_min, 10);
  EXPECT_EQ(chart.y_max, 100);
}

TEST(MeasuresTest, AFileComesBackAndNoPrefixOfItDoes) {
  Measures measures;
  measures.wait_mean = 1.0 / 3;
  measures.tenant_completion = {1, 2.5};
  measures.market["resales"] = 7;
  measures.price_track = {{0.01, 0.5, 1.0 / 3}, {0, 2, 4}};
  const std::string text = JsonOf(measures);
  const std::optional<Measures> back = MeasuresOf(text);
  ASSERT_TRUE(back);
  EXPECT_EQ(JsonOf(*back), text);
  for (std::size_t i = 0; i + 2 < text.size(); ++i) EXPECT_FALSE(MeasuresOf(text.substr(0, i))) << i;
}

TEST(MeasuresTest, PercentilesAndJain) {
  std::vector<double> values;
  for (int i = 100; i >= 1; --i) values.push_back(i);
  EXPECT_EQ(Percentile(values, 0.95), 95);
  EXPECT_EQ(Percentile(values, 0.99), 99);
  EXPECT_EQ(Percentile(values, 0), 1);
  EXPECT_DOUBLE_EQ(JainOf({3, 3, 3}), 1);
  EXPECT_DOUBLE_EQ(JainOf({1, 0, 0, 0}), 0.25);
  EXPECT_DOUBLE_EQ(JainOf({1, 2}), 0.9);
}

}  // namespace
}  // namespace accelmesh::sim
