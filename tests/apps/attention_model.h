// An attention of cuDNN's as a program has it: its descriptors, memory and calls, and the formulas of the same.
#pragma once

#include <limits>
#include <vector>

#include "attention_reference.h"
#include "cudnn_check.h"

namespace attention_model {

using namespace attention_reference;

struct Config {
  const char* name;
  unsigned mode;
  int heads;
  int q, k, v;  // sizes
  int q_proj, k_proj, v_proj, o_proj;
  int beams;
  cudnnSeqDataAxis_t axes[3];  // and then vectors
  bool has_residuals;

  int HeadOf(int size, int projection) const { return projection > 0 ? projection : size; }
  int Out() const { return o_proj > 0 ? o_proj : heads * HeadOf(v, v_proj); }
};

constexpr int kBatch = 2, kQuerySteps = 4, kKeySteps = 5;
constexpr cudnnSeqDataAxis_t kTime = CUDNN_SEQDATA_TIME_DIM, kOfBatch = CUDNN_SEQDATA_BATCH_DIM,
                             kBeam = CUDNN_SEQDATA_BEAM_DIM, kVector = CUDNN_SEQDATA_VECT_DIM;

template <typename T>
double NumberOf(T value) {
  if constexpr (std::is_same_v<T, double>) {
    return value;
  } else {
    return static_cast<double>(static_cast<float>(value));
  }
}

// Memory of the device, and what the host knows of it.
template <typename T>
class Array {
 public:
  Array(size_t count, Random* random, double scale = 0.03125) : host_(count, T(0.0f)) {
    for (T& value : host_) {
      if (random != nullptr) value = T(static_cast<float>((static_cast<int>(random->Below(49)) - 24) * scale));
    }
    CHECK(cudaMalloc(reinterpret_cast<void**>(&memory_), count * sizeof(T) + 1));
    Send();
  }
  explicit Array(const std::vector<T>& values) : host_(values) {
    CHECK(cudaMalloc(reinterpret_cast<void**>(&memory_), values.size() * sizeof(T) + 1));
    Send();
  }
  ~Array() { cudaFree(memory_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  T* memory() const { return memory_; }
  size_t bytes() const { return host_.size() * sizeof(T); }
  size_t count() const { return host_.size(); }
  void Fetch() { CHECK(cudaMemcpy(host_.data(), memory_, bytes(), cudaMemcpyDeviceToHost)); }
  void Send() { CHECK(cudaMemcpy(memory_, host_.data(), bytes(), cudaMemcpyHostToDevice)); }
  Numbers Values() const {
    Numbers values;
    for (const T& value : host_) values.push_back(NumberOf(value));
    return values;
  }

 private:
  std::vector<T> host_;
  T* memory_ = nullptr;
};

// An attention of sequences of different lengths, with windows that end differently.
template <typename T>
class Attention {
 public:
  Attention(cudnnHandle_t handle, const Config& config, cudnnDropoutDescriptor_t dropout = nullptr,
            cudnnDropoutDescriptor_t result_dropout = nullptr)
      : handle_(handle), c(config) {
    constexpr bool kIsDouble = std::is_same_v<T, double>;
    CHECK_DNN(cudnnCreateAttnDescriptor(&attention));
    CHECK_DNN(cudnnSetAttnDescriptor(attention, c.mode, c.heads, kScale, kTypeOf<T>,
                                     kIsDouble ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT, CUDNN_DEFAULT_MATH, dropout,
                                     result_dropout, c.q, c.k, c.v, c.q_proj, c.k_proj, c.v_proj, c.o_proj, kQuerySteps,
                                     kKeySteps, kBatch, c.beams));
    for (int i = 0; i < kBatch * c.beams; ++i) query_lengths.push_back(kQuerySteps - i % 3);
    key_lengths = {kKeySteps, kKeySteps - 2};
    low = {0, 1, 0, 3};
    high = {kKeySteps, 4, std::numeric_limits<int>::max(), 4};
    q = Describe(c.q, kQuerySteps, c.beams, query_lengths, false);
    k = Describe(c.k, kKeySteps, 1, key_lengths, false);
    v = Describe(c.v, kKeySteps, 1, key_lengths, false);
    o = Describe(c.Out(), kQuerySteps, c.beams, query_lengths, true);
    CHECK_DNN(cudnnGetMultiHeadAttnBuffers(handle, attention, &weight_bytes, &inference_bytes, nullptr));
    size_t again = 0;
    CHECK_DNN(cudnnGetMultiHeadAttnBuffers(handle, attention, &again, &training_bytes, &reserve_bytes));
    EXPECT(again == weight_bytes && reserve_bytes > 0, "%s: weights of %zu or %zu bytes, and a reserve of %zu", c.name,
           weight_bytes, again, reserve_bytes);
  }
  ~Attention() {
    for (const cudnnSeqDataDescriptor_t data : {q, k, v, o}) CHECK_DNN(cudnnDestroySeqDataDescriptor(data));
    CHECK_DNN(cudnnDestroyAttnDescriptor(attention));
  }

  size_t Rows(bool of_queries) const {
    return static_cast<size_t>(kBatch) * (of_queries ? kQuerySteps * c.beams : kKeySteps);
  }
  // Where a step's vector begins, of so many numbers each.
  size_t At(bool of_queries, int batch, int beam, int step, int vector) const {
    const int dims[3] = {of_queries ? kQuerySteps : kKeySteps, kBatch, of_queries ? c.beams : 1},
              index[3] = {step, batch, beam};
    size_t offset = 0;
    for (const cudnnSeqDataAxis_t axis : c.axes) offset = offset * dims[axis] + index[axis];
    return offset * vector;
  }

  struct Place {
    const char* begin = nullptr;  // null: there is none
    int dims[3] = {}, strides[3] = {};
  };
  // The formulas' model of weights; where they lie is cuDNN's to say.
  Model ModelOf(const Numbers& weights) const {
    Model model;
    model.scale = kScale;
    static const char kBase[1] = {};
    Place places[8];
    cudnnTensorDescriptor_t shape = nullptr;
    CHECK_DNN(cudnnCreateTensorDescriptor(&shape));
    for (int kind = 0; kind < 8; ++kind) {
      void* begin = nullptr;
      CHECK_DNN(cudnnGetMultiHeadAttnWeights(handle_, attention, static_cast<cudnnMultiHeadAttnWeightKind_t>(kind),
                                             weight_bytes, kBase, shape, &begin));
      places[kind].begin = static_cast<const char*>(begin);
      cudnnDataType_t type{};
      int rank = -1;
      CHECK_DNN(cudnnGetTensorNdDescriptor(shape, 3, &type, &rank, places[kind].dims, places[kind].strides));
      const int side = kind % 4, projection = side == 0   ? c.q_proj
                                              : side == 1 ? c.k_proj
                                              : side == 2 ? c.v_proj
                                                          : c.o_proj;
      const bool is_there = projection > 0 && (kind < 4 || (c.mode & CUDNN_ATTN_ENABLE_PROJ_BIASES) != 0);
      EXPECT((begin != nullptr) == is_there && rank == (is_there ? 3 : 0) && (!is_there || type == kTypeOf<T>),
             "%s: weights %d of %d dimensions at %p", c.name, kind, rank, begin);
      EXPECT(!is_there || places[kind].dims[1] == projection, "%s: weights %d are for %d", c.name, kind,
             places[kind].dims[1]);
    }
    CHECK_DNN(cudnnDestroyTensorDescriptor(shape));
    const auto element = [&](const Place& place, int head, int out, int in) {
      return weights[(place.begin - kBase) / sizeof(T) + static_cast<size_t>(head) * place.strides[0] +
                     static_cast<size_t>(out) * place.strides[1] + static_cast<size_t>(in) * place.strides[2]];
    };
    std::vector<Linear>* const sides[4] = {&model.queries, &model.keys, &model.values, &model.result};
    for (int side = 0; side < 4; ++side) {
      if (side == 3 && c.o_proj == 0) continue;
      for (int head = 0; head < c.heads; ++head) {
        Linear linear;
        const Place &matrix = places[side], &bias = places[4 + side];
        for (int out = 0; matrix.begin != nullptr && out < matrix.dims[1]; ++out) {
          linear.matrix.emplace_back();
          for (int in = 0; in < matrix.dims[2]; ++in) linear.matrix.back().push_back(element(matrix, head, out, in));
          if (bias.begin != nullptr && head < bias.dims[0]) linear.bias.push_back(element(bias, head, out, 0));
        }
        sides[side]->push_back(linear);
      }
    }
    return model;
  }
  // By batch, beam and step; nothing behind the ends.
  std::vector<Numbers> Reference(const Numbers& weights, const Numbers& queries, const Numbers& keys,
                                 const Numbers& values, const Numbers& residuals) const {
    const Model model = ModelOf(weights);
    const auto take = [](const Numbers& from, size_t begin, int count) {
      return Numbers(from.begin() + begin, from.begin() + begin + count);
    };
    std::vector<Numbers> results;
    for (int batch = 0; batch < kBatch; ++batch) {
      std::vector<Numbers> all_keys, all_values;
      for (int i = 0; i < kKeySteps; ++i) {
        all_keys.push_back(take(keys, At(false, batch, 0, i, c.k), c.k));
        all_values.push_back(take(values, At(false, batch, 0, i, c.v), c.v));
      }
      for (int beam = 0; beam < c.beams; ++beam) {
        for (int step = 0; step < kQuerySteps; ++step) {
          results.emplace_back();
          if (step >= query_lengths[batch * c.beams + beam]) continue;
          const int end = std::min(high[step], key_lengths[batch]);
          results.back() = Attend(model, take(queries, At(true, batch, beam, step, c.q), c.q), all_keys, all_values,
                                  std::min(low[step], end), end);
          if (!c.has_residuals) continue;
          for (int j = 0; j < c.Out(); ++j) results.back()[j] += residuals[At(true, batch, beam, step, c.Out()) + j];
        }
      }
    }
    return results;
  }
  template <typename Visitor>
  void EachStep(Visitor visit) const {
    size_t number = 0;
    for (int batch = 0; batch < kBatch; ++batch)
      for (int beam = 0; beam < c.beams; ++beam)
        for (int step = 0; step < kQuerySteps; ++step) visit(number++, batch, beam, step);
  }

 private:
  cudnnSeqDataDescriptor_t Describe(int vector, int steps, int beams, const std::vector<int>& lengths,
                                    bool fills) const {
    cudnnSeqDataDescriptor_t data = nullptr;
    CHECK_DNN(cudnnCreateSeqDataDescriptor(&data));
    int dims[4] = {};
    dims[kTime] = steps;
    dims[kOfBatch] = kBatch;
    dims[kBeam] = beams;
    dims[kVector] = vector;
    const cudnnSeqDataAxis_t axes[4] = {c.axes[0], c.axes[1], c.axes[2], kVector};
    T padding = T(kPadding);
    CHECK_DNN(cudnnSetSeqDataDescriptor(data, kTypeOf<T>, 4, dims, axes, lengths.size(), lengths.data(),
                                        fills ? &padding : nullptr));
    return data;
  }

  cudnnHandle_t handle_;

 public:
  static constexpr double kScale = 0.75;
  static constexpr float kPadding = 0.5f;
  Config c;
  cudnnAttnDescriptor_t attention = nullptr;
  cudnnSeqDataDescriptor_t q = nullptr, k = nullptr, v = nullptr, o = nullptr;
  std::vector<int> query_lengths, key_lengths, low, high;
  size_t weight_bytes = 0, inference_bytes = 0, training_bytes = 0, reserve_bytes = 0;
};

// An attention's memory, and its calls.
template <typename T>
struct Run {
  Run(cudnnHandle_t on, const Attention<T>& of, Random* random)
      : handle(on),
        a(of),
        weights(of.weight_bytes / sizeof(T), random),
        gradients(of.weight_bytes / sizeof(T), random),
        queries(of.Rows(true) * of.c.q, random),
        keys(of.Rows(false) * of.c.k, random),
        values(of.Rows(false) * of.c.v, random),
        out(of.Rows(true) * of.c.Out(), random),
        residuals(of.Rows(true) * of.c.Out(), random),
        dout(of.Rows(true) * of.c.Out(), random),
        dqueries(queries.count(), nullptr),
        dkeys(keys.count(), nullptr),
        dvalues(values.count(), nullptr),
        query_lengths(of.query_lengths),
        key_lengths(of.key_lengths),
        workspace(std::max(of.inference_bytes, of.training_bytes), nullptr),
        reserve(of.reserve_bytes, nullptr) {}

  cudnnStatus_t Forward(bool is_training, int step = -1) {
    return cudnnMultiHeadAttnForward(
        handle, a.attention, step, a.low.data(), a.high.data(), query_lengths.memory(), key_lengths.memory(), a.q,
        queries.memory(), a.c.has_residuals ? residuals.memory() : nullptr, a.k, keys.memory(), a.v, values.memory(),
        a.o, out.memory(), weights.bytes(), weights.bytes() > 0 ? weights.memory() : nullptr,
        is_training ? a.training_bytes : a.inference_bytes, workspace.memory(), is_training ? reserve.bytes() : 0,
        is_training ? reserve.memory() : nullptr);
  }
  cudnnStatus_t BackwardData() {
    return cudnnMultiHeadAttnBackwardData(
        handle, a.attention, a.low.data(), a.high.data(), query_lengths.memory(), key_lengths.memory(), a.o,
        dout.memory(), a.q, dqueries.memory(), queries.memory(), a.k, dkeys.memory(), keys.memory(), a.v,
        dvalues.memory(), values.memory(), weights.bytes(), weights.bytes() > 0 ? weights.memory() : nullptr,
        a.training_bytes, workspace.memory(), reserve.bytes(), reserve.memory());
  }
  cudnnStatus_t BackwardWeights(cudnnWgradMode_t mode) {
    return cudnnMultiHeadAttnBackwardWeights(handle, a.attention, mode, a.q, queries.memory(), a.k, keys.memory(), a.v,
                                             values.memory(), a.o, dout.memory(), weights.bytes(),
                                             weights.bytes() > 0 ? weights.memory() : nullptr,
                                             weights.bytes() > 0 ? gradients.memory() : nullptr, a.training_bytes,
                                             workspace.memory(), reserve.bytes(), reserve.memory());
  }

  cudnnHandle_t handle;
  const Attention<T>& a;
  Array<T> weights, gradients, queries, keys, values, out, residuals, dout, dqueries, dkeys, dvalues;
  Array<int> query_lengths, key_lengths;
  Array<char> workspace, reserve;
};

}  // namespace attention_model
