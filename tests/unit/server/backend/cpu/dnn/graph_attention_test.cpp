// Attention as cudnn-frontend composes it of matmuls, pointwise operations, reductions, random numbers and reshapes,
// and as one operation: against plain sums, and its gradients against differences of them.
#include <limits>

#include "tests/unit/server/backend/cpu/dnn/graph_plan.h"

namespace accelmesh {
namespace {

using dnn_test::Bits;
using dnn_test::Count;
using dnn_test::ExpectNear;
using dnn_test::GraphCall;
using dnn_test::IndexOf;
using dnn_test::Offset;
using dnn_test::PlanText;
using dnn_test::Random;
using dnn_test::Reals;
using dnn_test::Words;

using Attributes = std::vector<PlanText::Attribute>;

struct Attention {
  std::int64_t b = 1, h = 2, shared = 1, rows = 4, columns = 5, d = 3, width = 2;
  bool has_bias = false, is_causal = false, has_lengths = false;
  double kept = 1;  // of a dropout
  int type = CUDNN_DATA_FLOAT;
  double scale = 0.5;

  Words Q() const { return {b, h, rows, d}; }
  Words K() const { return {b, shared, columns, d}; }
  Words V() const { return {b, shared, columns, width}; }
  Words O() const { return {b, h, rows, width}; }
  Words Scores() const { return {b, h, rows, columns}; }
  Words Stats() const { return {b, h, rows, 1}; }
  // The last batch's are shorter.
  std::int64_t RowsOf(std::int64_t n) const { return has_lengths && n == b - 1 ? rows - 1 : rows; }
  std::int64_t ColumnsOf(std::int64_t n) const { return has_lengths && n == b - 1 ? columns - 2 : columns; }
  double Near() const { return type == CUDNN_DATA_FLOAT ? 1e-4 : type == CUDNN_DATA_HALF ? 1.0 / 200 : 1.0 / 30; }
};
const std::vector<Attention>& Attentions() {
  static const std::vector<Attention> all = {
      {},
      {2, 2, 2, 4, 5, 3, 2, true, false, false, 1, CUDNN_DATA_FLOAT, 0.5},
      {1, 4, 2, 5, 5, 2, 3, false, true, false, 1, CUDNN_DATA_FLOAT, 1},
      {2, 2, 1, 4, 6, 3, 2, false, false, true, 1, CUDNN_DATA_FLOAT, 0.25},
      {2, 4, 2, 3, 4, 2, 2, true, true, true, 0.75, CUDNN_DATA_FLOAT, 0.5},
      {1, 2, 2, 6, 6, 4, 4, false, true, false, 0.5, CUDNN_DATA_FLOAT, 0.5},
      {2, 2, 1, 4, 6, 3, 2, false, true, false, 1, CUDNN_DATA_HALF, 0.5},
      {1, 4, 2, 4, 4, 2, 2, true, false, false, 1, CUDNN_DATA_BFLOAT16, 0.5},
  };
  return all;
}

struct Inputs {
  Reals q, k, v, bias, mask;  // of a mask: ones and zeros
};
std::ostream& operator<<(std::ostream& out, const Attention& a) {
  return out << a.b << 'x' << a.h << '/' << a.shared << ' ' << a.rows << 'x' << a.columns << " bias " << a.has_bias
             << " causal " << a.is_causal << " lengths " << a.has_lengths << " kept " << a.kept << " type " << a.type;
}

// Everything by its definition; what is not looked at has no weight.
Reals Forward(const Attention& a, const Inputs& in, Reals* stats = nullptr) {
  Reals o;
  if (stats != nullptr) stats->clear();
  const auto at = [](const Reals& of, const Words& dims, const Words& index) {
    return of[Offset(index, PlanText::Strides(dims))];
  };
  for (std::int64_t n = 0; n < a.b; ++n) {
    for (std::int64_t head = 0; head < a.h; ++head) {
      const std::int64_t own = head / (a.h / a.shared);
      for (std::int64_t i = 0; i < a.rows; ++i) {
        Reals weights;
        double sum = 0;
        for (std::int64_t j = 0; j < a.columns; ++j) {
          double score = 0;
          for (std::int64_t e = 0; e < a.d; ++e)
            score += at(in.q, a.Q(), {n, head, i, e}) * at(in.k, a.K(), {n, own, j, e});
          score *= a.scale;
          if (a.has_bias) score += at(in.bias, {1, a.h, a.rows, a.columns}, {0, head, i, j});
          const bool is_seen = (!a.is_causal || j <= i) && j < a.ColumnsOf(n);
          weights.push_back(is_seen ? std::exp(score) : 0);
          sum += weights.back();
        }
        if (stats != nullptr) stats->push_back(std::log(sum));
        for (std::int64_t e = 0; e < a.width; ++e) {
          double value = 0;
          for (std::int64_t j = 0; j < a.columns; ++j) {
            const double keeps = a.kept == 1 ? 1 : at(in.mask, a.Scores(), {n, head, i, j}) / a.kept;
            value += weights[static_cast<std::size_t>(j)] / sum * keeps * at(in.v, a.V(), {n, own, j, e});
          }
          o.push_back(value);
        }
      }
    }
  }
  return o;
}

Inputs Draw(const Attention& a, std::mt19937& random) {
  const auto exact = [&](const Words& dims) {
    Reals values = Random(random, Count(dims));
    for (double& value : values) value = std::round(value * 8) / 8;
    return values;
  };
  return {exact(a.Q()), exact(a.K()), exact(a.V()), exact({1, a.h, a.rows, a.columns}), Reals(Count(a.Scores()), 1)};
}

// A matrix under its transposed description: the same memory.
std::int64_t PutTransposed(GraphCall* call, const Words& dims, const Reals& values, int type) {
  const Words turned{dims[0], dims[1], dims[3], dims[2]};
  const std::int64_t matrix = dims[2] * dims[3];
  const Words strides{dims[1] * matrix, matrix, 1, dims[3]};
  Reals in_order;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Words at = IndexOf(i, turned);
    in_order.push_back(values[Offset({at[0], at[1], at[3], at[2]}, PlanText::Strides(dims))]);
  }
  return call->PutAt(turned, strides, in_order, type);
}

// The graph as cudnn-frontend builds it: what both directions begin with.
class Builder {
 public:
  Builder(const Attention& a, const Inputs& in, GraphCall* call) : a_(a), in_(in), call_(*call) {}
  Words operations;
  std::int64_t Add(std::int64_t operation) {
    operations.push_back(operation);
    return operation;
  }
  std::int64_t Pointwise(int mode, std::int64_t x, std::int64_t b, const Words& dims, int type = CUDNN_DATA_FLOAT,
                         std::int64_t t = -1, const Attributes& description = {}) {
    const std::int64_t y = call_.Virtual(dims, type);
    Add(call_.Pointwise(mode, x, b, y, t, description));
    return y;
  }
  std::int64_t Index(std::int64_t x, std::int64_t axis) {
    return Pointwise(CUDNN_POINTWISE_GEN_INDEX, x, -1, a_.Scores(), CUDNN_DATA_INT32, -1,
                     {{CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, {axis}}});
  }
  // Scores: scaled, moved and masked.
  std::int64_t Scores() {
    const Words dims = a_.Scores();
    const std::int64_t raw = call_.Virtual(dims);
    Add(call_.Matmul(q = call_.Put(a_.Q(), in_.q, a_.type), PutTransposed(&call_, a_.K(), in_.k, a_.type), raw));
    std::int64_t scores = Pointwise(CUDNN_POINTWISE_MUL, raw, call_.Value(a_.scale, CUDNN_DATA_FLOAT), dims);
    if (a_.has_bias) {
      const std::int64_t bias = call_.Put({1, a_.h, a_.rows, a_.columns}, in_.bias, a_.type);
      scores = Pointwise(CUDNN_POINTWISE_ADD, scores, bias, dims);
    }
    const std::int64_t nothing = call_.Value(-std::numeric_limits<float>::max(), CUDNN_DATA_FLOAT);
    if (a_.has_lengths) {
      Reals row_counts, column_counts;
      for (std::int64_t n = 0; n < a_.b; ++n) {
        row_counts.push_back(static_cast<double>(a_.RowsOf(n)));
        column_counts.push_back(static_cast<double>(a_.ColumnsOf(n)));
      }
      const std::int64_t row = Index(scores, 2), column = Index(scores, 3),
                         row_count = call_.Put({a_.b, 1, 1, 1}, row_counts, CUDNN_DATA_INT32),
                         column_count = call_.Put({a_.b, 1, 1, 1}, column_counts, CUDNN_DATA_INT32);
      const std::int64_t in_rows = Pointwise(CUDNN_POINTWISE_CMP_LT, row, row_count, dims, CUDNN_DATA_BOOLEAN),
                         in_columns = Pointwise(CUDNN_POINTWISE_CMP_LT, column, column_count, dims, CUDNN_DATA_BOOLEAN),
                         both = Pointwise(CUDNN_POINTWISE_LOGICAL_AND, in_rows, in_columns, dims, CUDNN_DATA_BOOLEAN);
      scores = Pointwise(CUDNN_POINTWISE_BINARY_SELECT, scores, nothing, dims, CUDNN_DATA_FLOAT, both);
    }
    if (a_.is_causal) {
      const std::int64_t sees =
          Pointwise(CUDNN_POINTWISE_CMP_GE, Index(scores, 2), Index(scores, 3), dims, CUDNN_DATA_BOOLEAN);
      scores = Pointwise(CUDNN_POINTWISE_BINARY_SELECT, scores, nothing, dims, CUDNN_DATA_FLOAT, sees);
    }
    return scores;
  }
  // The mask of a dropout; it is stored, too, for the reference.
  std::int64_t Mask() {
    const std::int64_t random =
        call_.Add(CUDNN_BACKEND_RNG_DESCRIPTOR,
                  {{CUDNN_ATTR_RNG_DISTRIBUTION, CUDNN_TYPE_RNG_DISTRIBUTION, {CUDNN_RNG_DISTRIBUTION_BERNOULLI}},
                   {CUDNN_ATTR_RNG_BERNOULLI_DIST_PROBABILITY, CUDNN_TYPE_DOUBLE, {Bits(a_.kept)}}});
    const std::int64_t mask = call_.Virtual(a_.Scores());
    Add(call_.Add(
        CUDNN_BACKEND_OPERATION_RNG_DESCRIPTOR,
        {PlanText::Refer(CUDNN_ATTR_OPERATION_RNG_DESC, random), PlanText::Refer(CUDNN_ATTR_OPERATION_RNG_YDESC, mask),
         PlanText::Refer(CUDNN_ATTR_OPERATION_RNG_SEED, call_.WholeValue(11)),
         PlanText::Refer(CUDNN_ATTR_OPERATION_RNG_OFFSET_DESC, call_.WholeValue(5))}));
    drawn = call_.Make(a_.Scores(), CUDNN_DATA_FLOAT);
    Add(call_.Pointwise(CUDNN_POINTWISE_IDENTITY, mask, -1, drawn));
    return mask;
  }
  std::int64_t Transposed(std::int64_t x) {
    const Words dims{a_.b, a_.h, a_.columns, a_.rows};
    const std::int64_t matrix = a_.rows * a_.columns,
                       y = call_.Virtual(dims, CUDNN_DATA_FLOAT, {a_.h * matrix, matrix, 1, a_.columns});
    Add(call_.Add(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
                  {PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x),
                   PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y)}));
    return y;
  }
  std::int64_t Scaled(std::int64_t x, double by, const Words& dims) {
    return Pointwise(CUDNN_POINTWISE_MUL, x, call_.Value(by, CUDNN_DATA_FLOAT), dims);
  }
  // A product whose result several heads may share: then of every head, and added up.
  void MultiplyShared(std::int64_t a, std::int64_t b, const Words& dims, std::int64_t y) {
    if (a_.h == a_.shared) {
      Add(call_.Matmul(a, b, y));
      return;
    }
    const std::int64_t every = call_.Virtual({dims[0], a_.h, dims[2], dims[3]});
    Add(call_.Matmul(a, b, every));
    Add(call_.Reduce(CUDNN_REDUCE_TENSOR_ADD, every, y));
  }

  std::int64_t q = 0, drawn = 0;

 private:
  const Attention& a_;
  const Inputs& in_;
  GraphCall& call_;
};

