#include "scheduler/core/request_text.h"

#include <gtest/gtest.h>

#include <random>

namespace accelmesh::scheduler {
namespace {

TEST(RequestTextTest, AsPeopleWriteIt) {
  const Result<FunctionalRequest> request = ParseRequest(
      "0.05 TOPS fp32, 100GOPS int8 convolution,1GiB, 50GB/s, within 5ms, 2 slots, topology=server, zone=eu-1, "
      "label=a, "
      "label=b, duration=10m, deadline=1h, notice=30s, budget=1.5, max-price=3");
  ASSERT_TRUE(request.ok()) << request.status().ToString();
  FunctionalRequest expected;
  expected.throughput = {{Operation::kMatmul, NumberType::kFp32, 0.05 * 1e12},
                         {Operation::kConvolution, NumberType::kInt8, 1e11}};
  expected.memory_bytes = 1ULL << 30;
  expected.memory_bytes_per_s = 5e10;
  expected.latency_us = 5000;
  expected.count = 2;
  expected.topology = Topology::kServer;
  expected.zone = "eu-1";
  expected.labels = {"a", "b"};
  expected.duration_us = 600'000'000;
  expected.deadline_us = 3'600'000'000;
  expected.notice_us = 30'000'000;
  expected.budget_microcredits = 1'500'000;
  expected.price_microcredits_per_hour = 3'000'000;
  EXPECT_EQ(*request, expected);
}

TEST(RequestTextTest, TypeAndOperationMayBeLeftOut) {
  const ThroughputDemand demand{Operation::kMatmul, NumberType::kFp32, 1e12};
  for (const char* text :
       {"1TOPS", "1 TOPS", "1 TOPS fp32", "1 TOPS matmul", "1TOPS fp32 matmul", "throughput=1 TOPS"}) {
    const Result<FunctionalRequest> request = ParseRequest(text);
    ASSERT_TRUE(request.ok()) << request.status().ToString();
    EXPECT_EQ(request->throughput, (std::vector{demand})) << text;
  }
}

TEST(RequestTextTest, BadOnesNameThePartAndARightOne) {
  const struct {
    std::string text;
    std::string where;
    std::string says;
  } cases[] = {
      {"", "text", "a part is empty; write a request like \"0.05 TOPS fp32, 1GiB"},
      {"1GiB,", "text", "a part is empty"},
      {"fast", "text", "\"fast\" is nothing that can be asked for; write a request like"},
      {"0.05 TOPS fp99", "throughput", "then int8, fp16, bf16, fp32 or fp64"},
      {"0.05 TOPS FP32", "throughput", "has an unknown unit; a throughput has OPS, MOPS, GOPS, TOPS or POPS"},
      {"TOPS", "throughput", "is no throughput; write 0.05 TOPS"},
      {"1GiB, 2GiB", "memory", "is set twice; keep one"},
      {"0B", "memory", "is 0; leave it out"},
      {"1 TOPS, 2 TOPS", "throughput", "fp32 matmul is asked for twice; keep the larger"},
      {"memory=1GB", "memory", "has an unknown unit; a size has B, KiB"},
      {"memroy=1GiB", "text", "\"memroy\" is no field; there are throughput, memory"},
      {"within soon", "latency", "is no duration; write 5ms"},
      {"0 slots", "slots", "is no whole number from 1 to 4096"},
      {"topology=ring", "topology", "\"ring\" is none; there are any, server, zone and spread"},
      {"zone=a/b", "zone", "\"a/b\" is no name"},
      {"budget=3", "budget", "needs a duration"},
      {"duration=2h, deadline=1h", "deadline", "is in 1 h, and the slots are wanted for 2 h"},
      {"max-price=1.2345678", "max-price", "more than six decimals"},
      {std::string(5000, ' '), "text", "is longer than 4096 characters"},
  };
  for (const auto& one : cases) {
    const Result<FunctionalRequest> request = ParseRequest(one.text);
    ASSERT_FALSE(request.ok()) << one.text;
    EXPECT_EQ(request.code(), Code::kInvalidArgument);
    EXPECT_EQ(request.status().where(), "FunctionalRequest." + one.where) << one.text;
    EXPECT_NE(request.status().text().find(one.says), std::string::npos) << one.text << ": " << request.status().text();
    EXPECT_LT(request.status().text().size(), 600U);
  }
}

TEST(RequestTextTest, WhatIsWrittenIsReadBack) {
  std::mt19937_64 random(11);
  const auto below = [&random](std::uint64_t bound) { return random() % bound; };
  for (int round = 0; round < 2000; ++round) {
    FunctionalRequest request;
    for (std::size_t o = 0; o < kOperations; ++o) {
      for (std::size_t t = 0; t < kNumberTypes; ++t) {
        if (below(4) != 0) continue;
        request.throughput.push_back({static_cast<Operation>(o), static_cast<NumberType>(t),
                                      static_cast<double>(7 + below(1'000'000'000'000'000)) / 7});
      }
    }
    if (below(2) == 0) request.memory_bytes = below(1ULL << 50);
    if (below(2) == 0) request.memory_bytes_per_s = static_cast<double>(3 + below(1'000'000'000'000)) / 3;
    if (below(2) == 0) request.latency_us = static_cast<std::int64_t>(below(1'000'000));
    request.count = 1 + static_cast<std::uint32_t>(below(kSlotsAskedMax));
    request.topology = static_cast<Topology>(below(4));
    if (below(2) == 0) request.zone = "zone-" + std::to_string(below(9));
    for (std::uint64_t i = below(4); i > 0; --i) request.labels.push_back("k=" + std::to_string(i));
    request.duration_us = static_cast<std::int64_t>(1 + below(1'000'000'000'000));
    if (below(2) == 0) request.deadline_us = request.duration_us + static_cast<std::int64_t>(below(1'000'000'000));
    if (below(2) == 0) request.notice_us = static_cast<std::int64_t>(below(1'000'000'000));
    if (below(2) == 0) request.budget_microcredits = static_cast<std::int64_t>(below(1ULL << 60));
    if (below(2) == 0) request.price_microcredits_per_hour = static_cast<std::int64_t>(below(1ULL << 60));
    ASSERT_TRUE(Validate(request).ok());
    const Result<FunctionalRequest> again = ParseRequest(ToText(request));
    ASSERT_TRUE(again.ok()) << ToText(request) << ": " << again.status().ToString();
    ASSERT_EQ(*again, request) << ToText(request);
  }
}

}  // namespace
}  // namespace accelmesh::scheduler
