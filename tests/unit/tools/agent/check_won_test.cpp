#include "tools/agent/check_won.h"

#include <gmock/gmock.h>

#include "protocol/security/lease_token.h"

namespace accelmesh::agent {
namespace {

using testing::HasSubstr;

security::SigningKey KeyOf(std::uint8_t number) {
  return security::SigningKey::FromSeed(Bytes(security::kKeyBytes, number)).value();
}
security::CurveKey Holder(std::uint8_t number) {
  security::CurveKey key;
  key.bytes.fill(number);
  return key;
}

class CheckWonTest : public testing::Test {
 protected:
  Won Granted(const security::SigningKey& signer) const {
    Won won;
    won.lease = "lease";
    won.slot = "slot";
    won.server = security::HexOf(server_.public_key().bytes);
    won.share_milli = 300;
    won.memory_bytes = 1000;
    won.price_microcredits_per_hour = 600'000;
    won.not_after_ms = 1'000'060'000;
    won.endpoints = {"tcp://127.0.0.1:7700"};
    won.server_key = security::CurveKeyOf(server_.public_key()).value();
    const security::LeaseTerms terms{300, 1000, 1'000'000'000, won.not_after_ms, Holder(5), std::nullopt};
    won.token = GrantLease(signer, {"lease", "slot", won.server, 3, {}}, terms).value();
    return won;
  }
  Asked Bound() const { return {market_.public_key(), Holder(5), 1, 600'000, 300, 1000}; }

  const security::SigningKey market_ = KeyOf(1);
  const security::SigningKey server_ = KeyOf(2);
};

TEST_F(CheckWonTest, WhatWasAskedForIsTaken) {
  EXPECT_TRUE(CheckWon({Granted(market_)}, Bound()).ok());
  EXPECT_TRUE(CheckWon({}, {}).ok());
}

TEST_F(CheckWonTest, AMarketThatSaysOneThingAndLetsAnotherIsNoticed) {
  const auto says = [this](const std::function<void(Won&)>& change) {
    Won won = Granted(market_);
    change(won);
    const Status status = CheckWon({won}, Bound());
    EXPECT_EQ(status.code(), Code::kPermissionDenied);
    return status.text();
  };
  EXPECT_THAT(says([](Won& won) { won.share_milli = 1000; }), HasSubstr("another share"));
  EXPECT_THAT(says([](Won& won) { won.memory_bytes = 2000; }), HasSubstr("another memory"));
  EXPECT_THAT(says([](Won& won) { won.not_after_ms -= 1; }), HasSubstr("another end"));
  EXPECT_THAT(says([](Won& won) { won.lease = "other"; }), HasSubstr("another lease"));
  EXPECT_THAT(says([](Won& won) { won.slot = "other"; }), HasSubstr("another slot"));
  EXPECT_THAT(says([](Won& won) { won.price_microcredits_per_hour = 600'001; }), HasSubstr("at most 0.6"));
  EXPECT_THAT(says([](Won& won) { won.server_key.bytes[0] ^= 1; }), HasSubstr("not that of its gpu-server"));
  EXPECT_THAT(says([](Won& won) { won.token.back() ^= 1; }), HasSubstr("token"));
  EXPECT_THAT(says([&](Won& won) { won = Granted(KeyOf(3)); }), HasSubstr("forged"));
}

TEST_F(CheckWonTest, LessThanWasAskedForIsNotTaken) {
  Asked asked = Bound();
  asked.memory_bytes = 1001;
  EXPECT_THAT(CheckWon({Granted(market_)}, asked).text(), HasSubstr("1000 B"));
  asked = Bound();
  asked.share_milli = 301;
  EXPECT_THAT(CheckWon({Granted(market_)}, asked).text(), HasSubstr("300 thousandths of 301"));
  asked = Bound();
  asked.leases = 2;
  EXPECT_THAT(CheckWon({Granted(market_)}, asked).text(), HasSubstr("1 leases of 2"));
  asked = Bound();
  asked.holder = Holder(6);
  EXPECT_THAT(CheckWon({Granted(market_)}, asked).text(), HasSubstr("another client's key"));
}

TEST_F(CheckWonTest, AnOrderSaysWhatIsAskedFor) {
  Order order;
  order.request.count = 3;
  order.request.memory_bytes = 77;
  order.price_max_microcredits_per_hour = 900;
  order.holder_key = Holder(5);
  Asked asked = AskedBy(order, market_.public_key());
  EXPECT_EQ(asked.leases, 3u);
  EXPECT_EQ(asked.memory_bytes, 77u);
  EXPECT_EQ(asked.price_microcredits_per_hour, 900);
  order.auction.emplace();
  order.auction->share_milli = 250;
  order.auction->price_microcredits_per_hour = 1001;
  asked = AskedBy(order, market_.public_key());
  EXPECT_EQ(asked.leases, 1u);
  EXPECT_EQ(asked.share_milli, 250u);
  EXPECT_EQ(asked.price_microcredits_per_hour, 251);
  order.auction->bundles = {{"a", 2, 500}, {"b", 2, 800}};
  asked = AskedBy(order, market_.public_key());
  EXPECT_EQ(asked.leases, 0u);
  EXPECT_EQ(asked.share_milli, 0u);
  EXPECT_EQ(asked.price_microcredits_per_hour, 800);
}

}  // namespace
}  // namespace accelmesh::agent
