// What transformer.cu computes by kernels of its own: everything between the matrix products. No sum depends on the
// order of threads, so that every run gives the same bits.
#pragma once

#include <cuda_runtime.h>

#include "transformer_shape.h"

constexpr int kWarp = 32;
constexpr int kThreads = 128;  // of a block: four rows, or as many elements
constexpr unsigned kWhole = 0xffffffffu;

inline int BlocksOfElements(int count) { return (count + kThreads - 1) / kThreads; }
inline int BlocksOfRows(int rows) { return (rows + kThreads / kWarp - 1) / (kThreads / kWarp); }

__device__ inline int Element() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }
// A row is a warp's.
__device__ inline int Row() { return Element() / kWarp; }
__device__ inline int Lane() { return static_cast<int>(threadIdx.x) % kWarp; }

__device__ inline float WarpSum(float value) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(kWhole, value, distance);
  return value;
}
__device__ inline float WarpMax(float value) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value = fmaxf(value, __shfl_xor_sync(kWhole, value, distance));
  return value;
}

// Embedding --------------------------------------------------------------------------------------------------------

__global__ void Embed(const int* tokens, const float* embedding, const float* positions, float* x) {
  const int i = Element();
  if (i >= kTokens * kWidth) return;
  const int token = i / kWidth, channel = i % kWidth;
  x[i] = embedding[tokens[token] * kWidth + channel] + positions[token % kTime * kWidth + channel];
}

// A block a symbol, a thread a channel: adds up the gradients of the symbol's places, in their order. The output layer
// has left its own part there.
__global__ void EmbedBackward(const int* tokens, const float* dx, float* dembedding) {
  const int symbol = static_cast<int>(blockIdx.x), channel = static_cast<int>(threadIdx.x);
  float sum = dembedding[symbol * kWidth + channel];
  for (int first = 0; first < kTokens; first += kWarp) {
    unsigned places = __ballot_sync(kWhole, tokens[first + Lane()] == symbol);
    for (; places != 0; places &= places - 1)
      sum += dx[(first + __ffs(static_cast<int>(places)) - 1) * kWidth + channel];
  }
  dembedding[symbol * kWidth + channel] = sum;
}

__global__ void PositionsBackward(const float* dx, float* dpositions) {
  const int i = Element();
  if (i >= kTime * kWidth) return;
  float sum = 0;
  for (int sequence = 0; sequence < kBatch; ++sequence) sum += dx[sequence * kTime * kWidth + i];
  dpositions[i] = sum;
}

// Layer norm -------------------------------------------------------------------------------------------------------

// What the backward pass needs of a row.
struct Moments {
  float mean, inverse_deviation;
};

__global__ void Norm(const float* x, const float* gain, const float* bias, float* y, Moments* moments) {
  const int row = Row();
  if (row >= kTokens) return;
  const float* const in = x + row * kWidth;
  float sum = 0, squares = 0;
  for (int c = Lane(); c < kWidth; c += kWarp) sum += in[c];
  const float mean = WarpSum(sum) / kWidth;
  for (int c = Lane(); c < kWidth; c += kWarp) squares += (in[c] - mean) * (in[c] - mean);
  const float inverse_deviation = 1.0f / sqrtf(WarpSum(squares) / kWidth + kNormEpsilon);
  for (int c = Lane(); c < kWidth; c += kWarp)
    y[row * kWidth + c] = (in[c] - mean) * inverse_deviation * gain[c] + bias[c];
  if (Lane() == 0) moments[row] = {mean, inverse_deviation};
}

// Adds to dx, which has the gradient that goes past the norm.
__global__ void NormBackward(const float* x, const Moments* moments, const float* gain, const float* dy, float* dx) {
  const int row = Row();
  if (row >= kTokens) return;
  const Moments m = moments[row];
  float sum = 0, product = 0;
  for (int c = Lane(); c < kWidth; c += kWarp) {
    const int i = row * kWidth + c;
    sum += dy[i] * gain[c];
    product += dy[i] * gain[c] * (x[i] - m.mean) * m.inverse_deviation;
  }
  sum = WarpSum(sum) / kWidth;
  product = WarpSum(product) / kWidth;
  for (int c = Lane(); c < kWidth; c += kWarp) {
    const int i = row * kWidth + c;
    dx[i] += (dy[i] * gain[c] - sum - (x[i] - m.mean) * m.inverse_deviation * product) * m.inverse_deviation;
  }
}

