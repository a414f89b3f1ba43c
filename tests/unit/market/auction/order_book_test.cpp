#include "market/auction/order_book.h"

#include <gtest/gtest.h>

#include "tests/unit/market/auction/worlds.h"

namespace accelmesh::market::auction {
namespace {

const std::map<ClassId, std::int64_t> kSurrogates = {{1, 100}};

RunningLease LeaseOf(LeaseId id, PartyId holder) {
  RunningLease lease;
  lease.id = id;
  lease.holder = holder;
  lease.slot_class = 1;
  lease.units_milli = 1000;
  lease.started_ms = 1000;
  lease.notice_ms = 30'000;
  return lease;
}
Ask ReleaseOf(OrderId id, LeaseId lease, PartyId owner, std::int64_t price) {
  return {id, owner, 1, AskKind::kRelease, false, kWholePpm, 1000, price, lease, 30'000};
}
Ask ShareOf(OrderId id, LeaseId lease, PartyId owner, std::int64_t price, std::int64_t units) {
  return {id, owner, 1, AskKind::kShare, true, kWholePpm, units, price, lease, 30'000};
}
Ask IdleOf(OrderId id, PartyId owner, std::int64_t price) {
  return {id, owner, 1, AskKind::kIdle, true, kWholePpm, 1000, price, 0, 0};
}
Trade SaleOf(const Ask& ask, std::int64_t units) {
  Trade trade;
  trade.ask = ask.id;
  trade.seller = ask.owner;
  trade.units_milli = units;
  return trade;
}

TEST(OrderBookTest, AsksArePostedChangedAndWithdrawnByTheirOwners) {
  OrderBook book;
  ASSERT_TRUE(book.AddLease(LeaseOf(5, 7)).ok());
  EXPECT_EQ(book.AddLease(LeaseOf(5, 7)).code(), Code::kInvalidArgument);
  EXPECT_EQ(book.Post(ReleaseOf(1, 6, 7, 10)).code(), Code::kNotFound);
  EXPECT_EQ(book.Post(ReleaseOf(1, 5, 8, 10)).code(), Code::kPermissionDenied);
  Ask other = ReleaseOf(1, 5, 7, 10);
  other.slot_class = 2;
  EXPECT_EQ(book.Post(other).code(), Code::kInvalidArgument);
  other = ReleaseOf(1, 5, 7, 10);
  other.notice_ms = 30'001;
  EXPECT_EQ(book.Post(other).code(), Code::kInvalidArgument);
  other = ReleaseOf(1, 5, 7, 10);
  other.units_milli = 999;
  EXPECT_EQ(book.Post(other).code(), Code::kInvalidArgument);
  EXPECT_EQ(book.Post(ShareOf(1, 5, 7, 10, 1000)).code(), Code::kInvalidArgument);
  EXPECT_EQ(book.Post(IdleOf(kForcedIds, 7, 10)).code(), Code::kInvalidArgument);
  ASSERT_TRUE(book.Post(ReleaseOf(1, 5, 7, 10)).ok());
  EXPECT_EQ(book.Change(1, 8, 20).code(), Code::kNotFound);
  EXPECT_EQ(book.Change(1, 7, -1).code(), Code::kInvalidArgument);
  ASSERT_TRUE(book.Change(1, 7, 20).ok());
  EXPECT_EQ(book.Find(1)->ask.price_microcredits, 20);
  // Another ask of the lease takes the first one's place.
  ASSERT_TRUE(book.Post(ShareOf(2, 5, 7, 15, 400)).ok());
  EXPECT_FALSE(book.Find(1).has_value());
  EXPECT_EQ(book.asks(), 1U);
  EXPECT_EQ(book.Post(IdleOf(2, 7, 10)).code(), Code::kInvalidArgument);
  EXPECT_EQ(book.Post(IdleOf(2, 8, 10)).code(), Code::kPermissionDenied);
  EXPECT_EQ(book.Withdraw(2, 8).code(), Code::kNotFound);
  ASSERT_TRUE(book.Withdraw(2, 7).ok());
  EXPECT_TRUE(book.Eligible(50'000, kSurrogates).empty());
  ASSERT_TRUE(book.Post(ShareOf(2, 5, 7, 15, 400)).ok());
  ASSERT_TRUE(book.EndLease(5).ok());
  EXPECT_EQ(book.asks(), 0U);
  EXPECT_EQ(book.EndLease(5).code(), Code::kNotFound);
}

TEST(OrderBookTest, FirmLeasesAreNeverForSale) {
  OrderBook book;
  RunningLease firm = LeaseOf(5, 7);
  firm.is_firm = true;
  ASSERT_TRUE(book.AddLease(firm).ok());
  EXPECT_EQ(book.Post(ReleaseOf(1, 5, 7, 10)).code(), Code::kPermissionDenied);
  for (std::int64_t now = 0; now < 200'000; now += 10'000) ASSERT_TRUE(book.ReportUse(5, 0, now).ok());
  EXPECT_TRUE(book.Eligible(200'000, kSurrogates).empty());
}

TEST(OrderBookTest, ALeaseRunsItsMinimumFirst) {
  OrderBook book;
  RunningLease lease = LeaseOf(5, 7);
  lease.min_runtime_ms = 60'000;
  ASSERT_TRUE(book.AddLease(lease).ok());
  ASSERT_TRUE(book.Post(ReleaseOf(1, 5, 7, 10)).ok());
  EXPECT_TRUE(book.Eligible(60'999, kSurrogates).empty());
  EXPECT_EQ(book.Eligible(61'000, kSurrogates).size(), 1U);
  EXPECT_EQ(book.Commit({SaleOf(ReleaseOf(1, 5, 7, 10), 1000)}, 60'999).code(), Code::kInternal);
}

TEST(OrderBookTest, OneTradeOfALeaseInEachNoticeWindow) {
  OrderBook book;
  ASSERT_TRUE(book.AddLease(LeaseOf(5, 7)).ok());
  const Ask share = ShareOf(2, 5, 7, 15, 600);
  ASSERT_TRUE(book.Post(share).ok());
  ASSERT_TRUE(book.Commit({SaleOf(share, 200), SaleOf(share, 100)}, 50'000).ok());
  EXPECT_EQ(book.Lease(5)->units_milli, 700);
  EXPECT_EQ(book.Find(2)->ask.units_milli, 300);
  EXPECT_TRUE(book.Eligible(50'000, kSurrogates).empty());
  EXPECT_TRUE(book.Eligible(79'999, kSurrogates).empty());
  EXPECT_EQ(book.Commit({SaleOf(share, 100)}, 79'999).code(), Code::kInternal);
  ASSERT_EQ(book.Eligible(80'000, kSurrogates).size(), 1U);
  EXPECT_EQ(book.Commit({SaleOf(share, 301)}, 80'000).code(), Code::kInternal);
  EXPECT_EQ(book.Lease(5)->units_milli, 700);
  ASSERT_TRUE(book.Commit({SaleOf(share, 300)}, 80'000).ok());
  EXPECT_FALSE(book.Find(2).has_value());
  EXPECT_EQ(book.Lease(5)->units_milli, 400);
}

TEST(OrderBookTest, UseItOrSellIt) {
  OrderBook book;
  ASSERT_TRUE(book.AddLease(LeaseOf(5, 7)).ok());
  ASSERT_TRUE(book.AddLease(LeaseOf(6, 8)).ok());
  ASSERT_TRUE(book.Post(ReleaseOf(1, 5, 7, 1'000'000)).ok());
  for (std::int64_t now = 10'000; now <= 60'000; now += 10'000) {
    ASSERT_TRUE(book.ReportUse(5, 10'000, now).ok());
    ASSERT_TRUE(book.ReportUse(6, 10'000, now).ok());
  }
  EXPECT_EQ(book.Eligible(69'999, kSurrogates)[0].price_microcredits, 1'000'000);
  EXPECT_EQ(book.Eligible(69'999, kSurrogates).size(), 1U);
  ASSERT_TRUE(book.ReportUse(5, 10'000, 70'000).ok());
  ASSERT_TRUE(book.ReportUse(6, 10'000, 70'000).ok());
  auto eligible = book.Eligible(70'000, kSurrogates);
  ASSERT_EQ(eligible.size(), 2U);
  EXPECT_EQ(eligible[0].id, 1U);
  EXPECT_EQ(eligible[0].price_microcredits, 100);
  EXPECT_TRUE(book.Find(1)->is_forced);
  EXPECT_EQ(eligible[1].id, kForcedIds + 6);
  EXPECT_EQ(eligible[1].owner, 8U);
  EXPECT_EQ(eligible[1].price_microcredits, 100);
  // Withdrawing does not help; an ask below the surrogate price stands; using it does help.
  ASSERT_TRUE(book.Withdraw(1, 7).ok());
  EXPECT_EQ(book.Eligible(70'000, kSurrogates).size(), 2U);
  ASSERT_TRUE(book.Post(ReleaseOf(1, 5, 7, 60)).ok());
  EXPECT_EQ(book.Eligible(70'000, kSurrogates)[0].price_microcredits, 60);
  ASSERT_TRUE(book.ReportUse(6, 900'000, 75'000).ok());
  EXPECT_EQ(book.Eligible(75'000, kSurrogates).size(), 1U);
  // It is sold as others are, and ends.
  ASSERT_TRUE(book.Withdraw(1, 7).ok());
  eligible = book.Eligible(80'000, kSurrogates);
  ASSERT_EQ(eligible.size(), 1U);
  ASSERT_TRUE(book.Commit({SaleOf(eligible[0], 1000)}, 80'000).ok());
  EXPECT_EQ(book.Lease(5)->units_milli, 0);
  EXPECT_TRUE(book.Eligible(500'000, kSurrogates).empty());
}

TEST(OrderBookTest, WhoIsNotHeardOfIsNotUnused) {
  OrderBook book;
  ASSERT_TRUE(book.AddLease(LeaseOf(5, 7)).ok());
  ASSERT_TRUE(book.ReportUse(5, 0, 1'000).ok());
  EXPECT_TRUE(book.Eligible(10'000'000, kSurrogates).empty());
}

TEST(OrderBookTest, ALeaseThatChangesHandsLosesItsAsk) {
  OrderBook book;
  ASSERT_TRUE(book.AddLease(LeaseOf(5, 7)).ok());
  ASSERT_TRUE(book.Post(ReleaseOf(1, 5, 7, 10)).ok());
  ASSERT_TRUE(book.ChangeLease(5, 7, 600).ok());
  EXPECT_EQ(book.Find(1)->ask.units_milli, 600);
  ASSERT_TRUE(book.ChangeLease(5, 9, 600).ok());
  EXPECT_FALSE(book.Find(1).has_value());
  EXPECT_EQ(book.ChangeLease(5, 9, 0).code(), Code::kInvalidArgument);
  EXPECT_EQ(book.ChangeLease(6, 9, 1).code(), Code::kNotFound);
}

TEST(OrderBookTest, ReputationIsTheBooksNotTheSellers) {
  OrderBook book;
  Ask ask = IdleOf(1, 7, 10);
  ask.reputation_ppm = 1;
  ASSERT_TRUE(book.Post(ask).ok());
  EXPECT_EQ(book.Eligible(0, {})[0].reputation_ppm, kWholePpm);
  book.SetReputation(7, 400'000);
  EXPECT_EQ(book.Eligible(0, {})[0].reputation_ppm, 400'000U);
}

// A random life: whatever an epoch sells of what is eligible can be committed, and no lease sells more than it has.
TEST(OrderBookTest, EpochsAndTheBookAgree) {
  Random random(81);
  int sold = 0;
  for (int round = 0; round < 60; ++round) {
    OrderBook book;
    std::int64_t now = 0;
    OrderId next = 1;
    for (int step = 0; step < 150; ++step) {
      now += Between(random, 0, 20'000);
      const LeaseId lease = 1 + random() % 10;
      const PartyId party = lease % 4;
      switch (random() % 7) {
        case 0: {
          RunningLease fresh = LeaseOf(lease, party);
          fresh.started_ms = now;
          fresh.min_runtime_ms = Between(random, 0, 30'000);
          (void)book.AddLease(fresh);
          break;
        }
        case 1: (void)book.Post(ReleaseOf(next++, lease, party, Between(random, 0, 200))); break;
        case 2: (void)book.Post(ShareOf(next++, lease, party, Between(random, 0, 200), Between(random, 1, 999))); break;
        case 3: (void)book.Post(IdleOf(next++, party, Between(random, 0, 200))); break;
        case 4: (void)book.ReportUse(lease, static_cast<std::uint32_t>(Between(random, 0, 100'000)), now); break;
        case 5:
          if (Chance(random, 20)) (void)book.EndLease(lease);
          break;
        default: {
          EpochInput input;
          input.seed = random();
          input.classes = {{1, 100, 100, 1000, 1, 30'000, {}}};
          input.asks = book.Eligible(now, kSurrogates);
          for (OrderId id = 1; id <= 6; ++id) {
            Bid bid;
            bid.id = id;
            bid.owner = 100 + id;
            bid.slot_class = 1;
            bid.units_milli = Between(random, 1, 1500);
            bid.price_microcredits = Between(random, 0, 300);
            bid.notice_ms_max = 30'000;
            input.bids.push_back(bid);
          }
          const auto outcome = ClearEpoch(input);
          ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
          const Status committed = book.Commit(outcome->trades, now);
          ASSERT_TRUE(committed.ok()) << committed.ToString();
          sold += static_cast<int>(outcome->trades.size());
          for (LeaseId id = 1; id <= 10; ++id) {
            if (book.Lease(id) != nullptr) {
              ASSERT_GE(book.Lease(id)->units_milli, 0);
            }
          }
        }
      }
    }
  }
  EXPECT_GT(sold, 500);
}

}  // namespace
}  // namespace accelmesh::market::auction
