// What only a device can show: that the real verbs do what the fake promises, what a session costs there, and how it
// fails. Runs in the virtual machine (machine.py); ACCELMESH_TEST_RDMA names the device's address.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <thread>

#include "protocol/transport/direct.h"
#include "protocol/transport/rdma/client.h"
#include "protocol/transport/rdma/mark.h"
#include "protocol/transport/rdma/rdma.h"
#include "protocol/transport/rdma/real_link.h"
#include "tests/conformance/transport/executor.h"
#include "tests/rdma/device.h"

namespace accelmesh::rdma {
namespace {

using conformance::Collector;
using conformance::Executor;
using conformance::In;
using conformance::Pair;
using conformance::PumpUntil;
using conformance::TestSecret;

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

// Soft-RoCE takes no dma-buf; a card's driver may. What is no dma-buf is refused by every one.
TEST_F(RdmaDevice, WhatIsNoDmaBufIsRefusedWithItsReason) {
  Result<Links> links = JoinLinks();
  ASSERT_TRUE(links.ok()) << links.status().ToString();
  const int file = ::memfd_create("no dma-buf", MFD_CLOEXEC);
  ASSERT_EQ(::ftruncate(file, limits::kMiB), 0);
  const auto registered = links->server->RegisterDmaBuf(file, 0x1000, limits::kMiB, Access::kRemoteWrite);
  ASSERT_FALSE(registered.ok());
  EXPECT_FALSE(registered.status().text().empty());
  std::printf("a file that is no dma-buf: %s\n", registered.status().ToString().c_str());
  ::close(file);
}

// A device's memory that the card can register by its addresses, as it can where nvidia_peermem is loaded.
class PeerMemory final : public DirectMemory {
 public:
  Result<DirectBlock> Landing(std::uint64_t bytes) override { return Block(0, bytes); }
  Result<int> ExportDmaBuf(const DirectBlock&) override { return ::memfd_create("no dma-buf", MFD_CLOEXEC); }
  DirectBlock Block(std::uint64_t at, std::uint64_t bytes) {
    return {1 + at, 1, reinterpret_cast<std::uintptr_t>(memory.data()) + at, bytes};
  }
  Bytes memory = Bytes(8 * limits::kMiB);
};

TEST_F(RdmaDevice, TheCardReachesPeerMemoryBothWays) {
  PeerMemory device;
  Pair pair = conformance::Open(OverRdma());
  ASSERT_TRUE(pair.client != nullptr && pair.server != nullptr);
  Collector sink;
  Bytes body(limits::kMiB);
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  ASSERT_TRUE(pair.client->Send(UpLane::kCommand, AsBytes("hello"), In(5000)).ok());
  ASSERT_TRUE(pair.server->Receive(true, In(5000)).ok());
  DirectLane* const lane = pair.server->direct();
  ASSERT_EQ(lane->Join(device), DirectMeans::kPeerMemory);
  ASSERT_TRUE(pair.client->Pump(sink, In(5000)).ok()) << "of the landing";
  ASSERT_TRUE(pair.client->SendBulkToDevice(1, body, In(5000)).ok());
  Result<std::unique_ptr<BulkBody>> landed = pair.server->TakeBulk(1);
  while (landed.code() == Code::kNotFound) {
    ASSERT_TRUE(pair.server->Receive(true, In(5000)).ok());
    landed = pair.server->TakeBulk(1);
  }
  ASSERT_TRUE(landed.ok());
  ASSERT_EQ((*landed)->device_address(), reinterpret_cast<std::uintptr_t>(device.memory.data()));
  EXPECT_EQ(std::memcmp(device.memory.data(), body.data(), body.size()), 0);
  landed->reset();
  const DirectBlock block = device.Block(4 * limits::kMiB, 4 * limits::kMiB);
  std::copy(body.begin(), body.end(), device.memory.begin() + 5 * limits::kMiB);
  Bytes to(body.size());
  ASSERT_TRUE(pair.client->ExpectBulk(2, to).ok());
  Status sent;
  std::thread mover([&] { sent = lane->SendDevice(2, 0, block, block.address + limits::kMiB, to.size(), In(10000)); });
  const Status pumped = PumpUntil(*pair.client, sink, [&] { return pair.client->BulkLanded(2); }, 10000);
  mover.join();
  EXPECT_TRUE(pumped.ok()) << pumped.ToString();
  EXPECT_TRUE(sent.ok()) << sent.ToString();
  EXPECT_TRUE(to == body);
  lane->Leave();
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
      "soft-roce counts, %s: work %llu, doorbells %llu, completions %llu, wakes %llu, events asked for %llu, "
      "sleeps %llu, bytes copied %llu\n",
      what, static_cast<unsigned long long>(counts.work), static_cast<unsigned long long>(counts.doorbells),
      static_cast<unsigned long long>(counts.completions), static_cast<unsigned long long>(counts.wakes),
      static_cast<unsigned long long>(counts.arms), static_cast<unsigned long long>(counts.sleeps),
      static_cast<unsigned long long>(counts.bytes_copied));
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
  // The request, and the announcements of sleeps, of two pieces of work, whether or not the answer comes first.
  EXPECT_LE(calls.doorbells, kCalls + calls.arms + 20);
  EXPECT_LE(calls.work, kCalls + 2 * (calls.arms + 20));
  EXPECT_LE(calls.arms, 2 * (kCalls + calls.sleeps)) << "a wait that goes on and on announces no sleep again and again";
  EXPECT_EQ(calls.bytes_copied, kCalls * 9);
  const Bytes launch(100, 1);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(pair.client->Send(UpLane::kCommand, launch, In(20000)).ok());
  const Counts all = CountsOf(*pair.client);
  Print("and 1,000 launches", all);
  EXPECT_EQ(all.sleeps, calls.sleeps) << "nothing is waited for";
  EXPECT_GE(all.work - calls.work, 1000u);
  EXPECT_LE(all.work - calls.work, 1000u + 2 * 20) << "one a launch, and heartbeats";
  EXPECT_LE(all.completions - calls.completions, 1000u / 64 + 1 + 20);
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

}  // namespace
}  // namespace accelmesh::rdma
