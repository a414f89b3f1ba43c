// Convolutions of the software GPU next to oneDNN called directly, in one run, on one core.
//
//     dnn_bench [--benchmark_filter=...]      names: shape/layout/direction/how; items are multiply-adds
//
// Called directly, oneDNN has its primitive made before, tensors as the program has them, and its own scratch memory;
// where it would compute in another layout, it is told which one the tensors have (plain), or reorders are made as a
// program would that wants them back in its own layout (chosen). The software GPU is compared with the faster of both.
// What follows a convolution in an operation graph is computed with it (followed) or behind it (apart).
#include <benchmark/benchmark.h>

#include <array>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/backend/cpu/dnn/convolution.h"
#include "server/backend/cpu/dnn/onednn.h"

namespace accelmesh::cpu_dnn {
namespace {

using dnnl::memory;

struct Problem {
  const char* name;
  i64 images, channels, size, kernels, filter, stride, pad;
};
constexpr std::array kProblems{
    Problem{"lenet1", 32, 1, 28, 6, 5, 1, 0},        Problem{"lenet2", 32, 6, 12, 16, 5, 1, 0},
    Problem{"resnet_small", 16, 8, 16, 8, 3, 1, 1},  Problem{"resnet_stem", 1, 3, 224, 64, 7, 2, 3},
    Problem{"resnet_56", 1, 64, 56, 64, 3, 1, 1},    Problem{"resnet_28", 4, 128, 28, 128, 3, 1, 1},
    Problem{"resnet_14", 1, 256, 14, 256, 3, 1, 1},  Problem{"resnet_7", 4, 512, 7, 512, 3, 1, 1},
    Problem{"resnet_down", 1, 64, 56, 128, 1, 2, 0},
};

Shape ShapeOf(std::array<i64, 4> dims, bool channels_last) {
  Shape shape;
  shape.rank = 4;
  i64 stride = 1;
  for (const int d : channels_last ? std::array{1, 3, 2, 0} : std::array{3, 2, 1, 0}) {
    shape.dims[d] = dims[d];
    shape.strides[d] = stride;
    stride *= dims[d];
  }
  return shape;
}

memory::dims DimsOf(const Shape& shape) { return {shape.dims.begin(), shape.dims.begin() + shape.rank}; }

// The three tensors of one problem.
struct Tensors {
  Tensors(const Problem& p, bool channels_last) {
    out = (p.size + 2 * p.pad - p.filter) / p.stride + 1;
    shapes = {ShapeOf({p.images, p.channels, p.size, p.size}, channels_last),
              ShapeOf({p.kernels, p.channels, p.filter, p.filter}, channels_last),
              ShapeOf({p.images, p.kernels, out, out}, channels_last)};
    for (std::size_t i = 0; i < 3; ++i) {
      values[i].resize(
          static_cast<std::size_t>(shapes[i].dims[0] * shapes[i].dims[1] * shapes[i].dims[2] * shapes[i].dims[3]));
      for (std::size_t k = 0; k < values[i].size(); ++k) values[i][k] = static_cast<float>(k % 17) / 16 - 0.5f;
    }
    work = p.images * p.kernels * out * out * p.channels * p.filter * p.filter;
  }
  i64 out = 0, work = 0;
  std::array<Shape, 3> shapes;
  std::array<std::vector<float>, 3> values;
};

constexpr std::size_t ResultOf(Direction direction) {
  return direction == Direction::kForward ? 2 : direction == Direction::kData ? 0 : 1;
}

// oneDNN as its manual says.
class Direct {
 public:
  Direct(const Problem& p, Direction direction, Tensors& tensors, bool is_plain) : result_(ResultOf(direction)) {
    const auto tag = memory::format_tag::any;
    std::array<memory::desc, 3> given, wanted;
    for (std::size_t i = 0; i < 3; ++i) {
      const Shape& shape = tensors.shapes[i];
      given[i] = memory::desc(DimsOf(shape), memory::data_type::f32,
                              memory::dims(shape.strides.begin(), shape.strides.begin() + 4));
      wanted[i] = is_plain ? given[i] : memory::desc(DimsOf(shape), memory::data_type::f32, tag);
      theirs_[i] = memory(given[i], Engine(), tensors.values[i].data());
    }
    const memory::dims strides(2, p.stride), pads(2, p.pad);
    const auto algorithm = dnnl::algorithm::convolution_direct;
    const auto kind =
        direction == Direction::kForward ? dnnl::prop_kind::forward_inference : dnnl::prop_kind::forward_training;
    const dnnl::convolution_forward::primitive_desc forward(
        {kind, algorithm, wanted[0], wanted[1], wanted[2], strides, pads, pads}, Engine());
    if (direction == Direction::kForward) {
      run_ = dnnl::convolution_forward(forward);
      Bind({forward.src_desc(), forward.weights_desc(), forward.dst_desc()});
      arguments_ = {{DNNL_ARG_SRC, ours_[0]}, {DNNL_ARG_WEIGHTS, ours_[1]}, {DNNL_ARG_DST, ours_[2]}};
    } else if (direction == Direction::kData) {
      const dnnl::convolution_backward_data::primitive_desc data(
          {algorithm, wanted[0], wanted[1], wanted[2], strides, pads, pads}, Engine(), forward);
      run_ = dnnl::convolution_backward_data(data);
      Bind({data.diff_src_desc(), data.weights_desc(), data.diff_dst_desc()});
      arguments_ = {{DNNL_ARG_DIFF_SRC, ours_[0]}, {DNNL_ARG_WEIGHTS, ours_[1]}, {DNNL_ARG_DIFF_DST, ours_[2]}};
    } else {
      const dnnl::convolution_backward_weights::primitive_desc filter(
          {algorithm, wanted[0], wanted[1], wanted[2], strides, pads, pads}, Engine(), forward);
      run_ = dnnl::convolution_backward_weights(filter);
      Bind({filter.src_desc(), filter.diff_weights_desc(), filter.diff_dst_desc()});
      arguments_ = {{DNNL_ARG_SRC, ours_[0]}, {DNNL_ARG_DIFF_WEIGHTS, ours_[1]}, {DNNL_ARG_DIFF_DST, ours_[2]}};
    }
  }
  void Run() {
    for (std::size_t i = 0; i < 3; ++i) {
      if (i != result_ && is_other_[i]) reorders_[i].execute(Stream(), theirs_[i], ours_[i]);
    }
    run_.execute(Stream(), arguments_);
    if (is_other_[result_]) reorders_[result_].execute(Stream(), ours_[result_], theirs_[result_]);
    Stream().wait();
  }

