#include "market/ledger/reputation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "market/ledger/beta_quantile.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

constexpr std::int64_t kHourMs = 3'600'000;
constexpr std::int64_t kCredit = 1'000'000;
constexpr std::int64_t kNow = 500'000 * kHourMs;

security::PublicKey PartyOf(std::uint8_t number) { return KeyOf(number).public_key(); }

Receipt ReceiptOf(std::uint8_t provider, std::uint8_t buyer, std::int64_t credits, std::int64_t end_ms = kNow) {
  Receipt receipt;
  receipt.market = "market";
  receipt.lease = "lease";
  receipt.slot_class = "class";
  receipt.provider = PartyOf(provider);
  receipt.buyer = PartyOf(buyer);
  receipt.begin_ms = end_ms - 1000;
  receipt.end_ms = end_ms;
  receipt.price_microcredits = credits * kCredit;
  receipt.bond_microcredits = credits * kCredit;
  receipt.delivered_ppm = kPpm;
  receipt.uptime_ppm = kPpm;
  receipt.paid_microcredits = credits * kCredit;
  receipt.used_ppm = kPpm;
  return receipt;
}

// One that is not the same as any other.
Receipt Next(Receipt receipt, int number) {
  receipt.lease = "lease-" + std::to_string(number);
  return receipt;
}

ReputationBook Uncapped() { return ReputationBook({.is_capped = false}); }

