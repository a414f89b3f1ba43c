// CTC loss against its definition: of all sequences of symbols, those that say the label, counted one by one.
#include <limits>

#include "tests/unit/server/backend/cpu/dnn/layers.h"

namespace accelmesh {
namespace {

// Repetitions and then blanks left out.
std::vector<int> Said(const std::vector<int>& path) {
  std::vector<int> label;
  for (std::size_t t = 0; t < path.size(); ++t) {
    if (path[t] != 0 && (t == 0 || path[t] != path[t - 1])) label.push_back(path[t]);
  }
  return label;
}

// Of steps of `symbols` logits each, as many as there are.
Real Cost(const Reals& logits, int symbols, const std::vector<int>& label) {
  const auto steps = logits.size() / static_cast<std::size_t>(symbols);
  Reals probabilities(logits.size());
  for (std::size_t t = 0; t < steps; ++t) {
    Real sum = 0;
    for (std::size_t k = 0; k < static_cast<std::size_t>(symbols); ++k)
      sum += std::exp(logits[t * static_cast<std::size_t>(symbols) + k]);
    for (std::size_t k = 0; k < static_cast<std::size_t>(symbols); ++k) {
      const std::size_t at = t * static_cast<std::size_t>(symbols) + k;
      probabilities[at] = std::exp(logits[at]) / sum;
    }
  }
  Real all = 0;
  std::vector<int> path(steps);
  while (true) {
    Real likelihood = 1;
    for (std::size_t t = 0; t < steps; ++t)
      likelihood *= probabilities[t * static_cast<std::size_t>(symbols) + static_cast<std::size_t>(path[t])];
    if (Said(path) == label) all += likelihood;
    std::size_t t = 0;
    while (t < steps && ++path[t] == symbols) path[t++] = 0;
    if (t == steps) break;
  }
  return -std::log(all);
}

struct Batch {
  int steps, sequences, symbols;
  std::vector<std::int32_t> lengths, inputs, labels;

