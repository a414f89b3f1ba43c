// The client's ordered command stream against a loopback whose other end is this test.
#include "shim/core/command_stream.h"

#include <gtest/gtest.h>

#include <thread>

#include "protocol/transport/emulator.h"

namespace accelmesh {
namespace {

Deadline In(int ms) { return Deadline::After(std::chrono::milliseconds(ms)); }

class CommandStreamTest : public ::testing::Test {
 protected:
  void SetUp() override { Make(false); }
  void Make(bool gathers) {
    LoopbackPair pair = MakeLoopback();
    server_ = std::move(pair.server);
    // The emulated channel is one that gathers, as zmq does.
    auto client = gathers ? Emulate(std::move(pair.client), {}) : std::move(pair.client);
    stream_ = std::make_unique<CommandStream>(std::move(client), [this](std::string_view text) { output_ += text; });
  }
  // The next frame's records: lane, sequence and command of each.
  struct Got {
    UpLane lane;
    std::uint64_t sequence;
    std::uint16_t command;
    Bytes payload;
  };
  std::vector<Got> ReceiveFrame() {
    std::vector<Got> got;
    while (got.empty()) {
      const Result<ReceivedFrame> received = server_->Receive(true, In(5000));
      EXPECT_TRUE(received.ok()) << received.status().ToString();
      if (!received.ok()) break;
      if (received->kind != ReceivedFrame::Kind::kFrame) continue;
      Result<FrameReader> reader = FrameReader::Open(received->frame);
      EXPECT_TRUE(reader.ok());
      for (auto record = reader->Next(); record.ok(); record = reader->Next()) {
        got.push_back(
            {received->lane, record->sequence, record->command, Bytes(record->payload.begin(), record->payload.end())});
      }
    }
    return got;
  }
  void Answer(std::uint64_t sequence, std::uint32_t status, wire::DownKind kind = wire::DownKind::Reply) {
    flatbuffers::FlatBufferBuilder builder;
    const auto text = builder.CreateString("text");
    const auto body = builder.CreateVector(Bytes{1, 2, 3});
    builder.Finish(wire::CreateDown(builder, kind, sequence, status, 0, text, body));
    ASSERT_TRUE(server_->Send({builder.GetBufferPointer(), builder.GetSize()}, In(1000)).ok());
  }

