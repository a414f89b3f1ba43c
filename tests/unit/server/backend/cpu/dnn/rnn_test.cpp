// Recurrent networks of random shapes against their formulas in long double, and their gradients against what the
// formulas say of a little more and a little less.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/apps/rnn_reference.h"
#include "tests/unit/server/backend/cpu/dnn/plugin.h"

namespace accelmesh {
namespace {

using namespace dnn_test;
using namespace rnn_reference;

enum Layout : std::int32_t { kSteps = 0, kPacked = 1, kBatches = 2 };
constexpr std::int32_t kFloat = 0, kDouble = 1;
constexpr double kPadding = -7;

template <typename T>
class Example {
 public:
  explicit Example(std::uint64_t seed) : random_(seed) {
    shape_.cell = Below(4);
    shape_.bias = Below(4);
    shape_.directions = 1 + Below(2);
    shape_.layers = 1 + Below(3);
    shape_.hidden = 1 + Below(6);
    shape_.skips_input = Below(3) == 0;
    shape_.input = shape_.skips_input ? shape_.hidden : 1 + Below(6);
    shape_.output = shape_.cell == kLstm && Below(2) == 0 ? 1 + Below(shape_.hidden) : shape_.hidden;
    shape_.clips = shape_.cell == kLstm && Below(3) == 0;
    shape_.clip_low = -0.2L;
    shape_.clip_high = 0.3L;
    layout_ = static_cast<Layout>(Below(3));
    steps_ = 1 + Below(5);
    batch_ = 1 + Below(4);
    for (int b = 0; b < batch_; ++b) lengths_.push_back(Below(steps_ + 1));
    if (layout_ == kPacked) {
      for (std::int32_t& length : lengths_) length = std::max(length, 1);
      lengths_[0] = steps_;
      std::sort(lengths_.rbegin(), lengths_.rend());
    }
    rnn_.cell = shape_.cell;
    rnn_.bias = shape_.bias;
    rnn_.direction = shape_.directions - 1;
    rnn_.input = shape_.skips_input ? 1 : 0;
    rnn_.type = kType;
    rnn_.input_size = shape_.input;
    rnn_.hidden_size = shape_.hidden;
    rnn_.projection_size = shape_.output;
    rnn_.layers = shape_.layers;
    rnn_.clip_mode = shape_.clips ? 1 : 0;
    rnn_.clip_low = static_cast<double>(shape_.clip_low);
    rnn_.clip_high = static_cast<double>(shape_.clip_high);
    tail_ = lengths_;
    if (tail_.size() % 2 != 0) tail_.push_back(0);
    has_states_ = Below(2) == 0;

    for (int pseudo = 0; pseudo < Pseudos(); ++pseudo)
      places_.push_back(device_.Ask<DnnRnnPlaces>(DnnRnnWeights{rnn_, pseudo}));
    weights_ = device_.Put(Random(places_[0].bytes / sizeof(T)));
    gradients_ = device_.Put(std::vector<T>(places_[0].bytes / sizeof(T)));
    const int columns = shape_.output * shape_.directions;
    x_ = device_.Put(Random(Rows() * shape_.input));
    dx_ = device_.Put(Random(Rows() * shape_.input));
    y_ = device_.Put(Random(Rows() * columns));
    dy_ = device_.Put(Random(Rows() * columns));
    const int states = Pseudos() * batch_ * shape_.output, cells = Pseudos() * batch_ * shape_.hidden;
    for (T** state : {&hx_, &hy_, &dhx_, &dhy_}) *state = device_.Put(Random(states));
    for (T** cell : {&cx_, &cy_, &dcx_, &dcy_}) *cell = device_.Put(Random(cells));
  }

  const RnnShape& shape() const { return shape_; }
  DnnRnn& rnn() { return rnn_; }
  Device& device() { return device_; }

