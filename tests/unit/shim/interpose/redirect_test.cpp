#include "shim/interpose/redirect.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "shim/interpose/loader_watch.h"

namespace accelmesh {
namespace {

constexpr std::size_t kPage = 4096;

// Pages of code that tests write; executable once they are done.
class TestCode {
 public:
  explicit TestCode(std::size_t pages = 2, std::uintptr_t at = 0)
      : bytes_(pages * kPage),
        begin_(static_cast<std::uint8_t*>(::mmap(reinterpret_cast<void*>(at), bytes_, PROT_READ | PROT_WRITE,
                                                 MAP_PRIVATE | MAP_ANONYMOUS | (at != 0 ? MAP_FIXED_NOREPLACE : 0), -1,
                                                 0))) {}
  ~TestCode() { ::munmap(begin_, bytes_); }
  TestCode(const TestCode&) = delete;
  TestCode& operator=(const TestCode&) = delete;

  // mov $value, %eax; ret
  std::uintptr_t AddFunction(std::size_t offset, std::uint8_t value, bool branch_target = false) {
    std::uint8_t* at = begin_ + offset;
    if (branch_target) {
      const std::uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
      at = std::copy(std::begin(endbr64), std::end(endbr64), at);
    }
    const std::uint8_t code[] = {0xb8, value, 0, 0, 0, 0xc3};
    std::copy(std::begin(code), std::end(code), at);
    return reinterpret_cast<std::uintptr_t>(begin_) + offset;
  }
  void Finish() { ASSERT_EQ(::mprotect(begin_, bytes_, PROT_READ | PROT_EXEC), 0); }
  std::uint8_t* begin() const { return begin_; }

