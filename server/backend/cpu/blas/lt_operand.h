// Operands of cuBLASLt's products and transformations: where the matrices of a batch lie, checked, and pieces of them
// as OpenBLAS takes them.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "protocol/library/lt_problem.h"
#include "server/backend/cpu/blas/context.h"
#include "server/backend/cpu/blas/lt_elements.h"
#include "server/backend/cpu/blas/lt_problem.h"
#include "server/backend/cpu/blas/openblas.h"

namespace accelmesh::cpu_blas {

// All matrices of one of a product's layouts.
class Matrices {
 public:
  Matrices(Context& context, const LtLayout& layout, std::uint64_t address)
      : context_(context), layout_(layout), address_(address) {
    if (layout.batch_mode != CUBLASLT_BATCH_MODE_STRIDED)
      addresses_ = context.Addresses(InArray<char>{address}, layout.batch_count);
  }
  // The first byte of a matrix of the batch; null with the context's error if it is no memory.
  void* At(i64 index) const {
    std::uint64_t address = address_;
    if (layout_.batch_mode == CUBLASLT_BATCH_MODE_STRIDED) {
      // What comes out of that may be any address.
      address += static_cast<std::uint64_t>(index) * static_cast<std::uint64_t>(layout_.batch_stride) *
                 ElementBytes(layout_.type);
    } else if (context_.failed()) {
      return nullptr;
    } else {
      address = addresses_[static_cast<std::size_t>(index)].address;
    }
    const bool in_rows = IsRowOrder(layout_);
    const std::uint64_t extent = context_.Extent(in_rows ? layout_.columns : layout_.rows,
                                                 in_rows ? layout_.rows : layout_.columns, layout_.leading);
    return context_.Check(address, extent, ElementBytes(layout_.type), ElementAlignment(layout_.type));
  }

 private:
  Context& context_;
  const LtLayout& layout_;
  std::uint64_t address_;
  std::vector<In<char>> addresses_;
};

// From one element of a matrix to the one below it and the one beside it.
struct Steps {
  explicit Steps(const LtLayout& layout)
      : down(IsRowOrder(layout) ? layout.leading : 1), right(IsRowOrder(layout) ? 1 : layout.leading) {}
  i64 down;
  i64 right;
};

inline const char* ElementAt(const void* first, i64 type, i64 index) {
  return static_cast<const char*>(first) + index * static_cast<i64>(ElementBytes(type));
}
inline char* ElementAt(void* first, i64 type, i64 index) {
  return static_cast<char*>(first) + index * static_cast<i64>(ElementBytes(type));
}

// A block of op(matrix), as Gemm() takes it.
template <typename W>
struct Block {
  const W* first = nullptr;
  i64 stride = 0;
  int operation = CUBLAS_OP_N;
  std::unique_ptr<W[]> own;  // if it could not stay where it is

  W At(i64 row, i64 column) const {
    return operation == CUBLAS_OP_N ? first[column * stride + row]
                                    : ConjugateIf(operation == CUBLAS_OP_C, first[row * stride + column]);
  }
};

template <typename W>
inline constexpr int kTypeOf = -1;
template <>
inline constexpr int kTypeOf<float> = CUDA_R_32F;
template <>
inline constexpr int kTypeOf<double> = CUDA_R_64F;
template <>
inline constexpr int kTypeOf<ComplexFloat> = CUDA_C_32F;
template <>
inline constexpr int kTypeOf<ComplexDouble> = CUDA_C_64F;

template <typename W>
Block<W> BlockOf(const LtLayout& layout, const void* matrix, i64 operation, i64 row, i64 rows, i64 column,
                 i64 columns) {
  const bool is_transposed = (operation != CUBLAS_OP_N) != IsRowOrder(layout);
  const bool is_conjugate = operation == CUBLAS_OP_C && kIsComplex<W>;
  const i64 count = is_transposed ? columns : rows;
  const i64 lines = is_transposed ? rows : columns;
  const i64 begin = is_transposed ? row * layout.leading + column : column * layout.leading + row;
  Block<W> block;
  block.operation = !is_transposed ? CUBLAS_OP_N : is_conjugate ? CUBLAS_OP_C : CUBLAS_OP_T;
  const char* const first = ElementAt(matrix, layout.type, begin);
  // OpenBLAS is not asked for a conjugate that is not transposed.
  const bool is_pack_conjugate = is_conjugate && !is_transposed;
  if (layout.type == kTypeOf<W> && !is_pack_conjugate) {
    block.first = reinterpret_cast<const W*>(first);
    block.stride = layout.leading;
    return block;
  }
  block.own = std::make_unique_for_overwrite<W[]>(static_cast<std::size_t>(count * lines));
  for (i64 line = 0; line < lines; ++line)
    LoadElements(layout.type, ElementAt(first, layout.type, line * layout.leading), 1, count,
                 block.own.get() + line * count);
  if (is_pack_conjugate) {
    for (i64 i = 0; i < count * lines; ++i)
      block.own[static_cast<std::size_t>(i)] = Conjugate(block.own[static_cast<std::size_t>(i)]);
  }
  block.first = block.own.get();
  block.stride = count;
  return block;
}

// One value for all rows, or one each.
template <typename S>
class RowScale {
 public:
  RowScale() = default;
  explicit RowScale(S value) : value_(value) {}
  explicit RowScale(std::vector<S> all) : all_(std::move(all)) {}
  S operator[](i64 row) const { return all_.empty() ? value_ : all_[static_cast<std::size_t>(row)]; }
  bool is_zero() const { return all_.empty() && value_ == S(0); }

 private:
  S value_ = S(0);
  std::vector<S> all_;
};

// `count` values of that type at a device's address; none with the context's error.
template <typename S>
std::vector<S> ReadValues(Context& context, i64 type, std::uint64_t address, i64 count) {
  const void* const from = context.Check(address, static_cast<std::uint64_t>(std::max<i64>(count, 0)),
                                         ElementBytes(type), ElementAlignment(type));
  if (from == nullptr) return {};
  std::vector<S> values(static_cast<std::size_t>(count));
  LoadElements(type, from, 1, count, values.data());
  return values;
}
// One, or 1 if there is none.
template <typename S>
S ReadScale(Context& context, std::uint64_t address) {
  if (address == 0) return S(1);
  const std::vector<float> value = ReadValues<float>(context, CUDA_R_32F, address, 1);
  return value.empty() ? S(1) : S(value[0]);
}
// A scalar of the call: its value, or what is at its address.
template <typename S>
S ReadScalar(Context& context, i64 type, const std::array<std::uint64_t, 2>& words, bool on_device) {
  S value{};
  if (on_device) {
    const std::vector<S> values = ReadValues<S>(context, type, words[0], 1);
    return values.empty() ? value : values[0];
  }
  LoadElements(type, words.data(), 1, 1, &value);
  return value;
}

}  // namespace accelmesh::cpu_blas
