// Random decisions on a book, next to a reference that knows nothing of the book: plain maps, summed anew each time.
#include <gmock/gmock.h>

#include <map>
#include <random>

#include "market/core/accounts.h"
#include "market/core/grant.h"
#include "market/core/lease_changes.h"
#include "market/core/registrations.h"
#include "scheduler/core/request_text.h"

namespace accelmesh::market {
namespace {

const std::string kTenant(64, 'a');
const std::string kOther(64, 'b');
const std::string kServer(64, 'c');

scheduler::Fragmentation NoWorkload() { return std::move(*scheduler::Fragmentation::Make({})); }

SlotRecord SlotWith(const std::string& id, std::uint32_t step = 100) {
  SlotRecord slot;
  slot.slot.id = id;
  slot.backend = "cpu";
  slot.device_name = "D";
  slot.slot.share_milli = 1000;
  slot.slot.share_milli_step = step;
  slot.slot.memory_bytes = 1000;
  slot.slot.tags.Throughput(scheduler::Operation::kMatmul, scheduler::NumberType::kFp32) = {1e12, 1e12, 1e12};
  slot.reserve_price = 3'600'000;
  return slot;
}

class DecisionsTest : public testing::Test {
 protected:
  DecisionsTest() {
    Decision registration =
        *DecideRegistration(book, kServer, {"s", {"tcp://s:1"}, "", 0}, {SlotWith("s/0"), SlotWith("s/1", 1000)});
    book.Apply(registration);
    for (const std::string& tenant : {kTenant, kOther})
      book.Apply(*DecideDeposit(book, tenant, "first", 1'000'000'000));
  }
  GrantRequest Ask(const std::string& text, const std::string& tenant = kTenant) {
    GrantRequest request;
    request.tenant = tenant;
    request.operation = std::to_string(++operations);
    request.request = *scheduler::ParseRequest(text);
    request.request_text = text;
    request.lease_ms = 60'000;
    request.holder_key.assign(32, 1);
    return request;
  }
  GrantOutcome Grant(const GrantRequest& request) {
    Result<GrantOutcome> outcome = DecideGrant(book, request, NoWorkload(), now, 5);
    EXPECT_TRUE(outcome.ok()) << outcome.status().ToString();
    if (!outcome.ok()) return {};
    book.Apply(outcome->decision);
    return std::move(*outcome);
  }

  void SetUpAgain() {
    book = Book();
    book.Apply(*DecideRegistration(book, kServer, {"s", {"tcp://s:1"}, "", 0},
                                   {SlotWith("s/0"), SlotWith("s/1", 1000), SlotWith("s/2", 10)}));
    deposited = 0;
  }
  std::string AnyLease(std::mt19937_64& random) const {
    const auto& all = book.All(Family::kLease);
    if (all.empty()) return "none";
    auto at = all.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(random() % all.size()));
    return at->first;
  }
  void RandomDecision(std::mt19937_64& random) {
    const std::string tenant = random() % 2 == 0 ? kTenant : kOther;
    const std::string lease = AnyLease(random);
    const std::string operation = "o" + std::to_string(++operations);
    switch (random() % 9) {
      case 0: {
        const auto amount = static_cast<std::int64_t>(1 + random() % 100'000);
        const auto decision = DecideDeposit(book, tenant, operation, amount);
        ASSERT_TRUE(decision.ok());
        book.Apply(*decision);
        deposited += amount;
        return;
      }
      case 1:
      case 2:
      case 3: {
        GrantRequest request =
            Ask("0.0" + std::to_string(random() % 9 + 1) + " TOPS fp32, memory=" + std::to_string(1 + random() % 600) +
                    "B" + (random() % 5 == 0 ? ", 2 slots" : ""),
                tenant);
        request.lease_ms = static_cast<std::int64_t>(1 + random() % 30'000);
        const auto outcome = DecideGrant(book, request, NoWorkload(), now, random());
        if (outcome.ok()) book.Apply(outcome->decision);
        return;
      }
      case 4: {
        const auto change =
            DecideRenewal(book, {tenant, lease, operation, static_cast<std::int64_t>(1 + random() % 30'000), 0}, now);
        if (change.ok()) book.Apply(change->decision);
        return;
      }
      case 5: {
        const auto change = DecideResize(book, tenant, lease, operation,
                                         static_cast<std::uint32_t>(random() % 11 * 100), random() % 500, now);
        if (change.ok()) book.Apply(change->decision);
        return;
      }
      case 6: {
        const auto change = DecideRelease(book, tenant, lease, now);
        if (change.ok()) book.Apply(change->decision);
        return;
      }
      default:
        while (!book.ByEnd().empty() && book.ByEnd().begin()->first <= now.sweep_ms) {
          book.Apply(DecideEnd(book, std::string(book.ByEnd().begin()->second), LeaseState::kExpired, now.now_ms, now)
                         .decision);
        }
        book.Apply(DecidePrices(book, {}, 60'000, now));
    }
  }
  // Added up from the records alone.
  void Check(std::map<std::string, std::uint64_t>& highest) {
    std::map<std::string, std::uint64_t> share;
    std::map<std::string, std::uint64_t> memory;
    std::map<std::string, std::int64_t> held;
    std::map<std::string, std::set<std::uint64_t>> epochs;
    for (const auto& [id, entry] : book.All(Family::kLease)) {
      const auto& lease = std::get<LeaseRecord>(entry);
      held[lease.tenant] += lease.held;
      ASSERT_GE(lease.held, 0);
      ASSERT_TRUE(epochs[lease.slot].insert(lease.epoch).second) << "two leases of one epoch";
      highest[lease.slot] = std::max(highest[lease.slot], lease.epoch);
      if (lease.state != LeaseState::kActive) {
        ASSERT_EQ(lease.held, 0);
        continue;
      }
      share[lease.slot] += lease.share_milli;
      memory[lease.slot] += lease.memory_bytes;
    }
    for (const scheduler::Slot& slot : book.slots()) {
      ASSERT_LE(share[slot.id], slot.share_milli);
      ASSERT_LE(memory[slot.id], slot.memory_bytes);
      ASSERT_EQ(slot.share_milli_free, slot.share_milli - share[slot.id]);
      ASSERT_EQ(slot.memory_bytes_free, slot.memory_bytes - memory[slot.id]);
      ASSERT_EQ(book.Epoch(slot.id), highest[slot.id]);
    }
    std::int64_t owned = 0;
    for (const auto& [id, entry] : book.All(Family::kAccount)) {
      const auto& account = std::get<AccountRecord>(entry);
      ASSERT_GE(account.balance, 0);
      ASSERT_EQ(account.held, held[id]);
      owned += account.balance + account.held;
    }
    ASSERT_EQ(owned, deposited);
    ASSERT_EQ(book.CountSums(), book.sums());
    ASSERT_TRUE(book.sums().balanced());
  }

  Book book;
  Moment now{1'000'000, 1'000'000};
  int operations = 0;
  std::int64_t deposited = 0;
};

TEST_F(DecisionsTest, AGrantTakesAShareItsPriceAndANewEpoch) {
  const GrantOutcome outcome = Grant(Ask("0.25 TOPS fp32, memory=300B"));
  ASSERT_EQ(outcome.leases.size(), 1U);
  const LeaseRecord* lease = book.Lease(outcome.leases[0]);
  EXPECT_EQ(lease->slot, "s/0");  // the other one is let as a whole only, which is dearer
  EXPECT_EQ(lease->share_milli, 300U);
  EXPECT_EQ(lease->epoch, 1U);
  EXPECT_EQ(lease->price_per_hour, 1'080'000);
  EXPECT_EQ(lease->held, 18'000);
  EXPECT_EQ(book.Account(kTenant)->held, 18'000);
  EXPECT_EQ(book.View("s/0")->share_milli_free, 700U);
  EXPECT_EQ(book.View("s/0")->memory_bytes_free, 700U);
  EXPECT_TRUE(book.sums().balanced());
}

TEST_F(DecisionsTest, TheSameOperationIsGrantedOnce) {
  const GrantRequest request = Ask("0.25 TOPS fp32");
  const GrantOutcome first = Grant(request);
  const GrantOutcome second = Grant(request);
  EXPECT_TRUE(second.is_repeated);
  EXPECT_EQ(first.leases, second.leases);
  EXPECT_TRUE(second.decision.writes.empty());
  EXPECT_EQ(book.active_leases(), 1U);
}

TEST_F(DecisionsTest, AGangIsAllOrNothing) {
  EXPECT_EQ(Grant(Ask("0.5 TOPS fp32, 2 slots")).leases.size(), 2U);
  const GrantOutcome none = Grant(Ask("0.5 TOPS fp32, 2 slots"));
  EXPECT_TRUE(none.leases.empty());
  EXPECT_FALSE(none.gaps.empty());
  EXPECT_EQ(book.active_leases(), 2U);
}

TEST_F(DecisionsTest, NamedSlotsAreTakenInTheirOrder) {
  GrantRequest request = Ask("0.1 TOPS fp32");
  request.slots = {"nowhere/7", "s/1", "s/0"};
  const GrantOutcome outcome = Grant(request);
  ASSERT_EQ(outcome.leases.size(), 1U);
  EXPECT_EQ(book.Lease(outcome.leases[0])->slot, "s/1");
  ASSERT_EQ(outcome.rejections.size(), 1U);
  EXPECT_EQ(outcome.rejections[0].slot, "nowhere/7");
}

TEST_F(DecisionsTest, RefusesWhatIsNotPaidForAndWhoIsBanned) {
  GrantRequest request = Ask("0.25 TOPS fp32", std::string(64, 'd'));
  EXPECT_EQ(DecideGrant(book, request, NoWorkload(), now, 0).code(), Code::kLimitExceeded);
  book.Apply(DecideTrust(book, kTenant, {"t", MarketRole::kTenant, true}));
  request = Ask("0.25 TOPS fp32");
  EXPECT_EQ(DecideGrant(book, request, NoWorkload(), now, 0).code(), Code::kPermissionDenied);
  request = Ask("0.25 TOPS fp32", kOther);
  request.price_max = 1'000'000;
  const GrantOutcome dear = Grant(request);
  EXPECT_TRUE(dear.leases.empty());
  ASSERT_FALSE(dear.rejections.empty());
  EXPECT_EQ(dear.rejections[0].gaps[0].dimension, scheduler::Dimension::kPrice);
}

TEST_F(DecisionsTest, ARenewalSettlesAtTheOldPriceAndHoldsAtTheNew) {
  const std::string id = Grant(Ask("0.25 TOPS fp32")).leases.at(0);
  PriceRecord price = *book.Price("cpu/D");
  price.price_per_hour = 7'200'000;
  book.Apply({Family::kPrice, "cpu/D"}, price);
  now.now_ms += 30'000;
  const auto renewed = DecideRenewal(book, {kTenant, id, "r1", 60'000, 0}, now);
  ASSERT_TRUE(renewed.ok()) << renewed.status().ToString();
  book.Apply(renewed->decision);
  EXPECT_EQ(renewed->paid, 9'000);
  EXPECT_EQ(renewed->returned, 9'000);
  EXPECT_EQ(book.Lease(id)->price_per_hour, 2'160'000);
  EXPECT_EQ(book.Lease(id)->held, 36'000);
  EXPECT_EQ(book.Account(kServer)->balance, 9'000);
  EXPECT_TRUE(DecideRenewal(book, {kTenant, id, "r1", 60'000, 0}, now)->is_repeated);
  EXPECT_EQ(DecideRenewal(book, {kTenant, id, "r2", 60'000, 2'000'000}, now).code(), Code::kLimitExceeded);
  EXPECT_EQ(DecideRenewal(book, {kOther, id, "r2", 60'000, 0}, now).code(), Code::kPermissionDenied);
  book.Apply(*DecideDrain(book, kServer, false, {"s/0"}, true));
  EXPECT_EQ(DecideRenewal(book, {kTenant, id, "r3", 60'000, 0}, now).code(), Code::kUnavailable);
  EXPECT_EQ(DecideDrain(book, kOther, false, {"s/0"}, false).code(), Code::kPermissionDenied);
}

// The token of before counts at the server until its end: who could renew for a moment would have the rest for nothing.
TEST_F(DecisionsTest, ARenewalNeverEndsALeaseEarlier) {
  const std::string id = Grant(Ask("0.25 TOPS fp32")).leases.at(0);
  const std::int64_t end = book.Lease(id)->not_after_ms;
  const std::int64_t held = book.Lease(id)->held;
  const auto change = DecideRenewal(book, {kTenant, id, "once more", 1, 0}, now);
  ASSERT_TRUE(change.ok()) << change.status().ToString();
  book.Apply(change->decision);
  EXPECT_EQ(book.Lease(id)->not_after_ms, end);
  EXPECT_EQ(book.Lease(id)->held, held);
  // Not longer than any lease may last, should the clock have gone back.
  now.now_ms -= 2 * kLeaseLifeMsMax;
  const auto later = DecideRenewal(book, {kTenant, id, "later", 1, 0}, now);
  ASSERT_TRUE(later.ok()) << later.status().ToString();
  book.Apply(later->decision);
  EXPECT_EQ(book.Lease(id)->not_after_ms, now.now_ms + kLeaseLifeMsMax);
}

TEST_F(DecisionsTest, RegistrationWithdrawsAndProtectsWhatIsLet) {
  const std::string id = Grant(Ask("0.25 TOPS fp32")).leases.at(0);
  SlotRecord smaller = SlotWith("s/0");
  smaller.slot.share_milli = 200;
  EXPECT_EQ(DecideRegistration(book, kServer, {}, {smaller}).code(), Code::kInvalidArgument);
  EXPECT_EQ(DecideRegistration(book, kOther, {}, {SlotWith("s/0")}).code(), Code::kPermissionDenied);
  EXPECT_EQ(DecideRegistration(book, kServer, {}, {SlotWith("x"), SlotWith("x")}).code(), Code::kInvalidArgument);
  book.Apply(*DecideRegistration(book, kServer, {}, {SlotWith("s/2")}));
  EXPECT_TRUE(book.Slot("s/0")->is_withdrawn);
  EXPECT_EQ(book.Slot("s/1"), nullptr);
  EXPECT_EQ(book.View("s/0")->share_milli_free, 0U);
  book.Apply(DecideRelease(book, kTenant, id, now)->decision);
  book.Apply(DecideForgetting(book, now, 10));
  EXPECT_EQ(book.Slot("s/0"), nullptr);
  EXPECT_EQ(book.View("s/0"), nullptr);
  EXPECT_NE(book.View("s/2"), nullptr);
  EXPECT_NE(book.Lease(id), nullptr);
  now.now_ms += kEndedKeptMs;
  book.Apply(DecideForgetting(book, now, 10));
  EXPECT_EQ(book.Lease(id), nullptr);
}

// The reference: what a tenant may use of each slot by the leases that it was granted and that have not ended.
// A provider that names its devices anew each time leaves no prices behind for ever.
TEST_F(DecisionsTest, PricesOfClassesThatAreNoMoreAreForgotten) {
  for (int i = 0; i < 400; ++i) {
    SlotRecord slot = SlotWith("s/0");
    slot.device_name = "device-" + std::to_string(i);
    const auto decision = DecideRegistration(book, kServer, {"s", {"tcp://s:1"}, "", 0}, {slot});
    ASSERT_TRUE(decision.ok()) << decision.status().ToString();
    book.Apply(*decision);
  }
  EXPECT_GE(book.All(Family::kPrice).size(), 400U);
  for (int i = 0; i < 20; ++i) book.Apply(DecideForgetting(book, now, 100));
  EXPECT_EQ(book.All(Family::kPrice).size(), kClassesKept);
  EXPECT_NE(book.Price(book.Slot("s/0")->class_name()), nullptr) << "the one that is used";
}

TEST_F(DecisionsTest, AnyOrderOfDecisionsKeepsSharesMemoryMoneyAndEpochs) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    SetUpAgain();
    std::map<std::string, std::uint64_t> highest;
    for (int step = 0; step < 300; ++step) {
      now.now_ms += static_cast<std::int64_t>(random() % 4000);
      now.sweep_ms = now.now_ms;
      RandomDecision(random);
      Check(highest);
      if (HasFatalFailure()) FAIL() << "seed " << seed << ", step " << step;
    }
  }
}

}  // namespace
}  // namespace accelmesh::market
