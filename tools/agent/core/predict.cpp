#include "tools/agent/core/predict.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "scheduler/core/quantity.h"

namespace accelmesh::agent {
namespace {

using scheduler::FunctionalRequest;
using scheduler::ReadableBytes;
using scheduler::ReadableDuration;
using scheduler::ReadableOperations;
using scheduler::ThroughputDemand;

constexpr std::uint64_t kMib = 1ULL << 20;
// Runs of long ago were of another version of the program.
constexpr std::size_t kRunsLookedAt = 5;
constexpr double kMemoryRoom = 1.125;
constexpr double kDurationRoom = 1.25;
// Of a deadline; the rest is for what a prediction does not know.
constexpr double kDeadlineUsed = 0.8;
constexpr double kMoved = 1.25;

std::vector<Run> Recent(const Profile& profile) {
  const std::size_t skipped = profile.runs.size() - std::min(profile.runs.size(), kRunsLookedAt);
  return {profile.runs.begin() + static_cast<std::ptrdiff_t>(skipped), profile.runs.end()};
}

std::string Runs(std::size_t count) { return std::to_string(count) + (count == 1 ? " earlier run" : " earlier runs"); }

template <typename T>
T Median(std::vector<T> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Up, to three digits, which people can read and a prediction is not better than; a whole number.
double Rounded(double rate) {
  if (!(rate > 0)) return 0;
  const double unit = std::max(1.0, std::pow(10, std::floor(std::log10(rate)) - 2));
  return std::ceil(rate / unit) * unit;
}

// How much faster than before the device should be: the device's part of a run is divided by it.
struct Pace {
  double factor = 1;
  std::string why;
};

// Only a device that the program waited for can make it faster.
Pace PaceFor(const std::vector<Run>& runs, const FunctionalRequest& asked, Policy policy) {
  std::vector<double> waits;
  std::vector<double> hosts;
  for (const Run& run : runs) {
    waits.push_back(static_cast<double>(run.waited_us));
    hosts.push_back(static_cast<double>(run.lasted_us - run.waited_us));
  }
  const double waited = Median(waits);
  const double host = Median(hosts);
  const bool is_bound = waited > host;
  if (asked.deadline_us != 0) {
    const double room = kDeadlineUsed * static_cast<double>(asked.deadline_us) - host;
    if (room <= 0) return {4, "not to be done in time even by the fastest device: four times as fast"};
    if (waited > room) {
      const double factor = std::min(64.0, waited / room);
      return {factor, "so that the run is done within the deadline"};
    }
    if (policy == Policy::kDeadline || policy == Policy::kCost) {
      return {std::max(0.25, waited / room), "no faster than the deadline needs"};
    }
  }
  if (is_bound && (policy == Policy::kLatency || policy == Policy::kThroughput)) {
    return {2, "twice as before, because the program waited for its device most of the time"};
  }
  return {1, "as before"};
}

void PredictThroughput(const std::vector<Run>& runs, const Pace& pace, Prediction& prediction) {
  FunctionalRequest& request = prediction.request;
  prediction.is_throughput_soft = true;
  for (std::size_t operation = 0; operation < scheduler::kOperations; ++operation) {
    for (std::size_t type = 0; type < scheduler::kNumberTypes; ++type) {
      std::vector<double> rates;
      for (const Run& run : runs) {
        rates.push_back(static_cast<double>(run.operations[operation][type]) * 1e6 /
                        static_cast<double>(run.lasted_us));
      }
      const double rate = Rounded(Median(rates) * pace.factor);
      if (rate < scheduler::kRateLeast || rate > scheduler::kRateMost) continue;
      const ThroughputDemand demand{static_cast<scheduler::Operation>(operation),
                                    static_cast<scheduler::NumberType>(type), rate};
      request.throughput.push_back(demand);
      const std::string kind = std::string(Name(demand.type)) + " " + std::string(Name(demand.operation));
      prediction.steps.push_back({"predict",
                                  kind + " " + ReadableOperations(rate) + ", of " + Runs(runs.size()) + ", " + pace.why,
                                  {{"field", "throughput"},
                                   {"source", "profile"},
                                   {"value", scheduler::OperationsPerSecondText(rate) + " " + kind}}});
    }
  }
  if (!request.throughput.empty()) return;
  prediction.steps.push_back({"predict",
                              runs.empty()
                                  ? "no throughput: this command has not run before, so the smallest share will do"
                                  : "no throughput: no earlier run called a library that counts its arithmetic, "
                                    "so the smallest share will do; say --tops to have more",
                              {{"field", "throughput"}, {"source", "default"}, {"value", ""}}});
}

void PredictMemory(const std::vector<Run>& runs, Prediction& prediction) {
  std::uint64_t high = 0;
  for (const Run& run : runs) high = std::max(high, run.memory_bytes_high);
  if (high != 0) {
    const double with_room = std::min(static_cast<double>(high) * kMemoryRoom, 0x1p60);
    const std::uint64_t bytes = std::max(kMemoryBytesLeast, static_cast<std::uint64_t>(with_room));
    prediction.memory_bytes_seen = std::min<std::uint64_t>((bytes + kMib - 1) / kMib * kMib, 1ULL << 60);
  }
  FunctionalRequest& request = prediction.request;
  if (request.memory_bytes != 0) return;
  prediction.is_memory_soft = true;
  request.memory_bytes = high != 0 ? prediction.memory_bytes_seen : kMemoryBytesUnknown;
  prediction.steps.push_back(
      {"predict",
       "memory " + ReadableBytes(request.memory_bytes) +
           (high != 0 ? ", an eighth more than the most of " + Runs(runs.size()) + ", " + ReadableBytes(high)
                      : std::string(": nobody knows what it needs; say --memory to have more")),
       {{"field", "memory"},
        {"source", high != 0 ? "profile" : "default"},
        {"value", scheduler::BytesText(request.memory_bytes)}}});
}

void PredictDuration(const std::vector<Run>& runs, const Pace& pace, Prediction& prediction) {
  FunctionalRequest& request = prediction.request;
  if (request.duration_us != 0) {
    prediction.duration_us = request.duration_us;
    return;
  }
  prediction.is_duration_soft = true;
  if (runs.empty()) return;
  std::vector<double> lasting;
  for (const Run& run : runs) {
    lasting.push_back(static_cast<double>(run.lasted_us - run.waited_us) +
                      static_cast<double>(run.waited_us) / pace.factor);
  }
  constexpr double kTenYearsUs = 3.15e14;
  auto us = static_cast<std::int64_t>(std::min(kTenYearsUs, std::max(1.0, std::ceil(Median(lasting) * kDurationRoom))));
  std::string more;
  if (request.deadline_us != 0 && us > request.deadline_us) {
    us = request.deadline_us;
    more = "; cut to the deadline, which it may miss";
  }
  prediction.duration_us = us;
  // Only a budget needs to know: slots that are there for less are let again when it comes to that.
  if (request.budget_microcredits != 0) request.duration_us = us;
  prediction.steps.push_back({"predict",
                              "duration " + ReadableDuration(static_cast<double>(us)) +
                                  ", a quarter more than the middle of " + Runs(runs.size()) + more,
                              {{"field", "duration"}, {"source", "profile"}, {"value", scheduler::DurationText(us)}}});
}

double RateOf(const FunctionalRequest& request, const ThroughputDemand& like) {
  for (const ThroughputDemand& demand : request.throughput) {
    if (demand.operation == like.operation && demand.type == like.type) return demand.operations_per_s;
  }
  return 0;
}

}  // namespace

std::string_view Name(Policy policy) {
  switch (policy) {
    case Policy::kLatency: return "latency";
    case Policy::kThroughput: return "throughput";
    case Policy::kCost: return "cost";
    case Policy::kDeadline: return "deadline";
  }
  return "cost";
}

std::optional<Policy> FindPolicy(std::string_view name) {
  for (const Policy policy : {Policy::kLatency, Policy::kThroughput, Policy::kCost, Policy::kDeadline}) {
    if (name == Name(policy)) return policy;
  }
  return std::nullopt;
}

std::string_view Name(Move move) {
  switch (move) {
    case Move::kKeep: return "keep";
    case Move::kGrow: return "grow";
    case Move::kShrink: return "shrink";
  }
  return "keep";
}

Result<Prediction> Predict(const FunctionalRequest& asked, const Profile& profile, Policy policy) {
  const std::vector<Run> runs = Recent(profile);
  Prediction prediction;
  prediction.request = asked;
  const Pace pace = runs.empty() ? Pace{} : PaceFor(runs, asked, policy);
  if (asked.throughput.empty()) PredictThroughput(runs, pace, prediction);
  PredictMemory(runs, prediction);
  // A user who says how much throughput it shall be knows better than the profile how long that takes.
  PredictDuration(runs, asked.throughput.empty() ? pace : Pace{}, prediction);
  ACCELMESH_RETURN_IF_ERROR(Validate(prediction.request));
  return prediction;
}

Rebid LookAgain(const Prediction& held, const Prediction& now) {
  const auto memory_held = static_cast<double>(held.request.memory_bytes);
  const auto memory_now = static_cast<double>(now.request.memory_bytes);
  double largest = memory_held > 0 ? memory_now / memory_held : 1;
  std::string what =
      "memory " + ReadableBytes(held.request.memory_bytes) + " -> " + ReadableBytes(now.request.memory_bytes);
  for (const ThroughputDemand& demand : now.request.throughput) {
    const double before = RateOf(held.request, demand);
    const double ratio = before > 0 ? demand.operations_per_s / before : std::numeric_limits<double>::infinity();
    what += ", " + std::string(Name(demand.type)) + " " + std::string(Name(demand.operation)) + " " +
            (before > 0 ? ReadableOperations(before) : "0") + " -> " + ReadableOperations(demand.operations_per_s);
    largest = std::max(largest, ratio);
  }
  for (const ThroughputDemand& demand : held.request.throughput) {
    if (RateOf(now.request, demand) == 0)
      what += ", no " + std::string(Name(demand.type)) + " " + std::string(Name(demand.operation));
  }
  Rebid rebid;
  // One need that has grown is enough; all must have shrunk.
  rebid.move = largest >= kMoved ? Move::kGrow : largest <= 1 / kMoved ? Move::kShrink : Move::kKeep;
  rebid.why = {"rebid", std::string(Name(rebid.move)) + ": " + what, {{"move", std::string(Name(rebid.move))}}};
  return rebid;
}

}  // namespace accelmesh::agent
