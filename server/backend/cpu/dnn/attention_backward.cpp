// Multi-head attention backward: to the data, which keeps what comes to the projected sides, and from that to the
// weights.
#include <optional>

#include "server/backend/cpu/dnn/attention.h"

namespace accelmesh::cpu_dnn {
namespace {

// What comes back from the result, without what was dropped of it.
template <typename Real>
Real* ReadResultGradient(Context& context, const AttentionCall& call, Real* base,
                         std::span<const std::int32_t> query_lengths) {
  const SequenceData& result = call.side(kResult);
  Real* const rows = result.Read<Real>(context, result.address(), query_lengths);
  if (context.failed()) return nullptr;
  if (const Real* const mask = call.layout.ResultMaskOf(base); mask != nullptr) {
    for (i64 i = 0; i < call.layout.result_elements(); ++i) rows[i] *= mask[i];
  }
  return rows;
}

// Gradients of a side: of what it was projected to, which is kept, or of the side itself. Of zeros.
template <typename Real>
Heads<Real> GradientHeadsOf(Context& context, const AttentionCall& call, Side side, Real* base) {
  const Projection& projection = call.attention.sides[side];
  const SequenceData& data = call.side(side);
  const i64 elements = data.sequences() * data.steps() * projection.columns;
  Real* rows = call.layout.GradientOf(base, side);
  if (rows == nullptr) rows = context.Scratch<Real>(Shape{1, {elements}, {1}}).data;
  std::fill_n(rows, elements, Real{0});
  return {rows, projection.columns, call.attention.HeadStride(side), data.steps()};
}

// A side of the way forward: its projection was kept.
template <typename Real>
Heads<Real> KeptHeadsOf(Context& context, const AttentionCall& call, Side side, Real* base,
                        std::span<const std::int32_t> lengths) {
  const SequenceData& data = call.side(side);
  Real* rows = call.layout.ProjectedOf(base, side);
  if (rows == nullptr) rows = data.Read<Real>(context, data.address(), lengths);
  return {rows, call.attention.sides[side].columns, call.attention.HeadStride(side), data.steps()};
}

template <typename Real>
class HeadBackward {
 public:
  HeadBackward(const AttentionCall& call, Real* base)
      : call_(call),
        base_(base),
        pairs_(call.side(kQueries).steps() * call.side(kKeys).steps()),
        shares_(static_cast<std::size_t>(pairs_)),
        scores_(static_cast<std::size_t>(pairs_)) {}

  Heads<Real> queries, keys, values;
  Heads<Real> dqueries, dkeys, dvalues;  // added to
  Heads<Real> dcontext;

  void Run(i64 sequence, i64 head) {
    const Attention& a = call_.attention;
    const i64 of_keys = sequence / call_.side(kQueries).beams(), number = call_.NumberOf(sequence, head);
    const i64 rows = queries.steps, columns = keys.steps;
    const Real* const shares = call_.layout.WeightsOf(base_, number);
    const Real* const mask = call_.layout.MaskOf(base_, number);
    for (i64 i = 0; i < pairs_; ++i)
      shares_[static_cast<std::size_t>(i)] = mask == nullptr ? shares[i] : shares[i] * mask[i];
    const Real* const coming = dcontext.At(sequence, head);
    Multiply(columns, a.value_head, rows, Transposed<Real>(shares_.data(), columns),
             Plain<Real>(coming, dcontext.columns), true, dvalues.At(of_keys, head), dvalues.columns);
    Multiply(rows, columns, a.value_head, Plain<Real>(coming, dcontext.columns),
             Transposed<Real>(values.At(of_keys, head), values.columns), false, scores_.data(), columns);
    for (i64 t = 0; t < rows; ++t)
      BackThroughSoftmax(shares + t * columns, mask == nullptr ? nullptr : mask + t * columns,
                         scores_.data() + t * columns, columns);
    Multiply(rows, a.query_head, columns, Plain<Real>(scores_.data(), columns),
             Plain<Real>(keys.At(of_keys, head), keys.columns), true, dqueries.At(sequence, head), dqueries.columns);
    Multiply(columns, a.query_head, rows, Transposed<Real>(scores_.data(), columns),
             Plain<Real>(queries.At(sequence, head), queries.columns), true, dkeys.At(of_keys, head), dkeys.columns);
  }

