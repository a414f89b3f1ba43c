// Multi-head attention of random shapes against its formulas in long double, and its gradients against what the
// formulas say of a little more and a little less.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <random>

#include "protocol/library/dnn_windows.h"
#include "tests/apps/attention_reference.h"
#include "tests/unit/server/backend/cpu/dnn/plugin.h"

namespace accelmesh {
namespace {

using namespace dnn_test;
using namespace attention_reference;

constexpr std::int32_t kFloat = 0, kDouble = 1;
enum Axis : std::size_t { kTime = 0, kBatch = 1, kBeam = 2, kVector = 3 };
enum Kind : std::size_t { kOfQueries = 0, kOfKeys = 1, kOfValues = 2, kOfResult = 3, kBiases = 4, kKinds = 8 };
constexpr double kPadding = -7;

// Sequences in the program's memory.
template <typename T>
struct Tensor {
  DnnSequenceData words;
  T* memory = nullptr;
  std::size_t count = 0;

  T* At(int batch, int beam, int step) const {
    std::size_t stride = 1, offset = 0;
    const std::array<int, 4> index{step, batch, beam, 0};
    for (std::size_t d = 4; d-- > 0;) {
      const auto axis = static_cast<std::size_t>(words.axes[d]);
      offset += stride * static_cast<std::size_t>(index[axis]);
      stride *= static_cast<std::size_t>(words.dims[axis]);
    }
    return memory + offset;
  }
  Numbers Row(int batch, int beam, int step) const {
    const T* const from = At(batch, beam, step);
    return {from, from + words.dims[kVector]};
  }
};

template <typename T>
class Example {
 public:
  explicit Example(std::uint64_t seed) : random_(seed) {
    words_.mode = Below(2) == 0 ? kDnnAttentionBiases : 0;
    words_.heads = 1 + Below(3);
    words_.scale = 0.25 + Below(5) / 4.0;
    words_.type = words_.precision = kType;
    words_.value_size = 1 + Below(6);
    words_.value_projection = Below(6);
    words_.result_projection = Below(3) == 0 ? 0 : 1 + Below(6);
    const int inner = 1 + Below(6);  // what queries and keys meet in
    const auto side = [&](std::int32_t* size, std::int32_t* projection) {
      *projection = Below(3) == 0 ? 0 : inner;
      *size = *projection == 0 ? inner : 1 + Below(6);
    };
    side(&words_.query_size, &words_.query_projection);
    side(&words_.key_size, &words_.key_projection);
    batch_ = 1 + Below(3);
    beams_ = 1 + Below(3);
    if (beams_ == 1 && Below(2) == 0) words_.mode |= kDnnAttentionOneToOne;
    query_steps_ = 1 + Below(5);
    key_steps_ = 1 + Below(5);
    words_.query_steps = query_steps_ + Below(2);
    words_.key_steps = key_steps_ + Below(2);
    words_.batch = batch_ + Below(2);
    words_.beams = (words_.mode & kDnnAttentionOneToOne) != 0 ? 1 : beams_ + Below(2);
    for (int i = 0; i < batch_ * beams_; ++i) query_lengths_.push_back(1 + Below(query_steps_));
    for (int i = 0; i < batch_; ++i) key_lengths_.push_back(1 + Below(key_steps_));
    for (int i = 0; i < query_steps_; ++i) {
      // All of them, or any: also none, from before the begin, and past the end.
      const bool is_whole = Below(2) == 0;
      begins_.push_back(is_whole ? 0 : Below(key_steps_ + 2) - 1);
      ends_.push_back(is_whole ? std::numeric_limits<std::int32_t>::max() : begins_.back() + Below(key_steps_ + 3) - 1);
    }
    tail_ = query_lengths_;
    tail_.insert(tail_.end(), key_lengths_.begin(), key_lengths_.end());
    PackWindows(begins_, ends_, &tail_);
    if (tail_.size() % 2 != 0) tail_.push_back(0);

    axes_ = {0, 1, 2, 3};
    std::shuffle(axes_.begin(), axes_.begin() + 3, random_);
    queries_ = Sequences(query_steps_, beams_, words_.query_size);
    keys_ = Sequences(key_steps_, 1, words_.key_size);
    values_ = Sequences(key_steps_, 1, words_.value_size);
    result_ = Sequences(query_steps_, beams_, ResultSize());
    result_.words.has_padding = 1;
    result_.words.padding = kPadding;
    dresult_ = Sequences(query_steps_, beams_, ResultSize());
    dqueries_ = Sequences(query_steps_, beams_, words_.query_size);
    dkeys_ = Sequences(key_steps_, 1, words_.key_size);
    dvalues_ = Sequences(key_steps_, 1, words_.value_size);
    if (ResultSize() == words_.query_size && Below(2) == 0) {
      residuals_ = Sequences(query_steps_, beams_, words_.query_size);
      has_residuals_ = true;
    }
    device_query_lengths_ = device_.Put(query_lengths_);
    device_key_lengths_ = device_.Put(key_lengths_);
    for (std::size_t kind = 0; kind < kKinds; ++kind)
      places_[kind] = device_.Ask<DnnAttentionPlace>(DnnAttentionWeights{words_, static_cast<std::int64_t>(kind)});
    weight_bytes_ = device_.Ask<DnnAttentionBytes>(DnnAttentionSizes{words_, 0}).weights;
    weights_ = device_.Put(Random(Weights()));
    gradients_ = device_.Put(std::vector<T>(Weights()));
  }

