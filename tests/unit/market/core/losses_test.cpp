// Servers that do not come back: who gets their bond, and that no credit is made or lost by it.
#include "market/core/losses.h"

#include <gtest/gtest.h>

#include <random>

#include "market/core/lease_changes.h"
#include "market/core/receipts.h"
#include "market/core/registrations.h"

namespace accelmesh::market {
namespace {

constexpr std::int64_t kGoneMs = 3'600'000;
const std::string kServer(64, 'c');

class LossesTest : public testing::Test {
 protected:
  LossesTest() {
    book.Apply(*DecideDeposit(book, kServer, "first", 10'000'000));
    Register();
  }
  static std::string Tenant(std::size_t number) { return std::string(63, 'a') + std::to_string(number % 10); }
  // Two slots of 3.6 credits an hour: 1,000 microcredits a second, and a bond of 7.2 credits.
  void Register(const std::string& server = kServer, const std::string& name = "s", std::size_t count = 2) {
    std::vector<SlotRecord> slots(count);
    for (std::size_t i = 0; i < count; ++i) {
      slots[i].slot.id = name + "/" + std::to_string(i);
      slots[i].backend = "cpu";
      slots[i].device_name = "D";
      slots[i].slot.share_milli = 1000;
      slots[i].slot.share_milli_step = 1;
      slots[i].slot.memory_bytes = 1000;
      slots[i].reserve_price = 3'600'000;
    }
    book.Apply(*DecideRegistration(book, server, {name, {"tcp://s:1"}, "", 0}, slots));
  }
  // A lease of a tenant that has paid so much for it, at a price an hour, and ends with its server.
  void LoseLease(std::size_t tenant, std::int64_t paid, std::int64_t price = 3'600'000'000) {
    const std::string id = "l" + std::to_string(++leases);
    LeaseRecord lease;
    lease.slot = "s/0";
    lease.server = kServer;
    lease.tenant = Tenant(tenant);
    lease.share_milli = 1;
    lease.price_per_hour = price;
    lease.began_ms = now.now_ms - 1000;
    lease.paid_until_ms = lease.not_after_ms = now.now_ms;
    lease.paid = paid;
    book.Apply({Family::kLease, id}, lease);
    Edit edit(book);
    edit.Account(lease.tenant);
    book.Apply(edit.Finish());
    book.Apply(DecideEnd(book, id, LeaseState::kServerLost, now.now_ms, now).decision);
  }
  void LoseServer() { book.Apply({Family::kServer, kServer}, std::monostate{}); }
  // Steps until nothing is due; how many there were.
  int Run(std::size_t most = 100) {
    for (int steps = 0;; ++steps) {
      const Decision decision = DecideLosses(book, kGoneMs, now, most);
      if (decision.writes.empty()) return steps;
      EXPECT_LE(decision.writes.size() + decision.reads.size(), most);
      book.Apply(decision);
      EXPECT_TRUE(book.CountSums().balanced());
      if (steps == 1000) return steps;
    }
  }
  void Wait(std::int64_t ms) { now.now_ms = now.sweep_ms = now.now_ms + ms; }
  std::int64_t Balance(std::size_t tenant) { return book.Account(Tenant(tenant))->balance; }
  const AccountRecord& Owner() { return *book.Account(kServer); }
  const LossRecord* Loss() { return book.Find<LossRecord>(Family::kLoss, kServer); }

