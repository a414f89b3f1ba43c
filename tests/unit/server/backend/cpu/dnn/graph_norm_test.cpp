// Normalisations of graphs, forward and back, against their formulas; the gradients also against differences.
#include "tests/unit/server/backend/cpu/dnn/graph_plan.h"

namespace accelmesh {
namespace {

using dnn_test::Count;
using dnn_test::ExpectNear;
using dnn_test::GraphCall;
using dnn_test::PlanText;
using dnn_test::Random;
using dnn_test::Reals;
using dnn_test::Words;

constexpr double kEpsilon = 1e-2;

// Layers and RMS are normalised over the dimensions from `from` on.
struct Norm {
  int mode;
  Words dims;
  std::size_t from = 1;
  bool is_last = false;
  int type = CUDNN_DATA_DOUBLE;
  std::int64_t groups = 1;  // of channels

  Words Pick(auto keeps) const {
    Words picked = dims;
    for (std::size_t d = 0; d < dims.size(); ++d) {
      if (!keeps(d)) picked[d] = 1;
    }
    return picked;
  }
  bool IsOfChannels() const {
    return mode == CUDNN_BATCH_NORM || mode == CUDNN_INSTANCE_NORM || mode == CUDNN_GROUP_NORM;
  }
  Words Stats() const {
    Words stats = Pick([this](std::size_t d) {
      if (mode == CUDNN_BATCH_NORM) return d == 1;
      return IsOfChannels() ? d < 2 : d < from;
    });
    if (mode == CUDNN_GROUP_NORM) stats[1] = groups;
    return stats;
  }
  Words Scales() const {
    return Pick([this](std::size_t d) {
      if (IsOfChannels()) return d == 1;
      return d >= from || (mode == CUDNN_ADA_LAYER_NORM && d == 0);
    });
  }
  // Which of the fewer elements belongs to one of x.
  std::size_t At(std::size_t element, const Words& fewer) const {
    Words index = dnn_test::IndexOf(element, dims);
    for (std::size_t d = 0; d < dims.size(); ++d) index[d] /= dims[d] / fewer[d];
    return dnn_test::Offset(index, PlanText::Strides(fewer));
  }
  double Near(double tolerance) const {
    if (type == CUDNN_DATA_DOUBLE) return tolerance;
    return type == CUDNN_DATA_FLOAT ? 2e-4 : 2 * dnn_test::ToleranceOf(type);
  }
  // Statistics of sixteen bits would be worth nothing.
  int StatsType() const { return type == CUDNN_DATA_HALF || type == CUDNN_DATA_BFLOAT16 ? CUDNN_DATA_FLOAT : type; }
  // Numbers that every type holds.
  static Reals Exact(Reals values) {
    for (double& value : values) value = std::round(value * 8) / 8;
    return values;
  }
  bool IsRms() const { return mode == CUDNN_RMS_NORM; }
};

struct Normal {
  Reals y, mean, inverse, variance;
};
Normal Reference(const Norm& norm, const Reals& x, const Reals& scale, const Reals& bias) {
  const Words stats = norm.Stats(), scales = norm.Scales();
  Normal result{Reals(x.size()), Reals(Count(stats)), Reals(Count(stats)), Reals(Count(stats))};
  for (std::size_t stat = 0; stat < result.mean.size(); ++stat) {
    double sum = 0, squares = 0, count = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (norm.At(i, stats) != stat) continue;
      sum += x[i];
      squares += x[i] * x[i];
      ++count;
    }
    result.mean[stat] = norm.IsRms() ? 0 : sum / count;
    result.variance[stat] = squares / count - result.mean[stat] * result.mean[stat];
    result.inverse[stat] = std::pow(result.variance[stat] + kEpsilon, -0.5);
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t stat = norm.At(i, stats), at = norm.At(i, scales);
    result.y[i] = scale[at] * (x[i] - result.mean[stat]) * result.inverse[stat] + bias[at];
  }
  return result;
}

const std::vector<Norm>& Norms() {
  static const std::vector<Norm> doubles = {
      {CUDNN_LAYER_NORM, {3, 4, 2, 5}, 1},
      {CUDNN_LAYER_NORM, {2, 3, 7}, 2},
      {CUDNN_LAYER_NORM, {5, 8, 1, 1}, 1},
      {CUDNN_LAYER_NORM, {3, 4, 2, 5}, 1, true},
      {CUDNN_INSTANCE_NORM, {3, 4, 5, 2}},
      {CUDNN_INSTANCE_NORM, {2, 3, 4, 3}, 1, true},
      {CUDNN_INSTANCE_NORM, {2, 5, 2, 2, 3}},
      {CUDNN_BATCH_NORM, {3, 4, 5, 2}},
      {CUDNN_BATCH_NORM, {4, 3, 2, 3}, 1, true},
      {CUDNN_BATCH_NORM, {6, 5, 1, 1}},
      {CUDNN_BATCH_NORM, {2, 3, 2, 2, 3}, 1, true},
      {CUDNN_RMS_NORM, {3, 4, 2, 5}, 1},
      {CUDNN_RMS_NORM, {2, 3, 7}, 2},
      {CUDNN_RMS_NORM, {4, 6, 1, 1}, 1, true},
      {CUDNN_GROUP_NORM, {2, 6, 3, 2}, 1, false, CUDNN_DATA_DOUBLE, 3},
      {CUDNN_GROUP_NORM, {3, 4, 2, 3}, 1, true, CUDNN_DATA_DOUBLE, 2},
      {CUDNN_GROUP_NORM, {2, 4, 5}, 1, false, CUDNN_DATA_DOUBLE, 1},
      {CUDNN_ADA_LAYER_NORM, {2, 3, 5, 1}, 2},
      {CUDNN_ADA_LAYER_NORM, {3, 2, 4, 2}, 2, true},
      {CUDNN_ADA_LAYER_NORM, {3, 4, 2}, 1},
  };
  static const std::vector<Norm> all = [] {
    std::vector<Norm> both = doubles;
    for (const int type : {CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16}) {
      for (Norm norm : doubles) {
        norm.type = type;
        both.push_back(norm);
      }
    }
    return both;
  }();
  return all;
}

std::vector<PlanText::Attribute> Head(const Norm& norm, int phase) {
  return {{CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_TYPE_NORM_MODE, {norm.mode}},
          {CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_TYPE_NORM_FWD_PHASE, {phase}}};
}

TEST(CpuGraphNorm, TrainingIsItsFormula) {
  std::mt19937 random(1);
  for (const Norm& norm : Norms()) {
    SCOPED_TRACE(testing::Message() << norm.mode << " of " << testing::PrintToString(norm.dims));
    const Words stats = norm.Stats(), scales = norm.Scales();
    const Reals x = Norm::Exact(Random(random, Count(norm.dims))), scale = Norm::Exact(Random(random, Count(scales))),
                bias = Norm::Exact(Random(random, Count(scales))), old_mean = Random(random, Count(stats)),
                old_variance = Random(random, Count(stats), 1, 2);
    constexpr double kFactor = 0.3;
    GraphCall call;
    const std::int64_t y = call.Make(norm.dims, norm.type, norm.is_last), inverse = call.Make(stats, norm.StatsType());
    std::vector<PlanText::Attribute> all = Head(norm, CUDNN_NORM_FWD_TRAINING);
    const auto refer = [&](int name, std::int64_t place) {
      all.push_back(PlanText::Refer(name, place));
      return place;
    };
    refer(CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, call.Put(norm.dims, x, norm.type, norm.is_last));
    refer(CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, call.Put(scales, scale, norm.type));
    refer(CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, call.Put(scales, bias, norm.type));
    refer(CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, call.Value(kEpsilon, norm.StatsType()));
    refer(CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, y);
    refer(CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, inverse);
    std::int64_t mean = 0, new_mean = 0, new_variance = 0;
    if (!norm.IsRms()) mean = refer(CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, call.Make(stats, norm.StatsType()));
    const bool is_kept = norm.mode == CUDNN_BATCH_NORM || norm.mode == CUDNN_INSTANCE_NORM;
    if (is_kept) {
      refer(CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC, call.Value(kFactor, norm.StatsType()));
      refer(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC, call.Put(stats, old_mean, norm.StatsType()));
      refer(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC, call.Put(stats, old_variance, norm.StatsType()));
      new_mean = refer(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC, call.Make(stats, norm.StatsType()));
      new_variance = refer(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC, call.Make(stats, norm.StatsType()));
    }
    call.Run({call.Add(CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR, all)});
    const Normal wanted = Reference(norm, x, scale, bias);
    ExpectNear(call.Get(y), wanted.y, norm.Near(1e-9), "y");
    ExpectNear(call.Get(inverse), wanted.inverse, norm.Near(1e-9), "inverse");
    if (!norm.IsRms()) ExpectNear(call.Get(mean), wanted.mean, norm.Near(1e-9), "mean");
    if (!is_kept) continue;
    const double each = static_cast<double>(x.size()) / static_cast<double>(Count(stats));
    Reals means(old_mean), variances(old_variance);
    for (std::size_t i = 0; i < means.size(); ++i) {
      means[i] += kFactor * (wanted.mean[i] - means[i]);
      variances[i] += kFactor * (wanted.variance[i] * each / (each - 1) - variances[i]);
    }
    ExpectNear(call.Get(new_mean), means, norm.Near(1e-9), "running mean");
    ExpectNear(call.Get(new_variance), variances, norm.Near(1e-9), "running variance");
  }
}

TEST(CpuGraphNorm, InferenceIsItsFormula) {
  std::mt19937 random(2);
  for (const Norm& norm : Norms()) {
    SCOPED_TRACE(testing::Message() << norm.mode << " of " << testing::PrintToString(norm.dims));
    if (norm.mode == CUDNN_GROUP_NORM) continue;  // it would not say how many groups
    const Words stats = norm.Stats(), scales = norm.Scales();
    const bool is_batch = norm.mode == CUDNN_BATCH_NORM, has_bias = !norm.IsRms();
    const Reals x = Norm::Exact(Random(random, Count(norm.dims))), scale = Norm::Exact(Random(random, Count(scales))),
                bias = has_bias ? Norm::Exact(Random(random, Count(scales))) : Reals(Count(scales));
    Reals wanted = Reference(norm, x, scale, bias).y;
    GraphCall call;
    const std::int64_t y = call.Make(norm.dims, norm.type);
    std::vector<PlanText::Attribute> all = Head(norm, CUDNN_NORM_FWD_INFERENCE);
    const auto refer = [&](int name, std::int64_t place) { all.push_back(PlanText::Refer(name, place)); };
    refer(CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, call.Put(norm.dims, x, norm.type, norm.is_last));
    refer(CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, call.Put(scales, scale, norm.type));
    if (has_bias) refer(CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, call.Put(scales, bias, norm.type));
    refer(CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, call.Value(kEpsilon, norm.StatsType()));
    refer(CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, y);
    if (is_batch) {  // Given statistics, and not those of x.
      const Reals mean = Random(random, Count(stats)), inverse = Random(random, Count(stats), 0.5, 2);
      refer(CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, call.Put(stats, mean, norm.StatsType()));
      refer(CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, call.Put(stats, inverse, norm.StatsType()));
      for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t c = norm.At(i, stats);
        wanted[i] = (x[i] - mean[c]) * inverse[c] * scale[c] + bias[c];
      }
    }
    call.Run({call.Add(CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR, all)});
    ExpectNear(call.Get(y), wanted, norm.Near(1e-9), "y");
  }
}

