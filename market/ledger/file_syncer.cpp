#include "market/ledger/file_syncer.h"

#include <unistd.h>

#include <cerrno>

namespace accelmesh::market::ledger {

FileSyncer::~FileSyncer() {
  {
    const MutexLock lock(mutex_);
    ends_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
  const MutexLock lock(mutex_);
  for (const Written& written : files_) ::close(written.file);
}

Status FileSyncer::Add(std::string path, int file) {
  MutexLock lock(mutex_);
  while (files_.size() >= kFilesMax && fault_.ok()) changed_.Wait(mutex_);
  if (!fault_.ok()) {
    ::close(file);
    return fault_;
  }
  files_.push_back({std::move(path), file});
  changed_.NotifyAll();
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  return Status::Ok();
}

bool FileSyncer::IsIdle() const {
  const MutexLock lock(mutex_);
  return files_.empty();
}

Status FileSyncer::Wait() {
  MutexLock lock(mutex_);
  while (!files_.empty() && fault_.ok()) changed_.Wait(mutex_);
  return fault_;
}

void FileSyncer::Run() {
  MutexLock lock(mutex_);
  while (!ends_) {
    if (files_.empty() || !fault_.ok()) {
      changed_.Wait(mutex_);
      continue;
    }
    const int file = files_.front().file;
    lock.Unlock();
    const int fault = ::fdatasync(file) == 0 ? 0 : errno;
    lock.Lock();
    if (fault != 0) {
      fault_ = Status::System(fault, "ledger::FileSyncer", "syncing " + files_.front().path);
    } else {
      ::close(file);
      files_.pop_front();
    }
    changed_.NotifyAll();
  }
}

}  // namespace accelmesh::market::ledger
