// Batch normalisation in parts: sums of a convolution's result, the statistics and factors that they make, and the
// gradients of its weights.
#include <cmath>

#include "server/backend/cpu/dnn/graph_operations.h"

namespace accelmesh::cpu_dnn {
namespace {

using Sums = std::vector<double>;

// In the order of their indices.
template <typename Real>
Sums Numbers(GraphRun<Real>& run, const DnnPlanDescriptor& operation, int name) {
  Sums numbers;
  if (!run.Has(operation, name)) return numbers;
  const View<Real> view = run.In(operation, name);
  if (view.data == nullptr) return numbers;
  Walk<1>(view.shape, {view.shape.strides},
          [&](const Offsets<1>& at) { numbers.push_back(static_cast<double>(view.data[at[0]])); });
  return numbers;
}
template <typename Real>
void Give(GraphRun<Real>& run, const DnnPlanDescriptor& operation, int name, const Sums& numbers) {
  if (run.context().failed() || !run.Has(operation, name)) return;
  const View<Real> to = run.Out(operation, name);
  std::size_t i = 0;
  Walk<1>(to.shape, {to.shape.strides},
          [&](const Offsets<1>& at) { to.data[at[0]] = static_cast<Real>(numbers[i++]); });
  run.Commit(operation, name, to);
}

// Sums of x and of its squares over whatever dimensions they have one element in.
template <typename Real>
void RunGenStats(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  const View<Real> x = run.In(operation, CUDNN_ATTR_OPERATION_GENSTATS_XDESC);
  if (run.context().failed()) return;
  const Shape sums =
      Rows(GraphRun<Real>::ShapeOf(run.TensorAt(operation, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC).tensor));
  Indices strides{};
  Broadcast(sums, x.shape, &strides);
  Sums sum(static_cast<std::size_t>(Elements(sums))), squares(sum.size());
  Walk<2>(x.shape, {x.shape.strides, strides}, [&](const Offsets<2>& at) {
    const auto value = static_cast<double>(x.data[at[0]]);
    sum[static_cast<std::size_t>(at[1])] += value;
    squares[static_cast<std::size_t>(at[1])] += value * value;
  });
  Give(run, operation, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, sum);
  Give(run, operation, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, squares);
}

// Whether tensors have one element, or as many as `like` and in its dimensions.
bool AreAlike(const Graph& graph, const DnnPlanDescriptor& operation, const DnnTensor& like, const Names& names) {
  return std::all_of(names.begin(), names.end(), [&](int name) {
    const GraphTensor* const tensor = TensorOf(graph, operation, name);
    return tensor == nullptr || (tensor->tensor.rank == like.rank && tensor->tensor.dims == like.dims);
  });
}
bool IsOne(const Graph& graph, const DnnPlanDescriptor& operation, int name) {
  const GraphTensor* const tensor = TensorOf(graph, operation, name);
  return tensor == nullptr || Elements(GraphRun<float>::ShapeOf(tensor->tensor)) == 1;
}

const char* CheckGenStats(const Graph& graph, const DnnPlanDescriptor& operation) {
  if (NumberOf(operation, CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_GENSTATS_SUM_SQSUM) != CUDNN_GENSTATS_SUM_SQSUM)
    return "statistics of no mode";
  const DnnTensor &x = TensorOf(graph, operation, CUDNN_ATTR_OPERATION_GENSTATS_XDESC)->tensor,
                  &sum = TensorOf(graph, operation, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC)->tensor;
  Indices strides{};
  return Broadcast(GraphRun<float>::ShapeOf(sum), GraphRun<float>::ShapeOf(x), &strides) &&
                 AreAlike(graph, operation, sum, {CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC})
             ? nullptr
             : "statistics of other dimensions";
}

i64 ModeOf(const DnnPlanDescriptor& operation) {
  return NumberOf(operation, CUDNN_ATTR_OPERATION_BN_FINALIZE_STATS_MODE, CUDNN_BN_FINALIZE_STATISTICS_TRAINING);
}

// From sums over `count` elements a channel: the mean and what they are scaled and moved by; and the running ones.
// Inference has no sums: the running ones, as they were, are the statistics.
template <typename Real>
void RunFinalize(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  const auto numbers = [&](int name) { return Numbers(run, operation, name); };
  const auto first = [&](int name, double otherwise) {
    return run.Has(operation, name) ? run.First(operation, name) : otherwise;
  };
  const bool is_training = ModeOf(operation) == CUDNN_BN_FINALIZE_STATISTICS_TRAINING;
  const Sums old_mean = numbers(CUDNN_ATTR_OPERATION_BN_FINALIZE_PREV_RUNNING_MEAN_DESC),
             old_variance = numbers(CUDNN_ATTR_OPERATION_BN_FINALIZE_PREV_RUNNING_VAR_DESC),
             scale = numbers(CUDNN_ATTR_OPERATION_BN_FINALIZE_SCALE_DESC),
             bias = numbers(CUDNN_ATTR_OPERATION_BN_FINALIZE_BIAS_DESC);
  Sums mean = old_mean, variance = old_variance;
  const double count = first(CUDNN_ATTR_OPERATION_BN_FINALIZE_ACCUM_COUNT_DESC, 1);
  if (is_training) {
    mean = numbers(CUDNN_ATTR_OPERATION_BN_FINALIZE_Y_SUM_DESC);
    variance = numbers(CUDNN_ATTR_OPERATION_BN_FINALIZE_Y_SQ_SUM_DESC);
    for (std::size_t i = 0; i < mean.size() && i < variance.size(); ++i) {
      mean[i] /= count;
      // Rounding may leave a little less than nothing.
      variance[i] = std::max(variance[i] / count - mean[i] * mean[i], 0.0);
    }
  }
  const double epsilon = first(CUDNN_ATTR_OPERATION_BN_FINALIZE_EPSILON_DESC, 0);
  if (run.context().failed()) return;
  Sums inverse(mean.size()), by(mean.size()), moved(mean.size()), new_mean(mean.size()), new_variance(mean.size());
  const double factor = first(CUDNN_ATTR_OPERATION_BN_FINALIZE_EXP_AVERATE_FACTOR_DESC, 1);
  for (std::size_t i = 0; i < mean.size(); ++i) {
    inverse[i] = 1 / std::sqrt(variance[i] + epsilon);
    by[i] = (scale.empty() ? 1 : scale[i]) * inverse[i];
    moved[i] = (bias.empty() ? 0 : bias[i]) - mean[i] * by[i];
    const double unbiased = count > 1 ? variance[i] * count / (count - 1) : variance[i];
    new_mean[i] = (old_mean.empty() ? 0 : (1 - factor) * old_mean[i]) + factor * mean[i];
    new_variance[i] = (old_variance.empty() ? 0 : (1 - factor) * old_variance[i]) + factor * unbiased;
  }
  Give(run, operation, CUDNN_ATTR_OPERATION_BN_FINALIZE_SAVED_MEAN_DESC, mean);
  Give(run, operation, CUDNN_ATTR_OPERATION_BN_FINALIZE_SAVED_INV_STD_DESC, inverse);
  Give(run, operation, CUDNN_ATTR_OPERATION_BN_FINALIZE_EQ_SCALE_DESC, by);
  Give(run, operation, CUDNN_ATTR_OPERATION_BN_FINALIZE_EQ_BIAS_DESC, moved);
  Give(run, operation, CUDNN_ATTR_OPERATION_BN_FINALIZE_UPDATED_RUNNING_MEAN_DESC, new_mean);
  Give(run, operation, CUDNN_ATTR_OPERATION_BN_FINALIZE_UPDATED_RUNNING_VAR_DESC, new_variance);
}

const char* CheckFinalize(const Graph& graph, const DnnPlanDescriptor& operation) {
  const i64 mode = ModeOf(operation);
  const auto has = [&](int name) { return Has(operation, name); };
  const bool is_training = mode == CUDNN_BN_FINALIZE_STATISTICS_TRAINING;
  if (!is_training && mode != CUDNN_BN_FINALIZE_STATISTICS_INFERENCE) return "finished statistics of no mode";
  const Names needed =
      is_training ? Names{CUDNN_ATTR_OPERATION_BN_FINALIZE_Y_SUM_DESC, CUDNN_ATTR_OPERATION_BN_FINALIZE_Y_SQ_SUM_DESC,
                          CUDNN_ATTR_OPERATION_BN_FINALIZE_ACCUM_COUNT_DESC}
                  : Names{CUDNN_ATTR_OPERATION_BN_FINALIZE_PREV_RUNNING_MEAN_DESC,
                          CUDNN_ATTR_OPERATION_BN_FINALIZE_PREV_RUNNING_VAR_DESC};
  if (!std::all_of(needed.begin(), needed.end(), has)) return "finished statistics without sums, or running ones";
  const bool updates = has(CUDNN_ATTR_OPERATION_BN_FINALIZE_UPDATED_RUNNING_MEAN_DESC) ||
                       has(CUDNN_ATTR_OPERATION_BN_FINALIZE_UPDATED_RUNNING_VAR_DESC);
  if (updates && !(is_training && has(CUDNN_ATTR_OPERATION_BN_FINALIZE_EXP_AVERATE_FACTOR_DESC) &&
                   has(CUDNN_ATTR_OPERATION_BN_FINALIZE_PREV_RUNNING_MEAN_DESC) &&
                   has(CUDNN_ATTR_OPERATION_BN_FINALIZE_PREV_RUNNING_VAR_DESC)))
    return "running statistics without a factor or the ones before, or in an inference";
  const DnnTensor& like = TensorOf(graph, operation, needed[0])->tensor;
  const bool fits =
      AreAlike(graph, operation, like,
               {CUDNN_ATTR_OPERATION_BN_FINALIZE_Y_SUM_DESC, CUDNN_ATTR_OPERATION_BN_FINALIZE_Y_SQ_SUM_DESC,
                CUDNN_ATTR_OPERATION_BN_FINALIZE_SCALE_DESC, CUDNN_ATTR_OPERATION_BN_FINALIZE_BIAS_DESC,
                CUDNN_ATTR_OPERATION_BN_FINALIZE_PREV_RUNNING_MEAN_DESC,
                CUDNN_ATTR_OPERATION_BN_FINALIZE_PREV_RUNNING_VAR_DESC,
                CUDNN_ATTR_OPERATION_BN_FINALIZE_UPDATED_RUNNING_MEAN_DESC,
                CUDNN_ATTR_OPERATION_BN_FINALIZE_UPDATED_RUNNING_VAR_DESC,
                CUDNN_ATTR_OPERATION_BN_FINALIZE_SAVED_MEAN_DESC, CUDNN_ATTR_OPERATION_BN_FINALIZE_SAVED_INV_STD_DESC,
                CUDNN_ATTR_OPERATION_BN_FINALIZE_EQ_SCALE_DESC, CUDNN_ATTR_OPERATION_BN_FINALIZE_EQ_BIAS_DESC}) &&
      IsOne(graph, operation, CUDNN_ATTR_OPERATION_BN_FINALIZE_ACCUM_COUNT_DESC) &&
      IsOne(graph, operation, CUDNN_ATTR_OPERATION_BN_FINALIZE_EPSILON_DESC) &&
      IsOne(graph, operation, CUDNN_ATTR_OPERATION_BN_FINALIZE_EXP_AVERATE_FACTOR_DESC);
  return fits ? nullptr : "finished statistics of different dimensions";
}

// The gradients of scale and bias, and dx as dy times one factor, x times another, and a bias.
template <typename Real>
void RunBackwardWeights(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  const View<Real> x = run.In(operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_X_DESC),
                   dy = run.In(operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DY_DESC);
  const Sums mean = Numbers(run, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MEAN_DESC),
             inverse = Numbers(run, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_INVSTD_DESC),
             scale = Numbers(run, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_BN_SCALE_DESC);
  if (run.context().failed()) return;
  const Shape stats =
      Rows(GraphRun<Real>::ShapeOf(run.TensorAt(operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MEAN_DESC).tensor));
  Indices strides{};
  Broadcast(stats, x.shape, &strides);
  Sums slope(mean.size()), bias(mean.size());
  Walk<3>(x.shape, {x.shape.strides, dy.shape.strides, strides}, [&](const Offsets<3>& at) {
    const auto channel = static_cast<std::size_t>(at[2]);
    const auto from = static_cast<double>(dy.data[at[1]]);
    slope[channel] += from * (static_cast<double>(x.data[at[0]]) - mean[channel]) * inverse[channel];
    bias[channel] += from;
  });
  const double count = static_cast<double>(Elements(x.shape)) / static_cast<double>(mean.size());
  Sums of_dy(mean.size()), of_x(mean.size()), moved(mean.size());
  for (std::size_t i = 0; i < mean.size(); ++i) {
    of_dy[i] = scale[i] * inverse[i];
    of_x[i] = -of_dy[i] * inverse[i] * slope[i] / count;
    moved[i] = -of_dy[i] * bias[i] / count - of_x[i] * mean[i];
  }
  Give(run, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_SCALE_DESC, slope);
  Give(run, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_BIAS_DESC, bias);
  Give(run, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_DY_SCALE_DESC, of_dy);
  Give(run, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_X_SCALE_DESC, of_x);
  Give(run, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_BIAS, moved);
}

const char* CheckBackwardWeights(const Graph& graph, const DnnPlanDescriptor& operation) {
  const DnnTensor &x = TensorOf(graph, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_X_DESC)->tensor,
                  &mean = TensorOf(graph, operation, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MEAN_DESC)->tensor;
  Indices strides{};
  const bool fits =
      AreAlike(graph, operation, x, {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DY_DESC}) &&
      Broadcast(GraphRun<float>::ShapeOf(mean), GraphRun<float>::ShapeOf(x), &strides) &&
      AreAlike(graph, operation, mean,
               {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_INVSTD_DESC, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_BN_SCALE_DESC,
                CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_SCALE_DESC, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_BIAS_DESC,
                CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_DY_SCALE_DESC,
                CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_X_SCALE_DESC, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_BIAS});
  return fits ? nullptr : "gradients of weights of different dimensions";
}

}  // namespace

void AddStatistics(std::vector<OperationRow>* rows) {
  rows->push_back({.type = CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR,
                   .required = {CUDNN_ATTR_OPERATION_GENSTATS_XDESC, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC},
                   .optional = {CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC},
                   .made = {CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC},
                   .numbers = {CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC},
                   .places = {},
                   .check = &CheckGenStats,
                   .run_float = &RunGenStats<float>,
                   .run_double = &RunGenStats<double>});
  rows->push_back(
      {.type = CUDNN_BACKEND_OPERATION_BN_FINALIZE_STATISTICS_DESCRIPTOR,
       .required = {},
       .optional = {CUDNN_ATTR_OPERATION_BN_FINALIZE_STATS_MODE, CUDNN_ATTR_OPERATION_BN_FINALIZE_MATH_PREC,
                    CUDNN_ATTR_OPERATION_BN_FINALIZE_Y_SUM_DESC, CUDNN_ATTR_OPERATION_BN_FINALIZE_Y_SQ_SUM_DESC,
                    CUDNN_ATTR_OPERATION_BN_FINALIZE_SCALE_DESC, CUDNN_ATTR_OPERATION_BN_FINALIZE_BIAS_DESC,
                    CUDNN_ATTR_OPERATION_BN_FINALIZE_PREV_RUNNING_MEAN_DESC,
                    CUDNN_ATTR_OPERATION_BN_FINALIZE_PREV_RUNNING_VAR_DESC,
                    CUDNN_ATTR_OPERATION_BN_FINALIZE_ACCUM_COUNT_DESC, CUDNN_ATTR_OPERATION_BN_FINALIZE_EPSILON_DESC,
                    CUDNN_ATTR_OPERATION_BN_FINALIZE_EXP_AVERATE_FACTOR_DESC},
       .made = {CUDNN_ATTR_OPERATION_BN_FINALIZE_SAVED_MEAN_DESC, CUDNN_ATTR_OPERATION_BN_FINALIZE_SAVED_INV_STD_DESC,
                CUDNN_ATTR_OPERATION_BN_FINALIZE_EQ_SCALE_DESC, CUDNN_ATTR_OPERATION_BN_FINALIZE_EQ_BIAS_DESC,
                CUDNN_ATTR_OPERATION_BN_FINALIZE_UPDATED_RUNNING_MEAN_DESC,
                CUDNN_ATTR_OPERATION_BN_FINALIZE_UPDATED_RUNNING_VAR_DESC},
       .numbers = {CUDNN_ATTR_OPERATION_BN_FINALIZE_STATS_MODE, CUDNN_ATTR_OPERATION_BN_FINALIZE_MATH_PREC},
       .places = {CUDNN_ATTR_OPERATION_BN_FINALIZE_ACCUM_COUNT_DESC},
       .needs_first = false,
       .check = &CheckFinalize,
       .run_float = &RunFinalize<float>,
       .run_double = &RunFinalize<double>});
  rows->push_back(
      {.type = CUDNN_BACKEND_OPERATION_BN_BWD_WEIGHTS_DESCRIPTOR,
       .required = {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MEAN_DESC, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_INVSTD_DESC,
                    CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_BN_SCALE_DESC, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_X_DESC,
                    CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DY_DESC},
       .optional = {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MATH_PREC},
       .made = {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_SCALE_DESC, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_BIAS_DESC,
                CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_DY_SCALE_DESC,
                CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_X_SCALE_DESC, CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_BIAS},
       .numbers = {CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MATH_PREC},
       .places = {},
       .check = &CheckBackwardWeights,
       .run_float = &RunBackwardWeights<float>,
       .run_double = &RunBackwardWeights<double>});
}

}  // namespace accelmesh::cpu_dnn
