// What only a device can show: that the real verbs do what the fake promises, what a session costs there, and how it
// fails. Runs in the virtual machine (machine.py); ACCELMESH_TEST_RDMA names the device's address.
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "protocol/transport/rdma/client.h"
#include "protocol/transport/rdma/mark.h"
#include "protocol/transport/rdma/rdma.h"
#include "protocol/transport/rdma/real_link.h"
#include "tests/conformance/transport/executor.h"
#include "tests/unit/protocol/transport/rdma/system_calls.h"

namespace accelmesh::rdma {
namespace {

using conformance::Collector;
using conformance::Executor;
using conformance::In;
using conformance::Pair;
using conformance::PumpUntil;
using conformance::TestSecret;
using conformance::Transport;

std::string Address() {
  const char* const address = std::getenv("ACCELMESH_TEST_RDMA");
  return address != nullptr ? address : "";
}

Transport OverRdma() {
  for (const Transport& transport : conformance::AllTransports()) {
    if (transport.name == "rdma") return transport;
  }
  return {};
}

class RdmaDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    if (Address().empty()) GTEST_SKIP() << "no RDMA device here: tests/rdma boots a machine that has one";
  }
};

// Two links by hand, connected, without anything of ours on them.
struct Links {
  std::unique_ptr<RealLink> client;
  std::unique_ptr<RealLink> server;
};
Result<Links> JoinLinks() {
  ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<RealListener> listener, RealListener::Listen(Address(), 0));
  Links links;
  Status accepted;
  std::thread server([&] {
    Result<RealListener::Request> request = listener->Next(-1, In(5000));
    accepted = request.status();
    if (!accepted.ok()) return;
    links.server = std::move(request->link);
    accepted = links.server->CreateQueues();
    if (accepted.ok()) accepted = links.server->Accept({}, In(5000));
  });
  Result<std::unique_ptr<RealLink>> client = RealLink::Resolve(Address(), listener->port(), In(5000));
  Status connected = client.status();
  if (connected.ok()) connected = (*client)->Connect({}, In(5000)).status();
  server.join();
  ACCELMESH_RETURN_IF_ERROR(accepted);
  ACCELMESH_RETURN_IF_ERROR(connected);
  links.client = *std::move(client);
  return links;
}

// The next completion of `link`.
Result<Completion> Next(Link& link, int ms) {
  const Deadline deadline = In(ms);
  Completion completion;
  while (link.Poll(std::span(&completion, 1)) == 0) {
    if (deadline.passed()) return Status(Code::kDeadlineExceeded, "test", "no completion");
    ::usleep(100);
  }
  return completion;
}

TEST_F(RdmaDevice, WritesReadsWakesAndRefusesWrongKeys) {
  Result<Links> links = JoinLinks();
  ASSERT_TRUE(links.ok()) << links.status().ToString();
  alignas(8) static std::uint8_t here[4096];
  alignas(8) static std::uint8_t there[4096];
  auto mine = links->client->Register(here, Access::kNone);
  auto theirs = links->server->Register(there, Access::kRemoteWrite);
  ASSERT_TRUE(mine.ok() && theirs.ok());
  ASSERT_TRUE(links->server->PostReceives(1).ok());
  std::fill(std::begin(here), std::end(here), 0x5a);
  Work work;
  work.op = Work::Op::kWriteWake;
  work.local = here;
  work.bytes = sizeof(here);
  work.local_key = (*mine)->local_key();
  work.remote = reinterpret_cast<std::uintptr_t>(there);
  work.remote_key = (*theirs)->remote_key();
  work.is_signaled = true;
  work.id = 7;
  ASSERT_TRUE(links->client->Post(std::span(&work, 1)).ok());
  const auto done = Next(*links->client, 2000);
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(done->outcome, Outcome::kOk);
  EXPECT_EQ(done->id, 7u);
  const auto wake = Next(*links->server, 2000);
  ASSERT_TRUE(wake.ok());
  EXPECT_TRUE(wake->is_wake);
  EXPECT_EQ(std::count(std::begin(there), std::end(there), 0x5a), static_cast<long>(sizeof(there)));
  // Memory that may be written may not be read.
  work.op = Work::Op::kRead;
  ASSERT_TRUE(links->client->Post(std::span(&work, 1)).ok());
  const auto refused = Next(*links->client, 2000);
  ASSERT_TRUE(refused.ok());
  EXPECT_EQ(refused->outcome, Outcome::kRemoteAccess);
  // What comes after it is flushed.
  ASSERT_TRUE(links->client->Post(std::span(&work, 1)).ok());
  const auto flushed = Next(*links->client, 2000);
  ASSERT_TRUE(flushed.ok());
  EXPECT_EQ(flushed->outcome, Outcome::kFlushed);
}

