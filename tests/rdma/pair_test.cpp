// Two machines (pair.py): one serves sessions until it is ended from outside, the other notices, and goes on with it
// once it has been started again. Between machines there are sessions with keys only, so these have fixed ones.
#include <gtest/gtest.h>
#include <poll.h>

#include <cstdio>
#include <cstdlib>
#include <list>
#include <thread>

#include "protocol/schema/session_generated.h"
#include "protocol/transport/rdma/rdma.h"
#include "tests/conformance/transport/executor.h"

namespace accelmesh::rdma {
namespace {

using conformance::Collector;
using conformance::Executor;
using conformance::HelloFrame;
using conformance::In;
using conformance::PumpUntil;
using conformance::TestSecret;

constexpr std::uint16_t kPort = 7705;
constexpr int kBootMs = 90000;

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr ? value : "";
}

// The same on both machines.
security::CurvePair FixedPair(std::uint8_t byte) {
  security::CurvePair pair;
  pair.secret.bytes.fill(byte);
  pair.key = security::CurveKeyOf(pair.secret);
  return pair;
}
security::CurvePair ServerKeys() { return FixedPair(0x11); }
security::CurvePair ClientKeys() { return FixedPair(0x22); }

Bytes WelcomeTo(const std::string& worker) {
  flatbuffers::FlatBufferBuilder builder;
  const Bytes secret = TestSecret();
  const auto secret_offset = builder.CreateVector(secret);
  const auto endpoint = builder.CreateString(worker);
  wire::WelcomeBuilder welcome(builder);
  welcome.add_version(1);
  welcome.add_session_id(1);
  welcome.add_secret(secret_offset);
  welcome.add_worker_endpoint(endpoint);
  builder.Finish(welcome.Finish());
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

class RdmaPair : public ::testing::Test {
 protected:
  void SetUp() override {
    if (Variable("ACCELMESH_TEST_RDMA_PEER").empty()) GTEST_SKIP() << "one machine only: pair.py boots two";
    endpoint_.scheme = Endpoint::Scheme::kRdma;
    endpoint_.port = kPort;
  }
  Endpoint endpoint_;
};

// Until the machine is ended.
TEST_F(RdmaPair, Serves) {
  endpoint_.host = Variable("ACCELMESH_TEST_RDMA");
  ListenSecurity security;
  security.secret = ServerKeys().secret;
  security.may_connect = [](const security::CurveKey& key) {
    return key == ClientKeys().key ? Status() : Status(Code::kPermissionDenied, "test", "not the client of the tests");
  };
  Result<std::unique_ptr<Listener>> listener = ListenRdma(endpoint_, &security, /*trusts_fabric=*/true);
  ASSERT_TRUE(listener.ok()) << listener.status().ToString();
  struct Served {
    std::unique_ptr<ServerChannel> channel;
    std::unique_ptr<Executor> executor;
  };
  std::list<Served> sessions;
  std::printf("serving\n");
  std::fflush(stdout);
  for (;;) {
    Result<Arrival> arrival = (*listener)->Accept();
    if (arrival.code() == Code::kFull) {
      pollfd item{(*listener)->poll_fd(), POLLIN, 0};
      (void)::poll(&item, 1, 1000);
      continue;
    }
    ASSERT_TRUE(arrival.ok()) << arrival.status().ToString();
    WorkerEndpoints where;
    where.scheme = Endpoint::Scheme::kRdma;
    where.host = endpoint_.host;
    Result<OpenedRdma> opened = OpenRdmaWorker(where, TestSecret());
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    ASSERT_TRUE((*listener)->Answer(arrival->peer, WelcomeTo(opened->endpoint)).ok());
    sessions.push_back({std::move(opened->channel), nullptr});
    ServerChannel* const channel = sessions.back().channel.get();
    sessions.back().executor = std::make_unique<Executor>(*channel, [channel](const ReceivedFrame& received) {
      if (AsText(received.frame) == "ask") (void)channel->Send(AsBytes("answer"), In(5000));
    });
  }
}

class RdmaPairClient : public RdmaPair {
 protected:
  // Waits for the other machine to come up.
  Result<std::unique_ptr<ClientChannel>> Connect() {
    endpoint_.host = Variable("ACCELMESH_TEST_RDMA_PEER");
    const security::CurveCredentials credentials{ServerKeys().key, ClientKeys()};
    const Deadline deadline = In(kBootMs);
    for (;;) {
      Result<Connected> connected = ConnectRdma(endpoint_, HelloFrame(), In(5000), &credentials, true);
      if (connected.ok()) return std::move(connected->channel);
      if (deadline.passed()) return connected.status();
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  }
  // One call, there and back.
  static Status Call(ClientChannel& channel, Collector& sink) {
    const std::size_t before = sink.frames.size();
    Status sent = channel.Send(UpLane::kCommand, AsBytes("ask"), In(10000));
    return sent.ok() ? PumpUntil(channel, sink, [&] { return sink.frames.size() > before; }, 10000) : sent;
  }
  // pair.py waits for these.
  static void Tell(const char* what) {
    std::printf("%s\n", what);
    std::fflush(stdout);
  }
};

TEST_F(RdmaPairClient, NoticesWithinASecondThatTheOtherMachineIsGoneAndComesBackWithIt) {
  Result<std::unique_ptr<ClientChannel>> busy = Connect();
  ASSERT_TRUE(busy.ok()) << busy.status().ToString();
  Result<std::unique_ptr<ClientChannel>> idle = Connect();
  ASSERT_TRUE(idle.ok()) << idle.status().ToString();
  Collector sink;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Call(**busy, sink).ok());
  Collector other;
  ASSERT_TRUE(Call(**idle, other).ok());

  Instant idle_ended;
  Status idle_end;
  std::thread waiting([&] {
    idle_end = PumpUntil(**idle, other, [] { return false; }, 60000);
    idle_ended = Clock::now();
  });
  Tell("END THE OTHER MACHINE");
  Instant answered = Clock::now();
  Status status = Call(**busy, sink);
  for (const Deadline deadline = In(60000); status.ok() && !deadline.passed(); status = Call(**busy, sink))
    answered = Clock::now();
  const Duration took = Clock::now() - answered;
  waiting.join();
  EXPECT_EQ(status.code(), Code::kClosed) << status.ToString();
  EXPECT_EQ(idle_end.code(), Code::kClosed) << idle_end.ToString();
  const auto ms = [](Duration time) {
    return static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
  };
  std::printf("lost machine: a session that calls says so %lld ms after the last answer, one that waits %lld ms\n",
              ms(took), ms(idle_ended - answered));
  std::printf("it says \"%s\", \"%s\"\n", status.text().c_str(), idle_end.text().c_str());
  EXPECT_LE(took, std::chrono::milliseconds(1000));
  EXPECT_LE(idle_ended - answered, std::chrono::milliseconds(1000));
  busy->reset();
  idle->reset();

  Tell("START THE OTHER MACHINE");
  Result<std::unique_ptr<ClientChannel>> again = Connect();
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  Collector answers;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Call(**again, answers).ok());
  Tell("THE OTHER MACHINE ANSWERS AGAIN");
}

}  // namespace
}  // namespace accelmesh::rdma
