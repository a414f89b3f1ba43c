// The client's end against a server that sends what no server sends: it ends its session with a reason and nothing
// else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <sys/socket.h>

#include <array>
#include <filesystem>
#include <functional>
#include <future>

#include "protocol/schema/session_generated.h"
#include "protocol/transport/bulk_stream.h"
#include "protocol/transport/zmq_socket.h"

namespace accelmesh::zmq {
namespace {

using ::testing::HasSubstr;

Deadline Soon() { return Deadline::After(std::chrono::seconds(10)); }

struct Ignore final : FrameSink {
  void OnFrame(ByteView) override { ++frames; }
  int frames = 0;
};

Message Body(std::uint64_t first, std::uint64_t second, MessageKind kind, std::string_view body = "12345678") {
  return Message(AsBytes(body), {first, second, kind});
}

// A supervisor and its worker in one, without their manners.
class HostileServer {
 public:
  explicit HostileServer(const std::filesystem::path& folder) {
    for (int i = 0; i <= kLanes; ++i) {
      auto router = Socket::Open(context_, ZMQ_ROUTER, kFrameMessagesMax);
      EXPECT_TRUE(router.ok()) << router.status().ToString();
      Endpoint endpoint;
      endpoint.scheme = Endpoint::Scheme::kIpc;
      endpoint.path = folder / std::to_string(i);
      EXPECT_TRUE(router->Bind(endpoint).ok());
      routers_[i] = *std::move(router);
      endpoints_[i] = std::move(endpoint);
    }
    Endpoint bulk;
    bulk.scheme = Endpoint::Scheme::kIpc;
    bulk.path = folder / "bulk";
    auto listening = ListenForBulk(bulk);
    EXPECT_TRUE(listening.ok()) << listening.status().ToString();
    bulk_ = *std::move(listening);
  }

  const Endpoint& endpoint() const { return endpoints_[kLanes]; }
  std::string lanes() const {
    std::string list;
    for (int lane = 0; lane < kLanes; ++lane) list += (lane == 0 ? "" : ",") + endpoints_[lane].ToString();
    return list;
  }
  // What is asked for by default.
  Bytes Welcome(const std::string& lanes, bool with_secret = true, bool with_bulk = true) const {
    flatbuffers::FlatBufferBuilder builder;
    const auto secret = builder.CreateVector(Bytes(32, 9));
    const auto endpoint = builder.CreateString(lanes);
    const auto bulk = builder.CreateString(bulk_.endpoint.ToString());
    wire::WelcomeBuilder welcome(builder);
    welcome.add_version(1);
    if (with_secret) welcome.add_secret(secret);
    welcome.add_worker_endpoint(endpoint);
    if (with_bulk) welcome.add_bulk_endpoint(bulk);
    builder.Finish(welcome.Finish());
    return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
  }

