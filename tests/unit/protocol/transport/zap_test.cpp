// Who gets into a CURVE socket: raw peers against a ROUTER of ours, and what a client of ours says when it does not.
#include "protocol/transport/zap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <future>
#include <mutex>

#include "protocol/base/log.h"
#include "protocol/transport/channel.h"
#include "protocol/transport/curve_socket.h"
#include "protocol/transport/zmq_socket.h"

namespace accelmesh::zmq {
namespace {

using security::CurveCredentials;
using security::CurveKey;
using security::CurvePair;
using ::testing::HasSubstr;

Deadline In(int ms) { return Deadline::After(std::chrono::milliseconds(ms)); }

std::mutex g_log_mutex;
std::string g_log;
void KeepLine(log::Level, std::string_view line) {
  const std::lock_guard lock(g_log_mutex);
  g_log += std::string(line) + "\n";
}
int Logged(const std::string& text) {
  const std::lock_guard lock(g_log_mutex);
  int count = 0;
  for (std::size_t at = g_log.find(text); at != std::string::npos; at = g_log.find(text, at + 1)) ++count;
  return count;
}

class ZapTest : public ::testing::Test {
 protected:
  void SetUp() override {
    log::SetSink(&KeepLine);
    {
      const std::lock_guard lock(g_log_mutex);
      g_log.clear();
    }
    Listen(/*with_handler=*/true);
  }
  void TearDown() override {
    router_ = {};
    zap_.reset();
  }

  void Listen(bool with_handler) {
    router_ = {};
    zap_.reset();
    if (with_handler) {
      auto zap = ZapHandler::Start(context_.get(), [this](const CurveKey& key, std::string_view domain) {
        ++asked_;
        EXPECT_EQ(domain, "door");
        if (key == friend_.key && friend_is_welcome_) return Result<std::string>(std::string("the friend"));
        return Result<std::string>(Status(Code::kPermissionDenied, "test", "not known; make yourself known"));
      });
      ASSERT_TRUE(zap.ok()) << zap.status().ToString();
      zap_ = *std::move(zap);
    }
    router_ = Socket::Open(context_, ZMQ_ROUTER, 100).value();
    ASSERT_TRUE(SecureServer(router_.get(), server_.secret, "door").ok());
    endpoint_ = router_.Bind(ParseEndpoint("tcp://127.0.0.1:0").value()).value();
  }

  // Whether a message of a client with these keys (null: without CURVE) arrives, and under which name.
  std::string Hear(const CurveCredentials* keys, int ms = 300) {
    Socket client = Socket::Open(context_, ZMQ_DEALER, 100).value();
    EXPECT_TRUE(keys == nullptr || SecureClient(client.get(), *keys).ok());
    EXPECT_TRUE(client.Connect(endpoint_).ok());
    client.SetLinger(0);
    Message hello(AsBytes(std::string_view("hello")));
    (void)client.TrySend(hello);  // fails if the connection has ended already
    const Deadline deadline = In(ms);
    while (!deadline.passed()) {
      Message id;
      Message message;
      if (router_.TryReceive(id) == Io::kDone && router_.TryReceive(message) == Io::kDone) {
        EXPECT_EQ(AsText(message.bytes()), "hello");
        return UserIdOf(message.get()).value_or("nobody");
      }
      poll(nullptr, 0, 1);
    }
    return "refused";
  }
  CurveCredentials As(const CurvePair& own) const { return {server_.key, own}; }

  // What the handler says to a request of these parts, as libzmq sends them.
  std::vector<std::string> AskHandler(const std::vector<std::string>& parts) {
    Socket asker = Socket::Open(context_, ZMQ_REQ, 10).value();
    EXPECT_EQ(zmq_connect(asker.get(), "inproc://zeromq.zap.01"), 0);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      Message part(AsBytes(parts[i]));
      EXPECT_EQ(asker.TrySend(part, i + 1 < parts.size()), Io::kDone);
    }
    std::vector<std::string> reply;
    const Deadline deadline = In(5000);
    for (bool more = true; more && !deadline.passed();) {
      Message part;
      if (asker.TryReceive(part) != Io::kDone) {
        poll(nullptr, 0, 1);
        continue;
      }
      reply.emplace_back(AsText(part.bytes()));
      more = part.more();
    }
    return reply;
  }

