// What a tenant signs for leases that are over, before providers that say the same, less, more, and nothing.
#include "tools/agent/receipts.h"

#include <gmock/gmock.h>

#include "tests/unit/tools/agent/fake_market.h"

namespace accelmesh::agent {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

LeaseWords Words(std::uint32_t delivered, std::uint32_t uptime, std::uint32_t used) {
  return {delivered, uptime, true, used};
}

OpenReceipt Open(const std::string& lease, std::optional<LeaseWords> provider = std::nullopt) {
  return {lease, 0, 60'000, 10'000, false, std::move(provider)};
}

class ReceiptMarket : public testing::FakeMarket {
 public:
  Result<std::vector<OpenReceipt>> OpenReceipts(Deadline) override {
    if (is_silent) return Status(Code::kUnavailable, "fake", "nobody answers");
    return open;
  }
  Status SignReceipt(const std::string& lease, const LeaseWords& words, Deadline) override {
    if (lease == refused) return {Code::kNotFound, "fake", "no such lease"};
    signed_for.emplace_back(lease, words);
    return Status::Ok();
  }
  std::vector<OpenReceipt> open;
  std::vector<std::pair<std::string, LeaseWords>> signed_for;
  std::string refused;
  bool is_silent = false;
};

TEST(ReceiptsTest, TheProvidersWordsAreTakenUnlessTheyDoHarm) {
  const LeaseWords own = Words(1'000'000, 900'000, 300'000);
  const auto words = [&](const LeaseWords& provider) { return Receipts::WordsFor(Open("l", provider), own); };
  EXPECT_EQ(Receipts::WordsFor(Open("l"), own).uptime_ppm, 900'000U) << "nobody has signed yet";
  EXPECT_EQ(words(Words(800'000, 900'000, 500'000)).delivered_ppm, 800'000U) << "it admits that it gave less";
  EXPECT_EQ(words(Words(1'000'000, 1'000'000, 300'000)).uptime_ppm, 900'000U)
      << "it was away, and says that it was not";
  EXPECT_EQ(words(Words(1'000'000, 900'000, 700'000)).used_ppm, 700'000U) << "how busy its device was it knows";
  EXPECT_EQ(words(Words(1'000'000, 900'000, 100'000)).used_ppm, 100'000U);
  EXPECT_EQ(Receipts::WordsFor(Open("l", Words(1'000'000, 1'000'000, 100'000)), LeaseWords{}).used_ppm, 100'000U);
  // A notice counts only where one was due.
  OpenReceipt due = Open("l");
  EXPECT_FALSE(Receipts::WordsFor(due, own).is_notice_honoured);
  due.had_notice = true;
  EXPECT_TRUE(Receipts::WordsFor(due, own).is_notice_honoured);
  LeaseWords broken = own;
  broken.is_notice_honoured = false;
  due.provider = own;
  EXPECT_FALSE(Receipts::WordsFor(due, broken).is_notice_honoured) << "the provider says that it kept it";
}

TEST(ReceiptsTest, EachIsSignedForOnceAndAgainWhenTheProviderSaysOtherwise) {
  ReceiptMarket market;
  Explanation steps;
  Receipts receipts(market, [&](const Step& step) { steps.push_back(step); });
  receipts.Note("mine", Words(1'000'000, 500'000, 250'000));
  market.open = {Open("mine"), Open("earlier")};
  receipts.Sign(100);
  ASSERT_THAT(market.signed_for, SizeIs(2));
  EXPECT_EQ(market.signed_for[0].second.uptime_ppm, 500'000U);
  EXPECT_EQ(market.signed_for[1].second.uptime_ppm, 1'000'000U) << "of an earlier run's nothing is known against it";
  ASSERT_THAT(steps, SizeIs(2));
  EXPECT_EQ(steps[0].text,
            "lease mine: signed for: 0.01 credits paid, 100 % delivered, up 50 % of the time, used 25 %; a complaint: "
            "refunded if its provider signs the same");
  EXPECT_THAT(steps[1].text, ::testing::Not(HasSubstr("complaint")));
  receipts.Sign(100);
  EXPECT_THAT(market.signed_for, SizeIs(2)) << "nothing new";
  market.open[0].provider = Words(1'000'000, 400'000, 260'000);
  receipts.Sign(100);
  ASSERT_THAT(market.signed_for, SizeIs(3));
  EXPECT_EQ(market.signed_for[2].second.uptime_ppm, 400'000U);
}

// However short it was: of the receipt's own time, as its server counts it.
TEST(ReceiptsTest, WhatTheServerSaidAtTheEndIsSignedFor) {
  ReceiptMarket market;
  Receipts receipts(market, [](const Step&) {});
  receipts.Note("short", Words(1'000'000, 1'000'000, 0), DeviceUse{150'000, 1'000'000});
  receipts.Note("starved", Words(1'000'000, 1'000'000, 0), DeviceUse{600'000, 700'000});
  market.open = {Open("short"), Open("starved")};
  market.open[0].begin_ms = 1000;
  market.open[0].end_ms = 1600;
  receipts.Sign(100);
  ASSERT_THAT(market.signed_for, SizeIs(2));
  EXPECT_EQ(market.signed_for[0].second.used_ppm, 250'000U);
  EXPECT_EQ(market.signed_for[0].second.delivered_ppm, 1'000'000U);
  EXPECT_EQ(market.signed_for[1].second.used_ppm, 10'000U);
  EXPECT_EQ(market.signed_for[1].second.delivered_ppm, 700'000U) << "a loss that its server admits";
}

TEST(ReceiptsTest, AMarketThatIsSilentOrRefusesIsNoTrouble) {
  ReceiptMarket market;
  Explanation steps;
  Receipts receipts(market, [&](const Step& step) { steps.push_back(step); });
  market.open = {Open("gone"), Open("there")};
  market.is_silent = true;
  receipts.Sign(100);
  EXPECT_THAT(steps, IsEmpty());
  market.is_silent = false;
  market.refused = "gone";
  receipts.Sign(100);
  ASSERT_THAT(market.signed_for, SizeIs(1));
  EXPECT_EQ(market.signed_for[0].first, "there");
  EXPECT_FALSE(steps[0].is_trouble);
  testing::FakeMarket without;
  Receipts none(without, [&](const Step& step) { steps.push_back(step); });
  none.Sign(100);
  EXPECT_THAT(steps, SizeIs(2));
}

}  // namespace
}  // namespace accelmesh::agent
