#include "server/main/lease_book.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>

namespace accelmesh {
namespace {

using security::CurveKey;
using security::LeaseTerms;
using security::SigningKey;

constexpr std::int64_t kNow = 1'700'000'000'000;

SigningKey Key(std::uint8_t number) { return SigningKey::FromSeed(Bytes(security::kKeyBytes, number)).value(); }

CurveKey Curve(std::uint8_t number) {
  CurveKey key;
  key.bytes.fill(number);
  return key;
}

class LeaseBookTest : public ::testing::Test {
 protected:
  LeaseBookTest() {
    char path[] = "/tmp/lease_book_test_XXXXXX";
    root = ::mkdtemp(path);
    Open();
  }
  ~LeaseBookTest() override { std::filesystem::remove_all(root); }

  void Open() {
    book.reset();
    book = std::make_unique<LeaseBook>("server-1", std::vector{market.public_key()},
                                       market::EpochFile::Open(root + "/epochs").value());
  }
  // A token of `lease` under `epoch`, held by `holder`, until `until` ms from now.
  Bytes Token(const std::string& lease, std::uint64_t epoch, std::uint8_t holder, std::uint32_t share = 1000,
              std::int64_t until = 60'000) {
    const LeaseTerms terms{share, 1 << 20, kNow, kNow + until, Curve(holder), tenant.public_key()};
    return GrantLease(market, {lease, "slot-1", "server-1", epoch}, terms).value();
  }
  Result<AdmittedLease> Admit(const Bytes& token, std::uint8_t holder, std::int64_t after = 1000) {
    return book->Admit(token, Curve(holder), kNow + after);
  }
  void ExpectDenied(const Result<AdmittedLease>& lease, const std::string& says) {
    ASSERT_FALSE(lease.ok()) << says;
    EXPECT_EQ(lease.code(), Code::kPermissionDenied) << lease.status().ToString();
    EXPECT_NE(lease.status().text().find(says), std::string::npos) << lease.status().text();
  }
  // The names of the leases that end at `after`, and that each says why.
  std::vector<std::string> Ended(std::int64_t after = 1000) {
    std::vector<std::string> names;
    for (const EndedLease& ended : book->Expire(kNow + after)) {
      EXPECT_NE(ended.why.find(ended.lease.lease), std::string::npos) << ended.why;
      names.push_back(ended.lease.lease);
    }
    return names;
  }

