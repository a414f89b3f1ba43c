// Promises that are kept, and each way of breaking one: shown by what the log itself has signed.
#include "market/ledger/promise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "market/ledger/folder_store.h"
#include "market/ledger/market_orders.h"
#include "market/ledger/promise_reader.h"
#include "tests/unit/market/ledger/epoch_world.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

using testing::HasSubstr;

class PromiseTest : public testing::Test {
 protected:
  PromiseTest() : world_(std::move(OpenFolder(scratch_.Path("ledger"), Access::kAppend)).value(), 3) {
    world_.has_promises = true;
    world_.PostAsks(5);
    world_.RunEpoch(4);
  }
  std::vector<Bytes> EntriesFrom(std::uint64_t first) {
    std::vector<Bytes> entries;
    for (std::uint64_t i = first; i < world_.ledger().log().size(); ++i) {
      entries.push_back(world_.ledger().log().Entry(i).value());
    }
    return entries;
  }
  PromiseVerdict Judge(const Promise& promise) {
    const Result<PromiseVerdict> verdict = JudgePromise(promise, EntriesFrom(promise.inclusion.index), MarketOrders());
    EXPECT_TRUE(verdict.ok()) << verdict.status().ToString();
    return verdict.ok() ? *verdict : PromiseVerdict();
  }
  BrokenPromise EvidenceOf(const Promise& promise) {
    BrokenPromise evidence{promise, EntriesFrom(promise.inclusion.index), {}};
    evidence.entries.resize(Judge(promise).entries);
    evidence.extension =
        world_.ledger().log().ProveExtension(promise.inclusion.index + evidence.entries.size()).value();
    return evidence;
  }
  // What verifying all of the folder finds.
  std::string Fault() {
    const Result<FolderReport> report = VerifyFolder(scratch_.Path("ledger"), world_.check(), MarketOrders());
    EXPECT_TRUE(report.ok()) << report.status().ToString();
    return !report.ok() || report->discrepancy.ok() ? "" : report->place + ": " + report->discrepancy.text();
  }
  const NamedKey log_ = NamedKeyOf(EpochWorld::kOrigin, 1);
  const Scratch scratch_;
  EpochWorld world_;
};

TEST_F(PromiseTest, OneThatIsKeptIsSoAndTheLedgerHolds) {
  const std::uint64_t bid = world_.TakeBid(1);
  const Promise promise = world_.PromiseOf(bid);
  const Result<SignedOrder> order = VerifyPromise(promise, log_);
  ASSERT_TRUE(order.ok()) << order.status().ToString();
  EXPECT_EQ(MarketOrders().Read(*order)->owner, world_.tenant(1).public_key());
  EXPECT_EQ(Judge(promise).standing, Standing::kOpen);
  world_.RunEpoch(3);
  const PromiseVerdict verdict = Judge(promise);
  EXPECT_EQ(verdict.standing, Standing::kKept);
  EXPECT_EQ(verdict.epoch, 2u);
  EXPECT_EQ(verdict.text, "it was in epoch 2");
  EXPECT_EQ(Fault(), "");
  // What is said of it can be shown to others, too.
  EXPECT_EQ(JudgeEvidence(EvidenceOf(promise), log_, MarketOrders())->standing, Standing::kKept);
}

TEST_F(PromiseTest, ADroppedOrderIsProvenByTheLogItself) {
  world_.TakeBid(0);
  const std::uint64_t bid = world_.TakeBid(1);
  world_.TakeBid(2);
  const Promise promise = world_.PromiseOf(bid);
  world_.drops = {bid};
  world_.RunEpoch(3);
  world_.drops.clear();
  world_.RunEpoch(3);
  const PromiseVerdict verdict = Judge(promise);
  EXPECT_EQ(verdict.standing, Standing::kBroken);
  EXPECT_EQ(verdict.epoch, 2u);
  EXPECT_THAT(Fault(), HasSubstr("epoch 2: the order at entry " + std::to_string(bid) + " was taken before"));

  const BrokenPromise evidence = EvidenceOf(promise);
  const std::string text = BrokenPromiseText(evidence);
  const Result<BrokenPromise> read = ParseBrokenPromise(text);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(BrokenPromiseText(*read), text);
  const Result<PromiseVerdict> judged = JudgeEvidence(*read, log_, MarketOrders());
  ASSERT_TRUE(judged.ok()) << judged.status().ToString();
  EXPECT_EQ(judged->standing, Standing::kBroken);
  EXPECT_THAT(judged->text, HasSubstr("epoch 2 was sealed after the market had taken the order"));
}

