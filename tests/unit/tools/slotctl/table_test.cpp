#include "tools/slotctl/table.h"

#include <gtest/gtest.h>

#include <random>
#include <sstream>

namespace accelmesh::slotctl {
namespace {

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(TableTest, ColumnsLineUpAndNumbersStandRight) {
  EXPECT_EQ(TableOf({{"NAME"}, {"N", true}, {"WHY"}}, {{"a", "1", "x"}, {"längeres", "1000", ""}, {"b"}}),
            "NAME         N  WHY\n"
            "a            1  x\n"
            "längeres  1000\n"
            "b\n");
}

TEST(TableTest, WhatOthersNamedCannotDriveTheTerminal) {
  EXPECT_EQ(Shown("a\x1b[2Jb\n\x7f"), "a?[2Jb??");
  EXPECT_EQ(Shown("x\xc2\x9by"), "x?y") << "a C1 control in UTF-8";
  EXPECT_EQ(Shown("änderung", 3), "änd...");
  EXPECT_EQ(Shown("abc", 3), "abc");
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    for (unsigned j = random() % 40; j > 0; --j) text += static_cast<char>(random());
    const std::string shown = Shown(text, 10);
    EXPECT_LE(WidthOf(shown), 13U);
    for (const char c : shown) EXPECT_FALSE(static_cast<unsigned char>(c) < 0x20 || c == 0x7f);
  }
}

// The height of a column of a plot in eighths, counted from its characters.
std::vector<int> Heights(const std::vector<std::string>& lines, std::size_t margin, std::size_t columns) {
  static const std::vector<std::string> eighths = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::vector<int> heights(columns, 0);
  for (const std::string& line : lines) {
    std::size_t at = line.find("┤");
    if (at == std::string::npos) continue;
    EXPECT_EQ(WidthOf(line.substr(0, at)), margin);
    at += 3;
    for (std::size_t column = 0; column < columns && at < line.size(); ++column) {
      if (line[at] == ' ') {
        ++at;
        continue;
      }
      for (std::size_t i = 0; i < eighths.size(); ++i) {
        if (line.compare(at, 3, eighths[i]) == 0) heights[column] += static_cast<int>(i) + 1;
      }
      at += 3;
    }
  }
  return heights;
}

TEST(TableTest, APlotIsAsHighAsItsValues) {
  std::mt19937 random(5);
  for (int i = 0; i < 300; ++i) {
    std::vector<double> values(1 + random() % 40);
    for (double& value : values) value = static_cast<double>(random() % 1001) / 10;
    const auto lines = LinesOf(PlotOf("title", values, 100, 40, 6, " %"));
    ASSERT_EQ(lines.size(), 8U);
    EXPECT_EQ(lines[0], "title");
    const auto heights = Heights(lines, 6, values.size());  // "100 % "
    for (std::size_t column = 0; column < values.size(); ++column) {
      EXPECT_NEAR(heights[column], values[column] / 100 * 48, 1.0) << column;
      EXPECT_EQ(heights[column] == 0, values[column] == 0);
    }
  }
}

TEST(TableTest, MoreValuesThanColumnsAreAveraged) {
  std::vector<double> values(100, 0);
  for (std::size_t i = 50; i < 100; ++i) values[i] = 1;
  EXPECT_EQ(SparkOf(values, 1, 4), "  ██");
  EXPECT_EQ(SparkOf({0.5, 1}, 1, 10), "▄█");
  EXPECT_EQ(SparkOf({}, 1, 10), "");
  EXPECT_EQ(SparkOf({1, 2}, 0, 10), "  ") << "no scale, no bars";
  EXPECT_EQ(PlotOf("t", {}, 1, 10, 4, ""), "");
}

}  // namespace
}  // namespace accelmesh::slotctl
