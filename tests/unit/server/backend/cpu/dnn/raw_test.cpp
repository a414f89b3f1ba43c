// What a client may write into the words of a recurrent network, a dropout or an attention, and into their tails: no
// function touches memory that it is not allowed.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "tests/unit/server/backend/cpu/dnn/plugin.h"

namespace accelmesh {
namespace {

using dnn_test::AddressOf;
using dnn_test::Device;

constexpr std::int32_t kLstm = 2, kGru = 3, kHalf = 2;

DnnRnn Network(std::int32_t cell, std::int32_t type) {
  DnnRnn rnn;
  rnn.cell = cell;
  rnn.bias = 2;
  rnn.direction = 1;
  rnn.type = type;
  rnn.input_size = 3;
  rnn.hidden_size = 4;
  rnn.projection_size = cell == kLstm ? 2 : 4;
  rnn.layers = 2;
  return rnn;
}

struct Example {
  explicit Example(std::int32_t cell, std::int32_t type = 0, bool has_dropout = false) : rnn(Network(cell, type)) {
    const auto memory = [&](std::uint64_t bytes) {
      return AddressOf(device.Put(std::vector<std::uint64_t>((bytes + 7) / 8)));
    };
    if (has_dropout) rnn.dropout = {0.5, memory(16), 16, 1};
    weights.bytes = device.Ask<DnnRnnPlaces>(DnnRnnWeights{rnn, 0}).bytes;
    weights.address = memory(weights.bytes);
    const auto bytes = device.Ask<DnnRnnBytes>(DnnRnnSizes{rnn, 1, type, 3, 2});
    workspace = {memory(bytes.workspace), bytes.workspace};
    reserve = {memory(bytes.reserve), bytes.reserve};
    const std::int32_t columns = 2 * rnn.projection_size;
    const auto at = [&](std::int32_t layout, std::int32_t vector) {
      return DnnSequences{type,   layout, 3, 2,
                          vector, 1,      1, memory(static_cast<std::uint64_t>(6 * vector) * sizeof(float))};
    };
    x = at(0, 3);
    y = at(0, columns);
    state = memory(4 * 2 * 4 * sizeof(float));
    other_state = memory(4 * 2 * 4 * sizeof(float));
  }
  DnnRnnForward Forward() const {
    return {1, 1, rnn, x, y, state, other_state, state, other_state, weights, workspace, reserve};
  }
  DnnRnnBackwardData BackwardData() const {
    return {1, rnn, y, y.address, x, state, state, other_state, state, state, other_state, weights, workspace, reserve};
  }
  DnnRnnBackwardWeights BackwardWeights() const { return {1, 0, rnn, x, y, state, weights, workspace, reserve}; }

