// Resampling of graphs against plain loops over every input, its gradients against differences, and what is refused.
#include "tests/unit/server/backend/cpu/dnn/graph_plan.h"

namespace accelmesh {
namespace {

using dnn_test::Bits;
using dnn_test::Count;
using dnn_test::ExpectNear;
using dnn_test::GraphCall;
using dnn_test::IndexOf;
using dnn_test::PlanText;
using dnn_test::Random;
using dnn_test::Reals;
using dnn_test::ToleranceOf;
using dnn_test::Words;

// Fractions as pairs.
struct Resampling {
  int mode = CUDNN_RESAMPLE_MAXPOOL;
  int padding = CUDNN_ZERO_PAD;
  Words x;
  Words window, strides, before, after;
  bool is_fraction = false;

  std::size_t Rank() const { return x.size() - 2; }
  double At(const Words& of, std::size_t d) const {
    return is_fraction ? static_cast<double>(of[2 * d]) / static_cast<double>(of[2 * d + 1])
                       : static_cast<double>(of[d]);
  }
  Words Result() const {
    Words y{x[0], x[1]};
    for (std::size_t d = 0; d < Rank(); ++d) {
      const double room = static_cast<double>(x[d + 2]) + At(before, d) + At(after, d) - At(window, d);
      y.push_back(static_cast<std::int64_t>(std::floor(room / At(strides, d) + 1e-9)) + 1);
    }
    return y;
  }
  std::int64_t Describe(PlanText* text) const {
    const int type = is_fraction ? CUDNN_TYPE_FRACTION : CUDNN_TYPE_INT64;
    return text->Add(CUDNN_BACKEND_RESAMPLE_DESCRIPTOR,
                     {{CUDNN_ATTR_RESAMPLE_MODE, CUDNN_TYPE_RESAMPLE_MODE, {mode}},
                      {CUDNN_ATTR_RESAMPLE_PADDING_MODE, CUDNN_TYPE_PADDING_MODE, {padding}},
                      {CUDNN_ATTR_RESAMPLE_SPATIAL_DIMS, CUDNN_TYPE_INT64, {static_cast<std::int64_t>(Rank())}},
                      {CUDNN_ATTR_RESAMPLE_WINDOW_DIMS, type, window},
                      {CUDNN_ATTR_RESAMPLE_STRIDES, type, strides},
                      {CUDNN_ATTR_RESAMPLE_PRE_PADDINGS, type, before},
                      {CUDNN_ATTR_RESAMPLE_POST_PADDINGS, type, after}});
  }

