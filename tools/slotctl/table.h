// Tables and plots for terminals.
//
// Threads: functions on values. Texts are UTF-8; what a peer has named is shown without control characters.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace accelmesh::slotctl {

struct Column {
  std::string title;
  bool is_number = false;  // stands right
};

// Titles, then rows; two spaces between columns, nothing behind the last. A row shorter than the columns ends early.
std::string TableOf(const std::vector<Column>& columns, const std::vector<std::vector<std::string>>& rows);

// Text of somebody else's, with '?' for what a terminal would obey, cut to `most` characters.
std::string Shown(std::string_view text, std::size_t most = 80);

// Bars over time, `height` lines of `width` columns, with the scale at the left: the oldest value left. Values are
// averaged if there are more of them than columns. Nothing for no values.
std::string PlotOf(const std::string& title, const std::vector<double>& values, double most, std::size_t width,
                   std::size_t height, const std::string& unit);

// The same in one line.
std::string SparkOf(const std::vector<double>& values, double most, std::size_t width);

// Characters that a terminal shows of a text: code points.
std::size_t WidthOf(std::string_view text);

}  // namespace accelmesh::slotctl