TEST(CpuGraphNorm, GradientsAreThoseOfTheForwardFormula) {
  std::mt19937 random(3);
  for (const Norm& norm : Norms()) {
    SCOPED_TRACE(testing::Message() << norm.mode << " of " << testing::PrintToString(norm.dims));
    const Words stats = norm.Stats(), scales = norm.Scales();
    Reals x = Norm::Exact(Random(random, Count(norm.dims))), scale = Norm::Exact(Random(random, Count(scales))),
          bias(Count(scales));
    const Reals dy = Norm::Exact(Random(random, x.size()));
    const Normal normal = Reference(norm, x, scale, bias);
    GraphCall call;
    const std::int64_t dx = call.Make(norm.dims, norm.type, norm.is_last), dscale = call.Make(scales, norm.type),
                       dbias = call.Make(scales, norm.type);
    std::vector<PlanText::Attribute> all = {{CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_TYPE_NORM_MODE, {norm.mode}}};
    const auto refer = [&](int name, std::int64_t place) { all.push_back(PlanText::Refer(name, place)); };
    refer(CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, call.Put(norm.dims, x, norm.type, norm.is_last));
    refer(CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, call.Put(norm.dims, dy, norm.type));
    refer(CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, call.Put(scales, scale, norm.type));
    if (!norm.IsRms()) refer(CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, call.Put(stats, normal.mean, norm.StatsType()));
    refer(CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC, call.Put(stats, normal.inverse, norm.StatsType()));
    refer(CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, dx);
    refer(CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, dscale);
    refer(CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC, dbias);
    call.Run({call.Add(CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR, all)});
    // Of the sum of dy y: by differences, each parameter at a time.
    const auto slopes = [&](Reals* of) {
      Reals result;
      for (double& value : *of) {
        const double before = value;
        double sides[2];
        for (int side = 0; side < 2; ++side) {
          value = before + (side == 0 ? -1e-5 : 1e-5);
          const Reals y = Reference(norm, x, scale, bias).y;
          sides[side] = std::inner_product(y.begin(), y.end(), dy.begin(), 0.0);
        }
        value = before;
        result.push_back((sides[1] - sides[0]) / 2e-5);
      }
      return result;
    };
    ExpectNear(call.Get(dx), slopes(&x), norm.Near(1e-6), "dx");
    ExpectNear(call.Get(dscale), slopes(&scale), norm.Near(1e-6), "dscale");
    ExpectNear(call.Get(dbias), slopes(&bias), norm.Near(1e-6), "dbias");
  }
}

