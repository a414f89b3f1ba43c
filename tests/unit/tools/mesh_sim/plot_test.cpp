#include "tools/mesh_sim/plot.h"

#include <gtest/gtest.h>

namespace accelmesh::sim {
namespace {

TEST(PlotTest, PointsLieWhereTheAxesSay) {
  Chart chart;
  chart.title = "a < b & c";
  chart.lines = {{"first", {{0, 0}, {1, 1}}}, {"second", {{0.5, 0.5}}}};
  const std::string svg = SvgOf(chart);
  // The corners of the area, and its middle.
  EXPECT_NE(svg.find("points=\"70.00,385.00 570.00,40.00 \""), std::string::npos) << svg;
  EXPECT_NE(svg.find("points=\"320.00,212.50 \""), std::string::npos);
  EXPECT_NE(svg.find("a &lt; b &amp; c"), std::string::npos);
  EXPECT_NE(svg.find(">first</text>"), std::string::npos);
  EXPECT_EQ(svg.substr(svg.size() - 7), "</svg>\n");
}

TEST(PlotTest, StepsAreThoseThatPeopleRead) {
  EXPECT_DOUBLE_EQ(NiceStep(10, 10), 1);
  EXPECT_DOUBLE_EQ(NiceStep(10.1, 10), 2);
  EXPECT_DOUBLE_EQ(NiceStep(0.59375, 8), 0.1);
  EXPECT_DOUBLE_EQ(NiceStep(3500, 8), 500);
  EXPECT_DOUBLE_EQ(NiceStep(2.1, 6), 0.5);
  for (const double span : {1e-9, 0.3, 7.0, 1e9}) {
    for (const int most : {1, 5, 8}) {
      EXPECT_LE(span / NiceStep(span, most), most * (1 + 1e-6));
      EXPECT_GE(span / NiceStep(span, most), most / 2.6);
    }
  }
  EXPECT_DOUBLE_EQ(NiceStep(0, 5), 1);
  EXPECT_DOUBLE_EQ(NiceStep(-1, 5), 1);
}

TEST(PlotTest, ChartsLieBelowOneAnotherAndNamesAreNotCutOff) {
  Chart chart;
  chart.lines = {{std::string(60, 'n'), {{0, 0}}}};
  const std::string svg = SvgOf(std::vector<Chart>{chart, chart});
  EXPECT_NE(svg.find("height=\"880.00\""), std::string::npos);
  EXPECT_NE(svg.find("translate(0,440.00)"), std::string::npos);
  const auto width = std::stod(svg.substr(svg.find("width=\"") + 7));
  EXPECT_GE(width, 70 + 500 + 46 + 60 * 6);
}

}  // namespace
}  // namespace accelmesh::sim
