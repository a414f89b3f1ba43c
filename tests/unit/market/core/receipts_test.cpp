// Receipts of leases, bonds, refunds and penalties: no credit is made or lost by them.
#include "market/core/receipts.h"

#include <gmock/gmock.h>

#include <random>

#include "market/core/accounts.h"
#include "market/core/grant.h"
#include "market/core/lease_changes.h"
#include "market/core/registrations.h"
#include "market/core/trade.h"
#include "scheduler/core/request_text.h"

namespace accelmesh::market {
namespace {

using testing::HasSubstr;

const std::string kTenant(64, 'a');
const std::string kOther(64, 'b');
const std::string kServer(64, 'c');

class ReceiptsTest : public testing::Test {
 protected:
  ReceiptsTest() {
    for (const std::string& who : {kTenant, kOther, kServer}) {
      book.Apply(*DecideDeposit(book, who, "first", 100'000'000));
    }
    Register(0);
  }
  static SlotRecord SlotOf(const std::string& id) {
    SlotRecord slot;
    slot.slot.id = id;
    slot.backend = "cpu";
    slot.device_name = "D";
    slot.slot.share_milli = 1000;
    slot.slot.share_milli_step = 100;
    slot.slot.memory_bytes = 1000;
    slot.slot.tags.Throughput(scheduler::Operation::kMatmul, scheduler::NumberType::kFp32) = {1e12, 1e12, 1e12};
    slot.reserve_price = 3'600'000;
    return slot;
  }
  void Register(std::int64_t bond_max) {
    book.Apply(*DecideRegistration(book, kServer, {"s", {"tcp://s:1"}, "", 0}, {SlotOf("s/0")}, bond_max));
  }
  // Of half of the device: 500 microcredits a second.
  std::string Lease(const std::string& tenant = kTenant) {
    GrantRequest request;
    request.tenant = tenant;
    request.operation = std::to_string(++operations);
    request.request = *scheduler::ParseRequest("0.5 TOPS fp32, memory=100B");
    request.lease_ms = 60'000;
    request.holder_key.assign(32, 1);
    auto workload = std::move(*scheduler::Fragmentation::Make({}));
    const Result<GrantOutcome> outcome = DecideGrant(book, request, workload, now, 5);
    EXPECT_TRUE(outcome.ok()) << outcome.status().ToString();
    if (!outcome.ok() || outcome->leases.empty()) return "";
    book.Apply(outcome->decision);
    return outcome->leases.front();
  }
  std::string Over() {
    std::string id = Lease();
    now.now_ms += 20'000;
    book.Apply(DecideRelease(book, kTenant, id, now)->decision);
    return id;
  }
  Status Say(const std::string& who, const std::string& lease, const Said& said) {
    Result<Decision> decision = DecideSaid(book, who, lease, said);
    if (decision.ok()) book.Apply(*decision);
    return decision.status();
  }
  void Settle(const std::string& lease, const ReceiptMoney& money) {
    Edit edit(book);
    SettleReceipt(edit, lease, money);
    book.Apply(edit.Finish());
    EXPECT_TRUE(book.CountSums().balanced());
  }
  const AccountRecord& Server() { return *book.Account(kServer); }
  std::int64_t Balance(const std::string& who) { return book.Account(who)->balance; }

