// Products of matrices whose rows are without gaps: by oneDNN in float, by loops in double.
//
// Threads: pure functions.
#pragma once

#include <algorithm>
#include <oneapi/dnnl/dnnl.hpp>
#include <stdexcept>

#include "server/backend/cpu/dnn/view.h"

namespace accelmesh::cpu_dnn {

template <typename Real>
struct Matrix {
  Real* data = nullptr;
  i64 columns = 0;  // from one row to the next
  bool is_transposed = false;
};

template <typename Real>
Matrix<const Real> Plain(const Real* data, i64 columns) {
  return {data, columns, false};
}
template <typename Real>
Matrix<const Real> Transposed(const Real* data, i64 columns) {
  return {data, columns, true};
}

// c, `rows` times `columns`, becomes a b plus, if it is added to, what it was; `inner` is what a and b share.
inline void Multiply(i64 rows, i64 columns, i64 inner, const Matrix<const float>& a, const Matrix<const float>& b,
                     bool adds, float* c, i64 c_columns) {
  const dnnl::status status =
      dnnl::sgemm(a.is_transposed ? 'T' : 'N', b.is_transposed ? 'T' : 'N', rows, columns, inner, 1, a.data, a.columns,
                  b.data, b.columns, adds ? 1.0f : 0.0f, c, c_columns);
  if (status != dnnl::status::success) throw std::runtime_error("oneDNN does not multiply these matrices");
}
inline void Multiply(i64 rows, i64 columns, i64 inner, const Matrix<const double>& a, const Matrix<const double>& b,
                     bool adds, double* c, i64 c_columns) {
  for (i64 i = 0; i < rows; ++i) {
    double* const row = c + i * c_columns;
    if (!adds) std::fill_n(row, columns, 0.0);
    for (i64 k = 0; k < inner; ++k) {
      const double factor = a.is_transposed ? a.data[k * a.columns + i] : a.data[i * a.columns + k];
      if (b.is_transposed) {
        for (i64 j = 0; j < columns; ++j) row[j] += factor * b.data[j * b.columns + k];
      } else {
        for (i64 j = 0; j < columns; ++j) row[j] += factor * b.data[k * b.columns + j];
      }
    }
  }
}

}  // namespace accelmesh::cpu_dnn
