#include "shim/runtime/statistics.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "protocol/base/clock.h"
#include "shim/runtime/runtime.h"

namespace accelmesh {

constinit std::atomic<bool> g_is_counting{false};

namespace {

std::atomic<FunctionCount*> g_counts{nullptr};
std::int64_t g_begin_ns = 0;

std::int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

struct Row {
  std::string name;
  std::uint64_t calls[kCallModes] = {};
  std::uint64_t nanoseconds = 0;
  std::uint64_t total() const { return calls[0] + calls[1] + calls[2] + calls[3]; }
};

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

__attribute__((format(printf, 2, 3))) void Add(std::string* out, const char* format, ...) {
  char line[256];
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  out->append(line, static_cast<std::size_t>(std::clamp<int>(length, 0, sizeof(line) - 1)));
}

void AddRow(std::string* out, const Row& row, std::size_t width) {
  Add(out, "  %-*s %9llu %9llu %9llu %9llu %9llu %10s\n", static_cast<int>(width), row.name.c_str(),
      static_cast<unsigned long long>(row.total()), static_cast<unsigned long long>(row.calls[0]),
      static_cast<unsigned long long>(row.calls[1]), static_cast<unsigned long long>(row.calls[2]),
      static_cast<unsigned long long>(row.calls[3]), Time3(row.nanoseconds).c_str());
}

// A function's per-thread variant counts as the function.
std::vector<Row> Collect() {
  std::vector<Row> rows;
  for (FunctionCount* count = g_counts.load(std::memory_order_acquire); count != nullptr;
       count = count->next.load(std::memory_order_relaxed)) {
    const char* name = count->name.load(std::memory_order_relaxed);
    // What nvcc's stubs do before the program begins and around a launch is none of its calls.
    if (std::strncmp(name, "__cuda", 6) == 0 && std::strcmp(name, "__cudaLaunchKernel") != 0) continue;
    if (*name == '_') name = "kernel<<<...>>>";
    auto row = std::find_if(rows.begin(), rows.end(), [name](const Row& r) { return r.name == name; });
    if (row == rows.end()) {
      rows.emplace_back().name = name;
      row = std::prev(rows.end());
    }
    for (int mode = 0; mode < kCallModes; ++mode) {
      row->calls[mode] += count->calls[mode].load(std::memory_order_relaxed);
      row->nanoseconds += count->nanoseconds[mode].load(std::memory_order_relaxed);
    }
  }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
    return a.nanoseconds != b.nanoseconds ? a.nanoseconds > b.nanoseconds : a.name < b.name;
  });
  return rows;
}

}  // namespace

void CountedCall::Begin(FunctionCount& count, const char* name) {
  const char* unnamed = nullptr;
  if (count.name.load(std::memory_order_relaxed) == nullptr &&
      count.name.compare_exchange_strong(unnamed, name, std::memory_order_relaxed)) {
    FunctionCount* first = g_counts.load(std::memory_order_relaxed);
    do {
      count.next.store(first, std::memory_order_relaxed);
    } while (!g_counts.compare_exchange_weak(first, &count, std::memory_order_release, std::memory_order_relaxed));
  }
  count_ = &count;
  posts_ = waits_ = calls_ = 0;
  if (ClientSession* session = Runtime::Get().SessionIfOpen()) {
    const StreamStatistics& now = session->commands().statistics();
    posts_ = now.posts.load(std::memory_order_relaxed);
    waits_ = now.waits.load(std::memory_order_relaxed);
    calls_ = now.calls.load(std::memory_order_relaxed);
  }
  begin_ns_ = NowNs();
}

void CountedCall::End() {
  const std::int64_t end_ns = NowNs();
  CallMode mode = CallMode::kLocal;
  if (ClientSession* session = Runtime::Get().SessionIfOpen()) {
    const StreamStatistics& now = session->commands().statistics();
    if (now.calls.load(std::memory_order_relaxed) != calls_)
      mode = CallMode::kCalled;
    else if (now.waits.load(std::memory_order_relaxed) != waits_)
      mode = CallMode::kWaited;
    else if (now.posts.load(std::memory_order_relaxed) != posts_)
      mode = CallMode::kPosted;
  }
  const auto index = static_cast<std::size_t>(mode);
  count_->calls[index].fetch_add(1, std::memory_order_relaxed);
  count_->nanoseconds[index].fetch_add(static_cast<std::uint64_t>(end_ns - begin_ns_), std::memory_order_relaxed);
}

void BeginCounting() {
  g_begin_ns = NowNs();
  g_is_counting.store(true, std::memory_order_relaxed);
}

void PrintStatistics(ClientSession* session) {
  if (!g_is_counting.exchange(false)) return;
  const std::vector<Row> rows = Collect();
  // A program that starts others hands the request on; one that made no call has nothing to say.
  if (rows.empty()) return;
  Row total;
  total.name = "total";
  std::size_t width = 8;
  for (const Row& row : rows) {
    width = std::max(width, row.name.size());
    total.nanoseconds += row.nanoseconds;
    for (int mode = 0; mode < kCallModes; ++mode) total.calls[mode] += row.calls[mode];
  }
  const char* server = std::getenv("ACCELMESH_SERVER");
  std::string out;
  Add(&out, "accelmesh: %s on %s, %s\n", program_invocation_short_name, server != nullptr ? server : "no server",
      Time3(static_cast<std::uint64_t>(NowNs() - g_begin_ns)).c_str());
  Add(&out, "  %-*s %9s %9s %9s %9s %9s %10s\n", static_cast<int>(width), "function", "calls", "local", "posted",
      "waited", "called", "time");
  for (const Row& row : rows) AddRow(&out, row, width);
  AddRow(&out, total, width);
  if (session != nullptr) {
    const StreamStatistics& s = session->commands().statistics();
    Add(&out, "  sent: %llu commands in %llu messages, %s; data up %s, down %s; round trips %llu\n",
        static_cast<unsigned long long>(s.posts + s.calls), static_cast<unsigned long long>(s.frames),
        Bytes3(s.command_bytes).c_str(), Bytes3(s.bulk_up_bytes).c_str(), Bytes3(s.bulk_down_bytes).c_str(),
        static_cast<unsigned long long>(s.calls));
  }
  // One write(2) keeps the table whole; a failed write to stderr has nowhere to be reported.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, out.data(), out.size());
}

}  // namespace accelmesh
