// Recurrent networks backward: to the data, which keeps what comes to the gates, and from that to the weights.
#include <cmath>
#include <optional>

#include "server/backend/cpu/dnn/product.h"
#include "server/backend/cpu/dnn/rnn.h"

namespace accelmesh::cpu_dnn {
namespace {

template <typename Real>
const Real* StateOf(const Real* all, i64 pseudo_layer, i64 elements) {
  return all == nullptr ? nullptr : all + pseudo_layer * elements;
}

// What a layer and direction reads: its kept values, its result and what came in as states.
template <typename Real>
struct Past {
  Kept<Real> kept;
  const Real* y = nullptr;  // of all directions
  const Real* hx = nullptr;
  const Real* cx = nullptr;
};

template <typename Real>
class LayerBackward {
 public:
  LayerBackward(const Network& network, const Sequences& sequences, const Real* weights, int layer, int direction,
                const Past<Real>& past)
      : n_(network),
        s_(sequences),
        all_(weights),
        w_(network.Weights(layer, direction)),
        direction_(direction),
        past_(past),
        dh_(Count(network.output)),
        dc_(Count(network.hidden)),
        du_(Count(network.hidden)),
        recurrent_(Count(network.GateColumns())),
        carried_(Count(network.output)) {}

  // `dy` has the rows of all directions; `dx` is added to.
  void Run(const Real* dy, const Real* dhy, const Real* dcy, Real* dx, Real* dhx, Real* dcx) {
    if (dhy != nullptr) std::copy_n(dhy, dh_.size(), dh_.begin());
    if (dcy != nullptr) std::copy_n(dcy, dc_.size(), dc_.begin());
    for (i64 i = 0; i < s_.steps(); ++i) Step(direction_ == 0 ? s_.steps() - 1 - i : i, dy);
    const i64 rows = s_.steps() * s_.batch(), columns = n_.GateColumns();
    const Real* const gradients = past_.kept.gate_gradients;
    if (w_.w >= 0) {
      Multiply(rows, w_.input, columns, Plain<Real>(gradients, columns), Plain(all_ + w_.w, w_.input), true, dx,
               w_.input);
    } else {
      for (i64 row = 0; row < rows; ++row) {
        for (i64 j = 0; j < columns; ++j) dx[row * n_.hidden + j % n_.hidden] += gradients[row * columns + j];
      }
    }
    if (dhx != nullptr) std::copy(dh_.begin(), dh_.end(), dhx);
    if (dcx != nullptr) std::copy(dc_.begin(), dc_.end(), dcx);
  }

 private:
  std::size_t Count(i64 columns) const { return static_cast<std::size_t>(s_.batch() * columns); }

  void Step(i64 step, const Real* dy) {
    const i64 columns = n_.GateColumns();
    const Kept<Real>& kept = past_.kept;
    for (i64 b = 0; b < s_.batch(); ++b) {
      if (!s_.IsActive(step, b)) continue;
      const Real* const from = dy + Row(step, b) * n_.OutputColumns() + direction_ * n_.output;
      for (i64 j = 0; j < n_.output; ++j) dh_[static_cast<std::size_t>(b * n_.output + j)] += from[j];
    }
    if (n_.projects) {
      Multiply(s_.batch(), n_.hidden, n_.output, Plain<Real>(dh_.data(), n_.output), Plain(all_ + w_.p, n_.hidden),
               false, du_.data(), n_.hidden);
    } else {
      std::copy(dh_.begin(), dh_.end(), du_.begin());
    }
    for (i64 b = 0; b < s_.batch(); ++b) {
      const i64 row = Row(step, b);
      Real* const gradients = kept.gate_gradients + row * columns;
      Real* const inner = kept.inner_gradients == nullptr ? nullptr : kept.inner_gradients + row * n_.hidden;
      Real* const projected = kept.output_gradients == nullptr ? nullptr : kept.output_gradients + row * n_.output;
      Real* const recurrent = recurrent_.data() + b * columns;
      if (!s_.IsActive(step, b)) {
        std::fill_n(gradients, columns, Real{0});
        std::fill_n(recurrent, columns, Real{0});
        if (inner != nullptr) std::fill_n(inner, n_.hidden, Real{0});
        if (projected != nullptr) std::fill_n(projected, n_.output, Real{0});
        continue;
      }
      if (projected != nullptr) std::copy_n(dh_.data() + b * n_.output, n_.output, projected);
      Act(step, b, gradients, inner);
      std::copy_n(gradients, columns, recurrent);
      if (inner != nullptr) std::copy_n(inner, n_.hidden, recurrent + 2 * n_.hidden);
    }
    Multiply(s_.batch(), n_.output, columns, Plain<Real>(recurrent_.data(), columns), Plain(all_ + w_.r, n_.output),
             false, carried_.data(), n_.output);
    for (i64 b = 0; b < s_.batch(); ++b) {
      if (!s_.IsActive(step, b)) continue;
      const Real* const update = kept.gates + Row(step, b) * columns + n_.hidden;
      for (i64 j = 0; j < n_.output; ++j) {
        const auto at = static_cast<std::size_t>(b * n_.output + j);
        // A GRU's state goes on by itself as well.
        dh_[at] = carried_[at] + (n_.cell == CUDNN_GRU ? du_[at] * update[j] : Real{0});
      }
    }
  }

