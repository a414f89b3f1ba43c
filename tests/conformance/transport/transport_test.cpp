// What every transport promises (protocol/transport/channel.h), as one body over all of them.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <numeric>
#include <set>

#include "tests/conformance/transport/executor.h"

namespace accelmesh::conformance {
namespace {

class TransportTest : public ::testing::TestWithParam<Transport> {
 protected:
  void SetUp() override {
    pair_ = Open(GetParam());
    ASSERT_NE(pair_.client, nullptr);
    ASSERT_NE(pair_.server, nullptr);
  }
  ClientChannel& client() { return *pair_.client; }
  ServerChannel& server() { return *pair_.server; }
  Status SendText(UpLane lane, const std::string& text) { return client().Send(lane, AsBytes(text), In(10000)); }

  Pair pair_;
};

Bytes Pattern(std::size_t size, unsigned seed) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 31 + (i >> 9) + seed * 17);
  return bytes;
}

// A frame of numbered size and content; lengths cross every boundary of rings and buffers.
std::string Numbered(int number) {
  std::string text = std::to_string(number) + ":";
  text.resize(text.size() + static_cast<std::size_t>(number) * 37 % 3001, static_cast<char>('a' + number % 26));
  return text;
}

TEST_P(TransportTest, CommandsArriveInOrder) {
  Executor executor(server());
  constexpr int kCount = 3000;
  for (int i = 0; i < kCount; ++i) ASSERT_TRUE(SendText(UpLane::kCommand, Numbered(i)).ok());
  const auto frames = executor.Frames(kCount);
  ASSERT_EQ(frames.size(), static_cast<std::size_t>(kCount));
  for (int i = 0; i < kCount; ++i) ASSERT_EQ(frames[i], Numbered(i));
}

TEST_P(TransportTest, FramesDownArriveInOrder) {
  Executor executor(server());
  constexpr int kCount = 3000;
  std::thread sender([&] {
    for (int i = 0; i < kCount; ++i) ASSERT_TRUE(server().Send(AsBytes(Numbered(i)), In(10000)).ok());
  });
  Collector sink;
  EXPECT_TRUE(PumpUntil(client(), sink, [&] { return sink.frames.size() >= kCount; }).ok());
  sender.join();
  ASSERT_EQ(sink.frames.size(), static_cast<std::size_t>(kCount));
  for (int i = 0; i < kCount; ++i) ASSERT_EQ(sink.frames[i], Numbered(i));
}

TEST_P(TransportTest, TheExecutorItselfMayReply) {
  Executor executor(server(), [&](const ReceivedFrame& received) {
    if (received.kind == ReceivedFrame::Kind::kFrame) {
      EXPECT_TRUE(server().Send(received.frame, In(10000)).ok());
    }
  });
  Collector sink;
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(SendText(UpLane::kCommand, Numbered(i)).ok());
    ASSERT_TRUE(PumpUntil(client(), sink, [&] { return sink.frames.size() > static_cast<std::size_t>(i); }).ok());
    ASSERT_EQ(sink.frames.back(), Numbered(i));
  }
}

TEST_P(TransportTest, ManyThreadsMaySend) {
  Executor executor(server());
  constexpr int kThreads = 6;
  constexpr int kEach = 500;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kEach; ++i) {
        EXPECT_TRUE(SendText(UpLane::kCommand, std::to_string(thread) + "," + std::to_string(i)).ok());
      }
    });
  }
  const auto frames = executor.Frames(kThreads * kEach);
  for (auto& thread : threads) thread.join();
  ASSERT_EQ(frames.size(), static_cast<std::size_t>(kThreads * kEach));
  std::vector<int> next(kThreads, 0);
  for (const std::string& frame : frames) {
    const int thread = std::stoi(frame);
    EXPECT_EQ(frame, std::to_string(thread) + "," + std::to_string(next[thread]++));
  }
}

