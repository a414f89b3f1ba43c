// LineLimit: what strangers can make us log, bounded: some lines at once, then one every so often; the next one that is
// logged says how many were not. A stranger has as many keys and connections as he likes, and must not fill the disk.
//
// Threads: none; whoever logs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "protocol/base/clock.h"

namespace accelmesh {

class LineLimit {
 public:
  // Twenty lines, then one in three seconds, unless said otherwise.
  explicit LineLimit(int at_once = 20, Duration every = std::chrono::seconds(3)) : at_once_(at_once), every_(every) {}

  // The line to log at `now`, or nothing.
  std::optional<std::string> Take(std::string text, Instant now) {
    said_until_ = std::max(said_until_, now);
    if (said_until_ - now > (at_once_ - 1) * every_) {
      ++unsaid_;
      return std::nullopt;
    }
    said_until_ += every_;
    if (unsaid_ != 0) text += " (and " + std::to_string(unsaid_) + " more since the last line)";
    unsaid_ = 0;
    return text;
  }

 private:
  const int at_once_;
  const Duration every_;
  Instant said_until_{};  // lines that were logged ahead of their time reach so far
  std::uint64_t unsaid_ = 0;
};

}  // namespace accelmesh
