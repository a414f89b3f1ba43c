// What every transport promises (protocol/transport/channel.h), as one body over all of them: frames, and how waits and
// connections end.
#include "tests/conformance/transport/transport_test.h"

#include <unistd.h>

namespace accelmesh::conformance {
namespace {

TEST_P(TransportTest, CommandsArriveInOrder) {
  Executor executor(server());
  constexpr int kCount = 3000;
  for (int i = 0; i < kCount; ++i) {
    const Status sent = SendText(UpLane::kCommand, Numbered(i));
    ASSERT_TRUE(sent.ok()) << i << ": " << sent.ToString();
  }
  const auto frames = executor.Frames(kCount);
  ASSERT_EQ(frames.size(), static_cast<std::size_t>(kCount));
  for (int i = 0; i < kCount; ++i) ASSERT_EQ(frames[i], Numbered(i));
}

TEST_P(TransportTest, FramesDownArriveInOrder) {
  Executor executor(server());
  constexpr int kCount = 3000;
  std::thread sender([&] {
    for (int i = 0; i < kCount; ++i) {
      const Status sent = server().Send(AsBytes(Numbered(i)), In(10000));
      ASSERT_TRUE(sent.ok()) << i << ": " << sent.ToString();
    }
  });
  Collector sink;
  const Status pumped = PumpUntil(client(), sink, [&] { return sink.frames.size() >= kCount; });
  EXPECT_TRUE(pumped.ok()) << pumped.ToString();
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

TEST_P(TransportTest, InterruptsKeepNoFrameWaiting) {
  ASSERT_TRUE(SendText(UpLane::kCommand, "first").ok());
  auto received = server().Receive(true, In(20000));
  ASSERT_TRUE(received.ok() && received->kind == ReceivedFrame::Kind::kFrame);
  ASSERT_TRUE(SendText(UpLane::kCommand, "second").ok());
  const Instant begin = Clock::now();
  do {
    server().Interrupt();
    received = server().Receive(true, In(20000));
    ASSERT_TRUE(received.ok()) << received.status().ToString();
  } while (received->kind == ReceivedFrame::Kind::kInterrupted && Clock::now() - begin < std::chrono::seconds(5));
  EXPECT_EQ(received->kind, ReceivedFrame::Kind::kFrame);
  EXPECT_EQ(AsText(received->frame), "second");
  // It was not forgotten over the frame.
  received = server().Receive(true, In(20000));
  ASSERT_TRUE(received.ok()) << received.status().ToString();
  EXPECT_EQ(received->kind, ReceivedFrame::Kind::kInterrupted);
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

std::string NameOf(const ::testing::TestParamInfo<Transport>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(All, TransportTest, ::testing::ValuesIn(AllTransports()), NameOf);

}  // namespace
}  // namespace accelmesh::conformance
