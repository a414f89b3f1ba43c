#include "market/core/accounts.h"

#include <gtest/gtest.h>

#include <random>

namespace accelmesh::market {
namespace {

TEST(AccountsTest, CostsAreRoundedUpAndNeverOverflow) {
  EXPECT_EQ(CostOf(3'600'000, 1), 1);
  EXPECT_EQ(CostOf(3'600'001, 1), 2);
  EXPECT_EQ(CostOf(1, 1), 1);
  EXPECT_EQ(CostOf(0, 1'000'000), 0);
  EXPECT_EQ(CostOf(5, 0), 0);
  EXPECT_EQ(CostOf(5, -7), 0);
  EXPECT_EQ(CostOf(INT64_MAX, INT64_MAX), kCreditsMax);
  EXPECT_EQ(ShareOf(1000, 1), 1);
  EXPECT_EQ(ShareOf(1001, 500), 501);
  EXPECT_EQ(ShareOf(INT64_MAX, 1000), kCreditsMax);
}

TEST(AccountsTest, HoldsPaysAndRefunds) {
  AccountRecord tenant;
  AccountRecord provider;
  ASSERT_TRUE(Deposit(tenant, 10'000).ok());
  LeaseRecord lease;
  lease.price_per_hour = 3'600'000;  // a microcredit a millisecond
  lease.paid_until_ms = 1000;
  lease.not_after_ms = 11'000;
  ASSERT_TRUE(Hold(tenant, lease).ok());
  EXPECT_EQ(tenant.balance, 0);
  EXPECT_EQ(tenant.held, 10'000);
  Pay(tenant, provider, lease, 4000);
  EXPECT_EQ(provider.balance, 3000);
  Pay(tenant, provider, lease, 3000);  // earlier than paid: nothing
  EXPECT_EQ(provider.balance, 3000);
  Refund(tenant, lease);
  EXPECT_EQ(tenant.balance, 7000);
  EXPECT_EQ(tenant.held, 0);
  EXPECT_EQ(lease.paid, 3000);
  EXPECT_EQ(lease.returned, 7000);
}

TEST(AccountsTest, WhatIsNotThereIsNotHeld) {
  AccountRecord tenant;
  ASSERT_TRUE(Deposit(tenant, 9'999).ok());
  LeaseRecord lease;
  lease.price_per_hour = 3'600'000;
  lease.not_after_ms = 10'000;
  const Status status = Hold(tenant, lease);
  EXPECT_EQ(status.code(), Code::kLimitExceeded);
  EXPECT_NE(status.text().find("0.009999 credits of 0.01"), std::string::npos) << status.text();
  EXPECT_EQ(tenant.balance, 9'999);
  EXPECT_EQ(tenant.held, 0);
  EXPECT_FALSE(Deposit(tenant, 0).ok());
  EXPECT_FALSE(Deposit(tenant, -5).ok());
  EXPECT_EQ(Deposit(tenant, kCreditsMax).code(), Code::kLimitExceeded);
}

// However a lease is paid in parts, the provider gets what one payment would give within a microcredit a part, and
// nothing is made or lost.
TEST(AccountsTest, PartsAddUp) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 2000; ++round) {
    AccountRecord tenant;
    AccountRecord provider;
    ASSERT_TRUE(Deposit(tenant, 1'000'000'000).ok());
    LeaseRecord lease;
    lease.price_per_hour = static_cast<std::int64_t>(random() % 100'000'000);
    lease.not_after_ms = static_cast<std::int64_t>(1 + random() % 900'000);
    ASSERT_TRUE(Hold(tenant, lease).ok());
    const std::int64_t all = lease.held;
    std::int64_t at = 0;
    int parts = 0;
    while (at < lease.not_after_ms) {
      at += static_cast<std::int64_t>(1 + random() % 400'000);
      Pay(tenant, provider, lease, at);
      ++parts;
      ASSERT_EQ(tenant.balance + tenant.held + provider.balance, 1'000'000'000);
      ASSERT_EQ(tenant.held, lease.held);
      ASSERT_LE(provider.balance, CostOf(lease.price_per_hour, std::min(at, lease.not_after_ms)) + parts);
    }
    ASSERT_EQ(provider.balance, all);
    ASSERT_EQ(lease.held, 0);
  }
}

}  // namespace
}  // namespace accelmesh::market
