#include "tests/unit/server/backend/cpu/blas/numbers.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace accelmesh::blas_test {
namespace {

// Floating point of 16 bits or fewer.
struct Small {
  int mantissa, exponent;
  bool has_infinity;
  int bias() const { return (1 << (exponent - 1)) - 1; }
};
const Small* SmallOf(Type type) {
  static constexpr Small kHalf{10, 5, true}, kBfloat{7, 8, true}, kE4M3{3, 4, false}, kE5M2{2, 5, true};
  switch (type) {
    case Type::kR16F: return &kHalf;
    case Type::kR16BF: return &kBfloat;
    case Type::kE4M3: return &kE4M3;
    case Type::kE5M2: return &kE5M2;
    default: return nullptr;
  }
}

std::uint32_t Encode(const Small& as, long double value) {
  const std::uint32_t sign = std::signbit(value) ? 1u << (as.mantissa + as.exponent) : 0;
  const std::uint32_t all = ((1u << as.exponent) - 1) << as.mantissa;
  if (std::isnan(value)) return sign | all | ((1u << as.mantissa) - 1);
  // A type without infinity has numbers where others have it, all but the last.
  const std::uint32_t last = as.has_infinity ? all : all + (1u << as.mantissa) - 2;
  value = std::fabs(value);
  if (std::isinf(value)) return sign | last;
  const int least = 1 - as.bias();
  const int at = value == 0 ? least : std::max(std::ilogb(value), least);
  const long double steps = std::rint(std::ldexp(value, as.mantissa - at));
  const long double bits = std::ldexp(static_cast<long double>(at + as.bias() - 1), as.mantissa) + steps;
  return sign | (bits > static_cast<long double>(last) ? last : static_cast<std::uint32_t>(bits));
}

long double Decode(const Small& as, std::uint32_t bits) {
  const std::uint32_t mantissa = bits & ((1u << as.mantissa) - 1);
  const std::uint32_t ones = (1u << as.exponent) - 1;
  const std::uint32_t exponent = bits >> as.mantissa & ones;
  const bool negative = (bits >> (as.mantissa + as.exponent) & 1) != 0;
  long double value = 0;
  if (exponent == ones && (as.has_infinity || mantissa == (1u << as.mantissa) - 1)) {
    value = mantissa == 0 ? INFINITY : NAN;
  } else {
    const std::uint32_t steps = exponent == 0 ? mantissa : mantissa + (1u << as.mantissa);
    const int at = exponent == 0 ? 1 : static_cast<int>(exponent);
    value = std::ldexp(static_cast<long double>(steps), at - as.bias() - as.mantissa);
  }
  return negative ? -value : value;
}

template <typename T>
long double LoadAs(const std::uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return static_cast<long double>(value);
}
template <typename T>
void StoreAs(std::uint8_t* to, long double wide) {
  const T value = static_cast<T>(wide);
  std::memcpy(to, &value, sizeof(T));
}

long double LoadReal(Type type, const std::uint8_t* from) {
  if (const Small* const small = SmallOf(type); small != nullptr)
    return Decode(*small, static_cast<std::uint32_t>(BytesOf(type) == 1 ? LoadAs<std::uint8_t>(from)
                                                                        : LoadAs<std::uint16_t>(from)));
  switch (type) {
    case Type::kR32F: return LoadAs<float>(from);
    case Type::kR64F: return LoadAs<double>(from);
    case Type::kR8I: return LoadAs<std::int8_t>(from);
    case Type::kR32I: return LoadAs<std::int32_t>(from);
    default: return LoadAs<std::int64_t>(from);
  }
}

void StoreReal(Type type, std::uint8_t* to, long double value) {
  if (const Small* const small = SmallOf(type); small != nullptr) {
    const std::uint32_t bits = Encode(*small, value);
    return BytesOf(type) == 1 ? StoreAs<std::uint8_t>(to, bits) : StoreAs<std::uint16_t>(to, bits);
  }
  switch (type) {
    case Type::kR32F: return StoreAs<float>(to, value);
    case Type::kR64F: return StoreAs<double>(to, value);
    case Type::kR8I: return StoreAs<std::int8_t>(to, value);
    case Type::kR32I: return StoreAs<std::int32_t>(to, value);
    default: return StoreAs<std::int64_t>(to, value);
  }
}

// How many digits the type's numbers have, and the exponent of its smallest normal one.
struct Digits {
  int count, least;
};
Digits DigitsOf(Type type) {
  if (const Small* const small = SmallOf(type); small != nullptr) return {small->mantissa + 1, 1 - small->bias()};
  return RealOf(type) == Type::kR64F ? Digits{53, -1022} : Digits{24, -126};
}

}  // namespace