  // How much an input of one dimension is worth at a place between inputs.
  double Worth(std::size_t d, std::int64_t out, std::int64_t in) const {
    const double last = static_cast<double>(x[d + 2] - 1);
    const double middle = static_cast<double>(out) * At(strides, d) - At(before, d) + At(window, d) / 2;
    if (mode == CUDNN_RESAMPLE_NEAREST)
      return std::fmin(std::fmax(std::floor(middle + 1e-9), 0), last) == static_cast<double>(in) ? 1 : 0;
    const double apart = std::fabs(std::fmin(std::fmax(middle - 0.5, 0), last) - static_cast<double>(in));
    return std::fmax(1 - apart, 0);
  }
  // One place of the result, from every place of its window: value of x, or of the border.
  double Value(const Reals& values, const Words& out) const {
    if (mode == CUDNN_RESAMPLE_NEAREST || mode == CUDNN_RESAMPLE_BILINEAR) {
      double sum = 0;
      for (std::size_t i = 0; i < values.size(); ++i) {
        const Words in = IndexOf(i, x);
        if (in[0] != out[0] || in[1] != out[1]) continue;
        double worth = 1;
        for (std::size_t d = 0; d < Rank(); ++d) worth *= Worth(d, out[d + 2], in[d + 2]);
        sum += worth * values[i];
      }
      return sum;
    }
    Words sizes(window);
    double sum = 0, most = -1e300;
    std::int64_t inside = 0;
    for (std::size_t i = 0; i < Count(sizes); ++i) {
      const Words step = IndexOf(i, sizes);
      Words in{out[0], out[1]};
      bool is_inside = true;
      for (std::size_t d = 0; d < Rank(); ++d) {
        std::int64_t at = out[d + 2] * strides[d] - before[d] + step[d];
        if (at < 0 || at >= x[d + 2]) {
          if (padding == CUDNN_EDGE_VAL_PAD) {
            at = at < 0 ? 0 : x[d + 2] - 1;
          } else {
            is_inside = false;
          }
        }
        in.push_back(at);
      }
      if (is_inside) {
        const double value = values[dnn_test::Offset(in, PlanText::Strides(x))];
        sum += value;
        most = std::fmax(most, value);
        ++inside;
      } else if (padding == CUDNN_ZERO_PAD) {
        most = std::fmax(most, 0);
      }
    }
    if (mode == CUDNN_RESAMPLE_MAXPOOL) return most;
    const auto all = static_cast<double>(Count(sizes));
    return sum / (mode == CUDNN_RESAMPLE_AVGPOOL_INCLUDE_PADDING ? all : static_cast<double>(inside));
  }
  Reals Forward(const Reals& values) const {
    const Words y = Result();
    Reals result;
    for (std::size_t i = 0; i < Count(y); ++i) result.push_back(Value(values, IndexOf(i, y)));
    return result;
  }
};

// Pooling of random geometry, and of each mode; and between elements by halves, thirds and more.
std::vector<Resampling> Resamplings() {
  std::mt19937 random(61);
  const auto below = [&random](int limit) {
    return static_cast<std::int64_t>(random() % static_cast<unsigned>(limit));
  };
  std::vector<Resampling> all;
  for (const int mode :
       {CUDNN_RESAMPLE_MAXPOOL, CUDNN_RESAMPLE_AVGPOOL_INCLUDE_PADDING, CUDNN_RESAMPLE_AVGPOOL_EXCLUDE_PADDING}) {
    for (int i = 0; i < 9; ++i) {
      const int rank = 1 + i % 3;
      Resampling r{mode, i / 3, {1 + below(2), 1 + below(3)}, {}, {}, {}, {}, false};
      for (int d = 0; d < rank; ++d) {
        r.window.push_back(1 + below(3));
        r.x.push_back(r.window.back() + below(4));
        r.strides.push_back(1 + below(3));
        // Each window looks at one inside.
        r.before.push_back(below(static_cast<int>(r.window.back())));
        r.after.push_back(below(static_cast<int>(r.window.back())));
      }
      all.push_back(r);
    }
  }
  for (const int mode : {CUDNN_RESAMPLE_NEAREST, CUDNN_RESAMPLE_BILINEAR}) {
    // Twice and thrice as large, and smaller; the first is what cuDNN's frontend asks for.
    all.push_back(
        {mode, CUDNN_EDGE_VAL_PAD, {2, 2, 4, 3}, {2, 1, 2, 1}, {1, 2, 1, 2}, {1, 2, 1, 2}, {1, 1, 1, 1}, true});
    all.push_back({mode, CUDNN_EDGE_VAL_PAD, {1, 3, 5}, {1, 1}, {1, 3}, {1, 3}, {1, 3}, true});
    all.push_back({mode, CUDNN_ZERO_PAD, {1, 2, 7, 6}, {2, 2}, {3, 2}, {0, 1}, {1, 0}, false});
  }
  return all;
}

TEST(CpuGraphResample, ForwardIsItsFormulaInEveryTypeAndLayout) {
  std::mt19937 random(62);
  for (const Resampling& r : Resamplings()) {
    for (const int type :
         {CUDNN_DATA_DOUBLE, CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16, CUDNN_DATA_INT8}) {
      SCOPED_TRACE(testing::Message() << "mode " << r.mode << " border " << r.padding << ' ' << type << " of "
                                      << testing::PrintToString(r.x));
      Reals x = Random(random, Count(r.x), -8, 8);
      for (double& value : x) value = std::round(value);
      Reals wanted = r.Forward(x);
      if (type == CUDNN_DATA_INT8) {
        for (double& value : wanted) value = std::nearbyint(value);
        if (r.mode == CUDNN_RESAMPLE_BILINEAR) continue;  // halves are rounded either way
      }
      GraphCall call;
      const std::int64_t from = call.Put(r.x, x, type, true), y = call.Make(r.Result(), type);
      call.Run({call.Add(CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR,
                         {PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC, r.Describe(&call)),
                          PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC, from),
                          PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC, y)})});
      // An average of eight bits may be rounded the other way from its half.
      ExpectNear(call.Get(y), wanted, type == CUDNN_DATA_INT8 ? 1e-9 : ToleranceOf(type), "y");
    }
  }
}

