// What an attention needs and where it lies; its sequences in the program's memory.
#include "server/backend/cpu/dnn/attention.h"

#include <algorithm>

#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

constexpr std::int32_t kSizeMax = 1 << 20;
constexpr std::int32_t kHeadsMax = 1 << 12;
constexpr i64 kStepsMax = 1 << 20;  // and sequences
// Of one matrix: what oneDNN's products count with.
constexpr i64 kMatrixMax = (i64{1} << 31) - 1;

bool IsSize(std::int32_t value) { return value >= 1 && value <= kSizeMax; }
bool IsProjection(std::int32_t value) { return value >= 0 && value <= kSizeMax; }
bool IsKnown(std::int32_t type) {
  return type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_DOUBLE || type == CUDNN_DATA_HALF ||
         type == CUDNN_DATA_BFLOAT16;
}
std::uint64_t BytesOf(int type) {
  if (type == CUDNN_DATA_DOUBLE) return sizeof(double);
  return type == CUDNN_DATA_FLOAT ? sizeof(float) : sizeof(std::uint16_t);
}

void PlaceWeights(bool has_biases, const std::array<bool, 4>& projects, Attention* attention) {
  i64 at = 0;
  for (std::size_t side = 0; side < attention->sides.size(); ++side) {
    Projection& projection = attention->sides[side];
    if (!projects[side]) continue;
    projection.weights = at;
    at += projection.inner * projection.columns;
  }
  for (std::size_t side = 0; side < attention->sides.size() && has_biases; ++side) {
    Projection& projection = attention->sides[side];
    if (!projects[side]) continue;
    projection.bias = at;
    at += projection.columns;
  }
  attention->weight_elements = at;
}

void Sizes(Context& context) {
  const auto words = context.Arguments<DnnAttentionSizes>();
  Attention attention;
  if (const char* const why = ReadAttention(words.attention, &attention); why != nullptr)
    return context.Refuse(CUDNN_STATUS_NOT_SUPPORTED, why);
  const DnnAttention& most = words.attention;
  AttentionLayout layout;
  const char* const why = AttentionLayout::Make(
      attention, most, {most.batch, most.beams, most.query_steps, most.key_steps}, words.is_training != 0, &layout);
  if (why != nullptr) return context.Refuse(CUDNN_STATUS_NOT_SUPPORTED, why);
  const std::uint64_t kept =
      static_cast<std::uint64_t>(layout.elements()) * (most.type == CUDNN_DATA_DOUBLE ? sizeof(double) : sizeof(float));
  DnnAttentionBytes answer;
  answer.weights = static_cast<std::uint64_t>(attention.weight_elements) * BytesOf(most.type);
  (words.is_training != 0 ? answer.reserve : answer.workspace) = kept;
  context.Answer(AsBytes(answer));
}

void Weights(Context& context) {
  const auto words = context.Arguments<DnnAttentionWeights>();
  Attention attention;
  if (const char* const why = ReadAttention(words.attention, &attention); why != nullptr)
    return context.Refuse(CUDNN_STATUS_NOT_SUPPORTED, why);
  if (words.kind < CUDNN_MH_ATTN_Q_WEIGHTS || words.kind > CUDNN_MH_ATTN_O_BIASES)
    return context.Refuse(CUDNN_STATUS_BAD_PARAM, "no such weights");
  const bool is_bias = words.kind >= CUDNN_MH_ATTN_Q_BIASES;
  const auto side = static_cast<std::size_t>(words.kind) % attention.sides.size();
  const Projection& projection = attention.sides[side];
  const auto heads = static_cast<std::int32_t>(attention.heads),
             columns = static_cast<std::int32_t>(projection.columns);
  const std::int32_t of_head = columns / heads, inner = static_cast<std::int32_t>(projection.inner);
  DnnAttentionPlace answer;
  const i64 begin = is_bias ? projection.bias : projection.weights;
  if (begin >= 0) {
    answer.offset = static_cast<std::uint64_t>(begin) * BytesOf(words.attention.type);
    if (side != kResult) {
      // Heads lie side by side in what goes out,
      answer.dims = {heads, of_head, is_bias ? 1 : inner};
      answer.strides = {of_head, 1, is_bias ? 1 : columns};
    } else if (is_bias) {
      answer.dims = {1, columns, 1};
      answer.strides = {columns, 1, 1};
    } else {
      // or one below the other in what comes in.
      answer.dims = {heads, columns, inner / heads};
      answer.strides = {inner / heads * columns, 1, columns};
    }
  }
  context.Answer(AsBytes(answer));
}

}  // namespace

