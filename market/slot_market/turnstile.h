// Turnstile: messages that have come in, and whose turn is next. Identities take turns, and so do the connections of
// each: however much one sends, and over however many connections, another waits for one message of his at a time.
//
// Threads: one at a time.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <unordered_map>

#include "protocol/base/bytes.h"

namespace accelmesh::market {

class Turnstile {
 public:
  // A line is as long as a program of good will ever makes it; beyond it a message is refused.
  static constexpr std::size_t kLineMax = 4096;                     // of a connection
  static constexpr std::size_t kBytesMax = std::size_t{32} << 20U;  // of an identity

  struct Arrival {
    std::string peer;  // the connection
    std::string identity;
    Bytes bytes;
  };

  // False: too many wait already, and `arrival` is as it was.
  bool Enter(Arrival& arrival) {
    Lines& lines = identities_[arrival.identity];
    const std::size_t size = arrival.bytes.size();
    std::deque<Arrival>& line = lines.of[arrival.peer];
    // One of each connection is always let in.
    if (line.size() >= kLineMax || (!line.empty() && lines.bytes + size > kBytesMax)) return false;
    if (lines.turns.empty()) turns_.push_back(arrival.identity);
    if (line.empty()) lines.turns.push_back(arrival.peer);
    lines.bytes += size;
    line.push_back(std::move(arrival));
    ++size_;
    return true;
  }

  std::optional<Arrival> Next() {
    if (turns_.empty()) return std::nullopt;
    const auto identity = identities_.find(turns_.front());
    Lines& lines = identity->second;
    const auto line = lines.of.find(lines.turns.front());
    std::optional<Arrival> next(std::move(line->second.front()));
    line->second.pop_front();
    lines.bytes -= next->bytes.size();
    --size_;
    if (line->second.empty()) {
      lines.of.erase(line);
    } else {
      lines.turns.push_back(std::move(lines.turns.front()));
    }
    lines.turns.pop_front();
    if (lines.turns.empty()) {
      identities_.erase(identity);
    } else {
      turns_.push_back(std::move(turns_.front()));
    }
    turns_.pop_front();
    return next;
  }

  std::size_t size() const { return size_; }

 private:
  struct Lines {
    std::unordered_map<std::string, std::deque<Arrival>> of;  // by connection; none is empty
    std::deque<std::string> turns;                            // of each line once
    std::size_t bytes = 0;
  };
  std::unordered_map<std::string, Lines> identities_;  // none is without lines
  std::deque<std::string> turns_;
  std::size_t size_ = 0;
};

}  // namespace accelmesh::market
