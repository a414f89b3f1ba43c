// mesh-run's command line.
//
// Threads: a function.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "scheduler/core/request.h"
#include "tools/agent/core/predict.h"
#include "tools/agent/core/scale_down.h"
#include "tools/agent/negotiator.h"

namespace accelmesh::mesh_run {

struct Options {
  std::string server;  // empty: by the market
  bool stats = false;
  bool explain = false;
  std::string json;
  std::vector<std::string> program;  // at least one word

  // By the market.
  std::string market;      // URLs, by commas
  std::string market_key;  // as FindMarketKey() takes it
  std::string transport;   // the only way to go; empty: the nearest
  std::string identity = "default";
  std::string keys;  // folder; empty: the user's
  scheduler::FunctionalRequest asked;
  agent::Policy policy = agent::Policy::kCost;
  agent::NothingOption when_nothing;
  std::int64_t lease_us = 0;
  std::int64_t cheap_within_us = 0;  // agent::Wish
  bool witness = true;
  bool profile = true;
  agent::SellPolicy sell;
};

// The options, or the status to exit with; what is wrong, and help, are said.
struct Parsed {
  std::optional<Options> options;
  int status = 0;
};
Parsed ParseCommandLine(int argc, char** argv);

}  // namespace accelmesh::mesh_run
