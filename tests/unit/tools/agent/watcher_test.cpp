// A watcher before ledgers that are as they should be, that fork, that lose entries, and that do not answer.
#include "tools/agent/watcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include "market/ledger/log.h"
#include "tests/unit/market/ledger/scratch.h"
#include "tests/unit/tools/agent/fake_market.h"

namespace accelmesh::agent {
namespace {

namespace ledger = market::ledger;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A market whose ledger a test writes, and may exchange for another one.
class LedgerMarket : public testing::FakeMarket {
 public:
  explicit LedgerMarket(std::uint8_t key = 1) : key_(key) { log = NewLog(); }
  std::unique_ptr<ledger::Log> NewLog() const {
    return std::move(
               ledger::Log::Open(std::make_unique<ledger::MemoryStore>(), ledger::kMarketLog, ledger::KeyOf(key_)))
        .value();
  }
  void Append(int count, const std::string& what) const {
    std::vector<Bytes> entries;
    for (int i = 0; i < count; ++i)
      entries.push_back(ledger::BytesOf(what + std::to_string(log->size()) + "." + std::to_string(i)));
    ASSERT_TRUE(log->Append(entries).ok());
  }

  Result<std::string> Checkpoint(std::uint64_t old_size, Deadline) override {
    asked_from.push_back(old_size);
    if (is_silent) return Status(Code::kUnavailable, "fake", "nobody answers");
    if (log == nullptr) return Status(Code::kUnsupported, "fake", "this market keeps no ledger");
    const Result<ledger::Extension> extension = log->ProveExtension(std::min(old_size, log->size()));
    if (!extension.ok()) return extension.status();
    return ExtensionText(*extension);
  }
  Status Cosign(std::uint64_t size, const std::string& line, Deadline) override {
    if (size != log->size()) return {Code::kNotFound, "fake", "it went on"};
    lines.push_back(line);
    return Status::Ok();
  }

  std::unique_ptr<ledger::Log> log;
  bool is_silent = false;
  std::vector<std::uint64_t> asked_from;
  std::vector<std::string> lines;

 private:
  const std::uint8_t key_;
};

class WatcherTest : public ::testing::Test {
 protected:
  WatcherTest() : identity_(ledger::KeyOf(9)), market_key_(ledger::KeyOf(1).public_key()) {}
  Watcher NewWatcher() {
    return Watcher(
        market_, market_, [this](const Step& step) { steps_.push_back(step); }, scratch_.Path("witness"), identity_,
        market_key_);
  }
  // A look, when it is due.
  void Look(Watcher& watcher) {
    market_.now_ms = std::max(market_.now_ms, watcher.Tick());
    watcher.Tick();
  }
  std::vector<std::string> Troubles() const {
    std::vector<std::string> texts;
    for (const Step& step : steps_) {
      if (step.is_trouble) texts.push_back(step.text);
    }
    return texts;
  }
  std::string FileIn(const std::string& name) const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(scratch_.Path("witness"))) {
      if (entry.path().filename() == name || (name.front() == '.' && entry.path().extension() == name)) {
        return entry.path().string();
      }
    }
    return "";
  }
  ledger::NamedKey own() const { return {ledger::WitnessNameOf(identity_.public_key()), identity_.public_key()}; }

  const ledger::Scratch scratch_;
  const security::SigningKey identity_;
  const security::PublicKey market_key_;
  LedgerMarket market_;
  std::vector<Step> steps_;
};

TEST_F(WatcherTest, CosignsWhatExtendsWhatItSawAlsoInALaterRun) {
  {
    Watcher watcher = NewWatcher();
    market_.Append(20, "a");
    EXPECT_GT(watcher.Tick(), market_.now_ms) << "not while the program starts";
    EXPECT_THAT(market_.asked_from, IsEmpty());
    Look(watcher);
    EXPECT_EQ(watcher.cosigned(), 20U);
    market_.Append(300, "b");
    Look(watcher);
    EXPECT_EQ(watcher.cosigned(), 320U);
    Look(watcher);
    EXPECT_THAT(market_.lines, SizeIs(2)) << "nothing new";
    for (const std::string& line : {market_.lines.back()}) {
      const auto note = ledger::WithSignature(market_.log->note(), line);
      ASSERT_TRUE(note.ok());
      const ledger::NamedKey witness = own();
      const auto verified = ledger::VerifyCheckpoint(*note, market_.log->key(), {&witness, 1});
      ASSERT_TRUE(verified.ok());
      EXPECT_THAT(verified->cosigners, SizeIs(1));
    }
  }
  Watcher later = NewWatcher();
  market_.Append(1, "c");
  later.End();
  EXPECT_EQ(later.cosigned(), 321U);
  EXPECT_THAT(market_.asked_from, ::testing::ElementsAre(0, 20, 320, 320));
  EXPECT_THAT(Troubles(), IsEmpty());
}

