#include "server/measure/report.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace accelmesh::measure {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr std::size_t kEntriesMax = 256;
constexpr const char* kWhere = "ParseReport";

json ToValue(const Interval& interval) {
  return {{"mean", interval.mean}, {"low", interval.low}, {"high", interval.high}};
}

// All that is read may throw; ParseReport() catches.
Interval ToInterval(const json& value) {
  return {value.at("mean").get<double>(), value.at("low").get<double>(), value.at("high").get<double>()};
}

std::vector<std::string> ToStrings(const json& value) {
  std::vector<std::string> strings;
  for (const json& item : value) strings.push_back(item.get<std::string>());
  return strings;
}

Report Read(const json& root) {
  Report report;
  const json& identity = root.at("identity");
  report.identity.processor = identity.at("processor").get<std::string>();
  report.identity.threads = identity.at("threads").get<std::uint32_t>();
  report.identity.backend = identity.at("backend").get<std::string>();
  report.identity.device = identity.at("device").get<std::string>();
  report.identity.device_uuid = identity.at("device_uuid").get<std::string>();
  report.identity.libraries = ToStrings(identity.at("libraries"));
  report.memory_bytes = root.at("memory_bytes").get<std::uint64_t>();
  for (const json& item : root.at("throughput")) {
    report.throughput.push_back({item.at("operation").get<std::string>(), item.at("type").get<std::string>(),
                                 item.at("via").get<std::string>(), ToInterval(item.at("operations_per_s")),
                                 item.at("problem").get<std::string>()});
  }
  report.memory_bytes_per_s = ToInterval(root.at("memory_bytes_per_s"));
  report.launch_us = ToInterval(root.at("launch_us"));
  report.missing = ToStrings(root.at("missing"));
  report.seconds = root.at("seconds").get<double>();
  report.measured_at_ms = root.at("measured_at_ms").get<std::int64_t>();
  return report;
}

// With a prefix of three digits' step: 12.3 G.
std::string Short(double value) {
  constexpr std::array<const char*, 6> kSteps = {"", "k", "M", "G", "T", "P"};
  std::size_t step = 0;
  for (; value >= 1000 && step + 1 < kSteps.size(); ++step) value /= 1000;
  char text[32];
  std::snprintf(text, sizeof(text), "%.3g %s", value, kSteps[step]);
  return text;
}

void AppendLine(std::string* text, const std::string& name, const Interval& interval, const char* unit,
                const std::string& note) {
  char line[256];
  std::snprintf(line, sizeof(line), "%-18s %10s%-8s (%s to %s, 95 %%)  %s\n", name.c_str(),
                Short(interval.mean).c_str(), unit, Short(interval.low).c_str(), Short(interval.high).c_str(),
                note.c_str());
  *text += line;
}

}  // namespace

std::string ToJson(const Report& report) {
  json root;
  root["version"] = kVersion;
  const Identity& identity = report.identity;
  root["identity"] = {{"processor", identity.processor},     {"threads", identity.threads},
                      {"backend", identity.backend},         {"device", identity.device},
                      {"device_uuid", identity.device_uuid}, {"libraries", identity.libraries}};
  root["memory_bytes"] = report.memory_bytes;
  root["throughput"] = json::array();
  for (const Throughput& entry : report.throughput) {
    root["throughput"].push_back({{"operation", entry.operation},
                                  {"type", entry.type},
                                  {"via", entry.via},
                                  {"operations_per_s", ToValue(entry.operations_per_s)},
                                  {"problem", entry.problem}});
  }
  root["memory_bytes_per_s"] = ToValue(report.memory_bytes_per_s);
  root["launch_us"] = ToValue(report.launch_us);
  root["missing"] = report.missing;
  root["seconds"] = report.seconds;
  root["measured_at_ms"] = report.measured_at_ms;
  // A name of hardware need not be UTF-8.
  return root.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<Report> ParseReport(std::string_view text) {
  Report report;
  try {
    const json root = json::parse(text);
    if (root.at("version").get<int>() != kVersion)
      return Status(Code::kVersionMismatch, kWhere, "a measurement of another release");
    report = Read(root);
  } catch (const json::exception& error) {
    return Status(Code::kBadFrame, kWhere, std::string("not a measurement: ") + error.what());
  }
  if (report.throughput.size() > kEntriesMax || report.missing.size() > kEntriesMax)
    return Status(Code::kBadFrame, kWhere, "too many entries");
  const auto is_absent = [](const Interval& interval) { return interval == Interval{}; };
  for (const Throughput& entry : report.throughput) {
    if (!entry.operations_per_s.known())
      return Status(Code::kBadFrame, kWhere, entry.operation + " " + entry.type + " is not a measurement");
  }
  for (const Interval* interval : {&report.memory_bytes_per_s, &report.launch_us}) {
    if (!interval->known() && !is_absent(*interval)) return Status(Code::kBadFrame, kWhere, "not a measurement");
  }
  if (!std::isfinite(report.seconds) || report.seconds < 0)
    return Status(Code::kBadFrame, kWhere, "seconds is not a time");
  return report;
}

std::string ToText(const Report& report) {
  std::string text = report.identity.device + " (" + report.identity.backend + ", " + report.identity.processor + ", " +
                     std::to_string(report.identity.threads) + " threads)\n";
  for (const Throughput& entry : report.throughput) {
    const bool counts_floats = entry.type != "int8";
    AppendLine(&text, entry.operation + " " + entry.type, entry.operations_per_s, counts_floats ? "FLOP/s" : "OP/s",
               "via: " + entry.via + ", " + entry.problem);
  }
  if (report.memory_bytes_per_s.known()) AppendLine(&text, "memory", report.memory_bytes_per_s, "B/s", "copies");
  if (report.launch_us.known()) AppendLine(&text, "launch", report.launch_us, "us", "of an empty kernel, to its end");
  for (const std::string& missing : report.missing) text += "not measured: " + missing + "\n";
  return text;
}

}  // namespace accelmesh::measure
