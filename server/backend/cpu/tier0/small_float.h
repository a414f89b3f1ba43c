// Floating-point formats of 19 bits and fewer, by way of double, which holds every value of theirs. Private to this
// folder.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "server/backend/cpu/ptx/module.h"

namespace accelmesh::tier0 {

struct Format {
  int fraction_bits = 0;
  int bias = 0;
  int bits = 0;
  bool has_infinity = true;
};
inline constexpr Format kHalf{10, 15, 16, true};
inline constexpr Format kBrain{7, 127, 16, true};
inline constexpr Format kFormatE5m2{2, 15, 8, true};
inline constexpr Format kFormatE4m3{3, 7, 8, false};
inline constexpr Format kFormatTf32{10, 127, 19, true};

enum Direction : std::uint8_t { kNearest, kZero, kDown, kUp };

inline double FromSmall(std::uint32_t v, const Format& format) {
  const std::uint32_t sign = 1u << (format.bits - 1);
  const std::uint32_t magnitude = v & (sign - 1);
  const std::uint32_t exponent = magnitude >> format.fraction_bits;
  const std::uint32_t fraction = magnitude & ((1u << format.fraction_bits) - 1);
  const std::uint64_t negative = (v & sign) != 0 ? 1ull << 63 : 0;
  const bool top = exponent == (sign - 1) >> format.fraction_bits;
  const auto scaled = [](int power) { return std::bit_cast<double>(static_cast<std::uint64_t>(1023 + power) << 52); };
  double d = 0;
  if (top && (format.has_infinity || magnitude == sign - 1)) {
    d = fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
  } else if (exponent == 0) {
    d = fraction * scaled(1 - format.bias - format.fraction_bits);
  } else {
    d = std::bit_cast<double>((std::uint64_t{exponent} + 1023u - static_cast<std::uint32_t>(format.bias)) << 52 |
                              std::uint64_t{fraction} << (52 - format.fraction_bits));
  }
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(d) | negative);
}

// What is too large becomes infinity, or with `finite` (.satfinite) the largest number.
inline std::uint32_t ToSmall(double v, const Format& format, std::uint8_t direction, bool finite = false) {
  const std::uint32_t sign_bit = 1u << (format.bits - 1);
  if (std::isnan(v)) return sign_bit - 1;
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(v) & ~(1ull << 63);
  const bool negative = std::signbit(v);
  const std::uint32_t sign = negative ? sign_bit : 0;
  const std::uint32_t infinity = (sign_bit - 1) >> format.fraction_bits << format.fraction_bits;
  const std::uint32_t largest = format.has_infinity ? infinity - 1 : sign_bit - 2;
  const bool away = direction == (negative ? kDown : kUp);
  const int exponent = static_cast<int>(bits >> 52) - 1023;
  const int lowest = 1 - format.bias;
  std::uint64_t small = std::uint64_t{largest} + 1;
  if (!std::isinf(v)) {
    const std::uint64_t mantissa = (bits & ((1ull << 52) - 1)) | (exponent == -1023 ? 0 : 1ull << 52);
    const int shift = std::min(52 - format.fraction_bits + std::max(lowest - exponent, 0), 62);
    const std::uint64_t rest = mantissa & ((1ull << shift) - 1);
    const std::uint64_t middle = 1ull << (shift - 1);
    std::uint64_t units = mantissa >> shift;
    if (direction == kNearest ? rest > middle || (rest == middle && (units & 1) != 0) : away && rest != 0) ++units;
    // A carry out of the fraction goes into the exponent, as it should; so does the leading one.
    small = units + (exponent >= lowest ? static_cast<std::uint64_t>(exponent - lowest) << format.fraction_bits : 0);
  }
  if (small > largest) {
    const bool bounded = finite || (!std::isinf(v) && direction != kNearest && !away);
    small = bounded || !format.has_infinity ? largest : infinity;
  }
  return sign | static_cast<std::uint32_t>(small);
}

// The sum with its last bit set if anything was lost (round to odd): rounding that once more is as if it were the exact
// sum's only rounding.
inline double AddToOdd(double a, double b) {
  const double sum = a + b;
  if (!std::isfinite(sum)) return sum;
  const double part = sum - a;
  const double lost = (a - (sum - part)) + (b - part);
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(sum);
  if (lost == 0 || (bits & 1) != 0) return sum;
  return std::bit_cast<double>((lost > 0) == (sum > 0) ? bits + 1 : bits - 1);
}

// tf32 stands in the upper bits of a single-precision register; hardware reads no others.
inline double FromTf32(std::uint64_t v) { return FromSmall(static_cast<std::uint32_t>(v) >> 13, kFormatTf32); }

inline bool IsHalfType(ptx::Type type) {
  return type == ptx::Type::kF16 || type == ptx::Type::kF16x2 || type == ptx::Type::kBf16 || type == ptx::Type::kBf16x2;
}
inline bool IsBrainType(ptx::Type type) { return type == ptx::Type::kBf16 || type == ptx::Type::kBf16x2; }
inline bool IsPairType(ptx::Type type) { return type == ptx::Type::kF16x2 || type == ptx::Type::kBf16x2; }

}  // namespace accelmesh::tier0
