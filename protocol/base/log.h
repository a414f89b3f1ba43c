// The log facade. Code says what happened; main() decides where it goes.
//
// Daemons and tools install an spdlog sink; the shim installs a plain write(2) sink, because a logging library in
// somebody else's process is a known source of crashes. Without a sink, warnings and errors go to stderr.
// Threads: Write() may be called from any thread; SetSink() once, before threads start.
#pragma once

#include <string>
#include <string_view>

namespace accelmesh::log {

enum class Level { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };

// Receives one finished line without a newline. Must not throw and must not call back into log.
using Sink = void (*)(Level level, std::string_view line);

void SetSink(Sink sink);
void SetLevel(Level level);
bool Enabled(Level level);
void Write(Level level, std::string_view where, std::string_view text);

inline void Debug(std::string_view where, std::string_view text) { Write(Level::kDebug, where, text); }
inline void Info(std::string_view where, std::string_view text) { Write(Level::kInfo, where, text); }
inline void Warning(std::string_view where, std::string_view text) { Write(Level::kWarning, where, text); }
inline void Error(std::string_view where, std::string_view text) { Write(Level::kError, where, text); }

}  // namespace accelmesh::log
