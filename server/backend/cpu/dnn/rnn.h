// Recurrent networks of the software GPU: where everything lies, and the steps of a layer.
//
// Inside, sequences are rows of a matrix: row t * batch + b is step t of sequence b, also behind the sequence's end,
// where it is 0. Everything is computed in float or double. Weights lie, for each layer and direction, as the matrices
// of its linear layers in their order, without gaps, and behind all matrices as the biases in the same order.
#pragma once

#include <span>
#include <vector>

#include "server/backend/cpu/dnn/context.h"
#include "server/backend/cpu/dnn/dropout.h"
#include "server/backend/cpu/dnn/raw.h"

namespace accelmesh::cpu_dnn {

// Where the weights of a layer and direction begin, in elements; -1: it has none such.
struct LayerWeights {
  i64 input = 0;    // the size of what it gets
  i64 w = -1;       // gates * hidden rows of `input`
  i64 r = -1;       // gates * hidden rows of `output`
  i64 p = -1;       // `output` rows of `hidden`
  i64 w_bias = -1;  // gates * hidden
  i64 r_bias = -1;
};

struct Network {
  int cell = 0;
  int layers = 0;
  int directions = 1;
  int gates = 1;
  i64 input = 0;
  i64 hidden = 0;
  i64 output = 0;  // of a direction
  bool skips_input = false;
  bool projects = false;
  bool clips = false;
  bool clip_propagates_nan = false;
  double clip_low = 0;
  double clip_high = 0;
  std::vector<LayerWeights> weights;  // by layer and direction
  i64 weight_elements = 0;

  i64 GateColumns() const { return gates * hidden; }
  i64 OutputColumns() const { return directions * output; }
  const LayerWeights& Weights(int layer, int direction) const {
    return weights[static_cast<std::size_t>(layer * directions + direction)];
  }
};

inline std::uint64_t ElementBytes(int type) {
  if (type == CUDNN_DATA_DOUBLE) return sizeof(double);
  return type == CUDNN_DATA_FLOAT ? sizeof(float) : sizeof(std::uint16_t);
}
// Why words are no network that can be computed; null if they are one.
const char* ReadNetwork(const DnnRnn& rnn, Network* network);

// What a layer and direction keeps for the way back, each a matrix of as many rows as there are. Null: nothing.
template <typename Real>
struct Kept {
  Real* gates = nullptr;             // as they act
  Real* inner = nullptr;             // `hidden` columns: an LSTM's cells; what a GRU's third gate gets of the state
  Real* gate_gradients = nullptr;    // of what comes to the gates
  Real* inner_gradients = nullptr;   // GRU: of `inner`
  Real* output_gradients = nullptr;  // with a projection: of what it makes
};

// How the elements of a reserve are shared out, or of the workspace of who only goes forward.
class Layout {
 public:
  // Null, or why not.
  static const char* Make(const Network& network, i64 steps, i64 batch, bool is_training, bool has_dropout,
                          Layout* layout);
  i64 elements() const { return elements_; }
  // Of the workspace of the way back: two matrices as wide as the widest that goes from layer to layer.
  i64 backward_elements() const { return 2 * rows_ * widest_; }
  i64 rows() const { return rows_; }
  i64 widest() const { return widest_; }

  template <typename Real>
  Kept<Real> KeptOf(Real* base, int layer, int direction) const {
    Real* at = base + (is_training_ ? (layer * directions_ + direction) * kept_elements_ : 0);
    const auto take = [&](i64 columns) {
      Real* const taken = columns == 0 ? nullptr : at;
      at += rows_ * columns;
      return taken;
    };
    Kept<Real> kept;
    kept.gates = take(gate_columns_);
    kept.inner = take(inner_columns_);
    if (!is_training_) return kept;
    kept.gate_gradients = take(gate_columns_);
    kept.inner_gradients = take(inner_gradient_columns_);
    kept.output_gradients = take(output_gradient_columns_);
    return kept;
  }
  // What a layer puts out; those who only go forward keep two.
  template <typename Real>
  Real* OutputOf(Real* base, int layer) const {
    return base + outputs_at_ + (is_training_ ? layer : layer % 2) * rows_ * output_columns_;
  }
  // What a layer's input is multiplied by; null without dropout.
  template <typename Real>
  Real* MaskOf(Real* base, int layer) const {
    return layer == 0 || !has_masks_ ? nullptr : base + masks_at_ + (layer - 1) * rows_ * output_columns_;
  }

 private:
  bool is_training_ = false;
  bool has_masks_ = false;
  int directions_ = 1;
  i64 rows_ = 0;
  i64 widest_ = 0;
  i64 gate_columns_ = 0;
  i64 inner_columns_ = 0;
  i64 inner_gradient_columns_ = 0;
  i64 output_gradient_columns_ = 0;
  i64 output_columns_ = 0;
  i64 kept_elements_ = 0;
  i64 outputs_at_ = 0;
  i64 masks_at_ = 0;
  i64 elements_ = 0;
};

// The sequences of a call: how long each is, and where each step lies in the program's memory.
class Sequences {
 public:
  // Fails the context if they are none, or not in memory.
  Sequences(Context& context, const DnnSequences& words, std::span<const std::int32_t> lengths, i64 vector);
  i64 steps() const { return steps_; }
  i64 batch() const { return batch_; }
  bool IsActive(i64 step, i64 sequence) const { return step < lengths_[static_cast<std::size_t>(sequence)]; }

  // Fails the context if it is not memory.
  void Check(Context& context, std::uint64_t address) const {
    if (!context.failed()) context.Find(RawOperand(type_, address, elements_));
  }
  // All rows, with zeros behind the ends.
  template <typename Real>
  void Read(Context& context, std::uint64_t address, Real* rows) const;
  // Writes rows, and `padding` behind the ends where there is room for it.
  template <typename Real>
  void Write(Context& context, std::uint64_t address, const Real* rows, double padding) const;

 private:
  template <typename Visitor>
  void Each(Visitor visit) const;

  int type_ = 0;
  int layout_ = 0;
  i64 steps_ = 0;
  i64 batch_ = 0;
  i64 vector_ = 0;
  i64 elements_ = 0;
  std::span<const std::int32_t> lengths_;
  std::vector<i64> begins_;  // of the steps of packed sequences
};

// The weights of a call. They are as large as the network says, or the context fails.
template <typename Real>
const Real* ReadWeights(Context& context, const Network& network, const DnnRnn& rnn, const DnnSpace& space) {
  context.Require(static_cast<std::uint64_t>(network.weight_elements) <= space.bytes / ElementBytes(rnn.type),
                  "weights that are too few");
  return RawIn<Real>(context, rnn.type, space.address, network.weight_elements);
}
// The states of a call: layers and directions, batch, vector.
template <typename Real>
const Real* ReadStates(Context& context, const DnnRnn& rnn, std::uint64_t address, i64 elements) {
  return address == 0 ? nullptr : RawIn<Real>(context, rnn.type, address, elements);
}

void RunRnnForward(Context& context);
void RunRnnBackwardData(Context& context);
void RunRnnBackwardWeights(Context& context);

}  // namespace accelmesh::cpu_dnn
