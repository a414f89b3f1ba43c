#include "tools/slotctl/table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace accelmesh::slotctl {
namespace {

constexpr const char* kEighths[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

// As many values as columns, each the mean of those that fall into it.
std::vector<double> Gathered(const std::vector<double>& values, std::size_t width) {
  if (values.size() <= width) return values;
  std::vector<double> gathered;
  for (std::size_t i = 0; i < width; ++i) {
    const std::size_t begin = i * values.size() / width;
    const std::size_t end = std::max(begin + 1, (i + 1) * values.size() / width);
    double sum = 0;
    for (std::size_t j = begin; j < end; ++j) sum += values[j];
    gathered.push_back(sum / static_cast<double>(end - begin));
  }
  return gathered;
}

int Eighths(double value, double most, std::size_t height) {
  if (!(most > 0) || !std::isfinite(value)) return 0;
  const double part = std::clamp(value / most, 0.0, 1.0) * static_cast<double>(height) * 8;
  // What is there at all is seen.
  return value > 0 ? std::max(1, static_cast<int>(std::lround(part))) : 0;
}

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.3g", value);
  return text;
}

}  // namespace

std::size_t WidthOf(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string Shown(std::string_view text, std::size_t most) {
  std::string shown;
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xc0) != 0x80 && width++ == most) return shown + "...";
    // C1 controls hide in two bytes of UTF-8.
    const bool is_control = byte < 0x20 || byte == 0x7f ||
                            (byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0);
    shown += is_control ? '?' : text[i];
    if (is_control && byte == 0xc2) ++i;
  }
  return shown;
}

std::string TableOf(const std::vector<Column>& columns, const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const Column& column : columns) widths.push_back(WidthOf(column.title));
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < std::min(row.size(), widths.size()); ++i)
      widths[i] = std::max(widths[i], WidthOf(row[i]));
  }
  std::string table;
  const auto add = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (std::size_t i = 0; i < std::min(cells.size(), widths.size()); ++i) {
      const std::string room(widths[i] - std::min(widths[i], WidthOf(cells[i])), ' ');
      line += (i == 0 ? "" : "  ") + (columns[i].is_number ? room + cells[i] : cells[i] + room);
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    table += line + "\n";
  };
  std::vector<std::string> titles;
  for (const Column& column : columns) titles.push_back(column.title);
  add(titles);
  for (const auto& row : rows) add(row);
  return table;
}

std::string PlotOf(const std::string& title, const std::vector<double>& values, double most, std::size_t width,
                   std::size_t height, const std::string& unit) {
  const std::vector<double> columns = Gathered(values, width);
  if (columns.empty() || height == 0) return {};
  const std::string top = Number(most) + unit;
  const std::string bottom = "0" + unit;
  const std::size_t margin = std::max(WidthOf(top), WidthOf(bottom));
  std::string plot = title + "\n";
  for (std::size_t row = height; row > 0; --row) {
    const std::string label = row == height ? top : row == 1 ? bottom : "";
    plot += std::string(margin - WidthOf(label), ' ') + label + " ┤";
    std::string line;
    for (const double value : columns) {
      const int eighths = Eighths(value, most, height) - static_cast<int>(row - 1) * 8;
      line += kEighths[std::clamp(eighths, 0, 8)];
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    plot += line + "\n";
  }
  std::string axis;
  for (std::size_t i = 0; i < columns.size(); ++i) axis += "─";
  return plot + std::string(margin, ' ') + " └" + axis + "\n";
}

std::string SparkOf(const std::vector<double>& values, double most, std::size_t width) {
  std::string line;
  for (const double value : Gathered(values, width)) line += kEighths[std::clamp(Eighths(value, most, 1), 0, 8)];
  return line;
}

}  // namespace accelmesh::slotctl
