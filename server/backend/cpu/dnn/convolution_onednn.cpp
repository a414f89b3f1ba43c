// Convolutions by oneDNN. A problem's primitives are made once and kept; oneDNN chooses the layouts that it computes
// in, and tensors that lie otherwise are reordered.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "server/backend/cpu/dnn/convolution.h"
#include "server/backend/cpu/dnn/following.h"
#include "server/backend/cpu/dnn/onednn.h"

namespace accelmesh::cpu_dnn {
namespace {

using dnnl::memory;
constexpr int kSpaceMax = 3;
constexpr std::size_t kPlansMax = 1024;

// How the bytes of a problem's key are laid out; every byte is set.
struct Key {
  i64 direction;
  Geometry geometry;
  Shape x, w, y;
  i64 has_bias, adds, activation;
  double alpha;
};

// One operand: where the caller has it, where the primitive wants it, and the way between them.
struct Side {
  memory::desc theirs;
  memory::desc ours;
  std::optional<dnnl::reorder> reorder;
  memory::desc scratch;  // of the reorder
  // The way back, of a result that is added to.
  std::optional<dnnl::reorder> back;
  memory::desc back_scratch;
};

// Primitives are run from any thread: with scratch memory of the caller's they have no state.
struct Plan {
  dnnl::primitive primitive;
  memory::desc scratch;
  Side x, w, y;
};

dnnl::primitive_attr Attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

// Strides of dimensions of one element say nothing; oneDNN recognises layouts by those that a packed tensor would have.
i64 StrideOf(const Shape& shape, int d) {
  if (shape.dims[d] != 1) return shape.strides[d];
  i64 stride = 1;
  for (int inner = d + 1; inner < shape.rank; ++inner) {
    if (shape.dims[inner] != 1) stride = std::max(stride, shape.strides[inner] * shape.dims[inner]);
  }
  return stride;
}

// Of a filter in several groups, its first dimension is two.
memory::desc Describe(const Shape& shape, i64 groups) {
  memory::dims dims, strides;
  for (int d = 0; d < shape.rank; ++d) {
    if (d == 0 && groups != 1) {
      const i64 stride = StrideOf(shape, 0);
      dims.insert(dims.end(), {groups, shape.dims[0] / groups});
      strides.insert(strides.end(), {stride * (shape.dims[0] / groups), stride});
      continue;
    }
    dims.push_back(shape.dims[d]);
    strides.push_back(StrideOf(shape, d));
  }
  return memory::desc(dims, memory::data_type::f32, strides);
}

memory::desc AnyLayout(const memory::desc& desc) {
  return memory::desc(desc.dims(), memory::data_type::f32, memory::format_tag::any);
}

// Whether it lies dimension by dimension, without gaps.
bool IsInOrder(const Shape& shape) {
  i64 stride = 1;
  for (int d = shape.rank - 1; d >= 0; --d) {
    if (shape.dims[d] != 1 && shape.strides[d] != stride) return false;
    stride *= shape.dims[d];
  }
  return true;
}

// A filter of megabytes that is looked at in few places: to reorder it takes a fifth of the product or more.
bool IsMostlyFilter(const Geometry& g, const Shape& x, const Shape& w, const Shape& y) {
  constexpr i64 kLargeFilter = 1 << 20, kFewPlaces = 256;
  return g.rank == 2 && g.groups == 1 && Elements(w) >= kLargeFilter && Elements(y) / y.dims[1] <= kFewPlaces &&
         IsInOrder(x) && IsInOrder(w) && IsInOrder(y);
}

// Whether the program's layout is the faster one, measured by dnn_bench (docs/cudnn.md): oneDNN's own are made of
// blocks of channels, which a gradient of a few channels does not fill, and their reorders cost more than a product
// that looks at some of the places only, once each. By shape and never by time, so that every run computes the same
// bits.
bool StaysAsItIs(Direction direction, const Geometry& g, const Shape& x, const Shape& w, const Shape& y) {
  constexpr i64 kFewChannels = 4;
  if (direction != Direction::kData && IsMostlyFilter(g, x, w, y)) return true;
  if (direction == Direction::kFilter || StrideOf(x, x.rank - 1) != 1) return false;
  if (direction == Direction::kData && x.dims[1] / g.groups <= kFewChannels) return true;
  bool is_point = true, skips = false;
  for (int d = 0; d < g.rank; ++d) {
    is_point = is_point && w.dims[d + 2] == 1;
    skips = skips || g.strides[d] > 1;
  }
  return is_point && skips;
}

Side MakeSide(const memory::desc& theirs, const memory::desc& ours, bool is_result, bool is_added_to = false) {
  Side side{theirs, ours, std::nullopt, {}, std::nullopt, {}};
  if (theirs == ours) return side;
  const memory::desc &from = is_result ? ours : theirs, &to = is_result ? theirs : ours;
  const dnnl::reorder::primitive_desc reorder(Engine(), from, Engine(), to, Attributes());
  side.reorder.emplace(reorder);
  side.scratch = reorder.scratchpad_desc();
  if (is_added_to) {
    const dnnl::reorder::primitive_desc back(Engine(), theirs, Engine(), ours, Attributes());
    side.back.emplace(back);
    side.back_scratch = back.scratchpad_desc();
  }
  return side;
}

std::shared_ptr<const Plan> MakePlan(Direction direction, const Geometry& g, const Shape& x_shape, const Shape& w_shape,
                                     const Shape& y_shape, const Following& following) {
  const memory::desc x = Describe(x_shape, 1), w = Describe(w_shape, g.groups), y = Describe(y_shape, 1);
  const memory::dims strides(g.strides.begin(), g.strides.begin() + g.rank);
  memory::dims dilations, before(g.pads.begin(), g.pads.begin() + g.rank), after;
  for (int d = 0; d < g.rank; ++d) {
    dilations.push_back(g.dilations[d] - 1);
    // What follows the last place that the filter fits at is nobody's.
    const i64 needed = (y_shape.dims[d + 2] - 1) * g.strides[d] + (w_shape.dims[d + 2] - 1) * g.dilations[d] + 1;
    after.push_back(std::max<i64>(needed - x_shape.dims[d + 2] - g.pads[d], -x_shape.dims[d + 2]));
  }
  const bool stays = StaysAsItIs(direction, g, x_shape, w_shape, y_shape);
  const auto layout = [stays](const memory::desc& desc) { return stays ? desc : AnyLayout(desc); };
  const auto kind =
      direction == Direction::kForward ? dnnl::prop_kind::forward_inference : dnnl::prop_kind::forward_training;
  const auto algorithm = dnnl::algorithm::convolution_direct;
  const auto described = [&] {
    if (following.bias == nullptr)
      return dnnl::convolution_forward::desc(kind, algorithm, layout(x), layout(w), layout(y), strides, dilations,
                                             before, after);
    const memory::desc bias({y_shape.dims[1]}, memory::data_type::f32, memory::format_tag::a);
    return dnnl::convolution_forward::desc(kind, algorithm, layout(x), layout(w), bias, layout(y), strides, dilations,
                                           before, after);
  };
  const dnnl::convolution_forward::primitive_desc forward(described(), AttributesOf(following), Engine());
  auto plan = std::make_shared<Plan>();
  switch (direction) {
    case Direction::kForward:
      plan->primitive = dnnl::convolution_forward(forward);
      plan->scratch = forward.scratchpad_desc();
      plan->x = MakeSide(x, forward.src_desc(), false);
      plan->w = MakeSide(w, forward.weights_desc(), false);
      plan->y = MakeSide(y, forward.dst_desc(), true, following.adds);
      break;
    case Direction::kData: {
      const dnnl::convolution_backward_data::primitive_desc data(
          {dnnl::algorithm::convolution_direct, layout(x), layout(w), layout(y), strides, dilations, before, after},
          Attributes(), Engine(), forward);
      plan->primitive = dnnl::convolution_backward_data(data);
      plan->scratch = data.scratchpad_desc();
      plan->x = MakeSide(x, data.diff_src_desc(), true);
      plan->w = MakeSide(w, data.weights_desc(), false);
      plan->y = MakeSide(y, data.diff_dst_desc(), false);
      break;
    }
    case Direction::kFilter: {
      const dnnl::convolution_backward_weights::primitive_desc filter(
          {dnnl::algorithm::convolution_direct, layout(x), layout(w), layout(y), strides, dilations, before, after},
          Attributes(), Engine(), forward);
      plan->primitive = dnnl::convolution_backward_weights(filter);
      plan->scratch = filter.scratchpad_desc();
      plan->x = MakeSide(x, filter.src_desc(), false);
      plan->w = MakeSide(w, filter.diff_weights_desc(), true);
      plan->y = MakeSide(y, filter.diff_dst_desc(), false);
      break;
    }
  }
  return plan;
}

std::shared_ptr<const Plan> FindPlan(Direction direction, const Geometry& geometry, const Shape& x, const Shape& w,
                                     const Shape& y, const Following& following) {
  static auto* const mutex = new std::mutex;
  static auto* const plans = new std::map<std::string, std::shared_ptr<const Plan>>;
  Key key;
  std::memset(static_cast<void*>(&key), 0, sizeof(key));
  key.direction = static_cast<i64>(direction);
  key.has_bias = following.bias != nullptr ? 1 : 0;
  key.adds = following.adds ? 1 : 0;
  key.activation = static_cast<i64>(following.activation);
  key.alpha = static_cast<double>(following.alpha);
  const auto put = [](auto& to, const auto& from) { std::memcpy(static_cast<void*>(&to), &from, sizeof(to)); };
  put(key.geometry.groups, geometry.groups);
  put(key.geometry.rank, geometry.rank);
  put(key.geometry.pads, geometry.pads);
  put(key.geometry.strides, geometry.strides);
  put(key.geometry.dilations, geometry.dilations);
  for (const auto& [to, from] : {std::pair{&key.x, &x}, {&key.w, &w}, {&key.y, &y}}) {
    put(to->rank, from->rank);
    put(to->dims, from->dims);
    put(to->strides, from->strides);
  }
  std::string bytes(reinterpret_cast<const char*>(&key), sizeof(key));
  {
    const std::lock_guard lock(*mutex);
    if (const auto found = plans->find(bytes); found != plans->end()) return found->second;
  }
  // Two threads may make the same one; making it under the lock would keep everybody waiting.
  std::shared_ptr<const Plan> plan = MakePlan(direction, geometry, x, w, y, following);
  const std::lock_guard lock(*mutex);
  if (plans->size() >= kPlansMax) plans->clear();
  return plans->try_emplace(std::move(bytes), std::move(plan)).first->second;
}

// Memory of a thread's that its next run takes again: fresh pages cost as much as a small convolution.
class Buffers {
 public:
  static constexpr std::size_t kCount = 5;

