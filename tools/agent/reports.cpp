#include "tools/agent/reports.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

namespace accelmesh::agent {
namespace {

using Json = nlohmann::json;

const Json* Find(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

// 0 if it is not there or no count.
std::uint64_t Count(const Json* object, const char* name) {
  const Json* value = object != nullptr ? Find(*object, name) : nullptr;
  if (value == nullptr || !value->is_number()) return 0;
  if (value->is_number_unsigned()) return std::min(kCountMax, value->get<std::uint64_t>());
  const double number = value->get<double>();
  if (!(number >= 1)) return 0;
  return number < static_cast<double>(kCountMax) ? static_cast<std::uint64_t>(number) : kCountMax;
}

std::string Text(const Json& object, const char* name) {
  const Json* value = Find(object, name);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

void Add(std::uint64_t& sum, std::uint64_t more) { sum = std::min(kCountMax, sum + std::min(kCountMax, more)); }

void ReadLibrary(const Json& library, Run& run, std::uint64_t& waited_ns) {
  Add(waited_ns, Count(&library, "waited_ns"));
  Add(waited_ns, Count(&library, "called_ns"));
  const bool is_runtime = Text(library, "library") == "cudart";
  if (!is_runtime) Add(run.library_calls, Count(&library, "calls"));
  const Json* functions = Find(library, "functions");
  if (!is_runtime || functions == nullptr || !functions->is_array()) return;
  for (const Json& function : *functions) {
    const std::string name = Text(function, "function");
    if (name.find("Launch") != std::string::npos || name == "kernel<<<...>>>")
      Add(run.launches, Count(&function, "calls"));
  }
}

std::optional<Run> ReadReport(std::string_view line) {
  if (line.empty() || line.size() > kReportBytesMax) return std::nullopt;
  const Json report = Json::parse(line.begin(), line.end(), nullptr, false);
  if (!report.is_object()) return std::nullopt;
  Run run;
  run.lasted_us = static_cast<std::int64_t>(Count(&report, "ns") / 1000);
  run.ended_ms = static_cast<std::int64_t>(Count(&report, "ended_ms"));
  if (run.lasted_us == 0) return std::nullopt;
  std::uint64_t waited_ns = 0;
  if (const Json* libraries = Find(report, "libraries"); libraries != nullptr && libraries->is_array()) {
    for (const Json& library : *libraries) ReadLibrary(library, run, waited_ns);
  }
  run.waited_us = std::min(run.lasted_us, static_cast<std::int64_t>(waited_ns / 1000));
  const Json* sent = Find(report, "sent");
  run.round_trips = Count(sent, "round_trips");
  run.up_bytes = Count(sent, "data_up_bytes");
  run.down_bytes = Count(sent, "data_down_bytes");
  const Json* work = Find(report, "work");
  run.memory_bytes_high = Count(work, "memory_bytes_high");
  const Json* operations = work != nullptr ? Find(*work, "operations") : nullptr;
  if (operations == nullptr || !operations->is_array()) return run;
  for (const Json& one : *operations) {
    const auto operation = scheduler::FindOperation(Text(one, "operation"));
    const auto type = scheduler::FindNumberType(Text(one, "type"));
    if (!operation || !type) continue;
    Add(run.operations[static_cast<std::size_t>(*operation)][static_cast<std::size_t>(*type)], Count(&one, "count"));
  }
  return run;
}

}  // namespace

std::vector<Run> ReadReports(std::string_view text) {
  text = text.substr(0, kReportsBytesMax);
  std::vector<Run> runs;
  while (!text.empty() && runs.size() < kReportsMax) {
    const std::size_t end = text.find('\n');
    // What has no end is still being written.
    if (end == std::string_view::npos) break;
    if (auto run = ReadReport(text.substr(0, end))) runs.push_back(*run);
    text.remove_prefix(end + 1);
  }
  return runs;
}

}  // namespace accelmesh::agent
