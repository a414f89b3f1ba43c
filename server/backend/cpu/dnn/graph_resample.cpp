// Resampling of graphs and its gradient: pooling, and values between the elements of an image.
//
// A window begins at output * stride - padding. Pooling looks at each of its elements; nearest and bilinear at its
// middle, and at the edge for what lies behind it. What a GPU's library does in bilinear mode is the same; its nearest
// mode nobody has seen run.
#include <cmath>
#include <limits>

#include "server/backend/cpu/dnn/graph_operations.h"

namespace accelmesh::cpu_dnn {
namespace {

struct Side {
  double before = 0, after = 0, stride = 1, window = 1;
};
struct Resampling {
  i64 mode = 0, padding = 0;
  bool keeps_nan = false;
  int rank = 0;
  std::array<Side, kDnnDimensionsMax> sides{};
  bool IsPooling() const { return mode != CUDNN_RESAMPLE_NEAREST && mode != CUDNN_RESAMPLE_BILINEAR; }
};

// Numbers or fractions; false if there are not `rank` that are one.
bool ReadSides(const DnnPlanDescriptor& resample, int name, int rank, double Side::* to, Resampling* r) {
  const auto size = static_cast<std::size_t>(rank);
  for (const DnnPlanAttribute& attribute : resample.attributes) {
    if (static_cast<int>(attribute.name) != name) continue;
    const bool is_fraction = attribute.type == CUDNN_TYPE_FRACTION;
    const std::size_t each = is_fraction ? 2 : 1;
    if (attribute.words.size() != each * size) return false;
    for (std::size_t d = 0; d < size; ++d) {
      constexpr i64 kMost = 1 << 20;
      const i64 above = attribute.words[each * d], below = is_fraction ? attribute.words[each * d + 1] : 1;
      if (above < 0 || above > kMost || below < 1 || below > kMost) return false;
      r->sides[d].*to = static_cast<double>(above) / static_cast<double>(below);
    }
    return true;
  }
  return false;
}

// Null, or why it is none.
const char* ReadResampling(const DnnPlanDescriptor& resample, Resampling* r) {
  r->mode = NumberOf(resample, CUDNN_ATTR_RESAMPLE_MODE, -1);
  r->padding = NumberOf(resample, CUDNN_ATTR_RESAMPLE_PADDING_MODE, CUDNN_ZERO_PAD);
  r->keeps_nan = NumberOf(resample, CUDNN_ATTR_RESAMPLE_NAN_PROPAGATION, CUDNN_PROPAGATE_NAN) == CUDNN_PROPAGATE_NAN;
  r->rank =
      static_cast<int>(std::clamp<i64>(NumberOf(resample, CUDNN_ATTR_RESAMPLE_SPATIAL_DIMS, 0), 0, kDnnDimensionsMax));
  switch (r->mode) {
    case CUDNN_RESAMPLE_NEAREST:
    case CUDNN_RESAMPLE_BILINEAR:
    case CUDNN_RESAMPLE_AVGPOOL_INCLUDE_PADDING:
    case CUDNN_RESAMPLE_AVGPOOL_EXCLUDE_PADDING:
    case CUDNN_RESAMPLE_MAXPOOL: break;
    default: return "a resampling of no mode";
  }
  if (r->padding < CUDNN_ZERO_PAD || r->padding > CUDNN_EDGE_VAL_PAD) return "a resampling with no padding mode";
  if (r->rank < 1 || r->rank > kDnnSpatialMax) return "a resampling of no dimensions of space";
  if (!ReadSides(resample, CUDNN_ATTR_RESAMPLE_PRE_PADDINGS, r->rank, &Side::before, r) ||
      !ReadSides(resample, CUDNN_ATTR_RESAMPLE_POST_PADDINGS, r->rank, &Side::after, r) ||
      !ReadSides(resample, CUDNN_ATTR_RESAMPLE_STRIDES, r->rank, &Side::stride, r) ||
      !ReadSides(resample, CUDNN_ATTR_RESAMPLE_WINDOW_DIMS, r->rank, &Side::window, r))
    return "a resampling without windows, strides and paddings in every dimension";
  for (int d = 0; d < r->rank; ++d) {
    const Side& side = r->sides[static_cast<std::size_t>(d)];
    if (side.stride <= 0 || side.window <= 0) return "a resampling with a window or strides of 0";
    const auto is_whole = [](double value) { return value == std::floor(value); };
    if (r->IsPooling() &&
        !(is_whole(side.before) && is_whole(side.after) && is_whole(side.stride) && is_whole(side.window)))
      return "pooling by fractions";
  }
  return nullptr;
}

i64 WindowOf(const Resampling& r) {
  double window = 1;
  for (int d = 0; d < r.rank; ++d) window *= r.sides[static_cast<std::size_t>(d)].window;
  return static_cast<i64>(std::min(window, 1e15));
}

// Of a result of float type fractions of 10^-6 are rounding.
constexpr double kSlack = 1e-6;

const char* CheckSizes(const Resampling& r, const DnnTensor& x, const DnnTensor& y) {
  if (x.rank != r.rank + 2 || y.rank != x.rank || x.dims[0] != y.dims[0] || x.dims[1] != y.dims[1])
    return "a resampling of tensors of other dimensions";
  for (int d = 0; d < r.rank; ++d) {
    const Side& side = r.sides[static_cast<std::size_t>(d)];
    const auto at = static_cast<std::size_t>(d + 2);
    const double room = x.dims[at] + side.before + side.after - side.window;
    if (room < -kSlack || y.dims[at] != static_cast<i64>(std::floor(room / side.stride + kSlack)) + 1)
      return "a resampling to another size than its windows and strides make";
  }
  return nullptr;
}

// What one place of a result looks at in one dimension; behind the edge: -1.
struct Tap {
  i64 at = 0;
  double weight = 1;
};
std::vector<Tap> TapsOf(const Resampling& r, const Side& side, i64 size, i64 out) {
  const double start = static_cast<double>(out) * side.stride - side.before;
  const auto clamp = [size](double at) { return static_cast<i64>(std::clamp(at, 0.0, static_cast<double>(size - 1))); };
  if (r.mode == CUDNN_RESAMPLE_NEAREST) return {{clamp(std::floor(start + side.window / 2 + kSlack)), 1}};
  if (r.mode == CUDNN_RESAMPLE_BILINEAR) {
    const double middle = std::clamp(start + side.window / 2 - 0.5, 0.0, static_cast<double>(size - 1));
    const double low = std::floor(middle);
    return {{clamp(low), 1 - (middle - low)}, {clamp(low + 1), middle - low}};
  }
  std::vector<Tap> taps;
  for (i64 k = 0; k < static_cast<i64>(side.window); ++k) {
    const i64 at = static_cast<i64>(start) + k;
    const bool is_inside = at >= 0 && at < size;
    taps.push_back({is_inside ? at : r.padding == CUDNN_EDGE_VAL_PAD ? clamp(static_cast<double>(at)) : -1, 1});
  }
  return taps;
}

// Goes through the places of a result.
class Windows {
 public:
  Windows(const Resampling& r, const Shape& x, const Shape& y) : r_(r), x_(x), y_(y) {
    for (int d = 0; d < r.rank; ++d) {
      for (i64 out = 0; out < y.dims[d + 2]; ++out)
        taps_[d].push_back(TapsOf(r, r.sides[static_cast<std::size_t>(d)], x.dims[d + 2], out));
    }
  }
  // Calls visit(index of y, offset of y, offset of x without space).
  template <typename Visitor>
  void Each(Visitor visit) const {
    Indices index{}, images{};
    images[0] = x_.strides[0];
    images[1] = x_.strides[1];
    Walk<2>(y_, {y_.strides, images}, [&](const Offsets<2>& at) {
      visit(index, at[0], at[1]);
      for (int d = y_.rank - 1; d >= 0 && ++index[d] == y_.dims[d]; --d) index[d] = 0;
    });
  }
  // Calls visit(offset of x from `image` on, or -1, weight) for what the place looks at, the last dimension fastest.
  template <typename Visitor>
  void EachTap(const Indices& index, i64 image, Visitor visit) const {
    std::array<const std::vector<Tap>*, kDnnDimensionsMax> taps{};
    for (int d = 0; d < r_.rank; ++d) taps[d] = &taps_[d][static_cast<std::size_t>(index[d + 2])];
    std::array<std::size_t, kDnnDimensionsMax> at{};
    while (true) {
      i64 offset = image;
      double weight = 1;
      for (int d = 0; d < r_.rank; ++d) {
        const Tap& tap = (*taps[d])[at[d]];
        offset = offset < 0 || tap.at < 0 ? -1 : offset + tap.at * x_.strides[d + 2];
        weight *= tap.weight;
      }
      visit(offset, weight);
      int d = r_.rank - 1;
      for (; d >= 0 && ++at[d] == taps[d]->size(); --d) at[d] = 0;
      if (d < 0) return;
    }
  }

