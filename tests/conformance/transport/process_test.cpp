// What every transport promises when the other end is a process that dies, or is not there.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/conformance/transport/executor.h"

namespace accelmesh::conformance {
namespace {

// A peer in another process that is killed without a word. The child is forked before any thread of this test runs.
class TransportProcessTest : public ::testing::TestWithParam<Transport> {
 protected:
  void SetUp() override {
    if (!GetParam().listen) GTEST_SKIP() << GetParam().name << " has no other process";
    if (!GetParam().absent.empty()) GTEST_SKIP() << GetParam().absent;
    Folder();
    ASSERT_EQ(pipe(to_child_), 0);
    ASSERT_EQ(pipe(to_parent_), 0);
  }
  static void Tell(int fd, std::string line) {
    line += '\n';
    ASSERT_EQ(write(fd, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  }
  static std::string Hear(int fd) {
    std::string line;
    for (char c = 0; read(fd, &c, 1) == 1 && c != '\n';) line += c;
    return line;
  }
  // A child that dies with this process, so that a failing test leaves nobody behind.
  pid_t Fork() {
    const pid_t pid = fork();
    if (pid == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
    child_ = pid;
    return pid;
  }
  void Kill(pid_t pid) {
    kill(pid, SIGKILL);
    int status = 0;
    waitpid(pid, &status, 0);
    child_ = -1;
  }
  void TearDown() override {
    if (child_ > 0) Kill(child_);
  }
  pid_t child_ = -1;
  int to_child_[2] = {-1, -1};
  int to_parent_[2] = {-1, -1};
};

TEST_P(TransportProcessTest, AKilledClientIsNoticed) {
  const pid_t pid = Fork();
  if (pid == 0) {
    auto client = GetParam().connect(Hear(to_child_[0]), In(10000));
    if (client.ok()) (void)client->channel->Send(UpLane::kCommand, AsBytes("hello"), In(10000));
    pause();
    _exit(0);
  }
  auto rendezvous = GetParam().listen(Folder());
  ASSERT_TRUE(rendezvous.ok()) << rendezvous.status().ToString();
  Tell(to_child_[1], (*rendezvous)->url());
  auto server = (*rendezvous)->Serve(In(10000));
  ASSERT_TRUE(server.ok()) << server.status().ToString();
  Executor executor(**server);
  ASSERT_EQ(executor.Frames(1), (std::vector<std::string>{"hello"}));
  const Instant begin = Clock::now();
  Kill(pid);
  EXPECT_EQ(executor.End().code(), Code::kClosed);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(3));
}

TEST_P(TransportProcessTest, AKilledServerIsNoticed) {
  const pid_t pid = Fork();
  if (pid == 0) {
    auto rendezvous = GetParam().listen(Folder());
    if (!rendezvous.ok()) _exit(1);
    Tell(to_parent_[1], (*rendezvous)->url());
    auto server = (*rendezvous)->Serve(In(10000));
    if (!server.ok()) _exit(1);
    for (;;) {
      auto received = (*server)->Receive(true, In(10000));
      if (received.ok() && received->kind == ReceivedFrame::Kind::kFrame) {
        (void)(*server)->Send(received->frame, In(1000));
      }
    }
  }
  auto client = GetParam().connect(Hear(to_parent_[0]), In(10000));
  ASSERT_TRUE(client.ok()) << client.status().ToString();
  ClientChannel& channel = *client->channel;
  ASSERT_TRUE(channel.Send(UpLane::kCommand, AsBytes("hello"), In(10000)).ok());
  Collector sink;
  ASSERT_TRUE(PumpUntil(channel, sink, [&] { return !sink.frames.empty(); }).ok());
  Kill(pid);
  const Instant begin = Clock::now();
  EXPECT_EQ(PumpUntil(channel, sink, [] { return false; }, 10000).code(), Code::kClosed);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(3));
  EXPECT_EQ(channel.Send(UpLane::kCommand, AsBytes("x"), In(1000)).code(), Code::kClosed);
}

TEST_P(TransportProcessTest, NobodyListeningIsSaidAtOnce) {
  auto rendezvous = GetParam().listen(Folder());
  ASSERT_TRUE(rendezvous.ok());
  const std::string url = (*rendezvous)->url();
  rendezvous->reset();
  const Instant begin = Clock::now();
  auto client = GetParam().connect(url, In(10000));
  EXPECT_EQ(client.code(), Code::kUnavailable) << client.status().ToString();
  EXPECT_NE(client.status().text().find("--listen"), std::string::npos) << client.status().ToString();
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
}

std::string NameOf(const ::testing::TestParamInfo<Transport>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(All, TransportProcessTest, ::testing::ValuesIn(AllTransports()), NameOf);

}  // namespace
}  // namespace accelmesh::conformance