TEST_F(WatcherTest, AForkIsToldOnceAndConvicts) {
  Watcher watcher = NewWatcher();
  market_.Append(20, "a");
  Look(watcher);
  market_.log = market_.NewLog();
  market_.Append(31, "another history");
  Look(watcher);
  EXPECT_TRUE(watcher.has_found_fork());
  Look(watcher);
  watcher.End();
  EXPECT_THAT(market_.lines, SizeIs(1)) << "the first history only";
  ASSERT_THAT(Troubles(), SizeIs(1));
  EXPECT_THAT(Troubles()[0], HasSubstr("THE MARKET HAS SIGNED TWO HISTORIES"));
  const std::string file = FileIn("fork-evidence");
  ASSERT_FALSE(file.empty());
  EXPECT_THAT(Troubles()[0], HasSubstr("slotctl ledger convict " + file + " --log-key accelmesh-market+"));
  const auto evidence = ledger::ParseEvidence(ledger::ReadWhole(file));
  ASSERT_TRUE(evidence.ok());
  EXPECT_TRUE(VerifyFork(*evidence, market_.log->key()).ok());
  // The next run sees it, too.
  steps_.clear();
  Watcher later = NewWatcher();
  Look(later);
  EXPECT_THAT(Troubles(), SizeIs(1));
}

TEST_F(WatcherTest, AForkConvictsAlsoWhereAProofLeavesTheOlderRootOut) {
  Watcher watcher = NewWatcher();
  market_.Append(16, "a");
  Look(watcher);
  market_.log = market_.NewLog();
  market_.Append(17, "b");
  Look(watcher);
  EXPECT_FALSE(watcher.has_found_fork()) << "of the next size nothing shows what it was";
  EXPECT_THAT(Troubles(), SizeIs(1));
  market_.Append(1, "b");
  Look(watcher);
  EXPECT_TRUE(watcher.has_found_fork());
  EXPECT_TRUE(VerifyFork(*ledger::ParseEvidence(ledger::ReadWhole(FileIn("fork-evidence"))), market_.log->key()).ok());
}

TEST_F(WatcherTest, OfOneSizeAndAnotherRootIsAFork) {
  Watcher watcher = NewWatcher();
  market_.Append(20, "a");
  Look(watcher);
  market_.log = market_.NewLog();
  market_.Append(20, "b");
  Look(watcher);
  EXPECT_TRUE(watcher.has_found_fork());
  EXPECT_TRUE(VerifyFork(*ledger::ParseEvidence(ledger::ReadWhole(FileIn("fork-evidence"))), market_.log->key()).ok());
}

TEST_F(WatcherTest, EntriesThatAreMissingAreToldOnceAndNotCosigned) {
  Watcher watcher = NewWatcher();
  market_.Append(20, "a");
  Look(watcher);
  market_.log = market_.NewLog();
  market_.Append(10, "a");
  Look(watcher);
  Look(watcher);
  ASSERT_THAT(Troubles(), SizeIs(1));
  EXPECT_THAT(Troubles()[0], HasSubstr("has 10 entries, and it has signed one of 20"));
  EXPECT_THAT(market_.lines, SizeIs(1));
  EXPECT_FALSE(watcher.has_found_fork());
}

TEST_F(WatcherTest, AMarketThatIsSilentOrHasNoLedgerIsNoTrouble) {
  Watcher watcher = NewWatcher();
  market_.is_silent = true;
  Look(watcher);
  Look(watcher);
  market_.is_silent = false;
  market_.Append(5, "a");
  Look(watcher);
  EXPECT_EQ(watcher.cosigned(), 5U);
  market_.log = nullptr;
  Look(watcher);
  const std::size_t asked = market_.asked_from.size();
  Look(watcher);
  watcher.End();
  EXPECT_EQ(market_.asked_from.size(), asked) << "it has none, and will have none";
  EXPECT_THAT(Troubles(), IsEmpty());
}

TEST_F(WatcherTest, AnotherKeysLedgerDoesNotCount) {
  LedgerMarket other(2);
  other.Append(5, "a");
  market_.log = std::move(other.log);
  Watcher watcher = NewWatcher();
  Look(watcher);
  Look(watcher);
  ASSERT_THAT(Troubles(), SizeIs(1));
  EXPECT_THAT(Troubles()[0], HasSubstr("does not count"));
  EXPECT_THAT(market_.lines, IsEmpty());
}

TEST_F(WatcherTest, OneRunAtATimeJudges) {
  Watcher watcher = NewWatcher();
  market_.Append(5, "a");
  Look(watcher);
  const std::string lock = FileIn("lock");
  const int file = ::open(lock.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(file, LOCK_EX), 0);
  market_.Append(5, "b");
  const std::size_t asked = market_.asked_from.size();
  Look(watcher);
  EXPECT_EQ(market_.asked_from.size(), asked);
  ::close(file);
  Look(watcher);
  EXPECT_EQ(watcher.cosigned(), 10U);
}

TEST_F(WatcherTest, WhoeverHasForgottenWhatHeSignedSignsNoMore) {
  Watcher watcher = NewWatcher();
  market_.Append(5, "a");
  Look(watcher);
  ledger::WriteWhole(FileIn(".note"), "accelmesh-market\n4\n");
  market_.Append(5, "b");
  Look(watcher);
  Look(watcher);
  ASSERT_THAT(Troubles(), SizeIs(1));
  EXPECT_THAT(Troubles()[0], HasSubstr("damaged"));
  EXPECT_THAT(market_.lines, SizeIs(1));
}

TEST_F(WatcherTest, WithoutAFolderItDoesNotWatch) {
  Watcher watcher(market_, market_, [this](const Step& step) { steps_.push_back(step); }, "", identity_, market_key_);
  market_.Append(5, "a");
  Look(watcher);
  watcher.End();
  EXPECT_THAT(market_.asked_from, IsEmpty());
  EXPECT_THAT(steps_, IsEmpty());
}

}  // namespace
}  // namespace accelmesh::agent
