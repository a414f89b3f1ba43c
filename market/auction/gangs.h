// Gangs: who gets its bundle, and what the least value was with which it would have.
//
// Bundles are taken greedily by value / sqrt(normalised units) while they fit; of a gang's bundles only the first that
// does (D. Lehmann, L. O'Callaghan, Y. Shoham, "Truth Revelation in Approximately Efficient Combinatorial Auctions",
// Journal of the ACM 49, 2002, sections 5 and 6). A winner's critical value follows from the same greedy run without
// it: the first bundle that is taken there and after which its own no longer fits is the one that it had to come
// before. With more value a bundle only moves forward, so paying the critical value leaves nothing to gain for a gang
// with one bundle.
//
// The roots are of integers, and ranks are compared by products, so that every machine finds the same order.
//
// Cost: the run without a winner differs from the run with it only in classes that its units have touched, and that is
// all that is looked at: bundles carry their classes as bits of a word, and a word rules most of them out.
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
    std::int64_t value = 0;
    std::uint64_t root = 1;  // of the normalised units; RootOf()
    std::uint64_t tie = 0;   // of equal ranks the smaller one is first, then the smaller gang, then the smaller bundle
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
    std::int64_t critical = 0;  // the least value with which this row would have won; 0: any
  };
  std::vector<Won> won;              // by gang
  std::vector<std::int64_t> to_win;  // for each row of a gang that got nothing: as `critical`; -1: of one that did
};

// Sorts table.rows by rank.
GangResult AllocateGangs(GangTable& table);

}  // namespace accelmesh::market::auction