  Device device;
  DnnRnn rnn;
  DnnSpace weights, workspace, reserve;
  DnnSequences x, y;
  std::uint64_t state = 0, other_state = 0;
};

// Of two sequences and two beams, with all that an attention may have.
struct AttentionExample {
  explicit AttentionExample(std::int32_t type, bool has_dropout = false) {
    const auto memory = [&](std::uint64_t bytes) {
      return AddressOf(device.Put(std::vector<std::uint64_t>((bytes + 7) / 8)));
    };
    attention.mode = kDnnAttentionBiases;
    attention.heads = 2;
    attention.scale = 1;
    attention.type = type;
    attention.query_size = attention.result_projection = 4;
    attention.key_size = attention.value_size = attention.value_projection = 3;
    attention.query_projection = attention.key_projection = 2;
    attention.query_steps = attention.key_steps = 3;
    attention.batch = attention.beams = 2;
    if (has_dropout) attention.dropout = attention.result_dropout = {0.5, memory(16), 16, 1};
    const auto training = device.Ask<DnnAttentionBytes>(DnnAttentionSizes{attention, 1});
    const auto inference = device.Ask<DnnAttentionBytes>(DnnAttentionSizes{attention, 0});
    weights = {memory(training.weights), training.weights};
    workspace = {memory(inference.workspace), inference.workspace};
    reserve = {memory(training.reserve), training.reserve};
    const auto at = [&](std::int32_t beams, std::int32_t vector) {
      return DnnSequenceData{type,         1, {3, 2, beams, vector},
                             {2, 0, 1, 3}, 1, memory(static_cast<std::uint64_t>(6 * beams * vector) * sizeof(double))};
    };
    queries = at(2, 4);
    keys = at(1, 3);
    values = at(1, 3);
    result = at(2, 4);
    const std::vector<std::int32_t> lengths{3, 2, 1, 3, 2, 3};
    query_lengths = AddressOf(device.Put(std::vector<std::int32_t>(lengths.begin(), lengths.begin() + 4)));
    key_lengths = AddressOf(device.Put(std::vector<std::int32_t>(lengths.begin() + 4, lengths.end())));
    tail = lengths;
    tail.insert(tail.end(), {2, 0, 0, 1, 1, 1, 1, 0, 0x7fffffff, 0});  // windows of two steps, and of one
  }
  DnnAttentionForward Forward(bool is_training) const {
    return {8,         -1,     is_training ? 1 : 0, attention,     queries,     keys,
            values,    result, queries.address,     query_lengths, key_lengths, weights,
            workspace, reserve};
  }
  DnnAttentionBackwardData BackwardData() const {
    return {8,           attention,       queries,      keys,           values,
            result,      queries.address, keys.address, values.address, query_lengths,
            key_lengths, weights,         workspace,    reserve};
  }
  DnnAttentionBackwardWeights BackwardWeights() const {
    return {3, 0, attention, queries, keys, values, result, weights, weights.address, workspace, reserve};
  }

