// Numbers of every type that the library knows, as long doubles, and sums of them with what rounding may do to such a
// sum: the reference that results are held against.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <string>

namespace accelmesh::blas_test {

using i64 = std::int64_t;

// Numbers are cudaDataType's.
enum class Type : int {
  kR32F = 0,
  kR64F = 1,
  kR16F = 2,
  kR8I = 3,
  kC32F = 4,
  kC64F = 5,
  kC8I = 7,
  kR32I = 10,
  kR16BF = 14,
  kR64I = 24,
  kE4M3 = 28,
  kE5M2 = 29,
};

struct Wide {
  long double re = 0, im = 0;
};
inline Wide operator+(Wide a, Wide b) { return {a.re + b.re, a.im + b.im}; }
inline Wide operator-(Wide a, Wide b) { return {a.re - b.re, a.im - b.im}; }
inline Wide operator*(Wide a, Wide b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
inline bool operator==(Wide a, Wide b) { return a.re == b.re && a.im == b.im; }
inline Wide Conjugate(Wide a) { return {a.re, -a.im}; }
inline Wide ConjugateIf(bool condition, Wide a) { return condition ? Conjugate(a) : a; }
Wide Divide(Wide a, Wide b);
// |re| + |im|: not less than the modulus.
long double Size(Wide a);
bool HasNan(Wide a);

std::size_t BytesOf(Type type);
bool IsComplex(Type type);
bool IsInteger(Type type);
// Of a number's parts.
Type RealOf(Type type);
const char* NameOf(Type type);
// Of rounding to nearest, for a type of floating point.
long double UnitRoundoff(Type type);
// The distance between that type's numbers around `value`.
long double Ulp(Type type, long double value);
Wide Load(Type type, const std::uint8_t* from);
// Rounds to nearest.
void Store(Type type, std::uint8_t* to, Wide value);
std::string ToText(Wide value);

// A sum of products. `magnitude` is that of its terms without their signs, which is what an error is relative to.
struct Sum {
  Wide value;
  long double magnitude = 0;
  i64 terms = 0;

  void Add(Wide a, Wide b) {
    value = value + a * b;
    magnitude += Size(a) * Size(b);
    ++terms;
  }
  void Add(Wide a) { Add(a, {1, 0}); }
};
Sum Scaled(Wide factor, const Sum& sum);
// factor * sum + beta * c, where a factor of zero leaves its operand unread.
Sum Combined(Wide factor, const Sum& sum, Wide beta, Wide c);

}  // namespace accelmesh::blas_test
