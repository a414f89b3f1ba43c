// A desk that gives its word of each order, and keeps it, whatever happens to it in between.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "market/ledger/promise.h"
#include "tests/unit/market/desk/trading_world.h"

namespace accelmesh::market {
namespace {

using testing::HasSubstr;

class PromisesDeskTest : public TradingTest {
 protected:
  // Brings an order whose owner wants a promise.
  std::uint64_t Bring(const security::SigningKey& owner, const messages::OrderT& order, std::int64_t wait_us = 0) {
    messages::PlaceOrderT placed = SignOrder(order, owner);
    placed.wait_us = wait_us;
    placed.wants_promise = true;
    return Send(owner, std::move(placed));
  }
  std::vector<ledger::Promise> Promised() {
    std::vector<ledger::Promise> promises;
    for (const messages::PushBodyUnion& push : pushes_) {
      if (push.type != messages::PushBody::OrderTaken) continue;
      Result<ledger::Promise> promise = ledger::ParsePromise(push.AsOrderTaken()->promise);
      EXPECT_TRUE(promise.ok()) << promise.status().ToString();
      if (promise.ok()) promises.push_back(std::move(*promise));
    }
    return promises;
  }
  ledger::Promise AwaitPromise() {
    EXPECT_TRUE(Until([this] { return !Promised().empty(); }));
    const std::vector<ledger::Promise> promises = Promised();
    return promises.empty() ? ledger::Promise() : promises.back();
  }
  messages::OrderT OrderIn(const ledger::Promise& promise) {
    const Result<ledger::SignedOrder> order = VerifyPromise(promise, {ledger::kMarketLog, market_.public_key()});
    EXPECT_TRUE(order.ok()) << order.status().ToString();
    if (!order.ok()) return {};
    return std::move(ReadOrder(order->order, order->signature)).value();
  }
  // By the entries of the ledger on the disk.
  ledger::PromiseVerdict Judge(const ledger::Promise& promise) {
    std::vector<Bytes> entries;
    const std::unique_ptr<ledger::Store> store =
        std::move(ledger::OpenFolder(folder_.Path("ledger"), ledger::Access::kRead)).value();
    const ledger::Store::Content content = store->Load().value();
    const ledger::Tree tree = ledger::Tree::Load(*store, content, nullptr).value();
    for (std::uint64_t i = promise.inclusion.index; i < tree.size(); ++i) entries.push_back(tree.Entry(i).value());
    const Result<ledger::PromiseVerdict> verdict = JudgePromise(promise, entries, ledger::MarketOrders());
    EXPECT_TRUE(verdict.ok()) << verdict.status().ToString();
    return verdict.ok() ? *verdict : ledger::PromiseVerdict();
  }
  // Epochs that only come when somebody waits for them.
  void HoldEpochs(bool hold) {
    change_options_ = [hold](DeskOptions& desk) {
      desk.epoch = hold ? std::chrono::milliseconds(600'000) : std::chrono::milliseconds(20);
    };
    Stop();
    Start();
    ASSERT_EQ(Ask(server_, ServerWith("s", 2, 1, 10)).code, 0);
  }
};

TEST_F(PromisesDeskTest, ABidIsPromisedBeforeItIsServedAndInTheNextEpoch) {
  const messages::OrderT bid = BidOrder(tenants_[0], 200, 5 * reserve_);
  const messages::ReplyT served = Await(Bring(tenants_[0], bid, 1'000'000));
  ASSERT_EQ(served.body.AsGrants()->granted.size(), 1U);
  const std::vector<ledger::Promise> promises = Promised();
  ASSERT_EQ(promises.size(), 1U);
  EXPECT_EQ(OrderIn(promises[0]).operation_id, bid.operation_id);
  EXPECT_EQ(OrderIn(promises[0]).owner, Hex(tenants_[0]));
  EXPECT_EQ(Judge(promises[0]).standing, ledger::Standing::kKept);
  EXPECT_THAT(Judge(promises[0]).text, HasSubstr("it was in epoch"));
  Verify();
  // Who asks for none gets none.
  pushes_.clear();
  EXPECT_EQ(Place(tenants_[0], BidOrder(tenants_[0], 100, 5 * reserve_), 1'000'000).code, 0);
  EXPECT_TRUE(Promised().empty());
}

TEST_F(PromisesDeskTest, AsksChangesAndWithdrawalsArePromisedBeforeTheyAreAnswered) {
  const std::string lease = Lease(tenants_[0], "0.99 TOPS fp32, memory=500B");
  messages::OrderT ask = AskOrder(tenants_[0], lease, 2 * reserve_);
  ask.share_milli = 400;
  ASSERT_EQ(Await(Bring(tenants_[0], ask)).code, 0);
  ASSERT_EQ(Promised().size(), 1U);
  messages::OrderT change = AskOrder(tenants_[0], lease, 3 * reserve_);
  change.share_milli = 300;
  ASSERT_EQ(Await(Bring(tenants_[0], change)).code, 0);
  ASSERT_EQ(Promised().size(), 2U);
  messages::OrderT withdrawal = Order(tenants_[0], messages::OrderKind::Withdrawal);
  withdrawal.lease = lease;
  ASSERT_EQ(Await(Bring(tenants_[0], withdrawal)).code, 0);
  const std::vector<ledger::Promise> promises = Promised();
  ASSERT_EQ(promises.size(), 3U);
  EXPECT_EQ(OrderIn(promises[2]).kind, messages::OrderKind::Withdrawal);
  for (const ledger::Promise& promise : promises) EXPECT_EQ(Judge(promise).standing, ledger::Standing::kOpen);
  // The next epoch has all three, and says that none of them stands.
  ASSERT_EQ(Place(tenants_[1], BidOrder(tenants_[1], 100, 9 * reserve_), 1'000'000).code, 0);
  for (const ledger::Promise& promise : promises) {
    EXPECT_EQ(Judge(promise).standing, ledger::Standing::kKept);
    EXPECT_THAT(Judge(promise).text, HasSubstr("it stands no more, or nobody bid"));
  }
  // One that stands is cleared.
  pushes_.clear();
  ask.number = ++orders_;
  ASSERT_EQ(Await(Bring(tenants_[0], ask)).code, 0);
  ASSERT_EQ(Place(tenants_[1], BidOrder(tenants_[1], 100, 9 * reserve_), 1'000'000).code, 0);
  EXPECT_THAT(Judge(AwaitPromise()).text, HasSubstr("it was in epoch"));
  Verify();
}

TEST_F(PromisesDeskTest, ABidThatTakesNoPartIsInTheLedgerWithTheReason) {
  messages::OrderT bid = BidOrder(tenants_[0], 200, 5 * reserve_);
  bid.class_name = "cuda/of nobody";
  const messages::ReplyT none = Await(Bring(tenants_[0], bid, 100'000));
  EXPECT_THAT(none.body.AsGrants()->gaps.front()->text, HasSubstr("nobody offers that class"));
  const ledger::Promise promise = AwaitPromise();
  EXPECT_THAT(Judge(promise).text, HasSubstr("left it out: nobody offers that class"));
  EXPECT_EQ(Judge(promise).standing, ledger::Standing::kOpen) << "it is due as long as it is valid";
  const std::uint64_t epochs = desk_->counts().epochs;
  EXPECT_LE(epochs, 3U) << "what has no chance is told once, and not four times a second";
  // Its owner waits no more: the next epoch settles it.
  ASSERT_EQ(Place(tenants_[1], BidOrder(tenants_[1], 100, 9 * reserve_), 1'000'000).code, 0);
  EXPECT_EQ(Judge(promise).standing, ledger::Standing::kKept);
  EXPECT_THAT(Judge(promise).text, HasSubstr("its owner waits no more"));
  Verify();
}

TEST_F(PromisesDeskTest, WhatWasPromisedIsClearedAfterACrashByWhoeverLeadsThen) {
  HoldEpochs(true);
  const messages::OrderT bid = BidOrder(tenants_[0], 200, 5 * reserve_);
  const std::uint64_t number = Bring(tenants_[0], bid, 5'000'000);
  const ledger::Promise promise = AwaitPromise();
  EXPECT_FALSE(replies_.contains(number));
  EXPECT_EQ(Judge(promise).standing, ledger::Standing::kOpen);
  // The desk is gone with all that it had in memory, and its owner is not back: the bid is served all the same.
  const std::int64_t owned = Owned();
  HoldEpochs(false);
  ASSERT_TRUE(Until([&] { return desk_->book().active_leases() == 1U; }));
  EXPECT_EQ(Judge(promise).standing, ledger::Standing::kKept);
  EXPECT_EQ(Owned(), owned);
  // When it is back it has what it bought, under other words of the same bid, too.
  messages::OrderT again = bid;
  again.valid_until_ms += 500;
  const messages::ReplyT served = Await(Bring(tenants_[0], again, 1'000'000));
  ASSERT_EQ(served.body.AsGrants()->granted.size(), 1U);
  EXPECT_EQ(desk_->book().active_leases(), 1U);
  Verify();
}

TEST_F(PromisesDeskTest, AfterACrashBetweenSealAndRecordTheNextEpochHasAllOfIt) {
  HoldEpochs(true);
  Bring(tenants_[0], BidOrder(tenants_[0], 200, 5 * reserve_), 5'000'000);
  const ledger::Promise promise = AwaitPromise();
  messages::PlaceOrderT other = SignOrder(BidOrder(tenants_[1], 100, 5 * reserve_), tenants_[1]);
  // Sealed with a bid that nobody was promised, and never recorded.
  const SignedOrderBytes unpromised{{other.order.begin(), other.order.end()},
                                    {other.signature.begin(), other.signature.end()}};
  ASSERT_TRUE(ledger_->Seal(ledger_->last_number() + 1, Now(), {unpromised}, {}).ok());
  HoldEpochs(false);
  ASSERT_TRUE(Until([&] { return desk_->book().active_leases() == 2U; }));
  EXPECT_EQ(Judge(promise).standing, ledger::Standing::kKept);
  const ledger::FolderReport report = Verify();
  EXPECT_EQ(report.facts.seals, report.facts.epochs + 1);
}

TEST_F(PromisesDeskTest, BroughtAgainItIsPromisedAgainAsItWasTaken) {
  HoldEpochs(true);
  messages::OrderT bid = BidOrder(tenants_[0], 200, 5 * reserve_);
  Bring(tenants_[0], bid, 5'000'000);
  const ledger::Promise first = AwaitPromise();
  pushes_.clear();
  bid.valid_until_ms += 1000;
  Bring(tenants_[0], bid, 5'000'000);
  const ledger::Promise again = AwaitPromise();
  EXPECT_EQ(again.entry, first.entry);
  EXPECT_EQ(again.inclusion.index, first.inclusion.index);
}

TEST_F(PromisesDeskTest, ABidOfBeforeThatHasExpiredIsSettledAndStandsNoMore) {
  HoldEpochs(true);
  messages::OrderT bid = BidOrder(tenants_[0], 200, 5 * reserve_);
  bid.valid_until_ms = Now() + 2000;
  Bring(tenants_[0], bid, 5'000'000);
  const ledger::Promise promise = AwaitPromise();
  Stop();
  while (Now() <= bid.valid_until_ms) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  change_options_ = nullptr;
  Start();
  ASSERT_EQ(Ask(server_, ServerWith("s", 2, 1, 10)).code, 0);
  ASSERT_EQ(Place(tenants_[1], BidOrder(tenants_[1], 100, 9 * reserve_), 1'000'000).code, 0);
  EXPECT_EQ(Judge(promise).standing, ledger::Standing::kKept);
  EXPECT_THAT(Judge(promise).text, HasSubstr("the order has expired"));
  EXPECT_EQ(desk_->book().active_leases(), 1U);
  Verify();
}

// A limit of file sizes is a full disk, as far as the ledger is concerned.
TEST_F(PromisesDeskTest, WhileTheLedgerCannotBeWrittenOrdersCountWithoutAPromise) {
  const std::string lease = Lease(tenants_[0], "0.99 TOPS fp32, memory=500B");
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  bool was_quick = false;
  for (int i = 0; i < 10 && !was_quick; ++i) {
    struct stat file{};
    ASSERT_EQ(::stat(folder_.Path("ledger/journal").c_str(), &file), 0);
    const rlimit full{static_cast<rlim_t>(file.st_size) + 10, old.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
    const Instant begun = Clock::now();
    const Result<SealedOrders> sealed = ledger_->Seal(ledger_->last_number() + 1, Now(), {}, {});
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
    ASSERT_FALSE(sealed.ok());
    pushes_.clear();
    ASSERT_EQ(Await(Bring(tenants_[0], AskOrder(tenants_[0], lease, (2 + i) * reserve_))).code, 0);
    // It is tried again half a second after it failed.
    was_quick = Clock::now() - begun < std::chrono::milliseconds(300);
    EXPECT_TRUE(!was_quick || Promised().empty());
    Until([deadline = Deadline::After(std::chrono::milliseconds(600))] { return deadline.passed(); });
  }
  EXPECT_TRUE(was_quick);
  EXPECT_EQ(desk_->book().Asked().size(), 1U);
  pushes_.clear();
  ASSERT_EQ(Await(Bring(tenants_[0], AskOrder(tenants_[0], lease, 20 * reserve_))).code, 0);
  EXPECT_EQ(Promised().size(), 1U);
  ASSERT_EQ(Place(tenants_[1], BidOrder(tenants_[1], 100, 9 * reserve_), 1'000'000).code, 0);
  Verify();
}

// Who changes an ask over and over while nobody bids: the change counts, and others have their promises.
TEST_F(PromisesDeskTest, WhoHasTooManyOrdersThatAreDueIsAnsweredWithoutAPromise) {
  const std::string lease = Lease(tenants_[0], "0.4 TOPS fp32, memory=100B");
  const std::string other = Lease(tenants_[1], "0.4 TOPS fp32, memory=100B");
  std::vector<SignedOrderBytes> changes;
  for (int i = 0; i < 1024; ++i) {
    const messages::PlaceOrderT placed = SignOrder(AskOrder(tenants_[0], lease, 2 * reserve_ + i), tenants_[0]);
    changes.push_back({{placed.order.begin(), placed.order.end()}, {placed.signature.begin(), placed.signature.end()}});
  }
  ASSERT_TRUE(ledger_->Take(changes, Now()).ok());
  ASSERT_EQ(Await(Bring(tenants_[0], AskOrder(tenants_[0], lease, 3 * reserve_))).code, 0);
  EXPECT_EQ(Promised().size(), 0U);
  ASSERT_EQ(Await(Bring(tenants_[1], AskOrder(tenants_[1], other, 3 * reserve_))).code, 0);
  EXPECT_EQ(Promised().size(), 1U);
  EXPECT_EQ(desk_->book().Asked().size(), 2U);
  // After the next epoch the first one has them again.
  ASSERT_EQ(Place(tenants_[2], BidOrder(tenants_[2], 100, 9 * reserve_), 1'000'000).code, 0);
  ASSERT_EQ(Await(Bring(tenants_[0], AskOrder(tenants_[0], lease, 4 * reserve_))).code, 0);
  EXPECT_EQ(Promised().size(), 2U);
  Verify();
}

// A hundred orders of many owners in batches as they come, some brought twice: all are promised and all are kept.
TEST_F(PromisesDeskTest, ManyArePromisedTogetherAndEachIsKept) {
  std::vector<messages::OrderT> bids;
  for (std::size_t i = 0; i < 120; ++i) {
    bids.push_back(BidOrder(tenants_[i % tenants_.size()], 100, reserve_ / 2));
    bids.back().memory_bytes = i % 3 == 0 ? 50 : 0;
    Bring(tenants_[i % tenants_.size()], bids.back(), 100'000);
    if (i % 10 == 0) Bring(tenants_[i % tenants_.size()], bids.back(), 100'000);
    if (i % 40 == 39) Until([deadline = Deadline::After(std::chrono::milliseconds(15))] { return deadline.passed(); });
  }
  ASSERT_TRUE(Until([&] { return Promised().size() == 132; }));
  Until([deadline = Deadline::After(std::chrono::milliseconds(300))] { return deadline.passed(); });
  ASSERT_EQ(Place(tenants_[1], BidOrder(tenants_[1], 100, 9 * reserve_), 1'000'000).code, 0);
  std::set<std::uint64_t> places;
  for (const ledger::Promise& promise : Promised()) {
    places.insert(promise.inclusion.index);
    EXPECT_EQ(Judge(promise).standing, ledger::Standing::kKept) << Judge(promise).text;
  }
  EXPECT_EQ(places.size(), 120U);
  Verify();
}

}  // namespace
}  // namespace accelmesh::market
