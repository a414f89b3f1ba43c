// What every transport promises: bodies, and progress that never gets ahead of them.
#include <unistd.h>

#include <numeric>

#include "tests/conformance/transport/transport_test.h"

namespace accelmesh::conformance {
namespace {

TEST_P(TransportTest, BodiesAreTakenByTokenInAnyOrder) {
  std::vector<int> order = {4, 0, 3, 1, 2};
  std::atomic<int> taken{0};
  Executor executor(server(), [&](const ReceivedFrame& received) {
    if (received.kind == ReceivedFrame::Kind::kFrame && AsText(received.frame) != "go") return;
    while (taken < 5) {
      auto body = server().TakeBulk(1000 + order[taken]);
      if (!body.ok()) {
        EXPECT_EQ(body.code(), Code::kNotFound);
        return;
      }
      const Bytes expected = Pattern(100000 * order[taken] + 7, order[taken]);
      EXPECT_EQ(Bytes((*body)->bytes().begin(), (*body)->bytes().end()), expected);
      EXPECT_EQ(server().TakeBulk(1000 + order[taken]).code(), Code::kNotFound) << "taken twice";
      ++taken;
    }
  });
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client().SendBulk(1000 + i, Pattern(100000 * i + 7, i), In(10000)).ok());
  ASSERT_TRUE(SendText(UpLane::kCommand, "go").ok());
  for (int i = 0; i < 1000 && taken < 5; ++i) usleep(10000);
  EXPECT_EQ(taken, 5);
}

TEST_P(TransportTest, ABodyMayComeAfterItsCommand) {
  std::atomic<bool> missing{false};
  std::atomic<bool> found{false};
  Executor executor(server(), [&](const ReceivedFrame& received) {
    if (received.kind == ReceivedFrame::Kind::kInterrupted) return;
    const auto body = server().TakeBulk(9);
    if (body.ok()) found = true;
    if (received.kind == ReceivedFrame::Kind::kFrame) missing = body.code() == Code::kNotFound;
  });
  ASSERT_TRUE(SendText(UpLane::kCommand, "needs 9").ok());
  ASSERT_EQ(executor.Frames(1).size(), 1u);
  EXPECT_TRUE(missing);
  ASSERT_TRUE(client().SendBulk(9, Pattern(1000, 9), In(10000)).ok());
  for (int i = 0; i < 1000 && !found; ++i) usleep(10000);
  EXPECT_TRUE(found) << "the executor was not told of the body";
  EXPECT_GE(executor.bulk_notes(), 1);
}

TEST_P(TransportTest, MoreBodiesThanFitPassWhenTheyAreTaken) {
  constexpr int kBodies = 200;  // of up to 1 MiB: three times what may be held
  std::atomic<int> taken{0};
  std::atomic<std::uint64_t> wrong{0};
  std::unique_ptr<BulkBody> kept;
  Executor executor(server(), [&](const ReceivedFrame&) {
    for (; taken < kBodies; ++taken) {
      auto body = server().TakeBulk(taken);
      if (!body.ok()) return;
      const ByteView bytes = (*body)->bytes();
      if (bytes.size() != limits::kBulkBytesMax || bytes.front() != taken % 251 || bytes.back() != taken % 251) ++wrong;
      kept = std::move(*body);
    }
  });
  Bytes body(limits::kBulkBytesMax);
  for (int i = 0; i < kBodies; ++i) {
    body.front() = body.back() = static_cast<std::uint8_t>(i % 251);
    ASSERT_TRUE(client().SendBulk(i, body, In(20000)).ok()) << i;
  }
  for (int i = 0; i < 2000 && taken < kBodies; ++i) usleep(10000);
  EXPECT_EQ(taken, kBodies);
  EXPECT_EQ(wrong, 0u);
  executor.Stop();
  std::thread([&] { kept.reset(); }).join();  // any thread may destroy one
}

TEST_P(TransportTest, PiecesLandWhereTheyAreExpected) {
  Executor executor(server());
  const Bytes source = Pattern(3 * limits::kMiB + 12345, 5);
  Bytes destination(source.size() + 2, 0xee);
  ASSERT_TRUE(client().ExpectBulk(77, MutableByteView(destination).subspan(1, source.size())).ok());
  EXPECT_FALSE(client().BulkLanded(77));
  std::thread sender([&] {
    // From the end to the beginning.
    constexpr std::size_t kPiece = 700001;
    std::size_t end = source.size();
    while (end > 0) {
      const std::size_t begin = end > kPiece ? end - kPiece : 0;
      EXPECT_TRUE(server().SendBulk(77, begin, ByteView(source).subspan(begin, end - begin), In(10000)).ok());
      end = begin;
    }
  });
  Collector sink;
  EXPECT_TRUE(PumpUntil(client(), sink, [&] { return client().BulkLanded(77); }).ok());
  sender.join();
  EXPECT_TRUE(std::equal(source.begin(), source.end(), destination.begin() + 1));
  EXPECT_EQ(destination.front(), 0xee);
  EXPECT_EQ(destination.back(), 0xee);
  EXPECT_FALSE(client().BulkLanded(77)) << "an expectation ends when it was reported";
  ASSERT_TRUE(client().ExpectBulk(78, {}).ok());
  EXPECT_TRUE(client().BulkLanded(78)) << "nothing to wait for";
}

TEST_P(TransportTest, ACancelledExpectationIsNotWrittenTo) {
  Executor executor(server());
  Bytes destination(limits::kMiB, 0x11);
  ASSERT_TRUE(client().ExpectBulk(5, destination).ok());
  EXPECT_EQ(client().ExpectBulk(5, destination).code(), Code::kInvalidArgument);
  client().CancelBulk(5);
  client().CancelBulk(5);
  const Bytes body(limits::kMiB, 0x22);
  std::thread sender([&] {
    EXPECT_TRUE(server().SendBulk(5, 0, body, In(10000)).ok());
    EXPECT_TRUE(server().Send(AsBytes("after"), In(10000)).ok());
  });
  Collector sink;
  EXPECT_TRUE(PumpUntil(client(), sink, [&] { return !sink.frames.empty(); }).ok());
  sender.join();
  EXPECT_EQ(std::count(destination.begin(), destination.end(), 0x11), static_cast<long>(destination.size()));
}

TEST_P(TransportTest, APieceOutsideOfItsDestinationEndsTheConnection) {
  Executor executor(server());
  Bytes destination(1000, 0);
  ASSERT_TRUE(client().ExpectBulk(6, MutableByteView(destination).first(900)).ok());
  std::thread sender([&] { (void)server().SendBulk(6, 850, Bytes(100, 1), In(5000)); });
  Collector sink;
  Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) status = client().Pump(sink, In(5000));
  sender.join();
  EXPECT_EQ(status.code(), Code::kBadFrame) << status.ToString();
  EXPECT_EQ(std::count(destination.begin(), destination.end(), 0), 1000);
  EXPECT_FALSE(executor.End().ok());
}

