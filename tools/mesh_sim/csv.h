// Lines of openb's lists: fields by the names of their columns.
//
// Threads: functions on values.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/result.h"

namespace accelmesh::sim {

inline Status BadLine(const std::string& file, std::size_t line, const std::string& text) {
  return {Code::kInvalidArgument, "ReadOpenb", file + ":" + std::to_string(line) + ": " + text};
}

inline std::vector<std::string_view> SplitFields(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    const std::size_t comma = line.find(',');
    fields.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return fields;
    line.remove_prefix(comma + 1);
  }
}

// Calls `row` with the fields of each line that `columns` name; the first line is the header.
template <typename Row>
Status EachRow(std::string_view csv, const std::string& file, const std::vector<std::string_view>& columns,
               const Row& row) {
  std::vector<std::size_t> places;
  std::size_t width = 0;
  for (std::size_t number = 1; !csv.empty(); ++number) {
    const std::size_t end = csv.find('\n');
    std::string_view line = csv.substr(0, end);
    csv.remove_prefix(end == std::string_view::npos ? csv.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) continue;
    const std::vector<std::string_view> fields = SplitFields(line);
    if (places.empty()) {
      for (const std::string_view column : columns) {
        const auto at = std::find(fields.begin(), fields.end(), column);
        if (at == fields.end())
          return BadLine(file, number, "no column " + std::string(column) + "; is this the right file?");
        places.push_back(static_cast<std::size_t>(at - fields.begin()));
      }
      width = fields.size();
      continue;
    }
    if (fields.size() != width) return BadLine(file, number, "not as many fields as the header has");
    std::vector<std::string_view> values;
    for (const std::size_t place : places) values.push_back(fields[place]);
    ACCELMESH_RETURN_IF_ERROR(row(number, values));
  }
  return Status::Ok();
}

}  // namespace accelmesh::sim