  void Forward(bool is_training) {
    const auto bytes = device_.Ask<DnnRnnBytes>(DnnRnnSizes{rnn_, is_training ? 1 : 0, kType, steps_, batch_});
    if (is_training) {
      if (reserve_ == nullptr) reserve_ = device_.Put(std::vector<T>(bytes.reserve / sizeof(T)));
      reserve_bytes_ = bytes.reserve;
    }
    const DnnSpace workspace = Space(bytes.workspace);
    DnnRnnForward words;
    words.tail_words = tail_.size() / 2;
    words.is_training = is_training ? 1 : 0;
    words.rnn = rnn_;
    words.x = At(x_, shape_.input);
    words.y = At(y_, shape_.output * shape_.directions);
    if (has_states_) {
      words.hx = AddressOf(hx_);
      words.cx = AddressOf(cx_);
    }
    words.hy = AddressOf(hy_);
    words.cy = AddressOf(cy_);
    words.weights = {AddressOf(weights_), places_[0].bytes};
    words.workspace = workspace;
    words.reserve = {AddressOf(reserve_), reserve_bytes_};
    Expect(device_.Run(words, tail_));
  }
  void Backward(bool adds) {
    const auto bytes = device_.Ask<DnnRnnBytes>(DnnRnnSizes{rnn_, 1, kType, steps_, batch_});
    const DnnSpace workspace = Space(bytes.workspace);
    DnnRnnBackwardData data;
    data.tail_words = tail_.size() / 2;
    data.rnn = rnn_;
    data.y = At(y_, shape_.output * shape_.directions);
    data.dy = AddressOf(dy_);
    data.dx = At(dx_, shape_.input);
    if (has_states_) {
      data.hx = AddressOf(hx_);
      data.cx = AddressOf(cx_);
    }
    data.dhy = AddressOf(dhy_);
    data.dhx = AddressOf(dhx_);
    data.dcy = AddressOf(dcy_);
    data.dcx = AddressOf(dcx_);
    data.weights = {AddressOf(weights_), places_[0].bytes};
    data.workspace = workspace;
    data.reserve = {AddressOf(reserve_), reserve_bytes_};
    Expect(device_.Run(data, tail_));
    DnnRnnBackwardWeights weights;
    weights.tail_words = tail_.size() / 2;
    weights.mode = adds ? 0 : 1;
    weights.rnn = rnn_;
    weights.x = At(x_, shape_.input);
    weights.y = data.y;
    weights.hx = data.hx;
    weights.gradients = {AddressOf(gradients_), places_[0].bytes};
    weights.workspace = workspace;
    weights.reserve = data.reserve;
    Expect(device_.Run(weights, tail_));
  }

  // What the formulas make of the program's memory as it is now.
  struct Result {
    std::vector<std::vector<Numbers>> y;  // by sequence and step
    std::vector<Sequence> ends;
  };
  Result Reference() const {
    const std::vector<PseudoLayer> weights = Weights();
    Result result;
    for (int b = 0; b < batch_; ++b) {
      Sequence s;
      for (int t = 0; t < lengths_[static_cast<std::size_t>(b)]; ++t) {
        const T* const from = x_ + Row(b, t) * shape_.input;
        s.x.emplace_back(from, from + shape_.input);
      }
      for (int pseudo = 0; pseudo < Pseudos(); ++pseudo) {
        const T* const h = hx_ + (pseudo * batch_ + b) * shape_.output;
        const T* const c = cx_ + (pseudo * batch_ + b) * shape_.hidden;
        s.h.push_back(has_states_ ? Numbers(h, h + shape_.output) : Numbers(static_cast<std::size_t>(shape_.output)));
        s.c.push_back(has_states_ ? Numbers(c, c + shape_.hidden) : Numbers(static_cast<std::size_t>(shape_.hidden)));
      }
      result.y.push_back(Evaluate(shape_, weights, s));
      result.ends.push_back(s);
    }
    return result;
  }
  // What the gradients are of: results times what comes back.
  Wide Loss(const Result& result) const {
    Wide loss = 0;
    const int columns = shape_.output * shape_.directions;
    for (int b = 0; b < batch_; ++b) {
      const auto at = static_cast<std::size_t>(b);
      for (std::size_t t = 0; t < result.y[at].size(); ++t)
        loss += Dot(result.y[at][t], dy_ + Row(b, static_cast<int>(t)) * columns);
      for (int pseudo = 0; pseudo < Pseudos(); ++pseudo) {
        const auto p = static_cast<std::size_t>(pseudo);
        loss += Dot(result.ends[at].h[p], dhy_ + (pseudo * batch_ + b) * shape_.output);
        if (shape_.cell == kLstm) loss += Dot(result.ends[at].c[p], dcy_ + (pseudo * batch_ + b) * shape_.hidden);
      }
    }
    return loss;
  }

