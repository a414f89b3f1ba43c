#include "tools/mesh_sim/market/world.h"

#include <algorithm>
#include <cmath>

namespace accelmesh::sim {

World::World(const std::vector<Job>& jobs, const Gpus& gpus, std::size_t tenants, const WorldRules& rules)
    : jobs_(jobs), tenants_(tenants), rules_(rules), states_(jobs.size()), held_(tenants), place_(jobs.size()) {
  for (const std::uint32_t count : gpus) pools_.emplace_back(count);
  if (!jobs.empty()) {
    first_ms_ = jobs.front().arrival_ms;
    last_ms_ = jobs.back().arrival_ms;
  }
}

std::uint64_t World::free_milli() const {
  std::uint64_t sum = 0;
  for (const Pool& pool : pools_) sum += pool.free_milli();
  return sum;
}

double World::there_milli_ms() const {
  double milli = 0;
  for (const Pool& pool : pools_) milli += static_cast<double>(pool.capacity_milli());
  return milli * static_cast<double>(last_ms_ - first_ms_);
}

double World::Left(JobId id) const {
  const JobState& state = states_[id];
  if (state.phase != Phase::kRunning || now_ms_ <= state.proceeds_ms) return state.left;
  if (now_ms_ >= state.ends_ms) return 0;
  return state.left * static_cast<double>(state.ends_ms - now_ms_) /
         static_cast<double>(state.ends_ms - state.proceeds_ms);
}

double World::HoursOn(JobId id, std::size_t slot_class) const {
  const Job& job = jobs_[id];
  const double hours = job.hours[slot_class];
  if (hours <= 0 || (!rules_.ignores_slowness && hours > kAcceptedSlowness * job.best_hours)) return 0;
  const double needs =
      Left(id) * hours + (states_[id].was_stopped ? static_cast<double>(rules_.restart_ms) / kHourMs : 0.0);
  if (job.deadline_ms != kNever && now_ms_ + static_cast<std::int64_t>(std::ceil(needs * kHourMs)) > job.deadline_ms) {
    return 0;
  }
  return needs;
}

std::optional<std::size_t> World::BestFree(JobId id) const {
  const Job& job = jobs_[id];
  std::optional<std::size_t> best;
  for (std::size_t c = 0; c < kClasses; ++c) {
    if (job.hours[c] <= 0 || (best && job.hours[c] >= job.hours[*best])) continue;
    if (pools_[c].Fits(job.gpus, job.share_milli) && HoursOn(id, c) > 0) best = c;
  }
  return best;
}

bool World::Start(JobId id, std::size_t slot_class) { return StartShrunk(id, slot_class, jobs_[id].gpus); }

bool World::StartShrunk(JobId id, std::size_t slot_class, std::uint32_t gpus) {
  JobState& state = states_[id];
  const Job& job = jobs_[id];
  if (state.phase != Phase::kWaiting || gpus == 0 || job.hours[slot_class] <= 0) return false;
  const std::optional<std::uint32_t> device = pools_[slot_class].Take(gpus, job.share_milli);
  if (!device) return false;
  held_[job.tenant][slot_class] += std::uint64_t{gpus} * job.share_milli;
  state.phase = Phase::kRunning;
  state.slot_class = static_cast<std::uint8_t>(slot_class);
  state.gpus = gpus;
  state.device = *device;
  state.held_from_ms = now_ms_;
  state.proceeds_ms = now_ms_ + (state.was_stopped ? rules_.restart_ms : 0);
  const double hours = state.left * job.hours[slot_class] * job.gpus / gpus;
  state.ends_ms = state.proceeds_ms + std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(hours * kHourMs)));
  place_[id] = static_cast<std::uint32_t>(running_.size());
  running_.push_back(id);
  events_.push({state.ends_ms, id, ++state.version});
  if (state.ends_ms > job.deadline_ms) events_.push({HopelessAt(id), id, kWithdrawal});
  return true;
}

void World::Release(JobId id) {
  JobState& state = states_[id];
  const Job& job = jobs_[id];
  pools_[state.slot_class].Give(state.gpus, job.share_milli, state.device);
  const std::uint64_t milli = std::uint64_t{state.gpus} * job.share_milli;
  held_[job.tenant][state.slot_class] -= milli;
  state.held_ms += now_ms_ - state.held_from_ms;
  const std::int64_t from = std::max(state.held_from_ms, first_ms_);
  const std::int64_t to = std::min(now_ms_, last_ms_);
  if (to > from) let_milli_ms_ += static_cast<double>(to - from) * static_cast<double>(milli);
  ++state.version;
  state.gpus = 0;
  state.ends_ms = kNever;
  const std::uint32_t place = place_[id];
  running_[place] = running_.back();
  place_[running_[place]] = place;
  running_.pop_back();
}

void World::Stop(JobId id, std::int64_t lost_ms) {
  JobState& state = states_[id];
  if (state.phase != Phase::kRunning) return;
  double left = Left(id);
  if (lost_ms > 0 && now_ms_ > state.proceeds_ms) {
    const double per_ms = state.left / static_cast<double>(state.ends_ms - state.proceeds_ms);
    left = std::min(state.left, left + per_ms * static_cast<double>(lost_ms));
  }
  Release(id);
  state.left = left;
  state.phase = Phase::kWaiting;
  state.was_stopped = true;
  ++state.stops;
  if (jobs_[id].deadline_ms != kNever) events_.push({std::max(now_ms_, LatestStart(id)) + 1, id, kWithdrawal});
}

