// What mesh-bench found, as a table for people and as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "protocol/base/result.h"
#include "tools/mesh_bench/measure.h"

namespace accelmesh::bench {

// What a number has to be. Compared with the measured value, or with its ratio to the floor.
struct Target {
  enum class Of { kNone, kMeasured, kRatio };
  Of of = Of::kNone;
  bool at_most = false;  // else at least
  double value = 0;
};

struct Row {
  std::string what;
  std::string backend;
  std::string transport;
  std::string placement;
  std::string unit;
  double measured = 0;
  std::string floor_name;
  std::optional<double> floor;
  Target target;
  Messages messages;
  std::string note;   // how it was measured, where the name does not say it
  std::string error;  // why there is no number

  std::optional<double> Ratio() const;
  // Nothing if there is no target.
  std::optional<bool> Met() const;
};

struct Machine {
  std::string processor;
  int cpus = 0;
  std::string load;  // /proc/loadavg when the run began
};
Machine DescribeMachine();

std::string FormatTable(const Machine& machine, const std::vector<Row>& rows);
Status WriteJson(const std::string& path, const Machine& machine, const std::vector<Row>& rows);

}  // namespace accelmesh::bench
