// Leases at a real gpu-server: who is served, who is not and what he is told, and how sessions end with their lease.
#include "tests/faults/lease_server.h"

#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "protocol/transport/curve_socket.h"
#include "protocol/transport/zmq_socket.h"

namespace accelmesh::faults {
namespace {

using ::testing::HasSubstr;

constexpr DeviceResult kDeviceUnavailable = 46;
constexpr DeviceResult kWrongBytes = 7777;

class LeaseTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    alarm(120);
    char pattern[] = "/tmp/accelmesh-lease-XXXXXX";
    root_ = mkdtemp(pattern);
    setenv("XDG_RUNTIME_DIR", root_.c_str(), 1);
    std::filesystem::create_directory(root_ + "/state");
    server_ = std::make_unique<LeaseServer>(root_, market_, Listen());
  }
  void TearDown() override {
    EXPECT_TRUE(server_->IsAlive());
    EXPECT_EQ(server_->Log().find("died of signal"), std::string::npos) << server_->Log();
    server_.reset();
    std::filesystem::remove_all(root_);
    alarm(0);
  }
  // The first is the one under test.
  std::vector<std::string> Listen() const {
    return {std::string(GetParam()) == "tcp" ? "tcp://127.0.0.1:0" : "ipc://" + root_ + "/hello",
            "shm://lease-" + std::to_string(getpid())};
  }

  LeaseTerms Terms(const CurvePair& holder, std::int64_t lasts_ms = 60'000) const {
    return {1000, 1ULL << 30, NowMs() - 1000, NowMs() + lasts_ms, holder.key, tenant_.public_key()};
  }
  Bytes Token(const LeaseTerms& terms, std::uint64_t epoch = 5, const std::string& lease = "lease-1") const {
    return GrantLease(market_, {lease, "slot-1", server_->id(), epoch}, terms).value();
  }
  CurveCredentials As(const CurvePair& own) const { return {server_->key(), own}; }

