// mesh-run by the market: wins leases, starts the program with them, keeps them while it runs, gives them back.
//
// Threads: takes the process over; call once, before any other thread has begun.
#pragma once

#include "tools/mesh_run/options.h"

namespace accelmesh::mesh_run {

// The status to exit with.
int RunByMarket(const Options& options);

}  // namespace accelmesh::mesh_run
