// cublasLtMatmul: block by block, whose sums are scaled, sent through the epilogue and rounded column by column.
#include <cmath>

#include "server/backend/cpu/blas/batches.h"
#include "server/backend/cpu/blas/lt.h"
#include "server/backend/cpu/blas/lt_epilogue.h"
#include "server/backend/cpu/blas/lt_operand.h"

namespace accelmesh::cpu_blas {
namespace {

constexpr i64 kRows = 2048;  // a multiple of 8, so that a mask's bytes are of one block
constexpr i64 kColumns = 512;

// What `alpha * sum + beta * before` is in whole numbers of 32 bits, which wrap around.
double WholeBlend(double alpha, double sum, double beta, double before) {
  const auto wrapped = [](double value) { return static_cast<std::uint32_t>(static_cast<std::int64_t>(value)); };
  return static_cast<std::int32_t>(wrapped(alpha) * wrapped(sum) + wrapped(beta) * wrapped(before));
}

// `W`: where products are summed. `S`: where they are scaled. `kIsWhole`: scalars are whole numbers.
template <typename W, typename S, bool kIsWhole>
class Matmul {
 public:
  Matmul(Context& context, const LtMatmul& words)
      : context_(context),
        words_(words),
        a_(context, words.layouts.a, words.a),
        b_(context, words.layouts.b, words.b),
        c_(context, words.layouts.c, words.c),
        d_(context, words.layouts.d, words.d),
        m_(words.layouts.d.rows),
        n_(words.layouts.d.columns),
        k_(words.operation.transa == CUBLAS_OP_N ? words.layouts.a.columns : words.layouts.a.rows),
        epilogue_(context, words.operation, words.layouts) {}

  void Run() {
    if (m_ == 0 || n_ == 0) return;
    const LtOperation& operation = words_.operation;
    scale_ = ReadScale<S>(context_, operation.c_scale);
    ReadBeta();
    ReadOuterScales();
    ForBatch(context_, words_.layouts.d.batch_count, [this](i64 index, bool only_checks) {
      if (Prepare(index) && !only_checks) Multiply();
    });
    epilogue_.End();
  }

 private:
  bool AlphaIsVector() const { return words_.operation.pointer_mode >= CUBLASLT_POINTER_MODE_DEVICE_VECTOR; }
  bool ReadsFactors() const { return k_ > 0 && (!alpha_.is_zero() || epilogue_.reads_factors()); }

  void ReadBeta() {
    const i64 type = words_.operation.scale_type;
    switch (words_.operation.pointer_mode) {
      case CUBLASLT_POINTER_MODE_DEVICE_VECTOR:
        beta_ = RowScale<S>(ReadValues<S>(context_, type, words_.beta[0], m_));
        break;
      case CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_ZERO: break;
      default:
        beta_ = RowScale<S>(
            ReadScalar<S>(context_, type, words_.beta, words_.operation.pointer_mode == CUBLASLT_POINTER_MODE_DEVICE));
    }
  }
  void ReadOuterScales() {
    if constexpr (!kIsComplex<S>) {
      const LtOperation& operation = words_.operation;
      if (operation.a_scale_mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F) {
        row_scale_ = RowScale<S>(ReadValues<S>(context_, CUDA_R_32F, operation.a_scale, m_));
      } else {
        row_scale_ = RowScale<S>(ReadScale<S>(context_, operation.a_scale));
      }
      if (operation.b_scale_mode == CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F) {
        column_scale_ = RowScale<S>(ReadValues<S>(context_, CUDA_R_32F, operation.b_scale, n_));
      } else {
        column_scale_ = RowScale<S>(ReadScale<S>(context_, operation.b_scale));
      }
    }
  }
  // Finds and checks the operands of one product.
  bool Prepare(i64 index) {
    const LtOperation& operation = words_.operation;
    if (AlphaIsVector()) {
      const std::uint64_t step =
          static_cast<std::uint64_t>(operation.alpha_batch_stride) * ElementBytes(operation.scale_type);
      alpha_ = RowScale<S>(ReadValues<S>(context_, operation.scale_type,
                                         words_.alpha[0] + static_cast<std::uint64_t>(index) * step, m_));
    } else {
      alpha_ = RowScale<S>(ReadScalar<S>(context_, operation.scale_type, words_.alpha,
                                         operation.pointer_mode == CUBLASLT_POINTER_MODE_DEVICE));
    }
    to_ = d_.At(index);
    before_ = beta_.is_zero() ? nullptr : c_.At(index);
    left_ = ReadsFactors() ? a_.At(index) : nullptr;
    right_ = ReadsFactors() ? b_.At(index) : nullptr;
    epilogue_.Prepare(index);
    return !context_.failed();
  }

  // Whether Gemm() makes the result as it is to be: in its type, in its place and with nothing behind it.
  bool IsWholly() const {
    if constexpr (kIsWhole || !std::is_same_v<W, S>) {
      return false;
    } else {
      const LtLayouts& layouts = words_.layouts;
      const bool is_in_place = before_ == to_ && layouts.c.leading == layouts.d.leading && !IsRowOrder(layouts.c);
      return left_ != nullptr && words_.operation.epilogue == CUBLASLT_EPILOGUE_DEFAULT && !AlphaIsVector() &&
             layouts.a.type == kTypeOf<W> && layouts.b.type == kTypeOf<W> && layouts.d.type == kTypeOf<W> &&
             !IsRowOrder(layouts.d) && (before_ == nullptr || is_in_place);
    }
  }

