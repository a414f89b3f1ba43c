#include "scheduler/core/plan.h"

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>

namespace accelmesh::scheduler {
namespace {

std::uint32_t Mib(std::uint64_t bytes, bool up) {
  const std::uint64_t mib = (bytes + (up ? (1U << 20) - 1 : 0)) >> 20;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(mib, std::numeric_limits<std::uint32_t>::max()));
}

// A slot as a host of one device: what neighbours have free does not change what it loses.
std::int64_t Growth(const Fragmentation& workload, const Slot& slot, const Candidate& candidate) {
  Host host;
  host.processor_milli = host.memory_mib = std::numeric_limits<std::uint32_t>::max();
  host.device_count = 1;
  host.devices[0] = {slot.share_milli_free, Mib(slot.memory_bytes_free, false)};
  const std::int64_t before = workload.Of(host);
  host.devices[0].share_milli -= candidate.share_milli;
  host.devices[0].memory_mib -= std::min(host.devices[0].memory_mib, Mib(candidate.memory_bytes, true));
  return workload.Of(host) - before;
}

struct Ranked {
  Candidate candidate;
  std::int64_t first = 0;
  std::int64_t second = 0;
  std::uint32_t left = 0;
};

// The first `count` of those that are together in the group `key_of` gives them, from the group whose members cost
// least; `most` is set to the size of the largest group.
template <typename Key>
std::vector<std::size_t> OneGroup(std::span<const Ranked> ranked, std::size_t count, const Key& key_of,
                                  std::size_t& most) {
  std::map<std::string, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < ranked.size(); ++i) groups[key_of(ranked[i].candidate)].push_back(i);
  __extension__ using Wide = __int128;
  std::vector<std::size_t> best;
  std::pair<Wide, Wide> best_cost;
  for (auto& [key, members] : groups) {
    most = std::max(most, members.size());
    if (members.size() < count) continue;
    members.resize(count);
    std::pair<Wide, Wide> cost;
    for (const std::size_t i : members) {
      cost.first += ranked[i].first;
      cost.second += ranked[i].second;
    }
    if (!best.empty() && cost >= best_cost) continue;
    best = members;
    best_cost = cost;
  }
  return best;
}

std::vector<std::size_t> Choose(const FunctionalRequest& request, std::span<const Slot* const> slots,
                                std::span<const Ranked> ranked, std::size_t& most) {
  const auto server = [slots](const Candidate& candidate) { return slots[candidate.slot]->server; };
  if (request.topology == Topology::kServer) return OneGroup(ranked, request.count, server, most);
  if (request.topology == Topology::kZone) {
    return OneGroup(
        ranked, request.count, [slots](const Candidate& candidate) { return slots[candidate.slot]->zone; }, most);
  }
  std::vector<std::size_t> chosen;
  std::map<std::string, bool> servers;
  for (std::size_t i = 0; i < ranked.size() && chosen.size() < request.count; ++i) {
    if (request.topology == Topology::kSpread && !servers.emplace(server(ranked[i].candidate), true).second) continue;
    chosen.push_back(i);
  }
  most = chosen.size();
  if (chosen.size() < request.count) chosen.clear();
  return chosen;
}

Gap Missing(const FunctionalRequest& request, std::size_t candidates, std::size_t most) {
  const std::string asked = std::to_string(request.count);
  if (candidates < request.count) {
    return {
        Dimension::kCount, "slots " + std::to_string(candidates) + " of " + asked + " that would do",
        candidates == 0 ? "see what each slot lacks" : "ask for " + std::to_string(candidates) + " or fewer, or wait"};
  }
  const char* together = request.topology == Topology::kServer ? " on one server"
                         : request.topology == Topology::kZone ? " in one zone"
                                                               : " on servers of their own";
  return {Dimension::kTopology, "topology " + std::to_string(most) + " of " + asked + together,
          "ask for topology=any, or for " + std::to_string(most) + " slots"};
}

}  // namespace

Result<Plan> MakePlan(const FunctionalRequest& request, std::span<const Slot> slots, const Fragmentation& workload,
                      Preference preference) {
  std::vector<const Slot*> all;
  all.reserve(slots.size());
  for (const Slot& slot : slots) all.push_back(&slot);
  return MakePlan(request, all, workload, preference, slots.size());
}

Result<Plan> MakePlan(const FunctionalRequest& request, std::span<const Slot* const> slots,
                      const Fragmentation& workload, Preference preference, std::size_t others_max) {
  ACCELMESH_RETURN_IF_ERROR(Validate(request));
  Match match = FindCandidates(request, slots);
  std::vector<Ranked> ranked;
  ranked.reserve(match.candidates.size());
  for (Candidate& candidate : match.candidates) {
    const Slot& slot = *slots[candidate.slot];
    const std::int64_t growth = Growth(workload, slot, candidate);
    const std::int64_t price = candidate.price_microcredits_per_hour;
    const bool by_price = preference == Preference::kPrice;
    const std::uint32_t left = slot.share_milli_free - candidate.share_milli;
    ranked.push_back({std::move(candidate), by_price ? price : growth, by_price ? growth : price, left});
  }
  // Without a topology the first ones are taken, and no more need be in order.
  std::size_t ordered = ranked.size();
  if (request.topology == Topology::kAny && others_max < ordered) {
    ordered = std::min<std::size_t>(ordered, request.count + others_max);
  }
  std::partial_sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(ordered), ranked.end(),
                    [](const Ranked& a, const Ranked& b) {
                      return std::tie(a.first, a.second, a.left, a.candidate.slot) <
                             std::tie(b.first, b.second, b.left, b.candidate.slot);
                    });
  Plan plan;
  plan.rejections = std::move(match.rejections);
  std::size_t most = 0;
  const std::vector<std::size_t> chosen = Choose(request, slots, ranked, most);
  if (chosen.empty()) plan.gaps.push_back(Missing(request, ranked.size(), most));
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    const bool is_chosen = std::find(chosen.begin(), chosen.end(), i) != chosen.end();
    if (!is_chosen && plan.others.size() >= others_max) continue;
    Candidate& candidate = ranked[i].candidate;
    candidate.why = WhyOf(request, *slots[candidate.slot]);
    (is_chosen ? plan.assignments : plan.others).push_back(std::move(candidate));
  }
  return plan;
}

}  // namespace accelmesh::scheduler
