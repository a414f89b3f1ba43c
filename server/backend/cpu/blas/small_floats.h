// Numbers of sixteen bits, as bits and as float.
//
// Threads: values.
#pragma once

#include <bit>
#include <cstdint>

namespace accelmesh::cpu_blas {

// IEEE binary16. To it: rounded to nearest, ties to even.
struct Half {
  std::uint16_t bits = 0;

  Half() = default;
  explicit Half(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const auto sign = static_cast<std::uint16_t>(word >> 16 & 0x8000);
    const std::uint32_t magnitude = word & 0x7fffffff;
    if (magnitude >= 0x47800000) {  // 65536 and above, infinity, NaN
      bits = static_cast<std::uint16_t>(sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00));
    } else if (magnitude < 0x38800000) {  // below the smallest normal number: the sum shifts what is left into place
      const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
      bits = static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000));
    } else {
      const std::uint32_t odd = magnitude >> 13 & 1;
      bits = static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000 + 0xfff + odd) >> 13));
    }
  }
  explicit operator float() const {
    const std::uint32_t sign = std::uint32_t{bits & 0x8000u} << 16;
    const std::uint32_t magnitude = std::uint32_t{bits & 0x7fffu} << 13;
    if (magnitude >= 0x0f800000) return std::bit_cast<float>(sign | (magnitude + 0x70000000));  // infinity, NaN
    // The product makes subnormal numbers right as well: it is exact.
    constexpr float kScale = 0x1p112f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) * kScale));
  }
};

struct Bfloat16 {
  std::uint16_t bits = 0;

  Bfloat16() = default;
  explicit Bfloat16(float value) {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const bool is_nan = (word & 0x7fffffff) > 0x7f800000;
    bits = static_cast<std::uint16_t>(is_nan ? 0x7fff : (word + 0x7fff + (word >> 16 & 1)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
};

}  // namespace accelmesh::cpu_blas