void ExpectRows(const Attention& a, const Reals& got, const Reals& wanted, const Words& dims, const char* what) {
  Reals is, must;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const Words at = IndexOf(i, dims);
    if (at[2] >= a.RowsOf(at[0])) continue;
    is.push_back(got[i]);
    must.push_back(wanted[i]);
  }
  ExpectNear(is, must, a.Near(), what);
}

TEST(CpuGraphAttention, TheFrontendsForwardGraphIsItsFormula) {
  std::mt19937 random(101);
  for (const Attention& a : Attentions()) {
    SCOPED_TRACE(testing::Message() << a);
    Inputs in = Draw(a, random);
    GraphCall call;
    Builder build(a, in, &call);
    const Words dims = a.Scores(), column = a.Stats();
    const std::int64_t scores = build.Scores(), top = call.Virtual(column), sum = call.Virtual(column),
                       o = call.Make(a.O(), a.type, true), stats = call.Make(column, CUDNN_DATA_FLOAT);
    build.Add(call.Reduce(CUDNN_REDUCE_TENSOR_MAX, scores, top));
    const std::int64_t less = build.Pointwise(CUDNN_POINTWISE_SUB, scores, top, dims),
                       power = build.Pointwise(CUDNN_POINTWISE_EXP, less, -1, dims);
    build.Add(call.Reduce(CUDNN_REDUCE_TENSOR_ADD, power, sum));
    const std::int64_t log = build.Pointwise(CUDNN_POINTWISE_LOG, sum, -1, column);
    build.Add(call.Pointwise(CUDNN_POINTWISE_ADD, top, log, stats));
    std::int64_t weights = build.Pointwise(CUDNN_POINTWISE_DIV, power, sum, dims);
    if (a.kept != 1)
      weights = build.Scaled(build.Pointwise(CUDNN_POINTWISE_MUL, weights, build.Mask(), dims), 1 / a.kept, dims);
    build.Add(call.Matmul(weights, call.Put(a.V(), in.v, a.type), o));
    call.Run(build.operations);
    if (a.kept != 1) {
      in.mask = call.Get(build.drawn);
      const double ones = std::accumulate(in.mask.begin(), in.mask.end(), 0.0);
      EXPECT_GT(ones, 0);
      EXPECT_LT(ones, static_cast<double>(in.mask.size()));
    }
    Reals wanted_stats;
    const Reals wanted = Forward(a, in, &wanted_stats);
    ExpectRows(a, call.Get(o), wanted, a.O(), "o");
    ExpectRows(a, call.Get(stats), wanted_stats, column, "stats");
  }
}

