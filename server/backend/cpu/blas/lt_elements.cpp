#include "server/backend/cpu/blas/lt_elements.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace accelmesh::cpu_blas {
namespace {

// Calls run.operator()<T>() for the type of elements; false if it is not written.
template <typename Run>
bool WithType(i64 type, Run run) {
  switch (type) {
    case CUDA_R_8I: run.template operator()<std::int8_t>(); return true;
    case CUDA_R_32I: run.template operator()<std::int32_t>(); return true;
    case CUDA_R_8F_E4M3: run.template operator()<Float8E4M3>(); return true;
    case CUDA_R_8F_E5M2: run.template operator()<Float8E5M2>(); return true;
    case CUDA_R_16F: run.template operator()<Half>(); return true;
    case CUDA_R_16BF: run.template operator()<Bfloat16>(); return true;
    case CUDA_R_32F: run.template operator()<float>(); return true;
    case CUDA_R_64F: run.template operator()<double>(); return true;
    case CUDA_C_8I: run.template operator()<ComplexInt8>(); return true;
    case CUDA_C_32F: run.template operator()<ComplexFloat>(); return true;
    case CUDA_C_64F: run.template operator()<ComplexDouble>(); return true;
    default: return false;
  }
}

template <typename T>
inline constexpr bool kIsComplexElement = kIsComplex<T> || std::is_same_v<T, ComplexInt8>;

template <typename S, typename T>
S Widen(T value) {
  if constexpr (std::is_arithmetic_v<T> || kIsComplex<T>) {
    return static_cast<S>(value);
  } else if constexpr (std::is_same_v<T, ComplexInt8>) {
    return static_cast<S>(static_cast<ComplexFloat>(value));
  } else {
    return static_cast<S>(static_cast<float>(value));
  }
}

template <typename T, typename S>
T Narrow(S value) {
  if constexpr (std::is_integral_v<T>) {
    // To nearest, ties to even; not past what there is, and 0 for what is no number.
    if (!(value == value)) return 0;
    const double rounded = std::nearbyint(static_cast<double>(value));
    return static_cast<T>(std::clamp<double>(rounded, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
  } else if constexpr (std::is_arithmetic_v<T> || kIsComplex<T>) {
    return static_cast<T>(value);
  } else {
    return T(static_cast<float>(value));
  }
}

}  // namespace

template <int kMantissa, int kBias, int kLargest>
Float8<kMantissa, kBias, kLargest>::Float8(float value) {
  constexpr std::uint8_t kNan = 0x7f;
  const auto sign = static_cast<std::uint8_t>(std::signbit(value) ? 0x80 : 0);
  if (std::isnan(value)) {
    bits = static_cast<std::uint8_t>(sign | kNan);
    return;
  }
  Float8 largest;
  largest.bits = kLargest;
  const float limit = static_cast<float>(largest);
  const float magnitude = std::min(std::fabs(value), limit);
  constexpr int kLeast = 1 - kBias;  // the exponent of subnormal numbers, and of the smallest others
  const int exponent = magnitude == 0 ? kLeast : std::max(std::ilogb(magnitude), kLeast);
  // In units of the last place: a carry of the fraction's goes into the exponent by itself.
  const int fraction = static_cast<int>(std::nearbyint(std::ldexp(magnitude, kMantissa - exponent)));
  const int rounded = ((exponent - kLeast) << kMantissa) + fraction;
  bits = static_cast<std::uint8_t>(sign | std::min(rounded, kLargest));
}

template <int kMantissa, int kBias, int kLargest>
Float8<kMantissa, kBias, kLargest>::operator float() const {
  const int magnitude = bits & 0x7f;
  float value = 0;
  if (magnitude > kLargest) {
    // E4M3 has no infinity.
    const bool is_infinity = kMantissa == 2 && magnitude == kLargest + 1;
    value = is_infinity ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  } else {
    const int exponent = magnitude >> kMantissa;
    const int fraction = magnitude & ((1 << kMantissa) - 1);
    const int whole = exponent == 0 ? fraction : fraction | 1 << kMantissa;
    value = std::ldexp(static_cast<float>(whole), std::max(exponent, 1) - kBias - kMantissa);
  }
  return (bits & 0x80) != 0 ? -value : value;
}

template struct Float8<3, 7, 0x7e>;
template struct Float8<2, 15, 0x7b>;

std::size_t ElementBytes(i64 type) {
  std::size_t bytes = 0;
  WithType(type, [&bytes]<typename T>() { bytes = sizeof(T); });
  return bytes;
}
std::size_t ElementAlignment(i64 type) {
  std::size_t alignment = 1;
  WithType(type, [&alignment]<typename T>() { alignment = alignof(T); });
  return alignment;
}
bool IsComplexType(i64 type) {
  bool is_complex = false;
  WithType(type, [&is_complex]<typename T>() { is_complex = kIsComplexElement<T>; });
  return is_complex;
}
bool IsFloat8(i64 type) { return type == CUDA_R_8F_E4M3 || type == CUDA_R_8F_E5M2; }

template <typename S>
void LoadElements(i64 type, const void* from, i64 step, i64 count, S* to) {
  WithType(type, [&]<typename T>() {
    if constexpr (kIsComplexElement<T> == kIsComplex<S>) {
      const auto* const elements = static_cast<const T*>(from);
      for (i64 i = 0; i < count; ++i) to[i] = Widen<S>(elements[i * step]);
    }
  });
}
template <typename S>
void StoreElements(i64 type, const S* from, void* to, i64 step, i64 count) {
  WithType(type, [&]<typename T>() {
    if constexpr (kIsComplexElement<T> == kIsComplex<S> && !std::is_same_v<T, ComplexInt8>) {
      auto* const elements = static_cast<T*>(to);
      for (i64 i = 0; i < count; ++i) elements[i * step] = Narrow<T>(from[i]);
    }
  });
}

#define ACCELMESH_ELEMENTS(S)                                    \
  template void LoadElements<S>(i64, const void*, i64, i64, S*); \
  template void StoreElements<S>(i64, const S*, void*, i64, i64);
ACCELMESH_ELEMENTS(float)
ACCELMESH_ELEMENTS(double)
ACCELMESH_ELEMENTS(ComplexFloat)
ACCELMESH_ELEMENTS(ComplexDouble)
#undef ACCELMESH_ELEMENTS

}  // namespace accelmesh::cpu_blas
