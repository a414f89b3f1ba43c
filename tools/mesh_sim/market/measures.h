// What a run is judged by (docs/sim-model.md, Measures), and its file.
//
// Threads: functions on values.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tools/mesh_sim/market/market_policy.h"

namespace accelmesh::sim {

// Of one (policy, load, seed). Times in hours; parts from 0 to 1.
struct Measures {
  double utilisation = 0;
  double wait_mean = 0, wait_p95 = 0, wait_p99 = 0;
  double wait_ended = 0;  // mean, of jobs that ended
  double completion_mean = 0, completion_p95 = 0, completion_p99 = 0;
  double welfare = 0;           // of the values of all jobs
  double welfare_deadline = 0;  // of those with deadlines
  double slo = 0;               // jobs with deadline that ended in time, of all with one
  double ended = 0;             // of all jobs
  double withdrawn = 0;         // of all jobs: they could not end in time any more
  double unserved = 0;          // of all jobs: without deadline, and given up at the end
  double unserved_value = 0;    // of the values of all jobs
  double jain = 0;              // over tenants' mean slowdown
  double stops_per_job = 0;
  double price_cv = 0, price_step = 0;    // market only
  std::vector<double> tenant_completion;  // mean hours by tenant; 0: none of its jobs ended
  double seconds = 0;                     // that the run took; not a result
  double cpu_seconds = 0;                 // of its thread
  std::map<std::string, double> market;   // figures of the market, by name
  std::vector<ByClass> price_track;       // credits; MarketFigures
};

Measures Measure(const World& world, const MarketFigures* figures);

// Percentile of values by nearest rank; sorts them. 0 of none.
double Percentile(std::vector<double>& values, double part);
// Jain's index: 1 if all are alike, 1/n if one has everything; 1 of none.
double JainOf(const std::vector<double>& values);

// A result as its file holds it, and back. nullopt for a file that is cut short or no result, as a kill leaves it.
std::string JsonOf(const Measures& measures);
std::optional<Measures> MeasuresOf(const std::string& json);

}  // namespace accelmesh::sim
