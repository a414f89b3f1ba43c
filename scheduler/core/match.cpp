#include "scheduler/core/match.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "scheduler/core/quantity.h"

namespace accelmesh::scheduler {
namespace {

constexpr std::int64_t kHourUs = 3'600'000'000;

__extension__ using Wide = __int128;

// Collects what one slot lacks.
class Judge {
 public:
  Judge(const FunctionalRequest& request, const Slot& slot, std::int64_t price_max)
      : request_(request), slot_(slot), price_max_(price_max) {}

  void Look() {
    Place();
    Terms();
    for (const ThroughputDemand& demand : request_.throughput) Throughput(demand);
    Bandwidth();
    Latency();
    Memory();
    Share();
    Price();
  }

  // What decided the share.
  std::string Why() const {
    if (share_ == 0) {
      return "no throughput asked: the smallest share, " + std::to_string(candidate.share_milli) + " of 1000";
    }
    const std::string of = ": " + std::to_string(share_) + " of " + std::to_string(kWholeMilli);
    if (decisive_ == nullptr) {
      return "bandwidth " + ReadableBandwidth(request_.memory_bytes_per_s) + " of at least " +
             ReadableBandwidth(slot_.tags.memory_bytes_per_s.low) + of;
    }
    return KindOf(*decisive_) + " " + ReadableOperations(decisive_->operations_per_s) + " of at least " +
           ReadableOperations(slot_.tags.Throughput(decisive_->operation, decisive_->type).low) + of;
  }

  std::vector<Gap> gaps;
  Candidate candidate;

 private:
  static std::string KindOf(const ThroughputDemand& demand) {
    return std::string(Name(demand.type)) + " " + std::string(Name(demand.operation));
  }

  void Lacks(Dimension dimension, std::string text, std::string remedy) {
    gaps.push_back({dimension, std::string(Name(dimension)) + " " + std::move(text), std::move(remedy)});
  }

  void Place() {
    if (slot_.is_draining) {
      Lacks(Dimension::kDraining, "by its owner: lets nothing more", "wait until it is back, or take another slot");
    }
    if (!request_.zone.empty() && slot_.zone != request_.zone) {
      Lacks(Dimension::kZone, (slot_.zone.empty() ? "none" : slot_.zone) + " instead of " + request_.zone,
            "ask for no zone");
    }
    for (const std::string& label : request_.labels) {
      if (std::find(slot_.labels.begin(), slot_.labels.end(), label) == slot_.labels.end()) {
        Lacks(Dimension::kLabel, label + " is missing", "leave label=" + label + " out");
      }
    }
  }

  void Terms() {
    if (slot_.notice_us < request_.notice_us) {
      Lacks(Dimension::kNotice, Duration(slot_.notice_us) + " of " + Duration(request_.notice_us),
            "ask for a notice of " + Duration(slot_.notice_us) + " or less");
    }
    if (slot_.available_us != 0 && slot_.available_us < request_.duration_us) {
      Lacks(Dimension::kDuration, Duration(slot_.available_us) + " of " + Duration(request_.duration_us),
            "ask for " + Duration(slot_.available_us) + " or less, and again then");
    }
  }

  // Raises the share to what gives `asked` of something of which a whole device gives at least `low`. `demand`: which
  // one of throughput it is; null: bandwidth.
  void Raise(double asked, double low, const ThroughputDemand* demand) {
    // The comparison first: only what is at most a few thousand may become an integer.
    const double milli = std::ceil(asked / low * kWholeMilli * (1 - 1e-12));
    const std::uint32_t share = milli > kWholeMilli ? kWholeMilli + 1 : std::max(1U, static_cast<std::uint32_t>(milli));
    if (share <= share_) return;
    share_ = share;
    decisive_ = demand;
  }

  void Throughput(const ThroughputDemand& demand) {
    const Measured& measured = slot_.tags.Throughput(demand.operation, demand.type);
    if (!measured.known()) {
      Lacks(Dimension::kThroughput,
            KindOf(demand) + " not measured, " + ReadableOperations(demand.operations_per_s) + " asked",
            "ask for a type that it has measured");
    } else if (demand.operations_per_s > measured.low) {
      const double slots = std::ceil(demand.operations_per_s / measured.low);
      Lacks(Dimension::kThroughput,
            ReadableOperations(measured.low) + " of " + ReadableOperations(demand.operations_per_s) + " " +
                KindOf(demand),
            slots * request_.count <= kSlotsAskedMax
                ? "ask for " + std::to_string(static_cast<std::uint32_t>(slots) * request_.count) + " slots of " +
                      ReadableOperations(demand.operations_per_s / slots)
                : "ask for " + ReadableOperations(measured.low) + " or less");
    } else {
      Raise(demand.operations_per_s, measured.low, &demand);
    }
  }

  void Bandwidth() {
    const double asked = request_.memory_bytes_per_s;
    if (asked == 0) return;
    const Measured& measured = slot_.tags.memory_bytes_per_s;
    if (!measured.known()) {
      Lacks(Dimension::kBandwidth, "not measured, " + ReadableBandwidth(asked) + " asked", "leave the bandwidth out");
    } else if (asked > measured.low) {
      Lacks(Dimension::kBandwidth, ReadableBandwidth(measured.low) + " of " + ReadableBandwidth(asked),
            "ask for " + ReadableBandwidth(measured.low) + " or less");
    } else {
      Raise(asked, measured.low, nullptr);
    }
  }

