// How much of what is free on a host the usual workload cannot use.
//
// The idea is Fragmentation Gradient Descent: Q. Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing
// Workloads with Fragmentation Gradient Descent", USENIX ATC 2023, its statistical measure of a node's fragmentation
// and the algorithm built on it. For a task drawn from the usual workload, free shares of a host are fragments if the
// host cannot run the task at all, and otherwise those of the devices that are too small for it; the measure is the
// mean over tasks. Placement then goes where the measure grows least. The code and its arrangement are our own:
// integers throughout, so that every machine decides alike, and the memory of devices counts beside their shares.
//
// Threads: const after Make().
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "protocol/base/result.h"
#include "scheduler/core/host.h"

namespace accelmesh::scheduler {

// A kind of task and how common it is, in any unit.
struct TaskKind {
  Demand demand;
  std::uint64_t weight = 1;
};

class Fragmentation {
 public:
  // Weights are scaled so that their sum is about this.
  static constexpr std::uint64_t kWeightSum = 1'000'000;
  // So many kinds are kept, the most common ones, because each costs every decision time. At 64, tasks of many kinds
  // (the generated twin) were placed worse than by best fit.
  static constexpr std::size_t kKindsMax = 256;

  // kInvalidArgument if a demand is none that a host could ever meet. Tasks without devices fragment nothing and are
  // left out.
  static Result<Fragmentation> Make(std::span<const TaskKind> workload);

  // Thousandths of devices that are fragments, times kWeightSum.
  std::int64_t Of(const Host& host) const;

 private:
  // Kinds that ask the same of devices; they differ in what they ask of the host.
  struct Family {
    std::uint32_t share_milli = 0;
    std::uint32_t memory_mib = 0;
    std::uint32_t devices = 0;
    std::uint64_t host_classes = 0;
    std::int64_t weight = 0;
    std::size_t begin = 0;  // of its kinds in the arrays below
    std::size_t end = 0;
  };

  std::vector<Family> families_;
  std::vector<std::uint32_t> processor_milli_;
  std::vector<std::uint32_t> memory_mib_;
  std::vector<std::uint32_t> weight_;
};

// Whether a host of any size could meet it; kInvalidArgument with the field otherwise.
Status ValidateDemand(const Demand& demand);

}  // namespace accelmesh::scheduler
