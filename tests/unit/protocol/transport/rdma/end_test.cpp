// The states of a connection, over the fake: what is sent and waited for, and every way in which it fails.
#include "protocol/transport/rdma/end.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

#include "tests/unit/protocol/transport/rdma/two_ends.h"

namespace accelmesh::rdma {
namespace {

TEST_F(RdmaEnd, RecordsGoRoundTheEndOfTheRing) {
  // Sizes that end at every distance from the end of the ring.
  std::uint64_t sent = 0;
  for (int i = 0; sent < 5 * kFrameRingBytes; ++i) {
    const std::string text(static_cast<std::size_t>(i) * 7919 % 300000, static_cast<char>('a' + i % 26));
    ASSERT_TRUE(Send(text).ok());
    ASSERT_EQ(Receive(), text);
    sent += text.size();
  }
}

TEST_F(RdmaEnd, AFullRingIsFeltAndWaitedFor) {
  const std::string frame(500000, 'x');
  int sent = 0;
  Status status;
  while (sent < 100 && (status = Send(frame, 20)).ok()) ++sent;
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded) << status.ToString();
  EXPECT_EQ(sent, 4);
  std::thread reader([&] {
    for (int i = 0; i < sent + 1; ++i) EXPECT_EQ(Receive(5000), frame);
  });
  EXPECT_TRUE(Send(frame, 5000).ok());
  reader.join();
}

TEST_F(RdmaEnd, AFullSendQueueIsFeltAndWaitedFor) {
  fabric_->Hold(kClientSide);
  int sent = 0;
  Status status;
  while (sent < 10000 && (status = Send("x", 20)).ok()) ++sent;
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded) << status.ToString();
  EXPECT_LE(fabric_->held(kClientSide), 256u) << "more than the queue holds";
  EXPECT_GT(sent, 100);
  fabric_->Let(kClientSide);
  EXPECT_TRUE(Send("last", 1000).ok());
  for (int i = 0; i < sent; ++i) ASSERT_EQ(Receive(), "x");
  EXPECT_EQ(Receive(), "last");
}

TEST_F(RdmaEnd, AFullArenaIsFeltAndWaitedFor) {
  const Bytes body(limits::kBulkBytesMax, 7);
  std::uint64_t token = 0;
  Status status;
  while (token < 100 && (status = client_->SendBody(kBodyRing, token, 0, body, In(20))).ok()) ++token;
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_EQ(token, kArenaBytes / limits::kBulkBytesMax);
  server_->Release(0);
  server_->Publish(true);
  EXPECT_TRUE(client_->SendBody(kBodyRing, token, 0, body, In(1000)).ok());
}

TEST_F(RdmaEnd, ASleeperIsWokenOnceAndOnlyIfItSleeps) {
  for (int round = 0; round < 5; ++round) {
    std::thread receiver([&] { EXPECT_EQ(Receive(5000), "wake up"); });
    while (server_->counts().sleeps == static_cast<std::uint64_t>(round)) std::this_thread::yield();
    const std::uint64_t before = client_->counts().work;
    ASSERT_TRUE(Send("wake up").ok());
    ASSERT_TRUE(Send("and again").ok());
    EXPECT_EQ(client_->counts().work, before + 2) << "a record wakes by itself";
    receiver.join();
    EXPECT_EQ(Receive(), "and again");
    const std::uint64_t asleep = server_->counts().sleeps;
    EXPECT_LE(fabric_->wakes(kServerSide), asleep);
    if (asleep != static_cast<std::uint64_t>(round) + 1) return;  // slept anew meanwhile; the bound above still holds
  }
  EXPECT_LE(fabric_->wakes(kServerSide), 5u);
  EXPECT_GE(fabric_->wakes(kServerSide), 1u);
}

