// Orders as their owners sign them: whatever is changed on the way is noticed.
#include "market/client/orders.h"

#include <gmock/gmock.h>

#include <random>

namespace accelmesh::market {
namespace {

security::SigningKey KeyOf(std::uint8_t number) {
  return std::move(security::SigningKey::FromSeed(Bytes(security::kKeyBytes, number))).value();
}
std::string Hex(const security::SigningKey& key) { return security::HexOf(key.public_key().bytes); }

messages::OrderT AskBy(const security::SigningKey& owner) {
  messages::OrderT order;
  order.market = Hex(KeyOf(9));
  order.owner = Hex(owner);
  order.operation_id.assign(kOperationIdBytes, 7);
  order.number = 3;
  order.valid_until_ms = 1'000'000;
  order.lease = "lease-1";
  order.price_microcredits_per_hour = 5;
  return order;
}

TEST(OrdersTest, WhatWasSignedIsRead) {
  const security::SigningKey owner = KeyOf(1);
  const Result<messages::OrderT> read = ReadOrder(SignOrder(AskBy(owner), owner));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(SignOrder(*read, owner).order, SignOrder(AskBy(owner), owner).order);
}

TEST(OrdersTest, NoByteCanBeChanged) {
  const security::SigningKey owner = KeyOf(1);
  const messages::PlaceOrderT placed = SignOrder(AskBy(owner), owner);
  for (std::size_t i = 0; i < placed.order.size(); ++i) {
    messages::PlaceOrderT changed = placed;
    changed.order[i] ^= 1;
    EXPECT_FALSE(ReadOrder(changed).ok()) << i;
  }
  for (std::size_t i = 0; i < placed.signature.size(); ++i) {
    messages::PlaceOrderT changed = placed;
    changed.signature[i] ^= 1;
    EXPECT_EQ(ReadOrder(changed).code(), Code::kPermissionDenied) << i;
  }
}

TEST(OrdersTest, AnotherKeyDoesNotCount) {
  EXPECT_EQ(ReadOrder(SignOrder(AskBy(KeyOf(1)), KeyOf(2))).code(), Code::kPermissionDenied);
}

TEST(OrdersTest, ADealIsSignedByBoth) {
  const security::SigningKey seller = KeyOf(1);
  const security::SigningKey buyer = KeyOf(2);
  messages::OrderT deal = AskBy(seller);
  deal.kind = messages::OrderKind::Deal;
  deal.counterparty = Hex(buyer);
  deal.holder_key.assign(32, 4);
  messages::PlaceOrderT placed = SignOrder(deal, seller);
  EXPECT_EQ(ReadOrder(placed).code(), Code::kPermissionDenied);
  const security::Signature wrong = SignOrderBytes(placed.order, KeyOf(3));
  placed.counter_signature.assign(wrong.begin(), wrong.end());
  EXPECT_EQ(ReadOrder(placed).code(), Code::kPermissionDenied);
  const security::Signature right = SignOrderBytes(placed.order, buyer);
  placed.counter_signature.assign(right.begin(), right.end());
  EXPECT_TRUE(ReadOrder(placed).ok()) << ReadOrder(placed).status().ToString();
}

TEST(OrdersTest, WhatIsOutOfBoundsIsRefusedThoughItIsSigned) {
  const security::SigningKey owner = KeyOf(1);
  const auto refused = [&](const std::function<void(messages::OrderT&)>& change) {
    messages::OrderT order = AskBy(owner);
    change(order);
    return ReadOrder(SignOrder(order, owner)).code() == Code::kBadFrame;
  };
  EXPECT_TRUE(refused([](messages::OrderT& order) { order.price_microcredits_per_hour = -1; }));
  EXPECT_TRUE(refused([](messages::OrderT& order) { order.operation_id.pop_back(); }));
  EXPECT_TRUE(refused([](messages::OrderT& order) { order.share_milli = 1001; }));
  EXPECT_TRUE(refused([](messages::OrderT& order) { order.lease = "two words"; }));
  EXPECT_TRUE(refused([](messages::OrderT& order) { order.market = "short"; }));
  EXPECT_TRUE(refused([](messages::OrderT& order) { order.kind = static_cast<messages::OrderKind>(9); }));
  EXPECT_TRUE(refused([](messages::OrderT& order) {
    order.kind = messages::OrderKind::Bid;
    order.holder_key.assign(32, 1);
    order.share_milli = 100;
  }));  // a bid without a class
}

// Of a refusal only its text is sent to whoever signed the order.
TEST(OrdersTest, TheFieldThatIsWrongIsNamed) {
  const security::SigningKey owner = KeyOf(1);
  messages::OrderT order = AskBy(owner);
  order.share_milli = 1001;
  EXPECT_EQ(ReadOrder(SignOrder(order, owner)).status().text(), "Order.share_milli is out of range");
  order = AskBy(owner);
  order.lease = "two words";
  EXPECT_EQ(ReadOrder(SignOrder(order, owner)).status().text(), "Order.lease has a character that an id has not");
}

TEST(OrdersTest, AnyBytesAreRefusedOrRead) {
  std::mt19937_64 random(3);
  const security::SigningKey owner = KeyOf(1);
  const messages::PlaceOrderT placed = SignOrder(AskBy(owner), owner);
  for (int i = 0; i < 2000; ++i) {
    messages::PlaceOrderT any = placed;
    for (std::uint64_t changes = 1 + random() % 8; changes > 0; --changes) {
      any.order[random() % any.order.size()] = static_cast<std::uint8_t>(random());
    }
    if (random() % 3 == 0) any.order.resize(random() % any.order.size());
    // Signed by somebody, so that it gets beyond the signature.
    const security::Signature signature = SignOrderBytes(any.order, owner);
    any.signature.assign(signature.begin(), signature.end());
    const Result<messages::OrderT> read = ReadOrder(any);
    EXPECT_TRUE(read.ok() || !read.status().text().empty());
  }
}

}  // namespace
}  // namespace accelmesh::market
