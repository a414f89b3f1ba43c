// Templates of ClientSession that its source files share; not for anybody else.
#pragma once

#include <chrono>

#include "shim/core/session.h"

namespace accelmesh {

// CUresult numbers that the client itself decides on.
inline constexpr DeviceResult kInvalidValue = 1;
inline constexpr DeviceResult kOutOfMemory = 2;
inline constexpr DeviceResult kInvalidHandle = 400;
inline constexpr DeviceResult kUnknown = 999;

template <typename Predicate>
DeviceResult ClientSession::Wait(Predicate done) {
  // No deadline of ours: a kernel may run for days. What ends the wait early is the peer's end, which the channel sees.
  const Status waited = commands_->WaitUntil(done, Deadline::After(std::chrono::hours(24 * 365)));
  if (!waited.ok() && !done()) return Lost(waited);
  return 0;
}

template <typename T>
DeviceResult ClientSession::PostOn(Stream* stream, const T& body, ByteView payload, std::uint64_t* posted) {
  const Result<std::uint64_t> sequence = commands_->Post(body, payload);
  if (!sequence.ok()) return Lost(sequence.status());
  if (posted != nullptr) *posted = *sequence;
  // Threads that share a stream may finish their posts in another order than they appended: keep the highest.
  std::uint64_t last = stream->last_sequence.load(std::memory_order_relaxed);
  while (last < *sequence && !stream->last_sequence.compare_exchange_weak(last, *sequence, std::memory_order_release)) {
  }
  return 0;
}

}  // namespace accelmesh
