// Takes a fuzzer's bytes apart: small numbers and pieces of bounded length, in order, never past the end.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "protocol/base/bytes.h"

namespace accelmesh::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}
  bool empty() const { return rest_.empty(); }

  // Zero once the bytes are used up.
  template <typename T>
  T Number() {
    T value{};
    const std::size_t size = std::min(sizeof(T), rest_.size());
    std::memcpy(&value, rest_.data(), size);
    rest_ = rest_.subspan(size);
    return value;
  }
  ByteView Piece(std::size_t size) {
    const ByteView piece = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(piece.size());
    return piece;
  }
  // A piece behind its 16-bit length.
  ByteView Counted() { return Piece(Number<std::uint16_t>()); }
  ByteView Rest() { return Piece(rest_.size()); }

 private:
  ByteView rest_;
};

// What a fuzzer asserts; also in builds without assert().
inline void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

// Reads every byte, so that the sanitizers see views that point nowhere.
inline void Touch(ByteView bytes) {
  unsigned sum = 0;
  for (const std::uint8_t byte : bytes) sum += byte;
  volatile unsigned sink = sum;
  (void)sink;
}

}  // namespace accelmesh::fuzz
