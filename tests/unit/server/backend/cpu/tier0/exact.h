// References for floating-point results: computed exactly, or with far more bits than needed, and rounded once by the
// rule that the PTX ISA states. They use neither the processor's rounding modes nor code of the interpreter.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace accelmesh::tier0 {

using Quad = __float128;
enum class Toward { kNearest, kZero, kDown, kUp };

template <typename T>
T FromBits(std::uint64_t bits) {
  if constexpr (std::is_same_v<T, float>) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  } else if constexpr (std::is_same_v<T, double>) {
    return std::bit_cast<double>(bits);
  } else {
    return static_cast<T>(bits);
  }
}
// Single precision has one NaN; which NaN double precision shows is not specified: tests compare by IsNan.
template <typename T>
std::uint64_t ToBits(T v) {
  if constexpr (std::is_same_v<T, float>) {
    return std::isnan(v) ? 0x7fffffffu : std::bit_cast<std::uint32_t>(v);
  } else if constexpr (std::is_same_v<T, double>) {
    return std::isnan(v) ? 0xfff8000000000000u : std::bit_cast<std::uint64_t>(v);
  } else {
    return static_cast<std::uint64_t>(v);
  }
}
// The float of denormal bits as .ftz sees it.
inline float Ftz(float v) {
  return v != 0 && std::fabs(v) < std::numeric_limits<float>::min() ? std::copysign(0.0f, v) : v;
}

// Rounds `value`, whose exact value lies a little above (sticky 1) or below (-1) it, or is it (0).
template <typename T>
T RoundTo(Quad value, int sticky, Toward toward) {
  T r = static_cast<T>(value);
  const Quad got = r;
  const bool above = got > value || (got == value && sticky < 0);
  const bool below = got < value || (got == value && sticky > 0);
  const bool negative = value < 0;
  const T infinity = std::numeric_limits<T>::infinity();
  switch (toward) {
    case Toward::kNearest: return r;
    case Toward::kZero:
      if (negative ? below : above) r = std::nextafter(r, T{0});
      return r;
    case Toward::kDown: return above ? std::nextafter(r, -infinity) : r;
    case Toward::kUp: return below ? std::nextafter(r, infinity) : r;
  }
  return r;
}
template <typename T>
T ExactFma(T a, T b, T c, Toward toward) {
  if (!std::isfinite(a) || !std::isfinite(b) || !std::isfinite(c)) return std::fma(a, b, c);
  const Quad product = static_cast<Quad>(a) * static_cast<Quad>(b);  // exact: 106 of 113 bits
  const Quad x = product, y = c;
  const Quad sum = x + y;
  const Quad back = sum - x;
  const Quad error = (x - (sum - back)) + (y - back);  // what the sum has lost
  if (sum == 0 && error == 0) {
    // An exact zero has the sign of its addends where they agree.
    const bool product_negative = std::signbit(a) != std::signbit(b);
    const bool both = product_negative == std::signbit(c);
    if (product != 0 || c != 0) return toward == Toward::kDown ? -T{0} : T{0};
    return both ? (product_negative ? -T{0} : T{0}) : (toward == Toward::kDown ? -T{0} : T{0});
  }
  const int sticky = error > 0 ? 1 : error < 0 ? -1 : 0;
  T r = RoundTo<T>(sum, sticky, toward);
  if (toward == Toward::kNearest && sticky != 0) {
    // A tie of `sum` that the lost part breaks.
    const Quad above = std::nextafter(r, std::numeric_limits<T>::infinity());
    const Quad below = std::nextafter(r, -std::numeric_limits<T>::infinity());
    const Quad here = r;
    if (sticky > 0 && sum - here == above - sum) r = static_cast<T>(above);
    if (sticky < 0 && here - sum == sum - below) r = static_cast<T>(below);
  }
  return r == 0 ? std::copysign(T{0}, sum < 0 ? T{-1} : T{1}) : r;
}
template <typename T>
T ExactAdd(T a, T b, Toward toward) {
  if (!std::isfinite(a) || !std::isfinite(b)) return a + b;
  return ExactFma<T>(a, T{1}, b, toward);
}
template <typename T>
T ExactMul(T a, T b, Toward toward) {
  if (!std::isfinite(a) || !std::isfinite(b) || a == 0 || b == 0) return a * b;
  const Quad product = static_cast<Quad>(a) * static_cast<Quad>(b);
  const T r = RoundTo<T>(product, 0, toward);
  return r == 0 ? std::copysign(T{0}, product < 0 ? T{-1} : T{1}) : r;
}
template <typename T>
T ExactDiv(T a, T b, Toward toward) {
  if (!std::isfinite(a) || !std::isfinite(b) || a == 0 || b == 0) return a / b;
  const Quad quotient = static_cast<Quad>(a) / static_cast<Quad>(b);
  const T r = RoundTo<T>(quotient, 0, toward);
  return r == 0 ? std::copysign(T{0}, quotient < 0 ? T{-1} : T{1}) : r;
}
template <typename T>
T ExactSqrt(T a, Toward toward) {
  if (!(a > 0) || !std::isfinite(a)) return std::sqrt(a);
  Quad x = std::sqrt(a);
  for (int i = 0; i < 3; ++i) x = (x + static_cast<Quad>(a) / x) / 2;
  return RoundTo<T>(x, 0, toward);
}

}  // namespace accelmesh::tier0
