// Recurrent networks forward: each layer and direction is one product for its whole input and one for each step.
#include <cmath>
#include <optional>

#include "server/backend/cpu/dnn/product.h"
#include "server/backend/cpu/dnn/rnn.h"

namespace accelmesh::cpu_dnn {
namespace {

template <typename Real>
Real SigmoidOf(Real x) {
  return 1 / (1 + std::exp(-x));
}

template <typename Real>
class LayerForward {
 public:
  LayerForward(const Network& network, const Sequences& sequences, const Real* weights, int layer, int direction)
      : n_(network),
        s_(sequences),
        all_(weights),
        w_(network.Weights(layer, direction)),
        direction_(direction),
        h_(Count(network.output)),
        c_(Count(network.hidden)),
        recurrent_(Count(network.GateColumns())),
        unprojected_(network.projects ? Count(network.hidden) : 0) {}

  // `hx` and `cx` may be null, and `hy` and `cy`; `y` has the rows of all directions.
  void Run(const Real* x, const Real* hx, const Real* cx, const Kept<Real>& kept, Real* y, Real* hy, Real* cy) {
    if (hx != nullptr) std::copy_n(hx, h_.size(), h_.begin());
    if (cx != nullptr) std::copy_n(cx, c_.size(), c_.begin());
    TakeInput(x, kept.gates);
    for (i64 i = 0; i < s_.steps(); ++i) Step(direction_ == 0 ? i : s_.steps() - 1 - i, kept, y);
    if (hy != nullptr) std::copy(h_.begin(), h_.end(), hy);
    if (cy != nullptr) std::copy(c_.begin(), c_.end(), cy);
  }

 private:
  std::size_t Count(i64 columns) const { return static_cast<std::size_t>(s_.batch() * columns); }
  bool IsGru() const { return n_.cell == CUDNN_GRU; }

  // What the gates get from the input and from the biases. A GRU's third gate takes the recurrent bias with the state.
  void TakeInput(const Real* x, Real* gates) {
    const i64 columns = n_.GateColumns();
    std::vector<Real> bias(static_cast<std::size_t>(columns));
    const i64 direct = IsGru() ? 2 * n_.hidden : columns;
    for (i64 j = 0; j < columns; ++j) {
      if (w_.w_bias >= 0) bias[static_cast<std::size_t>(j)] = all_[w_.w_bias + j];
      if (w_.r_bias >= 0 && j < direct) bias[static_cast<std::size_t>(j)] += all_[w_.r_bias + j];
    }
    const i64 rows = s_.steps() * s_.batch();
    for (i64 row = 0; row < rows; ++row) {
      Real* const to = gates + row * columns;
      std::copy(bias.begin(), bias.end(), to);
      if (w_.w >= 0) continue;
      for (i64 j = 0; j < columns; ++j) to[j] += x[row * n_.hidden + j % n_.hidden];
    }
    if (w_.w >= 0)
      Multiply(rows, columns, w_.input, Plain(x, w_.input), Transposed(all_ + w_.w, w_.input), true, gates, columns);
  }

  void Step(i64 step, const Kept<Real>& kept, Real* y) {
    const i64 columns = n_.GateColumns();
    Multiply(s_.batch(), columns, n_.output, Plain<Real>(h_.data(), n_.output), Transposed(all_ + w_.r, n_.output),
             false, recurrent_.data(), columns);
    for (i64 b = 0; b < s_.batch(); ++b) {
      if (!s_.IsActive(step, b)) continue;
      const i64 row = step * s_.batch() + b;
      Real* const inner = kept.inner == nullptr ? nullptr : kept.inner + row * n_.hidden;
      Act(kept.gates + row * columns, recurrent_.data() + b * columns, inner, b);
    }
    if (n_.projects) {
      projected_.resize(h_.size());
      Multiply(s_.batch(), n_.output, n_.hidden, Plain<Real>(unprojected_.data(), n_.hidden),
               Transposed(all_ + w_.p, n_.hidden), false, projected_.data(), n_.output);
    }
    for (i64 b = 0; b < s_.batch(); ++b) {
      Real* const to = y + (step * s_.batch() + b) * n_.OutputColumns() + direction_ * n_.output;
      if (!s_.IsActive(step, b)) {
        std::fill_n(to, n_.output, Real{0});
        continue;
      }
      Real* const h = h_.data() + b * n_.output;
      if (n_.projects) std::copy_n(projected_.data() + b * n_.output, n_.output, h);
      std::copy_n(h, n_.output, to);
    }
  }

  // One sequence's step: gates, then cell and state.
  void Act(Real* gates, const Real* recurrent, Real* inner, i64 b) {
    const i64 hidden = n_.hidden;
    Real* const h = n_.projects ? unprojected_.data() + b * hidden : h_.data() + b * hidden;
    for (i64 j = 0; j < hidden; ++j) {
      switch (n_.cell) {
        case CUDNN_LSTM: {
          const Real i = SigmoidOf(gates[j] + recurrent[j]);
          const Real f = SigmoidOf(gates[hidden + j] + recurrent[hidden + j]);
          const Real g = std::tanh(gates[2 * hidden + j] + recurrent[2 * hidden + j]);
          const Real o = SigmoidOf(gates[3 * hidden + j] + recurrent[3 * hidden + j]);
          Real& c = c_[static_cast<std::size_t>(b * hidden + j)];
          c = Clipped(f * c + i * g);
          h[j] = o * std::tanh(c);
          gates[j] = i;
          gates[hidden + j] = f;
          gates[2 * hidden + j] = g;
          gates[3 * hidden + j] = o;
          inner[j] = c;
          break;
        }
        case CUDNN_GRU: {
          const Real r = SigmoidOf(gates[j] + recurrent[j]);
          const Real i = SigmoidOf(gates[hidden + j] + recurrent[hidden + j]);
          inner[j] = recurrent[2 * hidden + j] + (w_.r_bias >= 0 ? all_[w_.r_bias + 2 * hidden + j] : Real{0});
          const Real n = std::tanh(gates[2 * hidden + j] + r * inner[j]);
          h[j] = (1 - i) * n + i * h[j];
          gates[j] = r;
          gates[hidden + j] = i;
          gates[2 * hidden + j] = n;
          break;
        }
        case CUDNN_RNN_TANH: h[j] = gates[j] = std::tanh(gates[j] + recurrent[j]); break;
        default: h[j] = gates[j] = std::max(gates[j] + recurrent[j], Real{0});
      }
    }
  }

