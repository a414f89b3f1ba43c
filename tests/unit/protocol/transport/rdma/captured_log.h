// The log's lines while it lives. One at a time.
#pragma once

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "protocol/base/log.h"

namespace accelmesh::rdma {

class CapturedLog {
 public:
  CapturedLog() {
    (void)Take();
    log::SetLevel(log::Level::kInfo);
    log::SetSink([](log::Level, std::string_view line) {
      const std::lock_guard lock(mutex_);
      lines_.emplace_back(line);
    });
  }
  ~CapturedLog() { log::SetSink(nullptr); }
  CapturedLog(const CapturedLog&) = delete;

  static std::vector<std::string> Take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(lines_, {});
  }

 private:
  static inline std::mutex mutex_;
  static inline std::vector<std::string> lines_;
};

}  // namespace accelmesh::rdma
