// Peers of tcp and ipc that speak to the sockets themselves, without the channel's manners: strangers at the sockets of
// a session that runs, and clients that are let in and then send messages of another shape than ours.
#include <sys/socket.h>

#include <array>

#include "protocol/transport/bulk_stream.h"
#include "protocol/transport/zmq_socket.h"
#include "tests/faults/garbage.h"

namespace accelmesh::faults {
namespace {

constexpr std::size_t kOversize = zmq::kMessageBytesMax + 1;

// What a Welcome tells its client.
struct Invitation {
  std::vector<Endpoint> lanes;
  Endpoint bulk;
  Bytes secret;
  std::uint64_t session_id = 0;
};

Invitation Read(ByteView frame) {
  Invitation invitation;
  const Bytes aligned(frame.begin(), frame.end());  // libzmq aligns nothing
  const auto* welcome = flatbuffers::GetRoot<wire::Welcome>(aligned.data());
  std::string_view list = welcome->worker_endpoint()->string_view();
  while (!list.empty()) {
    const std::string_view one = list.substr(0, list.find(','));
    invitation.lanes.push_back(*ParseEndpoint(one));
    list.remove_prefix(std::min(list.size(), one.size() + 1));
  }
  invitation.bulk = *ParseEndpoint(welcome->bulk_endpoint()->string_view());
  invitation.secret.assign(welcome->secret()->begin(), welcome->secret()->end());
  invitation.session_id = welcome->session_id();
  return invitation;
}

zmq::Message Attach(ByteView secret, int lane) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(
      wire::CreateAttach(builder, builder.CreateVector(secret.data(), secret.size()), static_cast<std::uint8_t>(lane)));
  return zmq::Message({builder.GetBufferPointer(), builder.GetSize()}, {0, 0, zmq::MessageKind::kAttach});
}

zmq::Message Of(std::uint64_t kind) {
  return zmq::Message(AsBytes(std::string_view("whatever")), {1, 0, static_cast<zmq::MessageKind>(kind)});
}

bool Send(zmq::Socket& socket, zmq::Message message, bool more = false) {
  const Deadline deadline = In(kPatienceMs);
  for (;;) {
    const zmq::Io sent = socket.TrySend(message, more);
    if (sent != zmq::Io::kWouldBlock || deadline.passed()) return sent == zmq::Io::kDone;
    poll(nullptr, 0, 1);
  }
}

// A DEALER that is connected to `endpoint`.
zmq::Socket Dial(const zmq::Context& context, const Endpoint& endpoint) {
  Result<zmq::Socket> socket = zmq::Socket::Open(context, ZMQ_DEALER, 128);
  EXPECT_TRUE(socket.ok()) << socket.status().ToString();
  EXPECT_TRUE(socket->Connect(endpoint).ok());
  return *std::move(socket);
}

class RawZmqTest : public GarbageTest {
 protected:
  zmq::Socket DialServer() { return Dial(context_, *ParseEndpoint(server_->url())); }

  // A welcome of our own.
  Invitation Invite() {
    zmq::Socket socket = DialServer();
    EXPECT_TRUE(Send(socket, zmq::Message(HelloFrame())));
    zmq::Message welcome;
    const Deadline deadline = In(kPatienceMs);
    while (socket.TryReceive(welcome) != zmq::Io::kDone && !deadline.passed()) poll(nullptr, 0, 1);
    return welcome.bytes().empty() ? Invitation{} : Read(welcome.bytes());
  }