// Of the sum of do o, by differences, each number of q, k and v at a time.
Reals Slopes(const Attention& a, Inputs in, Reals Inputs::* of, const Reals& slope) {
  Reals result;
  for (std::size_t i = 0; i < (in.*of).size(); ++i) {
    double sides[2];
    const double before = (in.*of)[i];
    for (int side = 0; side < 2; ++side) {
      (in.*of)[i] = before + (side == 0 ? -1e-5 : 1e-5);
      const Reals o = Forward(a, in);
      sides[side] = std::inner_product(o.begin(), o.end(), slope.begin(), 0.0);
    }
    (in.*of)[i] = before;
    result.push_back((sides[1] - sides[0]) / 2e-5);
  }
  return result;
}
Reals DrawSlope(const Attention& a, std::mt19937& random) {
  Reals slope = Random(random, Count(a.O()));
  for (std::size_t i = 0; i < slope.size(); ++i) {
    const Words at = IndexOf(i, a.O());
    slope[i] = at[2] < a.RowsOf(at[0]) ? std::round(slope[i] * 8) / 8 : 0;
  }
  return slope;
}

TEST(CpuGraphAttention, TheFrontendsBackwardGraphIsTheGradient) {
  std::mt19937 random(102);
  for (const Attention& a : Attentions()) {
    SCOPED_TRACE(testing::Message() << a);
    Inputs in = Draw(a, random);
    const Reals slope = DrawSlope(a, random);
    const Words dims = a.Scores(), column = a.Stats();
    // The mask that the graph will draw.
    if (a.kept != 1) {
      GraphCall first;
      Builder build(a, in, &first);
      build.Mask();
      first.Run(build.operations);
      in.mask = first.Get(build.drawn);
    }
    Reals stats;
    const Reals o = Forward(a, in, &stats);
    GraphCall call;
    Builder build(a, in, &call);
    const std::int64_t given = call.Put(a.O(), slope, a.type), result = call.Put(a.O(), o, CUDNN_DATA_FLOAT),
                       along = call.Virtual(column);
    build.Add(call.Reduce(CUDNN_REDUCE_TENSOR_ADD, build.Pointwise(CUDNN_POINTWISE_MUL, given, result, a.O()), along));
    const std::int64_t moved = build.Scaled(along, a.kept, column);
    const std::int64_t less = build.Pointwise(CUDNN_POINTWISE_SUB, build.Scores(),
                                              call.Put(column, stats, CUDNN_DATA_FLOAT), dims),
                       weights = build.Pointwise(CUDNN_POINTWISE_EXP, less, -1, dims);
    const std::int64_t mask = a.kept != 1 ? build.Mask() : -1,
                       dropped = a.kept != 1 ? build.Pointwise(CUDNN_POINTWISE_MUL, weights, mask, dims) : weights;
    const std::int64_t dv = call.Make(a.V(), a.type), dq = call.Make(a.Q(), a.type), dk = call.Make(a.K(), a.type);
    build.MultiplyShared(build.Transposed(build.Scaled(dropped, 1 / a.kept, dims)), given, a.V(), dv);
    std::int64_t change = call.Virtual(dims);
    build.Add(call.Matmul(given, PutTransposed(&call, a.V(), in.v, a.type), change));
    if (a.kept != 1) change = build.Pointwise(CUDNN_POINTWISE_MUL, change, mask, dims);
    change =
        build.Pointwise(CUDNN_POINTWISE_MUL, build.Pointwise(CUDNN_POINTWISE_SUB, change, moved, dims), weights, dims);
    change = build.Scaled(change, a.scale / a.kept, dims);
    build.Add(call.Matmul(change, call.Put(a.K(), in.k, a.type), dq));
    build.MultiplyShared(build.Transposed(change), build.q, a.K(), dk);
    call.Run(build.operations);
    const double near = 20 * a.Near();
    ExpectNear(call.Get(dq), Slopes(a, in, &Inputs::q, slope), near, "dq");
    ExpectNear(call.Get(dk), Slopes(a, in, &Inputs::k, slope), near, "dk");
    ExpectNear(call.Get(dv), Slopes(a, in, &Inputs::v, slope), near, "dv");
  }
}