// What would be accepted and then not written or not looked at.
TEST(CpuGraphNorm, WhatItDoesNotDoIsRefused) {
  const Norm batch{CUDNN_BATCH_NORM, {2, 3, 2, 2}}, layer{CUDNN_LAYER_NORM, {2, 3, 2, 2}},
      rms{CUDNN_RMS_NORM, {2, 3, 2, 2}};
  const auto is_refused = [](const Norm& norm, int phase, const std::vector<int>& more, bool has_statistics) {
    GraphCall call;
    std::vector<PlanText::Attribute> all = Head(norm, phase);
    const auto refer = [&](int name, const Words& dims) { all.push_back(PlanText::Refer(name, call.Make(dims))); };
    refer(CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, norm.dims);
    refer(CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, norm.Scales());
    refer(CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, norm.dims);
    if (has_statistics) {
      refer(CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, norm.Stats());
      refer(CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, norm.Stats());
    }
    for (const int name : more) refer(name, norm.Stats());
    return call.IsRefused({call.Add(CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR, all)});
  };
  constexpr int kTraining = CUDNN_NORM_FWD_TRAINING, kInference = CUDNN_NORM_FWD_INFERENCE;
  EXPECT_FALSE(is_refused(batch, kTraining, {}, true));
  EXPECT_FALSE(is_refused(layer, kTraining, {}, true));
  EXPECT_FALSE(is_refused(layer, kInference, {}, false));
  EXPECT_TRUE(is_refused(batch, kInference, {}, false));
  EXPECT_TRUE(is_refused(layer, kInference, {}, true));
  EXPECT_TRUE(is_refused(rms, kTraining, {}, true));  // it has no mean
  EXPECT_TRUE(is_refused(batch, kTraining, {CUDNN_ATTR_OPERATION_NORM_FWD_PEER_STAT_DESCS}, true));
  EXPECT_TRUE(is_refused(batch, kTraining, {CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC}, true));
  EXPECT_TRUE(is_refused(batch, kInference, {CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC}, true));
  const Norm groups{CUDNN_GROUP_NORM, {2, 6, 2, 2}, 1, false, CUDNN_DATA_DOUBLE, 3},
      uneven{CUDNN_GROUP_NORM, {2, 6, 2, 2}, 1, false, CUDNN_DATA_DOUBLE, 4};
  EXPECT_FALSE(is_refused(groups, kTraining, {}, true));
  EXPECT_TRUE(is_refused(groups, kTraining, {}, false));  // nothing says how many groups
  EXPECT_TRUE(is_refused(groups, kInference, {}, false));
  EXPECT_TRUE(is_refused(uneven, kTraining, {}, true));
  EXPECT_TRUE(is_refused(groups, kTraining, {CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC}, true));
  EXPECT_TRUE(is_refused({CUDNN_ADA_LAYER_NORM + 1, {2, 3, 2, 2}}, kTraining, {}, true));
  EXPECT_TRUE(is_refused(layer, 2, {}, true));  // no phase
}

}  // namespace
}  // namespace accelmesh
