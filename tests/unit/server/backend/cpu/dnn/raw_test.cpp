// What a client may write into the words of a recurrent network or a dropout, and into their tails: no function touches
// memory that it is not allowed.
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
