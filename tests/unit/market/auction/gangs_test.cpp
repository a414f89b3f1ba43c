#include "market/auction/gangs.h"

#include <gtest/gtest.h>

#include "tests/unit/market/auction/reference.h"
#include "tests/unit/market/auction/worlds.h"

namespace accelmesh::market::auction {
namespace {

struct Both {
  GangTable table;
  std::vector<ReferenceBundle> bundles;
};

Both RandomGangs(Random& random, std::size_t classes, std::uint32_t gangs, std::size_t bundles_max,
                 std::int64_t units_max, std::int64_t value_max) {
  Both both;
  for (std::size_t c = 0; c < classes; ++c) both.table.supply.push_back(Between(random, 0, 3 * units_max));
  both.table.gangs = gangs;
  for (std::uint32_t gang = 0; gang < gangs; ++gang) {
    const std::uint64_t tie = random() % 3;
    const auto bundles = static_cast<std::uint32_t>(1 + random() % bundles_max);
    for (std::uint32_t b = 0; b < bundles; ++b) {
      GangTable::Row row;
      row.gang = gang;
      row.bundle = b;
      row.excess = Between(random, 0, value_max);
      row.tie = tie;
      row.needs_begin = static_cast<std::uint32_t>(both.table.needs.size());
      ReferenceBundle bundle{gang, row.excess, 0, tie, {}};
      for (std::uint32_t c = 0; c < classes; ++c) {
        if (!Chance(random, classes > 8 ? 5 : 40) && c + 1 < classes) continue;
        const std::int64_t units = Between(random, 1, units_max);
        both.table.needs.push_back({c, units});
        bundle.needs.emplace_back(c, units);
        bundle.weighted_units += units * 1000;
      }
      row.needs_end = static_cast<std::uint32_t>(both.table.needs.size());
      row.root = RootOf(bundle.weighted_units);
      both.table.rows.push_back(row);
      both.bundles.push_back(bundle);
    }
  }
  return both;
}

void Compare(Random& random, int rounds, std::size_t classes, std::uint32_t gangs, std::size_t bundles_max,
             std::int64_t value_max) {
  int won = 0;
  int paid = 0;
  for (int round = 0; round < rounds; ++round) {
    Both both = RandomGangs(random, classes, gangs, bundles_max, 8, value_max);
    const auto expected = ReferenceGreedy(both.bundles, both.table.supply);
    const auto index_of = [&](const GangTable::Row& row) {
      for (std::size_t i = 0, bundle = 0; i < both.bundles.size(); ++i) {
        if (i > 0 && both.bundles[i].gang != both.bundles[i - 1].gang) bundle = 0;
        if (both.bundles[i].gang == row.gang && bundle == row.bundle) return i;
        ++bundle;
      }
      return both.bundles.size();
    };
    const GangResult result = AllocateGangs(both.table);
    ASSERT_EQ(result.won.size(), expected.size());
    for (const GangResult::Won& winner : result.won) {
      const std::size_t index = index_of(both.table.rows[winner.row]);
      ASSERT_NE(std::find(expected.begin(), expected.end(), index), expected.end());
      const std::int64_t critical = ReferenceCritical(both.bundles, both.table.supply, index, 1'000'000);
      ASSERT_EQ(winner.critical, critical) << "round " << round;
      ASSERT_LE(winner.critical, both.bundles[index].value);
      paid += critical > 0 ? 1 : 0;
      ++won;
    }
    // Losers: with the value named the row wins, with one less it does not, everything else (its gang's others, too) as
    // it is.
    for (std::size_t i = 0; i < both.table.rows.size(); ++i) {
      if (result.to_win[i] < 0) continue;
      const std::size_t index = index_of(both.table.rows[i]);
      bool is_too_large = false;
      for (const auto& [slot_class, units] : both.bundles[index].needs) {
        is_too_large = is_too_large || units > both.table.supply[slot_class];
      }
      if (is_too_large) continue;  // no value helps; callers do not enter such rows
      const auto wins = [&](std::int64_t value) {
        auto bundles = both.bundles;
        bundles[index].value = value;
        const auto winners = ReferenceGreedy(bundles, both.table.supply);
        return std::find(winners.begin(), winners.end(), index) != winners.end();
      };
      ASSERT_TRUE(wins(result.to_win[i]));
      if (result.to_win[i] > 0) {
        ASSERT_FALSE(wins(result.to_win[i] - 1));
      }
    }
  }
  EXPECT_GT(won, rounds);
  EXPECT_GT(paid, rounds / 4);
}

TEST(GangsTest, WinnersAndWhatTheyHadToBidAreThoseOfTheNaiveRun) {
  Random random(31);
  Compare(random, 300, 1, 8, 1, 100);
  Compare(random, 300, 3, 8, 1, 100);
  Compare(random, 300, 3, 8, 3, 100);
  Compare(random, 40, 4, 16, 3, 6);    // many ties
  Compare(random, 40, 1, 40, 1, 100);  // many winners of one class and size
  Compare(random, 40, 2, 30, 2, 100);
  // Where runs with and without a winner could differ most.
  Compare(random, 60, 6, 20, 2, 1000);
}

// More classes than there are bits in a word.
TEST(GangsTest, ManyClassesShareBits) {
  Random random(32);
  Compare(random, 60, 130, 24, 2, 1000);
}

TEST(GangsTest, RootsAreRoots) {
  Random random(33);
  EXPECT_EQ(RootOf(0), 1U);
  for (int i = 0; i < 10'000; ++i) {
    const std::int64_t units =
        i < 100 ? i + 1
                : Between(random, 1, kUnitsMilliMax * static_cast<std::int64_t>(kPartsPerBundleMax) * kWeightMilliMax);
    const auto root = static_cast<Wide>(RootOf(units));
    ASSERT_LE(root * root, Wide{units} << 14);
    ASSERT_GT((root + 1) * (root + 1), Wide{units} << 14);
  }
}

}  // namespace
}  // namespace accelmesh::market::auction
