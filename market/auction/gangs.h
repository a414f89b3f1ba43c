// Lane C: who gets its bundle, and what the least value was with which it would have.
//
// Bundles are taken greedily by (value - reserves) / sqrt(normalised units) while they fit; of a gang's bundles only
// the first that does (D. Lehmann, L. O'Callaghan, Y. Shoham, "Truth Revelation in Approximately Efficient
// Combinatorial Auctions", Journal of the ACM 49, 2002, sections 5 and 6, where the rank is value / sqrt(units):
// reserves are fixed beforehand, so that what is beyond them ranks as truthfully, and of one gang's bundles the one
// that gains it most comes first). A bid for one lot is a gang of one bundle. A winner's critical value follows from
// the same greedy run without it: it had to come before the first bundle after which its own no longer fits. That is
// the first one that was refused and that would have fitted with the winner's units: up to there both runs take the
// same, and one that needs some of the winner's units leaves less of them than the winner needs. With more value a
// bundle only moves forward, so paying the critical value leaves nothing to gain for a gang with one bundle.
//
// The roots are of integers, and ranks are compared by products, so that every machine finds the same order.
//
// Cost: of each winner, the refused bundles of its classes up to the one that it had to pass; winners of one class and
// size share that walk.
//
// Pure. Threads: functions on values.
#pragma once

#include <vector>

#include "market/auction/units.h"

namespace accelmesh::market::auction {

// Bundles that may win, in flat arrays. Classes are places in `supply`.
struct GangTable {
  struct Need {
    std::uint32_t place = 0;
    std::int64_t units = 0;
  };
  struct Row {
    std::uint32_t gang = 0;  // a number below `gangs`
    std::uint32_t bundle = 0;
    std::int64_t excess = 0;  // what is bid beyond the reserves, nanocredits an hour; negative: is_out
    std::uint64_t root = 1;   // of the normalised units; RootOf()
    std::uint64_t tie = 0;    // of equal ranks the smaller one is first, then the smaller gang, then the smaller bundle
    std::uint32_t needs_begin = 0;
    std::uint32_t needs_end = 0;
    bool is_out = false;  // below its reserve: wins nothing, and is only told what it had to bid
  };
  std::vector<std::int64_t> supply;
  std::vector<Need> needs;
  std::vector<Row> rows;
  std::uint32_t gangs = 0;
};

// The square root of units_milli x weight_milli, times 128, rounded down: finer than a ten-thousandth for a whole unit
// of weight 1. Never 0. Precondition: at most kUnitsMilliMax * kPartsPerBundleMax * kWeightMilliMax.
std::uint64_t RootOf(std::int64_t weighted_units);

struct GangResult {
  struct Won {
    std::uint32_t row = 0;
    std::int64_t critical = 0;  // the least excess with which this row would have won; 0: any
  };
  std::vector<Won> won;              // by gang
  std::vector<std::int64_t> to_win;  // for each row of a gang that got nothing: as `critical`; -1: of one that did
};

// Sorts table.rows by rank.
GangResult AllocateGangs(GangTable& table);

}  // namespace accelmesh::market::auction
