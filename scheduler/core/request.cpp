#include "scheduler/core/request.h"

#include <algorithm>

#include "scheduler/core/quantity.h"

namespace accelmesh::scheduler {
namespace {

Status Bad(const char* field, const std::string& text) {
  return {Code::kInvalidArgument, std::string("FunctionalRequest.") + field, text};
}

// Of names, beside letters and digits.
constexpr std::string_view kOthers = "-_.=:";

bool IsRate(double value) { return value >= kRateLeast && value <= kRateMost; }

}  // namespace

std::string_view Name(Topology topology) {
  switch (topology) {
    case Topology::kAny: return "any";
    case Topology::kServer: return "server";
    case Topology::kZone: return "zone";
    case Topology::kSpread: return "spread";
  }
  return "any";
}

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kNameBytesMax && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

Status Validate(const FunctionalRequest& request) {
  if (request.throughput.size() > kDemandsMax) {
    return Bad("throughput",
               "more than " + std::to_string(kDemandsMax) + " demands; leave out the smaller of each kind");
  }
  for (std::size_t i = 0; i < request.throughput.size(); ++i) {
    const ThroughputDemand& demand = request.throughput[i];
    const std::string name = std::string(Name(demand.type)) + " " + std::string(Name(demand.operation));
    if (!IsRate(demand.operations_per_s)) {
      return Bad("throughput", name + " is 1 OPS or more; leave it out or write 0.05 TOPS");
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (request.throughput[j].operation == demand.operation && request.throughput[j].type == demand.type) {
        return Bad("throughput", name + " is asked for twice; keep the larger");
      }
    }
  }
  if (request.memory_bytes_per_s != 0 && !IsRate(request.memory_bytes_per_s)) {
    return Bad("bandwidth", "is 1 byte a second or more; leave it out or write 100GB/s");
  }
  if (request.count == 0 || request.count > kSlotsAskedMax) {
    return Bad("slots", std::to_string(request.count) + " of them; ask for 1 to " + std::to_string(kSlotsAskedMax));
  }
  if (!request.zone.empty() && !IsName(request.zone)) {
    return Bad("zone", "has up to 64 letters, digits, '-', '_', '.', '=' and ':'");
  }
  if (request.labels.size() > kLabelsMax) {
    return Bad("label",
               std::to_string(request.labels.size()) + " of them; ask for at most " + std::to_string(kLabelsMax));
  }
  for (const std::string& label : request.labels) {
    if (!IsName(label)) return Bad("label", "has up to 64 letters, digits, '-', '_', '.', '=' and ':'");
  }
  for (const auto& [field, value] : {std::pair{"latency", request.latency_us},
                                     {"duration", request.duration_us},
                                     {"deadline", request.deadline_us},
                                     {"notice", request.notice_us},
                                     {"budget", request.budget_microcredits},
                                     {"max-price", request.price_microcredits_per_hour}}) {
    if (value < 0) return Bad(field, "is negative; leave it out or write a number above 0");
  }
  if (request.deadline_us != 0 && request.duration_us > request.deadline_us) {
    return Bad("deadline", "is in " + ReadableDuration(static_cast<double>(request.deadline_us)) +
                               ", and the slots are wanted for " +
                               ReadableDuration(static_cast<double>(request.duration_us)) +
                               "; ask for more throughput and less time, or a later deadline");
  }
  if (request.budget_microcredits != 0 && request.duration_us == 0) {
    return Bad("budget", "needs a duration to be divided by; add duration=1h, or bound the price with max-price");
  }
  return Status::Ok();
}

}  // namespace accelmesh::scheduler
