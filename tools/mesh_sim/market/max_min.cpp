#include "tools/mesh_sim/market/max_min.h"

#include <Clp_C_Interface.h>

#include <algorithm>
#include <map>

namespace accelmesh::sim {

Result<std::vector<ByClass>> SolveMaxMin(const std::vector<MaxMinGroup>& groups, const ByClass& gpus) {
  // Columns: the part x of each group on each class, then the least t. Rows: each class's GPUs, each group's time, and
  // each group's normalised throughput less t, which is at least 0.
  const auto count = static_cast<int>(groups.size());
  const int columns = count * static_cast<int>(kClasses) + 1;
  const int rows = static_cast<int>(kClasses) + 2 * count;
  double all = 0;
  for (const double one : gpus) all += one;
  std::vector<CoinBigIndex> starts;
  std::vector<int> places;
  std::vector<double> values;
  std::vector<double> objective;
  std::vector<double> upper;
  double jobs = 0;
  for (const MaxMinGroup& group : groups) jobs += group.jobs;
  for (int g = 0; g < count; ++g) {
    const MaxMinGroup& group = groups[static_cast<std::size_t>(g)];
    double equal = 0;
    for (std::size_t c = 0; c < kClasses; ++c) equal += group.speed[c] * gpus[c] / all;
    for (std::size_t c = 0; c < kClasses; ++c) {
      const double effect = equal > 0 ? group.speed[c] / equal * group.units : 0;
      starts.push_back(static_cast<CoinBigIndex>(places.size()));
      places.push_back(static_cast<int>(c));
      values.push_back(group.jobs * group.units);
      places.push_back(static_cast<int>(kClasses) + g);
      values.push_back(1);
      places.push_back(static_cast<int>(kClasses) + count + g);
      values.push_back(effect);
      // The sum counts so little that it never buys less of the least: 1e-3 over all jobs together.
      objective.push_back(1e-3 * group.jobs / jobs * effect / group.units);
      upper.push_back(group.speed[c] > 0 ? 1.0 : 0.0);
    }
  }
  starts.push_back(static_cast<CoinBigIndex>(places.size()));
  for (int g = 0; g < count; ++g) {
    places.push_back(static_cast<int>(kClasses) + count + g);
    values.push_back(-1);
  }
  starts.push_back(static_cast<CoinBigIndex>(places.size()));
  objective.push_back(1);
  upper.push_back(1e6);
  std::vector<double> lower(static_cast<std::size_t>(columns), 0.0);
  std::vector<double> row_lower(static_cast<std::size_t>(rows), -1e30);
  std::vector<double> row_upper(static_cast<std::size_t>(rows), 1.0);
  for (std::size_t c = 0; c < kClasses; ++c) row_upper[c] = gpus[c];
  for (int g = 0; g < count; ++g) {
    row_lower[static_cast<std::size_t>(static_cast<int>(kClasses) + count + g)] = 0;
    row_upper[static_cast<std::size_t>(static_cast<int>(kClasses) + count + g)] = 1e30;
  }
  Clp_Simplex* const model = Clp_newModel();
  Clp_setLogLevel(model, 0);
  Clp_setOptimizationDirection(model, -1);
  Clp_loadProblem(model, columns, rows, starts.data(), places.data(), values.data(), lower.data(), upper.data(),
                  objective.data(), row_lower.data(), row_upper.data());
  // x = 0 holds, so the primal method needs no first phase.
  Clp_primal(model, 0);
  const int status = Clp_status(model);
  std::vector<ByClass> parts(groups.size());
  if (status == 0) {
    const double* const solution = Clp_primalColumnSolution(model);
    for (std::size_t g = 0; g < groups.size(); ++g) {
      for (std::size_t c = 0; c < kClasses; ++c) parts[g][c] = solution[g * kClasses + c];
    }
  }
  Clp_deleteModel(model);
  if (status != 0) {
    return Status(Code::kUnavailable, "SolveMaxMin",
                  "CLP ends with status " + std::to_string(status) + " on " + std::to_string(count) + " groups");
  }
  return parts;
}

void MaxMin::Arrived(World& world, JobId id) {
  (void)world;
  waiting_.insert(std::upper_bound(waiting_.begin(), waiting_.end(), id), id);
  is_changed_ = true;
}

void MaxMin::Left(World& world, JobId id) {
  (void)world;
  const auto at = std::lower_bound(waiting_.begin(), waiting_.end(), id);
  if (at != waiting_.end() && *at == id) waiting_.erase(at);
  is_changed_ = true;
}

std::int64_t MaxMin::WakeAt(const World& world) const {
  if (!status_.ok() || (waiting_.empty() && world.running().empty())) return kNever;
  return (world.now_ms() / round_ms_ + 1) * round_ms_;
}

// Free devices to those that wait, in order of arrival: between rounds nothing stands idle that somebody can use.
void MaxMin::Fill(World& world) {
  if (world.free_milli() == 0) return;
  std::erase_if(waiting_, [&](JobId id) {
    const std::optional<std::size_t> free = world.BestFree(id);
    if (!free || !world.Start(id, *free)) return false;
    since_ms_[id] = world.now_ms();
    return true;
  });
}

void MaxMin::Round(World& world) {
  struct Group {
    MaxMinGroup group;
    ByClass parts{};
  };
  std::map<std::uint32_t, Group> groups;
  std::vector<JobId> active = waiting_;
  active.insert(active.end(), world.running().begin(), world.running().end());
  for (const JobId id : active) {
    const Job& job = world.job(id);
    Group& group = groups[job.kind];
    ++group.group.jobs;
    group.group.units = static_cast<double>(job.units_milli()) / 1000;
    for (std::size_t c = 0; c < kClasses; ++c) {
      if (job.hours[c] > 0 && world.pool(c).capacity_milli() >= job.units_milli()) {
        group.group.speed[c] = job.hours[kClasses - 1] / job.hours[c];
      }
    }
  }
  std::vector<MaxMinGroup> program;
  for (const auto& [kind, group] : groups) program.push_back(group.group);
  ByClass gpus{};
  for (std::size_t c = 0; c < kClasses; ++c) gpus[c] = static_cast<double>(world.pool(c).capacity_milli()) / 1000;
  const Result<std::vector<ByClass>> parts = SolveMaxMin(program, gpus);
  if (!parts.ok()) {
    status_ = parts.status();
    return;
  }
  std::size_t next = 0;
  for (auto& [kind, group] : groups) group.parts = (*parts)[next++];

  struct Claim {
    double priority;
    JobId job;
    std::uint8_t slot_class;
  };
  std::vector<Claim> claims;
  for (const JobId id : active) {
    const JobState& state = world.state(id);
    if (state.phase == Phase::kRunning) {
      received_ms_[id][state.slot_class] += static_cast<double>(world.now_ms() - since_ms_[id]);
      since_ms_[id] = world.now_ms();
    }
    const ByClass& part = groups[world.job(id).kind].parts;
    const auto age = static_cast<double>(world.now_ms() - world.job(id).arrival_ms + round_ms_);
    for (std::size_t c = 0; c < kClasses; ++c) {
      if (part[c] > 1e-6) {
        claims.push_back({part[c] / (received_ms_[id][c] / age + 1e-6), id, static_cast<std::uint8_t>(c)});
      }
    }
  }
  std::sort(claims.begin(), claims.end(), [](const Claim& a, const Claim& b) {
    return a.priority != b.priority ? a.priority > b.priority
           : a.job != b.job         ? a.job < b.job
                                    : a.slot_class < b.slot_class;
  });
  std::array<std::uint64_t, kClasses> room{};
  for (std::size_t c = 0; c < kClasses; ++c) room[c] = world.pool(c).capacity_milli();
  std::map<JobId, std::uint8_t> chosen;
  for (const Claim& claim : claims) {
    const std::uint64_t units = world.job(claim.job).units_milli();
    if (room[claim.slot_class] < units || !chosen.emplace(claim.job, claim.slot_class).second) continue;
    room[claim.slot_class] -= units;
  }
  // Who runs and was not chosen goes on where there is room over; the others stop first, then the chosen start.
  for (const JobId id : active) {
    const JobState& state = world.state(id);
    if (state.phase != Phase::kRunning) continue;
    const auto choice = chosen.find(id);
    const std::uint64_t units = world.job(id).units_milli();
    if (choice != chosen.end() ? choice->second == state.slot_class : room[state.slot_class] >= units) {
      if (choice == chosen.end()) room[state.slot_class] -= units;
      continue;
    }
    world.Stop(id);
    waiting_.insert(std::upper_bound(waiting_.begin(), waiting_.end(), id), id);
  }
  for (const auto& [id, slot_class] : chosen) {
    if (world.state(id).phase != Phase::kWaiting || !world.Start(id, slot_class)) continue;
    waiting_.erase(std::lower_bound(waiting_.begin(), waiting_.end(), id));
    since_ms_[id] = world.now_ms();
  }
}

void MaxMin::Decide(World& world) {
  if (world.now_ms() % round_ms_ == 0 && world.now_ms() != last_round_ms_) {
    last_round_ms_ = world.now_ms();
    Round(world);
  }
  if (is_changed_ || last_round_ms_ == world.now_ms()) Fill(world);
  is_changed_ = false;
}

}  // namespace accelmesh::sim
