// Places tasks on hosts: one decision at a time, at a rate of some hundred thousand a second for a thousand hosts.
//
// Pure and deterministic: the same calls in the same order place alike on every machine; chance is an argument. What a
// host scores for a demand is remembered until the host changes, so that a decision costs the hosts that have changed
// since the last task of that shape, and one pass over numbers.
// Threads: one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "protocol/base/result.h"
#include "scheduler/core/fragmentation.h"
#include "scheduler/core/host.h"

namespace accelmesh::scheduler {

enum class PlacementPolicy : std::uint8_t {
  kFragmentation,  // where the usual workload loses least (fragmentation.h); ties as best fit
  kBestFit,        // where least of the devices stays free
  kWorstFit,       // where most stays free
  kRandom,         // anywhere it fits; the devices as best fit
};
std::string_view Name(PlacementPolicy policy);
std::optional<PlacementPolicy> FindPolicy(std::string_view name);

struct Placement {
  std::uint32_t host = 0;
  DeviceMask devices = 0;
  bool operator==(const Placement&) const = default;
};

// Why a demand fits nowhere: for each dimension the hosts that lack it, and the most that any host has of it.
struct NoPlacement {
  std::uint32_t hosts = 0;
  std::uint32_t without_class = 0;
  std::uint32_t without_processor = 0;
  std::uint32_t without_memory = 0;
  std::uint32_t without_devices = 0;  // too few that have share and memory
  std::uint32_t processor_milli_most = 0;
  std::uint32_t memory_mib_most = 0;
  std::uint32_t devices_most = 0;      // that fit, on one host
  std::uint32_t share_milli_most = 0;  // of one device with memory enough
  std::string text;                    // "devices 1 of 2 with 700 thousandths; ..." with the remedy
};

class Placer {
 public:
  static constexpr std::size_t kHostsMax = 1U << 20;
  // Shapes of demands whose scores are remembered; the one that was used longest ago goes. Bounds the memory: hosts x
  // shapes x 16 bytes.
  static constexpr std::size_t kShapesMax = 512;

  // kInvalidArgument if a host is impossible. `workload` is what tasks usually are; only kFragmentation looks at it.
  static Result<Placer> Make(std::vector<Host> hosts, std::span<const TaskKind> workload, PlacementPolicy policy);

  // Takes the devices, or nothing if it fits nowhere. `draw` is uniform over 64 bits; only kRandom looks at it.
  // Precondition: ValidateDemand(demand).ok().
  std::optional<Placement> Place(const Demand& demand, std::uint64_t draw = 0);
  // Gives back what Place() took for the same demand; kInvalidArgument if that cannot be.
  Status Release(const Demand& demand, const Placement& placement);

  NoPlacement WhyNot(const Demand& demand) const;

  const std::vector<Host>& hosts() const { return hosts_; }
  std::size_t shapes() const { return shapes_.size(); }
  // The sum of Fragmentation::Of() over all hosts.
  std::int64_t FragmentationSum() const;

 private:
  // What one host would be for one shape; lower keys are better.
  struct Score {
    std::int64_t key = 0;
    DeviceMask devices = 0;
    std::uint32_t change = 0;  // the host's when this was worked out
  };
  struct Shape {
    std::vector<Score> scores;
    std::uint64_t seen = 0;  // changes up to here are worked in
    std::uint64_t used = 0;
  };
  struct DemandHash {
    std::size_t operator()(const Demand& demand) const;
  };

  Placer(std::vector<Host> hosts, Fragmentation fragmentation, PlacementPolicy policy);

  Shape& ShapeOf(const Demand& demand);
  void Refresh(const Demand& demand, Shape& shape);
  Score ScoreOf(const Demand& demand, std::uint32_t host) const;
  void Changed(std::uint32_t host);

  std::vector<Host> hosts_;
  std::vector<Host> whole_;  // as they were given: what Release() may not exceed
  Fragmentation fragmentation_;
  PlacementPolicy policy_;
  std::vector<std::uint32_t> changes_;   // of each host, a count
  std::vector<std::int64_t> fragments_;  // of each host as it is
  std::vector<std::uint32_t> recent_;    // a ring of the hosts that changed
  std::uint64_t change_count_ = 0;
  std::uint64_t use_count_ = 0;
  std::unordered_map<Demand, std::unique_ptr<Shape>, DemandHash> shapes_;
};

}  // namespace accelmesh::scheduler
