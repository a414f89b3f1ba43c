#include "server/measure/report.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "server/measure/cache.h"
#include "server/measure/duty.h"

namespace accelmesh::measure {
namespace {

Report Example() {
  Report report;
  report.identity = {"A processor", 2, "cpu", "A device", "00ff", {"libx 1 2", "liby 3 4"}};
  report.memory_bytes = 8ULL << 30;
  report.throughput = {{"matmul", "fp32", "library", {2e10, 1.9e10, 2.1e10}, "size 512"},
                       {"convolution", "fp64", "kernel", {3e8, 2e8, 4e8}, "size 8"}};
  report.memory_bytes_per_s = {1e10, 9e9, 1.1e10};
  report.launch_us = {12, 11, 13};
  report.missing = {"convolution int8: the library has no algorithm for it"};
  report.seconds = 3.5;
  report.measured_at_ms = 1'790'000'000'000;
  return report;
}

std::string Folder() {
  std::string folder = (std::filesystem::temp_directory_path() / "accelmesh-report-XXXXXX").string();
  EXPECT_NE(::mkdtemp(folder.data()), nullptr);
  return folder;
}

TEST(ReportTest, ComesBackAsItWas) {
  const Report report = Example();
  const Result<Report> read = ParseReport(ToJson(report));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->identity, report.identity);
  EXPECT_EQ(read->memory_bytes, report.memory_bytes);
  EXPECT_EQ(read->throughput, report.throughput);
  EXPECT_EQ(read->memory_bytes_per_s, report.memory_bytes_per_s);
  EXPECT_EQ(read->launch_us, report.launch_us);
  EXPECT_EQ(read->missing, report.missing);
  EXPECT_EQ(read->measured_at_ms, report.measured_at_ms);
  EXPECT_NE(ToText(report).find("matmul fp32"), std::string::npos);
  EXPECT_NE(ToText(report).find("via: kernel"), std::string::npos);
}

TEST(ReportTest, SpoiledTextIsRefusedAndNeverRead) {
  const std::string text = ToJson(Example());
  std::mt19937 random(3);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string spoiled = text;
    const std::size_t at = random() % spoiled.size();
    if (round % 3 == 0) {
      spoiled.resize(at);
    } else {
      spoiled[at] = static_cast<char>(random());
    }
    const Result<Report> read = ParseReport(spoiled);
    if (!read.ok()) {
      ++refused;
      continue;
    }
    for (const Throughput& entry : read->throughput) EXPECT_TRUE(entry.operations_per_s.known());
  }
  EXPECT_GT(refused, 1000);
  for (const char* wrong : {"", "null", "[]", "{}", "{\"version\":2}", "{\"version\":\"1\"}"})
    EXPECT_FALSE(ParseReport(wrong).ok()) << wrong;
  Report negative = Example();
  negative.throughput[0].operations_per_s = {1, -1, 2};
  EXPECT_EQ(ParseReport(ToJson(negative)).code(), Code::kBadFrame);
}

TEST(ReportTest, IsKeptForThisHardwareOnly) {
  const std::string folder = Folder() + "/state";  // made by the store
  const Report report = Example();
  EXPECT_FALSE(LoadReport(folder, report.identity).has_value());
  ASSERT_TRUE(StoreReport(folder, report).ok());
  ASSERT_TRUE(LoadReport(folder, report.identity).has_value());
  for (int what = 0; what < 4; ++what) {
    Identity other = report.identity;
    if (what == 0) other.processor = "Another";
    if (what == 1) other.threads = 3;
    if (what == 2) other.libraries = {"libx 1 3", "liby 3 4"};
    if (what == 3) other.device_uuid = "00fe";
    EXPECT_FALSE(LoadReport(folder, other).has_value()) << what;
  }
  for (const auto& file : std::filesystem::directory_iterator(folder))
    std::ofstream(file.path(), std::ios::app) << "rubbish";
  EXPECT_FALSE(LoadReport(folder, report.identity).has_value());
  EXPECT_FALSE(StoreReport("", report).ok());
  EXPECT_FALSE(StoreReport("/proc/nowhere", report).ok());
  std::filesystem::remove_all(std::filesystem::path(folder).parent_path());
}

TEST(DutyTest, CostsHalfAPercentAndNoMore) {
  std::mt19937 random(5);
  Duty duty(0.005);
  double now = 0;
  double worked = 0;
  for (int i = 0; i < 1000; ++i) {
    const double wait = duty.wait_s();
    EXPECT_GE(wait, 0);
    now += wait;
    const double cost = 0.1 + 0.001 * static_cast<double>(random() % 2000);
    now += cost;
    worked += cost;
    duty.Note(cost);
    EXPECT_LE(worked / (now + duty.wait_s()), 0.005 + 1e-9) << i;
  }
  EXPECT_GE(worked / now, 0.0045) << "and is used";
}

}  // namespace
}  // namespace accelmesh::measure