  // What comes to the gates of one sequence's step.
  void Act(i64 step, i64 b, Real* gradients, Real* inner_gradients) {
    const i64 hidden = n_.hidden, row = Row(step, b);
    const Real* const gates = past_.kept.gates + row * n_.GateColumns();
    const Real* const inner = past_.kept.inner == nullptr ? nullptr : past_.kept.inner + row * hidden;
    for (i64 j = 0; j < hidden; ++j) {
      const Real du = du_[static_cast<std::size_t>(b * hidden + j)];
      switch (n_.cell) {
        case CUDNN_LSTM: {
          const Real i = gates[j], f = gates[hidden + j], g = gates[2 * hidden + j], o = gates[3 * hidden + j];
          const Real before = CellBefore(step, b, j), tanh_c = std::tanh(inner[j]);
          Real& dc = dc_[static_cast<std::size_t>(b * hidden + j)];
          dc += du * o * (1 - tanh_c * tanh_c);
          if (IsClipped(f * before + i * g)) dc = 0;
          gradients[j] = dc * g * i * (1 - i);
          gradients[hidden + j] = dc * before * f * (1 - f);
          gradients[2 * hidden + j] = dc * i * (1 - g * g);
          gradients[3 * hidden + j] = du * tanh_c * o * (1 - o);
          dc *= f;
          break;
        }
        case CUDNN_GRU: {
          const Real r = gates[j], i = gates[hidden + j], n = gates[2 * hidden + j];
          const Real to_n = du * (1 - i) * (1 - n * n);
          gradients[j] = to_n * inner[j] * r * (1 - r);
          gradients[hidden + j] = du * (StateBefore(step, b, j) - n) * i * (1 - i);
          gradients[2 * hidden + j] = to_n;
          inner_gradients[j] = to_n * r;
          break;
        }
        case CUDNN_RNN_TANH: gradients[j] = du * (1 - gates[j] * gates[j]); break;
        default: gradients[j] = gates[j] > 0 ? du : Real{0};
      }
    }
  }

  i64 Row(i64 step, i64 b) const { return step * s_.batch() + b; }
  // The row of the step before, in the layer's direction; below 0 if there is none.
  i64 RowBefore(i64 step, i64 b) const {
    const i64 before = direction_ == 0 ? step - 1 : step + 1;
    return before < 0 || before >= s_.steps() || !s_.IsActive(before, b) ? -1 : Row(before, b);
  }
  Real CellBefore(i64 step, i64 b, i64 j) const {
    if (const i64 row = RowBefore(step, b); row >= 0) return past_.kept.inner[row * n_.hidden + j];
    return past_.cx == nullptr ? Real{0} : past_.cx[b * n_.hidden + j];
  }
  Real StateBefore(i64 step, i64 b, i64 j) const {
    if (const i64 row = RowBefore(step, b); row >= 0)
      return past_.y[row * n_.OutputColumns() + direction_ * n_.output + j];
    return past_.hx == nullptr ? Real{0} : past_.hx[b * n_.output + j];
  }
  bool IsClipped(Real c) const {
    return n_.clips && (c < static_cast<Real>(n_.clip_low) || c > static_cast<Real>(n_.clip_high));
  }

