#include "shim/core/foreign_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

#include "protocol/base/limits.h"

namespace accelmesh {
namespace {

constexpr std::uint64_t kPage = limits::kPageBytes;

std::uint8_t* At(std::uint64_t address) { return reinterpret_cast<std::uint8_t*>(address); }
bool IsMapped(std::uint64_t address) {
  unsigned char resident = 0;
  return ::mincore(At(address / kPage * kPage), kPage, &resident) == 0;
}

class ForeignMemoryTest : public ::testing::Test {
 protected:
  // Addresses that nothing has: a mapping that is gone again.
  void SetUp() override {
    void* got = ::mmap(nullptr, 16 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(got, MAP_FAILED);
    base_ = reinterpret_cast<std::uint64_t>(got) + kPage;  // with a free page before it
    ASSERT_EQ(::munmap(got, 16 * kPage), 0);
  }
  std::uint64_t base_ = 0;
};

TEST_F(ForeignMemoryTest, AVariableIsZerosAtItsAddress) {
  ForeignMemory memory;
  EXPECT_FALSE(memory.Contains(base_ + 100));
  ASSERT_TRUE(memory.Add(base_ + 100, 2 * kPage, false).ok());
  EXPECT_FALSE(memory.Contains(base_ + 99));
  EXPECT_TRUE(memory.Contains(base_ + 100));
  EXPECT_TRUE(memory.Contains(base_ + 99 + 2 * kPage));
  EXPECT_FALSE(memory.Contains(base_ + 100 + 2 * kPage));
  for (std::uint64_t i = 0; i < 2 * kPage; ++i) ASSERT_EQ(At(base_ + 100)[i], 0);
  At(base_ + 100)[2 * kPage - 1] = 1;
  EXPECT_TRUE(IsMapped(base_ + 2 * kPage)) << "its last page";
  EXPECT_FALSE(IsMapped(base_ + 3 * kPage));
  memory.Remove(base_ + 100);
  EXPECT_FALSE(memory.Contains(base_ + 100));
  for (int page = 0; page < 3; ++page) EXPECT_FALSE(IsMapped(base_ + page * kPage));
}

TEST_F(ForeignMemoryTest, APageLivesAsLongAsAVariableOnIt) {
  ForeignMemory memory;
  ASSERT_TRUE(memory.Add(base_ + 8, 4, false).ok());
  At(base_)[8] = 7;
  // One behind it, over three pages, and one before.
  ASSERT_TRUE(memory.Add(base_ + 12, 2 * kPage, false).ok());
  ASSERT_TRUE(memory.Add(base_, 8, false).ok());
  EXPECT_EQ(At(base_)[8], 7) << "another variable's bytes are left alone";
  At(base_)[12] = 9;
  memory.Remove(base_ + 12);
  EXPECT_TRUE(IsMapped(base_));
  EXPECT_FALSE(IsMapped(base_ + kPage));
  EXPECT_FALSE(IsMapped(base_ + 2 * kPage));
  EXPECT_EQ(At(base_)[8], 7);
  // What an earlier variable left, where all of it lies on pages that are there, and where a part does.
  ASSERT_TRUE(memory.Add(base_ + 12, 4, false).ok());
  EXPECT_EQ(At(base_)[12], 0);
  At(base_)[12] = 9;
  memory.Remove(base_ + 12);
  ASSERT_TRUE(memory.Add(base_ + 12, kPage, false).ok());
  EXPECT_EQ(At(base_)[12], 0);
  At(base_ + kPage)[0] = 9;
  ASSERT_TRUE(memory.Add(base_ + kPage + 12, 4, false).ok());
  memory.Remove(base_ + 12);
  ASSERT_TRUE(memory.Add(base_ + 16, kPage - 8, false).ok());
  EXPECT_EQ(At(base_ + kPage)[0], 0);
  memory.Remove(base_ + 16);
  memory.Remove(base_ + kPage + 12);
  memory.Remove(base_ + 8);
  EXPECT_TRUE(IsMapped(base_));
  memory.Remove(base_);
  EXPECT_FALSE(IsMapped(base_));
}

TEST_F(ForeignMemoryTest, WhatIsThereIsLeftAlone) {
  void* taken = ::mmap(At(base_ + 2 * kPage), kPage, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_EQ(taken, At(base_ + 2 * kPage));
  std::memset(taken, 5, kPage);
  ForeignMemory memory;
  ASSERT_TRUE(memory.Add(base_ + kPage, 4, false).ok());
  // Has the page before, which is ours, and free ones on both sides of the taken one.
  EXPECT_EQ(memory.Add(base_ + kPage + 4, 4 * kPage, false).code(), Code::kFull);
  EXPECT_FALSE(memory.Contains(base_ + kPage + 4));
  EXPECT_TRUE(IsMapped(base_ + kPage));
  EXPECT_FALSE(IsMapped(base_ + 3 * kPage)) << "half of it was left behind";
  EXPECT_EQ(At(base_ + 2 * kPage)[17], 5);
  ::munmap(taken, kPage);
  EXPECT_TRUE(memory.Add(base_ + kPage + 4, 4 * kPage, false).ok());
}

TEST_F(ForeignMemoryTest, NonsenseIsRefused) {
  ForeignMemory memory;
  EXPECT_EQ(memory.Add(0, 4, false).code(), Code::kInvalidArgument);
  EXPECT_EQ(memory.Add(8 * kPage, 4, false).code(), Code::kInvalidArgument) << "a null pointer plus a little";
  EXPECT_EQ(memory.Add(base_, 0, false).code(), Code::kInvalidArgument);
  EXPECT_EQ(memory.Add((std::uint64_t{1} << 47) - 2, 4, false).code(), Code::kInvalidArgument);
  EXPECT_EQ(memory.Add(~std::uint64_t{0} - 2, 4, false).code(), Code::kInvalidArgument);
  EXPECT_EQ(memory.Add(base_, ~std::uint64_t{0}, false).code(), Code::kInvalidArgument);
  ASSERT_TRUE(memory.Add(base_ + 64, 8, false).ok());
  for (const std::uint64_t address : {base_ + 60, base_ + 64, base_ + 71})
    EXPECT_EQ(memory.Add(address, 8, false).code(), Code::kInvalidArgument) << address - base_;
  memory.Remove(base_ + 65);
  EXPECT_TRUE(memory.Contains(base_ + 64));
}

TEST_F(ForeignMemoryTest, MemoryThatIsHereIsTheDrivers) {
  void* drivers = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(drivers, MAP_FAILED);
  const auto address = reinterpret_cast<std::uint64_t>(drivers);
  *At(address) = 3;
  {
    ForeignMemory memory;
    ASSERT_TRUE(memory.Add(address, 8, true).ok());
    EXPECT_TRUE(memory.Contains(address));
    EXPECT_EQ(*At(address), 3);
  }
  EXPECT_TRUE(IsMapped(address));
  ::munmap(drivers, kPage);
}

TEST_F(ForeignMemoryTest, ItsEndUnmapsAll) {
  {
    ForeignMemory memory;
    ASSERT_TRUE(memory.Add(base_ + 8, 4, false).ok());
    ASSERT_TRUE(memory.Add(base_ + 5 * kPage, kPage, false).ok());
  }
  EXPECT_FALSE(IsMapped(base_));
  EXPECT_FALSE(IsMapped(base_ + 5 * kPage));
}

}  // namespace
}  // namespace accelmesh
