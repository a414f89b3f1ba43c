// The forward pass of transformer.cu on the host, in double and by plain loops: what its first loss must be.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "transformer_shape.h"

namespace reference {

using Rows = std::vector<double>;

// x w^T + b of `count` rows.
inline Rows Linear(const Rows& x, const float* w, const float* b, int in, int out) {
  const int count = static_cast<int>(x.size()) / in;
  Rows y(static_cast<size_t>(count) * out);
  for (int row = 0; row < count; ++row) {
    for (int o = 0; o < out; ++o) {
      double sum = b == nullptr ? 0.0 : b[o];
      for (int i = 0; i < in; ++i) sum += x[row * in + i] * w[o * in + i];
      y[row * out + o] = sum;
    }
  }
  return y;
}

inline Rows Norm(const Rows& x, const float* gain, const float* bias) {
  Rows y(x.size());
  for (int row = 0; row < kTokens; ++row) {
    const double* const in = &x[row * kWidth];
    double mean = 0, variance = 0;
    for (int c = 0; c < kWidth; ++c) mean += in[c] / kWidth;
    for (int c = 0; c < kWidth; ++c) variance += (in[c] - mean) * (in[c] - mean) / kWidth;
    for (int c = 0; c < kWidth; ++c)
      y[row * kWidth + c] = (in[c] - mean) / std::sqrt(variance + kNormEpsilon) * gain[c] + bias[c];
  }
  return y;
}

// Of rows with queries, keys and values.
inline Rows Attention(const Rows& rows) {
  Rows mixed(kTokens * kWidth);
  for (int token = 0; token < kTokens; ++token) {
    const int first = token / kTime * kTime;
    for (int head = 0; head < kHeads; ++head) {
      const auto at = [&](int t, int part, int c) { return rows[(t * 3 + part) * kWidth + head * kHeadWidth + c]; };
      std::vector<double> weights;
      double largest = -INFINITY, sum = 0;
      for (int t = first; t <= token; ++t) {
        double score = 0;
        for (int c = 0; c < kHeadWidth; ++c) score += at(token, 0, c) * at(t, 1, c) / std::sqrt(kHeadWidth);
        weights.push_back(score);
        largest = std::max(largest, score);
      }
      for (double& weight : weights) sum += weight = std::exp(weight - largest);
      for (int t = first; t <= token; ++t) {
        for (int c = 0; c < kHeadWidth; ++c)
          mixed[token * kWidth + head * kHeadWidth + c] += weights[t - first] / sum * at(t, 2, c);
      }
    }
  }
  return mixed;
}

inline void Add(Rows& x, const Rows& y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

// cuBLAS's GELU: the approximation by tanh.
inline double Gelu(double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }

inline double Loss(const Parameters& p, const int* tokens, const int* targets) {
  Rows x(kTokens * kWidth);
  for (int i = 0; i < kTokens * kWidth; ++i)
    x[i] = p.embedding[tokens[i / kWidth] * kWidth + i % kWidth] + p.positions[i % (kTime * kWidth)];
  for (const LayerParameters& l : p.layers) {
    const Rows attention =
        Attention(Linear(Norm(x, l.norm1_gain, l.norm1_bias), l.attention, l.attention_bias, kWidth, 3 * kWidth));
    Add(x, Linear(attention, l.output, l.output_bias, kWidth, kWidth));
    Rows hidden = Linear(Norm(x, l.norm2_gain, l.norm2_bias), l.up, l.up_bias, kWidth, kHidden);
    for (double& value : hidden) value = Gelu(value);
    Add(x, Linear(hidden, l.down, l.down_bias, kHidden, kWidth));
  }
  const Rows logits = Linear(Norm(x, p.norm_gain, p.norm_bias), p.embedding, nullptr, kWidth, kVocabulary);
  double loss = 0;
  for (int row = 0; row < kTokens; ++row) {
    const double* const logit = &logits[row * kVocabulary];
    const double largest = *std::max_element(logit, logit + kVocabulary);
    double sum = 0;
    for (int s = 0; s < kVocabulary; ++s) sum += std::exp(logit[s] - largest);
    loss += (std::log(sum) + largest - logit[targets[row]]) / kTokens;
  }
  return loss;
}

}  // namespace reference