  const CurvePair server_ = security::NewCurvePair().value();
  const CurvePair friend_ = security::NewCurvePair().value();
  const CurvePair stranger_ = security::NewCurvePair().value();
  std::atomic<int> asked_{0};
  std::atomic<bool> friend_is_welcome_{true};
  Context context_;
  std::unique_ptr<ZapHandler> zap_;
  Socket router_;
  Endpoint endpoint_;
};

TEST_F(ZapTest, AFriendIsLetInUnderItsName) {
  const CurveCredentials keys = As(friend_);
  EXPECT_EQ(Hear(&keys, 5000), "the friend");
  EXPECT_EQ(Hear(&keys, 5000), "the friend");
  EXPECT_EQ(asked_, 1) << "an answer is remembered";
}

// Who is refused and then made known gets in soon.
TEST_F(ZapTest, ARefusalIsForgottenSoon) {
  const CurveCredentials keys = As(friend_);
  friend_is_welcome_ = false;
  EXPECT_EQ(Hear(&keys), "refused");
  friend_is_welcome_ = true;
  EXPECT_EQ(Hear(&keys, 5000), "the friend");
}

TEST_F(ZapTest, AStrangerIsNotAndThatIsLoggedOnceWithTheRemedy) {
  const CurveCredentials keys = As(stranger_);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Hear(&keys), "refused");
  EXPECT_EQ(Logged(security::HexOf(stranger_.key.bytes)), 1);
  EXPECT_EQ(Logged("not known; make yourself known"), 1);
}

TEST_F(ZapTest, WithoutCurveNobodyGetsIn) {
  EXPECT_EQ(Hear(nullptr), "refused");
  // Nor with a name and a password.
  Socket client = Socket::Open(context_, ZMQ_DEALER, 100).value();
  ASSERT_EQ(zmq_setsockopt(client.get(), ZMQ_PLAIN_USERNAME, "admin", 5), 0);
  ASSERT_EQ(zmq_setsockopt(client.get(), ZMQ_PLAIN_PASSWORD, "admin", 5), 0);
  ASSERT_TRUE(client.Connect(endpoint_).ok());
  client.SetLinger(0);
  Message hello(AsBytes(std::string_view("hello")));
  (void)client.TrySend(hello);
  poll(nullptr, 0, 300);
  Message id;
  EXPECT_NE(router_.TryReceive(id), Io::kDone);
  EXPECT_EQ(asked_, 0);
}

TEST_F(ZapTest, AServerWithAnotherKeyIsNotSpokenTo) {
  CurveCredentials keys = As(friend_);
  keys.server_key = stranger_.key;
  EXPECT_EQ(Hear(&keys), "refused");
  EXPECT_EQ(asked_, 0);
}

TEST_F(ZapTest, ReloadForgetsWhatWasDecided) {
  const CurveCredentials keys = As(friend_);
  ASSERT_EQ(Hear(&keys, 5000), "the friend");
  friend_is_welcome_ = false;
  EXPECT_EQ(Hear(&keys, 5000), "the friend") << "still remembered";
  zap_->Reload();
  EXPECT_EQ(Hear(&keys), "refused");
}

// A server whose handler is missing, or has gone, is closed; it is not open.
TEST_F(ZapTest, WithoutAHandlerNobodyGetsIn) {
  Listen(/*with_handler=*/false);
  const CurveCredentials keys = As(friend_);
  EXPECT_EQ(Hear(&keys), "refused");
}

