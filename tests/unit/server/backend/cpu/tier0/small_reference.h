// References for formats of 16 bits and fewer: the value of each pattern by its definition, and rounding by search
// among neighbours.
#pragma once

#include <cmath>
#include <cstdint>

#include "tests/unit/server/backend/cpu/tier0/exact.h"

namespace accelmesh::tier0 {

struct SmallFormat {
  const char* name;
  int fraction_bits;
  int bias;
  int bits;
  int largest;  // the pattern of the largest number
  bool has_infinity;

  int sign() const { return 1 << (bits - 1); }
  bool IsNan(std::uint64_t v) const {
    return static_cast<int>(v & static_cast<std::uint64_t>(sign() - 1)) > largest + (has_infinity ? 1 : 0);
  }
  double Value(std::uint64_t v) const {
    const int magnitude = static_cast<int>(v) & (sign() - 1);
    const double s = (static_cast<int>(v) & sign()) != 0 ? -1 : 1;
    if (IsNan(v)) return std::nan("");
    if (has_infinity && magnitude == largest + 1) return s * std::numeric_limits<double>::infinity();
    return s * Finite(magnitude);
  }
  double Finite(int magnitude) const {
    const int exponent = magnitude >> fraction_bits;
    const int fraction = magnitude & ((1 << fraction_bits) - 1);
    return exponent == 0 ? fraction * std::pow(2.0, 1 - bias - fraction_bits)
                         : (fraction + (1 << fraction_bits)) * std::pow(2.0, exponent - bias - fraction_bits);
  }
  // Of a value that lies a little above (sticky 1) or below (-1) `x`, or is it. saturates: .satfinite.
  std::uint64_t Round(Quad x, Toward toward = Toward::kNearest, int sticky = 0, bool saturates = false) const {
    if (x != x) return static_cast<std::uint64_t>(sign() - 1);
    const bool negative = x < 0 || (x == 0 && std::signbit(static_cast<double>(x)));
    const Quad m = negative ? -x : x;
    const int above_or_below = negative ? -sticky : sticky;
    // low <= m < high, where the pattern behind the largest stands for the next power of two or step.
    int low = 0, high = largest + 1;
    if (std::isinf(static_cast<double>(m))) low = largest + 1;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      const bool below = Finite(middle) < m || (Finite(middle) == m && above_or_below >= 0);
      (below ? low : high) = middle;
    }
    int chosen = low;
    const Quad under = Finite(low), over = Finite(high);
    if (low <= largest && (m != under || above_or_below != 0)) {
      const Quad down = m - under, up = over - m;
      const bool nearer_up = down > up || (down == up && (above_or_below > 0 || (above_or_below == 0 && low % 2 != 0)));
      const bool go_up = toward == Toward::kNearest ? nearer_up
                         : toward == Toward::kUp    ? !negative
                         : toward == Toward::kDown  ? negative
                                                    : false;
      // Further away than that is nearer to infinity for rounding to nearest.
      chosen = go_up || (toward == Toward::kNearest && m >= over) ? high : low;
    }
    if (chosen > largest && (saturates || !has_infinity)) chosen = largest;
    return static_cast<std::uint64_t>((negative ? sign() : 0) | chosen);
  }
};
inline constexpr SmallFormat kF16Format{"f16", 10, 15, 16, 0x7bff, true};
inline constexpr SmallFormat kBf16Format{"bf16", 7, 127, 16, 0x7f7f, true};
inline constexpr SmallFormat kE5m2Format{"e5m2", 2, 15, 8, 0x7b, true};
inline constexpr SmallFormat kE4m3Format{"e4m3", 3, 7, 8, 0x7e, false};

}  // namespace accelmesh::tier0