  void Latency() {
    if (request_.latency_us == 0) return;
    const Measured& launch = slot_.tags.launch_us;
    const Measured& trip = slot_.tags.round_trip_us;
    const auto asked = static_cast<double>(request_.latency_us);
    if (!launch.known() || !trip.known()) {
      Lacks(Dimension::kLatency, "not measured, " + ReadableDuration(asked) + " asked", "leave the latency out");
    } else if (launch.high + trip.high > asked) {
      Lacks(Dimension::kLatency, ReadableDuration(launch.high + trip.high) + " of " + ReadableDuration(asked),
            "allow " + ReadableDuration(std::ceil(launch.high + trip.high)) + " or more");
    }
  }

  void Memory() {
    candidate.memory_bytes = request_.memory_bytes;
    if (request_.memory_bytes <= slot_.memory_bytes_free) return;
    const bool is_let = request_.memory_bytes <= slot_.memory_bytes;
    Lacks(Dimension::kMemory,
          ReadableBytes(slot_.memory_bytes_free) + " of " + ReadableBytes(request_.memory_bytes) +
              (is_let ? " free" : ""),
          "ask for " + ReadableBytes(slot_.memory_bytes_free) + " or less" +
              (is_let ? ", or wait until some of its " + ReadableBytes(slot_.memory_bytes) + " come back" : ""));
  }

  void Share() {
    const std::uint32_t step = std::clamp(slot_.share_milli_step, 1U, kWholeMilli);
    const std::uint32_t wanted = (std::max(share_, 1U) + step - 1) / step * step;
    candidate.share_milli = wanted;
    if (wanted <= slot_.share_milli_free) return;
    const bool is_let = wanted <= slot_.share_milli;
    // Only a demand that one device can meet comes here: more is a gap of throughput already.
    Lacks(Dimension::kShare,
          std::to_string(slot_.share_milli_free) + " of " + std::to_string(wanted) + " thousandths " +
              (is_let ? "free" : "sold"),
          is_let ? "wait until a share comes back, or ask for " + Part(slot_.share_milli_free, wanted) + " of it"
                 : "ask for " + Part(slot_.share_milli, wanted) + " of the throughput, or for more slots");
  }

  void Price() {
    candidate.price_microcredits_per_hour = static_cast<std::int64_t>(
        (Wide{slot_.price_microcredits_per_hour} * std::min(candidate.share_milli, kWholeMilli) + kWholeMilli - 1) /
        kWholeMilli);
    if (price_max_ < 0 || candidate.price_microcredits_per_hour <= price_max_) return;
    const bool by_budget = request_.price_microcredits_per_hour == 0;
    Lacks(Dimension::kPrice,
          CreditsText(candidate.price_microcredits_per_hour) + " credits an hour, at most " + CreditsText(price_max_) +
              " for each slot",
          std::string(by_budget ? "raise the budget or shorten the duration" : "raise max-price") +
              ", ask for less throughput, or wait for a lower price");
  }

  static std::string Duration(std::int64_t us) { return us == 0 ? "0 s" : ReadableDuration(static_cast<double>(us)); }
  static std::string Part(std::uint32_t have, std::uint32_t wanted) {
    return std::to_string(have * 100ULL / wanted) + " %";
  }

  const FunctionalRequest& request_;
  const Slot& slot_;
  const std::int64_t price_max_;
  std::uint32_t share_ = 0;
  const ThroughputDemand* decisive_ = nullptr;
};

}  // namespace

std::string_view Name(Dimension dimension) {
  switch (dimension) {
    case Dimension::kThroughput: return "throughput";
    case Dimension::kBandwidth: return "bandwidth";
    case Dimension::kMemory: return "memory";
    case Dimension::kLatency: return "latency";
    case Dimension::kShare: return "share";
    case Dimension::kZone: return "zone";
    case Dimension::kLabel: return "label";
    case Dimension::kNotice: return "notice";
    case Dimension::kDuration: return "duration";
    case Dimension::kPrice: return "price";
    case Dimension::kDraining: return "draining";
    case Dimension::kCount: return "slots";
    case Dimension::kTopology: return "topology";
  }
  return "";
}

std::int64_t PriceMaxPerSlot(const FunctionalRequest& request) {
  std::int64_t most = -1;
  if (request.price_microcredits_per_hour > 0) most = request.price_microcredits_per_hour / request.count;
  if (request.budget_microcredits > 0 && request.duration_us > 0) {
    const Wide by_budget = Wide{request.budget_microcredits} * kHourUs / request.duration_us / request.count;
    const auto bounded = static_cast<std::int64_t>(std::min<Wide>(by_budget, std::numeric_limits<std::int64_t>::max()));
    most = most < 0 ? bounded : std::min(most, bounded);
  }
  return most;
}

Match FindCandidates(const FunctionalRequest& request, std::span<const Slot> slots) {
  std::vector<const Slot*> all;
  all.reserve(slots.size());
  for (const Slot& slot : slots) all.push_back(&slot);
  Match match = FindCandidates(request, all);
  for (Candidate& candidate : match.candidates) candidate.why = WhyOf(request, slots[candidate.slot]);
  return match;
}

std::string WhyOf(const FunctionalRequest& request, const Slot& slot) {
  Judge judge(request, slot, PriceMaxPerSlot(request));
  judge.Look();
  return judge.Why();
}

Match FindCandidates(const FunctionalRequest& request, std::span<const Slot* const> slots) {
  Match match;
  match.candidates.reserve(slots.size());
  const std::int64_t price_max = PriceMaxPerSlot(request);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    Judge judge(request, *slots[i], price_max);
    judge.Look();
    if (judge.gaps.empty()) {
      judge.candidate.slot = i;
      match.candidates.push_back(std::move(judge.candidate));
    } else {
      match.rejections.push_back({i, std::move(judge.gaps)});
    }
  }
  return match;
}

}  // namespace accelmesh::scheduler
