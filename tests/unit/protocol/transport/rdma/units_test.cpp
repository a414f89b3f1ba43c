#include "protocol/transport/rdma/units.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace accelmesh::rdma {
namespace {

TEST(RdmaUnits, RunsNeverOverlapAndComeBackByTheirBit) {
  UnitAllocator units;
  std::map<std::uint32_t, std::uint32_t> taken;
  std::array<std::uint64_t, kUnitWords> bits{};
  std::mt19937 random(3);
  int given = 0;
  for (int round = 0; round < 20000; ++round) {
    if (random() % 2 == 0) {
      const std::uint32_t want = 1 + random() % 16;
      const auto first = units.Allocate(want);
      bool has_gap = false;
      std::uint32_t at = 0;
      for (const auto& [begin, length] : taken) {
        has_gap = has_gap || begin - at >= want;
        at = begin + length;
      }
      has_gap = has_gap || kUnits - at >= want;
      ASSERT_EQ(first.has_value(), has_gap);
      if (!first.has_value()) continue;
      for (const auto& [begin, length] : taken) ASSERT_TRUE(*first + want <= begin || begin + length <= *first);
      ASSERT_LE(*first + want, kUnits);
      taken[*first] = want;
      ++given;
    } else if (!taken.empty()) {
      auto run = std::next(taken.begin(), static_cast<long>(random() % taken.size()));
      if (random() % 8 == 0) {
        units.Free(run->first);
      } else {
        bits[run->first / 64] ^= std::uint64_t{1} << (run->first % 64);
        units.Learn(run->first / 64, bits[run->first / 64]);
      }
      taken.erase(run);
    }
  }
  EXPECT_GT(given, 1000);
}

}  // namespace
}  // namespace accelmesh::rdma
