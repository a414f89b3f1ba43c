// The rows on rdma: a call and copies over it beside perftest's ib_send_lat, ib_write_lat and ib_write_bw on the same
// device, alternated, so that both see the same machine; medians of five. They are the numbers of issue 9.
//
// A device of software (Soft-RoCE) is named in every row: what it takes says nothing of RDMA.
//
// Threads: one; forks.
#pragma once

#include <string>
#include <vector>

#include "tools/mesh_bench/measure.h"
#include "tools/mesh_bench/report.h"

namespace accelmesh::bench {

struct RdmaOptions {
  const Programs& programs;
  Placement placement;
  std::string address;  // of the device
  std::string only;     // part of the names of the rows that are wanted
  bool quick = false;
};

// Appends its rows; one with an error where perftest or the device is missing.
void MeasureRdma(const RdmaOptions& options, std::vector<Row>& rows);

}  // namespace accelmesh::bench
