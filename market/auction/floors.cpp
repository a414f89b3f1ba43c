#include "market/auction/floors.h"

#include <algorithm>
#include <map>

namespace accelmesh::market::auction {
namespace {

constexpr std::int64_t kCapacityMax = kUnitsMilliMax * static_cast<std::int64_t>(kOrdersMax);

Status Wrong(const char* where, const char* what) { return {Code::kInvalidArgument, where, what}; }

Status CheckShares(std::span<const FloorShare> shares, std::int64_t capacity_milli, std::int64_t lot_milli) {
  if (capacity_milli < 0 || capacity_milli > kCapacityMax) return Wrong("floors.capacity_milli", "out of range");
  if (lot_milli < 1 || lot_milli > kUnitsMilliMax)
    return Wrong("floors.lot_milli", "a lot is of 1 to 4,000,000 milli-units");
  std::vector<PartyId> parties;
  std::uint64_t sum = 0;
  for (const FloorShare& share : shares) {
    if (share.held_milli < 0) return Wrong("FloorShare.held_milli", "nobody has less than nothing");
    sum += share.share_ppm;
    parties.push_back(share.party);
  }
  if (sum > kWholePpm) return Wrong("FloorShare.share_ppm", "floors come to more than the whole; lower some");
  std::sort(parties.begin(), parties.end());
  if (std::adjacent_find(parties.begin(), parties.end()) != parties.end()) {
    return Wrong("FloorShare.party", "a party is there twice");
  }
  return {};
}

std::int64_t Owed(const FloorShare& share, std::int64_t capacity_milli, std::int64_t lot_milli) {
  const std::int64_t floor = static_cast<std::int64_t>(Wide{capacity_milli} * share.share_ppm / kWholePpm);
  return std::max<std::int64_t>(floor - share.held_milli, 0) / lot_milli * lot_milli;
}

}  // namespace

Result<std::vector<Floor>> FloorsOwed(std::span<const FloorShare> shares, std::int64_t capacity_milli,
                                      std::int64_t lot_milli) {
  ACCELMESH_RETURN_IF_ERROR(CheckShares(shares, capacity_milli, lot_milli));
  std::vector<Floor> floors;
  for (const FloorShare& share : shares) {
    const std::int64_t owed = Owed(share, capacity_milli, lot_milli);
    if (owed > 0) floors.push_back({share.party, owed});
  }
  std::sort(floors.begin(), floors.end(), [](const Floor& a, const Floor& b) { return a.party < b.party; });
  return floors;
}

Result<std::vector<Portion>> Split(std::int64_t amount, std::span<const Weight> weights) {
  if (amount < 0) return Wrong("auction::Split.amount", "there is nothing less than nothing to split");
  struct Rest {
    std::size_t at = 0;
    Wide remainder = 0;
  };
  std::vector<Weight> sorted(weights.begin(), weights.end());
  std::sort(sorted.begin(), sorted.end(), [](const Weight& a, const Weight& b) { return a.party < b.party; });
  Wide all = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (i > 0 && sorted[i].party == sorted[i - 1].party)
      return Wrong("auction::Split.weights", "a party is there twice");
    all += static_cast<Wide>(sorted[i].weight);
  }
  if (all > INT64_MAX) return Wrong("auction::Split.weights", "weights come to more than can be counted");
  std::vector<Portion> portions(sorted.size());
  std::vector<Rest> rests;
  std::int64_t left = all == 0 ? 0 : amount;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    portions[i].party = sorted[i].party;
    if (all == 0) continue;
    const Wide product = Wide{amount} * static_cast<Wide>(sorted[i].weight);
    portions[i].amount = static_cast<std::int64_t>(product / all);
    left -= portions[i].amount;
    rests.push_back({i, product % all});
  }
  // Fewer are left than there are with a remainder.
  std::sort(rests.begin(), rests.end(), [](const Rest& a, const Rest& b) {
    return a.remainder != b.remainder ? a.remainder > b.remainder : a.at < b.at;
  });
  for (std::size_t i = 0; left > 0; ++i, --left) ++portions[rests[i].at].amount;
  return portions;
}

Result<std::vector<Portion>> Grant(std::int64_t income_microcredits, std::span<const Budget> budgets,
                                   std::uint32_t periods_max) {
  std::vector<Weight> weights;
  for (const Budget& budget : budgets) weights.push_back({budget.party, budget.weight});
  ACCELMESH_ASSIGN_OR_RETURN(std::vector<Portion> portions, Split(income_microcredits, weights));
  std::map<PartyId, std::int64_t> savings;
  for (const Budget& budget : budgets) savings[budget.party] = budget.balance_microcredits;
  for (Portion& portion : portions) {
    const Wide room = Wide{portion.amount} * periods_max - savings[portion.party];
    portion.amount = static_cast<std::int64_t>(std::clamp<Wide>(room, 0, portion.amount));
  }
  std::erase_if(portions, [](const Portion& portion) { return portion.amount == 0; });
  return portions;
}

}  // namespace accelmesh::market::auction
