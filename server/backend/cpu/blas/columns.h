// Matrices as their columns: whichever way a matrix is stored, what is stored of a column are elements next to each
// other. Level 2 is written once, for columns, and for vectors without gaps.
//
// Sizes: a matrix whose memory has been checked has no more columns than the device has bytes, and so have vectors,
// which have a step.
#pragma once

#include <algorithm>
#include <vector>

#include "server/backend/cpu/blas/context.h"
#include "server/backend/cpu/blas/enumerators.h"

namespace accelmesh::cpu_blas {

// Elements of rows first to first + count - 1.
template <typename T>
struct Column {
  T* at;
  i64 first;
  i64 count;
};

// A matrix, or what a band has of it: there, one row further is also one element further, but a column's first is one
// less than a column further.
template <typename T>
struct GeneralMatrix {
  T* at;
  i64 stride;
  i64 rows;
  i64 columns;  // further ones have no elements
  i64 below;    // how many diagonals
  i64 above;
  Column<T> ColumnAt(i64 j) const {
    const i64 first = std::max<i64>(0, j - above);
    const i64 last = below < rows - 1 - j ? j + below : rows - 1;
    return {at + j * stride + first, first, last - first + 1};
  }
};

// The upper or lower half of a square matrix.
template <typename T>
class Triangle {
 public:
  enum class Form { kWhole, kPacked, kBand };
  // Without the diagonal.
  struct Part : Column<T> {
    T* diagonal;
  };

  Triangle(Form form, bool is_upper, T* at, i64 order, i64 stride, i64 diagonals)
      : form_(form), is_upper_(is_upper), at_(at), order_(order), stride_(stride), diagonals_(diagonals) {}
  bool is_upper() const { return is_upper_; }
  i64 order() const { return order_; }
  Part ColumnAt(i64 j) const {
    const i64 longest = is_upper_ ? j : order_ - 1 - j;
    const i64 count = form_ == Form::kBand ? std::min(diagonals_, longest) : longest;
    T* const diagonal = at_ + DiagonalAt(j);
    return is_upper_ ? Part{{diagonal - count, j - count, count}, diagonal}
                     : Part{{diagonal + 1, j + 1, count}, diagonal};
  }

 private:
  i64 DiagonalAt(i64 j) const {
    switch (form_) {
      case Form::kWhole: return j * stride_ + j;
      case Form::kPacked: return is_upper_ ? j * (j + 1) / 2 + j : j * order_ - j * (j - 1) / 2;
      default: return j * stride_ + (is_upper_ ? diagonals_ : 0);
    }
  }

  Form form_;
  bool is_upper_;
  T* at_;
  i64 order_;
  i64 stride_;
  i64 diagonals_;
};

// Checked; `n` is positive.
template <typename T>
Triangle<const T> WholeTriangle(Context& context, int uplo, i64 n, In<T> a, i64 stride) {
  const T* const at = context.Matrix(a, n, n, &stride);
  return {Triangle<const T>::Form::kWhole, uplo == CUBLAS_FILL_MODE_UPPER, at, n, stride, n};
}
template <typename T>
Triangle<const T> PackedTriangle(Context& context, int uplo, i64 n, In<T> a) {
  i64 twice = 0;
  if (n == std::numeric_limits<i64>::max() || __builtin_mul_overflow(n, n + 1, &twice))
    context.Fail(kIllegalAddress, "an operand larger than memory");
  const void* const at = context.Check(a.address, static_cast<std::uint64_t>(twice / 2), sizeof(T), alignof(T));
  return {Triangle<const T>::Form::kPacked, uplo == CUBLAS_FILL_MODE_UPPER, static_cast<const T*>(at), n, 0, n};
}
// The diagonal and `diagonals` next to it.
template <typename T>
Triangle<const T> BandTriangle(Context& context, int uplo, i64 n, i64 diagonals, In<T> a, i64 stride) {
  const bool is_upper = uplo == CUBLAS_FILL_MODE_UPPER;
  if (diagonals < 0 || stride <= diagonals) context.Fail(kInvalidValue, "columns that overlap");
  const std::uint64_t extent = context.failed() ? 0 : context.Extent(is_upper ? diagonals + 1 : 1, n, stride);
  const void* const at = context.Check(a.address, extent, sizeof(T), alignof(T));
  return {Triangle<const T>::Form::kBand, is_upper, static_cast<const T*>(at), n, stride, diagonals};
}
template <typename T>
Triangle<T> WholeTriangle(Context& context, int uplo, i64 n, Out<T> a, i64 stride) {
  T* const at = context.Matrix(a, n, n, &stride);
  return {Triangle<T>::Form::kWhole, uplo == CUBLAS_FILL_MODE_UPPER, at, n, stride, n};
}
template <typename T>
Triangle<T> PackedTriangle(Context& context, int uplo, i64 n, Out<T> a) {
  PackedTriangle(context, uplo, n, In<T>{a.address});
  return {Triangle<T>::Form::kPacked, uplo == CUBLAS_FILL_MODE_UPPER, reinterpret_cast<T*>(a.address), n, 0, n};
}

// The elements of a vector, without gaps; none once something has failed.
template <typename T>
std::vector<T> Gathered(Context& context, In<T> x, i64 count, i64 step) {
  if (step == 0) context.Fail(kInvalidValue, "a vector without a step");
  const Strided<const T> from = context.Vector(x, count, step);
  if (context.failed() || count <= 0) return {};
  std::vector<T> values(static_cast<std::size_t>(count));
  for (i64 i = 0; i < count; ++i) values[static_cast<std::size_t>(i)] = from[i];
  return values;
}

// A vector that is written back when it is complete.
template <typename T>
class Target {
 public:
  // `keep` times what is there.
  Target(Context& context, Out<T> y, i64 count, i64 step, T keep) : place_(context.Vector(y, count, step)) {
    if (step == 0) context.Fail(kInvalidValue, "a vector without a step");
    if (context.failed() || count <= 0) return;
    values_.resize(static_cast<std::size_t>(count));
    if (keep == T(0)) return;
    for (i64 i = 0; i < count; ++i) values_[static_cast<std::size_t>(i)] = keep == T(1) ? place_[i] : keep * place_[i];
  }
  T* data() { return values_.data(); }
  void Write() const {
    for (std::size_t i = 0; i < values_.size(); ++i) place_[static_cast<i64>(i)] = values_[i];
  }

 private:
  Strided<T> place_;
  std::vector<T> values_;
};

template <typename T>
void AddScaled(i64 count, T scale, const T* from, T* to) {
  for (i64 i = 0; i < count; ++i) to[i] += scale * from[i];
}

// Sums of several parts, which need not wait for each other.
template <bool kConjugates, typename T>
T DotOf(i64 count, const T* a, const T* x) {
  constexpr i64 kParts = 8;
  T parts[kParts] = {};
  i64 i = 0;
  for (; i + kParts <= count; i += kParts) {
    for (i64 part = 0; part < kParts; ++part) parts[part] += ConjugateIf(kConjugates, a[i + part]) * x[i + part];
  }
  T sum(0);
  for (; i < count; ++i) sum += ConjugateIf(kConjugates, a[i]) * x[i];
  for (const T& part : parts) sum += part;
  return sum;
}
template <typename T>
T DotOf(bool conjugates, i64 count, const T* a, const T* x) {
  return conjugates ? DotOf<true>(count, a, x) : DotOf<false>(count, a, x);
}

}  // namespace accelmesh::cpu_blas
