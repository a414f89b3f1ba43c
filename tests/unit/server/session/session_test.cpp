// The executor by itself, over a channel that plays a script and a backend that checks what it is asked (the fuzzer's).
#include "server/session/session.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "tests/unit/server/session/session_fixture.h"

namespace accelmesh {
namespace {

TEST_F(SessionTest, EndsWhenTheClientIsGone) {
  Open();
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_TRUE(backend_.closed());
  ASSERT_EQ(channel_.frames_sent(), 1u);
  EXPECT_EQ(Answer(0).sequence(), 1u);
  EXPECT_EQ(Answer(0).code(), 0u);
}

TEST_F(SessionTest, AWindowThatIsTakenIsRefusedAndAnotherAsked) {
  Do([](ScriptChannel& c) { c.PushFrame(UpLane::kCommand, OpenFrame(1, kBase, limits::kMiB)); });
  Do([](ScriptChannel& c) { c.PushFrame(UpLane::kCommand, OpenFrame(2)); });
  EXPECT_EQ(Run().code(), Code::kClosed);
  ASSERT_EQ(channel_.frames_sent(), 2u);
  EXPECT_EQ(Answer(0).code(), static_cast<std::uint16_t>(Code::kFull));
  EXPECT_EQ(Answer(1).code(), 0u);
}

TEST_F(SessionTest, HostMemoryIsMappedInItsWindowOnly) {
  OpenWithHostWindow();
  auto* word = reinterpret_cast<std::uint32_t*>(kHostBase + 4096);
  Post(wire::HostMap(kHostBase + 4096, 8192, 0, HostMemory::kNobody, wire::HostMapKind::Twin));
  const std::uint32_t value = 77;
  Post(wire::HostWrite(kHostBase + 4096), AsBytes(value));
  Post(wire::Fill(kHostBase + 4096, 0, 0, 8192, 1, 1, 1, 1, 0, 0));
  Check([this, word] {
    EXPECT_EQ(*word, 77u);
    EXPECT_EQ(channel_.completed(0), 4u);
    EXPECT_EQ(channel_.error(), 0u);
  });
  // Over it, beside the pages, outside.
  for (const std::uint64_t address : {kHostBase + 8192, kHostBase + 100, kHostBase - 4096, kHostBase + kHostBytes}) {
    Post(wire::HostMap(address, 4096, 0, HostMemory::kNobody, wire::HostMapKind::Twin));
  }
  Check([this] { EXPECT_EQ(channel_.error(), kDeviceInvalidValue); });
  Post(wire::HostUnmap(kHostBase + 4096));
  Post(wire::HostMap(kHostBase + 8192, 4096, 0, HostMemory::kNobody, wire::HostMapKind::Twin));
  Check([] { EXPECT_EQ(*reinterpret_cast<std::uint32_t*>(kHostBase + 8192), 0u); });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

TEST_F(SessionTest, TwinsAreBoundedByTheMemoryOfTheDevices) {
  OpenWithHostWindow();
  const std::uint64_t most = CheckingBackend::kMemoryBytes;
  Post(wire::HostMap(kHostBase, most, 0, HostMemory::kNobody, wire::HostMapKind::Twin));
  Check([this] { EXPECT_EQ(channel_.error(), 0u); });
  // What counts for a device's quota has that for its bound.
  Post(wire::HostMap(kHostBase + most, most - 4096, 0, 0, wire::HostMapKind::Twin));
  Post(wire::HostUnmap(kHostBase + most));
  Post(wire::MemAlloc(kBase, most, 0, 0));
  Check([this] { EXPECT_EQ(channel_.error(), 0u); });
  Post(wire::HostMap(kHostBase + most, 4096, 0, 0, wire::HostMapKind::Twin));
  Check([this] { EXPECT_EQ(channel_.error(), kDeviceOutOfMemory); });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

TEST_F(SessionTest, MoreTwinsThanMemoryAreRefused) {
  OpenWithHostWindow();
  Post(wire::HostMap(kHostBase, CheckingBackend::kMemoryBytes + 4096, 0, HostMemory::kNobody, wire::HostMapKind::Twin));
  Check([this] { EXPECT_EQ(channel_.error(), kDeviceOutOfMemory); });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

TEST_F(SessionTest, AWriteOutsideOfHostMemoryEndsIt) {
  OpenWithHostWindow();
  Post(wire::HostMap(kHostBase, 4096, 0, HostMemory::kNobody, wire::HostMapKind::Twin));
  const std::uint64_t value = 77;
  Post(wire::HostWrite(kHostBase + 4092), AsBytes(value));
  EXPECT_EQ(Run().code(), Code::kBadFrame);
}

TEST_F(SessionTest, AHostWindowThatIsTakenIsRefused) {
  void* taken = ::mmap(reinterpret_cast<void*>(kHostBase + 4096), 4096, PROT_READ,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_NE(taken, MAP_FAILED);
  OpenWithHostWindow();
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_EQ(Answer(0).code(), static_cast<std::uint16_t>(Code::kFull));
  ::munmap(taken, 4096);
}

TEST_F(SessionTest, ReplaysAndGapsEndIt) {
  Open();
  Post(wire::Ping(1));
  Do([](ScriptChannel& c) { c.PushFrame(UpLane::kCommand, Frame(2, wire::Ping(1))); });
  const Status replay = Run();
  EXPECT_EQ(replay.code(), Code::kBadFrame);
  EXPECT_NE(replay.text().find("a replay"), std::string::npos) << replay.text();
}

TEST_F(SessionTest, GoodbyeOvertakesWhatIsParked) {
  Open();
  Post(wire::MemAlloc(kBase, 4096, 0, 0));
  Post(wire::Copy(wire::Place(kBase, 0, wire::PlaceKind::Device), wire::Place(5, 0, wire::PlaceKind::Bulk), 100, 0, 0));
  Do([](ScriptChannel& c) { c.PushFrame(UpLane::kSide, Frame(1, wire::Goodbye(0))); });
  Check([] { FAIL() << "still running"; });
  EXPECT_TRUE(Run().ok());
}

TEST_F(SessionTest, ACopyWaitsForItsBodyAndHoldsUpItsStreamOnly) {
  Open();
  Post(wire::MemAlloc(kBase, 4096, 0, 0));
  Post(wire::StreamCreate(1, 0, 0, wire::StreamKind::NonBlocking));
  Post(wire::Copy(wire::Place(kBase, 0, wire::PlaceKind::Device), wire::Place(5, 0, wire::PlaceKind::Bulk), 100, 0, 0));
  Post(wire::Fill(kBase, 0, 0, 8, 1, 1, 1, 1, 0, 0));
  Post(wire::Fill(kBase, 0, 0, 8, 1, 1, 1, 1, 1, 0));
  Check([this] {
    EXPECT_EQ(channel_.completed(0), 0u);
    EXPECT_EQ(channel_.completed(1), 6u);
  });
  Do([](ScriptChannel& c) { c.PushBody(5, Bytes(100, 1)); });
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_EQ(channel_.completed(0), 5u);
}

TEST_F(SessionTest, ABodyOfAnotherSizeEndsIt) {
  Open();
  Post(wire::MemAlloc(kBase, 4096, 0, 0));
  Do([](ScriptChannel& c) { c.PushBody(5, Bytes(99, 1)); });
  Post(wire::Copy(wire::Place(kBase, 0, wire::PlaceKind::Device), wire::Place(5, 0, wire::PlaceKind::Bulk), 100, 0, 0));
  EXPECT_EQ(Run().code(), Code::kBadFrame);
}

TEST_F(SessionTest, ARefusedCommandCompletesInItsTurn) {
  Open();
  Post(wire::MemAlloc(kBase, 4096, 0, 0));
  Check([this] { backend_.HoldAll(true); });
  Post(wire::Fill(kBase, 0, 0, 8, 1, 1, 1, 1, 0, 0));
  Post(wire::Fill(kBase + (1 << 20), 0, 0, 8, 1, 1, 1, 1, 0, 0));
  Check([this] {
    EXPECT_EQ(channel_.error(), static_cast<std::uint32_t>(kDeviceInvalidValue));
    EXPECT_EQ(channel_.completed(0), 0u) << "ahead of the command before it";
    backend_.CompleteSome(0, 1);
    EXPECT_EQ(channel_.completed(0), 3u);
    backend_.CompleteSome(0, 1);
    EXPECT_EQ(channel_.completed(0), 4u);
  });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

// Slices that lie over one another would be work without end in no memory at all.
TEST_F(SessionTest, BoxesThatOverlapThemselvesAreRefused) {
  Open();
  Post(wire::MemAlloc(kBase, 4096, 0, 0));
  Post(wire::Fill(kBase, 0, 0, 1, 1, 1ull << 40, 1, 1, 0, 0));
  Check([this] { EXPECT_EQ(channel_.error(), static_cast<std::uint32_t>(kDeviceInvalidValue)); });
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_EQ(channel_.completed(0), 3u);
}

TEST_F(SessionTest, AWaitMeansTheRecordBeforeIt) {
  Open();
  Post(wire::MemAlloc(kBase, 4096, 0, 0));
  Post(wire::StreamCreate(1, 0, 0, wire::StreamKind::NonBlocking));
  Post(wire::StreamCreate(2, 0, 0, wire::StreamKind::NonBlocking));
  Post(wire::EventCreate(0, 0, 0, 0));
  // Stream 1 is parked for a body, so the record behind it is, and so is stream 2's wait for it.
  Post(wire::Copy(wire::Place(kBase, 0, wire::PlaceKind::Device), wire::Place(9, 0, wire::PlaceKind::Bulk), 10, 1, 0));
  Post(wire::EventRecord(0, 1));
  Post(wire::StreamWaitEvent(2, 0));
  Post(wire::EventRecord(0, 0));
  Check([this] {
    EXPECT_EQ(channel_.completed(0), 9u) << "a record on another stream waits for nothing";
    EXPECT_EQ(channel_.completed(2), 4u) << "the wait forgot what it waits for";
  });
  Do([](ScriptChannel& c) { c.PushBody(9, Bytes(10, 1)); });
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_EQ(channel_.completed(1), 7u);
  EXPECT_EQ(channel_.completed(2), 8u);
}

TEST_F(SessionTest, AHostCallIsDoneBeforeOrAfterItsTurn) {
  Open();
  Check([this] { backend_.HoldAll(true); });
  PostSide(wire::HostDone(7));
  Post(wire::HostCall(7, 0, 0));
  Check([this] { EXPECT_EQ(backend_.host_calls(), 0u); });
  Post(wire::HostCall(8, 0, 0));
  Check([this] { EXPECT_EQ(backend_.host_calls(), 1u); });
  PostSide(wire::HostDone(8));
  Check([this] { EXPECT_EQ(backend_.host_calls(), 0u); });
  EXPECT_EQ(Run().code(), Code::kClosed);
}

TEST_F(SessionTest, AHostCallIsDoneOnce) {
  Open();
  PostSide(wire::HostDone(7));
  PostSide(wire::HostDone(7));
  EXPECT_EQ(Run().code(), Code::kBadFrame);
}

TEST_F(SessionTest, ANumberOfAHostCallIsNotGivenTwice) {
  Open();
  Post(wire::HostCall(7, 0, 0));
  Post(wire::HostCall(7, 0, 0));
  EXPECT_EQ(Run().code(), Code::kBadFrame);
}

TEST_F(SessionTest, NothingComesBehindTheEndOfAStream) {
  Open();
  Post(wire::MemAlloc(kBase, 4096, 0, 0));
  Post(wire::StreamCreate(1, 0, 0, wire::StreamKind::NonBlocking));
  // Parked for a body, and its end behind it.
  Post(wire::Copy(wire::Place(kBase, 0, wire::PlaceKind::Device), wire::Place(9, 0, wire::PlaceKind::Bulk), 10, 1, 0));
  Post(wire::StreamDestroy(1, 0));
  Post(wire::StreamDestroy(1, 0));
  Do([](ScriptChannel& c) { c.PushBody(9, Bytes(10, 1)); });
  EXPECT_EQ(Run().code(), Code::kBadFrame);
}

TEST_F(SessionTest, AStreamIsDestroyedWhateverOtherStreamsWaitFor) {
  Open();
  Post(wire::MemAlloc(kBase, 4096, 0, 0));
  Post(wire::StreamCreate(1, 0, 0, wire::StreamKind::Blocking));
  // The legacy stream is parked: a blocking stream's commands wait for it, its end does not.
  Post(wire::Copy(wire::Place(kBase, 0, wire::PlaceKind::Device), wire::Place(9, 0, wire::PlaceKind::Bulk), 10, 0, 0));
  Post(wire::StreamDestroy(1, 0));
  Post(wire::StreamCreate(1, 0, 0, wire::StreamKind::NonBlocking));
  Post(wire::Fill(kBase, 0, 0, 8, 1, 1, 1, 1, 1, 0));
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_EQ(channel_.completed(1), 7u);
}

TEST_F(SessionTest, AnAnswerTooLargeForAFrameComesInParts) {
  Open();
  Do([](ScriptChannel& c) { c.PushBody(1, Bytes(10, CheckingBackend::kTalkativeImage)); });
  Post(wire::ModuleLoad(1, 10, 1, 0, 0, 0));
  WaitForAnswers(6);
  EXPECT_EQ(Run().code(), Code::kClosed);
  Bytes body;
  for (std::size_t i = 1; i < channel_.frames_sent(); ++i) {
    const wire::Down& answer = Answer(i);
    EXPECT_EQ(answer.sequence(), 2u);
    const bool is_last = i + 1 == channel_.frames_sent();
    EXPECT_EQ(answer.kind(), is_last ? wire::DownKind::Reply : wire::DownKind::ReplyPart);
    body.insert(body.end(), answer.body()->begin(), answer.body()->end());
  }
  EXPECT_GT(body.size(), limits::kFrameBytesMax);
  flatbuffers::Verifier verifier(body.data(), body.size());
  ASSERT_TRUE(verifier.VerifyBuffer<wire::ModuleInfo>(nullptr));
  EXPECT_EQ(flatbuffers::GetRoot<wire::ModuleInfo>(body.data())->kernels()->size(), 2000u);
}

TEST_F(SessionTest, ShortAnswersSayWhatEachIsAbout) {
  Open();
  for (const std::uint32_t event : {1u, 2u}) {
    Post(wire::EventCreate(event, 0, 1, 0));
    Post(wire::EventRecord(event, 0));
  }
  Post(wire::EventElapsed(1, 2));
  Post(wire::EventElapsed(2, 1));
  Post(wire::EventElapsed(1, 2));
  WaitForAnswers(4);
  EXPECT_EQ(Run().code(), Code::kClosed);
  ASSERT_EQ(channel_.frames_sent(), 4u);
  for (std::size_t i = 1; i < 4; ++i) {
    answers_ = channel_.sent();
    flatbuffers::Verifier verifier(answers_[i].data(), answers_[i].size());
    ASSERT_TRUE(verifier.VerifyBuffer<wire::Down>(nullptr));
    const wire::Down& answer = Answer(i);
    EXPECT_EQ(answer.kind(), wire::DownKind::Reply);
    EXPECT_EQ(answer.sequence(), 5 + i);
    EXPECT_EQ(answer.device_status(), 0u);
    ASSERT_NE(answer.body(), nullptr);
    EXPECT_NE(answer.body()->size(), 0u);
  }
}

}  // namespace
}  // namespace accelmesh
