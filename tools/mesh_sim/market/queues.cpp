#include "tools/mesh_sim/market/queues.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace accelmesh::sim {
namespace {

// How many of each line are looked at for taking devices back; who is behind them waits for its turn.
constexpr std::size_t kReclaimersMax = 20;

void Insert(std::vector<JobId>& line, JobId id) { line.insert(std::upper_bound(line.begin(), line.end(), id), id); }

void Erase(std::vector<JobId>& line, JobId id) {
  const auto at = std::lower_bound(line.begin(), line.end(), id);
  if (at != line.end() && *at == id) line.erase(at);
}

}  // namespace

std::vector<Gpus> Partition(const std::vector<double>& quotas, const Gpus& gpus) {
  std::vector<Gpus> own(quotas.size(), Gpus{});
  for (std::size_t c = 0; c < kClasses; ++c) {
    std::uint32_t given = 0;
    std::vector<std::pair<double, std::size_t>> rests;
    for (std::size_t i = 0; i < quotas.size(); ++i) {
      const double exact = quotas[i] * gpus[c];
      own[i][c] = static_cast<std::uint32_t>(exact);
      given += own[i][c];
      rests.emplace_back(own[i][c] - exact, i);
    }
    std::sort(rests.begin(), rests.end());
    for (std::size_t i = 0; i < rests.size() && given < gpus[c]; ++i, ++given) ++own[rests[i].second][c];
  }
  const std::size_t last = kClasses - 1;
  for (Gpus& mine : own) {
    if (mine[0] + mine[1] + mine[2] > 0 && mine[last] > 0) continue;
    const auto most =
        std::max_element(own.begin(), own.end(), [](const Gpus& a, const Gpus& b) { return a[last] < b[last]; });
    if ((*most)[last] < 2) continue;
    --(*most)[last];
    ++mine[last];
  }
  return own;
}

QueuePolicy::QueuePolicy(QueueRule rule, const std::vector<double>& quotas, const Gpus& gpus)
    : rule_(rule),
      quotas_(quotas),
      own_(Partition(quotas, gpus)),
      waiting_(rule == QueueRule::kFifo ? 1 : quotas.size()),
      fresh_(waiting_.size()) {
  for (const std::uint32_t count : gpus) capacity_milli_ += count * 1000.0;
}

std::size_t QueuePolicy::LineOf(const World& world, JobId id) const {
  return rule_ == QueueRule::kFifo ? 0 : world.job(id).tenant;
}

void QueuePolicy::Arrived(World& world, JobId id) {
  Insert(waiting_[LineOf(world, id)], id);
  Insert(fresh_[LineOf(world, id)], id);
}

void QueuePolicy::Left(World& world, JobId id) {
  if (world.state(id).phase == Phase::kEnded) is_freed_ = true;
  Erase(waiting_[LineOf(world, id)], id);
  Erase(fresh_[LineOf(world, id)], id);
}

double QueuePolicy::Rank(const World& world, std::size_t line) const {
  switch (rule_) {
    case QueueRule::kStatic:
    case QueueRule::kFifo: return 0;
    case QueueRule::kLending:
    case QueueRule::kLendingReclaim: return static_cast<double>(world.held_milli(line)) / std::max(quotas_[line], 1e-9);
    case QueueRule::kDrf: {
      double dominant = 0;
      for (std::size_t c = 0; c < kClasses; ++c) {
        const auto there = static_cast<double>(world.pool(c).capacity_milli());
        if (there > 0) dominant = std::max(dominant, static_cast<double>(world.held_milli(line, c)) / there);
      }
      return dominant;
    }
  }
  return 0;
}

// Within the tenant's own devices. A gang that is larger than its tenant's part of every class it accepts runs on all
// of the part where it ends first.
bool QueuePolicy::TryStartOwn(World& world, JobId id) const {
  const Job& job = world.job(id);
  const Gpus& own = own_[job.tenant];
  std::size_t best = kClasses;
  double best_hours = 0;
  bool is_too_large = true;
  std::size_t shrunk = kClasses;
  double shrunk_hours = 0;
  for (std::size_t c = 0; c < kClasses; ++c) {
    const double hours = world.HoursOn(id, c);
    if (hours <= 0 || own[c] == 0) continue;
    if (own[c] >= job.gpus) {
      is_too_large = false;
      const bool has_room = world.held_milli(job.tenant, c) + job.units_milli() <= own[c] * 1000ULL;
      if (has_room && world.pool(c).Fits(job.gpus, job.share_milli) && (best == kClasses || hours < best_hours)) {
        best = c;
        best_hours = hours;
      }
    } else {
      const double longer = hours * job.gpus / own[c];
      if (shrunk == kClasses || longer < shrunk_hours) {
        shrunk = c;
        shrunk_hours = longer;
      }
    }
  }
  if (best != kClasses) return world.Start(id, best);
  if (!is_too_large || shrunk == kClasses || world.held_milli(job.tenant, shrunk) > 0) return false;
  if (job.deadline_ms != kNever &&
      static_cast<double>(world.now_ms()) + std::ceil(shrunk_hours * kHourMs) > static_cast<double>(job.deadline_ms)) {
    return false;
  }
  return world.StartShrunk(id, shrunk, own[shrunk]);
}