  // In the layout `desc`; valid until the thread's next Take() of that place.
  memory Take(std::size_t place, const memory::desc& desc) {
    Buffer& buffer = buffers_[place];
    const std::size_t bytes = desc.get_size();
    if (buffer.bytes < bytes) {
      constexpr std::size_t kAlignment = 64;
      const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
      buffer.data.reset(std::aligned_alloc(kAlignment, rounded));
      buffer.bytes = buffer.data == nullptr ? 0 : rounded;
      if (buffer.data == nullptr) throw std::bad_alloc();
    }
    return memory(desc, Engine(), buffer.data.get());
  }
  // Gives back what is too much to keep.
  void Trim() {
    constexpr std::size_t kKeptMax = std::size_t{64} << 20;
    for (Buffer& buffer : buffers_) {
      if (buffer.bytes > kKeptMax) buffer = {};
    }
  }

 private:
  struct Free {
    void operator()(void* data) const { std::free(data); }
  };
  struct Buffer {
    std::unique_ptr<void, Free> data;
    std::size_t bytes = 0;
  };
  std::array<Buffer, kCount> buffers_;
};
thread_local Buffers t_buffers;
// Places of the buffers; the operands' are 0 to 2.
constexpr std::size_t kOfPrimitive = 3, kOfReorder = 4;

// An operand of one run.
class Bound {
 public:
  Bound(const Side& side, std::size_t place, float* data) : side_(side), theirs_(side.theirs, Engine(), data) {
    ours_ = side.reorder.has_value() ? t_buffers.Take(place, side.ours) : theirs_;
  }
  const memory& ours() const { return ours_; }
  void Bring() { Reorder(side_.reorder, side_.scratch, theirs_, ours_); }
  void TakeBack() { Reorder(side_.reorder, side_.scratch, ours_, theirs_); }
  // A result that is added to.
  void BringResult() { Reorder(side_.back, side_.back_scratch, theirs_, ours_); }