// A warp a channel.
__global__ void NormParametersBackward(const float* x, const Moments* moments, const float* dy, float* dgain,
                                       float* dbias) {
  const int channel = Row();
  if (channel >= kWidth) return;
  float gain = 0, bias = 0;
  for (int row = Lane(); row < kTokens; row += kWarp) {
    const int i = row * kWidth + channel;
    gain += dy[i] * (x[i] - moments[row].mean) * moments[row].inverse_deviation;
    bias += dy[i];
  }
  gain = WarpSum(gain);
  bias = WarpSum(bias);
  if (Lane() != 0) return;
  dgain[channel] = gain;
  dbias[channel] = bias;
}

// Attention --------------------------------------------------------------------------------------------------------

// Where an element of rows (tokens, parts, heads, head width) lies in heads (parts, sequences, heads, time, head
// width).
__device__ inline int PlaceInHeads(int i, int parts) {
  const int within = i % kHeadWidth, head = i / kHeadWidth % kHeads, part = i / kWidth % parts;
  const int token = i / (kWidth * parts), sequence = token / kTime;
  return (((part * kBatch + sequence) * kHeads + head) * kTime + token % kTime) * kHeadWidth + within;
}
__global__ void SplitHeads(const float* rows, int parts, float* heads) {
  const int i = Element();
  if (i < parts * kTokens * kWidth) heads[PlaceInHeads(i, parts)] = rows[i];
}
__global__ void MergeHeads(const float* heads, int parts, float* rows) {
  const int i = Element();
  if (i < parts * kTokens * kWidth) rows[i] = heads[PlaceInHeads(i, parts)];
}

static_assert(kTime == kWarp, "a row of scores has one element a lane");

// In place, for queries that see what came before them and themselves.
__global__ void CausalSoftmax(float* scores) {
  const int row = Row();
  if (row >= kScoreRows) return;
  const int key = Lane(), query = row % kTime;
  float* const place = scores + row * kTime + key;
  const float score = key <= query ? *place : -INFINITY;
  const float power = expf(score - WarpMax(score));
  *place = power / WarpSum(power);
}
__global__ void SoftmaxBackward(const float* probabilities, float* gradients) {
  const int row = Row();
  if (row >= kScoreRows) return;
  const int i = row * kTime + Lane();
  const float part = probabilities[i] * gradients[i];
  gradients[i] = part - probabilities[i] * WarpSum(part);
}

// Loss and optimiser -----------------------------------------------------------------------------------------------

// Cross entropy of each token. The logits become the gradient of the mean.
__global__ void CrossEntropy(float* logits, const int* targets, float* losses) {
  const int row = Row();
  if (row >= kTokens) return;
  float* const logit = logits + row * kVocabulary;
  float largest = -INFINITY, sum = 0;
  for (int s = Lane(); s < kVocabulary; s += kWarp) largest = fmaxf(largest, logit[s]);
  largest = WarpMax(largest);
  for (int s = Lane(); s < kVocabulary; s += kWarp) sum += expf(logit[s] - largest);
  sum = WarpSum(sum);
  const int target = targets[row];
  if (Lane() == 0) losses[row] = logf(sum) + largest - logit[target];
  __syncwarp();
  for (int s = Lane(); s < kVocabulary; s += kWarp)
    logit[s] = (expf(logit[s] - largest) / sum - (s == target ? 1.0f : 0.0f)) / kTokens;
}
__global__ void MeanLoss(const float* losses, float* mean) {
  float sum = 0;
  for (int i = Lane(); i < kTokens; i += kWarp) sum += losses[i];
  sum = WarpSum(sum);
  if (Lane() == 0) *mean = sum / kTokens;
}

struct AdamStep {
  float rate, decay, beta1, beta2;
  float correction1, correction2;  // 1 - beta^step
};
// AdamW; a gradient that is longer than 1 is cut to that, by a length that only the device knows.
__global__ void AdamW(float* parameters, const float* gradients, float* first, float* second, int count, int decaying,
                      const float* length, AdamStep step) {
  const int i = Element();
  if (i >= count) return;
  const float gradient = gradients[i] / fmaxf(1.0f, *length);
  first[i] = step.beta1 * first[i] + (1 - step.beta1) * gradient;
  second[i] = step.beta2 * second[i] + (1 - step.beta2) * gradient * gradient;
  const float update = first[i] / step.correction1 / (sqrtf(second[i] / step.correction2) + 1e-8f);
  parameters[i] -= step.rate * (update + (i < decaying ? step.decay * parameters[i] : 0.0f));
}