// What one operation says: no bias, no mask but the lengths.
std::vector<Attention> Single() {
  std::vector<Attention> all;
  for (Attention a : Attentions()) {
    a.has_bias = a.is_causal = false;
    a.kept = 1;
    all.push_back(a);
    a.type = CUDNN_DATA_DOUBLE;
    all.push_back(a);
  }
  return all;
}
Attributes Lengths(GraphCall* call, const Attention& a, int rows_name, int columns_name) {
  if (!a.has_lengths) return {};
  Reals rows, columns;
  for (std::int64_t n = 0; n < a.b; ++n) {
    rows.push_back(static_cast<double>(a.RowsOf(n)));
    columns.push_back(static_cast<double>(a.ColumnsOf(n)));
  }
  return {PlanText::Refer(rows_name, call->Put({a.b, 1, 1, 1}, rows, CUDNN_DATA_INT32)),
          PlanText::Refer(columns_name, call->Put({a.b, 1, 1, 1}, columns, CUDNN_DATA_INT32))};
}
int StatsType(const Attention& a) { return a.type == CUDNN_DATA_DOUBLE ? a.type : CUDNN_DATA_FLOAT; }
double NearOf(const Attention& a) { return a.type == CUDNN_DATA_DOUBLE ? 1e-8 : a.Near(); }

