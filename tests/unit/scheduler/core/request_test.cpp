#include "scheduler/core/request.h"

#include <gtest/gtest.h>

#include <limits>

namespace accelmesh::scheduler {
namespace {

FunctionalRequest Good() {
  FunctionalRequest request;
  request.throughput = {{Operation::kMatmul, NumberType::kFp32, 5e10},
                        {Operation::kConvolution, NumberType::kFp32, 1e10}};
  request.memory_bytes = 1 << 30;
  request.duration_us = 60'000'000;
  request.budget_microcredits = 1;
  return request;
}

TEST(RequestTest, GoodOnesHold) {
  EXPECT_TRUE(Validate(Good()).ok());
  EXPECT_TRUE(Validate(FunctionalRequest{}).ok());
}

TEST(RequestTest, BadOnesNameTheFieldAndTheRemedy) {
  const struct {
    const char* field;
    const char* says;
    void (*spoil)(FunctionalRequest&);
  } cases[] = {
      {"throughput", "fp32 matmul is 1 OPS or more", [](auto& r) { r.throughput[0].operations_per_s = 0; }},
      {"throughput", "fp32 matmul is 1 OPS or more",
       [](auto& r) { r.throughput[0].operations_per_s = std::numeric_limits<double>::infinity(); }},
      {"throughput", "fp32 matmul is asked for twice; keep the larger",
       [](auto& r) { r.throughput.push_back(r.throughput[0]); }},
      {"throughput", "more than 10 demands", [](auto& r) { r.throughput.resize(11, r.throughput[0]); }},
      {"bandwidth", "1 byte a second or more", [](auto& r) { r.memory_bytes_per_s = -1; }},
      {"bandwidth", "1 byte a second or more",
       [](auto& r) { r.memory_bytes_per_s = std::numeric_limits<double>::quiet_NaN(); }},
      {"slots", "0 of them; ask for 1 to 4096", [](auto& r) { r.count = 0; }},
      {"slots", "4097 of them", [](auto& r) { r.count = 4097; }},
      {"zone", "letters, digits", [](auto& r) { r.zone = "a b"; }},
      {"label", "letters, digits", [](auto& r) { r.labels = {""}; }},
      {"label", "17 of them", [](auto& r) { r.labels.assign(17, "a"); }},
      {"latency", "is negative", [](auto& r) { r.latency_us = -1; }},
      {"max-price", "is negative", [](auto& r) { r.price_microcredits_per_hour = -5; }},
      {"deadline", "is in 30 s, and the slots are wanted for 1 m", [](auto& r) { r.deadline_us = 30'000'000; }},
      {"budget", "needs a duration", [](auto& r) { r.duration_us = 0; }},
  };
  for (const auto& one : cases) {
    FunctionalRequest request = Good();
    one.spoil(request);
    const Status status = Validate(request);
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << one.field << one.says;
    EXPECT_EQ(status.where(), std::string("FunctionalRequest.") + one.field);
    EXPECT_NE(status.text().find(one.says), std::string::npos) << status.text();
  }
}

}  // namespace
}  // namespace accelmesh::scheduler
