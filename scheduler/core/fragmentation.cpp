#include "scheduler/core/fragmentation.h"

#include <algorithm>
#include <tuple>

namespace accelmesh::scheduler {

Status ValidateDemand(const Demand& demand) {
  if (demand.devices > kDevicesPerHostMax) {
    return {Code::kInvalidArgument, "Demand.devices",
            std::to_string(demand.devices) + " of one host, which has at most " + std::to_string(kDevicesPerHostMax) +
                "; ask for several times fewer"};
  }
  if (demand.devices > 0 && (demand.share_milli == 0 || demand.share_milli > kWholeMilli)) {
    return {Code::kInvalidArgument, "Demand.share_milli",
            std::to_string(demand.share_milli) + " of each device; it is 1 to " + std::to_string(kWholeMilli)};
  }
  return Status::Ok();
}

Result<Fragmentation> Fragmentation::Make(std::span<const TaskKind> workload) {
  std::vector<TaskKind> kinds;
  for (const TaskKind& kind : workload) {
    ACCELMESH_RETURN_IF_ERROR(ValidateDemand(kind.demand));
    if (kind.demand.devices > 0 && kind.weight > 0) kinds.push_back(kind);
  }
  const auto family_of = [](const Demand& demand) {
    return std::tuple(demand.share_milli, demand.device_memory_mib, demand.devices, demand.host_classes);
  };
  // By all that tells kinds apart, so that their order does not depend on how they came.
  const auto key_of = [&family_of](const TaskKind& kind) {
    return std::tuple_cat(family_of(kind.demand),
                          std::tuple(kind.demand.processor_milli, kind.demand.memory_mib, kind.weight));
  };
  std::sort(kinds.begin(), kinds.end(), [&key_of](const TaskKind& a, const TaskKind& b) {
    return a.weight != b.weight ? a.weight > b.weight : key_of(a) < key_of(b);
  });
  if (kinds.size() > kKindsMax) kinds.resize(kKindsMax);
  std::sort(kinds.begin(), kinds.end(),
            [&key_of](const TaskKind& a, const TaskKind& b) { return key_of(a) < key_of(b); });
  // In floating point, because a sum of 64-bit weights may not fit one.
  double sum = 0;
  for (const TaskKind& kind : kinds) sum += static_cast<double>(kind.weight);
  Fragmentation made;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    const Demand& demand = kinds[i].demand;
    if (i == 0 || family_of(demand) != family_of(kinds[i - 1].demand)) {
      made.families_.push_back(
          {demand.share_milli, demand.device_memory_mib, demand.devices, demand.host_classes, 0, i, i});
    }
    const auto weight = std::max<std::uint32_t>(
        1, static_cast<std::uint32_t>(static_cast<double>(kinds[i].weight) / sum * static_cast<double>(kWeightSum)));
    made.families_.back().weight += weight;
    made.families_.back().end = i + 1;
    made.processor_milli_.push_back(demand.processor_milli);
    made.memory_mib_.push_back(demand.memory_mib);
    made.weight_.push_back(weight);
  }
  return made;
}

std::int64_t Fragmentation::Of(const Host& host) const {
  std::int64_t total = 0;
  for (std::uint32_t i = 0; i < host.device_count; ++i) total += host.devices[i].share_milli;
  if (total == 0) return 0;
  std::int64_t fragments = 0;
  for (const Family& family : families_) {
    std::int64_t too_small = 0;
    std::uint32_t fitting = 0;
    for (std::uint32_t i = 0; i < host.device_count; ++i) {
      const bool fits = FitsDevice(host.devices[i], family.share_milli, family.memory_mib);
      fitting += fits ? 1 : 0;
      too_small += fits ? 0 : host.devices[i].share_milli;
    }
    std::int64_t runs = 0;
    if (fitting >= family.devices && (family.host_classes >> host.host_class & 1) != 0) {
      // Branchless: this loop is most of what a decision costs.
      std::uint32_t sum = 0;
      for (std::size_t i = family.begin; i < family.end; ++i) {
        const std::uint32_t fits = static_cast<std::uint32_t>(host.processor_milli >= processor_milli_[i]) &
                                   static_cast<std::uint32_t>(host.memory_mib >= memory_mib_[i]);
        sum += weight_[i] & (0U - fits);
      }
      runs = sum;
    }
    fragments += (family.weight - runs) * total + runs * too_small;
  }
  return fragments;
}

}  // namespace accelmesh::scheduler
