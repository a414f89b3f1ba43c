#include "protocol/transport/rdma/thresholds.h"

#include <gtest/gtest.h>

#include "tests/unit/protocol/transport/rdma/fake_session.h"

namespace accelmesh::rdma {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

std::size_t DirectFrom(Duration small, Duration large, Duration copy) {
  return ThresholdsOf({small, large, copy}).direct_bytes_min;
}

TEST(RdmaThresholds, ABodyIsNotCopiedFromWhereACopyCostsMore) {
  // 2 us and 25 GB/s, beside a copy of 10 GB/s: 2000 ns / (0.1 - 0.04) ns = 33 KB.
  const std::size_t from = DirectFrom(nanoseconds(2000 + 164), nanoseconds(2000 + 2621), nanoseconds(6554));
  EXPECT_GE(from, 32 * limits::kKiB);
  EXPECT_LE(from, 36 * limits::kKiB);
  // A quicker answer, an earlier change.
  EXPECT_LT(DirectFrom(nanoseconds(1164), nanoseconds(3621), nanoseconds(6554)), from);
  EXPECT_GT(DirectFrom(nanoseconds(4164), nanoseconds(6621), nanoseconds(6554)), from);
}

TEST(RdmaThresholds, NoMeasurementSendsLargeBodiesTheLongWay) {
  for (const Duration small : {nanoseconds(0), nanoseconds(1), nanoseconds(100000000)}) {
    for (const Duration large : {nanoseconds(0), nanoseconds(1), nanoseconds(100000000)}) {
      for (const Duration copy : {nanoseconds(0), nanoseconds(1), nanoseconds(100000000)}) {
        EXPECT_GE(DirectFrom(small, large, copy), Thresholds::kLeast);
        EXPECT_LE(DirectFrom(small, large, copy), Thresholds::kMost);
      }
    }
  }
  // Slower than a copy at any size: the caller's processor is spared all the same, but of large bodies only.
  EXPECT_EQ(DirectFrom(microseconds(100), microseconds(900), microseconds(10)), Thresholds::kMost);
}

TEST(RdmaThresholds, MeasuringTellsThePeerNothingAndGivesTheArenaBack) {
  auto fabric = FakeFabric::Make();
  Ends ends = Join(*fabric).value();
  const Deadline deadline = Deadline::After(std::chrono::seconds(5));
  for (int round = 0; round < 100; ++round) {
    const Result<WriteCosts> costs = MeasureWrites(*ends.client, deadline);
    ASSERT_TRUE(costs.ok()) << costs.status().ToString();
    EXPECT_GT(costs->small.count(), 0);
    EXPECT_LT(costs->large, std::chrono::seconds(1));
  }
  for (const std::size_t ring : {kCommandRing, kSideRing, kBodyRing}) EXPECT_FALSE(ends.server->Arrived(ring));
  // All of the arena is there for bodies: eight of a mebibyte at once.
  const Bytes body(limits::kMiB, 1);
  for (std::uint64_t token = 0; token < 8; ++token)
    EXPECT_TRUE(ends.client->SendBody(kBodyRing, token, 0, body, Deadline::Poll()).ok()) << token;
}

TEST(RdmaThresholds, APeerThatVanishesEndsTheMeasurement) {
  auto fabric = FakeFabric::Make();
  Ends ends = Join(*fabric).value();
  fabric->CutOff(kServerSide);
  const Instant begin = Clock::now();
  EXPECT_EQ(MeasureWrites(*ends.client, Deadline::After(std::chrono::seconds(5))).code(), Code::kClosed);
  EXPECT_LE(Clock::now() - begin, std::chrono::milliseconds(1200));
}

TEST(RdmaThresholds, TheSessionKeepsToThem) {
  for (const std::size_t direct_bytes_min : {std::size_t{8} * limits::kKiB, std::size_t{64} * limits::kKiB}) {
    auto fabric = FakeFabric::Make();
    Ends ends = Join(*fabric).value();
    const std::unique_ptr<ClientChannel> client = MakeClient(std::move(ends.client), {direct_bytes_min});
    Bytes memory(128 * limits::kKiB, 1);
    client->NotePinned(memory);
    const Deadline deadline = Deadline::After(std::chrono::seconds(5));
    ASSERT_TRUE(client->SendBulk(1, MutableByteView(memory).first(direct_bytes_min), deadline).ok());
    EXPECT_EQ(CountsOf(*client).bytes_copied, sizeof(Announcement));
    ASSERT_TRUE(client->SendBulk(2, MutableByteView(memory).first(direct_bytes_min - 1), deadline).ok());
    EXPECT_EQ(CountsOf(*client).bytes_copied, 2 * sizeof(Announcement) + direct_bytes_min - 1);
    client->NoteUnpinned(memory.data());
  }
}

}  // namespace
}  // namespace accelmesh::rdma