const char* ReadAttention(const DnnAttention& words, Attention* attention) {
  if ((words.mode & ~(kDnnAttentionOneToOne | kDnnAttentionBiases)) != 0 || words.heads < 1 ||
      words.heads > kHeadsMax || words.scale < 0)
    return "no such attention, or one of too many heads";
  if (!IsSize(words.query_size) || !IsSize(words.key_size) || !IsSize(words.value_size) ||
      !IsProjection(words.query_projection) || !IsProjection(words.key_projection) ||
      !IsProjection(words.value_projection) || !IsProjection(words.result_projection))
    return "an attention without, or with too many, elements";
  if ((words.mode & kDnnAttentionOneToOne) != 0 && words.beams > 1) return "beams that have keys of their own";
  if (!IsKnown(words.type)) return "a type that the software GPU does not compute with";
  Attention& a = *attention;
  a.heads = words.heads;
  a.query_head = words.query_projection > 0 ? words.query_projection : words.query_size;
  a.value_head = words.value_projection > 0 ? words.value_projection : words.value_size;
  a.scale = words.scale;
  a.type = words.type;
  if (a.query_head != (words.key_projection > 0 ? words.key_projection : words.key_size))
    return "queries that are not as long as keys";
  const std::array<bool, 4> projects{words.query_projection > 0, words.key_projection > 0, words.value_projection > 0,
                                     words.result_projection > 0};
  a.sides[kQueries].inner = words.query_size;
  a.sides[kKeys].inner = words.key_size;
  a.sides[kValues].inner = words.value_size;
  a.sides[kResult].inner = a.ContextColumns();
  const std::array<i64, 4> columns{a.heads * a.query_head, a.heads * a.query_head, a.heads * a.value_head,
                                   i64{words.result_projection}};
  for (std::size_t side = 0; side < a.sides.size(); ++side) {
    Projection& projection = a.sides[side];
    projection.columns = projects[side] ? columns[side] : projection.inner;
    if (projection.inner * projection.columns > kMatrixMax && projects[side]) return "weights that are too large";
    if (projection.inner > kMatrixMax) return "heads that are too large";
  }
  PlaceWeights((words.mode & kDnnAttentionBiases) != 0, projects, attention);
  return a.weight_elements > kMatrixMax ? "weights that are too large" : nullptr;
}

const char* AttentionLayout::Make(const Attention& attention, const DnnAttention& words, const Extent& extent,
                                  bool is_training, AttentionLayout* layout) {
  if (extent.batch < 1 || extent.beams < 1 || extent.query_steps < 1 || extent.key_steps < 1 ||
      extent.batch > kStepsMax || extent.beams > kStepsMax || extent.query_steps > kStepsMax ||
      extent.key_steps > kStepsMax || extent.batch * extent.beams > kStepsMax)
    return "no sequences, or too many";
  AttentionLayout& l = *layout;
  l.is_training_ = is_training;
  l.query_rows_ = extent.batch * extent.beams * extent.query_steps;
  l.key_rows_ = extent.batch * extent.key_steps;
  l.pairs_ = extent.query_steps * extent.key_steps;
  l.all_ = extent.batch * extent.beams * attention.heads;
  if (l.query_rows_ > kMatrixMax || l.key_rows_ > kMatrixMax || l.pairs_ > kMatrixMax)
    return "sequences that are too large";
  i64 at = 0;
  bool is_too_large = false;
  const auto take = [&](i64 rows, i64 columns) {
    is_too_large = is_too_large || rows * columns > kMatrixMax;
    const i64 begin = at;
    if (!is_too_large) at += rows * columns;
    return begin;
  };
  const auto rows_of = [&](std::size_t side) { return side == kQueries ? l.query_rows_ : l.key_rows_; };
  for (const std::size_t side : {kQueries, kKeys, kValues}) {
    const Projection& projection = attention.sides[side];
    is_too_large = is_too_large || rows_of(side) * std::max(projection.inner, projection.columns) > kMatrixMax;
    if (projection.weights < 0) continue;
    l.projected_[side] = take(rows_of(side), projection.columns);
    if (is_training) l.gradients_[side] = take(rows_of(side), projection.columns);
  }
  l.context_ = take(l.query_rows_, attention.ContextColumns());
  l.result_elements_ = l.query_rows_ * attention.sides[kResult].columns;
  is_too_large = is_too_large || l.result_elements_ > kMatrixMax;
  // No memory is that large.
  constexpr i64 kElementsMax = i64{1} << 46;
  if (is_too_large || l.pairs_ > kElementsMax / l.all_) return "sequences that are too large";
  l.weights_ = at;
  const i64 weights = is_training ? l.pairs_ * l.all_ : l.pairs_;
  at += weights;
  if (is_training && words.dropout.probability > 0) {
    l.mask_ = at;
    at += weights;
  }
  if (is_training && words.result_dropout.probability > 0) {
    l.result_mask_ = at;
    at += l.result_elements_;
  }
  l.elements_ = at;
  return nullptr;
}

