// The market as a policy: agents bid for jobs that wait, leases stand with their asks, and auction::ClearEpoch decides.
// docs/sim-model.md has the rules and the reasons.
//
// Threads: one. Deterministic per seed.
#pragma once

#include <functional>
#include <map>
#include <queue>
#include <span>
#include <vector>

#include "market/auction/epoch.h"
#include "tools/agent/core/patience.h"
#include "tools/mesh_sim/market/accounts.h"
#include "tools/mesh_sim/market/bids.h"

namespace accelmesh::sim {

struct MarketRules {
  std::int64_t epoch_ms = 60'000;
  std::int64_t lease_ms = kHourMs;
  std::int64_t run_least_ms = 600'000;  // a job's lease is not sold before
  std::int64_t floor_microcredits = 10'000;
  double eta = 0.125;
  double delta = 0.125;
  double budget_days = 30;
  // Agents of jobs without deadline buy the cheapest hours of so many times the best runtime; 0: they bid all that an
  // hour is worth at once.
  double patience_runtimes = 5;
  std::array<std::int64_t, kClasses> weight_milli = {250, 800, 1000};
  market::auction::Rules auction;
};

// What a market did, beside what the world measures.
inline constexpr std::int64_t kTrackMs = 6 * kHourMs;

struct MarketFigures {
  std::uint64_t epochs = 0;   // held
  std::uint64_t cleared = 0;  // of them, with orders on both sides
  std::uint64_t thick = 0;    // classes in epochs that lane B cleared by auction
  std::uint64_t posted = 0;   // classes in epochs that it cleared at the surrogate price
  std::uint64_t lane_a = 0, lane_b = 0, gangs = 0, netted = 0;  // leases won
  std::uint64_t resales = 0;                                    // leases bought from holders
  std::uint64_t lapsed = 0;                                     // leases not renewed
  std::uint64_t cut_bids = 0;                                   // by what their tenant could pay
  std::uint64_t misplaced = 0;                                  // won, and no device had room in one piece
  std::uint64_t below_floor = 0;                                // given up: worth less than the floor price
  std::uint64_t cannot_pay = 0;                                 // given up: no money for an hour at the floor price
  std::uint64_t forgotten = 0;                                  // given up for neither reason; a bug
  std::uint64_t resold_within_hour = 0;
  std::uint32_t longest_chain = 0;  // stops that one arrival led to, each the cause of the next
  std::int64_t budget_error = 0;    // greatest, in microcredits; anything but 0 is a bug
  std::uint64_t outcome_errors = 0;
  ByClass price_mean{};  // credits; in time, from the first arrival to the last
  ByClass price_cv{};
  ByClass price_step{};              // greatest of an epoch, as a part of the price
  std::vector<ByClass> price_track;  // means of kTrackMs each, from the first arrival to the last
};

// How an agent departs from what an honest one bids. The market asks it wherever an agent decides.
class Agents {
 public:
  virtual ~Agents() = default;
  // What it makes of an honest bid, and of an honest ask.
  virtual double BidTimes(const World& world, JobId id) const;
  virtual double AskTimes(const World& world, JobId id) const;
  // Whether the surrogate rule counts a job as if it bid honestly: to tell apart what a lower price gains.
  virtual bool IsCountedTruly(const World& world, JobId id) const;
  virtual bool CountsTruly() const { return false; }  // any
  // Who signs: the tenant, unless it has several names.
  virtual std::uint64_t NameOf(const World& world, JobId id) const;
  // A job that waits for a better moment does not bid in this epoch.
  virtual bool HoldsBack(const World& world, JobId id, bool is_falling) const;
  // Bids of no job, added to an epoch under `name`. What they win `tenant` pays for an hour and drops.
  struct Spoof {
    std::size_t tenant = 0;
    std::uint64_t name = 0;
    std::size_t slot_class = 0;
    std::int64_t units_milli = 0;
    std::int64_t price_microcredits = 0;
  };
  virtual std::vector<Spoof> Spoofs(const World& world, const std::array<std::int64_t, kClasses>& prices) const;
  // Keeps the lease of a job that ended for resale, until its hour is over.
  virtual bool Hoards(std::size_t tenant) const;
  // Of a tenant's part of the income of idle supply.
  virtual double IncomeTimes(std::size_t tenant, std::int64_t now_ms) const;
};

class MarketPolicy : public Policy {
 public:
  // `agents` may be null: all are truthful.
  MarketPolicy(const World& world, const std::vector<double>& quotas, const MarketRules& rules, std::uint64_t seed,
               const Agents* agents = nullptr);

  void Arrived(World& world, JobId id) override;
  void Left(World& world, JobId id) override;
  void Decide(World& world) override;
  std::int64_t WakeAt(const World& world) const override;
  bool IsAtRest(const World& world) const override;

  const Accounts& accounts() const { return accounts_; }
  // What the operator would pay back if all leases of a tenant ended now.
  std::int64_t Prepaid(const World& world, std::size_t tenant) const;
  MarketFigures figures() const;
  const Status& status() const { return status_; }
  std::int64_t price(std::size_t slot_class) const { return prices_[slot_class]; }
  // Called with the input and outcome of each cleared epoch; for tests and for comparing with the best there is.
  using Witness = std::function<void(const market::auction::EpochInput&, const market::auction::EpochOutcome&)>;
  void set_witness(Witness witness) { witness_ = std::move(witness); }