TEST(CpuGraphAttention, OneOperationIsTheSame) {
  std::mt19937 random(103);
  for (const Attention& a : Single()) {
    for (const bool is_paged : {false, true}) {
      if (is_paged && !a.has_lengths) continue;
      SCOPED_TRACE(testing::Message() << a << " pages " << is_paged);
      const Inputs in = Draw(a, random);
      GraphCall call;
      const std::int64_t o = call.Make(a.O(), a.type, true), stats = call.Make(a.Stats(), StatsType(a));
      Attributes all =
          Lengths(&call, a, CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_QDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_KVDESC);
      const auto refer = [&all](int name, std::int64_t place) { all.push_back(PlanText::Refer(name, place)); };
      refer(CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, call.Put(a.Q(), in.q, a.type, true));
      refer(CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, o);
      refer(CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, stats);
      refer(CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, call.Value(a.scale, StatsType(a)));
      if (is_paged) {
        // Pages of two places, the last ones first.
        const std::int64_t pages = (a.columns + 1) / 2;
        const auto paged = [&](const Words& dims, const Reals& values, int name, int table_name) {
          const Words container{a.b * pages, dims[1], 2, dims[3]};
          Reals blocks(Count(container), 77), table(static_cast<std::size_t>(a.b * pages));
          for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<double>(table.size() - 1 - i);
          for (std::size_t i = 0; i < values.size(); ++i) {
            const Words at = IndexOf(i, dims);
            const auto page = static_cast<std::int64_t>(table[static_cast<std::size_t>(at[0] * pages + at[2] / 2)]);
            blocks[Offset({page, at[1], at[2] % 2, at[3]}, PlanText::Strides(container))] = values[i];
          }
          refer(name, call.Put(container, blocks, a.type));
          refer(table_name, call.Put({a.b, 1, pages, 1}, table, CUDNN_DATA_INT32));
        };
        paged(a.K(), in.k, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_PAGE_TABLE_KDESC);
        paged(a.V(), in.v, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, CUDNN_ATTR_OPERATION_SDPA_FWD_PAGE_TABLE_VDESC);
      } else {
        refer(CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, call.Put(a.K(), in.k, a.type));
        refer(CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, call.Put(a.V(), in.v, a.type, true));
      }
      call.Run({call.Add(CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, all)});
      Reals wanted_stats, wanted = Forward(a, in, &wanted_stats);
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        const Words at = IndexOf(i, a.O());
        if (at[2] >= a.RowsOf(at[0])) wanted[i] = 0;
      }
      ExpectNear(call.Get(o), wanted, NearOf(a), "o");
      ExpectRows(a, call.Get(stats), wanted_stats, a.Stats(), "stats");
    }
  }
}

