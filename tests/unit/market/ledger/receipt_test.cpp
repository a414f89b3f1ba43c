#include "market/ledger/receipt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

using testing::HasSubstr;

class ReceiptTest : public testing::Test {
 protected:
  ReceiptTest() {
    receipt_.market = "market.example/log";
    receipt_.lease = "lease-1";
    receipt_.slot_class = "cuda/fast";
    receipt_.provider = KeyOf(1).public_key();
    receipt_.buyer = KeyOf(2).public_key();
    receipt_.begin_ms = 1000;
    receipt_.end_ms = 5000;
    receipt_.price_microcredits = 1'000'000;
    receipt_.bond_microcredits = 500'000;
    receipt_.delivered_ppm = 900'000;
    receipt_.uptime_ppm = kPpm;
    receipt_.paid_microcredits = 1'000'000;
  }
  CounterSignedReceipt Signed(std::uint8_t provider = 1, std::uint8_t buyer = 2) const {
    return {receipt_, SignReceipt(receipt_, ReceiptSide::kProvider, KeyOf(provider)),
            SignReceipt(receipt_, ReceiptSide::kBuyer, KeyOf(buyer))};
  }
  Receipt receipt_;
};

TEST_F(ReceiptTest, CountsOnlyWithBothSignatures) {
  EXPECT_TRUE(VerifyReceipt(Signed()).ok());
  EXPECT_THAT(VerifyReceipt(Signed(3, 2)).text(), HasSubstr("by the provider"));
  EXPECT_THAT(VerifyReceipt(Signed(1, 3)).text(), HasSubstr("by the buyer"));
  CounterSignedReceipt crossed = Signed();
  std::swap(crossed.provider, crossed.buyer);
  EXPECT_FALSE(VerifyReceipt(crossed).ok()) << "one side's signature is not the other's";
  receipt_.buyer = receipt_.provider;
  EXPECT_THAT(VerifyReceipt(Signed(1, 1)).text(), HasSubstr("are one"));
}

TEST_F(ReceiptTest, EveryFieldIsSigned) {
  const CounterSignedReceipt good = Signed();
  const auto expect_other = [&](const auto& change) {
    CounterSignedReceipt bad = good;
    change(bad.receipt);
    EXPECT_FALSE(VerifyReceipt(bad).ok());
  };
  expect_other([](Receipt& receipt) { receipt.market += "x"; });
  expect_other([](Receipt& receipt) { receipt.lease += "x"; });
  expect_other([](Receipt& receipt) { receipt.slot_class += "x"; });
  expect_other([](Receipt& receipt) { ++receipt.begin_ms; });
  expect_other([](Receipt& receipt) { ++receipt.end_ms; });
  expect_other([](Receipt& receipt) { ++receipt.price_microcredits; });
  expect_other([](Receipt& receipt) { ++receipt.bond_microcredits; });
  expect_other([](Receipt& receipt) { ++receipt.delivered_ppm; });
  expect_other([](Receipt& receipt) { --receipt.uptime_ppm; });
  expect_other([](Receipt& receipt) { receipt.had_notice = true; });
  expect_other([](Receipt& receipt) { receipt.had_notice = receipt.is_notice_honoured = true; });
  expect_other([](Receipt& receipt) { ++receipt.paid_microcredits; });
  expect_other([](Receipt& receipt) { ++receipt.used_ppm; });
}

TEST_F(ReceiptTest, WhatMakesNoSenseIsRefused) {
  const auto is_refused = [&](const auto& change) {
    Receipt receipt = receipt_;
    change(receipt);
    return CheckReceipt(receipt).code() == Code::kInvalidArgument;
  };
  EXPECT_TRUE(CheckReceipt(receipt_).ok());
  EXPECT_TRUE(is_refused([](Receipt& receipt) { receipt.lease.clear(); }));
  EXPECT_TRUE(is_refused([](Receipt& receipt) { receipt.lease = "a\nb"; }));
  EXPECT_TRUE(is_refused([](Receipt& receipt) { receipt.lease = std::string(65, 'x'); }));
  EXPECT_TRUE(is_refused([](Receipt& receipt) { receipt.end_ms = receipt.begin_ms; }));
  EXPECT_TRUE(is_refused([](Receipt& receipt) { receipt.price_microcredits = -1; }));
  EXPECT_TRUE(is_refused([](Receipt& receipt) { receipt.paid_microcredits = kAmountMax + 1; }));
  EXPECT_TRUE(is_refused([](Receipt& receipt) { receipt.used_ppm = kPpm + 1; }));
  EXPECT_TRUE(is_refused([](Receipt& receipt) { receipt.is_notice_honoured = true; }));
}

TEST_F(ReceiptTest, LessThanAdvertisedIsRefundedInProportion) {
  receipt_.delivered_ppm = kPpm;
  EXPECT_EQ(RefundOf(receipt_, 20'000), 0);
  receipt_.delivered_ppm = 980'000;
  EXPECT_EQ(RefundOf(receipt_, 20'000), 0) << "within the tolerance";
  receipt_.delivered_ppm = 979'999;
  EXPECT_EQ(RefundOf(receipt_, 20'000), 20'001);
  receipt_.delivered_ppm = 500'000;
  receipt_.uptime_ppm = 500'000;
  EXPECT_EQ(RefundOf(receipt_, 20'000), 750'000);
  receipt_.uptime_ppm = 0;
  EXPECT_EQ(RefundOf(receipt_, 20'000), receipt_.price_microcredits);
  receipt_.price_microcredits = kAmountMax;
  EXPECT_EQ(RefundOf(receipt_, 0), kAmountMax);
}

}  // namespace
}  // namespace accelmesh::market::ledger