  void Multiply() {
    if (IsWholly()) {
      const LtOperation& operation = words_.operation;
      const Block<W> left = BlockOf<W>(words_.layouts.a, left_, operation.transa, 0, m_, 0, k_);
      const Block<W> right = BlockOf<W>(words_.layouts.b, right_, operation.transb, 0, k_, 0, n_);
      return Gemm(left.operation, right.operation, m_, n_, k_, static_cast<W>(alpha_[0]), left.first, left.stride,
                  right.first, right.stride, static_cast<W>(beta_[0]), static_cast<W*>(to_), words_.layouts.d.leading);
    }
    const i64 depth = left_ == nullptr ? 0 : k_;
    const i64 rows_max = std::min(m_, kRows);
    const auto sums = std::make_unique_for_overwrite<W[]>(static_cast<std::size_t>(rows_max * std::min(n_, kColumns)));
    for (i64 row = 0; row < m_; row += kRows) {
      const i64 rows = std::min(kRows, m_ - row);
      Block<W> left;
      if (depth > 0) left = BlockOf<W>(words_.layouts.a, left_, words_.operation.transa, row, rows, 0, depth);
      epilogue_.BeginRows(row, rows);
      if (depth > 0) epilogue_.SumLeft(left, rows, depth);
      for (i64 column = 0; column < n_; column += kColumns) {
        const i64 columns = std::min(kColumns, n_ - column);
        if (depth > 0) {
          const Block<W> right =
              BlockOf<W>(words_.layouts.b, right_, words_.operation.transb, 0, depth, column, columns);
          Gemm(left.operation, right.operation, rows, columns, depth, W(1), left.first, left.stride, right.first,
               right.stride, W(0), sums.get(), rows);
          if (row == 0) epilogue_.SumRight(right, column, columns, depth);
        } else {
          std::fill_n(sums.get(), rows * columns, W(0));
        }
        for (i64 j = 0; j < columns; ++j) Finish(sums.get() + j * rows, row, rows, column + j);
      }
      epilogue_.EndRows(row, rows);
    }
    epilogue_.EndColumns(n_);
  }

  void Finish(const W* sums, i64 row, i64 rows, i64 column) {
    const LtLayout& c = words_.layouts.c;
    const LtLayout& d = words_.layouts.d;
    std::fill_n(old_.begin(), rows, S(0));
    if (before_ != nullptr) {
      const Steps steps(c);
      LoadElements(c.type, ElementAt(before_, c.type, row * steps.down + column * steps.right), steps.down, rows,
                   old_.data());
    }
    S* const values = values_.data();
    for (i64 i = 0; i < rows; ++i) {
      const S alpha = alpha_[row + i];
      const S beta = beta_[row + i];
      if constexpr (kIsWhole) {
        values[i] = WholeBlend(alpha, sums[i], beta, old_[static_cast<std::size_t>(i)]);
      } else {
        values[i] = alpha * static_cast<S>(sums[i]);
        if constexpr (!kIsComplex<S>) values[i] *= row_scale_[row + i] * column_scale_[column];
        // What is not there any more must not make the result a NaN.
        if (beta != S(0)) values[i] += beta * scale_ * old_[static_cast<std::size_t>(i)];
      }
    }
    epilogue_.Apply(row, rows, column, values);
    const Steps steps(d);
    StoreElements(d.type, values, ElementAt(to_, d.type, row * steps.down + column * steps.right), steps.down, rows);
  }

  Context& context_;
  const LtMatmul& words_;
  Matrices a_;
  Matrices b_;
  Matrices c_;
  Matrices d_;
  i64 m_;
  i64 n_;
  i64 k_;
  EpilogueRun<S> epilogue_;
  RowScale<S> alpha_;
  RowScale<S> beta_;
  RowScale<S> row_scale_;
  RowScale<S> column_scale_;
  S scale_ = S(1);  // of C
  // Of the product under way.
  const void* left_ = nullptr;
  const void* right_ = nullptr;
  const void* before_ = nullptr;
  void* to_ = nullptr;
  std::vector<S> old_ = std::vector<S>(kRows);
  std::vector<S> values_ = std::vector<S>(kRows);
};

template <typename W, typename S = W, bool kIsWhole = false>
void RunMatmul(Context& context, const LtMatmul& words) {
  Matmul<W, S, kIsWhole>(context, words).Run();
}

}  // namespace

void LtRun(Context& context, LtMatmul words) {
  if (const char* why = RefusalOf(words.operation, words.layouts); why != nullptr)
    return context.Fail(kNotSupported, why);
  if (const char* why = words.has_algorithm != 0 ? RefusalOf(words.algorithm) : nullptr; why != nullptr)
    return context.Fail(kNotSupported, why);
  for (LtLayout* layout : {&words.layouts.a, &words.layouts.b, &words.layouts.c, &words.layouts.d})
    layout->leading = LeadingOf(*layout);
  switch (words.operation.scale_type) {
    case CUDA_R_32I: return RunMatmul<double, double, true>(context, words);
    case CUDA_R_64F: return RunMatmul<double>(context, words);
    case CUDA_C_32F: return RunMatmul<ComplexFloat>(context, words);
    case CUDA_C_64F: return RunMatmul<ComplexDouble>(context, words);
    default: break;
  }
  // Sums of int8 are exact in double.
  if (words.layouts.a.type == CUDA_R_8I) return RunMatmul<double, float>(context, words);
  RunMatmul<float>(context, words);
}

}  // namespace accelmesh::cpu_blas
