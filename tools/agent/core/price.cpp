#include "tools/agent/core/price.h"

#include <algorithm>
#include <limits>

#include "scheduler/core/quantity.h"

namespace accelmesh::agent {
namespace {

__extension__ using Wide = __int128;
constexpr std::int64_t kHourUs = 3'600'000'000;
constexpr std::int64_t kMinuteUs = 60'000'000;

std::int64_t Bounded(Wide value) {
  return static_cast<std::int64_t>(std::clamp<Wide>(value, 0, std::numeric_limits<std::int64_t>::max()));
}

// Of a policy, where no deadline presses.
std::uint32_t UrgencyOf(Policy policy) {
  switch (policy) {
    case Policy::kLatency: return 900;
    case Policy::kThroughput: return 700;
    case Policy::kDeadline: return 500;
    case Policy::kCost: return 100;
  }
  return 100;
}

std::uint32_t UrgencyOf(const Prediction& prediction, Policy policy, std::string& why) {
  const std::int64_t deadline_us = prediction.request.deadline_us;
  if (deadline_us == 0) {
    why = "policy " + std::string(Name(policy)) + ", no deadline";
    return UrgencyOf(policy);
  }
  const std::string deadline = scheduler::ReadableDuration(static_cast<double>(deadline_us));
  if (prediction.duration_us == 0) {
    why = "a deadline in " + deadline + ", and nobody knows how long the run takes";
    return std::max(500U, policy == Policy::kDeadline ? 0 : UrgencyOf(policy));
  }
  const auto pressed =
      static_cast<std::uint32_t>(std::min<Wide>(1000, Wide{1000} * prediction.duration_us / deadline_us));
  why = "the run takes " + scheduler::ReadableDuration(static_cast<double>(prediction.duration_us)) + " of the " +
        deadline + " until the deadline";
  return policy == Policy::kDeadline ? pressed : std::max(pressed, UrgencyOf(policy));
}

}  // namespace

std::int64_t CeilingOf(const scheduler::FunctionalRequest& request) {
  std::int64_t most = -1;
  if (request.price_microcredits_per_hour > 0) most = request.price_microcredits_per_hour;
  if (request.budget_microcredits > 0 && request.duration_us > 0) {
    const std::int64_t by_budget = Bounded(Wide{request.budget_microcredits} * kHourUs / request.duration_us);
    most = most < 0 ? by_budget : std::min(most, by_budget);
  }
  return most;
}

Bid PriceBid(const Prediction& prediction, Policy policy, std::int64_t posted_microcredits_per_hour) {
  const std::int64_t posted = std::max<std::int64_t>(0, posted_microcredits_per_hour);
  const std::int64_t ceiling = CeilingOf(prediction.request);
  Bid bid;
  std::string why;
  bid.urgency_milli = UrgencyOf(prediction, policy, why);
  if (ceiling < 0) {
    // Between half as much again and twice as much: so far a price may move while we ask.
    bid.price_max_microcredits_per_hour = Bounded(Wide{posted} * (1500 + bid.urgency_milli / 2) / 1000);
  } else if (posted == 0 || posted >= ceiling) {
    bid.price_max_microcredits_per_hour = ceiling;
  } else {
    bid.price_max_microcredits_per_hour = Bounded(posted + (Wide{ceiling} - posted) * bid.urgency_milli / 1000);
  }
  const std::string price = scheduler::CreditsText(bid.price_max_microcredits_per_hour);
  bid.why = {"price",
             "at most " + price + " credits an hour: posted " + scheduler::CreditsText(posted) + ", " +
                 (ceiling >= 0 ? "allowed " + scheduler::CreditsText(ceiling) : std::string("no bound given")) +
                 ", urgency " + std::to_string(bid.urgency_milli) + " of 1000 (" + why + ")",
             {{"price_max", price},
              {"posted", scheduler::CreditsText(posted)},
              {"urgency_milli", std::to_string(bid.urgency_milli)},
              {"policy", std::string(Name(policy))}}};
  return bid;
}

std::int64_t LeaseUs(const Prediction& prediction) {
  if (prediction.duration_us == 0) return 5 * kMinuteUs;
  return std::clamp(Bounded(Wide{prediction.duration_us} * 3 / 2), kMinuteUs, 10 * kMinuteUs);
}

}  // namespace accelmesh::agent