// Both go to sleep all the time, and no wake is lost: each round trip is far below a beat, which is how long a lost one
// would take.
TEST_F(RdmaEnd, NoWakeIsLost) {
  constexpr int kRounds = 3000;
  std::thread echo([&] {
    for (int i = 0; i < kRounds; ++i) {
      if (Receive(20000) != "ping") return;
      if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(60));  // the other has gone to sleep
      if (!server_->Send(kDownRing, Kind::kFrame, AsBytes("pong"), In(1000)).ok()) return;
    }
  });
  Bytes buffer(64);
  const Instant begin = Clock::now();
  int slow = 0;
  for (int i = 0; i < kRounds; ++i) {
    const Instant sent = Clock::now();
    ASSERT_TRUE(Send("ping").ok());
    ASSERT_EQ(client_->WaitForData(In(20000), Beat, [&] { return client_->Arrived(kDownRing); }), shm::Waited::kReady);
    Kind kind = Kind::kFrame;
    std::size_t size = 0;
    ASSERT_TRUE(client_->Take(kDownRing, buffer, kind, size).ok());
    client_->Publish(false);
    if (Clock::now() - sent > Heart::kBeat - std::chrono::milliseconds(10)) ++slow;
    if (i % 5 == 0) std::this_thread::sleep_for(std::chrono::microseconds(60));
  }
  echo.join();
  // A busy machine may hold up some; lost wakes would be many.
  EXPECT_LE(slow, 5) << "of " << kRounds << " in "
                     << std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count() << " ms";
}

// The sender looked before the receiver said that it sleeps, so no wake will come: the receiver's look finds the new
// tail.
TEST_F(RdmaEnd, NobodySleepsWhileSomethingIsOnItsWay) {
  fabric_->Hold(kClientSide);
  ASSERT_TRUE(Send("on its way").ok());
  std::thread network([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    fabric_->Let(kClientSide);
  });
  EXPECT_EQ(Receive(5000), "on its way");
  EXPECT_EQ(server_->counts().sleeps, 0u);
  network.join();
}

TEST_F(RdmaEnd, ABodyThatIsNotCopiedIsTheCallersAgainOnceTheDeviceHasReadIt) {
  Bytes memory(100000, 1);
  const auto registered = client_->RegisterOwn(memory);
  ASSERT_TRUE(registered.ok());
  fabric_->Hold(kClientSide);
  std::atomic<bool> has_returned{false};
  std::thread sender([&] {
    EXPECT_TRUE(client_->SendBody(kBodyRing, 1, 0, memory, In(5000), registered->get()).ok());
    has_returned = true;
  });
  while (fabric_->held(kClientSide) == 0) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(has_returned);
  fabric_->Let(kClientSide);
  sender.join();
}

TEST_F(RdmaEnd, WithoutACreditNobodyIsWokenAndNothingIsLost) {
  // The client's device holds back what the server tells it of receives.
  ASSERT_TRUE(Send("x").ok());
  EXPECT_EQ(Receive(), "x");
  fabric_->Hold(kServerSide);
  std::uint64_t sent = 0;
  for (; sent < 200; ++sent) {
    std::thread receiver([&] { EXPECT_EQ(Receive(5000), "y"); });
    ASSERT_TRUE(Send("y").ok());
    receiver.join();
    fabric_->Let(kServerSide);
    fabric_->Hold(kServerSide);
  }
  fabric_->Let(kServerSide);
  EXPECT_FALSE(client_->closed()) << client_->ClosedStatus().ToString();
  EXPECT_EQ(sent, 200u);
}

TEST_F(RdmaEnd, MixturesOfOldAndNewWordsAreHarmless) {
  fabric_->TearWords(true);
  constexpr int kRounds = 4000;
  std::thread receiver([&] {
    for (int i = 0; i < kRounds; ++i) {
      const std::string text = Receive(20000);
      ASSERT_EQ(text, std::string(static_cast<std::size_t>(i) % 97, 'z') + std::to_string(i))
          << static_cast<int>(waited_);
    }
  });
  for (int i = 0; i < kRounds; ++i)
    ASSERT_TRUE(Send(std::string(static_cast<std::size_t>(i) % 97, 'z') + std::to_string(i), 20000).ok());
  receiver.join();
  EXPECT_FALSE(server_->closed()) << server_->ClosedStatus().ToString();
}

// Failures ------------------------------------------------------------------------------------------------------------

struct Failure {
  Outcome outcome;
  const char* text;
};
class RdmaFailure : public RdmaEnd, public ::testing::WithParamInterface<Failure> {};

