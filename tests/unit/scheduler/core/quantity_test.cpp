#include "scheduler/core/quantity.h"

#include <gtest/gtest.h>

#include <random>

namespace accelmesh::scheduler {
namespace {

TEST(QuantityTest, Bytes) {
  EXPECT_EQ(*ParseBytes("1GiB"), 1ULL << 30);
  EXPECT_EQ(*ParseBytes(" 1.5 GiB "), 3ULL << 29);
  EXPECT_EQ(*ParseBytes("0"), 0U);
  EXPECT_EQ(*ParseBytes("512B"), 512U);
  EXPECT_EQ(*ParseBytes("1048576TiB"), 1ULL << 60);
  for (const char* text : {"", "GiB", "1", "1GB", "1 gib", "-1GiB", "1e3B", "0.3B", "1.GiB", ".5GiB", "1048577TiB",
                           "1GiBs", "99999999999999999999999GiB", "0x1B", "1,5GiB", "nanGiB"}) {
    const Result<std::uint64_t> bytes = ParseBytes(text);
    ASSERT_FALSE(bytes.ok()) << text;
    EXPECT_EQ(bytes.code(), Code::kInvalidArgument);
    EXPECT_NE(bytes.status().text().find("8GiB"), std::string::npos) << bytes.status().text();
  }
  EXPECT_EQ(ParseBytes("1").status().text(),
            "\"1\" has no unit; write B, KiB, MiB, GiB or TiB behind the number, as in 8GiB");
  EXPECT_EQ(ParseBytes("3GB").status().text(),
            "\"3GB\" has an unknown unit; a size has B, KiB, MiB, GiB or TiB, as in 8GiB");
}

TEST(QuantityTest, Durations) {
  EXPECT_EQ(*ParseDurationUs("5ms"), 5000);
  EXPECT_EQ(*ParseDurationUs("0.5 s"), 500'000);
  EXPECT_EQ(*ParseDurationUs("2h"), 7'200'000'000);
  EXPECT_EQ(*ParseDurationUs("1d"), 86'400'000'000);
  EXPECT_FALSE(ParseDurationUs("0.5us").ok());
  EXPECT_FALSE(ParseDurationUs("10").ok());
  EXPECT_FALSE(ParseDurationUs("4000d").ok());
  EXPECT_FALSE(ParseDurationUs("5 min").ok());
}

TEST(QuantityTest, Rates) {
  EXPECT_EQ(*ParseOperationsPerSecond("0.05 TOPS"), 0.05 * 1e12);
  EXPECT_EQ(*ParseOperationsPerSecond("50GOPS"), 50e9);
  EXPECT_EQ(*ParseBytesPerSecond("100GB/s"), 100e9);
  EXPECT_EQ(*ParseBytesPerSecond("1GiB/s"), 1073741824.0);
  for (const char* text : {"0 TOPS", "TOPS", "-1 TOPS", "1 tops", "1", "1e5 TOPS", "inf TOPS", "nan TOPS",
                           "9999999999999999 POPS", "0.0000000000000000000000000000000000000001TOPS"}) {
    EXPECT_FALSE(ParseOperationsPerSecond(text).ok()) << text;
  }
  EXPECT_FALSE(ParseBytesPerSecond("100GB").ok());
}

TEST(QuantityTest, CreditsAreExact) {
  EXPECT_EQ(*ParseCredits("2.50"), 2'500'000);
  EXPECT_EQ(*ParseCredits("0.000001"), 1);
  EXPECT_EQ(*ParseCredits("9000000000000"), 9'000'000'000'000'000'000);
  EXPECT_EQ(*ParseCredits("0.1"), 100'000);
  for (const char* text : {"", "0.0000001", "9000000000001", "-1", "1 credit", "1e3", "$1", "1.2.3"}) {
    EXPECT_FALSE(ParseCredits(text).ok()) << text;
  }
  EXPECT_EQ(CreditsText(2'500'000), "2.5");
  EXPECT_EQ(CreditsText(1), "0.000001");
  EXPECT_EQ(CreditsText(7'000'000), "7");
}

TEST(QuantityTest, Counts) {
  EXPECT_EQ(*ParseCount("16", 16), 16U);
  for (const char* text : {"0", "17", "-1", "1.5", "", "4294967297", "1x"})
    EXPECT_FALSE(ParseCount(text, 16).ok()) << text;
}

TEST(QuantityTest, ARefusalIsShortAndPrintable) {
  for (const std::string& text : {std::string(100'000, '9'), std::string("\x1b[2J1GiB"), std::string("1G\0iB", 5)}) {
    const std::string says = ParseBytes(text).status().text();
    EXPECT_LT(says.size(), 300U);
    for (const char c : says) EXPECT_TRUE(c >= ' ' && c <= '~');
  }
}

TEST(QuantityTest, WhatIsWrittenIsReadBackExactly) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t bits = random() >> (random() % 60);
    const std::uint64_t bytes = bits % ((1ULL << 60) + 1);
    ASSERT_EQ(*ParseBytes(BytesText(bytes)), bytes);
    const auto us = static_cast<std::int64_t>(bits % 316'000'000'000'000ULL);
    ASSERT_EQ(*ParseDurationUs(DurationText(us)), us);
    const auto credits = static_cast<std::int64_t>(bits % 9'000'000'000'000'000'000ULL);
    ASSERT_EQ(*ParseCredits(CreditsText(credits)), credits);
    const double rate =
        static_cast<double>(bits % 1'000'000'000'000'000ULL) + 1 + static_cast<double>(random() % 1000) / 1000;
    const Result<double> read = ParseOperationsPerSecond(OperationsPerSecondText(rate));
    ASSERT_TRUE(read.ok()) << OperationsPerSecondText(rate);
    ASSERT_EQ(*read, rate) << OperationsPerSecondText(rate);
    ASSERT_EQ(*ParseBytesPerSecond(BytesPerSecondText(rate)), rate) << BytesPerSecondText(rate);
  }
}

TEST(QuantityTest, ForPeople) {
  EXPECT_EQ(ReadableBytes(6ULL << 30), "6 GiB");
  EXPECT_EQ(ReadableBytes((11ULL << 30) / 2), "5.5 GiB");
  EXPECT_EQ(ReadableBytes(0), "0 B");
  EXPECT_EQ(ReadableOperations(0.05e12), "50 GOPS");
  EXPECT_EQ(ReadableOperations(1.234567e12), "1.235 TOPS");
  EXPECT_EQ(ReadableBandwidth(98.76e9), "98.76 GB/s");
  EXPECT_EQ(ReadableDuration(12'500), "12.5 ms");
}

}  // namespace
}  // namespace accelmesh::scheduler