  Book book;
  Moment now{1'000'000, 1'000'000};
  int operations = 0;
};

TEST_F(ReceiptsTest, ABondIsAnHourOfTheSlotsPricesAsFarAsItCanBe) {
  EXPECT_EQ(Server().bond, 3'600'000);
  EXPECT_EQ(Server().balance, 96'400'000);
  Register(0);
  EXPECT_EQ(Server().bond, 3'600'000) << "once";
  // What is there may not be taken back by registering anew.
  Register(1'000'000);
  EXPECT_EQ(Server().bond, 3'600'000);
  EXPECT_TRUE(book.CountSums().balanced());
  EXPECT_EQ(book.CountSums(), book.sums());
  // It comes back when its last slot is gone.
  book.Apply(*DecideRegistration(book, kServer, {"s", {"tcp://s:1"}, "", 0}, {}));
  EXPECT_EQ(book.Slot("s/0"), nullptr);
  EXPECT_EQ(Server().bond, 0);
  EXPECT_EQ(Server().balance, 100'000'000);
  Register(1'000'000);
  EXPECT_EQ(Server().bond, 1'000'000);
}

TEST_F(ReceiptsTest, ABondComesBackWithTheLastOfSeveralSlotsThatWereLet) {
  const ServerRecord server{"s", {"tcp://s:1"}, "", 0};
  book.Apply(*DecideRegistration(book, kServer, server, {SlotOf("s/0"), SlotOf("s/1")}));
  EXPECT_EQ(Server().bond, 7'200'000);
  std::vector<std::string> leases;
  for (int i = 0; i < 4; ++i) leases.push_back(Lease());
  book.Apply(*DecideRegistration(book, kServer, server, {}));
  EXPECT_EQ(Server().bond, 7'200'000) << "while it lets";
  for (const std::string& lease : leases) book.Apply(DecideRelease(book, kTenant, lease, now)->decision);
  book.Apply(DecideForgetting(book, now, 10));
  EXPECT_TRUE(book.All(Family::kSlot).empty());
  EXPECT_EQ(Server().bond, 0);
  EXPECT_TRUE(book.CountSums().balanced());
}

TEST_F(ReceiptsTest, WhoMaySignAndWhen) {
  const std::string id = Lease();
  const Said said{1'000'000, 1'000'000, false, 5, std::string(64, 's')};
  EXPECT_THAT(Say(kTenant, id, said).text(), HasSubstr("not over"));
  EXPECT_EQ(Say(kTenant, "none", said).code(), Code::kNotFound);
  EXPECT_EQ(Say(kOther, id, said).code(), Code::kPermissionDenied);
  now.now_ms += 20'000;
  book.Apply(DecideRelease(book, kTenant, id, now)->decision);
  EXPECT_EQ(ReceiptStateOf(*book.Lease(id)), "open");
  EXPECT_EQ(book.Lease(id)->bond, 3'600'000);
  ASSERT_TRUE(Say(kTenant, id, said).ok());
  EXPECT_EQ(ReceiptStateOf(*book.Lease(id)), "buyer");
  EXPECT_FALSE(IsCounterSigned(*book.Lease(id)));
  EXPECT_TRUE(DecideSaid(book, kTenant, id, said)->writes.empty()) << "the same again";
  Said other = said;
  other.used_ppm = 6;
  ASSERT_TRUE(Say(kServer, id, other).ok());
  EXPECT_EQ(ReceiptStateOf(*book.Lease(id)), "disputed");
  other = said;
  other.signature.assign(64, 't');
  ASSERT_TRUE(Say(kServer, id, other).ok());
  EXPECT_EQ(ReceiptStateOf(*book.Lease(id)), "both");
  EXPECT_TRUE(IsCounterSigned(*book.Lease(id)));
  other.used_ppm = 7;
  EXPECT_THAT(Say(kServer, id, other).text(), HasSubstr("both have signed"));
}

TEST_F(ReceiptsTest, ALeaseThatLastedNoTimeHasNone) {
  const std::string id = Lease();
  book.Apply(DecideRelease(book, kTenant, id, now)->decision);
  EXPECT_FALSE(HasReceipt(*book.Lease(id)));
  EXPECT_THAT(Say(kTenant, id, {1, 1, false, 1, "s"}).text(), HasSubstr("no time"));
  // Nor has one's own.
  const std::string own = Lease(kServer);
  now.now_ms += 20'000;
  book.Apply(DecideRelease(book, kServer, own, now)->decision);
  EXPECT_FALSE(HasReceipt(*book.Lease(own)));
}

TEST_F(ReceiptsTest, ARefundComesFromTheBalanceThenFromTheBondAndAPenaltyFromTheBond) {
  const std::string id = Over();
  ASSERT_EQ(book.Lease(id)->paid, 10'000);
  const std::int64_t before = Balance(kTenant);
  Settle(id, {4'000, PenaltyOf(4'000)});
  EXPECT_EQ(Balance(kTenant), before + 4'400);
  EXPECT_EQ(Server().bond, 3'600'000 - 400);
  EXPECT_EQ(book.Lease(id)->refunded, 4'400);
  // Never more than was paid, nor than there is.
  const std::string much = Over();
  Settle(much, {50'000, 0});
  EXPECT_EQ(book.Lease(much)->refunded, 10'000);
  const std::string next = Over();
  Edit poor(book);
  AccountRecord& server = poor.Account(kServer);
  poor.Account(kOther).balance += server.balance - 1'000;
  server.balance = 1'000;
  poor.Account(kOther).balance += server.bond - 2'000;
  server.bond = 2'000;
  book.Apply(poor.Finish());
  Settle(next, {50'000, 100});
  EXPECT_EQ(book.Lease(next)->refunded, 3'000);
  EXPECT_EQ(Server().balance + Server().bond, 0);
}

TEST_F(ReceiptsTest, WhoIsLostFromSightPaysAPenaltyForWhatWasLeft) {
  const std::string id = Lease();
  now.now_ms += 20'000;
  const std::int64_t before = Balance(kTenant) + book.Account(kTenant)->held;
  book.Apply(DecideEnd(book, id, LeaseState::kServerLost, now.now_ms, now).decision);
  // 40 of its 60 seconds were left: 20,000 come back, and a tenth of that from the bond.
  EXPECT_EQ(Balance(kTenant), before - 10'000 + 2'000);
  EXPECT_EQ(Server().bond, 3'600'000 - 2'000);
  EXPECT_TRUE(book.CountSums().balanced());
  // Nobody is paid for what he has not lost.
  const std::string own = Lease(kOther);
  book.Apply(DecideRelease(book, kOther, own, now)->decision);
  EXPECT_EQ(Server().bond, 3'600'000 - 2'000);
}

TEST_F(ReceiptsTest, SharesOfAClassComeToItsDevicesAtMost) {
  IdentityRecord one{"a", MarketRole::kTenant, false, 5, {{"cpu/D", 600'000}}};
  book.Apply(*DecideShares(book, kTenant, one));
  IdentityRecord two{"b", MarketRole::kTenant, false, 0, {{"cpu/D", 400'001}}};
  EXPECT_EQ(DecideShares(book, kOther, two).code(), Code::kLimitExceeded);
  two.floors = {{"cpu/D", 400'000}, {"cpu/E", 1'000'000}};
  book.Apply(*DecideShares(book, kOther, two));
  EXPECT_EQ(book.Identity(kOther)->floors.size(), 2U);
  two.floors = {{"cpu/E", 1}, {"cpu/E", 2}};
  EXPECT_EQ(DecideShares(book, kOther, two).code(), Code::kInvalidArgument);
  // One's own are replaced, not added.
  one.floors = {{"cpu/D", 599'999}};
  EXPECT_TRUE(DecideShares(book, kTenant, one).ok());
}

TEST_F(ReceiptsTest, AtRandomNoCreditIsMadeOrLost) {
  std::mt19937_64 random(7);
  std::vector<std::string> over;
  for (int step = 0; step < 5000; ++step) {
    now.now_ms += static_cast<std::int64_t>(random() % 5'000);
    now.sweep_ms = now.now_ms;
    const std::string tenant = random() % 2 == 0 ? kTenant : kOther;
    switch (random() % 6) {
      case 0:
      case 1: Lease(tenant); break;
      case 2:
        if (!book.ByEnd().empty()) {
          const std::string id = book.ByEnd().begin()->second;
          const LeaseState state = random() % 2 == 0 ? LeaseState::kServerLost : LeaseState::kReleased;
          book.Apply(DecideEnd(book, id, state, now.now_ms, now).decision);
          over.push_back(id);
        }
        break;
      case 3:
        if (!over.empty()) {
          Settle(over[random() % over.size()],
                 {static_cast<std::int64_t>(random() % 40'000), static_cast<std::int64_t>(random() % 4'000)});
        }
        break;
      case 4: Register(static_cast<std::int64_t>(random() % 5'000'000)); break;
      default:
        while (!book.ByEnd().empty() && book.ByEnd().begin()->first <= now.sweep_ms) {
          book.Apply(DecideEnd(book, std::string(book.ByEnd().begin()->second), LeaseState::kExpired, now.now_ms, now)
                         .decision);
        }
    }
    ASSERT_TRUE(book.CountSums().balanced()) << step;
    ASSERT_EQ(book.CountSums(), book.sums()) << step;
    for (const std::string& who : {kTenant, kOther, kServer}) {
      ASSERT_GE(book.Account(who)->balance, 0);
      ASSERT_GE(book.Account(who)->bond, 0);
    }
  }
  EXPECT_GT(over.size(), 100U);
}

}  // namespace
}  // namespace accelmesh::market
