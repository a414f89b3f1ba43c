// Which way bodies take between the network card and a device's memory, and what is registered for it.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "protocol/transport/rdma/direct.h"
#include "tests/unit/protocol/transport/rdma/captured_log.h"
#include "tests/unit/protocol/transport/rdma/counted_memory.h"

namespace accelmesh::rdma {
namespace {

// Which means there are -----------------------------------------------------------------------------------------------

TEST(RdmaDirectChoice, TheCardItselfBeforeThroughPinnedMemory) {
  const Status no(Code::kUnsupported, "test", "because");
  struct Case {
    DirectTried tried;
    DirectMeans means;
  };
  for (const Case& c : {Case{{{}, {}}, DirectMeans::kDmaBuf}, Case{{{}, no}, DirectMeans::kDmaBuf},
                        Case{{no, {}}, DirectMeans::kPeerMemory}, Case{{no, no}, DirectMeans::kBounce}}) {
    EXPECT_EQ(ChooseDirect(c.tried), c.means);
    const std::string text = DirectText(c.means, c.tried);
    const bool is_direct = c.means != DirectMeans::kBounce;
    EXPECT_EQ(text.find("has never run on hardware") != std::string::npos, is_direct) << text;
    EXPECT_EQ(text.find("because") != std::string::npos, !c.tried.dma_buf.ok()) << text;
  }
}

// The cache -----------------------------------------------------------------------------------------------------------

class RdmaDeviceRegistrations : public ::testing::Test {
 protected:
  static DirectBlock Block(std::uint64_t allocation, std::uint64_t epoch) { return {allocation, epoch, 4096, 4096}; }
  int live_ = 0;
  int registered_ = 0;
  bool fails_ = false;
  DeviceRegistrations blocks_{[this](const DirectBlock&) -> Result<std::unique_ptr<Memory>> {
    ++registered_;
    if (fails_) return Status(Code::kOutOfMemory, "test", "no");
    return std::unique_ptr<Memory>(new CountedMemory(live_));
  }};
};

TEST_F(RdmaDeviceRegistrations, GoByAllocationAndEpochAndNotByAddress) {
  const std::shared_ptr<Memory> first = blocks_.Find(Block(1, 1));
  EXPECT_EQ(blocks_.Find(Block(1, 1)), first);
  EXPECT_NE(blocks_.Find(Block(2, 1)), first) << "another allocation";
  EXPECT_EQ(registered_, 2);
  // Backed anew: the old registration is gone but for who is using it.
  EXPECT_NE(blocks_.Find(Block(1, 2)), first);
  EXPECT_EQ(registered_, 3);
  EXPECT_EQ(live_, 3);
  blocks_.Forget(Block(1, 1));
  EXPECT_EQ(blocks_.size(), 2U) << "that one is not there any more, and the new one stays";
  blocks_.Forget(Block(1, 2));
  EXPECT_EQ(live_, 2) << "of which one is held by this test";
  blocks_.Clear();
  EXPECT_EQ(live_, 1);
  EXPECT_EQ(blocks_.size(), 0U);
}

TEST_F(RdmaDeviceRegistrations, AreNeverMoreThanAllowedAndThoseUsedLastStay) {
  constexpr std::uint64_t kMost = DeviceRegistrations::kBlocksMax;
  for (std::uint64_t i = 0; i < kMost; ++i) (void)blocks_.Find(Block(i, 1));
  (void)blocks_.Find(Block(0, 1));
  EXPECT_EQ(registered_, static_cast<int>(kMost));
  (void)blocks_.Find(Block(kMost, 1));
  EXPECT_EQ(blocks_.size(), kMost);
  EXPECT_EQ(live_, static_cast<int>(kMost));
  (void)blocks_.Find(Block(0, 1));
  EXPECT_EQ(registered_, static_cast<int>(kMost) + 1) << "used, so that it stayed";
  (void)blocks_.Find(Block(1, 1));
  EXPECT_EQ(registered_, static_cast<int>(kMost) + 2) << "the one used longest ago";
}

// The cache against a plain list of what was asked for last.
TEST_F(RdmaDeviceRegistrations, AgreesWithAPlainListWhateverIsAskedOfIt) {
  std::mt19937 random(7);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> kept;  // the last one at the back
  std::map<std::uint64_t, std::uint64_t> epochs;
  int made = 0;
  for (int step = 0; step < 20000; ++step) {
    const std::uint64_t allocation = random() % 90;
    std::uint64_t& epoch = epochs[allocation];
    const auto known = std::find(kept.begin(), kept.end(), std::pair(allocation, epoch));
    switch (random() % 8) {
      case 0: {  // it is freed, and its place backed anew
        blocks_.Forget(Block(allocation, epoch));
        if (known != kept.end()) kept.erase(known);
        ++epoch;
        break;
      }
      case 1: ++epoch; break;  // without a word
      default: {
        if (known == kept.end()) {
          ++made;
          std::erase_if(kept, [&](const auto& one) { return one.first == allocation; });
          if (kept.size() == DeviceRegistrations::kBlocksMax) kept.erase(kept.begin());
        } else {
          kept.erase(known);
        }
        kept.emplace_back(allocation, epoch);
        ASSERT_NE(blocks_.Find(Block(allocation, epoch)), nullptr);
      }
    }
    ASSERT_EQ(registered_, made);
    ASSERT_EQ(static_cast<std::size_t>(live_), blocks_.size());
  }
}

TEST_F(RdmaDeviceRegistrations, WhatCannotBeIsTriedOnceAndSaidOnce) {
  const CapturedLog log;
  fails_ = true;
  EXPECT_EQ(blocks_.Find(Block(1, 1)), nullptr);
  EXPECT_EQ(blocks_.Find(Block(1, 1)), nullptr);
  EXPECT_EQ(registered_, 1);
  EXPECT_EQ(blocks_.Find(Block(2, 1)), nullptr);
  EXPECT_EQ(CapturedLog::Take().size(), 1U);
  fails_ = false;
  EXPECT_NE(blocks_.Find(Block(1, 2)), nullptr) << "another epoch is another try";
}

}  // namespace
}  // namespace accelmesh::rdma