TEST_F(RdmaDevice, AKeyEndsWithItsRegistration) {
  Result<Links> links = JoinLinks();
  ASSERT_TRUE(links.ok()) << links.status().ToString();
  alignas(8) static std::uint8_t there[4096];
  std::uint64_t word = 5;
  auto theirs = links->server->Register(there, Access::kRemoteWrite);
  ASSERT_TRUE(theirs.ok());
  Work work;
  work.is_inline = true;
  work.is_signaled = true;
  work.local = reinterpret_cast<const std::uint8_t*>(&word);
  work.bytes = sizeof(word);
  work.remote = reinterpret_cast<std::uintptr_t>(there);
  work.remote_key = (*theirs)->remote_key();
  ASSERT_TRUE(links->client->Post(std::span(&work, 1)).ok());
  EXPECT_EQ(Next(*links->client, 2000)->outcome, Outcome::kOk);
  theirs->reset();
  ASSERT_TRUE(links->client->Post(std::span(&work, 1)).ok());
  EXPECT_EQ(Next(*links->client, 2000)->outcome, Outcome::kRemoteAccess);
}

TEST_F(RdmaDevice, AWakeWithoutAReceiveIsAnErrorAndNoHang) {
  Result<Links> links = JoinLinks();
  ASSERT_TRUE(links.ok()) << links.status().ToString();
  alignas(8) static std::uint8_t there[4096];
  std::uint64_t word = 5;
  auto theirs = links->server->Register(there, Access::kRemoteWrite);
  ASSERT_TRUE(theirs.ok());
  Work work;
  work.op = Work::Op::kWriteWake;
  work.is_inline = true;
  work.is_signaled = true;
  work.local = reinterpret_cast<const std::uint8_t*>(&word);
  work.bytes = sizeof(word);
  work.remote = reinterpret_cast<std::uintptr_t>(there);
  work.remote_key = (*theirs)->remote_key();
  ASSERT_TRUE(links->client->Post(std::span(&work, 1)).ok());
  const auto failed = Next(*links->client, 3000);
  ASSERT_TRUE(failed.ok()) << failed.status().ToString();
  EXPECT_EQ(failed->outcome, Outcome::kRnrExceeded);
}

// Costs ---------------------------------------------------------------------------------------------------------------

void Print(const char* what, const Counts& counts) {
  std::printf(
      "soft-roce counts, %s: work %llu, doorbells %llu, completions %llu, wakes %llu, sleeps %llu, bytes copied %llu\n",
      what, static_cast<unsigned long long>(counts.work), static_cast<unsigned long long>(counts.doorbells),
      static_cast<unsigned long long>(counts.completions), static_cast<unsigned long long>(counts.wakes),
      static_cast<unsigned long long>(counts.sleeps), static_cast<unsigned long long>(counts.bytes_copied));
}

TEST_F(RdmaDevice, CountsOfCallsAndLaunches) {
  Pair pair = conformance::Open(OverRdma());
  ASSERT_TRUE(pair.client != nullptr && pair.server != nullptr);
  Executor executor(*pair.server, [&](const ReceivedFrame& received) {
    if (AsText(received.frame) == "ask") (void)pair.server->Send(AsBytes("answer"), In(5000));
  });
  Collector sink;
  constexpr std::size_t kCalls = 200;
  for (std::size_t i = 1; i <= kCalls; ++i) {
    ASSERT_TRUE(pair.client->Send(UpLane::kCommand, AsBytes("ask"), In(5000)).ok());
    ASSERT_TRUE(PumpUntil(*pair.client, sink, [&] { return sink.frames.size() == i; }).ok());
  }
  const Counts calls = CountsOf(*pair.client);
  Print("200 calls", calls);
  // The request, and what a sleep costs: its announcement, and another when it was woken too early.
  EXPECT_LE(calls.doorbells, kCalls + 4 * (calls.sleeps + 20));
  EXPECT_EQ(calls.bytes_copied, kCalls * 9);
  const Bytes launch(100, 1);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(pair.client->Send(UpLane::kCommand, launch, In(20000)).ok());
  const Counts all = CountsOf(*pair.client);
  Print("and 1,000 launches", all);
  EXPECT_GE(all.work - calls.work, 2000u);
  EXPECT_LE(all.completions - calls.completions, 2000u / 64 + 1 + (all.sleeps - calls.sleeps) + 10);
}

