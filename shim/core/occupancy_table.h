// What was asked of the server about how much of a launch runs at a time, and what it answered.
//
// Threads: any.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "protocol/base/bytes.h"
#include "protocol/base/mutex.h"

namespace accelmesh {

class OccupancyTable {
 public:
  // `question`: the command's bytes.
  std::optional<std::uint32_t> Find(std::uint32_t module, const Bytes& question) const {
    const MutexLock lock(mu_);
    const auto answers = answers_.find(module);
    if (answers == answers_.end()) return std::nullopt;
    const auto known = answers->second.find(question);
    return known != answers->second.end() ? std::optional(known->second) : std::nullopt;
  }
  void Add(std::uint32_t module, const Bytes& question, std::uint32_t answer) {
    const MutexLock lock(mu_);
    answers_[module].emplace(question, answer);
  }
  // The module is unloaded.
  void Forget(std::uint32_t module) {
    const MutexLock lock(mu_);
    answers_.erase(module);
  }

 private:
  mutable Mutex mu_;
  std::map<std::uint32_t, std::map<Bytes, std::uint32_t>> answers_ ACCELMESH_GUARDED_BY(mu_);
};

}  // namespace accelmesh