// Of the sum of dy y, by differences, each input at a time; of maxima by the index and by x.
TEST(CpuGraphResample, GradientsAreThoseOfTheForwardFormula) {
  std::mt19937 random(63);
  for (const Resampling& r : Resamplings()) {
    for (const bool has_index : {false, true}) {
      if (has_index && r.mode != CUDNN_RESAMPLE_MAXPOOL) continue;
      SCOPED_TRACE(testing::Message() << "mode " << r.mode << " border " << r.padding << " index " << has_index
                                      << " of " << testing::PrintToString(r.x));
      Reals x = Random(random, Count(r.x));
      const Words y_dims = r.Result();
      const Reals dy = Random(random, Count(y_dims));
      Reals wanted;
      for (double& value : x) {
        const double before = value;
        double sides[2];
        for (int side = 0; side < 2; ++side) {
          value = before + (side == 0 ? -1e-6 : 1e-6);
          const Reals y = r.Forward(x);
          sides[side] = std::inner_product(y.begin(), y.end(), dy.begin(), 0.0);
        }
        value = before;
        wanted.push_back((sides[1] - sides[0]) / 2e-6);
      }
      GraphCall call;
      const std::int64_t x_place = call.Put(r.x, x, CUDNN_DATA_DOUBLE, true), y = call.Make(y_dims),
                         index = call.Make(y_dims, CUDNN_DATA_INT8), slope = call.Put(y_dims, dy), dx = call.Make(r.x),
                         describe = r.Describe(&call);
      std::vector<PlanText::Attribute> back = {PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC, describe),
                                               PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC, slope),
                                               PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC, dx)};
      Words operations;
      if (has_index) {
        operations.push_back(call.Add(CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR,
                                      {PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC, describe),
                                       PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC, x_place),
                                       PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC, y),
                                       PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_IDXDESC, index)}));
        back.push_back(PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_IDXDESC, index));
      } else if (r.mode == CUDNN_RESAMPLE_MAXPOOL) {
        back.push_back(PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_XDESC, x_place));
      }
      operations.push_back(call.Add(CUDNN_BACKEND_OPERATION_RESAMPLE_BWD_DESCRIPTOR, back));
      call.Run(operations);
      ExpectNear(call.Get(dx), wanted, 1e-5, "dx");
      if (has_index) ExpectNear(call.Get(y), r.Forward(x), 1e-9, "y");
    }
  }
}

TEST(CpuGraphResample, ResultsAreBlendedAndNotANumberIsTheLargestIfItIsKept) {
  const Resampling r{CUDNN_RESAMPLE_MAXPOOL, CUDNN_NEG_INF_PAD, {1, 1, 4}, {2}, {2}, {0}, {0}, false};
  const double nan = std::nan("");
  for (const std::int64_t keeps : {0, 1}) {
    GraphCall call;
    const std::int64_t x = call.Put({1, 1, 4}, {1, nan, -3, -2}), y = call.Put({1, 1, 2}, {10, 20}),
                       description = call.Add(CUDNN_BACKEND_RESAMPLE_DESCRIPTOR,
                                              {{CUDNN_ATTR_RESAMPLE_MODE, CUDNN_TYPE_RESAMPLE_MODE, {r.mode}},
                                               {CUDNN_ATTR_RESAMPLE_NAN_PROPAGATION, 10, {keeps}},
                                               {CUDNN_ATTR_RESAMPLE_SPATIAL_DIMS, CUDNN_TYPE_INT64, {1}},
                                               {CUDNN_ATTR_RESAMPLE_WINDOW_DIMS, CUDNN_TYPE_INT64, r.window},
                                               {CUDNN_ATTR_RESAMPLE_STRIDES, CUDNN_TYPE_INT64, r.strides},
                                               {CUDNN_ATTR_RESAMPLE_PRE_PADDINGS, CUDNN_TYPE_INT64, r.before},
                                               {CUDNN_ATTR_RESAMPLE_POST_PADDINGS, CUDNN_TYPE_INT64, r.after}});
    call.Run({call.Add(CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR,
                       {PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC, description),
                        PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC, x),
                        PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC, y),
                        {CUDNN_ATTR_OPERATION_RESAMPLE_FWD_ALPHA, CUDNN_TYPE_DOUBLE, {Bits(2)}},
                        {CUDNN_ATTR_OPERATION_RESAMPLE_FWD_BETA, CUDNN_TYPE_DOUBLE, {Bits(0.5)}}})});
    const Reals got = call.Get(y);
    EXPECT_EQ(std::isnan(got[0]), keeps == 1);
    if (keeps == 0) {
      EXPECT_EQ(got[0], 2 * 1 + 5);
    }
    EXPECT_EQ(got[1], 2 * -2 + 10);
  }
}

