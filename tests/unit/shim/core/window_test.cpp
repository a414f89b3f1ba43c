#include "shim/core/window.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "protocol/base/limits.h"

namespace accelmesh {
namespace {

// A candidate that this process has room for.
WindowCandidate Candidate() {
  for (const WindowCandidate& candidate : WindowCandidates()) {
    if (Window::Reserve(candidate).ok()) return candidate;
  }
  ADD_FAILURE() << "no candidate has room";
  return {};
}

bool IsMapped(std::uint64_t address) {
  unsigned char resident = 0;
  return ::mincore(reinterpret_cast<void*>(address), 4096, &resident) == 0;
}

TEST(WindowTest, CandidatesAreLargeAlignedAndApart) {
  ASSERT_GE(WindowCandidates().size(), 2U);
  for (const WindowCandidate& one : WindowCandidates()) {
    EXPECT_EQ(one.base % (2 * limits::kMiB), 0U);
    EXPECT_GE(one.bytes, 256 * limits::kGiB);
    EXPECT_EQ(one.Host().base, one.base + one.bytes);
    EXPECT_GE(one.Host().bytes, 64 * limits::kGiB);
    EXPECT_LT(one.Host().base + one.Host().bytes, std::uint64_t{1} << 47) << "user addresses of x86-64";
    for (const WindowCandidate& other : WindowCandidates()) {
      EXPECT_TRUE(&one == &other || one.Host().base + one.Host().bytes <= other.base ||
                  other.Host().base + other.Host().bytes <= one.base);
    }
  }
}

TEST(WindowTest, ReservesExactlyTheCandidateAndGivesItBack) {
  const WindowCandidate candidate = Candidate();
  {
    const Result<Window> window = Window::Reserve(candidate);
    ASSERT_TRUE(window.ok()) << window.status().ToString();
    EXPECT_EQ(window->base(), candidate.base);
    EXPECT_EQ(window->bytes(), candidate.bytes);
    EXPECT_TRUE(IsMapped(candidate.base));
    EXPECT_TRUE(IsMapped(candidate.base + candidate.bytes - 4096));
    // Nobody else gets an address in it.
    EXPECT_EQ(Window::Reserve(candidate).code(), Code::kFull);
    EXPECT_EQ(Window::Reserve({candidate.base + candidate.bytes / 2, candidate.bytes}).code(), Code::kFull);
    void* host = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_FALSE(window->Contains(host));
    ::munmap(host, 4096);
  }
  EXPECT_FALSE(IsMapped(candidate.base));
  EXPECT_TRUE(Window::Reserve(candidate).ok());
}

TEST(WindowTest, WhatLiesThereIsLeftAlone) {
  const WindowCandidate candidate = Candidate();
  void* wanted = reinterpret_cast<void*>(candidate.base + candidate.bytes / 2);
  void* page = ::mmap(wanted, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_EQ(page, wanted);
  *static_cast<char*>(page) = 'x';
  EXPECT_EQ(Window::Reserve(candidate).code(), Code::kFull);
  EXPECT_EQ(*static_cast<char*>(page), 'x');
  ::munmap(page, 4096);
}

TEST(WindowTest, ContainsItsAddressesOnly) {
  const Result<Window> window = Window::Reserve(Candidate());
  ASSERT_TRUE(window.ok());
  const auto at = [](std::uint64_t address) { return reinterpret_cast<const void*>(address); };
  EXPECT_TRUE(window->Contains(at(window->base())));
  EXPECT_TRUE(window->Contains(at(window->base() + window->bytes() - 1)));
  EXPECT_FALSE(window->Contains(at(window->base() + window->bytes())));
  EXPECT_FALSE(window->Contains(at(window->base() - 1)));
  EXPECT_FALSE(window->Contains(nullptr));
  EXPECT_FALSE(Window().Contains(nullptr)) << "an empty window contains nothing";
}

TEST(WindowTest, MovesAndUnmapsOnce) {
  const WindowCandidate candidate = Candidate();
  Result<Window> reserved = Window::Reserve(candidate);
  ASSERT_TRUE(reserved.ok());
  Window first = std::move(reserved).value();
  Window second = std::move(first);
  EXPECT_EQ(first.bytes(), 0U);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(second.base(), candidate.base);
  Window third;
  third = std::move(second);
  EXPECT_TRUE(third.Contains(reinterpret_cast<void*>(candidate.base)));
  EXPECT_TRUE(IsMapped(candidate.base));
  third = Window();
  EXPECT_FALSE(IsMapped(candidate.base));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they need their own terabytes
TEST(WindowDeathTest, AnAddressSpaceLimitIsNamedWithItsRemedy) {
  const auto limited = [] {
    rlimit limit{};
    limit.rlim_cur = limit.rlim_max = 4 * limits::kGiB;
    if (::setrlimit(RLIMIT_AS, &limit) != 0) std::_Exit(2);
    const Result<Window> window = Window::Reserve(WindowCandidates().front());
    std::fputs(window.status().ToString().c_str(), stderr);
    std::_Exit(window.code() == Code::kSystem ? 0 : 1);
  };
  EXPECT_EXIT(limited(), testing::ExitedWithCode(0), "limited to 4096 MiB; run with `ulimit -v unlimited`");
}
#endif

}  // namespace
}  // namespace accelmesh