  zmq::Context context_;
};

// A client as the worker knows it: attached on every lane.
struct RawClient {
  RawClient(const zmq::Context& context, const Invitation& invitation) {
    for (int lane = 0; lane < zmq::kLanes; ++lane) {
      lanes[lane] = Dial(context, invitation.lanes[lane]);
      EXPECT_TRUE(Send(lanes[lane], Attach(invitation.secret, lane)));
    }
  }
  std::array<zmq::Socket, zmq::kLanes> lanes;
};

// A client that takes its welcome and does not attach must not keep a worker, nor do strangers attach in its place.
TEST_P(RawZmqTest, OnlyTheSecretLetsIn) {
  zmq::Socket silent = DialServer();
  ASSERT_TRUE(Send(silent, zmq::Message(HelloFrame())));
  const Invitation invitation = Invite();
  ASSERT_EQ(invitation.lanes.size(), std::size_t{zmq::kLanes});
  Bytes wrong = invitation.secret;
  wrong.back() ^= 1;
  for (int lane = 0; lane < zmq::kLanes; ++lane) {
    zmq::Socket stranger = Dial(context_, invitation.lanes[lane]);
    EXPECT_TRUE(Send(stranger, Attach(wrong, lane)));
    EXPECT_TRUE(Send(stranger, Attach({}, lane)));
    EXPECT_TRUE(Send(stranger, Attach(ByteView(invitation.secret).first(31), lane)));
    // The right one, of another lane, with the wrong kind, in several parts.
    EXPECT_TRUE(Send(stranger, Attach(invitation.secret, (lane + 1) % zmq::kLanes)));
    EXPECT_TRUE(Send(stranger, Attach(invitation.secret, lane), /*more=*/true));
    EXPECT_TRUE(Send(stranger, Attach(invitation.secret, lane)));
    EXPECT_TRUE(Send(stranger, zmq::Message(OpenFrame().bytes(), {})));
  }
  const std::string session = "session " + std::to_string(invitation.session_id);
  ExpectLogged("session 2 has ended: the client was welcomed and never attached");
  ExpectLogged(session + " has ended: the client was welcomed and never attached");
  EXPECT_EQ(server_->Count("a message from a peer that did not attach with the session's secret was dropped"),
            int{zmq::kLanes})
      << "one line a lane\n"
      << server_->Log();
}

// The worker of the session that goes on hears everything that must not count.
TEST_P(RawZmqTest, StrangersAtASessionThatRuns) {
  const Invitation invitation = Read(welcome_);
  ASSERT_EQ(invitation.lanes.size(), std::size_t{zmq::kLanes});
  Bytes wrong = invitation.secret;
  wrong.front() ^= 0x80;
  std::vector<zmq::Socket> strangers;
  for (int lane = 0; lane < zmq::kLanes; ++lane) {
    for (const ByteView secret : {ByteView(wrong), ByteView(invitation.secret)}) {
      zmq::Socket& stranger = strangers.emplace_back(Dial(context_, invitation.lanes[lane]));
      EXPECT_TRUE(Send(stranger, Attach(secret, lane)));
      EXPECT_TRUE(Send(stranger, zmq::Message(OpenFrame().bytes(), {})));
      EXPECT_TRUE(Send(stranger, zmq::Message(AsBytes(std::string_view("short")))));
      EXPECT_TRUE(Send(stranger, Of(77)));
      for (const bool more : {true, true, false}) EXPECT_TRUE(Send(stranger, Of(0), more));
      EXPECT_TRUE(Send(stranger, Of(static_cast<std::uint64_t>(zmq::MessageKind::kBye))));
      EXPECT_TRUE(Send(stranger, zmq::Message(Bytes(kOversize))));
    }
  }
  // The lanes down are not read once the client is there.
  const char* dropped = "a message from a peer that did not attach";
  for (int i = 0; i < 1000 && server_->Count(dropped) < 2; ++i) poll(nullptr, 0, 10);
  EXPECT_EQ(server_->Count(dropped), 2) << server_->Log();
  // Nor is the bulk lane's place open any more.
  EXPECT_EQ(ConnectBulk(invitation.bulk, SealKey{}, In(1000)).code(), Code::kUnavailable);
  // Some go, some stay.
  for (std::size_t i = 0; i < strangers.size(); i += 2) strangers[i] = {};
  const int before = rounds_;
  for (int i = 0; i < 1000 && rounds_ < before + 20; ++i) poll(nullptr, 0, 10);
  EXPECT_GE(rounds_, before + 20);
}

// More messages of strangers than the worker can throw away in passing.
TEST_P(RawZmqTest, AFloodFromStrangers) {
  const Invitation invitation = Read(welcome_);
  ASSERT_EQ(invitation.lanes.size(), std::size_t{zmq::kLanes});
  std::atomic<bool> stop{false};
  std::vector<std::thread> strangers;
  for (const int lane : {zmq::kCommandLane, zmq::kSideLane}) {
    strangers.emplace_back([&, lane] {
      zmq::Socket stranger = Dial(context_, invitation.lanes[lane]);
      while (!stop) {
        zmq::Message message(AsBytes(std::string_view("x")));
        if (stranger.TrySend(message) != zmq::Io::kDone) std::this_thread::yield();
      }
    });
  }
  for (int i = 0; i < 1000 && server_->Count("a message from a peer that did not attach") < 2; ++i) {
    poll(nullptr, 0, 10);
  }
  const int before = rounds_;
  for (int i = 0; i < 1000 && rounds_ < before + 50; ++i) poll(nullptr, 0, 10);
  EXPECT_GE(rounds_, before + 50);
  stop = true;
  for (std::thread& stranger : strangers) stranger.join();
}

TEST_P(RawZmqTest, MessagesOfAnotherShape) {
  const auto several = [](zmq::Socket& lane) { return Send(lane, Of(0), /*more=*/true) && Send(lane, Of(0)); };
  const auto short_one = [](zmq::Socket& lane) {
    return Send(lane, zmq::Message(AsBytes(std::string_view("23 bytes is too few"))));
  };
  const auto nothing = [](zmq::Socket& lane) { return Send(lane, zmq::Message(ByteView())); };
  const auto unknown = [](zmq::Socket& lane) { return Send(lane, Of(77)); };
  const auto huge = [](zmq::Socket& lane) { return Send(lane, Of(~std::uint64_t{0})); };
  const auto progress = [](zmq::Socket& lane) { return Send(lane, Of(1)); };
  const auto attach = [](zmq::Socket& lane) { return Send(lane, Of(3)); };
  const struct {
    zmq::Lane lane;
    bool (*send)(zmq::Socket& lane);
    const char* reason;
  } cases[] = {
      {zmq::kCommandLane, several, "a message of several parts"},
      {zmq::kSideLane, several, "a message of several parts"},
      {zmq::kCommandLane, short_one, "a message without a trailer"},
      {zmq::kSideLane, nothing, "a message without a trailer"},
      {zmq::kCommandLane, unknown, "of a kind that does not go up"},
      {zmq::kCommandLane, progress, "of a kind that does not go up"},
      {zmq::kSideLane, attach, "of a kind that does not go up"},
      {zmq::kSideLane, huge, "of a kind that does not go up"},
  };
  for (const auto& one : cases) {
    const Invitation invitation = Invite();
    ASSERT_EQ(invitation.lanes.size(), std::size_t{zmq::kLanes});
    RawClient client(context_, invitation);
    ASSERT_TRUE(Send(client.lanes[zmq::kCommandLane], zmq::Message(OpenFrame().bytes(), {})));
    EXPECT_TRUE(one.send(client.lanes[one.lane])) << one.reason;
    const std::string ended = "session " + std::to_string(invitation.session_id) + " is ended: bad_frame";
    ExpectLogged(ended);
    const std::string log = server_->Log();
    const std::size_t at = std::min(log.find(ended), log.size());
    EXPECT_NE(log.substr(at, log.find('\n', at) - at).find(one.reason), std::string::npos)
        << "lane " << one.lane << ", " << one.reason << "\n"
        << log;
  }
}

// A bulk lane of ours, by its own bytes.
BulkSocket DialBulk(const Invitation& invitation) {
  Result<SealKeys> keys = KeysOfSecret(invitation.secret);
  EXPECT_TRUE(keys.ok());
  Result<BulkSocket> socket = ConnectBulk(invitation.bulk, keys->mark, In(kPatienceMs));
  EXPECT_TRUE(socket.ok()) << socket.status().ToString();
  return socket.ok() ? *std::move(socket) : BulkSocket();
}

void SendRaw(const BulkSocket& socket, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put > 0) bytes = bytes.subspan(static_cast<std::size_t>(put));
    if (put < 0 && errno != EAGAIN) return;
    if (put < 0) poll(nullptr, 0, 1);
  }
}

