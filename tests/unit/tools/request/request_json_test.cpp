#include "tools/request/request_json.h"

#include <gtest/gtest.h>

#include "scheduler/core/request_text.h"

namespace accelmesh {
namespace {

TEST(RequestJsonTest, MeansWhatTheTextMeans) {
  const auto json =
      ParseRequestJson(R"({"throughput": ["0.05 TOPS fp32", {"dtype": "int8", "tops": 0.1, "operation": "convolution"}],
      "memory": "1GiB", "latency": "5ms", "slots": 2, "label": ["a", "b"], "max-price": 0.000001, "duration": "1h", "budget": 3})");
  ASSERT_TRUE(json.ok()) << json.status().ToString();
  const auto text = scheduler::ParseRequest(
      "0.05 TOPS, 0.1 TOPS int8 convolution, 1GiB, within 5ms, 2 slots, label=a, label=b, max-price=0.000001, "
      "duration=1h, "
      "budget=3");
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*json, *text);
  const auto one = ParseRequestJson(R"({"throughput": {"tops": 1}, "label": "a"})");
  ASSERT_TRUE(one.ok()) << one.status().ToString();
  EXPECT_EQ(*one, *scheduler::ParseRequest("1 TOPS, label=a"));
}

TEST(RequestJsonTest, BadOnesNameThePartAndTheRemedy) {
  const struct {
    std::string json;
    std::string says;
  } cases[] = {
      {"", "no JSON at character"},
      {"3", "write an object like"},
      {"[1]", "a list stands in throughput and label only"},
      {R"({"memory": "1GiB")", "no JSON at character"},
      {R"({"memory": "1GiB"} x)", "no JSON at character"},
      {R"({"memory": 1})", "has no unit; write B, KiB"},
      {R"({"memory": null})", "null is no value; leave the field out"},
      {R"({"memory": true})", "true and false are no values here"},
      {R"({"memory": "1GiB", "memory": "2GiB"})", "a field stands twice; keep one"},
      {R"({"memory": {"size": 1}})", "an object stands in throughput only"},
      {R"({"memory": ["1GiB"]})", "a list stands in throughput and label only"},
      {R"({"memroy": "1GiB"})", "\"memroy\" is no field; there are throughput"},
      {R"({"throughput": [["1 TOPS"]]})", "a list stands in throughput and label only"},
      {R"({"throughput": {"tops": {"x": 1}}})", "an object stands in throughput only"},
      {R"({"throughput": {"flops": 1}})", "a throughput has tops, dtype and operation"},
      {R"({"throughput": {"tops": 1, "tops": 2}})", "tops stands twice"},
      {R"({"throughput": {"dtype": "fp32"}})", "is no throughput; write 0.05 TOPS"},
      {R"({"throughput": {"tops": "1 GOPS"}})", "unknown unit"},
      {R"({"slots": -1})", "is no whole number from 1 to 4096"},
      {R"({"max-price": 1e-7})", "is no number of credits"},
      {R"({"duration": "2h", "deadline": "1h"})", "a later deadline"},
      {std::string(70'000, ' '), "longer than 65536"},
      {std::string(60'000, '['), "a list stands in throughput and label only"},
  };
  for (const auto& one : cases) {
    const auto request = ParseRequestJson(one.json);
    ASSERT_FALSE(request.ok()) << one.json;
    EXPECT_EQ(request.code(), Code::kInvalidArgument);
    EXPECT_NE(request.status().text().find(one.says), std::string::npos)
        << one.json.substr(0, 100) << ": " << request.status().text();
    EXPECT_LT(request.status().text().size(), 700U);
  }
}

}  // namespace
}  // namespace accelmesh
