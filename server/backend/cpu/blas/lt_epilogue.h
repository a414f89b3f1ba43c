// What follows a product of cuBLASLt: bias, activation, their gradients, auxiliary matrices, scales and largest values.
#pragma once

#include <cmath>
#include <vector>

#include "server/backend/cpu/blas/lt_operand.h"

namespace accelmesh::cpu_blas {

// GELU by its approximation with tanh.
template <typename S>
struct Gelu {
  explicit Gelu(S value) : x(value), t(std::tanh(kSlope * (x + kCubic * x * x * x))) {}
  S value() const { return S(0.5) * x * (S(1) + t); }
  S derivative() const {
    return S(0.5) * (S(1) + t) + S(0.5) * x * (S(1) - t * t) * kSlope * (S(1) + S(3) * kCubic * x * x);
  }
  static constexpr S kSlope = S(0.797884560802865355879892119868763737);  // sqrt(2 / pi)
  static constexpr S kCubic = S(0.044715);
  S x;
  S t;
};

// Of one matmul: Prepare() for each product, of which the rows are done block by block and, in a block, column by
// column. Complex products have none.
template <typename S>
class EpilogueRun {
 public:
  EpilogueRun(Context& context, const LtOperation& operation, const LtLayouts& layouts)
      : context_(context), operation_(operation), m_(layouts.d.rows), n_(layouts.d.columns) {
    ReadEpilogue(operation.epilogue, &what_);
    aux_type_ = operation.aux_type == -1 ? layouts.d.type : operation.aux_type;
    bias_type_ = operation.bias_type == -1 ? DefaultBiasType(layouts) : operation.bias_type;
    d_scale_ = ReadScale<float>(context, operation.d_scale);
    aux_scale_ = ReadScale<float>(context, operation.aux_scale);
    d_amax_to_ = Single(operation.d_amax);
    aux_amax_to_ = Single(operation.aux_amax);
  }
  // Whether it needs A or B even if alpha is 0.
  bool reads_factors() const { return what_.has_a_gradient || what_.has_b_gradient; }

  // Finds and checks what belongs to one product.
  void Prepare(i64 index) {
    const auto at = static_cast<std::uint64_t>(index);
    if (what_.has_bias || what_.has_gradient()) {
      const std::size_t bytes = ElementBytes(bias_type_);
      const i64 count = what_.has_b_gradient ? n_ : m_;
      bias_ = context_.Check(operation_.bias + at * static_cast<std::uint64_t>(operation_.bias_batch_stride) * bytes,
                             static_cast<std::uint64_t>(count), bytes, ElementAlignment(bias_type_));
    }
    if (!what_.has_aux) return;
    if (what_.has_relu) {
      const std::uint64_t extent = context_.Extent((m_ + 7) / 8, n_, operation_.aux_leading / 8);
      aux_ = context_.Check(operation_.aux + at * static_cast<std::uint64_t>(operation_.aux_batch_stride / 8), extent,
                            1, 1);
    } else {
      const std::size_t bytes = ElementBytes(aux_type_);
      aux_ = context_.Check(operation_.aux + at * static_cast<std::uint64_t>(operation_.aux_batch_stride) * bytes,
                            context_.Extent(m_, n_, operation_.aux_leading), bytes, ElementAlignment(aux_type_));
    }
  }

  void BeginRows(i64 row, i64 rows) {
    if constexpr (!kIsComplex<S>) {
      row_sums_.assign(static_cast<std::size_t>(rows), S(0));
      if (what_.has_bias) {
        bias_values_.resize(static_cast<std::size_t>(rows));
        LoadElements(bias_type_, ElementAt(static_cast<const void*>(bias_), bias_type_, row), 1, rows,
                     bias_values_.data());
      }
    }
  }
  // Sums of the rows of op(A), of the columns of op(B).
  template <typename W>
  void SumLeft(const Block<W>& left, i64 rows, i64 depth) {
    if constexpr (!kIsComplex<S>) {
      if (!what_.has_a_gradient) return;
      for (i64 l = 0; l < depth; ++l) {
        for (i64 i = 0; i < rows; ++i) row_sums_[static_cast<std::size_t>(i)] += static_cast<S>(left.At(i, l));
      }
    }
  }
  template <typename W>
  void SumRight(const Block<W>& right, i64 column, i64 columns, i64 depth) {
    if constexpr (!kIsComplex<S>) {
      if (!what_.has_b_gradient) return;
      column_sums_.resize(static_cast<std::size_t>(n_));
      for (i64 j = 0; j < columns; ++j) {
        S sum = S(0);
        for (i64 l = 0; l < depth; ++l) sum += static_cast<S>(right.At(l, j));
        column_sums_[static_cast<std::size_t>(column + j)] = sum;
      }
    }
  }
  void EndRows(i64 row, i64 rows) {
    if constexpr (!kIsComplex<S>) {
      if (what_.has_row_gradient || what_.has_a_gradient)
        StoreElements(bias_type_, row_sums_.data(), ElementAt(bias_, bias_type_, row), 1, rows);
    }
  }
  void EndColumns(i64 columns) {
    if constexpr (!kIsComplex<S>) {
      if (!what_.has_b_gradient) return;
      column_sums_.resize(static_cast<std::size_t>(columns));
      StoreElements(bias_type_, column_sums_.data(), bias_, 1, columns);
    }
  }
  // Behind all products.
  void End() {
    if (context_.failed()) return;
    if (d_amax_to_ != nullptr) *d_amax_to_ = d_amax_;
    if (aux_amax_to_ != nullptr) *aux_amax_to_ = aux_amax_;
  }