Bytes RawRecord(const BulkHeader& header, std::size_t body) {
  const auto head = WriteBulkHeader(header);
  Bytes bytes(head.begin(), head.end());
  bytes.resize(bytes.size() + body, 5);
  return bytes;
}

TEST_P(RawZmqTest, BulkLanesOfAnotherShape) {
  Bytes twice = RawRecord({7, 0, 100}, 100);
  const Bytes again = twice;
  twice.insert(twice.end(), again.begin(), again.end());
  const struct {
    Bytes bytes;
    const char* reason;
  } cases[] = {
      {Bytes(1000, 0x41), "is no body"},
      {RawRecord({7, 0, static_cast<std::uint32_t>(limits::kBulkBytesMax) + 1}, 0), "a body of 1048577 bytes"},
      {RawRecord({7, 0, ~std::uint32_t{0}}, 0), "a body of 4294967295 bytes"},
      {RawRecord({7, 1, 100}, 100), "a body with an offset"},
      {twice, "a token twice"},
  };
  for (const auto& one : cases) {
    const Invitation invitation = Invite();
    ASSERT_EQ(invitation.lanes.size(), std::size_t{zmq::kLanes});
    const BulkSocket bulk = DialBulk(invitation);
    RawClient client(context_, invitation);
    ASSERT_TRUE(Send(client.lanes[zmq::kCommandLane], zmq::Message(OpenFrame().bytes(), {})));
    SendRaw(bulk, one.bytes);
    const std::string ended = "session " + std::to_string(invitation.session_id) + " is ended: bad_frame";
    ExpectLogged(ended);
    const std::string log = server_->Log();
    const std::size_t at = std::min(log.find(ended), log.size());
    EXPECT_NE(log.substr(at, log.find('\n', at) - at).find(one.reason), std::string::npos) << one.reason << "\n" << log;
  }
}

