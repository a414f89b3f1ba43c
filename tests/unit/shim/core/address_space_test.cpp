#include "shim/core/address_space.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/limits.h"

namespace accelmesh {
namespace {

constexpr std::uint64_t kBase = 0x2000'0000'0000;
constexpr std::uint64_t kUnit = AddressSpace::kAlignment;
constexpr std::uint64_t kLarge = 1 * limits::kMiB;

// An allocation that must succeed.
std::uint64_t Take(AddressSpace& space, std::uint64_t bytes) {
  const Result<std::uint64_t> address = space.Allocate(bytes);
  EXPECT_TRUE(address.ok()) << address.status().ToString();
  return address.ok() ? *address : 0;
}

TEST(AddressSpaceTest, ListsWhatIsLive) {
  AddressSpace space(kBase, limits::kGiB, limits::kGiB);
  const std::uint64_t first = Take(space, 3 * kUnit);
  const std::uint64_t second = Take(space, 1);
  const std::uint64_t third = Take(space, kLarge);
  ASSERT_TRUE(space.Free(second, 7, false).ok());
  const std::vector<AddressSpace::Range> live = space.Live();
  ASSERT_EQ(live.size(), 2u);
  EXPECT_EQ(live[0].address, first);
  EXPECT_EQ(live[0].bytes, 3 * kUnit);
  EXPECT_EQ(live[1].address, third);
  EXPECT_EQ(live[1].bytes, kLarge);
}

// Quota ---------------------------------------------------------------------------------------------------------------

TEST(AddressSpaceTest, TheQuotaIsExact) {
  AddressSpace space(kBase, limits::kGiB, 10 * kUnit);
  EXPECT_EQ(space.memory_bytes(), 10 * kUnit);
  const std::uint64_t first = Take(space, 4 * kUnit);
  Take(space, 6 * kUnit);
  EXPECT_EQ(space.allocated_bytes(), 10 * kUnit);
  EXPECT_EQ(space.Allocate(1).code(), Code::kOutOfMemory);
  ASSERT_TRUE(space.Free(first, 1, true).ok());
  EXPECT_EQ(space.allocated_bytes(), 6 * kUnit);
  EXPECT_EQ(space.Allocate(4 * kUnit + 1).code(), Code::kOutOfMemory);
  Take(space, 4 * kUnit);
}

TEST(AddressSpaceTest, SizesAreRoundedUpAndCountedSo) {
  AddressSpace space(kBase, limits::kGiB, 3 * kUnit);
  Take(space, 1);
  EXPECT_EQ(space.allocated_bytes(), kUnit);
  Take(space, kUnit + 1);
  EXPECT_EQ(space.allocated_bytes(), 3 * kUnit);
}

TEST(AddressSpaceTest, NothingAndTooMuchAreNoSizes) {
  AddressSpace space(kBase, limits::kGiB, limits::kGiB);
  EXPECT_EQ(space.Allocate(0).code(), Code::kInvalidArgument);
  EXPECT_EQ(space.Allocate(limits::kAllocationBytesMax + 1).code(), Code::kInvalidArgument);
  EXPECT_EQ(space.Allocate(~std::uint64_t{0}).code(), Code::kInvalidArgument);
  EXPECT_EQ(space.Allocate(limits::kAllocationBytesMax).code(), Code::kOutOfMemory);
  EXPECT_EQ(space.allocated_bytes(), 0U);
}

TEST(AddressSpaceTest, TheMessageSaysWhatIsFree) {
  AddressSpace space(kBase, limits::kGiB, 10 * kUnit);
  const std::uint64_t address = Take(space, 4 * kUnit);
  Take(space, 2 * kUnit);
  ASSERT_TRUE(space.Free(address, 1, false).ok());
  EXPECT_EQ(space.Allocate(5000).status().text(), "5000 bytes asked, 2048 of 5120 free");
}

TEST(AddressSpaceTest, TheWindowIsNeverLeft) {
  AddressSpace space(kBase, 4 * kUnit, limits::kGiB);
  std::set<std::uint64_t> addresses;
  for (int i = 0; i < 4; ++i) addresses.insert(Take(space, kUnit));
  EXPECT_EQ(addresses.size(), 4U);
  EXPECT_EQ(*addresses.begin(), kBase);
  EXPECT_EQ(*addresses.rbegin(), kBase + 3 * kUnit);
  EXPECT_EQ(space.Allocate(1).code(), Code::kOutOfMemory);
  EXPECT_TRUE(space.Contains(kBase));
  EXPECT_TRUE(space.Contains(kBase + 4 * kUnit - 1));
  EXPECT_FALSE(space.Contains(kBase + 4 * kUnit));
  EXPECT_FALSE(space.Contains(kBase - 1));
  EXPECT_FALSE(space.Contains(0));
}

// Freeing -------------------------------------------------------------------------------------------------------------

TEST(AddressSpaceTest, OnlyTheStartOfALiveAllocationIsFreed) {
  AddressSpace space(kBase, limits::kGiB, limits::kGiB);
  const std::uint64_t address = Take(space, 4 * kUnit);
  for (const std::uint64_t wrong :
       {address + kUnit, address + 1, address - kUnit, std::uint64_t{0}, ~std::uint64_t{0}}) {
    EXPECT_EQ(space.Free(wrong, 1, true).code(), Code::kInvalidArgument);
  }
  EXPECT_TRUE(space.Free(address, 1, true).ok());
  EXPECT_EQ(space.Free(address, 1, true).code(), Code::kInvalidArgument) << "twice";
  EXPECT_EQ(space.allocated_bytes(), 0U);
}

TEST(AddressSpaceTest, AFreedRangeIsQuarantinedUntilItsSequenceHasPassed) {
  for (const std::uint64_t bytes : {kUnit, kLarge}) {
    // Just one fits the window, so that a second one could only be the first.
    AddressSpace space(kBase, bytes, limits::kGiB);
    const std::uint64_t address = Take(space, bytes);
    ASSERT_TRUE(space.Free(address, 70, false).ok());
    EXPECT_EQ(space.allocated_bytes(), 0U);
    EXPECT_EQ(space.quarantined_bytes(), bytes);
    EXPECT_EQ(space.oldest_quarantined(), 70U);
    EXPECT_EQ(space.Find(address).bytes, 0U) << "it is no allocation any more";
    EXPECT_EQ(space.Free(address, 71, false).code(), Code::kInvalidArgument);
    EXPECT_EQ(space.Allocate(bytes).code(), Code::kOutOfMemory);
    space.Release(69);
    EXPECT_EQ(space.Allocate(bytes).code(), Code::kOutOfMemory);
    space.Release(70);
    EXPECT_EQ(space.quarantined_bytes(), 0U);
    EXPECT_EQ(space.oldest_quarantined(), 0U);
    EXPECT_EQ(Take(space, bytes), address);
  }
}

TEST(AddressSpaceTest, QuarantinedBytesCountAgainstTheQuota) {
  // The device may still write there: the bytes are in use though the program gave them back.
  AddressSpace space(kBase, limits::kGiB, 4 * kUnit);
  const std::uint64_t first = Take(space, 3 * kUnit);
  ASSERT_TRUE(space.Free(first, 5, false).ok());
  EXPECT_EQ(space.Allocate(2 * kUnit).code(), Code::kOutOfMemory);
  Take(space, kUnit);
  EXPECT_EQ(space.Allocate(1).code(), Code::kOutOfMemory);
  space.Release(5);
  Take(space, 3 * kUnit);
}

TEST(AddressSpaceTest, QuarantineEndsInOrder) {
  AddressSpace space(kBase, limits::kGiB, limits::kGiB);
  std::vector<std::uint64_t> addresses;
  for (int i = 0; i < 4; ++i) addresses.push_back(Take(space, kUnit));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(space.Free(addresses[i], 10 + i, false).ok());
  space.Release(11);
  EXPECT_EQ(space.quarantined_bytes(), 2 * kUnit);
  EXPECT_EQ(space.oldest_quarantined(), 12U);
  // Only the two that have passed are given out again.
  const std::set<std::uint64_t> again{Take(space, kUnit), Take(space, kUnit)};
  EXPECT_EQ(again, (std::set<std::uint64_t>{addresses[0], addresses[1]}));
  const std::uint64_t fresh = Take(space, kUnit);
  EXPECT_EQ(std::count(addresses.begin(), addresses.end(), fresh), 0);
  space.Release(100);
  EXPECT_EQ(space.quarantined_bytes(), 0U);
}

TEST(AddressSpaceTest, WhatWasFreedIdleIsFreeAtOnce) {
  AddressSpace space(kBase, limits::kGiB, limits::kGiB);
  const std::uint64_t address = Take(space, kUnit);
  ASSERT_TRUE(space.Free(address, 9, true).ok());
  EXPECT_EQ(space.quarantined_bytes(), 0U);
  EXPECT_EQ(Take(space, kUnit), address);
}

// Reuse ---------------------------------------------------------------------------------------------------------------

TEST(AddressSpaceTest, SmallRangesAreReusedByTheirSize) {
  AddressSpace space(kBase, limits::kGiB, limits::kGiB);
  const std::uint64_t one = Take(space, kUnit);
  const std::uint64_t two = Take(space, 2 * kUnit);
  ASSERT_TRUE(space.Free(one, 1, true).ok());
  ASSERT_TRUE(space.Free(two, 1, true).ok());
  EXPECT_EQ(Take(space, 2 * kUnit - 1), two);
  EXPECT_EQ(Take(space, 1), one);
}

TEST(AddressSpaceTest, LargeRangesAreSplitAndMerged) {
  AddressSpace space(kBase, 4 * kLarge, limits::kGiB);
  std::vector<std::uint64_t> addresses;
  for (int i = 0; i < 4; ++i) addresses.push_back(Take(space, kLarge));
  // In every order of freeing, four neighbours become one range again.
  std::vector<int> order{0, 1, 2, 3};
  do {
    for (const int i : order) ASSERT_TRUE(space.Free(kBase + i * kLarge, 1, true).ok());
    const std::uint64_t whole = Take(space, 4 * kLarge);
    EXPECT_EQ(whole, kBase);
    ASSERT_TRUE(space.Free(whole, 1, true).ok());
    for (int i = 0; i < 4; ++i) EXPECT_EQ(Take(space, kLarge), kBase + i * kLarge) << "low addresses first";
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(AddressSpaceTest, RangesThatOnlyTouchAllocationsAreNotMerged) {
  AddressSpace space(kBase, 3 * kLarge, limits::kGiB);
  for (int i = 0; i < 3; ++i) Take(space, kLarge);
  ASSERT_TRUE(space.Free(kBase, 1, true).ok());
  ASSERT_TRUE(space.Free(kBase + 2 * kLarge, 1, true).ok());
  EXPECT_EQ(space.Allocate(2 * kLarge).code(), Code::kOutOfMemory);
}

TEST(AddressSpaceTest, AUsedUpWindowServesAnySizeFromWhatIsFree) {
  // A program that fills its memory with pieces of one size, frees them and takes another size: all of it is free.
  const std::uint64_t memory = 2 * kLarge;
  AddressSpace space(kBase, memory, memory);
  for (const std::uint64_t bytes :
       {kLarge, kUnit, 4 * kUnit, 3 * kLarge / 4, 2 * kUnit, 2 * kLarge, 64 * limits::kKiB}) {
    std::vector<std::uint64_t> taken;
    for (std::uint64_t i = 0; i < memory / bytes; ++i) {
      const Result<std::uint64_t> address = space.Allocate(bytes);
      ASSERT_TRUE(address.ok()) << bytes << ": " << address.status().ToString();
      taken.push_back(*address);
    }
    std::sort(taken.begin(), taken.end());
    for (std::size_t i = 1; i < taken.size(); ++i) ASSERT_GE(taken[i] - taken[i - 1], bytes);
    for (const std::uint64_t address : taken) ASSERT_TRUE(space.Free(address, 1, true).ok());
  }
}

TEST(AddressSpaceTest, FindNamesTheAllocationAroundAnAddress) {
  AddressSpace space(kBase, limits::kGiB, limits::kGiB);
  const std::uint64_t first = Take(space, 2 * kUnit);
  const std::uint64_t second = Take(space, kUnit);
  ASSERT_EQ(second, first + 2 * kUnit);
  for (const std::uint64_t inside : {first, first + 1, second - 1}) {
    EXPECT_EQ(space.Find(inside).address, first);
    EXPECT_EQ(space.Find(inside).bytes, 2 * kUnit);
  }
  EXPECT_EQ(space.Find(second).address, second);
  EXPECT_EQ(space.Find(second + kUnit - 1).address, second);
  for (const std::uint64_t outside : {first - 1, second + kUnit, std::uint64_t{0}, ~std::uint64_t{0}}) {
    EXPECT_EQ(space.Find(outside).bytes, 0U);
  }
}

// Against a plain model -----------------------------------------------------------------------------------------------

// What SEMANTICS.md 1 promises, without any cleverness: ranges in use by the program, and ranges that the device may
// still use.
class Model {
 public:
  Model(std::uint64_t window_bytes, std::uint64_t memory_bytes)
      : window_bytes_(window_bytes), memory_bytes_(memory_bytes) {}

  std::uint64_t live_bytes() const { return Sum(live_); }
  std::uint64_t quarantined_bytes() const {
    std::uint64_t sum = 0;
    for (const auto& [address, freed] : quarantine_) sum += freed.bytes;
    return sum;
  }
  bool FitsQuota(std::uint64_t bytes) const { return bytes <= memory_bytes_ - live_bytes() - quarantined_bytes(); }
  // The longest run of addresses that nobody uses.
  std::uint64_t LargestGap() const {
    std::uint64_t at = kBase;
    std::uint64_t largest = 0;
    for (const auto& [address, bytes] : Used()) {
      largest = std::max(largest, address - at);
      at = address + bytes;
    }
    return std::max(largest, kBase + window_bytes_ - at);
  }
  void Allocated(std::uint64_t address, std::uint64_t bytes) {
    ASSERT_EQ(address % kUnit, 0U);
    ASSERT_GE(address, kBase);
    ASSERT_LE(address + bytes, kBase + window_bytes_);
    for (const auto& [other, other_bytes] : Used()) {
      ASSERT_TRUE(address + bytes <= other || other + other_bytes <= address)
          << std::hex << address << " overlaps " << other << (live_.contains(other) ? "" : ", which is in quarantine");
    }
    live_[address] = bytes;
  }
  void Freed(std::uint64_t address, std::uint64_t sequence, bool idle) {
    if (!idle) quarantine_[address] = {live_.at(address), sequence};
    live_.erase(address);
  }
  void Passed(std::uint64_t sequence) {
    std::erase_if(quarantine_, [&](const auto& entry) { return entry.second.sequence <= sequence; });
  }
  const std::map<std::uint64_t, std::uint64_t>& live() const { return live_; }

 private:
  struct FreedRange {
    std::uint64_t bytes;
    std::uint64_t sequence;
  };
  static std::uint64_t Sum(const std::map<std::uint64_t, std::uint64_t>& ranges) {
    std::uint64_t sum = 0;
    for (const auto& [address, bytes] : ranges) sum += bytes;
    return sum;
  }
  std::map<std::uint64_t, std::uint64_t> Used() const {
    std::map<std::uint64_t, std::uint64_t> used = live_;
    for (const auto& [address, freed] : quarantine_) used[address] = freed.bytes;
    return used;
  }

  std::uint64_t window_bytes_;
  std::uint64_t memory_bytes_;
  std::map<std::uint64_t, std::uint64_t> live_;
  std::map<std::uint64_t, FreedRange> quarantine_;
};

void RunAgainstModel(std::uint32_t seed, std::uint64_t window_bytes, std::uint64_t memory_bytes) {
  SCOPED_TRACE("seed " + std::to_string(seed) + ", window " + std::to_string(window_bytes));
  std::mt19937 random(seed);
  AddressSpace space(kBase, window_bytes, memory_bytes);
  Model model(window_bytes, memory_bytes);
  std::uint64_t sequence = 0;
  std::uint64_t passed = 0;
  int refused = 0;
  for (int step = 0; step < 4000; ++step) {
    switch (random() % 5) {
      case 0:
      case 1: {
        const std::uint64_t bytes =
            random() % 3 == 0 ? 1 + random() % (200 * limits::kKiB) : 1 + random() % (8 * kUnit);
        const std::uint64_t rounded = AlignUp(bytes, kUnit);
        const Result<std::uint64_t> address = space.Allocate(bytes);
        if (address.ok()) {
          ASSERT_TRUE(model.FitsQuota(rounded)) << "past the quota";
          model.Allocated(*address, rounded);
        } else {
          ++refused;
          ASSERT_EQ(address.code(), Code::kOutOfMemory);
          ASSERT_FALSE(model.FitsQuota(rounded) && model.LargestGap() >= rounded)
              << bytes << " bytes refused, though " << model.LargestGap() << " in a row are free";
        }
        break;
      }
      case 2:
      case 3: {
        ++sequence;
        if (model.live().empty()) break;
        const auto victim =
            std::next(model.live().begin(), static_cast<std::ptrdiff_t>(random() % model.live().size()));
        const std::uint64_t address = victim->first;
        const bool idle = random() % 3 == 0;
        ASSERT_TRUE(space.Free(address, sequence, idle).ok());
        model.Freed(address, sequence, idle);
        break;
      }
      default:
        passed += random() % (sequence - passed + 1);
        space.Release(passed);
        model.Passed(passed);
    }
    if (testing::Test::HasFatalFailure()) return;
    ASSERT_EQ(space.allocated_bytes(), model.live_bytes());
    ASSERT_EQ(space.quarantined_bytes(), model.quarantined_bytes());
    const std::uint64_t probe = kBase + random() % window_bytes;
    const auto after = model.live().upper_bound(probe);
    const bool is_live = after != model.live().begin() && probe - std::prev(after)->first < std::prev(after)->second;
    ASSERT_EQ(space.Find(probe).bytes, is_live ? std::prev(after)->second : 0);
  }
  EXPECT_GT(refused, 0) << "the memory was never short: no test of exhaustion";
}

TEST(AddressSpaceTest, AgreesWithThePlainModel) {
  for (std::uint32_t seed = 1; seed <= 6; ++seed) {
    RunAgainstModel(seed, 64 * limits::kMiB, limits::kMiB);  // the quota is what runs out
    RunAgainstModel(seed, limits::kMiB, limits::kMiB);       // both
    RunAgainstModel(seed, limits::kMiB, limits::kGiB);       // the window is what runs out
  }
}

}  // namespace
}  // namespace accelmesh