 private:
  void Bind(const std::array<memory::desc, 3>& descs) {
    for (std::size_t i = 0; i < 3; ++i) {
      is_other_[i] = theirs_[i].get_desc() != descs[i];
      ours_[i] = is_other_[i] ? memory(descs[i], Engine()) : theirs_[i];
      if (is_other_[i])
        reorders_[i] = i == result_ ? dnnl::reorder(ours_[i], theirs_[i]) : dnnl::reorder(theirs_[i], ours_[i]);
    }
  }

  std::size_t result_;
  dnnl::primitive run_;
  std::array<bool, 3> is_other_{};
  std::array<memory, 3> theirs_, ours_;
  std::array<dnnl::reorder, 3> reorders_;
  std::unordered_map<int, memory> arguments_;
};

void RunOurs(benchmark::State& state, const Problem& p, Direction direction, bool channels_last) {
  BeginThread();
  Tensors tensors(p, channels_last);
  const Geometry geometry{2, 1, {p.pad, p.pad}, {p.stride, p.stride}, {1, 1}};
  const auto view = [&](std::size_t i) { return View<float>{tensors.values[i].data(), tensors.shapes[i]}; };
  const View<float> x = view(0), w = view(1), y = view(2);
  ConvolveByOneDnn(direction, geometry, x, w, y);
  for (auto _ : state) ConvolveByOneDnn(direction, geometry, x, w, y);
  state.SetItemsProcessed(state.iterations() * tensors.work);
}

// relu(x w + bias), as operation graphs ask for it: by one primitive, or step by step over results without gaps.
void RunFollowed(benchmark::State& state, const Problem& p, bool channels_last, bool is_one) {
  BeginThread();
  Tensors tensors(p, channels_last);
  const Geometry geometry{2, 1, {p.pad, p.pad}, {p.stride, p.stride}, {1, 1}};
  const auto view = [&](std::size_t i) { return View<float>{tensors.values[i].data(), tensors.shapes[i]}; };
  const View<float> x = view(0), w = view(1), y = view(2);
  const std::vector<float> bias(static_cast<std::size_t>(p.kernels), 0.25f);
  Following following;
  following.bias = bias.data();
  std::vector<float> moved(tensors.values[2].size());
  const Indices channels{0, 1, 0, 0};
  // As the graphs' functions are called: by a pointer, for each element.
  float (*volatile const add)(float, float) = [](float a, float b) { return a + b; };
  float (*volatile const relu)(float, float) = [](float a, float) { return a < 0 ? 0 : a; };
  const auto step = [&](float (*function)(float, float), const float* from, float* to) {
    Walk<2>(y.shape, {y.shape.strides, channels},
            [&](const Offsets<2>& at) { to[at[0]] = function(from[at[0]], bias[static_cast<std::size_t>(at[1])]); });
  };
  const auto run = [&] {
    if (is_one) {
      ConvolveByOneDnn(Direction::kForward, geometry, x, w, y, following);
      for (float& value : tensors.values[2]) value = value < 0 ? 0 : value;
      return;
    }
    ConvolveByOneDnn(Direction::kForward, geometry, x, w, y);
    step(add, y.data, moved.data());
    step(relu, moved.data(), y.data);
  };
  run();
  for (auto _ : state) run();
  state.SetItemsProcessed(state.iterations() * tensors.work);
}

void RunDirect(benchmark::State& state, const Problem& p, Direction direction, bool channels_last, bool is_plain) {
  BeginThread();
  Tensors tensors(p, channels_last);
  Direct direct(p, direction, tensors, is_plain);
  direct.Run();
  for (auto _ : state) direct.Run();
  state.SetItemsProcessed(state.iterations() * tensors.work);
}

void Register() {
  constexpr std::array kDirections{"forward", "data", "filter"};
  for (const Problem& problem : kProblems) {
    for (const bool channels_last : {false, true}) {
      for (int d = 0; d < 3; ++d) {
        const auto direction = static_cast<Direction>(d);
        if (channels_last && direction != Direction::kForward) continue;
        const std::string name = std::string(problem.name) + (channels_last ? "/nhwc/" : "/nchw/") +
                                 kDirections[static_cast<std::size_t>(d)];
        benchmark::RegisterBenchmark((name + "/plain").c_str(),
                                     [=](auto& state) { RunDirect(state, problem, direction, channels_last, true); });
        benchmark::RegisterBenchmark((name + "/chosen").c_str(),
                                     [=](auto& state) { RunDirect(state, problem, direction, channels_last, false); });
        benchmark::RegisterBenchmark((name + "/ours").c_str(),
                                     [=](auto& state) { RunOurs(state, problem, direction, channels_last); });
        if (direction != Direction::kForward) continue;
        benchmark::RegisterBenchmark((name + "/followed").c_str(),
                                     [=](auto& state) { RunFollowed(state, problem, channels_last, true); });
        benchmark::RegisterBenchmark((name + "/apart").c_str(),
                                     [=](auto& state) { RunFollowed(state, problem, channels_last, false); });
      }
    }
  }
}

}  // namespace
}  // namespace accelmesh::cpu_dnn

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  accelmesh::cpu_dnn::Register();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
