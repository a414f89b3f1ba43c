#include "server/main/offer.h"

#include <gtest/gtest.h>

#include <cmath>

namespace accelmesh {
namespace {

namespace messages = market::messages;

measure::Report Measured() {
  measure::Report report;
  report.identity.backend = "cpu";
  report.identity.device = "AccelMesh Software GPU";
  report.memory_bytes = 8ULL << 30;
  report.throughput = {{"matmul", "fp32", "library", {2e10, 1.9e10, 2.1e10}, "size 512"},
                       {"convolution", "int8", "kernel", {3e8, 2e8, 4e8}, "size 8"},
                       {"attention", "fp4", "kernel", {1, 1, 1}, "of another release"}};
  report.memory_bytes_per_s = {1e10, 9e9, 1.1e10};
  report.launch_us = {12, 11, 13};
  return report;
}
OfferOptions Options() {
  OfferOptions options;
  options.name = "desk-1";
  return options;
}

TEST(OfferTest, IsWhatTheMarketReads) {
  OfferOptions options = Options();
  options.zone = "lab-2";
  options.labels = {"quiet", "warm"};
  options.price_credits_per_hour = 2.5;
  options.notice_s = 1.5;
  options.sell_share = 0.3;
  messages::RequestT request;
  request.number = 7;
  request.body.Set(MakeOffer(options, Measured(), {"tcp://127.0.0.1:7700"}, {200, 190, 210}));
  const Result<messages::RequestT> read = market::DecodeRequest(market::EncodeRequest(request));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  const auto& offer = *read->body.AsRegisterServer();
  EXPECT_EQ(offer.name, "desk-1");
  EXPECT_EQ(offer.endpoints, std::vector<std::string>{"tcp://127.0.0.1:7700"});
  ASSERT_EQ(offer.slots.size(), 1U);
  const messages::SlotT& slot = *offer.slots[0];
  EXPECT_EQ(slot.id, "desk-1/0");
  EXPECT_EQ(slot.zone, "lab-2");
  EXPECT_EQ(slot.labels, options.labels);
  EXPECT_EQ(slot.share_milli, 300U);
  EXPECT_EQ(slot.share_milli_step, 10U);
  EXPECT_NEAR(static_cast<double>(slot.memory_bytes), 0.3 * 8 * (1ULL << 30), 1e6);
  EXPECT_EQ(slot.notice_us, 1'500'000);
  EXPECT_EQ(slot.reserve_price_microcredits_per_hour, 2'500'000);
  ASSERT_NE(slot.tags, nullptr);
  ASSERT_EQ(slot.tags->throughput.size(), 2U) << "what the market has no number for is left out";
  const scheduler::Tags tags = market::ToSchedulerTags(*slot.tags);
  EXPECT_EQ(tags.Throughput(scheduler::Operation::kMatmul, scheduler::NumberType::kFp32).low, 1.9e10);
  EXPECT_EQ(tags.Throughput(scheduler::Operation::kConvolution, scheduler::NumberType::kInt8).mean, 3e8);
  EXPECT_EQ(slot.tags->throughput[1]->via, "kernel");
  EXPECT_EQ(tags.launch_us.mean, 12);
  EXPECT_EQ(tags.round_trip_us.high, 210);
}

TEST(OfferTest, ADeviceThatSharesNoTimeIsLetAsAWhole) {
  measure::Report report = Measured();
  report.identity.backend = "cuda";
  const messages::RegisterServerT offer = MakeOffer(Options(), report, {}, {});
  EXPECT_EQ(offer.slots[0]->share_milli, 1000U);
  EXPECT_EQ(offer.slots[0]->share_milli_step, 1000U);
  OfferOptions part = Options();
  part.sell_share = 0.5;
  EXPECT_EQ(CheckOffer(part, "cuda").code(), Code::kUnsupported);
  EXPECT_TRUE(CheckOffer(part, "cpu").ok());
  part.sell_share = 0.333;
  EXPECT_EQ(MakeOffer(part, Measured(), {}, {}).slots[0]->share_milli_step, 1U) << "divides 333";
}

TEST(OfferTest, NonsenseIsRefusedByTheNameOfItsOption) {
  const auto check = [](auto change, const char* option) {
    OfferOptions options = Options();
    change(options);
    const Status status = CheckOffer(options, "cpu");
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << option;
    EXPECT_NE(status.text().find(option), std::string::npos) << status.text();
  };
  check([](OfferOptions& o) { o.name = ""; }, "--server-name");
  check([](OfferOptions& o) { o.name = "a b"; }, "--server-name");
  check([](OfferOptions& o) { o.name = "a/b"; }, "--server-name");
  check([](OfferOptions& o) { o.name = std::string(33, 'a'); }, "--server-name");
  check([](OfferOptions& o) { o.zone = "\n"; }, "--zone");
  check([](OfferOptions& o) { o.labels = {"fine", ""}; }, "--label");
  check([](OfferOptions& o) { o.price_credits_per_hour = -1; }, "--price");
  check([](OfferOptions& o) { o.price_credits_per_hour = NAN; }, "--price");
  check([](OfferOptions& o) { o.notice_s = 1e12; }, "--notice");
  check([](OfferOptions& o) { o.sell_share = 0; }, "--sell-share");
  check([](OfferOptions& o) { o.sell_share = 1.01; }, "--sell-share");
  EXPECT_TRUE(CheckOffer(Options(), "cpu").ok());
}

TEST(OfferTest, OnlyAnotherNumberIsAChange) {
  measure::Report report = Measured();
  measure::Report same;
  same.throughput = {{"matmul", "fp32", "library", {2.05e10, 2e10, 2.1e10}, "size 512"}};
  EXPECT_FALSE(TakeChanges(same, &report)) << "the intervals overlap";
  EXPECT_EQ(report.throughput[0].operations_per_s.mean, 2e10);
  measure::Report slower;
  slower.throughput = {{"matmul", "fp32", "library", {1e10, 0.9e10, 1.1e10}, "size 512"}};
  EXPECT_TRUE(TakeChanges(slower, &report));
  EXPECT_EQ(report.throughput[0].operations_per_s.mean, 1e10);
  EXPECT_EQ(report.throughput[1].operations_per_s.mean, 3e8);
  measure::Report other;
  other.throughput = {{"matmul", "fp64", "library", {1, 1, 1}, ""}, {"matmul", "fp32", "kernel", {1, 1, 1}, ""}};
  other.launch_us = {12, 11, 13};
  EXPECT_FALSE(TakeChanges(other, &report)) << "another quantity, another way";
  other.launch_us = {30, 29, 31};
  EXPECT_TRUE(TakeChanges(other, &report));
  EXPECT_EQ(report.launch_us.mean, 30);
}

}  // namespace
}  // namespace accelmesh