  Device device;
  DnnAttention attention;
  DnnSpace weights, workspace, reserve;
  DnnSequenceData queries, keys, values, result;
  std::uint64_t query_lengths = 0, key_lengths = 0;
  std::vector<std::int32_t> tail;
};

// Words and a tail that work, some of them made anything.
template <typename Words>
void Spoil(const Device& device, const Words& good, const std::vector<std::int32_t>& good_tail) {
  const cpu_blas::Outcome works = device.Run(good, good_tail);
  ASSERT_EQ(works.device_status, 0u) << works.text;
  constexpr std::array<std::int32_t, 12> kValues{0, 1, 2, 3, 4, 7, 8, 9, -1, 40, 0x7fffffff, -0x7fffffff - 1};
  constexpr std::size_t kHalves = sizeof(Words) / sizeof(std::int32_t);
  std::mt19937_64 random(kDnnFunction<Words>);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::array<std::int32_t, kHalves> halves;
    std::memcpy(halves.data(), &good, sizeof(good));
    std::vector<std::int32_t> tail = good_tail;
    for (std::uint64_t change = 1 + random() % 3; change > 0; --change) {
      const std::size_t at = random() % (kHalves + tail.size());
      const std::int32_t value = kValues[random() % kValues.size()];
      (at < kHalves ? halves[at] : tail[at - kHalves]) = value;
    }
    if (random() % 16 == 0) tail.resize(2 * (random() % 4));
    Words words;
    std::memcpy(static_cast<void*>(&words), halves.data(), sizeof(words));
    const cpu_blas::Outcome outcome = device.Run(words, tail);
    refused += outcome.device_status != 0 ? 1 : 0;
    if (outcome.device_status != 0) {
      ASSERT_NE(outcome.text[0], '\0') << "round " << round;
    }
    ASSERT_TRUE(device.IsWhole()) << LibraryFunctionName(kLibraryDnn, kDnnFunction<Words>) << ", round " << round;
  }
  EXPECT_GT(refused, 300);
}

TEST(CpuRaw, SpoiledNetworksHurtNobody) {
  const std::vector<std::int32_t> lengths{3, 1};
  for (const Example& example : {Example(kLstm), Example(kGru), Example(kGru, kHalf), Example(kLstm, 0, true)}) {
    Spoil(example.device, example.Forward(), lengths);
    DnnRnnForward packed = example.Forward();
    packed.x.layout = packed.y.layout = 1;
    Spoil(example.device, packed, lengths);
    Spoil(example.device, example.BackwardData(), lengths);
    Spoil(example.device, example.BackwardWeights(), lengths);
    if (HasFatalFailure()) return;
  }
}

TEST(CpuRaw, SpoiledAttentionsHurtNobody) {
  for (const AttentionExample& example :
       {AttentionExample(0), AttentionExample(1), AttentionExample(kHalf), AttentionExample(0, true)}) {
    Spoil(example.device, example.Forward(true), example.tail);
    DnnAttentionForward step = example.Forward(false);
    step.step = 2;
    Spoil(example.device, step, example.tail);
    Spoil(example.device, example.BackwardData(), example.tail);
    Spoil(example.device, example.BackwardWeights(), {example.tail.begin(), example.tail.begin() + 6});
    if (HasFatalFailure()) return;
  }
}

TEST(CpuRaw, SidesOfAnAttentionFitTogether) {
  const AttentionExample example(1);
  constexpr std::uint32_t kInvalidValue = 1;
  constexpr DnnSequenceData DnnAttentionForward::* kSides[] = {&DnnAttentionForward::queries,
                                                               &DnnAttentionForward::keys, &DnnAttentionForward::values,
                                                               &DnnAttentionForward::result};
  for (const auto side : kSides) {
    for (std::size_t axis = 0; axis < 4; ++axis) {
      for (const std::int32_t change : {-1, 1}) {
        DnnAttentionForward words = example.Forward(true);
        (words.*side).dims[axis] += change;
        EXPECT_EQ(example.device.Run(words, example.tail).device_status, kInvalidValue) << axis << " by " << change;
      }
    }
    DnnAttentionForward words = example.Forward(true);
    std::swap((words.*side).axes[1], (words.*side).axes[3]);
    EXPECT_EQ(example.device.Run(words, example.tail).device_status, kInvalidValue);
  }
  DnnAttentionForward words = example.Forward(true);
  words.residuals = words.queries.address;
  EXPECT_EQ(example.device.Run(words, example.tail).device_status, 0u);
  words.attention.query_size = words.queries.dims[3] = 3;
  EXPECT_EQ(example.device.Run(words, example.tail).device_status, kInvalidValue) << "residuals of another vector";
}

TEST(CpuRaw, LengthsOnTheDeviceMayBeAnything) {
  const AttentionExample example(0);
  for (const std::int32_t length : {-1, 0, 4, 0x7fffffff, -0x7fffffff - 1}) {
    for (const std::uint64_t lengths : {example.query_lengths, example.key_lengths}) {
      auto* const numbers = reinterpret_cast<std::int32_t*>(lengths);
      const std::int32_t before = *numbers;
      *numbers = length;
      EXPECT_EQ(example.device.Run(example.Forward(true), example.tail).device_status, 0u);
      EXPECT_EQ(example.device.Run(example.BackwardData(), example.tail).device_status, 0u);
      EXPECT_TRUE(example.device.IsWhole());
      *numbers = before;
    }
  }
}

TEST(CpuRaw, SpoiledQuestionsOfAttentionsAreAnsweredOrRefused) {
  const AttentionExample example(0, true);
  std::mt19937_64 random(6);
  constexpr std::array<std::int32_t, 10> kValues{0, 1, 2, 3, 4, -1, 1 << 20, 1 << 24, 0x7fffffff, -0x7fffffff - 1};
  int answered = 0;
  for (int round = 0; round < 6000; ++round) {
    DnnAttentionSizes sizes{example.attention, 1};
    DnnAttentionWeights weights{example.attention, round % 8};
    const auto spoil = [&](auto& words) {
      std::array<std::int32_t, sizeof(words) / sizeof(std::int32_t)> halves;
      std::memcpy(halves.data(), &words, sizeof(words));
      for (int change = 0; change < 3; ++change) halves[random() % halves.size()] = kValues[random() % kValues.size()];
      std::memcpy(static_cast<void*>(&words), halves.data(), sizeof(words));
    };
    spoil(sizes);
    spoil(weights);
    const cpu_blas::Outcome about_sizes = example.device.Run(sizes), about_weights = example.device.Run(weights);
    ASSERT_TRUE(about_sizes.status != 0 || about_sizes.result_bytes == sizeof(DnnAttentionBytes));
    ASSERT_TRUE(about_weights.status != 0 || about_weights.result_bytes == sizeof(DnnAttentionPlace));
    if (about_sizes.status != 0) continue;
    ++answered;
    DnnAttentionBytes bytes;
    std::memcpy(&bytes, about_sizes.results, sizeof(bytes));
    // Nothing ran over.
    ASSERT_LT(bytes.reserve, std::uint64_t{1} << 52);
    ASSERT_LT(bytes.workspace, std::uint64_t{1} << 50);
    ASSERT_LT(bytes.weights, std::uint64_t{1} << 34);
  }
  EXPECT_GT(answered, 500);
}

TEST(CpuRaw, SpoiledQuestionsAreAnsweredOrRefused) {
  const Device device;
  std::mt19937_64 random(5);
  constexpr std::array<std::int32_t, 10> kValues{0, 1, 2, 3, 4, -1, 1 << 20, 1 << 24, 0x7fffffff, -0x7fffffff - 1};
  for (int round = 0; round < 3000; ++round) {
    DnnRnnSizes sizes{Network(kLstm, 0), 1, 0, 3, 2};
    DnnRnnWeights weights{Network(kGru, 0), 1};
    const auto spoil = [&](auto& words) {
      std::array<std::int32_t, sizeof(words) / sizeof(std::int32_t)> halves;
      std::memcpy(halves.data(), &words, sizeof(words));
      for (int change = 0; change < 3; ++change) halves[random() % halves.size()] = kValues[random() % kValues.size()];
      std::memcpy(static_cast<void*>(&words), halves.data(), sizeof(words));
    };
    spoil(sizes);
    spoil(weights);
    const cpu_blas::Outcome about_sizes = device.Run(sizes), about_weights = device.Run(weights);
    ASSERT_TRUE(about_sizes.status != 0 || about_sizes.result_bytes == sizeof(DnnRnnBytes));
    ASSERT_TRUE(about_weights.status != 0 || about_weights.result_bytes == sizeof(DnnRnnPlaces));
    if (about_sizes.status == 0) {
      DnnRnnBytes bytes;
      std::memcpy(&bytes, about_sizes.results, sizeof(bytes));
      // Nothing ran over.
      ASSERT_LT(bytes.reserve, std::uint64_t{1} << 62);
      ASSERT_GT(bytes.workspace, 0u);
    }
  }
}

TEST(CpuRaw, TheTailHasTheLengthThatTheWordsSay) {
  const Example example(kGru);
  const DnnRnnForward words = example.Forward();
  std::vector<std::uint64_t> arguments(1 + kDnnWords<DnnRnnForward> + 2);
  std::memcpy(arguments.data() + 1, &words, sizeof(words));
  const auto has_shape = [&](std::size_t count) {
    return HasLibraryShape(kLibraryDnn, kDnnFunction<DnnRnnForward>,
                           {reinterpret_cast<const std::uint8_t*>(arguments.data()), count * sizeof(std::uint64_t)});
  };
  EXPECT_FALSE(has_shape(1));
  EXPECT_FALSE(has_shape(1 + kDnnWords<DnnRnnForward>));
  EXPECT_TRUE(has_shape(1 + kDnnWords<DnnRnnForward> + 1));
  EXPECT_FALSE(has_shape(1 + kDnnWords<DnnRnnForward> + 2));
  for (const std::uint64_t tail : {kDnnTailWordsMax + 1, std::size_t{1} << 61, ~std::size_t{0}}) {
    arguments[1] = tail;
    EXPECT_FALSE(has_shape(arguments.size()));
  }
}

}  // namespace
}  // namespace accelmesh