Wide Divide(Wide a, Wide b) {
  const long double square = b.re * b.re + b.im * b.im;
  const Wide product = a * Conjugate(b);
  return {product.re / square, product.im / square};
}

long double Size(Wide a) { return std::fabs(a.re) + std::fabs(a.im); }
bool HasNan(Wide a) { return std::isnan(a.re) || std::isnan(a.im); }

std::size_t BytesOf(Type type) {
  switch (type) {
    case Type::kR8I:
    case Type::kE4M3:
    case Type::kE5M2: return 1;
    case Type::kR16F:
    case Type::kR16BF:
    case Type::kC8I: return 2;
    case Type::kR32F:
    case Type::kR32I: return 4;
    case Type::kR64F:
    case Type::kR64I:
    case Type::kC32F: return 8;
    case Type::kC64F: return 16;
  }
  return 0;
}

bool IsComplex(Type type) { return type == Type::kC32F || type == Type::kC64F || type == Type::kC8I; }
bool IsInteger(Type type) {
  return type == Type::kR8I || type == Type::kC8I || type == Type::kR32I || type == Type::kR64I;
}

Type RealOf(Type type) {
  switch (type) {
    case Type::kC32F: return Type::kR32F;
    case Type::kC64F: return Type::kR64F;
    case Type::kC8I: return Type::kR8I;
    default: return type;
  }
}

const char* NameOf(Type type) {
  switch (type) {
    case Type::kR32F: return "float";
    case Type::kR64F: return "double";
    case Type::kR16F: return "half";
    case Type::kR8I: return "int8";
    case Type::kC32F: return "complex_float";
    case Type::kC64F: return "complex_double";
    case Type::kC8I: return "complex_int8";
    case Type::kR32I: return "int32";
    case Type::kR16BF: return "bfloat16";
    case Type::kR64I: return "int64";
    case Type::kE4M3: return "e4m3";
    case Type::kE5M2: return "e5m2";
  }
  return "?";
}

long double UnitRoundoff(Type type) { return std::ldexp(1.0L, -DigitsOf(type).count); }

long double Ulp(Type type, long double value) {
  const Digits digits = DigitsOf(type);
  const int at = value == 0 || !std::isfinite(value) ? digits.least : std::max(std::ilogb(value), digits.least);
  return std::ldexp(1.0L, at - digits.count + 1);
}

Wide Load(Type type, const std::uint8_t* from) {
  const Type part = RealOf(type);
  return {LoadReal(part, from), part == type ? 0 : LoadReal(part, from + BytesOf(part))};
}

void Store(Type type, std::uint8_t* to, Wide value) {
  const Type part = RealOf(type);
  StoreReal(part, to, value.re);
  if (part != type) StoreReal(part, to + BytesOf(part), value.im);
}

std::string ToText(Wide value) {
  char text[96];
  std::snprintf(text, sizeof(text), value.im == 0 ? "%.20Lg" : "%.20Lg%+.20Lgi", value.re, value.im);
  return text;
}

Sum Scaled(Wide factor, const Sum& sum) {
  if (factor == Wide{}) return {};
  return {factor * sum.value, Size(factor) * sum.magnitude, sum.terms + 1};
}

Sum Combined(Wide factor, const Sum& sum, Wide beta, Wide c) {
  Sum result = Scaled(factor, sum);
  if (!(beta == Wide{})) result.Add(beta, c);
  return result;
}

}  // namespace accelmesh::blas_test