  Real Clipped(Real c) const {
    if (!n_.clips || (n_.clip_propagates_nan && std::isnan(c))) return c;
    return std::fmin(std::fmax(c, static_cast<Real>(n_.clip_low)), static_cast<Real>(n_.clip_high));
  }

  const Network& n_;
  const Sequences& s_;
  const Real* all_;
  const LayerWeights& w_;
  int direction_;
  std::vector<Real> h_;
  std::vector<Real> c_;
  std::vector<Real> recurrent_;
  std::vector<Real> unprojected_;
  std::vector<Real> projected_;
};

// Draws a layer's dropout into `mask` and applies it.
template <typename Real>
const Real* Dropped(Context& context, const DnnDropout& dropout, const Real* x, i64 elements, Real* mask, Real* to) {
  const Drawing drawing(context, dropout, elements);
  if (context.failed()) return x;
  for (i64 i = 0; i < elements; ++i) {
    mask[i] = drawing.Keeps(i) ? static_cast<Real>(drawing.scale()) : Real{0};
    to[i] = x[i] * mask[i];
  }
  return to;
}

template <typename Real>
void Forward(Context& context, const DnnRnnForward& words, std::span<const std::int32_t> lengths) {
  Network network;
  Layout layout;
  const char* why = ReadNetwork(words.rnn, &network);
  const bool is_training = words.is_training != 0;
  const bool has_dropout = words.rnn.dropout.probability > 0;
  if (why == nullptr) why = Layout::Make(network, words.x.steps, words.x.batch, is_training, has_dropout, &layout);
  if (why != nullptr) return context.Fail(kInvalidValue, why);
  const Sequences x(context, words.x, lengths, network.input), y(context, words.y, lengths, network.OutputColumns());
  context.Require(words.x.type == words.rnn.type && words.y.type == words.rnn.type && words.y.steps == words.x.steps &&
                      words.y.batch == words.x.batch,
                  "sequences of different sizes or types");
  const i64 states = x.batch() * network.output, cells = x.batch() * network.hidden;
  const i64 all = network.layers * network.directions;
  const Real* const weights = ReadWeights<Real>(context, network, words.rnn, words.weights);
  const Real* const hx = ReadStates<Real>(context, words.rnn, words.hx, all * states);
  const bool has_cells = network.cell == CUDNN_LSTM;
  const Real* const cx = ReadStates<Real>(context, words.rnn, has_cells ? words.cx : 0, all * cells);
  std::optional<Output<Real>> hy, cy;
  if (words.hy != 0) hy.emplace(context, RawOperand(words.rnn.type, words.hy, all * states), DnnBlend{});
  if (words.cy != 0 && has_cells) cy.emplace(context, RawOperand(words.rnn.type, words.cy, all * cells), DnnBlend{});
  Real* const base = RawSpace<Real>(context, is_training ? words.reserve : words.workspace, layout.elements());
  // That the result is memory is known before anything changes.
  if (!context.failed()) y.Check(context, words.y.address);
  if (context.failed()) return;

  const View<Real> input = context.Scratch<Real>(Shape{1, {layout.rows() * layout.widest()}, {1}});
  x.Read(context, words.x.address, input.data);
  const Real* from = input.data;
  Real* to = nullptr;
  for (int layer = 0; layer < network.layers && !context.failed(); ++layer) {
    if (Real* const mask = layout.MaskOf(base, layer); mask != nullptr)
      from = Dropped(context, words.rnn.dropout, from, layout.rows() * network.OutputColumns(), mask, input.data);
    to = layout.OutputOf(base, layer);
    for (int direction = 0; direction < network.directions; ++direction) {
      const i64 pseudo = layer * network.directions + direction;
      const auto state_of = [&](auto* states_of_all, i64 elements) {
        return states_of_all == nullptr ? nullptr : states_of_all + pseudo * elements;
      };
      LayerForward<Real> run(network, x, weights, layer, direction);
      run.Run(from, state_of(hx, states), state_of(cx, cells), layout.KeptOf(base, layer, direction), to,
              state_of(hy ? hy->view().data : nullptr, states), state_of(cy ? cy->view().data : nullptr, cells));
    }
    from = to;
  }
  y.Write(context, words.y.address, from, words.y.has_padding != 0 ? words.y.padding : 0);
  if (context.failed()) return;
  if (hy) hy->Finish();
  if (cy) cy->Finish();
}

}  // namespace

void RunRnnForward(Context& context) {
  std::vector<std::int32_t> lengths;
  const auto words = context.Arguments<DnnRnnForward>(&lengths);
  if (words.rnn.type == CUDNN_DATA_DOUBLE) {
    Forward<double>(context, words, lengths);
  } else {
    Forward<float>(context, words, lengths);
  }
}

}  // namespace accelmesh::cpu_dnn
