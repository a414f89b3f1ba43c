// Dropout: how much is dropped, that the way back drops the same, and that numbers depend on seed and position alone.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/server/backend/cpu/dnn/plugin.h"

namespace accelmesh {
namespace {

using dnn_test::AddressOf;
using dnn_test::Device;

class CpuDropout : public ::testing::Test {
 protected:
  static constexpr std::int32_t kElements = 20001;

  CpuDropout() {
    states_bytes_ = device_.Ask<DnnDropoutBytes>(DnnDropoutSizes{}).states;
    states_ = device_.Put(std::vector<std::uint64_t>((states_bytes_ + 7) / 8));
    mask_ = device_.Put(std::vector<std::uint32_t>(DnnDropoutReserveBytes(kElements) / 4));
    ones_ = device_.Put(std::vector<float>(kElements, 3));
    y_ = device_.Put(std::vector<float>(kElements, -1));
    tensor_.rank = 1;
    tensor_.dims[0] = kElements;
    tensor_.strides[0] = 1;
  }
  DnnDropout Dropout(double probability, std::uint64_t seed = 7) const {
    return {probability, AddressOf(states_), states_bytes_, seed};
  }
  void Seed(std::uint64_t seed) { ASSERT_EQ(device_.Run(DnnDropoutSeed{Dropout(0, seed)}).device_status, 0u); }
  std::vector<float> Forward(double probability) {
    const DnnDropoutForward words{{tensor_, AddressOf(ones_)},
                                  {tensor_, AddressOf(y_)},
                                  Dropout(probability),
                                  {AddressOf(mask_), DnnDropoutReserveBytes(kElements)}};
    EXPECT_EQ(device_.Run(words).device_status, 0u);
    return {y_, y_ + kElements};
  }
  std::vector<float> Backward(double probability) {
    const DnnDropoutBackward words{{tensor_, AddressOf(ones_)},
                                   {tensor_, AddressOf(y_)},
                                   Dropout(probability),
                                   {AddressOf(mask_), DnnDropoutReserveBytes(kElements)}};
    EXPECT_EQ(device_.Run(words).device_status, 0u);
    return {y_, y_ + kElements};
  }

  Device device_;
  std::uint64_t states_bytes_ = 0;
  std::uint64_t* states_ = nullptr;
  std::uint32_t* mask_ = nullptr;
  float* ones_ = nullptr;
  float* y_ = nullptr;
  DnnTensor tensor_;
};

TEST_F(CpuDropout, DropsWhatItsProbabilitySays) {
  for (const double probability : {0.0, 0.1, 0.5, 0.9, 1.0}) {
    Seed(3);
    double dropped = 0;
    for (const float y : Forward(probability)) {
      dropped += y == 0 ? 1 : 0;
      if (y != 0) {
        ASSERT_NEAR(y, 3 / (1 - probability), 1e-5);
      }
    }
    // Six standard deviations.
    const double deviation = std::sqrt(kElements * probability * (1 - probability));
    EXPECT_NEAR(dropped, kElements * probability, 6 * deviation);
  }
}

TEST_F(CpuDropout, TheWayBackDropsTheSame) {
  Seed(11);
  const std::vector<float> forward = Forward(0.3);
  Forward(0);  // all are kept
  EXPECT_EQ(Backward(0.3), std::vector<float>(kElements, 3 / 0.7f));
  Seed(11);
  EXPECT_EQ(Forward(0.3), forward);
  EXPECT_EQ(Backward(0.3), forward);
}

TEST_F(CpuDropout, NumbersDependOnSeedAndPosition) {
  Seed(1);
  const std::vector<float> first = Forward(0.5);
  const std::vector<std::uint64_t> kept(states_, states_ + 2);
  const std::vector<float> second = Forward(0.5);
  EXPECT_NE(first, second);
  // States that were saved go on where they were.
  std::copy(kept.begin(), kept.end(), states_);
  EXPECT_EQ(Forward(0.5), second);
  Seed(2);
  EXPECT_NE(Forward(0.5), first);
  Seed(1);
  EXPECT_EQ(Forward(0.5), first);
  EXPECT_TRUE(device_.IsWhole());
}

TEST_F(CpuDropout, RefusesWhatIsTooSmall) {
  DnnDropoutForward words{{tensor_, AddressOf(ones_)},
                          {tensor_, AddressOf(y_)},
                          Dropout(0.5),
                          {AddressOf(mask_), DnnDropoutReserveBytes(kElements) - 4}};
  EXPECT_NE(device_.Run(words).device_status, 0u);
  words.reserve.bytes += 4;
  EXPECT_EQ(device_.Run(words).device_status, 0u);
  words.dropout.states_bytes = 8;
  EXPECT_NE(device_.Run(words).device_status, 0u);
  words.dropout = Dropout(1.5);
  EXPECT_NE(device_.Run(words).device_status, 0u);
  words.dropout = Dropout(0.5);
  words.dropout.states = AddressOf(states_) + states_bytes_;
  EXPECT_NE(device_.Run(words).device_status, 0u);
  EXPECT_TRUE(device_.IsWhole());
}

}  // namespace
}  // namespace accelmesh