SequenceData::SequenceData(Context& context, const DnnSequenceData& words, int type, i64 vector)
    : type_(type), vector_(vector), address_(words.address) {
  unsigned seen = 0;
  for (const std::int32_t axis : words.axes) seen |= axis >= 0 && axis < 4 ? 1u << axis : 0;
  const bool is_ordered = seen == 0b1111 && words.axes[3] == CUDNN_SEQDATA_VECT_DIM;
  context.Require(is_ordered && words.dims[CUDNN_SEQDATA_VECT_DIM] == vector,
                  "sequences of another vector, or whose vectors are scattered");
  if (context.failed()) return;
  i64 stride = 1;
  for (std::size_t d = words.axes.size(); d-- > 0;) {
    const auto axis = static_cast<std::size_t>(words.axes[d]);
    strides_[axis] = stride;
    context.Require(words.dims[axis] >= 1 && stride <= kMatrixMax / std::max(words.dims[axis], 1),
                    "no sequences, or too many");
    if (context.failed()) return;
    stride *= words.dims[axis];
  }
  elements_ = stride;
  steps_ = words.dims[CUDNN_SEQDATA_TIME_DIM];
  batch_ = words.dims[CUDNN_SEQDATA_BATCH_DIM];
  beams_ = words.dims[CUDNN_SEQDATA_BEAM_DIM];
}

// Calls visit(row, element, is_active).
template <typename Visitor>
void SequenceData::Each(std::span<const std::int32_t> lengths, Visitor visit) const {
  i64 row = 0;
  for (i64 b = 0; b < batch_; ++b) {
    for (i64 e = 0; e < beams_; ++e) {
      const i64 begin = b * strides_[CUDNN_SEQDATA_BATCH_DIM] + e * strides_[CUDNN_SEQDATA_BEAM_DIM];
      const i64 length = lengths[static_cast<std::size_t>(b * beams_ + e)];
      for (i64 t = first_; t < first_ + steps_; ++t, ++row)
        visit(row, begin + t * strides_[CUDNN_SEQDATA_TIME_DIM], t < length);
    }
  }
}

template <typename Real>
Real* SequenceData::Read(Context& context, std::uint64_t address, std::span<const std::int32_t> lengths) const {
  if (context.failed()) return nullptr;
  const Stored stored = context.Find(RawOperand(type_, address, elements_));
  if (context.failed()) return nullptr;
  Real* const rows = context.Scratch<Real>(Shape{1, {sequences() * steps_ * vector_}, {1}}).data;
  Visit(stored, [&](auto* from) {
    Each(lengths, [&](i64 row, i64 element, bool is_active) {
      Real* const to = rows + row * vector_;
      for (i64 j = 0; j < vector_; ++j) to[j] = is_active ? static_cast<Real>(ToReal(from[element + j])) : Real{0};
    });
  });
  return rows;
}

template <typename Real>
void SequenceData::Write(Context& context, std::uint64_t address, const Real* rows,
                         std::span<const std::int32_t> lengths, double padding) const {
  if (context.failed()) return;
  const Stored stored = context.Find(RawOperand(type_, address, elements_));
  if (context.failed()) return;
  Visit(stored, [&](auto* to) {
    using T = std::remove_reference_t<decltype(*to)>;
    Each(lengths, [&](i64 row, i64 element, bool is_active) {
      for (i64 j = 0; j < vector_; ++j)
        to[element + j] = FromReal<T>(is_active ? rows[row * vector_ + j] : static_cast<Real>(padding));
    });
  });
}

