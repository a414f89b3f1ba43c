// The shape of the GPT of transformer.cu, and its parameters: one array, in which each tensor has its place. On the
// device it is trained, on the host the reference reads it.
#pragma once

#include <cstddef>
#include <vector>

constexpr int kVocabulary = 128;  // bytes of text
constexpr int kBatch = 8;         // sequences
constexpr int kTime = 32;         // bytes of a sequence
constexpr int kWidth = 64;
constexpr int kHeads = 4;
constexpr int kLayers = 2;
constexpr int kHidden = 4 * kWidth;
constexpr int kHeadWidth = kWidth / kHeads;
constexpr int kTokens = kBatch * kTime;
constexpr int kScoreRows = kBatch * kHeads * kTime;
constexpr float kNormEpsilon = 1e-5f;

struct LayerParameters {
  float *norm1_gain, *norm1_bias;
  float *attention, *attention_bias;  // queries, keys and values of all heads: 3 kWidth by kWidth
  float *output, *output_bias;        // kWidth by kWidth
  float *norm2_gain, *norm2_bias;
  float *up, *up_bias;      // kHidden by kWidth
  float *down, *down_bias;  // kWidth by kHidden
};
struct Parameters {
  float* embedding;  // kVocabulary by kWidth; the output layer is the same matrix
  float* positions;  // kTime by kWidth
  LayerParameters layers[kLayers];
  float *norm_gain, *norm_bias;
};

struct Tensor {
  const char* name;
  float** place;
  size_t count;
  enum Kind { kMatrix, kGain, kBias } kind;
};

// In the order of the array: matrices first, which decay.
inline std::vector<Tensor> TensorsOf(Parameters& p) {
  std::vector<Tensor> matrices{{"embedding", &p.embedding, kVocabulary * kWidth, Tensor::kMatrix},
                               {"positions", &p.positions, kTime * kWidth, Tensor::kMatrix}};
  std::vector<Tensor> vectors;
  for (LayerParameters& l : p.layers) {
    matrices.insert(matrices.end(), {{"attention", &l.attention, 3 * kWidth * kWidth, Tensor::kMatrix},
                                     {"output", &l.output, kWidth * kWidth, Tensor::kMatrix},
                                     {"up", &l.up, kHidden * kWidth, Tensor::kMatrix},
                                     {"down", &l.down, kWidth * kHidden, Tensor::kMatrix}});
    vectors.insert(vectors.end(), {{"norm1 gain", &l.norm1_gain, kWidth, Tensor::kGain},
                                   {"norm1 bias", &l.norm1_bias, kWidth, Tensor::kBias},
                                   {"attention bias", &l.attention_bias, 3 * kWidth, Tensor::kBias},
                                   {"output bias", &l.output_bias, kWidth, Tensor::kBias},
                                   {"norm2 gain", &l.norm2_gain, kWidth, Tensor::kGain},
                                   {"norm2 bias", &l.norm2_bias, kWidth, Tensor::kBias},
                                   {"up bias", &l.up_bias, kHidden, Tensor::kBias},
                                   {"down bias", &l.down_bias, kWidth, Tensor::kBias}});
  }
  vectors.insert(vectors.end(), {{"norm gain", &p.norm_gain, kWidth, Tensor::kGain},
                                 {"norm bias", &p.norm_bias, kWidth, Tensor::kBias}});
  matrices.insert(matrices.end(), vectors.begin(), vectors.end());
  return matrices;
}

struct ParameterCounts {
  size_t all = 0, matrices = 0;
};
inline ParameterCounts CountParameters() {
  Parameters none{};
  ParameterCounts counts;
  for (const Tensor& tensor : TensorsOf(none)) {
    counts.all += tensor.count;
    if (tensor.kind == Tensor::kMatrix) counts.matrices += tensor.count;
  }
  return counts;
}
// The tensors, laid out in `memory`.
inline Parameters Place(float* memory) {
  Parameters p{};
  for (const Tensor& tensor : TensorsOf(p)) {
    *tensor.place = memory;
    memory += tensor.count;
  }
  return p;
}