TEST_P(TransportTest, ProgressNeverGetsAheadOfABody) {
  Executor executor(server());
  constexpr int kRounds = 150;
  const std::size_t size = 100 * limits::kKiB;
  std::vector<Bytes> destinations(kRounds, Bytes(size, 0));
  for (int i = 0; i < kRounds; ++i) ASSERT_TRUE(client().ExpectBulk(i, destinations[i]).ok());
  std::thread sender([&] {
    for (int i = 0; i < kRounds; ++i) {
      const Bytes body(size, 0x5a);
      EXPECT_TRUE(server().SendBulk(i, 0, ByteView(body).first(size / 2), In(10000)).ok());
      EXPECT_TRUE(server().SendBulk(i, size / 2, ByteView(body).subspan(size / 2), In(10000)).ok());
      server().PublishCompleted(3, i + 1);
    }
  });
  Collector sink;
  std::uint64_t seen = 0;
  EXPECT_TRUE(
      PumpUntil(client(), sink, [&] {
        const std::uint64_t now = client().progress().completed[3].load(std::memory_order_acquire);
        for (; seen < now; ++seen) {
          EXPECT_EQ(std::count(destinations[seen].begin(), destinations[seen].end(), 0x5a), static_cast<long>(size))
              << "round " << seen;
        }
        return now == kRounds;
      }).ok());
  sender.join();
  EXPECT_EQ(seen, static_cast<std::uint64_t>(kRounds));
}

