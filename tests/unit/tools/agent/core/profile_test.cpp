#include "tools/agent/core/profile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace accelmesh::agent {
namespace {

Run SomeRun(std::mt19937_64& random) {
  Run run;
  run.ended_ms = static_cast<std::int64_t>(random() % 2'000'000'000'000ULL);
  run.lasted_us = 1 + static_cast<std::int64_t>(random() % 10'000'000);
  run.waited_us = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(run.lasted_us + 1));
  for (std::uint64_t* count :
       {&run.launches, &run.library_calls, &run.round_trips, &run.up_bytes, &run.down_bytes, &run.memory_bytes_high})
    *count = random() >> (2 + random() % 60);
  for (auto& types : run.operations)
    for (std::uint64_t& count : types) count = random() % 3 == 0 ? random() >> 2 : 0;
  return run;
}

TEST(ProfileTest, TextIsReadAsTheSameProfile) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 500; ++i) {
    Profile profile;
    const std::size_t runs = random() % 20;
    for (std::size_t j = 0; j < runs; ++j) AddRun(profile, SomeRun(random));
    EXPECT_LE(profile.runs.size(), kRunsKept);
    const std::string text = ToText(profile);
    EXPECT_LE(text.size(), kProfileBytesMax);
    const auto again = ParseProfile(text);
    ASSERT_TRUE(again.ok()) << again.status().ToString() << text;
    EXPECT_EQ(*again, profile);
  }
}

TEST(ProfileTest, TheFullestProfileFitsTheBound) {
  agent::Run run;
  run.ended_ms = run.lasted_us = run.waited_us = static_cast<std::int64_t>(kCountMax);
  run.launches = run.library_calls = run.round_trips = run.up_bytes = run.down_bytes = run.memory_bytes_high =
      kCountMax;
  for (auto& types : run.operations) types.fill(kCountMax);
  Profile profile;
  for (std::size_t i = 0; i < kRunsKept + 3; ++i) AddRun(profile, run);
  EXPECT_EQ(profile.runs.size(), kRunsKept);
  EXPECT_TRUE(ParseProfile(ToText(profile)).ok());
}

TEST(ProfileTest, WhatIsNoProfileIsRefusedByItsLine) {
  const std::string head = "accelmesh-profile 1\n";
  const std::string run = "run 5 4 3 0 0 0 0 0 0\n";
  EXPECT_TRUE(ParseProfile(head).ok());
  EXPECT_TRUE(ParseProfile(head + run + "work matmul fp32 7\n").ok());
  std::string many = head;
  for (std::size_t i = 0; i <= kRunsKept; ++i) many += run;
  const std::pair<std::string, const char*> cases[] = {
      {"", "line 1"},
      {"accelmesh-profile 2\n", "line 1"},
      {head + "run 5 4 3 0 0 0 0 0 0", "line 2: cut off"},
      {head + "run 5 4 3 0 0 0 0 0\n", "line 2"},
      {head + "run 5 4 3 0 0 0 0 0 0 0\n", "line 2"},
      {head + "run 5 4 5 0 0 0 0 0 0\n", "line 2"},  // waited longer than it lasted
      {head + "run 5 0 0 0 0 0 0 0 0\n", "line 2"},
      {head + "run 5 -4 3 0 0 0 0 0 0\n", "line 2"},
      {head + "run 5 99999999999999999999 3 0 0 0 0 0 0\n", "line 2"},
      {head + "work matmul fp32 7\n", "line 2"},  // of no run
      {head + run + "work matmul fp31 7\n", "line 3"},
      {head + run + "work matmul fp32 0\n", "line 3"},
      {head + run + "work matmul fp32 7\nwork matmul fp32 7\n", "line 4"},
      {head + run + "walk\n", "line 3"},
      {many, "too many runs"},
      {head + std::string(kProfileBytesMax, 'x'), "longer"},
  };
  for (const auto& [text, says] : cases) {
    const auto parsed = ParseProfile(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(parsed.status().text().find(says), std::string::npos) << parsed.status().text();
  }
}

TEST(ProfileTest, MemoryOfARunIsWhatItsProcessesHadAtOnce) {
  // Against a count at every millisecond.
  std::mt19937_64 random(7);
  for (int i = 0; i < 300; ++i) {
    std::vector<agent::Run> processes(1 + random() % 6);
    for (agent::Run& process : processes) {
      process.lasted_us = 1000 * static_cast<std::int64_t>(1 + random() % 50);
      process.ended_ms = 1000 + process.lasted_us / 1000 + static_cast<std::int64_t>(random() % 60);
      process.memory_bytes_high = random() % 1000;
      process.launches = random() % 100;
    }
    std::uint64_t most = 0, launches = 0;
    std::int64_t first = 1 << 30, last = 0;
    for (const agent::Run& process : processes) {
      first = std::min(first, process.ended_ms - process.lasted_us / 1000);
      last = std::max(last, process.ended_ms);
      launches += process.launches;
    }
    for (std::int64_t at = first; at < last; ++at) {
      std::uint64_t now = 0;
      for (const agent::Run& process : processes) {
        if (process.ended_ms - process.lasted_us / 1000 <= at && at < process.ended_ms)
          now += process.memory_bytes_high;
      }
      most = std::max(most, now);
    }
    const agent::Run run = FoldProcesses(processes);
    EXPECT_EQ(run.memory_bytes_high, most);
    EXPECT_EQ(run.lasted_us, (last - first) * 1000);
    EXPECT_EQ(run.launches, launches);
  }
}

TEST(ProfileTest, AnEmptyRunChangesNothing) {
  Profile profile;
  AddRun(profile, {});
  EXPECT_TRUE(profile.runs.empty());
  EXPECT_EQ(FoldProcesses({}), agent::Run{});
}

TEST(ProfileTest, TheKeyDependsOnEveryWordAndWhereItEnds) {
  std::set<std::string> keys;
  const std::vector<std::vector<std::string>> commands = {{"a", "b"}, {"ab"}, {"a", "", "b"}, {"b", "a"}, {"a b"},
                                                          {},         {""}};
  for (const auto& command : commands) {
    keys.insert(CommandKey(command, "here"));
    keys.insert(CommandKey(command, "there"));
  }
  EXPECT_EQ(keys.size(), 2 * commands.size());
  EXPECT_EQ(CommandKey({"a"}, "x"), CommandKey({"a"}, "x"));
  EXPECT_EQ(keys.begin()->size(), 32U);
}

}  // namespace
}  // namespace accelmesh::agent
