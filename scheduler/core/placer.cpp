#include "scheduler/core/placer.h"

#include <algorithm>
#include <array>
#include <limits>

namespace accelmesh::scheduler {
namespace {

constexpr std::int64_t kNowhere = std::numeric_limits<std::int64_t>::max();
// Keys are (growth of fragments, what stays free): the second in the low bits.
constexpr std::int64_t kLeftRange = 1 << 16;

constexpr std::array<std::string_view, 4> kPolicyNames = {"fragmentation", "best-fit", "worst-fit", "random"};

std::int64_t FreeOf(const Host& host) {
  std::int64_t sum = 0;
  for (std::uint32_t i = 0; i < host.device_count; ++i) sum += host.devices[i].share_milli;
  return sum;
}

// The devices of a host that fit tightest, as many as are asked for; 0 if there are too few.
DeviceMask Tightest(const Host& host, const Demand& demand) {
  DeviceMask mask = 0;
  for (std::uint32_t taken = 0; taken < demand.devices; ++taken) {
    std::uint32_t best = kDevicesPerHostMax;
    for (std::uint32_t i = 0; i < host.device_count; ++i) {
      const DeviceFree& device = host.devices[i];
      if ((mask >> i & 1) != 0 || !FitsDevice(device, demand.share_milli, demand.device_memory_mib)) continue;
      if (best == kDevicesPerHostMax || device.share_milli < host.devices[best].share_milli ||
          (device.share_milli == host.devices[best].share_milli && device.memory_mib < host.devices[best].memory_mib)) {
        best = i;
      }
    }
    if (best == kDevicesPerHostMax) return 0;
    mask |= 1U << best;
  }
  return mask;
}

}  // namespace

std::string_view Name(PlacementPolicy policy) { return kPolicyNames[static_cast<std::size_t>(policy)]; }

std::optional<PlacementPolicy> FindPolicy(std::string_view name) {
  for (std::size_t i = 0; i < kPolicyNames.size(); ++i) {
    if (kPolicyNames[i] == name) return static_cast<PlacementPolicy>(i);
  }
  return std::nullopt;
}

std::size_t Placer::DemandHash::operator()(const Demand& demand) const {
  std::uint64_t hash = demand.host_classes;
  for (const std::uint32_t part :
       {demand.processor_milli, demand.memory_mib, demand.devices, demand.share_milli, demand.device_memory_mib}) {
    hash = (hash ^ part) * 0x9E3779B97F4A7C15ULL;
    hash ^= hash >> 29;
  }
  return hash;
}

Result<Placer> Placer::Make(std::vector<Host> hosts, std::span<const TaskKind> workload, PlacementPolicy policy) {
  if (hosts.size() > kHostsMax) {
    return Status(
        Code::kLimitExceeded, "Placer::Make.hosts",
        std::to_string(hosts.size()) + " hosts; split them into groups of at most " + std::to_string(kHostsMax));
  }
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    const Host& host = hosts[i];
    bool fits = host.device_count <= kDevicesPerHostMax && host.host_class < kHostClassesMax;
    for (std::uint32_t d = 0; fits && d < host.device_count; ++d) fits = host.devices[d].share_milli <= kWholeMilli;
    if (!fits) {
      return Status(Code::kInvalidArgument, "Placer::Make.hosts",
                    "host " + std::to_string(i) + " has more than " + std::to_string(kDevicesPerHostMax) +
                        " devices, a class of 64 or more, or more than a whole of a device; list it as several hosts");
    }
  }
  ACCELMESH_ASSIGN_OR_RETURN(Fragmentation fragmentation, Fragmentation::Make(workload));
  return Placer(std::move(hosts), std::move(fragmentation), policy);
}

Placer::Placer(std::vector<Host> hosts, Fragmentation fragmentation, PlacementPolicy policy)
    : hosts_(std::move(hosts)),
      whole_(hosts_),
      fragmentation_(std::move(fragmentation)),
      policy_(policy),
      changes_(hosts_.size(), 1),
      fragments_(hosts_.size()),
      recent_(std::max<std::size_t>(hosts_.size(), 1)) {
  if (policy_ != PlacementPolicy::kFragmentation) return;
  for (std::size_t i = 0; i < hosts_.size(); ++i) fragments_[i] = fragmentation_.Of(hosts_[i]);
}