 private:
  const Resampling& r_;
  const Shape &x_, &y_;
  std::array<std::vector<std::vector<Tap>>, kDnnDimensionsMax> taps_;
};

// The largest of a window: what it is, its number in the window, and where; behind the edge: -1.
struct Largest {
  double value = -std::numeric_limits<double>::infinity();
  i64 number = 0;
  i64 offset = -1;
};
template <typename Real>
Largest FindLargest(const Resampling& r, const Windows& windows, const Indices& index, i64 image, const Real* x) {
  Largest largest;
  i64 number = 0;
  bool is_first = true;
  windows.EachTap(index, image, [&](i64 offset, double /*weight*/) {
    if (offset >= 0 || r.padding == CUDNN_ZERO_PAD) {
      const double value = offset < 0 ? 0 : static_cast<double>(x[offset]);
      const bool is_nan = std::isnan(value), had_nan = std::isnan(largest.value);
      const bool wins = r.keeps_nan ? !had_nan && (is_nan || value > largest.value) : !is_nan && value > largest.value;
      if (wins || (is_first && !is_nan)) largest = {value, number, offset};
      is_first = is_first && is_nan && !r.keeps_nan;
    }
    ++number;
  });
  return largest;
}

// What the parts of an average are divided by.
double PartOf(const Resampling& r, const Windows& windows, const Indices& index, i64 image) {
  if (r.mode == CUDNN_RESAMPLE_NEAREST || r.mode == CUDNN_RESAMPLE_BILINEAR) return 1;
  if (r.mode == CUDNN_RESAMPLE_AVGPOOL_INCLUDE_PADDING) return static_cast<double>(WindowOf(r));
  double inside = 0;
  windows.EachTap(index, image, [&](i64 offset, double /*weight*/) { inside += offset >= 0 ? 1 : 0; });
  return std::max(inside, 1.0);
}

template <typename Real>
void RunResampleForward(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  Resampling r;
  if (const char* const why = ReadResampling(run.Refers(operation, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC), &r);
      why != nullptr)
    return run.context().Fail(kInvalidValue, why);
  const bool has_index = run.Has(operation, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_IDXDESC);
  const View<Real> x = run.In(operation, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC),
                   y = run.Out(operation, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC),
                   numbers = has_index ? run.Out(operation, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_IDXDESC) : View<Real>{};
  if (run.context().failed()) return;
  const Windows windows(r, x.shape, y.shape);
  windows.Each([&](const Indices& index, i64 at, i64 image) {
    if (r.mode == CUDNN_RESAMPLE_MAXPOOL) {
      const Largest largest = FindLargest(r, windows, index, image, x.data);
      y.data[at] = static_cast<Real>(largest.value);
      if (!has_index) return;
      i64 to = 0;
      for (int d = 0; d < numbers.shape.rank; ++d) to += index[d] * numbers.shape.strides[d];
      numbers.data[to] = static_cast<Real>(largest.number);
      return;
    }
    double sum = 0;
    windows.EachTap(index, image, [&](i64 offset, double weight) {
      if (offset >= 0 && weight != 0) sum += weight * static_cast<double>(x.data[offset]);
    });
    y.data[at] = static_cast<Real>(sum / PartOf(r, windows, index, image));
  });
  const DnnBlend blend{RealOf(operation.Find(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_ALPHA), 1),
                       RealOf(operation.Find(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_BETA), 0)};
  run.Commit(operation, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC, y, blend);
  if (has_index) run.Commit(operation, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_IDXDESC, numbers);
}

template <typename Real>
void RunResampleBackward(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  Resampling r;
  if (const char* const why = ReadResampling(run.Refers(operation, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC), &r);
      why != nullptr)
    return run.context().Fail(kInvalidValue, why);
  const bool is_largest = r.mode == CUDNN_RESAMPLE_MAXPOOL,
             has_index = is_largest && run.Has(operation, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_IDXDESC);
  const View<Real> dy = run.In(operation, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC),
                   dx = run.Out(operation, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC),
                   x = is_largest && !has_index ? run.In(operation, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_XDESC) : dx;
  const std::vector<i64> numbers =
      has_index ? run.Integers(operation, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_IDXDESC) : std::vector<i64>{};
  if (run.context().failed()) return;
  std::fill_n(dx.data, Elements(dx.shape), Real{0});
  const Windows windows(r, dx.shape, dy.shape);
  // Where x lies otherwise than its gradient, windows of its own find the largest.
  const Windows of_x(r, x.shape, dy.shape);
  std::size_t place = 0;
  windows.Each([&](const Indices& index, i64 at, i64 image) {
    const auto slope = static_cast<double>(dy.data[at]);
    const std::size_t now = place++;
    const auto add = [&](i64 offset, double value) {
      if (offset >= 0) dx.data[offset] = static_cast<Real>(static_cast<double>(dx.data[offset]) + value);
    };
    if (!is_largest) {
      const double part = PartOf(r, windows, index, image);
      return windows.EachTap(index, image, [&](i64 offset, double weight) { add(offset, slope * weight / part); });
    }
    const i64 x_image = index[0] * x.shape.strides[0] + index[1] * x.shape.strides[1];
    const i64 wanted = has_index ? numbers[now] : FindLargest(r, of_x, index, x_image, x.data).number;
    i64 number = 0;
    windows.EachTap(index, image, [&](i64 offset, double /*weight*/) {
      if (number++ == wanted) add(offset, slope);
    });
  });
  const DnnBlend blend{RealOf(operation.Find(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_ALPHA), 1),
                       RealOf(operation.Find(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_BETA), 0)};
  run.Commit(operation, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC, dx, blend);
}

// Numbers in a window that a tensor of `type` has room for.
i64 RoomOf(int type) { return type == CUDNN_DATA_INT8 ? 128 : type == CUDNN_DATA_UINT8 ? 256 : i64{1} << 24; }

const char* CheckIndex(const Resampling& r, const GraphTensor& index, const DnnTensor& y) {
  if (r.mode != CUDNN_RESAMPLE_MAXPOOL) return "an index of what is no maximum";
  if (!IsIntegerType(index.tensor.type)) return "an index that is no integer";
  if (index.tensor.rank != y.rank || index.tensor.dims != y.dims) return "an index of other dimensions than its result";
  return WindowOf(r) <= RoomOf(index.tensor.type) ? nullptr : "an index whose type is too small for its windows";
}

const char* CheckResample(const Graph& graph, const DnnPlanDescriptor& operation) {
  const bool is_forward = operation.type == CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR;
  Resampling r;
  if (const char* const why = ReadResampling(
          Refers(graph, operation,
                 is_forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC),
          &r);
      why != nullptr)
    return why;
  const auto tensor = [&](int name) { return TensorOf(graph, operation, name); };
  const GraphTensor* const small =
      tensor(is_forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC);
  const GraphTensor* const large =
      tensor(is_forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC);
  if (const char* const why = CheckSizes(r, large->tensor, small->tensor); why != nullptr) return why;
  // What each place looks at is written down, for each dimension alone.
  constexpr i64 kWindowMost = i64{1} << 24, kTapsMost = i64{1} << 23;
  i64 taps = 0;
  for (int d = 0; d < r.rank; ++d) {
    const auto at = static_cast<std::size_t>(d);
    taps += i64{small->tensor.dims[at + 2]} * (r.IsPooling() ? static_cast<i64>(r.sides[at].window) : 2);
  }
  if (taps > kTapsMost || (r.IsPooling() && WindowOf(r) > kWindowMost))
    return "a resampling by windows that are too large";
  const int beta = is_forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_BETA : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_BETA;
  const GraphTensor* const result = is_forward ? small : large;
  if (result->is_virtual && RealOf(operation.Find(beta), 0) != 0)
    return "a resampling that is added to a virtual tensor, which holds nothing before (its beta)";
  const GraphTensor* const index =
      tensor(is_forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_IDXDESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_IDXDESC);
  if (index != nullptr) return CheckIndex(r, *index, small->tensor);
  if (is_forward || r.mode != CUDNN_RESAMPLE_MAXPOOL) return nullptr;
  const GraphTensor* const x = tensor(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_XDESC);
  if (x == nullptr) return "a gradient of maxima with neither an index nor x";
  return x->tensor.rank == large->tensor.rank && x->tensor.dims == large->tensor.dims
             ? nullptr
             : "a gradient of maxima of an x of other dimensions";
}

}  // namespace

void AddResampling(std::vector<OperationRow>* rows) {
  rows->push_back({.type = CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR,
                   .description_name = CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC,
                   .description_type = CUDNN_BACKEND_RESAMPLE_DESCRIPTOR,
                   .required = {CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC},
                   .optional = {CUDNN_ATTR_OPERATION_RESAMPLE_FWD_ALPHA, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_BETA},
                   .made = {CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_IDXDESC},
                   .numbers = {CUDNN_ATTR_OPERATION_RESAMPLE_FWD_ALPHA, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_BETA},
                   .places = {CUDNN_ATTR_OPERATION_RESAMPLE_FWD_IDXDESC},
                   .check = &CheckResample,
                   .run_float = &RunResampleForward<float>,
                   .run_double = &RunResampleForward<double>});
  rows->push_back({.type = CUDNN_BACKEND_OPERATION_RESAMPLE_BWD_DESCRIPTOR,
                   .description_name = CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC,
                   .description_type = CUDNN_BACKEND_RESAMPLE_DESCRIPTOR,
                   .required = {CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC},
                   .optional = {CUDNN_ATTR_OPERATION_RESAMPLE_BWD_IDXDESC, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_XDESC,
                                CUDNN_ATTR_OPERATION_RESAMPLE_BWD_YDESC, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_ALPHA,
                                CUDNN_ATTR_OPERATION_RESAMPLE_BWD_BETA},
                   .made = {CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC},
                   .numbers = {CUDNN_ATTR_OPERATION_RESAMPLE_BWD_ALPHA, CUDNN_ATTR_OPERATION_RESAMPLE_BWD_BETA},
                   .places = {CUDNN_ATTR_OPERATION_RESAMPLE_BWD_IDXDESC},
                   .check = &CheckResample,
                   .run_float = &RunResampleBackward<float>,
                   .run_double = &RunResampleBackward<double>});
}

}  // namespace accelmesh::cpu_dnn