TEST_P(RdmaFailure, EndsTheConnectionWithItsCauseAndFlushesTheRest) {
  fabric_->Fail(kClientSide, GetParam().outcome);
  ASSERT_TRUE(Send("lost").ok()) << "nobody has waited for it";
  const Instant begin = Clock::now();
  Bytes buffer(64);
  EXPECT_EQ(client_->WaitForData(In(5000), Beat, [&] { return client_->Arrived(kDownRing); }), shm::Waited::kGone);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(3));
  EXPECT_EQ(client_->ClosedStatus().code(), Code::kClosed);
  EXPECT_NE(client_->ClosedStatus().text().find(GetParam().text), std::string::npos)
      << client_->ClosedStatus().ToString();
  EXPECT_EQ(Send("more").code(), Code::kClosed);
  EXPECT_EQ(client_->SendBody(kBodyRing, 1, 0, Bytes(10), In(100)).code(), Code::kClosed);
  EXPECT_EQ(Receive(50), "");
}
INSTANTIATE_TEST_SUITE_P(All, RdmaFailure,
                         ::testing::Values(Failure{Outcome::kRemoteAccess, "refused access"},
                                           Failure{Outcome::kRetryExceeded, "does not answer"},
                                           Failure{Outcome::kRnrExceeded, "no receive posted"},
                                           Failure{Outcome::kOther, "reports an error"}));

TEST_F(RdmaEnd, APeerThatVanishesIsAnErrorWithinASecond) {
  ASSERT_TRUE(Send("hello").ok());
  ASSERT_EQ(Receive(), "hello");
  fabric_->CutOff(kServerSide);
  const Instant begin = Clock::now();
  EXPECT_EQ(client_->WaitForData(In(5000), Beat, [&] { return client_->Arrived(kDownRing); }), shm::Waited::kGone);
  // Heart's constants say a second (heart_test.cpp); the rest is for a machine that is busy with other things.
  EXPECT_LE(Clock::now() - begin, std::chrono::seconds(3));
  EXPECT_NE(client_->ClosedStatus().text().find("has not answered"), std::string::npos);
  EXPECT_EQ(client_->ClosedStatus().code(), Code::kClosed);
}

TEST_F(RdmaEnd, ASenderWithoutRoomNoticesThatItsPeerHasVanished) {
  fabric_->CutOff(kServerSide);
  const std::string frame(500000, 'x');
  Status status;
  const Instant begin = Clock::now();
  for (int i = 0; i < 10 && status.ok(); ++i) status = Send(frame, 5000);
  EXPECT_EQ(status.code(), Code::kClosed) << status.ToString();
  EXPECT_LE(Clock::now() - begin, std::chrono::seconds(4));
}

TEST_F(RdmaEnd, AWrongKeyEndsTheConnection) {
  // As the device sees it: the server's registrations are gone, as they are at a session's end.
  Result<Prepared> client = Prepare(FakeFabric::Make()->Take(kClientSide), Role::kClient);
  ASSERT_TRUE(client.ok());
  auto fabric = FakeFabric::Make();
  Result<Prepared> one = Prepare(fabric->Take(kClientSide), Role::kClient);
  Result<Prepared> two = Prepare(fabric->Take(kServerSide), Role::kServer);
  ASSERT_TRUE(one.ok() && two.ok());
  Greeting wrong = two->greeting;
  wrong.inbox_key += 1000;
  End end(*std::move(one), wrong);
  ASSERT_TRUE(end.Send(kCommandRing, Kind::kFrame, AsBytes("x"), In(100)).ok());
  EXPECT_EQ(end.WaitForData(In(1000), Beat, [] { return false; }), shm::Waited::kGone);
  EXPECT_NE(end.ClosedStatus().text().find("refused access"), std::string::npos);
}

TEST_F(RdmaEnd, KeysReachTheSessionsOwnMemoryOnlyAndEndWithIt) {
  EXPECT_EQ(fabric_->registered(kServerSide), 3u);
  server_.reset();
  EXPECT_EQ(fabric_->registered(kServerSide), 0u);
}