  // Connects a client that is answered with `welcome`.
  Result<Connected> Answer(ByteView welcome) {
    auto client = std::async(std::launch::async, [&] { return ConnectZmq(endpoint(), AsBytes("hello"), Soon()); });
    Take(kLanes);
    Send(kLanes, Message(welcome));
    return client.get();
  }
  // ... as it should be; its lanes down are then known.
  std::unique_ptr<ClientChannel> Serve() {
    auto connected = Answer(Welcome(lanes()));
    EXPECT_TRUE(connected.ok()) << connected.status().ToString();
    Take(kDownLane);
    stream_ = AcceptBulk(bulk_.socket, /*own_user_only=*/true);
    EXPECT_TRUE(stream_.is_open());
    return connected.ok() ? std::move(connected->channel) : nullptr;
  }
  // To whoever was heard last on `lane`.
  void Send(int lane, Message message, bool more = false) {
    if (!midway_) {
      Message id(peers_[lane]);
      EXPECT_EQ(routers_[lane].TrySend(id, /*more=*/true), Io::kDone);
    }
    EXPECT_EQ(routers_[lane].TrySend(message, more), Io::kDone);
    midway_ = more;
  }
  // On the bulk lane: a record whose header says what it says, and these bytes after it.
  void SendRecord(const BulkHeader& header, std::size_t body) {
    const auto head = WriteBulkHeader(header);
    Bytes bytes(head.begin(), head.end());
    bytes.resize(bytes.size() + body, 9);
    SendBytes(bytes);
  }
  void SendBytes(ByteView bytes) {
    EXPECT_EQ(::send(stream_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  void EndBulk() { stream_ = {}; }
  void Leave() {
    for (Socket& router : routers_) router = {};
  }

 private:
  void Take(int lane) {
    Message id;
    const Deadline deadline = Soon();
    while (routers_[lane].TryReceive(id) != Io::kDone && !deadline.passed()) poll(nullptr, 0, 1);
    peers_[lane].assign(id.bytes().begin(), id.bytes().end());
    for (Message part = std::move(id); part.more() && routers_[lane].TryReceive(part) == Io::kDone;) {
    }
  }

  Context context_;
  std::array<Socket, kLanes + 1> routers_;
  std::array<Endpoint, kLanes + 1> endpoints_;
  std::array<Bytes, kLanes + 1> peers_;
  BulkListening bulk_;
  BulkSocket stream_;
  bool midway_ = false;
};

class ZmqClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/accelmesh-zmq-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    folder_ = pattern;
    server_ = std::make_unique<HostileServer>(folder_);
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  Status Pump(ClientChannel& client) {
    const Deadline deadline = Soon();
    Status status;
    while (status.ok() && !deadline.passed()) status = client.Pump(sink_, deadline);
    return status;
  }
  void ExpectEnded(const char* what, Code code, const char* reason, const std::function<void()>& attack) {
    SCOPED_TRACE(what);
    const auto client = server_->Serve();
    ASSERT_NE(client, nullptr);
    ASSERT_TRUE(client->ExpectBulk(5, destination_).ok());
    attack();
    const Status ended = Pump(*client);
    EXPECT_EQ(ended.code(), code) << ended.ToString();
    EXPECT_THAT(ended.text(), HasSubstr(reason));
    // And so it stays.
    EXPECT_EQ(client->Pump(sink_, Soon()).code(), code);
    EXPECT_EQ(client->Send(UpLane::kCommand, AsBytes("x"), Soon()).code(), Code::kClosed);
    EXPECT_EQ(destination_, Bytes(16));
    EXPECT_EQ(sink_.frames, 0);
  }

  std::filesystem::path folder_;
  std::unique_ptr<HostileServer> server_;
  Ignore sink_;
  Bytes destination_ = Bytes(16);
};

TEST_F(ZmqClientTest, MessagesDownThatAreNone) {
  const struct {
    const char* what;
    Message message;
    const char* reason;
  } cases[] = {
      {"short", Message(AsBytes(std::string_view("23 bytes is too few"))), "a message without a trailer"},
      {"empty", Message(ByteView()), "a message without a trailer"},
      {"attach", Body(0, 0, MessageKind::kAttach), "of a kind that does not go down"},
      {"unknown", Body(0, 0, static_cast<MessageKind>(77)), "of a kind that does not go down"},
      {"huge", Body(0, 0, static_cast<MessageKind>(~std::uint64_t{0})), "of a kind that does not go down"},
      {"progress", Body(0, 0, MessageKind::kProgress, "noise of some length"), "progress does not verify"},
  };
  for (const auto& one : cases) {
    ExpectEnded(one.what, Code::kBadFrame, one.reason,
                [&] { server_->Send(kDownLane, std::move(const_cast<Message&>(one.message))); });
  }
  ExpectEnded("parts", Code::kBadFrame, "a message of several parts", [&] {
    server_->Send(kDownLane, Body(0, 0, MessageKind::kFrame), /*more=*/true);
    server_->Send(kDownLane, Body(0, 0, MessageKind::kFrame));
  });
}

TEST_F(ZmqClientTest, ProgressOfAStreamThatCannotBe) {
  flatbuffers::FlatBufferBuilder builder;
  const std::vector<wire::StreamProgress> streams = {{limits::kStreamsMax, 1}};
  const auto list = builder.CreateVectorOfStructs(streams);
  builder.Finish(wire::CreateProgress(builder, 0, 0, false, 0, 0, list));
  ExpectEnded("progress", Code::kBadFrame, "names an unknown stream", [&] {
    server_->Send(kDownLane, Message({builder.GetBufferPointer(), builder.GetSize()}, {0, 0, MessageKind::kProgress}));
  });
}

TEST_F(ZmqClientTest, BodiesThatAreNone) {
  ExpectEnded("noise", Code::kBadFrame, "is no body", [&] { server_->SendBytes(Bytes(100, 0x41)); });
  ExpectEnded("too large", Code::kBadFrame, "a body of 1048577 bytes",
              [&] { server_->SendRecord({5, 0, limits::kBulkBytesMax + 1}, 0); });
  for (const std::uint64_t offset : {std::uint64_t{9}, std::uint64_t{16}, ~std::uint64_t{7}}) {
    ExpectEnded("outside", Code::kBadFrame, "does not fit", [&] { server_->SendRecord({5, offset, 8}, 8); });
  }
  ExpectEnded("more than expected", Code::kBadFrame, "does not fit", [&] { server_->SendRecord({5, 0, 17}, 0); });
}

// The rest of the session may go on for a moment; a client that waits for a body does not wait for ever.
TEST_F(ZmqClientTest, ABulkLaneThatEnds) {
  ExpectEnded("at once", Code::kClosed, "", [&] { server_->EndBulk(); });
  const auto client = server_->Serve();
  ASSERT_NE(client, nullptr);
  ASSERT_TRUE(client->ExpectBulk(5, destination_).ok());
  server_->SendRecord({5, 0, 16}, 7);
  server_->EndBulk();
  EXPECT_EQ(Pump(*client).code(), Code::kClosed);
  EXPECT_FALSE(client->BulkLanded(5));
}

TEST_F(ZmqClientTest, MessagesOverTheLimitAreCutOff) {
  ExpectEnded("frame", Code::kClosed, "", [&] { server_->Send(kDownLane, Message(Bytes(kMessageBytesMax + 1))); });
}

// A frame that waits for bodies that never come is not delivered, and does not outlast its server.
TEST_F(ZmqClientTest, BodiesThatAreAnnouncedAndNeverCome) {
  ExpectEnded("announced", Code::kClosed, "", [&] {
    server_->Send(kDownLane, Body(~std::uint64_t{0}, 0, MessageKind::kFrame));
    server_->Leave();
  });
}

TEST_F(ZmqClientTest, WelcomesThatAreNone) {
  const std::string lanes = server_->lanes();
  const std::string two = lanes.substr(0, lanes.rfind(','));
  const struct {
    const char* what;
    Bytes welcome;
    Code code;
  } cases[] = {
      {"noise", Bytes(100, 0xff), Code::kBadFrame},
      {"nothing", {}, Code::kBadFrame},
      {"two lanes", server_->Welcome(two), Code::kBadFrame},
      {"four lanes", server_->Welcome(lanes + ",tcp://127.0.0.1:1"), Code::kBadFrame},
      {"no lane", server_->Welcome(""), Code::kBadFrame},
      {"shared memory", server_->Welcome(two + ",shm://box"), Code::kBadFrame},
      {"no address", server_->Welcome(two + ",whatever"), Code::kInvalidArgument},
      {"no bulk lane", server_->Welcome(lanes, /*with_secret=*/true, /*with_bulk=*/false), Code::kBadFrame},
      {"no secret", server_->Welcome(lanes, /*with_secret=*/false), Code::kBadFrame},
  };
  for (const auto& one : cases) {
    const auto connected = server_->Answer(one.welcome);
    EXPECT_EQ(connected.code(), one.code) << one.what << ": " << connected.status().ToString();
  }
}

}  // namespace
}  // namespace accelmesh::zmq