  const Network& n_;
  const Sequences& s_;
  const Real* all_;
  const LayerWeights& w_;
  int direction_;
  Past<Real> past_;
  std::vector<Real> dh_;
  std::vector<Real> dc_;
  std::vector<Real> du_;
  std::vector<Real> recurrent_;
  std::vector<Real> carried_;
};

template <typename Real>
void BackwardData(Context& context, const DnnRnnBackwardData& words, std::span<const std::int32_t> lengths) {
  Network network;
  Layout layout;
  const char* why = ReadNetwork(words.rnn, &network);
  const bool has_dropout = words.rnn.dropout.probability > 0;
  if (why == nullptr) why = Layout::Make(network, words.dx.steps, words.dx.batch, true, has_dropout, &layout);
  if (why != nullptr) return context.Fail(kInvalidValue, why);
  const Sequences x(context, words.dx, lengths, network.input), y(context, words.y, lengths, network.OutputColumns());
  context.Require(words.dx.type == words.rnn.type && words.y.type == words.rnn.type &&
                      words.y.steps == words.dx.steps && words.y.batch == words.dx.batch,
                  "sequences of different sizes or types");
  const int type = words.rnn.type;
  const i64 states = x.batch() * network.output, cells = x.batch() * network.hidden;
  const i64 all = network.layers * network.directions;
  const bool has_cells = network.cell == CUDNN_LSTM;
  const Real* const weights = ReadWeights<Real>(context, network, words.rnn, words.weights);
  const Real* const hx = ReadStates<Real>(context, words.rnn, words.hx, all * states);
  const Real* const dhy = ReadStates<Real>(context, words.rnn, words.dhy, all * states);
  const Real* const cx = ReadStates<Real>(context, words.rnn, has_cells ? words.cx : 0, all * cells);
  const Real* const dcy = ReadStates<Real>(context, words.rnn, has_cells ? words.dcy : 0, all * cells);
  std::optional<Output<Real>> dhx, dcx;
  if (words.dhx != 0) dhx.emplace(context, RawOperand(type, words.dhx, all * states), DnnBlend{});
  if (words.dcx != 0 && has_cells) dcx.emplace(context, RawOperand(type, words.dcx, all * cells), DnnBlend{});
  Real* const base = RawSpace<Real>(context, words.reserve, layout.elements());
  Real* const room = RawSpace<Real>(context, words.workspace, layout.backward_elements());
  x.Check(context, words.dx.address);
  if (context.failed()) return;

  const i64 width = layout.rows() * layout.widest();
  Real* dy = room;
  Real* dx = room + width;
  y.Read(context, words.dy, dy);
  for (int layer = network.layers - 1; layer >= 0 && !context.failed(); --layer) {
    const i64 elements = layout.rows() * network.Weights(layer, 0).input;
    std::fill_n(dx, elements, Real{0});
    for (int direction = 0; direction < network.directions; ++direction) {
      const i64 pseudo = layer * network.directions + direction;
      const Past<Real> past{layout.KeptOf(base, layer, direction), layout.OutputOf(base, layer),
                            StateOf(hx, pseudo, states), StateOf(cx, pseudo, cells)};
      LayerBackward<Real> run(network, x, weights, layer, direction, past);
      run.Run(dy, StateOf(dhy, pseudo, states), StateOf(dcy, pseudo, cells), dx,
              dhx ? dhx->view().data + pseudo * states : nullptr, dcx ? dcx->view().data + pseudo * cells : nullptr);
    }
    if (const Real* const mask = layout.MaskOf(base, layer); mask != nullptr) {
      for (i64 i = 0; i < elements; ++i) dx[i] *= mask[i];
    }
    std::swap(dx, dy);
  }
  x.Write(context, words.dx.address, dy, 0);
  if (context.failed()) return;
  if (dhx) dhx->Finish();
  if (dcx) dcx->Finish();
}

// The weights' gradients of a layer and direction, into `to`, where those of all begin.
template <typename Real>
void AddGradients(const Network& n, const Sequences& s, int layer, int direction, const Past<Real>& past, const Real* x,
                  Real* before, Real* recurrent, Real* to) {
  const LayerWeights& w = n.Weights(layer, direction);
  const i64 rows = s.steps() * s.batch(), columns = n.GateColumns(), hidden = n.hidden;
  const Kept<Real>& kept = past.kept;
  const Real* const gradients = kept.gate_gradients;
  if (w.w >= 0)
    Multiply(columns, w.input, rows, Transposed<Real>(gradients, columns), Plain(x, w.input), false, to + w.w, w.input);
  // What the recurrent product saw: states before, and what came to it, which a GRU's third gate has for itself.
  for (i64 step = 0; step < s.steps(); ++step) {
    for (i64 b = 0; b < s.batch(); ++b) {
      const i64 row = step * s.batch() + b;
      std::copy_n(gradients + row * columns, columns, recurrent + row * columns);
      if (kept.inner_gradients != nullptr)
        std::copy_n(kept.inner_gradients + row * hidden, hidden, recurrent + row * columns + 2 * hidden);
      Real* const state = before + row * n.output;
      const i64 other = direction == 0 ? step - 1 : step + 1;
      if (other >= 0 && other < s.steps() && s.IsActive(other, b)) {
        std::copy_n(past.y + (other * s.batch() + b) * n.OutputColumns() + direction * n.output, n.output, state);
      } else if (past.hx != nullptr) {
        std::copy_n(past.hx + b * n.output, n.output, state);
      } else {
        std::fill_n(state, n.output, Real{0});
      }
    }
  }
  Multiply(columns, n.output, rows, Transposed<Real>(recurrent, columns), Plain<Real>(before, n.output), false,
           to + w.r, n.output);
  for (i64 row = 0; row < rows; ++row) {
    for (i64 j = 0; j < columns; ++j) {
      if (w.w_bias >= 0) to[w.w_bias + j] += gradients[row * columns + j];
      if (w.r_bias >= 0) to[w.r_bias + j] += recurrent[row * columns + j];
    }
  }
  if (!n.projects) return;
  // What was projected is made again, where the recurrent gradients were.
  for (i64 step = 0; step < s.steps(); ++step) {
    for (i64 b = 0; b < s.batch(); ++b) {
      const i64 row = step * s.batch() + b;
      for (i64 j = 0; j < hidden; ++j) {
        recurrent[row * hidden + j] =
            s.IsActive(step, b) ? kept.gates[row * columns + 3 * hidden + j] * std::tanh(kept.inner[row * hidden + j])
                                : Real{0};
      }
    }
  }
  Multiply(n.output, hidden, rows, Transposed<Real>(kept.output_gradients, n.output), Plain<Real>(recurrent, hidden),
           false, to + w.p, hidden);
}

template <typename Real>
void BackwardWeights(Context& context, const DnnRnnBackwardWeights& words, std::span<const std::int32_t> lengths) {
  Network network;
  Layout layout;
  const char* why = ReadNetwork(words.rnn, &network);
  const bool has_dropout = words.rnn.dropout.probability > 0;
  if (why == nullptr) why = Layout::Make(network, words.x.steps, words.x.batch, true, has_dropout, &layout);
  if (why != nullptr) return context.Fail(kInvalidValue, why);
  const Sequences x(context, words.x, lengths, network.input);
  context.Require(words.x.type == words.rnn.type, "sequences of another type");
  context.Require(words.mode == CUDNN_WGRAD_MODE_ADD || words.mode == CUDNN_WGRAD_MODE_SET, "no such mode");
  context.Require(
      static_cast<std::uint64_t>(network.weight_elements) <= words.gradients.bytes / ElementBytes(words.rnn.type),
      "weights that are too few");
  const i64 states = x.batch() * network.output;
  const i64 all = network.layers * network.directions;
  const Real* const hx = ReadStates<Real>(context, words.rnn, words.hx, all * states);
  Real* const base = RawSpace<Real>(context, words.reserve, layout.elements());
  // Bounded by what the reserve holds of the same size.
  const DnnOperand gradients = RawOperand(words.rnn.type, words.gradients.address, network.weight_elements);
  const Stored stored = context.Find(gradients);
  if (context.failed()) return;
  const View<Real> sums = context.Scratch<Real>(stored.shape);
  const Output<Real> output(context, gradients, {1, words.mode == CUDNN_WGRAD_MODE_ADD ? 1.0 : 0.0});
  std::fill_n(sums.data, network.weight_elements, Real{0});
  const auto scratch = [&](i64 columns) {
    return context.Scratch<Real>(Shape{1, {layout.rows() * columns}, {1}}).data;
  };
  Real* const input = scratch(layout.widest());
  Real* const before = scratch(network.output);
  Real* const recurrent = scratch(network.GateColumns());
  x.Read(context, words.x.address, input);
  if (context.failed()) return;
  for (int layer = 0; layer < network.layers; ++layer) {
    if (layer != 0) {
      const i64 elements = layout.rows() * network.OutputColumns();
      const Real* const from = layout.OutputOf(base, layer - 1);
      const Real* const mask = layout.MaskOf(base, layer);
      for (i64 i = 0; i < elements; ++i) input[i] = mask == nullptr ? from[i] : from[i] * mask[i];
    }
    for (int direction = 0; direction < network.directions; ++direction) {
      const i64 pseudo = layer * network.directions + direction;
      const Past<Real> past{layout.KeptOf(base, layer, direction), layout.OutputOf(base, layer),
                            StateOf(hx, pseudo, states), nullptr};
      AddGradients(network, x, layer, direction, past, input, before, recurrent, sums.data);
    }
  }
  std::copy_n(sums.data, network.weight_elements, output.view().data);
  output.Finish();
}

}  // namespace

void RunRnnBackwardData(Context& context) {
  std::vector<std::int32_t> lengths;
  const auto words = context.Arguments<DnnRnnBackwardData>(&lengths);
  if (words.rnn.type == CUDNN_DATA_DOUBLE) {
    BackwardData<double>(context, words, lengths);
  } else {
    BackwardData<float>(context, words, lengths);
  }
}

void RunRnnBackwardWeights(Context& context) {
  std::vector<std::int32_t> lengths;
  const auto words = context.Arguments<DnnRnnBackwardWeights>(&lengths);
  if (words.rnn.type == CUDNN_DATA_DOUBLE) {
    BackwardWeights<double>(context, words, lengths);
  } else {
    BackwardWeights<float>(context, words, lengths);
  }
}

}  // namespace accelmesh::cpu_dnn
