#include "protocol/transport/rdma/where.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

#include "tests/unit/protocol/transport/rdma/fake_session.h"

namespace accelmesh::rdma {
namespace {

TEST(RdmaWhere, APeerIsOnAProcessorOfOursOnlyIfItIsOnThisMachine) {
  for (const std::uint32_t mine : {0u, 1u, 2u, 500u}) {
    EXPECT_EQ(CpuOfPeer(WhereOf(7, mine), WhereOf(7, 1)), 1u);
    EXPECT_EQ(CpuOfPeer(WhereOf(7, mine), WhereOf(7, 0)), 0u) << "it is not bound";
    EXPECT_EQ(CpuOfPeer(WhereOf(7, mine), WhereOf(9, 1)), kElsewhere);
    EXPECT_EQ(CpuOfPeer(WhereOf(7, mine), 0), kElsewhere) << "it has not told";
    EXPECT_NE(mine, kElsewhere);
  }
}

TEST(RdmaWhere, HereIsOneMachine) {
  EXPECT_EQ(CpuOfPeer(HereIs(3), HereIs(4)), 4u);
  EXPECT_EQ(CpuOfPeer(HereIs(0), HereIs(0)), 0u);
  EXPECT_NE(HereIs(0), 0u) << "that would be: not told";
}

void BindToFirst() {
  cpu_set_t mine;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(mine), &mine), 0);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &mine)) ++cpu;
  CPU_ZERO(&mine);
  CPU_SET(cpu, &mine);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(mine), &mine), 0);
}
// Whether `end` has spun for something that came after so many looks, instead of sleeping.
bool SpinsFor(End& end, int looks) {
  const std::uint64_t before = end.counts().sleeps;
  const auto waited =
      end.WaitForData(In(2000), [] { return std::chrono::milliseconds(1); }, [&] { return --looks < 0; });
  EXPECT_EQ(waited, shm::Waited::kReady);
  return end.counts().sleeps == before;
}
void GoToSleepOnce(End& end) {
  EXPECT_EQ(end.WaitForData(
                In(30), [] { return std::chrono::milliseconds(1); }, [] { return false; }),
            shm::Waited::kDeadline);
}

// An end that is bound to one processor spins for a peer that is elsewhere, and for one that it knows nothing of; only
// one that needs the same processor is left it at once.
TEST(RdmaWhere, ABoundEndSpinsUnlessItsPeerNeedsTheSameProcessor) {
  constexpr int kLooks = 30;  // more than it yields, fewer than it spins before it asks the clock
  std::thread([] {
    BindToFirst();
    const auto fabric = FakeFabric::Make();
    Result<Ends> ends = Join(*fabric);
    ASSERT_TRUE(ends.ok()) << ends.status().ToString();
    EXPECT_TRUE(SpinsFor(*ends->client, kLooks)) << "it has not heard of its peer";
    GoToSleepOnce(*ends->server);  // tells the client, whom it knows nothing of yet
    GoToSleepOnce(*ends->client);
    EXPECT_FALSE(SpinsFor(*ends->client, kLooks)) << "both are bound to this one";
  }).join();
}

}  // namespace
}  // namespace accelmesh::rdma