TEST_F(RdmaDevice, CopiesFromPinnedMemoryAreNotCopiedByTheClient) {
  Pair pair = conformance::Open(OverRdma());
  ASSERT_TRUE(pair.client != nullptr && pair.server != nullptr);
  constexpr std::size_t kBytes = 64 * limits::kMiB;
  auto* const memory =
      static_cast<std::uint8_t*>(::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  for (std::size_t i = 0; i < kBytes; i += 8) {
    const std::uint64_t word = i * 0x9e3779b97f4a7c15;
    std::memcpy(memory + i, &word, 8);
  }
  std::atomic<std::uint64_t> taken{0};
  std::atomic<std::uint64_t> wrong{0};
  const std::size_t piece = pair.client->traits().bulk_bytes_preferred;
  Executor executor(*pair.server, [&](const ReceivedFrame&) {
    for (;;) {
      auto body = pair.server->TakeBulk(taken);
      if (!body.ok()) return;
      if (std::memcmp((*body)->bytes().data(), memory + taken * piece, piece) != 0) ++wrong;
      ++taken;
    }
  });
  pair.client->NotePinned({memory, kBytes});
  const Instant begin = Clock::now();
  for (std::uint64_t token = 0; token < kBytes / piece; ++token)
    ASSERT_TRUE(pair.client->SendBulk(token, {memory + token * piece, piece}, In(20000)).ok());
  for (int i = 0; i < 2000 && taken < kBytes / piece; ++i) ::usleep(10000);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
  Print("64 MiB pinned", CountsOf(*pair.client));
  std::printf("soft-roce under emulation, no measure of RDMA: 64 MiB in %lld ms\n", static_cast<long long>(ms));
  EXPECT_EQ(taken, kBytes / piece);
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(CountsOf(*pair.client).bytes_copied, kBytes / piece * sizeof(Announcement));
  pair.client->NoteUnpinned(memory);
  ::munmap(memory, kBytes);
}

// Who may connect -----------------------------------------------------------------------------------------------------

// One try with a secret of our choice; kOk if the worker took it.
Status TryToAttach(std::uint16_t port, ByteView secret) {
  ACCELMESH_ASSIGN_OR_RETURN(const Marks marks, MarksOf(secret));
  ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<RealLink> link, RealLink::Resolve(Address(), port, In(5000)));
  RealLink* const connecting = link.get();
  ACCELMESH_ASSIGN_OR_RETURN(Prepared prepared, Prepare(std::move(link), Role::kClient));
  ACCELMESH_ASSIGN_OR_RETURN(const Bytes answer,
                             connecting->Connect(Signed(prepared.greeting, marks.client), In(5000)));
  return ReadGreeting(answer, marks.server).status();
}

TEST_F(RdmaDevice, OnlyTheSessionsSecretOpensItAndOnlyOnce) {
  WorkerEndpoints where;
  where.scheme = Endpoint::Scheme::kRdma;
  where.host = Address();
  Result<OpenedRdma> worker = OpenRdmaWorker(where, TestSecret());
  ASSERT_TRUE(worker.ok()) << worker.status().ToString();
  const std::uint16_t port = ParseEndpoint(worker->endpoint)->port;
  Bytes wrong = TestSecret();
  wrong.back() ^= 1;
  EXPECT_EQ(TryToAttach(port, wrong).code(), Code::kUnavailable);
  EXPECT_EQ(TryToAttach(port, wrong).code(), Code::kUnavailable);
  const Status first = TryToAttach(port, TestSecret());
  EXPECT_TRUE(first.ok()) << first.ToString();
  ::usleep(200000);
  EXPECT_FALSE(TryToAttach(port, TestSecret()).ok()) << "the secret was used twice";
}