TEST_P(TransportTest, LargestFramesPassAndLargerOnesAreRefused) {
  Executor executor(server());
  const Bytes largest = Pattern(limits::kFrameBytesMax, 1);
  const Bytes larger(limits::kFrameBytesMax + 1);
  EXPECT_EQ(client().Send(UpLane::kCommand, larger, In(1000)).code(), Code::kLimitExceeded);
  EXPECT_EQ(client().Send(UpLane::kSide, larger, In(1000)).code(), Code::kLimitExceeded);
  EXPECT_EQ(client().SendBulk(1, larger, In(1000)).code(), Code::kLimitExceeded);
  EXPECT_EQ(server().Send(larger, In(1000)).code(), Code::kLimitExceeded);
  EXPECT_EQ(server().SendBulk(1, 0, larger, In(1000)).code(), Code::kLimitExceeded);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client().Send(UpLane::kCommand, largest, In(10000)).ok());
  const auto frames = executor.Frames(5);
  ASSERT_EQ(frames.size(), 5u);
  for (const auto& frame : frames) EXPECT_TRUE(frame == AsText(largest));
  std::thread sender([&] {
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(server().Send(largest, In(10000)).ok());
  });
  Collector sink;
  EXPECT_TRUE(PumpUntil(client(), sink, [&] { return sink.frames.size() >= 5; }).ok());
  sender.join();
  for (const auto& frame : sink.frames) EXPECT_TRUE(frame == AsText(largest));
}

TEST_P(TransportTest, EmptyFramesPass) {
  Executor executor(server());
  ASSERT_TRUE(SendText(UpLane::kCommand, "").ok());
  ASSERT_TRUE(SendText(UpLane::kCommand, "x").ok());
  EXPECT_EQ(executor.Frames(2), (std::vector<std::string>{"", "x"}));
}

TEST_P(TransportTest, TheSideLaneOvertakes) {
  Executor executor(server(), nullptr, /*accept_commands=*/false);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(SendText(UpLane::kCommand, "c" + std::to_string(i)).ok());
  ASSERT_TRUE(SendText(UpLane::kSide, "a").ok());
  ASSERT_TRUE(SendText(UpLane::kSide, "b").ok());
  EXPECT_EQ(executor.Frames(2), (std::vector<std::string>{"s:a", "s:b"}));
  EXPECT_EQ(executor.Frames(3, 50).size(), 2u) << "a command was read though commands were not accepted";
  executor.Accept(true);
  EXPECT_EQ(executor.Frames(12).size(), 12u);
  EXPECT_EQ(executor.Frames(12).back(), "c9");
}

TEST_P(TransportTest, AFullLaneIsFeltAndNothingIsLost) {
  Executor executor(server(), nullptr, /*accept_commands=*/false);
  const Bytes frame = Pattern(256 * limits::kKiB, 3);
  std::size_t sent = 0;
  Status status;
  while (sent < 100000 && (status = client().Send(UpLane::kCommand, frame, In(200))).ok()) ++sent;
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  ASSERT_TRUE(SendText(UpLane::kSide, "still open").ok());
  EXPECT_EQ(executor.Frames(1), (std::vector<std::string>{"s:still open"}));
  executor.Accept(true);
  const auto frames = executor.Frames(sent + 1);
  EXPECT_EQ(frames.size(), sent + 1);
  for (std::size_t i = 1; i < frames.size(); ++i) ASSERT_TRUE(frames[i] == AsText(frame));
}

TEST_P(TransportTest, WaitsEndAtTheirDeadline) {
  Collector sink;
  const Instant begin = Clock::now();
  EXPECT_EQ(client().Pump(sink, In(0)).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(client().Pump(sink, In(30)).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(server().Receive(true, In(30)).code(), Code::kDeadlineExceeded);
  const Duration took = Clock::now() - begin;
  EXPECT_GE(took, std::chrono::milliseconds(60));
  EXPECT_LT(took, std::chrono::seconds(5));
}

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

TEST_P(TransportTest, InterruptsWakeBothEnds) {
  std::thread waker([&] {
    usleep(20000);
    client().Interrupt();
  });
  Collector sink;
  Instant begin = Clock::now();
  EXPECT_TRUE(client().Pump(sink, In(20000)).ok());
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(10));
  waker.join();
  std::thread waker2([&] {
    usleep(20000);
    server().Interrupt();
  });
  begin = Clock::now();
  auto received = server().Receive(true, In(20000));
  ASSERT_TRUE(received.ok()) << received.status().ToString();
  EXPECT_EQ(received->kind, ReceivedFrame::Kind::kInterrupted);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(10));
  waker2.join();
}

