// Views of bytes and bounded reading of bytes that somebody else wrote.
//
// Threads: values. Ownership: a view owns nothing; what it points to outlives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "protocol/base/result.h"

namespace accelmesh {

using ByteView = std::span<const std::uint8_t>;
using MutableByteView = std::span<std::uint8_t>;
using Bytes = std::vector<std::uint8_t>;

inline ByteView AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
// The bytes of a plain value. Not of arrays or pointers: a string literal would bring its terminating zero.
template <typename T>
  requires(std::is_trivially_copyable_v<T> && !std::is_array_v<T> && !std::is_pointer_v<T>)
ByteView AsBytes(const T& value) {
  return {reinterpret_cast<const std::uint8_t*>(&value), sizeof(T)};
}
inline std::string_view AsText(ByteView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// Rounds up to a power-of-two alignment. Precondition: no overflow (callers bound `value` by limits.h).
constexpr std::uint64_t AlignUp(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

// Reads fixed-size values from untrusted bytes; every read is checked against what is left.
class ByteReader {
 public:
  ByteReader(ByteView bytes, const char* where) : bytes_(bytes), where_(where) {}

  template <typename T>
    requires std::is_trivially_copyable_v<T>
  Result<T> Read() {
    if (bytes_.size() < sizeof(T)) return Short(sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data(), sizeof(T));
    bytes_ = bytes_.subspan(sizeof(T));
    return value;
  }
  Result<ByteView> Take(std::size_t size) {
    if (bytes_.size() < size) return Short(size);
    ByteView taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }
  std::size_t left() const { return bytes_.size(); }
  ByteView rest() const { return bytes_; }

 private:
  Status Short(std::size_t wanted) const {
    return {Code::kBadFrame, where_,
            "needs " + std::to_string(wanted) + " bytes, " + std::to_string(bytes_.size()) + " are left"};
  }

  ByteView bytes_;
  const char* where_;
};

}  // namespace accelmesh
