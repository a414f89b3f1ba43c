// Clients that send what no client sends, to a real gpu-server, while another session runs on the same server: the bad
// session ends with a logged reason; the server and the other session do not notice.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <thread>

#include "protocol/schema/session_generated.h"
#include "protocol/transport/shm_layout.h"
#include "protocol/transport/shm_socket.h"
#include "protocol/transport/zmq_socket.h"
#include "shim/core/session.h"
#include "tests/conformance/transport/transports.h"

namespace accelmesh {
namespace {

using conformance::Folder;
using conformance::HelloFrame;
using conformance::In;

constexpr int kPatienceMs = 20000;

// gpu-server as people start it, with its log in a file.
class Server {
 public:
  explicit Server(const std::string& listen) : log_path_(Folder() + "/gpu-server.log") {
    int fds[2];
    if (pipe(fds) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const int log = open(log_path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
      dup2(fds[1], 1);
      dup2(log, 2);
      execl(ACCELMESH_GPU_SERVER, "gpu-server", "--listen", listen.c_str(), "--backend", "cpu", "--cpu-threads", "2",
            "--verbose", nullptr);
      _exit(127);
    }
    close(fds[1]);
    std::string line;
    for (char c = 0; read(fds[0], &c, 1) == 1 && c != '\n';) line += c;
    stdout_ = fds[0];
    if (line.rfind("ready ", 0) == 0) url_ = line.substr(6);
  }
  ~Server() {
    if (pid_ > 0) kill(pid_, SIGKILL);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    if (stdout_ >= 0) close(stdout_);
  }

  const std::string& url() const { return url_; }
  std::string Log() const {
    std::ifstream in(log_path_);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  int Count(const std::string& text) const {
    const std::string log = Log();
    int count = 0;
    for (std::size_t at = log.find(text); at != std::string::npos; at = log.find(text, at + 1)) ++count;
    return count;
  }
  bool Alive() const { return waitpid(pid_, nullptr, WNOHANG) == 0; }
  // Its exit status, or -1.
  int Stop() {
    kill(pid_, SIGTERM);
    int status = 0;
    for (int i = 0; i < 1000 && waitpid(pid_, &status, WNOHANG) == 0; ++i) poll(nullptr, 0, 10);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  std::string log_path_;
  std::string url_;
  pid_t pid_ = -1;
  int stdout_ = -1;
};

Result<Connected> Connect(const std::string& url, ByteView hello) {
  ACCELMESH_ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(url));
  return endpoint.scheme == Endpoint::Scheme::kShm ? ConnectShm(endpoint, hello, In(kPatienceMs))
                                                   : ConnectZmq(endpoint, hello, In(kPatienceMs));
}

struct Ignore final : FrameSink {
  void OnFrame(ByteView) override {}
};

// Frames, right and wrong.
class Frame {
 public:
  explicit Frame(std::uint64_t first_sequence, std::uint32_t magic = kFrameMagic) {
    FrameHeaderValue header;
    header.magic = magic;
    header.first_sequence = first_sequence;
    Append(AsBytes(header));
  }
  template <typename T>
  Frame& Add(const T& body, ByteView payload = {}) {
    return AddRaw(static_cast<std::uint16_t>(CommandTraits<T>::kId), AsBytes(body), payload);
  }
  Frame& AddRaw(std::uint16_t command, ByteView body, ByteView payload = {}) {
    RecordHeaderValue record;
    record.bytes = static_cast<std::uint32_t>(RecordBytes(body.size(), payload.size()));
    record.body_bytes = static_cast<std::uint32_t>(body.size());
    record.payload_bytes = static_cast<std::uint32_t>(payload.size());
    record.command = command;
    const std::size_t start = bytes_.size();
    Append(AsBytes(record));
    Append(body);
    Append(payload);
    bytes_.resize(start + record.bytes);
    ++records_;
    std::memcpy(bytes_.data() + offsetof(FrameHeaderValue, records), &records_, sizeof(records_));
    return *this;
  }
  Bytes& bytes() { return bytes_; }

 private:
  void Append(ByteView bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  Bytes bytes_;
  std::uint32_t records_ = 0;
};

Frame OpenFrame() {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(wire::CreateOpenSession(builder, 0x7e8000000000, 256 * limits::kGiB));
  Frame frame(1);
  frame.AddRaw(static_cast<std::uint16_t>(CommandId::kOpenSession), {builder.GetBufferPointer(), builder.GetSize()});
  return frame;
}

class GarbageTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    alarm(120);
    Folder();
    const std::string scheme = GetParam();
    server_ = std::make_unique<Server>(scheme == "shm"   ? "shm://garbage-" + std::to_string(getpid())
                                       : scheme == "tcp" ? "tcp://127.0.0.1:0"
                                                         : "ipc://" + Folder() + "/hello");
    ASSERT_FALSE(server_->url().empty()) << server_->Log();
    auto connected = Connect(server_->url(), HelloFrame());
    ASSERT_TRUE(connected.ok()) << connected.status().ToString();
    auto session = ClientSession::Open(std::move(connected->channel), nullptr);
    ASSERT_TRUE(session.ok()) << session.status().ToString();
    bystander_ = *std::move(session);
    worker_ = std::thread([this] { Work(); });
  }

  void TearDown() override {
    const int at_end = rounds_;
    for (int i = 0; i < 500 && rounds_ < at_end + 2; ++i) poll(nullptr, 0, 10);
    EXPECT_GE(rounds_, at_end + 2) << "the other session does not go on";
    stop_ = true;
    if (worker_.joinable()) worker_.join();
    EXPECT_EQ(faults_, 0) << "the other session noticed";
    if (bystander_ != nullptr) {
      EXPECT_EQ(bystander_->TakeAsyncError(), 0u);
    }
    bystander_.reset();
    ASSERT_TRUE(server_->Alive());
    EXPECT_EQ(server_->Count("died of signal"), 0) << server_->Log();
    EXPECT_EQ(server_->Stop(), 0);
    alarm(0);
  }

  // What the other session does all the time: copies there and back, checked.
  void Work() {
    Stream* stream = bystander_->Legacy(0);
    for (unsigned round = 0; !stop_; ++round) {
      std::uint64_t address = 0;
      const Bytes from(30000 + round % 7, static_cast<std::uint8_t>(round));
      Bytes to(from.size());
      const bool fine = bystander_->Malloc(0, from.size(), &address) == 0 &&
                        bystander_->CopyToDevice(stream, address, from.data(), from.size(), true) == 0 &&
                        bystander_->CopyToHost(stream, to.data(), address, to.size(), true) == 0 &&
                        bystander_->Free(address) == 0 && to == from;
      if (!fine) ++faults_;
      ++rounds_;
    }
  }

  std::unique_ptr<ClientChannel> Attack() {
    auto connected = Connect(server_->url(), HelloFrame());
    EXPECT_TRUE(connected.ok()) << connected.status().ToString();
    return connected.ok() ? std::move(connected->channel) : nullptr;
  }

  // The session of `channel` is ended by the server, for bad bytes, and the server says so.
  void ExpectEnded(ClientChannel& channel, const char* what) {
    Ignore sink;
    Status status;
    const Deadline deadline = In(kPatienceMs);
    while (status.ok() && !deadline.passed()) status = channel.Pump(sink, deadline);
    EXPECT_EQ(status.code(), Code::kClosed) << what << ": " << status.ToString();
    ++attacks_;
    int logged = 0;
    for (int i = 0; i < 500 && logged < attacks_; ++i) {
      logged = server_->Count("is ended: bad_frame");
      if (logged < attacks_) poll(nullptr, 0, 10);
    }
    EXPECT_EQ(logged, attacks_) << what << ": no reason is logged\n" << server_->Log();
    attacks_ = logged;
  }
  void ExpectLogged(const std::string& text) {
    for (int i = 0; i < 2000 && server_->Count(text) == 0; ++i) poll(nullptr, 0, 10);
    EXPECT_EQ(server_->Count(text), 1) << server_->Log();
  }
  void AttackWith(const char* what, UpLane lane, std::vector<Bytes> frames) {
    const auto channel = Attack();
    ASSERT_NE(channel, nullptr);
    for (const Bytes& frame : frames) {
      // The connection may have ended meanwhile.
      if (const Status sent = channel->Send(lane, frame, In(kPatienceMs)); !sent.ok()) break;
    }
    ExpectEnded(*channel, what);
  }

  std::unique_ptr<Server> server_;
  std::unique_ptr<ClientSession> bystander_;
  std::thread worker_;
  std::atomic<bool> stop_{false};
  std::atomic<int> rounds_{0};
  std::atomic<int> faults_{0};
  int attacks_ = 0;
};

TEST_P(GarbageTest, FramesThatAreNone) {
  std::mt19937 random(1);
  Bytes noise(70000);
  for (std::uint8_t& byte : noise) byte = static_cast<std::uint8_t>(random());
  AttackWith("noise", UpLane::kCommand, {noise});
  AttackWith("noise after the opening", UpLane::kCommand, {OpenFrame().bytes(), noise});
  AttackWith("noise on the side lane", UpLane::kSide, {noise});
  AttackWith("an empty frame", UpLane::kCommand, {{}});
  AttackWith("the largest frame, of zeros", UpLane::kCommand, {Bytes(limits::kFrameBytesMax)});
  Bytes other_version = OpenFrame().bytes();
  other_version[3] = '9';
  AttackWith("a frame of another version", UpLane::kCommand, {other_version});
}

TEST_P(GarbageTest, FramesThatDoNotAddUp) {
  for (const std::size_t cut : {1u, 8u, 20u, 40u}) {
    Bytes frame = OpenFrame().bytes();
    frame.resize(frame.size() - cut);
    AttackWith("a truncated frame", UpLane::kCommand, {frame});
  }
  Bytes longer = OpenFrame().bytes();
  longer.resize(longer.size() + 8);
  AttackWith("a frame with bytes behind it", UpLane::kCommand, {longer});
  for (const std::size_t field : {0u, 4u, 8u}) {
    Bytes frame = OpenFrame().Add(wire::Ping(1)).bytes();
    const std::uint32_t huge = 0xfffffff8;
    std::memcpy(frame.data() + sizeof(FrameHeaderValue) + field, &huge, sizeof(huge));
    AttackWith("an oversized record", UpLane::kCommand, {frame});
  }
  Bytes more_records = OpenFrame().bytes();
  more_records[offsetof(FrameHeaderValue, records)] = 200;
  AttackWith("fewer records than announced", UpLane::kCommand, {more_records});
}

TEST_P(GarbageTest, FramesAtTheWrongTime) {
  const Bytes open = OpenFrame().bytes();
  AttackWith("a replay", UpLane::kCommand, {open, open});
  AttackWith("a gap", UpLane::kCommand, {open, Frame(3).Add(wire::Ping(1)).bytes()});
  AttackWith("a command before the opening", UpLane::kCommand, {Frame(1).Add(wire::Ping(1)).bytes()});
  AttackWith("a command of the other lane", UpLane::kSide, {Frame(1).Add(wire::Ping(1)).bytes()});
  AttackWith("an unknown command", UpLane::kCommand, {open, Frame(2).AddRaw(60000, {}).bytes()});
  AttackWith("a stream that is not there", UpLane::kCommand, {open, Frame(2).Add(wire::StreamDestroy(77, 0)).bytes()});
  AttackWith("a copy to the place of an inline payload", UpLane::kCommand,
             {open, Frame(2)
                        .Add(wire::Copy(wire::Place(0, 0, wire::PlaceKind::Inline),
                                        wire::Place(0, 0, wire::PlaceKind::Inline), 100, 0, 0))
                        .bytes()});
}

TEST_P(GarbageTest, ATokenThatComesTwice) {
  const auto channel = Attack();
  ASSERT_NE(channel, nullptr);
  ASSERT_TRUE(channel->Send(UpLane::kCommand, OpenFrame().bytes(), In(kPatienceMs)).ok());
  const Bytes body(1000, 1);
  for (int i = 0; i < 2; ++i) (void)channel->SendBulk(5, body, In(kPatienceMs)).ok();
  ExpectEnded(*channel, "a token twice");
}

TEST_P(GarbageTest, HellosThatAreRefused) {
  flatbuffers::FlatBufferBuilder builder;
  builder.Finish(wire::CreateHello(builder, 40, 41));
  const auto version = Connect(server_->url(), {builder.GetBufferPointer(), builder.GetSize()});
  EXPECT_EQ(version.code(), Code::kVersionMismatch) << version.status().ToString();
  EXPECT_NE(version.status().text().find("install the same release"), std::string::npos);
  const auto noise = Connect(server_->url(), AsBytes("good morning"));
  EXPECT_EQ(noise.code(), Code::kBadFrame) << noise.status().ToString();
  const auto empty = Connect(server_->url(), {});
  EXPECT_FALSE(empty.ok());
}

// A client that is welcomed and never comes must not keep a worker.
TEST_P(GarbageTest, AClientThatLeavesAtOnce) {
  for (int i = 0; i < 5; ++i) {
    const auto channel = Attack();
    ASSERT_NE(channel, nullptr);
  }
  // Session 1 is the other one.
  for (int id = 2; id <= 6; ++id) ExpectLogged("session " + std::to_string(id) + " has ended");
}

// Nor one that takes its welcome and does not attach.
TEST_P(GarbageTest, AClientThatNeverAttaches) {
  if (std::string(GetParam()) == "shm") GTEST_SKIP() << "the welcome of shm comes with the connection";
  zmq::Context context;
  auto socket = zmq::Socket::Open(context, ZMQ_DEALER, 16);
  ASSERT_TRUE(socket.ok());
  ASSERT_TRUE(socket->Connect(*ParseEndpoint(server_->url())).ok());
  zmq::Message hello(HelloFrame());
  ASSERT_EQ(socket->TrySend(hello), zmq::Io::kDone);
  ExpectLogged("session 2 has ended: the client was welcomed and never attached");
}

std::string NameOf(const ::testing::TestParamInfo<const char*>& info) { return info.param; }
INSTANTIATE_TEST_SUITE_P(All, GarbageTest, ::testing::Values("shm", "tcp", "ipc"), NameOf);

// The shared memory of a session, without the channel's manners.
class ScribblerTest : public GarbageTest {
 protected:
  std::shared_ptr<shm::Memory> ConnectRaw(int* socket_fd) {
    const auto endpoint = ParseEndpoint(server_->url());
    const auto path = shm::SocketPath(*endpoint, false);
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path->c_str(), path->size() + 1);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    shm::Message hello;
    hello.kind = shm::MessageKind::kHello;
    hello.bytes = HelloFrame();
    EXPECT_TRUE(shm::SendMessage(fd, hello, In(kPatienceMs)).ok());
    auto welcome = shm::ReceiveMessage(fd, In(kPatienceMs));
    EXPECT_TRUE(welcome.ok()) << welcome.status().ToString();
    *socket_fd = fd;
    if (!welcome.ok()) return nullptr;
    auto memory = shm::Memory::Attach(welcome->fd);
    EXPECT_TRUE(memory.ok()) << memory.status().ToString();
    return memory.ok() ? *memory : nullptr;
  }
  void ExpectGone(int socket_fd, const char* what) {
    ++attacks_;
    for (int i = 0; i < 1000 && !shm::IsHungUp(socket_fd); ++i) poll(nullptr, 0, 10);
    EXPECT_TRUE(shm::IsHungUp(socket_fd)) << what;
    close(socket_fd);
    for (int i = 0; i < 500 && server_->Count("is ended: bad_frame") < attacks_; ++i) poll(nullptr, 0, 10);
    EXPECT_EQ(server_->Count("is ended: bad_frame"), attacks_) << what << "\n" << server_->Log();
  }
};

TEST_P(ScribblerTest, PositionsThatAreNone) {
  for (const std::uint64_t tail : {std::uint64_t{5}, std::uint64_t{shm::kFrameRingBytes + 8}, ~std::uint64_t{7}}) {
    for (const shm::RingIndex ring : {shm::kCommandRing, shm::kSideRing, shm::kUpBulkRing}) {
      int fd = -1;
      const auto memory = ConnectRaw(&fd);
      ASSERT_NE(memory, nullptr);
      memory->shared().rings[ring].tail.store(tail);
      shm::Ring(memory->shared().server);
      ExpectGone(fd, "a tail that is none");
    }
  }
}

TEST_P(ScribblerTest, SizesThatAreNone) {
  for (const std::uint64_t size : {std::uint64_t{limits::kFrameBytesMax + 1}, std::uint64_t{100}, ~std::uint64_t{0}}) {
    int fd = -1;
    const auto memory = ConnectRaw(&fd);
    ASSERT_NE(memory, nullptr);
    std::memcpy(memory->RingData(shm::kCommandRing), &size, sizeof(size));
    memory->shared().rings[shm::kCommandRing].tail.store(16);
    shm::Ring(memory->shared().server);
    ExpectGone(fd, "a record's size that is none");
  }
}

TEST_P(ScribblerTest, AnnouncementsOutsideOfTheArena) {
  for (const shm::Announcement& claim :
       {shm::Announcement{1, 0, shm::kUnits - 1, limits::kBulkBytesMax}, shm::Announcement{1, 0, 0xffffffff, 1},
        shm::Announcement{1, 0, 0, 0xffffffff}}) {
    int fd = -1;
    const auto memory = ConnectRaw(&fd);
    ASSERT_NE(memory, nullptr);
    const std::uint64_t size = sizeof(claim);
    std::memcpy(memory->RingData(shm::kUpBulkRing), &size, sizeof(size));
    std::memcpy(memory->RingData(shm::kUpBulkRing) + 8, &claim, sizeof(claim));
    memory->shared().rings[shm::kUpBulkRing].tail.store(8 + sizeof(claim));
    shm::Ring(memory->shared().server);
    ExpectGone(fd, "an announcement outside of the arena");
  }
}

// Valid frames in a ring that is rewritten while the server reads it, at random places, of random words.
TEST_P(ScribblerTest, RewritesTheRingWhileItIsRead) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 12; ++round) {
    int fd = -1;
    const auto memory = ConnectRaw(&fd);
    ASSERT_NE(memory, nullptr);
    shm::Shared& shared = memory->shared();
    const Bytes open = OpenFrame().bytes();
    shm::RingProducer commands(shared.rings[shm::kCommandRing], memory->RingData(shm::kCommandRing),
                               shm::kFrameRingBytes, shared.server);
    ASSERT_EQ(commands.TryPush(open), shm::RingStatus::kOk);
    auto* words = reinterpret_cast<std::atomic<std::uint64_t>*>(&shared);
    auto* ring = reinterpret_cast<std::atomic<std::uint64_t>*>(memory->RingData(shm::kCommandRing));
    std::uint64_t sequence = 2;
    const Deadline deadline = In(3000);
    while (!deadline.passed() && !shm::IsHungUp(fd)) {
      for (int i = 0; i < 20; ++i) {
        if (commands.TryPush(Frame(sequence).Add(wire::Ping(1)).bytes()) == shm::RingStatus::kOk) ++sequence;
        // Now and then the words of the rings, mostly the bytes in flight.
        ring[random() % 4096].store(random(), std::memory_order_relaxed);
        if (random() % 64 == 0) {
          words[random() % (sizeof(shm::Shared) / 8)].store(random(), std::memory_order_relaxed);
        }
      }
    }
    // Words may have been hit that end the connection without being a bad frame; what counts is that it ended.
    EXPECT_TRUE(shm::IsHungUp(fd)) << "round " << round;
    close(fd);
  }
}

// The memory behind the descriptor cannot be cut away under the server.
TEST_P(ScribblerTest, CannotShrinkTheMemory) {
  int fd = -1;
  const auto memory = ConnectRaw(&fd);
  ASSERT_NE(memory, nullptr);
  EXPECT_NE(ftruncate(memory->fd(), 4096), 0);
  close(fd);
}

INSTANTIATE_TEST_SUITE_P(All, ScribblerTest, ::testing::Values("shm"), NameOf);

}  // namespace
}  // namespace accelmesh
