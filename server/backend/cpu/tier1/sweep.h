// Blocks whose threads all go one way: a straight line of operations, run for one warp of the block after the other
// without masks. Private to this folder.
//
// What all threads of the block have in common is computed once; so is whether they do go that way, and whether they
// may touch what they will. If not, nothing has happened yet, and the block runs as any other. Only for blocks that are
// one row of whole warps: there %tid.x counts up from the first thread to the last.
#pragma once

#include <vector>

#include "server/backend/cpu/tier1/analysis.h"

namespace accelmesh::tier1 {

struct Sweep {
  tier0::Program program;  // the line: no branches, no exit, and no guards that are expected to hold
  // Of the line. Uniform and affine mean all threads of a block here. An affine row is what thread 0 has, while the
  // operations of `once` run, and then what lane 0 of the warp has.
  Plan plan;
  std::vector<bool> once;  // of each operation: runs once for the block
  // What branches and guards go by, which are operations of `once`.
  struct Expected {
    std::uint32_t predicate = 0;
    bool holds = false;
  };
  std::vector<Expected> expected;
};

// False if there is no such line, or none that reads or writes device memory.
bool FindSweep(const tier0::Program& program, const Plan& plan, Sweep* sweep);

}  // namespace accelmesh::tier1
