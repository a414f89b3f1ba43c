// Batch normalisation in parts, against the sums and formulas of the whole: sums, finished statistics, gradients.
#include "tests/unit/server/backend/cpu/dnn/graph_plan.h"

namespace accelmesh {
namespace {

using dnn_test::Count;
using dnn_test::ExpectNear;
using dnn_test::GraphCall;
using dnn_test::IndexOf;
using dnn_test::PlanText;
using dnn_test::Random;
using dnn_test::Reals;
using dnn_test::ToleranceOf;
using dnn_test::Words;

using Attributes = std::vector<PlanText::Attribute>;
constexpr double kEpsilon = 1e-3, kFactor = 0.25;

const std::vector<Words>& Shapes() {
  static const std::vector<Words> all = {{4, 3, 2, 5}, {2, 5, 3}, {3, 1, 2, 2, 2}, {6, 4, 1, 1}};
  return all;
}
Words Channels(const Words& dims) {
  Words channels(dims.size(), 1);
  channels[1] = dims[1];
  return channels;
}
std::size_t ChannelOf(std::size_t element, const Words& dims) {
  return static_cast<std::size_t>(IndexOf(element, dims)[1]);
}
Reals Exact(Reals values) {
  for (double& value : values) value = std::round(4 * value) / 4;
  return values;
}

TEST(CpuGraphStatistics, SumsAreThoseOfChannels) {
  std::mt19937 random(71);
  for (const Words& dims : Shapes()) {
    for (const int type : {CUDNN_DATA_DOUBLE, CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16}) {
      const Reals x = Exact(Random(random, Count(dims)));
      Reals sums(static_cast<std::size_t>(dims[1])), squares(sums.size());
      for (std::size_t i = 0; i < x.size(); ++i) {
        sums[ChannelOf(i, dims)] += x[i];
        squares[ChannelOf(i, dims)] += x[i] * x[i];
      }
      GraphCall call;
      const int sum_type = type == CUDNN_DATA_DOUBLE ? type : CUDNN_DATA_FLOAT;
      const std::int64_t sum = call.Make(Channels(dims), sum_type), square = call.Make(Channels(dims), sum_type);
      call.Run({call.Add(CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR,
                         {{CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_TYPE_GENSTATS_MODE, {CUDNN_GENSTATS_SUM_SQSUM}},
                          {CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT}},
                          PlanText::Refer(CUDNN_ATTR_OPERATION_GENSTATS_XDESC, call.Put(dims, x, type, true)),
                          PlanText::Refer(CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, sum),
                          PlanText::Refer(CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, square)})});
      ExpectNear(call.Get(sum), sums, ToleranceOf(sum_type), "sums");
      ExpectNear(call.Get(square), squares, ToleranceOf(sum_type), "squares");
    }
  }
}

// The same as normalising at once: x scaled and moved by what comes out is the normalised x.
TEST(CpuGraphStatistics, FinishedStatisticsNormalise) {
  std::mt19937 random(72);
  for (const Words& dims : Shapes()) {
    for (const int type : {CUDNN_DATA_DOUBLE, CUDNN_DATA_FLOAT}) {
      for (const bool is_training : {true, false}) {
        SCOPED_TRACE(testing::Message() << testing::PrintToString(dims) << (is_training ? " training" : " inference"));
        const Words channels = Channels(dims);
        const std::size_t count = Count(channels);
        const double each = static_cast<double>(Count(dims)) / static_cast<double>(count);
        const Reals x = Random(random, Count(dims)), scale = Random(random, count), bias = Random(random, count),
                    old_mean = Random(random, count), old_variance = Random(random, count, 0.5, 2);
        Reals sums(count), squares(count);
        for (std::size_t i = 0; i < x.size(); ++i) {
          sums[ChannelOf(i, dims)] += x[i];
          squares[ChannelOf(i, dims)] += x[i] * x[i];
        }
        GraphCall call;
        Attributes all = {
            {CUDNN_ATTR_OPERATION_BN_FINALIZE_STATS_MODE,
             CUDNN_TYPE_BN_FINALIZE_STATS_MODE,
             {is_training ? CUDNN_BN_FINALIZE_STATISTICS_TRAINING : CUDNN_BN_FINALIZE_STATISTICS_INFERENCE}}};
        const auto refer = [&all](int name, std::int64_t place) {
          all.push_back(PlanText::Refer(name, place));
          return place;
        };
        const auto put = [&](int name, const Reals& values) { refer(name, call.Put(channels, values, type)); };
        const auto make = [&](int name) { return refer(name, call.Make(channels, type)); };
        put(CUDNN_ATTR_OPERATION_BN_FINALIZE_SCALE_DESC, scale);
        put(CUDNN_ATTR_OPERATION_BN_FINALIZE_BIAS_DESC, bias);
        put(CUDNN_ATTR_OPERATION_BN_FINALIZE_PREV_RUNNING_MEAN_DESC, old_mean);
        put(CUDNN_ATTR_OPERATION_BN_FINALIZE_PREV_RUNNING_VAR_DESC, old_variance);
        refer(CUDNN_ATTR_OPERATION_BN_FINALIZE_EPSILON_DESC, call.Value(kEpsilon, type));
        const std::int64_t by = make(CUDNN_ATTR_OPERATION_BN_FINALIZE_EQ_SCALE_DESC),
                           moved = make(CUDNN_ATTR_OPERATION_BN_FINALIZE_EQ_BIAS_DESC);
        std::int64_t mean = 0, inverse = 0, new_mean = 0, new_variance = 0;
        if (is_training) {
          put(CUDNN_ATTR_OPERATION_BN_FINALIZE_Y_SUM_DESC, sums);
          put(CUDNN_ATTR_OPERATION_BN_FINALIZE_Y_SQ_SUM_DESC, squares);
          refer(CUDNN_ATTR_OPERATION_BN_FINALIZE_ACCUM_COUNT_DESC, call.Value(each, CUDNN_DATA_INT64));
          refer(CUDNN_ATTR_OPERATION_BN_FINALIZE_EXP_AVERATE_FACTOR_DESC, call.Value(kFactor, type));
          mean = make(CUDNN_ATTR_OPERATION_BN_FINALIZE_SAVED_MEAN_DESC);
          inverse = make(CUDNN_ATTR_OPERATION_BN_FINALIZE_SAVED_INV_STD_DESC);
          new_mean = make(CUDNN_ATTR_OPERATION_BN_FINALIZE_UPDATED_RUNNING_MEAN_DESC);
          new_variance = make(CUDNN_ATTR_OPERATION_BN_FINALIZE_UPDATED_RUNNING_VAR_DESC);
        }
        call.Run({call.Add(CUDNN_BACKEND_OPERATION_BN_FINALIZE_STATISTICS_DESCRIPTOR, all)});
        Reals means(old_mean), variances(old_variance), inverses(count), running_mean(count), running_variance(count);
        for (std::size_t c = 0; c < count; ++c) {
          if (is_training) {
            means[c] = sums[c] / each;
            variances[c] = 0;
            for (std::size_t i = 0; i < x.size(); ++i) {
              if (ChannelOf(i, dims) == c) variances[c] += (x[i] - means[c]) * (x[i] - means[c]) / each;
            }
          }
          inverses[c] = std::pow(variances[c] + kEpsilon, -0.5);
          running_mean[c] = old_mean[c] + kFactor * (means[c] - old_mean[c]);
          running_variance[c] = old_variance[c] + kFactor * (variances[c] * each / (each - 1) - old_variance[c]);
        }
        const double near = type == CUDNN_DATA_DOUBLE ? 1e-9 : 1e-3;
        Reals wanted, got;
        const Reals factors = call.Get(by), moves = call.Get(moved);
        for (std::size_t i = 0; i < x.size(); ++i) {
          const std::size_t c = ChannelOf(i, dims);
          got.push_back(factors[c] * x[i] + moves[c]);
          wanted.push_back(scale[c] * (x[i] - means[c]) * inverses[c] + bias[c]);
        }
        ExpectNear(got, wanted, near, "normalised");
        if (!is_training) continue;
        ExpectNear(call.Get(mean), means, near, "mean");
        ExpectNear(call.Get(inverse), inverses, near, "inverse");
        ExpectNear(call.Get(new_mean), running_mean, near, "running mean");
        ExpectNear(call.Get(new_variance), running_variance, near, "running variance");
      }
    }
  }
}

// dx = eq_dy dy + eq_x x + eq_bias is the gradient of the normalisation, by differences.
TEST(CpuGraphStatistics, GradientsOfWeightsMakeThatOfTheInput) {
  std::mt19937 random(73);
  for (const Words& dims : Shapes()) {
    SCOPED_TRACE(testing::PrintToString(dims));
    const Words channels = Channels(dims);
    const std::size_t count = Count(channels);
    Reals x = Random(random, Count(dims)), scale = Random(random, count), bias = Random(random, count);
    const Reals dy = Random(random, x.size());
    const double each = static_cast<double>(x.size()) / static_cast<double>(count);
    const auto statistics = [&](Reals* mean, Reals* inverse) {
      mean->assign(count, 0);
      Reals variance(count);
      for (std::size_t i = 0; i < x.size(); ++i) (*mean)[ChannelOf(i, dims)] += x[i] / each;
      for (std::size_t i = 0; i < x.size(); ++i)
        variance[ChannelOf(i, dims)] += std::pow(x[i] - (*mean)[ChannelOf(i, dims)], 2) / each;
      inverse->clear();
      for (const double value : variance) inverse->push_back(std::pow(value + kEpsilon, -0.5));
    };
    Reals mean, inverse;
    const auto loss = [&] {
      Reals m, inv;
      statistics(&m, &inv);
      double sum = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t c = ChannelOf(i, dims);
        sum += dy[i] * (scale[c] * (x[i] - m[c]) * inv[c] + bias[c]);
      }
      return sum;
    };
    const auto slopes = [&](Reals* of) {
      Reals result;
      for (double& value : *of) {
        const double before = value;
        value = before + 1e-5;
        const double above = loss();
        value = before - 1e-5;
        result.push_back((above - loss()) / 2e-5);
        value = before;
      }
      return result;
    };
    statistics(&mean, &inverse);
    GraphCall call;
    const auto put = [&](const Reals& values) { return call.Put(channels, values); };
    const std::int64_t dscale = call.Make(channels), dbias = call.Make(channels), of_dy = call.Make(channels),
                       of_x = call.Make(channels), moved = call.Make(channels);
    call.Run({call.Add(
        CUDNN_BACKEND_OPERATION_BN_BWD_WEIGHTS_DESCRIPTOR,
        {PlanText::Refer(CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_MEAN_DESC, put(mean)),
         PlanText::Refer(CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_INVSTD_DESC, put(inverse)),
         PlanText::Refer(CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_BN_SCALE_DESC, put(scale)),
         PlanText::Refer(CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_X_DESC, call.Put(dims, x, CUDNN_DATA_DOUBLE, true)),
         PlanText::Refer(CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DY_DESC, call.Put(dims, dy)),
         PlanText::Refer(CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_SCALE_DESC, dscale),
         PlanText::Refer(CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_DBN_BIAS_DESC, dbias),
         PlanText::Refer(CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_DY_SCALE_DESC, of_dy),
         PlanText::Refer(CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_X_SCALE_DESC, of_x),
         PlanText::Refer(CUDNN_ATTR_OPERATION_BN_BWD_WEIGHTS_EQ_BIAS, moved)})});
    const Reals by_dy = call.Get(of_dy), by_x = call.Get(of_x), by = call.Get(moved);
    Reals dx;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t c = ChannelOf(i, dims);
      dx.push_back(by_dy[c] * dy[i] + by_x[c] * x[i] + by[c]);
    }
    ExpectNear(dx, slopes(&x), 1e-5, "dx");
    ExpectNear(call.Get(dscale), slopes(&scale), 1e-6, "dscale");
    ExpectNear(call.Get(dbias), slopes(&bias), 1e-6, "dbias");
  }
}