bool World::Hold(JobId id) {
  const std::optional<std::uint32_t> device =
      pools_[states_[id].slot_class].Take(jobs_[id].gpus, jobs_[id].share_milli);
  if (device) states_[id].device = *device;
  return device.has_value();
}

void World::Unhold(JobId id) {
  pools_[states_[id].slot_class].Give(jobs_[id].gpus, jobs_[id].share_milli, states_[id].device);
}

std::int64_t World::LatestStart(JobId id) const {
  const Job& job = jobs_[id];
  const double hours = states_[id].left * job.best_hours +
                       (states_[id].was_stopped ? static_cast<double>(rules_.restart_ms) / kHourMs : 0);
  return job.deadline_ms - static_cast<std::int64_t>(std::ceil(hours * kHourMs));
}

bool World::IsHopeless(JobId id) const {
  const JobState& state = states_[id];
  const Job& job = jobs_[id];
  if (job.deadline_ms == kNever) return false;
  if (state.phase == Phase::kWaiting) return LatestStart(id) < now_ms_;
  const double hours = Left(id) * job.best_hours + static_cast<double>(rules_.restart_ms) / kHourMs;
  return state.ends_ms > job.deadline_ms &&
         now_ms_ + static_cast<std::int64_t>(std::ceil(hours * kHourMs)) > job.deadline_ms;
}

// What is left falls by 1 in `run` and would take `best` elsewhere, which is less: now + left x best grows all the
// time.
std::int64_t World::HopelessAt(JobId id) const {
  const JobState& state = states_[id];
  const Job& job = jobs_[id];
  const auto run = static_cast<double>(state.ends_ms - state.proceeds_ms);
  const double best = state.left * job.best_hours * kHourMs;
  const double spare = static_cast<double>(job.deadline_ms - rules_.restart_ms - state.proceeds_ms) - best;
  const double after = best < run ? spare / (1 - best / run) : 0;
  return std::clamp(state.proceeds_ms + static_cast<std::int64_t>(std::max(after, 0.0)), now_ms_, job.deadline_ms) + 1;
}

void World::Withdraw(JobId id, Phase how, Policy& policy) {
  states_[id].phase = how;
  states_[id].over_ms = now_ms_;
  ++over_;
  policy.Left(*this, id);
}

void World::GiveUpWaiting(Policy& policy) {
  for (JobId id = 0; id < jobs_.size(); ++id) {
    const bool waits = states_[id].phase == Phase::kWaiting;
    if (waits && jobs_[id].deadline_ms == kNever) Withdraw(id, Phase::kUnserved, policy);
  }
}

Status World::Run(Policy& policy) { return RunUntil(policy, kNever); }

Status World::RunUntil(Policy& policy, std::int64_t until_ms) {
  std::int64_t stuck = 0;
  while (over_ < jobs_.size()) {
    const std::int64_t wake = std::max(policy.WakeAt(*this), now_ms_);
    std::int64_t next = wake;
    if (arrived_ < jobs_.size()) next = std::min(next, jobs_[arrived_].arrival_ms);
    if (!events_.empty()) next = std::min(next, events_.top().at_ms);
    if (next == kNever) {
      return {Code::kInternal, "World.Run",
              std::to_string(jobs_.size() - over_) + " jobs wait for what never comes; the policy forgets them"};
    }
    if (next > until_ms) {
      now_ms_ = until_ms;
      return Status::Ok();
    }
    stuck = next == now_ms_ ? stuck + 1 : 0;
    if (stuck > 1'000'000) return {Code::kInternal, "World.Run", "the policy wakes for ever at one instant"};
    now_ms_ = next;
    for (; arrived_ < jobs_.size() && jobs_[arrived_].arrival_ms <= now_ms_; ++arrived_) {
      const auto id = static_cast<JobId>(arrived_);
      states_[id].phase = Phase::kWaiting;
      if (jobs_[id].deadline_ms != kNever) events_.push({LatestStart(id) + 1, id, kWithdrawal});
      policy.Arrived(*this, id);
    }
    while (!events_.empty() && events_.top().at_ms <= now_ms_) {
      const Event event = events_.top();
      events_.pop();
      JobState& state = states_[event.job];
      if (event.version == kWithdrawal) {
        // A job that was stopped or started meanwhile has an event of its own.
        const bool runs = state.phase == Phase::kRunning;
        if ((!runs && state.phase != Phase::kWaiting) || !IsHopeless(event.job)) continue;
        if (runs) {
          state.left = Left(event.job);
          Release(event.job);
        }
        Withdraw(event.job, Phase::kWithdrawn, policy);
      } else if (state.phase == Phase::kRunning && event.version == state.version) {
        Release(event.job);
        state.left = 0;
        state.phase = Phase::kEnded;
        state.over_ms = now_ms_;
        ++over_;
        policy.Left(*this, event.job);
      }
    }
    policy.Decide(*this);
    if (arrived_ == jobs_.size() && running_.empty() && policy.IsAtRest(*this)) GiveUpWaiting(policy);
  }
  return Status::Ok();
}

}  // namespace accelmesh::sim