bool QueuePolicy::TryStart(World& world, JobId id) const {
  if (rule_ == QueueRule::kStatic) return TryStartOwn(world, id);
  const std::optional<std::size_t> free = world.BestFree(id);
  return free && world.Start(id, *free);
}

// Lines in order of rank, which changes with each start. What did not fit once does not fit later in one decision,
// because nothing is given back meanwhile: each job is looked at once.
void QueuePolicy::Serve(World& world, std::vector<std::vector<JobId>>& lines) {
  std::vector<std::size_t> cursors(lines.size(), 0);
  std::vector<std::vector<JobId>> started(lines.size());
  while (world.free_milli() > 0) {
    std::size_t next = lines.size();
    double least = 0;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (cursors[i] == lines[i].size()) continue;
      const double rank = Rank(world, i);
      if (next == lines.size() || rank < least) {
        next = i;
        least = rank;
      }
    }
    if (next == lines.size()) break;
    std::size_t& cursor = cursors[next];
    while (cursor < lines[next].size()) {
      const JobId id = lines[next][cursor++];
      if (TryStart(world, id)) {
        started[next].push_back(id);
        break;
      }
    }
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    for (const JobId id : started[i]) Erase(waiting_[i], id);
  }
}

// Devices of `slot_class` from the newest jobs of those furthest above their quota, none of whom falls below it.
bool QueuePolicy::TakeBack(World& world, JobId id) {
  const Job& job = world.job(id);
  const double fair = quotas_[job.tenant] * capacity_milli_;
  if (static_cast<double>(world.held_milli(job.tenant) + job.units_milli()) > fair) return false;
  std::vector<std::size_t> classes;
  for (std::size_t c = 0; c < kClasses; ++c) {
    if (world.HoursOn(id, c) > 0) classes.push_back(c);
  }
  std::sort(classes.begin(), classes.end(), [&](std::size_t a, std::size_t b) { return job.hours[a] < job.hours[b]; });
  for (const std::size_t c : classes) {
    std::vector<double> held;
    for (std::size_t i = 0; i < quotas_.size(); ++i) held.push_back(static_cast<double>(world.held_milli(i)));
    std::vector<JobId> candidates;
    for (const JobId other : world.running()) {
      if (world.state(other).slot_class == c && world.job(other).tenant != job.tenant) candidates.push_back(other);
    }
    const auto above = [&](JobId other) {
      const std::size_t tenant = world.job(other).tenant;
      return static_cast<double>(world.held_milli(tenant)) / std::max(quotas_[tenant], 1e-9);
    };
    std::sort(candidates.begin(), candidates.end(), [&](JobId a, JobId b) {
      const double one = above(a);
      const double two = above(b);
      if (one != two) return one > two;
      const std::int64_t since_a = world.state(a).held_from_ms;
      const std::int64_t since_b = world.state(b).held_from_ms;
      return since_a != since_b ? since_a > since_b : a > b;
    });
    std::uint64_t free = world.pool(c).free_milli();
    std::vector<JobId> victims;
    for (const JobId other : candidates) {
      if (free >= job.units_milli()) break;
      const std::size_t tenant = world.job(other).tenant;
      const auto milli = static_cast<double>(world.job(other).units_milli());
      if (held[tenant] - milli < quotas_[tenant] * capacity_milli_) continue;
      held[tenant] -= milli;
      free += world.job(other).units_milli();
      victims.push_back(other);
    }
    if (free < job.units_milli() || victims.empty()) continue;
    for (const JobId victim : victims) {
      world.Stop(victim);
      Insert(waiting_[world.job(victim).tenant], victim);
    }
    return world.Start(id, c);  // false for a share that is free in pieces only; its victims start again below
  }
  return false;
}

void QueuePolicy::Reclaim(World& world) {
  bool has_stopped = false;
  for (std::size_t line = 0; line < waiting_.size(); ++line) {
    std::size_t looked = 0;
    for (std::size_t i = 0; i < waiting_[line].size() && looked < kReclaimersMax; ++looked) {
      const JobId id = waiting_[line][i];
      if (TakeBack(world, id)) {
        Erase(waiting_[line], id);
        has_stopped = true;
      } else {
        ++i;
      }
    }
  }
  if (has_stopped && world.free_milli() > 0) Serve(world, waiting_);
}

void QueuePolicy::Decide(World& world) {
  if (is_freed_) {
    Serve(world, waiting_);
  } else {
    Serve(world, fresh_);
  }
  if (rule_ == QueueRule::kLendingReclaim) Reclaim(world);
  is_freed_ = false;
  for (std::vector<JobId>& line : fresh_) line.clear();
}

}  // namespace accelmesh::sim