 private:
  std::size_t bytes_;
  std::uint8_t* begin_;
};

int Call(std::uintptr_t function) { return reinterpret_cast<int (*)()>(function)(); }
int Answer() { return 42; }
int Length(const char* name) { return static_cast<int>(std::strlen(name)); }
template <typename F>
std::uintptr_t AddressOf(F* function) {
  return reinterpret_cast<std::uintptr_t>(function);
}

// As in /proc/self/maps: "r-xp".
std::string ProtectionOf(const void* address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    std::uintptr_t begin = 0, end = 0;
    char dash = 0;
    std::string protection;
    fields >> std::hex >> begin >> dash >> end >> protection;
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    if (at >= begin && at < end) return protection;
  }
  return "";
}

TEST(Redirect, FunctionsRunOthersAndNeighboursThemselves) {
  TestCode code;
  const std::uintptr_t first = code.AddFunction(0, 1), second = code.AddFunction(16, 2),
                       third = code.AddFunction(32, 3);
  // Over the border of two pages, and at the very end.
  const std::uintptr_t across = code.AddFunction(kPage - 3, 4), last = code.AddFunction(2 * kPage - 6, 5);
  code.Finish();
  const Redirection redirections[] = {{third, AddressOf(&Length), "twelve bytes"},
                                      {first, AddressOf(&Answer)},
                                      {across, AddressOf(&Answer)},
                                      {last, AddressOf(&Answer)}};
  const Result<NearPages> pages = Redirect(redirections);
  ASSERT_TRUE(pages.ok()) << pages.status().ToString();
  EXPECT_EQ(Call(first), 42);
  EXPECT_EQ(Call(second), 2);
  EXPECT_EQ(Call(third), 12);
  EXPECT_EQ(Call(across), 42);
  EXPECT_EQ(Call(last), 42);
  EXPECT_EQ(ProtectionOf(code.begin()), "r-xp");
  EXPECT_EQ(ProtectionOf(pages->bytes().data()), "r-xp");
}

TEST(Redirect, ABranchTargetStays) {
  TestCode code;
  const std::uintptr_t function = code.AddFunction(0, 1, true);
  code.Finish();
  const Redirection redirection{function, AddressOf(&Answer)};
  const Result<NearPages> pages = Redirect({&redirection, 1});
  ASSERT_TRUE(pages.ok()) << pages.status().ToString();
  EXPECT_EQ(code.begin()[0], 0xf3);
  EXPECT_EQ(code.begin()[4], 0xe9);
  EXPECT_EQ(Call(function), 42);
}

TEST(Redirect, ManyFunctions) {
  constexpr int kCount = 500;
  TestCode code(4);
  std::vector<Redirection> redirections;
  for (int i = 0; i < kCount; ++i)
    redirections.push_back(
        {code.AddFunction(static_cast<std::size_t>(i) * 16, 1), AddressOf(&Length), i % 2 == 0 ? "" : "x"});
  code.Finish();
  const Result<NearPages> pages = Redirect(redirections);
  ASSERT_TRUE(pages.ok()) << pages.status().ToString();
  for (int i = 0; i < kCount; ++i) EXPECT_EQ(Call(redirections[static_cast<std::size_t>(i)].from), i % 2);
}

TEST(Redirect, NothingIsToBeDone) { EXPECT_TRUE(Redirect({}).ok()); }

TEST(Redirect, WhatCannotBeChangedStaysAsItWas) {
  TestCode code(3);
  const std::uintptr_t first = code.AddFunction(0, 1), last = code.AddFunction(2 * kPage, 2);
  code.Finish();
  // A hole between the two.
  ::munmap(code.begin() + kPage, kPage);
  const Redirection redirections[] = {{first, AddressOf(&Answer)}, {last, AddressOf(&Answer)}};
  const Result<NearPages> pages = Redirect(redirections);
  EXPECT_EQ(pages.code(), Code::kSystem);
  EXPECT_EQ(Call(first), 1);
  EXPECT_EQ(Call(last), 2);
}

std::int64_t DistanceOf(const NearPages& pages, std::uintptr_t code) {
  return static_cast<std::int64_t>(AddressOf(pages.bytes().data())) - static_cast<std::int64_t>(code);
}

TEST(NearPages, LieWithinReachOnEitherSide) {
  TestCode code;
  const std::uintptr_t at = AddressOf(code.begin());
  const Result<NearPages> pages = NearPages::Map(at, at + 100, kPage + 1);
  ASSERT_TRUE(pages.ok()) << pages.status().ToString();
  EXPECT_EQ(pages->bytes().size(), 2 * kPage);
  EXPECT_LT(std::abs(DistanceOf(*pages, at)), std::int64_t{1} << 31);
  EXPECT_EQ(ProtectionOf(pages->bytes().data()), "rw-p");
}

// Where nothing else is: a window's second candidate, of which little is used here.
constexpr std::uintptr_t kEmptyPlace = 0x7e8100000000;

TEST(NearPages, GoRoundWhatIsInTheWay) {
  const TestCode code(1, kEmptyPlace);
  ASSERT_EQ(AddressOf(code.begin()), kEmptyPlace) << "something is there";
  constexpr std::size_t kInTheWay = 768u << 20;
  void* wall = ::mmap(reinterpret_cast<void*>(kEmptyPlace - kInTheWay), kInTheWay, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_EQ(wall, reinterpret_cast<void*>(kEmptyPlace - kInTheWay));
  const Result<NearPages> below = NearPages::Map(kEmptyPlace, kEmptyPlace, kPage);
  ASSERT_TRUE(below.ok()) << below.status().ToString();
  EXPECT_LT(DistanceOf(*below, kEmptyPlace), -static_cast<std::int64_t>(kInTheWay));
  EXPECT_GT(DistanceOf(*below, kEmptyPlace), -(std::int64_t{1} << 31));
  ::munmap(wall, kInTheWay);
}

TEST(NearPages, AboveWhenNothingBelowIsFree) {
  const TestCode code(1, kEmptyPlace);
  ASSERT_EQ(AddressOf(code.begin()), kEmptyPlace) << "something is there";
  constexpr std::size_t kAll = std::size_t{2} << 30;
  void* wall = ::mmap(reinterpret_cast<void*>(kEmptyPlace - kAll), kAll, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_EQ(wall, reinterpret_cast<void*>(kEmptyPlace - kAll));
  {
    const Result<NearPages> above = NearPages::Map(kEmptyPlace, kEmptyPlace, kPage);
    ASSERT_TRUE(above.ok()) << above.status().ToString();
    EXPECT_EQ(DistanceOf(*above, kEmptyPlace), static_cast<std::int64_t>(kPage));
  }
  void* upper = ::mmap(reinterpret_cast<void*>(kEmptyPlace + kPage), kAll, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_EQ(upper, reinterpret_cast<void*>(kEmptyPlace + kPage));
  EXPECT_EQ(NearPages::Map(kEmptyPlace, kEmptyPlace, kPage).code(), Code::kOutOfMemory);
  ::munmap(upper, kAll);
  ::munmap(wall, kAll);
}

TEST(NearPages, CodeThatNoJumpCrosses) {
  EXPECT_EQ(NearPages::Map(0x400000, 0x400000 + (std::uintptr_t{2} << 30), kPage).code(), Code::kUnsupported);
}

TEST(NearPages, GoWithTheirOwner) {
  const std::uint8_t* at = nullptr;
  {
    Result<NearPages> pages = NearPages::Map(AddressOf(&Answer), AddressOf(&Answer), kPage);
    ASSERT_TRUE(pages.ok()) << pages.status().ToString();
    NearPages moved;
    moved = *std::move(pages);
    at = moved.bytes().data();
    EXPECT_NE(ProtectionOf(at), "");
  }
  EXPECT_EQ(ProtectionOf(at), "");
}

TEST(LoaderWatch, KnowsTheEmptyFunction) {
  alignas(16) unsigned char code[32] = {0xc3, 0x66, 0x66, 0x2e};
  EXPECT_TRUE(IsEmptyFunction(code));
  EXPECT_FALSE(IsEmptyFunction(code + 1)) << "not aligned";
  const std::vector<std::vector<unsigned char>> empty = {
      {0xc3, 0x90}, {0xc3, 0xcc}, {0xc3, 0x0f, 0x1f}, {0xf3, 0xc3, 0x66}, {0xf3, 0x0f, 0x1e, 0xfa, 0xc3, 0x66}};
  const std::vector<std::vector<unsigned char>> others = {
      {0xc3, 0x48}, {0x90, 0xc3}, {0xe9, 0, 0, 0, 0}, {0xc3, 0x0f, 0x05}, {0xf3, 0x0f, 0x1e, 0xfa, 0x90}};
  for (const auto& bytes : empty) {
    std::copy(bytes.begin(), bytes.end(), code);
    EXPECT_TRUE(IsEmptyFunction(code)) << testing::PrintToString(bytes);
  }
  for (const auto& bytes : others) {
    std::copy(bytes.begin(), bytes.end(), code);
    EXPECT_FALSE(IsEmptyFunction(code)) << testing::PrintToString(bytes);
  }
}

}  // namespace
}  // namespace accelmesh