TEST(ReputationTest, NewcomersBeginLowAndGoodReceiptsRaise) {
  ReputationBook book = Uncapped();
  const auto score = [&] { return book.ScorePpm(PartyOf(1), ReputationRole::kProvider, kNow); };
  EXPECT_EQ(score(), 50'000u) << "the 5 % quantile of what nobody knows";
  std::uint32_t before = score();
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(book.Add(Next(ReceiptOf(1, 2, 2), i)).ok());
    EXPECT_GT(score(), before);
    before = score();
  }
  EXPECT_GT(before, 940'000u);
  EXPECT_EQ(before, BetaQuantilePpm(61 * kCredit, kCredit, 50'000));
  EXPECT_EQ(book.ScorePpm(PartyOf(3), ReputationRole::kProvider, kNow), 50'000u) << "a new name is worth less";
}

TEST(ReputationTest, WeighsByTheTradeAndTheBondAndCountsTheWorstEvent) {
  ReputationBook book = Uncapped();
  Receipt receipt = ReceiptOf(1, 2, 10);
  receipt.bond_microcredits = 3 * kCredit;
  receipt.delivered_ppm = 900'000;
  receipt.had_notice = true;
  ASSERT_TRUE(book.Add(receipt).ok());
  const auto facts = [&](ReputationEvent event) {
    return book.Facts(PartyOf(1), ReputationRole::kProvider, event, kNow);
  };
  EXPECT_EQ(facts(ReputationEvent::kDelivered).good_microcredits, 2'700'000);
  EXPECT_EQ(facts(ReputationEvent::kDelivered).bad_microcredits, 300'000);
  EXPECT_EQ(facts(ReputationEvent::kUptime).good_microcredits, 3'000'000);
  EXPECT_EQ(facts(ReputationEvent::kNotice).good_microcredits, 0);
  EXPECT_EQ(facts(ReputationEvent::kNotice).bad_microcredits, 3'000'000);
  EXPECT_EQ(book.ScorePpm(PartyOf(1), ReputationRole::kProvider, kNow), facts(ReputationEvent::kNotice).score_ppm);
  EXPECT_LT(facts(ReputationEvent::kNotice).score_ppm, facts(ReputationEvent::kDelivered).score_ppm);
  // The buyer's side: paid half, used a third.
  Receipt other = Next(ReceiptOf(4, 5, 8), 1);
  other.paid_microcredits = 4 * kCredit;
  other.used_ppm = 250'000;
  ASSERT_TRUE(book.Add(other).ok());
  const auto paid = book.Facts(PartyOf(5), ReputationRole::kBuyer, ReputationEvent::kPaid, kNow);
  EXPECT_EQ(paid.good_microcredits, 4 * kCredit);
  EXPECT_EQ(paid.bad_microcredits, 4 * kCredit);
  EXPECT_EQ(book.Facts(PartyOf(5), ReputationRole::kBuyer, ReputationEvent::kUsed, kNow).good_microcredits,
            2 * kCredit);
  Receipt bondless = Next(ReceiptOf(6, 5, 8), 2);
  bondless.bond_microcredits = 0;
  ASSERT_TRUE(book.Add(bondless).ok());
  EXPECT_EQ(book.ScorePpm(PartyOf(6), ReputationRole::kProvider, kNow), 50'000u) << "without a bond it weighs nothing";
}

TEST(ReputationTest, HalvesEvery30Days) {
  ReputationBook book = Uncapped();
  ASSERT_TRUE(book.Add(ReceiptOf(1, 2, 1000)).ok());
  const auto good = [&](std::int64_t hours) {
    return book.Facts(PartyOf(1), ReputationRole::kProvider, ReputationEvent::kUptime, kNow + hours * kHourMs)
        .good_microcredits;
  };
  EXPECT_EQ(good(0), 1000 * kCredit);
  EXPECT_EQ(good(720), 500 * kCredit);
  EXPECT_EQ(good(1440), 250 * kCredit);
  for (std::int64_t hours = 0; hours < 10'000; hours += 13) {
    const double expected = 1e9 * std::pow(2.0, -static_cast<double>(hours) / 720);
    EXPECT_NEAR(static_cast<double>(good(hours)), expected, 1 + expected * 1e-9) << hours;
  }
  EXPECT_EQ(good(720 * 200), 0);
  // An older one that comes later counts as it would have.
  ASSERT_TRUE(book.Add(Next(ReceiptOf(1, 2, 1000, kNow - 720 * kHourMs), 1)).ok());
  EXPECT_EQ(good(0), 1500 * kCredit);
}

TEST(ReputationTest, SelfTradeAndTheSameReceiptTwiceCountNothing) {
  ReputationBook book = Uncapped();
  ASSERT_TRUE(book.Add(ReceiptOf(1, 1, 1000)).ok());
  EXPECT_EQ(book.ScorePpm(PartyOf(1), ReputationRole::kProvider, kNow), 50'000u);
  EXPECT_TRUE(book.Subjects(ReputationRole::kProvider).empty());
  ASSERT_TRUE(book.Add(ReceiptOf(1, 2, 10)).ok());
  const std::uint32_t once = book.ScorePpm(PartyOf(1), ReputationRole::kProvider, kNow);
  ASSERT_TRUE(book.Add(ReceiptOf(1, 2, 10)).ok());
  EXPECT_EQ(book.ScorePpm(PartyOf(1), ReputationRole::kProvider, kNow), once);
  EXPECT_EQ(book.Subjects(ReputationRole::kBuyer).size(), 1u);
  Receipt bad = ReceiptOf(1, 2, 10);
  bad.delivered_ppm = kPpm + 1;
  EXPECT_EQ(book.Add(bad).code(), Code::kInvalidArgument);
}

TEST(ReputationTest, ARingGainsNoMoreThanItHasBroughtIn) {
  // Parties 10 to 14 pay each other in a circle, again and again; one of them has brought 7 credits.
  ReputationBook book;
  book.SetDeposited(PartyOf(10), 7 * kCredit);
  int number = 0;
  for (int round = 0; round < 200; ++round) {
    for (std::uint8_t i = 0; i < 5; ++i) {
      ASSERT_TRUE(
          book.Add(Next(ReceiptOf(static_cast<std::uint8_t>(10 + (i + 1) % 5), static_cast<std::uint8_t>(10 + i), 50),
                        number++))
              .ok());
    }
  }
  for (std::uint8_t i = 0; i < 5; ++i) {
    const ReputationFacts facts = book.Facts(PartyOf(static_cast<std::uint8_t>(10 + i)), ReputationRole::kProvider,
                                             ReputationEvent::kDelivered, kNow);
    EXPECT_EQ(facts.good_microcredits, 10'000 * kCredit);
    EXPECT_EQ(facts.cap_microcredits, i == 0 ? 0 : 7 * kCredit) << "its own deposit is no source for a provider";
  }
  // Without any money it gains nothing.
  ReputationBook poor;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(poor.Add(Next(ReceiptOf(11, 10, 50), i)).ok());
  EXPECT_EQ(poor.ScorePpm(PartyOf(11), ReputationRole::kProvider, kNow), 50'000u);
}

TEST(ReputationTest, FalseNamesBehindOneAnotherGainNoMoreThanThePathThatFeedsThem) {
  // Honest 1 has 1,000 credits and has paid 30 to the attacker 20, who passes it on to names 21 to 29 and back.
  ReputationBook book;
  book.SetDeposited(PartyOf(1), 1000 * kCredit);
  int number = 0;
  ASSERT_TRUE(book.Add(Next(ReceiptOf(20, 1, 30), number++)).ok());
  for (int round = 0; round < 20; ++round) {
    for (std::uint8_t name = 21; name < 30; ++name) {
      ASSERT_TRUE(book.Add(Next(ReceiptOf(name, 20, 100), number++)).ok());
      ASSERT_TRUE(book.Add(Next(ReceiptOf(20, name, 100), number++)).ok());
    }
  }
  for (std::uint8_t name = 20; name < 30; ++name) {
    EXPECT_EQ(book.Facts(PartyOf(name), ReputationRole::kProvider, ReputationEvent::kUptime, kNow).cap_microcredits,
              30 * kCredit);
  }
  // An honest provider with many buyers has all of its weight.
  for (std::uint8_t buyer = 40; buyer < 50; ++buyer) {
    book.SetDeposited(PartyOf(buyer), 100 * kCredit);
    ASSERT_TRUE(book.Add(Next(ReceiptOf(60, buyer, 80), number++)).ok());
  }
  const ReputationFacts honest = book.Facts(PartyOf(60), ReputationRole::kProvider, ReputationEvent::kUptime, kNow);
  EXPECT_EQ(honest.good_microcredits, 800 * kCredit);
  EXPECT_EQ(honest.cap_microcredits, 800 * kCredit);
  EXPECT_GT(honest.score_ppm, 990'000u);
}

TEST(ReputationTest, TheCapIsTheSmallestCut) {
  // Against all cuts of small random markets.
  std::mt19937_64 random(8);
  for (int round = 0; round < 40; ++round) {
    ReputationBook book;
    constexpr std::uint8_t kParties = 6;
    std::int64_t deposited[kParties] = {};
    std::int64_t paid[kParties][kParties] = {};
    for (std::uint8_t i = 0; i < kParties; ++i) {
      deposited[i] = static_cast<std::int64_t>(random() % 50) * kCredit;
      book.SetDeposited(PartyOf(static_cast<std::uint8_t>(10 + i)), deposited[i]);
    }
    for (int trade = 0; trade < 12; ++trade) {
      const auto buyer = static_cast<std::uint8_t>(random() % kParties);
      const auto provider = static_cast<std::uint8_t>(random() % kParties);
      const std::int64_t credits = 1 + static_cast<std::int64_t>(random() % 40);
      ASSERT_TRUE(book.Add(Next(ReceiptOf(static_cast<std::uint8_t>(10 + provider),
                                          static_cast<std::uint8_t>(10 + buyer), credits),
                                trade))
                      .ok());
      if (buyer != provider) paid[buyer][provider] += credits * kCredit;
    }
    for (std::uint8_t subject = 0; subject < kParties; ++subject) {
      for (const ReputationRole role : {ReputationRole::kProvider, ReputationRole::kBuyer}) {
        const ReputationEvent event =
            role == ReputationRole::kProvider ? ReputationEvent::kUptime : ReputationEvent::kPaid;
        const ReputationFacts facts = book.Facts(PartyOf(static_cast<std::uint8_t>(10 + subject)), role, event, kNow);
        if (facts.good_microcredits == 0) continue;
        std::int64_t smallest = INT64_MAX;
        for (unsigned set = 0; set < 1u << kParties; ++set) {  // who is on the side of the source
          if ((set & 1u << subject) != 0) continue;
          std::int64_t cut = 0;
          for (std::uint8_t i = 0; i < kParties; ++i) {
            const bool is_own = i == subject && role == ReputationRole::kProvider;
            if ((set & 1u << i) == 0 && !is_own) cut += deposited[i];
            for (std::uint8_t k = 0; k < kParties; ++k) {
              if ((set & 1u << i) != 0 && (set & 1u << k) == 0) cut += paid[i][k];
            }
          }
          smallest = std::min(smallest, cut);
        }
        EXPECT_EQ(facts.cap_microcredits, smallest);
      }
    }
  }
}

TEST(ReputationTest, TheSameReceiptsGiveTheSameScores) {
  // Numbers that must never change, computed with Python as well: whoever recomputes a frozen reputation gets these.
  ReputationBook book;
  for (std::uint8_t i = 1; i < 9; ++i) book.SetDeposited(PartyOf(i), 100 * kCredit);
  for (int i = 0; i < 200; ++i) {
    Receipt receipt = ReceiptOf(static_cast<std::uint8_t>(1 + i % 7), static_cast<std::uint8_t>(1 + i * 3 % 8),
                                1 + i % 9, kNow - i * 17 * kHourMs);
    receipt.delivered_ppm = static_cast<std::uint32_t>(1'000'000 - i * 1301);
    ASSERT_TRUE(book.Add(Next(receipt, i)).ok());
  }
  std::vector<std::uint32_t> scores;
  for (std::uint8_t i = 1; i < 8; ++i) scores.push_back(book.ScorePpm(PartyOf(i), ReputationRole::kProvider, kNow));
  EXPECT_EQ(scores, (std::vector<std::uint32_t>{833708, 832547, 819066, 807028, 794464, 828486, 811923}));
}

// What a leader has written down is all that the next one needs.
TEST(ReputationTest, AStateGivenToAnotherBookGoesOnTheSame) {
  ReputationBook book;
  ReputationBook other;
  for (std::uint8_t i = 1; i < 6; ++i) {
    book.SetDeposited(PartyOf(i), 100 * kCredit);
    other.SetDeposited(PartyOf(i), 100 * kCredit);
  }
  std::mt19937_64 random(3);
  const auto receipt = [&](int number) {
    Receipt one = ReceiptOf(static_cast<std::uint8_t>(1 + random() % 5), static_cast<std::uint8_t>(1 + random() % 5),
                            static_cast<std::int64_t>(1 + random() % 9), kNow + number * kHourMs);
    one.delivered_ppm = static_cast<std::uint32_t>(random() % kPpm);
    one.had_notice = random() % 2 == 0;
    return Next(one, number);
  };
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(book.Add(receipt(i)).ok());
  for (std::uint8_t i = 1; i < 6; ++i) other.SetState(PartyOf(i), book.StateOf(PartyOf(i)));
  for (int i = 100; i < 150; ++i) {
    const Receipt one = receipt(i);
    ASSERT_TRUE(book.Add(one).ok());
    ASSERT_TRUE(other.Add(one).ok());
  }
  for (std::uint8_t i = 1; i < 6; ++i) {
    EXPECT_EQ(book.StateOf(PartyOf(i)), other.StateOf(PartyOf(i)));
    EXPECT_EQ(book.ScorePpm(PartyOf(i), ReputationRole::kProvider, kNow + 200 * kHourMs),
              other.ScorePpm(PartyOf(i), ReputationRole::kProvider, kNow + 200 * kHourMs));
    EXPECT_EQ(book.ScorePpm(PartyOf(i), ReputationRole::kBuyer, kNow),
              other.ScorePpm(PartyOf(i), ReputationRole::kBuyer, kNow));
  }
  // Instead of what it knew, not besides.
  other.SetState(PartyOf(1), {});
  EXPECT_EQ(other.ScorePpm(PartyOf(1), ReputationRole::kProvider, kNow), 50'000u);
  EXPECT_TRUE(other.StateOf(PartyOf(1)).payers.empty());
}

TEST(ReputationTest, OfManyPayersThoseWhoPaidLeastAreForgotten) {
  ReputationBook book;
  security::PublicKey key;
  for (std::size_t i = 0; i < kPayersKept + 10; ++i) {
    Receipt one = ReceiptOf(1, 2, static_cast<std::int64_t>(1 + i));
    key.bytes[0] = static_cast<std::uint8_t>(i);
    key.bytes[1] = static_cast<std::uint8_t>(1 + i / 256);
    one.buyer = key;
    ASSERT_TRUE(book.Add(one).ok());
  }
  const ReputationState state = book.StateOf(PartyOf(1));
  EXPECT_EQ(state.payers.size(), kPayersKept);
  for (const auto& [payer, paid] : state.payers) EXPECT_GT(paid.At(kNow / kHourMs), 10 * kCredit);
}

TEST(ReputationTest, QualityIsThePartOfTheBestInTenths) {
  EXPECT_EQ(QualityPpm(50'000, 50'000), kPpm) << "newcomers among themselves";
  EXPECT_EQ(QualityPpm(900'000, 950'000), kPpm);
  EXPECT_EQ(QualityPpm(900'000, 1'000'000), 900'000u);
  EXPECT_EQ(QualityPpm(899'999, 1'000'000), 900'000u);
  EXPECT_EQ(QualityPpm(800'000, 1'000'000), 800'000u);
  EXPECT_EQ(QualityPpm(50'000, 950'000), 100'000u);
  EXPECT_EQ(QualityPpm(0, 950'000), 100'000u);
  EXPECT_EQ(QualityPpm(5, 0), kPpm);
}

TEST(DecayedTest, HoldsForTheLargestNumbers) {
  const UnsignedWide most = ~UnsignedWide{0};
  EXPECT_EQ(Decayed(most, 0), most);
  EXPECT_EQ(Decayed(most, 720) >> 64, (most >> 1) >> 64);
  EXPECT_LT(Decayed(most, 1), most);
  EXPECT_GT(Decayed(most, 1) >> 64, (most >> 64) * 999 / 1000);
  EXPECT_EQ(Decayed(most, 720 * 128), 0u);
  EXPECT_EQ(Decayed(most, INT64_MAX), 0u);
  EXPECT_EQ(Decayed(5, -3), 5u);
}

}  // namespace
}  // namespace accelmesh::market::ledger
