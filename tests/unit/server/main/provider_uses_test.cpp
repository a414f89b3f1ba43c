#include "server/main/provider_uses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace accelmesh {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Facts = std::map<std::string, LeaseFacts>;

LeaseFacts Used(std::uint64_t device_us, std::uint32_t sessions = 1) { return {device_us, 0, sessions, 1'000'000}; }

TEST(ProviderUsesTest, WhoUsedNothingSinceIsNotTold) {
  const Facts told{{"a", Used(5)}, {"b", Used(5)}, {"c", Used(5)}};
  const Facts now{{"a", Used(5)}, {"b", Used(6)}, {"c", Used(5, 2)}, {"d", Used(0, 0)}, {"e", Used(1)}};
  EXPECT_THAT(NextUses(now, told, "", 10), ElementsAre("b", "c", "e"));
  EXPECT_THAT(NextUses(now, now, "", 10), IsEmpty());
  EXPECT_THAT(NextUses({}, told, "a", 10), IsEmpty());
}

TEST(ProviderUsesTest, ItGoesOnBehindTheLastOneAndRound) {
  const Facts now{{"a", Used(1)}, {"b", Used(1)}, {"c", Used(1)}, {"d", Used(1)}};
  EXPECT_THAT(NextUses(now, {}, "", 3), ElementsAre("a", "b", "c"));
  EXPECT_THAT(NextUses(now, {}, "c", 3), ElementsAre("d", "a", "b"));
  EXPECT_THAT(NextUses(now, {}, "d", 3), ElementsAre("a", "b", "c"));
  EXPECT_THAT(NextUses(now, {}, "bb", 10), ElementsAre("c", "d", "a", "b")) << "one that is gone meanwhile";
}

// However many there are, and though all of them always have something to tell.
TEST(ProviderUsesTest, EveryonesTurnComes) {
  constexpr std::size_t kLeases = 1000, kMax = 256;
  Facts now, told;
  std::map<std::string, int> times;
  std::string last;
  for (int round = 1; round <= 8; ++round) {
    for (std::size_t i = 0; i < kLeases; ++i) now["lease-" + std::to_string(i)].device_us += 10;
    const std::vector<std::string> next = NextUses(now, told, last, kMax);
    ASSERT_EQ(next.size(), kMax);
    for (const std::string& lease : next) {
      told[lease] = now[lease];
      ++times[lease];
    }
    last = next.back();
  }
  EXPECT_EQ(times.size(), kLeases);
  EXPECT_TRUE(std::all_of(times.begin(), times.end(), [](const auto& lease) { return lease.second >= 2; }));
}

}  // namespace
}  // namespace accelmesh