TEST_F(PromiseTest, AnOrderThatIsLeftOutForNowIsDueUntilItIsCleared) {
  const std::uint64_t bid = world_.TakeBid(1);
  const Promise promise = world_.PromiseOf(bid);
  world_.leaves_out = {{bid, LeftOut::kGoods}};
  world_.RunEpoch(3);
  EXPECT_EQ(Judge(promise).standing, Standing::kOpen);
  EXPECT_THAT(Judge(promise).text, HasSubstr("epoch 2 left it out: bids with another memory"));
  world_.RunEpoch(3);
  world_.leaves_out.clear();
  world_.RunEpoch(3);
  EXPECT_EQ(Judge(promise).text, "it was in epoch 4");
  EXPECT_EQ(Fault(), "");

  const std::uint64_t other = world_.TakeBid(2);
  world_.leaves_out = {{other, LeftOut::kAccount}};
  world_.RunEpoch(1);
  world_.drops = {other};
  world_.RunEpoch(1);
  EXPECT_EQ(Judge(world_.PromiseOf(other)).standing, Standing::kBroken);
  EXPECT_THAT(Fault(), HasSubstr("epoch 6: the order at entry " + std::to_string(other)));
}

TEST_F(PromiseTest, AReasonThatWhatWasSignedBeliesBreaksIt) {
  for (const LeftOut why : {LeftOut::kExpired, LeftOut::kNotOffered, LeftOut::kPartsTurn}) {
    const std::uint64_t bid = world_.TakeBid(1);
    const Promise promise = world_.PromiseOf(bid);
    world_.leaves_out = {{bid, why}};
    world_.RunEpoch(2);
    EXPECT_EQ(Judge(promise).standing, Standing::kBroken) << Name(why);
    EXPECT_THAT(Fault(), HasSubstr("the order at entry "));
  }
  const std::uint64_t bid = world_.TakeBid(1);
  world_.leaves_out = {{bid, LeftOut::kOver}};
  world_.RunEpoch(2);
  EXPECT_EQ(Judge(world_.PromiseOf(bid)).standing, Standing::kKept) << "the market's word, which its owner sees";
}

TEST_F(PromiseTest, AnEpochThatWasSealedAndNotRecordedSettlesNothing) {
  const std::uint64_t bid = world_.TakeBid(1);
  world_.leaves_out = {{bid, LeftOut::kGoods}};
  world_.MakeEpoch(2, 0);
  EXPECT_EQ(Judge(world_.PromiseOf(bid)).standing, Standing::kOpen);
  world_.leaves_out.clear();
  // The bids that were new in it are due as well.
  world_.RunEpoch(2);
  EXPECT_EQ(Judge(world_.PromiseOf(bid)).standing, Standing::kKept);
  EXPECT_THAT(Fault(), HasSubstr("was taken before it was sealed"));
}

TEST_F(PromiseTest, ALedgerOfBeforePromisesHoldsAndMayBeContinued) {
  world_.has_promises = false;
  Scratch old;
  EpochWorld world(std::move(OpenFolder(old.Path("ledger"), Access::kAppend)).value(), 5);
  world.PostAsks(4);
  world.RunEpoch(5);
  // One that no epoch ever had.
  const SignedOrder bid = world.MakeBid(1);
  ASSERT_TRUE(world.ledger().Post({&bid, 1}).ok());
  world.RunEpoch(5);
  world.has_promises = true;
  world.RunEpoch(5);
  Result<FolderReport> report = VerifyFolder(old.Path("ledger"), world.check(), MarketOrders());
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->discrepancy.ok()) << report->discrepancy.ToString();
  world.has_promises = false;
  world.RunEpoch(5);
  report = VerifyFolder(old.Path("ledger"), world.check(), MarketOrders());
  EXPECT_THAT(report->discrepancy.text(), HasSubstr("does not say which orders were due, and one before does"));
}

