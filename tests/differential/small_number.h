// Numbers of half precision and bfloat16: what their bits mean, and the one rounding to them.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace accelmesh::differential {

struct SmallFormat {
  int precision;     // bits of the fraction, the leading one included
  int exponent_max;  // and the bias
  int exponent_min() const { return 1 - exponent_max; }
};
inline constexpr SmallFormat kF16{11, 15};
inline constexpr SmallFormat kBf16{8, 127};
inline constexpr std::uint32_t kSmallNan = 0x7fff;

enum class Rounding { kNearest, kZero, kDown, kUp };

inline double SmallToDouble(std::uint32_t bits, const SmallFormat& format) {
  const int fraction_bits = format.precision - 1;
  const int field = static_cast<int>(bits & 0x7fff) >> fraction_bits;
  const int fraction = static_cast<int>(bits & ((1u << fraction_bits) - 1));
  double v = 0;
  if (field > 2 * format.exponent_max) {
    v = fraction == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  } else if (field == 0) {
    v = std::ldexp(fraction, format.exponent_min() - fraction_bits);
  } else {
    v = std::ldexp(fraction + (1 << fraction_bits), field - format.exponent_max - fraction_bits);
  }
  return (bits & 0x8000) != 0 ? -v : v;
}

inline std::uint32_t DoubleToSmall(long double v, const SmallFormat& format, Rounding rounding) {
  if (std::isnan(v)) return kSmallNan;
  const bool negative = std::signbit(v);
  const std::uint32_t sign = negative ? 0x8000 : 0;
  const int fraction_bits = format.precision - 1;
  const std::uint32_t infinity = static_cast<std::uint32_t>(2 * format.exponent_max + 1) << fraction_bits;
  if (std::isinf(v)) return sign | infinity;
  if (v == 0) return sign;
  int exponent = 0;
  std::frexp(v, &exponent);
  int unit = std::max(exponent - 1, format.exponent_min()) - fraction_bits;
  const long double scaled = std::ldexp(std::fabs(v), -unit);
  auto count = static_cast<std::uint32_t>(scaled);
  const long double rest = scaled - count;
  switch (rounding) {
    case Rounding::kNearest: count += rest > 0.5L || (rest == 0.5L && count % 2 == 1) ? 1 : 0; break;
    case Rounding::kZero: break;
    case Rounding::kDown: count += negative && rest > 0 ? 1 : 0; break;
    case Rounding::kUp: count += !negative && rest > 0 ? 1 : 0; break;
  }
  if (count >> format.precision != 0) {
    count >>= 1;
    ++unit;
  }
  if (unit + fraction_bits > format.exponent_max) {
    const bool away = rounding == Rounding::kNearest || rounding == (negative ? Rounding::kDown : Rounding::kUp);
    return sign | (away ? infinity : infinity - 1);
  }
  const std::uint32_t leading = 1u << fraction_bits;
  if (count < leading) return sign | count;
  const auto field = static_cast<std::uint32_t>(unit + fraction_bits + format.exponent_max);
  return sign | field << fraction_bits | (count - leading);
}

// a + b so that rounding it once more, to a smaller format, gives what rounding the exact sum would: where bits are
// lost, the last one is 1.
inline double SumToOdd(double a, double b) {
  const double sum = a + b;
  if (!std::isfinite(sum)) return sum;
  const double of_b = sum - a;
  const double lost = (a - (sum - of_b)) + (b - of_b);
  const auto bits = std::bit_cast<std::uint64_t>(sum);
  if (lost == 0 || bits % 2 == 1) return sum;
  return std::bit_cast<double>((lost > 0) == (sum > 0) ? bits + 1 : bits - 1);
}

}  // namespace accelmesh::differential
