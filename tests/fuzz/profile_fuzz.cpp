// Profiles of commands: what parses is written as it was, and predicts a request that holds.
#include "scheduler/core/request_text.h"
#include "tests/fuzz/input.h"
#include "tools/agent/core/price.h"
#include "tools/agent/core/scale_down.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  const auto profile = agent::ParseProfile({reinterpret_cast<const char*>(data), size});
  if (!profile.ok()) {
    fuzz::Require(profile.status().text().find("line ") == 0, "a refusal names the line");
    return 0;
  }
  const auto again = agent::ParseProfile(ToText(*profile));
  fuzz::Require(again.ok() && *again == *profile, "what was parsed is written as the same");
  for (const agent::Policy policy :
       {agent::Policy::kLatency, agent::Policy::kThroughput, agent::Policy::kCost, agent::Policy::kDeadline}) {
    for (const std::int64_t deadline_us : {std::int64_t{0}, std::int64_t{1}, std::int64_t{1} << 40}) {
      scheduler::FunctionalRequest asked;
      asked.deadline_us = deadline_us;
      asked.budget_microcredits = profile->runs.empty() ? 0 : 5;
      const auto prediction = agent::Predict(asked, *profile, policy);
      fuzz::Require(prediction.ok(), "any profile predicts something");
      const auto read = scheduler::ParseRequest(scheduler::ToText(prediction->request));
      fuzz::Require(read.ok() && *read == prediction->request, "which the market reads as it is meant");
      fuzz::Require(agent::PriceBid(*prediction, policy, 7).price_max_microcredits_per_hour >= 0, "and has a price");
      for (const agent::Rung& rung : agent::LadderOf(*prediction, {agent::WhenNothing::kShrink, ""}))
        fuzz::Require(Validate(rung.prediction.request).ok(), "each smaller request holds");
    }
  }
  return 0;
}
