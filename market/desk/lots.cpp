#include "market/desk/lots.h"

#include <algorithm>
#include <numeric>

#include "market/auction/units.h"
#include "scheduler/core/slot.h"

namespace accelmesh::market {

std::uint32_t LotOf(const Sizes& sizes, std::uint64_t number) {
  // Steps that have no common multiple within a device take turns, too.
  std::vector<std::uint32_t> steps(sizes.steps.begin(), sizes.steps.end());
  std::uint32_t common = 1;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::uint32_t both = std::lcm(common, steps[(i + number) % steps.size()]);
    if (both <= scheduler::kWholeMilli) common = both;
  }
  const auto fits = [](std::uint32_t share, std::uint32_t lot) { return share % lot == 0; };
  const auto all_bids_fit = [&](std::uint32_t lot) {
    return std::all_of(sizes.bids.begin(), sizes.bids.end(),
                       [&](const Sizes::Bid& bid) { return fits(bid.share_milli, lot); });
  };
  // A part of a bid may be what is left of an odd ask.
  const bool has_parts =
      std::any_of(sizes.bids.begin(), sizes.bids.end(), [](const Sizes::Bid& bid) { return bid.is_divisible; });
  const bool all_asks_fit =
      std::all_of(sizes.asks.begin(), sizes.asks.end(), [&](std::uint32_t share) { return fits(share, common); });
  const bool all_steps_fit =
      std::all_of(steps.begin(), steps.end(), [&](std::uint32_t step) { return fits(common, step); });
  if (all_steps_fit && all_bids_fit(common) && (all_asks_fit || !has_parts)) return common;
  std::set<std::uint32_t> lots(sizes.steps);
  lots.insert({1, common});
  // Those by which somebody may be served.
  std::erase_if(lots, [&](std::uint32_t lot) {
    return std::none_of(sizes.bids.begin(), sizes.bids.end(), [&](const Sizes::Bid& bid) {
      return fits(bid.share_milli, lot) || (bid.is_divisible && bid.share_milli >= lot);
    });
  });
  if (lots.empty()) return 1;
  // Not in the order of the numbers, by which other turns go.
  const std::uint64_t turn = auction::Draw(number, auction::Purpose::kPairing, lots.size()) % lots.size();
  return *std::next(lots.begin(), static_cast<std::ptrdiff_t>(turn));
}

}  // namespace accelmesh::market
