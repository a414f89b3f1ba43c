// A session over the fake: what a call, a thousand launches and a large copy cost, counted.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "tests/unit/protocol/transport/rdma/fake_session.h"
#include "tests/unit/protocol/transport/rdma/system_calls.h"

namespace accelmesh::rdma {
namespace {

struct Collector final : FrameSink {
  void OnFrame(ByteView frame) override { frames.emplace_back(AsText(frame)); }
  std::vector<std::string> frames;
};

class RdmaSession : public ::testing::Test {
 protected:
  RdmaSession() {
    executor_ = std::thread([this] { Run(); });
  }
  ~RdmaSession() override {
    stop_ = true;
    channels_.server->Interrupt();
    executor_.join();
  }
  void Run() {
    std::uint64_t sequence = 0;
    while (!stop_) {
      Result<ReceivedFrame> received = channels_.server->Receive(true, In(500));
      if (received.code() == Code::kClosed) return;
      if (!received.ok() || received->kind == ReceivedFrame::Kind::kInterrupted) continue;
      if (received->kind == ReceivedFrame::Kind::kBulk) {
        for (;;) {
          const Result<std::unique_ptr<BulkBody>> body = channels_.server->TakeBulk(taken_);
          if (!body.ok()) break;
          const ByteView bytes = (*body)->bytes();
          if (std::count(bytes.begin(), bytes.end(), 0xee) != 0) ++wrong_;
          ++taken_;
        }
        continue;
      }
      ++frames_;
      channels_.server->PublishAcknowledged(++sequence);
      if (AsText(received->frame) == "sync") channels_.server->PublishCompleted(1, sequence);
      if (AsText(received->frame) == "ask") (void)channels_.server->Send(AsBytes("answer"), In(1000));
    }
  }
  template <typename Done>
  bool Pump(Done done) {
    const Deadline deadline = In(20000);
    while (!done()) {
      if (!channels_.client->Pump(sink_, deadline).ok()) return false;
    }
    return true;
  }

