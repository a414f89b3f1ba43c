#include "protocol/security/lease_token.h"

#include <gtest/gtest.h>

#include <random>

#include "protocol/schema/lease_generated.h"

namespace accelmesh::security {
namespace {

constexpr std::int64_t kNow = 1'700'000'000'000;

SigningKey Key(std::uint8_t number) {
  const Bytes seed(kKeyBytes, number);
  return SigningKey::FromSeed(seed).value();
}

CurveKey Curve(std::uint8_t number) {
  CurveKey key;
  key.bytes.fill(number);
  return key;
}

// A market, a tenant that holds a lease, and a second tenant to whom it lets a part.
class LeaseTokenTest : public ::testing::Test {
 protected:
  SigningKey market = Key(1);
  SigningKey tenant = Key(2);
  SigningKey second = Key(3);
  const LeaseGrant grant{"lease-1", "slot-1", "server-1", 7};
  LeaseTerms whole{500, 1 << 30, kNow, kNow + kLeaseLifeMsMax, Curve(10), tenant.public_key()};
  LeaseTerms part{200, 1 << 20, kNow + 1000, kNow + 60'000, Curve(11), second.public_key()};
  std::vector<PublicKey> markets{market.public_key()};

  LeaseCheck Check(std::uint8_t client = 10, std::int64_t now = kNow + 2000) {
    return {markets, "server-1", Curve(client), now, nullptr};
  }
  Bytes Token() { return GrantLease(market, grant, whole).value(); }
  Bytes Sublet() { return AttenuateLease(Token(), tenant, part).value(); }

  void ExpectDenied(ByteView token, const LeaseCheck& check, const std::string& says) {
    const Result<Lease> lease = VerifyLease(token, check);
    ASSERT_FALSE(lease.ok()) << says;
    EXPECT_EQ(lease.code(), Code::kPermissionDenied) << lease.status().ToString();
    EXPECT_NE(lease.status().text().find(says), std::string::npos) << lease.status().text();
  }
};

TEST_F(LeaseTokenTest, SaysWhatWasGranted) {
  const Result<Lease> lease = VerifyLease(Token(), Check());
  ASSERT_TRUE(lease.ok()) << lease.status().ToString();
  EXPECT_EQ(*lease, (Lease{grant, whole, 0, whole.share_milli, whole.memory_bytes}));
  EXPECT_LT(Token().size(), 500U);
}

TEST_F(LeaseTokenTest, WhatIsLeftOfASellersLeaseIsSaid) {
  LeaseGrant sold = grant;
  sold.rest = {"lease-0", 300, 1 << 20};
  const Result<Lease> lease = VerifyLease(GrantLease(market, sold, whole).value(), Check());
  ASSERT_TRUE(lease.ok()) << lease.status().ToString();
  EXPECT_EQ(lease->grant, sold);
  for (const LeaseRest& wrong : {LeaseRest{"", 300, 0}, LeaseRest{"lease-1", 300, 0}, LeaseRest{"lease-0", 1000, 0},
                                 LeaseRest{"two words", 300, 0}}) {
    sold.rest = wrong;
    EXPECT_EQ(GrantLease(market, sold, whole).code(), Code::kInvalidArgument);
  }
}

TEST_F(LeaseTokenTest, ASubletSaysWhatIsLeft) {
  const Result<Lease> lease = VerifyLease(Sublet(), Check(11));
  ASSERT_TRUE(lease.ok()) << lease.status().ToString();
  EXPECT_EQ(*lease, (Lease{grant, part, 1, whole.share_milli, whole.memory_bytes}));
}

TEST_F(LeaseTokenTest, ReplayedByAnotherClient) {
  ExpectDenied(Token(), Check(12), "bound to another client's key");
  // Whoever holds a sublet can cut its block off; the lease that is left is not bound to its key.
  ExpectDenied(Token(), Check(11), "bound to another client's key");
  ExpectDenied(Sublet(), Check(10), "bound to another client's key");
}

TEST_F(LeaseTokenTest, ReplayedAtAnotherServer) {
  LeaseCheck check = Check();
  check.server = "server-2";
  ExpectDenied(Token(), check, "for server server-1, and this is server-2; connect there");
}

TEST_F(LeaseTokenTest, ReplayedAfterItWasRevoked) {
  EpochFence fence;
  ASSERT_TRUE(fence.Raise("slot-1", 7).ok());
  LeaseCheck check = Check();
  check.fence = &fence;
  EXPECT_TRUE(VerifyLease(Token(), check).ok());
  ASSERT_TRUE(fence.Raise("slot-1", 8).ok());
  ASSERT_TRUE(fence.Raise("slot-1", 3).ok());
  EXPECT_EQ(fence.Seen("slot-1"), 8U);
  ExpectDenied(Token(), check, "revoked: epoch 7 of slot slot-1, which is at 8; ask the market for a new lease");
}

TEST_F(LeaseTokenTest, ExpiredOrEarly) {
  const std::int64_t end = whole.not_after_ms;
  EXPECT_TRUE(VerifyLease(Token(), Check(10, end - 1)).ok());
  ExpectDenied(Token(), Check(10, end), "expired 0 ms ago by this server's clock; renew the lease before it ends");
  ExpectDenied(Token(), Check(10, end + 42), "expired 42 ms ago");
  // The issuer's clock may be ahead of ours by the skew, not by more.
  EXPECT_TRUE(VerifyLease(Token(), Check(10, kNow - kClockSkewMs)).ok());
  ExpectDenied(Token(), Check(10, kNow - kClockSkewMs - 1),
               "begins in 5001 ms by this server's clock; wait, or set the clocks of both machines");
}

TEST_F(LeaseTokenTest, Forged) {
  const Bytes by_another = GrantLease(tenant, grant, whole).value();
  ExpectDenied(by_another, Check(), "forged, or signed by a market that this server does not trust");
  // While keys are rotated both are trusted.
  markets.push_back(tenant.public_key());
  EXPECT_TRUE(VerifyLease(by_another, Check()).ok());
  markets.clear();
  ExpectDenied(Token(), Check(), "forged");
}

TEST_F(LeaseTokenTest, WrongKeyForASublet) {
  const Result<Bytes> token = AttenuateLease(Token(), second, part);
  EXPECT_EQ(token.code(), Code::kPermissionDenied);
  EXPECT_EQ(token.status().text(), "the lease may not be sublet by this key; use its holder's");
  whole.next_key.reset();
  EXPECT_FALSE(AttenuateLease(Token(), tenant, part).ok());
}

TEST_F(LeaseTokenTest, OverAttenuatedIsRefusedByWhoLets) {
  const struct {
    const char* says;
    void (*spoil)(LeaseTerms&);
  } cases[] = {
      {"a share of 501 thousandths out of 500 thousandths; let less", [](LeaseTerms& t) { t.share_milli = 501; }},
      {"memory of 1073741825 bytes out of 1073741824 bytes", [](LeaseTerms& t) { t.memory_bytes = (1 << 30) + 1; }},
      {"a beginning 1 ms earlier", [](LeaseTerms& t) { t.not_before_ms = kNow - 1; }},
      {"an end 1 ms later",
       [](LeaseTerms& t) {
         t.not_before_ms = kNow + 1;
         t.not_after_ms = kNow + kLeaseLifeMsMax + 1;
       }},
  };
  for (const auto& one : cases) {
    LeaseTerms terms = part;
    one.spoil(terms);
    const Result<Bytes> token = AttenuateLease(Token(), tenant, terms);
    EXPECT_EQ(token.code(), Code::kPermissionDenied);
    EXPECT_NE(token.status().text().find(one.says), std::string::npos) << token.status().text();
  }
}

// A chain as a holder would make it that checks nothing: written here by the schema and the rule of signatures, not by
// the code under test.
Bytes SignAnyway(ByteView token, const SigningKey& holder, const LeaseTerms& terms, const Signature* before = nullptr) {
  const auto& read = *flatbuffers::GetRoot<wire::LeaseToken>(token.data());
  flatbuffers::FlatBufferBuilder inner;
  const auto client = inner.CreateVector(terms.holder_key.bytes.data(), kKeyBytes);
  inner.Finish(wire::CreateLeaseBlock(inner, 0,
                                      wire::CreateLeaseTerms(inner, terms.share_milli, terms.memory_bytes,
                                                             static_cast<std::uint64_t>(terms.not_before_ms),
                                                             static_cast<std::uint64_t>(terms.not_after_ms), client)));
  const ByteView block(inner.GetBufferPointer(), inner.GetSize());
  Bytes message;
  const std::string label = "accelmesh lease block 1";
  message.insert(message.end(), label.begin(), label.end());
  const auto* last = read.blocks()->Get(read.blocks()->size() - 1)->signature();
  if (before != nullptr) {
    message.insert(message.end(), before->begin(), before->end());
  } else {
    message.insert(message.end(), last->begin(), last->end());
  }
  message.insert(message.end(), block.begin(), block.end());
  const Signature signature = holder.Sign(message);
  flatbuffers::FlatBufferBuilder outer;
  std::vector<flatbuffers::Offset<wire::SignedBlock>> blocks;
  for (const wire::SignedBlock* one : *read.blocks()) {
    const auto bytes = outer.CreateVector(one->block()->data(), one->block()->size());
    blocks.push_back(
        wire::CreateSignedBlock(outer, bytes, outer.CreateVector(one->signature()->data(), one->signature()->size())));
  }
  const auto bytes = outer.CreateVector(block.data(), block.size());
  blocks.push_back(wire::CreateSignedBlock(outer, bytes, outer.CreateVector(signature.data(), signature.size())));
  outer.Finish(wire::CreateLeaseToken(outer, 1, outer.CreateVector(blocks)));
  return {outer.GetBufferPointer(), outer.GetBufferPointer() + outer.GetSize()};
}

TEST_F(LeaseTokenTest, OverAttenuatedIsRefusedByTheServer) {
  EXPECT_TRUE(VerifyLease(SignAnyway(Token(), tenant, part), Check(11)).ok());
  LeaseTerms more = part;
  more.share_milli = 501;
  ExpectDenied(
      SignAnyway(Token(), tenant, more), Check(11),
      "sublet 1 allows more than its lease has: a share of 501 thousandths out of 500 thousandths; ask for less");
  more = part;
  more.memory_bytes = whole.memory_bytes + 1;
  ExpectDenied(SignAnyway(Token(), tenant, more), Check(11), "allows more than its lease has: memory of");
  more = part;
  more.not_before_ms = kNow - 1;
  ExpectDenied(SignAnyway(Token(), tenant, more), Check(11), "a beginning 1 ms earlier");
  more = part;
  more.not_after_ms = whole.not_after_ms + 1;
  ExpectDenied(SignAnyway(Token(), tenant, more), Check(11), "an end 1 ms later");
  // Nobody but the holder lets, and nobody lets what may not be let.
  ExpectDenied(SignAnyway(Token(), second, part), Check(11), "sublet 1 is forged: not signed by the holder before it");
  ExpectDenied(SignAnyway(Token(), market, part), Check(11), "sublet 1 is forged");
  whole.next_key.reset();
  ExpectDenied(SignAnyway(Token(), tenant, part), Check(11), "sublet 1 of a lease that may not be sublet");
}

TEST_F(LeaseTokenTest, ABlockBelongsToTheLeaseItWasSignedFor) {
  // The same holder, another lease: its signature is bound to the one before.
  const Signature elsewhere = market.Sign(Bytes{1});
  ExpectDenied(SignAnyway(Token(), tenant, part, &elsewhere), Check(11), "sublet 1 is forged");
}

TEST_F(LeaseTokenTest, TruncatedOrChangedAnywhere) {
  const Bytes token = Sublet();
  for (std::size_t size = 0; size < token.size(); ++size) {
    const Result<Lease> lease = VerifyLease(ByteView(token).first(size), Check(11));
    ASSERT_FALSE(lease.ok()) << size;
    ASSERT_FALSE(lease.status().text().empty());
  }
  const Result<Lease> genuine = VerifyLease(token, Check(11));
  for (std::size_t bit = 0; bit < 8 * token.size(); ++bit) {
    Bytes wrong = token;
    wrong[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    const Result<Lease> lease = VerifyLease(wrong, Check(11));
    // Padding and unused table entries are not signed; what they say must be the same.
    ASSERT_TRUE(!lease.ok() || *lease == *genuine) << bit;
  }
  EXPECT_EQ(VerifyLease({}, Check()).code(), Code::kBadFrame);
  EXPECT_EQ(VerifyLease(Bytes(kLeaseTokenBytesMax + 1), Check()).code(), Code::kBadFrame);
}

TEST_F(LeaseTokenTest, ChainsEnd) {
  Bytes token = Token();
  LeaseTerms terms = whole;
  for (std::size_t i = 1; i < kLeaseBlocksMax; ++i) token = AttenuateLease(token, tenant, terms).value();
  EXPECT_EQ(VerifyLease(token, Check())->sublets, kLeaseBlocksMax - 1);
  EXPECT_LE(token.size(), kLeaseTokenBytesMax);
  EXPECT_EQ(AttenuateLease(token, tenant, terms).code(), Code::kLimitExceeded);
}

TEST_F(LeaseTokenTest, NothingSenselessIsSigned) {
  const struct {
    const char* says;
    void (*spoil)(LeaseTerms&);
  } cases[] = {
      {"a share of 0 thousandths", [](LeaseTerms& t) { t.share_milli = 0; }},
      {"a share of 1001 thousandths", [](LeaseTerms& t) { t.share_milli = 1001; }},
      {"ends before it begins", [](LeaseTerms& t) { t.not_after_ms = t.not_before_ms; }},
      {"lasts 901 s; a token lasts at most 900 s", [](LeaseTerms& t) { t.not_after_ms = kNow + 901'000; }},
      {"is bound to no key", [](LeaseTerms& t) { t.holder_key = {}; }},
  };
  for (const auto& one : cases) {
    LeaseTerms terms = whole;
    one.spoil(terms);
    const Result<Bytes> token = GrantLease(market, grant, terms);
    EXPECT_EQ(token.code(), Code::kInvalidArgument);
    EXPECT_NE(token.status().text().find(one.says), std::string::npos) << token.status().text();
  }
  for (const LeaseGrant& wrong : {LeaseGrant{"", "s", "v", 1}, LeaseGrant{"l", std::string(65, 's'), "v", 1},
                                  LeaseGrant{"l", "s", "a b", 1}, LeaseGrant{"l", "s", "v", 0}}) {
    EXPECT_FALSE(GrantLease(market, wrong, whole).ok());
  }
}

TEST(EpochFenceTest, SlotsAreBounded) {
  EpochFence fence;
  for (std::size_t i = 0; i < EpochFence::kSlotsMax; ++i) ASSERT_TRUE(fence.Raise(std::to_string(i), 1).ok());
  EXPECT_EQ(fence.Raise("one more", 1).code(), Code::kLimitExceeded);
  EXPECT_TRUE(fence.Raise("0", 2).ok());
  EXPECT_EQ(fence.Seen("nobody"), 0U);
}

// Random chains: whatever a chain of holders makes of a lease, it verifies for no more than any of its parents, and
// only for the key that it is bound to.
TEST_F(LeaseTokenTest, NeverVerifiesForMoreThanItsParent) {
  std::mt19937_64 random(9);
  const auto near = [&random](std::int64_t value) { return value + static_cast<std::int64_t>(random() % 5) - 2; };
  int accepted = 0;
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    Bytes token = Token();
    std::vector<LeaseTerms> chain = {whole};
    while (chain.size() < 4) {
      LeaseTerms terms = chain.back();
      // Around the border, and sometimes far within.
      terms.share_milli = static_cast<std::uint32_t>(std::clamp<std::int64_t>(near(terms.share_milli), 1, 1000));
      terms.memory_bytes = static_cast<std::uint64_t>(near(static_cast<std::int64_t>(terms.memory_bytes)));
      terms.not_before_ms = near(terms.not_before_ms);
      terms.not_after_ms = near(terms.not_after_ms);
      if (random() % 4 == 0) terms.share_milli = 1 + static_cast<std::uint32_t>(random() % terms.share_milli);
      terms.holder_key = Curve(static_cast<std::uint8_t>(20 + chain.size()));
      terms.next_key = tenant.public_key();
      const LeaseTerms& parent = chain.back();
      const bool is_narrower = terms.share_milli <= parent.share_milli && terms.memory_bytes <= parent.memory_bytes &&
                               terms.not_before_ms >= parent.not_before_ms && terms.not_after_ms <= parent.not_after_ms;
      Result<Bytes> next = AttenuateLease(token, tenant, terms);
      const bool fits = terms.not_after_ms - terms.not_before_ms <= kLeaseLifeMsMax;
      ASSERT_EQ(next.ok(), is_narrower && fits) << next.status().ToString();
      if (!next.ok()) {
        ++refused;
        break;
      }
      ++accepted;
      token = std::move(next).value();
      chain.push_back(terms);
      LeaseCheck check = Check();
      check.client_key = terms.holder_key;
      const Result<Lease> lease = VerifyLease(token, check);
      ASSERT_TRUE(lease.ok()) << lease.status().ToString();
      for (const LeaseTerms& before : chain) {
        ASSERT_LE(lease->terms.share_milli, before.share_milli);
        ASSERT_LE(lease->terms.memory_bytes, before.memory_bytes);
        ASSERT_GE(lease->terms.not_before_ms, before.not_before_ms);
        ASSERT_LE(lease->terms.not_after_ms, before.not_after_ms);
      }
      ASSERT_FALSE(VerifyLease(token, Check()).ok());
    }
  }
  EXPECT_GT(accepted, 300);
  EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace accelmesh::security
