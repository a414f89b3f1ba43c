#include "protocol/base/log.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace accelmesh {
namespace {

std::vector<std::pair<log::Level, std::string>>& Lines() {
  static std::vector<std::pair<log::Level, std::string>> lines;
  return lines;
}

class LogTest : public testing::Test {
 protected:
  LogTest() {
    Lines().clear();
    log::SetSink([](log::Level level, std::string_view line) { Lines().emplace_back(level, line); });
    log::SetLevel(log::Level::kWarning);
  }
  ~LogTest() override {
    log::SetSink(nullptr);
    log::SetLevel(log::Level::kWarning);
  }
};

TEST_F(LogTest, ALineNamesProjectLevelAndPlace) {
  log::Warning("Session::Decode", "12 bytes too many");
  log::Error("", "no place");
  ASSERT_EQ(Lines().size(), 2U);
  EXPECT_EQ(Lines()[0].first, log::Level::kWarning);
  EXPECT_EQ(Lines()[0].second, "accelmesh warning: Session::Decode: 12 bytes too many");
  EXPECT_EQ(Lines()[1].first, log::Level::kError);
  EXPECT_EQ(Lines()[1].second, "accelmesh error: no place");
}

TEST_F(LogTest, OnlyFromTheLevelOn) {
  const auto all = [] {
    log::Debug("a", "d");
    log::Info("a", "i");
    log::Warning("a", "w");
    log::Error("a", "e");
  };
  all();
  EXPECT_EQ(Lines().size(), 2U);  // warnings and errors, unless said otherwise
  EXPECT_FALSE(log::Enabled(log::Level::kInfo));
  log::SetLevel(log::Level::kDebug);
  all();
  ASSERT_EQ(Lines().size(), 6U);
  EXPECT_EQ(Lines()[2].second, "accelmesh debug: a: d");
  EXPECT_EQ(Lines()[3].second, "accelmesh info: a: i");
  log::SetLevel(log::Level::kError);
  all();
  EXPECT_EQ(Lines().size(), 7U);
}

TEST_F(LogTest, WhatAPeerSentStaysInItsLine) {
  log::Error("Session", "no program \"x\naccelmesh error: forged\r\x1b[2J\x7f\" hér\te");
  ASSERT_EQ(Lines().size(), 1U);
  EXPECT_EQ(Lines()[0].second, "accelmesh error: Session: no program \"x?accelmesh error: forged??[2J?\" hér?e");
}

TEST_F(LogTest, WithoutASinkLinesGoToStderrWhole) {
  log::SetSink(nullptr);
  testing::internal::CaptureStderr();
  std::vector<std::thread> threads;
  const std::string text(300, 'x');
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 50; ++j) log::Error("Test", text);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string written = testing::internal::GetCapturedStderr();
  std::string expected;
  for (int i = 0; i < 200; ++i) expected += "accelmesh error: Test: " + text + "\n";
  EXPECT_TRUE(written == expected) << written.substr(0, 1000);
  EXPECT_TRUE(Lines().empty());
}

}  // namespace
}  // namespace accelmesh
