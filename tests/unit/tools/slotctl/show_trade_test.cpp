// What slotctl says of trade, word for word, of a small market that is always the same.
#include "tools/slotctl/show_trade.h"

#include <gmock/gmock.h>

#include "tests/unit/tools/slotctl/small_market.h"
#include "tools/slotctl/show_receipts.h"

namespace accelmesh::slotctl {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ShowTradeTest, AsksAreListedTheCheapestFirst) {
  const Report report = ReportOf(Asks(), kNowMs, {});
  EXPECT_EQ(report.text,
            R"(CLASS                       ASKED/H  SHARE    MEMORY  SLOT     OWNER         NOTICE    FOR
cpu/AccelMesh Software GPU        1   30 %   300 MiB  right/0  right (idle)       -      -
cpu/AccelMesh Software GPU        2    9 %    90 MiB  left/0   left (idle)        -      -
cpu/AccelMesh Software GPU      2.5   50 %   500 MiB  left/0   seller           5 s  1.5 m
cuda/NVIDIA H100                  9  100 %  1000 MiB  big/0    big (idle)         -      -
)");
  EXPECT_EQ(report.json["asks"].size(), 4U);
  EXPECT_EQ(report.json["asks"][2]["lease"], "1f3a");
  EXPECT_EQ(report.json["asks"][2]["price_microcredits_per_hour"], 2'500'000);
  EXPECT_EQ(ReportOf(messages::AsksT{}, kNowMs, {}).text,
            "nothing is for sale: no slot has anything free, and no holder of a lease sells\n");
}

TEST(ShowTradeTest, TheBookSaysHowMuchCanBeHadUpToEachPriceAndWhichBidsStand) {
  const std::string text = ReportOf(Asks(), kNowMs, {.depth = true, .plot = false}).text;
  EXPECT_EQ(text,
            R"(CLASS                       ASKED/H  SHARE  UP TO HERE    MEMORY  SLOT     OWNER         NOTICE    FOR
cpu/AccelMesh Software GPU        1   30 %        30 %   300 MiB  right/0  right (idle)       -      -
cpu/AccelMesh Software GPU        2    9 %        39 %    90 MiB  left/0   left (idle)        -      -
cpu/AccelMesh Software GPU      2.5   50 %        89 %   500 MiB  left/0   seller           5 s  1.5 m
cuda/NVIDIA H100                  9  100 %       100 %  1000 MiB  big/0    big (idle)         -      -

bids that stand; who bids, and how much, is sealed
CLASS                       SHARE   MEMORY  FOR
cpu/AccelMesh Software GPU   25 %  250 MiB  2 s
(a gang of whole devices)       -        -  2 s
)");
  messages::AsksT no_bids = Asks();
  no_bids.bids.clear();
  EXPECT_THAT(ReportOf(no_bids, kNowMs, {.depth = true, .plot = false}).text, HasSubstr("\nno bids stand\n"));
}

TEST(ShowTradeTest, TheBooksBarsAreAsLongAsWhatCanBeHad) {
  const std::string text = ReportOf(Asks(), kNowMs, {.depth = true, .plot = true}).text;
  std::vector<std::size_t> bars;
  for (std::size_t at = text.find("UP TO THIS PRICE"); at != std::string::npos && bars.size() < 4;) {
    at = text.find('\n', at) + 1;
    std::size_t bar = 0;
    for (std::size_t i = at; text[i] != '\n'; ++i) bar += text.compare(i, 3, "█") == 0 ? 1 : 0;
    bars.push_back(bar);
  }
  // Of 89 %: 30, 39, 89; the other class by itself.
  EXPECT_EQ(bars, (std::vector<std::size_t>{11, 14, 30, 30}));
}

TEST(ShowTradeTest, EpochsSayWhoSoldToWhomByWhichLaneAndAtWhatPrice) {
  const Report report = ReportOf(Epochs(2), false);
  EXPECT_EQ(report.text,
            R"(EPOCH  CLASS                       BIDS  ASKS  TRADES  SURROGATE/H  PRICE/H  LANE
  102  cpu/AccelMesh Software GPU     2     3       1            2      2.1  surrogate price: 1 trades to be had, an auction takes 10
  102  cuda/NVIDIA H100              12    12      11            0      9.2  auction (McAfee)
  101  cpu/AccelMesh Software GPU     2     3       1            2     2.05  surrogate price: 1 trades to be had, an auction takes 10
  101  cuda/NVIDIA H100              12    12      11            0      9.1  auction (McAfee)

EPOCH  SLOT    SELLER       BUYER  SHARE  SELLER GETS/H  BUYER PAYS/H  IN ALL  LANE
  102  left/0  seller       buyer   30 %            2.1           2.2   0.021  surrogate
  101  left/0  left (idle)  buyer   30 %           2.05          2.15  0.0205  surrogate
)");
  EXPECT_EQ(report.json["epochs"][0]["number"], 102);
  EXPECT_EQ(report.json["epochs"][0]["trades"][0]["from"], "1f3a");
  EXPECT_EQ(ReportOf(messages::EpochsT{}, true).text, "no epoch has had a trade yet\n");
}