TEST_F(PromiseTest, NobodyElseCanMakeOneAndNobodyCanChangeOne) {
  const std::uint64_t bid = world_.TakeBid(1);
  const std::uint64_t next = world_.TakeBid(2);
  const Promise promise = world_.PromiseOf(bid);
  EXPECT_EQ(VerifyPromise(promise, NamedKeyOf(EpochWorld::kOrigin, 2)).code(), Code::kPermissionDenied);
  Promise other = promise;
  other.entry = world_.PromiseOf(next).entry;
  EXPECT_EQ(VerifyPromise(other, log_).code(), Code::kPermissionDenied);
  other = promise;
  other.inclusion.index = next;
  EXPECT_FALSE(VerifyPromise(other, log_).ok());
  // An entry that is no order.
  world_.RunEpoch(1);
  const std::uint64_t seal = world_.ledger().log().size() - 2;
  EXPECT_EQ(VerifyPromise(world_.PromiseOf(seal), log_).code(), Code::kBadFrame);
}

TEST_F(PromiseTest, EvidenceThatTheLogHasNotSignedShowsNothing) {
  const std::uint64_t bid = world_.TakeBid(1);
  const Promise promise = world_.PromiseOf(bid);
  world_.RunEpoch(3);
  const BrokenPromise honest = EvidenceOf(promise);
  // Somebody forges an epoch without the order, and everything else as it was.
  EpochWorld forger(std::make_unique<MemoryStore>(), 3);
  forger.has_promises = true;
  forger.drops = {bid};
  forger.PostAsks(5);
  forger.RunEpoch(4);
  forger.TakeBid(1);
  forger.RunEpoch(3);
  BrokenPromise forged = honest;
  for (std::uint64_t i = 1; i < forged.entries.size(); ++i) {
    forged.entries[i] = forger.ledger().log().Entry(bid + i).value();
  }
  EXPECT_EQ(JudgePromise(promise, forged.entries, MarketOrders())->standing, Standing::kBroken);
  EXPECT_EQ(JudgeEvidence(forged, log_, MarketOrders()).code(), Code::kPermissionDenied);
  for (std::size_t entry = 0; entry < honest.entries.size(); ++entry) {
    BrokenPromise changed = honest;
    changed.entries[entry].back() ^= 1;
    EXPECT_FALSE(JudgeEvidence(changed, log_, MarketOrders()).ok()) << entry;
  }
  BrokenPromise shorter = honest;
  shorter.entries.erase(shorter.entries.begin() + 1);
  EXPECT_FALSE(JudgeEvidence(shorter, log_, MarketOrders()).ok());
  shorter.extension = world_.ledger().log().ProveExtension(bid + shorter.entries.size()).value();
  EXPECT_EQ(JudgeEvidence(shorter, log_, MarketOrders()).code(), Code::kPermissionDenied);
}

// As MarketOrders, and counts.
class CountedOrders final : public OrderReader {
 public:
  Result<OrderTerms> Read(const SignedOrder& order) const override {
    ++read_;
    return MarketOrders().Read(order);
  }
  int read() const { return read_; }

 private:
  mutable int read_ = 0;
};

