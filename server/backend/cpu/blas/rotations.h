// Plane rotations, and Gentleman's that need no square root: how they are made, and vectors turned by them.
#pragma once

#include <array>
#include <cmath>

#include "server/backend/cpu/blas/context.h"

namespace accelmesh::cpu_blas {

// The rotation (c s; -conj(s) c) that turns (a, b) into (r, 0). `a` becomes r, `b` the number from which c and s can be
// made again.
template <typename T>
  requires(!kIsComplex<T>)
void MakeRotation(T& a, T& b, T& c, T& s) {
  c = 1;
  s = 0;
  if (a == 0 && b == 0) return;
  const bool is_a_larger = std::fabs(a) > std::fabs(b);
  const T r = std::copysign(std::hypot(a, b), is_a_larger ? a : b);
  c = a / r;
  s = b / r;
  a = r;
  b = is_a_larger ? s : c != 0 ? 1 / c : T(1);
}
// `b` stays.
template <typename T>
  requires kIsComplex<T>
void MakeRotation(T& a, const T& b, RealOf<T>& c, T& s) {
  const RealOf<T> size = std::abs(a);
  if (size == 0) {
    c = 0;
    s = T(1);
    a = b;
    return;
  }
  const RealOf<T> norm = std::hypot(size, std::abs(b));
  const T direction = a / size;
  c = size / norm;
  s = direction * std::conj(b) / norm;
  a = direction * norm;
}

// x = c * x + s * y, y = c * y - conj(s) * x.
template <typename T, typename S>
void Rotate(Context& context, i64 n, Out<T> x, i64 incx, Out<T> y, i64 incy, RealOf<Sum<T>> c, S s) {
  if (n <= 0) return;
  const Strided<T> first = context.Vector(x, n, incx);
  const Strided<T> second = context.Vector(y, n, incy);
  if (context.failed()) return;
  for (i64 i = 0; i < n; ++i) {
    const Sum<T> a = Convert<Sum<T>>(first[i]);
    const Sum<T> b = Convert<Sum<T>>(second[i]);
    first[i] = Convert<T>(c * a + s * b);
    second[i] = Convert<T>(c * b - Conjugate(s) * a);
  }
}

// As it lies in memory: the flag, then h11, h21, h12, h22, of which the flag says which are 1, 0 or -1 and not looked
// at.
template <typename T>
using ModifiedRotation = std::array<T, 5>;

template <typename T>
void RotateModified(Context& context, i64 n, Out<T> x, i64 incx, Out<T> y, i64 incy,
                    const ModifiedRotation<Sum<T>>& rotation) {
  using W = Sum<T>;
  const auto [flag, h11, h21, h12, h22] = rotation;
  if (n <= 0) return;
  const Strided<T> first = context.Vector(x, n, incx);
  const Strided<T> second = context.Vector(y, n, incy);
  if (context.failed() || flag == W(-2)) return;
  const W xx = flag == W(0) ? W(1) : h11;
  const W xy = flag == W(1) ? W(1) : h12;
  const W yx = flag == W(1) ? W(-1) : h21;
  const W yy = flag == W(0) ? W(1) : h22;
  for (i64 i = 0; i < n; ++i) {
    const W a = Convert<W>(first[i]);
    const W b = Convert<W>(second[i]);
    first[i] = Convert<T>(xx * a + xy * b);
    second[i] = Convert<T>(yx * a + yy * b);
  }
}

// What clears the second of (sqrt(d1) * x1, sqrt(d2) * y1), and what d1, d2 and x1 become. Elements of `rotation` that
// its flag does not need stay.
template <typename W>
void MakeModifiedRotation(W& d1, W& d2, W& x1, W y1, ModifiedRotation<W>& rotation) {
  auto& [flag, h11, h21, h12, h22] = rotation;
  const W p2 = d2 * y1;
  if (d1 >= 0 && p2 == 0) {
    flag = -2;
    return;
  }
  const W p1 = d1 * x1;
  const W q1 = p1 * x1;
  const W q2 = p2 * y1;
  bool is_defined = d1 >= 0;
  if (is_defined && std::fabs(q1) > std::fabs(q2)) {
    const W ratio_21 = -y1 / x1;
    const W ratio_12 = p2 / p1;
    const W u = 1 - ratio_12 * ratio_21;
    is_defined = u > 0;
    if (is_defined) {
      flag = 0;
      h21 = ratio_21;
      h12 = ratio_12;
      d1 /= u;
      d2 /= u;
      x1 *= u;
    }
  } else if (is_defined && q2 < 0) {
    is_defined = false;
  } else if (is_defined) {
    flag = 1;
    h11 = p1 / p2;
    h22 = x1 / y1;
    const W u = 1 + h11 * h22;
    const W before = d1;
    d1 = d2 / u;
    d2 = before / u;
    x1 = y1 * u;
  }
  if (!is_defined) {
    rotation = {W(-1), 0, 0, 0, 0};
    d1 = d2 = x1 = 0;
    return;
  }
  // d1 and d2 are kept near 1, by powers of two; then all four elements count.
  constexpr W kStep = 4096;
  constexpr W kLarge = kStep * kStep;
  const auto spell_out = [&] {
    if (flag == 0) h11 = h22 = 1;
    if (flag == 1) {
      h21 = -1;
      h12 = 1;
    }
    flag = -1;
  };
  const auto is_far = [](W d) {
    return d != 0 && std::isfinite(d) && (std::fabs(d) <= 1 / kLarge || std::fabs(d) >= kLarge);
  };
  while (is_far(d1)) {
    spell_out();
    const bool is_small = std::fabs(d1) <= 1 / kLarge;
    const W by = is_small ? 1 / kStep : kStep;
    d1 = is_small ? d1 * kLarge : d1 / kLarge;
    x1 *= by;
    h11 *= by;
    h12 *= by;
  }
  while (is_far(d2)) {
    spell_out();
    const bool is_small = std::fabs(d2) <= 1 / kLarge;
    const W by = is_small ? 1 / kStep : kStep;
    d2 = is_small ? d2 * kLarge : d2 / kLarge;
    h21 *= by;
    h22 *= by;
  }
}

}  // namespace accelmesh::cpu_blas
