#include "server/backend/cuda/output.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace accelmesh::cuda {

Output::~Output() {
  if (stdout_before_ >= 0) {
    std::fflush(stdout);
    ::dup2(stdout_before_, STDOUT_FILENO);
    ::close(stdout_before_);
  }
  if (file_ >= 0) ::close(file_);
}

Status Output::Capture() {
  file_ = ::memfd_create("accelmesh-kernel-output", MFD_CLOEXEC);
  if (file_ < 0) return Status::System(errno, "Output::Capture", "memfd_create");
  std::fflush(stdout);
  stdout_before_ = ::dup(STDOUT_FILENO);
  if (::dup2(file_, STDOUT_FILENO) < 0) return Status::System(errno, "Output::Capture", "dup2");
  return Status::Ok();
}

void Output::Drain(CUstream idle, std::uint64_t sequence, CompletionSink& sink) {
  if (file_ < 0) return;
  (void)driver_.StreamSynchronize(idle);  // an error shows in the next call as well
  std::fflush(stdout);
  struct stat state{};
  if (::fstat(file_, &state) != 0) return;
  char text[4096];
  while (read_bytes_ < state.st_size) {
    const auto wanted = std::min<std::int64_t>(sizeof(text), state.st_size - read_bytes_);
    const ssize_t got = ::pread(file_, text, static_cast<std::size_t>(wanted), read_bytes_);
    if (got <= 0) return;
    sink.Output(sequence, {text, static_cast<std::size_t>(got)});
    read_bytes_ += got;
  }
  // Gives the memory back without moving what a writer appends to.
  (void)::fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, read_bytes_);
}

}  // namespace accelmesh::cuda