 private:
  static void Reorder(const std::optional<dnnl::reorder>& reorder, const memory::desc& scratch, memory& from,
                      memory& to) {
    if (!reorder.has_value()) return;
    reorder->execute(
        Stream(),
        {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}, {DNNL_ARG_SCRATCHPAD, t_buffers.Take(kOfReorder, scratch)}});
  }

  const Side& side_;
  memory theirs_;
  memory ours_;
};

// oneDNN describes tensors whose elements do not lie upon one another.
bool IsDescribable(const Shape& shape) {
  std::vector<std::pair<i64, i64>> places;  // strides and sizes
  for (int d = 0; d < shape.rank; ++d) {
    if (shape.dims[d] != 1) places.emplace_back(shape.strides[d], shape.dims[d]);
  }
  std::sort(places.begin(), places.end());
  i64 taken = 1;
  for (const auto& [stride, size] : places) {
    if (stride < taken) return false;
    taken = stride * size;
  }
  return true;
}

// The tensor itself, or another of the same elements that oneDNN can describe.
View<float> Describable(const View<float>& view, std::unique_ptr<float[]>* memory, bool has_values) {
  if (IsDescribable(view.shape)) return view;
  View<float> packed{nullptr, Packed(view.shape)};
  *memory = std::make_unique_for_overwrite<float[]>(static_cast<std::size_t>(Elements(view.shape)));
  packed.data = memory->get();
  if (has_values) {
    Walk<2>(view.shape, {view.shape.strides, packed.shape.strides},
            [&](const Offsets<2>& at) { packed.data[at[1]] = view.data[at[0]]; });
  }
  return packed;
}

}  // namespace

