// For programs that check cuBLAS against plain loops: one name for a function of each of the four types, numbers of
// them as complex ones of double, and vectors and matrices in every form in which they are stored. What a function must
// not look at is not a number; what it must not write is compared.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <complex>
#include <cstring>
#include <limits>
#include <memory>
#include <type_traits>

#include "cublas_check.h"

using Wide = std::complex<double>;
template <typename T>
struct Tag {};

// Overloads of one name, chosen by a Tag.
#define TYPED(name, letter, T)                  \
  template <typename... A>                      \
  cublasStatus_t name(Tag<T>, A... arguments) { \
    return cublas##letter##name(arguments...);  \
  }
#define REAL(name) TYPED(name, S, float) TYPED(name, D, double)
#define COMPLEX(name) TYPED(name, C, cuComplex) TYPED(name, Z, cuDoubleComplex)
#define ANY(name) REAL(name) COMPLEX(name)

template <typename T>
constexpr bool kIsComplex = sizeof(T) == sizeof(cuDoubleComplex) || std::is_same<T, cuComplex>::value;
template <typename T>
constexpr double kTolerance = std::is_same<T, __half>::value                                       ? 1e-3
                              : std::is_same<T, __nv_bfloat16>::value                              ? 8e-3
                              : std::is_same<T, float>::value || std::is_same<T, cuComplex>::value ? 1e-5
                                                                                                   : 1e-13;

static inline Wide ToWide(float value) { return value; }
static inline Wide ToWide(double value) { return value; }
static inline Wide ToWide(cuComplex value) { return {value.x, value.y}; }
static inline Wide ToWide(cuDoubleComplex value) { return {value.x, value.y}; }
static inline Wide ToWide(__half value) { return __half2float(value); }
static inline Wide ToWide(__nv_bfloat16 value) { return __bfloat162float(value); }
static inline void Set(__half& to, Wide value) { to = __float2half(static_cast<float>(value.real())); }
static inline void Set(__nv_bfloat16& to, Wide value) { to = __float2bfloat16(static_cast<float>(value.real())); }
static inline void Set(float& to, Wide value) { to = static_cast<float>(value.real()); }
static inline void Set(double& to, Wide value) { to = value.real(); }
static inline void Set(cuComplex& to, Wide value) {
  to = {static_cast<float>(value.real()), static_cast<float>(value.imag())};
}
static inline void Set(cuDoubleComplex& to, Wide value) { to = {value.real(), value.imag()}; }
template <typename T>
T As(Wide value) {
  T to;
  Set(to, value);
  return to;
}
static inline Wide NotANumber() {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  return {nan, nan};
}

// Multiples of a quarter, real ones for a real T; not 0.
template <typename T>
Wide RandomNumber(Random& random) {
  const auto part = [&random] {
    return (static_cast<int>(random.Below(16)) + 1) * (random.Below(2) == 0 ? 0.25 : -0.25);
  };
  const double real = part();
  return {real, kIsComplex<T> ? part() : 0.0};
}

template <typename T>
void ExpectClose(T got, Wide wanted, const char* what, int index, double slack = 1) {
  const double tolerance = slack * kTolerance<T>;
  if (!(std::abs(ToWide(got) - wanted) <= tolerance * (1 + std::abs(wanted))))
    Fail(__FILE__, __LINE__, "%s: element %d is %.9g%+.9gi, not %.9g%+.9gi", what, index, ToWide(got).real(),
         ToWide(got).imag(), wanted.real(), wanted.imag());
}

static inline Wide ConjugateIf(bool condition, Wide value) { return condition ? std::conj(value) : value; }

// A vector with a step of either sign.
template <typename T>
class Line {
 public:
  Line(Random& random, int count, int step, bool has_numbers = true)
      : count_(count), step_(step), values_((count - 1) * std::abs(step) + 1, As<T>(7)) {
    for (int i = 0; i < count; ++i) values_[At(i)] = As<T>(has_numbers ? RandomNumber<T>(random) : NotANumber());
    device_.reset(new OnDevice<T>(values_));
  }
  T* get() const { return device_->get(); }
  int step() const { return step_; }
  Wide operator[](int i) const { return ToWide(values_[At(i)]); }
  // Compares what the device has.
  template <typename Wanted>
  void Expect(const char* what, Wanted wanted, double slack = 1) const {
    std::vector<T> got = device_->Read();
    for (int i = 0; i < count_; ++i) {
      ExpectClose(got[At(i)], wanted(i), what, i, slack);
      got[At(i)] = values_[At(i)];
    }
    EXPECT(std::memcmp(got.data(), values_.data(), got.size() * sizeof(T)) == 0, "%s wrote between elements", what);
  }

 private:
  size_t At(int i) const { return static_cast<size_t>(step_ < 0 ? (i - count_ + 1) * step_ : i * step_); }