TEST_F(RdmaEnd, ReceivesThatAreGoneAreAnRnrError) {
  std::thread receiver([&] { (void)Receive(3000); });
  while (server_->counts().sleeps == 0) std::this_thread::yield();
  fabric_->LoseReceives(kServerSide);
  Status status;
  for (int i = 0; i < 1000 && !client_->closed(); ++i) {
    (void)Send("x");
    (void)client_->WaitForData(In(1), Beat, [] { return false; });
  }
  EXPECT_TRUE(client_->closed());
  EXPECT_NE(client_->ClosedStatus().text().find("no receive posted"), std::string::npos)
      << client_->ClosedStatus().ToString();
  client_.reset();
  receiver.join();
}

TEST_F(RdmaEnd, ACloseIsHeardBehindWhatWasSent) {
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Send("x").ok());
  client_->Close({});
  for (int i = 0; i < 20; ++i) ASSERT_EQ(Receive(), "x");
  EXPECT_EQ(Receive(), "");
  EXPECT_EQ(waited_, shm::Waited::kGone);
  EXPECT_EQ(server_->ClosedStatus().code(), Code::kClosed);
}

TEST_F(RdmaEnd, ADisconnectIsHeardBehindWhatWasSent) {
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Send("x").ok());
  client_.reset();
  for (int i = 0; i < 20; ++i) ASSERT_EQ(Receive(), "x");
  EXPECT_EQ(Receive(), "");
  EXPECT_EQ(waited_, shm::Waited::kGone);
}

TEST_F(RdmaEnd, AnInterruptWakesASleeper) {
  std::atomic<bool> flag{false};
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    flag.store(true, std::memory_order_seq_cst);
    client_->Interrupt();
  });
  const Instant begin = Clock::now();
  EXPECT_EQ(client_->WaitForData(
                In(5000), [] { return std::chrono::seconds(5); }, [&] { return flag.load(); }),
            shm::Waited::kReady);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(1));
  other.join();
}

TEST(RdmaPrepare, SaysWhatTheDeviceOrTheMachineDoesNotAllow) {
  auto fabric = FakeFabric::Make();
  fabric->limits.inline_bytes_max = 64;
  const auto small = Prepare(fabric->Take(0), Role::kClient);
  EXPECT_EQ(small.code(), Code::kUnsupported);
  EXPECT_NE(small.status().text().find("inline"), std::string::npos);
  fabric = FakeFabric::Make();
  fabric->lockable_bytes = 8 * limits::kMiB;
  EXPECT_EQ(Prepare(fabric->Take(0), Role::kClient).code(), Code::kOutOfMemory);
  EXPECT_EQ(fabric->registered(0), 0u) << "what was registered before is not left behind";
}

// Hostile peers -------------------------------------------------------------------------------------------------------

// A peer that has the keys and writes what it likes.
class RdmaHostile : public ::testing::Test {
 protected:
  void SetUp() override { BeginAnew(); }
  void BeginAnew() {
    server_.reset();
    outbox_.reset();
    inbox_memory_.reset();
    link_.reset();
    fabric_ = FakeFabric::Make();
    Result<Prepared> server = Prepare(fabric_->Take(kServerSide), Role::kServer);
    ASSERT_TRUE(server.ok());
    inbox_ = server->greeting;
    link_ = fabric_->Take(kClientSide);
    Result<std::unique_ptr<Block>> block = Block::Create(Role::kClient);
    ASSERT_TRUE(block.ok());
    block_ = *std::move(block);
    outbox_ = link_->Register(block_->outbox(), Access::kRemoteRead).value();
    inbox_memory_ = link_->Register(block_->inbox(), Access::kRemoteWrite).value();
    Greeting mine;
    mine.inbox = reinterpret_cast<std::uintptr_t>(block_->inbox().data());
    mine.outbox = reinterpret_cast<std::uintptr_t>(block_->outbox().data());
    mine.inbox_key = inbox_memory_->remote_key();
    mine.outbox_key = outbox_->remote_key();
    server_ = std::make_unique<End>(*std::move(server), mine);
  }
  void Write(std::size_t offset, ByteView bytes) {
    Work work;
    work.is_inline = true;
    work.local = bytes.data();
    work.bytes = static_cast<std::uint32_t>(bytes.size());
    work.remote = inbox_.inbox + offset;
    work.remote_key = inbox_.inbox_key;
    ASSERT_TRUE(link_->Post(std::span(&work, 1)).ok());
  }
  void WriteWords() { Write(0, {reinterpret_cast<const std::uint8_t*>(&words_), sizeof(words_)}); }
  shm::Waited Wait(int ms) {
    return server_->WaitForData(
        In(ms), [] { return std::chrono::milliseconds(10); }, [&] { return server_->Arrived(kCommandRing); });
  }