const char* WhyNotByOneDnn(const Geometry& geometry) {
  return geometry.rank > kSpaceMax ? "more than three dimensions of space" : nullptr;
}

void ConvolveByOneDnn(Direction direction, const Geometry& geometry, const View<float>& x, const View<float>& w,
                      const View<float>& y, const Following& following) {
  const std::array<const View<float>*, 3> given{&x, &w, &y};
  const std::size_t result = direction == Direction::kForward ? 2 : direction == Direction::kData ? 0 : 1;
  std::array<View<float>, 3> views;
  std::array<std::unique_ptr<float[]>, 3> copies;
  for (std::size_t i = 0; i < views.size(); ++i)
    views[i] = Describable(*given[i], &copies[i], i != result || following.adds);

  const std::shared_ptr<const Plan> plan =
      FindPlan(direction, geometry, views[0].shape, views[1].shape, views[2].shape, following);
  std::array<Bound, 3> sides{Bound(plan->x, 0, views[0].data), Bound(plan->w, 1, views[1].data),
                             Bound(plan->y, 2, views[2].data)};
  for (std::size_t i = 0; i < sides.size(); ++i) {
    if (i != result) sides[i].Bring();
  }
  if (following.adds) sides[result].BringResult();
  const bool is_forward = direction == Direction::kForward;
  std::unordered_map<int, memory> arguments = {
      {direction == Direction::kData ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, sides[0].ours()},
      {direction == Direction::kFilter ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, sides[1].ours()},
      {is_forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, sides[2].ours()},
      {DNNL_ARG_SCRATCHPAD, t_buffers.Take(kOfPrimitive, plan->scratch)}};
  if (following.bias != nullptr) {
    const memory::desc bias({views[2].shape.dims[1]}, memory::data_type::f32, memory::format_tag::a);
    arguments.emplace(DNNL_ARG_BIAS, memory(bias, Engine(), const_cast<float*>(following.bias)));
  }
  plan->primitive.execute(Stream(), arguments);
  sides[result].TakeBack();
  Stream().wait();
  t_buffers.Trim();
  if (copies[result] != nullptr) {
    const View<float>&from = views[result], &to = *given[result];
    Walk<2>(to.shape, {from.shape.strides, to.shape.strides},
            [&](const Offsets<2>& at) { to.data[at[1]] = from.data[at[0]]; });
  }
}

}  // namespace accelmesh::cpu_dnn
