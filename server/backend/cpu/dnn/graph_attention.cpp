// Attention as one operation of a graph: softmax(scale q k^T) v, and its gradients.
//
// Tensors are batches, heads, places and elements. Several heads of q may share one of k and v. Sequences may be
// shorter than their tensors: what is behind one of k and v has no weight, what is behind one of q gets zeros.
// Statistics are the logarithms of what the weights' exponentials add up to.
#include <cmath>
#include <limits>

#include "server/backend/cpu/dnn/graph_moves.h"
#include "server/backend/cpu/dnn/product.h"

namespace accelmesh::cpu_dnn {
namespace {

template <typename Real>
View<Real> InRows(Context& context, const View<Real>& from) {
  const Shape rows = Rows(from.shape);
  const View<Real> copy{context.Scratch<Real>(rows).data, rows};
  Walk<2>(rows, {from.shape.strides, rows.strides}, [&](const Offsets<2>& at) { copy.data[at[1]] = from.data[at[0]]; });
  return copy;
}
template <typename Real>
View<Real> Zeros(Context& context, Shape shape) {
  shape = Rows(shape);
  const View<Real> zeros{context.Scratch<Real>(shape).data, shape};
  std::fill_n(zeros.data, Elements(shape), Real{0});
  return zeros;
}

// The heads of a batch, one matrix each.
template <typename Real>
Real* MatrixOf(const View<Real>& view, i64 batch, i64 head) {
  return view.data + batch * view.shape.strides[0] + head * view.shape.strides[1];
}

// What both directions have.
template <typename Real>
struct Operands {
  View<Real> q, k, v;
  Real scale = 1;
  std::vector<i64> q_lengths, k_lengths;  // of batches; empty if all are whole
  i64 batches = 0, heads = 0, rows = 0, columns = 0, inner = 0, width = 0;

