#include "protocol/transport/bulk_server.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include "protocol/base/limits.h"

namespace accelmesh {
namespace {

Deadline In(int ms) { return Deadline::After(std::chrono::milliseconds(ms)); }

class BulkServerTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    auto listening = ListenForBulk(ParseEndpoint("tcp://127.0.0.1:0").value());
    ASSERT_TRUE(listening.ok());
    auto server = BulkServer::Open(*std::move(listening), secret_, GetParam(), [this] { ++woken_; });
    ASSERT_TRUE(server.ok()) << server.status().ToString();
    server_ = *std::move(server);
  }
  void Connect() {
    const SealKeys keys = KeysOfSecret(secret_).value();
    auto socket = ConnectBulk(server_->endpoint(), keys.mark, In(5000));
    ASSERT_TRUE(socket.ok()) << socket.status().ToString();
    client_ = *std::move(socket);
    sender_ = std::make_unique<BulkSender>(client_.fd(), GetParam() ? Sealer::Make(keys.up).value() : nullptr);
  }
  Status Send(std::uint64_t token, std::size_t size, int ms) {
    const Bytes body(size, static_cast<std::uint8_t>(token));
    return sender_->Send({token, 0, static_cast<std::uint32_t>(size)}, body, In(ms));
  }
  std::unique_ptr<BulkBody> Await(std::uint64_t token) {
    for (const Deadline deadline = In(10000); !deadline.passed(); poll(nullptr, 0, 1)) {
      auto body = server_->Take(token);
      if (body.ok()) return *std::move(body);
    }
    return nullptr;
  }

  const Bytes secret_ = Bytes(32, 5);
  std::atomic<int> woken_{0};
  std::unique_ptr<BulkServer> server_;
  BulkSocket client_;
  std::unique_ptr<BulkSender> sender_;
};

TEST_P(BulkServerTest, BodiesArriveAndAreToldOf) {
  Connect();
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{100'000}, limits::kBulkBytesMax}) {
    ASSERT_TRUE(Send(size, size, 5000).ok());
    const auto body = Await(size);
    ASSERT_NE(body, nullptr) << size;
    EXPECT_EQ(Bytes(body->bytes().begin(), body->bytes().end()), Bytes(size, static_cast<std::uint8_t>(size)));
    EXPECT_EQ(server_->Take(size).code(), Code::kNotFound);
  }
  EXPECT_GE(woken_, 4);
  EXPECT_TRUE(server_->TakeNote());
  EXPECT_FALSE(server_->TakeNote());
}

// What it holds is bounded, whatever the client sends; when some goes, more is taken.
TEST_P(BulkServerTest, MemoryIsBounded) {
  Connect();
  std::uint64_t sent = 0;
  while (sent < 500 && Send(sent, limits::kBulkBytesMax, 300).ok()) ++sent;
  // What is held, and what lies in the kernel's buffers.
  EXPECT_GE(sent, limits::kBulkInFlightBytesMax / limits::kBulkBytesMax);
  EXPECT_LT(sent, 2 * limits::kBulkInFlightBytesMax / limits::kBulkBytesMax);
  for (std::uint64_t token = 0; token < sent; ++token) {
    const auto body = Await(token);
    ASSERT_NE(body, nullptr) << token;
    EXPECT_EQ(body->bytes().back(), static_cast<std::uint8_t>(token));
  }
  ASSERT_TRUE(Send(1000, 10, 5000).ok());
  EXPECT_NE(Await(1000), nullptr);
}

TEST_P(BulkServerTest, PiecesWaitForTheClient) {
  EXPECT_EQ(server_->Send(1, 0, Bytes(10), In(50)).code(), Code::kDeadlineExceeded);
  std::thread sender([&] { EXPECT_TRUE(server_->Send(1, 0, Bytes(10), In(10000)).ok()); });
  Connect();
  sender.join();
  EXPECT_EQ(server_->pieces_sent(), 1u);
}

TEST_P(BulkServerTest, WhatIsNoRecordIsToldOf) {
  Connect();
  const Bytes noise(100, 0x41);
  ASSERT_EQ(::send(client_.fd(), noise.data(), noise.size(), 0), 100);
  for (const Deadline deadline = In(5000); server_->failure().ok() && !deadline.passed(); poll(nullptr, 0, 1)) {
  }
  EXPECT_EQ(server_->failure().code(), Code::kBadFrame);
  EXPECT_TRUE(server_->TakeNote());
}

TEST_P(BulkServerTest, ItEndsWithoutAClientAndWithOne) {
  server_.reset();
  SetUp();
  Connect();
  ASSERT_TRUE(Send(1, 1000, 1000).ok());
  const auto body = Await(1);
  server_.reset();
  ASSERT_NE(body, nullptr);
  EXPECT_EQ(body->bytes().size(), 1000u) << "bodies outlive the lane";
}

INSTANTIATE_TEST_SUITE_P(All, BulkServerTest, ::testing::Bool(),
                         [](const auto& which) { return which.param ? "sealed" : "plain"; });

}  // namespace
}  // namespace accelmesh
