// Trades on a book, next to sums that are worked out by hand, and at random next to a reference that knows nothing of
// the book: what there is of credits and of each slot, added up anew.
#include "market/core/trade.h"

#include <gmock/gmock.h>

#include <map>
#include <random>

#include "market/core/accounts.h"
#include "market/core/grant.h"
#include "market/core/registrations.h"
#include "scheduler/core/request_text.h"

namespace accelmesh::market {
namespace {

using testing::HasSubstr;

const std::string kSeller(64, 'a');
const std::string kBuyer(64, 'b');
const std::string kThird(64, 'd');
const std::string kServer(64, 'c');
constexpr std::int64_t kDeposit = 1'000'000'000;
// A microcredit a millisecond, of a whole device.
constexpr std::int64_t kPrice = 3'600'000;

SlotRecord SlotWith(const std::string& id) {
  SlotRecord slot;
  slot.slot.id = id;
  slot.backend = "cpu";
  slot.device_name = "D";
  slot.slot.share_milli = 1000;
  slot.slot.share_milli_step = 100;
  slot.slot.memory_bytes = 1000;
  slot.slot.tags.Throughput(scheduler::Operation::kMatmul, scheduler::NumberType::kFp32) = {1e12, 1e12, 1e12};
  slot.reserve_price = kPrice;
  return slot;
}

class TradeTest : public testing::Test {
 protected:
  TradeTest() {
    book.Apply(*DecideRegistration(book, kServer, {"s", {"tcp://s:1"}, "", 0}, {SlotWith("s/0"), SlotWith("s/1")}));
    for (const std::string& tenant : {kSeller, kBuyer, kThird})
      book.Apply(*DecideDeposit(book, tenant, "first", kDeposit));
  }
  std::string Grant(const std::string& tenant, const std::string& text, std::int64_t lease_ms = 100'000) {
    GrantRequest request;
    request.tenant = tenant;
    request.operation = "g" + std::to_string(++operations);
    request.request = *scheduler::ParseRequest(text);
    request.lease_ms = lease_ms;
    request.holder_key.assign(32, 1);
    Result<GrantOutcome> outcome = DecideGrant(book, request, *scheduler::Fragmentation::Make({}), now, 5);
    if (!outcome.ok() || outcome->leases.empty()) return "";
    book.Apply(outcome->decision);
    return outcome->leases.front();
  }
  TradeTerms Of(const std::string& lease, std::uint32_t share, std::int64_t price) {
    TradeTerms terms;
    terms.buyer = kBuyer;
    terms.operation = "t" + std::to_string(++operations);
    terms.lease = lease;
    terms.share_milli = share;
    terms.memory_bytes = share / 10;
    terms.price_seller = terms.price_buyer = price;
    return terms;
  }
  static TradeTerms OfIdle(const std::string& operation, std::uint32_t share) {
    TradeTerms terms;
    terms.buyer = kBuyer;
    terms.operation = operation;
    terms.slot = "s/1";
    terms.share_milli = share;
    terms.memory_bytes = 100;
    terms.price_seller = terms.price_buyer = kPrice;
    terms.lease_ms = 50'000;
    return terms;
  }
  Result<TradeOutcome> Do(const TradeTerms& terms) {
    Edit edit(book);
    Result<TradeOutcome> outcome = Trade(book, edit, terms, now);
    if (outcome.ok()) book.Apply(edit.Finish());
    return outcome;
  }
  void Sweep() {
    while (!book.ByEnd().empty() && book.ByEnd().begin()->first <= now.sweep_ms) {
      const std::string id = book.ByEnd().begin()->second;
      book.Apply(DecideEnd(book, id, LeaseState::kExpired, now.now_ms, now).decision);
    }
  }
  void Pass(std::int64_t ms) {
    now.now_ms += ms;
    now.sweep_ms += ms;
    Sweep();
  }
  std::int64_t Owns(const std::string& who) const {
    const AccountRecord* account = book.Account(who);
    return account != nullptr ? account->balance : 0;
  }
  std::int64_t Holds(const std::string& who) const {
    const AccountRecord* account = book.Account(who);
    return account != nullptr ? account->held : 0;
  }