  DnnAttention& words() { return words_; }
  Device& device() { return device_; }
  int query_steps() const { return query_steps_; }
  std::size_t Weights() const { return weight_bytes_ / sizeof(T); }

  // As a program that goes forward only, if it is not training; `step` as the words have it.
  void Forward(bool is_training, int step = -1) {
    const auto bytes = device_.Ask<DnnAttentionBytes>(DnnAttentionSizes{words_, is_training ? 1 : 0});
    if (is_training && reserve_.bytes == 0) reserve_ = Space(bytes.reserve);
    DnnAttentionForward words;
    words.tail_words = tail_.size() / 2;
    words.step = step;
    words.is_training = is_training ? 1 : 0;
    words.attention = words_;
    words.queries = queries_.words;
    words.keys = keys_.words;
    words.values = values_.words;
    words.result = result_.words;
    words.residuals = has_residuals_ ? AddressOf(residuals_.memory) : 0;
    words.query_lengths = AddressOf(device_query_lengths_);
    words.key_lengths = AddressOf(device_key_lengths_);
    words.weights = {AddressOf(weights_), weight_bytes_};
    words.workspace = Space(bytes.workspace);
    words.reserve = reserve_;
    Expect(device_.Run(words, tail_));
  }
  void Backward(bool adds) {
    DnnAttentionBackwardData data;
    data.tail_words = tail_.size() / 2;
    data.attention = words_;
    data.queries = queries_.words;
    data.keys = keys_.words;
    data.values = values_.words;
    data.dresult = dresult_.words;
    data.dqueries = AddressOf(dqueries_.memory);
    data.dkeys = AddressOf(dkeys_.memory);
    data.dvalues = AddressOf(dvalues_.memory);
    data.query_lengths = AddressOf(device_query_lengths_);
    data.key_lengths = AddressOf(device_key_lengths_);
    data.weights = {AddressOf(weights_), weight_bytes_};
    data.reserve = reserve_;
    Expect(device_.Run(data, tail_));
    std::vector<std::int32_t> lengths = query_lengths_;
    lengths.insert(lengths.end(), key_lengths_.begin(), key_lengths_.end());
    if (lengths.size() % 2 != 0) lengths.push_back(0);
    DnnAttentionBackwardWeights weights;
    weights.tail_words = lengths.size() / 2;
    weights.mode = adds ? 0 : 1;
    weights.attention = words_;
    weights.queries = queries_.words;
    weights.keys = keys_.words;
    weights.values = values_.words;
    weights.dresult = dresult_.words;
    weights.weights = data.weights;
    weights.gradients = AddressOf(gradients_);
    weights.reserve = reserve_;
    Expect(device_.Run(weights, lengths));
  }