 private:
  // What the operator was paid for a time of a lease, and pays back if it is not used.
  struct Paid {
    std::int64_t from_ms, until_ms;
    double nanocredits_per_hour;
  };
  struct Lease {
    std::int64_t ends_ms = 0;
    std::vector<Paid> paid;
    std::uint32_t serial = 0;
  };
  struct Sold {  // of a lease in this epoch
    std::int64_t ends_ms = 0;
    std::int64_t units_milli = 0;
    std::vector<Paid> paid;
  };
  struct Wish {  // of one job in this epoch
    JobId job;
    std::size_t slot_class;  // where its surplus is largest
    std::int64_t price;      // that it can bid there
    std::int64_t most;       // that its tenant can pay anywhere
    bool is_below;           // the price fixed beforehand
  };
  struct Renewal {
    std::int64_t at_ms;
    JobId job;
    std::uint32_t serial;
    bool operator>(const Renewal& other) const { return at_ms != other.at_ms ? at_ms > other.at_ms : job > other.job; }
  };

  void LaneA(World& world);
  void Epoch(World& world);
  void Renew(World& world);
  void FindWishes(World& world);
  std::int64_t WantedOf(const World& world, const Wish& wish) const;
  void CutToBudgets(const World& world);
  bool Orders(const World& world);
  void Apply(World& world, const market::auction::EpochOutcome& outcome);
  void Settle(World& world, std::span<const market::auction::Trade> trades, std::int64_t surcharge);
  void StepPrices(const World& world, const market::auction::EpochOutcome* outcome);
  double WorthOf(const World& world, JobId id, std::size_t slot_class) const;
  double WorthTimes(const World& world, JobId id) const;
  double NeedOf(const World& world, JobId id, std::size_t slot_class) const;
  double PatientPrice(const World& world, JobId id, std::size_t slot_class) const;
  double HonestBid(const World& world, JobId id, std::size_t slot_class) const;
  double BidFor(const World& world, JobId id, std::size_t slot_class) const;
  double WaitingBid(const World& world, JobId id, std::size_t slot_class) const;
  bool BidsPrice(const World& world, JobId id, std::size_t slot_class, double worth) const;
  void CountTrulyWaiting(const World& world, ByClass& demand);
  void Wait(World& world, JobId id);
  void EndLease(World& world, JobId id);
  void OpenLease(const World& world, JobId id, std::int64_t ends_ms);
  std::int64_t Ask(const World& world, JobId id) const;
  static double UnearnedOf(const Lease& lease, std::int64_t now_ms);  // nanocredits
  std::int64_t Unearned(std::int64_t now_ms) const;
  void PayOut(const World& world);
  void CountUnserved(const World& world, JobId id);
  void TrackPrices(const World& world);
  void DropHoarded(World& world);

  const std::vector<double> quotas_;
  const MarketRules rules_;
  const std::uint64_t seed_;
  const Agents truthful_;
  const Agents& agents_;
  const std::int64_t lot_milli_;  // a device, if all jobs take whole ones
  Accounts accounts_;
  WaitingBids waiting_;
  std::vector<Lease> leases_;  // by job
  std::vector<JobId> fresh_;   // arrived since the last decision
  std::priority_queue<Renewal, std::vector<Renewal>, std::greater<>> renewals_;
  std::array<std::int64_t, kClasses> prices_{};
  std::array<bool, kClasses> is_falling_{};
  std::array<agent::PriceHistory, kClasses> history_;
  ByClass part_below_{};                  // of the history, the price of this epoch
  std::vector<std::uint32_t> chain_;      // stops that led to a job's own
  std::vector<std::int64_t> stopped_ms_;  // when its lease was sold last
  // Of a job that waits: what it needs on each class, and until when it waits for cheap hours (0: it does not).
  struct Waits {
    ByClass needed_ms{};
    double until_ms = 0;
  };
  std::vector<Waits> waits_;
  std::vector<std::uint64_t> seen_;     // epoch in which a job was looked at
  std::vector<std::uint64_t> counted_;  // epoch in which it was counted as demand
  std::vector<JobId> hoarded_;          // ended jobs whose leases are kept
  std::vector<Wish> wishes_;            // of the epoch being cleared, which is input_
  market::auction::EpochInput input_;
  market::auction::Clearing clearing_;
  std::map<JobId, Sold> sold_;         // of the epoch being applied
  std::vector<Agents::Spoof> spoofs_;  // of the epoch being cleared
  std::int64_t last_epoch_ms_ = -1;
  std::int64_t last_payout_ms_ = 0;
  std::int64_t still_since_ms_ = kNever;  // since then nothing runs, arrives or trades
  MarketFigures figures_;
  std::array<double, kClasses> price_sum_{}, price_squares_{};
  std::uint64_t price_count_ = 0;
  std::vector<std::pair<ByClass, double>> track_;  // sums and counts of MarketFigures::price_track
  Witness witness_;
  Status status_;
};

}  // namespace accelmesh::sim
