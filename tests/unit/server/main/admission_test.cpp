#include "server/main/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/base/command.h"
#include "protocol/schema/session_generated.h"
#include "server/main/ticket_lease.h"

namespace accelmesh {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kNow = 1'700'000'000'000;

class AdmissionTest : public ::testing::Test {
 protected:
  AdmissionTest() {
    security_.leases = std::make_unique<LeaseBook>("server-1", std::vector{market_.public_key()}, nullptr);
    arrival_.client_key.emplace().bytes.fill(10);
    endpoint_.scheme = Endpoint::Scheme::kTcp;
  }
  struct Hello {
    wire::HelloPurpose purpose = wire::HelloPurpose::Session;
    Bytes token;
    Bytes group_secret_hash;
    std::string group;
    std::string lease;
    std::uint16_t version_min = kProtocolVersion;
    std::uint16_t version_max = kProtocolVersion;
  };
  Admission Decide(const Hello& hello, bool is_secured = true) {
    flatbuffers::FlatBufferBuilder builder;
    builder.Finish(wire::CreateHello(builder, hello.version_min, hello.version_max, 0, 0, 0, 0, 0,
                                     builder.CreateString(hello.group), hello.purpose,
                                     builder.CreateVector(hello.token), builder.CreateVector(hello.group_secret_hash),
                                     builder.CreateString(hello.lease)));
    arrival_.hello.assign(builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize());
    return Admit(arrival_, endpoint_, is_secured ? &security_ : nullptr, kNow);
  }
  void ExpectRefused(const Hello& hello, wire::Refusal refusal, const std::string& says, bool is_secured = true) {
    const Admission admission = Decide(hello, is_secured);
    EXPECT_EQ(admission.kind, Admission::Kind::kRefuse) << says;
    EXPECT_EQ(admission.refusal, static_cast<std::uint8_t>(refusal)) << admission.text;
    EXPECT_THAT(admission.text, HasSubstr(says));
  }
  Bytes Token() const {
    security::LeaseTerms terms{1000, 1 << 20, kNow, kNow + 60'000, *arrival_.client_key, std::nullopt};
    return GrantLease(market_, {"a", "slot-1", "server-1", 3}, terms).value();
  }

  const security::SigningKey market_ = security::SigningKey::FromSeed(Bytes(32, 1)).value();
  ServerSecurity security_;
  Arrival arrival_;
  Endpoint endpoint_;
};

TEST_F(AdmissionTest, StandaloneServesWhoeverComesWithoutALease) {
  arrival_.client_key.reset();
  EXPECT_EQ(Decide({}, false).kind, Admission::Kind::kServe);
  Hello with_token;
  with_token.token = Bytes(10);
  ExpectRefused(with_token, wire::Refusal::Permission, "start the program without one", false);
  Hello notice;
  notice.purpose = wire::HelloPurpose::NoteLease;
  ExpectRefused(notice, wire::Refusal::Permission, "standalone", false);
}

TEST_F(AdmissionTest, WhatIsNoHelloIsMalformed) {
  Hello unknown;
  unknown.purpose = static_cast<wire::HelloPurpose>(77);
  ExpectRefused(unknown, wire::Refusal::Malformed, "unknown purpose");
  Hello later;
  later.version_min = later.version_max = kProtocolVersion + 1;
  ExpectRefused(later, wire::Refusal::Version, "install the same release on both sides");
  arrival_.hello = Bytes(64, 0xff);
  EXPECT_EQ(Admit(arrival_, endpoint_, &security_, kNow).refusal, static_cast<std::uint8_t>(wire::Refusal::Malformed));
}

TEST_F(AdmissionTest, ATokenIsNeededAndEnough) {
  ExpectRefused({}, wire::Refusal::Permission, "start it with mesh-run");
  Hello noise;
  noise.token = Bytes(100, 3);
  ExpectRefused(noise, wire::Refusal::Malformed, "the lease cannot be read");
  Hello good;
  good.token = Token();
  const Admission served = Decide(good);
  EXPECT_EQ(served.kind, Admission::Kind::kServe) << served.text;
  ASSERT_TRUE(served.lease.has_value());
  EXPECT_EQ(served.lease->lease, "a");
  arrival_.client_key->bytes.fill(11);
  ExpectRefused(good, wire::Refusal::Permission, "bound to another client's key");
}

TEST_F(AdmissionTest, NoticesAreTakenFromTheHolder) {
  Hello note;
  note.purpose = wire::HelloPurpose::NoteLease;
  note.token = Token();
  note.group_secret_hash = Bytes(31);
  ExpectRefused(note, wire::Refusal::Malformed, "a hash of another length");
  const security::SecretHash hash = security::HashOfSecret(AsBytes(std::string_view("secret")));
  note.group_secret_hash.assign(hash.begin(), hash.end());
  const Admission noted = Decide(note);
  EXPECT_EQ(noted.kind, Admission::Kind::kAnswer) << noted.text;
  EXPECT_EQ(noted.lease->not_after_ms, kNow + 60'000);

  // Over shared memory the secret counts, and nothing else.
  const security::CurveKey holder = *arrival_.client_key;
  arrival_.client_key.reset();
  endpoint_.scheme = Endpoint::Scheme::kShm;
  Hello shm;
  ExpectRefused(shm, wire::Refusal::Permission, "mesh-run");
  shm.group = "secreT";
  ExpectRefused(shm, wire::Refusal::Permission, "mesh-run");
  shm.group = "secret";
  EXPECT_EQ(Decide(shm).kind, Admission::Kind::kServe);
  ExpectRefused(note, wire::Refusal::Permission, "over CURVE only");

  endpoint_.scheme = Endpoint::Scheme::kTcp;
  ExpectRefused(shm, wire::Refusal::Permission, "over CURVE only");  // no key, no shm
  Hello end;
  end.purpose = wire::HelloPurpose::EndLease;
  end.lease = "a";
  arrival_.client_key.emplace().bytes.fill(12);
  ExpectRefused(end, wire::Refusal::Permission, "this key holds no lease of that name");
  arrival_.client_key = holder;
  EXPECT_EQ(Decide(end).kind, Admission::Kind::kEnd);
  EXPECT_EQ(security_.leases->Expire(kNow).size(), 1u);
}

// What its worker remembers for later sessions is its holder's (Ticket::client_key), and not for who leases after him.
TEST_F(AdmissionTest, AWorkerIsToldWhoseSessionItIs) {
  const auto told = [&](const Admission& admission) {
    Ticket ticket;
    TellLease(arrival_, admission, &ticket);
    return ticket;
  };
  std::vector<Ticket> over_shm;
  const std::array<std::uint8_t, 32> nobody{};
  for (const std::uint8_t holder : {10, 20}) {
    SCOPED_TRACE(static_cast<int>(holder));
    endpoint_.scheme = Endpoint::Scheme::kTcp;
    arrival_.client_key.emplace().bytes.fill(holder);
    const std::array<std::uint8_t, 32> key = arrival_.client_key->bytes;
    const std::string name = "lease-" + std::to_string(holder), secret = "secret of " + name;
    const security::LeaseTerms terms{400, 1 << 20, kNow, kNow + 60'000, *arrival_.client_key, std::nullopt};
    Hello note;
    note.purpose = wire::HelloPurpose::NoteLease;
    note.token = GrantLease(market_, {name, "slot-1", "server-1", holder}, terms).value();
    const security::SecretHash hash = security::HashOfSecret(AsBytes(secret));
    note.group_secret_hash.assign(hash.begin(), hash.end());
    ASSERT_EQ(Decide(note).kind, Admission::Kind::kAnswer);
    Hello curve;
    curve.token = note.token;
    const Ticket by_curve = told(Decide(curve));
    EXPECT_EQ(by_curve.is_secured, 1U);
    EXPECT_EQ(by_curve.client_key, key);
    endpoint_.scheme = Endpoint::Scheme::kShm;
    arrival_.client_key.reset();
    Hello shm;
    shm.group = secret;
    const Ticket by_secret = told(Decide(shm));
    EXPECT_EQ(by_secret.is_secured, 0U) << "no CURVE";
    EXPECT_EQ(by_secret.client_key, key);
    EXPECT_EQ(by_secret.lease_share_milli, 400U);
    EXPECT_EQ(by_secret.lease_memory_bytes, 1U << 20);
    EXPECT_EQ(by_secret.lease_not_after_ms, kNow + 60'000);
    over_shm.push_back(by_secret);
  }
  EXPECT_NE(over_shm[0].client_key, over_shm[1].client_key);
  // Without a market they are all this user's.
  const Ticket standalone = told(Decide({}, false));
  EXPECT_EQ(standalone.client_key, nobody);
  EXPECT_EQ(standalone.is_secured, 0U);
}

}  // namespace
}  // namespace accelmesh