  // What the formulas make of the program's memory as it is now; nothing behind the end of a sequence.
  Numbers Reference(int batch, int beam, int step) const {
    const auto at = static_cast<std::size_t>(batch), t = static_cast<std::size_t>(step);
    if (step >= query_lengths_[static_cast<std::size_t>(batch * beams_ + beam)]) return {};
    std::vector<Numbers> keys, values;
    for (int i = 0; i < key_steps_; ++i) {
      keys.push_back(keys_.Row(batch, 0, i));
      values.push_back(values_.Row(batch, 0, i));
    }
    const int begin = std::max(begins_[t], 0), end = std::min(ends_[t], key_lengths_[at]);
    Numbers result = Attend(ModelOf(), queries_.Row(batch, beam, step), keys, values, begin, std::max(begin, end));
    if (has_residuals_) {
      const Numbers more = residuals_.Row(batch, beam, step);
      for (std::size_t j = 0; j < result.size(); ++j) result[j] += more[j];
    }
    return result;
  }
  void ExpectForward(double tolerance, int only = -1) const {
    EachStep([&](int batch, int beam, int step) {
      if (only >= 0 && step != only) return;
      const Numbers wanted = Reference(batch, beam, step), got = result_.Row(batch, beam, step);
      for (std::size_t j = 0; j < got.size(); ++j) {
        ASSERT_NEAR(static_cast<double>(got[j]), wanted.empty() ? kPadding : static_cast<double>(wanted[j]), tolerance)
            << "batch " << batch << ", beam " << beam << ", step " << step;
      }
    });
  }
  // Results times what comes back, by the formulas or as they have been computed.
  Wide Loss(bool is_computed) const {
    Wide loss = 0;
    EachStep([&](int batch, int beam, int step) {
      if (step >= query_lengths_[static_cast<std::size_t>(batch * beams_ + beam)]) return;
      const Numbers result = is_computed ? result_.Row(batch, beam, step) : Reference(batch, beam, step);
      const Numbers coming = dresult_.Row(batch, beam, step);
      for (std::size_t j = 0; j < result.size(); ++j) loss += result[j] * coming[j];
    });
    return loss;
  }

  void SetGradients(T value) { std::fill_n(gradients_, Weights(), value); }
  void SetResult(T value) { std::fill_n(result_.memory, result_.count, value); }
  T* result() const { return result_.memory; }
  template <typename LossOf>
  void ExpectGradients(LossOf loss, double before) {
    ExpectGradient(queries_.memory, dqueries_.memory, queries_.count, loss, "queries");
    ExpectGradient(keys_.memory, dkeys_.memory, keys_.count, loss, "keys");
    ExpectGradient(values_.memory, dvalues_.memory, values_.count, loss, "values");
    ExpectGradient(weights_, gradients_, Weights(), loss, "weights", before);
  }

 private:
  static constexpr std::int32_t kType = std::is_same_v<T, double> ? kDouble : kFloat;

  int Below(int bound) { return static_cast<int>(random_() % static_cast<std::uint64_t>(bound)); }
  std::vector<T> Random(std::size_t count) {
    std::uniform_real_distribution<double> distribution(-1, 1);
    std::vector<T> values(count);
    for (T& value : values) value = static_cast<T>(distribution(random_));
    return values;
  }
  static void Expect(const cpu_blas::Outcome& outcome) { ASSERT_EQ(outcome.device_status, 0u) << outcome.text; }
  int ResultSize() const {
    const int head = words_.value_projection > 0 ? words_.value_projection : words_.value_size;
    return words_.result_projection > 0 ? words_.result_projection : words_.heads * head;
  }
  Tensor<T> Sequences(int steps, int beams, int vector) {
    Tensor<T> tensor;
    tensor.words.type = kType;
    tensor.words.dims = {steps, batch_, beams, vector};
    tensor.words.axes = axes_;
    tensor.count = static_cast<std::size_t>(steps * batch_ * beams * vector);
    tensor.memory = device_.Put(Random(tensor.count));
    tensor.words.address = AddressOf(tensor.memory);
    return tensor;
  }
  DnnSpace Space(std::uint64_t bytes) {
    if (bytes == 0) return {};
    return {AddressOf(device_.Put(std::vector<T>(bytes / sizeof(T)))), bytes};
  }
  template <typename Visitor>
  void EachStep(Visitor visit) const {
    for (int batch = 0; batch < batch_; ++batch) {
      for (int beam = 0; beam < beams_; ++beam) {
        for (int step = 0; step < query_steps_; ++step) visit(batch, beam, step);
      }
    }
  }

