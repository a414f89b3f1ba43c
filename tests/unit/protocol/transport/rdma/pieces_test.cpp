// What a record, a call and many launches are in pieces of work, and how a peer hears what was taken.
#include "tests/unit/protocol/transport/rdma/two_ends.h"

namespace accelmesh::rdma {
namespace {

class RdmaPieces : public RdmaEnd {};

TEST_F(RdmaPieces, ASmallRecordIsOnePieceOfWorkAndNoCompletion) {
  ASSERT_TRUE(Send("hello").ok());
  const Counts counts = client_->counts();
  EXPECT_EQ(counts.doorbells, 1u);
  EXPECT_EQ(counts.work, 1u);
  EXPECT_EQ(counts.completions, 0u);
  EXPECT_EQ(counts.wakes, 0u) << "nobody sleeps";
  EXPECT_EQ(counts.sleeps, 0u);
  EXPECT_EQ(Receive(), "hello");
}

// Its bytes, up to a multiple of 8, and a head of 32 are all that goes inline.
TEST_F(RdmaPieces, ARecordIsOnePieceOfWorkAsLongAsAllOfItGoesInline) {
  ASSERT_EQ(fabric_->limits.inline_bytes_max, 220u);
  ASSERT_TRUE(Send(std::string(184, 'x')).ok());
  EXPECT_EQ(client_->counts().work, 1u);
  ASSERT_TRUE(Send(std::string(185, 'y')).ok());
  EXPECT_EQ(client_->counts().work, 3u) << "its bytes and the words";
  EXPECT_EQ(client_->counts().doorbells, 2u);
  EXPECT_EQ(Receive(), std::string(184, 'x'));
  EXPECT_EQ(Receive(), std::string(185, 'y'));
}

TEST_F(RdmaPieces, ALargerRecordIsItsBytesAndTheWordsWithOneDoorbell) {
  const std::string text(limits::kKiB, 'x');
  ASSERT_TRUE(Send(text).ok());
  const Counts counts = client_->counts();
  EXPECT_EQ(counts.doorbells, 1u);
  EXPECT_EQ(counts.work, 2u);
  EXPECT_EQ(Receive(), text);
}

// Both ends on one thread, so that nothing is ever waited for: what a call cannot do without.
TEST_F(RdmaPieces, ACallIsOnePieceOfWorkEachWay) {
  constexpr std::uint64_t kCalls = 1000;
  Bytes buffer(64);
  for (std::uint64_t i = 0; i < kCalls; ++i) {
    ASSERT_TRUE(Send("ask").ok());
    ASSERT_EQ(Receive(), "ask");
    server_->Acknowledge(i + 1);
    ASSERT_TRUE(server_->Send(kDownRing, Kind::kFrame, AsBytes("answer"), In(1000)).ok());
    ASSERT_TRUE(client_->Arrived(kDownRing));
    EXPECT_EQ(client_->acknowledged(), i + 1) << "it comes with the answer";
    Kind kind = Kind::kFrame;
    std::size_t size = 0;
    ASSERT_TRUE(client_->Take(kDownRing, buffer, kind, size).ok());
    client_->Publish(false);
  }
  for (const Counts& counts : {client_->counts(), server_->counts()}) {
    EXPECT_EQ(counts.work, kCalls);
    EXPECT_EQ(counts.doorbells, kCalls);
    EXPECT_LE(counts.completions, kCalls / 64);
    EXPECT_EQ(counts.wakes + counts.sleeps, 0u);
    EXPECT_EQ(counts.bytes_copied, kCalls * (3 + 6));
  }
}

TEST_F(RdmaPieces, AnAnswerTellsWhatWasTaken) {
  ASSERT_TRUE(Send("ask").ok());
  ASSERT_EQ(Receive(), "ask");
  EXPECT_EQ(client_->PositionsOf(kCommandRing).head, 0u);
  ASSERT_TRUE(server_->Send(kDownRing, Kind::kFrame, AsBytes("answer"), In(1000)).ok());
  ASSERT_TRUE(client_->Arrived(kDownRing));
  EXPECT_EQ(client_->PositionsOf(kCommandRing).head, client_->PositionsOf(kCommandRing).tail);
}

// What went with answers that nobody takes is told by words as well, long before a ring looks full.
TEST_F(RdmaPieces, WhoeverOnlySendsHearsThatThereIsRoom) {
  const std::string launch(180, 'x');
  for (std::size_t sent = 0; sent < 2 * kFrameRingBytes; sent += launch.size()) {
    ASSERT_TRUE(Send(launch).ok()) << sent;
    ASSERT_EQ(Receive(), launch);
    ASSERT_TRUE(server_->Send(kDownRing, Kind::kFrame, AsBytes("answer"), In(1000)).ok());
  }
}

TEST_F(RdmaPieces, OneCompletionForManyPiecesOfWork) {
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(Send("launch").ok());
    if (i % 16 == 15) {
      for (int j = 0; j < 16; ++j) ASSERT_EQ(Receive(), "launch");
    }
  }
  const Counts counts = client_->counts();
  EXPECT_EQ(counts.work, 1000u);
  EXPECT_EQ(counts.doorbells, 1000u);
  EXPECT_LE(counts.completions, 1000u / 64);
  EXPECT_EQ(counts.sleeps, 0u);
}

// A server that takes no commands for a while leaves them where they are and sleeps.
TEST_F(RdmaPieces, WhatIsNotTakenKeepsNobodyAwake) {
  ASSERT_TRUE(Send("later").ok());
  EXPECT_EQ(server_->WaitForData(In(100), Beat, [] { return false; }), shm::Waited::kDeadline);
  EXPECT_GE(server_->counts().sleeps, 1u);
  EXPECT_LE(server_->counts().doorbells, 3u);
  EXPECT_EQ(Receive(), "later");
}

}  // namespace
}  // namespace accelmesh::rdma
