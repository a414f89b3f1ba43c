// What wants a process of its own: peers that are killed, system calls, limits; and a port that goes down.
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

#include "protocol/transport/rdma/client.h"
#include "protocol/transport/rdma/real_link.h"
#include "tests/conformance/transport/executor.h"
#include "tests/rdma/device.h"
#include "tests/unit/protocol/transport/rdma/system_calls.h"

namespace accelmesh::rdma {
namespace {

using conformance::Collector;
using conformance::Executor;
using conformance::In;
using conformance::Pair;
using conformance::PumpUntil;

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
    // Of memory that is gone by then libibverbs gives back page after page, each a system call that is traced: a
    // minute.
    pair.client->NoteUnpinned(memory.data());
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
    const std::uint64_t arms = after.arms - before.arms;
    const std::uint64_t sleeps = after.sleeps - before.sleeps;
    const std::uint64_t ms = seen[i + 1].ms - seen[i].ms;
    std::printf(
        "soft-roce system calls, %s: %llu, of them doorbells %llu, events asked for %llu; sleeps %llu, %llu ms\n",
        names[i], static_cast<unsigned long long>((*calls)[i]), static_cast<unsigned long long>(doorbells),
        static_cast<unsigned long long>(arms), static_cast<unsigned long long>(sleeps),
        static_cast<unsigned long long>(ms));
    // An event is asked for before a sleep, and in vain if the answer comes first; a sleep waits, and takes what woke
    // it; every 20 ms the connection's end is looked for, and the scheduler refreshed.
    EXPECT_LE((*calls)[i], doorbells + arms + 7 * sleeps + ms / 5 + 50) << names[i];
  }
  const Counts& launched = seen[2].counts;
  EXPECT_LE(launched.doorbells - seen[1].counts.doorbells, 1000u + 20) << "one a launch, and heartbeats";
  EXPECT_EQ(launched.sleeps - seen[1].counts.sleeps, 0u) << "nothing is waited for";
  // A body is its bytes and its announcement, with one doorbell, and one completion for pinned memory. Waits for room
  // ask every 150 ms whether the peer is there.
  const Counts& copied = seen[3].counts;
  const std::uint64_t pieces = kBytes / (512 * limits::kKiB);
  const std::uint64_t asked = 20 + (seen[3].ms - seen[2].ms) / 100;
  EXPECT_LE(copied.doorbells - launched.doorbells, pieces + asked);
  EXPECT_LE(copied.work - launched.work, 2 * (pieces + asked));
  EXPECT_LE(copied.completions - launched.completions, pieces + asked + 1000 / 64 + 1);
  EXPECT_EQ(copied.bytes_copied - launched.bytes_copied, pieces * sizeof(Announcement));
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
