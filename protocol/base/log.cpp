#include "protocol/base/log.h"

#include <unistd.h>

#include <atomic>

namespace accelmesh::log {
namespace {

void StderrSink(Level /*level*/, std::string_view line) {
  std::string text(line);
  text += '\n';
  // One write(2) keeps lines of several processes whole; a failed write to stderr has nowhere to be reported.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
}

std::atomic<Sink> g_sink{&StderrSink};
std::atomic<Level> g_level{Level::kWarning};

}  // namespace

void SetSink(Sink sink) { g_sink.store(sink != nullptr ? sink : &StderrSink, std::memory_order_relaxed); }
void SetLevel(Level level) { g_level.store(level, std::memory_order_relaxed); }
bool Enabled(Level level) { return level >= g_level.load(std::memory_order_relaxed); }

void Write(Level level, std::string_view where, std::string_view text) {
  if (!Enabled(level)) return;
  static constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};
  std::string line("accelmesh ");
  line += kNames[static_cast<int>(level)];
  line += ": ";
  if (!where.empty()) {
    line += where;
    line += ": ";
  }
  line += text;
  // What a peer sent may be part of it: it neither begins a line of its own nor moves the reader's cursor.
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  g_sink.load(std::memory_order_relaxed)(level, line);
}

}  // namespace accelmesh::log