// What may be told later is told, in the end, and counts bodies like everything else.
TEST_P(TransportTest, WhatPassesBecomesVisible) {
  Executor executor(server());
  constexpr std::uint64_t kRounds = 100;
  std::vector<Bytes> destinations(kRounds, Bytes(limits::kPageBytes, 0));
  for (std::uint64_t i = 0; i < kRounds; ++i) ASSERT_TRUE(client().ExpectBulk(i + 1, destinations[i]).ok());
  std::thread sender([&] {
    const Bytes body(limits::kPageBytes, 0x5a);
    for (std::uint64_t i = 0; i < kRounds; ++i) {
      EXPECT_TRUE(server().SendBulk(i + 1, 0, body, In(10000)).ok());
      server().PublishPassing(3, i + 1);
      if (i % 10 == 0) usleep(1000);
    }
    server().PublishPassing(limits::kStreamsMax, 1);  // no such stream: ignored
  });
  Collector sink;
  std::uint64_t seen = 0;
  EXPECT_TRUE(PumpUntil(client(), sink, [&] {
                const std::uint64_t now = client().progress().completed[3].load(std::memory_order_acquire);
                for (; seen < now; ++seen) EXPECT_EQ(destinations[seen].back(), 0x5a) << "round " << seen;
                return now == kRounds;
              }).ok());
  sender.join();
}

TEST_P(TransportTest, ProgressNeverGetsAheadOfAFrame) {
  Executor executor(server());
  constexpr int kRounds = 300;
  constexpr int kFramesEach = 10;
  std::thread sender([&] {
    for (int i = 0; i < kRounds; ++i) {
      for (int f = 0; f < kFramesEach; ++f) ASSERT_TRUE(server().Send(AsBytes(Numbered(f)), In(10000)).ok());
      server().PublishCompleted(3, i + 1);
    }
  });
  Collector sink;
  EXPECT_TRUE(PumpUntil(client(), sink, [&] {
                const std::uint64_t now = client().progress().completed[3].load(std::memory_order_acquire);
                EXPECT_GE(sink.frames.size(), now * kFramesEach);
                return now == kRounds;
              }).ok());
  sender.join();
}

// Nor for a client that looks at the counter alone.
TEST_P(TransportTest, ProgressWaitsForAClientThatTakesNoFrames) {
  Executor executor(server());
  ASSERT_TRUE(server().Send(AsBytes(Numbered(1)), In(10000)).ok());
  server().PublishCompleted(3, 1);
  usleep(20000);
  EXPECT_EQ(client().progress().completed[3].load(), 0u);
  Collector sink;
  EXPECT_TRUE(PumpUntil(client(), sink, [&] { return client().progress().completed[3].load() == 1; }).ok());
  EXPECT_EQ(sink.frames.size(), 1u);
}

TEST_P(TransportTest, ProgressBecomesVisible) {
  Executor executor(server());
  Collector sink;
  const ProgressPage& page = client().progress();
  EXPECT_EQ(page.completed[0], 0u);
  server().PublishCompleted(0, 5);
  server().PublishCompleted(limits::kStreamsMax - 1, 6);
  server().PublishCompleted(limits::kStreamsMax, 7);  // no such stream: ignored
  server().PublishAcknowledged(8);
  EXPECT_TRUE(PumpUntil(client(), sink, [&] {
                return page.completed[0] == 5 && page.completed[limits::kStreamsMax - 1] == 6 && page.acknowledged == 8;
              }).ok());
  EXPECT_EQ(page.error, 0u);
  server().PublishError(700, false, 9);
  server().PublishError(1, false, 10);  // the first one stays
  EXPECT_TRUE(PumpUntil(client(), sink, [&] { return page.error != 0; }).ok());
  EXPECT_EQ(page.error, 700u);
  EXPECT_EQ(page.error_sequence, 9u);
  EXPECT_EQ(page.error_is_sticky, 0u);
  server().PublishError(701, true, 11);  // but for a sticky one
  server().PublishError(702, true, 12);
  EXPECT_TRUE(PumpUntil(client(), sink, [&] { return page.error_is_sticky != 0; }).ok());
  EXPECT_EQ(page.error, 701u);
  EXPECT_EQ(page.error_sequence, 11u);
}

TEST_P(TransportTest, ProgressFromManyThreadsGrows) {
  Executor executor(server());
  constexpr int kStreams = 4;
  constexpr std::uint64_t kLast = 2000;
  std::vector<std::thread> threads;
  for (int stream = 0; stream < kStreams; ++stream) {
    threads.emplace_back([&, stream] {
      for (std::uint64_t i = 1; i <= kLast; ++i) server().PublishCompleted(stream, i);
    });
  }
  Collector sink;
  std::vector<std::uint64_t> seen(kStreams, 0);
  EXPECT_TRUE(PumpUntil(client(), sink, [&] {
                for (int stream = 0; stream < kStreams; ++stream) {
                  const std::uint64_t now = client().progress().completed[stream];
                  EXPECT_GE(now, seen[stream]);
                  seen[stream] = now;
                }
                return std::accumulate(seen.begin(), seen.end(), std::uint64_t{0}) == kStreams * kLast;
              }).ok());
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace accelmesh::conformance
