#include "market/auction/settlement.h"

#include <gtest/gtest.h>

#include "tests/unit/market/auction/worlds.h"

namespace accelmesh::market::auction {
namespace {

using enum AccountKind;

Entry Move(EntryWhy why, Account from, Account to, std::int64_t amount) { return {1, why, from, to, amount, 0, 0}; }
void Deposit(Accounts& accounts, PartyId party, std::int64_t amount) {
  const Entry entry = Move(EntryWhy::kDeposit, {kOutside, 0}, {kBalance, party}, amount);
  ASSERT_TRUE(accounts.Post({&entry, 1}).ok());
}

TEST(SettlementTest, EntriesThatDoNotHoldChangeNothing) {
  Accounts accounts;
  Deposit(accounts, 1, 100);
  const auto before = accounts.all();
  const std::vector<std::vector<Entry>> bad = {
      {Move(EntryWhy::kHold, {kBalance, 1}, {kEscrow, 1}, 60), Move(EntryWhy::kHold, {kBalance, 1}, {kEscrow, 1}, 60)},
      {Move(EntryWhy::kHold, {kBalance, 1}, {kEscrow, 2}, 5)},
      {Move(EntryWhy::kHold, {kBalance, 1}, {kEscrow, 1}, 0)},
      {Move(EntryWhy::kHold, {kBalance, 1}, {kEscrow, 1}, -5)},
      {Move(EntryWhy::kHold, {kBalance, 1}, {kEscrow, 1}, INT64_MIN)},
      {Move(EntryWhy::kPay, {kBalance, 1}, {kBalance, 2}, 5)},
      {Move(EntryWhy::kGrant, {kBalance, 1}, {kBalance, 1}, 5)},
      {Move(EntryWhy::kDeposit, {kOutside, 7}, {kBalance, 2}, 5)},
      {Move(EntryWhy::kDeposit, {kOutside, 0}, {kBalance, 2}, kAccountMicrocreditsMax + 1)},
      {Move(EntryWhy::kDeposit, {kOutside, 0}, {kBalance, 2}, kAccountMicrocreditsMax)},
      {Move(static_cast<EntryWhy>(99), {kBalance, 1}, {kBalance, 2}, 5)},
      {Move(EntryWhy::kPenalty, {kBond, 1}, {kPool, 0}, 1)},
  };
  for (const auto& entries : bad) {
    EXPECT_FALSE(accounts.Post(entries).ok());
    EXPECT_EQ(accounts.all(), before);
  }
  const Status status = accounts.Post(bad[0]);
  EXPECT_EQ(status.code(), Code::kLimitExceeded);
  EXPECT_NE(status.text().find("40 microcredits of 60"), std::string::npos) << status.text();
}

TEST(SettlementTest, APriceBecomesMoneyByTheMillisecond) {
  EXPECT_EQ(DueUp(3'600'000'000, 1), 1);  // a credit and 3.6 units an hour: a microcredit a millisecond
  EXPECT_EQ(DueUp(3'600'000'001, 1), 2);
  EXPECT_EQ(DueDown(3'600'000'001, 1), 1);
  EXPECT_EQ(DueUp(1, 1), 1);
  EXPECT_EQ(DueDown(1, 1), 0);
  EXPECT_EQ(DueUp(0, 5), 0);
  EXPECT_EQ(DueUp(5, -1), 0);
  EXPECT_EQ(DueUp(INT64_MAX, INT64_MAX), kAccountMicrocreditsMax);
}

// However often a deal is settled, the same is paid; what is not delivered comes back; nothing is made or lost.
TEST(SettlementTest, DealsAddUpHoweverTheyAreSettled) {
  Random random(61);
  for (int round = 0; round < 3000; ++round) {
    Deal deal{1, 2, 10, 20};
    deal.is_surcharge = Chance(random, 20);
    deal.pays_nanocredits = Between(random, 0, Chance(random, 50) ? 2000 : 4'000'000'000'000);
    deal.gets_nanocredits = deal.is_surcharge    ? 0
                            : Chance(random, 50) ? deal.pays_nanocredits
                                                 : Between(random, 0, deal.pays_nanocredits);
    deal.length_ms = Between(random, 1, 900'000);
    const std::int64_t all = DueUp(deal.pays_nanocredits, deal.length_ms);
    Accounts accounts;
    Deposit(accounts, 20, all + 1);
    ASSERT_TRUE(accounts.Post(Hold(deal, 1)).ok());
    ASSERT_EQ(accounts.Of({kEscrow, 20}), all);
    EXPECT_TRUE(Hold(deal, 1).empty());  // once
    const bool delivers = Chance(random, 50);
    const bool ends_early = Chance(random, 30);
    std::int64_t at = 0;
    while (at < deal.length_ms && !(ends_early && at > deal.length_ms / 2)) {
      at += Between(random, 1, 200'000);
      const auto delivered = delivers ? kWholePpm : static_cast<std::uint32_t>(Between(random, 0, 1'100'000));
      ASSERT_TRUE(accounts.Post(Settle(deal, at, delivered, 2)).ok());
      ASSERT_TRUE(accounts.CheckConserved().ok());
      ASSERT_EQ(accounts.Of({kEscrow, 20}), deal.held_microcredits);
    }
    const std::int64_t settled = deal.settled_ms;
    EXPECT_TRUE(Settle(deal, at / 2, kWholePpm, 2).empty());
    ASSERT_TRUE(accounts.Post(End(deal, 3)).ok());
    ASSERT_TRUE(accounts.CheckConserved().ok());
    ASSERT_EQ(accounts.Of({kEscrow, 20}), 0);
    const std::int64_t seller = accounts.Of({kBalance, 10});
    const std::int64_t pool = accounts.Of({kPool, 0});
    ASSERT_EQ(accounts.Of({kBalance, 20}) + seller + pool, all + 1);
    ASSERT_EQ(deal.paid_microcredits, seller + pool);
    ASSERT_LE(seller + pool, DueUp(deal.pays_nanocredits, settled));
    if (delivers) {
      ASSERT_EQ(seller + pool, DueUp(deal.pays_nanocredits, settled));
      if (deal.is_surcharge) {
        ASSERT_EQ(seller, 0);
      } else if (deal.gets_nanocredits == deal.pays_nanocredits) {
        ASSERT_EQ(pool, 0);
      } else {
        ASSERT_EQ(seller, DueDown(deal.gets_nanocredits, settled));
      }
    }
  }
}

// Whole epochs: everybody's money through escrow to sellers and the pool, which gets what the epoch's sums say.
TEST(SettlementTest, AnEpochsMoneyIsConserved) {
  Random random(62);
  int pools = 0;
  for (int round = 0; round < 300; ++round) {
    WorldRules rules;
    const World world(random, rules);
    const auto outcome = ClearEpoch(world.input);
    ASSERT_TRUE(outcome.ok());
    constexpr std::int64_t kHour = 3'600'000;
    auto deals = DealsOf(*outcome, kHour);
    ASSERT_TRUE(deals.ok());
    Accounts accounts;
    for (PartyId party = 0; party < 20; ++party) Deposit(accounts, party, 1'000'000'000);
    Wide pays = 0;
    for (Deal& deal : *deals) {
      pays += deal.pays_nanocredits;
      ASSERT_TRUE(accounts.Post(Hold(deal, 1)).ok());
    }
    ASSERT_EQ(pays, outcome->sums.paid);
    for (Deal& deal : *deals) {
      ASSERT_TRUE(accounts.Post(Settle(deal, kHour, kWholePpm, 1)).ok());
      ASSERT_TRUE(accounts.Post(End(deal, 1)).ok());
    }
    ASSERT_TRUE(accounts.CheckConserved().ok());
    // Within a microcredit a deal for the rounding.
    const Wide pool = Wide{accounts.Of({kPool, 0})} * kNanoPerMicro;
    ASSERT_GE(pool, outcome->sums.pool);
    ASSERT_LE(pool, outcome->sums.pool + 2 * kNanoPerMicro * std::ssize(*deals));
    if (outcome->sums.pool > 0) ++pools;
  }
  EXPECT_GT(pools, 20);
  EXPECT_EQ(DealsOf({}, 0).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(DealsOf({}, kDealMsMax + 1).status().code(), Code::kInvalidArgument);
}

TEST(SettlementTest, BondsPayForWhatWasNotDelivered) {
  Accounts accounts;
  Deposit(accounts, 10, 1000);
  Deposit(accounts, 20, 1000);
  const Entry bond = Move(EntryWhy::kBond, {kBalance, 10}, {kBond, 10}, 300);
  ASSERT_TRUE(accounts.Post({&bond, 1}).ok());
  const Deal deal{1, 2, 10, 20};
  ASSERT_TRUE(accounts.Post(Penalty(deal, 200, 500'000, accounts.Of({kBond, 10}), 4)).ok());
  EXPECT_EQ(accounts.Of({kBalance, 20}), 1100);
  ASSERT_TRUE(accounts.Post(Penalty(deal, 5000, 500'000, accounts.Of({kBond, 10}), 4)).ok());
  EXPECT_EQ(accounts.Of({kBalance, 20}), 1300);  // no more than the bond
  EXPECT_EQ(accounts.Of({kBond, 10}), 0);
  EXPECT_TRUE(Penalty(deal, 5000, 500'000, 0, 4).empty());
  // A bid that is dropped costs its bond, to the pool.
  const Entry burn[] = {Move(EntryWhy::kBond, {kBalance, 20}, {kBond, 20}, 7),
                        Move(EntryWhy::kPenalty, {kBond, 20}, {kPool, 0}, 7)};
  ASSERT_TRUE(accounts.Post(burn).ok());
  EXPECT_EQ(accounts.Of({kPool, 0}), 7);
  EXPECT_TRUE(accounts.CheckConserved().ok());
}

}  // namespace
}  // namespace accelmesh::market::auction