TEST_F(RdmaDevice, AnAddressWithoutADeviceIsSaid) {
  Endpoint endpoint;
  endpoint.scheme = Endpoint::Scheme::kRdma;
  endpoint.host = "192.0.2.1";
  const auto listener = ListenRdma(endpoint);
  EXPECT_EQ(listener.code(), Code::kUnsupported);
  EXPECT_NE(listener.status().text().find("no RDMA device"), std::string::npos) << listener.status().ToString();
}

TEST_F(RdmaDevice, UnderALeaseBothSidesMustTrustTheFabric) {
  Endpoint endpoint;
  endpoint.scheme = Endpoint::Scheme::kRdma;
  endpoint.host = Address();
  ListenSecurity security;
  security.secret = conformance::TestServerKeys().secret;
  EXPECT_EQ(ListenRdma(endpoint, &security, /*trusts_fabric=*/false).code(), Code::kPermissionDenied);
  endpoint.port = 1;
  const auto credentials = conformance::TestCredentials();
  const auto client = ConnectRdma(endpoint, conformance::HelloFrame(), In(1000), &credentials, false);
  EXPECT_NE(client.status().text().find("ACCELMESH_TRUSTED_FABRIC"), std::string::npos) << client.status().ToString();
}

// Failures ------------------------------------------------------------------------------------------------------------

// A peer that was let in and then uses a key that is none of its session's.
TEST_F(RdmaDevice, AWrongKeyEndsTheSessionWithItsCauseAndTheNextConnects) {
  WorkerEndpoints where;
  where.scheme = Endpoint::Scheme::kRdma;
  where.host = Address();
  Result<OpenedRdma> worker = OpenRdmaWorker(where, TestSecret());
  ASSERT_TRUE(worker.ok()) << worker.status().ToString();
  const Result<Marks> marks = MarksOf(TestSecret());
  ASSERT_TRUE(marks.ok());
  Result<std::unique_ptr<RealLink>> link =
      RealLink::Resolve(Address(), ParseEndpoint(worker->endpoint)->port, In(5000));
  ASSERT_TRUE(link.ok()) << link.status().ToString();
  RealLink* const connecting = link->get();
  Result<Prepared> prepared = Prepare(*std::move(link), Role::kClient);
  ASSERT_TRUE(prepared.ok()) << prepared.status().ToString();
  const Result<Bytes> answer = connecting->Connect(Signed(prepared->greeting, marks->client), In(5000));
  ASSERT_TRUE(answer.ok()) << answer.status().ToString();
  Executor executor(*worker->channel);
  ::usleep(300000);  // until the worker has taken it
  std::uint64_t word = 5;
  Work work;
  work.is_inline = true;
  work.is_signaled = true;
  work.local = reinterpret_cast<const std::uint8_t*>(&word);
  work.bytes = sizeof(word);
  work.remote = ReadGreeting(*answer, marks->server)->inbox;
  work.remote_key = ReadGreeting(*answer, marks->server)->outbox_key;  // that may only be read
  const Instant begin = Clock::now();
  ASSERT_TRUE(prepared->link->Post(std::span(&work, 1)).ok());
  EXPECT_EQ(Next(*prepared->link, 2000)->outcome, Outcome::kRemoteAccess);
  const Status ended = executor.End(5000);
  EXPECT_EQ(ended.code(), Code::kClosed) << ended.ToString();
  EXPECT_LE(Clock::now() - begin, std::chrono::milliseconds(1200));
  std::printf("wrong key: the worker says \"%s\"\n", ended.text().c_str());
  Pair next = conformance::Open(OverRdma());
  ASSERT_TRUE(next.client != nullptr && next.server != nullptr);
  Executor works(*next.server);
  ASSERT_TRUE(next.client->Send(UpLane::kCommand, AsBytes("hello"), In(5000)).ok());
  EXPECT_EQ(works.Frames(1).size(), 1u);
}