TEST_P(TransportTest, AClosingClientIsHeardAfterWhatItSent) {
  Executor executor(server());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(SendText(UpLane::kCommand, Numbered(i)).ok());
  client().Close();
  client().Close();
  EXPECT_EQ(executor.End().code(), Code::kClosed);
  EXPECT_EQ(executor.Frames(100).size(), 100u);
  EXPECT_EQ(SendText(UpLane::kCommand, "x").code(), Code::kClosed);
  Collector sink;
  EXPECT_EQ(client().Pump(sink, In(1000)).code(), Code::kClosed);
}

TEST_P(TransportTest, AClosingServerIsHeardAfterWhatItSent) {
  {
    Executor executor(server());
    // zmq: the client's sockets are known to the worker once its first frame is.
    ASSERT_TRUE(SendText(UpLane::kCommand, "hello").ok());
    ASSERT_EQ(executor.Frames(1).size(), 1u);
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(server().Send(AsBytes(Numbered(i)), In(10000)).ok());
    server().Close();
    EXPECT_EQ(executor.End().code(), Code::kClosed);
  }
  Collector sink;
  EXPECT_EQ(PumpUntil(client(), sink, [] { return false; }, 10000).code(), Code::kClosed);
  EXPECT_EQ(sink.frames.size(), 100u);
  EXPECT_EQ(SendText(UpLane::kCommand, "x").code(), Code::kClosed);
}

TEST_P(TransportTest, AWaitingThreadHearsItsOwnClose) {
  std::thread closer([&] {
    usleep(20000);
    client().Close();
  });
  Collector sink;
  const Instant begin = Clock::now();
  EXPECT_EQ(PumpUntil(client(), sink, [] { return false; }).code(), Code::kClosed);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(10));
  closer.join();
}

TEST_P(TransportTest, EverythingAtOnce) {
  constexpr int kRounds = 300;
  std::atomic<int> bodies{0};
  Executor executor(server(), [&](const ReceivedFrame&) {
    while (bodies < kRounds) {
      auto body = server().TakeBulk(bodies);
      if (!body.ok()) return;
      EXPECT_EQ(Bytes((*body)->bytes().begin(), (*body)->bytes().end()), Pattern(50000, bodies));
      ++bodies;
    }
  });
  std::vector<Bytes> destinations(kRounds, Bytes(50000));
  for (int i = 0; i < kRounds; ++i) ASSERT_TRUE(client().ExpectBulk(i, destinations[i]).ok());
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    for (int i = 0; i < kRounds; ++i) EXPECT_TRUE(SendText(UpLane::kCommand, Numbered(i)).ok());
  });
  threads.emplace_back([&] {
    for (int i = 0; i < kRounds; ++i) EXPECT_TRUE(client().SendBulk(i, Pattern(50000, i), In(20000)).ok());
  });
  threads.emplace_back([&] {
    for (int i = 0; i < kRounds; ++i) {
      EXPECT_TRUE(server().SendBulk(i, 0, Pattern(50000, i + 1), In(20000)).ok());
      server().PublishCompleted(1, i + 1);
    }
  });
  threads.emplace_back([&] {
    for (int i = 0; i < kRounds; ++i) EXPECT_TRUE(server().Send(AsBytes(Numbered(i)), In(20000)).ok());
  });
  Collector sink;
  EXPECT_TRUE(PumpUntil(
                  client(), sink,
                  [&] { return sink.frames.size() == kRounds && client().progress().completed[1] == kRounds; }, 60000)
                  .ok());
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(executor.Frames(kRounds).size(), static_cast<std::size_t>(kRounds));
  for (int i = 0; i < 1000 && bodies < kRounds; ++i) usleep(10000);
  EXPECT_EQ(bodies, kRounds);
  for (int i = 0; i < kRounds; ++i) EXPECT_EQ(destinations[i], Pattern(50000, i + 1));
}