  // As the places say: heads, what goes out, what comes in.
  Linear LinearOf(std::size_t side, std::size_t head) const {
    Linear linear;
    const auto element = [&](const DnnAttentionPlace& place, std::size_t h, std::size_t out, std::size_t in) {
      const auto stride = [&](std::size_t d) { return static_cast<std::size_t>(place.strides[d]); };
      return Wide{weights_[place.offset / sizeof(T) + h * stride(0) + out * stride(1) + in * stride(2)]};
    };
    const DnnAttentionPlace &matrix = places_[side], &bias = places_[kBiases + side];
    if (matrix.offset == kDnnNoPlace) return linear;
    for (std::size_t out = 0; out < static_cast<std::size_t>(matrix.dims[1]); ++out) {
      linear.matrix.emplace_back();
      for (std::size_t in = 0; in < static_cast<std::size_t>(matrix.dims[2]); ++in)
        linear.matrix.back().push_back(element(matrix, head, out, in));
      const bool is_heads = bias.offset != kDnnNoPlace && head < static_cast<std::size_t>(bias.dims[0]);
      if (is_heads) linear.bias.push_back(element(bias, head, out, 0));
    }
    return linear;
  }
  Model ModelOf() const {
    Model model;
    model.scale = words_.scale;
    for (std::size_t head = 0; head < static_cast<std::size_t>(words_.heads); ++head) {
      model.queries.push_back(LinearOf(kOfQueries, head));
      model.keys.push_back(LinearOf(kOfKeys, head));
      model.values.push_back(LinearOf(kOfValues, head));
      if (words_.result_projection > 0) model.result.push_back(LinearOf(kOfResult, head));
    }
    return model;
  }

  template <typename LossOf>
  void ExpectGradient(T* values, const T* gradient, std::size_t count, LossOf loss, const char* what,
                      double before = 0) {
    for (int sample = 0; sample < 8 && count > 0; ++sample) {
      const std::size_t at = random_() % count;
      const T value = values[at];
      constexpr double kStep = 1e-5;
      values[at] = value + static_cast<T>(kStep);
      const Wide more = loss();
      values[at] = value - static_cast<T>(kStep);
      const Wide less = loss();
      values[at] = value;
      const auto slope = static_cast<double>((more - less) / (2 * kStep));
      ASSERT_NEAR(static_cast<double>(gradient[at]) - before, slope, 2e-6 * (1 + std::abs(slope))) << what << " " << at;
    }
  }