TEST(CpuGraphAttention, OneOperationsGradientsAreThoseOfTheFormula) {
  std::mt19937 random(104);
  for (const Attention& a : Single()) {
    SCOPED_TRACE(testing::Message() << a);
    const Inputs in = Draw(a, random);
    const Reals slope = DrawSlope(a, random);
    Reals stats;
    const Reals o = Forward(a, in, &stats);
    GraphCall call;
    const std::int64_t dq = call.Make(a.Q(), a.type), dk = call.Make(a.K(), a.type, true),
                       dv = call.Make(a.V(), a.type);
    Attributes all =
        Lengths(&call, a, CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_QDESC, CUDNN_ATTR_OPERATION_SDPA_BWD_SEQ_LEN_KVDESC);
    const auto refer = [&all](int name, std::int64_t place) { all.push_back(PlanText::Refer(name, place)); };
    refer(CUDNN_ATTR_OPERATION_SDPA_BWD_QDESC, call.Put(a.Q(), in.q, a.type));
    refer(CUDNN_ATTR_OPERATION_SDPA_BWD_KDESC, call.Put(a.K(), in.k, a.type));
    refer(CUDNN_ATTR_OPERATION_SDPA_BWD_VDESC, call.Put(a.V(), in.v, a.type));
    refer(CUDNN_ATTR_OPERATION_SDPA_BWD_ODESC, call.Put(a.O(), o, StatsType(a)));
    refer(CUDNN_ATTR_OPERATION_SDPA_BWD_DODDESC, call.Put(a.O(), slope, a.type, true));
    refer(CUDNN_ATTR_OPERATION_SDPA_BWD_STATSDESC, call.Put(a.Stats(), stats, StatsType(a)));
    refer(CUDNN_ATTR_OPERATION_SDPA_BWD_SCALEDESC, call.Value(a.scale, StatsType(a)));
    refer(CUDNN_ATTR_OPERATION_SDPA_BWD_DQDESC, dq);
    refer(CUDNN_ATTR_OPERATION_SDPA_BWD_DKDESC, dk);
    refer(CUDNN_ATTR_OPERATION_SDPA_BWD_DVDESC, dv);
    call.Run({call.Add(CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR, all)});
    const double near = a.type == CUDNN_DATA_DOUBLE ? 1e-6 : 20 * a.Near();
    ExpectNear(call.Get(dq), Slopes(a, in, &Inputs::q, slope), near, "dq");
    ExpectNear(call.Get(dk), Slopes(a, in, &Inputs::k, slope), near, "dk");
    ExpectNear(call.Get(dv), Slopes(a, in, &Inputs::v, slope), near, "dv");
  }
}