  Book book;
  Moment now{1'000'000, 1'000'000};
  int leases = 0;
};

TEST_F(LossesTest, WhoIsGoneForGoodPaysWhoseLeasesItTookAlong) {
  EXPECT_EQ(Owner().bond, 7'200'000);
  LoseServer();
  LoseLease(1, 500'000);
  LoseLease(2, 200'000);
  LoseLease(1, 100'000);
  LoseLease(3, 5'000'000, 1'000'000);
  Wait(kGoneMs - 1);
  Run();
  EXPECT_EQ(Owner().bond, 7'200'000) << "it may come back";
  EXPECT_EQ(book.SlotsOfServer(kServer).size(), 2U);
  Wait(1);
  Run();
  EXPECT_EQ(Balance(1), 600'000);
  EXPECT_EQ(Balance(2), 200'000);
  EXPECT_EQ(Balance(3), 1'000'000) << "an hour of its price, of the hours that it had paid for";
  EXPECT_EQ(Owner().bond, 0);
  EXPECT_EQ(Owner().balance, 10'000'000 - 1'800'000) << "the rest is its owner's";
  EXPECT_TRUE(book.SlotsOfServer(kServer).empty());
  EXPECT_EQ(Loss(), nullptr);
  EXPECT_EQ(Run(), 0);
}

TEST_F(LossesTest, WhoComesBackOwesNothingMore) {
  LoseServer();
  LoseLease(1, 500'000);
  Run();
  ASSERT_NE(Loss(), nullptr);
  Wait(kGoneMs - 1);
  Register();
  EXPECT_EQ(Loss(), nullptr);
  Wait(10 * kGoneMs);
  EXPECT_EQ(Run(), 0);
  EXPECT_EQ(Owner().bond, 7'200'000);
  // Lost again, it is away from then on.
  LoseServer();
  Run();
  Wait(kGoneMs - 1);
  EXPECT_EQ(Run(), 0);
  Wait(1);
  Run();
  EXPECT_EQ(Owner().balance, 10'000'000);
  EXPECT_EQ(Balance(1), 0) << "what it lost was another time";
}

TEST_F(LossesTest, ABondThatIsTooSmallIsSplitInProportion) {
  LoseServer();
  LoseLease(1, 7'200'000);
  LoseLease(2, 14'400'001);
  LoseLease(3, 1);
  Wait(kGoneMs);
  Run();
  EXPECT_EQ(Balance(1) + Balance(2) + Balance(3), 7'200'000);
  EXPECT_NEAR(static_cast<double>(Balance(1)), 2'400'000, 1);
  EXPECT_NEAR(static_cast<double>(Balance(2)), 4'800'000, 1);
  EXPECT_EQ(Owner().bond, 0);
  EXPECT_EQ(Owner().balance, 2'800'000);
}

TEST_F(LossesTest, OnesOwnLeaseIsNoClaimAndNeverIsNever) {
  LoseServer();
  LeaseRecord own;
  own.server = own.tenant = kServer;
  own.paid = 100;
  own.price_per_hour = 1000;
  Edit edit(book);
  ClaimBond(edit, own, now);
  book.Apply(edit.Finish());
  ASSERT_NE(Loss(), nullptr);
  EXPECT_TRUE(Loss()->claims.empty());
  Wait(100 * kGoneMs);
  EXPECT_TRUE(DecideLosses(book, 0, now, 100).writes.empty());
  // A clock that has jumped, and is not believed yet.
  now.sweep_ms = now.now_ms - 100 * kGoneMs;
  EXPECT_TRUE(DecideLosses(book, kGoneMs, now, 100).writes.empty());
}

// Of each the market requires that it is still away, and a transaction takes only so many requirements and writes.
TEST_F(LossesTest, ManyServersThatAreLostTogetherTakeSeveralSteps) {
  LoseServer();
  Run();
  const auto server_of = [](int i) { return std::string(60, 'd') + std::to_string(1000 + i); };
  for (int i = 0; i < 150; ++i) {
    book.Apply(*DecideDeposit(book, server_of(i), "first", 10'000'000));
    Register(server_of(i), "m" + std::to_string(i), 1);
  }
  for (int i = 0; i < 150; ++i) book.Apply({Family::kServer, server_of(i)}, std::monostate{});
  EXPECT_EQ(Run(), 3) << "two records of each";
  Wait(kGoneMs);
  EXPECT_GE(Run(), 6) << "four of each";
  for (int i = 0; i < 150; ++i) {
    EXPECT_TRUE(book.SlotsOfServer(server_of(i)).empty());
    EXPECT_EQ(book.Account(server_of(i))->balance, 10'000'000);
    EXPECT_EQ(book.Find<LossRecord>(Family::kLoss, server_of(i)), nullptr);
  }
}

// A server that leaves for good, and took nobody's lease along, has its bond back when its last slot goes.
TEST_F(LossesTest, NothingWaitsForABondThatNobodyIsOwed) {
  LoseServer();
  Run();
  ASSERT_NE(Loss(), nullptr);
  for (const std::string& id : std::vector(book.SlotsOfServer(kServer).begin(), book.SlotsOfServer(kServer).end())) {
    Edit edit(book);
    edit.Slot(id).is_withdrawn = true;
    book.Apply(edit.Finish());
  }
  book.Apply(DecideForgetting(book, now, 100));
  EXPECT_TRUE(book.SlotsOfServer(kServer).empty());
  EXPECT_EQ(Owner().bond, 0);
  EXPECT_EQ(Loss(), nullptr);
  EXPECT_TRUE(book.CountSums().balanced());
}

// In steps that are as small as they may be, in any order, with servers that come and go: each gets what he would have
// got at once, to the microcredit that is rounded.
TEST_F(LossesTest, AtRandomNoCreditIsMadeOrLost) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 300; ++round) {
    Register();
    const std::int64_t bond = Owner().bond;
    std::vector<std::int64_t> before;
    for (std::size_t i = 0; i < 10; ++i) {
      const AccountRecord* account = book.Account(Tenant(i));
      before.push_back(account != nullptr ? account->balance : 0);
    }
    LoseServer();
    std::vector<std::int64_t> claims(10);
    std::int64_t all = 0;
    for (std::uint64_t i = random() % 12; i > 0; --i) {
      const std::size_t tenant = random() % 10;
      const auto paid = static_cast<std::int64_t>(random() % 3'000'000);
      LoseLease(tenant, paid);
      claims[tenant] += paid;
      all += paid;
    }
    if (random() % 4 == 0) {
      Register();
      EXPECT_EQ(Run(), 0);
      EXPECT_EQ(Owner().bond, bond);
      continue;
    }
    Run();
    Wait(kGoneMs);
    Run(5 + random() % 20);
    std::int64_t paid = 0;
    for (std::size_t i = 0; i < 10; ++i) {
      const AccountRecord* account = book.Account(Tenant(i));
      const std::int64_t got = (account != nullptr ? account->balance : 0) - before[i];
      paid += got;
      const double due = all <= bond
                             ? static_cast<double>(claims[i])
                             : static_cast<double>(bond) * static_cast<double>(claims[i]) / static_cast<double>(all);
      ASSERT_NEAR(static_cast<double>(got), due, all <= bond ? 0 : 10) << round;
    }
    ASSERT_EQ(paid, std::min(bond, all)) << round;
    ASSERT_EQ(Owner().bond, 0);
    ASSERT_EQ(book.CountSums(), book.sums());
    // What was paid comes from somewhere.
    book.Apply(*DecideDeposit(book, kServer, std::to_string(round), 10'000'000));
  }
}

TEST_F(LossesTest, AsManyClaimAsOneRecordHolds) {
  Edit edit(book);
  LeaseRecord lease;
  lease.server = kServer;
  lease.paid = 10;
  lease.price_per_hour = 1000;
  for (std::size_t i = 0; i <= kClaimsMax; ++i) {
    lease.tenant = std::to_string(i);
    ClaimBond(edit, lease, now);
  }
  book.Apply(edit.Finish());
  EXPECT_EQ(Loss()->claims.size(), kClaimsMax);
}

}  // namespace
}  // namespace accelmesh::market
