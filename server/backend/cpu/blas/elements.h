// Types of elements, and the arguments of functions as their implementations take them.
//
// Threads: values.
#pragma once

#include <complex>
#include <cstdint>
#include <type_traits>

#include "protocol/library/library.h"
#include "server/backend/cpu/blas/small_floats.h"

namespace accelmesh::cpu_blas {

using ComplexFloat = std::complex<float>;
using ComplexDouble = std::complex<double>;
using i64 = std::int64_t;

// A complex number of two bytes, for products only.
struct alignas(2) ComplexInt8 {
  std::int8_t real = 0;
  std::int8_t imaginary = 0;
  explicit operator ComplexFloat() const { return {static_cast<float>(real), static_cast<float>(imaginary)}; }
};

template <typename T>
inline constexpr bool kIsComplex = std::is_same_v<T, ComplexFloat> || std::is_same_v<T, ComplexDouble>;
template <typename T>
inline constexpr bool kIsSmall = std::is_same_v<T, Half> || std::is_same_v<T, Bfloat16>;

// What sums of T are kept in.
template <typename T>
using Sum = std::conditional_t<kIsSmall<T>, float, T>;
template <typename T>
struct RealOfType {
  using type = T;
};
template <typename T>
struct RealOfType<std::complex<T>> {
  using type = T;
};
template <typename T>
using RealOf = typename RealOfType<T>::type;

template <typename To, typename From>
To Convert(From value) {
  if constexpr (kIsSmall<From>) {
    return Convert<To>(static_cast<float>(value));
  } else if constexpr (kIsSmall<To>) {
    return To(static_cast<float>(value));
  } else {
    return static_cast<To>(value);
  }
}

// What sums of many are kept in that are rounded once.
template <typename T>
using Wide = std::conditional_t<kIsComplex<T>, ComplexDouble, double>;

// The conjugate, of a real number itself.
template <typename T>
T Conjugate(T value) {
  if constexpr (kIsComplex<T>) {
    return std::conj(value);
  } else {
    return value;
  }
}
template <typename T>
T ConjugateIf(bool condition, T value) {
  return condition ? Conjugate(value) : value;
}

// Addresses of device memory, which nobody has checked yet.
template <typename T>
struct In {
  std::uint64_t address;
};
template <typename T>
struct Out {
  std::uint64_t address;
  operator In<T>() const { return {address}; }
};
// Of device memory that holds such addresses.
template <typename T>
struct InArray {
  std::uint64_t address;
};
template <typename T>
struct OutArray {
  std::uint64_t address;
};
// A value in the call, or the address of one.
template <typename T>
struct Scalar {
  std::size_t word;
};
template <typename T>
struct Result {
  std::size_t word;
};
template <typename T>
struct InOut {
  std::size_t word;
};

// Arguments by their words, for generated code.
class Arguments {
 public:
  explicit Arguments(ByteView bytes) : words_(bytes) {}
  const LibraryArguments& words() const { return words_; }
  i64 Number(std::size_t word) const { return words_.Word(word); }
  int Enum(std::size_t word) const { return static_cast<int>(words_.Word(word)); }
  template <typename T>
  cpu_blas::In<T> In(std::size_t word) const {
    return {static_cast<std::uint64_t>(words_.Word(word))};
  }
  template <typename T>
  cpu_blas::Out<T> Out(std::size_t word) const {
    return {static_cast<std::uint64_t>(words_.Word(word))};
  }
  template <typename T>
  cpu_blas::InArray<T> InArray(std::size_t word) const {
    return {static_cast<std::uint64_t>(words_.Word(word))};
  }
  template <typename T>
  cpu_blas::OutArray<T> OutArray(std::size_t word) const {
    return {static_cast<std::uint64_t>(words_.Word(word))};
  }
  template <typename T>
  cpu_blas::Scalar<T> Scalar(std::size_t word) const {
    return {word};
  }
  template <typename T>
  cpu_blas::Result<T> Result(std::size_t word) const {
    return {word};
  }
  template <typename T>
  cpu_blas::InOut<T> InOut(std::size_t word) const {
    return {word};
  }

 private:
  LibraryArguments words_;
};

}  // namespace accelmesh::cpu_blas
