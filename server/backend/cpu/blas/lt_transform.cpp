// cublasLtMatrixTransform: C = alpha * op(A) + beta * op(B), whatever their types and orders are.
#include <memory>
#include <vector>

#include "server/backend/cpu/blas/batches.h"
#include "server/backend/cpu/blas/lt.h"
#include "server/backend/cpu/blas/lt_operand.h"

namespace accelmesh::cpu_blas {
namespace {

// One of the two sides.
template <typename S>
class Side {
 public:
  Side(Context& context, const LtLayout& layout, std::uint64_t address, i64 operation, S scale)
      : layout_(layout), operation_(operation), scale_(scale), steps_(layout) {
    if (address != 0 && scale != S(0)) matrices_ = std::make_unique<const Matrices>(context, layout, address);
  }
  void Prepare(i64 index) { first_ = matrices_ != nullptr ? matrices_->At(index) : nullptr; }
  // Adds what it has for a column of the result.
  void AddTo(i64 column, i64 rows, std::vector<S>* before, S* values) const {
    if (first_ == nullptr) return;
    const bool is_flat = operation_ == CUBLAS_OP_N;
    const i64 begin = column * (is_flat ? steps_.right : steps_.down);
    LoadElements(layout_.type, ElementAt(first_, layout_.type, begin), is_flat ? steps_.down : steps_.right, rows,
                 before->data());
    for (i64 i = 0; i < rows; ++i)
      values[i] += scale_ * ConjugateIf(operation_ == CUBLAS_OP_C, (*before)[static_cast<std::size_t>(i)]);
  }

 private:
  const LtLayout& layout_;
  i64 operation_;
  S scale_;
  Steps steps_;
  std::unique_ptr<const Matrices> matrices_;  // g++ 12 warns of an optional one with sanitizers
  const void* first_ = nullptr;
};

template <typename S>
void Transform(Context& context, const LtTransform& words) {
  const LtLayout& c = words.c_layout;
  const bool on_device = words.pointer_mode == CUBLASLT_POINTER_MODE_DEVICE;
  const auto scalar = [&](std::uint64_t side, const std::array<std::uint64_t, 2>& value) {
    return side == 0 ? S(0) : ReadScalar<S>(context, words.scale_type, value, on_device);
  };
  Side<S> a(context, words.a_layout, words.a, words.transa, scalar(words.a, words.alpha));
  Side<S> b(context, words.b_layout, words.b, words.transb, scalar(words.b, words.beta));
  const Matrices results(context, c, words.c);
  const Steps steps(c);
  std::vector<S> values;
  std::vector<S> before;
  ForBatch(context, c.batch_count, [&](i64 index, bool only_checks) {
    a.Prepare(index);
    b.Prepare(index);
    void* const to = results.At(index);
    if (only_checks || context.failed()) return;
    before.resize(static_cast<std::size_t>(c.rows));
    for (i64 column = 0; column < c.columns; ++column) {
      values.assign(static_cast<std::size_t>(c.rows), S(0));
      a.AddTo(column, c.rows, &before, values.data());
      b.AddTo(column, c.rows, &before, values.data());
      StoreElements(c.type, values.data(), ElementAt(to, c.type, column * steps.right), steps.down, c.rows);
    }
  });
}

}  // namespace

void LtRun(Context& context, LtTransform words) {
  if (const char* why = RefusalOf(words); why != nullptr) return context.Fail(kNotSupported, why);
  if (words.c_layout.rows == 0 || words.c_layout.columns == 0) return;
  for (LtLayout* layout : {&words.a_layout, &words.b_layout, &words.c_layout}) layout->leading = LeadingOf(*layout);
  switch (words.scale_type) {
    case CUDA_C_32F: return Transform<ComplexFloat>(context, words);
    case CUDA_C_64F: return Transform<ComplexDouble>(context, words);
    // Whole numbers of 32 bits are exact in double.
    case CUDA_R_32I:
    case CUDA_R_64F: return Transform<double>(context, words);
    default: return Transform<float>(context, words);
  }
}

}  // namespace accelmesh::cpu_blas