  void ExpectForward(double tolerance) const {
    const Result wanted = Reference();
    const int columns = shape_.output * shape_.directions;
    for (int b = 0; b < batch_; ++b) {
      const auto at = static_cast<std::size_t>(b);
      for (int t = 0; t < steps_; ++t) {
        const bool is_active = t < lengths_[at];
        if (!is_active && layout_ == kPacked) continue;
        for (int j = 0; j < columns; ++j) {
          const auto value = static_cast<double>(y_[Row(b, t) * columns + j]);
          const double right =
              is_active ? static_cast<double>(wanted.y[at][static_cast<std::size_t>(t)][static_cast<std::size_t>(j)])
                        : kPadding;
          ASSERT_NEAR(value, right, tolerance) << "y of sequence " << b << ", step " << t;
        }
      }
      for (int pseudo = 0; pseudo < Pseudos(); ++pseudo) {
        const auto p = static_cast<std::size_t>(pseudo);
        for (int j = 0; j < shape_.output; ++j)
          ASSERT_NEAR(hy_[(pseudo * batch_ + b) * shape_.output + j],
                      static_cast<double>(wanted.ends[at].h[p][static_cast<std::size_t>(j)]), tolerance);
        for (int j = 0; shape_.cell == kLstm && j < shape_.hidden; ++j)
          ASSERT_NEAR(cy_[(pseudo * batch_ + b) * shape_.hidden + j],
                      static_cast<double>(wanted.ends[at].c[p][static_cast<std::size_t>(j)]), tolerance);
      }
    }
  }

