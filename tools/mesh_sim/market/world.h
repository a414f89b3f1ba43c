// The world that a policy decides in: jobs that arrive, wait, run, pause, end or are withdrawn, and the devices, under
// a virtual clock. Events of one instant are all taken in before the policy decides, so that their order does not
// count. What is measured is written down here, so that no policy measures itself.
//
// Threads: one. Deterministic: the same jobs, devices and decisions give the same history.
#pragma once

#include <cstdint>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "tools/mesh_sim/market/jobs.h"
#include "tools/mesh_sim/market/pool.h"

namespace accelmesh::sim {

struct WorldRules {
  std::int64_t restart_ms = 60'000;  // a job that was stopped holds its devices so long before it proceeds
  bool ignores_slowness = false;     // every class with a throughput is accepted (Gavel's)
};

// kWithdrawn: it could not end in time any more. kUnserved: it had no deadline, and nothing would ever have started it.
enum class Phase : std::uint8_t { kFuture, kWaiting, kRunning, kEnded, kWithdrawn, kUnserved };

using JobId = std::uint32_t;

struct JobState {
  Phase phase = Phase::kFuture;
  std::uint8_t slot_class = 0;
  bool was_stopped = false;
  std::uint32_t gpus = 0;     // held now; below the job's if it runs shrunk
  std::uint32_t device = 0;   // of a share
  std::uint32_t version = 0;  // of its end, so that an event of an earlier start is told apart
  std::uint32_t stops = 0;
  double left = 1.0;              // part of the work, as of proceeds_ms
  std::int64_t held_from_ms = 0;  // of this run
  std::int64_t proceeds_ms = 0;   // of this run, after a restart
  std::int64_t ends_ms = kNever;  // of this run
  std::int64_t held_ms = 0;       // of earlier runs
  std::int64_t over_ms = kNever;  // ended, withdrawn or unserved
};

class Policy;

class World {
 public:
  World(const std::vector<Job>& jobs, const Gpus& gpus, std::size_t tenants, const WorldRules& rules);

  // Runs to the end: no job is left that waits, runs or is to come. Jobs that a policy will never start, as it says
  // itself (IsAtRest), are given up. kInternal if it leaves jobs and does not say so, or calls itself for ever.
  Status Run(Policy& policy);
  // Stops at `until_ms` instead, with jobs as they are then.
  Status RunUntil(Policy& policy, std::int64_t until_ms);

  std::int64_t now_ms() const { return now_ms_; }
  const std::vector<Job>& jobs() const { return jobs_; }
  const Job& job(JobId id) const { return jobs_[id]; }
  const JobState& state(JobId id) const { return states_[id]; }
  const Pool& pool(std::size_t slot_class) const { return pools_[slot_class]; }
  std::size_t tenants() const { return tenants_; }
  const WorldRules& rules() const { return rules_; }
  std::uint64_t held_milli(std::size_t tenant, std::size_t slot_class) const { return held_[tenant][slot_class]; }
  std::uint64_t held_milli(std::size_t tenant) const { return held_[tenant][0] + held_[tenant][1] + held_[tenant][2]; }
  std::uint64_t free_milli() const;
  const std::vector<JobId>& running() const { return running_; }  // in no order that means something

  // Part of its work that is left now.
  double Left(JobId id) const;
  // Hours that it would hold `slot_class` if it started there now on all its GPUs, a restart included; 0: not accepted.
  double HoursOn(JobId id, std::size_t slot_class) const;
  // The accepted classes that have room, the one where it ends first at the front.
  std::optional<std::size_t> BestFree(JobId id) const;

  // False, and nothing done, if there is no room. `gpus` below the job's own run it slower in proportion.
  bool Start(JobId id, std::size_t slot_class);
  bool StartShrunk(JobId id, std::size_t slot_class, std::uint32_t gpus);
  // Back to waiting. `lost_ms` of its progress are lost with it, at most what this run made.
  void Stop(JobId id, std::int64_t lost_ms = 0);

  // Devices as an ended job had them, kept by its owner for nothing, and given back. False if they are gone.
  bool Hold(JobId id);
  void Unhold(JobId id);

  // GPU-milliseconds x 1000 let between the first and the last arrival, and how many there were.
  double let_milli_ms() const { return let_milli_ms_; }
  double there_milli_ms() const;
  std::int64_t first_arrival_ms() const { return first_ms_; }
  std::int64_t last_arrival_ms() const { return last_ms_; }

 private:
  struct Event {
    std::int64_t at_ms;
    JobId job;
    std::uint32_t version;  // of an end; kWithdrawal
    bool operator>(const Event& other) const {
      return at_ms != other.at_ms ? at_ms > other.at_ms : job != other.job ? job > other.job : version > other.version;
    }
  };
  static constexpr std::uint32_t kWithdrawal = 0xffffffff;

  void Release(JobId id);
  // When a waiting job must start at the latest to end in time.
  std::int64_t LatestStart(JobId id) const;
  // It cannot end in time any more, not even if it moved to its best class.
  bool IsHopeless(JobId id) const;
  // When a job that runs too slowly to end in time becomes hopeless.
  std::int64_t HopelessAt(JobId id) const;
  void Withdraw(JobId id, Phase how, Policy& policy);
  // Jobs without deadline that wait: their owners give up.
  void GiveUpWaiting(Policy& policy);

  const std::vector<Job>& jobs_;
  const std::size_t tenants_;
  const WorldRules rules_;
  std::vector<JobState> states_;
  std::vector<Pool> pools_;
  std::vector<std::array<std::uint64_t, kClasses>> held_;  // by tenant
  std::vector<JobId> running_;
  std::vector<std::uint32_t> place_;  // in running_
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::size_t arrived_ = 0;
  std::size_t over_ = 0;
  std::int64_t now_ms_ = 0;
  std::int64_t first_ms_ = 0;
  std::int64_t last_ms_ = 0;
  double let_milli_ms_ = 0;
};

// What decides. Told of every change first, then asked once for each instant.
class Policy {
 public:
  virtual ~Policy() = default;
  virtual void Arrived(World& world, JobId id) = 0;
  // It ended, was withdrawn or is given up (then it held nothing).
  virtual void Left(World& world, JobId id) = 0;
  virtual void Decide(World& world) = 0;
  // Asked when nothing runs and nothing is to arrive: it will start none of those that wait, however long they do.
  virtual bool IsAtRest(const World& world) const {
    (void)world;
    return false;
  }
  // When it wants to decide although nothing happened; kNever: not.
  virtual std::int64_t WakeAt(const World& world) const {
    (void)world;
    return kNever;
  }
};

}  // namespace accelmesh::sim