Placer::Score Placer::ScoreOf(const Demand& demand, std::uint32_t index) const {
  const Host& host = hosts_[index];
  Score score{kNowhere, 0, changes_[index]};
  if (!FitsHost(host, demand)) return score;
  const DeviceMask tightest = Tightest(host, demand);
  if (demand.devices > 0 && tightest == 0) return score;
  const std::int64_t left = FreeOf(host) - std::int64_t{demand.devices} * demand.share_milli;
  score.devices = tightest;
  if (policy_ != PlacementPolicy::kFragmentation) {
    score.key = policy_ == PlacementPolicy::kWorstFit ? -left : left;
    return score;
  }
  const auto consider = [&](DeviceMask mask) {
    Host after = host;
    Take(after, demand, mask);
    const std::int64_t key = (fragmentation_.Of(after) - fragments_[index]) * kLeftRange + left;
    if (key >= score.key) return;
    score.key = key;
    score.devices = mask;
  };
  consider(tightest);
  if (demand.devices != 1) return score;
  // Devices that have the same free are one choice.
  for (std::uint32_t i = 0; i < host.device_count; ++i) {
    if ((tightest >> i & 1) != 0 || !FitsDevice(host.devices[i], demand.share_milli, demand.device_memory_mib))
      continue;
    const auto* const end = host.devices.begin() + i;
    if (std::find(host.devices.begin(), end, host.devices[i]) != end) continue;
    consider(1U << i);
  }
  return score;
}

Placer::Shape& Placer::ShapeOf(const Demand& demand) {
  const auto found = shapes_.find(demand);
  if (found != shapes_.end()) return *found->second;
  if (shapes_.size() >= kShapesMax) {
    shapes_.erase(std::min_element(shapes_.begin(), shapes_.end(),
                                   [](const auto& a, const auto& b) { return a.second->used < b.second->used; }));
  }
  auto shape = std::make_unique<Shape>();
  shape->scores.resize(hosts_.size());
  // Hosts that are alike score alike, and before anything is placed most are.
  for (std::uint32_t i = 0; i < hosts_.size(); ++i) {
    if (i > 0 && hosts_[i] == hosts_[i - 1]) {
      shape->scores[i] = shape->scores[i - 1];
      shape->scores[i].change = changes_[i];
    } else {
      shape->scores[i] = ScoreOf(demand, i);
    }
  }
  shape->seen = change_count_;
  return *shapes_.emplace(demand, std::move(shape)).first->second;
}

void Placer::Refresh(const Demand& demand, Shape& shape) {
  const auto renew = [&](std::uint32_t host) {
    if (shape.scores[host].change != changes_[host]) shape.scores[host] = ScoreOf(demand, host);
  };
  if (change_count_ - shape.seen > recent_.size()) {
    for (std::uint32_t i = 0; i < hosts_.size(); ++i) renew(i);
  } else {
    for (std::uint64_t at = shape.seen; at < change_count_; ++at) renew(recent_[at % recent_.size()]);
  }
  shape.seen = change_count_;
}

void Placer::Changed(std::uint32_t host) {
  ++changes_[host];
  recent_[change_count_++ % recent_.size()] = host;
  if (policy_ == PlacementPolicy::kFragmentation) fragments_[host] = fragmentation_.Of(hosts_[host]);
}

std::optional<Placement> Placer::Place(const Demand& demand, std::uint64_t draw) {
  Shape& shape = ShapeOf(demand);
  shape.used = ++use_count_;
  Refresh(demand, shape);
  std::size_t best = hosts_.size();
  if (policy_ == PlacementPolicy::kRandom) {
    const auto fits = [](const Score& score) { return score.key != kNowhere; };
    const auto fitting = static_cast<std::uint64_t>(std::count_if(shape.scores.begin(), shape.scores.end(), fits));
    if (fitting == 0) return std::nullopt;
    std::uint64_t nth = draw % fitting;
    for (best = 0; !fits(shape.scores[best]) || nth-- > 0;) ++best;
  } else {
    std::int64_t key = kNowhere;
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
      if (shape.scores[i].key >= key) continue;
      key = shape.scores[i].key;
      best = i;
    }
    if (key == kNowhere) return std::nullopt;
  }
  const Placement placement{static_cast<std::uint32_t>(best), shape.scores[best].devices};
  Take(hosts_[best], demand, placement.devices);
  Changed(placement.host);
  return placement;
}

