// Bounds: what a verified FlatBuffer from a peer may still do to us. Strings and vectors may be shared, so that a small
// message unpacks into a huge one: all of it together must fit into the message's own size. And each field has a bound.
//
// Threads: one. The first fault stays.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include "protocol/base/result.h"

namespace accelmesh::market {

class Bounds {
 public:
  // Before the field's name in a status' place.
  static constexpr std::string_view kWhere = "market message.";

  explicit Bounds(std::size_t size) : left_(size) {}

  using String = flatbuffers::String;
  using Strings = flatbuffers::Vector<flatbuffers::Offset<String>>;

  // Anything printable and line feeds, up to `most` bytes.
  void Text(const String* text, std::size_t most, const char* field) {
    if (text == nullptr || !Spend(text->size(), field)) return;
    if (text->size() > most) return Fail(field, "longer than " + std::to_string(most) + " bytes");
    for (const char c : View(text)) {
      if ((static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f)
        return Fail(field, "holds a control character");
    }
  }
  // What identifies something: printable, without spaces; may be absent only if `optional`.
  void Id(const String* text, std::size_t most, const char* field, bool optional = false) {
    Text(text, most, field);
    if (Empty(text)) return optional ? void() : Fail(field, "is missing");
    for (const char c : View(text)) {
      if (c <= ' ' || c > '~') return Fail(field, "has a character that an id has not");
    }
  }
  // A public key: 64 lower-case hexadecimal digits.
  void Key(const String* text, const char* field, bool optional = false) {
    Text(text, 64, field);
    if (Empty(text)) return optional ? void() : Fail(field, "is missing");
    if (text->size() != 64 || View(text).find_first_not_of("0123456789abcdef") != std::string_view::npos) {
      Fail(field, "is not a key of 64 hexadecimal digits");
    }
  }
  void Raw(const flatbuffers::Vector<std::uint8_t>* bytes, std::size_t size, const char* field, bool optional = false) {
    const std::size_t is = bytes != nullptr ? bytes->size() : 0;
    if (!Spend(is, field)) return;
    if (is != size && !(optional && is == 0)) {
      Fail(field, "has " + std::to_string(is) + " bytes and not " + std::to_string(size));
    }
  }
  void RawUpTo(const flatbuffers::Vector<std::uint8_t>* bytes, std::size_t most, const char* field) {
    const std::size_t is = bytes != nullptr ? bytes->size() : 0;
    if (Spend(is, field) && is > most) Fail(field, "has more than " + std::to_string(most) + " bytes");
  }
  template <typename T>
  void Within(T value, T least, T most, const char* field) {
    if (!(value >= least && value <= most)) Fail(field, "is out of range");
  }
  void Finite(double value, const char* field) {
    if (!std::isfinite(value) || value < 0) Fail(field, "is no number that could be measured");
  }
  // Calls check(element) for each; the count is bounded first.
  template <typename Vector, typename Check>
  void Each(const Vector* list, std::size_t most, const char* field, const Check& check) {
    if (list == nullptr || !Spend(std::size_t{4} * list->size(), field)) return;
    if (list->size() > most) return Fail(field, "has more than " + std::to_string(most) + " entries");
    for (const auto* element : *list) {
      if (!status_.ok()) return;
      check(*element);
    }
  }
  void Fail(const char* field, const std::string& what) {
    if (status_.ok()) status_ = Status(Code::kBadFrame, std::string(kWhere) + field, what);
  }
  const Status& status() const { return status_; }

 private:
  static std::string_view View(const String* text) { return {text->c_str(), text->size()}; }
  static bool Empty(const String* text) { return text == nullptr || text->size() == 0; }
  bool Spend(std::size_t size, const char* field) {
    if (size <= left_) {
      left_ -= size;
      return true;
    }
    Fail(field, "is larger than the message it came in");
    return false;
  }

  std::size_t left_;
  Status status_;
};

}  // namespace accelmesh::market
