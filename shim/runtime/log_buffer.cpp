#include "shim/runtime/log_buffer.h"

#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <exception>

#include "protocol/base/log.h"
#include "shim/gen_face.h"

namespace accelmesh {
namespace {

constexpr std::size_t kBytesMax = 25600;  // CUDA's own bound
constexpr std::string_view kSomeDropped = "Older messages are gone: the log is full\n";
constexpr std::string_view kSomeMissing =
    "The provided buffer is not large enough to hold all messages. Some messages will be missing\n";

// The thread runs a callback: what it logs is told to nobody.
constinit thread_local bool t_in_callback __attribute__((tls_model("initial-exec"))) = false;

std::string Line(cudaLogLevel level, std::string_view text) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  const std::time_t seconds = milliseconds / 1000;
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  char head[80];
  std::snprintf(head, sizeof(head), "[%02d:%02d:%02d.%03d][%lu][CUDA][%c] ", parts.tm_hour, parts.tm_min, parts.tm_sec,
                static_cast<int>(milliseconds % 1000), static_cast<unsigned long>(::pthread_self()),
                level == cudaLogLevelError ? 'E' : 'W');
  std::string line = head;
  line += text.substr(0, kBytesMax / 4);
  line += '\n';
  return line;
}

void StderrAndBuffer(log::Level level, std::string_view line) {
  const std::string_view newline = "\n";
  try {
    std::string text(line);
    text += newline;
    // One write(2) keeps lines of several processes whole; a failed write to stderr has nowhere to be reported.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
  } catch (const std::exception&) {
    return;
  }
  if (level >= log::Level::kWarning)
    LogBuffer::Get().Add(level == log::Level::kError ? cudaLogLevelError : cudaLogLevelWarning, line);
}

}  // namespace

LogBuffer& LogBuffer::Get() {
  static LogBuffer* buffer = new LogBuffer;  // never destroyed
  return *buffer;
}

void LogBuffer::Add(cudaLogLevel level, std::string_view text) noexcept {
  try {
    std::string line = Line(level, text);
    std::vector<Callback> told;
    {
      const MutexLock lock(mu_);
      bytes_ += line.size();
      lines_.push_back(std::move(line));
      ++end_;
      while (bytes_ > kBytesMax) {
        bytes_ -= lines_.front().size();
        lines_.pop_front();
      }
      if (t_in_callback) return;
      for (const auto& callback : callbacks_) told.push_back(*callback);
    }
    for (const Callback& callback : told) {
      std::string message(text);
      t_in_callback = true;
      callback.function(callback.data, level, message.data(), message.size());
      t_in_callback = false;
    }
  } catch (const std::exception&) {
    t_in_callback = false;  // Out of memory: a line less.
  }
}

cudaLogIterator LogBuffer::End() {
  const MutexLock lock(mu_);
  return end_;
}

std::vector<std::string_view> LogBuffer::Since(cudaLogIterator from, bool* were_dropped) {
  const auto first = end_ - static_cast<cudaLogIterator>(lines_.size());
  *were_dropped = from < first;
  std::vector<std::string_view> lines;
  for (cudaLogIterator i = from < first ? first : from; i < end_; ++i) lines.push_back(lines_[i - first]);
  return lines;
}

std::string LogBuffer::Lines(cudaLogIterator from, cudaLogIterator* end) {
  const MutexLock lock(mu_);
  bool were_dropped = false;
  const std::vector<std::string_view> lines = Since(from, &were_dropped);
  std::string all(were_dropped ? kSomeDropped : "");
  for (const std::string_view line : lines) all += line;
  *end = end_;
  return all;
}

bool LogBuffer::LinesThatFit(cudaLogIterator from, std::size_t room, std::string* lines, cudaLogIterator* end) {
  const std::string all = Lines(from, end);
  if (all.size() <= room) {
    *lines = all;
    return true;
  }
  const MutexLock lock(mu_);
  bool were_dropped = false;
  std::size_t left = room > kSomeMissing.size() ? room - kSomeMissing.size() : 0;
  const std::vector<std::string_view> known = Since(from, &were_dropped);
  std::size_t first = known.size();
  while (first > 0 && known[first - 1].size() <= left) left -= known[--first].size();
  if (first == known.size()) return false;
  *lines = kSomeMissing;
  for (; first < known.size(); ++first) *lines += known[first];
  *end = end_;
  return true;
}

const void* LogBuffer::AddCallback(cudaLogsCallback_t function, void* data) {
  auto made = std::make_unique<const Callback>(Callback{function, data});
  const void* handle = made.get();
  const MutexLock lock(mu_);
  callbacks_.push_back(std::move(made));
  return handle;
}
bool LogBuffer::RemoveCallback(const void* handle) {
  const MutexLock lock(mu_);
  return std::erase_if(callbacks_, [handle](const auto& callback) { return callback.get() == handle; }) != 0;
}

void NoteFailedCall(const char* name, cudaError_t error) noexcept {
  const std::string_view called = name;
  // These return what another call did wrong, and "not ready" is no failure.
  if (error == cudaErrorNotReady || called == "cudaGetLastError" || called == "cudaPeekAtLastError") return;
  char text[160];
  std::snprintf(text, sizeof(text), "Returning %d (%s) from %s", static_cast<int>(error), face::cudaGetErrorName(error),
                name);
  LogBuffer::Get().Add(cudaLogLevelError, text);
}

void KeepLogLines() { log::SetSink(&StderrAndBuffer); }

}  // namespace accelmesh
