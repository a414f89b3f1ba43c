#include "protocol/library/dnn_windows.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace accelmesh {
namespace {

constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
constexpr std::int32_t kLeast = std::numeric_limits<std::int32_t>::min();

std::vector<std::int32_t> Packed(const std::vector<std::int32_t>& begins, const std::vector<std::int32_t>& ends) {
  std::vector<std::int32_t> runs;
  PackWindows(begins, ends, &runs);
  return runs;
}

TEST(DnnWindows, WhatIsAlikeOrMovesOnIsOneRun) {
  std::vector<std::int32_t> begins, ends;
  for (std::int32_t i = 0; i < 5000; ++i) {
    begins.push_back(0);
    ends.push_back(kMost);
  }
  EXPECT_EQ(Packed(begins, ends), (std::vector<std::int32_t>{5000, 0, 0, kMost, 0}));
  for (std::int32_t i = 0; i < 5000; ++i) {
    begins[static_cast<std::size_t>(i)] = i - 16;
    ends[static_cast<std::size_t>(i)] = i + 1;
  }
  EXPECT_EQ(Packed(begins, ends), (std::vector<std::int32_t>{5000, -16, 1, 1, 1}));
  EXPECT_EQ(Packed({}, {}), std::vector<std::int32_t>{});
}

TEST(DnnWindows, AnyComeBackAsTheyWere) {
  std::mt19937_64 random(3);
  const std::vector<std::int32_t> some{0, 1, 2, 3, -1, 40, kMost, kLeast, kMost - 1};
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::int32_t> begins, ends;
    const std::size_t steps = random() % 12;
    for (std::size_t i = 0; i < steps; ++i) {
      begins.push_back(some[random() % some.size()]);
      ends.push_back(round % 3 == 0 ? static_cast<std::int32_t>(random()) : some[random() % some.size()]);
    }
    std::vector<std::int32_t> runs = Packed(begins, ends);
    if (round % 2 == 0) runs.push_back(0);  // as a tail ends that is not even
    const std::optional<DnnWindows> back = UnpackWindows(runs, steps);
    ASSERT_TRUE(back.has_value()) << "round " << round;
    EXPECT_EQ(back->begins, begins);
    EXPECT_EQ(back->ends, ends);
    EXPECT_FALSE(UnpackWindows(runs, steps + 1).has_value());
    if (steps > 0) {
      EXPECT_FALSE(UnpackWindows(runs, steps - 1).has_value());
    }
  }
}

TEST(DnnWindows, WhatIsNotWholeOrDoesNotFitIsRefused) {
  const std::vector<std::int32_t> good{3, 1, 2, 4, 5};
  ASSERT_TRUE(UnpackWindows(good, 3).has_value());
  for (std::size_t size = 1; size < good.size(); ++size)
    EXPECT_FALSE(UnpackWindows(std::span(good).first(size), 3).has_value()) << size;
  for (const std::int32_t count : {0, -1, kLeast, 2, 4, kMost})
    EXPECT_FALSE(UnpackWindows(std::vector<std::int32_t>{count, 1, 2, 4, 5}, 3).has_value()) << count;
  EXPECT_FALSE(UnpackWindows(std::vector<std::int32_t>{3, 1, kMost, 4, 5}, 3).has_value());
  EXPECT_FALSE(UnpackWindows(std::vector<std::int32_t>{3, 1, 2, kLeast, -1}, 3).has_value());
  EXPECT_FALSE(UnpackWindows(std::vector<std::int32_t>{kMost, 0, 0, 0, 0}, 3).has_value()) << "nor made room for";
  EXPECT_FALSE(UnpackWindows(std::vector<std::int32_t>{3, 1, 2, 4, 5, 1, 0, 0, 0, 0}, 3).has_value());
}

}  // namespace
}  // namespace accelmesh
