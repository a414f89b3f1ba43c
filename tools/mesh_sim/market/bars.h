// A chart of grouped bars with intervals as an SVG file, for results pages.
//
// Threads: functions on values.
#pragma once

#include <string>
#include <vector>

namespace accelmesh::sim {

struct Bar {
  double value = 0;
  double half_width = 0;  // of its interval; 0: none is drawn
};

struct BarChart {
  std::string title;
  std::string y_title;
  bool is_logarithmic = false;  // then values below `y_min` are drawn as that
  double y_min = 0, y_max = 1;
  std::vector<std::string> groups;     // along the axis
  std::vector<std::string> names;      // of the bars of each group, in the legend
  std::vector<std::vector<Bar>> bars;  // by group, then name
};

std::string SvgOf(const BarChart& chart);
// Several in one file, two in a row.
std::string SvgOf(const std::vector<BarChart>& charts);

// Ends for an axis that holds all values of `bars`: round numbers.
void FitAxis(BarChart& chart);

}  // namespace accelmesh::sim
