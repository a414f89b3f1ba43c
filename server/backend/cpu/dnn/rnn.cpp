// What recurrent networks need and where it lies; their sequences in the program's memory.
#include "server/backend/cpu/dnn/rnn.h"

#include <algorithm>

#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

constexpr std::int32_t kSizeMax = 1 << 20;
constexpr std::int32_t kLayersMax = 1 << 10;
// Of one matrix: what oneDNN's products count with.
constexpr i64 kMatrixMax = (i64{1} << 31) - 1;

bool IsIn(std::int32_t value, std::int32_t last) { return value >= 0 && value <= last; }
bool IsSize(std::int32_t value) { return value >= 1 && value <= kSizeMax; }

int GatesOf(int cell) {
  switch (cell) {
    case CUDNN_LSTM: return 4;
    case CUDNN_GRU: return 3;
    default: return 1;
  }
}

void PlaceWeights(const DnnRnn& rnn, Network* network) {
  i64 at = 0;
  const auto take = [&](i64 elements) {
    const i64 begin = at;
    at += elements;
    return begin;
  };
  network->weights.resize(static_cast<std::size_t>(network->layers * network->directions));
  const i64 columns = network->GateColumns();
  for (int layer = 0; layer < network->layers; ++layer) {
    for (int direction = 0; direction < network->directions; ++direction) {
      LayerWeights& weights = network->weights[static_cast<std::size_t>(layer * network->directions + direction)];
      weights.input = layer == 0 ? network->input : network->OutputColumns();
      if (layer != 0 || !network->skips_input) weights.w = take(columns * weights.input);
      weights.r = take(columns * network->output);
      if (network->projects) weights.p = take(network->output * network->hidden);
    }
  }
  for (LayerWeights& weights : network->weights) {
    if (rnn.bias == CUDNN_RNN_SINGLE_INP_BIAS || rnn.bias == CUDNN_RNN_DOUBLE_BIAS) weights.w_bias = take(columns);
    if (rnn.bias == CUDNN_RNN_SINGLE_REC_BIAS || rnn.bias == CUDNN_RNN_DOUBLE_BIAS) weights.r_bias = take(columns);
  }
  network->weight_elements = at;
}

void Sizes(Context& context) {
  const auto words = context.Arguments<DnnRnnSizes>();
  Network network;
  Layout layout;
  const char* why = ReadNetwork(words.rnn, &network);
  if (why != nullptr) return context.Refuse(CUDNN_STATUS_BAD_PARAM, why);
  why = Layout::Make(network, words.steps, words.batch, words.is_training != 0, words.rnn.dropout.probability > 0,
                     &layout);
  if (why != nullptr) return context.Refuse(CUDNN_STATUS_NOT_SUPPORTED, why);
  const std::uint64_t bytes = words.rnn.type == CUDNN_DATA_DOUBLE ? sizeof(double) : sizeof(float);
  const std::uint64_t kept = bytes * static_cast<std::uint64_t>(layout.elements());
  const std::uint64_t backward = bytes * static_cast<std::uint64_t>(layout.backward_elements());
  const DnnRnnBytes answer = words.is_training != 0 ? DnnRnnBytes{backward, kept} : DnnRnnBytes{kept, 0};
  context.Answer(AsBytes(answer));
}

void Weights(Context& context) {
  const auto words = context.Arguments<DnnRnnWeights>();
  Network network;
  if (const char* const why = ReadNetwork(words.rnn, &network); why != nullptr)
    return context.Refuse(CUDNN_STATUS_BAD_PARAM, why);
  if (words.pseudo_layer < 0 || words.pseudo_layer >= static_cast<i64>(network.weights.size()))
    return context.Refuse(CUDNN_STATUS_BAD_PARAM, "no such layer");
  const std::uint64_t bytes = ElementBytes(words.rnn.type);
  const auto place = [&](i64 begin, i64 gate, i64 elements) {
    return begin < 0 ? kDnnNoPlace : static_cast<std::uint64_t>(begin + gate * elements) * bytes;
  };
  const LayerWeights& weights = network.weights[static_cast<std::size_t>(words.pseudo_layer)];
  DnnRnnPlaces answer;
  answer.bytes = static_cast<std::uint64_t>(network.weight_elements) * bytes;
  for (int gate = 0; gate < network.gates; ++gate) {
    const auto of_input = static_cast<std::size_t>(gate);
    const auto of_state = static_cast<std::size_t>(network.gates + gate);
    answer.linear_layers[of_input] = {place(weights.w, gate, network.hidden * weights.input),
                                      place(weights.w_bias, gate, network.hidden)};
    answer.linear_layers[of_state] = {place(weights.r, gate, network.hidden * network.output),
                                      place(weights.r_bias, gate, network.hidden)};
  }
  if (network.projects) answer.linear_layers[kDnnLinearLayersMax - 1].matrix = place(weights.p, 0, 0);
  context.Answer(AsBytes(answer));
}

}  // namespace

