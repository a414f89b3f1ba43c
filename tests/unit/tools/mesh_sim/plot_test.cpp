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

}  // namespace
}  // namespace accelmesh::sim