// Only the session's mark lets into its bulk lane, however many others stand there.
TEST_P(RawZmqTest, StrangersAtTheBulkLane) {
  const Invitation invitation = Invite();
  ASSERT_EQ(invitation.lanes.size(), std::size_t{zmq::kLanes});
  SealKey wrong = KeysOfSecret(invitation.secret)->mark;
  wrong.back() ^= 1;
  std::vector<BulkSocket> strangers;
  for (int i = 0; i < 30; ++i) {
    Result<BulkSocket> stranger = ConnectBulk(invitation.bulk, wrong, In(kPatienceMs));
    ASSERT_TRUE(stranger.ok()) << stranger.status().ToString();
    strangers.push_back(*std::move(stranger));
  }
  ExpectLogged("a connection that did not show the session's mark was closed");
  const BulkSocket bulk = DialBulk(invitation);
  RawClient client(context_, invitation);
  ASSERT_TRUE(Send(client.lanes[zmq::kCommandLane], zmq::Message(OpenFrame().bytes(), {})));
  for (const BulkSocket& stranger : strangers) SendRaw(stranger, Bytes(100, 1));
  SendRaw(bulk, RawRecord({7, 1, 100}, 100));
  ExpectLogged("session " + std::to_string(invitation.session_id) + " is ended: bad_frame");
}

// A client that keeps its session and lets its bulk lane go is ended, not waited for.
TEST_P(RawZmqTest, ABulkLaneThatEndsByItself) {
  const Invitation invitation = Invite();
  ASSERT_EQ(invitation.lanes.size(), std::size_t{zmq::kLanes});
  RawClient client(context_, invitation);
  {
    const BulkSocket bulk = DialBulk(invitation);
    ASSERT_TRUE(Send(client.lanes[zmq::kCommandLane], zmq::Message(OpenFrame().bytes(), {})));
    SendRaw(bulk, ByteView(RawRecord({7, 0, 100}, 100)).first(50));
    poll(nullptr, 0, 50);
  }
  ExpectLogged("session " + std::to_string(invitation.session_id) + " has ended: the client's bulk lane has ended");
}

// libzmq cuts such a peer off: on the command lane that is the end of the session, on another one the client's loss.
TEST_P(RawZmqTest, AMessageOverTheLimit) {
  for (const zmq::Lane lane : {zmq::kCommandLane, zmq::kSideLane, zmq::kDownLane}) {
    const Invitation invitation = Invite();
    ASSERT_EQ(invitation.lanes.size(), std::size_t{zmq::kLanes});
    const std::string ended = "session " + std::to_string(invitation.session_id) + " has ended: ";
    {
      RawClient client(context_, invitation);
      ASSERT_TRUE(Send(client.lanes[zmq::kCommandLane], zmq::Message(OpenFrame().bytes(), {})));
      EXPECT_TRUE(Send(client.lanes[lane], zmq::Message(Bytes(kOversize))));
      if (lane == zmq::kCommandLane) ExpectLogged(ended + "the connection has ended");
    }
    ExpectLogged(ended);
  }
}

TEST_P(RawZmqTest, HellosOfAnotherShape) {
  zmq::Socket several = DialServer();
  EXPECT_TRUE(Send(several, zmq::Message(HelloFrame()), /*more=*/true));
  EXPECT_TRUE(Send(several, zmq::Message(HelloFrame())));
  zmq::Socket oversize = DialServer();
  EXPECT_TRUE(Send(oversize, zmq::Message(Bytes(kOversize))));
  zmq::Socket again = DialServer();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Send(again, zmq::Message(AsBytes(std::string_view("good morning")))));
  // The next one is served, and is the second session: none was opened for those.
  EXPECT_EQ(Invite().session_id, 2u);
  zmq::Message answer;
  EXPECT_NE(several.TryReceive(answer), zmq::Io::kDone);
  EXPECT_NE(oversize.TryReceive(answer), zmq::Io::kDone);
}

INSTANTIATE_TEST_SUITE_P(All, RawZmqTest, ::testing::Values("tcp", "ipc"), NameOf);

}  // namespace
}  // namespace accelmesh::faults
