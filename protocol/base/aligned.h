// Bytes at an address where FlatBuffers may read them: as they are if they lie there already, else a copy.
//
// A verified buffer is aligned within itself only, and a transport hands out parts of what it received, at any address.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>

#include "protocol/base/bytes.h"

namespace accelmesh {

// Ownership: borrows `bytes`, which must outlive it. Threads: a value.
class AlignedBytes {
 public:
  explicit AlignedBytes(ByteView bytes) : bytes_(bytes) {
    if (bytes.empty() || reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(std::uint64_t) == 0) return;
    copy_.reset(new std::uint64_t[bytes.size() / sizeof(std::uint64_t) + 1]);
    std::memcpy(copy_.get(), bytes.data(), bytes.size());
    bytes_ = {reinterpret_cast<const std::uint8_t*>(copy_.get()), bytes.size()};
  }
  ByteView view() const { return bytes_; }

 private:
  ByteView bytes_;
  std::unique_ptr<std::uint64_t[]> copy_;
};

// Whether the elements of a FlatBuffers vector, or null, lie where they may be read; its verifier looks at the length
// only.
template <typename Vector>
bool HasAlignedElements(const Vector* vector) {
  return vector == nullptr || vector->size() == 0 ||
         reinterpret_cast<std::uintptr_t>(vector->Data()) % alignof(std::uint64_t) == 0;
}

}  // namespace accelmesh