Status Placer::Release(const Demand& demand, const Placement& placement) {
  const Status bad(Code::kInvalidArgument, "Placer::Release",
                   "gives back what was not taken; release a placement once");
  if (placement.host >= hosts_.size()) return bad;
  Host after = hosts_[placement.host];
  const Host& whole = whole_[placement.host];
  std::uint32_t devices = 0;
  for (std::uint32_t i = 0; i < 32; ++i) {
    if ((placement.devices >> i & 1) == 0) continue;
    if (i >= after.device_count || after.devices[i].share_milli + demand.share_milli > whole.devices[i].share_milli ||
        after.devices[i].memory_mib + std::uint64_t{demand.device_memory_mib} > whole.devices[i].memory_mib) {
      return bad;
    }
    after.devices[i].share_milli += demand.share_milli;
    after.devices[i].memory_mib += demand.device_memory_mib;
    ++devices;
  }
  if (devices != demand.devices ||
      after.processor_milli + std::uint64_t{demand.processor_milli} > whole.processor_milli ||
      after.memory_mib + std::uint64_t{demand.memory_mib} > whole.memory_mib) {
    return bad;
  }
  after.processor_milli += demand.processor_milli;
  after.memory_mib += demand.memory_mib;
  hosts_[placement.host] = after;
  Changed(placement.host);
  return Status::Ok();
}

NoPlacement Placer::WhyNot(const Demand& demand) const {
  NoPlacement why;
  for (const Host& host : hosts_) {
    ++why.hosts;
    std::uint32_t fitting = 0;
    for (std::uint32_t i = 0; i < host.device_count; ++i) {
      fitting += FitsDevice(host.devices[i], demand.share_milli, demand.device_memory_mib) ? 1 : 0;
      if (host.devices[i].memory_mib >= demand.device_memory_mib) {
        why.share_milli_most = std::max(why.share_milli_most, host.devices[i].share_milli);
      }
    }
    why.without_class += (demand.host_classes >> host.host_class & 1) == 0 ? 1 : 0;
    why.without_processor += host.processor_milli < demand.processor_milli ? 1 : 0;
    why.without_memory += host.memory_mib < demand.memory_mib ? 1 : 0;
    why.without_devices += fitting < demand.devices ? 1 : 0;
    why.processor_milli_most = std::max(why.processor_milli_most, host.processor_milli);
    why.memory_mib_most = std::max(why.memory_mib_most, host.memory_mib);
    why.devices_most = std::max(why.devices_most, fitting);
  }
  const auto of = [](std::uint64_t have, std::uint64_t asked) {
    return std::to_string(have) + " of " + std::to_string(asked);
  };
  const auto say = [&why](const std::string& text) { why.text += (why.text.empty() ? "" : "; ") + text; };
  if (why.devices_most < demand.devices) {
    say("devices " + of(why.devices_most, demand.devices) + " on one host with " + std::to_string(demand.share_milli) +
        " thousandths free each (the most free on one: " + std::to_string(why.share_milli_most) +
        "): ask for fewer devices or a smaller share, or wait");
  }
  if (why.processor_milli_most < demand.processor_milli) {
    say("processor " + of(why.processor_milli_most, demand.processor_milli) + " thousandths: ask for less");
  }
  if (why.memory_mib_most < demand.memory_mib) {
    say("memory " + of(why.memory_mib_most, demand.memory_mib) + " MiB: ask for less");
  }
  if (why.without_class == why.hosts) say("no host of the kinds asked for: allow more kinds");
  if (why.text.empty()) {
    say("no host has all of it at once (" + std::to_string(why.without_devices) + " of " + std::to_string(why.hosts) +
        " lack devices, " + std::to_string(why.without_processor) + " processor, " +
        std::to_string(why.without_memory) + " memory, " + std::to_string(why.without_class) +
        " the kind): ask for less of the scarcest, or wait");
  }
  return why;
}

std::int64_t Placer::FragmentationSum() const {
  std::int64_t sum = 0;
  for (const Host& host : hosts_) sum += fragmentation_.Of(host);
  return sum;
}

}  // namespace accelmesh::scheduler
