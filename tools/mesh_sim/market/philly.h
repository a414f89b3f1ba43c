// Gavel's traces and throughputs as they are read; for jobs.h's ReadPhilly() and for tests.
//
// Threads: functions on values.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "tools/mesh_sim/market/jobs.h"

namespace accelmesh::sim {

// Steps a second on each class (0: does not run) of a job type at a scale factor, alone on its devices.
struct Throughputs {
  std::map<std::pair<std::string, std::uint32_t>, ByClass> steps_per_s;

  // Of the scale factor, else of scale 1 times the factor; all 0 if the type is unknown.
  ByClass Of(const std::string& type, std::uint32_t scale) const;
};

Result<Throughputs> ParseThroughputs(std::string_view json, const std::string& file);

// The regular files of a tar archive (ustar), by name without folders, in the archive's order.
Result<std::vector<std::pair<std::string, std::string_view>>> FilesOfTar(std::string_view tar, const std::string& file);

// Appends a tenant of one .tsv: job type, steps, arrival (s), scale factor.
Status ParsePhillyTenant(std::string_view text, const std::string& tenant, const Throughputs& throughputs,
                         std::map<std::pair<std::string, std::uint32_t>, std::uint32_t>& kinds, JobWorkload& workload);

}  // namespace accelmesh::sim
