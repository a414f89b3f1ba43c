// What kernels print. The driver writes it to the stdout of this process, at moments of its own choosing and at
// Synchronize calls. In a worker nobody else writes there, so stdout becomes a file in memory, which never makes a
// writer wait; what has come is read from it before the counter of the command passes.
//
// Threads: Drain() is the progress thread's; Note() any.
#pragma once

#include <atomic>

#include "server/backend/cuda/driver.h"
#include "server/device.h"

namespace accelmesh::cuda {

class Output {
 public:
  explicit Output(const Driver& driver) : driver_(driver) {}
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Takes over this process's stdout.
  Status Capture();
  // A module that prints is loaded.
  void Note() { prints_.store(true, std::memory_order_release); }
  bool prints() const { return prints_.load(std::memory_order_acquire); }
  // Makes the driver write what it holds and reports it. `idle` is a stream of the device with no work.
  void Drain(CUstream idle, std::uint64_t sequence, CompletionSink& sink);

 private:
  const Driver& driver_;
  std::atomic<bool> prints_{false};
  int file_ = -1;
  int stdout_before_ = -1;
  std::int64_t read_bytes_ = 0;
};

}  // namespace accelmesh::cuda