  Book book;
  Moment now{1'000'000, 1'000'000};
  int operations = 0;
};

TEST_F(TradeTest, APartIsTheBuyersAtOnceAndTheSellerKeepsTheRest) {
  const std::string lease = Grant(kSeller, "0.8 TOPS fp32, memory=500B");
  ASSERT_FALSE(lease.empty());
  ASSERT_EQ(book.Lease(lease)->share_milli, 800U);
  Pass(20'000);
  // 80 s are left. The buyer pays 2 a millisecond of a whole device, for 300 of 1000; the seller pays 1.
  const Result<TradeOutcome> outcome = Do(Of(lease, 300, 2 * kPrice));
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  const LeaseRecord* bought = book.Lease(outcome->lease);
  ASSERT_NE(bought, nullptr);
  EXPECT_EQ(bought->state, LeaseState::kActive);
  EXPECT_EQ(bought->share_milli, 300U);
  EXPECT_EQ(bought->memory_bytes, 30U);
  EXPECT_EQ(bought->not_after_ms, 1'100'000);
  EXPECT_GT(bought->epoch, book.Lease(lease)->epoch);
  EXPECT_EQ(bought->bought.from, lease);
  EXPECT_EQ(bought->bought.rest_share_milli, 500U);
  EXPECT_EQ(book.Lease(lease)->share_milli, 500U);
  EXPECT_EQ(book.Lease(lease)->memory_bytes, 470U);
  EXPECT_EQ(outcome->paid, 48'000);  // 0.3 x 80,000 x 2
  EXPECT_EQ(Holds(kBuyer), 24'000);  // what the server's owner is due for it
  EXPECT_EQ(Owns(kBuyer), kDeposit - 48'000);
  EXPECT_EQ(Owns(kServer), 16'000);  // 0.8 x 20,000
  // It got its own escrow for that part back, and what the buyer pays beyond it.
  EXPECT_EQ(Owns(kSeller) + Holds(kSeller), kDeposit - 16'000 + 24'000 - 0);
  EXPECT_EQ(Holds(kSeller), 40'000);
  EXPECT_TRUE(book.CountSums().balanced());
  // Both run to the end, and everybody has been paid: the seller has had 0.3 of a device for nothing and 24,000 more.
  Pass(80'000);
  EXPECT_EQ(Owns(kSeller), kDeposit - 16'000 - 40'000 + 24'000);
  EXPECT_EQ(Owns(kBuyer), kDeposit - 48'000);
  EXPECT_EQ(Owns(kServer), 16'000 + 40'000 + 24'000);
  EXPECT_EQ(book.active_leases(), 0U);
}

TEST_F(TradeTest, AllOfALeaseIsTheBuyersWhenTheNoticeIsOver) {
  const std::string lease = Grant(kSeller, "0.5 TOPS fp32, memory=500B");
  Pass(10'000);
  TradeTerms terms = Of(lease, 0, 3 * kPrice);
  terms.notice_ms = 20'000;
  const Result<TradeOutcome> outcome = Do(terms);
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_EQ(outcome->begins_ms, 1'030'000);
  EXPECT_EQ(outcome->paid, 105'000);  // 0.5 x 70,000 x 3
  EXPECT_EQ(book.Lease(outcome->lease)->state, LeaseState::kPending);
  EXPECT_EQ(Holds(kBuyer), 105'000);
  EXPECT_EQ(book.LeasesOfSlot(book.Lease(lease)->slot).size(), 1U);
  // Nobody else gets it, nor may its holder change his mind.
  EXPECT_EQ(Do(Of(lease, 0, 9 * kPrice)).code(), Code::kNotFound);
  EXPECT_EQ(DecideRenewal(book, {kSeller, lease, "r", 60'000, 0}, now).code(), Code::kInvalidArgument);
  EXPECT_EQ(DecideResize(book, kSeller, lease, "z", 100, 10, now).code(), Code::kInvalidArgument);
  Pass(19'999);
  EXPECT_EQ(book.Lease(lease)->state, LeaseState::kActive);
  const std::uint64_t epoch = book.Epoch(book.Lease(lease)->slot);
  Pass(1);
  EXPECT_EQ(book.Lease(lease)->state, LeaseState::kTransferred);
  const LeaseRecord* bought = book.Lease(outcome->lease);
  EXPECT_EQ(bought->state, LeaseState::kActive);
  EXPECT_GT(bought->epoch, epoch);
  EXPECT_EQ(bought->not_before_ms, 1'030'000);
  EXPECT_EQ(bought->held, 35'000);
  // 0.5 x 30,000 for what it used, and 105,000 less what goes on to the server's owner.
  EXPECT_EQ(Owns(kSeller), kDeposit - 15'000 + 70'000);
  EXPECT_TRUE(book.CountSums().balanced());
}

TEST_F(TradeTest, WhoSellsForLessThanHePaysAddsTheDifference) {
  const std::string lease = Grant(kSeller, "0.5 TOPS fp32, memory=500B");
  const Result<TradeOutcome> outcome = Do(Of(lease, 100, kPrice / 2));
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_EQ(outcome->paid, 5'000);
  EXPECT_EQ(book.Lease(outcome->lease)->held, 10'000);
  EXPECT_EQ(Owns(kSeller) + Holds(kSeller), kDeposit - 5'000);
  EXPECT_EQ(Owns(kBuyer), kDeposit - 5'000);
  EXPECT_TRUE(book.CountSums().balanced());
}

TEST_F(TradeTest, WhenTheServerIsLostInTheNoticeAllOfItComesBack) {
  for (const std::int64_t price : {3 * kPrice, kPrice / 3}) {
    SCOPED_TRACE(price);
    const std::string lease = Grant(kSeller, "0.5 TOPS fp32, memory=500B");
    TradeTerms terms = Of(lease, 0, price);
    terms.notice_ms = 20'000;
    const Result<TradeOutcome> outcome = Do(terms);
    ASSERT_TRUE(outcome.ok());
    book.Apply(DecideEnd(book, lease, LeaseState::kServerLost, now.now_ms, now).decision);
    EXPECT_EQ(book.Lease(outcome->lease)->state, LeaseState::kServerLost);
    EXPECT_EQ(Owns(kBuyer), kDeposit);
    EXPECT_EQ(Owns(kSeller), kDeposit);
    EXPECT_TRUE(book.CountSums().balanced());
  }
}

TEST_F(TradeTest, ASellerWhoGivesBackEarlyMakesRoomEarlier) {
  const std::string lease = Grant(kSeller, "0.5 TOPS fp32, memory=500B");
  TradeTerms terms = Of(lease, 0, 2 * kPrice);
  terms.notice_ms = 50'000;
  const Result<TradeOutcome> outcome = Do(terms);
  ASSERT_TRUE(outcome.ok());
  Pass(10'000);
  const Result<LeaseChange> released = DecideRelease(book, kSeller, lease, now);
  ASSERT_TRUE(released.ok());
  book.Apply(released->decision);
  const LeaseRecord* bought = book.Lease(outcome->lease);
  EXPECT_EQ(bought->state, LeaseState::kActive);
  EXPECT_EQ(bought->not_before_ms, 1'010'000);
  // The buyer pays what was agreed, for more time; the server's owner is due for all of it.
  EXPECT_EQ(Owns(kBuyer) + Holds(kBuyer), kDeposit - 50'000 + 45'000);
  EXPECT_EQ(bought->held, 45'000);
  EXPECT_EQ(Owns(kSeller), kDeposit - 5'000 + 5'000);
  EXPECT_TRUE(book.CountSums().balanced());
}

TEST_F(TradeTest, WhatBuyersPayBeyondWhatSellersGetIsThePools) {
  TradeTerms terms = OfIdle("idle", 200);
  terms.price_buyer = 2 * kPrice;
  const Result<TradeOutcome> outcome = Do(terms);
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_EQ(outcome->paid, 20'000);
  EXPECT_EQ(Owns(kPoolAccount), 10'000);
  EXPECT_EQ(book.Lease(outcome->lease)->held, 10'000);
  EXPECT_EQ(book.View("s/1")->share_milli_free, 800U);
  EXPECT_TRUE(book.CountSums().balanced());
  // In one decision no more than is free, whatever each would be by itself.
  Edit edit(book);
  terms.share_milli = 500;
  terms.operation = "two";
  EXPECT_TRUE(Trade(book, edit, terms, now).ok());
  terms.index = 1;
  EXPECT_EQ(Trade(book, edit, terms, now).code(), Code::kNotFound);
}

TEST_F(TradeTest, WhatIsIdleIsSoldInTheStepsOfItsSlot) {
  TradeTerms terms = OfIdle("odd", 150);
  const Result<TradeOutcome> odd = Do(terms);
  EXPECT_EQ(odd.code(), Code::kInvalidArgument);
  EXPECT_THAT(odd.status().text(), testing::HasSubstr("in steps of 100 thousandths"));
  terms.share_milli = 300;
  EXPECT_TRUE(Do(terms).ok());
}

TEST_F(TradeTest, WhatCannotBeIsRefused) {
  const std::string lease = Grant(kSeller, "0.5 TOPS fp32, memory=500B");
  TradeTerms own = Of(lease, 100, kPrice);
  own.buyer = kSeller;
  EXPECT_EQ(Do(own).code(), Code::kInvalidArgument);
  TradeTerms dear = Of(lease, 100, kPrice);
  dear.budget = 9'999;
  EXPECT_EQ(Do(dear).code(), Code::kLimitExceeded);
  EXPECT_EQ(Do(Of(lease, 100, kPrice * 1'000'000)).code(), Code::kLimitExceeded);
  EXPECT_EQ(Do(Of(lease, 600, kPrice)).code(), Code::kNotFound);
  EXPECT_EQ(Do(Of("none", 100, kPrice)).code(), Code::kNotFound);
  TradeTerms once = Of(lease, 100, kPrice);
  EXPECT_TRUE(Do(once).ok());
  EXPECT_THAT(Do(once).status().text(), HasSubstr("used before"));
  TradeTerms upside_down = Of(lease, 100, kPrice);
  upside_down.price_seller = kPrice + 1;
  EXPECT_EQ(Do(upside_down).code(), Code::kInvalidArgument);
}

TEST_F(TradeTest, AnAskStandsUntilAnotherOneOrItsLeaseIsSold) {
  const std::string lease = Grant(kSeller, "0.5 TOPS fp32, memory=500B");
  const auto ask = [&](std::uint64_t number, std::uint32_t share, std::int64_t price) {
    return DecideAsk(
        book, {kSeller, lease, number, price, share, 0, 5'000, 1'500'000, "o" + std::to_string(number), "s"}, now);
  };
  EXPECT_EQ(DecideAsk(book, {kBuyer, lease, 1, kPrice, 0, 0, 0, 1'500'000, "o", "s"}, now).code(),
            Code::kPermissionDenied);
  EXPECT_EQ(ask(5, 501, kPrice).code(), Code::kInvalidArgument);
  // Giving it back returns as much as it costs: for less nothing is sold, or its buyer would give it back for a gain.
  EXPECT_THAT(ask(5, 200, kPrice - 10).status().text(), HasSubstr("giving it back returns more"));
  Result<LeaseChange> posted = ask(5, 200, kPrice);
  ASSERT_TRUE(posted.ok()) << posted.status().ToString();
  book.Apply(posted->decision);
  EXPECT_TRUE(ask(5, 200, kPrice)->is_repeated);
  EXPECT_EQ(ask(4, 0, kPrice).code(), Code::kInvalidArgument);
  Supply supply = SupplyOf(*book.Lease(lease), now);
  EXPECT_EQ(supply.share_milli, 200U);
  EXPECT_EQ(supply.memory_bytes, 200U);
  EXPECT_FALSE(supply.is_all);
  EXPECT_THAT(book.Asked(), testing::ElementsAre(lease));
  // A part is sold: what is offered is less, and nothing before its notice is over.
  ASSERT_TRUE(Do(Of(lease, 150, kPrice)).ok());
  EXPECT_EQ(SupplyOf(*book.Lease(lease), now).share_milli, 0U);
  now.now_ms += 4'999;
  EXPECT_EQ(SupplyOf(*book.Lease(lease), now).share_milli, 0U);
  EXPECT_EQ(ForcedSupplyOf(*book.Lease(lease), kPrice, 5'000, now).share_milli, 0U);
  now.now_ms += 1;
  EXPECT_EQ(SupplyOf(*book.Lease(lease), now).share_milli, 50U);
  // Unused, all of it is for sale, unless giving it back returns more.
  const Supply forced = ForcedSupplyOf(*book.Lease(lease), kPrice, 5'000, now);
  EXPECT_TRUE(forced.is_all);
  EXPECT_EQ(forced.share_milli, 350U);
  EXPECT_EQ(ForcedSupplyOf(*book.Lease(lease), kPrice - 10, 5'000, now).share_milli, 0U);
  ASSERT_TRUE(Do(Of(lease, 50, kPrice)).ok());
  EXPECT_EQ(SupplyOf(*book.Lease(lease), now).share_milli, 0U);
  EXPECT_TRUE(book.Asked().empty());
  posted = ask(6, 0, kPrice);
  ASSERT_TRUE(posted.ok());
  book.Apply(posted->decision);
  now.now_ms += 5'000;
  EXPECT_TRUE(SupplyOf(*book.Lease(lease), now).is_all);
  posted = DecideWithdrawal(book, kSeller, lease, 7, now);
  ASSERT_TRUE(posted.ok());
  book.Apply(posted->decision);
  EXPECT_TRUE(book.Asked().empty());
  // One that comes late does not bring it back.
  EXPECT_EQ(ask(6, 0, kPrice).code(), Code::kInvalidArgument);
  // With too little left there is nothing to be had.
  posted = ask(8, 0, kPrice);
  ASSERT_TRUE(posted.ok());
  book.Apply(posted->decision);
  Pass(100'000 - kTradedMsMin - 5'000 + 1);
  EXPECT_EQ(SupplyOf(*book.Lease(lease), now).share_milli, 0U);
}

TEST_F(TradeTest, AtRandomNoCreditIsMadeOrLostAndNoSlotIsLetTwice) {
  std::mt19937_64 random(7);
  int trades = 0;
  int pending = 0;
  for (int step = 0; step < 40000; ++step) {
    const std::string tenants[] = {kSeller, kBuyer, kThird};
    const std::string who = tenants[random() % 3];
    // Mostly one that runs; of all that there were, few do.
    const auto& all = book.All(Family::kLease);
    const auto& running = book.ByEnd();
    std::string lease;
    if (!running.empty() && random() % 4 != 0) {
      lease = std::next(running.begin(), static_cast<std::ptrdiff_t>(random() % running.size()))->second;
    } else if (!all.empty()) {
      lease = std::next(all.begin(), static_cast<std::ptrdiff_t>(random() % all.size()))->first;
    }
    switch (random() % 8) {
      case 0:
        Grant(
            who,
            "0." + std::to_string(1 + random() % 5) + " TOPS fp32, memory=" + std::to_string(1 + random() % 300) + "B",
            static_cast<std::int64_t>(1'000 + random() % 60'000));
        break;
      case 1: Pass(static_cast<std::int64_t>(random() % 4'000)); break;
      case 2:
        if (const auto change = DecideRelease(book, who, lease, now); change.ok()) book.Apply(change->decision);
        break;
      case 3:
        if (const auto change = DecideRenewal(
                book, {who, lease, "r" + std::to_string(++operations), static_cast<std::int64_t>(random() % 60'000), 0},
                now);
            change.ok()) {
          book.Apply(change->decision);
        }
        break;
      case 4:
        if (const LeaseRecord* found = book.Lease(lease); found != nullptr && found->state == LeaseState::kActive) {
          book.Apply(DecideEnd(book, lease, random() % 2 == 0 ? LeaseState::kRevoked : LeaseState::kServerLost,
                               now.now_ms - static_cast<std::int64_t>(random() % 1'000), now)
                         .decision);
        }
        break;
      default: {
        TradeTerms terms = Of(lease, static_cast<std::uint32_t>(random() % 5) * 100,
                              static_cast<std::int64_t>(random() % (3 * kPrice)));
        terms.buyer = who;
        terms.price_buyer += random() % 3 == 0 ? static_cast<std::int64_t>(random() % kPrice) : 0;
        terms.notice_ms = static_cast<std::int64_t>(random() % 3) * 2'000;
        terms.memory_bytes = random() % 100;
        if (random() % 5 == 0) {
          terms.lease.clear();
          terms.slot = random() % 2 == 0 ? "s/0" : "s/1";
        }
        const auto outcome = Do(terms);
        trades += outcome.ok() ? 1 : 0;
        pending += outcome.ok() && outcome->begins_ms > now.now_ms ? 1 : 0;
      }
    }
    std::int64_t owned = 0;
    std::map<std::string, std::int64_t> held;
    std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> let;
    for (const auto& [id, entry] : book.All(Family::kLease)) {
      const auto& record = std::get<LeaseRecord>(entry);
      held[record.tenant] += record.held;
      ASSERT_GE(record.held, 0) << step;
      if (record.state == LeaseState::kPending) {
        const LeaseRecord* seller = book.Lease(record.bought.from);
        ASSERT_TRUE(seller != nullptr && seller->successor == id && seller->state == LeaseState::kActive) << step;
      } else if (record.state != LeaseState::kActive) {
        ASSERT_EQ(record.held, 0) << step;
      } else {
        let[record.slot].first += record.share_milli;
        let[record.slot].second += record.memory_bytes;
      }
    }
    for (const auto& [id, entry] : book.All(Family::kAccount)) {
      const auto& account = std::get<AccountRecord>(entry);
      ASSERT_GE(account.balance, 0) << step;
      ASSERT_EQ(account.held, held[id]) << step;
      owned += account.balance + account.held;
    }
    ASSERT_EQ(owned, 3 * kDeposit) << step;
    for (const auto& [slot, sums] : let) ASSERT_TRUE(sums.first <= 1000 && sums.second <= 1000) << step;
    ASSERT_EQ(book.CountSums(), book.sums()) << step;
  }
  EXPECT_GT(trades, 1000);
  EXPECT_GT(pending, 200);
}

}  // namespace
}  // namespace accelmesh::market
