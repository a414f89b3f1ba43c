#include "tools/agent/reports.h"

#include <gtest/gtest.h>

namespace accelmesh::agent {
namespace {

// As the shim writes it; tests/faults compares with a real one.
constexpr const char* kReport =
    R"({"program": "app", "server": "shm://x", "pid": 7, "ended_ms": 5000, "ns": 2000000000, "libraries": [)"
    R"({"library": "cudart", "calls": 30, "local": 20, "local_ns": 5, "posted": 9, "posted_ns": 9, "waited": 1, "waited_ns": 300000, )"
    R"("called": 0, "called_ns": 200000, "ns": 500014, "commands": 9, "bytes": 99, "functions": [)"
    R"({"function": "cudaLaunchKernel", "calls": 4}, {"function": "kernel<<<...>>>", "calls": 3}, {"function": "cudaMalloc", "calls": 2}]},)"
    R"({"library": "cublas", "calls": 11, "waited_ns": 0, "called_ns": 0, "functions": []}],)"
    R"("sent": {"commands": 9, "messages": 3, "command_bytes": 9, "data_up_bytes": 1000, "data_down_bytes": 10, "round_trips": 6, "waits": 1},)"
    R"("work": {"memory_bytes_high": 4096, "operations": [{"operation": "matmul", "type": "fp32", "count": 1500000000000},)"
    R"({"operation": "dance", "type": "fp32", "count": 5}]}})"
    "\n";

TEST(ReportsTest, AReportIsARun) {
  const auto runs = ReadReports(kReport);
  ASSERT_EQ(runs.size(), 1U);
  const agent::Run& run = runs[0];
  EXPECT_EQ(run.ended_ms, 5000);
  EXPECT_EQ(run.lasted_us, 2'000'000);
  EXPECT_EQ(run.waited_us, 500);
  EXPECT_EQ(run.launches, 7U);
  EXPECT_EQ(run.library_calls, 11U);
  EXPECT_EQ(run.round_trips, 6U);
  EXPECT_EQ(run.up_bytes, 1000U);
  EXPECT_EQ(run.down_bytes, 10U);
  EXPECT_EQ(run.memory_bytes_high, 4096U);
  EXPECT_EQ(run.operations[0][3], 1'500'000'000'000U);
  EXPECT_EQ(run.operations[1][3], 0U);
}

TEST(ReportsTest, WhatIsNoReportIsLeftOut) {
  EXPECT_TRUE(ReadReports("").empty());
  const std::string report = kReport;
  EXPECT_TRUE(ReadReports(report.substr(0, report.size() - 1)).empty()) << "not finished";
  EXPECT_EQ(ReadReports("{}\nnonsense\n[1]\n\n" + report + "{\"ns\": -4}\n" + report).size(), 2U);
  EXPECT_TRUE(ReadReports(std::string(100'000, '[') + "\n").empty());
  std::string many;
  for (std::size_t i = 0; i < kReportsMax + 9; ++i) many += "{\"ns\": 5000}\n";
  EXPECT_EQ(ReadReports(many).size(), kReportsMax);
}

TEST(ReportsTest, NumbersStayWithinBounds) {
  const auto runs = ReadReports(
      R"({"ns": 1e300, "ended_ms": 99999999999999999999, "libraries": [{"library": "x", "calls": -3, "waited_ns": 1e99}], )"
      R"("work": {"memory_bytes_high": 1.5e30, "operations": [{"operation": "matmul", "type": "int8", "count": 1e25}]}})"
      "\n");
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_LE(runs[0].lasted_us, static_cast<std::int64_t>(kCountMax));
  EXPECT_LE(runs[0].waited_us, runs[0].lasted_us);
  EXPECT_EQ(runs[0].library_calls, 0U);
  EXPECT_EQ(runs[0].memory_bytes_high, kCountMax);
  EXPECT_EQ(runs[0].operations[0][0], kCountMax);
  Profile profile;
  AddRun(profile, FoldProcesses(runs));
  EXPECT_TRUE(ParseProfile(ToText(profile)).ok());
}

}  // namespace
}  // namespace accelmesh::agent
