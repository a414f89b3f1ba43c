// Templates of ClientSession that its source files share; not for anybody else.
#pragma once

#include <chrono>

#include "protocol/base/tsan.h"
#include "shim/core/capture.h"
#include "shim/core/session.h"

namespace accelmesh {

// CUresult numbers that the client itself decides on.
inline constexpr DeviceResult kInvalidValue = 1;
inline constexpr DeviceResult kOutOfMemory = 2;
inline constexpr DeviceResult kInvalidHandle = 400;
inline constexpr DeviceResult kContextGone = 709;
inline constexpr DeviceResult kUnsupported = 801;
inline constexpr DeviceResult kUnknown = 999;

inline bool ClientSession::Diverts(const Stream& stream, DeviceResult* result) {
  return captures_->Active() && captures_->Diverts(stream, result);
}

template <typename Predicate>
DeviceResult ClientSession::Wait(Predicate done) {
  // No deadline of ours: a kernel may run for days. What ends the wait early is the peer's end, which the channel sees.
  const Status waited = commands_->WaitUntil(done, Deadline::After(std::chrono::hours(24 * 365)));
  if (!waited.ok() && !done()) return Lost(waited);
  TsanAcquireFromPeer();
  host_calls_.Join();
  return 0;
}

template <typename T>
DeviceResult ClientSession::PostOn(Stream* stream, const T& body, ByteView payload, std::uint64_t* posted) {
  if (DeviceResult refused = 0; Diverts(*stream, &refused)) [[unlikely]] {
    // What can be a node has become one before it came to this.
    captures_->Invalidate(*stream);
    return refused != 0 ? refused : kCaptureUnsupported;
  }
  const Result<std::uint64_t> sequence = commands_->Post(body, payload);
  if (!sequence.ok()) return Lost(sequence.status());
  if (posted != nullptr) *posted = *sequence;
  // Threads that share a stream may finish their posts in another order than they appended: keep the highest.
  std::uint64_t last = stream->last_sequence.load(std::memory_order_relaxed);
  while (last < *sequence && !stream->last_sequence.compare_exchange_weak(last, *sequence, std::memory_order_release)) {
  }
  return 0;
}

template <typename T>
DeviceResult ClientSession::PostNoted(Stream* stream, const T& body, std::uint64_t dst) {
  std::uint64_t sequence = 0;
  const DeviceResult posted = PostOn(stream, body, {}, &sequence);
  if (posted == 0 && IsCommonAddress(dst)) NoteDeviceWork(stream->slot, sequence);
  return posted;
}

}  // namespace accelmesh