  std::shared_ptr<FakeFabric> fabric_;
  Greeting inbox_;
  std::unique_ptr<Link> link_;
  std::unique_ptr<Block> block_;
  std::unique_ptr<Memory> outbox_, inbox_memory_;
  std::unique_ptr<End> server_;
  Words words_;
};

TEST_F(RdmaHostile, ATailThatCannotBeEndsTheConnection) {
  for (const std::uint64_t tail : {std::uint64_t{12}, kFrameRingBytes + 8, ~std::uint64_t{7}}) {
    BeginAnew();
    words_.tail[kCommandRing].store(tail);
    WriteWords();
    EXPECT_EQ(Wait(10000), shm::Waited::kGone) << tail;
    EXPECT_EQ(server_->ClosedStatus().code(), Code::kBadFrame) << tail;
  }
}

TEST_F(RdmaHostile, AHeadThatCannotBeEndsTheConnection) {
  words_.head[kDownRing].store(800);
  WriteWords();
  EXPECT_EQ(Wait(10000), shm::Waited::kGone);
  EXPECT_EQ(server_->ClosedStatus().code(), Code::kBadFrame);
}

TEST_F(RdmaHostile, ARecordThatDoesNotEndEndsTheConnection) {
  const std::uint32_t header[2] = {100, 1};
  Write(RingOffset(kCommandRing), {reinterpret_cast<const std::uint8_t*>(header), sizeof(header)});
  words_.tail[kCommandRing].store(64);
  WriteWords();
  EXPECT_EQ(Wait(10000), shm::Waited::kGone);
  EXPECT_EQ(server_->ClosedStatus().code(), Code::kBadFrame);
}

TEST_F(RdmaHostile, ARecordThatIsNoneEndsTheConnection) {
  const std::uint32_t header[2] = {0x7fffffff, 1};
  Write(RingOffset(kCommandRing), {reinterpret_cast<const std::uint8_t*>(header), sizeof(header)});
  words_.tail[kCommandRing].store(64);
  WriteWords();
  EXPECT_EQ(Wait(1000), shm::Waited::kReady);
  Bytes to(limits::kFrameBytesMax);
  Kind kind = Kind::kFrame;
  std::size_t size = 0;
  EXPECT_EQ(server_->Take(kCommandRing, to, kind, size).code(), Code::kBadFrame);
  EXPECT_TRUE(server_->closed());
}

TEST_F(RdmaHostile, CreditsThatWereNeverGivenAreNotUsed) {
  words_.receives.store(0xffffffff);
  words_.sleeps.store(1);
  WriteWords();
  ASSERT_TRUE(server_->Send(kDownRing, Kind::kFrame, AsBytes("x"), In(100)).ok());
  EXPECT_EQ(server_->counts().wakes, 0u);
  EXPECT_FALSE(server_->closed());
}

TEST_F(RdmaHostile, BitsTurnedOverAtWillSpoilOnlyTheLiarsBodies) {
  words_.receives.store(kReceives);
  for (int round = 0; round < 200; ++round) {
    words_.released[0].store(0x123456789abcdef * static_cast<std::uint64_t>(round));
    words_.released[1].store(~words_.released[0].load());
    WriteWords();
    (void)server_->SendBody(kDownRing, static_cast<std::uint64_t>(round), 0, Bytes(300000, 1), In(0));
  }
  EXPECT_FALSE(server_->closed()) << server_->ClosedStatus().ToString();
}

}  // namespace
}  // namespace accelmesh::rdma
