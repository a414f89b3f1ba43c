// Numbers of few bits with a scale for each block of them, made and read.
//
// A dimension is in blocks where the scales are fewer than the elements. A scale is what makes the largest of its block
// the largest number there is: rounded up to a power of two, or to what its type holds. How cuDNN rounds its scales is
// not said.
#include <cmath>
#include <limits>

#include "server/backend/cpu/dnn/graph_operations.h"

namespace accelmesh::cpu_dnn {
namespace {

// How many elements have a scale in common, in each dimension; false if scales and elements do not fit.
bool BlocksOf(std::span<const i64> sizes, const DnnTensor& x, const DnnTensor& scale, Indices* blocks) {
  if (x.rank != scale.rank || sizes.empty()) return false;
  for (int d = 0; d < x.rank; ++d) {
    const auto at = static_cast<std::size_t>(d);
    // Of several sizes each is of a dimension, the last of the last.
    const i64 back = static_cast<i64>(sizes.size()) - (x.rank - d);
    const i64 own = sizes.size() == 1 ? sizes[0] : back < 0 ? 1 : sizes[static_cast<std::size_t>(back)];
    // Scales may be more than there are blocks: those in tiles are.
    const i64 block = scale.dims[at] >= x.dims[at] ? 1 : own;
    constexpr i64 kBlockMost = std::numeric_limits<std::int32_t>::max();
    if (block < 1 || block > kBlockMost || scale.dims[at] < (x.dims[at] + block - 1) / block) return false;
    (*blocks)[at] = block;
  }
  return true;
}

i64 ScaleOffset(const Shape& scale, const Indices& blocks, const Indices& index) {
  i64 offset = 0;
  for (int d = 0; d < scale.rank; ++d) {
    const auto at = static_cast<std::size_t>(d);
    offset += index[at] / blocks[at] * scale.strides[at];
  }
  return offset;
}
void Advance(const Shape& shape, Indices* index) {
  for (int d = shape.rank - 1; d >= 0; --d) {
    const auto at = static_cast<std::size_t>(d);
    if (++(*index)[at] != shape.dims[at]) return;
    (*index)[at] = 0;
  }
}

double LargestOf(int type) { return type == CUDNN_DATA_FP8_E4M3 ? 448 : type == CUDNN_DATA_FP8_E5M2 ? 57344 : 6; }

template <typename Real>
void RunQuantize(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  const View<Real> x = run.In(operation, CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_XDESC),
                   y = run.Out(operation, CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_YDESC),
                   scale = run.Out(operation, CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_SCALE_DESC);
  if (run.context().failed()) return;
  const GraphTensor &of_y = run.TensorAt(operation, CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_YDESC),
                    &of_scale = run.TensorAt(operation, CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_SCALE_DESC);
  Indices blocks{}, index{};
  BlocksOf(operation.Find(CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_BLOCK_SIZE), of_y.tensor, of_scale.tensor, &blocks);
  std::vector<double> largest(static_cast<std::size_t>(Elements(scale.shape)));
  Walk<1>(x.shape, {x.shape.strides}, [&](const Offsets<1>& at) {
    double& most = largest[static_cast<std::size_t>(ScaleOffset(scale.shape, blocks, index))];
    const double size = std::abs(static_cast<double>(x.data[at[0]]));
    if (size > most || std::isnan(size)) most = size;
    Advance(x.shape, &index);
  });
  for (double& most : largest) most = RoundTo(of_scale.tensor.type, most / LargestOf(of_y.tensor.type));
  index = {};
  Walk<2>(x.shape, {x.shape.strides, y.shape.strides}, [&](const Offsets<2>& at) {
    const double by = largest[static_cast<std::size_t>(ScaleOffset(scale.shape, blocks, index))];
    const double value = static_cast<double>(x.data[at[0]]) / by;
    y.data[at[1]] = by == 0 ? Real{0} : static_cast<Real>(value);
    Advance(x.shape, &index);
  });
  for (std::size_t i = 0; i < largest.size(); ++i) scale.data[i] = static_cast<Real>(largest[i]);
  run.Commit(operation, CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_YDESC, y);
  run.Commit(operation, CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_SCALE_DESC, scale);
}

template <typename Real>
void RunDequantize(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  const View<Real> x = run.In(operation, CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_XDESC),
                   scale = run.In(operation, CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_SCALE_DESC),
                   y = run.Out(operation, CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_YDESC);
  if (run.context().failed()) return;
  Indices blocks{}, index{};
  BlocksOf(operation.Find(CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_BLOCK_SIZE),
           run.TensorAt(operation, CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_XDESC).tensor,
           run.TensorAt(operation, CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_SCALE_DESC).tensor, &blocks);
  Walk<2>(x.shape, {x.shape.strides, y.shape.strides}, [&](const Offsets<2>& at) {
    y.data[at[1]] = x.data[at[0]] * scale.data[ScaleOffset(scale.shape, blocks, index)];
    Advance(x.shape, &index);
  });
  run.Commit(operation, CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_YDESC, y);
}

const char* CheckBlocks(const Graph& graph, const DnnPlanDescriptor& operation) {
  const bool makes = operation.type == CUDNN_BACKEND_OPERATION_BLOCK_SCALE_QUANTIZE_DESCRIPTOR;
  const auto tensor = [&](int made, int read) -> const GraphTensor& {
    return *TensorOf(graph, operation, makes ? made : read);
  };
  const GraphTensor &x = tensor(CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_XDESC,
                                CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_XDESC),
                    &y = tensor(CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_YDESC,
                                CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_YDESC),
                    &scale = tensor(CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_SCALE_DESC,
                                    CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_SCALE_DESC);
  if (NumberOf(operation, CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_NEG_SCALE, 0) != 0)
    return "blocks whose scales are negated (BLOCK_SCALE_DEQUANTIZE_NEG_SCALE)";
  const int small = (makes ? y : x).tensor.type, type = scale.tensor.type;
  if (small != CUDNN_DATA_FP8_E4M3 && small != CUDNN_DATA_FP8_E5M2 && small != CUDNN_DATA_FP4_E2M1)
    return "blocks of what is no number of few bits";
  if (type != CUDNN_DATA_FP8_E8M0 && type != CUDNN_DATA_FP8_E4M3 && type != CUDNN_DATA_FLOAT)
    return "blocks whose scales are of a type that is none of theirs";
  if (x.tensor.rank != y.tensor.rank || x.tensor.dims != y.tensor.dims)
    return "blocks of other dimensions than made of";
  Indices blocks{};
  return BlocksOf(operation.Find(makes ? CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_BLOCK_SIZE
                                       : CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_BLOCK_SIZE),
                  x.tensor, scale.tensor, &blocks)
             ? nullptr
             : "blocks with too few scales";
}

}  // namespace

void AddBlockScales(std::vector<OperationRow>* rows) {
  rows->push_back(
      {.type = CUDNN_BACKEND_OPERATION_BLOCK_SCALE_QUANTIZE_DESCRIPTOR,
       .required = {CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_XDESC,
                    CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_SCALE_DESC,
                    CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_BLOCK_SIZE},
       .optional = {CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_MATH_PREC},
       .made = {CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_YDESC, CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_SCALE_DESC},
       .numbers = {CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_BLOCK_SIZE,
                   CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_MATH_PREC},
       .places = {},
       .check = &CheckBlocks,
       .run_float = &RunQuantize<float>,
       .run_double = &RunQuantize<double>});
  rows->push_back({.type = CUDNN_BACKEND_OPERATION_BLOCK_SCALE_DEQUANTIZE_DESCRIPTOR,
                   .required = {CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_XDESC,
                                CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_SCALE_DESC,
                                CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_BLOCK_SIZE},
                   .optional = {CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_MATH_PREC,
                                CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_NEG_SCALE},
                   .made = {CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_YDESC},
                   .numbers = {CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_BLOCK_SIZE,
                               CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_MATH_PREC,
                               CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_NEG_SCALE},
                   .places = {},
                   .check = &CheckBlocks,
                   .run_float = &RunDequantize<float>,
                   .run_double = &RunDequantize<double>});
}

}  // namespace accelmesh::cpu_dnn