  std::mt19937_64 random_;
  DnnAttention words_;
  int batch_ = 0, beams_ = 0, query_steps_ = 0, key_steps_ = 0;
  std::vector<std::int32_t> query_lengths_, key_lengths_, begins_, ends_, tail_;
  std::array<std::int32_t, 4> axes_{};
  Device device_;
  Tensor<T> queries_, keys_, values_, result_, residuals_, dresult_, dqueries_, dkeys_, dvalues_;
  bool has_residuals_ = false;
  std::int32_t *device_query_lengths_ = nullptr, *device_key_lengths_ = nullptr;
  std::array<DnnAttentionPlace, kKinds> places_;
  std::uint64_t weight_bytes_ = 0;
  T *weights_ = nullptr, *gradients_ = nullptr;
  DnnSpace reserve_;
};

constexpr std::uint64_t kExamples = 300;

TEST(CpuAttention, ForwardIsWhatTheFormulasSay) {
  for (std::uint64_t seed = 0; seed < kExamples; ++seed) {
    SCOPED_TRACE(seed);
    Example<float> in_float(seed);
    in_float.Forward(seed % 2 == 0);
    in_float.ExpectForward(3e-5);
    Example<double> in_double(seed);
    in_double.Forward(seed % 2 != 0);
    in_double.ExpectForward(1e-13);
    ASSERT_TRUE(in_float.device().IsWhole() && in_double.device().IsWhole());
    if (HasFatalFailure()) return;
  }
}

TEST(CpuAttention, OneStepIsComputedByItself) {
  for (std::uint64_t seed = 0; seed < kExamples; ++seed) {
    SCOPED_TRACE(seed);
    Example<double> example(seed);
    const int step = static_cast<int>(seed) % example.query_steps();
    example.SetResult(5);
    example.Forward(false, step);
    example.ExpectForward(1e-13, step);
    ASSERT_TRUE(example.device().IsWhole());
    if (HasFatalFailure()) return;
  }
}

TEST(CpuAttention, GradientsAreThoseOfTheFormulas) {
  for (std::uint64_t seed = 0; seed < kExamples; ++seed) {
    SCOPED_TRACE(seed);
    Example<double> example(seed);
    example.Forward(true);
    const bool adds = seed % 2 == 0;
    example.SetGradients(adds ? 3 : std::nan(""));
    example.Backward(adds);
    example.ExpectGradients([&] { return example.Loss(false); }, adds ? 3 : 0);
    ASSERT_TRUE(example.device().IsWhole());
    if (HasFatalFailure()) return;
  }
}

// With the same states the same is dropped each time, so that what comes out has a gradient.
TEST(CpuAttention, WhatIsDroppedGoesBackAsItCame) {
  int differing = 0;
  for (std::uint64_t seed = 0; seed < kExamples / 2; ++seed) {
    SCOPED_TRACE(seed);
    Example<double> plain(seed);
    plain.Forward(true);
    const Wide without = plain.Loss(true);
    Example<double> dropping(seed);
    const auto states_bytes = dropping.device().Ask<DnnDropoutBytes>(DnnDropoutSizes{}).states;
    auto* const states = dropping.device().Put(std::vector<std::uint64_t>(states_bytes / 8));
    const DnnDropout dropout{0.4, AddressOf(states), states_bytes, seed};
    if (seed % 3 != 0) dropping.words().dropout = dropout;
    if (seed % 3 != 1) dropping.words().result_dropout = dropout;
    const auto run = [&] {
      EXPECT_EQ(dropping.device().Run(DnnDropoutSeed{dropout}).device_status, 0u);
      dropping.Forward(true);
      return dropping.Loss(true);
    };
    differing += run() != without ? 1 : 0;
    dropping.SetGradients(0);
    dropping.Backward(true);
    dropping.ExpectGradients(run, 0);
    // Who only goes forward drops nothing.
    dropping.Forward(false);
    EXPECT_EQ(dropping.Loss(true), without);
    ASSERT_TRUE(dropping.device().IsWhole());
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(differing, 50);
}

// Where 9.19 lays them: looked up in the library, which needs no device for it.
TEST(CpuAttention, WeightsLieWhereCudnnLaysThem) {
  Device device;
  DnnAttention words;
  words.mode = kDnnAttentionBiases;
  words.heads = 3;
  words.query_size = 5;
  words.key_size = 7;
  words.value_size = 9;
  words.query_projection = words.key_projection = 3;
  words.value_projection = 5;
  words.result_projection = 11;
  words.query_steps = 5;
  words.key_steps = 7;
  words.batch = 3;
  words.beams = 2;
  EXPECT_EQ(device.Ask<DnnAttentionBytes>(DnnAttentionSizes{words, 1}).weights, 1808u);
  const std::array<DnnAttentionPlace, kKinds> wanted{{{0, {3, 3, 5}, {3, 1, 9}},
                                                      {180, {3, 3, 7}, {3, 1, 9}},
                                                      {432, {3, 5, 9}, {5, 1, 15}},
                                                      {972, {3, 11, 5}, {55, 1, 11}},
                                                      {1632, {3, 3, 1}, {3, 1, 1}},
                                                      {1668, {3, 3, 1}, {3, 1, 1}},
                                                      {1704, {3, 5, 1}, {5, 1, 1}},
                                                      {1764, {1, 11, 1}, {11, 1, 1}}}};
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    SCOPED_TRACE(kind);
    const auto place = device.Ask<DnnAttentionPlace>(DnnAttentionWeights{words, static_cast<std::int64_t>(kind)});
    EXPECT_EQ(place.offset, wanted[kind].offset);
    EXPECT_EQ(place.dims, wanted[kind].dims);
    EXPECT_EQ(place.strides, wanted[kind].strides);
  }
  words.key_projection = 0;
  words.key_size = 3;
  EXPECT_EQ(device.Ask<DnnAttentionPlace>(DnnAttentionWeights{words, kOfKeys}).offset, kDnnNoPlace);
  EXPECT_EQ(device.Ask<DnnAttentionPlace>(DnnAttentionWeights{words, kBiases + kOfKeys}).offset, kDnnNoPlace);
}

}  // namespace
}  // namespace accelmesh
