#include "tools/mesh_sim/market/bars.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace accelmesh::sim {
namespace {

constexpr double kWidth = 860, kHeight = 440, kLeft = 80, kRight = 170, kTop = 40, kBottom = 45;
// Distinct for people who see few colours as well: Okabe and Ito's palette and two greys.
constexpr std::array<const char*, 9> kColours = {"#999999", "#56b4e9", "#009e73", "#0072b2", "#cc79a7",
                                                 "#e69f00", "#444444", "#f4b595", "#d55e00"};

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f", value);
  return text;
}

std::string Tick(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.6g", value);
  return text;
}

std::string Text(double x, double y, const char* anchor, const std::string& text, const char* more = "") {
  return "<text x=\"" + Number(x) + "\" y=\"" + Number(y) + "\" text-anchor=\"" + anchor + "\"" + more + ">" + text +
         "</text>\n";
}

std::string Segment(double x1, double y1, double x2, double y2, const char* colour) {
  return "<line x1=\"" + Number(x1) + "\" y1=\"" + Number(y1) + "\" x2=\"" + Number(x2) + "\" y2=\"" + Number(y2) +
         "\" stroke=\"" + colour + "\"/>\n";
}

// A round step for about five ticks.
double StepOf(double range) {
  const double rough = range / 5;
  const double ten = std::pow(10, std::floor(std::log10(std::max(rough, 1e-12))));
  for (const double times : {1.0, 2.0, 5.0}) {
    if (ten * times >= rough) return ten * times;
  }
  return ten * 10;
}

}  // namespace

void FitAxis(BarChart& chart) {
  double least = 1e300;
  double most = -1e300;
  for (const auto& group : chart.bars) {
    for (const Bar& bar : group) {
      most = std::max(most, bar.value + bar.half_width);
      if (!chart.is_logarithmic || bar.value > 0) least = std::min(least, bar.value - bar.half_width);
    }
  }
  if (chart.is_logarithmic) {
    if (most < least || most <= 0) {  // nothing to draw: any axis
      chart.y_min = 0.1;
      chart.y_max = 1;
      return;
    }
    chart.y_min = std::max(1e-3, std::pow(10, std::floor(std::log10(std::max(least, 1e-3)))));
    chart.y_max = std::pow(10, std::ceil(std::log10(std::max(most, chart.y_min * 1.01))));
    return;
  }
  if (most <= 0) return;
  const double step = StepOf(std::max(most - std::min(least, chart.y_min), 1e-6));
  chart.y_max = std::ceil(most / step - 1e-9) * step;
}

namespace {

std::string BodyOf(const BarChart& chart) {
  const double width = kWidth - kLeft - kRight;
  const double height = kHeight - kTop - kBottom;
  const auto y_of = [&](double y) {
    const double low = chart.is_logarithmic ? std::log10(chart.y_min) : chart.y_min;
    const double high = chart.is_logarithmic ? std::log10(chart.y_max) : chart.y_max;
    const double at = chart.is_logarithmic ? std::log10(std::max(y, chart.y_min)) : y;
    return kTop + height - std::clamp((at - low) / (high - low), 0.0, 1.0) * height;
  };
  std::string svg = Text(kLeft + width / 2, 22, "middle", chart.title, " font-size=\"14\"");
  std::vector<double> ticks;
  if (chart.is_logarithmic) {
    for (double tick = chart.y_min; tick <= chart.y_max * 1.001; tick *= 10) ticks.push_back(tick);
  } else {
    const double step = StepOf(chart.y_max - chart.y_min);
    const double first = std::ceil(chart.y_min / step - 1e-9);
    for (int i = 0; (first + i) * step <= chart.y_max + step / 1000; ++i) ticks.push_back((first + i) * step);
  }
  for (const double tick : ticks) {
    svg += Segment(kLeft, y_of(tick), kLeft + width, y_of(tick), "#dddddd");
    svg += Text(kLeft - 8, y_of(tick) + 4, "end", Tick(tick));
  }
  const double group_width = width / static_cast<double>(std::max<std::size_t>(chart.groups.size(), 1));
  const double bar_width = group_width * 0.84 / static_cast<double>(std::max<std::size_t>(chart.names.size(), 1));
  for (std::size_t g = 0; g < chart.groups.size(); ++g) {
    const double left = kLeft + group_width * (static_cast<double>(g) + 0.08);
    for (std::size_t i = 0; i < chart.bars[g].size(); ++i) {
      const Bar& bar = chart.bars[g][i];
      const double x = left + bar_width * static_cast<double>(i);
      const double top = y_of(bar.value);
      svg += "<rect x=\"" + Number(x) + "\" y=\"" + Number(top) + "\" width=\"" + Number(bar_width * 0.9) +
             "\" height=\"" + Number(kTop + height - top) + "\" fill=\"" + kColours[i % kColours.size()] + "\"/>\n";
      if (bar.half_width <= 0) continue;
      const double middle = x + bar_width * 0.45;
      svg += Segment(middle, y_of(bar.value - bar.half_width), middle, y_of(bar.value + bar.half_width), "black");
    }
    svg += Text(left + group_width * 0.42, kTop + height + (chart.groups.size() > 6 && g % 2 == 1 ? 36 : 20), "middle",
                chart.groups[g]);
  }
  svg += Segment(kLeft, kTop, kLeft, kTop + height, "black");
  svg += Segment(kLeft, kTop + height, kLeft + width, kTop + height, "black");
  svg += "<g transform=\"translate(20," + Number(kTop + height / 2) + ") rotate(-90)\">" +
         Text(0, 0, "middle", chart.y_title) + "</g>\n";
  for (std::size_t i = 0; i < chart.names.size(); ++i) {
    const double y = kTop + 14 + 20 * static_cast<double>(i);
    svg += "<rect x=\"" + Number(kLeft + width + 16) + "\" y=\"" + Number(y - 9) +
           "\" width=\"12\" height=\"12\" fill=\"" + kColours[i % kColours.size()] + "\"/>\n";
    svg += Text(kLeft + width + 34, y + 2, "start", chart.names[i]);
  }
  return svg;
}

}  // namespace

std::string SvgOf(const BarChart& chart) { return SvgOf(std::vector<BarChart>{chart}); }

std::string SvgOf(const std::vector<BarChart>& charts) {
  const std::size_t rows = (charts.size() + 1) / 2;
  const double width = charts.size() > 1 ? 2 * kWidth : kWidth;
  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + Number(width) + "\" height=\"" +
                    Number(kHeight * static_cast<double>(rows)) +
                    "\" font-family=\"sans-serif\" font-size=\"12\">\n"
                    "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  for (std::size_t i = 0; i < charts.size(); ++i) {
    const double x = i % 2 == 0 ? 0 : kWidth;
    svg += "<g transform=\"translate(" + Number(x) + "," + Number(kHeight * static_cast<double>(i / 2)) + ")\">\n" +
           BodyOf(charts[i]) + "</g>\n";
  }
  return svg + "</svg>\n";
}

}  // namespace accelmesh::sim
