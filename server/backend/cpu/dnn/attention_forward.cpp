// Multi-head attention forward: a product for each projection, and for each head of each sequence one of its queries
// and keys and one of what the softmax makes of that and its values.
#include <cmath>

#include "server/backend/cpu/dnn/attention.h"
#include "server/backend/cpu/dnn/dropout.h"

namespace accelmesh::cpu_dnn {
namespace {

// What a query step may look at.
struct Window {
  i64 begin = 0;
  i64 end = 0;
};

// Softmax of a window's scores; 0 for the others, and for all if there is none.
template <typename Real>
void Softmax(Real* scores, i64 count, const Window& window, Real scale) {
  if (window.begin >= window.end) {
    std::fill_n(scores, count, Real{0});
    return;
  }
  std::fill_n(scores, window.begin, Real{0});
  std::fill(scores + window.end, scores + count, Real{0});
  Real largest = scale * scores[window.begin];
  for (i64 i = window.begin; i < window.end; ++i) {
    scores[i] *= scale;
    // Keeps what is no number, so that the result is none.
    if (!(scores[i] <= largest)) largest = scores[i];
  }
  Real sum = 0;
  for (i64 i = window.begin; i < window.end; ++i) sum += scores[i] = std::exp(scores[i] - largest);
  for (i64 i = window.begin; i < window.end; ++i) scores[i] /= sum;
}

// A side of a call as its heads see it: projected, or as it came.
template <typename Real>
Heads<Real> HeadsOf(const AttentionCall& call, Side side, const Real* weights, Real* rows, Real* base) {
  const Projection& projection = call.attention.sides[side];
  const SequenceData& data = call.side(side);
  Real* const projected = call.layout.ProjectedOf(base, side);
  if (projected != nullptr) Project(projection, weights, rows, data.sequences() * data.steps(), projected);
  return {projected != nullptr ? projected : rows, projection.columns, call.attention.HeadStride(side), data.steps()};
}

template <typename Real>
void Forward(Context& context, const DnnAttentionForward& words, std::span<const std::int32_t> tail) {
  const bool is_training = words.is_training != 0;
  const AttentionCall call =
      ReadCall(context, words.attention, {&words.queries, &words.keys, &words.values, &words.result}, tail,
               {true, is_training, words.step < 0 ? -1 : words.step});
  if (context.failed()) return;
  const Attention& a = call.attention;
  const SequenceData &q = call.side(kQueries), &k = call.side(kKeys), &result = call.side(kResult);
  const i64 columns = a.sides[kResult].columns;
  context.Require(words.residuals == 0 || q.vector() == columns, "residuals that are not as long as the result");
  const std::vector<std::int32_t> query_lengths =
      ReadLengths(context, words.query_lengths, q.sequences(), words.queries.dims[CUDNN_SEQDATA_TIME_DIM]);
  const std::vector<std::int32_t> key_lengths = ReadLengths(context, words.key_lengths, k.sequences(), k.steps());
  const Real* const weights = ReadAttentionWeights<Real>(context, a, words.weights);
  Real* const base = RawSpace<Real>(context, is_training ? words.reserve : words.workspace, call.layout.elements());
  // That the result is memory is known before anything changes.
  result.Check(context, result.address());
  if (context.failed()) return;
  Real* const queries = q.Read<Real>(context, q.address(), query_lengths);
  Real* const keys = k.Read<Real>(context, k.address(), key_lengths);
  Real* const values = call.side(kValues).Read<Real>(context, call.side(kValues).address(), key_lengths);
  const Real* const residuals = words.residuals == 0 ? nullptr : q.Read<Real>(context, words.residuals, query_lengths);
  if (context.failed()) return;
  const DnnDropout& dropout = words.attention.dropout;
  const DnnDropout& result_dropout = words.attention.result_dropout;
  const Drawing drawing(context, is_training ? dropout : DnnDropout{}, call.layout.weight_elements());
  const Drawing result_drawing(context, is_training ? result_dropout : DnnDropout{}, call.layout.result_elements());
  if (context.failed()) return;

  const Heads<Real> query_heads = HeadsOf(call, kQueries, weights, queries, base),
                    key_heads = HeadsOf(call, kKeys, weights, keys, base),
                    value_heads = HeadsOf(call, kValues, weights, values, base);
  const i64 pairs = q.steps() * k.steps(), context_columns = a.ContextColumns();
  Real* const contexts = call.layout.ContextOf(base);
  std::vector<Real> dropped(call.layout.MaskOf(base, 0) == nullptr ? 0 : static_cast<std::size_t>(pairs));
  for (i64 sequence = 0; sequence < q.sequences(); ++sequence) {
    const i64 of_keys = sequence / q.beams(), keys_end = key_lengths[static_cast<std::size_t>(of_keys)];
    for (i64 head = 0; head < a.heads; ++head) {
      const i64 number = call.NumberOf(sequence, head);
      Real* const shares = call.layout.WeightsOf(base, number);
      Multiply(q.steps(), k.steps(), a.query_head, Plain<Real>(query_heads.At(sequence, head), query_heads.columns),
               Transposed<Real>(key_heads.At(of_keys, head), key_heads.columns), false, shares, k.steps());
      for (i64 t = 0; t < q.steps(); ++t) {
        const auto step = static_cast<std::size_t>(t);
        const Window window{std::clamp<i64>(call.windows.begins[step], 0, keys_end),
                            std::clamp<i64>(call.windows.ends[step], 0, keys_end)};
        Softmax(shares + t * k.steps(), k.steps(), window, static_cast<Real>(a.scale));
      }
      const Real* applied = shares;
      if (Real* const mask = call.layout.MaskOf(base, number); mask != nullptr) {
        for (i64 i = 0; i < pairs; ++i) {
          mask[i] = drawing.Keeps(number * pairs + i) ? static_cast<Real>(drawing.scale()) : Real{0};
          dropped[static_cast<std::size_t>(i)] = shares[i] * mask[i];
        }
        applied = dropped.data();
      }
      Multiply(q.steps(), a.value_head, k.steps(), Plain<Real>(applied, k.steps()),
               Plain<Real>(value_heads.At(of_keys, head), value_heads.columns), false,
               contexts + sequence * q.steps() * context_columns + head * a.value_head, context_columns);
    }
  }

  const i64 rows = call.layout.query_rows(), elements = rows * columns;
  Real* out = contexts;
  if (a.sides[kResult].weights >= 0) {
    out = context.Scratch<Real>(Shape{1, {elements}, {1}}).data;
    Project(a.sides[kResult], weights, contexts, rows, out);
  }
  // The context itself may be the result: then the way back does not need it.
  if (Real* const mask = call.layout.ResultMaskOf(base); mask != nullptr) {
    for (i64 i = 0; i < elements; ++i) {
      mask[i] = result_drawing.Keeps(i) ? static_cast<Real>(result_drawing.scale()) : Real{0};
      out[i] *= mask[i];
    }
  }
  for (i64 i = 0; residuals != nullptr && i < elements; ++i) out[i] += residuals[i];
  result.Write(context, result.address(), out, query_lengths, words.result.has_padding != 0 ? words.result.padding : 0);
}

}  // namespace

void RunAttentionForward(Context& context) {
  std::vector<std::int32_t> tail;
  const auto words = context.Arguments<DnnAttentionForward>(&tail);
  if (words.attention.type == CUDNN_DATA_DOUBLE) {
    Forward<double>(context, words, tail);
  } else {
    Forward<float>(context, words, tail);
  }
}

}  // namespace accelmesh::cpu_dnn