 private:
  // `row` becomes what comes to the scores.
  void BackThroughSoftmax(const Real* shares, const Real* mask, Real* row, i64 count) const {
    Real sum = 0;
    for (i64 i = 0; i < count; ++i) {
      if (mask != nullptr) row[i] *= mask[i];
      sum += shares[i] * row[i];
    }
    for (i64 i = 0; i < count; ++i) row[i] = static_cast<Real>(call_.attention.scale) * shares[i] * (row[i] - sum);
  }

  const AttentionCall& call_;
  Real* base_;
  i64 pairs_;
  std::vector<Real> shares_;
  std::vector<Real> scores_;
};

template <typename Real>
void BackwardData(Context& context, const DnnAttentionBackwardData& words, std::span<const std::int32_t> tail) {
  const AttentionCall call =
      ReadCall(context, words.attention, {&words.queries, &words.keys, &words.values, &words.dresult}, tail, {});
  if (context.failed()) return;
  const Attention& a = call.attention;
  const SequenceData &q = call.side(kQueries), &k = call.side(kKeys);
  const std::vector<std::int32_t> query_lengths = ReadLengths(context, words.query_lengths, q.sequences(), q.steps());
  const std::vector<std::int32_t> key_lengths = ReadLengths(context, words.key_lengths, k.sequences(), k.steps());
  const Real* const weights = ReadAttentionWeights<Real>(context, a, words.weights);
  Real* const base = RawSpace<Real>(context, words.reserve, call.layout.elements());
  const std::array<std::uint64_t, 3> results{words.dqueries, words.dkeys, words.dvalues};
  for (const Side side : {kQueries, kKeys, kValues}) call.side(side).Check(context, results[side]);
  if (context.failed()) return;

  Real* coming = ReadResultGradient(context, call, base, query_lengths);
  HeadBackward<Real> run(call, base);
  run.queries = KeptHeadsOf(context, call, kQueries, base, query_lengths);
  run.keys = KeptHeadsOf(context, call, kKeys, base, key_lengths);
  run.values = KeptHeadsOf(context, call, kValues, base, key_lengths);
  if (context.failed()) return;
  const i64 rows = call.layout.query_rows(), columns = a.ContextColumns();
  if (const Projection& side = a.sides[kResult]; side.weights >= 0) {
    Real* const before = context.Scratch<Real>(Shape{1, {rows * columns}, {1}}).data;
    Multiply(rows, side.inner, side.columns, Plain<Real>(coming, side.columns),
             Transposed(weights + side.weights, side.columns), false, before, columns);
    coming = before;
  }
  run.dcontext = {coming, columns, a.value_head, q.steps()};
  run.dqueries = GradientHeadsOf(context, call, kQueries, base);
  run.dkeys = GradientHeadsOf(context, call, kKeys, base);
  run.dvalues = GradientHeadsOf(context, call, kValues, base);
  for (i64 sequence = 0; sequence < q.sequences(); ++sequence) {
    for (i64 head = 0; head < a.heads; ++head) run.Run(sequence, head);
  }

  const std::array<const Heads<Real>*, 3> gradients{&run.dqueries, &run.dkeys, &run.dvalues};
  for (const Side side : {kQueries, kKeys, kValues}) {
    const SequenceData& data = call.side(side);
    const Projection& projection = a.sides[side];
    const i64 side_rows = data.sequences() * data.steps();
    const Real* written = gradients[side]->rows;
    if (projection.weights >= 0) {
      Real* const through = context.Scratch<Real>(Shape{1, {side_rows * projection.inner}, {1}}).data;
      Multiply(side_rows, projection.inner, projection.columns, Plain(written, projection.columns),
               Transposed(weights + projection.weights, projection.columns), false, through, projection.inner);
      written = through;
    }
    data.Write(context, results[side], written, side == kQueries ? query_lengths : key_lengths, 0);
  }
}

// What comes to a projection's weights, from the rows before it and what comes to those behind it.
template <typename Real>
void WeightGradient(const Projection& projection, const Real* from, const Real* coming, i64 rows, Real* gradients) {
  Multiply(projection.inner, projection.columns, rows, Transposed(from, projection.inner),
           Plain(coming, projection.columns), false, gradients + projection.weights, projection.columns);
  if (projection.bias < 0) return;
  Real* const bias = gradients + projection.bias;
  std::fill_n(bias, projection.columns, Real{0});
  for (i64 row = 0; row < rows; ++row) {
    for (i64 j = 0; j < projection.columns; ++j) bias[j] += coming[row * projection.columns + j];
  }
}

template <typename Real>
void BackwardWeights(Context& context, const DnnAttentionBackwardWeights& words, std::span<const std::int32_t> tail) {
  const AttentionCall call =
      ReadCall(context, words.attention, {&words.queries, &words.keys, &words.values, &words.dresult}, tail, {false});
  context.Require(words.mode == CUDNN_WGRAD_MODE_ADD || words.mode == CUDNN_WGRAD_MODE_SET, "neither added to nor set");
  if (context.failed()) return;
  const Attention& a = call.attention;
  if (a.weight_elements == 0) return;
  Real* const base = RawSpace<Real>(context, words.reserve, call.layout.elements());
  const DnnSpace gradients{words.gradients, words.weights.bytes};
  (void)ReadAttentionWeights<Real>(context, a, gradients);
  const DnnBlend blend{1, words.mode == CUDNN_WGRAD_MODE_ADD ? 1.0 : 0.0};
  const Output<Real> output(context, RawOperand(a.type, words.gradients, a.weight_elements), blend);
  std::array<const Real*, 4> from{}, coming{};
  for (const Side side : {kQueries, kKeys, kValues}) {
    if (a.sides[side].weights < 0 || context.failed()) continue;
    const SequenceData& data = call.side(side);
    from[side] = data.Read<Real>(context, data.address(), side == kQueries ? call.query_lengths : call.key_lengths);
    coming[side] = call.layout.GradientOf(base, side);
  }
  if (a.sides[kResult].weights >= 0 && !context.failed()) {
    from[kResult] = call.layout.ContextOf(base);
    coming[kResult] = ReadResultGradient(context, call, base, call.query_lengths);
  }
  if (context.failed()) return;
  for (const Side side : {kQueries, kKeys, kValues, kResult}) {
    if (a.sides[side].weights < 0) continue;
    const i64 rows = side == kQueries || side == kResult ? call.layout.query_rows() : call.layout.key_rows();
    WeightGradient(a.sides[side], from[side], coming[side], rows, output.view().data);
  }
  output.Finish();
}

}  // namespace

void RunAttentionBackwardData(Context& context) {
  std::vector<std::int32_t> tail;
  const auto words = context.Arguments<DnnAttentionBackwardData>(&tail);
  if (words.attention.type == CUDNN_DATA_DOUBLE) {
    BackwardData<double>(context, words, tail);
  } else {
    BackwardData<float>(context, words, tail);
  }
}

void RunAttentionBackwardWeights(Context& context) {
  std::vector<std::int32_t> tail;
  const auto words = context.Arguments<DnnAttentionBackwardWeights>(&tail);
  if (words.attention.type == CUDNN_DATA_DOUBLE) {
    BackwardWeights<double>(context, words, tail);
  } else {
    BackwardWeights<float>(context, words, tail);
  }
}

}  // namespace accelmesh::cpu_dnn
