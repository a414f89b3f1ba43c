#include "tools/mesh_sim/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace accelmesh::sim {
namespace {

constexpr double kPlotWidth = 500, kHeight = 440, kLeft = 70, kRightMin = 150, kTop = 40, kBottom = 55;
constexpr double kLetterWidth = 7, kKeyWidth = 58;
// Distinct for people who see few colours as well (Okabe and Ito's palette).
constexpr std::array<const char*, 6> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"};
constexpr std::array<const char*, 6> kDashes = {"none", "7 3", "2 3", "9 3 2 3", "4 4", "1 2"};

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f", value);
  return text;
}

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '<')
      escaped += "&lt;";
    else if (c == '&')
      escaped += "&amp;";
    else
      escaped += c;
  }
  return escaped;
}

std::string Label(double x, double y, const char* anchor, const std::string& text, const std::string& more = "") {
  return "<text x=\"" + Number(x) + "\" y=\"" + Number(y) + "\" text-anchor=\"" + anchor + "\"" + more + ">" +
         Escaped(text) + "</text>\n";
}

std::string Segment(double x1, double y1, double x2, double y2, const std::string& style) {
  return "<line x1=\"" + Number(x1) + "\" y1=\"" + Number(y1) + "\" x2=\"" + Number(x2) + "\" y2=\"" + Number(y2) +
         "\" " + style + "/>\n";
}

std::string TickText(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%g", std::round(value * 1e6) / 1e6);
  return text;
}

// Beside the area: as wide as the longest name.
double RightOf(const Chart& chart) {
  double right = kRightMin;
  for (const Line& line : chart.lines)
    right = std::max(right, kKeyWidth + kLetterWidth * static_cast<double>(line.name.size()));
  return right;
}

std::string Head(double width, double height) {
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + Number(width) + "\" height=\"" + Number(height) +
         "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
}

std::string BodyOf(const Chart& chart) {
  const double width = kPlotWidth;
  const double height = kHeight - kTop - kBottom;
  const auto x_of = [&](double x) { return kLeft + (x - chart.x_min) / (chart.x_max - chart.x_min) * width; };
  const auto y_of = [&](double y) { return kTop + height - (y - chart.y_min) / (chart.y_max - chart.y_min) * height; };
  std::string svg = "<clipPath id=\"area\"><rect x=\"" + Number(kLeft) + "\" y=\"" + Number(kTop) + "\" width=\"" +
                    Number(width) + "\" height=\"" + Number(height) + "\"/></clipPath>\n";
  svg += Label(kLeft + width / 2, 22, "middle", chart.title, " font-size=\"14\"");
  for (int i = 0; chart.x_min + i * chart.x_step <= chart.x_max + chart.x_step / 1000; ++i) {
    const double x = chart.x_min + i * chart.x_step;
    svg += Segment(x_of(x), kTop, x_of(x), kTop + height, "stroke=\"#dddddd\"");
    svg += Label(x_of(x), kTop + height + 18, "middle", TickText(x));
  }
  for (int i = 0; chart.y_min + i * chart.y_step <= chart.y_max + chart.y_step / 1000; ++i) {
    const double y = chart.y_min + i * chart.y_step;
    svg += Segment(kLeft, y_of(y), kLeft + width, y_of(y), "stroke=\"#dddddd\"");
    svg += Label(kLeft - 8, y_of(y) + 4, "end", TickText(y));
  }
  svg += Label(kLeft + width / 2, kHeight - 14, "middle", chart.x_title);
  svg += "<g transform=\"translate(18," + Number(kTop + height / 2) + ") rotate(-90)\">" +
         Label(0, 0, "middle", chart.y_title) + "</g>\n";
  for (std::size_t i = 0; i < chart.lines.size(); ++i) {
    const std::string style = std::string("stroke=\"") + kColours[i % kColours.size()] +
                              "\" stroke-width=\"2\" stroke-dasharray=\"" + kDashes[i % kDashes.size()] + "\"";
    svg += "<polyline fill=\"none\" clip-path=\"url(#area)\" " + style + " points=\"";
    for (const auto& [x, y] : chart.lines[i].points) svg += Number(x_of(x)) + "," + Number(y_of(y)) + " ";
    svg += "\"/>\n";
    const double at = kTop + 14 + 20 * static_cast<double>(i);
    svg += Segment(kLeft + width + 12, at, kLeft + width + 40, at, style);
    svg += Label(kLeft + width + 46, at + 4, "start", chart.lines[i].name);
  }
  svg += Segment(kLeft, kTop, kLeft, kTop + height, "stroke=\"black\"") +
         Segment(kLeft, kTop + height, kLeft + width, kTop + height, "stroke=\"black\"");
  return svg;
}

}  // namespace

double NiceStep(double span, int most) {
  if (!(span > 0) || !std::isfinite(span) || most < 1) return 1;
  const double least = span / most;
  const double power = std::pow(10, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

std::string SvgOf(const Chart& chart) { return SvgOf(std::vector<Chart>{chart}); }

std::string SvgOf(const std::vector<Chart>& charts) {
  double right = kRightMin;
  for (const Chart& chart : charts) right = std::max(right, RightOf(chart));
  const double height = kHeight * static_cast<double>(charts.size());
  std::string svg = Head(kLeft + kPlotWidth + right, height);
  for (std::size_t i = 0; i < charts.size(); ++i) {
    svg += "<g transform=\"translate(0," + Number(kHeight * static_cast<double>(i)) + ")\">\n" + BodyOf(charts[i]) +
           "</g>\n";
  }
  return svg + "</svg>\n";
}

}  // namespace accelmesh::sim