  // Of `rows` values of a column, in their place.
  void Apply(i64 row, i64 rows, i64 column, S* values) {
    if constexpr (!kIsComplex<S>) {
      if (what_.has_bias) {
        for (i64 i = 0; i < rows; ++i) values[i] += bias_values_[static_cast<std::size_t>(i)];
      }
      if (what_.has_relu) Relu(row, rows, column, values);
      if (what_.has_gelu) ApplyGelu(row, rows, column, values);
      if (what_.has_row_gradient) {
        for (i64 i = 0; i < rows; ++i) row_sums_[static_cast<std::size_t>(i)] += values[i];
      }
      Scale(d_scale_, d_amax_to_ == nullptr ? nullptr : &d_amax_, rows, values);
    }
  }

 private:
  // What the documentation says of a bias whose type is not set.
  static i64 DefaultBiasType(const LtLayouts& layouts) {
    if (layouts.a.type == CUDA_R_8I && layouts.d.type == CUDA_R_8I) return CUDA_R_32F;
    if (!IsFloat8(layouts.a.type)) return layouts.d.type;
    return layouts.c.type == CUDA_R_16F ? CUDA_R_16F : CUDA_R_16BF;
  }
  float* Single(std::uint64_t address) {
    return address == 0 ? nullptr : static_cast<float*>(context_.Check(address, 1, sizeof(float), alignof(float)));
  }
  static void Scale(float scale, float* amax, i64 rows, S* values) {
    if (amax != nullptr) {
      for (i64 i = 0; i < rows; ++i) *amax = std::max(*amax, static_cast<float>(std::fabs(values[i])));
    }
    if (scale == 1) return;
    for (i64 i = 0; i < rows; ++i) values[i] *= static_cast<S>(scale);
  }

  void Relu(i64 row, i64 rows, i64 column, S* values) {
    std::uint8_t* const mask =
        what_.has_aux ? static_cast<std::uint8_t*>(aux_) + column * (operation_.aux_leading / 8) : nullptr;
    for (i64 i = 0; i < rows; ++i) {
      const auto bit = static_cast<std::uint8_t>(1u << ((row + i) % 8));
      std::uint8_t* const byte = mask == nullptr ? nullptr : mask + (row + i) / 8;
      if (what_.is_gradient) {
        if ((*byte & bit) == 0) values[i] = S(0);
        continue;
      }
      const bool is_positive = values[i] > S(0);
      if (byte != nullptr) *byte = static_cast<std::uint8_t>(is_positive ? *byte | bit : *byte & ~bit);
      // A NaN stays one.
      if (values[i] < S(0)) values[i] = S(0);
    }
  }
  void ApplyGelu(i64 row, i64 rows, i64 column, S* values) {
    char* const aux = what_.has_aux ? ElementAt(aux_, aux_type_, column * operation_.aux_leading + row) : nullptr;
    aux_values_.resize(static_cast<std::size_t>(rows));
    if (what_.is_gradient) {
      LoadElements(aux_type_, aux, 1, rows, aux_values_.data());
      for (i64 i = 0; i < rows; ++i) values[i] *= Gelu<S>(aux_values_[static_cast<std::size_t>(i)]).derivative();
      return;
    }
    if (aux != nullptr) {
      std::copy_n(values, rows, aux_values_.data());
      Scale(aux_scale_, aux_amax_to_ == nullptr ? nullptr : &aux_amax_, rows, aux_values_.data());
      StoreElements(aux_type_, aux_values_.data(), aux, 1, rows);
    }
    for (i64 i = 0; i < rows; ++i) values[i] = Gelu<S>(values[i]).value();
  }

  Context& context_;
  const LtOperation& operation_;
  Epilogue what_;
  i64 m_;
  i64 n_;
  i64 aux_type_ = -1;
  i64 bias_type_ = -1;
  float d_scale_ = 1;
  float aux_scale_ = 1;
  float d_amax_ = 0;
  float aux_amax_ = 0;
  float* d_amax_to_ = nullptr;
  float* aux_amax_to_ = nullptr;
  void* bias_ = nullptr;
  void* aux_ = nullptr;
  std::vector<S> bias_values_;
  std::vector<S> aux_values_;
  std::vector<S> row_sums_;
  std::vector<S> column_sums_;
};

}  // namespace accelmesh::cpu_blas
