// Recurrent networks as NVIDIA's documentation writes them (cudnnRNNMode_t), a sequence and a step at a time, in long
// double: what the tests compare with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace rnn_reference {

using Wide = long double;
using Numbers = std::vector<Wide>;

enum Cell { kRelu = 0, kTanh = 1, kLstm = 2, kGru = 3 };

struct RnnShape {
  int cell = kLstm;
  int bias = 2;
  int directions = 1;
  bool skips_input = false;
  int layers = 1;
  int input = 1;
  int hidden = 1;
  int output = 1;  // of a direction: less than hidden with a projection
  bool clips = false;
  Wide clip_low = 0;
  Wide clip_high = 0;

  int Gates() const { return cell == kLstm ? 4 : cell == kGru ? 3 : 1; }
  int InputOf(int layer) const { return layer == 0 ? input : output * directions; }
};

// A matrix and a bias of each linear layer; empty: there is none.
struct LinearLayer {
  Numbers matrix;
  Numbers bias;
};
using PseudoLayer = std::vector<LinearLayer>;

struct Sequence {
  std::vector<Numbers> x;  // by step
  std::vector<Numbers> h;  // by pseudo layer
  std::vector<Numbers> c;
};

inline Numbers Product(const Numbers& matrix, const Numbers& vector, int rows) {
  Numbers result(static_cast<std::size_t>(rows));
  if (matrix.empty()) return vector;  // the identity
  for (std::size_t i = 0; i < result.size(); ++i) {
    for (std::size_t j = 0; j < vector.size(); ++j) result[i] += matrix[i * vector.size() + j] * vector[j];
  }
  return result;
}
inline Numbers Linear(const LinearLayer& layer, const Numbers& vector, int rows) {
  Numbers result = Product(layer.matrix, vector, rows);
  for (std::size_t i = 0; i < layer.bias.size(); ++i) result[i] += layer.bias[i];
  return result;
}
inline Wide Sigma(Wide x) { return 1 / (1 + std::exp(-x)); }

// One step: h and c become the next ones.
inline void StepOf(const RnnShape& shape, const PseudoLayer& layer, const Numbers& x, Numbers& h, Numbers& c) {
  const int gates = shape.Gates();
  std::vector<Numbers> w, r;
  for (int g = 0; g < gates; ++g) {
    w.push_back(Linear(layer[static_cast<std::size_t>(g)], x, shape.hidden));
    r.push_back(Linear(layer[static_cast<std::size_t>(gates + g)], h, shape.hidden));
  }
  Numbers next(static_cast<std::size_t>(shape.hidden));
  for (std::size_t j = 0; j < next.size(); ++j) {
    switch (shape.cell) {
      case kRelu: next[j] = std::max<Wide>(w[0][j] + r[0][j], 0); break;
      case kTanh: next[j] = std::tanh(w[0][j] + r[0][j]); break;
      case kLstm: {
        c[j] = Sigma(w[1][j] + r[1][j]) * c[j] + Sigma(w[0][j] + r[0][j]) * std::tanh(w[2][j] + r[2][j]);
        if (shape.clips) c[j] = std::min(std::max(c[j], shape.clip_low), shape.clip_high);
        next[j] = Sigma(w[3][j] + r[3][j]) * std::tanh(c[j]);
        break;
      }
      default: {
        const Wide update = Sigma(w[1][j] + r[1][j]);
        next[j] = (1 - update) * std::tanh(w[2][j] + Sigma(w[0][j] + r[0][j]) * r[2][j]) + update * h[j];
      }
    }
  }
  h = shape.output == shape.hidden ? next : Product(layer[8].matrix, next, shape.output);
}

// What comes out of each step; the states become the last ones.
inline std::vector<Numbers> Evaluate(const RnnShape& shape, const std::vector<PseudoLayer>& weights, Sequence& s) {
  std::vector<Numbers> x = s.x;
  for (int layer = 0; layer < shape.layers; ++layer) {
    std::vector<Numbers> y(x.size(), Numbers(static_cast<std::size_t>(shape.output * shape.directions)));
    for (int direction = 0; direction < shape.directions; ++direction) {
      const auto pseudo = static_cast<std::size_t>(layer * shape.directions + direction);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t t = direction == 0 ? i : x.size() - 1 - i;
        StepOf(shape, weights[pseudo], x[t], s.h[pseudo], s.c[pseudo]);
        std::copy(s.h[pseudo].begin(), s.h[pseudo].end(), y[t].begin() + direction * shape.output);
      }
    }
    x = y;
  }
  return x;
}

}  // namespace rnn_reference