  int count_;
  int step_;
  std::vector<T> values_;
  std::unique_ptr<OnDevice<T>> device_;
};

// A matrix, in which `place` says where an element is stored: at less than 0 if it is not.
template <typename T>
class Stored {
 public:
  template <typename Place>
  Stored(Random& random, int rows, int columns, int size, Place place, double scale = 1, bool has_numbers = true)
      : rows_(rows), columns_(columns), places_(rows * columns), values_(size, As<T>(NotANumber())) {
    for (int j = 0; j < columns; ++j) {
      for (int i = 0; i < rows; ++i) {
        const int at = places_[j * rows + i] = place(i, j);
        if (at >= 0 && has_numbers) values_[at] = As<T>(scale * RandomNumber<T>(random));
      }
    }
    device_.reset(new OnDevice<T>(values_));
  }
  T* get() const { return device_->get(); }
  bool Has(int i, int j) const { return places_[j * rows_ + i] >= 0; }
  Wide At(int i, int j) const { return Has(i, j) ? ToWide(values_[places_[j * rows_ + i]]) : Wide(0); }
  // Elements become what change(i, j, element) gives, and the matrix one that no function has written to.
  template <typename Change>
  void Edit(Change change) {
    for (int j = 0; j < columns_; ++j) {
      for (int i = 0; i < rows_; ++i) {
        if (Has(i, j)) values_[places_[j * rows_ + i]] = As<T>(change(i, j, At(i, j)));
      }
    }
    device_.reset(new OnDevice<T>(values_));
  }
  // Of the symmetric or Hermitian matrix of which one triangle is stored.
  Wide Mirrored(int i, int j, bool is_hermitian) const {
    if (i == j) return is_hermitian ? Wide(At(i, i).real()) : At(i, i);
    return Has(i, j) ? At(i, j) : ConjugateIf(is_hermitian, At(j, i));
  }
  // Of op(A), of which one triangle is stored, with ones on the diagonal or not.
  Wide Triangular(cublasOperation_t trans, cublasDiagType_t diag, int i, int j) const {
    if (i == j && diag == CUBLAS_DIAG_UNIT) return 1;
    return trans == CUBLAS_OP_N ? At(i, j) : ConjugateIf(trans == CUBLAS_OP_C, At(j, i));
  }
  template <typename Wanted>
  void Expect(const char* what, Wanted wanted, double slack = 1) const {
    std::vector<T> got = device_->Read();
    for (int j = 0; j < columns_; ++j) {
      for (int i = 0; i < rows_; ++i) {
        const int at = places_[j * rows_ + i];
        if (at < 0) continue;
        ExpectClose(got[at], wanted(i, j), what, j * rows_ + i, slack);
        got[at] = values_[at];
      }
    }
    EXPECT(std::memcmp(got.data(), values_.data(), got.size() * sizeof(T)) == 0, "%s wrote what it has not", what);
  }

 private:
  int rows_;
  int columns_;
  std::vector<int> places_;
  std::vector<T> values_;
  std::unique_ptr<OnDevice<T>> device_;
};

template <typename T>
Stored<T> Dense(Random& random, int rows, int columns, int stride, double scale = 1, bool has_numbers = true) {
  return Stored<T>(
      random, rows, columns, stride * (columns - 1) + rows, [=](int i, int j) { return j * stride + i; }, scale,
      has_numbers);
}

enum class Form { kWhole, kPacked, kBand };
// One triangle; `diagonals` beside the main one, of a band.
template <typename T>
Stored<T> Triangle(Random& random, Form form, cublasFillMode_t uplo, int n, int stride, int diagonals, double scale = 1,
                   bool has_numbers = true) {
  const bool is_upper = uplo == CUBLAS_FILL_MODE_UPPER;
  const int size = form == Form::kPacked ? n * (n + 1) / 2
                   : form == Form::kBand ? stride * (n - 1) + (is_upper ? diagonals + 1 : 1)
                                         : stride * (n - 1) + n;
  return Stored<T>(
      random, n, n, size,
      [=](int i, int j) {
        if (is_upper ? i > j : i < j) return -1;
        if (form == Form::kWhole) return j * stride + i;
        if (form == Form::kPacked) return is_upper ? j * (j + 1) / 2 + i : j * (2 * n - j - 1) / 2 + i;
        return std::abs(i - j) > diagonals ? -1 : j * stride + (is_upper ? diagonals : 0) + i - j;
      },
      scale, has_numbers);
}

// One with which little is lost when what it multiplies is solved for again.
template <typename T>
Stored<T> KindTriangle(Random& random, Form form, cublasFillMode_t uplo, int n, int stride, int diagonals) {
  Stored<T> triangle = Triangle<T>(random, form, uplo, n, stride, diagonals, 0.03125);
  triangle.Edit([](int i, int j, Wide element) { return i == j ? 1.5 + element : element; });
  return triangle;
}