  std::unique_ptr<ServerChannel> server_;
  std::string output_;
  std::unique_ptr<CommandStream> stream_;
};

TEST_F(CommandStreamTest, PostsAreNumberedInOrder) {
  for (std::uint64_t i = 1; i <= 5; ++i) EXPECT_EQ(*stream_->Post(wire::MemFree(i, 0, 0)), i);
  std::uint64_t next = 1;
  while (next <= 5) {
    for (const Got& got : ReceiveFrame()) {
      EXPECT_EQ(got.sequence, next++);
      EXPECT_EQ(got.command, static_cast<std::uint16_t>(CommandId::kMemFree));
    }
  }
  EXPECT_EQ(stream_->statistics().posts, 5u);
}

TEST_F(CommandStreamTest, PostsGatherAndLeaveByThemselves) {
  Make(true);
  for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_TRUE(stream_->Post(wire::MemFree(i, 0, 0)).ok());
  std::size_t records = 0;
  std::size_t frames = 0;
  while (records < 1000) {
    records += ReceiveFrame().size();
    ++frames;
  }
  EXPECT_LT(frames, 1000u) << "nothing was gathered";
}

TEST_F(CommandStreamTest, ManyThreadsGetNumbersWithoutGaps) {
  Make(true);
  constexpr int kThreads = 4;
  constexpr std::uint64_t kEach = 500;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this] {
      std::uint64_t last = 0;
      for (std::uint64_t i = 0; i < kEach; ++i) {
        const auto sequence = stream_->Post(wire::MemFree(i, 0, 0));
        EXPECT_TRUE(sequence.ok() && *sequence > last);
        last = sequence.ok() ? *sequence : last;
      }
    });
  }
  std::uint64_t next = 1;
  while (next <= kThreads * kEach) {
    for (const Got& got : ReceiveFrame()) EXPECT_EQ(got.sequence, next++);
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(CommandStreamTest, CallsGetTheirOwnReplies) {
  std::thread first([this] {
    const auto reply = stream_->Call(wire::Ping(1), In(5000));
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    EXPECT_EQ(reply->device_status, 1u);
    EXPECT_EQ(reply->body, (Bytes{1, 2, 3}));
  });
  ASSERT_EQ(ReceiveFrame()[0].sequence, 1u);
  std::thread second([this] {
    const auto reply = stream_->Call(wire::Ping(2), In(5000));
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    EXPECT_EQ(reply->device_status, 2u);
  });
  ASSERT_EQ(ReceiveFrame()[0].sequence, 2u);
  Answer(7, 7);  // nobody asked
  Answer(2, 2);
  Answer(1, 1);
  first.join();
  second.join();
  EXPECT_EQ(stream_->statistics().calls, 2u);
}

TEST_F(CommandStreamTest, ACallEndsAtItsDeadline) {
  EXPECT_EQ(stream_->Call(wire::Ping(1), In(30)).code(), Code::kDeadlineExceeded);
}

TEST_F(CommandStreamTest, ABrokenBulkLaneEndsTheSession) {
  LoopbackPair pair = MakeLoopback();
  server_ = std::move(pair.server);
  ClientChannel* const channel = pair.client.get();
  stream_ = std::make_unique<CommandStream>(std::move(pair.client), nullptr);
  channel->Close();
  EXPECT_FALSE(stream_->closed()) << "nobody has used the channel";
  EXPECT_EQ(stream_->SendBulk(stream_->NextToken(), Bytes(100000, 1)).code(), Code::kClosed);
  EXPECT_TRUE(stream_->closed());
  EXPECT_EQ(stream_->Post(wire::MemFree(1, 0, 0)).code(), Code::kClosed);
}

TEST_F(CommandStreamTest, OutputIsHandedOn) {
  Answer(1, 0, wire::DownKind::Output);
  stream_->Poll();
  EXPECT_EQ(output_, "text");
}

TEST_F(CommandStreamTest, WaitsSeeProgress) {
  std::thread publisher([this] { server_->PublishCompleted(3, 9); });
  EXPECT_TRUE(stream_->WaitUntil([this] { return stream_->progress().completed[3] >= 9; }, In(5000)).ok());
  publisher.join();
}

TEST_F(CommandStreamTest, TheSideLaneHasNumbersOfItsOwn) {
  ASSERT_TRUE(stream_->Post(wire::MemFree(1, 0, 0)).ok());
  ASSERT_TRUE(stream_->PostSide(wire::Heartbeat(1)).ok());
  ASSERT_TRUE(stream_->PostSide(wire::Heartbeat(2)).ok());
  std::uint64_t side = 0;
  std::uint64_t command = 0;
  for (int i = 0; i < 3; ++i) {
    for (const Got& got : ReceiveFrame()) (got.lane == UpLane::kSide ? side : command) = got.sequence;
  }
  EXPECT_EQ(side, 2u);
  EXPECT_EQ(command, 1u);
}

TEST_F(CommandStreamTest, WhatDoesNotFitIntoACommandIsRefused) {
  const Bytes large(limits::kRecordBytesMax);
  EXPECT_EQ(stream_->Post(wire::MemFree(1, 0, 0), large).code(), Code::kLimitExceeded);
  EXPECT_EQ(*stream_->Post(wire::MemFree(1, 0, 0)), 1u) << "a refused command takes no number";
}

TEST_F(CommandStreamTest, AFrameThatDoesNotVerifyEndsTheSession) {
  ASSERT_TRUE(server_->Send(AsBytes("this is no Down"), In(1000)).ok());
  EXPECT_FALSE(stream_->Call(wire::Ping(1), In(5000)).ok());
  EXPECT_TRUE(stream_->closed());
  EXPECT_EQ(stream_->Post(wire::MemFree(1, 0, 0)).code(), Code::kClosed);
}

TEST_F(CommandStreamTest, AServerThatGoesEndsEveryWait) {
  std::thread caller([this] { EXPECT_EQ(stream_->Call(wire::Ping(1), In(20000)).code(), Code::kClosed); });
  std::thread waiter([this] { EXPECT_EQ(stream_->WaitUntil([] { return false; }, In(20000)).code(), Code::kClosed); });
  ReceiveFrame();
  server_->Close();
  caller.join();
  waiter.join();
}

TEST_F(CommandStreamTest, AReplyThatCameWithTheEndCounts) {
  std::thread caller([this] { EXPECT_TRUE(stream_->Call(wire::Ping(1), In(20000)).ok()); });
  ReceiveFrame();
  Answer(1, 0);
  server_->Close();
  caller.join();
}

// The log of commands to resend is bounded: posting waits until the server has acknowledged some.
TEST_F(CommandStreamTest, TheRetainedLogIsBounded) {
  Make(true);
  constexpr std::uint64_t kPayload = 200 * limits::kKiB;
  constexpr std::uint64_t kFits = limits::kRetainedLogBytesMax / kPayload;
  const Bytes payload(kPayload, 1);
  std::atomic<std::uint64_t> posted{0};
  std::thread poster([&] {
    for (std::uint64_t i = 0; i < 2 * kFits; ++i) {
      EXPECT_TRUE(stream_->Post(wire::MemFree(i, 0, 0), payload).ok());
      ++posted;
    }
  });
  // Everything is received, nothing acknowledged: the log alone holds the poster up.
  std::uint64_t received = 0;
  while (received + 2 < kFits) received += ReceiveFrame().size();
  for (int i = 0; i < 20; ++i) {
    const auto more = server_->Receive(true, In(10));
    if (more.ok() && more->kind == ReceivedFrame::Kind::kFrame) ++received;
  }
  EXPECT_LE(posted, kFits + 4);
  while (received < 2 * kFits) {
    server_->PublishAcknowledged(received);
    const auto more = server_->Receive(true, In(100));
    if (more.ok() && more->kind == ReceivedFrame::Kind::kFrame) ++received;
  }
  poster.join();
  EXPECT_EQ(posted, 2 * kFits);
}

}  // namespace
}  // namespace accelmesh