  explicit Batch(Random& random)
      : steps(Pick(random, 1, 5)), sequences(Pick(random, 1, 4)), symbols(Pick(random, 2, 4)) {
    for (int n = 0; n < sequences; ++n) {
      lengths.push_back(Pick(random, 0, 3));
      inputs.push_back(Pick(random, 1, steps));
      for (int i = 0; i < lengths.back(); ++i) labels.push_back(Pick(random, 1, symbols - 1));
    }
  }
  std::vector<int> Label(int n) const {
    auto first = labels.begin();
    for (int i = 0; i < n; ++i) first += lengths[static_cast<std::size_t>(i)];
    return {first, first + lengths[static_cast<std::size_t>(n)]};
  }
  std::vector<std::int32_t> Tail() const {
    std::vector<std::int32_t> tail = lengths;
    tail.insert(tail.end(), inputs.begin(), inputs.end());
    tail.insert(tail.end(), labels.begin(), labels.end());
    return tail;
  }
};

std::uint64_t Put(Arena& arena, const std::vector<std::int32_t>& numbers) {
  const std::uint64_t at = arena.Take(numbers.size() * sizeof(std::int32_t));
  if (!numbers.empty()) std::memcpy(reinterpret_cast<void*>(at), numbers.data(), numbers.size() * sizeof(numbers[0]));
  return at;
}

TEST(CpuDnnCtc, Loss) {
  Random random(7);
  int outside = 0;
  for (int round = 0; round < 80; ++round) {
    const int type = round % 2 == 0 ? kFloat : kDouble;
    const bool is_softmax = round / 2 % 2 == 0, is_version_8 = round / 4 % 2 == 0, skips = round / 8 % 2 == 0;
    const Batch batch(random);
    const std::vector<int> dims{batch.steps, batch.sequences, batch.symbols};
    const auto symbols = static_cast<std::size_t>(batch.symbols);
    Arena arena;
    Tensor x(arena, type, dims, round % 3 == 0 ? 2 : 0, random);
    const Tensor gradients(arena, type, dims, round % 5 == 0 ? 2 : 0, random), costs(arena, type, {batch.sequences});
    const auto at = [&](int t, int n) { return static_cast<std::size_t>(t * batch.sequences + n) * symbols; };
    if (!is_softmax) {
      Reals values = x.Get();
      for (std::size_t row = 0; row < values.size(); row += symbols) {
        Real sum = 0;
        for (std::size_t k = 0; k < symbols; ++k) sum += values[row + k] = std::exp(values[row + k]);
        for (std::size_t k = 0; k < symbols; ++k) values[row + k] /= sum;
      }
      x.Set(values);
    }
    Reals logits = x.Get();
    for (Real& value : logits) value = is_softmax ? value : std::log(value);
    const Reals before = gradients.Get();
    DnnCtcLoss words;
    words.is_version_8 = is_version_8 ? 1 : 0;
    words.ctc = {type, is_softmax ? 1 : 0, skips ? 1 : 0, 3};
    words.probabilities = x.operand();
    if (round % 7 != 0) words.gradients = gradients.operand();
    words.costs = costs.address();
    if (is_version_8) {
      words.labels = Put(arena, batch.labels);
      words.label_lengths = Put(arena, batch.lengths);
      words.input_lengths = Put(arena, batch.inputs);
      MustRun(arena, words);
    } else {
      MustRun(arena, words, batch.Tail());
    }
    Reals wanted(before.size());
    const Reals got = costs.Get();
    for (int n = 0; n < batch.sequences; ++n) {
      const int input = batch.inputs[static_cast<std::size_t>(n)];
      Reals own;
      for (int t = 0; t < input; ++t) {
        for (std::size_t k = 0; k < symbols; ++k) own.push_back(logits[at(t, n) + k]);
      }
      const auto cost = [&](const Reals& value) { return Reals{Cost(value, batch.symbols, batch.Label(n))}; };
      const Real loss = cost(own)[0];
      const Real told = got[static_cast<std::size_t>(n)];
      if (std::isinf(loss)) {
        ++outside;
        ASSERT_TRUE(std::isinf(told) && told > 0);
      } else {
        ASSERT_NEAR(static_cast<double>(told), static_cast<double>(loss), Tolerance(type) * 10);
      }
      const Reals slopes = std::isinf(loss) ? Reals(own.size()) : Slopes(own, {1}, cost);
      for (int t = 0; t < batch.steps; ++t) {
        for (std::size_t k = 0; k < symbols; ++k) {
          Real& value = wanted[at(t, n) + k];
          if (std::isinf(loss) && skips) {
            value = before[at(t, n) + k];
          } else if (t < input) {
            value = slopes[static_cast<std::size_t>(t) * symbols + k];
          }
        }
      }
    }
    if (words.gradients.tensor.rank == 0) wanted = before;
    gradients.Expect(wanted, Tolerance(type) * 10, "gradient of CTC");
  }
  EXPECT_GT(outside, 5);
}

TEST(CpuDnnCtc, WhatLabelsCannotBe) {
  Random random(8);
  Arena arena;
  const Tensor x(arena, kFloat, {3, 1, 3}, 0, random), costs(arena, kFloat, {1});
  DnnCtcLoss words;
  words.ctc = {kFloat, 1, 0, 0};
  words.probabilities = x.operand();
  words.costs = costs.address();
  MustRun(arena, words, {1, 3, 2});
  for (const std::vector<std::int32_t>& tail :
       {std::vector<std::int32_t>{}, {1, 3}, {1, 4, 2}, {-1, 3, 2}, {1, -1, 2}, {1, 3, 0}, {1, 3, 3}, {3, 3, 1, 2}})
    EXPECT_NE(Execute(arena, words, tail).device_status, 0u);
  // A label is no longer than its descriptor says.
  words.is_version_8 = 1;
  words.labels = Put(arena, {1, 2});
  words.label_lengths = Put(arena, {2});
  words.input_lengths = Put(arena, {3});
  words.ctc.label_length_max = 1;
  EXPECT_NE(Execute(arena, words).device_status, 0u);
  words.ctc.label_length_max = 2;
  MustRun(arena, words);
}

TEST(CpuDnnCtc, SpoiledCallsHurtNobody) {
  Random random(9);
  Arena arena;
  const Tensor x(arena, kFloat, {4, 2, 3}, 0, random), y(arena, kFloat, {4, 2, 3}, 2, random),
      costs(arena, kFloat, {2});
  DnnCtcLoss words;
  words.tail_words = 4;
  words.ctc = {kFloat, 1, 0, 4};
  words.probabilities = x.operand();
  words.gradients = y.operand();
  words.costs = costs.address();
  Spoil(arena, words, {1, 2, 4, 3, 1, 2, 2, 0});
  words.is_version_8 = 1;
  words.labels = Put(arena, {1, 2, 2});
  words.label_lengths = Put(arena, {1, 2});
  words.input_lengths = Put(arena, {4, 3});
  Spoil(arena, words);
  Spoil(arena, DnnCtcSizes{x.tensor(), y.tensor(), words.ctc, 0, 0, 3});
}

}  // namespace
}  // namespace accelmesh
