#include "shim/core/twin.h"

#include <gtest/gtest.h>

#include <random>

namespace accelmesh {
namespace {

std::vector<std::pair<std::uint64_t, std::uint64_t>> Plain(const std::vector<Twin::Run>& runs) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> plain;
  for (const Twin::Run& run : runs) plain.emplace_back(run.offset, run.bytes);
  return plain;
}
using Runs = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

TEST(TwinTest, OnlyWhatWasWrittenIsSentAndOnce) {
  Bytes memory(10000, 0);
  const auto twin = Twin::Make(memory);
  EXPECT_TRUE(twin->TakeWritten(true).empty());
  memory[5] = 1;
  memory[6] = 2;
  memory[4095] = 3;
  memory[4096] = 4;  // the run goes on over the page's end
  memory[9999] = 5;
  const std::vector<Twin::Run> runs = twin->TakeWritten(true);
  EXPECT_EQ(Plain(runs), (Runs{{5, 2}, {4095, 2}, {9999, 1}}));
  EXPECT_EQ(twin->Sent(runs[0])[1], 2);
  memory[6] = 9;
  EXPECT_EQ(twin->Sent(runs[0])[1], 2) << "what is sent does not change under the sender";
  EXPECT_EQ(Plain(twin->TakeWritten(true)), (Runs{{6, 1}}));
  EXPECT_TRUE(twin->TakeWritten(true).empty());
}

TEST(TwinTest, CoarseRunsAreLinesAndEndWithTheMemory) {
  Bytes memory(130, 0);
  const auto twin = Twin::Make(memory);
  memory[70] = 1;
  memory[129] = 1;
  EXPECT_EQ(Plain(twin->TakeWritten(false)), (Runs{{64, 66}}));
}

TEST(TwinTest, MergeTakesWhatTheDeviceWroteAndKeepsWhatTheProgramWrote) {
  Bytes memory(256, 0);
  const auto twin = Twin::Make(memory);
  memory[0] = 1;
  Bytes other(256, 0);
  other[1] = 2;
  other[200] = 3;
  twin->Merge(0, other);
  EXPECT_EQ(memory[0], 1) << "not sent yet";
  EXPECT_EQ(memory[1], 2);
  EXPECT_EQ(memory[200], 3);
  EXPECT_EQ(Plain(twin->TakeWritten(true)), (Runs{{0, 1}})) << "what came back is not sent again";
}

TEST(TwinTest, MergeOfAPart) {
  Bytes memory(300, 0);
  const auto twin = Twin::Make(memory);
  twin->Merge(100, Bytes(50, 7));
  EXPECT_EQ(memory[99], 0);
  EXPECT_EQ(memory[100], 7);
  EXPECT_EQ(memory[149], 7);
  EXPECT_EQ(memory[150], 0);
  EXPECT_TRUE(twin->TakeWritten(true).empty());
}

// Two sides that write different bytes, exchange at random, and end with the same memory.
TEST(TwinTest, BothSidesConverge) {
  std::mt19937 random(7);
  Bytes memory(9000, 0);
  Bytes other(9000, 0);
  const auto twin = Twin::Make(memory);
  const auto push = [&](bool exact) {
    for (const Twin::Run& run : twin->TakeWritten(exact)) {
      const ByteView sent = twin->Sent(run);
      std::copy(sent.begin(), sent.end(), other.begin() + static_cast<std::ptrdiff_t>(run.offset));
    }
  };
  for (int round = 0; round < 300; ++round) {
    for (int i = 0; i < 20; ++i) {
      memory[random() % 4500 * 2] = static_cast<std::uint8_t>(random());
      other[random() % 4500 * 2 + 1] = static_cast<std::uint8_t>(random());
    }
    // A coarse push is for when there is nothing of the device's that has not come back.
    if (random() % 2 == 0) push(true);
    if (random() % 2 == 0) {
      twin->Merge(0, other);
      push(false);
      ASSERT_EQ(memory, other) << "round " << round;
    }
  }
}

}  // namespace
}  // namespace accelmesh
