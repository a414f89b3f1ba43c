#include "tools/mesh_bench/report.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "tools/mesh_bench/process.h"

namespace accelmesh::bench {
namespace {

// Three or four digits and a unit's prefix: 2.31 M, 812, 0.54.
std::string Short(double value) {
  char text[32];
  if (value >= 1e6) {
    std::snprintf(text, sizeof(text), "%.2f M", value / 1e6);
  } else if (value >= 1e4) {
    std::snprintf(text, sizeof(text), "%.0f k", value / 1e3);
  } else {
    std::snprintf(text, sizeof(text), value >= 100 ? "%.0f" : "%.2f", value);
  }
  return text;
}

std::string TargetText(const Target& target) {
  if (target.of == Target::Of::kNone) return "-";
  return std::string(target.of == Target::Of::kRatio ? "ratio " : "") + (target.at_most ? "<= " : ">= ") +
         Short(target.value);
}

// "0.00/1.00/0.00/0.00, 1.00": calls of each mode and messages an operation.
std::string MessagesText(Messages messages) {
  // The set-up's own calls differ by one now and then; a difference of nothing has no sign.
  for (double* value : {&messages.local, &messages.posted, &messages.waited, &messages.called, &messages.frames}) {
    if (std::abs(*value) < 0.005) *value = 0;
  }
  char text[96];
  std::snprintf(text, sizeof(text), "%.2f/%.2f/%.2f/%.2f, %.2f", messages.local, messages.posted, messages.waited,
                messages.called, messages.frames);
  return text;
}

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + "\"";
}

std::string JsonNumber(const std::optional<double>& value) {
  if (!value.has_value()) return "null";
  char text[40];
  std::snprintf(text, sizeof(text), "%.6g", *value);
  return text;
}

std::string JsonRow(const Row& row) {
  std::ostringstream out;
  out << "{\"what\": " << Quoted(row.what) << ", \"backend\": " << Quoted(row.backend)
      << ", \"transport\": " << Quoted(row.transport) << ", \"placement\": " << Quoted(row.placement);
  if (!row.error.empty()) {
    out << ", \"error\": " << Quoted(row.error) << "}";
    return out.str();
  }
  const std::optional<bool> met = row.Met();
  out << ", \"unit\": " << Quoted(row.unit) << ", \"measured\": " << JsonNumber(row.measured)
      << ", \"floor_name\": " << Quoted(row.floor_name) << ", \"floor\": " << JsonNumber(row.floor)
      << ", \"ratio\": " << JsonNumber(row.Ratio()) << ", \"target\": " << Quoted(TargetText(row.target))
      << ", \"met\": " << (met.has_value() ? (*met ? "true" : "false") : "null")
      << ", \"an_operation\": {\"local\": " << JsonNumber(row.messages.local)
      << ", \"posted\": " << JsonNumber(row.messages.posted) << ", \"waited\": " << JsonNumber(row.messages.waited)
      << ", \"called\": " << JsonNumber(row.messages.called) << ", \"messages\": " << JsonNumber(row.messages.frames)
      << "}, \"note\": " << Quoted(row.note) << "}";
  return out.str();
}

using Cells = std::vector<std::string>;

Cells CellsOf(const Row& row) {
  if (!row.error.empty()) {
    return {row.what, row.backend, row.transport, row.placement, "not measured: " + row.error};
  }
  const std::optional<bool> met = row.Met();
  const std::optional<double> ratio = row.Ratio();
  return {row.what + ", " + row.unit,
          row.backend,
          row.transport,
          row.placement,
          MessagesText(row.messages),
          row.floor.has_value() ? row.floor_name : "-",
          row.floor.has_value() ? Short(*row.floor) : "-",
          Short(row.measured),
          ratio.has_value() ? Short(*ratio) : "-",
          TargetText(row.target),
          met.has_value() ? (*met ? "yes" : "NO") : "-"};
}

}  // namespace

std::optional<double> Row::Ratio() const {
  if (!floor.has_value() || *floor <= 0) return std::nullopt;
  return measured / *floor;
}

std::optional<bool> Row::Met() const {
  if (target.of == Target::Of::kNone) return std::nullopt;
  if (!error.empty()) return false;
  const std::optional<double> value = target.of == Target::Of::kRatio ? Ratio() : measured;
  if (!value.has_value()) return false;
  return target.at_most ? *value <= target.value : *value >= target.value;
}

Machine DescribeMachine() {
  Machine machine;
  machine.cpus = static_cast<int>(AllowedCpus().size());
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    machine.processor = line.substr(line.find(':') + 2);
    break;
  }
  std::ifstream loadavg("/proc/loadavg");
  std::getline(loadavg, machine.load);
  return machine;
}

std::string FormatTable(const Machine& machine, const std::vector<Row>& rows) {
  std::ostringstream out;
  out << machine.processor << ", " << machine.cpus << " CPUs, load " << machine.load
      << "\ncalls: local/posted/waited/called, messages sent, an operation\n";
  std::vector<Cells> lines{
      {"what", "backend", "wire", "placement", "calls", "floor", "its value", "measured", "ratio", "target", "met"}};
  for (const Row& row : rows) lines.push_back(CellsOf(row));
  std::vector<std::size_t> widths(lines[0].size(), 0);
  for (const Cells& cells : lines) {
    // The last cell of a line pushes nobody aside.
    for (std::size_t i = 0; i + 1 < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  }
  for (const Cells& cells : lines) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      out << cells[i];
      if (i + 1 < cells.size()) out << std::string(widths[i] - cells[i].size() + 2, ' ');
    }
    out << "\n";
  }
  return out.str();
}

Status WriteJson(const std::string& path, const Machine& machine, const std::vector<Row>& rows) {
  std::ofstream file(path);
  file << "{\"machine\": {\"processor\": " << Quoted(machine.processor) << ", \"cpus\": " << machine.cpus
       << ", \"load\": " << Quoted(machine.load) << "},\n \"rows\": [\n";
  for (std::size_t i = 0; i < rows.size(); ++i)
    file << "  " << JsonRow(rows[i]) << (i + 1 == rows.size() ? "\n" : ",\n");
  file << " ]}\n";
  file.close();
  if (!file) return Status::System(errno, "mesh-bench --json", path);
  return Status::Ok();
}

}  // namespace accelmesh::bench