  void Measure() {
    batches = q.shape.dims[0];
    heads = q.shape.dims[1];
    rows = q.shape.dims[2];
    inner = q.shape.dims[3];
    columns = k.shape.dims[2];
    width = v.shape.dims[3];
  }
  i64 SharedBy(const View<Real>& of, i64 head) const { return head / (heads / of.shape.dims[1]); }
  i64 Length(const std::vector<i64>& lengths, i64 batch, i64 whole) const {
    return lengths.empty() ? whole : std::clamp<i64>(lengths[static_cast<std::size_t>(batch)], 0, whole);
  }
  i64 RowsOf(i64 batch) const { return Length(q_lengths, batch, rows); }
  i64 ColumnsOf(i64 batch) const { return Length(k_lengths, batch, columns); }
  // q k^T of a head, scaled.
  void Scores(i64 batch, i64 head, std::vector<Real>* scores) const {
    Multiply(rows, columns, inner, Plain<Real>(MatrixOf(q, batch, head), inner),
             Transposed<Real>(MatrixOf(k, batch, SharedBy(k, head)), inner), false, scores->data(), columns);
    for (Real& score : *scores) score *= scale;
  }
};

template <typename Real>
std::vector<i64> LengthsOf(GraphRun<Real>& run, const DnnPlanDescriptor& operation, int name) {
  return run.Has(operation, name) ? run.Integers(operation, name) : std::vector<i64>{};
}

// Keys or values, gathered from pages if there is a table of them.
template <typename Real>
View<Real> Gathered(GraphRun<Real>& run, const DnnPlanDescriptor& operation, int name, int table_name,
                    const std::vector<i64>& lengths) {
  const View<Real> given = run.In(operation, name);
  if (run.context().failed()) return given;
  if (!run.Has(operation, table_name)) return InRows(run.context(), given);
  const DnnTensor& table = run.TensorAt(operation, table_name).tensor;
  Shape shape = given.shape;
  shape.dims[0] = table.dims[0];
  shape.dims[2] = given.shape.dims[2] * table.dims[2];
  const View<Real> all = Zeros<Real>(run.context(), shape);
  LoadPages(run.context(), given, run.Integers(operation, table_name), lengths, all);
  return all;
}

template <typename Real>
void RunAttention(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  Operands<Real> of;
  of.q_lengths = LengthsOf(run, operation, CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_QDESC);
  of.k_lengths = LengthsOf(run, operation, CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_KVDESC);
  const View<Real> q = run.In(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC);
  of.k = Gathered(run, operation, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_PAGE_TABLE_KDESC,
                  of.k_lengths);
  of.v = Gathered(run, operation, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_PAGE_TABLE_VDESC,
                  of.k_lengths);
  const View<Real> o = run.Out(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC);
  const bool has_stats = run.Has(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC);
  const View<Real> stats = has_stats ? run.Out(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC) : View<Real>{};
  if (run.Has(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC))
    of.scale = static_cast<Real>(run.First(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC));
  if (run.context().failed()) return;
  of.q = InRows(run.context(), q);
  of.Measure();
  constexpr Real kNone = -std::numeric_limits<Real>::infinity();
  std::vector<Real> scores(static_cast<std::size_t>(of.rows * of.columns)),
      product(static_cast<std::size_t>(of.rows * of.width));
  for (i64 batch = 0; batch < of.batches; ++batch) {
    const i64 rows = of.RowsOf(batch), columns = of.ColumnsOf(batch);
    for (i64 head = 0; head < of.heads; ++head) {
      of.Scores(batch, head, &scores);
      Real* const to = MatrixOf(o, batch, head);
      for (i64 i = 0; i < of.rows; ++i) {
        Real* const row = scores.data() + i * of.columns;
        const Real top = columns == 0 ? kNone : *std::max_element(row, row + columns);
        const bool is_there = i < rows && top != kNone;
        double sum = 0;
        for (i64 j = 0; j < of.columns; ++j) {
          row[j] = is_there && j < columns ? std::exp(row[j] - top) : Real{0};
          sum += static_cast<double>(row[j]);
        }
        for (i64 j = 0; is_there && j < columns; ++j) row[j] = static_cast<Real>(static_cast<double>(row[j]) / sum);
        if (has_stats)
          MatrixOf(stats, batch, head)[i * stats.shape.strides[2]] = is_there   ? top + static_cast<Real>(std::log(sum))
                                                                     : i < rows ? kNone
                                                                                : Real{0};
      }
      Multiply(of.rows, of.width, of.columns, Plain<Real>(scores.data(), of.columns),
               Plain<Real>(MatrixOf(of.v, batch, of.SharedBy(of.v, head)), of.width), false, product.data(), of.width);
      for (i64 i = 0; i < of.rows; ++i) {
        for (i64 e = 0; e < of.width; ++e)
          to[i * o.shape.strides[2] + e * o.shape.strides[3]] = product[static_cast<std::size_t>(i * of.width + e)];
      }
    }
  }
  run.Commit(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, o);
  if (has_stats) run.Commit(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, stats);
}

template <typename Real>
void RunAttentionBackward(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  Context& context = run.context();
  const auto in_rows = [&](int name) {
    const View<Real> view = run.In(operation, name);
    return context.failed() ? view : InRows(context, view);
  };
  Operands<Real> of;
  of.q_lengths = LengthsOf(run, operation, CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_QDESC);
  of.k_lengths = LengthsOf(run, operation, CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_KVDESC);
  of.q = in_rows(CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC);
  of.k = in_rows(CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC);
  of.v = in_rows(CUDNN_ATTR_OPERATION_SDPA_BWD_VDESC);
  const View<Real> o = in_rows(CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC),
                   slope = in_rows(CUDNN_ATTR_OPERATION_SDPA_BWD_DODDESC),
                   stats = in_rows(CUDNN_ATTR_OPERATION_SDPA_BWD_STATSDESC);
  if (run.Has(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC))
    of.scale = static_cast<Real>(run.First(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC));
  if (context.failed()) return;
  of.Measure();
  const View<Real> dq = Zeros<Real>(context, of.q.shape), dk = Zeros<Real>(context, of.k.shape),
                   dv = Zeros<Real>(context, of.v.shape);
  std::vector<Real> weights(static_cast<std::size_t>(of.rows * of.columns)), slopes(weights.size());
  for (i64 batch = 0; batch < of.batches; ++batch) {
    const i64 rows = of.RowsOf(batch), columns = of.ColumnsOf(batch);
    for (i64 head = 0; head < of.heads; ++head) {
      const Real *const outer = MatrixOf(slope, batch, head), *const result = MatrixOf(o, batch, head),
                        *const sums = MatrixOf(stats, batch, head);
      const Real *const keys = MatrixOf(of.k, batch, of.SharedBy(of.k, head)), *const values =
                                                                                   MatrixOf(of.v, batch,
                                                                                            of.SharedBy(of.v, head));
      of.Scores(batch, head, &weights);
      Multiply(of.rows, of.columns, of.width, Plain<Real>(outer, of.width), Transposed<Real>(values, of.width), false,
               slopes.data(), of.columns);
      for (i64 i = 0; i < of.rows; ++i) {
        double along = 0;
        for (i64 e = 0; e < of.width; ++e)
          along += static_cast<double>(outer[i * of.width + e]) * static_cast<double>(result[i * of.width + e]);
        for (i64 j = 0; j < of.columns; ++j) {
          Real &weight = weights[static_cast<std::size_t>(i * of.columns + j)],
               &to = slopes[static_cast<std::size_t>(i * of.columns + j)];
          const bool is_there = i < rows && j < columns;
          weight = is_there ? std::exp(weight - sums[i]) : Real{0};
          to = is_there ? weight * (to - static_cast<Real>(along)) * of.scale : Real{0};
        }
      }
      Multiply(of.columns, of.width, of.rows, Transposed<Real>(weights.data(), of.columns),
               Plain<Real>(outer, of.width), true, MatrixOf(dv, batch, of.SharedBy(dv, head)), of.width);
      Multiply(of.rows, of.inner, of.columns, Plain<Real>(slopes.data(), of.columns), Plain<Real>(keys, of.inner),
               false, MatrixOf(dq, batch, head), of.inner);
      Multiply(of.columns, of.inner, of.rows, Transposed<Real>(slopes.data(), of.columns),
               Plain<Real>(MatrixOf(of.q, batch, head), of.inner), true, MatrixOf(dk, batch, of.SharedBy(dk, head)),
               of.inner);
    }
  }
  run.Commit(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_DQDESC, dq);
  run.Commit(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC, dk);
  run.Commit(operation, CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC, dv);
}

bool HasDims(const GraphTensor* tensor, std::initializer_list<i64> dims) {
  return tensor == nullptr || (tensor->tensor.rank == static_cast<std::int32_t>(dims.size()) &&
                               std::equal(dims.begin(), dims.end(), tensor->tensor.dims.begin()));
}

// What both directions check: q, k, v, and what has the dimensions of the result and of the statistics.
const char* CheckOperands(const DnnTensor& q, const DnnTensor& k, const DnnTensor& v, i64 k_batches, i64 k_places,
                          const GraphTensor* o, const GraphTensor* stats, const GraphTensor* q_lengths,
                          const GraphTensor* k_lengths, const GraphTensor* scale) {
  if (q.rank != 4 || k.rank != 4 || v.rank != 4) return "attention of tensors that are no batches of heads";
  if (k_batches != q.dims[0] || k.dims[3] != q.dims[3] || q.dims[1] % k.dims[1] != 0 || q.dims[1] % v.dims[1] != 0)
    return "attention of queries, keys and values that do not fit each other";
  const i64 batches = q.dims[0], heads = q.dims[1], rows = q.dims[2];
  if (!HasDims(o, {batches, heads, rows, v.dims[3]}) || !HasDims(stats, {batches, heads, rows, 1}) ||
      !HasDims(q_lengths, {batches, 1, 1, 1}) || !HasDims(k_lengths, {batches, 1, 1, 1}) ||
      (scale != nullptr && Elements(GraphRun<float>::ShapeOf(scale->tensor)) != 1))
    return "attention with a result, statistics, lengths or a scale of other dimensions";
  // A head's scores are in memory of the server's, and so is what was in pages.
  constexpr i64 kScoresMost = i64{1} << 27, kGatheredMost = i64{1} << 29;
  const double gathered =
      static_cast<double>(batches) * static_cast<double>(k_places) *
      std::max(static_cast<double>(k.dims[1]) * k.dims[3], static_cast<double>(v.dims[1]) * v.dims[3]);
  return k_places <= kScoresMost && rows * k_places <= kScoresMost && gathered <= static_cast<double>(kGatheredMost)
             ? nullptr
             : "attention over sequences that are too long";
}

const char* CheckAttention(const Graph& graph, const DnnPlanDescriptor& operation) {
  if (Has(operation, CUDNN_ATTR_OPERATION_SDPA_FWD_BLOCK_MASK_DESC))
    return "attention with a mask of blocks (SDPA_FWD_BLOCK_MASK_DESC)";
  const auto tensor = [&](int name) { return TensorOf(graph, operation, name); };
  const DnnTensor &q = tensor(CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC)->tensor,
                  &k = tensor(CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC)->tensor,
                  &v = tensor(CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC)->tensor;
  const GraphTensor *const k_table = tensor(CUDNN_ATTR_OPERATION_SDPA_FWD_PAGE_TABLE_KDESC),
                           *const v_table = tensor(CUDNN_ATTR_OPERATION_SDPA_FWD_PAGE_TABLE_VDESC),
                           *const lengths = tensor(CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_KVDESC);
  i64 k_batches = k.dims[0], v_batches = v.dims[0], k_places = k.dims[2], v_places = v.dims[2];
  const auto by_table = [](const GraphTensor* table, i64* batches, i64* places) {
    if (table == nullptr) return true;
    *batches = table->tensor.dims[0];
    *places *= table->tensor.dims[2];
    return table->tensor.rank == 4 && table->tensor.dims[1] == 1 && table->tensor.dims[3] == 1 &&
           IsIntegerType(table->tensor.type);
  };
  if (!by_table(k_table, &k_batches, &k_places) || !by_table(v_table, &v_batches, &v_places))
    return "attention with a table of pages that is none";
  if ((k_table != nullptr || v_table != nullptr) && lengths == nullptr)
    return "attention over pages without the sequences' lengths";
  if (v_batches != k_batches || v_places != k_places) return "attention of keys and values that do not fit each other";
  return CheckOperands(q, k, v, k_batches, k_places, tensor(CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC),
                       tensor(CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC),
                       tensor(CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_QDESC), lengths,
                       tensor(CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC));
}

const char* CheckAttentionBackward(const Graph& graph, const DnnPlanDescriptor& operation) {
  const auto tensor = [&](int name) { return TensorOf(graph, operation, name); };
  const DnnTensor &q = tensor(CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC)->tensor,
                  &k = tensor(CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC)->tensor,
                  &v = tensor(CUDNN_ATTR_OPERATION_SDPA_BWD_VDESC)->tensor;
  const GraphTensor* const o = tensor(CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC);
  if (v.dims[0] != k.dims[0] || v.dims[2] != k.dims[2])
    return "attention of keys and values that do not fit each other";
  if (const char* const why = CheckOperands(
          q, k, v, k.dims[0], k.dims[2], o, tensor(CUDNN_ATTR_OPERATION_SDPA_BWD_STATSDESC),
          tensor(CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_QDESC), tensor(CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_KVDESC),
          tensor(CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC));
      why != nullptr)
    return why;
  const auto is_like = [&](int name, const DnnTensor& like) {
    const DnnTensor& other = tensor(name)->tensor;
    return other.rank == like.rank && other.dims == like.dims;
  };
  return is_like(CUDNN_ATTR_OPERATION_SDPA_BWD_DODDESC, o->tensor) &&
                 is_like(CUDNN_ATTR_OPERATION_SDPA_BWD_DQDESC, q) && is_like(CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC, k) &&
                 is_like(CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC, v)
             ? nullptr
             : "attention with gradients of other dimensions";
}

}  // namespace

void AddAttention(std::vector<OperationRow>* rows) {
  rows->push_back(
      {.type = CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR,
       .required = {CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC,
                    CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC},
       .optional = {CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_BLOCK_MASK_DESC,
                    CUDNN_ATTR_OPERATION_SDPA_FWD_PAGE_TABLE_KDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_PAGE_TABLE_VDESC,
                    CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_QDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_KVDESC},
       .made = {CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC},
       .numbers = {},
       .places = {CUDNN_ATTR_OPERATION_SDPA_FWD_PAGE_TABLE_KDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_PAGE_TABLE_VDESC,
                  CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_QDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_KVDESC},
       .check = &CheckAttention,
       .run_float = &RunAttention<float>,
       .run_double = &RunAttention<double>});
  rows->push_back(
      {.type = CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR,
       .required = {CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC,
                    CUDNN_ATTR_OPERATION_SDPA_BWD_VDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC,
                    CUDNN_ATTR_OPERATION_SDPA_BWD_STATSDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_DODDESC,
                    CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC},
       .optional = {CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_QDESC,
                    CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_KVDESC},
       .made = {CUDNN_ATTR_OPERATION_SDPA_BWD_DQDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC,
                CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC},
       .numbers = {},
       .places = {CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_QDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_KVDESC},
       .check = &CheckAttentionBackward,
       .run_float = &RunAttentionBackward<float>,
       .run_double = &RunAttentionBackward<double>});
}

}  // namespace accelmesh::cpu_dnn