TEST(CpuGraphStatistics, WhatIsMissingOrDoesNotFitIsRefused) {
  const Words dims{2, 3, 4}, channels = Channels(dims);
  const auto sums_refused = [&](const Words& sum, const Words& square, std::int64_t mode) {
    GraphCall call;
    return call.IsRefused({call.Add(CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR,
                                    {{CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_TYPE_GENSTATS_MODE, {mode}},
                                     PlanText::Refer(CUDNN_ATTR_OPERATION_GENSTATS_XDESC, call.Make(dims)),
                                     PlanText::Refer(CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, call.Make(sum)),
                                     PlanText::Refer(CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, call.Make(square))})});
  };
  EXPECT_FALSE(sums_refused(channels, channels, 0));
  EXPECT_TRUE(sums_refused(channels, channels, 1));
  EXPECT_TRUE(sums_refused({1, 2, 1}, {1, 2, 1}, 0));
  EXPECT_TRUE(sums_refused(channels, {1, 1, 1}, 0));
  const auto finish_refused = [&](std::int64_t mode, const std::vector<int>& names, bool has_count,
                                  const Words& scale) {
    GraphCall call;
    Attributes all = {{CUDNN_ATTR_OPERATION_BN_FINALIZE_STATS_MODE, CUDNN_TYPE_BN_FINALIZE_STATS_MODE, {mode}},
                      PlanText::Refer(CUDNN_ATTR_OPERATION_BN_FINALIZE_SCALE_DESC, call.Make(scale))};
    for (const int name : names) all.push_back(PlanText::Refer(name, call.Make(channels)));
    if (has_count)
      all.push_back(
          PlanText::Refer(CUDNN_ATTR_OPERATION_BN_FINALIZE_ACCUM_COUNT_DESC, call.Value(8, CUDNN_DATA_INT64)));
    return call.IsRefused({call.Add(CUDNN_BACKEND_OPERATION_BN_FINALIZE_STATISTICS_DESCRIPTOR, all)});
  };
  const std::vector<int> sums = {CUDNN_ATTR_OPERATION_BN_FINALIZE_Y_SUM_DESC,
                                 CUDNN_ATTR_OPERATION_BN_FINALIZE_Y_SQ_SUM_DESC,
                                 CUDNN_ATTR_OPERATION_BN_FINALIZE_EQ_SCALE_DESC};
  EXPECT_FALSE(finish_refused(0, sums, true, channels));
  EXPECT_TRUE(finish_refused(0, sums, false, channels));  // how many?
  EXPECT_TRUE(finish_refused(1, sums, true, channels));   // an inference from sums
  EXPECT_TRUE(finish_refused(2, sums, true, channels));
  EXPECT_TRUE(finish_refused(0, sums, true, {1, 4, 1}));
  std::vector<int> updates = sums;
  updates.push_back(CUDNN_ATTR_OPERATION_BN_FINALIZE_UPDATED_RUNNING_MEAN_DESC);
  EXPECT_TRUE(finish_refused(0, updates, true, channels));  // by no factor, of nothing before
}

}  // namespace
}  // namespace accelmesh