  const SigningKey market = Key(1);
  const SigningKey tenant = Key(2);
  std::string root;
  std::unique_ptr<LeaseBook> book;
};

using Names = std::vector<std::string>;

TEST_F(LeaseBookTest, AdmitsWhatTheMarketGranted) {
  const Result<AdmittedLease> lease = Admit(Token("a", 3, 10, 250), 10);
  ASSERT_TRUE(lease.ok()) << lease.status().ToString();
  EXPECT_EQ(lease->lease, "a");
  EXPECT_EQ(lease->slot, "slot-1");
  EXPECT_EQ(lease->epoch, 3U);
  EXPECT_EQ(lease->share_milli, 250U);
  EXPECT_EQ(lease->memory_bytes, 1U << 20);
  EXPECT_EQ(lease->not_after_ms, kNow + 60'000);
  ASSERT_NE(book->Find(lease->Key()), nullptr);
  EXPECT_TRUE(Ended().empty());
}

TEST_F(LeaseBookTest, RefusesWhatTheTokenDoesNotAllow) {
  ExpectDenied(Admit(Token("a", 3, 10), 11), "bound to another client's key");
  ExpectDenied(Admit(Token("a", 3, 10), 10, 60'000), "expired");
  book->Trust({tenant.public_key()});
  ExpectDenied(Admit(Token("a", 3, 10), 10), "");
  EXPECT_EQ(Admit(Bytes(10), 10).code(), Code::kBadFrame);
}

TEST_F(LeaseBookTest, ARenewalExtendsAndAnOldTokenDoesNotShorten) {
  ASSERT_TRUE(Admit(Token("a", 3, 10), 10).ok());
  EXPECT_EQ(Admit(Token("a", 3, 10, 1000, 120'000), 10)->not_after_ms, kNow + 120'000);
  EXPECT_EQ(Admit(Token("a", 3, 10), 10)->not_after_ms, kNow + 120'000);
  EXPECT_TRUE(Ended(119'999).empty());
  EXPECT_EQ(Ended(120'000), Names{"a"});
  EXPECT_TRUE(Ended(120'000).empty()) << "told once";
}

TEST_F(LeaseBookTest, EpochsOutliveTheServer) {
  ASSERT_TRUE(Admit(Token("a", 5, 10), 10).ok());
  Open();
  ExpectDenied(Admit(Token("b", 4, 11), 11), "let anew since (5)");
  EXPECT_TRUE(Admit(Token("a", 5, 10), 10).ok());
}

TEST_F(LeaseBookTest, ALaterGrantOfTheWholeSlotEndsTheEarlier) {
  ASSERT_TRUE(Admit(Token("a", 5, 10), 10).ok());
  ASSERT_TRUE(Admit(Token("b", 6, 11), 11).ok());
  EXPECT_EQ(Ended(), Names{"a"});
  ExpectDenied(Admit(Token("a", 5, 10), 10), "");
}

TEST_F(LeaseBookTest, AFloorEndsWhatIsBelowIt) {
  ASSERT_TRUE(Admit(Token("a", 5, 10), 10).ok());
  ASSERT_TRUE(book->Raise("slot-1", 5).ok());
  EXPECT_TRUE(Ended().empty());
  ASSERT_TRUE(book->Raise("slot-2", 9).ok());
  EXPECT_TRUE(Ended().empty());
  ASSERT_TRUE(book->Raise("slot-1", 6).ok());
  EXPECT_EQ(Ended(), Names{"a"});
  ASSERT_TRUE(book->Raise("slot-1", 2).ok()) << "an old push changes nothing";
  ExpectDenied(Admit(Token("a", 5, 10), 10), "");
}

TEST_F(LeaseBookTest, SharesLieSideBySideAsLongAsTheyFit) {
  ASSERT_TRUE(Admit(Token("a", 1, 10, 400), 10).ok());
  ASSERT_TRUE(Admit(Token("b", 2, 11, 400), 11).ok());
  ASSERT_TRUE(Admit(Token("c", 3, 12, 200), 12).ok());
  EXPECT_TRUE(Ended().empty());
  // The earliest goes, and no more than needed.
  ASSERT_TRUE(Admit(Token("d", 4, 13, 300), 13).ok());
  EXPECT_EQ(Ended(), Names{"a"});
  ExpectDenied(Admit(Token("a", 1, 10, 400), 10), "");
  EXPECT_TRUE(Admit(Token("b", 2, 11, 400, 90'000), 11).ok()) << "a renewal";
  EXPECT_TRUE(Ended().empty());
}

TEST_F(LeaseBookTest, AnEarlierGrantDoesNotDisplaceALaterOne) {
  ASSERT_TRUE(Admit(Token("b", 7, 11, 700), 11).ok());
  ExpectDenied(Admit(Token("a", 6, 10, 400), 10), "a later grant of slot slot-1 is known");
  EXPECT_TRUE(Ended().empty());
}

// Whatever comes in whatever order, a slot is never exceeded.
TEST_F(LeaseBookTest, ASlotIsNeverExceeded) {
  book = std::make_unique<LeaseBook>("server-1", std::vector{market.public_key()}, nullptr);
  book->SetSlot("slot-1", 600, 3 << 20);
  unsigned seed = 1;
  const auto next = [&seed](unsigned bound) { return (seed = seed * 1664525U + 1013904223U) / 65536U % bound; };
  std::map<std::string, std::uint32_t> live;
  for (int round = 0; round < 600; ++round) {
    const unsigned name = next(40);
    const std::uint32_t share = 100 * (1 + next(6));
    const auto lease = Admit(Token(std::to_string(name), name + 1, static_cast<std::uint8_t>(name + 1), share),
                             static_cast<std::uint8_t>(name + 1));
    if (lease.ok()) live[lease->lease] = share;
    if (next(10) == 0) book->Revoke(std::to_string(next(40)), "lease was revoked");
    for (const EndedLease& ended : book->Expire(kNow + 1000)) live.erase(ended.lease.lease);
    std::uint32_t sum = 0;
    for (const auto& [lease_name, part] : live) sum += part;
    ASSERT_LE(sum, 600U) << "round " << round;
    ASSERT_LE(live.size(), 3U) << "memory, in round " << round;
  }
}

TEST_F(LeaseBookTest, AHolderGivesBackItsOwnOnly) {
  ASSERT_TRUE(Admit(Token("a", 3, 10), 10).ok());
  EXPECT_EQ(book->End("a", Curve(11)).code(), Code::kNotFound);
  EXPECT_TRUE(Ended().empty());
  ASSERT_TRUE(book->End("a", Curve(10)).ok());
  EXPECT_EQ(Ended(), Names{"a"});
  ExpectDenied(Admit(Token("a", 3, 10), 10), "given back");
}

TEST_F(LeaseBookTest, ARevocationTakesSubletsAlong) {
  const Bytes whole = Token("a", 3, 10);
  LeaseTerms part{300, 1 << 10, kNow, kNow + 50'000, Curve(12), std::nullopt};
  const Bytes sublet = AttenuateLease(whole, tenant, part).value();
  ASSERT_TRUE(Admit(whole, 10).ok());
  ASSERT_TRUE(Admit(sublet, 12).ok());
  EXPECT_EQ(book->Find("a/" + security::HexOf(Curve(12).bytes))->share_milli, 300U);
  book->Revoke("a", "lease a was revoked by its market");
  EXPECT_EQ(Ended(), (Names{"a", "a"}));
}

// A lease and all whom it was let on to share what the market let; nobody multiplies it by letting it on to himself.
TEST_F(LeaseBookTest, WhatIsLetOnTheHolderHasNoMore) {
  const auto of = [](std::uint32_t share, std::uint64_t memory, std::uint8_t holder, std::int64_t until = 50'000) {
    return LeaseTerms{share, memory, kNow, kNow + until, Curve(holder), std::nullopt};
  };
  const Bytes whole = Token("a", 3, 10, 600);  // of 1 MiB
  ASSERT_EQ(Admit(whole, 10)->share_milli, 600U);
  const std::string key = "a/" + security::HexOf(Curve(10).bytes);
  ASSERT_TRUE(Admit(AttenuateLease(whole, tenant, of(200, 1 << 18, 11)).value(), 11).ok());
  EXPECT_EQ(book->Find(key)->share_milli, 400U);
  EXPECT_EQ(book->Find(key)->memory_bytes, (1U << 20) - (1U << 18));
  ASSERT_TRUE(Admit(AttenuateLease(whole, tenant, of(300, 1 << 18, 12, 20'000)).value(), 12).ok());
  EXPECT_EQ(book->Find(key)->share_milli, 100U);
  ExpectDenied(Admit(AttenuateLease(whole, tenant, of(200, 1, 13)).value(), 13), "500 and 524288 are let on already");
  ExpectDenied(Admit(AttenuateLease(whole, tenant, of(1, 1 << 20, 13)).value(), 13), "let on already");
  EXPECT_EQ(Admit(whole, 10)->share_milli, 100U) << "a renewal does not bring it back";
  // Once a part has ended it is the holder's again.
  EXPECT_EQ(Ended(30'000), Names{"a"});
  EXPECT_EQ(book->Find(key)->share_milli, 400U);
  std::vector<std::string> changed;
  for (const AdmittedLease& lease : book->TakeChanged()) changed.push_back(lease.Key());
  EXPECT_NE(std::find(changed.begin(), changed.end(), key), changed.end()) << "running sessions are told";
  // It stands in nobody else's way with more than it has.
  EXPECT_TRUE(Admit(Token("b", 4, 20, 400), 20).ok());
  EXPECT_NE(book->Find(key), nullptr);
}

// The market ended it before its holder came, and its token lasts for a while yet.
TEST_F(LeaseBookTest, ARevocationCountsForWhoHasNotComeYet) {
  book->Revoke("a", "lease a was revoked by its market", 3);
  ExpectDenied(Admit(Token("a", 3, 10), 10), "revoked by its market");
  EXPECT_TRUE(Admit(Token("a", 4, 10), 10).ok()) << "granted anew";
  // A token that was signed before has ended by then, and what was kept of it goes.
  EXPECT_TRUE(Ended(1000).empty());
  book->Revoke("b", "lease b was revoked by its market", 5);
  (void)Ended(1000);
  EXPECT_EQ(Ended(1000 + security::kLeaseLifeMsMax), Names{"a"});
  (void)Ended(1002 + security::kLeaseLifeMsMax);
  const LeaseTerms late{1000,
                        1 << 20,
                        kNow + security::kLeaseLifeMsMax,
                        kNow + security::kLeaseLifeMsMax + 60'000,
                        Curve(10),
                        tenant.public_key()};
  const Bytes token = GrantLease(market, {"b", "slot-1", "server-1", 5}, late).value();
  EXPECT_TRUE(book->Admit(token, Curve(10), kNow + security::kLeaseLifeMsMax + 1000).ok());
}

// Who pays for less from now on keeps the token for more.
TEST_F(LeaseBookTest, AnOldTokenGivesNoMoreThanTheMarketLeft) {
  const Bytes whole = Token("a", 3, 10);
  ASSERT_TRUE(Admit(whole, 10).ok());
  book->Shrink({"a", 250, 1 << 19}, "lease a was made smaller");
  for (const Result<AdmittedLease>& again : {Admit(whole, 10), Admit(Token("a", 3, 10, 500), 10)}) {
    ASSERT_TRUE(again.ok()) << again.status().ToString();
    EXPECT_EQ(again->share_milli, 250U);
    EXPECT_EQ(again->memory_bytes, 1U << 19);
  }
  EXPECT_EQ(Admit(Token("a", 3, 10, 100), 10)->share_milli, 100U);
  // Before anybody came.
  book->Shrink({"b", 250, 1 << 19}, "lease b was made smaller");
  EXPECT_EQ(Admit(Token("b", 4, 11, 300), 11)->share_milli, 250U);
  book->Shrink({"c", 0, 0}, "lease c was sold");
  ExpectDenied(Admit(Token("c", 5, 12, 100), 12), "was sold");
}

// A holder who lets his lease on to ever more keys leaves room for the other tenants.
TEST_F(LeaseBookTest, SubletsTakeNoRoomFromOtherLeases) {
  const Bytes token = Token("a", 3, 1, 300);
  ASSERT_TRUE(Admit(token, 1).ok());
  std::size_t admitted = 1;
  Status refused;
  for (std::uint8_t holder = 2; holder < 200; ++holder) {
    const LeaseTerms terms{1, 1 << 10, kNow, kNow + 60'000, Curve(holder), std::nullopt};
    const Result<AdmittedLease> sublet = Admit(AttenuateLease(token, tenant, terms).value(), holder);
    admitted += sublet.ok();
    if (!sublet.ok()) refused = sublet.status();
  }
  EXPECT_EQ(admitted, LeaseBook::kHoldersMax);
  EXPECT_EQ(refused.code(), Code::kLimitExceeded) << refused.ToString();
  EXPECT_TRUE(Admit(Token("b", 4, 210, 100), 210).ok());
  EXPECT_TRUE(Admit(token, 1).ok()) << "who is there stays";
}

// Nor do the sublets of many small leases, which are ended and made anew.
TEST_F(LeaseBookTest, SubletsOfManyLeasesLeaveRoomForLeases) {
  std::size_t admitted = 0;
  for (std::uint64_t number = 1; number <= 100; ++number) {
    const std::string lease = "small-" + std::to_string(number);
    const Bytes token = Token(lease, number, 1, 2);
    for (std::uint8_t holder = 2; holder < 66; ++holder) {
      const LeaseTerms terms{1, 1, kNow, kNow + 60'000, Curve(holder), std::nullopt};
      admitted += Admit(AttenuateLease(token, tenant, terms).value(), holder).ok();
      (void)book->End(lease, Curve(holder));
    }
  }
  EXPECT_EQ(admitted, LeaseBook::kSubletsUpTo);
  EXPECT_TRUE(Admit(Token("honest", 200, 210, 100), 210).ok());
}

// A token says what the seller keeps each time it comes.
TEST(LeaseLimitsTest, WhatIsSaidAgainAndAgainIsKeptOnce) {
  LeaseLimits limits;
  std::int64_t now = kNow;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 1000; ++i) limits.Add("a", {3, 500, 1, "sold"});
    limits.Forget(now += 50);
  }
  EXPECT_EQ(limits.dates(), 10u);
  EXPECT_NE(limits.Find("a", 3), nullptr);
  limits.Forget(now + security::kLeaseLifeMsMax + 1);
  EXPECT_EQ(limits.Find("a", 3), nullptr);
  EXPECT_EQ(limits.dates(), 0u);
}

TEST_F(LeaseBookTest, AProgramIsKnownByItsSecret) {
  const security::SecretHash hash = security::HashOfSecret(AsBytes(std::string_view("secret")));
  ASSERT_TRUE(book->Admit(Token("a", 3, 10), Curve(10), kNow, hash).ok());
  EXPECT_EQ(book->AdmitBySecret("secret", kNow)->lease, "a");
  EXPECT_EQ(book->AdmitBySecret("secreT", kNow).code(), Code::kPermissionDenied);
  EXPECT_EQ(book->AdmitBySecret("", kNow).code(), Code::kPermissionDenied);
  EXPECT_EQ(book->AdmitBySecret("secret", kNow + 60'000).code(), Code::kPermissionDenied);
  book->Revoke("a", "lease a was revoked");
  ExpectDenied(book->AdmitBySecret("secret", kNow), "was revoked");
}

// A part of a lease was sold: its seller gives way, though he is not the earliest, and nobody else does.
TEST_F(LeaseBookTest, WhoHasSoldAPartMakesRoomForItsBuyer) {
  ASSERT_TRUE(Admit(Token("other", 4, 1, 200), 1).ok());
  ASSERT_TRUE(Admit(Token("seller", 5, 2, 800), 2).ok());
  (void)book->TakeChanged();
  const auto sold = [&](std::uint64_t epoch, std::uint8_t holder, std::uint32_t share, std::uint32_t rest) {
    const LeaseTerms terms{share, 1 << 18, kNow, kNow + 60'000, Curve(holder), std::nullopt};
    return GrantLease(market, {"buyer" + std::to_string(epoch), "slot-1", "server-1", epoch, {"seller", rest, 1 << 19}},
                      terms)
        .value();
  };
  ASSERT_TRUE(Admit(sold(6, 3, 300, 500), 3).ok());
  EXPECT_TRUE(Ended().empty());
  const auto changed = [&] {
    std::map<std::string, std::uint32_t> shares;
    for (const AdmittedLease& lease : book->TakeChanged()) shares[lease.lease] = lease.share_milli;
    return shares;
  };
  EXPECT_EQ(changed(), (std::map<std::string, std::uint32_t>{{"seller", 500}, {"buyer6", 300}}));
  EXPECT_TRUE(book->TakeChanged().empty());
  // The token that the seller had before gives it no more than it has kept.
  EXPECT_EQ(Admit(Token("seller", 5, 2, 800), 2)->share_milli, 500U);
  ASSERT_TRUE(Admit(Token("seller", 5, 2, 500), 2).ok());
  // Another part; told again, and out of order, it takes nothing more.
  ASSERT_TRUE(Admit(sold(7, 4, 100, 400), 4).ok());
  ASSERT_TRUE(Admit(sold(6, 3, 300, 500), 3).ok());
  EXPECT_EQ(changed(), (std::map<std::string, std::uint32_t>{{"seller", 400}, {"buyer7", 100}}));
  EXPECT_TRUE(Ended().empty());
  // All of it: the seller's ends, and says why.
  ASSERT_TRUE(Admit(sold(8, 5, 400, 0), 5).ok());
  EXPECT_EQ(Ended(), std::vector<std::string>{"seller"});
}

TEST_F(LeaseBookTest, TheMarketsWordShrinksALease) {
  ASSERT_TRUE(Admit(Token("lease-1", 5, 2, 800), 2).ok());
  (void)book->TakeChanged();
  book->Shrink({"lease-1", 300, 1 << 19}, "sold");
  const std::vector<AdmittedLease> changed = book->TakeChanged();
  ASSERT_EQ(changed.size(), 1U);
  EXPECT_EQ(changed.front().share_milli, 300U);
  EXPECT_EQ(changed.front().memory_bytes, 1U << 19);
  book->Shrink({"lease-1", 300, 1 << 19}, "sold");
  book->Shrink({"nobody's", 1, 1}, "sold");
  EXPECT_TRUE(book->TakeChanged().empty());
}

}  // namespace
}  // namespace accelmesh