  Result<Connected> Connect(ByteView token, const CurveCredentials& credentials) {
    return ConnectZmq(server_->endpoint(), HelloWith(token), Soon(), &credentials);
  }
  std::unique_ptr<ClientSession> OpenOn(Result<Connected> connected) {
    EXPECT_TRUE(connected.ok()) << connected.status().ToString() << "\n" << server_->Log();
    if (!connected.ok()) return nullptr;
    auto session = ClientSession::Open(std::move(connected->channel), nullptr);
    EXPECT_TRUE(session.ok()) << session.status().ToString() << "\n" << server_->Log();
    return session.ok() ? *std::move(session) : nullptr;
  }
  std::unique_ptr<ClientSession> Open(ByteView token, const CurvePair& holder) {
    return OpenOn(Connect(token, As(holder)));
  }
  // A copy there and back; 0, or the first error.
  static DeviceResult Work(ClientSession& session, std::size_t size = 100'000) {
    Stream* stream = session.Legacy(0);
    std::uint64_t address = 0;
    Bytes from(size);
    for (std::size_t i = 0; i < size; ++i) from[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
    Bytes to(size);
    if (const DeviceResult r = session.Malloc(0, size, &address); r != 0) return r;
    if (const DeviceResult r = session.CopyToDevice(stream, address, from.data(), size, true); r != 0) return r;
    if (const DeviceResult r = session.CopyToHost(stream, to.data(), address, size, true); r != 0) return r;
    if (const DeviceResult r = session.Free(address); r != 0) return r;
    if (const DeviceResult r = session.TakeAsyncError(); r != 0) return r;
    return to == from ? 0 : kWrongBytes;
  }
  // Works until an error comes, which is returned; 0 if none does.
  static DeviceResult WorkUntilError(ClientSession& session, int ms = 10000) {
    for (const Deadline deadline = Soon(ms); !deadline.passed();) {
      if (const DeviceResult result = Work(session, 5000); result != 0) return result;
    }
    return 0;
  }
  void ExpectRefused(const char* what, ByteView token, const CurveCredentials& credentials, Code code,
                     const std::string& says) {
    SCOPED_TRACE(what);
    const Result<Connected> connected = Connect(token, credentials);
    ASSERT_FALSE(connected.ok());
    EXPECT_EQ(connected.code(), code) << connected.status().ToString();
    EXPECT_THAT(connected.status().text(), HasSubstr(says));
    EXPECT_EQ(server_->Log().find("goes to worker"), std::string::npos) << "a worker was taken for it";
  }

  ClientLog log_;
  const SigningKey market_ = SigningKey::Generate().value();
  const SigningKey tenant_ = SigningKey::Generate().value();
  const CurvePair holder_ = security::NewCurvePair().value();
  const CurvePair other_ = security::NewCurvePair().value();
  std::string root_;
  std::unique_ptr<LeaseServer> server_;
};

TEST_P(LeaseTest, AHolderIsServed) {
  const auto session = Open(Token(Terms(holder_)), holder_);
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(Work(*session), 0u);
  EXPECT_EQ(Work(*session, 20 * limits::kMiB), 0u);
  EXPECT_THAT(server_->Log(), HasSubstr("under lease lease-1"));
}

TEST_P(LeaseTest, WhoHasNoLeaseIsToldWhy) {
  const CurveCredentials good = As(holder_);
  const Bytes token = Token(Terms(holder_));
  ExpectRefused("no token", {}, good, Code::kPermissionDenied, "start it with mesh-run");
  ExpectRefused("noise", Bytes(100, 7), good, Code::kBadFrame, "the lease cannot be read");
  ExpectRefused("too large", Bytes(100'000, 7), good, Code::kBadFrame, "a token has at most 4096");
  Bytes changed = token;
  changed[changed.size() / 2] ^= 1;
  const Result<Connected> tampered = Connect(changed, good);
  EXPECT_FALSE(tampered.ok());
  const SigningKey forger = SigningKey::Generate().value();
  ExpectRefused("forged", GrantLease(forger, {"lease-1", "slot-1", server_->id(), 5}, Terms(holder_)).value(), good,
                Code::kPermissionDenied, "the lease does not count here");
  LeaseTerms past = Terms(holder_);
  past.not_before_ms -= 100'000;
  past.not_after_ms = NowMs() - 1;
  ExpectRefused("expired", Token(past), good, Code::kPermissionDenied, "expired");
  LeaseTerms future = Terms(holder_);
  future.not_before_ms = NowMs() + 60'000;
  future.not_after_ms = NowMs() + 120'000;
  ExpectRefused("too early", Token(future), good, Code::kPermissionDenied, "begins in");
  ExpectRefused("replayed by another", token, As(other_), Code::kPermissionDenied, "bound to another client's key");
  ExpectRefused("of another server", GrantLease(market_, {"lease-1", "slot-1", "elsewhere", 5}, Terms(holder_)).value(),
                good, Code::kPermissionDenied, "for server elsewhere");
  LeaseTerms small = Terms(holder_);
  small.share_milli = 100;
  LeaseTerms more = Terms(other_);
  more.share_milli = 101;
  ExpectRefused("over-attenuated", AppendAnyway(Token(small), tenant_, more), As(other_), Code::kPermissionDenied,
                "allows more than its lease has: a share of 101 thousandths");
  CurveCredentials wrong_server = good;
  wrong_server.server_key = other_.key;
  ExpectRefused("a server with another key", token, wrong_server, Code::kPermissionDenied,
                "does not have the key that the lease names");
  const Result<Connected> plain = ConnectZmq(server_->endpoint(), HelloWith(token), Soon());
  EXPECT_FALSE(plain.ok());
  EXPECT_THAT(plain.status().text(), HasSubstr("serves leases only"));
  // After all that it serves.
  const auto session = Open(token, holder_);
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(Work(*session), 0u);
}

// No memory is none, not as much as there is; and whoever lets his lease on to himself has no more of it.
TEST_P(LeaseTest, MemoryIsNeverMoreThanTheLeaseHas) {
  constexpr DeviceResult kOutOfMemory = 2;
  LeaseTerms none = Terms(holder_);
  none.share_milli = 500;
  none.memory_bytes = 0;
  std::uint64_t address = 0;
  {
    const auto session = Open(Token(none, 5, "empty"), holder_);
    ASSERT_NE(session, nullptr);
    EXPECT_EQ(session->Malloc(0, 1 << 20, &address), kOutOfMemory);
  }
  LeaseTerms some = Terms(holder_);
  some.share_milli = 400;
  some.memory_bytes = 64 * limits::kMiB;
  const Bytes token = Token(some, 6, "some");
  auto whole = Open(token, holder_);
  ASSERT_NE(whole, nullptr);
  LeaseTerms part = some;
  part.holder_key = other_.key;
  part.next_key.reset();
  part.share_milli = 100;
  part.memory_bytes = 40 * limits::kMiB;
  const auto sublet = Open(security::AttenuateLease(token, tenant_, part).value(), other_);
  ASSERT_NE(sublet, nullptr);
  EXPECT_EQ(sublet->Malloc(0, 30 * limits::kMiB, &address), 0u);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  whole.reset();  // a sanitized process has room for two windows
#endif
  // What is let on the holder has no more.
  const auto later = Open(token, holder_);
  ASSERT_NE(later, nullptr);
  EXPECT_EQ(later->Malloc(0, 30 * limits::kMiB, &address), kOutOfMemory);
  EXPECT_EQ(later->Malloc(0, 20 * limits::kMiB, &address), 0u);
}

TEST_P(LeaseTest, AnOlderEpochStaysOutThroughAKill) {
  ASSERT_NE(Open(Token(Terms(holder_), 5), holder_), nullptr);
  ASSERT_NE(Open(Token(Terms(other_), 6, "lease-2"), other_), nullptr);
  server_->Kill();
  server_->Start();
  const Result<Connected> old = Connect(Token(Terms(holder_), 5), As(holder_));
  EXPECT_EQ(old.code(), Code::kPermissionDenied) << old.status().ToString();
  EXPECT_THAT(old.status().text(), HasSubstr("let anew since (6)"));
  EXPECT_NE(Open(Token(Terms(other_), 6, "lease-2"), other_), nullptr);
}

TEST_P(LeaseTest, ASessionEndsWithItsLeaseAndSaysSo) {
  const auto session = Open(Token(Terms(holder_, 2000)), holder_);
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(WorkUntilError(*session), kDeviceUnavailable);
  EXPECT_EQ(Work(*session), kDeviceUnavailable) << "and so it stays";
  EXPECT_THAT(ClientLog::Text(), HasSubstr("lease lease-1 has ended at its time and was not renewed"));
  EXPECT_EQ(ClientLog::Text().find("is lost"), std::string::npos) << ClientLog::Text();
}

TEST_P(LeaseTest, ARenewalKeepsASessionAlive) {
  const auto session = Open(Token(Terms(holder_, 2000)), holder_);
  ASSERT_NE(session, nullptr);
  const Bytes renewed = Token(Terms(holder_, 60'000));
  const Result<std::int64_t> until = NoteLease(server_->endpoint(), As(holder_), renewed, std::nullopt, Soon());
  ASSERT_TRUE(until.ok()) << until.status().ToString();
  EXPECT_GT(*until, NowMs() + 50'000);
  EXPECT_EQ(WorkUntilError(*session, 3000), 0u);
  // Another's notice does nothing for it.
  EXPECT_EQ(NoteLease(server_->endpoint(), As(other_), renewed, std::nullopt, Soon()).code(), Code::kPermissionDenied);
}

TEST_P(LeaseTest, ALeaseIsGivenBackByItsHolderAlone) {
  const auto session = Open(Token(Terms(holder_)), holder_);
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(EndLease(server_->endpoint(), As(other_), "lease-1", Soon()).code(), Code::kPermissionDenied);
  EXPECT_EQ(Work(*session), 0u);
  ASSERT_TRUE(EndLease(server_->endpoint(), As(holder_), "lease-1", Soon()).ok());
  EXPECT_EQ(WorkUntilError(*session), kDeviceUnavailable);
  EXPECT_THAT(ClientLog::Text(), HasSubstr("lease lease-1 was given back by its holder"));
  EXPECT_EQ(Connect(Token(Terms(holder_)), As(holder_)).code(), Code::kPermissionDenied);
}

TEST_P(LeaseTest, WhoGivesItBackIsToldWhatItUsed) {
  auto session = Open(Token(Terms(holder_)), holder_);
  ASSERT_NE(session, nullptr);
  const Instant until = Clock::now() + std::chrono::milliseconds(300);
  while (Clock::now() < until) ASSERT_EQ(Work(*session), 0u);
  // As a program that has ended.
  session.reset();
  const Instant asked = Clock::now();
  const Result<LeaseUse> use = EndLease(server_->endpoint(), As(holder_), "lease-1", Soon());
  ASSERT_TRUE(use.ok()) << use.status().ToString();
  EXPECT_LE(Clock::now() - asked, std::chrono::seconds(3));
  // A worker that takes long to end is not waited for, and what it used is not known before it has ended. Asked again
  // it is the same once all of it was counted.
  LeaseUse last = *use;
  const Deadline deadline = Soon(60'000);
  bool is_same = false;
  while ((!is_same || last.device_us < 1'000) && !deadline.passed()) {
    const Result<LeaseUse> again = EndLease(server_->endpoint(), As(holder_), "lease-1", Soon());
    ASSERT_TRUE(again.ok()) << again.status().ToString();
    EXPECT_GE(again->device_us, last.device_us);
    is_same = again->device_us == last.device_us;
    last = *again;
  }
  EXPECT_TRUE(is_same);
  EXPECT_GE(last.device_us, 1'000U);
  EXPECT_LE(last.device_us, 5'000'000U);
  EXPECT_EQ(last.delivered_ppm, 1'000'000U) << "nobody else was there";
}

TEST_P(LeaseTest, ALaterGrantEndsTheSessionsOfTheEarlier) {
  const auto session = Open(Token(Terms(holder_), 5), holder_);
  ASSERT_NE(session, nullptr);
  const auto next = Open(Token(Terms(other_), 6, "lease-2"), other_);
  ASSERT_NE(next, nullptr);
  EXPECT_EQ(WorkUntilError(*session), kDeviceUnavailable);
  EXPECT_THAT(ClientLog::Text(), HasSubstr("lease lease-1 was revoked"));
  EXPECT_EQ(Work(*next), 0u);
}

TEST_P(LeaseTest, OverSharedMemoryTheSecretCounts) {
  const Endpoint shm = server_->endpoint(1);
  const auto refused = ConnectShm(shm, HelloWith({}, "secret"), Soon());
  EXPECT_EQ(refused.code(), Code::kPermissionDenied) << refused.status().ToString();
  EXPECT_THAT(refused.status().text(), HasSubstr("mesh-run"));
  EXPECT_EQ(ConnectShm(shm, HelloWith(Token(Terms(holder_))), Soon()).code(), Code::kPermissionDenied);
  const security::SecretHash hash = security::HashOfSecret(AsBytes(std::string_view("secret")));
  ASSERT_TRUE(NoteLease(server_->endpoint(), As(holder_), Token(Terms(holder_)), hash, Soon()).ok());
  const auto session = OpenOn(ConnectShm(shm, HelloWith({}, "secret"), Soon()));
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(Work(*session), 0u);
  EXPECT_EQ(ConnectShm(shm, HelloWith({}, "secreT"), Soon()).code(), Code::kPermissionDenied);
  ASSERT_TRUE(EndLease(server_->endpoint(), As(holder_), "lease-1", Soon()).ok());
  EXPECT_EQ(WorkUntilError(*session), kDeviceUnavailable);
  EXPECT_EQ(ConnectShm(shm, HelloWith({}, "secret"), Soon()).code(), Code::kPermissionDenied);
}

// Whoever floods the server with hellos gets refusals, and the others their service.
TEST_P(LeaseTest, AFloodOfHellosKeepsNobodyOut) {
  const auto session = Open(Token(Terms(holder_)), holder_);
  ASSERT_NE(session, nullptr);
  std::atomic<bool> stop{false};
  std::atomic<int> sent{0};
  std::thread flood([&] {
    const zmq::Context context;
    const CurveCredentials stranger = As(other_);
    zmq::Socket socket = zmq::Socket::Open(context, ZMQ_DEALER, 1000).value();
    EXPECT_TRUE(zmq::SecureClient(socket.get(), stranger).ok());
    EXPECT_TRUE(socket.Connect(server_->endpoint()).ok());
    socket.SetLinger(0);
    const Bytes hello = HelloWith(Token(Terms(holder_)));
    while (!stop) {
      zmq::Message message(hello);
      if (socket.TrySend(message) == zmq::Io::kDone) ++sent;
      for (zmq::Message answer; socket.TryReceive(answer) == zmq::Io::kDone;) {
      }
    }
    // One that is too large ends its connection, and nothing else.
    zmq::Message large(Bytes(zmq::kMessageBytesMax + 1));
    (void)socket.TrySend(large);
  });
  int worked = 0;
  for (const Deadline deadline = Soon(2000); !deadline.passed(); ++worked) ASSERT_EQ(Work(*session, 5000), 0u);
  EXPECT_NE(Open(Token(Terms(holder_)), holder_), nullptr) << "a newcomer among the flood";
  stop = true;
  flood.join();
  EXPECT_GT(worked, 3);
  EXPECT_GT(sent, 100);
  EXPECT_EQ(Work(*session), 0u);
}

std::string NameOf(const ::testing::TestParamInfo<const char*>& info) { return info.param; }
INSTANTIATE_TEST_SUITE_P(All, LeaseTest, ::testing::Values("tcp", "ipc"), NameOf);

// Without a market -------------------------------------------------------------------------------------------------

// Runs gpu-server until it has said something on stderr or is ready, and returns both.
std::string StartAndHear(const std::vector<std::string>& arguments) {
  int fds[2];
  if (pipe(fds) != 0) return "no pipe";
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(fds[1], 1);
    dup2(fds[1], 2);
    std::vector<std::string> words{"gpu-server", "--backend", "null", "--warm-workers", "0"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    execv(ACCELMESH_GPU_SERVER, argv.data());
    _exit(127);
  }
  close(fds[1]);
  std::string text;
  char part[4096];
  for (ssize_t got = 0; text.find("ready ") == std::string::npos && (got = read(fds[0], part, sizeof(part))) > 0;)
    text.append(part, static_cast<std::size_t>(got));
  kill(pid, SIGTERM);
  int status = 0;
  waitpid(pid, &status, 0);
  close(fds[0]);
  return text;
}

TEST(StandaloneTest, OtherAddressesAreRefusedWithTheRemedy) {
  const std::string text = StartAndHear({"--listen", "tcp://0.0.0.0:0"});
  EXPECT_THAT(text, HasSubstr("only 127.0.0.1, localhost, [::1] and ipc may be listened on"));
  EXPECT_THAT(text, HasSubstr("--market"));
  EXPECT_EQ(text.find("ready"), std::string::npos);
}

TEST(StandaloneTest, OpenLoopbackIsSaid) {
  const std::string text = StartAndHear({"--listen", "tcp://127.0.0.1:0"});
  EXPECT_THAT(text, HasSubstr("ready tcp://"));
  EXPECT_THAT(text, HasSubstr("serves every local process, of any user"));
}

TEST(StandaloneTest, WithAMarketOtherAddressesMayBeListenedOn) {
  char pattern[] = "/tmp/accelmesh-lease-XXXXXX";
  const std::string root = mkdtemp(pattern);
  const std::string key(64, 'a');
  EXPECT_THAT(StartAndHear({"--listen", "tcp://0.0.0.0:0", "--market-key", key, "--keys", root + "/keys", "--state",
                            root + "/state"}),
              HasSubstr("ready tcp://0.0.0.0:"));
  EXPECT_THAT(StartAndHear({"--market-key", "nonsense", "--keys", root + "/keys", "--state", root + "/state"}),
              HasSubstr("neither 64 hexadecimal digits nor a file with them"));
  std::filesystem::remove_all(root);
}

// A process of another user is heard over neither ipc nor shm.
TEST(StandaloneTest, AnotherUserIsNotServed) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  char pattern[] = "/tmp/accelmesh-lease-XXXXXX";
  const std::string root = mkdtemp(pattern);
  chmod(root.c_str(), 0777);
  Endpoint ipc;
  ipc.scheme = Endpoint::Scheme::kIpc;
  ipc.path = root + "/hello";
  auto listener = ListenZmq(ipc);
  ASSERT_TRUE(listener.ok()) << listener.status().ToString();
  chmod(ipc.path.c_str(), 0777);
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(1);
    const std::string text = ConnectZmq(ipc, HelloWith({}), Soon(5000)).status().text();
    (void)!write(fds[1], text.data(), text.size());
    _exit(0);
  }
  close(fds[1]);
  std::string text;
  char part[1024];
  for (ssize_t got = 0; (got = read(fds[0], part, sizeof(part))) > 0;) text.append(part, static_cast<std::size_t>(got));
  waitpid(pid, nullptr, 0);
  close(fds[0]);
  EXPECT_THAT(text, HasSubstr("belongs to another user"));
  EXPECT_EQ((*listener)->Accept().code(), Code::kFull);
  listener->reset();
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace accelmesh::faults
