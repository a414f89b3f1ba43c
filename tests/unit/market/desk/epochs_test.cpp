// What the trades of an epoch do to accounts is in the ledger, and is what the epoch cleared.
#include <gmock/gmock.h>

#include <set>

#include "market/ledger/tree.h"
#include "tests/unit/market/desk/trading_world.h"

namespace accelmesh::market {
namespace {

class EpochsTest : public TradingTest {
 protected:
  // Why nothing was sold; empty: something was.
  static std::string WhyNot(const messages::ReplyT& reply) {
    if (reply.code != 0) return reply.text;
    const messages::GrantsT& grants = *reply.body.AsGrants();
    return !grants.granted.empty() ? "" : grants.gaps.empty() ? "no reason" : grants.gaps.front()->text;
  }
  // Until the last epoch's trades are written down.
  ledger::FolderReport Settled() {
    ledger::FolderReport report = Verify();
    for (int i = 0; i < 100 && report.facts.trades_settled < report.facts.trades; ++i) {
      Until([deadline = Deadline::After(std::chrono::milliseconds(20))] { return deadline.passed(); });
      report = Verify();
    }
    return report;
  }
  // Of each trade that was made, by which lane.
  std::multiset<std::string> Lanes() {
    std::multiset<std::string> lanes;
    const messages::ReplyT reply = Ask(tenants_[0], messages::ListEpochsT{});
    for (const auto& epoch : reply.body.AsEpochs()->epochs) {
      for (const auto& trade : epoch->trades) lanes.insert(trade->lane);
    }
    return lanes;
  }
  // What gangs have paid over the reserves, by the ledger.
  std::int64_t Surcharges() {
    std::int64_t sum = 0;
    const std::unique_ptr<ledger::Store> store =
        std::move(ledger::OpenFolder(folder_.Path("ledger"), ledger::Access::kRead)).value();
    const ledger::Tree tree = ledger::Tree::Load(*store, store->Load().value(), nullptr).value();
    for (std::uint64_t i = 0; i < tree.size(); ++i) {
      const ledger::Entry entry = ledger::ParseEntry(tree.Entry(i).value()).value();
      const auto* settlement = std::get_if<ledger::Settlement>(&entry);
      if (settlement == nullptr) continue;
      for (const ledger::SettledBid& bid : settlement->bids) sum += bid.surcharge;
    }
    return sum;
  }
  std::int64_t Pool() const {
    const AccountRecord* const pool = desk_->book().Account(kPoolAccount);
    return pool != nullptr ? pool->balance : 0;
  }
};

TEST_F(EpochsTest, IdleSupplyAPartAndAWholeLeaseAreSettledAsTheyWereCleared) {
  ASSERT_EQ(Place(tenants_[5], BidOrder(tenants_[5], 100, 3 * reserve_), 1'000'000).body.AsGrants()->granted.size(),
            1U);
  EXPECT_EQ(Settled().facts.trades_settled, 1U);
  const std::string part = Lease(tenants_[0], "0.8 TOPS fp32, memory=400B");
  const std::string whole = Lease(tenants_[1], "0.9 TOPS fp32, memory=400B");
  ASSERT_FALSE(part.empty() || whole.empty());
  messages::OrderT ask = AskOrder(tenants_[0], part, reserve_);
  ask.share_milli = 300;
  ASSERT_EQ(Place(tenants_[0], ask).code, 0);
  // So much is free nowhere: a part of what the first one has.
  ASSERT_EQ(Place(tenants_[2], BidOrder(tenants_[2], 250, 4 * reserve_), 1'000'000).body.AsGrants()->granted.size(),
            1U);
  EXPECT_EQ(Settled().facts.trades_settled, 2U);
  ask = AskOrder(tenants_[1], whole, reserve_);
  ask.notice_us = 300'000;
  ASSERT_EQ(Place(tenants_[1], ask).code, 0);
  messages::OrderT bid = BidOrder(tenants_[3], desk_->book().Lease(whole)->share_milli, 5 * reserve_);
  bid.notice_us = 10'000'000;
  ASSERT_EQ(WhyNot(Place(tenants_[3], bid, 2'000'000)), "");
  const ledger::FolderReport report = Settled();
  EXPECT_EQ(report.facts.trades, 3U);
  EXPECT_EQ(report.facts.trades_settled, 3U);
  EXPECT_EQ(report.facts.settlements, 3U);
  EXPECT_TRUE(desk_->book().CountSums().balanced());
}

TEST_F(EpochsTest, ManyAtOnceFromIdleSupplyAreEachSettled) {
  std::vector<std::uint64_t> numbers;
  for (std::size_t i = 0; i < 30; ++i) {
    messages::PlaceOrderT placed = SignOrder(BidOrder(tenants_[i], 20 + 10 * static_cast<std::uint32_t>(i % 3),
                                                      static_cast<std::int64_t>(2 + i % 4) * reserve_),
                                             tenants_[i]);
    placed.wait_us = 2'000'000;
    numbers.push_back(Send(tenants_[i], std::move(placed)));
  }
  for (const std::uint64_t number : numbers) EXPECT_EQ(WhyNot(Await(number)), "");
  const ledger::FolderReport report = Settled();
  EXPECT_GE(report.facts.trades, 20U);
  EXPECT_EQ(report.facts.trades_settled, report.facts.trades);
  EXPECT_EQ(report.facts.credits, Owned());
  EXPECT_EQ(Lanes().count("surrogate"), report.facts.trades) << "two sellers are too few for an auction";
}

TEST_F(EpochsTest, ManyAtOnceByTheAuctionAreEachSettled) {
  // Nothing is idle: what is sold is the parts of twenty sellers.
  for (std::size_t i = 0; i < 20; ++i) {
    const std::string lease = Lease(tenants_[i], "0.1 TOPS fp32, memory=50B");
    ASSERT_FALSE(lease.empty()) << i;
    messages::OrderT ask = AskOrder(tenants_[i], lease, reserve_ + static_cast<std::int64_t>(i));
    ask.share_milli = 50;
    ASSERT_EQ(Place(tenants_[i], ask).code, 0);
  }
  // They are all there when the next epoch begins: the desk does nothing by itself but when it is told the time.
  std::vector<std::uint64_t> numbers;
  for (std::size_t i = 20; i < 36; ++i) {
    messages::PlaceOrderT placed =
        SignOrder(BidOrder(tenants_[i], 50, static_cast<std::int64_t>(3 + i % 4) * reserve_), tenants_[i]);
    placed.wait_us = 500'000;
    numbers.push_back(Send(tenants_[i], std::move(placed)));
  }
  for (const std::uint64_t number : numbers) EXPECT_EQ(Await(number).code, 0);
  const ledger::FolderReport report = Settled();
  EXPECT_GE(Lanes().count("auction"), 10U) << testing::PrintToString(Lanes());
  EXPECT_EQ(report.facts.trades_settled, report.facts.trades);
  EXPECT_EQ(report.facts.credits, Owned());
  EXPECT_TRUE(desk_->book().CountSums().balanced());
}

TEST_F(EpochsTest, AGangIsSettledWithWhatItPaysBeyondTheReserves) {
  messages::OrderT gang = WholeGang(tenants_[0], 2, 9 * reserve_, 1'000'000);
  // A rival makes it pay more than the reserves.
  messages::OrderT rival = gang;
  rival.owner = Hex(tenants_[1]);
  rival.operation_id = MakeOperationId();
  rival.bundles.front()->value_microcredits_per_hour = 7 * reserve_;
  const std::int64_t pool = Pool();
  // No epoch comes between the two: the desk does nothing by itself but when it is told the time (Await()).
  messages::PlaceOrderT placed = SignOrder(rival, tenants_[1]);
  placed.wait_us = 500'000;
  const std::uint64_t second = Send(tenants_[1], std::move(placed));
  placed = SignOrder(gang, tenants_[0]);
  placed.wait_us = 2'000'000;
  const std::uint64_t first = Send(tenants_[0], std::move(placed));
  EXPECT_EQ(WhyNot(Await(first)), "");
  EXPECT_NE(WhyNot(Await(second)), "");
  const ledger::FolderReport report = Settled();
  const std::int64_t surcharge = Surcharges();
  EXPECT_GT(surcharge, 0);
  EXPECT_GE(Pool() - pool, surcharge);
  EXPECT_EQ(report.facts.trades, 2U);
  EXPECT_EQ(report.facts.trades_settled, 2U);
  EXPECT_TRUE(desk_->book().CountSums().balanced());
}

// One device of the two is worth more to somebody than both are to a gang: he has it in gangs' turns, too, and pays
// what the gang would have let him have it for.
TEST_F(EpochsTest, ABidForAWholeDeviceRanksWithGangs) {
  std::size_t beside = 0;
  for (int round = 0; round < 60 && beside < 2; ++round) {
    // No epoch comes between the two: the desk does nothing by itself but when it is told the time (Await()).
    messages::PlaceOrderT placed = SignOrder(WholeGang(tenants_[0], 2, 4 * reserve_, 1'000'000), tenants_[0]);
    placed.wait_us = 50'000;
    const std::uint64_t of_gang = Send(tenants_[0], std::move(placed));
    messages::OrderT bid = BidOrder(tenants_[1], 1000, 9 * reserve_);
    bid.notice_us = 1'000'000;  // of other goods it would have turns of its own
    placed = SignOrder(bid, tenants_[1]);
    placed.wait_us = 2'000'000;
    const messages::ReplyT served = Await(Send(tenants_[1], std::move(placed)));
    ASSERT_EQ(WhyNot(served), "") << round;
    EXPECT_NE(WhyNot(Await(of_gang)), "") << round;
    messages::ReleaseLeaseT release;
    release.operation_id = MakeOperationId();
    release.lease = served.body.AsGrants()->granted.front()->lease->id;
    ASSERT_EQ(Ask(tenants_[1], release).code, 0);
    const messages::ReplyT reply = Ask(tenants_[0], messages::ListEpochsT{});
    beside = 0;
    for (const auto& epoch : reply.body.AsEpochs()->epochs) {
      for (const auto& trade : epoch->trades) {
        if (trade->lane != "gang") continue;
        ++beside;
        EXPECT_GT(trade->price_buyer_microcredits_per_hour, trade->price_seller_microcredits_per_hour);
      }
    }
  }
  EXPECT_GE(beside, 2U) << "turns of gangs and others go by the epoch's number";
  const ledger::FolderReport report = Settled();
  EXPECT_EQ(report.facts.trades_settled, report.facts.trades);
  EXPECT_TRUE(desk_->book().CountSums().balanced());
}

}  // namespace
}  // namespace accelmesh::market
