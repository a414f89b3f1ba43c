#include "protocol/transport/rdma/spins.h"

#include <gtest/gtest.h>

namespace accelmesh::rdma {
namespace {

TEST(RdmaSpins, AsOnShmUntilAWakeComesSoon) {
  Spins spins;
  EXPECT_EQ(spins.rounds(), 1);
  spins.CameAfter(Spins::kSoon + Duration(1));
  EXPECT_EQ(spins.rounds(), 1);
  for (const int rounds : {2, 4, 5, 5}) {
    spins.CameAfter(Spins::kSoon);
    EXPECT_EQ(spins.rounds(), rounds);
  }
  spins.CameAfter(std::chrono::seconds(1));
  EXPECT_EQ(spins.rounds(), 1) << "an idle end does not spin for long";
}

TEST(RdmaSpins, LessAgainOnceThePeerIsQuick) {
  Spins spins;
  for (int i = 0; i < 3; ++i) spins.CameAfter(Duration(1));
  spins.CameIn(1);
  EXPECT_EQ(spins.rounds(), 5) << "the longer spin was of use";
  for (const int rounds : {4, 3, 2, 1, 1}) {
    spins.CameIn(0);
    EXPECT_EQ(spins.rounds(), rounds);
  }
}

// Two ends of which each needs 100 us to wake, and 20 us to answer when it is awake: asleep in every call with one
// round, awake after a few calls.
TEST(RdmaSpins, TwoThatSleepComeAwake) {
  constexpr Duration kRound = std::chrono::microseconds(40);
  constexpr Duration kWake = std::chrono::microseconds(100);
  constexpr Duration kAnswer = std::chrono::microseconds(20);
  Spins ends[2];
  bool is_asleep[2] = {true, true};
  int sleeps_at_the_end = 0;
  for (int turn = 0; turn < 40; ++turn) {
    // The one answers, the other waits.
    const int waits = turn % 2;
    const int answers = 1 - waits;
    const Duration takes = kAnswer + (is_asleep[answers] ? kWake : Duration(0));
    is_asleep[answers] = false;
    const Duration spun = ends[waits].rounds() * kRound;
    is_asleep[waits] = takes > spun;
    if (is_asleep[waits]) {
      ends[waits].CameAfter(takes - spun);
      if (turn >= 20) ++sleeps_at_the_end;
    } else {
      ends[waits].CameIn(static_cast<int>(takes / kRound));
    }
  }
  EXPECT_EQ(sleeps_at_the_end, 0);
}

}  // namespace
}  // namespace accelmesh::rdma
