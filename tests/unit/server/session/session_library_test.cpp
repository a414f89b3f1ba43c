// Functions of NVIDIA's libraries: what a session lets through to its backend, and what ends it.
#include <gtest/gtest.h>

#include "protocol/library/library.h"
#include "protocol/library/packed_words.h"
#include "tests/unit/server/session/session_fixture.h"

namespace accelmesh {
namespace {

class SessionLibraryTest : public SessionTest {
 protected:
  static constexpr std::uint32_t kStream = 1;
  static constexpr std::uint32_t kFunction = 1;
  static constexpr std::uint32_t kUntold = 3;
  static_assert(CheckingBackend::HasFunction(kFunction) && !CheckingBackend::HasFunction(kUntold));

  // Of the function's shape; every word is `word`.
  static Bytes Arguments(std::uint64_t word, std::uint32_t library = kLibraryBlas, std::uint32_t function = kFunction) {
    Bytes arguments(sizeof(word));
    while (!HasLibraryShape(library, function, arguments) &&
           arguments.size() <= (1 + kLibraryWordsMax) * sizeof(word)) {
      const ByteView more = AsBytes(word);
      arguments.insert(arguments.end(), more.begin(), more.end());
    }
    return arguments;
  }
  // The same without the words that are 0, of which there is one; worth it or not.
  static Bytes Packed(const Bytes& arguments) {
    const std::uint64_t count = arguments.size() / sizeof(count);
    EXPECT_LT(count, 64u);
    Bytes packed;
    for (const std::uint64_t word : {kPackedWords | count, (std::uint64_t{1} << count) - 2}) {
      const ByteView bytes = AsBytes(word);
      packed.insert(packed.end(), bytes.begin(), bytes.end());
    }
    packed.insert(packed.end(), arguments.begin() + sizeof(count), arguments.end());
    return packed;
  }
  static Bytes Settings(std::uint8_t value) { return Bytes(16, value); }
  static wire::LibraryCall Call(std::uint32_t settings = 0, std::uint32_t function = kFunction,
                                std::uint32_t library = kLibraryBlas, std::uint32_t stream = kStream) {
    return {library, function, stream, settings};
  }
  // One of the library's that is asked, not run.
  static std::uint32_t AskedFunction() {
    std::uint32_t function = 1;
    while (!CheckingBackend::HasFunction(function) || !IsAsked(kLibraryBlasLt, function)) ++function;
    return function;
  }
  void OpenWithStream() {
    Open();
    Post(wire::StreamCreate(kStream, 0, 0, wire::StreamKind::NonBlocking));
  }
  void OpenWithLibrary() {
    OpenWithStream();
    Post(wire::LibraryOpen(kLibraryBlas, 0));
    Post(wire::LibrarySettings(kLibraryBlas, 0), Settings(7));
  }
  void ExpectsBadFrame() {
    EXPECT_EQ(Run().code(), Code::kBadFrame);
    EXPECT_TRUE(steps_.empty()) << "it ended before the last command";
    EXPECT_TRUE(backend_.TakeLibraryJobs().empty());
  }
  // The answer with that index, behind the opening's.
  const wire::LibraryResult& Result(std::size_t index) {
    const wire::Down& answer = Answer(index);
    EXPECT_EQ(answer.device_status(), 0u);
    flatbuffers::Verifier verifier(answer.body()->data(), answer.body()->size());
    EXPECT_TRUE(verifier.VerifyBuffer<wire::LibraryResult>(nullptr));
    return *flatbuffers::GetRoot<wire::LibraryResult>(answer.body()->data());
  }
};

TEST_F(SessionLibraryTest, TheClientIsToldWhichFunctionsThereAre) {
  Open();
  Post(wire::LibraryOpen(kLibraryBlas, 0));
  EXPECT_EQ(Run().code(), Code::kClosed);
  const wire::Down& answer = Answer(1);
  EXPECT_EQ(answer.device_status(), 0u);
  flatbuffers::Verifier verifier(answer.body()->data(), answer.body()->size());
  ASSERT_TRUE(verifier.VerifyBuffer<wire::LibraryInfo>(nullptr));
  const auto& bits = *flatbuffers::GetRoot<wire::LibraryInfo>(answer.body()->data())->functions();
  EXPECT_TRUE(HasBit({bits.data(), bits.size()}, kFunction));
  EXPECT_FALSE(HasBit({bits.data(), bits.size()}, kUntold));
}

TEST_F(SessionLibraryTest, ABackendWithoutItSaysWhyAndTheSessionGoesOn) {
  backend_.HaveLibraries(false);
  Open();
  Post(wire::LibraryOpen(kLibraryBlas, 0));
  Post(wire::MemAlloc(kBase, 4096, 0, 0));
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_EQ(Answer(1).device_status(), static_cast<std::uint32_t>(kDeviceNotSupported));
  EXPECT_NE(Answer(1).text()->str().find("no such library"), std::string::npos);
  EXPECT_TRUE(steps_.empty());
}

TEST_F(SessionLibraryTest, ALibraryThatIsNone) {
  Open();
  Post(wire::LibraryOpen(1000, 0));
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, ADeviceThatIsNone) {
  Open();
  Post(wire::LibraryOpen(kLibraryBlas, 1));
  ExpectsBadFrame();
}

TEST_F(SessionLibraryTest, AFunctionRunsWithItsWordsAndTheSettingsThatItNames) {
  OpenWithLibrary();
  Post(wire::LibrarySettings(kLibraryBlas, 1), Settings(9));
  Post(Call(1), Arguments(5));
  Post(Call(0), Arguments(6));
  Check([this] {
    EXPECT_EQ(channel_.completed(kStream), sequence_);
    const std::vector<LibraryJob> jobs = backend_.TakeLibraryJobs();
    ASSERT_EQ(jobs.size(), 2u);
    EXPECT_EQ(jobs[0].library, kLibraryBlas);
    EXPECT_EQ(jobs[0].function, kFunction);
    EXPECT_EQ(jobs[0].arguments, Arguments(5));
    EXPECT_EQ(*jobs[0].settings, Settings(9));
    EXPECT_EQ(jobs[1].arguments, Arguments(6));
    EXPECT_EQ(*jobs[1].settings, Settings(7));
  });
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_TRUE(steps_.empty());
}

// Behind a copy whose bytes have not come.
TEST_F(SessionLibraryTest, PackedWordsAreTheWords) {
  OpenWithLibrary();
  Post(Call(), Packed(Arguments(5)));
  Check([this] {
    const std::vector<LibraryJob> jobs = backend_.TakeLibraryJobs();
    ASSERT_EQ(jobs.size(), 1u);
    EXPECT_EQ(jobs[0].arguments, Arguments(5));
  });
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_TRUE(steps_.empty());
}
TEST_F(SessionLibraryTest, PackedWordsThatAreNotWhole) {
  OpenWithLibrary();
  Bytes packed = Packed(Arguments(5));
  packed.resize(packed.size() - 8);
  Post(Call(), packed);
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, PackedWordsOfAnotherShape) {
  OpenWithLibrary();
  Bytes longer = Arguments(5);
  longer.resize(longer.size() + 8, 1);
  Post(Call(), Packed(longer));
  ExpectsBadFrame();
}

TEST_F(SessionLibraryTest, AFunctionWaitsForItsTurn) {
  OpenWithLibrary();
  Post(wire::MemAlloc(kBase, 4096, 0, 0));
  Post(wire::Copy(wire::Place(kBase, 0, wire::PlaceKind::Device), wire::Place(9, 0, wire::PlaceKind::Bulk), 10, kStream,
                  0));
  Post(Call(), Arguments(5));
  Post(wire::LibrarySettings(kLibraryBlas, 1), Settings(9));
  Check([this] { EXPECT_TRUE(backend_.TakeLibraryJobs().empty()); });
  Do([](ScriptChannel& c) { c.PushBody(9, Bytes(10, 1)); });
  Check([] {});
  Check([this] {
    const std::vector<LibraryJob> jobs = backend_.TakeLibraryJobs();
    ASSERT_EQ(jobs.size(), 1u);
    EXPECT_EQ(*jobs[0].settings, Settings(7));
  });
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_TRUE(steps_.empty());
}

TEST_F(SessionLibraryTest, AResultComesWhenTheFunctionHasRun) {
  OpenWithLibrary();
  Do([this](ScriptChannel&) { backend_.HoldAll(true); });
  Post(wire::LibraryQuery(kLibraryBlas, kFunction, kStream, 0), Arguments(5));
  Check([this] { EXPECT_EQ(channel_.frames_sent(), 2u) << "the opening's and the library's"; });
  Do([this](ScriptChannel&) { backend_.CompleteSome(kStream, 1); });
  Check([this] { EXPECT_EQ(channel_.completed(kStream), sequence_); });
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_EQ(Answer(2).sequence(), sequence_);
  EXPECT_EQ(Result(2).status(), kFunction);
  ASSERT_EQ(Result(2).results()->size(), 8u);
  EXPECT_EQ(Result(2).results()->Get(0), 5);
}

TEST_F(SessionLibraryTest, WhatIsAskedDoesNotWaitForStreams) {
  const std::uint32_t asked = AskedFunction();
  OpenWithStream();
  Post(wire::LibraryOpen(kLibraryBlasLt, 0));
  Post(wire::MemAlloc(kBase, 4096, 0, 0));
  for (const std::uint32_t stream : {0u, kStream}) {
    Post(wire::Copy(wire::Place(kBase, 0, wire::PlaceKind::Device), wire::Place(9 + stream, 0, wire::PlaceKind::Bulk),
                    10, stream, 0));
  }
  Post(wire::LibraryAsk(kLibraryBlasLt, asked, 0, 0), Arguments(5, kLibraryBlasLt, asked));
  Post(wire::LibraryAsk(kLibraryBlasLt, asked, 0, 0), Arguments(0, kLibraryBlasLt, asked));
  Check([this] { EXPECT_EQ(channel_.frames_sent(), 4u); });
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_EQ(Result(2).status(), asked);
  EXPECT_EQ(Result(2).results()->Get(0), 5);
  EXPECT_EQ(Answer(3).device_status(), static_cast<std::uint32_t>(kDeviceNotSupported));
  EXPECT_EQ(Answer(3).text()->str(), "nothing to say");
}

class SessionMemoryTest : public SessionLibraryTest {
 protected:
  SessionMemoryTest() {
    backend_.IdentifyLibraries(kIdentity);
    memory_ = &remembered_;
  }
  Bytes Question(std::uint64_t word) const { return Arguments(word, kLibraryBlasLt, asked_); }
  void OpenAndAsk(const std::vector<Bytes>& questions) {
    Open();
    Post(wire::LibraryOpen(kLibraryBlasLt, 0));
    for (const Bytes& question : questions) Post(wire::LibraryAsk(kLibraryBlasLt, asked_, 0, 0), question);
  }
  // What the client is told when it opens the library, if that comes first.
  const wire::LibraryInfo& Info() {
    const wire::Down& answer = Answer(1);
    flatbuffers::Verifier verifier(answer.body()->data(), answer.body()->size());
    EXPECT_TRUE(verifier.VerifyBuffer<wire::LibraryInfo>(nullptr));
    return *flatbuffers::GetRoot<wire::LibraryInfo>(answer.body()->data());
  }
  static Bytes BytesOf(const flatbuffers::Vector<std::uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

  static constexpr const char* kIdentity = "checking 1";
  const std::uint32_t asked_ = AskedFunction();
  LibraryMemory remembered_{""};
};

TEST_F(SessionMemoryTest, WhatWasAnsweredIsNotAskedAgain) {
  OpenAndAsk({Question(5), Question(5), Question(6)});
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_EQ(backend_.asked(), 2u);
  EXPECT_EQ(Result(2).results()->Get(0), 5);
  EXPECT_EQ(Result(3).results()->Get(0), 5);
  EXPECT_EQ(Result(3).status(), 0u);
  EXPECT_EQ(Result(4).results()->Get(0), 6);
}

TEST_F(SessionMemoryTest, TheNextClientIsToldWhatNeedNotBeAsked) {
  remembered_.Keep(kIdentity, asked_, Question(5), {0, Bytes(8, 5)});
  remembered_.Keep(kIdentity, asked_ + 1, Bytes(24, 1), {15, {}});
  remembered_.Keep("checking 2", asked_, Question(6), {0, Bytes(8, 6)});
  OpenAndAsk({});
  EXPECT_EQ(Run().code(), Code::kClosed);
  const auto& answers = *Info().answers();
  ASSERT_EQ(answers.size(), 2u) << "those of that identity";
  EXPECT_EQ(answers[0]->function(), asked_ + 1) << "the last first";
  EXPECT_EQ(answers[0]->status(), 15u);
  EXPECT_EQ(BytesOf(*answers[0]->question()), Bytes(24, 1));
  EXPECT_EQ(answers[1]->function(), asked_);
  EXPECT_EQ(BytesOf(*answers[1]->question()), Question(5)) << "nothing in it is 0";
  EXPECT_EQ(BytesOf(*answers[1]->results()), Bytes(8, 5));
}

TEST_F(SessionMemoryTest, QuestionsThatAreMostlyZerosArePacked) {
  Bytes question(100 * sizeof(std::uint64_t));
  question[80] = 7;
  remembered_.Keep(kIdentity, asked_, question, {0, {}});
  OpenAndAsk({});
  EXPECT_EQ(Run().code(), Code::kClosed);
  ASSERT_EQ(Info().answers()->size(), 1u);
  const Bytes told = BytesOf(*Info().answers()->Get(0)->question());
  EXPECT_LT(told.size(), 64u);
  ASSERT_TRUE(IsPacked(told));
  EXPECT_EQ(*UnpackWords(told), question);
}

TEST_F(SessionMemoryTest, NoMoreIsToldThanAClientTakes) {
  constexpr std::size_t kResults = LibraryMemory::kResultBytesMax;
  constexpr std::size_t kFit = limits::kRememberedBytesMax / kResults;
  for (std::uint64_t i = 0; i < 2 * kFit; ++i) remembered_.Keep(kIdentity, asked_, AsBytes(i), {0, Bytes(kResults)});
  OpenAndAsk({});
  EXPECT_EQ(Run().code(), Code::kClosed);
  const auto& answers = *Info().answers();
  EXPECT_EQ(answers.size(), kFit - 1) << "of each there is a question, too";
  EXPECT_EQ(answers[0]->question()->Get(0), 2 * kFit - 1);
  EXPECT_LE(Answer(1).body()->size(), limits::kRememberedBytesMax + 1024);
}

TEST_F(SessionMemoryTest, WhatFailedThisTimeIsAskedAgain) {
  OpenAndAsk({Question(1), Question(1), Question(0), Question(0)});
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_EQ(backend_.asked(), 4u);
  EXPECT_EQ(Result(2).status(), 1u);
  EXPECT_TRUE(remembered_.All(kIdentity).empty());
}

// They would be unpacked by who is handed them, and be another question's answer.
TEST_F(SessionMemoryTest, QuestionsThatLookPackedAreForgotten) {
  Bytes question = Question(5);
  const std::uint64_t flags = kPackedWords | 2;
  std::memcpy(question.data(), &flags, sizeof(flags));
  OpenAndAsk({question, question});
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_EQ(backend_.asked(), 2u);
  EXPECT_TRUE(remembered_.All(kIdentity).empty());
}

TEST_F(SessionMemoryTest, NothingIsRememberedOfWhatHasNoIdentity) {
  backend_.IdentifyLibraries("");
  OpenAndAsk({Question(5), Question(5)});
  EXPECT_EQ(Run().code(), Code::kClosed);
  EXPECT_EQ(backend_.asked(), 2u);
  EXPECT_TRUE(remembered_.All("").empty());
  EXPECT_EQ(Info().answers()->size(), 0u);
}

// Remembered or not, what a session lets through is checked first.
TEST_F(SessionMemoryTest, AQuestionOfAnotherShapeEndsTheSession) {
  Bytes shorter = Question(5);
  shorter.resize(shorter.size() - 8);
  remembered_.Keep(kIdentity, asked_, shorter, {0, {}});
  OpenAndAsk({shorter});
  ExpectsBadFrame();
}

TEST_F(SessionLibraryTest, AGraphHoldsFunctions) {
  OpenWithLibrary();
  const auto define = [this](std::uint64_t word, std::uint32_t settings) {
    const Bytes arguments = Arguments(word);
    const Bytes frame = FrameOf(0, static_cast<std::uint16_t>(CommandId::kLibraryCall),
                                AsBytes(Call(settings, kFunction, kLibraryBlas, 0)), arguments);
    Post(wire::GraphDefine(0, 1, 0, 1), ByteView(frame).subspan(sizeof(FrameHeaderValue)));
  };
  define(5, 0);
  Check([this] { EXPECT_TRUE(backend_.TakeLibraryJobs().empty()); });
  for (int launch = 0; launch < 2; ++launch) {
    Post(wire::GraphLaunch(0, kStream, 0, 1));
    Check([this, at = sequence_] {
      const std::vector<LibraryJob> jobs = backend_.TakeLibraryJobs();
      ASSERT_EQ(jobs.size(), 1u);
      EXPECT_EQ(jobs[0].arguments, Arguments(5));
      EXPECT_EQ(*jobs[0].settings, Settings(7));
      EXPECT_EQ(channel_.completed(kStream), at);
      EXPECT_EQ(channel_.completed(0), 0u) << "the stream of a definition means nothing";
    });
  }
  // Checked at the launch, as commands are.
  define(5, 1);
  Post(wire::GraphLaunch(0, kStream, 0, 1));
  ExpectsBadFrame();
}

TEST_F(SessionLibraryTest, AFunctionOfALibraryThatIsNotOpen) {
  OpenWithStream();
  Post(wire::LibrarySettings(kLibraryBlas, 0), Settings(7));
  Post(Call(), Arguments(5));
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, AFunctionThatTheClientWasNotToldOf) {
  OpenWithLibrary();
  Post(Call(0, kUntold), Arguments(5, kLibraryBlas, kUntold));
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, AFunctionPastTheLast) {
  OpenWithLibrary();
  Post(Call(0, 0xfffffffc), Arguments(5));
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, ArgumentsOfAnotherShape) {
  OpenWithLibrary();
  Bytes shorter = Arguments(5);
  shorter.resize(shorter.size() - sizeof(std::uint64_t));
  Post(Call(), shorter);
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, AStreamThatIsNone) {
  OpenWithLibrary();
  Post(Call(0, kFunction, kLibraryBlas, 17), Arguments(5));
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, SettingsThatWereNeverTold) {
  OpenWithLibrary();
  Post(Call(1), Arguments(5));
  ExpectsBadFrame();
}
// Each library has its own.
TEST_F(SessionLibraryTest, SettingsOfAnotherLibrary) {
  OpenWithStream();
  Post(wire::LibraryOpen(kLibraryBlas, 0));
  Post(wire::LibrarySettings(kLibraryBlasLt, 0), Settings(7));
  Post(Call(), Arguments(5));
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, WhatIsAskedIsNoCommandOfAStream) {
  const std::uint32_t asked = AskedFunction();
  OpenWithStream();
  Post(wire::LibraryOpen(kLibraryBlasLt, 0));
  Post(wire::LibrarySettings(kLibraryBlasLt, 0), Settings(7));
  Post(Call(0, asked, kLibraryBlasLt), Arguments(5, kLibraryBlasLt, asked));
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, WhatRunsInAStreamIsNotAsked) {
  OpenWithLibrary();
  Post(wire::LibraryAsk(kLibraryBlas, kFunction, 0, 0), Arguments(5));
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, WhatIsAskedOfADeviceThatIsNone) {
  const std::uint32_t asked = AskedFunction();
  Open();
  Post(wire::LibraryOpen(kLibraryBlasLt, 0));
  Post(wire::LibraryAsk(kLibraryBlasLt, asked, 1, 0), Arguments(5, kLibraryBlasLt, asked));
  ExpectsBadFrame();
}

TEST_F(SessionLibraryTest, SettingsOfNoLibrary) {
  Open();
  Post(wire::LibrarySettings(1000, 0), Settings(7));
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, SettingsOutOfOrder) {
  Open();
  Post(wire::LibrarySettings(kLibraryBlas, 1), Settings(7));
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, SettingsToldTwice) {
  Open();
  Post(wire::LibrarySettings(kLibraryBlas, 0), Settings(7));
  Post(wire::LibrarySettings(kLibraryBlas, 0), Settings(7));
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, SettingsThatAreNoWords) {
  Open();
  Post(wire::LibrarySettings(kLibraryBlas, 0), Bytes(12));
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, SettingsPastTheLimit) {
  Open();
  Post(wire::LibrarySettings(kLibraryBlas, 0), Bytes(limits::kLibrarySettingsBytesMax));
  Post(wire::LibrarySettings(kLibraryBlas, 1), Bytes(limits::kLibrarySettingsBytesMax + 8));
  ExpectsBadFrame();
}
TEST_F(SessionLibraryTest, MoreSettingsThanASessionHolds) {
  Open();
  for (std::uint32_t i = 0; i <= limits::kLibrarySettingsMax; ++i)
    Post(wire::LibrarySettings(kLibraryBlas, i), Settings(7));
  ExpectsBadFrame();
}

}  // namespace
}  // namespace accelmesh