TEST_F(ZapTest, ThereIsOneHandlerAContext) {
  const auto second = ZapHandler::Start(context_.get(), nullptr);
  EXPECT_EQ(second.code(), Code::kUnavailable);
}

// Whoever speaks to the handler directly is of this process; still nothing it sends may hurt.
TEST_F(ZapTest, RequestsThatAreNone) {
  const std::vector<std::vector<std::string>> requests = {{""},
                                                          {"1.0"},
                                                          {"1.0", "1", "door", "a", "i", "CURVE"},
                                                          {"1.0", "1", "door", "a", "i", "CURVE", "short"},
                                                          {"1.0", "1", "door", "a", "i", "NULL", ""},
                                                          std::vector<std::string>(40, "x")};
  for (const auto& parts : requests) {
    const std::vector<std::string> reply = AskHandler(parts);
    ASSERT_EQ(reply.size(), 6u);
    EXPECT_EQ(reply[2], "400");
    EXPECT_EQ(reply[4], "");
  }
}

// A stranger has as many keys as he likes.
TEST_F(ZapTest, AFloodOfStrangersDoesNotFillTheLog) {
  for (int i = 0; i < 500; ++i) {
    std::string key(security::kKeyBytes, 'k');
    key[0] = static_cast<char>(i);
    key[1] = static_cast<char>(i / 256);
    const std::vector<std::string> reply = AskHandler({"1.0", "1", "door", "10.0.0.1", "i", "CURVE", key});
    ASSERT_EQ(reply.size(), 6u);
    EXPECT_EQ(reply[2], "400");
  }
  EXPECT_GE(Logged("a connection was refused"), 20);
  EXPECT_LE(Logged("a connection was refused"), 30);
}

// What a program's user reads -----------------------------------------------------------------------------------------

class HelloTest : public ZapTest {
 protected:
  Status Connect(const CurveCredentials* keys, int ms = 3000) {
    return ConnectZmq(endpoint_, AsBytes(std::string_view("hello")), In(ms), keys).status();
  }
};

TEST_F(HelloTest, ARefusedKeyIsTold) {
  const CurveCredentials keys = As(stranger_);
  const Status status = Connect(&keys);
  EXPECT_EQ(status.code(), Code::kPermissionDenied) << status.ToString();
  EXPECT_THAT(status.text(), HasSubstr("refused this client's key"));
  EXPECT_THAT(status.text(), HasSubstr("mesh-run"));
}

TEST_F(HelloTest, AProgramWithoutLeaseIsTold) {
  const Status status = Connect(nullptr);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.text(), HasSubstr("serves leases only"));
  EXPECT_THAT(status.text(), HasSubstr("start the program with mesh-run"));
}

TEST_F(HelloTest, AnotherServerAtTheAddressIsTold) {
  CurveCredentials keys = As(friend_);
  keys.server_key = stranger_.key;
  const Status status = Connect(&keys);
  EXPECT_EQ(status.code(), Code::kPermissionDenied) << status.ToString();
  EXPECT_THAT(status.text(), HasSubstr("does not have the key that the lease names"));
}

TEST_F(HelloTest, AServerWithoutCurveIsTold) {
  router_ = Socket::Open(context_, ZMQ_ROUTER, 100).value();
  endpoint_ = router_.Bind(ParseEndpoint("tcp://127.0.0.1:0").value()).value();
  const CurveCredentials keys = As(friend_);
  const Status status = Connect(&keys);
  EXPECT_EQ(status.code(), Code::kPermissionDenied) << status.ToString();
  EXPECT_THAT(status.text(), HasSubstr("another server is there now"));
}

TEST_F(HelloTest, ASilentServerIsTold) {
  const CurveCredentials keys = As(friend_);
  const Status status = Connect(&keys, 500);
  EXPECT_EQ(status.code(), Code::kUnavailable) << status.ToString();
  EXPECT_THAT(status.text(), HasSubstr("did not answer the hello in time"));
}

}  // namespace
}  // namespace accelmesh::zmq