const char* ReadNetwork(const DnnRnn& rnn, Network* network) {
  if (!IsIn(rnn.cell, CUDNN_GRU) || !IsIn(rnn.bias, CUDNN_RNN_SINGLE_REC_BIAS) ||
      !IsIn(rnn.direction, CUDNN_BIDIRECTIONAL) || !IsIn(rnn.input, CUDNN_SKIP_INPUT))
    return "no such recurrent network";
  if (!IsSize(rnn.input_size) || !IsSize(rnn.hidden_size) || !IsSize(rnn.projection_size) || rnn.layers < 1 ||
      rnn.layers > kLayersMax)
    return "a recurrent network without, or with too many, layers or elements";
  if (rnn.type != CUDNN_DATA_FLOAT && rnn.type != CUDNN_DATA_DOUBLE && rnn.type != CUDNN_DATA_HALF &&
      rnn.type != CUDNN_DATA_BFLOAT16)
    return "a type that the software GPU does not compute with";
  if (rnn.projection_size > rnn.hidden_size || (rnn.projection_size != rnn.hidden_size && rnn.cell != CUDNN_LSTM))
    return "a projection of what has none";
  if (rnn.input == CUDNN_SKIP_INPUT && rnn.input_size != rnn.hidden_size) return "an input that cannot be skipped";
  network->cell = rnn.cell;
  network->layers = rnn.layers;
  network->directions = rnn.direction == CUDNN_BIDIRECTIONAL ? 2 : 1;
  network->gates = GatesOf(rnn.cell);
  network->input = rnn.input_size;
  network->hidden = rnn.hidden_size;
  network->output = rnn.projection_size;
  network->skips_input = rnn.input == CUDNN_SKIP_INPUT;
  network->projects = rnn.projection_size != rnn.hidden_size;
  network->clips = rnn.clip_mode == CUDNN_RNN_CLIP_MINMAX && rnn.cell == CUDNN_LSTM;
  if (network->clips && !(rnn.clip_low <= rnn.clip_high)) return "a clipping to nothing";
  network->clip_propagates_nan = rnn.clip_nan != CUDNN_NOT_PROPAGATE_NAN;
  network->clip_low = rnn.clip_low;
  network->clip_high = rnn.clip_high;
  const i64 widest = std::max(network->input, network->OutputColumns());
  if (network->GateColumns() * std::max(widest, network->hidden) > kMatrixMax) return "weights that are too large";
  PlaceWeights(rnn, network);
  return nullptr;
}

const char* Layout::Make(const Network& network, i64 steps, i64 batch, bool is_training, bool has_dropout,
                         Layout* layout) {
  constexpr i64 kStepsMax = 1 << 24;
  if (steps < 1 || batch < 1 || steps > kStepsMax || batch > kStepsMax) return "no sequences, or too many";
  Layout& l = *layout;
  l.is_training_ = is_training;
  l.has_masks_ = has_dropout && is_training;
  l.directions_ = network.directions;
  l.rows_ = steps * batch;
  l.gate_columns_ = network.GateColumns();
  l.output_columns_ = network.OutputColumns();
  l.widest_ = std::max(network.input, l.output_columns_);
  if (l.rows_ > kMatrixMax || l.rows_ * std::max(l.widest_, l.gate_columns_) > kMatrixMax)
    return "sequences that are too large";
  l.inner_columns_ = network.cell == CUDNN_LSTM || network.cell == CUDNN_GRU ? network.hidden : 0;
  l.inner_gradient_columns_ = network.cell == CUDNN_GRU ? network.hidden : 0;
  l.output_gradient_columns_ = network.projects ? network.output : 0;
  i64 columns = l.gate_columns_ + l.inner_columns_;
  if (is_training) columns += l.gate_columns_ + l.inner_gradient_columns_ + l.output_gradient_columns_;
  l.kept_elements_ = l.rows_ * columns;
  l.outputs_at_ = l.kept_elements_ * (is_training ? network.layers * network.directions : 1);
  l.masks_at_ = l.outputs_at_ + (is_training ? network.layers : 2) * l.rows_ * l.output_columns_;
  l.elements_ = l.masks_at_ + (l.has_masks_ ? network.layers - 1 : 0) * l.rows_ * l.output_columns_;
  return nullptr;
}