TEST(CpuGraphAttention, WhatDoesNotFitIsRefused) {
  const auto is_refused = [](const Words& k, const Words& v, const Words& o, int extra, const Words& dims, int type) {
    GraphCall call;
    Attributes all = {PlanText::Refer(CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, call.Make({2, 4, 3, 8}, CUDNN_DATA_HALF)),
                      PlanText::Refer(CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, call.Make(k, CUDNN_DATA_HALF)),
                      PlanText::Refer(CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, call.Make(v, CUDNN_DATA_HALF)),
                      PlanText::Refer(CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, call.Make(o, CUDNN_DATA_HALF))};
    if (extra != 0) all.push_back(PlanText::Refer(extra, call.Make(dims, type)));
    return call.IsRefused({call.Add(CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, all)});
  };
  const Words k{2, 2, 5, 8}, o{2, 4, 3, 8};
  EXPECT_FALSE(is_refused(k, k, o, 0, {}, 0));
  EXPECT_TRUE(is_refused({2, 3, 5, 8}, k, o, 0, {}, 0));  // heads that are not shared evenly
  EXPECT_TRUE(is_refused({2, 2, 8, 5}, k, o, 0, {}, 0));  // transposed
  EXPECT_TRUE(is_refused({1, 2, 5, 8}, k, o, 0, {}, 0));
  EXPECT_TRUE(is_refused(k, {2, 2, 6, 8}, o, 0, {}, 0));
  EXPECT_TRUE(is_refused(k, k, {2, 4, 3, 7}, 0, {}, 0));
  EXPECT_TRUE(is_refused(k, k, o, CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, {2, 4, 3, 2}, CUDNN_DATA_FLOAT));
  EXPECT_TRUE(is_refused(k, k, o, CUDNN_ATTR_OPERATION_SDPA_FWD_SEQ_LEN_QDESC, {1, 1, 1, 1}, CUDNN_DATA_INT32));
  EXPECT_TRUE(is_refused(k, k, o, CUDNN_ATTR_OPERATION_SDPA_FWD_BLOCK_MASK_DESC, {2, 4, 1, 1}, CUDNN_DATA_UINT8));
  EXPECT_TRUE(is_refused(k, k, o, CUDNN_ATTR_OPERATION_SDPA_FWD_PAGE_TABLE_KDESC, {2, 1, 1, 1}, CUDNN_DATA_INT32));
}

}  // namespace
}  // namespace accelmesh