// A peer in another process that is killed without a word. The child is forked before any thread of this test runs.
class TransportProcessTest : public ::testing::TestWithParam<Transport> {
 protected:
  void SetUp() override {
    if (!GetParam().listen) GTEST_SKIP() << "loopback has no other process";
    Folder();
    ASSERT_EQ(pipe(to_child_), 0);
    ASSERT_EQ(pipe(to_parent_), 0);
  }
  static void Tell(int fd, std::string line) {
    line += '\n';
    ASSERT_EQ(write(fd, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  }
  static std::string Hear(int fd) {
    std::string line;
    for (char c = 0; read(fd, &c, 1) == 1 && c != '\n';) line += c;
    return line;
  }
  // A child that dies with this process, so that a failing test leaves nobody behind.
  pid_t Fork() {
    const pid_t pid = fork();
    if (pid == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
    child_ = pid;
    return pid;
  }
  void Kill(pid_t pid) {
    kill(pid, SIGKILL);
    int status = 0;
    waitpid(pid, &status, 0);
    child_ = -1;
  }
  void TearDown() override {
    if (child_ > 0) Kill(child_);
  }
  pid_t child_ = -1;
  int to_child_[2] = {-1, -1};
  int to_parent_[2] = {-1, -1};
};

TEST_P(TransportProcessTest, AKilledClientIsNoticed) {
  const pid_t pid = Fork();
  if (pid == 0) {
    auto client = GetParam().connect(Hear(to_child_[0]), In(10000));
    if (client.ok()) (void)client->channel->Send(UpLane::kCommand, AsBytes("hello"), In(10000));
    pause();
    _exit(0);
  }
  auto rendezvous = GetParam().listen(Folder());
  ASSERT_TRUE(rendezvous.ok()) << rendezvous.status().ToString();
  Tell(to_child_[1], (*rendezvous)->url());
  auto server = (*rendezvous)->Serve(In(10000));
  ASSERT_TRUE(server.ok()) << server.status().ToString();
  Executor executor(**server);
  ASSERT_EQ(executor.Frames(1), (std::vector<std::string>{"hello"}));
  const Instant begin = Clock::now();
  Kill(pid);
  EXPECT_EQ(executor.End().code(), Code::kClosed);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(3));
}

TEST_P(TransportProcessTest, AKilledServerIsNoticed) {
  const pid_t pid = Fork();
  if (pid == 0) {
    auto rendezvous = GetParam().listen(Folder());
    if (!rendezvous.ok()) _exit(1);
    Tell(to_parent_[1], (*rendezvous)->url());
    auto server = (*rendezvous)->Serve(In(10000));
    if (!server.ok()) _exit(1);
    for (;;) {
      auto received = (*server)->Receive(true, In(10000));
      if (received.ok() && received->kind == ReceivedFrame::Kind::kFrame) {
        (void)(*server)->Send(received->frame, In(1000));
      }
    }
  }
  auto client = GetParam().connect(Hear(to_parent_[0]), In(10000));
  ASSERT_TRUE(client.ok()) << client.status().ToString();
  ClientChannel& channel = *client->channel;
  ASSERT_TRUE(channel.Send(UpLane::kCommand, AsBytes("hello"), In(10000)).ok());
  Collector sink;
  ASSERT_TRUE(PumpUntil(channel, sink, [&] { return !sink.frames.empty(); }).ok());
  Kill(pid);
  const Instant begin = Clock::now();
  EXPECT_EQ(PumpUntil(channel, sink, [] { return false; }, 10000).code(), Code::kClosed);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(3));
  EXPECT_EQ(channel.Send(UpLane::kCommand, AsBytes("x"), In(1000)).code(), Code::kClosed);
}

TEST_P(TransportProcessTest, NobodyListeningIsSaidAtOnce) {
  auto rendezvous = GetParam().listen(Folder());
  ASSERT_TRUE(rendezvous.ok());
  const std::string url = (*rendezvous)->url();
  rendezvous->reset();
  const Instant begin = Clock::now();
  auto client = GetParam().connect(url, In(10000));
  EXPECT_EQ(client.code(), Code::kUnavailable) << client.status().ToString();
  EXPECT_NE(client.status().text().find("--listen"), std::string::npos) << client.status().ToString();
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
}

std::string NameOf(const ::testing::TestParamInfo<Transport>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(All, TransportTest, ::testing::ValuesIn(AllTransports()), NameOf);
INSTANTIATE_TEST_SUITE_P(All, TransportProcessTest, ::testing::ValuesIn(AllTransports()), NameOf);

}  // namespace
}  // namespace accelmesh::conformance