template float* SequenceData::Read(Context&, std::uint64_t, std::span<const std::int32_t>) const;
template double* SequenceData::Read(Context&, std::uint64_t, std::span<const std::int32_t>) const;
template void SequenceData::Write(Context&, std::uint64_t, const float*, std::span<const std::int32_t>, double) const;
template void SequenceData::Write(Context&, std::uint64_t, const double*, std::span<const std::int32_t>, double) const;

AttentionCall ReadCall(Context& context, const DnnAttention& words, const SideWords& sides,
                       std::span<const std::int32_t> tail, const CallOptions& options) {
  AttentionCall call;
  const char* why = ReadAttention(words, &call.attention);
  context.Require(why == nullptr, why);
  if (context.failed()) return call;
  const std::array<i64, 4> vectors{words.query_size, words.key_size, words.value_size,
                                   call.attention.sides[kResult].columns};
  for (std::size_t side = 0; side < sides.size(); ++side)
    call.sides.emplace_back(context, *sides[side], words.type, vectors[side]);
  if (context.failed()) return call;
  const SequenceData &q = call.side(kQueries), &k = call.side(kKeys);
  const auto same = [](const SequenceData& a, const SequenceData& b) {
    return a.steps() == b.steps() && a.batch() == b.batch() && a.beams() == b.beams();
  };
  context.Require(
      same(q, call.side(kResult)) && same(k, call.side(kValues)) && q.batch() == k.batch() && k.beams() == 1,
      "sequences of different sizes");
  context.Require(options.step < q.steps(), "no such step");
  const auto queries = static_cast<std::size_t>(q.sequences()), keys = static_cast<std::size_t>(k.sequences());
  context.Require(queries + keys <= tail.size() && q.steps() <= kStepsMax, "as many lengths as there are sequences");
  if (context.failed()) return call;
  auto windows =
      UnpackWindows(tail.subspan(queries + keys), options.has_windows ? static_cast<std::size_t>(q.steps()) : 0);
  context.Require(windows.has_value(), "as many windows as there are steps");
  if (context.failed()) return call;
  call.windows = std::move(*windows);
  const auto lengths = [&](std::size_t begin, std::size_t count, i64 steps) {
    const std::span<const std::int32_t> some = tail.subspan(begin, count);
    for (const std::int32_t length : some)
      context.Require(length >= 0 && length <= steps, "a sequence that is too long");
    return std::vector<std::int32_t>(some.begin(), some.end());
  };
  call.query_lengths = lengths(0, queries, q.steps());
  call.key_lengths = lengths(queries, keys, k.steps());
  if (options.step >= 0) {
    call.sides[kQueries].Select(options.step);
    call.sides[kResult].Select(options.step);
    const auto step = static_cast<std::size_t>(options.step);
    call.windows = {{call.windows.begins[step]}, {call.windows.ends[step]}};
  }
  why = AttentionLayout::Make(call.attention, words, {q.batch(), q.beams(), q.steps(), k.steps()}, options.is_training,
                              &call.layout);
  context.Require(why == nullptr, why);
  return call;
}

std::vector<std::int32_t> ReadLengths(Context& context, std::uint64_t address, i64 count, i64 steps) {
  // Numbers as large as a float's.
  static_assert(sizeof(std::int32_t) == sizeof(float));
  const Stored stored = context.Find(RawOperand(CUDNN_DATA_FLOAT, address, count));
  if (context.failed()) return {};
  std::vector<std::int32_t> lengths(static_cast<std::size_t>(count));
  std::memcpy(lengths.data(), stored.memory, lengths.size() * sizeof(std::int32_t));
  for (std::int32_t& length : lengths) length = static_cast<std::int32_t>(std::clamp<i64>(length, 0, steps));
  return lengths;
}

void AddAttention(Table& table) {
  table[kDnnFunction<DnnAttentionSizes>] = &Sizes;
  table[kDnnFunction<DnnAttentionWeights>] = &Weights;
  table[kDnnFunction<DnnAttentionForward>] = &RunAttentionForward;
  table[kDnnFunction<DnnAttentionBackwardData>] = &RunAttentionBackwardData;
  table[kDnnFunction<DnnAttentionBackwardWeights>] = &RunAttentionBackwardWeights;
}

}  // namespace accelmesh::cpu_dnn
