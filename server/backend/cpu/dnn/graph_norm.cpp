// Normalisations of graphs.
#include <cmath>

#include "server/backend/cpu/dnn/graph_operations.h"

namespace accelmesh::cpu_dnn {
namespace {

// Of a normalisation of groups: channels as two dimensions, of the groups and of what is in one. Others stay as they
// are.
Shape SplitChannels(const Shape& shape, i64 groups) {
  if (groups == 0) return shape;
  Shape split;
  split.rank = shape.rank + 1;
  for (int d = 0; d < shape.rank; ++d) {
    const int to = d < 2 ? d : d + 1;
    split.dims[to] = shape.dims[d];
    split.strides[to] = shape.strides[d];
  }
  const i64 each = shape.dims[1] == 1 ? 1 : shape.dims[1] / groups;
  split.dims[1] = shape.dims[1] / each;
  split.dims[2] = each;
  split.strides[1] = shape.strides[1] * each;
  split.strides[2] = shape.strides[1];
  return split;
}
// How many groups the mean that is made or given has; 0 of other normalisations.
template <typename Real>
i64 GroupsOf(const GraphRun<Real>& run, const DnnPlanDescriptor& operation, i64 mode, int mean) {
  return mode == CUDNN_GROUP_NORM ? run.TensorAt(operation, mean).tensor.dims[1] : 0;
}

// The statistics of x: as many as there are groups of elements that are normalised together.
Shape StatisticsOf(i64 mode, const Shape& x, const Shape& scale) {
  Shape shape = x;
  for (int d = 0; d < x.rank; ++d) {
    bool together = false;
    switch (mode) {
      case CUDNN_BATCH_NORM: together = d != 1; break;
      case CUDNN_GROUP_NORM:
      case CUDNN_INSTANCE_NORM: together = d >= 2; break;
      // Each sample has a scale of its own.
      case CUDNN_ADA_LAYER_NORM: together = d > 0 && scale.rank == x.rank && scale.dims[d] == x.dims[d]; break;
      default: together = scale.rank == x.rank && scale.dims[d] == x.dims[d]; break;  // of layers, and RMS
    }
    if (together) shape.dims[d] = 1;
  }
  return Rows(shape);
}

using Sums = std::vector<double>;

// What every element adds to, by the strides of its sum.
template <typename Real>
Sums SumOf(const Shape& shape, const Indices& strides, i64 count, Real (*of)(Real), const View<Real>& x) {
  Sums sums(static_cast<std::size_t>(count));
  Walk<2>(shape, {x.shape.strides, strides}, [&](const Offsets<2>& at) {
    sums[static_cast<std::size_t>(at[1])] += static_cast<double>(of(x.data[at[0]]));
  });
  return sums;
}

template <typename Real>
Sums ToSums(const View<Real>& view) {
  Sums sums;
  Walk<1>(view.shape, {view.shape.strides},
          [&](const Offsets<1>& at) { sums.push_back(static_cast<double>(view.data[at[0]])); });
  return sums;
}

// A result with as many elements as there are sums, in the order of its dimensions.
template <typename Real>
void Give(GraphRun<Real>& run, const DnnPlanDescriptor& operation, int name, const Sums& sums) {
  if (!run.Has(operation, name)) return;
  const View<Real> to = run.Out(operation, name);
  if (static_cast<std::size_t>(Elements(to.shape)) != sums.size())
    return run.context().Fail(kInvalidValue, "statistics of other dimensions");
  std::size_t i = 0;
  Walk<1>(to.shape, {to.shape.strides}, [&](const Offsets<1>& at) { to.data[at[0]] = static_cast<Real>(sums[i++]); });
  run.Commit(operation, name, to);
}

template <typename Real>
void RunNormForward(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  Context& context = run.context();
  const i64 mode = operation.Find(CUDNN_ATTR_OPERATION_NORM_FWD_MODE)[0];
  const bool is_training = operation.Find(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE)[0] == CUDNN_NORM_FWD_TRAINING;
  View<Real> x = run.In(operation, CUDNN_ATTR_OPERATION_NORM_FWD_XDESC);
  View<Real> scale = run.In(operation, CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC);
  const bool has_bias = run.Has(operation, CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC);
  View<Real> bias = has_bias ? run.In(operation, CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC) : scale;
  const View<Real> result = run.Out(operation, CUDNN_ATTR_OPERATION_NORM_FWD_YDESC);
  if (context.failed()) return;
  const i64 groups = GroupsOf(run, operation, mode, CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC);
  const View<Real> y{result.data, SplitChannels(result.shape, groups)};
  for (View<Real>* const view : {&x, &scale, &bias}) view->shape = SplitChannels(view->shape, groups);
  Indices scale_strides{}, bias_strides{}, stat_strides{};
  if (!SameDims(x.shape, y.shape) || !Broadcast(scale.shape, x.shape, &scale_strides) ||
      !Broadcast(bias.shape, x.shape, &bias_strides))
    return context.Fail(kInvalidValue, "a normalisation of other dimensions than its result");
  const Shape stats = StatisticsOf(mode, x.shape, scale.shape);
  Broadcast(stats, x.shape, &stat_strides);
  const i64 count = Elements(stats);
  const double each = static_cast<double>(Elements(x.shape)) / static_cast<double>(count);
  const double epsilon = run.Has(operation, CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC)
                             ? run.First(operation, CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC)
                             : 0;
  Sums mean(static_cast<std::size_t>(count)), inverse(mean.size()), variance(mean.size());
  if (mode == CUDNN_BATCH_NORM && !is_training) {
    mean = ToSums(run.In(operation, CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC));
    inverse = ToSums(run.In(operation, CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC));
    if (mean.size() != variance.size() || inverse.size() != variance.size())
      return context.Fail(kInvalidValue, "statistics of other dimensions");
  } else {
    if (mode != CUDNN_RMS_NORM) {
      mean = SumOf<Real>(x.shape, stat_strides, count, [](Real value) { return value; }, x);
      for (double& m : mean) m /= each;
    }
    Walk<2>(x.shape, {x.shape.strides, stat_strides}, [&](const Offsets<2>& at) {
      const auto stat = static_cast<std::size_t>(at[1]);
      const double apart = static_cast<double>(x.data[at[0]]) - mean[stat];
      variance[stat] += apart * apart / each;
    });
    for (std::size_t i = 0; i < inverse.size(); ++i) inverse[i] = 1 / std::sqrt(variance[i] + epsilon);
  }
  Walk<5>(x.shape, {x.shape.strides, stat_strides, scale_strides, bias_strides, y.shape.strides},
          [&](const Offsets<5>& at) {
            const auto stat = static_cast<std::size_t>(at[1]);
            const double value = (static_cast<double>(x.data[at[0]]) - mean[stat]) * inverse[stat];
            const double moved = has_bias ? static_cast<double>(bias.data[at[3]]) : 0;
            y.data[at[4]] = static_cast<Real>(value * static_cast<double>(scale.data[at[2]]) + moved);
          });
  run.Commit(operation, CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, result);
  if (!is_training) return;
  if (mode != CUDNN_RMS_NORM) Give(run, operation, CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, mean);
  Give(run, operation, CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, inverse);
  if (!run.Has(operation, CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC)) return;
  const double factor = run.First(operation, CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC);
  const auto average = [&](int from, int to, const Sums& now, double correction) {
    if (!run.Has(operation, from) || !run.Has(operation, to)) return;
    Sums kept = ToSums(run.In(operation, from));
    if (context.failed() || kept.size() != now.size())
      return context.Fail(kInvalidValue, "running statistics of other dimensions");
    for (std::size_t i = 0; i < kept.size(); ++i) kept[i] = (1 - factor) * kept[i] + factor * now[i] * correction;
    Give(run, operation, to, kept);
  };
  average(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC, CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC,
          mean, 1);
  average(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC, CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC,
          variance, each > 1 ? each / (each - 1) : 1);
}

template <typename Real>
void RunNormBackward(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  Context& context = run.context();
  const i64 mode = operation.Find(CUDNN_ATTR_OPERATION_NORM_BWD_MODE)[0];
  View<Real> x = run.In(operation, CUDNN_ATTR_OPERATION_NORM_BWD_XDESC),
             dy = run.In(operation, CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC),
             scale = run.In(operation, CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC);
  const View<Real> result = run.Out(operation, CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC);
  if (context.failed()) return;
  const i64 groups = GroupsOf(run, operation, mode, CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC);
  const View<Real> dx{result.data, SplitChannels(result.shape, groups)};
  for (View<Real>* const view : {&x, &dy, &scale}) view->shape = SplitChannels(view->shape, groups);
  Indices scale_strides{}, stat_strides{};
  if (!SameDims(x.shape, dy.shape) || !SameDims(x.shape, dx.shape) || !Broadcast(scale.shape, x.shape, &scale_strides))
    return context.Fail(kInvalidValue, "a normalisation of other dimensions than its gradient");
  const Shape stats = StatisticsOf(mode, x.shape, scale.shape);
  Broadcast(stats, x.shape, &stat_strides);
  const Shape scales = Rows(scale.shape);
  Indices sum_strides{};
  Broadcast(scales, x.shape, &sum_strides);
  const auto count = static_cast<std::size_t>(Elements(stats));
  const double each = static_cast<double>(Elements(x.shape)) / static_cast<double>(count);
  const bool has_mean = mode != CUDNN_RMS_NORM && run.Has(operation, CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC);
  const Sums mean = has_mean ? ToSums(run.In(operation, CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC)) : Sums(count);
  const Sums inverse = ToSums(run.In(operation, CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC));
  if (context.failed() || mean.size() != count || inverse.size() != count)
    return context.Fail(kInvalidValue, "statistics of other dimensions");
  const auto scale_count = static_cast<std::size_t>(Elements(scales));
  Sums slopes(count), products(count), scale_gradient(scale_count), bias_gradient(scale_count);
  const auto walk = [&](auto visit) {
    Walk<6>(x.shape, {x.shape.strides, dy.shape.strides, stat_strides, scale_strides, sum_strides, dx.shape.strides},
            [&](const Offsets<6>& at) {
              const auto stat = static_cast<std::size_t>(at[2]);
              const double normal = (static_cast<double>(x.data[at[0]]) - mean[stat]) * inverse[stat];
              const auto from = static_cast<double>(dy.data[at[1]]);
              visit(at, stat, normal, from, from * static_cast<double>(scale.data[at[3]]));
            });
  };
  walk([&](const Offsets<6>& at, std::size_t stat, double normal, double from, double slope) {
    slopes[stat] += slope / each;
    products[stat] += slope * normal / each;
    scale_gradient[static_cast<std::size_t>(at[4])] += from * normal;
    bias_gradient[static_cast<std::size_t>(at[4])] += from;
  });
  walk([&](const Offsets<6>& at, std::size_t stat, double normal, double /*from*/, double slope) {
    const double centre = mode == CUDNN_RMS_NORM ? 0 : slopes[stat];
    dx.data[at[5]] = static_cast<Real>(inverse[stat] * (slope - centre - normal * products[stat]));
  });
  run.Commit(operation, CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, result);
  Give(run, operation, CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, scale_gradient);
  Give(run, operation, CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC, bias_gradient);
}

// What a normalisation of groups must have: channels that come out even, and statistics that say how many groups.
const char* CheckGroups(const Graph& graph, const DnnPlanDescriptor& operation, int x_name, int mean_name,
                        std::initializer_list<int> names) {
  const GraphTensor *const x = TensorOf(graph, operation, x_name), *const mean = TensorOf(graph, operation, mean_name);
  if (mean == nullptr) return "a normalisation of groups without a mean, whose channels say how many groups";
  const DnnTensor &of = x->tensor, &stats = mean->tensor;
  if (of.rank < 3 || of.rank >= kDnnDimensionsMax || stats.rank != of.rank || of.dims[1] % stats.dims[1] != 0)
    return "a normalisation of groups whose channels do not come out even";
  for (const int name : names) {
    const GraphTensor* const other = TensorOf(graph, operation, name);
    if (other != nullptr &&
        (other->tensor.rank != of.rank || (other->tensor.dims[1] != 1 && other->tensor.dims[1] != of.dims[1])))
      return "a normalisation of groups with tensors of other channels";
  }
  return nullptr;
}

// What is given but would not be looked at, or asked for but not written, is refused.
const char* CheckNormForward(const Graph& graph, const DnnPlanDescriptor& operation) {
  const auto has = [&operation](int name) { return Has(operation, name); };
  const i64 mode = operation.Find(CUDNN_ATTR_OPERATION_NORM_FWD_MODE)[0],
            phase = operation.Find(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE)[0];
  const bool has_mean = has(CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC),
             has_inverse = has(CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC),
             makes_mean = has(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC),
             makes_variance = has(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC);
  if (mode < 0 || mode > CUDNN_ADA_LAYER_NORM) return "a normalisation of that mode";
  if (phase != CUDNN_NORM_FWD_TRAINING && phase != CUDNN_NORM_FWD_INFERENCE) return "a normalisation of no phase";
  if (has(CUDNN_ATTR_OPERATION_NORM_FWD_PEER_STAT_DESCS)) return "a normalisation with peers' statistics";
  if (mode == CUDNN_BATCH_NORM && !(has_mean && has_inverse)) return "a batch normalisation without statistics";
  if (mode == CUDNN_RMS_NORM && has_mean) return "an RMS normalisation with a mean";
  const bool is_training = phase == CUDNN_NORM_FWD_TRAINING;
  if (mode == CUDNN_GROUP_NORM) {
    if (!is_training) return "an inference of a normalisation of groups, which does not say how many groups";
    if (const char* const why =
            CheckGroups(graph, operation, CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC,
                        {CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC,
                         CUDNN_ATTR_OPERATION_NORM_FWD_YDESC});
        why != nullptr)
      return why;
  }
  if (!is_training && mode != CUDNN_BATCH_NORM && (has_mean || has_inverse))
    return "an inference with given statistics that is no batch normalisation";
  if (!makes_mean && !makes_variance) return nullptr;
  if (!is_training || (mode != CUDNN_BATCH_NORM && mode != CUDNN_INSTANCE_NORM))
    return "running statistics of what does not keep any";
  const bool has_old = (!makes_mean || has(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC)) &&
                       (!makes_variance || has(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC));
  return has_old && has(CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC)
             ? nullptr
             : "running statistics without a factor or the ones before";
}

const char* CheckNormBackward(const Graph& graph, const DnnPlanDescriptor& operation) {
  const i64 mode = operation.Find(CUDNN_ATTR_OPERATION_NORM_BWD_MODE)[0];
  if (Has(operation, CUDNN_ATTR_OPERATION_NORM_BWD_PEER_STAT_DESCS)) return "a normalisation with peers' statistics";
  if (mode < 0 || mode > CUDNN_ADA_LAYER_NORM) return "a normalisation of that mode";
  if (mode != CUDNN_RMS_NORM && !Has(operation, CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC))
    return "a normalisation backward without the mean";
  return mode != CUDNN_GROUP_NORM
             ? nullptr
             : CheckGroups(graph, operation, CUDNN_ATTR_OPERATION_NORM_BWD_XDESC,
                           CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC,
                           {CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC,
                            CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC});
}

}  // namespace

void AddNorms(std::vector<OperationRow>* rows) {
  rows->push_back(
      {.type = CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR,
       .required = {CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_ATTR_OPERATION_NORM_FWD_PHASE,
                    CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC},
       .optional = {CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC,
                    CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC,
                    CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC,
                    CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC,
                    CUDNN_ATTR_OPERATION_NORM_FWD_PEER_STAT_DESCS},
       .made = {CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC,
                CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC,
                CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC},
       .numbers = {CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_ATTR_OPERATION_NORM_FWD_PHASE},
       .places = {},
       .check = &CheckNormForward,
       .run_float = &RunNormForward<float>,
       .run_double = &RunNormForward<double>});
  rows->push_back({.type = CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR,
                   .required = {CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_ATTR_OPERATION_NORM_BWD_XDESC,
                                CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC,
                                CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC},
                   .optional = {CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, CUDNN_ATTR_OPERATION_NORM_BWD_EPSILON_DESC,
                                CUDNN_ATTR_OPERATION_NORM_BWD_PEER_STAT_DESCS},
                   .made = {CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC,
                            CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC},
                   .numbers = {CUDNN_ATTR_OPERATION_NORM_BWD_MODE},
                   .places = {},
                   .check = &CheckNormBackward,
                   .run_float = &RunNormBackward<float>,
                   .run_double = &RunNormBackward<double>});
}

}  // namespace accelmesh::cpu_dnn