TEST(CpuGraphResample, WhatDoesNotFitIsRefused) {
  const Resampling fits{CUDNN_RESAMPLE_MAXPOOL, CUDNN_NEG_INF_PAD, {1, 2, 6}, {2}, {2}, {0}, {0}, false};
  const auto is_refused = [](const Resampling& r, const Words& y, int index_type, bool is_backward) {
    GraphCall call;
    const std::int64_t large = call.Make(r.x), small = call.Make(y), describe = r.Describe(&call);
    std::vector<PlanText::Attribute> all =
        is_backward
            ? std::vector<PlanText::Attribute>{PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC, describe),
                                               PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC, small),
                                               PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC, large)}
            : std::vector<PlanText::Attribute>{PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC, describe),
                                               PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC, large),
                                               PlanText::Refer(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC, small)};
    if (index_type >= 0)
      all.push_back(PlanText::Refer(
          is_backward ? CUDNN_ATTR_OPERATION_RESAMPLE_BWD_IDXDESC : CUDNN_ATTR_OPERATION_RESAMPLE_FWD_IDXDESC,
          call.Make(y, index_type)));
    return call.IsRefused({call.Add(
        is_backward ? CUDNN_BACKEND_OPERATION_RESAMPLE_BWD_DESCRIPTOR : CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR,
        all)});
  };
  const Words y = fits.Result();
  EXPECT_FALSE(is_refused(fits, y, CUDNN_DATA_INT8, false));
  EXPECT_FALSE(is_refused(fits, y, CUDNN_DATA_INT8, true));
  EXPECT_TRUE(is_refused(fits, {1, 2, 4}, -1, false));        // another size
  EXPECT_TRUE(is_refused(fits, {2, 2, 3}, -1, false));        // other images
  EXPECT_TRUE(is_refused(fits, y, CUDNN_DATA_FLOAT, false));  // an index that is none
  EXPECT_TRUE(is_refused(fits, y, -1, true));                 // which was the largest?
  Resampling other = fits;
  other.mode = CUDNN_RESAMPLE_AVGPOOL_EXCLUDE_PADDING;
  EXPECT_FALSE(is_refused(other, y, -1, true));
  EXPECT_TRUE(is_refused(other, y, CUDNN_DATA_INT8, false));  // an index of an average
  other.mode = 5;
  EXPECT_TRUE(is_refused(other, y, -1, false));
  other = {CUDNN_RESAMPLE_MAXPOOL, CUDNN_NEG_INF_PAD, {1, 1, 400}, {200}, {200}, {0}, {0}, false};
  EXPECT_TRUE(is_refused(other, other.Result(), CUDNN_DATA_INT8, false));  // no room for 199
  EXPECT_FALSE(is_refused(other, other.Result(), CUDNN_DATA_INT32, false));
  other = {CUDNN_RESAMPLE_MAXPOOL, CUDNN_NEG_INF_PAD, {1, 1, 6}, {3, 2}, {1, 1}, {0, 1}, {0, 1}, true};
  EXPECT_TRUE(is_refused(other, other.Result(), -1, false));  // a window and a half
  // What each of half a million places looks at is half a million others.
  other = {CUDNN_RESAMPLE_MAXPOOL, CUDNN_NEG_INF_PAD, {1, 1, 1 << 20}, {1 << 19}, {1}, {0}, {0}, false};
  EXPECT_TRUE(is_refused(other, other.Result(), -1, false));
  other = fits;
  other.strides = {0};
  EXPECT_TRUE(is_refused(other, y, -1, false));
}

}  // namespace
}  // namespace accelmesh
