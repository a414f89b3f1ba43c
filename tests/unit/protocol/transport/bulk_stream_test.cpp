#include "protocol/transport/bulk_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <map>
#include <thread>

#include "protocol/base/limits.h"

namespace accelmesh {
namespace {

Deadline In(int ms) { return Deadline::After(std::chrono::milliseconds(ms)); }

class CountingSink final : public BulkSink {
 public:
  Status Begin(const BulkHeader& header) override {
    header_ = header;
    body_.assign(header.bytes, 0);
    return {};
  }
  MutableByteView Enter(std::size_t done) override { return MutableByteView(body_).subspan(done); }
  void Leave() override {}
  Status End() override {
    bodies[header_.token] = body_;
    return {};
  }
  std::map<std::uint64_t, Bytes> bodies;

 private:
  BulkHeader header_;
  Bytes body_;
};

class BulkStreamTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    near_ = BulkSocket(fds[0]);
    far_ = BulkSocket(fds[1]);
    const SealKey key = KeysOfSecret(Bytes(32, 1))->up;
    sender_ = std::make_unique<BulkSender>(near_.fd(), GetParam() ? Sealer::Make(key).value() : nullptr);
    reader_ = std::make_unique<BulkReader>(GetParam() ? Opener::Make(key).value() : nullptr);
  }
  Status Send(std::uint64_t token, ByteView body, int ms) {
    return sender_->Send({token, 0, static_cast<std::uint32_t>(body.size())}, body, In(ms));
  }
  // Takes in until `count` bodies have come.
  void Take(std::size_t count) {
    SocketSource source(far_.fd());
    const Deadline deadline = In(10000);
    while (sink_.bodies.size() < count && !deadline.passed()) {
      const auto read = reader_->Read(source, sink_, 1);
      ASSERT_TRUE(read.ok()) << read.status().ToString();
      if (*read == 0) poll(nullptr, 0, 1);
    }
    ASSERT_EQ(sink_.bodies.size(), count);
  }

  BulkSocket near_;
  BulkSocket far_;
  std::unique_ptr<BulkSender> sender_;
  std::unique_ptr<BulkReader> reader_;
  CountingSink sink_;
};

// Nobody reads: what has begun is kept, what has not is refused, and nothing is lost or mixed.
TEST_P(BulkStreamTest, AFullStreamIsFeltAtTheDeadline) {
  std::size_t taken = 0;
  Status status;
  for (; taken < 100; ++taken) {
    const Bytes body(limits::kBulkBytesMax, static_cast<std::uint8_t>(taken));
    const Instant begin = Clock::now();
    status = Send(taken, body, 50);
    EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
    if (!status.ok()) break;
  }
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded) << status.ToString();
  EXPECT_GE(taken, 1u);
  EXPECT_TRUE(sender_->has_rest());
  EXPECT_EQ(sender_->records(), taken);
  Take(taken);
  for (const Deadline deadline = In(5000); sender_->has_rest() && !deadline.passed(); poll(nullptr, 0, 1)) {
  }
  EXPECT_FALSE(sender_->has_rest());
  for (const auto& [token, body] : sink_.bodies) {
    EXPECT_EQ(body, Bytes(limits::kBulkBytesMax, static_cast<std::uint8_t>(token)));
  }
  // And it goes on.
  ASSERT_TRUE(Send(1000, Bytes(10, 1), 1000).ok());
  Take(taken + 1);
}

TEST_P(BulkStreamTest, ManyThreadsSendWholeRecords) {
  constexpr int kThreads = 4;
  constexpr int kEach = 50;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kEach; ++i) {
        const auto token = static_cast<std::uint64_t>(thread * kEach + i);
        EXPECT_TRUE(Send(token, Bytes(token * 331 % 70000, static_cast<std::uint8_t>(token)), 10000).ok());
      }
    });
  }
  Take(kThreads * kEach);
  for (std::thread& thread : threads) thread.join();
  for (const auto& [token, body] : sink_.bodies) {
    EXPECT_EQ(body, Bytes(token * 331 % 70000, static_cast<std::uint8_t>(token)));
  }
  EXPECT_EQ(sender_->records(), static_cast<std::uint64_t>(kThreads * kEach));
}

TEST_P(BulkStreamTest, ClosingEndsAWait) {
  std::thread closer([&] {
    poll(nullptr, 0, 50);
    sender_->Close();
  });
  const Bytes body(limits::kBulkBytesMax);
  Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) status = Send(static_cast<std::uint64_t>(i), body, 10000);
  EXPECT_EQ(status.code(), Code::kClosed);
  closer.join();
  EXPECT_EQ(Send(1000, {}, 10).code(), Code::kClosed);
}

TEST_P(BulkStreamTest, APeerThatGoesIsNoticed) {
  far_ = {};
  Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) status = Send(static_cast<std::uint64_t>(i), Bytes(1000), 1000);
  EXPECT_EQ(status.code(), Code::kClosed);
}

INSTANTIATE_TEST_SUITE_P(All, BulkStreamTest, ::testing::Bool(),
                         [](const auto& which) { return which.param ? "sealed" : "plain"; });

TEST(BulkGreetingTest, OnlyTheMarkFits) {
  const SealKey mark = KeysOfSecret(Bytes(32, 1))->mark;
  Bytes greeting(kBulkGreetingBytes);
  std::memcpy(greeting.data(), "AMBULK1\n", 8);
  std::memcpy(greeting.data() + 8, mark.data(), mark.size());
  ASSERT_TRUE(GreetingFits(greeting, mark));
  for (std::size_t i = 0; i < greeting.size(); ++i) {
    Bytes changed = greeting;
    changed[i] ^= 1;
    EXPECT_FALSE(GreetingFits(changed, mark)) << i;
    EXPECT_FALSE(GreetingFits(ByteView(greeting).first(i), mark)) << i;
  }
}

TEST(BulkListenTest, AnAddressThatIsTakenIsSaid) {
  const auto first = ListenForBulk(ParseEndpoint("tcp://127.0.0.1:0").value());
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  EXPECT_NE(first->endpoint.port, 0);
  EXPECT_EQ(ListenForBulk(first->endpoint).code(), Code::kUnavailable);
  Endpoint gone = first->endpoint;
  gone.port = 1;
  const auto nobody = ConnectBulk(gone, SealKey{}, In(2000));
  EXPECT_EQ(nobody.code(), Code::kUnavailable);
  EXPECT_THAT(nobody.status().text(), ::testing::HasSubstr("cannot be reached"));
}

}  // namespace
}  // namespace accelmesh
