// A line chart as an SVG file, for results pages.
//
// Threads: functions on values.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace accelmesh::sim {

struct Line {
  std::string name;
  std::vector<std::pair<double, double>> points;
};

struct Chart {
  std::string title;
  std::string x_title;
  std::string y_title;
  double x_min = 0, x_max = 1, x_step = 0.1;
  double y_min = 0, y_max = 1, y_step = 0.1;
  std::vector<Line> lines;  // up to six are told apart
};

// The whole file. What lies outside of the axes is cut off.
std::string SvgOf(const Chart& chart);
// Several in one file, one below the other.
std::string SvgOf(const std::vector<Chart>& charts);

// 1, 2 or 5 times a power of ten: the smallest that cuts `span` into at most `most` parts.
double NiceStep(double span, int most);

}  // namespace accelmesh::sim