// A peer whose program stops taking anything: its rings fill up, and whoever sends is told at its deadline, not before
// and not much later. Afterwards everything arrives.
TEST_F(RdmaDevice, APeerThatTakesNothingIsWaitedForUntilTheDeadline) {
  Pair pair = conformance::Open(OverRdma());
  ASSERT_TRUE(pair.client != nullptr && pair.server != nullptr);
  const Bytes frame(60000, 1);
  std::size_t sent = 0;
  Status status;
  Instant begin;
  for (; status.ok() && sent < 1000; sent += status.ok() ? 1 : 0) {
    begin = Clock::now();
    status = pair.client->Send(UpLane::kCommand, frame, In(300));
  }
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded) << status.ToString();
  EXPECT_GE(Clock::now() - begin, std::chrono::milliseconds(300));
  EXPECT_LE(Clock::now() - begin, std::chrono::milliseconds(800));
  EXPECT_GE(sent, kFrameRingBytes / RecordBytes(frame.size()) - 1);
  Executor executor(*pair.server);
  EXPECT_EQ(executor.Frames(sent).size(), sent);
}

// By itself, and last (port.sh): Soft-RoCE does not come back from a port that was down while something was sent.
class RdmaDevicePort : public RdmaDevice {};

TEST_F(RdmaDevicePort, OneThatGoesDownEndsTheSessionWithinASecond) {
  Pair pair = conformance::Open(OverRdma());
  ASSERT_TRUE(pair.client != nullptr && pair.server != nullptr);
  Executor executor(*pair.server);
  ASSERT_TRUE(pair.client->Send(UpLane::kCommand, AsBytes("hello"), In(5000)).ok());
  ASSERT_EQ(executor.Frames(1).size(), 1u);
  ASSERT_EQ(std::system("/usr/sbin/ip link set d0 down"), 0);
  const Instant begin = Clock::now();
  Collector sink;
  EXPECT_EQ(PumpUntil(*pair.client, sink, [] { return false; }, 5000).code(), Code::kClosed);
  const Duration took = Clock::now() - begin;
  EXPECT_LE(took, std::chrono::seconds(1));
  std::printf("port down: noticed after %lld ms\n",
              static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
  EXPECT_FALSE(executor.End(5000).ok());
}

// In a process of its own each: verbs that are open are not for a child.
class RdmaDeviceProcess : public RdmaDevice {};

TEST_F(RdmaDeviceProcess, AKilledServerIsNoticedWithinASecond) {
  int url[2];
  ASSERT_EQ(pipe(url), 0);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    auto rendezvous = OverRdma().listen(conformance::Folder());
    if (!rendezvous.ok()) _exit(1);
    const std::string line = (*rendezvous)->url() + "\n";
    if (write(url[1], line.data(), line.size()) < 0) _exit(1);
    auto server = (*rendezvous)->Serve(In(10000));
    if (!server.ok()) _exit(1);
    for (;;) (void)(*server)->Receive(true, In(10000));
  }
  std::string line;
  for (char c = 0; read(url[0], &c, 1) == 1 && c != '\n';) line += c;
  auto client = OverRdma().connect(line, In(10000));
  ASSERT_TRUE(client.ok()) << client.status().ToString();
  ASSERT_TRUE(client->channel->Send(UpLane::kCommand, AsBytes("hello"), In(5000)).ok());
  ::usleep(300000);
  kill(child, SIGKILL);
  const Instant begin = Clock::now();
  Collector sink;
  EXPECT_EQ(PumpUntil(*client->channel, sink, [] { return false; }, 5000).code(), Code::kClosed);
  const Duration took = Clock::now() - begin;
  EXPECT_LE(took, std::chrono::seconds(1));
  std::printf("killed server: noticed after %lld ms\n",
              static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
  waitpid(child, nullptr, 0);
}

// What the client's thread asks of the kernel. On Soft-RoCE the kernel is the device, so that every doorbell is a
// system call, and so is asking for an event; a card has none for either.
TEST_F(RdmaDeviceProcess, SystemCallsOfCallsLaunchesAndCopies) {
  constexpr std::size_t kCalls = 100;
  constexpr std::size_t kBytes = 64 * limits::kMiB;
  struct Section {
    Counts counts;
    std::uint64_t ms;
  };
  // What the child has seen, at each mark.
  auto* const seen = static_cast<Section*>(
      ::mmap(nullptr, 4 * sizeof(Section), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(seen, MAP_FAILED);
  const auto body = [&](const std::function<void()>& mark) {
    Pair pair = conformance::Open(OverRdma());
    if (pair.client == nullptr || pair.server == nullptr) return false;
    const std::size_t piece = pair.client->traits().bulk_bytes_preferred;
    std::atomic<std::uint64_t> taken{0};
    Executor executor(*pair.server, [&](const ReceivedFrame& received) {
      if (received.kind == ReceivedFrame::Kind::kBulk) {
        while (pair.server->TakeBulk(taken).ok()) ++taken;
      } else if (AsText(received.frame) == "ask") {
        (void)pair.server->Send(AsBytes("answer"), In(5000));
      }
    });
    Collector sink;
    Bytes memory(kBytes, 1);
    pair.client->NotePinned(memory);
    const Bytes launch(100, 1);
    int section = 0;
    const auto note = [&] {
      mark();
      const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch());
      seen[section++] = {CountsOf(*pair.client), static_cast<std::uint64_t>(now.count())};
    };
    note();
    for (std::size_t i = 1; i <= kCalls; ++i) {
      if (!pair.client->Send(UpLane::kCommand, AsBytes("ask"), In(5000)).ok()) return false;
      if (!PumpUntil(*pair.client, sink, [&] { return sink.frames.size() == i; }).ok()) return false;
    }
    note();
    for (int i = 0; i < 1000; ++i)
      if (!pair.client->Send(UpLane::kCommand, launch, In(20000)).ok()) return false;
    note();
    for (std::uint64_t token = 0; token < kBytes / piece; ++token)
      if (!pair.client->SendBulk(token, MutableByteView(memory).subspan(token * piece, piece), In(20000)).ok())
        return false;
    note();
    return true;
  };
  const Result<std::vector<std::uint64_t>> calls = CountSystemCalls(body);
  ASSERT_TRUE(calls.ok()) << calls.status().ToString();
  ASSERT_EQ(calls->size(), 3u);
  const char* const names[] = {"100 calls", "1,000 launches", "64 MiB pinned"};
  for (std::size_t i = 0; i < 3; ++i) {
    const Counts& before = seen[i].counts;
    const Counts& after = seen[i + 1].counts;
    const std::uint64_t doorbells = after.doorbells - before.doorbells;
    const std::uint64_t sleeps = after.sleeps - before.sleeps;
    const std::uint64_t ms = seen[i + 1].ms - seen[i].ms;
    std::printf("soft-roce system calls, %s: %llu, of them doorbells %llu; sleeps %llu, %llu ms\n", names[i],
                static_cast<unsigned long long>((*calls)[i]), static_cast<unsigned long long>(doorbells),
                static_cast<unsigned long long>(sleeps), static_cast<unsigned long long>(ms));
    // A sleep asks for an event, waits, and takes what woke it; every 20 ms the connection's end is looked for, and the
    // scheduler refreshed.
    EXPECT_LE((*calls)[i], doorbells + 8 * sleeps + ms / 5 + 50) << names[i];
  }
  const Counts& launched = seen[2].counts;
  EXPECT_LE(launched.doorbells - seen[1].counts.doorbells, 1000u + 20) << "one a launch, and heartbeats";
  EXPECT_EQ(launched.sleeps - seen[1].counts.sleeps, 0u) << "nothing is waited for";
}

TEST_F(RdmaDeviceProcess, TooLittleLockableMemoryIsSaidWithItsRemedy) {
  // Root may lock what it likes; whoever gave that up may not.
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  ASSERT_EQ(syscall(SYS_capget, &header, data), 0);
  data[0].effective &= ~(1u << CAP_IPC_LOCK);
  data[0].permitted &= ~(1u << CAP_IPC_LOCK);
  ASSERT_EQ(syscall(SYS_capset, &header, data), 0);
  const rlimit limit{8 * limits::kMiB, 8 * limits::kMiB};
  ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
  Result<std::unique_ptr<RealListener>> listener = RealListener::Listen(Address(), 0);
  ASSERT_TRUE(listener.ok());
  Result<std::unique_ptr<RealLink>> link = RealLink::Resolve(Address(), (*listener)->port(), In(5000));
  ASSERT_TRUE(link.ok()) << link.status().ToString();
  const auto prepared = Prepare(*std::move(link), Role::kClient);
  EXPECT_EQ(prepared.code(), Code::kOutOfMemory) << prepared.status().ToString();
  EXPECT_NE(prepared.status().text().find("ulimit -l"), std::string::npos) << prepared.status().ToString();
}

}  // namespace
}  // namespace accelmesh::rdma