  // `loss` of the element a little more and a little less against `gradient`, for some elements of an array.
  template <typename Loss>
  void ExpectGradient(T* values, const T* gradient, std::size_t count, Loss loss, const char* what, double before = 0) {
    for (int sample = 0; sample < 10 && count > 0; ++sample) {
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
  template <typename Loss>
  void ExpectGradients(Loss loss, double before) {
    ExpectGradient(x_, dx_, static_cast<std::size_t>(Rows() * shape_.input), loss, "x");
    ExpectGradient(weights_, gradients_, places_[0].bytes / sizeof(T), loss, "weights", before);
    if (!has_states_) return;
    ExpectGradient(hx_, dhx_, static_cast<std::size_t>(Pseudos() * batch_ * shape_.output), loss, "hx");
    if (shape_.cell == kLstm)
      ExpectGradient(cx_, dcx_, static_cast<std::size_t>(Pseudos() * batch_ * shape_.hidden), loss, "cx");
  }
  void SetGradients(T value) { std::fill_n(gradients_, places_[0].bytes / sizeof(T), value); }
  // Results times what comes back, of what the plugin has computed.
  Wide LossOfMemory() const {
    Wide loss = 0;
    const int columns = shape_.output * shape_.directions;
    for (int b = 0; b < batch_; ++b) {
      for (int t = 0; t < lengths_[static_cast<std::size_t>(b)]; ++t) {
        for (int j = 0; j < columns; ++j)
          loss += static_cast<Wide>(y_[Row(b, t) * columns + j]) * static_cast<Wide>(dy_[Row(b, t) * columns + j]);
      }
    }
    for (int i = 0; i < Pseudos() * batch_ * shape_.output; ++i)
      loss += static_cast<Wide>(hy_[i]) * static_cast<Wide>(dhy_[i]);
    for (int i = 0; shape_.cell == kLstm && i < Pseudos() * batch_ * shape_.hidden; ++i)
      loss += static_cast<Wide>(cy_[i]) * static_cast<Wide>(dcy_[i]);
    return loss;
  }

 private:
  static constexpr std::int32_t kType = std::is_same_v<T, double> ? kDouble : kFloat;

  int Below(int bound) { return static_cast<int>(random_() % static_cast<std::uint64_t>(bound)); }
  std::vector<T> Random(std::size_t count) {
    std::uniform_real_distribution<double> distribution(-0.8, 0.8);
    std::vector<T> values(count);
    for (T& value : values) value = static_cast<T>(distribution(random_));
    return values;
  }
  std::vector<T> Random(int count) { return Random(static_cast<std::size_t>(count)); }
  static void Expect(const cpu_blas::Outcome& outcome) { ASSERT_EQ(outcome.device_status, 0u) << outcome.text; }
  static Wide Dot(const Numbers& a, const T* b) {
    Wide sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * static_cast<Wide>(b[i]);
    return sum;
  }
  int Pseudos() const { return shape_.layers * shape_.directions; }
  int Rows() const {
    int rows = layout_ == kPacked ? 0 : steps_ * batch_;
    for (int b = 0; layout_ == kPacked && b < batch_; ++b) rows += lengths_[static_cast<std::size_t>(b)];
    return rows;
  }
  // Where a step of a sequence lies.
  int Row(int sequence, int step) const {
    if (layout_ == kSteps) return step * batch_ + sequence;
    if (layout_ == kBatches) return sequence * steps_ + step;
    int row = sequence;
    for (const std::int32_t length : lengths_) row += std::min(length, step);
    return row;
  }
  DnnSequences At(const T* memory, int vector) const {
    return {kType, layout_, steps_, batch_, vector, 1, kPadding, AddressOf(memory)};
  }
  DnnSpace Space(std::uint64_t bytes) {
    if (bytes == 0) return {};
    return {AddressOf(device_.Put(std::vector<T>(bytes / sizeof(T)))), bytes};
  }
  std::vector<PseudoLayer> Weights() const {
    std::vector<PseudoLayer> all;
    for (int pseudo = 0; pseudo < Pseudos(); ++pseudo) {
      PseudoLayer& layer = all.emplace_back(9);
      for (std::size_t id = 0; id < 9; ++id) {
        const DnnRnnPlaces::Place place = places_[static_cast<std::size_t>(pseudo)].linear_layers[id];
        const int gates = shape_.Gates(), number = static_cast<int>(id);
        int elements = shape_.hidden * shape_.output;  // of what is applied to states, and of a projection
        if (number < gates) elements = shape_.hidden * shape_.InputOf(pseudo / shape_.directions);
        const auto take = [&](std::uint64_t offset, int count) {
          if (offset == kDnnNoPlace) return Numbers();
          const T* const from = weights_ + offset / sizeof(T);
          return Numbers(from, from + count);
        };
        layer[id] = {take(place.matrix, elements), take(place.bias, shape_.hidden)};
      }
    }
    return all;
  }

  std::mt19937_64 random_;
  RnnShape shape_;
  Layout layout_ = kSteps;
  int steps_ = 0;
  int batch_ = 0;
  std::vector<std::int32_t> lengths_;
  std::vector<std::int32_t> tail_;
  bool has_states_ = false;
  DnnRnn rnn_;
  Device device_;
  std::vector<DnnRnnPlaces> places_;
  T *weights_ = nullptr, *gradients_ = nullptr, *x_ = nullptr, *dx_ = nullptr, *y_ = nullptr, *dy_ = nullptr;
  T *hx_ = nullptr, *hy_ = nullptr, *dhx_ = nullptr, *dhy_ = nullptr;
  T *cx_ = nullptr, *cy_ = nullptr, *dcx_ = nullptr, *dcy_ = nullptr;
  T* reserve_ = nullptr;
  std::uint64_t reserve_bytes_ = 0;
};

constexpr std::uint64_t kExamples = 150;

TEST(CpuRnn, ForwardIsWhatTheFormulasSay) {
  for (std::uint64_t seed = 0; seed < kExamples; ++seed) {
    SCOPED_TRACE(seed);
    Example<float> in_float(seed);
    in_float.Forward(seed % 2 == 0);
    in_float.ExpectForward(1e-5);
    Example<double> in_double(seed);
    in_double.Forward(seed % 2 != 0);
    in_double.ExpectForward(1e-13);
    ASSERT_TRUE(in_float.device().IsWhole() && in_double.device().IsWhole());
    if (HasFatalFailure()) return;
  }
}

TEST(CpuRnn, GradientsAreThoseOfTheFormulas) {
  for (std::uint64_t seed = 0; seed < kExamples; ++seed) {
    SCOPED_TRACE(seed);
    Example<double> example(seed);
    example.Forward(true);
    const bool adds = seed % 2 == 0;
    example.SetGradients(adds ? 3 : std::nan(""));
    example.Backward(adds);
    example.ExpectGradients([&] { return example.Loss(example.Reference()); }, adds ? 3 : 0);
    ASSERT_TRUE(example.device().IsWhole());
    if (HasFatalFailure()) return;
  }
}

// With the same states the same is dropped each time, so that what comes out has a gradient.
TEST(CpuRnn, DropoutBetweenLayersGoesBackAsItCame) {
  int differing = 0;
  for (std::uint64_t seed = 0; seed < kExamples / 2; ++seed) {
    SCOPED_TRACE(seed);
    Example<double> example(seed);
    if (example.shape().layers < 2) continue;
    const auto states_bytes = example.device().Ask<DnnDropoutBytes>(DnnDropoutSizes{}).states;
    example.Forward(true);
    const Wide without = example.LossOfMemory();
    Example<double> dropping(seed);
    auto* const states = dropping.device().Put(std::vector<std::uint64_t>(states_bytes / 8));
    dropping.rnn().dropout = {0.5, AddressOf(states), states_bytes, seed};
    const auto run = [&] {
      EXPECT_EQ(dropping.device().Run(DnnDropoutSeed{dropping.rnn().dropout}).device_status, 0u);
      dropping.Forward(true);
      return dropping.LossOfMemory();
    };
    differing += run() != without ? 1 : 0;
    dropping.SetGradients(0);
    dropping.Backward(true);
    dropping.ExpectGradients(run, 0);
    // Who only goes forward drops nothing.
    dropping.Forward(false);
    EXPECT_EQ(dropping.LossOfMemory(), without);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(differing, 10);
}

}  // namespace
}  // namespace accelmesh
