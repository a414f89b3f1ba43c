#include "tools/mesh_sim/workload.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>

#include "tools/mesh_sim/csv.h"
#include "tools/mesh_sim/packed_text.h"

namespace accelmesh::sim {
namespace {

using scheduler::Demand;
using scheduler::DeviceFree;
using scheduler::Host;
using scheduler::kWholeMilli;

Status Bad(const std::string& file, std::size_t line, const std::string& text) { return BadLine(file, line, text); }

bool ParseNumber(std::string_view text, std::uint32_t most, std::uint32_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value <= most;
}

constexpr std::uint32_t kNumberMax = 1u << 30;

// Hosts of openb by kind, as its list of nodes has them.
struct HostKind {
  std::uint32_t count, processor_milli, memory_mib, devices, model;
};
constexpr HostKind kHostKinds[] = {{549, 96000, 393216, 8, 0}, {387, 104000, 524288, 2, 1}, {107, 16000, 122880, 2, 2},
                                   {39, 128000, 786432, 8, 3}, {28, 32000, 131072, 4, 4},   {22, 64000, 262144, 2, 2},
                                   {21, 96000, 786432, 8, 5},  {19, 8000, 32768, 1, 4},     {17, 96000, 393216, 4, 1},
                                   {9, 48000, 376832, 4, 5},   {7, 64000, 262144, 8, 4},    {3, 8000, 61440, 1, 2},
                                   {2, 8000, 61440, 2, 2},     {2, 128000, 1048576, 1, 6},  {1, 82000, 344064, 8, 4}};

struct Chance {
  std::uint32_t weight, value;
};
// Marginals of openb's tasks: the share of one device (0: none), the number of whole ones, and processor and memory in
// thirds of how much they ask.
constexpr Chance kShares[] = {{1088, 0},  {3986, 1000}, {1078, 810}, {750, 470}, {328, 320}, {253, 650},
                              {140, 230}, {128, 460},   {75, 590},   {74, 160},  {72, 550},  {180, 200}};
constexpr Chance kWholes[] = {{3911, 1}, {16, 2}, {15, 4}, {44, 8}};
constexpr Chance kProcessors[] = {{26, 3200}, {12, 4000}, {22, 9000}, {28, 12000}, {8, 17000}, {4, 28000}};
constexpr Chance kMemoryPerProcessor[] = {{25, 1800}, {20, 2500}, {40, 4200}, {15, 5800}};  // MiB for 1000

template <std::size_t N>
std::uint32_t Draw(std::mt19937_64& random, const Chance (&chances)[N]) {
  std::uint64_t sum = 0;
  for (const Chance& chance : chances) sum += chance.weight;
  std::uint64_t at = Below(random, sum);
  for (const Chance& chance : chances) {
    if (at < chance.weight) return chance.value;
    at -= chance.weight;
  }
  return 0;
}

}  // namespace

std::uint64_t Below(std::mt19937_64& random, std::uint64_t bound) {
  // The bias of a remainder is below 2^-40 for bounds of a million; no decision depends on it.
  return random() % bound;
}

Status ParseHosts(std::string_view csv, const std::string& file, std::vector<Host>& hosts) {
  std::map<std::string, std::uint32_t, std::less<>> models;
  return EachRow(csv, file, {"cpu_milli", "memory_mib", "gpu", "model"},
                 [&](std::size_t line, const std::vector<std::string_view>& values) {
                   Host host;
                   if (!ParseNumber(values[0], kNumberMax, host.processor_milli) ||
                       !ParseNumber(values[1], kNumberMax, host.memory_mib) ||
                       !ParseNumber(values[2], scheduler::kDevicesPerHostMax, host.device_count)) {
                     return Bad(file, line, "no numbers of processors, memory and at most 16 GPUs");
                   }
                   host.host_class = models.emplace(values[3], static_cast<std::uint32_t>(models.size())).first->second;
                   if (host.host_class >= scheduler::kHostClassesMax) return Bad(file, line, "more than 64 models");
                   for (std::uint32_t i = 0; i < host.device_count; ++i) host.devices[i] = {kWholeMilli, 0};
                   hosts.push_back(host);
                   return Status::Ok();
                 });
}

Status ParseTasks(std::string_view csv, const std::string& file, std::vector<Demand>& tasks) {
  return EachRow(csv, file, {"cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec"},
                 [&](std::size_t line, const std::vector<std::string_view>& values) {
                   Demand demand;
                   if (!ParseNumber(values[0], kNumberMax, demand.processor_milli) ||
                       !ParseNumber(values[1], kNumberMax, demand.memory_mib) ||
                       !ParseNumber(values[2], scheduler::kDevicesPerHostMax, demand.devices) ||
                       !ParseNumber(values[3], kWholeMilli, demand.share_milli)) {
                     return Bad(file, line, "no numbers of processors, memory, at most 16 GPUs and thousandths of one");
                   }
                   // openb_pod_list_default names none; lists that do would need the names of ParseHosts.
                   if (!values[4].empty())
                     return Bad(file, line, "asks for a model of GPU, which is not read; use the default list");
                   if (!scheduler::ValidateDemand(demand).ok())
                     return Bad(file, line, "a task of GPUs without a share");
                   if (demand.devices == 0) demand.share_milli = 0;
                   tasks.push_back(demand);
                   return Status::Ok();
                 });
}

Result<Workload> ReadOpenb(const std::string& folder) {
  Workload workload;
  workload.name = "openb";
  const std::string nodes = folder + "/openb_node_list_gpu_node.csv";
  const std::string pods = folder + "/openb_pod_list_default.csv";
  ACCELMESH_ASSIGN_OR_RETURN(const std::string node_text, ReadPackedText(nodes));
  ACCELMESH_RETURN_IF_ERROR(ParseHosts(node_text, nodes, workload.hosts));
  ACCELMESH_ASSIGN_OR_RETURN(const std::string pod_text, ReadPackedText(pods));
  ACCELMESH_RETURN_IF_ERROR(ParseTasks(pod_text, pods, workload.tasks));
  if (workload.hosts.empty() || workload.tasks.empty()) return Bad(pods, 1, "no hosts or no tasks");
  return workload;
}

Workload MakeTwin(std::uint64_t seed, std::uint32_t scale) {
  Workload workload;
  workload.name = "twin";
  std::mt19937_64 random(seed);
  for (const HostKind& kind : kHostKinds) {
    Host host{kind.processor_milli, kind.memory_mib, kind.model, kind.devices, {}};
    for (std::uint32_t i = 0; i < kind.devices; ++i) host.devices[i] = DeviceFree{kWholeMilli, 0};
    workload.hosts.insert(workload.hosts.end(), (kind.count * scale + 999) / 1000, host);
  }
  for (int i = 0; i < 8152; ++i) {
    Demand demand;
    demand.share_milli = Draw(random, kShares);
    demand.devices = demand.share_milli == 0 ? 0 : demand.share_milli == kWholeMilli ? Draw(random, kWholes) : 1;
    demand.processor_milli = Draw(random, kProcessors) * std::max(demand.devices, 1u);
    demand.memory_mib = demand.processor_milli / 1000 * Draw(random, kMemoryPerProcessor);
    workload.tasks.push_back(demand);
  }
  return workload;
}

std::vector<scheduler::TaskKind> KindsOf(const std::vector<Demand>& tasks) {
  std::vector<scheduler::TaskKind> kinds;
  std::map<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint64_t>,
           std::size_t>
      places;
  for (const Demand& task : tasks) {
    const auto [place, is_new] =
        places.try_emplace(std::tuple(task.processor_milli, task.memory_mib, task.devices, task.share_milli,
                                      task.device_memory_mib, task.host_classes),
                           kinds.size());
    if (is_new) kinds.push_back({task, 0});
    ++kinds[place->second].weight;
  }
  return kinds;
}

}  // namespace accelmesh::sim
