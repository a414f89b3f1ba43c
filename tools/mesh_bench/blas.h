// The rows on cuBLAS: what a posted product costs the client, what a step of a transformer costs and sends, near and
// far, and how fast the cpu backend multiplies beside OpenBLAS called directly. They are the numbers of issue 5.
//
// Threads: one; forks.
#pragma once

#include <string>
#include <vector>

#include "tools/mesh_bench/measure.h"
#include "tools/mesh_bench/report.h"

namespace accelmesh::bench {

struct BlasOptions {
  const Programs& programs;
  Placement placement;
  std::string transport;
  std::string only;  // part of the names of the rows that are wanted
  bool quick = false;
};

// Appends its rows; none, saying so, where the programs were not built.
void MeasureBlas(const BlasOptions& options, std::vector<Row>& rows);

}  // namespace accelmesh::bench