  std::shared_ptr<FakeFabric> fabric_ = FakeFabric::Make();
  Channels channels_ = OpenSession(*fabric_);
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> taken_{0};
  std::atomic<std::uint64_t> frames_{0};
  std::atomic<std::uint64_t> wrong_{0};
  Collector sink_;
  std::thread executor_;
};

TEST_F(RdmaSession, ASynchronousCallIsOneDoorbellAndNoSleepWhileThePeerIsQuick) {
  constexpr std::uint64_t kCalls = 500;
  for (std::uint64_t i = 1; i <= kCalls; ++i) {
    ASSERT_TRUE(channels_.client->Send(UpLane::kCommand, AsBytes("ask"), In(1000)).ok());
    ASSERT_TRUE(Pump([&] { return sink_.frames.size() == i; }));
  }
  const Counts counts = CountsOf(*channels_.client);
  // The request; what would go to sleep announces that (two pieces of work, one doorbell, one completion), whether or
  // not the answer comes first; and so does a beat.
  EXPECT_LE(counts.doorbells, kCalls + counts.arms + 20);
  EXPECT_GE(counts.doorbells, kCalls);
  EXPECT_LE(counts.work, kCalls + 2 * (counts.arms + 20));
  EXPECT_LE(counts.arms, 2 * (kCalls + counts.sleeps)) << "a wait announces no sleep again and again";
  EXPECT_LE(counts.completions, kCalls / 64 + counts.arms + 20);
  EXPECT_EQ(counts.bytes_copied, kCalls * (3 + 6)) << "the request once and the answer once";
}

TEST_F(RdmaSession, AThousandLaunchesWaitForNoRoundTrip) {
  const Bytes launch(100, 1);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(channels_.client->Send(UpLane::kCommand, launch, In(20000)).ok());
  const Counts counts = CountsOf(*channels_.client);
  EXPECT_EQ(counts.work, 1000u);
  EXPECT_EQ(counts.doorbells, 1000u);
  EXPECT_LE(counts.completions, 1000u / 64) << "one for 64 pieces of work";
  EXPECT_EQ(counts.bytes_copied, 1000 * launch.size());
  EXPECT_EQ(counts.sleeps, 0u);
  ASSERT_TRUE(channels_.client->Send(UpLane::kCommand, AsBytes("sync"), In(1000)).ok());
  ASSERT_TRUE(Pump([&] { return channels_.client->progress().completed[1].load() == 1001; }));
  EXPECT_EQ(frames_, 1001u);
}

TEST_F(RdmaSession, SixtyFourMegabytesOfPageableMemoryAreCopiedOnceOnTheClient) {
  const std::size_t piece = channels_.client->traits().bulk_bytes_preferred;
  const Bytes body(piece, 5);
  const std::uint64_t pieces = 64 * limits::kMiB / piece;
  for (std::uint64_t token = 0; token < pieces; ++token)
    ASSERT_TRUE(channels_.client->SendBulk(token, body, In(20000)).ok());
  for (int i = 0; i < 2000 && taken_ < pieces; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(taken_, pieces);
  const Counts counts = CountsOf(*channels_.client);
  EXPECT_EQ(counts.bytes_copied, 64 * limits::kMiB + pieces * sizeof(Announcement));
  // A body is its bytes and its announcement, with one doorbell; heartbeats of waits for room besides.
  EXPECT_LE(counts.work, 2 * pieces + 2 * 20);
  EXPECT_LE(counts.doorbells, pieces + 20);
  EXPECT_LE(counts.completions, 2 * pieces / 64 + 20);
}

TEST_F(RdmaSession, SixtyFourMegabytesOfPinnedMemoryAreNotCopiedOnTheClient) {
  const std::size_t piece = channels_.client->traits().bulk_bytes_preferred;
  const std::uint64_t pieces = 64 * limits::kMiB / piece;
  Bytes memory(64 * limits::kMiB);
  for (std::size_t i = 0; i < memory.size(); i += 4096) memory[i] = static_cast<std::uint8_t>((i >> 12) % 0x80);
  channels_.client->NotePinned(memory);
  for (std::uint64_t token = 0; token < pieces; ++token) {
    const MutableByteView body = MutableByteView(memory).subspan(token * piece, piece);
    ASSERT_TRUE(channels_.client->SendBulk(token, body, In(20000)).ok());
    std::fill(body.begin(), body.end(), 0xee);  // the caller's again
  }
  for (int i = 0; i < 2000 && taken_ < pieces; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(taken_, pieces);
  EXPECT_EQ(wrong_, 0u);
  const Counts counts = CountsOf(*channels_.client);
  EXPECT_EQ(counts.bytes_copied, pieces * sizeof(Announcement));
  EXPECT_LE(counts.completions, pieces + 20) << "one a body";
  EXPECT_LE(counts.work, 2 * pieces + 2 * 20);
  EXPECT_LE(counts.doorbells, pieces + 20);
  EXPECT_EQ(fabric_->registered(kClientSide), 4u) << "the session's three and the allocation, once";
  channels_.client->NoteUnpinned(memory.data());
  EXPECT_EQ(fabric_->registered(kClientSide), 3u);
}

TEST_F(RdmaSession, AnAddressThatIsGivenAgainIsAnotherAllocation) {
  Bytes memory(limits::kMiB, 1);
  const MutableByteView half = MutableByteView(memory).first(limits::kMiB / 2);
  channels_.client->NotePinned(half);
  ASSERT_TRUE(channels_.client->SendBulk(0, half, In(1000)).ok());
  EXPECT_EQ(fabric_->registered(kClientSide), 4u);
  // It goes past the end of the allocation: copied.
  ASSERT_TRUE(channels_.client->SendBulk(1, MutableByteView(memory).first(limits::kMiB / 2 + 1), In(1000)).ok());
  channels_.client->NoteUnpinned(half.data());
  ASSERT_TRUE(channels_.client->SendBulk(2, half, In(1000)).ok());
  EXPECT_EQ(fabric_->registered(kClientSide), 3u) << "nobody has pinned it";
  channels_.client->NotePinned(memory);
  ASSERT_TRUE(channels_.client->SendBulk(3, memory, In(1000)).ok()) << "the whole of the new allocation is registered";
  EXPECT_EQ(fabric_->registered(kClientSide), 4u);
  channels_.client->NoteUnpinned(memory.data());
}

TEST_F(RdmaSession, PinnedMemoryThatCannotBeRegisteredIsCopied) {
  fabric_->lockable_bytes = 0;
  Bytes memory(limits::kMiB, 1);
  channels_.client->NotePinned(memory);
  ASSERT_TRUE(channels_.client->SendBulk(0, memory, In(1000)).ok());
  EXPECT_EQ(CountsOf(*channels_.client).bytes_copied, limits::kMiB + sizeof(Announcement));
}

TEST_F(RdmaSession, ProgressOfManyStreamsGathersWhileTheClientDoesNotRead) {
  for (std::uint64_t i = 1; i <= 20000; ++i) channels_.server->PublishCompleted(i % 64, i);
  ASSERT_TRUE(Pump([&] {
    for (std::uint64_t stream = 0; stream < 64; ++stream) {
      const std::uint64_t last = stream <= 20000 % 64 ? 20000 / 64 * 64 + stream : 20000 / 64 * 64 - 64 + stream;
      if (channels_.client->progress().completed[stream].load() != last) return false;
    }
    return true;
  }));
}

// Both ends on one thread, so that nothing is ever waited for: what is left is what the transport cannot do without.
TEST(RdmaSystemCalls, AreNoneOfACallThatIsAnsweredOfLaunchesAndOfCopies) {
  constexpr int kCalls = 200;
  constexpr std::size_t kPiece = 512 * limits::kKiB;
  const auto body = [](const std::function<void()>& mark) {
    const auto fabric = FakeFabric::Make();
    const Channels channels = OpenSession(*fabric);
    Collector sink;
    Bytes memory(64 * limits::kMiB, 1);
    channels.client->NotePinned(memory);
    const Bytes launch(100, 1);
    const auto answers = [&](int count) {
      for (int i = 0; i < count; ++i) {
        if (!channels.client->Send(UpLane::kCommand, AsBytes("ask"), In(1000)).ok()) return false;
        const auto asked = channels.server->Receive(true, In(1000));
        if (!asked.ok() || !channels.server->Send(AsBytes("answer"), In(1000)).ok()) return false;
        if (!channels.client->Pump(sink, In(1000)).ok()) return false;
      }
      return true;
    };
    if (!answers(8)) return false;  // whatever happens once
    mark();
    if (!answers(kCalls)) return false;
    mark();
    for (int i = 0; i < 1000; ++i)
      if (!channels.client->Send(UpLane::kCommand, launch, In(1000)).ok()) return false;
    mark();
    for (int i = 0; i < 1000; ++i)
      if (!channels.server->Receive(true, In(1000)).ok()) return false;
    mark();
    for (std::uint64_t token = 0; token < memory.size() / kPiece; ++token) {
      if (!channels.client->SendBulk(token, MutableByteView(memory).subspan(token * kPiece, kPiece), In(1000)).ok())
        return false;
      if (!channels.server->Receive(true, In(1000)).ok() || !channels.server->TakeBulk(token).ok()) return false;
    }
    mark();
    return true;
  };
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's own memory takes system calls";
#endif
  const Result<std::vector<std::uint64_t>> counts = CountSystemCalls(body);
  if (counts.code() == Code::kUnsupported) GTEST_SKIP() << counts.status().ToString();
  ASSERT_TRUE(counts.ok()) << counts.status().ToString();
  ASSERT_EQ(counts->size(), 4u);
  // The allocator, and a sanitizer, may ask for memory now and then.
  constexpr std::uint64_t kOfOthers = 16;
  EXPECT_LE((*counts)[0], kOfOthers) << kCalls << " calls";
  EXPECT_LE((*counts)[1], kOfOthers) << "1,000 launches";
  EXPECT_LE((*counts)[3], kOfOthers) << "64 MiB, pinned";
}

// Copies that were queued end on threads of the backend's. What those share with the executor, ThreadSanitizer sees.
TEST(RdmaBodies, AreGivenBackWhileTheExecutorTakesFrames) {
  constexpr std::uint64_t kBodies = 2000;
  const std::shared_ptr<FakeFabric> fabric = FakeFabric::Make();
  Channels channels = OpenSession(*fabric);
  std::mutex mutex;
  std::vector<std::unique_ptr<BulkBody>> taken;
  std::atomic<bool> is_over{false};
  std::thread mover([&] {
    while (!is_over) {
      std::vector<std::unique_ptr<BulkBody>> mine;  // goes after the lock
      const std::lock_guard lock(mutex);
      mine.swap(taken);
    }
  });
  std::thread client([&] {
    for (std::uint64_t token = 0; token < kBodies; ++token) {
      EXPECT_TRUE(channels.client->SendBulk(token, Bytes(100, 1), In(20000)).ok());
      EXPECT_TRUE(channels.client->Send(UpLane::kCommand, AsBytes("copy"), In(20000)).ok());
    }
  });
  std::uint64_t frames = 0;
  std::uint64_t bodies = 0;
  while (frames < kBodies || bodies < kBodies) {
    const Result<ReceivedFrame> received = channels.server->Receive(true, In(20000));
    EXPECT_TRUE(received.ok()) << received.status().ToString();
    if (!received.ok()) break;
    if (received->kind == ReceivedFrame::Kind::kFrame) ++frames;
    for (;; ++bodies) {
      Result<std::unique_ptr<BulkBody>> body = channels.server->TakeBulk(bodies);
      if (!body.ok()) break;
      const std::lock_guard lock(mutex);
      taken.push_back(*std::move(body));
    }
  }
  client.join();
  is_over = true;
  mover.join();
  EXPECT_EQ(frames, kBodies);
  EXPECT_EQ(bodies, kBodies);
}

}  // namespace
}  // namespace accelmesh::rdma