TEST_F(PromiseTest, ReadInPiecesItIsJudgedOnceAndAsAWhole) {
  const std::uint64_t bid = world_.TakeBid(1);
  const Promise promise = world_.PromiseOf(bid);
  world_.TakeBid(2);
  world_.drops = {bid};
  world_.RunEpoch(3);
  world_.RunEpoch(3);
  const Log& log = world_.ledger().log();
  std::vector<std::uint64_t> asked;
  std::uint64_t end = bid;
  const auto read = [&](std::uint64_t first) -> Result<std::vector<Bytes>> {
    asked.push_back(first);
    if (first >= end) return std::vector<Bytes>();
    return std::vector<Bytes>{log.Entry(first).value()};
  };
  const CountedOrders orders;
  PromiseReader reader(promise, orders);
  ASSERT_TRUE(reader.ReadOn(read, 1U << 20).ok());
  EXPECT_EQ(reader.verdict()->text, "no epoch that was recorded since may be read yet");
  // Some more can be read, later all of it.
  end = bid + 2;
  ASSERT_TRUE(reader.ReadOn(read, 1U << 20).ok());
  EXPECT_EQ(reader.verdict()->text, "no epoch was recorded since");
  end = log.size();
  ASSERT_TRUE(reader.ReadOn(read, 1U << 20).ok());
  const PromiseVerdict whole = Judge(promise);
  EXPECT_EQ(reader.verdict()->standing, Standing::kBroken);
  EXPECT_EQ(reader.verdict()->text, whole.text);
  EXPECT_EQ(reader.verdict()->entries, whole.entries);
  EXPECT_EQ(orders.read(), 1);
  for (std::size_t i = 1; i < asked.size(); ++i) EXPECT_LE(asked[i] - asked[i - 1], 1U) << "each once, in their order";
  EXPECT_EQ(asked.back(), bid + whole.entries - 1) << "nothing behind the epoch that decides";
  BrokenPromise evidence = reader.Evidence();
  evidence.extension = log.ProveExtension(bid + evidence.entries.size()).value();
  EXPECT_EQ(JudgeEvidence(evidence, log_, orders)->standing, Standing::kBroken);
}

TEST_F(PromiseTest, AReaderEndsWithItsBytesWithAContradictionAndWithWhoeverIsRead) {
  const std::uint64_t bid = world_.TakeBid(1);
  const Promise promise = world_.PromiseOf(bid);
  for (int i = 0; i < 5; ++i) world_.TakeBid(2);
  const Log& log = world_.ledger().log();
  const MarketOrders orders;
  int asked = 0;
  const auto read = [&](std::uint64_t first) -> Result<std::vector<Bytes>> {
    ++asked;
    return std::vector<Bytes>{log.Entry(first).value()};
  };
  PromiseReader bounded(promise, orders);
  ASSERT_TRUE(bounded.ReadOn(read, promise.entry.size() + 1).ok());
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(bounded.verdict()->standing, Standing::kOpen);

  asked = 0;
  PromiseReader contradicted(promise, orders);
  ASSERT_TRUE(contradicted.ReadOn([&](std::uint64_t first) { return read(first + 1); }, 1U << 20).ok());
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(contradicted.verdict().code(), Code::kPermissionDenied);
  EXPECT_TRUE(contradicted.ReadOn(read, 1U << 20).ok());
  EXPECT_EQ(asked, 1) << "there is nothing more to be known";

  PromiseReader silent(promise, orders);
  const auto none = [](std::uint64_t) -> Result<std::vector<Bytes>> {
    return Status(Code::kUnavailable, "test", "no");
  };
  EXPECT_EQ(silent.ReadOn(none, 1U << 20).code(), Code::kUnavailable);
}

TEST_F(PromiseTest, CutOffOrFlippedTextsAreRefusedOrOthers) {
  const std::uint64_t bid = world_.TakeBid(1);
  const std::string promise = PromiseText(world_.PromiseOf(bid));
  EXPECT_EQ(PromiseText(ParsePromise(promise).value()), promise);
  world_.drops = {bid};
  world_.RunEpoch(1);
  const std::string evidence = BrokenPromiseText(EvidenceOf(world_.PromiseOf(bid)));
  for (const std::string* text : {&promise, &evidence}) {
    const auto written = [&](const std::string& bytes) -> std::string {
      if (text == &promise) {
        const Result<Promise> read = ParsePromise(bytes);
        return read.ok() ? PromiseText(*read) : "";
      }
      const Result<BrokenPromise> read = ParseBrokenPromise(bytes);
      return read.ok() ? BrokenPromiseText(*read) : "";
    };
    for (std::size_t size = 0; size < text->size(); ++size) EXPECT_EQ(written(text->substr(0, size)), "") << size;
    for (std::size_t at = 0; at < text->size(); ++at) {
      std::string other = *text;
      other[at] = static_cast<char>(other[at] ^ 1);
      const std::string again = written(other);
      EXPECT_TRUE(again.empty() || again == other) << "one way to write it: " << at;
    }
  }
}

}  // namespace
}  // namespace accelmesh::market::ledger
