// The bytes of the ledger's entries: fixed-size numbers, little-endian, and texts and bytes behind their lengths. Each
// value has one encoding, so that what was signed or hashed can be written again from what was read.
//
// Threads: values.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "market/ledger/merkle.h"
#include "protocol/security/keys.h"

namespace accelmesh::market::ledger {

class Writer {
 public:
  template <typename T>
    requires std::is_integral_v<T>
  void Number(T value) {
    const ByteView view = AsBytes(value);
    bytes_.insert(bytes_.end(), view.begin(), view.end());
  }
  void Raw(ByteView bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  // Behind 32 bits of length.
  void Counted(ByteView bytes) {
    Number(static_cast<std::uint32_t>(bytes.size()));
    Raw(bytes);
  }
  void Text(std::string_view text) { Counted(AsBytes(text)); }
  const Bytes& bytes() const { return bytes_; }
  Bytes Take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

// Reads what a Writer wrote from bytes that may be anything. After the first fault everything read is zero or empty,
// and Finish() says so; so fields are read without looking at each.
class Reader {
 public:
  Reader(ByteView bytes, const char* where) : rest_(bytes), where_(where) {}

  template <typename T>
    requires std::is_integral_v<T>
  T Number() {
    T value{};
    const ByteView view = Raw(sizeof(T));
    if (view.size() == sizeof(T)) std::memcpy(&value, view.data(), sizeof(T));
    return value;
  }
  // kBadFrame, in Finish(), unless 0 or 1.
  bool Flag() {
    const auto value = Number<std::uint8_t>();
    if (value > 1) Fail("a flag that is neither 0 nor 1");
    return value == 1;
  }
  ByteView Raw(std::size_t size) {
    if (size > rest_.size()) {
      Fail("it is cut off");
      return {};
    }
    const ByteView taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  template <std::size_t kSize>
  std::array<std::uint8_t, kSize> Array() {
    std::array<std::uint8_t, kSize> value{};
    const ByteView view = Raw(kSize);
    if (view.size() == kSize) std::copy(view.begin(), view.end(), value.begin());
    return value;
  }
  ByteView Counted(std::size_t most) {
    const auto size = Number<std::uint32_t>();
    if (size > most) {
      Fail("something longer than it may be");
      return {};
    }
    return Raw(size);
  }
  std::string Text(std::size_t most) { return std::string(AsText(Counted(most))); }
  // How many things of at least `bytes_each` follow: never more than the bytes left can hold.
  std::size_t Count(std::size_t most, std::size_t bytes_each) {
    const auto count = Number<std::uint32_t>();
    if (count > most || count > rest_.size() / bytes_each) {
      Fail("more of something than there may be");
      return 0;
    }
    return count;
  }
  void Fail(const char* what) {
    if (fault_ == nullptr) fault_ = what;
    rest_ = {};
  }
  bool ok() const { return fault_ == nullptr; }
  // Everything was read, and was well.
  Status Finish() {
    if (ok() && !rest_.empty()) Fail("bytes behind its end");
    if (ok()) return Status::Ok();
    return {Code::kBadFrame, where_, fault_};
  }

 private:
  ByteView rest_;
  const char* where_;
  const char* fault_ = nullptr;
};

}  // namespace accelmesh::market::ledger
