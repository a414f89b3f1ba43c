// Operations of graphs that only move elements: reshapes, concatenations, bands of matrices, pages of caches.
#include "server/backend/cpu/dnn/graph_moves.h"

#include <limits>

namespace accelmesh::cpu_dnn {
namespace {

bool HasGaps(const Shape& shape) {
  i64 extent = 1;
  for (int d = 0; d < shape.rank; ++d) extent += (shape.dims[d] - 1) * shape.strides[d];
  return extent != Elements(shape);
}

// The same memory under other dimensions and strides, as cuDNN's attention transposes with it; of tensors with gaps,
// which are no such memory, the same elements in the order of their indices.
template <typename Real>
void RunReshape(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  const View<Real> x = run.In(operation, CUDNN_ATTR_OPERATION_RESHAPE_XDESC),
                   y = run.Out(operation, CUDNN_ATTR_OPERATION_RESHAPE_YDESC);
  if (run.context().failed()) return;
  const auto described = [&](int name) { return GraphRun<Real>::ShapeOf(run.TensorAt(operation, name).tensor); };
  const Shape from = described(CUDNN_ATTR_OPERATION_RESHAPE_XDESC), to = described(CUDNN_ATTR_OPERATION_RESHAPE_YDESC);
  if (!HasGaps(from) && !HasGaps(to)) {
    Walk<2>(x.shape, {x.shape.strides, from.strides}, [&](const Offsets<2>& at) { y.data[at[1]] = x.data[at[0]]; });
  } else {
    std::vector<Real> elements;
    Walk<1>(x.shape, {x.shape.strides}, [&](const Offsets<1>& at) { elements.push_back(x.data[at[0]]); });
    std::size_t i = 0;
    Walk<1>(y.shape, {y.shape.strides}, [&](const Offsets<1>& at) { y.data[at[0]] = elements[i++]; });
  }
  run.Commit(operation, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y);
}

const char* CheckReshape(const Graph& graph, const DnnPlanDescriptor& operation) {
  const auto elements = [&](int name) {
    return Elements(GraphRun<float>::ShapeOf(TensorOf(graph, operation, name)->tensor));
  };
  return elements(CUDNN_ATTR_OPERATION_RESHAPE_XDESC) == elements(CUDNN_ATTR_OPERATION_RESHAPE_YDESC)
             ? nullptr
             : "a shape of another number of elements";
}

template <typename Real>
void RunConcat(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  const auto axis = static_cast<std::size_t>(operation.Find(CUDNN_ATTR_OPERATION_CONCAT_AXIS)[0]);
  const View<Real> y = run.Out(operation, CUDNN_ATTR_OPERATION_CONCAT_OUTPUT_DESC);
  i64 first = 0;
  for (const i64 place : operation.Find(CUDNN_ATTR_OPERATION_CONCAT_INPUT_DESCS)) {
    // One that is in its place already is read before it is written again.
    const View<Real> x = run.Read(place);
    if (run.context().failed()) return;
    Real* const to = y.data + first * y.shape.strides[axis];
    Walk<2>(x.shape, {x.shape.strides, y.shape.strides}, [&](const Offsets<2>& at) { to[at[1]] = x.data[at[0]]; });
    first += x.shape.dims[axis];
  }
  run.Commit(operation, CUDNN_ATTR_OPERATION_CONCAT_OUTPUT_DESC, y);
}

const char* CheckConcat(const Graph& graph, const DnnPlanDescriptor& operation) {
  const DnnTensor& y = TensorOf(graph, operation, CUDNN_ATTR_OPERATION_CONCAT_OUTPUT_DESC)->tensor;
  const i64 axis = operation.Find(CUDNN_ATTR_OPERATION_CONCAT_AXIS)[0];
  if (axis < 0 || axis >= y.rank) return "a concatenation along no axis";
  const auto inputs = operation.Find(CUDNN_ATTR_OPERATION_CONCAT_INPUT_DESCS);
  const i64 inplace = NumberOf(operation, CUDNN_ATTR_OPERATION_CONCAT_INPLACE_INDEX, -1);
  if (inplace < -1 || inplace >= static_cast<i64>(inputs.size())) return "a concatenation with no such input in place";
  i64 sum = 0;
  for (const i64 place : inputs) {
    const auto found = graph.tensors.find(place);
    if (found == graph.tensors.end()) return "a concatenation of what is no tensor";
    const DnnTensor& x = found->second.tensor;
    if (x.rank != y.rank) return "a concatenation of other dimensions";
    for (int d = 0; d < y.rank; ++d) {
      if (d != axis && x.dims[static_cast<std::size_t>(d)] != y.dims[static_cast<std::size_t>(d)])
        return "a concatenation of other dimensions";
    }
    sum += x.dims[static_cast<std::size_t>(axis)];
  }
  return sum == y.dims[static_cast<std::size_t>(axis)] ? nullptr : "a concatenation of another size than its parts";
}

// Attributes that expanding and contracting have alike.
struct BandNames {
  bool expands;
  int x, y, lower, upper, axis, pad;
};
BandNames BandNamesOf(std::uint32_t type) {
  if (type == CUDNN_BACKEND_OPERATION_EXPAND_BAND_MATRIX_DESCRIPTOR) {
    return {true,
            CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_XDESC,
            CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_YDESC,
            CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_LOWER_BANDWIDTH,
            CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_UPPER_BANDWIDTH,
            CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_AXIS,
            CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_PAD_VALUE};
  }
  return {false,
          CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_XDESC,
          CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_YDESC,
          CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_LOWER_BANDWIDTH,
          CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_UPPER_BANDWIDTH,
          CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_AXIS,
          CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_PAD_VALUE};
}

// A band has its diagonals along the axis, `first` of them in front of the main one.
template <typename Real>
void RunBand(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  const BandNames names = BandNamesOf(operation.type);
  const View<Real> x = run.In(operation, names.x), y = run.Out(operation, names.y);
  if (run.context().failed()) return;
  const auto axis = static_cast<std::size_t>(operation.Find(names.axis)[0]);
  // In the last two dimensions; the one that is not the axis.
  const auto other = static_cast<std::size_t>(2 * x.shape.rank - 3) - axis;
  const bool is_columns = axis > other;
  const i64 first = operation.Find(is_columns ? names.lower : names.upper)[0];
  const Real pad = static_cast<Real>(RealOf(operation.Find(names.pad), 0));
  Indices index{};
  Walk<2>(y.shape, {y.shape.strides, x.shape.strides}, [&](const Offsets<2>& at) {
    const i64 moved = names.expands ? index[axis] - index[other] + first : index[axis] + index[other] - first;
    const bool is_inside = moved >= 0 && moved < x.shape.dims[axis];
    y.data[at[0]] = is_inside ? x.data[at[1] + (moved - index[axis]) * x.shape.strides[axis]] : pad;
    for (int d = y.shape.rank - 1; d >= 0 && ++index[d] == y.shape.dims[d]; --d) index[d] = 0;
  });
  run.Commit(operation, names.y, y);
}

const char* CheckBand(const Graph& graph, const DnnPlanDescriptor& operation) {
  if (Has(operation, CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_KV_TOKEN_OFFSET_DESC) ||
      Has(operation, CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_SPECULATIVE_MASK_DESC))
    return "a band with offsets of tokens, or a mask of speculation";
  const BandNames names = BandNamesOf(operation.type);
  const DnnTensor &x = TensorOf(graph, operation, names.x)->tensor, &y = TensorOf(graph, operation, names.y)->tensor;
  const i64 axis = operation.Find(names.axis)[0], lower = operation.Find(names.lower)[0],
            upper = operation.Find(names.upper)[0];
  if (x.rank != y.rank || x.rank < 2 || axis < x.rank - 2 || axis >= x.rank)
    return "a band along an axis that is none of a matrix's";
  constexpr i64 kMost = std::numeric_limits<std::int32_t>::max();
  const DnnTensor &band = names.expands ? x : y, &matrix = names.expands ? y : x;
  const auto at = static_cast<std::size_t>(axis);
  if (lower < 0 || upper < 0 || lower > kMost || upper > kMost || band.dims[at] != lower + upper + 1)
    return "a band of another width than its diagonals";
  for (int d = 0; d < x.rank; ++d) {
    if (d != axis && x.dims[static_cast<std::size_t>(d)] != y.dims[static_cast<std::size_t>(d)])
      return "a band of other dimensions than its matrix";
  }
  // What it means to have fewer is nowhere said.
  if (NumberOf(operation, CUDNN_ATTR_OPERATION_CONTRACT_BAND_MAX_TOKEN_VALUE, matrix.dims[at]) != matrix.dims[at])
    return "a band of other tokens than its matrix has (CONTRACT_BAND_MAX_TOKEN_VALUE)";
  return nullptr;
}

template <typename Real>
void RunPagedLoad(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  const View<Real> container = run.In(operation, CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_CONTAINER_DESC);
  const std::vector<i64> table = run.Integers(operation, CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_PAGE_TABLE_DESC),
                         lengths = run.Integers(operation, CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_SEQUENCE_DESC);
  const View<Real> y = run.Out(operation, CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_YDESC);
  if (run.context().failed()) return;
  View<Real> rows = y;
  if (run.TensorAt(operation, CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_YDESC).tensor.strides[2] == 1) {
    std::swap(rows.shape.dims[2], rows.shape.dims[3]);
    std::swap(rows.shape.strides[2], rows.shape.strides[3]);
  }
  LoadPages(run.context(), container, table, lengths, rows);
  if (!run.context().failed()) run.Commit(operation, CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_YDESC, y);
}

const char* CheckPagedLoad(const Graph& graph, const DnnPlanDescriptor& operation) {
  const auto tensor = [&](int name) -> const DnnTensor& { return TensorOf(graph, operation, name)->tensor; };
  const DnnTensor &container = tensor(CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_CONTAINER_DESC),
                  &y = tensor(CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_YDESC),
                  &table = tensor(CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_PAGE_TABLE_DESC),
                  &lengths = tensor(CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_SEQUENCE_DESC);
  if (container.rank != 4 || y.rank != 4 || table.rank != 4 || lengths.rank != 4) return "pages that are no matrices";
  const bool is_transposed = y.strides[2] == 1;
  const i64 places = y.dims[is_transposed ? 3 : 2], width = y.dims[is_transposed ? 2 : 3], block = container.dims[2];
  const bool fits = container.dims[1] == y.dims[1] && container.dims[3] == width && table.dims[0] == y.dims[0] &&
                    table.dims[1] == 1 && table.dims[2] == (places + block - 1) / block && table.dims[3] == 1 &&
                    lengths.dims[0] == y.dims[0] && lengths.dims[1] * lengths.dims[2] * lengths.dims[3] == 1;
  return fits ? nullptr : "pages, a table, lengths and a result that do not fit each other";
}

template <void (*kFloat)(GraphRun<float>&, const DnnPlanDescriptor&),
          void (*kDouble)(GraphRun<double>&, const DnnPlanDescriptor&)>
OperationRow Row(int type, Names required, Names made, const char* (*check)(const Graph&, const DnnPlanDescriptor&)) {
  return {.type = static_cast<std::uint32_t>(type),
          .required = std::move(required),
          .optional = {},
          .made = std::move(made),
          .numbers = {},
          .places = {},
          .check = check,
          .run_float = kFloat,
          .run_double = kDouble};
}

}  // namespace

template <typename Real>
void LoadPages(Context& context, const View<Real>& container, const std::vector<i64>& table,
               const std::vector<i64>& lengths, const View<Real>& y) {
  const i64 sequences = y.shape.dims[0], places = y.shape.dims[2], block = container.shape.dims[2];
  const i64 pages = (places + block - 1) / block;
  if (static_cast<i64>(table.size()) != sequences * pages || static_cast<i64>(lengths.size()) != sequences)
    return context.Fail(kInvalidValue, "a table of pages of another size");
  const Indices &from = container.shape.strides, &to = y.shape.strides;
  for (i64 n = 0; n < sequences; ++n) {
    for (i64 s = 0; s < places; ++s) {
      const bool is_there = s < lengths[static_cast<std::size_t>(n)];
      const i64 page = is_there ? table[static_cast<std::size_t>(n * pages + s / block)] : 0;
      if (page < 0 || page >= container.shape.dims[0])
        return context.Fail(kInvalidValue, "a page that its container has not");
      for (i64 h = 0; h < y.shape.dims[1]; ++h) {
        const Real* const source = container.data + page * from[0] + h * from[1] + s % block * from[2];
        Real* const target = y.data + n * to[0] + h * to[1] + s * to[2];
        for (i64 e = 0; e < y.shape.dims[3]; ++e) target[e * to[3]] = is_there ? source[e * from[3]] : Real{0};
      }
    }
  }
}
template void LoadPages(Context&, const View<float>&, const std::vector<i64>&, const std::vector<i64>&,
                        const View<float>&);
template void LoadPages(Context&, const View<double>&, const std::vector<i64>&, const std::vector<i64>&,
                        const View<double>&);

void AddMoves(std::vector<OperationRow>* rows) {
  rows->push_back(Row<&RunReshape<float>, &RunReshape<double>>(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
                                                               {CUDNN_ATTR_OPERATION_RESHAPE_XDESC},
                                                               {CUDNN_ATTR_OPERATION_RESHAPE_YDESC}, &CheckReshape));
  OperationRow concat = Row<&RunConcat<float>, &RunConcat<double>>(
      CUDNN_BACKEND_OPERATION_CONCAT_DESCRIPTOR,
      {CUDNN_ATTR_OPERATION_CONCAT_AXIS, CUDNN_ATTR_OPERATION_CONCAT_INPUT_DESCS},
      {CUDNN_ATTR_OPERATION_CONCAT_OUTPUT_DESC}, &CheckConcat);
  concat.optional = {CUDNN_ATTR_OPERATION_CONCAT_INPLACE_INDEX};
  concat.numbers = {CUDNN_ATTR_OPERATION_CONCAT_AXIS, CUDNN_ATTR_OPERATION_CONCAT_INPLACE_INDEX};
  rows->push_back(std::move(concat));
  for (const int type : {CUDNN_BACKEND_OPERATION_EXPAND_BAND_MATRIX_DESCRIPTOR,
                         CUDNN_BACKEND_OPERATION_CONTRACT_BAND_MATRIX_DESCRIPTOR}) {
    const BandNames names = BandNamesOf(static_cast<std::uint32_t>(type));
    OperationRow band = Row<&RunBand<float>, &RunBand<double>>(type, {names.x, names.lower, names.upper, names.axis},
                                                               {names.y}, &CheckBand);
    band.optional = {names.pad};
    band.numbers = {names.lower, names.upper, names.axis, names.pad};
    if (names.expands) {
      band.optional.push_back(CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_KV_TOKEN_OFFSET_DESC);
      band.optional.push_back(CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_SPECULATIVE_MASK_DESC);
    } else {
      band.optional.push_back(CUDNN_ATTR_OPERATION_CONTRACT_BAND_MAX_TOKEN_VALUE);
      band.numbers.push_back(CUDNN_ATTR_OPERATION_CONTRACT_BAND_MAX_TOKEN_VALUE);
    }
    rows->push_back(std::move(band));
  }
  OperationRow paged = Row<&RunPagedLoad<float>, &RunPagedLoad<double>>(
      CUDNN_BACKEND_OPERATION_PAGED_CACHE_LOAD_DESCRIPTOR,
      {CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_CONTAINER_DESC, CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_PAGE_TABLE_DESC,
       CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_SEQUENCE_DESC},
      {CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_YDESC}, &CheckPagedLoad);
  paged.places = {CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_PAGE_TABLE_DESC,
                  CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_SEQUENCE_DESC};
  rows->push_back(std::move(paged));
}

}  // namespace accelmesh::cpu_dnn
