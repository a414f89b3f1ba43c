// What is placed on what: hosts and tasks of the openb trace (Alibaba's cluster-trace-gpu-v2023), or of its twin, which
// is drawn from a seed and from counts that are written here, so that it runs where no trace is.
//
// Threads: functions on values. Randomness: std::mt19937_64 only, whose numbers are the same everywhere.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "protocol/base/result.h"
#include "scheduler/core/fragmentation.h"

namespace accelmesh::sim {

struct Workload {
  std::string name;
  std::vector<scheduler::Host> hosts;
  std::vector<scheduler::Demand> tasks;  // each as likely as the others
};

// From openb_node_list_gpu_node.csv and openb_pod_list_default.csv of `folder`, plain or with .xz. kNotFound if there
// is neither; kInvalidArgument with file and line if a line is not what its header says.
Result<Workload> ReadOpenb(const std::string& folder);

// The twin: hosts as openb has them by kind and count (or a part of them, `scale` of 1000), tasks drawn anew.
Workload MakeTwin(std::uint64_t seed, std::uint32_t scale = 1000);

// Uniform below `bound`, the same on every machine.
std::uint64_t Below(std::mt19937_64& random, std::uint64_t bound);

// The kinds of tasks of a workload and how often each is there.
std::vector<scheduler::TaskKind> KindsOf(const std::vector<scheduler::Demand>& tasks);

// Fills hosts from the two files' texts; for tests, and ReadOpenb().
Status ParseHosts(std::string_view csv, const std::string& file, std::vector<scheduler::Host>& hosts);
Status ParseTasks(std::string_view csv, const std::string& file, std::vector<scheduler::Demand>& tasks);

}  // namespace accelmesh::sim
