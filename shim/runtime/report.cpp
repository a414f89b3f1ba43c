#include "shim/runtime/report.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "shim/core/work_counts.h"
#include "shim/runtime/runtime.h"
#include "shim/runtime/statistics.h"

namespace accelmesh {
namespace {

constexpr const char* kModeNames[kCallModes] = {"local", "posted", "waited", "called"};

// A number of bytes or of nanoseconds with three or four digits and its unit.
std::string Bytes3(std::uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  for (; value >= 1000.0 && unit < 4; ++unit) value /= 1024.0;
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}
std::string Time3(std::uint64_t nanoseconds) {
  static constexpr const char* kUnits[] = {"ns", "us", "ms", "s"};
  double value = static_cast<double>(nanoseconds);
  int unit = 0;
  for (; value >= 1000.0 && unit < 3; ++unit) value /= 1000.0;
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

using Number = unsigned long long;

__attribute__((format(printf, 2, 3))) void Add(std::string* out, const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  out->append(line, static_cast<std::size_t>(std::clamp<int>(length, 0, sizeof(line) - 1)));
}

const char* ServerName() {
  const char* server = std::getenv("ACCELMESH_SERVER");
  if (server != nullptr) return server;
  return std::getenv("ACCELMESH_LEASE") != nullptr ? "a leased slot" : "no server";
}

int WidthOf(const std::vector<CallCounts>& rows) {
  std::size_t width = 8;
  for (const CallCounts& row : rows) width = std::max(width, row.name.size());
  return static_cast<int>(width);
}

void AddSent(std::string* out, ClientSession* session) {
  if (session == nullptr) return;
  const StreamStatistics& s = session->commands().statistics();
  Add(out, "  sent: %llu commands in %llu messages, %s; data up %s, down %s; round trips %llu; messages back %llu\n",
      static_cast<Number>(s.posts + s.calls), static_cast<Number>(s.frames), Bytes3(s.command_bytes).c_str(),
      Bytes3(s.bulk_up_bytes).c_str(), Bytes3(s.bulk_down_bytes).c_str(), static_cast<Number>(s.calls),
      static_cast<Number>(session->commands().progress().messages));
}

// The table of --stats --------------------------------------------------------------------------------------------

void AddRow(std::string* out, const CallCounts& row, int width) {
  Add(out, "  %-*s %9llu %9llu %9llu %9llu %9llu %10s\n", width, row.name.c_str(), static_cast<Number>(row.AllCalls()),
      static_cast<Number>(row.calls[0]), static_cast<Number>(row.calls[1]), static_cast<Number>(row.calls[2]),
      static_cast<Number>(row.calls[3]), Time3(row.AllNanoseconds()).c_str());
}

std::string Table(const std::vector<CallCounts>& rows, ClientSession* session, std::uint64_t lasted_ns) {
  CallCounts total;
  total.name = "total";
  const int width = WidthOf(rows);
  std::string out;
  Add(&out, "accelmesh: %s on %s, %s\n", program_invocation_short_name, ServerName(), Time3(lasted_ns).c_str());
  Add(&out, "  %-*s %9s %9s %9s %9s %9s %10s\n", width, "function", "calls", "local", "posted", "waited", "called",
      "time");
  for (const CallCounts& row : rows) {
    AddRow(&out, row, width);
    total.Add(row);
  }
  AddRow(&out, total, width);
  AddSent(&out, session);
  return out;
}

// --explain -------------------------------------------------------------------------------------------------------

struct Library {
  CallCounts sum;
  std::vector<CallCounts> functions;
};

// The dearest first, as their functions are.
std::vector<Library> ByLibrary(const std::vector<CallCounts>& rows) {
  std::vector<Library> libraries;
  for (const CallCounts& row : rows) {
    auto found = std::find_if(libraries.begin(), libraries.end(),
                              [&row](const Library& library) { return library.sum.library == row.library; });
    if (found == libraries.end()) {
      libraries.emplace_back().sum.library = row.library;
      found = std::prev(libraries.end());
    }
    found->sum.Add(row);
    found->functions.push_back(row);
  }
  std::sort(libraries.begin(), libraries.end(),
            [](const Library& a, const Library& b) { return a.sum.AllNanoseconds() > b.sum.AllNanoseconds(); });
  return libraries;
}

std::string Explanation(const std::vector<CallCounts>& rows, ClientSession* session, std::uint64_t lasted_ns) {
  const std::vector<Library> libraries = ByLibrary(rows);
  const int width = WidthOf(rows);
  CallCounts all;
  for (const Library& library : libraries) all.Add(library.sum);
  std::string out;
  Add(&out, "accelmesh: %s on %s, %s, of which %s in %llu calls\n", program_invocation_short_name, ServerName(),
      Time3(lasted_ns).c_str(), Time3(all.AllNanoseconds()).c_str(), static_cast<Number>(all.AllCalls()));
  for (const Library& library : libraries) {
    const CallCounts& sum = library.sum;
    Add(&out, "%s: %llu calls, %s", sum.library.c_str(), static_cast<Number>(sum.AllCalls()),
        Time3(sum.AllNanoseconds()).c_str());
    for (int mode = 0; mode < kCallModes; ++mode) {
      Add(&out, "%s %s %llu (%s)", mode == 0 ? ":" : ",", kModeNames[mode], static_cast<Number>(sum.calls[mode]),
          Time3(sum.nanoseconds[mode]).c_str());
    }
    Add(&out, "; %llu commands, %s\n", static_cast<Number>(sum.commands), Bytes3(sum.bytes).c_str());
    Add(&out, "  %-*s %9s %9s %9s %9s %9s %9s %10s %10s %10s\n", width, "function", "calls", "local", "posted",
        "waited", "called", "commands", "bytes", "time", "a call");
    for (const CallCounts& row : library.functions) {
      Add(&out, "  %-*s %9llu %9llu %9llu %9llu %9llu %9llu %10s %10s %10s\n", width, row.name.c_str(),
          static_cast<Number>(row.AllCalls()), static_cast<Number>(row.calls[0]), static_cast<Number>(row.calls[1]),
          static_cast<Number>(row.calls[2]), static_cast<Number>(row.calls[3]), static_cast<Number>(row.commands),
          Bytes3(row.bytes).c_str(), Time3(row.AllNanoseconds()).c_str(),
          Time3(row.AllNanoseconds() / row.AllCalls()).c_str());
    }
  }
  AddSent(&out, session);
  return out;
}

std::string Quoted(const char* text) {
  std::string out = "\"";
  for (; *text != '\0'; ++text) {
    if (*text == '"' || *text == '\\') out += '\\';
    if (static_cast<unsigned char>(*text) < 0x20) {
      Add(&out, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(*text)));
    } else {
      out += *text;
    }
  }
  return out + "\"";
}

void AddCountsJson(std::string* out, const CallCounts& counts) {
  Add(out, "\"calls\": %llu", static_cast<Number>(counts.AllCalls()));
  for (int mode = 0; mode < kCallModes; ++mode) {
    Add(out, ", \"%s\": %llu, \"%s_ns\": %llu", kModeNames[mode], static_cast<Number>(counts.calls[mode]),
        kModeNames[mode], static_cast<Number>(counts.nanoseconds[mode]));
  }
  Add(out, ", \"ns\": %llu, \"commands\": %llu, \"bytes\": %llu", static_cast<Number>(counts.AllNanoseconds()),
      static_cast<Number>(counts.commands), static_cast<Number>(counts.bytes));
}

// Arithmetic of library calls by kind and type, and memory.
void AddWorkJson(std::string* out) {
  static constexpr const char* kKinds[kWorkKinds] = {"matmul", "convolution"};
  static constexpr const char* kTypes[kWorkTypes] = {"int8", "fp16", "bf16", "fp32", "fp64"};
  Add(out, ", \"work\": {\"memory_bytes_high\": %llu, \"operations\": [",
      static_cast<Number>(g_work.memory_bytes_high.load(std::memory_order_relaxed)));
  const char* between = "";
  for (std::size_t kind = 0; kind < kWorkKinds; ++kind) {
    for (std::size_t type = 0; type < kWorkTypes; ++type) {
      const double operations = g_work.operations[kind][type].load(std::memory_order_relaxed);
      if (operations <= 0) continue;
      Add(out, "%s{\"operation\": \"%s\", \"type\": \"%s\", \"count\": %.17g}", between, kKinds[kind], kTypes[type],
          operations);
      between = ", ";
    }
  }
  *out += "]}";
}

std::string ExplanationJson(const std::vector<CallCounts>& rows, ClientSession* session, std::uint64_t lasted_ns) {
  std::string out = "{\"program\": " + Quoted(program_invocation_short_name) + ", \"server\": " + Quoted(ServerName());
  const auto ended = std::chrono::system_clock::now().time_since_epoch();
  Add(&out, ", \"pid\": %d, \"ended_ms\": %llu, \"ns\": %llu, \"libraries\": [", static_cast<int>(::getpid()),
      static_cast<Number>(std::chrono::duration_cast<std::chrono::milliseconds>(ended).count()),
      static_cast<Number>(lasted_ns));
  const char* between_libraries = "";
  for (const Library& library : ByLibrary(rows)) {
    Add(&out, "%s{\"library\": \"%s\", ", between_libraries, library.sum.library.c_str());
    AddCountsJson(&out, library.sum);
    out += ", \"functions\": [";
    const char* between_functions = "";
    for (const CallCounts& row : library.functions) {
      Add(&out, "%s{\"function\": \"%s\", ", between_functions, row.name.c_str());
      AddCountsJson(&out, row);
      out += "}";
      between_functions = ", ";
    }
    out += "]}";
    between_libraries = ", ";
  }
  out += "]";
  if (session != nullptr) {
    const StreamStatistics& s = session->commands().statistics();
    Add(&out,
        ", \"sent\": {\"commands\": %llu, \"messages\": %llu, \"command_bytes\": %llu, \"data_up_bytes\": %llu, "
        "\"data_down_bytes\": %llu, \"round_trips\": %llu, \"waits\": %llu, \"messages_back\": %llu}",
        static_cast<Number>(s.posts + s.calls), static_cast<Number>(s.frames), static_cast<Number>(s.command_bytes),
        static_cast<Number>(s.bulk_up_bytes), static_cast<Number>(s.bulk_down_bytes), static_cast<Number>(s.calls),
        static_cast<Number>(s.waits), static_cast<Number>(session->commands().progress().messages));
  }
  AddWorkJson(&out);
  return out + "}\n";
}

// One write(2) keeps a report whole among those of other processes.
void Write(int file, const std::string& text) {
  [[maybe_unused]] const ssize_t written = ::write(file, text.data(), text.size());
}
void Append(const char* path, const std::string& text) {
  const int file = ::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file < 0) return;
  Write(file, text);
  ::close(file);
}

}  // namespace

void PrintReports(ClientSession* session) {
  if (!EndCounting()) return;
  const std::vector<CallCounts> rows = CollectCalls();
  // A program that starts others hands the request on; one that made no call has nothing to say.
  if (rows.empty()) return;
  const std::uint64_t lasted_ns = CountedNanoseconds();
  if (std::getenv("ACCELMESH_STATS") != nullptr) Write(STDERR_FILENO, Table(rows, session, lasted_ns));
  // mesh-run's agent keeps these; whoever runs the program has asked for the others.
  if (const char* profile = std::getenv("ACCELMESH_PROFILE"); profile != nullptr)
    Append(profile, ExplanationJson(rows, session, lasted_ns));
  if (std::getenv("ACCELMESH_EXPLAIN") == nullptr) return;
  if (const char* path = std::getenv("ACCELMESH_EXPLAIN_JSON"); path != nullptr) {
    Append(path, ExplanationJson(rows, session, lasted_ns));
  } else {
    Write(STDERR_FILENO, Explanation(rows, session, lasted_ns));
  }
}

}  // namespace accelmesh
