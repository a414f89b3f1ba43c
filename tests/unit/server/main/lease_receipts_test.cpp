#include "server/main/lease_receipts.h"

#include <gtest/gtest.h>

namespace accelmesh {
namespace {

using market::ReceiptWords;
using market::ledger::kPpm;

class LeaseReceiptsTest : public testing::Test {
 protected:
  LeaseReceiptsTest() {
    open_.begin_ms = 100'000;
    open_.end_ms = 200'000;
    open_.delivered_ppm = open_.uptime_ppm = kPpm;
    use_.device_us = 40'000'000;  // of 100 s
  }
  void BuyerSays(const ReceiptWords& words) {
    open_.delivered_ppm = words.delivered_ppm;
    open_.uptime_ppm = words.uptime_ppm;
    open_.is_notice_honoured = words.is_notice_honoured;
    open_.used_ppm = words.used_ppm;
    open_.buyer_signature.assign(64, 1);
  }
  std::optional<ReceiptWords> Words(const ServerTroubles& troubles = {}, std::int64_t now_ms = 201'000) {
    return WordsFor(open_, &use_, troubles, now_ms);
  }

  market::messages::ReceiptT open_;
  LeaseFacts use_;
};

TEST_F(LeaseReceiptsTest, ItWaitsForTheBuyerAndThenSaysWhatItHasSeen) {
  EXPECT_FALSE(Words({}, 209'999));
  const auto words = Words({}, 210'000);
  ASSERT_TRUE(words);
  EXPECT_EQ(*words, (ReceiptWords{kPpm, kPpm, false, 400'000}));
  use_.device_us = 500'000'000;
  EXPECT_EQ(Words({}, 210'000)->used_ppm, kPpm);
  EXPECT_EQ(WordsFor(open_, nullptr, {}, 210'000)->used_ppm, 0U);
}

TEST_F(LeaseReceiptsTest, ItAgreesToUseWithinATenth) {
  BuyerSays({kPpm, kPpm, false, 500'000});
  EXPECT_EQ(Words()->used_ppm, 500'000U);
  BuyerSays({kPpm, kPpm, false, 500'001});
  EXPECT_EQ(Words()->used_ppm, 400'000U);
  BuyerSays({kPpm, kPpm, false, 10'000});
  EXPECT_EQ(Words()->used_ppm, 10'000U);
}

TEST_F(LeaseReceiptsTest, ItAgreesToALossThatItKnowsOfAndToNoOther) {
  const ReceiptWords lost{kPpm, 700'000, false, 400'000};
  const ReceiptWords slow{500'000, kPpm, false, 400'000};
  BuyerSays(lost);
  EXPECT_EQ(Words()->uptime_ppm, kPpm);
  EXPECT_EQ(Words({.died_ms = 99'999})->uptime_ppm, kPpm) << "before it";
  EXPECT_EQ(Words({.died_ms = 150'000}), lost);
  EXPECT_EQ(Words({.started_ms = 150'000}), lost);
  EXPECT_EQ(Words({.changed_ms = 150'000})->uptime_ppm, kPpm) << "a slower device is no outage";
  BuyerSays(slow);
  EXPECT_EQ(Words({.died_ms = 150'000})->delivered_ppm, kPpm);
  EXPECT_EQ(Words({.changed_ms = 150'000}), slow);
}

// A share that was not delivered it says by itself, and so it agrees to as much.
TEST_F(LeaseReceiptsTest, AShareThatALeaseDidNotGetIsSaid) {
  use_.delivered_ppm = 700'000;
  EXPECT_EQ(Words({}, 210'000)->delivered_ppm, 700'000U);
  const ReceiptWords same{700'000, kPpm, false, 450'000};
  BuyerSays(same);
  EXPECT_EQ(Words(), same);
  BuyerSays({500'000, kPpm, false, 400'000});
  EXPECT_EQ(Words()->delivered_ppm, 700'000U) << "less than it has seen";
  BuyerSays({kPpm, kPpm, false, 400'000});
  EXPECT_EQ(Words()->delivered_ppm, kPpm) << "the buyer complains of nothing";
}

// Three tenths of a second are measured as exactly as minutes.
TEST_F(LeaseReceiptsTest, AShortLeaseIsNoException) {
  open_.end_ms = open_.begin_ms + 300;
  use_.device_us = 150'000;
  EXPECT_EQ(Words({}, 210'000)->used_ppm, 500'000U);
  open_.end_ms = open_.begin_ms;
  EXPECT_EQ(Words({}, 210'000)->used_ppm, 0U);
}

TEST_F(LeaseReceiptsTest, ANoticeThatItKeptItSaysSo) {
  open_.had_notice = true;
  BuyerSays({kPpm, kPpm, false, 400'000});
  EXPECT_TRUE(Words()->is_notice_honoured);
  EXPECT_FALSE(Words({.died_ms = 150'000})->is_notice_honoured);
  BuyerSays({kPpm, kPpm, true, 400'000});
  EXPECT_TRUE(Words()->is_notice_honoured);
}

}  // namespace
}  // namespace accelmesh
