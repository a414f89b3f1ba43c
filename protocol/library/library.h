// Calls of NVIDIA's libraries as they cross the wire: which libraries there are, and how arguments are laid out.
//
//     arguments := flags word*          a word is 8 bytes, little-endian
//
// A function's words are its parameters without the handle, in their order, and are as many as its shape says: a
// number, an enumerator or an address is one word; a scalar (alpha, beta) is as many as its widest type fills, its
// value or, with kDevicePointers, its address in the first. A result with kDevicePointers is an address; without, it is
// 0 and comes back in the answer. Shapes are generated from the installed headers (protocol/gen/blas.py).
//
// Threads: values. A view into arguments lives as long as they.
#pragma once

#include <cstdint>

#include "protocol/base/bytes.h"

namespace accelmesh {

// The numbers are on the wire.
inline constexpr std::uint32_t kLibraryBlas = 1;
inline constexpr std::uint32_t kLibraryBlasLt = 2;  // its words: lt_problem.h
inline constexpr std::uint32_t kLibraryDnn = 3;     // its words: dnn_calls.h

inline constexpr std::uint64_t kDevicePointers = 1;  // of flags: scalars and results are in the device's memory
inline constexpr std::size_t kLibraryWordsMax = 127;

// Whether it is a function that wire::LibraryAsk is for, and the others are not.
bool IsAsked(std::uint32_t library, std::uint32_t function);
// Whether the library will answer so again: what it did or cannot do, not what it failed at this time.
bool IsLasting(std::uint32_t library, std::uint32_t status);
// Whether `arguments` have the shape of that function, which exists.
bool HasLibraryShape(std::uint32_t library, std::uint32_t function, ByteView arguments);
// How many functions the library has numbers for; 0 if there is no such library.
std::uint32_t LibraryFunctions(std::uint32_t library);
const char* LibraryFunctionName(std::uint32_t library, std::uint32_t function);

inline bool HasBit(ByteView bits, std::uint32_t index) {
  return index / 8 < bits.size() && (bits[index / 8] >> (index % 8) & 1) != 0;
}

// Reads words of arguments whose shape has been checked.
class LibraryArguments {
 public:
  explicit LibraryArguments(ByteView bytes) : bytes_(bytes) {}
  bool has_device_pointers() const { return (At<std::uint64_t>(0) & kDevicePointers) != 0; }
  std::int64_t Word(std::size_t index) const { return At<std::int64_t>(8 * (1 + index)); }
  // A value of `T` that begins with a word.
  template <typename T>
  T Value(std::size_t index) const {
    return At<T>(8 * (1 + index));
  }
  ByteView Raw(std::size_t index, std::size_t bytes) const { return bytes_.subspan(8 * (1 + index), bytes); }

 private:
  template <typename T>
  T At(std::size_t offset) const {
    T value{};
    if (offset + sizeof(T) <= bytes_.size()) std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }

  ByteView bytes_;
};

}  // namespace accelmesh
