// What cudaLogs* hands out: the calls that failed and what the shim had to say, newest last, as the driver of a local
// GPU keeps them.
//
// Threads: everything from any thread; callbacks run on the thread that logs, under no lock, and what they log
// themselves is kept but told to nobody. Format of a line: "[hh:mm:ss.mmm][thread][CUDA][E] text\n", E for errors and W
// for warnings.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/mutex.h"

namespace accelmesh {

class LogBuffer {
 public:
  static LogBuffer& Get();

  void Add(cudaLogLevel level, std::string_view text) noexcept;

  // The number that the next entry gets.
  cudaLogIterator End();
  // All lines from entry `from` on, and a word about it if older ones were dropped meanwhile; `*end` is where to go on.
  std::string Lines(cudaLogIterator from, cudaLogIterator* end);
  // The same in at most `room` bytes: the newest lines that fit, behind a word about it if not all do. False if not
  // even the newest does.
  bool LinesThatFit(cudaLogIterator from, std::size_t room, std::string* lines, cudaLogIterator* end);

  // The handle, to remove it by.
  const void* AddCallback(cudaLogsCallback_t function, void* data);
  bool RemoveCallback(const void* handle);

  // Around fork().
  void LockForFork() ACCELMESH_THREAD_ATTRIBUTE(acquire_capability(mu_)) { mu_.lock(); }
  void UnlockAfterFork() ACCELMESH_THREAD_ATTRIBUTE(release_capability(mu_)) { mu_.unlock(); }

 private:
  struct Callback {
    cudaLogsCallback_t function;
    void* data;
  };

  // Lines from `from` on, oldest first, and whether there were more.
  std::vector<std::string_view> Since(cudaLogIterator from, bool* were_dropped) ACCELMESH_REQUIRES(mu_);

  Mutex mu_;
  std::deque<std::string> lines_ ACCELMESH_GUARDED_BY(mu_);
  std::size_t bytes_ ACCELMESH_GUARDED_BY(mu_) = 0;  // of all lines
  cudaLogIterator end_ ACCELMESH_GUARDED_BY(mu_) = 0;
  std::vector<std::unique_ptr<const Callback>> callbacks_ ACCELMESH_GUARDED_BY(mu_);
};

// A call that returned an error, for the log.
void NoteFailedCall(const char* name, cudaError_t error) noexcept;
// From here on what the shim logs is kept here, too.
void KeepLogLines();

}  // namespace accelmesh