Sequences::Sequences(Context& context, const DnnSequences& words, std::span<const std::int32_t> lengths, i64 vector)
    : type_(words.type), layout_(words.layout), steps_(words.steps), batch_(words.batch), vector_(vector) {
  context.Require(
      steps_ >= 1 && batch_ >= 1 && words.vector == vector && IsIn(layout_, CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED),
      "no sequences, or of another vector");
  context.Require(static_cast<i64>(lengths.size()) == batch_ + batch_ % 2, "as many lengths as there are sequences");
  if (context.failed()) return;
  lengths_ = lengths.first(static_cast<std::size_t>(batch_));
  const bool is_packed = layout_ == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED;
  i64 rows = 0;
  for (std::size_t b = 0; b < lengths_.size(); ++b) {
    context.Require(lengths_[b] >= 0 && lengths_[b] <= steps_, "a sequence that is too long");
    context.Require(!is_packed || b == 0 || lengths_[b] <= lengths_[b - 1], "packed sequences that are not sorted");
    rows += lengths_[b];
  }
  if (context.failed()) return;
  elements_ = (is_packed ? rows : steps_ * batch_) * vector_;
  if (!is_packed) return;
  context.Require(rows > 0, "sequences of no steps");
  i64 begin = 0;
  i64 active = batch_;
  for (i64 step = 0; step < lengths_[0]; ++step) {
    while (active > 0 && !IsActive(step, active - 1)) --active;
    begins_.push_back(begin);
    begin += active;
  }
}

// Calls visit(row, element, is_active); rows that packed sequences have no room for have element -1.
template <typename Visitor>
void Sequences::Each(Visitor visit) const {
  for (i64 step = 0; step < steps_; ++step) {
    for (i64 sequence = 0; sequence < batch_; ++sequence) {
      const bool is_active = IsActive(step, sequence);
      i64 place = -1;
      switch (layout_) {
        case CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED: place = step * batch_ + sequence; break;
        case CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED: place = sequence * steps_ + step; break;
        default:
          if (is_active) place = begins_[static_cast<std::size_t>(step)] + sequence;
      }
      visit(step * batch_ + sequence, place < 0 ? -1 : place * vector_, is_active);
    }
  }
}

template <typename Real>
void Sequences::Read(Context& context, std::uint64_t address, Real* rows) const {
  if (context.failed()) return;
  const Stored stored = context.Find(RawOperand(type_, address, elements_));
  if (context.failed()) return;
  Visit(stored, [&](auto* from) {
    Each([&](i64 row, i64 element, bool is_active) {
      Real* const to = rows + row * vector_;
      if (!is_active) {
        std::fill_n(to, vector_, Real{0});
        return;
      }
      for (i64 j = 0; j < vector_; ++j) to[j] = static_cast<Real>(ToReal(from[element + j]));
    });
  });
}

template <typename Real>
void Sequences::Write(Context& context, std::uint64_t address, const Real* rows, double padding) const {
  if (context.failed()) return;
  const Stored stored = context.Find(RawOperand(type_, address, elements_));
  if (context.failed()) return;
  Visit(stored, [&](auto* to) {
    using T = std::remove_reference_t<decltype(*to)>;
    Each([&](i64 row, i64 element, bool is_active) {
      if (element < 0) return;
      for (i64 j = 0; j < vector_; ++j) {
        to[element + j] = FromReal<T>(is_active ? rows[row * vector_ + j] : static_cast<Real>(padding));
      }
    });
  });
}

template void Sequences::Read(Context&, std::uint64_t, float*) const;
template void Sequences::Read(Context&, std::uint64_t, double*) const;
template void Sequences::Write(Context&, std::uint64_t, const float*, double) const;
template void Sequences::Write(Context&, std::uint64_t, const double*, double) const;

void AddRecurrent(Table& table) {
  table[kDnnFunction<DnnRnnSizes>] = &Sizes;
  table[kDnnFunction<DnnRnnWeights>] = &Weights;
  table[kDnnFunction<DnnRnnForward>] = &RunRnnForward;
  table[kDnnFunction<DnnRnnBackwardData>] = &RunRnnBackwardData;
  table[kDnnFunction<DnnRnnBackwardWeights>] = &RunRnnBackwardWeights;
}

}  // namespace accelmesh::cpu_dnn
