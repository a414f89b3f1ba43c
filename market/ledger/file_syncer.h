// FileSyncer: brings written files to the disk behind the back of whoever wrote them, one after the other.
//
// Threads: Add, Wait and IsIdle from one; the syncs are on a thread of its own, which begins with the first file.
#pragma once

#include <deque>
#include <string>
#include <thread>

#include "protocol/base/mutex.h"
#include "protocol/base/result.h"

namespace accelmesh::market::ledger {

class FileSyncer {
 public:
  // Files that may wait; who adds another one waits, too.
  static constexpr std::size_t kFilesMax = 256;

  FileSyncer() = default;
  // Files that still wait are closed without a sync.
  ~FileSyncer();
  FileSyncer(const FileSyncer&) = delete;
  FileSyncer& operator=(const FileSyncer&) = delete;

  // Takes the descriptor. Fails, as the others do, once a sync has failed: nobody knows what the disk has then.
  Status Add(std::string path, int file) ACCELMESH_EXCLUDES(mutex_);
  bool IsIdle() const ACCELMESH_EXCLUDES(mutex_);
  // Until all that were added are on the disk.
  Status Wait() ACCELMESH_EXCLUDES(mutex_);

 private:
  struct Written {
    std::string path;
    int file = -1;
  };
  void Run() ACCELMESH_EXCLUDES(mutex_);

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<Written> files_ ACCELMESH_GUARDED_BY(mutex_);  // the first one is being synced
  Status fault_ ACCELMESH_GUARDED_BY(mutex_);
  bool ends_ ACCELMESH_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace accelmesh::market::ledger