TEST(ShowTradeTest, ThePlotOfEpochsRisesAsPricesDo) {
  messages::EpochsT epochs = Epochs(4);
  // From nothing to all, so that it is seen.
  for (std::size_t i = 0; i < 4; ++i) {
    auto& classes = epochs.epochs[i]->classes;
    if (classes.size() > 1) classes.pop_back();
    classes[0]->price_microcredits_per_hour = static_cast<std::int64_t>(4 - i) * 1'000'000;
  }
  EXPECT_THAT(ReportOf(epochs, true).text, HasSubstr(R"(
cpu/AccelMesh Software GPU: credits an hour, by epoch
4 ┤   █
  ┤   █
  ┤  ██
  ┤  ██
  ┤ ███
  ┤ ███
  ┤████
0 ┤████
  └────
)"));
  EXPECT_THAT(ReportOf(epochs, false).text, Not(HasSubstr("┤")));
}

TEST(ShowTradeTest, OnesOwnTradesAndWhereOthersAre) {
  const Report report = TradesOf(Epochs(2), KeyOf('s'), true);
  EXPECT_THAT(report.text, HasSubstr("  102  left/0  seller       buyer   30 %            2.1"));
  EXPECT_EQ(report.json["trades"][0]["is_sale"], true);
  EXPECT_EQ(report.json["trades"][1]["is_sale"], false);
  EXPECT_THAT(TradesOf({}, KeyOf('s'), true).text,
              HasSubstr("--identity NAME shows another's (mesh-run's is default)"));
  EXPECT_THAT(TradesOf({}, KeyOf('s'), false).text, HasSubstr("ssssssssssssssss has sold and bought nothing"));
}

TEST(ShowTradeTest, WhySaysWhichPriceWouldWinAndWhatToSayToMeshRun) {
  messages::WinningPriceT price;
  price.lane = "surrogate";
  price.share_milli = 300;
  price.least_microcredits_per_hour = 2'000'001;
  price.pays_microcredits_per_hour = 2'000'000;
  price.posted_microcredits_per_hour = 2'500'000;
  price.why = "3 asks of such goods stand";
  EXPECT_EQ(ReportOf(price, WhyAsked{kSoftware, 300, 1}).text,
            R"(it needs    30 % of a cpu/AccelMesh Software GPU, the kind that needs the least
for sale    3 asks of such goods stand
posted      0.75 credits an hour (2.5 of a whole device) is what a grant costs while something is free
would win   0.600001 credits an hour (2.000001 of a whole device) or more in the next epoch, if nobody else bids
would pay   0.6 credits an hour (2 of a whole device), by the lane "surrogate"
so          mesh-run --max-price 0.600001 ...
)");
  EXPECT_THAT(ReportOf(price, WhyAsked{kSoftware, 1000, 2}).text,
              HasSubstr("would pay   2 credits an hour, by the lane"));
  EXPECT_THAT(ReportOf(price, WhyAsked{kSoftware, 1000, 2}).text,
              HasSubstr("one of the 2, a gang bids for whole ones"));
  price.lane.clear();
  price.least_microcredits_per_hour = -1;
  const Report none = ReportOf(price, WhyAsked{kSoftware, 300, 1});
  EXPECT_THAT(none.text, HasSubstr("would win   no price: nothing of it is for sale"));
  EXPECT_THAT(none.text, HasSubstr("instead     wait for it (mesh-run --when-nothing wait)"));
  EXPECT_EQ(none.json["least_microcredits_per_hour"], -1);
}

TEST(ShowTradeTest, AQuoteSaysWhatWouldBeHadAndWhatEachSlotLacks) {
  messages::QuotationT quotation;
  EXPECT_THAT(ReportOf(quotation).text, HasSubstr("a gpu-server offers its own with --market URL"));
  quotation.rejections.push_back(std::make_unique<messages::RejectionT>());
  quotation.rejections[0]->slot = "left/0";
  quotation.rejections[0]->gaps.push_back(std::make_unique<messages::GapT>());
  *quotation.rejections[0]->gaps[0] = messages::GapT{};
  quotation.rejections[0]->gaps[0]->dimension = "memory";
  quotation.rejections[0]->gaps[0]->text = "memory 90 MiB of 256 MiB";
  quotation.rejections[0]->gaps[0]->remedy = "ask for 90 MiB or less";
  EXPECT_EQ(ReportOf(quotation).text, R"(SLOT    LACKS                     REMEDY
left/0  memory 90 MiB of 256 MiB  ask for 90 MiB or less
nothing would do now; slotctl why says which bid would get it from others
)");
  quotation.offers.push_back(std::make_unique<messages::OfferT>());
  quotation.offers[0]->slot = "right/0";
  quotation.offers[0]->share_milli = 250;
  quotation.offers[0]->memory_bytes = 256 << 20;
  quotation.offers[0]->price_microcredits_per_hour = 250'000;
  quotation.offers[0]->why = "throughput";
  EXPECT_EQ(ReportOf(quotation).text, R"(SLOT     SHARE   MEMORY  POSTED/H  DECIDED BY
right/0   25 %  256 MiB      0.25  throughput
SLOT    LACKS                     REMEDY
left/0  memory 90 MiB of 256 MiB  ask for 90 MiB or less
)");
  EXPECT_EQ(ReportOf(quotation).json["lacks"][0]["dimension"], "memory");
}

// What a browser draws: axes in round steps, a line for each class, and nothing that is no number.
TEST(ShowTradeTest, PicturesHaveRoundAxesAndALineForEachClass) {
  const auto count = [](const std::string& text, const std::string& what) {
    std::size_t found = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
    return found;
  };
  const std::string book = SvgOf(Asks());
  EXPECT_EQ(count(book, "<polyline"), 2U);
  for (const char* part :
       {">What is for sale, up to which price<", ">devices<", ">0.2<", ">10<", ">cuda/NVIDIA H100<"}) {
    EXPECT_THAT(book, HasSubstr(part));
  }
  const std::string epochs = SvgOf(Epochs());
  EXPECT_EQ(count(epochs, "<polyline"), 2U);
  for (const char* part : {">minutes before the last epoch that had a trade<", ">-12<", ">-2<", ">12<"}) {
    EXPECT_THAT(epochs, HasSubstr(part));
  }
  EXPECT_THAT(SvgOf(Epochs(2)), HasSubstr(">seconds before the last epoch"));
  for (const std::string& svg :
       {book, epochs, SvgOf(messages::AsksT{}), SvgOf(messages::EpochsT{}), SvgOf(Epochs(1))}) {
    EXPECT_EQ(svg.compare(0, 4, "<svg"), 0);
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
  }
}

TEST(ShowReceiptsTest, WhatBothHaveSignedIsToldFromWhatOneSays) {
  const Report report = ReportOf(Receipts(), kNowMs, true);
  EXPECT_EQ(
      report.text,
      R"(LEASE           PROVIDER  BUYER        ENDED  LASTED  PAID  DELIVERED      UP  NOTICE    USED  REFUND  SIGNED BY
lease-both      bbbbbbbb  aaaaaaaa  80 s ago     2 m  0.06      100 %  99.5 %  -       41.7 %       0  both
lease-buyer     bbbbbbbb  aaaaaaaa  80 s ago     2 m  0.06      100 %  99.5 %  -       41.7 %       0  buyer only
lease-disputed  bbbbbbbb  aaaaaaaa  80 s ago     2 m  0.06       80 %  99.5 %  broken  41.7 %       0  both, of different words
what both have signed counts for reputation and refunds; the rest counts for nobody
)");
  EXPECT_EQ(report.json["receipts"][2]["state"], "disputed");
  messages::ReceiptsT both = Receipts();
  both.receipts.resize(1);
  EXPECT_THAT(ReportOf(both, kNowMs, true).text, Not(HasSubstr("counts for nobody")));
  EXPECT_THAT(ReportOf(messages::ReceiptsT{}, kNowMs, false).text, HasSubstr("--identity NAME another's"));
}

TEST(ShowReceiptsTest, ReputationIsOneLineForEachThingThatCounts) {
  EXPECT_EQ(ReportOf(Reputations()).text, R"(NAME  ROLE       SCORE  OF         GOOD  BAD
left  provider  81.1 %  delivered     4    0
                        uptime        4    0
big   provider  42.3 %  delivered     4    1
                        uptime        4    1
a newcomer has 5 %; an ask counts as if it were dearer by what its provider's score lacks
)");
  EXPECT_EQ(ReportOf(messages::ReputationsT{}).json["reputations"].size(), 0U);
}

}  // namespace
}  // namespace accelmesh::slotctl
